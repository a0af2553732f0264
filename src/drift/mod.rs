//! Drift: a device that changes under the same profile, or whose values do not fit those of the device before it, is noticed.
//!
//! Owns what is usual for a slot (learned, bounded, kept in the store) and when a departure from it is worth an alarm.
//! Owns no alarm event ([`crate::contract`]) and no decoding. Pure: values in, findings out; time comes with what is said.

use crate::model::{Draft, Moment, SlotName, StateChange};

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

/// What is usual, of every slot.
#[derive(Debug, Default)]
pub struct Drift {}

impl Drift {
    /// Brings back what was stored of a slot under [`crate::model::commit::space::DRIFT`].
    pub fn restore(&mut self, key: &[u8], value: &[u8]) {
        let _ = (key, value);
    }

    /// A draft that is about to be sealed.
    pub fn said(&mut self, draft: &Draft) -> Vec<Finding> {
        let _ = draft;
        Vec::new()
    }

    /// Time went on; what stays away is noticed here.
    pub fn look(&mut self, now: Moment) -> Vec<Finding> {
        let _ = now;
        Vec::new()
    }

    /// What is to be stored; needs no sync of its own.
    pub fn take_changes(&mut self) -> Vec<StateChange> {
        Vec::new()
    }
}
