//! `lineside plan`: what a swap changes, before it happens: for the MES, for the device link, beside the contract, and what
//! the recorded data of the slot says.
//!
//! Owns which files are held against which, and the exit code. Does not own the comparison ([`crate::profile::compare`]),
//! the replay ([`crate::replay`]) nor how both are shown ([`render`]). Writes nothing and connects to no device.

mod recorded;
mod render;

use super::{ConfigFile, INVALID, coloured, complain, print};
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, meant};
use crate::gateway::devices::accepted::Accepted;
use crate::gateway::overlay::Overlay;
use crate::gateway::setup::{self, Setup, SlotSetup};
use crate::model::SlotName;
use crate::profile::compare::{Comparison, compare};
use crate::profile::{Files, Profile, SlotContract};
use recorded::Heard;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Exit code where the MES would notice.
const CHANGES: u8 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// A slot and the device file that is to fill it: st10.spindle-1=NEW.toml; may be given several times
    #[arg(long, value_name = "SLOT=FILE")]
    replace: Vec<String>,
    /// A whole folder of device files in the place of the installed one
    #[arg(long, value_name = "DIR", conflicts_with = "replace")]
    profiles: Option<PathBuf>,
    /// A record that both profiles are run over (`lineside record`); may be given several times
    #[arg(long, value_name = "FILE")]
    record: Vec<PathBuf>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// One slot as it is and as it would be.
#[derive(Debug)]
struct Swap {
    contract: Arc<SlotContract>,
    /// `None`: nothing fills it yet.
    before: Option<Arc<Profile>>,
    after: Arc<Profile>,
    /// Where the profiles come from, for people.
    from: String,
    to: String,
    comparison: Comparison,
    heard: Vec<Heard>,
}

impl Swap {
    /// Whether the MES would notice nothing: by what is promised, and by what recorded data comes to.
    fn keeps(&self) -> bool {
        self.comparison.keeps_contract() && self.heard.iter().all(Heard::keeps)
    }

    fn slot(&self) -> &SlotName {
        &self.contract.slot
    }
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut out = Diagnostics::new();
    let swaps = swaps(arguments, &mut out);
    let Some(mut swaps) = swaps.filter(|_| !out.has_errors()) else {
        return invalid(arguments, &out);
    };
    if !out.is_empty() && !arguments.json {
        complain(&out.render(coloured()));
    }
    if let Err(sentence) = recorded::hear(arguments, &mut swaps) {
        out.push(Diagnostic::nowhere(sentence));
        return invalid(arguments, &out);
    }
    print(&if arguments.json {
        format!("{:#}", render::json(&swaps, &out))
    } else {
        render::text(&swaps)
    });
    if swaps.iter().all(Swap::keeps) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(CHANGES)
    }
}

fn invalid(arguments: &Arguments, out: &Diagnostics) -> ExitCode {
    if arguments.json {
        print(&format!("{:#}", json!({ "ok": false, "diagnostics": out.to_json() })));
    } else {
        complain(&out.render(coloured()));
        let errors = out.iter().filter(|one| one.severity == Severity::Error).count();
        let errors = if errors == 1 {
            "1 error".to_owned()
        } else {
            format!("{errors} errors")
        };
        complain(&format!(
            "{errors}: the gateway would refuse this, and go on with what it has"
        ));
    }
    ExitCode::from(INVALID)
}

/// Every slot that is looked at. `None`: gateway.toml cannot be used. Faults that were there before are not this swap's.
fn swaps(arguments: &Arguments, out: &mut Diagnostics) -> Option<Vec<Swap>> {
    let path = &arguments.file.config;
    let config = setup::configuration(path, out)?;
    if arguments.replace.is_empty() && arguments.profiles.is_none() {
        let (after, _) = setup::check(path, out);
        return Some(edited(&config, &after?));
    }
    let (overlay, replaced) = overlay(arguments, &config, out)?;
    let mut told = Diagnostics::new();
    let (before, _) = setup::check(path, &mut told);
    let mut anew = Diagnostics::new();
    let (after, _) = setup::check_with(path, &overlay, &mut anew);
    let (before, after) = (before?, after?);
    for diagnostic in anew.iter() {
        if !told.iter().any(|have| have == diagnostic) {
            out.push(diagnostic.clone());
        }
    }
    let over = overlay.over(&config.gateway.profiles);
    let mut found = Vec::new();
    for (was, is) in before.slots.iter().zip(&after.slots) {
        let slot = &is.contract.slot;
        let named = replaced.iter().find(|(name, _)| name == slot);
        if named.is_none() && arguments.profiles.is_none() {
            continue;
        }
        let Some(profile) = &is.profile else {
            // Refused for what was wrong before as well: told all the same, since it was asked for.
            if named.is_some() && !out.has_errors() {
                out.extend(anew.clone());
            }
            continue;
        };
        let to = profile.files().first().map(|file| over.shown(file)).unwrap_or_default();
        let to = named.map_or(to, |(_, file)| file.clone());
        let (known, from) = match &was.profile {
            Some(profile) => (Some(profile.clone()), "installed".to_owned()),
            None => (accepted(&config, slot), "as last accepted".to_owned()),
        };
        found.push(swap(is, known, from, profile.clone(), to.display().to_string()));
    }
    Some(found)
}

/// What is on disk against what the gateway last accepted.
fn edited(config: &Config, after: &Setup) -> Vec<Swap> {
    let present = after.slots.iter().filter_map(|is| Some((is, is.profile.clone()?)));
    present
        .map(|(is, profile)| {
            let slot = &is.contract.slot;
            let before = accepted(config, slot);
            swap(is, before, "as last accepted".to_owned(), profile, "on disk".to_owned())
        })
        .collect()
}

fn swap(is: &SlotSetup, before: Option<Arc<Profile>>, from: String, after: Arc<Profile>, to: String) -> Swap {
    let comparison = match &before {
        Some(before) => compare(before, &after, &is.contract),
        None => Comparison::default(),
    };
    Swap {
        contract: is.contract.clone(),
        before,
        after,
        from,
        to,
        comparison,
        heard: Vec::new(),
    }
}

/// The profile that the gateway last accepted for a slot, where there is one that can still be read.
fn accepted(config: &Config, slot: &SlotName) -> Option<Arc<Profile>> {
    let accepted = Accepted::read(&config.gateway.state_dir, slot)?;
    let (_, slot) = config.slots().find(|(_, known)| known.name == *slot)?;
    let overlay = Overlay::accepted(&accepted);
    // What it would be said of it today is not this swap's.
    let found = setup::slot_with(config, slot, &overlay, &mut Diagnostics::new());
    found.profile
}

/// What stands in the place of the installed files, and which slots were named.
fn overlay(
    arguments: &Arguments,
    config: &Config,
    out: &mut Diagnostics,
) -> Option<(Overlay, Vec<(SlotName, PathBuf)>)> {
    if let Some(folder) = &arguments.profiles {
        if !folder.is_dir() {
            out.push(
                Diagnostic::nowhere(format!("{} is no folder", folder.display()))
                    .help("--profiles is a folder like the installed one: <station>.<slot>.toml and the catalog"),
            );
            return None;
        }
        return Some((Overlay::folder(folder), Vec::new()));
    }
    let mut overlay = Overlay::new();
    let mut replaced: Vec<(SlotName, PathBuf)> = Vec::new();
    for asked in &arguments.replace {
        let Some((name, file)) = asked.split_once('=').filter(|(_, file)| !file.is_empty()) else {
            out.push(
                Diagnostic::nowhere(format!("`{asked}` is no swap"))
                    .help("say the slot and the file that is to fill it: --replace st10.spindle-1=NEW.toml"),
            );
            continue;
        };
        let Some((_, slot)) = config.slots().find(|(_, slot)| slot.name.to_string() == name) else {
            let known: Vec<String> = config.slots().map(|(_, slot)| slot.name.to_string()).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let fault = Diagnostic::nowhere(format!("there is no slot `{name}` in gateway.toml"));
            out.push(fault.maybe_help(meant(name, &known)));
            continue;
        };
        if slot.disabled {
            let fault = Diagnostic::error(
                &slot.place,
                format!("`{name}` is disabled: nothing would be read of it"),
            );
            out.push(fault.help("take `disabled = true` away in gateway.toml, and start the gateway again"));
            continue;
        }
        if replaced.iter().any(|(have, _)| *have == slot.name) {
            let fault = Diagnostic::nowhere(format!("`{name}` is replaced twice"));
            out.push(fault.help("one device fills one slot: say --replace once for each slot"));
            continue;
        }
        match std::fs::read_to_string(file) {
            Ok(text) => {
                overlay.replace(&slot.name, text, Path::new(file));
                replaced.push((slot.name.clone(), PathBuf::from(file)));
            }
            Err(fault) => out.push(
                Diagnostic::nowhere(format!("cannot read {file}: {fault}"))
                    .help("name the device file that is to be installed: --replace st10.spindle-1=NEW.toml"),
            ),
        }
    }
    Some((overlay, replaced))
}
