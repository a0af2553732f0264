//! Raw values: what one point said, before any profile gave it a meaning.
//!
//! Owns their text and JSON form. Does not own registers, telegrams or columns ([`crate::wire`]),
//! nor scaling and mapping ([`crate::profile`]).

use super::decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One raw value. Absence is `Option::None`, never a variant.
///
/// Equality is what triggers compare: exact, floats by their bits (NaN equals the same NaN).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Raw {
    /// A coil, a discrete input, one bit.
    Bool(bool),
    /// Any integer type, BCD included.
    Int(i64),
    /// A `u64` beyond `i64::MAX`.
    Big(u64),
    /// IEEE 754 single, as its bits.
    F32(u32),
    /// IEEE 754 double, as its bits.
    F64(u64),
    /// A decimal that arrived as text.
    Dec(Decimal),
    /// Text, not yet trimmed of blanks.
    Text(String),
    /// An array point.
    List(Vec<Raw>),
}

impl Raw {
    /// The number in it: exact for integers, the shortest decimal for floats, 0 and 1 for bools.
    /// `None` for text, lists, NaN and infinity.
    #[must_use]
    pub fn number(&self) -> Option<Decimal> {
        match self {
            Self::Bool(value) => Some(if *value { Decimal::ONE } else { Decimal::ZERO }),
            Self::Int(value) => Some((*value).into()),
            Self::Big(value) => Some((*value).into()),
            Self::F32(bits) => Decimal::from_f32(f32::from_bits(*bits)),
            Self::F64(bits) => Decimal::from_f64(f64::from_bits(*bits)),
            Self::Dec(value) => Some(*value),
            Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Whether it is true: a true bool, or a number other than 0.
    #[must_use]
    pub fn truth(&self) -> bool {
        self.number().is_some_and(|number| number != Decimal::ZERO)
    }

    /// The words a person reads: `7`, `12.34`, `true`, the text itself.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(items) => items.iter().map(Self::text).collect::<Vec<_>>().join(","),
            number => number
                .number()
                .map_or_else(|| "NaN".to_owned(), |number| number.to_string()),
        }
    }

    /// Whether a number equals another, whatever their types: `Bool(true)` is 1, `Int(3)` is `Dec(3.0)`.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => a == b,
            _ => self == other,
        }
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Big(a), Self::Big(b)) | (Self::F64(a), Self::F64(b)) => a == b,
            (Self::F32(a), Self::F32(b)) => a == b,
            (Self::Dec(a), Self::Dec(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Raw {}

/// Lower-case hexadecimal, two digits a byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().map_or('0', char::from);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// A JSON number with exactly these digits; an integer beyond ±2^53 is a string (interface 3).
#[must_use]
pub fn json_number(value: Decimal) -> serde_json::Value {
    const EXACT: i128 = 1 << 53;
    let text = value.to_string();
    if value.is_integer() && value.to_i128().is_none_or(|whole| whole.abs() > EXACT) {
        return serde_json::Value::String(text);
    }
    match text.parse::<serde_json::Number>() {
        Ok(number) => serde_json::Value::Number(number),
        Err(_) => serde_json::Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_beyond_2_53_are_strings() {
        assert_eq!(
            json_number(Decimal::from(9_007_199_254_740_992_i64)).to_string(),
            "9007199254740992"
        );
        assert_eq!(
            json_number(Decimal::from(9_007_199_254_740_993_i64)).to_string(),
            "\"9007199254740993\""
        );
        assert_eq!(json_number("12.340".parse().unwrap()).to_string(), "12.34");
    }

    #[test]
    fn a_bool_counts_as_one() {
        assert!(Raw::Bool(true).same_value(&Raw::Int(1)));
        assert!(!Raw::Text("1".into()).same_value(&Raw::Int(1)));
        assert_eq!(Raw::F32(f32::NAN.to_bits()).number(), None);
    }
}
