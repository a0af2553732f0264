//! What the MES rejected: which event, why, and whether a person has looked at it.
//!
//! Owns the records in the store (by the event's id), the search for an id, and what a slot's status says of it. A
//! rejected event stays where it is, unchanged: the MES decides what becomes of its unit, never the gateway.

use super::committer::Committer;
use super::mes::Response;
use crate::model::commit::space;
use crate::model::{Commit, EventType, Moment, SlotName, StateChange};
use crate::outbox::{Outbox, Search, Searched};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Rejections that are kept; the oldest go first.
const KEPT: usize = 1_000;
/// Responses whose event is being looked for, at most.
const WAITING: usize = 512;
/// Records that one step looks at.
const STEP: usize = 1_024;

/// One event that the MES rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rejection {
    pub(super) topic: String,
    pub(super) sequence: u64,
    pub(super) reason: String,
    /// Wall milliseconds.
    pub(super) at: i64,
    /// A person has looked at it.
    #[serde(default)]
    pub(super) seen: bool,
}

/// A rejection whose event is being looked for.
#[derive(Debug)]
struct Pending {
    slot: SlotName,
    search: Search,
    reason: String,
    at: Moment,
}

/// All that are kept, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    kept: Vec<(String, Rejection)>,
    pending: VecDeque<Pending>,
}

fn key(id: &str) -> Vec<u8> {
    [&[space::QUARANTINE, b'r'], id.as_bytes()].concat()
}

impl Rejections {
    /// What a store holds.
    pub(super) fn restore(outbox: &Outbox) -> Result<Self, crate::outbox::OutboxError> {
        let mut kept = Vec::new();
        outbox.scan_state(&[space::QUARANTINE, b'r'], &mut |key, value| {
            let id = key.get(2..).and_then(|id| std::str::from_utf8(id).ok());
            if let (Some(id), Ok(rejection)) = (id, serde_json::from_slice::<Rejection>(value)) {
                kept.push((id.to_owned(), rejection));
            }
        })?;
        kept.sort_by_key(|(_, rejection)| (rejection.at, rejection.sequence));
        Ok(Self {
            kept,
            pending: VecDeque::new(),
        })
    }

    fn find(&self, id: &str) -> Option<&Rejection> {
        self.kept
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, rejection)| rejection)
    }

    /// Puts one in, as the newest, and returns what is to be stored.
    fn put(&mut self, id: &str, rejection: Rejection) -> Vec<StateChange> {
        self.kept.retain(|(known, _)| known != id);
        let mut changes = vec![StateChange {
            key: key(id),
            value: serde_json::to_vec(&rejection).ok(),
        }];
        self.kept.push((id.to_owned(), rejection));
        while self.kept.len() > KEPT {
            let (oldest, _) = self.kept.remove(0);
            changes.push(StateChange {
                key: key(&oldest),
                value: None,
            });
        }
        changes
    }

    fn remove(&mut self, id: &str) -> Option<(Rejection, StateChange)> {
        let at = self.kept.iter().position(|(known, _)| known == id)?;
        let (_, rejection) = self.kept.remove(at);
        let key = key(id);
        Some((rejection, StateChange { key, value: None }))
    }

    /// How many there are, and how many nobody has looked at.
    pub(super) fn tally(&self) -> Value {
        let unseen = self.kept.iter().filter(|(_, rejection)| !rejection.seen).count();
        json!({"events": self.kept.len(), "unseen": unseen})
    }

    /// Reason by id, for lists.
    pub(super) fn reasons(&self) -> HashMap<&str, &Rejection> {
        self.kept
            .iter()
            .map(|(id, rejection)| (id.as_str(), rejection))
            .collect()
    }

    /// Those that are no longer held. `held`: the first number that is held on a topic.
    pub(super) fn prune(&mut self, held: &dyn Fn(&str) -> Option<u64>) -> Vec<StateChange> {
        let mut first: HashMap<String, Option<u64>> = HashMap::new();
        let mut changes = Vec::new();
        self.kept.retain(|(id, rejection)| {
            let first = first
                .entry(rejection.topic.clone())
                .or_insert_with(|| held(&rejection.topic));
            let stays = first.is_some_and(|first| rejection.sequence >= first);
            if !stays {
                changes.push(StateChange {
                    key: key(id),
                    value: None,
                });
            }
            stays
        });
        changes
    }
}

impl Committer {
    /// The MES gave its verdict on an event.
    pub(super) fn responded(&mut self, slot: &SlotName, said: Result<Response, String>, at: Moment) {
        let Response { id, verdict } = match said {
            Ok(response) => response,
            Err(why) => {
                return self.disobey(
                    slot,
                    "response_refused",
                    &format!("a response of the MES was refused: {why}"),
                    at,
                );
            }
        };
        match verdict {
            Ok(()) => self.accepted(&id, at),
            Err(reason) => {
                if self
                    .mes
                    .rejections
                    .find(&id)
                    .is_some_and(|known| known.reason == reason)
                {
                    tracing::debug!("{slot}: {id} was rejected before, for the same reason");
                    return;
                }
                if self.mes.rejections.pending.len() >= WAITING {
                    let why = format!("{WAITING} others are still being looked up: say it again later");
                    return self.disobey(
                        slot,
                        "response_refused",
                        &format!("the rejection of {id} was refused: {why}"),
                        at,
                    );
                }
                let mut topics: Vec<(u64, Arc<str>)> = Vec::new();
                for kind in EventType::ALL {
                    let topic = self.plant.slot_topic(slot, kind.word());
                    let count = self.outbox.as_ref().map_or(0, |outbox| outbox.last_given(&topic));
                    if count > 0 {
                        topics.push((count, topic.into()));
                    }
                }
                // The next one is the last: what has the fewest events is looked through first.
                topics.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
                let topics = topics.into_iter().map(|(_, topic)| topic).collect();
                self.mes.rejections.pending.push_back(Pending {
                    slot: slot.clone(),
                    search: Search::new(&id, topics),
                    reason,
                    at,
                });
                self.busy = true;
            }
        }
    }

    /// An event that was rejected is accepted after all.
    fn accepted(&mut self, id: &str, at: Moment) {
        self.mes.rejections.pending.retain(|pending| pending.search.id() != id);
        let Some((rejection, change)) = self.mes.rejections.remove(id) else {
            return;
        };
        tracing::info!("the MES accepted {id}, which it had rejected");
        let mut commit = Commit::default();
        commit.state.push(change);
        if let Some((slot, _)) = self.owner(&rejection.topic) {
            self.rejections_changed(&slot, !rejection.seen, at, &mut commit);
        }
        self.write_or_log(commit);
    }

    /// Looks for the events of responses; `true`: there is more to do.
    pub(super) fn look_up_responses(&mut self) -> bool {
        if self.is_broken() {
            return false;
        }
        let Some(outbox) = &self.outbox else { return false };
        let Some(pending) = self.mes.rejections.pending.front_mut() else {
            return false;
        };
        let found = match outbox.search(&mut pending.search, STEP) {
            Ok(Searched::Going) => return true,
            Ok(Searched::Found { topic, sequence }) => Some((topic, sequence)),
            Ok(Searched::Nowhere) => None,
            Err(fault) => {
                tracing::error!("looking for an event that the MES rejected: {fault}");
                return false;
            }
        };
        let Some(pending) = self.mes.rejections.pending.pop_front() else {
            return false;
        };
        let id = pending.search.id().to_owned();
        if let Some((topic, sequence)) = found {
            self.reject(&pending, &id, &topic, sequence);
        } else {
            let why = format!(
                "a response of the MES was refused: no event of this slot that is still held has the id `{id}` \
                 (how much is held says keep_sent)"
            );
            self.disobey(&pending.slot, "response_refused", &why, pending.at);
        }
        !self.mes.rejections.pending.is_empty()
    }

    fn reject(&mut self, pending: &Pending, id: &str, topic: &str, sequence: u64) {
        let Some((slot, kind)) = self.owner(topic) else { return };
        let reason = pending.reason.clone();
        tracing::warn!("{slot}: the MES rejected {kind} {sequence} ({id}): {reason}");
        let mut commit = Commit::default();
        let rejection = Rejection {
            topic: topic.to_owned(),
            sequence,
            reason: reason.clone(),
            at: pending.at.wall,
            seen: false,
        };
        commit.state.extend(self.mes.rejections.put(id, rejection));
        // An alarm that is rejected itself must not beget another one.
        if kind != EventType::Alarm {
            let text = format!("the MES rejected {kind} {sequence} (id {id}): {reason}");
            self.alarm(&slot, "rejected_by_mes", true, &text, pending.at, &mut commit);
        }
        self.rejections_changed(&slot, false, pending.at, &mut commit);
        self.write_or_log(commit);
    }

    /// Says in the status of `slot` how many were rejected and not looked at. `fewer`: the last of them may be gone,
    /// then the alarm goes too.
    fn rejections_changed(&mut self, slot: &SlotName, fewer: bool, at: Moment, commit: &mut Commit) {
        let sentence = self.rejected_sentence(slot);
        if fewer && sentence.is_none() {
            let text = "no rejection by the MES is left that nobody has looked at";
            self.alarm(slot, "rejected_by_mes", false, text, at, commit);
        }
        if let Some(entry) = self.slots.get_mut(slot) {
            entry.trouble("rejected by the MES", sentence, at);
        }
    }

    fn rejected_sentence(&self, slot: &SlotName) -> Option<String> {
        let unseen = self.mes.rejections.kept.iter().filter(|(_, rejection)| !rejection.seen);
        let mine: Vec<(&str, &Rejection, EventType)> = unseen
            .filter_map(|(id, rejection)| {
                let kind = EventType::of(rejection.topic.rsplit('/').next()?)?;
                let topic = self.plant.slot_topic(slot, kind.word());
                (topic == rejection.topic).then_some((id.as_str(), rejection, kind))
            })
            .collect();
        let (id, last, kind) = mine.last()?;
        let (count, plural) = (mine.len(), if mine.len() == 1 { "" } else { "s" });
        Some(format!(
            "the MES rejected {count} event{plural}, the last {kind} {} (id {id}): {}; `lineside outbox seen` takes note",
            last.sequence, last.reason
        ))
    }

    /// After a start: what the statuses of slots have to say.
    pub(super) fn tell_rejections(&mut self) {
        let now = self.clock.now();
        for slot in self.slots.names().to_vec() {
            let sentence = self.rejected_sentence(&slot);
            if let (Some(entry), Some(_)) = (self.slots.get_mut(&slot), &sentence) {
                entry.trouble("rejected by the MES", sentence, now);
            }
        }
    }

    /// `outbox seen`: a person has looked at what the MES rejected.
    pub(super) fn seen(&mut self, slot: Option<&str>, id: Option<&str>) -> Value {
        if self.is_broken() || self.unsynced.is_some() {
            return json!({"error": "the store cannot be written now: try again"});
        }
        let chosen: Vec<(String, SlotName)> = self
            .mes
            .rejections
            .kept
            .iter()
            .filter(|(known, rejection)| !rejection.seen && id.is_none_or(|id| id == known))
            .filter_map(|(known, rejection)| Some((known.clone(), self.owner(&rejection.topic)?.0)))
            .filter(|(_, owner)| slot.is_none_or(|slot| owner.to_string() == slot))
            .collect();
        let now = self.clock.now();
        let mut commit = Commit::default();
        for (id, _) in &chosen {
            if let Some((_, rejection)) = self.mes.rejections.kept.iter_mut().find(|(known, _)| known == id) {
                rejection.seen = true;
                commit.state.push(StateChange {
                    key: key(id),
                    value: serde_json::to_vec(rejection).ok(),
                });
            }
        }
        let mut owners: Vec<SlotName> = chosen.iter().map(|(_, owner)| owner.clone()).collect();
        owners.sort();
        owners.dedup();
        for owner in owners {
            self.rejections_changed(&owner, true, now, &mut commit);
        }
        self.write_or_log(commit);
        let ids: Vec<&String> = chosen.iter().map(|(id, _)| id).collect();
        json!({"seen": ids})
    }

    /// What the MES said cannot be obeyed: a person is told, but not each time.
    pub(super) fn disobey(&mut self, slot: &SlotName, code: &'static str, sentence: &str, at: Moment) {
        let Some(untold) = self.mes.quiet.may(slot, code, at.tick) else {
            tracing::debug!("{slot}: {sentence}");
            return;
        };
        tracing::warn!("{slot}: {sentence}");
        if !self.may_speak() {
            return;
        }
        let more = if untold > 0 {
            format!(" ({untold} more since this was last told)")
        } else {
            String::new()
        };
        let mut commit = Commit::default();
        self.alarm(slot, code, true, &format!("{sentence}{more}"), at, &mut commit);
        self.write_or_log(commit);
    }

    /// Forgets what is no longer held.
    pub(super) fn prune_mes(&mut self) {
        const EVERY: u64 = 5_000;
        let now = self.clock.now();
        if now.tick < self.mes.prune_at || self.is_broken() || self.unsynced.is_some() {
            return;
        }
        self.mes.prune_at = now.tick.saturating_add(EVERY);
        let Some(outbox) = &self.outbox else { return };
        let held = |topic: &str| match outbox.held_from(topic) {
            Ok(held) => held,
            Err(fault) => {
                tracing::error!("{topic}: {fault}");
                Some(0)
            }
        };
        let unseen = self.mes.rejections.kept.iter().filter(|(_, rejection)| !rejection.seen);
        let topics: BTreeSet<&str> = unseen.map(|(_, rejection)| rejection.topic.as_str()).collect();
        let told: BTreeSet<SlotName> = topics
            .into_iter()
            .filter_map(|topic| Some(self.owner(topic)?.0))
            .collect();
        let rejections = self.mes.rejections.prune(&held);
        let quarantines = self.mes.kept.prune(&held);
        let fewer = !rejections.is_empty();
        self.lazy.extend(rejections);
        self.lazy.extend(quarantines);
        if !fewer {
            return;
        }
        let mut commit = Commit::default();
        for slot in told {
            self.rejections_changed(&slot, true, now, &mut commit);
        }
        if !commit.is_empty() {
            self.write_or_log(commit);
        }
    }
}
