//! `[points]`: from keys to addresses and the rules by which a raw value gets its meaning.
//!
//! Owns which combinations of type, width, bits and rules are possible. Does not own the reading of registers
//! ([`crate::wire::modbus`]) nor the rules' arithmetic ([`super::decode`]).

use super::decode::Value;
use crate::diagnostic::tree::{Node, Table, Value as Toml};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::plan::{Address, ModbusPoint, ModbusType, PointIx, PointPlan, WordOrder};
use crate::model::{Decimal, Raw, Uom};
use std::sync::Arc;

/// One point with its rules. Indices point into the same list.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) name: Arc<str>,
    pub(super) place: Place,
    /// It has a fault that was told: nothing more is said of it.
    pub(super) faulty: bool,
    pub(super) modbus: ModbusPoint,
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
        matches!(self.modbus.kind, ModbusType::Text(_))
    }

    /// Whether it is one bit.
    pub(super) fn is_bool(&self) -> bool {
        self.modbus.kind == ModbusType::Bool
    }

    /// Whether it is an array.
    pub(super) fn is_list(&self) -> bool {
        self.modbus.count.is_some()
    }

    /// Significant digits that a converted value keeps (interface 3).
    pub(super) fn digits(&self) -> u32 {
        if self.modbus.kind == ModbusType::F64 { 15 } else { 7 }
    }

    /// What a driver knows of it.
    pub(super) fn plan(&self) -> PointPlan {
        let step = self.scale.map_or(Decimal::ONE, Decimal::abs);
        PointPlan {
            name: self.name.clone(),
            at: Address::Modbus(self.modbus.clone()),
            invalid: self.invalid.clone(),
            deadband: self.deadband.and_then(|deadband| deadband.over(step)),
        }
    }

    /// The raw value that a constant in the file stands for; `None` where the type cannot hold it.
    pub(super) fn raw(&self, node: &Node) -> Option<Raw> {
        raw_of(&self.modbus, node)
    }
}

const NO_POINTS: &str = "this profile has no points at all: they stand in [points]";

/// Where a point of this name is; a fault where there is none.
pub(super) fn find(points: &[Point], name: &str, place: &Place, out: &mut Diagnostics) -> Option<PointIx> {
    let found = points.iter().position(|point| &*point.name == name);
    if found.is_none() {
        let known: Vec<&str> = points.iter().map(|point| &*point.name).collect();
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

/// Compiles all points. `order` is that of `[connection]`.
pub(super) fn compile(table: &Table, order: WordOrder, out: &mut Diagnostics) -> Vec<Point> {
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
        let Some(point) = one(&key.name, &key.place, keys, order, out) else {
            // Named all the same, so that what refers to it is not told again.
            points.push(placeholder(&key.name, &key.place));
            continue;
        };
        links.push((points.len(), keys));
        points.push(point);
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
            point.uom_from = uom_from;
        }
    }
    points
}

fn refer(points: &[Point], keys: &Table, key: &str, out: &mut Diagnostics) -> Option<PointIx> {
    let node = keys.get(key)?;
    find(points, node.as_text()?, &node.place, out)
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn placeholder(name: &str, place: &Place) -> Point {
    Point {
        name: name.into(),
        place: place.clone(),
        faulty: true,
        modbus: ModbusPoint {
            table: crate::model::plan::Table::Holding,
            address: 0,
            kind: ModbusType::U16,
            order: WordOrder::Abcd,
            bits: None,
            count: None,
            clears: false,
        },
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

fn one(name: &str, place: &Place, keys: &Table, order: WordOrder, out: &mut Diagnostics) -> Option<Point> {
    let modbus = super::address::compile(name, place, keys, order, out);
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
    let modbus = modbus?;
    let mut point = Point {
        modbus,
        faulty: keys.get("uom").is_some() && uom.is_none(),
        scale: number("scale"),
        offset: number("offset"),
        uom: uom.as_ref().map(|(uom, _)| uom.clone()),
        uom_place: uom.map(|(_, place)| place),
        ..placeholder(name, place)
    };
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
    {
        out.push(Diagnostic::error(&at.place, "an array has no `map`"));
    }
    if let Some(node) = keys.get("scale")
        && node.as_number() == Some(Decimal::ZERO)
    {
        out.push(Diagnostic::error(&node.place, "a scale of 0 makes every value 0"));
    }
}

/// Smallest and largest whole number of a type; `None` for floats and text.
fn range(modbus: &ModbusPoint) -> Option<(i128, i128)> {
    if let Some((_, width)) = modbus.bits {
        return Some((0, (1_i128 << width) - 1));
    }
    Some(match modbus.kind {
        ModbusType::Bool => (0, 1),
        ModbusType::U16 => (0, u16::MAX.into()),
        ModbusType::I16 => (i16::MIN.into(), i16::MAX.into()),
        ModbusType::U32 => (0, u32::MAX.into()),
        ModbusType::I32 => (i32::MIN.into(), i32::MAX.into()),
        ModbusType::U64 => (0, u64::MAX.into()),
        ModbusType::I64 => (i64::MIN.into(), i64::MAX.into()),
        ModbusType::Bcd16 => (0, 9_999),
        ModbusType::Bcd32 => (0, 99_999_999),
        ModbusType::F32 | ModbusType::F64 | ModbusType::Text(_) => return None,
    })
}

/// Whether a raw value of this type can ever be `number`.
fn holds(modbus: &ModbusPoint, number: Decimal) -> bool {
    range(modbus).is_none_or(|(low, high)| number.to_i128().is_some_and(|whole| (low..=high).contains(&whole)))
}

fn raw_of(modbus: &ModbusPoint, node: &Node) -> Option<Raw> {
    match (&node.value, modbus.kind) {
        (Toml::Text(text), ModbusType::Text(_)) => Some(Raw::Text(text.clone())),
        (Toml::Bool(value), ModbusType::Bool) => Some(Raw::Bool(*value)),
        (Toml::Bool(value), _) => raw_number(modbus, i64::from(*value).into()),
        _ => raw_number(modbus, node.as_number()?),
    }
}

fn raw_number(modbus: &ModbusPoint, number: Decimal) -> Option<Raw> {
    match modbus.kind {
        ModbusType::Text(_) => None,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the nearest single is what the device holds"
        )]
        ModbusType::F32 => Some(Raw::F32((number.to_f64() as f32).to_bits())),
        ModbusType::F64 => Some(Raw::F64(number.to_f64().to_bits())),
        _ if !holds(modbus, number) => None,
        ModbusType::Bool => Some(Raw::Bool(number != Decimal::ZERO)),
        _ => {
            let whole = number.to_i128()?;
            match i64::try_from(whole) {
                Ok(value) => Some(Raw::Int(value)),
                Err(_) => u64::try_from(whole).ok().map(Raw::Big),
            }
        }
    }
}

/// What is said of a constant that the type cannot hold.
pub(super) fn never(point: &str, modbus: &ModbusPoint, node: &Node) -> Diagnostic {
    let fault = Diagnostic::error(&node.place, format!("`{point}` can never be this"));
    match (range(modbus), node.as_integer()) {
        (Some((low, high)), Some(value)) if modbus.kind == ModbusType::I16 && (32_768..=65_535).contains(&value) => {
            fault
                .label(format!("raw values here are {low} to {high}"))
                .help(format!("as i16 that is {}", value - 65_536))
        }
        (Some((low, high)), _) => fault.label(format!("raw values here are {low} to {high}")),
        (None, _) if matches!(modbus.kind, ModbusType::Text(_)) => fault.help("a string is compared with text"),
        (None, _) => fault.help("a number is compared with a number"),
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
        let code = if point.is_text() {
            Code::Text(key.name.clone())
        } else {
            let number = match key.name.as_str() {
                "true" if point.is_bool() => Some(Decimal::ONE),
                "false" if point.is_bool() => Some(Decimal::ZERO),
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
            if !holds(&point.modbus, number) {
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
            None => out.push(never(&point.name, &point.modbus, item)),
        }
    }
    found
}

/// `trim` of an array.
fn cut(keys: &Table, point: &Point, out: &mut Diagnostics) -> Option<Raw> {
    let (at, node) = keys.entry("trim")?;
    node.as_number()?;
    if !point.is_list() {
        out.push(
            Diagnostic::error(&at.place, "a number is trimmed from an array")
                .help("of a string say the characters: trim = \"*\"; of a single number write `invalid`"),
        );
        return None;
    }
    let raw = point.raw(node);
    if raw.is_none() {
        out.push(never(&point.name, &point.modbus, node));
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
