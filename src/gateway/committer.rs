//! The committer: on the store's own thread, it takes reports in order, decodes, binds, numbers and seals
//! them, makes them durable, and only then answers the device and lets the publisher see them.
//!
//! Owns the outbox, the allocator, the units and the slots' statuses, all on one thread: nothing of it is
//! locked. Group commit puts several reports into one sync and never splits one. While there is no room
//! ([`Full`]) reports wait where they are, so that devices are not acknowledged; requests are still answered.

use super::mes::{self, Mes, Word};
use super::slots::Slots;
use super::store::{Question, Request};
use super::triggers;
use crate::clock::Clock;
use crate::contract::{self, Allocator, KnownIds, Now, Sealing, UnitOf};
use crate::drift::Drift;
use crate::model::event::{GapCause, UnitState};
use crate::model::sample::{Counted, LinkState};
use crate::model::{Commit, DeviceIdentity, Draft, EventType, Moment, Plant, Report, Sample, SlotName, StateChange};
use crate::mqtt::{Outbound, Outcome, Posted, Ready, Settlement};
use crate::outbox::{Entry, Full, Limits, Outbox, OutboxError, TopicState, WhenFull};
use crate::profile::Meaning;
use crate::unit::{Heard, UnitSource, Units};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Reports that go into one commit at most.
const GROUP: usize = 256;
/// Bytes that one report may need in the store, for asking whether there is room before it is numbered.
const ROOM_FOR_ONE: u64 = 8 << 10;
/// Events that are shown to a command at most: the store's thread has other things to do.
const LISTED: usize = 10_000;
/// Bytes of a record beside what is in it, about.
const RECORD: usize = 256;
/// How often housekeeping, statuses and a full outbox are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Records that housekeeping may touch between two looks at the channels.
const TEND: usize = 512;
/// Lazy changes beyond this are worth a commit of their own.
const LAZY: usize = 4_096;
/// Commits that wait for room or for the store, beyond which the gateway's own alarms are only logged.
const OWN_WAITING: usize = 1_024;

/// Why the store's thread ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// A fault inside the store's engine: the process must begin again.
    #[error("the store failed and must be opened anew: {0}")]
    Store(#[from] OutboxError),
    /// What was read back is not what was written.
    #[error("the store was lost while the gateway ran: {0}")]
    Lost(String),
}

/// Everything that lives on the store's thread.
pub(super) struct Committer {
    /// `None` between a failure and the next opening.
    pub(super) outbox: Option<Outbox>,
    pub(super) state_dir: PathBuf,
    pub(super) limits: Limits,
    pub(super) allocator: Allocator,
    pub(super) units: Units,
    pub(super) drift: Drift,
    pub(super) slots: Slots,
    pub(super) plant: Plant,
    pub(super) outbound: Outbound,
    pub(super) clock: Clock,
    pub(super) changed: watch::Sender<u64>,
    pub(super) gateway: GatewayStatus,
    pub(super) pending: VecDeque<Report>,
    pub(super) full: Option<Full>,
    /// Commits that the store did not take: written again, unchanged, before anything else.
    pub(super) unsynced: Option<Unsynced>,
    /// What became of events while the store could not take note of it.
    pub(super) unsettled: Vec<Settlement>,
    /// Topics with numbers that cannot be read, behind events that are not settled yet.
    pub(super) holes: HashSet<Arc<str>>,
    /// Statuses of slots that were configured away, until the broker has them: key in the store and topic.
    pub(super) gone: Vec<(Vec<u8>, String)>,
    /// The store knows of a loss that has not been told.
    pub(super) loss: bool,
    pub(super) forgettable: HashSet<Arc<str>>,
    /// Changes that need no sync of their own: they go with the next commit.
    pub(super) lazy: Vec<StateChange>,
    /// Housekeeping has more to do.
    pub(super) busy: bool,
    /// What the MES said of events, and what may be tried again.
    pub(super) mes: Mes,
    /// Found where it could not be returned: ends the thread at the next look.
    pub(super) broken: Option<CommitError>,
}

/// What the gateway's own status says.
#[derive(Debug, Clone)]
pub(super) struct GatewayStatus {
    pub(super) topic: String,
    pub(super) session: String,
    pub(super) stream: String,
    pub(super) since: Moment,
    pub(super) published: Option<Vec<u8>>,
    pub(super) troubles: HashMap<String, String>,
}

/// Commits on their way to the disk, and what is done when they are there.
#[derive(Debug, Default)]
pub(super) struct Batch {
    commits: Vec<Commit>,
    answers: Vec<oneshot::Sender<()>>,
    latest: Vec<(SlotName, Arc<str>, Vec<u8>)>,
}

impl Batch {
    /// One commit of the gateway's own.
    pub(super) fn of(commit: Commit) -> Self {
        Self {
            commits: vec![commit],
            ..Self::default()
        }
    }
}

/// A batch that waits.
#[derive(Debug)]
pub(super) struct Unsynced {
    batch: Batch,
    /// The store failed, and is opened anew first; else it had no room, and goes on being drained.
    broken: bool,
}

/// Looks ids up in the store.
pub(super) struct Known<'a>(pub(super) &'a Outbox);

impl KnownIds for Known<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.0.state(key) {
            Ok(found) => found,
            Err(fault) => {
                tracing::error!("looking up an id: {fault}");
                None
            }
        }
    }
}

impl Committer {
    /// Runs until both channels are closed and everything that came is durable.
    pub(super) async fn run(
        mut self,
        mut reports: mpsc::Receiver<Report>,
        mut requests: mpsc::Receiver<Request>,
    ) -> Result<(), CommitError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut reports_open, mut requests_open) = (true, true);
        while reports_open || requests_open {
            if let Some(fault) = self.broken.take() {
                return Err(fault);
            }
            let takes_reports = reports_open && self.pending.len() < GROUP && self.unsynced.is_none();
            if !requests_open && !takes_reports {
                // Everybody has gone, the drivers first, and what they left cannot be taken as usual.
                break;
            }
            tokio::select! {
                request = requests.recv(), if requests_open => match request {
                    Some(request) => self.answer(request),
                    None => requests_open = false,
                },
                report = reports.recv(), if takes_reports => match report {
                    Some(report) => {
                        self.pending.push_back(report);
                        while self.pending.len() < GROUP && let Ok(report) = reports.try_recv() {
                            self.pending.push_back(report);
                        }
                        // A unit that was named before this was seen has to be known when it is bound.
                        for _ in 0..requests.len() {
                            if let Ok(request) = requests.try_recv() {
                                self.answer(request);
                            }
                        }
                        self.commit_pending()?;
                    }
                    None => reports_open = false,
                },
                _ = tick.tick() => self.tend()?,
                // Housekeeping goes on in small steps, but never before what devices and the publisher want.
                () = std::future::ready(()), if self.busy && requests.is_empty() && reports.is_empty() => self.housekeep()?,
            }
        }
        self.finish(&mut reports)
    }

    /// The last commits. What finds no room, or a store that does not work, was never acknowledged to its device.
    fn finish(&mut self, reports: &mut mpsc::Receiver<Report>) -> Result<(), CommitError> {
        loop {
            let left = self.pending.len() + reports.len();
            while self.pending.len() < GROUP
                && let Ok(report) = reports.try_recv()
            {
                self.pending.push_back(report);
            }
            self.retry_unsynced()?;
            self.commit_pending()?;
            let now = self.pending.len() + reports.len();
            if now == 0 || now >= left || self.unsynced.is_some() {
                break;
            }
        }
        let left = self.pending.len() + reports.len();
        if left > 0 || self.unsynced.is_some() {
            tracing::error!(
                "stopped with {left} reports and {} commits that found no place on the disk; none of them was acknowledged",
                self.unsynced
                    .as_ref()
                    .map_or(0, |unsynced| unsynced.batch.commits.len())
            );
        }
        if self.unsynced.as_ref().is_some_and(|unsynced| unsynced.broken) {
            return Ok(());
        }
        self.keep_all_drift();
        if self.unsynced.is_none() && !self.lazy.is_empty() {
            let state = std::mem::take(&mut self.lazy);
            self.write(Batch::of(Commit {
                state,
                ..Commit::default()
            }))?;
        }
        if let Some(outbox) = self.outbox.take()
            && let Err(fault) = outbox.close()
        {
            tracing::error!("closing the store: {fault}; what was acknowledged is on disk");
        }
        Ok(())
    }

    /// Writes what is left, and closes the store: for commands.
    pub(super) fn close(mut self) -> Result<(), CommitError> {
        let (_, mut nothing) = mpsc::channel(1);
        self.finish(&mut nothing)
    }

    /// Housekeeping: a store that failed, a full outbox, statuses, ids to forget, the outbox's own.
    fn tend(&mut self) -> Result<(), CommitError> {
        if let Some(by) = self.clock.take_step() {
            tracing::warn!("the wall clock stepped by {by} ms; intervals are not touched, times from now on follow it");
            self.units.clock_stepped(by);
            self.drift.clock_stepped(by);
        }
        self.retry_unsynced()?;
        self.settle_late();
        if let Some(outbox) = &mut self.outbox
            && self.loss
            && self.unsynced.is_none()
            && outbox.loss_told().is_ok()
        {
            self.loss = false;
        }
        self.commit_pending()?;
        self.has_room_again()?;
        self.clear_gone();
        self.forget();
        self.prune_mes();
        self.keep_drift();
        if self.unsynced.is_none() {
            self.commit_units()?;
            self.housekeep()?;
        }
        self.publish_statuses();
        Ok(())
    }

    /// A step of the outbox's own housekeeping.
    fn housekeep(&mut self) -> Result<(), CommitError> {
        let Some(outbox) = &mut self.outbox else { return Ok(()) };
        match outbox.tend(TEND) {
            Ok(more) => {
                self.busy = self.look_up_responses() || more;
                Ok(())
            }
            Err(fault) => self.failed(fault, Batch::default()),
        }
    }

    /// Takes what is pending, as far as there is room, and makes it durable.
    fn commit_pending(&mut self) -> Result<(), CommitError> {
        while !self.pending.is_empty() && self.unsynced.is_none() {
            let fits = self.how_many_fit()?;
            if fits == 0 || self.unsynced.is_some() {
                return Ok(());
            }
            let mut batch = Batch::default();
            let units = self.units.take_changes();
            if !units.is_empty() {
                batch.commits.push(Commit {
                    events: Vec::new(),
                    state: units,
                });
            }
            for _ in 0..fits {
                let Some(report) = self.pending.pop_front() else { break };
                self.take(report, &mut batch);
            }
            self.write(batch)?;
        }
        Ok(())
    }

    /// For how many of the pending reports there surely is room; drops the oldest events where that is the rule.
    fn how_many_fit(&mut self) -> Result<usize, CommitError> {
        let drops = self.limits.when_full == WhenFull::DropOldest;
        let one_fits = |outbox: &Option<Outbox>| outbox.as_ref().map(|outbox| outbox.has_room(ROOM_FOR_ONE));
        let Some(mut room) = one_fits(&self.outbox) else {
            return Ok(0);
        };
        if drops && (room.is_err() || self.limits.max_age.is_some()) {
            if let Some(commit) = self.drop_oldest(ROOM_FOR_ONE)? {
                self.write(Batch::of(commit))?;
            }
            let Some(after) = one_fits(&self.outbox) else {
                return Ok(0);
            };
            room = after;
        }
        match room {
            Ok(()) => self.say_room(),
            Err(full) => {
                self.say_full(full);
                return Ok(0);
            }
        }
        let Some(outbox) = &self.outbox else { return Ok(0) };
        let mut fits = self.pending.len();
        while fits > 1 {
            let bytes = ROOM_FOR_ONE.saturating_mul(u64::try_from(fits).unwrap_or(u64::MAX));
            if outbox.has_room(bytes).is_ok() {
                break;
            }
            fits /= 2;
        }
        Ok(fits)
    }

    /// Drops the oldest events, and those that are too old, until `bytes` more find room. Returns the gaps that tell.
    fn drop_oldest(&mut self, bytes: u64) -> Result<Option<Commit>, CommitError> {
        let Some(outbox) = &mut self.outbox else {
            return Ok(None);
        };
        let dropped = match outbox.make_room_for(bytes) {
            Ok(dropped) => dropped,
            Err(fault) => {
                self.failed(fault, Batch::default())?;
                return Ok(None);
            }
        };
        let mut commit = Commit::default();
        let now = self.clock.now();
        for gone in &dropped {
            tracing::error!(
                "{}: {} events were dropped to make room, a gap tells",
                gone.topic,
                gone.count
            );
            if let Some((slot, kind)) = self.owner(&gone.topic) {
                self.gap(
                    &slot,
                    (GapCause::Dropped, kind),
                    span(gone.from, gone.to, gone.count),
                    now,
                    &mut commit,
                );
            }
        }
        Ok((!commit.is_empty()).then_some(commit))
    }

    /// There is no room: told once, not with every number that changes.
    fn say_full(&mut self, full: Full) {
        let kind = std::mem::discriminant(&full);
        if self.full.as_ref().map(std::mem::discriminant) == Some(kind) {
            return;
        }
        tracing::error!("{full}; devices are not acknowledged until there is room");
        self.full = Some(full);
        self.trouble_everywhere(
            "outbox",
            Some(&format!("{full}; devices are not acknowledged until there is room")),
        );
    }

    fn say_room(&mut self) {
        if self.full.take().is_some() {
            tracing::info!("the outbox has room again: devices are acknowledged again");
            self.trouble_everywhere("outbox", None);
        }
    }

    /// What is too old goes also while devices say nothing; and that there is room again is said then, too.
    fn has_room_again(&mut self) -> Result<(), CommitError> {
        let ages = self.limits.when_full == WhenFull::DropOldest && self.limits.max_age.is_some();
        if self.pending.is_empty() && self.unsynced.is_none() && (ages || self.full.is_some()) {
            self.how_many_fit()?;
        }
        Ok(())
    }

    /// One report into the batch.
    fn take(&mut self, report: Report, batch: &mut Batch) {
        match report {
            Report::Sample(sample) => self.take_sample(*sample, batch),
            Report::State {
                slot,
                event,
                state,
                durable,
            } => {
                batch.commits.push(Commit {
                    events: Vec::new(),
                    state: triggers::changes(&slot, &event, &state),
                });
                batch.answers.extend(durable);
            }
            Report::Link {
                slot,
                state,
                reason,
                at,
            } => {
                log_link(&slot, state, &reason);
                self.units
                    .slot_alive(&slot.station, &slot.slot, state == LinkState::Online, at);
                if let Some(entry) = self.slots.get_mut(&slot) {
                    entry.link(state, reason, at);
                }
                self.publish_statuses();
            }
            Report::Counted { slot, what, number } => self.count(&slot, what, number),
            Report::Barrier(durable) => batch.answers.push(durable),
            Report::Gap {
                slot,
                event,
                after,
                before,
                count,
                at,
            } => {
                let mut commit = Commit::default();
                let kind = self.slots.get_mut(&slot).and_then(|entry| entry.kind_of(event));
                if let Some(kind) = kind {
                    let which = (after, before, count);
                    self.gap(&slot, (GapCause::Missed, kind), which, at, &mut commit);
                    batch.commits.push(commit);
                }
            }
            Report::Alarm {
                slot,
                code,
                active,
                text,
                at,
            } => {
                tracing::warn!("{slot}: {text}");
                let mut commit = Commit::default();
                self.alarm(&slot, code, active, &text, at, &mut commit);
                batch.commits.push(commit);
            }
        }
    }

    fn take_sample(&mut self, mut sample: Sample, batch: &mut Batch) {
        let slot = sample.plan.slot.clone();
        let durable = sample.durable.take();
        let state = sample.state.take();
        let Some(entry) = self.slots.get_mut(&slot) else { return };
        let (contract, profile) = (entry.contract.clone(), entry.profile.clone());
        let meanings = profile
            .map(|profile| profile.drafts(&contract, &sample))
            .unwrap_or_default();
        let mut commit = Commit::default();
        for meaning in meanings {
            match meaning {
                Meaning::Ignored => self.count(&slot, Counted::Ignored, 1),
                Meaning::Passed(draft) => {
                    self.count(&slot, Counted::Ignored, 1);
                    self.pass(&draft, &mut commit);
                }
                Meaning::Draft(draft) => self.seal(&draft, &mut commit, &mut batch.latest),
            }
        }
        self.keep_quarantined(&sample, &mut commit);
        // The unit that an identification named is there after a crash where the identification is.
        commit.state.extend(self.units.take_changes());
        if let (Some(state), Some(event)) = (state, sample.plan.events.get(sample.event)) {
            commit.state.extend(triggers::changes(&slot, &event.name, &state));
        }
        if !commit.is_empty() {
            batch.commits.push(commit);
        }
        batch.answers.extend(durable);
    }

    /// What was turned away was there: only what is missing before it is told.
    fn pass(&mut self, draft: &Draft, commit: &mut Commit) {
        let binding = self.units.bind_at(draft, None);
        let unit = UnitOf {
            fields: binding.to_json(),
            subject: binding.id,
        };
        let now = Now {
            moment: self.clock.now(),
            set: self.clock.is_set(),
        };
        self.allocator.pass(draft, &unit, now, commit);
        if let Some(entry) = self.slots.get_mut(&draft.slot) {
            let gaps = u64::try_from(commit.events.len()).unwrap_or(0);
            entry.counts.gaps = entry.counts.gaps.saturating_add(gaps);
        }
    }

    /// Binds, numbers and seals one draft.
    pub(super) fn seal(&mut self, draft: &Draft, commit: &mut Commit, latest: &mut Vec<(SlotName, Arc<str>, Vec<u8>)>) {
        let Some(outbox) = &self.outbox else { return };
        let slot = draft.slot.clone();
        if draft.kind == EventType::Identification && draft.quarantine.is_empty() {
            let code = draft
                .echo
                .as_ref()
                .map(|echo| echo.value.as_str())
                .or_else(|| draft.data.get("code")?.as_str());
            let heard = code.map(|code| self.units.identified(&slot.station, &slot.slot, code, draft.seen));
            tracing::debug!("{slot}: identified: {heard:?}");
        }
        let happened = self.allocator.happened(draft);
        let binding = self.units.bind_at(draft, happened);
        let unbound = binding.state == UnitState::Unbound;
        let unit = UnitOf {
            fields: binding.to_json(),
            subject: binding.id,
        };
        let now = Now {
            moment: self.clock.now(),
            set: self.clock.is_set(),
        };
        let begun = commit.events.len();
        let sealing = self.allocator.seal(draft, &unit, now, &Known(outbox), commit);
        let gaps = commit
            .events
            .iter()
            .skip(begun)
            .filter(|event| event.kind == EventType::Gap)
            .count();
        let Some(entry) = self.slots.get_mut(&slot) else { return };
        let counts = &mut entry.counts;
        counts.gaps = counts.gaps.saturating_add(u64::try_from(gaps).unwrap_or(0));
        match sealing {
            Sealing::Stored { kind, .. } => {
                counts.events = counts.events.saturating_add(1);
                counts.quarantined = counts
                    .quarantined
                    .saturating_add(u64::from(kind == EventType::Quarantine));
                counts.unbound = counts.unbound.saturating_add(u64::from(unbound));
                self.watch(draft, kind, commit);
            }
            Sealing::Duplicate => {
                counts.add(Counted::Duplicate, 1);
                tracing::debug!("{slot}: the same result again, not sent again");
            }
            Sealing::NoResult => counts.add(Counted::Ignored, 1),
            Sealing::Latest { topic, body } => {
                latest.push((slot, topic, body));
                self.watch(draft, draft.kind, commit);
            }
        }
    }

    /// Makes a batch durable, then answers devices and wakes the publisher. A batch for which there is no room as a
    /// whole goes commit by commit; no commit is ever split.
    pub(super) fn write(&mut self, mut batch: Batch) -> Result<(), CommitError> {
        batch.commits.retain(|commit| !commit.is_empty());
        if !self.lazy.is_empty() && (!batch.commits.is_empty() || self.lazy.len() > LAZY) {
            batch.commits.push(Commit {
                events: Vec::new(),
                state: std::mem::take(&mut self.lazy),
            });
        }
        let mut take = batch.commits.len();
        let mut dropped = false;
        while !batch.commits.is_empty() {
            let Some(outbox) = &mut self.outbox else {
                self.keep(batch, true);
                return Ok(());
            };
            let part = batch.commits.get(..take).unwrap_or(&batch.commits);
            match outbox.append(part) {
                Ok(()) => {
                    let written = batch.commits.drain(..part.len());
                    for event in written.flat_map(|commit| commit.events) {
                        if let Some(entry) = self.slots.get_mut(&event.slot) {
                            entry.gave(event.kind.word(), event.sequence);
                        }
                    }
                    take = batch.commits.len();
                    dropped = false;
                }
                Err(OutboxError::Full(_)) if take > 1 => take /= 2,
                Err(OutboxError::Full(full)) => {
                    let more = match self.limits.when_full {
                        WhenFull::DropOldest if !dropped => self.drop_oldest(size(part))?,
                        _ => None,
                    };
                    dropped = true;
                    // Numbers on the gaps' topics are given in this order.
                    let Some(gaps) = more else {
                        self.say_full(full);
                        self.keep(batch, false);
                        return Ok(());
                    };
                    batch.commits.push(gaps);
                }
                Err(fault) => return self.failed(fault, batch),
            }
        }
        self.done(batch);
        Ok(())
    }

    /// Keeps a batch to be written later, behind what is kept already.
    fn keep(&mut self, batch: Batch, broken: bool) {
        match &mut self.unsynced {
            Some(earlier) => {
                earlier.broken |= broken;
                earlier.batch.commits.extend(batch.commits);
                earlier.batch.answers.extend(batch.answers);
                earlier.batch.latest.extend(batch.latest);
            }
            None => self.unsynced = Some(Unsynced { batch, broken }),
        }
    }

    /// Whether the store is to be opened anew before it is asked anything.
    pub(super) fn is_broken(&self) -> bool {
        self.outbox.is_none() || self.unsynced.as_ref().is_some_and(|unsynced| unsynced.broken)
    }

    /// The store failed: what was to be written is kept and written again once it opens.
    fn failed(&mut self, fault: OutboxError, batch: Batch) -> Result<(), CommitError> {
        if fault.ends_process() || !fault.is_fatal() {
            return Err(fault.into());
        }
        tracing::error!("{fault}; nothing is acknowledged until this is on disk");
        self.trouble_everywhere(
            "store",
            Some(&format!("{fault}; nothing is acknowledged until it works again")),
        );
        self.keep(batch, true);
        Ok(())
    }

    /// After the sync: numbers are known, devices are answered, the publisher is woken.
    fn done(&mut self, batch: Batch) {
        self.allocator.committed();
        for answer in batch.answers {
            if answer.send(()).is_err() {
                tracing::debug!("a driver went away before it could acknowledge; it will after its next start");
            }
        }
        for (slot, topic, body) in batch.latest {
            if self.outbound.publish_latest(&topic, body) != Posted::Queued {
                self.count(&slot, Counted::Superseded, 1);
            }
        }
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// After a failed sync everything since is written again and synced before anything else happens.
    fn retry_unsynced(&mut self) -> Result<(), CommitError> {
        let Some(Unsynced { batch, broken }) = self.unsynced.take() else {
            return Ok(());
        };
        if !broken {
            return self.write(batch);
        }
        let opened = match self.outbox.take() {
            Some(outbox) => outbox.reopen(),
            None => Outbox::open(&self.state_dir, self.limits.clone(), self.clock.clone()),
        };
        match opened {
            Ok((outbox, report)) => {
                if let Some(lost) = report.lost.filter(|_| !self.loss) {
                    return Err(CommitError::Lost(lost.reason));
                }
                self.outbox = Some(outbox);
            }
            Err(fault) if fault.ends_process() => return Err(fault.into()),
            Err(fault) => {
                tracing::warn!("the store does not open yet: {fault}");
                self.keep(batch, true);
                return Ok(());
            }
        }
        self.write(batch)?;
        if !self.is_broken() {
            tracing::info!("the store works again");
            self.trouble_everywhere("store", None);
        }
        Ok(())
    }

    fn commit_units(&mut self) -> Result<(), CommitError> {
        let state = self.units.take_changes();
        if state.is_empty() {
            return Ok(());
        }
        self.write(Batch::of(Commit {
            state,
            ..Commit::default()
        }))
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Unit { station, payload, at } => self.unit(&station, &payload, at),
            Request::Said {
                slot,
                word,
                payload,
                retained,
                at,
            } => match word {
                Word::Response => self.responded(&slot, mes::response(&payload), at),
                Word::Resend => self.asked_again(&slot, mes::resend(&payload), retained, at),
            },
            Request::Mes { alive, at } => self.units.alive(&UnitSource::Mes, alive, at),
            Request::Fetch { request, answer } => {
                let ready = if self.is_broken() {
                    Vec::new()
                } else {
                    self.fetch(&request)
                };
                if answer.send(ready).is_err() {
                    tracing::debug!("the session went away before it got its events");
                }
            }
            Request::Settle { settled, answer } => {
                for settlement in settled {
                    self.settle(settlement);
                }
                if answer.send(()).is_err() {
                    tracing::debug!("the session went away after it settled");
                }
            }
            Request::Trouble { about, sentence } => {
                match &sentence {
                    Some(sentence) => self.gateway.troubles.insert(about.clone(), sentence.clone()),
                    None => self.gateway.troubles.remove(&about),
                };
                if let Some((slot, _)) = self.owner(&about) {
                    let now = self.clock.now();
                    if let Some(entry) = self.slots.get_mut(&slot) {
                        entry.trouble(&about, sentence, now);
                    }
                }
            }
            Request::SlotTrouble { slot, about, sentence } => self.slot_trouble(&slot, about, sentence),
            Request::Install { install, answer } => {
                let states = self.install(*install);
                if answer.send(states).is_err() {
                    tracing::debug!("nobody waits for the states of a slot any more");
                }
            }
            Request::States { slot, answer } => {
                if answer.send(self.states_of(&slot)).is_err() {
                    tracing::debug!("nobody waits for the states of a slot any more");
                }
            }
            Request::Ask { question, answer } => {
                let reply = self.reply(&question);
                if answer.send(reply).is_err() {
                    tracing::debug!("a command went away before it was answered");
                }
            }
        }
    }

    /// The MES said which unit is at a station.
    fn unit(&mut self, station: &str, payload: &[u8], at: Moment) {
        let (sentence, code) = match self.units.mes_said(station, payload, at) {
            Heard::Refused(sentence) => (sentence, "unit_message_refused"),
            Heard::NotAUnit(sentence) => (sentence, "not_a_unit"),
            heard => {
                tracing::debug!("{station}: unit: {heard:?}");
                return;
            }
        };
        tracing::warn!("{station}: {sentence}");
        if !self.may_speak() {
            return;
        }
        let mut commit = Commit::default();
        let slots: Vec<_> = self.slots.at_station(station).cloned().collect();
        for slot in slots {
            self.alarm(&slot, code, true, &sentence, at, &mut commit);
        }
        commit.state.extend(self.units.take_changes());
        self.write_or_log(commit);
    }

    /// Whether there is room for one more word of the gateway's own.
    pub(super) fn may_speak(&self) -> bool {
        let waiting = self
            .unsynced
            .as_ref()
            .map_or(0, |unsynced| unsynced.batch.commits.len());
        self.outbox.is_some() && waiting < OWN_WAITING
    }

    pub(super) fn alarm(
        &mut self,
        slot: &SlotName,
        code: &str,
        active: bool,
        text: &str,
        at: Moment,
        commit: &mut Commit,
    ) {
        let draft = contract::gateway_alarm(slot, code, active, text, at, &self.device_of(slot));
        self.seal(&draft, commit, &mut Vec::new());
    }

    fn gap(
        &mut self,
        slot: &SlotName,
        why: (GapCause, EventType),
        which: (Option<String>, Option<String>, Option<u64>),
        at: Moment,
        commit: &mut Commit,
    ) {
        let draft = contract::gap(slot, why, which, at, &self.device_of(slot));
        self.seal(&draft, commit, &mut Vec::new());
    }

    /// Who fills a slot, for what the gateway itself says about it.
    fn device_of(&mut self, slot: &SlotName) -> Arc<DeviceIdentity> {
        let profile = self.slots.get_mut(slot).and_then(|entry| entry.profile.clone());
        profile.map(|profile| profile.identity().clone()).unwrap_or_default()
    }

    fn fetch(&mut self, request: &crate::mqtt::Fetch) -> Vec<Ready> {
        let Some(outbox) = &self.outbox else { return Vec::new() };
        let mut ready = Vec::new();
        self.fetch_again(request, &mut ready);
        let mut damaged: Vec<(Arc<str>, u64, u64)> = Vec::new();
        let again: usize = ready.iter().map(|ready| ready.body.len()).sum();
        let mut events = request.max_events.saturating_sub(ready.len());
        let mut bytes = request.max_bytes.saturating_sub(again);
        for state in outbox.topics() {
            if state.waiting == 0 || events == 0 || request.skip.contains(&state.topic) {
                continue;
            }
            let after = request.after.get(&state.topic).copied().unwrap_or(0);
            let most = events.min(request.per_topic);
            let read = match outbox.read(&state.topic, after, most, bytes) {
                Ok(read) => read,
                Err(fault) => {
                    tracing::error!("reading {}: {fault}", state.topic);
                    continue;
                }
            };
            for stored in read {
                match stored {
                    Entry::Event(event) => {
                        events = events.saturating_sub(1);
                        bytes = bytes.saturating_sub(event.body.len());
                        ready.push(Ready {
                            topic: state.topic.clone(),
                            sequence: event.sequence,
                            again: false,
                            id: event.id,
                            body: event.body.into(),
                        });
                    }
                    Entry::Damaged { from, to } => damaged.push((state.topic.clone(), from, to)),
                }
            }
            if bytes == 0 {
                break;
            }
        }
        for (topic, from, to) in damaged {
            self.tell_damaged(&topic, from, to);
        }
        ready
    }

    /// A number that is missing at drain is a damaged record: told by a gap once all before it is settled, and passed over.
    fn tell_damaged(&mut self, topic: &Arc<str>, from: u64, to: u64) {
        let Some(outbox) = &mut self.outbox else { return };
        let settled = outbox
            .delivered_on(topic)
            .is_some_and(|delivered| delivered.saturating_add(1) >= from);
        if !settled {
            self.holes.insert(topic.clone());
            return;
        }
        if let Err(fault) = outbox.delivered(topic, to) {
            tracing::error!("{topic}: {fault}");
            return;
        }
        tracing::error!("{topic}: records {from} to {to} are damaged in the store; a gap tells");
        let Some((slot, kind)) = self.owner(topic) else { return };
        let mut commit = Commit::default();
        let count = to.saturating_sub(from).saturating_add(1);
        let now = self.clock.now();
        self.gap(
            &slot,
            (GapCause::Damaged, kind),
            span(from, to, count),
            now,
            &mut commit,
        );
        self.write_or_log(commit);
    }

    /// A commit of the gateway's own, outside of a group.
    pub(super) fn write_or_log(&mut self, commit: Commit) {
        let batch = Batch::of(commit);
        let written = if self.unsynced.is_some() {
            self.keep(batch, false);
            Ok(())
        } else {
            self.write(batch)
        };
        if let Err(fault) = written {
            tracing::error!("{fault}");
            self.broken = Some(fault);
        }
    }

    /// What could not be noted while the store did not work.
    fn settle_late(&mut self) {
        if !self.unsettled.is_empty() && !self.is_broken() {
            for settlement in std::mem::take(&mut self.unsettled) {
                self.settle(settlement);
            }
        }
    }

    /// The last number on a topic that is settled.
    fn delivered_on(&self, topic: &str) -> Option<u64> {
        self.outbox.as_ref()?.delivered_on(topic)
    }

    fn settle(&mut self, settlement: Settlement) {
        if self.is_broken() {
            self.unsettled.push(settlement);
            return;
        }
        if matches!(settlement.outcome, Outcome::Resent | Outcome::NotResent { .. }) {
            return self.sent_again(&settlement);
        }
        // Numbers between the last one that was settled and this one were passed over at drain: they cannot be read.
        if let Some(before) = settlement.sequence.checked_sub(1)
            && let Some(delivered) = self.delivered_on(&settlement.topic)
            && delivered < before
        {
            self.tell_damaged(&settlement.topic, delivered.saturating_add(1), before);
        }
        self.settle_one(settlement.clone());
        if self.holes.remove(&settlement.topic) {
            // Behind it is what cannot be read: the publisher is to ask again.
            self.changed.send_modify(|version| *version = version.wrapping_add(1));
        }
    }

    fn settle_one(&mut self, settlement: Settlement) {
        let Some(outbox) = &mut self.outbox else { return };
        match settlement.outcome {
            Outcome::Delivered => {
                if let Err(fault) = outbox.delivered(&settlement.topic, settlement.sequence) {
                    tracing::error!("{}: {fault}; it will be delivered again", settlement.topic);
                }
                self.forgettable.insert(settlement.topic);
            }
            Outcome::Rejected { reason } => {
                tracing::error!(
                    "{}: event {} was refused for good: {reason}",
                    settlement.topic,
                    settlement.sequence
                );
                if let Err(fault) = outbox.reject(&settlement.topic, settlement.sequence, &reason) {
                    tracing::error!("{}: {fault}; it will be tried again", settlement.topic);
                    return;
                }
                let Some((slot, kind)) = self.owner(&settlement.topic) else {
                    return;
                };
                let now = self.clock.now();
                if let Some(entry) = self.slots.get_mut(&slot) {
                    entry.trouble(
                        "rejected",
                        Some(format!("the broker refused {kind} {}: {reason}", settlement.sequence)),
                        now,
                    );
                }
                // A gap that is refused itself must not beget another one.
                if kind == EventType::Gap {
                    return;
                }
                let mut commit = Commit::default();
                let sequence = settlement.sequence;
                self.gap(
                    &slot,
                    (GapCause::Rejected, kind),
                    span(sequence, sequence, 1),
                    now,
                    &mut commit,
                );
                self.write_or_log(commit);
            }
            Outcome::Resent | Outcome::NotResent { .. } => {}
        }
    }

    /// A slot that is configured away is forgotten once the broker has its empty status.
    fn clear_gone(&mut self) {
        let outbound = &self.outbound;
        let lazy = &mut self.lazy;
        self.gone.retain(|(key, topic)| {
            let waits = outbound.has_retained(topic);
            if !waits {
                lazy.push(StateChange {
                    key: key.clone(),
                    value: None,
                });
            }
            waits
        });
    }

    /// Ids that are delivered and old enough are forgotten; no sync of its own is worth that.
    fn forget(&mut self) {
        if self.unsynced.is_some() || self.forgettable.is_empty() {
            return;
        }
        let Some(outbox) = &self.outbox else { return };
        let topics: HashMap<Arc<str>, u64> = outbox.topics().into_iter().map(|t| (t.topic, t.delivered)).collect();
        for topic in std::mem::take(&mut self.forgettable) {
            if let Some(delivered) = topics.get(&topic) {
                self.lazy
                    .extend(self.allocator.forget(&topic, *delivered, &Known(outbox)));
            }
        }
    }

    /// Goes on where the last run ended: statuses say the numbers that were given, and `commit` is the first.
    pub(super) fn go_on(&mut self, topics: &[TopicState], commit: Commit) {
        for topic in topics {
            if let Some(last) = topic.next.checked_sub(1).filter(|last| *last > 0)
                && let Some((slot, kind)) = self.owner(&topic.topic)
                && let Some(entry) = self.slots.get_mut(&slot)
            {
                entry.gave(kind.word(), last);
            }
        }
        self.write_or_log(commit);
    }

    /// After the loss of a store the numbers go on past what was given, and a gap on each topic tells.
    pub(super) fn tell_lost(&mut self) {
        let Some(outbox) = &self.outbox else { return };
        let mut commit = Commit::default();
        let now = self.clock.now();
        for topic in outbox.topics() {
            if let Some((slot, kind)) = self.owner(&topic.topic).filter(|(_, kind)| *kind != EventType::Gap) {
                let before = Some(topic.next.to_string());
                self.gap(
                    &slot,
                    (GapCause::StoreLost, kind),
                    (None, before, None),
                    now,
                    &mut commit,
                );
            }
        }
        self.write_or_log(commit);
    }

    /// Which slot and type a topic belongs to.
    pub(super) fn owner(&self, topic: &str) -> Option<(SlotName, EventType)> {
        let kind = EventType::of(topic.rsplit('/').next()?)?;
        let slot = self
            .slots
            .names()
            .iter()
            .find(|slot| self.plant.slot_topic(slot, kind.word()) == topic)?;
        Some((slot.clone(), kind))
    }

    fn count(&mut self, slot: &SlotName, what: Counted, number: u64) {
        if let Some(entry) = self.slots.get_mut(slot) {
            entry.counts.add(what, number);
        }
    }

    fn trouble_everywhere(&mut self, about: &str, sentence: Option<&str>) {
        let now = self.clock.now();
        for slot in self.slots.names().to_vec() {
            if let Some(entry) = self.slots.get_mut(&slot) {
                entry.trouble(about, sentence.map(str::to_owned), now);
            }
        }
        match sentence {
            Some(sentence) => self.gateway.troubles.insert(about.to_owned(), sentence.to_owned()),
            None => self.gateway.troubles.remove(about),
        };
        self.publish_statuses();
    }

    /// Publishes every status that has changed.
    pub(super) fn publish_statuses(&mut self) {
        let mut waiting_by_slot: HashMap<SlotName, u64> = HashMap::new();
        let mut waiting = 0_u64;
        let topics = self.outbox.as_ref().map(Outbox::topics).unwrap_or_default();
        for state in topics {
            waiting = waiting.saturating_add(state.waiting);
            if let Some((slot, _)) = self.owner(&state.topic) {
                let sum = waiting_by_slot.entry(slot).or_default();
                *sum = sum.saturating_add(state.waiting);
            }
        }
        for slot in self.slots.names().to_vec() {
            if let Some(entry) = self.slots.get_mut(&slot) {
                entry.waits(waiting_by_slot.get(&slot).copied().unwrap_or(0));
            }
        }
        for (slot, status) in self.slots.changed_statuses() {
            self.retain(&self.plant.slot_topic(&slot, "status"), status);
        }
        self.outbound
            .set_farewell(self.gateway_status("offline", self.clock.now(), waiting));
        let status = self.gateway_status("online", self.gateway.since, waiting);
        if self.gateway.published.as_ref() != Some(&status) {
            self.retain(&self.gateway.topic.clone(), status.clone());
            self.gateway.published = Some(status);
        }
    }

    fn retain(&self, topic: &str, payload: Vec<u8>) {
        if self.outbound.set_retained(topic, payload) == Posted::Refused {
            tracing::warn!("no room for the status on {topic}");
        }
    }

    fn gateway_status(&self, state: &str, since: Moment, waiting: u64) -> Vec<u8> {
        let gateway = &self.gateway;
        super::gateway_status(state, since, &gateway.session, &gateway.stream, Some(waiting)).into_bytes()
    }

    pub(super) fn reply(&mut self, question: &Question) -> Value {
        match question {
            Question::QuarantineRetry { places } => return self.retry_quarantines(places),
            Question::Seen { slot, id } => return self.seen(slot.as_deref(), id.as_deref()),
            _ => {}
        }
        let Some(outbox) = &self.outbox else {
            return json!({"error": "the store is not open"});
        };
        match question {
            Question::OutboxStats => {
                let mut stats = super::outbox_stats(outbox);
                let slots: serde_json::Map<String, Value> = self
                    .slots
                    .entries()
                    .map(|(slot, entry)| (slot.to_string(), entry.counts.json()))
                    .collect();
                stats["slots"] = Value::Object(slots);
                stats["drift"] = super::watching::counts(&self.drift);
                stats["troubles"] = json!(self.gateway.troubles);
                stats["resends"] = self.mes.resends.len().into();
                stats
            }
            Question::OutboxList { topic, limit } => super::outbox_list(outbox, topic.as_deref(), (*limit).min(LISTED)),
            Question::QuarantineList { slot } => super::retry::quarantine_list(outbox, slot.as_deref()),
            Question::QuarantineRetry { .. } | Question::Seen { .. } => Value::Null,
        }
    }
}

/// After, before and count of numbers that are missing, for a gap.
fn span(from: u64, to: u64, count: u64) -> (Option<String>, Option<String>, Option<u64>) {
    let after = from.checked_sub(1).filter(|after| *after > 0);
    let before = to.saturating_add(1);
    (
        after.map(|after| after.to_string()),
        Some(before.to_string()),
        Some(count),
    )
}

/// Bytes that commits take in the store, about.
fn size(commits: &[Commit]) -> u64 {
    let events = commits.iter().flat_map(|commit| &commit.events);
    let state = commits.iter().flat_map(|commit| &commit.state);
    let bytes: usize = events.map(|event| event.body.len() + 2 * RECORD).sum::<usize>()
        + state
            .map(|change| change.key.len() + change.value.as_ref().map_or(0, Vec::len) + RECORD)
            .sum::<usize>();
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn log_link(slot: &SlotName, state: LinkState, reason: &str) {
    match state {
        LinkState::Online => tracing::info!("{slot}: online"),
        LinkState::Degraded => tracing::warn!("{slot}: degraded: {reason}"),
        LinkState::Offline => tracing::warn!("{slot}: offline: {reason}"),
    }
}
