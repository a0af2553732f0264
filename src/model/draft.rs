//! Drafts: what a sample means, in contract fields and contract uoms, not yet bound, numbered or sealed.
//!
//! Owns the shape only. [`crate::profile`] makes drafts, [`crate::unit`] binds them, [`crate::contract`] seals them.

use super::event::EventType;
use super::plan::Keep;
use super::{Moment, SlotName};
use std::sync::Arc;

/// Members of an event's `data`, in the order in which they are published. Numbers are exact decimals
/// (`serde_json` with arbitrary precision).
pub type Fields = serde_json::Map<String, serde_json::Value>;

/// Who said it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceIdentity {
    /// Of the profile.
    pub vendor: String,
    /// Of the profile.
    pub model: String,
    /// Which individual, where the installed profile says so.
    pub serial: Option<String>,
    /// `sha256:…` of the profile as it was resolved.
    pub digest: String,
}

/// One event before it is bound and numbered.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Whose.
    pub slot: SlotName,
    /// Name of the event in the profile; several may be of one type.
    pub event: Arc<str>,
    /// What the MES knows it as.
    pub kind: EventType,
    /// The contract fields. For a quarantine, empty.
    pub data: Fields,
    /// Reasons why it cannot be a contract event; not empty: it becomes a quarantine of `kind`.
    pub quarantine: Vec<String>,
    /// The device's id values as text; `None`: every trigger is its own.
    pub id: Option<Vec<String>>,
    /// The device's counter.
    pub counter: Option<CounterReading>,
    /// When it was seen.
    pub seen: Moment,
    /// Since when it may have been so.
    pub since: Option<Moment>,
    /// The device's own time.
    pub device_time: Option<DeviceTime>,
    /// Fetched later, not seen live.
    pub backfill: bool,
    /// The unit that the device echoed.
    pub echo: Option<Echo>,
    /// Beside the contract.
    pub extra: Fields,
    /// What stood on the wire.
    pub raw: Option<String>,
    /// Who said it.
    pub device: Arc<DeviceIdentity>,
    /// Stored, or only the newest kept.
    pub keep: Keep,
}

/// A device's counter, and how it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterReading {
    /// What it shows.
    pub value: i64,
    /// What follows `last`, and what it starts from.
    pub first: i64,
    /// What it shows at the first result after it began anew: `first` where a profile says so, else 1.
    pub from: i64,
    /// After which it wraps; `None`: it does not.
    pub last: Option<i64>,
    /// What it showed at the reading before, where the trigger knew it.
    pub before: Option<i64>,
    /// The device waits for an acknowledgement before it shows the next result, so that none is missed at the wrap.
    pub waits: bool,
}

/// A device's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceTime {
    /// As it was said, made RFC 3339.
    pub said: String,
    /// Wall milliseconds.
    pub wall: i64,
}

/// What a device says about which unit it worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// Trimmed text, never empty.
    pub value: String,
    /// How it is compared.
    pub how: EchoMatch,
}

/// How an echo is compared with the unit at the station. A part confirms, never supplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EchoMatch {
    /// The whole id.
    #[default]
    Exact,
    /// The id begins with it.
    Prefix,
    /// The id ends with it.
    Suffix,
    /// The id contains it.
    Contains,
}
