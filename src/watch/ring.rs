//! Ring buffers in a device: which records are new, and which it has overwritten. Pure.
//!
//! Owns the arithmetic of indices. Raw indices count modulo `modulus`; the one that is remembered is the device's own at
//! the time when everything before it had been taken.

use crate::model::plan::{Address, Ring, SlotPlan};
use crate::model::{Decimal, Raw};

/// A ring with what is known of its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turns {
    slots: u64,
    stride: u16,
    newest: bool,
    modulus: u64,
}

/// The index as a number.
pub(super) fn number(raw: Option<&Raw>) -> Option<u64> {
    u64::try_from(raw?.number()?.to_i128()?).ok()
}

impl Turns {
    /// Of `ring`, whose index was `last` and is `now`.
    pub(super) fn new(plan: &SlotPlan, ring: &Ring, last: u64, now: u64) -> Self {
        let modulus = match plan.points.get(ring.index).map(|point| &point.at) {
            Some(Address::Modbus(at)) => ring.modulus(at, last, now),
            _ => u64::from(ring.slots.max(1)),
        };
        Self {
            slots: u64::from(ring.slots.max(1)),
            stride: ring.stride,
            newest: ring.newest,
            modulus,
        }
    }

    /// Records that the ring holds.
    pub(super) fn slots(self) -> u64 {
        self.slots
    }

    /// How many records were written from index `from` to index `to`; more than there are slots: some are overwritten.
    pub(super) fn between(self, from: u64, to: u64) -> u64 {
        let (from, to) = (from % self.modulus, to % self.modulus);
        if to >= from {
            to - from
        } else {
            self.modulus - from + to
        }
    }

    /// Whether an index tells how often the ring went round.
    pub(super) fn counts(self) -> bool {
        self.modulus > self.slots
    }

    /// From index `from` on, as far as the device, at `now`, still has it: where to go on, and whether something before
    /// that is lost. An index that went back is a device that began again.
    pub(super) fn reachable(self, from: u64, now: u64) -> (u64, bool) {
        if self.between(from, now) <= self.slots {
            return (from, false);
        }
        if now < from && now < self.slots {
            let begin = if self.newest { self.modulus - 1 } else { 0 };
            return (begin, true);
        }
        (self.oldest(now), true)
    }

    /// The index before the oldest record that is still there.
    pub(super) fn oldest(self, now: u64) -> u64 {
        let now = now % self.modulus;
        if now >= self.slots {
            now - self.slots
        } else {
            self.modulus - self.slots + now
        }
    }

    /// The index one record on.
    pub(super) fn next(self, index: u64) -> u64 {
        (index % self.modulus + 1) % self.modulus
    }

    /// The index one record back.
    pub(super) fn back(self, index: u64) -> u64 {
        (index % self.modulus + self.modulus - 1) % self.modulus
    }

    /// By how many registers the record that follows index `index` lies behind the first.
    pub(super) fn shift(self, index: u64) -> u16 {
        let record = if self.newest { self.next(index) } else { index };
        let slot = u16::try_from(record % self.slots).unwrap_or(0);
        slot.saturating_mul(self.stride)
    }
}

/// A record that was never written: zeros and blanks.
pub(super) fn is_blank(values: &[Option<Raw>]) -> bool {
    values.iter().flatten().all(|raw| match raw {
        Raw::Text(text) => text.chars().all(|c| c.is_whitespace() || c == '\0'),
        Raw::List(items) => items.iter().all(|item| item.number() == Some(Decimal::ZERO)),
        raw => raw.number() == Some(Decimal::ZERO),
    })
}

/// An index as the device would show it.
pub(super) fn raw(index: u64) -> Raw {
    Raw::Int(i64::try_from(index).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(modulus: u64, newest: bool) -> Turns {
        Turns {
            slots: 8,
            stride: 10,
            newest,
            modulus,
        }
    }

    #[test]
    fn an_index_of_slots_goes_round() {
        let ring = turns(8, false);
        assert_eq!((ring.between(6, 2), ring.counts()), (4, false));
        let shifts: Vec<u16> = [6, 7, 0, 1].iter().map(|index| ring.shift(*index)).collect();
        assert_eq!(shifts, [60, 70, 0, 10]);
        assert_eq!(ring.reachable(6, 2), (6, false));
        assert_eq!(ring.oldest(3), 3);
    }

    #[test]
    fn a_count_tells_what_was_overwritten_and_goes_over_its_end() {
        let ring = turns(65_536, false);
        assert_eq!(ring.reachable(100, 108), (100, false));
        assert_eq!(ring.reachable(100, 109), (101, true));
        assert_eq!(ring.between(65_530, 4), 10);
        assert_eq!(
            ring.reachable(65_530, 4),
            (0, true),
            "it began again, or went over its end: what is there is read"
        );
        assert_eq!(ring.reachable(65_534, 4), (65_534, false));
        assert_eq!(ring.shift(65_535), 70);
        assert_eq!(ring.reachable(500, 3), (0, true));
        assert_eq!(ring.reachable(500, 20), (12, true));
    }

    #[test]
    fn an_index_of_the_newest_is_one_behind() {
        let ring = turns(8, true);
        assert_eq!(ring.shift(0), 10, "after 0 comes the record in slot 1");
        assert_eq!(ring.shift(7), 0);
        assert_eq!((ring.next(7), ring.back(0)), (0, 7));
    }
}
