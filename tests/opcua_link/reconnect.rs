//! Connections and servers that go and come back.

use crate::events::{press, pressed, pressing, raise};
use crate::rig::*;
use lineside::model::Raw;
use lineside::model::plan::*;
use lineside::model::sample::LinkState;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_goes_on_in_its_session_and_loses_nothing() {
    let mut rig = Rig::start(press(), |address| {
        let mut of = pressing("a", address);
        of.points.push(point("Count"));
        let counted = event("count", Trigger::Changes(vec![7]), vec![7]);
        of.events.push(counted);
        each_change(of)
    })
    .await;
    rig.online().await;
    let mut count = 0;
    for round in 1..=4 {
        rig.simulator.cut();
        for _ in 0..5 {
            count += 1;
            raise(&rig, count);
            rig.simulator.set(&node("Count"), &Raw::Int(count)).unwrap();
        }
        let samples = rig.samples(10).await;
        let of = |event: &str, point: usize| {
            let all = samples
                .iter()
                .filter(|sample| &*sample.plan.events[sample.event].name == event);
            all.map(|sample| sample.values[point].clone()).collect::<Vec<_>>()
        };
        let wanted: Vec<_> = (count - 4..=count).map(|count| Some(Raw::Int(count))).collect();
        assert_eq!(
            (of("cycle", 0), of("count", 7)),
            (wanted.clone(), wanted),
            "round {round}"
        );
    }
    let others = rig.beat().await;
    assert!(others.is_empty(), "doubled: {others:?}");
    let counts = rig.simulator.counts();
    assert_eq!((counts.sessions, counts.subscriptions), (1, 1), "one was left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_says_when_it_is_lost_and_when_it_is_back() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    rig.simulator.cut();
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(reason.contains(&rig.address) && reason.contains("since"), "{reason}");
    rig.online().await;
    rig.simulator.stop().await;
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(reason.contains(&rig.address) && reason.contains("since"), "{reason}");
    let told = rig.link("a", LinkState::Offline).await;
    assert!(told.contains("is the OPC UA server running"), "{told}");
    let since = |text: &str| text.rsplit_once("since").unwrap().1.to_owned();
    assert_eq!(since(&reason), since(&told), "since the first time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_gives_data_within_five_seconds_of_its_return() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    for count in 1..=3 {
        rig.simulator.stop().await;
        rig.link("a", LinkState::Offline).await;
        // Made while it was away from us.
        show(&rig.simulator, count);
        rig.simulator.start().await;
        let back = Instant::now();
        let sample = rig.sample().await;
        check(&sample, count);
        assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
        answer(sample);
        rig.reads("Ack", Raw::Int(count)).await;
        rig.online().await;
    }
    assert!(rig.beat().await.is_empty());
    let counts = rig.simulator.counts();
    assert_eq!((counts.sessions, counts.subscriptions), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_namespaces_changed_places_is_read_by_their_names() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    for count in 1..=2_i64 {
        let other = format!("urn:example:other-{count}");
        rig.simulator
            .change(|setup| setup.namespaces.insert(0, other.as_str().into()))
            .await;
        show(&rig.simulator, count);
        let sample = rig.sample().await;
        check(&sample, count);
        answer(sample);
        rig.reads("Ack", Raw::Int(count)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_is_noticed_and_what_happened_in_it_is_not_lost() {
    let mut rig = Rig::start(press(), |address| {
        let mut of = pressing("a", address);
        link_of(&mut of).timeout = Duration::from_millis(500);
        of
    })
    .await;
    rig.online().await;
    rig.simulator.hold(true);
    for number in 1..=3 {
        raise(&rig, number);
    }
    let began = Instant::now();
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}: {reason}",
        began.elapsed()
    );
    assert!(reason.contains("no answer"), "{reason}");
    raise(&rig, 4);
    rig.simulator.hold(false);
    let samples = rig.samples(4).await;
    assert_eq!(samples.iter().map(pressed).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(rig.beat().await.is_empty());
    rig.until("one session", |simulator| {
        let counts = simulator.counts();
        (counts.sessions, counts.subscriptions) == (1, 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line_is_not_taken_for_a_dead_one() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.simulator.delay(Duration::from_millis(150));
    rig.online().await;
    for count in 1..4 {
        show(&rig.simulator, count);
        let sample = rig.sample().await;
        check(&sample, count);
        answer(sample);
        rig.reads("Ack", Raw::Int(count)).await;
    }
    assert_eq!(rig.simulator.counts().logins, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_stopped_leaves_no_session_behind() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    assert_eq!(rig.simulator.counts().sessions, 1);
    rig.halt().await;
    rig.until("it is closed", |simulator| {
        let counts = simulator.counts();
        (counts.sessions, counts.subscriptions) == (0, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_no_opc_ua_server_is_told_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut rig = Rig::server(plant()).await;
    let address = format!("opc.tcp://{}", listener.local_addr().unwrap());
    rig.tasks.spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
            open.push(stream);
        }
    });
    let mut plan = counter(&address);
    link_of(&mut plan).timeout = Duration::from_millis(300);
    rig.run(vec![plan]);
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(reason.contains(&address), "{reason}");
}
