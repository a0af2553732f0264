//! Control keys of an event that name points: counter, echo, filters, extra, readings' values, alarm words.
//!
//! Owns which points can serve. Does not own when an event happens ([`super::triggers`]) nor its fields ([`super::fields`]).

use super::decode::Value;
use super::events::{AlarmBit, AlarmWord, Counter, Event, Filter, Filtered};
use super::fields::Scope;
use super::kind::Kind;
use super::ownership;
use super::points::{self, Point};
use crate::diagnostic::tree::{Node, Table, wrong};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::draft::EchoMatch;
use crate::model::event::EventType;
use crate::model::plan::{ModbusPoint, PointIx, Ring, Trigger};

/// Most bits of a row of coils that is one alarm word.
const WIDEST: u16 = 120;

pub(super) fn counter(keys: &Table, points: &[Point], out: &mut Diagnostics) -> Option<Counter> {
    let node = keys.get("counter")?;
    let (name, first, last) = match node.as_table() {
        None => (node, None, None),
        Some(keys) => {
            let Some(point) = keys.get("point") else {
                out.push(Diagnostic::error(&node.place, "`counter` needs `point`"));
                return None;
            };
            (point, keys.get("first").and_then(Node::as_integer), keys.get("last"))
        }
    };
    let point = points::find(points, name.as_text()?, &name.place, out)?;
    let found = points.get(point)?;
    if found.is_text() || found.is_bool() || found.is_list() || found.map.is_some() {
        out.push(
            Diagnostic::error(&name.place, format!("`{}` does not count", found.name))
                .help("a counter is a whole number that goes up by one"),
        );
    }
    // Only where it is said does a lower value mean that there is no result yet.
    let (first, from) = (first.unwrap_or(0), first.unwrap_or(1));
    if let Some(last) = last {
        if last.as_integer()? <= first {
            out.push(Diagnostic::error(&last.place, "`last` must be above `first`"));
        } else if found.raw(last).is_none() {
            out.push(found.never(last));
        }
    }
    Some(Counter {
        point,
        first,
        from,
        last: last.and_then(Node::as_integer),
    })
}

pub(super) fn echo(keys: &Table, points: &[Point], out: &mut Diagnostics) -> Option<(PointIx, EchoMatch)> {
    let node = keys.get("unit")?;
    let (name, how) = match node.as_table() {
        None => (node, None),
        Some(keys) => {
            let Some(point) = keys.get("point") else {
                out.push(Diagnostic::error(&node.place, "`unit` needs `point`"));
                return None;
            };
            (point, keys.get("match").and_then(Node::as_text))
        }
    };
    let point = points::find(points, name.as_text()?, &name.place, out)?;
    let how = match how {
        Some("prefix") => EchoMatch::Prefix,
        Some("suffix") => EchoMatch::Suffix,
        Some("contains") => EchoMatch::Contains,
        _ => EchoMatch::Exact,
    };
    Some((point, how))
}

pub(super) fn filters(keys: &Table, key: &str, scope: Scope<'_>, out: &mut Diagnostics) -> Vec<Filter> {
    let Some(table) = keys.get(key).and_then(Node::as_table) else {
        return Vec::new();
    };
    // `batch.size = 5` is a table in TOML; it means what "batch.size" = 5 does.
    let mut entries: Vec<(String, &Place, &Node)> = Vec::new();
    for (at, node) in &table.entries {
        match node.as_table() {
            None => entries.push((at.name.clone(), &at.place, node)),
            Some(members) => entries.extend(
                members
                    .entries
                    .iter()
                    .map(|(member, node)| (format!("{}.{}", at.name, member.name), &member.place, node)),
            ),
        }
    }
    let mut found = Vec::new();
    for (name, place, node) in entries {
        let first = name.split('.').next().unwrap_or_default();
        let mapped = keys.get(first).is_some() && scope.kind.field(first).is_some();
        let point = scope.points.iter().position(|point| *point.name == *name);
        let what = match (mapped, point) {
            (true, _) => Filtered::Field(name),
            (false, Some(point)) => Filtered::Point(point),
            (false, None) => {
                let mut known: Vec<&str> = scope.points.iter().map(|point| &*point.name).collect();
                known.extend(
                    scope
                        .kind
                        .fields()
                        .iter()
                        .map(|spec| spec.name)
                        .filter(|name| keys.get(name).is_some()),
                );
                out.push(
                    Diagnostic::error(place, format!("`{name}` is neither a field of this event nor a point"))
                        .maybe_help(meant(&name, &known)),
                );
                continue;
            }
        };
        found.push(Filter {
            what,
            values: node.one_or_more().iter().filter_map(Value::of).collect(),
        });
    }
    found
}

/// `extra`: names, or a table of names and points.
pub(super) fn extra(keys: &Table, points: &[Point], out: &mut Diagnostics) -> Vec<(String, PointIx)> {
    let Some(node) = keys.get("extra") else {
        return Vec::new();
    };
    let pairs: Vec<(&str, &Node)> = match node.as_table() {
        Some(table) => table
            .entries
            .iter()
            .map(|(key, node)| (key.name.as_str(), node))
            .collect(),
        None => node
            .one_or_more()
            .iter()
            .filter_map(|node| Some((node.as_text()?, node)))
            .collect(),
    };
    pairs
        .into_iter()
        .filter_map(|(name, node)| {
            let point = points::find(points, node.as_text()?, &node.place, out)?;
            ownership::refuse(name, &node.place, out);
            Some((name.to_owned(), point))
        })
        .collect()
}

/// `ring`.
pub(super) fn ring(keys: &Table, points: &[Point], out: &mut Diagnostics) -> Option<Ring> {
    let node = keys.get("ring")?;
    let table = node.as_table()?;
    let whole = |key: &str| table.get(key).and_then(Node::as_integer);
    let small = |key: &str| whole(key).and_then(|value| u16::try_from(value).ok());
    let (Some(name), Some(slots), Some(stride)) = (table.get("index"), small("slots"), small("stride")) else {
        out.push(
            Diagnostic::error(&node.place, "a ring needs `index`, `slots` and `stride`")
                .help("ring = { index = \"write_index\", slots = 16, stride = 20 }"),
        );
        return None;
    };
    let index = points::find(points, name.as_text()?, &name.place, out)?;
    let point = points.get(index)?;
    if point.is_text() || point.is_list() || point.is_bool() || point.clears() {
        out.push(
            Diagnostic::error(&name.place, format!("`{}` is no index of a ring", point.name))
                .help("an index is a plain number: u16, u32")
                .related(&point.place, "the point"),
        );
        return None;
    }
    let wraps = whole("wraps").and_then(|wraps| u64::try_from(wraps).ok());
    if let (Some(node), Some(wraps)) = (table.get("wraps"), wraps)
        && wraps % u64::from(slots.max(1)) != 0
    {
        out.push(
            Diagnostic::error(
                &node.place,
                format!("an index that wraps at {wraps} does not fit {slots} slots"),
            )
            .help("`wraps` is `slots` or a multiple of it: record n stands in slot n modulo `slots`"),
        );
    }
    Some(Ring {
        index,
        slots,
        stride,
        wraps,
        newest: table
            .get("newest")
            .is_some_and(|node| matches!(node.value, crate::diagnostic::tree::Value::Bool(true))),
    })
}

/// Whether the points of a ring's event are one record of it.
pub(super) fn record(event: &Event, keys: &Table, points: &[Point], out: &mut Diagnostics) {
    let (Some(ring), Some((key, node))) = (&event.ring, keys.entry("ring")) else {
        return;
    };
    if let Some((when, _)) = keys.entry("when")
        && event.triggers != [Trigger::Changes(vec![ring.index])]
    {
        out.push(
            Diagnostic::error(&when.place, "the index of a ring is its trigger")
                .related(&key.place, "the ring")
                .help("leave `when` out"),
        );
    }
    let of = |index: &PointIx| {
        let point = points.get(*index).filter(|_| *index != ring.index)?;
        Some((point, point.at.modbus()?))
    };
    let record: Vec<(&Point, &ModbusPoint)> = event.reads(points).iter().filter_map(of).collect();
    let within = |first: &ModbusPoint, point: &ModbusPoint| {
        let (from, at) = (u32::from(first.address), u32::from(point.address));
        let end = at + u32::from(crate::wire::modbus::span(point));
        first.table == point.table && at >= from && end <= from + u32::from(ring.stride)
    };
    // Where most of them are, there the record is meant to be.
    let Some((named, first)) = record
        .iter()
        .max_by_key(|(_, first)| record.iter().filter(|(_, point)| within(first, point)).count())
    else {
        return;
    };
    for (point, at) in &record {
        if !within(first, at) {
            out.push(
                Diagnostic::error(
                    &point.place,
                    format!("`{}` is not in the record of [events.{}]", point.name, event.name),
                )
                .label(format!(
                    "a record is {} registers from `{}` on",
                    ring.stride, named.name
                ))
                .related(&node.place, "the ring")
                .help(
                    "all points of a ring's event but its index stand in slot 0; read others by an event of their own",
                ),
            );
        }
    }
    let whole = u32::from(first.address) + u32::from(ring.slots) * u32::from(ring.stride);
    if whole > 65_536 {
        out.push(Diagnostic::error(
            &node.place,
            format!("the ring would end at address {whole}; the last is 65535"),
        ));
    }
    if event.counter.is_none() && ring.wraps == Some(u64::from(ring.slots)) {
        out.push(
            Diagnostic::warning(&node.place, "results that the device overwrites cannot be counted")
                .label("this index does not tell how often it went round")
                .help("name a number that goes up with each record: counter = \"number\""),
        );
    }
}

/// `values` of readings.
pub(super) fn values(
    keys: &Table,
    points: &[Point],
    kind: EventType,
    out: &mut Diagnostics,
) -> Vec<(String, PointIx, Place)> {
    if kind != EventType::Readings {
        return Vec::new();
    }
    let Some(node) = keys.get("values") else {
        return Vec::new();
    };
    let pairs: Vec<(&str, &Node)> = match (node.as_text(), node.as_table()) {
        (Some("*"), _) => {
            let all = points
                .iter()
                .enumerate()
                .filter(|(_, point)| !point.clears() && !point.is_list() && !point.hidden);
            let all = all.map(|(index, point)| (point.name.to_string(), index, node.place.clone()));
            let all: Vec<_> = all.collect();
            for (name, _, _) in &all {
                ownership::refuse(name, &node.place, out);
            }
            return all;
        }
        (_, Some(table)) => table
            .entries
            .iter()
            .map(|(key, node)| (key.name.as_str(), node))
            .collect(),
        _ => node
            .one_or_more()
            .iter()
            .map(|node| (node.as_text().unwrap_or_default(), node))
            .collect(),
    };
    let mut found: Vec<(String, PointIx, Place)> = Vec::new();
    for (name, node) in pairs {
        let Some(point) = node.as_text() else {
            wrong(
                node,
                "values",
                "a point, a list of points, a table of names and points, or \"*\"",
                out,
            );
            continue;
        };
        let Some(index) = points::find(points, point, &node.place, out) else {
            continue;
        };
        ownership::refuse(name, &node.place, out);
        if points.get(index).is_some_and(Point::is_list) {
            out.push(Diagnostic::error(
                &node.place,
                format!("`{point}` is an array; readings are single values"),
            ));
        }
        if found.iter().any(|(have, _, _)| have == name) {
            out.push(Diagnostic::error(&node.place, format!("`{name}` is read twice")));
        }
        found.push((name.to_owned(), index, node.place.clone()));
    }
    found
}

pub(super) fn alarms(keys: &Table, scope: Scope<'_>, out: &mut Diagnostics) -> Vec<AlarmWord> {
    let mut found = Vec::new();
    for node in keys.get("alarms").map(Node::one_or_more).unwrap_or_default() {
        let Some(table) = node.as_table() else { continue };
        let (Some(name), Some(bits)) = (table.get("point"), table.get("bits").and_then(Node::as_table)) else {
            out.push(
                Diagnostic::error(&node.place, "`alarms` needs `point` and `bits`")
                    .help("alarms = { point = \"word\", bits = { 0 = \"guard_open\" } }"),
            );
            continue;
        };
        let Some(index) = name
            .as_text()
            .and_then(|text| points::find(scope.points, text, &name.place, out))
        else {
            continue;
        };
        let Some(point) = scope.points.get(index) else { continue };
        // A row of coils or discrete inputs is a word as well.
        let at = point.at.modbus();
        let row = at
            .and_then(|at| at.count)
            .filter(|count| point.is_bool() && *count <= WIDEST);
        // What a server says is seen when it comes: a number, or a row of bits.
        let open = point.kind == Kind::Open && point.at.opcua().is_some();
        let width = match row {
            None if open => i64::from(WIDEST),
            row => row.map_or(at.map_or(64, |at| i64::from(at.kind.width()) * 16), i64::from),
        };
        let odd = row.is_none() && !open && (point.is_list() || point.is_bool());
        let whole = row.is_some() || open || matches!(point.kind, Kind::Whole(..));
        if odd || !whole || point.map.is_some() || at.is_some_and(|at| at.bits.is_some()) {
            out.push(
                Diagnostic::error(&name.place, format!("`{}` is no alarm word", point.name))
                    .help("an alarm word is a plain number, u16, u32, u64, or up to 120 coils or discrete inputs: count = 32")
                    .related(&point.place, "the point"),
            );
            continue;
        }
        let mut word = AlarmWord {
            point: index,
            bits: Vec::new(),
        };
        for (at, node) in &bits.entries {
            let bit = at.name.parse::<i64>().ok().filter(|bit| (0..width).contains(bit));
            let Some(bit) = bit.and_then(|bit| u32::try_from(bit).ok()) else {
                out.push(Diagnostic::error(
                    &at.place,
                    format!("`{}` has bits 0 to {}", point.name, width - 1),
                ));
                continue;
            };
            let text = |key: &str| node.as_table()?.get(key)?.as_text().map(str::to_owned);
            let Some(code) = node.as_text().map(str::to_owned).or_else(|| text("code")) else {
                out.push(Diagnostic::error(&node.place, "an alarm needs `code`"));
                continue;
            };
            word.bits.push(AlarmBit {
                bit,
                code,
                text: text("text"),
                category: text("category"),
                severity: node
                    .as_table()
                    .and_then(|table| table.get("severity"))
                    .and_then(Value::of),
            });
        }
        found.push(word);
    }
    for member in ["code", "active"] {
        if let (Some((key, _)), false) = (keys.entry(member), found.is_empty()) {
            out.push(Diagnostic::error(
                &key.place,
                format!("`{member}` comes from the bits of `alarms`"),
            ));
        }
    }
    found
}
