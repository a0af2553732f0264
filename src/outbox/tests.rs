//! The outbox as the gateway sees it, against models, damage and crashes.

use super::store::Host;
use super::*;
use crate::model::{Commit, EventType, Sealed, SlotName, StateChange};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn limits() -> Limits {
    Limits {
        reserve: 1 << 20,
        ..Limits::default()
    }
}

fn clock() -> Clock {
    Clock::fake(Moment::new(1_795_342_503_171, 50_000))
}

fn open(dir: &Path) -> (Outbox, OpenReport) {
    Outbox::open(dir, limits(), clock()).unwrap()
}

/// The body of an event is known from its place.
fn body(topic: &str, sequence: u64, length: usize) -> Vec<u8> {
    format!("{topic} {sequence} ").bytes().cycle().take(length).collect()
}

fn event(topic: &str, sequence: u64, length: usize) -> Sealed {
    Sealed {
        topic: topic.into(),
        sequence,
        id: format!("id-{topic}-{sequence}"),
        slot: SlotName::new("st10", "spindle-1"),
        kind: EventType::Tightening,
        body: body(topic, sequence, length),
    }
}

fn events(topic: &str, sequences: std::ops::RangeInclusive<u64>, length: usize) -> Vec<Commit> {
    let commit = |sequence| Commit {
        events: vec![event(topic, sequence, length)],
        state: vec![StateChange {
            key: b"tlast".to_vec(),
            value: Some(sequence.to_string().into_bytes()),
        }],
    };
    sequences.map(commit).collect()
}

fn sequences(entries: &[Entry]) -> Vec<u64> {
    let of = |entry: &Entry| match entry {
        Entry::Event(stored) => stored.sequence,
        Entry::Damaged { from, to } => panic!("{from}..{to} damaged"),
    };
    entries.iter().map(of).collect()
}

fn waiting(outbox: &Outbox, topic: &str) -> Vec<u64> {
    sequences(&outbox.read(topic, 0, usize::MAX, usize::MAX).unwrap())
}

fn state_of<'a>(states: &'a [TopicState], topic: &str) -> &'a TopicState {
    states.iter().find(|state| *state.topic == *topic).unwrap()
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            // sled removes snapshots in the background.
            match fs::copy(entry.path(), target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            }
        }
    }
}

/// What a kill leaves behind: the files as they are, while the outbox is open.
fn kill(outbox: Outbox, dir: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    copy_tree(dir, image.path());
    drop(outbox);
    image
}

#[test]
fn what_is_appended_is_read_acknowledged_and_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, report) = open(dir.path());
    assert!(
        report.fresh && report.lost.is_none() && report.topics.is_empty(),
        "{report:?}"
    );
    outbox.append(&events("a", 1..=5, 300)).unwrap();
    assert_eq!(waiting(&outbox, "a"), [1, 2, 3, 4, 5]);
    assert_eq!(sequences(&outbox.read("a", 2, 2, usize::MAX).unwrap()), [3, 4]);
    assert_eq!(
        sequences(&outbox.read("a", 0, 9, 301).unwrap()),
        [1, 2],
        "about max_bytes"
    );
    assert_eq!(sequences(&outbox.read("a", 0, 9, 1).unwrap()), [1], "but one at least");
    assert_eq!(outbox.state(b"tlast").unwrap().unwrap(), b"5");
    outbox.delivered("a", 3).unwrap();
    outbox.delivered("a", 2).unwrap();
    assert_eq!(waiting(&outbox, "a"), [4, 5]);
    assert_eq!(sequences(&outbox.sent("a", 2, 99, 9, usize::MAX).unwrap()), [2, 3]);
    let state = &outbox.topics()[0];
    assert_eq!((state.next, state.delivered, state.waiting), (6, 3, 2));
    assert_eq!(state.oldest, Some(clock().now()));
    let stream = outbox.stream().to_owned();
    outbox.close().unwrap();
    let (outbox, report) = open(dir.path());
    assert_eq!((report.fresh, &report.stream), (false, &stream));
    assert_eq!(waiting(&outbox, "a"), [4, 5]);
    let mut seen = Vec::new();
    assert_eq!(
        outbox
            .scan_state(b"t", &mut |k, v| seen.push((k.to_vec(), v.to_vec())))
            .unwrap(),
        0
    );
    assert_eq!(seen, [(b"tlast".to_vec(), b"5".to_vec())]);
}

#[test]
fn a_sequence_that_is_not_next_is_refused_and_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path());
    outbox.append(&events("a", 1..=2, 50)).unwrap();
    for wrong in [2, 4] {
        let mut commits = events("b", 1..=1, 50);
        commits.extend(events("a", wrong..=wrong, 50));
        let error = outbox.append(&commits).unwrap_err();
        assert!(matches!(error, OutboxError::Sequence { expected: 3, .. }), "{error}");
        assert!(!error.is_fatal());
    }
    assert!(waiting(&outbox, "b").is_empty());
    let long = vec![Commit {
        events: vec![event("a", 3, MAX_EVENT + 1)],
        state: vec![],
    }];
    assert!(matches!(outbox.append(&long), Err(OutboxError::TooLong { .. })));
    outbox.append(&events("a", 3..=3, 50)).unwrap();
}

#[test]
fn curves_lie_in_parts_and_come_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path());
    let sizes = [0, 3_399, 3_500, 3_501, 7_000, 100_000, 1_000_000];
    for (sequence, size) in (1..).zip(sizes) {
        outbox.append(&events("curve", sequence..=sequence, size)).unwrap();
    }
    assert!(
        !dir.path()
            .join("store-1/blobs")
            .read_dir()
            .is_ok_and(|mut blobs| blobs.next().is_some())
    );
    let image = kill(outbox, dir.path());
    let (mut outbox, report) = open(image.path());
    assert_eq!(report.topics[0].waiting, 7);
    let entries = outbox.read("curve", 0, 99, usize::MAX).unwrap();
    for (entry, (sequence, size)) in entries.iter().zip((1..).zip(sizes)) {
        let Entry::Event(stored) = entry else {
            panic!("{entry:?}")
        };
        assert_eq!((stored.sequence, stored.body.len()), (sequence, size));
        assert_eq!(stored.body, body("curve", sequence, size));
    }
    outbox.delivered("curve", 7).unwrap();
    assert_eq!(outbox.stats().waiting, Tally::default());
}

#[test]
fn a_damaged_record_is_told_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path());
    outbox.append(&events("a", 1..=9, 8_000)).unwrap();
    let flip = |outbox: &Outbox, sequence, part| {
        let key = frame::event_key(1, sequence, part);
        let mut value = outbox.store.raw().get(key).unwrap().unwrap().to_vec();
        value[100] ^= 4;
        outbox.store.raw().insert(key, value).unwrap();
    };
    flip(&outbox, 3, 0);
    flip(&outbox, 4, 2);
    outbox.store.raw().remove(frame::event_key(1, 6, 0)).unwrap();
    for part in 0..3 {
        outbox.store.raw().remove(frame::event_key(1, 9, part)).unwrap();
    }
    let told = |outbox: &Outbox| -> Vec<(u64, u64, bool)> {
        let entries = outbox.read("a", 0, 99, usize::MAX).unwrap();
        let tell = |entry: &Entry| match entry {
            Entry::Event(stored) => (stored.sequence, stored.sequence, true),
            Entry::Damaged { from, to } => (*from, *to, false),
        };
        entries.iter().map(tell).collect()
    };
    let expected = [
        (1, 1, true),
        (2, 2, true),
        (3, 4, false),
        (5, 5, true),
        (6, 6, false),
        (7, 7, true),
        (8, 8, true),
        (9, 9, false),
    ];
    assert_eq!(told(&outbox), expected);
    outbox.delivered("a", 4).unwrap();
    assert_eq!(outbox.read("a", 0, 1, usize::MAX).unwrap()[0].last(), 5);
    let bad = frame::state_key(b"tlast");
    outbox.store.raw().insert(bad, &b"rubbish"[..]).unwrap();
    assert!(matches!(outbox.state(b"tlast"), Err(OutboxError::DamagedState { .. })));
    assert_eq!(outbox.scan_state(b"t", &mut |_, _| panic!("shown")).unwrap(), 1);
    outbox.close().unwrap();
    let (outbox, report) = open(dir.path());
    assert_eq!(outbox.stats().damaged_records, 3, "{:?}", report.notes);
    assert_eq!(report.topics[0].next, 10, "the pointer knows what was given");
}

#[test]
fn a_store_that_went_back_in_time_goes_on_past_its_lease() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path());
    outbox.append(&events("a", 1..=3, 50)).unwrap();
    let image = kill(outbox, dir.path());
    let (mut outbox, _) = open(dir.path());
    for first in (4..10_000).step_by(500) {
        outbox.append(&events("a", first..=first + 499, 50)).unwrap();
    }
    let given = outbox.topics()[0].next;
    drop(outbox);
    // The store of before under the leases of now.
    fs::remove_dir_all(dir.path().join("store-1")).unwrap();
    copy_tree(&image.path().join("store-1"), &dir.path().join("store-1"));
    let (outbox, report) = open(dir.path());
    assert!(report.topics[0].next >= given, "{report:?}");
    assert_eq!(report.notes.len(), 1);
    let entries = outbox.read("a", 0, 99, usize::MAX).unwrap();
    assert_eq!(entries.len(), 4);
    assert_eq!(
        entries[3],
        Entry::Damaged {
            from: 4,
            to: report.topics[0].next - 1
        }
    );
}

#[test]
fn after_a_loss_another_stream_goes_on_past_the_lease() {
    for gone in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (mut outbox, first) = open(dir.path());
        outbox.append(&events("a", 1..=100, 50)).unwrap();
        outbox.append(&events("b", 1..=1, 50)).unwrap();
        outbox.close().unwrap();
        if gone {
            fs::remove_dir_all(dir.path().join("store-1")).unwrap();
        } else {
            let path = dir.path().join("store-1/db");
            let length = fs::metadata(&path).unwrap().len();
            fs::write(&path, vec![0xA5; usize::try_from(length).unwrap()]).unwrap();
            fs::write(dir.path().join("store-1/conf"), b"nonsense").unwrap();
        }
        let (mut outbox, report) = open(dir.path());
        let lost = report.lost.unwrap();
        assert_eq!(lost.kept.is_some(), !gone, "{lost:?}");
        assert!(lost.kept.as_ref().is_none_or(|kept| kept.join("db").exists()));
        assert!(!report.fresh);
        assert_ne!(report.stream, first.stream);
        let a = state_of(&report.topics, "a").clone();
        assert!(a.next > 100 && a.next == a.delivered + 1 && a.waiting == 0, "{a:?}");
        outbox.append(&events("a", a.next..=a.next + 1, 50)).unwrap();
        assert_eq!(waiting(&outbox, "a"), [a.next, a.next + 1]);
        drop(outbox);
        let (mut outbox, again) = open(dir.path());
        assert_eq!(again.lost.unwrap().reason, lost.reason, "until it was told");
        outbox.loss_told().unwrap();
        outbox.close().unwrap();
        let (_, again) = open(dir.path());
        assert!(again.lost.is_none());
        assert_eq!(state_of(&again.topics, "a").next, a.next + 2);
        assert_eq!(again.stream, report.stream);
    }
}

#[test]
fn leftovers_of_a_kill_inside_open_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path());
    outbox.append(&events("a", 1..=9, 500)).unwrap();
    outbox.close().unwrap();
    fs::write(dir.path().join("store-1/snap.00000000000FFFFF.generating"), b"").unwrap();
    fs::create_dir(dir.path().join("store.next-2")).unwrap();
    fs::write(dir.path().join("store.next-2/db"), b"half").unwrap();
    let (outbox, report) = open(dir.path());
    assert!(report.lost.is_none(), "{report:?}");
    assert_eq!(waiting(&outbox, "a"), (1..=9).collect::<Vec<_>>());
    assert!(!dir.path().join("store.next-2").exists());
}

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (outbox, _) = open(dir.path());
    let error = Outbox::open(dir.path(), limits(), clock()).unwrap_err();
    assert!(matches!(error, OutboxError::Locked(_)), "{error}");
    drop(outbox);
    open(dir.path());
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (outbox, _) = open(dir.path());
    let key = frame::meta_key("format");
    let value = frame::seal(&key, &2u32.to_be_bytes());
    outbox.store.raw().insert(key, value).unwrap();
    outbox.close().unwrap();
    let error = Outbox::open(dir.path(), limits(), clock()).unwrap_err();
    assert!(matches!(error, OutboxError::Newer { found: 2, known: 1 }), "{error}");
    assert!(dir.path().join("store-1/db").exists());
}

/// A host whose free space, syncs and steps a test decides.
fn host(free: &Arc<AtomicU64>, broken: &Arc<AtomicBool>) -> Host {
    let (free, broken) = (free.clone(), broken.clone());
    Host {
        free: Arc::new(move |_| Ok(free.load(Ordering::Relaxed))),
        sync: Arc::new(move |file| {
            if broken.load(Ordering::Relaxed) {
                return Err(io::Error::other("injected"));
            }
            file.sync_data()
        }),
        ..Host::machine()
    }
}

#[test]
fn room_ends_before_the_disk_does_and_gaps_have_some_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(1 << 40));
    let small = Limits {
        max_bytes: 400_000,
        keep_sent: 0,
        reserve: 1 << 30,
        ..limits()
    };
    let host = host(&free, &Arc::default());
    let (mut outbox, _) = Outbox::open_with(dir.path(), small.clone(), clock(), host.clone()).unwrap();
    let mut next = 1;
    while outbox.has_room(1_000).is_ok() {
        outbox.append(&events("a", next..=next, 1_000)).unwrap();
        next += 1;
    }
    assert!((150..250).contains(&next), "{next}");
    let error = outbox.append(&events("a", next..=next, 8_000)).unwrap_err();
    assert!(matches!(error, OutboxError::Full(Full::MaxBytes { .. })), "{error}");
    let mut gap = event("a", next, 800);
    gap.kind = EventType::Gap;
    let gap = Commit {
        events: vec![gap],
        state: vec![],
    };
    outbox.append(std::slice::from_ref(&gap)).unwrap();
    outbox.delivered("a", next).unwrap();
    assert!(outbox.has_room(1_000).is_ok());
    free.store((1 << 30) + 100, Ordering::Relaxed);
    assert!(matches!(outbox.has_room(1_000), Err(Full::DiskReserve { .. })));
    free.store(1 << 20, Ordering::Relaxed);
    assert!(matches!(outbox.append(&[gap]), Err(OutboxError::Sequence { .. })));
    drop(outbox);
    let error = Outbox::open_with(dir.path(), small, clock(), host).unwrap_err();
    assert!(matches!(error, OutboxError::NoSpace { .. }), "{error}");
}

#[test]
fn after_a_failed_sync_nothing_is_trusted_until_it_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let host = host(&Arc::new(AtomicU64::new(1 << 40)), &broken);
    let (mut outbox, _) = Outbox::open_with(dir.path(), limits(), clock(), host).unwrap();
    outbox.append(&events("a", 1..=3, 5_000)).unwrap();
    broken.store(true, Ordering::Relaxed);
    let mut commits = events("a", 4..=6, 5_000);
    commits.extend(events("b", 1..=2, 100));
    let error = outbox.append(&commits).unwrap_err();
    assert!(error.is_fatal() && !error.ends_process(), "{error}");
    assert!(matches!(outbox.append(&commits), Err(OutboxError::Failed(_))));
    assert!(outbox.read("a", 0, 9, 9).is_err());
    broken.store(false, Ordering::Relaxed);
    let (mut outbox, report) = outbox.reopen().unwrap();
    assert!(report.lost.is_none());
    assert_eq!(waiting(&outbox, "a"), [1, 2, 3], "what is in doubt is not shown");
    outbox.delivered("a", 6).unwrap();
    assert_eq!(state_of(&outbox.topics(), "a").delivered, 3, "nor delivered");
    outbox.append(&commits).unwrap();
    assert_eq!(waiting(&outbox, "a"), [4, 5, 6]);
    assert_eq!(waiting(&outbox, "b"), [1, 2]);
    let counted = (outbox.stats().waiting, outbox.stats().sent, outbox.stats().state_bytes);
    let image = kill(outbox, dir.path());
    let (mut outbox, _) = open(image.path());
    outbox.delivered("a", 3).unwrap();
    assert_eq!(
        (outbox.stats().waiting, outbox.stats().sent, outbox.stats().state_bytes),
        counted
    );
}

#[test]
fn drop_oldest_takes_the_oldest_over_all_topics_and_tells() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let small = Limits {
        max_bytes: 400_000,
        when_full: WhenFull::DropOldest,
        max_age: Some(Duration::from_hours(1)),
        ..limits()
    };
    let (mut outbox, _) = Outbox::open(dir.path(), small.clone(), clock.clone()).unwrap();
    assert!(outbox.make_room().unwrap().is_empty());
    let mut next = 1;
    while outbox.has_room(1_000).is_ok() {
        for topic in ["a", "b"] {
            if outbox.has_room(1_000).is_ok() {
                outbox.append(&events(topic, next..=next, 1_000)).unwrap();
                clock.advance(Duration::from_millis(1));
            }
        }
        next += 1;
    }
    let dropped = outbox.make_room().unwrap();
    assert!(outbox.has_room(1_000).is_ok());
    assert_eq!(dropped.len(), 2, "{dropped:?}");
    for one in &dropped {
        assert_eq!((one.from, one.to), (1, one.count));
        assert_eq!(waiting(&outbox, &one.topic)[0], one.to + 1);
        assert!((1..20).contains(&one.count), "{one:?}");
    }
    assert!(dropped[0].count.abs_diff(dropped[1].count) <= 1);
    // As much as one large event needs, however little a sixty-fourth is.
    assert!(outbox.has_room(60_000).is_err());
    assert!(!outbox.make_room_for(60_000).unwrap().is_empty());
    assert!(outbox.has_room(60_000).is_ok());
    // Half an hour, a restart with another boot's tick, and again: only what ran counts.
    clock.advance(Duration::from_secs(1_900));
    outbox.close().unwrap();
    let clock = Clock::fake(Moment::new(0, 10));
    let (mut outbox, _) = Outbox::open(dir.path(), small, clock.clone()).unwrap();
    assert!(outbox.make_room().unwrap().is_empty());
    clock.advance(Duration::from_secs(1_600));
    let at = outbox.topics()[0].next;
    outbox.append(&events("a", at..=at, 10)).unwrap();
    clock.advance(Duration::from_secs(200));
    let dropped = outbox.make_room().unwrap();
    assert_eq!(dropped.len(), 2);
    assert_eq!(waiting(&outbox, "a"), [at]);
    assert!(waiting(&outbox, "b").is_empty());
    assert_eq!(outbox.stats().topics[0].state.oldest.unwrap().tick, 1_600_010);
}

#[test]
fn a_rejected_event_leaves_the_queue_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path());
    outbox.append(&events("a", 1..=4, 9_000)).unwrap();
    let error = outbox.reject("a", 2, "too large").unwrap_err();
    assert!(matches!(error, OutboxError::NotFirst { first: 1, .. }), "{error}");
    outbox.delivered("a", 1).unwrap();
    outbox.reject("a", 2, "too large").unwrap();
    outbox.reject("a", 2, "again").unwrap();
    assert_eq!(waiting(&outbox, "a"), [3, 4]);
    let listed = outbox.list(None, 10).unwrap();
    let standings: Vec<_> = listed.iter().map(|one| (one.sequence, one.standing.clone())).collect();
    let expected = [
        (3, Standing::Waiting),
        (4, Standing::Waiting),
        (1, Standing::Sent),
        (2, Standing::Rejected("too large".into())),
    ];
    assert_eq!(standings, expected);
    assert_eq!(listed[3].event.as_ref().unwrap().body, body("a", 2, 9_000));
    assert_eq!(outbox.list(Some("b"), 10).unwrap(), []);
    assert_eq!(outbox.list(Some(""), 10).unwrap().len(), 4, "topics that contain it");
    assert_eq!(outbox.list(None, 3).unwrap().len(), 3);
    // Bounded: the oldest rejected go.
    for round in 0..12u64 {
        let sequence = 5 + round;
        outbox.append(&events("a", sequence..=sequence, 1_000_000)).unwrap();
        outbox.delivered("a", sequence - 1).unwrap();
        outbox.reject("a", sequence, "no").unwrap();
    }
    let counted = outbox.stats();
    assert!(
        counted.rejected.bytes <= 8 << 20 && counted.rejected.events < 12,
        "{counted:?}"
    );
    assert_eq!(counted.topics[0].rejected, 13);
    outbox.close().unwrap();
    let again = open(dir.path()).0.stats();
    assert_eq!((again.rejected, again.topics[0].rejected), (counted.rejected, 13));
}

#[test]
fn sent_events_stay_within_keep_sent_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let keep = Limits {
        keep_sent: 40_000,
        ..limits()
    };
    let (mut outbox, _) = Outbox::open(dir.path(), keep, clock.clone()).unwrap();
    for sequence in 1..=50 {
        for topic in ["a", "b"] {
            outbox.append(&events(topic, sequence..=sequence, 1_000)).unwrap();
        }
        clock.advance(Duration::from_millis(5));
    }
    outbox.delivered("a", 50).unwrap();
    outbox.delivered("b", 49).unwrap();
    let mut steps = 0;
    while outbox.tend(7).unwrap() {
        steps += 1;
        assert!(steps < 100);
    }
    assert!(steps > 5, "bounded work a call: {steps}");
    assert!(disk(outbox.stats().sent.bytes) <= 40_000);
    let kept = |topic| sequences(&outbox.sent(topic, 1, 99, 99, usize::MAX).unwrap());
    let (a, b) = (kept("a"), kept("b"));
    assert!(a.len() > 5 && a.len().abs_diff(b.len()) <= 2, "{a:?} {b:?}");
    assert_eq!((a.last(), b.last()), (Some(&50), Some(&49)));
    assert_eq!(waiting(&outbox, "b"), [50]);
}

#[test]
fn salvage_finds_what_sled_cannot_open() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path());
    outbox.append(&events("a", 1..=50, 700)).unwrap();
    outbox.append(&events("b", 1..=3, 20_000)).unwrap();
    outbox.delivered("a", 10).unwrap();
    outbox.close().unwrap();
    fs::write(dir.path().join("store-1/conf"), b"nonsense").unwrap();
    for entry in fs::read_dir(dir.path().join("store-1")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap") {
            fs::remove_file(path).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    let broken = salvage(&dir.path().join("store-1"), &mut |one| {
        let topic = one.topic.unwrap().to_string();
        let size = if topic == "a" { 700 } else { 20_000 };
        assert_eq!(one.event.body, body(&topic, one.event.sequence, size));
        found.insert((topic, one.event.sequence), one.settled);
    });
    assert_eq!(broken.unwrap(), 0);
    assert_eq!(found.len(), 53);
    assert!(found[&("a".to_owned(), 10)] && !found[&("a".to_owned(), 11)]);
}

#[test]
fn a_rotation_gives_the_disk_back_and_survives_a_crash_at_each_step() {
    let dir = tempfile::tempdir().unwrap();
    let images: Arc<Mutex<Vec<(String, tempfile::TempDir)>>> = Arc::default();
    let (seen, from) = (images.clone(), dir.path().to_owned());
    let host = Host {
        step: Arc::new(move |name| {
            let mut images = seen.lock().unwrap();
            // One image a step; of the copy, the first and a late one.
            if images.iter().filter(|(known, _)| known == name).count() < 2 {
                let image = tempfile::tempdir().unwrap();
                copy_tree(&from, image.path());
                images.push((name.to_owned(), image));
            }
            Ok(())
        }),
        ..Host::machine()
    };
    let small = Limits {
        rotate_above: 3 << 20,
        keep_sent: 20_000,
        ..limits()
    };
    let (mut outbox, _) = Outbox::open_with(dir.path(), small, clock(), host).unwrap();
    images.lock().unwrap().clear();
    for first in (1..=6_000).step_by(200) {
        outbox.append(&events("a", first..=first + 199, 600)).unwrap();
    }
    outbox.append(&events("b", 1..=100, 600)).unwrap();
    outbox.delivered("a", 5_990).unwrap();
    let before = outbox.stats().disk_bytes;
    let mut next = 6_001;
    while outbox.tend(64).unwrap() {
        if outbox.stats().rotating {
            outbox.append(&events("a", next..=next, 600)).unwrap();
            outbox.delivered("b", 50).unwrap();
            next += 1;
        }
    }
    let stats = outbox.stats();
    assert_eq!(stats.rotations, 1);
    assert!(stats.disk_bytes < before / 2, "{} of {before}", stats.disk_bytes);
    let expected: Vec<u64> = (5_991..next).collect();
    assert_eq!(waiting(&outbox, "a"), expected);
    assert_eq!(waiting(&outbox, "b"), (51..=100).collect::<Vec<_>>());
    let stream = outbox.stream().to_owned();
    drop(outbox);
    let taken = images.lock().unwrap();
    let names: BTreeSet<&str> = taken.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    for (name, image) in taken
        .iter()
        .map(|(name, image)| (name, image.path()))
        .chain([(&"end".to_owned(), dir.path())])
    {
        let (mut outbox, report) = open(image);
        assert_eq!((report.lost, report.stream.as_str()), (None, stream.as_str()), "{name}");
        let last = outbox.state(b"tlast").unwrap().unwrap();
        let last: u64 = String::from_utf8(last).unwrap().parse().unwrap();
        // State and events of one commit are both there; pointers may be old.
        outbox.delivered("a", 5_990).unwrap();
        let a = waiting(&outbox, "a");
        assert!(
            a == (5_991..=last).collect::<Vec<_>>() || last == 100,
            "{name}: {last} {a:?}"
        );
        assert!(*a.last().unwrap() >= 6_000);
        let b = waiting(&outbox, "b");
        assert_eq!(*b.last().unwrap(), 100, "{name}");
        let dirs = fs::read_dir(image)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().is_dir());
        assert_eq!(dirs.count(), 1, "{name}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append { topic: u8, count: u64, length: usize },
    Delivered { topic: u8, count: u64 },
    Reject { topic: u8 },
    State { key: u8, value: Option<u8> },
    Tend,
    Close,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3u8, 1..6u64, prop_oneof![0..900usize, 3_000..9_000usize])
            .prop_map(|(topic, count, length)| Step::Append { topic, count, length }),
        4 => (0..3u8, 1..8u64).prop_map(|(topic, count)| Step::Delivered { topic, count }),
        1 => (0..3u8).prop_map(|topic| Step::Reject { topic }),
        2 => (0..4u8, proptest::option::of(any::<u8>())).prop_map(|(key, value)| Step::State { key, value }),
        2 => Just(Step::Tend),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
    ]
}

#[derive(Default)]
struct Model {
    /// By topic: the size of each event that was given, and what is delivered at least, as durably known, and at most.
    topics: BTreeMap<u8, (Vec<usize>, u64)>,
    state: BTreeMap<u8, u8>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..40)) {
        let mut dir = tempfile::tempdir().unwrap();
        let bounds = Limits { keep_sent: 30_000, rotate_above: 600_000, ..limits() };
        let again = |dir: &Path| Outbox::open(dir, bounds.clone(), clock()).unwrap();
        let (mut outbox, _) = again(dir.path());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append { topic, count, length } => {
                    let (given, _) = model.topics.entry(topic).or_default();
                    let first = given.len() as u64 + 1;
                    outbox.append(&events(&topic.to_string(), first..=first + count - 1, length)).unwrap();
                    given.extend((0..count).map(|_| length));
                }
                Step::Delivered { topic, count } => {
                    if let Some((given, delivered)) = model.topics.get_mut(&topic) {
                        outbox.delivered(&topic.to_string(), *delivered + count).unwrap();
                        *delivered = (*delivered + count).min(given.len() as u64);
                    }
                }
                Step::Reject { topic } => {
                    if let Some((given, delivered)) = model.topics.get_mut(&topic) {
                        outbox.reject(&topic.to_string(), *delivered + 1, "no").unwrap();
                        *delivered = (*delivered + 1).min(given.len() as u64);
                    }
                }
                Step::State { key, value } => {
                    let change = StateChange { key: vec![b'x', key], value: value.map(|value| vec![value]) };
                    outbox.append(&[Commit { events: vec![], state: vec![change] }]).unwrap();
                    match value {
                        Some(value) => model.state.insert(key, value),
                        None => model.state.remove(&key),
                    };
                }
                Step::Tend => { outbox.tend(20).unwrap(); }
                Step::Close => {
                    let counted = outbox.stats();
                    outbox.close().unwrap();
                    outbox = again(dir.path()).0;
                    let now = outbox.stats();
                    prop_assert_eq!(
                        (now.waiting, now.sent, now.rejected, now.state_bytes),
                        (counted.waiting, counted.sent, counted.rejected, counted.state_bytes)
                    );
                }
                Step::Kill => {
                    dir = kill(outbox, dir.path());
                    outbox = again(dir.path()).0;
                    // A pointer may be lost, an event never: the broker acknowledges once more.
                    for state in outbox.topics() {
                        let (_, delivered) = model.topics[&state.topic.parse::<u8>().unwrap()];
                        prop_assert!(state.delivered <= delivered);
                        outbox.delivered(&state.topic, delivered).unwrap();
                    }
                }
            }
            for (topic, (given, delivered)) in &model.topics {
                let name = topic.to_string();
                let entries = outbox.read(&name, 0, usize::MAX, usize::MAX).unwrap();
                let expected: Vec<u64> = (delivered + 1..=given.len() as u64).collect();
                prop_assert_eq!(sequences(&entries), expected);
                for entry in entries {
                    let Entry::Event(stored) = entry else { unreachable!() };
                    let length = given[usize::try_from(stored.sequence).unwrap() - 1];
                    prop_assert_eq!(stored.body, body(&name, stored.sequence, length));
                }
                let states = outbox.topics();
                let state = state_of(&states, &name);
                prop_assert_eq!((state.next, state.waiting), (given.len() as u64 + 1, given.len() as u64 - delivered));
            }
            for key in 0..4u8 {
                let value = outbox.state(&[b'x', key]).unwrap();
                prop_assert_eq!(value, model.state.get(&key).map(|value| vec![*value]));
            }
        }
    }
}

#[test]
fn an_event_is_found_by_its_id_in_steps_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path());
    // Some lie in parts.
    outbox.append(&events("a", 1..=5, 9_000)).unwrap();
    outbox.append(&events("b", 1..=3, 100)).unwrap();
    outbox.delivered("a", 4).unwrap();
    let topics: Vec<Arc<str>> = vec!["a".into(), "never".into(), "b".into()];
    for budget in [1, 2, 7, 1_000] {
        let look = |id: &str| {
            let mut search = Search::new(id, topics.clone());
            for _ in 0..100 {
                match outbox.search(&mut search, budget).unwrap() {
                    Searched::Going => {}
                    done => return done,
                }
            }
            panic!("{id}: no end with {budget} records a step");
        };
        for (topic, sequence) in [("a", 1), ("a", 4), ("a", 5), ("b", 1), ("b", 3)] {
            let found = look(&format!("id-{topic}-{sequence}"));
            let topic: Arc<str> = topic.into();
            assert_eq!(found, Searched::Found { topic, sequence });
        }
        assert_eq!(look("id-a-6"), Searched::Nowhere);
    }
    assert_eq!(outbox.at("a", 3).unwrap().unwrap().body, body("a", 3, 9_000));
    assert_eq!((outbox.at("a", 0).unwrap(), outbox.at("a", 6).unwrap()), (None, None));
    assert_eq!(
        (outbox.held_from("a").unwrap(), outbox.held_from("never").unwrap()),
        (Some(1), None)
    );
    assert_eq!((outbox.last_given("a"), outbox.last_given("never")), (5, 0));
}
