//! Device profiles: what is particular to a device, as a file. Owns the format, `extends`, checks, the read
//! plan, decoding, mapping to contract fields, and examples.
//!
//! Pure: no I/O, no clock, no async. Files come through [`Files`]; samples come from drivers, drafts go to the
//! unit room. Owns no ids, no sequence and no envelope ([`crate::contract`]), and no state machine of triggers
//! ([`crate::watch`]).

mod address;
mod checks;
pub mod compare;
mod connection;
mod controls;
mod curve;
mod decode;
mod endpoint;
mod events;
mod examples;
mod fields;
mod format;
mod frame;
mod kind;
mod known;
mod mapping;
mod merge;
mod nodes;
mod notice;
mod ownership;
mod places;
mod plan;
mod points;
mod protocol;
mod read;
mod rehearse;
mod schema;
mod session;
mod settings;
mod shift;
mod skeleton;
mod slot;
mod stamp;
mod telegrams;
#[cfg(test)]
mod tests;
mod triggers;

use protocol::Family;
pub use rehearse::{Judged, Measured, Rehearsal};

use crate::diagnostic::tree::{Node, Table, Value};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Severity};
use crate::model::event::EventType;
use crate::model::plan::{Alive, Notice, SlotPlan};
use crate::model::{DeviceIdentity, Draft, Sample, SlotName, Uom};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use known::{KnownPoint, known_points};
pub use settings::Setting;
pub use skeleton::{SkeletonFault, protocols, skeleton};

/// How files are read. The caller implements it; `path` is ready to be opened: the profiles folder joined with
/// the path of a catalog file, or the installed file itself.
pub trait Files {
    /// The text of `path`.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    fn read(&self, path: &Path) -> Result<String, FileFault>;

    /// As which file `path` is shown in what is said of it: itself, unless something stands in its place.
    fn shown(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// It is there, but could not be read: permissions, no UTF-8, a folder.
    #[error("{0}")]
    Unreadable(String),
}

/// What `gateway.toml` says of one slot, with places, so that both files are shown where they disagree.
#[derive(Debug, Clone)]
pub struct SlotContract {
    /// Which slot.
    pub slot: SlotName,
    /// Types of events that the MES gets from it.
    pub delivers: Vec<(EventType, Place)>,
    /// Fields that the MES relies on beyond the required ones, dotted: `torque.min`.
    pub requires: Vec<(String, Place)>,
    /// Names and uoms of measurements and readings that the MES knows.
    pub values: Vec<(String, Uom, Place)>,
    /// Where the slot stands.
    pub place: Place,
}

impl SlotContract {
    /// Of a slot that no gateway.toml has: it asks nothing.
    #[must_use]
    pub fn asking_nothing(slot: SlotName, place: Place) -> Self {
        Self {
            slot,
            delivers: Vec::new(),
            requires: Vec::new(),
            values: Vec::new(),
            place,
        }
    }
}

/// How much is known of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Maturity {
    /// Read from a manual.
    #[default]
    Document,
    /// Has a capture of a real device.
    Bench,
    /// Ran in a plant.
    Line,
}

/// What one sample means.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// An event, or a quarantine where it has reasons.
    Draft(Box<Draft>),
    /// Turned away by `only` or `except`; counted.
    Ignored,
    /// The same, of a device that counts its results: this one was there, and is none that is missing.
    Passed(Box<Draft>),
}

/// How the examples of a profile went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExampleReport {
    /// As expected.
    pub passed: usize,
    /// Not; each is a diagnostic.
    pub failed: usize,
}

/// A checked profile. What is in it holds: every point that is named is there, every uom converts.
#[derive(Debug)]
pub struct Profile {
    identity: Arc<DeviceIdentity>,
    files: Vec<PathBuf>,
    maturity: Maturity,
    about: String,
    sources: Vec<String>,
    caveats: Vec<String>,
    connection: connection::Connection,
    alive: Option<Alive>,
    points: Vec<points::Point>,
    events: Vec<events::Event>,
    /// Events of a server that trigger.
    notices: Vec<Notice>,
    /// What counts of all files, with places.
    resolved: Table,
    examples: Vec<Node>,
    /// Examples of what it extends, and the profile that they prove; none: it stands only with this one.
    inherited: Vec<(Option<Box<Profile>>, Vec<Node>)>,
    /// Files that examples name, by path: their text, or why they were not read.
    beside: Arc<HashMap<PathBuf, Result<String, FileFault>>>,
    place: Place,
}

impl Profile {
    /// Reads, merges, checks and compiles `file` (relative to `root`, or absolute). Some even with warnings;
    /// `None` where there are errors.
    pub fn load(file: &Path, root: &Path, files: &dyn Files, out: &mut Diagnostics) -> Option<Self> {
        let mut found = Diagnostics::new();
        let layers = merge::load(file, root, files, &mut found);
        let profile = layers.and_then(|layers| {
            let (own, bases) = layers.split_first()?;
            let mut profile = compile(own, &mut found)?;
            endpoint::files(own.resolved.get("connection"), files, &mut found);
            profile.beside = Arc::new(examples::beside(&layers, files));
            profile.files = layers.iter().map(|layer| layer.path.clone()).collect();
            for base in bases.iter().filter(|base| !base.examples.is_empty()) {
                // What is wrong with a base by itself may be made good by what extends it.
                let mut aside = Diagnostics::new();
                let mut subject = compile(base, &mut aside).filter(|_| !aside.has_errors());
                if let Some(subject) = &mut subject {
                    subject.beside = profile.beside.clone();
                }
                profile.inherited.push((subject.map(Box::new), base.examples.clone()));
            }
            Some(profile)
        });
        let faulty = found.has_errors();
        out.extend(found);
        profile.filter(|_| !faulty)
    }

    /// Vendor, model, serial and digest.
    #[must_use]
    pub fn identity(&self) -> &Arc<DeviceIdentity> {
        &self.identity
    }

    /// Where its `[connection]` stands.
    #[must_use]
    pub fn connection_place(&self) -> &Place {
        &self.connection.place
    }

    /// Every file that it was read from, the installed one first.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How much is known of it.
    #[must_use]
    pub fn maturity(&self) -> Maturity {
        self.maturity
    }

    /// What it is, in a sentence.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Documents that it was made from.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// Known faults of the device.
    #[must_use]
    pub fn caveats(&self) -> &[String] {
        &self.caveats
    }

    /// Its protocol, as the format has it: `modbus-tcp`.
    #[must_use]
    pub fn protocol(&self) -> &str {
        let connection = self.resolved.get("connection").and_then(Node::as_table);
        let word = connection.and_then(|keys| keys.get("protocol")?.as_text());
        word.unwrap_or_default()
    }

    /// Every key of it and of what it extends that counts, with the file that says so.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        settings::of(&self.resolved)
    }

    /// How many examples prove it and what it extends, by origin: captured, document, computed.
    #[must_use]
    pub fn evidence(&self) -> [usize; 3] {
        let all = self
            .inherited
            .iter()
            .flat_map(|(_, examples)| examples)
            .chain(&self.examples);
        let mut found = [0; 3];
        for example in all {
            let origin = example.as_table().and_then(|keys| keys.get("origin")?.as_text());
            let [captured, document, computed] = &mut found;
            *match origin {
                Some("captured") => captured,
                Some("document") => document,
                _ => computed,
            } += 1;
        }
        found
    }

    /// Its events: name and type, in the order of the file and of the plan.
    pub fn events(&self) -> impl Iterator<Item = (&str, EventType)> {
        self.events.iter().map(|event| (&*event.name, event.kind))
    }

    /// Its points: name and uom, in the order of the plan.
    pub fn points(&self) -> impl Iterator<Item = (&str, Option<&Uom>)> {
        self.points.iter().map(|point| (&*point.name, point.uom.as_ref()))
    }

    /// What a point of a sample means, for people: `12.34 N.m`, `ok`; why not, where it means nothing.
    #[must_use]
    pub fn meaning_of(&self, point: usize, values: &[Option<crate::model::Raw>]) -> String {
        let said = decode::say(&self.points, point, values);
        let uom = decode::uom(&self.points, point, values).ok().flatten();
        match (said, uom) {
            (decode::Said::Good(value @ decode::Value::Number(_)), Some(uom)) => {
                format!("{} {}", value.text(), uom.code())
            }
            (decode::Said::Good(value), _) => value.text(),
            (decode::Said::Absent, _) => "absent".to_owned(),
            (decode::Said::Invalid, _) => "invalid".to_owned(),
            (decode::Said::Implausible(reason) | decode::Said::Bad(reason), _) => reason,
        }
    }

    /// Holds it against what the MES relies on.
    pub fn check_slot(&self, contract: &SlotContract, out: &mut Diagnostics) {
        slot::check(self, contract, out);
    }

    /// What a driver reads for this slot.
    #[must_use]
    pub fn plan(&self, slot: &SlotName) -> SlotPlan {
        plan::of(self, slot)
    }

    /// What a sample means. Never fails: what cannot be a contract event is a draft with reasons for quarantine.
    #[must_use]
    pub fn drafts(&self, contract: &SlotContract, sample: &Sample) -> Vec<Meaning> {
        match self.events.get(sample.event) {
            Some(event) => mapping::drafts(event, &self.points, &self.device(sample), contract, sample),
            None => Vec::new(),
        }
    }

    /// Whose sample it is: where the profile names no individual, the serial number that a controller says.
    fn device(&self, sample: &Sample) -> Arc<DeviceIdentity> {
        let said = self.points.iter().position(|point| *point.name == *telegrams::SERIAL);
        let said =
            said.filter(|_| self.identity.serial.is_none() && self.connection.protocol.family == Family::Telegrams);
        match said.map(|point| decode::say(&self.points, point, &sample.values)) {
            Some(decode::Said::Good(serial)) => Arc::new(DeviceIdentity {
                serial: Some(serial.text()),
                ..(*self.identity).clone()
            }),
            _ => self.identity.clone(),
        }
    }

    /// Runs every `[[example]]`. An example proves the file that it stands in: those that are inherited run
    /// against what is inherited, so that an override breaks none of them.
    pub fn run_examples(&self, contract: Option<&SlotContract>, out: &mut Diagnostics) -> ExampleReport {
        examples::run(self, contract, out)
    }
}

/// What an event says, for people and tools: `type`, `event`, the contract's fields, and `unit`, `times`, `extra` where it
/// has them; of a quarantine its `reasons` and what it is `of`. This is what `expect` of an example sees.
#[must_use]
pub fn show(draft: &Draft) -> serde_json::Value {
    examples::show(draft)
}

/// JSON Schema of the profile format, for editors.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema::schema()
}

/// From one layer, resolved, to a profile. `None` where nothing can be made of it; faults are in `out`.
fn compile(layer: &merge::Layer, out: &mut Diagnostics) -> Option<Profile> {
    let top = &layer.resolved;
    let start = Place::start_of(&layer.source);
    let text = |key: &str| top.get(key).and_then(Node::as_text).map(str::to_owned);
    let texts = |key: &str| -> Vec<String> {
        let list = top.get(key).map(Node::one_or_more).unwrap_or_default();
        list.iter().filter_map(Node::as_text).map(str::to_owned).collect()
    };
    let examples = layer.examples.clone();
    for key in ["vendor", "model"] {
        if text(key).is_none_or(|text| text.is_empty()) && top.get(key).is_none_or(|node| node.as_text() == Some("")) {
            out.push(
                Diagnostic::warning(&start, format!("this profile has no `{key}`"))
                    .help("the MES sees it in every event, and a swap for another device is noticed by it"),
            );
        }
    }
    let identity = Arc::new(DeviceIdentity {
        vendor: text("vendor").unwrap_or_default(),
        model: text("model").unwrap_or_default(),
        serial: text("serial"),
        digest: digest(top),
    });
    let connection = connection::compile(top, &start, out)?;
    let empty = Table::default();
    let table = |key: &str| top.get(key).and_then(Node::as_table).unwrap_or(&empty);
    let used = named(top);
    let points = points::compile(table("points"), &connection, &used, out);
    let (events, notices) = events::compile(table("events"), &points, &connection.protocol, out);
    if table("events").entries.is_empty() {
        out.push(
            Diagnostic::warning(&start, "this profile maps no events").help("say what it means: [events.tightening]"),
        );
    }
    let alive = connection::alive(top.get("connection"), &points, out);
    if !out.iter().any(|fault| fault.severity == Severity::Error) {
        checks::events(&events, &points, &connection, alive.as_ref(), out);
    }
    Some(Profile {
        identity,
        files: vec![layer.path.clone()],
        maturity: match text("maturity").as_deref() {
            Some("bench") => Maturity::Bench,
            Some("line") => Maturity::Line,
            _ => Maturity::Document,
        },
        about: text("about").unwrap_or_default(),
        sources: texts("sources"),
        caveats: texts("caveats"),
        connection,
        alive,
        points,
        events,
        notices,
        resolved: top.clone(),
        examples,
        inherited: Vec::new(),
        beside: Arc::default(),
        place: start,
    })
}

/// Every text in events, points and `alive` that may name a point.
fn named(top: &Table) -> BTreeSet<&str> {
    fn texts<'a>(node: &'a Node, found: &mut BTreeSet<&'a str>) {
        match &node.value {
            Value::Text(text) => drop(found.insert(text)),
            Value::List(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Table(table) => {
                for (key, node) in &table.entries {
                    if key.name == "only" || key.name == "except" {
                        let keys = node.as_table().map(|keys| &keys.entries);
                        found.extend(keys.into_iter().flatten().map(|(key, _)| key.name.as_str()));
                    }
                    if key.name == "when" {
                        // A word there is no point.
                        let tables = node.one_or_more().iter().filter(|item| item.as_table().is_some());
                        tables.for_each(|item| texts(item, found));
                    } else {
                        texts(node, found);
                    }
                }
            }
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    for section in ["connection", "points", "events"] {
        if let Some(node) = top.get(section) {
            texts(node, &mut found);
        }
    }
    found
}

/// `sha256:…` over the resolved content: keys sorted, numbers by value, comments and layout left out.
fn digest(top: &Table) -> String {
    let mut text = String::new();
    canonical(top, &mut text);
    format!("sha256:{}", crate::model::value::hex(&Sha256::digest(text.as_bytes())))
}

fn canonical(table: &Table, text: &mut String) {
    let mut entries: Vec<_> = table.entries.iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    text.push('{');
    for (key, node) in entries {
        text.push_str(&serde_json::Value::from(key.name.as_str()).to_string());
        text.push(':');
        canonical_value(node, text);
        text.push(',');
    }
    text.push('}');
}

fn canonical_value(node: &Node, text: &mut String) {
    match &node.value {
        Value::Text(value) => text.push_str(&serde_json::Value::from(value.as_str()).to_string()),
        Value::Integer(value) => text.push_str(&value.to_string()),
        Value::Float(value) => text.push_str(&value.to_string()),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::List(items) => {
            text.push('[');
            for item in items {
                canonical_value(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Table(table) => canonical(table, text),
    }
}
