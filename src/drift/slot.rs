//! What is usual for one slot, as a whole. Owns which of it goes with a device and which stays with the slot, what a
//! result is taken apart into, and how much is kept.
//!
//! Levels are the slot's: the next device has to say what the one before said. Fields, facts, clock, beat and ids are the
//! device's, and begin anew with it.

use super::alarms::{self, Alarms};
use super::cadence::{self, Cadence};
use super::facts::{Facts, is_fact};
use super::fields::{self, Names, Seen};
use super::ids::{self, Ids};
use super::keep::{self, Part};
use super::level::{self, Level};
use super::offset::Offset;
use super::show::number;
use super::span::{self, Span};
use super::{Finding, Tally};
use crate::model::draft::DeviceIdentity;
use crate::model::event::{Shape, Verdict};
use crate::model::{Draft, EventType, Fields, SlotName, StateChange};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Programs of one slot, at most.
const PROGRAMS: usize = 64;
/// Readings of one slot that are watched, at most.
const READINGS: usize = 64;
/// Events of one slot, at most.
const EVENTS: usize = 16;
/// Results after a swap in which values are held against those before.
const FRESH: u16 = 60;
/// Results after which what happened once is over.
const OVER: u16 = 200;
/// Results in a row that cannot be understood.
const UNREAD: u16 = 5;
/// Results that could be understood before.
const READ: u16 = 50;
/// Heard since it was stored: then a part is stored again.
const STORE: u16 = 50;
/// What separates the parts of a key; in no name.
const APART: char = '\u{1f}';
/// Absences that are no news: of results, of readings.
const PATIENCE: u16 = 10;
const PATIENCE_READINGS: u16 = 60;

/// What goes with the device.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Device {
    /// Vendor, model and serial.
    who: Option<(String, String, Option<String>)>,
    digest: String,
    /// The one before: vendor and model, or that only its file was changed.
    #[serde(default)]
    before: String,
    /// Results in which values are still held against those before.
    #[serde(default)]
    fresh: u16,
    facts: Facts,
    clock: Offset,
    alarms: Alarms,
    #[serde(skip)]
    unsaved: u16,
}

/// One event of the profile.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Course {
    cadence: Cadence,
    ids: Ids,
    /// In a row: understood, not understood.
    read: u16,
    unread: u16,
    #[serde(skip)]
    unsaved: u16,
}

/// The levels of one program.
#[derive(Debug, Default)]
struct Program {
    levels: Vec<(String, Level)>,
    used: u64,
}

/// What is usual for one slot.
#[derive(Debug)]
pub(super) struct SlotMemory {
    slot: SlotName,
    device: Device,
    names: Names,
    courses: HashMap<String, Course>,
    programs: HashMap<String, Program>,
    seen: HashMap<String, (Seen, u64)>,
    spans: HashMap<String, Span>,
    /// Results so far, to know which program was used last.
    heard: u64,
    /// Names that are not stored yet.
    named: bool,
    key: String,
    path: String,
    changes: Vec<StateChange>,
    pub(super) tally: Tally,
}

/// One thing to tell, before it is known whether it is told.
struct Told {
    code: &'static str,
    subject: String,
    /// `None`: it is over.
    text: Option<String>,
    left: Option<u16>,
}

fn came(code: &'static str, subject: String, left: Option<u16>, text: String) -> Told {
    Told {
        code,
        subject,
        text: Some(text),
        left,
    }
}

fn went(code: &'static str, subject: String) -> Told {
    Told {
        code,
        subject,
        text: None,
        left: None,
    }
}

impl SlotMemory {
    pub(super) fn new(slot: &SlotName) -> Self {
        Self {
            slot: slot.clone(),
            device: Device::default(),
            names: Names::default(),
            courses: HashMap::new(),
            programs: HashMap::new(),
            seen: HashMap::new(),
            spans: HashMap::new(),
            heard: 0,
            named: false,
            key: String::new(),
            path: String::new(),
            changes: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// An event that is stored, or a reading of which only the newest is kept.
    pub(super) fn said(&mut self, draft: &Draft, findings: &mut Vec<Finding>) {
        let mut told = Vec::new();
        self.heard = self.heard.saturating_add(1);
        self.meet(&draft.device, findings);
        let understood = self.understood(draft, &mut told);
        if understood {
            self.device.alarms.pass(&self.slot, findings);
            match draft.kind {
                EventType::Readings => self.readings(draft, &mut told),
                EventType::Tightening | EventType::Measurement => self.result(draft, &mut told),
                _ => {}
            }
            self.fields(draft, &mut told);
            self.facts(draft, &mut told);
            self.clock(draft, &mut told);
            self.course(draft, &mut told);
            self.device.fresh = self.device.fresh.saturating_sub(1);
        }
        self.device.unsaved = self.device.unsaved.saturating_add(1);
        let urgent = !told.is_empty();
        for told in told {
            let finding = match told.text {
                Some(text) => {
                    self.device
                        .alarms
                        .came(&self.slot, told.code, &told.subject, told.left, text, draft.seen.tick)
                }
                None => self.device.alarms.went(
                    &self.slot,
                    told.code,
                    &told.subject,
                    &format!("{} is as it was, or that is usual now", told.subject),
                ),
            };
            findings.extend(finding);
        }
        if urgent || self.device.unsaved >= STORE || !findings.is_empty() {
            self.keep_device();
        }
    }

    /// Another device, or another file: what goes with it begins anew.
    fn meet(&mut self, device: &DeviceIdentity, findings: &mut Vec<Finding>) {
        let same = self.device.who.as_ref().is_some_and(|(vendor, model, serial)| {
            *vendor == device.vendor && *model == device.model && *serial == device.serial
        });
        if same && self.device.digest == device.digest {
            return;
        }
        let before = std::mem::take(&mut self.device.who);
        self.device.who = Some((device.vendor.clone(), device.model.clone(), device.serial.clone()));
        self.device.digest.clone_from(&device.digest);
        let Some((vendor, model, serial)) = before else {
            return;
        };
        self.device.alarms.clear(&self.slot, findings);
        for level in self.programs.values_mut().flat_map(|program| &mut program.levels) {
            level.1.forgive();
        }
        for span in self.spans.values_mut() {
            span.forgive();
        }
        self.device.fresh = FRESH;
        self.names.clear();
        for (key, _) in self.seen.drain() {
            self.changes.push(keep::gone(&self.slot, Part::Seen, &key));
        }
        self.named = false;
        if same {
            "with the device file before".clone_into(&mut self.device.before);
            for course in self.courses.values_mut() {
                course.cadence.forget();
                course.ids.forget();
            }
            return;
        }
        self.device.before = match serial {
            Some(serial) => format!("{vendor} {model}, {serial}"),
            None => format!("{vendor} {model}"),
        };
        self.device.facts = Facts::default();
        self.device.clock = Offset::default();
        for (key, _) in self.courses.drain() {
            self.changes.push(keep::gone(&self.slot, Part::Course, &key));
        }
    }

    /// Whether it could be understood; codes that the profile does not know are told.
    fn understood(&mut self, draft: &Draft, told: &mut Vec<Told>) -> bool {
        let Some(course) = course(&mut self.courses, &draft.event) else {
            return draft.quarantine.is_empty();
        };
        if draft.quarantine.is_empty() {
            if course.unread >= UNREAD {
                told.push(went(alarms::CODE, format!("all {}", draft.kind)));
            }
            course.unread = 0;
            course.read = course.read.saturating_add(1);
            return true;
        }
        course.unread = course.unread.saturating_add(1);
        let mut known = false;
        for reason in &draft.quarantine {
            if reason.starts_with("unknown code ") || reason.starts_with("unknown uom ") {
                known = true;
                let count = self.tally.code(reason);
                let text = format!(
                    "{}: {reason}, which the profile does not map ({count} so far): it goes to quarantine; did the device get another firmware, or is the map incomplete?",
                    draft.kind
                );
                told.push(came(alarms::CODE, reason.clone(), Some(OVER), text));
            }
        }
        if course.unread == UNREAD && course.read >= READ && !known {
            let why = draft.quarantine.first().map_or("", String::as_str);
            let text = format!(
                "the last {UNREAD} of {} could not be understood, after {} that could: {why}",
                draft.kind, course.read
            );
            told.push(came(alarms::CODE, format!("all {}", draft.kind), None, text));
        }
        if course.unread >= UNREAD {
            course.read = course.read.max(READ);
        }
        false
    }

    /// The program of a result and how it is called.
    fn program(&mut self, draft: &Draft) -> String {
        let data = &draft.data;
        let text = |path: [&str; 2]| {
            data.get(path[0])
                .and_then(|object| object.get(path[1]))
                .and_then(Value::as_str)
        };
        let plain = |name: &str| data.get(name).and_then(Value::as_str);
        let program = text(["program", "id"]).unwrap_or_default();
        let joint = plain("joint").unwrap_or_default();
        let name = (draft.kind == EventType::Measurement).then(|| plain("name")).flatten();
        self.key.clear();
        self.key.push_str(draft.kind.word());
        for part in [
            program,
            joint,
            name.unwrap_or_default(),
            plain("kind").filter(|kind| *kind == "loosen").unwrap_or_default(),
        ] {
            self.key.push(APART);
            self.key.extend(part.chars().filter(|c| !c.is_control()).take(48));
        }
        let mut called = String::new();
        for (word, part) in [(" of program ", program), (" of joint ", joint)] {
            if !part.is_empty() {
                called.push_str(word);
                called.extend(part.chars().take(24));
            }
        }
        called
    }

    /// A tightening or a measurement: the levels of its program.
    fn result(&mut self, draft: &Draft, told: &mut Vec<Told>) {
        let called = self.program(draft);
        let nok = draft.data.get("result").and_then(Value::as_str) == Some(Verdict::Nok.word());
        self.make_room();
        let fresh = self.device.fresh > 0;
        let only = if fresh && !self.programs.contains_key(&self.key) {
            self.only_program(draft.kind)
        } else {
            None
        };
        if !self.programs.contains_key(&self.key) {
            self.programs.insert(self.key.clone(), only.unwrap_or_default());
        }
        let Some(program) = self.programs.get_mut(&self.key) else {
            return;
        };
        program.used = self.heard;
        let before = fresh.then_some(self.device.before.as_str());
        let mut hear = |path: &str, name: &str, measure: &Fields, uom: &str| {
            let Some(value) = measure.get("value").and_then(float) else {
                return;
            };
            let at = program.levels.iter().position(|(known, _)| known == path);
            let at = at.unwrap_or_else(|| {
                program.levels.push((path.to_owned(), Level::default()));
                program.levels.len() - 1
            });
            let Some((_, level)) = program.levels.get_mut(at) else {
                return;
            };
            let reference = ["target", "max", "min"]
                .iter()
                .filter_map(|name| measure.get(*name).and_then(float))
                .find(|reference| *reference != 0.0);
            let heard = level::Heard {
                value,
                reference,
                uom,
                nok,
                fresh: before,
                controlled: !uom.contains("deg"),
            };
            let mut news = Vec::new();
            level.hear(heard, &mut news);
            let subject = format_args!("{name}{called}");
            for news in news {
                told.push(match news {
                    level::Told::Scale(text) => {
                        came(alarms::SCALE, subject.to_string(), None, format!("{subject} {text}"))
                    }
                    level::Told::Back | level::Told::Accepted => went(alarms::SCALE, subject.to_string()),
                    level::Told::Stuck(text) => {
                        came(alarms::STUCK, subject.to_string(), None, format!("{subject} {text}"))
                    }
                    level::Told::Moves => went(alarms::STUCK, subject.to_string()),
                });
            }
            if level.unsaved >= STORE {
                level.unsaved = 0;
                self.path.clear();
                self.path.push_str(&self.key);
                self.path.push(APART);
                self.path.push_str(path);
                self.changes
                    .extend(keep::kept(&self.slot, Part::Level, &self.path, level));
            }
        };
        if draft.kind == EventType::Measurement {
            let text = |name: &str| draft.data.get(name).and_then(Value::as_str).unwrap_or_default();
            hear("value", text("name"), &draft.data, text("uom"));
            return;
        }
        for spec in draft.kind.fields() {
            if let (Shape::Measure(uom), Some(Value::Object(measure))) = (spec.shape, draft.data.get(spec.name)) {
                hear(spec.name, spec.name, measure, uom);
            }
        }
    }

    /// After a swap programs may have other names: where there was only one level, the next device is held against it.
    fn only_program(&self, kind: EventType) -> Option<Program> {
        let mut known = self.programs.iter().filter(|(key, program)| {
            let of_kind = key.split(APART).next() == Some(kind.word()) && !key.ends_with("loosen");
            of_kind && program.levels.iter().any(|(_, level)| level.is_known())
        });
        let (key, program) = known.next()?;
        if known.next().is_some() {
            return None;
        }
        let from = key.split(APART).nth(1).filter(|id| !id.is_empty());
        let from = from.map_or_else(String::new, |id| format!("program {id}"));
        let levels = program.levels.iter().filter(|(_, level)| level.is_known());
        Some(Program {
            levels: levels
                .map(|(path, level)| (path.clone(), Level::inherit(level, &from)))
                .collect(),
            used: 0,
        })
    }

    /// The program that was not used for longest makes room.
    fn make_room(&mut self) {
        if self.programs.len() < PROGRAMS || self.programs.contains_key(&self.key) {
            return;
        }
        let oldest = self.programs.iter().min_by_key(|(_, program)| program.used);
        if let Some(key) = oldest.map(|(key, _)| key.clone())
            && let Some(program) = self.programs.remove(&key)
        {
            for (path, _) in program.levels {
                let key = format!("{key}{APART}{path}");
                self.changes.push(keep::gone(&self.slot, Part::Level, &key));
            }
        }
    }

    fn readings(&mut self, draft: &Draft, told: &mut Vec<Told>) {
        let Some(values) = draft.data.get("values").and_then(Value::as_object) else {
            return;
        };
        let uoms = draft.data.get("uoms").and_then(Value::as_object);
        for (name, value) in values {
            let Some(value) = float(value) else { continue };
            if !self.spans.contains_key(name) {
                if self.spans.len() >= READINGS {
                    continue;
                }
                self.spans.insert(name.clone(), Span::default());
            }
            let Some(span) = self.spans.get_mut(name) else { continue };
            let uom = uoms.and_then(|uoms| uoms.get(name)?.as_str()).unwrap_or_default();
            let mut news = Vec::new();
            span.hear(value, uom, draft.seen.wall, &mut news);
            for news in news {
                told.push(match news {
                    span::Told::Scale(text) => came(alarms::SCALE, name.clone(), None, format!("{name} {text}")),
                    span::Told::Back => went(alarms::SCALE, name.clone()),
                    span::Told::Stuck(text) => came(alarms::STUCK, name.clone(), None, format!("{name} {text}")),
                    span::Told::Moves => went(alarms::STUCK, name.clone()),
                });
            }
            // Readings are many: what is usual of them changes slowly.
            if span.unsaved >= 8 * STORE {
                span.unsaved = 0;
                self.changes.extend(keep::kept(&self.slot, Part::Span, name, span));
            }
        }
    }

    /// Which fields are there, for its event and program.
    fn fields(&mut self, draft: &Draft, told: &mut Vec<Told>) {
        let watched = matches!(
            draft.kind,
            EventType::Tightening | EventType::Measurement | EventType::Readings | EventType::Cycle
        );
        let nok = draft.data.get("result").and_then(Value::as_str) == Some(Verdict::Nok.word());
        if !watched || draft.backfill || nok {
            return;
        }
        let before = self.names.all().len();
        let (mut mask, mut named) = (0_u128, 0_u128);
        let (known, path) = (&mut self.names, &mut self.path);
        let mut there = |which: &mut u128, parts: [&str; 2]| {
            path.clear();
            path.push_str(parts[0]);
            if !parts[1].is_empty() {
                path.push('.');
                path.push_str(parts[1]);
            }
            if let Some(at) = known.number(path) {
                *which |= 1 << at;
            }
        };
        for (name, value) in &draft.data {
            match (name.as_str(), value) {
                // What names the program decides with what the rest is compared.
                ("program" | "joint", _) => there(&mut named, [name, ""]),
                ("errors" | "uoms" | "result_id" | "kind", _) => {}
                ("values" | "quality", Value::Object(members)) => {
                    for member in members.keys() {
                        there(&mut mask, ["values", member]);
                    }
                }
                (_, Value::Object(members)) => {
                    for member in members.keys() {
                        there(&mut mask, [name, member]);
                    }
                }
                _ => there(&mut mask, [name, ""]),
            }
        }
        for name in draft.extra.keys() {
            there(&mut mask, ["extra", name]);
        }
        if draft.device_time.is_some() {
            there(&mut mask, ["times", "device"]);
        }
        self.named |= self.names.all().len() > before;
        let patience = if draft.kind == EventType::Readings {
            PATIENCE_READINGS
        } else {
            PATIENCE
        };
        if !matches!(draft.kind, EventType::Tightening | EventType::Measurement) {
            self.key.clear();
        }
        // Alike in all programs: what names them.
        let program = format!("{}{APART}{}", draft.event, self.key);
        let all = format!("{}{APART}", draft.event);
        for (key, mask, patience) in [(program, mask, patience), (all, named, 2 * patience)] {
            self.field(&key, mask, patience, told);
        }
    }

    fn field(&mut self, key: &str, mask: u128, patience: u16, told: &mut Vec<Told>) {
        if !self.seen.contains_key(key) {
            if self.seen.len() >= PROGRAMS
                && let Some(oldest) = self.seen.iter().min_by_key(|(_, (_, used))| *used)
            {
                let oldest = oldest.0.clone();
                self.seen.remove(&oldest);
                self.changes.push(keep::gone(&self.slot, Part::Seen, &oldest));
            }
            self.seen.insert(key.to_owned(), (Seen::default(), 0));
        }
        let Some((seen, used)) = self.seen.get_mut(key) else {
            return;
        };
        *used = self.heard;
        let mut news = Vec::new();
        seen.hear(mask, self.names.all().len(), patience, &mut news);
        let program = key.split(APART).nth(2).filter(|program| !program.is_empty());
        let of = program.map_or_else(String::new, |program| format!(" of program {program}"));
        let name = |at: usize| self.names.all().get(at).map_or("", String::as_str);
        for news in news {
            told.push(match news {
                fields::Told::Missing(at, absent) => came(
                    alarms::MISSING,
                    format!("{}{of}", name(at)),
                    None,
                    format!(
                        "`{}`{of} was always there, and is missing in the last {absent} results: did the device get another firmware or another setting?",
                        name(at)
                    ),
                ),
                fields::Told::Back(at) => went(alarms::MISSING, format!("{}{of}", name(at))),
                fields::Told::New(at, results, there) => came(
                    alarms::NEW,
                    format!("{}{of}", name(at)),
                    Some(OVER),
                    format!(
                        "`{}`{of} was in none of {results} results, and is in each of the last {there}: did the device get another firmware or another setting?",
                        name(at)
                    ),
                ),
            });
        }
        if seen.unsaved >= STORE {
            seen.unsaved = 0;
            self.changes.extend(keep::kept(&self.slot, Part::Seen, key, seen));
            if std::mem::take(&mut self.named) {
                self.changes
                    .extend(keep::kept(&self.slot, Part::Names, "", &self.names.all()));
            }
        }
    }

    /// Serial numbers and firmware.
    fn facts(&mut self, draft: &Draft, told: &mut Vec<Told>) {
        let members = ["tool", "controller"].into_iter().filter_map(|name| {
            let serial = draft.data.get(name)?.get("serial")?.as_str()?;
            Some((format!("{name}.serial"), serial.to_owned()))
        });
        let extra = draft
            .extra
            .iter()
            .filter(|(name, _)| is_fact(name))
            .filter_map(|(name, object)| {
                let text = match object.get("value")? {
                    Value::String(text) => text.clone(),
                    value @ Value::Number(_) => value.to_string(),
                    _ => return None,
                };
                Some((format!("extra.{name}"), text))
            });
        for (name, value) in members.chain(extra) {
            if let Some(changed) = self.device.facts.hear(&name, &value, draft.seen.wall) {
                let text = format!(
                    "`{name}` was {} in the last {} results and is {} now, by the same device file: was the device, the tool or its software exchanged?",
                    changed.before, changed.results, changed.now
                );
                told.push(came(alarms::DEVICE, name, Some(OVER), text));
            }
        }
    }

    fn clock(&mut self, draft: &Draft, told: &mut Vec<Told>) {
        let (Some(said), Some(_), false) = (&draft.device_time, draft.since, draft.backfill) else {
            return;
        };
        if let Some(text) = self.device.clock.hear(said.wall, draft.seen.wall) {
            told.push(came(alarms::CLOCK, "clock".to_owned(), Some(OVER), text));
        }
    }

    /// Beat and ids of its event.
    fn course(&mut self, draft: &Draft, told: &mut Vec<Told>) {
        if draft.backfill {
            return;
        }
        let Some(course) = course(&mut self.courses, &draft.event) else {
            return;
        };
        let phase = draft.data.get("phase").and_then(Value::as_str);
        let beat = match (draft.kind, phase) {
            (EventType::Readings, _) => Some(cadence::READ),
            (EventType::Cycle, Some("end" | "count")) => Some(cadence::CYCLES),
            _ => None,
        };
        if let Some(beat) = beat {
            match course.cadence.hear(draft.seen.tick, draft.seen.wall, beat) {
                Some(cadence::Told::Other(text)) => told.push(came(
                    alarms::CADENCE,
                    draft.event.to_string(),
                    None,
                    format!("`{}` {text}", draft.event),
                )),
                Some(cadence::Told::Back) => told.push(went(alarms::CADENCE, draft.event.to_string())),
                None => {}
            }
        }
        let mut news = Vec::new();
        course.ids.hear(
            ids::Heard {
                id: draft.id.as_deref(),
                counter: draft.counter,
                tick: draft.seen.tick,
                id_hash: hash(&draft.id),
                values_hash: values_hash(draft),
            },
            &mut news,
        );
        for news in news {
            told.push(match news {
                ids::Told::Came(what, text) => came(
                    alarms::ID,
                    format!("{} {what}", draft.event),
                    (what == "restart").then_some(OVER),
                    format!("`{}`: {text}", draft.event),
                ),
                ids::Told::Went(what) => went(alarms::ID, format!("{} {what}", draft.event)),
            });
        }
        course.unsaved = course.unsaved.saturating_add(1);
        if course.unsaved >= STORE {
            course.unsaved = 0;
            self.changes
                .extend(keep::kept(&self.slot, Part::Course, &draft.event, course));
        }
    }

    /// Our own clock was moved.
    pub(super) fn clock_stepped(&mut self, by: i64) {
        self.device.clock.clock_stepped(by);
    }

    /// Brings back one part.
    pub(super) fn restore(&mut self, part: Part, key: &str, value: &[u8]) {
        match part {
            Part::Device => {
                if let Some(device) = keep::read(value) {
                    self.device = device;
                }
            }
            Part::Names => {
                for name in keep::read::<Vec<String>>(value).unwrap_or_default() {
                    self.names.number(&name);
                }
            }
            Part::Course => {
                if let Some(found) = keep::read(value) {
                    self.courses.insert(key.to_owned(), found);
                }
            }
            Part::Seen => {
                if let Some(found) = keep::read(value) {
                    self.seen.insert(key.to_owned(), (found, 0));
                }
            }
            Part::Span => {
                if let Some(found) = keep::read(value) {
                    self.spans.insert(key.to_owned(), found);
                }
            }
            Part::Level => {
                if let (Some((program, path)), Some(level)) = (key.rsplit_once(APART), keep::read(value)) {
                    let program = self.programs.entry(program.to_owned()).or_default();
                    program.levels.push((path.to_owned(), level));
                }
            }
        }
    }

    /// What was heard since it was stored last.
    pub(super) fn keep_all(&mut self) {
        let slot = &self.slot;
        for (key, program) in &mut self.programs {
            for (path, level) in program.levels.iter_mut().filter(|(_, level)| level.unsaved > 0) {
                level.unsaved = 0;
                let key = format!("{key}{APART}{path}");
                self.changes.extend(keep::kept(slot, Part::Level, &key, level));
            }
        }
        for (name, span) in self.spans.iter_mut().filter(|(_, span)| span.unsaved > 0) {
            span.unsaved = 0;
            self.changes.extend(keep::kept(slot, Part::Span, name, span));
        }
        for (key, (seen, _)) in self.seen.iter_mut().filter(|(_, (seen, _))| seen.unsaved > 0) {
            seen.unsaved = 0;
            self.changes.extend(keep::kept(slot, Part::Seen, key, seen));
        }
        for (key, course) in self.courses.iter_mut().filter(|(_, course)| course.unsaved > 0) {
            course.unsaved = 0;
            self.changes.extend(keep::kept(slot, Part::Course, key, course));
        }
        if std::mem::take(&mut self.named) {
            self.changes
                .extend(keep::kept(slot, Part::Names, "", &self.names.all()));
        }
        if self.device.unsaved > 0 {
            self.keep_device();
        }
    }

    fn keep_device(&mut self) {
        self.device.unsaved = 0;
        self.changes
            .extend(keep::kept(&self.slot, Part::Device, "", &self.device));
    }

    /// Hands over what is to be stored.
    pub(super) fn give_changes(&mut self, to: &mut Vec<StateChange>) {
        to.append(&mut self.changes);
    }
}

/// The course of an event, where there is room for it.
fn course<'a>(courses: &'a mut HashMap<String, Course>, event: &str) -> Option<&'a mut Course> {
    if !courses.contains_key(event) {
        if courses.len() >= EVENTS {
            return None;
        }
        courses.insert(event.to_owned(), Course::default());
    }
    courses.get_mut(event)
}

/// The number in a JSON value.
fn float(value: &Value) -> Option<f64> {
    value.as_f64().filter(|value| value.is_finite())
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// What tells two results apart, in one number: all of them but what names the result. `None`: too little to tell.
fn values_hash(draft: &Draft) -> Option<u64> {
    let measured = match draft.kind {
        EventType::Tightening => ["torque", "angle", "final_angle", "rundown_angle"]
            .iter()
            .filter(|name| {
                draft
                    .data
                    .get(**name)
                    .is_some_and(|measure| measure.get("value").is_some())
            })
            .count(),
        EventType::Measurement => draft.data.get("value").and_then(float).map_or(0, |value| {
            // Pass or fail as a number tells nothing, and neither does a round value.
            usize::from(number(value).len() > 2)
        }),
        _ => 0,
    };
    if measured == 0 {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    for (name, value) in &draft.data {
        if name != "result_id" {
            name.hash(&mut hasher);
            value.to_string().hash(&mut hasher);
        }
    }
    Some(hasher.finish())
}
