//! The demo's devices: a torque tool with a ready/acknowledge handshake and a cell's PLC, speaking Modbus TCP on
//! loopback, with the register maps of `device-profiles/example`; a torque controller that speaks Open Protocol, and a
//! scanner. They keep count of what they made.

use crate::device::framed::simulator::Simulator as Scanner;
use crate::device::modbus::simulator::Simulator;
use crate::device::open_protocol::simulator::{Config, Simulator as Controller};
use crate::model::plan::Table::{Coil, Holding, Input};
use crate::model::{Decimal, Raw};
use rand::Rng;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the devices made, by `slot/type`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) events: BTreeMap<String, u64>,
}

impl Made {
    fn add(&mut self, what: &str) {
        *self.events.entry(what.to_owned()).or_insert(0) += 1;
    }
}

/// All devices, listening.
pub(super) struct Line {
    pub(super) tool: SocketAddr,
    pub(super) plc: SocketAddr,
    pub(super) controller: SocketAddr,
    pub(super) scanner: SocketAddr,
    pub(super) made: watch::Receiver<Made>,
}

/// How long a device looks at its registers again for an acknowledgement.
const SCAN: Duration = Duration::from_millis(5);
/// The PLC holds a state at least this long, longer than it is polled.
const DWELL: Duration = Duration::from_millis(400);
/// Before anything is made the gateway has taken its baseline.
const FIRST: Duration = Duration::from_secs(1);
/// How often the next unit is scanned.
const SCANNED: Duration = Duration::from_secs(3);
/// MID with which results are subscribed to.
const SUBSCRIBES: u16 = 60;

/// Starts all, and returns what runs them: they make things until `produce` is cancelled, and answer until `power` is.
pub(super) async fn start(
    unit_here: &watch::Receiver<String>,
    produce: &CancellationToken,
    power: &CancellationToken,
) -> std::io::Result<(Line, impl Future<Output = ()> + Send + use<>)> {
    let (tool, tool_at, tool_serves) = Simulator::bind("127.0.0.1:0").await?;
    let (plc, plc_at, plc_serves) = Simulator::bind("127.0.0.1:0").await?;
    let (controller, controller_at, controller_serves) = Controller::bind("127.0.0.1:0", nutrunner()).await?;
    let (scanner, scanner_at, scanner_serves) = Scanner::bind("127.0.0.1:0").await?;
    // Switched on now: that is part of the ids of their results.
    let [_, _, seconds @ ..] = crate::clock::Clock::machine()
        .now()
        .wall
        .div_euclid(1_000)
        .to_be_bytes();
    let [_, _, a, b, c, d] = seconds;
    let on = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    tool.set(Input, 0, &[0; 23]);
    tool.set(Input, 23, &on);
    tool.set(Coil, 0, &[0]);
    plc.set(Holding, 0, &[0; 7]);
    plc.set(Holding, 7, &on);
    let (made_in, made) = watch::channel(Made::default());
    let (unit_here, produce, power) = (unit_here.clone(), produce.clone(), power.clone());
    let run = async move {
        let all = async {
            tokio::join!(
                tool_serves,
                plc_serves,
                controller_serves,
                scanner_serves,
                tighten(&tool, unit_here, &made_in, &produce),
                cycle(&plc, &made_in, &produce),
                scan_and_tighten(&scanner, &controller, &made_in, &produce)
            )
        };
        power.run_until_cancelled(all).await;
    };
    Ok((
        Line {
            tool: tool_at,
            plc: plc_at,
            controller: controller_at,
            scanner: scanner_at,
            made,
        },
        run,
    ))
}

/// Waits; `false` when production is over.
async fn pause(time: Duration, produce: &CancellationToken) -> bool {
    tokio::select! {
        () = produce.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

/// A result, shown until it is acknowledged; then the next one.
async fn tighten(
    tool: &Simulator,
    unit_here: watch::Receiver<String>,
    made: &watch::Sender<Made>,
    produce: &CancellationToken,
) {
    let life = async {
        for beat in 0_u16.. {
            tool.set(Input, 1, &[beat]);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let work = async {
        if !pause(FIRST, produce).await {
            return;
        }
        let mut number = 0_u32;
        loop {
            let wait = Duration::from_millis(rand::rng().random_range(300..900));
            if !pause(wait, produce).await {
                return;
            }
            number += 1;
            let unit = unit_here.borrow().clone();
            show_result(tool, number, &unit);
            made.send_modify(|made| made.add("spindle-1/tightening"));
            while tool.get(Coil, 0) == 0 {
                tokio::time::sleep(SCAN).await;
            }
            tool.set(Input, 0, &[0]);
            while tool.get(Coil, 0) != 0 {
                tokio::time::sleep(SCAN).await;
            }
        }
    };
    tokio::select! {
        () = life => {}
        () = async { work.await; std::future::pending().await } => {}
    }
}

fn show_result(tool: &Simulator, number: u32, unit: &str) {
    let mut rng = rand::rng();
    let torque: f32 = if rng.random_ratio(1, 8) {
        15.25
    } else {
        rng.random_range(1_150_u16..1_350).into()
    };
    let torque = if torque > 100.0 { torque / 100.0 } else { torque };
    let ok = torque <= 14.0;
    let words = |bits: u32| {
        let [a, b, c, d] = bits.to_be_bytes();
        [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
    };
    let ([n1, n2], [t1, t2]) = (words(number), words(torque.to_bits()));
    let (judgement, verdict, reason) = if ok { (1, 0b100, 0) } else { (2, 0b010, 32) };
    let block = [
        n1,
        n2,
        judgement,
        t1,
        t2,
        1_100,
        1_400,
        verdict,
        rng.random_range(450..520),
        3,
        reason,
    ];
    let mut carrier: Vec<u16> = unit
        .as_bytes()
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)]))
        .collect();
    carrier.resize(10, 0);
    // All at once: a reader sees the whole result or none of it.
    tool.edit(|image| {
        image.put(Input, 2, &block);
        image.put(Input, 13, &carrier);
        image.put(Input, 0, &[1]);
    });
}

/// What the torque controller says of itself and of every result.
fn nutrunner() -> Config {
    let number = |hundredths: i128| Raw::Dec(Decimal::new(hundredths, 2));
    let text = |text: &str| Raw::Text(text.to_owned());
    let fields = [
        ("controller_name", text("Demo nutrunner")),
        ("controller_serial_number", text("4711")),
        ("parameter_set_number", Raw::Int(7)),
        ("torque_min_limit", number(3_400)),
        ("torque_max_limit", number(4_600)),
        ("torque_final_target", number(4_000)),
        ("angle_min", Raw::Int(20)),
        ("angle_max", Raw::Int(420)),
        ("tool_serial_number", text("C0761275")),
    ];
    Config {
        fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
        ..Config::default()
    }
}

/// Units are scanned, now and then a badge; between two of them the controller tightens.
async fn scan_and_tighten(
    scanner: &Scanner,
    controller: &Controller,
    made: &watch::Sender<Made>,
    produce: &CancellationToken,
) {
    let connected = async {
        scanner.connected(1).await;
        while !controller.heard().iter().any(|telegram| telegram.mid() == SUBSCRIBES) {
            tokio::time::sleep(SCAN).await;
        }
    };
    if produce.run_until_cancelled(connected).await.is_none() {
        return;
    }
    let mut units = 0_u32;
    loop {
        units += 1;
        if units.is_multiple_of(5) {
            scanner.send(b"]C0BADGE 0815\r").await;
            made.send_modify(|made| made.add("scanner/identification"));
        }
        scanner.send(format!("]C0WVWZZZ2JZXW{units:06}\r").as_bytes()).await;
        made.send_modify(|made| made.add("scanner/identification"));
        let until = tokio::time::Instant::now() + SCANNED;
        while tokio::time::Instant::now() < until {
            let wait = Duration::from_millis(rand::rng().random_range(500..900));
            if !pause(wait, produce).await {
                return;
            }
            let torque = rand::rng().random_range(3_600..4_700_i128);
            let angle = rand::rng().random_range(80..120_i64);
            let (word, high) = if torque <= 4_600 { ("ok", "ok") } else { ("nok", "high") };
            controller.tighten([
                ("torque", Raw::Dec(Decimal::new(torque, 2))),
                ("angle", Raw::Int(angle)),
                ("tightening_status", Raw::Text(word.to_owned())),
                ("torque_status", Raw::Text(high.to_owned())),
            ]);
            made.send_modify(|made| made.add("nutrunner/tightening"));
        }
    }
}

/// Runs cycles; now and then the guard opens.
async fn cycle(plc: &Simulator, made: &watch::Sender<Made>, produce: &CancellationToken) {
    let temperature = async {
        for beat in 0_u16.. {
            plc.set(Holding, 5, &[400 + beat % 40, 6_000 + (beat % 7) * 20]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let work = async {
        if !pause(FIRST, produce).await {
            return;
        }
        let mut count = 0_u16;
        loop {
            let (running, idle) = (2, 1);
            state(plc, running, made);
            let time = rand::rng().random_range(900..1_600_u16);
            if !pause(Duration::from_millis(time.into()), produce).await {
                return;
            }
            count += 1;
            plc.edit(|image| image.put(Holding, 0, &[0, count, time / 10]));
            made.send_modify(|made| made.add("cell/cycle"));
            state(plc, idle, made);
            if count.is_multiple_of(4) {
                if !pause(DWELL, produce).await {
                    return;
                }
                alarm(plc, 1, made);
                if !pause(DWELL * 2, produce).await {
                    return;
                }
                alarm(plc, 0, made);
            }
            if !pause(DWELL, produce).await {
                return;
            }
        }
    };
    tokio::select! {
        () = temperature => {}
        () = async { work.await; std::future::pending().await } => {}
    }
}

fn state(plc: &Simulator, state: u16, made: &watch::Sender<Made>) {
    plc.set(Holding, 3, &[state]);
    made.send_modify(|made| made.add("cell/state"));
}

fn alarm(plc: &Simulator, word: u16, made: &watch::Sender<Made>) {
    plc.set(Holding, 4, &[word]);
    made.send_modify(|made| made.add("cell/alarm"));
}
