//! What is said beside events: statuses, and what the MES tells the gateway. Owns their JSON Schemas, for the MES team.

use serde_json::{Map, Value, json};

/// One kind of message.
#[derive(Debug)]
pub struct Talk {
    /// Its name in the document: `slotStatus`.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// In a sentence.
    pub about: &'static str,
    /// JSON Schema of the payload.
    pub schema: Value,
    /// Payloads.
    pub examples: Vec<Value>,
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Talk> {
    vec![slot_status(), gateway_status(), unit(), response(), resend()]
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn count(about: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": about})
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn object(properties: Value, required: &[&str]) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties);
    schema.insert("required".into(), required.to_vec().into());
    Value::Object(schema)
}

fn slot_status() -> Talk {
    let properties = json!({
        "state": {"enum": ["online", "offline", "degraded"]},
        "since": time(),
        "reason": text("why it is not wholly well, in sentences; empty where it is"),
        "gateway": text("the gateway's id"),
        "session": text("new at each start of the gateway: a gateway that is offline takes the slots of its session with it"),
        "vendor": text("of the device profile"),
        "model": text("of the device profile"),
        "digest": text("of the device profile"),
        "last": {"type": "object", "additionalProperties": {"type": "integer"}, "description": "the last sequence that was given, by type"},
        "waiting": count("events that are not delivered yet"),
    });
    Talk {
        name: "slotStatus",
        title: "status of a slot",
        about: "Whether the device that fills the slot is reached.",
        schema: object(properties, &["state", "since", "gateway", "session", "last", "waiting"]),
        examples: vec![json!({
            "state": "online", "since": "2026-11-22T10:00:00Z", "reason": "", "gateway": "gw-body-07", "session": "k3v9x0a1b2c3",
            "vendor": "Example", "model": "T-100", "digest": "sha256:0f1e", "last": {"tightening": 42}, "waiting": 0,
        })],
    }
}

fn gateway_status() -> Talk {
    let properties = json!({
        "state": {"enum": ["online", "offline"]},
        "since": time(),
        "session": text("new at each start"),
        "version": text("of lineside"),
        "waiting": count("events that are not delivered yet, of all slots"),
        "stream": text("of the store: another one after its loss"),
    });
    Talk {
        name: "gatewayStatus",
        title: "status of the gateway",
        about: "Whether the gateway is there.",
        schema: object(properties, &["state", "since", "session", "version", "stream"]),
        examples: vec![json!({
            "state": "online", "since": "2026-11-22T10:00:00Z", "session": "k3v9x0a1b2c3", "version": "0.1.0", "waiting": 0,
            "stream": "m4t7",
        })],
    }
}

fn unit() -> Talk {
    let mut schema = object(
        json!({
            "id": {"type": "string", "minLength": 1, "description": "the production unit: VIN, serial number, carrier"},
            "entered": {"type": "string", "format": "date-time", "description": "when it came; without it the arrival of the message counts"},
        }),
        &["id"],
    );
    schema["additionalProperties"] =
        json!({"type": ["string", "number", "boolean"], "description": "goes into `data.unit.context` as it is"});
    schema["maxProperties"] = 18.into();
    Talk {
        name: "unit",
        title: "the unit at a station",
        about: "Which production unit is here now.",
        schema,
        examples: vec![json!({
            "id": "WVWZZZ1JZXW000001", "entered": "2026-11-22T10:15:00Z", "order": "WO-88", "operation": "OP-120",
        })],
    }
}

fn response() -> Talk {
    let properties = json!({
        "id": {"type": "string", "minLength": 1, "maxLength": 128, "description": "the `id` of an event that this slot sent and the gateway still holds"},
        "accepted": {"type": "boolean", "description": "false: rejected; true: accepted after all, which takes a rejection back"},
        "reason": text("why it was rejected, for the person who looks at it"),
    });
    Talk {
        name: "response",
        title: "response to an event",
        about: "The MES rejects an event, or accepts one that it had rejected.",
        schema: object(properties, &["id", "accepted"]),
        examples: vec![
            json!({"id": "6f1c0a52e4d84b0f9d7a1c3e5b7f9a01", "accepted": false, "reason": "no operation is open for this unit"}),
            json!({"id": "6f1c0a52e4d84b0f9d7a1c3e5b7f9a01", "accepted": true}),
        ],
    }
}

fn resend() -> Talk {
    let sequence = |about: &str| {
        json!({
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^0*[1-9][0-9]*$"}],
            "description": about,
        })
    };
    let mut schema = object(
        json!({
            "type": text("the type of events, the last word of their topic"),
            "from": sequence("the first sequence; without it the first that is held"),
            "to": sequence("the last sequence, itself included; without it the last that was delivered"),
        }),
        &["type"],
    );
    schema["additionalProperties"] = false.into();
    Talk {
        name: "resend",
        title: "wish for events again",
        about: "The MES asks for delivered events again, from what the gateway holds.",
        schema,
        examples: vec![
            json!({"type": "tightening", "from": 40, "to": 52}),
            json!({"type": "tightening"}),
        ],
    }
}
