//! Tests of the session against a scripted broker, for both versions of MQTT.

#[path = "../../tests/support/fake_broker.rs"]
mod fake_broker;

use super::*;
use crate::clock::Clock;
use fake_broker::{Act, Fake, Packet, connack, puback, publish, suback};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(20);

/// An outbox in memory.
#[derive(Clone)]
struct Store(Arc<Inner>);

type Waiting = BTreeMap<Arc<str>, VecDeque<(u64, Bytes)>>;

struct Inner {
    waiting: Mutex<Waiting>,
    settled: Mutex<Vec<Settlement>>,
    appended: watch::Sender<u64>,
    settlements: watch::Sender<usize>,
}

impl Store {
    fn new() -> Self {
        Self(Arc::new(Inner {
            waiting: Mutex::default(),
            settled: Mutex::default(),
            appended: watch::Sender::new(0),
            settlements: watch::Sender::new(0),
        }))
    }

    fn append(&self, topic: &str, sequences: std::ops::RangeInclusive<u64>) {
        self.append_body(topic, sequences, |sequence| format!("{topic} {sequence}").into());
    }

    fn append_body(&self, topic: &str, sequences: std::ops::RangeInclusive<u64>, body: impl Fn(u64) -> Bytes) {
        let mut waiting = self.0.waiting.lock().unwrap();
        let queue = waiting.entry(topic.into()).or_default();
        queue.extend(sequences.map(|sequence| (sequence, body(sequence))));
        drop(waiting);
        self.0.appended.send_modify(|count| *count += 1);
    }

    async fn settled(&self, count: usize) -> Vec<Settlement> {
        let mut changes = self.0.settlements.subscribe();
        let wait = timeout(LONG, changes.wait_for(|settled| *settled >= count)).await;
        let settled = self.0.settled.lock().unwrap().clone();
        assert!(wait.is_ok(), "{count} were to be settled, but {} are", settled.len());
        settled
    }

    /// All of `topic`, delivered in order, each once.
    fn assert_delivered(settled: &[Settlement], topic: &str, count: u64) {
        let of_topic = settled.iter().filter(|settlement| &*settlement.topic == topic);
        let sequences: Vec<u64> = of_topic
            .inspect(|settlement| assert_eq!(settlement.outcome, Outcome::Delivered))
            .map(|settlement| settlement.sequence)
            .collect();
        assert_eq!(sequences, (1..=count).collect::<Vec<_>>(), "{topic}");
    }
}

impl Drain for Store {
    async fn fetch(&self, request: Fetch) -> Vec<Ready> {
        let waiting = self.0.waiting.lock().unwrap();
        let mut events = Vec::new();
        for (topic, queue) in waiting.iter() {
            if request.skip.contains(topic) {
                continue;
            }
            let after = request.after.get(topic).copied().unwrap_or(0);
            let start = queue.partition_point(|(sequence, _)| *sequence <= after);
            let room = request.per_topic.min(request.max_events - events.len());
            events.extend(queue.range(start..).take(room).map(|(sequence, body)| Ready {
                topic: topic.clone(),
                sequence: *sequence,
                again: false,
                id: sequence.to_string(),
                body: body.clone(),
            }));
        }
        events
    }

    async fn settle(&self, settled: Vec<Settlement>) {
        let mut waiting = self.0.waiting.lock().unwrap();
        for settlement in &settled {
            let first = waiting.get_mut(&settlement.topic).and_then(VecDeque::pop_front);
            assert_eq!(
                first.map(|(sequence, _)| sequence),
                Some(settlement.sequence),
                "{}",
                settlement.topic
            );
        }
        drop(waiting);
        let mut all = self.0.settled.lock().unwrap();
        all.extend(settled);
        self.0.settlements.send_replace(all.len());
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.appended.subscribe()
    }
}

/// A session that runs.
struct Rig {
    out: Outbound,
    heard: mpsc::Receiver<Heard>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

fn settings(fake: &Fake) -> Settings {
    let mut settings = Settings::new("127.0.0.1", fake.address.port(), "gw", "status");
    settings.version = if fake.five { Version::V5 } else { Version::V311 };
    settings.hello = b"hello".to_vec();
    settings.will_payload = b"gone".to_vec();
    settings.subscriptions = vec!["st10/unit".into()];
    settings.timing = Timing {
        connect: Duration::from_millis(500),
        barrier: Duration::from_millis(300),
        ack: Duration::from_millis(400),
        reconnect: (Duration::from_millis(10), Duration::from_millis(40)),
        helpless: (Duration::from_millis(10), Duration::from_millis(40)),
        refused: (Duration::from_millis(10), Duration::from_millis(40)),
        poison: (Duration::from_millis(50), Duration::from_millis(100)),
        ..Timing::default()
    };
    settings
}

impl Rig {
    fn start(settings: Settings, store: &Store) -> Self {
        let (out, heard, session) = session(settings, store.clone(), Clock::machine()).unwrap();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(session.run(stop.clone()));
        Self {
            out,
            heard,
            stop,
            running,
        }
    }

    /// Everything heard up to what is wanted, that included.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Heard) -> bool) -> Vec<Heard> {
        let mut all = Vec::new();
        let deadline = Instant::now() + LONG;
        loop {
            let next = tokio::time::timeout_at(deadline, self.heard.recv()).await;
            let Ok(Some(heard)) = next else {
                panic!("never heard: {what}; heard {all:#?}")
            };
            all.push(heard);
            if all.last().is_some_and(&wanted) {
                return all;
            }
        }
    }

    async fn ready(&mut self) -> Vec<Heard> {
        self.until("ready", |heard| matches!(heard, Heard::Ready { .. })).await
    }

    async fn trouble(&mut self) -> String {
        let heard = self
            .until("trouble", |heard| matches!(heard, Heard::Trouble { .. }))
            .await;
        match heard.last() {
            Some(Heard::Trouble { sentence, .. }) => sentence.clone(),
            other => panic!("{other:?}"),
        }
    }

    async fn end(mut self) -> Duration {
        let start = Instant::now();
        self.stop.cancel();
        self.running.join_next().await.unwrap().unwrap();
        start.elapsed()
    }
}

fn is_event(packet: &Packet) -> bool {
    matches!(packet, Packet::Publish { retain: false, .. })
}

fn is_parted(received: &[(usize, Packet)]) -> bool {
    received.iter().any(|(_, packet)| *packet == Packet::Disconnect)
}

fn send(bytes: Vec<u8>) -> Vec<Act> {
    vec![Act::Send(bytes)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_flow_in_order_behind_hello_statuses_and_retained_messages() {
    for five in [true, false] {
        let fake = Fake::start(five, move |_, packet| {
            let mut acts = Fake::polite(five, packet);
            if matches!(packet, Packet::Subscribe { .. }) {
                acts.push(Act::Send(publish(five, "status", b"hello", true)));
                acts.push(Act::Send(publish(five, "st10/unit", b"U1", true)));
            }
            acts
        });
        let store = Store::new();
        store.append("a", 1..=300);
        store.append("b", 1..=50);
        let mut rig = Rig::start(settings(&fake), &store);
        assert_eq!(rig.out.set_retained("st10/s1/status", "online"), Posted::Queued);
        let heard = rig.ready().await;
        assert!(matches!(heard[0], Heard::Connecting), "{heard:?}");
        assert!(
            matches!(heard[1], Heard::Connected { session_present: false }),
            "{heard:?}"
        );
        assert!(
            matches!(&heard[2], Heard::Message { topic, retained: true, .. } if topic == "st10/unit"),
            "{heard:?}"
        );
        assert_eq!(heard[3], Heard::Ready { proven: true });
        let settled = store.settled(350).await;
        Store::assert_delivered(&settled, "a", 300);
        Store::assert_delivered(&settled, "b", 50);
        assert_eq!(rig.out.counts().delivered, 350);
        assert!(rig.out.last_heard().is_some());
        store.append("a", 301..=301);
        store.settled(351).await;
        fake.say(&publish(five, "st10/unit", b"", false));
        rig.until(
            "a live message",
            |heard| matches!(heard, Heard::Message { retained: false, payload, .. } if payload.is_empty()),
        )
        .await;
        assert!(rig.end().await < Duration::from_millis(500));
        fake.wait("goodbye", is_parted);

        let received = fake.received();
        let at = |wanted: &dyn Fn(&Packet) -> bool| received.iter().position(|(_, packet)| wanted(packet)).unwrap();
        let Packet::Connect {
            will,
            clean,
            keep_alive,
            ..
        } = &received[0].1
        else {
            panic!("{received:?}")
        };
        assert_eq!(
            will.as_ref()
                .map(|(topic, payload)| (topic.as_str(), payload.as_slice())),
            Some(("status", &b"gone"[..]))
        );
        assert!(*clean && *keep_alive == 5);
        let status =
            at(&|packet| matches!(packet, Packet::Publish { topic, retain: true, .. } if topic == "st10/s1/status"));
        let event = at(&is_event);
        assert!(status < event);
        let Packet::Publish { content_type, .. } = &received[event].1 else {
            panic!()
        };
        let expected = five.then_some("application/cloudevents+json; charset=utf-8");
        assert_eq!(content_type.as_deref(), expected);
        let (_, last) = received.last().unwrap();
        assert_eq!(last, &Packet::Disconnect);
        let farewell = &received[received.len() - 2].1;
        assert!(
            matches!(farewell, Packet::Publish { topic, payload, retain: true, .. } if topic == "status" && payload == b"gone"),
            "{farewell:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acknowledged_is_sent_again_in_order_and_nothing_is_lost() {
    // rumqttc itself loses what is queued and in flight when the session is gone, and version 5 reorders.
    for five in [true, false] {
        let mut seen = 0;
        let fake = Fake::start(five, move |_, packet| {
            if is_event(packet) {
                seen += 1;
                if seen % 7 == 0 {
                    return vec![Act::Close];
                }
            }
            Fake::polite(five, packet)
        });
        let store = Store::new();
        for topic in ["a", "b", "c"] {
            store.append(topic, 1..=40);
        }
        let mut rig = Rig::start(settings(&fake), &store);
        rig.ready().await;
        let settled = store.settled(120).await;
        for topic in ["a", "b", "c"] {
            Store::assert_delivered(&settled, topic, 40);
            let mut highest = 0;
            for (_, packet) in fake.received() {
                if let Packet::Publish {
                    topic: of,
                    payload,
                    retain: false,
                    ..
                } = packet
                    && of == topic
                {
                    let text = String::from_utf8(payload).unwrap();
                    let sequence: u64 = text.split(' ').next_back().unwrap().parse().unwrap();
                    assert!(
                        sequence == highest || sequence == highest + 1,
                        "{topic}: {sequence} after {highest}"
                    );
                    highest = sequence;
                }
            }
        }
        assert!(fake.connections() > 10);
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receive_maximum_is_honoured_and_acknowledgements_may_come_in_any_order() {
    // rumqttc wedges for ever when it runs into an identifier that is still in use.
    for maximum in [1u16, 2, 3] {
        let mut held: Vec<u16> = Vec::new();
        let mut answered = 0;
        let fake = Fake::start(true, move |_, packet| match packet {
            Packet::Connect { .. } => send(connack(true, 0, &[0x21, 0, maximum.to_be_bytes()[1]])),
            Packet::Publish { id, retain: false, .. } => {
                held.push(*id);
                assert!(held.len() <= usize::from(maximum), "more than granted");
                if held.len() < usize::from(maximum) && answered < 60 {
                    return Vec::new();
                }
                answered += held.len();
                // The last first, and the very first one only in the next round.
                let acks: Vec<u8> = held.drain(..).rev().flat_map(|id| puback(true, id, 0)).collect();
                send(acks)
            }
            packet => Fake::polite(true, packet),
        });
        let store = Store::new();
        for topic in ["a", "b", "c", "d"] {
            store.append(topic, 1..=20);
        }
        let mut with = settings(&fake);
        with.timing.ack = Duration::from_secs(10);
        let mut rig = Rig::start(with, &store);
        rig.ready().await;
        let settled = store.settled(60).await;
        assert!(
            settled
                .iter()
                .all(|settlement| settlement.outcome == Outcome::Delivered)
        );
        assert_eq!(fake.connections(), 1, "maximum {maximum}");
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_too_large_for_the_broker_is_rejected_before_it_is_sent() {
    let fake = Fake::start(true, |_, packet| match packet {
        Packet::Connect { .. } => send(connack(true, 0, &[0x27, 0, 0, 0, 200])),
        packet => Fake::polite(true, packet),
    });
    let store = Store::new();
    store.append("a", 1..=2);
    store.append_body("a", 3..=3, |_| vec![b'x'; 500].into());
    store.append("a", 4..=5);
    // Exactly as large as allowed: fixed header 1 + 2, topic 2 + 1, identifier 2, properties 1 + 3 + 47.
    let room = 200 - 3 - 3 - 2 - 4 - "application/cloudevents+json; charset=utf-8".len();
    store.append_body("a", 6..=6, move |_| vec![b'y'; room].into());
    store.append_body("a", 7..=7, move |_| vec![b'z'; room + 1].into());
    let mut rig = Rig::start(settings(&fake), &store);
    rig.ready().await;
    let settled = store.settled(7).await;
    let rejected: Vec<u64> = settled
        .iter()
        .filter(|settlement| matches!(&settlement.outcome, Outcome::Rejected { reason } if reason.contains("200")))
        .map(|settlement| settlement.sequence)
        .collect();
    assert_eq!(rejected, [3, 7]);
    assert_eq!(fake.connections(), 1);
    assert_eq!(rig.out.counts().rejected, 2);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reason_has_its_meaning() {
    for (reason, ends) in [
        (0x87u8, true),
        (0x90, true),
        (0x99, true),
        (0x97, false),
        (0x80, false),
        (0x83, false),
        (0x91, false),
    ] {
        let mut tries = 0;
        let fake = Fake::start(true, move |_, packet| match packet {
            Packet::Publish { id, topic, .. } if topic == "bad" => {
                tries += 1;
                send(puback(true, *id, if tries <= 3 { reason } else { 0 }))
            }
            packet => Fake::polite(true, packet),
        });
        let store = Store::new();
        store.append("bad", 1..=4);
        store.append("good", 1..=20);
        let mut rig = Rig::start(settings(&fake), &store);
        rig.ready().await;
        let settled = store.settled(24).await;
        Store::assert_delivered(&settled, "good", 20);
        let bad: Vec<_> = settled
            .iter()
            .filter(|settlement| &*settlement.topic == "bad")
            .collect();
        assert_eq!(
            bad.iter().map(|settlement| settlement.sequence).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        let rejected = bad
            .iter()
            .filter(|settlement| settlement.outcome != Outcome::Delivered)
            .count();
        assert_eq!(rejected, if ends { 3 } else { 0 }, "{reason:#x}");
        if !ends {
            rig.trouble().await;
            rig.until(
                "recovery",
                |heard| matches!(heard, Heard::Recovered { topic: Some(topic) } if &**topic == "bad"),
            )
            .await;
            assert_eq!(rig.out.counts().refused, 3);
        }
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_a_subscriber_waits_where_one_is_required() {
    for require in [true, false] {
        let mut tries = 0;
        let fake = Fake::start(true, move |_, packet| match packet {
            Packet::Publish { id, retain: false, .. } => {
                tries += 1;
                send(puback(true, *id, if tries <= 4 { 0x10 } else { 0 }))
            }
            packet => Fake::polite(true, packet),
        });
        let store = Store::new();
        store.append("a", 1..=3);
        let mut with = settings(&fake);
        with.require_subscriber = require;
        let mut rig = Rig::start(with, &store);
        rig.ready().await;
        Store::assert_delivered(&store.settled(3).await, "a", 3);
        assert_eq!(rig.out.counts().published, if require { 7 } else { 3 });
        if require {
            assert!(rig.trouble().await.contains("nobody is subscribed"));
        }
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_disconnects_at_every_publish_is_not_hammered_and_loses_nothing() {
    for five in [true, false] {
        let fake = Fake::start(five, move |_, packet| {
            if is_event(packet) {
                vec![Act::Close]
            } else {
                Fake::polite(five, packet)
            }
        });
        let store = Store::new();
        store.append("a", 1..=5);
        let mut with = settings(&fake);
        with.timing.reconnect = (Duration::from_millis(100), Duration::from_secs(30));
        let mut rig = Rig::start(with, &store);
        let mut waits = Vec::new();
        while waits.len() < 4 {
            let heard = rig
                .until("a loss", |heard| matches!(heard, Heard::Disconnected { .. }))
                .await;
            if let Some(Heard::Disconnected { retry_in, .. }) = heard.last() {
                waits.push(*retry_in);
            }
        }
        // 50..100, 100..200, 200..400, 400..800 ms.
        assert!(waits[3] >= Duration::from_millis(400), "{waits:?}");
        assert!(store.0.settled.lock().unwrap().is_empty());
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_poisonous_topic_does_not_stop_the_others() {
    for five in [true, false] {
        let fake = Fake::start(five, move |_, packet| match packet {
            Packet::Publish { topic, .. } if topic == "poison" => vec![Act::Close],
            packet => Fake::polite(five, packet),
        });
        let store = Store::new();
        store.append("poison", 1..=2);
        store.append("a", 1..=100);
        store.append("z", 1..=100);
        let mut rig = Rig::start(settings(&fake), &store);
        let sentence = rig.trouble().await;
        assert!(sentence.contains("five times"), "{sentence}");
        let settled = store.settled(200).await;
        Store::assert_delivered(&settled, "a", 100);
        Store::assert_delivered(&settled, "z", 100);
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_never_acknowledges_is_left_and_tried_again() {
    for five in [true, false] {
        let fake = Fake::start(five, move |number, packet| {
            if number == 1 && is_event(packet) {
                Vec::new()
            } else {
                Fake::polite(five, packet)
            }
        });
        let store = Store::new();
        store.append("a", 1..=3);
        let mut rig = Rig::start(settings(&fake), &store);
        let heard = rig
            .until("a loss", |heard| matches!(heard, Heard::Disconnected { .. }))
            .await;
        assert!(
            matches!(heard.last(), Some(Heard::Disconnected { reason, .. }) if reason.contains("does not acknowledge")),
            "{heard:?}"
        );
        Store::assert_delivered(&store.settled(3).await, "a", 3);
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_of_nothing_mean_nothing() {
    for five in [true, false] {
        // Each acknowledgement comes twice, together with one of an identifier that was never used.
        let fake = Fake::start(five, move |_, packet| match packet {
            Packet::Publish { id, retain: false, .. } => {
                let ack = puback(five, *id, 0);
                send([ack.clone(), ack, puback(five, 900, 0)].concat())
            }
            packet => Fake::polite(five, packet),
        });
        let store = Store::new();
        store.append("a", 1..=8);
        let mut rig = Rig::start(settings(&fake), &store);
        rig.ready().await;
        Store::assert_delivered(&store.settled(8).await, "a", 8);
        assert_eq!(store.0.settled.lock().unwrap().len(), 8);
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_is_a_sentence_told_once() {
    let five: &[(u8, &str)] = &[
        (0x86, "user name or the password is wrong"),
        (0x87, "not authorized"),
        (0x85, "client id"),
        (0x8a, "banned"),
        (0x84, "3.1.1"),
        (0x9a, "retained"),
        (0x9b, "QoS 1"),
        (0x9c, "another one"),
    ];
    let old: &[(u8, &str)] = &[
        (1, "version"),
        (2, "client id"),
        (4, "user name or the password is wrong"),
        (5, "not authorized"),
    ];
    for (version, codes) in [(true, five), (false, old)] {
        for (code, words) in codes.iter().copied() {
            let fake = Fake::start(version, move |number, packet| {
                if number <= 3 {
                    send(connack(version, code, &[]))
                } else {
                    Fake::polite(version, packet)
                }
            });
            let mut with = settings(&fake);
            with.username = Some("gw".into());
            let mut rig = Rig::start(with, &Store::new());
            let heard = rig
                .until("recovery", |heard| matches!(heard, Heard::Recovered { topic: None }))
                .await;
            let troubles: Vec<_> = heard
                .iter()
                .filter_map(|heard| match heard {
                    Heard::Trouble { sentence, .. } => Some(sentence.as_str()),
                    _ => None,
                })
                .collect();
            assert_eq!(troubles.len(), 1, "{code:#x} {troubles:?}");
            assert!(troubles[0].contains(words), "{code:#x} {troubles:?}");
            rig.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_unavailable_closes_or_says_nothing_is_tried_again() {
    for five in [true, false] {
        let fake = Fake::start(five, move |number, packet| match number {
            1 => send(connack(five, if five { 0x88 } else { 3 }, &[])),
            2 => vec![Act::Close],
            3 => Vec::new(),
            4 => send(vec![0xff; 40]),
            5 => send(publish(five, "a", b"before the connack", false)),
            _ => Fake::polite(five, packet),
        });
        let mut rig = Rig::start(settings(&fake), &Store::new());
        let heard = rig.ready().await;
        let reasons: Vec<_> = heard
            .iter()
            .filter_map(|heard| match heard {
                Heard::Disconnected { reason, .. } => Some(reason.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(reasons.len(), 5, "{heard:?}");
        assert!(reasons[0].contains("not available"), "{reasons:?}");
        assert!(reasons[1].contains("hangs up"), "{reasons:?}");
        assert!(reasons[2].contains("does not answer"), "{reasons:?}");
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_echo_it_goes_on_and_says_so_once() {
    for five in [true, false] {
        let fake = Fake::start(five, move |number, packet| match packet {
            Packet::Publish { id, topic, .. } if topic == "status" => send(puback(five, *id, 0)),
            // On the second connection the subscription of the status is refused openly.
            Packet::Subscribe { id, .. } if number == 2 => {
                send(suback(five, *id, &[1, if five { 0x87 } else { 0x80 }]))
            }
            Packet::Publish { retain: false, .. } if number == 1 => vec![Act::Close],
            packet => Fake::polite(five, packet),
        });
        let store = Store::new();
        store.append("a", 1..=1);
        let mut rig = Rig::start(settings(&fake), &store);
        let heard = rig.ready().await;
        assert!(matches!(heard.last(), Some(Heard::Ready { proven: false })));
        let doubts = |heard: &[Heard]| {
            heard
                .iter()
                .filter(|heard| matches!(heard, Heard::Trouble { .. }))
                .count()
        };
        assert_eq!(doubts(&heard), 1);
        let heard = rig.ready().await;
        assert_eq!(doubts(&heard), 1, "{heard:?}");
        assert!(
            heard
                .iter()
                .any(|heard| matches!(heard, Heard::Trouble { sentence, .. } if sentence.contains("`status`")))
        );
        store.settled(1).await;
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_goodbye_is_possible_the_last_will_is_left_to_speak() {
    let fake = Fake::start(true, |_, packet| match packet {
        Packet::Publish { retain: false, .. } => Vec::new(),
        Packet::Publish { payload, .. } if payload == b"bye" => Vec::new(),
        packet => Fake::polite(true, packet),
    });
    let store = Store::new();
    store.append("a", 1..=1);
    let mut with = settings(&fake);
    with.timing.ack = Duration::from_secs(20);
    let mut rig = Rig::start(with, &store);
    rig.out.set_farewell("bye");
    rig.ready().await;
    fake.wait("the event", |received| {
        received.iter().any(|(_, packet)| is_event(packet))
    });
    let took = rig.end().await;
    assert!(took < Duration::from_millis(700), "{took:?}");
    assert!(!fake.received().iter().any(|(_, packet)| *packet == Packet::Disconnect));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_said_before_the_end_and_the_farewell_arrive() {
    for five in [true, false] {
        let fake = Fake::start(five, move |_, packet| Fake::polite(five, packet));
        let mut rig = Rig::start(settings(&fake), &Store::new());
        rig.ready().await;
        assert_eq!(rig.out.set_retained("st10/s1/status", "offline"), Posted::Queued);
        rig.out.set_farewell("bye");
        rig.end().await;
        fake.wait("goodbye", is_parted);
        let received = fake.received();
        let at = |wanted: &[u8]| {
            let is =
                |packet: &Packet| matches!(packet, Packet::Publish { payload, retain: true, .. } if payload == wanted);
            received.iter().position(|(_, packet)| is(packet)).unwrap()
        };
        assert!(at(b"offline") < at(b"bye"));
        assert_eq!(received.last().unwrap().1, Packet::Disconnect);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heard_waits_for_room_and_is_not_dropped() {
    let fake = Fake::start(true, |_, packet| {
        let mut acts = Fake::polite(true, packet);
        if matches!(packet, Packet::Subscribe { .. }) {
            let all: Vec<u8> = (0..3_000)
                .flat_map(|n| publish(true, "st10/unit", n.to_string().as_bytes(), true))
                .collect();
            acts.push(Act::Send(all));
        }
        acts
    });
    let mut with = settings(&fake);
    with.timing.barrier = Duration::from_secs(10);
    let mut rig = Rig::start(with, &Store::new());
    let heard = rig.ready().await;
    let payloads: Vec<String> = heard
        .iter()
        .filter_map(|heard| match heard {
            Heard::Message { payload, .. } => Some(String::from_utf8(payload.to_vec()).unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(payloads, (0..3_000).map(|n| n.to_string()).collect::<Vec<_>>());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_latest_values_only_the_newest_is_sent_after_an_outage() {
    let fake = Fake::start(true, |number, packet| {
        if number == 1 {
            vec![Act::Close]
        } else {
            Fake::polite(true, packet)
        }
    });
    let mut with = settings(&fake);
    with.timing.reconnect = (Duration::from_millis(100), Duration::from_millis(100));
    let mut rig = Rig::start(with, &Store::new());
    rig.until("a loss", |heard| matches!(heard, Heard::Disconnected { .. }))
        .await;
    for value in ["1", "2", "3"] {
        assert_ne!(rig.out.publish_latest("readings", value), Posted::Refused);
    }
    let newest = |received: &[(usize, Packet)]| {
        let of = received.iter().filter_map(|(_, packet)| match packet {
            Packet::Publish { topic, payload, .. } if topic == "readings" => Some(payload.clone()),
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    fake.wait("the newest value", |received| !newest(received).is_empty());
    rig.ready().await;
    assert_eq!(rig.out.counts().superseded, 2);
    rig.end().await;
    assert_eq!(newest(&fake.received()), [b"3".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_read_at_each_connect_and_its_absence_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mqtt.password");
    let fake = Fake::start(true, |_, packet| match packet {
        Packet::Connect { password, .. } if password.as_deref() != Some("secret") => send(connack(true, 0x86, &[])),
        packet => Fake::polite(true, packet),
    });
    let mut with = settings(&fake);
    with.username = Some("gw".into());
    with.password_file = Some(file.clone());
    let mut rig = Rig::start(with, &Store::new());
    assert!(rig.trouble().await.contains("password_file"));
    std::fs::write(&file, "wrong\n").unwrap();
    assert!(rig.trouble().await.contains("the password is wrong"));
    std::fs::write(&file, "secret\n").unwrap();
    rig.ready().await;
    rig.end().await;
}

/// The password of each connect, in order.
fn passwords(fake: &Fake) -> Vec<String> {
    let received = fake.received().into_iter();
    let of = |packet| match packet {
        Packet::Connect { password, .. } => password,
        _ => None,
    };
    received.filter_map(|(_, packet)| of(packet)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_leads_to_a_clean_reconnect_and_a_bad_one_does_not() {
    for five in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mqtt.password");
        std::fs::write(&file, "one\n").unwrap();
        let mut held = None;
        let fake = Fake::start(five, move |_, packet| match packet {
            // What is under way is acknowledged only when the next comes.
            Packet::Publish { id, retain: false, .. } => {
                let before: Option<u16> = held.replace(*id);
                before.map_or_else(Vec::new, |id| send(puback(five, id, 0)))
            }
            Packet::Publish { id, topic, payload, .. } if payload == b"gone" => {
                let late = held.take().map_or_else(Vec::new, |id| puback(five, id, 0));
                assert_eq!(topic, "status");
                send([puback(five, *id, 0), late].concat())
            }
            packet => Fake::polite(five, packet),
        });
        let mut with = settings(&fake);
        with.username = Some("gw".into());
        with.password_file = Some(file.clone());
        with.timing.files = Duration::from_millis(20);
        with.timing.ack = LONG;
        let store = Store::new();
        let mut rig = Rig::start(with, &store);
        rig.ready().await;
        store.append("a", 1..=1);
        store.append("b", 1..=1);
        store.settled(1).await;
        // Half-written: nothing there yet.
        std::fs::write(&file, "").unwrap();
        let is_told = |heard: &Heard| matches!(heard, Heard::Files { sentences } if sentences.iter().any(|said| said.contains("is empty; ") && said.contains("former files stay in use")));
        let heard = rig.until("the empty file is told", is_told).await;
        assert!(
            !heard.iter().any(|heard| matches!(heard, Heard::Disconnected { .. })),
            "{heard:?}"
        );
        // The same as before is no reason either.
        std::fs::write(&file, "one\n").unwrap();
        let heard = rig.until("it is over", |heard| matches!(heard, Heard::Files { sentences } if !sentences.iter().any(|said| said.contains("empty")))).await;
        assert!(
            !heard.iter().any(|heard| matches!(heard, Heard::Disconnected { .. })),
            "{heard:?}"
        );
        std::fs::write(&file, "two\n").unwrap();
        let heard = rig.ready().await;
        assert!(
            heard.iter().any(|heard| matches!(heard, Heard::Disconnected { reason, retry_in } if reason.contains("were changed") && retry_in.is_zero())),
            "{heard:?}"
        );
        assert_eq!(passwords(&fake), ["one", "two"]);
        store.settled(2).await;
        let received = fake.received();
        let first: Vec<&Packet> = received
            .iter()
            .filter(|(number, _)| *number == 1)
            .map(|(_, packet)| packet)
            .collect();
        assert_eq!(first.last(), Some(&&Packet::Disconnect), "a clean end");
        let events = received.iter().filter(|(_, packet)| is_event(packet)).count();
        assert_eq!(events, 2, "nothing is sent twice");
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mended_file_ends_the_wait_after_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mqtt.password");
    std::fs::write(&file, "wrong").unwrap();
    let fake = Fake::start(true, |_, packet| match packet {
        Packet::Connect { password, .. } if password.as_deref() != Some("right") => send(connack(true, 0x87, &[])),
        packet => Fake::polite(true, packet),
    });
    let mut with = settings(&fake);
    with.username = Some("gw".into());
    with.password_file = Some(file.clone());
    with.timing.files = Duration::from_millis(20);
    with.timing.helpless = (Duration::from_hours(1), Duration::from_hours(1));
    let mut rig = Rig::start(with, &Store::new());
    assert!(rig.trouble().await.contains("mqtt.password"));
    std::fs::write(&file, "right").unwrap();
    rig.ready().await;
    assert_eq!(passwords(&fake), ["wrong", "right"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_file_that_cannot_be_used_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let fake = Fake::start(true, |_, _| Vec::new());
    let mut with = settings(&fake);
    with.tls = Some(Tls {
        ca_file: Some(ca_file.clone()),
        ..Tls::default()
    });
    let mut rig = Rig::start(with, &Store::new());
    assert!(rig.trouble().await.contains("ca_file"));
    std::fs::write(&ca_file, "no certificate").unwrap();
    assert!(rig.trouble().await.contains("no certificate in PEM"));
    rig.end().await;
}

#[test]
fn settings_that_cannot_be_used_are_told() {
    let good = Settings::new("h", 1883, "gw", "status");
    assert_eq!(good.check(), Ok(()));
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = good.clone();
        change(&mut settings);
        settings.check()
    };
    assert_eq!(with(&|s| s.inflight = 0), Err(SettingsFault::Inflight));
    assert_eq!(with(&|s| s.client_id.clear()), Err(SettingsFault::ClientId));
    assert_eq!(
        with(&|s| s.will_topic = "a/#".into()),
        Err(SettingsFault::Topic("a/#".into()))
    );
    assert_eq!(
        with(&|s| s.subscriptions = vec!["a/#/b".into()]),
        Err(SettingsFault::Filter("a/#/b".into()))
    );
    let half = Tls {
        cert_file: Some("c".into()),
        ..Tls::default()
    };
    assert_eq!(with(&|s| s.tls = Some(half.clone())), Err(SettingsFault::HalfPair));
}
