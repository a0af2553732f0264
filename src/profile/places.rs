//! Points of frames: columns, parts of a line, named groups, and what a scanned code says.
//!
//! Owns which of them a key names. Takes no frame apart ([`crate::wire`]).

use super::connection::Connection;
use super::kind::Kind;
use super::points::{Point, plain};
use crate::diagnostic::tree::{Key, Node, Table};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::plan::{Address, FramePlace, FramePoint, TextKind};
use std::collections::BTreeSet;

/// Points that every frame has, unless a group or a point is called so.
pub(super) const ALWAYS: &[(&str, FramePlace, &str)] = &[
    ("frame", FramePlace::Whole, "all that stands between start and end"),
    (
        CODE,
        FramePlace::Code,
        "a scanned code, its AIM identifier taken off: the group `code`, else the whole",
    ),
    ("aim", FramePlace::Aim, "its AIM identifier: ]d2"),
    (
        "symbology",
        FramePlace::Symbology,
        "the kind of code by that: gs1_datamatrix",
    ),
    (
        "gs1",
        FramePlace::Gs1All,
        "element strings of a GS1 code, for the field `gs1`",
    ),
];

/// The scanned code: an identification has it unless it says otherwise.
pub(super) const CODE: &str = "code";

/// Keys that say where a point is.
const WHERE: &[&str] = &["columns", "column", "group", "gs1", "di", "vin"];
/// Rules of numbers: a point that has one is no text.
const NUMERIC: &[&str] = &[
    "uom",
    "uom_from",
    "scale",
    "scale_from",
    "offset",
    "plausible",
    "deadband",
];

/// What is called `name` by itself.
fn by_name(name: &str, connection: &Connection) -> Option<FramePlace> {
    let group = connection.groups.iter().find(|group| &***group == name);
    match (group, ALWAYS.iter().find(|(known, ..)| *known == name)) {
        // The group `code` is a scanned code, the AIM identifier taken off.
        (Some(_), Some((_, FramePlace::Code, _))) => Some(FramePlace::Code),
        (Some(group), _) => Some(FramePlace::Group(group.clone())),
        (None, Some((_, place, _))) => Some(place.clone()),
        (None, None) => None,
    }
}

/// A point that `[points]` names.
pub(super) fn compile(
    name: &str,
    place: &Place,
    keys: &Table,
    connection: &Connection,
    out: &mut Diagnostics,
) -> Option<Point> {
    let mut found = WHERE.iter().filter_map(|key| keys.entry(key));
    let at = match (found.next(), found.next()) {
        (Some((key, _)), Some((other, _))) => {
            out.push(
                Diagnostic::error(
                    &other.place,
                    format!("`{}` and `{}` cannot go together", key.name, other.name),
                )
                .related(&key.place, "here"),
            );
            return None;
        }
        (Some((key, node)), None) => said(key, node, connection, out)?,
        (None, _) => {
            let found = by_name(name, connection);
            if found.is_none() {
                out.push(nowhere(name, place, connection));
            }
            found?
        }
    };
    let kind = kind(keys, &at, out)?;
    let at = Address::Frame(FramePoint { place: at, kind });
    Some(plain(name, place, at, Kind::frame(kind)))
}

fn nowhere(name: &str, place: &Place, connection: &Connection) -> Diagnostic {
    let known = connection.groups.iter().map(|group| &**group);
    let known: Vec<&str> = known.chain(ALWAYS.iter().map(|(name, ..)| *name)).collect();
    let fault = Diagnostic::error(place, format!("nothing says where in a frame `{name}` is"));
    let near = meant(name, &known).filter(|help| help.starts_with("did you mean"));
    fault.help(near.unwrap_or_else(|| {
        let groups = if connection.groups.is_empty() {
            "a named group of `pattern`".to_owned()
        } else {
            format!("or call it like a group of `pattern`: {}", connection.groups.join(", "))
        };
        format!("say columns = [18, 24], column = 3, {groups}")
    }))
}

/// What a key says.
fn said(key: &Key, node: &Node, connection: &Connection, out: &mut Diagnostics) -> Option<FramePlace> {
    match key.name.as_str() {
        "columns" => {
            let ends: Vec<i64> = node.as_list()?.iter().filter_map(Node::as_integer).collect();
            let [first, last] = ends[..] else {
                out.push(
                    Diagnostic::error(&node.place, "`columns` are two numbers")
                        .help("the first and the last byte, from 1: columns = [18, 24]"),
                );
                return None;
            };
            if last < first {
                out.push(Diagnostic::error(&node.place, "the last column comes before the first"));
                return None;
            }
            let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
            if let Some((longest, place)) = connection.longest.as_ref().filter(|(longest, _)| last > *longest) {
                out.push(
                    Diagnostic::error(&node.place, format!("column {last} is beyond the frame"))
                        .label(format!("a frame has {longest} bytes at most"))
                        .related(place, "said here"),
                );
                return None;
            }
            Some(FramePlace::Columns(first, last))
        }
        "column" => {
            if !connection.separated {
                out.push(
                    Diagnostic::error(&key.place, "a `column` needs `separator`")
                        .help("say what stands between the parts of a line: [frame] separator = \",\"; or give bytes: columns = [18, 24]"),
                );
                return None;
            }
            Some(FramePlace::Column(usize::try_from(node.as_integer()?).ok()?))
        }
        "group" => {
            let name = node.as_text()?;
            let found = connection.groups.iter().find(|group| &***group == name);
            if found.is_none() {
                let known: Vec<&str> = connection.groups.iter().map(|group| &**group).collect();
                let fault = Diagnostic::error(&node.place, format!("`pattern` has no group `{name}`"));
                out.push(if known.is_empty() {
                    fault.help("a named group is written (?<torque>[-0-9.]+)")
                } else {
                    fault.maybe_help(meant(name, &known))
                });
            }
            found.cloned().map(FramePlace::Group)
        }
        "gs1" => {
            let text = node.as_text()?;
            if !(2..=4).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                out.push(
                    Diagnostic::error(&node.place, format!("`{text}` is no application identifier"))
                        .help("2 to 4 digits: gs1 = \"21\" is the serial number"),
                );
                return None;
            }
            Some(FramePlace::Gs1(text.into()))
        }
        "vin" => Some(FramePlace::Vin {
            check_digit: node.as_text()? == "check_digit",
        }),
        _ => {
            let text = node.as_text()?;
            let digits = text.trim_end_matches(|c: char| c.is_ascii_uppercase());
            if text.len() == digits.len() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                out.push(
                    Diagnostic::error(&node.place, format!("`{text}` is no data identifier"))
                        .help("a capital letter behind up to three digits: di = \"S\", \"1P\", \"25S\""),
                );
                return None;
            }
            Some(FramePlace::DataIdentifier(text.into()))
        }
    }
}

/// `type`; without it a text, but a number where a rule of numbers stands.
fn kind(keys: &Table, at: &FramePlace, out: &mut Diagnostics) -> Option<TextKind> {
    let Some(node) = keys.get("type") else {
        let numeric = NUMERIC.iter().any(|key| keys.get(key).is_some());
        let whole = matches!(at, FramePlace::Gs1All | FramePlace::Aim | FramePlace::Symbology);
        return Some(if numeric && !whole {
            TextKind::Decimal
        } else {
            TextKind::Text
        });
    };
    Some(match node.as_text()? {
        "text" | "string" => TextKind::Text,
        "decimal" => TextKind::Decimal,
        "bool" => TextKind::Bool,
        "u16" => TextKind::U16,
        "i16" => TextKind::I16,
        "u32" => TextKind::U32,
        "i32" => TextKind::I32,
        "u64" => TextKind::U64,
        "i64" => TextKind::I64,
        word => {
            if super::format::TYPES.contains(&word) {
                out.push(
                    Diagnostic::error(
                        &node.place,
                        format!("`{word}` is of registers, not of the text of a frame"),
                    )
                    .help(
                        "a number with or without a decimal point is type = \"decimal\"; whole numbers are u16 to i64",
                    ),
                );
            }
            return None;
        }
    })
}

/// Adds what is there without being written: every group, and what is `used`.
pub(super) fn implicit(points: &mut Vec<Point>, connection: &Connection, used: &BTreeSet<&str>) {
    let groups = connection.groups.iter().map(|group| &**group);
    let always = ALWAYS.iter().map(|(name, ..)| *name).filter(|name| used.contains(name));
    let names: Vec<&str> = groups.chain(always).collect();
    // What a scanner says by default.
    let names: Vec<&str> = names.into_iter().chain([CODE]).collect();
    for name in names {
        if points.iter().any(|point| &*point.name == name) {
            continue;
        }
        let Some(at) = by_name(name, connection) else { continue };
        let at = Address::Frame(FramePoint {
            place: at,
            kind: TextKind::Text,
        });
        points.push(Point {
            hidden: name == CODE && !used.contains(CODE) && !connection.groups.iter().any(|group| &**group == CODE),
            ..plain(name, &connection.pattern_place, at, Kind::Text)
        });
    }
}
