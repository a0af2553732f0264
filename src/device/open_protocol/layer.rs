//! The link layer of one connection: sequence numbers of both directions, MID 9997 and 9998.
//!
//! Owns what may be sent when, and what is a repetition. Does not own when a data telegram is durable.

use crate::wire::open_protocol::link::{Complaint, answer, nack, sequence};
use crate::wire::open_protocol::{Telegram, link};
use std::collections::VecDeque;

/// How often a telegram is sent that is not acknowledged.
const TRIES: u8 = 3;
/// MID of a keep-alive and of its mirror.
const ALIVE: u16 = 9999;
/// Telegrams that may wait to be sent.
const WAITING: usize = 32;

/// What a telegram that came is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// To be looked at, its number taken.
    New,
    /// One that came before.
    Again,
    /// Of the link layer itself; nothing more is to be done.
    Done,
    /// The connection is not to be used again, for this reason; this is sent before.
    Broken(String, Option<Telegram>),
}

/// Sequence numbers of one connection; until it is switched on everything goes through.
#[derive(Debug)]
pub(super) struct Layer {
    on: bool,
    next: u8,
    expected: u8,
    sent: Option<(Telegram, u64, u8)>,
    queue: VecDeque<Telegram>,
}

impl Layer {
    /// Off.
    pub(super) const fn new() -> Self {
        Self {
            on: false,
            next: 1,
            expected: 1,
            sent: None,
            queue: VecDeque::new(),
        }
    }

    /// Both directions begin with 01.
    pub(super) fn switch_on(&mut self) {
        *self = Self::new();
        self.on = true;
    }

    pub(super) const fn is_on(&self) -> bool {
        self.on
    }

    /// What goes out now for `telegram`; it may have to wait for its predecessor's acknowledgement.
    pub(super) fn send(&mut self, telegram: Telegram, tick: u64) -> Option<Telegram> {
        if !self.on || matches!(telegram.mid(), link::ACK | link::NACK) {
            return Some(telegram);
        }
        if self.queue.len() < WAITING {
            self.queue.push_back(telegram);
        }
        self.follow(tick)
    }

    /// The next that waits, where nothing is on its way.
    fn follow(&mut self, tick: u64) -> Option<Telegram> {
        if self.sent.is_some() {
            return None;
        }
        let telegram = self.queue.pop_front()?.with_sequence(Some(self.next));
        self.next = sequence::next(self.next);
        self.sent = Some((telegram.clone(), tick, 1));
        Some(telegram)
    }

    /// Something came. What is to be sent because of it is pushed to `out`.
    pub(super) fn came(&mut self, telegram: &Telegram, tick: u64, out: &mut Vec<Telegram>) -> Came {
        if !self.on {
            return match telegram.mid() {
                link::ACK | link::NACK => Came::Done,
                _ => Came::New,
            };
        }
        if let Some(answer) = answer(telegram) {
            let ours = self.sent.as_ref().is_some_and(|(sent, ..)| {
                sent.header
                    .sequence
                    .is_some_and(|sent| sequence::acknowledges(answer.sequence, sent))
            });
            if let Some(complaint) = answer.complaint {
                let reason = format!(
                    "the controller refuses MID {:04} on the link layer: {}",
                    answer.mid,
                    complaint.text()
                );
                return Came::Broken(reason, None);
            }
            if ours {
                self.sent = None;
                out.extend(self.follow(tick));
            }
            return Came::Done;
        }
        // Controllers mirror a keep-alive with a header of their own, some without a link acknowledgement.
        let mirrored = |(sent, ..): &mut (Telegram, u64, u8)| (sent.mid(), telegram.mid()) == (ALIVE, ALIVE);
        if self.sent.take_if(mirrored).is_some() {
            out.extend(self.follow(tick));
        }
        let Some(number) = telegram.header.sequence else {
            return Came::New;
        };
        if number == self.expected {
            self.expected = sequence::next(number);
            return Came::New;
        }
        if sequence::next(number) == self.expected {
            return Came::Again;
        }
        // PF4000: the answer to 0003 carries the next number instead of the expected one.
        if telegram.mid() == 5 && telegram.about() == Some(3) {
            return Came::New;
        }
        let reason = format!(
            "the controller's MID {:04} has the sequence number {number:02} where {:02} should have come",
            telegram.mid(),
            self.expected
        );
        Came::Broken(reason, Some(nack(telegram.mid(), Complaint::Sequence, self.expected)))
    }

    /// Repeats what was not acknowledged within `limit` milliseconds.
    ///
    /// # Errors
    /// A sentence: it was not acknowledged at all.
    pub(super) fn tick(&mut self, tick: u64, limit: u64) -> Result<Option<Telegram>, String> {
        let Some((telegram, at, tries)) = &mut self.sent else {
            return Ok(None);
        };
        if tick.saturating_sub(*at) < limit {
            return Ok(None);
        }
        if *tries >= TRIES {
            return Err(format!(
                "MID {:04} was sent {TRIES} times and not acknowledged on the link layer",
                telegram.mid()
            ));
        }
        *tries += 1;
        *at = tick;
        Ok(Some(telegram.clone()))
    }

    /// Nothing is read: what is on its way is not late.
    pub(super) const fn deaf(&mut self, tick: u64) {
        if let Some((_, at, _)) = &mut self.sent {
            *at = tick;
        }
    }

    /// When [`Self::tick`] is due.
    pub(super) fn deadline(&self, limit: u64) -> Option<u64> {
        self.sent.as_ref().map(|(_, at, _)| at.saturating_add(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::open_protocol::session;

    fn on() -> Layer {
        let mut layer = Layer::new();
        layer.switch_on();
        layer
    }

    #[test]
    fn one_telegram_is_on_its_way_and_numbers_wrap_over_99() {
        let (mut layer, mut out) = (on(), Vec::new());
        for round in 0..250_u16 {
            let number = u8::try_from(round % 99 + 1).unwrap();
            let sent = layer.send(session::keep_alive(), 0).unwrap();
            assert_eq!(sent.header.sequence, Some(number));
            assert_eq!(layer.send(session::accepted(61), 0), None, "one at a time");
            assert_eq!(layer.came(&link::ack(9999, number), 0, &mut out), Came::Done);
            let next = out.pop().unwrap();
            assert_eq!(next.mid(), 5);
            let number = next.header.sequence.unwrap();
            assert_eq!(layer.came(&link::ack(5, number), 0, &mut out), Came::Done);
            assert!(out.is_empty());
            layer.next = u8::try_from((round + 1) % 99 + 1).unwrap();
        }
    }

    #[test]
    fn what_comes_again_is_told_and_another_number_is_refused() {
        let (mut layer, mut out) = (on(), Vec::new());
        let with = |number| session::accepted(60).with_sequence(Some(number));
        for number in 1..=99 {
            assert_eq!(layer.came(&with(number), 0, &mut out), Came::New, "{number}");
            assert_eq!(layer.came(&with(number), 0, &mut out), Came::Again);
        }
        assert_eq!(layer.came(&with(1), 0, &mut out), Came::New);
        let Came::Broken(reason, Some(refusal)) = layer.came(&with(7), 0, &mut out) else {
            panic!("a wrong number");
        };
        assert!(reason.contains("07 where 02"), "{reason}");
        assert_eq!((refusal.mid(), refusal.header.sequence), (9998, Some(2)));
        let stopped = session::accepted(3).with_sequence(Some(3));
        assert_eq!(layer.came(&stopped, 0, &mut out), Came::New, "the quirk of PF4000");
    }

    #[test]
    fn a_mirrored_keep_alive_is_an_acknowledged_one() {
        let (mut layer, mut out) = (on(), Vec::new());
        layer.send(session::keep_alive(), 0).unwrap();
        assert_eq!(layer.send(session::accepted(61), 0), None);
        let mirror = Telegram::parse(b"00209999001 0000    ").unwrap();
        assert_eq!(layer.came(&mirror, 0, &mut out), Came::New);
        assert_eq!(
            out.pop().map(|next| (next.mid(), next.header.sequence)),
            Some((5, Some(2)))
        );
        assert_eq!(layer.came(&link::ack(9999, 1), 0, &mut out), Came::Done);
        assert!(
            out.is_empty() && layer.tick(100, 100).unwrap().is_some(),
            "0005 is still to be acknowledged"
        );
    }

    #[test]
    fn three_times_then_it_is_given_up() {
        let mut layer = on();
        layer.send(session::keep_alive(), 0).unwrap();
        assert_eq!(layer.tick(99, 100), Ok(None));
        assert_eq!(layer.deadline(100), Some(100));
        let repeated = layer.tick(100, 100).unwrap().unwrap();
        assert_eq!(repeated.header.sequence, Some(1));
        assert!(layer.tick(200, 100).unwrap().is_some());
        assert!(layer.tick(300, 100).is_err());
    }
}
