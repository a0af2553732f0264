//! From a raw value to its meaning: invalid, map or scale and offset, plausible. Exact decimals throughout.
//!
//! Owns the order of the rules of one point. Does not own uom conversion to the contract nor fields ([`super::mapping`]).

use super::kind::Kind;
use super::points::{Code, Point, Trim};
use crate::diagnostic::tree::{Node, Value as Toml};
use crate::model::plan::PointIx;
use crate::model::value::json_number;
use crate::model::{Decimal, Raw, Uom};

/// More decimals than this are no measurement.
const MOST_DECIMALS: i128 = 18;

/// What a point means, in its own uom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Number(Decimal),
    Text(String),
    Bool(bool),
    List(Vec<Value>),
}

impl Value {
    /// A constant in a file.
    pub(super) fn of(node: &Node) -> Option<Self> {
        match &node.value {
            Toml::Text(text) => Some(Self::Text(text.clone())),
            Toml::Bool(value) => Some(Self::Bool(*value)),
            _ => node.as_number().map(Self::Number),
        }
    }

    /// The words a person reads.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::List(items) => items.iter().map(Self::text).collect::<Vec<_>>().join(","),
        }
    }

    /// The number in it: also of text that is one, and 0 and 1 of bools.
    pub(super) fn number(&self) -> Option<Decimal> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Bool(value) => Some(if *value { Decimal::ONE } else { Decimal::ZERO }),
            Self::List(_) => None,
        }
    }

    /// As JSON, numbers exact.
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Number(number) => json_number(*number),
            Self::Text(text) => text.clone().into(),
            Self::Bool(value) => (*value).into(),
            Self::List(items) => items.iter().map(Self::json).collect(),
        }
    }

    /// Whether a constant in a file means this: numbers by value, `3` is `"3"`, `1` is `true`.
    pub(super) fn is(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Text(have), Self::Text(wanted)) => have == wanted,
            (Self::List(_), _) | (_, Self::List(_)) => self == wanted,
            _ => match (self.number(), wanted.number()) {
                (Some(have), Some(wanted)) => have == wanted,
                _ => self.text() == wanted.text(),
            },
        }
    }
}

/// What a point says at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It was not read, or the device gives none: an empty text.
    Absent,
    /// A value that means "no value", NaN, or bytes that hold none.
    Invalid,
    /// Beyond what is plausible; why.
    Implausible(String),
    /// It cannot be given a meaning; why.
    Bad(String),
    /// A value, in the point's uom.
    Good(Value),
}

/// What point `index` means among the raw values of a sample.
pub(super) fn say(points: &[Point], index: PointIx, values: &[Option<Raw>]) -> Said {
    let Some(point) = points.get(index) else {
        return Said::Absent;
    };
    let Some(raw) = values.get(index).and_then(Option::as_ref) else {
        return Said::Absent;
    };
    let scale = match decimals(points, point, values) {
        Ok(scale) => scale,
        Err(said) => return said,
    };
    if let Raw::List(items) = raw {
        let items = super::curve::used(point, items);
        if items.is_empty() {
            return Said::Absent;
        }
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            match element(point, item, scale) {
                Said::Good(value) => list.push(value),
                other => return other,
            }
        }
        return Said::Good(Value::List(list));
    }
    element(point, raw, scale)
}

/// The factor that `scale_from` makes, if there is one.
pub(super) fn decimals(points: &[Point], point: &Point, values: &[Option<Raw>]) -> Result<Option<Decimal>, Said> {
    let Some(from) = point.scale_from else { return Ok(None) };
    let name = points.get(from).map_or("", |from| &*from.name);
    let Said::Good(value) = say(points, from, values) else {
        return Err(Said::Bad(format!(
            "`{}` has no number of decimals in `{name}`",
            point.name
        )));
    };
    match value.number().and_then(Decimal::to_i128) {
        Some(decimals @ 0..=MOST_DECIMALS) => Ok(Some(Decimal::new(1, i32::try_from(decimals).unwrap_or(0)))),
        _ => Err(Said::Bad(format!(
            "`{name}` is {}, which is no number of decimals of `{}`",
            value.text(),
            point.name
        ))),
    }
}

fn element(point: &Point, raw: &Raw, decimals: Option<Decimal>) -> Said {
    let said = match raw {
        Raw::Text(text) => text_of(point, text),
        _ => match raw.number() {
            None => Said::Invalid,
            Some(_) if is_invalid(point, raw) => Said::Invalid,
            Some(number) => mapped(point, raw, number, decimals),
        },
    };
    match (said, point.plausible) {
        (Said::Good(Value::Number(number)), Some((low, high))) if number < low || number > high => {
            Said::Implausible(format!("`{}` is {number}, plausible is {low} to {high}", point.name))
        }
        (said, _) => said,
    }
}

fn is_invalid(point: &Point, raw: &Raw) -> bool {
    point.invalid.iter().any(|invalid| invalid.same_value(raw))
}

fn mapped(point: &Point, raw: &Raw, number: Decimal, decimals: Option<Decimal>) -> Said {
    if let Some(map) = &point.map {
        let known = map.codes.iter().find(|(code, _, _)| *code == Code::Number(number));
        return match (known, &map.other) {
            (Some((_, value, _)), _) | (None, Some((value, _))) => Said::Good(value.clone()),
            (None, None) => Said::Bad(format!("unknown code {number} of `{}`", point.name)),
        };
    }
    if let Raw::Bool(value) = raw {
        return Said::Good(Value::Bool(*value));
    }
    let mut number = number;
    for factor in [point.scale, decimals].into_iter().flatten() {
        number = number.times(factor);
    }
    if let Some(offset) = point.offset {
        number = number.plus(offset);
    }
    Said::Good(Value::Number(number))
}

fn text_of(point: &Point, text: &str) -> Said {
    let text = cut(&point.trim, text);
    let invalid = point.invalid.iter().any(|invalid| match invalid {
        Raw::Text(invalid) => cut(&point.trim, invalid) == text,
        _ => false,
    });
    if invalid {
        return Said::Invalid;
    }
    if let Some(map) = &point.map {
        let known = map.codes.iter().find(|(code, _, _)| match code {
            Code::Text(known) => cut(&point.trim, known) == text,
            // A parameter of a telegram may be a number as text.
            Code::Number(known) => super::points::number(text) == Some(*known),
        });
        return match (known, &map.other) {
            (None, _) if text.is_empty() => Said::Absent,
            // Words of the contract stay what they are, unless the map says otherwise.
            (None, None) if matches!(point.kind, Kind::Word(words) if words.contains(&text)) => {
                Said::Good(Value::Text(text.to_owned()))
            }
            (Some((_, value, _)), _) | (None, Some((value, _))) => Said::Good(value.clone()),
            (None, None) => Said::Bad(format!("unknown code {text} of `{}`", point.name)),
        };
    }
    if text.is_empty() {
        return Said::Absent;
    }
    Said::Good(Value::Text(text.to_owned()))
}

/// Text up to its NUL, trimmed as the point says.
fn cut<'a>(trim: &Trim, text: &'a str) -> &'a str {
    let text = text.split('\0').next().unwrap_or_default();
    match trim {
        Trim::Nothing => text,
        Trim::Blanks => text.trim_matches(|c: char| c.is_whitespace() || c.is_control()),
        Trim::These(these) => text.trim_matches(|c: char| c.is_whitespace() || these.contains(c)),
    }
}

/// A device's id value as text: the raw value, trimmed; empty where it says none.
pub(super) fn id_text(points: &[Point], index: PointIx, values: &[Option<Raw>]) -> Option<String> {
    let point = points.get(index)?;
    let raw = values.get(index)?.as_ref()?;
    if is_invalid(point, raw) {
        return None;
    }
    let text = match raw {
        Raw::Text(text) => match text_of(point, text) {
            Said::Absent | Said::Invalid => return None,
            _ => cut(&point.trim, text).to_owned(),
        },
        other => other.text(),
    };
    (!text.is_empty()).then_some(text)
}

/// The uom in which a point speaks at this moment: by the point that names it, else its own.
pub(super) fn uom(points: &[Point], index: PointIx, values: &[Option<Raw>]) -> Result<Option<Uom>, String> {
    let Some(point) = points.get(index) else {
        return Ok(None);
    };
    let named = point.uom_from.map(|from| say(points, from, values));
    match named {
        Some(Said::Good(value)) => Uom::parse(&value.text())
            .map(Some)
            .map_err(|_| format!("unknown uom {} of `{}`", value.text(), point.name)),
        Some(Said::Bad(reason) | Said::Implausible(reason)) => Err(reason),
        Some(Said::Absent | Said::Invalid) | None => Ok(point.uom.clone()),
    }
}
