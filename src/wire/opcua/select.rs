//! Walking a tree along a way. Owns what steps, selectors and conditions mean; not their text (`path`).
//!
//! A way that leads nowhere is `None`: a field that is not there, an index beyond the array, a selector on what is no
//! array, a step into an array of structures without a selector, and a collection (`[*]`) of which nothing came.

use super::Tree;
use crate::model::plan::{Condition, FieldPath, FieldStep, Selector};
use std::borrow::Cow;

/// How deep conditions may stand in conditions.
const DEEPEST: u8 = 4;

/// What is at the end of a way. `each` is the index in the array of its `[each]`; without it such a way leads nowhere,
/// and so does one whose element does not fulfil the conditions of its `[each]`.
#[must_use]
pub fn select(tree: &Tree, path: &FieldPath, each: Option<usize>) -> Option<Tree> {
    walk(tree, &path.steps, each, DEEPEST).map(Cow::into_owned)
}

/// What is at the end of the first way that leads to something not null.
#[must_use]
pub fn first(tree: &Tree, paths: &[FieldPath], each: Option<usize>) -> Option<Tree> {
    paths
        .iter()
        .filter_map(|path| walk(tree, &path.steps, each, DEEPEST))
        .find(|found| **found != Tree::Null)
        .map(Cow::into_owned)
}

/// The indices of the elements that an `[each]` means, of the first of these ways that has one and whose array is there:
/// those that are not null and fulfil its conditions, in order. `None` where there is no such way.
#[must_use]
pub fn elements(tree: &Tree, paths: &[FieldPath]) -> Option<Vec<usize>> {
    paths.iter().find_map(|path| {
        let (items, conditions) = array_of_each(tree, &path.steps)?;
        let found = items
            .iter()
            .enumerate()
            .filter(|(_, item)| **item != Tree::Null && fulfils(item, conditions, DEEPEST));
        Some(found.map(|(at, _)| at).collect())
    })
}

/// The array that the first `[each]` of a way stands behind, and its conditions.
fn array_of_each<'a, 'p>(tree: &'a Tree, steps: &'p [FieldStep]) -> Option<(&'a [Tree], &'p [Condition])> {
    let mut here = tree;
    for step in steps {
        here = named(here, step)?;
        for selector in &step.selectors {
            let Tree::List(items) = here else { return None };
            if let Selector::Each(conditions) = selector {
                return Some((items, conditions));
            }
            here = chosen(items, selector, None, DEEPEST)?;
        }
    }
    None
}

fn walk<'a>(tree: &'a Tree, steps: &[FieldStep], each: Option<usize>, depth: u8) -> Option<Cow<'a, Tree>> {
    match steps.split_first() {
        None => Some(Cow::Borrowed(tree)),
        Some((step, rest)) => choose(named(tree, step)?, &step.selectors, rest, each, depth),
    }
}

fn choose<'a>(
    tree: &'a Tree,
    selectors: &[Selector],
    rest: &[FieldStep],
    each: Option<usize>,
    depth: u8,
) -> Option<Cow<'a, Tree>> {
    let Some((selector, others)) = selectors.split_first() else {
        return walk(tree, rest, each, depth);
    };
    let Tree::List(items) = tree else { return None };
    let conditions = match selector {
        Selector::All => &[][..],
        Selector::Where(conditions) => conditions,
        one => return choose(chosen(items, one, each, depth)?, others, rest, each, depth),
    };
    let mut all = Vec::new();
    for item in items.iter().filter(|item| fulfils(item, conditions, depth)) {
        match choose(item, others, rest, each, depth).map(Cow::into_owned) {
            None | Some(Tree::Null) => {}
            Some(Tree::List(more)) => all.extend(more),
            Some(one) => all.push(one),
        }
    }
    (!all.is_empty()).then_some(Cow::Owned(Tree::List(all)))
}

/// The field of a structure by the first of its names that is there; without a name the value itself, an array.
fn named<'a>(tree: &'a Tree, step: &FieldStep) -> Option<&'a Tree> {
    if step.names.is_empty() {
        return Some(tree);
    }
    step.names.iter().find_map(|name| tree.field(name))
}

/// The one element that a selector means; `None` also for selectors that mean many.
fn chosen<'a>(items: &'a [Tree], selector: &Selector, each: Option<usize>, depth: u8) -> Option<&'a Tree> {
    match selector {
        Selector::Index(index) => {
            let far = usize::try_from(index.unsigned_abs()).ok()?;
            let at = if *index < 0 { items.len().checked_sub(far)? } else { far };
            items.get(at)
        }
        Selector::Each(conditions) => items.get(each?).filter(|item| fulfils(item, conditions, depth)),
        Selector::First(conditions) => items.iter().find(|item| fulfils(item, conditions, depth)),
        Selector::Last(conditions) => items.iter().rfind(|item| fulfils(item, conditions, depth)),
        Selector::All | Selector::Where(_) => None,
    }
}

fn fulfils(item: &Tree, conditions: &[Condition], depth: u8) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    conditions.iter().all(|condition| {
        let Some(found) = walk(item, &condition.field.steps, None, depth) else {
            return false;
        };
        if condition.is.is_empty() {
            return !found.is_nothing();
        }
        says(&found, condition)
    })
}

/// Whether a scalar, or any of a list of scalars, says what a condition wants.
fn says(tree: &Tree, condition: &Condition) -> bool {
    match tree {
        Tree::List(items) => items.iter().any(|item| says(item, condition)),
        scalar => scalar.raw().is_some_and(|raw| {
            let text = raw.text();
            condition.is.iter().any(|is| **is == *text)
        }),
    }
}

#[cfg(test)]
mod tests;
