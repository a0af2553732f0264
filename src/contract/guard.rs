//! The last guard before the MES: nothing gets out that is not in the table of its type, and nothing that the MES may
//! rely on is missing. Owns what is checked and how a quarantine looks.

use crate::model::event::{AXIS, FieldSpec, MEASURE, Shape};
use crate::model::{Draft, EventType, Fields};
use serde_json::Value;

/// Reasons shown in one quarantine at most.
const REASONS: usize = 16;

/// Why a draft is no contract event: what the profile said, a field that is missing, one that does not fit its shape.
pub(super) fn reasons(draft: &Draft) -> Vec<String> {
    let mut reasons = draft.quarantine.clone();
    if reasons.is_empty() {
        members("", &draft.data, draft.kind.fields(), &mut reasons);
    }
    reasons.truncate(REASONS);
    reasons
}

fn members(path: &str, data: &Fields, specs: &[FieldSpec], reasons: &mut Vec<String>) {
    for spec in specs {
        match data.get(spec.name) {
            Some(value) => fits(&format!("{path}{}", spec.name), value, &spec.shape, reasons),
            None if spec.required => reasons.push(format!("`{path}{}` is missing", spec.name)),
            None => {}
        }
    }
    for name in data.keys().filter(|name| !specs.iter().any(|spec| spec.name == **name)) {
        reasons.push(format!("`{path}{name}` is no field of the contract"));
    }
}

fn fits(path: &str, value: &Value, shape: &Shape, reasons: &mut Vec<String>) {
    let object = |specs: &[FieldSpec], reasons: &mut Vec<String>| match value.as_object() {
        Some(inner) => members(&format!("{path}."), inner, specs, reasons),
        None => reasons.push(format!("`{path}` is {value}, but must be an object")),
    };
    let fine = match shape {
        Shape::Measure(uom) => {
            object(MEASURE, reasons);
            value.get("uom").is_none_or(|said| said == uom)
        }
        Shape::Axis => {
            let numbers = value.get("values").and_then(Value::as_array);
            value.get("name").is_some_and(Value::is_string)
                && numbers.is_some_and(|values| values.iter().all(is_number))
                && value
                    .as_object()
                    .is_some_and(|axis| axis.keys().all(|key| AXIS.iter().any(|spec| spec.name == key)))
        }
        Shape::Object(specs) => {
            object(specs, reasons);
            true
        }
        Shape::List(specs) => match value.as_array() {
            Some(items) => {
                for item in items {
                    match item.as_object() {
                        Some(inner) => members(&format!("{path}[]."), inner, specs, reasons),
                        None => reasons.push(format!("`{path}` has {item} in it, but must have objects")),
                    }
                }
                true
            }
            None => false,
        },
        Shape::Map(inner) => match value.as_object() {
            Some(members) => {
                for (name, value) in members {
                    fits(&format!("{path}.{name}"), value, inner, reasons);
                }
                true
            }
            None => false,
        },
        Shape::Words(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        Shape::Text => value.is_string(),
        Shape::Number => is_number(value),
        Shape::Integer => is_integer(value),
        Shape::Bool => value.is_boolean(),
        Shape::Scalar => value.is_string() || value.is_number() || value.is_boolean(),
        Shape::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
    };
    if !fine {
        let what = what(shape);
        let mut shown = value.to_string();
        if let Some((at, _)) = shown.char_indices().nth(80) {
            shown.truncate(at);
            shown.push('…');
        }
        reasons.push(format!("`{path}` is {shown}, but must be {what}"));
    }
}

/// A number, or a whole number beyond ±2^53 as a string of digits (interface 3).
fn is_number(value: &Value) -> bool {
    value.is_number() || is_big_integer(value)
}

fn is_integer(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.to_string().contains(['.', 'e', 'E']),
        _ => is_big_integer(value),
    }
}

fn is_big_integer(value: &Value) -> bool {
    value
        .as_str()
        .map(|text| text.strip_prefix('-').unwrap_or(text))
        .is_some_and(|digits| {
            digits.len() >= 16 && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

fn what(shape: &Shape) -> String {
    match shape {
        Shape::Measure(uom) => format!("a measure in {uom}"),
        Shape::Axis => "an axis: name, uom, values".to_owned(),
        Shape::Object(_) | Shape::Map(_) => "an object".to_owned(),
        Shape::List(_) => "a list".to_owned(),
        Shape::Words(words) => format!("one of {}", words.join(", ")),
        Shape::Text => "text".to_owned(),
        Shape::Number => "a number".to_owned(),
        Shape::Integer => "a whole number".to_owned(),
        Shape::Bool => "true or false".to_owned(),
        Shape::Scalar => "a number, text, true or false".to_owned(),
        Shape::Texts => "a list of texts".to_owned(),
    }
}

/// The fields of a draft in the order of its type's table.
pub(super) fn ordered(draft: &Draft) -> Fields {
    let table = draft.kind.fields().iter();
    table
        .filter_map(|spec| Some((spec.name.to_owned(), draft.data.get(spec.name)?.clone())))
        .collect()
}

/// What the MES gets instead of an event that cannot be made.
pub(super) fn quarantined(draft: &Draft, reasons: Vec<String>) -> Fields {
    let mut data = Fields::new();
    data.insert("reasons".into(), reasons.into());
    data.insert("raw".into(), draft.raw.clone().unwrap_or_default().into());
    data.insert("type".into(), draft.kind.word().into());
    if draft.kind != EventType::Quarantine
        && let Some(last) = draft.id.as_ref().and_then(|id| id.last())
    {
        data.insert("result_id".into(), last.clone().into());
    }
    data
}
