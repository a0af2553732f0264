//! Runs the steps of an example in time, as the gateway would.
//!
//! Owns the clock of examples. Watches by [`crate::watch`], maps by [`Profile::drafts`].

use super::given::{Given, decode, zeros};
use crate::model::plan::{EventPlan, Link, Said, SlotPlan, Trigger};
use crate::model::{Decimal, Draft, Moment, Raw, Sample};
use crate::profile::events::Event;
use crate::profile::{Meaning, Profile, SlotContract};
use crate::watch::frames::FrameWatch;
use crate::watch::{Happening, Watcher, notices};
use crate::wire::framed::Framed;
use crate::wire::modbus::Image;
use crate::wire::open_protocol::said::Hearer;
use crate::wire::open_protocol::{Field, Telegram, TraceOrder, reading};
use std::collections::HashMap;
use std::sync::Arc;

/// Between two steps of a sequence: longer than any `at_most` or `repeat`.
const STEP: u64 = 3_600_000;

/// What the steps lead to, in order. Of a sequence of registers the first is the baseline, and what it shows counts.
///
/// # Errors
/// A sentence: what is given does not make a whole.
pub(super) fn drafts(
    profile: &Profile,
    contract: &SlotContract,
    plan: &Arc<SlotPlan>,
    steps: Vec<Given>,
    sequence: bool,
) -> Result<Vec<Draft>, String> {
    let mut stage = Stage {
        profile,
        contract,
        plan,
        watcher: Watcher::new(plan.clone(), &HashMap::new()),
        frames: match &plan.link {
            Link::Framed(link) => Some(FrameWatch::new(plan.clone(), &link.parse, &HashMap::new())?),
            Link::Modbus(_) | Link::OpenProtocol(_) | Link::Opcua(_) => None,
        },
        controller: Vec::new(),
        hearer: Hearer::new(match &plan.link {
            Link::OpenProtocol(link) if link.big_endian_traces => TraceOrder::Big,
            _ => TraceOrder::Little,
        }),
        drafts: Vec::new(),
    };
    let mut tick = STEP;
    let mut number = 0;
    if !sequence && steps.iter().any(|step| matches!(step, Given::Registers(_))) {
        stage.registers(at(tick), &zeros(plan), number, sequence);
        (tick, number) = (tick + STEP, 1);
    }
    if !sequence && let Some(Given::Nodes(values)) = steps.first() {
        let zeros: Vec<_> = values.iter().map(|raw| raw.as_ref().map(zero)).collect();
        stage.nodes(at(tick), &zeros, number, sequence);
        (tick, number) = (tick + STEP, 1);
    }
    for given in steps {
        let now = at(tick);
        tick += STEP;
        match given {
            Given::Registers(image) => stage.registers(now, &image, number, sequence),
            Given::Frames(frames) => stage.frames(now, frames),
            Given::Telegrams(telegrams) => stage.telegrams(now, telegrams)?,
            Given::Values(values, said) => {
                stage.said(now, &values, Some(said), false);
                stage.periodic(now, &values);
            }
            Given::Nodes(values) => stage.nodes(now, &values, number, sequence),
            Given::Event(notice, fields, nodes) => {
                let heard = notices::hear(&mut stage.watcher, now, notice, &fields, &nodes);
                for happening in heard.happened {
                    stage.happened(now, happening, false);
                }
            }
            Given::Noticed(notice, values) => stage.said(now, &values, Some(Said::Event(notice)), false),
        }
        number += 1;
    }
    Ok(stage.drafts)
}

fn at(tick: u64) -> Moment {
    Moment::new(1_795_342_503_171_i64.saturating_add_unsigned(tick), tick)
}

/// What a variable of this kind says where nothing is: 0, false, an empty text.
fn zero(raw: &Raw) -> Raw {
    match raw {
        Raw::Bool(_) => Raw::Bool(false),
        Raw::Text(_) => Raw::Text(String::new()),
        Raw::List(_) => Raw::List(Vec::new()),
        Raw::Dec(_) => Raw::Dec(Decimal::ZERO),
        Raw::F32(_) => Raw::F32(0),
        Raw::F64(_) => Raw::F64(0),
        Raw::Int(_) | Raw::Big(_) => Raw::Int(0),
    }
}

/// Everything that remembers from step to step.
struct Stage<'a> {
    profile: &'a Profile,
    contract: &'a SlotContract,
    plan: &'a Arc<SlotPlan>,
    watcher: Watcher,
    frames: Option<FrameWatch>,
    /// What the controller said when the session began (0002).
    controller: Vec<Field>,
    hearer: Hearer,
    drafts: Vec<Draft>,
}

impl Stage<'_> {
    fn registers(&mut self, now: Moment, image: &Image, number: usize, sequence: bool) {
        let plan = self.plan;
        let values = decode(plan, image, 0);
        let happened = self
            .watcher
            .observe_rings(now, &values, &|shift| decode(plan, image, shift));
        self.observed(now, &values, happened, number, sequence);
    }

    /// What variables say at one moment; what is not given is not there.
    fn nodes(&mut self, now: Moment, values: &[Option<Raw>], number: usize, sequence: bool) {
        let happened = self.watcher.observe(now, values);
        self.observed(now, values, happened, number, sequence);
    }

    fn observed(
        &mut self,
        now: Moment,
        values: &[Option<Raw>],
        mut happened: Vec<Happening>,
        number: usize,
        sequence: bool,
    ) {
        if number == 0 && !sequence {
            return;
        }
        // What happens by time happens once a step.
        let profile = self.profile;
        happened.retain(|happening| !profile.events.get(happening.event).is_some_and(Event::is_periodic));
        for happening in happened {
            self.happened(now, happening, false);
        }
        if number > 0 {
            self.periodic(now, values);
        }
    }

    /// Events that happen only by time, once.
    fn periodic(&mut self, now: Moment, values: &[Option<Raw>]) {
        let profile = self.profile;
        let by_time = profile
            .events
            .iter()
            .enumerate()
            .filter(|(_, event)| event.is_periodic());
        for (event, _) in by_time {
            let happening = Happening {
                event,
                values: values.to_vec(),
                before: vec![None; values.len()],
                state: None,
            };
            self.happened(now, happening, false);
        }
    }

    fn happened(&mut self, now: Moment, happening: Happening, backfill: bool) {
        let mut sample = Sample::picture(self.plan, happening.event, happening.values, happening.before, now);
        sample.backfill = backfill;
        self.sample(&sample);
    }

    fn sample(&mut self, sample: &Sample) {
        for meaning in self.profile.drafts(self.contract, sample) {
            if let Meaning::Draft(draft) = meaning {
                self.drafts.push(*draft);
            }
        }
    }

    fn frames(&mut self, now: Moment, frames: Vec<Framed>) {
        let Some(watch) = &mut self.frames else { return };
        let mut made = Vec::new();
        let mut last = Vec::new();
        for framed in frames {
            let Framed::Frame { content, whole, fault } = framed else {
                continue;
            };
            let heard = watch.hear(now, &content, &whole, fault);
            if !heard.values.is_empty() {
                last = heard.values;
            }
            made.extend(heard.events);
        }
        for event in made {
            if self.is_periodic(event.event) {
                continue;
            }
            let mut sample = Sample::picture(self.plan, event.event, event.values, event.before, now);
            sample.faults = event.faults;
            self.sample(&sample);
        }
        if !last.is_empty() {
            self.periodic(now, &last);
        }
    }

    fn is_periodic(&self, event: usize) -> bool {
        self.profile.events.get(event).is_some_and(Event::is_periodic)
    }

    fn telegrams(&mut self, now: Moment, telegrams: Vec<Telegram>) -> Result<(), String> {
        let mut open = None;
        for telegram in telegrams {
            let mid = telegram.mid();
            if reading::said(mid).is_none() {
                self.aside(now, &telegram)?;
                continue;
            }
            let Some(word) = self.hearer.take(telegram) else {
                open = Some(mid);
                continue;
            };
            open = None;
            for fields in &word.readings {
                let values = reading::values(&self.plan.points, fields, &self.controller);
                if word.faults.is_empty() {
                    self.said(now, &values, Some(word.said), word.mid == 65);
                    self.periodic(now, &values);
                } else {
                    self.unreadable(now, word.said, &word.faults);
                }
            }
        }
        self.hearer.clear();
        match open {
            Some(mid) => Err(format!(
                "MID {mid:04} is a part of a whole whose other telegrams are not given: write them in order, telegram = [\"…1201…\", \"…1202…\"]"
            )),
            None => Ok(()),
        }
    }

    /// A telegram that no event waits for by a word: what the controller says of itself, and points that may change.
    fn aside(&mut self, now: Moment, telegram: &Telegram) -> Result<(), String> {
        let decoded = crate::wire::open_protocol::decode(telegram).map_err(|fault| fault.to_string())?;
        if decoded.mid == 2 {
            self.controller = decoded.fields;
            return Ok(());
        }
        let values = reading::values(&self.plan.points, &decoded.fields, &self.controller);
        self.said(now, &values, None, false);
        Ok(())
    }

    fn unreadable(&mut self, now: Moment, said: Said, faults: &[String]) {
        let none = || vec![None; self.plan.points.len()];
        let hears = |event: &EventPlan| event.triggers.contains(&Trigger::Said(said));
        let events = self.plan.events.iter().enumerate();
        let concerned: Vec<usize> = events
            .filter(|(_, event)| hears(event))
            .map(|(index, _)| index)
            .collect();
        for event in concerned {
            let mut sample = Sample::picture(self.plan, event, none(), none(), now);
            sample.faults = faults.to_vec();
            self.sample(&sample);
        }
    }

    fn said(&mut self, now: Moment, values: &[Option<Raw>], said: Option<Said>, backfill: bool) {
        for happening in self.watcher.hear(now, values, said).happened {
            if !self.is_periodic(happening.event) {
                self.happened(now, happening, backfill);
            }
        }
    }
}
