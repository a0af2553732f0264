//! One event of a plan: its memory, and what a reading means to it. Pure; [`super`] decides what follows.

use super::ring::{self, Turns};
use crate::model::plan::{
    Ack, AckValue, Address, EventPlan, OnStart, PointIx, PointPlan, Ring, Said, SlotPlan, Trigger,
};
use crate::model::sample::TriggerState;
use crate::model::{Decimal, Raw};
use crate::wire::modbus;

/// Raw values by point.
type Values = Vec<Option<Raw>>;

/// What one event remembers between readings.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// Points of all triggers, one after another.
    watched: Vec<PointIx>,
    /// Last value of each of `watched`. Of `changes`: the last valid one, kept while it is invalid.
    /// Of levels: `None` while it is invalid, so that it counts as fallen.
    pub(super) last: Vec<Option<Raw>>,
    /// Of each of `watched`: it was read as no value since. The next valid one counts as a change of `changes`,
    /// be it the same (interface 3). Not stored: what was not seen by this run says nothing.
    rearmed: Vec<bool>,
    /// Whether there is a baseline.
    pub(super) primed: bool,
    /// Raw id values of the last result.
    pub(super) taken: Option<Vec<Option<Raw>>>,
    /// The acknowledgement that is owed.
    pub(super) owed: Option<Raw>,
    /// Set at every start and reconnect: what the device shows is compared with what was taken.
    pub(super) recheck: bool,
    /// By trigger: when `every` is due, when the window of `at_most` ends.
    due: Vec<Option<u64>>,
    /// By trigger: a change waits for the end of its window.
    waits: Vec<bool>,
}

/// What a reading means to one event.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent findings about one reading, not a state"
)]
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// It happens.
    pub(super) fires: bool,
    /// The first value ever.
    pub(super) baseline: bool,
    /// Whether a level (`rises`, `falls`, `equals`) shows; `None`: the event has none.
    pub(super) level: Option<bool>,
    /// The device shows another id than the one taken.
    pub(super) another: bool,
    /// A level went.
    pub(super) fell: bool,
    /// The device still shows what was taken: this is written again.
    pub(super) again: Option<Raw>,
    /// What is remembered from now on, unless it fires.
    quiet: Vec<Option<Raw>>,
    /// What is remembered from now on if it fires.
    loud: Vec<Option<Raw>>,
    /// Which of them were read as no value since the last valid one.
    rearmed: Vec<bool>,
    /// By trigger: a change that waits for the end of its window.
    waits: Vec<bool>,
}

/// A value that counts: read, not `invalid`, not NaN.
pub(super) fn valid<'a>(plan: &SlotPlan, point: PointIx, values: &'a [Option<Raw>]) -> Option<&'a Raw> {
    let value = values.get(point)?.as_ref()?;
    let odd = matches!(value, Raw::F32(_) | Raw::F64(_)) && value.number().is_none();
    let invalid = |point: &PointPlan| point.invalid.iter().any(|no| no.same_value(value));
    (!odd && !plan.points.get(point).is_some_and(invalid)).then_some(value)
}

/// What stands in `point` once `raw` was written there: the low bits of a wider number.
pub(super) fn as_written(point: &PointPlan, raw: &Raw) -> Option<Raw> {
    match &point.at {
        Address::Modbus(at) => modbus::decode_words(at, &modbus::encode(at, raw).ok()?),
        Address::Opcua(at) => Some(at.narrowed(raw)),
        Address::Field(_) | Address::Frame(_) => None,
    }
}

/// The value that acknowledges what `values` show.
pub(super) fn ack_value(ack: &Ack, values: &[Option<Raw>]) -> Option<Raw> {
    match &ack.value {
        AckValue::Value(raw) => Some(raw.clone()),
        AckValue::Copy(point) => values.get(*point).cloned().flatten(),
    }
}

fn level(trigger: &Trigger, value: Option<&Raw>) -> Option<bool> {
    match trigger {
        Trigger::Rises(_) => Some(value.is_some_and(Raw::truth)),
        Trigger::Falls(_) => Some(value.is_some_and(|value| !value.truth())),
        Trigger::Equals(_, wanted) => Some(value.is_some_and(|value| value.same_value(wanted))),
        _ => None,
    }
}

/// Whether `now` is a change of `before`, a deadband being passed where there is one.
fn changed(point: Option<&PointPlan>, before: &Raw, now: &Raw) -> bool {
    let band = point.and_then(|point| point.deadband);
    match (band, before.number(), now.number()) {
        (Some(band), Some(a), Some(b)) => {
            let distance = a.minus(b).abs();
            distance != Decimal::ZERO && distance >= band
        }
        _ => before != now,
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl Track {
    /// Goes on from `stored` where that was made under the same fingerprint.
    pub(super) fn new(event: &EventPlan, stored: Option<&TriggerState>) -> Self {
        let watched: Vec<PointIx> = event.triggers.iter().flat_map(|t| t.points().iter().copied()).collect();
        let stored = stored.filter(|s| s.fingerprint == event.fingerprint && s.last.len() == watched.len());
        Self {
            last: stored.map_or_else(|| vec![None; watched.len()], |s| s.last.clone()),
            rearmed: vec![false; watched.len()],
            primed: stored.is_some(),
            taken: stored.and_then(|s| s.taken.clone()),
            owed: stored.and_then(|s| s.owed.clone()),
            recheck: stored.is_some(),
            due: vec![None; event.triggers.len()],
            waits: vec![false; event.triggers.len()],
            watched,
        }
    }

    /// What is stored of it.
    pub(super) fn state(&self, event: &EventPlan) -> TriggerState {
        TriggerState {
            fingerprint: event.fingerprint.clone(),
            last: self.last.clone(),
            taken: self.taken.clone(),
            owed: self.owed.clone(),
            mark: None,
        }
    }

    /// Goes back to what was known before: what followed could not be stored.
    pub(super) fn restore(&mut self, before: Option<TriggerState>) {
        self.primed = before.is_some();
        self.recheck = self.primed;
        self.rearmed.fill(false);
        if let Some(before) = before {
            self.last = before.last;
            self.taken = before.taken;
            self.owed = before.owed;
        }
    }

    /// When the clock alone makes it happen next.
    pub(super) fn next_due(&self, event: &EventPlan) -> Option<u64> {
        let every =
            |(trigger, due): (&Trigger, &Option<u64>)| matches!(trigger, Trigger::Every(_)).then_some(due.unwrap_or(0));
        event.triggers.iter().zip(&self.due).filter_map(every).min()
    }

    /// When the window of `at_most` ends in which something changed.
    pub(super) fn window_end(&self) -> Option<u64> {
        let ends = self.waits.iter().zip(&self.due);
        ends.filter_map(|(waits, due)| due.filter(|_| *waits)).min()
    }

    /// What its trigger's points were, by point.
    pub(super) fn before(&self, points: usize) -> Vec<Option<Raw>> {
        let mut before = vec![None; points];
        for (point, value) in self.watched.iter().zip(&self.last) {
            if let Some(slot) = before.get_mut(*point) {
                slot.clone_from(value);
            }
        }
        before
    }

    /// The acknowledgement was written. Where it went into a trigger, and takes that back, that is known from now on.
    pub(super) fn wrote(&mut self, ack: &Ack) -> bool {
        let AckValue::Value(value) = &ack.value else {
            return false;
        };
        let mut fell = false;
        for (point, last) in self.watched.iter().zip(&mut self.last) {
            if *point == ack.write && last.as_ref().is_some_and(|last| !last.same_value(value)) {
                *last = Some(value.clone());
                fell = true;
            }
        }
        if fell {
            self.owed = None;
        }
        fell
    }

    /// What `values` mean. Changes nothing: [`Self::quiet`] or [`Self::took`] follow.
    pub(super) fn look(&self, plan: &SlotPlan, event: &EventPlan, tick: u64, values: &[Option<Raw>]) -> Seen {
        self.look_said(plan, event, tick, values, None)
    }

    /// [`Self::look`] where the device said `values` by itself, as something of this kind.
    pub(super) fn look_said(
        &self,
        plan: &SlotPlan,
        event: &EventPlan,
        tick: u64,
        values: &[Option<Raw>],
        said: Option<Said>,
    ) -> Seen {
        let mut seen = Seen {
            baseline: !self.primed,
            quiet: Vec::with_capacity(self.last.len()),
            loud: Vec::with_capacity(self.last.len()),
            rearmed: Vec::with_capacity(self.last.len()),
            waits: vec![false; event.triggers.len()],
            ..Seen::default()
        };
        let mut shown = false;
        let mut takes = false;
        let mut follows = false;
        let mut memory = self.last.iter().zip(&self.rearmed);
        for (at, trigger) in event.triggers.iter().enumerate() {
            if let Trigger::Every(_) = trigger {
                seen.fires |= self.due.get(at).copied().flatten().is_some_and(|due| tick >= due);
            }
            let mut moved = self.waits.get(at).copied().unwrap_or(false);
            for point in trigger.points() {
                let (last, armed) = memory
                    .next()
                    .map_or((None, false), |(last, armed)| (last.as_ref(), *armed));
                let value = valid(plan, *point, values);
                // What could not be read is not known; what was read as no value re-arms.
                let blank = value.is_none() && values.get(*point).is_some_and(Option::is_some);
                seen.rearmed.push(value.is_none() && (armed || blank));
                let fresh = value.or(last).cloned();
                match trigger {
                    Trigger::Changes(_) => {
                        shown |= value.is_some();
                        follows |= value.is_some();
                        seen.fires |= value.is_some_and(|now| armed || last.is_some_and(|before| before != now));
                        seen.quiet.push(fresh.clone());
                        seen.loud.push(fresh);
                    }
                    Trigger::ChangesAny { .. } => {
                        shown |= value.is_some();
                        let point = plan.points.get(*point);
                        moved |=
                            value.is_some_and(|now| armed || last.is_some_and(|before| changed(point, before, now)));
                        seen.quiet.push(last.or(value).cloned());
                        seen.loud.push(fresh);
                    }
                    Trigger::Reads(_, wanted) => {
                        let reads = value.is_some_and(|value| value.same_value(wanted));
                        shown |= reads;
                        follows = true;
                        seen.fires |= reads;
                        seen.quiet.push(None);
                        seen.loud.push(None);
                    }
                    Trigger::Rises(_) | Trigger::Falls(_) | Trigger::Equals(..) => {
                        let now = level(trigger, value).unwrap_or(false);
                        let was = level(trigger, last).unwrap_or(false);
                        shown |= now;
                        takes |= now && !matches!(trigger, Trigger::Falls(_));
                        seen.level = Some(seen.level.unwrap_or(false) || now);
                        seen.fires |= now && !was;
                        seen.fell |= was && !now;
                        seen.quiet.push(value.cloned());
                        seen.loud.push(value.cloned());
                    }
                    Trigger::Every(_) | Trigger::Said(_) => {}
                }
            }
            if let Trigger::ChangesAny { .. } = trigger {
                let open = self.due.get(at).copied().flatten().is_some_and(|due| tick < due);
                seen.fires |= moved && !open;
                if let Some(waits) = seen.waits.get_mut(at) {
                    *waits = moved;
                }
            }
        }
        if !self.primed {
            seen.fires = match event.on_start {
                OnStart::Take => shown,
                OnStart::Baseline => takes || seen.level.is_none() && unechoed(plan, event, values).is_some(),
            } && (event.on_start == OnStart::Take || event.ack.is_some());
        } else if self.recheck && !seen.fires {
            self.compare(plan, event, values, follows, &mut seen);
        } else if seen.level == Some(true) && !seen.fires && event.ack.is_some() {
            // It fell and rose again between two looks: another id says so.
            seen.another = self.is_another(event, values, true);
            seen.fires = seen.another;
        }
        // What is said is said now: it has no baseline.
        seen.fires |= event.triggers.iter().any(|trigger| match trigger {
            Trigger::Said(kind) => said == Some(*kind),
            _ => false,
        });
        seen
    }

    /// After a start or reconnect: is what the device shows the result that was taken?
    fn compare(&self, plan: &SlotPlan, event: &EventPlan, values: &[Option<Raw>], follows: bool, seen: &mut Seen) {
        let held = seen.level == Some(true);
        if held || seen.level.is_none() && follows {
            seen.another = self.is_another(event, values, held);
            seen.fires = seen.another;
        }
        let Some(ack) = event.ack.as_ref().filter(|_| !seen.fires) else {
            return;
        };
        if held {
            let shown = ack_value(ack, values);
            let write = plan.points.get(ack.write);
            let stands = |raw: &Option<Raw>| write.zip(raw.as_ref()).and_then(|(write, raw)| as_written(write, raw));
            if event.id.is_empty() && self.owed.is_some() && stands(&shown) != stands(&self.owed) {
                seen.fires = true;
            } else {
                seen.again = self.owed.clone().or(shown);
            }
        } else if seen.level.is_none() {
            seen.again = self.owed.clone().or_else(|| unechoed(plan, event, values));
        }
    }

    /// Whether the id that the device shows is another than the one taken.
    fn is_another(&self, event: &EventPlan, values: &[Option<Raw>], held: bool) -> bool {
        let Some(taken) = self.taken.as_ref().filter(|_| !event.id.is_empty()) else {
            return false;
        };
        let shown: Vec<Option<Raw>> = ids(event, values);
        // Without a level that vouches for it, an id of zeros and blanks is a device that has no result.
        let blank = |raw: &Option<Raw>| match raw {
            Some(Raw::Text(text)) => text.trim().is_empty(),
            Some(raw) => raw.number() == Some(Decimal::ZERO),
            None => true,
        };
        shown.iter().all(Option::is_some) && (held || !shown.iter().all(blank)) && shown != *taken
    }

    /// A record of a ring was taken: `index` is the device's index as if it had just been written.
    pub(super) fn took_record(&mut self, event: &EventPlan, index: u64, values: &mut [Option<Raw>]) {
        if let (Some(ring), Some(last)) = (&event.ring, self.last.first_mut()) {
            *last = Some(ring::raw(index));
            if let Some(shown) = values.get_mut(ring.index) {
                *shown = Some(ring::raw(index));
            }
        }
        self.recheck = false;
        self.taken = (!event.id.is_empty()).then(|| ids(event, values));
        self.owed = event.ack.as_ref().and_then(|ack| ack_value(ack, values));
    }

    /// All records of a ring that are new, each with what was before; a whole picture is at hand.
    pub(super) fn records(
        &mut self,
        plan: &SlotPlan,
        event: &EventPlan,
        of: &Ring,
        tick: u64,
        values: &[Option<Raw>],
        record: &dyn Fn(u16) -> Vec<Option<Raw>>,
    ) -> Vec<(Values, Values)> {
        let last = ring::number(self.last.first().and_then(Option::as_ref));
        let (Some(last), Some(now)) = (last, ring::number(valid(plan, of.index, values))) else {
            let seen = self.look(plan, event, tick, values);
            self.quiet(event, tick, seen);
            return Vec::new();
        };
        let turns = Turns::new(plan, of, last, now);
        let (mut at, _) = turns.reachable(last, now);
        let mut found = Vec::new();
        while turns.between(at, now) > 0 {
            let mut values = record(turns.shift(at));
            let before = self.before(plan.points.len());
            at = turns.next(at);
            self.took_record(event, at, &mut values);
            found.push((values, before));
        }
        found
    }

    /// It did not fire: remembers what was seen. True when that must be stored (a baseline, a level that fell).
    pub(super) fn quiet(&mut self, event: &EventPlan, tick: u64, seen: Seen) -> bool {
        self.last = seen.quiet;
        self.rearmed = seen.rearmed;
        self.waits = seen.waits;
        self.primed = true;
        self.recheck = false;
        for (due, trigger) in self.due.iter_mut().zip(&event.triggers) {
            if let (None, Trigger::Every(_)) = (&due, trigger) {
                *due = Some(tick);
            }
        }
        seen.baseline || seen.fell
    }

    /// It happened, and `values` are its values.
    pub(super) fn took(&mut self, event: &EventPlan, tick: u64, seen: Seen, values: &[Option<Raw>]) {
        self.last = seen.loud;
        self.rearmed = seen.rearmed;
        self.primed = true;
        self.recheck = false;
        self.taken = (!event.id.is_empty()).then(|| ids(event, values));
        self.owed = event.ack.as_ref().and_then(|ack| ack_value(ack, values));
        self.waits.fill(false);
        for (due, trigger) in self.due.iter_mut().zip(&event.triggers) {
            match trigger {
                Trigger::Every(period) => {
                    let start = due.unwrap_or(tick);
                    let period = millis(*period);
                    // Missed ones are skipped: no bursts after a pause.
                    let passed = tick.saturating_sub(start) / period;
                    *due = Some(start.saturating_add(period.saturating_mul(passed.saturating_add(1))));
                }
                Trigger::ChangesAny { at_most, .. } => {
                    *due = (!at_most.is_zero()).then(|| tick.saturating_add(millis(*at_most)));
                }
                _ => {}
            }
        }
    }
}

/// The id values of an event.
pub(super) fn ids(event: &EventPlan, values: &[Option<Raw>]) -> Vec<Option<Raw>> {
    event
        .id
        .iter()
        .map(|point| values.get(*point).cloned().flatten())
        .collect()
}

/// With an acknowledgement by copy: the value that the device waits for, where its register holds another.
fn unechoed(plan: &SlotPlan, event: &EventPlan, values: &[Option<Raw>]) -> Option<Raw> {
    let ack = event.ack.as_ref()?;
    let AckValue::Copy(source) = ack.value else { return None };
    let source = valid(plan, source, values)?;
    let written = values.get(ack.write)?.as_ref()?;
    let stands = as_written(plan.points.get(ack.write)?, source);
    (!stands.is_some_and(|stands| stands.same_value(written))).then(|| source.clone())
}
