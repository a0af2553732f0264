//! When a device has something to say: triggers, baselines, handshakes, and the guard against results
//! that are put together from two moments (interface 3 "Triggers", "Handshakes"; 5; 6).
//!
//! Owns what is read or written next and what has happened; does no I/O and reads no clock: drivers
//! execute. [`Watcher`] looks at whole images at once (examples, replay). [`Poller`] runs a device
//! that is asked, step by step.

pub mod frames;
pub mod notices;
mod poller;
mod ring;
mod track;

pub use poller::{Fault, Happened, Out, Poller, Step, Ticket};

use crate::model::plan::{EventPlan, Said, SlotPlan, Trigger};
use crate::model::sample::TriggerState;
use crate::model::{Moment, Raw};
use std::collections::HashMap;
use std::sync::Arc;
use track::Track;

/// What something said by itself led to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heard {
    /// Events that happened, in the order of the plan.
    pub happened: Vec<Happening>,
    /// Triggers that moved without an event and must be stored: index of the event and its state.
    pub moved: Vec<(usize, TriggerState)>,
}

/// The triggers of one slot.
#[derive(Debug, Clone)]
pub struct Watcher {
    plan: Arc<SlotPlan>,
    tracks: Vec<Track>,
}

/// An event of the plan happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// Index into the plan's events.
    pub event: usize,
    /// Raw values by point.
    pub values: Vec<Option<Raw>>,
    /// Values of the trigger's points before, by point.
    pub before: Vec<Option<Raw>>,
    /// To be stored with it.
    pub state: Option<TriggerState>,
}

impl Watcher {
    /// Triggers of `plan`, going on from what is stored (by event name; another fingerprint is not carried over).
    #[must_use]
    pub fn new(plan: Arc<SlotPlan>, stored: &HashMap<String, TriggerState>) -> Self {
        let tracks = plan
            .events
            .iter()
            .map(|event| Track::new(event, stored.get(&*event.name)))
            .collect();
        Self { plan, tracks }
    }

    /// Looks at one complete image (values by point) at once; used by examples and replay. The first one is the baseline.
    ///
    /// Acknowledgements count as given at once. `every` is due from the second image on, and then when
    /// its time has passed by `now.tick`.
    pub fn observe(&mut self, now: Moment, values: &[Option<Raw>]) -> Vec<Happening> {
        self.observe_rings(now, values, &|_| values.to_vec())
    }

    /// The device said `values` by itself, as something of kind `said`. Events that look at none of it are not touched.
    pub fn hear(&mut self, now: Moment, values: &[Option<Raw>], said: Option<Said>) -> Heard {
        let plan = &self.plan;
        let mut heard = Heard::default();
        for (index, (event, track)) in plan.events.iter().zip(&mut self.tracks).enumerate() {
            let concerns = event.triggers.iter().any(|trigger| match trigger {
                Trigger::Said(kind) => said == Some(*kind),
                Trigger::Every(_) => true,
                trigger => trigger
                    .points()
                    .iter()
                    .any(|point| values.get(*point).is_some_and(Option::is_some)),
            });
            if concerns {
                said_to(plan, index, event, track, now, values, said, &mut heard);
            }
        }
        heard
    }

    /// [`Self::hear`] for one event alone, whatever its triggers look at.
    pub(crate) fn hear_one(
        &mut self,
        now: Moment,
        index: usize,
        values: &[Option<Raw>],
        said: Said,
        heard: &mut Heard,
    ) {
        let plan = &self.plan;
        if let (Some(event), Some(track)) = (plan.events.get(index), self.tracks.get_mut(index)) {
            said_to(plan, index, event, track, now, values, Some(said), heard);
        }
    }

    /// The state of one event as it would be stored now.
    #[must_use]
    pub fn state(&self, event: usize) -> Option<TriggerState> {
        let (plan, track) = (self.plan.events.get(event)?, self.tracks.get(event)?);
        track.primed.then(|| track.state(plan))
    }

    /// [`Self::observe`] where there may be ring buffers: `record` says what all points are, this many registers further on.
    pub fn observe_rings(
        &mut self,
        now: Moment,
        values: &[Option<Raw>],
        record: &dyn Fn(u16) -> Vec<Option<Raw>>,
    ) -> Vec<Happening> {
        let plan = &self.plan;
        let mut happened = Vec::new();
        for (index, (event, track)) in plan.events.iter().zip(&mut self.tracks).enumerate() {
            if let (Some(ring), true) = (&event.ring, track.primed) {
                for (values, before) in track.records(plan, event, ring, now.tick, values, record) {
                    let state = track.state(event);
                    track.owed = None;
                    happened.push(Happening {
                        event: index,
                        values,
                        before,
                        state: Some(state),
                    });
                }
                continue;
            }
            let seen = track.look(plan, event, now.tick, values);
            if !seen.fires {
                track.quiet(event, now.tick, seen);
                continue;
            }
            let before = track.before(plan.points.len());
            track.took(event, now.tick, seen, values);
            let state = track.state(event);
            track.owed = None;
            happened.push(Happening {
                event: index,
                values: values.to_vec(),
                before,
                state: Some(state),
            });
        }
        happened
    }
}

/// The device said `values` by itself: what that is to one event.
#[expect(
    clippy::too_many_arguments,
    reason = "one step of two loops over all that a watcher holds"
)]
fn said_to(
    plan: &SlotPlan,
    index: usize,
    event: &EventPlan,
    track: &mut Track,
    now: Moment,
    values: &[Option<Raw>],
    said: Option<Said>,
    heard: &mut Heard,
) {
    let seen = track.look_said(plan, event, now.tick, values, said);
    if !seen.fires {
        if track.quiet(event, now.tick, seen) {
            heard.moved.push((index, track.state(event)));
        }
        return;
    }
    let before = track.before(plan.points.len());
    track.took(event, now.tick, seen, values);
    heard.happened.push(Happening {
        event: index,
        values: values.to_vec(),
        before,
        state: Some(track.state(event)),
    });
}

#[cfg(test)]
mod tests;
