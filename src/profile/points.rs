//! `[points]`: from keys to addresses and the rules by which a raw value gets its meaning.
//!
//! Owns which rules can go together, and which points are there by themselves. Does not own where a point is
//! ([`super::address`], [`super::places`], [`super::telegrams`]) nor the rules' arithmetic ([`super::decode`]).

use super::connection::Connection;
use super::decode::Value;
use super::kind::Kind;
use super::protocol::Family;
use super::{address, nodes, places, telegrams};
use crate::diagnostic::tree::{Node, Table, Value as Toml};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::plan::{Address, FramePlace, FramePoint, PointIx, PointPlan, TextKind};
use crate::model::{Decimal, Raw, Uom};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One point with its rules. Indices point into the same list.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) name: Arc<str>,
    pub(super) place: Place,
    /// It has a fault that was told: nothing more is said of it.
    pub(super) faulty: bool,
    /// Nobody wrote or named it: not one of `values = "*"`.
    pub(super) hidden: bool,
    pub(super) at: Address,
    /// Of an array: of its elements.
    pub(super) kind: Kind,
    /// It is an array.
    pub(super) list: bool,
    /// Raw values that are no value.
    pub(super) invalid: Vec<Raw>,
    pub(super) map: Option<CodeMap>,
    pub(super) scale: Option<Decimal>,
    pub(super) scale_from: Option<PointIx>,
    pub(super) offset: Option<Decimal>,
    pub(super) uom: Option<Uom>,
    /// Where the uom stands, for what is said of it elsewhere.
    pub(super) uom_place: Option<Place>,
    pub(super) uom_from: Option<PointIx>,
    /// In the point's uom.
    pub(super) plausible: Option<(Decimal, Decimal)>,
    /// In the point's uom.
    pub(super) deadband: Option<Decimal>,
    pub(super) trim: Trim,
    /// Of an array: trailing elements of this raw value are unused.
    pub(super) cut: Option<Raw>,
}

/// What is cut from a text. The NUL and what follows it always is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trim {
    /// Blanks at both ends.
    Blanks,
    /// Nothing.
    Nothing,
    /// Blanks and these characters at both ends.
    These(String),
}

/// `map`: raw values and what they mean.
#[derive(Debug, Clone)]
pub(super) struct CodeMap {
    pub(super) codes: Vec<(Code, Value, Place)>,
    /// `else`.
    pub(super) other: Option<(Value, Place)>,
}

/// A raw value in a `map`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Code {
    Number(Decimal),
    Text(String),
}

impl CodeMap {
    /// Everything that may come out of it.
    pub(super) fn meanings(&self) -> impl Iterator<Item = (&Value, &Place)> {
        self.codes
            .iter()
            .map(|(_, value, place)| (value, place))
            .chain(self.other.iter().map(|(value, place)| (value, place)))
    }
}

impl Point {
    /// Whether it is a text.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Word(_))
    }

    /// Whether it is one bit.
    pub(super) fn is_bool(&self) -> bool {
        self.kind == Kind::Bool
    }

    /// Whether it is one bit, or a server may say that it is.
    fn may_be_bool(&self) -> bool {
        self.is_bool() || self.kind == Kind::Open && self.at.opcua().is_some()
    }

    /// Whether it is an array, or a server may say that it is.
    pub(super) fn may_be_list(&self) -> bool {
        self.list || self.kind == Kind::Open && self.at.opcua().is_some_and(|at| at.bits.is_none())
    }

    /// Whether it is an array.
    pub(super) fn is_list(&self) -> bool {
        self.list
    }

    /// Whether reading it clears it.
    pub(super) fn clears(&self) -> bool {
        self.at.modbus().is_some_and(|at| at.clears)
    }

    /// Significant digits that a converted value keeps (interface 3): 15 from what is an f64, by the profile or by what was said.
    pub(super) fn digits(&self, raw: Option<&Raw>) -> u32 {
        let double = match raw {
            Some(Raw::List(items)) => items.iter().any(|item| matches!(item, Raw::F64(_))),
            raw => matches!(raw, Some(Raw::F64(_))),
        };
        if self.kind == Kind::Double || double { 15 } else { 7 }
    }

    /// What a driver knows of it.
    pub(super) fn plan(&self) -> PointPlan {
        let step = self.scale.map_or(Decimal::ONE, Decimal::abs);
        PointPlan {
            name: self.name.clone(),
            at: self.at.clone(),
            invalid: self.invalid.clone(),
            deadband: self.deadband.and_then(|deadband| deadband.over(step)),
        }
    }

    /// The raw value that a constant in the file stands for; `None` where the type cannot hold it.
    pub(super) fn raw(&self, node: &Node) -> Option<Raw> {
        self.kind.raw(node)
    }

    /// What is said of a constant that it can never be.
    pub(super) fn never(&self, node: &Node) -> Diagnostic {
        self.kind.never(&self.name, node)
    }
}

const NO_POINTS: &str = "this profile has no points at all: they stand in [points]";

/// Where a point of this name is; a fault where there is none.
pub(super) fn find(points: &[Point], name: &str, place: &Place, out: &mut Diagnostics) -> Option<PointIx> {
    let found = points.iter().position(|point| &*point.name == name);
    if found.is_none() {
        let fields = points.iter().any(|point| matches!(point.at, Address::Field(_)));
        let by_themselves = telegrams::names().filter(|_| fields);
        let written = points.iter().filter(|point| !point.hidden).map(|point| &*point.name);
        let known: Vec<&str> = written.chain(by_themselves).collect();
        let fault = Diagnostic::error(place, format!("there is no point `{name}`"));
        if !known.is_empty() {
            out.push(fault.maybe_help(meant(name, &known)));
        } else if !out.iter().any(|told| told.help.as_deref() == Some(NO_POINTS)) {
            // Told once: every other name would be told the same.
            out.push(fault.help(NO_POINTS));
        }
    }
    found
}

/// Compiles all points; those that are there by themselves only where one of `used` names them.
pub(super) fn compile(
    table: &Table,
    connection: &Connection,
    used: &BTreeSet<&str>,
    out: &mut Diagnostics,
) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut links = Vec::new();
    for (key, node) in &table.entries {
        let Some(keys) = node.as_table() else {
            points.push(placeholder(&key.name, &key.place));
            continue;
        };
        if !is_name(&key.name) {
            out.push(
                Diagnostic::error(&key.place, format!("`{}` is no name of a point", key.name))
                    .help("letters, digits, _ and -, at most 64, and a letter or _ first: torque_min"),
            );
        }
        let Some(point) = one(&key.name, &key.place, keys, connection, out) else {
            // Named all the same, so that what refers to it is not told again.
            points.push(placeholder(&key.name, &key.place));
            continue;
        };
        links.push((points.len(), keys));
        points.push(point);
    }
    match connection.protocol.family {
        Family::Modbus | Family::Opcua => {}
        Family::Frames => places::implicit(&mut points, connection, used),
        Family::Telegrams => telegrams::implicit(&mut points, table, &connection.place, used),
    }
    for (index, keys) in links {
        let scale_from = refer(&points, keys, "scale_from", out);
        let uom_from = refer(&points, keys, "uom_from", out);
        if let (Some(from), Some(node)) = (scale_from, keys.get("scale_from")) {
            let target = points.get(from);
            if from == index || target.is_some_and(|target| target.is_list() || target.scale_from.is_some()) {
                out.push(Diagnostic::error(
                    &node.place,
                    "the number of decimals must be a plain point of its own",
                ));
            }
            if keys.get("deadband").is_some() {
                out.push(
                    Diagnostic::error(&node.place, "`deadband` cannot go with `scale_from`")
                        .help("the raw step is not known then: leave the deadband out"),
                );
            }
        }
        if let (Some(from), Some(node)) = (uom_from, keys.get("uom_from"))
            && from == index
        {
            out.push(Diagnostic::error(&node.place, "a point cannot name its own uom"));
        }
        if let Some(point) = points.get_mut(index) {
            point.scale_from = scale_from;
            point.uom_from = uom_from.or(point.uom_from);
        }
    }
    points
}

fn refer(points: &[Point], keys: &Table, key: &str, out: &mut Diagnostics) -> Option<PointIx> {
    let node = keys.get(key)?;
    find(points, node.as_text()?, &node.place, out)
}

/// Whether a point can be called so.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// A point without rules.
pub(super) fn plain(name: &str, place: &Place, at: Address, kind: Kind) -> Point {
    Point {
        name: name.into(),
        place: place.clone(),
        faulty: false,
        hidden: false,
        at,
        kind,
        list: false,
        invalid: Vec::new(),
        map: None,
        scale: None,
        scale_from: None,
        offset: None,
        uom: None,
        uom_place: None,
        uom_from: None,
        plausible: None,
        deadband: None,
        trim: Trim::Blanks,
        cut: None,
    }
}

fn placeholder(name: &str, place: &Place) -> Point {
    let nowhere = Address::Frame(FramePoint {
        place: FramePlace::Whole,
        kind: TextKind::Text,
    });
    Point {
        faulty: true,
        ..plain(name, place, nowhere, Kind::Whole(0, u16::MAX.into()))
    }
}

fn one(name: &str, place: &Place, keys: &Table, connection: &Connection, out: &mut Diagnostics) -> Option<Point> {
    let base = match connection.protocol.family {
        Family::Modbus => address::compile(name, place, keys, connection.order, out).map(|at| {
            let (kind, list) = (Kind::registers(&at), at.count.is_some());
            Point {
                list,
                ..plain(name, place, Address::Modbus(at), kind)
            }
        }),
        Family::Frames => places::compile(name, place, keys, connection, out),
        Family::Telegrams => telegrams::compile(name, place, keys, out),
        Family::Opcua => nodes::compile(name, place, keys, out),
    };
    let number = |key: &str| keys.get(key).and_then(Node::as_number);
    let uom = keys.get("uom").and_then(|node| {
        let text = node.as_text()?;
        match Uom::parse(text) {
            Ok(uom) => Some((uom, node.place.clone())),
            Err(fault) => {
                out.push(
                    Diagnostic::error(&node.place, fault.to_string())
                        .help("write UCUM or what is usual: N.m, Nm, lbf.in, deg, Cel, N, mm, s, %"),
                );
                None
            }
        }
    });
    let mut point = base?;
    point.faulty = keys.get("uom").is_some() && uom.is_none();
    point.scale = number("scale");
    point.offset = number("offset");
    if let Some((uom, place)) = uom {
        point.uom = Some(uom);
        point.uom_place = Some(place);
    }
    point.trim = match keys.get("trim").map(|node| &node.value) {
        Some(Toml::Bool(false)) => Trim::Nothing,
        Some(Toml::Text(these)) => Trim::These(these.clone()),
        _ => Trim::Blanks,
    };
    point.cut = cut(keys, &point, out);
    point.map = keys
        .get("map")
        .and_then(Node::as_table)
        .map(|codes| code_map(codes, &point, out));
    point.invalid = invalid(keys, &point, out);
    point.plausible = pair(keys, "plausible", out);
    point.deadband = deadband(keys, out);
    rules(&point, keys, out);
    Some(point)
}

/// Rules that cannot go together.
fn rules(point: &Point, keys: &Table, out: &mut Diagnostics) {
    let numeric = [
        "scale",
        "scale_from",
        "offset",
        "plausible",
        "deadband",
        "uom",
        "uom_from",
    ];
    for key in numeric {
        let Some((at, _)) = keys.entry(key) else { continue };
        if point.is_text() {
            out.push(Diagnostic::error(&at.place, format!("a string has no `{key}`")));
        } else if point.is_bool() {
            out.push(Diagnostic::error(&at.place, format!("one bit has no `{key}`")));
        } else if let Some((map, _)) = keys.entry("map")
            && matches!(key, "scale" | "scale_from" | "offset" | "deadband")
        {
            out.push(
                Diagnostic::error(&at.place, format!("`{key}` and `map` cannot go together"))
                    .related(&map.place, "looks at the raw value")
                    .help("a code has no scale: leave one of them out"),
            );
        }
    }
    if let Some((at, node)) = keys.entry("trim")
        && node.as_number().is_none()
        && !point.is_text()
        && point.kind != Kind::Open
    {
        out.push(
            Diagnostic::error(&at.place, "only a string can be trimmed").maybe_help(
                point
                    .is_list()
                    .then(|| "of an array say which trailing raw value is unused: trim = 0".to_owned()),
            ),
        );
    }
    if let Some((at, _)) = keys.entry("map")
        && point.is_list()
        && point.at.opcua().is_none()
    {
        out.push(Diagnostic::error(&at.place, "an array has no `map`"));
    }
    if let Some(node) = keys.get("scale")
        && node.as_number() == Some(Decimal::ZERO)
    {
        out.push(Diagnostic::error(&node.place, "a scale of 0 makes every value 0"));
    }
}

fn code_map(codes: &Table, point: &Point, out: &mut Diagnostics) -> CodeMap {
    let mut map = CodeMap {
        codes: Vec::new(),
        other: None,
    };
    for (key, node) in &codes.entries {
        let Some(value) = Value::of(node) else { continue };
        if key.name == "else" {
            map.other = Some((value, node.place.clone()));
            continue;
        }
        let code = if let Kind::Word(words) = point.kind {
            if !words.contains(&key.name.as_str()) {
                out.push(
                    Diagnostic::error(&key.place, format!("`{}` is never `{}`", point.name, key.name))
                        .maybe_help(meant(&key.name, words)),
                );
                continue;
            }
            Code::Text(key.name.clone())
        } else if point.is_text()
            || (point.kind == Kind::Open
                && number(&key.name).is_none()
                && !(point.may_be_bool() && matches!(key.name.as_str(), "true" | "false")))
        {
            Code::Text(key.name.clone())
        } else {
            let number = match key.name.as_str() {
                "true" if point.may_be_bool() => Some(Decimal::ONE),
                "false" if point.may_be_bool() => Some(Decimal::ZERO),
                text => number(text),
            };
            let Some(number) = number else {
                out.push(
                    Diagnostic::error(
                        &key.place,
                        format!("`{}` is no raw value of `{}`", key.name, point.name),
                    )
                    .help("`map` goes from raw numbers to meanings: { 1 = \"ok\", 2 = \"nok\" }"),
                );
                continue;
            };
            if !point.kind.holds(number) {
                out.push(Diagnostic::error(
                    &key.place,
                    format!("`{}` can never be {}", point.name, key.name),
                ));
                continue;
            }
            Code::Number(number)
        };
        if let Some((_, _, first)) = map.codes.iter().find(|(have, _, _)| *have == code) {
            out.push(
                Diagnostic::error(&key.place, format!("`{}` is mapped twice", key.name)).related(first, "first here"),
            );
            continue;
        }
        map.codes.push((code, value, node.place.clone()));
    }
    map
}

/// A number as people write codes: `7`, `-1`, `0x10`.
pub(super) fn number(text: &str) -> Option<Decimal> {
    match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok().map(Decimal::from),
        None => text.parse().ok(),
    }
}

fn invalid(keys: &Table, point: &Point, out: &mut Diagnostics) -> Vec<Raw> {
    let mut found = Vec::new();
    for item in keys.get("invalid").map(Node::one_or_more).unwrap_or_default() {
        match point.raw(item) {
            Some(raw) => found.push(raw),
            // In a text a word may stand where a number should.
            None if matches!(point.at, Address::Frame(_)) && item.as_text().is_some() => {
                found.extend(item.as_text().map(|word| Raw::Text(word.trim().to_owned())));
            }
            None => out.push(point.never(item)),
        }
    }
    found
}

/// `trim` of an array.
fn cut(keys: &Table, point: &Point, out: &mut Diagnostics) -> Option<Raw> {
    let (at, node) = keys.entry("trim")?;
    node.as_number()?;
    if !point.may_be_list() {
        out.push(
            Diagnostic::error(&at.place, "a number is trimmed from an array")
                .help("of a string say the characters: trim = \"*\"; of a single number write `invalid`"),
        );
        return None;
    }
    let raw = point.raw(node);
    if raw.is_none() {
        out.push(point.never(node));
    }
    raw
}

fn pair(keys: &Table, key: &str, out: &mut Diagnostics) -> Option<(Decimal, Decimal)> {
    let node = keys.get(key)?;
    let ends: Vec<Decimal> = node.as_list()?.iter().filter_map(Node::as_number).collect();
    match ends[..] {
        [low, high] if low <= high => Some((low, high)),
        _ => {
            out.push(Diagnostic::error(
                &node.place,
                format!("`{key}` is two numbers, the lower one first"),
            ));
            None
        }
    }
}

fn deadband(keys: &Table, out: &mut Diagnostics) -> Option<Decimal> {
    let node = keys.get("deadband")?;
    let number = node.as_number()?;
    if number < Decimal::ZERO {
        out.push(Diagnostic::error(&node.place, "a deadband is not negative"));
        return None;
    }
    Some(number)
}
