//! What is known of every topic without asking the store: numbers, counts, bytes. Owns the scan at opening that
//! counts them and the record in which a topic's pointer is kept. Memory is a few words a topic, never an event.

use super::OutboxError;
use super::frame::{
    self, EVENT, POINTER, REJECTED, Reader, STATE, TOPIC, parse_event_key, parse_rejected_key, parse_topic_key, seal,
    topic_key, unseal,
};
use super::lease::Leases;
use super::store::{Change, Store};
use super::types::Tally;
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// Where and when the first event of a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    pub(super) sequence: u64,
    pub(super) wall: i64,
    pub(super) powered: u64,
}

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) id: u32,
    pub(super) name: Arc<str>,
    pub(super) delivered: u64,
    /// The next sequence to give.
    pub(super) next: u64,
    /// The first sequence that is not known to be durable: nobody may read it yet.
    pub(super) sealed: u64,
    pub(super) waiting: Tally,
    pub(super) sent: Tally,
    pub(super) rejected: u64,
    pub(super) dropped: u64,
    /// Sent events up to here are surely gone.
    pub(super) trimmed: u64,
    /// Whether the pointer record is older than this.
    pub(super) dirty: bool,
    /// The first that waits, as last looked up.
    pub(super) head: Cell<Option<First>>,
    /// The first that is kept as sent, as last looked up.
    pub(super) tail: Cell<Option<First>>,
}

impl Topic {
    pub(super) fn new(id: u32, name: Arc<str>) -> Self {
        Self {
            id,
            name,
            delivered: 0,
            next: 1,
            sealed: 1,
            waiting: Tally::default(),
            sent: Tally::default(),
            rejected: 0,
            dropped: 0,
            trimmed: 0,
            dirty: false,
            head: Cell::new(None),
            tail: Cell::new(None),
        }
    }

    /// The records that name it and say how far it is.
    pub(super) fn name_record(&self) -> Change {
        let key = topic_key(TOPIC, self.id);
        (key.to_vec(), Some(seal(&key, self.name.as_bytes())))
    }

    pub(super) fn pointer_record(&self) -> Change {
        let key = topic_key(POINTER, self.id);
        let payload: Vec<u8> = [self.delivered, self.next, self.rejected, self.dropped]
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
        (key.to_vec(), Some(seal(&key, &payload)))
    }

    fn take_pointer(&mut self, payload: &[u8]) -> Option<()> {
        let mut words = Reader(payload);
        self.delivered = words.u64()?;
        self.next = words.u64()?.max(self.delivered.saturating_add(1));
        self.rejected = words.u64()?;
        self.dropped = words.u64()?;
        Some(())
    }
}

/// Delivered pointer and next number of a pointer record.
pub(super) fn parse_pointer(payload: &[u8]) -> Option<(u64, u64)> {
    let mut words = Reader(payload);
    Some((words.u64()?, words.u64()?))
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) topics: Vec<Topic>,
    by_name: HashMap<Arc<str>, usize>,
    by_id: HashMap<u32, usize>,
    pub(super) rejected: Tally,
    /// Place of the next event to be rejected.
    pub(super) next_rejected: u64,
    pub(super) state_bytes: u64,
    /// Powered-on milliseconds of the newest record.
    pub(super) powered: u64,
    pub(super) damaged: u64,
}

/// Name of the record that keeps powered-on time.
pub(super) const POWERED: &str = "powered";

pub(super) fn record_bytes(key: &[u8], value: &[u8]) -> u64 {
    u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX)
}

impl Index {
    pub(super) fn find(&self, name: &str) -> Option<&Topic> {
        self.topics.get(*self.by_name.get(name)?)
    }

    pub(super) fn find_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.topics.get_mut(*self.by_name.get(name)?)
    }

    pub(super) fn insert(&mut self, topic: Topic) {
        let place = self.topics.len();
        self.by_name.insert(topic.name.clone(), place);
        self.by_id.insert(topic.id, place);
        self.topics.push(topic);
    }

    /// A number that no topic has.
    pub(super) fn free_id(&self) -> u32 {
        self.topics.iter().map(|topic| topic.id).max().unwrap_or(0) + 1
    }

    fn of_id(&mut self, id: u32) -> Option<&mut Topic> {
        self.topics.get_mut(*self.by_id.get(&id)?)
    }

    /// Waiting, over all topics.
    pub(super) fn waiting(&self) -> Tally {
        sum(self.topics.iter().map(|topic| topic.waiting))
    }

    /// Kept as sent, over all topics.
    pub(super) fn sent(&self) -> Tally {
        sum(self.topics.iter().map(|topic| topic.sent))
    }

    /// Bytes of all records.
    pub(super) fn live_bytes(&self) -> u64 {
        self.waiting().bytes + self.sent().bytes + self.rejected.bytes + self.state_bytes
    }

    /// Counts what is in the store. One pass over it; every checksum is looked at.
    pub(super) fn scan(store: &Store, leases: &Leases, notes: &mut Vec<String>) -> Result<Self, OutboxError> {
        let mut index = Self::default();
        index.scan_topics(store, leases, notes)?;
        let mut strangers = 0u64;
        store.range(Bound::Included(&[EVENT]), Bound::Unbounded, &mut |key, value| {
            let bytes = record_bytes(key, value);
            let payload = unseal(key, value);
            if payload.is_none() {
                index.damaged += 1;
            }
            match key.first() {
                Some(&EVENT) => {
                    let times = payload.filter(|_| key.ends_with(&[0, 0])).and_then(peek_times);
                    if let Some((_, powered)) = times {
                        index.powered = index.powered.max(powered);
                    }
                    if index.count_event(key, bytes).is_none() {
                        strangers += 1;
                    }
                }
                Some(&REJECTED) => {
                    if let Some((order, part)) = parse_rejected_key(key) {
                        index.rejected.add(Tally {
                            events: u64::from(part == 0),
                            bytes,
                        });
                        index.next_rejected = order + 1;
                    }
                }
                Some(&STATE) => index.state_bytes += bytes,
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        let key = frame::meta_key(POWERED);
        if let Some(value) = store.get(&key)?
            && let Some(powered) = unseal(&key, &value).and_then(|payload| Reader(payload).u64())
        {
            index.powered = index.powered.max(powered);
        }
        index.hold_against(store, leases, notes);
        for topic in &mut index.topics {
            topic.sealed = topic.next;
        }
        if strangers > 0 {
            notes.push(format!(
                "{strangers} records belong to topics whose names are lost; `lineside outbox salvage` shows them"
            ));
        }
        if index.damaged > 0 {
            notes.push(format!("{} records fail their checksum", index.damaged));
        }
        Ok(index)
    }

    fn scan_topics(&mut self, store: &Store, leases: &Leases, notes: &mut Vec<String>) -> Result<(), OutboxError> {
        let mut damaged = 0;
        store.prefix(&[TOPIC], &mut |key, value| {
            let name = unseal(key, value).and_then(|payload| std::str::from_utf8(payload).ok());
            match (parse_topic_key(key), name) {
                (Some(id), Some(name)) => self.insert(Topic::new(id, name.into())),
                _ => damaged += 1,
            }
            ControlFlow::Continue(())
        })?;
        for (name, lease) in &leases.topics {
            let known = self.by_name.contains_key(name) || self.by_id.contains_key(&lease.id);
            if leases.stream == store.stream && lease.floor > 1 && !known {
                notes.push(format!("the name of {name} was damaged and is taken from the leases"));
                let mut topic = Topic::new(lease.id, name.clone());
                topic.dirty = true;
                self.insert(topic);
            }
        }
        store.prefix(&[POINTER], &mut |key, value| {
            if let Some(id) = parse_topic_key(key)
                && let Some(topic) = self.of_id(id)
                && unseal(key, value)
                    .and_then(|payload| topic.take_pointer(payload))
                    .is_none()
            {
                notes.push(format!(
                    "how far {} was delivered is damaged: what is still kept is sent again",
                    topic.name
                ));
                damaged += 1;
            }
            ControlFlow::Continue(())
        })?;
        self.damaged += damaged;
        Ok(())
    }

    /// An event is counted by its part 0, bytes by every part.
    fn count_event(&mut self, key: &[u8], bytes: u64) -> Option<()> {
        let (id, sequence, part) = parse_event_key(key)?;
        let topic = self.of_id(id)?;
        let tally = Tally {
            events: u64::from(part == 0),
            bytes,
        };
        if sequence > topic.delivered {
            topic.waiting.add(tally);
        } else {
            topic.sent.add(tally);
        }
        topic.next = topic.next.max(sequence + 1);
        Some(())
    }

    /// A store that says less than its leases has silently lost its end.
    fn hold_against(&mut self, store: &Store, leases: &Leases, notes: &mut Vec<String>) {
        if leases.stream != store.stream {
            return;
        }
        for topic in &mut self.topics {
            if let Some(lease) = leases.topics.get(&topic.name)
                && lease.floor > topic.next
            {
                notes.push(format!(
                    "{} ends at {} but had gone to {} at least: its numbers go on at {}",
                    topic.name,
                    topic.next - 1,
                    lease.floor - 1,
                    lease.end + 1
                ));
                topic.next = lease.end + 1;
                topic.dirty = true;
            }
        }
    }
}

fn sum(tallies: impl Iterator<Item = Tally>) -> Tally {
    tallies.fold(Tally::default(), |mut sum, tally| {
        sum.add(tally);
        sum
    })
}

/// Wall time and powered-on time of part 0's payload.
pub(super) fn peek_times(payload: &[u8]) -> Option<(i64, u64)> {
    // Before them: parts (2) and length (4).
    let mut rest = Reader(payload.get(6..)?);
    Some((rest.u64()?.cast_signed(), rest.u64()?))
}
