//! Store-and-forward: what is committed here survives kill, power loss and a broker that is away for days.
//!
//! Owns the store (the only room that names sled), what durable means, the leases on sequence numbers, bounds, the
//! delivered pointer of each topic, rotation and salvage. Does not own numbers (the gateway gives them, this room
//! only refuses a wrong one), what state keys mean, or when anything is published.
//!
//! One sled tree. An event's place is its topic and sequence; what waits on a topic is what lies behind its delivered
//! pointer, since the publisher keeps one unacknowledged publish a topic. Delivered events stay until `keep_sent` is
//! exceeded. Everything here is synchronous and belongs to one thread; [`Outbox`] starts none.
//!
//! Durable means: the leases are on disk, one `apply_batch`, sled's flush, and an fdatasync on a descriptor of our
//! own have returned (`reference/store.md`). Any error of these ends the handle: [`Outbox::reopen`], then the same
//! commits again.

mod append;
mod frame;
mod index;
mod lease;
mod look;
mod open;
mod queue;
mod report;
mod rotate;
mod salvage;
mod store;
mod tend;
#[cfg(test)]
mod tests;
mod types;

pub use frame::{MAX_EVENT, MAX_ID, MAX_STATE_KEY, MAX_STATE_VALUE};
pub use look::{Search, Searched};
pub use salvage::{Salvaged, salvage};
pub use types::{
    Dropped, Entry, Full, Limits, Listed, Lost, OpenReport, OutboxError, Standing, Stats, Stored, Tally, TopicState,
    TopicStats, WhenFull,
};

use crate::clock::Clock;
use crate::model::Moment;
use index::{First, Index, Topic, peek_times};
use lease::Leases;
use std::cell::RefCell;
use std::fs::File;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;
use store::{Host, Store};

/// Disk bytes that a record byte costs, in tenths: a million events of 600 bytes (727 as records) make a file of 1.59
/// times their records, and `reference/store.md` section 3 has 1.70 of the payload.
const DISK_TENTHS: u64 = 17;

/// Disk that records of so many bytes take, by estimate.
fn disk(bytes: u64) -> u64 {
    bytes.saturating_mul(DISK_TENTHS) / 10
}

/// The open outbox.
#[derive(Debug)]
pub struct Outbox {
    state_dir: PathBuf,
    limits: Limits,
    clock: Clock,
    host: Host,
    /// Held as long as this process owns the state directory.
    lock: File,
    store: Store,
    leases: Leases,
    index: Index,
    /// Why this handle must not be used any more.
    failed: RefCell<Option<String>>,
    /// Powered-on milliseconds at which this boot's `tick` was 0; negative where the store is younger than the boot.
    powered_base: i64,
    /// Powered-on milliseconds as last written.
    powered_written: u64,
    rotation: Option<rotate::Rotation>,
    /// Bytes of the file below which no rotation is worth while.
    rotate_from: u64,
    meter: Meter,
}

/// What [`Stats`] counts since the start.
#[derive(Debug, Default)]
struct Meter {
    commits: u64,
    events: u64,
    last_us: u64,
    max_us: u64,
    total_us: u64,
    rotations: u64,
}

impl Outbox {
    /// The store's stream: made with it, another after a loss.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.store.stream
    }

    /// Every topic that ever had an event, as it stands.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicState> {
        self.index.topics.iter().map(|topic| self.topic_state(topic)).collect()
    }

    /// The value of a state key.
    pub fn state(&self, key: &[u8]) -> Result<Option<Vec<u8>>, OutboxError> {
        self.ready()?;
        let full = frame::state_key(key);
        let Some(value) = self.watch(self.store.get(&full))? else {
            return Ok(None);
        };
        match frame::unseal(&full, &value) {
            Some(payload) => Ok(Some(payload.to_vec())),
            None => Err(OutboxError::DamagedState {
                key: String::from_utf8_lossy(key).into_owned(),
            }),
        }
    }

    /// Shows key and value of all state whose key begins with `prefix`, in the order of keys. Returns how many
    /// records were passed over because they are damaged.
    pub fn scan_state(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<u64, OutboxError> {
        self.ready()?;
        let mut damaged = 0;
        let scanned = self.store.prefix(&frame::state_key(prefix), &mut |key, value| {
            match (key.get(1..), frame::unseal(key, value)) {
                (Some(own), Some(payload)) => each(own, payload),
                _ => damaged += 1,
            }
            ControlFlow::Continue(())
        });
        self.watch(scanned)?;
        Ok(damaged)
    }

    /// Writes what is only in memory and closes. Nothing is lost without it: a kill is as good.
    pub fn close(mut self) -> Result<(), OutboxError> {
        self.ready()?;
        let changes = self.lazy_changes(true);
        self.store.write(changes)?;
        self.store.sync()
    }

    fn ready(&self) -> Result<(), OutboxError> {
        match &*self.failed.borrow() {
            Some(why) => Err(OutboxError::Failed(why.clone())),
            None => Ok(()),
        }
    }

    /// Remembers an error that ends this handle.
    fn watch<T>(&self, result: Result<T, OutboxError>) -> Result<T, OutboxError> {
        if let Err(error) = &result
            && error.is_fatal()
        {
            self.failed.borrow_mut().get_or_insert_with(|| error.to_string());
        }
        result
    }

    /// Powered-on milliseconds of the store at `now`.
    fn powered(&self, now: Moment) -> u64 {
        now.tick.saturating_add_signed(self.powered_base)
    }

    /// A stored time on this boot's scale.
    fn moment(&self, wall: i64, powered: u64) -> Moment {
        Moment::new(wall, powered.saturating_add_signed(-self.powered_base))
    }

    /// Pointers that have moved, and powered-on time where it is due or `all` is asked.
    fn lazy_changes(&mut self, all: bool) -> Vec<store::Change> {
        const POWERED_EVERY_MS: u64 = 10_000;
        let mut changes = Vec::new();
        for topic in &mut self.index.topics {
            if std::mem::take(&mut topic.dirty) {
                changes.push(topic.name_record());
                changes.push(topic.pointer_record());
            }
        }
        let powered = self.powered(self.clock.now());
        if all || powered >= self.powered_written.saturating_add(POWERED_EVERY_MS) {
            self.powered_written = powered;
            let key = frame::meta_key(index::POWERED);
            let value = frame::seal(&key, &powered.to_be_bytes());
            changes.push((key, Some(value)));
        }
        changes
    }

    /// The first event of a topic whose sequence is above `after` and not above `last`.
    fn first_event(&self, id: u32, after: u64, last: u64) -> Result<Option<First>, OutboxError> {
        let mut found = None;
        let from = frame::event_key(id, after, u16::MAX);
        let to = frame::event_key(id, last, u16::MAX);
        let scanned = self
            .store
            .range(Bound::Excluded(&from), Bound::Included(&to), &mut |key, value| {
                if let Some((_, sequence, _)) = frame::parse_event_key(key) {
                    // What cannot be read counts as old: it goes first.
                    let (wall, powered) = frame::unseal(key, value).and_then(peek_times).unwrap_or((0, 0));
                    found = Some(First {
                        sequence,
                        wall,
                        powered,
                    });
                }
                ControlFlow::Break(())
            });
        self.watch(scanned)?;
        Ok(found)
    }

    /// The first event that waits on a topic.
    fn head(&self, topic: &Topic) -> Result<Option<First>, OutboxError> {
        if topic.waiting.bytes == 0 {
            return Ok(None);
        }
        if topic.head.get().is_none() {
            topic.head.set(self.first_event(topic.id, topic.delivered, u64::MAX)?);
        }
        Ok(topic.head.get())
    }

    /// The first event that is kept as sent on a topic.
    fn tail(&self, topic: &Topic) -> Result<Option<First>, OutboxError> {
        if topic.sent.bytes == 0 {
            return Ok(None);
        }
        if topic.tail.get().is_none() {
            topic
                .tail
                .set(self.first_event(topic.id, topic.trimmed, topic.delivered)?);
        }
        Ok(topic.tail.get())
    }

    fn topic_state(&self, topic: &Topic) -> TopicState {
        let oldest = self.head(topic).ok().flatten();
        TopicState {
            topic: topic.name.clone(),
            next: topic.next,
            delivered: topic.delivered,
            waiting: topic.waiting.events,
            bytes: topic.waiting.bytes,
            oldest: oldest.map(|first| self.moment(first.wall, first.powered)),
        }
    }
}
