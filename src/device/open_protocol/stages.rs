//! What follows the start of a session: waiting until all is durable, recovery, subscriptions, a second look; and the way
//! back while the outbox holds.
//!
//! Owns the order of these. Does not own what a data telegram becomes ([`super::data`]).

use super::recover::{Finding, Item, Recovery, Way};
use super::results;
use super::session::{Again, Asking, Backlog, Session, Stage, millis};
use super::slot::Slot;
use super::subscribe::Standing;
use crate::model::Moment;
use crate::model::plan::{Recover, ResultSource, Said};
use crate::model::sample::LinkState;
use crate::wire::open_protocol::{Telegram, decode, session};

/// Milliseconds that a telegram may wait to be durable, before no more are wanted.
pub(super) const HOLD: u64 = 2_000;
/// Milliseconds after a subscription within which a controller shows the last stored result once.
pub(super) const CATCHING: u64 = 1_000;

impl Session {
    /// How missed results can be fetched one by one.
    pub(super) fn way(&self) -> Option<Way> {
        let way = match self.link.recover {
            Recover::ById => Way::ById,
            Recover::WalkBack => Way::WalkBack,
            Recover::None | Recover::FromIndex => return None,
        };
        let numbered = self.slots.iter().any(Slot::is_numbered);
        (self.link.results == ResultSource::Last && numbered && self.no_recovery.is_none()).then_some(way)
    }

    /// Asks for what is to be asked for next, and tells how the slots are.
    pub(super) fn advance(&mut self, now: Moment) {
        if self.parts() {
            return self.part(now);
        }
        self.pump(now);
        // Each turn goes to a later stage or asks something.
        for _ in 0..16 {
            if self.request.is_some() {
                break;
            }
            match self.stage {
                Stage::Down | Stage::Starting => break,
                Stage::Ending => {
                    let standing = |of: &super::subscribe::Subscription| of.standing == Standing::Stands;
                    match self.subscriptions.iter().position(standing) {
                        Some(index) => {
                            let telegram = self.subscriptions.get(index).map(super::subscribe::Subscription::end);
                            if let Some(telegram) = telegram {
                                self.ask(now, Asking::End(index), telegram);
                            }
                        }
                        None => self.stage = Stage::Waiting,
                    }
                }
                Stage::Waiting => {
                    if self.recovers(now) {
                        continue;
                    }
                    if !self.is_settled(now) {
                        break;
                    }
                    self.resume();
                }
                Stage::Recovering | Stage::Looking => {
                    if !std::mem::replace(&mut self.looked, true)
                        && self.recovery.is_none()
                        && let Some(way) = self.way()
                        && self.trouble.is_none()
                    {
                        let last = self.known.filter(|_| !self.another);
                        let last = match self.debt {
                            Some(debt) if self.stage == Stage::Recovering => last.map(|last| last.min(debt)),
                            _ => last,
                        };
                        self.fetched = None;
                        self.recovery = Some(Recovery::since(way, last));
                    }
                    if !self.recovers(now) {
                        self.stage = if self.stage == Stage::Looking {
                            Stage::Up
                        } else {
                            Stage::Subscribing
                        };
                        if self.backlog.is_empty() {
                            // Where it was not found the controller says it again.
                            self.kept = None;
                        }
                    }
                }
                Stage::Subscribing => self.subscribe(now),
                Stage::Up => {
                    if !self.recovers(now) {
                        break;
                    }
                }
            }
        }
        self.pump(now);
        self.condition(now);
    }

    /// Asks for the next result that was missed; `false`: none is.
    fn recovers(&mut self, now: Moment) -> bool {
        let Some(recovery) = &self.recovery else { return false };
        if let Some(id) = recovery.next() {
            let telegram = session::old_result(id, self.recovery_ladder.revision());
            self.ask(now, Asking::Old(id), telegram);
            return true;
        }
        if let Some(recovery) = self.recovery.take() {
            self.recovered(now, recovery.finish());
        }
        // What waited for this may lead to the next.
        self.pump(now);
        self.recovery.is_some()
    }

    fn subscribe(&mut self, now: Moment) {
        let wanted = self
            .subscriptions
            .iter()
            .enumerate()
            .find(|(_, subscription)| subscription.standing == Standing::Wanted);
        if let Some((index, subscription)) = wanted {
            let from = self
                .known
                .filter(|_| !self.another)
                .map(|known| known.saturating_add(1));
            let telegram = subscription.ask(&self.link, from);
            return self.ask(now, Asking::Subscribe(index), telegram);
        }
        self.looked = false;
        self.stage = if self.way().is_some() && self.known.is_some() {
            Stage::Looking
        } else {
            Stage::Up
        };
        self.thrives();
    }

    /// A subscription stands.
    pub(super) fn stands(&mut self, now: Moment, index: usize) {
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        subscription.standing = Standing::Stands;
        if subscription.said == Said::Result && self.link.results == ResultSource::Variable {
            self.catching = Some(now.tick.saturating_add(CATCHING));
            self.began = now.wall;
        }
    }

    pub(super) fn ended(&mut self, index: usize) {
        if let Some(subscription) = self.subscriptions.get_mut(index) {
            subscription.forget();
        }
    }

    /// 0065.
    pub(super) fn old_result(&mut self, telegram: Telegram) {
        let asked = |request: &mut super::session::Request| matches!(request.asking, Asking::Old(_));
        let Some(request) = self.request.take_if(asked) else {
            return;
        };
        let fields = match decode(&telegram) {
            Ok(decoded) => decoded.fields,
            Err(fault) => return self.give_up_recovery(&fault.to_string()),
        };
        let Some(id) = results::get(&fields, "tightening_id").and_then(results::number) else {
            return self.give_up_recovery("an old result (MID 0065) has no tightening id");
        };
        if self.fetched == Some(id) {
            // Once more the answer to the question before, which was sent more than once.
            self.request = Some(request);
            return;
        }
        self.fetched = (request.tries > 1).then_some(id);
        let station = |fields| results::get(fields, "station_id").and_then(results::number);
        let ours = match (station(&fields), station(&self.controller)) {
            (Some(of), Some(own)) => of == own,
            _ => true,
        };
        if let Some(recovery) = &mut self.recovery {
            recovery.found(id, ours, telegram);
        }
    }

    /// 0004 about a 0064.
    pub(super) fn old_refused(&mut self, code: u16) {
        match code {
            15 => {
                if let Some(recovery) = &mut self.recovery {
                    recovery.none();
                }
            }
            code if session::is_revision_refusal(code) && self.recovery_ladder.step() => {}
            code => {
                let text = session::error_text(code);
                let text = format!(
                    "missed results cannot be fetched: the controller refuses MID 0064: {text} (code {code:02})"
                );
                tracing::warn!(address = %self.link.address, "{text}");
                self.no_recovery = Some(text);
                self.recovery = None;
            }
        }
    }

    /// Nothing can be fetched on this connection; on the next one it is tried again.
    pub(super) fn give_up_recovery(&mut self, reason: &str) {
        tracing::warn!(address = %self.link.address, "missed results cannot be fetched: {reason}");
        self.trouble = Some(format!(
            "missed results could not be fetched: {reason}; tried again at the next connection"
        ));
        if self.recovery.take().is_some()
            && let Some(known) = self.known
        {
            self.debt = Some(self.debt.map_or(known, |debt| debt.min(known)));
        }
    }

    /// A recovery has ended.
    fn recovered(&mut self, now: Moment, finding: Finding<Telegram>) {
        let first = self.stage == Stage::Recovering;
        self.asked_in_vain = false;
        if first {
            self.baselines(now, &finding);
        }
        if matches!(self.stage, Stage::Recovering | Stage::Looking) {
            self.memory = finding.newest.or(Some(0));
        }
        if finding.restarted || self.another {
            // Of the controller that was, or of the numbers that were, nothing is fetched.
            self.another = false;
            self.debt = None;
            self.known = finding.newest.or(Some(0));
            return;
        }
        let forced = first && self.debt.take().is_some();
        for item in finding.items {
            match item {
                Item::Missing { after, before, count } => {
                    self.backlog.push_back(Backlog::Missing { after, before, count });
                }
                // What came by itself says more than what was fetched.
                Item::Result(id, _) if self.held.iter().any(|held| held.id == Some(id)) => {}
                Item::Result(id, telegram) => self.backlog.push_back(Backlog::Result { id, telegram, forced }),
            }
        }
        if let Some(newest) = finding.newest {
            for held in &mut self.held {
                held.checked |= held.id.is_some_and(|id| id <= newest);
            }
            let live = self.held.iter().filter_map(|held| held.id).min();
            let reached = live.map_or(newest, |live| newest.min(live.saturating_sub(1)));
            self.known = Some(self.known.map_or(reached, |known| known.max(reached)));
        } else if first {
            self.known = self.known.or(Some(0));
        }
    }

    /// Where slots begin that know nothing yet, or whose controller is another.
    fn baselines(&mut self, now: Moment, finding: &Finding<Telegram>) {
        let again = finding.restarted || self.another;
        let group = self.ledger.open(now.tick, None, None);
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(index) else { break };
            if !slot.is_numbered() || !again && (slot.known().is_some() || slot.takes_first()) {
                continue;
            }
            for (report, state) in slot.baseline(finding.newest.unwrap_or(0)) {
                let state = state.map(|(event, state)| (index, event, state));
                let ticket = self.ledger.ticket(group, state);
                self.baselines.insert(ticket);
                self.out.push(super::session::Out::Report(report, Some(ticket)));
            }
        }
        self.ledger.complete(group);
    }

    /// How the slots are, where they are not being taken up.
    pub(super) fn condition(&mut self, now: Moment) {
        if self.stage == Stage::Waiting && self.hold.is_some() {
            let text = format!(
                "{}: it is connected; nothing is taken from it until what it said before is stored",
                self.link.address
            );
            for slot in self.slots.iter_mut().filter(|slot| slot.is_offline()) {
                let report = slot.reached(now, LinkState::Degraded, text.clone());
                self.out
                    .extend(report.map(|report| super::session::Out::Report(report, None)));
            }
        }
        if self.stage != Stage::Up || !self.baselines.is_empty() || !self.backlog.is_empty() || self.hold.is_some() {
            return;
        }
        for slot in &mut self.slots {
            let refused = self
                .subscriptions
                .iter()
                .find_map(|subscription| match &subscription.standing {
                    Standing::Refused(text) if slot.wants(subscription.said) => Some(text.clone()),
                    _ => None,
                });
            let trouble = self.trouble.clone().filter(|_| slot.is_numbered());
            let (state, reason) = match refused.or(trouble) {
                Some(text) => (LinkState::Degraded, format!("{}: {text}", self.link.address)),
                None => (
                    LinkState::Online,
                    self.no_recovery
                        .clone()
                        .filter(|_| slot.is_numbered())
                        .unwrap_or_default(),
                ),
            };
            let report = slot.reached(now, state, reason);
            self.out
                .extend(report.map(|report| super::session::Out::Report(report, None)));
        }
    }

    /// When what waits longest came.
    fn oldest(&self) -> Option<u64> {
        let held = self
            .held
            .iter()
            .filter_map(|held| held.seen)
            .map(|seen| seen.tick)
            .min();
        self.ledger.oldest().into_iter().chain(held).min()
    }

    /// No more is wanted while what came is not durable in time.
    pub(super) fn check_hold(&mut self, now: Moment) {
        let late = self
            .oldest()
            .is_some_and(|oldest| now.tick.saturating_sub(oldest) >= HOLD);
        if late && self.hold.is_none() {
            tracing::info!(address = %self.link.address, "what came is not durable in time: no more is taken until it is");
            self.pause(now.tick);
        }
    }

    /// Ends the subscriptions until all is durable, and until this tick.
    pub(super) fn pause(&mut self, until: u64) {
        self.hold = Some(self.hold.map_or(until, |hold| hold.max(until)));
        if matches!(
            self.stage,
            Stage::Recovering | Stage::Subscribing | Stage::Looking | Stage::Up
        ) {
            self.stage = Stage::Ending;
        }
        let stands = self.subscriptions.iter().any(|of| of.standing == Standing::Stands);
        let old = |request: &super::session::Request| matches!(request.asking, Asking::Old(_));
        if self.layer.is_on() && stands && self.request.as_ref().is_some_and(old) {
            // Its answer cannot come while something is withheld; what was missed is asked for again afterwards.
            self.request = None;
            self.recovery = None;
        }
    }

    pub(super) fn hold_deadline(&self) -> Option<u64> {
        match self.hold {
            Some(until) if self.stage == Stage::Waiting => Some(until).filter(|_| self.ledger.waiting() == 0),
            Some(_) => None,
            None => self.oldest().map(|oldest| oldest.saturating_add(HOLD)),
        }
    }

    fn is_settled(&self, now: Moment) -> bool {
        let late = self.hold.is_some()
            || self
                .oldest()
                .is_some_and(|oldest| now.tick.saturating_sub(oldest) >= HOLD);
        let durable = self.ledger.waiting() == 0 && self.backlog.is_empty() && self.held.is_empty();
        self.hold.is_none_or(|until| now.tick >= until) && (durable || !late)
    }

    /// All is durable: what was missed meanwhile is fetched, then subscribed again.
    fn resume(&mut self) {
        self.hold = None;
        if std::mem::take(&mut self.failed) {
            for slot in &mut self.slots {
                slot.roll_back();
            }
            self.known = self.slots.iter().filter_map(Slot::known).min();
        }
        self.looked = false;
        self.stage = Stage::Recovering;
    }

    /// Something could not be made durable: it is fetched again, or the controller says it again.
    pub(super) fn not_durable(&mut self, now: Moment) {
        tracing::warn!(address = %self.link.address, "what came could not be made durable: it is taken again");
        self.failed = true;
        self.backlog.clear();
        self.held.clear();
        self.kept = None;
        self.alarm = None;
        self.recovery = None;
        if let Some(request) = &self.request
            && matches!(request.asking, Asking::Old(_))
        {
            self.request = None;
        }
        self.pause(now.tick.saturating_add(HOLD));
    }

    /// More came than a controller says that waits for acknowledgements.
    pub(super) fn flooded(&mut self) {
        let limit = millis(self.link.timeout);
        self.held.clear();
        self.close(
            format!(
                "it sends more than it waits for acknowledgements of (time-out {limit} ms): is this the right profile?"
            ),
            Again::Later,
        );
    }
}
