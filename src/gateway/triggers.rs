//! How the states of triggers lie in the store: JSON, in pieces where a trigger looks at many points.
//!
//! Owns keys and pieces only. What a state means belongs to [`crate::watch`].

use crate::model::commit::space;
use crate::model::sample::TriggerState;
use crate::model::{SlotName, StateChange};
use std::collections::{BTreeMap, HashMap};

/// Bytes of one piece (`model::commit` allows 3,500).
const PIECE: usize = 3_400;
/// Pieces at most.
const PIECES: usize = 250;

/// States by slot and event.
pub(super) type States = HashMap<SlotName, HashMap<String, TriggerState>>;

/// Where a piece of a trigger's state is kept; the first has no number.
fn key(slot: &SlotName, event: &str, piece: usize) -> Vec<u8> {
    let mut key = vec![space::TRIGGER];
    key.extend_from_slice(format!("{slot}/{event}").as_bytes());
    if piece > 0 {
        key.extend([0, u8::try_from(piece).unwrap_or(u8::MAX)]);
    }
    key
}

/// Where the states of a slot's triggers are kept: what their keys begin with.
pub(super) fn prefix(slot: &SlotName) -> Vec<u8> {
    let mut prefix = vec![space::TRIGGER];
    prefix.extend_from_slice(format!("{slot}/").as_bytes());
    prefix
}

/// The changes that store a state. Of several pieces the first begins with their number, `#3 `, so that what is left
/// of a longer one means nothing.
pub(super) fn changes(slot: &SlotName, event: &str, state: &TriggerState) -> Vec<StateChange> {
    let Ok(mut value) = serde_json::to_vec(state) else {
        return Vec::new();
    };
    if value.len() > PIECE {
        let count = value.len().div_ceil(PIECE - 5);
        if count > PIECES {
            tracing::error!("{slot}: the trigger of `{event}` looks at too many points for its state to be kept");
            return Vec::new();
        }
        value = [format!("#{count:<3} ").as_bytes(), &value].concat();
    }
    let pieces = value.chunks(PIECE).enumerate();
    pieces
        .map(|(piece, part)| StateChange {
            key: key(slot, event, piece),
            value: Some(part.to_vec()),
        })
        .collect()
}

/// Puts together what a scan of [`space::TRIGGER`] shows.
#[derive(Debug, Default)]
pub(super) struct Found(BTreeMap<String, BTreeMap<u8, Vec<u8>>>);

impl Found {
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) {
        let name = key.get(1..).unwrap_or_default();
        let (name, piece) = match name {
            [name @ .., 0, piece] => (name, *piece),
            name => (name, 0),
        };
        if let Ok(name) = std::str::from_utf8(name) {
            self.0.entry(name.to_owned()).or_default().insert(piece, value.to_vec());
        }
    }

    /// The states of `slots`. What cannot be read is as if it was never stored.
    pub(super) fn states(self, slots: &[SlotName]) -> States {
        let mut states = States::new();
        for (name, pieces) in self.0 {
            let known = name.split_once('/').and_then(|(slot, event)| {
                let slot = slots.iter().find(|known| known.to_string() == slot)?;
                Some((slot.clone(), event.to_owned()))
            });
            if let (Some((slot, event)), Some(state)) = (known, whole(&pieces)) {
                states.entry(slot).or_default().insert(event, state);
            }
        }
        states
    }
}

fn whole(pieces: &BTreeMap<u8, Vec<u8>>) -> Option<TriggerState> {
    let first = pieces.get(&0)?;
    if first.first() != Some(&b'#') {
        return serde_json::from_slice(first).ok();
    }
    let (head, rest) = first.split_at_checked(5)?;
    let count: u8 = std::str::from_utf8(head.get(1..)?).ok()?.trim().parse().ok()?;
    let mut value = rest.to_vec();
    for piece in 1..count {
        value.extend_from_slice(pieces.get(&piece)?);
    }
    serde_json::from_slice(&value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Raw;

    fn state(points: usize) -> TriggerState {
        TriggerState {
            fingerprint: "f".to_owned(),
            last: (0..points)
                .map(|n| Some(Raw::Text(format!("value number {n}"))))
                .collect(),
            taken: None,
            owed: None,
            mark: None,
        }
    }

    #[test]
    fn a_state_of_any_size_comes_back_and_leaves_nothing_of_a_longer_one() {
        let slot = SlotName::new("st10", "a");
        let mut store = BTreeMap::new();
        for points in [0, 1_000, 3, 400, 5_000, 130] {
            let state = state(points);
            for change in changes(&slot, "readings", &state) {
                let value = change.value.unwrap();
                assert!(value.len() <= crate::outbox::MAX_STATE_VALUE);
                store.insert(change.key, value);
            }
            let mut found = Found::default();
            for (key, value) in &store {
                found.take(key, value);
            }
            let states = found.states(std::slice::from_ref(&slot));
            assert_eq!(states[&slot]["readings"], state, "{points} points");
        }
    }

    #[test]
    fn pieces_that_are_missing_are_no_state() {
        let slot = SlotName::new("st10", "a");
        let mut found = Found::default();
        for change in changes(&slot, "readings", &state(1_000)).into_iter().skip(1) {
            found.take(&change.key, &change.value.unwrap());
        }
        found.take(b"tst10.a/other", b"#9   {");
        found.take(b"tst10.a/third", b"#");
        assert!(found.states(&[slot]).is_empty());
    }
}
