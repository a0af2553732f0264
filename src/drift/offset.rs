//! The clock of a device against ours. Owns what its offset usually is, and when it stepped or went away.
//!
//! What is seen late makes an offset smaller, and differs from result to result: only offsets that agree are believed.

use super::show::span;
use serde::{Deserialize, Serialize};

/// Results that must agree.
const AGREE: usize = 5;
/// Milliseconds within which they do: clocks of devices have seconds.
const ALIKE: i64 = 2_000;
/// A step beyond this is told.
const STEP: i64 = 5_000;
/// What a poor clock goes away by in a day while nothing is heard of it.
const DAILY: i64 = 15_000;
const DAY: i64 = 86_400_000;
/// Going away beyond this is told.
const AWAY: i64 = 60_000;
/// A clock this near to the right time, zones aside, was corrected.
const RIGHT: i64 = 3_000;
const HOUR: i64 = 3_600_000;
/// How near to an hour a step is one of summer time.
const SUMMER: i64 = 60_000;

/// The clock of one slot's device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Offset {
    /// Device time less ours when it was last told, or first settled, and when that was.
    base: Option<(i64, i64)>,
    /// The usual one, followed as it drifts.
    usual: i64,
    /// When it was heard last (wall milliseconds).
    #[serde(default)]
    heard: i64,
    /// Extremes since the last step that was told.
    low: i64,
    high: i64,
    #[serde(skip)]
    recent: heapless::Vec<i64, AGREE>,
}

impl Offset {
    /// Our own clock was moved by so many milliseconds.
    pub(super) fn clock_stepped(&mut self, by: i64) {
        for offset in [&mut self.usual, &mut self.low, &mut self.high]
            .into_iter()
            .chain(self.base.as_mut().map(|(offset, _)| offset))
            .chain(self.recent.iter_mut())
        {
            *offset = offset.saturating_sub(by);
        }
    }

    /// A live result that the device says was made at `said`, seen at `seen`. Returns why that is worth an alarm.
    pub(super) fn hear(&mut self, said: i64, seen: i64) -> Option<String> {
        let offset = said.saturating_sub(seen);
        if self.recent.is_full() {
            self.recent.remove(0);
        }
        let kept = self.recent.push(offset);
        debug_assert!(kept.is_ok(), "room was made");
        let (Some(low), Some(high)) = (self.recent.iter().min().copied(), self.recent.iter().max().copied()) else {
            return None;
        };
        if !self.recent.is_full() || high.saturating_sub(low) > ALIKE {
            return None;
        }
        let Some((base, since)) = self.base else {
            self.settle(high, seen);
            return None;
        };
        let pause = seen.saturating_sub(std::mem::replace(&mut self.heard, seen)).max(0);
        let most = STEP.saturating_add(pause.saturating_mul(DAILY) / DAY);
        let step = high.saturating_sub(self.usual);
        if step.abs() <= ALIKE.max(most - STEP) {
            // It drifts, and is followed.
            self.usual = high;
            self.low = self.low.min(high);
            self.high = self.high.max(high);
            let away = high.saturating_sub(base);
            if away.abs() <= AWAY || high.abs() <= RIGHT {
                return None;
            }
            self.settle(high, seen);
            return Some(format!(
                "the clock of the device has gone {} {} in {}: is it set by a time server?",
                span(away),
                if away > 0 { "fast" } else { "slow" },
                span(seen.saturating_sub(since)),
            ));
        }
        let usual = self.usual;
        let known = (self.low - STEP..=self.high + STEP).contains(&high);
        if step.abs() <= most || known {
            self.usual = high;
            return None;
        }
        self.settle(high, seen);
        // Set right by a time server, or by hand; its zone may be another than ours.
        let drifted = usual.saturating_sub(high).abs() <= AWAY;
        if high.abs() <= RIGHT && drifted {
            return None;
        }
        let how = if step > 0 { "forward" } else { "back" };
        let summer = (step.abs() - HOUR).abs() <= SUMMER;
        let why = if summer {
            "an hour, as at the change of summer time: a device that keeps local time needs `zone` in `time` of its profile"
        } else {
            "was it set by hand, or did it lose the time when it was off?"
        };
        Some(format!(
            "the clock of the device stepped {how} by {}, in the last {AGREE} results, from {} to {} against the gateway's: {why}",
            span(step),
            against(usual),
            against(high),
        ))
    }

    fn settle(&mut self, offset: i64, seen: i64) {
        self.base = Some((offset, seen));
        self.heard = seen;
        (self.usual, self.low, self.high) = (offset, offset, offset);
    }
}

fn against(offset: i64) -> String {
    format!("{}{}", if offset < 0 { "-" } else { "+" }, span(offset))
}
