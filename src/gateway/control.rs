//! The control socket: commands beside a running gateway talk to it here. One JSON line asks, one answers; a record is
//! answered by lines until who asked goes away.
//!
//! Owns the socket file and its mode (0660: its group may use it). What is answered comes from the store's thread or, of
//! devices, from the links that run ([`Ends`]).

use super::recent::Recent;
use super::setup::SlotSetup;
use super::store::{Question, Store};
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::device::tap::{Probe, Service, service};
use crate::model::plan::SlotPlan;
use crate::model::{Raw, SlotName};
use crate::record;
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A question may be this long, in bytes.
const LONGEST_QUESTION: u64 = 64 << 10;
/// Bytes of a path that a socket address holds on every Unix.
const LONGEST_ADDRESS: usize = 100;
/// A command that says nothing for this long is turned away.
const PATIENCE: Duration = Duration::from_secs(5);
/// A device may take this long to say what its points are: several requests, each with its time-out.
const DEVICE: Duration = Duration::from_secs(30);
/// Commands at one time.
const COMMANDS: usize = 16;

/// Where the socket of a state directory is.
#[must_use]
pub fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// The same socket by a path that fits a socket address (108 bytes on Linux), however deep the state directory lies.
/// The path is good as long as the directory that comes with it is open.
fn address(state_dir: &Path) -> std::io::Result<(Option<std::fs::File>, PathBuf)> {
    let path = socket(state_dir);
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return Ok((None, path));
    }
    let dir = std::fs::File::open(state_dir)?;
    let path = socket(Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())));
    Ok((Some(dir), path))
}

/// Why the control socket does not work.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be made.
    #[error("cannot listen on {path}: {source}")]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The gateway answered that it cannot; in a sentence.
    #[error("{0}")]
    Refused(String),
    /// The gateway did not answer.
    #[error("the gateway behind {path} does not answer: {reason}")]
    Silent {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Makes the socket. The store's lock is held by now, so a socket file that is there is a dead gateway's.
pub(super) fn listen(state_dir: &Path) -> Result<UnixListener, ControlError> {
    let path = socket(state_dir);
    let fault = |source| ControlError::Listen {
        path: path.clone(),
        source,
    };
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(fault(source)),
        _ => {}
    }
    let (_dir, address) = address(state_dir).map_err(fault)?;
    let listener = UnixListener::bind(address).map_err(fault)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660)).map_err(fault)?;
    Ok(listener)
}

/// What a command asks of the links.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum LinkQuestion {
    /// Which slots have a link here: [`Linked`] by slot.
    Links,
    /// What the points of a slot say now: a [`Looked`].
    Probe {
        /// `station.slot`.
        slot: String,
        /// Also what reading clears.
        clears: bool,
    },
    /// Every exchange with the device of a slot from now on: a [`Linked`], then lines of a record.
    Record {
        /// `station.slot`.
        slot: String,
    },
    /// The last exchanges of a slot: the text of a record.
    Recent {
        /// `station.slot`.
        slot: String,
        /// Those of the device that filled it before.
        #[serde(default)]
        before: bool,
    },
}

/// A slot that the gateway has a link for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Linked {
    /// `station.slot`.
    pub slot: String,
    /// Digest of the profile that the gateway runs.
    pub digest: String,
    /// Where the device is.
    pub address: String,
}

/// What the points of a slot said.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Looked {
    /// Digest of the profile that the gateway runs.
    pub digest: String,
    /// Wall milliseconds of the last answer.
    pub wall: i64,
    /// Points of that profile.
    pub points: Vec<LookedPoint>,
    /// What the device refused, each in a sentence.
    pub faults: Vec<String>,
}

/// One point that was read.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LookedPoint {
    /// Its name in the profile.
    pub name: String,
    /// Its raw value.
    pub raw: Option<Raw>,
    /// Its registers in hex.
    pub words: String,
}

/// The commands' ends of the links that run, by slot. A handle: links come and go while commands ask.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    by_slot: Arc<Mutex<HashMap<String, End>>>,
    clock: Clock,
    recent: Recent,
}

#[derive(Debug, Clone)]
struct End {
    probe: Probe,
    plan: Arc<SlotPlan>,
    digest: String,
}

impl Ends {
    pub(super) fn new(clock: Clock, recent: Recent) -> Self {
        Self {
            by_slot: Arc::default(),
            clock,
            recent,
        }
    }

    /// Nobody panics while it is held.
    fn all(&self) -> MutexGuard<'_, HashMap<String, End>> {
        self.by_slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one end for the slots of a link; the other one is the link's.
    pub(super) fn add(&self, link: &[SlotStart], setups: &[SlotSetup]) -> Service {
        let (probe, service) = service();
        let mut ends = self.all();
        for start in link {
            let slot = &start.plan.slot;
            let profile = setups
                .iter()
                .find(|setup| setup.contract.slot == *slot)
                .and_then(|setup| setup.profile.as_ref());
            self.recent
                .attach(&start.plan, profile.map(|profile| &**profile), probe.exchanges());
            let end = End {
                probe: probe.clone(),
                plan: start.plan.clone(),
                digest: profile
                    .map(|profile| profile.identity().digest.clone())
                    .unwrap_or_default(),
            };
            ends.insert(slot.to_string(), end);
        }
        service
    }

    /// The link of a slot has ended.
    pub(super) fn remove(&self, slot: &SlotName) {
        self.all().remove(&slot.to_string());
    }

    /// What was exchanged last with the device of a slot that is replaced is kept.
    pub(super) async fn keep(&self, slot: &SlotName) {
        self.recent.keep(slot).await;
    }

    fn linked(&self) -> Vec<Linked> {
        self.all().values().map(End::linked).collect()
    }

    fn end(&self, slot: &str) -> Result<End, String> {
        let ends = self.all();
        ends.get(slot).cloned().ok_or_else(|| {
            let mut known: Vec<&str> = ends.keys().map(String::as_str).collect();
            known.sort_unstable();
            format!(
                "the gateway has no link for `{slot}`; it has {}",
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            )
        })
    }
}

impl End {
    fn linked(&self) -> Linked {
        Linked {
            slot: self.plan.slot.to_string(),
            digest: self.digest.clone(),
            address: record::without_secrets(self.plan.link.address()),
        }
    }

    async fn look(&self, clears: bool) -> Result<Looked, String> {
        let slot: &SlotName = &self.plan.slot;
        let reading = tokio::time::timeout(DEVICE, self.probe.look(slot, clears))
            .await
            .map_err(|_| format!("the device of `{slot}` did not say its points within {DEVICE:?}"))??;
        let point = |((point, raw), words): ((&crate::model::plan::PointPlan, Option<Raw>), String)| LookedPoint {
            name: point.name.to_string(),
            raw,
            words,
        };
        Ok(Looked {
            digest: self.digest.clone(),
            wall: reading.at.wall,
            points: self
                .plan
                .points
                .iter()
                .zip(reading.values)
                .zip(reading.words)
                .map(point)
                .collect(),
            faults: reading.faults,
        })
    }

    /// Passes exchanges on as lines of a record until who asked goes away.
    async fn record(&self, clock: &Clock, reader: OwnedReadHalf, writer: &mut OwnedWriteHalf) -> std::io::Result<()> {
        let mut exchanges = self.probe.exchanges();
        let (slot, server) = (
            self.plan.slot.to_string(),
            self.plan.link.modbus().map(|link| link.server_id),
        );
        let begun = clock.now();
        say(writer, &serde_json::json!({ "ok": self.linked() })).await?;
        // Who records says nothing more; the end of what it says is that it went away.
        let mut reader = reader.take(1);
        let mut nothing = [0; 1];
        loop {
            let what = tokio::select! {
                _ = reader.read(&mut nothing) => return Ok(()),
                exchange = exchanges.recv() => match exchange {
                    Ok(what) if !what.concerns(&slot, server) => continue,
                    Ok(what) => what,
                    Err(broadcast::error::RecvError::Lagged(missed)) => record::What::Missed(missed),
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
            };
            let now = clock.now();
            let told = record::Line {
                ms: now.tick.saturating_sub(begun.tick),
                wall: now.wall,
                what,
                same: 0,
            };
            writer.write_all(format!("{}\n", told.encode()).as_bytes()).await?;
        }
    }
}

async fn say(writer: &mut OwnedWriteHalf, answer: &serde_json::Value) -> std::io::Result<()> {
    writer.write_all(format!("{answer}\n").as_bytes()).await
}

/// Why there are no last exchanges.
#[must_use]
pub fn nothing_kept(slot: &str, before: bool) -> String {
    if before {
        format!("no device filled `{slot}` before, as far as this gateway knows: nothing of one is kept")
    } else {
        format!("nothing is kept of `{slot}`: it has no device, or the gateway has not run since it has one")
    }
}

/// Answers commands until `stop`.
pub(super) async fn serve(listener: UnixListener, store: Store, links: Ends, stop: CancellationToken) {
    let mut commands = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = commands.join_next() => continue,
            accepted = listener.accept(), if commands.len() < COMMANDS => accepted,
        };
        match stream {
            Ok((stream, _)) => {
                let (store, links) = (store.clone(), links.clone());
                commands.spawn(async move {
                    if answer(stream, &store, &links).await.is_err() {
                        tracing::debug!("a command on the control socket went away unanswered");
                    }
                });
            }
            Err(fault) => {
                tracing::warn!("control socket: {fault}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, store: &Store, links: &Ends) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(LONGEST_QUESTION));
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await??;
    let told = |outcome: Result<serde_json::Value, String>| match outcome {
        Ok(answer) => serde_json::json!({ "ok": answer }),
        Err(reason) => serde_json::json!({ "error": reason }),
    };
    let answer = match serde_json::from_str::<LinkQuestion>(&line) {
        Ok(LinkQuestion::Links) => told(Ok(serde_json::json!(links.linked()))),
        Ok(LinkQuestion::Probe { slot, clears }) => told(match links.end(&slot) {
            Ok(end) => end.look(clears).await.map(|looked| serde_json::json!(looked)),
            Err(reason) => Err(reason),
        }),
        Ok(LinkQuestion::Record { slot }) => match links.end(&slot) {
            Ok(end) => {
                let rest = reader.into_inner().into_inner();
                return end.record(&links.clock, rest, &mut writer).await;
            }
            Err(reason) => told(Err(reason)),
        },
        Ok(LinkQuestion::Recent { slot, before }) => {
            let (recent, of) = (links.recent.clone(), slot.clone());
            let text = tokio::task::spawn_blocking(move || recent.text(&of, before)).await;
            told(match text {
                Ok(Some(text)) => Ok(serde_json::json!(text)),
                _ => Err(nothing_kept(&slot, before)),
            })
        }
        Err(_) => told(match serde_json::from_str::<Question>(&line) {
            Ok(question) => tokio::time::timeout(PATIENCE, store.ask(question))
                .await
                .ok()
                .flatten()
                .ok_or_else(|| "the gateway is stopping".to_owned()),
            Err(fault) => Err(format!("not understood: {fault}")),
        }),
    };
    say(&mut writer, &answer).await?;
    writer.shutdown().await
}

/// Asks the gateway that runs on `state_dir`; `None` where none runs there.
///
/// Blocking, for commands.
pub fn ask(state_dir: &Path, question: &Question) -> Result<Option<serde_json::Value>, ControlError> {
    put(state_dir, question, PATIENCE * 2)
}

/// Asks the links of the gateway that runs on `state_dir`; `None` where none runs there.
///
/// Blocking, for commands.
pub fn ask_link(state_dir: &Path, question: &LinkQuestion) -> Result<Option<serde_json::Value>, ControlError> {
    put(state_dir, question, DEVICE * 2)
}

fn connect(state_dir: &Path) -> Option<std::os::unix::net::UnixStream> {
    let connected = address(state_dir).and_then(|(_dir, address)| std::os::unix::net::UnixStream::connect(address));
    connected.ok()
}

fn put(
    state_dir: &Path,
    question: &impl serde::Serialize,
    patience: Duration,
) -> Result<Option<serde_json::Value>, ControlError> {
    use std::io::{BufRead, Write};
    let Some(mut stream) = connect(state_dir) else {
        return Ok(None);
    };
    let mut exchange = || -> std::io::Result<String> {
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(format!("{}\n", serde_json::to_string(question)?).as_bytes())?;
        let mut line = String::new();
        std::io::BufReader::new(&stream).read_line(&mut line)?;
        Ok(line)
    };
    let line = exchange().map_err(|fault| silent(state_dir, fault.to_string()))?;
    unwrapped(state_dir, &line).map(Some)
}

fn silent(state_dir: &Path, reason: String) -> ControlError {
    ControlError::Silent {
        path: socket(state_dir),
        reason,
    }
}

/// What stands in an answer.
fn unwrapped(state_dir: &Path, line: &str) -> Result<serde_json::Value, ControlError> {
    let mut answer: serde_json::Value =
        serde_json::from_str(line).map_err(|fault| silent(state_dir, fault.to_string()))?;
    match answer.get_mut("ok").map(serde_json::Value::take) {
        Some(answer) => Ok(answer),
        None => Err(ControlError::Refused(
            answer["error"]
                .as_str()
                .unwrap_or("the gateway gave no reason")
                .to_owned(),
        )),
    }
}

/// The exchanges of a slot, from the gateway that runs on `state_dir`: each line goes to `take` until that says `false`
/// or the gateway ends. `None` where none runs there.
///
/// Blocking, for commands.
pub fn record(
    state_dir: &Path,
    slot: &str,
    mut take: impl FnMut(&str) -> bool,
) -> Result<Option<Linked>, ControlError> {
    use std::io::{BufRead, Write};
    let Some(mut stream) = connect(state_dir) else {
        return Ok(None);
    };
    let question = LinkQuestion::Record { slot: slot.to_owned() };
    let failed = |fault: std::io::Error| silent(state_dir, fault.to_string());
    let text = serde_json::to_string(&question).map_err(|fault| silent(state_dir, fault.to_string()))?;
    stream.write_all(format!("{text}\n").as_bytes()).map_err(failed)?;
    let mut reader = std::io::BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).map_err(failed)?;
    let linked = serde_json::from_value(unwrapped(state_dir, &line)?);
    let linked = linked.map_err(|fault| silent(state_dir, fault.to_string()))?;
    loop {
        line.clear();
        let length = reader.read_line(&mut line).map_err(failed)?;
        if length == 0 || !take(line.trim_end()) {
            return Ok(Some(linked));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_found_however_deep_its_directory_lies() {
        let dir = tempfile::tempdir().unwrap();
        for depth in [1, 12] {
            let deep = dir.path().join("a-long-name-of-a-folder/".repeat(depth));
            std::fs::create_dir_all(&deep).unwrap();
            let listener = listen(&deep).unwrap();
            let mode = std::fs::metadata(socket(&deep)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o660);
            let answering = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                // Who closes before the question is read breaks the pipe of who asks.
                let mut question = [0; 1024];
                assert!(stream.read(&mut question).await.unwrap() > 0);
                stream.write_all(b"{\"ok\": 7}\n").await.unwrap();
            };
            let asked = deep.clone();
            let asking = tokio::task::spawn_blocking(move || ask(&asked, &Question::OutboxStats));
            let (answer, ()) = tokio::join!(asking, answering);
            assert_eq!(answer.unwrap().unwrap(), Some(7.into()), "{depth} deep");
        }
        assert!(
            ask(&dir.path().join("nowhere"), &Question::OutboxStats)
                .unwrap()
                .is_none()
        );
    }
}
