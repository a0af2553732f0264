//! A link that runs against a simulated server, what it reports, and the plans that it runs.

use lineside::clock::Clock;
use lineside::device::opcua::simulator::{Kind, Setup, Simulator};
use lineside::device::tap::{Probe, service};
use lineside::device::{SlotStart, group, run_link};
use lineside::model::plan::*;
use lineside::model::sample::{LinkState, Report, TriggerState};
use lineside::model::{Raw, Sample, SlotName};
use lineside::wire::opcua::Tree;
use lineside::wire::opcua::node::parse_node;
use lineside::wire::opcua::path::parse_path;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Where nothing is to be waited for; machines under test are busy.
const AT_ONCE: Duration = Duration::from_secs(3);
pub(crate) const PLANT: &str = "urn:example:plc";

/// A variable of the plant.
pub(crate) fn node(name: &str) -> NodeRef {
    parse_node(&format!("nsu={PLANT};s={name}")).unwrap()
}

/// The gateway's own folder, with a certificate that is made once.
pub(crate) fn home() -> &'static Path {
    static HOME: OnceLock<TempDir> = OnceLock::new();
    HOME.get_or_init(|| TempDir::new().unwrap()).path()
}

pub(crate) fn link(address: &str) -> OpcuaLink {
    OpcuaLink {
        address: address.to_owned(),
        security: Security::None,
        trust: Trust::default(),
        identity: Identity::Anonymous,
        timeout: Duration::from_secs(1),
        publishing: Duration::from_millis(50),
        sampling: None,
        queue: 100,
        polled: false,
    }
}

/// The server is to tell each change, however soon after the last.
pub(crate) fn each_change(mut plan: SlotPlan) -> SlotPlan {
    link_of(&mut plan).sampling = Some(Duration::ZERO);
    plan
}

/// A point with the value of a variable of the plant, of the variable's name.
pub(crate) fn point(name: &str) -> PointPlan {
    PointPlan {
        name: name.into(),
        at: Address::Opcua(OpcuaPoint {
            node: Some(node(name)),
            paths: Vec::new(),
            part: OpcuaPart::Value,
            bits: None,
            kind: None,
            sampling: None,
        }),
        invalid: vec![],
        deadband: None,
    }
}

/// A point that is a field of events.
pub(crate) fn field(name: &str, path: &str) -> PointPlan {
    let mut of = point(name);
    let Address::Opcua(at) = &mut of.at else { panic!() };
    at.node = None;
    at.paths = vec![parse_path(path).unwrap()];
    of
}

pub(crate) fn event(name: &str, trigger: Trigger, points: Vec<PointIx>) -> EventPlan {
    EventPlan {
        name: name.into(),
        triggers: vec![trigger],
        points,
        id: vec![],
        ack: None,
        stable: 1,
        on_start: OnStart::Baseline,
        keep: Keep::Stored,
        ring: None,
        repeat: None,
        counted: false,
        fingerprint: "f".into(),
    }
}

pub(crate) fn slot(name: &str, address: &str, points: Vec<PointPlan>, events: Vec<EventPlan>) -> SlotPlan {
    SlotPlan {
        slot: SlotName::new("st10", name),
        link: Link::Opcua(link(address)),
        points,
        events,
        notices: Vec::new(),
        alive: None,
    }
}

/// The settings of the link of a plan.
pub(crate) fn link_of(plan: &mut SlotPlan) -> &mut OpcuaLink {
    let Link::Opcua(link) = &mut plan.link else { panic!() };
    link
}

pub(crate) fn real(value: f32) -> Raw {
    Raw::F32(value.to_bits())
}

pub(crate) fn torque(count: i64) -> f32 {
    i16::try_from(count).map(f32::from).unwrap() * 1.5
}

/// `Count`, `Torque`, `Ready`, `Ack`, `Done`, `Beat`: a plant.
pub(crate) fn plant() -> Setup {
    let whole = Kind::Scalar(OpcuaType::U16);
    let flag = Kind::Scalar(OpcuaType::Bool);
    Setup::default()
        .with(node("Count"), whole.clone(), &Raw::Int(0))
        .with(node("Torque"), Kind::Scalar(OpcuaType::F32), &real(0.0))
        .with(node("Ack"), whole.clone(), &Raw::Int(0))
        .with(node("Beat"), whole, &Raw::Int(0))
        .with(node("Ready"), flag.clone(), &Raw::Bool(false))
        .with(node("Done"), flag, &Raw::Bool(false))
}

/// A result of the plant, and its counter: at once.
pub(crate) fn show(simulator: &Simulator, count: i64) {
    let values = [
        (node("Count"), Tree::Value(Raw::Int(count))),
        (node("Torque"), Tree::Value(real(torque(count)))),
    ];
    simulator.set_all(values).unwrap();
}

/// Points 0 `Count`, 1 `Torque`, 2 `Ack`, 3 `Beat`. Events: `tightening`, a counter that waits for its copy; `beat`, which
/// tells that time passed.
pub(crate) fn counter(address: &str) -> SlotPlan {
    let mut tightening = event("tightening", Trigger::Changes(vec![0]), vec![0, 1]);
    tightening.id = vec![0];
    tightening.ack = Some(Ack {
        write: 2,
        value: AckValue::Copy(0),
        then: None,
        timeout: Duration::from_secs(2),
    });
    let beat = event("beat", Trigger::Changes(vec![3]), vec![3]);
    let points = ["Count", "Torque", "Ack", "Beat"].map(point);
    slot("a", address, points.into(), vec![tightening, beat])
}

/// Points 0 `Count`, 1 `Torque`; one event `readings` with each change of either.
pub(crate) fn readings(name: &str, address: &str, at_most: Duration) -> SlotPlan {
    let trigger = Trigger::ChangesAny {
        points: vec![0, 1],
        at_most,
    };
    let mut of = event("readings", trigger, vec![0, 1]);
    of.stable = 0;
    slot(name, address, ["Count", "Torque"].map(point).into(), vec![of])
}

/// A link that runs, and what it reports.
pub(crate) struct Rig {
    pub(crate) simulator: Simulator,
    /// Where the link dials.
    pub(crate) address: String,
    pub(crate) tasks: JoinSet<()>,
    links: JoinSet<()>,
    reports: mpsc::Receiver<Report>,
    stop: CancellationToken,
    /// Of the last links that were run.
    pub(crate) ending: CancellationToken,
    pub(crate) stored: HashMap<String, TriggerState>,
    beats: i64,
    /// Of the last link that was run.
    pub(crate) probe: Probe,
}

impl Rig {
    /// A server, nothing that dials it.
    pub(crate) async fn server(setup: Setup) -> Self {
        let (simulator, _, serve) = Simulator::bind("127.0.0.1:0", setup).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve);
        tokio::time::timeout(PATIENCE, simulator.ready()).await.unwrap();
        Self {
            address: simulator.endpoint(),
            simulator,
            tasks,
            links: JoinSet::new(),
            reports: mpsc::channel(1).1,
            stop: CancellationToken::new(),
            ending: CancellationToken::new(),
            stored: HashMap::new(),
            beats: 0,
            probe: service().0,
        }
    }

    pub(crate) async fn start(setup: Setup, plan: impl FnOnce(&str) -> SlotPlan) -> Self {
        let mut rig = Self::server(setup).await;
        let plan = plan(&rig.address);
        rig.run(vec![plan]);
        rig
    }

    /// Runs these, going on from what is stored.
    pub(crate) fn run(&mut self, plans: Vec<SlotPlan>) {
        let (sender, reports) = mpsc::channel(64);
        self.reports = reports;
        self.stop = CancellationToken::new();
        self.ending = CancellationToken::new();
        let starts = plans.into_iter().map(|plan| SlotStart {
            plan: Arc::new(plan),
            states: self.stored.clone(),
        });
        for slots in group(starts.collect()) {
            let (probe, mut service) = service();
            self.probe = probe;
            service.ending = self.ending.clone();
            service.home = Some(home().to_owned());
            let (reports, stop) = (sender.clone(), self.stop.clone());
            self.links
                .spawn(run_link(slots, reports, Clock::machine(), stop, service));
        }
    }

    /// Waits until the links have returned; gives the samples that came meanwhile, each answered.
    pub(crate) async fn ended(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        let ended = async {
            while let Some(report) = self.reports.recv().await {
                if let Some(Report::Sample(mut sample)) = self.settle(report) {
                    sample.durable.take().map(|durable| durable.send(()));
                    samples.push(*sample);
                }
            }
        };
        tokio::time::timeout(AT_ONCE, ended).await.expect("the link returns");
        samples
    }

    /// Waits until the links have returned; no sample that comes meanwhile is stored.
    pub(crate) async fn ended_unstored(&mut self) {
        let ended = async {
            while let Some(report) = self.reports.recv().await {
                if !matches!(report, Report::Sample(_)) {
                    self.settle(report);
                }
            }
        };
        tokio::time::timeout(AT_ONCE, ended).await.expect("the link returns");
    }

    /// Stops the link, and waits until it has ended.
    pub(crate) async fn halt(&mut self) {
        self.stop.cancel();
        let ended = async { while self.links.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("the link ends");
    }

    pub(crate) async fn next(&mut self) -> Report {
        tokio::time::timeout(PATIENCE, self.reports.recv())
            .await
            .expect("a report in time")
            .expect("a link that runs")
    }

    fn stores(&mut self, event: &str, state: TriggerState) {
        self.stored.insert(event.to_owned(), state);
    }

    /// Stores and answers what is no sample; gives back what is.
    pub(crate) fn settle(&mut self, report: Report) -> Option<Report> {
        match report {
            Report::Sample(mut sample) => {
                if let Some(state) = sample.state.take() {
                    let event = sample.plan.events[sample.event].name.clone();
                    self.stores(&event, state);
                }
                Some(Report::Sample(sample))
            }
            Report::State {
                event, state, durable, ..
            } => {
                self.stores(&event, state);
                durable.map(|durable| durable.send(()));
                None
            }
            other => Some(other),
        }
    }

    /// The next sample; its state is stored, its answer left open.
    pub(crate) async fn sample(&mut self) -> Box<Sample> {
        loop {
            let report = self.next().await;
            if let Some(Report::Sample(sample)) = self.settle(report) {
                return sample;
            }
        }
    }

    /// Samples until there are so many; each is answered.
    pub(crate) async fn samples(&mut self, count: usize) -> Vec<Sample> {
        let mut all = Vec::new();
        while all.len() < count {
            let mut sample = self.sample().await;
            sample.durable.take().map(|durable| durable.send(()));
            all.push(*sample);
        }
        all
    }

    /// Until a slot is in this state; samples before are answered.
    pub(crate) async fn link(&mut self, slot: &str, wanted: LinkState) -> String {
        loop {
            let report = self.next().await;
            match self.settle(report) {
                Some(Report::Link {
                    slot: of,
                    state,
                    reason,
                    ..
                }) if *of.slot == *slot && state == wanted => return reason,
                Some(Report::Sample(sample)) => {
                    sample.durable.map(|durable| durable.send(()));
                }
                _ => {}
            }
        }
    }

    pub(crate) async fn online(&mut self) {
        self.link("a", LinkState::Online).await;
    }

    /// Sets `Beat` and waits until it is told: what the device said before that was told before it. Gives what else came.
    pub(crate) async fn beat(&mut self) -> Vec<Sample> {
        self.beats += 1;
        self.simulator.set(&node("Beat"), &Raw::Int(self.beats)).unwrap();
        let mut others = Vec::new();
        loop {
            let mut sample = self.sample().await;
            if &*sample.plan.events[sample.event].name == "beat" {
                sample.durable.take().map(|durable| durable.send(()));
                return others;
            }
            others.push(*sample);
        }
    }

    /// Waits until something holds; looks every few milliseconds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Simulator) -> bool) {
        let wait = async {
            while !holds(&self.simulator) {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "in time: {what}");
    }

    pub(crate) async fn reads(&self, name: &str, value: Raw) {
        let node = node(name);
        self.until(&format!("{name} is {value:?}"), |simulator| {
            simulator.get_raw(&node) == Some(value.clone())
        })
        .await;
    }

    /// What was written, by name of the variable.
    pub(crate) fn writes(&self) -> Vec<(String, Raw)> {
        let write = |write: lineside::device::opcua::simulator::Write| {
            let Tree::Value(raw) = write.value else { panic!() };
            let Identifier::Text(name) = write.node.id else {
                panic!()
            };
            (name.to_string(), raw)
        };
        self.simulator.writes().into_iter().map(write).collect()
    }
}

/// What the first point of each says.
pub(crate) fn firsts(samples: &[Sample]) -> Vec<i64> {
    let first = |sample: &Sample| match sample.values[0] {
        Some(Raw::Int(value)) => value,
        ref other => panic!("{other:?}"),
    };
    samples.iter().map(first).collect()
}

/// It is result `count` of the plant, whole.
pub(crate) fn check(sample: &Sample, count: i64) {
    assert_eq!(sample.values[0], Some(Raw::Int(count)));
    assert_eq!(sample.values[1], Some(real(torque(count))), "torn at {count}");
}

pub(crate) fn answer(sample: Box<Sample>) {
    sample
        .durable
        .expect("an answer is wanted")
        .send(())
        .expect("somebody waits for it");
}
