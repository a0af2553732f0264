//! What a frame of a device leads to: events, faults for quarantine, repeats, or nothing.
//!
//! Owns the memory of one slot that hears frames. Pure: drivers, examples and replay feed it alike. Does not cut frames out
//! of bytes ([`crate::wire::framed`]).

use super::Watcher;
use crate::model::plan::{ParsePlan, PointIx, Said, SlotPlan, Trigger};
use crate::model::sample::TriggerState;
use crate::model::{Moment, Raw};
use crate::wire::escaped;
use crate::wire::framed::{FrameText, Parser};
use std::collections::HashMap;
use std::sync::Arc;

/// The triggers of one slot whose device says frames.
#[derive(Debug, Clone)]
pub struct FrameWatch {
    plan: Arc<SlotPlan>,
    parser: Parser,
    watcher: Watcher,
    /// By event with `repeat`: what it last said, and until when the same again is the same.
    recent: Vec<Option<(Vec<Option<Raw>>, u64)>>,
}

/// An event of the plan, or what would have been one.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameEvent {
    /// Index into the plan's events.
    pub event: usize,
    /// Raw values by point.
    pub values: Vec<Option<Raw>>,
    /// Values of the trigger's points before, by point.
    pub before: Vec<Option<Raw>>,
    /// To be stored with it.
    pub state: Option<TriggerState>,
    /// Why it cannot be an event, each in a sentence; not empty: it goes to quarantine.
    pub faults: Vec<String>,
}

/// What a frame led to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FrameHeard {
    /// It fits `ignore`: no news.
    pub ignored: bool,
    /// Events, in the order of the plan.
    pub events: Vec<FrameEvent>,
    /// Events that are the same again within their `repeat`.
    pub repeated: u64,
    /// Triggers that moved without an event and must be stored: index of the event and its state.
    pub moved: Vec<(usize, TriggerState)>,
    /// Raw values by point.
    pub values: Vec<Option<Raw>>,
    /// The text of each point as it stands in the frame, control characters escaped; empty where it is absent.
    pub texts: Vec<String>,
    /// All that is wrong with the frame, be it for an event or not.
    pub faults: Vec<String>,
}

impl FrameWatch {
    /// Triggers of `plan`, going on from what is stored (by event name; another fingerprint is not carried over).
    ///
    /// # Errors
    /// A sentence: a pattern cannot be understood.
    pub fn new(plan: Arc<SlotPlan>, parse: &ParsePlan, stored: &HashMap<String, TriggerState>) -> Result<Self, String> {
        Ok(Self {
            parser: Parser::new(parse)?,
            watcher: Watcher::new(plan.clone(), stored),
            recent: vec![None; plan.events.len()],
            plan,
        })
    }

    /// A frame came: its `content`, the `whole` of it, and what was wrong with it on the wire.
    pub fn hear(&mut self, now: Moment, content: &[u8], whole: &[u8], fault: Option<String>) -> FrameHeard {
        let frame = self.parser.parse(content, whole);
        if let Some(fault) = fault {
            return self.unreadable(fault);
        }
        if self.parser.ignores(&frame) {
            return FrameHeard {
                ignored: true,
                ..FrameHeard::default()
            };
        }
        if let Some(fault) = self.parser.misfit(&frame) {
            return self.unreadable(fault);
        }
        let (values, faults) = self.parser.values(&self.plan.points, &frame);
        let heard = self.watcher.hear(now, &values, Some(Said::Frame));
        let mut out = FrameHeard {
            moved: heard.moved,
            texts: self.texts(&frame),
            faults: faults.iter().map(|(_, fault)| fault.clone()).collect(),
            ..FrameHeard::default()
        };
        for happening in heard.happened {
            let concerns = self
                .plan
                .events
                .get(happening.event)
                .map(|event| event.points.as_slice());
            let faults = faults_of(&faults, concerns.unwrap_or_default());
            if faults.is_empty() && self.is_repeated(now, happening.event, &happening.values) {
                out.repeated += 1;
                continue;
            }
            out.events.push(FrameEvent {
                event: happening.event,
                values: happening.values,
                before: happening.before,
                state: happening.state,
                faults,
            });
        }
        // What could not be read may be what an event waits for.
        for (index, event) in self.plan.events.iter().enumerate() {
            let watched: Vec<PointIx> = event.triggers.iter().flat_map(Trigger::points).copied().collect();
            let faults = faults_of(&faults, &watched);
            let told = out.events.iter().any(|other| other.event == index);
            if !faults.is_empty() && !told {
                out.events.push(self.fault(index, values.clone(), faults));
            }
        }
        out.values = values;
        out
    }

    /// A frame of which nothing is believed but that it came.
    fn unreadable(&self, fault: String) -> FrameHeard {
        let event = self.plan.takes(Some(Said::Frame)).unwrap_or(0);
        let none = vec![None; self.plan.points.len()];
        let events = self
            .plan
            .events
            .get(event)
            .map(|_| self.fault(event, none.clone(), vec![fault.clone()]));
        FrameHeard {
            events: events.into_iter().collect(),
            texts: vec![String::new(); none.len()],
            values: none,
            faults: vec![fault],
            ..FrameHeard::default()
        }
    }

    fn fault(&self, event: usize, values: Vec<Option<Raw>>, faults: Vec<String>) -> FrameEvent {
        FrameEvent {
            event,
            before: vec![None; self.plan.points.len()],
            values,
            state: None,
            faults,
        }
    }

    /// Whether `event` said the same within its `repeat`. Each time it is said again, the time begins anew; something
    /// else in between ends it.
    fn is_repeated(&mut self, now: Moment, event: usize, values: &[Option<Raw>]) -> bool {
        let (Some(plan), Some(recent)) = (self.plan.events.get(event), self.recent.get_mut(event)) else {
            return false;
        };
        let Some(window) = plan.repeat else { return false };
        let said: Vec<Option<Raw>> = plan
            .points
            .iter()
            .map(|point| values.get(*point).cloned().flatten())
            .collect();
        let until = now
            .tick
            .saturating_add(u64::try_from(window.as_millis()).unwrap_or(u64::MAX));
        let same = recent
            .as_ref()
            .is_some_and(|(before, until)| *before == said && now.tick < *until);
        *recent = Some((said, until));
        same
    }

    /// What was said last could not be stored: the same again is no repeat.
    pub fn forget(&mut self) {
        self.recent.fill(None);
    }

    fn texts(&self, frame: &FrameText) -> Vec<String> {
        let text = |point: &crate::model::plan::PointPlan| {
            let text = self.parser.shown(point, frame).unwrap_or_default();
            escaped(text.as_bytes())
        };
        self.plan.points.iter().map(text).collect()
    }
}

fn faults_of(faults: &[(PointIx, String)], points: &[PointIx]) -> Vec<String> {
    let concerns = faults.iter().filter(|(point, _)| points.contains(point));
    concerns.map(|(_, fault)| fault.clone()).collect()
}

#[cfg(test)]
mod tests;
