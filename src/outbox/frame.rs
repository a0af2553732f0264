//! Keys and frames: how a record lies in the store. Owns the key spaces, the checksummed frame and
//! the parts of an event. Does no I/O.
//!
//! A frame is `"lsF"`, version, CRC32, key length, payload length, key, payload. The CRC covers version,
//! key and payload, so a value under another key is as bad as a flipped bit. Frames of events, topics and
//! pointers carry their key with them: [`super::salvage`](fn@super::salvage) finds them in a file that sled cannot open.

use crate::model::{EventType, Sealed, SlotName};

/// Format version and stream.
pub(super) const META: u8 = 1;
/// Topic names by number.
pub(super) const TOPIC: u8 = 2;
/// How far each topic is delivered.
pub(super) const POINTER: u8 = 3;
/// Events by topic, sequence, part.
pub(super) const EVENT: u8 = 4;
/// Events that the broker refused for good, in the order of their refusal.
pub(super) const REJECTED: u8 = 5;
/// What the rooms above keep.
pub(super) const STATE: u8 = 6;

/// Version of the frame.
const FRAME: u8 = 1;
const MAGIC: [u8; 3] = *b"lsF";
/// Bytes of a frame before its key.
pub(super) const FRAME_HEAD: usize = 12;
/// Payload bytes of one part: with frame and key the value stays under 4 KiB (`reference/store.md`, term 4).
pub(super) const PART: usize = 3_500;
/// Bytes of the longest event.
pub const MAX_EVENT: usize = 8 * 1024 * 1024;
/// Bytes of the longest id of an event.
pub const MAX_ID: usize = 512;
/// Bytes of the longest state key.
pub const MAX_STATE_KEY: usize = 512;
/// Bytes of the longest state value.
pub const MAX_STATE_VALUE: usize = 3_500;

/// Length of an event's key.
pub(super) const EVENT_KEY: usize = 15;

pub(super) fn meta_key(name: &str) -> Vec<u8> {
    let mut key = vec![META];
    key.extend_from_slice(name.as_bytes());
    key
}

pub(super) fn topic_key(space: u8, topic: u32) -> [u8; 5] {
    let mut key = [space; 5];
    key[1..].copy_from_slice(&topic.to_be_bytes());
    key
}

pub(super) fn parse_topic_key(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

pub(super) fn event_key(topic: u32, sequence: u64, part: u16) -> [u8; EVENT_KEY] {
    let mut key = [EVENT; EVENT_KEY];
    key[1..5].copy_from_slice(&topic.to_be_bytes());
    key[5..13].copy_from_slice(&sequence.to_be_bytes());
    key[13..].copy_from_slice(&part.to_be_bytes());
    key
}

pub(super) fn parse_event_key(key: &[u8]) -> Option<(u32, u64, u16)> {
    if key.len() != EVENT_KEY || key.first() != Some(&EVENT) {
        return None;
    }
    let mut rest = Reader(key.get(1..)?);
    Some((rest.u32()?, rest.u64()?, rest.u16()?))
}

pub(super) fn rejected_key(order: u64, part: u16) -> [u8; 11] {
    let mut key = [REJECTED; 11];
    key[1..9].copy_from_slice(&order.to_be_bytes());
    key[9..].copy_from_slice(&part.to_be_bytes());
    key
}

pub(super) fn parse_rejected_key(key: &[u8]) -> Option<(u64, u16)> {
    let mut rest = Reader(key.get(1..)?);
    Some((rest.u64()?, rest.u16()?))
}

pub(super) fn state_key(key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(STATE);
    full.extend_from_slice(key);
    full
}

/// Whether frames under this key carry the key with them.
fn carries_key(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(EVENT | TOPIC | POINTER)))
}

fn checksum(version: u8, key: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize()
}

/// The value to store under `key`.
pub(super) fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let carried = if carries_key(key) { key } else { &[] };
    let mut value = Vec::with_capacity(FRAME_HEAD + carried.len() + payload.len());
    value.extend_from_slice(&MAGIC);
    value.push(FRAME);
    value.extend_from_slice(&checksum(FRAME, key, payload).to_be_bytes());
    value.extend_from_slice(&u16::try_from(carried.len()).unwrap_or(u16::MAX).to_be_bytes());
    value.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
    value.extend_from_slice(carried);
    value.extend_from_slice(payload);
    value
}

/// The payload under `key`; `None` where the frame is damaged or belongs to another key.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (carried, payload, length) = parse_frame(value, Some(key))?;
    let fits = length == value.len() && (carried == key || (carried.is_empty() && !carries_key(key)));
    fits.then_some(payload)
}

/// A frame at the start of `bytes`: its key as carried, payload, and length. `key` is what the CRC is
/// held against; without one, what is carried.
pub(super) fn parse_frame<'a>(bytes: &'a [u8], key: Option<&[u8]>) -> Option<(&'a [u8], &'a [u8], usize)> {
    let mut rest = Reader(bytes);
    if rest.take(3)? != MAGIC || rest.u8()? != FRAME {
        return None;
    }
    let crc = rest.u32()?;
    let key_length = usize::from(rest.u16()?);
    let length = usize::from(rest.u16()?);
    let carried = rest.take(key_length)?;
    let payload = rest.take(length)?;
    let whole = FRAME_HEAD + key_length + length;
    (checksum(FRAME, key.unwrap_or(carried), payload) == crc).then_some((carried, payload, whole))
}

/// The bytes with which every frame begins, for a raw search.
pub(super) const fn frame_start() -> [u8; 4] {
    [MAGIC[0], MAGIC[1], MAGIC[2], FRAME]
}

/// What part 0 of an event says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) parts: u16,
    pub(super) length: u32,
    pub(super) wall: i64,
    /// Milliseconds of powered-on time at which it was stored.
    pub(super) powered: u64,
    pub(super) kind: EventType,
    pub(super) slot: SlotName,
    pub(super) id: String,
}

/// The records of an event, keys ascending. The caller has checked [`MAX_EVENT`] and [`MAX_ID`].
pub(super) fn encode_event(event: &Sealed, topic: u32, wall: i64, powered: u64) -> Vec<([u8; EVENT_KEY], Vec<u8>)> {
    let mut head = Vec::with_capacity(PART);
    // Room for the number of parts, known below.
    head.extend_from_slice(&[0, 0]);
    head.extend_from_slice(&u32::try_from(event.body.len()).unwrap_or(u32::MAX).to_be_bytes());
    head.extend_from_slice(&wall.to_be_bytes());
    head.extend_from_slice(&powered.to_be_bytes());
    for text in [event.kind.word(), &event.slot.station, &event.slot.slot, &event.id] {
        head.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        head.extend_from_slice(text.as_bytes());
    }
    let first = PART.saturating_sub(head.len()).min(event.body.len());
    let (inline, rest) = event.body.split_at(first);
    head.extend_from_slice(inline);
    let chunks = rest.chunks(PART);
    let parts = u16::try_from(chunks.len() + 1).unwrap_or(u16::MAX);
    if let Some(slot) = head.get_mut(..2) {
        slot.copy_from_slice(&parts.to_be_bytes());
    }
    let mut records = Vec::with_capacity(usize::from(parts));
    let key = event_key(topic, event.sequence, 0);
    records.push((key, seal(&key, &head)));
    for (part, chunk) in (1..parts).zip(chunks) {
        let key = event_key(topic, event.sequence, part);
        records.push((key, seal(&key, chunk)));
    }
    records
}

/// Head and first bytes of the body of part 0's payload.
pub(super) fn decode_head(payload: &[u8]) -> Option<(Head, &[u8])> {
    let mut rest = Reader(payload);
    let parts = rest.u16()?;
    let length = rest.u32()?;
    let wall = rest.u64()?.cast_signed();
    let powered = rest.u64()?;
    let kind = EventType::of(rest.text()?)?;
    let slot = SlotName::new(rest.text()?, rest.text()?);
    let id = rest.text()?.to_owned();
    let head = Head {
        parts,
        length,
        wall,
        powered,
        kind,
        slot,
        id,
    };
    Some((head, rest.0))
}

/// Takes bytes off the front; `None` where there are too few.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.u16()?);
        std::str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(body: Vec<u8>) -> Sealed {
        Sealed {
            topic: "a/b".into(),
            sequence: 7,
            id: "0123456789abcdef".into(),
            slot: SlotName::new("st10", "spindle-1"),
            kind: EventType::Tightening,
            body,
        }
    }

    #[test]
    fn a_frame_of_another_key_is_refused() {
        let key = event_key(1, 2, 0);
        let value = seal(&key, b"payload");
        assert_eq!(unseal(&key, &value), Some(&b"payload"[..]));
        assert_eq!(unseal(&event_key(1, 3, 0), &value), None);
        let state = state_key(b"tx");
        let value = seal(&state, b"payload");
        assert_eq!(unseal(&state, &value), Some(&b"payload"[..]));
        assert_eq!(unseal(&state_key(b"ty"), &value), None);
    }

    #[test]
    fn every_single_bit_flip_is_noticed() {
        let key = event_key(3, 9, 1);
        let value = seal(&key, b"some payload");
        for bit in 0..value.len() * 8 {
            let mut bad = value.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&key, &bad), None, "bit {bit}");
        }
        for length in 0..value.len() {
            assert_eq!(unseal(&key, &value[..length]), None, "cut at {length}");
        }
    }

    proptest! {
        #[test]
        fn an_event_of_any_size_comes_back(length in 0usize..20_000, wall: i64, powered: u64) {
            let body: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let event = event(body);
            let records = encode_event(&event, 5, wall, powered);
            let payload = unseal(&records[0].0, &records[0].1).unwrap();
            let (head, inline) = decode_head(payload).unwrap();
            prop_assert_eq!(usize::from(head.parts), records.len());
            prop_assert_eq!((head.wall, head.powered, &head.slot), (wall, powered, &event.slot));
            let mut body = inline.to_vec();
            for (n, (key, value)) in records.iter().enumerate() {
                prop_assert!(value.len() < 4096);
                prop_assert_eq!(parse_event_key(key), Some((5, 7, u16::try_from(n).unwrap())));
                if n > 0 {
                    body.extend_from_slice(unseal(key, value).unwrap());
                }
            }
            prop_assert_eq!(body, event.body);
        }

        #[test]
        fn any_bytes_decode_to_something_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            // Random bytes are no frame; the others take what they find, without a panic.
            prop_assert!(parse_frame(&bytes, None).is_none());
            let found = (decode_head(&bytes), parse_event_key(&bytes), parse_rejected_key(&bytes), parse_topic_key(&bytes));
            prop_assert!(found.1.is_none() || bytes.len() == EVENT_KEY);
        }
    }
}
