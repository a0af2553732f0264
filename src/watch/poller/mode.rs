//! How one event is read so that its values are of one moment. Pure.
//!
//! Owns what is read at a look, what when it happens, and what must be equal before and behind.

use super::Doing;
use super::ring::Record;
use crate::model::plan::{AckValue, EventPlan, Keep, PointIx, SlotPlan, Trigger};
use crate::model::{Moment, Raw};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How one event is read.
#[derive(Debug)]
pub(super) struct Mode {
    /// Read at every look.
    pub(super) look: Vec<PointIx>,
    /// Read besides when what the device shows is compared with what was taken.
    pub(super) extra: Vec<PointIx>,
    /// Read when it happens; without what reading clears.
    pub(super) full: Arc<[PointIx]>,
    /// Cleared by reading, but no trigger: read once when it happens.
    pub(super) once: Vec<PointIx>,
    /// Read before and behind, and must be equal; empty where one request covers all.
    pub(super) guard: Arc<[PointIx]>,
    /// Triggers that reading clears.
    pub(super) flags: Vec<PointIx>,
    /// A look is already the whole event.
    pub(super) one: bool,
    /// Readings that must agree.
    pub(super) need: u8,
    /// Looked at by poll, not only by its own cadence, nor when the device says something.
    pub(super) polled: bool,
    /// Waits for its trigger to fall once acknowledged.
    pub(super) level: bool,
}

impl Mode {
    pub(super) fn new(plan: &SlotPlan, event: &EventPlan, together: &dyn Fn(&[PointIx]) -> bool) -> Self {
        let clears = |point: &PointIx| {
            plan.points.get(*point).is_some_and(|point| {
                let at = point.at.registers();
                at.clears
            })
        };
        let triggers: BTreeSet<PointIx> = event.triggers.iter().flat_map(|t| t.points().iter().copied()).collect();
        let all: BTreeSet<PointIx> = event
            .points
            .iter()
            .chain(&event.id)
            .copied()
            .chain(triggers.iter().copied())
            // A record of a ring lies elsewhere than its index.
            .filter(|point| event.ring.as_ref().is_none_or(|ring| ring.index != *point))
            .collect();
        let flags: Vec<PointIx> = triggers.iter().copied().filter(clears).collect();
        let once: Vec<PointIx> = all
            .iter()
            .copied()
            .filter(clears)
            .filter(|p| !triggers.contains(p))
            .collect();
        let full: Arc<[PointIx]> = all.iter().copied().filter(|p| !clears(p)).collect();
        let covered = together(&full);
        let whole = covered && flags.is_empty() && once.is_empty() && event.ring.is_none();
        let quick = |t: &Trigger| matches!(t, Trigger::ChangesAny { .. });
        let guard: BTreeSet<PointIx> = event
            .triggers
            .iter()
            .filter(|t| !quick(t))
            .flat_map(|t| t.points().iter().copied())
            .chain(event.id.iter().copied())
            .filter(|p| !clears(p))
            .filter(|p| event.ring.as_ref().is_none_or(|ring| ring.index == *p))
            .collect();
        // Values that are each their own (`stable` 0, `latest`) need not be of one moment.
        let loose = event.stable == 0 || event.keep == Keep::Latest;
        let unguarded = !covered && guard.is_empty();
        // The index behind a record tells whether it was overwritten meanwhile.
        let covered = covered && event.ring.is_none();
        let look: BTreeSet<PointIx> = if whole {
            all
        } else if covered {
            triggers.iter().copied().collect()
        } else {
            triggers.iter().chain(&guard).copied().collect()
        };
        let echo = event.ack.as_ref().filter(|ack| matches!(ack.value, AckValue::Copy(_)));
        let source = echo.and_then(|ack| {
            if let AckValue::Copy(point) = ack.value {
                Some(point)
            } else {
                None
            }
        });
        let extra = event
            .id
            .iter()
            .copied()
            .filter(|_| event.ring.is_none())
            .chain(echo.map(|ack| ack.write))
            .chain(source)
            .filter(|p| !look.contains(p) && !clears(p))
            .collect();
        Self {
            look: look.into_iter().collect(),
            extra,
            full,
            once,
            guard: if (covered || loose) && event.ring.is_none() {
                Arc::from([])
            } else {
                guard.into_iter().collect()
            },
            flags,
            one: whole,
            need: event.stable.max(if unguarded && !loose { 2 } else { 1 }),
            polled: event
                .triggers
                .iter()
                .any(|t| !matches!(t, Trigger::Every(_) | Trigger::Said(_))),
            level: event
                .triggers
                .iter()
                .any(|t| matches!(t, Trigger::Rises(_) | Trigger::Falls(_) | Trigger::Equals(..))),
        }
    }
}

/// Values of an event that is being read.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) seen: Option<Moment>,
    pub(super) since: Option<Moment>,
    /// The guard as it was before.
    pub(super) before: Option<Vec<Option<Raw>>>,
    /// The reading whose guard is still to be read behind it.
    pub(super) fresh: Option<Vec<Option<Raw>>>,
    /// The reading before, for agreement.
    pub(super) last: Option<Vec<Option<Raw>>>,
    /// What reading cleared, by point.
    pub(super) kept: BTreeMap<PointIx, Raw>,
    pub(super) agree: u8,
    pub(super) tries: u8,
    pub(super) not_before: u64,
    /// Read besides, where what the device shows is compared with what was taken.
    pub(super) extra: Vec<PointIx>,
    /// Of a ring: which record is being read.
    pub(super) record: Option<Record>,
}

impl Pending {
    pub(super) fn step(&self, event: usize, mode: &Mode) -> (Doing, Arc<[PointIx]>) {
        if !mode.guard.is_empty() && self.before.is_none() {
            return (Doing::Before(event), mode.guard.clone());
        }
        if self.fresh.is_some() {
            return (Doing::Behind(event), mode.guard.clone());
        }
        let once: Vec<PointIx> = mode
            .once
            .iter()
            .copied()
            .filter(|p| !self.kept.contains_key(p))
            .collect();
        if once.is_empty() && self.extra.is_empty() {
            return (Doing::Full(event), mode.full.clone());
        }
        let besides = self.extra.iter().filter(|point| !mode.full.contains(point));
        let all = mode.full.iter().chain(besides).copied().chain(once);
        (Doing::Full(event), all.collect())
    }
}

/// The values of these points.
pub(super) fn pick(points: &[PointIx], values: &[Option<Raw>]) -> Vec<Option<Raw>> {
    points
        .iter()
        .map(|point| values.get(*point).cloned().flatten())
        .collect()
}
