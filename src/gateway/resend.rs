//! What the MES asks for again: the same bytes once more, from what `keep_sent` holds.
//!
//! Owns which numbers are still to be sent again, and the answer where some are no longer held. A request lives in memory:
//! it goes on after a reconnect, and is forgotten by a restart, after which the MES asks again.
//!
//! What is sent again has a place in a line of its own on each topic ([`crate::mqtt::Ready::again`]), which only goes up;
//! so requests follow one another, and first deliveries know nothing of them.

use super::committer::Committer;
use super::mes::Ask;
use crate::model::{Commit, EventType, Moment, SlotName};
use crate::mqtt::{Fetch, Outcome, Ready, Settlement};
use crate::outbox::Entry;
use std::collections::HashMap;
use std::sync::Arc;

/// Requests that wait or run, over all topics.
const JOBS: usize = 64;
/// Numbers that one request may ask for.
const MOST: u64 = 100_000;
/// Ranges that one answer names.
const NAMED: usize = 8;
/// Milliseconds in which the same request that could not be obeyed is answered once.
const SAME: u64 = 5_000;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    slot: SlotName,
    kind: EventType,
    topic: Arc<str>,
    /// Both included.
    from: u64,
    to: u64,
    /// Its first number has the place behind this.
    base: u64,
    /// The last number that was acknowledged or passed over.
    settled: u64,
    sent: u64,
    gone: Vec<(u64, u64)>,
    gone_count: u64,
    refused: Vec<(u64, String)>,
}

impl Job {
    fn place(&self, sequence: u64) -> u64 {
        self.base + (sequence - self.from) + 1
    }

    fn sequence(&self, place: u64) -> Option<u64> {
        let sequence = self.from + place.checked_sub(self.base + 1)?;
        (sequence <= self.to).then_some(sequence)
    }

    /// Everything up to `sequence` is settled; what lies between was not held.
    fn settle(&mut self, sequence: u64) {
        if sequence > self.settled + 1 {
            let (from, to) = (self.settled + 1, sequence - 1);
            self.gone_count += to - from + 1;
            if self.gone.len() < NAMED {
                self.gone.push((from, to));
            }
        }
        self.settled = self.settled.max(sequence);
    }

    /// What the MES is told where not all could be sent; `None`: all was.
    fn answer(&self) -> Option<String> {
        if self.gone_count == 0 && self.refused.is_empty() {
            return None;
        }
        let mut parts = vec![format!(
            "{} {} were asked for again and {} sent",
            self.kind,
            span(self.from, self.to),
            self.sent
        )];
        if self.gone_count > 0 {
            let named: Vec<String> = self.gone.iter().map(|(from, to)| span(*from, *to)).collect();
            let count = self.gone.iter().map(|(from, to)| to - from + 1).sum::<u64>();
            let more = if count < self.gone_count { " and more" } else { "" };
            parts.push(format!(
                "{}{more} are no longer held: delivered events are kept as long as [outbox] keep_sent has room",
                named.join(", ")
            ));
        }
        for (sequence, reason) in &self.refused {
            parts.push(format!("{sequence} was refused by the broker: {reason}"));
        }
        Some(parts.join("; "))
    }
}

fn span(from: u64, to: u64) -> String {
    if from == to {
        from.to_string()
    } else {
        format!("{from} to {to}")
    }
}

/// Requests under way.
#[derive(Debug, Default)]
pub(super) struct Resends {
    /// In the order in which they came; of each topic the first one runs.
    jobs: Vec<Job>,
    /// The last place that was given, by topic.
    places: HashMap<Arc<str>, u64>,
    /// The last request that was answered without anything to send, and when.
    last: Option<(Arc<str>, u64, u64, u64)>,
}

impl Resends {
    /// How many wait or run.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }
}

impl Committer {
    /// The MES asks for events of a slot again.
    pub(super) fn asked_again(&mut self, slot: &SlotName, said: Result<Ask, String>, retained: bool, at: Moment) {
        let refuse = |committer: &mut Self, why: &str| {
            committer.disobey(
                slot,
                "resend_refused",
                &format!("a resend that the MES asked for was refused: {why}"),
                at,
            );
        };
        if retained {
            return refuse(
                self,
                "the request is retained, so that it would be obeyed again at every connection: publish it without",
            );
        }
        let ask = match said {
            Ok(ask) => ask,
            Err(why) => return refuse(self, &why),
        };
        let Some(outbox) = self.outbox.as_ref().filter(|_| !self.is_broken()) else {
            return refuse(self, "the store cannot be read now: ask again later");
        };
        let topic: Arc<str> = self.plant.slot_topic(slot, ask.kind.word()).into();
        let last = outbox.last_given(&topic);
        let Some(delivered) = outbox.delivered_on(&topic).filter(|_| last > 0) else {
            return refuse(self, &format!("there never was a stored {} of this slot", ask.kind));
        };
        if let Some(from) = ask.from.filter(|from| *from > last) {
            return refuse(
                self,
                &format!("{} {from} was never given: {last} is the last", ask.kind),
            );
        }
        // What waits comes by itself, once, in its turn.
        let to = ask.to.unwrap_or(delivered).min(delivered);
        let from = match (ask.from, outbox.held_from(&topic)) {
            (Some(from), _) => from,
            (None, Ok(Some(held))) => held.min(to.max(1)).max(to.saturating_sub(MOST - 1)),
            (None, Ok(None)) => to.max(1),
            (None, Err(fault)) => return refuse(self, &fault.to_string()),
        };
        if from > to {
            tracing::info!("{slot}: {} from {from} on waits still and comes by itself", ask.kind);
            return;
        }
        if to - from >= MOST {
            return refuse(
                self,
                &format!(
                    "{} are {} numbers, and {MOST} at most are sent at once: ask in parts",
                    span(from, to),
                    to - from + 1
                ),
            );
        }
        let resends = &mut self.mes.resends;
        if resends
            .jobs
            .iter()
            .any(|job| job.topic == topic && job.from == from && job.to == to)
        {
            tracing::debug!("{slot}: the same is being sent again already");
            return;
        }
        if resends.jobs.len() >= JOBS {
            return refuse(self, &format!("{JOBS} others are not done yet: ask again later"));
        }
        if resends.last.as_ref().is_some_and(|(of, first, end, tick)| {
            *of == topic && (*first, *end) == (from, to) && at.tick < tick.saturating_add(SAME)
        }) {
            return;
        }
        tracing::info!("{slot}: the MES asks for {} {} again", ask.kind, span(from, to));
        let place = resends.places.entry(topic.clone()).or_insert(0);
        let base = *place;
        *place = base + (to - from + 1);
        resends.jobs.push(Job {
            slot: slot.clone(),
            kind: ask.kind,
            topic: topic.clone(),
            from,
            to,
            base,
            settled: from - 1,
            sent: 0,
            gone: Vec::new(),
            gone_count: 0,
            refused: Vec::new(),
        });
        self.go_on_resending(&topic, at);
    }

    /// Ends the requests of a topic that have nothing more to send, and wakes the publisher for the next one.
    fn go_on_resending(&mut self, topic: &Arc<str>, at: Moment) {
        while let Some(index) = self.mes.resends.jobs.iter().position(|job| job.topic == *topic) {
            let (Some(job), Some(outbox)) = (self.mes.resends.jobs.get(index), &self.outbox) else {
                return;
            };
            let more = job.settled < job.to
                && match outbox.sent(topic, job.settled + 1, job.to, 1, 1) {
                    Ok(found) => found.iter().any(|entry| matches!(entry, Entry::Event(_))),
                    Err(fault) => {
                        tracing::error!("{topic}: {fault}");
                        return;
                    }
                };
            if more {
                self.changed.send_modify(|version| *version = version.wrapping_add(1));
                return;
            }
            let mut job = self.mes.resends.jobs.remove(index);
            job.settle(job.to.saturating_add(1));
            tracing::info!(
                "{}: {} {} sent again: {}",
                job.slot,
                job.kind,
                span(job.from, job.to),
                job.sent
            );
            if job.sent == 0 {
                self.mes.resends.last = Some((topic.clone(), job.from, job.to, at.tick));
            }
            if let Some(text) = job.answer() {
                tracing::warn!("{}: {text}", job.slot);
                if self.may_speak() {
                    let mut commit = Commit::default();
                    self.alarm(&job.slot, "resend_incomplete", true, &text, at, &mut commit);
                    self.write_or_log(commit);
                }
            }
        }
    }

    /// What is sent again next, within what `request` leaves: a quarter of it at most, so that first deliveries go on.
    pub(super) fn fetch_again(&self, request: &Fetch, ready: &mut Vec<Ready>) {
        let Some(outbox) = &self.outbox else { return };
        let (mut events, mut bytes) = (request.max_events / 4, request.max_bytes / 4);
        let mut begun: Vec<&Arc<str>> = Vec::new();
        for job in &self.mes.resends.jobs {
            if begun.contains(&&job.topic) || events == 0 || bytes == 0 {
                continue;
            }
            begun.push(&job.topic);
            if request.again.1.contains(&job.topic) {
                continue;
            }
            let after = request.again.0.get(&job.topic).copied().unwrap_or(0).max(job.base);
            let Some(next) = job.sequence(after + 1) else { continue };
            let next = next.max(job.settled + 1);
            let most = events.min(request.per_topic);
            let read = match outbox.sent(&job.topic, next, job.to, most, bytes) {
                Ok(read) => read,
                Err(fault) => {
                    tracing::error!("reading {}: {fault}", job.topic);
                    continue;
                }
            };
            for entry in read {
                if let Entry::Event(event) = entry {
                    events = events.saturating_sub(1);
                    bytes = bytes.saturating_sub(event.body.len());
                    ready.push(Ready {
                        topic: job.topic.clone(),
                        sequence: job.place(event.sequence),
                        again: true,
                        id: event.id,
                        body: event.body.into(),
                    });
                }
            }
        }
    }

    /// What became of something that was sent again.
    pub(super) fn sent_again(&mut self, settlement: &Settlement) {
        let now = self.clock.now();
        let jobs = &mut self.mes.resends.jobs;
        let Some(job) = jobs.iter_mut().find(|job| job.topic == settlement.topic) else {
            return;
        };
        let Some(sequence) = job.sequence(settlement.sequence) else {
            return;
        };
        job.settle(sequence);
        match &settlement.outcome {
            Outcome::NotResent { reason } if job.refused.len() < NAMED => job.refused.push((sequence, reason.clone())),
            Outcome::NotResent { .. } => {}
            _ => job.sent += 1,
        }
        self.go_on_resending(&settlement.topic, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(from: u64, to: u64, base: u64) -> Job {
        Job {
            slot: SlotName::new("st10", "a"),
            kind: EventType::Tightening,
            topic: "t".into(),
            from,
            to,
            base,
            settled: from - 1,
            sent: 0,
            gone: Vec::new(),
            gone_count: 0,
            refused: Vec::new(),
        }
    }

    #[test]
    fn places_go_up_over_requests_and_lead_back_to_numbers() {
        let job = job(40, 42, 7);
        assert_eq!([40, 41, 42].map(|sequence| job.place(sequence)), [8, 9, 10]);
        assert_eq!(
            [7, 8, 10, 11].map(|place| job.sequence(place)),
            [None, Some(40), Some(42), None]
        );
    }

    #[test]
    fn what_is_gone_is_named_and_what_is_whole_needs_no_answer() {
        let mut whole = job(1, 2, 0);
        whole.settle(1);
        whole.settle(2);
        whole.settle(3);
        assert_eq!(whole.answer(), None);
        let mut job = job(10, 50, 0);
        job.settle(21);
        job.sent = 30;
        job.settle(51);
        let text = job.answer().unwrap();
        assert!(
            text.contains("tightening 10 to 50 were asked for again and 30 sent"),
            "{text}"
        );
        assert!(text.contains("10 to 20, 22 to 50 are no longer held"), "{text}");
    }
}
