//! The AsyncAPI 3 document of one gateway: every address on which it speaks or listens, for this configuration.
//!
//! Owns the document's shape. What an event looks like is [`super::schema`], what else is said [`super::talk`]. The
//! application that the document describes is the gateway: it *sends* events and statuses, and *receives* units,
//! responses and resends; an MES does the opposite.

use super::{schema, talk};
use crate::model::{EventType, Plant, SlotName};
use serde_json::{Map, Value, json};

/// Of the MQTT bindings that are used.
const BINDING: &str = "0.2.0";
/// Content type of events.
const CLOUD_EVENT: &str = "application/cloudevents+json; charset=utf-8";

/// What the document is made of.
#[derive(Debug)]
pub struct Described<'a> {
    /// The gateway's id.
    pub gateway: &'a str,
    /// The plant.
    pub plant: &'a Plant,
    /// The broker.
    pub broker: Broker<'a>,
    /// Stations at which the MES may say which unit is there.
    pub stations: Vec<&'a str>,
    /// Slots that are in use.
    pub slots: Vec<SlotDescribed<'a>>,
}

/// The broker, and how the gateway connects to it.
#[derive(Debug)]
pub struct Broker<'a> {
    /// `host:port`.
    pub host: String,
    /// Encrypted.
    pub tls: bool,
    /// `5` or `3.1.1`.
    pub version: &'a str,
    /// The gateway's client id.
    pub client_id: &'a str,
    /// It logs in with a user name.
    pub user: bool,
    /// It shows a certificate.
    pub certificate: bool,
}

/// One slot.
#[derive(Debug)]
pub struct SlotDescribed<'a> {
    /// Which.
    pub name: &'a SlotName,
    /// Types that it delivers.
    pub delivers: Vec<EventType>,
    /// What it gives beyond the types' own, dotted.
    pub requires: Vec<&'a str>,
    /// Names and uoms of its measurements and readings.
    pub values: Vec<(&'a str, String)>,
}

/// Types that every slot may send, whatever it delivers.
const ALWAYS: [EventType; 4] = [
    EventType::Alarm,
    EventType::Quarantine,
    EventType::Gap,
    EventType::Change,
];

/// One channel with its one operation.
struct Channel {
    id: String,
    address: String,
    title: String,
    about: String,
    message: String,
    /// `send` or `receive`, as the gateway sees it.
    action: &'static str,
    retain: bool,
    more: Map<String, Value>,
}

/// The document.
#[must_use]
pub fn asyncapi(of: &Described<'_>) -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for channel in all(of) {
        let path = format!("#/channels/{}", channel.id);
        let mut said = json!({
            "address": channel.address, "title": channel.title, "description": channel.about,
            "messages": {&channel.message: {"$ref": format!("#/components/messages/{}", channel.message)}},
            "servers": [{"$ref": "#/servers/broker"}],
        });
        if let Some(said) = said.as_object_mut() {
            said.extend(channel.more);
        }
        channels.insert(channel.id.clone(), said);
        operations.insert(
            format!("{}.{}", channel.action, channel.id),
            json!({
                "action": channel.action, "title": channel.title, "summary": first_sentence(&channel.about),
                "channel": {"$ref": path},
                "messages": [{"$ref": format!("{path}/messages/{}", channel.message)}],
                "bindings": {"mqtt": {"qos": 1, "retain": channel.retain, "bindingVersion": BINDING}},
            }),
        );
    }
    let line = of.plant.slot_topic(&SlotName::new("{station}", "{slot}"), "{type}");
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": format!("lineside gateway {}", of.gateway),
            "version": "1.0.0",
            "description": format!(
                "What the gateway `{}` sends to the MES and what it listens to, on `{line}` and beside it. Written by \
                 `lineside contract` for one configuration: `send` is what the gateway sends and an MES subscribes to, \
                 `receive` is what an MES publishes. Which device fills a slot is nowhere in it, and changes nothing of it. \
                 Keep the highest `sequence` for each topic and `stream`, drop what is not above it, and drop an `id` that you \
                 have processed; ignore members that you do not know.",
                of.gateway
            ),
        },
        "defaultContentType": "application/json",
        "servers": {"broker": server(of)},
        "channels": channels,
        "operations": operations,
        "components": components(of),
    })
}

fn first_sentence(text: &str) -> &str {
    text.split_inclusive(". ").next().unwrap_or(text).trim()
}

fn server(of: &Described<'_>) -> Value {
    let broker = &of.broker;
    let mut server = json!({
        "host": broker.host,
        "protocol": if broker.tls { "secure-mqtt" } else { "mqtt" },
        "protocolVersion": broker.version,
        "description": "the broker between the gateway and the MES",
        "bindings": {"mqtt": {
            "clientId": broker.client_id, "cleanSession": true, "keepAlive": 5, "bindingVersion": BINDING,
            "lastWill": {
                "topic": of.plant.gateway_status_topic(of.gateway), "qos": 1, "retain": true,
                "message": "the gateway's status with the state offline",
            },
        }},
    });
    let mut security: Vec<Value> = Vec::new();
    for (used, name) in [(broker.user, "user"), (broker.certificate, "certificate")] {
        if used {
            security.push(json!({"$ref": format!("#/components/securitySchemes/{name}")}));
        }
    }
    if let (Some(server), false) = (server.as_object_mut(), security.is_empty()) {
        server.insert("security".into(), security.into());
    }
    server
}

/// Every address, in the order of gateway.toml.
fn all(of: &Described<'_>) -> Vec<Channel> {
    let gateway = of.gateway;
    let mut all = vec![Channel {
        id: "gateway.status".to_owned(),
        address: of.plant.gateway_status_topic(gateway),
        title: format!("status of the gateway {gateway}"),
        about: "Whether the gateway is there. Retained; offline by last will, and then so are all slots whose status names \
                the same `session`."
            .to_owned(),
        message: "gatewayStatus".to_owned(),
        action: "send",
        retain: true,
        more: Map::new(),
    }];
    for station in &of.stations {
        all.push(Channel {
            id: format!("{station}.unit"),
            address: of.plant.unit_topic(station),
            title: format!("the unit at {station}"),
            about: "The MES says which production unit is at the station. Retained, so that a gateway that starts knows it; \
                    an empty retained payload says that the unit left."
                .to_owned(),
            message: "unit".to_owned(),
            action: "receive",
            retain: true,
            more: Map::new(),
        });
    }
    for slot in &of.slots {
        slot_channels(of, slot, &mut all);
    }
    all
}

fn slot_channels(of: &Described<'_>, slot: &SlotDescribed<'_>, all: &mut Vec<Channel>) {
    let name = slot.name;
    let always = ALWAYS.into_iter().filter(|kind| !slot.delivers.contains(kind));
    for kind in slot.delivers.iter().copied().chain(always) {
        let mut more = Map::new();
        let mut about = about(kind).to_owned();
        if slot.delivers.contains(&kind) && !ALWAYS.contains(&kind) {
            if !slot.requires.is_empty() {
                about = format!(
                    "{about} Of this slot also these are always there: {}.",
                    slot.requires.join(", ")
                );
                more.insert("x-lineside-requires".into(), slot.requires.clone().into());
            }
            if !slot.values.is_empty() && matches!(kind, EventType::Measurement | EventType::Readings) {
                let values: Map<String, Value> = slot
                    .values
                    .iter()
                    .map(|(name, uom)| ((*name).to_owned(), uom.clone().into()))
                    .collect();
                let named: Vec<String> = slot
                    .values
                    .iter()
                    .map(|(name, uom)| format!("{name} in {uom}"))
                    .collect();
                about = format!("{about} Names and units of measure: {}.", named.join(", "));
                more.insert("x-lineside-values".into(), values.into());
            }
        }
        all.push(Channel {
            id: format!("{name}.{kind}"),
            address: of.plant.slot_topic(name, kind.word()),
            title: format!("{kind} of {name}"),
            about,
            message: kind.word().to_owned(),
            action: "send",
            retain: false,
            more,
        });
    }
    let beside = [
        (
            "status",
            "slotStatus",
            "send",
            true,
            "Whether the slot's device is reached, and what waits. Retained; an empty payload: the slot was configured away.",
        ),
        (
            "response",
            "response",
            "receive",
            false,
            "The MES may reject an event, or accept it after all. The event stays what it is; the rejection is kept beside it, alarmed, and shown in the slot's status until somebody has looked.",
        ),
        (
            "resend",
            "resend",
            "receive",
            false,
            "The MES asks for delivered events again. They come with the same bytes, id and sequence among them, on their own topic; what is no longer held is named by an alarm `resend_incomplete`. Never retained.",
        ),
    ];
    for (last, message, action, retain, about) in beside {
        all.push(Channel {
            id: format!("{name}.{last}"),
            address: of.plant.slot_topic(name, last),
            title: format!("{last} of {name}"),
            about: about.to_owned(),
            message: message.to_owned(),
            action,
            retain,
            more: Map::new(),
        });
    }
}

/// What a type is, in the words of who consumes it.
fn about(kind: EventType) -> &'static str {
    match kind {
        EventType::Tightening => "One tightening of one joint, with the tool's own verdict.",
        EventType::Measurement => "One measured value with its verdict: a press force, a leak rate, a weight.",
        EventType::Identification => "A code that was read: a unit, a part, a badge.",
        EventType::State => "What a machine is doing.",
        EventType::Alarm => {
            "Something came or went that a person should know. Category `gateway`: said by the gateway itself, \
             of links, refused messages, rejections."
        }
        EventType::Cycle => "A machine cycle began, ended, or was counted.",
        EventType::Curve => "A curve that belongs to the tightening with the same `result_id`.",
        EventType::Readings => {
            "Many values of one device at one time. Without `sequence` where only the newest is sent: such a one may be missing."
        }
        EventType::Quarantine => {
            "What the device said and no event could be made of, with the reasons and the raw data. Once its profile is mended \
             it may be tried again, and then comes as an event of its type with `backfill`."
        }
        EventType::Gap => {
            "What is known to be missing of this slot: of which type, behind which, before which, and why."
        }
        EventType::Change => "The slot's device file was replaced: what was there and what is there now.",
    }
}

fn components(of: &Described<'_>) -> Value {
    let mut schemas = Map::new();
    let mut messages = Map::new();
    let mut used: Vec<EventType> = ALWAYS.to_vec();
    used.extend(of.slots.iter().flat_map(|slot| slot.delivers.iter().copied()));
    for kind in EventType::ALL.iter().filter(|kind| used.contains(kind)) {
        schemas.insert(kind.word().into(), embedded(schema(*kind)));
        messages.insert(
            kind.word().into(),
            json!({
                "name": kind.cloud_event_type(), "title": kind.cloud_event_type(), "summary": first_sentence(about(*kind)),
                "description": format!(
                    "A CloudEvent 1.0 in structured JSON. The same schema stands in `{kind}.schema.json`."
                ),
                "contentType": CLOUD_EVENT,
                "payload": {"$ref": format!("#/components/schemas/{kind}")},
                "bindings": {"mqtt": {"contentType": CLOUD_EVENT, "bindingVersion": BINDING}},
            }),
        );
    }
    for said in talk::all() {
        schemas.insert(said.name.into(), said.schema);
        messages.insert(
            said.name.into(),
            json!({
                "name": said.name, "title": said.title, "summary": said.about, "contentType": "application/json",
                "payload": {"$ref": format!("#/components/schemas/{}", said.name)},
                "examples": said.examples.into_iter().map(|payload| json!({"payload": payload})).collect::<Vec<_>>(),
            }),
        );
    }
    let mut components = json!({"schemas": schemas, "messages": messages});
    let mut security = Map::new();
    if of.broker.user {
        let about = "each client has a user of its own; docs/broker-security.md says what it may read and write";
        security.insert("user".into(), json!({"type": "userPassword", "description": about}));
    }
    if of.broker.certificate {
        security.insert(
            "certificate".into(),
            json!({"type": "X509", "description": "a client certificate"}),
        );
    }
    if let (Some(components), false) = (components.as_object_mut(), security.is_empty()) {
        components.insert("securitySchemes".into(), security.into());
    }
    components
}

/// A schema inside the document: AsyncAPI's own dialect, a superset of JSON Schema draft 7.
fn embedded(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        for name in ["$schema", "$id"] {
            schema.shift_remove(name);
        }
        if let Some(dependent) = schema.shift_remove("dependentRequired") {
            schema.insert("dependencies".into(), dependent);
        }
    }
    schema
}

#[cfg(test)]
mod tests;
