//! The gateway: the only room that sees more than one stage. Builds the pipeline, supervises, shuts down.
//!
//! Owns which task runs, who is told what, and the order of starting and stopping. The stages do the work:
//! drivers report, the [`committer`] decodes, binds, numbers and stores on its own thread, the session publishes.
//! No task is detached: all of them are in one `JoinSet`, and one that fails ends the process, since the
//! supervisor starts it again and recovery is the ordinary start.

pub mod changes;
mod committer;
pub mod control;
pub mod devices;
mod installing;
pub mod lock;
mod mes;
mod neighbours;
pub mod overlay;
pub mod recent;
mod rejections;
mod resend;
mod retry;
pub mod setup;
mod slots;
pub mod store;
mod triggers;
mod watching;

use crate::clock::Clock;
use crate::config::{Config, MqttVersion, UnitFrom, WhenFull};
use crate::contract::Allocator;
use crate::model::commit::space;
use crate::model::{Commit, Moment, SlotName, StateChange};
use crate::mqtt::{self, Outbound};
use crate::outbox::{Limits, Outbox, OutboxError};
use crate::unit::{StationRule, UnitSource, Units};
use committer::{Committer, GatewayStatus};
use devices::accepted::Accepted;
use devices::judge;
use rand::Rng;
use serde_json::{Map, Value, json};
use setup::Setup;
use slots::Slots;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::{REQUESTS, Request, Store};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use triggers::States;

/// Reports that may wait for the store's thread, over all devices.
const REPORTS: usize = 1024;
/// Free space that is kept on the file system of the store.
const RESERVE: u64 = 64 << 20;
/// How often the session makes itself heard where nothing else does.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long the session has been silent before the MES counts as out of reach, beside its keep-alive.
const SILENCE: Duration = Duration::from_secs(2);
/// How long the session has to say goodbye.
const SESSION_ENDS: Duration = Duration::from_millis(600);

/// Why the gateway did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The runtime or a thread could not be made.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// The state directory cannot be used.
    #[error("cannot use the state directory {path}: {source}")]
    StateDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] OutboxError),
    /// The control socket cannot be made.
    #[error(transparent)]
    Control(#[from] control::ControlError),
    /// The settings of the session cannot be used.
    #[error("[mqtt]: {0}")]
    Mqtt(#[from] mqtt::SettingsFault),
    /// A task ended that should not.
    #[error("{0} ended unexpectedly: {1}; start the gateway again, nothing that was acknowledged is lost")]
    Ended(&'static str, String),
}

/// Runs the gateway until SIGTERM or SIGINT.
pub fn run_until_signal(setup: Setup) -> Result<(), GatewayError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let hangup = Arc::new(Notify::new());
        let mut signals = JoinSet::new();
        signals.spawn(signalled(stop.clone(), hangup.clone())?);
        run_with(setup, stop, hangup).await
    })
}

/// Cancels `stop` at SIGTERM or SIGINT; SIGHUP has the device files read at once.
fn signalled(stop: CancellationToken, reread: Arc<Notify>) -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => reread.notify_one(),
            }
        }
        tracing::info!("stopping: no more reading, everything that came is committed");
        stop.cancel();
    })
}

/// Runs the gateway until `stop`. Returns when everything that devices said is durable.
pub async fn run(setup: Setup, stop: CancellationToken) -> Result<(), GatewayError> {
    run_with(setup, stop, Arc::default()).await
}

/// The same; `hangup` has the device files read at once.
async fn run_with(setup: Setup, stop: CancellationToken, hangup: Arc<Notify>) -> Result<(), GatewayError> {
    let clock = Clock::machine();
    let session = random_id();
    let started = clock.now();
    let Setup {
        config,
        slots,
        source,
        file,
        texts,
    } = setup;
    make_state_dir(&config.gateway.state_dir)?;
    let files = devices::Files::new(&config, &file, source);
    let beginning = judge::begin(
        &files.profiles,
        slots,
        &texts,
        &files.approval(),
        &|slot| Accepted::read(&files.state_dir, slot),
        &started.rfc3339(),
    );
    let slot_setups: Vec<setup::SlotSetup> = beginning.held.iter().map(|held| held.setup.clone()).collect();

    let (requests, asked) = mpsc::channel(REQUESTS);
    let (reports, said) = mpsc::channel(REPORTS);
    let (changed, version) = watch::channel(0_u64);
    let store = Store {
        requests,
        changed: version,
    };

    let settings = settings(&config);
    let (outbound, heard, mut session_task) = mqtt::session(settings, store.clone(), clock.clone())?;

    let opening = Opening {
        config: config.clone(),
        slots: Slots::new(&slot_setups, &config.gateway.id, &session, started),
        outbound: outbound.clone(),
        clock: clock.clone(),
        changed,
        session: session.clone(),
        started,
        caught_up: Some(Box::new({
            let files = files.clone();
            let acceptances = beginning.acceptances;
            move || devices::catch_up(&files, acceptances, &started.rfc3339())
        })),
    };
    let (mut opened, committer) = start_committer(opening, said, asked)?;
    let (states, stream) = tokio::select! {
        opened = opened.recv() => opened?,
        // A large store takes seconds to open; to end there is as good as a kill.
        () = stop.cancelled() => return Ok(()),
    };
    session_task.introduce(
        gateway_status("online", started, &session, &stream, None),
        gateway_status("offline", started, &session, &stream, None),
    );

    let session_stop = CancellationToken::new();
    let mut tasks: JoinSet<(&'static str, Result<(), String>)> = JoinSet::new();
    let publishing = session_task.run(session_stop.clone());
    tasks.spawn(async move {
        publishing.await;
        ("the MQTT session", Ok(()))
    });
    let listening = listen_to_mes(
        heard,
        Topics {
            stations: unit_topics(&config),
            slots: mes::Topics::new(&config.plant, slots_in_use(&config)),
        },
        store.clone(),
        outbound,
        clock.clone(),
        session_stop.clone(),
    );
    tasks.spawn(async move {
        listening.await;
        ("listening to the MES", Ok(()))
    });
    let listener = control::listen(&config.gateway.state_dir)?;
    let recent = recent::Recent::new(&config.gateway.state_dir, clock.clone());
    let keeping = recent.clone().run(session_stop.clone());
    tasks.spawn(async move {
        keeping.await;
        ("keeping the last exchanges", Ok(()))
    });
    let ends = control::Ends::new(clock.clone(), recent);
    let serving = control::serve(listener, store.clone(), ends.clone(), session_stop.clone());
    tasks.spawn(async move {
        serving.await;
        ("the control socket", Ok(()))
    });
    let home = config.gateway.state_dir.clone();
    let links = devices::Links::new(reports, clock.clone(), stop.clone(), home, ends);
    let devices = devices::Devices::new(files, beginning.held, links, store, clock.clone());
    let mut drivers = JoinSet::new();
    drivers.spawn(devices.run(states, hangup, stop.clone()));
    tracing::info!(
        "{} of {} slots have a device",
        slot_setups.iter().filter(|s| s.plan.is_some()).count(),
        slot_setups.len()
    );

    let ended = supervise(&stop, &mut drivers, &mut tasks, &committer).await;
    stop.cancel();
    // It gives the drivers their time.
    while drivers.join_next().await.is_some() {}
    // The reports' channel closes with the last driver; what is in it is committed while the session says goodbye.
    session_stop.cancel();
    if tokio::time::timeout(SESSION_ENDS, async { while tasks.join_next().await.is_some() {} })
        .await
        .is_err()
    {
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
    }
    let joined = tokio::task::spawn_blocking(move || committer.thread.join()).await;
    if let Err(fault) = std::fs::remove_file(control::socket(&config.gateway.state_dir)) {
        tracing::debug!("control socket: {fault}");
    }
    let joined = joined.map_err(|fault| GatewayError::Ended("the store", fault.to_string()))?;
    match joined {
        Ok(Ok(())) => ended,
        Ok(Err(fault)) => Err(GatewayError::Ended("the store", fault.to_string())),
        Err(_) => Err(GatewayError::Ended("the store", "it panicked".to_owned())),
    }
}

/// Waits for the stop, or for something to end that should not.
async fn supervise(
    stop: &CancellationToken,
    drivers: &mut JoinSet<Result<(), String>>,
    tasks: &mut JoinSet<(&'static str, Result<(), String>)>,
    committer: &CommitterThread,
) -> Result<(), GatewayError> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = committer.ended.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => Err(match ended {
            Ok((who, Ok(()))) => GatewayError::Ended(who, "no reason given".to_owned()),
            Ok((who, Err(fault))) => GatewayError::Ended(who, fault),
            Err(fault) => GatewayError::Ended("a task", fault.to_string()),
        }),
        Some(ended) = drivers.join_next() => match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => Err(GatewayError::Ended("a driver", fault)),
            Err(fault) => Err(GatewayError::Ended("the devices", fault.to_string())),
        },
    }
}

type CaughtUp = Box<dyn FnOnce() -> HashMap<SlotName, store::Told> + Send>;

/// What the store's thread needs to begin.
struct Opening {
    config: Config,
    slots: Slots,
    outbound: Outbound,
    clock: Clock,
    changed: watch::Sender<u64>,
    session: String,
    started: Moment,
    /// Writes down what was accepted while the gateway was down, once the store is ours alone. `None`: no gateway runs, and
    /// what changed is told by its next start.
    caught_up: Option<CaughtUp>,
}

struct CommitterThread {
    thread: std::thread::JoinHandle<Result<(), committer::CommitError>>,
    ended: CancellationToken,
}

/// The answer of a store that is being opened: the states of triggers, and the store's stream.
struct Opened(oneshot::Receiver<Result<(States, String), GatewayError>>);

impl Opened {
    async fn recv(&mut self) -> Result<(States, String), GatewayError> {
        match (&mut self.0).await {
            Ok(opened) => opened,
            Err(_) => Err(GatewayError::Ended("the store", "it did not open".to_owned())),
        }
    }
}

/// Starts the store's thread: opens the outbox there and runs the committer on it.
fn start_committer(
    opening: Opening,
    reports: mpsc::Receiver<crate::model::Report>,
    requests: mpsc::Receiver<Request>,
) -> Result<(Opened, CommitterThread), GatewayError> {
    let (answer, answered) = oneshot::channel();
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
        let _guard = guard;
        match open(opening) {
            Ok((committer, states)) => {
                let stream = committer.gateway.stream.clone();
                if answer.send(Ok((states, stream))).is_err() {
                    return Ok(());
                }
                runtime.block_on(committer.run(reports, requests))
            }
            Err(fault) => {
                if answer.send(Err(fault)).is_err() {
                    tracing::debug!("nobody waited for the store");
                }
                Ok(())
            }
        }
    })?;
    Ok((Opened(answered), CommitterThread { thread, ended }))
}

/// Opens the store and brings back all that it knows.
fn open(opening: Opening) -> Result<(Committer, States), GatewayError> {
    let Opening {
        config,
        slots,
        outbound,
        clock,
        changed,
        session,
        started,
        caught_up,
    } = opening;
    let limits = limits(&config);
    let (outbox, report) = Outbox::open(&config.gateway.state_dir, limits.clone(), clock.clone())?;
    for note in &report.notes {
        tracing::warn!("store: {note}");
    }
    let mut allocator = Allocator::new(config.plant.clone(), &config.gateway.id, &report.stream);
    let topics: Vec<(Arc<str>, u64)> = report
        .topics
        .iter()
        .map(|topic| (topic.topic.clone(), topic.next))
        .collect();
    allocator.resume(&topics);
    let mut units = Units::new(station_rules(&config));

    let mut configured: BTreeMap<String, String> = BTreeMap::new();
    let names: Vec<SlotName> = config.slots().map(|(_, slot)| slot.name.clone()).collect();
    let mut found = triggers::Found::default();
    outbox.scan_state(&[space::TRIGGER], &mut |key, value| found.take(key, value))?;
    let states = found.states(&names);
    outbox.scan_state(&[space::UNIT], &mut |key, value| {
        if let Some(station) = key.get(1..).and_then(|key| std::str::from_utf8(key).ok()) {
            units.restore(station, value);
        }
    })?;
    outbox.scan_state(&[space::SLOT], &mut |key, value| {
        if let Some(slot) = key.get(1..).and_then(|key| std::str::from_utf8(key).ok()) {
            allocator.restore_slot(slot, value);
        }
    })?;
    let drift = watching::restored(&outbox, &names)?;
    outbox.scan_state(&[space::CONFIGURED], &mut |key, topic| {
        if let (Some(Ok(slot)), Ok(topic)) = (key.get(1..).map(std::str::from_utf8), std::str::from_utf8(topic)) {
            configured.insert(slot.to_owned(), topic.to_owned());
        }
    })?;
    let mes = mes::Mes {
        rejections: rejections::Rejections::restore(&outbox)?,
        kept: retry::Kept::restore(&outbox)?,
        ..mes::Mes::default()
    };
    let mut commit = Commit::default();
    let gone = clear_gone_slots(&config, &slots, &configured, &outbound, &mut commit);

    let mut committer = Committer {
        outbox: Some(outbox),
        state_dir: config.gateway.state_dir.clone(),
        limits,
        allocator,
        units,
        drift,
        slots,
        plant: config.plant.clone(),
        outbound,
        clock,
        changed,
        gateway: GatewayStatus {
            topic: config.plant.gateway_status_topic(&config.gateway.id),
            session,
            stream: report.stream.clone(),
            since: started,
            published: None,
            troubles: HashMap::new(),
        },
        pending: VecDeque::new(),
        full: None,
        unsynced: None,
        unsettled: Vec::new(),
        holes: HashSet::new(),
        gone,
        loss: report.lost.is_some(),
        forgettable: HashSet::new(),
        lazy: Vec::new(),
        busy: false,
        mes,
        broken: None,
    };
    committer.go_on(&report.topics, commit);
    if let Some(caught_up) = caught_up {
        committer.tell_changes(&caught_up());
    }
    committer.tell_rejections();
    if let Some(lost) = &report.lost {
        let kept = lost
            .kept
            .as_ref()
            .map_or_else(String::new, |kept| format!("; it is kept in {}", kept.display()));
        tracing::error!(
            "the store was lost: {}{kept}; numbers go on past what was given, a gap tells",
            lost.reason
        );
        committer.tell_lost();
    }
    Ok((committer, states))
}

/// A slot that was configured once and is no more, or elsewhere in the plant, gets an empty retained status. Returns
/// the records to forget once the broker has it: the gateway may be ended before.
fn clear_gone_slots(
    config: &Config,
    slots: &Slots,
    configured: &BTreeMap<String, String>,
    outbound: &Outbound,
    commit: &mut Commit,
) -> Vec<(Vec<u8>, String)> {
    // A slot that moved with its plant is a record of its own until its former topic is cleared.
    let key = |slot: &str| [&[space::CONFIGURED], slot.as_bytes()].concat();
    let present: BTreeMap<String, String> = slots
        .names()
        .iter()
        .map(|slot| (slot.to_string(), config.plant.slot_topic(slot, "status")))
        .collect();
    let mut gone = Vec::new();
    let mut clear = |record: &str, topic: &str| {
        if outbound.set_retained(topic, Vec::new()) == mqtt::Posted::Refused {
            tracing::warn!("no room to clear {topic}");
        } else {
            gone.push((key(record), topic.to_owned()));
        }
    };
    for (record, topic) in configured {
        match present.get(record) {
            Some(now) if now == topic => {}
            Some(_) => {
                let former = format!("{record} {topic}");
                clear(&former, topic);
                if former.len() < crate::outbox::MAX_STATE_KEY {
                    commit.state.push(StateChange {
                        key: key(&former),
                        value: Some(topic.clone().into_bytes()),
                    });
                }
            }
            None if present.values().any(|now| now == topic) => commit.state.push(StateChange {
                key: key(record),
                value: None,
            }),
            None => clear(record, topic),
        }
    }
    for (slot, topic) in &present {
        if configured.get(slot) != Some(topic) {
            commit.state.push(StateChange {
                key: key(slot),
                value: Some(topic.clone().into_bytes()),
            });
        }
    }
    gone
}

/// On which topics the MES speaks to this gateway.
#[derive(Debug)]
struct Topics {
    /// Stations by the topic on which it says which unit is there.
    stations: HashMap<String, Arc<str>>,
    slots: mes::Topics,
}

impl Topics {
    /// What a message asks of the store's thread. `None`: it is for nobody here, or takes back a retained one.
    fn request(&self, topic: &str, payload: &[u8], retained: bool, at: Moment) -> Option<Request> {
        if let Some(station) = self.stations.get(topic) {
            let (station, payload) = (station.clone(), payload.to_vec());
            return Some(Request::Unit { station, payload, at });
        }
        let (slot, word) = self.slots.of(topic).filter(|_| !payload.is_empty())?;
        Some(Request::Said {
            slot: slot.clone(),
            word: *word,
            payload: payload.to_vec(),
            retained,
            at,
        })
    }
}

/// Slots that are not disabled.
fn slots_in_use(config: &Config) -> impl Iterator<Item = SlotName> {
    let used = config.slots().filter(|(_, slot)| !slot.disabled);
    used.map(|(_, slot)| slot.name.clone())
}

/// Hears what the MES says and whether it is within reach.
async fn listen_to_mes(
    mut heard: mpsc::Receiver<mqtt::Heard>,
    topics: Topics,
    store: Store,
    outbound: Outbound,
    clock: Clock,
    stop: CancellationToken,
) {
    let patience = u64::try_from((KEEP_ALIVE + SILENCE).as_millis()).unwrap_or(u64::MAX);
    let (mut connected, mut alive) = (false, false);
    let mut look = tokio::time::interval(Duration::from_millis(500));
    loop {
        let mut request = None;
        tokio::select! {
            () = stop.cancelled() => return,
            news = heard.recv() => match news {
                None => return,
                Some(mqtt::Heard::Connecting) => {}
                Some(mqtt::Heard::Connected { .. }) => tracing::info!("broker: connected"),
                Some(mqtt::Heard::Ready { proven }) => {
                    if !proven {
                        tracing::warn!(
                            "the broker did not echo our own status: may {} read and write its status topic? Units may be late",
                            "this user"
                        );
                    }
                    connected = true;
                }
                Some(mqtt::Heard::Disconnected { reason, retry_in }) => {
                    tracing::warn!("broker: {reason}; tried again in {:.1} s, events wait in the outbox", retry_in.as_secs_f64());
                    connected = false;
                }
                Some(mqtt::Heard::Message { topic, payload, at, retained }) => {
                    request = topics.request(&topic, &payload, retained, at);
                }
                Some(mqtt::Heard::Trouble { topic, sentence }) => {
                    tracing::warn!("{sentence}");
                    let about = topic.map_or_else(|| "mqtt".to_owned(), |topic| topic.to_string());
                    request = Some(Request::Trouble { about, sentence: Some(sentence) });
                }
                Some(mqtt::Heard::Files { sentences }) => {
                    for sentence in &sentences {
                        tracing::warn!("{sentence}");
                    }
                    let sentence = (!sentences.is_empty()).then(|| sentences.join("; "));
                    request = Some(Request::Trouble { about: "files of [mqtt]".to_owned(), sentence });
                }
                Some(mqtt::Heard::Recovered { topic }) => {
                    let about = topic.map_or_else(|| "mqtt".to_owned(), |topic| topic.to_string());
                    tracing::info!("{about}: works again");
                    request = Some(Request::Trouble { about, sentence: None });
                }
            },
            _ = look.tick() => {}
        }
        if let Some(request) = request
            && store.requests.send(request).await.is_err()
        {
            return;
        }
        let now = clock.now();
        let last = outbound.last_heard().unwrap_or(now);
        let within_reach = connected && now.tick.saturating_sub(last.tick) <= patience;
        if within_reach != alive {
            alive = within_reach;
            // It was surely there until it was last heard, and surely is from now on.
            let at = if alive { now } else { last };
            if store.requests.send(Request::Mes { alive, at }).await.is_err() {
                return;
            }
        }
    }
}

fn station_rules(config: &Config) -> Vec<StationRule> {
    let source = |from: &UnitFrom| match from {
        UnitFrom::Mes => UnitSource::Mes,
        UnitFrom::Device => UnitSource::Device,
        UnitFrom::Slot(slot) => UnitSource::Slot(slot.clone()),
    };
    let rule = |station: &crate::config::Station| StationRule {
        station: station.id.clone(),
        sources: station.unit_from.iter().map(source).collect(),
        pattern: station.unit_pattern.clone(),
        late: station.late,
    };
    config.stations.iter().map(rule).collect()
}

/// Limits of the outbox, as configured.
#[must_use]
pub fn limits(config: &Config) -> Limits {
    Limits {
        max_bytes: config.outbox.max_bytes,
        when_full: match config.outbox.when_full {
            WhenFull::Hold => crate::outbox::WhenFull::Hold,
            WhenFull::DropOldest => crate::outbox::WhenFull::DropOldest,
        },
        max_age: config.outbox.max_age,
        keep_sent: config.outbox.keep_sent,
        reserve: RESERVE,
        ..Limits::default()
    }
}

/// Topics on which the MES may say which unit is at a station.
fn unit_topics(config: &Config) -> HashMap<String, Arc<str>> {
    let told = config
        .stations
        .iter()
        .filter(|station| station.unit_from.contains(&UnitFrom::Mes));
    told.map(|station| (config.plant.unit_topic(&station.id), station.id.clone()))
        .collect()
}

pub(crate) fn settings(config: &Config) -> mqtt::Settings {
    let from = &config.mqtt;
    let topic = config.plant.gateway_status_topic(&config.gateway.id);
    let mut settings = mqtt::Settings::new(&from.host, from.port, &from.client_id, &topic);
    settings.tls = from.tls.then(|| {
        let (cert_file, key_file) = from.identity.clone().unzip();
        mqtt::Tls {
            ca_file: from.ca_file.clone(),
            cert_file,
            key_file,
        }
    });
    settings.version = match from.version {
        MqttVersion::V5 => mqtt::Version::V5,
        MqttVersion::V311 => mqtt::Version::V311,
    };
    settings.username.clone_from(&from.username);
    settings.password_file.clone_from(&from.password_file);
    settings.inflight = from.inflight;
    settings.require_subscriber = from.require_subscriber;
    settings.keep_alive = KEEP_ALIVE;
    settings.subscriptions = unit_topics(config).into_keys().collect();
    settings.subscriptions.extend(mes::filters(&config.plant));
    settings
}

/// The gateway's status. `since` is when it began to be so; of the last will, which is written ahead, when the session began.
fn gateway_status(state: &str, since: Moment, session: &str, stream: &str, waiting: Option<u64>) -> String {
    let mut status = Map::new();
    status.insert("state".into(), state.into());
    status.insert("since".into(), since.rfc3339().into());
    status.insert("session".into(), session.into());
    status.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    if let Some(waiting) = waiting {
        status.insert("waiting".into(), waiting.into());
    }
    status.insert("stream".into(), stream.into());
    Value::Object(status).to_string()
}

/// `outbox stats`, of a store that is open here.
#[must_use]
pub fn outbox_stats(outbox: &Outbox) -> Value {
    let seen = outbox.stats();
    let tally = |tally: crate::outbox::Tally| json!({"events": tally.events, "bytes": tally.bytes});
    let topics: Map<String, Value> = seen
        .topics
        .iter()
        .map(|topic| {
            let state = &topic.state;
            let oldest = state.oldest.map(Moment::rfc3339);
            let value = json!({
                "next": state.next, "delivered": state.delivered, "waiting": state.waiting, "bytes": state.bytes,
                "oldest": oldest, "sent": tally(topic.sent), "rejected": topic.rejected, "dropped": topic.dropped,
            });
            (state.topic.to_string(), value)
        })
        .collect();
    json!({
        "stream": seen.stream, "format": seen.format, "waiting": tally(seen.waiting), "sent": tally(seen.sent),
        "rejected": tally(seen.rejected), "rejected_by_mes": rejected_by_mes(outbox).tally(), "state_bytes": seen.state_bytes, "disk_bytes": seen.disk_bytes,
        "free_bytes": seen.free_bytes, "max_bytes": seen.max_bytes, "commits": seen.commits, "events": seen.events,
        "sync_last_us": seen.sync_last_us, "sync_max_us": seen.sync_max_us, "sync_total_us": seen.sync_total_us,
        "damaged_records": seen.damaged_records, "rotating": seen.rotating, "rotations": seen.rotations,
        "powered_s": seen.powered_ms / 1_000, "topics": topics,
    })
}

/// What the MES rejected, of a store that is open here.
fn rejected_by_mes(outbox: &Outbox) -> rejections::Rejections {
    rejections::Rejections::restore(outbox).unwrap_or_else(|fault| {
        tracing::error!("what the MES rejected cannot be read: {fault}");
        rejections::Rejections::default()
    })
}

/// Answers questions on a store that no gateway has open, with all that a gateway knows, and closes it again.
pub fn on_the_store(setup: Setup, questions: &[store::Question]) -> Result<Vec<Value>, GatewayError> {
    let clock = Clock::machine();
    let started = clock.now();
    let session = random_id();
    let Setup { config, slots, .. } = setup;
    let (requests, _) = mpsc::channel(1);
    let (changed, version) = watch::channel(0);
    let nobody = Store {
        requests,
        changed: version,
    };
    // Never run: what is to be published is by the gateway's next start.
    let (outbound, _, _) = mqtt::session(settings(&config), nobody, clock.clone())?;
    let slots = Slots::new(&slots, &config.gateway.id, &session, started);
    let (mut committer, _) = open(Opening {
        config,
        slots,
        outbound,
        clock,
        changed,
        session,
        started,
        caught_up: None,
    })?;
    let answers = questions.iter().map(|question| committer.reply(question)).collect();
    let closed = committer.close();
    closed.map_err(|fault| GatewayError::Ended("the store", fault.to_string()))?;
    Ok(answers)
}

/// `quarantine list`, of a store that is open here.
#[must_use]
pub fn quarantine_list(outbox: &Outbox, slot: Option<&str>) -> Value {
    retry::quarantine_list(outbox, slot)
}

/// `outbox list`, of a store that is open here.
#[must_use]
pub fn outbox_list(outbox: &Outbox, topic: Option<&str>, limit: usize) -> Value {
    use crate::outbox::Standing;
    let listed = match outbox.list(topic, limit) {
        Ok(listed) => listed,
        Err(fault) => return json!({ "error": fault.to_string() }),
    };
    let rejections = rejected_by_mes(outbox);
    let by_mes = rejections.reasons();
    let row = |entry: crate::outbox::Listed| {
        let event = entry.event.as_ref();
        let rejected = event.and_then(|event| by_mes.get(event.id.as_str()));
        let (standing, reason, by) = match (&entry.standing, rejected) {
            (Standing::Waiting | Standing::Sent, Some(rejected)) => {
                ("rejected", Some(rejected.reason.clone()), Some("mes"))
            }
            (Standing::Waiting, None) => ("waiting", None, None),
            (Standing::Sent, None) => ("sent", None, None),
            (Standing::Rejected(reason), _) => ("rejected", Some(reason.clone()), Some("broker")),
            (Standing::Damaged, _) => ("damaged", None, None),
        };
        json!({
            "topic": *entry.topic, "sequence": entry.sequence, "standing": standing, "reason": reason, "by": by,
            "id": event.map(|event| &event.id), "stored": event.map(|event| event.stored_at.rfc3339()),
            "event": event.and_then(|event| serde_json::from_slice::<Value>(&event.body).ok()),
        })
    };
    listed.into_iter().map(row).collect()
}

fn make_state_dir(path: &Path) -> Result<(), GatewayError> {
    use std::os::unix::fs::DirBuilderExt;
    let fault = |source| GatewayError::StateDir {
        path: path.to_owned(),
        source,
    };
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fault)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(path).map_err(fault)
}

fn random_id() -> String {
    let mut rng = rand::rng();
    (0..12)
        .map(|_| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[rng.random_range(0..32)]))
        .collect()
}

#[cfg(test)]
mod tests;
