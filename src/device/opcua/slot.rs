//! One slot on an OPC UA link: its points in this session, what the server said of them, its reports.
//!
//! Owns the picture of its values. When something is read is the poller's; what events lead to is [`notices`]'s.

mod values;

use super::fault::Fault;
use super::subscribe::Guard;
use crate::device::SlotStart;
use crate::device::asked::{self, Beside};
use crate::device::tap::Reading;
use crate::device::told::{Told, pass_on};
use crate::model::plan::{EventPlan, OpcuaPart, OpcuaPoint, PointIx, Said, SlotPlan, Trigger};
use crate::model::sample::{LinkState, Mark, Report, TriggerState};
use crate::model::{Moment, Raw, Sample, SlotName};
use crate::watch::{Out, Poller, Step, Ticket, Watcher, notices};
use crate::wire::opcua::Tree;
use opcua::types::{NodeId, VariantScalarTypeId};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

pub(super) use values::{Read, Said as NodeSaid};

/// Steps of one turn before other slots have theirs.
const STEPS: usize = 32;
/// Numbers of an array that are kept in `origin.raw`.
const SHOWN: usize = 64;
/// What the server told that may wait to be looked at, before it is asked for no more.
pub(super) const WAITING: usize = 256;

/// Nobody receives the reports any more, or the session failed.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nobody receives the reports any more.
    Closed,
    /// The session cannot be used any more, or the server refused.
    Session(Fault),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Session(fault)
    }
}

/// A variable that is subscribed to, for all points that are made of it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) node: NodeId,
    pub(super) points: Vec<PointIx>,
    pub(super) sampling: Option<Duration>,
    pub(super) deadband: Option<f64>,
}

/// What the server last said of a point.
#[derive(Debug, Clone, Default)]
enum Shown {
    /// Nothing in this session.
    #[default]
    Unknown,
    /// That there is no value.
    Nothing,
    /// This.
    Value(Raw),
}

/// What the server told at one time.
#[derive(Debug)]
struct Picture {
    said: Vec<NodeSaid>,
    seen: Moment,
    since: Option<Moment>,
    guard: Arc<Guard>,
}

/// An answer that is awaited, and what must not be acknowledged to the server before.
#[derive(Debug)]
struct Awaited {
    ticket: Option<Ticket>,
    answer: oneshot::Receiver<()>,
    guard: Option<Arc<Guard>>,
}

impl Awaited {
    /// Its answer has come.
    fn taken_up(&self, poller: &mut Poller, now: Moment, durable: bool) {
        match (self.ticket, &self.guard) {
            (Some(ticket), _) => poller.answered(now, ticket, durable),
            // Only the server can tell an event again.
            (None, Some(guard)) if !durable => guard.fail(),
            (None, _) => {}
        }
    }
}

/// One slot.
pub(super) struct Slot {
    pub(super) plan: Arc<SlotPlan>,
    poller: Poller,
    watcher: Watcher,
    /// Node ids in this session, by point; why there is none.
    nodes: Vec<Result<NodeId, String>>,
    /// Built-in types as the server says them, by point; for writing.
    kinds: Vec<Option<VariantScalarTypeId>>,
    /// What the server last said, by point.
    image: Vec<Shown>,
    /// What it says of values that are not good, by point.
    quality: Vec<Option<Arc<str>>>,
    /// What was read of it, by point.
    stamps: Vec<Option<values::Known>>,
    pictures: VecDeque<Picture>,
    awaited: Vec<Awaited>,
    told: Told,
    /// Data flow in this session.
    flows: bool,
    /// Why something that is subscribed to says nothing, by what it is.
    standing: BTreeMap<String, String>,
    /// The last event, for who looks.
    last_event: Option<(Moment, u16, Tree)>,
    /// What is held by the picture under way.
    holding: Option<Arc<Guard>>,
    /// The server tells what changes.
    told_mode: bool,
    /// Its queue of some value was too short.
    overflow: bool,
}

/// Points of events that look at nothing else than what triggers them.
fn told_whole(plan: &SlotPlan) -> Vec<BTreeSet<PointIx>> {
    let whole = |event: &EventPlan| {
        let watched: BTreeSet<PointIx> = event.triggers.iter().flat_map(Trigger::points).copied().collect();
        let all: BTreeSet<PointIx> = event
            .points
            .iter()
            .chain(&event.id)
            .copied()
            .chain(watched.iter().copied())
            .collect();
        (!watched.is_empty() && event.ack.is_none() && all == watched).then_some(all)
    };
    plan.events.iter().filter_map(whole).collect()
}

impl Slot {
    pub(super) fn new(start: SlotStart) -> Self {
        let plan = start.plan;
        let whole = told_whole(&plan);
        let together = |points: &[PointIx]| {
            let points: BTreeSet<PointIx> = points.iter().copied().collect();
            whole.contains(&points)
        };
        let points = plan.points.len();
        Self {
            poller: Poller::new(plan.clone(), &start.states, &together),
            watcher: Watcher::new(plan.clone(), &start.states),
            nodes: vec![Err(String::new()); points],
            kinds: vec![None; points],
            image: vec![Shown::Unknown; points],
            quality: vec![None; points],
            stamps: vec![None; points],
            pictures: VecDeque::new(),
            awaited: Vec::new(),
            told: Told::default(),
            flows: false,
            standing: BTreeMap::new(),
            last_event: None,
            holding: None,
            told_mode: false,
            overflow: false,
            plan,
        }
    }

    /// Whose it is.
    pub(super) fn name(&self) -> &SlotName {
        &self.plan.slot
    }

    fn at(&self, point: PointIx) -> Option<&OpcuaPoint> {
        self.plan.points.get(point)?.at.opcua()
    }

    /// A new session: node ids are looked up again, and what the server shows is compared with what was taken.
    pub(super) fn begin(&mut self, namespaces: &[String], told: bool) {
        self.poller.link_lost();
        self.is_told(told);
        self.pictures.clear();
        self.standing.clear();
        self.image.fill(Shown::Unknown);
        self.stamps.fill(None);
        self.kinds.fill(None);
        let plan = self.plan.clone();
        for (slot, point) in self.nodes.iter_mut().zip(&plan.points) {
            let node = point.at.opcua().and_then(|at| at.node.as_ref());
            *slot = match node {
                Some(node) => super::convert::node_id(node, namespaces),
                None => Err(String::new()),
            };
        }
    }

    /// What is to be subscribed to: the variables that triggers and the life sign look at, each once.
    pub(super) fn items(&self) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        let mut places: HashMap<&NodeId, usize> = HashMap::new();
        for point in self.poller.watched() {
            let (Some(Ok(node)), Some(at), Some(of)) =
                (self.nodes.get(*point), self.at(*point), self.plan.points.get(*point))
            else {
                continue;
            };
            let plain = at.paths.is_empty() && at.part == OpcuaPart::Value && at.bits.is_none();
            let deadband = of
                .deadband
                .filter(|_| plain)
                .and_then(|band| band.to_string().parse().ok());
            if let Some(item) = places.get(node).and_then(|place| items.get_mut(*place)) {
                item.points.push(*point);
                item.sampling = item.sampling.into_iter().chain(at.sampling).min();
                item.deadband = None;
            } else {
                places.insert(node, items.len());
                items.push(Item {
                    node: node.clone(),
                    points: vec![*point],
                    sampling: at.sampling,
                    deadband,
                });
            }
        }
        items
    }

    /// Something that is subscribed to cannot be; `None`: it can.
    pub(super) fn stands(&mut self, what: String, why: Option<String>) {
        match why {
            Some(why) => drop(self.standing.insert(what, why)),
            None => drop(self.standing.remove(&what)),
        }
    }

    /// The server tells what changes; or it must be asked.
    pub(super) fn is_told(&mut self, told: bool) {
        self.told_mode = told;
        self.poller.is_told(told);
    }

    /// The server's queue of some value was too short, or is not any more.
    pub(super) async fn overflown(
        &mut self,
        overflown: bool,
        now: Moment,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Broken> {
        if std::mem::replace(&mut self.overflow, overflown) == overflown {
            return Ok(());
        }
        let text = if overflown {
            "the server kept fewer changes of a value than there were between two publishings; raise `queue`, or lower `publishing`"
        } else {
            "the server keeps all changes of its values"
        };
        self.alarm("values_lost", overflown, text.to_owned(), now, reports)
            .await
    }

    /// Data flow: the server said something.
    pub(super) fn flows(&mut self) {
        self.flows = true;
    }

    /// The server told values: `rounds`, one after another.
    pub(super) fn tell(&mut self, rounds: Vec<Vec<NodeSaid>>, seen: Moment, since: Option<Moment>, guard: &Arc<Guard>) {
        for said in rounds {
            self.pictures.push_back(Picture {
                said,
                seen,
                since,
                guard: guard.clone(),
            });
        }
    }

    /// Whether so much waits that the server is asked for no more.
    pub(super) fn is_full(&self) -> bool {
        self.pictures.len() >= WAITING || self.awaited.len() >= WAITING
    }

    /// Steps of this slot until there is nothing to do now; then the tick at which there is again.
    pub(super) async fn turn(
        &mut self,
        reader: &mut Read<'_>,
        reports: &mpsc::Sender<Report>,
    ) -> Result<Option<u64>, Broken> {
        for _ in 0..STEPS {
            let now = reader.clock.now();
            self.answers(now);
            if !self.told_mode {
                self.pictures.clear();
            }
            if !self.pictures.is_empty() {
                self.poller.offer();
            }
            let step = self.poller.next(now);
            if let Step::Wait(until) = step {
                self.holding = None;
                self.condition(now, reports).await?;
                return Ok(until);
            }
            self.carry_out(reader, step, now).await?;
            self.report(reader.clock.now(), reports).await?;
        }
        Ok(Some(0))
    }

    /// Steps of a slot whose link is to end, until there is nothing to do now; then whether something is left to be done, and
    /// at which tick. `reads`: what the server told is looked at, and results that are being read are read to their end.
    pub(super) async fn last_turn(
        &mut self,
        reader: &mut Read<'_>,
        reports: &mpsc::Sender<Report>,
        reads: bool,
    ) -> Result<Option<Option<u64>>, Broken> {
        for _ in 0..STEPS {
            let now = reader.clock.now();
            self.answers(now);
            let told = reads && !self.pictures.is_empty();
            let step = match self.poller.wind_up(now, reads) {
                Some(Step::Wait(_)) | None if told => {
                    self.poller.offer();
                    self.poller.next(now)
                }
                Some(step) => step,
                None => {
                    self.holding = None;
                    // The server has its acknowledgement once this is durable.
                    let owes = self.awaited.iter().any(|awaited| awaited.guard.is_some());
                    return Ok(owes.then_some(None));
                }
            };
            if let Step::Wait(until) = step {
                self.holding = None;
                return Ok(Some(until));
            }
            self.carry_out(reader, step, now).await?;
            self.report(reader.clock.now(), reports).await?;
        }
        Ok(Some(Some(0)))
    }

    /// Does a step.
    async fn carry_out(&mut self, reader: &mut Read<'_>, step: Step, now: Moment) -> Result<(), Broken> {
        match step {
            Step::Wait(_) => {}
            Step::Write { point, value } => {
                let outcome = self.write(reader, point, &value).await?;
                self.poller.write_done(reader.clock.now(), outcome);
            }
            Step::Read { points, told, .. } => {
                // What was told waits where the server is asked for something else first.
                let picture = if told { self.pictures.pop_front() } else { None };
                self.look(reader, &points, picture, now).await?;
            }
        }
        Ok(())
    }

    /// One reading: answered by what the server told where that suffices, else it is asked.
    async fn look(
        &mut self,
        reader: &mut Read<'_>,
        points: &[PointIx],
        picture: Option<Picture>,
        asked: Moment,
    ) -> Result<(), Broken> {
        let mut seen = None;
        if let Some(picture) = picture {
            for said in &picture.said {
                self.apply_told(said, picture.seen.tick);
            }
            if let Some(since) = picture.since {
                self.poller.looked_until(since);
            }
            seen = Some(picture.seen);
            self.holding = Some(picture.guard);
        }
        let unknown = |point: &PointIx| matches!(self.image.get(*point), None | Some(Shown::Unknown));
        let known = !points.iter().any(unknown);
        if let Some(seen) = seen.filter(|_| known) {
            let faults = self.told_faults(points);
            let values = self.pick(points);
            self.poller.read_done(seen, seen, &values, &faults);
            return Ok(());
        }
        let faults = self.read(reader, points).await?;
        let values = self.pick(points);
        self.poller.read_done(asked, reader.clock.now(), &values, &faults);
        Ok(())
    }

    fn pick(&self, points: &[PointIx]) -> Vec<Option<Raw>> {
        let mut values = vec![None; self.image.len()];
        for point in points {
            if let (Some(slot), Some(Shown::Value(value))) = (values.get_mut(*point), self.image.get(*point)) {
                *slot = Some(value.clone());
            }
        }
        values
    }

    /// An event came: its `fields`, or why they cannot be read. `backfill`: it was asked for.
    pub(super) async fn hear(
        &mut self,
        reader: &mut Read<'_>,
        notice: u16,
        fields: Result<Tree, String>,
        told: EventTold<'_>,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Broken> {
        let plan = self.plan.clone();
        let said = Said::Event(notice);
        let tree = match fields {
            Ok(tree) => tree,
            Err(reason) => {
                let event = plan.takes(Some(said)).unwrap_or(0);
                let none = vec![None; plan.points.len()];
                let mut sample = Sample::picture(&plan, event, none.clone(), none, told.seen);
                sample.faults = vec![format!("the event cannot be read: {reason}")];
                sample.backfill = told.backfill;
                sample.since = told.since;
                sample.raw = told.raw.to_owned();
                return self.send(sample, told.guard, reports).await;
            }
        };
        let nodes = notices::reads(&plan, notice);
        let mut values = vec![None; plan.points.len()];
        if !nodes.is_empty() {
            // Faults are absent values here: the event itself came.
            drop(self.read(reader, &nodes).await?);
            values = self.pick(&nodes);
        }
        let heard = notices::hear(&mut self.watcher, told.seen, notice, &tree, &values);
        let raw = tree.to_short_json(SHOWN).to_string();
        let number = super::joining::number(&tree).and_then(|number| i64::try_from(number).ok());
        self.last_event = Some((told.seen, notice, tree));
        for (event, state) in heard.moved {
            let Some(of) = plan.events.get(event) else { continue };
            let report = Report::State {
                slot: plan.slot.clone(),
                event: of.name.clone(),
                state,
                durable: None,
            };
            reports.send(report).await.map_err(|_| Broken::Closed)?;
        }
        for happening in heard.happened {
            let mut sample = Sample::picture(&plan, happening.event, happening.values, happening.before, told.seen);
            let mark = number.map(|index| Mark { index, behind: None });
            sample.state = happening.state.map(|state| TriggerState { mark, ..state });
            sample.since = told.since;
            sample.backfill = told.backfill;
            sample.raw.clone_from(&raw);
            sample.quality = self.qualities(happening.event);
            self.send(sample, told.guard, reports).await?;
        }
        Ok(())
    }

    async fn send(
        &mut self,
        mut sample: Sample,
        guard: &Arc<Guard>,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Broken> {
        let (sender, answer) = oneshot::channel();
        sample.durable = Some(sender);
        self.awaited.push(Awaited {
            ticket: None,
            answer,
            guard: Some(guard.clone()),
        });
        reports
            .send(Report::Sample(Box::new(sample)))
            .await
            .map_err(|_| Broken::Closed)
    }

    /// Something of the events that `notice` triggers is missing for good, and no counter of the profile tells it.
    pub(super) async fn gap(
        &mut self,
        notice: Option<u16>,
        count: Option<u64>,
        at: Moment,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Broken> {
        for (event, of) in self.plan.events.iter().enumerate() {
            let concerns = of.triggers.iter().any(|trigger| match trigger {
                Trigger::Said(Said::Event(of)) => notice.is_none_or(|notice| notice == *of),
                _ => false,
            });
            if !concerns || of.counted {
                continue;
            }
            let report = Report::Gap {
                slot: self.plan.slot.clone(),
                event,
                after: None,
                before: None,
                count,
                at,
            };
            reports.send(report).await.map_err(|_| Broken::Closed)?;
        }
        Ok(())
    }

    /// Something that a person should see.
    pub(super) async fn alarm(
        &self,
        code: &'static str,
        active: bool,
        text: String,
        at: Moment,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Broken> {
        let report = Report::Alarm {
            slot: self.plan.slot.clone(),
            code,
            active,
            text,
            at,
        };
        reports.send(report).await.map_err(|_| Broken::Closed)
    }

    /// Passes on what came of the steps.
    async fn report(&mut self, now: Moment, reports: &mpsc::Sender<Report>) -> Result<(), Broken> {
        for out in self.poller.take() {
            let beside = match &out {
                Out::Happened(happened) => Beside {
                    raw: self.raw(happened.happening.event, &happened.happening.values),
                    quality: self.qualities(happened.happening.event),
                },
                _ => Beside::default(),
            };
            let plan = self.plan.clone();
            let Some(report) = asked::report(&plan, out, now, beside, |ticket| self.awaits(ticket)) else {
                continue;
            };
            reports.send(report).await.map_err(|_| Broken::Closed)?;
        }
        Ok(())
    }

    fn awaits(&mut self, ticket: Ticket) -> oneshot::Sender<()> {
        let (sender, answer) = oneshot::channel();
        self.awaited.push(Awaited {
            ticket: Some(ticket),
            answer,
            guard: self.holding.clone(),
        });
        sender
    }

    /// Takes up durable answers that have come.
    pub(super) fn answers(&mut self, now: Moment) {
        let poller = &mut self.poller;
        self.awaited.retain_mut(|awaited| {
            let durable = match awaited.answer.try_recv() {
                Ok(()) => true,
                Err(oneshot::error::TryRecvError::Closed) => false,
                Err(oneshot::error::TryRecvError::Empty) => return true,
            };
            awaited.taken_up(poller, now, durable);
            false
        });
    }

    /// Ready when a durable answer has come.
    pub(super) fn poll_answers(&mut self, now: Moment, context: &mut std::task::Context<'_>) -> bool {
        let mut came = false;
        let poller = &mut self.poller;
        self.awaited.retain_mut(|awaited| {
            let answer = std::pin::Pin::new(&mut awaited.answer);
            let std::task::Poll::Ready(outcome) = std::future::Future::poll(answer, context) else {
                return true;
            };
            awaited.taken_up(poller, now, outcome.is_ok());
            came = true;
            false
        });
        came
    }

    /// Tells how the link is.
    async fn condition(&mut self, now: Moment, reports: &mpsc::Sender<Report>) -> Result<(), Broken> {
        if !self.flows {
            return Ok(());
        }
        let (state, reason) = match self.standing.values().next() {
            Some(why) => {
                let more = match self.standing.len() {
                    1 => String::new(),
                    2 => " (and one more)".to_owned(),
                    more => format!(" (and {} more)", more - 1),
                };
                (LinkState::Degraded, format!("{why}{more}"))
            }
            None => match self.poller.condition(now) {
                Some(condition) => condition,
                None => return Ok(()),
            },
        };
        self.told.reached();
        pass_on(self.told.say(&self.plan, state, reason, now), reports, Broken::Closed).await
    }

    /// The link is lost, or cannot be made, for this reason.
    pub(super) async fn offline(
        &mut self,
        now: Moment,
        reason: &str,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Broken> {
        self.flows = false;
        let told = self.told.offline(&self.plan, now, reason);
        pass_on(told, reports, Broken::Closed).await
    }

    /// What all points say now, for a command; fields as the last event said them.
    pub(super) async fn show(&mut self, reader: &mut Read<'_>) -> Result<Reading, Fault> {
        let nodes: Vec<PointIx> = (0..self.plan.points.len())
            .filter(|point| self.at(*point).is_some_and(|at| at.node.is_some()))
            .collect();
        let kept = (self.image.clone(), self.quality.clone(), self.stamps.clone());
        let faults = self.read(reader, &nodes).await;
        let mut values = self.pick(&nodes);
        let words = (0..self.plan.points.len())
            .map(|point| {
                self.quality
                    .get(point)
                    .and_then(Option::as_ref)
                    .map_or_else(String::new, ToString::to_string)
            })
            .collect();
        (self.image, self.quality, self.stamps) = kept;
        let mut faults: Vec<String> = faults?.into_iter().map(|fault| fault.text).collect();
        faults.extend(self.standing.values().cloned());
        match &self.last_event {
            Some((_, notice, tree)) => {
                for (slot, value) in values.iter_mut().zip(notices::picture(&self.plan, *notice, tree)) {
                    if value.is_some() {
                        *slot = value;
                    }
                }
            }
            None if !self.plan.notices.is_empty() => {
                faults.push("the server has told no event yet: have the device make one".to_owned());
            }
            None => {}
        }
        Ok(Reading {
            at: reader.clock.now(),
            values,
            words,
            faults,
        })
    }
}

/// How an event came.
pub(super) struct EventTold<'a> {
    pub(super) seen: Moment,
    pub(super) since: Option<Moment>,
    pub(super) backfill: bool,
    /// What stood on the wire, where it cannot be read.
    pub(super) raw: &'a str,
    pub(super) guard: &'a Arc<Guard>,
}
