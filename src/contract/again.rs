//! Sealing what was in quarantine and is an event now: with the id that the device's values give it, in the life of ids in
//! which it was said, and without a word about its device today.

use super::slot::SlotState;
use super::{Allocator, KnownIds, Now, Sealing, UnitOf, guard, ids};
use crate::model::{Commit, Draft, SlotName};
use std::sync::Arc;

/// What became of a draft that was in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// It is in the commit.
    Stored {
        /// Its id.
        id: String,
        /// Its number on the topic of its type.
        sequence: u64,
    },
    /// The same result was stored before, under this id.
    Duplicate {
        /// That id.
        id: String,
    },
    /// Another result has its id: it cannot be told from that.
    Taken,
    /// It still is no event of its type, and why.
    Faults(Vec<String>),
}

/// Why a draft is no event of its type: what its profile says, and what the contract asks. Empty: it is one.
#[must_use]
pub fn faults(draft: &Draft) -> Vec<String> {
    guard::reasons(draft)
}

impl Allocator {
    /// Which life of its ids a slot is in. Empty where it never said anything.
    #[must_use]
    pub fn incarnation(&self, slot: &SlotName) -> &str {
        self.slots.get(slot).map_or("", |state| &state.incarnation)
    }

    /// Numbers and seals a draft that was in quarantine. `incarnation`: [`Self::incarnation`] when it was said; empty: today's.
    /// Counters, clock and identity of the device stay what they are: they have gone on since.
    pub fn seal_again(
        &mut self,
        draft: &Draft,
        incarnation: &str,
        unit: &UnitOf,
        now: Now,
        known: &dyn KnownIds,
        commit: &mut Commit,
    ) -> Again {
        let reasons = guard::reasons(draft);
        if !reasons.is_empty() {
            return Again::Faults(reasons);
        }
        let mut state: SlotState = self.slots.get(&draft.slot).cloned().unwrap_or_default();
        if !incarnation.is_empty() {
            incarnation.clone_into(&mut state.incarnation);
        }
        let source = self.plant.source(&draft.slot);
        let topic: Arc<str> = self.plant.slot_topic(&draft.slot, draft.kind.word()).into();
        let mut identity = None;
        let mut id = None;
        if let Some(values) = &draft.id {
            let made = ids::event_id(&source, draft.kind.word(), &state.incarnation, values);
            let key = ids::key(&topic, &state.incarnation, values);
            let fields = ids::fields(&draft.data);
            match self.lookup(&key, known) {
                Some(stored) if ids::same(&stored, &fields) => return Again::Duplicate { id: made },
                Some(_) => return Again::Taken,
                None => identity = Some((key, fields)),
            }
            id = Some(made);
        }
        let sealing = self.put(&state, draft, draft.kind, guard::ordered(draft), unit, now, id, commit);
        let Sealing::Stored { sequence, .. } = sealing else {
            return Again::Taken;
        };
        if let Some((key, fields)) = identity {
            self.remember(&topic, sequence, key, fields, known, commit);
        }
        let id = commit.events.last().map(|event| event.id.clone()).unwrap_or_default();
        Again::Stored { id, sequence }
    }
}
