//! Another device in a slot, as the store's thread sees it: the profile that decodes from now on, the change that tells, and
//! the states of triggers for the new link.
//!
//! Owns which device filled a slot last, in the store: so a change is told once, also where it was made while the gateway was
//! down or died in the middle of it.

use super::committer::Committer;
use super::store::{Install, Told};
use super::triggers::{self, States};
use crate::contract;
use crate::gateway::changes::Device;
use crate::model::commit::space;
use crate::model::sample::TriggerState;
use crate::model::{Commit, DeviceIdentity, SlotName, StateChange};
use std::collections::HashMap;

/// Where it is kept who filled a slot last.
fn key(slot: &SlotName) -> Vec<u8> {
    [&[space::DEVICE], slot.to_string().as_bytes()].concat()
}

/// Who filled a slot, as far as the store knows.
enum Last {
    /// Nobody ever.
    Never,
    /// Nobody any more.
    Nobody,
    /// This one.
    Device(Device),
}

impl Committer {
    /// Who filled a slot last.
    fn filled(&self, slot: &SlotName) -> Last {
        let stored = self.outbox.as_ref().and_then(|outbox| outbox.state(&key(slot)).ok());
        match stored.flatten().map(|stored| serde_json::from_slice(&stored)) {
            None => Last::Never,
            Some(Ok(Some(device))) => Last::Device(device),
            Some(_) => Last::Nobody,
        }
    }

    /// Another device fills a slot, or none. Returns the states of its triggers.
    pub(super) fn install(&mut self, install: Install) -> Option<HashMap<String, TriggerState>> {
        let now = self.clock.now();
        let Install {
            slot,
            profile,
            reason,
            told,
        } = install;
        let identity = profile.as_ref().map(|profile| (**profile.identity()).clone());
        if let Some(entry) = self.slots.get_mut(&slot) {
            entry.fill(profile, reason, now);
        }
        self.tell_change(&slot, identity.as_ref(), &told);
        self.publish_statuses();
        self.states_of(&slot)
    }

    /// At the start: what changed while the gateway was down, or while it died.
    pub(super) fn tell_changes(&mut self, told: &HashMap<SlotName, Told>) {
        for slot in self.slots.names().to_vec() {
            let entry = self.slots.get_mut(&slot);
            let identity = entry.and_then(|entry| Some(entry.profile.as_ref()?.identity().clone()));
            // A file that is bad is no change: what was there before comes again.
            if identity.is_some() || told.contains_key(&slot) {
                let told = told.get(&slot).cloned().unwrap_or_default();
                self.tell_change(&slot, identity.as_deref(), &told);
            }
        }
    }

    /// A change is told where the store knows of another device.
    pub(super) fn tell_change(&mut self, slot: &SlotName, to: Option<&DeviceIdentity>, told: &Told) {
        let now_there = to.map(Device::from);
        let from = match (self.filled(slot), &now_there) {
            (Last::Device(before), Some(now)) if before == *now => return,
            (Last::Never | Last::Nobody, None) => return,
            (Last::Device(before), _) => Some(before),
            (Last::Never | Last::Nobody, Some(_)) => None,
        };
        let mut commit = Commit::default();
        // The first device of a slot replaces nothing.
        if !matches!(self.filled(slot), Last::Never) {
            let from = from.map(|device| DeviceIdentity {
                vendor: device.vendor,
                model: device.model,
                serial: device.serial,
                digest: device.digest,
            });
            let at = self.clock.now();
            let draft = contract::change(slot, (from.as_ref(), to), &told.plan, told.who.as_deref(), at);
            self.seal(&draft, &mut commit, &mut Vec::new());
        }
        commit.state.push(StateChange {
            key: key(slot),
            value: serde_json::to_vec(&now_there).ok(),
        });
        self.write_or_log(commit);
    }

    /// The states of a slot's triggers. `None`: the store cannot be asked now.
    pub(super) fn states_of(&self, slot: &SlotName) -> Option<HashMap<String, TriggerState>> {
        let mut found = triggers::Found::default();
        let outbox = self.outbox.as_ref()?;
        if let Err(fault) = outbox.scan_state(&triggers::prefix(slot), &mut |key, value| found.take(key, value)) {
            tracing::error!("{slot}: the states of its triggers: {fault}");
            return None;
        }
        let mut states: States = found.states(std::slice::from_ref(slot));
        Some(states.remove(slot).unwrap_or_default())
    }

    /// Something of a slot that a person should see, or that is over.
    pub(super) fn slot_trouble(&mut self, slot: &SlotName, about: &str, sentence: Option<String>) {
        let now = self.clock.now();
        if let Some(entry) = self.slots.get_mut(slot) {
            entry.trouble(about, sentence, now);
        }
        self.publish_statuses();
    }
}
