//! A link that is to end: what the server told is taken and acknowledged once it is durable, the session is closed.

use crate::events::{press, pressed, pressing, raise};
use crate::relay::{Relay, Said};
use crate::rig::*;
use lineside::model::Raw;
use lineside::model::sample::LinkState;
use tokio::net::TcpListener;

const CLOSE_SESSION: Said = Said::Other(473);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_durable_is_acknowledged_and_nothing_new_is_begun() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    show(&rig.simulator, 7);
    let sample = rig.sample().await;
    check(&sample, 7);
    rig.ending.cancel();
    assert_eq!(rig.writes(), [], "not before it is durable");
    answer(sample);
    assert!(rig.ended().await.is_empty());
    assert_eq!(rig.writes(), [("Ack".to_owned(), Raw::Int(7))]);
    show(&rig.simulator, 8);
    let plan = counter(&rig.address);
    rig.run(vec![plan]);
    let sample = rig.sample().await;
    check(&sample, 8);
    answer(sample);
    rig.reads("Ack", Raw::Int(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_acknowledged_before_the_session_is_closed() {
    let mut rig = Rig::server(press()).await;
    let relay = Relay::before(&rig.address, &mut rig.tasks).await;
    rig.address = relay.url();
    let plan = pressing("a", &rig.address);
    rig.run(vec![plan]);
    rig.online().await;
    raise(&rig, 1);
    let sample = rig.sample().await;
    let number = *relay.events().last().unwrap();
    rig.ending.cancel();
    // What it tells until the session is closed would be told to nobody else.
    raise(&rig, 2);
    let second = rig.sample().await;
    assert_eq!((pressed(&sample), pressed(&second)), (1, 2));
    assert!(!relay.acknowledged().contains(&number), "not before it is durable");
    answer(second);
    answer(sample);
    assert!(rig.ended().await.is_empty());
    let said = relay.said();
    let acknowledged = said
        .iter()
        .position(|said| matches!(said, Said::Publish(numbers) if numbers.contains(&number)));
    let closed = said.iter().position(|said| *said == CLOSE_SESSION);
    assert!(acknowledged.is_some() && acknowledged < closed, "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_stored_is_not_acknowledged_at_the_end() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    let before = rig.stored.clone();
    show(&rig.simulator, 7);
    let sample = rig.sample().await;
    rig.stored = before;
    rig.ending.cancel();
    drop(sample);
    // It may be read once more before the end; that is not stored, either.
    rig.ended_unstored().await;
    assert_eq!(rig.writes(), []);
    let plan = counter(&rig.address);
    rig.run(vec![plan]);
    let sample = rig.sample().await;
    check(&sample, 7);
    answer(sample);
    rig.reads("Ack", Raw::Int(7)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_idle_or_not_connected_returns_at_once() {
    let mut rig = Rig::start(plant(), counter).await;
    rig.online().await;
    rig.ending.cancel();
    assert!(rig.ended().await.is_empty());
    // Somebody takes the connection, and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut plan = counter(&format!("opc.tcp://{}", mute.local_addr().unwrap()));
    link_of(&mut plan).timeout = PATIENCE;
    rig.run(vec![plan.clone()]);
    let (_line, _) = mute.accept().await.unwrap();
    rig.ending.cancel();
    assert!(rig.ended().await.is_empty());
    // Nobody is there.
    drop(mute);
    rig.run(vec![plan]);
    rig.link("a", LinkState::Offline).await;
    rig.ending.cancel();
    assert!(rig.ended().await.is_empty());
}
