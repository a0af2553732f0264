//! `lineside profile`: the format of device profiles.

use clap::Subcommand;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The JSON Schema of a profile, for editors
    Schema,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match arguments.what {
        What::Schema => super::print(&format!("{:#}", crate::profile::schema())),
    }
    ExitCode::SUCCESS
}
