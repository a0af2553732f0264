//! Window: which event is published next, and what an answer means. Pure: values in, values out.
//!
//! Owns the order. Of one topic at most one event is unacknowledged, of all topics at most `limit`;
//! so what is delivered of a topic is always without a hole, and a refusal lets nothing overtake.
//! Topics take turns. A connection that broke leaves suspects: the topics that had an event on its
//! way. Each suspect is then sent alone, so that an event at which the broker disconnects is found,
//! and waits by itself while the others go on.
//!
//! What is sent again has a lane of its own beside its topic's: first deliveries keep their order, whatever is asked again.

use super::{Fetch, Outcome, Ready, Settlement};
use crate::backoff::Backoff;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Events held ahead, of all topics.
const AHEAD: usize = 4_096;
/// Bytes held ahead, of all topics, above which nothing more is fetched.
const AHEAD_BYTES: usize = 8 * 1024 * 1024;
/// Events of one fetch.
const BATCH: usize = 1_024;
/// Bytes of one fetch.
const BATCH_BYTES: usize = 1024 * 1024;
/// Breaks in a row, with nothing else on its way, before an event is held to be their cause.
const STRIKES: u8 = 5;

/// The broker's answer to a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Success.
    Taken,
    /// Success, but nobody is subscribed (MQTT 5, reason 0x10).
    NobodyListens,
    /// Never: why, in a sentence.
    Refused(String),
    /// Not now: why, in a sentence.
    NotNow(String),
}

/// Which topic of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(usize);

/// An event to be published now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flight {
    /// To be given back with the answer.
    pub id: TopicId,
    /// Where to.
    pub topic: Arc<str>,
    /// Its number.
    pub sequence: u64,
    /// What.
    pub body: Bytes,
}

/// What an answer or a break means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    /// To be told to the drain.
    pub settlement: Option<Settlement>,
    /// To be told as trouble, for the first time since the topic last worked.
    pub trouble: Option<(Arc<str>, String)>,
    /// The topic works again.
    pub recovered: Option<Arc<str>>,
}

/// How long topics wait.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// First and longest wait after a refusal for now.
    pub refused: (Duration, Duration),
    /// First and longest wait of an event that seems to make the broker disconnect.
    pub poison: (Duration, Duration),
}

/// The in-flight window.
#[derive(Debug)]
pub struct Window {
    topics: Vec<Topic>,
    index: HashMap<Arc<str>, usize>,
    /// Lanes of what is sent again.
    again: HashMap<Arc<str>, usize>,
    /// Topics whose turn comes.
    turn: VecDeque<usize>,
    /// The same for suspects.
    suspects: VecDeque<usize>,
    waiting: BTreeSet<(Duration, usize)>,
    in_flight: usize,
    /// The one on its way is sent alone.
    alone: bool,
    limit: usize,
    held: usize,
    held_bytes: usize,
    require_subscriber: bool,
    waits: Waits,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// What was delivered before.
    again: bool,
    queue: VecDeque<(u64, Bytes)>,
    /// Highest sequence that was settled here; 0: none yet.
    settled: u64,
    /// Highest sequence that was fetched.
    fetched: u64,
    stage: Stage,
    backoff: Option<Backoff>,
    /// On its way when a connection broke.
    suspect: bool,
    strikes: u8,
    poison: Option<Backoff>,
    troubled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing to send.
    Idle,
    /// In `turn` or `suspects`.
    Turn,
    /// In `waiting`.
    Waiting(Duration),
    /// Its first event is on its way.
    Flying,
}

impl Window {
    /// An empty window that lets nothing out before [`Self::connected`].
    #[must_use]
    pub fn new(require_subscriber: bool, waits: Waits) -> Self {
        Self {
            topics: Vec::new(),
            index: HashMap::new(),
            again: HashMap::new(),
            turn: VecDeque::new(),
            suspects: VecDeque::new(),
            waiting: BTreeSet::new(),
            in_flight: 0,
            alone: false,
            limit: 0,
            held: 0,
            held_bytes: 0,
            require_subscriber,
            waits,
        }
    }

    /// A connection on which `limit` may be unacknowledged.
    pub fn connected(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Unacknowledged events.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What to fetch, `None` where enough is held.
    #[must_use]
    pub fn wanted(&self) -> Option<Fetch> {
        if self.held > AHEAD - BATCH || self.held_bytes >= AHEAD_BYTES {
            return None;
        }
        let per_topic = (AHEAD / self.topics.len().max(1)).clamp(4, 256);
        let mut after = HashMap::with_capacity(self.topics.len());
        let mut skip = HashSet::new();
        let mut again = (HashMap::new(), HashSet::new());
        for topic in &self.topics {
            let (after, skip) = if topic.again {
                (&mut again.0, &mut again.1)
            } else {
                (&mut after, &mut skip)
            };
            if topic.queue.len() * 2 >= per_topic || (topic.blocked() && !topic.queue.is_empty()) {
                skip.insert(topic.name.clone());
            } else if topic.fetched > 0 {
                after.insert(topic.name.clone(), topic.fetched);
            }
        }
        Some(Fetch {
            after,
            skip,
            again,
            max_events: BATCH,
            max_bytes: BATCH_BYTES,
            per_topic,
        })
    }

    /// Events held, those on their way among them.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes what was fetched. What is not behind the last of its topic is left out.
    pub fn offer(&mut self, events: Vec<Ready>) {
        for event in events {
            let lanes = if event.again { &self.again } else { &self.index };
            let at = match lanes.get(&event.topic) {
                Some(at) => *at,
                None => self.add(event.topic.clone(), event.again),
            };
            let topic = &mut self.topics[at];
            if event.sequence <= topic.fetched {
                continue;
            }
            topic.fetched = event.sequence;
            self.held += 1;
            self.held_bytes += event.body.len();
            topic.queue.push_back((event.sequence, event.body));
            if topic.stage == Stage::Idle {
                self.enqueue(at);
            }
        }
    }

    fn add(&mut self, name: Arc<str>, again: bool) -> usize {
        let at = self.topics.len();
        let lanes = if again { &mut self.again } else { &mut self.index };
        lanes.insert(name.clone(), at);
        self.topics.push(Topic {
            name,
            again,
            queue: VecDeque::new(),
            settled: 0,
            fetched: 0,
            stage: Stage::Idle,
            backoff: None,
            suspect: false,
            strikes: 0,
            poison: None,
            troubled: false,
        });
        at
    }

    fn enqueue(&mut self, at: usize) {
        let topic = &mut self.topics[at];
        topic.stage = Stage::Turn;
        if topic.suspect {
            self.suspects.push_back(at);
        } else {
            self.turn.push_back(at);
        }
    }

    /// The next event to publish now, where one may be.
    pub fn next(&mut self, now: Duration) -> Option<Flight> {
        while let Some((due, at)) = self.waiting.first().copied()
            && due <= now
        {
            self.waiting.pop_first();
            if self.topics[at].queue.is_empty() {
                self.topics[at].stage = Stage::Idle;
            } else {
                self.enqueue(at);
            }
        }
        if self.alone || self.in_flight >= self.limit {
            return None;
        }
        let at = if self.suspects.is_empty() {
            self.turn.pop_front()?
        } else if self.in_flight == 0 {
            self.alone = true;
            self.suspects.pop_front()?
        } else {
            return None;
        };
        let topic = &mut self.topics[at];
        topic.stage = Stage::Flying;
        self.in_flight += 1;
        let (sequence, body) = topic.queue.front()?;
        Some(Flight {
            id: TopicId(at),
            topic: topic.name.clone(),
            sequence: *sequence,
            body: body.clone(),
        })
    }

    /// The answer to the event of `id` that is on its way. An answer to nothing means nothing.
    pub fn answered(&mut self, id: TopicId, verdict: Verdict, now: Duration) -> Ruling {
        let at = id.0;
        let mut ruling = Ruling::default();
        let Some(topic) = self.topics.get_mut(at) else {
            return ruling;
        };
        if topic.stage != Stage::Flying {
            return ruling;
        }
        self.in_flight -= 1;
        self.alone = false;
        topic.suspect = false;
        topic.strikes = 0;
        topic.poison = None;
        let (outcome, later) = match verdict {
            Verdict::NobodyListens if self.require_subscriber => (None, Some(NOBODY.to_owned())),
            Verdict::Taken | Verdict::NobodyListens if topic.again => (Some(Outcome::Resent), None),
            Verdict::Taken | Verdict::NobodyListens => (Some(Outcome::Delivered), None),
            Verdict::Refused(reason) if topic.again => (Some(Outcome::NotResent { reason }), None),
            Verdict::Refused(reason) => (Some(Outcome::Rejected { reason }), None),
            Verdict::NotNow(reason) => (None, Some(reason)),
        };
        if let Some(reason) = later {
            let waits = self.waits.refused;
            let backoff = topic.backoff.get_or_insert_with(|| Backoff::new(waits.0, waits.1));
            let due = now + backoff.wait();
            topic.stage = Stage::Waiting(due);
            self.waiting.insert((due, at));
            // What keeps a topic's first deliveries waiting is told by them.
            if !topic.troubled && !topic.again {
                topic.troubled = true;
                ruling.trouble = Some((topic.name.clone(), reason));
            }
            return ruling;
        }
        if topic.troubled && outcome == Some(Outcome::Delivered) {
            topic.troubled = false;
            ruling.recovered = Some(topic.name.clone());
        }
        topic.backoff = None;
        topic.stage = Stage::Idle;
        if let (Some((sequence, body)), Some(outcome)) = (topic.queue.pop_front(), outcome) {
            self.held -= 1;
            self.held_bytes -= body.len();
            topic.settled = sequence;
            ruling.settlement = Some(Settlement {
                topic: topic.name.clone(),
                sequence,
                outcome,
            });
        }
        if !topic.queue.is_empty() {
            self.enqueue(at);
        }
        ruling
    }

    /// The connection is gone. What was on its way is suspect; all that is held is given up, to be fetched again.
    /// Where one event was alone on its way for the fifth time in a row, it waits by itself from now on.
    pub fn disconnected(&mut self, now: Duration) -> Ruling {
        let mut ruling = Ruling::default();
        let alone = self.in_flight == 1;
        self.turn.clear();
        self.suspects.clear();
        self.in_flight = 0;
        self.alone = false;
        self.limit = 0;
        self.held = 0;
        self.held_bytes = 0;
        for (at, topic) in self.topics.iter_mut().enumerate() {
            topic.queue.clear();
            topic.fetched = topic.settled;
            let flying = topic.stage == Stage::Flying;
            if !matches!(topic.stage, Stage::Waiting(_)) {
                topic.stage = Stage::Idle;
            }
            if !flying {
                continue;
            }
            topic.suspect = true;
            if !alone {
                continue;
            }
            topic.strikes = topic.strikes.saturating_add(1);
            if topic.strikes < STRIKES {
                continue;
            }
            let waits = self.waits.poison;
            let poison = topic.poison.get_or_insert_with(|| Backoff::new(waits.0, waits.1));
            let due = now + poison.wait();
            topic.stage = Stage::Waiting(due);
            self.waiting.insert((due, at));
            if !topic.troubled && !topic.again {
                topic.troubled = true;
                ruling.trouble = Some((topic.name.clone(), POISON.to_owned()));
            }
        }
        ruling
    }

    /// When a topic becomes due that waits now.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.waiting.first().map(|(due, _)| *due)
    }
}

const NOBODY: &str = "nobody is subscribed to this topic, so its events wait; start the MES or mend its subscription, \
     or set require_subscriber = false";
const POISON: &str = "the broker has ended the connection five times while only this topic's next event was on its way; \
     it waits and is tried again by itself, other topics go on. Look at the broker's log for its reason (message size limit, access list)";

impl Topic {
    fn blocked(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_))
    }
}

#[cfg(test)]
mod tests;
