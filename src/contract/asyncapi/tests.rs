use super::*;
use std::collections::BTreeSet;

fn plant() -> Plant {
    Plant {
        topic_prefix: "plant/a".into(),
        enterprise: "acme".into(),
        site: "leipzig".into(),
        area: "body".into(),
        line: "line-3".into(),
    }
}

fn document() -> Value {
    let (tool, press) = (SlotName::new("st10", "spindle-1"), SlotName::new("st10", "press"));
    let plant = plant();
    asyncapi(&Described {
        gateway: "gw",
        plant: &plant,
        broker: Broker {
            host: "broker:8883".into(),
            tls: true,
            version: "5",
            client_id: "gw",
            user: true,
            certificate: false,
        },
        stations: vec!["st10"],
        slots: vec![
            SlotDescribed {
                name: &tool,
                delivers: vec![EventType::Tightening, EventType::Alarm],
                requires: vec!["torque.min"],
                values: vec![],
            },
            SlotDescribed {
                name: &press,
                delivers: vec![EventType::Measurement],
                requires: vec![],
                values: vec![("press_force", "N".into())],
            },
        ],
    })
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(to) if name == "$ref" => drop(found.insert(to)),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn each_address_has_one_channel_and_one_operation_the_right_way_round() {
    let document = document();
    let channels = document["channels"].as_object().unwrap();
    let base = "plant/a/acme/leipzig/body/line-3/st10";
    let way = |id: &str, action: &str| {
        let operation = &document["operations"][format!("{action}.{id}")];
        assert_eq!(operation["action"], action, "{id}");
        assert_eq!(operation["channel"]["$ref"], format!("#/channels/{id}"));
        (
            channels[id]["address"].as_str().unwrap().to_owned(),
            operation["bindings"]["mqtt"]["retain"].clone(),
        )
    };
    assert_eq!(
        way("st10.spindle-1.tightening", "send"),
        (format!("{base}/spindle-1/tightening"), false.into())
    );
    for always in ["alarm", "quarantine", "gap", "change"] {
        assert_eq!(
            way(&format!("st10.press.{always}"), "send").0,
            format!("{base}/press/{always}")
        );
    }
    assert_eq!(way("st10.spindle-1.status", "send").1, true);
    assert_eq!(
        way("gateway.status", "send").0,
        "plant/a/acme/leipzig/lineside/gw/status"
    );
    assert_eq!(way("st10.unit", "receive"), (format!("{base}/unit"), true.into()));
    assert_eq!(
        way("st10.spindle-1.response", "receive").0,
        format!("{base}/spindle-1/response")
    );
    assert_eq!(way("st10.spindle-1.resend", "receive").1, false);
    assert_eq!(document["operations"].as_object().unwrap().len(), channels.len());
    let addresses: BTreeSet<&str> = channels
        .values()
        .map(|channel| channel["address"].as_str().unwrap())
        .collect();
    assert_eq!(addresses.len(), channels.len(), "no address twice");
    assert_eq!(
        channels["st10.press.measurement"]["x-lineside-values"]["press_force"],
        "N"
    );
    assert_eq!(document["servers"]["broker"]["protocol"], "secure-mqtt");
}

#[test]
fn every_reference_leads_somewhere_and_no_schema_is_unused() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
    for kind in ["schemas", "messages"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(found.contains(reference.as_str()), "{reference} is never used");
        }
    }
}

#[test]
fn examples_fit_their_schemas() {
    for said in talk::all() {
        let validator = jsonschema::validator_for(&said.schema).unwrap();
        assert!(!said.examples.is_empty());
        for example in &said.examples {
            assert!(validator.is_valid(example), "{}: {example}", said.name);
        }
        assert!(!validator.is_valid(&json!("nonsense")), "{}", said.name);
    }
}

#[test]
fn what_is_embedded_says_the_same_as_the_schema_file() {
    for kind in EventType::ALL {
        let whole = jsonschema::validator_for(&schema(*kind)).unwrap();
        let mut inside = embedded(schema(*kind));
        inside["$schema"] = "http://json-schema.org/draft-07/schema#".into();
        let inside = jsonschema::validator_for(&inside).unwrap();
        let half = json!({"sequence": "00000000000000000001"});
        let event = json!({
            "specversion": "1.0", "id": "a", "source": "/a", "type": kind.cloud_event_type(), "time": "2026-11-22T10:15:00Z",
            "datacontenttype": "application/json", "dataschema": format!("urn:lineside:{kind}:1"),
            "sequence": "00000000000000000001", "data": {},
        });
        for value in [half, event] {
            assert_eq!(whole.is_valid(&value), inside.is_valid(&value), "{kind}");
        }
    }
}
