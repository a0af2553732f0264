//! A session as a machine without a connection and without a clock: telegrams, time and durable answers in; telegrams,
//! reports and the end of the connection out.
//!
//! Owns start, requests and their repetition, keep-alive, and when a connection is given up. What follows a start is in
//! [`super::stages`], what data become in [`super::data`].

use super::data::Offset;
use super::layer::{Came, Layer};
use super::ledger::{Ledger, Owed, Ticket};
use super::parting::Parting;
use super::recover::Recovery;
use super::results::{self, Incoming};
use super::slot::Slot;
use super::subscribe::{Ladder, Subscription};
use crate::device::SlotStart;
use crate::device::tap::Reading;
use crate::model::plan::{OpenProtocolLink, Said};
use crate::model::sample::{Counted, Report};
use crate::model::{Moment, SlotName};
use crate::wire::open_protocol::link::Complaint;
use crate::wire::open_protocol::reading::said;
use crate::wire::open_protocol::said::Hearer;
use crate::wire::open_protocol::{Field, Joiner, Telegram, link, session};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Times that a request is sent before the connection is given up.
const TRIES: u8 = 3;
/// Milliseconds after which controllers drop a silent link; we do the same.
const SILENT: u64 = 15_000;
/// Bytes in a row that are no telegram, after which nobody believes in a controller there.
const GARBAGE: u64 = 65_536;

/// How soon a connection is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// At once: another revision is tried.
    AtOnce,
    /// After the usual time.
    BackOff,
    /// The controller is busy with another client: it is left alone for a while.
    Later,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Out {
    /// Sent.
    Send(Telegram),
    /// Reported; answered by [`Session::answered`] where there is a ticket.
    Report(Report, Option<Ticket>),
    /// The connection is closed, for this reason.
    Close(String, Again),
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// No connection.
    Down,
    /// 0001 is sent.
    Starting,
    /// Subscriptions are being ended: what came is not durable in time.
    Ending,
    /// Nothing is asked for before all that came is durable.
    Waiting,
    /// What was missed is fetched.
    Recovering,
    /// Subscriptions are asked for.
    Subscribing,
    /// What was made between the two.
    Looking,
    /// All is as it should be.
    Up,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    Start,
    Subscribe(usize),
    End(usize),
    /// A result by its id; 0 is the newest.
    Old(u64),
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) asking: Asking,
    pub(super) telegram: Telegram,
    pub(super) sent: u64,
    pub(super) tries: u8,
}

/// What is to be reported in order.
#[derive(Debug)]
pub(super) enum Backlog {
    Result {
        id: i64,
        telegram: Telegram,
        forced: bool,
    },
    Missing {
        after: Option<i64>,
        before: Option<i64>,
        count: Option<u64>,
    },
}

/// The slots of one connection and all that is known of the controller.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent findings about a controller, not a state"
)]
pub(super) struct Session {
    /// Acknowledgements take long, and that was told.
    pub(super) slow: bool,
    pub(super) link: OpenProtocolLink,
    pub(super) slots: Vec<Slot>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) start: Ladder,
    /// Whether a revision of 0001 was ever taken: it is asked for again.
    pub(super) agreed: bool,
    /// Ways that had been refused when the connection was made.
    pub(super) steps: usize,
    pub(super) recovery_ladder: Ladder,
    pub(super) out: Vec<Out>,
    pub(super) layer: Layer,
    joiner: Joiner,
    pub(super) hearer: Hearer,
    pub(super) ledger: Ledger,
    pub(super) stage: Stage,
    pub(super) request: Option<Request>,
    /// Number of the connection.
    pub(super) connection: u64,
    /// Fields of 0002.
    pub(super) controller: Vec<Field>,
    pub(super) serial: Option<String>,
    /// It is another controller than before, or its ids began again: nothing is fetched.
    pub(super) another: bool,
    /// The last result that is taken or about to be reported.
    pub(super) known: Option<i64>,
    pub(super) recovery: Option<Recovery<Telegram>>,
    /// The look at the newest was made in this stage.
    pub(super) looked: bool,
    pub(super) backlog: VecDeque<Backlog>,
    pub(super) held: VecDeque<Incoming>,
    /// The last acknowledgement of the application, and when it was given.
    pub(super) paid: Option<(Owed, u64)>,
    /// From where on something may be missing that could not be fetched.
    pub(super) debt: Option<i64>,
    /// Why nothing can be fetched, for good.
    pub(super) no_recovery: Option<String>,
    /// Why nothing could be fetched on this connection.
    pub(super) trouble: Option<String>,
    /// The outbox holds: no results are wanted until this tick and until all is durable.
    pub(super) hold: Option<u64>,
    /// Something could not be made durable.
    pub(super) failed: bool,
    pub(super) baselines: BTreeSet<Ticket>,
    /// Results that a new subscription shows once are old ones until this tick.
    pub(super) catching: Option<u64>,
    /// A connection was ended since a question about the memory was not answered.
    pub(super) asked_in_vain: bool,
    /// The alarm that is active.
    pub(super) alarm: Option<String>,
    /// The newest id that the controller had when it was last asked on this connection.
    pub(super) memory: Option<i64>,
    /// The result that answered the question before, where that was sent more than once: its answer may come again.
    pub(super) fetched: Option<i64>,
    /// On the link layer: a result because of which a connection was made anew, to fetch what lies before it.
    pub(super) kept: Option<Incoming>,
    /// Its key: for the same one that is not done again.
    pub(super) vouched: Option<String>,
    /// When the subscription began that shows them, by the wall clock.
    pub(super) began: i64,
    /// How far the controller's clock is behind.
    pub(super) clock: Offset,
    /// An id before which a subscription from an index was already tried.
    pub(super) jumped: Option<i64>,
    /// Whether the link is to end, and how far that is.
    pub(super) parting: Parting,
    last_sent: u64,
    last_heard: u64,
    noise: u64,
    garbage: u64,
    lost: Option<String>,
    healthy: bool,
}

impl Session {
    pub(super) fn new(link: &OpenProtocolLink, slots: Vec<SlotStart>) -> Self {
        let slots: Vec<Slot> = slots.into_iter().map(|start| Slot::new(start, link.results)).collect();
        let subscriptions = Said::ALL
            .into_iter()
            .filter(|said| slots.iter().any(|slot| slot.wants(*said)))
            .filter_map(|said| Subscription::new(said, link))
            .collect();
        Self {
            slow: false,
            start: Ladder::of_start(link.revision.start),
            recovery_ladder: Ladder::down(link.revision.recovery),
            known: slots.iter().filter_map(Slot::known).min(),
            serial: slots.iter().find_map(Slot::known_serial),
            clock: Offset::of(slots.iter().find_map(Slot::behind)),
            link: link.clone(),
            subscriptions,
            slots,
            agreed: false,
            steps: 0,
            out: Vec::new(),
            layer: Layer::new(),
            joiner: Joiner::new(),
            hearer: results::hearer(link),
            ledger: Ledger::default(),
            stage: Stage::Down,
            request: None,
            connection: 0,
            controller: Vec::new(),
            another: false,
            recovery: None,
            looked: false,
            backlog: VecDeque::new(),
            held: VecDeque::new(),
            paid: None,
            debt: None,
            no_recovery: None,
            trouble: None,
            hold: None,
            failed: false,
            baselines: BTreeSet::new(),
            catching: None,
            asked_in_vain: false,
            alarm: None,
            memory: None,
            fetched: None,
            kept: None,
            vouched: None,
            began: 0,
            jumped: None,
            parting: Parting::No,
            last_sent: 0,
            last_heard: 0,
            noise: 0,
            garbage: 0,
            lost: None,
            healthy: false,
        }
    }

    /// What is to be done since this was last asked.
    pub(super) fn take(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    /// A connection was made.
    pub(super) fn connected(&mut self, now: Moment) {
        self.connection = self.connection.wrapping_add(1);
        self.ledger.connect(self.connection);
        self.layer = Layer::new();
        self.joiner.clear();
        self.hearer.clear();
        for subscription in &mut self.subscriptions {
            subscription.forget();
        }
        self.recovery = None;
        self.looked = false;
        self.trouble = None;
        self.catching = None;
        self.memory = None;
        self.fetched = None;
        self.garbage = 0;
        self.last_sent = now.tick;
        self.last_heard = now.tick;
        self.stage = Stage::Starting;
        self.steps = self.refusals();
        if !self.agreed {
            tracing::debug!(address = %self.link.address, revision = self.start.revision(), "start");
        }
        self.ask(now, Asking::Start, session::start(self.start.revision()));
    }

    /// Revisions and forms that were refused on the way to those that are asked for now.
    pub(super) fn refusals(&self) -> usize {
        let subscribed: usize = self.subscriptions.iter().map(Subscription::steps).sum();
        self.start.steps() + self.recovery_ladder.steps() + subscribed
    }

    /// The connection was lost, or could not be made.
    pub(super) fn lost(&mut self, now: Moment, reason: &str) {
        self.stage = Stage::Down;
        self.ledger.connect(0);
        self.drop_held();
        self.lost = Some(reason.to_owned());
        for slot in &mut self.slots {
            self.out
                .extend(slot.lost(now, reason).map(|report| Out::Report(report, None)));
        }
    }

    /// Since this was last asked a session was started, and its subscriptions stand.
    pub(super) fn take_healthy(&mut self) -> bool {
        std::mem::take(&mut self.healthy)
    }

    pub(super) fn thrives(&mut self) {
        self.healthy = true;
        self.steps = self.refusals();
        self.lost = None;
    }

    /// Gives the connection up.
    pub(super) fn close(&mut self, reason: String, again: Again) {
        self.stage = Stage::Down;
        self.ledger.connect(0);
        self.drop_held();
        self.out.push(Out::Close(reason, again));
    }

    /// The connection ends: what waits here for what lies before it was not acknowledged, and comes again, or is fetched
    /// behind that.
    fn drop_held(&mut self) {
        self.request = None;
        self.recovery = None;
        self.held.clear();
    }

    /// Sends a telegram, when the link layer lets it through.
    pub(super) fn send(&mut self, now: Moment, telegram: Telegram) {
        if let Some(telegram) = self.layer.send(telegram, now.tick) {
            self.put(now, telegram);
        }
    }

    fn put(&mut self, now: Moment, mut telegram: Telegram) {
        telegram.header.station = self.link.station;
        telegram.header.spindle = self.link.spindle;
        self.last_sent = now.tick;
        self.out.push(Out::Send(telegram));
    }

    /// Asks, and waits for the answer; one request at a time.
    pub(super) fn ask(&mut self, now: Moment, asking: Asking, telegram: Telegram) {
        self.request = Some(Request {
            asking,
            telegram: telegram.clone(),
            sent: now.tick,
            tries: 1,
        });
        self.send(now, telegram);
    }

    /// A telegram came.
    pub(super) fn heard(&mut self, now: Moment, telegram: Telegram) {
        self.last_heard = now.tick;
        self.garbage = 0;
        if self.stage == Stage::Down {
            return;
        }
        let mut follow = Vec::new();
        let came = self.layer.came(&telegram, now.tick, &mut follow);
        for telegram in follow {
            self.put(now, telegram);
        }
        let (mid, sequence) = (telegram.mid(), telegram.header.sequence.filter(|_| self.layer.is_on()));
        match came {
            Came::Done => return,
            Came::Again => {
                if let Some(sequence) = sequence.filter(|sequence| !self.withholds(*sequence)) {
                    self.put(now, link::ack(mid, sequence));
                }
                return;
            }
            Came::Broken(reason, refusal) => {
                if let Some(refusal) = refusal {
                    self.put(now, refusal);
                }
                return self.close(reason, Again::BackOff);
            }
            Came::New => {}
        }
        let part = telegram.header.is_linked() && telegram.header.part < telegram.header.parts;
        if let Some(sequence) = sequence
            && (mid == 65 || said(mid).is_none() || part || self.stage == Stage::Starting)
        {
            self.put(now, link::ack(mid, sequence));
        }
        match self.joiner.take(telegram) {
            Ok(Some(whole)) => self.dispatch(now, whole.with_sequence(sequence)),
            Ok(None) => {}
            Err(fault) => {
                if let Some(sequence) = sequence {
                    self.put(now, link::nack(mid, Complaint::Parts, sequence));
                }
                self.close(fault.to_string(), Again::BackOff);
            }
        }
    }

    fn dispatch(&mut self, now: Moment, telegram: Telegram) {
        match telegram.mid() {
            2 => self.started(now, &telegram),
            4 => self.refused(now, &telegram),
            5 => self.accepted(now, &telegram),
            65 => self.old_result(telegram),
            9999 => {}
            mid => match said(mid) {
                // Before a session nothing is believed, and when the link is to end nothing more is taken; the controller
                // says it again.
                Some(said) if self.stage != Stage::Starting && !self.parts() => self.data(now, telegram, said),
                _ => tracing::debug!(address = %self.link.address, "MID {mid:04} is passed over"),
            },
        }
        self.advance(now);
    }

    /// Bytes that are no telegram.
    pub(super) fn noise(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.noise = self.noise.saturating_add(bytes);
        self.garbage = self.garbage.saturating_add(bytes);
        if self.garbage > GARBAGE && self.stage != Stage::Down {
            self.close(
                "what comes is no Open Protocol: check address and port".to_owned(),
                Again::Later,
            );
        }
    }

    /// Bytes that were no telegram since this was last asked, to be counted.
    pub(super) fn take_noise(&mut self) {
        let number = std::mem::take(&mut self.noise);
        if number == 0 {
            return;
        }
        if let Some(slot) = self.slots.first() {
            let counted = Report::Counted {
                slot: slot.name().clone(),
                what: Counted::Noise,
                number,
            };
            self.out.push(Out::Report(counted, None));
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Moment) {
        if self.stage == Stage::Down {
            return;
        }
        match self.layer.tick(now.tick, millis(self.link.timeout)) {
            Ok(None) => {}
            Ok(Some(telegram)) => self.put(now, telegram),
            Err(reason) => return self.close(reason, Again::BackOff),
        }
        if now.tick.saturating_sub(self.last_heard) >= self.patience() {
            let seconds = self.patience() / 1_000;
            return self.close(format!("nothing came from it for {seconds} s"), Again::BackOff);
        }
        self.repeat(now);
        if self.stage == Stage::Down {
            return;
        }
        let silent = now.tick.saturating_sub(self.last_sent) >= millis(self.link.keep_alive);
        if silent && self.stage != Stage::Starting {
            self.last_sent = now.tick;
            self.send(now, session::keep_alive());
        }
        self.check_hold(now);
        self.advance(now);
    }

    /// Nothing is read, since reports wait: the controller's silence means nothing.
    pub(super) fn deaf(&mut self, now: Moment) {
        self.last_heard = now.tick;
        if let Some(request) = &mut self.request {
            request.sent = now.tick;
        }
        self.layer.deaf(now.tick);
    }

    /// Sends a request again, or gives it up.
    fn repeat(&mut self, now: Moment) {
        let limit = millis(self.link.timeout);
        let Some(request) = &mut self.request else { return };
        if now.tick.saturating_sub(request.sent) < limit {
            return;
        }
        if request.tries < TRIES {
            request.tries += 1;
            request.sent = now.tick;
            // The link layer repeats by itself.
            if !self.layer.is_on() {
                let telegram = request.telegram.clone();
                self.send(now, telegram);
            }
            return;
        }
        let (mid, asking) = (request.telegram.mid(), request.asking);
        self.request = None;
        let text = format!(
            "MID {mid:04} was sent {TRIES} times and not answered within {:?} each",
            self.link.timeout
        );
        match asking {
            Asking::Old(_) if self.asked_in_vain => self.give_up_recovery(&text),
            Asking::Old(_) => {
                // On another connection, before anything is said, so that all comes in order.
                self.asked_in_vain = true;
                self.close(text, Again::BackOff);
            }
            Asking::Start => self.close(
                format!("{text}: is this an Open Protocol controller, and its port right?"),
                Again::BackOff,
            ),
            Asking::Subscribe(_) | Asking::End(_) => self.close(text, Again::BackOff),
        }
    }

    /// Milliseconds of silence after which the controller is gone.
    fn patience(&self) -> u64 {
        let (keep, limit) = (millis(self.link.keep_alive), millis(self.link.timeout));
        keep.saturating_add(limit.saturating_mul(3))
            .min(SILENT)
            .max(keep.saturating_add(limit))
    }

    /// When [`Self::tick`] is due next.
    pub(super) fn deadline(&self) -> Option<u64> {
        if self.stage == Stage::Down {
            return None;
        }
        let limit = millis(self.link.timeout);
        let request = self.request.as_ref().map(|request| request.sent.saturating_add(limit));
        let keep_alive =
            (self.stage != Stage::Starting).then(|| self.last_sent.saturating_add(millis(self.link.keep_alive)));
        [
            Some(self.last_heard.saturating_add(self.patience())),
            request,
            keep_alive,
            self.layer.deadline(limit),
            self.hold_deadline(),
            self.parting_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether a look shows what there is: all that a controller says at once has been asked for, or it is out of reach.
    pub(super) fn shows(&self) -> bool {
        let up = matches!(self.stage, Stage::Up | Stage::Ending) || self.hold.is_some();
        up || self.stage == Stage::Down && self.lost.is_some()
    }

    /// What a slot's points last said.
    ///
    /// # Errors
    /// A sentence: the controller is not reached.
    pub(super) fn look(&self, now: Moment, slot: &SlotName) -> Result<Reading, String> {
        if let Some(reason) = &self.lost {
            return Err(format!("{}: {reason}", self.link.address));
        }
        match self.slots.iter().find(|have| have.name() == slot) {
            Some(slot) => Ok(slot.reading(now)),
            None => Err(format!("`{slot}` is not on this link")),
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests;
