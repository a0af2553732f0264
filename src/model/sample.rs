//! What drivers report. Owns the shape of a report; nobody above a driver builds one, but examples and replay.

use super::plan::{PointIx, SlotPlan};
use super::{Moment, Raw, SlotName};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What one trigger last saw. Stored in the same commit as the event it led to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TriggerState {
    /// [`super::plan::EventPlan::fingerprint`] of the plan it was made under.
    pub fingerprint: String,
    /// Last raw value of each trigger's points, in the order of the plan; `None` where it was absent or invalid
    /// (of `changes` the last valid one stays).
    pub last: Vec<Option<Raw>>,
    /// Raw id values of the last result that is stored, when the event has an id.
    pub taken: Option<Vec<Option<Raw>>>,
    /// An acknowledgement is owed for `taken`: the value to write.
    pub owed: Option<Raw>,
    /// Where the last result that is stored stands in the memory of a device that says again what follows there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

/// A place in the memory of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Its index.
    pub index: i64,
    /// Milliseconds that the device's clock is behind, as it is learned from what was seen live; its zone is part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<i64>,
}

/// What a device said at one moment, for one event of its plan.
#[derive(Debug)]
pub struct Sample {
    /// The plan that it was read under; `values` are indexed by its points.
    pub plan: Arc<SlotPlan>,
    /// Index into `plan.events`.
    pub event: usize,
    /// Raw values by point; `None`: not read, absent or not decodable.
    pub values: Vec<Option<Raw>>,
    /// Values of the same points before, where the trigger knew them (for alarm words).
    pub before: Vec<Option<Raw>>,
    /// When it was seen.
    pub seen: Moment,
    /// Since when it may have been so: the reading before, which did not show it yet.
    /// `None`: not known, it was there when the gateway first looked.
    pub since: Option<Moment>,
    /// What stood on the wire, for `origin.raw`: registers in hex.
    pub raw: String,
    /// Fetched later, not seen live.
    pub backfill: bool,
    /// Why it cannot be an event, found before anything was decoded: a broken check sum, a text that does not parse.
    /// Not empty: it goes to quarantine with what stood on the wire.
    pub faults: Vec<String>,
    /// Of points that the device itself does not call good: what it says of them, `BadSensorFailure`.
    pub quality: Vec<(PointIx, Arc<str>)>,
    /// To be stored with it.
    pub state: Option<TriggerState>,
    /// Answered once it is durable; dropped where it could not be made so.
    pub durable: Option<oneshot::Sender<()>>,
}

impl Sample {
    /// What a picture of all points shows for one event of `plan`, without a driver: for examples, replay and commands.
    #[must_use]
    pub fn picture(
        plan: &Arc<SlotPlan>,
        event: usize,
        values: Vec<Option<Raw>>,
        before: Vec<Option<Raw>>,
        seen: Moment,
    ) -> Self {
        Self {
            plan: plan.clone(),
            event,
            values,
            before,
            seen,
            since: None,
            raw: String::new(),
            backfill: false,
            faults: Vec::new(),
            quality: Vec::new(),
            state: None,
            durable: None,
        }
    }
}

/// What a driver tells the gateway, in order.
#[derive(Debug)]
pub enum Report {
    /// The device said something.
    Sample(Box<Sample>),
    /// A trigger moved without an event: a baseline, a flag that fell, an acknowledgement that was given.
    State {
        /// Whose.
        slot: SlotName,
        /// Name of the event in the plan.
        event: Arc<str>,
        /// To be stored.
        state: TriggerState,
        /// Answered once it is durable.
        durable: Option<oneshot::Sender<()>>,
    },
    /// The link of a slot changed.
    Link {
        /// Whose.
        slot: SlotName,
        /// How it is now.
        state: LinkState,
        /// In a sentence: why, and what to do.
        reason: String,
        /// When.
        at: Moment,
    },
    /// Something that was turned away without an event.
    Counted {
        /// Whose.
        slot: SlotName,
        /// As what.
        what: Counted,
        /// How many.
        number: u64,
    },
    /// Something that the device made is missing and cannot be fetched; told when that is known for good, before what follows it.
    Gap {
        /// Whose.
        slot: SlotName,
        /// Index into the plan's events.
        event: usize,
        /// The id before, where known.
        after: Option<String>,
        /// The id behind, where known.
        before: Option<String>,
        /// How many are missing, where known.
        count: Option<u64>,
        /// When.
        at: Moment,
    },
    /// Nothing that was said: answered once everything that was reported before it on the same channel is durable.
    Barrier(oneshot::Sender<()>),
    /// Something that a person should see: an alarm of category `gateway`.
    Alarm {
        /// Whose.
        slot: SlotName,
        /// Stable code, `ack_timeout`.
        code: &'static str,
        /// Whether it came or went.
        active: bool,
        /// In a sentence.
        text: String,
        /// When.
        at: Moment,
    },
}

/// How a slot's device is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// Answering, baseline taken, alive.
    Online,
    /// Answering, but not as it should: exceptions, a silent life sign, a refused profile.
    Degraded,
    /// Not answering.
    Offline,
}

impl LinkState {
    /// The word in a status.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Degraded => "degraded",
            Self::Offline => "offline",
        }
    }
}

/// What becomes of a thing said that is no event (interface 5: nothing is lost silently).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// The same result again.
    Duplicate,
    /// Turned away by `only` or `except`.
    Ignored,
    /// A newer one of `keep = "latest"` took its place.
    Superseded,
    /// Bytes that were no answer.
    Noise,
}
