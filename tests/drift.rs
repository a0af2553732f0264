//! Drift as the MES sees it: a simulated tool on one side, a scripted broker on the other. What was learned outlives a restart.

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
use tokio::runtime::Runtime;
use whole::fake_broker::Packet;
use whole::{Running, broker, said, until};

/// A tool that shows a result until it is acknowledged.
struct Cell {
    dir: tempfile::TempDir,
    runtime: Runtime,
    device: Simulator,
    shown: u16,
}

impl Cell {
    fn new(broker: u16) -> Self {
        let runtime = whole::runtime();
        let (device, address, serving) = runtime.block_on(Simulator::bind("127.0.0.1:0")).unwrap();
        drop(runtime.spawn(serving));
        device.set(Holding, 0, &[0; 11]);
        let dir = tempfile::tempdir().unwrap();
        let profiles = dir.path().join("device-profiles");
        std::fs::create_dir(&profiles).unwrap();
        let profile = format!(
            r#"profile = 1
vendor = "V"
model = "Tool"
maturity = "bench"
[connection]
protocol = "modbus-tcp"
address = "{address}"
poll = "10ms"
[points]
n = {{ at = "holding:0", type = "u16" }}
verdict = {{ at = "holding:1", type = "u16", map = {{ 1 = "ok", 2 = "nok" }} }}
torque = {{ at = "holding:2", type = "u16", scale = 0.01, uom = "N.m" }}
taken = {{ at = "holding:10", type = "u16" }}
[events.tightening]
when = {{ changes = "n" }}
id = ["n"]
result = "verdict"
torque = "torque"
ack = {{ write = "taken", copy = "n" }}
"#
        );
        std::fs::write(profiles.join("st10.tool.toml"), profile).unwrap();
        let config = format!(
            "[gateway]\nid = \"gw\"\nstate_dir = \"state\"\nprofiles = \"device-profiles\"\nweb = \"off\"\n\
             [plant]\nenterprise = \"acme\"\nsite = \"s\"\narea = \"a\"\nline = \"l\"\n\
             [mqtt]\nbroker = \"mqtt://127.0.0.1:{broker}\"\n\
             [[station]]\nid = \"st10\"\nunit_from = [\"mes\"]\n\
             [[station.slot]]\nid = \"tool\"\ndelivers = \"tightening\"\n"
        );
        std::fs::write(dir.path().join("gateway.toml"), config).unwrap();
        Self {
            dir,
            runtime,
            device,
            shown: 0,
        }
    }

    fn start(&self) -> Running {
        whole::start(&self.runtime, &self.dir.path().join("gateway.toml"))
    }

    fn stop(&self, running: Running) {
        whole::stop(&self.runtime, running);
    }

    /// The tool shows this next, with this verdict, and is acknowledged.
    fn shows(&mut self, verdict: u16, torque: u16) {
        self.shown += 1;
        self.device.set(Holding, 0, &[self.shown, verdict, torque]);
        until("it is acknowledged", || self.device.get(Holding, 10) == self.shown);
    }

    /// The next result, a bit off what is aimed at, which is 12.3 N.m.
    fn tightens(&mut self, factor: f64) {
        let torque = 1_230.0 + f64::from(self.shown * 7 % 31) - 15.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a register")]
        self.shows(1, (torque * factor).round() as u16);
    }
}

fn alarms(packets: &[(usize, Packet)]) -> Vec<Value> {
    let alarms = said(packets, "/tool/alarm");
    alarms.iter().map(|alarm| alarm["data"].clone()).collect()
}

#[test]
fn a_tool_that_changes_under_its_profile_is_an_alarm_behind_the_result_that_shows_it() {
    let broker = broker(|_, _| 0);
    let mut cell = Cell::new(broker.address.port());
    let running = cell.start();
    for _ in 0..60 {
        cell.tightens(1.0);
    }
    cell.stop(running);
    assert_eq!(alarms(&broker.received()), Vec::<Value>::new());

    // Its unit is changed while the gateway is away.
    let running = cell.start();
    for _ in 0..8 {
        cell.tightens(8.850_746);
    }
    broker.wait("drift_scale", |packets| !alarms(packets).is_empty());
    let told = alarms(&broker.received());
    let [alarm] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!(alarm["code"], "drift_scale");
    assert_eq!(alarm["active"], true);
    assert_eq!(alarm["category"], "gateway");
    let text = alarm["text"].as_str().unwrap();
    assert!(
        text.starts_with("torque was 12.1") && text.contains("the last 5 are 10"),
        "{text}"
    );
    assert!(
        text.contains("8.8") && text.contains("times, the factor between N.m and in.lbf"),
        "{text}"
    );

    // It is set right again, and a code comes that the profile does not map.
    for _ in 0..6 {
        cell.tightens(1.0);
    }
    cell.shows(9, 1_230);
    broker.wait("drift_code", |packets| alarms(packets).len() == 3);
    cell.stop(running);
    let told = alarms(&broker.received());
    assert_eq!(
        (&told[1]["code"], &told[1]["active"]),
        (&"drift_scale".into(), &false.into())
    );
    assert_eq!(
        (&told[2]["code"], &told[2]["active"]),
        (&"drift_code".into(), &true.into())
    );
    let text = told[2]["text"].as_str().unwrap();
    assert!(text.contains("unknown code 9 of `verdict`"), "{text}");
}
