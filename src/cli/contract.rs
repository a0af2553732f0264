//! `lineside contract`: what the MES may rely on, as files.

use super::{ConfigFile, INVALID, coloured, complain, print};
use crate::contract::schema;
use crate::diagnostic::Diagnostics;
use crate::gateway::setup;
use crate::model::EventType;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The folder that the files are written to; made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut out = Diagnostics::new();
    let config = setup::configuration(&arguments.file.config, &mut out);
    if config.is_none() {
        if arguments.json {
            print(&format!("{:#}", json!({"ok": false, "diagnostics": out.to_json()})));
            return ExitCode::from(INVALID);
        }
        complain(&out.render(coloured()));
        return ExitCode::from(INVALID);
    }
    match write(&arguments.out) {
        Ok(files) => {
            if arguments.json {
                let answer = json!({"ok": true, "files": files, "diagnostics": out.to_json()});
                print(&format!("{answer:#}"));
            } else {
                print(&format!("{} schemas in {}", files.len(), arguments.out.display()));
            }
            ExitCode::SUCCESS
        }
        Err(fault) => {
            complain(&format!("error: cannot write to {}: {fault}", arguments.out.display()));
            ExitCode::FAILURE
        }
    }
}

/// Writes every schema; which files those are.
fn write(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir)?;
    let one = |kind: &EventType| {
        let path = dir.join(format!("{kind}.schema.json"));
        std::fs::write(&path, format!("{:#}\n", schema(*kind)))?;
        Ok(path)
    };
    EventType::ALL.iter().map(one).collect()
}
