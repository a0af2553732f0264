//! `lineside replay`: which events a profile makes of a record, or how those of two profiles differ.

use super::probe::render::event_line;
use super::probe::target::read_profile;
use super::{INVALID, complain, print};
use crate::profile::Profile;
use crate::record::Record;
use crate::replay::differ::{Difference, Pair, differ};
use crate::replay::{Made, Replayed, nobody, replay};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit code where the MES would notice.
const DIFFERENT: u8 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The record
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The profile, or the two that are compared: files, or names of the catalog
    #[arg(value_name = "PROFILE", required = true, num_args = 1..=2)]
    profiles: Vec<PathBuf>,
    /// The folder that `extends` starts from; default: the nearest `device-profiles` above each profile
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let invalid = |reason: String| {
        complain(&format!("error: {reason}"));
        ExitCode::from(INVALID)
    };
    let text = match std::fs::read_to_string(&arguments.file) {
        Ok(text) => text,
        Err(fault) => return invalid(format!("cannot read {}: {fault}", arguments.file.display())),
    };
    let record = match Record::read(&text) {
        Ok(record) => record,
        Err(fault) => return invalid(format!("{}: {fault}", arguments.file.display())),
    };
    let mut profiles: Vec<(&Path, Profile)> = Vec::new();
    for name in &arguments.profiles {
        match read_profile(name, arguments.root.as_deref()) {
            Some(profile) => profiles.push((name, profile)),
            None => return ExitCode::from(INVALID),
        }
    }
    let mut made = Vec::new();
    for (name, profile) in &profiles {
        match replay(&record, profile, &nobody(profile)) {
            Ok(replayed) => made.push((*name, replayed)),
            Err(fault) => return invalid(format!("{}: {fault}", name.display())),
        }
    }
    match made.as_slice() {
        [(_, only)] => {
            print(&if arguments.json {
                format!("{:#}", one_json(only))
            } else {
                one(only)
            });
            ExitCode::SUCCESS
        }
        [first, second] => {
            let pairs = differ(&first.1, &second.1);
            let same = pairs.iter().all(Pair::is_same);
            print(&if arguments.json {
                format!("{:#}", two_json(&pairs, (first.0, &first.1), (second.0, &second.1)))
            } else {
                two(&pairs, first, second)
            });
            if same {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(DIFFERENT)
            }
        }
        _ => ExitCode::from(INVALID),
    }
}

/// `+12.345 s`.
fn time(ms: u64) -> String {
    format!("+{}.{:03} s", ms / 1_000, ms % 1_000)
}

pub(super) fn event(made: &Made) -> String {
    format!("{:>12}  {}", time(made.ms), event_line(&made.json))
}

pub(super) fn many(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn one(made: &Replayed) -> String {
    let mut lines: Vec<String> = made.notes.iter().map(|note| format!("note: {note}")).collect();
    lines.extend(made.events.iter().map(event));
    lines.extend(
        made.torn
            .iter()
            .map(|(ms, text)| format!("{:>12}  torn: {text}", time(*ms))),
    );
    lines.push(summary(made));
    lines.join("\n")
}

fn summary(made: &Replayed) -> String {
    let quarantined = made
        .events
        .iter()
        .filter(|made| made.json["type"] == "quarantine")
        .count();
    format!(
        "{}, {quarantined} of them quarantined, {} ignored, {} torn",
        many(made.events.len(), "event"),
        made.ignored,
        made.torn.len()
    )
}

fn made_json(made: &Made) -> Value {
    json!({ "ms": made.ms, "at": crate::model::time::rfc3339(made.wall), "event": made.json })
}

fn torn_json(made: &Replayed) -> Vec<Value> {
    made.torn
        .iter()
        .map(|(ms, text)| json!({ "ms": ms, "text": text }))
        .collect()
}

fn one_json(made: &Replayed) -> Value {
    json!({
        "events": made.events.iter().map(made_json).collect::<Vec<_>>(), "ignored": made.ignored,
        "torn": torn_json(made), "notes": made.notes,
    })
}

fn two(pairs: &[Pair], first: &(&Path, Replayed), second: &(&Path, Replayed)) -> String {
    let mut lines = Vec::new();
    for (name, made) in [first, second] {
        lines.extend(
            made.notes
                .iter()
                .map(|note| format!("note: {}: {note}", name.display())),
        );
        lines.extend(
            made.torn
                .iter()
                .map(|(ms, text)| format!("torn: {}: {} {text}", name.display(), time(*ms))),
        );
    }
    let mut same = 0;
    let mut beside_only: std::collections::BTreeSet<&str> = std::collections::BTreeSet::new();
    for pair in pairs {
        match pair {
            Pair::First(made) => lines.push(format!("- {}", event(made))),
            Pair::Second(made) => lines.push(format!("+ {}", event(made))),
            Pair::Both {
                first,
                contract,
                beside,
                ..
            } => {
                beside_only.extend(beside.iter().map(|difference| difference.field.as_str()));
                if contract.is_empty() {
                    same += 1;
                    continue;
                }
                lines.push(format!("~ {}", event(first)));
                for difference in contract {
                    lines.push(format!("      {}", changed(difference)));
                }
            }
        }
    }
    if !beside_only.is_empty() {
        let fields: Vec<&str> = beside_only.into_iter().collect();
        lines.push(format!("beside the contract: {} differ", fields.join(", ")));
    }
    let different = pairs.len() - same;
    lines.push(if different == 0 {
        format!("the MES sees the same: {}", many(same, "event"))
    } else {
        format!(
            "{different} of {} differ (- only {}, + only {}, ~ both, but otherwise); {same} are the same",
            many(pairs.len(), "event"),
            first.0.display(),
            second.0.display()
        )
    });
    lines.join("\n")
}

fn changed(difference: &Difference) -> String {
    let text = |value: &Option<Value>| {
        value.as_ref().map_or_else(
            || "absent".to_owned(),
            |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        )
    };
    format!(
        "{}: {} → {}",
        difference.field,
        text(&difference.first),
        text(&difference.second)
    )
}

pub(super) fn two_json(pairs: &[Pair], first: (&Path, &Replayed), second: (&Path, &Replayed)) -> Value {
    let list = |differences: &[Difference]| -> Vec<Value> {
        differences
            .iter()
            .map(|one| json!({ "field": one.field, "first": one.first, "second": one.second }))
            .collect()
    };
    let shown: Vec<Value> = pairs
        .iter()
        .map(|pair| match pair {
            Pair::First(made) => json!({ "only": "first", "first": made_json(made) }),
            Pair::Second(made) => json!({ "only": "second", "second": made_json(made) }),
            Pair::Both {
                first,
                second,
                contract,
                beside,
            } => json!({
                "first": made_json(first), "second": made_json(second),
                "differences": list(contract), "beside": list(beside),
            }),
        })
        .collect();
    json!({
        "same": pairs.iter().all(Pair::is_same), "events": shown,
        "notes": { "first": first.1.notes, "second": second.1.notes },
        "torn": { "first": torn_json(first.1), "second": torn_json(second.1) },
    })
}
