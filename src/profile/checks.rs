//! What is doubtful about an event as a whole: ids that cannot tell results apart, results torn between two requests.
//!
//! Owns judgements that need several keys at once. Single keys are checked where they are compiled.

mod meaning;
pub(super) mod twice;

use super::connection::Connection;
use super::curve;
use super::events::{Event, single, verdict_points};
use super::fields::{Field, Source};
use super::kind::Kind;
use super::notice;
use super::ownership;
use super::plan::one_request;
use super::points::Point;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::event::EventType;
use crate::model::plan::{Address, Alive, Link, ModbusLink, ModbusType, Recover, Said, Trigger};

/// Checks every event.
pub(super) fn events(
    events: &[Event],
    points: &[Point],
    connection: &Connection,
    alive: Option<&Alive>,
    out: &mut Diagnostics,
) {
    for event in events {
        id(event, points, out);
        if let Some(link) = connection.link.modbus() {
            torn(event, points, link, out);
        }
        if connection.link.opcua().is_some() {
            notice::check(event, points, out);
        }
        clears(event, points, out);
        results(event, connection, out);
        uom(event, points, out);
        curve::check(event, points, out);
    }
    meaning::events(events, points, out);
    twice::events(events, points, connection, alive, out);
}

/// An id must tell one result from the next, also after the device was switched off.
fn id(event: &Event, points: &[Point], out: &mut Diagnostics) {
    let Some(place) = &event.id_place else { return };
    let found: Vec<&Point> = event.id.iter().filter_map(|index| points.get(*index)).collect();
    let verdict = verdict_points(event);
    let flat = |point: &Point| match (point.kind, point.at.modbus()) {
        (Kind::Bool | Kind::Word(_), _) => true,
        (_, Some(at)) => at.bits.is_some_and(|(_, width)| width <= 2),
        _ => false,
    };
    // What is set up, and stays so from one result to the next.
    let mut setting = Vec::new();
    for name in ["program", "tool", "controller", "joint", "kind", "name"] {
        if let Some(member) = event.field(name) {
            member.field.points(&mut setting);
        }
    }
    let same = event.id.iter().all(|index| {
        verdict.contains(index)
            || setting.contains(index)
            || points
                .get(*index)
                .is_some_and(|point| flat(point) || point.map.is_some())
    });
    if !found.is_empty() && same {
        out.push(
            Diagnostic::error(place, format!("this `id` cannot tell one {} from the next", event.kind))
                .label("the same again and again")
                .help("name what differs in each result: a result number, a time stamp, a serial number; or leave `id` out, and every trigger is its own"),
        );
        return;
    }
    if let Some(list) = found.iter().find(|point| point.is_list()) {
        out.push(Diagnostic::error(
            place,
            format!("`{}` is an array, which is no id", list.name),
        ));
    }
    let [only] = event.id[..] else { return };
    let counts = event.counter.is_some_and(|counter| counter.point == only)
        || event
            .triggers
            .iter()
            .any(|trigger| matches!(trigger, Trigger::Changes(points) if points[..] == [only]));
    let narrow = points.get(only).is_some_and(|point| match &point.at {
        Address::Modbus(at) => matches!(
            at.kind,
            ModbusType::U16
                | ModbusType::I16
                | ModbusType::U32
                | ModbusType::I32
                | ModbusType::Bcd16
                | ModbusType::Bcd32
        ),
        Address::Frame(_) => true,
        // Ids of tightenings go on, and another controller makes another device.
        Address::Field(_) => false,
        // A counter of a program's own may be of any width.
        Address::Opcua(at) => at.node.is_some(),
    });
    if counts && narrow {
        out.push(
            Diagnostic::warning(place, "this `id` consists only of a counter that restarts")
                .label("the same numbers come again")
                .help("add what differs after a restart, a time stamp of the device: id = [\"stamp\", \"count\"]"),
        );
    }
}

/// A result must not be put together from two moments.
fn torn(event: &Event, points: &[Point], link: &ModbusLink, out: &mut Diagnostics) {
    if event.kind == EventType::Readings
        || event.kind == EventType::Measurement
        || event.stable.is_some_and(|stable| stable > 1)
        // Each bit of an alarm word stands for itself.
        || !event.alarms.is_empty()
    {
        return;
    }
    // A flag that reading clears is always read by itself, and says only that; the rest must be of one moment.
    let flag = |index: &usize| {
        event
            .triggers
            .iter()
            .any(|trigger| matches!(trigger, Trigger::Reads(flag, _) if flag == index))
            && points.get(*index).is_some_and(Point::clears)
    };
    let mut reads = event.reads(points);
    reads.retain(|index| !flag(index));
    if one_request(points, &reads, link) {
        return;
    }
    // A level that still stands, or a number that is still the same, proves that nothing came between.
    let guarded = event.triggers.iter().all(|trigger| match trigger {
        Trigger::Rises(_) | Trigger::Falls(_) | Trigger::Equals(..) => true,
        Trigger::Changes(found) => found.iter().all(|index| {
            event.id.contains(index)
                || event.counter.is_some_and(|counter| counter.point == *index)
                || points.get(*index).is_some_and(|point| {
                    point.map.is_none() && !point.is_bool() && !verdict_points(event).contains(index)
                })
        }),
        _ => false,
    });
    if !guarded {
        out.push(
            Diagnostic::warning(&event.place, format!("[events.{}] may be put together from two moments", event.name))
                .label("its points do not come in one request")
                .help("add `stable = 2` (read until two readings agree), or trigger on a counter or a level that can be read again"),
        );
    }
}

/// What reading clears must be what triggers, or it is gone before anybody looks.
fn clears(event: &Event, points: &[Point], out: &mut Diagnostics) {
    let triggers: Vec<usize> = event
        .triggers
        .iter()
        .flat_map(|trigger| trigger.points().to_vec())
        .collect();
    for index in event.reads(points) {
        let Some(point) = points.get(index).filter(|point| point.clears()) else {
            continue;
        };
        if triggers.contains(&index)
            && event.triggers.iter().any(|trigger| {
                trigger.points().contains(&index) && !matches!(trigger, Trigger::Reads(..) | Trigger::Rises(_))
            })
        {
            out.push(
                Diagnostic::warning(
                    &event.place,
                    format!(
                        "reading clears `{}`, which triggers [events.{}]",
                        point.name, event.name
                    ),
                )
                .related(&point.place, "clears")
                .help(format!(
                    "write when = {{ reads = [\"{}\", 1] }}: every such read is an event",
                    point.name
                )),
            );
        }
        if event.stable.is_some_and(|stable| stable > 1) {
            out.push(
                Diagnostic::error(
                    &event.place,
                    format!("`{}` cannot be read until stable: reading clears it", point.name),
                )
                .related(&point.place, "clears"),
            );
        }
    }
}

/// A controller sends a result again until it is acknowledged, and fetches are by id: without one nothing is told apart.
fn results(event: &Event, connection: &Connection, out: &mut Diagnostics) {
    let Link::OpenProtocol(link) = &connection.link else {
        return;
    };
    let result = event.triggers.contains(&Trigger::Said(Said::Result));
    if !result || !event.id.is_empty() {
        return;
    }
    let help = "id = [\"tightening_id\"]; of results of variable fields id = [\"result_id\"]";
    match (&connection.recover, link.recover) {
        (Some(place), recover) if recover != Recover::None => out.push(
            Diagnostic::error(&event.place, format!("[events.{}] needs `id`", event.name))
                .label("what is fetched later is told from what came already by it")
                .related(place, "what was missed is fetched")
                .help(help),
        ),
        _ => out.push(
            Diagnostic::warning(&event.place, format!("[events.{}] has no `id`", event.name))
                .label("a result that the controller sends again is another event")
                .help(help),
        ),
    }
}

/// A measurement says its uom.
fn uom(event: &Event, points: &[Point], out: &mut Diagnostics) {
    if event.kind != EventType::Measurement {
        return;
    }
    if let Some(member) = event.field("name")
        && let Field::One(Source::Const(name, _)) = &member.field
    {
        ownership::refuse(&name.text(), &member.place, out);
    }
    let value = event
        .field("value")
        .and_then(|member| single(&member.field))
        .and_then(|index| points.get(index));
    if let Some(point) = value
        && point.uom.is_none()
        && point.uom_from.is_none()
    {
        out.push(
            Diagnostic::error(&point.place, format!("point `{}` needs `uom`", point.name))
                .label("the value of a measurement")
                .help("say what it counts in: uom = \"N\", mm, bar, Cel; a plain number is uom = \"1\""),
        );
    }
}
