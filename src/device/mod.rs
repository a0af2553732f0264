//! Drivers: one task a connection, that executes read plans and reports what devices said.
//!
//! Owns connections, requests and back-off. Does not own when a device has something to say
//! ([`crate::watch`]), what registers mean ([`crate::wire`]), nor profiles: a plan is all it knows.

mod asked;
pub mod framed;
pub mod modbus;
pub mod opcua;
pub mod open_protocol;
mod port;
pub mod tap;
mod tcp;
mod told;

use crate::clock::Clock;
use crate::model::plan::{Link, SlotPlan};
use crate::model::sample::{Report, TriggerState};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A slot that is to be run.
#[derive(Debug, Clone)]
pub struct SlotStart {
    /// What to read.
    pub plan: Arc<SlotPlan>,
    /// Trigger states as stored, by name of the event.
    pub states: HashMap<String, TriggerState>,
}

/// Slots that share a connection, together; each group is one [`run_link`].
#[must_use]
pub fn group(slots: Vec<SlotStart>) -> Vec<Vec<SlotStart>> {
    let mut groups: Vec<Vec<SlotStart>> = Vec::new();
    for slot in slots {
        let shares = |group: &&mut Vec<SlotStart>| {
            group
                .first()
                .is_some_and(|first| first.plan.link.shares(&slot.plan.link))
        };
        match groups.iter_mut().find(shares) {
            Some(group) => group.push(slot),
            None => groups.push(vec![slot]),
        }
    }
    groups
}

/// Runs slots that share one connection until `stop`; then returns at once, nothing acknowledged any more.
///
/// Reports come in order; `service` answers commands beside. The connection is made again for ever, with back-off; a slot that does not
/// answer does not hold up the others. Ends also when nobody receives the reports any more.
pub async fn run_link(
    slots: Vec<SlotStart>,
    reports: mpsc::Sender<Report>,
    clock: Clock,
    stop: CancellationToken,
    service: tap::Service,
) {
    let Some(first) = slots.first() else { return };
    let link = first.plan.link.clone();
    if let Link::Opcua(link) = &link {
        // It closes its session first.
        return Box::pin(opcua::run(link, slots, &reports, &clock, service, &stop)).await;
    }
    let run = async {
        match link {
            Link::Modbus(link) => modbus::run(&link, slots, &reports, &clock, service).await,
            Link::Framed(link) => framed::run(&link, slots, &reports, &clock, service).await,
            Link::OpenProtocol(link) => open_protocol::run(&link, slots, &reports, &clock, service).await,
            Link::Opcua(_) => {}
        }
    };
    stop.run_until_cancelled(Box::pin(run)).await;
}
