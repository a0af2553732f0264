//! What a server tells of values: one after another, bands, qualities, nodes that it does not have.

use crate::events::{press, pressing, raise};
use crate::rig::*;
use lineside::device::opcua::simulator::Kind;
use lineside::model::plan::*;
use lineside::model::sample::{LinkState, Report};
use lineside::model::{Raw, SlotName};
use std::time::Duration;

const UNCERTAIN: u32 = 0x4090_0000; // UncertainLastUsableValue
const SENSOR: u32 = 0x808C_0000; // BadSensorFailure

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_values_in_one_message_none_is_passed_over() {
    let mut rig = Rig::start(plant(), |address| {
        let mut of = readings("a", address, Duration::ZERO);
        link_of(&mut of).publishing = Duration::from_millis(250);
        each_change(of)
    })
    .await;
    rig.online().await;
    for round in 0..3 {
        for count in 1..=30 {
            rig.simulator
                .set(&node("Count"), &Raw::Int(round * 30 + count))
                .unwrap();
        }
        let samples = rig.samples(30).await;
        assert_eq!(
            firsts(&samples),
            (1..=30).map(|count| round * 30 + count).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_that_are_told_at_once_are_results_each() {
    let mut rig = Rig::start(plant(), |address| {
        let counted = event("cycle", Trigger::Changes(vec![0]), vec![0]);
        let mut of = slot("a", address, vec![point("Count")], vec![counted]);
        link_of(&mut of).publishing = Duration::from_millis(250);
        each_change(of)
    })
    .await;
    rig.online().await;
    for count in 1..=50 {
        rig.simulator.set(&node("Count"), &Raw::Int(count)).unwrap();
    }
    assert_eq!(firsts(&rig.samples(50).await), (1..=50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_while_a_result_is_read_is_not_passed_over() {
    let mut rig = Rig::start(plant(), |address| {
        // 0 `Count` is a result that is read as a whole; 3 `Beat` tells each change.
        let mut of = counter(address);
        of.events[0].ack = None;
        let trigger = Trigger::ChangesAny {
            points: vec![3],
            at_most: Duration::ZERO,
        };
        of.events[1] = event("readings", trigger, vec![3]);
        of.events[1].stable = 0;
        link_of(&mut of).publishing = Duration::from_millis(250);
        each_change(of)
    })
    .await;
    rig.online().await;
    show(&rig.simulator, 1);
    for beat in 1..=30 {
        rig.simulator.set(&node("Beat"), &Raw::Int(beat)).unwrap();
    }
    let samples = rig.samples(31).await;
    let (results, told): (Vec<_>, Vec<_>) = samples.iter().partition(|sample| sample.event == 0);
    assert_eq!(results.len(), 1);
    check(results[0], 1);
    let told: Vec<_> = told.iter().map(|sample| sample.values[3].clone()).collect();
    assert_eq!(told, (1..=30).map(|beat| Some(Raw::Int(beat))).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_value_within_a_window_is_told_at_its_end() {
    let mut rig = Rig::start(plant(), |address| {
        each_change(readings("a", address, Duration::from_millis(400)))
    })
    .await;
    rig.online().await;
    for count in 1..=20 {
        rig.simulator.set(&node("Count"), &Raw::Int(count)).unwrap();
    }
    let samples = rig.samples(2).await;
    assert_eq!(firsts(&samples), [1, 20]);
    assert!(samples[1].seen.tick - samples[0].seen.tick >= 399, "{samples:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_within_the_band_is_none() {
    let mut rig = Rig::start(plant(), |address| {
        let mut of = readings("a", address, Duration::ZERO);
        of.points[1].deadband = Some("1".parse().unwrap());
        each_change(of)
    })
    .await;
    rig.online().await;
    for value in [0.25, 0.75, 1.5, 2.25, 1.0, 2.75, 40.0] {
        rig.simulator.set(&node("Torque"), &real(value)).unwrap();
    }
    let told = rig.samples(3).await.into_iter().map(|sample| sample.values[1].clone());
    assert_eq!(
        told.collect::<Vec<_>>(),
        [1.5, 2.75, 40.0].map(|value| Some(real(value)))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_does_not_call_good_is_absent_or_says_so() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    let torque = node("Torque");
    let mut count = 0;
    let mut next = async |status: Option<u32>| {
        count += 1;
        match status {
            Some(status) => rig.simulator.set_status(&torque, status).unwrap(),
            None => rig.simulator.set(&torque, &real(f32::NAN)).unwrap(),
        }
        rig.simulator.set(&node("Count"), &Raw::Int(count)).unwrap();
        let sample = rig.sample().await;
        let (value, quality) = (sample.values[1].clone(), sample.quality.clone());
        assert_eq!(sample.values[0], Some(Raw::Int(count)));
        answer(sample);
        rig.reads("Ack", Raw::Int(count)).await;
        (value, quality)
    };
    assert_eq!(next(Some(SENSOR)).await, (None, vec![(1, "BadSensorFailure".into())]));
    assert_eq!(
        next(Some(UNCERTAIN)).await,
        (Some(real(0.0)), vec![(1, "UncertainLastUsableValue".into())])
    );
    let (value, quality) = next(None).await;
    // Not a number is no number: what that is to a profile is for the profile to say.
    assert!(value.is_none_or(|value| value.number().is_none()) && quality.is_empty());
    assert_eq!(next(Some(0)).await.1, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_turns_bad_is_no_event_and_says_why() {
    let mut rig = Rig::start(plant(), |address| {
        let mut of = readings("a", address, Duration::ZERO);
        // The simulator tells of another status only where it is given a filter.
        of.points[1].deadband = Some("0.1".parse().unwrap());
        of
    })
    .await;
    rig.online().await;
    rig.simulator.set_status(&node("Torque"), SENSOR).unwrap();
    let reason = rig.link("a", LinkState::Degraded).await;
    assert!(
        reason.contains("`Torque`") && reason.contains("BadSensorFailure: the server does not reach what is behind it"),
        "{reason}"
    );
    rig.simulator.set(&node("Count"), &Raw::Int(3)).unwrap();
    let sample = rig.sample().await;
    assert_eq!((&sample.values[0], &sample.values[1]), (&Some(Raw::Int(3)), &None));
    assert_eq!(sample.quality, [(1, "BadSensorFailure".into())]);
    answer(sample);
    rig.simulator.set(&node("Torque"), &real(2.0)).unwrap();
    let sample = rig.sample().await;
    assert_eq!(sample.values[1], Some(real(2.0)));
    answer(sample);
    rig.online().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_a_server_does_not_have_degrade_their_slot_alone_until_it_has_them() {
    let mut rig = Rig::server(plant()).await;
    let good = counter(&rig.address);
    let mut missing = readings("missing", &rig.address, Duration::ZERO);
    missing.points.push(point("Later"));
    missing.events[0].triggers = vec![Trigger::ChangesAny {
        points: vec![0, 2],
        at_most: Duration::ZERO,
    }];
    missing.events[0].points = vec![0, 2];
    let mut foreign = readings("foreign", &rig.address, Duration::ZERO);
    let Address::Opcua(at) = &mut foreign.points[0].at else {
        panic!()
    };
    at.node.as_mut().unwrap().namespace = Namespace::Uri("urn:example:elsewhere".into());
    rig.run(vec![good, missing, foreign]);
    let mut told = std::collections::BTreeMap::new();
    while told.len() < 3 {
        let report = rig.next().await;
        if let Some(Report::Link {
            slot, state, reason, ..
        }) = rig.settle(report)
        {
            told.insert(slot.slot.to_string(), (state, reason));
        }
    }
    assert_eq!(told["a"], (LinkState::Online, String::new()));
    let (state, reason) = &told["missing"];
    assert_eq!(*state, LinkState::Degraded);
    for part in ["`Later`", "s=Later", "BadNodeIdUnknown", "the server has no such node"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
    let (state, reason) = &told["foreign"];
    assert_eq!(*state, LinkState::Degraded);
    let part = "the server has no namespace urn:example:elsewhere; it has";
    assert!(reason.contains(part) && reason.contains(PLANT), "{reason}");
    // The others go on.
    show(&rig.simulator, 4);
    let mut by_slot = std::collections::BTreeMap::new();
    while by_slot.len() < 3 {
        let sample = rig.sample().await;
        by_slot.insert(sample.plan.slot.slot.to_string(), sample.values.clone());
        answer(sample);
    }
    assert_eq!(by_slot["a"][1], Some(real(torque(4))));
    assert_eq!(
        (&by_slot["missing"][0], &by_slot["missing"][2]),
        (&Some(Raw::Int(4)), &None)
    );
    // Another program is loaded into the device.
    let later = Kind::Scalar(OpcuaType::U16);
    rig.simulator
        .change(|setup| *setup = setup.clone().with(node("Later"), later, &Raw::Int(9)))
        .await;
    rig.link("missing", LinkState::Online).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_sign_that_is_not_told_any_more_degrades() {
    let mut rig = Rig::start(plant(), |address| {
        let mut of = counter(address);
        of.events.truncate(1);
        of.alive = Some(Alive {
            point: 3,
            within: Duration::from_millis(900),
        });
        of
    })
    .await;
    let mut lives = 0;
    let mut live = async |wanted: LinkState| loop {
        if wanted == LinkState::Online {
            lives += 1;
            rig.simulator.set(&node("Beat"), &Raw::Int(lives)).unwrap();
        }
        let Ok(report) = tokio::time::timeout(Duration::from_millis(100), rig.next()).await else {
            continue;
        };
        if let Some(Report::Link { state, reason, .. }) = rig.settle(report) {
            assert_eq!(state, wanted, "{reason}");
            break reason;
        }
    };
    live(LinkState::Online).await;
    let reason = live(LinkState::Degraded).await;
    assert!(
        reason.contains("life sign `Beat` has not changed for more than 900 ms"),
        "{reason}"
    );
    live(LinkState::Online).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_one_server_share_one_session() {
    let mut rig = Rig::server(plant()).await;
    let of = |name: &str, rig: &Rig| {
        let mut plan = counter(&rig.address);
        plan.slot = SlotName::new("st10", name);
        plan.events.remove(0);
        plan
    };
    let plans = ["a", "b", "c"].map(|name| of(name, &rig));
    rig.run(plans.into());
    for name in ["a", "b", "c"] {
        // In whatever order they come online.
        if rig.simulator.counts().logins == 0 {
            rig.link(name, LinkState::Online).await;
        }
    }
    rig.until("one session", |simulator| {
        let counts = simulator.counts();
        (counts.sessions, counts.subscriptions, counts.logins) == (1, 1, 1)
    })
    .await;
    rig.halt().await;
    rig.until("none is left behind", |simulator| {
        let counts = simulator.counts();
        (counts.sessions, counts.subscriptions) == (0, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_sees_what_the_server_says_now_and_no_event_comes_of_it() {
    let mut rig = Rig::start(press(), |address| pressing("a", address)).await;
    rig.online().await;
    let slot = SlotName::new("st10", "a");
    rig.simulator.set(&node("Torque"), &real(2.5)).unwrap();
    let reading = rig.probe.look(&slot, false).await.unwrap();
    assert_eq!((&reading.values[0], &reading.values[5]), (&None, &Some(real(2.5))));
    assert!(
        reading.faults[0].contains("the server has told no event yet"),
        "{:?}",
        reading.faults
    );
    raise(&rig, 7);
    let sample = rig.sample().await;
    answer(sample);
    let reading = rig.probe.look(&slot, false).await.unwrap();
    assert_eq!(reading.values[0], Some(Raw::Int(7)));
    assert_eq!(reading.faults, [] as [String; 0]);
    assert!(rig.beat().await.is_empty());
    let other = rig.probe.look(&SlotName::new("st10", "b"), false).await.unwrap_err();
    assert!(other.contains("is not on this link"), "{other}");
    rig.simulator.stop().await;
    rig.link("a", LinkState::Offline).await;
    let why = rig.probe.look(&slot, false).await.unwrap_err();
    assert!(why.contains(&rig.address), "{why}");
}
