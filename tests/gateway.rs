//! The gateway as a whole, in this process: a simulated Modbus device on one side, a scripted broker on the other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking, and measures its own time"
)]

#[path = "support/whole.rs"]
mod whole;

use lineside::device::modbus::simulator::Simulator;
use lineside::model::plan::Table::Holding;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use whole::fake_broker::{Fake, Packet, publish};
use whole::{GATEWAY, Running, broker, said, until};

const PLANT: &str = "acme/s/a/l";

/// A tool that shows a result until it is acknowledged, and a wide device whose readings fill an outbox soon.
struct Cell {
    dir: tempfile::TempDir,
    runtime: Runtime,
    device: Simulator,
    shown: u16,
}

/// Readings of the wide device.
const WIDTH: u16 = 600;

impl Cell {
    fn new(outbox: &str) -> Self {
        let runtime = whole::runtime();
        let (device, address, serving) = runtime.block_on(Simulator::bind("127.0.0.1:0")).unwrap();
        drop(runtime.spawn(serving));
        device.set(Holding, 0, &[0; 11]);
        device.set(Holding, 1_000, &vec![0; usize::from(WIDTH)]);
        let dir = tempfile::tempdir().unwrap();
        let profiles = dir.path().join("device-profiles");
        std::fs::create_dir(&profiles).unwrap();
        let top = |model: &str, poll: &str| {
            format!(
                "profile = 1\nvendor = \"V\"\nmodel = \"{model}\"\nmaturity = \"bench\"\n[connection]\n\
                 protocol = \"modbus-tcp\"\naddress = \"{address}\"\npoll = \"{poll}\"\n[points]\n"
            )
        };
        let tool = top("Tool", "10ms")
            + r#"
n = { at = "holding:0", type = "u16" }
verdict = { at = "holding:1", type = "u16", map = { 1 = "ok", 2 = "nok" } }
torque = { at = "holding:2", type = "u16", scale = 0.01, uom = "N.m" }
taken = { at = "holding:10", type = "u16" }
[events.tightening]
when = { changes = "n" }
id = ["n"]
result = "verdict"
torque = "torque"
ack = { write = "taken", copy = "n" }
"#;
        std::fs::write(profiles.join("st10.tool.toml"), tool).unwrap();
        let mut wide = top("Wide", "10ms");
        for point in 0..WIDTH {
            writeln!(
                wide,
                "p{point} = {{ at = \"holding:{}\", type = \"u16\" }}",
                1_000 + point
            )
            .unwrap();
        }
        wide += "[events.readings]\nwhen = { changes = \"*\" }\nvalues = \"*\"\nkeep = \"stored\"\n";
        std::fs::write(profiles.join("st10.wide.toml"), wide).unwrap();
        let cell = Self {
            dir,
            runtime,
            device,
            shown: 0,
        };
        cell.configure(1, outbox, &["tool", "wide"]);
        cell
    }

    fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    fn configure(&self, broker: u16, outbox: &str, slots: &[&str]) {
        let mut text = format!(
            "[gateway]\nid = \"gw\"\nstate_dir = \"state\"\nprofiles = \"device-profiles\"\nweb = \"off\"\n\
             [plant]\nenterprise = \"acme\"\nsite = \"s\"\narea = \"a\"\nline = \"l\"\n\
             [mqtt]\nbroker = \"mqtt://127.0.0.1:{broker}\"\n[outbox]\n{outbox}\n\
             [[station]]\nid = \"st10\"\nunit_from = [\"mes\"]\n"
        );
        for slot in ["tool", "wide"] {
            let type_ = if slot == "tool" { "tightening" } else { "readings" };
            let disabled = !slots.contains(&slot);
            writeln!(
                text,
                "[[station.slot]]\nid = \"{slot}\"\ndelivers = \"{type_}\"\ndisabled = {disabled}"
            )
            .unwrap();
        }
        std::fs::write(self.dir.path().join("gateway.toml"), text).unwrap();
    }

    fn start(&self) -> Running {
        whole::start(&self.runtime, &self.dir.path().join("gateway.toml"))
    }

    /// Stops as SIGTERM does; it has 2 s.
    fn stop(&self, running: Running) {
        let took = whole::stop(&self.runtime, running);
        assert!(took < Duration::from_secs(2), "it took {took:?} to stop");
    }

    /// The tool shows its next result.
    fn tighten(&mut self) {
        self.shown += 1;
        self.device.set(Holding, 0, &[self.shown, 1, self.shown]);
    }

    fn is_taken(&self) -> bool {
        self.device.get(Holding, 10) == self.shown
    }

    fn tighten_and_wait(&mut self) {
        self.tighten();
        until("the tool is acknowledged", || self.is_taken());
    }
}

fn sequences(packets: &[(usize, Packet)], end: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = said(packets, end)
        .iter()
        .map(|event| event["sequence"].as_str().unwrap().parse().unwrap())
        .collect();
    numbers.dedup();
    numbers
}

#[test]
fn a_full_outbox_holds_the_devices_still_drains_and_stops_in_time() {
    let outbox = "max_bytes = \"1MiB\"\nwhen_full = \"hold\"";
    let mut cell = Cell::new(outbox);
    let listening = Arc::new(AtomicBool::new(false));
    let heard = listening.clone();
    // 0x10: success, but nobody is subscribed.
    let broker = broker(move |_, _| if heard.load(Ordering::SeqCst) { 0 } else { 0x10 });
    cell.configure(broker.address.port(), outbox, &["tool", "wide"]);
    let running = cell.start();
    cell.tighten_and_wait();
    let full = |packets: &[(usize, Packet)]| {
        let statuses = said(packets, "/tool/status");
        statuses.iter().any(|status| {
            let reason = status["reason"].as_str().unwrap_or_default();
            reason.contains("the outbox is full") && status["state"] == "degraded"
        })
    };
    let mut value = 0;
    until("the outbox is full", || {
        value += 1;
        cell.device.set(Holding, 1_000, &[value]);
        full(&broker.received())
    });
    cell.tighten();
    // A word of the MES that leads to an alarm, for which there is no room.
    broker.say(&publish(true, &format!("{PLANT}/st10/unit"), b"no JSON", false));
    std::thread::park_timeout(Duration::from_millis(600));
    assert!(!cell.is_taken(), "a result that has no room is not acknowledged");
    cell.stop(running);
    assert!(!cell.is_taken());

    let running = cell.start();
    std::thread::park_timeout(Duration::from_millis(600));
    broker.say(&publish(true, &format!("{PLANT}/st10/unit"), b"no JSON", false));
    std::thread::park_timeout(Duration::from_millis(300));
    listening.store(true, Ordering::SeqCst);
    until("the tool is acknowledged", || cell.is_taken());
    cell.tighten_and_wait();
    broker.wait("the alarm", |packets| !said(packets, "/tool/alarm").is_empty());
    broker.wait("all results", |packets| {
        sequences(packets, "/tool/tightening").last() == Some(&3)
    });
    broker.wait("there is room", |packets| {
        said(packets, "/tool/status")
            .last()
            .is_some_and(|status| status["state"] == "online")
    });
    cell.stop(running);
    for topic in ["/tool/tightening", "/wide/readings"] {
        let mut numbers = sequences(&broker.received(), topic);
        numbers.sort_unstable();
        numbers.dedup();
        let count = u64::try_from(numbers.len()).unwrap();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{topic} has a hole");
    }
}

/// Spoils an event in the store as a bad disk would, checksum and all.
fn spoil(state: &Path, sequence: u64) {
    let store = sled::open(state.join("store-1")).unwrap();
    let keys: Vec<_> = store.scan_prefix([4]).keys().map(Result::unwrap).collect();
    let key = keys
        .iter()
        .find(|key| key[5..13] == sequence.to_be_bytes())
        .expect("it is there");
    store.insert(key, b"spoiled").unwrap();
    store.flush().unwrap();
}

#[test]
fn records_that_cannot_be_read_are_told_by_a_gap_wherever_they_lie() {
    let mut cell = Cell::new("");
    cell.configure(1, "", &["tool"]);
    let running = cell.start();
    for _ in 0..6 {
        cell.tighten_and_wait();
    }
    cell.stop(running);
    // In the middle of what is read at once, and at its end.
    for sequence in [3, 6] {
        spoil(&cell.state(), sequence);
    }
    let broker = broker(|_, _| 0);
    cell.configure(broker.address.port(), "", &["tool"]);
    let running = cell.start();
    broker.wait("both gaps", |packets| said(packets, "/tool/gap").len() == 2);
    cell.tighten_and_wait();
    broker.wait("the next result", |packets| {
        sequences(packets, "/tool/tightening").last() == Some(&7)
    });
    cell.stop(running);
    let packets = broker.received();
    assert_eq!(sequences(&packets, "/tool/tightening"), [1, 2, 4, 5, 7]);
    let gaps: Vec<Value> = said(&packets, "/tool/gap")
        .iter()
        .map(|gap| gap["data"].clone())
        .collect();
    for (gap, (after, before)) in gaps.iter().zip([("2", "4"), ("5", "7")]) {
        assert_eq!(gap["cause"], "damaged");
        assert_eq!(gap["of"], "tightening");
        assert_eq!((&gap["after"], &gap["before"]), (&after.into(), &before.into()));
        assert_eq!(gap["count"], 1);
    }
}

#[test]
fn what_is_refused_for_good_is_told_and_the_rest_goes_on() {
    let mut cell = Cell::new("");
    // 0x87: not authorized.
    let broker = broker(|topic, event| {
        let second = event["sequence"] == "00000000000000000002";
        if topic.ends_with("/tightening") && second {
            0x87
        } else {
            0
        }
    });
    cell.configure(broker.address.port(), "", &["tool"]);
    let running = cell.start();
    for _ in 0..3 {
        cell.tighten_and_wait();
    }
    broker.wait("the gap and the third", |packets| {
        !said(packets, "/tool/gap").is_empty() && sequences(packets, "/tool/tightening").last() == Some(&3)
    });
    let gap = said(&broker.received(), "/tool/gap").remove(0);
    assert_eq!(gap["data"]["cause"], "rejected");
    assert_eq!(
        (&gap["data"]["after"], &gap["data"]["before"]),
        (&"1".into(), &"3".into())
    );
    broker.wait("the status", |packets| {
        said(packets, "/tool/status").last().is_some_and(|status| {
            status["state"] == "degraded" && status["reason"].as_str().unwrap().contains("not authorized")
        })
    });
    cell.stop(running);
    assert_eq!(sequences(&broker.received(), "/tool/tightening"), [1, 2, 3]);
}

#[test]
fn statuses_go_on_through_restarts_and_are_cleared_with_their_slot() {
    let mut cell = Cell::new("");
    let first = broker(|_, _| 0);
    cell.configure(first.address.port(), "", &["tool", "wide"]);
    let running = cell.start();
    cell.tighten_and_wait();
    let online = |packets: &[(usize, Packet)]| {
        let last = said(packets, "/tool/status").pop().unwrap_or_default();
        last["state"] == "online" && last["last"]["tightening"] == 1 && last["waiting"] == 0
    };
    first.wait("the tool is online", online);
    first.wait("the other is there", |packets| {
        !said(packets, "/wide/status").is_empty()
    });
    cell.stop(running);
    let packets = first.received();
    let Some((
        _,
        Packet::Connect {
            will: Some((topic, will)),
            ..
        },
    )) = packets.first()
    else {
        panic!("no will in {packets:?}");
    };
    let will: Value = serde_json::from_slice(will).unwrap();
    let statuses = said(&packets, GATEWAY);
    let (hello, farewell) = (statuses.first().unwrap(), statuses.last().unwrap());
    assert_eq!(topic, GATEWAY);
    for offline in [&will, farewell] {
        assert_eq!(offline["state"], "offline");
        assert_eq!(offline["session"], hello["session"]);
        assert_eq!(offline["stream"], hello["stream"]);
    }
    assert_eq!(hello["state"], "online");
    assert_eq!(farewell["waiting"], 0);

    // One slot goes; the gateway is ended before it ever reaches the broker.
    cell.configure(1, "", &["tool"]);
    let running = cell.start();
    until("it runs", || cell.state().join("control.sock").exists());
    std::thread::park_timeout(Duration::from_millis(600));
    cell.stop(running);
    let second = broker(|_, _| 0);
    cell.configure(second.address.port(), "", &["tool"]);
    let running = cell.start();
    let cleared = |packets: &[(usize, Packet)]| {
        packets.iter().any(|(_, packet)| {
            matches!(packet, Packet::Publish { topic, payload, retain: true, .. }
                if topic.ends_with("/wide/status") && payload.is_empty())
        })
    };
    second.wait("the empty status", cleared);
    // What was given before this start is known.
    second.wait("the status", online);
    std::thread::park_timeout(Duration::from_millis(600));
    cell.stop(running);

    let third = broker(|_, _| 0);
    cell.configure(third.address.port(), "", &["tool"]);
    let running = cell.start();
    third.wait("the status", online);
    cell.stop(running);
    assert!(!cleared(&third.received()), "it was said, and is not said again");
}

/// A station with a PLC that shows what its scanner read as text registers, and a tool that does not know units.
struct Scanned {
    cell: Cell,
    scanner: Simulator,
    serving: JoinHandle<()>,
    scans: u16,
}

impl Scanned {
    fn new(broker: &Fake) -> Self {
        let cell = Cell::new("");
        let (scanner, address, serving) = cell.runtime.block_on(Simulator::bind("127.0.0.1:0")).unwrap();
        let serving = cell.runtime.spawn(serving);
        scanner.set(Holding, 0, &[0; 20]);
        let profile = format!(
            "profile = 1\nvendor = \"V\"\nmodel = \"Plc\"\nmaturity = \"bench\"\n[connection]\nprotocol = \"modbus-tcp\"\n\
             address = \"{address}\"\npoll = \"10ms\"\ntimeout = \"200ms\"\n[points]\n\
             scans = {{ at = \"holding:0\", type = \"u16\" }}\n\
             text = {{ at = \"holding:1\", type = \"string\", length = 17 }}\n\
             taken = {{ at = \"holding:15\", type = \"u16\" }}\n\
             [events.identification]\nwhen = {{ changes = \"scans\" }}\nid = [\"scans\"]\ncode = \"text\"\n\
             ack = {{ write = \"taken\", copy = \"scans\" }}\n"
        );
        std::fs::write(cell.dir.path().join("device-profiles/st10.scanner.toml"), profile).unwrap();
        cell.configure(broker.address.port(), "", &["tool"]);
        let file = cell.dir.path().join("gateway.toml");
        let text = std::fs::read_to_string(&file).unwrap().replace(
            "unit_from = [\"mes\"]",
            "unit_from = [\"mes\", \"slot:scanner\"]\nunit_pattern = \"^[A-HJ-NPR-Z0-9]{17}$\"",
        );
        let slot = "[[station.slot]]\nid = \"scanner\"\ndelivers = \"identification\"\n";
        std::fs::write(&file, text + slot).unwrap();
        Self {
            cell,
            scanner,
            serving,
            scans: 0,
        }
    }

    /// The scanner reads this, and the gateway has taken it.
    fn scan(&mut self, code: &str) {
        self.scans += 1;
        let mut bytes = code.as_bytes().to_vec();
        bytes.resize(18, 0);
        let mut words = vec![self.scans];
        words.extend(bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])));
        self.scanner.set(Holding, 0, &words);
        until("the scan is acknowledged", || {
            self.scanner.get(Holding, 15) == self.scans
        });
    }

    /// The unit of the next result of the tool.
    fn unit(&mut self, broker: &Fake) -> Value {
        self.cell.tighten_and_wait();
        let count = usize::from(self.cell.shown);
        broker.wait("the result", |packets| {
            sequences(packets, "/tool/tightening").len() == count
        });
        let event = said(&broker.received(), "/tool/tightening").pop().unwrap();
        assert_eq!(event.get("subject"), event["data"]["unit"].get("id"));
        event["data"]["unit"].clone()
    }
}

/// The first status of a slot and the units that the MES has retained are there: the plant is running.
fn online(broker: &Fake, slot: &str) {
    let end = format!("/{slot}/status");
    broker.wait("the slot is online", |packets| {
        said(packets, &end)
            .last()
            .is_some_and(|status| status["state"] == "online")
    });
}

#[test]
fn a_scanner_says_by_its_registers_which_unit_is_here() {
    const FIRST: &str = "WVWZZZ1JZXW000001";
    const SECOND: &str = "WVWZZZ1JZXW000002";
    let broker = broker(|_, _| 0);
    let mut station = Scanned::new(&broker);
    let running = station.cell.start();
    online(&broker, "scanner");
    online(&broker, "tool");
    assert_eq!(station.unit(&broker)["state"], "unbound");

    // What is not like a unit, a badge, is an identification and no unit.
    station.scan("badge-0815");
    broker.wait("the badge", |packets| {
        said(packets, "/scanner/identification").len() == 1
    });
    let badge = said(&broker.received(), "/scanner/identification").remove(0);
    assert_eq!(badge["data"]["code"], "badge-0815");
    assert_eq!(badge["data"]["unit"]["state"], "unbound");
    assert_eq!(station.unit(&broker)["state"], "unbound");

    station.scan(FIRST);
    broker.wait("the unit", |packets| {
        said(packets, "/scanner/identification").len() == 2
    });
    let scan = said(&broker.received(), "/scanner/identification").remove(1);
    assert_eq!(scan["subject"], FIRST, "an identification is of the unit that it names");
    assert_eq!(scan["data"]["unit"]["state"], "bound");
    // The interval in which the unit came may still be open.
    station.unit(&broker);
    let unit = station.unit(&broker);
    let words = |unit: &Value| {
        let text = |key: &str| unit[key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("id"), text("from"))
    };
    let expected = |state: &str, id: &str, from: &str| (state.to_owned(), id.to_owned(), from.to_owned());
    assert_eq!(words(&unit), expected("bound", FIRST, "slot:scanner"));
    station.scan("badge-0815");
    assert_eq!(words(&station.unit(&broker)), expected("bound", FIRST, "slot:scanner"));

    // The MES names another: it is the more trusted one, and the scanner's older word is out of date.
    let topic = format!("{PLANT}/st10/unit");
    let told = |id: &str| publish(true, &topic, format!("{{\"id\": \"{id}\"}}").as_bytes(), false);
    broker.say(&told(SECOND));
    until("the MES is heard", || station.unit(&broker)["from"] == "mes");
    until("it is settled", || {
        words(&station.unit(&broker)) == expected("bound", SECOND, "mes")
    });
    // The scanner contradicts.
    station.scan(FIRST);
    station.unit(&broker);
    let unit = station.unit(&broker);
    assert_eq!(words(&unit), expected("conflict", SECOND, "mes"));
    assert_eq!(
        unit["others"],
        serde_json::json!([{"from": "slot:scanner", "id": FIRST}])
    );
    // And agrees.
    station.scan(SECOND);
    until("they agree", || {
        words(&station.unit(&broker)) == expected("bound", SECOND, "mes")
    });

    // The MES says that it left; the scanner names the next, and its link dies.
    broker.say(&publish(true, &topic, b"", false));
    until("it has left", || station.unit(&broker)["state"] == "late");
    station.scan(FIRST);
    until("the next is here", || {
        words(&station.unit(&broker)) == expected("bound", FIRST, "slot:scanner")
    });
    station.serving.abort();
    station.scanner.cut();
    broker.wait("the scanner is offline", |packets| {
        said(packets, "/scanner/status")
            .last()
            .is_some_and(|status| status["state"] == "offline")
    });
    until("its word is assumed", || {
        words(&station.unit(&broker)) == expected("assumed", FIRST, "slot:scanner")
    });
    station.cell.stop(running);

    // After a restart the unit is known, though nobody is there to say it.
    let running = station.cell.start();
    online(&broker, "tool");
    assert_eq!(
        words(&station.unit(&broker)),
        expected("assumed", FIRST, "slot:scanner")
    );
    station.cell.stop(running);
}
