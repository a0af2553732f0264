//! `lineside profile`: device profiles and their format: a new one, the catalog, one as it counts, names of fields.

mod fields;
mod list;
mod show;

use super::{INVALID, complain, print};
use crate::diagnostic::Diagnostics;
use crate::gateway::setup;
use crate::model::EventType;
use clap::Subcommand;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A new profile to fill in, commented, good as it stands
    #[command(
        after_help = "Examples:\n  lineside profile new\n  lineside profile new --protocol modbus-rtu --type measurement \
        --out device-profiles/acme/press-7.toml\n\nA file that is there is never overwritten. Exit codes: 0; 1 it cannot be \
        written; 2 no such protocol or type."
    )]
    New(New),
    /// The catalog: every model that a device file can extend
    #[command(
        after_help = "Examples:\n  lineside profile list\n  lineside profile list --config /etc/lineside/gateway.toml --json\n\n\
        Exit codes: 0; 2 where one of them is faulty (the others are listed all the same)."
    )]
    List(list::List),
    /// One profile as it counts: every key, and the file that says so
    #[command(after_help = "Examples:\n  lineside profile show kolver/k-ducer-modbus\n  \
        lineside profile show st10.spindle-1 --config /etc/lineside/gateway.toml\n  \
        lineside profile show device-profiles/example/t-100.toml --json\n\nExit codes: 0; 2 with diagnostics.")]
    Show(show::Show),
    /// What the MES may rely on: the fields of every type of event, their uoms and words
    #[command(
        after_help = "Examples:\n  lineside profile fields\n  lineside profile fields tightening\n  \
        lineside profile fields modbus-tcp --json\n\nOf a protocol it lists the points that are there by themselves."
    )]
    Fields(fields::FieldsOf),
    /// The JSON Schema of a profile, for editors
    #[command(after_help = "Examples:\n  lineside profile schema > device-profiles/schema.json")]
    Schema,
}

#[derive(Debug, clap::Args)]
struct New {
    /// How the device speaks
    #[arg(long, value_name = "PROTOCOL", default_value = "modbus-tcp")]
    protocol: String,
    /// What it tells the MES
    #[arg(long = "type", value_name = "TYPE", default_value = "tightening")]
    kind: String,
    /// Where it is written; default: stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Where profiles are looked for.
#[derive(Debug, clap::Args)]
struct Where {
    /// The profiles folder; default: the nearest `device-profiles` above, else /etc/lineside/device-profiles
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    profiles: Option<PathBuf>,
    /// gateway.toml, which names the profiles folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const INSTALLED: &str = "/etc/lineside/device-profiles";

impl Where {
    /// The profiles folder. What is wrong was told.
    fn folder(&self) -> Result<PathBuf, ExitCode> {
        if let Some(config) = &self.config {
            let mut out = Diagnostics::new();
            return match setup::configuration(config, &mut out) {
                Some(config) if !out.has_errors() => Ok(config.gateway.profiles),
                _ => {
                    complain(&out.render(super::coloured()));
                    Err(ExitCode::from(INVALID))
                }
            };
        }
        let found = match &self.profiles {
            Some(folder) => folder.clone(),
            None => nearest().unwrap_or_else(|| PathBuf::from(INSTALLED)),
        };
        if found.is_dir() {
            return Ok(found);
        }
        complain(&format!(
            "error: there is no folder {}\n  = help: say where the profiles are: --profiles DIR, or --config /etc/lineside/gateway.toml",
            found.display()
        ));
        Err(ExitCode::from(INVALID))
    }
}

/// The nearest `device-profiles` in the working directory or above, as it is shown.
fn nearest() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let folder = here
        .ancestors()
        .map(|folder| folder.join("device-profiles"))
        .find(|folder| folder.is_dir())?;
    Some(folder.strip_prefix(&here).map(Path::to_owned).unwrap_or(folder))
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.what {
        What::New(new) => run_new(new),
        What::List(list) => list::run(list),
        What::Show(show) => show::run(show),
        What::Fields(fields) => fields::run(fields),
        What::Schema => {
            print(&format!("{:#}", crate::profile::schema()));
            ExitCode::SUCCESS
        }
    }
}

fn run_new(new: &New) -> ExitCode {
    let Some(kind) = EventType::of(&new.kind) else {
        let known = mapped().collect::<Vec<_>>().join(", ");
        complain(&format!(
            "error: `{}` is no type of event\n  = help: types are {known}",
            new.kind
        ));
        return ExitCode::from(INVALID);
    };
    let text = match crate::profile::skeleton(&new.protocol, kind) {
        Ok(text) => text,
        Err(fault) => {
            complain(&format!("error: {fault}"));
            return ExitCode::from(INVALID);
        }
    };
    let Some(path) = &new.out else {
        print(text.trim_end());
        return ExitCode::SUCCESS;
    };
    if let Some(folder) = path.parent()
        && let Err(fault) = std::fs::create_dir_all(folder)
    {
        complain(&format!("error: {}: {fault}", folder.display()));
        return ExitCode::FAILURE;
    }
    let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => {
            print(&format!(
                "{}: fill in what says FILL IN, then: lineside check {}",
                path.display(),
                path.display()
            ));
            ExitCode::SUCCESS
        }
        Err(fault) if fault.kind() == std::io::ErrorKind::AlreadyExists => {
            complain(&format!(
                "error: {} is there already\n  = help: give another name: nothing is overwritten",
                path.display()
            ));
            ExitCode::FAILURE
        }
        Err(fault) => {
            complain(&format!("error: {}: {fault}", path.display()));
            ExitCode::FAILURE
        }
    }
}

/// Types of events that a profile maps to.
fn mapped() -> impl Iterator<Item = &'static str> {
    EventType::ALL
        .iter()
        .filter(|kind| kind.is_mapped())
        .map(|kind| kind.word())
}

/// A table of left-aligned columns; the last one is not padded.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
