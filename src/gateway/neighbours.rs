//! Slots that would send the same results: both read the same values of the same server.
//!
//! Owns that one judgement. Links that contradict are [`super::setup`]'s.

use super::setup::SlotSetup;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::plan::{Address, EventPlan, Link, SlotPlan};

/// Tells slots that take the same results, as after a `server_id` was copied from the neighbour.
pub(super) fn same_results(slots: &[SlotSetup], out: &mut Diagnostics) {
    for (at, slot) in slots.iter().enumerate() {
        for other in slots.iter().take(at) {
            let (Some(plan), Some(others)) = (&slot.plan, &other.plan) else {
                continue;
            };
            let (Some(profile), Some(before)) = (&slot.profile, &other.profile) else {
                continue;
            };
            if !same_server(&plan.link, &others.link) {
                continue;
            }
            let same = plan.events.iter().find(|event| {
                let mut alike = others.events.iter();
                alike.any(|one| said_alike(plan, event, others, one))
            });
            let Some(event) = same else { continue };
            let message = format!(
                "`{}` and `{}` read the same registers of the same server",
                other.contract.slot, slot.contract.slot
            );
            out.push(
                Diagnostic::warning(profile.connection_place(), message)
                    .label(format!(
                        "each [events.{}] would be sent twice, once by each slot",
                        event.name
                    ))
                    .related(before.connection_place(), "the other one")
                    .help("give each slot its own `server_id`, or the registers of its own device"),
            );
        }
    }
}

fn same_server(one: &Link, other: &Link) -> bool {
    match (one, other) {
        (Link::Modbus(a), Link::Modbus(b)) => a.address == b.address && a.server_id == b.server_id,
        (Link::Opcua(a), Link::Opcua(b)) => a.address == b.address,
        _ => false,
    }
}

/// Whether two events are of the same triggers and the same values. Of events that the device tells by itself, filters decide.
fn said_alike(plan: &SlotPlan, event: &EventPlan, others: &SlotPlan, other: &EventPlan) -> bool {
    let places = |plan: &SlotPlan, event: &EventPlan| -> Vec<String> {
        let points = event.points.iter().filter_map(|index| plan.points.get(*index));
        let mut found: Vec<String> = points
            .map(|point| match &point.at {
                Address::Modbus(at) => format!("{}:{}:{:?}", at.table.word(), at.address, at.bits),
                Address::Opcua(at) if at.node.is_some() => at.to_string(),
                _ => String::new(),
            })
            .collect();
        found.sort_unstable();
        found
    };
    let looks = |event: &EventPlan| event.triggers.iter().any(|trigger| !trigger.points().is_empty());
    let (mine, theirs) = (places(plan, event), places(others, other));
    looks(event) && looks(other) && !mine.is_empty() && !mine.contains(&String::new()) && mine == theirs
}
