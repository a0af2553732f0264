//! `when` and `ack`: what makes an event happen, and what the device is told then.
//!
//! Owns their keys and which points can serve. Does not own the state machines ([`crate::watch`]).

use super::notice;
use super::points::{self, Point};
use super::protocol::{Family, Protocol};
use crate::diagnostic::tree::{Node, Table, parse_duration};
use crate::diagnostic::{Diagnostic, Diagnostics, meant};
use crate::model::Raw;
use crate::model::plan::{self, Ack, AckValue, Address, Notice, OpcuaPart, OpcuaPoint, PointIx, Said, Trigger};
use std::time::Duration;

const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const KINDS: &[&str] = &["changes", "rises", "falls", "equals", "reads", "every", "event"];

/// One trigger or several. `looked` are the event's points, for `changes = "*"`.
pub(super) fn compile(
    when: &Node,
    points: &[Point],
    looked: &[PointIx],
    protocol: &Protocol,
    notices: &mut Vec<Notice>,
    out: &mut Diagnostics,
) -> Vec<Trigger> {
    if when.one_or_more().is_empty() {
        out.push(Diagnostic::error(&when.place, "`when` needs a trigger").help(usual(protocol)));
    }
    when.one_or_more()
        .iter()
        .filter_map(|node| one(node, points, looked, protocol, notices, out))
        .collect()
}

/// What usually stands in `when`.
pub(super) fn usual(protocol: &Protocol) -> &'static str {
    match protocol.family {
        Family::Modbus => "when = { changes = \"result_count\" }",
        Family::Frames => "when = \"frame\": each frame is one",
        Family::Telegrams => "when = \"result\"; also alarm, identifier, trace, job, program, inputs",
        Family::Opcua => "when = { changes = \"result_count\" }, or of an event when = { event = \"nsu=…;i=1007\" }",
    }
}

/// Which family says this by itself.
fn says(said: Said) -> Family {
    match said {
        Said::Frame => Family::Frames,
        _ => Family::Telegrams,
    }
}

/// A word: what the device says by itself.
fn word(word: &str, node: &Node, protocol: &Protocol, out: &mut Diagnostics) -> Option<Trigger> {
    let Some(said) = Said::ALL.into_iter().find(|said| said.word() == word) else {
        let known: Vec<&str> = Said::ALL
            .into_iter()
            .filter(|said| says(*said) == protocol.family)
            .map(Said::word)
            .collect();
        let near = meant(word, &known).filter(|help| help.starts_with("did you mean"));
        out.push(
            Diagnostic::error(&node.place, format!("`{word}` is no trigger")).help(near.unwrap_or_else(|| {
                if matches!(protocol.family, Family::Modbus | Family::Opcua) {
                    format!("a trigger is a table: {}", usual(protocol))
                } else {
                    usual(protocol).to_owned()
                }
            })),
        );
        return None;
    };
    if says(said) == protocol.family {
        return Some(Trigger::Said(said));
    }
    let of = match says(said) {
        Family::Frames => "frames (protocol serial or tcp)",
        _ => "Open Protocol",
    };
    out.push(
        Diagnostic::error(
            &node.place,
            format!(
                "`{word}` is said by devices of {of}; `{}` has no such trigger",
                protocol.word
            ),
        )
        .related(&protocol.place, "the protocol")
        .help(usual(protocol)),
    );
    None
}

fn one(
    node: &Node,
    points: &[Point],
    looked: &[PointIx],
    protocol: &Protocol,
    notices: &mut Vec<Notice>,
    out: &mut Diagnostics,
) -> Option<Trigger> {
    if let Some(text) = node.as_text() {
        return word(text, node, protocol, out);
    }
    let keys = node.as_table()?;
    let mut kinds = keys
        .entries
        .iter()
        .filter(|(key, _)| KINDS.contains(&key.name.as_str()));
    let Some((key, value)) = kinds.next() else {
        out.push(Diagnostic::error(&node.place, "this trigger says nothing").maybe_help(meant("", KINDS)));
        return None;
    };
    if let Some((other, _)) = kinds.next() {
        out.push(
            Diagnostic::error(
                &other.place,
                format!("`{}` and `{}` are two triggers", key.name, other.name),
            )
            .related(&key.place, "the other")
            .help("write a list: when = [{ … }, { … }], any of which triggers"),
        );
        return None;
    }
    if let Some((at_most, _)) = keys.entry("at_most")
        && key.name != "changes"
    {
        out.push(Diagnostic::error(&at_most.place, "`at_most` goes with `changes`"));
    }
    if let Some((notifier, _)) = keys.entry("notifier")
        && key.name != "event"
    {
        out.push(Diagnostic::error(&notifier.place, "`notifier` goes with `event`"));
    }
    let point = |out: &mut Diagnostics| points::find(points, value.as_text()?, &value.place, out);
    match key.name.as_str() {
        "event" => notice::trigger(keys, value, protocol, notices, out),
        "changes" => changes(value, keys, points, looked, out),
        "rises" => flag(point(out)?, value, points, out).map(Trigger::Rises),
        "falls" => flag(point(out)?, value, points, out).map(Trigger::Falls),
        "equals" => pair(value, points, out).map(|(point, raw)| Trigger::Equals(point, raw)),
        "reads" => pair(value, points, out).map(|(point, raw)| Trigger::Reads(point, raw)),
        _ => {
            let every = parse_duration(value.as_text()?)?;
            if every.is_zero() {
                out.push(Diagnostic::error(&value.place, "`every` must be more than nothing"));
            }
            Some(Trigger::Every(every))
        }
    }
}

fn changes(value: &Node, keys: &Table, points: &[Point], looked: &[PointIx], out: &mut Diagnostics) -> Option<Trigger> {
    let at_most = keys.get("at_most").and_then(Node::as_text).and_then(parse_duration);
    let all = value.one_or_more().iter().any(|node| node.as_text() == Some("*"));
    let found: Vec<PointIx> = if all {
        let mut looked = looked.to_vec();
        looked.sort_unstable();
        looked.dedup();
        looked
    } else {
        value
            .one_or_more()
            .iter()
            .filter_map(|node| points::find(points, node.as_text()?, &node.place, out))
            .collect()
    };
    if found.is_empty() {
        if value.one_or_more().is_empty() || all {
            out.push(Diagnostic::error(&value.place, "`changes` needs a point"));
        }
        return None;
    }
    let deadband = found
        .iter()
        .any(|index| points.get(*index).is_some_and(|point| point.deadband.is_some()));
    Some(if all || deadband || at_most.is_some() {
        Trigger::ChangesAny {
            points: found,
            at_most: at_most.unwrap_or(Duration::ZERO),
        }
    } else {
        Trigger::Changes(found)
    })
}

fn flag(index: PointIx, node: &Node, points: &[Point], out: &mut Diagnostics) -> Option<PointIx> {
    let point = points.get(index)?;
    if point.is_text() || point.is_list() {
        out.push(
            Diagnostic::error(&node.place, format!("`{}` is neither true nor false", point.name)).help("use `changes`"),
        );
        return None;
    }
    Some(index)
}

/// `[point, raw value]`.
fn pair(node: &Node, points: &[Point], out: &mut Diagnostics) -> Option<(PointIx, Raw)> {
    let [name, wanted] = node.as_list()? else {
        out.push(Diagnostic::error(&node.place, "this needs a point and a value").help("write [\"ready\", 1]"));
        return None;
    };
    let Some(text) = name.as_text() else {
        out.push(Diagnostic::error(&name.place, "this must be a point").help("write [\"ready\", 1]"));
        return None;
    };
    let index = points::find(points, text, &name.place, out)?;
    let point = points.get(index)?;
    let raw = point.raw(wanted);
    if raw.is_none() {
        let meaning = wanted.as_text().and_then(|word| {
            let map = point.map.as_ref()?;
            map.codes
                .iter()
                .find(|(_, value, _)| value.text() == word)
                .map(|(code, _, _)| match code {
                    points::Code::Number(number) => number.to_string(),
                    points::Code::Text(text) => text.clone(),
                })
        });
        let fault = point.never(wanted);
        out.push(match meaning {
            Some(code) => fault.help(format!("triggers look at raw values: {code}")),
            None => fault,
        });
    }
    Some((index, raw?))
}

/// Whether a variable can be written: as a whole, of any server that allows it.
fn writable(at: &OpcuaPoint, point: &Point, write: &Node, out: &mut Diagnostics) -> Option<()> {
    let fault = if at.node.is_none() {
        "a field of an event"
    } else if !at.paths.is_empty() {
        "a part of a structure"
    } else if at.part != OpcuaPart::Value {
        "no value"
    } else if at.bits.is_some() {
        "a part of a number"
    } else {
        return Some(());
    };
    out.push(
        Diagnostic::error(
            &write.place,
            format!("`{}` is {fault}, which cannot be written", point.name),
        )
        .related(&point.place, "the point")
        .help("an acknowledgement goes to a variable of its own: ack = { node = \"nsu=…;s=Tool.Ack\" }"),
    );
    None
}

/// `ack`.
pub(super) fn ack(node: &Node, points: &[Point], out: &mut Diagnostics) -> Option<Ack> {
    let keys = node.as_table()?;
    let Some(write) = keys.get("write") else {
        out.push(
            Diagnostic::error(&node.place, "`ack` needs `write`")
                .help("the point that the device waits for: ack = { write = \"ack\", value = true }"),
        );
        return None;
    };
    let index = points::find(points, write.as_text()?, &write.place, out)?;
    let point = points.get(index)?;
    // Of protocols that have no such key it is a fault itself.
    let table = match &point.at {
        Address::Modbus(at) => Some(at.table),
        Address::Opcua(at) => {
            writable(at, point, write, out)?;
            None
        }
        Address::Field(_) | Address::Frame(_) => return None,
    };
    if let Some(table @ (plan::Table::Input | plan::Table::Discrete)) = table {
        out.push(
            Diagnostic::error(
                &write.place,
                format!(
                    "`{}` stands in the {} table, which cannot be written",
                    point.name,
                    table.word()
                ),
            )
            .related(&point.place, "the point")
            .help("an acknowledgement goes to a `holding` register or a `coil`"),
        );
    }
    if point.is_text() || point.is_list() {
        out.push(Diagnostic::error(
            &write.place,
            "an acknowledgement is a number or a bit",
        ));
        return None;
    }
    let constant = |key: &str, out: &mut Diagnostics| -> Option<Raw> {
        let node = keys.get(key)?;
        let raw = point.raw(node);
        if raw.is_none() {
            out.push(point.never(node));
        }
        raw
    };
    let value = match (keys.entry("copy"), keys.entry("value")) {
        (Some((copy, _)), Some((value, _))) => {
            out.push(
                Diagnostic::error(&value.place, "`copy` and `value` cannot go together").related(&copy.place, "here"),
            );
            return None;
        }
        (Some((_, copy)), None) => {
            let index = points::find(points, copy.as_text()?, &copy.place, out)?;
            if points
                .get(index)
                .is_some_and(|point| point.is_text() || point.is_list())
            {
                out.push(Diagnostic::error(&copy.place, "only a number can be copied back"));
            }
            AckValue::Copy(index)
        }
        (None, Some(_)) => AckValue::Value(constant("value", out)?),
        (None, None) => {
            out.push(
                Diagnostic::error(&node.place, "`ack` needs `copy` or `value`")
                    .help("copy = \"result_count\" writes what the point showed, value = true a constant"),
            );
            return None;
        }
    };
    Some(Ack {
        write: index,
        value,
        then: constant("then", out),
        timeout: keys
            .get("timeout")
            .and_then(Node::as_text)
            .and_then(parse_duration)
            .unwrap_or(ACK_TIMEOUT),
    })
}
