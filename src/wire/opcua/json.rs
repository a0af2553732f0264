//! Trees as JSON: for `origin.raw`, for records, and for values that profiles and simulators write by hand.
//! Owns the form; it is plain JSON, not the encoding of OPC 10000-6, 5.4.

use super::scalar::Known;
use super::{Structure, Tree};
use crate::model::value::json_number;
use crate::model::{Decimal, Raw};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The member that names the type of a structure.
const TYPE: &str = "$type";

impl Tree {
    /// All of it. A structure is an object, its type's name in `$type`, null fields left out. Numbers have their own digits, an integer
    /// beyond ±2^53 is a text, and so are `NaN`, `Infinity` and `-Infinity`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.to_short_json(usize::MAX)
    }

    /// As [`Tree::to_json`], but an array of more than `most` elements is only how many there are: `"2000 values"`.
    #[must_use]
    pub fn to_short_json(&self, most: usize) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Value(raw) => of_raw(raw, most),
            Self::List(items) if items.len() > most => many(items.len()),
            Self::List(items) => items.iter().map(|item| item.to_short_json(most)).collect(),
            Self::Struct(structure) => {
                let mut object = Map::new();
                let plain = structure.name.is_empty()
                    || matches!(structure.known(), Some(Known::LocalizedText))
                        && structure
                            .fields
                            .iter()
                            .any(|(name, tree)| &**name == "Text" && *tree != Self::Null);
                if !plain {
                    object.insert(TYPE.to_owned(), Value::String(structure.name.to_string()));
                }
                for (name, tree) in structure.fields.iter().filter(|(_, tree)| *tree != Self::Null) {
                    object.insert(name.to_string(), tree.to_short_json(most));
                }
                Value::Object(object)
            }
        }
    }

    /// What a JSON value says. An object is a structure, named by its member `$type` or without a name; whole numbers are
    /// integers, others exact decimals, and a number beyond these is its text.
    #[must_use]
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Value(Raw::Bool(*value)),
            Value::String(text) => Self::Value(Raw::Text(text.clone())),
            Value::Number(number) => Self::Value(number_of(&number.to_string())),
            Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Value::Object(object) => {
                let name = object.get(TYPE).and_then(Value::as_str).unwrap_or_default();
                let fields = object.iter().filter(|(name, _)| *name != TYPE);
                Self::Struct(Arc::new(Structure {
                    name: Arc::from(name),
                    fields: fields
                        .map(|(name, value)| (Arc::from(&**name), Self::from_json(value)))
                        .collect(),
                }))
            }
        }
    }
}

fn many(count: usize) -> Value {
    Value::String(format!("{count} values"))
}

fn of_raw(raw: &Raw, most: usize) -> Value {
    match raw {
        Raw::Bool(value) => Value::Bool(*value),
        Raw::Text(text) => Value::String(text.clone()),
        Raw::List(items) if items.len() > most => many(items.len()),
        Raw::List(items) => items.iter().map(|item| of_raw(item, most)).collect(),
        Raw::F32(bits) => number(raw, f64::from(f32::from_bits(*bits))),
        Raw::F64(bits) => number(raw, f64::from_bits(*bits)),
        Raw::Int(_) | Raw::Big(_) | Raw::Dec(_) => number(raw, 0.0),
    }
}

/// The digits of a number; `float` is what it is where it is none.
fn number(raw: &Raw, float: f64) -> Value {
    match raw.number() {
        Some(number) => json_number(number),
        None if float.is_nan() => Value::String("NaN".to_owned()),
        None if float < 0.0 => Value::String("-Infinity".to_owned()),
        None => Value::String("Infinity".to_owned()),
    }
}

fn number_of(digits: &str) -> Raw {
    if let Ok(value) = digits.parse::<i64>() {
        return Raw::Int(value);
    }
    if let Ok(value) = digits.parse::<u64>() {
        return Raw::Big(value);
    }
    digits
        .parse::<Decimal>()
        .map_or_else(|_| Raw::Text(digits.to_owned()), Raw::Dec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_keep_their_digits() {
        for (value, digits) in [
            (Raw::Int(-7), "-7"),
            (Raw::Int(1 << 53), "9007199254740992"),
            (Raw::Big(u64::MAX), "\"18446744073709551615\""),
            (Raw::F32(12.34_f32.to_bits()), "12.34"),
            (Raw::F64(0.1_f64.to_bits()), "0.1"),
            (Raw::F64(10_f64.to_bits()), "10"),
            (Raw::F64(f64::NAN.to_bits()), "\"NaN\""),
            (Raw::F32(f32::INFINITY.to_bits()), "\"Infinity\""),
            (Raw::F64(f64::NEG_INFINITY.to_bits()), "\"-Infinity\""),
        ] {
            assert_eq!(Tree::Value(value).to_json().to_string(), digits);
        }
        let read = |text: &str| Tree::from_json(&serde_json::from_str(text).unwrap());
        assert_eq!(read("7"), Tree::Value(Raw::Int(7)));
        assert_eq!(read("18446744073709551615"), Tree::Value(Raw::Big(u64::MAX)));
        assert_eq!(read("0.10"), Tree::Value(Raw::Dec("0.1".parse().unwrap())));
        assert_eq!(read("1e2"), Tree::Value(Raw::Dec(Decimal::from(100_i64))));
        assert_eq!(read("1e999"), Tree::Value(Raw::Text("1e+999".to_owned())));
    }

    #[test]
    fn structures_are_objects() {
        let json = json!({"$type": "One", "A": [1, {"B": "x"}], "T": {"Locale": "en", "Text": "t"}, "N": {"$type": "QualifiedName", "Name": "n"}});
        let tree = Tree::from_json(&json);
        assert_eq!(tree.to_json(), json);
        let Tree::Struct(structure) = &tree else {
            panic!("a structure")
        };
        assert_eq!(&*structure.name, "One");
        let names: Vec<_> = structure.fields.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["A", "T", "N"]);
        assert_eq!(Tree::from_json(&json!({"A": null})).to_json(), json!({}));
        assert_eq!(Tree::from_json(&json!([null])).to_json(), json!([null]));
    }

    #[test]
    fn long_arrays_are_only_counted() {
        let tree = Tree::from_json(&json!({"Long": [1, 2, 3], "Short": [1, 2]}));
        assert_eq!(tree.to_short_json(2), json!({"Long": "3 values", "Short": [1, 2]}));
        let list = Tree::Value(Raw::List(vec![Raw::Int(1); 3]));
        assert_eq!(list.to_short_json(2), json!("3 values"));
        assert_eq!(list.to_short_json(3), json!([1, 1, 1]));
    }
}
