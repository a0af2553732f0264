//! The envelope: CloudEvents 1.0 in structured JSON, member by member as interface 5 shows it.

use super::UnitOf;
use crate::model::event::TimeBasis;
use crate::model::time::rfc3339;
use crate::model::{Draft, EventType, Fields};
use serde_json::{Map, Value};

/// Milliseconds: what was not there at a reading so long before was seen live.
const LIVE: u64 = 5_000;

/// Milliseconds: a device's time that is not further back than this is that of what is seen just now; devices say seconds.
const CLOSE: i64 = 2_500;

/// Number and stream of a stored event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbering<'a> {
    pub(super) sequence: u64,
    pub(super) stream: &'a str,
}

/// All that stands around the data of one event.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) draft: &'a Draft,
    pub(super) kind: EventType,
    pub(super) id: &'a str,
    pub(super) source: String,
    pub(super) gateway: &'a str,
    pub(super) numbering: Option<Numbering<'a>>,
    pub(super) unit: &'a UnitOf,
    pub(super) clock_set: bool,
    /// The device's clock less ours, in milliseconds.
    pub(super) offset: Option<i64>,
    /// Wall time of the result before.
    pub(super) last_seen: Option<i64>,
}

impl Envelope<'_> {
    /// The bytes that the MES receives.
    pub(super) fn body(&self, process: Fields) -> Vec<u8> {
        let (time, times) = self.times();
        let mut data = Map::new();
        data.insert("unit".into(), Value::Object(self.unit.fields.clone()));
        data.extend(process);
        data.insert("times".into(), Value::Object(times));
        if self.draft.backfill {
            data.insert("backfill".into(), true.into());
        }
        if !self.draft.extra.is_empty() {
            data.insert("extra".into(), Value::Object(self.draft.extra.clone()));
        }
        data.insert("origin".into(), Value::Object(self.origin()));

        let mut event = Map::new();
        event.insert("specversion".into(), "1.0".into());
        event.insert("id".into(), self.id.into());
        event.insert("source".into(), self.source.clone().into());
        event.insert("type".into(), self.kind.cloud_event_type().into());
        if let Some(subject) = &self.unit.subject {
            event.insert("subject".into(), subject.clone().into());
        }
        event.insert("time".into(), rfc3339(time).into());
        event.insert("datacontenttype".into(), "application/json".into());
        event.insert("dataschema".into(), format!("urn:lineside:{}:1", self.kind).into());
        if let Some(numbering) = self.numbering {
            event.insert("sequence".into(), format!("{:020}", numbering.sequence).into());
            event.insert("stream".into(), numbering.stream.into());
        }
        event.insert("data".into(), Value::Object(data));
        Value::Object(event).to_string().into_bytes()
    }

    /// When it happened in wall milliseconds, and `data.times`.
    ///
    /// Seen live: when it was seen. Found later: by the device's clock less its offset, where there is one; else when
    /// it was found, with `not_before`: the result before it was earlier.
    fn times(&self) -> (i64, Fields) {
        let draft = self.draft;
        let waited = draft.since.map(|since| draft.seen.tick.saturating_sub(since.tick));
        let live = waited.is_some_and(|waited| waited <= LIVE) && !draft.backfill;
        let device = draft.device_time.as_ref();
        let by_device = match (live, device, self.offset) {
            (false, Some(said), Some(offset)) => Some(said.wall.saturating_sub(offset)),
            (false, Some(said), None) if draft.backfill => Some(said.wall),
            _ => None,
        };
        // Nothing is told before it happens; and what came when it was made was seen, be it the first after a time away.
        let by_device = by_device
            .map(|wall| wall.min(draft.seen.wall))
            .filter(|wall| draft.backfill || draft.seen.wall.saturating_sub(*wall) > CLOSE);
        let basis = match (self.clock_set, by_device) {
            (false, _) => TimeBasis::Unsynchronized,
            (true, Some(_)) => TimeBasis::Device,
            (true, None) => TimeBasis::Observed,
        };
        let mut times = Map::new();
        times.insert("observed".into(), draft.seen.rfc3339().into());
        if let Some(said) = device {
            times.insert("device".into(), said.said.clone().into());
            times.insert("offset_ms".into(), said.wall.saturating_sub(draft.seen.wall).into());
        }
        let last = draft.since.map(|since| since.wall).or(self.last_seen);
        if let (false, None, Some(last)) = (live, by_device, last) {
            times.insert("not_before".into(), rfc3339(last).into());
        }
        times.insert("basis".into(), basis.word().into());
        (by_device.unwrap_or(draft.seen.wall), times)
    }

    fn origin(&self) -> Fields {
        let device = &self.draft.device;
        let mut origin = Map::new();
        origin.insert("gateway".into(), self.gateway.into());
        for (name, value) in [("vendor", &device.vendor), ("model", &device.model)] {
            if !value.is_empty() {
                origin.insert(name.into(), value.clone().into());
            }
        }
        if let Some(serial) = &device.serial {
            origin.insert("serial".into(), serial.clone().into());
        }
        if !device.digest.is_empty() {
            origin.insert("digest".into(), device.digest.clone().into());
        }
        if let (Some(raw), true) = (&self.draft.raw, self.kind != EventType::Readings) {
            origin.insert("raw".into(), raw.clone().into());
        }
        origin
    }
}
