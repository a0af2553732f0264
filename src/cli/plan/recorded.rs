//! What recorded raw data says of a swap: the events that both profiles make of it, held against each other.
//!
//! Owns which records are looked at, whether they say something of the new device, and what of the difference the MES would
//! notice. Does not own the replay itself ([`crate::replay`]).

use super::{Arguments, Swap};
use crate::cli::record::kept;
use crate::config::Config;
use crate::gateway::{control, setup};
use crate::profile::Profile;
use crate::record::Record;
use crate::replay::differ::{Pair, differ};
use crate::replay::{Replayed, replay};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// What the gateway keeps is called so.
const KEPT: &str = "the last exchanges that the gateway keeps";

/// A record and where it comes from.
#[derive(Debug)]
pub(super) struct Recording {
    /// As it is called.
    pub(super) name: String,
    pub(super) record: Record,
    /// It was asked for: what differs counts, whatever device it is of.
    asked: bool,
}

/// What one record says.
#[derive(Debug)]
pub(super) struct Heard {
    /// As the record is called.
    pub(super) name: String,
    /// Lines in it.
    pub(super) lines: usize,
    /// What the present profile makes of it.
    pub(super) before: Option<Replayed>,
    /// What the new one makes of it.
    pub(super) after: Option<Replayed>,
    /// Why one of them is not there, or what a reader should know.
    pub(super) notes: Vec<String>,
    /// Both are there, and what differs would be noticed.
    pub(super) counts: bool,
}

/// How one field is otherwise, over all events of both.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Change {
    /// In how many events.
    pub(super) events: usize,
    /// Of the first of them.
    pub(super) first: Option<Value>,
    pub(super) second: Option<Value>,
    /// All of them by the same factor.
    pub(super) factor: Option<f64>,
}

/// What both make of a record, field by field.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// Events that are the same for the MES.
    pub(super) same: usize,
    pub(super) only_before: usize,
    pub(super) only_after: usize,
    pub(super) otherwise: usize,
    /// By dotted field.
    pub(super) fields: BTreeMap<String, Change>,
    /// Fields that are new: consumers pass over them.
    pub(super) gained: BTreeMap<String, Change>,
    /// `extra`.
    pub(super) beside: BTreeMap<String, Change>,
}

impl Heard {
    /// Nothing yet.
    fn nothing(name: String, lines: usize) -> Self {
        Self {
            name,
            lines,
            before: None,
            after: None,
            notes: Vec::new(),
            counts: false,
        }
    }

    /// Whether the MES would notice nothing.
    pub(super) fn keeps(&self) -> bool {
        !self.counts || self.sum().is_none_or(|sum| sum.same == sum.all())
    }

    /// Both held against each other; `None` where one is missing.
    pub(super) fn sum(&self) -> Option<Sum> {
        Some(summed(&self.pairs()?))
    }

    /// Event by event.
    pub(super) fn pairs(&self) -> Option<Vec<Pair<'_>>> {
        Some(differ(self.before.as_ref()?, self.after.as_ref()?))
    }
}

impl Sum {
    fn all(&self) -> usize {
        self.same + self.only_before + self.only_after + self.otherwise
    }
}

/// Whether a field that differs is only new: a version may gain fields.
fn is_new(difference: &crate::replay::differ::Difference) -> bool {
    difference.first.is_none() && difference.field != "reasons" && !difference.field.starts_with("reasons.")
}

/// Whether the MES would notice this one.
pub(super) fn noticed(pair: &Pair<'_>) -> bool {
    match pair {
        Pair::First(_) | Pair::Second(_) => true,
        Pair::Both { contract, .. } => contract.iter().any(|difference| !is_new(difference)),
    }
}

fn summed(pairs: &[Pair<'_>]) -> Sum {
    let mut sum = Sum::default();
    let mut factors: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for pair in pairs {
        match pair {
            Pair::First(_) => sum.only_before += 1,
            Pair::Second(_) => sum.only_after += 1,
            Pair::Both { .. } if noticed(pair) => sum.otherwise += 1,
            Pair::Both { .. } => sum.same += 1,
        }
        let Pair::Both { contract, beside, .. } = pair else {
            continue;
        };
        let told = contract
            .iter()
            .map(|one| (one, false))
            .chain(beside.iter().map(|one| (one, true)));
        for (difference, aside) in told {
            let list = match (aside, is_new(difference)) {
                (true, _) => &mut sum.beside,
                (false, true) => &mut sum.gained,
                (false, false) => &mut sum.fields,
            };
            let change = list.entry(difference.field.clone()).or_insert_with(|| Change {
                first: difference.first.clone(),
                second: difference.second.clone(),
                ..Change::default()
            });
            change.events += 1;
            let factor = factor(difference.first.as_ref(), difference.second.as_ref());
            factors
                .entry(difference.field.clone())
                .and_modify(|have| *have = have.zip(factor).filter(|(a, b)| near(*a, *b)).map(|(a, _)| a))
                .or_insert(factor);
        }
    }
    for (field, change) in &mut sum.fields {
        // One event alone is no rule.
        change.factor = factors.get(field).copied().flatten().filter(|_| change.events > 1);
    }
    sum
}

/// By how much the second is the first.
fn factor(first: Option<&Value>, second: Option<&Value>) -> Option<f64> {
    let number = |value: Option<&Value>| value.filter(|value| value.is_number())?.as_f64();
    let (first, second) = (number(first)?, number(second)?);
    (first != 0.0 && second != 0.0).then_some(second / first)
}

/// Equal but for rounding.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-3 * a.abs().max(b.abs())
}

/// What a factor usually comes from.
pub(super) fn known_factor(factor: f64) -> Option<&'static str> {
    const KNOWN: &[(f64, &str)] = &[
        (8.850_746, "as between N.m and lbf.in"),
        (0.112_984_8, "as between lbf.in and N.m"),
        (1.355_818, "as between lbf.ft and N.m"),
        (0.737_562_1, "as between N.m and lbf.ft"),
        (9.806_65, "as between kgf and N"),
        (0.101_971_6, "as between N and kgf"),
        (0.098_066_5, "as between kgf.cm and N.m"),
        (10.197_16, "as between N.m and kgf.cm"),
        (57.295_78, "as between radians and degrees"),
        (0.017_453_29, "as between degrees and radians"),
        (10.0, "a decimal point one digit further"),
        (0.1, "a decimal point one digit further"),
        (100.0, "a decimal point two digits further"),
        (0.01, "a decimal point two digits further"),
        (1000.0, "as between kN and N, m and mm"),
        (0.001, "as between N and kN, mm and m"),
        (65_536.0, "two words the wrong way round: word_order"),
        (-1.0, "the sign"),
    ];
    KNOWN
        .iter()
        .find(|(known, _)| near(*known, factor))
        .map(|(_, word)| *word)
}

/// Every record that there is for these swaps, run through both profiles.
///
/// # Errors
/// A sentence: a file that was named cannot be read, or does not say whose it is.
pub(super) fn hear(arguments: &Arguments, swaps: &mut [Swap]) -> Result<(), String> {
    let slots: Vec<String> = swaps.iter().map(|swap| swap.slot().to_string()).collect();
    for path in &arguments.record {
        let recording = read(path, true)?;
        let of = recording.record.header.slot.as_deref();
        let at = match (
            of.and_then(|slot| slots.iter().position(|have| have == slot)),
            slots.len(),
        ) {
            (Some(at), _) => at,
            (None, 1) => 0,
            (None, _) => {
                return Err(format!(
                    "{} is of {}, which is none of the slots that are looked at: {}; plan one slot at a time",
                    path.display(),
                    of.map_or_else(|| "no slot".to_owned(), |slot| format!("`{slot}`")),
                    slots.join(", ")
                ));
            }
        };
        if let Some(swap) = swaps.get_mut(at) {
            let heard = listen(&recording, swap);
            swap.heard.push(heard);
        }
    }
    let mut told = crate::diagnostic::Diagnostics::new();
    let Some(config) = setup::configuration(&arguments.file.config, &mut told) else {
        return Ok(());
    };
    for swap in swaps {
        let heard = match recent(&config, &swap.slot().to_string()) {
            None => continue,
            Some(Ok(recording)) => listen(&recording, swap),
            Some(Err(sentence)) => Heard {
                notes: vec![sentence],
                ..Heard::nothing(KEPT.to_owned(), 0)
            },
        };
        swap.heard.push(heard);
    }
    Ok(())
}

fn read(path: &Path, asked: bool) -> Result<Recording, String> {
    let text = std::fs::read_to_string(path).map_err(|fault| format!("cannot read {}: {fault}", path.display()))?;
    Ok(Recording {
        name: path.display().to_string(),
        record: Record::read(&text).map_err(|fault| format!("{}: {fault}", path.display()))?,
        asked,
    })
}

/// The last raw exchanges of a slot, which the gateway keeps; `None`: there are none.
fn recent(config: &Config, slot: &str) -> Option<Result<Recording, String>> {
    let text = match kept(&config.gateway.state_dir, slot, false) {
        Ok(text) => text,
        Err(sentence) => return (sentence != control::nothing_kept(slot, false)).then_some(Err(sentence)),
    };
    let record = Record::read(&text).map_err(|fault| fault.to_string());
    Some(record.map(|record| Recording {
        name: KEPT.to_owned(),
        record,
        asked: false,
    }))
}

fn listen(recording: &Recording, swap: &Swap) -> Heard {
    let record = &recording.record;
    let header = &record.header;
    let mut heard = Heard::nothing(recording.name.clone(), record.lines.len());
    let is = |profile: &Profile| {
        let identity = profile.identity();
        identity.vendor == header.vendor && identity.model == header.model
    };
    let device = format!("{} {}", header.vendor, header.model);
    if header
        .slot
        .as_ref()
        .is_some_and(|slot| *slot != swap.slot().to_string())
    {
        let slot = header.slot.clone().unwrap_or_default();
        heard
            .notes
            .push(format!("the record is of {slot}, not of {}", swap.slot()));
    }
    let run = |profile: &Profile, which: &str, notes: &mut Vec<String>| match replay(record, profile, &swap.contract) {
        Ok(made) => Some(made),
        Err(fault) => {
            notes.push(format!("the {which} device file says nothing of it: {fault}"));
            None
        }
    };
    let of_new = is(&swap.after);
    let before = swap.before.as_deref();
    let of_old = before.is_some_and(is);
    // Recorded at the bench, of the new device: the present file is for another.
    if let Some(before) = before.filter(|_| of_old || !of_new) {
        heard.before = run(before, "present", &mut heard.notes);
    }
    let addresses = !matches!(header.protocol.as_str(), "open-protocol");
    if !of_new && addresses && !recording.asked {
        heard.notes.push(format!(
            "it is of {device}: what its addresses hold says nothing of {} {}; record the new device at the bench, and say --record FILE",
            swap.after.identity().vendor,
            swap.after.identity().model
        ));
        return heard;
    }
    heard.after = run(&swap.after, "new", &mut heard.notes);
    if of_new && !of_old && before.is_some() {
        heard.notes.push(format!(
            "it is of {device}: shown is what the new device file makes of it"
        ));
    }
    let silent = heard.after.as_ref().is_some_and(|made| made.events.is_empty());
    if silent && of_old && !of_new && addresses {
        heard.notes.push(format!(
            "it is of {device}: nothing in it is a result to the new device file, so values cannot be compared"
        ));
        return heard;
    }
    heard.counts = heard.before.is_some() && heard.after.is_some();
    heard
}
