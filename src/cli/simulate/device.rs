//! A virtual device: makes results in the registers or variables of a profile, and keeps its side of the handshake.
//!
//! Works in scans, like a PLC: each scan looks at what the master wrote. Does not own the protocol
//! ([`super::memory::Home`]) nor what values mean ([`crate::profile`]). What a server tells by itself is not made here
//! ([`super::nodes`]).

use super::image::{
    acknowledges, fill_gaps, fresh, is_level, lower, place, put, rest, shows, step, value, values, write_record,
};
use super::memory::{Home, Memory};
use crate::cli::probe::render::event_line;
use crate::clock::Clock;
use crate::model::plan::{Ack, PointIx, PointPlan, SlotPlan, Table, Trigger};
use crate::model::{Decimal, Moment, Raw, Sample};
use crate::profile::{Judged, Meaning, Measured, Profile, Rehearsal, SlotContract, show};
use crate::replay::nobody;
use crate::wire::modbus;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A trigger that nobody acknowledges is shown at least this long.
const HOLD: Duration = Duration::from_millis(300);

/// Events that one trigger makes together.
#[derive(Debug)]
struct Group {
    events: Vec<usize>,
    phase: Phase,
    /// Nothing but states and alarms: made now and then.
    rare: bool,
    /// Only time makes it happen.
    periodic: bool,
    /// Ticks on which it could not make a result, since the last one is not acknowledged.
    waited: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Idle,
    /// Shown since this tick; told that nobody acknowledges it.
    Shown {
        since: u64,
        told: bool,
    },
    /// Acknowledged; the master is to take the acknowledgement back.
    Then,
}

/// The device.
pub(super) struct Device {
    profile: Arc<Profile>,
    contract: SlotContract,
    plan: Arc<SlotPlan>,
    home: Home,
    clock: Clock,
    start: Memory,
    rehearsals: Vec<Rehearsal>,
    groups: Vec<Group>,
    pinned: BTreeSet<PointIx>,
    nok_rate: f64,
    /// It goes on whether or not it is acknowledged.
    goes_on: bool,
    hold: u64,
    beats: u64,
    made: u64,
    acknowledged: u64,
    /// Values of the trigger's points before the last result, by event.
    before: BTreeMap<usize, Vec<Option<Raw>>>,
    /// Of rings, by event: the record written last, as if it stood in the first place.
    records: BTreeMap<usize, Vec<(Table, u16, Vec<u16>)>>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Device {
    pub(super) fn new(
        profile: Arc<Profile>,
        home: Home,
        nok_rate: f64,
        every: Option<Duration>,
        goes_on: bool,
    ) -> Self {
        let contract = nobody(&profile);
        let plan = Arc::new(profile.plan(&contract.slot));
        let rehearsals = (0..plan.events.len()).map(|event| profile.rehearsal(event)).collect();
        let mut groups: Vec<(BTreeSet<PointIx>, Group)> = Vec::new();
        for (index, event) in plan.events.iter().enumerate() {
            if event.triggers.iter().all(|trigger| matches!(trigger, Trigger::Said(_))) {
                continue;
            }
            let looks: BTreeSet<PointIx> = event.triggers.iter().flat_map(|t| t.points().iter().copied()).collect();
            let kind = profile.events().nth(index).map_or("", |(_, kind)| kind.word());
            let rare = matches!(kind, "state" | "alarm");
            match groups
                .iter_mut()
                .find(|(of, _)| !looks.is_empty() && of.intersection(&looks).next().is_some())
            {
                Some((of, group)) => {
                    of.extend(looks);
                    group.events.push(index);
                    group.rare &= rare;
                }
                None => groups.push((
                    looks.clone(),
                    Group {
                        events: vec![index],
                        phase: Phase::Idle,
                        rare,
                        periodic: looks.is_empty(),
                        waited: 0,
                    },
                )),
            }
        }
        let published = || plan.link.opcua().map(|link| link.publishing);
        let poll = plan.link.modbus().map(|link| link.poll).or_else(published);
        let poll = poll.unwrap_or(HOLD);
        let shown = HOLD.max(poll * 4);
        let hold = every.map_or(shown, |every| shown.min((every * 6 / 10).max(poll * 2)));
        let mut device = Self {
            start: match &home {
                Home::Registers(_) => Memory::Registers(profile.start_image()),
                Home::Server(_) => home.edit(|memory| memory.clone()),
            },
            profile,
            contract,
            home,
            clock: Clock::machine(),
            rehearsals,
            groups: groups.into_iter().map(|(_, group)| group).collect(),
            pinned: BTreeSet::new(),
            nok_rate,
            goes_on,
            hold: millis(hold),
            beats: 0,
            made: 0,
            acknowledged: 0,
            before: BTreeMap::new(),
            records: BTreeMap::new(),
            plan,
        };
        for at in device.plan.clone().points.iter().map(|point| &point.at) {
            let (at, Home::Registers(simulator)) = (at.registers(), &device.home) else {
                continue;
            };
            for offset in (0..modbus::span(at)).filter(|_| at.clears) {
                simulator.clears(at.table, at.address.saturating_add(offset));
            }
        }
        device.power_on();
        device
    }

    /// Start values: no result is shown, nothing is owed, and what tells one start from the next is new.
    fn power_on(&mut self) {
        let (plan, now) = (self.plan.clone(), self.clock.now());
        let mut memory = self.start.clone();
        if let Some(image) = memory.registers() {
            for point in 0..plan.points.len() {
                if let Some(at) = place(&plan, point)
                    && image.words(at.table, at.address, modbus::span(at)).is_none()
                {
                    image.put(at.table, at.address, &vec![0; usize::from(modbus::span(at))]);
                }
            }
            fill_gaps(&plan, image);
        }
        for (event, rehearsal) in plan.events.iter().zip(&self.rehearsals) {
            for trigger in &event.triggers {
                lower(&plan, &mut memory, trigger);
            }
            let counts = rehearsal.counter.map(|(point, ..)| point);
            for id in event
                .id
                .iter()
                .filter(|id| Some(**id) != counts && counts.is_some() && !rehearsal.stamps.contains(id))
            {
                let new = fresh(&plan, &memory, *id, now);
                if let Some(new) = new.filter(|_| !event.triggers.iter().any(|t| t.points().contains(id))) {
                    drop(put(&plan, &mut memory, *id, &new));
                }
            }
            if let Some(ack) = &event.ack {
                rest(&plan, &mut memory, event.triggers.as_slice(), ack);
            }
        }
        self.home.edit(|to| *to = memory);
        for group in &mut self.groups {
            group.phase = Phase::Idle;
        }
    }

    /// The device starts anew: everything that is not kept is as at the start.
    pub(super) fn reboot(&mut self) -> String {
        self.home.cut();
        self.power_on();
        "restarted: connections cut, counters as at the start".to_owned()
    }

    /// What all points say.
    pub(super) fn values(&self) -> Vec<Option<Raw>> {
        let plan = self.plan.clone();
        self.home.edit(|memory| values(&plan, memory))
    }

    /// Sets a point to what `text` means in it; it is not varied any more.
    pub(super) fn set(&mut self, name: &str, text: &str) -> Result<String, String> {
        let Some(point) = self.plan.points.iter().position(|point| *point.name == *name) else {
            let known: Vec<&str> = self.plan.points.iter().map(|point| &*point.name).collect();
            let help = crate::diagnostic::meant(name, &known).unwrap_or_default();
            return Err(format!("there is no point `{name}`: {help}"));
        };
        let values = self.values();
        let raw = match values.get(point) {
            // What says a text takes one, whether or not the profile says that it is one.
            Some(Some(Raw::Text(_))) => self
                .profile
                .raw_for(point, text, &values)
                .unwrap_or(Raw::Text(text.to_owned())),
            _ => self.profile.raw_for(point, text, &values)?,
        };
        let plan = self.plan.clone();
        self.home.edit(|memory| put(&plan, memory, point, &raw))?;
        self.pinned.insert(point);
        Ok(format!(
            "{name} is {} (raw {})",
            self.profile.meaning_of(point, &self.values()),
            raw.text()
        ))
    }

    /// All points.
    pub(super) fn show(&self) -> String {
        let values = self.values();
        let row = |(index, point): (usize, &PointPlan)| {
            let raw = values.get(index).and_then(Option::as_ref).map(Raw::text);
            format!(
                "  {:<20} {:<14} {}",
                point.name,
                raw.unwrap_or_default(),
                self.profile.meaning_of(index, &values)
            )
        };
        // Fields of events are in no variable.
        let stands = |(_, point): &(usize, &PointPlan)| point.at.opcua().is_none_or(|at| at.node.is_some());
        let points = self.plan.points.iter().enumerate();
        points.filter(stands).map(row).collect::<Vec<_>>().join("\n")
    }

    /// What it made and what was acknowledged.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} results made, {} acknowledged, {}",
            self.made,
            self.acknowledged,
            self.home.served()
        )
    }

    /// The next results; `verdict`: this one instead of a drawn one. Lines to print.
    pub(super) fn next(&mut self, verdict: Option<bool>, all: bool) -> Vec<String> {
        self.beats += 1;
        let mut said = Vec::new();
        for group in 0..self.groups.len() {
            let Some(of) = self.groups.get_mut(group) else { continue };
            if !all && (of.periodic || of.rare && !self.beats.is_multiple_of(5)) {
                continue;
            }
            if of.phase != Phase::Idle {
                of.waited += 1;
                if of.waited == 1 {
                    said.push(
                        "waits: the last result is not acknowledged, or its flag not read (--no-wait goes on)"
                            .to_owned(),
                    );
                }
                continue;
            }
            of.waited = 0;
            let ok = verdict.unwrap_or_else(|| !rand::rng().random_bool(self.nok_rate));
            said.extend(self.make(group, ok));
        }
        said
    }

    /// Live values of events that only time makes: a little other each second.
    pub(super) fn drift(&mut self) {
        for group in 0..self.groups.len() {
            let of = self.groups.get(group);
            if of.is_some_and(|of| of.periodic) {
                drop(self.make(group, true));
            }
        }
    }

    /// One scan: beats the life sign, looks for acknowledgements, takes triggers back. Lines to print.
    pub(super) fn scan(&mut self, life: bool) -> Vec<String> {
        let (plan, now) = (self.plan.clone(), self.clock.now());
        if let (true, Some(alive)) = (life, &plan.alive) {
            self.home.edit(|memory| step(&plan, memory, alive.point));
        }
        let mut said = Vec::new();
        for group in 0..self.groups.len() {
            if let Some(phase) = self.settle(group, now, &mut said)
                && let Some(group) = self.groups.get_mut(group)
            {
                group.phase = phase;
            }
        }
        said
    }

    /// What phase a group is in now, if that is another.
    fn settle(&mut self, group: usize, now: Moment, said: &mut Vec<String>) -> Option<Phase> {
        let of = self.groups.get(group)?;
        let plan = self.plan.clone();
        let first = *of.events.first()?;
        let acks: Vec<(usize, &Ack)> = of
            .events
            .iter()
            .filter_map(|event| Some((*event, plan.events.get(*event)?.ack.as_ref()?)))
            .collect();
        let triggers = &plan.events.get(first)?.triggers;
        match of.phase.clone() {
            Phase::Idle => None,
            Phase::Shown { since, told } => {
                let past = now.tick.saturating_sub(since);
                if acks.is_empty() {
                    // Flags that reading clears are gone by that; levels are shown long enough to be seen.
                    let gone = self.home.edit(|memory| {
                        let values = values(&plan, memory);
                        triggers.iter().all(|trigger| !shows(trigger, &values))
                    });
                    let clears = triggers
                        .iter()
                        .flat_map(Trigger::points)
                        .any(|point| place(&plan, *point).is_some_and(|at| at.clears));
                    if gone || (!clears || self.goes_on) && past >= self.hold {
                        self.lower(triggers);
                        return Some(Phase::Idle);
                    }
                    return None;
                }
                let taken = self.home.edit(|memory| {
                    let values = values(&plan, memory);
                    acks.iter().all(|(_, ack)| {
                        let own = triggers.iter().any(|t| t.points().contains(&ack.write));
                        if own && is_level(triggers) {
                            triggers.iter().all(|trigger| !shows(trigger, &values))
                        } else {
                            acknowledges(&plan, ack, &values)
                        }
                    })
                });
                if taken {
                    self.acknowledged += 1;
                    said.push(format!("acknowledged after {past} ms"));
                    self.lower(triggers);
                    if acks.iter().any(|(_, ack)| ack.then.is_some()) {
                        return Some(Phase::Then);
                    }
                    self.home.edit(|memory| {
                        for (_, ack) in &acks {
                            rest(&plan, memory, triggers, ack);
                        }
                    });
                    return Some(Phase::Idle);
                }
                if self.goes_on && past >= self.hold {
                    said.push("not acknowledged: it goes on".to_owned());
                    self.lower(triggers);
                    return Some(Phase::Idle);
                }
                let patience = acks.iter().map(|(_, ack)| millis(ack.timeout)).max().unwrap_or(5_000);
                if past >= patience && !told {
                    said.push(format!("not acknowledged within {patience} ms: still shown"));
                    return Some(Phase::Shown { since, told: true });
                }
                None
            }
            Phase::Then => {
                let values = self.values();
                let back = acks.iter().all(|(_, ack)| {
                    let shown = values.get(ack.write).and_then(Option::as_ref);
                    match (&ack.then, shown) {
                        (Some(then), Some(shown)) => shown.same_value(then),
                        _ => true,
                    }
                });
                back.then_some(Phase::Idle)
            }
        }
    }

    fn lower(&self, triggers: &[Trigger]) {
        let plan = self.plan.clone();
        self.home.edit(|memory| {
            for trigger in triggers {
                lower(&plan, memory, trigger);
            }
        });
    }

    /// Makes the events of a group: all registers at once, so that no reader sees half a result.
    fn make(&mut self, group: usize, ok: bool) -> Vec<String> {
        let Some(events) = self.groups.get(group).map(|group| group.events.clone()) else {
            return Vec::new();
        };
        let (plan, now) = (self.plan.clone(), self.clock.now());
        let mut memory = self.home.edit(|memory| memory.clone());
        let registers = memory.clone();
        for (table, address, words) in events.iter().filter_map(|event| self.records.get(event)).flatten() {
            if let Some(image) = memory.registers() {
                image.put(*table, *address, words);
            }
        }
        let before = values(&plan, &memory);
        let mut stepped = BTreeSet::new();
        let mut held = false;
        for index in &events {
            let (Some(event), Some(rehearsal)) = (plan.events.get(*index), self.rehearsals.get(*index).cloned()) else {
                continue;
            };
            for measured in &rehearsal.measures {
                self.measure(&mut memory, measured, ok);
            }
            for judged in &rehearsal.verdicts {
                self.judge(&mut memory, judged, if ok { "ok" } else { "nok" });
            }
            for (point, text) in self.profile.clock(*index, now.wall) {
                if let Ok(raw) = self.profile.raw_for(point, &text, &before) {
                    self.place(&mut memory, point, &raw);
                }
            }
            if let Some((point, first, last)) = rehearsal.counter
                && stepped.insert(point)
            {
                let current = before.get(point).and_then(Option::as_ref).and_then(Raw::number);
                let next = current.and_then(Decimal::to_i128).unwrap_or(0) + 1;
                let wraps = last.is_some_and(|last| next > i128::from(last));
                let next = if wraps { i128::from(first) } else { next };
                if put(&plan, &mut memory, point, &Raw::Dec(Decimal::new(next, 0))).is_err() {
                    drop(put(
                        &plan,
                        &mut memory,
                        point,
                        &Raw::Dec(Decimal::new(i128::from(first), 0)),
                    ));
                }
            }
            // Without a counter the last id value tells one result from the next.
            if let (None, Some(id)) = (rehearsal.counter, event.id.last())
                && stepped.insert(*id)
            {
                step(&plan, &mut memory, *id);
            }
            stepped.extend(event.ring.as_ref().map(|ring| ring.index));
            for trigger in &event.triggers {
                held |= self.trigger(&mut memory, trigger, &rehearsal, &mut stepped);
            }
            held |= event.ack.is_some();
        }
        let mut after = values(&plan, &memory);
        for index in &events {
            if let Some(event) = plan.events.get(*index).filter(|event| event.ring.is_some()) {
                let record = write_record(&plan, &mut memory, event, &registers);
                self.records.insert(*index, record);
                if let Some(ring) = &event.ring
                    && let Some(slot) = after.get_mut(ring.index)
                {
                    *slot = value(&plan, &memory, ring.index);
                }
            }
        }
        self.home.edit(|to| *to = memory);
        let mut said = Vec::new();
        for index in &events {
            self.before.insert(*index, before.clone());
            let sample = Sample::picture(&plan, *index, after.clone(), before.clone(), now);
            for meaning in self.profile.drafts(&self.contract, &sample) {
                said.push(match meaning {
                    Meaning::Draft(draft) => event_line(&show(&draft)),
                    Meaning::Ignored | Meaning::Passed(_) => {
                        let name = plan.events.get(*index).map_or("", |event| &*event.name);
                        format!("[events.{name}] made, and turned away by its `only` or `except`")
                    }
                });
            }
        }
        self.made += 1;
        if held && let Some(group) = self.groups.get_mut(group) {
            group.phase = Phase::Shown {
                since: now.tick,
                told: false,
            };
        }
        said
    }

    fn place(&self, memory: &mut Memory, point: PointIx, raw: &Raw) {
        if !self.pinned.contains(&point) {
            // What the type cannot hold stays as it was.
            drop(put(&self.plan, memory, point, raw));
        }
    }

    /// Shows the trigger. Whether it stands until it is taken back.
    fn trigger(&self, memory: &mut Memory, trigger: &Trigger, of: &Rehearsal, stepped: &mut BTreeSet<PointIx>) -> bool {
        match trigger {
            Trigger::Every(_) | Trigger::ChangesAny { .. } | Trigger::Said(_) => false,
            Trigger::Changes(points) => {
                if points.iter().any(|point| stepped.contains(point)) {
                    return false;
                }
                let Some(point) = points.first() else { return false };
                stepped.insert(*point);
                let current = value(&self.plan, memory, *point);
                if let Some((_, bits)) = of.alarms.iter().find(|(word, _)| word == point) {
                    let bit = bits
                        .get(rand::rng().random_range(0..bits.len().max(1)))
                        .copied()
                        .unwrap_or(0);
                    let word = current
                        .as_ref()
                        .and_then(Raw::number)
                        .and_then(Decimal::to_i128)
                        .unwrap_or(0);
                    self.place(memory, *point, &Raw::Dec(Decimal::new(word ^ (1 << bit), 0)));
                    return false;
                }
                let codes: Vec<Raw> = self
                    .profile
                    .codes(*point)
                    .into_iter()
                    .map(|(_, raw)| raw)
                    .filter(|raw| !current.as_ref().is_some_and(|current| current.same_value(raw)))
                    .collect();
                if codes.is_empty() {
                    step(&self.plan, memory, *point);
                } else if let Some(code) = codes.get(rand::rng().random_range(0..codes.len())) {
                    self.place(memory, *point, code);
                }
                false
            }
            Trigger::Rises(point) => put(&self.plan, memory, *point, &Raw::Dec(Decimal::ONE)).is_ok(),
            Trigger::Falls(point) => put(&self.plan, memory, *point, &Raw::Dec(Decimal::ZERO)).is_ok(),
            Trigger::Equals(point, wanted) | Trigger::Reads(point, wanted) => {
                put(&self.plan, memory, *point, wanted).is_ok()
            }
        }
    }

    /// A value around what stood at the start, within its limits where it is to be good.
    fn measure(&self, memory: &mut Memory, of: &Measured, ok: bool) {
        let start = values(&self.plan, &self.start);
        let now = values(&self.plan, memory);
        let number = |point: PointIx, values: &[Option<Raw>]| self.profile.number(point, values).map(Decimal::to_f64);
        let limit = |point: Option<PointIx>| {
            let point = point.filter(|point| self.profile.same_uom(*point, of.value))?;
            number(point, &now).filter(|limit| *limit != 0.0)
        };
        let (low, high) = (limit(of.min), limit(of.max));
        let plausible = self.profile.plausible(of.value).map(|(a, b)| (a.to_f64(), b.to_f64()));
        let mut centre = number(of.value, &start).unwrap_or(0.0);
        if centre == 0.0 {
            centre = match (low, high, plausible) {
                (Some(low), Some(high), _) | (_, _, Some((low, high))) => f64::midpoint(low, high),
                _ => 10.0,
            };
        }
        if let (Some(low), Some(high)) = (low, high)
            && low < high
            && !(low..=high).contains(&centre)
        {
            centre = f64::midpoint(low, high);
        }
        let mut value = centre * rand::rng().random_range(0.97..1.03);
        let mut word = "ok";
        if ok {
            value = low.map_or(value, |low| value.max(low));
            value = high.map_or(value, |high| value.min(high));
        } else {
            (value, word) = match (low, high) {
                (_, Some(high)) => (high + high.abs() * 0.1, "high"),
                (Some(low), None) => (low - low.abs() * 0.1, "low"),
                (None, None) => (centre * 1.2, "high"),
            };
        }
        if let Some((low, high)) = plausible {
            value = value.clamp(low, high);
        }
        let text = Decimal::from_f64(value).map(|value| value.round_significant(4).to_string());
        if let Some(Ok(raw)) = text.map(|text| self.profile.raw_for(of.value, &text, &now)) {
            self.place(memory, of.value, &raw);
        }
        for judged in &of.verdicts {
            self.judge(memory, judged, word);
        }
    }

    fn judge(&self, memory: &mut Memory, judged: &Judged, word: &str) {
        let near = match word {
            "high" | "low" => "nok",
            "nok" => "high",
            _ => word,
        };
        let found = judged.words.iter().find(|(known, _)| known == word);
        if let Some((_, raw)) = found.or_else(|| judged.words.iter().find(|(known, _)| known == near)) {
            self.place(memory, judged.point, raw);
        }
    }
}
