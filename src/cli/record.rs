//! `lineside record`: keeps what a device says, byte for byte, in a file (docs/record-format.md).
//!
//! Owns the file and the progress. With `--recent` it writes out what a gateway has kept. Through the running gateway it taps the exchanges that happen there; else it polls all
//! points by a link of its own.

use super::probe::target::{Target, Way, Where};
use super::{Log, complain, interrupted, runtime, start_log};
use crate::clock::Clock;
use crate::gateway::control::{self, LinkQuestion};
use crate::gateway::recent::file;
use crate::model::Moment;
use crate::model::plan::Link;
use crate::record::{Header, Line, Record, Through, VERSION, What, without_secrets};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// Lines that may wait to be written.
const WAITING: usize = 1024;
/// How often a device that speaks by itself is looked at.
const BEAT: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Arguments {
    #[command(flatten)]
    device: Where,
    /// The file to write; one that has something in it is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// End by itself after this time: 60s, 10min
    #[arg(long = "for", value_name = "TIME", value_parser = super::simulate::duration)]
    time: Option<Duration>,
    /// Overwrite the file
    #[arg(long)]
    force: bool,
    /// Also read what reading clears, by a link of its own: whoever else waits for it will not see that any more
    #[arg(long)]
    clears: bool,
    /// What was exchanged last: from the running gateway, or as it kept that when it ended. PROFILE names a slot
    #[arg(long, conflicts_with_all = ["time", "clears", "address", "server_id", "direct"])]
    recent: bool,
    /// With --recent: what was exchanged last with the device that filled the slot before
    #[arg(long, requires = "recent")]
    before: bool,
}

pub(super) fn run(arguments: &Arguments, log: &Log) -> ExitCode {
    start_log(log, "off");
    if arguments.recent {
        return recent(arguments);
    }
    let target = match arguments.device.find_and_note() {
        Ok(target) => target,
        Err(code) => return code,
    };
    let outcome = open(&arguments.out, arguments.force).and_then(|file| {
        let runtime = runtime().map_err(|fault| fault.to_string())?;
        let outcome = runtime.block_on(record(arguments, &target, file));
        // Whoever still waits for the gateway's next line is not waited for.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(told) => {
            complain(&told);
            ExitCode::SUCCESS
        }
        Err(reason) => {
            complain(&format!("error: {reason}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes out what a gateway has kept of a slot.
fn recent(arguments: &Arguments) -> ExitCode {
    let (slot, state_dir) = match arguments.device.slot() {
        Ok(found) => found,
        Err(code) => return code,
    };
    let outcome = kept(&state_dir, &slot.to_string(), arguments.before).and_then(|text| {
        let record = Record::read(&text).map_err(|fault| format!("what is kept cannot be read: {fault}"))?;
        let mut file = open(&arguments.out, arguments.force)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|fault| format!("cannot write {}: {fault}", arguments.out.display()))?;
        Ok(record)
    });
    match outcome {
        Ok(record) => {
            let same: u64 = record.lines.iter().map(|line| line.same).sum();
            let at = |line: Option<&Line>| line.map_or_else(String::new, |line| crate::model::time::rfc3339(line.wall));
            complain(&format!(
                "{} exchanges from {} to {}, beside {same} that said the same as others: {}",
                record.lines.len(),
                at(record.lines.first()),
                at(record.lines.last()),
                arguments.out.display()
            ));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            complain(&format!("error: {reason}"));
            ExitCode::FAILURE
        }
    }
}

/// The text that a gateway has kept: the running one, else what the last one wrote when it ended.
pub(super) fn kept(state_dir: &Path, slot: &str, before: bool) -> Result<String, String> {
    let question = LinkQuestion::Recent {
        slot: slot.to_owned(),
        before,
    };
    match control::ask_link(state_dir, &question) {
        Ok(Some(text)) => {
            return text
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| "it is no text".to_owned());
        }
        // It has no link for the slot: what the last run wrote may be there.
        Ok(None) | Err(control::ControlError::Refused(_)) => {}
        Err(fault) => return Err(fault.to_string()),
    }
    let path = file(state_dir, slot, before);
    std::fs::read_to_string(&path).map_err(|fault| match fault.kind() {
        std::io::ErrorKind::NotFound => control::nothing_kept(slot, before),
        _ => format!("cannot read {}: {fault}", path.display()),
    })
}

fn open(path: &Path, force: bool) -> Result<File, String> {
    let used = std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    if used && !force {
        return Err(format!(
            "{} is there already: name another file, or say --force to overwrite it",
            path.display()
        ));
    }
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.map_err(|fault| format!("cannot write {}: {fault}", path.display()))
}

fn header(arguments: &Arguments, target: &Target, started: Moment) -> Header {
    let link = &target.plan.link;
    let identity = target.profile.identity();
    Header {
        lineside_record: VERSION,
        protocol: target.profile.protocol().to_owned(),
        profile: arguments.device.profile.display().to_string(),
        digest: identity.digest.clone(),
        vendor: identity.vendor.clone(),
        model: identity.model.clone(),
        slot: target.slot.as_ref().map(ToString::to_string),
        address: target
            .gateway
            .as_ref()
            .map_or_else(|| without_secrets(link.address()), |(_, linked)| linked.address.clone()),
        through: if target.gateway.is_some() {
            Through::Gateway
        } else {
            Through::Link
        },
        started: started.rfc3339(),
    }
}

/// How much was recorded.
#[derive(Debug, Default, Clone)]
struct Count {
    lines: u64,
    faults: u64,
    missed: u64,
}

impl Count {
    fn add(&mut self, what: &What) {
        match what {
            What::Missed(number) => self.missed = self.missed.saturating_add(*number),
            What::Exchange { got: Err(_), .. } => {
                self.lines += 1;
                self.faults += 1;
            }
            _ => self.lines += 1,
        }
    }
}

/// Records until the time is over, Ctrl-C, or the gateway ends.
async fn record(arguments: &Arguments, target: &Target, file: File) -> Result<String, String> {
    let clock = Clock::machine();
    let begun = clock.now();
    let header = header(arguments, target, begun);
    let (lines, written) = mpsc::channel(WAITING);
    let writer = tokio::task::spawn_blocking(move || write(file, &header, written));
    let way = target.way_to_record();
    let mut count = Count::default();
    let mut ended = String::new();
    {
        let stop = async {
            let time = async {
                match arguments.time {
                    Some(time) => tokio::time::sleep(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = time => {}
                () = interrupted() => {}
            }
        };
        let said = async {
            match &way {
                Way::Gateway { state_dir, slot } => tapped(state_dir, slot, &lines, &mut count).await,
                Way::Own { .. } => polled(arguments, target, &way, &clock, begun, &lines, &mut count).await,
            }
        };
        tokio::select! {
            () = stop => {}
            outcome = said => match outcome {
                Ok(()) => ended.push_str("; the gateway ended"),
                Err(reason) => ended.extend(["; ", reason.as_str()]),
            },
        }
    }
    drop(lines);
    let outcome = writer.await.map_err(|fault| fault.to_string())?;
    outcome.map_err(|fault| format!("cannot write {}: {fault}", arguments.out.display()))?;
    let seconds = clock.now().tick.saturating_sub(begun.tick) / 1_000;
    let told = format!(
        "{} exchanges in {seconds} s, {} without an answer, {} missed: {}{ended}",
        count.lines,
        count.faults,
        count.missed,
        arguments.out.display()
    );
    if count.lines == 0 && !ended.is_empty() {
        return Err(told);
    }
    Ok(told)
}

/// Writes lines until there are no more; what is written is on the disk then.
fn write(file: File, header: &Header, mut lines: mpsc::Receiver<Line>) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    writeln!(out, "{}", header.encode())?;
    while let Some(line) = lines.blocking_recv() {
        writeln!(out, "{}", line.encode())?;
        if lines.is_empty() {
            out.flush()?;
        }
    }
    out.flush()?;
    out.get_ref().sync_all()
}

/// Shows how far it is, on stderr: over itself on a terminal, else now and then.
struct Progress {
    next: u64,
    over: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            next: 0,
            over: std::io::stderr().is_terminal(),
        }
    }

    fn tell(&mut self, ms: u64, count: &Count) {
        if ms < self.next {
            return;
        }
        self.next = ms + if self.over { 500 } else { 10_000 };
        let text = format!("{} s, {} exchanges, {} missed", ms / 1_000, count.lines, count.missed);
        if self.over {
            let mut err = std::io::stderr().lock();
            if err.write_all(format!("\r{text} ").as_bytes()).is_err() {
                tracing::debug!("nobody looks at the progress");
            }
        } else {
            complain(&text);
        }
    }
}

/// Taps the gateway.
async fn tapped(state_dir: &Path, slot: &str, lines: &mpsc::Sender<Line>, count: &mut Count) -> Result<(), String> {
    let (said, mut heard) = mpsc::channel::<Line>(WAITING);
    let (state_dir, slot) = (state_dir.to_owned(), slot.to_owned());
    let listening = tokio::task::spawn_blocking(move || {
        control::record(&state_dir, &slot, |text| match Line::decode(text) {
            Ok(line) => said.blocking_send(line).is_ok(),
            Err(_) => false,
        })
    });
    let mut progress = Progress::new();
    while let Some(line) = heard.recv().await {
        count.add(&line.what);
        progress.tell(line.ms, count);
        if lines.send(line).await.is_err() {
            return Err("the file cannot be written".to_owned());
        }
    }
    match listening.await {
        Ok(Ok(Some(_))) => Ok(()),
        Ok(Ok(None)) => Err("the gateway has ended: run this again".to_owned()),
        Ok(Err(fault)) => Err(fault.to_string()),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Polls all points by a link of its own. Ends only where nothing can be written.
async fn polled(
    arguments: &Arguments,
    target: &Target,
    way: &Way,
    clock: &Clock,
    begun: Moment,
    lines: &mpsc::Sender<Line>,
    count: &mut Count,
) -> Result<(), String> {
    let Way::Own { probe, .. } = way else { return Ok(()) };
    let mut exchanges = probe.exchanges();
    let mut beat = tokio::time::interval(target.plan.link.modbus().map_or(BEAT, |link| link.poll));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let looking = async {
        if let Link::Framed(_) | Link::OpenProtocol(_) = target.plan.link {
            // It speaks by itself: there is nothing to ask.
            return std::future::pending().await;
        }
        let mut told = String::new();
        loop {
            beat.tick().await;
            match way.look(target, arguments.clears).await {
                // All of a server is read once; then it tells what changes.
                Ok(_) if target.plan.link.opcua().is_some() => return std::future::pending().await,
                Ok(_) => told.clear(),
                Err(reason) if reason == told => {}
                Err(reason) => {
                    complain(&format!("error: {reason}"));
                    told = reason;
                }
            }
        }
    };
    let taking = async {
        let mut progress = Progress::new();
        loop {
            let what = match exchanges.recv().await {
                Ok(what) => what,
                Err(broadcast::error::RecvError::Lagged(missed)) => What::Missed(missed),
                Err(broadcast::error::RecvError::Closed) => return Err("the link has ended".to_owned()),
            };
            let now = clock.now();
            let exchange = Line {
                ms: now.tick.saturating_sub(begun.tick),
                wall: now.wall,
                what,
                same: 0,
            };
            count.add(&exchange.what);
            progress.tell(exchange.ms, count);
            if lines.send(exchange).await.is_err() {
                return Err("the file cannot be written".to_owned());
            }
        }
    };
    tokio::select! {
        outcome = taking => outcome,
        () = looking => Ok(()),
    }
}
