//! Servers that take little at once.

use crate::events::{press, pressed, pressing, raise};
use crate::rig::*;
use lineside::device::opcua::simulator::{Kind, Setup};
use lineside::model::Raw;
use lineside::model::plan::*;
use lineside::model::sample::LinkState;
use std::time::Duration;

fn name(index: usize) -> String {
    format!("V{index}")
}

fn wide(limits: impl FnOnce(&mut Setup)) -> Setup {
    let mut setup = plant();
    for index in 0..1_000 {
        setup = setup.with(node(&name(index)), Kind::Scalar(OpcuaType::I32), &Raw::Int(0));
    }
    limits(&mut setup);
    setup
}

/// So many points, all of one event.
fn many(address: &str, count: usize) -> SlotPlan {
    let points: Vec<_> = (0..count).map(|index| point(&name(index))).collect();
    let any = Trigger::ChangesAny {
        points: (0..count).collect(),
        at_most: Duration::ZERO,
    };
    let mut of = event("readings", any, (0..count).collect());
    of.stable = 0;
    let mut plan = slot("a", address, points, vec![of]);
    link_of(&mut plan).timeout = Duration::from_secs(5);
    plan
}

async fn are_told(rig: &mut Rig, which: &[usize]) {
    rig.online().await;
    for index in which.iter().copied() {
        let value = i64::try_from(index).unwrap() + 1;
        rig.simulator.set(&node(&name(index)), &Raw::Int(value)).unwrap();
        let sample = rig.sample().await;
        assert_eq!(sample.values[index], Some(Raw::Int(value)));
        assert!(sample.values.iter().all(Option::is_some));
        answer(sample);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_points_of_a_server_that_takes_a_hundred_in_a_call() {
    let setup = wide(|setup| {
        setup.limits.read = 100;
        setup.limits.monitored = 100;
        setup.limits.browse = 10;
        setup.limits.references = 10;
    });
    let mut rig = Rig::start(setup, |address| many(address, 1_000)).await;
    are_told(&mut rig, &[0, 99, 100, 101, 500, 999]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_gives_two_references_at_once_describes_itself_as_well() {
    let mut setup = press();
    setup.limits.references = 2;
    setup.limits.browse = 1;
    setup.limits.read = 1;
    setup.limits.monitored = 1;
    let mut rig = Rig::start(setup, |address| pressing("a", address)).await;
    rig.online().await;
    for number in 1..=3 {
        raise(&rig, number);
        let sample = rig.sample().await;
        assert_eq!(pressed(&sample), number);
        assert!(sample.values[..6].iter().all(Option::is_some), "{sample:?}");
        answer(sample);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_that_are_asked_for_a_few_at_a_time() {
    let setup = wide(|setup| setup.limits.read = 70);
    let mut rig = Rig::start(setup, |address| {
        let mut of = many(address, 200);
        link_of(&mut of).polled = true;
        of
    })
    .await;
    are_told(&mut rig, &[0, 69, 70, 199]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_sessions_are_taken_says_so_and_is_tried_again() {
    let mut setup = plant();
    setup.limits.sessions = 1;
    let mut rig = Rig::server(setup).await;
    let mut first = Rig::server(plant()).await;
    first.address.clone_from(&rig.address);
    let plan = counter(&rig.address);
    first.run(vec![plan.clone()]);
    first.online().await;
    rig.run(vec![plan]);
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(reason.contains("BadTooManySessions: end other clients"), "{reason}");
    first.halt().await;
    rig.online().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_too_short_alarms() {
    use lineside::model::sample::Report;
    let mut rig = Rig::start(plant(), |address| {
        let mut of = readings("a", address, Duration::ZERO);
        let link = link_of(&mut of);
        link.queue = 3;
        link.publishing = Duration::from_millis(300);
        each_change(of)
    })
    .await;
    rig.online().await;
    for count in 1..=50 {
        rig.simulator.set(&node("Count"), &Raw::Int(count)).unwrap();
    }
    let alarm = async |rig: &mut Rig| loop {
        let report = rig.next().await;
        match rig.settle(report) {
            Some(Report::Alarm { code, active, text, .. }) => break (code, active, text),
            Some(Report::Sample(sample)) => answer(sample),
            _ => {}
        }
    };
    let (code, active, text) = alarm(&mut rig).await;
    assert_eq!((code, active), ("values_lost", true));
    assert!(text.contains("raise `queue`"), "{text}");
    rig.simulator.set(&node("Count"), &Raw::Int(60)).unwrap();
    let (code, active, _) = alarm(&mut rig).await;
    assert_eq!((code, active), ("values_lost", false));
}
