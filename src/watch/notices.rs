//! What an event of an OPC UA server leads to: one picture of all points for it, or, by `[each]`, for each element of an array.
//!
//! Pure: the driver, examples and replay feed it alike. Owns no way through a structure ([`crate::wire::opcua`]) and no read:
//! what nodes say is given to it.

use super::{Heard, Watcher};
use crate::model::plan::{EventPlan, OpcuaPoint, PointIx, Said, SlotPlan, Trigger};
use crate::model::{Moment, Raw};
use crate::wire::opcua::{Tree, elements, first};

/// The event `notice` (an index into [`SlotPlan::notices`]) came with these fields; `nodes` is what the points with a node
/// say, by point, as they were read when it came ([`reads`]).
///
/// An event of the plan that it triggers happens once; where its points go through `[each]`, once for each element, in the
/// order of the array, and not at all without an element. A way that finds nothing leaves its point absent.
pub fn hear(watcher: &mut Watcher, now: Moment, notice: u16, fields: &Tree, nodes: &[Option<Raw>]) -> Heard {
    let plan = watcher.plan.clone();
    let mut heard = Heard::default();
    for (index, event) in triggered(&plan, notice) {
        for each in turns(&plan, event, fields) {
            let values = values(&plan, &event.points, fields, each, nodes);
            watcher.hear_one(now, index, &values, Said::Event(notice), &mut heard);
        }
    }
    heard
}

/// Points with a node that events triggered by `notice` look at: to be read when it comes. Sorted, each once.
#[must_use]
pub fn reads(plan: &SlotPlan, notice: u16) -> Vec<PointIx> {
    let mut found: Vec<PointIx> = triggered(plan, notice)
        .flat_map(|(_, event)| &event.points)
        .copied()
        .filter(|point| at(plan, *point).is_some_and(|at| at.node.is_some()))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What all points that are fields say of an event, by point, the first element for those of `[each]`: for people who look.
#[must_use]
pub fn picture(plan: &SlotPlan, notice: u16, fields: &Tree) -> Vec<Option<Raw>> {
    let mut found = vec![None; plan.points.len()];
    for (_, event) in triggered(plan, notice) {
        let each = turns(plan, event, fields).into_iter().next().flatten();
        let said = values(plan, &event.points, fields, each, &[]);
        for (slot, value) in found.iter_mut().zip(said) {
            if value.is_some() {
                *slot = value;
            }
        }
    }
    found
}

/// Events of the plan that `notice` triggers.
fn triggered(plan: &SlotPlan, notice: u16) -> impl Iterator<Item = (usize, &EventPlan)> {
    let said = Trigger::Said(Said::Event(notice));
    let events = plan.events.iter().enumerate();
    events.filter(move |(_, event)| event.triggers.contains(&said))
}

fn at(plan: &SlotPlan, point: PointIx) -> Option<&OpcuaPoint> {
    plan.points.get(point)?.at.opcua()
}

/// How often an event happens, and for which elements.
fn turns(plan: &SlotPlan, event: &EventPlan, fields: &Tree) -> Vec<Option<usize>> {
    let mut of_each = event
        .points
        .iter()
        .filter_map(|point| at(plan, *point))
        .filter(|at| at.node.is_none() && at.is_of_each())
        .peekable();
    if of_each.peek().is_none() {
        return vec![None];
    }
    let found = of_each.find_map(|at| elements(fields, &at.paths));
    found.unwrap_or_default().into_iter().map(Some).collect()
}

fn values(
    plan: &SlotPlan,
    points: &[PointIx],
    fields: &Tree,
    each: Option<usize>,
    nodes: &[Option<Raw>],
) -> Vec<Option<Raw>> {
    let mut found = vec![None; plan.points.len()];
    for point in points {
        let Some((slot, at)) = found.get_mut(*point).zip(at(plan, *point)) else {
            continue;
        };
        *slot = match at.node {
            Some(_) => nodes.get(*point).cloned().flatten(),
            None => first(fields, &at.paths, each)
                .and_then(|tree| tree.raw())
                .and_then(|raw| at.cut(raw)),
        };
    }
    found
}

#[cfg(test)]
mod tests;
