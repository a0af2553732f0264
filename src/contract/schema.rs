//! JSON Schema (2020-12) of whole events, written from the table of types.

use crate::model::EventType;
use crate::model::event::{AXIS, FieldSpec, MEASURE, Shape, TimeBasis, UnitState};
use serde_json::{Map, Value, json};

/// The schema of one type, `<type>.schema.json`. Consumers ignore members that they do not know, so additional ones
/// are allowed everywhere; enumerations are closed.
#[must_use]
pub fn schema(kind: EventType) -> Value {
    let (mut properties, mut required) = members(kind.fields());
    properties.insert("unit".into(), unit());
    properties.insert("times".into(), times());
    properties.insert(
        "backfill".into(),
        json!({"const": true, "description": "fetched later, not seen live"}),
    );
    properties.insert(
        "extra".into(),
        json!({"type": "object", "description": "beside the contract; may change with the device"}),
    );
    properties.insert("origin".into(), origin());
    // The gateway's own events are about no unit, and an alarm may be one of them.
    if !matches!(kind, EventType::Alarm | EventType::Gap | EventType::Change) {
        required.push("unit".into());
    }
    required.extend(["times".into(), "origin".into()]);
    let data = json!({"type": "object", "properties": properties, "required": required});
    let text = |about: &str| json!({"type": "string", "minLength": 1, "description": about});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:lineside:{kind}:1"),
        "title": kind.cloud_event_type(),
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text("the same physical result always has the same id"),
            "source": text("the slot: /enterprise/site/area/line/station/slot"),
            "type": {"const": kind.cloud_event_type()},
            "subject": text("the production unit"),
            "time": {"type": "string", "format": "date-time", "description": "when it happened"},
            "datacontenttype": {"const": "application/json"},
            "dataschema": {"const": format!("urn:lineside:{kind}:1")},
            "sequence": {"type": "string", "pattern": "^[0-9]{20}$", "description": "per topic and stream, without a hole"},
            "stream": text("of the store that gave the sequence"),
            "data": data,
        },
        "required": ["specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "data"],
        "dependentRequired": {"sequence": ["stream"], "stream": ["sequence"]},
    })
}

fn members(specs: &[FieldSpec]) -> (Map<String, Value>, Vec<Value>) {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for spec in specs {
        let mut value = of(&spec.shape);
        if let Some(object) = value.as_object_mut() {
            object.insert("description".into(), spec.doc.into());
        }
        properties.insert(spec.name.into(), value);
        if spec.required {
            required.push(spec.name.into());
        }
    }
    (properties, required)
}

fn object(specs: &[FieldSpec]) -> Value {
    let (properties, required) = members(specs);
    let mut out = json!({"type": "object", "properties": properties});
    if let (false, Some(object)) = (required.is_empty(), out.as_object_mut()) {
        object.insert("required".into(), Value::Array(required));
    }
    out
}

/// Whole numbers beyond ±2^53 are text of their digits (interface 3).
fn number(kind: &str) -> Value {
    json!({"anyOf": [{"type": kind}, {"type": "string", "pattern": "^-?[0-9]{16,}$"}]})
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Number => number("number"),
        Shape::Integer => number("integer"),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Scalar => json!({"type": ["number", "string", "boolean"]}),
        Shape::Words(words) => json!({"enum": words}),
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Shape::Object(specs) => object(specs),
        Shape::List(specs) => json!({"type": "array", "items": object(specs)}),
        Shape::Map(inner) => json!({"type": "object", "additionalProperties": of(inner)}),
        Shape::Measure(uom) => {
            let mut out = object(MEASURE);
            if let Some(place) = out.pointer_mut("/properties/uom") {
                *place = json!({"const": uom, "description": "unit of measure, UCUM"});
            }
            out
        }
        Shape::Axis => {
            let mut out = object(AXIS);
            if let Some(place) = out.pointer_mut("/properties/values") {
                *place = json!({"type": "array", "items": number("number"), "description": "numbers, in order"});
            }
            out
        }
    }
}

fn unit() -> Value {
    json!({
        "type": "object",
        "description": "the production unit that it is about",
        "properties": {
            "id": {"type": "string", "minLength": 1, "description": "absent where unbound"},
            "state": {"enum": UnitState::WORDS, "description": "how sure it is"},
            "from": {"type": "string", "description": "who named it: mes, device, slot:…"},
            "since": {"type": "string", "format": "date-time", "description": "since when it is at the station"},
            "context": {"type": "object", "description": "what the MES said beside the id"},
            "others": {
                "type": "array",
                "description": "in a conflict: what other sources said",
                "items": {
                    "type": "object",
                    "properties": {"from": {"type": "string"}, "id": {"type": "string"}},
                    "required": ["from", "id"],
                },
            },
        },
        "required": ["state"],
        "if": {"properties": {"state": {"const": "unbound"}}},
        "else": {"required": ["id"]},
    })
}

fn times() -> Value {
    json!({
        "type": "object",
        "properties": {
            "observed": {"type": "string", "format": "date-time", "description": "when the gateway saw it"},
            "device": {"type": "string", "description": "when it was, as the device said it"},
            "offset_ms": {"type": "integer", "description": "the device's clock less the gateway's"},
            "basis": {"enum": TimeBasis::WORDS, "description": "what `time` rests on"},
            "not_before": {"type": "string", "format": "date-time", "description": "found after a time away: since when it may be"},
        },
        "required": ["observed", "basis"],
    })
}

fn origin() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "description": "who said it; may change with the device",
        "properties": {
            "gateway": text, "vendor": text, "model": text, "digest": text,
            "raw": {"type": "string", "description": "what stood on the wire"},
        },
        "required": ["gateway"],
    })
}
