//! A simulated Open Protocol controller, by TCP or on a serial line: for demos, `lineside simulate` and tests.
//!
//! Owns what a controller remembers and what is made to go wrong. One connection is in [`client`]. Written on the same
//! codec as the driver; a second implementation proves that (tests/peers).

mod answers;
mod client;

use super::transport::Line;
use crate::model::plan::TelegramTransport;
use crate::model::{Decimal, Raw};
use crate::wire::open_protocol::serial::Sender;
use crate::wire::open_protocol::{Fault as CodecFault, Telegram, encode_fields};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

/// Events that a connection may be behind.
const BEHIND: usize = 4_096;
/// Telegrams of clients that are remembered.
const HEARD: usize = 20_000;
/// How long a write may take.
const WRITE: Duration = Duration::from_secs(5);

/// Values by name, as decoding names them.
pub type Values = BTreeMap<String, Raw>;

/// What kind of controller it is.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent habits of a controller, not a state"
)]
#[derive(Debug, Clone)]
pub struct Config {
    /// Revisions of each message that it takes, by the MID that asks (0001, 0060, 0064) or, for 0008, by the data MID.
    /// What is not here is taken in every revision whose layout is known.
    pub revisions: BTreeMap<u16, BTreeSet<u16>>,
    /// Closes the connection after it refused a revision of 0001.
    pub closes_on_refusal: bool,
    /// Messages that are refused, with this code.
    pub refuses: BTreeMap<u16, u16>,
    /// Never answers 0001.
    pub mute: bool,
    /// Closes each connection at once.
    pub closes_at_once: bool,
    /// Pushes the newest result as soon as a session is started, before anything is subscribed.
    pub eager: bool,
    /// Says that it supports the link layer, and uses it.
    pub link_layer: bool,
    /// Answers 0064 with the newest result that is not above the id asked for (PF6000).
    pub walk_back: bool,
    /// Its station, in 0002 and in its own results.
    pub station: i64,
    /// Results that it remembers.
    pub memory: usize,
    /// After how long a data telegram that is not acknowledged is sent again, 3 times at most, then it closes.
    pub resend: Duration,
    /// Closes a connection on which nothing came for so long.
    pub silence: Duration,
    /// Fields of every telegram, where nothing else is said; those of 0002 too.
    pub fields: Values,
    /// Data telegrams are answered with 1201 and 1202 instead of 0061.
    pub variable: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            revisions: BTreeMap::new(),
            closes_on_refusal: false,
            refuses: BTreeMap::new(),
            mute: false,
            closes_at_once: false,
            eager: false,
            link_layer: false,
            walk_back: false,
            station: 1,
            memory: 10_000,
            resend: Duration::from_secs(3),
            silence: Duration::from_secs(15),
            fields: Values::new(),
            variable: false,
        }
    }
}

/// What goes wrong with one data telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not sent, until it is sent again.
    Drop,
    /// It comes this much later.
    Delay(Duration),
    /// It comes twice.
    Duplicate,
    /// Bytes of it are changed; sent again later it is whole.
    Garble,
    /// The connection is closed in its middle.
    Cut,
    /// Garbage before it.
    Noise(Vec<u8>),
}

/// A data telegram that a client acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// MID of the data telegram.
    pub data: u16,
    /// Its result id; 0 of what has none.
    pub id: i64,
    /// By which MID: 62, 5, 9997.
    pub by: u16,
}

/// What clients with a subscription are told.
#[derive(Debug, Clone)]
struct Event {
    data: u16,
    id: i64,
    values: Arc<Values>,
}

#[derive(Debug, Default)]
struct State {
    config: Config,
    results: BTreeMap<i64, Arc<Values>>,
    next: i64,
    program: Values,
    inputs: Values,
    alarm: Values,
    faults: VecDeque<Fault>,
    acknowledged: Vec<Acknowledged>,
    heard: VecDeque<Telegram>,
    connections: u64,
}

/// A handle to a simulated controller; clones share it.
#[derive(Debug, Clone)]
pub struct Simulator {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Event>,
    raw: broadcast::Sender<Vec<u8>>,
    generation: watch::Sender<u64>,
}

impl Simulator {
    /// A controller on no network yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let state = State {
            config,
            next: 1,
            program: text_values(&[("parameter_set_number", "1"), ("parameter_set_name", "Simulated")]),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            events: broadcast::Sender::new(BEHIND),
            raw: broadcast::Sender::new(64),
            generation: watch::Sender::new(0),
        }
    }

    /// Listens at `address` (port 0: any free one). The future serves until it is dropped.
    ///
    /// # Errors
    /// Where the address cannot be listened at.
    pub async fn bind(
        address: &str,
        config: Config,
    ) -> std::io::Result<(Self, SocketAddr, impl Future<Output = ()> + Send + use<>)> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let simulator = Self::new(config);
        Ok((simulator.clone(), local, simulator.serve(listener)))
    }

    async fn serve(self, listener: TcpListener) {
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = clients.join_next() => continue,
            };
            let Ok((stream, _)) = accepted else { continue };
            let number = {
                let mut state = self.lock();
                state.connections += 1;
                if state.config.closes_at_once {
                    continue;
                }
                state.connections
            };
            // Without that it is slower, no more.
            drop(stream.set_nodelay(true));
            let line = Line::new(Box::new(stream), &TelegramTransport::Tcp, Sender::Controller, WRITE);
            clients.spawn(client::serve(self.clone(), line, number));
        }
    }

    /// Opens the serial port `path` and answers on it until the port is gone.
    ///
    /// # Errors
    /// A sentence: the port cannot be opened, or the transport is no serial one.
    pub async fn serve_port(
        &self,
        path: &str,
        transport: &TelegramTransport,
    ) -> Result<impl Future<Output = ()> + Send + use<>, String> {
        let (TelegramTransport::Ascii(settings) | TelegramTransport::Block3964R(settings)) = transport else {
            return Err("TCP has no serial port".to_owned());
        };
        let stream = crate::device::port::open(path, settings).await?;
        let line = Line::new(Box::new(stream), transport, Sender::Controller, WRITE);
        let number = {
            let mut state = self.lock();
            state.connections += 1;
            state.connections
        };
        Ok(client::serve(self.clone(), line, number))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a result with these values; what is not named is an OK tightening. Gives its id.
    pub fn tighten<'a>(&self, values: impl IntoIterator<Item = (&'a str, Raw)>) -> i64 {
        let station = self.lock().config.station;
        self.result(station, true, values)
    }

    /// Makes a result of another station: it is in the memory, and nobody is told.
    #[expect(clippy::must_use_candidate, reason = "it is called for the result, not for its id")]
    pub fn tighten_elsewhere(&self, station: i64) -> i64 {
        self.result(station, false, [])
    }

    fn result<'a>(&self, station: i64, told: bool, values: impl IntoIterator<Item = (&'a str, Raw)>) -> i64 {
        let mut state = self.lock();
        let mut result: Values = values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let id = match result.get("tightening_id").and_then(super::results::number) {
            Some(id) => id,
            None => state.next,
        };
        state.next = id.saturating_add(1);
        let mut default = |name: &str, value: Raw| {
            result.entry(name.to_owned()).or_insert(value);
        };
        default("tightening_id", Raw::Int(id));
        default("result_id", Raw::Int(id));
        default("station_id", Raw::Int(station));
        default("torque", Raw::Dec(Decimal::new(1_200 + i128::from(id % 100), -2)));
        default("angle", Raw::Int(90 + id % 10));
        for (name, word) in [
            ("tightening_status", "ok"),
            ("torque_status", "ok"),
            ("angle_status", "ok"),
            ("time_stamp", &*time_of(id)),
        ] {
            default(name, Raw::Text(word.to_owned()));
        }
        let values = Arc::new(result);
        state.results.insert(id, values.clone());
        while state.results.len() > state.config.memory {
            state.results.pop_first();
        }
        let data = if state.config.variable { 1201 } else { 61 };
        drop(state);
        if told {
            self.tell(data, id, values);
        }
        id
    }

    /// Whoever is subscribed to `data` is told; what is told to nobody is only remembered.
    fn tell(&self, data: u16, id: i64, values: Arc<Values>) {
        drop(self.events.send(Event { data, id, values }));
    }

    /// An identifier was read.
    pub fn identify(&self, text: &str) {
        let values = text_values(&[("vin_number", text), ("identifier_1", text)]);
        self.tell(52, 0, Arc::new(values));
    }

    /// An alarm came (0071) or went (0076).
    pub fn alarm<'a>(&self, values: impl IntoIterator<Item = (&'a str, Raw)>, active: bool) {
        let mut alarm: Values = values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        alarm.entry("alarm_active".to_owned()).or_insert(Raw::Bool(active));
        let values = Arc::new(alarm.clone());
        self.lock().alarm = alarm;
        self.tell(if active { 71 } else { 76 }, 0, values);
    }

    /// Another parameter set was selected.
    pub fn select<'a>(&self, values: impl IntoIterator<Item = (&'a str, Raw)>) {
        let mut state = self.lock();
        for (name, value) in values {
            state.program.insert(name.to_owned(), value);
        }
        let values = Arc::new(state.program.clone());
        drop(state);
        self.tell(15, 0, values);
    }

    /// Sends any data telegram (0035, 0101, 0211, 0900) to whoever is subscribed to it.
    pub fn say<'a>(&self, data: u16, id: i64, values: impl IntoIterator<Item = (&'a str, Raw)>) {
        let values: Values = values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        if data == 211 {
            self.lock().inputs.clone_from(&values);
        }
        self.tell(data, id, Arc::new(values));
    }

    /// Sends these bytes to every client.
    pub fn send_raw(&self, bytes: &[u8]) {
        // Nobody is connected: nobody hears it.
        drop(self.raw.send(bytes.to_vec()));
    }

    /// The next data telegrams go wrong, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// Closes all connections; the memory stays.
    pub fn cut(&self) {
        self.generation.send_modify(|number| *number += 1);
    }

    /// It is another controller from now on, or the same with other settings; connections are closed.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.lock().config);
        self.cut();
    }

    /// Forgets all results; the next one has this id. Connections are closed, as by a restart.
    pub fn reset_ids(&self, next: i64) {
        let mut state = self.lock();
        state.results.clear();
        state.next = next;
        drop(state);
        self.cut();
    }

    /// Forgets these results: asked for one of them it answers with code 15.
    pub fn forget(&self, ids: impl IntoIterator<Item = i64>) {
        let mut state = self.lock();
        for id in ids {
            state.results.remove(&id);
        }
    }

    /// What clients acknowledged, in order.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.lock().acknowledged.clone()
    }

    /// All that clients sent, the last twenty thousand telegrams.
    #[must_use]
    pub fn heard(&self) -> Vec<Telegram> {
        self.lock().heard.iter().cloned().collect()
    }

    /// Connections that were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.lock().connections
    }

    /// Ids of the results of other stations in its memory.
    #[must_use]
    pub fn elsewhere(&self) -> BTreeSet<i64> {
        let state = self.lock();
        let own = Raw::Int(state.config.station);
        let other = |(id, values): (&i64, &Arc<Values>)| (values.get("station_id") != Some(&own)).then_some(*id);
        state.results.iter().filter_map(other).collect()
    }

    /// Ids of the results in its memory.
    #[must_use]
    pub fn results(&self) -> Vec<i64> {
        self.lock().results.keys().copied().collect()
    }
}

impl State {
    /// Builds a telegram of these values, then those of the configuration, then the usual ones.
    fn build(&self, mid: u16, revision: u16, values: &Values) -> Result<Telegram, CodecFault> {
        let get = |name: &str| {
            values
                .get(name)
                .or_else(|| self.config.fields.get(name))
                .cloned()
                .or_else(|| self.usual(name))
        };
        encode_fields(mid, revision, &get)
    }

    fn usual(&self, name: &str) -> Option<Raw> {
        Some(match name {
            "cell_id" | "channel_id" | "spindle_number" => Raw::Int(1),
            "controller_name" => Raw::Text("Simulated".to_owned()),
            "supplier_code" => Raw::Text("SIM".to_owned()),
            "controller_serial_number" => Raw::Text("SIM-0001".to_owned()),
            "sequence_number_support" => Raw::Bool(self.config.link_layer),
            "linking_support" => Raw::Bool(false),
            "station_id" => Raw::Int(self.config.station),
            "parameter_set_number" => self.program.get(name)?.clone(),
            _ => return None,
        })
    }

    /// Whether it takes this revision.
    fn takes(&self, asked: u16, revision: u16, data: u16) -> bool {
        match self.config.revisions.get(&asked) {
            Some(taken) => taken.contains(&revision),
            None => self.build(data, revision, &Values::new()).is_ok(),
        }
    }
}

fn text_values(values: &[(&str, &str)]) -> Values {
    let value = |(name, text): &(&str, &str)| ((*name).to_owned(), Raw::Text((*text).to_owned()));
    values.iter().map(value).collect()
}

/// A time that tells results apart: one second each.
fn time_of(id: i64) -> String {
    let id = id.rem_euclid(86_400);
    format!("2026-11-22:{:02}:{:02}:{:02}", id / 3_600, id / 60 % 60, id % 60)
}
