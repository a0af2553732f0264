//! Ids: which physical result is which, how it is kept, and whether two that share an id are one.
//!
//! Decision where interface 5 is silent: events of one trigger that share the device's id values are told
//! apart by a contract field: alarms by code and active, measurements by name, curves by what is plotted and part.

use crate::model::commit::space;
use crate::model::event::{COMMON, EventType};
use crate::model::{Draft, Fields};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Longest encoded id values in a key; longer ones are hashed.
const LONGEST: usize = 256;
/// Leaves remembered of one event, 8 bytes each.
const MAX_LEAVES: usize = 400;

/// Lower-case hex of the first 16 bytes of SHA-256 over parts that cannot run into one another.
pub(super) fn event_id<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut out = String::with_capacity(32);
    for byte in hash.finalize().iter().take(16) {
        // Writing to a String does not fail.
        write!(out, "{byte:02x}").unwrap_or_default();
    }
    out
}

/// What makes this event this event, for the device and within its type; `None`: nothing does.
pub(super) fn values(draft: &Draft, kind: EventType, data: &Fields) -> Option<Vec<String>> {
    let mut values = draft.id.clone()?;
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    match kind {
        EventType::Alarm => values.extend([text(data.get("code")), text(data.get("active"))]),
        EventType::Measurement => values.push(text(data.get("name"))),
        EventType::Curve => {
            let name = data.get("y").and_then(|y| y.get("name"));
            values.extend([text(name), text(data.get("part"))]);
        }
        // Whatever else it would have been shares the topic; and another reading of it is another quarantine,
        // since what could not be read says nothing of ids that are used again.
        EventType::Quarantine => {
            values.push(draft.kind.word().to_owned());
            values.push(text(data.get("raw")));
        }
        _ => {}
    }
    Some(values)
}

fn short_hash(bytes: &[u8]) -> [u8; 8] {
    let digest = Sha256::digest(bytes);
    let mut out = [0; 8];
    for (to, from) in out.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    out
}

/// Key of a known id: topic, incarnation, values; whole numbers in their order, so that neighbours lie together.
pub(super) fn id_key(topic: &str, incarnation: &str, values: &[String]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for value in values {
        match value.parse::<i64>() {
            Ok(number) if number.to_string() == *value => {
                encoded.push(1);
                encoded.extend((number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
            }
            _ => {
                encoded.push(2);
                encoded.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
                encoded.extend(value.as_bytes());
            }
        }
    }
    let mut key = vec![space::ID];
    key.extend(short_hash(topic.as_bytes()));
    key.extend(incarnation.as_bytes());
    if encoded.len() > LONGEST {
        key.push(3);
        key.extend(Sha256::digest(&encoded));
    } else {
        key.extend(encoded);
    }
    key
}

/// Key that leads from a sequence to its id; sequence 0 holds how far ids were forgotten.
pub(super) fn order_key(topic: &str, sequence: u64) -> Vec<u8> {
    let mut key = vec![space::ORDER];
    key.extend(short_hash(topic.as_bytes()));
    key.extend(sequence.to_be_bytes());
    key
}

/// Process fields in 8 bytes each: name and value hashed.
pub(super) fn fingerprint(data: &Fields) -> Vec<u8> {
    let process = || data.iter().filter(|(name, _)| !COMMON.contains(&name.as_str()));
    let mut found = Vec::new();
    for (name, value) in process() {
        leaves(name, value, &mut found);
    }
    if found.len() > MAX_LEAVES {
        found = process()
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect();
    }
    let mut out = Vec::with_capacity(found.len() * 8);
    for (name, value) in found {
        let half = |text: &str| short_hash(text.as_bytes()).into_iter().take(4);
        out.extend(half(&name));
        out.extend(half(&value));
    }
    out
}

fn leaves(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                leaves(&format!("{path}\u{1f}{name}"), value, out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                leaves(&format!("{path}\u{1f}{index}"), value, out);
            }
        }
        leaf => out.push((path.to_owned(), leaf.to_string())),
    }
}

/// Whether all fields that both have are equal.
pub(super) fn same(known: &[u8], new: &[u8]) -> bool {
    let (known, _) = known.as_chunks::<8>();
    let (new, _) = new.as_chunks::<8>();
    let known: std::collections::HashMap<_, _> = known.iter().map(|leaf| leaf.split_at(4)).collect();
    new.iter().all(|leaf| {
        let (name, value) = leaf.split_at(4);
        known.get(name).is_none_or(|known| *known == value)
    })
}
