//! The allocator: seals drafts in the order in which they come, each with id, incarnation and sequence.
//!
//! Everything it decides goes into the same [`Commit`] as the event. What was sealed but not yet stored is
//! known from its own overlay; [`Allocator::abandon`] takes all of that back.

use super::envelope::{Envelope, origin};
use super::identity::{event_id, fingerprint, id_key, order_key, same, values};
use super::shape::guarded;
use super::slot::{Counted, SlotState};
use crate::model::event::{AlarmCategory, GapCause, TimeBasis};
use crate::model::plan::Keep;
use crate::model::{Commit, Draft, EventType, Fields, Moment, Plant, Sealed, SlotName, StateChange, time};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Ids are kept for this many results of a topic (interface 5).
const KEPT_IDS: u64 = 10_000;
/// Ids forgotten in one call.
const FORGET_AT_ONCE: u64 = 1_000;
/// A result seen this long after the reading before it was found, not watched; milliseconds.
const LIVE: u64 = 5_000;

/// The store, as far as ids go. What it answers has been applied, synced or not.
pub trait KnownIds {
    /// The value of this key.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
}

/// Nothing is known.
impl KnownIds for () {
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Which unit an event is about, from the room that knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subject {
    /// `data.unit`.
    pub unit: Fields,
    /// `CloudEvents` subject: the unit's id.
    pub id: Option<String>,
}

/// What became of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// It is in the commit.
    Stored {
        /// Where it will be published.
        topic: Arc<str>,
        /// Under which number.
        sequence: u64,
        /// As what; a draft that does not fit its type is a quarantine.
        kind: EventType,
    },
    /// It is stored already: to be counted, and acknowledged as the first was.
    Duplicate,
    /// It is not stored; only the newest is sent.
    Latest {
        /// Where it will be published.
        topic: Arc<str>,
        /// As what.
        kind: EventType,
        /// The JSON bytes.
        body: Vec<u8>,
    },
}

/// What is known to be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Why.
    pub cause: GapCause,
    /// Type of what is missing.
    pub of: EventType,
    /// The last before.
    pub after: Option<String>,
    /// The first behind.
    pub before: Option<String>,
    /// How many.
    pub count: Option<u64>,
}

/// Numbers and names events; one for the whole gateway.
#[derive(Debug)]
pub struct Allocator {
    plant: Plant,
    gateway: String,
    stream: String,
    topics: HashMap<(SlotName, EventType), Arc<str>>,
    next: HashMap<Arc<str>, u64>,
    slots: HashMap<SlotName, SlotState>,
    forgotten: HashMap<Arc<str>, u64>,
    /// State sealed since the last [`Self::committed`].
    overlay: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// As it was at the last [`Self::committed`], of what was touched since.
    before: Before,
    /// Makes ids of what is not stored.
    passed: u64,
}

#[derive(Debug, Default)]
struct Before {
    next: HashMap<Arc<str>, Option<u64>>,
    slots: HashMap<SlotName, Option<SlotState>>,
    forgotten: HashMap<Arc<str>, Option<u64>>,
}

/// What a draft became before it was numbered.
struct Ready<'a> {
    kind: EventType,
    data: Fields,
    subject: &'a Subject,
    time: i64,
    times: Value,
}

impl Allocator {
    /// For one plant path, gateway and store. `stream` is made with the store.
    #[must_use]
    pub fn new(plant: Plant, gateway: String, stream: String) -> Self {
        Self {
            plant,
            gateway,
            stream,
            topics: HashMap::new(),
            next: HashMap::new(),
            slots: HashMap::new(),
            forgotten: HashMap::new(),
            overlay: HashMap::new(),
            before: Before::default(),
            passed: 0,
        }
    }

    /// The next sequence of each topic, from the store or its leases. A topic not named begins with 1.
    pub fn resume(&mut self, topics: &[(Arc<str>, u64)]) {
        for (topic, next) in topics {
            self.next.insert(topic.clone(), (*next).max(1));
        }
    }

    /// Takes up what was stored under [`crate::model::commit::space::SLOT`] (see [`super::slot_of`]).
    /// What cannot be read is as if the slot were new.
    pub fn restore_slot(&mut self, slot: &SlotName, bytes: &[u8]) {
        if let Ok(state) = serde_json::from_slice(bytes) {
            self.slots.insert(slot.clone(), state);
        }
    }

    /// The offset of the device's clock in milliseconds, as learned from live results: its time less ours.
    #[must_use]
    pub fn clock_offset(&self, slot: &SlotName) -> Option<i64> {
        self.slots.get(slot).and_then(SlotState::offset)
    }

    /// The gateway's wall clock stepped by so many milliseconds: offsets of devices follow. Stored with the next event.
    pub fn clock_stepped(&mut self, by_millis: i64) {
        let before = self.before.slots.values_mut().flatten();
        for state in self.slots.values_mut().chain(before) {
            state.stepped(by_millis);
        }
    }

    /// The last sequence given on each topic of a slot, for its status.
    #[must_use]
    pub fn last(&self, slot: &SlotName) -> Vec<(EventType, u64)> {
        let of_slot = self.topics.iter().filter(|((of, _), _)| of == slot);
        let mut out: Vec<_> = of_slot
            .filter_map(|((_, kind), topic)| Some((*kind, self.next.get(topic)?.checked_sub(1)?)))
            .collect();
        out.sort_unstable();
        out
    }

    /// All that was sealed is visible to [`KnownIds`] now.
    pub fn committed(&mut self) {
        self.overlay.clear();
        self.before = Before::default();
    }

    /// What was sealed since [`Self::committed`] will not be stored: its numbers and ids were never given.
    pub fn abandon(&mut self) {
        self.overlay.clear();
        let before = std::mem::take(&mut self.before);
        put_back(&mut self.next, before.next);
        put_back(&mut self.slots, before.slots);
        put_back(&mut self.forgotten, before.forgotten);
    }

    /// Seals a draft into `commit`. A gap that its counter tells, and an alarm about ids used again, come before it.
    /// `clock_set`: whether the gateway's own clock was ever set.
    pub fn seal(
        &mut self,
        draft: &Draft,
        subject: &Subject,
        clock_set: bool,
        known: &dyn KnownIds,
        commit: &mut Commit,
    ) -> Sealing {
        let (kind, data) = contract_fields(draft);
        let live_only = draft.keep == Keep::Latest && kind != EventType::Quarantine;
        let mut state = self.slot_state(draft);
        let (time, times) = times(draft, &mut state, clock_set);
        let ready = Ready {
            kind,
            data,
            subject,
            time,
            times,
        };
        if live_only {
            return self.pass(draft, ready);
        }
        let topic = self.topic(&draft.slot, kind);
        let leaves = fingerprint(&ready.data);
        let values = values(draft, kind, &ready.data);
        // Before ids are compared: a device that counts anew may say the very same again, and means another result.
        let missing = follow(draft, &mut state);
        if let Some(values) = &values {
            let key = id_key(&topic, &state.incarnation, values);
            if let Some(bytes) = self.known(&key, known) {
                // What could not be read has its raw bytes in its id.
                let equal = kind == EventType::Quarantine || same(bytes.get(8..).unwrap_or_default(), &leaves);
                if equal {
                    return Sealing::Duplicate;
                }
                state.renew();
                let text = format!(
                    "the device of {} uses ids again: {} came with other values; it was sent as a new result",
                    draft.slot,
                    draft.id.as_deref().unwrap_or_default().join(" ")
                );
                self.alarm(&draft.slot, "id_reused", true, &text, draft.seen, clock_set, commit);
            }
        }
        if let Some(missing) = missing {
            self.gap(&draft.slot, &missing, draft.seen, clock_set, commit);
        }
        if !draft.backfill {
            state.see(&draft.event, draft.seen.wall);
        }
        let sequence = self.number(&topic);
        let source = self.plant.source(&draft.slot);
        let kind_word = kind.cloud_event_type();
        let id = match &values {
            Some(values) => {
                let parts = [source.as_str(), &kind_word, &state.incarnation];
                event_id(parts.into_iter().chain(values.iter().map(String::as_str)))
            }
            None => event_id([&self.stream, &*topic, &sequence.to_string()]),
        };
        if let Some(values) = &values {
            let key = id_key(&topic, &state.incarnation, values);
            let mut value = sequence.to_be_bytes().to_vec();
            value.extend(leaves);
            self.remember(order_key(&topic, sequence), Some(key.clone()), commit);
            self.remember(key, Some(value), commit);
        }
        let body = self.envelope(draft, ready, &id, Some(sequence));
        commit.events.push(Sealed {
            topic: topic.clone(),
            sequence,
            id,
            slot: draft.slot.clone(),
            kind,
            body,
        });
        self.keep_slot(&draft.slot, state, commit);
        Sealing::Stored { topic, sequence, kind }
    }

    /// Seals a gap.
    pub fn gap(&mut self, slot: &SlotName, missing: &Missing, now: Moment, clock_set: bool, commit: &mut Commit) {
        let mut data = Fields::new();
        data.insert("cause".into(), missing.cause.word().into());
        data.insert("of".into(), missing.of.word().into());
        for (name, value) in [("after", &missing.after), ("before", &missing.before)] {
            if let Some(value) = value {
                data.insert(name.into(), value.clone().into());
            }
        }
        if let Some(count) = missing.count {
            data.insert("count".into(), crate::model::value::json_number(count.into()));
        }
        self.own(slot, EventType::Gap, data, now, clock_set, commit);
    }

    /// Seals an alarm of the gateway's own.
    #[expect(
        clippy::too_many_arguments,
        reason = "an alarm says all of this, and a struct would be built only to be taken apart"
    )]
    pub fn alarm(
        &mut self,
        slot: &SlotName,
        code: &str,
        active: bool,
        text: &str,
        now: Moment,
        clock_set: bool,
        commit: &mut Commit,
    ) {
        let mut data = Fields::new();
        data.insert("code".into(), code.into());
        data.insert("active".into(), active.into());
        data.insert("category".into(), AlarmCategory::Gateway.word().into());
        if !text.is_empty() {
            data.insert("text".into(), text.into());
        }
        self.own(slot, EventType::Alarm, data, now, clock_set, commit);
    }

    /// Seals the news that a device file was replaced: `from`, `to`, `plan`, `who`.
    pub fn change(&mut self, slot: &SlotName, data: &Fields, now: Moment, clock_set: bool, commit: &mut Commit) {
        let data = guarded(EventType::Change, data).unwrap_or_default();
        self.own(slot, EventType::Change, data, now, clock_set, commit);
    }

    /// Ids of `topic` that need not be known any more: delivered (up to and with `delivered`) and 10,000 results
    /// old. At most 1,000 at once; empty when there is nothing to forget.
    pub fn forget(&mut self, topic: &Arc<str>, delivered: u64, known: &dyn KnownIds) -> Vec<StateChange> {
        let given = self.next.get(topic).map_or(0, |next| next.saturating_sub(1));
        let pointer = order_key(topic, 0);
        let done = match self.forgotten.get(topic) {
            Some(done) => *done,
            None => self
                .known(&pointer, known)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u64::from_be_bytes),
        };
        let last = delivered
            .min(given.saturating_sub(KEPT_IDS))
            .min(done.saturating_add(FORGET_AT_ONCE));
        if last <= done {
            return Vec::new();
        }
        let mut commit = Commit::default();
        for sequence in done + 1..=last {
            let order = order_key(topic, sequence);
            if let Some(id) = self.known(&order, known) {
                self.remember(id, None, &mut commit);
                self.remember(order, None, &mut commit);
            }
        }
        self.remember(pointer, Some(last.to_be_bytes().to_vec()), &mut commit);
        let before = self.forgotten.insert(topic.clone(), last);
        self.before.forgotten.entry(topic.clone()).or_insert(before);
        commit.state
    }

    /// An event of the gateway's own: always another, never about a unit.
    fn own(
        &mut self,
        slot: &SlotName,
        kind: EventType,
        mut data: Fields,
        now: Moment,
        clock_set: bool,
        commit: &mut Commit,
    ) {
        let topic = self.topic(slot, kind);
        let sequence = self.number(&topic);
        let id = event_id([&self.stream, &*topic, &sequence.to_string()]);
        let basis = if clock_set {
            TimeBasis::Observed
        } else {
            TimeBasis::Unsynchronized
        };
        data.insert(
            "times".into(),
            serde_json::json!({"observed": now.rfc3339(), "basis": basis.word()}),
        );
        data.insert("origin".into(), origin(&self.gateway, None, None));
        let envelope = Envelope {
            id: &id,
            source: &self.plant.source(slot),
            kind,
            subject: None,
            time: now.rfc3339(),
            numbered: Some((sequence, &self.stream)),
            data,
        };
        let body = envelope.body();
        commit.events.push(Sealed {
            topic,
            sequence,
            id,
            slot: slot.clone(),
            kind,
            body,
        });
    }

    fn pass(&mut self, draft: &Draft, ready: Ready<'_>) -> Sealing {
        let kind = ready.kind;
        let topic = self.topic(&draft.slot, kind);
        self.passed = self.passed.wrapping_add(1);
        let moment = format!("{}/{}/{}", draft.seen.wall, draft.seen.tick, self.passed);
        let id = event_id(["latest", &self.stream, &topic, &moment]);
        let body = self.envelope(draft, ready, &id, None);
        Sealing::Latest { topic, kind, body }
    }

    fn envelope(&self, draft: &Draft, ready: Ready<'_>, id: &str, sequence: Option<u64>) -> Vec<u8> {
        let mut data = Fields::new();
        if !ready.subject.unit.is_empty() {
            data.insert("unit".into(), Value::Object(ready.subject.unit.clone()));
        }
        data.extend(ready.data);
        data.insert("times".into(), ready.times);
        if draft.backfill {
            data.insert("backfill".into(), true.into());
        }
        if !draft.extra.is_empty() {
            data.insert("extra".into(), Value::Object(draft.extra.clone()));
        }
        // A quarantine has its raw bytes as a field.
        let has_raw = !matches!(ready.kind, EventType::Readings | EventType::Quarantine);
        let raw = draft.raw.as_deref().filter(|_| has_raw);
        data.insert("origin".into(), origin(&self.gateway, Some(&draft.device), raw));
        let envelope = Envelope {
            id,
            source: &self.plant.source(&draft.slot),
            kind: ready.kind,
            subject: ready.subject.id.as_deref(),
            time: time::rfc3339(ready.time),
            numbered: sequence.map(|sequence| (sequence, self.stream.as_str())),
            data,
        };
        envelope.body()
    }

    fn topic(&mut self, slot: &SlotName, kind: EventType) -> Arc<str> {
        let plant = &self.plant;
        self.topics
            .entry((slot.clone(), kind))
            .or_insert_with(|| plant.slot_topic(slot, kind.word()).into())
            .clone()
    }

    fn number(&mut self, topic: &Arc<str>) -> u64 {
        let before = self.next.get(topic).copied();
        let sequence = before.unwrap_or(1);
        self.before.next.entry(topic.clone()).or_insert(before);
        self.next.insert(topic.clone(), sequence.saturating_add(1));
        sequence
    }

    /// The slot as it is known, another incarnation where it is another device.
    fn slot_state(&self, draft: &Draft) -> SlotState {
        match self.slots.get(&draft.slot) {
            Some(state) if state.is_of(&draft.device) => state.clone(),
            _ => SlotState::new(&draft.device),
        }
    }

    fn keep_slot(&mut self, slot: &SlotName, state: SlotState, commit: &mut Commit) {
        push_state(state.stored(slot), commit);
        let before = self.slots.insert(slot.clone(), state);
        self.before.slots.entry(slot.clone()).or_insert(before);
    }

    fn known(&self, key: &[u8], known: &dyn KnownIds) -> Option<Vec<u8>> {
        match self.overlay.get(key) {
            Some(value) => value.clone(),
            None => known.get(key),
        }
    }

    fn remember(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, commit: &mut Commit) {
        self.overlay.insert(key.clone(), value.clone());
        push_state(StateChange { key, value }, commit);
    }
}

/// Follows the device's counter: what is missing before this draft, and incarnations that begin with it.
fn follow(draft: &Draft, state: &mut SlotState) -> Option<Missing> {
    let reading = draft.counter.filter(|_| !draft.backfill)?;
    let before = state.counter(&draft.event);
    let missing = match state.counted(&draft.event, reading) {
        Counted::On => 0,
        Counted::Jumped(missing) => missing,
        Counted::Wrapped(missing) => {
            // Ids that are nothing but the counter begin anew with it.
            if draft.id.as_deref() == Some(&[reading.value.to_string()]) {
                state.renew();
            }
            missing
        }
        Counted::Restarted => {
            state.restart();
            0
        }
    };
    state.count(&draft.event, reading.value);
    (missing > 0).then(|| Missing {
        cause: GapCause::Missed,
        of: draft.kind,
        after: before.map(|before| before.to_string()),
        before: Some(reading.value.to_string()),
        count: u64::try_from(missing).ok(),
    })
}

/// One change a key: the last.
fn push_state(change: StateChange, commit: &mut Commit) {
    match commit.state.iter_mut().find(|known| known.key == change.key) {
        Some(known) => known.value = change.value,
        None => commit.state.push(change),
    }
}

fn put_back<K: std::hash::Hash + Eq, V>(now: &mut HashMap<K, V>, before: HashMap<K, Option<V>>) {
    for (key, value) in before {
        match value {
            Some(value) => now.insert(key, value),
            None => now.remove(&key),
        };
    }
}

/// The type and its fields as they go out; a quarantine where they do not fit.
fn contract_fields(draft: &Draft) -> (EventType, Fields) {
    let fitted = if draft.quarantine.is_empty() {
        guarded(draft.kind, &draft.data)
    } else {
        Err(draft.quarantine.clone())
    };
    let (kind, mut data) = match fitted {
        Ok(data) => (draft.kind, data),
        Err(reasons) => {
            let mut data = Fields::new();
            data.insert("reasons".into(), reasons.into_iter().collect());
            data.insert("raw".into(), draft.raw.clone().unwrap_or_default().into());
            data.insert("type".into(), draft.kind.word().into());
            (EventType::Quarantine, data)
        }
    };
    let last = draft.id.as_ref().and_then(|id| id.last());
    if let Some(last) = last.filter(|_| kind.field("result_id").is_some() && !data.contains_key("result_id")) {
        data.insert("result_id".into(), last.clone().into());
    }
    (kind, data)
}

/// When it happened, wall milliseconds, and `data.times`. Learns the offset of the device's clock from live results.
fn times(draft: &Draft, state: &mut SlotState, clock_set: bool) -> (i64, Value) {
    let seen = draft.seen.wall;
    let watched = |since: Moment| draft.seen.tick.saturating_sub(since.tick) <= LIVE;
    let live = !draft.backfill && draft.since.is_some_and(watched);
    let not_before = draft
        .since
        .map(|since| since.wall)
        .or_else(|| state.seen.get(&*draft.event).copied())
        .filter(|since| !live && !draft.backfill && *since <= seen);
    let mut out = Fields::new();
    out.insert("observed".into(), draft.seen.rfc3339().into());
    let mut happened = (seen, TimeBasis::Observed);
    if let Some(device) = &draft.device_time {
        out.insert("device".into(), device.said.clone().into());
        let apart = device.wall.saturating_sub(seen);
        if live && clock_set {
            state.learn(apart);
        }
        let learned = state.offset().filter(|_| !live);
        out.insert("offset_ms".into(), learned.unwrap_or(apart).into());
        if draft.backfill {
            let offset = learned.unwrap_or(0);
            out.insert("offset_ms".into(), offset.into());
            happened = (device.wall.saturating_sub(offset).min(seen), TimeBasis::Device);
        } else if !live && let Some(offset) = learned {
            let earliest = not_before.unwrap_or(i64::MIN);
            let wall = device.wall.saturating_sub(offset).clamp(earliest, seen);
            happened = (wall, TimeBasis::Device);
        }
    }
    let (wall, mut basis) = happened;
    if !clock_set {
        basis = TimeBasis::Unsynchronized;
    }
    out.insert("basis".into(), basis.word().into());
    if let Some(not_before) = not_before.filter(|_| basis != TimeBasis::Device) {
        out.insert("not_before".into(), time::rfc3339(not_before).into());
    }
    (wall, Value::Object(out))
}
