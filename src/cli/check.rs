//! `lineside check`: validates a configuration or profiles, runs their examples, holds slots against profiles.

use super::{INVALID, coloured, complain, print};
use crate::diagnostic::Diagnostics;
use crate::gateway::setup::{self, Setup};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// gateway.toml: checks it, every device file and every slot
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "profiles",
        required_unless_present = "profiles"
    )]
    config: Option<PathBuf>,
    /// Profiles to check by themselves
    #[arg(value_name = "PROFILE")]
    profiles: Vec<PathBuf>,
    /// The folder that `extends` starts from; default: the nearest `device-profiles` above the profile
    #[arg(long, value_name = "DIR", requires = "profiles")]
    root: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut out = Diagnostics::new();
    let (what, examples) = if let Some(config) = &arguments.config {
        let (setup, examples) = setup::check(config, &mut out);
        (described(setup.as_ref()), examples)
    } else {
        let mut examples = 0;
        for profile in &arguments.profiles {
            examples += setup::check_profile(profile, arguments.root.as_deref(), &mut out);
        }
        (many(arguments.profiles.len(), "profile"), examples)
    };
    let failed = out.has_errors();
    if arguments.json {
        print(&format!(
            "{:#}",
            json!({"ok": !failed, "examples": examples, "diagnostics": out.to_json()})
        ));
    } else {
        if !out.is_empty() {
            complain(&out.render(coloured()));
        }
        if failed {
            let errors = out
                .iter()
                .filter(|d| d.severity == crate::diagnostic::Severity::Error)
                .count();
            complain(&format!("{}: nothing of this would be accepted", many(errors, "error")));
        } else {
            print(&format!("ok: {what}, {} passed", many(examples, "example")));
        }
    }
    if failed {
        ExitCode::from(INVALID)
    } else {
        ExitCode::SUCCESS
    }
}

/// `1 error`, `2 errors`.
fn many(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn described(setup: Option<&Setup>) -> String {
    setup.map_or_else(
        || "nothing".to_owned(),
        |setup| {
            let slots = setup.slots.iter().filter(|slot| slot.profile.is_some()).count();
            format!(
                "{}, {} with a device",
                many(setup.config.stations.len(), "station"),
                many(slots, "slot")
            )
        },
    )
}
