//! How two profiles that may fill one slot differ: for the MES, for the device link, and in what stands beside the contract.
//!
//! Owns the comparison of what profiles *promise*. What they make of recorded raw data is held against each other by
//! [`crate::replay`]. Pure. What a profile promises is [`promise`]'s, how a device is reached [`link`]'s.

mod link;
mod promise;
#[cfg(test)]
mod tests;

use super::{Maturity, Profile, SlotContract};
use crate::model::Uom;
use promise::Promise;
pub(super) use promise::said;
use std::collections::BTreeMap;

/// One thing that is otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What, in the words of its reader: `tightening.torque.min`, `address`, `extra.motor_temp`.
    pub what: String,
    /// As it is; `None`: it is not there yet.
    pub from: Option<String>,
    /// As it will be; `None`: it goes.
    pub to: Option<String>,
}

/// How a profile differs from the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// What the MES sees otherwise, and may have relied on: types of events, their fields, uoms, words that come no longer.
    pub contract: Vec<Difference>,
    /// What the MES sees otherwise, and its consumers pass over (interface 5): fields and types that are new, words of the
    /// contract that are new or that only a device says which leaves its verdict open.
    pub gained: Vec<Difference>,
    /// How the device is reached, asked and acknowledged.
    pub link: Vec<Difference>,
    /// `extra`, and who the device is.
    pub beside: Vec<Difference>,
}

impl Comparison {
    /// Whether nothing changes for the MES that it may have relied on.
    #[must_use]
    pub fn keeps_contract(&self) -> bool {
        self.contract.is_empty()
    }

    /// Whether the profiles promise and do the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contract.is_empty() && self.gained.is_empty() && self.link.is_empty() && self.beside.is_empty()
    }

    /// In a sentence, as a `change` event says it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let words = |list: &[Difference]| -> String {
            let what: Vec<&str> = list.iter().map(|difference| difference.what.as_str()).collect();
            what.join(", ")
        };
        match (self.keeps_contract(), self.gained.is_empty()) {
            (true, true) => "nothing changes for the MES".to_owned(),
            (true, false) => format!("nothing changes for the MES but what is new: {}", words(&self.gained)),
            (false, _) => format!("changes for the MES: {}", words(&self.contract)),
        }
    }
}

/// What changes when `after` fills the slot of `contract` in place of `before`.
#[must_use]
pub fn compare(before: &Profile, after: &Profile, contract: &SlotContract) -> Comparison {
    let mut found = Comparison::default();
    let (old, new) = (promise::of(before, contract), promise::of(after, contract));
    let promised = |kind: &str| contract.delivers.is_empty() || contract.delivers.iter().any(|(k, _)| k.word() == kind);
    let who = |profile: &Profile| (profile.identity.vendor.clone(), profile.identity.model.clone());
    let same_device = who(before) == who(after);
    let mut kinds: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        match (old.get(kind), new.get(kind)) {
            (Some(_), None) => {
                let goes = difference(kind, Some("sent".to_owned()), None);
                if promised(kind) {
                    found.contract.push(goes);
                } else {
                    found.gained.push(goes);
                }
            }
            (None, Some(_)) => found.gained.push(difference(kind, None, Some("sent".to_owned()))),
            (Some(old), Some(new)) => fields(old, new, same_device, &mut found),
            (None, None) => {}
        }
    }
    found.link = listed(&link::of(before, after), &link::of(after, before));
    found.link.extend(link::begins_anew(before, after, contract));
    found.beside = listed(&beside(before), &beside(after));
    found
}

fn difference(what: &str, from: Option<String>, to: Option<String>) -> Difference {
    Difference {
        what: what.to_owned(),
        from,
        to,
    }
}

/// The fields of one type. What a device's results are chosen by (`only`, `except`), whether it counts them and whether it has a
/// clock is about that device: of another one the MES was promised nothing of it (interface, section 5).
fn fields(old: &BTreeMap<String, Promise>, new: &BTreeMap<String, Promise>, same_device: bool, found: &mut Comparison) {
    let counts = |what: &str, promise: &Promise| {
        let (_, field) = what.split_once('.').unwrap_or_default();
        let its_own = promise.filters || matches!(field, "gap" | "times.device");
        same_device || !its_own
    };
    for (what, before) in old {
        let Some(after) = new.get(what) else {
            let goes = difference(what, Some(before.text()), None);
            if counts(what, before) {
                found.contract.push(goes);
            } else {
                found.gained.push(goes);
            }
            continue;
        };
        if before == after {
            continue;
        }
        let change = difference(what, Some(before.text()), Some(after.text()));
        if after.keeps(before) || !counts(what, after) {
            found.gained.push(change);
        } else {
            found.contract.push(change);
        }
    }
    for (what, after) in new.iter().filter(|(what, _)| !old.contains_key(*what)) {
        let come = difference(what, None, Some(after.text()));
        if after.filters && same_device {
            found.contract.push(come);
        } else {
            found.gained.push(come);
        }
    }
}

/// What is otherwise in two lists of things and their values, in the order of the first.
fn listed(old: &[(String, String)], new: &[(String, String)]) -> Vec<Difference> {
    let get = |list: &[(String, String)], what: &str| {
        let mut found = list.iter().filter(|(have, _)| have == what);
        found.next().map(|(_, value)| value.clone())
    };
    let gone = old.iter().filter_map(|(what, from)| {
        let to = get(new, what);
        (to.as_ref() != Some(from)).then(|| difference(what, Some(from.clone()), to))
    });
    let come = new
        .iter()
        .filter(|(what, _)| get(old, what).is_none())
        .map(|(what, to)| difference(what, None, Some(to.clone())));
    gone.chain(come).collect()
}

/// Who the device is, and what it carries beside the contract.
fn beside(profile: &Profile) -> Vec<(String, String)> {
    let identity = &profile.identity;
    let mut found = vec![
        ("vendor".to_owned(), identity.vendor.clone()),
        ("model".to_owned(), identity.model.clone()),
    ];
    found.extend(identity.serial.clone().map(|serial| ("serial".to_owned(), serial)));
    let maturity = match profile.maturity {
        Maturity::Document => "document: read from a manual",
        Maturity::Bench => "bench: has a capture of a real device",
        Maturity::Line => "line: ran in a plant",
    };
    found.push(("maturity".to_owned(), maturity.to_owned()));
    let mut extra: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for event in &profile.events {
        for (name, index) in &event.extra {
            let point = profile.points.get(*index);
            let uom = match point {
                Some(point) if point.uom_from.is_some() => "in the uom that the device names",
                Some(point) => point.uom.as_ref().map_or("carried", Uom::code),
                None => "carried",
            };
            let said = extra.entry(format!("extra.{name}")).or_default();
            if !said.contains(&uom) {
                said.push(uom);
            }
        }
    }
    found.extend(extra.into_iter().map(|(name, uoms)| (name, uoms.join(", "))));
    found.push(("digest".to_owned(), identity.digest.clone()));
    found
}
