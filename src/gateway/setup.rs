//! Setting up: gateway.toml and every device file, read, checked and brought together. Connects to nothing.
//!
//! Owns reading files from disk for [`crate::config`] and [`crate::profile`], which do none, and the checks
//! that need both: a slot without a device file, a device file without a slot, links that contradict.

use crate::config::{self, Config};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source, meant};
use crate::model::SlotName;
use crate::model::plan::SlotPlan;
use crate::profile::{FileFault, Files, Profile, SlotContract};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration with its devices.
#[derive(Debug)]
pub struct Setup {
    /// gateway.toml.
    pub config: Config,
    /// Every slot, in the order of gateway.toml.
    pub slots: Vec<SlotSetup>,
}

/// A slot with its device.
#[derive(Debug)]
pub struct SlotSetup {
    /// What the plant asks of it.
    pub contract: Arc<SlotContract>,
    /// The device that fills it; `None`: disabled, or its file is faulty.
    pub profile: Option<Arc<Profile>>,
    /// What is read of it.
    pub plan: Option<Arc<SlotPlan>>,
    /// Why there is no device, in a sentence; `None` where there is one, or the slot is disabled.
    pub fault: Option<String>,
}

/// Files on disk, shown as the user gave them.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        std::fs::read_to_string(path).map_err(|fault| match fault.kind() {
            std::io::ErrorKind::NotFound => FileFault::Missing,
            _ => FileFault::Unreadable(fault.to_string()),
        })
    }
}

/// Reads gateway.toml alone.
pub fn configuration(path: &Path, out: &mut Diagnostics) -> Option<Config> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(fault) => {
            let message = format!("cannot read {}: {fault}", path.display());
            out.push(Diagnostic::nowhere(message).help("name the file with --config FILE"));
            return None;
        }
    };
    let source = Arc::new(Source {
        path: path.display().to_string(),
        text,
    });
    let base = path
        .parent()
        .filter(|base| !base.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    config::read(&source, base, &|path| path.is_file(), out)
}

/// Reads everything. `None` only where gateway.toml itself is faulty: a faulty device file takes its slot
/// offline, never the others.
pub fn load(path: &Path, out: &mut Diagnostics) -> Option<Setup> {
    let config = configuration(path, out)?;
    let mut slots = Vec::new();
    for (_, slot) in config.slots() {
        let contract = Arc::new(SlotContract {
            slot: slot.name.clone(),
            delivers: slot.delivers.clone(),
            requires: slot.requires.clone(),
            values: slot.values.clone(),
            place: slot.place.clone(),
        });
        slots.push(if slot.disabled {
            SlotSetup {
                contract,
                profile: None,
                plan: None,
                fault: None,
            }
        } else {
            device(&config, contract, out)
        });
    }
    stray_files(&config, out);
    contradicting_links(&mut slots, out);
    Some(Setup { config, slots })
}

/// [`load`], and every example of every device file. Returns how many examples passed.
pub fn check(path: &Path, out: &mut Diagnostics) -> (Option<Setup>, usize) {
    let setup = load(path, out);
    let mut passed = 0;
    for slot in setup.iter().flat_map(|setup| &setup.slots) {
        if let Some(profile) = &slot.profile {
            passed += profile.run_examples(Some(&slot.contract), out).passed;
        }
    }
    (setup, passed)
}

/// Checks one profile by itself and runs its examples. Returns how many passed.
pub fn check_profile(path: &Path, root: Option<&Path>, out: &mut Diagnostics) -> usize {
    let nearest = || {
        path.ancestors()
            .skip(1)
            .find(|folder| folder.ends_with("device-profiles"))
            .map_or_else(|| path.parent().unwrap_or(Path::new(".")).to_owned(), Path::to_owned)
    };
    let root = root.map_or_else(nearest, Path::to_owned);
    Profile::load(path, &root, &Disk, out).map_or(0, |profile| profile.run_examples(None, out).passed)
}

/// The file of the device that fills `slot`.
#[must_use]
pub fn device_file(config: &Config, slot: &SlotName) -> PathBuf {
    config.gateway.profiles.join(format!("{slot}.toml"))
}

fn device(config: &Config, contract: Arc<SlotContract>, out: &mut Diagnostics) -> SlotSetup {
    let path = device_file(config, &contract.slot);
    if !path.is_file() {
        let name = format!("{}.toml", contract.slot);
        let message = format!("slot `{}` has no device file", contract.slot);
        out.push(Diagnostic::error(&contract.place, message).help(format!(
            "write {}, or disabled = true while nothing fills this slot",
            path.display()
        )));
        return SlotSetup {
            contract,
            profile: None,
            plan: None,
            fault: Some(format!("there is no {name}")),
        };
    }
    let mut faults = Diagnostics::new();
    let profile = Profile::load(&path, &config.gateway.profiles, &Disk, &mut faults);
    if let Some(profile) = &profile {
        profile.check_slot(&contract, &mut faults);
    }
    let fault = faults
        .iter()
        .find(|diagnostic| diagnostic.severity == crate::diagnostic::Severity::Error)
        .map(|first| match &first.place {
            Some(place) => format!("{place:?}: {}", first.message),
            None => first.message.clone(),
        });
    out.extend(faults);
    let profile = profile.filter(|_| fault.is_none()).map(Arc::new);
    let plan = profile.as_ref().map(|profile| Arc::new(profile.plan(&contract.slot)));
    SlotSetup {
        contract,
        profile,
        plan,
        fault,
    }
}

/// Device files that no slot asks for.
fn stray_files(config: &Config, out: &mut Diagnostics) {
    let Ok(entries) = std::fs::read_dir(&config.gateway.profiles) else {
        return;
    };
    let slots: Vec<String> = config.slots().map(|(_, slot)| slot.name.to_string()).collect();
    let known: Vec<&str> = slots.iter().map(String::as_str).collect();
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    for name in names {
        let Some(stem) = name.strip_suffix(".toml") else {
            continue;
        };
        if stem.split('.').count() != 2 || known.contains(&stem) {
            continue;
        }
        let path = config.gateway.profiles.join(&name);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let source = Arc::new(Source {
            path: path.display().to_string(),
            text,
        });
        let first = source.text.lines().next().map_or(0, str::len);
        let place = Place { source, span: 0..first };
        let fault = Diagnostic::error(&place, format!("there is no slot `{stem}` in gateway.toml"));
        out.push(fault.maybe_help(meant(stem, &known)));
    }
}

/// Slots that reach the same address by different settings.
fn contradicting_links(slots: &mut [SlotSetup], out: &mut Diagnostics) {
    for later in 1..slots.len() {
        let (before, rest) = slots.split_at_mut(later);
        let Some(slot) = rest.first_mut() else { continue };
        let (Some(plan), Some(profile)) = (&slot.plan, &slot.profile) else {
            continue;
        };
        let other = before.iter().find(|other| {
            other
                .plan
                .as_ref()
                .is_some_and(|other| other.link.address() == plan.link.address() && !other.link.shares(&plan.link))
        });
        let Some((other, first)) = other.and_then(|other| other.profile.as_ref().map(|profile| (other, profile)))
        else {
            continue;
        };
        let message = format!(
            "`{}` and `{}` reach {} by different settings",
            other.contract.slot,
            slot.contract.slot,
            plan.link.address()
        );
        let fault = Diagnostic::error(profile.connection_place(), message.clone())
            .related(first.connection_place(), "the other one")
            .help("slots at one address share one connection: make their [connection] equal");
        out.push(fault);
        slot.fault = Some(message);
        slot.plan = None;
        slot.profile = None;
    }
}
