//! Looking into what is held: one event by its place, one by its id, and from where on a topic is held.
//! Owns no state; a search keeps its own place, so that a long one is done in steps.

use super::Outbox;
use super::frame::{decode_head, event_key, parse_event_key, unseal};
use super::types::{Entry, OutboxError, Stored};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Events behind the delivered pointer that a search looks at: an answer may come before the broker's
/// acknowledgement is noted.
const AHEAD: u64 = 10_000;

/// A search for the event with an id, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    id: String,
    /// Topics to go, the next one last.
    topics: Vec<Arc<str>>,
    /// The last sequence to look at on the next topic; `None`: it was not begun.
    before: Option<u64>,
}

/// How far a search is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Searched {
    /// There is more to look at.
    Going,
    /// It stands here.
    Found {
        /// Its topic.
        topic: Arc<str>,
        /// Its sequence there.
        sequence: u64,
    },
    /// It is not held.
    Nowhere,
}

impl Search {
    /// For the event `id` on one of `topics`.
    #[must_use]
    pub fn new(id: &str, topics: Vec<Arc<str>>) -> Self {
        Self {
            id: id.to_owned(),
            topics,
            before: None,
        }
    }

    /// What is searched for.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Outbox {
    /// Goes on with a search, over about `budget` records.
    pub fn search(&self, search: &mut Search, budget: usize) -> Result<Searched, OutboxError> {
        self.ready()?;
        let mut left = budget.max(1);
        while let Some(name) = search.topics.last().cloned() {
            let Some(topic) = self.index.find(&name) else {
                search.topics.pop();
                search.before = None;
                continue;
            };
            let newest = topic
                .sealed
                .saturating_sub(1)
                .min(topic.delivered.saturating_add(AHEAD));
            let before = search.before.unwrap_or(newest);
            let from = event_key(topic.id, 0, 0);
            let to = event_key(topic.id, before, u16::MAX);
            let mut found = None;
            let mut stopped = None;
            let scanned = self.store.range_back(&from, &to, &mut |key, value| {
                let Some((_, sequence, part)) = parse_event_key(key) else {
                    return ControlFlow::Continue(());
                };
                if part == 0
                    && let Some((head, _)) = unseal(key, value).and_then(decode_head)
                    && head.id == search.id
                {
                    found = Some(sequence);
                    return ControlFlow::Break(());
                }
                left = left.saturating_sub(1);
                // Not between the parts of an event.
                if left == 0 && part == 0 {
                    stopped = Some(sequence.saturating_sub(1));
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            self.watch(scanned)?;
            if let Some(sequence) = found {
                return Ok(Searched::Found { topic: name, sequence });
            }
            match stopped {
                Some(before) if before > 0 => {
                    search.before = Some(before);
                    return Ok(Searched::Going);
                }
                _ => {
                    search.topics.pop();
                    search.before = None;
                }
            }
            if left == 0 && !search.topics.is_empty() {
                return Ok(Searched::Going);
            }
        }
        Ok(Searched::Nowhere)
    }

    /// The event at one place, whether it waits or was delivered; `None` where it is not held, or cannot be read.
    pub fn at(&self, topic: &str, sequence: u64) -> Result<Option<Stored>, OutboxError> {
        self.ready()?;
        let Some(topic) = self.index.find(topic) else {
            return Ok(None);
        };
        if sequence == 0 || sequence >= topic.sealed {
            return Ok(None);
        }
        let found = self.entries(topic, sequence - 1, sequence, 1, usize::MAX)?;
        Ok(found.into_iter().find_map(|entry| match entry {
            Entry::Event(stored) => Some(stored),
            Entry::Damaged { .. } => None,
        }))
    }

    /// The last sequence of `topic` that was given and is durable; 0: none.
    #[must_use]
    pub fn last_given(&self, topic: &str) -> u64 {
        self.index.find(topic).map_or(0, |topic| topic.sealed.saturating_sub(1))
    }

    /// The first sequence of `topic` that is held, delivered or not; `None` where none is.
    pub fn held_from(&self, topic: &str) -> Result<Option<u64>, OutboxError> {
        self.ready()?;
        let Some(topic) = self.index.find(topic) else {
            return Ok(None);
        };
        let first = match self.tail(topic)? {
            Some(first) => Some(first),
            None => self.head(topic)?,
        };
        Ok(first.map(|first| first.sequence))
    }
}
