//! What the outbox is asked and what it answers. Owns the shapes only.

use crate::model::{EventType, Moment, SlotName};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What happens when there is no room (interface 2, `when_full`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Nothing more is taken: devices are not acknowledged any more.
    #[default]
    Hold,
    /// The oldest waiting events go, told by a gap.
    DropOldest,
}

/// Bounds of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of disk for everything that waits or is kept, as estimated from the records; the file itself may be
    /// larger where a former backlog has made it so.
    pub max_bytes: u64,
    /// What happens beyond that.
    pub when_full: WhenFull,
    /// Only with [`WhenFull::DropOldest`]: events that waited this long go, in powered-on time.
    pub max_age: Option<Duration>,
    /// Bytes of delivered events that are kept to be sent again.
    pub keep_sent: u64,
    /// Bytes of the file system that stay free: sled cannot even open on a full disk.
    pub reserve: u64,
    /// Bytes beyond which a mostly empty file is replaced by a new one. sled never shrinks a file.
    pub rotate_above: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            when_full: WhenFull::Hold,
            max_age: None,
            keep_sent: 256 << 20,
            reserve: 64 << 20,
            rotate_above: 64 << 20,
        }
    }
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// `max_bytes` is reached.
    #[error(
        "the outbox is full: {used} of {limit} bytes wait to be delivered; bring the broker back, or raise [outbox] max_bytes"
    )]
    MaxBytes {
        /// Bytes of disk that waiting events take, by estimate.
        used: u64,
        /// What they may take.
        limit: u64,
    },
    /// The file system has too little left.
    #[error("the disk of state_dir is nearly full: {free} bytes are free and {reserve} must stay free; free some")]
    DiskReserve {
        /// Bytes free.
        free: u64,
        /// Bytes that stay free.
        reserve: u64,
    },
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The store's stream.
    pub stream: String,
    /// Whether the store was made just now and none was there before.
    pub fresh: bool,
    /// Whether a store was lost; a new one with a new stream was begun, and numbers go on past what was leased.
    /// Said at every opening until [`super::Outbox::loss_told`].
    pub lost: Option<Lost>,
    /// Every topic that ever had an event.
    pub topics: Vec<TopicState>,
    /// What a person should know: leftovers removed, copies damaged, records that cannot be read.
    pub notes: Vec<String>,
}

/// A store that is no longer there or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Where it was moved and is kept; `None`: it was simply gone, or this was told at an earlier opening.
    pub kept: Option<PathBuf>,
    /// Why.
    pub reason: String,
}

/// A topic as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// The topic.
    pub topic: Arc<str>,
    /// The next sequence to give: past everything given, and past the lease after a loss.
    pub next: u64,
    /// The last sequence that the broker acknowledged; all before it were acknowledged, refused or dropped.
    pub delivered: u64,
    /// Events that wait.
    pub waiting: u64,
    /// Their bytes in the store.
    pub bytes: u64,
    /// When the first of them was stored. `tick` is on this boot's scale, 0 where it was before this boot.
    pub oldest: Option<Moment>,
}

/// A stored event, as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Sequence on its topic.
    pub sequence: u64,
    /// `CloudEvents` id.
    pub id: String,
    /// Type.
    pub kind: EventType,
    /// Whose.
    pub slot: SlotName,
    /// The JSON bytes.
    pub body: Vec<u8>,
    /// When it was stored. `tick` is on this boot's scale, 0 where it was before this boot.
    pub stored_at: Moment,
}

/// What stands in a queue at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An event.
    Event(Stored),
    /// Numbers, both included, that were given and whose events cannot be read any more: to be told by a gap and
    /// passed with [`super::Outbox::delivered`].
    Damaged {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

impl Entry {
    /// The last sequence that it covers.
    #[must_use]
    pub fn last(&self) -> u64 {
        match self {
            Self::Event(stored) => stored.sequence,
            Self::Damaged { to, .. } => *to,
        }
    }
}

/// Events that were dropped to make room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Their topic.
    pub topic: Arc<str>,
    /// Sequence of the first.
    pub from: u64,
    /// Sequence of the last.
    pub to: u64,
    /// How many there were.
    pub count: u64,
}

/// A number of events and their bytes in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many.
    pub events: u64,
    /// Bytes of their records, keys included.
    pub bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.events = self.events.saturating_add(other.events);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(super) fn take(&mut self, other: Self) {
        self.events = self.events.saturating_sub(other.events);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// One topic's part of [`Stats`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicStats {
    /// As it stands.
    pub state: TopicState,
    /// Delivered and kept.
    pub sent: Tally,
    /// Refused for good since the store was made.
    pub rejected: u64,
    /// Dropped to make room since the store was made.
    pub dropped: u64,
}

/// Numbers for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The store's stream.
    pub stream: String,
    /// Its format version.
    pub format: u32,
    /// Waiting, over all topics.
    pub waiting: Tally,
    /// Delivered and kept.
    pub sent: Tally,
    /// Refused for good and kept.
    pub rejected: Tally,
    /// Bytes of state of the rooms above.
    pub state_bytes: u64,
    /// Bytes of sled's file.
    pub disk_bytes: u64,
    /// Bytes free on its file system.
    pub free_bytes: u64,
    /// `max_bytes`.
    pub max_bytes: u64,
    /// Appends since the start.
    pub commits: u64,
    /// Events appended since the start.
    pub events: u64,
    /// Microseconds that the last append spent on writing and syncing.
    pub sync_last_us: u64,
    /// The longest since the start.
    pub sync_max_us: u64,
    /// Of all appends together.
    pub sync_total_us: u64,
    /// Records that failed their checksum when the store was opened.
    pub damaged_records: u64,
    /// Whether a new file is being filled.
    pub rotating: bool,
    /// Files replaced since the start.
    pub rotations: u64,
    /// Milliseconds of powered-on time of this store.
    pub powered_ms: u64,
    /// By topic.
    pub topics: Vec<TopicStats>,
}

/// Why an event is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It waits to be delivered.
    Waiting,
    /// It was delivered and is kept.
    Sent,
    /// The broker refused it for good, with this reason.
    Rejected(String),
    /// It cannot be read.
    Damaged,
}

/// One line of `lineside outbox list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its sequence.
    pub sequence: u64,
    /// Why it is there.
    pub standing: Standing,
    /// The event; `None` where it cannot be read.
    pub event: Option<Stored>,
}

/// Why the outbox could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Another process has it.
    #[error("{0} is in use by another lineside: stop that one, or give this one another state_dir")]
    Locked(PathBuf),
    /// sled would spoil its own files on so full a disk.
    #[error("the disk of state_dir has {free} bytes free and the outbox needs {needed} to open: free some")]
    NoSpace {
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The store was written by a newer version.
    #[error(
        "the outbox has format {found} and this lineside knows up to {known}: install the version that wrote it, or a newer one"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The operating system refused. The handle is done with: [`super::Outbox::reopen`].
    #[error("could not {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// sled refused. The handle is done with: [`super::Outbox::reopen`].
    #[error("could not {what}: sled says {why}")]
    Sled {
        /// What was tried.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// sled panicked. The process must end; recovery is the ordinary start.
    #[error("sled panicked at {what}: {why}")]
    Panicked {
        /// What was tried.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// The handle has failed before.
    #[error("the outbox failed before ({0}) and must be opened again")]
    Failed(String),
    /// No room. Nothing was written.
    #[error(transparent)]
    Full(#[from] Full),
    /// Something is longer than the store takes. Nothing was written.
    #[error("{what} of {length} bytes is longer than the {limit} bytes that the outbox takes")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its bytes.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// A topic is empty or has a control character in it. Nothing was written.
    #[error("{0:?} is no topic")]
    Topic(Arc<str>),
    /// A sequence is not the next one of its topic. Nothing was written.
    #[error("sequence {found} on {topic} cannot be stored: {expected} is next")]
    Sequence {
        /// The topic.
        topic: Arc<str>,
        /// What was given.
        found: u64,
        /// What is next.
        expected: u64,
    },
    /// An event was to be rejected while others before it on its topic still wait. Nothing was written.
    #[error("{sequence} on {topic} cannot be rejected while {first} waits before it")]
    NotFirst {
        /// The topic.
        topic: Arc<str>,
        /// What was given.
        sequence: u64,
        /// The first that waits.
        first: u64,
    },
    /// A record of the rooms above cannot be read any more.
    #[error("the state under {key} is damaged")]
    DamagedState {
        /// Its key, as text where it is.
        key: String,
    },
}

impl OutboxError {
    pub(super) fn io(what: &'static str, source: io::Error) -> Self {
        Self::Io { what, source }
    }

    /// Whether the handle must not be used any more.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Io { .. } | Self::Sled { .. } | Self::Panicked { .. } | Self::Failed(_)
        )
    }

    /// Whether the process must end: sled's memory cannot be trusted after a panic.
    #[must_use]
    pub fn ends_process(&self) -> bool {
        matches!(self, Self::Panicked { .. })
    }
}
