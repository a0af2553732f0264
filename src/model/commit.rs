//! Commits: what becomes durable together. Owns the shape; [`crate::outbox`] makes it so.

use super::SlotName;
use super::event::EventType;
use std::sync::Arc;

/// All that belongs together: after a crash all of it is there, or none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    /// Events, in the order of their sequence.
    pub events: Vec<Sealed>,
    /// Everything else: trigger states, units, ids, incarnations.
    pub state: Vec<StateChange>,
}

impl Commit {
    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.state.is_empty()
    }
}

/// One key and its value, `None` to remove it. The rooms above choose the keys; the first byte is
/// theirs alone (see [`space`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Space byte and the owner's own key, 512 bytes at most.
    pub key: Vec<u8>,
    /// 3,500 bytes at most.
    pub value: Option<Vec<u8>>,
}

/// First bytes of state keys: whose a key is.
pub mod space {
    /// Trigger states, by slot and event ([`crate::model::sample::TriggerState`] as JSON).
    pub const TRIGGER: u8 = b't';
    /// Units, by station.
    pub const UNIT: u8 = b'u';
    /// What the allocator knows of a slot: incarnation, counter, clock offset.
    pub const SLOT: u8 = b's';
    /// Known ids, by topic, incarnation and id.
    pub const ID: u8 = b'i';
    /// Slots that were configured, to clear their statuses when they are no more.
    pub const CONFIGURED: u8 = b'c';
    /// Ids in the order in which they may be forgotten.
    pub const ORDER: u8 = b'o';
    /// Which device filled a slot last: vendor, model, serial and digest, to tell a change across a restart.
    pub const DEVICE: u8 = b'v';
    /// What is usual for a slot, for noticing drift.
    pub const DRIFT: u8 = b'd';
    /// What the MES rejected, and what a quarantine was made of, to be tried again.
    pub const QUARANTINE: u8 = b'q';
}

/// An event as the MES will receive it. Nobody changes it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// MQTT topic, prefix included.
    pub topic: Arc<str>,
    /// Sequence on that topic, from 1.
    pub sequence: u64,
    /// `CloudEvents` id.
    pub id: String,
    /// Whose.
    pub slot: SlotName,
    /// Type.
    pub kind: EventType,
    /// The JSON bytes.
    pub body: Vec<u8>,
}
