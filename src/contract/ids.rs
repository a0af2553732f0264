//! Ids: of events, and how known ones are remembered. Owns their encodings; keeps nothing.

use crate::model::Fields;
use crate::model::commit::space;
use crate::model::value::hex;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Longer encoded ids are remembered by their digest.
const LONGEST: usize = 320;
/// Bytes of one remembered field: a digest of its path, a digest of its value.
const FIELD: usize = 12;
/// Fields that are remembered of one event at most.
const FIELDS: usize = 250;

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length, so that no two lists of parts are the same bytes.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn short<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let whole = digest(parts);
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(whole) {
        *to = from;
    }
    out
}

/// The id of an event that its device identifies: the same for the same result, always.
pub(super) fn event_id(source: &str, kind: &str, incarnation: &str, values: &[String]) -> String {
    let mut parts = vec![source.as_bytes(), kind.as_bytes(), incarnation.as_bytes()];
    parts.extend(values.iter().map(String::as_bytes));
    hex(&short::<16>(&parts))
}

/// The id of an event that happens once: of what makes it unique.
pub(super) fn once(parts: &[&str]) -> String {
    hex(&short::<16>(
        &parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>(),
    ))
}

fn topic_digest(topic: &str) -> [u8; 8] {
    short(&[topic.as_bytes()])
}

/// Where an id is remembered. Whole numbers keep their order, so that neighbours in time are neighbours in the store.
pub(super) fn key(topic: &str, incarnation: &str, values: &[String]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for value in values {
        match value.parse::<u64>() {
            Ok(number) if number.to_string() == *value => {
                encoded.push(1);
                encoded.extend_from_slice(&number.to_be_bytes());
            }
            _ => {
                encoded.push(2);
                encoded.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
                encoded.extend_from_slice(value.as_bytes());
            }
        }
    }
    if encoded.len() > LONGEST {
        let short = digest(&[&encoded]);
        encoded.clear();
        encoded.push(3);
        encoded.extend_from_slice(&short);
    }
    let mut key = vec![space::ID];
    key.extend_from_slice(&topic_digest(topic));
    key.extend_from_slice(&short::<8>(&[incarnation.as_bytes()]));
    key.extend_from_slice(&encoded);
    key
}

/// Where the id of an event is found by its number.
pub(super) fn order(topic: &str, sequence: u64) -> Vec<u8> {
    let mut key = mark(topic);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Where it stands up to which number ids are forgotten.
pub(super) fn mark(topic: &str) -> Vec<u8> {
    let mut key = vec![space::ORDER];
    key.extend_from_slice(&topic_digest(topic));
    key
}

/// What is remembered of an event's process fields: a digest of each, so that those that both have can be compared.
pub(super) fn fields(data: &Fields) -> Vec<u8> {
    let mut leaves = Vec::new();
    for (name, value) in data {
        collect(name, value, &mut leaves);
    }
    leaves.sort_unstable();
    leaves.truncate(FIELDS);
    leaves.concat()
}

fn collect(path: &str, value: &Value, leaves: &mut Vec<[u8; FIELD]>) {
    if let Value::Object(members) = value {
        for (name, value) in members {
            collect(&format!("{path}.{name}"), value, leaves);
        }
        return;
    }
    let mut leaf = [0; FIELD];
    let path = short::<4>(&[path.as_bytes()]);
    let said = short::<8>(&[value.to_string().as_bytes()]);
    for (to, from) in leaf.iter_mut().zip(path.into_iter().chain(said)) {
        *to = from;
    }
    leaves.push(leaf);
}

/// Whether two events agree in all fields that both have.
pub(super) fn same(known: &[u8], new: &[u8]) -> bool {
    let split = |leaf: &[u8]| Some((leaf.get(..4)?.to_vec(), leaf.get(4..)?.to_vec()));
    let known: std::collections::HashMap<_, _> = known.chunks_exact(FIELD).filter_map(split).collect();
    new.chunks_exact(FIELD)
        .filter_map(split)
        .all(|(path, value)| known.get(&path).is_none_or(|known| *known == value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: &Value) -> Vec<u8> {
        fields(value.as_object().unwrap())
    }

    #[test]
    fn ids_are_of_all_their_parts() {
        let values = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect::<Vec<_>>();
        let id = event_id("/a/st10/s", "tightening", "1", &values(&["7", "8"]));
        assert_eq!(id.len(), 32);
        assert_eq!(id, event_id("/a/st10/s", "tightening", "1", &values(&["7", "8"])));
        assert_ne!(id, event_id("/a/st10/s", "tightening", "1", &values(&["78"])));
        assert_ne!(id, event_id("/a/st10/s", "tightening", "2", &values(&["7", "8"])));
        assert_ne!(key("t", "1", &values(&["7", "8"])), key("t", "1", &values(&["78"])));
        assert_ne!(key("t", "1", &values(&["07"])), key("t", "1", &values(&["7"])));
    }

    #[test]
    fn whole_numbers_are_remembered_in_order() {
        let at = |number: u64| key("t", "1", &[number.to_string()]);
        assert!(at(9) < at(10) && at(255) < at(256) && at(65_535) < at(1 << 40));
    }

    #[test]
    fn only_fields_that_both_have_are_compared() {
        let old = of(&json!({"result": "ok", "torque": {"value": 1.5, "uom": "N.m"}}));
        assert!(same(
            &old,
            &of(&json!({"torque": {"value": 1.5, "uom": "N.m", "min": 1}, "result": "ok", "angle": {"value": 3}}))
        ));
        assert!(!same(
            &old,
            &of(&json!({"result": "ok", "torque": {"value": 1.6, "uom": "N.m"}}))
        ));
        assert!(same(&old, &of(&json!({"result": "ok"}))));
    }

    proptest::proptest! {
        #[test]
        fn keys_are_short_whatever_the_id(values in proptest::collection::vec(".{0,400}", 0..6)) {
            proptest::prop_assert!(key("t", "1", &values).len() <= 512);
        }
    }
}
