//! `lineside quarantine`: what could not be made into events, and trying again with today's profile.

use super::{ConfigFile, INVALID, coloured, complain, outbox, print};
use crate::config::Config;
use crate::diagnostic::Diagnostics;
use crate::gateway::store::{AT_ONCE, Place, Question};
use crate::gateway::{self, control, setup};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Exit code where some still are no events.
const STILL: u8 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The quarantines that are held: those that wait, those that were sent and are kept
    List {
        #[command(flatten)]
        file: ConfigFile,
        /// Only of this slot, `st10.spindle-1`
        #[arg(long)]
        slot: Option<String>,
        /// Also those that were tried again and are events now
        #[arg(long)]
        solved: bool,
        /// Machine-readable output
        #[arg(long)]
        json: bool,
    },
    /// Tries again with today's profile; what is an event now is sent as one
    Retry {
        #[command(flatten)]
        file: ConfigFile,
        /// All of this slot, `st10.spindle-1`
        #[arg(long, conflicts_with_all = ["id", "all"])]
        slot: Option<String>,
        /// The one with this id; may be given more than once
        #[arg(long, conflicts_with = "all")]
        id: Vec<String>,
        /// All of this gateway
        #[arg(long)]
        all: bool,
        /// Machine-readable output
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let file = match &arguments.what {
        What::List { file, .. } | What::Retry { file, .. } => file,
    };
    let mut out = Diagnostics::new();
    let Some(config) = setup::configuration(&file.config, &mut out) else {
        complain(&out.render(coloured()));
        return ExitCode::from(INVALID);
    };
    let done = match &arguments.what {
        What::List { slot, solved, json, .. } => list(&config, slot.as_deref(), *solved).map(|found| {
            let text = if *json { format!("{found:#}") } else { listed(&found) };
            (text, ExitCode::SUCCESS)
        }),
        What::Retry {
            file,
            slot,
            id,
            all,
            json,
        } => retry(&config, &file.config, slot.as_deref(), id, *all).map(|tried| {
            let still = tried.iter().any(|one| one["outcome"] == "still");
            let text = if *json {
                format!("{:#}", json!({ "tried": tried }))
            } else {
                told(&tried)
            };
            (
                text,
                if still {
                    ExitCode::from(STILL)
                } else {
                    ExitCode::SUCCESS
                },
            )
        }),
    };
    match done {
        Ok((text, code)) => {
            print(&text);
            code
        }
        Err(fault) => {
            complain(&format!("error: {fault}"));
            ExitCode::FAILURE
        }
    }
}

/// The quarantines that are held.
fn list(config: &Config, slot: Option<&str>, solved: bool) -> Result<Value, String> {
    if let Some(slot) = slot.filter(|slot| !config.slots().any(|(_, known)| known.name.to_string() == **slot)) {
        let known: Vec<String> = config.slots().map(|(_, slot)| slot.name.to_string()).collect();
        return Err(format!(
            "there is no slot `{slot}` in gateway.toml; it has {}",
            known.join(", ")
        ));
    }
    let question = Question::QuarantineList {
        slot: slot.map(str::to_owned),
    };
    let found = match control::ask(&config.gateway.state_dir, &question) {
        Ok(Some(found)) => found,
        Ok(None) => outbox::directly(config, &question)?,
        Err(fault) => return Err(fault.to_string()),
    };
    if let Some(error) = found["error"].as_str() {
        return Err(error.to_owned());
    }
    let all = found.as_array().cloned().unwrap_or_default();
    Ok(all
        .into_iter()
        .filter(|one| solved || one["state"] != "solved")
        .collect())
}

fn retry(config: &Config, file: &Path, slot: Option<&str>, ids: &[String], all: bool) -> Result<Vec<Value>, String> {
    if slot.is_none() && ids.is_empty() && !all {
        return Err(
            "say which: --slot st10.spindle-1, --id ID (as `lineside quarantine list` shows it), or --all".to_owned(),
        );
    }
    // Of one that is named also what became of it before is told.
    let found = list(config, slot, !ids.is_empty())?;
    let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(unknown) = ids.iter().find(|id| !found.iter().any(|one| one["id"] == **id)) {
        return Err(format!(
            "no quarantine that is held has the id `{unknown}`: `lineside quarantine list` shows them"
        ));
    }
    let wanted = found
        .iter()
        .filter(|one| ids.is_empty() || ids.iter().any(|id| one["id"] == **id));
    let places: Vec<Place> = wanted
        .filter_map(|one| serde_json::from_value(one.clone()).ok())
        .collect();
    let questions = places.chunks(AT_ONCE).map(|places| Question::QuarantineRetry {
        places: places.to_vec(),
    });
    let mut tried = Vec::new();
    for question in questions {
        let answer = match control::ask(&config.gateway.state_dir, &question) {
            Ok(Some(answer)) => answer,
            Ok(None) => on_the_store(file, &question)?,
            Err(fault) => return Err(fault.to_string()),
        };
        match answer {
            Value::Array(answers) => tried.extend(answers),
            other => {
                return Err(other["error"]
                    .as_str()
                    .unwrap_or("the gateway gave no answer")
                    .to_owned());
            }
        }
    }
    // Whose each is.
    for one in &mut tried {
        let known = found.iter().find(|known| known["id"] == one["id"]);
        if let Some(known) = known {
            one["slot"] = known["slot"].clone();
            one["of"] = known["of"].clone();
        }
    }
    Ok(tried)
}

/// No gateway runs: the store is opened here, with the profiles on disk.
pub(super) fn on_the_store(file: &Path, question: &Question) -> Result<Value, String> {
    let mut out = Diagnostics::new();
    let Some(setup) = setup::load(file, &mut out) else {
        return Err(out.render(coloured()));
    };
    if !setup.config.gateway.state_dir.is_dir() {
        return Err(format!(
            "there is no {}: no gateway has run with this configuration yet",
            setup.config.gateway.state_dir.display()
        ));
    }
    if out.has_errors() {
        complain(&out.render(coloured()));
    }
    let answers = gateway::on_the_store(setup, std::slice::from_ref(question));
    let mut answers = answers.map_err(|fault| fault.to_string())?;
    Ok(answers.pop().unwrap_or(Value::Null))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn reasons(value: &Value) -> String {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn listed(found: &Value) -> String {
    let all = found.as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return "no quarantine is held".to_owned();
    }
    let row = |one: &Value| {
        let standing = if one["state"] == "solved" {
            "solved".to_owned()
        } else {
            text(&one["standing"])
        };
        format!(
            "{}  {}  {}  {}  {standing}\n    {}\n    raw {}",
            text(&one["id"]),
            text(&one["when"]),
            text(&one["slot"]),
            text(&one["of"]),
            reasons(&one["reasons"]),
            text(&one["raw"]),
        )
    };
    all.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn told(tried: &[Value]) -> String {
    if tried.is_empty() {
        return "nothing to try again".to_owned();
    }
    let mut rows = Vec::new();
    for one in tried {
        let events = one["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        let shown: Vec<String> = events
            .iter()
            .map(|event| match event["sequence"].as_u64() {
                Some(sequence) => format!("{} {sequence} (id {})", text(&event["type"]), text(&event["id"])),
                None => format!("{} (id {})", text(&event["type"]), text(&event["id"])),
            })
            .collect();
        let said = match one["outcome"].as_str() {
            Some("made") if one["durable"] == false => {
                format!(
                    "is {} now, and is sent once the store can be written again",
                    shown.join(", ")
                )
            }
            Some("made") => format!("is {} now", shown.join(", ")),
            Some("duplicate") => format!("is {}, which was sent before", shown.join(", ")),
            Some("solved_before") => {
                let by = one["by"].as_array().map(Vec::as_slice).unwrap_or_default();
                let by: Vec<String> = by
                    .iter()
                    .map(|by| format!("{} {}", text(&by["kind"]), text(&by["by"])))
                    .collect();
                format!("was tried before and is {}", by.join(", "))
            }
            _ => format!("still is none: {}", reasons(&one["reasons"])),
        };
        rows.push(format!("{}  {}  {said}", text(&one["id"]), text(&one["slot"])));
    }
    let made = tried.iter().filter(|one| one["outcome"] == "made").count();
    rows.push(format!("{made} of {} are events now", tried.len()));
    rows.join("\n")
}
