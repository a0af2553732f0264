//! What was told of a slot and is not over. Owns that an alarm comes once, goes once, and that a slot does not flood.
//!
//! A code is active while any of its subjects is: what comes to it is told with its own evidence, what goes is told
//! when the last one has gone.

use super::Finding;
use crate::model::SlotName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every code that this room has.
pub(super) const CODES: [&str; 9] = [SCALE, MISSING, NEW, CODE, CADENCE, STUCK, DEVICE, CLOCK, ID];
pub(super) const SCALE: &str = "drift_scale";
pub(super) const MISSING: &str = "drift_field_missing";
pub(super) const NEW: &str = "drift_field_new";
pub(super) const CODE: &str = "drift_code";
pub(super) const CADENCE: &str = "drift_cadence";
pub(super) const STUCK: &str = "drift_stuck";
pub(super) const DEVICE: &str = "drift_device";
pub(super) const CLOCK: &str = "drift_clock";
pub(super) const ID: &str = "drift_id";

/// Alarms of one code within [`HOUR`], at most.
const TELL: u8 = 4;
/// Milliseconds.
const HOUR: u64 = 3_600_000;
/// Subjects that are active at once, at most.
const SUBJECTS: usize = 32;
/// Bytes of a subject.
const BYTES: usize = 60;

/// A subject that is active.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Active {
    code: String,
    subject: String,
    /// Results after which it is over by itself; `None`: only when it is told so.
    left: Option<u16>,
}

/// What is active of one slot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Alarms {
    active: Vec<Active>,
    /// When the present hour of a code began (tick), and how many were told in it.
    #[serde(skip)]
    hours: BTreeMap<&'static str, (u64, u8)>,
}

fn cut(text: &str) -> String {
    text.chars().take(BYTES).collect()
}

impl Alarms {
    /// Something came. `left`: over by itself after so many results.
    pub(super) fn came(
        &mut self,
        slot: &SlotName,
        code: &'static str,
        subject: &str,
        left: Option<u16>,
        text: String,
        tick: u64,
    ) -> Option<Finding> {
        let subject = cut(subject);
        let known = self
            .active
            .iter_mut()
            .find(|active| active.code == code && active.subject == subject);
        if let Some(active) = known {
            active.left = left;
            return None;
        }
        if self.active.len() >= SUBJECTS {
            return None;
        }
        let silent = !self.active.iter().any(|active| active.code == code);
        let (begun, told) = self.hours.entry(code).or_insert((tick, 0));
        if tick.saturating_sub(*begun) >= HOUR {
            (*begun, *told) = (tick, 0);
        }
        if *told >= TELL {
            // Nothing of it goes where nothing of it came.
            if !silent {
                self.active.push(Active {
                    code: code.to_owned(),
                    subject,
                    left,
                });
            }
            return None;
        }
        *told += 1;
        self.active.push(Active {
            code: code.to_owned(),
            subject,
            left,
        });
        Some(Finding {
            slot: slot.clone(),
            code,
            active: true,
            text,
        })
    }

    /// Something went.
    pub(super) fn went(&mut self, slot: &SlotName, code: &'static str, subject: &str, text: &str) -> Option<Finding> {
        let subject = cut(subject);
        let before = self.active.len();
        self.active
            .retain(|active| active.code != code || active.subject != subject);
        let gone = self.active.len() < before && !self.active.iter().any(|active| active.code == code);
        gone.then(|| Finding {
            slot: slot.clone(),
            code,
            active: false,
            text: text.to_owned(),
        })
    }

    /// One more result: what is over by itself goes.
    pub(super) fn pass(&mut self, slot: &SlotName, findings: &mut Vec<Finding>) {
        let mut over = false;
        for active in &mut self.active {
            if let Some(left) = &mut active.left {
                *left = left.saturating_sub(1);
                over |= *left == 0;
            }
        }
        if over {
            self.end(slot, "it is usual from now on", findings, |active| {
                active.left == Some(0)
            });
        }
    }

    /// The device file was changed: whatever was told is over, and is told again if it stays.
    pub(super) fn clear(&mut self, slot: &SlotName, findings: &mut Vec<Finding>) {
        self.end(slot, "the device file was changed", findings, |_| true);
        self.hours.clear();
    }

    fn end(&mut self, slot: &SlotName, why: &str, findings: &mut Vec<Finding>, ends: impl Fn(&Active) -> bool) {
        let is_there = |all: &[Active], code: &str| all.iter().any(|active| active.code == code);
        let before: Vec<&'static str> = CODES.into_iter().filter(|code| is_there(&self.active, code)).collect();
        self.active.retain(|active| !ends(active));
        for code in before {
            if !is_there(&self.active, code) {
                findings.push(Finding {
                    slot: slot.clone(),
                    code,
                    active: false,
                    text: why.to_owned(),
                });
            }
        }
    }
}
