//! What is remembered of a slot's device: who it is, which incarnation of its ids counts, its counters and its clock.

use super::counter::{self, Course};
use super::slot_key;
use crate::model::draft::DeviceIdentity;
use crate::model::{Draft, SlotName, StateChange};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Live results whose clock offset is remembered.
const OFFSETS: usize = 9;
/// Offsets that differ by less than this are the same: a device's clock has seconds.
const SAME_OFFSET: i64 = 1_000;

/// Stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SlotState {
    /// Vendor, model and serial.
    device: Option<(String, String, Option<String>)>,
    /// Which life of its ids this is.
    pub(super) incarnation: String,
    /// Last value of the counter of each event.
    #[serde(default)]
    pub(super) counters: BTreeMap<String, i64>,
    /// Device time (wall milliseconds) of the last counted result of each event, where it had one.
    #[serde(default)]
    said: BTreeMap<String, i64>,
    /// Events whose counter stood below what it starts from since: the device may have been reset, or only been off.
    #[serde(default)]
    doubted: BTreeSet<String>,
    /// Device time less gateway time of the last live results, in milliseconds.
    #[serde(default)]
    offsets: heapless::Vec<i64, OFFSETS>,
    /// Wall time of the last result, to the second.
    #[serde(default)]
    seen: Option<i64>,
}

impl Default for SlotState {
    fn default() -> Self {
        Self {
            device: None,
            incarnation: incarnation(),
            counters: BTreeMap::new(),
            said: BTreeMap::new(),
            doubted: BTreeSet::new(),
            offsets: heapless::Vec::new(),
            seen: None,
        }
    }
}

fn incarnation() -> String {
    format!("{:016x}", rand::rng().random::<u64>())
}

/// A counter that stood below its start shows its last value again.
pub(super) struct CameBack {
    /// With the device time that it had then.
    pub(super) same_time: bool,
}

impl SlotState {
    /// The device that speaks: another one than before has ids, counters and a clock of its own.
    pub(super) fn meet(&mut self, device: &DeviceIdentity) {
        let who = (device.vendor.clone(), device.model.clone(), device.serial.clone());
        if self.device.as_ref() == Some(&who) {
            return;
        }
        if self.device.is_some() {
            self.renew();
            self.counters.clear();
            self.said.clear();
            self.doubted.clear();
            self.offsets.clear();
        }
        self.device = Some(who);
    }

    /// Its ids begin anew.
    pub(super) fn renew(&mut self) {
        self.incarnation = incarnation();
    }

    /// Whether the counter went round its end and is all that the device's ids consist of: the same ids come again,
    /// for other results.
    pub(super) fn wraps_alone(&self, draft: &Draft) -> bool {
        let Some(reading) = draft.counter.filter(|_| !draft.backfill) else {
            return false;
        };
        let lower = self
            .counters
            .get(&*draft.event)
            .is_some_and(|known| reading.value < *known);
        lower && draft.id.as_ref().is_some_and(|id| **id == [reading.value.to_string()])
    }

    /// What the counter of `draft` tells after the one before it.
    pub(super) fn course(&self, draft: &Draft) -> Course {
        let counted = self.counters.get(&*draft.event).copied();
        match draft.counter {
            // What is fetched comes in its order: it is further on, or was there before, but begins nothing anew.
            Some(reading) if draft.backfill && counted.is_some_and(|known| reading.value <= known) => Course::Next,
            Some(reading) => counter::follow(counted, reading),
            None => Course::Next,
        }
    }

    /// Takes note of the counter.
    pub(super) fn count(&mut self, draft: &Draft) {
        let counted = self.counters.get(&*draft.event).copied();
        let further = |value: i64| !draft.backfill || counted.is_none_or(|known| value > known);
        if let Some(reading) = draft.counter.filter(|reading| further(reading.value)) {
            let event = draft.event.to_string();
            self.doubted.remove(&event);
            match &draft.device_time {
                Some(time) => self.said.insert(event.clone(), time.wall),
                None => self.said.remove(&event),
            };
            self.counters.insert(event, reading.value);
        }
    }

    /// The counter stands below what it starts from: what follows tells whether the device counts anew.
    pub(super) fn doubt(&mut self, draft: &Draft) {
        self.doubted.insert(draft.event.to_string());
    }

    /// Whether the counter came back to its last value from below its start: either the same result is shown again,
    /// of the same device time, or the device counts anew and is as far as before.
    pub(super) fn came_back(&self, draft: &Draft) -> Option<CameBack> {
        let reading = draft.counter.filter(|_| !draft.backfill)?;
        let back = self.doubted.contains(&*draft.event) && self.counters.get(&*draft.event) == Some(&reading.value);
        let said = draft.device_time.as_ref().map(|time| time.wall);
        back.then(|| CameBack {
            // Without a time nobody can tell, and nothing may be swallowed.
            same_time: said.is_some() && self.said.get(&*draft.event).copied() == said,
        })
    }

    /// Learns the offset of the device's clock from a live result, and when the device last had something to say.
    pub(super) fn learn(&mut self, draft: &Draft) {
        if draft.id.is_none() && draft.counter.is_none() && draft.device_time.is_none() {
            return;
        }
        self.seen = Some(draft.seen.wall - draft.seen.wall.rem_euclid(1_000));
        let (Some(said), Some(_), false) = (&draft.device_time, draft.since, draft.backfill) else {
            return;
        };
        let offset = said.wall.saturating_sub(draft.seen.wall);
        let known = self.offset();
        if self.offsets.len() == OFFSETS && known.is_some_and(|known| (known - offset).abs() < SAME_OFFSET) {
            return;
        }
        if self.offsets.is_full() {
            self.offsets.remove(0);
        }
        let kept = self.offsets.push(offset);
        debug_assert!(kept.is_ok(), "room was made");
    }

    /// The device's clock less ours, in milliseconds: the largest of what was learned. What was seen late, behind others that
    /// waited, makes it only smaller, and so do the seconds that most devices cut.
    pub(super) fn offset(&self) -> Option<i64> {
        self.offsets.iter().copied().max()
    }

    /// When the last result was seen.
    pub(super) const fn last_seen(&self) -> Option<i64> {
        self.seen
    }

    pub(super) fn change(&self, slot: &SlotName) -> StateChange {
        StateChange {
            key: slot_key(slot),
            value: serde_json::to_vec(self).ok(),
        }
    }
}
