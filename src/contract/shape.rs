//! The last guard before an event gets out: only fields of the type's table, each of its shape.
//!
//! What is not in the table is dropped (a device cannot state an order status or a disposition);
//! what does not fit its shape is a reason for quarantine.

use crate::model::Fields;
use crate::model::event::{AXIS, EventType, FieldSpec, MEASURE, Shape};
use serde_json::Value;

/// Deepest a table goes; a guard, not a limit that is met.
const MAX_DEPTH: u8 = 8;

/// The fields of `kind` out of `data`, in the order of the table.
///
/// # Errors
/// Reasons for quarantine: a required field is missing, a value does not fit.
pub(super) fn guarded(kind: EventType, data: &Fields) -> Result<Fields, Vec<String>> {
    let mut reasons = Vec::new();
    let out = members(kind.fields(), data, "", MAX_DEPTH, &mut reasons);
    if reasons.is_empty() { Ok(out) } else { Err(reasons) }
}

fn members(specs: &[FieldSpec], data: &Fields, path: &str, depth: u8, reasons: &mut Vec<String>) -> Fields {
    let mut out = Fields::new();
    for spec in specs {
        let path = if path.is_empty() {
            spec.name.to_owned()
        } else {
            format!("{path}.{}", spec.name)
        };
        match data.get(spec.name).filter(|value| !value.is_null()) {
            Some(value) => {
                if let Some(value) = fitted(&spec.shape, value, &path, depth, reasons) {
                    out.insert(spec.name.to_owned(), value);
                }
            }
            None if spec.required => reasons.push(format!("`{path}` is missing")),
            None => {}
        }
    }
    out
}

/// The value as it goes out; `None` where nothing is left of it or it does not fit.
fn fitted(shape: &Shape, value: &Value, path: &str, depth: u8, reasons: &mut Vec<String>) -> Option<Value> {
    let Some(depth) = depth.checked_sub(1) else {
        reasons.push(format!("`{path}` is nested too deep"));
        return None;
    };
    let mut misfit = |expected: &str| {
        reasons.push(format!("`{path}` is {}, not {expected}", shown(value)));
        None
    };
    match shape {
        Shape::Text if value.is_string() => Some(value.clone()),
        Shape::Text => misfit("text"),
        Shape::Number if is_number(value) => Some(value.clone()),
        Shape::Number => misfit("a number"),
        Shape::Integer if is_integer(value) => Some(value.clone()),
        Shape::Integer => misfit("a whole number"),
        Shape::Bool if value.is_boolean() => Some(value.clone()),
        Shape::Bool => misfit("true or false"),
        Shape::Scalar if value.is_string() || value.is_number() || value.is_boolean() => Some(value.clone()),
        Shape::Scalar => misfit("a number, text or bool"),
        Shape::Words(words) => match value.as_str() {
            Some(word) if words.contains(&word) => Some(value.clone()),
            _ => misfit(&format!("one of {}", words.join(" "))),
        },
        Shape::Measure(uom) => {
            let Some(data) = value.as_object() else {
                return misfit("a measure");
            };
            let out = members(MEASURE, data, path, depth, reasons);
            let said = out.get("uom").and_then(Value::as_str);
            if said.is_some_and(|said| said != *uom) {
                reasons.push(format!("`{path}.uom` is {}, not {uom}", said.unwrap_or_default()));
            }
            // A uom alone says nothing.
            (out.len() > 1).then_some(Value::Object(out))
        }
        Shape::Object(specs) => {
            let Some(data) = value.as_object() else {
                return misfit("an object");
            };
            let out = members(specs, data, path, depth, reasons);
            (!out.is_empty()).then_some(Value::Object(out))
        }
        Shape::List(specs) => {
            let Some(items) = value.as_array() else {
                return misfit("a list");
            };
            let mut out = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                out.extend(fitted(
                    &Shape::Object(specs),
                    item,
                    &format!("{path}[{index}]"),
                    depth,
                    reasons,
                ));
            }
            (!out.is_empty()).then_some(Value::Array(out))
        }
        Shape::Texts => match value.as_array() {
            Some(items) if items.iter().all(Value::is_string) => Some(value.clone()),
            _ => misfit("a list of texts"),
        },
        Shape::Map(inner) => {
            let Some(data) = value.as_object() else {
                return misfit("an object");
            };
            let mut out = Fields::new();
            for (name, value) in data.iter().filter(|(_, value)| !value.is_null()) {
                if let Some(value) = fitted(inner, value, &format!("{path}.{name}"), depth, reasons) {
                    out.insert(name.clone(), value);
                }
            }
            Some(Value::Object(out))
        }
        Shape::Axis => {
            let Some(data) = value.as_object() else {
                return misfit("an axis");
            };
            Some(axis(data, path, reasons))
        }
    }
}

fn axis(data: &Fields, path: &str, reasons: &mut Vec<String>) -> Value {
    let mut out = Fields::new();
    for spec in AXIS {
        let fits = |value: &Value| match spec.shape {
            Shape::List(_) => value.as_array().is_some_and(|items| items.iter().all(is_number)),
            _ => value.is_string(),
        };
        match data.get(spec.name).filter(|value| !value.is_null()) {
            Some(value) if fits(value) => {
                out.insert(spec.name.to_owned(), value.clone());
            }
            Some(value) => reasons.push(format!("`{path}.{}` does not fit: {}", spec.name, shown(value))),
            None if spec.required => reasons.push(format!("`{path}.{}` is missing", spec.name)),
            None => {}
        }
    }
    Value::Object(out)
}

/// A JSON number; or, beyond ±2^53, the digits of a whole one as text (interface 3).
fn is_number(value: &Value) -> bool {
    value.is_number() || is_long(value)
}

fn is_long(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        digits.len() >= 16 && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn is_integer(value: &Value) -> bool {
    let whole = |text: String| {
        text.parse::<crate::model::Decimal>()
            .is_ok_and(crate::model::Decimal::is_integer)
    };
    is_long(value) || value.as_number().is_some_and(|number| whole(number.to_string()))
}

/// The beginning of a value, for a reason.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 {
        text
    } else {
        text.chars().take(40).chain(['…']).collect()
    }
}
