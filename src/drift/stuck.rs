//! A value with a spread that no longer moves. Owns how often a value repeats itself, and when that is no chance.

use serde::{Deserialize, Serialize};

/// Values before anything is judged.
const LEARNED: u32 = 100;
/// A value that repeats itself more often than this is not judged: its last digit is as coarse as its spread, and it may come to
/// rest between two steps by itself.
const REPEATS: f64 = 0.25;
/// A value that ever rested for longer is not judged: a machine that is off.
const RESTS: u32 = 200;
/// Fewer of the same are never told.
const FEWEST: u32 = 20;
/// Chance that as many of the same come by themselves.
const CHANCE: f64 = 1e-9;
/// Counts are halved beyond this, so that what is long ago weighs less.
const HALVED: u32 = 4_000;

/// How one value repeats itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Repeats {
    /// Bits of the last one.
    last: u64,
    /// How many of the same there are in a row.
    run: u32,
    /// The most that there were in a row before.
    longest: u32,
    /// Values, and how many of them were the same as the one before.
    values: u32,
    same: u32,
    /// The run began when it could be judged.
    #[serde(default)]
    fair: bool,
    /// Told.
    #[serde(default)]
    told: bool,
}

/// What the next value tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuck {
    /// Nothing.
    No,
    /// So many of the same in a row, of which at most so many were usual.
    Came {
        /// In a row now.
        run: u32,
        /// In a row before, at most.
        longest: u32,
    },
    /// It moves again.
    Went,
}

impl Repeats {
    /// The next value. `judged`: whether there was time enough to learn.
    pub(super) fn hear(&mut self, value: f64, judged: bool) -> Stuck {
        let bits = value.to_bits();
        if self.values == 0 || bits != self.last {
            let told = std::mem::take(&mut self.told);
            self.longest = self.longest.max(self.run);
            if self.values >= HALVED {
                self.values /= 2;
                self.same /= 2;
            }
            self.values += 1;
            self.last = bits;
            self.run = 1;
            self.fair = judged;
            return if told { Stuck::Went } else { Stuck::No };
        }
        self.run = self.run.saturating_add(1);
        if self.told {
            return Stuck::No;
        }
        if self.fair && self.values >= LEARNED && self.run >= self.most().unwrap_or(u32::MAX) {
            self.told = true;
            // What was counted of this run is no habit of the value.
            self.same = self.same.saturating_sub(self.run);
            self.values = self.values.saturating_sub(self.run);
            return Stuck::Came {
                run: self.run,
                longest: self.longest,
            };
        }
        self.values = self.values.saturating_add(1);
        self.same = self.same.saturating_add(1);
        Stuck::No
    }

    /// How many of the same are no chance any more; `None`: it cannot be told.
    fn most(&self) -> Option<u32> {
        // The run that is being judged does not speak for itself.
        let run = self.run.saturating_sub(2);
        let (values, same) = (self.values.saturating_sub(run), self.same.saturating_sub(run));
        let chance = (f64::from(same) + 1.0) / (f64::from(values) + 2.0);
        if chance > REPEATS || self.longest > RESTS {
            return None;
        }
        let improbable = (CHANCE.ln() / chance.ln()).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 60"
        )]
        let improbable = improbable.clamp(1.0, 1_000.0) as u32;
        Some(
            improbable
                .max(FEWEST)
                .max(self.longest.saturating_mul(3).saturating_add(5)),
        )
    }

    /// Another device: it may be stuck elsewhere, but what it was told for is over.
    pub(super) fn forgive(&mut self) {
        self.told = false;
        self.run = 0;
        self.values = 0;
        self.same = 0;
        self.longest = 0;
    }
}
