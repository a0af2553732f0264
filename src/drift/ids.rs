//! Ids and counters as they run. Owns when they begin anew, when one id names several results, and when one result comes
//! under two ids.
//!
//! Owns no incarnation: the contract renews it by itself. This only says so, to somebody who can find out why.

use crate::model::draft::CounterReading;
use serde::{Deserialize, Serialize};

/// Results that are compared with one another.
const RECENT: usize = 12;
/// Pairs among them that are too many.
const PAIRS: usize = 5;
/// Results of one id among them that are too many.
const COLLISIONS: usize = 3;
/// Milliseconds within which no device makes the same result twice.
const AT_ONCE: u64 = 1_500;
/// Restarts after which they are the habit of a device (counters that begin with each power-on).
const HABIT: u8 = 3;
/// Steps upwards before an id counts as one that climbs.
const CLIMBS: u32 = 50;
/// Lower ones in a row that are a restart.
const LOWER: u8 = 3;

/// One result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Past {
    id: u64,
    values: u64,
    tick: u64,
    doubled: bool,
}

/// The ids of one event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ids {
    /// Last counter, or last number in an id.
    counter: Option<i64>,
    last: Option<u64>,
    climbed: u32,
    restarts: u8,
    #[serde(skip)]
    lower: u8,
    #[serde(skip)]
    recent: heapless::Vec<Past, RECENT>,
    #[serde(skip)]
    told_pairs: bool,
    #[serde(skip)]
    told_collisions: bool,
}

/// A result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard<'a> {
    pub(super) id: Option<&'a [String]>,
    pub(super) counter: Option<CounterReading>,
    pub(super) tick: u64,
    /// Of its id and of its values; values that cannot tell two results apart have none.
    pub(super) id_hash: u64,
    pub(super) values_hash: Option<u64>,
}

/// What a result tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Something of its ids.
    Came(&'static str, String),
    /// It is over.
    Went(&'static str),
}

impl Ids {
    /// Another device: its ids are its own.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The next result, seen live.
    pub(super) fn hear(&mut self, heard: Heard<'_>, told: &mut Vec<Told>) {
        if let Some(reading) = heard.counter {
            self.count(reading, told);
        } else if let Some(id) = heard.id {
            self.climb(id, told);
        }
        self.compare(heard, told);
    }

    fn count(&mut self, reading: CounterReading, told: &mut Vec<Told>) {
        let Some(known) = self.counter.replace(reading.value) else {
            return;
        };
        if reading.value >= known || wraps(known, reading) {
            return;
        }
        self.restart(
            told,
            &format!("the counter was {known} and is {} now", reading.value),
            "was the device reset or replaced, or is it another one behind the same address? Ids count anew",
        );
    }

    fn climb(&mut self, id: &[String], told: &mut Vec<Told>) {
        let number = id
            .last()
            .filter(|text| text.len() <= 18)
            .and_then(|text| text.parse().ok());
        let Some(now) = number else {
            self.last = None;
            self.climbed = 0;
            return;
        };
        let Some(last) = self.last else {
            self.last = Some(now);
            return;
        };
        if now >= last {
            self.climbed = self.climbed.saturating_add(1);
            self.last = Some(now);
            self.lower = 0;
            return;
        }
        if self.climbed < CLIMBS || rolls_over(last) {
            self.last = Some(now);
            self.climbed = if rolls_over(last) { self.climbed } else { 0 };
            return;
        }
        self.lower = self.lower.saturating_add(1);
        if self.lower >= LOWER {
            self.last = Some(now);
            self.lower = 0;
            let text = format!("ids only climbed, the last was {last}, and the last {LOWER} are lower: {now} now");
            self.restart(
                told,
                &text,
                "was the device reset or replaced, or was its memory cleared?",
            );
        }
    }

    fn restart(&mut self, told: &mut Vec<Told>, how: &str, why: &str) {
        self.restarts = self.restarts.saturating_add(1);
        if self.restarts > HABIT {
            return;
        }
        let habit = if self.restarts == HABIT {
            "; it does so again and again, and is not told any more"
        } else {
            ""
        };
        told.push(Told::Came("restart", format!("{how}: {why}{habit}")));
    }

    fn compare(&mut self, heard: Heard<'_>, told: &mut Vec<Told>) {
        let Some(values) = heard.values_hash else { return };
        // Where all results are alike nothing can be told.
        let before = self.recent.len().checked_sub(2).and_then(|at| self.recent.get(at));
        let moves = before.is_some_and(|before| before.values != values);
        let twin = self.recent.last().is_some_and(|past| {
            moves
                && past.values == values
                && past.id != heard.id_hash
                && !past.doubled
                && heard.tick.saturating_sub(past.tick) <= AT_ONCE
        });
        if self.recent.is_full() {
            self.recent.remove(0);
        }
        let kept = self.recent.push(Past {
            id: heard.id_hash,
            values,
            tick: heard.tick,
            doubled: twin,
        });
        debug_assert!(kept.is_ok(), "room was made");
        let pairs = self.recent.iter().filter(|past| past.doubled).count();
        if pairs >= PAIRS && !self.told_pairs {
            self.told_pairs = true;
            told.push(Told::Came(
                "pairs",
                format!(
                    "{pairs} of the last {} results are the result before once more, with the same values within {:.1} s, under another id: does its trigger fire twice, or do two events tell the same?",
                    self.recent.len(),
                    f64::from(u32::try_from(AT_ONCE).unwrap_or(0)) / 1_000.0,
                ),
            ));
        } else if pairs == 0 && self.told_pairs {
            self.told_pairs = false;
            told.push(Told::Went("pairs"));
        }
        let Some(id) = heard.id else { return };
        let mut same: heapless::Vec<u64, RECENT> = heapless::Vec::new();
        for past in self.recent.iter().filter(|past| past.id == heard.id_hash) {
            if !same.contains(&past.values) && same.push(past.values).is_err() {
                break;
            }
        }
        if same.len() >= COLLISIONS && !self.told_collisions {
            self.told_collisions = true;
            told.push(Told::Came(
                "collisions",
                format!(
                    "the id {} came with {} different results among the last {}: what `id` of the profile names is no id of a result (a program, a part?), and results cannot be told apart",
                    id.join("/"),
                    same.len(),
                    self.recent.len(),
                ),
            ));
        } else if self.told_collisions && self.recent.is_full() && self.alone() {
            self.told_collisions = false;
            told.push(Told::Went("collisions"));
        }
    }

    /// Whether each of the recent ids came once.
    fn alone(&self) -> bool {
        let recent = self.recent.iter().enumerate();
        recent
            .clone()
            .all(|(at, past)| recent.clone().all(|(other, with)| at == other || past.id != with.id))
    }
}

/// Whether a lower value is what follows the documented end, a few missed results included.
fn wraps(known: i64, reading: CounterReading) -> bool {
    let Some(last) = reading.last.filter(|last| known <= *last) else {
        return false;
    };
    let way = last
        .saturating_sub(known)
        .saturating_add(reading.value.saturating_sub(reading.first))
        .saturating_add(1);
    let size = last.saturating_sub(reading.first).saturating_add(1);
    way <= if reading.waits { 1 } else { (size / 4).max(2) }
}

/// Whether a number stands at the end of what its digits or its words hold.
fn rolls_over(last: u64) -> bool {
    let ends = [8, 15, 16, 31, 32].map(|bits| (1_u64 << bits) - 1);
    let decades = (2..=12).map(|digits| 10_u64.pow(digits) - 1);
    ends.into_iter()
        .chain(decades)
        .any(|end| last <= end && end - last <= (end / 100).min(50))
}
