//! How often a device speaks by itself. Owns the usual interval and when it is another for long.
//!
//! Only what has a beat is judged: values that are read at intervals, and cycles of a machine. Pauses are none of it.

use super::show::span;
use serde::{Deserialize, Serialize};

/// Intervals that are looked at together.
const BLOCK: usize = 100;
/// Blocks before anything is judged.
const BLOCKS: u32 = 10;
/// Blocks after which another beat is usual.
const ACCEPTED: u16 = 20;
/// An interval so many times the longest usual one is a pause.
const PAUSE: f32 = 6.0;
/// How far outside of the range that was learned a beat is another.
const OTHER: f32 = 1.6;

/// How strictly a kind of event keeps time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    /// Its usual intervals may differ by this factor, else it has no beat.
    pub(super) within: f32,
    /// Wall milliseconds for which it is learned first.
    pub(super) learn: i64,
}

/// Values that are read at intervals.
pub(super) const READ: Beat = Beat {
    within: 1.5,
    learn: 86_400_000,
};
/// Cycles of a machine.
pub(super) const CYCLES: Beat = Beat {
    within: 2.0,
    learn: 3 * 86_400_000,
};

/// The beat of one event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cadence {
    /// Shortest and longest median of a block, milliseconds.
    low: f32,
    high: f32,
    blocks: u32,
    since: i64,
    told: bool,
    others: u16,
    #[serde(skip)]
    block: Vec<f32>,
    /// Tick of the last one.
    #[serde(skip)]
    last: Option<u64>,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// It comes at another beat.
    Other(String),
    /// It comes as it did, or that is usual now.
    Back,
}

impl Cadence {
    /// The next one, at `tick` and wall time `at`.
    pub(super) fn hear(&mut self, tick: u64, at: i64, beat: Beat) -> Option<Told> {
        let last = self.last.replace(tick)?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds between two events")]
        let interval = tick.checked_sub(last)? as f32;
        if self.blocks > 0 && interval > PAUSE * self.high || interval <= 0.0 {
            return None;
        }
        if self.block.is_empty() {
            self.block.reserve_exact(BLOCK);
        }
        self.block.push(interval);
        if self.block.len() < BLOCK {
            return None;
        }
        let (_, middle, _) = self.block.select_nth_unstable_by(BLOCK / 2, f32::total_cmp);
        let middle = *middle;
        let outside = |low: f32, high: f32| {
            let (low, high) = (low / OTHER, high * OTHER);
            let out = self.block.iter().filter(|interval| !(low..=high).contains(*interval));
            out.count() * 10 >= BLOCK * 8
        };
        let known =
            self.blocks >= BLOCKS && self.high <= self.low * beat.within && at.saturating_sub(self.since) >= beat.learn;
        let other = known && outside(self.low, self.high);
        self.block.clear();
        if !other {
            if self.blocks == 0 {
                (self.low, self.high, self.since) = (middle, middle, at);
            }
            self.blocks = self.blocks.saturating_add(1);
            self.others = 0;
            self.low = self.low.min(middle);
            self.high = self.high.max(middle);
            return std::mem::take(&mut self.told).then_some(Told::Back);
        }
        self.others = self.others.saturating_add(1);
        if self.others >= ACCEPTED {
            *self = Self {
                last: self.last,
                ..Self::default()
            };
            return Some(Told::Back);
        }
        if self.told {
            return None;
        }
        self.told = true;
        let usual = if self.high > self.low * 1.1 {
            format!("{} to {}", millis(self.low), millis(self.high))
        } else {
            millis(self.high)
        };
        Some(Told::Other(format!(
            "came every {usual} in {}, the last {BLOCK} came every {}: was its trigger, its poll time or the machine changed, or does it come twice?",
            span(at.saturating_sub(self.since)),
            millis(middle),
        )))
    }

    /// What was told is over; a beat is learned anew.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

fn millis(interval: f32) -> String {
    if interval < 1_000.0 {
        return format!("{interval:.0} ms");
    }
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds between two events")]
    let whole = interval as i64;
    span(whole)
}
