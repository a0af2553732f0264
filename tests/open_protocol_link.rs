//! Open Protocol links against a simulated controller that misbehaves: every result once, in order, acknowledged when it
//! is durable and not before; what was missed is fetched; nobody is held up.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use lineside::clock::Clock;
use lineside::device::open_protocol::simulator::{Config, Fault, Simulator};
use lineside::device::tap::service;
use lineside::device::{SlotStart, group, run_link};
use lineside::model::plan::*;
use lineside::model::sample::{LinkState, Report, TriggerState};
use lineside::model::{Raw, Sample, SlotName};
use lineside::record::What;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_serial::{SerialPort, SerialStream};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
/// Where nothing is to be waited for; machines under test are busy.
const AT_ONCE: Duration = Duration::from_secs(2);

fn link(address: &str) -> OpenProtocolLink {
    OpenProtocolLink {
        address: address.to_owned(),
        transport: TelegramTransport::Tcp,
        timeout: Duration::from_millis(300),
        keep_alive: Duration::from_millis(500),
        results: ResultSource::Last,
        generic: false,
        acknowledge: Acknowledge::Own,
        revision: Revisions::default(),
        recover: Recover::ById,
        station: None,
        spindle: None,
        big_endian_traces: false,
    }
}

fn event(name: &str, said: Said, points: Vec<usize>, id: Vec<usize>) -> EventPlan {
    EventPlan {
        name: name.into(),
        triggers: vec![Trigger::Said(said)],
        points,
        id,
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

fn plan(slot: &str, link: OpenProtocolLink) -> SlotPlan {
    let point = |name: &str| PointPlan {
        name: name.into(),
        at: Address::Field(name.into()),
        invalid: Vec::new(),
        deadband: None,
    };
    SlotPlan {
        slot: SlotName::new("st10", slot),
        link: Link::OpenProtocol(link),
        points: [
            "tightening_id",
            "torque",
            "tightening_status",
            "controller_serial_number",
            "vin_number",
            "result_id",
            "torque_uom",
        ]
        .map(point)
        .to_vec(),
        events: vec![event("tightening", Said::Result, vec![0, 1, 2, 3], vec![0])],
        notices: Vec::new(),
        alive: None,
    }
}

struct Rig {
    simulator: Simulator,
    address: String,
    tasks: JoinSet<()>,
    reports: mpsc::Receiver<Report>,
    stop: CancellationToken,
    ending: CancellationToken,
    stored: HashMap<String, TriggerState>,
    gaps: Vec<(Option<String>, Option<String>, Option<u64>)>,
}

impl Rig {
    async fn new(config: Config) -> Self {
        let (simulator, local, serve) = Simulator::bind("127.0.0.1:0", config).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve);
        Self {
            simulator,
            address: local.to_string(),
            tasks,
            reports: mpsc::channel(1).1,
            stop: CancellationToken::new(),
            ending: CancellationToken::new(),
            stored: HashMap::new(),
            gaps: Vec::new(),
        }
    }

    async fn start(config: Config, change: impl FnOnce(&mut OpenProtocolLink)) -> Self {
        let mut rig = Self::new(config).await;
        rig.run(change);
        rig
    }

    fn run(&mut self, change: impl FnOnce(&mut OpenProtocolLink)) {
        let mut link = link(&self.address);
        change(&mut link);
        self.run_plans(vec![plan("a", link)]);
    }

    fn run_plans(&mut self, plans: Vec<SlotPlan>) {
        self.stop.cancel();
        let (sender, reports) = mpsc::channel(64);
        self.reports = reports;
        self.stop = CancellationToken::new();
        self.ending = CancellationToken::new();
        let starts = plans.into_iter().map(|plan| SlotStart {
            plan: Arc::new(plan),
            states: self.stored.clone(),
        });
        for slots in group(starts.collect()) {
            let (_, mut service) = service();
            service.ending = self.ending.clone();
            let (sender, stop) = (sender.clone(), self.stop.clone());
            self.tasks
                .spawn(run_link(slots, sender, Clock::machine(), stop, service));
        }
    }

    /// Waits until the link has returned; no result may be reported meanwhile.
    async fn ended(&mut self) {
        let ended = async {
            while let Some(report) = self.reports.recv().await {
                match report {
                    Report::Sample(sample) => panic!("after the end has begun: {sample:?}"),
                    other => self.beside(other),
                }
            }
        };
        tokio::time::timeout(AT_ONCE, ended).await.expect("the link returns");
    }

    async fn next(&mut self) -> Report {
        tokio::time::timeout(PATIENCE, self.reports.recv())
            .await
            .expect("a report in time")
            .expect("a link that runs")
    }

    /// Stores what has to be stored until a sample comes; its answer is left open.
    async fn sample(&mut self) -> Box<Sample> {
        loop {
            match self.next().await {
                Report::Sample(mut sample) => {
                    let name = sample.plan.events[sample.event].name.to_string();
                    if let Some(state) = sample.state.take() {
                        self.stored.insert(name, state);
                    }
                    return sample;
                }
                other => self.beside(other),
            }
        }
    }

    fn beside(&mut self, report: Report) {
        match report {
            Report::State {
                event, state, durable, ..
            } => {
                self.stored.insert(event.to_string(), state);
                durable.map(|durable| durable.send(()));
            }
            Report::Gap {
                after, before, count, ..
            } => self.gaps.push((after, before, count)),
            _ => {}
        }
    }

    /// The next result: its id, and whether it was fetched. It is durable at once.
    async fn result(&mut self) -> (i64, bool) {
        let sample = self.sample().await;
        let found = (id(&sample), sample.backfill);
        durable(sample);
        found
    }

    async fn results(&mut self, count: usize) -> Vec<(i64, bool)> {
        let mut found = Vec::new();
        while found.len() < count {
            found.push(self.result().await);
        }
        found
    }

    async fn link(&mut self, wanted: LinkState) -> String {
        loop {
            match self.next().await {
                Report::Link { state, reason, .. } if state == wanted => return reason,
                Report::Sample(sample) => durable(sample),
                other => self.beside(other),
            }
        }
    }

    async fn online(&mut self) {
        self.link(LinkState::Online).await;
    }

    async fn until(&self, what: &str, holds: impl Fn(&Simulator) -> bool) {
        let wait = async {
            while !holds(&self.simulator) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{what}"));
    }

    async fn acknowledged(&self, ids: &[i64]) {
        let have = |simulator: &Simulator| {
            let ids: Vec<i64> = simulator
                .acknowledged()
                .iter()
                .map(|acknowledged| acknowledged.id)
                .collect();
            ids
        };
        self.until("the acknowledgements in time", |simulator| {
            have(simulator).len() >= ids.len()
        })
        .await;
        assert_eq!(have(&self.simulator), ids);
    }

    fn heard(&self, mid: u16) -> usize {
        self.simulator
            .heard()
            .iter()
            .filter(|telegram| telegram.mid() == mid)
            .count()
    }
}

fn id(sample: &Sample) -> i64 {
    let Some(Raw::Int(id)) = sample.values[0] else {
        panic!("no id in {:?}", sample.values)
    };
    id
}

fn durable(sample: Box<Sample>) {
    // The link may have ended.
    sample.durable.map(|durable| durable.send(()));
}

fn only(mid: u16, revisions: &[u16]) -> BTreeMap<u16, BTreeSet<u16>> {
    BTreeMap::from([(mid, revisions.iter().copied().collect())])
}

#[tokio::test]
async fn a_result_is_acknowledged_once_it_is_durable_and_not_before() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.online().await;
    rig.simulator.tighten([]);
    let sample = rig.sample().await;
    assert_eq!((id(&sample), sample.backfill), (1, false));
    assert!(sample.raw.contains("0061007"), "{}", sample.raw);
    assert_eq!(sample.values[3], Some(Raw::Text("SIM-0001".into())), "a field of 0002");
    // Keep-alives go on while the answer is withheld.
    let before = rig.heard(9999);
    rig.until("a keep-alive", |_| rig.heard(9999) > before).await;
    assert_eq!(rig.heard(62), 0, "not before it is durable");
    durable(sample);
    rig.acknowledged(&[1]).await;
}

#[tokio::test]
async fn who_only_looks_is_told_all_and_acknowledges_nothing() {
    let config = Config {
        resend: Duration::from_millis(100),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |link| link.acknowledge = Acknowledge::Nothing).await;
    rig.online().await;
    for wanted in 1..=5 {
        rig.simulator.tighten([]);
        let sample = rig.sample().await;
        assert_eq!(id(&sample), wanted, "though nothing was acknowledged");
        durable(sample);
    }
    let heard = rig.simulator.heard();
    let subscription = heard.iter().find(|telegram| telegram.mid() == 60).unwrap();
    assert!(subscription.header.no_ack);
    assert!(heard.iter().all(|telegram| ![62, 5].contains(&telegram.mid())));
    assert_eq!(rig.simulator.acknowledged(), []);
}

#[tokio::test]
async fn a_retransmission_is_acknowledged_and_not_taken_again() {
    let config = Config {
        resend: Duration::from_millis(100),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |_| {}).await;
    rig.online().await;
    rig.simulator.fail([Fault::Duplicate]);
    rig.simulator.tighten([]);
    let first = rig.sample().await;
    // It is sent twice at once, and again after the time-out.
    tokio::time::sleep(Duration::from_millis(250)).await;
    durable(first);
    rig.acknowledged(&[1]).await;
    rig.simulator.tighten([]);
    let second = rig.sample().await;
    assert_eq!(id(&second), 2, "the first is not reported again");
    durable(second);
    rig.acknowledged(&[1, 2]).await;
}

#[tokio::test]
async fn a_revision_is_refused_twice_and_the_socket_is_kept_or_closed() {
    for closes in [false, true] {
        let config = Config {
            revisions: only(1, &[4]),
            closes_on_refusal: closes,
            ..Config::default()
        };
        let mut rig = Rig::start(config, |_| {}).await;
        rig.online().await;
        let connections = rig.simulator.connections();
        assert_eq!(connections > 1, closes, "{connections} connections");
        // What was agreed on is asked for first at the next connection.
        let before = rig.heard(1);
        rig.simulator.cut();
        rig.link(LinkState::Offline).await;
        rig.online().await;
        assert_eq!(rig.heard(1), before + 1, "closes: {closes}");
        rig.simulator.tighten([]);
        assert_eq!(rig.result().await, (1, false));
    }
}

#[tokio::test]
async fn a_controller_that_takes_only_revision_6_is_found_from_below() {
    let config = Config {
        revisions: only(1, &[6]),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |link| link.revision.start = 3).await;
    rig.online().await;
}

#[tokio::test]
async fn subscriptions_step_down_by_themselves() {
    let config = Config {
        revisions: only(60, &[1, 2]),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |_| {}).await;
    rig.online().await;
    rig.simulator.tighten([]);
    let sample = rig.sample().await;
    assert!(sample.raw.contains("0061002"), "{}", sample.raw);
}

#[tokio::test]
async fn a_torque_comes_with_the_unit_that_its_telegram_names() {
    let config = Config {
        revisions: only(60, &[3]),
        fields: BTreeMap::from([("torque_values_unit".to_owned(), Raw::Text("[lbf_av].[ft_i]".into()))]),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |_| {}).await;
    rig.online().await;
    rig.simulator.tighten([]);
    let sample = rig.sample().await;
    assert!(sample.raw.contains("0061003"), "{}", sample.raw);
    assert_eq!(sample.values[6], Some(Raw::Text("[lbf_av].[ft_i]".into())));
}

#[tokio::test]
async fn an_alarm_status_without_an_alarm_is_acknowledged_and_leads_to_nothing() {
    let mut rig = Rig::new(Config::default()).await;
    let mut plan = plan("a", link(&rig.address));
    plan.events.push(event("alarm", Said::Alarm, vec![], vec![]));
    rig.run_plans(vec![plan]);
    rig.online().await;
    rig.until("the acknowledgement of the status", |simulator| {
        simulator
            .acknowledged()
            .iter()
            .any(|ack| (ack.data, ack.by) == (76, 77))
    })
    .await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (1, false), "nothing before it");
}

#[tokio::test]
async fn a_refused_subscription_degrades_its_slot_and_the_others_go_on() {
    let config = Config {
        refuses: BTreeMap::from([(70, 99)]),
        ..Config::default()
    };
    let mut rig = Rig::new(config).await;
    let mut alarms = plan("b", link(&rig.address));
    alarms.events = vec![event("alarm", Said::Alarm, vec![], vec![])];
    rig.run_plans(vec![plan("a", link(&rig.address)), alarms]);
    let (mut online, mut degraded) = (false, String::new());
    while !online || degraded.is_empty() {
        match rig.next().await {
            Report::Link {
                slot, state, reason, ..
            } => match (&*slot.slot, state) {
                ("a", LinkState::Online) => online = true,
                ("b", LinkState::Degraded) => degraded = reason,
                other => panic!("{other:?}: {reason}"),
            },
            other => rig.beside(other),
        }
    }
    for part in [&*rig.address, "alarm", "MID 0070", "code 99"] {
        assert!(degraded.contains(part), "{part} in {degraded}");
    }
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (1, false));
}

#[tokio::test]
async fn the_link_layer_runs_over_99_and_withholds_the_acknowledgement_of_data() {
    let config = Config {
        link_layer: true,
        resend: Duration::from_millis(500),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |link| link.acknowledge = Acknowledge::Link).await;
    rig.online().await;
    for wanted in 1..=120 {
        rig.simulator.tighten([]);
        let sample = rig.sample().await;
        assert_eq!((id(&sample), sample.backfill), (wanted, false));
        if wanted % 40 == 0 {
            assert_eq!(rig.simulator.acknowledged().len(), usize::try_from(wanted).unwrap() - 1);
            // It is sent again meanwhile.
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
        durable(sample);
    }
    rig.acknowledged(&(1..=120).collect::<Vec<_>>()).await;
    assert!(rig.simulator.acknowledged().iter().all(|ack| ack.by == 9997));
    assert_eq!((rig.simulator.connections(), rig.heard(62)), (1, 0));
}

#[tokio::test]
async fn without_the_link_layer_telegrams_have_their_own_acknowledgements() {
    let mut rig = Rig::start(Config::default(), |link| link.acknowledge = Acknowledge::Link).await;
    rig.online().await;
    rig.simulator.tighten([]);
    rig.result().await;
    rig.acknowledged(&[1]).await;
    assert_eq!(rig.simulator.acknowledged()[0].by, 62);
}

#[tokio::test]
async fn what_was_made_while_away_is_fetched_in_order() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.simulator.tighten([]);
    rig.online().await;
    rig.simulator.tighten([]);
    let before = rig.result().await;
    assert!(!before.1, "{before:?}");
    rig.stop.cancel();
    for _ in 0..4 {
        rig.simulator.tighten([]);
    }
    rig.run(|_| {});
    let first = before.0 + 1;
    let all: Vec<_> = (first..first + 4).map(|id| (id, true)).collect();
    assert_eq!(rig.results(4).await, all);
    rig.online().await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (first + 4, false));
    assert!(rig.gaps.is_empty());
}

#[tokio::test]
async fn nothing_is_fetched_from_before_the_first_start() {
    let rig_config = Config::default();
    let mut rig = Rig::new(rig_config).await;
    for _ in 0..5 {
        rig.simulator.tighten([]);
    }
    rig.run(|_| {});
    rig.online().await;
    assert_eq!(rig.heard(64), 2, "the newest, before and after the subscription");
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (6, false));
    // Before anything was taken it is gone, and comes back.
    assert!(rig.stored["tightening"].taken.is_some());
}

#[tokio::test]
async fn a_jump_of_a_live_result_fetches_what_lies_between_first() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.online().await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (1, false));
    // Made by the controller, and never told.
    rig.simulator.tighten_elsewhere(1);
    rig.simulator.tighten_elsewhere(1);
    rig.simulator.tighten([]);
    assert_eq!(rig.results(3).await, [(2, true), (3, true), (4, false)]);
    rig.acknowledged(&[1, 4]).await;
}

#[tokio::test]
async fn with_the_link_layer_a_jump_is_looked_into_on_another_connection() {
    let config = Config {
        link_layer: true,
        ..Config::default()
    };
    let mut rig = Rig::start(config, |link| link.acknowledge = Acknowledge::Link).await;
    rig.online().await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (1, false));
    rig.simulator.tighten_elsewhere(1);
    rig.simulator.tighten_elsewhere(1);
    rig.simulator.tighten([]);
    assert_eq!(rig.results(3).await, [(2, true), (3, true), (4, false)]);
    rig.until("a subscription", |_| rig.heard(60) == 2).await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (5, false));
    rig.until("its acknowledgement", |simulator| {
        simulator.acknowledged().iter().any(|ack| ack.id == 5)
    })
    .await;
    assert_eq!(rig.simulator.connections(), 2);
    assert!(rig.gaps.is_empty());
}

#[tokio::test]
async fn with_the_link_layer_ids_of_other_stations_between_are_nothing_special() {
    let config = Config {
        link_layer: true,
        walk_back: true,
        ..Config::default()
    };
    let mut rig = Rig::start(config, |link| {
        (link.acknowledge, link.recover) = (Acknowledge::Link, Recover::WalkBack);
    })
    .await;
    rig.online().await;
    for round in 1..=5 {
        rig.simulator.tighten_elsewhere(99);
        rig.simulator.tighten([]);
        assert_eq!(rig.result().await, (2 * round, false));
    }
    rig.acknowledged(&[2, 4, 6, 8, 10]).await;
    assert_eq!(rig.simulator.connections(), 1);
}

#[tokio::test]
async fn an_alarm_that_is_active_is_told_once_however_often_it_is_subscribed() {
    let mut rig = Rig::new(Config::default()).await;
    let mut plan = plan("a", link(&rig.address));
    plan.events.push(event("alarm", Said::Alarm, vec![], vec![]));
    rig.run_plans(vec![plan]);
    rig.online().await;
    rig.simulator.alarm([("error_code", Raw::Text("E404".into()))], true);
    let alarm = rig.sample().await;
    assert!(alarm.raw.contains("0071"), "{}", alarm.raw);
    durable(alarm);
    rig.simulator.cut();
    rig.link(LinkState::Offline).await;
    rig.online().await;
    rig.until("the acknowledgement of the status", |simulator| {
        let status = simulator.acknowledged();
        status.iter().filter(|ack| ack.data == 76).count() == 2
    })
    .await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (1, false), "nothing before it");
}

#[tokio::test]
async fn the_walk_back_leaves_out_other_stations() {
    let config = Config {
        walk_back: true,
        station: 7,
        ..Config::default()
    };
    let mut rig = Rig::start(config, |link| link.recover = Recover::WalkBack).await;
    rig.online().await;
    rig.simulator.tighten([("tightening_id", Raw::Int(10_204))]);
    assert_eq!(rig.result().await, (10_204, false));
    rig.stop.cancel();
    for (id, station) in [(10_209, 7), (10_216, 8), (10_220, 8), (10_226, 7), (10_230, 7)] {
        rig.simulator
            .tighten([("tightening_id", Raw::Int(id)), ("station_id", Raw::Int(station))]);
    }
    rig.run(|link| link.recover = Recover::WalkBack);
    assert_eq!(rig.results(3).await, [(10_209, true), (10_226, true), (10_230, true)]);
    rig.online().await;
    assert!(rig.gaps.is_empty());
}

#[tokio::test]
async fn what_the_controller_does_not_have_any_more_is_a_gap() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.online().await;
    rig.simulator.tighten([]);
    rig.result().await;
    rig.stop.cancel();
    for _ in 0..6 {
        rig.simulator.tighten([]);
    }
    rig.simulator.forget([3, 4]);
    rig.run(|_| {});
    assert_eq!(rig.results(4).await, [(2, true), (5, true), (6, true), (7, true)]);
    assert_eq!(rig.gaps, [(Some("2".into()), Some("5".into()), Some(2))]);
    rig.online().await;
}

#[tokio::test]
async fn ids_that_begin_again_are_no_gap() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.online().await;
    rig.simulator.tighten([("tightening_id", Raw::Int(500))]);
    assert_eq!(rig.result().await, (500, false));
    rig.simulator.reset_ids(1);
    rig.link(LinkState::Offline).await;
    rig.online().await;
    rig.simulator.tighten([]);
    rig.simulator.tighten([]);
    assert_eq!(rig.results(2).await, [(1, false), (2, false)]);
    assert!(rig.gaps.is_empty());
}

#[tokio::test]
async fn while_the_outbox_holds_nothing_is_subscribed_and_then_all_is_fetched() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.online().await;
    rig.simulator.tighten([]);
    let held = rig.sample().await;
    rig.until("the end of the subscription", |_| rig.heard(63) == 1).await;
    for _ in 0..3 {
        rig.simulator.tighten([]);
    }
    let keep_alives = rig.heard(9999);
    rig.until("a session that is kept alive", |_| rig.heard(9999) > keep_alives + 2)
        .await;
    assert_eq!((rig.heard(60), rig.simulator.connections()), (1, 1));
    durable(held);
    assert_eq!(rig.results(3).await, [(2, true), (3, true), (4, true)]);
    rig.until("a subscription", |_| rig.heard(60) == 2).await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (5, false));
    assert_eq!(rig.simulator.connections(), 1);
}

#[tokio::test]
async fn what_could_not_be_made_durable_is_taken_again() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.online().await;
    rig.simulator.tighten([]);
    rig.result().await;
    rig.simulator.tighten([]);
    let lost = rig.sample().await;
    assert_eq!(id(&lost), 2);
    drop(lost);
    assert_eq!(rig.result().await, (2, true));
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await.0, 3);
}

#[tokio::test]
async fn every_fault_of_a_telegram_costs_no_result_and_makes_none_twice() {
    let config = Config {
        resend: Duration::from_millis(150),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |_| {}).await;
    rig.online().await;
    let faults = [
        Fault::Drop,
        Fault::Delay(Duration::from_millis(80)),
        Fault::Duplicate,
        Fault::Garble,
        Fault::Cut,
        Fault::Noise(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Fault::Noise(vec![0; 300]),
        Fault::Noise(vec![0xFF; 3_000]),
    ];
    for (wanted, fault) in (1..).zip(faults) {
        rig.simulator.fail([fault.clone()]);
        rig.simulator.tighten([]);
        assert_eq!(rig.result().await.0, wanted, "{fault:?}");
        rig.until("it is taken up again", |simulator| {
            simulator.acknowledged().iter().any(|ack| ack.id == wanted) || fault == Fault::Cut
        })
        .await;
        if fault == Fault::Cut {
            rig.online().await;
        }
    }
}

#[tokio::test]
async fn results_of_variable_fields_are_recovered_from_their_index() {
    let config = Config {
        variable: true,
        refuses: BTreeMap::from([(60, 99)]),
        ..Config::default()
    };
    // The index need not be the id of an event.
    for id_point in [5, 0] {
        let mut rig = Rig::new(config.clone()).await;
        let change = |address: &str| {
            let mut link = link(address);
            (link.results, link.recover) = (ResultSource::Variable, Recover::FromIndex);
            let mut plan = plan("a", link);
            plan.events[0].id = vec![id_point];
            plan
        };
        let of = change(&rig.address);
        let stamp = |seconds: i64| {
            let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds - 37);
            let text = jiff::tz::TimeZone::UTC
                .to_datetime(time)
                .strftime("%Y-%m-%d:%H:%M:%S")
                .to_string();
            [("time_stamp", Raw::Text(text))]
        };
        rig.simulator.tighten(stamp(-60));
        rig.run_plans(vec![of.clone()]);
        rig.online().await;
        while !rig.simulator.acknowledged().iter().any(|ack| ack.data == 1202) {
            if let Ok(Some(report)) = tokio::time::timeout(Duration::from_millis(5), rig.reports.recv()).await {
                rig.beside(report);
            }
        }
        assert_eq!(rig.stored["tightening"].mark.unwrap().index, 1);
        // A controller shows the last one at once, and the first is where the count begins.
        tokio::time::sleep(Duration::from_millis(200)).await;
        rig.simulator.tighten(stamp(0));
        let live = rig.sample().await;
        assert_eq!((id(&live), live.backfill, live.since), (2, false, Some(live.seen)));
        assert!(live.raw.contains("1201") && live.raw.contains("1202"), "{}", live.raw);
        durable(live);
        rig.until("its acknowledgement", |simulator| simulator.acknowledged().len() >= 4)
            .await;
        rig.stop.cancel();
        for age in [-9, -6, -3] {
            rig.simulator.tighten(stamp(age));
        }
        rig.run_plans(vec![of]);
        assert_eq!(rig.results(3).await, [(3, true), (4, true), (5, true)]);
        let subscription = rig
            .simulator
            .heard()
            .into_iter()
            .rfind(|telegram| telegram.mid() == 8)
            .unwrap();
        let asked = lineside::wire::open_protocol::session::asked(&subscription).unwrap();
        assert_eq!(
            asked.extra,
            format!("1{:19}00000000031", ""),
            "from the first that is missing"
        );
        // What is made now is new, however soon it comes.
        rig.simulator.tighten(stamp(1));
        assert_eq!(rig.result().await, (6, false));
        assert!(rig.gaps.is_empty());
    }
}

#[tokio::test]
async fn a_controller_that_never_answers_is_told_in_a_sentence() {
    let config = Config {
        mute: true,
        ..Config::default()
    };
    let mut rig = Rig::start(config, |_| {}).await;
    let reason = rig.link(LinkState::Offline).await;
    for part in [&*rig.address, "MID 0001 was sent 3 times", "(since "] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
    rig.simulator.configure(|config| config.mute = false);
    rig.online().await;
}

#[tokio::test]
async fn a_controller_that_closes_at_once_is_told_in_a_sentence() {
    let config = Config {
        closes_at_once: true,
        ..Config::default()
    };
    let mut rig = Rig::start(config, |_| {}).await;
    let reason = rig.link(LinkState::Offline).await;
    assert!(
        reason.contains("the controller closed the connection") || reason.contains("broke"),
        "{reason}"
    );
    rig.simulator.configure(|config| config.closes_at_once = false);
    rig.online().await;
}

#[tokio::test]
async fn another_client_is_told_in_a_sentence() {
    let config = Config {
        refuses: BTreeMap::from([(1, 96)]),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |_| {}).await;
    let reason = rig.link(LinkState::Offline).await;
    assert!(
        reason.contains("another client is connected") && reason.contains("96"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_result_before_the_subscription_is_taken_once() {
    let config = Config {
        eager: true,
        resend: Duration::from_millis(200),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |_| {}).await;
    rig.online().await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (1, false));
    rig.stop.cancel();
    rig.simulator.tighten([]);
    rig.run(|_| {});
    assert_eq!(rig.result().await.0, 2);
    rig.online().await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (3, false), "the second is not reported again");
}

#[tokio::test]
async fn garbage_ends_the_connection_and_a_good_one_is_made() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.online().await;
    let flood: Vec<u8> = (0..100_000_u32).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
    rig.simulator.send_raw(&flood);
    let reason = rig.link(LinkState::Offline).await;
    assert!(reason.contains("no Open Protocol"), "{reason}");
    rig.online().await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await.0, 1);
}

#[tokio::test]
async fn a_flood_of_telegrams_is_bounded_and_told() {
    let mut rig = Rig::start(Config::default(), |link| link.recover = Recover::None).await;
    rig.online().await;
    let mut flood = Vec::new();
    for number in 0..2_000 {
        flood.extend_from_slice(format!("00450052001         {number:025}\0").as_bytes());
    }
    for number in 0..1_000 {
        flood.extend_from_slice(format!("00450061001         {number:025}\0").as_bytes());
    }
    rig.simulator.send_raw(&flood);
    let mut held = Vec::new();
    loop {
        // Nothing becomes durable: it is the flood that is stopped.
        match rig.next().await {
            Report::Link {
                state: LinkState::Offline,
                reason,
                ..
            } => {
                assert!(reason.contains("more than it waits for"), "{reason}");
                break;
            }
            Report::Sample(sample) => held.push(sample),
            other => rig.beside(other),
        }
    }
}

#[tokio::test]
async fn the_newest_is_a_result_at_the_first_start_where_the_profile_says_so() {
    let mut rig = Rig::new(Config::default()).await;
    for _ in 0..3 {
        rig.simulator.tighten([]);
    }
    let mut plan = plan("a", link(&rig.address));
    plan.events[0].on_start = OnStart::Take;
    rig.run_plans(vec![plan]);
    assert_eq!(rig.result().await, (3, true));
    rig.online().await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (4, false));
}

#[tokio::test]
async fn a_hold_with_the_link_layer_costs_no_result() {
    let config = Config {
        link_layer: true,
        resend: Duration::from_secs(2),
        ..Config::default()
    };
    let mut rig = Rig::start(config, |link| link.acknowledge = Acknowledge::Link).await;
    rig.online().await;
    rig.simulator.tighten([]);
    let held = rig.sample().await;
    rig.simulator.tighten([]);
    // The controller gives the connection up; it is made again, and nothing is subscribed.
    rig.link(LinkState::Offline).await;
    let subscribed = rig.heard(60);
    let starts = rig.heard(1);
    rig.until("another session", |_| rig.heard(9999) > 0 && rig.heard(1) > starts)
        .await;
    assert_eq!(rig.heard(60), subscribed);
    durable(held);
    assert_eq!(rig.result().await, (2, true));
    rig.online().await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await, (3, false));
}

/// Five results a second and more, the link cut and the gateway killed again and again.
async fn every_result_once(config: Config, change: impl Fn(&mut OpenProtocolLink)) {
    let mut rig = Rig::new(config).await;
    rig.run(&change);
    rig.online().await;
    let simulator = rig.simulator.clone();
    let (made, mut ready) = tokio::sync::watch::channel(0);
    rig.tasks.spawn(async move {
        for number in 1..=200_i64 {
            tokio::time::sleep(Duration::from_millis(15)).await;
            if number % 7 == 0 {
                simulator.tighten_elsewhere(99);
            }
            made.send_replace(simulator.tighten([]));
            if number % 20 == 0 {
                simulator.cut();
            }
        }
    });
    let mut found: Vec<i64> = Vec::new();
    let mut backfilled = 0;
    let mut killed = 0;
    loop {
        let last = *ready.borrow_and_update();
        if found.last() == Some(&last) && ready.has_changed().is_err() {
            break;
        }
        let sample = rig.sample().await;
        backfilled += usize::from(sample.backfill);
        found.push(id(&sample));
        if found.len() / 40 > killed {
            // Killed between the commit and the acknowledgement.
            killed += 1;
            drop(sample);
            rig.run(&change);
        } else {
            durable(sample);
        }
    }
    let ours = |id: &i64| !rig.simulator.elsewhere().contains(id);
    let wanted: Vec<i64> = rig.simulator.results().into_iter().filter(ours).collect();
    let mut once = found.clone();
    once.dedup();
    assert_eq!(once, wanted, "in order, none missing");
    // What was acknowledged by nobody is fetched again, and known by its id (contract).
    assert!(
        found.len() <= wanted.len() + killed,
        "{} of {}",
        found.len(),
        wanted.len()
    );
    assert!(
        backfilled > 0 && killed >= 4,
        "{backfilled} fetched, killed {killed} times"
    );
    assert_eq!(rig.gaps, []);
}

#[tokio::test]
async fn every_result_comes_once_and_in_order_through_cuts_and_kills() {
    let config = Config {
        walk_back: true,
        ..Config::default()
    };
    every_result_once(config, |link| link.recover = Recover::WalkBack).await;
}

#[tokio::test]
async fn with_the_link_layer_too() {
    let config = Config {
        walk_back: true,
        link_layer: true,
        ..Config::default()
    };
    every_result_once(config, |link| {
        link.recover = Recover::WalkBack;
        link.acknowledge = Acknowledge::Link;
    })
    .await;
}

/// What comes out of one end of a pair of ports goes into the other.
async fn wire(mut from: tokio::io::ReadHalf<SerialStream>, mut to: tokio::io::WriteHalf<SerialStream>) {
    let mut bytes = [0; 512];
    loop {
        match from.read(&mut bytes).await {
            Ok(0) | Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(count) => to.write_all(&bytes[..count]).await.unwrap(),
        }
    }
}

#[tokio::test]
async fn results_come_over_serial_lines_too() {
    let settings = SerialSettings {
        baud: 115_200,
        data_bits: 8,
        parity: Parity::None,
        stop_bits: 1,
        rs485: false,
    };
    for transport in [
        TelegramTransport::Ascii(settings.clone()),
        TelegramTransport::Block3964R(settings.clone()),
    ] {
        let mut tasks = JoinSet::new();
        let mut paths = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..2 {
            let (master, slave) = SerialStream::pair().unwrap();
            paths.push(slave.name().unwrap());
            ends.push(tokio::io::split(master));
        }
        let (read_b, write_b) = ends.pop().unwrap();
        let (read_a, write_a) = ends.pop().unwrap();
        tasks.spawn(wire(read_a, write_b));
        tasks.spawn(wire(read_b, write_a));
        let mut rig = Rig::new(Config::default()).await;
        let serve = rig.simulator.serve_port(&paths[0], &transport).await.unwrap();
        tasks.spawn(serve);
        let mut link = link(&paths[1]);
        link.transport = transport.clone();
        rig.run_plans(vec![plan("a", link)]);
        rig.online().await;
        for wanted in 1..=5 {
            rig.simulator.tighten([]);
            assert_eq!(rig.result().await, (wanted, false), "{transport:?}");
        }
        rig.acknowledged(&[1, 2, 3, 4, 5]).await;
    }
}

#[tokio::test]
async fn a_look_shows_what_was_said_last_and_the_tap_every_telegram() {
    let mut rig = Rig::new(Config::default()).await;
    let (probe, of_link) = service();
    let mut exchanges = probe.exchanges();
    let (sender, reports) = mpsc::channel(64);
    rig.reports = reports;
    let start = SlotStart {
        plan: Arc::new(plan("a", link(&rig.address))),
        states: HashMap::new(),
    };
    rig.tasks.spawn(run_link(
        vec![start],
        sender,
        Clock::machine(),
        rig.stop.clone(),
        of_link,
    ));
    rig.online().await;
    let slot = SlotName::new("st10", "a");
    let reading = probe.look(&slot, false).await.unwrap();
    assert_eq!(
        (reading.values[0].clone(), reading.values[3].clone()),
        (None, Some(Raw::Text("SIM-0001".into())))
    );
    rig.simulator.tighten([]);
    rig.result().await;
    let reading = probe.look(&slot, false).await.unwrap();
    assert_eq!(reading.values[0], Some(Raw::Int(1)));
    let mut seen = Vec::new();
    while let Ok(Ok(what)) = tokio::time::timeout(Duration::from_millis(100), exchanges.recv()).await {
        seen.push(match what {
            What::In(bytes) => format!("in {}", String::from_utf8_lossy(&bytes[4..8])),
            What::Out(bytes) => format!("out {}", String::from_utf8_lossy(&bytes[4..8])),
            What::Link(text) => text,
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(&seen[..3], ["connected", "out 0001", "in 0002"]);
    assert!(seen.contains(&"in 0061".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn all_that_a_controller_says_by_itself_is_heard_and_acknowledged() {
    let config = Config {
        fields: BTreeMap::from([("error_code".to_owned(), Raw::Text("E851".into()))]),
        ..Config::default()
    };
    let mut rig = Rig::new(config).await;
    let mut plan = plan("a", link(&rig.address));
    let kinds = [
        ("tightening", Said::Result),
        ("alarm", Said::Alarm),
        ("scan", Said::Identifier),
        ("curve", Said::Trace),
        ("job", Said::Job),
        ("program", Said::Program),
        ("inputs", Said::Inputs),
    ];
    let first = plan.points.len();
    for name in [
        "error_code",
        "trace_samples",
        "trace_type",
        "job_id",
        "parameter_set_number",
        "time_stamp",
    ] {
        let mut point = plan.points[0].clone();
        (point.name, point.at) = (name.into(), Address::Field(name.into()));
        plan.points.push(point);
    }
    plan.events = kinds
        .iter()
        .map(|(name, said)| {
            let id = if *said == Said::Result { vec![0] } else { vec![] };
            event(name, *said, vec![0], id)
        })
        .collect();
    rig.run_plans(vec![plan]);
    // What is so is said at once: the status of alarms, the program, the inputs.
    let mut said = BTreeMap::new();
    let mut online = false;
    while said.len() < 3 || !online {
        match rig.next().await {
            Report::Sample(sample) => {
                said.insert(sample.plan.events[sample.event].name.to_string(), sample.values.clone());
                durable(sample);
            }
            Report::Link { state, reason, .. } => {
                assert_eq!((state, &*reason), (LinkState::Online, ""));
                online = true;
            }
            other => rig.beside(other),
        }
    }
    assert_eq!(said.keys().collect::<Vec<_>>(), ["alarm", "inputs", "program"]);
    assert_eq!(said["program"][first + 4], Some(Raw::Int(1)));
    rig.until("the first acknowledgements", |simulator| {
        simulator.acknowledged().len() == 3
    })
    .await;
    rig.simulator.identify("WVWZZZ1JZXW000001");
    rig.simulator
        .alarm([("time_stamp", Raw::Text("2026-11-22:10:00:00".into()))], true);
    let time = ("time_stamp", Raw::Text("2026-11-22:10:00:01".into()));
    rig.simulator.say(35, 0, [("job_id", Raw::Int(3)), time.clone()]);
    rig.simulator.select([("parameter_set_number", Raw::Int(5))]);
    let samples = Raw::List((0..500).map(Raw::Int).collect());
    let trace = [
        ("result_id", Raw::Int(7)),
        ("trace_type", Raw::Text("torque".into())),
        ("samples", samples),
        time,
    ];
    rig.simulator.say(900, 7, trace);
    let mut heard = Vec::new();
    for _ in 0..5 {
        let sample = rig.sample().await;
        let name = sample.plan.events[sample.event].name.to_string();
        let value = match &*name {
            "scan" => sample.values[4].clone(),
            "alarm" => sample.values[first].clone(),
            "job" => sample.values[first + 3].clone(),
            "program" => sample.values[first + 4].clone(),
            _ => {
                let Some(Raw::List(samples)) = &sample.values[first + 1] else {
                    panic!("{:?}", sample.values)
                };
                assert_eq!(
                    (samples.len(), &sample.values[0]),
                    (500, &Some(Raw::Int(7))),
                    "tied to its tightening"
                );
                sample.values[first + 2].clone()
            }
        };
        heard.push((
            name.clone(),
            value.unwrap_or_else(|| panic!("{name} {}", sample.raw)).text(),
        ));
        durable(sample);
    }
    let wanted = [
        ("scan", "WVWZZZ1JZXW000001"),
        ("alarm", "E851"),
        ("job", "3"),
        ("program", "5"),
        ("curve", "torque"),
    ];
    assert_eq!(heard, wanted.map(|(name, text)| (name.to_owned(), text.to_owned())));
    rig.until("all acknowledgements", |simulator| simulator.acknowledged().len() == 8)
        .await;
    let by: Vec<u16> = rig.simulator.acknowledged().iter().skip(3).map(|ack| ack.by).collect();
    assert_eq!(by, [53, 72, 36, 16, 5]);
}

/// A result is not durable when the link is to end, and another is made meanwhile: the first is acknowledged, the second is
/// the next run's.
async fn ends_in_order(config: Config, acknowledge: Acknowledge) {
    let set = |link: &mut OpenProtocolLink| link.acknowledge = acknowledge;
    let mut rig = Rig::start(config, set).await;
    rig.online().await;
    rig.simulator.tighten([]);
    let sample = rig.sample().await;
    assert_eq!(id(&sample), 1);
    rig.ending.cancel();
    rig.simulator.tighten([]);
    assert_eq!(rig.simulator.acknowledged(), [], "not before it is durable");
    durable(sample);
    rig.ended().await;
    rig.acknowledged(&[1]).await;
    assert_eq!(rig.heard(3), 1, "the controller is told");
    rig.run(set);
    assert_eq!(rig.result().await.0, 2);
    rig.online().await;
    rig.simulator.tighten([]);
    assert_eq!(rig.result().await.0, 3);
    assert_eq!(rig.gaps, []);
}

#[tokio::test]
async fn a_link_that_is_to_end_acknowledges_what_becomes_durable_and_takes_nothing_new() {
    ends_in_order(Config::default(), Acknowledge::Own).await;
}

#[tokio::test]
async fn a_link_that_is_to_end_does_so_on_the_link_layer_too() {
    let config = Config {
        link_layer: true,
        ..Config::default()
    };
    ends_in_order(config, Acknowledge::Link).await;
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_acknowledged_at_the_end_and_comes_again() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.online().await;
    let before = rig.stored.clone();
    rig.simulator.tighten([]);
    let sample = rig.sample().await;
    rig.stored = before;
    rig.ending.cancel();
    drop(sample);
    rig.ended().await;
    assert_eq!((rig.simulator.acknowledged(), rig.heard(3)), (vec![], 1));
    rig.run(|_| {});
    assert_eq!(rig.result().await.0, 1);
}

#[tokio::test]
async fn a_link_that_is_idle_or_not_connected_returns_at_once() {
    let mut rig = Rig::start(Config::default(), |_| {}).await;
    rig.online().await;
    rig.ending.cancel();
    rig.ended().await;
    rig.until("the controller is told", |_| rig.heard(3) == 1).await;
    // Somebody takes the connection, and never says a word.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut rig = Rig::new(Config::default()).await;
    rig.address = mute.local_addr().unwrap().to_string();
    rig.run(|link| link.timeout = PATIENCE);
    let (_line, _) = mute.accept().await.unwrap();
    rig.ending.cancel();
    rig.ended().await;
    // Nobody is there.
    drop(mute);
    rig.run(|_| {});
    rig.link(LinkState::Offline).await;
    rig.ending.cancel();
    rig.ended().await;
}
