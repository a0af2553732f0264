//! Runs the steps of an example in time, as the gateway would.
//!
//! Owns the clock of examples. Watches by [`crate::watch`], maps by [`Profile::drafts`].

use super::given::{Given, decode, zeros};
use crate::model::plan::{EventPlan, Link, Said, SlotPlan, Trigger};
use crate::model::{Draft, Moment, Raw, Sample};
use crate::profile::events::Event;
use crate::profile::{Meaning, Profile, SlotContract};
use crate::watch::frames::FrameWatch;
use crate::watch::{Happening, Watcher};
use crate::wire::framed::Framed;
use crate::wire::modbus::Image;
use crate::wire::open_protocol::{Field, Joiner, Telegram, TraceOrder, reading, variable};
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
            Link::Modbus(_) | Link::OpenProtocol(_) => None,
        },
        controller: Vec::new(),
        joiner: Joiner::new(),
        drafts: Vec::new(),
    };
    let mut tick = STEP;
    let mut number = 0;
    if !sequence && steps.iter().any(|step| matches!(step, Given::Registers(_))) {
        stage.registers(at(tick), &zeros(plan), number, sequence);
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
        }
        number += 1;
    }
    Ok(stage.drafts)
}

fn at(tick: u64) -> Moment {
    Moment::new(1_795_342_503_171_i64.saturating_add_unsigned(tick), tick)
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
    joiner: Joiner,
    drafts: Vec<Draft>,
}

impl Stage<'_> {
    fn registers(&mut self, now: Moment, image: &Image, number: usize, sequence: bool) {
        let plan = self.plan;
        let values = decode(plan, image, 0);
        let mut happened = self
            .watcher
            .observe_rings(now, &values, &|shift| decode(plan, image, shift));
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
            self.periodic(now, &values);
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
        let mut parts: Vec<Telegram> = Vec::new();
        for telegram in telegrams {
            let Some(telegram) = self.joiner.take(telegram).map_err(|fault| fault.to_string())? else {
                continue;
            };
            if !matches!(telegram.mid(), 1201 | 1202) {
                self.telegram(now, &[telegram]);
                continue;
            }
            let (total, _, id) = variable::place(&telegram).map_err(|fault| fault.to_string())?;
            parts.push(telegram);
            let have = parts.len();
            match have.cmp(&usize::from(total.max(1))) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => self.telegram(now, &std::mem::take(&mut parts)),
                std::cmp::Ordering::Greater => return Err(format!("result {id} has {total} telegrams, not {have}")),
            }
        }
        if let Some(first) = parts.first() {
            let (total, _, id) = variable::place(first).map_err(|fault| fault.to_string())?;
            return Err(format!(
                "result {id} has {total} telegrams, of which {} are given: write telegram = [\"…1201…\", \"…1202…\"]",
                parts.len()
            ));
        }
        Ok(())
    }

    /// One telegram, or those of one result.
    fn telegram(&mut self, now: Moment, telegrams: &[Telegram]) {
        let Some(mid) = telegrams.first().map(Telegram::mid) else {
            return;
        };
        let order = match &self.plan.link {
            Link::OpenProtocol(link) if link.big_endian_traces => TraceOrder::Big,
            _ => TraceOrder::Little,
        };
        let said = reading::said(mid);
        let decoded = match reading::join(telegrams, order) {
            Ok(decoded) => decoded,
            Err(fault) => return self.unreadable(now, said, &fault.to_string()),
        };
        if mid == 2 {
            self.controller = decoded.fields;
            return;
        }
        for fields in reading::readings(decoded) {
            let values = reading::values(&self.plan.points, &fields, &self.controller);
            self.said(now, &values, said, mid == 65);
            self.periodic(now, &values);
        }
    }

    fn unreadable(&mut self, now: Moment, said: Option<Said>, fault: &str) {
        let hears = |event: &EventPlan| {
            event
                .triggers
                .iter()
                .any(|trigger| said.is_some_and(|said| *trigger == Trigger::Said(said)))
        };
        let none = || vec![None; self.plan.points.len()];
        let concerned: Vec<usize> = (0..self.plan.events.len())
            .filter(|index| self.plan.events.get(*index).is_some_and(hears))
            .collect();
        for event in concerned {
            let mut sample = Sample::picture(self.plan, event, none(), none(), now);
            sample.faults.push(fault.to_owned());
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
