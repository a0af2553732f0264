//! Setting up: gateway.toml and every device file, read, checked and brought together. Connects to nothing.
//!
//! Owns reading files from disk for [`crate::config`] and [`crate::profile`], which do none, and the checks
//! that need both: a slot without a device file, a device file without a slot, links that contradict.

use super::devices::folder::Texts;
use super::overlay::Overlay;
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
    /// gateway.toml as it was read.
    pub source: Arc<Source>,
    /// Where it was read from.
    pub file: PathBuf,
    /// The texts that its device files were read from.
    pub texts: Texts,
}

/// A slot with its device.
#[derive(Debug, Clone)]
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

impl SlotSetup {
    /// Of a slot that nothing fills.
    fn empty(contract: Arc<SlotContract>, fault: Option<String>) -> Self {
        Self {
            contract,
            profile: None,
            plan: None,
            fault,
        }
    }
}

/// Files on disk, shown as the user gave them.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        std::fs::read_to_string(path).map_err(|fault| match fault.kind() {
            std::io::ErrorKind::NotFound => FileFault::Missing,
            std::io::ErrorKind::InvalidData => FileFault::Unreadable(no_text(path)),
            _ => FileFault::Unreadable(fault.to_string()),
        })
    }
}

/// Where a file begins to be no text.
fn no_text(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let good = std::str::from_utf8(&bytes).map_or_else(|fault| fault.valid_up_to(), str::len);
    let line = bytes.iter().take(good).filter(|byte| **byte == b'\n').count() + 1;
    let byte = bytes.get(good).copied().unwrap_or_default();
    format!(
        "it is no text: line {line} has the byte 0x{byte:02X}, which is no UTF-8; was another file copied over it, or saved in another encoding?"
    )
}

/// Reads gateway.toml alone.
pub fn configuration(path: &Path, out: &mut Diagnostics) -> Option<Config> {
    let source = source(path, out)?;
    config::read(&source, folder(path), &|path| path.is_file(), out)
}

/// Where relative paths of gateway.toml start.
fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|base| !base.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn source(path: &Path, out: &mut Diagnostics) -> Option<Arc<Source>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(fault) => {
            let message = format!("cannot read {}: {fault}", path.display());
            out.push(Diagnostic::nowhere(message).help("name the file with --config FILE"));
            return None;
        }
    };
    Some(Arc::new(Source {
        path: path.display().to_string(),
        text,
    }))
}

/// Reads everything. `None` only where gateway.toml itself is faulty: a faulty device file takes its slot
/// offline, never the others. The faults of device files are told in both cases.
pub fn load(path: &Path, out: &mut Diagnostics) -> Option<Setup> {
    everything(path, &Overlay::new(), false, out).0
}

/// [`load`], and every example of every device file. Returns how many examples passed.
pub fn check(path: &Path, out: &mut Diagnostics) -> (Option<Setup>, usize) {
    everything(path, &Overlay::new(), true, out)
}

/// [`check`] with other device files in the place of those that are installed.
pub fn check_with(path: &Path, overlay: &Overlay, out: &mut Diagnostics) -> (Option<Setup>, usize) {
    everything(path, overlay, true, out)
}

/// One slot with the device file that stands in the place of the installed one. Links are not held against those of others.
pub fn slot_with(config: &Config, slot: &config::Slot, overlay: &Overlay, out: &mut Diagnostics) -> SlotSetup {
    let profiles = &config.gateway.profiles;
    let files = overlay.over(profiles);
    device(profiles, contract(slot), &files, (true, false), out).0
}

/// What a slot asks of its device.
fn contract(slot: &config::Slot) -> Arc<SlotContract> {
    Arc::new(SlotContract {
        slot: slot.name.clone(),
        delivers: slot.delivers.clone(),
        requires: slot.requires.clone(),
        values: slot.values.clone(),
        place: slot.place.clone(),
    })
}

fn everything(path: &Path, overlay: &Overlay, examples: bool, out: &mut Diagnostics) -> (Option<Setup>, usize) {
    let Some(source) = source(path, out) else {
        return (None, 0);
    };
    let config = config::read(&source, folder(path), &|path| path.is_file(), out);
    let (profiles, asked, whole) = match &config {
        Some(config) => {
            let slots = config.slots().map(|(_, slot)| slot.clone()).collect();
            (config.gateway.profiles.clone(), slots, true)
        }
        None => config::slots_anyway(&source, folder(path)),
    };
    if let Some(config) = config.as_ref().filter(|_| examples) {
        credentials(config, out);
    }
    let texts = Texts::new(overlay.clone(), &profiles);
    let mut slots = Vec::new();
    let mut passed = 0;
    for slot in &asked {
        let contract = contract(slot);
        slots.push(if slot.disabled {
            SlotSetup::empty(contract, None)
        } else {
            let (device, proven) = device(&profiles, contract, &texts, (whole, examples), out);
            passed += proven;
            device
        });
    }
    if whole {
        stray_files(overlay.device_files(&profiles), &asked, out);
    }
    contradicting_links(&mut slots, out);
    super::neighbours::same_results(&slots, out);
    let setup = config.map(|config| Setup {
        config,
        slots,
        source,
        file: path.to_owned(),
        texts,
    });
    (setup, passed)
}

/// What the certificates, keys and the password of `[mqtt]` have wrong. Not told by `run`: the session does, and goes
/// on where they are mended.
fn credentials(config: &Config, out: &mut Diagnostics) {
    use crate::mqtt::credentials::{Weight, inspect};
    for finding in inspect(&super::settings(config), &crate::clock::Clock::machine()) {
        let Some(place) = config.mqtt.place(finding.key) else {
            continue;
        };
        let diagnostic = match finding.weight {
            Weight::Warning => Diagnostic::warning(place, finding.what),
            Weight::Doubtful | Weight::Unusable => Diagnostic::error(place, finding.what),
        };
        out.push(diagnostic.help(finding.todo));
    }
}

/// Checks one profile by itself and runs its examples. Returns how many passed.
pub fn check_profile(path: &Path, root: Option<&Path>, out: &mut Diagnostics) -> usize {
    profile(path, root, out).map_or(0, |profile| profile.run_examples(None, out).passed)
}

/// Reads one profile by itself. `root`: the folder that `extends` starts from; none: the nearest `device-profiles` above it.
pub fn profile(path: &Path, root: Option<&Path>, out: &mut Diagnostics) -> Option<Profile> {
    let above = |path: &Path| {
        let mut folders = path.ancestors().skip(1);
        folders
            .find(|folder| folder.ends_with("device-profiles"))
            .map(Path::to_owned)
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let root = root
        .map(Path::to_owned)
        .or_else(|| above(path))
        .or_else(|| above(&absolute))
        .unwrap_or_else(|| path.parent().unwrap_or(Path::new("")).to_owned());
    // Profiles are read from the root on; one that does not stand below it is read by its whole path.
    let file = path.strip_prefix(&root).unwrap_or(&absolute);
    Profile::load(file, &root, &Disk, out)
}

/// The file of the device that fills `slot`.
#[must_use]
pub fn device_file(config: &Config, slot: &SlotName) -> PathBuf {
    config.gateway.profiles.join(format!("{slot}.toml"))
}

/// One slot with its device, and how many examples passed. `whole`: what the slot asks of it can be relied on;
/// `examples`: they are run, and told where they fail.
pub(super) fn device(
    profiles: &Path,
    contract: Arc<SlotContract>,
    files: &dyn Files,
    (whole, examples): (bool, bool),
    out: &mut Diagnostics,
) -> (SlotSetup, usize) {
    let name = format!("{}.toml", contract.slot);
    let path = profiles.join(&name);
    if files.read(&path) == Err(FileFault::Missing) {
        let message = format!("slot `{}` has no device file", contract.slot);
        out.push(Diagnostic::error(&contract.place, message).help(format!(
            "write {}, or disabled = true while nothing fills this slot",
            files.shown(&path).display()
        )));
        return (SlotSetup::empty(contract, Some(format!("there is no {name}"))), 0);
    }
    let mut faults = Diagnostics::new();
    let profile = Profile::load(Path::new(&name), profiles, files, &mut faults);
    let mut proven = Diagnostics::new();
    let mut passed = 0;
    if let Some(profile) = &profile {
        if whole {
            profile.check_slot(&contract, &mut faults);
        }
        if examples {
            let asked = whole.then_some(&*contract);
            passed = profile.run_examples(asked, &mut proven).passed;
        }
    }
    let fault = first_error(&faults);
    out.extend(faults);
    out.extend(proven);
    let profile = profile.filter(|_| fault.is_none()).map(Arc::new);
    let plan = profile.as_ref().map(|profile| Arc::new(profile.plan(&contract.slot)));
    let slot = SlotSetup {
        contract,
        profile,
        plan,
        fault,
    };
    (slot, passed)
}

/// What the file `path` would be in the place of the installed one, checked as `check` does. `None`: it cannot be read.
pub fn replaced(config: &Config, slot: &SlotSetup, path: &Path, out: &mut Diagnostics) -> Option<Arc<Profile>> {
    let text = source(path, out)?.text.clone();
    let mut overlay = Overlay::new();
    overlay.replace(&slot.contract.slot, text, path);
    let profiles = &config.gateway.profiles;
    let files = overlay.over(profiles);
    device(profiles, slot.contract.clone(), &files, (true, true), out)
        .0
        .profile
}

/// The first error, with its place, in a sentence.
pub(super) fn first_error(found: &Diagnostics) -> Option<String> {
    let mut errors = found
        .iter()
        .filter(|diagnostic| diagnostic.severity == crate::diagnostic::Severity::Error);
    let first = errors.next()?;
    let more = match errors.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(match &first.place {
        Some(place) => format!("{place:?}: {}{more}", first.message),
        None => format!("{}{more}", first.message),
    })
}

/// Device files that no slot asks for.
fn stray_files(profiles: &Path, slots: &[config::Slot], out: &mut Diagnostics) {
    let Ok(entries) = std::fs::read_dir(profiles) else {
        return;
    };
    let slots: Vec<String> = slots.iter().map(|slot| slot.name.to_string()).collect();
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
        let path = profiles.join(&name);
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
pub(super) fn contradicting_links(slots: &mut [SlotSetup], out: &mut Diagnostics) {
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
