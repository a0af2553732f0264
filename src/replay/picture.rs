//! One event of a profile on its way through a record: its run, what is proven to be of one moment, what waits for that.

use super::reads::{Scanned, Seen, Value};
use crate::model::plan::{AckValue, EventPlan, Keep, PointIx, SlotPlan, Trigger};
use crate::model::{Moment, Raw, Sample};
use crate::watch::Watcher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// An acknowledgement register is waited for this long (milliseconds) before the first look counts without it.
const FIRST: u64 = 2_000;

/// A value in the run.
#[derive(Debug, Clone)]
struct Held {
    raw: Option<Raw>,
    from: u64,
    to: u64,
}

/// What a look showed and is not yet an event.
#[derive(Debug, Clone)]
struct Pending {
    seen: Moment,
    since: Option<Moment>,
    /// The exchange that showed it, or with which the pass over all points began.
    number: u64,
    /// Values of the triggers.
    shown: Vec<Option<Raw>>,
    /// What reading cleared, by point.
    flags: BTreeMap<PointIx, Option<Raw>>,
}

/// One event.
#[derive(Debug)]
pub(super) struct Picture {
    /// The whole plan: samples are indexed by it.
    plan: Arc<SlotPlan>,
    index: usize,
    /// A plan with this event alone.
    alone: Arc<SlotPlan>,
    watcher: Watcher,
    /// Points that an event needs and the record holds, less those that reading clears and that trigger it.
    body: Vec<PointIx>,
    guards: Vec<PointIx>,
    triggers: Vec<PointIx>,
    /// Triggers that reading clears.
    flags: BTreeSet<PointIx>,
    /// Its values are each their own and need not be of one moment.
    loose: bool,
    /// One answer is not enough: it must be read until readings agree.
    settles: bool,
    /// Looks before this time do not count.
    begins: u64,
    /// Guard points: when they were read first (the end of that) and last (its beginning) in the run.
    read: BTreeMap<PointIx, (u64, u64)>,
    newest: BTreeMap<PointIx, Held>,
    waiting: BTreeMap<PointIx, Held>,
    sealed: BTreeMap<PointIx, Option<Raw>>,
    /// The register of the acknowledgement.
    echo: Option<(PointIx, Option<Raw>)>,
    /// Points read since the last look of an event that only time triggers.
    pass: BTreeSet<PointIx>,
    pass_from: u64,
    due: Option<u64>,
    pending: Option<Pending>,
    looked: Option<Moment>,
    happened: Vec<Sample>,
    torn: Vec<(u64, String)>,
}

/// Points that an event looks at.
pub(super) fn points(event: &EventPlan) -> BTreeSet<PointIx> {
    let triggers = event
        .triggers
        .iter()
        .flat_map(|trigger| trigger.points().iter().copied());
    event.points.iter().chain(&event.id).copied().chain(triggers).collect()
}

impl Picture {
    pub(super) fn new(plan: &Arc<SlotPlan>, index: usize, scanned: &Scanned) -> Option<Self> {
        let event = plan.events.get(index).filter(|event| event.ring.is_none())?;
        let clears = |point: &PointIx| {
            plan.points.get(*point).is_some_and(|point| {
                let at = point.at.registers();
                at.clears
            })
        };
        let held = |point: &PointIx| scanned.holds(*point);
        let triggers: BTreeSet<PointIx> = event.triggers.iter().flat_map(|t| t.points().iter().copied()).collect();
        let flags: BTreeSet<PointIx> = triggers.iter().copied().filter(clears).collect();
        let body: Vec<PointIx> = points(event)
            .into_iter()
            .filter(|point| held(point) && !flags.contains(point))
            .collect();
        let loose = event.stable == 0 || event.keep == Keep::Latest;
        let quick = |trigger: &&Trigger| !matches!(trigger, Trigger::ChangesAny { .. });
        let mut guards: BTreeSet<PointIx> = event
            .triggers
            .iter()
            .filter(quick)
            .flat_map(|trigger| trigger.points().iter().copied())
            .chain(event.id.iter().copied())
            .filter(|point| held(point) && !clears(point))
            .collect();
        if guards.is_empty() || event.stable > 1 {
            guards = body.iter().copied().filter(|point| !clears(point)).collect();
        }
        if loose {
            guards.clear();
        }
        let level = event
            .triggers
            .iter()
            .any(|t| matches!(t, Trigger::Rises(_) | Trigger::Falls(_) | Trigger::Equals(..)));
        let echo = event
            .ack
            .as_ref()
            .filter(|ack| !level && matches!(ack.value, AckValue::Copy(_)));
        let echo = echo.and_then(|ack| Some((ack.write, *scanned.first.get(&ack.write)?)));
        let earliest = scanned.first.values().min().copied().unwrap_or(0);
        let mut alone = (**plan).clone();
        alone.events = vec![event.clone()];
        alone.alive = None;
        let alone = Arc::new(alone);
        Some(Self {
            watcher: Watcher::new(alone.clone(), &HashMap::new()),
            plan: plan.clone(),
            index,
            body,
            guards: guards.into_iter().collect(),
            triggers: triggers.into_iter().collect(),
            flags,
            loose,
            // One answer of an OPC UA server is not of one moment.
            settles: event.stable > 1 || plan.link.opcua().is_some(),
            begins: echo.map_or(0, |(_, first)| if first <= earliest + FIRST { first } else { 0 }),
            read: BTreeMap::new(),
            newest: BTreeMap::new(),
            waiting: BTreeMap::new(),
            sealed: BTreeMap::new(),
            echo: echo.map(|(point, _)| (point, None)),
            pass: BTreeSet::new(),
            pass_from: 0,
            due: None,
            pending: None,
            looked: None,
            happened: Vec::new(),
            torn: Vec::new(),
            alone,
        })
    }

    /// Its name in the profile.
    pub(super) fn name(&self) -> &str {
        self.event().map_or("", |event| &event.name)
    }

    fn event(&self) -> Option<&EventPlan> {
        self.alone.events.first()
    }

    /// A trigger that the record does not hold, where it holds none of them.
    pub(super) fn blind(&self, scanned: &Scanned) -> Option<PointIx> {
        let none = self.triggers.iter().all(|point| !scanned.holds(*point));
        self.triggers.first().copied().filter(|_| none && !self.has_period())
    }

    fn has_period(&self) -> bool {
        let by_time = |trigger: &Trigger| matches!(trigger, Trigger::Every(_));
        self.event().is_some_and(|event| event.triggers.iter().any(by_time))
    }

    /// What happened since this was last asked.
    pub(super) fn drain(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.happened)
    }

    /// The record ends: what could not be put together.
    pub(super) fn end(&mut self) -> Vec<(u64, String)> {
        if let Some(pending) = self.pending.take() {
            self.tear(&pending, "the record ends before all of it was read");
        }
        std::mem::take(&mut self.torn)
    }

    fn tear(&mut self, pending: &Pending, why: &str) {
        let shown: Vec<String> = self
            .triggers
            .iter()
            .zip(&pending.shown)
            .filter_map(|(point, raw)| {
                let name = &self.plan.points.get(*point)?.name;
                Some(format!("`{name}` {}", raw.as_ref()?.text()))
            })
            .collect();
        let shown = if shown.is_empty() {
            String::new()
        } else {
            format!(" ({})", shown.join(", "))
        };
        let text = format!("[events.{}]{shown} made no event: {why}", self.name());
        self.torn.push((pending.seen.tick.saturating_sub(1), text));
    }

    fn restart(&mut self) {
        self.read.clear();
        self.newest.clear();
        self.waiting.clear();
        self.sealed.clear();
    }

    /// The next line of the record.
    pub(super) fn take(&mut self, now: Moment, seen: &Seen) {
        let values = match seen {
            Seen::Nothing => return,
            Seen::Broken => {
                self.restart();
                self.pass.clear();
                return;
            }
            Seen::Read(values) => values,
        };
        if let Some((echo, raw)) = &mut self.echo
            && let Some(value) = values.iter().find(|value| value.point == *echo)
        {
            raw.clone_from(&value.raw);
        }
        let mine: Vec<&Value> = values
            .iter()
            .filter(|value| self.body.contains(&value.point) || self.flags.contains(&value.point))
            .collect();
        let Some(number) = mine.iter().map(|value| value.from).max() else {
            return;
        };
        let another = |value: &&&Value| {
            self.guards.contains(&value.point)
                && self.newest.get(&value.point).is_some_and(|held| held.raw != value.raw)
        };
        if mine.iter().any(|value| another(&value)) {
            self.restart();
        }
        for value in &mine {
            self.hold(value);
        }
        self.seal();
        if now.tick.saturating_sub(1) >= self.begins && self.is_look(&mine, number) {
            self.look(now, number, &mine);
        }
        self.finish(&mine);
    }

    fn hold(&mut self, value: &Value) {
        let held = Held {
            raw: value.raw.clone(),
            from: value.from,
            to: value.to,
        };
        if self.guards.contains(&value.point) {
            // It is known to be so from when all of it was read, and when it was begun to be read again.
            self.read.entry(value.point).or_insert((value.to, value.from)).1 = value.from;
        }
        if !self.flags.contains(&value.point) {
            // An earlier reading of the same waits on, where only what is read behind it is missing.
            let guards = &self.guards;
            let begun = |from: u64| {
                guards
                    .iter()
                    .all(|guard| self.read.get(guard).is_some_and(|(first, _)| *first <= from))
            };
            let earlier = self.waiting.get(&value.point);
            if !earlier.is_some_and(|earlier| earlier.raw == held.raw && begun(earlier.from)) {
                self.waiting.insert(value.point, held.clone());
            }
        }
        self.newest.insert(value.point, held);
    }

    /// Values that have every guard before and behind them are of the run's moment. Guards themselves show one value in
    /// the run: they are of it as soon as there was a time at which all of them stood.
    fn seal(&mut self) {
        let (guards, read) = (&self.guards, &self.read);
        let bracketed = |from: u64, to: u64| {
            let around = |guard| {
                read.get(guard)
                    .is_some_and(|(first, last)| *first <= from && *last >= to)
            };
            guards.iter().all(around)
        };
        let latest = read.values().map(|(first, _)| *first).max().unwrap_or(0);
        let together = bracketed(latest, latest);
        let sealed = &mut self.sealed;
        self.waiting.retain(|point, held| {
            let done = bracketed(held.from, held.to) || together && guards.contains(point);
            if done {
                sealed.insert(*point, held.raw.clone());
            }
            !done
        });
    }

    /// Whether these reads are a look at the trigger; of an event that time triggers, the end of a pass over its points.
    fn is_look(&mut self, mine: &[&Value], number: u64) -> bool {
        if !self.triggers.is_empty() {
            return mine.iter().any(|value| self.triggers.contains(&value.point));
        }
        if self.pass.is_empty() {
            self.pass_from = number;
        }
        self.pass.extend(mine.iter().map(|value| value.point));
        let whole = self.body.iter().all(|point| self.pass.contains(point));
        if whole {
            self.pass.clear();
        }
        whole
    }

    /// Values by point: the run's newest, the acknowledgement's register, and `also`.
    fn values(&self, also: &BTreeMap<PointIx, Option<Raw>>) -> Vec<Option<Raw>> {
        let mut values = vec![None; self.plan.points.len()];
        let mut put = |point: PointIx, raw: &Option<Raw>| {
            if let Some(slot) = values.get_mut(point) {
                slot.clone_from(raw);
            }
        };
        for (point, held) in &self.newest {
            put(*point, &held.raw);
        }
        if let Some((point, raw)) = &self.echo {
            put(*point, raw);
        }
        for (point, raw) in also {
            put(*point, raw);
        }
        values
    }

    fn look(&mut self, now: Moment, number: u64, mine: &[&Value]) {
        // A flag that was read before and cleared by that is not read again as if it stood.
        for flag in self.flags.clone() {
            if !mine.iter().any(|value| value.point == flag) {
                self.newest.remove(&flag);
            }
        }
        let values = self.values(&BTreeMap::new());
        let since = self.looked.replace(now);
        let shown: Vec<Option<Raw>> = self
            .triggers
            .iter()
            .map(|point| values.get(*point).cloned().flatten())
            .collect();
        let fires = if self.triggers.is_empty() {
            self.is_due(now)
        } else {
            let mut after = self.watcher.clone();
            let fires = !after.observe(now, &values).is_empty();
            if !fires {
                self.watcher = after;
            }
            fires
        };
        if let Some(pending) = self.pending.take() {
            let stands = if self.loose {
                true
            } else if self.flags.is_empty() {
                fires && pending.shown == shown
            } else {
                !fires
            };
            if stands {
                self.pending = Some(pending);
                return;
            }
            self.tear(&pending, "its values were not read while it stood");
        }
        if !fires {
            return;
        }
        let flags: BTreeMap<PointIx, Option<Raw>> = mine
            .iter()
            .filter(|value| self.flags.contains(&value.point))
            .map(|value| (value.point, value.raw.clone()))
            .collect();
        if !flags.is_empty() {
            // What was read before the flag may be of the result before.
            self.restart();
            for value in mine {
                self.hold(value);
            }
        }
        self.pending = Some(Pending {
            seen: now,
            since,
            number: if self.triggers.is_empty() {
                self.pass_from
            } else {
                number
            },
            shown,
            flags,
        });
    }

    /// Whether the time of an event that only time triggers has come. A record knows when answers came, not when they
    /// were due, so a quarter of the period is allowed for.
    fn is_due(&mut self, now: Moment) -> bool {
        let periods = self.event().into_iter().flat_map(|event| &event.triggers);
        let period = periods
            .filter_map(|trigger| match trigger {
                Trigger::Every(period) => u64::try_from(period.as_millis()).ok(),
                _ => None,
            })
            .min()
            .unwrap_or(1_000)
            .max(1);
        let due = self.due.is_none_or(|due| now.tick + period / 4 >= due);
        if due {
            // On its own beat, unless that was lost.
            let next = self.due.map_or(now.tick, |due| due) + period;
            self.due = Some(if next > now.tick { next } else { now.tick + period });
        }
        due
    }

    /// Makes the event that is pending, once its values are proven to be of one moment.
    fn finish(&mut self, mine: &[&Value]) {
        let Some(pending) = &self.pending else { return };
        let one = |point: &PointIx| {
            mine.iter()
                .find(|value| value.point == *point && value.from == value.to)
        };
        let picture: Option<BTreeMap<PointIx, Option<Raw>>> = if self.loose {
            let fresh = |held: &&Held| held.from >= pending.number;
            let body = self.body.iter();
            body.map(|point| Some((*point, self.newest.get(point).filter(fresh)?.raw.clone())))
                .collect()
        } else {
            let answer = || self.body.iter().map(|point| Some((*point, one(point)?.raw.clone())));
            let proven = || {
                self.body
                    .iter()
                    .map(|point| Some((*point, self.sealed.get(point)?.clone())))
            };
            let at_once = if self.settles { None } else { answer().collect() };
            at_once.or_else(|| proven().collect())
        };
        let Some(picture) = picture else { return };
        let Some(pending) = self.pending.take() else { return };
        let mut all = picture;
        all.extend(pending.flags);
        let mut values = vec![None; self.plan.points.len()];
        for (point, raw) in all {
            if let Some(slot) = values.get_mut(point) {
                *slot = raw;
            }
        }
        let mut before = vec![None; values.len()];
        if !self.triggers.is_empty() {
            let mut shown = values.clone();
            if let Some((point, raw)) = &self.echo
                && let Some(slot) = shown.get_mut(*point)
                && slot.is_none()
            {
                slot.clone_from(raw);
            }
            let Some(happening) = self.watcher.observe(pending.seen, &shown).pop() else {
                return;
            };
            before = happening.before;
        }
        self.happened.push(Sample {
            since: pending.since,
            ..Sample::picture(&self.plan, self.index, values, before, pending.seen)
        });
    }
}
