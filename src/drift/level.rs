//! The level of one value of one program: what it usually is, and when results that follow one another are elsewhere.
//!
//! Owns the statistics (a window of logarithms, its median and median deviation) and the judgement whether a departure is
//! a re-parameterized program, which is learned, or a changed unit or scale, which is told. Owns no alarm.
//! How many results are needed follows from the spread: as many as make the ratio certain to about 2 %.

use super::factors::{self, Factor};
use super::show::{number, range};
use super::stuck::{Repeats, Stuck};
use serde::{Deserialize, Serialize};

/// Values that make the usual level.
const WINDOW: usize = 40;
/// Values before anything is judged.
const LEARNED: u32 = 30;
/// What counts as learned of a program that was changed: it is known again after five more.
const AGAIN: u32 = LEARNED - 5;
/// Departing values that are looked at, at most; a departure without a reason of as many is the new level.
const OFF: usize = 16;
/// Departing values that are looked at, at least.
const FEWEST: usize = 5;
/// Departing values after which a level that was told is learned.
const ACCEPTED: u16 = 200;
/// Usual values after which what was told is over.
const USUAL: u8 = 5;
/// Logarithm within which any value is usual, however small the spread.
const BAND: f64 = 0.1;
/// Logarithm within which a ratio is a known one.
const SAME: f64 = 0.02;
/// A target that moved by less is the same.
const UNCHANGED: f64 = 0.004;
/// Spreads beyond these tell nothing of a known ratio, and of one that is near to 1.
const WIDE: f64 = 0.25;
const NARROW: f64 = 0.05;
/// Beyond this no word of a program explains it: 20 times.
const WILD: f64 = 3.0;
/// After a swap, beyond this: twice.
const UNLIKE: f64 = core::f64::consts::LN_2 + SAME;

/// A value that departed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Off {
    log: f64,
    value: f64,
    reference: Option<f64>,
    nok: bool,
}

/// What a value usually is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usual {
    middle: f64,
    /// Standard deviation of the logarithm, by the median deviation.
    spread: f64,
    low: f64,
    high: f64,
}

/// One value of one program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Level {
    /// Logarithms of the last usual ones.
    window: Vec<f32>,
    /// Where the next one goes.
    at: usize,
    learned: u32,
    negative: bool,
    /// Target, or a limit, that came with them.
    reference: Option<f64>,
    /// Departing values since the last usual one.
    off_total: u16,
    told: bool,
    /// Program of the device before that it was taken over from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inherited: Option<String>,
    repeats: Repeats,
    #[serde(skip)]
    off: Vec<Off>,
    #[serde(skip)]
    usual_run: u8,
    #[serde(skip)]
    usual: Option<Usual>,
    /// Values heard since it was stored.
    #[serde(skip)]
    pub(super) unsaved: u16,
}

/// A value and what came with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard<'a> {
    pub(super) value: f64,
    /// Target, or a limit where there is none.
    pub(super) reference: Option<f64>,
    pub(super) uom: &'a str,
    pub(super) nok: bool,
    /// The device or its file was changed a short while ago; what was before it: `T-100`.
    pub(super) fresh: Option<&'a str>,
    /// It is what the device controls or judges, not what follows from the part.
    pub(super) controlled: bool,
}

/// What a value tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// It is elsewhere: how it was, how it is, and what that is.
    Scale(String),
    /// It is where it was.
    Back,
    /// It stays where it is, and that is usual from now on.
    Accepted,
    /// It does not move.
    Stuck(String),
    /// It moves again.
    Moves,
}

fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let half = values.len() / 2;
    let (_, middle, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    *middle
}

/// Median, and the standard deviation that the median deviation tells.
fn robust(values: &mut [f64]) -> (f64, f64) {
    let middle = median(values);
    for value in values.iter_mut() {
        *value = (*value - middle).abs();
    }
    (middle, 1.4826 * median(values))
}

impl Level {
    /// Begins with what the device before it usually said, of its program `from`.
    pub(super) fn inherit(before: &Self, from: &str) -> Self {
        Self {
            window: before.window.clone(),
            at: before.at,
            learned: before.learned,
            negative: before.negative,
            reference: before.reference,
            inherited: Some(from.to_owned()),
            ..Self::default()
        }
    }

    /// Whether enough was heard to judge.
    pub(super) fn is_known(&self) -> bool {
        self.learned >= LEARNED && !self.window.is_empty()
    }

    /// What was told is over; what is usual stays. After a change of the device file.
    pub(super) fn forgive(&mut self) {
        self.told = false;
        self.off.clear();
        self.off_total = 0;
        self.usual_run = 0;
        self.repeats.forgive();
    }

    /// The next value.
    pub(super) fn hear(&mut self, heard: Heard<'_>, told: &mut Vec<Told>) {
        self.unsaved = self.unsaved.saturating_add(1);
        match self.repeats.hear(heard.value, true) {
            Stuck::No => {}
            Stuck::Went => told.push(Told::Moves),
            Stuck::Came { run, longest } => told.push(Told::Stuck(format!(
                "was {} in the last {run} results, to the last digit; before it was at most {longest} times the same in a row: does the device still measure, or is an old value read?",
                range(heard.value, heard.value, heard.uom),
            ))),
        }
        if heard.value == 0.0 || !heard.value.is_finite() {
            return;
        }
        let log = heard.value.abs().ln();
        if !self.is_known() {
            self.negative = heard.value < 0.0;
            if let (Some(before), Some(now)) = (self.reference, heard.reference)
                && (now / before - 1.0).abs() > UNCHANGED
            {
                // The program was changed while it was learned.
                self.window.clear();
                self.at = 0;
                self.learned = 0;
            }
            self.learn(log, heard.reference);
            return;
        }
        let usual = self.usual();
        let band = (4.0 * usual.spread).max(BAND);
        if (log - usual.middle).abs() <= band && (heard.value < 0.0) == self.negative {
            self.is_usual(log, heard, told);
            return;
        }
        self.departs(log, heard, usual, told);
    }

    fn is_usual(&mut self, log: f64, heard: Heard<'_>, told: &mut Vec<Told>) {
        self.usual_run = self.usual_run.saturating_add(1);
        if self.told {
            if self.usual_run < USUAL {
                return;
            }
            self.told = false;
            told.push(Told::Back);
        } else {
            // Outliers are part of what is usual: they widen it.
            for off in std::mem::take(&mut self.off) {
                self.learn(off.log, None);
            }
        }
        self.off.clear();
        self.off_total = 0;
        // A result that failed may be as usual by chance while the program is another.
        let settled = self.reference.is_none() || self.usual_run >= USUAL;
        self.learn(log, heard.reference.filter(|_| settled));
        if self.usual_run > 20 {
            self.inherited = None;
        }
    }

    fn departs(&mut self, log: f64, heard: Heard<'_>, usual: Usual, told: &mut Vec<Told>) {
        self.usual_run = 0;
        self.off_total = self.off_total.saturating_add(1);
        if self.off.len() == OFF {
            self.off.remove(0);
        }
        self.off.push(Off {
            log,
            value: heard.value,
            reference: heard.reference,
            nok: heard.nok,
        });
        if self.told {
            if self.off_total >= ACCEPTED {
                self.adopt();
                told.push(Told::Accepted);
            }
            return;
        }
        if self.off.len() < FEWEST {
            return;
        }
        match self.judge(heard, usual) {
            Judged::Known(text) => {
                self.told = true;
                self.off_total = 0;
                told.push(Told::Scale(text));
            }
            Judged::Follows => self.adopt(),
            Judged::Open if usize::from(self.off_total) >= OFF => self.adopt(),
            Judged::Open => {}
        }
    }

    fn judge(&self, heard: Heard<'_>, usual: Usual) -> Judged {
        let mut logs: Vec<f64> = self.off.iter().map(|off| off.log).collect();
        let (middle, scatter) = robust(&mut logs);
        let ratio = middle - usual.middle;
        let count = self.off.len();
        #[expect(clippy::cast_precision_loss, reason = "16 at most")]
        let needed = (1.25 * usual.spread / 0.015).powi(2).clamp(FEWEST as f64, OFF as f64);
        #[expect(clippy::cast_precision_loss, reason = "16 at most")]
        let enough = count as f64 >= needed;
        #[expect(clippy::cast_precision_loss, reason = "16 at most")]
        let tolerance = (2.5 * usual.spread / (count as f64).sqrt()).clamp(SAME, 0.06);
        let tight = scatter <= (2.0 * usual.spread).max(0.03);
        let is_near = |off: &&Off| (off.log - middle).abs() <= (4.0 * usual.spread).max(BAND);
        let together = self.off.iter().filter(is_near).count() * 3 >= count * 2;
        let known = |log: f64, tolerance: f64| -> Option<Factor> {
            (enough && tight && together)
                .then(|| factors::nearest(log, heard.uom, tolerance))
                .flatten()
                .filter(|factor| usual.spread <= if factor.near { NARROW } else { WIDE })
        };
        let steady = self.reference_of_all();
        if let (Some(before), Some(now)) = (self.reference, steady) {
            let moved = (now / before).abs().ln();
            let follows = ratio - moved;
            if follows.abs() <= (3.0 * usual.spread).max(BAND) && moved.abs() > UNCHANGED {
                // Value and target went together.
                let converted = known(moved, SAME).filter(|factor| !factor.near || was_converted(before, now, *factor));
                return match converted {
                    Some(factor) => {
                        Judged::Known(self.say(heard, usual, ratio, Some(factor), ", and its target with it"))
                    }
                    None => Judged::Follows,
                };
            }
            let beside = if moved.abs() <= UNCHANGED {
                format!(", while its target or limit still is {}", range(now, now, heard.uom))
            } else {
                String::new()
            };
            let factor = if moved.abs() <= UNCHANGED {
                known(ratio, tolerance)
            } else {
                known(follows, tolerance)
                    .or_else(|| known(ratio, tolerance))
                    .filter(|factor| !factor.near)
            };
            if let Some(factor) = factor {
                return Judged::Known(self.say(heard, usual, ratio, Some(factor), &beside));
            }
        } else {
            let factor = known(ratio, tolerance).filter(|factor| !factor.near || heard.fresh.is_some());
            if let Some(factor) = factor {
                return Judged::Known(self.say(heard, usual, ratio, Some(factor), ""));
            }
        }
        let noks = self.off.iter().filter(|off| off.nok).count();
        // After a swap the level of the device before is what a value is held against.
        let unlike = heard.fresh.is_some() && heard.controlled && ratio.abs() > UNLIKE && together;
        let wild = count >= 8 && usual.spread < 0.5 && (ratio > WILD || ratio < -WILD && noks * 2 < count);
        if unlike && (count >= 8 || noks * 2 < count) || wild {
            return Judged::Known(self.say(heard, usual, ratio, None, ""));
        }
        Judged::Open
    }

    /// The target or limit that all departing values have.
    fn reference_of_all(&self) -> Option<f64> {
        let recent = self.off.get(self.off.len().saturating_sub(FEWEST)..)?;
        let first = recent.first()?.reference?;
        let same = |off: &Off| {
            off.reference
                .is_some_and(|other| (other - first).abs() <= 1e-6 * first.abs())
        };
        (first != 0.0 && recent.iter().all(same)).then_some(first)
    }

    fn say(&self, heard: Heard<'_>, usual: Usual, ratio: f64, factor: Option<Factor>, beside: &str) -> String {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for off in &self.off {
            low = low.min(off.value);
            high = high.max(off.value);
        }
        let sign = if self.negative { -1.0 } else { 1.0 };
        let was = range(sign * usual.low.exp(), sign * usual.high.exp(), heard.uom);
        let from = match &self.inherited {
            Some(program) if !program.is_empty() => format!(" of {program}"),
            _ => String::new(),
        };
        let since = match heard.fresh {
            Some(before) => format!(" before the swap ({before})"),
            None => String::new(),
        };
        let is = range(low, high, heard.uom);
        let begins = format!(
            "was {was} in the last {} results{from}{since}, the last {} are {is}{beside}: {} times",
            self.window.len(),
            self.off.len(),
            number(three(ratio.exp())),
        );
        match factor {
            Some(factor) => format!("{begins}, {}", factor.words()),
            None => format!(
                "{begins}, which no unit explains: are words or bytes exchanged (`word_order`, `type`), is a scale wrong, or is another point read?"
            ),
        }
    }

    /// What departs is usual from now on.
    fn adopt(&mut self) {
        self.window.clear();
        self.at = 0;
        self.usual = None;
        self.told = false;
        self.off_total = 0;
        self.inherited = None;
        self.learned = AGAIN;
        for off in std::mem::take(&mut self.off) {
            self.negative = off.value < 0.0;
            self.learn(off.log, off.reference);
        }
    }

    fn learn(&mut self, log: f64, reference: Option<f64>) {
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough for a ratio")]
        let short = log as f32;
        if self.window.len() < WINDOW {
            self.window.push(short);
        } else if let Some(oldest) = self.window.get_mut(self.at % WINDOW) {
            *oldest = short;
        }
        self.at = (self.at + 1) % WINDOW;
        self.learned = self.learned.saturating_add(1);
        if let Some(reference) = reference.filter(|reference| *reference != 0.0) {
            self.reference = Some(reference);
        }
        if self.at.is_multiple_of(4) {
            self.usual = None;
        }
    }

    fn usual(&mut self) -> Usual {
        if let Some(usual) = self.usual {
            return usual;
        }
        let mut all: heapless::Vec<f64, WINDOW> = self.window.iter().map(|log| f64::from(*log)).collect();
        all.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| {
            all.get((all.len() * part / 20).min(all.len().saturating_sub(1)))
                .copied()
        };
        let (low, high) = (at(1).unwrap_or(0.0), at(19).unwrap_or(0.0));
        let (middle, spread) = robust(&mut all);
        let usual = Usual {
            middle,
            spread: spread.max(0.001),
            low,
            high,
        };
        self.usual = Some(usual);
        usual
    }
}

/// What departing values are.
enum Judged {
    /// Worth an alarm.
    Known(String),
    /// The program was changed: values follow its target.
    Follows,
    /// Not known yet.
    Open,
}

/// Three digits of a ratio.
fn three(ratio: f64) -> f64 {
    if ratio <= 0.0 || !ratio.is_finite() {
        return ratio;
    }
    let digits = 2.0 - ratio.log10().floor();
    let power = 10_f64.powf(digits);
    (ratio * power).round() / power
}

/// Whether a target looks converted: the ratio fits to the digit, and it is less round than the one before. People
/// give programs round targets.
fn was_converted(before: f64, now: f64, factor: Factor) -> bool {
    let exact = (now / before / factor.ratio - 1.0).abs() < 0.002;
    exact && digits(now) > digits(before) + 1
}

/// Significant digits of a number, 7 at most.
fn digits(value: f64) -> usize {
    let text = format!("{:.6e}", value.abs());
    let mantissa = text.split('e').next().unwrap_or_default();
    mantissa
        .trim_end_matches('0')
        .chars()
        .filter(char::is_ascii_digit)
        .count()
}
