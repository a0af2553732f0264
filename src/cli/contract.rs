//! `lineside contract`: what the MES may rely on, as files.

use super::{ConfigFile, INVALID, coloured, complain, print};
use crate::contract::schema;
use crate::diagnostic::Diagnostics;
use crate::gateway::setup;
use crate::model::EventType;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The folder that the files are written to; made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut out = Diagnostics::new();
    let config = setup::configuration(&arguments.file.config, &mut out);
    if config.is_none() {
        complain(&out.render(coloured()));
        return ExitCode::from(INVALID);
    }
    match write(&arguments.out) {
        Ok(files) => {
            print(&format!("{files} schemas in {}", arguments.out.display()));
            ExitCode::SUCCESS
        }
        Err(fault) => {
            complain(&format!("error: cannot write to {}: {fault}", arguments.out.display()));
            ExitCode::FAILURE
        }
    }
}

fn write(dir: &Path) -> std::io::Result<usize> {
    std::fs::create_dir_all(dir)?;
    for kind in EventType::ALL {
        std::fs::write(
            dir.join(format!("{kind}.schema.json")),
            format!("{:#}\n", schema(*kind)),
        )?;
    }
    Ok(EventType::ALL.len())
}
