//! `[events.<name>]`: when something happens, what makes it this result, what is owed, and which fields it has.
//!
//! Owns the control keys. Does not own the fields ([`super::fields`]), the triggers ([`super::triggers`]) nor what
//! is doubtful about an event as a whole ([`super::checks`]).

use super::controls;
use super::curve;
use super::decode::Value;
use super::fields::{Field, Member, Scope};
use super::format::{EVENT, ON_START};
use super::ownership;
use super::points::{self, Point};
use super::protocol::{Family, Protocol};
use super::stamp::{self, Stamp};
use super::triggers;
use crate::diagnostic::tree::{Key, Node, Table, parse_duration};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::draft::EchoMatch;
use crate::model::event::EventType;
use crate::model::plan::{Ack, Keep, Notice, OnStart, PointIx, Ring, Said, Trigger};
use std::sync::Arc;
use std::time::Duration;

/// One event of the profile.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) name: Arc<str>,
    pub(super) kind: EventType,
    /// Its header.
    pub(super) place: Place,
    pub(super) triggers: Vec<Trigger>,
    pub(super) fields: Vec<Member>,
    pub(super) id: Vec<PointIx>,
    pub(super) id_place: Option<Place>,
    pub(super) counter: Option<Counter>,
    pub(super) time: Option<Stamp>,
    pub(super) ack: Option<Ack>,
    pub(super) echo: Option<(PointIx, EchoMatch)>,
    pub(super) only: Vec<Filter>,
    pub(super) except: Vec<Filter>,
    /// Name and point.
    pub(super) extra: Vec<(String, PointIx)>,
    /// Of readings: name, point, and where it is named.
    pub(super) values: Vec<(String, PointIx, Place)>,
    pub(super) alarms: Vec<AlarmWord>,
    pub(super) ring: Option<Ring>,
    pub(super) stable: Option<u8>,
    pub(super) on_start: OnStart,
    pub(super) keep: Keep,
    /// The same values again within this time are one event.
    pub(super) repeat: Option<Duration>,
    /// Fields that tell its events from others with the same id: another event of its type, another part.
    pub(super) apart: &'static [&'static str],
}

/// `counter`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    pub(super) point: PointIx,
    pub(super) first: i64,
    pub(super) from: i64,
    pub(super) last: Option<i64>,
}

/// One key of `only` or `except`.
#[derive(Debug)]
pub(super) struct Filter {
    /// A field, dotted, or a point.
    pub(super) what: Filtered,
    pub(super) values: Vec<Value>,
}

/// What a filter looks at.
#[derive(Debug)]
pub(super) enum Filtered {
    /// Dotted path in the event's data.
    Field(String),
    Point(PointIx),
}

/// An alarm word.
#[derive(Debug)]
pub(super) struct AlarmWord {
    pub(super) point: PointIx,
    pub(super) bits: Vec<AlarmBit>,
}

/// One bit of it.
#[derive(Debug)]
pub(super) struct AlarmBit {
    pub(super) bit: u32,
    pub(super) code: String,
    pub(super) text: Option<String>,
    pub(super) category: Option<String>,
    pub(super) severity: Option<Value>,
}

impl Event {
    /// The field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&Member> {
        self.fields.iter().find(|member| member.spec.name == name)
    }

    /// Whether it happens only by time.
    pub(super) fn is_periodic(&self) -> bool {
        self.triggers.iter().all(|trigger| matches!(trigger, Trigger::Every(_)))
    }

    /// Points that are read together when it happens, in order, each once.
    pub(super) fn reads(&self, points: &[Point]) -> Vec<PointIx> {
        let mut found: Vec<PointIx> = self
            .triggers
            .iter()
            .flat_map(|trigger| trigger.points().to_vec())
            .collect();
        found.extend(&self.id);
        found.extend(self.counter.map(|counter| counter.point));
        if let Some(stamp) = &self.time {
            found.extend(&stamp.points);
        }
        if let Some(Ack {
            value: crate::model::plan::AckValue::Copy(point),
            ..
        }) = &self.ack
        {
            found.push(*point);
        }
        found.extend(self.echo.map(|(point, _)| point));
        for member in &self.fields {
            member.field.points(&mut found);
        }
        for filter in self.only.iter().chain(&self.except) {
            if let Filtered::Point(point) = filter.what {
                found.push(point);
            }
        }
        found.extend(self.extra.iter().map(|(_, point)| *point));
        found.extend(self.values.iter().map(|(_, point, _)| *point));
        found.extend(self.alarms.iter().map(|word| word.point));
        // What a point needs to be understood comes with it.
        let mut at = 0;
        while let Some(point) = found.get(at).and_then(|index| points.get(*index)) {
            found.extend(point.scale_from);
            found.extend(point.uom_from);
            at += 1;
            if at > 4 * points.len() + 4096 {
                break;
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Compiles all events.
pub(super) fn compile(
    table: &Table,
    points: &[Point],
    protocol: &Protocol,
    out: &mut Diagnostics,
) -> (Vec<Event>, Vec<Notice>) {
    let mut notices = Vec::new();
    let mut found: Vec<Event> = table
        .entries
        .iter()
        .filter_map(|(key, node)| one(key, node, points, protocol, &mut notices, out))
        .collect();
    apart(&mut found, out);
    (found, notices)
}

/// Several events of one result: their ids must differ, or they are taken for one event that says two things.
fn apart(events: &mut [Event], out: &mut Diagnostics) {
    let same = |a: &Event, b: &Event| a.kind == b.kind && !a.id.is_empty() && a.id == b.id;
    let twins: Vec<Option<usize>> = events
        .iter()
        .enumerate()
        .map(|(at, event)| {
            (0..events.len()).find(|other| *other != at && events.get(*other).is_some_and(|other| same(event, other)))
        })
        .collect();
    let places: Vec<(Arc<str>, Place)> = events
        .iter()
        .map(|event| (event.name.clone(), event.place.clone()))
        .collect();
    for (at, (event, twin)) in events.iter_mut().zip(twins).enumerate() {
        event.apart = match (event.kind, twin) {
            (EventType::Curve, twin) if twin.is_some() || curve::is_named_by_point(event) => &["y.name", "part"],
            (EventType::Curve, _) => &["part"],
            (EventType::Measurement, Some(_)) => &["name"],
            (EventType::Alarm, Some(_)) => &["code"],
            _ => &[],
        };
        let Some(twin) = twin else { continue };
        if event.apart.is_empty()
            && twin < at
            && let (Some(place), Some((name, other))) = (&event.id_place, places.get(twin))
        {
            out.push(
                Diagnostic::warning(
                    place,
                    format!(
                        "[events.{}] and [events.{name}] give their results the same id",
                        event.name
                    ),
                )
                .label("what comes second is taken for the first, said anew")
                .related(other, "the other")
                .help("add to each `id` what only it has: its own counter or result number; or make them two slots"),
            );
        }
    }
}

fn one(
    key: &Key,
    node: &Node,
    points: &[Point],
    protocol: &Protocol,
    notices: &mut Vec<Notice>,
    out: &mut Diagnostics,
) -> Option<Event> {
    let keys = node.as_table()?;
    let name = key.name.as_str();
    if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        out.push(
            Diagnostic::error(&key.place, format!("`{name}` is no name of an event"))
                .help("letters, digits, _ and -, at most 64"),
        );
    }
    let kind = kind(key, keys, out)?;
    let scope = Scope { points, kind };
    let names = |key: &str, out: &mut Diagnostics| -> Vec<PointIx> {
        let found = keys.get(key).map(Node::one_or_more).unwrap_or_default();
        found
            .iter()
            .filter_map(|node| points::find(points, node.as_text()?, &node.place, out))
            .collect()
    };
    let word = |key: &str| keys.get(key).and_then(Node::as_text);
    let id = names("id", out);
    if let Some(node) = keys.get("id")
        && node.one_or_more().is_empty()
    {
        out.push(
            Diagnostic::error(&node.place, "an `id` needs a point")
                .help("leave `id` out where the device has none: every trigger is its own then"),
        );
    }
    let mut fields = fields(keys, scope, out);
    if kind == EventType::Identification && protocol.family == Family::Frames && keys.get("code").is_none() {
        fields.extend(scanned(scope, &key.place));
    }
    let alarms = controls::alarms(keys, scope, out);
    let values = controls::values(keys, points, kind, out);
    let looked: Vec<PointIx> = {
        let mut found: Vec<PointIx> = values.iter().map(|(_, point, _)| *point).collect();
        for member in &fields {
            member.field.points(&mut found);
        }
        found
    };
    let ring = controls::ring(keys, points, out);
    let triggers = match keys.get("when") {
        Some(when) => triggers::compile(when, points, &looked, protocol, notices, out),
        None if ring.is_some() => ring.iter().map(|ring| Trigger::Changes(vec![ring.index])).collect(),
        // What is wrong with the ring has been said.
        None if keys.get("ring").is_some() => Vec::new(),
        None if !alarms.is_empty() => vec![Trigger::Changes(alarms.iter().map(|word| word.point).collect())],
        None => {
            out.push(
                Diagnostic::error(&key.place, format!("[events.{name}] needs `when`"))
                    .help(format!("say what makes it happen: {}", triggers::usual(protocol))),
            );
            Vec::new()
        }
    };
    let ack = keys.get("ack").and_then(|node| triggers::ack(node, points, out));
    let event = Event {
        name: name.into(),
        kind,
        place: key.place.clone(),
        triggers,
        id,
        id_place: keys.get("id").map(|node| node.place.clone()),
        counter: controls::counter(keys, points, out),
        time: keys.get("time").and_then(|node| stamp::compile(node, points, out)),
        ack,
        echo: controls::echo(keys, points, out),
        only: controls::filters(keys, "only", scope, out),
        except: controls::filters(keys, "except", scope, out),
        extra: controls::extra(keys, points, out),
        stable: keys
            .get("stable")
            .and_then(Node::as_integer)
            .and_then(|stable| u8::try_from(stable).ok()),
        on_start: word("on_start")
            .and_then(|word| ON_START.iter().find(|(known, _)| *known == word))
            .map(|(_, value)| *value)
            .unwrap_or_default(),
        keep: if word("keep") == Some("latest") {
            Keep::Latest
        } else {
            Keep::Stored
        },
        repeat: word("repeat").and_then(parse_duration),
        fields,
        values,
        alarms,
        apart: &[],
        ring,
    };
    controls::record(&event, keys, points, out);
    repeat(&event, keys, out);
    required(&event, keys, out);
    Some(event)
}

/// Only what is said by itself, and may be said twice, can be repeated.
fn repeat(event: &Event, keys: &Table, out: &mut Diagnostics) {
    let Some((key, _)) = keys.entry("repeat") else { return };
    let fine = |trigger: &Trigger| matches!(trigger, Trigger::Said(Said::Frame | Said::Identifier));
    if !event.triggers.is_empty() && !event.triggers.iter().all(fine) {
        out.push(
            Diagnostic::error(&key.place, "`repeat` goes with when = \"frame\" or \"identifier\"")
                .label("two reads of one code are one")
                .help("results are told apart by their `id`"),
        );
    }
}

fn kind(key: &Key, keys: &Table, out: &mut Diagnostics) -> Option<EventType> {
    let (word, place) = match keys.get("type") {
        Some(node) => (node.as_text()?, &node.place),
        None => (key.name.as_str(), &key.place),
    };
    let mapped: Vec<&str> = EventType::ALL
        .iter()
        .filter(|kind| kind.is_mapped())
        .map(|kind| kind.word())
        .collect();
    match EventType::of(word) {
        Some(kind) if kind.is_mapped() => Some(kind),
        Some(_) => {
            out.push(
                Diagnostic::error(place, format!("`{word}` events are the gateway's own"))
                    .help(format!("a profile maps to {}", mapped.join(", "))),
            );
            None
        }
        None => {
            let fault = match ownership::owned(word) {
                Some(what) => Diagnostic::error(place, format!("`{word}` would state {what}")).help(ownership::WHY),
                None => {
                    Diagnostic::error(place, format!("`{word}` is no type of event")).maybe_help(meant(word, &mapped))
                }
            };
            out.push(
                if keys.get("type").is_none() && fault.help.as_ref().is_some_and(|help| help.starts_with("known")) {
                    fault.help(format!(
                        "the name is the type, unless `type` says so: type = \"alarm\". Types are {}",
                        mapped.join(", ")
                    ))
                } else {
                    fault
                },
            );
            None
        }
    }
}

/// What a scanner reads, where the profile does not say which point the code is.
fn scanned(scope: Scope<'_>, place: &Place) -> Option<Member> {
    let code = scope
        .points
        .iter()
        .position(|point| &*point.name == super::places::CODE)?;
    Some(Member {
        spec: scope.kind.field("code")?,
        place: place.clone(),
        field: Field::One(super::fields::Source::Point(code)),
    })
}

/// Every key that is no control key.
fn fields(keys: &Table, scope: Scope<'_>, out: &mut Diagnostics) -> Vec<Member> {
    let kind = scope.kind;
    let mut found = Vec::new();
    for (key, node) in &keys.entries {
        let name = key.name.as_str();
        if EVENT.iter().any(|known| known.name == name) || (kind == EventType::Readings && name == "values") {
            continue;
        }
        let made = match (kind, name) {
            (_, "result_id") => Some("`result_id` is made of `id`: its last value"),
            (EventType::Measurement, "uom") => Some("the uom of a measurement is that of its value's point"),
            (EventType::Readings, "uoms" | "quality") => Some("uoms and quality of readings come from their points"),
            _ => None,
        };
        if let Some(why) = made {
            out.push(Diagnostic::error(&key.place, format!("`{name}` cannot be mapped")).help(why));
            continue;
        }
        match kind.field(name) {
            Some(spec) => found.extend(scope.field(spec, name, &key.place, node, out)),
            None => unknown(key, kind, out),
        }
    }
    // In the order in which they are published.
    let order = |member: &Member| kind.fields().iter().position(|spec| spec.name == member.spec.name);
    found.sort_by_key(order);
    found
}

fn unknown(key: &Key, kind: EventType, out: &mut Diagnostics) {
    let name = key.name.as_str();
    let fault = if let Some(what) = ownership::owned(name) {
        Diagnostic::error(&key.place, format!("`{name}` would state {what}")).help(ownership::WHY)
    } else {
        let known: Vec<&str> = kind
            .fields()
            .iter()
            .map(|spec| spec.name)
            .filter(|name| *name != "result_id")
            .chain(EVENT.iter().map(|key| key.name))
            .collect();
        Diagnostic::error(&key.place, format!("unknown field `{name}`"))
            .label(format!("not of a {kind} event"))
            .maybe_help(meant(name, &known))
    };
    out.push(fault);
}

/// Fields that the MES may rely on in every event of the type.
fn required(event: &Event, keys: &Table, out: &mut Diagnostics) {
    for spec in event.kind.fields().iter().filter(|spec| spec.required) {
        let automatic = match event.kind {
            EventType::Measurement => spec.name == "uom",
            EventType::Alarm if keys.get("alarms").is_some() => matches!(spec.name, "code" | "active"),
            _ => false,
        };
        if automatic || keys.get(spec.name).is_some() || event.field(spec.name).is_some() {
            continue;
        }
        out.push(
            Diagnostic::error(&event.place, format!("[events.{}] needs `{}`", event.name, spec.name))
                .label(format!("every {} event has it: {}", event.kind, spec.doc))
                .help(format!(
                    "name the point that says it: {} = \"…\", or {{ const = … }}",
                    spec.name
                )),
        );
    }
    if event.kind != EventType::Alarm
        && let Some((key, _)) = keys.entry("alarms")
    {
        out.push(
            Diagnostic::error(&key.place, format!("a {} event has no `alarms`", event.kind))
                .help("write type = \"alarm\""),
        );
    }
    if event.keep == Keep::Latest
        && let Some(node) = keys.get("keep")
    {
        if event.kind != EventType::Readings {
            out.push(
                Diagnostic::error(
                    &node.place,
                    format!("a {} event cannot be kept as `latest`", event.kind),
                )
                .help("only readings may be lost in an outage; leave `keep` out"),
            );
        } else if let Some((ack, _)) = keys.entry("ack") {
            out.push(
                Diagnostic::error(&ack.place, "what is not stored cannot be acknowledged")
                    .related(&node.place, "not stored"),
            );
        }
    }
}

/// Whether a field is the verdict by a point, and which.
pub(super) fn verdict_points(event: &Event) -> Vec<PointIx> {
    let mut found = Vec::new();
    if let Some(member) = event.field("result") {
        member.field.points(&mut found);
    }
    found
}

/// The point that gives a single-value field.
pub(super) fn single(field: &Field) -> Option<PointIx> {
    match field {
        Field::One(super::fields::Source::Point(point)) => Some(*point),
        _ => None,
    }
}
