//! What the gateway knows of each slot while it runs: its device, its link, its counts, and the status made of them.

use super::setup::SlotSetup;
use crate::model::sample::{Counted, LinkState};
use crate::model::{EventType, Moment, SlotName};
use crate::profile::{Profile, SlotContract};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One slot.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) contract: Arc<SlotContract>,
    pub(super) profile: Option<Arc<Profile>>,
    link: LinkState,
    reason: String,
    since: Moment,
    /// What keeps it from being wholly well though its link is online: by subject.
    troubles: BTreeMap<String, String>,
    /// Last sequence given, by type.
    last: BTreeMap<String, u64>,
    waiting: u64,
    /// Events and what became of the rest, since the start.
    pub(super) counts: Counts,
    published: Option<Vec<u8>>,
}

/// How many of what, since the start.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) quarantined: u64,
    pub(super) gaps: u64,
    pub(super) duplicates: u64,
    pub(super) ignored: u64,
    pub(super) superseded: u64,
    pub(super) noise: u64,
    pub(super) unbound: u64,
}

impl Counts {
    pub(super) fn add(&mut self, what: Counted, number: u64) {
        let count = match what {
            Counted::Duplicate => &mut self.duplicates,
            Counted::Ignored => &mut self.ignored,
            Counted::Superseded => &mut self.superseded,
            Counted::Noise => &mut self.noise,
        };
        *count = count.saturating_add(number);
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "events": self.events, "quarantined": self.quarantined, "gaps": self.gaps,
            "duplicates": self.duplicates, "ignored": self.ignored, "superseded": self.superseded,
            "noise": self.noise, "unbound": self.unbound,
        })
    }
}

impl Entry {
    fn new(setup: &SlotSetup, now: Moment) -> Self {
        let reason = setup
            .fault
            .clone()
            .unwrap_or_else(|| "the device has not answered yet".to_owned());
        Self {
            contract: setup.contract.clone(),
            profile: setup.profile.clone(),
            link: LinkState::Offline,
            reason,
            since: now,
            troubles: BTreeMap::new(),
            last: BTreeMap::new(),
            waiting: 0,
            counts: Counts::default(),
            published: None,
        }
    }

    /// Of which type the events are that stand at `index` in its plan.
    pub(super) fn kind_of(&self, index: usize) -> Option<EventType> {
        let profile = self.profile.as_ref()?;
        profile.events().nth(index).map(|(_, kind)| kind)
    }

    /// The link changed.
    pub(super) fn link(&mut self, state: LinkState, reason: String, at: Moment) {
        if state != self.link {
            self.since = at;
        }
        self.link = state;
        self.reason = reason;
    }

    /// Another device fills it, or none: its link is not there yet.
    pub(super) fn fill(&mut self, profile: Option<Arc<Profile>>, reason: String, at: Moment) {
        self.profile = profile;
        self.link(LinkState::Offline, reason, at);
    }

    /// Something is wrong beside the link, or is no longer.
    pub(super) fn trouble(&mut self, about: &str, sentence: Option<String>, now: Moment) {
        let before = self.state();
        match sentence {
            Some(sentence) => self.troubles.insert(about.to_owned(), sentence),
            None => self.troubles.remove(about),
        };
        if self.state() != before {
            self.since = now;
        }
    }

    /// A sequence was given.
    pub(super) fn gave(&mut self, kind: &str, sequence: u64) {
        self.last.insert(kind.to_owned(), sequence);
    }

    /// How many events wait.
    pub(super) fn waits(&mut self, waiting: u64) {
        self.waiting = waiting;
    }

    fn state(&self) -> LinkState {
        match self.link {
            LinkState::Online if !self.troubles.is_empty() => LinkState::Degraded,
            state => state,
        }
    }

    fn status(&self, gateway: &str, session: &str) -> Value {
        let mut reasons = Vec::new();
        if !self.reason.is_empty() {
            reasons.push(self.reason.clone());
        }
        reasons.extend(self.troubles.values().cloned());
        let mut status = Map::new();
        status.insert("state".into(), self.state().word().into());
        status.insert("since".into(), self.since.rfc3339().into());
        status.insert("reason".into(), reasons.join("; ").into());
        status.insert("gateway".into(), gateway.into());
        status.insert("session".into(), session.into());
        if let Some(profile) = &self.profile {
            let identity = profile.identity();
            status.insert("vendor".into(), identity.vendor.clone().into());
            status.insert("model".into(), identity.model.clone().into());
            status.insert("digest".into(), identity.digest.clone().into());
        }
        status.insert("last".into(), json!(self.last));
        status.insert("waiting".into(), self.waiting.into());
        Value::Object(status)
    }
}

/// Every slot of the configuration.
#[derive(Debug)]
pub(super) struct Slots {
    entries: HashMap<SlotName, Entry>,
    order: Vec<SlotName>,
    gateway: String,
    session: String,
}

impl Slots {
    pub(super) fn new(setups: &[SlotSetup], gateway: &str, session: &str, now: Moment) -> Self {
        // A slot that is disabled has no status: it is configured away.
        let present = || {
            setups
                .iter()
                .filter(|setup| setup.profile.is_some() || setup.fault.is_some())
        };
        Self {
            entries: present()
                .map(|setup| (setup.contract.slot.clone(), Entry::new(setup, now)))
                .collect(),
            order: present().map(|setup| setup.contract.slot.clone()).collect(),
            gateway: gateway.to_owned(),
            session: session.to_owned(),
        }
    }

    pub(super) fn get_mut(&mut self, slot: &SlotName) -> Option<&mut Entry> {
        self.entries.get_mut(slot)
    }

    pub(super) fn names(&self) -> &[SlotName] {
        &self.order
    }

    pub(super) fn at_station<'a>(&'a self, station: &'a str) -> impl Iterator<Item = &'a SlotName> {
        self.order.iter().filter(move |slot| &*slot.station == station)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&SlotName, &Entry)> {
        self.order.iter().filter_map(|slot| self.entries.get_key_value(slot))
    }

    /// Every status that differs from what was published last.
    pub(super) fn changed_statuses(&mut self) -> Vec<(SlotName, Vec<u8>)> {
        let mut changed = Vec::new();
        for slot in &self.order {
            let Some(entry) = self.entries.get_mut(slot) else {
                continue;
            };
            let status = entry.status(&self.gateway, &self.session).to_string().into_bytes();
            if entry.published.as_ref() != Some(&status) {
                entry.published = Some(status.clone());
                changed.push((slot.clone(), status));
            }
        }
        changed
    }
}
