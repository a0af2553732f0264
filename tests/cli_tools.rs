//! `simulate`, `probe`, `record` and `replay` as a user meets them: the binary, against virtual devices and a gateway.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking, and waits for conditions by its own clock"
)]

#[path = "support/binary.rs"]
mod binary;

use binary::{command, said};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_mins(1);

fn catalog() -> PathBuf {
    repository().join("device-profiles")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn lineside(arguments: &[&str]) -> Output {
    command(repository(), arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    let (out, err) = said(output);
    serde_json::from_str(&out).unwrap_or_else(|fault| panic!("{fault}: {out}\n{err}"))
}

/// Records a device for a time, by a link of its own.
fn record_of(profile: &str, address: &str, out: &str, time: &str) -> Output {
    lineside(&["record", profile, "--address", address, "--out", out, "--for", time])
}

/// A program that runs beside the test, and ends with it.
struct Beside {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Beside {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(repository(), arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (say, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            heard: Vec::new(),
        }
    }

    /// The first line from now on that contains this.
    fn hears(&mut self, text: &str) -> String {
        let end = Instant::now() + LONG;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("`{text}` was not said: {:#?}", self.heard));
            self.heard.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn ends(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A virtual device and where it listens.
fn simulate(profile: &str, more: &[&str]) -> (Beside, String) {
    let mut arguments = vec!["simulate", profile, "--listen", "127.0.0.1:0"];
    arguments.extend(more);
    let mut device = Beside::start(&arguments);
    let line = device.hears("listening on");
    let address = line
        .split("listening on ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    (device, address)
}

#[test]
fn a_virtual_device_does_what_is_typed() {
    let (mut device, address) = simulate("example/t-100", &["--every", "off", "--set", "program=2"]);
    device.types("set torque 3.1");
    assert!(device.hears("torque is").contains("3.1 "), "{:?}", device.heard);
    device.types("set judgement sideways");
    assert!(device.hears("error:").contains("ok, nok"), "{:?}", device.heard);
    device.types("next nok");
    assert!(
        device.hears("tightening nok").contains("program.id 2"),
        "{:?}",
        device.heard
    );
    let probed = json(&lineside(&[
        "probe",
        "example/t-100",
        "--address",
        &address,
        "--once",
        "--json",
    ]));
    let event = &probed["events"][0]["says"][0];
    assert_eq!(
        (&event["result"], &event["program"]["id"]),
        (&"nok".into(), &"2".into()),
        "{probed:#}"
    );
    // 3.1 lbf·in in the contract's uom.
    assert_eq!(event["torque"]["value"].to_string(), "0.350253", "{probed:#}");
    let torque = probed["points"]
        .as_array()
        .unwrap()
        .iter()
        .find(|point| point["point"] == "torque")
        .unwrap();
    assert_eq!(
        (
            torque["registers"].as_str(),
            torque["raw"].to_string().as_str(),
            torque["state"].as_str()
        ),
        (Some("6666 4046"), "3.1", Some("good")),
        "{torque}"
    );
    let (table, _) = said(&lineside(&["probe", "example/t-100", "--address", &address, "--once"]));
    assert!(table.contains("events that this would make"), "{table}");
    assert!(table.contains("when `result_count` changes: tightening nok"), "{table}");
    device.types("quit");
    assert_eq!(device.ends(), 0);
}

#[test]
fn what_cannot_be_probed_is_said_with_what_to_do() {
    let nowhere = lineside(&["probe", "example/t-100", "--once"]);
    let (_, err) = said(&nowhere);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(err.contains("add --address"), "{err}");
    let refused = lineside(&["probe", "example/t-100", "--address", "127.0.0.1:1", "--once"]);
    let (_, err) = said(&refused);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err.contains("refuses the connection"), "{err}");
    let unknown = lineside(&["probe", "example/none", "--address", "127.0.0.1:1"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).1.contains("there is no profile example/none"));
}

#[test]
fn a_record_of_a_virtual_device_is_replayed_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("r.jsonl");
    let out = out.to_str().unwrap();
    let (mut device, address) = simulate("example/t-100", &["--every", "300ms", "--nok-rate", "0.5", "--no-wait"]);
    device.hears("tightening");
    let recorded = record_of("example/t-100", &address, out, "3s");
    assert!(recorded.status.success(), "{:?}", said(&recorded));
    assert!(said(&recorded).1.contains(" 0 missed"), "{:?}", said(&recorded));
    let again = lineside(&[
        "record",
        "example/t-100",
        "--address",
        &address,
        "--out",
        out,
        "--for",
        "1s",
    ]);
    assert!(said(&again).1.contains("is there already"), "{:?}", said(&again));
    // The events are those that the device says it made, with the same numbers.
    let replayed = json(&lineside(&["replay", out, "example/t-100", "--json"]));
    let events = replayed["events"].as_array().unwrap();
    let results = events
        .iter()
        .filter(|event| event["event"]["type"] == "tightening")
        .count();
    assert!(results > 5, "{replayed:#}");
    assert_eq!(replayed["torn"].as_array().unwrap().len(), 0, "{replayed:#}");
    device.types("quit");
    device.ends();
    device.heard.extend(device.lines.iter());
    for event in events.iter().filter(|event| event["event"]["type"] == "tightening") {
        let event = &event["event"];
        let id = format!("result_id {}", event["result_id"].as_str().unwrap());
        let verdict = format!("tightening {}", event["result"].as_str().unwrap());
        let made = |line: &&String| line.split(", ").any(|part| part == id);
        let line = device
            .heard
            .iter()
            .find(made)
            .unwrap_or_else(|| panic!("{id}: {:#?}", device.heard));
        assert!(line.contains(&verdict), "{line}: {event}");
    }
    let same = lineside(&["replay", out, "example/t-100", "example/t-100"]);
    assert_eq!(same.status.code(), Some(0), "{:?}", said(&same));
    let other = folder.path().join("other.toml");
    let text = std::fs::read_to_string(catalog().join("example/t-100.toml")).unwrap();
    std::fs::write(
        &other,
        text.replace("{ 1 = \"ok\", 2 = \"nok\" }", "{ 1 = \"nok\", 2 = \"ok\" }"),
    )
    .unwrap();
    let different = lineside(&["replay", out, "example/t-100", other.to_str().unwrap()]);
    assert_eq!(different.status.code(), Some(3), "{:?}", said(&different));
    assert!(said(&different).0.contains("result: "), "{:?}", said(&different));
    let invalid = lineside(&["replay", other.to_str().unwrap(), "example/t-100"]);
    assert_eq!(invalid.status.code(), Some(2));
    assert!(said(&invalid).1.contains("no record"), "{:?}", said(&invalid));
}

/// Values, structures and events of a server: what is recorded by a link of its own makes the events that the device says it
/// made, and another profile finds what it wants in it.
#[test]
fn what_an_opcua_server_says_is_recorded_and_replayed() {
    for (profile, other) in [
        ("example/opcua", ("field = \"Number\"", "field = \"Verdict\"")),
        ("joining/opc-40450", ("MeasuredValue", "NoSuchField")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (out, root) = (path("r.jsonl"), catalog());
        let root = root.to_str().unwrap();
        let installed = path("a.toml");
        let text = format!("profile = 1\nextends = \"{profile}\"\n[connection]\nsecurity = \"None\"\n");
        std::fs::write(&installed, text).unwrap();
        let (mut device, address) = simulate(profile, &["--every", "400ms", "--no-wait"]);
        let recorded = lineside(&[
            "record",
            &installed,
            "--root",
            root,
            "--address",
            &address,
            "--out",
            &out,
            "--for",
            "5s",
        ]);
        assert!(recorded.status.success(), "{:?}", said(&recorded));
        let replayed = json(&lineside(&["replay", &out, profile, "--json"]));
        let results = of_type(&replayed, "tightening");
        assert!(results.len() > 5, "{replayed:#}");
        assert_eq!(of_type(&replayed, "quarantine").len(), 0, "{replayed:#}");
        assert_eq!(replayed["torn"].as_array().unwrap().len(), 0, "{replayed:#}");
        assert_eq!(replayed["notes"].as_array().unwrap().len(), 0, "{replayed:#}");
        device.types("quit");
        device.ends();
        device.heard.extend(device.lines.iter());
        // Every result that is replayed was made by the device, with this verdict.
        for event in &results {
            let id = format!("result_id {}", event["result_id"].as_str().unwrap());
            let verdict = event["result"].as_str().unwrap();
            let made = device.heard.iter().filter(|line| {
                line.contains("tightening") && line.contains(verdict) && line.split(", ").any(|part| part.trim() == id)
            });
            assert!(made.count() > 0, "{id} {verdict}: {:#?}", device.heard);
        }
        let same = lineside(&["replay", &out, profile, &installed, "--root", root]);
        assert_eq!(same.status.code(), Some(0), "{:?}", said(&same));
        // A profile that reads something else in the same structure.
        let text = std::fs::read_to_string(catalog().join(format!("{profile}.toml"))).unwrap();
        let (from, to) = other;
        assert!(text.contains(from), "{profile} has no {from}");
        std::fs::write(path("other.toml"), text.replace(from, to)).unwrap();
        let differs = lineside(&["replay", &out, profile, &path("other.toml"), "--root", root]);
        assert_eq!(differs.status.code(), Some(3), "{:?}", said(&differs));
    }
}

/// Events of one type in a replay.
fn of_type<'a>(replayed: &'a Value, kind: &str) -> Vec<&'a Value> {
    let events = replayed["events"].as_array().unwrap().iter();
    events
        .map(|event| &event["event"])
        .filter(|event| event["type"] == kind)
        .collect()
}

#[test]
fn a_torque_controller_is_simulated_recorded_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("r.jsonl");
    let out = out.to_str().unwrap();
    let profile = "atlas-copco/power-focus-4000";
    let (mut device, address) = simulate(profile, &["--every", "300ms", "--set", "parameter_set_number=42"]);
    let recorded = record_of(profile, &address, out, "4s");
    assert!(recorded.status.success(), "{:?}", said(&recorded));
    let replayed = json(&lineside(&["replay", out, profile, "--json"]));
    let results = of_type(&replayed, "tightening");
    assert!(results.len() > 5, "{replayed:#}");
    assert_eq!(of_type(&replayed, "quarantine").len(), 0, "{replayed:#}");
    // Nothing was acknowledged, since record only looks; and what it saw is what the device made.
    for (before, behind) in results.iter().zip(results.iter().skip(1)) {
        let number = |event: &Value| event["result_id"].as_str().unwrap().parse::<u64>().unwrap();
        assert_eq!(number(behind), number(before) + 1);
        assert_eq!(behind["program"]["id"], "42");
        assert_eq!(behind["torque"]["uom"], "N.m");
    }
    device.types("identify WVWZZZ1JZXW000001");
    device.hears("identifier WVWZZZ1JZXW000001");
    device.types("next nok");
    device.hears(" nok, torque");
    device.types("set torqe 1");
    device.hears("did you mean `torque`");
    device.types("quit");
    device.hears("0 telegrams acknowledged");
}

#[test]
fn lines_of_a_scanner_are_simulated_recorded_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("r.jsonl");
    let (out, root) = (out.to_str().unwrap(), catalog());
    let root = root.to_str().unwrap();
    // The catalog's scanner on a line of TCP: it needs no port then.
    let profile = folder.path().join("scanner.toml");
    let text = "profile = 1\nextends = \"scanner/gs1\"\nremove = [\"connection.baud\", \"connection.framing\"]\n\
                [connection]\nprotocol = \"tcp\"\n";
    std::fs::write(&profile, text).unwrap();
    let profile = profile.to_str().unwrap();
    let (mut device, address) = simulate(profile, &["--every", "off", "--root", root]);
    let mut recorder = command(
        repository(),
        &[
            "record",
            profile,
            "--root",
            root,
            "--address",
            &address,
            "--out",
            out,
            "--for",
            "3s",
        ],
    )
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    // It is said again until somebody listens: a scanner has no memory.
    let mut sent = 0;
    while recorder.try_wait().unwrap().is_none() {
        sent += 1;
        device.types(&format!("send ]d2010401234567890121UNIT{sent}"));
        device.hears("identification");
        std::thread::sleep(Duration::from_millis(200));
    }
    let replayed = json(&lineside(&["replay", out, profile, "--root", root, "--json"]));
    let codes = of_type(&replayed, "identification");
    assert!(codes.len() > 3, "{replayed:#}");
    for code in codes {
        assert_eq!(code["gs1"]["01"], "04012345678901");
        assert_eq!(code["unit"]["id"], code["gs1"]["21"]);
    }
    device.types("quit");
    device.hears("frames made");
}

#[test]
fn a_device_behind_a_serial_server_is_simulated_and_probed() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("rtu.toml");
    let text = std::fs::read_to_string(catalog().join("example/t-100.toml")).unwrap();
    std::fs::write(&profile, text.replace("\"modbus-tcp\"", "\"modbus-rtu-over-tcp\"")).unwrap();
    let profile = profile.to_str().unwrap();
    let (_device, address) = simulate(profile, &["--every", "off"]);
    let probed = json(&lineside(&[
        "probe",
        profile,
        "--address",
        &address,
        "--once",
        "--json",
    ]));
    assert_eq!(probed["faults"].as_array().unwrap().len(), 0, "{probed:#}");
    assert!(
        probed["points"]
            .as_array()
            .unwrap()
            .iter()
            .any(|point| point["state"] == "good")
    );
    let wrong = lineside(&["probe", profile, "--address", &address, "--server-id", "9", "--once"]);
    assert_eq!(wrong.status.code(), Some(1), "{:?}", said(&wrong));
}

#[test]
fn what_goes_wrong_on_request_is_seen_and_got_over() {
    let faults = "drop=0.01,delay=20ms@0.1,exception=6@0.1,close=0.03,reboot=2s";
    let (mut device, address) = simulate("example/t-100", &["--every", "100ms", "--no-wait", "--fault", faults]);
    device.hears("restarted");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("r.jsonl");
    let out = out.to_str().unwrap();
    let recorded = record_of("example/t-100", &address, out, "4s");
    assert!(recorded.status.success(), "{:?}", said(&recorded));
    assert!(
        !said(&recorded).1.contains(" 0 without an answer"),
        "{:?}",
        said(&recorded)
    );
    let replayed = lineside(&["replay", out, "example/t-100", "--json"]);
    assert!(!json(&replayed)["events"].as_array().unwrap().is_empty());
}

/// A gateway with one slot for each handshake of the catalog, each filled by its virtual device.
struct Line {
    folder: tempfile::TempDir,
    devices: Vec<(String, Beside)>,
    gateway: Beside,
}

impl Line {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let profiles = folder.path().join("device-profiles");
        std::fs::create_dir_all(profiles.join("handshake")).unwrap();
        let mut config =
            "[gateway]\nid = \"gw\"\nstate_dir = \"state\"\nweb = \"off\"\n[plant]\nenterprise = \"acme\"\n\
                          site = \"s\"\narea = \"a\"\nline = \"l\"\n[mqtt]\nbroker = \"mqtt://127.0.0.1:1\"\n\
                          [[station]]\nid = \"st10\"\n"
                .to_owned();
        let mut devices = Vec::new();
        let mut names: Vec<String> = std::fs::read_dir(catalog().join("handshake"))
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        assert!(names.len() >= 8, "{names:?}");
        for name in names {
            let file = format!("handshake/{name}.toml");
            let text = std::fs::read_to_string(catalog().join(&file)).unwrap();
            std::fs::write(profiles.join(&file), &text).unwrap();
            let delivers = if text.contains("[events.state]") {
                "state"
            } else {
                "tightening"
            };
            write!(config, "[[station.slot]]\nid = \"{name}\"\ndelivers = \"{delivers}\"\n").unwrap();
            let (device, address) = simulate(&format!("handshake/{name}"), &["--every", "700ms"]);
            std::fs::write(
                profiles.join(format!("st10.{name}.toml")),
                format!(
                    "profile = 1\nextends = \"handshake/{name}\"\nserial = \"1\"\n[connection]\naddress = \"{address}\"\n"
                ),
            )
            .unwrap();
            devices.push((name, device));
        }
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, config).unwrap();
        let gateway = Beside::start(&["run", "--config", path.to_str().unwrap()]);
        Self {
            folder,
            devices,
            gateway,
        }
    }

    fn config(&self) -> String {
        self.folder.path().join("gateway.toml").to_str().unwrap().to_owned()
    }

    /// Events in the outbox, by topic.
    fn events(&self) -> Value {
        let output = lineside(&["outbox", "stats", "--config", &self.config(), "--json"]);
        serde_json::from_slice::<Value>(&output.stdout).map_or(Value::Null, |mut stats| stats["topics"].take())
    }

    fn wait(&self, what: &str, done: impl Fn(&Value) -> bool) {
        let end = Instant::now() + LONG;
        loop {
            let events = self.events();
            if done(&events) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {events:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn every_handshake_of_the_catalog_works_between_virtual_device_and_gateway() {
    let mut line = Line::start();
    let kind = |name: &str| if name == "heartbeat" { "state" } else { "tightening" };
    let names: Vec<String> = line.devices.iter().map(|(name, _)| name.clone()).collect();
    // A state is made each fifth time.
    line.wait("each slot has events", |topics| {
        names.iter().all(|name| {
            let waiting = &topics[format!("acme/s/a/l/st10/{name}/{}", kind(name))]["waiting"];
            waiting
                .as_u64()
                .is_some_and(|waiting| waiting >= if name == "heartbeat" { 1 } else { 4 })
        })
    });
    let topics = line.events();
    for name in &names {
        for bad in ["quarantine", "gap", "alarm"] {
            assert!(
                topics.get(format!("acme/s/a/l/st10/{name}/{bad}")).is_none(),
                "{name}: {topics:#}"
            );
        }
    }
    // Through the gateway: who probes and records takes nothing away, and sees what the gateway sees.
    let config = line.config();
    let probed = json(&lineside(&[
        "probe",
        "st10.level",
        "--config",
        &config,
        "--once",
        "--json",
    ]));
    assert_eq!(
        (&probed["through"], &probed["slot"]),
        (&"gateway".into(), &"st10.level".into()),
        "{probed:#}"
    );
    let cleared = json(&lineside(&[
        "probe",
        "st10.clear-on-read",
        "--config",
        &config,
        "--once",
        "--json",
    ]));
    assert_eq!(cleared["points"][0]["state"], "not_read", "{cleared:#}");
    let installed = line.folder.path().join("device-profiles/st10.counter.toml");
    let by_file = json(&lineside(&["probe", installed.to_str().unwrap(), "--once", "--json"]));
    assert_eq!(by_file["through"], "gateway", "{by_file:#}");
    let unknown = lineside(&["probe", "st10.nobody", "--config", &config, "--once"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).1.contains("is no slot of"), "{:?}", said(&unknown));
    for name in ["level", "clear-on-read", "counter-echo", "toggle", "ring"] {
        let out = line.folder.path().join(format!("{name}.jsonl"));
        let out = out.to_str().unwrap();
        let slot = format!("st10.{name}");
        let recorded = lineside(&["record", &slot, "--config", &config, "--out", out, "--for", "5s"]);
        assert!(recorded.status.success(), "{:?}", said(&recorded));
        let profile = line.folder.path().join(format!("device-profiles/{slot}.toml"));
        let replayed = json(&lineside(&["replay", out, profile.to_str().unwrap(), "--json"]));
        let ids: Vec<&str> = replayed["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["event"]["result_id"].as_str().unwrap())
            .collect();
        assert!(ids.len() >= 3, "{name}: {replayed:#}");
        assert_eq!(replayed["torn"].as_array().unwrap().len(), 0, "{name}: {replayed:#}");
        // They are the gateway's own.
        let listed = lineside(&[
            "outbox",
            "list",
            "--config",
            &config,
            "--json",
            "--limit",
            "1000",
            "--topic",
            &format!("/{name}/tightening"),
        ]);
        let listed = said(&listed).0;
        for id in &ids {
            assert!(
                listed.contains(&format!("\"result_id\": \"{id}\"")),
                "{name} {id}: {listed}"
            );
        }
        // Each once: who watches adds nothing.
        let mut once = ids.clone();
        once.dedup();
        assert_eq!(once, ids, "{name}");
        // What the gateway has kept by itself holds the same results, and those before.
        let kept = line.folder.path().join(format!("{name}-recent.jsonl"));
        let kept = kept.to_str().unwrap();
        let recent = lineside(&["record", &slot, "--recent", "--config", &config, "--out", kept]);
        assert!(recent.status.success(), "{:?}", said(&recent));
        let replayed = json(&lineside(&["replay", kept, profile.to_str().unwrap(), "--json"]));
        for id in &ids {
            let same = |event: &&Value| event["event"]["result_id"] == **id;
            let number = replayed["events"].as_array().unwrap().iter().filter(same).count();
            assert_eq!(number, 1, "{name} {id}: {replayed:#}");
        }
        let nothing = lineside(&[
            "record", &slot, "--recent", "--before", "--config", &config, "--out", kept, "--force",
        ]);
        assert_eq!(nothing.status.code(), Some(1));
        assert!(said(&nothing).1.contains("no device filled"), "{:?}", said(&nothing));
    }
    for (name, device) in &mut line.devices {
        device.types("quit");
        assert_eq!(device.ends(), 0, "{name}");
        device.heard.extend(device.lines.iter());
        let waits = ["level", "toggle", "counter-echo", "clear-by-writing"].contains(&name.as_str());
        let acknowledged = device
            .heard
            .iter()
            .filter(|line| line.contains("acknowledged after"))
            .count();
        assert_eq!(waits, acknowledged > 2, "{name}: {:#?}", device.heard);
        assert!(
            !device.heard.iter().any(|line| line.contains("not acknowledged within")),
            "{name}"
        );
    }
    drop(line.gateway);
}
