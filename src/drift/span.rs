//! The span of one reading: a signal that goes on, of which only the extremes and the last value are kept.
//!
//! Owns when a reading is outside of all it ever was, by a known ratio and from one reading to the next. A reading that
//! ranges widely (a current, a pressure that is let off at night) is not judged: nothing can be told of its scale.

use super::factors;
use super::show::{number, range, span};
use super::stuck::{Repeats, Stuck};
use serde::{Deserialize, Serialize};

/// Readings before anything is judged.
const LEARNED: u32 = 300;
/// How long a reading is learned before a greater one is judged: a day has all shifts.
const DAY: i64 = 86_400_000;
/// How long before a smaller one, and one that does not move: a week has a weekend.
const WEEK: i64 = 7 * DAY;
/// A reading whose extremes are further apart is not judged.
const WIDE: f64 = 4.0;
/// How far outside of its extremes a reading is elsewhere.
const OUTSIDE: f64 = 1.3;
/// Readings in a row that are elsewhere.
const ELSEWHERE: u32 = 30;
/// Readings elsewhere after which they are usual.
const ACCEPTED: u32 = 2_000;
/// Logarithm within which the step is a known ratio.
const STEP: f64 = 0.03;

/// One reading.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Span {
    low: f64,
    high: f64,
    last: f64,
    learned: u32,
    /// Wall milliseconds of the first.
    since: i64,
    told: bool,
    /// First one elsewhere, and how many since.
    #[serde(default)]
    off: u32,
    #[serde(default)]
    first: f64,
    #[serde(default)]
    off_low: f64,
    #[serde(default)]
    off_high: f64,
    repeats: Repeats,
    #[serde(skip)]
    pub(super) unsaved: u16,
}

/// What a reading tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// It is elsewhere.
    Scale(String),
    /// It is where it was, or that is usual now.
    Back,
    /// It does not move.
    Stuck(String),
    /// It moves again.
    Moves,
}

/// Temperatures: from degrees Celsius to Fahrenheit and Kelvin, and back.
const TEMPERATURES: [(f64, f64, &str); 4] = [
    (1.8, 32.0, "as degrees Fahrenheit are to degrees Celsius"),
    (1.0 / 1.8, -32.0 / 1.8, "as degrees Celsius are to degrees Fahrenheit"),
    (1.0, 273.15, "as Kelvin are to degrees Celsius"),
    (1.0, -273.15, "as degrees Celsius are to Kelvin"),
];

impl Span {
    /// What was told is over; what is usual stays.
    pub(super) fn forgive(&mut self) {
        self.told = false;
        self.off = 0;
        self.repeats.forgive();
    }

    /// The next reading, at wall time `at`.
    pub(super) fn hear(&mut self, value: f64, uom: &str, at: i64, told: &mut Vec<Told>) {
        self.unsaved = self.unsaved.saturating_add(1);
        if self.learned == 0 {
            (self.low, self.high, self.last, self.since) = (value, value, value, at);
        }
        let age = at.saturating_sub(self.since);
        match self.repeats.hear(value, age >= WEEK) {
            Stuck::No => {}
            Stuck::Went => told.push(Told::Moves),
            Stuck::Came { run, longest } => told.push(Told::Stuck(format!(
                "was {} in the last {run} readings, to the last digit; in {} it was at most {longest} times the same in a row: does the sensor still measure, or is an old value read?",
                range(value, value, uom),
                span(age),
            ))),
        }
        let usual = self.is_usual(value);
        if usual || self.learned < LEARNED || !self.is_narrow() {
            if std::mem::take(&mut self.told) {
                told.push(Told::Back);
            }
            self.off = 0;
            self.learn(value);
            return;
        }
        if self.off == 0 {
            (self.first, self.off_low, self.off_high) = (value, value, value);
        }
        self.off = self.off.saturating_add(1);
        self.off_low = self.off_low.min(value);
        self.off_high = self.off_high.max(value);
        if self.told {
            if self.off >= ACCEPTED {
                told.push(Told::Back);
                self.begin_anew(value, at);
            }
        } else if self.off >= ELSEWHERE {
            if let Some(meaning) = self.meaning(uom, age) {
                self.told = true;
                told.push(Told::Scale(format!(
                    "was {} in {}, the last {} readings are {}, from {} to {} at once: {meaning}",
                    range(self.low, self.high, uom),
                    span(age),
                    self.off,
                    range(self.off_low, self.off_high, uom),
                    number(self.last),
                    number(self.first),
                )));
            } else {
                // It goes where it never was, by itself: that is usual from now on.
                self.off = 0;
                self.learn(self.off_low);
                self.learn(self.off_high);
                self.last = value;
            }
        }
    }

    fn is_usual(&self, value: f64) -> bool {
        let (low, high) = (self.low / OUTSIDE, self.high * OUTSIDE);
        let (low, high) = if self.low > 0.0 {
            (low, high)
        } else {
            (self.low * OUTSIDE, self.high / OUTSIDE)
        };
        (low..=high).contains(&value)
    }

    /// Whether its extremes are near enough to one another, and on one side of 0.
    fn is_narrow(&self) -> bool {
        self.low * self.high > 0.0 && {
            let ratio = self.high / self.low;
            (WIDE.recip()..=WIDE).contains(&ratio)
        }
    }

    fn meaning(&self, uom: &str, age: i64) -> Option<String> {
        if age < DAY {
            return None;
        }
        if matches!(uom, "Cel" | "[degF]" | "K") {
            for (factor, offset, words) in TEMPERATURES {
                let convert = |value: f64| value * factor + offset;
                let near = (convert(self.last) - self.first).abs() <= 1.0 + 0.01 * self.first.abs();
                let low = convert(self.low).min(convert(self.high)) - 10.0;
                let high = convert(self.low).max(convert(self.high)) + 10.0;
                if near && self.off_low >= low && self.off_high <= high {
                    return Some(format!("{words}; was the unit of the device changed?"));
                }
            }
        }
        let step = (self.first / self.last).ln();
        if !step.is_finite() || step < 0.0 && age < WEEK {
            return None;
        }
        let factor = factors::nearest(step, uom, STEP).filter(|factor| !factor.near)?;
        let fits = |value: f64| self.is_usual(value / factor.ratio);
        (fits(self.off_low) && fits(self.off_high))
            .then(|| format!("{} times, {}", number(factor.ratio), factor.words()))
    }

    fn learn(&mut self, value: f64) {
        self.low = self.low.min(value);
        self.high = self.high.max(value);
        self.last = value;
        self.learned = self.learned.saturating_add(1);
    }

    fn begin_anew(&mut self, value: f64, at: i64) {
        (self.low, self.high, self.last) = (self.off_low, self.off_high, value);
        (self.told, self.off, self.learned, self.since) = (false, 0, LEARNED, at);
    }
}
