//! Messages of a subscription: acknowledged when all that they led to is durable, asked for again where they were lost.

use crate::events::{press, pressed, pressing, raise};
use crate::relay::{CREATE_SESSION, Fate, REPUBLISHED, Relay, Said};
use crate::rig::*;
use crate::security::identities;
use lineside::model::Raw;
use lineside::model::plan::Identity;
use lineside::model::sample::{LinkState, Report};
use std::time::Duration;

/// A link to a press behind a relay.
async fn behind_relay() -> (Rig, Relay) {
    as_whom(Identity::Anonymous).await
}

async fn as_whom(identity: Identity) -> (Rig, Relay) {
    let mut rig = Rig::server(press()).await;
    let relay = Relay::before(&rig.address, &mut rig.tasks).await;
    rig.address = relay.url();
    let mut plan = pressing("a", &rig.address);
    link_of(&mut plan).identity = identity;
    rig.run(vec![plan]);
    rig.online().await;
    (rig, relay)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_acknowledged_once_all_that_it_led_to_is_durable() {
    let (mut rig, relay) = behind_relay().await;
    raise(&rig, 1);
    let first = rig.sample().await;
    let number = *relay.events().last().unwrap();
    raise(&rig, 2);
    let second = rig.sample().await;
    answer(second);
    for _ in 0..3 {
        assert!(rig.beat().await.is_empty());
    }
    let acknowledged = relay.acknowledged();
    assert!(
        acknowledged.iter().all(|other| *other < number),
        "{number} in {acknowledged:?}"
    );
    answer(first);
    let later = *relay.events().last().unwrap();
    rig.until("both are acknowledged", |_| {
        let acknowledged = relay.acknowledged();
        acknowledged.contains(&number) && acknowledged.contains(&later)
    })
    .await;
    let acknowledged = relay.acknowledged();
    assert!(acknowledged.is_sorted(), "{acknowledged:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_could_not_be_stored_is_asked_for_again() {
    let (mut rig, relay) = behind_relay().await;
    raise(&rig, 1);
    let number = {
        let lost = rig.sample().await;
        assert_eq!(pressed(&lost), 1);
        *relay.events().last().unwrap()
    };
    // What came behind it is not held up.
    raise(&rig, 2);
    let second = rig.sample().await;
    assert_eq!(pressed(&second), 2);
    answer(second);
    let again = rig.sample().await;
    assert_eq!(pressed(&again), 1);
    assert!(!relay.acknowledged().contains(&number));
    drop(again);
    let again = rig.sample().await;
    assert_eq!(pressed(&again), 1);
    answer(again);
    rig.until("it is acknowledged", |_| relay.acknowledged().contains(&number))
        .await;
    assert_eq!(relay.count(&Said::Republish(number)), 2);
    assert!(rig.beat().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_lost_on_its_way_is_asked_for_before_the_next() {
    let (mut rig, relay) = behind_relay().await;
    let mut lose = 2;
    relay.judge(move |said, _| match said {
        Said::Told(_, 1.., _) if lose > 0 => {
            lose -= 1;
            Fate::Lost
        }
        _ => Fate::Pass,
    });
    for number in 1..=3 {
        raise(&rig, number);
        let count = usize::try_from(number).unwrap();
        rig.until("it is told", |_| relay.events().len() >= count).await;
    }
    let samples = rig.samples(3).await;
    assert_eq!(samples.iter().map(pressed).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(relay.count(&REPUBLISHED) >= 2);
    assert!(rig.beat().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_server_does_not_have_any_more_is_a_gap() {
    let (mut rig, relay) = behind_relay().await;
    let mut lose = true;
    relay.judge(move |said, chunk| match said {
        Said::Told(_, 1.., _) if std::mem::take(&mut lose) => Fate::Lost,
        Said::Republish(_) => {
            // Of one that never was.
            let end = chunk.len();
            chunk[end - 4..].copy_from_slice(&0x0FFF_FFFF_u32.to_le_bytes());
            Fate::Pass
        }
        _ => Fate::Pass,
    });
    raise(&rig, 1);
    rig.until("it is told", |_| relay.events().len() == 1).await;
    raise(&rig, 2);
    let mut gap = false;
    loop {
        let report = rig.next().await;
        match rig.settle(report) {
            Some(Report::Gap { event, .. }) => {
                assert_eq!(event, 0);
                gap = true;
            }
            Some(Report::Sample(sample)) => {
                assert_eq!((pressed(&sample), gap), (2, true), "the gap is told first");
                answer(sample);
                break;
            }
            _ => {}
        }
    }
    raise(&rig, 3);
    let sample = rig.sample().await;
    assert_eq!(pressed(&sample), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cut_connection_did_not_carry_is_asked_for_in_the_same_session() {
    let (mut rig, relay) = behind_relay().await;
    let sessions = relay.count(&CREATE_SESSION);
    for round in 0..2 {
        let mut cut = true;
        // The message is sent, and never comes.
        relay.judge(move |said, _| match said {
            Said::Told(_, 1.., _) if std::mem::take(&mut cut) => Fate::Cut,
            _ => Fate::Pass,
        });
        raise(&rig, round * 2 + 1);
        rig.link("a", LinkState::Offline).await;
        raise(&rig, round * 2 + 2);
        let samples = rig.samples(2).await;
        let numbers: Vec<i64> = samples.iter().map(pressed).collect();
        assert_eq!(numbers, [round * 2 + 1, round * 2 + 2]);
        rig.online().await;
    }
    assert_eq!(relay.count(&CREATE_SESSION), sessions, "another session was made");
    assert!(rig.beat().await.is_empty());
    let counts = rig.simulator.counts();
    assert_eq!((counts.sessions, counts.subscriptions), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_whose_session_cannot_be_taken_up_is_taken_over_by_the_next() {
    // Servers give subscriptions of nobody to nobody; and without security the simulator gives no nonce that a certificate could
    // sign when its session is taken up again.
    let [_, _, certificate] = identities();
    let (mut rig, relay) = as_whom(certificate).await;
    let mut cut = true;
    relay.judge(move |said, _| match said {
        Said::Told(_, 1.., _) if std::mem::take(&mut cut) => Fate::Cut,
        _ => Fate::Pass,
    });
    raise(&rig, 1);
    rig.link("a", LinkState::Offline).await;
    raise(&rig, 2);
    let samples = rig.samples(2).await;
    assert_eq!(samples.iter().map(pressed).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(relay.count(&CREATE_SESSION), 2);
    assert!(rig.beat().await.is_empty());
    assert_eq!(rig.simulator.counts().subscriptions, 1);
}

pub(crate) async fn a_server_that_never_publishes_is_told_so_and_then_asked_for_its_values() {
    let mut rig = Rig::server(plant()).await;
    let relay = Relay::before(&rig.address, &mut rig.tasks).await;
    relay.judge(|said, _| match said {
        Said::Publish(_) => Fate::Lost,
        _ => Fate::Pass,
    });
    let mut plan = counter(&relay.url());
    link_of(&mut plan).timeout = Duration::from_millis(400);
    rig.run(vec![plan]);
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(
        reason.contains("took the subscription and published nothing for") && reason.contains("write polled = true"),
        "{reason}"
    );
    rig.online().await;
    show(&rig.simulator, 3);
    let sample = rig.sample().await;
    check(&sample, 3);
    answer(sample);
    rig.reads("Ack", Raw::Int(3)).await;
    rig.until("no subscription is left behind", |simulator| {
        let counts = simulator.counts();
        (counts.sessions, counts.subscriptions) == (1, 0)
    })
    .await;
}
