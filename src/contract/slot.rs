//! What is known of a slot's device from event to event: identity, incarnation, counters, clock offset.

use crate::model::commit::space;
use crate::model::draft::CounterReading;
use crate::model::{DeviceIdentity, SlotName, StateChange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Live offsets that the median is taken of.
const OFFSETS: usize = 5;
/// Events of a slot remembered; a device file has a few.
const MAX_EVENTS: usize = 40;
/// A counter this near its end, as a part of its range, wrapped where it reads lower; else it restarted.
const NEAR_END: i128 = 16;

/// Stored under [`space::SLOT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SlotState {
    /// Part of every id: the same device's ids under another incarnation are other results.
    pub(super) incarnation: String,
    vendor: String,
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(default)]
    counters: BTreeMap<String, i64>,
    /// When each event was last seen, wall milliseconds.
    #[serde(default)]
    pub(super) seen: BTreeMap<String, i64>,
    /// The last live offsets of the device's clock, in milliseconds: its time less ours.
    #[serde(default)]
    offsets: Vec<i64>,
}

/// What a device's counter tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// The first that is known, the next, or the same.
    On,
    /// It went on from its first value, this many results missing.
    Wrapped(i128),
    /// This many are missing.
    Jumped(i128),
    /// It began anew.
    Restarted,
}

impl SlotState {
    pub(super) fn new(device: &DeviceIdentity) -> Self {
        Self {
            incarnation: random(),
            vendor: device.vendor.clone(),
            model: device.model.clone(),
            serial: device.serial.clone(),
            counters: BTreeMap::new(),
            seen: BTreeMap::new(),
            offsets: Vec::new(),
        }
    }

    /// Whether it is still this device.
    pub(super) fn is_of(&self, device: &DeviceIdentity) -> bool {
        self.vendor == device.vendor && self.model == device.model && self.serial == device.serial
    }

    /// Ids begin anew.
    pub(super) fn renew(&mut self) {
        self.incarnation = random();
    }

    /// The device began anew: whatever it counted, it counts again.
    pub(super) fn restart(&mut self) {
        self.renew();
        self.counters.clear();
    }

    pub(super) fn counter(&self, event: &str) -> Option<i64> {
        self.counters.get(event).copied()
    }

    /// What this reading tells, against the last.
    pub(super) fn counted(&self, event: &str, reading: CounterReading) -> Counted {
        let Some(before) = self.counter(event) else {
            return Counted::On;
        };
        let (before, value) = (i128::from(before), i128::from(reading.value));
        if value == before || value == before + 1 {
            return Counted::On;
        }
        if value > before {
            return Counted::Jumped(value - before - 1);
        }
        let Some(last) = reading.last.map(i128::from) else {
            return Counted::Restarted;
        };
        let first = i128::from(reading.first);
        let missing = (last - before) + (value - first);
        let range = last - first + 1;
        if before <= last && value >= first && (missing == 0 || missing < range / NEAR_END) {
            Counted::Wrapped(missing)
        } else {
            Counted::Restarted
        }
    }

    pub(super) fn count(&mut self, event: &str, value: i64) {
        if self.counters.len() < MAX_EVENTS || self.counters.contains_key(event) {
            self.counters.insert(event.to_owned(), value);
        }
    }

    pub(super) fn see(&mut self, event: &str, wall: i64) {
        if self.seen.len() < MAX_EVENTS || self.seen.contains_key(event) {
            self.seen.insert(event.to_owned(), wall);
        }
    }

    /// The offset of the device's clock: the median of the last live ones.
    pub(super) fn offset(&self) -> Option<i64> {
        let mut sorted = self.offsets.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    pub(super) fn learn(&mut self, offset: i64) {
        if self.offsets.len() >= OFFSETS {
            self.offsets.remove(0);
        }
        self.offsets.push(offset);
    }

    /// Our clock stepped: the device's is apart from it by that much less.
    pub(super) fn stepped(&mut self, by: i64) {
        for offset in &mut self.offsets {
            *offset = offset.saturating_sub(by);
        }
    }

    pub(super) fn stored(&self, slot: &SlotName) -> StateChange {
        let mut key = vec![space::SLOT];
        key.extend(slot.to_string().into_bytes());
        let mut kept = self.clone();
        let value = loop {
            let value = serde_json::to_vec(&kept).unwrap_or_default();
            let spared = value.len() <= 3_400 || kept.seen.pop_last().or(kept.counters.pop_last()).is_none();
            if spared {
                break value;
            }
        };
        StateChange {
            key,
            value: Some(value),
        }
    }
}

fn random() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The slot whose state has this key, where it is one of this room's.
#[must_use]
pub fn slot_of(key: &[u8]) -> Option<SlotName> {
    let (first, rest) = key.split_first()?;
    if *first != space::SLOT {
        return None;
    }
    let (station, slot) = std::str::from_utf8(rest).ok()?.split_once('.')?;
    Some(SlotName::new(station, slot))
}
