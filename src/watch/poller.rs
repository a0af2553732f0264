//! A device that is asked: what to read or write next, step by step, and what came of it.
//!
//! Owns cadence, handshakes, back-pressure and the guard against torn results of one slot. The driver
//! asks [`Poller::next`], does that, tells the outcome, and passes on what [`Poller::take`] yields.

mod mode;
mod reading;
mod ring;

use super::Happening;
use super::track::Track;
use crate::model::plan::{AckValue, Link, PointIx, SlotPlan};
use crate::model::sample::{LinkState, TriggerState};
use crate::model::{Moment, Raw};
use mode::{Mode, Pending};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Names one report that awaits its durable answer.
pub type Ticket = u64;

/// Reports of a slot that may be without an answer; then it is asked no more until one comes.
const UNANSWERED: usize = 32;
/// A device may be busy for this long (milliseconds) before it is called degraded.
const BUSY: u64 = 2_000;
/// The longest wait (milliseconds) before an acknowledgement by copy is looked at again.
const LONGEST: u64 = 60_000;
/// Readings in a row that may disagree before the next poll tries again.
const TRIES: u8 = 8;

/// What the driver does next for this slot.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Read these points, then [`Poller::read_done`].
    Read {
        /// Which.
        points: Arc<[PointIx]>,
        /// By how many registers they lie behind their addresses: those of a record of a ring.
        shift: u16,
        /// What the device said by itself answers it ([`Poller::offer`]); the device need not be asked.
        told: bool,
    },
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
    /// The device tells by itself what changes; whether it has. `None`: it is asked at each poll.
    told: Option<bool>,
    /// By event: what the device told came while it was busy with another result.
    missed: Vec<bool>,
    doing: Doing,
    unanswered: HashMap<Ticket, Unanswered>,
    tickets: Ticket,
    faults: BTreeMap<PointIx, Trouble>,
    /// By event: its values never agreed.
    restless: Vec<bool>,
    /// By event: when the device's copy of the acknowledgement is looked at once more, and how long that waited.
    verify: Vec<Option<(u64, u64)>>,
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

impl Poller {
    /// The slot of `plan`, going on from what is stored (by event name). `together` says whether one
    /// request reads all these points, and nothing can come between them.
    #[must_use]
    pub fn new(
        plan: Arc<SlotPlan>,
        stored: &HashMap<String, TriggerState>,
        together: &dyn Fn(&[PointIx]) -> bool,
    ) -> Self {
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
            verify: vec![None; events],
            base: base.into_iter().collect(),
            salvaged: BTreeMap::new(),
            poll: match &plan.link {
                Link::Modbus(link) => millis(link.poll),
                Link::Opcua(link) => millis(link.publishing),
                Link::OpenProtocol(_) | Link::Framed(_) => 1,
            },
            next_poll: 0,
            told: None,
            missed: vec![false; events],
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

    /// From now on the device tells by itself what changes; it is asked only where something must be known that it does not
    /// tell. `false`: it is asked at each poll again.
    pub fn is_told(&mut self, told: bool) {
        self.told = told.then_some(false);
    }

    /// The device told something: the next look is answered by that.
    pub fn offer(&mut self) {
        self.told = self.told.map(|_| true);
    }

    /// What the device tells shows how it was at this time: nothing of what it tells next had happened yet.
    pub fn looked_until(&mut self, moment: Moment) {
        for looked in &mut self.looked {
            if looked.is_none_or(|looked| looked.tick < moment.tick) {
                *looked = Some(moment);
            }
        }
    }

    /// What is looked at: triggers, what must be equal before and behind, the life sign.
    #[must_use]
    pub fn watched(&self) -> &[PointIx] {
        &self.base
    }

    /// Whether the device must be asked though it tells what changes: at the first sight, after a loss of the link, and where
    /// it should have said something by now.
    fn must_ask(&self, tick: u64) -> bool {
        let events = self.tracks.iter().zip(&self.modes).zip(&self.phases);
        events
            .zip(&self.missed)
            .any(|(((track, mode), phase), missed)| match phase {
                Phase::Falling(until) => *until <= tick || *missed,
                Phase::Idle => {
                    let window = track.window_end().is_some_and(|end| end <= tick);
                    mode.polled && (track.recheck || !track.primed || *missed || window)
                }
                Phase::Acking(_) => mode.polled && track.recheck,
                _ => false,
            })
    }

    /// When it may have to be asked though it said nothing.
    fn doubts(&self) -> Option<u64> {
        let falls = self.phases.iter().filter_map(|phase| match phase {
            Phase::Falling(until) => Some(*until),
            _ => None,
        });
        let verify = self.verify.iter().flatten().map(|(due, _)| *due);
        let windows = self.tracks.iter().zip(&self.phases);
        let windows = windows.filter_map(|(track, phase)| track.window_end().filter(|_| matches!(phase, Phase::Idle)));
        falls.chain(verify.filter(|due| *due != u64::MAX)).chain(windows).min()
    }

    /// Whether it is time for a look, and whether what the device told answers it.
    fn look_due(&mut self, tick: u64) -> (bool, bool) {
        if self.base.is_empty() {
            return (false, false);
        }
        match self.told {
            None => (tick >= self.next_poll, false),
            Some(true) => (true, true),
            Some(false) => (tick >= self.next_poll && self.must_ask(tick), false),
        }
    }

    /// What to do now. The same again until its outcome is told.
    pub fn next(&mut self, now: Moment) -> Step {
        let tick = now.tick;
        self.doubt_acknowledgements(tick);
        let mut wake: Option<u64> = None;
        if let Some(step) = self.under_way(tick, &mut wake, |_| true) {
            return step;
        }
        let mut at = |due: u64| wake = Some(wake.map_or(due, |wake| wake.min(due)));
        if self.unanswered.len() >= UNANSWERED {
            return Step::Wait(wake);
        }
        let (polls, told) = self.look_due(tick);
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
            let now = due.is_some_and(|due| due <= tick) && !told;
            if let (true, true, Some(missed)) = (polls, mode.polled, self.missed.get_mut(event)) {
                *missed = !open && (told || *missed);
            }
            if open && (polls && mode.polled || now) {
                events.push(event);
            } else if let (true, Some(due)) = (open, due) {
                at(due);
            }
        }
        if told {
            self.told = Some(false);
        } else if polls {
            // Start to start; looks that were missed are skipped.
            let missed = tick.saturating_sub(self.next_poll) / self.poll;
            let from = match self.next_poll {
                0 => tick,
                start => start.saturating_add(missed.saturating_mul(self.poll)),
            };
            self.next_poll = from.saturating_add(self.poll);
        }
        if events.is_empty() && !told && !(polls && self.plan.alive.is_some()) {
            match self.told {
                None if !self.base.is_empty() => at(self.next_poll),
                Some(_) if self.must_ask(tick) => at(self.next_poll),
                _ => {}
            }
            if let (Some(_), Some(due)) = (self.told, self.doubts()) {
                at(due.max(self.next_poll));
            }
            return Step::Wait(wake);
        }
        let points = self.look_points(&events, polls);
        self.doing = Doing::Look(events);
        Step::Read { points, shift: 0, told }
    }

    /// What was begun and can go on now; `wake` learns of what can go on later. `reads`: whether this reading goes on.
    fn under_way(&mut self, tick: u64, wake: &mut Option<u64>, reads: impl Fn(&Pending) -> bool) -> Option<Step> {
        let mut at = |due: u64| *wake = Some(wake.map_or(due, |wake| wake.min(due)));
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
                    return Some(Step::Write { point, value });
                }
                Some((from, ..)) => at(from),
                None => {}
            }
            if let Phase::Reading(pending) = phase
                && reads(pending)
            {
                if pending.not_before > tick {
                    at(pending.not_before);
                } else if pending.record.is_some() && self.unanswered.len() >= UNANSWERED {
                    // A ring has many records: the disk sets the pace.
                } else if let Some(mode) = self.modes.get(event) {
                    let (doing, points) = pending.step(event, mode);
                    let record = pending.record.as_ref().filter(|_| matches!(doing, Doing::Full(_)));
                    let shift = record.map_or(0, |record| record.shift);
                    self.doing = doing;
                    return Some(Step::Read {
                        points,
                        shift,
                        told: false,
                    });
                }
            }
        }
        None
    }

    /// [`Self::next`] of a device that is let go: what is under way comes to its end, what is owed for what is durable is
    /// written, and nothing new is begun. `reads`: results that are being read are still read to their end; a ring keeps
    /// its own. What a device takes back after an acknowledgement is not waited for: the stored state carries it.
    /// `None`: nothing is left to be done.
    pub fn wind_up(&mut self, now: Moment, reads: bool) -> Option<Step> {
        if reads && !self.salvaged.is_empty() {
            // A look that broke off: what it cleared is known here only.
            return Some(self.next(now));
        }
        let goes_on = |pending: &Pending| reads && pending.record.is_none();
        let left = self.phases.iter().zip(&self.tracks).any(|(phase, track)| match phase {
            Phase::Committing(_) | Phase::Fallen(_) | Phase::Then(_) => true,
            Phase::Acking(_) => !track.recheck,
            Phase::Reading(pending) => goes_on(pending),
            Phase::Idle | Phase::Falling(_) => false,
        });
        let mut wake = None;
        let step = self.under_way(now.tick, &mut wake, goes_on);
        step.or_else(|| left.then_some(Step::Wait(wake)))
    }

    /// A device may lose an acknowledgement that it took (its program writes over it): what is still shown a while
    /// later is compared once more, less and less often.
    fn doubt_acknowledgements(&mut self, tick: u64) {
        for ((verify, track), phase) in self.verify.iter_mut().zip(&mut self.tracks).zip(&self.phases) {
            if let (Some((due, _)), Phase::Idle) = (verify, phase)
                && *due <= tick
            {
                *due = u64::MAX;
                track.recheck = track.primed;
            }
        }
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
        let blind = plan.events.get(event).is_some_and(|of| of.id.is_empty());
        if matches!(phase, Phase::Acking(_)) && blind && track.wrote(ack) {
            // The acknowledgement is the fall itself. Without an id nothing else would tell the next result from this
            // one, and that would be acknowledged unread.
            *phase = Phase::Idle;
            self.alarm(event, false);
            self.store(event, None);
            return;
        }
        if matches!(phase, Phase::Acking(_)) && mode.level {
            *phase = Phase::Falling(now.tick.saturating_add(millis(ack.timeout)));
            return;
        }
        *phase = Phase::Idle;
        if let (AckValue::Copy(_), Some(verify)) = (&ack.value, self.verify.get_mut(event)) {
            let wait = verify.map_or(millis(ack.timeout), |(_, wait)| wait.saturating_mul(2).min(LONGEST));
            *verify = Some((now.tick.saturating_add(wait), wait));
        }
        // Not stored by itself, to spare the disk a sync a result: until the next state is stored, a restart reads what
        // the device shows, compares it, and writes this once more.
        track.owed = None;
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
            (Unanswered::Sample(_, prior), false) if current => {
                track.restore(prior);
                *phase = Phase::Idle;
            }
            (Unanswered::Baseline(_), false) => track.primed = false,
            (Unanswered::Fallen(_), true) if current => *phase = Phase::Then(now.tick),
            // Nothing can be copied into the acknowledgement, or the fall is to be seen again.
            (Unanswered::Sample(..), true) | (Unanswered::Fallen(_), false) if current => *phase = Phase::Idle,

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
                // The same words for as long as it stands: every other text is another status.
                let text = format!(
                    "answers, but its life sign `{name}` has not changed for more than {} ms",
                    millis(alive.within)
                );
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

#[cfg(test)]
mod ring_tests;
#[cfg(test)]
mod tests;
