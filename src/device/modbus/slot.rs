//! One slot on a Modbus connection: its poller, its registers, its reports.

use super::client::{Connection, Fault as Refusal, is_transient};
use super::requests::{Cut, Request, coalesce, place};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::model::plan::{Link, ModbusTcp, PointIx, SlotPlan, Table};
use crate::model::sample::{LinkState, Report};
use crate::model::{Moment, Raw, Sample};
use crate::watch::{Fault, Out, Poller, Step, Ticket};
use crate::wire::modbus;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_modbus::ExceptionCode;

/// Sets of points whose requests are kept ready.
const READY: usize = 64;

/// What a turn of a slot came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something was asked.
    Done,
    /// Nothing to do before this tick, or before an answer comes.
    Wait(Option<u64>),
    /// The connection is not to be used again, for this reason.
    Lost(String),
}

/// Nobody receives the reports any more.
#[derive(Debug)]
pub(super) struct Closed;

/// One slot.
#[derive(Debug)]
pub(super) struct Slot {
    plan: Arc<SlotPlan>,
    link: ModbusTcp,
    poller: Poller,
    cut: Cut,
    ready: HashMap<Arc<[PointIx]>, Arc<[Request]>>,
    /// Where each point's registers begin in `words`.
    places: Vec<(usize, usize)>,
    /// The registers of all points as last read.
    words: Vec<u16>,
    /// Raw values of the step under way, by point.
    values: Vec<Option<Raw>>,
    told: Option<(LinkState, String)>,
    offline_since: Option<Moment>,
    backoff: Backoff,
    /// Not asked before this tick: it did not answer.
    pub(super) rests_until: u64,
    /// Reports that await their durable answer.
    pub(super) unanswered: Vec<(Ticket, oneshot::Receiver<()>)>,
}

impl Slot {
    pub(super) fn new(start: SlotStart) -> Self {
        let plan = start.plan;
        let Link::ModbusTcp(link) = plan.link.clone();
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
        Self {
            values: vec![None; plan.points.len()],
            words: vec![0; length],
            places,
            ready: HashMap::new(),
            told: None,
            offline_since: None,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            rests_until: 0,
            unanswered: Vec::new(),
            poller,
            cut,
            link,
            plan,
        }
    }

    /// One step of this slot.
    pub(super) async fn turn(&mut self, connection: &mut Connection, clock: &Clock) -> Turn {
        let asked = clock.now();
        match self.poller.next(asked) {
            Step::Wait(until) => Turn::Wait(until),
            Step::Read(points) => match self.read(connection, &points).await {
                Ok(faults) => {
                    self.backoff.reset();
                    self.poller.read_done(asked, clock.now(), &self.values, &faults);
                    Turn::Done
                }
                Err(reason) => {
                    self.salvage(&points);
                    Turn::Lost(reason)
                }
            },
            Step::Write { point, value } => match self.write(connection, point, &value).await {
                Ok(outcome) => {
                    self.backoff.reset();
                    self.poller.write_done(clock.now(), outcome);
                    Turn::Done
                }
                Err(reason) => Turn::Lost(reason),
            },
        }
    }

    fn requests(&mut self, points: &Arc<[PointIx]>) -> Arc<[Request]> {
        if let Some(ready) = self.ready.get(points) {
            return ready.clone();
        }
        if self.ready.len() >= READY {
            self.ready.clear();
        }
        let requests: Arc<[Request]> = coalesce(&self.plan, points, &self.cut).into();
        self.ready.insert(points.clone(), requests.clone());
        requests
    }

    /// Reads `points` into `values`. Points that the device refuses are faults; the error is a lost link.
    async fn read(&mut self, connection: &mut Connection, points: &Arc<[PointIx]>) -> Result<Vec<Fault>, String> {
        self.values.fill(None);
        let mut faults = Vec::new();
        for request in self.requests(points).iter() {
            match connection.read(self.link.server_id, request).await {
                Ok(words) => self.keep(request, &words),
                Err(Refusal::Link(reason)) => return Err(reason),
                Err(Refusal::Exception(code)) if request.pieces.len() > 1 && !is_transient(code) => {
                    self.one_by_one(connection, request, &mut faults).await?;
                }
                Err(Refusal::Exception(code)) => {
                    for piece in &request.pieces {
                        faults.push(self.fault(piece.point, code));
                    }
                }
            }
        }
        for fault in &faults {
            if let Some(value) = self.values.get_mut(fault.point) {
                *value = None;
            }
        }
        Ok(faults)
    }

    /// A request that the device refuses as a whole: finds out which point it is, and cuts otherwise from now on.
    async fn one_by_one(
        &mut self,
        connection: &mut Connection,
        request: &Request,
        faults: &mut Vec<Fault>,
    ) -> Result<(), String> {
        let mut bad = Vec::new();
        for piece in &request.pieces {
            let alone = Request {
                table: request.table,
                address: request.address.saturating_add(piece.offset),
                count: piece.count,
                pieces: vec![super::requests::Piece { offset: 0, ..*piece }],
            };
            match connection.read(self.link.server_id, &alone).await {
                Ok(words) => self.keep(&alone, &words),
                Err(Refusal::Link(reason)) => return Err(reason),
                Err(Refusal::Exception(code)) => {
                    if !is_transient(code) {
                        bad.push(piece.point);
                    }
                    faults.push(self.fault(piece.point, code));
                }
            }
        }
        self.cut.refused(&bad);
        self.ready.clear();
        let (plan, cut) = (&self.plan, &self.cut);
        self.poller.recut(&|points| coalesce(plan, points, cut).len() <= 1);
        Ok(())
    }

    /// Takes up the registers of an answer, and decodes the points that end in it.
    fn keep(&mut self, request: &Request, words: &[u16]) {
        for piece in &request.pieces {
            let (Some((start, span)), Some(point)) = (self.places.get(piece.point), self.plan.points.get(piece.point))
            else {
                continue;
            };
            let from = usize::from(piece.offset);
            let to = start + usize::from(piece.into);
            let count = usize::from(piece.count);
            if let (Some(source), Some(target)) = (words.get(from..from + count), self.words.get_mut(to..to + count)) {
                target.copy_from_slice(source);
            }
            let ends = usize::from(piece.into) + count == *span;
            if let (true, Some(value)) = (ends, self.values.get_mut(piece.point)) {
                *value = self
                    .words
                    .get(*start..start + span)
                    .and_then(|words| modbus::decode_words(place(&point.at), words));
            }
        }
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

    fn fault(&self, point: PointIx, code: ExceptionCode) -> Fault {
        let (name, at) = self.plan.points.get(point).map_or(("", String::new()), |point| {
            let at = place(&point.at);
            (&*point.name, format!("{}:{}", at.table.word(), at.address))
        });
        Fault {
            point,
            text: format!(
                "`{name}` ({at}) of server {}: {}",
                self.link.server_id,
                Refusal::Exception(code)
            ),
            transient: is_transient(code),
        }
    }

    /// Writes a value. `Ok(Err)`: the device refused it; the error is a lost link.
    async fn write(
        &mut self,
        connection: &mut Connection,
        point: PointIx,
        value: &Raw,
    ) -> Result<Result<(), Fault>, String> {
        let plan = self.plan.clone();
        let Some(of) = plan.points.get(point) else {
            return Ok(Ok(()));
        };
        let at = place(&of.at);
        let mut words = match modbus::encode(at, value) {
            Ok(words) => words,
            Err(fault) => {
                return Ok(Err(Fault {
                    point,
                    text: format!("`{}` cannot be written: {fault}", of.name),
                    transient: false,
                }));
            }
        };
        if at.bits.is_some() && !at.table.is_bits() {
            // The other bits of the word stay what they are.
            let request = Request {
                table: at.table,
                address: at.address,
                count: modbus::span(at),
                pieces: Vec::new(),
            };
            match connection.read(self.link.server_id, &request).await {
                Ok(old) => words = modbus::merge(at, &old, &words),
                Err(Refusal::Exception(code)) => return Ok(Err(self.fault(point, code))),
                Err(Refusal::Link(reason)) => return Err(reason),
            }
        }
        match connection
            .write(self.link.server_id, at.table, at.address, &words)
            .await
        {
            Ok(()) => Ok(Ok(())),
            Err(Refusal::Exception(code)) => Ok(Err(self.fault(point, code))),
            Err(Refusal::Link(reason)) => Err(reason),
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
        let Some(reason) = reason else { return Ok(()) };
        let since = *self.offline_since.get_or_insert(now);
        let text = format!("{}: {reason} (since {})", self.link.address, since.rfc3339());
        self.tell(LinkState::Offline, text, since, reports).await
    }

    /// This server did not answer: it rests, so that others on the link get their turn.
    pub(super) fn rest(&mut self, now: Moment) {
        let wait = u64::try_from(self.backoff.wait().as_millis()).unwrap_or(u64::MAX);
        self.rests_until = now.tick.saturating_add(wait);
    }

    async fn tell(
        &mut self,
        state: LinkState,
        reason: String,
        at: Moment,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Closed> {
        let same = self
            .told
            .as_ref()
            .is_some_and(|(was, text)| *was == state && *text == reason);
        if same {
            return Ok(());
        }
        self.told = Some((state, reason.clone()));
        let slot = self.plan.slot.clone();
        reports
            .send(Report::Link {
                slot,
                state,
                reason,
                at,
            })
            .await
            .map_err(|_| Closed)
    }

    /// Passes on what the last step led to, and how the slot is now.
    pub(super) async fn report(&mut self, now: Moment, reports: &mpsc::Sender<Report>) -> Result<(), Closed> {
        for out in self.poller.take() {
            let report = match out {
                Out::Happened(happened) => {
                    let durable = happened.ticket.map(|ticket| self.await_answer(ticket));
                    Report::Sample(Box::new(Sample {
                        plan: self.plan.clone(),
                        event: happened.happening.event,
                        raw: self.raw(happened.happening.event),
                        values: happened.happening.values,
                        before: happened.happening.before,
                        seen: happened.seen,
                        since: happened.since,
                        backfill: false,
                        state: happened.happening.state,
                        durable,
                    }))
                }
                Out::State { event, state, ticket } => {
                    let Some(of) = self.plan.events.get(event) else {
                        continue;
                    };
                    let name = of.name.clone();
                    Report::State {
                        slot: self.plan.slot.clone(),
                        event: name,
                        state,
                        durable: ticket.map(|ticket| self.await_answer(ticket)),
                    }
                }
                Out::Alarm { active, text } => Report::Alarm {
                    slot: self.plan.slot.clone(),
                    code: "ack_timeout",
                    active,
                    text,
                    at: now,
                },
            };
            reports.send(report).await.map_err(|_| Closed)?;
        }
        if let Some((state, reason)) = self.poller.condition(now) {
            self.offline_since = None;
            self.tell(state, reason, now, reports).await?;
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

    /// The registers that an event was made of, in address order, overlaps once.
    fn raw(&self, event: usize) -> String {
        let Some(event) = self.plan.events.get(event) else {
            return String::new();
        };
        let mut parts: Vec<(Table, u16, &[u16])> = event
            .points
            .iter()
            .filter_map(|point| {
                let at = place(&self.plan.points.get(*point)?.at);
                let (start, span) = self.places.get(*point)?;
                Some((at.table, at.address, self.words.get(*start..start + span)?))
            })
            .collect();
        parts.sort_by_key(|(table, address, words)| (*table, *address, words.len()));
        let mut text = String::new();
        let mut next: Option<(Table, u32)> = None;
        for (table, address, words) in parts {
            for (at, word) in (u32::from(address)..).zip(words) {
                if next.is_some_and(|(of, next)| of == table && at < next) {
                    continue;
                }
                next = Some((table, at + 1));
                if !text.is_empty() {
                    text.push(' ');
                }
                let written = if table.is_bits() {
                    write!(text, "{word}")
                } else {
                    write!(text, "{word:04x}")
                };
                if written.is_err() {
                    return text;
                }
            }
        }
        text
    }
}
