//! The tree of an event, from the values of its select clauses. Pure.

use super::{Structure, Tree};
use std::sync::Arc;

/// The tree of an event: each value at its place, the names of its select clause. The value of a field comes before those of
/// the fields below it.
#[must_use]
pub fn event_tree(places: &[Vec<Arc<str>>], values: Vec<Tree>) -> Tree {
    let mut fields: Vec<(Arc<str>, Tree)> = Vec::new();
    for (place, value) in places.iter().zip(values) {
        match &place[..] {
            [name] => fields.push((name.clone(), value)),
            [name, below] if !matches!(value, Tree::Null) => put(&mut fields, name, below, value),
            _ => {}
        }
    }
    Tree::Struct(Arc::new(Structure {
        name: Arc::from("Event"),
        fields,
    }))
}

/// Sets a field of a field that has no value of its own, or is a structure.
fn put(fields: &mut [(Arc<str>, Tree)], name: &Arc<str>, below: &Arc<str>, value: Tree) {
    let Some((_, tree)) = fields.iter_mut().find(|(known, _)| known == name) else {
        return;
    };
    let (kind, mut inner) = match tree {
        Tree::Null => (name.clone(), Vec::new()),
        Tree::Struct(structure) => (structure.name.clone(), structure.fields.clone()),
        Tree::Value(_) | Tree::List(_) => return,
    };
    if !inner.iter().any(|(known, _)| known == below) {
        inner.push((below.clone(), value));
    }
    *tree = Tree::Struct(Arc::new(Structure {
        name: kind,
        fields: inner,
    }));
}
