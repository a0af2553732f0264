//! What data telegrams become: reports in their order, and their acknowledgements once all is durable.
//!
//! Owns that the same result is not taken twice, and that what was missed comes before what showed it. Does not own
//! samples ([`super::slot`]) nor layouts ([`super::results`]).

use super::ledger::{Owed, Ticket};
use super::recover::{Recovery, Way};
use super::results::{self, Incoming};
use super::session::{Again, Backlog, Out, Session, Stage};
use super::slot::{Made, Slot};
use super::stages::CATCHING;
use crate::model::Moment;
use crate::model::plan::{Acknowledge, Recover, ResultSource, Said};
use crate::model::sample::{Counted, Mark, Report};
use crate::wire::open_protocol::{Telegram, link, session};
use std::collections::VecDeque;

/// Telegrams on their way to be durable; what was fetched waits meanwhile.
const OPEN: usize = 32;
/// Milliseconds after which an acknowledgement is late.
const SLOW: u64 = 1_000;
/// Milliseconds within which a copy of what was just acknowledged crossed the acknowledgement on its way.
const CROSSED: u64 = 200;
/// Telegrams that came by themselves and wait.
const HELD: usize = 256;
/// Milliseconds within which a controller that says what it kept goes on, where its clock does not tell.
const FOLLOWS: u64 = 150;
/// Milliseconds of a second: as fine as controllers tell time.
const SECOND: i64 = 1_000;
/// Milliseconds by which the offset of a controller's clock may be taken for too large.
const SLACK: i64 = 100;
/// Results that the offset of a controller's clock is learned from.
const LEARNED: usize = 64;

/// How far the controller's clock is behind: the least of the last results that were seen live.
#[derive(Debug, Clone, Default)]
pub(super) struct Offset(VecDeque<i64>);

impl Offset {
    /// As it was stored.
    pub(super) fn of(behind: Option<i64>) -> Self {
        Self(behind.into_iter().collect())
    }

    fn learn(&mut self, behind: i64) {
        if self.0.len() >= LEARNED {
            self.0.pop_front();
        }
        self.0.push_back(behind);
    }

    fn behind(&self) -> Option<i64> {
        self.0.iter().copied().min()
    }
}

impl Session {
    /// A data telegram came.
    pub(super) fn data(&mut self, now: Moment, telegram: Telegram, said: Said) {
        let owed = Owed {
            mid: telegram.mid(),
            sequence: telegram.header.sequence.filter(|_| self.layer.is_on()),
            connection: self.connection,
            no_ack: telegram.header.no_ack,
        };
        let Some(mut incoming) = results::read(&mut self.hearer, telegram, self.link.results, now) else {
            // No news, or a part: the controller is not to wait.
            return self.acknowledge(now, owed);
        };
        incoming.owed = Some(owed);
        if self.ledger.again(&incoming.key, incoming.owed) {
            return;
        }
        if let Some(held) = self.held.iter_mut().find(|held| held.key == incoming.key) {
            held.owed = incoming.owed;
            return;
        }
        let orphan = self.ledger.is_orphan(&incoming.key);
        if orphan || incoming.lasting && self.ledger.knows(&incoming.key) {
            if said == Said::Result && incoming.id == self.known {
                // Where nothing is newer a controller says the last one once more.
                self.catching = None;
            }
            let crossed = !orphan && self.ledger.is_last(&incoming.key) && self.has_just_paid(now, &owed);
            return self.duplicate(now, said, (!crossed).then_some(owed));
        }
        if said == Said::Alarm && self.is_status_again(&incoming, owed.mid) {
            return self.duplicate(now, said, Some(owed));
        }
        if said != Said::Result {
            if self.ledger.waiting() >= HELD {
                return self.flooded();
            }
            return self.report(now, &incoming, false);
        }
        incoming.live = self.is_live(now, &incoming);
        if self.link.results == ResultSource::Variable && !self.caught_up(now, &mut incoming, owed) {
            return;
        }
        if self.held.len() >= HELD || self.ledger.waiting() >= HELD {
            return self.flooded();
        }
        if self.layer.is_on() && self.recovery.is_some() {
            return self.cornered(now, incoming);
        }
        self.held.push_back(incoming);
    }

    /// Whether this is the status behind a subscription (0076), of the alarm that was active before.
    fn is_status_again(&mut self, incoming: &Incoming, mid: u16) -> bool {
        let Some(fields) = incoming.readings.first() else {
            return false;
        };
        let active = results::get(fields, "alarm_active").is_some_and(crate::model::Raw::truth);
        let code = results::get(fields, "error_code").map(|code| code.text().trim().to_owned());
        let code = code.filter(|_| active);
        let again = mid == 76 && code.is_some() && code == self.alarm;
        self.alarm = code;
        again
    }

    /// Whether a result was made while somebody listened.
    fn is_live(&mut self, now: Moment, incoming: &Incoming) -> bool {
        if self.link.results == ResultSource::Variable {
            let Some(until) = self.catching else { return true };
            // What it kept comes first, one behind the other, then what is new.
            let made = incoming.made.zip(self.clock.behind());
            let later = |(made, behind): (i64, i64)| made + SECOND + behind > self.began + SLACK;
            let new = now.tick >= until || made.is_some_and(later);
            if new {
                self.catching = None;
            }
            return new;
        }
        let listening = matches!(self.stage, Stage::Subscribing | Stage::Looking | Stage::Up);
        let old = |(id, memory)| id <= memory;
        listening && !incoming.id.zip(self.memory).is_some_and(old)
    }

    /// On the link layer the answer to a question cannot come while the acknowledgement of this result is withheld.
    fn cornered(&mut self, now: Moment, incoming: Incoming) {
        let first = self.stage == Stage::Recovering;
        match (incoming.id, self.known) {
            (Some(_), None) if first && !self.slots.iter().any(super::slot::Slot::takes_first) => {
                // Made before the first start.
                if let Some(owed) = incoming.owed {
                    self.acknowledge(now, owed);
                }
                return;
            }
            (Some(id), Some(known)) if id > known.saturating_add(1) && incoming.faults.is_empty() => {
                if self.vouched.as_ref() != Some(&incoming.key) {
                    return self.begin_again(incoming);
                }
                if first {
                    // What lies before it comes behind it.
                    self.debt = Some(self.debt.map_or(known, |debt| debt.min(known)));
                } else {
                    self.known = Some(id);
                }
            }
            (Some(id), known) if !first || known.is_some_and(|known| id > known) => self.known = Some(id),
            _ => {}
        }
        self.report(now, &incoming, false);
    }

    /// What lies before this result is fetched on a new connection, where nothing is withheld; then comes this one.
    fn begin_again(&mut self, mut incoming: Incoming) {
        self.vouched = Some(incoming.key.clone());
        self.held.clear();
        incoming.owed = None;
        incoming.checked = true;
        let id = incoming.id.unwrap_or(0);
        self.kept = Some(incoming);
        let reason = format!("what was made before result {id} is fetched before that is acknowledged");
        self.close(reason, Again::AtOnce);
    }

    /// Of results of variable fields: the last stored one is said once at each subscription. `false`: it was dealt with.
    fn caught_up(&mut self, now: Moment, incoming: &mut Incoming, owed: Owed) -> bool {
        let (Some(id), true) = (incoming.id, self.slots.iter().any(super::slot::Slot::is_numbered)) else {
            return true;
        };
        let catching = !incoming.live;
        if catching {
            self.catching = Some(now.tick.saturating_add(CATCHING));
        } else if let (Some(made), Some(seen)) = (incoming.made, incoming.seen) {
            self.clock.learn(seen.wall.saturating_sub(made));
        }
        let behind = self.clock.behind();
        incoming.mark = Some(Mark { index: id, behind });
        match self.known {
            Some(known) if known == id && catching => {
                self.catching = None;
                self.duplicate(now, Said::Result, Some(owed));
                return false;
            }
            None if catching && !self.slots.iter().any(super::slot::Slot::takes_first) => {
                // The first thing ever said: where the count begins. More it does not keep for us.
                self.catching = None;
                let group = self.ledger.open(now.tick, Some(owed), Some(incoming.key.clone()));
                for index in 0..self.slots.len() {
                    let made = self
                        .slots
                        .get_mut(index)
                        .map(|slot| slot.baseline(id))
                        .unwrap_or_default();
                    self.made(group, index, made);
                }
                self.known = Some(id);
                let owed = self.ledger.complete(group);
                self.pay(now, owed);
                return false;
            }
            Some(known) if self.link.recover == Recover::FromIndex && id > known.saturating_add(1) => {
                if self.jumped != Some(known) && self.stage == Stage::Up {
                    // Subscribed again from the first that is missing, the controller says this one again, too.
                    self.jumped = Some(known);
                    self.pause(now.tick);
                    return false;
                }
                self.backlog.push_back(Backlog::Missing {
                    after: Some(known),
                    before: Some(id),
                    count: u64::try_from(id - known - 1).ok(),
                });
                self.pump(now);
            }
            _ => {}
        }
        incoming.backfill = catching && self.known.is_some_and(|known| id > known);
        true
    }

    /// The same again: acknowledged again where something is owed, not taken again.
    fn duplicate(&mut self, now: Moment, said: Said, owed: Option<Owed>) {
        for slot in self.slots.iter().filter(|slot| slot.wants(said)) {
            let counted = Report::Counted {
                slot: slot.name().clone(),
                what: Counted::Duplicate,
                number: 1,
            };
            self.out.push(Out::Report(counted, None));
        }
        self.pay(now, owed);
    }

    /// Whether the acknowledgement of such a telegram is on its way. It names no result: a second one would be taken for the
    /// next result's, which may not be durable. Where it was lost the controller says the telegram once more.
    fn has_just_paid(&self, now: Moment, owed: &Owed) -> bool {
        let paid = |(paid, tick): &(Owed, u64)| {
            let same = paid.connection == owed.connection && paid.mid == owed.mid;
            same && now.tick.saturating_sub(*tick) < CROSSED
        };
        owed.sequence.is_none() && self.paid.as_ref().is_some_and(paid)
    }

    /// Reports what waits, in order of the ids: what was fetched, then what came by itself.
    pub(super) fn pump(&mut self, now: Moment) {
        while self.recovery.is_none() {
            let live = self.held.front().and_then(|held| held.id.filter(|_| held.checked));
            let fetched = match self.backlog.front() {
                Some(Backlog::Result { id, .. }) => Some(*id),
                Some(Backlog::Missing { before, .. }) => Some(before.unwrap_or(i64::MIN)),
                None => None,
            };
            let first = match (fetched, live) {
                (Some(fetched), Some(live)) => fetched <= live,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if first {
                if self.ledger.waiting() >= OPEN {
                    return;
                }
                match self.backlog.pop_front() {
                    Some(Backlog::Result { id, telegram, forced }) => self.fetched(now, id, telegram, forced),
                    Some(Backlog::Missing { after, before, count }) => {
                        let gaps = self.slots.iter().flat_map(|slot| slot.gap(now, after, before, count));
                        self.out.extend(gaps.map(|gap| Out::Report(gap, None)));
                    }
                    None => return,
                }
                continue;
            }
            let Some(incoming) = self.held.pop_front() else { return };
            if self.ledger.again(&incoming.key, incoming.owed) {
                continue;
            }
            if self.jumps(&incoming) {
                if self.layer.is_on() {
                    return self.begin_again(incoming);
                }
                let mut incoming = incoming;
                incoming.checked = true;
                self.held.push_front(incoming);
                return;
            }
            if let Some(id) = incoming.id {
                self.known = Some(id);
            }
            self.report(now, &incoming, false);
        }
    }

    /// Whether something lies between this result and the last one known: it is looked for first.
    fn jumps(&mut self, incoming: &Incoming) -> bool {
        let (Some(id), Some(known), Some(way)) = (incoming.id, self.known, self.way()) else {
            return false;
        };
        if self.layer.is_on() {
            // Ids of other stations lie between: what this one says comes by number, without a hole.
            let numbered = way == Way::WalkBack && self.stage == Stage::Up;
            // Nothing was found before it.
            if numbered || self.vouched.as_ref() == Some(&incoming.key) {
                return false;
            }
        }
        if incoming.checked || id <= known.saturating_add(1) || self.trouble.is_some() || !incoming.faults.is_empty() {
            return false;
        }
        if !self.layer.is_on() {
            self.fetched = None;
            self.recovery = Some(Recovery::before(way, known, id));
        }
        true
    }

    /// A result that was fetched.
    fn fetched(&mut self, now: Moment, id: i64, telegram: Telegram, forced: bool) {
        let Some(mut incoming) = results::read(&mut self.hearer, telegram, self.link.results, now) else {
            return;
        };
        incoming.backfill = true;
        incoming.live = false;
        incoming.id = Some(id);
        if self.ledger.again(&incoming.key, None) || self.ledger.knows(&incoming.key) {
            return;
        }
        if let Some(kept) = self.kept.take_if(|kept| kept.key == incoming.key) {
            // It came by itself before, which says more.
            incoming = kept;
        }
        self.report(now, &incoming, forced);
    }

    /// Reports what came to all slots that it concerns; acknowledged when all of it is durable.
    fn report(&mut self, now: Moment, incoming: &Incoming, forced: bool) {
        let group = self.ledger.open(now.tick, incoming.owed, Some(incoming.key.clone()));
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(index) else { break };
            if incoming.backfill && incoming.owed.is_none() && !forced {
                // Nothing from before its first start, and nothing that it took already.
                let known = slot.known();
                let newest = self.known == incoming.id && slot.takes_first();
                if !slot.is_numbered()
                    || known.is_none() && !newest
                    || known.is_some_and(|known| incoming.id <= Some(known))
                {
                    continue;
                }
            }
            let made = slot.hear(now, incoming, &self.controller);
            self.made(group, index, made);
        }
        let owed = self.ledger.complete(group);
        self.pay(now, owed);
    }

    fn made(&mut self, group: u64, index: usize, made: Vec<Made>) {
        for (report, state) in made {
            let state = state.map(|(event, state)| (index, event, state));
            let ticket = self.ledger.ticket(group, state);
            self.out.push(Out::Report(report, Some(ticket)));
        }
    }

    /// What was reported under `ticket` is durable, or could not be made so.
    pub(super) fn answered(&mut self, now: Moment, ticket: Ticket, durable: bool) {
        let settled = self.ledger.answered(ticket, durable);
        self.baselines.remove(&ticket);
        if let Some((slot, event, state)) = settled.state
            && let Some(slot) = self.slots.get_mut(slot)
        {
            slot.durable(event, state);
        }
        if settled.failed && !self.failed {
            self.not_durable(now);
        }
        if let Some(opened) = settled.opened {
            self.was_owed(now, opened);
        }
        self.pay(now, settled.owed);
        self.advance(now);
    }

    /// An acknowledgement was owed since `opened`: controllers send again after a second or more, and then close. Told once
    /// when it begins to take long, and once when it does no more.
    fn was_owed(&mut self, now: Moment, opened: u64) {
        let took = now.tick.saturating_sub(opened);
        let slow = took > SLOW;
        if slow == self.slow {
            return;
        }
        self.slow = slow;
        let text = if slow {
            format!(
                "a result was acknowledged {took} ms after it came, since the disk or the outbox took that long: look at both before the controller closes the link"
            )
        } else {
            "results are acknowledged in time again".to_owned()
        };
        let alarm = |slot: &Slot| {
            let report = Report::Alarm {
                slot: slot.name().clone(),
                code: "ack_slow",
                active: slow,
                text: text.clone(),
                at: now,
            };
            Out::Report(report, None)
        };
        self.out.extend(self.slots.iter().map(alarm));
    }

    fn pay(&mut self, now: Moment, owed: Option<Owed>) {
        if let Some(owed) = owed {
            self.acknowledge(now, owed);
        }
    }

    /// What a controller kept comes at once behind an acknowledgement; later it is new.
    fn follows(&mut self, now: Moment) {
        if self.catching.is_some_and(|until| now.tick < until) && self.clock.behind().is_none() {
            self.catching = Some(now.tick.saturating_add(FOLLOWS));
        }
    }

    /// Acknowledges a data telegram, where the connection is still the one on which it came.
    fn acknowledge(&mut self, now: Moment, owed: Owed) {
        if owed.connection != self.connection || matches!(self.stage, Stage::Down | Stage::Starting) {
            return;
        }
        if matches!(owed.mid, 1201 | 1202) {
            self.follows(now);
        }
        if let Some(sequence) = owed.sequence {
            return self.send(now, link::ack(owed.mid, sequence));
        }
        if owed.no_ack {
            return;
        }
        let telegram = match self.link.acknowledge {
            Acknowledge::Accepted => session::accepted(owed.mid),
            Acknowledge::Own | Acknowledge::Link => session::acknowledge(owed.mid),
            Acknowledge::Nothing => return,
        };
        self.paid = Some((owed, now.tick));
        self.send(now, telegram);
    }

    /// Whether the telegram with this sequence number still waits to be durable.
    pub(super) fn withholds(&self, sequence: u8) -> bool {
        let held = self.held.iter().filter_map(|held| held.owed);
        self.ledger.withholds(self.connection, sequence)
            || held
                .into_iter()
                .any(|owed| owed.connection == self.connection && owed.sequence == Some(sequence))
    }
}
