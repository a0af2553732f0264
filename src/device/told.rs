//! What was last told of a slot's link, so that it is told again only where it changed.
//!
//! Owns the sentence of a device that is out of reach. Does not own when that is so: the drivers do.

use crate::model::Moment;
use crate::model::plan::SlotPlan;
use crate::model::sample::{LinkState, Report};
use tokio::sync::mpsc;

/// The memory of one slot.
#[derive(Debug, Default)]
pub(super) struct Told {
    last: Option<(LinkState, String)>,
    offline_since: Option<Moment>,
}

impl Told {
    /// Whether anything was told yet.
    pub(super) fn anything(&self) -> bool {
        self.last.is_some()
    }

    /// Whether this was told last.
    pub(super) fn is(&self, state: LinkState) -> bool {
        self.last.as_ref().is_some_and(|(last, _)| *last == state)
    }

    /// It can be reached again: the next time without counts anew.
    pub(super) fn reached(&mut self) {
        self.offline_since = None;
    }

    /// It is out of reach, for this reason, since the first time that this is said in a row.
    pub(super) fn offline(&mut self, plan: &SlotPlan, now: Moment, reason: &str) -> Option<Report> {
        let since = *self.offline_since.get_or_insert(now);
        let text = format!("{}: {reason} (since {})", plan.link.address(), since.rfc3339());
        self.say(plan, LinkState::Offline, text, since)
    }

    /// This is how the link is; `None`: that was told last.
    pub(super) fn say(&mut self, plan: &SlotPlan, state: LinkState, reason: String, at: Moment) -> Option<Report> {
        let told = Some((state, reason.clone()));
        if self.last == told {
            return None;
        }
        self.last = told;
        Some(Report::Link {
            slot: plan.slot.clone(),
            state,
            reason,
            at,
        })
    }
}

/// Passes on what is news; `closed` where nobody receives it any more.
pub(super) async fn pass_on<E>(told: Option<Report>, reports: &mpsc::Sender<Report>, closed: E) -> Result<(), E> {
    match told {
        Some(report) => reports.send(report).await.map_err(|_| closed),
        None => Ok(()),
    }
}
