//! What is to be done after the device files were read again: which are accepted, which refused, which the same.
//!
//! Owns the decision, for all slots at once: a catalog edit is a change of every slot that inherits it, all or none. Connects
//! to nothing and writes nothing; texts come as they stood at one moment ([`Texts`]).

use super::accepted::Accepted;
use super::folder::Texts;
use crate::diagnostic::Diagnostics;
use crate::gateway::lock::Lock;
use crate::gateway::setup::{self, SlotSetup};
use crate::model::{DeviceIdentity, SlotName};
use crate::profile::compare::{self, Comparison};
use crate::profile::{FileFault, Files, Profile};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Differences that a change tells one by one; of another protocol every point is otherwise.
const TOLD: usize = 20;

/// A slot as it runs.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Held {
    /// What fills it now.
    pub(in crate::gateway) setup: SlotSetup,
    /// Whether anything may fill it: not `disabled` in gateway.toml.
    pub(in crate::gateway) enabled: bool,
    /// The texts of what fills it.
    pub(in crate::gateway) accepted: Option<Accepted>,
    /// Why the file that stands there is not what fills it.
    pub(in crate::gateway) refused: Option<Refusal>,
    /// That was told.
    pub(in crate::gateway) told: bool,
}

/// Why a device file is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Refusal {
    /// In a sentence, with file, line and column where there is one.
    pub(in crate::gateway) sentence: String,
    /// All that is wrong, as `check` shows it.
    pub(in crate::gateway) shown: String,
}

/// A device that fills a slot from now on.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Acceptance {
    /// What fills it.
    pub(in crate::gateway) setup: SlotSetup,
    /// Its texts.
    pub(in crate::gateway) accepted: Accepted,
    /// Who filled it before.
    pub(in crate::gateway) from: Option<DeviceIdentity>,
    /// What the change means, a sentence each.
    pub(in crate::gateway) plan: Vec<String>,
    /// Files that were written, relative to the profiles folder.
    pub(in crate::gateway) files: Vec<PathBuf>,
}

/// What is to be done with a slot.
#[derive(Debug, Clone)]
pub(in crate::gateway) enum Verdict {
    /// Nothing: what stands there is what runs.
    Same,
    /// Its text changed, and what it means did not: only the text is kept.
    Text(Accepted),
    /// It is switched to this device.
    Accept(Box<Acceptance>),
    /// It goes on with what it had.
    Refuse(Refusal),
    /// Its file was removed: it goes offline.
    Gone,
}

/// Whether device files need an approval, and what is approved.
#[derive(Debug)]
pub(in crate::gateway) struct Approval {
    /// `[gateway] require_lock`.
    pub(in crate::gateway) required: bool,
    /// The lock file, or why it cannot be read.
    pub(in crate::gateway) lock: Result<Lock, String>,
}

impl Approval {
    /// Reads the lock file where one counts. Blocking.
    pub(in crate::gateway) fn read(required: bool, path: &Path) -> Self {
        let lock = if required {
            Lock::read(path).map_err(|fault| fault.to_string())
        } else {
            Ok(Lock::default())
        };
        Self { required, lock }
    }

    /// Why a device may not fill a slot.
    pub(super) fn refuses(&self, slot: &SlotName, digest: &str) -> Option<Refusal> {
        if !self.required {
            return None;
        }
        let sentence = match &self.lock {
            Err(fault) => format!("{fault}; require_lock = true needs it"),
            Ok(lock) if lock.approves(slot, digest) => return None,
            Ok(_) => format!(
                "the device file of {slot} is not approved, and require_lock = true: `lineside plan` shows what it changes, `lineside lock` approves it"
            ),
        };
        Some(Refusal {
            shown: sentence.clone(),
            sentence,
        })
    }
}

/// What is decided of all slots, in their order.
pub(in crate::gateway) fn judge(
    profiles: &Path,
    held: &[Held],
    texts: &Texts,
    approval: &Approval,
    now: &str,
) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = held
        .iter()
        .map(|held| one(profiles, held, texts, approval, now))
        .collect();
    let inherited: Vec<BTreeSet<PathBuf>> = held
        .iter()
        .zip(&verdicts)
        .map(|(held, verdict)| inherited(profiles, held, verdict, texts))
        .collect();
    // One refusal may lead to others, until nothing moves any more.
    loop {
        let mut refused: BTreeMap<usize, Refusal> = BTreeMap::new();
        for index in (0..verdicts.len()).filter(|index| matches!(verdicts.get(*index), Some(Verdict::Accept(_)))) {
            if let Some(refusal) =
                contradicted(index, held, &verdicts).or_else(|| held_back(index, held, &verdicts, &inherited))
            {
                refused.insert(index, refusal);
            }
        }
        if refused.is_empty() {
            return verdicts;
        }
        for (index, refusal) in refused {
            if let Some(verdict) = verdicts.get_mut(index) {
                *verdict = Verdict::Refuse(refusal);
            }
        }
    }
}

/// One slot by itself.
fn one(profiles: &Path, held: &Held, texts: &Texts, approval: &Approval, now: &str) -> Verdict {
    if !held.enabled {
        return Verdict::Same;
    }
    let contract = &held.setup.contract;
    let slot = &contract.slot;
    let file = profiles.join(format!("{slot}.toml"));
    if matches!(texts.read(&file), Err(FileFault::Missing)) {
        let filled = held.setup.profile.is_some() || held.refused.is_some() || held.accepted.is_some();
        return if filled { Verdict::Gone } else { Verdict::Same };
    }
    let mut out = Diagnostics::new();
    let (candidate, _) = setup::device(profiles, contract.clone(), texts, (true, false), &mut out);
    let Some(profile) = candidate.profile.clone() else {
        return Verdict::Refuse(refusal(&out));
    };
    let accepted = Accepted::of(&profile, profiles, texts, now.to_owned());
    if let (Some(before), Some(running)) = (&held.accepted, &held.setup.profile)
        && running.identity().digest == profile.identity().digest
    {
        return if before.files == accepted.files {
            Verdict::Same
        } else {
            Verdict::Text(accepted)
        };
    }
    if let Some(refusal) = proven(profiles, &candidate, texts) {
        return Verdict::Refuse(refusal);
    }
    if let Some(refusal) = approval.refuses(slot, &profile.identity().digest) {
        return Verdict::Refuse(refusal);
    }
    let before = held.setup.profile.as_deref();
    Verdict::Accept(Box::new(Acceptance {
        // Its file was away at the start: it comes back to what filled the slot last.
        from: before
            .map(|profile| (**profile.identity()).clone())
            .or_else(|| held.accepted.as_ref().map(Accepted::identity)),
        plan: before
            .map(|before| meaning(&compare::compare(before, &profile, contract)))
            .unwrap_or_default(),
        files: written(held.accepted.as_ref(), &accepted),
        setup: candidate,
        accepted,
    }))
}

/// What is wrong with the examples of a candidate. `None`: they all hold.
pub(super) fn proven(profiles: &Path, candidate: &SlotSetup, texts: &Texts) -> Option<Refusal> {
    let mut out = Diagnostics::new();
    setup::device(profiles, candidate.contract.clone(), texts, (true, true), &mut out);
    out.has_errors().then(|| refusal(&out))
}

pub(super) fn refusal(out: &Diagnostics) -> Refusal {
    Refusal {
        sentence: setup::first_error(out).unwrap_or_else(|| "its device file cannot be used".to_owned()),
        shown: out.render(false),
    }
}

/// What a change means, a sentence each: for the MES, for the device link, in `extra`.
pub(super) fn meaning(comparison: &Comparison) -> Vec<String> {
    let mut plan = vec![comparison.sentence()];
    let list = |differences: &[compare::Difference]| {
        let said = differences
            .iter()
            .map(|difference| match (&difference.from, &difference.to) {
                (Some(from), Some(to)) => format!("{} {from} → {to}", difference.what),
                (None, Some(to)) => format!("{} {to} is new", difference.what),
                (Some(from), None) => format!("{} {from} goes", difference.what),
                (None, None) => difference.what.clone(),
            });
        let mut shown: Vec<String> = said.take(TOLD).collect();
        if let Some(more @ 1..) = differences.len().checked_sub(TOLD) {
            shown.push(format!("and {more} more"));
        }
        shown.join(", ")
    };
    if !comparison.link.is_empty() {
        plan.push(format!("device link: {}", list(&comparison.link)));
    }
    if !comparison.beside.is_empty() {
        plan.push(format!("beside the contract: {}", list(&comparison.beside)));
    }
    plan
}

/// Files whose text is otherwise than in what was accepted before.
pub(super) fn written(before: Option<&Accepted>, after: &Accepted) -> Vec<PathBuf> {
    let known = |name: &PathBuf| before.and_then(|before| before.files.get(name));
    let files = after.files.iter().filter(|(name, text)| known(name) != Some(*text));
    files.map(|(name, _)| name.clone()).collect()
}

/// Catalog files that changed under a slot, whether its candidate could be read or not.
fn inherited(profiles: &Path, held: &Held, verdict: &Verdict, texts: &Texts) -> BTreeSet<PathBuf> {
    let own = PathBuf::from(format!("{}.toml", held.setup.contract.slot));
    let before = held.accepted.iter().flat_map(|accepted| &accepted.files);
    let mut changed: BTreeSet<PathBuf> = before
        .filter(|(name, text)| texts.read(&profiles.join(name)).as_ref() != Ok(*text))
        .map(|(name, _)| name.clone())
        .collect();
    if let Verdict::Accept(acceptance) = verdict {
        // What it inherits only now did not change for others.
        changed.retain(|name| acceptance.accepted.files.contains_key(name));
    }
    changed.remove(&own);
    changed
}

/// A slot that inherits a file with which another one is refused.
fn held_back(index: usize, held: &[Held], verdicts: &[Verdict], inherited: &[BTreeSet<PathBuf>]) -> Option<Refusal> {
    let mine = inherited.get(index)?;
    let mut others = held.iter().zip(verdicts).zip(inherited);
    let (file, slot, why) = others.find_map(|((held, verdict), files)| {
        let Verdict::Refuse(refusal) = verdict else { return None };
        let file = mine.intersection(files).next()?;
        Some((file, &held.setup.contract.slot, &refusal.sentence))
    })?;
    let sentence = format!(
        "{} changed, and {slot}, which inherits it too, would be refused: {why}",
        file.display()
    );
    Some(Refusal {
        shown: sentence.clone(),
        sentence,
    })
}

/// A slot that would reach an address by other settings than another slot.
fn contradicted(index: usize, held: &[Held], verdicts: &[Verdict]) -> Option<Refusal> {
    let after = |index: usize| -> Option<&SlotSetup> {
        match verdicts.get(index)? {
            Verdict::Accept(acceptance) => Some(&acceptance.setup),
            Verdict::Gone => None,
            Verdict::Same | Verdict::Text(_) | Verdict::Refuse(_) => held.get(index).map(|held| &held.setup),
        }
    };
    let mine = after(index)?;
    let others = (0..held.len()).filter(|other| *other != index);
    for other in others.filter_map(after) {
        let mut pair = [other.clone(), mine.clone()];
        let mut out = Diagnostics::new();
        setup::contradicting_links(&mut pair, &mut out);
        if out.has_errors() {
            return Some(refusal(&out));
        }
    }
    None
}

/// What fills the slots at the start: the present files where they are good, else what was accepted last.
pub(in crate::gateway) struct Beginning {
    /// Every slot, in their order.
    pub(in crate::gateway) held: Vec<Held>,
    /// What was accepted while the gateway was down, by slot.
    pub(in crate::gateway) acceptances: Vec<(SlotName, Acceptance)>,
}

/// Decides it. `kept`: the last accepted text of a slot.
pub(in crate::gateway) fn begin(
    profiles: &Path,
    slots: Vec<SlotSetup>,
    texts: &Texts,
    approval: &Approval,
    kept: &dyn Fn(&SlotName) -> Option<Accepted>,
    now: &str,
) -> Beginning {
    let mut beginning = Beginning {
        held: Vec::new(),
        acceptances: Vec::new(),
    };
    for present in slots {
        let slot = present.contract.slot.clone();
        let enabled = present.profile.is_some() || present.fault.is_some();
        let former = kept(&slot);
        let missing = matches!(
            texts.read(&profiles.join(format!("{slot}.toml"))),
            Err(FileFault::Missing)
        );
        if !enabled || missing {
            // A file that is missing now may be on its way: whether it was removed is judged once the folder has settled.
            beginning.held.push(Held {
                setup: present,
                enabled,
                accepted: former.filter(|_| enabled),
                refused: None,
                told: false,
            });
            continue;
        }
        beginning.held.push(first(
            profiles,
            present,
            texts,
            approval,
            former,
            now,
            &mut beginning.acceptances,
        ));
    }
    let mut setups: Vec<SlotSetup> = beginning.held.iter().map(|held| held.setup.clone()).collect();
    setup::contradicting_links(&mut setups, &mut Diagnostics::new());
    for (held, setup) in beginning.held.iter_mut().zip(setups) {
        held.setup = setup;
    }
    beginning
}

/// One slot that has a file at the start.
fn first(
    profiles: &Path,
    present: SlotSetup,
    texts: &Texts,
    approval: &Approval,
    former: Option<Accepted>,
    now: &str,
    acceptances: &mut Vec<(SlotName, Acceptance)>,
) -> Held {
    let slot = present.contract.slot.clone();
    let former_setup = || former.as_ref().map(|former| restored(profiles, &present, former));
    let refused = match &present.profile {
        None => Some(Refusal {
            sentence: present.fault.clone().unwrap_or_default(),
            shown: present.fault.clone().unwrap_or_default(),
        }),
        Some(profile) => {
            let same = former
                .as_ref()
                .is_some_and(|former| former.digest == profile.identity().digest);
            let proven = if same || former.is_none() {
                None
            } else {
                proven(profiles, &present, texts)
            };
            proven.or_else(|| approval.refuses(&slot, &profile.identity().digest))
        }
    };
    match (refused, &present.profile) {
        (None, Some(profile)) => {
            let accepted = Accepted::of(profile, profiles, texts, now.to_owned());
            if former.as_ref().is_none_or(|former| former.files != accepted.files) {
                let before = former_setup().and_then(|setup| setup.profile);
                acceptances.push((
                    slot,
                    Acceptance {
                        setup: present.clone(),
                        from: former.as_ref().map(Accepted::identity),
                        plan: before
                            .map(|before| meaning(&compare::compare(&before, profile, &present.contract)))
                            .unwrap_or_default(),
                        files: written(former.as_ref(), &accepted),
                        accepted: accepted.clone(),
                    },
                ));
            }
            Held {
                setup: present,
                enabled: true,
                accepted: Some(accepted),
                refused: None,
                told: false,
            }
        }
        (refused, _) => {
            let usable = |profile: &Arc<Profile>| approval.refuses(&slot, &profile.identity().digest).is_none();
            let restored = former_setup().filter(|setup| setup.profile.as_ref().is_some_and(usable));
            let accepted = former.filter(|_| restored.is_some());
            let setup = restored.unwrap_or_else(|| SlotSetup {
                profile: None,
                plan: None,
                fault: Some("no device file of it was ever accepted".to_owned()),
                contract: present.contract.clone(),
            });
            Held {
                setup,
                enabled: true,
                accepted,
                refused,
                told: false,
            }
        }
    }
}

/// A slot filled by what was accepted last.
fn restored(profiles: &Path, present: &SlotSetup, former: &Accepted) -> SlotSetup {
    let texts = former.texts(profiles);
    let contract = present.contract.clone();
    setup::device(profiles, contract, &texts, (true, false), &mut Diagnostics::new()).0
}
