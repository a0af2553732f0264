//! Board: statuses and latest values, the newest per topic. Pure: values in, values out.
//!
//! Owns what is still to be said of them on this connection. Never has two publishes of one topic
//! unacknowledged, so that an older one cannot overtake a newer one.

use super::window::Verdict;
use crate::backoff::Backoff;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Topics that one board holds of each kind.
pub const MAX_TOPICS: usize = 4_096;
/// Bytes of payloads that one board holds of each kind.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What became of something posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// It waits to be sent.
    Queued,
    /// It waits to be sent, and took the place of an older one that was never sent.
    Superseded,
    /// There is no room for another topic or for so many bytes, or the topic cannot be published to. It was not taken.
    Refused,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Retained, said again on each connection.
    Status,
    /// Not retained, said once.
    Latest,
}

/// Something to be published now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Which of the two.
    pub kind: Kind,
    /// Where to.
    pub topic: Arc<str>,
    /// What.
    pub payload: Bytes,
    /// To be given back with the acknowledgement.
    pub version: u64,
}

/// Statuses and latest values.
#[derive(Debug, Default)]
pub struct Board {
    statuses: Lane,
    latest: Lane,
    versions: u64,
}

#[derive(Debug, Default)]
struct Lane {
    entries: BTreeMap<Arc<str>, Entry>,
    queue: VecDeque<Arc<str>>,
    waiting: Vec<(Duration, Arc<str>)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    payload: Bytes,
    version: u64,
    /// Said to the broker, whether acknowledged or not.
    sent: bool,
    flying: bool,
    queued: bool,
    backoff: Option<Backoff>,
}

impl Board {
    /// Takes a status; an empty payload clears the topic.
    pub fn set_retained(&mut self, topic: &str, payload: Bytes) -> Posted {
        self.versions += 1;
        self.statuses.post(topic, payload, self.versions)
    }

    /// Whether a status of `topic` is kept.
    #[must_use]
    pub fn has_status(&self, topic: &str) -> bool {
        self.statuses.entries.contains_key(topic)
    }

    /// Takes a latest value.
    pub fn publish_latest(&mut self, topic: &str, payload: Bytes) -> Posted {
        self.versions += 1;
        self.latest.post(topic, payload, self.versions)
    }

    /// A new connection: all statuses are to be said again, and all values whose acknowledgement never came.
    pub fn connected(&mut self) {
        self.statuses.connected();
        self.latest.connected();
    }

    /// The next status to be said.
    pub fn next_status(&mut self, now: Duration) -> Option<Post> {
        self.statuses.next(Kind::Status, now)
    }

    /// The next latest value to be said.
    pub fn next_latest(&mut self, now: Duration) -> Option<Post> {
        self.latest.next(Kind::Latest, now)
    }

    /// The broker's answer to a post. `wait`: first and longest wait of what is refused for now.
    /// Whether it is over with this version (said or refused for good).
    pub fn answered(&mut self, post: &Post, verdict: &Verdict, now: Duration, wait: (Duration, Duration)) -> bool {
        match post.kind {
            Kind::Status => self.statuses.answered(post, verdict, now, wait),
            Kind::Latest => self.latest.answered(post, verdict, now, wait),
        }
    }

    /// When something becomes due that waits now.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let lanes = [&self.statuses, &self.latest];
        lanes
            .iter()
            .flat_map(|lane| lane.waiting.iter().map(|(at, _)| *at))
            .min()
    }

    /// Statuses that are not yet acknowledged in their newest version.
    #[must_use]
    pub fn unsaid_statuses(&self) -> usize {
        let unsaid = |entry: &&Entry| entry.queued || entry.flying;
        self.statuses.entries.values().filter(unsaid).count()
    }
}

impl Lane {
    fn post(&mut self, topic: &str, payload: Bytes, version: u64) -> Posted {
        if !super::settings::is_topic(topic) {
            return Posted::Refused;
        }
        let before = self.entries.get(topic).map_or(0, |entry| entry.payload.len());
        let bytes = self.bytes - before + payload.len();
        if bytes > MAX_BYTES || (!self.entries.contains_key(topic) && self.entries.len() >= MAX_TOPICS) {
            return Posted::Refused;
        }
        self.bytes = bytes;
        if let Some(entry) = self.entries.get_mut(topic) {
            let superseded = !entry.sent;
            entry.payload = payload;
            entry.version = version;
            entry.sent = false;
            if !entry.flying && !entry.queued {
                entry.queued = true;
                if let Some((key, _)) = self.entries.get_key_value(topic) {
                    self.queue.push_back(key.clone());
                }
            }
            return if superseded { Posted::Superseded } else { Posted::Queued };
        }
        let topic: Arc<str> = topic.into();
        self.queue.push_back(topic.clone());
        let entry = Entry {
            payload,
            version,
            sent: false,
            flying: false,
            queued: true,
            backoff: None,
        };
        self.entries.insert(topic, entry);
        Posted::Queued
    }

    fn connected(&mut self) {
        self.waiting.clear();
        self.queue.clear();
        for (topic, entry) in &mut self.entries {
            entry.flying = false;
            entry.queued = true;
            entry.backoff = None;
            self.queue.push_back(topic.clone());
        }
    }

    fn next(&mut self, kind: Kind, now: Duration) -> Option<Post> {
        if !self.waiting.is_empty() {
            let queue = &mut self.queue;
            self.waiting.retain(|(at, topic)| {
                if *at <= now {
                    queue.push_back(topic.clone());
                }
                *at > now
            });
        }
        while let Some(topic) = self.queue.pop_front() {
            let Some(entry) = self.entries.get_mut(&topic) else {
                continue;
            };
            entry.queued = false;
            if entry.flying {
                continue;
            }
            entry.flying = true;
            entry.sent = true;
            return Some(Post {
                kind,
                payload: entry.payload.clone(),
                version: entry.version,
                topic,
            });
        }
        None
    }

    fn answered(&mut self, post: &Post, verdict: &Verdict, now: Duration, wait: (Duration, Duration)) -> bool {
        let Some(entry) = self.entries.get_mut(&post.topic) else {
            return false;
        };
        if !entry.flying {
            return false;
        }
        entry.flying = false;
        if let Verdict::NotNow(_) = verdict {
            let backoff = entry.backoff.get_or_insert_with(|| Backoff::new(wait.0, wait.1));
            self.waiting.push((now + backoff.wait(), post.topic.clone()));
            entry.queued = true;
            return false;
        }
        entry.backoff = None;
        if entry.version != post.version {
            entry.queued = true;
            self.queue.push_back(post.topic.clone());
            return true;
        }
        if post.kind == Kind::Latest || entry.payload.is_empty() {
            self.bytes -= entry.payload.len();
            self.entries.remove(&post.topic);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
    const NOW: Duration = Duration::ZERO;

    #[test]
    fn the_newest_status_is_said_after_the_one_that_is_on_its_way() {
        let mut board = Board::default();
        assert_eq!(board.set_retained("a", "1".into()), Posted::Queued);
        let first = board.next_status(NOW).unwrap();
        assert_eq!(board.set_retained("a", "2".into()), Posted::Queued);
        assert_eq!(board.set_retained("a", "3".into()), Posted::Superseded);
        assert_eq!(board.next_status(NOW), None, "never two of one topic");
        assert!(board.answered(&first, &Verdict::Taken, NOW, WAIT));
        let second = board.next_status(NOW).unwrap();
        assert_eq!(second.payload, "3");
        assert!(board.answered(&second, &Verdict::Taken, NOW, WAIT));
        assert_eq!(board.next_status(NOW), None);
        assert_eq!(board.unsaid_statuses(), 0);
        board.connected();
        assert_eq!(board.next_status(NOW).unwrap().payload, "3", "again on each connection");
    }

    #[test]
    fn an_empty_status_is_said_once_and_forgotten() {
        let mut board = Board::default();
        assert_eq!(board.set_retained("a", Bytes::new()), Posted::Queued);
        board.connected();
        let post = board.next_status(NOW).unwrap();
        assert!(board.has_status("a"), "until it is acknowledged");
        assert!(board.answered(&post, &Verdict::Taken, NOW, WAIT));
        assert!(!board.has_status("a"));
        board.connected();
        assert_eq!(board.next_status(NOW), None);
    }

    #[test]
    fn a_latest_value_is_said_once_and_after_an_outage_only_the_newest() {
        let mut board = Board::default();
        assert_eq!(board.publish_latest("a", "1".into()), Posted::Queued);
        let lost = board.next_latest(NOW).unwrap();
        board.connected();
        assert_eq!(board.publish_latest("a", "2".into()), Posted::Queued);
        assert_eq!(board.publish_latest("a", "3".into()), Posted::Superseded);
        let sent = board.next_latest(NOW).unwrap();
        assert_eq!(sent.payload, "3");
        assert!(board.answered(&sent, &Verdict::NobodyListens, NOW, WAIT));
        assert!(
            !board.answered(&lost, &Verdict::Taken, NOW, WAIT),
            "of a dead connection"
        );
        board.connected();
        assert_eq!(board.next_latest(NOW), None);
    }

    #[test]
    fn refused_for_now_waits_and_others_go_on() {
        let mut board = Board::default();
        let _ = board.set_retained("a", "1".into());
        let _ = board.set_retained("b", "1".into());
        let post = board.next_status(NOW).unwrap();
        assert!(!board.answered(&post, &Verdict::NotNow("quota".into()), NOW, WAIT));
        assert_eq!(&*board.next_status(NOW).unwrap().topic, "b");
        assert_eq!(board.next_status(NOW), None);
        let due = board.due().unwrap();
        assert_eq!(&*board.next_status(due).unwrap().topic, "a");
    }

    #[test]
    fn it_is_bounded() {
        let mut board = Board::default();
        for topic in 0..MAX_TOPICS {
            assert_eq!(board.publish_latest(&topic.to_string(), "x".into()), Posted::Queued);
        }
        assert_eq!(board.publish_latest("more", "x".into()), Posted::Refused);
        assert_eq!(board.publish_latest("0", "y".into()), Posted::Superseded);
        assert_eq!(board.publish_latest("0", vec![0; MAX_BYTES].into()), Posted::Refused);
        assert_eq!(board.set_retained("a/+", "x".into()), Posted::Refused);
    }
}
