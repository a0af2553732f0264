//! `lineside lock`: writes the digests of approved device files.

use super::{ConfigFile, INVALID, coloured, complain, print};
use crate::clock::Clock;
use crate::diagnostic::Diagnostics;
use crate::gateway::changes::{self, Device, Entry, What};
use crate::gateway::lock::{self, Lock};
use crate::gateway::setup::{self, Setup};
use crate::model::{DeviceIdentity, SlotName};
use serde_json::json;
use std::process::ExitCode;

/// Exit code where `--check` finds what is not approved.
const UNAPPROVED: u8 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Approve only these slots; the others stay as they are. Default: every slot that has a device
    #[arg(long, value_name = "SLOT")]
    slot: Vec<String>,
    /// Approve this file for a slot beside the one that is installed, so that a later swap is taken at once
    #[arg(long, value_name = "SLOT=FILE")]
    also: Vec<String>,
    /// Write nothing: say what is not approved, and exit with 3
    #[arg(long)]
    check: bool,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// One device file that is or becomes approved.
struct Approved {
    slot: SlotName,
    identity: DeviceIdentity,
    news: bool,
    beside: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let config = &arguments.file.config;
    let mut out = Diagnostics::new();
    let (setup, _) = setup::check(config, &mut out);
    let Some(setup) = setup.filter(|_| !out.has_errors()) else {
        complain(&out.render(coloured()));
        complain("error: nothing was approved: mend what is wrong first, `lineside check` shows it again");
        return ExitCode::from(INVALID);
    };
    let path = lock::file(config);
    let mut lock = match Lock::read(&path) {
        Ok(lock) => lock,
        Err(fault) => {
            complain(&format!("error: {fault}"));
            return ExitCode::FAILURE;
        }
    };
    let mut found = match installed(&setup, &lock, &arguments.slot) {
        Ok(found) => found,
        Err(reason) => return invalid(&reason),
    };
    for also in &arguments.also {
        match beside(&setup, &lock, also) {
            Ok(approved) => found.push(approved),
            Err(reason) => return invalid(&reason),
        }
    }
    let news = found.iter().filter(|approved| approved.news).count();
    if arguments.check {
        show(&found, arguments, "is not approved", "is approved");
        return if news == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(UNAPPROVED)
        };
    }
    let slots: Vec<SlotName> = setup.slots.iter().map(|slot| slot.contract.slot.clone()).collect();
    lock.keep(&slots);
    for approved in &found {
        if approved.beside {
            lock.approve(&approved.slot, &approved.identity.digest);
        } else {
            lock.only(&approved.slot, &approved.identity.digest);
        }
    }
    if let Err(fault) = lock.write(&path) {
        complain(&format!("error: {fault}; who may write that file may approve"));
        return ExitCode::FAILURE;
    }
    show(&found, arguments, "approved", "was approved before");
    note(&setup, &found);
    if !arguments.json {
        print(&format!("{} is written", path.display()));
        if !setup.config.gateway.require_lock {
            print("it counts once [gateway] require_lock = true");
        }
    }
    ExitCode::SUCCESS
}

fn invalid(reason: &str) -> ExitCode {
    complain(&format!("error: {reason}"));
    ExitCode::from(INVALID)
}

/// What is installed, of all slots or of those that were named.
fn installed(setup: &Setup, lock: &Lock, named: &[String]) -> Result<Vec<Approved>, String> {
    let known: Vec<String> = setup.slots.iter().map(|slot| slot.contract.slot.to_string()).collect();
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no slot `{unknown}`; there are {}", known.join(", ")));
    }
    let wanted = |slot: &SlotName| named.is_empty() || named.contains(&slot.to_string());
    let slots = setup.slots.iter().filter(|slot| wanted(&slot.contract.slot));
    let found = slots.filter_map(|slot| {
        let identity = (**slot.profile.as_ref()?.identity()).clone();
        let slot = slot.contract.slot.clone();
        Some(Approved {
            news: !lock.approves(&slot, &identity.digest),
            slot,
            identity,
            beside: false,
        })
    });
    Ok(found.collect())
}

/// A file that is to be approved before it is installed.
fn beside(setup: &Setup, lock: &Lock, also: &str) -> Result<Approved, String> {
    let (name, file) = also
        .split_once('=')
        .ok_or_else(|| format!("--also {also}: write SLOT=FILE, as in st10.spindle-1=NEW.toml"))?;
    let known = || {
        let names: Vec<String> = setup.slots.iter().map(|slot| slot.contract.slot.to_string()).collect();
        format!("there is no slot `{name}`; there are {}", names.join(", "))
    };
    let slot = setup
        .slots
        .iter()
        .find(|slot| slot.contract.slot.to_string() == name)
        .ok_or_else(known)?;
    let mut out = Diagnostics::new();
    let candidate = setup::replaced(&setup.config, slot, file.as_ref(), &mut out);
    let profile = candidate.filter(|_| !out.has_errors());
    let profile = profile.ok_or_else(|| {
        format!(
            "{file} cannot fill {name}, and is not approved:\n{}",
            out.render(coloured())
        )
    })?;
    let slot = slot.contract.slot.clone();
    Ok(Approved {
        news: !lock.approves(&slot, &profile.identity().digest),
        identity: (**profile.identity()).clone(),
        slot,
        beside: true,
    })
}

fn show(found: &[Approved], arguments: &Arguments, news: &str, known: &str) {
    if arguments.json {
        let rows: Vec<_> = found
            .iter()
            .map(|approved| {
                let identity = &approved.identity;
                json!({
                    "slot": approved.slot.to_string(), "vendor": identity.vendor, "model": identity.model,
                    "digest": identity.digest, "new": approved.news, "beside": approved.beside,
                })
            })
            .collect();
        return print(&format!("{:#}", json!(rows)));
    }
    for approved in found {
        let (identity, word) = (&approved.identity, if approved.news { news } else { known });
        let beside = if approved.beside {
            " (beside the installed one)"
        } else {
            ""
        };
        print(&format!(
            "{}: {} {} {} {word}{beside}",
            approved.slot, identity.vendor, identity.model, identity.digest
        ));
    }
}

/// Approvals stand in the log of changes, where that can be written by who approves.
fn note(setup: &Setup, found: &[Approved]) {
    let at = Clock::machine().now().rfc3339();
    let who = changes::account(rustix::process::getuid().as_raw());
    let entries: Vec<Entry> = found
        .iter()
        .filter(|approved| approved.news)
        .map(|approved| Entry {
            at: at.clone(),
            slot: approved.slot.to_string(),
            what: What::Approved,
            from: None,
            to: Some(Device::from(&approved.identity)),
            plan: Vec::new(),
            files: Vec::new(),
            who: Some(who.clone()),
        })
        .collect();
    let state_dir = &setup.config.gateway.state_dir;
    if !entries.is_empty()
        && state_dir.is_dir()
        && let Err(fault) = changes::add(state_dir, &entries)
    {
        complain(&format!("note: the log of changes was not written: {fault}"));
    }
}
