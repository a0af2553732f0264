//! What points say of a variable, and how one is put into it: whole, a part of a structure, some bits of a word.
//!
//! Owns no variable. A profile's virtual device works with this.

use super::shape;
use super::value::{self, Kind};
use crate::model::plan::{OpcuaPart, OpcuaPoint, OpcuaType};
use crate::model::{Decimal, Raw};
use crate::wire::opcua::{Tree, first};

/// What the point says where its variable says `tree`, of each element of an array the first; `None`: nothing, or it is not in the
/// value.
#[must_use]
pub fn read(point: &OpcuaPoint, tree: &Tree) -> Option<Raw> {
    match point.part {
        OpcuaPart::Value => {}
        // The server's own, and always good here.
        OpcuaPart::Status => return Some(Raw::Text("Good".to_owned())),
        OpcuaPart::SourceTimestamp | OpcuaPart::ServerTimestamp => return None,
    }
    let found = if point.paths.is_empty() {
        tree.raw()
    } else {
        first(tree, &point.paths, Some(0))?.raw()
    };
    point.cut(found?)
}

/// Puts what the point is to say into the value of its variable, whose type is `kind`; other members and bits stay.
///
/// # Errors
/// A sentence: the type cannot hold it, or it is not in the value.
pub fn write(point: &OpcuaPoint, kind: &Kind, tree: &mut Tree, raw: &Raw) -> Result<(), String> {
    if point.part != OpcuaPart::Value {
        return Err("that is the server's own to say".to_owned());
    }
    let there = point
        .paths
        .iter()
        .find(|path| first(tree, std::slice::from_ref(*path), Some(0)).is_some());
    let path = there.or_else(|| point.paths.first());
    let (old, kind) = match path {
        None => (tree.raw(), kind.clone()),
        Some(path) => {
            let old = first(tree, std::slice::from_ref(path), Some(0)).and_then(|tree| tree.raw());
            let kind = match (&point.kind, &old) {
                (Some(kind), _) => Kind::Scalar(*kind),
                (None, Some(old @ (Raw::Bool(_) | Raw::Text(_)))) => Kind::of(old),
                (None, _) => Kind::Any,
            };
            (old, kind)
        }
    };
    let whole = match point.bits {
        Some((low, width)) => bits(old.as_ref(), low, width, raw)?,
        None => raw.clone(),
    };
    let mut held = kind.hold(&whole)?;
    // What showed whole numbers goes on to.
    if let (Kind::Any, Some(Raw::Int(_)), Raw::F64(bits)) = (&kind, &old, &held) {
        held = Kind::Scalar(OpcuaType::I64).hold(&Raw::F64(f64::from_bits(*bits).round().to_bits()))?;
    }
    let new = value::tree(&held);
    match path {
        None => *tree = new,
        Some(path) => {
            if !shape::put(tree, path, &new) {
                return Err(format!("`{path}` leads nowhere"));
            }
        }
    }
    Ok(())
}

/// A word with some of its bits changed.
fn bits(old: Option<&Raw>, low: u8, width: u8, raw: &Raw) -> Result<Raw, String> {
    let whole = |raw: &Raw| raw.number().and_then(Decimal::to_i128);
    let mask = (1_i128 << width.min(64)) - 1;
    let new = whole(raw).filter(|new| (0..=mask).contains(new));
    let new = new.ok_or_else(|| format!("{width} bits cannot hold `{}`", raw.text()))?;
    let old = old.and_then(whole).unwrap_or(0);
    let word = old & !(mask << low) | new << low;
    Ok(Raw::Dec(Decimal::new(word, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::opcua::path::parse_path;

    fn point(path: Option<&str>, bits: Option<(u8, u8)>) -> OpcuaPoint {
        OpcuaPoint {
            node: None,
            paths: path.map(|path| parse_path(path).unwrap()).into_iter().collect(),
            part: OpcuaPart::Value,
            bits,
            kind: None,
            sampling: None,
        }
    }

    #[test]
    fn a_value_is_held_by_its_type_or_refused() {
        let kind = Kind::Scalar(OpcuaType::U8);
        let mut tree = Tree::Null;
        write(&point(None, None), &kind, &mut tree, &Raw::Dec(Decimal::new(200, 0))).unwrap();
        assert_eq!(tree, Tree::Value(Raw::Int(200)));
        let fault = write(&point(None, None), &kind, &mut tree, &Raw::Int(256)).unwrap_err();
        assert!(fault.contains("256"), "{fault}");
        let single = Kind::Scalar(OpcuaType::F32);
        write(
            &point(None, None),
            &single,
            &mut tree,
            &Raw::Dec("12.34".parse().unwrap()),
        )
        .unwrap();
        assert_eq!(read(&point(None, None), &tree).unwrap().text(), "12.34");
    }

    #[test]
    fn a_variable_of_fractions_does_not_become_whole() {
        let mut tree = Tree::Value(Raw::Int(0));
        let double = Kind::Scalar(OpcuaType::F64);
        let half = Raw::Dec("0.5".parse().unwrap());
        write(&point(None, None), &double, &mut tree, &half).unwrap();
        assert_eq!(tree, Tree::Value(Raw::F64(0.5_f64.to_bits())));
    }

    #[test]
    fn of_each_element_the_first_is_meant() {
        let mut tree =
            Tree::from_json(&serde_json::json!({"Parts": [{"Meta": {"Id": "a"}, "Torque": 1.5}, {"Torque": 2.5}]}));
        let each = point(Some("Parts[each,Meta]/Torque"), None);
        assert_eq!(read(&each, &tree).map(|raw| raw.text()).as_deref(), Some("1.5"));
        write(&each, &Kind::Any, &mut tree, &Raw::Dec("3.5".parse().unwrap())).unwrap();
        let wanted = serde_json::json!({"Parts": [{"Meta": {"Id": "a"}, "Torque": 3.5}, {"Torque": 2.5}]});
        assert_eq!(tree.to_json(), wanted);
    }

    #[test]
    fn other_bits_and_members_stay() {
        let kind = Kind::Scalar(OpcuaType::U16);
        let mut tree = Tree::Value(Raw::Int(0b1001));
        write(&point(None, Some((1, 2))), &kind, &mut tree, &Raw::Int(3)).unwrap();
        assert_eq!(tree, Tree::Value(Raw::Int(0b1111)));
        assert_eq!(read(&point(None, Some((3, 1))), &tree), Some(Raw::Bool(true)));
        let mut tree = Tree::Null;
        let (a, b) = (point(Some("Last/Torque"), None), point(Some("Last/Ok"), None));
        write(&a, &Kind::Any, &mut tree, &Raw::Dec("1.5".parse().unwrap())).unwrap();
        write(&b, &Kind::Any, &mut tree, &Raw::Bool(true)).unwrap();
        write(&b, &Kind::Any, &mut tree, &Raw::Int(0)).unwrap();
        assert_eq!(read(&a, &tree), Some(Raw::F64(1.5_f64.to_bits())));
        assert_eq!(read(&b, &tree), Some(Raw::Bool(false)));
    }
}
