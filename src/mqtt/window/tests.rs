//! Tests of the window: whatever the broker does, order and bounds hold and nothing is lost.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const WAITS: Waits = Waits {
    refused: (Duration::from_millis(200), Duration::from_secs(5)),
    poison: (Duration::from_secs(5), Duration::from_mins(1)),
};
const NOW: Duration = Duration::ZERO;

fn ready(topic: &str, sequence: u64) -> Ready {
    Ready {
        topic: topic.into(),
        sequence,
        again: false,
        id: sequence.to_string(),
        body: Bytes::from(sequence.to_string()),
    }
}

fn asked_again(topic: &str, place: u64) -> Ready {
    Ready {
        again: true,
        ..ready(topic, place)
    }
}

/// Answers a fetch as an outbox would, from `waiting` events of each topic.
fn serve(store: &BTreeMap<String, Vec<u64>>, fetch: &Fetch) -> Vec<Ready> {
    let mut events = Vec::new();
    for (topic, waiting) in store {
        if fetch.skip.contains(topic.as_str()) {
            continue;
        }
        let after = fetch.after.get(topic.as_str()).copied().unwrap_or(0);
        let wanted = waiting.iter().filter(|sequence| **sequence > after);
        events.extend(wanted.take(fetch.per_topic).map(|sequence| ready(topic, *sequence)));
    }
    events.truncate(fetch.max_events);
    events
}

fn window(limit: usize) -> Window {
    let mut window = Window::new(true, WAITS);
    window.connected(limit);
    window
}

#[derive(Debug, Clone)]
enum Happens {
    Send,
    /// Answer the n-th that is on its way.
    Answer(usize, u8),
    Break,
    Feed,
    /// Milliseconds.
    Pass(u64),
    Append(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => Just(Happens::Send),
        6 => (0usize..8, 0u8..6).prop_map(|(which, answer)| Happens::Answer(which, answer)),
        1 => Just(Happens::Break),
        3 => Just(Happens::Feed),
        2 => (1u64..10_000).prop_map(Happens::Pass),
        2 => (0usize..4).prop_map(Happens::Append),
    ]
}

/// A store and a broker around a window.
struct World {
    window: Window,
    store: BTreeMap<String, Vec<u64>>,
    given: BTreeMap<String, u64>,
    ended: BTreeMap<String, Vec<u64>>,
    flying: Vec<Flight>,
    limit: usize,
    now: Duration,
}

impl World {
    fn step(&mut self, what: &Happens) {
        match what {
            Happens::Append(topic) => {
                let topic = format!("t{topic}");
                let given = self.given.entry(topic.clone()).or_default();
                *given += 1;
                self.store.entry(topic).or_default().push(*given);
            }
            Happens::Feed => {
                if let Some(fetch) = self.window.wanted() {
                    self.window.offer(serve(&self.store, &fetch));
                }
            }
            Happens::Pass(millis) => self.now += Duration::from_millis(*millis),
            Happens::Send => {
                if let Some(flight) = self.window.next(self.now) {
                    assert!(
                        self.flying.iter().all(|other| other.topic != flight.topic),
                        "two of one topic"
                    );
                    let first = self.store[&*flight.topic][0];
                    assert_eq!(flight.sequence, first, "not the first that waits");
                    self.flying.push(flight);
                    assert!(self.flying.len() <= self.limit, "above the limit");
                }
            }
            Happens::Answer(which, answer) => {
                if self.flying.is_empty() {
                    return;
                }
                let flight = self.flying.remove(which % self.flying.len());
                let verdict = match answer {
                    0..=2 => Verdict::Taken,
                    3 => Verdict::NobodyListens,
                    4 => Verdict::Refused("no".into()),
                    _ => Verdict::NotNow("later".into()),
                };
                let ends = matches!(verdict, Verdict::Taken | Verdict::Refused(_));
                let ruling = self.window.answered(flight.id, verdict, self.now);
                assert_eq!(ruling.settlement.is_some(), ends);
                if let Some(settlement) = ruling.settlement {
                    assert_eq!(
                        (&settlement.topic, settlement.sequence),
                        (&flight.topic, flight.sequence)
                    );
                    let waiting = self.store.get_mut(&*flight.topic).unwrap();
                    assert_eq!(waiting.remove(0), flight.sequence);
                    self.ended
                        .entry(flight.topic.to_string())
                        .or_default()
                        .push(flight.sequence);
                }
            }
            Happens::Break => {
                self.window.disconnected(self.now);
                assert_eq!(self.window.next(self.now), None, "nothing is sent without a connection");
                self.flying.clear();
                self.window.connected(self.limit);
            }
        }
        assert_eq!(self.window.in_flight(), self.flying.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn order_and_bounds_hold_and_nothing_is_lost(limit in 1usize..6, script in prop::collection::vec(happens(), 1..300)) {
        let mut world = World {
            window: window(limit),
            store: BTreeMap::new(),
            given: BTreeMap::new(),
            ended: BTreeMap::new(),
            flying: Vec::new(),
            limit,
            now: NOW,
        };
        for what in &script {
            world.step(what);
        }
        // From here on the broker is kind: everything has to end, in order.
        for _ in 0..20_000 {
            if world.store.values().all(Vec::is_empty) {
                break;
            }
            for what in [Happens::Pass(60_000), Happens::Feed, Happens::Send, Happens::Answer(0, 0)] {
                world.step(&what);
            }
        }
        for (topic, given) in &world.given {
            let all: Vec<u64> = (1..=*given).collect();
            prop_assert_eq!(world.ended.get(topic), Some(&all));
        }
    }
}

#[test]
fn topics_take_turns() {
    let mut window = window(1);
    window.offer(vec![ready("a", 1), ready("a", 2), ready("b", 1), ready("b", 2)]);
    let mut sent = Vec::new();
    while let Some(flight) = window.next(NOW) {
        sent.push(format!("{}{}", flight.topic, flight.sequence));
        window.answered(flight.id, Verdict::Taken, NOW);
    }
    assert_eq!(sent, ["a1", "b1", "a2", "b2"]);
}

#[test]
fn trouble_is_told_once_until_it_is_over() {
    let mut window = window(4);
    window.offer(vec![ready("a", 1)]);
    let mut now = NOW;
    for round in 0..3 {
        let flight = window.next(now).unwrap();
        let ruling = window.answered(flight.id, Verdict::NobodyListens, now);
        assert_eq!(ruling.trouble.is_some(), round == 0);
        assert_eq!(window.next(now), None, "it waits");
        now = window.due().unwrap();
    }
    let flight = window.next(now).unwrap();
    let ruling = window.answered(flight.id, Verdict::Taken, now);
    assert_eq!(ruling.recovered.as_deref(), Some("a"));
    assert!(
        window.answered(flight.id, Verdict::Taken, now).settlement.is_none(),
        "answered twice"
    );
}

#[test]
fn the_event_at_which_the_broker_disconnects_is_found_and_others_go_on() {
    let store = BTreeMap::from([
        ("a".to_owned(), vec![1]),
        ("poison".to_owned(), vec![1]),
        ("z".to_owned(), vec![1]),
    ]);
    let mut window = window(10);
    window.offer(serve(&store, &window.wanted().unwrap()));
    while window.next(NOW).is_some() {}
    assert_eq!(window.in_flight(), 3);
    let mut delivered = HashSet::new();
    let mut trouble = None;
    let mut breaks = 0;
    window.disconnected(NOW);
    while trouble.is_none() {
        window.connected(10);
        let mut left = store.clone();
        left.retain(|topic, _| !delivered.contains(topic));
        window.offer(serve(&left, &window.wanted().unwrap()));
        while let Some(flight) = window.next(NOW) {
            assert_eq!(window.in_flight(), 1, "suspects are sent alone");
            if &*flight.topic == "poison" {
                break;
            }
            delivered.insert(flight.topic.to_string());
            window.answered(flight.id, Verdict::Taken, NOW);
        }
        breaks += 1;
        trouble = window.disconnected(NOW).trouble;
    }
    assert_eq!(breaks, 5);
    assert_eq!(trouble.map(|(topic, _)| topic.to_string()), Some("poison".to_owned()));
    window.connected(10);
    window.offer(vec![ready("poison", 1), ready("b", 1)]);
    assert_eq!(
        window.next(NOW).map(|flight| flight.topic.to_string()),
        Some("b".to_owned())
    );
    assert_eq!(window.next(NOW), None, "the poison waits");
}

#[test]
fn what_is_held_is_bounded() {
    let mut window = window(1);
    let mut next = 0;
    while let Some(fetch) = window.wanted() {
        assert!(next < 100, "never enough");
        let events = (0..fetch.max_events)
            .map(|n| ready(&format!("{next}-{n}"), 1))
            .collect();
        window.offer(events);
        next += 1;
    }
    assert!(window.held() <= AHEAD);
}

#[test]
fn what_is_sent_again_has_its_own_lane_and_first_deliveries_keep_their_order() {
    let mut window = Window::new(true, WAITS);
    window.connected(10);
    window.offer(vec![
        ready("a", 7),
        ready("a", 8),
        asked_again("a", 1),
        asked_again("a", 2),
    ]);
    let first = window.next(NOW).unwrap();
    let again = window.next(NOW).unwrap();
    assert_eq!((first.sequence, again.sequence), (7, 1), "side by side");
    assert_eq!(window.next(NOW), None, "one of each");
    let ruling = window.answered(again.id, Verdict::Taken, NOW);
    let settled = ruling.settlement.unwrap();
    assert_eq!((settled.sequence, settled.outcome), (1, Outcome::Resent));
    let wanted = window.wanted().unwrap();
    assert_eq!(wanted.after.get("a"), Some(&8));
    assert_eq!(wanted.again.0.get("a"), Some(&2));
    // The connection breaks: both begin behind what was settled, each in its lane.
    let flying = window.next(NOW).unwrap();
    assert_eq!(flying.sequence, 2);
    window.disconnected(NOW);
    window.connected(10);
    let wanted = window.wanted().unwrap();
    assert_eq!(wanted.after.get("a"), None);
    assert_eq!(wanted.again.0.get("a"), Some(&1));
    window.offer(vec![ready("a", 7), asked_again("a", 2)]);
    let mut settled = Vec::new();
    while let Some(flight) = window.next(NOW) {
        settled.extend(window.answered(flight.id, Verdict::Taken, NOW).settlement);
    }
    let mut of: Vec<_> = settled.iter().map(|one| (one.outcome.clone(), one.sequence)).collect();
    of.sort_by_key(|(_, sequence)| *sequence);
    assert_eq!(of, [(Outcome::Resent, 2), (Outcome::Delivered, 7)]);
}

#[test]
fn what_is_sent_again_and_refused_is_no_rejected_event_and_no_trouble_of_its_topic() {
    let mut window = Window::new(true, WAITS);
    window.connected(10);
    window.offer(vec![asked_again("a", 1)]);
    let flight = window.next(NOW).unwrap();
    let ruling = window.answered(flight.id, Verdict::NobodyListens, NOW);
    assert_eq!(ruling, Ruling::default(), "it waits, and first deliveries say why");
    let due = window.due().unwrap();
    let flight = window.next(due).unwrap();
    let ruling = window.answered(flight.id, Verdict::Refused("too large".into()), due);
    let reason = "too large".to_owned();
    assert_eq!(ruling.settlement.unwrap().outcome, Outcome::NotResent { reason });
}
