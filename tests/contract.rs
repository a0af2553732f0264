//! Holds the contract against what was released: `tests/contract/v1/` is what consumers were built against, and never
//! changes; `tests/contract/<type>.schema.json` is what the last commit said. A version only gains optional members and
//! documentation. After such a change run `BLESS=1 cargo test --test contract`; what breaks a consumer cannot be blessed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "contract/compat.rs"]
mod compat;

use compat::breaks;
use lineside::contract::{schema, talk};
use lineside::model::{EventType, Plant, SlotName};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/contract")
}

fn read(file: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// What is said now, by the name of its file: events, and what is said beside them.
fn today() -> Vec<(String, Value)> {
    let events = EventType::ALL.iter().map(|kind| (kind.to_string(), schema(*kind)));
    let beside = talk::all()
        .into_iter()
        .map(|said| (format!("talk-{}", said.name), said.schema));
    events.chain(beside).collect()
}

/// Topics of one plant, as interface 4 has them.
fn topics() -> Value {
    let plant = |prefix: &str| Plant {
        topic_prefix: prefix.to_owned(),
        enterprise: "acme".into(),
        site: "leipzig".into(),
        area: "body".into(),
        line: "line-3".into(),
    };
    let slot = SlotName::new("st10", "spindle-1");
    let mut all = Map::new();
    for (name, plant) in [("", plant("")), ("prefixed ", plant("plant/a"))] {
        let words = EventType::WORDS.iter().chain(&["status", "response", "resend"]);
        for word in words {
            all.insert(format!("{name}{word}"), plant.slot_topic(&slot, word).into());
        }
        all.insert(format!("{name}unit"), plant.unit_topic("st10").into());
        all.insert(
            format!("{name}gateway"),
            plant.gateway_status_topic("gw-body-07").into(),
        );
    }
    all.insert("source".into(), plant("plant/a").source(&slot).into());
    all.into()
}

#[test]
fn nobody_who_was_built_against_the_release_notices_anything() {
    let released = folder().join("v1");
    let today = today();
    let mut broken = Vec::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(&released).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".schema.json") else {
            continue;
        };
        seen += 1;
        let old = read(&path).unwrap();
        match today.iter().find(|(known, _)| known == name) {
            Some((_, new)) => broken.extend(breaks(&old, new).into_iter().map(|what| format!("{name}: {what}"))),
            None => broken.push(format!("{name} is gone: its consumers wait for ever")),
        }
    }
    assert!(seen >= 16, "only {seen} schemas of the release");
    let old = read(&released.join("topics.json")).unwrap();
    let new = topics();
    for (name, before) in old.as_object().unwrap() {
        if new.get(name) != Some(before) {
            broken.push(format!(
                "{name}: its topic was {before} and is {}: a consumer is subscribed to nothing",
                new[name]
            ));
        }
    }
    assert!(
        broken.is_empty(),
        "this breaks consumers, make it v2 beside v1:\n{}",
        broken.join("\n")
    );
}

#[test]
fn schemas_are_those_that_were_committed() {
    let bless = std::env::var_os("BLESS").is_some();
    for (name, now) in today() {
        let file = folder().join(format!("{name}.schema.json"));
        let published = read(&file);
        if let Some(published) = &published {
            let broken = breaks(published, &now);
            assert!(
                broken.is_empty(),
                "{name} breaks its consumers, make it v2: {broken:#?}"
            );
        }
        if bless {
            std::fs::write(&file, format!("{now:#}\n")).unwrap();
        } else {
            let published = published.unwrap_or_else(|| panic!("{name} was never published: run with BLESS=1"));
            assert_eq!(
                published, now,
                "{name} gained something: run with BLESS=1 and commit it"
            );
        }
    }
}

/// What a consumer notices where the schema of a tightening is changed so.
fn noticed(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let old = schema(EventType::Tightening);
    let mut new = old.clone();
    change(&mut new);
    assert_ne!(new, old, "nothing was changed");
    breaks(&old, &new)
}

fn data(schema: &mut Value) -> &mut Map<String, Value> {
    schema["properties"]["data"]["properties"].as_object_mut().unwrap()
}

#[test]
fn what_breaks_a_consumer_is_said_in_a_sentence() {
    let one = |what: Vec<String>, says: &[&str]| {
        assert_eq!(what.len(), 1, "{what:#?}");
        for part in says {
            assert!(what[0].contains(part), "`{}` does not say `{part}`", what[0]);
        }
    };
    one(
        noticed(|new| drop(data(new).shift_remove("joint"))),
        &["`data.joint` is gone"],
    );
    let renamed = noticed(|new| {
        let joint = data(new).shift_remove("joint").unwrap();
        data(new).insert("joint_number".into(), joint);
    });
    one(renamed, &["`data.joint` is gone", "called `joint_number`"]);
    one(
        noticed(|new| data(new)["joint"]["type"] = "number".into()),
        &["`data.joint` was \"string\" and is \"number\""],
    );
    one(
        noticed(|new| data(new)["result"]["enum"].as_array_mut().unwrap().push("maybe".into())),
        &["`data.result` may say \"maybe\"", "never grow"],
    );
    one(
        noticed(|new| drop(data(new)["result"]["enum"].as_array_mut().unwrap().pop())),
        &["`data.result` never says \"not_judged\""],
    );
    one(
        noticed(|new| data(new)["torque"]["properties"]["uom"]["const"] = "[ft_i].[lbf_av]".into()),
        &["`data.torque.uom` was \"N.m\"", "wrong unit of measure"],
    );
    one(
        noticed(|new| {
            new["properties"]["data"]["required"]
                .as_array_mut()
                .unwrap()
                .push("joint".into());
        }),
        &["`data.joint` has become required"],
    );
    one(
        noticed(|new| {
            new["properties"]["data"]["required"]
                .as_array_mut()
                .unwrap()
                .retain(|name| name != "result");
        }),
        &["`data.result` need not be there any more"],
    );
    let new_and_required = noticed(|new| {
        data(new).insert("gloss".into(), json!({"type": "string"}));
        new["properties"]["data"]["required"]
            .as_array_mut()
            .unwrap()
            .push("gloss".into());
    });
    assert!(
        new_and_required
            .iter()
            .any(|what| what.contains("`data.gloss` is new and required")),
        "{new_and_required:#?}"
    );
    one(
        noticed(|new| new["properties"]["sequence"]["pattern"] = "^[0-9]{10}$".into()),
        &["`sequence`", "pattern"],
    );
    one(
        noticed(|new| new["properties"]["source"]["minLength"] = 3.into()),
        &["`source`", "minLength"],
    );
    one(
        noticed(|new| new["$id"] = "urn:lineside:tightening:2".into()),
        &["$id", "make it v2"],
    );
    one(
        noticed(|new| new["properties"]["dataschema"]["const"] = "urn:lineside:tightening:2".into()),
        &["`dataschema` was always"],
    );
    one(
        noticed(|new| new["properties"]["data"]["additionalProperties"] = false.into()),
        &["forbidden"],
    );
    one(
        noticed(|new| new["dependentRequired"] = json!({})),
        &["dependentRequired"],
    );
    one(
        noticed(|new| data(new)["errors"]["items"]["properties"]["code"]["type"] = "boolean".into()),
        &["`data.errors[].code`"],
    );
    one(
        noticed(|new| {
            data(new)["unit"]["properties"]["state"]["enum"]
                .as_array_mut()
                .unwrap()
                .push("lost".into());
        }),
        &["`data.unit.state` may say \"lost\""],
    );
}

#[test]
fn what_a_version_may_gain_breaks_nobody() {
    assert_eq!(
        noticed(|new| drop(data(new).insert("gloss".into(), json!({"type": "string"})))),
        Vec::<String>::new()
    );
    assert_eq!(
        noticed(|new| data(new)["joint"]["description"] = "which joint".into()),
        Vec::<String>::new()
    );
    let inner = noticed(|new| {
        let tool = data(new)["tool"]["properties"].as_object_mut().unwrap();
        tool.insert("cell".into(), json!({"type": "string"}));
    });
    assert_eq!(inner, Vec::<String>::new());
}

#[test]
fn schemas_are_schemas() {
    for (name, schema) in today() {
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(!validator.is_valid(&json!({"specversion": "1.0"})), "{name}");
    }
}
