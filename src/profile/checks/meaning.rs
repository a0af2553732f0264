//! What codes, ids and registers can never mean: a verdict that never comes, a uom that is none, ids of whole seconds, two
//! values in one register.
//!
//! Owns those judgements. What a single code may map to is checked where it is compiled.

use super::super::compare::said;
use super::super::events::Event;
use super::super::fields::{Field, Source};
use super::super::kind::Kind;
use super::super::points::Point;
use super::super::stamp::Format;
use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::model::Uom;
use crate::model::event::{Shape, Verdict};
use crate::model::plan::{Address, PointIx};
use crate::wire::modbus;
use std::collections::BTreeSet;

/// Uoms that are meant often.
const UOMS: [&str; 8] = ["N.m", "lbf.in", "lbf.ft", "kgf.cm", "kgf.m", "cN.m", "in-lb", "deg"];

/// Checks every event.
pub(super) fn events(events: &[Event], points: &[Point], out: &mut Diagnostics) {
    for event in events {
        verdict(event, points, out);
        uoms(event, points, out);
        id(event, points, out);
    }
    overlaps(events, points, out);
}

/// A verdict that can say only one thing.
fn verdict(event: &Event, points: &[Point], out: &mut Diagnostics) {
    let Some(member) = event.field("result") else { return };
    let Shape::Words(words) = member.spec.shape else { return };
    let (can, from): (BTreeSet<String>, _) = match &member.field {
        Field::One(Source::Point(index)) => {
            let Some(point) = points.get(*index).filter(|point| !point.faulty) else {
                return;
            };
            if point.kind == Kind::Text && point.map.is_none() {
                out.push(
                    Diagnostic::warning(&member.place, format!("`{}` is text without a `map`", point.name))
                        .label(format!("only the words themselves are a verdict: {}", words.join(", ")))
                        .related(&point.place, "any other text ends in quarantine")
                        .help(format!(
                            "say what the device's words mean: {} = {{ …, map = {{ OK = \"ok\", NG = \"nok\" }} }}",
                            point.name
                        )),
                );
                return;
            }
            (said(Some(point), words), Some((point, *index)))
        }
        Field::Flags(flags) => (flags.iter().map(|(word, _)| (*word).to_owned()).collect(), None),
        _ => return,
    };
    // A frame that only tells good results, or a device that judges nothing, says so by what it leaves out.
    let frame = |point: &Point| point.is_text() && point.map.as_ref().is_some_and(|map| map.codes.len() == 1);
    let judges = can.contains(Verdict::Ok.word()) || can.contains(Verdict::Nok.word());
    for word in [Verdict::Ok, Verdict::Nok] {
        if can.contains(word.word()) || !judges || from.is_some_and(|(point, _)| frame(point)) {
            continue;
        }
        let fault = Diagnostic::warning(
            &member.place,
            format!("[events.{}] can never say `{}`", event.name, word.word()),
        );
        let can: Vec<&str> = can.iter().map(String::as_str).collect();
        out.push(match from {
            Some((point, _)) => fault
                .label(format!("a result that is {word} would end in quarantine"))
                .related(&point.place, format!("its `map` comes to {}", can.join(", ")))
                .help(format!(
                    "add the device's code for it, from its manual: map = {{ …, 2 = \"{word}\" }}, or else = \"nok\" where the manual says that all others are"
                )),
            None => fault
                .label(format!("a result that is {word} would end in quarantine: no flag is true then"))
                .help(format!("name the flag that says so: {{ …, {word} = [\"…\"] }}")),
        });
    }
    if let Some((point, _)) = from
        && let Some(map) = &point.map
        && let Some((other, place)) = &map.other
        && other.text() == Verdict::Ok.word()
    {
        out.push(
            Diagnostic::warning(
                place,
                format!("every code of `{}` that nobody knows counts as ok", point.name),
            )
            .label("also those that the device's next firmware invents")
            .related(&member.place, "the verdict")
            .help("name the codes that are ok, and leave `else` out: what is not known goes to quarantine"),
        );
    }
}

/// Uoms that a point names at run time, by a map.
fn uoms(event: &Event, points: &[Point], out: &mut Diagnostics) {
    for member in &event.fields {
        let contract = match &member.field {
            Field::Measure(uom, _) => Some(uom),
            _ => None,
        };
        let mut found = Vec::new();
        member.field.points(&mut found);
        for point in found.into_iter().filter_map(|index| points.get(index)) {
            let Some(map) = point.uom_from.and_then(|from| points.get(from)?.map.as_ref()) else {
                continue;
            };
            for (meaning, place) in map.meanings() {
                let text = meaning.text();
                match (Uom::parse(&text), contract) {
                    (Err(fault), _) => out.push(
                        Diagnostic::warning(place, fault.to_string())
                            .label("what the device says in it ends in quarantine")
                            .related(&point.place, "the map says in which uom this counts")
                            .maybe_help(nearest(&text, UOMS).map(|near| format!("did you mean `{near}`?"))),
                    ),
                    (Ok(uom), Some(contract)) if !uom.converts_to(contract) => out.push(
                        Diagnostic::warning(
                            place,
                            format!(
                                "`{text}` cannot be converted to `{}`, the contract's uom of `{}`",
                                contract.code(),
                                member.spec.name
                            ),
                        )
                        .label("what the device says in it ends in quarantine")
                        .related(&member.place, "used here"),
                    ),
                    _ => {}
                }
            }
        }
    }
}

/// An id of a clock that says whole seconds, or of few numbers.
fn id(event: &Event, points: &[Point], out: &mut Diagnostics) {
    let (Some(place), false) = (&event.id_place, event.id.is_empty()) else {
        return;
    };
    if let Some(stamp) = &event.time {
        let fine = match &stamp.format {
            Format::Unix => false,
            Format::UnixMs | Format::Rfc3339 => true,
            Format::Text(format) => ["%f", "%.", "%N", "%L", "%3", "%6", "%9"]
                .iter()
                .any(|part| format.contains(part)),
        };
        let whole = |point: &PointIx| {
            points
                .get(*point)
                .is_some_and(|point| matches!(point.kind, Kind::Whole(..) | Kind::Text))
        };
        if !fine
            && event
                .id
                .iter()
                .all(|point| stamp.points.contains(point) && whole(point))
        {
            out.push(
                Diagnostic::warning(
                    place,
                    format!(
                        "this `id` is only a clock of whole seconds: two {} results in one second are one",
                        event.kind
                    ),
                )
                .label("and a clock that is set back says the same again")
                .help("add a result number, a program, a spindle: id = [\"stamp\", \"count\"]"),
            );
        }
    }
    let [only] = event.id[..] else { return };
    let Some(point) = points.get(only) else { return };
    if let Kind::Whole(low, high) = point.kind
        && (2..256).contains(&(high - low))
        && point.map.is_none()
    {
        out.push(
            Diagnostic::warning(place, format!("this `id` has only {} values", high - low + 1))
                .label("they come again soon, and then a result looks like one that was sent")
                .related(&point.place, "too few numbers")
                .help("add what differs for longer: a time stamp, a batch number; or leave `id` out, and every trigger is its own"),
        );
    }
}

/// Two values that share a register, but do not begin together: one of the addresses or types is wrong.
fn overlaps(events: &[Event], points: &[Point], out: &mut Diagnostics) {
    let mut used: Vec<PointIx> = events.iter().flat_map(|event| event.reads(points)).collect();
    used.sort_unstable();
    used.dedup();
    let spans: Vec<(PointIx, crate::model::plan::Table, u32, u32)> = used
        .iter()
        .filter_map(|index| {
            let at = points.get(*index).and_then(|point| point.at.modbus())?;
            // An array or a text may be looked at in parts, a word by its bits.
            let plain =
                at.bits.is_none() && at.count.is_none() && !matches!(at.kind, crate::model::plan::ModbusType::Text(_));
            let start = u32::from(at.address);
            plain.then(|| (*index, at.table, start, start + u32::from(modbus::span(at))))
        })
        .collect();
    for (at, (index, table, start, end)) in spans.iter().enumerate() {
        for (other, other_table, other_start, other_end) in spans.iter().take(at) {
            let apart = table != other_table || start == other_start || end <= other_start || other_end <= start;
            let (Some(point), Some(other)) = (points.get(*index), points.get(*other)) else {
                continue;
            };
            if apart {
                continue;
            }
            let span = |point: &Point, start: u32, end: u32| match &point.at {
                Address::Modbus(at) if end - start > 1 => format!("{}:{start} and {}", at.table.word(), end - 1),
                Address::Modbus(at) => format!("{}:{start}", at.table.word()),
                _ => String::new(),
            };
            out.push(
                Diagnostic::warning(&point.place, format!("`{}` and `{}` share a register", other.name, point.name))
                    .label(format!("takes {}", span(point, *start, *end)))
                    .related(&other.place, format!("takes {}", span(other, *other_start, *other_end)))
                    .help("one of them is read from a place or as a type that it does not have: compare both with the register map (a reference 40001 is holding:0)"),
            );
        }
    }
}
