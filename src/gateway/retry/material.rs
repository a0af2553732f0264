//! What a quarantine was made of, as it is kept beside the event: so that today's profile can try again.
//!
//! Owns the record in the store: keys, pieces, and what of a sample is in it. What stood on the wire is in the event itself
//! (`data.raw`); here is what that does not say: which registers these are, what points said, which life of ids it was.

use crate::model::commit::space;
use crate::model::plan::{Address, SlotPlan, Table};
use crate::model::{Raw, Sample, StateChange};
use serde::{Deserialize, Serialize};

/// Bytes of one piece (`model::commit` allows 3,500).
const PIECE: usize = 3_400;
/// Pieces at most: what is longer (a curve of a quarantine) is not kept.
const PIECES: usize = 60;

/// What a sample was made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Material {
    /// Name of the event in the profile.
    pub(super) event: String,
    /// Which life of its ids the slot was in.
    pub(super) incarnation: String,
    /// Wall milliseconds since when it may have been so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<i64>,
    /// Nothing of it could be read but that it came.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) whole: bool,
    /// Which registers `data.raw` shows, in its order: table, first address, how many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) registers: Vec<(String, u16, u16)>,
    /// What points said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<Value>,
    /// What the trigger's points said before, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<(String, Raw)>,
    /// What the device itself says of the quality of points, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) quality: Vec<(String, String)>,
}

/// What one point said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Value {
    /// Name of the point.
    pub(super) point: String,
    /// Where it was, where that is a place of the device's own: a node, a field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
    /// What it said.
    pub(super) raw: Raw,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// What became of it, once it is solved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Solved {
    /// Id of the event that it is now.
    pub(super) by: String,
    /// That event's type.
    pub(super) kind: String,
    /// Wall milliseconds.
    pub(super) at: i64,
    /// The event had been there before.
    #[serde(default)]
    pub(super) duplicate: bool,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// It can be tried again.
    Material(Material),
    /// It was tried again and is an event.
    Solved(Vec<Solved>),
}

/// Where a record belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) pieces: u8,
    pub(super) sequence: u64,
    pub(super) wall: i64,
    pub(super) solved: bool,
    pub(super) topic: String,
}

/// Where a point is and how it is read, in words that stay the same in another profile of the same device: what has the same
/// ones has the same raw value.
pub(super) fn place(at: &Address) -> Option<String> {
    match at {
        Address::Modbus(at) => Some(format!(
            "{}:{} {:?} {:?} {:?} {:?}",
            at.table.word(),
            at.address,
            at.kind,
            at.order,
            at.bits,
            at.count
        )),
        Address::Opcua(at) => Some(format!("{at} {:?}", at.bits)),
        Address::Field(name) => Some(name.to_string()),
        Address::Frame(_) => None,
    }
}

impl Material {
    pub(super) fn of(sample: &Sample, incarnation: &str) -> Self {
        let plan = &sample.plan;
        let event = plan.events.get(sample.event);
        let points = || plan.points.iter().enumerate();
        let name = |point: usize| {
            plan.points
                .get(point)
                .map_or(String::new(), |point| point.name.to_string())
        };
        Self {
            event: event.map_or(String::new(), |event| event.name.to_string()),
            incarnation: incarnation.to_owned(),
            since: sample.since.map(|since| since.wall),
            whole: !sample.faults.is_empty() && sample.values.iter().all(Option::is_none),
            registers: registers(plan, sample.event),
            values: points()
                .filter_map(|(index, point)| {
                    Some(Value {
                        point: point.name.to_string(),
                        at: place(&point.at).filter(|at| **at != *point.name),
                        raw: sample.values.get(index)?.clone()?,
                    })
                })
                .collect(),
            before: points()
                .filter_map(|(index, point)| Some((point.name.to_string(), sample.before.get(index)?.clone()?)))
                .collect(),
            quality: sample
                .quality
                .iter()
                .map(|(point, word)| (name(*point), word.to_string()))
                .collect(),
        }
    }
}

/// Runs of registers in the order in which a driver shows them in `origin.raw`: by address, overlaps once.
fn registers(plan: &SlotPlan, event: usize) -> Vec<(String, u16, u16)> {
    let points = plan
        .events
        .get(event)
        .map(|event| event.points.as_slice())
        .unwrap_or_default();
    let mut parts: Vec<(Table, u16, u16)> = points
        .iter()
        .filter_map(|point| {
            let at = plan.points.get(*point)?.at.modbus()?;
            Some((at.table, at.address, crate::wire::modbus::span(at)))
        })
        .collect();
    parts.sort_unstable();
    let mut runs: Vec<(Table, u16, u16)> = Vec::new();
    for (table, address, count) in parts {
        let (from, end) = (u32::from(address), u32::from(address) + u32::from(count));
        match runs.last_mut() {
            Some((of, first, length)) if *of == table && from <= u32::from(*first) + u32::from(*length) => {
                let longest = end.max(u32::from(*first) + u32::from(*length)) - u32::from(*first);
                *length = u16::try_from(longest).unwrap_or(u16::MAX);
            }
            _ => runs.push((table, address, count)),
        }
    }
    runs.into_iter()
        .map(|(table, at, count)| (table.word().to_owned(), at, count))
        .collect()
}

fn key(id: &str, piece: u8) -> Vec<u8> {
    let mut key = vec![space::QUARANTINE, b'q'];
    key.extend_from_slice(id.as_bytes());
    key.push(piece);
    key
}

/// Id and piece of a key.
pub(super) fn parse_key(key: &[u8]) -> Option<(&str, u8)> {
    let (piece, id) = key.get(2..)?.split_last()?;
    Some((std::str::from_utf8(id).ok()?, *piece))
}

/// First bytes of all keys.
pub(super) const SPACE: [u8; 2] = [space::QUARANTINE, b'q'];

/// The changes that store a record of the quarantine `id`, and how many pieces it has; pieces of a longer one before
/// (`before` of them) go. `None`: it is too long to be kept.
pub(super) fn store(id: &str, record: &Record, head: &Head, before: u8) -> Option<(u8, Vec<StateChange>)> {
    let json = serde_json::to_vec(record).ok()?;
    let solved = u8::from(matches!(record, Record::Solved(_)));
    let title = |pieces: usize| format!("{pieces} {} {} {solved} {}\n", head.sequence, head.wall, head.topic);
    let length = title(PIECES).len() + json.len();
    let pieces = length.div_ceil(PIECE);
    if pieces > PIECES {
        return None;
    }
    let whole = [title(pieces).as_bytes(), &json].concat();
    let count = u8::try_from(whole.len().div_ceil(PIECE)).ok()?;
    // Padding by a blank, where the title was shorter than reckoned: JSON does not mind.
    let mut whole = whole;
    while whole.len().div_ceil(PIECE) < pieces {
        whole.push(b' ');
    }
    let count = count.max(u8::try_from(pieces).ok()?);
    let mut changes: Vec<StateChange> = (0..=u8::MAX)
        .zip(whole.chunks(PIECE))
        .map(|(piece, part)| StateChange {
            key: key(id, piece),
            value: Some(part.to_vec()),
        })
        .collect();
    changes.extend(remove(id, count, before));
    Some((count, changes))
}

/// The changes that remove pieces `from` up to `pieces` of them.
pub(super) fn remove(id: &str, from: u8, pieces: u8) -> impl Iterator<Item = StateChange> {
    (from..pieces).map(move |piece| StateChange {
        key: key(id, piece),
        value: None,
    })
}

/// The head of a first piece, and what stands behind it.
pub(super) fn parse_head(value: &[u8]) -> Option<(Head, &[u8])> {
    let end = value.iter().position(|byte| *byte == b'\n')?;
    let title = std::str::from_utf8(value.get(..end)?).ok()?;
    let mut words = title.splitn(5, ' ');
    let head = Head {
        pieces: words.next()?.parse().ok()?,
        sequence: words.next()?.parse().ok()?,
        wall: words.next()?.parse().ok()?,
        solved: words.next()? == "1",
        topic: words.next()?.to_owned(),
    };
    Some((head, value.get(end + 1..)?))
}

/// The record of `id`, piece by piece from `read`.
pub(super) fn load(id: &str, read: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Record> {
    let first = read(&key(id, 0))?;
    let (head, rest) = parse_head(&first)?;
    let mut json = rest.to_vec();
    for piece in 1..head.pieces {
        json.extend(read(&key(id, piece))?);
    }
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn material(points: usize) -> Record {
        Record::Material(Material {
            event: "tightening".into(),
            values: (0..points)
                .map(|number| Value {
                    point: format!("point_{number}"),
                    at: None,
                    raw: Raw::Text(format!("said {number}")),
                })
                .collect(),
            ..Material::default()
        })
    }

    fn head() -> Head {
        Head {
            pieces: 0,
            sequence: 42,
            wall: 1_795_342_503_000,
            solved: false,
            topic: "acme/s/a/l/st10/tool/quarantine".into(),
        }
    }

    #[test]
    fn a_record_of_any_size_comes_back_and_a_solved_one_leaves_no_piece() {
        let mut store_of = BTreeMap::new();
        let mut had = 0;
        for points in [0, 3, 62, 63, 64, 65, 66, 900, 2_000] {
            let record = material(points);
            let (pieces, changes) = store("abc", &record, &head(), had).unwrap();
            had = pieces;
            for change in changes {
                match change.value {
                    Some(value) => {
                        assert!(value.len() <= crate::outbox::MAX_STATE_VALUE);
                        store_of.insert(change.key, value);
                    }
                    None => drop(store_of.remove(&change.key)),
                }
            }
            assert_eq!(store_of.len(), usize::from(pieces));
            assert_eq!(
                load("abc", &|key| store_of.get(key).cloned()),
                Some(record),
                "{points} points"
            );
            let (read, _) = parse_head(&store_of[&key("abc", 0)]).unwrap();
            assert_eq!((read.pieces, read.sequence, read.topic), (pieces, 42, head().topic));
        }
        let solved = Record::Solved(vec![Solved {
            by: "def".into(),
            kind: "tightening".into(),
            at: 7,
            duplicate: false,
        }]);
        let (pieces, changes) = store("abc", &solved, &head(), had).unwrap();
        assert_eq!(pieces, 1);
        assert_eq!(
            changes.iter().filter(|change| change.value.is_none()).count(),
            usize::from(had) - 1
        );
        assert_eq!(store("abc", &material(100_000), &head(), 0), None, "too long");
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        assert_eq!(parse_head(b""), None);
        assert_eq!(parse_head(b"1 2 3\n{}"), None);
        assert_eq!(load("abc", &|_| Some(b"1 2 3 0 t\nnonsense".to_vec())), None);
        assert_eq!(load("abc", &|_| None), None);
        assert_eq!(parse_key(b"qqabc\x02"), Some(("abc", 2)));
        assert_eq!(parse_key(b"qq"), None);
    }
}
