//! What a person or a metric may know: numbers and lists. Owns no state.

use super::Outbox;
use super::frame::{REJECTED, decode_head, parse_rejected_key, unseal};
use super::index::Topic;
use super::queue::parse_rejected;
use super::types::{Entry, Listed, OutboxError, Standing, Stats, Stored, TopicStats};
use std::ops::ControlFlow;

/// Bytes of bodies that one step of a list holds.
const LIST_BYTES: usize = 4 << 20;

impl Outbox {
    /// Numbers as they stand now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let topics = self.index.topics.iter().map(|topic| TopicStats {
            state: self.topic_state(topic),
            sent: topic.sent,
            rejected: topic.rejected,
            dropped: topic.dropped,
        });
        Stats {
            stream: self.stream().to_owned(),
            format: self.store.format,
            waiting: self.index.waiting(),
            sent: self.index.sent(),
            rejected: self.index.rejected,
            state_bytes: self.index.state_bytes,
            disk_bytes: self.store.file_bytes(),
            free_bytes: self.store.free().unwrap_or(0),
            max_bytes: self.limits.max_bytes,
            commits: self.meter.commits,
            events: self.meter.events,
            sync_last_us: self.meter.last_us,
            sync_max_us: self.meter.max_us,
            sync_total_us: self.meter.total_us,
            damaged_records: self.index.damaged,
            rotating: self.rotation.is_some(),
            rotations: self.meter.rotations,
            powered_ms: self.powered(self.clock.now()),
            topics: topics.collect(),
        }
    }

    /// Events that are there, of topics that contain `topic` or of all, `limit` at most: what waits, what is kept as sent, what was
    /// rejected, in this order.
    pub fn list(&self, topic: Option<&str>, limit: usize) -> Result<Vec<Listed>, OutboxError> {
        self.ready()?;
        let mut listed = Vec::new();
        let chosen = || {
            self.index
                .topics
                .iter()
                .filter(|one| topic.is_none_or(|name| one.name.contains(name)))
        };
        for one in chosen() {
            let room = limit.saturating_sub(listed.len());
            let entries = self.entries(one, one.delivered, one.sealed - 1, room, LIST_BYTES)?;
            add(&mut listed, one, entries, &Standing::Waiting);
        }
        for one in chosen() {
            let room = limit.saturating_sub(listed.len());
            if let Some(first) = self.tail(one)?.filter(|_| room > 0) {
                let entries = self.entries(one, first.sequence - 1, one.delivered, room, LIST_BYTES)?;
                // What is no longer kept is no damage.
                let kept = entries.into_iter().filter(|entry| matches!(entry, Entry::Event(_)));
                add(&mut listed, one, kept.collect(), &Standing::Sent);
            }
        }
        self.list_rejected(topic, limit, &mut listed)?;
        Ok(listed)
    }

    fn list_rejected(&self, topic: Option<&str>, limit: usize, listed: &mut Vec<Listed>) -> Result<(), OutboxError> {
        let mut open = false;
        let scanned = self.store.prefix(&[REJECTED], &mut |key, value| {
            let (Some((_, part)), Some(payload)) = (parse_rejected_key(key), unseal(key, value)) else {
                return ControlFlow::Continue(());
            };
            match part {
                0 => {
                    if listed.len() >= limit {
                        return ControlFlow::Break(());
                    }
                    open = false;
                    if let Some((id, sequence, reason)) = parse_rejected(payload)
                        && let Some(one) = self.index.topics.iter().find(|one| one.id == id)
                        && topic.is_none_or(|name| one.name.contains(name))
                    {
                        open = true;
                        listed.push(Listed {
                            topic: one.name.clone(),
                            sequence,
                            standing: Standing::Rejected(reason.to_owned()),
                            event: None,
                        });
                    }
                }
                1 if open => {
                    if let (Some(last), Some((head, inline))) = (listed.last_mut(), decode_head(payload)) {
                        last.event = Some(Stored {
                            sequence: last.sequence,
                            id: head.id,
                            kind: head.kind,
                            slot: head.slot,
                            body: inline.to_vec(),
                            stored_at: self.moment(head.wall, head.powered),
                        });
                    }
                }
                _ if open => {
                    if let Some(event) = listed.last_mut().and_then(|last| last.event.as_mut()) {
                        event.body.extend_from_slice(payload);
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        self.watch(scanned)
    }
}

fn add(listed: &mut Vec<Listed>, topic: &Topic, entries: Vec<Entry>, standing: &Standing) {
    listed.extend(entries.into_iter().map(|entry| match entry {
        Entry::Event(stored) => Listed {
            topic: topic.name.clone(),
            sequence: stored.sequence,
            standing: standing.clone(),
            event: Some(stored),
        },
        Entry::Damaged { to, .. } => Listed {
            topic: topic.name.clone(),
            sequence: to,
            standing: Standing::Damaged,
            event: None,
        },
    }));
}
