//! Words that say which device this is: serial numbers, firmware. Owns when one is said that never was.
//!
//! A fact that takes many values is none (a serial number of the part): it is not watched.

use serde::{Deserialize, Serialize};

/// Facts of one slot, at most.
const FACTS: usize = 16;
/// Values of one fact that are known, at most; one with more is not watched.
const VALUES: usize = 8;
/// Results with known values before a new one is told.
const SETTLED: u32 = 50;
/// How long tools are learned: those of another shift, and the one that is charged meanwhile, take turns.
const TURNS: i64 = 86_400_000;
/// Bytes of a value that are kept.
const BYTES: usize = 40;

/// One fact: its name, the values that it had, the last one first, and results since the last new one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Fact {
    name: String,
    values: Vec<String>,
    results: u32,
    /// Wall milliseconds of the first.
    since: i64,
    /// A value that was said once and is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate: Option<String>,
}

/// The facts of one slot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    facts: Vec<Fact>,
}

/// A fact that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) before: String,
    pub(super) results: u32,
    pub(super) now: String,
}

/// Whether a value of this name says which device, or which program in it, speaks.
pub(super) fn is_fact(name: &str) -> bool {
    const WORDS: [&str; 7] = [
        "serial", "firmware", "software", "version", "revision", "hardware", "fw_",
    ];
    const PARTS: [&str; 3] = ["part", "unit", "vin"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && !PARTS.iter().any(|word| name.starts_with(word))
}

fn cut(text: &str) -> &str {
    text.char_indices()
        .nth(BYTES)
        .and_then(|(at, _)| text.get(..at))
        .unwrap_or(text)
        .trim()
}

impl Facts {
    /// The next value of `name`, at wall time `at`.
    pub(super) fn hear(&mut self, name: &str, value: &str, at: i64) -> Option<Changed> {
        let value = cut(value);
        if value.is_empty() {
            return None;
        }
        let Some(fact) = self.facts.iter_mut().find(|fact| fact.name == name) else {
            if self.facts.len() < FACTS {
                self.facts.push(Fact {
                    name: name.to_owned(),
                    values: vec![value.to_owned()],
                    since: at,
                    ..Fact::default()
                });
            }
            return None;
        };
        if fact.values.len() >= VALUES {
            return None;
        }
        if fact.values.first().is_some_and(|last| last == value) {
            fact.results = fact.results.saturating_add(1);
            fact.candidate = None;
            return None;
        }
        if let Some(at) = fact.values.iter().position(|known| known == value) {
            // One of several that take turns.
            fact.values.swap(0, at);
            fact.results = fact.results.saturating_add(1);
            fact.candidate = None;
            return None;
        }
        if fact.results >= SETTLED && fact.candidate.as_deref() != Some(value) {
            // Said once: it may be garbled.
            fact.candidate = Some(value.to_owned());
            return None;
        }
        fact.candidate = None;
        let before = fact.values.join(" or ");
        let results = std::mem::take(&mut fact.results);
        fact.values.insert(0, value.to_owned());
        let turns = name.starts_with("tool.") && at.saturating_sub(fact.since) < TURNS;
        (results >= SETTLED && !turns).then(|| Changed {
            before,
            results,
            now: value.to_owned(),
        })
    }
}
