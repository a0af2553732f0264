//! The committer by itself: what is in its two channels at once, and what is durable when an acknowledgement is owed.

mod mes;

use super::*;
use crate::diagnostic::Diagnostics;
use crate::model::{Raw, Report, Sample};

const UNIT: &str = "WVWZZZ1JZXW000001";

const GATEWAY: &str = r#"
[gateway]
id = "gw"
state_dir = "state"
web = "off"
[plant]
enterprise = "acme"
site = "s"
area = "a"
line = "l"
[mqtt]
broker = "mqtt://127.0.0.1:1"
[[station]]
id = "st10"
unit_from = ["mes", "slot:scanner"]
[[station.slot]]
id = "tool"
delivers = "tightening"
[[station.slot]]
id = "scanner"
delivers = "identification"
"#;

const TOP: &str = r#"
profile = 1
vendor = "V"
model = "M"
maturity = "bench"
[connection]
protocol = "modbus-tcp"
address = "127.0.0.1:1"
[points]
n = { at = "holding:0", type = "u16" }
"#;

const TOOL: &str = r#"
verdict = { at = "holding:1", type = "u16", map = { 1 = "ok", 2 = "nok" } }
torque = { at = "holding:2", type = "u16", uom = "N.m" }
[events.tightening]
when = { changes = "n" }
id = ["n"]
result = "verdict"
torque = "torque"
"#;

const SCANNER: &str = r#"
text = { at = "holding:1", type = "string", length = 17 }
[events.identification]
when = { changes = "n" }
id = ["n"]
code = "text"
"#;

struct Bench {
    dir: tempfile::TempDir,
    setup: Setup,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let profiles = dir.path().join("device-profiles");
        std::fs::create_dir(&profiles).unwrap();
        for (slot, text) in [("tool", TOOL), ("scanner", SCANNER)] {
            std::fs::write(profiles.join(format!("st10.{slot}.toml")), format!("{TOP}{text}")).unwrap();
        }
        let file = dir.path().join("gateway.toml");
        std::fs::write(&file, GATEWAY).unwrap();
        let mut out = Diagnostics::new();
        let setup = setup::load(&file, &mut out).unwrap_or_else(|| panic!("{}", out.render(false)));
        assert!(!out.has_errors(), "{}", out.render(false));
        Self {
            dir,
            setup,
            clock: Clock::fake(Moment::new(1_795_342_503_000, 1_000_000)),
        }
    }

    /// Another device file for the tool, and everything read again.
    fn install(&mut self, tool: &str) {
        let profiles = self.dir.path().join("device-profiles");
        std::fs::write(profiles.join("st10.tool.toml"), format!("{TOP}{tool}")).unwrap();
        let mut out = Diagnostics::new();
        self.setup = setup::load(&self.dir.path().join("gateway.toml"), &mut out).unwrap();
        assert!(!out.has_errors(), "{}", out.render(false));
    }

    fn committer(&self) -> Committer {
        let config = &self.setup.config;
        let state = &config.gateway.state_dir;
        std::fs::create_dir_all(state).unwrap();
        let (requests, _) = mpsc::channel(1);
        let (changed, version) = watch::channel(0);
        let store = Store {
            requests,
            changed: version,
        };
        let (outbound, _, _) = mqtt::session(settings(config), store, self.clock.clone()).unwrap();
        let started = self.clock.now();
        let opening = Opening {
            config: config.clone(),
            slots: Slots::new(&self.setup.slots, "gw", "session", started),
            outbound,
            clock: self.clock.clone(),
            changed,
            session: "session".to_owned(),
            started,
            caught_up: None,
        };
        open(opening).unwrap().0
    }

    /// What a driver says of slot `index`, seen so many milliseconds from now.
    fn sample(&self, index: usize, values: &[Raw], millis: u64, durable: Option<oneshot::Sender<()>>) -> Report {
        let at = |millis: u64| {
            let now = self.clock.now();
            Moment::new(now.wall + millis.cast_signed(), now.tick + millis)
        };
        let plan = self.setup.slots[index].plan.as_ref().unwrap();
        let values = values.iter().cloned().map(Some).collect();
        Report::Sample(Box::new(Sample {
            since: Some(at(millis - 10)),
            durable,
            ..Sample::picture(plan, 0, values, Vec::new(), at(millis))
        }))
    }

    /// The events that a store holds.
    fn events(&self, state: &Path) -> Vec<Value> {
        let (outbox, _) = Outbox::open(state, limits(&self.setup.config), self.clock.clone()).unwrap();
        let listed = outbox_list(&outbox, None, 100);
        let listed = listed.as_array().unwrap().iter();
        listed.map(|entry| entry["event"].clone()).collect()
    }
}

fn on_one_thread(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work);
}

#[test]
fn a_unit_that_was_heard_before_a_report_is_known_when_that_is_bound() {
    // Which channel is looked at first is left to chance.
    for _ in 0..8 {
        let bench = Bench::new();
        let (request, requests) = mpsc::channel(8);
        let (report, reports) = mpsc::channel(8);
        let at = bench.clock.now();
        request.try_send(Request::Mes { alive: true, at }).unwrap();
        let payload = json!({ "id": UNIT }).to_string().into_bytes();
        let station = "st10".into();
        request.try_send(Request::Unit { station, payload, at }).unwrap();
        let values = [Raw::Int(1), Raw::Int(1), Raw::Int(7)];
        report.try_send(bench.sample(0, &values, 20, None)).unwrap();
        drop((request, report));
        let committer = bench.committer();
        on_one_thread(async { committer.run(reports, requests).await.unwrap() });
        let events = bench.events(&bench.setup.config.gateway.state_dir);
        let [event] = events.as_slice() else {
            panic!("{events:#?}")
        };
        let unit = &event["data"]["unit"];
        assert_eq!(
            (&unit["id"], &unit["state"]),
            (&UNIT.into(), &"bound".into()),
            "{event:#}"
        );
    }
}

/// As a crash leaves it: what is on disk now.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// Commits of the store so far.
async fn commits(requests: &mpsc::Sender<Request>) -> u64 {
    let (answer, answered) = oneshot::channel();
    let question = store::Question::OutboxStats;
    requests.send(Request::Ask { question, answer }).await.unwrap();
    answered.await.unwrap()["commits"].as_u64().unwrap()
}

#[test]
fn an_identification_and_its_unit_are_one_commit() {
    let bench = Bench::new();
    let (request, requests) = mpsc::channel(8);
    let (report, reports) = mpsc::channel(8);
    let committer = bench.committer();
    let state = bench.setup.config.gateway.state_dir.clone();
    let crashed = bench.dir.path().join("crashed");
    let copied = crashed.clone();
    let (durable, acknowledged) = oneshot::channel();
    let values = [Raw::Int(1), Raw::Text(UNIT.into())];
    let scan = bench.sample(1, &values, 20, Some(durable));
    let scanning = async move {
        let before = commits(&request).await;
        report.send(scan).await.unwrap();
        acknowledged.await.unwrap();
        // One thread: nothing else can have been written since.
        copy(&state, &copied);
        assert_eq!(commits(&request).await, before + 1);
        drop((request, report));
    };
    on_one_thread(async {
        let (ended, ()) = tokio::join!(committer.run(reports, requests), scanning);
        ended.unwrap();
    });
    let events = bench.events(&crashed);
    let [event] = events.as_slice() else {
        panic!("{events:#?}")
    };
    assert_eq!(event["data"]["code"], UNIT);
    assert_eq!(event["subject"], UNIT);
    let (outbox, _) = Outbox::open(&crashed, limits(&bench.setup.config), bench.clock.clone()).unwrap();
    let mut units = Units::new(station_rules(&bench.setup.config));
    outbox
        .scan_state(&[space::UNIT], &mut |key, value| {
            units.restore(std::str::from_utf8(&key[1..]).unwrap(), value);
        })
        .unwrap();
    assert_eq!(units.at_station("st10").map(|(id, _)| id), Some(UNIT));
}
