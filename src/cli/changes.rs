//! `lineside changes`: which device file was accepted when, by whom, and what it meant.

use super::{ConfigFile, INVALID, coloured, complain, print};
use crate::diagnostic::Diagnostics;
use crate::gateway::changes::{Device, Entry, What, read};
use crate::gateway::setup;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Only of this slot, `st10.spindle-1`
    #[arg(long, value_name = "SLOT")]
    slot: Option<String>,
    /// The last so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut out = Diagnostics::new();
    let config = setup::configuration(&arguments.file.config, &mut out);
    let Some(config) = config else {
        complain(&out.render(coloured()));
        return ExitCode::from(INVALID);
    };
    let state_dir = &config.gateway.state_dir;
    let entries = match read(state_dir) {
        Ok(entries) => entries,
        Err(fault) => {
            complain(&format!(
                "error: cannot read the log of changes in {}: {fault}; run this as the gateway's user or in its group",
                state_dir.display()
            ));
            return ExitCode::FAILURE;
        }
    };
    let wanted = |entry: &&Entry| arguments.slot.as_ref().is_none_or(|slot| *slot == entry.slot);
    let mut shown: Vec<&Entry> = entries.iter().filter(wanted).collect();
    shown.drain(..shown.len().saturating_sub(arguments.last));
    if arguments.json {
        print(&format!("{:#}", json!(shown)));
    } else if shown.is_empty() {
        print("no change is known: the gateway writes one for every device file that it accepts");
    } else {
        let lines: Vec<String> = shown.iter().map(|entry| line(entry)).collect();
        print(&lines.join("\n"));
    }
    ExitCode::SUCCESS
}

fn name(device: &Device) -> String {
    let serial = device
        .serial
        .as_ref()
        .map_or_else(String::new, |serial| format!(" ({serial})"));
    let digest: String = device.digest.chars().take("sha256:".len() + 8).collect();
    format!("{} {}{serial} {digest}", device.vendor, device.model)
}

fn line(entry: &Entry) -> String {
    let device = |device: &Option<Device>| device.as_ref().map_or_else(|| "nothing".to_owned(), name);
    let what = match entry.what {
        What::Installed => format!("installed: {}", device(&entry.to)),
        What::Changed => format!("{} → {}", device(&entry.from), device(&entry.to)),
        What::Removed => format!("removed: {}", device(&entry.from)),
        What::Approved => format!("approved: {}", device(&entry.to)),
    };
    let who = entry.who.as_ref().map_or_else(String::new, |who| format!(", by {who}"));
    let mut lines = vec![format!("{}  {}  {what}{who}", entry.at, entry.slot)];
    if !entry.files.is_empty() {
        let files: Vec<String> = entry
            .files
            .iter()
            .map(|file: &PathBuf| file.display().to_string())
            .collect();
        lines.push(format!("    files: {}", files.join(", ")));
    }
    lines.extend(entry.plan.iter().map(|sentence| format!("    {sentence}")));
    lines.join("\n")
}
