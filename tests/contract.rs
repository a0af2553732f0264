//! Holds the contract against what was published: `tests/contract/<type>.schema.json`. A version only gains optional
//! fields, and enumerations never grow. After an additive change run `BLESS=1 cargo test --test contract`.

use lineside::contract::schema;
use lineside::model::EventType;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What a consumer of `old` could not rely on any more.
fn breaks(old: &Value, new: &Value, path: &str, out: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, before) in old {
                // Words about a field may be improved.
                if name == "description" && before.is_string() {
                    continue;
                }
                match new.get(name) {
                    Some(after) => breaks(before, after, &format!("{path}/{name}"), out),
                    None => out.push(format!("{path}/{name} is gone")),
                }
            }
            let optional_fields = path.ends_with("/properties");
            for name in new.keys().filter(|name| !old.contains_key(*name)) {
                if !optional_fields && name != "description" {
                    out.push(format!("{path}/{name} is new"));
                }
            }
        }
        (old, new) if old != new => out.push(format!("{path} was {old} and is {new}")),
        _ => {}
    }
}

#[test]
fn schemas_only_gain_optional_fields() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let bless = std::env::var_os("BLESS").is_some();
    for kind in EventType::ALL {
        let now = schema(*kind);
        let file = folder.join(format!("{kind}.schema.json"));
        let published = std::fs::read_to_string(&file)
            .ok()
            .map(|text| serde_json::from_str::<Value>(&text).unwrap());
        let mut broken = Vec::new();
        if let Some(published) = &published {
            breaks(published, &now, "", &mut broken);
        }
        assert!(
            broken.is_empty(),
            "{kind} breaks its consumers, make it v2: {broken:#?}"
        );
        if bless {
            std::fs::write(&file, format!("{now:#}\n")).unwrap();
        } else {
            let published = published.unwrap_or_else(|| panic!("{kind} was never published: run with BLESS=1"));
            assert_eq!(
                published, now,
                "{kind} gained something: run with BLESS=1 and commit it"
            );
        }
    }
}

#[test]
fn what_breaks_a_consumer_is_noticed() {
    let old = schema(EventType::Tightening);
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        assert_ne!(new, old);
        let mut out = Vec::new();
        breaks(&old, &new, "", &mut out);
        !out.is_empty()
    };
    let data = "/properties/data";
    assert!(broken(&|new| {
        new.pointer_mut(&format!("{data}/properties"))
            .unwrap()
            .as_object_mut()
            .unwrap()
            .shift_remove("joint");
    }));
    assert!(broken(
        &|new| new["properties"]["data"]["properties"]["result"]["enum"] = json!(["ok", "nok"])
    ));
    assert!(broken(&|new| {
        let words = new.pointer_mut(&format!("{data}/properties/result/enum")).unwrap();
        words.as_array_mut().unwrap().push("maybe".into());
    }));
    assert!(broken(&|new| new["properties"]["data"]["required"] = json!(["result"])));
    assert!(broken(&|new| {
        new.pointer_mut(&format!("{data}/required"))
            .unwrap()
            .as_array_mut()
            .unwrap()
            .push("joint".into());
    }));
    assert!(broken(
        &|new| new["properties"]["data"]["additionalProperties"] = json!(false)
    ));
    assert!(!broken(
        &|new| new["properties"]["data"]["properties"]["gloss"] = json!({"type": "string"})
    ));
    assert!(!broken(
        &|new| new["properties"]["data"]["properties"]["joint"]["description"] = json!("a joint")
    ));
}

#[test]
fn schemas_are_schemas() {
    for kind in EventType::ALL {
        let schema = schema(*kind);
        assert!(jsonschema::meta::is_valid(&schema), "{kind}");
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(!validator.is_valid(&json!({"specversion": "1.0"})), "{kind}");
    }
}
