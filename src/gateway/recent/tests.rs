//! What is kept, for whom, and where.

use super::*;
use crate::device::tap::service;
use crate::model::Moment;
use crate::model::plan::{ModbusLink, ModbusTransport};
use crate::record::Record;
use std::os::unix::fs::PermissionsExt;

fn plan(server: u8) -> SlotPlan {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "profile = 1\nvendor = \"V\"\nmodel = \"M\"\nmaturity = \"bench\"\n[connection]\nprotocol = \"modbus-tcp\"\n\
         address = \"127.0.0.1:1\"\nserver_id = {server}\n[points]\na = {{ at = \"input:0\", type = \"u16\" }}\n\
         [events.readings]\nwhen = {{ every = \"1s\" }}\nvalues = [\"a\"]\n"
    );
    let file = dir.path().join("a.toml");
    std::fs::write(&file, text).unwrap();
    let mut out = crate::diagnostic::Diagnostics::new();
    let profile =
        super::super::setup::profile(&file, None, &mut out).unwrap_or_else(|| panic!("{}", out.render(false)));
    profile.plan(&SlotName::new("st10", "tool"))
}

fn exchange(server: u8, value: u8) -> What {
    What::Exchange {
        server,
        sent: vec![4, 0, 0, 0, 1],
        got: Ok(vec![4, 2, 0, value]),
    }
}

struct Bench {
    dir: tempfile::TempDir,
    recent: Recent,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::of(dir)
    }

    fn of(dir: tempfile::TempDir) -> Self {
        let clock = Clock::fake(Moment::new(1_795_342_503_000, 0));
        let recent = Recent::new(dir.path(), clock);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(recent.clone().run(stop.clone()));
        Self {
            dir,
            recent,
            stop,
            tasks,
        }
    }

    async fn end(mut self) -> tempfile::TempDir {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.dir
    }

    fn read(dir: &Path, before: bool) -> Record {
        let path = file(dir, "st10.tool", before);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Record::read(&std::fs::read_to_string(path).unwrap()).unwrap()
    }
}

fn said(record: &Record) -> Vec<What> {
    record.lines.iter().map(|line| line.what.clone()).collect()
}

#[tokio::test]
async fn what_a_server_said_is_there_while_it_runs_and_after_a_good_end() {
    let bench = Bench::new();
    let (probe, service) = service();
    bench.recent.attach(&plan(3), None, probe.exchanges());
    service.tap.send(exchange(3, 1));
    // Another server on the same line is another slot's.
    service.tap.send(exchange(4, 9));
    service.tap.send(exchange(3, 2));
    let dir = bench.end().await;
    let record = Bench::read(dir.path(), false);
    assert_eq!(said(&record), [exchange(3, 1), exchange(3, 2)]);
    assert_eq!(record.header.slot.as_deref(), Some("st10.tool"));
    assert_eq!(record.header.through, Through::Gateway);
}

#[tokio::test]
async fn the_words_of_a_device_that_was_replaced_are_kept_beside_those_of_the_new_one() {
    let bench = Bench::new();
    let slot = SlotName::new("st10", "tool");
    let (old, old_link) = service();
    bench.recent.attach(&plan(3), None, old.exchanges());
    old_link.tap.send(exchange(3, 1));
    bench.recent.keep(&slot).await;
    let (new, new_link) = service();
    bench.recent.attach(&plan(3), None, new.exchanges());
    // A link that has not let go yet says nothing that counts.
    old_link.tap.send(exchange(3, 7));
    new_link.tap.send(exchange(3, 2));
    let before = bench.recent.text("st10.tool", true).unwrap();
    assert_eq!(said(&Record::read(&before).unwrap()), [exchange(3, 1)]);
    let dir = bench.end().await;
    assert_eq!(said(&Bench::read(dir.path(), true)), [exchange(3, 1)]);
    assert_eq!(said(&Bench::read(dir.path(), false)), [exchange(3, 2)]);
}

#[tokio::test]
async fn a_device_that_was_replaced_while_no_gateway_ran_is_the_one_before() {
    let bench = Bench::new();
    let (probe, link) = service();
    bench.recent.attach(&plan(3), None, probe.exchanges());
    link.tap.send(exchange(3, 1));
    let dir = bench.end().await;
    // The file says of which profile it is.
    let path = file(dir.path(), "st10.tool", false);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replacen("\"digest\":\"\"", "\"digest\":\"sha256:other\"", 1),
    )
    .unwrap();
    let bench = Bench::of(dir);
    let (probe, link) = service();
    bench.recent.attach(&plan(3), None, probe.exchanges());
    link.tap.send(exchange(3, 2));
    let dir = bench.end().await;
    assert_eq!(said(&Bench::read(dir.path(), true)), [exchange(3, 1)]);
    assert_eq!(said(&Bench::read(dir.path(), false)), [exchange(3, 2)]);
}

#[tokio::test]
async fn a_name_from_outside_reaches_no_other_file() {
    let bench = Bench::new();
    std::fs::create_dir(bench.dir.path().join("recent")).unwrap();
    std::fs::write(bench.dir.path().join("secret.before.jsonl"), "x").unwrap();
    assert_eq!(bench.recent.text("../secret", true), None);
    assert_eq!(bench.recent.text("st10.tool", false), None);
}

#[test]
fn what_says_nothing_new_depends_on_how_a_device_is_read() {
    let mut plan = plan(1);
    assert_eq!(repeats(&plan), Repeats::Answers);
    if let Link::Modbus(ModbusLink { transport, .. }) = &mut plan.link {
        *transport = ModbusTransport::RtuOverTcp;
    }
    assert_eq!(repeats(&plan), Repeats::Answers);
}
