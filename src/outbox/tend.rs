//! Housekeeping in small steps, for when nothing else is to do: pointers written, sent events beyond `keep_sent`
//! removed, rotation carried on. Owns which of these comes first.

use super::append::record_tally;
use super::frame::{event_key, parse_event_key, unseal};
use super::types::{OutboxError, Tally};
use super::{Outbox, disk, peek_times};
use std::ops::{Bound, ControlFlow};

impl Outbox {
    /// One step of housekeeping, of about `budget` records; `true`: there is more to do. To be called when idle, and
    /// now and then when not.
    pub fn tend(&mut self, budget: usize) -> Result<bool, OutboxError> {
        self.ready()?;
        let budget = budget.max(1);
        let lazy = self.lazy_changes(false);
        if !lazy.is_empty() {
            let written = self.store.write(lazy);
            self.watch(written)?;
        }
        // What is going to be removed is not copied.
        if self.rotation.is_none() && self.trim(budget)? {
            return Ok(true);
        }
        if self.rotation.is_some() || self.worth_rotating() {
            let stepped = self.rotate_step(budget);
            return self.watch(stepped);
        }
        Ok(false)
    }

    /// Bytes of sent records that may stay: `keep_sent`, and what waiting ones leave of `max_bytes`.
    fn sent_target(&self) -> u64 {
        let left = self.limits.max_bytes.saturating_sub(disk(self.index.waiting().bytes));
        self.limits.keep_sent.min(left)
    }

    /// Removes the oldest sent events over all topics, until what is kept is within bounds.
    pub(super) fn trim(&mut self, budget: usize) -> Result<bool, OutboxError> {
        let mut changes = Vec::new();
        let target = self.sent_target();
        while changes.len() < budget {
            let over = disk(self.index.sent().bytes).saturating_sub(target);
            if over == 0 {
                break;
            }
            let over = over * 10 / super::DISK_TENTHS;
            let mut oldest: Option<(usize, u64)> = None;
            let mut second = u64::MAX;
            for (place, topic) in self.index.topics.iter().enumerate() {
                let Some(first) = self.tail(topic)? else { continue };
                match oldest {
                    Some((_, known)) if known <= first.powered => second = second.min(first.powered),
                    _ => {
                        second = second.min(oldest.map_or(u64::MAX, |(_, known)| known));
                        oldest = Some((place, first.powered));
                    }
                }
            }
            let Some((place, _)) = oldest else { break };
            let before = changes.len();
            let Some(topic) = self.index.topics.get(place) else {
                break;
            };
            let from = event_key(topic.id, topic.trimmed, u16::MAX);
            let to = event_key(topic.id, topic.delivered, u16::MAX);
            let mut gone = Tally::default();
            let mut last = 0;
            let scanned = self
                .store
                .range(Bound::Excluded(&from), Bound::Included(&to), &mut |key, value| {
                    let Some((_, sequence, _)) = parse_event_key(key) else {
                        return ControlFlow::Continue(());
                    };
                    if sequence != last {
                        let powered = unseal(key, value).and_then(peek_times).map_or(0, |times| times.1);
                        let enough = gone.bytes > over || changes.len() >= budget || powered > second;
                        if last != 0 && enough {
                            return ControlFlow::Break(());
                        }
                        last = sequence;
                    }
                    gone.add(record_tally(key, value));
                    changes.push((key.to_vec(), None));
                    ControlFlow::Continue(())
                });
            self.watch(scanned)?;
            if let Some(topic) = self.index.topics.get_mut(place) {
                topic.sent.take(gone);
                topic.tail.set(None);
                topic.trimmed = topic.trimmed.max(last);
                if changes.len() == before {
                    // The count was wrong: there is none.
                    topic.sent = Tally::default();
                }
            }
        }
        let more = disk(self.index.sent().bytes) > target;
        if !changes.is_empty() {
            let written = self.store.write(changes);
            self.watch(written)?;
        }
        Ok(more)
    }
}
