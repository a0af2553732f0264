//! `lineside probe`: a device's points live, as raw and decoded, and the events they would make. Publishes, acknowledges
//! and writes nothing. `--browse`: what an OPC UA server has, and a profile begun from it.

mod browse;
mod names;
pub(super) mod render;
mod space;
mod starter;
pub(super) mod target;

use super::{INVALID, Log, complain, interrupted, print, runtime, start_log};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use target::{Reach, Target, Where};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file of a slot, a catalog profile (`kolver/k-ducer-modbus`, with --address), or the name of a slot (`st10.spindle-1`).
    /// With --browse and --out: the chosen nodes
    #[arg(value_name = "PROFILE|NODE", required_unless_present = "browse")]
    names: Vec<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    /// Look once, and end
    #[arg(long)]
    once: bool,
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = super::simulate::duration)]
    every: Duration,
    /// Also read what reading clears: the gateway, or whoever else waits for it, will not see that any more
    #[arg(long)]
    clears: bool,
    /// Machine-readable output: one object a look
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    browse: browse::Browsing,
}

pub(super) fn run(arguments: &Arguments, log: &Log) -> ExitCode {
    start_log(log, "off");
    if arguments.browse.is_asked() {
        return browse::run(arguments);
    }
    let [profile] = &arguments.names[..] else {
        complain("error: one device at a time: name one profile or slot; several nodes go with --browse and --out");
        return ExitCode::from(INVALID);
    };
    let device = Where {
        profile: profile.clone(),
        reach: arguments.reach.clone(),
    };
    let target = match device.find_and_note() {
        Ok(target) => target,
        Err(code) => return code,
    };
    if arguments.clears && target.gateway.is_some() {
        complain("note: what this read clears is taken from the running gateway: results may be lost by that");
    }
    match runtime() {
        Ok(runtime) => runtime.block_on(looks(arguments, &target)),
        Err(fault) => {
            complain(&format!("error: {fault}"));
            ExitCode::FAILURE
        }
    }
}

/// Looks until Ctrl-C, or once.
async fn looks(arguments: &Arguments, target: &Target) -> ExitCode {
    let way = target.way();
    let screen = std::io::stdout().is_terminal() && !arguments.json && !arguments.once;
    let mut beat = tokio::time::interval(arguments.every);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let ended = interrupted();
    tokio::pin!(ended);
    loop {
        let look = tokio::select! {
            () = &mut ended => return ExitCode::SUCCESS,
            look = async {
                beat.tick().await;
                way.look(target, arguments.clears).await
            } => look,
        };
        match look {
            Ok(look) if arguments.json => print(&render::json_line(target, &look, arguments.clears).to_string()),
            Ok(look) if screen => print(&format!(
                "\u{1b}[H\u{1b}[2J{}\n\nCtrl-C ends it",
                render::table(target, &look, arguments.clears)
            )),
            Ok(look) if arguments.once => print(&render::table(target, &look, arguments.clears)),
            Ok(look) => print(&render::line(target, &look, arguments.clears)),
            Err(reason) => {
                complain(&format!("error: {reason}"));
                if arguments.once {
                    return ExitCode::FAILURE;
                }
            }
        }
        if arguments.once {
            return ExitCode::SUCCESS;
        }
    }
}
