//! The contract with the MES: what an event looks like, how it is identified and numbered, and what never gets out.
//!
//! Owns the CloudEvents envelope, ids and incarnations, sequences, duplicates, gaps of counters, quarantine as the
//! last guard, and JSON Schemas. Pure: values in, values out; what is known of ids comes through [`KnownIds`], what
//! must be remembered goes into the commit. Does not own units, storage, or what a device's values mean.
//!
//! The table of fields itself is [`crate::model::event`]; everything here goes by it.

mod again;
pub mod asyncapi;
mod counter;
mod envelope;
mod guard;
mod ids;
mod schema;
mod slot;
pub mod talk;
#[cfg(test)]
mod tests;

use crate::model::commit::space;
use crate::model::draft::DeviceIdentity;
use crate::model::event::GapCause;
use crate::model::plan::Keep;
use crate::model::{Commit, Draft, EventType, Fields, Moment, Plant, Sealed, SlotName, StateChange};
use counter::Course;
use envelope::{Envelope, Numbering};
use slot::SlotState;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use again::{Again, faults};
pub use schema::schema;

/// Results of a topic whose ids stay known after they are delivered (interface 5).
const REMEMBERED: u64 = 10_000;
/// Ids that one call of [`Allocator::forget`] forgets at most.
const FORGET_AT_ONCE: u64 = 2_000;

/// Looks up what was committed: the store.
pub trait KnownIds {
    /// The value of a state key.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
}

/// What became of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// It is in the commit, as this type on this topic.
    Stored {
        /// Its topic.
        topic: Arc<str>,
        /// Its number there.
        sequence: u64,
        /// Its type; quarantine where it could not be what it should.
        kind: EventType,
    },
    /// The same result again: not sent again.
    Duplicate,
    /// The device's counter shows that there is no result yet.
    NoResult,
    /// Not stored: only the newest matters.
    Latest {
        /// Its topic.
        topic: Arc<str>,
        /// The bytes that the MES receives.
        body: Vec<u8>,
    },
}

/// Which unit an event belongs to, as it stands in `data.unit`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnitOf {
    /// `data.unit`.
    pub fields: Fields,
    /// The unit's id, for `subject`; `None`: unbound.
    pub subject: Option<String>,
}

/// The clock at the time of sealing.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Now.
    pub moment: Moment,
    /// Whether the wall clock was ever set.
    pub set: bool,
}

/// Gives ids and sequences. State of its own only of what is not committed yet and of the slots.
#[derive(Debug)]
pub struct Allocator {
    plant: Plant,
    gateway: String,
    stream: String,
    /// Next sequence by topic; a topic that is not here begins with 1.
    next: HashMap<Arc<str>, u64>,
    slots: HashMap<SlotName, SlotState>,
    /// Ids sealed since [`Self::committed`].
    fresh: HashMap<Vec<u8>, Vec<u8>>,
    /// Topics whose mark of forgotten ids is in the store.
    marked: HashSet<Arc<str>>,
}

impl Allocator {
    /// For the slots of `plant`; `stream` is the store's.
    #[must_use]
    pub fn new(plant: Plant, gateway: &str, stream: &str) -> Self {
        Self {
            plant,
            gateway: gateway.to_owned(),
            stream: stream.to_owned(),
            next: HashMap::new(),
            slots: HashMap::new(),
            fresh: HashMap::new(),
            marked: HashSet::new(),
        }
    }

    /// Goes on with these topics and the next sequences to give there.
    pub fn resume(&mut self, topics: &[(Arc<str>, u64)]) {
        self.next.extend(topics.iter().cloned());
    }

    /// Brings back what was stored of a slot (`st10.spindle-1`) under [`space::SLOT`]. What cannot be read counts as
    /// another device: its ids begin anew.
    pub fn restore_slot(&mut self, slot: &str, bytes: &[u8]) {
        if let (Some((station, name)), Ok(state)) = (slot.split_once('.'), serde_json::from_slice(bytes)) {
            self.slots.insert(SlotName::new(station, name), state);
        }
    }

    /// Numbers and seals `draft` into `commit`, with the gap before it where its counter jumped, and the alarm where
    /// its device uses ids again.
    pub fn seal(
        &mut self,
        draft: &Draft,
        unit: &UnitOf,
        now: Now,
        known: &dyn KnownIds,
        commit: &mut Commit,
    ) -> Sealing {
        let mut state = self.slots.remove(&draft.slot).unwrap_or_default();
        let before = state.clone();
        let sealing = self.seal_in(&mut state, draft, unit, now, known, commit);
        if matches!(sealing, Sealing::Stored { .. }) {
            state.learn(draft);
        }
        if state != before {
            commit.state.push(state.change(&draft.slot));
        }
        self.slots.insert(draft.slot.clone(), state);
        sealing
    }

    /// A result that the profile turns away was there all the same: its counter is seen, and what is missing before it is told.
    pub fn pass(&mut self, draft: &Draft, unit: &UnitOf, now: Now, commit: &mut Commit) {
        let mut state = self.slots.remove(&draft.slot).unwrap_or_default();
        let before = state.clone();
        state.meet(&draft.device);
        let course = state.course(draft);
        if course == Course::BelowFirst {
            state.doubt(draft);
        } else {
            if course.restarted() {
                state.renew();
            }
            self.tell_missing(&state, course, draft, unit, now, commit);
            state.count(draft);
        }
        if state != before {
            commit.state.push(state.change(&draft.slot));
        }
        self.slots.insert(draft.slot.clone(), state);
    }

    /// Tells the gap before `draft`, where its counter shows one.
    fn tell_missing(
        &mut self,
        state: &SlotState,
        course: Course,
        draft: &Draft,
        unit: &UnitOf,
        now: Now,
        commit: &mut Commit,
    ) {
        let (after, before, missing) = match course {
            Course::Jumped { after, before, missing } => (Some(after), before, missing),
            Course::Restarted {
                before,
                missing: missing @ 1..,
            } => (None, before, missing),
            _ => return,
        };
        let gap = gap(
            &draft.slot,
            (GapCause::Missed, draft.kind),
            (
                after.map(|after| after.to_string()),
                Some(before.to_string()),
                Some(missing),
            ),
            draft.seen,
            &draft.device,
        );
        self.put(state, &gap, EventType::Gap, gap.data.clone(), unit, now, None, commit);
    }

    /// When a fetched result was made (wall milliseconds), where the offset of its device's clock is known.
    #[must_use]
    pub fn happened(&self, draft: &Draft) -> Option<i64> {
        let said = draft.device_time.as_ref().filter(|_| draft.backfill)?;
        let offset = self.slots.get(&draft.slot)?.offset()?;
        Some(said.wall.saturating_sub(offset).min(draft.seen.wall))
    }

    fn seal_in(
        &mut self,
        state: &mut SlotState,
        draft: &Draft,
        unit: &UnitOf,
        now: Now,
        known: &dyn KnownIds,
        commit: &mut Commit,
    ) -> Sealing {
        // What the gateway itself says is no word of the device's, and says nothing of who the device is.
        if draft.kind.is_mapped() && !draft.event.is_empty() {
            state.meet(&draft.device);
        }
        let course = state.course(draft);
        if course == Course::BelowFirst {
            state.doubt(draft);
            return Sealing::NoResult;
        }
        let topic: Arc<str> = self.plant.slot_topic(&draft.slot, draft.kind.word()).into();
        let another = state.came_back(draft).is_some_and(|back| {
            let shown = draft.id.as_ref().is_some_and(|values| {
                let key = ids::key(&topic, &state.incarnation, values);
                let known = self.lookup(&key, known);
                known.is_some_and(|known| ids::same(&known, &ids::fields(&draft.data)))
            });
            !(shown && back.same_time)
        });
        if course.restarted() || state.wraps_alone(draft) || another {
            state.renew();
        }
        let reasons = guard::reasons(draft);
        let source = self.plant.source(&draft.slot);
        let mut identity = None;
        if let (Some(values), true) = (&draft.id, reasons.is_empty() && draft.keep == Keep::Stored) {
            let key = ids::key(&topic, &state.incarnation, values);
            let fields = ids::fields(&draft.data);
            match self.lookup(&key, known) {
                Some(stored) if ids::same(&stored, &fields) => return Sealing::Duplicate,
                Some(_) => {
                    state.renew();
                    let shown = values.join("/");
                    let text = format!(
                        "the device gave the id {shown} to two different results: from now on its ids count anew; was it replaced or reset?"
                    );
                    let alarm = gateway_alarm(&draft.slot, "id_reused", true, &text, draft.seen, &draft.device);
                    self.put(
                        state,
                        &alarm,
                        EventType::Alarm,
                        alarm.data.clone(),
                        unit,
                        now,
                        None,
                        commit,
                    );
                    identity = Some((ids::key(&topic, &state.incarnation, values), fields));
                }
                None => identity = Some((key, fields)),
            }
        }
        self.tell_missing(state, course, draft, unit, now, commit);
        state.count(draft);
        if !reasons.is_empty() {
            let data = guard::quarantined(draft, reasons);
            return self.put(state, draft, EventType::Quarantine, data, unit, now, None, commit);
        }
        if draft.keep == Keep::Latest {
            let id = ids::once(&[
                &source,
                draft.kind.word(),
                &state.incarnation,
                &now.moment.wall.to_string(),
                &now.moment.tick.to_string(),
            ]);
            let data = guard::ordered(draft);
            let body = self.envelope(draft, draft.kind, &id, None, unit, now, state).body(data);
            return Sealing::Latest { topic, body };
        }
        let id = draft
            .id
            .as_ref()
            .map(|values| ids::event_id(&source, draft.kind.word(), &state.incarnation, values));
        let sealing = self.put(state, draft, draft.kind, guard::ordered(draft), unit, now, id, commit);
        if let (Some((key, fields)), Sealing::Stored { sequence, .. }) = (identity, &sealing) {
            self.remember(&topic, *sequence, key, fields, known, commit);
        }
        sealing
    }

    /// Remembers the id of an event that is in `commit`, so that the same again is known.
    fn remember(
        &mut self,
        topic: &Arc<str>,
        sequence: u64,
        key: Vec<u8>,
        fields: Vec<u8>,
        known: &dyn KnownIds,
        commit: &mut Commit,
    ) {
        if self.marked.insert(topic.clone()) && known.get(&ids::mark(topic)).is_none() {
            commit.state.push(StateChange {
                key: ids::mark(topic),
                value: Some(0_u64.to_be_bytes().to_vec()),
            });
        }
        commit.state.push(StateChange {
            key: ids::order(topic, sequence),
            value: Some(key.clone()),
        });
        commit.state.push(StateChange {
            key: key.clone(),
            value: Some(fields.clone()),
        });
        self.fresh.insert(key, fields);
    }

    /// Gives a number on the topic of `kind` and puts the event into the commit.
    #[expect(clippy::too_many_arguments, reason = "one event has that many sides")]
    fn put(
        &mut self,
        state: &SlotState,
        draft: &Draft,
        kind: EventType,
        data: Fields,
        unit: &UnitOf,
        now: Now,
        id: Option<String>,
        commit: &mut Commit,
    ) -> Sealing {
        let topic: Arc<str> = self.plant.slot_topic(&draft.slot, kind.word()).into();
        let next = self.next.entry(topic.clone()).or_insert(1);
        let sequence = *next;
        *next = next.saturating_add(1);
        let id = id.unwrap_or_else(|| ids::once(&[&self.stream, &topic, &sequence.to_string()]));
        let body = self
            .envelope(draft, kind, &id, Some(sequence), unit, now, state)
            .body(data);
        commit.events.push(Sealed {
            topic: topic.clone(),
            sequence,
            id,
            slot: draft.slot.clone(),
            kind,
            body,
        });
        Sealing::Stored { topic, sequence, kind }
    }

    #[expect(clippy::too_many_arguments, reason = "one event has that many sides")]
    fn envelope<'a>(
        &'a self,
        draft: &'a Draft,
        kind: EventType,
        id: &'a str,
        sequence: Option<u64>,
        unit: &'a UnitOf,
        now: Now,
        state: &SlotState,
    ) -> Envelope<'a> {
        Envelope {
            draft,
            kind,
            id,
            source: self.plant.source(&draft.slot),
            gateway: &self.gateway,
            numbering: sequence.map(|sequence| Numbering {
                sequence,
                stream: &self.stream,
            }),
            unit,
            clock_set: now.set,
            offset: state.offset(),
            last_seen: state.last_seen(),
        }
    }

    fn lookup(&self, key: &[u8], known: &dyn KnownIds) -> Option<Vec<u8>> {
        self.fresh.get(key).cloned().or_else(|| known.get(key))
    }

    /// Everything sealed so far is in the store: its ids are found there from now on.
    pub fn committed(&mut self) {
        self.fresh.clear();
    }

    /// The ids of `topic` that may be forgotten: delivered, and 10,000 results old. The changes need no sync of their
    /// own; lost, they are made again.
    pub fn forget(&mut self, topic: &Arc<str>, delivered: u64, known: &dyn KnownIds) -> Vec<StateChange> {
        let next = self.next.get(topic).copied().unwrap_or(1);
        let until = delivered.min(next.saturating_sub(REMEMBERED.saturating_add(1)));
        let mark = ids::mark(topic);
        let Some(done) = known
            .get(&mark)
            .and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)))
        else {
            return Vec::new();
        };
        // Marks are moved in strides, so that a commit is not made of them.
        let until = until.min(done.saturating_add(FORGET_AT_ONCE));
        if until < done.saturating_add(64) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for sequence in done.saturating_add(1)..=until {
            let order = ids::order(topic, sequence);
            if let Some(key) = known.get(&order) {
                changes.push(StateChange { key, value: None });
                changes.push(StateChange {
                    key: order,
                    value: None,
                });
            }
        }
        changes.push(StateChange {
            key: mark,
            value: Some(until.to_be_bytes().to_vec()),
        });
        changes
    }
}

/// A draft that the gateway itself makes: no event of a profile, nothing on the wire.
fn own(slot: &SlotName, kind: EventType, data: Fields, at: Moment, device: &Arc<DeviceIdentity>) -> Draft {
    Draft {
        slot: slot.clone(),
        event: "".into(),
        kind,
        data,
        quarantine: Vec::new(),
        id: None,
        counter: None,
        seen: at,
        since: Some(at),
        device_time: None,
        backfill: false,
        echo: None,
        extra: Fields::new(),
        raw: None,
        device: device.clone(),
        keep: Keep::Stored,
    }
}

/// An alarm of category `gateway`, to be bound and sealed like any other.
#[must_use]
pub fn gateway_alarm(
    slot: &SlotName,
    code: &str,
    active: bool,
    text: &str,
    at: Moment,
    device: &Arc<DeviceIdentity>,
) -> Draft {
    let mut data = Fields::new();
    data.insert("code".into(), code.into());
    data.insert("active".into(), active.into());
    data.insert("category".into(), "gateway".into());
    data.insert("text".into(), text.into());
    own(slot, EventType::Alarm, data, at, device)
}

/// A change of the device that fills a slot, to be bound and sealed like any other: who was there before, who is now, what the
/// plan said, and who did it.
#[must_use]
pub fn change(
    slot: &SlotName,
    (from, to): (Option<&DeviceIdentity>, Option<&DeviceIdentity>),
    plan: &[String],
    who: Option<&str>,
    at: Moment,
) -> Draft {
    let device = |identity: &DeviceIdentity| {
        let mut members = Fields::new();
        members.insert("vendor".into(), identity.vendor.clone().into());
        members.insert("model".into(), identity.model.clone().into());
        members.insert("digest".into(), identity.digest.clone().into());
        members
    };
    let mut data = Fields::new();
    if let Some(from) = from {
        data.insert("from".into(), device(from).into());
    }
    if let Some(to) = to {
        data.insert("to".into(), device(to).into());
    }
    if !plan.is_empty() {
        data.insert("plan".into(), plan.into());
    }
    if let Some(who) = who {
        data.insert("who".into(), who.into());
    }
    let identity = Arc::new(to.or(from).cloned().unwrap_or_default());
    own(slot, EventType::Change, data, at, &identity)
}

/// A gap, to be bound and sealed like any other: why and of which type; after which, before which and how many.
#[must_use]
pub fn gap(
    slot: &SlotName,
    (cause, of): (GapCause, EventType),
    (after, before, count): (Option<String>, Option<String>, Option<u64>),
    at: Moment,
    device: &Arc<DeviceIdentity>,
) -> Draft {
    let mut data = Fields::new();
    data.insert("cause".into(), cause.word().into());
    data.insert("of".into(), of.word().into());
    if let Some(after) = after {
        data.insert("after".into(), after.into());
    }
    if let Some(before) = before {
        data.insert("before".into(), before.into());
    }
    if let Some(count) = count {
        data.insert("count".into(), count.into());
    }
    own(slot, EventType::Gap, data, at, device)
}

/// Where the state of a slot is kept.
fn slot_key(slot: &SlotName) -> Vec<u8> {
    let mut key = vec![space::SLOT];
    key.extend_from_slice(slot.to_string().as_bytes());
    key
}
