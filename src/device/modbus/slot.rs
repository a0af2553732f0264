//! One slot on a Modbus connection: its poller, its registers, its reports.

mod reading;

use super::client::{Connection, Fault as Refusal};
use super::requests::{Cut, Limits, Request, coalesce, place};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::device::asked::{self, Beside};
use crate::device::told::{Told, pass_on};
use crate::model::plan::{ModbusLink, ModbusTransport, PointIx, SlotPlan};
use crate::model::sample::{Counted, Report};
use crate::model::{Moment, Raw, SlotName};
use crate::watch::{Out, Poller, Step, Ticket};
use crate::wire::modbus;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Sets of points whose requests are kept ready.
const READY: usize = 64;

/// Steps in one turn that need no request.
const EMPTY: u8 = 16;

/// What a turn of a slot came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something was asked.
    Done,
    /// Nothing to do before this tick, or before an answer comes.
    Wait(Option<u64>),
    /// This server gave no answer, for this reason; others may. `garbled`: something came, but no answer.
    Silent { reason: String, garbled: bool },
    /// The connection is not to be used again, for this reason.
    Lost(String),
}

/// Why a step was not done: the server or the connection failed.
type Broken = Turn;

impl From<Refusal> for Turn {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Silent { reason, garbled } => Self::Silent { reason, garbled },
            Refusal::Link(reason) => Self::Lost(reason),
            Refusal::Exception(code) => Self::Lost(code.to_string()),
        }
    }
}

/// Nobody receives the reports any more.
#[derive(Debug)]
pub(super) struct Closed;

/// Requests by the points that they are for.
type Ready = HashMap<Arc<[PointIx]>, Arc<[Request]>>;

/// One slot.
#[derive(Debug)]
pub(super) struct Slot {
    plan: Arc<SlotPlan>,
    link: ModbusLink,
    poller: Poller,
    cut: Cut,
    /// How looks of commands are cut, and their requests: what they ask together, and find out by that, is no
    /// concern of what is under way.
    looks: (Cut, Ready),
    ready: Ready,
    /// Where each point's registers begin in `words`.
    places: Vec<(usize, usize)>,
    /// The registers of all points as last read.
    words: Vec<u16>,
    /// Raw values of the step under way, by point.
    values: Vec<Option<Raw>>,
    told: Told,
    backoff: Backoff,
    /// Registers by which the record of a ring lies behind the first, while it is read.
    shift: u16,
    /// Times in a row that the server gave no answer.
    misses: u32,
    /// It answered since it was last lost: before that nothing is known of how it is.
    answers_now: bool,
    /// A request was refused while it was read: it is cut otherwise from now on.
    refused: bool,
    /// What was found out of the server and is not yet told to its other slots.
    learned: Option<Limits>,
    /// Not asked before this tick: it did not answer.
    pub(super) rests_until: u64,
    /// Reports that await their durable answer.
    pub(super) unanswered: Vec<(Ticket, oneshot::Receiver<()>)>,
}

impl Slot {
    /// `None`: a plan of another protocol, which has no business here.
    pub(super) fn new(start: SlotStart) -> Option<Self> {
        let plan = start.plan;
        let link = plan.link.modbus()?.clone();
        let cut = Cut::new(&link);
        let poller = Poller::new(plan.clone(), &start.states, &|points| {
            coalesce(&plan, points, &cut).len() <= 1
        });
        let mut places = Vec::with_capacity(plan.points.len());
        let mut length = 0;
        for point in &plan.points {
            let span = usize::from(modbus::span(place(&point.at)));
            places.push((length, span));
            length += span;
        }
        Some(Self {
            values: vec![None; plan.points.len()],
            words: vec![0; length],
            places,
            ready: HashMap::new(),
            told: Told::default(),
            backoff: match link.transport {
                ModbusTransport::Tcp => Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
                // Each try costs the others on the line a time-out.
                _ => Backoff::new(
                    link.timeout.max(Duration::from_millis(200)),
                    (link.timeout * 10).clamp(Duration::from_secs(2), Duration::from_secs(15)),
                ),
            },
            shift: 0,
            misses: 0,
            answers_now: false,
            refused: false,
            learned: None,
            rests_until: 0,
            unanswered: Vec::new(),
            poller,
            looks: (cut.clone(), HashMap::new()),
            cut,
            link,
            plan,
        })
    }

    /// One step of this slot.
    pub(super) async fn turn(&mut self, connection: &mut Connection, clock: &Clock) -> Turn {
        for _ in 0..EMPTY {
            let asked = clock.now();
            let step = self.poller.next(asked);
            if let Some(turn) = self.carry_out(step, asked, connection, clock).await {
                return turn;
            }
        }
        Turn::Done
    }

    /// One step of a slot whose link is to end; `None`: it owes nothing any more.
    pub(super) async fn last_turn(&mut self, connection: &mut Connection, clock: &Clock, reads: bool) -> Option<Turn> {
        let asked = clock.now();
        let step = self.poller.wind_up(asked, reads)?;
        let turn = self.carry_out(step, asked, connection, clock).await;
        Some(turn.unwrap_or(Turn::Done))
    }

    /// Does a step; `None`: nothing was asked of the device for it.
    async fn carry_out(
        &mut self,
        step: Step,
        asked: Moment,
        connection: &mut Connection,
        clock: &Clock,
    ) -> Option<Turn> {
        match step {
            Step::Wait(until) => Some(Turn::Wait(until)),
            // Only time has passed: nothing is asked of the device.
            Step::Read { points, .. } if points.is_empty() => {
                self.values.fill(None);
                self.poller.read_done(asked, asked, &self.values, &[]);
                None
            }
            Step::Read { points, shift, .. } => {
                self.shift = shift;
                let outcome = self.read(connection, &points).await;
                self.shift = 0;
                self.take_up_cut();
                Some(match outcome {
                    Ok(faults) => {
                        self.answered();
                        self.poller.read_done(asked, clock.now(), &self.values, &faults);
                        Turn::Done
                    }
                    Err(broken) => {
                        self.salvage(&points);
                        broken
                    }
                })
            }
            Step::Write { point, value } => Some(match self.write(connection, point, &value).await {
                Ok(outcome) => {
                    self.answered();
                    self.poller.write_done(clock.now(), outcome);
                    Turn::Done
                }
                Err(broken) => broken,
            }),
        }
    }

    fn answered(&mut self) {
        self.backoff.reset();
        self.misses = 0;
        self.answers_now = true;
    }

    /// Which server it asks.
    pub(super) fn server(&self) -> u8 {
        self.link.server_id
    }

    /// Whose it is.
    pub(super) fn name(&self) -> &SlotName {
        &self.plan.slot
    }

    /// What was found out of the server since this was last asked.
    pub(super) fn take_learned(&mut self) -> Option<Limits> {
        self.learned.take()
    }

    /// Another slot found this out of the same server.
    pub(super) fn learn(&mut self, limits: Limits) {
        if self.cut.learn(limits) {
            self.recut();
        }
    }

    /// A request was refused: what comes together from now on, before what was read is looked at.
    fn take_up_cut(&mut self) {
        if std::mem::take(&mut self.refused) {
            self.recut();
        }
    }

    fn recut(&mut self) {
        self.ready.clear();
        let (plan, cut) = (&self.plan, &self.cut);
        self.poller.recut(&|points| coalesce(plan, points, cut).len() <= 1);
    }

    /// What was read before the link was lost, and is cleared by that, must not be forgotten.
    fn salvage(&mut self, points: &[PointIx]) {
        for point in points {
            let clears = self
                .plan
                .points
                .get(*point)
                .is_some_and(|point| place(&point.at).clears);
            if let (true, Some(Some(value))) = (clears, self.values.get(*point)) {
                self.poller.salvage(*point, value.clone());
            }
        }
    }

    /// The connection was lost or could not be made. `reason`: this slot is offline; `None`: it was another's fault.
    pub(super) async fn lost(
        &mut self,
        now: Moment,
        reason: Option<&str>,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Closed> {
        self.poller.link_lost();
        self.answers_now = false;
        let Some(reason) = reason else { return Ok(()) };
        let told = self.told.offline(&self.plan, now, reason);
        pass_on(told, reports, Closed).await
    }

    /// This server gave no answer. Said of the slot at the second time in a row; before, it may have been a disturbance.
    pub(super) async fn silent(
        &mut self,
        now: Moment,
        reason: &str,
        garbled: bool,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Closed> {
        self.misses = self.misses.saturating_add(1);
        let first = self.misses < 2 && self.told.anything();
        self.lost(now, (!first).then_some(reason), reports).await?;
        if garbled {
            // It is there: its line is bad, and it is not left alone for longer and longer.
            self.backoff.reset();
        }
        if !garbled || self.misses >= 4 {
            self.rest(now);
        }
        Ok(())
    }

    /// Bytes on the line that were no answer, while this slot had its turn.
    pub(super) async fn noise(&self, number: u64, reports: &mpsc::Sender<Report>) -> Result<(), Closed> {
        let counted = Report::Counted {
            slot: self.plan.slot.clone(),
            what: Counted::Noise,
            number,
        };
        reports.send(counted).await.map_err(|_| Closed)
    }

    /// This server did not answer: it rests, so that others on the link get their turn.
    pub(super) fn rest(&mut self, now: Moment) {
        let wait = u64::try_from(self.backoff.wait().as_millis()).unwrap_or(u64::MAX);
        self.rests_until = now.tick.saturating_add(wait);
    }

    /// Passes on what the last step led to, and how the slot is now.
    pub(super) async fn report(&mut self, now: Moment, reports: &mpsc::Sender<Report>) -> Result<(), Closed> {
        for out in self.poller.take() {
            let beside = match &out {
                Out::Happened(happened) => Beside {
                    raw: self.raw(happened.happening.event),
                    ..Beside::default()
                },
                _ => Beside::default(),
            };
            let plan = self.plan.clone();
            let Some(report) = asked::report(&plan, out, now, beside, |ticket| self.await_answer(ticket)) else {
                continue;
            };
            reports.send(report).await.map_err(|_| Closed)?;
        }
        if let (true, Some((state, reason))) = (self.answers_now, self.poller.condition(now)) {
            self.told.reached();
            pass_on(self.told.say(&self.plan, state, reason, now), reports, Closed).await?;
        }
        Ok(())
    }

    fn await_answer(&mut self, ticket: Ticket) -> oneshot::Sender<()> {
        let (sender, receiver) = oneshot::channel();
        self.unanswered.push((ticket, receiver));
        sender
    }

    /// What was reported under `ticket` is durable, or could not be made so.
    pub(super) fn answer(&mut self, now: Moment, ticket: Ticket, durable: bool) {
        self.poller.answered(now, ticket, durable);
    }

    /// Takes up durable answers that have come.
    pub(super) fn answers(&mut self, now: Moment) {
        let poller = &mut self.poller;
        self.unanswered.retain_mut(|(ticket, receiver)| {
            let durable = match receiver.try_recv() {
                Ok(()) => true,
                Err(oneshot::error::TryRecvError::Closed) => false,
                Err(oneshot::error::TryRecvError::Empty) => return true,
            };
            poller.answered(now, *ticket, durable);
            false
        });
    }
}
