//! The JSON Schema of the profile format, for editors. Written from the same table that the reader uses.

use super::format::{EVENT, FIELD_EXTRA, Key, Kind, TOP};
use crate::model::EventType;
use serde_json::{Map, Value, json};

/// The schema (draft 2020-12).
pub(super) fn schema() -> Value {
    let mut top = table(TOP);
    let head = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("$id", json!("urn:lineside:device-profile:1")),
        ("title", json!("lineside device profile")),
        ("description", json!("Everything that is particular to a device.")),
        ("required", json!(["profile"])),
    ];
    let mut out = Map::new();
    for (name, value) in head {
        out.insert(name.to_owned(), value);
    }
    if let Some(inner) = top.as_object_mut() {
        out.append(inner);
    }
    Value::Object(out)
}

fn table(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut value = kind(&key.kind);
        if let Some(object) = value.as_object_mut() {
            object.insert("description".into(), key.doc.into());
        }
        properties.insert(key.name.to_owned(), value);
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn kind(what: &Kind) -> Value {
    match what {
        Kind::Text => json!({ "type": "string" }),
        Kind::Words(words) => json!({ "enum": words }),
        Kind::Integer(i64::MIN, i64::MAX) => json!({ "type": "integer" }),
        Kind::Integer(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Duration => json!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|min|m|h|d)$" }),
        Kind::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Kind::List(inner) => json!({ "type": "array", "items": kind(inner) }),
        Kind::OneOrMore(inner) => {
            let one = kind(inner);
            json!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
        }
        Kind::Table(keys) => table(keys),
        Kind::Map(inner) => json!({ "type": "object", "additionalProperties": kind(inner) }),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(kind).collect::<Vec<_>>() }),
        Kind::Event => event(),
        Kind::Any => json!({}),
    }
}

/// Control keys, and the fields of all types.
fn event() -> Value {
    let mut out = table(EVENT);
    let source = json!({
        "anyOf": [
            { "type": "string", "description": "a point" },
            { "type": "object", "description": format!("its members, each a point or {{ const = … }}; also {}", FIELD_EXTRA.join(", ")) },
            { "type": "array" },
        ]
    });
    if let Some(properties) = out.get_mut("properties").and_then(Value::as_object_mut) {
        for kind in EventType::ALL.iter().filter(|kind| kind.is_mapped()) {
            for field in kind.fields().iter().filter(|field| field.name != "result_id") {
                let mut value = source.clone();
                if let Some(object) = value.as_object_mut() {
                    object.insert("description".into(), field.doc.into());
                }
                properties.entry(field.name.to_owned()).or_insert(value);
            }
        }
    }
    out
}
