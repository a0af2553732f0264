//! Points of OPC UA: variables by their node, ways into their structures, and fields of events.
//!
//! Owns which keys say where such a point is. Texts are parsed in [`crate::wire::opcua`].

use super::format::{PARTS, TYPES};
use super::kind::Kind;
use super::points::{Point, plain};
use crate::diagnostic::tree::{Node, Table, parse_duration};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::model::plan::{Address, FieldPath, NodeRef, OpcuaPart, OpcuaPoint, OpcuaType, Selector};
use crate::wire::opcua::node::parse_node;
use crate::wire::opcua::path::parse_path;

/// A point that `[points]` names.
pub(super) fn compile(name: &str, place: &Place, keys: &Table, out: &mut Diagnostics) -> Option<Point> {
    let before = out.iter().count();
    let node = keys
        .get("node")
        .and_then(|node| node_id(node.as_text()?, &node.place, out));
    let mut paths = Vec::new();
    for node in keys.get("field").map(Node::one_or_more).unwrap_or_default() {
        paths.extend(node.as_text().and_then(|text| path(text, &node.place, out)));
    }
    if keys.get("node").is_none() && paths.is_empty() {
        // Where it is of another protocol was told.
        let foreign = ["at", "columns", "column", "group", "pid"];
        if out.iter().count() == before && !foreign.iter().any(|key| keys.get(key).is_some()) {
            out.push(
                Diagnostic::error(place, format!("nothing says where `{name}` is")).help(
                    "a variable is node = \"nsu=http://…;s=Tool.Torque\"; a field of an event is field = \"Result/ResultMetaData/ResultId\"",
                ),
            );
        }
        return None;
    }
    let part = part(keys, out);
    let bits = bits(keys, out);
    let kind = typed(keys, bits, out);
    if let Some((key, _)) = keys.entry("sampling")
        && keys.get("node").is_none()
    {
        out.push(
            Diagnostic::error(&key.place, "a field of an event is not sampled")
                .help("take `sampling` out: it comes with the event"),
        );
    }
    if let Some(node) = keys.get("field")
        && keys.get("node").is_some()
        && let Some(each) = paths.iter().find(|path| position_of_each(path).is_some())
    {
        out.push(
            Diagnostic::error(&node.place, "`[each]` is of events: a variable is one moment")
                .label(format!("in `{each}`"))
                .help("write [*] for all of them, [0], [-1] or a condition for one"),
        );
    }
    if out.iter().count() > before {
        return None;
    }
    let list = paths.iter().any(collects);
    let kind_of = match (part, bits, kind) {
        (OpcuaPart::Status | OpcuaPart::SourceTimestamp | OpcuaPart::ServerTimestamp, ..) => Kind::Text,
        (_, Some((_, 1)), _) => Kind::Bool,
        (_, Some((_, width)), _) => Kind::Whole(0, (1_i128 << width) - 1),
        (_, None, kind) => kind.map_or(Kind::Open, Kind::variable),
    };
    let at = OpcuaPoint {
        node,
        paths,
        part,
        bits,
        kind,
        sampling: keys.get("sampling").and_then(Node::as_text).and_then(parse_duration),
    };
    Some(Point {
        list,
        ..plain(name, place, Address::Opcua(at), kind_of)
    })
}

/// The characters of a text in a file, from this one on; all of it where its spelling hides where they are.
fn within(place: &Place, text: &str, at: usize) -> Place {
    let written = place.source.text.get(place.span.clone()).unwrap_or_default();
    let plain = written.len() == text.len() + 2 && written.get(1..=text.len()) == Some(text);
    if !plain {
        return place.clone();
    }
    let start = text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    let end = text.char_indices().nth(at + 1).map_or(text.len(), |(byte, _)| byte);
    let first = place.span.start + 1;
    Place {
        source: place.source.clone(),
        // At the end of a text it is the quote.
        span: first + start..first + end.max(start + 1),
    }
}

/// A node id in a file.
pub(super) fn node_id(text: &str, place: &Place, out: &mut Diagnostics) -> Option<NodeRef> {
    match parse_node(text) {
        Ok(node) => Some(node),
        Err(fault) => {
            out.push(
                Diagnostic::error(&within(place, text, fault.at), format!("`{text}` is no node")).help(fault.text),
            );
            None
        }
    }
}

/// A way in a file.
fn path(text: &str, place: &Place, out: &mut Diagnostics) -> Option<FieldPath> {
    match parse_path(text) {
        Ok(path) => Some(path),
        Err(fault) => {
            out.push(
                Diagnostic::error(
                    &within(place, text, fault.at),
                    format!("`{text}` is no way through structures"),
                )
                .help(fault.text),
            );
            None
        }
    }
}

fn part(keys: &Table, out: &mut Diagnostics) -> OpcuaPart {
    let Some((key, node)) = keys.entry("part") else {
        return OpcuaPart::Value;
    };
    let word = node.as_text().unwrap_or_default();
    let part = PARTS.iter().find(|(known, _)| *known == word).map(|(_, part)| *part);
    let part = part.unwrap_or_default();
    if part == OpcuaPart::Value {
        return part;
    }
    if keys.get("node").is_none() {
        out.push(
            Diagnostic::error(&key.place, format!("a field of an event has no {word}"))
                .help("only a variable has: name its node; the time of an event is field = \"Time\""),
        );
    } else if let Some((field, _)) = keys.entry("field") {
        out.push(
            Diagnostic::error(&field.place, format!("a {word} is of the whole variable"))
                .related(&key.place, "what is meant")
                .help("take `field` out"),
        );
    }
    for other in ["bit", "bits", "type"] {
        if let Some((other, _)) = keys.entry(other) {
            out.push(
                Diagnostic::error(&other.place, format!("a {word} has no `{}`", other.name))
                    .related(&key.place, "what is meant"),
            );
        }
    }
    part
}

/// `bit` or `bits`, as lowest bit and number of bits.
fn bits(keys: &Table, out: &mut Diagnostics) -> Option<(u8, u8)> {
    match (keys.entry("bit"), keys.entry("bits")) {
        (Some((key, _)), Some((other, _))) => {
            out.push(
                Diagnostic::error(&other.place, "`bit` and `bits` cannot go together").related(&key.place, "here"),
            );
            None
        }
        (Some((_, node)), None) => Some((u8::try_from(node.as_integer()?).ok()?, 1)),
        (None, Some((_, node))) => {
            let ends: Vec<i64> = node.as_list()?.iter().filter_map(Node::as_integer).collect();
            let (Some(low), Some(high), 2) = (ends.first(), ends.get(1), ends.len()) else {
                out.push(
                    Diagnostic::error(&node.place, "`bits` are two numbers")
                        .help("the lowest and the highest bit: bits = [4, 7]"),
                );
                return None;
            };
            if low > high {
                out.push(Diagnostic::error(
                    &node.place,
                    "the highest bit comes before the lowest",
                ));
                return None;
            }
            Some((u8::try_from(*low).ok()?, u8::try_from(high - low + 1).ok()?))
        }
        (None, None) => None,
    }
}

/// `type`.
fn typed(keys: &Table, bits: Option<(u8, u8)>, out: &mut Diagnostics) -> Option<OpcuaType> {
    let node = keys.get("type")?;
    let word = node.as_text()?;
    let found = match word {
        "bool" => OpcuaType::Bool,
        "i8" => OpcuaType::I8,
        "u8" => OpcuaType::U8,
        "i16" => OpcuaType::I16,
        "u16" => OpcuaType::U16,
        "i32" => OpcuaType::I32,
        "u32" => OpcuaType::U32,
        "i64" => OpcuaType::I64,
        "u64" => OpcuaType::U64,
        "f32" => OpcuaType::F32,
        "f64" => OpcuaType::F64,
        "string" | "text" => OpcuaType::Text,
        _ => {
            if TYPES.contains(&word) {
                out.push(
                    Diagnostic::error(&node.place, format!("`{word}` is no type of OPC UA"))
                        .help("bool, u8 to u64, i8 to i64, f32, f64 or string; a server says the type by itself, so it can be left out"),
                );
            }
            return None;
        }
    };
    if bits.is_some_and(|(_, width)| width > 1 || found != OpcuaType::Bool)
        && matches!(
            found,
            OpcuaType::Bool | OpcuaType::F32 | OpcuaType::F64 | OpcuaType::Text
        )
    {
        out.push(
            Diagnostic::error(&node.place, format!("bits are of a whole number, not of `{word}`"))
                .help("take `type` out"),
        );
        return None;
    }
    // Of one bit it is the bit's, which needs no saying.
    (bits.is_none()).then_some(found)
}

/// Whether a way collects many into a list.
fn collects(path: &FieldPath) -> bool {
    let many = |selector: &Selector| matches!(selector, Selector::All | Selector::Where(_));
    path.steps.iter().any(|step| step.selectors.iter().any(many))
}

/// Where the `[each]` of a way is: step and selector.
pub(super) fn position_of_each(path: &FieldPath) -> Option<(usize, usize)> {
    path.steps.iter().enumerate().find_map(|(at, step)| {
        let each = |selector: &Selector| matches!(selector, Selector::Each(_));
        Some((at, step.selectors.iter().position(each)?))
    })
}
