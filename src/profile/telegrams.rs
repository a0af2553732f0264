//! Points of Open Protocol: every field of a decoded telegram by its name, and parameters of variable results.
//!
//! Owns what `[points]` says otherwise. The names and what they are stand beside the codec
//! ([`crate::wire::open_protocol::FIELDS`]).

use super::kind::Kind;
use super::points::{Point, plain};
use crate::diagnostic::tree::{Node, Table};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::plan::Address;
use crate::model::uom::Uom;
use crate::wire::open_protocol::fields::{FIELDS, FieldInfo, FieldKind, info};
use crate::wire::open_protocol::reading::UOM;
use std::collections::BTreeSet;

/// The field by which the controller says which individual it is.
pub(super) const SERIAL: &str = "controller_serial_number";

/// Every name that there is by itself, but for parameters.
pub(super) fn names<'a>() -> impl Iterator<Item = &'a str> {
    FIELDS
        .iter()
        .map(|field| field.name)
        .filter(|name| !name.ends_with('*'))
}

/// The entry of a name; `pid_2001` has that of any parameter.
fn known(name: &str) -> Option<&'static FieldInfo> {
    if let Some(rest) = name.strip_prefix("pid_") {
        let (number, step) = rest.split_once("_step_").unwrap_or((rest, "1"));
        let digits = |text: &str| text.parse::<u32>().is_ok();
        return info(name).filter(|_| digits(number) && digits(step));
    }
    info(name).filter(|field| field.name == name)
}

/// The point of a field as it is, its uom left out.
fn field(name: &str, place: &Place, field: &str, info: Option<&FieldInfo>) -> Point {
    let kind = info.map_or(Kind::Open, |info| Kind::field(info.kind));
    let kind = if field.starts_with("pid_") { Kind::Open } else { kind };
    let mut point = plain(name, place, Address::Field(field.into()), kind);
    point.list = info.is_some_and(|info| info.kind == FieldKind::List);
    point.uom = info.and_then(|info| info.uom).and_then(|uom| Uom::parse(uom).ok());
    point
}

/// A point that `[points]` names: what it says overrides, the rest is the field's.
pub(super) fn compile(name: &str, place: &Place, keys: &Table, out: &mut Diagnostics) -> Option<Point> {
    if let Some((key, _)) = keys.entry("type") {
        out.push(
            Diagnostic::error(
                &key.place,
                "`type` is not of Open Protocol: a telegram says what its fields are",
            )
            .help("take it out"),
        );
    }
    if let Some(pid) = keys.get("pid").and_then(Node::as_integer) {
        let at = format!("pid_{pid}");
        return Some(field(name, place, &at, info(&at)));
    }
    if keys.get("pid").is_some() {
        return None;
    }
    let Some(info) = known(name) else {
        let known: Vec<&str> = names().collect();
        let near = meant(name, &known).filter(|help| help.starts_with("did you mean"));
        out.push(
            Diagnostic::error(place, format!("no telegram has a field `{name}`")).help(near.unwrap_or_else(|| {
                "`lineside profile fields open-protocol` lists them; a parameter of variable results is pid = 2001"
                    .to_owned()
            })),
        );
        return None;
    };
    Some(field(name, place, name, Some(info)))
}

/// Adds what is `used` without being written, the units of measure that telegrams name, and the controller's serial number.
pub(super) fn implicit(points: &mut Vec<Point>, written: &Table, place: &Place, used: &BTreeSet<&str>) {
    let has = |points: &[Point], name: &str| points.iter().any(|point| &*point.name == name);
    let parameters = used
        .iter()
        .filter(|name| name.starts_with("pid_"))
        .map(|name| (*name).to_owned());
    let all: Vec<String> = names().map(str::to_owned).chain(parameters).collect();
    for name in &all {
        let name = name.as_str();
        let named = used.contains(name);
        if has(points, name) || !(named || name == SERIAL) {
            continue;
        }
        if let Some(info) = known(name) {
            let mut point = field(name, place, name, Some(info));
            point.hidden = !named;
            points.push(point);
        }
    }
    // A uom that the profile writes is meant: only else does the telegram's count.
    let writes = |name: &str| {
        let keys = written.get(name).and_then(Node::as_table);
        keys.is_some_and(|keys| keys.get("uom").is_some() || keys.get("uom_from").is_some())
    };
    for at in 0..points.len() {
        let Some(point) = points
            .get(at)
            .filter(|point| !point.faulty && !point.is_text() && !point.is_bool())
        else {
            continue;
        };
        let Address::Field(field) = point.at.clone() else {
            continue;
        };
        let open = ["pid_", "trace_s"].iter().any(|first| field.starts_with(first));
        if writes(&point.name) || (point.uom.is_none() && !open) {
            continue;
        }
        let name = format!("{field}{UOM}");
        if !has(points, &name) {
            let mut uom = plain(&name, place, Address::Field(name.as_str().into()), Kind::Text);
            uom.hidden = true;
            points.push(uom);
        }
        let from = points.iter().position(|point| *point.name == *name);
        if let Some(point) = points.get_mut(at) {
            point.uom_from = from;
        }
    }
}
