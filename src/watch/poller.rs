//! A device that is asked: what to read or write next, step by step, and what came of it.
//!
//! Owns cadence, handshakes, back-pressure and the guard against torn results of one slot. The driver
//! asks [`Poller::next`], does that, tells the outcome, and passes on what [`Poller::take`] yields.

use super::Happening;
use super::track::{Seen, Track};
use crate::model::plan::{AckValue, Address, EventPlan, Keep, Link, PointIx, SlotPlan, Trigger};
use crate::model::sample::{LinkState, TriggerState};
use crate::model::{Moment, Raw};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Names one report that awaits its durable answer.
pub type Ticket = u64;

/// Reports of a slot that may be without an answer; then it is asked no more until one comes.
const UNANSWERED: usize = 32;
/// A device may be busy for this long (milliseconds) before it is called degraded.
const BUSY: u64 = 2_000;
/// Readings in a row that may disagree before the next poll tries again.
const TRIES: u8 = 8;

/// What the driver does next for this slot.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Read these points, then [`Poller::read_done`].
    Read(Arc<[PointIx]>),
    /// Write this value, then [`Poller::write_done`].
    Write {
        /// Where.
        point: PointIx,
        /// What.
        value: Raw,
    },
    /// Nothing before this tick; `None`: nothing before an answer comes.
    Wait(Option<u64>),
}

/// A point that the device would not give or take, though it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub point: PointIx,
    /// In a sentence: point, address, what the device said.
    pub text: String,
    /// Whether it may pass by itself (busy): then it is asked again before anything is made without it.
    pub transient: bool,
}

/// An event, to be reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// To be answered by [`Poller::answered`]; `None`: no durable answer is needed.
    pub ticket: Option<Ticket>,
    /// What happened.
    pub happening: Happening,
    /// The reading that showed it first.
    pub seen: Moment,
    /// The reading before, which did not show it yet.
    pub since: Option<Moment>,
}

/// What a step led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// An event.
    Happened(Box<Happened>),
    /// A trigger moved without an event.
    State {
        /// Index into the plan's events.
        event: usize,
        /// To be stored.
        state: TriggerState,
        /// To be answered by [`Poller::answered`], where something waits for it.
        ticket: Option<Ticket>,
    },
    /// `ack_timeout` came or went.
    Alarm {
        /// Whether it came.
        active: bool,
        /// In a sentence.
        text: String,
    },
}

/// How one event is read.
#[derive(Debug)]
struct Mode {
    /// Read at every look.
    look: Vec<PointIx>,
    /// Read besides when what the device shows is compared with what was taken.
    extra: Vec<PointIx>,
    /// Read when it happens; without what reading clears.
    full: Arc<[PointIx]>,
    /// Cleared by reading, but no trigger: read once when it happens.
    once: Vec<PointIx>,
    /// Read before and behind, and must be equal; empty where one request covers all.
    guard: Arc<[PointIx]>,
    /// Triggers that reading clears.
    flags: Vec<PointIx>,
    /// A look is already the whole event.
    one: bool,
    /// Readings that must agree.
    need: u8,
    /// Looked at by poll, not only by its own cadence.
    polled: bool,
    /// Waits for its trigger to fall once acknowledged.
    level: bool,
}

impl Mode {
    fn new(plan: &SlotPlan, event: &EventPlan, together: &dyn Fn(&[PointIx]) -> bool) -> Self {
        let clears = |point: &PointIx| {
            plan.points.get(*point).is_some_and(|point| {
                let Address::Modbus(at) = &point.at;
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
        let one = covered && flags.is_empty() && once.is_empty();
        let quick = |t: &Trigger| matches!(t, Trigger::ChangesAny { .. });
        let guard: BTreeSet<PointIx> = event
            .triggers
            .iter()
            .filter(|t| !quick(t))
            .flat_map(|t| t.points().iter().copied())
            .chain(event.id.iter().copied())
            .filter(|p| !clears(p))
            .collect();
        // Values that are each their own (`stable` 0, `latest`) need not be of one moment.
        let loose = event.stable == 0 || event.keep == Keep::Latest;
        let unguarded = !covered && guard.is_empty();
        let look: BTreeSet<PointIx> = if one {
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
            .chain(echo.map(|ack| ack.write))
            .chain(source)
            .filter(|p| !look.contains(p) && !clears(p))
            .collect();
        Self {
            look: look.into_iter().collect(),
            extra,
            full,
            once,
            guard: if covered || loose {
                Arc::from([])
            } else {
                guard.into_iter().collect()
            },
            flags,
            one,
            need: event.stable.max(if unguarded && !loose { 2 } else { 1 }),
            polled: event.triggers.iter().any(|t| !matches!(t, Trigger::Every(_))),
            level: event
                .triggers
                .iter()
                .any(|t| matches!(t, Trigger::Rises(_) | Trigger::Falls(_) | Trigger::Equals(..))),
        }
    }
}

/// Where one event stands.
#[derive(Debug)]
enum Phase {
    /// Its trigger is looked at.
    Idle,
    /// It happens; its values are being read.
    Reading(Box<Pending>),
    /// Reported; nothing is acknowledged before the answer.
    Committing(Ticket),
    /// The acknowledgement is to be written, not before this tick.
    Acking(u64),
    /// Acknowledged; the trigger must fall before this tick.
    Falling(u64),
    /// The trigger fell; that is being stored.
    Fallen(Ticket),
    /// `then` is to be written, not before this tick.
    Then(u64),
}

/// Values of an event that is being read.
#[derive(Debug, Default)]
struct Pending {
    seen: Option<Moment>,
    since: Option<Moment>,
    /// The guard as it was before.
    before: Option<Vec<Option<Raw>>>,
    /// The reading whose guard is still to be read behind it.
    fresh: Option<Vec<Option<Raw>>>,
    /// The reading before, for agreement.
    last: Option<Vec<Option<Raw>>>,
    /// What reading cleared, by point.
    kept: BTreeMap<PointIx, Raw>,
    agree: u8,
    tries: u8,
    not_before: u64,
}

/// What was asked of the driver last.
#[derive(Debug, Clone, PartialEq)]
enum Doing {
    Nothing,
    Look(Vec<usize>),
    Before(usize),
    Full(usize),
    Behind(usize),
    Write(usize),
}

/// What an answer is for.
#[derive(Debug)]
enum Unanswered {
    /// A result, and what was known before it.
    Sample(usize, Option<TriggerState>),
    Baseline(usize),
    Fallen(usize),
}

/// One slot's device, asked step by step.
#[derive(Debug)]
pub struct Poller {
    plan: Arc<SlotPlan>,
    tracks: Vec<Track>,
    modes: Vec<Mode>,
    phases: Vec<Phase>,
    /// By event: the last reading that did not show it.
    looked: Vec<Option<Moment>>,
    /// By event: an `ack_timeout` alarm is up.
    alarmed: Vec<bool>,
    /// Read at each poll while nothing special is under way.
    base: Arc<[PointIx]>,
    /// Cleared by reading in a look that did not come to its end.
    salvaged: BTreeMap<PointIx, Raw>,
    poll: u64,
    next_poll: u64,
    doing: Doing,
    unanswered: HashMap<Ticket, Unanswered>,
    tickets: Ticket,
    faults: BTreeMap<PointIx, Trouble>,
    /// By event: its values never agreed.
    restless: Vec<bool>,
    life: Life,
    out: Vec<Out>,
}

/// A fault that stands.
#[derive(Debug)]
struct Trouble {
    text: String,
    transient: bool,
    /// First seen, in ticks.
    since: u64,
}

#[derive(Debug, Default)]
struct Life {
    last: Option<Raw>,
    /// Since when it stands still (or is watched), in ticks.
    still_since: Option<u64>,
    /// Whether it ever changed since the link is up.
    moved: bool,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn pick(points: &[PointIx], values: &[Option<Raw>]) -> Vec<Option<Raw>> {
    points
        .iter()
        .map(|point| values.get(*point).cloned().flatten())
        .collect()
}

impl Poller {
    /// The slot of `plan`, going on from what is stored (by event name). `together` says whether one
    /// request reads all these points, and nothing can come between them.
    #[must_use]
    pub fn new(
        plan: Arc<SlotPlan>,
        stored: &HashMap<String, TriggerState>,
        together: &dyn Fn(&[PointIx]) -> bool,
    ) -> Self {
        let Link::ModbusTcp(link) = &plan.link;
        let events = plan.events.len();
        let modes: Vec<Mode> = plan
            .events
            .iter()
            .map(|event| Mode::new(&plan, event, together))
            .collect();
        let base: BTreeSet<PointIx> = modes
            .iter()
            .filter(|mode| mode.polled)
            .flat_map(|mode| mode.look.iter().copied())
            .chain(plan.alive.as_ref().map(|alive| alive.point))
            .collect();
        Self {
            tracks: plan
                .events
                .iter()
                .map(|event| Track::new(event, stored.get(&*event.name)))
                .collect(),
            modes,
            phases: std::iter::repeat_with(|| Phase::Idle).take(events).collect(),
            looked: vec![None; events],
            alarmed: vec![false; events],
            restless: vec![false; events],
            base: base.into_iter().collect(),
            salvaged: BTreeMap::new(),
            poll: millis(link.poll),
            next_poll: 0,
            doing: Doing::Nothing,
            unanswered: HashMap::new(),
            tickets: 0,
            faults: BTreeMap::new(),
            life: Life::default(),
            out: Vec::new(),
            plan,
        }
    }

    /// The requests are cut otherwise from now on: says again what one request covers.
    pub fn recut(&mut self, together: &dyn Fn(&[PointIx]) -> bool) {
        self.modes = self
            .plan
            .events
            .iter()
            .map(|event| Mode::new(&self.plan, event, together))
            .collect();
        let base: BTreeSet<PointIx> = self
            .modes
            .iter()
            .filter(|mode| mode.polled)
            .flat_map(|mode| mode.look.iter().copied())
            .chain(self.plan.alive.as_ref().map(|alive| alive.point))
            .collect();
        self.base = base.into_iter().collect();
    }

    /// What to do now. The same again until its outcome is told.
    pub fn next(&mut self, now: Moment) -> Step {
        let tick = now.tick;
        let mut wake: Option<u64> = None;
        let mut at = |due: u64| wake = Some(wake.map_or(due, |wake| wake.min(due)));
        for (event, phase) in self.phases.iter().enumerate() {
            let (Some(plan), Some(track)) = (self.plan.events.get(event), self.tracks.get(event)) else {
                continue;
            };
            let write = match (phase, &plan.ack) {
                (Phase::Acking(from), Some(ack)) if !track.recheck => Some((*from, ack.write, track.owed.clone())),
                (Phase::Then(from), Some(ack)) => Some((*from, ack.write, ack.then.clone())),
                _ => None,
            };
            match write {
                Some((from, point, Some(value))) if from <= tick => {
                    self.doing = Doing::Write(event);
                    return Step::Write { point, value };
                }
                Some((from, ..)) => at(from),
                None => {}
            }
            if let Phase::Reading(pending) = phase {
                if pending.not_before > tick {
                    at(pending.not_before);
                } else if let Some(mode) = self.modes.get(event) {
                    let (doing, points) = pending.step(event, mode);
                    self.doing = doing;
                    return Step::Read(points);
                }
            }
        }
        if self.unanswered.len() >= UNANSWERED {
            return Step::Wait(wake);
        }
        let polls = !self.base.is_empty() && tick >= self.next_poll;
        let mut events = Vec::new();
        for (event, mode) in self.modes.iter().enumerate() {
            let (Some(plan), Some(track), Some(phase)) = (
                self.plan.events.get(event),
                self.tracks.get(event),
                self.phases.get(event),
            ) else {
                continue;
            };
            let open = match phase {
                Phase::Idle | Phase::Falling(_) => true,
                Phase::Acking(_) => track.recheck,
                _ => false,
            };
            let due = track.next_due(plan);
            if open && (polls && mode.polled || due.is_some_and(|due| due <= tick)) {
                events.push(event);
            } else if let (true, Some(due)) = (open, due) {
                at(due);
            }
        }
        if !polls && events.is_empty() {
            if !self.base.is_empty() {
                at(self.next_poll);
            }
            return Step::Wait(wake);
        }
        if polls {
            // Start to start; looks that were missed are skipped.
            let behind = tick.saturating_sub(self.next_poll) / self.poll;
            let from = if self.next_poll == 0 {
                tick
            } else {
                self.next_poll.saturating_add(behind.saturating_mul(self.poll))
            };
            self.next_poll = from.saturating_add(self.poll);
        }
        let points = self.look_points(&events, polls);
        self.doing = Doing::Look(events);
        Step::Read(points)
    }

    /// What a look at these events reads.
    fn look_points(&self, events: &[usize], polls: bool) -> Arc<[PointIx]> {
        let special = |event: &usize| {
            self.modes.get(*event).is_none_or(|mode| !mode.polled)
                || self
                    .tracks
                    .get(*event)
                    .is_none_or(|track| track.recheck || !track.primed)
        };
        let polled = self.modes.iter().filter(|mode| mode.polled).count();
        if polls && events.len() == polled && self.salvaged.is_empty() && !events.iter().any(special) {
            return self.base.clone();
        }
        let mut points: BTreeSet<PointIx> = BTreeSet::new();
        points.extend(self.plan.alive.as_ref().filter(|_| polls).map(|alive| alive.point));
        for event in events {
            let (Some(mode), Some(track)) = (self.modes.get(*event), self.tracks.get(*event)) else {
                continue;
            };
            points.extend(&mode.look);
            if track.recheck || !track.primed {
                points.extend(&mode.extra);
            }
        }
        points.retain(|point| !self.salvaged.contains_key(point));
        points.into_iter().collect()
    }

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

    fn trouble(&mut self, now: Moment, fault: Fault) {
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
        let (Some(of), Some(mode), Some(track), Some(phase)) = (
            plan.events.get(event),
            self.modes.get(event),
            self.tracks.get_mut(event),
            self.phases.get_mut(event),
        ) else {
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
        let seen = track.look(&plan, of, now.tick, values);
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
        let behind = pick(&mode.guard, values);
        if let (Some(reading), true) = (reading, pending.before.as_ref() == Some(&behind)) {
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
        let stored = of.keep == Keep::Stored || of.ack.is_some();
        let state = (stored && self.modes.get(event).is_some_and(|mode| mode.polled)).then(|| track.state(of));
        self.alarm(event, false);
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

    /// The write of [`Step::Write`] was done, or refused by an exception.
    pub fn write_done(&mut self, now: Moment, outcome: Result<(), Fault>) {
        let Doing::Write(event) = std::mem::replace(&mut self.doing, Doing::Nothing) else {
            return;
        };
        let plan = self.plan.clone();
        let (Some(ack), Some(phase), Some(mode), Some(track)) = (
            plan.events.get(event).and_then(|of| of.ack.as_ref()),
            self.phases.get_mut(event),
            self.modes.get(event),
            self.tracks.get_mut(event),
        ) else {
            return;
        };
        if let Err(fault) = outcome {
            let later = now.tick.saturating_add(self.poll);
            match phase {
                Phase::Acking(from) | Phase::Then(from) => *from = later,
                _ => {}
            }
            self.trouble(now, fault);
            return;
        }
        self.faults.remove(&ack.write);
        if matches!(phase, Phase::Acking(_)) && mode.level {
            *phase = Phase::Falling(now.tick.saturating_add(millis(ack.timeout)));
            return;
        }
        *phase = Phase::Idle;
        track.owed = None;
        self.store(event, None);
    }

    /// What was reported under `ticket` is durable, or could not be made so.
    pub fn answered(&mut self, now: Moment, ticket: Ticket, durable: bool) {
        let Some(what) = self.unanswered.remove(&ticket) else {
            return;
        };
        let (Unanswered::Sample(event, _) | Unanswered::Baseline(event) | Unanswered::Fallen(event)) = what;
        let (Some(phase), Some(track)) = (self.phases.get_mut(event), self.tracks.get_mut(event)) else {
            return;
        };
        let current = matches!(phase, Phase::Committing(of) | Phase::Fallen(of) if *of == ticket);
        match (what, durable) {
            (Unanswered::Sample(..), true) if current && track.owed.is_some() => *phase = Phase::Acking(now.tick),
            // What it should copy was not there: nothing can be written.
            (Unanswered::Sample(..), true) if current => *phase = Phase::Idle,
            (Unanswered::Sample(_, prior), false) if current => {
                track.restore(prior);
                *phase = Phase::Idle;
            }
            (Unanswered::Baseline(_), false) => track.primed = false,
            (Unanswered::Fallen(_), true) if current => *phase = Phase::Then(now.tick),
            (Unanswered::Fallen(_), false) if current => *phase = Phase::Idle,
            _ => {}
        }
    }

    /// The link is lost: what the device shows afterwards is compared with what was taken, before anything is written.
    pub fn link_lost(&mut self) {
        self.doing = Doing::Nothing;
        self.faults.clear();
        self.life = Life::default();
        self.next_poll = 0;
        for (track, phase) in self.tracks.iter_mut().zip(&mut self.phases) {
            track.recheck = track.primed;
            if let Phase::Reading(pending) = phase {
                if pending.kept.is_empty() {
                    *phase = Phase::Idle;
                } else {
                    pending.before = None;
                    pending.fresh = None;
                    pending.last = None;
                    pending.agree = 0;
                    pending.not_before = 0;
                }
            }
        }
    }

    /// What came of the steps so far, in order.
    pub fn take(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    /// How the slot is, and why; `None` while it is starting (no baseline yet, life sign not judged).
    #[must_use]
    pub fn condition(&self, now: Moment) -> Option<(LinkState, String)> {
        let mut standing = self
            .faults
            .values()
            .filter(|trouble| !trouble.transient || now.tick.saturating_sub(trouble.since) >= BUSY);
        if let Some(trouble) = standing.next() {
            let text = match standing.count() {
                0 => trouble.text.clone(),
                1 => format!("{} (and one more point)", trouble.text),
                more => format!("{} (and {more} more points)", trouble.text),
            };
            return Some((LinkState::Degraded, text));
        }
        let restless = self
            .plan
            .events
            .iter()
            .zip(&self.restless)
            .find(|(_, restless)| **restless);
        if let Some((event, _)) = restless {
            let text = format!(
                "`{}` changes faster than it can be read as a whole; poll less, or bring its points closer together",
                event.name
            );
            return Some((LinkState::Degraded, text));
        }
        let waits = self
            .unanswered
            .values()
            .any(|what| matches!(what, Unanswered::Baseline(_)));
        let unprimed = self
            .tracks
            .iter()
            .zip(&self.modes)
            .any(|(track, mode)| mode.polled && !track.primed);
        if let Some(alive) = &self.plan.alive {
            let still = self.life.still_since.map_or(0, |since| now.tick.saturating_sub(since));
            if still > millis(alive.within) {
                let name = self.plan.points.get(alive.point).map_or("", |point| &*point.name);
                let text = format!("answers, but its life sign `{name}` has not changed for {still} ms");
                return Some((LinkState::Degraded, text));
            }
            if !self.life.moved {
                return None;
            }
        }
        (!waits && !unprimed).then(|| (LinkState::Online, String::new()))
    }

    fn set(&mut self, event: usize, phase: Phase) {
        if let Some(slot) = self.phases.get_mut(event) {
            *slot = phase;
        }
    }

    fn ticket(&mut self, what: Unanswered) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        self.unanswered.insert(self.tickets, what);
        self.tickets
    }

    fn store(&mut self, event: usize, ticket: Option<Ticket>) {
        if let (Some(of), Some(track)) = (self.plan.events.get(event), self.tracks.get(event)) {
            let state = track.state(of);
            self.out.push(Out::State { event, state, ticket });
        }
    }

    fn alarm(&mut self, event: usize, active: bool) {
        let (Some(of), Some(up)) = (self.plan.events.get(event), self.alarmed.get_mut(event)) else {
            return;
        };
        if *up == active {
            return;
        }
        *up = active;
        let text = if active {
            format!(
                "the device does not take back the trigger of `{}` though it was acknowledged; it is acknowledged again",
                of.name
            )
        } else {
            format!("the device took back the trigger of `{}`", of.name)
        };
        self.out.push(Out::Alarm { active, text });
    }
}

impl Pending {
    fn step(&self, event: usize, mode: &Mode) -> (Doing, Arc<[PointIx]>) {
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
        if once.is_empty() {
            return (Doing::Full(event), mode.full.clone());
        }
        (Doing::Full(event), mode.full.iter().copied().chain(once).collect())
    }
}

#[cfg(test)]
mod tests;
