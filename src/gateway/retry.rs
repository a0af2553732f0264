//! Quarantines: which are held, and those that are tried again with today's profile.
//!
//! Owns what is kept beside a quarantine ([`material`]) and the commit in which it becomes an event. How today's profile
//! reads it is [`decode`]; its id and number come from the contract, its unit is the one that it had.

mod decode;
mod material;

use super::committer::{Batch, Committer, Known};
use crate::contract::{Again, Now, UnitOf};
use crate::model::time::parse_rfc3339;
use crate::model::{Commit, Draft, EventType, Moment, Sample, StateChange};
use crate::outbox::{Listed, Outbox, OutboxError, Standing, Stored};
use decode::Told;
use material::{Head, Material, Record, Solved};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Quarantines of which is kept what they were made of; the oldest are forgotten first.
const KEPT: usize = 10_000;
/// Pieces of their records over all, 68 MB: few have more than one.
const PIECES: usize = 20_000;
/// Events that a command is shown at most.
const LISTED: usize = 10_000;
/// Quarantines that one question may try again.
pub const AT_ONCE: usize = 50;

/// A quarantine, as a command names it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Its topic.
    pub topic: String,
    /// Its sequence there.
    pub sequence: u64,
    /// Its id.
    pub id: String,
}

#[derive(Debug)]
struct One {
    id: String,
    head: Head,
}

/// Which records are in the store, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Kept {
    all: VecDeque<One>,
    pieces: usize,
}

impl Kept {
    /// What a store holds.
    pub(super) fn restore(outbox: &Outbox) -> Result<Self, OutboxError> {
        let mut all: Vec<One> = Vec::new();
        outbox.scan_state(&material::SPACE, &mut |key, value| {
            if let (Some((id, 0)), Some((head, _))) = (material::parse_key(key), material::parse_head(value)) {
                all.push(One {
                    id: id.to_owned(),
                    head,
                });
            }
        })?;
        all.sort_by_key(|one| (one.head.wall, one.head.sequence));
        let pieces = all.iter().map(|one| usize::from(one.head.pieces)).sum();
        Ok(Self {
            all: all.into(),
            pieces,
        })
    }

    /// Adds one, and returns what is to be removed for it.
    fn add(&mut self, one: One) -> Vec<StateChange> {
        self.pieces += usize::from(one.head.pieces);
        self.all.push_back(one);
        let mut changes = Vec::new();
        while (self.all.len() > KEPT || self.pieces > PIECES)
            && let Some(oldest) = self.all.pop_front()
        {
            self.pieces = self.pieces.saturating_sub(usize::from(oldest.head.pieces));
            changes.extend(material::remove(&oldest.id, 0, oldest.head.pieces));
        }
        changes
    }

    /// Those whose events are no longer held. `held`: the first number that is held on a topic.
    pub(super) fn prune(&mut self, held: &dyn Fn(&str) -> Option<u64>) -> Vec<StateChange> {
        let mut first: HashMap<String, Option<u64>> = HashMap::new();
        let mut changes = Vec::new();
        let pieces = &mut self.pieces;
        self.all.retain(|one| {
            let known = first.get(&one.head.topic).copied();
            let first = known.unwrap_or_else(|| *first.entry(one.head.topic.clone()).or_insert(held(&one.head.topic)));
            let stays = first.is_some_and(|first| one.head.sequence >= first);
            if !stays {
                *pieces = pieces.saturating_sub(usize::from(one.head.pieces));
                changes.extend(material::remove(&one.id, 0, one.head.pieces));
            }
            stays
        });
        changes
    }

    fn find(&self, id: &str) -> Option<&One> {
        self.all.iter().find(|one| one.id == id)
    }

    /// It is solved: another record stands in its place.
    fn solved(&mut self, id: &str, head: Head) -> Vec<StateChange> {
        match self.all.iter_mut().find(|one| one.id == id) {
            Some(one) => {
                self.pieces = (self.pieces + usize::from(head.pieces)).saturating_sub(usize::from(one.head.pieces));
                one.head = head;
                Vec::new()
            }
            None => self.add(One {
                id: id.to_owned(),
                head,
            }),
        }
    }
}

/// `quarantine list`, of a store that is open here: what waits and what was delivered and is kept.
pub(super) fn quarantine_list(outbox: &Outbox, slot: Option<&str>) -> Value {
    let listed = match outbox.list(Some("/quarantine"), LISTED) {
        Ok(listed) => listed,
        Err(fault) => return json!({ "error": fault.to_string() }),
    };
    let read = |key: &[u8]| outbox.state(key).ok().flatten();
    let row = |entry: Listed| {
        let event = entry.event.filter(|event| event.kind == EventType::Quarantine)?;
        if slot.is_some_and(|slot| event.slot.to_string() != slot) {
            return None;
        }
        let body: Value = serde_json::from_slice(&event.body).ok()?;
        let standing = match entry.standing {
            Standing::Waiting => "waiting",
            Standing::Sent => "sent",
            Standing::Rejected(_) => "rejected",
            Standing::Damaged => "damaged",
        };
        let data = &body["data"];
        let (state, event_name, by) = match material::load(&event.id, &read) {
            Some(Record::Solved(by)) => ("solved", None, Some(by)),
            Some(Record::Material(kept)) => ("open", Some(kept.event), None),
            None => ("open", None, None),
        };
        Some(json!({
            "id": event.id, "slot": event.slot.to_string(), "topic": &*entry.topic, "sequence": entry.sequence,
            "standing": standing, "when": data["times"]["observed"], "of": data["type"], "event": event_name,
            "reasons": data["reasons"], "raw": data["raw"], "unit": body["subject"], "digest": data["origin"]["digest"],
            "state": state, "by": by,
        }))
    };
    listed.into_iter().filter_map(row).collect()
}

/// What a stored quarantine says of itself.
struct Case {
    kind: Option<EventType>,
    raw: String,
    seen: Moment,
    unit: UnitOf,
    /// Vendor, model, serial.
    device: [String; 3],
    clock_set: bool,
}

impl Case {
    fn of(stored: &Stored) -> Option<Self> {
        let body: Value = serde_json::from_slice(&stored.body).ok()?;
        let data = body.get("data")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let origin = &data["origin"];
        Some(Self {
            kind: data["type"].as_str().and_then(EventType::of),
            raw: text(&data["raw"]),
            // A tick of another start says nothing.
            seen: Moment::new(parse_rfc3339(data["times"]["observed"].as_str()?)?, 0),
            unit: UnitOf {
                fields: data["unit"].as_object().cloned().unwrap_or_else(Map::new),
                subject: body["subject"].as_str().map(str::to_owned),
            },
            device: ["vendor", "model", "serial"].map(|name| text(&origin[name])),
            clock_set: data["times"]["basis"] != "unsynchronized",
        })
    }

    /// Why a draft is another device's, where it is.
    fn of_another(&self, draft: &Draft) -> Option<String> {
        let device = &draft.device;
        let today = [
            device.vendor.clone(),
            device.model.clone(),
            device.serial.clone().unwrap_or_default(),
        ];
        (today != self.device).then(|| {
            let shown = |who: &[String; 3]| {
                let named: Vec<&str> = who.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
                named.join(" ")
            };
            format!(
                "it was said by {}, and today's profile is of {}: try again while the profile of that device is in place",
                shown(&self.device),
                shown(&today)
            )
        })
    }
}

impl Committer {
    /// Keeps beside every quarantine in `commit` what `sample` was made of.
    pub(super) fn keep_quarantined(&mut self, sample: &Sample, commit: &mut Commit) {
        let quarantined = commit.events.iter().filter(|event| event.kind == EventType::Quarantine);
        let quarantined: Vec<(String, Arc<str>, u64)> = quarantined
            .map(|event| (event.id.clone(), event.topic.clone(), event.sequence))
            .collect();
        for (id, topic, sequence) in quarantined {
            let kept = Material::of(sample, self.allocator.incarnation(&sample.plan.slot));
            let head = Head {
                pieces: 0,
                sequence,
                wall: sample.seen.wall,
                solved: false,
                topic: topic.to_string(),
            };
            let Some((pieces, changes)) = material::store(&id, &Record::Material(kept), &head, 0) else {
                tracing::warn!(
                    "{}: quarantine {sequence} is too long to be tried again later",
                    sample.plan.slot
                );
                continue;
            };
            commit.state.extend(changes);
            let head = Head { pieces, ..head };
            commit.state.extend(self.mes.kept.add(One { id, head }));
        }
    }

    /// `quarantine retry`: what became of each.
    pub(super) fn retry_quarantines(&mut self, places: &[Place]) -> Value {
        places
            .iter()
            .take(AT_ONCE)
            .map(|place| {
                let mut said = match self.retry_one(place) {
                    Ok(said) => said,
                    Err(reasons) => json!({"outcome": "still", "reasons": reasons}),
                };
                said["id"] = place.id.clone().into();
                said["sequence"] = place.sequence.into();
                said
            })
            .collect()
    }

    fn retry_one(&mut self, place: &Place) -> Result<Value, Vec<String>> {
        let why = |reason: &str| vec![reason.to_owned()];
        if self.is_broken() || self.unsynced.is_some() {
            return Err(why("the store cannot be written now: try again"));
        }
        let Some(outbox) = &self.outbox else {
            return Err(why("the store is not open"));
        };
        let stored = outbox
            .at(&place.topic, place.sequence)
            .map_err(|fault| vec![fault.to_string()])?;
        let stored = stored.filter(|stored| stored.id == place.id && stored.kind == EventType::Quarantine);
        let stored = stored.ok_or_else(|| why("it is no longer held"))?;
        let read = |key: &[u8]| outbox.state(key).ok().flatten();
        let kept = match material::load(&place.id, &read) {
            Some(Record::Solved(by)) => return Ok(json!({"outcome": "solved_before", "by": by})),
            Some(Record::Material(kept)) => Some(kept),
            None => None,
        };
        let case = Case::of(&stored).ok_or_else(|| why("the event itself cannot be read"))?;
        let entry = self.slots.get_mut(&stored.slot);
        let entry = entry.ok_or_else(|| why("its slot is not configured, or disabled"))?;
        let contract = entry.contract.clone();
        let profile = entry.profile.clone();
        let profile =
            profile.ok_or_else(|| why("its slot has no device file that can be used: `lineside check` says why"))?;
        let told = Told {
            kind: case.kind,
            raw: &case.raw,
            seen: case.seen,
            material: kept.as_ref(),
        };
        let drafts = decode::again(&profile, &contract, &told)?;
        if let Some(reason) = drafts.iter().find_map(|draft| case.of_another(draft)) {
            return Err(vec![reason]);
        }
        self.solve(place, &case, kept.as_ref(), &drafts)
    }

    /// Commits the events and the note that the quarantine is solved, together.
    fn solve(
        &mut self,
        place: &Place,
        case: &Case,
        kept: Option<&Material>,
        drafts: &[Draft],
    ) -> Result<Value, Vec<String>> {
        const ROOM: u64 = 64 << 10;
        const EVENTS: usize = 64;
        const TAKEN: &str = "the device gave its id to another result, which was stored: look at both";
        let Some(outbox) = &self.outbox else {
            return Err(vec!["the store is not open".to_owned()]);
        };
        outbox.has_room(ROOM).map_err(|full| vec![full.to_string()])?;
        let now = Now {
            moment: self.clock.now(),
            set: case.clock_set,
        };
        let incarnation = kept.map_or("", |kept| kept.incarnation.as_str());
        if drafts.len() > EVENTS {
            return Err(vec![format!(
                "it would be {} events, and {EVENTS} at most are made of one quarantine",
                drafts.len()
            )]);
        }
        // Nothing is numbered before all of it is known to be an event.
        for draft in drafts {
            let reasons = crate::contract::faults(draft);
            if !reasons.is_empty() {
                return Err(reasons);
            }
        }
        let mut commit = Commit::default();
        let mut solved = Vec::new();
        let mut made = Vec::new();
        let mut taken = false;
        for draft in drafts {
            let again = self
                .allocator
                .seal_again(draft, incarnation, &case.unit, now, &Known(outbox), &mut commit);
            let (id, sequence) = match again {
                Again::Stored { id, sequence } => (id, Some(sequence)),
                Again::Duplicate { id } => (id, None),
                Again::Taken | Again::Faults(_) => {
                    taken = true;
                    continue;
                }
            };
            made.push(json!({"id": id, "type": draft.kind.word(), "sequence": sequence}));
            solved.push(Solved {
                by: id,
                kind: draft.kind.word().to_owned(),
                at: now.moment.wall,
                duplicate: sequence.is_none(),
            });
        }
        if solved.is_empty() {
            return Err(vec![TAKEN.to_owned()]);
        }
        let slot = drafts.first().map(|draft| draft.slot.clone());
        let before = self.mes.kept.find(&place.id).map_or(0, |one| one.head.pieces);
        let head = Head {
            pieces: 1,
            sequence: place.sequence,
            wall: case.seen.wall,
            solved: true,
            topic: place.topic.clone(),
        };
        let record = Record::Solved(solved);
        // So few are never too long; and numbers that were given are never given back.
        let (pieces, changes) = material::store(&place.id, &record, &head, before).unwrap_or_default();
        let head = Head { pieces, ..head };
        commit.state.extend(changes);
        commit.state.extend(self.mes.kept.solved(&place.id, head));
        let numbered = commit.events.len();
        if let Some(entry) = slot.and_then(|slot| self.slots.get_mut(&slot)) {
            entry.counts.events = entry.counts.events.saturating_add(u64::try_from(numbered).unwrap_or(0));
        }
        let written = self.write(Batch::of(commit));
        if let Err(fault) = written {
            self.broken = Some(fault);
        }
        let outcome = if numbered == 0 { "duplicate" } else { "made" };
        let waits = self.unsynced.is_some() || self.broken.is_some();
        let reasons: Vec<&str> = taken.then_some(TAKEN).into_iter().collect();
        Ok(json!({"outcome": outcome, "events": made, "reasons": reasons, "durable": !waits}))
    }
}
