//! What an OPC UA server said, from the lines of a record to samples: values that were told and read, and events.
//!
//! Owns whose values and events they are in the session of the record, and which answer is of which moment. Structures are read
//! by [`crate::wire::opcua`], triggers are run by [`crate::watch`]: the same as in the driver.
//!
//! As there, what one notification tells is a picture where an event looks at nothing else than what triggers it. Any other
//! event needs its values read with its trigger and id the same before and behind: a server promises no moment for one Read.

use super::picture::{Picture, points};
use super::reads::{Scanned, Seen, Value};
use crate::model::plan::{EventPlan, Namespace, NodeRef, OpcuaPart, OpcuaPoint, PointIx, Said, SlotPlan, Trigger};
use crate::model::value::hex;
use crate::model::{Moment, Raw, Sample, time};
use crate::record::opcua::{DataType, DataValue, EventSaid, NodeSaid};
use crate::record::{Line, Record, What};
use crate::watch::{Watcher, notices};
use crate::wire::opcua::node::parse_node;
use crate::wire::opcua::{
    Builtin, Field, NodeKey, StructureKind, StructureType, Tree, Types, decode_variant, event_tree, first,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// 1601 to 1970, in milliseconds.
const EPOCH: i64 = 11_644_473_600_000;
/// How long something that was sampled before a read may be on its way beside the publishing interval, in milliseconds: as in
/// the driver.
const ON_ITS_WAY: u64 = 2_000;

/// What a profile makes of a record.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) samples: Vec<Sample>,
    pub(super) torn: Vec<(u64, String)>,
    pub(super) notes: Vec<String>,
}

/// A point that was told or read.
#[derive(Debug, Clone)]
struct Shown {
    point: PointIx,
    raw: Option<Raw>,
    quality: Option<Arc<str>>,
}

/// When a value was read, and until when what is older than that is not taken any more.
#[derive(Debug, Clone, Copy)]
struct Known {
    source: Option<i64>,
    server: Option<i64>,
    until: u64,
}

/// The session of the record, with the points of a profile in it.
struct Session {
    plan: Arc<SlotPlan>,
    types: Types,
    nodes: HashMap<NodeKey, Vec<PointIx>>,
    notices: Vec<Option<NodeKey>>,
    known: HashMap<NodeKey, Known>,
}

/// The node in a session with these namespaces.
fn resolved(node: &NodeRef, namespaces: &[String]) -> Option<NodeKey> {
    let namespace = match &node.namespace {
        Namespace::Index(index) => *index,
        Namespace::Uri(uri) => u16::try_from(namespaces.iter().position(|known| **known == **uri)?).ok()?,
    };
    Some(NodeKey {
        namespace,
        id: node.id.clone(),
    })
}

/// A node id of the record.
fn key(text: &str) -> Option<NodeKey> {
    resolved(&parse_node(text).ok()?, &[])
}

fn at(plan: &SlotPlan, point: PointIx) -> Option<&OpcuaPoint> {
    plan.points.get(point)?.at.opcua()
}

/// Time of a stamp as the driver shows it.
fn stamp(ticks: Option<i64>) -> Option<Raw> {
    let wall = ticks?.div_euclid(10_000).checked_sub(EPOCH)?;
    Some(Raw::Text(time::rfc3339(wall)))
}

impl Session {
    fn new(plan: &Arc<SlotPlan>) -> Self {
        let mut session = Self {
            plan: plan.clone(),
            types: Types::core(),
            nodes: HashMap::new(),
            notices: Vec::new(),
            known: HashMap::new(),
        };
        session.begin(&[]);
        session
    }

    fn begin(&mut self, namespaces: &[String]) {
        let plan = self.plan.clone();
        self.types = Types::core();
        self.known.clear();
        self.nodes.clear();
        for point in 0..plan.points.len() {
            let node = at(&plan, point).and_then(|at| resolved(at.node.as_ref()?, namespaces));
            if let Some(node) = node {
                self.nodes.entry(node).or_default().push(point);
            }
        }
        self.notices = plan
            .notices
            .iter()
            .map(|notice| resolved(&notice.event_type, namespaces))
            .collect();
    }

    fn describe(&mut self, described: &DataType) {
        let Some(id) = key(&described.id) else { return };
        if let Some(kind) = described.kind.and_then(StructureKind::of) {
            let field = |field: &crate::record::opcua::DataField| {
                Some(Field {
                    name: Arc::from(&*field.name),
                    data_type: key(&field.data_type)?,
                    value_rank: field.rank,
                    flag: field.optional,
                })
            };
            let fields: Option<Vec<Field>> = described.fields.iter().map(field).collect();
            if let Some(fields) = fields {
                self.types.insert(StructureType {
                    data_type: id,
                    encoding: described.encoding.as_deref().and_then(key),
                    name: Arc::from(&*described.name),
                    kind,
                    fields,
                });
            }
        } else if let Some(builtin) = described.builtin.and_then(Builtin::of) {
            self.types.declare(id, builtin);
        } else {
            self.types.give_up(id);
        }
    }

    /// What a variable says of the points that are made of it.
    fn shown(&self, said: &NodeSaid) -> Vec<Shown> {
        let points = key(&said.node).and_then(|node| self.nodes.get(&node));
        let (Some(points), Some(value)) = (points, DataValue::of(&said.got)) else {
            return Vec::new();
        };
        let tree = value
            .value
            .filter(|_| !value.is_bad())
            .and_then(|bytes| decode_variant(&self.types, bytes).ok());
        let of = |point: &PointIx| {
            let at = at(&self.plan, *point)?;
            let raw = match at.part {
                OpcuaPart::Status => Some(Raw::Text(said.status.clone().unwrap_or_else(|| "Good".to_owned()))),
                OpcuaPart::SourceTimestamp => stamp(value.source),
                OpcuaPart::ServerTimestamp => stamp(value.server),
                OpcuaPart::Value => {
                    let found = match &tree {
                        Some(tree) if at.paths.is_empty() => Some(tree.clone()),
                        Some(tree) => first(tree, &at.paths, None),
                        None => None,
                    };
                    found.as_ref().and_then(Tree::raw).and_then(|raw| at.cut(raw))
                }
            };
            Some(Shown {
                point: *point,
                raw,
                quality: said.status.as_deref().map(Arc::from),
            })
        };
        points.iter().filter_map(of).collect()
    }

    /// Whether something later was read than what is told now.
    fn is_stale(&self, said: &NodeSaid, tick: u64) -> bool {
        let known = key(&said.node).and_then(|node| self.known.get(&node));
        let (Some(known), Some(value)) = (known, DataValue::of(&said.got)) else {
            return false;
        };
        let before = |a: Option<i64>, b: Option<i64>| Some(a? < b?);
        let older = match (before(value.source, known.source), before(value.server, known.server)) {
            (None, None) => false,
            (source, server) => source.unwrap_or(true) && server.unwrap_or(true),
        };
        older && tick < known.until
    }

    fn was_read(&mut self, said: &NodeSaid, until: u64) {
        if let (Some(node), Some(value)) = (key(&said.node), DataValue::of(&said.got)) {
            self.known.insert(
                node,
                Known {
                    source: value.source,
                    server: value.server,
                    until,
                },
            );
        }
    }

    /// The notices of the profile that an event is, and its tree.
    fn event(&self, said: &EventSaid) -> (Vec<u16>, Result<Tree, String>) {
        let field = |name: &str| {
            said.fields
                .iter()
                .find(|field| field.path.len() == 1 && field.path.iter().all(|part| part == name))
        };
        let own = field("EventType")
            .and_then(|field| decode_variant(&self.types, &field.got).ok())
            .and_then(|tree| tree.raw())
            .and_then(|raw| key(&raw.text()));
        let asked = key(&said.kind);
        let is = |notice: &Option<NodeKey>| notice.is_some() && (*notice == asked || *notice == own);
        let notices = (0_u16..)
            .zip(&self.notices)
            .filter(|(_, notice)| is(notice))
            .map(|(index, _)| index)
            .collect();
        let mut places: Vec<Vec<Arc<str>>> = Vec::new();
        let mut trees = Vec::new();
        let mut fault = None;
        for field in &said.fields {
            places.push(field.path.iter().map(|name| Arc::from(&**name)).collect());
            trees.push(decode_variant(&self.types, &field.got).unwrap_or_else(|reason| {
                fault.get_or_insert(reason.to_string());
                Tree::Null
            }));
        }
        let tree = match fault {
            None => Ok(event_tree(&places, trees)),
            Some(reason) => Err(reason),
        };
        (notices, tree)
    }
}

/// An event whose points are all told with it: nothing needs to be read.
struct Told {
    index: usize,
    points: BTreeSet<PointIx>,
    watcher: Watcher,
}

/// Points of an event that looks at nothing else than what triggers it.
fn told_whole(event: &EventPlan) -> Option<BTreeSet<PointIx>> {
    let watched: BTreeSet<PointIx> = event.triggers.iter().flat_map(Trigger::points).copied().collect();
    (!watched.is_empty() && event.ack.is_none() && points(event) == watched).then_some(watched)
}

fn is_said(event: &EventPlan) -> bool {
    event.triggers.iter().any(|trigger| matches!(trigger, Trigger::Said(_)))
}

/// Everything in `record` that a server said to `plan`.
pub(super) fn follow(record: &Record, plan: &Arc<SlotPlan>) -> Followed {
    let scanned = scan(record, plan);
    let mut following = Following::new(plan, &scanned.reads);
    let mut followed = Followed {
        notes: scanned.notes(plan),
        ..Followed::default()
    };
    for line in &record.lines {
        following.take(line);
        followed.samples.append(&mut following.happened);
    }
    following.late(None);
    followed.samples.append(&mut following.happened);
    followed.torn = following.pictures.iter_mut().flat_map(Picture::end).collect();
    followed
}

struct Following {
    plan: Arc<SlotPlan>,
    session: Session,
    image: Vec<Option<Raw>>,
    quality: Vec<Option<Arc<str>>>,
    /// Points that were told or read in this session.
    seen: BTreeSet<PointIx>,
    /// Those of variables that are subscribed to: while nothing else is told of them they stand.
    subscribed: BTreeSet<PointIx>,
    told: Vec<Told>,
    pictures: Vec<Picture>,
    hearing: Watcher,
    /// An event whose variables are read next.
    waits: Option<(Moment, u16, Tree)>,
    /// Events that were told, by their id.
    known: HashSet<(u16, String)>,
    number: u64,
    on_its_way: u64,
    happened: Vec<Sample>,
}

impl Following {
    fn new(plan: &Arc<SlotPlan>, scanned: &Scanned) -> Self {
        let mut told = Vec::new();
        let mut pictures = Vec::new();
        for (index, event) in plan.events.iter().enumerate().filter(|(_, event)| !is_said(event)) {
            match told_whole(event) {
                Some(points) => {
                    let mut alone = (**plan).clone();
                    alone.events = vec![event.clone()];
                    alone.alive = None;
                    told.push(Told {
                        index,
                        points,
                        watcher: Watcher::new(Arc::new(alone), &HashMap::new()),
                    });
                }
                None => pictures.extend(Picture::new(plan, index, scanned)),
            }
        }
        let publishing = plan.link.opcua().map_or(0, |link| link.publishing.as_millis());
        Self {
            session: Session::new(plan),
            image: vec![None; plan.points.len()],
            quality: vec![None; plan.points.len()],
            seen: BTreeSet::new(),
            subscribed: BTreeSet::new(),
            told,
            pictures,
            hearing: Watcher::new(plan.clone(), &HashMap::new()),
            waits: None,
            known: HashSet::new(),
            number: 0,
            on_its_way: u64::try_from(publishing).unwrap_or(u64::MAX).saturating_add(ON_ITS_WAY),
            happened: Vec::new(),
            plan: plan.clone(),
        }
    }

    fn take(&mut self, line: &Line) {
        let now = Moment::new(line.wall, line.ms.saturating_add(1));
        match &line.what {
            What::Namespaces(namespaces) => {
                self.late(None);
                self.session.begin(namespaces);
                self.seen.clear();
                self.subscribed.clear();
                self.show(now, &Seen::Broken);
            }
            What::Type(described) => self.session.describe(described),
            What::Told(values) => {
                self.late(None);
                self.told(now, values);
            }
            What::Read(values) => {
                self.read(now, values);
            }
            What::Event(said) => {
                self.late(None);
                self.event(now, said);
            }
            What::Link(_) | What::Missed(_) => {
                self.late(None);
                self.show(now, &Seen::Broken);
            }
            What::In(_) | What::Out(_) | What::Exchange { .. } | What::Wrote(_) => {}
        }
    }

    /// One round for each further value of the same variable, as in the driver.
    fn told(&mut self, now: Moment, values: &[NodeSaid]) {
        let mut rounds: Vec<Vec<Shown>> = Vec::new();
        let mut turns: HashMap<&str, usize> = HashMap::new();
        for said in values {
            if self.session.is_stale(said, now.tick) {
                continue;
            }
            let turn = turns.entry(&said.node).or_insert(0);
            while rounds.len() <= *turn {
                rounds.push(Vec::new());
            }
            if let Some(round) = rounds.get_mut(*turn) {
                round.extend(self.session.shown(said));
            }
            *turn += 1;
        }
        for round in rounds {
            self.number += 1;
            let (from, to) = (self.number, self.number);
            self.subscribed.extend(round.iter().map(|one| one.point));
            // Of what else is subscribed to nothing is told, since it has not changed.
            let others: Vec<PointIx> = self
                .subscribed
                .iter()
                .copied()
                .filter(|point| !round.iter().any(|one| one.point == *point))
                .collect();
            self.round(now, round, &others, from, to);
        }
    }

    fn read(&mut self, now: Moment, values: &[NodeSaid]) {
        for said in values {
            self.session.was_read(said, now.tick.saturating_add(self.on_its_way));
        }
        // What one Read gives was so at some time within it; of one variable that is one moment.
        let from = self.number + 1;
        let to = if values.len() > 1 { from + 1 } else { from };
        self.number = to;
        let shown: Vec<Shown> = values.iter().flat_map(|said| self.session.shown(said)).collect();
        self.late(Some(&shown));
        self.round(now, shown, &[], from, to);
    }

    /// Values that came together, and points that stand meanwhile.
    fn round(&mut self, now: Moment, shown: Vec<Shown>, others: &[PointIx], from: u64, to: u64) {
        if shown.is_empty() {
            return;
        }
        for one in &shown {
            self.seen.insert(one.point);
            if let (Some(raw), Some(quality)) = (self.image.get_mut(one.point), self.quality.get_mut(one.point)) {
                raw.clone_from(&one.raw);
                quality.clone_from(&one.quality);
            }
        }
        for told in &mut self.told {
            let touched = shown.iter().any(|one| told.points.contains(&one.point));
            if !touched || !told.points.is_subset(&self.seen) {
                continue;
            }
            for happening in told.watcher.observe(now, &self.image) {
                let mut values = vec![None; self.image.len()];
                for point in &told.points {
                    if let (Some(slot), Some(value)) = (values.get_mut(*point), happening.values.get(*point)) {
                        slot.clone_from(value);
                    }
                }
                self.happened
                    .push(Sample::picture(&self.plan, told.index, values, happening.before, now));
            }
        }
        let stands = |point: &PointIx| (*point, self.image.get(*point).cloned().flatten());
        let values = shown
            .into_iter()
            .map(|one| (one.point, one.raw))
            .chain(others.iter().map(stands))
            .map(|(point, raw)| Value { point, raw, from, to })
            .collect();
        self.show(now, &Seen::Read(values));
        self.qualify();
    }

    fn show(&mut self, now: Moment, seen: &Seen) {
        for picture in &mut self.pictures {
            picture.take(now, seen);
            self.happened.append(&mut picture.drain());
        }
    }

    /// What the values of what just happened are worth, where that is not good.
    fn qualify(&mut self) {
        for sample in self.happened.iter_mut().filter(|sample| sample.quality.is_empty()) {
            let Some(event) = self.plan.events.get(sample.event) else {
                continue;
            };
            let quality = |point: &PointIx| Some((*point, self.quality.get(*point)?.clone()?));
            sample.quality = event.points.iter().filter_map(quality).collect();
        }
    }

    fn event(&mut self, now: Moment, said: &EventSaid) {
        let (notices, tree) = self.session.event(said);
        let id = said
            .fields
            .iter()
            .find(|field| field.path.iter().eq(["EventId"]))
            .map(|field| hex(&field.got));
        for notice in notices {
            // What was published again was said once.
            if let Some(id) = &id
                && !self.known.insert((notice, id.clone()))
            {
                continue;
            }
            match &tree {
                Ok(tree) if notices::reads(&self.plan, notice).is_empty() => self.hear(now, notice, tree, &[]),
                Ok(tree) => {
                    self.late(None);
                    self.waits = Some((now, notice, tree.clone()));
                }
                Err(reason) => {
                    let event = self.plan.takes(Some(Said::Event(notice))).unwrap_or(0);
                    let none = vec![None; self.plan.points.len()];
                    let mut sample = Sample::picture(&self.plan, event, none.clone(), none, now);
                    sample.faults = vec![format!("the event cannot be read: {reason}")];
                    self.happened.push(sample);
                }
            }
        }
    }

    /// An event waited for its variables: they were read, or were not.
    fn late(&mut self, shown: Option<&[Shown]>) {
        let Some((now, notice, tree)) = self.waits.take() else {
            return;
        };
        let mut nodes = vec![None; self.plan.points.len()];
        for one in shown.unwrap_or_default() {
            if let Some(slot) = nodes.get_mut(one.point) {
                slot.clone_from(&one.raw);
            }
        }
        self.hear(now, notice, &tree, &nodes);
    }

    fn hear(&mut self, now: Moment, notice: u16, tree: &Tree, nodes: &[Option<Raw>]) {
        for happening in notices::hear(&mut self.hearing, now, notice, tree, nodes).happened {
            self.happened.push(Sample::picture(
                &self.plan,
                happening.event,
                happening.values,
                happening.before,
                now,
            ));
        }
    }
}

/// What a record holds of the points of a plan.
#[derive(Default)]
struct Held {
    reads: Scanned,
    /// Of each notice of the plan: the first names of the fields that came with its events.
    fields: BTreeMap<u16, BTreeSet<String>>,
    /// Somebody said which namespaces there are.
    begun: bool,
}

fn scan(record: &Record, plan: &Arc<SlotPlan>) -> Held {
    let mut held = Held::default();
    let mut session = Session::new(plan);
    for line in &record.lines {
        match &line.what {
            What::Namespaces(namespaces) => {
                session.begin(namespaces);
                held.begun = true;
            }
            What::Type(described) => session.describe(described),
            What::Told(values) | What::Read(values) => {
                for said in values {
                    let points = key(&said.node).and_then(|node| session.nodes.get(&node));
                    for point in points.into_iter().flatten() {
                        held.reads.first.entry(*point).or_insert(line.ms);
                    }
                }
            }
            What::Event(said) => {
                for notice in session.event(said).0 {
                    let names = said.fields.iter().filter_map(|field| field.path.first().cloned());
                    held.fields.entry(notice).or_default().extend(names);
                }
            }
            _ => {}
        }
    }
    held
}

impl Held {
    /// What a reader should know.
    fn notes(&self, plan: &SlotPlan) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.begun {
            notes.push(
                "the record does not say which namespaces the server has: it holds nothing of a session".to_owned(),
            );
        }
        let name = |point: &PointIx| plan.points.get(*point).map_or("", |point| &*point.name);
        let mut absent: BTreeSet<PointIx> = BTreeSet::new();
        for event in &plan.events {
            let told = event.triggers.iter().filter_map(|trigger| match trigger {
                Trigger::Said(Said::Event(notice)) => Some(*notice),
                _ => None,
            });
            let told: Vec<u16> = told.collect();
            let came: BTreeSet<&String> = told
                .iter()
                .filter_map(|notice| self.fields.get(notice))
                .flatten()
                .collect();
            if !told.is_empty() && came.is_empty() {
                notes.push(format!(
                    "[events.{}] cannot happen: the record holds no event of its type",
                    event.name
                ));
                continue;
            }
            let triggers: Vec<PointIx> = event.triggers.iter().flat_map(Trigger::points).copied().collect();
            if !triggers.is_empty() && triggers.iter().all(|point| !self.reads.holds(*point)) && told.is_empty() {
                let trigger = triggers.first().map_or("", name);
                notes.push(format!(
                    "[events.{}] cannot happen: the record does not hold its trigger `{trigger}`",
                    event.name
                ));
            }
            absent.extend(points(event).into_iter().filter(|point| match at(plan, *point) {
                Some(at) if at.node.is_some() => !self.reads.holds(*point),
                Some(at) => {
                    let first = at.paths.iter().filter_map(|path| path.steps.first());
                    let mut names = first.flat_map(|step| &step.names);
                    !names.any(|name| came.iter().any(|came| ***came == **name))
                }
                None => false,
            }));
        }
        if !absent.is_empty() {
            let names: Vec<String> = absent.iter().map(|point| format!("`{}`", name(point))).collect();
            notes.push(format!(
                "the record does not hold {}: absent in every event",
                names.join(", ")
            ));
        }
        notes
    }
}
