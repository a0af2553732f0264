//! Modbus on a serial line: one that is silent, late or garbled harms no other, and no value ever stands under another's
//! name, though nothing in an answer says to which request it is one.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/modbus.rs"]
mod modbus;

use lineside::clock::Clock;
use lineside::device::modbus::simulator::{Fault, Simulator};
use lineside::device::tap::service;
use lineside::device::{SlotStart, run_link};
use lineside::model::plan::*;
use lineside::model::sample::{LinkState, Report};
use lineside::model::{Raw, SlotName};
use lineside::wire::modbus::frame;
use modbus::point;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_millis(60);

/// Two registers far apart, so that they come by two requests of the same shape: the trap of a late answer.
const PLACES: [u16; 2] = [100, 500];

/// This server refuses large requests.
const SMALL: u8 = 9;

fn plan(address: &str, server: u8) -> SlotPlan {
    SlotPlan {
        slot: SlotName::new("st10", &format!("s{server}")),
        link: Link::Modbus(ModbusLink {
            address: address.to_owned(),
            transport: ModbusTransport::RtuOverTcp,
            server_id: server,
            poll: Duration::from_millis(10),
            timeout: LIMIT,
            max_registers: 125,
            max_bits: 2000,
            max_gap: 8,
        }),
        points: PLACES
            .iter()
            .map(|at| point(&format!("p{at}"), Table::Holding, *at, ModbusType::U16))
            .collect(),
        events: vec![EventPlan {
            name: "readings".into(),
            triggers: vec![Trigger::Every(Duration::from_millis(10))],
            points: vec![0, 1],
            id: vec![],
            ack: None,
            stable: 0,
            on_start: OnStart::Baseline,
            keep: Keep::Latest,
            ring: None,
            repeat: None,
            counted: false,
            fingerprint: "f".into(),
        }],
        notices: Vec::new(),
        alive: None,
    }
}

/// What stands in a register: whose and which.
fn value(server: u8, address: u16) -> u16 {
    u16::from(server) * 1000 + address
}

/// A line of servers behind a serial server: everybody hears every request, answers come when they come.
struct Line {
    servers: BTreeMap<u8, Simulator>,
    address: String,
    tasks: JoinSet<()>,
    reports: mpsc::Receiver<Report>,
    /// How each server was last said to be, and why.
    told: BTreeMap<u8, (LinkState, String)>,
}

fn server(slot: &SlotName) -> u8 {
    slot.slot.trim_start_matches('s').parse().unwrap()
}

impl Line {
    async fn start(ids: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut servers = BTreeMap::new();
        for id in ids {
            let server = Simulator::new();
            for at in PLACES {
                server.set(Table::Holding, at, &[value(*id, at)]);
            }
            servers.insert(*id, server);
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(hub(listener, servers.clone()));
        let (sender, reports) = mpsc::channel(256);
        let starts = ids.iter().map(|id| SlotStart {
            plan: Arc::new(plan(&address, *id)),
            states: HashMap::new(),
        });
        let link = run_link(
            starts.collect(),
            sender,
            Clock::machine(),
            CancellationToken::new(),
            service().1,
        );
        tasks.spawn(link);
        Self {
            servers,
            address,
            tasks,
            reports,
            told: BTreeMap::new(),
        }
    }

    async fn next(&mut self) -> Report {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
        let report = report.expect("a report in time").expect("a link that runs");
        if let Report::Link {
            slot, state, reason, ..
        } = &report
        {
            self.told.insert(server(slot), (*state, reason.clone()));
        }
        report
    }

    /// Readings by server until every one of `wanted` has this many; each value is checked.
    async fn readings(&mut self, wanted: &[u8], number: usize) -> BTreeMap<u8, usize> {
        let mut seen: BTreeMap<u8, usize> = BTreeMap::new();
        while wanted.iter().any(|id| seen.get(id).copied().unwrap_or(0) < number) {
            if let Report::Sample(sample) = self.next().await {
                let id = server(&sample.plan.slot);
                for (at, got) in PLACES.iter().zip(&sample.values) {
                    if let Some(got) = got {
                        assert_eq!(*got, Raw::Int(i64::from(value(id, *at))), "server {id}, register {at}");
                    }
                }
                if sample.values.iter().all(Option::is_some) {
                    *seen.entry(id).or_default() += 1;
                }
            }
        }
        seen
    }

    /// Why `server` is `wanted`, once it is.
    async fn told(&mut self, server: u8, wanted: LinkState) -> String {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some((state, reason)) = self.told.get(&server)
                && *state == wanted
            {
                return reason.clone();
            }
            assert!(
                tokio::time::Instant::now() < end,
                "{server} is not {wanted:?}: {:?}",
                self.told
            );
            self.next().await;
        }
    }
}

async fn hub(listener: TcpListener, servers: BTreeMap<u8, Simulator>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (sender, mut answers) = mpsc::channel::<Vec<u8>>(64);
        let mut turns = JoinSet::new();
        let mut bytes = Vec::new();
        loop {
            while let Some((request, _)) = frame::take_rtu_request(&mut bytes) {
                if request.server == SMALL && request.pdu[4] > 12 {
                    // Illegal data value: it takes 12 registers at most.
                    let refusal = frame::rtu(SMALL, &[request.pdu[0] | 0x80, 3]);
                    drop(sender.send(refusal).await);
                } else if let Some(server) = servers.get(&request.server).cloned() {
                    let sender = sender.clone();
                    turns.spawn(async move {
                        if let Some(answer) = server.answer(request.server, &request.pdu).await {
                            drop(sender.send(answer).await);
                        }
                    });
                }
            }
            tokio::select! {
                read = stream.read_buf(&mut bytes) => if !matches!(read, Ok(1..)) { break },
                Some(answer) = answers.recv() => if stream.write_all(&answer).await.is_err() { break },
            }
        }
    }
}

#[tokio::test]
async fn servers_of_one_line_are_read_in_turn_each_under_its_own_name() {
    let mut line = Line::start(&[1, 2, 3]).await;
    line.readings(&[1, 2, 3], 20).await;
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_requests() {
    let mut line = Line::start(&[1, 2]).await;
    line.readings(&[1, 2], 3).await;
    for round in 0..12u32 {
        // Late by more and more, so that it falls into every phase of what is asked next.
        let late = LIMIT + Duration::from_millis(u64::from(round) * 7);
        line.servers[&1].fail([Fault::Delay(late)]);
        line.readings(&[1, 2], 3).await;
    }
}

#[tokio::test]
async fn a_server_that_is_always_late_is_told_so_and_the_others_go_on() {
    let mut line = Line::start(&[1, 2, 3]).await;
    line.servers[&2].judge(|_, _| Some(Fault::Delay(LIMIT + Duration::from_millis(25))));
    let seen = line.readings(&[1, 3], 60).await;
    assert_eq!(seen.get(&2), None, "nothing of it can be believed");
    let reason = line.told(2, LinkState::Offline).await;
    for part in ["no answer within", "raise `timeout`", line.address.as_str()] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
}

#[tokio::test]
async fn a_dead_server_costs_its_time_out_and_then_backs_off() {
    let mut line = Line::start(&[1, 2]).await;
    line.servers[&2].judge(|_, _| Some(Fault::Silence));
    let reason = line.told(2, LinkState::Offline).await;
    assert!(reason.contains("no answer within 60ms"), "{reason}");
    let before = line.servers[&2].requests();
    let seen = line.readings(&[1], 100).await;
    let tries = line.servers[&2].requests() - before;
    assert_eq!(seen.len(), 1);
    assert!(tries <= 12, "{tries} tries while the other was read 100 times");
    assert_eq!(line.told[&2].0, LinkState::Offline, "online without an answer");
    line.servers[&2].judge(|_, _| None);
    line.readings(&[2], 3).await;
}

#[tokio::test]
async fn garbage_and_half_answers_are_counted_and_the_next_request_finds_its_way() {
    let mut line = Line::start(&[1, 2]).await;
    line.readings(&[1, 2], 2).await;
    let mut broken = frame::rtu(1, &[3, 2, 0, 1]);
    broken[3] ^= 4;
    let faults = [
        Fault::Garbage(vec![0xFF; 9]),
        Fault::Garbage(broken),
        Fault::Garbage(vec![1, 3, 2]),
        Fault::Garbage(frame::rtu(1, &[4, 2, 0, 1])),
        Fault::WrongServer,
        Fault::Short,
        Fault::Silence,
    ];
    for fault in faults {
        line.servers[&1].fail([fault]);
        line.readings(&[1, 2], 2).await;
    }
    drop(line.tasks);
}

#[tokio::test]
async fn the_largest_request_of_a_server_is_found_out_once_for_all_its_slots() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Simulator::new();
    let words: Vec<u16> = (0..80).map(|at| value(SMALL, at)).collect();
    server.set(Table::Holding, 0, &words);
    let mut tasks = JoinSet::new();
    tasks.spawn(hub(listener, BTreeMap::from([(SMALL, server.clone())])));
    let wide = |name: &str, from: u16| {
        let mut plan = plan(&address, SMALL);
        plan.slot = SlotName::new("st10", name);
        plan.points = (from..from + 40)
            .map(|at| point(&format!("p{at}"), Table::Holding, at, ModbusType::U16))
            .collect();
        plan.events[0].points = (0..40).collect();
        SlotStart {
            plan: Arc::new(plan),
            states: HashMap::new(),
        }
    };
    let (sender, mut reports) = mpsc::channel(256);
    let starts = vec![wide("a", 0), wide("b", 40)];
    tasks.spawn(run_link(
        starts,
        sender,
        Clock::machine(),
        CancellationToken::new(),
        service().1,
    ));
    let mut whole: BTreeMap<String, u32> = BTreeMap::new();
    while ["a", "b"]
        .iter()
        .any(|name| whole.get(*name).is_none_or(|seen| *seen < 5))
    {
        let report = tokio::time::timeout(PATIENCE, reports.recv())
            .await
            .expect("in time")
            .unwrap();
        let Report::Sample(sample) = report else { continue };
        let from = if &*sample.plan.slot.slot == "a" { 0 } else { 40 };
        for (at, got) in (from..).zip(&sample.values) {
            if let Some(got) = got {
                assert_eq!(*got, Raw::Int(i64::from(value(SMALL, at))));
            }
        }
        if sample.values.iter().all(Option::is_some) {
            *whole.entry(sample.plan.slot.slot.to_string()).or_default() += 1;
        }
    }
    // 40, 20, 10 at a time; what slot a found out slot b need not.
    let before = server.requests();
    for _ in 0..20 {
        tokio::time::timeout(PATIENCE, reports.recv())
            .await
            .expect("in time")
            .unwrap();
    }
    let each = (server.requests() - before) / 20;
    assert!(each <= 5, "{each} requests a reading");
}
