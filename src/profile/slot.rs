//! A profile held against its slot: what the MES relies on must be there, whatever device fills the slot.
//!
//! Owns the comparison; both places are shown. What the slot promises is [`SlotContract`]'s.

use super::decode::Value;
use super::events::Event;
use super::fields::{Field, Source};
use super::{Profile, SlotContract};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::Uom;
use crate::model::event::{EventType, FieldSpec, MEASURE, Shape};
use crate::model::plan::{Security, Trust};

/// Checks `profile` for the slot.
pub(super) fn check(profile: &Profile, contract: &SlotContract, out: &mut Diagnostics) {
    if !profile.connection.has_address {
        out.push(
            Diagnostic::error(&profile.connection.place, format!("{} has no address", contract.slot))
                .help(format!(
                    "say where the device is: [connection] address = \"{}\"",
                    profile
                        .connection
                        .link
                        .example_address()
                        .trim_end_matches(":502")
                        .trim_end_matches(":4840")
                ))
                .related(&contract.place, "the slot that it fills"),
        );
    }
    if let Some(link) = profile.connection.link.opcua()
        && link.trust == Trust::default()
        && link.security != Security::None
    {
        out.push(
            Diagnostic::warning(
                &profile.connection.place,
                format!("{} trusts no server yet: every certificate is refused", contract.slot),
            )
            .help("`lineside probe` shows the server's thumbprint; where it is the right one, write trust = \"sha256:…\", or trust_file"),
        );
    }
    for (kind, place) in &contract.delivers {
        if !profile.events.iter().any(|event| event.kind == *kind) {
            let known: Vec<&str> = profile.events.iter().map(|event| event.kind.word()).collect();
            out.push(
                Diagnostic::error(
                    place,
                    format!(
                        "{} delivers {kind}, but its device file maps no {kind} event",
                        contract.slot
                    ),
                )
                .related(
                    &profile.place,
                    format!(
                        "maps {}",
                        if known.is_empty() {
                            "none".to_owned()
                        } else {
                            known.join(", ")
                        }
                    ),
                )
                .help(format!("add [events.{kind}] to the device file")),
            );
        }
    }
    for event in &profile.events {
        if let Some((_, place)) = contract.delivers.iter().find(|(kind, _)| *kind == event.kind) {
            super::checks::twice::level(event, &profile.points, &profile.connection, place, out);
        }
        if !contract.delivers.iter().any(|(kind, _)| *kind == event.kind) {
            out.push(
                Diagnostic::warning(
                    &event.place,
                    format!("{} does not list {} in `delivers`", contract.slot, event.kind),
                )
                .label("sent all the same, but the MES was not promised it")
                .related(&contract.place, "the slot")
                .help(format!(
                    "add \"{}\" to `delivers`, or remove = [\"events.{}\"]",
                    event.kind, event.name
                )),
            );
        }
    }
    for (path, place) in &contract.requires {
        required(profile, contract, path, place, out);
    }
    values(profile, contract, out);
}

/// One dotted field that the MES relies on.
fn required(profile: &Profile, contract: &SlotContract, path: &str, place: &Place, out: &mut Diagnostics) {
    let mut parts = path.split('.');
    let (first, second, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let kinds: Vec<EventType> = contract
        .delivers
        .iter()
        .map(|(kind, _)| *kind)
        .filter(|kind| kind.field(first).is_some())
        .collect();
    if kinds.is_empty() {
        let known: Vec<&str> = contract
            .delivers
            .iter()
            .flat_map(|(kind, _)| kind.fields().iter().map(|spec| spec.name))
            .collect();
        out.push(
            Diagnostic::error(
                place,
                format!("nothing that {} delivers has a field `{first}`", contract.slot),
            )
            .maybe_help(meant(first, &known)),
        );
        return;
    }
    for kind in kinds {
        let members = kind.field(first).map(members).unwrap_or_default();
        if let Some(second) = second
            && (more.is_some() || !members.iter().any(|spec| spec.name == second))
        {
            let known: Vec<&str> = members.iter().map(|spec| spec.name).collect();
            out.push(
                Diagnostic::error(place, format!("`{first}` has no `{second}`")).maybe_help(meant(second, &known)),
            );
            continue;
        }
        for event in profile.events.iter().filter(|event| event.kind == kind) {
            if gives(event, first, second) {
                continue;
            }
            out.push(
                Diagnostic::error(
                    &event.place,
                    format!(
                        "{} requires `{path}`, but [events.{}] does not give it",
                        contract.slot, event.name
                    ),
                )
                .label(format!("has no `{path}`"))
                .related(place, "required here")
                .help(match second {
                    Some(second) => format!("name the point that says it: {first} = {{ …, {second} = \"…\" }}"),
                    None => format!("name the point that says it: {first} = \"…\""),
                }),
            );
        }
    }
}

fn members(spec: &'static FieldSpec) -> &'static [FieldSpec] {
    match spec.shape {
        Shape::Measure(_) => MEASURE,
        Shape::Object(members) | Shape::List(members) => members,
        _ => &[],
    }
}

/// Whether an event has a field, or a member of it.
fn gives(event: &Event, first: &str, second: Option<&str>) -> bool {
    let automatic = match (event.kind, first) {
        (_, "result_id") => !event.id.is_empty(),
        (EventType::Measurement, "uom") | (EventType::Readings, "uoms" | "quality") => true,
        (EventType::Readings, "values") => !event.values.is_empty(),
        (EventType::Alarm, "code" | "active") => !event.alarms.is_empty(),
        (EventType::Alarm, "text") => {
            !event.alarms.is_empty()
                && event
                    .alarms
                    .iter()
                    .flat_map(|word| &word.bits)
                    .all(|bit| bit.text.is_some())
        }
        (EventType::Alarm, "category") => {
            !event.alarms.is_empty()
                && event
                    .alarms
                    .iter()
                    .flat_map(|word| &word.bits)
                    .all(|bit| bit.category.is_some())
        }
        _ => false,
    };
    if automatic {
        return true;
    }
    let Some(member) = event.field(first) else { return false };
    match (&member.field, second) {
        (Field::Measure(..), None) => member.field.member("value").is_some(),
        (Field::Measure(..), Some("uom")) | (_, None) => true,
        (Field::Errors(reasons), Some("text")) => reasons
            .iter()
            .all(|reason| reason.text.is_some() || !reason.texts.is_empty()),
        (Field::Errors(_), Some(second)) => second == "code",
        (field, Some(second)) => field.member(second).is_some(),
    }
}

/// One value that the profile gives under a name of the slot's.
struct Given<'a> {
    name: &'a str,
    uom: Option<&'a Uom>,
    /// It names its uom at run time, or has none at all.
    open: bool,
    numeric: bool,
    place: &'a Place,
    measurement: bool,
}

/// `values`: names and uoms of measurements and readings.
fn values(profile: &Profile, contract: &SlotContract, out: &mut Diagnostics) {
    if contract.values.is_empty() {
        return;
    }
    let mut given = Vec::new();
    let mut dynamic = false;
    for event in &profile.events {
        for (name, index, place) in &event.values {
            let Some(point) = profile.points.get(*index) else {
                continue;
            };
            given.push(Given {
                name,
                uom: point.uom.as_ref(),
                open: point.uom_from.is_some() || point.uom.is_none(),
                numeric: !point.is_text() && !point.is_bool() && point.map.is_none(),
                place,
                measurement: false,
            });
        }
        if event.kind != EventType::Measurement {
            continue;
        }
        match event.field("name").map(|member| &member.field) {
            Some(Field::One(Source::Const(Value::Text(name), _))) => {
                let Some(member) = event.field("value") else { continue };
                let (uom, open) = match &member.field {
                    Field::One(Source::Point(index)) => {
                        let point = profile.points.get(*index);
                        (
                            point.and_then(|point| point.uom.as_ref()),
                            point.is_some_and(|point| point.uom_from.is_some()),
                        )
                    }
                    Field::One(Source::Const(_, uom)) => (uom.as_ref(), uom.is_none()),
                    _ => (None, true),
                };
                given.push(Given {
                    name,
                    uom,
                    open,
                    numeric: true,
                    place: &member.place,
                    measurement: true,
                });
            }
            _ => dynamic = true,
        }
    }
    for (name, uom, place) in &contract.values {
        let mut found = given.iter().filter(|given| given.name == name).peekable();
        if found.peek().is_none() && !dynamic {
            let known: Vec<&str> = given.iter().map(|given| given.name).collect();
            out.push(
                Diagnostic::error(
                    place,
                    format!(
                        "{} promises `{name}`, but its device file does not give it",
                        contract.slot
                    ),
                )
                .related(&profile.place, "the device file")
                .maybe_help(meant(name, &known)),
            );
        }
        for given in found {
            let fault = match given.uom {
                _ if !given.numeric => Some(format!(
                    "`{name}` is no number, but the slot says it is in `{}`",
                    uom.code()
                )),
                Some(own) if !own.converts_to(uom) => Some(format!(
                    "`{name}` is in `{}`, which cannot be converted to `{}`",
                    own.code(),
                    uom.code()
                )),
                None if !given.open => Some(format!("`{name}` needs a uom")),
                _ => None,
            };
            if let Some(message) = fault {
                out.push(Diagnostic::error(given.place, message).related(place, "the slot's `values`"));
            } else if given.uom.is_none() && given.open && !given.measurement {
                out.push(
                    Diagnostic::warning(given.place, format!("the point of `{name}` has no uom"))
                        .label(format!("taken as `{}`", uom.code()))
                        .related(place, "the slot's `values`"),
                );
            }
        }
    }
    let known: Vec<&str> = contract.values.iter().map(|(name, _, _)| name.as_str()).collect();
    for given in given.iter().filter(|given| !known.contains(&given.name)) {
        let message = format!("`{}` is none of the values that {} promises", given.name, contract.slot);
        let help = meant(given.name, &known);
        out.push(if given.measurement {
            Diagnostic::error(given.place, message).maybe_help(help)
        } else {
            Diagnostic::warning(given.place, message)
                .label("sent all the same, in its own uom")
                .maybe_help(help)
        });
    }
}
