//! Events of servers, with structures in them.

use crate::relay::{Fate, Relay, Said as Wire};
use crate::rig::*;
use lineside::device::opcua::simulator::Setup;
use lineside::model::plan::*;
use lineside::model::sample::LinkState;
use lineside::model::{Raw, Sample};
use lineside::wire::opcua::Tree;
use lineside::wire::opcua::node::parse_node;
use serde_json::{Value, json};

fn cycle() -> NodeRef {
    parse_node(&format!("nsu={PLANT};i=500")).unwrap()
}

fn notice() -> Notice {
    Notice {
        event_type: cycle(),
        notifier: node("Machine"),
    }
}

fn said(number: i64) -> Value {
    json!({
        "Cycle": {"Number": number, "Part": format!("P-{number}"), "Forces": [
            {"Name": "F", "Value": 2.25}, {"Name": "G", "Value": 7.5}
        ]},
        "Ok": number % 2 == 1,
    })
}

/// The plant, with a press that tells of its cycles.
pub(crate) fn press() -> Setup {
    let mut setup = plant();
    setup.add_notice(&notice());
    let sparse = json!({"Cycle": {"Number": 1, "Forces": [{"Name": "F"}]}, "Ok": true});
    setup.show_events(&cycle(), &[Tree::from_json(&said(1)), Tree::from_json(&sparse)]);
    setup
}

/// Points 0 to 4 of cycles, 5 `Torque`, 6 `Beat`; events `cycle` and `beat`.
pub(crate) fn pressing(name: &str, address: &str) -> SlotPlan {
    let points = vec![
        field("number", "Cycle/Number"),
        field("part", "Cycle/Part"),
        field("force", "Cycle/Forces[Name=G]/Value"),
        field("ok", "Ok"),
        field("time", "Time"),
        point("Torque"),
        point("Beat"),
    ];
    let mut of = event("cycle", Trigger::Said(Said::Event(0)), vec![0, 1, 2, 3, 4, 5]);
    of.id = vec![0];
    let beat = event("beat", Trigger::Changes(vec![6]), vec![6]);
    let mut plan = slot(name, address, points, vec![of, beat]);
    plan.notices = vec![notice()];
    plan
}

pub(crate) fn raise(rig: &Rig, number: i64) {
    rig.simulator.raise(&cycle(), &Tree::from_json(&said(number))).unwrap();
}

/// The number of the cycle.
pub(crate) fn pressed(sample: &Sample) -> i64 {
    assert_eq!(&*sample.plan.events[sample.event].name, "cycle");
    firsts(std::slice::from_ref(sample))[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structures_of_events_and_variables_read_with_them_are_values() {
    let mut rig = Rig::start(press(), |address| pressing("a", address)).await;
    rig.online().await;
    show(&rig.simulator, 4);
    for number in 1..=5_i64 {
        raise(&rig, number);
        let sample = rig.sample().await;
        assert_eq!(pressed(&sample), number);
        assert_eq!(sample.values[1], Some(Raw::Text(format!("P-{number}"))));
        assert_eq!(
            sample.values[2].as_ref().unwrap().number(),
            Some("7.5".parse().unwrap())
        );
        assert_eq!(sample.values[3], Some(Raw::Bool(number % 2 == 1)));
        assert!(
            matches!(&sample.values[4], Some(Raw::Text(time)) if time.ends_with('Z')),
            "{sample:?}"
        );
        assert_eq!(sample.values[5], Some(real(torque(4))));
        assert!(
            sample.raw.contains(&format!("\"Part\":\"P-{number}\"")),
            "{}",
            sample.raw
        );
        assert!(sample.since.is_some() && sample.faults.is_empty() && sample.quality.is_empty());
        answer(sample);
    }
    assert!(rig.beat().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_event_leaves_out_is_absent() {
    let mut rig = Rig::start(press(), |address| pressing("a", address)).await;
    rig.online().await;
    rig.simulator.set_status(&node("Torque"), 0x808C_0000).unwrap();
    let sparse = json!({"Cycle": {"Number": 8, "Forces": []}});
    rig.simulator.raise(&cycle(), &Tree::from_json(&sparse)).unwrap();
    let sample = rig.sample().await;
    assert_eq!(pressed(&sample), 8);
    for absent in [1, 2, 3, 5] {
        assert_eq!(sample.values[absent], None, "{absent}");
    }
    assert_eq!(sample.quality, [(5, "BadSensorFailure".into())]);
    answer(sample);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_element_is_an_event_of_its_own() {
    let mut rig = Rig::start(press(), |address| {
        let mut of = pressing("a", address);
        of.points[1] = field("name", "Cycle/Forces[each]/Name");
        of.points[2] = field("force", "Cycle/Forces[each]/Value");
        of.events[0].id = vec![0, 1];
        of
    })
    .await;
    rig.online().await;
    for number in 1..=3 {
        raise(&rig, number);
        for (name, force) in [("F", "2.25"), ("G", "7.5")] {
            let sample = rig.sample().await;
            assert_eq!(pressed(&sample), number);
            assert_eq!(sample.values[1], Some(Raw::Text(name.to_owned())));
            assert_eq!(
                sample.values[2].as_ref().unwrap().number(),
                Some(force.parse().unwrap())
            );
            answer(sample);
        }
    }
    // Without a part, nothing happened.
    let none = json!({"Cycle": {"Number": 9, "Forces": []}, "Ok": true});
    rig.simulator.raise(&cycle(), &Tree::from_json(&none)).unwrap();
    assert!(rig.beat().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_the_type_does_not_have_degrades_and_the_others_go_on() {
    let mut rig = Rig::start(press(), |address| {
        let mut of = pressing("a", address);
        of.points.push(field("angle", "Angle/Final"));
        of.events[0].points.push(7);
        of
    })
    .await;
    let reason = rig.link("a", LinkState::Degraded).await;
    for part in ["have no field `Angle`", "they have", "Cycle", "Ok", "Severity"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
    raise(&rig, 1);
    let sample = rig.sample().await;
    assert_eq!((pressed(&sample), &sample.values[7]), (1, &None));
    answer(sample);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_of_events_that_the_server_does_not_have_degrades() {
    let mut rig = Rig::start(press(), |address| {
        let mut of = pressing("a", address);
        of.notices[0].event_type = parse_node(&format!("nsu={PLANT};i=501")).unwrap();
        of
    })
    .await;
    let reason = rig.link("a", LinkState::Degraded).await;
    assert!(reason.contains("the server has no event type"), "{reason}");
    assert!(rig.beat().await.is_empty(), "its variables go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_tells_no_events_degrades() {
    let mut rig = Rig::start(press(), |address| {
        let mut of = pressing("a", address);
        of.notices[0].notifier = node("Nothing");
        of
    })
    .await;
    let reason = rig.link("a", LinkState::Degraded).await;
    assert!(
        reason.contains("events cannot be subscribed to: BadNodeIdUnknown"),
        "{reason}"
    );
    assert!(rig.beat().await.is_empty(), "its variables go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_structure_that_cannot_be_read_is_a_fault_and_the_next_event_goes_on() {
    let mut rig = Rig::server(press()).await;
    let relay = Relay::before(&rig.address, &mut rig.tasks).await;
    // The length of a text becomes absurd.
    relay.judge(|said, chunk| {
        if let Wire::Told(_, 1.., _) = said
            && let Some(at) = chunk.windows(7).position(|bytes| bytes == b"\x03\0\0\0P-2")
        {
            chunk[at + 3] = 0x7F;
        }
        Fate::Pass
    });
    let plan = pressing("a", &relay.url());
    rig.run(vec![plan]);
    rig.online().await;
    for number in 1..=3 {
        raise(&rig, number);
    }
    let samples = rig.samples(3).await;
    assert_eq!((pressed(&samples[0]), pressed(&samples[2])), (1, 3));
    let fault = &samples[1];
    assert_eq!(fault.event, 0);
    assert!(
        fault.faults[0].starts_with("the event cannot be read: "),
        "{:?}",
        fault.faults
    );
    // `P-2` in hex.
    assert!(
        fault.raw.contains("502d32") || fault.raw.contains("502D32"),
        "{}",
        fault.raw
    );
    assert!(rig.beat().await.is_empty());
    rig.until("all is acknowledged", |_| {
        let all = relay.events();
        all.iter().all(|number| relay.acknowledged().contains(number))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_at_once_come_in_order() {
    let mut rig = Rig::start(press(), |address| pressing("a", address)).await;
    rig.online().await;
    for number in 1..=400 {
        raise(&rig, number);
    }
    let samples = rig.samples(400).await;
    assert_eq!(
        samples.iter().map(pressed).collect::<Vec<_>>(),
        (1..=400).collect::<Vec<_>>()
    );
}
