//! What would be sent twice, or missed: triggers that move together, acknowledgements that are triggers, values that may be
//! the same again, and what nobody looks at often enough.
//!
//! Owns those judgements. Refused is only what cannot work; anything else is doubtful, and said.

use super::super::connection::Connection;
use super::super::events::{Event, verdict_points};
use super::super::points::Point;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::model::Raw;
use crate::model::event::EventType;
use crate::model::plan::{AckValue, Address, Alive, Link, PointIx, Trigger};

/// Checks every event.
pub(super) fn events(
    events: &[Event],
    points: &[Point],
    connection: &Connection,
    alive: Option<&Alive>,
    out: &mut Diagnostics,
) {
    for event in events {
        acknowledges_itself(event, points, out);
        wraps(event, points, out);
        if is_result(event) {
            several(event, points, out);
            repeats(event, points, out);
        }
    }
    for (at, event) in events.iter().enumerate() {
        for other in events.iter().take(at) {
            said_twice(event, other, points, out);
        }
    }
    rarely(events, points, connection, alive, out);
}

/// Each event of it is one thing that happened; of the others the present state counts.
fn is_result(event: &Event) -> bool {
    matches!(
        event.kind,
        EventType::Tightening | EventType::Measurement | EventType::Curve
    )
}

/// Whether two points are one place in the device.
fn same_place(points: &[Point], a: PointIx, b: PointIx) -> bool {
    let at = |index: PointIx| points.get(index).map(|point| &point.at);
    match (at(a), at(b)) {
        _ if a == b => true,
        (Some(Address::Modbus(a)), Some(Address::Modbus(b))) => {
            a.table == b.table && a.address == b.address && a.bits == b.bits
        }
        (Some(Address::Opcua(a)), Some(Address::Opcua(b))) => a.node.is_some() && a == b,
        _ => false,
    }
}

fn name(points: &[Point], index: PointIx) -> &str {
    points.get(index).map_or("", |point| &*point.name)
}

/// An acknowledgement that is written where a trigger looks.
fn acknowledges_itself(event: &Event, points: &[Point], out: &mut Diagnostics) {
    let Some(ack) = &event.ack else { return };
    let told = |trigger: &Trigger| -> Option<(PointIx, String)> {
        let at = *trigger
            .points()
            .iter()
            .find(|point| same_place(points, **point, ack.write))?;
        let invalid = |raw: &Raw| {
            let point = points.get(at);
            point.is_some_and(|point| point.invalid.iter().any(|known| known.same_value(raw)))
        };
        let why = match (trigger, &ack.value) {
            (_, AckValue::Copy(copied)) if same_place(points, *copied, ack.write) => {
                "what it shows is written back to where it stands: the device sees no acknowledgement".to_owned()
            }
            (Trigger::Changes(_) | Trigger::ChangesAny { .. }, AckValue::Value(raw)) if !invalid(raw) => format!(
                "writing {} changes it: each acknowledgement would be the next {}",
                raw.text(),
                event.kind
            ),
            (Trigger::Changes(_) | Trigger::ChangesAny { .. }, AckValue::Copy(_)) => {
                format!(
                    "writing it changes it: each acknowledgement would be the next {}",
                    event.kind
                )
            }
            (Trigger::Rises(_), AckValue::Value(raw)) if raw.truth() => {
                "the acknowledgement keeps it true: it never falls, and never rises again".to_owned()
            }
            (Trigger::Falls(_), AckValue::Value(raw)) if !raw.truth() => {
                "the acknowledgement keeps it false: it never rises, and never falls again".to_owned()
            }
            (Trigger::Equals(_, wanted) | Trigger::Reads(_, wanted), AckValue::Value(raw))
                if raw.same_value(wanted) =>
            {
                format!(
                    "the acknowledgement keeps it {}: it never becomes so again",
                    wanted.text()
                )
            }
            _ => return None,
        };
        Some((at, why))
    };
    let Some((at, why)) = event.triggers.iter().find_map(told) else {
        return;
    };
    let mut fault = Diagnostic::error(
        &event.place,
        format!(
            "[events.{}] is acknowledged into `{}`, which triggers it",
            event.name,
            name(points, at)
        ),
    )
    .label(why)
    .help("write the acknowledgement into the register that the device waits for; where that is the trigger itself, write what takes it back: value = 0 with `rises`");
    if let Some(point) = points.get(at) {
        fault = fault.related(&point.place, "triggers");
    }
    if let Some(point) = points.get(ack.write).filter(|_| at != ack.write) {
        fault = fault.related(&point.place, "is written: the same place in the device");
    }
    out.push(fault);
}

/// How many numbers a point can show, of those that are told by its type.
fn numbers(point: &Point) -> Option<u64> {
    use crate::model::plan::OpcuaType;
    match &point.at {
        Address::Modbus(at) => Some(at.numbers()),
        Address::Opcua(at) => match (at.bits, at.kind) {
            (Some((_, width)), _) => Some(1_u64 << width.min(63)),
            (None, Some(OpcuaType::I8 | OpcuaType::U8)) => Some(256),
            (None, Some(OpcuaType::I16 | OpcuaType::U16)) => Some(1 << 16),
            _ => None,
        },
        Address::Field(_) | Address::Frame(_) => None,
    }
}

/// A counter of few numbers that does not say where it begins anew.
fn wraps(event: &Event, points: &[Point], out: &mut Diagnostics) {
    let Some(counter) = event.counter.filter(|counter| counter.last.is_none()) else {
        return;
    };
    let Some(point) = points.get(counter.point) else { return };
    let Some(numbers) = numbers(point).filter(|numbers| *numbers <= 256) else {
        return;
    };
    out.push(
        Diagnostic::warning(
            &point.place,
            format!("the counter `{}` goes round after {numbers} results", point.name),
        )
        .label("each round looks like a device that was started anew")
        .related(&event.place, "counted by it")
        .help(format!(
            "say where it ends: counter = {{ point = \"{}\", first = 0, last = {} }}",
            point.name,
            numbers - 1
        )),
    );
}

/// Several triggers for one result, and nothing that makes them one.
fn several(event: &Event, points: &[Point], out: &mut Diagnostics) {
    if !event.id.is_empty() {
        return;
    }
    // Different values of one flag are different moments.
    let flag = |trigger: &Trigger| match trigger {
        Trigger::Equals(point, _) | Trigger::Reads(point, _) => Some(*point),
        _ => None,
    };
    let one_flag = event.triggers.first().and_then(flag);
    let apart = one_flag.is_some() && event.triggers.iter().all(|trigger| flag(trigger) == one_flag);
    // The flags of the verdict: one of them rises.
    let verdict = verdict_points(event);
    let judged = |trigger: &Trigger| match trigger {
        Trigger::Rises(point) | Trigger::Equals(point, _) => verdict.contains(point),
        _ => false,
    };
    let apart = apart || event.triggers.iter().all(judged);
    let said = |trigger: &Trigger| matches!(trigger, Trigger::Said(_));
    let together = match &event.triggers[..] {
        [Trigger::Changes(found)] => found.len() > 1,
        [_] | [] => false,
        many => !apart && !many.iter().all(said),
    };
    if !together {
        return;
    }
    let looked: Vec<PointIx> = event
        .triggers
        .iter()
        .flat_map(|trigger| trigger.points().to_vec())
        .collect();
    let twice = looked
        .iter()
        .enumerate()
        .find(|(at, point)| looked.iter().take(*at).any(|other| same_place(points, *other, **point)));
    let label = match twice {
        Some((_, point)) => format!("`{}` triggers twice", name(points, *point)),
        None => "where they do not move in the same reading, one result is sent twice".to_owned(),
    };
    out.push(
        Diagnostic::warning(
            &event.place,
            format!("[events.{}] has several triggers and no `id`", event.name),
        )
        .label(label)
        .help("name what is the same however it was noticed, a result number or a time stamp: id = [\"stamp\", \"count\"]; or leave one trigger"),
    );
}

/// A trigger that looks at a value which may well be the same next time.
fn repeats(event: &Event, points: &[Point], out: &mut Diagnostics) {
    let mut values = Vec::new();
    let measured = [
        "result",
        "torque",
        "angle",
        "final_angle",
        "rundown_angle",
        "value",
        "program",
        "errors",
    ];
    for member in event
        .fields
        .iter()
        .filter(|member| measured.contains(&member.spec.name))
    {
        member.field.points(&mut values);
    }
    let counted = event.counter.map(|counter| counter.point);
    let same_again = |point: &PointIx| values.contains(point) && !event.id.contains(point) && Some(*point) != counted;
    let [Trigger::Changes(found)] = &event.triggers[..] else {
        return;
    };
    let Some(point) = found.first().and_then(|first| points.get(*first)) else {
        return;
    };
    if !found.iter().all(same_again) || !point.invalid.is_empty() {
        return;
    }
    out.push(
        Diagnostic::warning(
            &event.place,
            format!("two {} results with the same `{}` would be one", event.kind, point.name),
        )
        .label("what is the same again is no change")
        .related(&point.place, "triggers")
        .help("trigger on what differs in every result: a result counter, a time stamp, a flag that rises"),
    );
}

/// A flag that nobody takes back, of a result that nothing tells from the next: told where a slot `asks` for each result.
pub(in crate::profile) fn level(
    event: &Event,
    points: &[Point],
    connection: &Connection,
    asks: &Place,
    out: &mut Diagnostics,
) {
    if !is_result(event) {
        return;
    }
    let asked = match &connection.link {
        Link::Modbus(_) => true,
        Link::Opcua(link) => link.polled,
        Link::OpenProtocol(_) | Link::Framed(_) => false,
    };
    let flag = |trigger: &Trigger| match trigger {
        Trigger::Rises(point) | Trigger::Falls(point) | Trigger::Equals(point, _) => Some(*point),
        _ => None,
    };
    let flags: Vec<PointIx> = event.triggers.iter().filter_map(flag).collect();
    if !asked || flags.is_empty() || flags.len() != event.triggers.len() {
        return;
    }
    if event.ack.is_some() || !event.id.is_empty() || event.counter.is_some() {
        return;
    }
    let Some(point) = flags.first().and_then(|first| points.get(*first)) else {
        return;
    };
    out.push(
        Diagnostic::warning(
            &event.place,
            format!("nothing tells one {} from the next while `{}` stands", event.kind, point.name),
        )
        .label("a result that comes before it falls, or while nobody looks, is missed, and no gap is told")
        .related(&point.place, "triggers")
        .related(asks, "the MES waits for each of them")
        .help("acknowledge it: ack = { write = \"…\", value = 1, then = 0 }; or name a result number: id = [\"count\"], counter = \"count\""),
    );
}

/// Two events of one type that happen together and say the same.
fn said_twice(event: &Event, other: &Event, points: &[Point], out: &mut Diagnostics) {
    if event.kind != other.kind || !event.id.is_empty() || !other.id.is_empty() {
        return;
    }
    let looks = |event: &Event| -> Vec<PointIx> {
        event
            .triggers
            .iter()
            .flat_map(|trigger| trigger.points().to_vec())
            .collect()
    };
    let (mine, theirs) = (looks(event), looks(other));
    let shared = mine
        .iter()
        .find(|point| theirs.iter().any(|other| same_place(points, **point, *other)));
    let filtered = |event: &Event| -> bool {
        let filters = event.only.iter().chain(&event.except);
        filters.count() > 0
    };
    let says = |event: &Event| -> Vec<PointIx> {
        let mut found = Vec::new();
        for member in &event.fields {
            member.field.points(&mut found);
        }
        found.extend(event.values.iter().map(|(_, point, _)| *point));
        found.extend(event.alarms.iter().map(|word| word.point));
        found
    };
    let same_triggers =
        event.triggers == other.triggers && event.triggers.iter().all(|one| matches!(one, Trigger::Said(_)));
    let constant = |event: &Event| {
        event.fields.iter().any(|member| {
            use super::super::fields::{Field, Source};
            matches!(&member.field, Field::One(Source::Const(..)))
        })
    };
    if (shared.is_none() && !same_triggers) || filtered(event) || filtered(other) || constant(event) || constant(other)
    {
        return;
    }
    let (mine, theirs) = (says(event), says(other));
    if mine.is_empty()
        || !mine
            .iter()
            .all(|point| theirs.iter().any(|other| same_place(points, *point, *other)))
    {
        return;
    }
    out.push(
        Diagnostic::warning(
            &event.place,
            format!(
                "[events.{}] and [events.{}] say the same {} at the same time",
                other.name, event.name, event.kind
            ),
        )
        .label("every result would be sent twice")
        .related(&other.place, "the other")
        .help("remove one of them, or say which results are whose: only = { program = [1, 2] }"),
    );
}

/// What is looked at more rarely than it lasts.
fn rarely(events: &[Event], points: &[Point], connection: &Connection, alive: Option<&Alive>, out: &mut Diagnostics) {
    let poll = match &connection.link {
        Link::Modbus(link) => link.poll,
        Link::Opcua(link) => link.publishing,
        Link::Framed(link) => match &link.poll {
            Some(poll) => poll.every,
            None => return,
        },
        Link::OpenProtocol(_) => return,
    };
    if let Some(alive) = alive
        && alive.within <= poll
    {
        out.push(
            Diagnostic::error(
                &connection.place,
                format!(
                    "`{}` is looked at every {poll:?}, but must change within {:?}",
                    name(points, alive.point),
                    alive.within
                ),
            )
            .label("the device would never count as alive")
            .help("look more often (`poll`), or allow it more time (`alive.within`): at least three looks"),
        );
    }
    for event in events {
        for trigger in &event.triggers {
            if let Trigger::Every(every) = trigger
                && *every < poll
            {
                out.push(
                    Diagnostic::warning(
                        &event.place,
                        format!(
                            "[events.{}] wants a value every {every:?}, but the device is asked every {poll:?}",
                            event.name
                        ),
                    )
                    .related(&connection.place, "asked here")
                    .help("make `poll` shorter, or `every` longer"),
                );
            }
        }
        if let Some(ack) = &event.ack
            && ack.timeout <= poll
        {
            out.push(
                Diagnostic::warning(
                    &event.place,
                    format!(
                        "the device has {:?} to take back what was acknowledged, but is asked every {poll:?}",
                        ack.timeout
                    ),
                )
                .label("each acknowledgement would be told as too late")
                .related(&connection.place, "asked here")
                .help("make the `timeout` of the acknowledgement at least three times `poll`"),
            );
        }
    }
}
