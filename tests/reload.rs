//! Device files that change while the gateway runs: simulated Modbus tools on one side, a scripted broker on the other.

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
use lineside::diagnostic::Diagnostics;
use lineside::gateway::changes::{self, What};
use lineside::gateway::lock::{self, Lock};
use lineside::gateway::store::Question;
use lineside::gateway::{control, setup};
use lineside::model::SlotName;
use lineside::model::plan::Table::Holding;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use tokio::runtime::Runtime;
use whole::fake_broker::Fake;
use whole::{Running, said, until};

/// A tool that shows a result until it is acknowledged.
struct Tool {
    device: Simulator,
    address: String,
    shown: u16,
}

impl Tool {
    fn new(runtime: &Runtime) -> Self {
        let (device, address, serving) = runtime.block_on(Simulator::bind("127.0.0.1:0")).unwrap();
        drop(runtime.spawn(serving));
        device.set(Holding, 0, &[0; 11]);
        Self {
            device,
            address: address.to_string(),
            shown: 0,
        }
    }

    fn tighten(&mut self) {
        self.shown += 1;
        self.device.set(Holding, 0, &[self.shown, 1, 100 + self.shown]);
    }

    fn is_taken(&self) -> bool {
        self.device.get(Holding, 10) == self.shown
    }

    fn tighten_and_wait(&mut self) {
        self.tighten();
        until("the tool is acknowledged", || self.is_taken());
    }
}

/// A plant of some slots at one station.
struct Plant {
    dir: tempfile::TempDir,
    runtime: Runtime,
    broker: Fake,
}

const EVENTS: &str = r#"
[points]
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

fn head(model: &str) -> String {
    format!("profile = 1\nvendor = \"V\"\nmodel = \"{model}\"\nmaturity = \"bench\"\n")
}

fn reached(address: &str) -> String {
    format!("[connection]\nprotocol = \"modbus-tcp\"\naddress = \"{address}\"\npoll = \"10ms\"\n")
}

fn profile(model: &str, tool: &Tool) -> String {
    head(model) + &reached(&tool.address) + EVENTS
}

impl Plant {
    fn new(slots: &[&str], more: &str) -> Self {
        let runtime = whole::runtime();
        let broker = whole::broker(|_, _| 0);
        let plant = Self {
            dir: tempfile::tempdir().unwrap(),
            runtime,
            broker,
        };
        std::fs::create_dir(plant.profiles()).unwrap();
        plant.configure(slots, more, plant.broker.address.port());
        plant
    }

    fn configure(&self, slots: &[&str], more: &str, port: u16) {
        let mut text = format!(
            "[gateway]\nid = \"gw\"\nstate_dir = \"state\"\nprofiles = \"device-profiles\"\nweb = \"off\"\n{more}\n\
             [plant]\nenterprise = \"acme\"\nsite = \"s\"\narea = \"a\"\nline = \"l\"\n\
             [mqtt]\nbroker = \"mqtt://127.0.0.1:{port}\"\n\
             [[station]]\nid = \"st10\"\nunit_from = [\"mes\"]\n"
        );
        for slot in slots {
            writeln!(text, "[[station.slot]]\nid = \"{slot}\"\ndelivers = \"tightening\"").unwrap();
        }
        std::fs::write(self.config(), text).unwrap();
    }

    fn profiles(&self) -> PathBuf {
        self.dir.path().join("device-profiles")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("gateway.toml")
    }

    fn tool(&self) -> Tool {
        Tool::new(&self.runtime)
    }

    fn write(&self, slot: &str, text: &str) {
        std::fs::write(self.profiles().join(format!("st10.{slot}.toml")), text).unwrap();
    }

    fn start(&self) -> Running {
        whole::start(&self.runtime, &self.config())
    }

    fn stop(&self, running: Running) {
        whole::stop(&self.runtime, running);
    }

    /// What was published of a slot, in order.
    fn said(&self, slot: &str, kind: &str) -> Vec<Value> {
        said(&self.broker.received(), &format!("/{slot}/{kind}"))
    }

    fn wait(&self, what: &str, slot: &str, kind: &str, wanted: impl Fn(&[Value]) -> bool) {
        let end = format!("/{slot}/{kind}");
        self.broker.wait(what, |packets| wanted(&said(packets, &end)));
    }

    fn wait_status(&self, slot: &str, state: &str, reason: &str) {
        self.wait(&format!("{slot} is {state}: {reason}"), slot, "status", |said| {
            said.last().is_some_and(|status| {
                status["state"] == state && status["reason"].as_str().unwrap_or_default().contains(reason)
            })
        });
    }

    /// Results by sequence, each once.
    fn results(&self, slot: &str) -> Vec<(u64, Value)> {
        let mut found: Vec<(u64, Value)> = self
            .said(slot, "tightening")
            .iter()
            .map(|event| {
                (
                    event["sequence"].as_str().unwrap().parse().unwrap(),
                    event["data"].clone(),
                )
            })
            .collect();
        found.sort_by_key(|(sequence, _)| *sequence);
        found.dedup_by_key(|(sequence, _)| *sequence);
        found
    }

    fn holds(&self, slot: &str, torques: &[f64]) {
        self.wait("every result", slot, "tightening", |said| {
            let mut numbers: Vec<&str> = said.iter().map(|event| event["sequence"].as_str().unwrap()).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers.len() >= torques.len()
        });
        let results = self.results(slot);
        let sequences: Vec<u64> = results.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, (1..=torques.len() as u64).collect::<Vec<_>>());
        let found: Vec<f64> = results
            .iter()
            .map(|(_, data)| data["torque"]["value"].as_f64().unwrap())
            .collect();
        assert_eq!(found, torques);
    }
}

#[test]
fn another_tool_in_a_slot_goes_on_where_the_one_before_it_ended() {
    let plant = Plant::new(&["tool", "other"], "");
    let (mut a, mut b, mut other) = (plant.tool(), plant.tool(), plant.tool());
    plant.write("tool", &profile("A", &a));
    plant.write("other", &profile("O", &other));
    let running = plant.start();
    a.tighten_and_wait();
    other.tighten_and_wait();
    plant.wait_status("other", "online", "");
    let statuses = plant.said("other", "status").len();
    plant.write("tool", &profile("B", &b).replace("0.01", "0.1"));
    plant.wait("it tells of the change", "tool", "change", |said| !said.is_empty());
    plant.wait_status("tool", "online", "");
    b.tighten_and_wait();
    other.tighten_and_wait();
    b.tighten_and_wait();
    plant.holds("tool", &[1.01, 10.1, 10.2]);
    plant.holds("other", &[1.01, 1.02]);
    let change = plant.said("tool", "change").remove(0);
    assert_eq!(change["data"]["from"]["model"], "A");
    assert_eq!(change["data"]["to"]["model"], "B");
    assert_eq!(change["data"]["plan"][0], "nothing changes for the MES");
    assert!(change["data"]["who"].is_string(), "{change}");
    assert!(plant.said("other", "change").is_empty());
    let others = plant.said("other", "status");
    assert!(others.iter().skip(statuses).all(|status| status["state"] == "online"));
    plant.stop(running);
    let log = changes::read(&plant.state()).unwrap();
    let told: Vec<(&str, What)> = log.iter().map(|entry| (&*entry.slot, entry.what)).collect();
    assert_eq!(
        told,
        [
            ("st10.tool", What::Installed),
            ("st10.other", What::Installed),
            ("st10.tool", What::Changed)
        ]
    );
    // The next start tells nothing again.
    let running = plant.start();
    b.tighten_and_wait();
    plant.holds("tool", &[1.01, 10.1, 10.2, 10.3]);
    plant.stop(running);
    assert_eq!(changes::read(&plant.state()).unwrap().len(), 3);
    assert_eq!(plant.said("tool", "change").len(), 1);
}

#[test]
fn a_bad_file_is_refused_and_the_last_good_one_goes_on_through_a_restart() {
    let plant = Plant::new(&["tool", "new"], "");
    let (mut a, new) = (plant.tool(), plant.tool());
    plant.write("tool", &profile("A", &a));
    plant.write("new", "profile = 1\nvendor = 7\n");
    let running = plant.start();
    a.tighten_and_wait();
    plant.wait_status("new", "offline", "st10.new.toml:2:10");
    plant.write("tool", &profile("B", &a).replace("verdict = {", "verdict = "));
    plant.wait_status("tool", "degraded", "st10.tool.toml:");
    plant.wait("an alarm", "tool", "alarm", |said| {
        said.iter()
            .any(|alarm| alarm["data"]["code"] == "device_file_refused" && alarm["data"]["active"] == true)
    });
    a.tighten_and_wait();
    plant.stop(running);
    let running = plant.start();
    plant.wait("it runs again", "tool", "status", |said| {
        said.iter().filter(|status| status["state"] == "degraded").count() > 1
    });
    a.tighten_and_wait();
    // A file that fails its own example is bad, too.
    let example = "[[example]]\nname = \"x\"\norigin = \"computed\"\ngiven = { \"holding:0\" = [1, 1, 5] }\n\
                   expect = [{ type = \"tightening\", result = \"nok\" }]\n";
    plant.write("tool", &(profile("B", &a) + example));
    plant.wait_status("tool", "degraded", "example");
    plant.write("tool", &profile("B", &a));
    plant.wait_status("tool", "online", "");
    a.tighten_and_wait();
    plant.write("new", &profile("N", &new));
    plant.wait_status("new", "online", "");
    plant.holds("tool", &[1.01, 1.02, 1.03, 1.04]);
    plant.wait("the alarm went", "tool", "alarm", |said| {
        said.last().is_some_and(|alarm| alarm["data"]["active"] == false)
    });
    plant.stop(running);
}

#[test]
fn a_catalog_edit_is_taken_by_all_that_inherit_it_or_by_none() {
    let plant = Plant::new(&["a", "b"], "");
    let (mut a, mut b) = (plant.tool(), plant.tool());
    std::fs::create_dir(plant.profiles().join("v")).unwrap();
    let model = plant.profiles().join("v/m.toml");
    let catalog = head("M") + "[connection]\nprotocol = \"modbus-tcp\"\npoll = \"10ms\"\n" + EVENTS;
    std::fs::write(&model, &catalog).unwrap();
    let installed = |tool: &Tool, more: &str| {
        format!(
            "profile = 1\nextends = \"v/m\"\n[connection]\naddress = \"{}\"\n{more}",
            tool.address
        )
    };
    plant.write("a", &installed(&a, ""));
    plant.write("b", &installed(&b, "[events.tightening]\nangle = \"angle\"\n[points]\nangle = { at = \"holding:3\", type = \"u16\", uom = \"deg\" }\n"));
    let running = plant.start();
    a.tighten_and_wait();
    b.tighten_and_wait();
    // Good for one, not for the other: it has a point of that name in degrees.
    std::fs::write(
        &model,
        catalog
            .replace("scale = 0.01", "scale = 0.1")
            .replace("[points]", "[points]\ncold = { at = \"holding:4\", type = \"u16\" }")
            .replace(
                "verdict = {",
                "angle = { at = \"holding:9\", type = \"u16\", uom = \"deg\", gs1 = \"21\" }\nverdict = {",
            )
            + "angle = \"nothing\"\n",
    )
    .unwrap();
    plant.wait_status("a", "degraded", "");
    a.tighten_and_wait();
    b.tighten_and_wait();
    std::fs::write(&model, catalog.replace("scale = 0.01", "scale = 0.1")).unwrap();
    for slot in ["a", "b"] {
        plant.wait("the change is told", slot, "change", |said| said.len() == 1);
        plant.wait_status(slot, "online", "");
    }
    a.tighten_and_wait();
    b.tighten_and_wait();
    plant.holds("a", &[1.01, 1.02, 10.3]);
    plant.holds("b", &[1.01, 1.02, 10.3]);
    plant.stop(running);
}

#[test]
fn a_file_that_is_removed_takes_its_slot_offline_until_there_is_one() {
    let plant = Plant::new(&["tool"], "");
    let mut a = plant.tool();
    plant.write("tool", &profile("A", &a));
    let running = plant.start();
    a.tighten_and_wait();
    std::fs::remove_file(plant.profiles().join("st10.tool.toml")).unwrap();
    plant.wait_status("tool", "offline", "there is no st10.tool.toml");
    a.tighten();
    plant.write("tool", &profile("A", &a));
    plant.wait_status("tool", "online", "");
    until("what was made meanwhile is taken", || a.is_taken());
    plant.holds("tool", &[1.01, 1.02]);
    plant.wait("both changes", "tool", "change", |said| said.len() == 2);
    let changes = plant.said("tool", "change");
    assert!(changes[0]["data"]["to"].is_null() && changes[1]["data"]["from"].is_null());
    plant.stop(running);
    // Removed while it was down: offline, and a bad file then has nothing to fall back to.
    std::fs::remove_file(plant.profiles().join("st10.tool.toml")).unwrap();
    let running = plant.start();
    plant.wait("the third change", "tool", "change", |said| said.len() == 3);
    plant.write("tool", "no profile");
    plant.wait_status("tool", "offline", "st10.tool.toml:1:");
    plant.stop(running);
}

#[test]
fn a_swap_while_the_gateway_was_down_is_told_at_its_start() {
    let plant = Plant::new(&["tool"], "");
    let (mut a, mut b) = (plant.tool(), plant.tool());
    plant.write("tool", &profile("A", &a));
    let running = plant.start();
    a.tighten_and_wait();
    plant.stop(running);
    plant.write("tool", &profile("B", &b));
    let running = plant.start();
    plant.wait("the change", "tool", "change", |said| said.len() == 1);
    plant.wait_status("tool", "online", "");
    b.tighten_and_wait();
    plant.holds("tool", &[1.01, 1.01]);
    let change = &plant.said("tool", "change")[0];
    assert_eq!(
        (&change["data"]["from"]["model"], &change["data"]["to"]["model"]),
        (&"A".into(), &"B".into())
    );
    plant.stop(running);
}

#[test]
fn what_is_not_approved_is_refused_until_it_is() {
    let plant = Plant::new(&["tool"], "require_lock = true");
    let (mut a, mut b) = (plant.tool(), plant.tool());
    plant.write("tool", &profile("A", &a));
    let approve = || {
        let mut out = Diagnostics::new();
        let setup = setup::load(&plant.config(), &mut out).unwrap();
        let path = lock::file(&plant.config());
        let mut lock = Lock::read(&path).unwrap();
        let digest = setup.slots[0].profile.as_ref().unwrap().identity().digest.clone();
        lock.only(&SlotName::new("st10", "tool"), &digest);
        lock.write(&path).unwrap();
    };
    let running = plant.start();
    plant.wait_status("tool", "offline", "lineside lock");
    approve();
    plant.wait_status("tool", "online", "");
    a.tighten_and_wait();
    plant.write("tool", &profile("B", &b));
    plant.wait_status("tool", "degraded", "lineside lock");
    a.tighten_and_wait();
    approve();
    plant.wait("the change", "tool", "change", |said| said.len() == 1);
    plant.wait_status("tool", "online", "");
    b.tighten_and_wait();
    plant.holds("tool", &[1.01, 1.02, 1.01]);
    plant.stop(running);
}

#[test]
fn what_waits_for_a_broker_is_sent_as_it_was_made() {
    let plant = Plant::new(&["tool"], "");
    plant.configure(&["tool"], "", 1);
    let mut a = plant.tool();
    plant.write("tool", &profile("A", &a));
    let running = plant.start();
    for _ in 0..5 {
        a.tighten_and_wait();
    }
    let told = || {
        let stats = control::ask(&plant.state(), &Question::OutboxStats).unwrap().unwrap();
        stats["topics"]["acme/s/a/l/st10/tool/change"]["waiting"]
            .as_u64()
            .unwrap_or(0)
    };
    for (index, scale) in (0..).zip(["0.1", "1", "10"]) {
        plant.write("tool", &profile("A", &a).replace("0.01", scale));
        until("the change is made", || told() == 1 + index);
        a.tighten_and_wait();
    }
    plant.stop(running);
    plant.configure(&["tool"], "", plant.broker.address.port());
    let running = plant.start();
    plant.holds("tool", &[1.01, 1.02, 1.03, 1.04, 1.05, 10.6, 107.0, 1080.0]);
    plant.wait("the changes", "tool", "change", |said| said.len() == 3);
    plant.stop(running);
}
