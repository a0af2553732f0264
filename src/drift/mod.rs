//! Drift: a device that changes under the same profile, or whose values do not fit those of the device before it, is noticed.
//!
//! Owns what is usual for a slot (learned, bounded, kept in the store) and when a departure from it is worth an alarm.
//! Owns no alarm event ([`crate::contract`]) and no decoding. Pure: values in, findings out; time comes with what is said.
//!
//! [`slot`] takes what is said apart; each kind of departure has a file of its own: [`level`] and [`span`] (scale), [`stuck`],
//! [`fields`], [`facts`] (firmware, serial), [`offset`] (clock), [`cadence`], [`ids`]; [`alarms`] sees to it that what comes
//! comes once, and goes. What is told is never guessed from one value: a departure has to last, and to have a known reason.

mod alarms;
mod cadence;
mod factors;
mod facts;
mod fields;
mod ids;
mod keep;
mod level;
mod offset;
mod show;
mod slot;
mod span;
mod stuck;
#[cfg(test)]
mod tests;

use crate::model::{Draft, Moment, SlotName, StateChange};
use slot::SlotMemory;
use std::collections::{BTreeMap, HashMap};

/// Milliseconds after which everything that was learned is stored.
const KEEP: u64 = 300_000;
/// Unknown codes of one slot that are counted apart.
const COUNTED: usize = 32;

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose.
    pub slot: SlotName,
    /// Stable code of the alarm, `drift_scale`.
    pub code: &'static str,
    /// Whether it came or went.
    pub active: bool,
    /// In a sentence, with the evidence.
    pub text: String,
}

/// How often what was told of a slot, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Alarms that came, by code.
    pub alarms: BTreeMap<&'static str, u64>,
    /// Quarantines by reason, of codes that the profile does not know: 32 reasons at most.
    pub codes: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a reason.
    fn code(&mut self, reason: &str) -> u64 {
        if let Some(count) = self.codes.get_mut(reason) {
            *count = count.saturating_add(1);
            return *count;
        }
        if self.codes.len() < COUNTED {
            self.codes.insert(reason.to_owned(), 1);
        }
        1
    }
}

/// What is usual, of every slot.
#[derive(Debug, Default)]
pub struct Drift {
    slots: HashMap<SlotName, SlotMemory>,
    /// When everything was stored last (tick).
    kept: Option<u64>,
    changes: Vec<StateChange>,
}

impl Drift {
    /// Brings back what was stored of a slot under [`crate::model::commit::space::DRIFT`]. What cannot be read is learned anew.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) {
        if let Some((slot, part, which)) = keep::taken(key) {
            let memory = self.slots.entry(slot.clone()).or_insert_with(|| SlotMemory::new(&slot));
            memory.restore(part, which, value);
        }
    }

    /// A draft that became an event (a quarantine too), in the order of the topic. What was turned away as a duplicate does
    /// not belong here, and neither does what the gateway itself says.
    pub fn said(&mut self, draft: &Draft) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !draft.kind.is_mapped() || draft.event.is_empty() {
            return findings;
        }
        let slot = self
            .slots
            .entry(draft.slot.clone())
            .or_insert_with(|| SlotMemory::new(&draft.slot));
        slot.said(draft, &mut findings);
        for finding in findings.iter().filter(|finding| finding.active) {
            let count = slot.tally.alarms.entry(finding.code).or_default();
            *count = count.saturating_add(1);
        }
        slot.give_changes(&mut self.changes);
        findings
    }

    /// Time went on: what was learned is made ready to be stored every five minutes.
    pub fn look(&mut self, now: Moment) {
        let due = self.kept.is_none_or(|kept| now.tick.saturating_sub(kept) >= KEEP);
        if due {
            self.kept = Some(now.tick);
            self.keep_all();
        }
    }

    /// Everything that was learned is made ready to be stored, before an orderly end.
    pub fn keep_all(&mut self) {
        for slot in self.slots.values_mut() {
            slot.keep_all();
            slot.give_changes(&mut self.changes);
        }
    }

    /// The gateway's own clock was moved by so many milliseconds: no device's clock was.
    pub fn clock_stepped(&mut self, by: i64) {
        for slot in self.slots.values_mut() {
            slot.clock_stepped(by);
        }
    }

    /// What is to be stored; needs no sync of its own.
    pub fn take_changes(&mut self) -> Vec<StateChange> {
        std::mem::take(&mut self.changes)
    }

    /// What was told since the start, of each slot that said something.
    pub fn counts(&self) -> impl Iterator<Item = (&SlotName, &Tally)> {
        self.slots.iter().map(|(slot, memory)| (slot, &memory.tally))
    }
}
