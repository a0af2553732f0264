//! What a reading came to: a look, a whole event, one that must be read again.

use super::mode::{Pending, pick};
use super::{Doing, Fault, Happened, Out, Phase, Poller, TRIES, Trouble, Unanswered};
use crate::model::plan::{Keep, PointIx};
use crate::model::sample::TriggerState;
use crate::model::{Moment, Raw};
use crate::watch::Happening;
use crate::watch::track::Seen;

impl Poller {
    /// The points of [`Step::Read`] were read: `values` by point, `None` where not asked, faulted or not decodable.
    /// `asked` is when the first request went out, `now` when the last answer came.
    pub fn read_done(&mut self, asked: Moment, now: Moment, values: &[Option<Raw>], faults: &[Fault]) {
        for (point, value) in values.iter().enumerate() {
            if value.is_some() {
                self.faults.remove(&point);
            }
        }
        for fault in faults {
            self.trouble(now, fault.clone());
        }
        self.note_life(now, values);
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Look(events) => {
                let mut values = values.to_vec();
                for (point, value) in std::mem::take(&mut self.salvaged) {
                    if let Some(slot) = values.get_mut(point) {
                        *slot = Some(value);
                    }
                }
                for event in events {
                    self.look(event, asked, now, &values, faults);
                }
            }
            Doing::Before(event) => {
                if let (Some(mode), Some(Phase::Reading(pending))) = (self.modes.get(event), self.phases.get_mut(event))
                {
                    pending.before = Some(pick(&mode.guard, values));
                }
            }
            Doing::Full(event) => self.full(event, now, values, faults),
            Doing::Behind(event) => self.behind(event, now, values, faults),
            Doing::Write(_) | Doing::Nothing => {}
        }
    }

    /// A read broke off, but this was read and is cleared by that: it is not read again before it is used.
    pub fn salvage(&mut self, point: PointIx, value: Raw) {
        match &self.doing {
            Doing::Look(_) => {
                self.salvaged.insert(point, value);
            }
            Doing::Full(event) => {
                if let Some(Phase::Reading(pending)) = self.phases.get_mut(*event) {
                    pending.kept.entry(point).or_insert(value);
                }
            }
            _ => {}
        }
    }

    pub(super) fn trouble(&mut self, now: Moment, fault: Fault) {
        let since = self.faults.get(&fault.point).map_or(now.tick, |old| old.since);
        let trouble = Trouble {
            text: fault.text,
            transient: fault.transient,
            since,
        };
        self.faults.insert(fault.point, trouble);
    }

    fn note_life(&mut self, now: Moment, values: &[Option<Raw>]) {
        let Some(alive) = &self.plan.alive else { return };
        let Some(value) = values.get(alive.point).and_then(Option::as_ref) else {
            return;
        };
        let first = self.life.still_since.is_none();
        if self.life.last.as_ref() != Some(value) {
            self.life.moved |= self.life.last.is_some() && !first;
            self.life.last = Some(value.clone());
            self.life.still_since = Some(now.tick);
        } else if first {
            self.life.still_since = Some(now.tick);
        }
    }

    /// One event in a look.
    fn look(&mut self, event: usize, asked: Moment, now: Moment, values: &[Option<Raw>], faults: &[Fault]) {
        let plan = self.plan.clone();
        let (Some(of), Some(mode)) = (plan.events.get(event), self.modes.get(event)) else {
            return;
        };
        let watched = |point: &PointIx| of.triggers.iter().any(|trigger| trigger.points().contains(point));
        if faults
            .iter()
            .any(|fault| watched(&fault.point) && mode.look.contains(&fault.point))
        {
            // Other flags of this event may be gone by reading: keep them.
            for flag in &mode.flags {
                if let Some(value) = values.get(*flag).cloned().flatten() {
                    self.salvaged.insert(*flag, value);
                }
            }
            return;
        }
        if of.ring.is_some() && self.look_ring(event, now, values) {
            if let Some(looked) = self.looked.get_mut(event) {
                *looked = Some(asked);
            }
            return;
        }
        let (Some(mode), Some(track), Some(phase)) = (
            self.modes.get(event),
            self.tracks.get_mut(event),
            self.phases.get_mut(event),
        ) else {
            return;
        };
        let seen = track.look(&plan, of, now.tick, values);
        let compares = track.recheck || !track.primed;
        if let Phase::Falling(until) = phase
            && !track.recheck
            && seen.level == Some(true)
            && !seen.another
        {
            if now.tick >= *until {
                *phase = Phase::Acking(now.tick);
                self.alarm(event, true);
            }
            return;
        }
        if seen.fires {
            let since = self.looked.get(event).copied().flatten();
            let whole = mode.one && mode.need <= 1;
            let missing = faults
                .iter()
                .any(|fault| fault.transient && mode.look.contains(&fault.point));
            if whole && !missing {
                self.happen(event, now, since, now, values.to_vec(), seen);
            } else {
                let mut pending = Pending {
                    seen: Some(now),
                    since,
                    before: (!mode.guard.is_empty()).then(|| pick(&mode.guard, values)),
                    not_before: if missing {
                        now.tick.saturating_add(self.poll)
                    } else {
                        now.tick
                    },
                    extra: if compares { mode.extra.clone() } else { Vec::new() },
                    ..Pending::default()
                };
                for flag in &mode.flags {
                    if let Some(value) = values.get(*flag).cloned().flatten() {
                        pending.kept.insert(*flag, value);
                    }
                }
                if mode.one && !missing {
                    pending.last = Some(values.to_vec());
                    pending.agree = 1;
                    pending.not_before = now.tick.saturating_add(self.poll);
                }
                *phase = Phase::Reading(Box::new(pending));
            }
            if let Some(looked) = self.looked.get_mut(event) {
                *looked = Some(asked);
            }
            return;
        }
        if let Some(looked) = self.looked.get_mut(event) {
            *looked = Some(asked);
        }
        self.settle(event, now, seen);
    }

    /// A look that is no event: baseline, fall, an acknowledgement to be written again.
    fn settle(&mut self, event: usize, now: Moment, seen: Seen) {
        let plan = self.plan.clone();
        let (Some(of), Some(mode), Some(track)) = (
            plan.events.get(event),
            self.modes.get(event),
            self.tracks.get_mut(event),
        ) else {
            return;
        };
        let baseline = seen.baseline;
        let level = seen.level;
        let again = seen.again.clone();
        let store = track.quiet(of, now.tick, seen) && of.keep == Keep::Stored && mode.polled;
        let owes = track.owed.is_some();
        if let Some(again) = again {
            track.owed = Some(again);
            self.set(event, Phase::Acking(now.tick));
            return;
        }
        let then = of.ack.as_ref().is_some_and(|ack| ack.then.is_some());
        if owes && mode.level && level != Some(true) {
            // Taken back: the handshake ends, once it is known for good that the trigger fell.
            self.alarm(event, false);
            if then {
                let ticket = self.ticket(Unanswered::Fallen(event));
                self.set(event, Phase::Fallen(ticket));
                self.store(event, Some(ticket));
            } else {
                if let Some(track) = self.tracks.get_mut(event) {
                    track.owed = None;
                }
                self.set(event, Phase::Idle);
                self.store(event, None);
            }
            return;
        }
        if matches!(self.phases.get(event), Some(Phase::Acking(_) | Phase::Falling(_))) && level != Some(true) {
            self.set(event, Phase::Idle);
        }
        if store {
            let ticket = baseline.then(|| self.ticket(Unanswered::Baseline(event)));
            self.store(event, ticket);
        }
    }

    fn full(&mut self, event: usize, now: Moment, values: &[Option<Raw>], faults: &[Fault]) {
        let (Some(mode), Some(Phase::Reading(pending))) = (self.modes.get(event), self.phases.get_mut(event)) else {
            return;
        };
        for point in &mode.once {
            if let Some(value) = values.get(*point).cloned().flatten() {
                pending.kept.entry(*point).or_insert(value);
            }
        }
        let needed = |fault: &Fault| mode.full.contains(&fault.point) || mode.once.contains(&fault.point);
        if faults.iter().any(|fault| fault.transient && needed(fault)) {
            pending.not_before = now.tick.saturating_add(self.poll);
            pending.before = None;
            return;
        }
        let mut reading = values.to_vec();
        for (point, value) in &pending.kept {
            if let Some(slot) = reading.get_mut(*point) {
                *slot = Some(value.clone());
            }
        }
        if mode.guard.is_empty() {
            self.agree(event, now, reading);
        } else {
            pending.fresh = Some(reading);
        }
    }

    fn behind(&mut self, event: usize, now: Moment, values: &[Option<Raw>], faults: &[Fault]) {
        let (Some(mode), Some(Phase::Reading(pending))) = (self.modes.get(event), self.phases.get_mut(event)) else {
            return;
        };
        let reading = pending.fresh.take();
        if faults.iter().any(|fault| mode.guard.contains(&fault.point)) {
            pending.before = None;
            pending.not_before = now.tick.saturating_add(self.poll);
            return;
        }
        if pending.record.is_some() {
            pending.fresh = reading;
            self.behind_record(event, now, values);
            return;
        }
        let behind = pick(&mode.guard, values);
        // Three times the same: the guard itself may come in several requests, and be of two moments both times.
        let same = |reading: &Vec<Option<Raw>>| {
            pending.before.as_ref() == Some(&behind) && pick(&mode.guard, reading) == behind
        };
        if let Some(reading) = reading.filter(same) {
            pending.before = Some(behind);
            self.agree(event, now, reading);
        } else {
            pending.before = Some(behind);
            pending.last = None;
            pending.agree = 0;
            self.again(event, now);
        }
    }

    /// It has to be read once more, now or, after too many tries, at the next poll.
    fn again(&mut self, event: usize, now: Moment) {
        let Some(Phase::Reading(pending)) = self.phases.get_mut(event) else {
            return;
        };
        pending.tries = pending.tries.saturating_add(1);
        if pending.tries >= TRIES {
            pending.tries = 0;
            pending.not_before = now.tick.saturating_add(self.poll);
            if let Some(restless) = self.restless.get_mut(event) {
                *restless = true;
            }
        }
    }

    /// A reading that is whole; does it agree with those before?
    fn agree(&mut self, event: usize, now: Moment, reading: Vec<Option<Raw>>) {
        let plan = self.plan.clone();
        let (Some(of), Some(mode), Some(track), Some(Phase::Reading(pending))) = (
            plan.events.get(event),
            self.modes.get(event),
            self.tracks.get_mut(event),
            self.phases.get_mut(event),
        ) else {
            return;
        };
        let same = pending
            .last
            .as_ref()
            .is_some_and(|last| pick(&mode.full, last) == pick(&mode.full, &reading));
        pending.agree = if same { pending.agree.saturating_add(1) } else { 1 };
        if pending.agree < mode.need {
            let restless = pending.last.replace(reading).is_some() && !same;
            if of.stable > 1 {
                pending.not_before = now.tick.saturating_add(self.poll);
            }
            if restless {
                self.again(event, now);
            }
            return;
        }
        let (since, first) = (pending.since, pending.seen.unwrap_or(now));
        if let Some(restless) = self.restless.get_mut(event) {
            *restless = false;
        }
        let seen = track.look(&plan, of, now.tick, &reading);
        self.set(event, Phase::Idle);
        if seen.fires {
            self.happen(event, now, since, first, reading, seen);
        } else {
            self.settle(event, now, seen);
        }
    }

    /// It happened: reports it.
    fn happen(
        &mut self,
        event: usize,
        now: Moment,
        since: Option<Moment>,
        first: Moment,
        values: Vec<Option<Raw>>,
        seen: Seen,
    ) {
        let plan = self.plan.clone();
        let (Some(of), Some(track)) = (plan.events.get(event), self.tracks.get_mut(event)) else {
            return;
        };
        let prior = track.primed.then(|| track.state(of));
        let before = track.before(plan.points.len());
        track.took(of, now.tick, seen, &values);
        self.happened(event, since, first, values, before, prior);
    }

    /// It was taken up: reports it.
    pub(super) fn happened(
        &mut self,
        event: usize,
        since: Option<Moment>,
        first: Moment,
        values: Vec<Option<Raw>>,
        before: Vec<Option<Raw>>,
        prior: Option<TriggerState>,
    ) {
        let plan = self.plan.clone();
        let (Some(of), Some(track)) = (plan.events.get(event), self.tracks.get(event)) else {
            return;
        };
        let stored = of.keep == Keep::Stored || of.ack.is_some();
        let state = (stored && self.modes.get(event).is_some_and(|mode| mode.polled)).then(|| track.state(of));
        self.alarm(event, false);
        if let Some(verify) = self.verify.get_mut(event) {
            *verify = None;
        }
        let ticket = stored.then(|| self.ticket(Unanswered::Sample(event, prior)));
        self.set(
            event,
            match ticket {
                Some(ticket) if of.ack.is_some() => Phase::Committing(ticket),
                _ => Phase::Idle,
            },
        );
        self.out.push(Out::Happened(Box::new(Happened {
            ticket,
            happening: Happening {
                event,
                values,
                before,
                state,
            },
            seen: first,
            since,
        })));
    }
}
