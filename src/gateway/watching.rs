//! Where drift is noticed: behind each event that is sealed. Owns that a finding becomes an alarm in the same commit, and
//! that what was learned goes to the store without a sync of its own. What is usual is [`crate::drift`]'s.

use super::committer::Committer;
use crate::drift::Drift;
use crate::model::commit::space;
use crate::model::{Commit, Draft, EventType, SlotName};
use crate::outbox::{Outbox, OutboxError};
use serde_json::{Map, Value, json};

/// What was learned of the slots that are configured.
pub(super) fn restored(outbox: &Outbox, names: &[SlotName]) -> Result<Drift, OutboxError> {
    let mut drift = Drift::default();
    for name in names {
        let prefix = [&[space::DRIFT], name.to_string().as_bytes(), b"/"].concat();
        outbox.scan_state(&prefix, &mut |key, value| drift.restore(key, value))?;
    }
    Ok(drift)
}

/// How often what was told, by slot: `{"st10.spindle-1": {"alarms": {"drift_scale": 1}, "codes": {…}}}`.
pub(super) fn counts(drift: &Drift) -> Value {
    let told = drift
        .counts()
        .filter(|(_, tally)| !tally.alarms.is_empty() || !tally.codes.is_empty());
    let slots: Map<String, Value> = told
        .map(|(slot, tally)| (slot.to_string(), json!({"alarms": tally.alarms, "codes": tally.codes})))
        .collect();
    Value::Object(slots)
}

impl Committer {
    /// An event of a device was sealed into `commit` as `kind`: what is unusual of it is told behind it.
    pub(super) fn watch(&mut self, draft: &Draft, kind: EventType, commit: &mut Commit) {
        // What the last guard turned away is no result to learn from.
        if kind == EventType::Quarantine && draft.quarantine.is_empty() {
            return;
        }
        for finding in self.drift.said(draft) {
            if finding.active {
                tracing::warn!("{}: {}: {}", finding.slot, finding.code, finding.text);
            } else {
                tracing::info!("{}: {} is over: {}", finding.slot, finding.code, finding.text);
            }
            self.alarm(
                &finding.slot,
                finding.code,
                finding.active,
                &finding.text,
                draft.seen,
                commit,
            );
        }
        self.lazy.extend(self.drift.take_changes());
    }

    /// What was learned is stored with the next commit.
    pub(super) fn keep_drift(&mut self) {
        self.drift.look(self.clock.now());
        self.lazy.extend(self.drift.take_changes());
    }

    /// Everything that was learned, before the store is closed.
    pub(super) fn keep_all_drift(&mut self) {
        self.drift.keep_all();
        self.lazy.extend(self.drift.take_changes());
    }
}
