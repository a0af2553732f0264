//! mqtt: the connection to the broker, and through it to the MES.
//!
//! Owns the session, the in-flight window, what goes out (events, statuses, latest values) and what
//! is heard. It is the only room that names rumqttc. It does not own what is stored: it drains a
//! [`Drain`] and says what became of each event. Nor does it own what a message means.
//!
//! One connection is one client and one event loop of rumqttc, never used again for the next
//! connection: what was not acknowledged comes from the [`Drain`] again, in order.
//!
//! Order per topic is kept by never having two events of one topic unacknowledged at a time
//! ([`window`]), so that a refusal can never let a later event overtake.

pub mod board;
mod connection;
pub mod consumer;
pub mod credentials;
mod feeder;
mod link;
pub mod outbound;
mod refusal;
mod renewal;
mod session;
mod settings;
pub mod window;

pub use outbound::{Counts, Outbound, Posted};
pub use session::{Session, session};
pub use settings::{Settings, SettingsFault, Timing, Tls, Version};

use crate::model::Moment;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// What the store has waiting. Owned by this room, implemented over the outbox by whoever builds the gateway.
pub trait Drain: Send + Sync + 'static {
    /// Waiting events as `request` asks for them. Each topic's events come in the order of their
    /// sequences without leaving one out; topics may be mixed. At least one event where one is waiting.
    /// The future may be dropped before it is ready: nothing may depend on its answer being taken.
    fn fetch(&self, request: Fetch) -> impl Future<Output = Vec<Ready>> + Send;

    /// Takes note of what became of events. Called with one batch at a time and never dropped half-way while the session runs.
    fn settle(&self, settled: Vec<Settlement>) -> impl Future<Output = ()> + Send;

    /// A number that changes after each durable append.
    fn changed(&self) -> tokio::sync::watch::Receiver<u64>;
}

/// Which events are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Only events behind this sequence, for the topics named; for all others from the first waiting one on.
    pub after: HashMap<Arc<str>, u64>,
    /// No events of these topics.
    pub skip: HashSet<Arc<str>>,
    /// The same two of what is sent again ([`Ready::again`]): only behind this place, and not of these topics.
    pub again: (HashMap<Arc<str>, u64>, HashSet<Arc<str>>),
    /// Events at most.
    pub max_events: usize,
    /// Bytes of bodies at most; but one event may always be returned.
    pub max_bytes: usize,
    /// Events of one topic at most, so that a long topic does not keep the others from being seen.
    pub per_topic: usize,
}

/// An event that is durable and may be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where to.
    pub topic: Arc<str>,
    /// Its number in its topic; of what is sent again its place among all that is sent again on this topic, which only goes up.
    pub sequence: u64,
    /// It was delivered before, and somebody asked for it again: it stands in no order with first deliveries.
    pub again: bool,
    /// Its id, for the log.
    pub id: String,
    /// The bytes that the MES receives.
    pub body: Bytes,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Its topic.
    pub topic: Arc<str>,
    /// [`Ready::sequence`].
    pub sequence: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// How an event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has acknowledged it with success (and, MQTT 5 with `require_subscriber`, has somebody for it).
    Delivered,
    /// It will never be taken: to be kept as rejected.
    Rejected {
        /// Why, in a sentence.
        reason: String,
    },
    /// What was sent again was acknowledged.
    Resent,
    /// What was to be sent again will never be taken.
    NotResent {
        /// Why, in a sentence.
        reason: String,
    },
}

/// What the session has to say to the gateway, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A connection is being tried.
    Connecting,
    /// The broker has accepted the connection.
    Connected {
        /// Whether the broker says it kept a session; it never should, each connection starts clean.
        session_present: bool,
    },
    /// All retained messages that the broker has for us have been handed over before this; events are drained from now on.
    Ready {
        /// Whether the broker's echo proved that. `false`: no echo came in time, retained messages may still follow.
        proven: bool,
    },
    /// The connection was lost, or could not be made.
    Disconnected {
        /// Why, in a sentence.
        reason: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Somebody said something on a topic of `subscriptions`.
    Message {
        /// The topic.
        topic: String,
        /// What was said.
        payload: Bytes,
        /// Whether the broker had kept it from before.
        retained: bool,
        /// When it arrived.
        at: Moment,
    },
    /// Something does not work that somebody should mend; told once until [`Heard::Recovered`].
    Trouble {
        /// The topic that it is about; `None`: the connection.
        topic: Option<Arc<str>>,
        /// What, in a sentence.
        sentence: String,
    },
    /// What is to be said of the files of the session while it goes on, each in a sentence, whenever that changes:
    /// what expires soon, what a changed file has wrong. Empty: nothing any more.
    Files {
        /// All that is to be said now.
        sentences: Vec<String>,
    },
    /// What was told by [`Heard::Trouble`] works again.
    Recovered {
        /// The topic that it was about; `None`: the connection.
        topic: Option<Arc<str>>,
    },
}

#[cfg(test)]
mod tests;
