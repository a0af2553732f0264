//! JSON Schemas of events, written from the table of fields: what the MES team builds against.
//!
//! Objects are open: a version only gains optional fields and consumers ignore what they do not know. Enumerations
//! are closed.

use crate::model::EventType;
use crate::model::event::{AXIS, FieldSpec, MEASURE, Shape, TimeBasis, UnitState};
use serde_json::{Map, Value, json};

/// The schema of a whole event of `kind`, draft 2020-12.
#[must_use]
pub fn schema(kind: EventType) -> Value {
    let stored = json!({
        "sequence": {"type": "string", "pattern": "^[0-9]{20}$", "description": "number on this topic, from 1, without a hole; absent where only the newest is sent"},
        "stream": {"type": "string", "minLength": 1, "description": "made with the gateway's store: another one after its loss"},
    });
    let mut properties = json!({
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "description": "the same physical result always has the same id"},
        "source": {"type": "string", "pattern": "^/"},
        "type": {"const": kind.cloud_event_type()},
        "subject": {"type": "string", "minLength": 1, "description": "the unit's id; absent where none is known"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": format!("urn:lineside:{kind}:1")},
        "data": data(kind),
    });
    let mut required = vec![
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "datacontenttype",
        "dataschema",
        "data",
    ];
    if let (Some(properties), Value::Object(stored)) = (properties.as_object_mut(), stored) {
        properties.extend(stored);
    }
    if kind != EventType::Readings {
        required.extend(["sequence", "stream"]);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:lineside:{kind}:1"),
        "title": kind.cloud_event_type(),
        "type": "object",
        "properties": properties,
        "required": required,
        "dependentRequired": {"sequence": ["stream"], "stream": ["sequence"]},
    })
}

fn data(kind: EventType) -> Value {
    let (mut properties, mut required) = members(kind.fields());
    properties.insert("unit".into(), unit());
    properties.insert("times".into(), times());
    properties.insert(
        "backfill".into(),
        json!({"const": true, "description": "fetched later, not seen live"}),
    );
    properties.insert(
        "extra".into(),
        json!({"type": "object", "description": "beside the contract: may change with the device"}),
    );
    properties.insert("origin".into(), origin());
    for name in ["unit", "times", "origin"] {
        required.push(name.into());
    }
    json!({"type": "object", "properties": properties, "required": required})
}

fn members(specs: &[FieldSpec]) -> (Map<String, Value>, Vec<Value>) {
    let property = |spec: &FieldSpec| {
        let mut schema = shape(&spec.shape);
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".into(), spec.doc.into());
        }
        (spec.name.to_owned(), schema)
    };
    let required = specs
        .iter()
        .filter(|spec| spec.required)
        .map(|spec| spec.name.into())
        .collect();
    (specs.iter().map(property).collect(), required)
}

fn object(specs: &[FieldSpec]) -> Value {
    let (properties, required) = members(specs);
    let mut schema = json!({"type": "object", "properties": properties});
    if let (Some(schema), false) = (schema.as_object_mut(), required.is_empty()) {
        schema.insert("required".into(), required.into());
    }
    schema
}

/// A number; a whole one beyond ±2^53 is a string.
fn number() -> Value {
    json!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^-?[1-9][0-9]{15,}$"}]})
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Measure(uom) => {
            let mut schema = object(MEASURE);
            if let Some(said) = schema.pointer_mut("/properties/uom") {
                *said = json!({"const": uom, "description": "unit of measure, UCUM"});
            }
            schema
        }
        Shape::Object(specs) => object(specs),
        Shape::Words(words) => json!({"enum": words}),
        Shape::Text => json!({"type": "string"}),
        Shape::Number => number(),
        Shape::Integer => json!({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^-?[1-9][0-9]{15,}$"}]}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::List(specs) => json!({"type": "array", "items": object(specs)}),
        Shape::Map(inner) => json!({"type": "object", "additionalProperties": self::shape(inner)}),
        Shape::Scalar => json!({"type": ["number", "string", "boolean"]}),
        Shape::Axis => {
            let mut schema = object(AXIS);
            if let Some(values) = schema.pointer_mut("/properties/values") {
                *values = json!({"type": "array", "items": number(), "description": "numbers, in order"});
            }
            schema
        }
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
    }
}

fn unit() -> Value {
    let known = json!({"not": {"properties": {"state": {"const": UnitState::Unbound.word()}}}});
    json!({
        "type": "object",
        "description": "the production unit that it belongs to, and how sure that is",
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "state": {"enum": UnitState::WORDS},
            "from": {"type": "string", "description": "mes, device, or slot:<slot>"},
            "since": {"type": "string", "format": "date-time"},
            "context": {"type": "object", "description": "as the MES gave it"},
            "others": {"type": "array", "items": {"type": "object"}, "description": "what other sources say, in a conflict"},
        },
        "required": ["state"],
        "if": known,
        "then": {"required": ["id"]},
        "else": {"not": {"required": ["id"]}},
    })
}

fn times() -> Value {
    let time = json!({"type": "string", "format": "date-time"});
    json!({
        "type": "object",
        "properties": {
            "observed": time, "not_before": time,
            "device": {"type": "string", "description": "as the device said it"},
            "offset_ms": {"type": "integer", "description": "the device's time less the gateway's"},
            "basis": {"enum": TimeBasis::WORDS},
        },
        "required": ["observed", "basis"],
    })
}

fn origin() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "description": "who said it and how: may change with the device",
        "properties": {"gateway": text, "vendor": text, "model": text, "serial": text, "digest": text, "raw": text},
        "required": ["gateway"],
    })
}
