//! `lineside demo`: all on this machine. An embedded broker, simulated devices over real Modbus on loopback, a small
//! MES that moves units, and the gateway itself, as it runs in a plant.
//!
//! Owns the stage and the count at the end. The gateway in it is the whole gateway, store and all.

mod broker;
mod devices;
mod mes;

use super::{Log, coloured, complain, interrupted, print, runtime, start_log};
use crate::diagnostic::Diagnostics;
use crate::gateway::{self, setup};
use crate::model::Plant;
use crate::mqtt::consumer;
use devices::Made;
use mes::{Ledger, Received};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often a unit leaves and the next one comes.
const TAKT: Duration = Duration::from_secs(4);
/// How long what was made may take to arrive once the devices have stopped.
const LAST_ARRIVES: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Stop by itself after this time and print what was sent, received, missing, duplicated: 20s, 2min
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let found = crate::diagnostic::tree::parse_duration(text).filter(|time| !time.is_zero());
    found.ok_or_else(|| format!("`{text}` is not a time: write 20s or 2min"))
}

/// Why the demo did not run.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Broker(#[from] broker::BrokerError),
    #[error("a simulated device cannot listen: {0}")]
    Device(#[from] std::io::Error),
    #[error("the demo's own configuration is faulty, which is a fault of this program:\n{0}")]
    Configuration(String),
    #[error(transparent)]
    Gateway(#[from] gateway::GatewayError),
}

pub(super) fn run(arguments: &Arguments, log: &Log) -> ExitCode {
    start_log(log, "off,lineside=warn");
    let outcome = match runtime() {
        Ok(runtime) => runtime.block_on(demo(arguments.time)),
        Err(fault) => Err(DemoError::Device(fault)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            complain(&format!("error: {fault}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo; `true` if nothing is missing.
async fn demo(time: Option<Duration>) -> Result<bool, DemoError> {
    let folder = tempfile::Builder::new().prefix("lineside-demo-").tempdir()?;
    let broker = broker::start().await?;
    let (here, unit_here) = watch::channel(String::new());
    let produce = CancellationToken::new();
    let power = CancellationToken::new();
    let (line, run_line) = devices::start(&unit_here, &produce, &power).await?;
    let setup = configure(folder.path(), broker, &line)?;
    let plant = setup.config.plant.clone();

    let mut tasks = JoinSet::new();
    let (voice, heard, consume) = consumer::consumer(
        "127.0.0.1",
        broker,
        "demo-mes",
        vec![format!("{}/#", area(&plant))],
        power.clone(),
    );
    tasks.spawn(consume);
    let (received_in, mut received) = watch::channel(Received::default());
    tasks.spawn(watch_events(heard, received_in));
    tasks.spawn(mes::move_units(
        voice,
        plant,
        "st10".to_owned(),
        TAKT,
        here,
        produce.clone(),
    ));
    tasks.spawn(run_line);

    print(&format!(
        "A torque tool on {} and a PLC on {} by Modbus TCP, a nutrunner on {} by Open Protocol, a scanner on {},\n\
         an MQTT 5 broker on port {broker}, a gateway between them. Its files are in {} while this runs{}.\n",
        line.tool,
        line.plc,
        line.controller,
        line.scanner,
        folder.path().display(),
        if time.is_some() { "" } else { "; Ctrl-C ends it" },
    ));
    print(&mes::heading());

    let stop = CancellationToken::new();
    let mut gateway = JoinSet::new();
    gateway.spawn(gateway::run(setup, stop.clone()));
    let early = tokio::select! {
        ended = gateway.join_next() => ended,
        () = over(time) => None,
    };
    if let Some(ended) = early {
        power.cancel();
        ended.map_err(|fault| DemoError::Configuration(fault.to_string()))??;
        return Ok(false);
    }
    // The devices stop making things; what they made arrives.
    produce.cancel();
    let made = line.made;
    let all_there = async {
        while !missing(&made.borrow(), &received.borrow()).is_empty() {
            if received.changed().await.is_err() {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(LAST_ARRIVES, all_there).await.is_ok();
    stop.cancel();
    while let Some(ended) = gateway.join_next().await {
        ended.map_err(|fault| DemoError::Configuration(fault.to_string()))??;
    }
    power.cancel();
    tasks.shutdown().await;
    let (made, received) = (made.borrow().clone(), received.borrow().clone());
    print(&report(&made, &received));
    Ok(in_time && missing(&made, &received).is_empty() && received.holes == 0)
}

fn area(plant: &Plant) -> String {
    format!("{}/{}/{}/{}", plant.enterprise, plant.site, plant.area, plant.line)
}

/// Waits for the time that was asked for, or for Ctrl-C or SIGTERM.
async fn over(time: Option<Duration>) {
    let forever = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = forever => {}
        () = interrupted() => {}
    }
}

/// Prints events as they arrive.
async fn watch_events(mut heard: mpsc::Receiver<consumer::Message>, received: watch::Sender<Received>) {
    let mut ledger = Ledger::default();
    while let Some(message) = heard.recv().await {
        if message.topic.ends_with("/status") || message.topic.ends_with("/unit") {
            continue;
        }
        if let Some(line) = ledger.take(&message) {
            print(&line);
        }
        received.send_replace(ledger.received().clone());
    }
}

/// Writes the configuration of the demo and reads it, as `lineside run` would.
fn configure(folder: &Path, broker: u16, line: &devices::Line) -> Result<setup::Setup, DemoError> {
    let profiles = folder.join("device-profiles");
    for folder in ["example", "open-protocol", "scanner"] {
        std::fs::create_dir_all(profiles.join(folder))?;
    }
    let files = [
        (
            "example/torque-tool.toml",
            include_str!("../../../device-profiles/example/torque-tool.toml").to_owned(),
        ),
        (
            "example/plc-cell.toml",
            include_str!("../../../device-profiles/example/plc-cell.toml").to_owned(),
        ),
        (
            "st10.spindle-1.toml",
            installed("example/torque-tool", &line.tool.to_string()),
        ),
        ("st10.cell.toml", installed("example/plc-cell", &line.plc.to_string())),
        (
            "open-protocol/controller.toml",
            include_str!("../../../device-profiles/open-protocol/controller.toml").to_owned(),
        ),
        (
            "scanner/text.toml",
            include_str!("../../../device-profiles/scanner/text.toml").to_owned(),
        ),
        (
            "st20.nutrunner.toml",
            installed("open-protocol/controller", &line.controller.to_string()),
        ),
        ("st20.scanner.toml", scanner(&line.scanner.to_string())),
    ];
    for (name, text) in files {
        std::fs::write(profiles.join(name), text)?;
    }
    let config = folder.join("gateway.toml");
    std::fs::write(
        &config,
        include_str!("gateway.toml").replace("@broker@", &format!("127.0.0.1:{broker}")),
    )?;
    let mut out = Diagnostics::new();
    let setup = setup::load(&config, &mut out);
    match setup {
        Some(setup) if !out.has_errors() => Ok(setup),
        _ => Err(DemoError::Configuration(out.render(coloured()))),
    }
}

fn installed(extends: &str, address: &str) -> String {
    format!("profile = 1\nextends = \"{extends}\"\nserial = \"demo\"\n[connection]\naddress = \"{address}\"\n")
}

/// The catalog's scanner, here by TCP: it has no serial port.
fn scanner(address: &str) -> String {
    format!(
        "profile = 1\nextends = \"scanner/text\"\nserial = \"demo\"\nremove = [\"connection.baud\", \"connection.framing\"]\n\
         [connection]\nprotocol = \"tcp\"\naddress = \"{address}\"\n"
    )
}

/// What was made and has not arrived, by `slot/type`.
fn missing(made: &Made, received: &Received) -> Vec<(String, u64)> {
    let short = |(what, made): (&String, &u64)| {
        let got = received.events.get(what).copied().unwrap_or(0);
        (got < *made).then(|| (what.clone(), made - got))
    };
    made.events.iter().filter_map(short).collect()
}

fn report(made: &Made, received: &Received) -> String {
    let mut text = format!("\n{:<24} {:>8} {:>8} {:>8}\n", "", "sent", "received", "missing");
    let short: std::collections::BTreeMap<_, _> = missing(made, received).into_iter().collect();
    for (what, sent) in &made.events {
        let got = received.events.get(what).copied().unwrap_or(0);
        let row = writeln!(
            text,
            "{what:<24} {sent:>8} {got:>8} {:>8}",
            short.get(what).copied().unwrap_or(0)
        );
        debug_assert!(row.is_ok());
    }
    let sent: u64 = made.events.values().sum();
    let got: u64 = made.events.keys().filter_map(|what| received.events.get(what)).sum();
    let lost: u64 = short.values().sum();
    let row = write!(
        text,
        "{:<24} {sent:>8} {got:>8} {lost:>8}\n\nmissing {lost}, duplicated {}, unbound {}, holes in sequences {}, quarantined or gaps {}",
        "all", received.duplicated, received.unbound, received.holes, received.odd
    );
    debug_assert!(row.is_ok());
    text
}
