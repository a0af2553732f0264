//! `lineside simulate`: a virtual device speaking the profile's real protocol, to rehearse with.
//!
//! Owns arguments, the stage, and the lines that are typed. The devices themselves are [`registers`], [`nodes`], [`frames`]
//! and [`controller`].

mod controller;
mod device;
mod faults;
mod frames;
mod image;
mod memory;
mod nodes;
mod registers;

use super::probe::target::read_profile;
use super::{INVALID, Log, complain, print, start_log};
use crate::clock::Clock;
use crate::model::plan::{Link, SlotPlan};
use crate::model::{SlotName, time};
use crate::profile::Profile;
use faults::Faults;
use std::io::BufRead;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How often the device looks at its registers, like a PLC.
const SCAN: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A catalog profile, or an installed one; its address is not needed
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,
    /// Where to listen: host:port (port 0: any free one), of a serial line the path of its port
    #[arg(long, value_name = "ADDR")]
    listen: String,
    /// The folder that `extends` starts from; default: the nearest `device-profiles` above the profile
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// How often a result is made; `off`: only with the line `next`
    #[arg(long, value_name = "TIME", default_value = "2s")]
    every: String,
    /// Which part of the results is not OK, 0 to 1
    #[arg(long, value_name = "RATE", default_value_t = 0.1, value_parser = rate)]
    nok_rate: f64,
    /// What a point says, in its uom or a word of its map; it is not varied then
    #[arg(long = "set", value_name = "POINT=VALUE")]
    sets: Vec<String>,
    /// What goes wrong: drop=0.01,delay=200ms@0.05,exception=6@0.01,close=0.01,short=0.01,garbage=0.01,duplicate=0.01,garble=0.01,reboot=60s,refuse=6+5
    #[arg(long, value_name = "FAULTS", default_value = "")]
    fault: Faults,
    /// Go on whether or not a result is acknowledged, as devices do that do not wait
    #[arg(long)]
    no_wait: bool,
    /// End by itself after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// Of OPC UA: the folder of the certificate that it shows, made there once; default: another one at each start
    #[arg(long, value_name = "DIR")]
    pki: Option<PathBuf>,
    /// Of OPC UA: keep results, so that they can be asked for (RequestResults of OPC 40450-1)
    #[arg(long)]
    stores: bool,
    /// On a serial line answer as this server, not as the profile's
    #[arg(long, value_name = "N")]
    server_id: Option<u8>,
}

/// A time that is more than none.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let found = crate::diagnostic::tree::parse_duration(text).filter(|time| !time.is_zero());
    found.ok_or_else(|| format!("`{text}` is not a time: write 500ms, 20s or 2min"))
}

fn rate(text: &str) -> Result<f64, String> {
    let found = text.parse::<f64>().ok().filter(|rate| (0.0..=1.0).contains(rate));
    found.ok_or_else(|| format!("`{text}` is not a part of all: write 0.1"))
}

pub(super) fn run(arguments: &Arguments, log: &Log) -> ExitCode {
    start_log(log, "off");
    let every = match arguments.every.as_str() {
        "off" | "0" => None,
        text => match duration(text) {
            Ok(every) => Some(every),
            Err(fault) => {
                complain(&format!("error: --every: {fault}"));
                return ExitCode::from(INVALID);
            }
        },
    };
    let Some(profile) = read_profile(&arguments.profile, arguments.root.as_deref()) else {
        return ExitCode::from(INVALID);
    };
    let outcome = match super::runtime() {
        Ok(runtime) => runtime.block_on(simulate(arguments, profile, every)),
        Err(fault) => Err(fault.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            complain(&format!("error: {reason}"));
            ExitCode::FAILURE
        }
    }
}

/// A virtual device on the stage of this command.
trait Virtual {
    /// A scan has passed: this many so far. Lines to print.
    async fn scan(&mut self, scans: u64) -> Vec<String>;
    /// The next results; `verdict`: this one instead of a drawn one; `all`: also what is rare. Lines to print.
    async fn next(&mut self, verdict: Option<bool>, all: bool) -> Vec<String>;
    /// It starts anew.
    async fn reboot(&mut self) -> String;
    /// Sets a point to what a text means in it.
    fn set(&mut self, name: &str, text: &str) -> Result<String, String>;
    /// All points.
    fn show(&self) -> String;
    /// What it made and what was acknowledged.
    fn summary(&self) -> String;
    /// A line that only this kind of device knows; `None`: it does not.
    async fn typed(&mut self, words: &[&str]) -> Option<Vec<String>>;
    /// What such lines are, for help; ends with a comma.
    fn words(&self) -> &'static str;
}

/// What serves until it ends; why, where that is a fault.
type Serving = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A future that serves for ever.
fn served(serve: impl Future<Output = ()> + Send + 'static) -> Serving {
    Box::pin(async move {
        serve.await;
        Ok(())
    })
}

/// Why the command cannot listen at an address.
fn cannot(at: &str, fault: &std::io::Error) -> String {
    format!("cannot listen at {at}: {fault}; write host:port, port 0 takes any free one (below 1024 needs root)")
}

/// The port that `--listen` names.
///
/// # Errors
/// It names an address.
fn is_port(at: &str) -> Result<(), String> {
    if at.contains(':') && !std::path::Path::new(at).exists() {
        return Err(format!(
            "this profile is of a serial line: --listen is a port, not {at}. \
             `socat pty,raw,echo=0,link=/tmp/device pty,raw,echo=0,link=/tmp/gateway` makes a pair without hardware"
        ));
    }
    Ok(())
}

/// What it serves, for people.
fn describe(profile: &Profile, plan: &SlotPlan, at: &str, more: &str) -> String {
    let identity = profile.identity();
    let events: Vec<&str> = profile.events().map(|(name, _)| name).collect();
    format!(
        "{} {}: listening on {at} ({}{more}), {} points, events {}",
        identity.vendor,
        identity.model,
        profile.protocol(),
        plan.points.len(),
        if events.is_empty() {
            "none".to_owned()
        } else {
            events.join(", ")
        }
    )
}

fn tell(clock: &Clock, line: &str) {
    let stamp = time::rfc3339(clock.now().wall);
    print(&format!("{}  {line}", stamp.get(11..23).unwrap_or(&stamp)));
}

async fn simulate(arguments: &Arguments, profile: Profile, every: Option<Duration>) -> Result<(), String> {
    match profile.plan(&SlotName::new("no-station", "no-slot")).link {
        Link::Modbus(_) => registers::simulate(arguments, profile, every).await,
        Link::Framed(link) => frames::simulate(arguments, profile, link, every).await,
        Link::OpenProtocol(link) => controller::simulate(arguments, profile, link, every).await,
        Link::Opcua(_) => nodes::simulate(arguments, profile, every).await,
    }
}

/// Runs a device until the time is over, somebody ends it, or it cannot be served any more.
async fn stage(
    arguments: &Arguments,
    device: &mut impl Virtual,
    every: Option<Duration>,
    introduced: &str,
    serving: Serving,
) -> Result<(), String> {
    let clock = Clock::machine();
    for set in &arguments.sets {
        let (point, value) = set
            .split_once('=')
            .ok_or_else(|| format!("--set {set}: write POINT=VALUE"))?;
        device
            .set(point.trim(), value.trim())
            .map_err(|fault| format!("--set {set}: {fault}"))?;
    }
    print(introduced);
    let mut tasks = JoinSet::new();
    tasks.spawn(serving);
    let (typed, mut typed_in) = mpsc::channel(16);
    // Reading lines cannot be broken off: the thread ends with the process.
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if typed.blocking_send(line).is_err() {
                    return;
                }
            }
        })
        .map_err(|fault| fault.to_string())?;
    let mut scan = tokio::time::interval(SCAN);
    scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (make, reboot) = (periodic(every), periodic(arguments.fault.reboot));
    tokio::pin!(make, reboot);
    let over = async {
        match arguments.time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let interrupted = super::interrupted();
    tokio::pin!(over, interrupted);
    let mut scans = 0_u64;
    let mut open = true;
    loop {
        let said = tokio::select! {
            () = &mut interrupted => break,
            () = &mut over => break,
            Some(ended) = tasks.join_next() => {
                return ended.map_err(|fault| fault.to_string())?;
            }
            _ = scan.tick() => {
                scans += 1;
                device.scan(scans).await
            }
            () = &mut make => {
                make.set(periodic(every));
                device.next(None, false).await
            }
            () = &mut reboot => {
                reboot.set(periodic(arguments.fault.reboot));
                vec![device.reboot().await]
            }
            words = typed_in.recv(), if open => {
                open = words.is_some();
                match words {
                    Some(words) => match typed_line(device, &words).await {
                        Some(said) => said,
                        None => break,
                    },
                    None => Vec::new(),
                }
            }
        };
        for line in said {
            tell(&clock, &line);
        }
    }
    print(&device.summary());
    Ok(())
}

/// Passes when the time is over; never without one.
async fn periodic(every: Option<Duration>) {
    match every {
        Some(every) => tokio::time::sleep(every).await,
        None => std::future::pending().await,
    }
}

/// What a typed line does; `None`: it ends.
async fn typed_line(device: &mut impl Virtual, line: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(match words.as_slice() {
        [] => Vec::new(),
        ["quit" | "exit" | "q"] => return None,
        ["next" | "n"] => device.next(None, true).await,
        ["next" | "n", "ok"] => device.next(Some(true), true).await,
        ["next" | "n", "nok"] => device.next(Some(false), true).await,
        ["show"] => vec![device.show()],
        ["reboot"] => vec![device.reboot().await],
        ["set", point, value @ ..] if !value.is_empty() => {
            vec![
                device
                    .set(point, &value.join(" "))
                    .unwrap_or_else(|fault| format!("error: {fault}")),
            ]
        }
        words => match device.typed(words).await {
            Some(said) => said,
            None => vec![format!(
                "write: set POINT VALUE, next, next ok, next nok, show, {} reboot, quit",
                device.words()
            )],
        },
    })
}
