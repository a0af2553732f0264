//! A virtual OPC UA server on the stage: its variables, and events that are the like of its profile's examples.
//!
//! Owns which event comes next and what is in it. Results in variables are [`super::device`]'s, the protocol is
//! [`crate::device::opcua::simulator`]'s.

use super::device::Device;
use super::faults::{Fault, Faults};
use super::memory::Home;
use super::{Arguments, Virtual, cannot, describe, served, stage};
use crate::cli::probe::render::event_line;
use crate::clock::Clock;
use crate::device::opcua::simulator::{Kind, Own, Setup, Simulator, points};
use crate::model::plan::{OpcuaPoint, PointIx, SlotPlan};
use crate::model::{Decimal, Raw, Sample};
use crate::profile::{Judged, Meaning, Measured, Profile, Rehearsal, SlotContract, show};
use crate::replay::nobody;
use crate::watch::{Watcher, notices};
use crate::wire::opcua::{Tree, first};
use rand::Rng;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How often its life sign beats, in scans.
const BEAT: u64 = 25;
/// How long the server may take to start.
const START: Duration = Duration::from_secs(30);
/// How often live values move, in scans.
const DRIFT: u64 = 100;
/// What can go wrong when a result is made.
const FAULTS: &[&str] = &["drop", "delay", "close", "duplicate"];
/// `BadSensorFailure` (OPC 10000-4, 7.39.2).
const BAD: u32 = 0x808C_0000;

/// An event to make others of.
struct Template {
    notice: u16,
    fields: Tree,
    /// What it says of the result, where it says that.
    good: Option<bool>,
}

/// The server.
struct Nodes {
    simulator: Simulator,
    device: Device,
    profile: Arc<Profile>,
    contract: SlotContract,
    plan: Arc<SlotPlan>,
    clock: Clock,
    faults: Faults,
    templates: Vec<Template>,
    turn: usize,
    /// Fields of events that are not varied.
    pinned: BTreeMap<PointIx, Raw>,
    counts: BTreeMap<PointIx, i128>,
    /// Tells the results of one start from those of the next.
    start: i64,
    nok_rate: f64,
    made: u64,
}

pub(super) async fn simulate(arguments: &Arguments, profile: Profile, every: Option<Duration>) -> Result<(), String> {
    arguments.fault.only(profile.protocol(), FAULTS)?;
    let contract = nobody(&profile);
    let plan = Arc::new(profile.plan(&contract.slot));
    let events = events(&profile, &plan);
    let mut setup = setup(&profile, &plan, &events);
    setup.stores = arguments.stores;
    setup.own = match arguments.pki.clone() {
        Some(folder) => {
            let own = tokio::task::spawn_blocking(move || Own::within(&folder)).await;
            Some(
                own.map_err(|fault| fault.to_string())?
                    .map_err(|fault| format!("--pki: {fault}"))?,
            )
        }
        None => None,
    };
    let at = arguments.listen.as_str();
    let (simulator, _, serving) = Simulator::bind(at, setup)
        .await
        .map_err(|fault| cannot(at, &std::io::Error::other(fault)))?;
    let profile = Arc::new(profile);
    let introduced = describe(&profile, &plan, &simulator.endpoint(), ", every security policy");
    let introduced = format!("{introduced}\ntrust = \"{}\"", simulator.own().trust());
    let home = Home::Server(simulator.clone());
    let mut server = Nodes {
        device: Device::new(profile.clone(), home, arguments.nok_rate, every, arguments.no_wait),
        simulator,
        contract,
        plan,
        clock: Clock::machine(),
        faults: arguments.fault.clone(),
        templates: Vec::new(),
        turn: 0,
        pinned: BTreeMap::new(),
        counts: BTreeMap::new(),
        start: 0,
        nok_rate: arguments.nok_rate,
        made: 0,
        profile,
    };
    server.start = server.clock.now().wall / 1_000;
    for (notice, fields) in events {
        server.add_template(notice, fields);
    }
    stage(arguments, &mut server, every, &introduced, served(serving)).await
}

/// What the plan speaks of, with the types and values that its examples show.
fn setup(profile: &Profile, plan: &SlotPlan, events: &[(u16, Tree)]) -> Setup {
    let mut setup = Setup::of(plan);
    for (point, raw) in plan.points.iter().zip(profile.start_values()) {
        let (Some(at), Some(raw)) = (point.at.opcua(), raw) else {
            continue;
        };
        let Some(node) = &at.node else { continue };
        let Some(variable) = setup.variables.get(node) else {
            continue;
        };
        let mut tree = variable.value.clone();
        let kind = match &variable.kind {
            Kind::Any if at.bits.is_none() => Kind::of(&raw),
            Kind::Any => Kind::of(&Raw::Int(0)),
            kind => kind.clone(),
        };
        if points::write(at, &kind, &mut tree, &raw).is_ok() {
            setup.show(node, &tree);
        }
    }
    for (index, notice) in plan.notices.iter().enumerate() {
        let of = events.iter().filter(|(of, _)| usize::from(*of) == index);
        let trees: Vec<Tree> = of.map(|(_, tree)| tree.clone()).collect();
        setup.show_events(&notice.event_type, &trees);
    }
    setup
}

/// The events of its examples: as they are given, or made of the points that are their fields.
fn events(profile: &Profile, plan: &SlotPlan) -> Vec<(u16, Tree)> {
    let made = profile.start_noticed().into_iter().map(|(notice, values)| {
        let mut tree = Tree::Null;
        for (point, raw) in plan.points.iter().zip(&values) {
            if let (Some(at), Some(raw)) = (field(&point.at), raw) {
                // A way that leads nowhere leaves its point absent.
                points::write(at, &Kind::Any, &mut tree, raw).ok();
            }
        }
        (notice, tree)
    });
    profile.start_events().into_iter().chain(made).collect()
}

/// Where a field of an event is.
fn field(at: &crate::model::plan::Address) -> Option<&OpcuaPoint> {
    at.opcua().filter(|at| at.node.is_none())
}

impl Nodes {
    /// Takes an event of an example that leads to an event.
    fn add_template(&mut self, notice: u16, fields: Tree) {
        let said = self.said(notice, &fields);
        if said.is_empty() || said.iter().any(|json| json.get("reasons").is_some()) {
            return;
        }
        let result = said.iter().find_map(|json| json.get("result")?.as_str());
        self.templates.push(Template {
            notice,
            good: result.map(|word| word == "ok"),
            fields,
        });
    }

    /// The events that one leads to, with what variables say now.
    fn said(&self, notice: u16, fields: &Tree) -> Vec<serde_json::Value> {
        let now = self.clock.now();
        let nodes = self.device.values();
        let mut watcher = Watcher::new(self.plan.clone(), &HashMap::new());
        let mut said = Vec::new();
        for happened in notices::hear(&mut watcher, now, notice, fields, &nodes).happened {
            let sample = Sample::picture(&self.plan, happened.event, happened.values, happened.before, now);
            for meaning in self.profile.drafts(&self.contract, &sample) {
                if let Meaning::Draft(draft) = meaning {
                    said.push(show(&draft));
                }
            }
        }
        said
    }

    fn at(&self, point: PointIx) -> Option<&OpcuaPoint> {
        field(&self.plan.points.get(point)?.at)
    }

    fn read(&self, tree: &Tree, point: PointIx) -> Option<Raw> {
        let at = self.at(point)?;
        at.cut(first(tree, &at.paths, Some(0))?.raw()?)
    }

    /// Puts a value where the event has one already, unless it is pinned.
    fn put(&self, tree: &mut Tree, point: PointIx, raw: &Raw) {
        if let (Some(at), Some(_), false) = (self.at(point), self.read(tree, point), self.pinned.contains_key(&point)) {
            // What its type cannot hold stays as it was.
            points::write(at, &Kind::Any, tree, raw).ok();
        }
    }

    /// All points of an event.
    fn picture(&self, tree: &Tree) -> Vec<Option<Raw>> {
        (0..self.plan.points.len())
            .map(|point| self.read(tree, point))
            .collect()
    }

    /// The next event: an example's, with new values, counts, times and ids in it.
    fn make(&mut self, good: bool) -> Option<(u16, Tree)> {
        let fits = |template: &&Template| template.good.is_none_or(|is| is == good);
        let wanted: Vec<&Template> = self.templates.iter().filter(fits).collect();
        let all: Vec<&Template> = self.templates.iter().collect();
        let from = if wanted.is_empty() { &all } else { &wanted };
        self.turn += 1;
        let template = from.get(self.turn % from.len().max(1))?;
        let (notice, mut tree) = (template.notice, template.fields.clone());
        let wall = self.clock.now().wall;
        let mut stepped = Vec::new();
        for event in 0..self.plan.events.len() {
            let of = self.profile.rehearsal(event);
            self.fill(&mut tree, &of, good);
            let picture = self.picture(&tree);
            for (point, text) in self.profile.clock(event, wall) {
                if let Ok(raw) = self.profile.raw_for(point, &text, &picture) {
                    self.put(&mut tree, point, &raw);
                }
            }
            let ids = self
                .plan
                .events
                .get(event)
                .map(|event| event.id.clone())
                .unwrap_or_default();
            let counter = of.counter.map(|(point, ..)| point);
            for point in ids.into_iter().chain(counter) {
                if !of.stamps.contains(&point) && !stepped.contains(&point) {
                    stepped.push(point);
                    self.step(&mut tree, point, of.counter);
                }
            }
        }
        for (point, raw) in &self.pinned {
            if let Some(at) = self.at(*point) {
                points::write(at, &Kind::Any, &mut tree, raw).ok();
            }
        }
        Some((notice, tree))
    }

    /// Another id, or the next number of a counter.
    fn step(&mut self, tree: &mut Tree, point: PointIx, counter: Option<(PointIx, i64, Option<i64>)>) {
        let new = match self.read(tree, point) {
            Some(Raw::Text(_)) => {
                let number = self.counts.entry(point).and_modify(|count| *count += 1).or_insert(1);
                Raw::Text(format!("SIM-{:08x}-{number}", self.start))
            }
            Some(old) => {
                let Some(shown) = old.number().and_then(Decimal::to_i128) else {
                    return;
                };
                let counter = counter.filter(|(of, ..)| *of == point);
                // An id that is no counter goes on from the time of the start, so that no start repeats another's.
                let before = match counter {
                    Some(_) => shown,
                    None => i128::from(self.start & 0x00FF_FFFF),
                };
                let count = self.counts.entry(point).or_insert(before);
                *count += 1;
                if let Some((_, start, Some(last))) = counter
                    && *count > i128::from(last)
                {
                    *count = start.into();
                }
                Raw::Dec(Decimal::new(*count, 0))
            }
            None => return,
        };
        self.put(tree, point, &new);
    }

    /// New measured values and verdicts.
    fn fill(&self, tree: &mut Tree, of: &Rehearsal, good: bool) {
        for measured in &of.measures {
            self.measure(tree, measured, good);
        }
        for judged in &of.verdicts {
            self.judge(tree, judged, if good { "ok" } else { "nok" });
        }
    }

    /// A value near the one that the example shows, within its limits where it is to be good.
    fn measure(&self, tree: &mut Tree, of: &Measured, good: bool) {
        let picture = self.picture(tree);
        let number = |point: PointIx| self.profile.number(point, &picture).map(Decimal::to_f64);
        let limit = |point: Option<PointIx>| number(point.filter(|point| self.profile.same_uom(*point, of.value))?);
        let (low, high) = (limit(of.min), limit(of.max));
        let Some(shown) = number(of.value) else { return };
        let centre = match (low, high) {
            (Some(low), Some(high)) if low < high && !(low..=high).contains(&shown) => f64::midpoint(low, high),
            _ => shown,
        };
        let mut value = centre * rand::rng().random_range(0.98..1.02);
        let mut word = "ok";
        if good {
            value = low.map_or(value, |low| value.max(low));
            value = high.map_or(value, |high| value.min(high));
        } else if let Some(high) = high {
            (value, word) = (high + high.abs() * 0.1, "high");
        }
        if let Some((low, high)) = self.profile.plausible(of.value) {
            value = value.clamp(low.to_f64(), high.to_f64());
        }
        let text = Decimal::from_f64(value).map(|value| value.round_significant(4).to_string());
        if let Some(Ok(raw)) = text.map(|text| self.profile.raw_for(of.value, &text, &picture)) {
            self.put(tree, of.value, &raw);
        }
        for judged in &of.verdicts {
            self.judge(tree, judged, word);
        }
    }

    fn judge(&self, tree: &mut Tree, judged: &Judged, word: &str) {
        let near = if word == "high" { "nok" } else { word };
        let of = |wanted: &str| judged.words.iter().find(|(known, _)| known == wanted);
        let Some((_, raw)) = of(word).or_else(|| of(near)) else {
            return;
        };
        // A flag may be a code, too: what the example says of it stays where no code means the other.
        let raw = match (raw, self.read(tree, judged.point)) {
            (Raw::Bool(_), Some(Raw::Bool(_))) => Some(raw.clone()),
            (Raw::Bool(flag), _) => {
                let said = flag.to_string();
                let codes = self.profile.codes(judged.point);
                codes.into_iter().find(|(word, _)| *word == said).map(|(_, raw)| raw)
            }
            _ => Some(raw.clone()),
        };
        if let Some(raw) = raw {
            self.put(tree, judged.point, &raw);
        }
    }

    /// Tells the next event; lines to print.
    fn tell(&mut self, good: bool, fault: Option<&Fault>) -> Vec<String> {
        let Some((notice, tree)) = self.make(good) else {
            return Vec::new();
        };
        self.made += 1;
        let Some(event) = self
            .plan
            .notices
            .get(usize::from(notice))
            .map(|notice| notice.event_type.clone())
        else {
            return Vec::new();
        };
        let mut lines: Vec<String> = self.said(notice, &tree).iter().map(event_line).collect();
        let times = match fault {
            Some(Fault::Drop) => 0,
            Some(Fault::Duplicate) => 2,
            _ => 1,
        };
        if times == 0 {
            self.simulator.make(&event, &tree);
            lines.push("and nobody is told".to_owned());
        }
        for _ in 0..times {
            if let Err(fault) = self.simulator.raise(&event, &tree) {
                lines.push(format!("error: {fault}"));
            }
        }
        lines
    }
}

impl Virtual for Nodes {
    async fn scan(&mut self, scans: u64) -> Vec<String> {
        if scans.is_multiple_of(DRIFT) {
            self.device.drift();
        }
        self.device.scan(scans.is_multiple_of(BEAT))
    }

    async fn next(&mut self, verdict: Option<bool>, all: bool) -> Vec<String> {
        if tokio::time::timeout(START, self.simulator.ready()).await.is_err() {
            return vec!["error: the server does not start".to_owned()];
        }
        let fault = self.faults.draw();
        let mut lines = Vec::new();
        if let Some(Fault::Close) = fault {
            self.simulator.cut();
            lines.push("connections cut".to_owned());
        }
        let late = match fault {
            Some(Fault::Delay(by)) => by,
            _ => Duration::ZERO,
        };
        self.simulator.delay(late);
        lines.extend(self.device.next(verdict, all));
        let good = verdict.unwrap_or_else(|| !rand::rng().random_bool(self.nok_rate));
        lines.extend(self.tell(good, fault.as_ref()));
        lines
    }

    async fn reboot(&mut self) -> String {
        self.simulator.stop().await;
        drop(self.device.reboot());
        self.simulator.start().await;
        "restarted: sessions and subscriptions lost, counters as at the start".to_owned()
    }

    fn set(&mut self, name: &str, text: &str) -> Result<String, String> {
        let point = self.plan.points.iter().position(|point| *point.name == *name);
        let Some(point) = point.filter(|point| self.at(*point).is_some()) else {
            return self.device.set(name, text);
        };
        let picture = match self.templates.first() {
            Some(template) => self.picture(&template.fields),
            None => vec![None; self.plan.points.len()],
        };
        let raw = match picture.get(point) {
            Some(Some(Raw::Text(_))) => self
                .profile
                .raw_for(point, text, &picture)
                .unwrap_or(Raw::Text(text.to_owned())),
            _ => self.profile.raw_for(point, text, &picture)?,
        };
        let told = format!("{name} is {} from now on", raw.text());
        self.pinned.insert(point, raw);
        Ok(told)
    }

    fn show(&self) -> String {
        let mut lines = vec![self.device.show()];
        lines.retain(|line| !line.is_empty());
        for template in &self.templates {
            lines.push(format!("it tells the like of: {}", template.fields.to_short_json(16)));
        }
        for (point, raw) in &self.pinned {
            let name = self.plan.points.get(*point).map_or("", |point| &*point.name);
            lines.push(format!("  {name} is `{}`", raw.text()));
        }
        lines.join("\n")
    }

    fn summary(&self) -> String {
        let told = if self.templates.is_empty() {
            String::new()
        } else {
            format!("{} events made; ", self.made)
        };
        format!("{told}{}", self.device.summary())
    }

    async fn typed(&mut self, words: &[&str]) -> Option<Vec<String>> {
        Some(match words {
            ["cut"] => {
                self.simulator.cut();
                vec!["connections cut, sessions kept".to_owned()]
            }
            ["hold"] => {
                self.simulator.hold(true);
                vec!["nothing passes any more, until `release`".to_owned()]
            }
            ["release"] => {
                self.simulator.hold(false);
                vec!["it passes again".to_owned()]
            }
            ["bad", name] => {
                let point = self.plan.points.iter().find(|point| *point.name == **name);
                let node = point.and_then(|point| point.at.opcua()?.node.as_ref());
                let done = match node {
                    Some(node) => self.simulator.set_status(node, BAD),
                    None => Err(format!("no variable has a point `{name}`")),
                };
                vec![done.map_or_else(
                    |fault| format!("error: {fault}"),
                    |()| format!("{name} is BadSensorFailure until it is set"),
                )]
            }
            _ => return None,
        })
    }

    fn words(&self) -> &'static str {
        "cut, hold, release, bad POINT,"
    }
}
