//! `lineside run`: the gateway.

use super::{ConfigFile, INVALID, Log, coloured, complain, start_log};
use crate::diagnostic::Diagnostics;
use crate::gateway::{self, setup};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(arguments: &Arguments, log: &Log) -> ExitCode {
    start_log(log, "info");
    let mut out = Diagnostics::new();
    let setup = setup::load(&arguments.file.config, &mut out);
    if !out.is_empty() {
        complain(&out.render(coloured()));
    }
    let Some(setup) = setup else {
        return ExitCode::from(INVALID);
    };
    match gateway::run_until_signal(setup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            complain(&format!("error: {fault}"));
            ExitCode::FAILURE
        }
    }
}
