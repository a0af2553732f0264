//! Which fields are there. Owns when one that was always there stays away, and when one that never was stays.
//!
//! Learned for each event and program: what one program gives another need not. What is sometimes absent is never told.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Fields that are watched of one slot, at most; and the bytes of their names together.
pub(super) const MOST: usize = 96;
const BYTES: usize = 2_800;
/// Times in a row after which a field counts as always there.
const ALWAYS: u16 = 50;
/// Results without a field after which it counts as never there.
const NEVER: u32 = 40;
/// Times in a row that a new one must be there.
const STAYS: u16 = 20;
/// Results after which an absent one is usual.
const ACCEPTED: u16 = 200;

/// Names of fields, numbered.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: Vec<String>,
    at: HashMap<String, usize>,
    bytes: usize,
}

impl Names {
    /// The number of a name, given where there is room.
    pub(super) fn number(&mut self, name: &str) -> Option<usize> {
        if let Some(at) = self.at.get(name) {
            return Some(*at);
        }
        if self.all.len() >= MOST || self.bytes + name.len() + 3 > BYTES {
            return None;
        }
        self.bytes += name.len() + 3;
        self.at.insert(name.to_owned(), self.all.len());
        self.all.push(name.to_owned());
        Some(self.all.len() - 1)
    }

    pub(super) fn all(&self) -> &[String] {
        &self.all
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// One field of one program: in a row there, in a row absent, the longest that it ever was absent, and how it counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Stat(u16, u16, u16, u8);

/// It was there at least once, or is known to come and go.
const EVER: u8 = 1;
/// That it is missing was told.
const TOLD: u8 = 2;

/// The fields of one program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    results: u32,
    stats: Vec<Stat>,
    #[serde(skip)]
    pub(super) unsaved: u16,
}

/// What a result tells of one field, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It was in so many results in a row, and is absent in so many.
    Missing(usize, u16),
    /// It is there again, or its absence is usual now.
    Back(usize),
    /// It was in none of so many results and is in each of so many.
    New(usize, u32, u16),
}

impl Seen {
    /// The fields of the next result, a bit for each number; of `names` in all. `patience`: absences that are no news.
    pub(super) fn hear(&mut self, mask: u128, names: usize, patience: u16, told: &mut Vec<Told>) {
        self.unsaved = self.unsaved.saturating_add(1);
        if self.stats.len() < names {
            self.stats.resize(names, Stat::default());
        }
        let results = self.results;
        self.results = self.results.saturating_add(1);
        for (at, stat) in self.stats.iter_mut().enumerate() {
            let Stat(there, absent, longest, flags) = stat;
            if mask >> at & 1 == 1 {
                if *absent > 0 {
                    // What was told stays one absence.
                    *longest = (*longest).max(*absent);
                    *there = 0;
                    *absent = 0;
                }
                *there = there.saturating_add(1);
                if *flags & TOLD != 0 {
                    *flags &= !TOLD;
                    told.push(Told::Back(at));
                }
                if *flags & EVER == 0 {
                    let before = results.saturating_sub(u32::from(*there) - 1);
                    if before < NEVER {
                        *flags |= EVER;
                    } else if *there >= STAYS {
                        *flags |= EVER;
                        told.push(Told::New(at, before, *there));
                    }
                }
                continue;
            }
            if *flags & EVER == 0 {
                // It came and went before it was told: it is one of those that come and go.
                if *there > 0 {
                    *flags |= EVER;
                }
                continue;
            }
            *absent = absent.saturating_add(1);
            if *flags & TOLD != 0 {
                if *absent >= ACCEPTED.max(patience) {
                    *flags &= !TOLD;
                    *flags &= !EVER;
                    *there = 0;
                    told.push(Told::Back(at));
                }
            } else if *there >= ALWAYS && *absent >= patience.max(longest.saturating_mul(3)) {
                *flags |= TOLD;
                told.push(Told::Missing(at, *absent));
            }
        }
    }
}
