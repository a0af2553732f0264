//! How what is usual lies in the store: small values, each under the slot and its part. Owns their keys and their bounds.

use crate::model::commit::space;
use crate::model::{SlotName, StateChange};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a value and of a key, at most ([`StateChange`]).
const VALUE: usize = 3_500;
const KEY: usize = 512;

/// What a value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Identity, facts, clock, what is told.
    Device,
    /// Names of fields.
    Names,
    /// Beat and ids of an event.
    Course,
    /// Fields of a program.
    Seen,
    /// A reading.
    Span,
    /// A value of a program.
    Level,
}

impl Part {
    const ALL: [(Self, u8); 6] = [
        (Self::Device, b'd'),
        (Self::Names, b'n'),
        (Self::Course, b'c'),
        (Self::Seen, b'f'),
        (Self::Span, b'r'),
        (Self::Level, b'l'),
    ];

    fn letter(self) -> u8 {
        Self::ALL
            .iter()
            .find(|(part, _)| *part == self)
            .map_or(b'?', |(_, letter)| *letter)
    }
}

fn key(slot: &SlotName, part: Part, which: &str) -> Vec<u8> {
    let mut key = vec![space::DRIFT];
    key.extend_from_slice(slot.to_string().as_bytes());
    key.push(b'/');
    key.push(part.letter());
    key.extend_from_slice(which.as_bytes());
    key
}

/// To be stored; `None` where it is too large, which no part is by its own bounds.
pub(super) fn kept(slot: &SlotName, part: Part, which: &str, value: &impl Serialize) -> Option<StateChange> {
    let key = key(slot, part, which);
    let value = serde_json::to_vec(value).ok()?;
    (key.len() <= KEY && value.len() <= VALUE).then_some(StateChange {
        key,
        value: Some(value),
    })
}

/// To be removed.
pub(super) fn gone(slot: &SlotName, part: Part, which: &str) -> StateChange {
    StateChange {
        key: key(slot, part, which),
        value: None,
    }
}

/// Slot, part and which, of a key in the store.
pub(super) fn taken(key: &[u8]) -> Option<(SlotName, Part, &str)> {
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    let (slot, rest) = text.split_once('/')?;
    let (station, name) = slot.split_once('.')?;
    let letter = *rest.as_bytes().first()?;
    let (part, _) = Part::ALL.iter().find(|(_, known)| *known == letter)?;
    Some((SlotName::new(station, name), *part, rest.get(1..)?))
}

/// What was stored; what cannot be read is learned anew.
pub(super) fn read<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}
