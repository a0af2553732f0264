//! The way to the store's thread: requests go in by a bounded channel, answers come back.
//!
//! Owns the handle that tasks hold and the [`Drain`] that the publisher empties. The thread itself is
//! [`super::committer`].

use super::mes::Word;
pub use super::retry::{AT_ONCE, Place};
use crate::model::sample::TriggerState;
use crate::model::{Moment, SlotName};
use crate::mqtt::{Drain, Fetch, Ready, Settlement};
use crate::profile::Profile;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests that may wait for the store's thread.
pub(super) const REQUESTS: usize = 256;

/// A store that cannot be asked is asked again after this long.
const AGAIN: Duration = Duration::from_millis(500);

/// What is asked of the store's thread, beside the reports of devices.
#[derive(Debug)]
pub(super) enum Request {
    /// The MES said which unit is at a station.
    Unit {
        station: Arc<str>,
        payload: Vec<u8>,
        at: Moment,
    },
    /// The MES said something of the events of a slot.
    Said {
        slot: SlotName,
        word: Word,
        payload: Vec<u8>,
        retained: bool,
        at: Moment,
    },
    /// The MES came within reach, or went out of it.
    Mes { alive: bool, at: Moment },
    /// Events to publish.
    Fetch {
        request: Fetch,
        answer: oneshot::Sender<Vec<Ready>>,
    },
    /// What became of published events.
    Settle {
        settled: Vec<Settlement>,
        answer: oneshot::Sender<()>,
    },
    /// Something of the session that a person should see: in a sentence, `None` when it is over.
    Trouble { about: String, sentence: Option<String> },
    /// Something of a slot that a person should see; `None` when it is over.
    SlotTrouble {
        slot: SlotName,
        about: &'static str,
        sentence: Option<String>,
    },
    /// Another device fills a slot, or none does; answered with the states of its triggers, `None` where the store
    /// cannot be asked now.
    Install {
        install: Box<Install>,
        answer: oneshot::Sender<Option<HashMap<String, TriggerState>>>,
    },
    /// The states of a slot's triggers as they are stored.
    States {
        slot: SlotName,
        answer: oneshot::Sender<Option<HashMap<String, TriggerState>>>,
    },
    /// A question of a command.
    Ask {
        question: Question,
        answer: oneshot::Sender<serde_json::Value>,
    },
}

/// A device that fills a slot from now on. Everything that the one before it said is durable.
#[derive(Debug)]
pub(super) struct Install {
    pub(super) slot: SlotName,
    /// `None`: nothing fills it any more.
    pub(super) profile: Option<Arc<Profile>>,
    /// Why its link is offline until its driver says otherwise.
    pub(super) reason: String,
    /// For the change that tells of it.
    pub(super) told: Told,
}

/// What is told of a change beside who was there before and who is now.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// What it means, a sentence each.
    pub(super) plan: Vec<String>,
    /// Who did it, where the system knows.
    pub(super) who: Option<String>,
}

/// What a command asks.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Question {
    /// `outbox stats`.
    OutboxStats,
    /// `outbox list`.
    OutboxList {
        /// Only topics that contain this text.
        topic: Option<String>,
        /// Events at most.
        limit: usize,
    },
    /// `outbox seen`: a person has looked at what the MES rejected.
    Seen {
        /// Only of this slot.
        slot: Option<String>,
        /// Only the event with this id.
        id: Option<String>,
    },
    /// `quarantine list`.
    QuarantineList {
        /// Only of this slot.
        slot: Option<String>,
    },
    /// `quarantine retry`: at most [`AT_ONCE`].
    QuarantineRetry {
        /// Which.
        places: Vec<Place>,
    },
}

/// A handle on the store's thread. Cheap to clone; when all are gone the thread ends.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) changed: watch::Receiver<u64>,
}

impl Store {
    /// Asks, and waits for the answer; `None` where the thread has ended.
    pub(super) async fn ask(&self, question: Question) -> Option<serde_json::Value> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Ask { question, answer }).await.ok()?;
        answered.await.ok()
    }
}

impl Store {
    /// The states of a slot's triggers, waited for until the store can be asked; `None` where its thread has ended.
    pub(super) async fn states(&self, slot: &SlotName) -> Option<HashMap<String, TriggerState>> {
        loop {
            let (answer, answered) = oneshot::channel();
            let slot = slot.clone();
            self.requests.send(Request::States { slot, answer }).await.ok()?;
            match answered.await.ok()? {
                Some(states) => return Some(states),
                None => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}

impl Drain for Store {
    async fn fetch(&self, request: Fetch) -> Vec<Ready> {
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Request::Fetch { request, answer }).await.is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }

    async fn settle(&self, settled: Vec<Settlement>) {
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Request::Settle { settled, answer }).await.is_err() || answered.await.is_err() {
            // The thread has ended: the broker will get these again, and the consumer drops them by id.
            tracing::debug!("settlements came after the store was closed");
        }
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }
}
