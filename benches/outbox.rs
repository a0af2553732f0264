//! What the outbox costs beside a plain file: durable appends of 1, 16 and 256 events, and draining.
//! The floor is one write and one fdatasync of the same bytes, in the same run and on the same disk.

#![allow(missing_docs, reason = "criterion's macro makes a function without any")]
#![expect(
    clippy::expect_used,
    reason = "a bench whose set-up fails has nothing to measure and stops"
)]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lineside::clock::Clock;
use lineside::model::{Commit, EventType, Sealed, SlotName};
use lineside::outbox::{Limits, Outbox};
use std::fs::File;
use std::io::Write as _;
use tempfile::TempDir;

const SIZES: [u64; 3] = [1, 16, 256];
const TOPIC: &str = "acme/leipzig/body/line-3/st10/spindle-1/tightening";

fn commits(first: u64, count: u64) -> Vec<Commit> {
    let event = |sequence| Sealed {
        topic: TOPIC.into(),
        sequence,
        id: format!("{sequence:032x}"),
        slot: SlotName::new("st10", "spindle-1"),
        kind: EventType::Tightening,
        body: vec![b'x'; 600],
    };
    let commit = |sequence| Commit {
        events: vec![event(sequence)],
        state: Vec::new(),
    };
    (first..first + count).map(commit).collect()
}

fn open(dir: &TempDir) -> Outbox {
    let limits = Limits {
        max_bytes: 64 << 30,
        keep_sent: 0,
        ..Limits::default()
    };
    Outbox::open(dir.path(), limits, Clock::machine())
        .expect("a new outbox")
        .0
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.sample_size(20);
    for size in SIZES {
        group.throughput(Throughput::Elements(size));
        let dir = TempDir::new_in(".").expect("a directory");
        let mut file = File::create(dir.path().join("log")).expect("a file");
        let bytes = vec![b'x'; 700 * usize::try_from(size).expect("small")];
        group.bench_function(BenchmarkId::new("floor", size), |bencher| {
            bencher.iter(|| {
                file.write_all(&bytes).expect("room");
                file.sync_data().expect("a disk");
            });
        });
        let dir = TempDir::new_in(".").expect("a directory");
        let mut outbox = open(&dir);
        let mut next = 1;
        group.bench_function(BenchmarkId::new("outbox", size), |bencher| {
            bencher.iter(|| {
                outbox.append(&commits(next, size)).expect("room");
                next += size;
            });
        });
    }
    group.finish();
}

fn drain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("drain");
    group.sample_size(10);
    group.throughput(Throughput::Elements(5_000));
    group.bench_function("windows of 100", |bencher| {
        bencher.iter_batched(
            || {
                let dir = TempDir::new_in(".").expect("a directory");
                let mut outbox = open(&dir);
                outbox.append(&commits(1, 5_000)).expect("room");
                (dir, outbox)
            },
            |(dir, mut outbox)| {
                let mut through = 0;
                loop {
                    let window = outbox.read(TOPIC, through, 100, usize::MAX).expect("readable");
                    let Some(last) = window.last() else { break };
                    through = last.last();
                    outbox.delivered(TOPIC, through).expect("writable");
                    outbox.tend(128).expect("writable");
                }
                (dir, outbox)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, append, drain);
criterion_main!(benches);
