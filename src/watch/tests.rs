use super::*;
use crate::model::SlotName;
use crate::model::plan::*;
use std::time::Duration;

/// A plain holding register.
pub(super) fn point(name: &str, address: u16) -> PointPlan {
    PointPlan {
        name: name.into(),
        at: Address::Modbus(ModbusPoint {
            table: Table::Holding,
            address,
            kind: ModbusType::U16,
            order: WordOrder::Abcd,
            bits: None,
            count: None,
            clears: false,
        }),
        invalid: vec![],
        deadband: None,
    }
}

/// A slot with these points and one event, polled every 50 ms.
pub(super) fn slot(points: Vec<PointPlan>, event: EventPlan) -> Arc<SlotPlan> {
    Arc::new(SlotPlan {
        slot: SlotName::new("st10", "spindle-1"),
        link: Link::Modbus(ModbusLink {
            address: "127.0.0.1:502".into(),
            transport: ModbusTransport::Tcp,
            server_id: 1,
            poll: Duration::from_millis(50),
            timeout: Duration::from_secs(1),
            max_registers: 125,
            max_bits: 2000,
            max_gap: 8,
        }),
        points,
        events: vec![event],
        notices: Vec::new(),
        alive: None,
    })
}

/// Points: 0 counter, 1 ready, 2 value, 3 ack, 4 id.
pub(super) fn plan(event: EventPlan) -> Arc<SlotPlan> {
    let at = |address| PointPlan {
        invalid: vec![Raw::Int(65_535)],
        ..point(&format!("p{address}"), address)
    };
    slot((0..5).map(at).collect(), event)
}

pub(super) fn event(triggers: Vec<Trigger>) -> EventPlan {
    EventPlan {
        name: "tightening".into(),
        triggers,
        points: vec![0, 1, 2, 4],
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

pub(super) fn ack(value: AckValue, then: Option<Raw>) -> Ack {
    Ack {
        write: 3,
        value,
        then,
        timeout: Duration::from_millis(500),
    }
}

pub(super) fn values(values: [i64; 5]) -> Vec<Option<Raw>> {
    values.iter().map(|v| Some(Raw::Int(*v))).collect()
}

fn at(tick: u64) -> Moment {
    Moment::new(i64::try_from(tick).unwrap() + 1_800_000_000_000, tick)
}

fn count(watcher: &mut Watcher, tick: u64, image: [i64; 5]) -> usize {
    watcher.observe(at(tick), &values(image)).len()
}

#[test]
fn a_change_is_one_event_and_the_first_value_none() {
    let mut watcher = Watcher::new(plan(event(vec![Trigger::Changes(vec![0, 4])])), &HashMap::new());
    assert_eq!(count(&mut watcher, 0, [7, 0, 0, 0, 0]), 0);
    assert_eq!(count(&mut watcher, 1, [7, 0, 5, 0, 0]), 0);
    assert_eq!(count(&mut watcher, 2, [8, 0, 0, 0, 1]), 1, "two changes, one event");
    assert_eq!(count(&mut watcher, 3, [65_535, 0, 0, 0, 1]), 0, "invalid");
    assert_eq!(count(&mut watcher, 4, [8, 0, 0, 0, 1]), 1, "armed again");
    let happened = watcher.observe(at(5), &values([9, 0, 0, 0, 1]));
    assert_eq!(happened[0].before[0], Some(Raw::Int(8)));
    assert_eq!(happened[0].values[0], Some(Raw::Int(9)));
}

#[test]
fn levels_rise_once_and_invalid_counts_as_fallen() {
    let mut watcher = Watcher::new(plan(event(vec![Trigger::Rises(1)])), &HashMap::new());
    let steps = [(1, 0), (1, 0), (0, 0), (1, 1), (1, 0), (65_535, 0), (1, 1)];
    for (tick, (ready, expect)) in (0..).zip(steps) {
        assert_eq!(count(&mut watcher, tick, [0, ready, 0, 0, 0]), expect, "at {tick}");
    }
    let mut watcher = Watcher::new(plan(event(vec![Trigger::Equals(1, Raw::Int(3))])), &HashMap::new());
    for (tick, (ready, expect)) in (0..).zip([(0, 0), (3, 1), (3, 0), (4, 0), (3, 1)]) {
        assert_eq!(count(&mut watcher, tick, [0, ready, 0, 0, 0]), expect, "at {tick}");
    }
    let mut watcher = Watcher::new(plan(event(vec![Trigger::Falls(1)])), &HashMap::new());
    for (tick, (ready, expect)) in (0..).zip([(0, 0), (1, 0), (0, 1), (0, 0)]) {
        assert_eq!(count(&mut watcher, tick, [0, ready, 0, 0, 0]), expect, "at {tick}");
    }
    let mut watcher = Watcher::new(plan(event(vec![Trigger::Reads(1, Raw::Int(1))])), &HashMap::new());
    for (tick, (ready, expect)) in (0..).zip([(1, 0), (1, 1), (1, 1), (0, 0)]) {
        assert_eq!(count(&mut watcher, tick, [0, ready, 0, 0, 0]), expect, "at {tick}");
    }
}

#[test]
fn what_a_device_shows_unacknowledged_at_first_sight_is_taken() {
    let mut of = event(vec![Trigger::Rises(1)]);
    of.ack = Some(ack(AckValue::Value(Raw::Int(1)), None));
    assert_eq!(
        count(&mut Watcher::new(plan(of.clone()), &HashMap::new()), 0, [0, 1, 0, 0, 0]),
        1
    );
    assert_eq!(
        count(&mut Watcher::new(plan(of), &HashMap::new()), 0, [0, 0, 0, 0, 0]),
        0
    );
    let mut of = event(vec![Trigger::Changes(vec![0])]);
    of.ack = Some(ack(AckValue::Copy(0), None));
    assert_eq!(
        count(&mut Watcher::new(plan(of.clone()), &HashMap::new()), 0, [7, 0, 0, 6, 0]),
        1
    );
    assert_eq!(
        count(&mut Watcher::new(plan(of.clone()), &HashMap::new()), 0, [7, 0, 0, 7, 0]),
        0
    );
    of.ack = Some(ack(AckValue::Value(Raw::Int(1)), None));
    assert_eq!(
        count(&mut Watcher::new(plan(of.clone()), &HashMap::new()), 0, [7, 0, 0, 6, 0]),
        0
    );
    of.on_start = OnStart::Take;
    of.ack = None;
    assert_eq!(
        count(&mut Watcher::new(plan(of), &HashMap::new()), 0, [7, 0, 0, 0, 0]),
        1
    );
}

#[test]
fn a_restart_goes_on_and_another_fingerprint_does_not() {
    let of = event(vec![Trigger::Changes(vec![0])]);
    let mut watcher = Watcher::new(plan(of.clone()), &HashMap::new());
    count(&mut watcher, 0, [7, 0, 0, 0, 0]);
    let state = watcher.observe(at(1), &values([8, 0, 0, 0, 0]))[0]
        .state
        .clone()
        .unwrap();
    let stored = HashMap::from([("tightening".to_owned(), state)]);
    assert_eq!(
        count(&mut Watcher::new(plan(of.clone()), &stored), 2, [8, 0, 0, 0, 0]),
        0,
        "not repeated"
    );
    assert_eq!(
        count(&mut Watcher::new(plan(of.clone()), &stored), 2, [9, 0, 0, 0, 0]),
        1,
        "made while away"
    );
    let mut other = of;
    other.fingerprint = "g".into();
    assert_eq!(
        count(&mut Watcher::new(plan(other), &stored), 2, [9, 0, 0, 0, 0]),
        0,
        "another device"
    );
}

#[test]
fn another_id_under_the_same_counter_is_a_new_result() {
    let mut of = event(vec![Trigger::Changes(vec![0])]);
    of.id = vec![0, 4];
    let mut watcher = Watcher::new(plan(of.clone()), &HashMap::new());
    count(&mut watcher, 0, [7, 0, 0, 0, 1]);
    let state = watcher.observe(at(1), &values([8, 0, 0, 0, 2]))[0]
        .state
        .clone()
        .unwrap();
    let stored = HashMap::from([("tightening".to_owned(), state)]);
    assert_eq!(
        count(&mut Watcher::new(plan(of.clone()), &stored), 2, [8, 0, 0, 0, 2]),
        0
    );
    let mut watcher = Watcher::new(plan(of), &stored);
    assert_eq!(count(&mut watcher, 2, [8, 0, 0, 0, 3]), 1);
    assert_eq!(count(&mut watcher, 3, [8, 0, 0, 0, 3]), 0);
}

#[test]
fn cadence_is_monotone_and_skips_what_it_missed() {
    let every = Trigger::Every(Duration::from_millis(100));
    let mut watcher = Watcher::new(plan(event(vec![every])), &HashMap::new());
    let fired: Vec<u64> = [0, 10, 50, 110, 120, 900, 905, 910, 1000]
        .into_iter()
        .filter(|tick| count(&mut watcher, *tick, [0; 5]) == 1)
        .collect();
    assert_eq!(fired, [10, 110, 900, 1000]);
}

#[test]
fn a_change_within_the_window_is_told_at_its_end() {
    let any = Trigger::ChangesAny {
        points: vec![2],
        at_most: Duration::from_millis(100),
    };
    let mut of = plan(event(vec![any]));
    Arc::make_mut(&mut of).points[2].deadband = Some(5_i64.into());
    let mut watcher = Watcher::new(of, &HashMap::new());
    let steps = [
        (0, 10, 0),
        (10, 14, 0),
        (20, 15, 1),
        (30, 19, 0),
        (40, 21, 0),
        (119, 21, 0),
        (120, 21, 1),
        (300, 25, 0),
        (310, 26, 1),
    ];
    for (tick, value, expect) in steps {
        assert_eq!(count(&mut watcher, tick, [0, 0, value, 0, 0]), expect, "at {tick}");
    }
}

#[test]
fn not_a_number_is_no_value_and_re_arms() {
    let mut of = plan(event(vec![Trigger::Changes(vec![2])]));
    Arc::make_mut(&mut of).points[2].invalid.clear();
    let mut watcher = Watcher::new(of, &HashMap::new());
    let mut image = values([0; 5]);
    for (tick, (value, expect)) in (0..).zip([(1.5, 0), (f32::NAN, 0), (1.5, 1), (2.0, 1)]) {
        image[2] = Some(Raw::F32(value.to_bits()));
        assert_eq!(watcher.observe(at(tick), &image).len(), expect, "at {tick}");
    }
}

#[test]
fn a_value_that_is_none_is_no_change_and_re_arms() {
    for trigger in [
        Trigger::Changes(vec![0]),
        Trigger::ChangesAny {
            points: vec![0],
            at_most: Duration::ZERO,
        },
    ] {
        let mut watcher = Watcher::new(plan(event(vec![trigger])), &HashMap::new());
        // A scanner's register that is blank at first: the first code is a result.
        assert_eq!(count(&mut watcher, 0, [65_535, 0, 0, 0, 0]), 0);
        assert_eq!(count(&mut watcher, 10, [7, 0, 0, 0, 0]), 1);
        assert_eq!(count(&mut watcher, 20, [7, 0, 0, 0, 0]), 0);
        assert_eq!(count(&mut watcher, 30, [65_535, 0, 0, 0, 0]), 0);
        assert_eq!(count(&mut watcher, 40, [65_535, 0, 0, 0, 0]), 0);
        assert_eq!(count(&mut watcher, 50, [7, 0, 0, 0, 0]), 1, "the same code again");
        assert_eq!(count(&mut watcher, 60, [7, 0, 0, 0, 0]), 0);
        // What could not be read is not known to have been blank.
        let mut unread = values([0; 5]);
        unread[0] = None;
        assert!(watcher.observe(at(70), &unread).is_empty());
        assert_eq!(count(&mut watcher, 80, [7, 0, 0, 0, 0]), 0);
    }
}
