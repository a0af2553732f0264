//! Links of lines and frames against a simulated device that misbehaves: nothing is torn, doubled, lost or answered
//! before it is durable.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use lineside::clock::Clock;
use lineside::device::framed::simulator::{Fault, Simulator};
use lineside::device::tap::{Probe, service};
use lineside::device::{SlotStart, group, run_link};
use lineside::model::plan::*;
use lineside::model::sample::{Counted, LinkState, Report};
use lineside::model::{Raw, Sample, SlotName};
use lineside::record::What;
use lineside::wire::framed::encode;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
/// Where nothing is to be waited for; machines under test are busy.
const AT_ONCE: Duration = Duration::from_secs(2);
const ACK: &[u8] = b"\x06";

fn point(name: &str, kind: TextKind) -> PointPlan {
    PointPlan {
        name: name.into(),
        at: Address::Frame(FramePoint {
            place: FramePlace::Group(name.into()),
            kind,
        }),
        invalid: Vec::new(),
        deadband: None,
    }
}

/// A wrench: STX seq,torque checksum CR LF; `HELLO` is no news.
fn link(address: &str) -> FramedLink {
    FramedLink {
        address: address.to_owned(),
        transport: ByteTransport::TcpClient,
        timeout: Duration::from_millis(200),
        frame: FramePlan {
            start: vec![2],
            end: b"\r\n".to_vec(),
            lengths: Vec::new(),
            checksum: Checksum::Sum8,
            checksum_at: ChecksumAt::BeforeEnd,
            idle: Some(Duration::from_millis(300)),
            max: 200,
        },
        parse: ParsePlan {
            pattern: Some(r"^(?<seq>\d+),(?<torque>.*)$".into()),
            ignore: Some("^HELLO$".into()),
            separator: None,
        },
        poll: None,
        reply: None,
    }
}

fn plan(link: FramedLink) -> SlotPlan {
    SlotPlan {
        slot: SlotName::new("st10", "wrench"),
        link: Link::Framed(link),
        points: vec![point("seq", TextKind::U32), point("torque", TextKind::Decimal)],
        events: vec![EventPlan {
            name: "tightening".into(),
            triggers: vec![Trigger::Said(Said::Frame)],
            points: vec![0, 1],
            id: vec![0],
            ack: None,
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

fn line(content: &str) -> Vec<u8> {
    encode(&link("").frame, content.as_bytes())
}

/// A link that runs, and what it reports.
struct Rig {
    tasks: JoinSet<()>,
    reports: mpsc::Receiver<Report>,
    probe: Probe,
    stop: CancellationToken,
    ending: CancellationToken,
    /// What was counted while something else was waited for.
    counted: HashMap<Counted, u64>,
}

impl Rig {
    fn run(plan: SlotPlan) -> Self {
        let (sender, reports) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let (probe, service) = service();
        let ending = service.ending.clone();
        let start = SlotStart {
            plan: Arc::new(plan),
            states: HashMap::new(),
        };
        let mut tasks = JoinSet::new();
        let slots = group(vec![start]).pop().unwrap();
        tasks.spawn(run_link(slots, sender, Clock::machine(), stop.clone(), service));
        Self {
            tasks,
            reports,
            probe,
            stop,
            ending,
            counted: HashMap::new(),
        }
    }

    /// With a device that is connected.
    async fn start(change: impl FnOnce(&mut SlotPlan)) -> (Self, Simulator) {
        let (simulator, local, serve) = Simulator::bind("127.0.0.1:0").await.unwrap();
        let mut plan = plan(link(&local.to_string()));
        change(&mut plan);
        let polls = matches!(&plan.link, Link::Framed(link) if link.poll.is_some());
        let quiet = polls || plan.alive.is_some();
        let mut rig = Self::run(plan);
        rig.tasks.spawn(serve);
        if !quiet {
            rig.link(LinkState::Online).await;
        }
        simulator.connected(1).await;
        (rig, simulator)
    }

    /// Waits until the link has returned; nothing may be reported meanwhile.
    async fn ended(&mut self) {
        let report = tokio::time::timeout(AT_ONCE, self.reports.recv()).await;
        assert!(report.expect("the link returns").is_none());
    }

    async fn next(&mut self) -> Report {
        loop {
            let report = tokio::time::timeout(PATIENCE, self.reports.recv());
            match report.await.expect("a report in time").expect("a link that runs") {
                Report::Counted { what, number, .. } => *self.counted.entry(what).or_default() += number,
                report => return report,
            }
        }
    }

    async fn sample(&mut self) -> Sample {
        match self.next().await {
            Report::Sample(sample) => *sample,
            other => panic!("{other:?}"),
        }
    }

    async fn link(&mut self, wanted: LinkState) -> String {
        match self.next().await {
            Report::Link { state, reason, .. } if state == wanted => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until so many were counted; nothing else may be reported.
    async fn count(&mut self, wanted: Counted, number: u64) {
        while self.counted.get(&wanted).copied().unwrap_or(0) < number {
            let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
            match report.expect("a count in time").expect("a link that runs") {
                Report::Counted { what, number, .. } => *self.counted.entry(what).or_default() += number,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.counted.get(&wanted), Some(&number));
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside what was read")]
fn torque(text: &str) -> Option<Raw> {
    Some(Raw::Dec(text.parse().unwrap()))
}

fn reply(plan: &mut SlotPlan) {
    let Link::Framed(link) = &mut plan.link else { return };
    link.reply = Some(ACK.to_vec());
}

fn store(sample: &mut Sample) {
    sample.durable.take().expect("a device that waits").send(()).unwrap();
}

/// Waits until the device was answered so often.
async fn answered(simulator: &Simulator, times: usize) {
    let waiting = async {
        while simulator.answered(ACK) < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("an answer in time");
    assert_eq!(simulator.answered(ACK), times);
}

#[tokio::test]
async fn frames_become_samples_and_what_is_none_is_counted_or_put_aside() {
    let (mut rig, device) = Rig::start(|_| {}).await;
    device.fail([Fault::Noise(b"\xFFxx".to_vec())]);
    device.send(&line("7,1.50")).await;
    let sample = rig.sample().await;
    assert_eq!(sample.values, [Some(Raw::Int(7)), torque("1.5")]);
    assert_eq!(sample.raw, "\\x027,1.5027\\x0d\\x0a");
    assert!(sample.faults.is_empty() && sample.durable.is_none());
    assert_eq!(sample.since, Some(sample.seen));
    assert_eq!(rig.counted.get(&Counted::Noise), Some(&3));
    // Half a frame, and a whole one behind it.
    device.fail([Fault::Half]);
    device.send(&line("8,1.50")).await;
    device.send(&line("9,1.50")).await;
    assert_eq!(rig.sample().await.values[0], Some(Raw::Int(9)));
    assert_eq!(rig.counted.get(&Counted::Noise), Some(&8));
    // Half a frame, and silence.
    device.fail([Fault::Half]);
    device.send(&line("8,1.50")).await;
    rig.count(Counted::Noise, 13).await;
    // Damaged on its way; no number; no frame of this device; no news.
    device.fail([Fault::Garble]);
    device.send(&line("10,1.50")).await;
    let sample = rig.sample().await;
    assert!(sample.faults[0].starts_with("its check sum is"), "{:?}", sample.faults);
    assert_eq!(sample.values, [None, None]);
    device.send(&line("11,1x")).await;
    let sample = rig.sample().await;
    assert_eq!(sample.faults, ["`torque`: `1x` is no decimal"]);
    assert_eq!(sample.values, [Some(Raw::Int(11)), None]);
    device.send(&line("rubbish")).await;
    let sample = rig.sample().await;
    assert!(
        sample.faults[0].starts_with("`rubbish` does not match"),
        "{:?}",
        sample.faults
    );
    device.send(&line("HELLO")).await;
    rig.count(Counted::Ignored, 1).await;
    // Byte by byte.
    device.fail([Fault::Trickle(Duration::from_millis(2)), Fault::Duplicate]);
    device.send(&line("12,1")).await;
    device.send(&line("13,1")).await;
    for seq in [12, 13, 13] {
        assert_eq!(rig.sample().await.values[0], Some(Raw::Int(seq)));
    }
}

#[tokio::test]
async fn the_device_is_answered_in_order_and_only_for_what_is_durable() {
    let (mut rig, device) = Rig::start(reply).await;
    device.send(&line("1,1")).await;
    device.send(&line("2,1")).await;
    let (mut first, mut second) = (rig.sample().await, rig.sample().await);
    store(&mut second);
    // A frame goes by, so that an answer would have been there.
    device.send(&line("3,1")).await;
    let third = rig.sample().await;
    assert_eq!(device.heard(), b"");
    store(&mut first);
    answered(&device, 2).await;
    // What could not be stored is not answered, and said again.
    drop(third);
    let insists = {
        let device = device.clone();
        rig.tasks.spawn(async move {
            device.insist(&line("3,1"), ACK, Duration::from_millis(50)).await;
        })
    };
    let mut again = [rig.sample().await, rig.sample().await];
    for sample in &mut again {
        assert_eq!(sample.values[0], Some(Raw::Int(3)));
        store(sample);
    }
    tokio::time::timeout(PATIENCE, async {
        while !insists.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("an answer that ends it");
    // No news has nothing to be stored.
    let before = device.answered(ACK);
    device.send(&line("HELLO")).await;
    rig.count(Counted::Ignored, 1).await;
    answered(&device, before + 1).await;
}

#[tokio::test]
async fn a_device_that_insists_on_a_fault_is_put_aside_once() {
    let (mut rig, device) = Rig::start(reply).await;
    for _ in 0..3 {
        device.send(&line("rubbish")).await;
    }
    let mut sample = rig.sample().await;
    rig.count(Counted::Duplicate, 2).await;
    assert_eq!(device.heard(), b"");
    store(&mut sample);
    answered(&device, 3).await;
    // A frame that was damaged is not answered: the device says it again, whole.
    device.fail([Fault::Garble]);
    device.send(&line("5,1")).await;
    store(&mut rig.sample().await);
    device.send(&line("5,1")).await;
    let mut whole = rig.sample().await;
    assert!(whole.faults.is_empty());
    store(&mut whole);
    answered(&device, 4).await;
}

#[tokio::test]
async fn the_same_again_within_repeat_is_one_and_answered() {
    let (mut rig, device) = Rig::start(|plan| {
        reply(plan);
        plan.events[0].repeat = Some(Duration::from_secs(10));
    })
    .await;
    device.send(&line("1,1")).await;
    device.send(&line("1,1")).await;
    let mut sample = rig.sample().await;
    rig.count(Counted::Duplicate, 1).await;
    assert_eq!(device.heard(), b"");
    store(&mut sample);
    answered(&device, 2).await;
    device.send(&line("2,1")).await;
    assert_eq!(rig.sample().await.values[0], Some(Raw::Int(2)));
}

#[tokio::test]
async fn what_waits_for_its_answer_is_bounded_and_nothing_is_lost() {
    const FRAMES: i64 = 500;
    let (mut rig, device) = Rig::start(reply).await;
    for seq in 0..FRAMES {
        device.send(&line(&format!("{seq},1"))).await;
        tokio::task::yield_now().await;
    }
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    // Nothing is answered: it stops to listen by itself.
    while let Ok(report) = tokio::time::timeout(Duration::from_millis(500), rig.next()).await {
        let Report::Sample(mut sample) = report else {
            panic!("{report:?}")
        };
        waiting.push(sample.durable.take().unwrap());
    }
    let held = waiting.len();
    assert!((64..500).contains(&held), "{held}");
    for durable in waiting {
        durable.send(()).unwrap();
    }
    for seq in held..usize::try_from(FRAMES).unwrap() {
        let mut sample = rig.sample().await;
        assert_eq!(sample.values[0], Some(Raw::Int(i64::try_from(seq).unwrap())));
        // Nobody listened when the first of them came.
        if seq == held {
            assert!(sample.since.unwrap().tick < sample.seen.tick);
        }
        store(&mut sample);
    }
    answered(&device, usize::try_from(FRAMES).unwrap()).await;
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_again() {
    let (mut rig, device) = Rig::start(|_| {}).await;
    for seq in 0..3 {
        device.cut();
        let reason = rig.link(LinkState::Offline).await;
        assert!(reason.contains("the device closed the connection"), "{reason}");
        rig.link(LinkState::Online).await;
        device.connected(1).await;
        device.send(&line(&format!("{seq},1"))).await;
        assert_eq!(rig.sample().await.values[0], Some(Raw::Int(seq)));
    }
    // Broken off within a frame: no half of it meets another.
    device.fail([Fault::Restart]);
    device.send(&line("9,1")).await;
    rig.link(LinkState::Offline).await;
    rig.link(LinkState::Online).await;
    device.connected(1).await;
    device.send(&line("10,1")).await;
    assert_eq!(rig.sample().await.values[0], Some(Raw::Int(10)));
    assert!(rig.counted[&Counted::Noise] > 0);
}

#[tokio::test]
async fn a_device_that_is_asked_is_offline_when_it_does_not_answer() {
    let (mut rig, device) = Rig::start(|plan| {
        let Link::Framed(link) = &mut plan.link else { return };
        link.poll = Some(FramePoll {
            send: b"?\r".to_vec(),
            every: Duration::from_millis(10),
        });
    })
    .await;
    let reason = rig.link(LinkState::Offline).await;
    assert!(reason.contains("no answer within 200ms"), "{reason}");
    let mut number = 0;
    device.on_bytes(move |asked| {
        assert!(asked.ends_with(b"?\r"));
        number += 1;
        Some(line(&format!("{number},1")))
    });
    assert_eq!(rig.sample().await.values[0], Some(Raw::Int(1)));
    rig.link(LinkState::Online).await;
    assert_eq!(rig.sample().await.values[0], Some(Raw::Int(2)));
    device.on_bytes(|_| None);
    loop {
        match rig.next().await {
            Report::Sample(_) => {}
            Report::Link { state, .. } => {
                assert_eq!(state, LinkState::Offline);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A gateway that listens, and where.
async fn listening(change: impl FnOnce(&mut SlotPlan)) -> (Rig, String) {
    let mut plan = plan(FramedLink {
        transport: ByteTransport::TcpServer,
        ..link("127.0.0.1:0")
    });
    change(&mut plan);
    let mut rig = Rig::run(plan);
    let reason = rig.link(LinkState::Offline).await;
    let (_, at) = reason.split_once("the gateway listens at ").unwrap();
    let address = at.split(' ').next().unwrap().to_owned();
    (rig, address)
}

#[tokio::test]
async fn a_device_may_connect_and_connect_again_while_the_old_connection_stands() {
    let (mut rig, address) = listening(reply).await;
    let mut old = TcpStream::connect(&address).await.unwrap();
    rig.link(LinkState::Online).await;
    old.write_all(&line("1,1")).await.unwrap();
    assert_eq!(rig.sample().await.values[0], Some(Raw::Int(1)));
    // Who connects and says nothing changes nothing.
    drop(TcpStream::connect(&address).await.unwrap());
    old.write_all(&line("2,1")).await.unwrap();
    assert_eq!(rig.sample().await.values[0], Some(Raw::Int(2)));
    let mut new = TcpStream::connect(&address).await.unwrap();
    new.write_all(&line("3,1")).await.unwrap();
    let mut sample = rig.sample().await;
    assert_eq!(sample.values[0], Some(Raw::Int(3)));
    store(&mut sample);
    let mut got = [0; 1];
    new.read_exact(&mut got).await.unwrap();
    assert_eq!(got, ACK);
    // The old connection was closed, nothing more.
    assert_eq!(old.read(&mut got).await.unwrap_or(0), 0);
    drop(new);
    rig.link(LinkState::Offline).await;
    let device = Simulator::new();
    let line_of = device.connect(&address).await.unwrap();
    rig.tasks.spawn(async move { drop(line_of.await) });
    rig.link(LinkState::Online).await;
    device.connected(1).await;
    device.send(&line("4,1")).await;
    assert_eq!(rig.sample().await.values[0], Some(Raw::Int(4)));
}

#[tokio::test]
async fn two_gateways_cannot_listen_at_one_address() {
    let (_first, address) = listening(|_| {}).await;
    let mut second = Rig::run(plan(FramedLink {
        transport: ByteTransport::TcpServer,
        ..link(&address)
    }));
    let reason = second.link(LinkState::Offline).await;
    assert!(reason.contains("another program listens there"), "{reason}");
}

#[tokio::test]
async fn a_look_shows_the_last_frame_and_a_tap_every_byte() {
    let (mut rig, device) = Rig::start(|_| {}).await;
    let slot = SlotName::new("st10", "wrench");
    let nothing = rig.probe.look(&slot, false).await.unwrap();
    assert!(nothing.faults[0].contains("has said nothing yet"));
    let mut bytes = rig.probe.exchanges();
    device.send(&line("7,1.50")).await;
    rig.sample().await;
    let reading = rig.probe.look(&slot, false).await.unwrap();
    assert_eq!(reading.values, [Some(Raw::Int(7)), torque("1.5")]);
    assert_eq!(reading.words, ["7", "1.50"]);
    assert_eq!(reading.faults, Vec::<String>::new());
    assert_eq!(bytes.recv().await.unwrap(), What::In(line("7,1.50")));
    device.cut();
    rig.link(LinkState::Offline).await;
    let mut lost = bytes.recv().await.unwrap();
    while let What::In(_) = lost {
        lost = bytes.recv().await.unwrap();
    }
    assert_eq!(lost, What::Link("the device closed the connection".to_owned()));
}

#[tokio::test]
async fn a_flood_of_garbage_is_counted_and_the_frame_behind_it_found() {
    let (mut rig, address) = listening(|_| {}).await;
    let mut device = TcpStream::connect(&address).await.unwrap();
    rig.link(LinkState::Online).await;
    // No start among it: all of it is noise.
    let garbage: Vec<u8> = (0..1_000_000_u32)
        .map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap() | 0x80)
        .collect();
    let whole = line("1,1");
    let writing = async {
        device.write_all(&garbage).await.unwrap();
        device.write_all(&whole).await.unwrap();
    };
    let ((), sample) = tokio::join!(writing, rig.sample());
    assert_eq!(sample.values[0], Some(Raw::Int(1)));
    assert_eq!(rig.counted[&Counted::Noise], 1_000_000);
    // Nothing but starts.
    let starts = vec![2; 1_000_000];
    let writing = async {
        device.write_all(&starts).await.unwrap();
        device.write_all(&whole).await.unwrap();
    };
    let ((), sample) = tokio::join!(writing, rig.sample());
    assert_eq!(sample.values[0], Some(Raw::Int(1)));
    assert_eq!(rig.counted[&Counted::Noise], 2_000_000);
    rig.stop.cancel();
    while let Ok(Some(ended)) = tokio::time::timeout(PATIENCE, rig.tasks.join_next()).await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_life_sign_that_stands_still_is_told() {
    let (mut rig, device) = Rig::start(|plan| {
        plan.alive = Some(Alive {
            point: 0,
            within: Duration::from_millis(100),
        });
    })
    .await;
    let reason = rig.link(LinkState::Degraded).await;
    assert!(
        reason.contains("`seq` has not changed for more than 100 ms"),
        "{reason}"
    );
    device.send(&line("1,1")).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(match rig.next().await {
            Report::Link { state, .. } => state.word(),
            Report::Sample(_) => "sample",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["online", "sample", "degraded"]);
}

#[tokio::test]
async fn a_link_that_is_to_end_answers_what_becomes_durable_and_half_a_frame_is_heard_out() {
    let (mut rig, device) = Rig::start(reply).await;
    device.send(&line("1,1")).await;
    let mut first = rig.sample().await;
    let mut bytes = rig.probe.exchanges();
    device.fail([Fault::Half]);
    let whole = line("2,1");
    device.send(&whole).await;
    bytes.recv().await.unwrap();
    rig.ending.cancel();
    device.send(&whole[whole.len() / 2..]).await;
    let mut second = rig.sample().await;
    assert_eq!(second.values[0], Some(Raw::Int(2)));
    assert_eq!(device.heard(), b"", "not before it is durable");
    store(&mut first);
    answered(&device, 1).await;
    store(&mut second);
    rig.ended().await;
    answered(&device, 2).await;
    device.connected(0).await;
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_answered_at_the_end() {
    let (mut rig, device) = Rig::start(reply).await;
    device.send(&line("1,1")).await;
    let mut first = rig.sample().await;
    device.send(&line("2,1")).await;
    let second = rig.sample().await;
    rig.ending.cancel();
    store(&mut first);
    drop(second);
    rig.ended().await;
    device.connected(0).await;
    answered(&device, 1).await;
}

#[tokio::test]
async fn a_device_that_was_asked_is_heard_out_and_not_asked_again() {
    let (mut rig, device) = Rig::start(|plan| {
        let Link::Framed(link) = &mut plan.link else { return };
        link.poll = Some(FramePoll {
            send: b"?\r".to_vec(),
            every: Duration::from_millis(1),
        });
    })
    .await;
    let (ending, asked) = (rig.ending.clone(), Arc::new(AtomicU32::new(0)));
    let asks = asked.clone();
    device.on_bytes(move |_| {
        // The end begins while it is being asked.
        ending.cancel();
        asks.fetch_add(1, SeqCst);
        Some(line("1,1"))
    });
    let mut seen = 0;
    while let Some(report) = tokio::time::timeout(AT_ONCE, rig.reports.recv()).await.unwrap() {
        if let Report::Sample(sample) = report {
            assert_eq!(sample.values[0], Some(Raw::Int(1)));
            seen += 1;
        }
    }
    device.connected(0).await;
    assert_eq!((seen, asked.load(SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_link_that_is_idle_or_not_connected_returns_at_once() {
    let (mut rig, _device) = Rig::start(|_| {}).await;
    rig.ending.cancel();
    rig.ended().await;
    let (mut rig, _) = listening(reply).await;
    rig.ending.cancel();
    rig.ended().await;
    let (mut rig, _) = listening(reply).await;
    let nobody = Rig::run(plan(link("127.0.0.1:9")));
    drop(std::mem::replace(&mut rig, nobody));
    rig.link(LinkState::Offline).await;
    rig.ending.cancel();
    rig.ended().await;
}
