//! Outbound: the handle by which the rest of the gateway says what is not stored: statuses and latest values.

use super::board::Board;
use crate::model::Moment;
use bytes::Bytes;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

pub use super::board::Posted;

/// Says statuses and latest values to the broker. Cheap to clone; nothing in it waits.
#[derive(Debug, Clone)]
pub struct Outbound(Arc<Shared>);

/// Between the handles and the session.
#[derive(Debug, Default)]
pub(super) struct Shared {
    board: Mutex<Board>,
    farewell: Mutex<Option<Bytes>>,
    pub(super) posted: Notify,
    pub(super) tally: Tally,
    heard_wall: AtomicI64,
    /// Tick of `heard_wall` and one more; 0: never.
    heard_tick: AtomicU64,
}

/// Counters of the session.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: AtomicU64,
    pub(super) resent: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) published: AtomicU64,
    pub(super) superseded: AtomicU64,
    pub(super) latest: AtomicU64,
    pub(super) connections: AtomicU64,
}

/// What the session has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events acknowledged with success.
    pub delivered: u64,
    /// Events sent again on request, and acknowledged.
    pub resent: u64,
    /// Events refused for good.
    pub rejected: u64,
    /// Refusals for now.
    pub refused: u64,
    /// Publishes of events written, tries again among them.
    pub published: u64,
    /// Latest values that a newer one replaced before they were sent, or that found no room.
    pub superseded: u64,
    /// Latest values that the broker has acknowledged.
    pub latest: u64,
    /// Connections that the broker accepted.
    pub connections: u64,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        locked(&self.board)
    }

    pub(super) fn farewell(&self) -> Option<Bytes> {
        locked(&self.farewell).clone()
    }

    pub(super) fn note_heard(&self, at: Moment) {
        self.heard_wall.store(at.wall, Ordering::Relaxed);
        self.heard_tick.store(at.tick.saturating_add(1), Ordering::Release);
    }
}

impl Outbound {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Sets the retained status of `topic`. The newest counts; it is published again after each connect, before
    /// any event. An empty payload clears the topic at the broker, and then is forgotten here.
    #[must_use = "a full board refuses topics"]
    pub fn set_retained(&self, topic: &str, payload: impl Into<Bytes>) -> Posted {
        let posted = self.0.board().set_retained(topic, payload.into());
        self.0.posted.notify_one();
        posted
    }

    /// Whether a status of `topic` is kept here. An empty one is until the broker has acknowledged it.
    #[must_use]
    pub fn has_retained(&self, topic: &str) -> bool {
        self.0.board().has_status(topic)
    }

    /// Publishes a value of which only the newest matters: not stored, not retained. One that waits on this topic is superseded.
    #[must_use = "a superseded value is to be counted"]
    pub fn publish_latest(&self, topic: &str, payload: impl Into<Bytes>) -> Posted {
        let posted = self.0.board().publish_latest(topic, payload.into());
        if posted != Posted::Queued {
            self.0.tally.superseded.fetch_add(1, Ordering::Relaxed);
        }
        self.0.posted.notify_one();
        posted
    }

    /// What is published, retained, on the will's topic at a clean end; without it the will's payload is.
    pub fn set_farewell(&self, payload: impl Into<Bytes>) {
        *locked(&self.0.farewell) = Some(payload.into());
    }

    /// When the broker last said anything at all, a ping's answer among it. Of an earlier connection too: ask whether there is one.
    #[must_use]
    pub fn last_heard(&self) -> Option<Moment> {
        let tick = self.0.heard_tick.load(Ordering::Acquire).checked_sub(1)?;
        Some(Moment::new(self.0.heard_wall.load(Ordering::Relaxed), tick))
    }

    /// What has been done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let tally = &self.0.tally;
        Counts {
            delivered: of(&tally.delivered),
            resent: of(&tally.resent),
            rejected: of(&tally.rejected),
            refused: of(&tally.refused),
            published: of(&tally.published),
            superseded: of(&tally.superseded),
            latest: of(&tally.latest),
            connections: of(&tally.connections),
        }
    }
}
