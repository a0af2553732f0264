//! One slot on an Open Protocol link: its triggers, what they last took, and how it is told of.
//!
//! Owns samples. Does not own the session ([`super::session`]).

use super::results::{Incoming, id_field, number};
use crate::device::SlotStart;
use crate::device::tap::Reading;
use crate::device::told::Told;
use crate::model::plan::{Address, EventPlan, OnStart, ResultSource, Said, SlotPlan, Trigger};
use crate::model::sample::{LinkState, Mark, Report, TriggerState};
use crate::model::{Moment, Raw, Sample, SlotName};
use crate::watch::Watcher;
use crate::wire::open_protocol::Field;
use crate::wire::open_protocol::reading::values;
use std::collections::HashMap;
use std::sync::Arc;

/// A report, and the state that is stored with it: index of the event.
pub(super) type Made = (Report, Option<(usize, TriggerState)>);

/// One slot.
#[derive(Debug)]
pub(super) struct Slot {
    plan: Arc<SlotPlan>,
    watcher: Watcher,
    /// States as they are stored for certain.
    stored: HashMap<String, TriggerState>,
    /// Result events with a number: event, place in its id. Results of variable fields all have one.
    numbered: Vec<(usize, Option<usize>)>,
    variable: bool,
    /// Of results of variable fields: the last one that was taken.
    mark: Option<Mark>,
    told: Told,
    last: Vec<Option<Raw>>,
    last_at: Option<Moment>,
}

impl Slot {
    pub(super) fn new(start: SlotStart, results: ResultSource) -> Self {
        let plan = start.plan;
        let field = id_field(results);
        let variable = results == ResultSource::Variable;
        let numbered = plan
            .events
            .iter()
            .enumerate()
            .filter(|(_, event)| hears(event, Said::Result))
            .map(|(index, event)| (index, place(&plan, event, field)))
            .filter(|(_, place)| variable || place.is_some())
            .collect();
        Self {
            watcher: Watcher::new(plan.clone(), &start.states),
            mark: mark(&plan, &start.states).filter(|_| variable),
            stored: start.states,
            numbered,
            variable,
            told: Told::default(),
            last: vec![None; plan.points.len()],
            last_at: None,
            plan,
        }
    }

    pub(super) fn name(&self) -> &SlotName {
        &self.plan.slot
    }

    /// Whether one of its events is of this kind.
    pub(super) fn wants(&self, said: Said) -> bool {
        self.plan.events.iter().any(|event| hears(event, said))
    }

    /// Whether its results have numbers.
    pub(super) fn is_numbered(&self) -> bool {
        !self.numbered.is_empty()
    }

    /// The number of the last result that it took; of several events the lowest.
    pub(super) fn known(&self) -> Option<i64> {
        if self.variable {
            return self.mark.map(|mark| mark.index);
        }
        let taken = |(event, place): &(usize, Option<usize>)| {
            let taken = self.watcher.state(*event)?.taken?;
            number(taken.get((*place)?)?.as_ref()?)
        };
        self.numbered.iter().filter_map(taken).min()
    }

    /// Milliseconds that the controller's clock is behind, where that is known.
    pub(super) fn behind(&self) -> Option<i64> {
        self.mark.and_then(|mark| mark.behind)
    }

    /// The controller's serial number, where it is among what was taken.
    pub(super) fn known_serial(&self) -> Option<String> {
        self.numbered.iter().find_map(|(event, _)| {
            let of = self.plan.events.get(*event)?;
            let place = of.id.iter().position(|point| {
                let at = self.plan.points.get(*point).map(|point| &point.at);
                matches!(at, Some(Address::Field(name)) if &**name == "controller_serial_number")
            })?;
            let taken = self.watcher.state(*event)?.taken?;
            Some(taken.get(place)?.as_ref()?.text().trim().to_owned())
        })
    }

    /// Whether the newest result at the first start is a result.
    pub(super) fn takes_first(&self) -> bool {
        let takes = |(event, _): &(usize, Option<usize>)| {
            let event = self.plan.events.get(*event);
            event.is_some_and(|event| event.on_start == OnStart::Take)
        };
        self.numbered.iter().any(takes)
    }

    /// From now on this number is the last one known; what is to be stored for that.
    pub(super) fn baseline(&mut self, id: i64) -> Vec<Made> {
        let mut states = self.states();
        let mut made = Vec::new();
        let behind = self.behind();
        self.mark = self.variable.then_some(Mark { index: id, behind });
        for (index, place) in &self.numbered {
            let Some(event) = self.plan.events.get(*index) else {
                continue;
            };
            let taken = place.map(|place| {
                let mut taken = vec![None; event.id.len()];
                if let Some(taken) = taken.get_mut(place) {
                    *taken = Some(Raw::Int(id));
                }
                taken
            });
            let watched = event.triggers.iter().map(|trigger| trigger.points().len()).sum();
            let state = TriggerState {
                fingerprint: event.fingerprint.clone(),
                last: vec![None; watched],
                taken,
                owed: None,
                mark: self.mark,
            };
            states.insert(event.name.to_string(), state.clone());
            let report = Report::State {
                slot: self.plan.slot.clone(),
                event: event.name.clone(),
                state: state.clone(),
                durable: None,
            };
            made.push((report, Some((*index, state))));
        }
        self.watcher = Watcher::new(self.plan.clone(), &states);
        made
    }

    fn states(&self) -> HashMap<String, TriggerState> {
        let state = |(index, event): (usize, &EventPlan)| Some((event.name.to_string(), self.watcher.state(index)?));
        self.plan.events.iter().enumerate().filter_map(state).collect()
    }

    /// This state is stored for certain.
    pub(super) fn durable(&mut self, event: usize, state: TriggerState) {
        if let Some(event) = self.plan.events.get(event) {
            self.stored.insert(event.name.to_string(), state);
        }
    }

    /// What followed the last stored states could not be stored.
    pub(super) fn roll_back(&mut self) {
        self.watcher = Watcher::new(self.plan.clone(), &self.stored);
        self.mark = mark(&self.plan, &self.stored).filter(|_| self.variable);
    }

    /// The controller told of itself.
    pub(super) fn learn(&mut self, now: Moment, controller: &[Field]) {
        let values = values(&self.plan.points, controller, &[]);
        self.show(now, &values);
    }

    fn show(&mut self, now: Moment, values: &[Option<Raw>]) {
        for (last, value) in self.last.iter_mut().zip(values) {
            if value.is_some() {
                last.clone_from(value);
            }
        }
        self.last_at = Some(now);
    }

    /// Something came: what it is to this slot. `controller`: the fields of 0002, which every sample has.
    pub(super) fn hear(&mut self, now: Moment, incoming: &Incoming, controller: &[Field]) -> Vec<Made> {
        let seen = incoming.seen.unwrap_or(now);
        let mut made = Vec::new();
        for fields in &incoming.readings {
            let values = values(&self.plan.points, fields, controller);
            self.show(seen, &values);
            let sample = |event, values, before, state| Sample {
                plan: self.plan.clone(),
                event,
                values,
                before,
                seen,
                since: incoming.live.then_some(seen),
                raw: incoming.raw.clone(),
                backfill: incoming.backfill,
                faults: incoming.faults.clone(),
                quality: Vec::new(),
                state,
                durable: None,
            };
            if !incoming.faults.is_empty() {
                for (index, event) in self.plan.events.iter().enumerate() {
                    if incoming.said.is_some_and(|said| hears(event, said)) {
                        let before = vec![None; values.len()];
                        made.push((
                            Report::Sample(Box::new(sample(index, values.clone(), before, None))),
                            None,
                        ));
                    }
                }
                continue;
            }
            let heard = self.watcher.hear(now, &values, incoming.said);
            if incoming.mark.is_some() && !self.numbered.is_empty() {
                self.mark = incoming.mark;
            }
            for mut happening in heard.happened {
                if let Some(state) = &mut happening.state {
                    state.mark = incoming.mark;
                }
                let state = happening.state.clone().map(|state| (happening.event, state));
                let sample = sample(happening.event, happening.values, happening.before, happening.state);
                made.push((Report::Sample(Box::new(sample)), state));
            }
            for (index, mut state) in heard.moved {
                state.mark = incoming.mark;
                let Some(event) = self.plan.events.get(index) else {
                    continue;
                };
                let report = Report::State {
                    slot: self.plan.slot.clone(),
                    event: event.name.clone(),
                    state: state.clone(),
                    durable: None,
                };
                made.push((report, Some((index, state))));
            }
        }
        made
    }

    /// Results that are missing for good, of each event that no counter tells of.
    pub(super) fn gap(&self, now: Moment, after: Option<i64>, before: Option<i64>, count: Option<u64>) -> Vec<Report> {
        let event = |(event, _): &(usize, Option<usize>)| {
            let counted = self.plan.events.get(*event).is_some_and(|event| event.counted);
            (!counted).then(|| Report::Gap {
                slot: self.plan.slot.clone(),
                event: *event,
                after: after.map(|id| id.to_string()),
                before: before.map(|id| id.to_string()),
                count,
                at: now,
            })
        };
        self.numbered.iter().filter_map(event).collect()
    }

    /// The link was lost or could not be made.
    pub(super) fn lost(&mut self, now: Moment, reason: &str) -> Option<Report> {
        self.told.offline(&self.plan, now, reason)
    }

    /// Whether it was last told to be out of reach.
    pub(super) fn is_offline(&self) -> bool {
        self.told.is(LinkState::Offline)
    }

    /// It is reached, and this is how it is.
    pub(super) fn reached(&mut self, now: Moment, state: LinkState, reason: String) -> Option<Report> {
        self.told.reached();
        self.told.say(&self.plan, state, reason, now)
    }

    /// What its points last said.
    pub(super) fn reading(&self, now: Moment) -> Reading {
        Reading {
            at: self.last_at.unwrap_or(now),
            values: self.last.clone(),
            words: vec![String::new(); self.last.len()],
            faults: Vec::new(),
        }
    }
}

/// The earliest place up to which results were taken.
fn mark(plan: &SlotPlan, states: &HashMap<String, TriggerState>) -> Option<Mark> {
    let of = |event: &EventPlan| {
        let state = states.get(&*event.name)?;
        state.mark.filter(|_| state.fingerprint == event.fingerprint)
    };
    plan.events.iter().filter_map(of).min_by_key(|mark| mark.index)
}

/// Whether the event has a trigger of this kind.
fn hears(event: &EventPlan, said: Said) -> bool {
    event
        .triggers
        .iter()
        .any(|trigger| matches!(trigger, Trigger::Said(of) if *of == said))
}

/// Where in its id the number stands.
fn place(plan: &SlotPlan, event: &EventPlan, field: &str) -> Option<usize> {
    event.id.iter().position(|point| {
        let at = plan.points.get(*point).map(|point| &point.at);
        matches!(at, Some(Address::Field(name)) if &**name == field)
    })
}
