//! What came of asking a device, as reports: for drivers that run a [`crate::watch::Poller`].
//!
//! Owns the shape of these reports. Does not own when there is something to report: the poller does.

use crate::model::plan::{PointIx, SlotPlan};
use crate::model::sample::Report;
use crate::model::{Moment, Sample};
use crate::watch::{Out, Ticket};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a driver knows of a result beside its values.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// As it stood on the wire.
    pub(super) raw: String,
    /// What the device says of points that are not good.
    pub(super) quality: Vec<(PointIx, Arc<str>)>,
}

/// The report of what came of a step; `awaits` keeps what answers a ticket. `None`: of an event that the plan does not have.
pub(super) fn report(
    plan: &Arc<SlotPlan>,
    out: Out,
    now: Moment,
    beside: Beside,
    mut awaits: impl FnMut(Ticket) -> oneshot::Sender<()>,
) -> Option<Report> {
    Some(match out {
        Out::Happened(happened) => Report::Sample(Box::new(Sample {
            plan: plan.clone(),
            event: happened.happening.event,
            values: happened.happening.values,
            before: happened.happening.before,
            seen: happened.seen,
            since: happened.since,
            raw: beside.raw,
            backfill: false,
            faults: Vec::new(),
            quality: beside.quality,
            state: happened.happening.state,
            durable: happened.ticket.map(&mut awaits),
        })),
        Out::State { event, state, ticket } => Report::State {
            slot: plan.slot.clone(),
            event: plan.events.get(event)?.name.clone(),
            state,
            durable: ticket.map(&mut awaits),
        },
        Out::Alarm { active, text } => Report::Alarm {
            slot: plan.slot.clone(),
            code: "ack_timeout",
            active,
            text,
            at: now,
        },
    })
}
