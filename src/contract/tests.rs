use super::*;
use crate::model::draft::{CounterReading, DeviceTime};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A store that only remembers state.
#[derive(Default)]
struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

impl KnownIds for Memory {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
}

/// An allocator with its store: every sealing is committed at once.
struct Bench {
    allocator: Allocator,
    memory: Memory,
    events: Vec<Sealed>,
    now: i64,
}

const NOON: i64 = 1_795_342_500_000;

impl Bench {
    fn new() -> Self {
        Self {
            allocator: allocator(),
            memory: Memory::default(),
            events: Vec::new(),
            now: NOON,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a test makes each draft where it seals it")]
    fn seal(&mut self, draft: Draft) -> Sealing {
        let mut commit = Commit::default();
        let unit = UnitOf {
            fields: json!({"id": "U1", "state": "bound", "from": "mes"})
                .as_object()
                .unwrap()
                .clone(),
            subject: Some("U1".into()),
        };
        self.now += 1_000;
        let now = Now {
            moment: Moment::new(self.now, 1),
            set: true,
        };
        let sealing = self.allocator.seal(&draft, &unit, now, &self.memory, &mut commit);
        self.keep(commit);
        sealing
    }

    /// A result that the profile turns away.
    fn pass(&mut self, draft: &Draft) {
        let mut commit = Commit::default();
        self.now += 1_000;
        let now = Now {
            moment: Moment::new(self.now, 1),
            set: true,
        };
        self.allocator.pass(draft, &UnitOf::default(), now, &mut commit);
        self.keep(commit);
    }

    fn keep(&mut self, commit: Commit) {
        for change in commit.state {
            match change.value {
                Some(value) => self.memory.0.insert(change.key, value),
                None => self.memory.0.remove(&change.key),
            };
        }
        self.events.extend(commit.events);
        self.allocator.committed();
    }

    /// The gateway starts again on the same store.
    fn restart(&mut self) {
        let mut next: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for event in &self.events {
            next.insert(event.topic.clone(), event.sequence + 1);
        }
        self.allocator = allocator();
        self.allocator.resume(&next.into_iter().collect::<Vec<_>>());
        for (key, value) in &self.memory.0 {
            if key[0] == space::SLOT {
                self.allocator
                    .restore_slot(std::str::from_utf8(&key[1..]).unwrap(), value);
            }
        }
    }

    fn bodies(&self, kind: EventType) -> Vec<Value> {
        let of = self.events.iter().filter(|event| event.kind == kind);
        of.map(|event| serde_json::from_slice(&event.body).unwrap()).collect()
    }
}

fn allocator() -> Allocator {
    let plant = Plant {
        topic_prefix: String::new(),
        enterprise: "acme".into(),
        site: "leipzig".into(),
        area: "body".into(),
        line: "line-3".into(),
    };
    Allocator::new(plant, "gw-1", "s1")
}

fn device(serial: &str) -> Arc<DeviceIdentity> {
    Arc::new(DeviceIdentity {
        vendor: "Example".into(),
        model: "T-100".into(),
        serial: Some(serial.into()),
        digest: "sha256:00".into(),
    })
}

fn result(count: i64, torque: f64) -> Draft {
    let at = Moment::new(NOON + count * 1_000, 1_000);
    let data = json!({
        "result_id": count.to_string(), "result": "ok", "torque": {"value": torque, "uom": "N.m", "min": 1.1},
        "angle": {"value": 47, "uom": "deg"}, "program": {"id": "3"},
    });
    Draft {
        event: "tightening".into(),
        id: Some(vec![count.to_string()]),
        counter: Some(CounterReading {
            value: count,
            first: 1,
            from: 1,
            last: Some(65_535),
            before: None,
            waits: false,
        }),
        since: Some(at),
        raw: Some("0007 70a4 4145".into()),
        ..own(
            &SlotName::new("st10", "spindle-1"),
            EventType::Tightening,
            data.as_object().unwrap().clone(),
            at,
            &device("A"),
        )
    }
}

#[test]
fn an_event_looks_as_the_interface_shows_it() {
    let mut bench = Bench::new();
    let mut draft = result(7, 1.394_233);
    draft.device_time = Some(DeviceTime {
        said: "2026-11-22T10:15:02Z".into(),
        wall: NOON + 5_829,
    });
    draft
        .extra
        .insert("motor_temp".into(), json!({"value": 41.5, "uom": "Cel"}));
    bench.seal(draft);
    let text = String::from_utf8(bench.events[0].body.clone()).unwrap();
    let id = &bench.events[0].id;
    let expected = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/acme/leipzig/body/line-3/st10/spindle-1\",\
         \"type\":\"lineside.tightening.v1\",\"subject\":\"U1\",\"time\":\"2026-11-22T10:15:07.000Z\",\
         \"datacontenttype\":\"application/json\",\"dataschema\":\"urn:lineside:tightening:1\",\
         \"sequence\":\"00000000000000000001\",\"stream\":\"s1\",\"data\":{{\
         \"unit\":{{\"id\":\"U1\",\"state\":\"bound\",\"from\":\"mes\"}},\"result\":\"ok\",\
         \"torque\":{{\"value\":1.394233,\"uom\":\"N.m\",\"min\":1.1}},\"angle\":{{\"value\":47,\"uom\":\"deg\"}},\
         \"program\":{{\"id\":\"3\"}},\"result_id\":\"7\",\
         \"times\":{{\"observed\":\"2026-11-22T10:15:07.000Z\",\"device\":\"2026-11-22T10:15:02Z\",\"offset_ms\":-1171,\"basis\":\"observed\"}},\
         \"extra\":{{\"motor_temp\":{{\"value\":41.5,\"uom\":\"Cel\"}}}},\
         \"origin\":{{\"gateway\":\"gw-1\",\"vendor\":\"Example\",\"model\":\"T-100\",\"serial\":\"A\",\"digest\":\"sha256:00\",\"raw\":\"0007 70a4 4145\"}}}}}}"
    );
    assert_eq!(text, expected);
    assert_eq!(
        &*bench.events[0].topic,
        "acme/leipzig/body/line-3/st10/spindle-1/tightening"
    );
}

#[test]
fn every_type_validates_against_its_own_schema() {
    let samples = [
        (
            EventType::Tightening,
            json!({"result": "nok", "torque": {"value": 1, "uom": "N.m", "result": "low"}, "errors": [{"code": "34"}], "batch": {"count": 1, "size": 4}}),
        ),
        (
            EventType::Measurement,
            json!({"name": "press_force", "value": "9007199254740993", "uom": "N", "result": "ok"}),
        ),
        (EventType::Identification, json!({"code": "0123", "gs1": {"21": "ABC"}})),
        (EventType::State, json!({"state": "starved", "detail": "no parts"})),
        (
            EventType::Alarm,
            json!({"code": "guard_open", "active": true, "severity": 3}),
        ),
        (
            EventType::Cycle,
            json!({"phase": "end", "count": 12, "duration_s": 4.25}),
        ),
        (
            EventType::Curve,
            json!({"x": {"name": "angle", "uom": "deg", "values": [0, 1]}, "y": {"name": "torque", "values": [0.5, 1]}, "part": 1, "parts": 1}),
        ),
        (
            EventType::Readings,
            json!({"values": {"t": 41.5, "on": true, "s": "x"}, "uoms": {"t": "Cel"}, "quality": {"p": "invalid"}}),
        ),
    ];
    for (kind, data) in samples {
        let mut bench = Bench::new();
        let mut draft = result(1, 1.0);
        (draft.kind, draft.id, draft.counter) = (kind, None, None);
        draft.data = data.as_object().unwrap().clone();
        let sealing = bench.seal(draft.clone());
        assert!(
            matches!(sealing, Sealing::Stored { kind: sealed, .. } if sealed == kind),
            "{kind}: {:?}",
            guard::reasons(&draft)
        );
        let validator = jsonschema::validator_for(&schema(kind)).unwrap();
        let body = &bench.bodies(kind)[0];
        let faults: Vec<_> = validator.iter_errors(body).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{kind}: {faults:?}\n{body:#}");
        // And it sees a fault: nothing required may be missing.
        let mut without = body.clone();
        let first = kind.fields().iter().find(|spec| spec.required).unwrap().name;
        without["data"].as_object_mut().unwrap().remove(first);
        assert!(!validator.is_valid(&without), "{kind} without {first}");
    }
}

#[test]
fn the_same_result_is_sent_once_and_keeps_its_id_through_restarts() {
    let mut bench = Bench::new();
    bench.seal(result(7, 1.5));
    assert_eq!(bench.seal(result(7, 1.5)), Sealing::Duplicate);
    bench.restart();
    let mut again = result(7, 1.5);
    // Fetched again from the device's memory, with another time and a new field: the same result.
    (again.backfill, again.seen.wall) = (true, NOON + 900_000);
    again.data.insert("joint".into(), "B1".into());
    assert_eq!(bench.seal(again), Sealing::Duplicate);
    assert_eq!(bench.events.len(), 1);
}

#[test]
fn an_id_with_other_values_is_never_dropped() {
    let mut bench = Bench::new();
    let mut first = result(7, 1.5);
    first.counter = None;
    let mut second = result(7, 1.6);
    second.counter = None;
    bench.seal(first);
    bench.seal(second.clone());
    assert_eq!(bench.bodies(EventType::Tightening).len(), 2);
    assert_ne!(bench.events[0].id, bench.events[2].id);
    let alarm = &bench.bodies(EventType::Alarm)[0];
    assert_eq!(
        (&alarm["data"]["code"], &alarm["data"]["category"]),
        (&json!("id_reused"), &json!("gateway"))
    );
    assert_eq!(bench.seal(second), Sealing::Duplicate);
}

#[test]
fn a_jump_of_the_counter_is_a_gap_before_the_event() {
    let mut bench = Bench::new();
    bench.seal(result(41, 1.0));
    bench.seal(result(44, 1.0));
    let kinds: Vec<_> = bench.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::Tightening, EventType::Gap, EventType::Tightening]);
    let gap = &bench.bodies(EventType::Gap)[0]["data"];
    assert_eq!(gap["cause"], "missed");
    assert_eq!(
        (&gap["of"], &gap["after"], &gap["before"], &gap["count"]),
        (&json!("tightening"), &json!("41"), &json!("44"), &json!(2))
    );
    let validator = jsonschema::validator_for(&schema(EventType::Gap)).unwrap();
    assert!(validator.is_valid(&bench.bodies(EventType::Gap)[0]));
}

#[test]
fn a_result_that_is_turned_away_is_not_missing() {
    let mut bench = Bench::new();
    bench.seal(result(41, 1.0));
    bench.pass(&result(42, 1.0));
    bench.restart();
    bench.seal(result(43, 1.0));
    assert!(bench.bodies(EventType::Gap).is_empty());
    // What is missing before it is told with it.
    bench.pass(&result(46, 1.0));
    bench.seal(result(47, 1.0));
    let gaps = bench.bodies(EventType::Gap);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0]["data"]["count"], 2);
}

#[test]
fn a_device_that_counts_anew_swallows_no_result_even_with_equal_values() {
    let mut bench = Bench::new();
    for count in 1..=5 {
        bench.seal(result(count, 1.0));
    }
    bench.restart();
    for count in 1..=5 {
        assert!(
            matches!(bench.seal(result(count, 1.0)), Sealing::Stored { .. }),
            "{count}"
        );
    }
    let mut ids: Vec<_> = bench.events.iter().map(|event| event.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 10);
    assert!(bench.bodies(EventType::Gap).is_empty());
    assert_eq!(bench.seal(result(0, 0.0)), Sealing::NoResult);
}

#[test]
fn a_device_that_was_off_and_shows_the_same_result_again_made_no_other() {
    let mut bench = Bench::new();
    let timed = |count: i64, wall: i64| {
        let mut draft = result(count, 1.0);
        draft.device_time = Some(DeviceTime {
            said: String::new(),
            wall,
        });
        draft
    };
    bench.seal(timed(57, NOON));
    // Its registers are 0 while it starts, then it shows what it kept.
    assert_eq!(bench.seal(timed(0, 0)), Sealing::NoResult);
    assert_eq!(bench.seal(timed(57, NOON)), Sealing::Duplicate);
    assert!(matches!(bench.seal(timed(58, NOON + 1_000)), Sealing::Stored { .. }));
    assert!(bench.bodies(EventType::Gap).is_empty());
    // As far as before, and equal but for its time: it counted anew.
    bench.seal(timed(0, 0));
    assert!(matches!(bench.seal(timed(58, NOON + 9_000)), Sealing::Stored { .. }));
    // Lower: counted anew, and what it counted since is missing.
    bench.seal(timed(0, 0));
    assert!(matches!(bench.seal(timed(3, NOON + 20_000)), Sealing::Stored { .. }));
    assert_eq!(bench.bodies(EventType::Gap)[0]["data"]["count"], 2);
    let ids: std::collections::BTreeSet<_> = bench.events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), bench.events.len());
}

#[test]
fn a_counter_that_wraps_gives_no_id_twice() {
    let mut bench = Bench::new();
    let count = |value: i64, torque: f64| {
        let mut draft = result(value, torque);
        draft.counter = Some(CounterReading {
            value,
            first: 1,
            from: 1,
            last: Some(10),
            before: None,
            waits: true,
        });
        draft
    };
    for round in 0..3 {
        for value in 1..=10 {
            // Equal values on every round: only the wrap tells the results apart.
            assert!(
                matches!(bench.seal(count(value, 1.0)), Sealing::Stored { .. }),
                "{round} {value}"
            );
            assert_eq!(bench.seal(count(value, 1.0)), Sealing::Duplicate);
        }
    }
    let ids: std::collections::BTreeSet<_> = bench.events.iter().map(|event| &event.id).collect();
    assert_eq!((bench.events.len(), ids.len()), (30, 30));
}

#[test]
fn another_device_has_ids_of_its_own() {
    let mut bench = Bench::new();
    bench.seal(result(7, 1.0));
    let mut other = result(7, 1.0);
    other.device = device("B");
    assert!(matches!(bench.seal(other), Sealing::Stored { sequence: 2, .. }));
    assert_ne!(bench.events[0].id, bench.events[1].id);
}

#[test]
fn what_cannot_be_a_contract_event_is_a_quarantine_with_its_reasons() {
    let mut bench = Bench::new();
    let mut unknown = result(1, 1.0);
    unknown.quarantine = vec!["unknown code 7 of `judgement`".into()];
    let mut missing = result(2, 1.0);
    missing.data.remove("result");
    let mut order = result(3, 1.0);
    order.data.insert("order_status".into(), "done".into());
    let mut wrong = result(4, 1.0);
    wrong.data.insert("result".into(), "perhaps".into());
    for draft in [unknown, missing, order, wrong] {
        assert!(matches!(
            bench.seal(draft),
            Sealing::Stored {
                kind: EventType::Quarantine,
                ..
            }
        ));
    }
    let reasons: Vec<_> = bench
        .bodies(EventType::Quarantine)
        .iter()
        .map(|body| body["data"]["reasons"][0].clone())
        .collect();
    assert_eq!(reasons[0], "unknown code 7 of `judgement`");
    assert_eq!(reasons[1], "`result` is missing");
    assert_eq!(reasons[2], "`order_status` is no field of the contract");
    assert!(reasons[3].as_str().unwrap().contains("one of ok, nok"));
    let validator = jsonschema::validator_for(&schema(EventType::Quarantine)).unwrap();
    for body in bench.bodies(EventType::Quarantine) {
        assert!(validator.is_valid(&body), "{body:#}");
        assert_eq!(body["data"]["raw"], "0007 70a4 4145");
        assert_eq!(body["data"]["type"], "tightening");
    }
}

#[test]
fn latest_values_carry_no_number() {
    let mut bench = Bench::new();
    let mut draft = result(1, 1.0);
    (draft.kind, draft.keep, draft.id, draft.counter) = (EventType::Readings, Keep::Latest, None, None);
    draft.data = json!({"values": {"t": 1}}).as_object().unwrap().clone();
    let Sealing::Latest { body, .. } = bench.seal(draft) else {
        panic!("not latest")
    };
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!(body.get("sequence").is_none() && body.get("stream").is_none());
    assert!(body["data"]["origin"].get("raw").is_none());
    assert!(
        jsonschema::validator_for(&schema(EventType::Readings))
            .unwrap()
            .is_valid(&body)
    );
    assert!(bench.events.is_empty());
}

#[test]
fn a_result_fetched_later_gets_the_devices_time_less_its_learned_offset() {
    let mut bench = Bench::new();
    for count in 1..=3 {
        let mut live = result(count, 1.0);
        live.device_time = Some(DeviceTime {
            said: String::new(),
            wall: live.seen.wall - 3_600_000,
        });
        bench.seal(live);
    }
    let mut late = result(4, 1.0);
    late.backfill = true;
    late.device_time = Some(DeviceTime {
        said: "x".into(),
        wall: NOON - 3_600_000 + 3_500,
    });
    late.seen.wall = NOON + 500_000;
    bench.seal(late);
    let body = &bench.bodies(EventType::Tightening)[3];
    assert_eq!(body["time"], "2026-11-22T10:15:03.500Z");
    assert_eq!(
        (&body["data"]["times"]["basis"], &body["data"]["backfill"]),
        (&json!("device"), &json!(true))
    );
}

#[test]
fn fetched_results_fill_the_counter_and_no_gap_is_told() {
    let mut bench = Bench::new();
    bench.seal(result(1, 1.0));
    for count in 2..=4 {
        let mut fetched = result(count, 1.0);
        fetched.backfill = true;
        bench.seal(fetched);
    }
    // One could not be fetched.
    let mut fetched = result(6, 1.0);
    fetched.backfill = true;
    bench.seal(fetched);
    bench.seal(result(7, 1.0));
    let gaps = bench.bodies(EventType::Gap);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(
        (&gaps[0]["data"]["after"], &gaps[0]["data"]["before"]),
        (&json!("4"), &json!("6"))
    );
}

#[test]
fn what_is_seen_when_it_is_made_keeps_that_time_after_a_time_away_and_nothing_is_later_than_seen() {
    let mut bench = Bench::new();
    for count in 1..=3 {
        let mut live = result(count, 1.0);
        live.device_time = Some(DeviceTime {
            said: String::new(),
            wall: live.seen.wall - 60_000,
        });
        bench.seal(live);
    }
    let found = |count: i64, ago: i64| {
        let mut found = result(count, 1.0);
        found.since = None;
        found.device_time = Some(DeviceTime {
            said: String::new(),
            wall: found.seen.wall - 60_000 - ago,
        });
        found
    };
    let [close, ahead, old] = [found(4, 400), found(5, -900), found(6, 30_000)];
    let seen = [close.seen, ahead.seen, old.seen];
    for draft in [close, ahead, old] {
        bench.seal(draft);
    }
    let told = bench.bodies(EventType::Tightening);
    let time = |at: usize| told[at]["time"].clone();
    assert_eq!(time(3), seen[0].rfc3339());
    assert_eq!(time(4), seen[1].rfc3339());
    assert_eq!(told[5]["data"]["times"]["basis"], "device");
    assert!(time(5).as_str().unwrap() < seen[2].rfc3339().as_str());
}

#[test]
fn a_result_found_after_a_time_away_says_since_when_it_may_be() {
    let mut bench = Bench::new();
    bench.seal(result(1, 1.0));
    let mut found = result(2, 1.0);
    (found.since, found.seen.wall) = (None, NOON + 600_000);
    bench.seal(found);
    let times = &bench.bodies(EventType::Tightening)[1]["data"]["times"];
    assert_eq!(times["not_before"], "2026-11-22T10:15:01.000Z");
    assert_eq!(times["basis"], "observed");
}

#[test]
fn ids_are_forgotten_only_when_delivered_and_10_000_results_old() {
    let mut bench = Bench::new();
    let topic: Arc<str> = "acme/leipzig/body/line-3/st10/spindle-1/tightening".into();
    for count in 1..=10_200 {
        bench.seal(result(count, 1.0));
    }
    assert!(bench.allocator.forget(&topic, 0, &bench.memory).is_empty());
    let before = bench.memory.0.len();
    let state = bench.allocator.forget(&topic, 10_200, &bench.memory);
    bench.keep(Commit {
        events: Vec::new(),
        state,
    });
    assert_eq!(bench.memory.0.len(), before - 2 * 200);
    let mut known = result(201, 1.0);
    known.backfill = true;
    assert_eq!(bench.seal(known), Sealing::Duplicate);
    let mut forgotten = result(200, 1.0);
    forgotten.backfill = true;
    assert!(matches!(bench.seal(forgotten), Sealing::Stored { .. }));
}

proptest! {
    /// Whatever is mixed, with restarts in between: numbers have no hole, no id stands twice, no result is swallowed.
    #[test]
    fn sequences_have_no_hole_and_ids_are_unique(steps in prop::collection::vec((0_u8..5, 1_i64..30), 1..60)) {
        let mut bench = Bench::new();
        for (what, number) in steps {
            match what {
                0 => bench.restart(),
                1 => {
                    let mut draft = result(number, 1.0);
                    (draft.id, draft.counter) = (None, None);
                    bench.seal(draft);
                }
                2 => {
                    let mut draft = result(number, 1.0);
                    draft.quarantine.push("odd".into());
                    bench.seal(draft);
                }
                _ => {
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    bench.seal(result(number, f64::from(what) + number as f64));
                }
            }
        }
        let mut last: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        let mut ids = std::collections::BTreeSet::new();
        for event in &bench.events {
            let number = last.entry(event.topic.clone()).or_insert(0);
            prop_assert_eq!(event.sequence, *number + 1);
            *number += 1;
            prop_assert!(ids.insert(event.id.clone()));
        }
    }

    /// Any draft gives an event that validates, or a quarantine that does.
    #[test]
    fn any_fields_give_an_event_or_a_quarantine(name in "[a-z_]{1,12}", text in ".{0,12}", number: i64, pick in 0_u8..5) {
        let value = match pick {
            0 => json!(text),
            1 => json!(number),
            2 => json!({"value": number, "uom": text}),
            3 => json!([text, number]),
            _ => json!({"id": text}),
        };
        let mut bench = Bench::new();
        let mut draft = result(1, 1.0);
        let field = EventType::Tightening.fields().get(usize::from(pick) * 2).map_or(name, |spec| spec.name.to_owned());
        draft.data.insert(field, value);
        bench.seal(draft);
        let event = bench.events.last().unwrap();
        let validator = jsonschema::validator_for(&schema(event.kind)).unwrap();
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        let faults: Vec<_> = validator.iter_errors(&body).map(|fault| fault.to_string()).collect();
        prop_assert!(faults.is_empty(), "{:?} {}", faults, body);
    }
}
