//! Salvage: what can still be read of a store that sled cannot open. Owns a raw search of its file for frames,
//! which carry their own keys and checksums; it asks sled nothing and changes nothing.
//!
//! A frame that sled has long replaced may be found too: an event that was delivered and removed may come back.
//! Events keep their ids, so a receiver drops what it has had.

use super::frame::{EVENT, POINTER, TOPIC, decode_head, frame_start, parse_event_key, parse_frame, parse_topic_key};
use super::index::parse_pointer;
use super::types::{OutboxError, Stored};
use crate::model::Moment;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// Bytes read at a time.
const WINDOW: usize = 4 << 20;
/// No frame is longer.
const LONGEST: usize = 8 << 10;

/// An event that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// Its topic; `None` where the name was not found.
    pub topic: Option<Arc<str>>,
    /// The event. `stored_at.tick` is 0.
    pub event: Stored,
    /// Whether it had been delivered, refused or dropped, as far as was found.
    pub settled: bool,
}

/// Shows every whole event found in the store directory `dir` (a `store.damaged-<n>`, or one that is not in use), in
/// the order of topic and sequence. Returns how many events were found of which a part is missing.
/// Needs some 60 bytes of memory a record.
pub fn salvage(dir: &Path, each: &mut dyn FnMut(Salvaged)) -> Result<u64, OutboxError> {
    let read = |error| OutboxError::io("read the store's file", error);
    let file = File::open(dir.join("db")).map_err(read)?;
    let mut topics: HashMap<u32, Arc<str>> = HashMap::new();
    let mut settled: HashMap<u32, u64> = HashMap::new();
    let mut places: BTreeMap<(u32, u64), BTreeMap<u16, u64>> = BTreeMap::new();
    search(&file, &mut |offset, key, payload| match key.first() {
        Some(&TOPIC) => {
            if let (Some(id), Ok(name)) = (parse_topic_key(key), std::str::from_utf8(payload)) {
                topics.insert(id, name.into());
            }
        }
        Some(&POINTER) => {
            if let (Some(id), Some((delivered, _))) = (parse_topic_key(key), parse_pointer(payload)) {
                let known = settled.entry(id).or_default();
                *known = delivered.max(*known);
            }
        }
        Some(&EVENT) => {
            if let Some((id, sequence, part)) = parse_event_key(key) {
                places.entry((id, sequence)).or_default().insert(part, offset);
            }
        }
        _ => {}
    })
    .map_err(read)?;
    let mut broken = 0;
    for ((id, sequence), parts) in places {
        match assemble(&file, sequence, &parts).map_err(read)? {
            Some(event) => each(Salvaged {
                topic: topics.get(&id).cloned(),
                event,
                settled: settled.get(&id).is_some_and(|delivered| sequence <= *delivered),
            }),
            None => broken += 1,
        }
    }
    Ok(broken)
}

/// Takes place, key and payload of a frame.
type Found<'a> = dyn FnMut(u64, &[u8], &[u8]) + 'a;

/// Shows place, key and payload of every whole frame.
fn search(file: &File, found: &mut Found<'_>) -> std::io::Result<()> {
    let mut buffer = vec![0; WINDOW + LONGEST];
    let mut start = 0u64;
    loop {
        let filled = fill(file, &mut buffer, start)?;
        let bytes = buffer.get(..filled).unwrap_or_default();
        let mut at = 0;
        while at < filled.min(WINDOW) {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(skip) = rest.windows(4).position(|window| window == frame_start()) else {
                break;
            };
            at += skip;
            let rest = bytes.get(at..).unwrap_or_default();
            if at >= WINDOW {
                break;
            }
            match parse_frame(rest, None) {
                Some((key, payload, length)) => {
                    found(start + at as u64, key, payload);
                    at += length;
                }
                None => at += 1,
            }
        }
        if filled < buffer.len() {
            return Ok(());
        }
        start += WINDOW as u64;
    }
}

fn fill(file: &File, buffer: &mut [u8], start: u64) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, start + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn assemble(file: &File, sequence: u64, parts: &BTreeMap<u16, u64>) -> std::io::Result<Option<Stored>> {
    let mut buffer = vec![0; LONGEST];
    let mut stored: Option<(Stored, u32)> = None;
    for ((part, offset), expected) in parts.iter().zip(0u16..) {
        if *part != expected {
            return Ok(None);
        }
        let filled = fill(file, &mut buffer, *offset)?;
        let Some((_, payload, _)) = parse_frame(buffer.get(..filled).unwrap_or_default(), None) else {
            return Ok(None);
        };
        if let Some((event, _)) = &mut stored {
            event.body.extend_from_slice(payload);
            continue;
        }
        let Some((head, inline)) = decode_head(payload) else {
            return Ok(None);
        };
        let event = Stored {
            sequence,
            id: head.id,
            kind: head.kind,
            slot: head.slot,
            body: inline.to_vec(),
            stored_at: Moment::new(head.wall, 0),
        };
        stored = Some((event, head.length));
    }
    Ok(stored.and_then(|(event, length)| (event.body.len() == length as usize).then_some(event)))
}
