//! The last raw exchanges of every slot, for support: kept in memory while the gateway runs, on disk when a device goes.
//!
//! Owns the tasks that listen to links and the files below `state_dir/recent`. What of the exchanges is kept is
//! [`crate::record::ring`]'s.
//!
//! `recent/<station>.<slot>.jsonl` is of the last run that ended in good order, `<station>.<slot>.before.jsonl` of the device
//! that filled the slot before. Both are records (docs/record-format.md), readable by their owner only.

use crate::clock::Clock;
use crate::device::tap::Exchanges;
use crate::model::SlotName;
use crate::model::name::check_id;
use crate::model::plan::{Link, SlotPlan, Trigger};
use crate::profile::Profile;
use crate::record::ring::{Repeats, Ring};
use crate::record::{Header, Line, Through, VERSION, What, without_secrets};
use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes of record text that are kept of one slot.
const KEPT: usize = 1 << 20;
/// Bytes of a first line at most.
const LONGEST_HEADER: u64 = 64 << 10;
/// How long what a link said last is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The file with the last exchanges of `slot`; `before`: with the device that filled it before.
#[must_use]
pub fn file(state_dir: &Path, slot: &str, before: bool) -> PathBuf {
    let end = if before { ".before.jsonl" } else { ".jsonl" };
    state_dir.join("recent").join(format!("{slot}{end}"))
}

/// What the record of a slot begins with.
pub(super) fn header(plan: &SlotPlan, profile: Option<&Profile>, clock: &Clock) -> Header {
    let identity = profile.map(Profile::identity);
    let text = |of: Option<&String>| of.cloned().unwrap_or_default();
    Header {
        lineside_record: VERSION,
        protocol: profile.map_or_else(String::new, |profile| profile.protocol().to_owned()),
        profile: format!("{}.toml", plan.slot),
        digest: text(identity.map(|identity| &identity.digest)),
        vendor: text(identity.map(|identity| &identity.vendor)),
        model: text(identity.map(|identity| &identity.model)),
        slot: Some(plan.slot.to_string()),
        address: without_secrets(plan.link.address()),
        through: Through::Gateway,
        started: clock.now().rfc3339(),
    }
}

/// Which repeats of a device of `plan` say nothing new.
fn repeats(plan: &SlotPlan) -> Repeats {
    let said = |trigger: &Trigger| matches!(trigger, Trigger::Said(_));
    match plan.link {
        Link::OpenProtocol(_) => Repeats::SignsOfLife,
        Link::Framed(_) if !plan.events.iter().any(|event| event.triggers.iter().any(said)) => Repeats::Turns,
        _ => Repeats::Answers,
    }
}

/// One slot whose link is listened to.
#[derive(Debug, Clone)]
struct Attached {
    ring: Arc<Mutex<Ring>>,
    /// It is to end, once it has taken what was said until then.
    end: CancellationToken,
    ended: CancellationToken,
}

/// A listener that is yet to be started.
#[derive(Debug)]
struct Listener {
    slot: String,
    of: Attached,
    server: Option<u8>,
    exchanges: Exchanges,
    clock: Clock,
    guard: DropGuard,
}

#[derive(Debug)]
struct Shared {
    state_dir: PathBuf,
    clock: Clock,
    slots: Mutex<HashMap<String, Attached>>,
    new: Mutex<Vec<Listener>>,
    news: Notify,
}

/// The last exchanges of all slots. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Recent(Arc<Shared>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked with it left lines that are each whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recent {
    pub(super) fn new(state_dir: &Path, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            state_dir: state_dir.to_owned(),
            clock,
            slots: Mutex::default(),
            new: Mutex::default(),
            news: Notify::new(),
        }))
    }

    /// Keeps from now on what is exchanged with the device of `plan`. What was kept of the slot before is forgotten, unless it was
    /// given to [`Self::keep`].
    pub(super) fn attach(&self, plan: &SlotPlan, profile: Option<&Profile>, exchanges: Exchanges) {
        let header = header(plan, profile, &self.0.clock);
        let attached = Attached {
            ring: Arc::new(Mutex::new(Ring::new(header, KEPT, repeats(plan)))),
            end: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        lock(&self.0.new).push(Listener {
            slot: plan.slot.to_string(),
            guard: attached.ended.clone().drop_guard(),
            of: attached.clone(),
            server: plan.link.modbus().map(|link| link.server_id),
            exchanges,
            clock: self.0.clock.clone(),
        });
        if let Some(former) = lock(&self.0.slots).insert(plan.slot.to_string(), attached) {
            former.end.cancel();
        }
        self.0.news.notify_one();
    }

    /// What was written last is of another device, that was replaced while no gateway ran: it is the one before. Blocking.
    fn another_was_before(&self, slot: &str, digest: &str) {
        let last = file(&self.0.state_dir, slot, false);
        let begin = std::fs::File::open(&last).map(|file| {
            let mut line = String::new();
            let read = std::io::BufReader::new(file.take(LONGEST_HEADER)).read_line(&mut line);
            read.map(|_| line)
        });
        let Ok(Ok(line)) = begin else { return };
        let of = serde_json::from_str::<Header>(&line).map(|header| header.digest);
        if of.is_ok_and(|of| of != digest)
            && let Err(fault) = std::fs::rename(&last, file(&self.0.state_dir, slot, true))
        {
            tracing::warn!("{}: {fault}", last.display());
        }
    }

    /// The link of the slot has ended, and another device comes, or none: what was said is written to the file of the device
    /// before. Nothing where nothing was said.
    pub(super) async fn keep(&self, slot: &SlotName) {
        let Some(attached) = lock(&self.0.slots).remove(&slot.to_string()) else {
            return;
        };
        attached.end.cancel();
        if tokio::time::timeout(LAST_WORDS, attached.ended.cancelled())
            .await
            .is_err()
        {
            tracing::debug!("{slot}: the last exchanges were not all taken in time");
        }
        let path = file(&self.0.state_dir, &slot.to_string(), true);
        put(path, attached.ring).await;
    }

    /// The whole record of the last exchanges, as text; `None`: none are kept. Blocking where `before`, which is read from its file.
    pub(super) fn text(&self, slot: &str, before: bool) -> Option<String> {
        if before {
            let (station, name) = slot.split_once('.')?;
            // It comes from outside, and becomes part of a path.
            check_id(station).ok().zip(check_id(name).ok())?;
            return std::fs::read_to_string(file(&self.0.state_dir, slot, true)).ok();
        }
        let ring = lock(&self.0.slots).get(slot)?.ring.clone();
        let ring = lock(&ring);
        Some(ring.text())
    }

    fn start(&self, listeners: &mut JoinSet<()>, stop: &CancellationToken) {
        for listener in lock(&self.0.new).drain(..) {
            listeners.spawn(listener.run(self.clone(), stop.clone()));
        }
    }

    /// Listens until `stop`, then writes everything down.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut listeners = JoinSet::new();
        loop {
            let news = self.0.news.notified();
            self.start(&mut listeners, &stop);
            tokio::select! {
                () = stop.cancelled() => break,
                () = news => {}
                Some(ended) = listeners.join_next() => if let Err(fault) = ended {
                    tracing::error!("the last exchanges of a slot are not kept any more: {fault}");
                }
            }
        }
        self.start(&mut listeners, &stop);
        while listeners.join_next().await.is_some() {}
        let slots: Vec<(String, Attached)> = lock(&self.0.slots).drain().collect();
        for (slot, attached) in slots {
            put(file(&self.0.state_dir, &slot, false), attached.ring).await;
        }
    }
}

impl Listener {
    async fn run(mut self, recent: Recent, stop: CancellationToken) {
        let _ended = self.guard;
        let begun = self.clock.now().tick;
        let (slot, digest) = (self.slot.clone(), lock(&self.of.ring).header().digest.clone());
        let looked = tokio::task::spawn_blocking(move || recent.another_was_before(&slot, &digest)).await;
        if let Err(fault) = looked {
            tracing::error!("{fault}");
        }
        let slot = self.slot;
        loop {
            let what = tokio::select! {
                biased;
                what = self.exchanges.recv() => what,
                () = stop.cancelled() => return,
                () = self.of.end.cancelled() => return,
            };
            let what = match what {
                Ok(what) if !what.concerns(&slot, self.server) => continue,
                Ok(what) => what,
                Err(broadcast::error::RecvError::Lagged(missed)) => What::Missed(missed),
                Err(broadcast::error::RecvError::Closed) => return,
            };
            let now = self.clock.now();
            lock(&self.of.ring).push(Line {
                ms: now.tick.saturating_sub(begun),
                wall: now.wall,
                what,
                same: 0,
            });
        }
    }
}

/// Writes what was kept, off the async workers. A fault is told, and stops nothing.
async fn put(path: PathBuf, ring: Arc<Mutex<Ring>>) {
    let written = tokio::task::spawn_blocking(move || {
        let text = {
            let ring = lock(&ring);
            if ring.is_empty() {
                return;
            }
            ring.text()
        };
        if let Err(fault) = write(&path, &text) {
            tracing::warn!("the last exchanges cannot be kept in {}: {fault}", path.display());
        }
    });
    if let Err(fault) = written.await {
        tracing::warn!("the last exchanges cannot be kept: {fault}");
    }
}

/// All of it or nothing of it. It is not made durable: nobody waits for it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let beside = path.with_extension("new");
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests;
