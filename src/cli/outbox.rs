//! `lineside outbox`: looks into the store-and-forward buffer, through the running gateway or on the store itself.

use super::{ConfigFile, INVALID, coloured, complain, print};
use crate::clock::Clock;
use crate::diagnostic::Diagnostics;
use crate::gateway::store::Question;
use crate::gateway::{self, control, setup};
use crate::outbox::Outbox;
use clap::Subcommand;
use serde_json::Value;
use std::fmt::Write as _;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How much waits, how much was sent, how big the store is
    Stats {
        #[command(flatten)]
        file: ConfigFile,
        /// Machine-readable output
        #[arg(long)]
        json: bool,
    },
    /// The events that are there: those that wait, those that were sent and are kept, those that the broker refused
    List {
        #[command(flatten)]
        file: ConfigFile,
        /// Only topics that contain this text
        #[arg(long)]
        topic: Option<String>,
        /// Events at most
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Machine-readable output
        #[arg(long)]
        json: bool,
    },
    /// Takes note that a person has looked at what the MES rejected: the slots' statuses say it no longer
    Seen {
        #[command(flatten)]
        file: ConfigFile,
        /// Only events of this slot, `st10.spindle-1`
        #[arg(long)]
        slot: Option<String>,
        /// Only the event with this id
        #[arg(long)]
        id: Option<String>,
        /// Machine-readable output
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (file, json, question) = match &arguments.what {
        What::Stats { file, json } => (file, *json, Question::OutboxStats),
        What::List {
            file,
            topic,
            limit,
            json,
        } => (
            file,
            *json,
            Question::OutboxList {
                topic: topic.clone(),
                limit: *limit,
            },
        ),
        What::Seen { file, slot, id, json } => (
            file,
            *json,
            Question::Seen {
                slot: slot.clone(),
                id: id.clone(),
            },
        ),
    };
    let mut out = Diagnostics::new();
    let Some(config) = setup::configuration(&file.config, &mut out) else {
        complain(&out.render(coloured()));
        return ExitCode::from(INVALID);
    };
    let answer = match control::ask(&config.gateway.state_dir, &question) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) if matches!(question, Question::Seen { .. }) => {
            super::quarantine::on_the_store(&file.config, &question)
        }
        Ok(None) => directly(&config, &question),
        Err(fault) => Err(fault.to_string()),
    };
    let answer = answer.and_then(|answer| match answer["error"].as_str() {
        Some(fault) => Err(fault.to_owned()),
        None => Ok(answer),
    });
    match answer {
        Ok(answer) => {
            print(&if json {
                format!("{answer:#}")
            } else {
                readable(&question, &answer)
            });
            ExitCode::SUCCESS
        }
        Err(fault) => {
            complain(&format!("error: {fault}"));
            ExitCode::FAILURE
        }
    }
}

/// No gateway runs: the store is opened here.
pub(super) fn directly(config: &crate::config::Config, question: &Question) -> Result<Value, String> {
    if !config.gateway.state_dir.is_dir() {
        return Err(format!(
            "there is no {}: no gateway has run with this configuration yet",
            config.gateway.state_dir.display()
        ));
    }
    let (outbox, report) = Outbox::open(&config.gateway.state_dir, gateway::limits(config), Clock::machine())
        .map_err(|fault| fault.to_string())?;
    for note in &report.notes {
        complain(&format!("note: {note}"));
    }
    if let Some(lost) = &report.lost {
        complain(&format!(
            "note: the store was lost: {}; the gateway tells the MES at its next start",
            lost.reason
        ));
    }
    let answer = match question {
        Question::OutboxStats => gateway::outbox_stats(&outbox),
        Question::OutboxList { topic, limit } => gateway::outbox_list(&outbox, topic.as_deref(), *limit),
        Question::QuarantineList { slot } => gateway::quarantine_list(&outbox, slot.as_deref()),
        Question::Seen { .. } | Question::QuarantineRetry { .. } => Value::Null,
    };
    outbox.close().map_err(|fault| fault.to_string())?;
    Ok(answer)
}

fn readable(question: &Question, answer: &Value) -> String {
    match question {
        Question::Seen { .. } => match answer["seen"].as_array().map_or(0, Vec::len) {
            0 => "nothing that the MES rejected was left to be looked at".to_owned(),
            1 => "1 rejected event is noted as looked at; it stays listed".to_owned(),
            count => format!("{count} rejected events are noted as looked at; they stay listed"),
        },
        Question::QuarantineList { .. } | Question::QuarantineRetry { .. } => answer.to_string(),
        Question::OutboxStats => {
            let mut text = String::new();
            lines(answer, 0, &mut text);
            text.trim_end().to_owned()
        }
        Question::OutboxList { .. } => {
            let Some(events) = answer.as_array() else {
                return answer.to_string();
            };
            if events.is_empty() {
                return "nothing waits, and nothing is kept".to_owned();
            }
            let text = |event: &Value, key: &str| {
                event[key]
                    .as_str()
                    .map_or_else(|| event[key].to_string(), str::to_owned)
            };
            let rows = events.iter().map(|event| {
                format!(
                    "{:<8}  {:>20}  {:<32}  {}{}",
                    text(event, "standing"),
                    text(event, "sequence"),
                    event["id"].as_str().unwrap_or("-"),
                    text(event, "topic"),
                    event["reason"]
                        .as_str()
                        .map(|reason| format!("  ({reason})"))
                        .unwrap_or_default()
                )
            });
            rows.collect::<Vec<_>>().join("\n")
        }
    }
}

/// A JSON object as indented lines, one a scalar.
fn lines(value: &Value, depth: usize, text: &mut String) {
    let indent = depth * 2;
    let rows: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().map(|item| ("-".to_owned(), item)).collect(),
        scalar => vec![(String::new(), scalar)],
    };
    for (key, value) in rows {
        // Writing to a String does not fail.
        let written = match value {
            Value::Object(_) | Value::Array(_) => {
                let written = writeln!(text, "{:indent$}{key}", "");
                lines(value, depth + 1, text);
                written
            }
            Value::String(value) => writeln!(text, "{:indent$}{key:<24} {value}", ""),
            scalar => writeln!(text, "{:indent$}{key:<24} {scalar}", ""),
        };
        debug_assert!(written.is_ok());
    }
}
