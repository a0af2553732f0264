//! A second, independent implementation of Open Protocol (the crate `open-protocol`) as the controller that our driver talks
//! to, and its words against ours. It knows MID 0061 of revisions 1 to 3, and no empty texts.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test's helper cannot do fails the test"
)]

use chrono::{Local, TimeZone};
use lineside::clock::Clock;
use lineside::device::{self, SlotStart, tap};
use lineside::diagnostic::Diagnostics;
use lineside::model::sample::{LinkState, Report};
use lineside::model::{Raw, SlotName};
use lineside::profile::{FileFault, Files, Meaning, Profile, SlotContract, show};
use lineside::wire::open_protocol as ours;
use open_protocol::decode::{Decode, Decoder};
use open_protocol::encode::{Encode, Encoder};
use open_protocol::messages::{communication, tightening_result};
use open_protocol::{Header, Message};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As the crate writes it, with length and NUL.
fn theirs(revision: u16, message: &Message) -> Vec<u8> {
    let mut data = Encoder::new();
    message.encode_payload(&mut data).unwrap();
    let (mid, _) = message.mid_revision();
    let header = Header {
        length: u16::try_from(20 + data.len()).unwrap(),
        mid,
        revision: Some(revision),
        ..Header::default()
    };
    let mut all = Encoder::new();
    header.encode(&mut all).unwrap();
    all.append(data.as_slice());
    all.append(b"\0");
    all.as_slice().to_vec()
}

/// As ours reads it.
fn read(bytes: &[u8]) -> ours::Decoded {
    let mut splitter = ours::Splitter::new();
    splitter.push(bytes);
    match splitter.next() {
        Some(ours::Split::Telegram(telegram, raw)) => {
            assert_eq!(raw, bytes, "all of it");
            ours::decode(&telegram).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn result(id: u32) -> tightening_result::MID0061rev2 {
    tightening_result::MID0061rev2 {
        cell_id: 1,
        channel_id: 2,
        controller_name: "Second opinion".to_owned(),
        vin_number: "WVWZZZ1JZXW000001".to_owned(),
        job_id: 7,
        parameter_set_id: 12,
        strategy: 2,
        strategy_options: 67,
        batch_size: 4,
        batch_counter: 3,
        tightening_status: 1,
        batch_status: 0,
        torque_status: 1,
        angle_status: 1,
        rundown_angle_status: 1,
        current_monitoring_status: 1,
        self_tap_status: 1,
        prevail_torque_monitoring_status: 1,
        prevail_torque_compensate_status: 1,
        tightening_error_status: "0000000000".to_owned(),
        torque_min_limit: 1_000,
        torque_max_limit: 1_500,
        torque_final_target: 1_250,
        torque: 1_234,
        angle_min_limit: 30,
        angle_max_limit: 60,
        angle_final_target: 45,
        angle: 47,
        rundown_angle: 720,
        rundown_angle_max: 900,
        tightening_id: id,
        tool_serial_number: "C0761275".to_owned(),
        timestamp: Local.with_ymd_and_hms(2026, 11, 22, 10, 15, 3).unwrap(),
        last_parameter_set_change: Local.with_ymd_and_hms(2026, 11, 1, 8, 0, 0).unwrap(),
        ..tightening_result::MID0061rev2::default()
    }
}

#[test]
fn what_the_second_implementation_writes_we_read() {
    let said = read(&theirs(2, &Message::MID0061rev2(result(42))));
    let expected = [
        ("tightening_id", Raw::Int(42)),
        ("torque", Raw::Dec("12.34".parse().unwrap())),
        ("torque_min_limit", Raw::Dec("10".parse().unwrap())),
        ("angle", Raw::Int(47)),
        ("tightening_status", Raw::Text("ok".to_owned())),
        ("vin_number", Raw::Text("WVWZZZ1JZXW000001".to_owned())),
        ("parameter_set_number", Raw::Int(12)),
        ("time_stamp", Raw::Text("2026-11-22:10:15:03".to_owned())),
        ("tool_serial_number", Raw::Text("C0761275".to_owned())),
    ];
    for (name, value) in expected {
        let got = said.get(name).unwrap_or_else(|| panic!("{name} is absent"));
        assert!(got.same_value(&value), "{name}: {got:?}");
    }
}

#[test]
fn what_we_write_the_second_implementation_reads() {
    let said = read(&theirs(2, &Message::MID0061rev2(result(42))));
    let telegram = ours::encode_fields(61, 2, &|name| said.get(name).cloned()).unwrap();
    let bytes = telegram.encode();
    let (header, message) = Message::decode_message(&mut Decoder::new(&bytes)).unwrap();
    assert_eq!((header.mid, header.revision_number()), (61, 2));
    let Message::MID0061rev2(back) = message else {
        panic!("{message:?}")
    };
    let sent = result(42);
    assert_eq!(
        (back.torque, back.angle, back.tightening_id),
        (sent.torque, sent.angle, 42)
    );
    assert_eq!((back.torque_min_limit, back.torque_max_limit), (1_000, 1_500));
    assert_eq!(back.vin_number.trim_end(), sent.vin_number);
    assert_eq!(back.timestamp, sent.timestamp);
    assert_eq!((back.batch_counter, back.batch_size, back.parameter_set_id), (3, 4, 12));
}

/// Whole telegrams of a stream, with their header as the crate reads it.
async fn next(stream: &mut TcpStream) -> Option<(Header, Vec<u8>)> {
    let mut bytes = vec![0; 20];
    stream.read_exact(&mut bytes).await.ok()?;
    let header = Header::decode(&mut Decoder::new(&bytes)).unwrap();
    let rest = usize::from(header.length) - 20 + 1;
    let mut data = vec![0; rest];
    stream.read_exact(&mut data).await.ok()?;
    bytes.extend(data);
    Some((header, bytes))
}

fn accepted(mid: u16) -> Vec<u8> {
    theirs(1, &Message::MID0005rev1(communication::MID0005rev1 { mid }))
}

fn refused(mid: u16, code: &str) -> Vec<u8> {
    let text = format!("00260004001         {mid:04}{code}\0");
    let (_, message) = Message::decode_message(&mut Decoder::new(text.as_bytes())).unwrap();
    theirs(1, &message)
}

/// A controller made of the crate: two results, the second once the first is acknowledged. Tells every MID that it got.
async fn controller(listener: TcpListener, told: mpsc::Sender<u16>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut made = 0;
    while let Some((header, _)) = next(&mut stream).await {
        told.send(header.mid).await.unwrap();
        let answer = match (header.mid, header.revision_number()) {
            (1, 6) => theirs(
                6,
                &Message::MID0002rev6(communication::MID0002rev6 {
                    controller_name: "Second opinion".to_owned(),
                    supplier_code: "ACT".to_owned(),
                    controller_serial_number: "4711".to_owned(),
                    station_or_cell_name: "st10".to_owned(),
                    open_protocol_version: "2.8".to_owned(),
                    controller_software_version: "1".to_owned(),
                    tool_software_version: "1".to_owned(),
                    rbu_type: "none".to_owned(),
                    ..communication::MID0002rev6::default()
                }),
            ),
            (1, _) | (60, 3..) => refused(header.mid, "97"),
            (60, _) => accepted(60),
            (62, _) => {
                if made == 1 {
                    made = 2;
                    theirs(2, &Message::MID0061rev2(result(42)))
                } else {
                    continue;
                }
            }
            // It keeps nothing.
            (64, _) => refused(64, "15"),
            (9999, _) => b"00209999            \0".to_vec(),
            (mid, _) => refused(mid, "99"),
        };
        stream.write_all(&answer).await.unwrap();
        if header.mid == 60 && answer == accepted(60) {
            made = 1;
            stream
                .write_all(&theirs(2, &Message::MID0061rev2(result(41))))
                .await
                .unwrap();
        }
    }
}

struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        std::fs::read_to_string(path).map_err(|fault| FileFault::Unreadable(fault.to_string()))
    }
}

#[tokio::test]
async fn our_driver_takes_the_results_of_a_controller_that_somebody_else_wrote() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (told, mut asked) = mpsc::channel(256);
    let mut tasks = JoinSet::new();
    tasks.spawn(controller(listener, told));

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let mut out = Diagnostics::new();
    let profile = Profile::load(Path::new("open-protocol/controller.toml"), &root, &Disk, &mut out);
    assert!(!out.has_errors(), "{}", out.render(false));
    let profile = profile.unwrap();
    let contract = SlotContract::asking_nothing(SlotName::new("st10", "spindle-1"), profile.connection_place().clone());
    let mut plan = profile.plan(&contract.slot);
    // The alarm and identifier subscriptions are refused as unknown: results go on all the same.
    plan.link.set_address(&address);
    let (reports, mut heard) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let (_probe, service) = tap::service();
    let start = SlotStart {
        plan: Arc::new(plan),
        states: HashMap::new(),
    };
    tasks.spawn(device::run_link(
        vec![start],
        reports,
        Clock::machine(),
        stop.clone(),
        service,
    ));

    let mut results = Vec::new();
    while results.len() < 2 {
        let report = tokio::time::timeout(Duration::from_secs(30), heard.recv()).await;
        match report.unwrap().unwrap() {
            Report::Sample(mut sample) => {
                // Nothing is acknowledged before this: the controller makes the next one only then.
                let durable = sample.durable.take();
                for meaning in profile.drafts(&contract, &sample) {
                    if let Meaning::Draft(draft) = meaning {
                        results.push(show(&draft));
                    }
                }
                if let Some(durable) = durable {
                    durable.send(()).unwrap();
                }
            }
            Report::State { durable, .. } => {
                if let Some(durable) = durable {
                    durable.send(()).unwrap();
                }
            }
            Report::Link { state, reason, .. } => {
                assert_ne!(state, LinkState::Offline, "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    let ids: Vec<_> = results.iter().map(|result| result["result_id"].clone()).collect();
    assert_eq!(ids, ["41", "42"]);
    assert_eq!(results[1]["torque"]["value"].to_string(), "12.34");
    assert_eq!(results[1]["result"], "ok");
    assert_eq!(results[1]["controller"]["serial"], "4711");
    // The second one is acknowledged, too.
    let mut acknowledged = 0;
    while acknowledged < 2 {
        let mid = tokio::time::timeout(Duration::from_secs(10), asked.recv()).await;
        acknowledged += usize::from(mid.unwrap().unwrap() == 62);
    }
    stop.cancel();
    tasks.shutdown().await;
}
