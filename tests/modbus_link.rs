//! Modbus TCP links against a simulated server that misbehaves in every way: nothing is torn, doubled, lost
//! or acknowledged too early, and a late answer is never taken for the next one's.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "support/modbus.rs"]
mod modbus;

use lineside::clock::Clock;
use lineside::device::modbus::simulator::{Fault, Simulator};
use lineside::device::tap::service;
use lineside::device::{SlotStart, group, run_link};
use lineside::model::plan::*;
use lineside::model::sample::{LinkState, Report, TriggerState};
use lineside::model::{Raw, Sample, SlotName};
use modbus::point;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
/// Where nothing is to be waited for; machines under test are busy.
const AT_ONCE: Duration = Duration::from_secs(2);

/// input:100 counter, input:101 torque, holding:10 ack; a counter that waits for its echo.
fn plan(slot: &str, address: &str, server_id: u8) -> SlotPlan {
    SlotPlan {
        slot: SlotName::new("st10", slot),
        link: Link::Modbus(ModbusLink {
            address: address.to_owned(),
            transport: ModbusTransport::Tcp,
            server_id,
            poll: Duration::from_millis(5),
            timeout: Duration::from_millis(150),
            max_registers: 125,
            max_bits: 2000,
            max_gap: 8,
        }),
        points: vec![
            point("count", Table::Input, 100, ModbusType::U16),
            point("torque", Table::Input, 101, ModbusType::F32),
            point("ack", Table::Holding, 10, ModbusType::U16),
        ],
        events: vec![EventPlan {
            name: "tightening".into(),
            triggers: vec![Trigger::Changes(vec![0])],
            points: vec![0, 1],
            id: vec![0],
            ack: Some(Ack {
                write: 2,
                value: AckValue::Copy(0),
                then: None,
                timeout: Duration::from_secs(1),
            }),
            stable: 1,
            on_start: OnStart::Baseline,
            keep: Keep::Stored,
            ring: None,
            repeat: None,
            counted: false,
            fingerprint: "f".into(),
        }],
        notices: Vec::new(),
        alive: None,
    }
}

fn torque(counter: u16) -> f32 {
    f32::from(counter) * 1.5
}

fn show(simulator: &Simulator, counter: u16) {
    let bits = torque(counter).to_bits().to_be_bytes();
    let words = [
        counter,
        u16::from_be_bytes([bits[0], bits[1]]),
        u16::from_be_bytes([bits[2], bits[3]]),
    ];
    simulator.set(Table::Input, 100, &words);
}

/// A link that runs, and what it reports.
struct Rig {
    simulator: Simulator,
    address: String,
    tasks: JoinSet<()>,
    reports: mpsc::Receiver<Report>,
    stop: CancellationToken,
    ending: CancellationToken,
    stored: HashMap<String, TriggerState>,
}

impl Rig {
    async fn start(slots: impl FnOnce(&str) -> Vec<SlotPlan>) -> Self {
        let (simulator, local, serve) = Simulator::bind("127.0.0.1:0").await.unwrap();
        show(&simulator, 0);
        simulator.set(Table::Holding, 10, &[0]);
        let address = local.to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve);
        let (_, reports) = mpsc::channel(1);
        let mut rig = Self {
            simulator,
            tasks,
            reports,
            stop: CancellationToken::new(),
            ending: CancellationToken::new(),
            stored: HashMap::new(),
            address: address.clone(),
        };
        rig.run(slots(&address));
        rig
    }

    fn run(&mut self, plans: Vec<SlotPlan>) {
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

    /// Waits until the links have returned; no result may be reported meanwhile.
    async fn ended(&mut self, within: Duration) {
        let ended = async {
            while let Some(report) = self.reports.recv().await {
                match report {
                    Report::Sample(sample) => panic!("after the end has begun: {sample:?}"),
                    Report::State { event, state, .. } => drop(self.stored.insert(event.to_string(), state)),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(within, ended).await.expect("the links return");
    }

    async fn next(&mut self) -> Report {
        tokio::time::timeout(PATIENCE, self.reports.recv())
            .await
            .expect("a report in time")
            .expect("a link that runs")
    }

    fn store(&mut self, event: &str, state: TriggerState) {
        self.stored.insert(event.to_owned(), state);
    }

    /// Answers what has to be stored until a sample comes; that is stored, its answer left open.
    async fn sample(&mut self) -> Box<Sample> {
        loop {
            match self.next().await {
                Report::Sample(mut sample) => {
                    if let Some(state) = sample.state.take() {
                        self.store("tightening", state);
                    }
                    return sample;
                }
                Report::State {
                    event, state, durable, ..
                } => {
                    self.store(&event, state);
                    durable.map(|durable| durable.send(()));
                }
                _ => {}
            }
        }
    }

    /// Until the slot is in this state; what else comes is stored and answered.
    async fn link(&mut self, slot: &str, wanted: LinkState) -> String {
        loop {
            match self.next().await {
                Report::Link {
                    slot: of,
                    state,
                    reason,
                    ..
                } if *of.slot == *slot && state == wanted => return reason,
                Report::State {
                    event, state, durable, ..
                } => {
                    self.store(&event, state);
                    durable.map(|durable| durable.send(()));
                }
                Report::Sample(sample) => {
                    sample.durable.map(|durable| durable.send(()));
                }
                _ => {}
            }
        }
    }

    async fn acked(&self, counter: u16) {
        let wait = async {
            while self.simulator.get(Table::Holding, 10) != counter {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the acknowledgement in time");
    }
}

fn check(sample: &Sample, counter: u16) {
    assert_eq!(sample.values[0], Some(Raw::Int(counter.into())));
    assert_eq!(
        sample.values[1],
        Some(Raw::F32(torque(counter).to_bits())),
        "torn at {counter}"
    );
}

fn answer(sample: Box<Sample>) {
    sample
        .durable
        .expect("an answer is wanted")
        .send(())
        .expect("somebody waits for it");
}

#[tokio::test]
async fn a_result_is_reported_then_acknowledged_once_it_is_durable() {
    let mut rig = Rig::start(|address| vec![plan("a", address, 1)]).await;
    rig.link("a", LinkState::Online).await;
    show(&rig.simulator, 7);
    let sample = rig.sample().await;
    check(&sample, 7);
    assert_eq!(sample.raw, "0007 4128 0000");
    assert!(sample.since.is_some());
    assert_eq!(rig.simulator.get(Table::Holding, 10), 0, "not before it is durable");
    answer(sample);
    rig.acked(7).await;
}

#[tokio::test]
async fn a_restart_between_commit_and_acknowledgement_acknowledges_and_does_not_repeat() {
    let mut rig = Rig::start(|address| vec![plan("a", address, 1)]).await;
    rig.link("a", LinkState::Online).await;
    show(&rig.simulator, 7);
    let sample = rig.sample().await;
    // It is stored (the rig keeps its state); then the process dies.
    rig.stop.cancel();
    drop(sample);
    assert_eq!(rig.simulator.get(Table::Holding, 10), 0);
    let address = rig.address.clone();
    rig.run(vec![plan("a", &address, 1)]);
    rig.acked(7).await;
    show(&rig.simulator, 8);
    let sample = rig.sample().await;
    check(&sample, 8);
    answer(sample);
    rig.acked(8).await;
}

fn faults() -> [Fault; 12] {
    [
        Fault::Delay(Duration::from_millis(300)),
        Fault::Silence,
        Fault::Short,
        Fault::WrongServer,
        Fault::WrongTransaction,
        Fault::Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Fault::Garbage(vec![0; 300]),
        Fault::Garbage(vec![0xFF; 9]),
        Fault::Close,
        Fault::CloseAfter,
        Fault::CloseWithin,
        Fault::Trickle(Duration::from_millis(40)),
    ]
}

#[tokio::test]
async fn every_fault_of_an_answer_ends_the_connection_and_another_is_made() {
    let mut rig = Rig::start(|address| vec![plan("a", address, 1)]).await;
    rig.link("a", LinkState::Online).await;
    for fault in faults() {
        rig.simulator.fail([fault.clone()]);
        let reason = rig.link("a", LinkState::Offline).await;
        assert!(
            reason.contains(&rig.address) && reason.contains("since") && reason.contains(sentence(&fault)),
            "{fault:?}: {reason}"
        );
        rig.link("a", LinkState::Online).await;
    }
}

fn sentence(fault: &Fault) -> &'static str {
    match fault {
        Fault::Delay(_) | Fault::Silence | Fault::Trickle(_) => "no answer within 150ms",
        Fault::Short => "asked for 3 of input:100, got 2",
        Fault::WrongServer | Fault::WrongTransaction => "another server or to another request",
        Fault::Close | Fault::CloseAfter | Fault::CloseWithin => "the connection",
        Fault::Garbage(_) => "",
        Fault::Exception(_) => "exception",
    }
}

#[tokio::test]
async fn a_result_survives_every_fault_and_no_answer_is_taken_for_another() {
    let mut rig = Rig::start(|address| vec![plan("a", address, 1)]).await;
    rig.link("a", LinkState::Online).await;
    for (counter, fault) in (1_u16..).zip(faults()) {
        // Once before the result is read, once while it is acknowledged.
        rig.simulator.fail([fault.clone()]);
        show(&rig.simulator, counter);
        let sample = rig.sample().await;
        check(&sample, counter);
        rig.simulator.fail([fault.clone()]);
        answer(sample);
        rig.acked(counter).await;
    }
}

#[tokio::test]
async fn exceptions_degrade_and_name_the_point_and_other_points_go_on() {
    let mut rig = Rig::start(|address| {
        let mut of = plan("a", address, 1);
        of.points.push(point("missing", Table::Input, 105, ModbusType::U16));
        of.events[0].points.push(3);
        vec![of]
    })
    .await;
    let reason = rig.link("a", LinkState::Degraded).await;
    for part in ["`missing`", "input:105", &rig.address.clone(), "exception 02"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
    show(&rig.simulator, 3);
    let sample = rig.sample().await;
    check(&sample, 3);
    assert_eq!(sample.values[3], None);
    answer(sample);
    rig.acked(3).await;
    // The firmware gets the register after all: the next result has it.
    rig.simulator.set(Table::Input, 103, &[1, 1, 1]);
    show(&rig.simulator, 4);
    rig.link("a", LinkState::Online).await;
    let sample = rig.sample().await;
    check(&sample, 4);
    assert_eq!(sample.values[3], Some(Raw::Int(1)));
}

#[tokio::test]
async fn a_busy_device_is_asked_again_and_nothing_is_lost() {
    let mut rig = Rig::start(|address| vec![plan("a", address, 1)]).await;
    rig.link("a", LinkState::Online).await;
    rig.simulator.fail(vec![Fault::Exception(6); 5]);
    show(&rig.simulator, 4);
    let sample = rig.sample().await;
    check(&sample, 4);
    rig.simulator.fail(vec![Fault::Exception(6); 5]);
    answer(sample);
    rig.acked(4).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_does_not_hold_up_the_other_on_its_link() {
    let mut rig = Rig::start(|address| vec![plan("dead", address, 9), plan("a", address, 1)]).await;
    rig.simulator.judge(|server, _| (server == 9).then_some(Fault::Silence));
    rig.link("a", LinkState::Online).await;
    for counter in 1..5 {
        show(&rig.simulator, counter);
        let sample = rig.sample().await;
        assert_eq!(&*sample.plan.slot.slot, "a");
        check(&sample, counter);
        answer(sample);
        rig.acked(counter).await;
    }
}

#[tokio::test]
async fn a_link_that_is_cut_at_any_request_loses_and_doubles_nothing() {
    let mut rig = Rig::start(|address| vec![plan("a", address, 1)]).await;
    rig.link("a", LinkState::Online).await;
    let cuts = Arc::new(Mutex::new(0_u64));
    let count = cuts.clone();
    rig.simulator.judge(move |_, _| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count % 7 {
            3 => Some(Fault::CloseAfter),
            5 => Some(Fault::CloseWithin),
            6 => Some(Fault::Close),
            _ => None,
        }
    });
    for counter in 1..12 {
        show(&rig.simulator, counter);
        let sample = rig.sample().await;
        check(&sample, counter);
        answer(sample);
        rig.acked(counter).await;
    }
    assert!(*cuts.lock().unwrap() > 20);
}

#[tokio::test]
async fn a_flag_that_reading_clears_is_read_alone_and_its_block_once_a_flag() {
    let mut rig = Rig::start(|address| {
        let mut of = plan("a", address, 1);
        of.points.push(point("new", Table::Input, 99, ModbusType::U16));
        let Address::Modbus(at) = &mut of.points[3].at else {
            panic!("a point of Modbus");
        };
        at.clears = true;
        let event = &mut of.events[0];
        event.triggers = vec![Trigger::Reads(3, Raw::Int(1))];
        event.points = vec![3, 0, 1];
        event.ack = None;
        event.id = vec![];
        vec![of]
    })
    .await;
    rig.simulator.set(Table::Input, 99, &[0]);
    rig.simulator.clears(Table::Input, 99);
    rig.link("a", LinkState::Online).await;
    for counter in 1..6_u16 {
        // Every other time the link breaks while the block is read: the flag is gone, but not forgotten.
        let (mut raised, breaks) = (counter % 2 != 0, Arc::new(AtomicBool::new(false)));
        let breaks_now = breaks.clone();
        let mut done = raised;
        rig.simulator.on_request(move |image, _| {
            let flag = image.get(Table::Input, 99) == Some(1);
            breaks.store(raised && !flag && !done, SeqCst);
            done |= raised && !flag;
            raised |= flag;
        });
        rig.simulator
            .judge(move |_, _| breaks_now.load(SeqCst).then_some(Fault::Close));
        show(&rig.simulator, counter);
        rig.simulator.set(Table::Input, 99, &[1]);
        let sample = rig.sample().await;
        check(&sample, counter);
        assert_eq!(sample.values[3], Some(Raw::Int(1)));
        answer(sample);
    }
}

#[tokio::test]
async fn nobody_listens_there() {
    let (sender, reports) = mpsc::channel(8);
    let mut rig = Rig::start(|_| Vec::new()).await;
    rig.tasks.shutdown().await;
    rig.reports = reports;
    let start = SlotStart {
        plan: Arc::new(plan("a", &rig.address, 1)),
        states: HashMap::new(),
    };
    rig.tasks.spawn(run_link(
        vec![start],
        sender,
        Clock::machine(),
        rig.stop.clone(),
        service().1,
    ));
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(reason.contains("refuses the connection"), "{reason}");
    rig.stop.cancel();
    tokio::time::timeout(PATIENCE, rig.tasks.join_next())
        .await
        .expect("it stops")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_link_that_is_to_end_acknowledges_what_becomes_durable_and_begins_nothing_new() {
    let mut rig = Rig::start(|address| vec![plan("a", address, 1), plan("dead", address, 9)]).await;
    rig.link("a", LinkState::Online).await;
    rig.simulator.judge(|server, _| (server == 9).then_some(Fault::Silence));
    show(&rig.simulator, 7);
    let sample = rig.sample().await;
    rig.ending.cancel();
    // It is not asked any more: the next result waits for the next run.
    show(&rig.simulator, 8);
    assert_eq!(rig.simulator.get(Table::Holding, 10), 0, "not before it is durable");
    answer(sample);
    rig.ended(AT_ONCE).await;
    assert_eq!(
        rig.simulator.get(Table::Holding, 10),
        7,
        "acknowledged before it returned"
    );
    let address = rig.address.clone();
    rig.run(vec![plan("a", &address, 1)]);
    let sample = rig.sample().await;
    check(&sample, 8);
    answer(sample);
    rig.acked(8).await;
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_acknowledged_at_the_end_and_comes_again() {
    let mut rig = Rig::start(|address| vec![plan("a", address, 1)]).await;
    rig.link("a", LinkState::Online).await;
    show(&rig.simulator, 7);
    let before = rig.stored.clone();
    let sample = rig.sample().await;
    rig.stored = before;
    rig.ending.cancel();
    drop(sample);
    rig.ended(AT_ONCE).await;
    assert_eq!(rig.simulator.get(Table::Holding, 10), 0);
    let address = rig.address.clone();
    rig.run(vec![plan("a", &address, 1)]);
    let sample = rig.sample().await;
    check(&sample, 7);
    answer(sample);
    rig.acked(7).await;
}

#[tokio::test]
async fn a_result_whose_flag_was_cleared_by_reading_is_read_to_its_end() {
    let mut rig = Rig::start(|address| {
        let mut of = plan("a", address, 1);
        of.points.push(point("new", Table::Input, 99, ModbusType::U16));
        let Address::Modbus(at) = &mut of.points[3].at else {
            panic!("a point of Modbus");
        };
        at.clears = true;
        let event = &mut of.events[0];
        event.triggers = vec![Trigger::Reads(3, Raw::Int(1))];
        event.points = vec![3, 0, 1];
        vec![of]
    })
    .await;
    rig.simulator.set(Table::Input, 99, &[0]);
    rig.simulator.clears(Table::Input, 99);
    rig.link("a", LinkState::Online).await;
    let (ending, mut raised) = (rig.ending.clone(), false);
    rig.simulator.on_request(move |image, _| {
        let flag = image.get(Table::Input, 99) == Some(1);
        if raised && !flag {
            ending.cancel();
        }
        raised = flag;
    });
    show(&rig.simulator, 7);
    rig.simulator.set(Table::Input, 99, &[1]);
    let sample = rig.sample().await;
    assert!(rig.ending.is_cancelled());
    check(&sample, 7);
    answer(sample);
    rig.ended(AT_ONCE).await;
    assert_eq!(rig.simulator.get(Table::Holding, 10), 7);
}

/// holding:11 ready; holding:10 is set, then taken back when `ready` has fallen.
fn handshake(address: &str) -> SlotPlan {
    let mut of = plan("a", address, 1);
    of.points.push(point("ready", Table::Holding, 11, ModbusType::U16));
    let event = &mut of.events[0];
    event.triggers = vec![Trigger::Rises(3)];
    event.points = vec![3, 0, 1];
    event.ack = Some(Ack {
        write: 2,
        value: AckValue::Value(Raw::Int(1)),
        then: Some(Raw::Int(0)),
        timeout: Duration::from_secs(30),
    });
    of
}

#[tokio::test]
async fn a_trigger_that_has_not_fallen_is_not_waited_for_at_the_end_and_the_handshake_goes_on_after_it() {
    let mut rig = Rig::start(|address| vec![handshake(address)]).await;
    rig.simulator.set(Table::Holding, 11, &[0]);
    rig.link("a", LinkState::Online).await;
    show(&rig.simulator, 7);
    rig.simulator.set(Table::Holding, 11, &[1]);
    let sample = rig.sample().await;
    check(&sample, 7);
    answer(sample);
    rig.acked(1).await;
    rig.ending.cancel();
    rig.ended(AT_ONCE).await;
    assert_eq!(rig.simulator.get(Table::Holding, 10), 1);
    let address = rig.address.clone();
    rig.run(vec![handshake(&address)]);
    rig.simulator.set(Table::Holding, 11, &[0]);
    let mut fallen = None;
    while fallen.is_none() {
        match rig.next().await {
            Report::Sample(sample) => panic!("once more: {sample:?}"),
            Report::State { durable, .. } => fallen = durable,
            _ => {}
        }
    }
    // That the trigger fell becomes durable after the end has begun.
    rig.ending.cancel();
    fallen.unwrap().send(()).unwrap();
    rig.ended(AT_ONCE).await;
    assert_eq!(rig.simulator.get(Table::Holding, 10), 0);
}

#[tokio::test]
async fn a_link_that_is_idle_or_not_connected_returns_at_once() {
    let mut rig = Rig::start(|address| vec![plan("a", address, 1), plan("b", address, 2)]).await;
    rig.link("b", LinkState::Online).await;
    rig.ending.cancel();
    rig.ended(AT_ONCE).await;
    rig.tasks.shutdown().await;
    let address = rig.address.clone();
    rig.run(vec![plan("a", &address, 1)]);
    rig.link("a", LinkState::Offline).await;
    rig.ending.cancel();
    rig.ended(AT_ONCE).await;
}
