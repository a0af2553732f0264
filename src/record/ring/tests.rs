//! What is left out, what never is, and that memory has a bound.

use super::super::{Record, Through, VERSION};
use super::*;
use proptest::prelude::*;

fn header() -> Header {
    Header {
        lineside_record: VERSION,
        protocol: "modbus-tcp".to_owned(),
        profile: "a".to_owned(),
        digest: String::new(),
        vendor: String::new(),
        model: String::new(),
        slot: None,
        address: String::new(),
        through: Through::Gateway,
        started: "2026-11-22T10:15:03.171Z".to_owned(),
    }
}

fn ring(limit: usize, repeats: Repeats) -> Ring {
    Ring::new(header(), limit, repeats)
}

/// Pushes these, one a millisecond; what is left, with its time and what it stands for.
fn kept(ring: &mut Ring, what: impl IntoIterator<Item = What>) -> Vec<(u64, u64, What)> {
    for (ms, what) in (0..).zip(what) {
        ring.push(Line {
            ms,
            wall: 0,
            what,
            same: 0,
        });
    }
    let record = Record::read(&ring.text()).unwrap();
    record
        .lines
        .into_iter()
        .map(|line| (line.ms, line.same, line.what))
        .collect()
}

fn read(address: u8, value: u8) -> What {
    What::Exchange {
        server: 1,
        sent: vec![4, 0, address, 0, 1],
        got: Ok(vec![4, 2, 0, value]),
    }
}

fn went(text: &str) -> What {
    What::Out(text.as_bytes().to_vec())
}

fn came(text: &str) -> What {
    What::In(text.as_bytes().to_vec())
}

#[test]
fn a_device_that_says_the_same_all_day_pushes_nothing_out() {
    let mut ring = ring(4096, Repeats::Answers);
    let day = std::iter::once(read(0, 7))
        .chain((0..100_000).flat_map(|_| [read(0, 8), read(1, 5)]))
        .chain([read(0, 9)]);
    let kept = kept(&mut ring, day);
    // The result before, the first answers with a repeat of each, and the last ones before something was new.
    let shown: Vec<(u64, u64, What)> = vec![
        (0, 0, read(0, 7)),
        (1, 0, read(0, 8)),
        (2, 0, read(1, 5)),
        (3, 0, read(0, 8)),
        (4, 0, read(1, 5)),
        (5, 0, read(0, 8)),
        (199_999, 99_996, read(0, 8)),
        (200_000, 99_997, read(1, 5)),
        (200_001, 0, read(0, 9)),
    ];
    assert_eq!(kept, shown);
}

#[test]
fn a_request_that_is_not_answered_is_counted_too_and_a_write_never() {
    let mut ring = ring(1 << 20, Repeats::Answers);
    let silent = What::Exchange {
        server: 1,
        sent: vec![4, 0, 0, 0, 1],
        got: Err("no answer within 1s".to_owned()),
    };
    let kept_lines = kept(&mut ring, std::iter::repeat_n(silent, 50));
    assert_eq!(kept_lines.len(), 3);
    assert_eq!(kept_lines.iter().map(|(_, same, _)| same).sum::<u64>(), 47);
    let write = What::Exchange {
        server: 1,
        sent: vec![6, 0, 10, 0, 1],
        got: Ok(vec![6, 0, 10, 0, 1]),
    };
    let mut ring = super::Ring::new(header(), 1 << 20, Repeats::Answers);
    assert_eq!(kept(&mut ring, std::iter::repeat_n(write, 50)).len(), 50);
}

#[test]
fn frames_are_results_of_their_own_unless_only_changes_count() {
    let turns = || {
        let quiet = (0..30).flat_map(|_| [went("?\r"), came("ST,+0"), came("0.0\r")]);
        quiet.chain([went("?\r"), came("ST,+01.0\r"), went("?\r")])
    };
    let mut counted = ring(1 << 20, Repeats::Turns);
    let lines = kept(&mut counted, turns());
    assert_eq!(lines.len(), 3 * 3 + 3);
    assert_eq!(lines.iter().filter(|(_, same, _)| *same > 0).count(), 3, "{lines:?}");
    let mut all = ring(1 << 20, Repeats::SignsOfLife);
    assert_eq!(kept(&mut all, turns()).len(), 93);
}

#[test]
fn signs_of_life_of_a_controller_are_counted_and_its_results_are_not() {
    let alive = "00209999001         \0";
    let result = "00310061001         1234567890\0";
    let said = (0..20)
        .flat_map(|_| [went(alive), came(alive)])
        .chain((0..5).flat_map(|_| [came(result), went("00200062            \0")]))
        .chain((0..20).flat_map(|_| [went(alive), came(alive)]));
    let mut ring = ring(1 << 20, Repeats::SignsOfLife);
    let lines = kept(&mut ring, said);
    assert_eq!(lines.iter().filter(|(_, _, what)| *what == came(result)).count(), 5);
    assert!(lines.len() < 32, "{}", lines.len());
    let stood_for: u64 = lines.iter().map(|(_, same, _)| same + 1).sum();
    assert_eq!(stood_for, 90);
}

#[test]
fn a_device_that_is_off_for_days_pushes_nothing_out() {
    let refused = || What::Link("connection refused".to_owned());
    let mut ring = ring(4096, Repeats::SignsOfLife);
    let said = std::iter::once(came("result")).chain(std::iter::repeat_with(refused).take(10_000));
    let lines = kept(&mut ring, said);
    assert_eq!(lines.first().map(|(_, _, what)| what.clone()), Some(came("result")));
    assert_eq!(lines.len(), 4);
}

proptest! {
    /// Lines go, oldest first, or stand for others: never more and never fewer than were said.
    #[test]
    fn every_line_is_kept_or_counted_and_order_holds(
        values in proptest::collection::vec((0..3_u8, 0..2_u8), 0..200),
    ) {
        let mut ring = ring(1 << 20, Repeats::Answers);
        let lines = kept(&mut ring, values.iter().map(|(address, value)| read(*address, *value)));
        prop_assert_eq!(lines.iter().map(|(_, same, _)| same + 1).sum::<u64>(), values.len() as u64);
        prop_assert!(lines.is_sorted_by(|a, b| a.0 < b.0));
        for (ms, _, what) in &lines {
            let (address, value) = values[usize::try_from(*ms).unwrap()];
            prop_assert_eq!(what, &read(address, value));
        }
        // What each request was answered at any time is known from what was kept.
        let mut latest = [None; 3];
        let mut shown = [None; 3];
        let mut left = lines.iter().peekable();
        for (ms, (address, value)) in (0_u64..).zip(&values) {
            latest[usize::from(*address)] = Some(*value);
            while let Some((_, _, what)) = left.next_if(|(at, _, _)| *at <= ms) {
                if let What::Exchange { sent, got: Ok(got), .. } = what {
                    shown[usize::from(sent[2])] = Some(got[3]);
                }
            }
            prop_assert_eq!(latest, shown);
        }
    }

    #[test]
    fn memory_has_a_bound(
        said in proptest::collection::vec(prop_oneof![
            (any::<u8>(), any::<u8>()).prop_map(|(address, value)| read(address, value)),
            ".{0,40}".prop_map(What::Link),
            proptest::collection::vec(any::<u8>(), 0..90).prop_map(What::In),
            proptest::collection::vec(any::<u8>(), 0..90).prop_map(What::Out),
        ], 0..300),
        repeats in prop_oneof![Just(Repeats::Answers), Just(Repeats::Turns), Just(Repeats::SignsOfLife)],
    ) {
        let mut ring = ring(3_000, repeats);
        let count = said.len();
        let lines = kept(&mut ring, said);
        prop_assert!(lines.len() <= count);
        prop_assert!(ring.weight <= 3_000);
        prop_assert!(ring.text().len() < 3_000 + 1_000, "{}", ring.text().len());
    }
}
