//! Appending: what the gateway commits becomes durable, all of it or nothing. Owns room, leases before numbers,
//! and the one batch.

use super::frame::{MAX_EVENT, MAX_ID, MAX_STATE_KEY, MAX_STATE_VALUE, encode_event, event_key, parse_event_key, seal};
use super::index::{Topic, record_bytes};
use super::lease::Lease;
use super::store::{Change, lease_end};
use super::types::{Full, OutboxError, Tally};
use super::{Outbox, disk, frame};
use crate::model::{Commit, EventType, Sealed, StateChange};
use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::Instant;

/// Room kept for gap events, which tell what had no room: at most this much, and a sixteenth of `max_bytes`.
const GAP_ROOM: u64 = 1 << 20;
/// Bytes of a record beside an event's body, about.
pub(super) const OVERHEAD: u64 = 192;
/// Bytes of a longest topic.
const MAX_TOPIC: usize = 1_024;

/// The events of one topic in one append.
struct Run {
    id: u32,
    known: bool,
    first: u64,
    last: u64,
    tally: Tally,
    /// What of it was there already and is replaced.
    before: Tally,
}

#[derive(Default)]
struct Plan {
    changes: Vec<Change>,
    runs: HashMap<Arc<str>, Run>,
    /// In the order of appearance, so that numbers of topics do not depend on hashing.
    order: Vec<Arc<str>>,
    state: HashMap<Vec<u8>, u64>,
    state_before: u64,
    state_after: u64,
    events: u64,
}

impl Outbox {
    /// Makes all commits durable, together. When it returns `Ok`, everything is on disk; on an error of which
    /// [`OutboxError::is_fatal`] is not true, nothing is written. After a fatal one, all may be there or nothing:
    /// [`Self::reopen`] and append the same again.
    ///
    /// Sequences on a topic go up by one, from [`super::TopicState::next`]. Gap events may use room kept for them.
    pub fn append(&mut self, commits: &[Commit]) -> Result<(), OutboxError> {
        self.ready()?;
        let mut plan = self.plan(commits)?;
        if plan.changes.is_empty() {
            return Ok(());
        }
        self.admit(commits, &plan)?;
        let written = self.write_plan(&mut plan);
        self.watch(written)?;
        self.count(&plan);
        Ok(())
    }

    /// Whether an event of so many bytes finds room. Asked before a device is read; [`Self::append`] asks again.
    pub fn has_room(&self, bytes: u64) -> Result<(), Full> {
        self.room(disk(bytes.saturating_add(OVERHEAD)), false)
    }

    /// Whether so many bytes of disk are there; `kept`: the room kept for gaps may be used.
    fn room(&self, need: u64, kept: bool) -> Result<(), Full> {
        let used = disk(self.index.waiting().bytes);
        let limit = if kept { self.limits.max_bytes } else { self.limit() };
        if used.saturating_add(need) > limit {
            return Err(Full::MaxBytes { used, limit });
        }
        // A disk that does not say what is free is as good as full.
        let free = self.store.free().unwrap_or(0);
        let reserve = self.limits.reserve;
        if free >= reserve.saturating_add(need) {
            return Ok(());
        }
        // sled uses again what is free inside its file; the file hardly grows then.
        let inside = self.store.file_bytes();
        let slack = inside.saturating_sub(disk(self.index.live_bytes()));
        let reusable = slack >= need.saturating_add((4 << 20).max(inside / 4));
        if free >= reserve / 2 && (kept || reusable) {
            return Ok(());
        }
        Err(Full::DiskReserve { free, reserve })
    }

    /// Bytes of disk that waiting events may take, gaps apart.
    pub(super) fn limit(&self) -> u64 {
        let max = self.limits.max_bytes;
        max - GAP_ROOM.min(max / 16)
    }

    fn admit(&self, commits: &[Commit], plan: &Plan) -> Result<(), Full> {
        let bytes = plan
            .runs
            .values()
            .map(|run| run.tally.bytes.saturating_sub(run.before.bytes));
        let grows = plan.state_after.saturating_sub(plan.state_before);
        let events = disk(bytes.sum());
        let kept = commits
            .iter()
            .flat_map(|commit| &commit.events)
            .all(|event| event.kind == EventType::Gap);
        self.room(events.saturating_add(disk(grows)), kept)
    }

    fn plan(&self, commits: &[Commit]) -> Result<Plan, OutboxError> {
        let now = self.clock.now();
        let powered = self.powered(now);
        let mut plan = Plan::default();
        for commit in commits {
            for event in &commit.events {
                check_event(event)?;
                self.plan_event(&mut plan, event, now.wall, powered)?;
            }
            for change in &commit.state {
                self.plan_state(&mut plan, change)?;
            }
        }
        Ok(plan)
    }

    fn plan_event(&self, plan: &mut Plan, event: &Sealed, wall: i64, powered: u64) -> Result<(), OutboxError> {
        let known = self.index.find(&event.topic);
        let new_id = self.index.free_id();
        let unknown = u32::try_from(plan.runs.values().filter(|run| !run.known).count()).unwrap_or(u32::MAX);
        let run = plan.runs.entry(event.topic.clone()).or_insert_with(|| {
            plan.order.push(event.topic.clone());
            let sealed = known.map_or(1, |topic| topic.sealed);
            Run {
                id: known.map_or(new_id.saturating_add(unknown), |topic| topic.id),
                known: known.is_some(),
                first: sealed,
                last: sealed - 1,
                tally: Tally::default(),
                before: Tally::default(),
            }
        });
        if event.sequence != run.last + 1 {
            return Err(OutboxError::Sequence {
                topic: event.topic.clone(),
                found: event.sequence,
                expected: run.last + 1,
            });
        }
        run.last = event.sequence;
        // Left by an append that failed: what it wrote of this event is replaced.
        if known.is_some_and(|topic| event.sequence < topic.next) {
            let from = event_key(run.id, event.sequence, 0);
            let to = event_key(run.id, event.sequence, u16::MAX);
            let found = self
                .store
                .range(Bound::Included(&from), Bound::Included(&to), &mut |key, value| {
                    run.before.add(record_tally(key, value));
                    plan.changes.push((key.to_vec(), None));
                    ControlFlow::Continue(())
                });
            self.watch(found)?;
        }
        for (key, value) in encode_event(event, run.id, wall, powered) {
            run.tally.add(record_tally(&key, &value));
            plan.changes.push((key.to_vec(), Some(value)));
        }
        plan.events += 1;
        Ok(())
    }

    fn plan_state(&self, plan: &mut Plan, change: &StateChange) -> Result<(), OutboxError> {
        check_length("a state key", change.key.len(), MAX_STATE_KEY)?;
        let value = change.value.as_deref();
        check_length("a state value", value.map_or(0, <[u8]>::len), MAX_STATE_VALUE)?;
        let key = frame::state_key(&change.key);
        let sealed = value.map(|value| seal(&key, value));
        let after = sealed.as_ref().map_or(0, |sealed| record_bytes(&key, sealed));
        let before = if let Some(before) = plan.state.insert(key.clone(), after) {
            before
        } else {
            let found = self.watch(self.store.get(&key))?;
            found.map_or(0, |found| record_bytes(&key, &found))
        };
        plan.state_before += before;
        plan.state_after += after;
        plan.changes.push((key, sealed));
        Ok(())
    }

    /// Leases, then the batch, then the disk.
    fn write_plan(&mut self, plan: &mut Plan) -> Result<(), OutboxError> {
        self.lease(plan)?;
        for name in &plan.order {
            if let Some(run) = plan.runs.get(name)
                && !run.known
            {
                let topic = Topic::new(run.id, name.clone());
                plan.changes.push(topic.name_record());
                plan.changes.push(topic.pointer_record());
            }
        }
        let lazy = self.lazy_changes(false);
        let mut changes = std::mem::take(&mut plan.changes);
        changes.extend(lazy);
        #[expect(
            clippy::disallowed_methods,
            reason = "measures how long the disk took, for a person; nothing is decided by it"
        )]
        let started = Instant::now();
        self.store.write(changes)?;
        self.store.sync()?;
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.meter.last_us = took;
        self.meter.max_us = self.meter.max_us.max(took);
        self.meter.total_us = self.meter.total_us.saturating_add(took);
        Ok(())
    }

    /// No number is committed whose lease is not on disk.
    fn lease(&mut self, plan: &Plan) -> Result<(), OutboxError> {
        let mut wanted = Vec::new();
        for (name, run) in &plan.runs {
            let leased = self.leases.topics.get(name).map_or(0, |lease| lease.end);
            if run.last > leased {
                wanted.push((name.clone(), run.id, run.first, lease_end(run.last)));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        if self.leases.stream != self.store.stream {
            // Floors of another store say nothing of this one.
            for lease in self.leases.topics.values_mut() {
                lease.floor = 1;
            }
            self.leases.stream.clone_from(&self.store.stream);
        }
        for topic in &self.index.topics {
            if let Some(lease) = self.leases.topics.get_mut(&topic.name) {
                lease.id = topic.id;
                lease.floor = topic.sealed;
            }
        }
        for (name, id, floor, end) in wanted {
            self.leases.topics.insert(name, Lease { id, end, floor });
        }
        self.leases.save()
    }

    /// Takes over what is durable now.
    fn count(&mut self, plan: &Plan) {
        for name in &plan.order {
            let Some(run) = plan.runs.get(name) else { continue };
            if !run.known {
                self.index.insert(Topic::new(run.id, name.clone()));
            }
            if let Some(topic) = self.index.find_mut(name) {
                topic.waiting.take(run.before);
                topic.waiting.add(run.tally);
                topic.next = topic.next.max(run.last + 1);
                topic.sealed = run.last + 1;
            }
        }
        self.index.state_bytes = (self.index.state_bytes + plan.state_after).saturating_sub(plan.state_before);
        self.meter.commits += 1;
        self.meter.events += plan.events;
    }
}

/// A record of an event: bytes by every part, the event by its part 0.
pub(super) fn record_tally(key: &[u8], value: &[u8]) -> Tally {
    let head = parse_event_key(key).is_some_and(|(_, _, part)| part == 0);
    Tally {
        events: u64::from(head),
        bytes: record_bytes(key, value),
    }
}

fn check_event(event: &Sealed) -> Result<(), OutboxError> {
    check_length("an event", event.body.len(), MAX_EVENT)?;
    check_length("an event's id", event.id.len(), MAX_ID)?;
    check_length("a topic", event.topic.len(), MAX_TOPIC)?;
    if event.topic.is_empty() || event.topic.contains(char::is_control) {
        return Err(OutboxError::Topic(event.topic.clone()));
    }
    Ok(())
}

fn check_length(what: &'static str, length: usize, limit: usize) -> Result<(), OutboxError> {
    if length > limit {
        return Err(OutboxError::TooLong { what, length, limit });
    }
    Ok(())
}
