//! What today's profile makes of what was in quarantine. Pure: no store, no clock, no device.
//!
//! Owns the way back from `data.raw` and what is kept beside it to raw values: frames and telegrams are read again from
//! their bytes by the same code as in the drivers, registers are decoded again, and what an OPC UA server said is taken as
//! it was. Says why where that is not enough.

use super::material::{Material, place};
use crate::model::plan::{Address, FramedLink, Link, OpenProtocolLink, SlotPlan, Table};
use crate::model::{Draft, EventType, Moment, Raw, Sample};
use crate::profile::{Meaning, Profile, SlotContract};
use crate::watch::Watcher;
use crate::watch::frames::FrameWatch;
use crate::wire::framed::{Framed, Framer, Parser};
use crate::wire::modbus::{self, Image};
use crate::wire::open_protocol::reading::values;
use crate::wire::open_protocol::said::{Hearer, Word};
use crate::wire::open_protocol::{Telegram, TraceOrder};
use crate::wire::unescaped;
use std::collections::HashMap;
use std::sync::Arc;

/// A quarantine to be tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    /// The type that it would have been.
    pub(super) kind: Option<EventType>,
    /// What stood on the wire.
    pub(super) raw: &'a str,
    /// When it was seen.
    pub(super) seen: Moment,
    /// What is kept beside the event; `None`: nothing.
    pub(super) material: Option<&'a Material>,
}

/// The events that `profile`, which fills the slot of `contract`, makes of it now.
///
/// # Errors
/// Why there is none, each in a sentence.
pub(super) fn again(profile: &Profile, contract: &SlotContract, told: &Told<'_>) -> Result<Vec<Draft>, Vec<String>> {
    let plan = Arc::new(profile.plan(&contract.slot));
    let trial = Trial { plan: &plan, told };
    let mut samples = match &plan.link {
        Link::Framed(link) => trial.frame(link),
        Link::OpenProtocol(link) => trial.telegrams(link),
        Link::Modbus(_) => trial.registers(),
        Link::Opcua(_) => trial.nodes(),
    }
    .map_err(|reason| vec![reason])?;
    let mut drafts = Vec::new();
    let mut reasons = Vec::new();
    for sample in &mut samples {
        told.raw.clone_into(&mut sample.raw);
        sample.backfill = true;
        sample.since = told
            .material
            .and_then(|kept| kept.since)
            .map(|wall| Moment::new(wall, 0));
        trial.qualify(sample);
        for meaning in profile.drafts(contract, sample) {
            match meaning {
                Meaning::Draft(draft) if draft.quarantine.is_empty() => drafts.push(*draft),
                Meaning::Draft(draft) => reasons.extend(draft.quarantine),
                Meaning::Ignored | Meaning::Passed(_) => {
                    reasons.push("today's profile turns it away (`only`, `except`), or sees nothing in it".to_owned());
                }
            }
        }
    }
    reasons.dedup();
    if !reasons.is_empty() {
        return Err(reasons);
    }
    if drafts.is_empty() {
        return Err(vec!["today's profile makes no event of it".to_owned()]);
    }
    Ok(drafts)
}

struct Trial<'a> {
    plan: &'a Arc<SlotPlan>,
    told: &'a Told<'a>,
}

impl Trial<'_> {
    /// The event of today's profile: the one of the same name, else the first of the same type by name.
    fn event(&self) -> Result<usize, String> {
        let events = &self.plan.events;
        let name = self.told.material.map(|kept| kept.event.as_str());
        let word = self.told.kind.map(EventType::word);
        let named = |wanted: Option<&str>| events.iter().position(|event| wanted == Some(&*event.name));
        named(name).or_else(|| named(word)).ok_or_else(|| {
            let shown = name.or(word).unwrap_or("it was");
            format!("today's profile has no [events.{shown}]")
        })
    }

    /// One picture of the event.
    fn picture(&self, event: usize, values: Vec<Option<Raw>>, before: Option<Vec<Option<Raw>>>) -> Sample {
        let before = before.unwrap_or_else(|| self.before());
        Sample::picture(self.plan, event, values, before, self.told.seen)
    }

    fn before(&self) -> Vec<Option<Raw>> {
        let known = self
            .told
            .material
            .map(|kept| kept.before.as_slice())
            .unwrap_or_default();
        let points = self.plan.points.iter();
        points
            .map(|point| {
                known
                    .iter()
                    .find(|(name, _)| **name == *point.name)
                    .map(|(_, raw)| raw.clone())
            })
            .collect()
    }

    /// What a point said then: by its place at the device, else by its name.
    fn said(&self, name: &str, at: &Address) -> Option<Raw> {
        let kept = &self.told.material?.values;
        let at = place(at);
        let same_place = kept.iter().find(|value| {
            at.is_some() && value.at.as_ref().unwrap_or(&value.point) == at.as_ref().unwrap_or(&value.point)
        });
        let same_name = || {
            kept.iter()
                .find(|value| value.point == name && (at.is_none() || value.at.is_none()))
        };
        same_place.or_else(same_name).map(|value| value.raw.clone())
    }

    /// What the device itself said of the quality of points.
    fn qualify(&self, sample: &mut Sample) {
        let known = self
            .told
            .material
            .map(|kept| kept.quality.as_slice())
            .unwrap_or_default();
        for (name, word) in known {
            if let Some(point) = self.plan.points.iter().position(|point| *point.name == **name) {
                sample.quality.push((point, word.as_str().into()));
            }
        }
    }

    /// Registers, decoded as today's points are.
    fn registers(&self) -> Result<Vec<Sample>, String> {
        let kept = self.told.material.ok_or(
            "which registers its raw data are was not kept (it is from before lineside could try again, or too long): \
             read it by hand with `raw`",
        )?;
        let image = image(&kept.registers, self.told.raw);
        let event = self.event()?;
        let mut missing = Vec::new();
        let needed = self
            .plan
            .events
            .get(event)
            .map(|event| event.points.as_slice())
            .unwrap_or_default();
        let values = self.plan.points.iter().enumerate().map(|(index, point)| {
            let at = point.at.modbus()?;
            let known = image
                .as_ref()
                .is_some_and(|image| image.words(at.table, at.address, modbus::span(at)).is_some());
            if known {
                return image.as_ref().and_then(|image| modbus::decode(at, image));
            }
            // As it was read then: by the same type from the same place, else not at all.
            let said = self.said(&point.name, &point.at);
            let was_there = || kept.values.iter().any(|value| *value.point == *point.name);
            if said.is_none() && needed.contains(&index) && (image.is_some() || was_there()) {
                missing.push(format!("`{}` ({} {})", point.name, at.table.word(), at.address));
            }
            said
        });
        let values: Vec<Option<Raw>> = values.collect();
        if !missing.is_empty() {
            return Err(format!(
                "today's profile needs {}, which was not read then, or not like this",
                missing.join(", ")
            ));
        }
        Ok(vec![self.picture(event, values, None)])
    }

    /// What nodes and fields of events said.
    fn nodes(&self) -> Result<Vec<Sample>, String> {
        let kept = self.told.material.ok_or(
            "what its nodes said was not kept (it is from before lineside could try again, or too long): read it by hand \
             with `raw`",
        )?;
        if kept.whole {
            return Err(
                "the server's event could not be read, so that there are no values to try again with".to_owned(),
            );
        }
        let event = self.event()?;
        let values = self
            .plan
            .points
            .iter()
            .map(|point| self.said(&point.name, &point.at))
            .collect();
        Ok(vec![self.picture(event, values, None)])
    }

    /// A frame, cut out and taken apart as today's profile says.
    fn frame(&self, link: &FramedLink) -> Result<Vec<Sample>, String> {
        let bytes = unescaped(self.told.raw).ok_or("its raw data cannot be read")?;
        let mut framer = Framer::new(link.frame.clone());
        let mut cut = framer.push(0, &bytes);
        cut.extend(framer.close());
        let mut whole_ones = cut.into_iter().filter_map(|one| match one {
            Framed::Frame { content, whole, fault } => Some((content, whole, fault)),
            Framed::Noise(_) => None,
        });
        let (content, whole, fault) = whole_ones.next().ok_or("by today's [frame] it is no frame")?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let mut watch = FrameWatch::new(self.plan.clone(), &link.parse, &HashMap::new())?;
        let heard = watch.hear(self.told.seen, &content, &whole, None);
        if heard.ignored {
            return Err("today's profile turns it away (`ignore`)".to_owned());
        }
        let concerned = |name: &str| self.concerns(name);
        let mut samples = Vec::new();
        for event in heard.events {
            let name = self.plan.events.get(event.event).map_or("", |event| &*event.name);
            if concerned(name) {
                let before = event.before.clone();
                samples.push(Sample {
                    faults: event.faults,
                    ..self.picture(event.event, event.values, Some(before))
                });
            }
        }
        if samples.is_empty() {
            // A trigger that waits for a change was a change then.
            let parser = Parser::new(&link.parse)?;
            let (values, faults) = parser.values(&self.plan.points, &parser.parse(&content, &whole));
            let event = self.event()?;
            let points = self
                .plan
                .events
                .get(event)
                .map(|event| event.points.as_slice())
                .unwrap_or_default();
            let faults = faults
                .into_iter()
                .filter(|(point, _)| points.contains(point))
                .map(|(_, fault)| fault);
            samples.push(Sample {
                faults: faults.collect(),
                ..self.picture(event, values, None)
            });
        }
        Ok(samples)
    }

    /// Whether an event that what was said leads to now is the one that was in quarantine: others were sent then. Of what
    /// could not be read at all, nothing was.
    fn concerns(&self, name: &str) -> bool {
        match self.told.material {
            Some(kept) if !kept.whole && self.plan.events.iter().any(|event| *event.name == *kept.event) => {
                name == kept.event
            }
            _ => true,
        }
    }

    /// Telegrams, read again.
    fn telegrams(&self, link: &OpenProtocolLink) -> Result<Vec<Sample>, String> {
        let word = word(self.told.raw, link.big_endian_traces)?;
        if let Some(fault) = word.faults.first() {
            return Err(fault.clone());
        }
        let mut best: Option<(usize, Vec<Option<Raw>>)> = None;
        for reading in &word.readings {
            let mut found = values(&self.plan.points, reading, &[]);
            let mut agree = 0;
            for (value, point) in found.iter_mut().zip(&self.plan.points) {
                let then = self.said(&point.name, &point.at);
                agree += usize::from(then.is_some() && *value == then);
                // What the controller said of itself when the session began.
                if value.is_none() {
                    *value = then;
                }
            }
            // Of several spindles the one that it was.
            if best.as_ref().is_none_or(|(most, _)| agree > *most) {
                best = Some((agree, found));
            }
        }
        let (_, values) = best.ok_or("its telegram says nothing")?;
        let mut watcher = Watcher::new(self.plan.clone(), &HashMap::new());
        let happened = watcher.hear(self.told.seen, &values, Some(word.said)).happened;
        let mut samples: Vec<Sample> = happened
            .into_iter()
            .filter(|happening| {
                let event = self.plan.events.get(happening.event);
                event.is_some_and(|event| self.concerns(&event.name))
            })
            .map(|happening| self.picture(happening.event, happening.values, Some(happening.before)))
            .collect();
        if samples.is_empty() {
            samples.push(self.picture(self.event()?, values, None));
        }
        Ok(samples)
    }
}

/// What telegrams say, as they stand in `data.raw`: one a line, the binary block of a trace in hexadecimal behind its NUL.
fn word(raw: &str, big_endian: bool) -> Result<Word, String> {
    let order = if big_endian {
        TraceOrder::Big
    } else {
        TraceOrder::Little
    };
    let mut hearer = Hearer::new(order);
    for line in raw.lines() {
        // Only a trace has a binary block.
        let trace = line.get(4..8) == Some("0900");
        let (text, binary) = match line.split_once("\\x00 ").filter(|_| trace) {
            Some((text, digits)) => (
                text,
                Some(bytes_of(digits).ok_or("the samples of its trace cannot be read")?),
            ),
            None => (line, None),
        };
        let mut bytes = unescaped(text).ok_or("its raw data cannot be read")?;
        bytes.push(0);
        bytes.extend(binary.unwrap_or_default());
        let telegram = Telegram::parse(&bytes).map_err(|fault| fault.to_string())?;
        if let Some(word) = hearer.take(telegram) {
            return Ok(word);
        }
    }
    Err("its telegrams are no result by themselves".to_owned())
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.trim().as_bytes();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16)
                .ok()
                .filter(|_| pair.len() == 2)
        })
        .collect()
}

/// The registers that `raw` shows. `None` where it shows others than `runs` say.
fn image(runs: &[(String, u16, u16)], raw: &str) -> Option<Image> {
    let mut words = raw.split_whitespace();
    let mut image = Image::default();
    for (table, address, count) in runs {
        let table = [Table::Coil, Table::Discrete, Table::Holding, Table::Input]
            .into_iter()
            .find(|known| known.word() == table)?;
        let radix = if table.is_bits() { 10 } else { 16 };
        let shown: Option<Vec<u16>> = (0..*count)
            .map(|_| u16::from_str_radix(words.next()?, radix).ok())
            .collect();
        image.put(table, *address, &shown?);
    }
    (words.next().is_none() && !runs.is_empty()).then_some(image)
}

#[cfg(test)]
mod tests;
