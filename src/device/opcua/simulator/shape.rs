//! Which data types trees are of that nobody described: made of what examples show.
//!
//! Owns the guess. A type that is described wins over it.

use super::types::{ANY, DataType, DataTypes, Member, STRUCTURE, Shape};
use crate::model::Raw;
use crate::model::plan::{Condition, FieldPath, Identifier, Namespace, NodeRef, Selector};
use crate::wire::opcua::{Structure, Tree};
use std::sync::Arc;

/// Elements of an array that a way may ask for.
const MOST: usize = 64;

/// What the nodes of guessed data types begin with.
const GUESS: &str = "DataType.";

/// The data type of what these trees show, and whether it is an array; structures are added to `types`, in the namespace
/// of `of`, named after it.
pub(super) fn guess(types: &mut DataTypes, of: &NodeRef, name: &str, trees: &[&Tree]) -> (NodeRef, bool) {
    let list = trees.iter().any(|tree| matches!(tree, Tree::List(_)));
    let items: Vec<&Tree> = trees
        .iter()
        .flat_map(|tree| match tree {
            Tree::List(items) => items.iter().collect(),
            one => vec![*one],
        })
        .filter(|tree| **tree != Tree::Null)
        .collect();
    let structures: Vec<&Arc<Structure>> = items
        .iter()
        .filter_map(|tree| match tree {
            Tree::Struct(structure) => Some(structure),
            _ => None,
        })
        .collect();
    if structures.is_empty() {
        return (scalar(&items), list);
    }
    if structures.len() < items.len() {
        return (ANY, list);
    }
    (structure(types, of, name, &structures), list)
}

fn scalar(items: &[&Tree]) -> NodeRef {
    let number = |tree: &&Tree| match tree {
        Tree::Value(Raw::Bool(_)) => 1,
        Tree::Value(Raw::Int(value)) if i32::try_from(*value).is_ok() => 6,
        Tree::Value(Raw::Int(_)) => 8,
        Tree::Value(Raw::Big(_)) => 9,
        Tree::Value(Raw::F32(_)) => 10,
        Tree::Value(Raw::F64(_) | Raw::Dec(_)) => 11,
        Tree::Value(Raw::Text(_)) => 12,
        _ => 24,
    };
    let mut kinds = items.iter().map(number);
    let Some(first) = kinds.next() else { return ANY };
    let widest = kinds.fold(first, |a, b| match (a.min(b), a.max(b)) {
        (a, b) if a == b => a,
        (6, 8) => 8,
        (6 | 8 | 10 | 11, 10 | 11) => 11,
        _ => 24,
    });
    NodeRef::core(widest)
}

/// The type that a structure is known by, or one made of all that these show.
fn structure(types: &mut DataTypes, of: &NodeRef, name: &str, all: &[&Arc<Structure>]) -> NodeRef {
    let said = all.iter().map(|one| &one.name).find(|name| !name.is_empty());
    let known = said.and_then(|said| {
        let core = match &**said {
            "LocalizedText" => Some(21),
            "QualifiedName" => Some(20),
            "EUInformation" => Some(887),
            _ => None,
        };
        let described = || types.0.iter().find(|one| one.name == *said).map(|one| one.node.clone());
        core.map(NodeRef::core).or_else(described)
    });
    if let Some(known) = known {
        return known;
    }
    let mut names: Vec<&Arc<str>> = Vec::new();
    for (field, _) in all.iter().flat_map(|one| &one.fields) {
        if !names.contains(&field) {
            names.push(field);
        }
    }
    let own: Arc<str> = said.cloned().unwrap_or_else(|| format!("{name}Type").into());
    let mut members = Vec::new();
    for field in names {
        let show: Vec<&Tree> = all.iter().filter_map(|one| value(one, field)).collect();
        let (data_type, list) = guess(types, of, &format!("{name}.{field}"), &show);
        members.push(Member {
            name: field.clone(),
            data_type,
            list,
            optional: show.len() < all.len(),
            subtypes: false,
        });
    }
    let node = |text: String| NodeRef {
        namespace: match &of.namespace {
            Namespace::Index(0) => Namespace::Index(1),
            other => other.clone(),
        },
        id: Identifier::Text(text.into()),
    };
    let data_type = DataType {
        node: node(format!("{GUESS}{own}")),
        name: own.clone(),
        base: STRUCTURE,
        shape: Shape::Structure {
            encoding: node(format!("Encoding.{own}")),
            members,
        },
    };
    let id = data_type.node.clone();
    types.insert(data_type);
    id
}

/// Whether a data type was guessed: another example may show more of it.
pub(super) fn is_guess(data_type: &NodeRef) -> bool {
    matches!(&data_type.id, Identifier::Text(text) if text.starts_with(GUESS))
}

fn value<'a>(structure: &'a Structure, name: &str) -> Option<&'a Tree> {
    structure
        .fields
        .iter()
        .find(|(field, _)| **field == *name)
        .map(|(_, tree)| tree)
}

/// Puts a value where a way leads, making what is missing on the way; of a choice by conditions an element that fulfils
/// them. `false`: the way leads nowhere.
pub(super) fn put(tree: &mut Tree, path: &FieldPath, new: &Tree) -> bool {
    let mut at = tree;
    for step in &path.steps {
        if !matches!(at, Tree::Struct(_)) {
            *at = Tree::Struct(Arc::new(Structure {
                name: Arc::from(""),
                fields: Vec::new(),
            }));
        }
        let Tree::Struct(structure) = at else { return false };
        let structure = Arc::make_mut(structure);
        let there = structure.fields.iter().position(|(name, _)| step.names.contains(name));
        let index = match (there, step.names.first()) {
            (Some(index), _) => index,
            (None, Some(name)) => {
                structure.fields.push((name.clone(), Tree::Null));
                structure.fields.len() - 1
            }
            (None, None) => return false,
        };
        let Some((_, found)) = structure.fields.get_mut(index) else {
            return false;
        };
        at = found;
        for selector in &step.selectors {
            match element(at, selector) {
                Some(one) => at = one,
                None => return false,
            }
        }
    }
    *at = new.clone();
    true
}

/// The element that a selector chooses, made where it is missing.
fn element<'a>(tree: &'a mut Tree, selector: &Selector) -> Option<&'a mut Tree> {
    if !matches!(tree, Tree::List(_)) {
        *tree = Tree::List(Vec::new());
    }
    let Tree::List(items) = tree else { return None };
    let conditions: &[Condition] = match selector {
        Selector::Index(index) => {
            let at = match usize::try_from(*index) {
                Ok(at) => at,
                Err(_) => items.len().saturating_sub(usize::try_from(index.unsigned_abs()).ok()?),
            };
            if at >= MOST {
                return None;
            }
            while items.len() <= at {
                items.push(Tree::Null);
            }
            return items.get_mut(at);
        }
        Selector::All => &[],
        Selector::Each(all) | Selector::First(all) | Selector::Last(all) | Selector::Where(all) => all,
    };
    let fulfils = |item: &Tree| {
        conditions.iter().all(|condition| {
            let found = crate::wire::opcua::select(item, &condition.field, None);
            found.is_some_and(|found| match found.raw() {
                _ if condition.is.is_empty() => !found.is_nothing(),
                Some(raw) => condition.is.iter().any(|text| **text == *raw.text()),
                None => false,
            })
        })
    };
    let found = match selector {
        Selector::Last(_) => items.iter().rposition(fulfils),
        _ => items.iter().position(fulfils),
    };
    let at = found.unwrap_or_else(|| {
        let mut new = Tree::Null;
        for condition in conditions {
            let text = condition.is.first().map_or("1", |text| &**text);
            let raw = text.parse().map_or_else(|_| Raw::Text(text.to_owned()), Raw::Int);
            put(&mut new, &condition.field, &Tree::Value(raw));
        }
        items.push(new);
        items.len() - 1
    });
    items.get_mut(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::opcua::node::parse_node;
    use crate::wire::opcua::path::parse_path;
    use serde_json::json;

    #[test]
    fn what_examples_show_becomes_types() {
        let mut types = DataTypes::default();
        let of = parse_node("nsu=urn:x;s=Result").unwrap();
        let a = Tree::from_json(&json!({"Id": 1, "Steps": [{"Torque": 1.5, "Name": "a"}, {"Torque": 2}]}));
        let b = Tree::from_json(&json!({"Id": 3_000_000_000_i64, "Ok": true}));
        let (node, list) = guess(&mut types, &of, "Result", &[&a, &b]);
        assert!(!list);
        let members = types.members(&node);
        let names: Vec<(&str, String, bool, bool)> = members
            .iter()
            .map(|member| {
                (
                    &*member.name,
                    member.data_type.to_string(),
                    member.list,
                    member.optional,
                )
            })
            .collect();
        assert_eq!(
            names,
            [
                ("Id", "i=8".to_owned(), false, false),
                ("Steps", "nsu=urn:x;s=DataType.Result.StepsType".to_owned(), true, true),
                ("Ok", "i=1".to_owned(), false, true),
            ]
        );
        let step = types.members(&members[1].data_type.clone());
        assert_eq!(
            (step[0].data_type.to_string(), step[1].optional),
            ("i=11".to_owned(), true)
        );
    }

    #[test]
    fn a_value_is_put_where_a_way_leads() {
        let mut tree = Tree::Null;
        let path = parse_path("Values[Quantity=2,Tag=1]/Measured").unwrap();
        assert!(put(&mut tree, &path, &Tree::Value(Raw::Int(5))));
        assert!(put(&mut tree, &path, &Tree::Value(Raw::Int(6))));
        let other = parse_path("Values[Quantity=3]/Measured").unwrap();
        assert!(put(&mut tree, &other, &Tree::Value(Raw::Int(7))));
        let wanted = json!({"Values": [{"Quantity": 2, "Tag": 1, "Measured": 6}, {"Quantity": 3, "Measured": 7}]});
        assert_eq!(tree.to_json(), wanted);
        let far = parse_path("Values[1000000]").unwrap();
        assert!(!put(&mut tree, &far, &Tree::Null));
    }
}
