//! The gateway as a whole in a test's own process: a broker that says when it has everything, and a start and an end.
//!
//! Owns what tests of the whole gateway share. Devices, profiles and what is asserted are each test's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    reason = "each test that includes this uses a part of it, and says by panicking that it cannot go on"
)]

#[path = "fake_broker.rs"]
pub mod fake_broker;

use fake_broker::{Act, Fake, Packet, puback, publish};
use lineside::diagnostic::Diagnostics;
use lineside::gateway::{self, GatewayError, setup};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const LONG: Duration = Duration::from_secs(30);
/// Status of the gateway `gw` of `acme`, `s`.
pub const GATEWAY: &str = "acme/s/lineside/gw/status";

/// A gateway that runs.
pub struct Running {
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), GatewayError>>,
}

/// Workers for the gateway and what it talks to.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Starts the gateway of a gateway.toml.
pub fn start(runtime: &Runtime, config: &Path) -> Running {
    let mut faults = Diagnostics::new();
    let setup = setup::load(config, &mut faults).unwrap_or_else(|| panic!("{}", faults.render(false)));
    let stop = CancellationToken::new();
    let task = runtime.spawn(gateway::run(setup, stop.clone()));
    Running { stop, task }
}

/// Stops it as SIGTERM does. Returns how long it took.
pub fn stop(runtime: &Runtime, running: Running) -> Duration {
    let begun = Instant::now();
    running.stop.cancel();
    let ended = runtime.block_on(async { tokio::time::timeout(LONG, running.task).await });
    ended.expect("it ends").expect("no panic").expect("no fault");
    begun.elapsed()
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A broker that gives back the gateway's status, and answers events as `verdict` says (MQTT 5, 3.4.2.1).
pub fn broker(verdict: impl Fn(&str, &Value) -> u8 + Send + 'static) -> Fake {
    Fake::start(true, move |_, packet| {
        let Packet::Publish { id, topic, payload, .. } = packet else {
            return Fake::polite(true, packet);
        };
        if topic == GATEWAY {
            return vec![
                Act::Send(puback(true, *id, 0)),
                Act::Send(publish(true, topic, payload, false)),
            ];
        }
        let code = match serde_json::from_slice(payload) {
            Ok(event) if !topic.ends_with("/status") => verdict(topic, &event),
            _ => 0,
        };
        vec![Act::Send(puback(true, *id, code))]
    })
}

/// What was published on topics that end with this, in order.
pub fn said(packets: &[(usize, Packet)], end: &str) -> Vec<Value> {
    let published = packets.iter().filter_map(|(_, packet)| match packet {
        Packet::Publish { topic, payload, .. } if topic.ends_with(end) => Some(payload),
        _ => None,
    });
    published
        .map(|payload| serde_json::from_slice(payload).unwrap_or(Value::Null))
        .collect()
}
