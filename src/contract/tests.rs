use super::*;
use crate::model::draft::{CounterReading, DeviceTime};
use crate::model::event::GapCause;
use crate::model::plan::Keep;
use crate::model::{Commit, DeviceIdentity, Draft, EventType, Fields, Moment, Plant, SlotName};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const NOON: i64 = 1_795_342_503_171;

#[derive(Default, Clone)]
struct Store {
    state: HashMap<Vec<u8>, Vec<u8>>,
    next: HashMap<Arc<str>, u64>,
    events: Vec<crate::model::Sealed>,
}

impl KnownIds for Store {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.state.get(key).cloned()
    }
}

impl Store {
    fn apply(&mut self, commit: Commit) {
        for change in commit.state {
            assert!(change.key.len() <= 512);
            match change.value {
                Some(value) => {
                    assert!(value.len() <= 3_500);
                    self.state.insert(change.key, value)
                }
                None => self.state.remove(&change.key),
            };
        }
        for event in commit.events {
            let next = self.next.entry(event.topic.clone()).or_insert(1);
            assert_eq!(event.sequence, *next, "{} has a hole", event.topic);
            *next += 1;
            self.events.push(event);
        }
    }

    fn allocator(&self) -> Allocator {
        let mut out = allocator();
        let next: Vec<_> = self.next.iter().map(|(topic, next)| (topic.clone(), *next)).collect();
        out.resume(&next);
        for (key, value) in &self.state {
            if let Some(slot) = slot_of(key) {
                out.restore_slot(&slot, value);
            }
        }
        out
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
    Allocator::new(plant, "gw-body-07".into(), "k3v9".into())
}

fn fields(value: Value) -> Fields {
    let Value::Object(out) = value else { panic!("an object") };
    out
}

/// A counter, and the gap before it: after, before, missing.
type Step = (i64, Option<(&'static str, &'static str, i64)>);

fn at(millis: u64) -> Moment {
    Moment::new(NOON + millis.cast_signed(), 1_000_000 + millis)
}

fn tightening(count: i64, torque: &str, millis: u64) -> Draft {
    let data = format!(
        r#"{{"result": "ok", "torque": {{"value": {torque}, "uom": "N.m", "min": 1.1, "result": "ok"}}, "program": {{"id": "3"}}}}"#
    );
    Draft {
        slot: SlotName::new("st10", "spindle-1"),
        event: "tightening".into(),
        kind: EventType::Tightening,
        data: fields(serde_json::from_str(&data).unwrap()),
        quarantine: Vec::new(),
        id: Some(vec![count.to_string()]),
        counter: Some(CounterReading {
            value: count,
            first: 1,
            last: Some(65_535),
        }),
        seen: at(millis),
        since: Some(at(millis.saturating_sub(50))),
        device_time: None,
        backfill: false,
        echo: None,
        extra: fields(json!({"motor_temp": {"value": 41.5, "uom": "Cel"}})),
        raw: Some("0007 70a4 4145".into()),
        device: Arc::new(DeviceIdentity {
            vendor: "Example".into(),
            model: "T-100".into(),
            serial: None,
            digest: "sha256:aa".into(),
        }),
        keep: Keep::Stored,
    }
}

fn unit() -> Subject {
    Subject {
        unit: fields(json!({"id": "WVWZZZ1JZXW000001", "state": "bound", "from": "mes"})),
        id: Some("WVWZZZ1JZXW000001".into()),
    }
}

fn valid(kind: EventType, body: &[u8]) -> Value {
    let event: Value = serde_json::from_slice(body).unwrap();
    let validator = jsonschema::validator_for(&schema(kind)).unwrap();
    let faults: Vec<_> = validator.iter_errors(&event).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}\n{event:#}");
    event
}

/// Seals, stores, and gives the events as JSON.
fn stored(allocator: &mut Allocator, store: &mut Store, draft: &Draft) -> (Sealing, Vec<Value>) {
    let mut commit = Commit::default();
    let sealing = allocator.seal(draft, &unit(), true, store, &mut commit);
    let events = commit
        .events
        .iter()
        .map(|event| valid(event.kind, &event.body))
        .collect();
    store.apply(commit);
    allocator.committed();
    (sealing, events)
}

#[test]
fn an_event_has_its_members_in_the_order_of_the_interface() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    let mut draft = tightening(7, "1.394233", 0);
    draft.device_time = Some(DeviceTime {
        said: "2026-11-22T10:15:02Z".into(),
        wall: NOON - 1_171,
    });
    let (_, events) = stored(&mut allocator, &mut store, &draft);
    let mut event = events[0].clone();
    assert_eq!(event["id"].as_str().unwrap().len(), 32);
    event["id"] = "6f1c".into();
    let expected = r#"{"specversion":"1.0","id":"6f1c","source":"/acme/leipzig/body/line-3/st10/spindle-1","type":"lineside.tightening.v1","subject":"WVWZZZ1JZXW000001","time":"2026-11-22T10:15:03.171Z","datacontenttype":"application/json","dataschema":"urn:lineside:tightening:1","sequence":"00000000000000000001","stream":"k3v9","data":{"unit":{"id":"WVWZZZ1JZXW000001","state":"bound","from":"mes"},"result":"ok","torque":{"value":1.394233,"uom":"N.m","min":1.1,"result":"ok"},"program":{"id":"3"},"result_id":"7","times":{"observed":"2026-11-22T10:15:03.171Z","device":"2026-11-22T10:15:02Z","offset_ms":-1171,"basis":"observed"},"extra":{"motor_temp":{"value":41.5,"uom":"Cel"}},"origin":{"gateway":"gw-body-07","vendor":"Example","model":"T-100","digest":"sha256:aa","raw":"0007 70a4 4145"}}}"#;
    assert_eq!(event.to_string(), expected);
}

#[test]
fn the_same_result_is_a_duplicate_also_after_a_restart() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    let draft = tightening(7, "1.394233", 0);
    stored(&mut allocator, &mut store, &draft);
    let mut again = tightening(7, "1.394233", 900);
    again.data.insert("joint".into(), "J1".into());
    again.extra = Fields::new();
    Arc::make_mut(&mut again.device).digest = "sha256:bb".into();
    assert_eq!(stored(&mut allocator, &mut store, &again).0, Sealing::Duplicate);
    let mut restarted = store.allocator();
    assert_eq!(stored(&mut restarted, &mut store, &again).0, Sealing::Duplicate);
    assert_eq!(store.events.len(), 1);
}

#[test]
fn an_id_with_other_values_is_another_result_and_an_alarm() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    stored(&mut allocator, &mut store, &tightening(7, "1.394233", 0));
    let (_, events) = stored(&mut allocator, &mut store, &tightening(7, "1.5", 10));
    assert_eq!(events[0]["data"]["code"], "id_reused");
    assert_eq!(events[0]["data"]["category"], "gateway");
    assert_eq!(events[1]["data"]["torque"]["value"].to_string(), "1.5");
    let ids: HashSet<_> = store.events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn counters_tell_gaps_wraps_and_restarts() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    let mut ids = HashSet::new();
    // A restarted counter says the very same as before, and it is another result.
    let steps: [Step; 9] = [
        (1, None),
        (2, None),
        (5, Some(("2", "5", 2))),
        (1, None),
        (2, None),
        (65_535, Some(("2", "65535", 65_532))),
        (1, None),
        (65_534, Some(("1", "65534", 65_532))),
        (3, Some(("65534", "3", 3))),
    ];
    for (index, (count, gap)) in steps.into_iter().enumerate() {
        let draft = tightening(count, "1", index as u64 * 100);
        let (_, events) = stored(&mut allocator, &mut store, &draft);
        assert_eq!(events.len(), 1 + usize::from(gap.is_some()), "step {index}");
        if let Some((after, before, missing)) = gap {
            let data = &events[0]["data"];
            assert_eq!(data["cause"], GapCause::Missed.word());
            assert_eq!((&data["of"], &data["count"]), (&json!("tightening"), &json!(missing)));
            assert_eq!((&data["after"], &data["before"]), (&json!(after), &json!(before)));
        }
        assert!(ids.insert(events.last().unwrap()["id"].clone()), "step {index}");
    }
}

#[test]
fn another_device_has_other_ids() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    stored(&mut allocator, &mut store, &tightening(7, "1", 0));
    let mut other = tightening(7, "1", 100);
    Arc::make_mut(&mut other.device).serial = Some("KD-2".into());
    let (_, events) = stored(&mut allocator, &mut store, &other);
    assert_ne!(events[0]["id"], store.events[0].id);
    assert_eq!(events[0]["sequence"], "00000000000000000002");
}

#[test]
fn what_does_not_fit_is_quarantined_and_read_again_a_duplicate() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    for (data, reason) in [
        (json!({"torque": {"value": 1, "uom": "N.m"}}), "`result` is missing"),
        (
            json!({"result": "good"}),
            "`result` is \"good\", not one of ok nok undecided not_judged",
        ),
        (
            json!({"result": "ok", "torque": {"value": "x", "uom": "N.m"}}),
            "`torque.value` is \"x\", not a number",
        ),
        (
            json!({"result": "ok", "torque": {"value": 1, "uom": "J"}}),
            "`torque.uom` is J, not N.m",
        ),
        (
            json!({"result": "ok", "batch": {"count": 1.5}}),
            "`batch.count` is 1.5, not a whole number",
        ),
        (
            json!({"result": "ok", "program": {"name": "p"}}),
            "`program.id` is missing",
        ),
    ] {
        let mut draft = tightening(7, "1", 0);
        draft.raw = Some(reason.into());
        draft.data = fields(data);
        let (sealing, events) = stored(&mut allocator, &mut store, &draft);
        assert!(matches!(
            sealing,
            Sealing::Stored {
                kind: EventType::Quarantine,
                ..
            }
        ));
        assert_eq!(events[0]["data"]["reasons"], json!([reason]));
        assert_eq!(events[0]["data"]["type"], "tightening");
        assert_eq!(events[0]["data"]["result_id"], "7");
        draft.quarantine = vec!["in other words".into()];
        assert_eq!(stored(&mut allocator, &mut store, &draft).0, Sealing::Duplicate);
    }
    // Mended: a result of its own.
    let (sealing, _) = stored(&mut allocator, &mut store, &tightening(7, "1", 0));
    assert!(matches!(
        sealing,
        Sealing::Stored {
            kind: EventType::Tightening,
            ..
        }
    ));
}

#[test]
fn what_the_mes_owns_never_gets_out() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    let mut draft = tightening(7, "1", 0);
    for name in ["order", "disposition", "unit", "origin", "times"] {
        draft.data.insert(name.into(), "WO-1".into());
    }
    draft.data["program"]["routing"] = "x".into();
    draft.data.insert("joint".into(), Value::Null);
    let (_, events) = stored(&mut allocator, &mut store, &draft);
    let text = events[0]["data"].to_string();
    assert!(
        !text.contains("WO-1") && !text.contains("routing") && !text.contains("null"),
        "{text}"
    );
}

#[test]
fn only_the_newest_has_no_number() {
    let (mut allocator, store) = (allocator(), Store::default());
    let mut draft = tightening(7, "1", 0);
    draft.kind = EventType::Readings;
    draft.keep = Keep::Latest;
    draft.data = fields(json!({"values": {"motor_temp": 41.5}, "uoms": {"motor_temp": "Cel"}}));
    let mut commit = Commit::default();
    let Sealing::Latest { topic, kind, body } = allocator.seal(&draft, &unit(), true, &store, &mut commit) else {
        panic!("only the newest is kept");
    };
    assert!(commit.is_empty());
    assert!(topic.ends_with("st10/spindle-1/readings"));
    let event = valid(kind, &body);
    assert!(event.get("sequence").is_none() && event.get("stream").is_none());
    assert!(event["data"]["origin"].get("raw").is_none());
}

#[test]
fn what_is_abandoned_was_never_given() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    stored(&mut allocator, &mut store, &tightening(1, "1", 0));
    let mut lost = Commit::default();
    for count in [2, 4] {
        allocator.seal(&tightening(count, "1", 10), &unit(), true, &store, &mut lost);
    }
    assert_eq!(lost.events.len(), 3);
    allocator.abandon();
    let (_, events) = stored(&mut allocator, &mut store, &tightening(2, "1", 20));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["sequence"], "00000000000000000002");
}

#[test]
fn a_group_knows_its_own_ids() {
    let (mut allocator, store) = (allocator(), Store::default());
    let mut commit = Commit::default();
    let draft = tightening(1, "1", 0);
    allocator.seal(&draft, &unit(), true, &store, &mut commit);
    let again = allocator.seal(&draft, &unit(), true, &store, &mut Commit::default());
    assert_eq!(again, Sealing::Duplicate);
}

#[test]
fn a_backfilled_result_has_the_devices_time_less_its_offset() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    let device = |wall: i64| {
        Some(DeviceTime {
            said: crate::model::time::rfc3339(wall),
            wall,
        })
    };
    for (count, offset) in [(1, 60_000), (2, 60_400), (3, 59_900)] {
        let mut draft = tightening(count, "1", 100 * count.unsigned_abs());
        draft.device_time = device(draft.seen.wall + offset);
        stored(&mut allocator, &mut store, &draft);
    }
    let mut allocator = store.allocator();
    let slot = SlotName::new("st10", "spindle-1");
    allocator.clock_stepped(500);
    assert_eq!(allocator.clock_offset(&slot), Some(59_500));
    allocator.clock_stepped(-500);
    let mut late = tightening(4, "1", 3_600_000);
    (late.backfill, late.since) = (true, None);
    late.device_time = device(NOON + 1_000_000 + 60_000);
    let (_, events) = stored(&mut allocator, &mut store, &late);
    assert_eq!(events[0]["time"], crate::model::time::rfc3339(NOON + 1_000_000));
    let times = &events[0]["data"]["times"];
    assert_eq!(
        (&times["basis"], &times["offset_ms"]),
        (&json!("device"), &json!(60_000))
    );
    assert_eq!(events[0]["data"]["backfill"], true);
}

#[test]
fn a_result_found_after_a_time_away_says_since_when_it_may_be() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    stored(&mut allocator, &mut store, &tightening(1, "1", 0));
    let mut found = tightening(2, "1", 600_000);
    found.since = None;
    let (_, events) = stored(&mut allocator, &mut store, &found);
    let times = &events[0]["data"]["times"];
    assert_eq!(times["not_before"], at(0).rfc3339());
    assert_eq!(times["basis"], "observed");
    let mut commit = Commit::default();
    allocator.seal(&tightening(3, "1", 600_100), &unit(), false, &store, &mut commit);
    let event = valid(EventType::Tightening, &commit.events[0].body);
    assert_eq!(event["data"]["times"]["basis"], "unsynchronized");
    assert!(event["data"]["times"].get("not_before").is_none());
}

#[test]
fn ids_are_forgotten_only_when_delivered_and_old() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    let topic = {
        let Sealing::Stored { topic, .. } = stored(&mut allocator, &mut store, &tightening(1, "1", 0)).0 else {
            panic!("it is stored")
        };
        topic
    };
    for count in 2..=10_500 {
        let mut commit = Commit::default();
        allocator.seal(&tightening(count, "1", 0), &unit(), true, &store, &mut commit);
        store.apply(commit);
        allocator.committed();
    }
    let before = store.state.len();
    assert!(allocator.forget(&topic, 0, &store).is_empty());
    for (delivered, left) in [(100, before - 199), (10_500, before - 999)] {
        let state = allocator.forget(&topic, delivered, &store);
        store.apply(Commit {
            events: Vec::new(),
            state,
        });
        allocator.committed();
        // Two keys an id; one holds how far it went.
        assert_eq!(store.state.len(), left);
    }
    assert!(store.allocator().forget(&topic, 10_500, &store).is_empty());
    assert_eq!(
        stored(&mut allocator, &mut store, &tightening(10_500, "1", 1)).0,
        Sealing::Duplicate
    );
}

#[test]
fn the_gateways_own_events_are_events() {
    let (mut allocator, mut store) = (allocator(), Store::default());
    let slot = SlotName::new("st10", "spindle-1");
    let mut commit = Commit::default();
    let missing = Missing {
        cause: GapCause::Rejected,
        of: EventType::Tightening,
        after: None,
        before: Some("4".into()),
        count: Some(1),
    };
    allocator.gap(&slot, &missing, at(0), true, &mut commit);
    allocator.alarm(&slot, "ack_timeout", true, "no answer", at(1), true, &mut commit);
    let change =
        fields(json!({"from": {"vendor": "A"}, "to": {"vendor": "B", "model": "m"}, "plan": ["nothing"], "order": 1}));
    allocator.change(&slot, &change, at(2), false, &mut commit);
    let kinds: Vec<_> = commit.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::Gap, EventType::Alarm, EventType::Change]);
    for event in &commit.events {
        let json = valid(event.kind, &event.body);
        assert!(json["data"].get("order").is_none());
        assert!(event.topic.ends_with(event.kind.word()));
    }
    store.apply(commit);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9.]{0,6}".prop_map(Value::from),
        Just(json!("ok")),
        Just(json!("N.m")),
        Just(json!("9007199254740993")),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let name = prop_oneof![
            Just("value"),
            Just("uom"),
            Just("id"),
            Just("name"),
            Just("values"),
            Just("code"),
            Just("x")
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((name.prop_map(str::to_owned), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn any_draft()(
        kind in prop::sample::select(EventType::ALL),
        slot in 0_u8..3,
        values in prop::collection::vec(any_value(), 14),
        present in any::<u16>(),
        id in prop::option::of(prop::collection::vec("[0-9]{1,3}|.{0,300}", 0..3)),
        counter in prop::option::of((any::<i64>(), any::<i64>(), prop::option::of(any::<i64>()))),
        wall in any::<i64>(),
        tick in any::<u64>(),
        since in prop::option::of(any::<(i64, u64)>()),
        device in prop::option::of(any::<i64>()),
        backfill in any::<bool>(),
        latest in any::<bool>(),
        reasons in prop::collection::vec("[a-z]{1,5}", 0..2),
    ) -> Draft {
        let names = kind.fields().iter().map(|field| field.name.to_owned()).chain(["order".to_owned()]);
        let data = names.zip(values).enumerate().filter(|(index, _)| present & (1 << index) != 0);
        Draft {
            slot: SlotName::new("st10", ["a", "b", "c"][usize::from(slot)]),
            event: kind.word().into(),
            kind,
            data: data.map(|(_, field)| field).collect(),
            quarantine: reasons,
            id,
            counter: counter.map(|(value, first, last)| CounterReading { value, first, last }),
            seen: Moment::new(wall, tick),
            since: since.map(|(wall, tick)| Moment::new(wall, tick)),
            device_time: device.map(|wall| DeviceTime { said: "then".into(), wall }),
            backfill,
            keep: if latest { Keep::Latest } else { Keep::Stored },
            ..tightening(1, "1", 0)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_draft_is_an_event_or_a_quarantine(draft in any_draft()) {
        let (mut allocator, mut store) = (allocator(), Store::default());
        let mut commit = Commit::default();
        match allocator.seal(&draft, &unit(), true, &store, &mut commit) {
            Sealing::Latest { kind, body, .. } => { valid(kind, &body); }
            Sealing::Stored { kind, .. } => {
                let last = commit.events.last().unwrap();
                prop_assert_eq!(last.kind, kind);
                valid(kind, &last.body);
            }
            Sealing::Duplicate => prop_assert!(false, "nothing was known"),
        }
        store.apply(commit);
    }

    /// Whatever comes, in groups of any size, stored, lost or restarted between: no hole, no id twice,
    /// and what was stored last is a duplicate when it is read again.
    #[test]
    fn sequences_have_no_hole_and_ids_are_unique(
        steps in prop::collection::vec((0_u8..8, 1_i64..30, prop::sample::select(vec!["1", "2"])), 1..60)
    ) {
        let (mut allocator, mut store) = (allocator(), Store::default());
        let mut commit = Commit::default();
        let mut newest: Option<Draft> = None;
        let mut pending: Option<Draft> = None;
        for (millis, (what, count, torque)) in steps.into_iter().enumerate() {
            match what {
                0..=3 => {
                    let mut draft = tightening(count, torque, millis as u64);
                    if what == 3 {
                        draft.quarantine.push("no".into());
                    }
                    allocator.seal(&draft, &unit(), true, &store, &mut commit);
                    pending = Some(draft);
                }
                4 => allocator.alarm(&SlotName::new("st10", "spindle-1"), "x", true, "", at(0), true, &mut commit),
                5 => {
                    store.apply(std::mem::take(&mut commit));
                    allocator.committed();
                    newest = pending.take().or(newest);
                }
                6 => {
                    commit = Commit::default();
                    allocator.abandon();
                    pending = None;
                }
                _ => {
                    commit = Commit::default();
                    allocator = store.allocator();
                    pending = None;
                    if let Some(draft) = &newest {
                        let again = allocator.seal(draft, &unit(), true, &store, &mut commit);
                        prop_assert_eq!(again, Sealing::Duplicate);
                    }
                }
            }
        }
        store.apply(commit);
        let ids: HashSet<_> = store.events.iter().map(|event| event.id.as_str()).collect();
        prop_assert_eq!(ids.len(), store.events.len());
    }
}
