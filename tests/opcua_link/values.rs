//! Triggers and handshakes by variables.

use crate::rig::*;
use lineside::device::opcua::simulator::Kind;
use lineside::model::Raw;
use lineside::model::plan::*;
use lineside::model::sample::LinkState;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_reported_then_acknowledged_once_it_is_durable() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    for count in 7..10 {
        show(&rig.simulator, count);
        let sample = rig.sample().await;
        check(&sample, count);
        assert_eq!(
            sample.raw,
            format!("Count={count} Torque={}", real(torque(count)).text())
        );
        assert!(sample.since.is_some() && sample.quality.is_empty() && !sample.backfill);
        let others = rig.beat().await;
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(
            i64::try_from(rig.writes().len()).unwrap(),
            count - 7,
            "not before it is durable"
        );
        answer(sample);
        rig.reads("Ack", Raw::Int(count)).await;
    }
    let written: Vec<_> = (7..10).map(|count| ("Ack".to_owned(), Raw::Int(count))).collect();
    assert_eq!(rig.writes(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_answered_is_never_acknowledged() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    show(&rig.simulator, 7);
    let sample = rig.sample().await;
    for _ in 0..5 {
        assert!(rig.beat().await.is_empty());
    }
    rig.halt().await;
    assert_eq!(rig.writes(), []);
    drop(sample);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_stored_is_taken_again_before_it_is_acknowledged() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    show(&rig.simulator, 7);
    for _ in 0..2 {
        let sample = rig.sample().await;
        check(&sample, 7);
        drop(sample);
    }
    let sample = rig.sample().await;
    check(&sample, 7);
    assert_eq!(rig.writes(), []);
    answer(sample);
    rig.reads("Ack", Raw::Int(7)).await;
    assert!(rig.beat().await.is_empty());
}

/// Points 0 `Count`, 1 `Torque`, 2 `Ready`, 3 `Done`, 4 `Beat`: a flag that falls once `Done` says so, which falls then.
fn level(address: &str) -> SlotPlan {
    let mut tightening = event("tightening", Trigger::Rises(2), vec![0, 1]);
    tightening.id = vec![0];
    tightening.ack = Some(Ack {
        write: 3,
        value: AckValue::Value(Raw::Bool(true)),
        then: Some(Raw::Bool(false)),
        timeout: Duration::from_millis(400),
    });
    let beat = event("beat", Trigger::Changes(vec![4]), vec![4]);
    let points = ["Count", "Torque", "Ready", "Done", "Beat"].map(point);
    slot("a", address, points.into(), vec![tightening, beat])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_is_acknowledged_when_durable_and_the_acknowledgement_taken_back_when_it_falls() {
    let mut rig = Rig::start(plant(), level).await;
    rig.online().await;
    for count in 1..4_i64 {
        show(&rig.simulator, count);
        rig.simulator.set(&node("Ready"), &Raw::Bool(true)).unwrap();
        let sample = rig.sample().await;
        check(&sample, count);
        assert!(rig.beat().await.is_empty());
        assert_eq!(
            rig.simulator.get_raw(&node("Done")),
            Some(Raw::Bool(false)),
            "too early"
        );
        answer(sample);
        rig.reads("Done", Raw::Bool(true)).await;
        // As long as the flag stands, so does the acknowledgement.
        assert!(rig.beat().await.is_empty());
        assert_eq!(rig.simulator.get_raw(&node("Done")), Some(Raw::Bool(true)));
        rig.simulator.set(&node("Ready"), &Raw::Bool(false)).unwrap();
        let others = rig.beat().await;
        assert!(others.is_empty(), "{others:?}");
        rig.reads("Done", Raw::Bool(false)).await;
    }
    let all = [true, false].repeat(3);
    let written: Vec<_> = all.iter().map(|on| ("Done".to_owned(), Raw::Bool(*on))).collect();
    assert_eq!(rig.writes(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_that_does_not_fall_alarms_and_is_acknowledged_again() {
    use lineside::model::sample::Report;
    let mut rig = Rig::start(plant(), level).await;
    rig.online().await;
    show(&rig.simulator, 1);
    rig.simulator.set(&node("Ready"), &Raw::Bool(true)).unwrap();
    let sample = rig.sample().await;
    answer(sample);
    let mut alarm = async |wanted: bool| loop {
        let report = rig.next().await;
        match rig.settle(report) {
            Some(Report::Alarm { code, active, .. }) => {
                assert_eq!((code, active), ("ack_timeout", wanted));
                break;
            }
            Some(Report::Sample(sample)) => panic!("{sample:?}"),
            _ => {}
        }
    };
    alarm(true).await;
    rig.until("it is written again", |simulator| simulator.writes().len() >= 2)
        .await;
    rig.simulator.set(&node("Ready"), &Raw::Bool(false)).unwrap();
    let mut alarm = async |wanted: bool| loop {
        let report = rig.next().await;
        if let Some(Report::Alarm { code, active, .. }) = rig.settle(report) {
            assert_eq!((code, active), ("ack_timeout", wanted));
            break;
        }
    };
    alarm(false).await;
    assert!(rig.beat().await.is_empty());
    rig.reads("Done", Raw::Bool(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_device_shows_unacknowledged_at_first_sight_is_taken() {
    let mut rig = Rig::server(plant()).await;
    show(&rig.simulator, 5);
    rig.simulator.set(&node("Ready"), &Raw::Bool(true)).unwrap();
    let (by_count, mut by_level) = (counter(&rig.address), level(&rig.address));
    by_level.slot = lineside::model::SlotName::new("st10", "b");
    by_level.events[0].name = "pressing".into();
    by_level.events.truncate(1);
    rig.run(vec![by_count, by_level]);
    let mut names = Vec::new();
    for _ in 0..2 {
        let sample = rig.sample().await;
        check(&sample, 5);
        assert_eq!(sample.since, None, "nobody knows since when");
        names.push(sample.plan.events[sample.event].name.to_string());
        answer(sample);
    }
    names.sort();
    assert_eq!(names, ["pressing", "tightening"]);
    rig.reads("Ack", Raw::Int(5)).await;
    rig.reads("Done", Raw::Bool(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_first_sight_is_the_baseline() {
    let mut rig = Rig::server(plant()).await;
    show(&rig.simulator, 5);
    rig.simulator.set(&node("Ack"), &Raw::Int(5)).unwrap();
    let plan = counter(&rig.address);
    rig.run(vec![plan]);
    rig.online().await;
    assert!(rig.beat().await.is_empty());
    show(&rig.simulator, 6);
    let sample = rig.sample().await;
    check(&sample, 6);
    answer(sample);
    rig.reads("Ack", Raw::Int(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_commit_and_acknowledgement_acknowledges_and_does_not_repeat() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    show(&rig.simulator, 7);
    let sample = rig.sample().await;
    // It is stored (the rig keeps its state); then the process dies.
    rig.halt().await;
    drop(sample);
    assert_eq!(rig.writes(), []);
    let plan = counter(&rig.address);
    rig.run(vec![plan.clone()]);
    rig.reads("Ack", Raw::Int(7)).await;
    let others = rig.beat().await;
    assert!(others.is_empty(), "doubled: {others:?}");
    show(&rig.simulator, 8);
    let sample = rig.sample().await;
    check(&sample, 8);
    answer(sample);
    rig.reads("Ack", Raw::Int(8)).await;
    // Made while nobody looked.
    rig.halt().await;
    show(&rig.simulator, 9);
    rig.run(vec![plan]);
    let sample = rig.sample().await;
    check(&sample, 9);
    answer(sample);
    rig.reads("Ack", Raw::Int(9)).await;
    assert!(rig.beat().await.is_empty());
    let written: Vec<_> = (7..10).map(|count| ("Ack".to_owned(), Raw::Int(count))).collect();
    assert_eq!(rig.writes(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_polls_does_the_same() {
    let mut rig = Rig::start(plant(), |address| {
        let mut of = counter(address);
        link_of(&mut of).polled = true;
        of
    })
    .await;
    rig.online().await;
    for count in 7..10 {
        show(&rig.simulator, count);
        let sample = rig.sample().await;
        check(&sample, count);
        assert!(rig.beat().await.is_empty());
        answer(sample);
        rig.reads("Ack", Raw::Int(count)).await;
    }
    assert_eq!(rig.simulator.counts().subscriptions, 0);
    rig.simulator.stop().await;
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(reason.contains("since"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_is_refused_degrades_and_is_written_when_it_may_be() {
    let mut setup = plant();
    setup.variables.get_mut(&node("Ack")).unwrap().writable = false;
    let mut rig = Rig::start(setup, counter).await;
    rig.online().await;
    show(&rig.simulator, 3);
    let sample = rig.sample().await;
    answer(sample);
    let reason = rig.link("a", LinkState::Degraded).await;
    for part in ["`Ack`", "s=Ack", "is not written: Bad", "the server does not let"] {
        let also = "this user may not do that";
        assert!(reason.contains(part) || reason.contains(also), "{part} in {reason}");
    }
    assert_eq!(rig.writes(), []);
    rig.simulator
        .change(|setup| setup.variables.get_mut(&node("Ack")).unwrap().writable = true)
        .await;
    rig.reads("Ack", Raw::Int(3)).await;
    rig.online().await;
    assert!(rig.beat().await.is_empty(), "nothing is doubled");
}

/// A counter is acknowledged into a variable of this type.
async fn acknowledges(kind: OpcuaType, zero: Raw, wanted: Raw) {
    let setup = plant().with(node("Ack"), Kind::Scalar(kind), &zero);
    let mut rig = Rig::start(setup, |address| {
        let mut of = counter(address);
        let Address::Opcua(at) = &mut of.points[2].at else {
            panic!()
        };
        at.kind = (kind == OpcuaType::U8).then_some(kind);
        of
    })
    .await;
    show(&rig.simulator, 300);
    loop {
        // What is not echoed at first sight is taken; an empty text is not a naught.
        let sample = rig.sample().await;
        let done = sample.values[0] == Some(Raw::Int(300));
        answer(sample);
        if done {
            break;
        }
    }
    rig.reads("Ack", wanted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_is_written_as_the_servers_type() {
    let mut all = tokio::task::JoinSet::new();
    for (kind, wanted) in [
        (OpcuaType::I16, Raw::Int(300)),
        (OpcuaType::U8, Raw::Int(300 - 256)),
        (OpcuaType::U64, Raw::Int(300)),
        (OpcuaType::F64, Raw::F64(300.0_f64.to_bits())),
    ] {
        all.spawn(acknowledges(kind, Raw::Int(0), wanted));
    }
    all.spawn(acknowledges(
        OpcuaType::Text,
        Raw::Text(String::new()),
        Raw::Text("300".into()),
    ));
    all.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_is_acknowledged_in_its_word_and_leaves_the_others() {
    let mut rig = Rig::start(plant(), |address| {
        let mut of = level(address);
        // The acknowledgement is bit 3 of a word.
        of.points[3] = point("Ack");
        let Address::Opcua(at) = &mut of.points[3].at else {
            panic!()
        };
        at.bits = Some((3, 1));
        of
    })
    .await;
    rig.simulator.set(&node("Ack"), &Raw::Int(0b1_0001)).unwrap();
    rig.online().await;
    show(&rig.simulator, 1);
    rig.simulator.set(&node("Ready"), &Raw::Bool(true)).unwrap();
    let sample = rig.sample().await;
    answer(sample);
    rig.reads("Ack", Raw::Int(0b1_1001)).await;
    rig.simulator.set(&node("Ready"), &Raw::Bool(false)).unwrap();
    assert!(rig.beat().await.is_empty());
    rig.reads("Ack", Raw::Int(0b1_0001)).await;
}
