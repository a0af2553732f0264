//! The command line: one file a command. Owns arguments, what is printed and exit codes; does no work of its own.

mod changes;
mod check;
mod contract;
mod demo;
mod lock;
mod outbox;
mod plan;
mod probe;
mod profile;
mod quarantine;
mod record;
mod replay;
mod run;
mod simulate;

use clap::{Args, Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code of a fault in a user's file.
const INVALID: u8 = 2;

/// Machines to MES: device profiles in, unit-contextualised durable events out.
#[derive(Debug, Parser)]
#[command(name = "lineside", version, arg_required_else_help = true, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: Log,
}

/// How the program tells what it does; always on stderr.
#[derive(Debug, Args)]
struct Log {
    /// Log lines as JSON
    #[arg(long, global = true)]
    log_json: bool,
    /// What is logged: error, warn, info, debug, trace, or `lineside::mqtt=debug,info`
    #[arg(long, global = true, value_name = "FILTER", env = "LINESIDE_LOG")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The gateway: reads devices, stores, publishes
    #[command(after_help = "Examples:\n  lineside run --config /etc/lineside/gateway.toml\n\n\
        SIGTERM: stops reading, commits and ends within 2 s. Exit codes: 0; 2 gateway.toml is faulty; 1 other.")]
    Run(run::Arguments),
    /// All on this machine, nothing to install: a broker, simulated devices, a small MES
    #[command(after_help = "Examples:\n  lineside demo\n  lineside demo --for 20s\n\n\
        With --for it stops by itself and prints what was sent, received, missing, duplicated, unbound;\n\
        exit code 0 only if nothing is missing.")]
    Demo(demo::Arguments),
    /// Validates a configuration or profiles and runs every example in them
    #[command(after_help = "Examples:\n  lineside check --config /etc/lineside/gateway.toml\n  \
        lineside check device-profiles/example/t-100.toml --json\n\nExit codes: 0; 2 with diagnostics.")]
    Check(check::Arguments),
    /// Shows what replacing a device changes: for the MES, for the device link, in `extra`
    #[command(after_help = "Examples:\n  lineside plan --replace st10.spindle-1=NEW.toml\n  \
        lineside plan --config /etc/lineside/gateway.toml --replace st10.spindle-1=NEW.toml --record spindle.jsonl\n  \
        lineside plan --profiles checkout/device-profiles --json\n  \
        lineside plan\n\n\
        NEW.toml is looked at as if it were installed. Without --replace and --profiles: what is on disk against what the gateway\n\
        last accepted. Where raw data of the slot is recorded, both device files are run over it. Nothing is written, and no\n\
        device is reached.\n\
        Exit codes: 0 the contract is kept; 3 it changes; 2 the new file would be refused, with diagnostics.")]
    Plan(plan::Arguments),
    /// Writes the JSON Schema of every event type, and an AsyncAPI 3 document of this configuration
    #[command(after_help = "Examples:\n  lineside contract --config /etc/lineside/gateway.toml --out contract/")]
    Contract(contract::Arguments),
    /// A virtual device speaking the profile's real protocol
    #[command(
        after_help = "Examples:\n  lineside simulate example/torque-tool --listen 127.0.0.1:1502\n  \
        lineside simulate st10.press.toml --listen 0.0.0.0:0 --every 500ms --nok-rate 0.3 --fault drop=0.01,delay=200ms@0.05\n\n\
        While it runs it takes lines: set POINT VALUE, next, next nok, show, quit."
    )]
    Simulate(simulate::Arguments),
    /// Shows a device's points live, as raw and decoded, and the events they would make
    #[command(after_help = "Examples:\n  lineside probe example/t-100 --address 192.0.2.17\n  \
        lineside probe st10.spindle-1 --config /etc/lineside/gateway.toml --once --json\n  \
        lineside probe --browse opc.tcp://192.0.2.30:4840 --trust sha256:… --filter torque\n  \
        lineside probe --browse opc.tcp://192.0.2.30:4840 --trust sha256:… --out st10.spindle-1.toml 'nsu=urn:plc;s=Tool.Torque'\n\n\
        Publishes, acknowledges and writes nothing. Where a gateway runs that has the link, it asks that.\n\
        Exit codes: 0; 1 the device was not reached; 2 the profile is faulty.")]
    Probe(probe::Arguments),
    /// Keeps what a device says, byte for byte, in a file
    #[command(
        after_help = "Examples:\n  lineside record st10.spindle-1 --config /etc/lineside/gateway.toml --out spindle.jsonl --for 60s\n  \
        lineside record kolver/k-ducer-modbus --address 192.0.2.17 --out k-ducer.jsonl\n  \
        lineside record st10.spindle-1 --recent --config /etc/lineside/gateway.toml --out last.jsonl\n\n\
        The format is docs/record-format.md. Ctrl-C ends it; what was recorded is kept.\n\
        Exit codes: 0; 1 the device was not reached or the file not written; 2 the profile is faulty."
    )]
    Record(record::Arguments),
    /// Shows which events a profile makes of a record, or how those of two profiles differ
    #[command(after_help = "Examples:\n  lineside replay spindle.jsonl example/t-100\n  \
        lineside replay spindle.jsonl st10.spindle-1.toml NEW.toml --json\n\n\
        Exit codes: 0, of two profiles the MES sees the same; 3 it does not; 2 a file is faulty.")]
    Replay(replay::Arguments),
    /// Looks into the store-and-forward buffer, also while the gateway runs
    #[command(
        after_help = "Examples:\n  lineside outbox stats --config /etc/lineside/gateway.toml\n  \
        lineside outbox list --config /etc/lineside/gateway.toml --limit 50 --json\n  \
        lineside outbox seen --config /etc/lineside/gateway.toml --slot st10.spindle-1"
    )]
    Outbox(outbox::Arguments),
    /// Who changed which device file when, and what it meant
    #[command(after_help = "Examples:\n  lineside changes --config /etc/lineside/gateway.toml\n  \
        lineside changes --config /etc/lineside/gateway.toml --slot st10.spindle-1 --last 5 --json")]
    Changes(changes::Arguments),
    /// Approves device files: writes their digests into gateway.lock
    #[command(after_help = "Examples:\n  lineside lock --config /etc/lineside/gateway.toml\n  \
        lineside lock --config /etc/lineside/gateway.toml --check\n  \
        lineside lock --config /etc/lineside/gateway.toml --slot st10.spindle-1 --also st10.spindle-1=NEW.toml\n\n\
        With [gateway] require_lock = true the gateway refuses every device file that is not approved. The lock file stands beside\n\
        gateway.toml: who may write it may approve. A running gateway reads it by itself.\n\
        Exit codes: 0; 2 a file is faulty; 3 --check found what is not approved.")]
    Lock(lock::Arguments),
    /// What could not be made into events: which there are, and trying again with today's profile
    #[command(
        after_help = "Examples:\n  lineside quarantine list --config /etc/lineside/gateway.toml\n  \
        lineside quarantine retry --config /etc/lineside/gateway.toml --slot st10.spindle-1\n  \
        lineside quarantine retry --config /etc/lineside/gateway.toml --id 6f1c0a… --json\n\n\
        Beside a running gateway its profiles are used, else those on disk.\n\
        Exit codes: 0; 3 some still are no events; 2 gateway.toml is faulty; 1 other."
    )]
    Quarantine(quarantine::Arguments),
    /// Profiles: a new one, the catalog, one as it counts, names of fields, their format
    #[command(
        after_help = "Examples:\n  lineside profile new --type tightening --out device-profiles/acme/t-7.toml\n  \
        lineside profile list\n  lineside profile show kolver/k-ducer-modbus\n  lineside profile fields tightening\n  \
        lineside profile schema > device-profiles/schema.json"
    )]
    Profile(profile::Arguments),
}

/// `--config`, wherever a command needs one.
#[derive(Debug, Args)]
struct ConfigFile {
    /// gateway.toml
    #[arg(long, value_name = "FILE", default_value = "/etc/lineside/gateway.toml")]
    config: PathBuf,
}

/// Runs the command that was asked for.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Run(command) => run::run(&command, &arguments.log),
        Command::Demo(command) => demo::run(&command, &arguments.log),
        Command::Check(command) => check::run(&command),
        Command::Plan(command) => plan::run(&command),
        Command::Contract(command) => contract::run(&command),
        Command::Simulate(command) => simulate::run(&command, &arguments.log),
        Command::Probe(command) => probe::run(&command, &arguments.log),
        Command::Record(command) => record::run(&command, &arguments.log),
        Command::Replay(command) => replay::run(&command),
        Command::Outbox(command) => outbox::run(&command),
        Command::Changes(command) => changes::run(&command),
        Command::Lock(command) => lock::run(&command),
        Command::Quarantine(command) => quarantine::run(&command),
        Command::Profile(command) => profile::run(&command),
    }
}

/// Prints a result. A reader that went away is no fault of ours.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .is_err()
    {
        tracing::debug!("nobody reads what is printed");
    }
}

/// Says what is wrong, on stderr.
fn complain(text: &str) {
    let mut out = std::io::stderr().lock();
    if out
        .write_all(text.trim_end().as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .is_err()
    {
        tracing::debug!("nobody reads what is wrong");
    }
}

/// Whether diagnostics are coloured.
fn coloured() -> bool {
    std::io::stderr().is_terminal()
}

/// Sets up logging on stderr; `quiet` is what is logged where nothing else is asked for.
fn start_log(log: &Log, quiet: &str) {
    // What the OPC UA library calls an error is told by the driver, in a sentence, where it is one.
    let muted = format!("{quiet},opcua_client=off,opcua_core=off,opcua_crypto=off,opcua_types=off,opcua_server=off");
    let filter = tracing_subscriber::EnvFilter::try_new(log.log.as_deref().unwrap_or(&muted));
    let filter = filter.unwrap_or_else(|fault| {
        complain(&format!("error: --log: {fault}; going on with `info`"));
        tracing_subscriber::EnvFilter::new("info")
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if log.log_json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).with_ansi(coloured()).try_init()
    };
    if started.is_err() {
        complain("error: logging was set up twice");
    }
}

/// A runtime for commands that talk to devices.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// Ends at Ctrl-C or SIGTERM.
async fn interrupted() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(terminate) => {
                terminate.recv().await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
