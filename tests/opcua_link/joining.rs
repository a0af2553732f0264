//! Results of joining systems that were made while nobody heard.

use crate::rig::*;
use lineside::device::opcua::simulator::Setup;
use lineside::model::Sample;
use lineside::model::plan::*;
use lineside::model::sample::Report;
use lineside::wire::opcua::Tree;
use lineside::wire::opcua::node::parse_node;
use serde_json::json;

const JOINING: &str = "http://opcfoundation.org/UA/IJT/Base/";

fn ready() -> NodeRef {
    parse_node(&format!("nsu={JOINING};i=1007")).unwrap()
}

fn notice() -> Notice {
    Notice {
        event_type: ready(),
        notifier: NodeRef::SERVER,
    }
}

fn system(stores: bool) -> Setup {
    let mut setup = plant();
    setup.add_notice(&notice());
    setup.stores = stores;
    setup
}

fn result(number: u64) -> Tree {
    Tree::from_json(&json!({"Result": {
        "ResultMetaData": {
            "ResultId": format!("R-{number}"), "ResultEvaluation": 1, "SequenceNumber": number, "Classification": 1
        },
        "ResultContent": [{"OverallResultValues": [
            {"MeasuredValue": 12.5, "ValueTag": 1, "PhysicalQuantity": 2, "LowLimit": 10.8, "HighLimit": 13.2},
            {"MeasuredValue": 47, "ValueTag": 1, "PhysicalQuantity": 3}
        ]}]
    }}))
}

/// Points 0 the sequence number, 1 the result's id, 2 torque, 3 `Beat`.
fn joining(address: &str) -> SlotPlan {
    let points = vec![
        field("sequence", "Result/ResultMetaData/SequenceNumber"),
        field("id", "Result/ResultMetaData/ResultId"),
        field(
            "torque",
            "Result/ResultContent[0]/OverallResultValues[PhysicalQuantity=2]/MeasuredValue",
        ),
        point("Beat"),
    ];
    let mut of = event("tightening", Trigger::Said(Said::Event(0)), vec![0, 1, 2]);
    of.id = vec![1];
    let beat = event("beat", Trigger::Changes(vec![3]), vec![3]);
    let mut plan = slot("a", address, points, vec![of, beat]);
    plan.notices = vec![notice()];
    plan
}

fn numbers(samples: &[Sample]) -> Vec<(i64, bool)> {
    let all = firsts(samples).into_iter().zip(samples);
    all.map(|(number, sample)| (number, sample.backfill)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_values_and_their_numbers_are_kept() {
    let mut rig = Rig::start(system(true), joining).await;
    rig.online().await;
    for number in 41..44 {
        rig.simulator.raise(&ready(), &result(number)).unwrap();
    }
    let samples = rig.samples(3).await;
    assert_eq!(numbers(&samples), [(41, false), (42, false), (43, false)]);
    for sample in &samples {
        assert_eq!(
            sample.values[2].as_ref().unwrap().number(),
            Some("12.5".parse().unwrap())
        );
    }
    assert_eq!(rig.stored["tightening"].mark.map(|mark| mark.index), Some(43));
    assert_eq!(rig.simulator.counts().requests, 0, "nothing was missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_made_while_the_gateway_was_away_come_before_the_next_in_order() {
    let mut rig = Rig::start(system(true), joining).await;
    rig.online().await;
    rig.simulator.raise(&ready(), &result(41)).unwrap();
    assert_eq!(numbers(&rig.samples(1).await), [(41, false)]);
    rig.halt().await;
    for number in 42..47 {
        rig.simulator.make(&ready(), &result(number));
    }
    let plan = joining(&rig.address);
    rig.run(vec![plan]);
    rig.online().await;
    rig.simulator.raise(&ready(), &result(47)).unwrap();
    let samples = rig.samples(6).await;
    let wanted: Vec<_> = (42..48).map(|number| (number, number != 47)).collect();
    assert_eq!(numbers(&samples), wanted);
    assert!(samples[..5].iter().all(|sample| sample.since.is_none()));
    assert!(rig.beat().await.is_empty());
    assert_eq!(rig.simulator.counts().requests, 1);
    rig.simulator.raise(&ready(), &result(48)).unwrap();
    assert_eq!(numbers(&rig.samples(1).await), [(48, false)]);
    assert_eq!(rig.stored["tightening"].mark.map(|mark| mark.index), Some(48));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_left_out_is_asked_for_at_once() {
    let mut rig = Rig::start(system(true), joining).await;
    rig.online().await;
    rig.simulator.raise(&ready(), &result(1)).unwrap();
    rig.samples(1).await;
    rig.simulator.make(&ready(), &result(2));
    rig.simulator.raise(&ready(), &result(3)).unwrap();
    rig.simulator.raise(&ready(), &result(4)).unwrap();
    let samples = rig.samples(3).await;
    assert_eq!(numbers(&samples), [(2, true), (3, false), (4, false)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stores_nothing_holds_no_result_up() {
    let mut rig = Rig::start(system(false), joining).await;
    rig.online().await;
    rig.simulator.raise(&ready(), &result(1)).unwrap();
    rig.samples(1).await;
    rig.simulator.raise(&ready(), &result(9)).unwrap();
    let began = tokio::time::Instant::now();
    let samples = rig.samples(1).await;
    assert_eq!(numbers(&samples), [(9, false)]);
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}

pub(crate) async fn results_that_never_come_are_a_gap_before_the_one_that_waited() {
    let mut rig = Rig::start(system(true), joining).await;
    rig.online().await;
    rig.simulator.raise(&ready(), &result(1)).unwrap();
    rig.samples(1).await;
    // The server takes the request for 2 to 4, and has 3 only.
    rig.simulator.make(&ready(), &result(3));
    rig.simulator.raise(&ready(), &result(5)).unwrap();
    assert_eq!(numbers(&rig.samples(1).await), [(3, true)]);
    let mut gap = None;
    let live = loop {
        let report = rig.next().await;
        match rig.settle(report) {
            Some(Report::Gap { event, count, .. }) => gap = Some((event, count)),
            Some(Report::Sample(sample)) => break sample,
            _ => {}
        }
    };
    assert_eq!(gap, Some((0, Some(2))), "before what follows it");
    assert_eq!(numbers(&[*live]), [(5, false)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_is_told_once_more_is_no_reason_to_ask_for_others() {
    let mut rig = Rig::start(system(true), joining).await;
    rig.online().await;
    for number in 1..=3 {
        rig.simulator.raise(&ready(), &result(number)).unwrap();
        let sample = rig.sample().await;
        assert_eq!(firsts(std::slice::from_ref(&sample)), [i64::try_from(number).unwrap()]);
        if number == 2 {
            drop(sample);
        } else {
            answer(sample);
        }
    }
    assert_eq!(numbers(&rig.samples(1).await), [(2, false)]);
    rig.simulator.raise(&ready(), &result(4)).unwrap();
    assert_eq!(numbers(&rig.samples(1).await), [(4, false)]);
    assert_eq!(rig.simulator.counts().requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_begins_anew_is_no_gap() {
    let mut rig = Rig::start(system(true), joining).await;
    rig.online().await;
    for number in [900, 1, 2] {
        rig.simulator.raise(&ready(), &result(number)).unwrap();
    }
    let samples = rig.samples(3).await;
    assert_eq!(numbers(&samples), [(900, false), (1, false), (2, false)]);
    assert_eq!(rig.simulator.counts().requests, 0);
}
