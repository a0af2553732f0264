//! The splitter on streams that are good, cut, late and bad.

use super::{REAL_2, result};
use crate::wire::open_protocol::{Split, Splitter, Telegram};

/// Telegrams' MIDs and noise, in order.
fn run(splitter: &mut Splitter, chunks: &[&[u8]]) -> Vec<String> {
    let mut out = Vec::new();
    for chunk in chunks {
        splitter.push(chunk);
        for split in splitter.by_ref() {
            out.push(match split {
                Split::Telegram(telegram, _) => format!("{:04}", telegram.mid()),
                Split::Noise(count) => format!("-{count}"),
            });
        }
    }
    out
}

fn stream() -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(b"00240005            0018\0");
    out.extend(result(2, REAL_2).into_bytes());
    out.push(0);
    out.extend(
        Telegram::new(900, 1)
            .with_data("ab")
            .with_binary([0, 7, 0, 0, 0x30])
            .encode(),
    );
    out.extend(b"00209999001 0000    \0");
    out
}

#[test]
fn many_in_one_segment_and_one_in_many() {
    let stream = stream();
    let expected = ["0005", "0061", "0900", "9999"];
    assert_eq!(run(&mut Splitter::new(), &[&stream]), expected);
    for size in [1, 3, 7, 20, 21, 100] {
        let chunks: Vec<&[u8]> = stream.chunks(size).collect();
        let mut splitter = Splitter::new();
        assert_eq!(run(&mut splitter, &chunks), expected, "{size}");
        assert_eq!((splitter.noise(), splitter.waiting()), (0, 0));
    }
}

#[test]
fn the_bytes_of_a_telegram_are_kept() {
    let mut splitter = Splitter::new();
    splitter.push(b"00240005            0018\0");
    let Some(Split::Telegram(telegram, raw)) = splitter.next() else {
        panic!("no telegram");
    };
    assert_eq!((telegram.about(), raw.len()), (Some(18), 25));
}

#[test]
fn a_length_that_lies_costs_its_own_telegram() {
    for lie in ["0300", "0999", "9999", "0021", "0019", "00x0", "0100"] {
        let bad = result(2, REAL_2).replacen("0385", lie, 1);
        let mut stream = bad.clone().into_bytes();
        stream.push(0);
        stream.extend(self::stream());
        let mut splitter = Splitter::new();
        let seen = run(&mut splitter, &[&stream]);
        let good: Vec<&String> = seen.iter().filter(|s| !s.starts_with('-')).collect();
        assert_eq!(good, ["0005", "0061", "0900", "9999"], "{lie}: {seen:?}");
        assert_eq!(splitter.noise(), 386, "{lie}");
    }
}

#[test]
fn noise_and_half_telegrams_are_counted() {
    let mut splitter = Splitter::new();
    let seen = run(
        &mut splitter,
        &[
            b"hello\0",
            b"00209999            \0",
            b"0024000",
            b"\0",
            b"00209999            \0",
        ],
    );
    let noise: i64 = seen
        .iter()
        .filter_map(|s| s.strip_prefix('-')?.parse::<i64>().ok())
        .sum();
    assert_eq!((noise, splitter.noise()), (14, 14), "{seen:?}");
    assert_eq!(seen.iter().filter(|s| *s == "9999").count(), 2);
}

#[test]
fn a_missing_or_wrong_nul_is_tolerated_where_the_next_header_fits() {
    let seen = run(
        &mut Splitter::new(),
        &[b"00240005            001800209999            \0"],
    );
    assert_eq!(seen, ["0005", "9999"]);
    let seen = run(
        &mut Splitter::new(),
        &[b"00240005            0018\n00209999            \0"],
    );
    assert_eq!(seen, ["0005", "-1", "9999"]);
    let mut splitter = Splitter::new();
    assert!(run(&mut splitter, &[b"00240005            0018"]).is_empty());
    assert!(matches!(splitter.settle(), Some(Split::Telegram(..))));
    assert_eq!(splitter.settle(), None);
    // A peer that never sends one.
    let chunks: [&[u8]; 2] = [b"00240005            0018", b"00209999            "];
    assert!(run(&mut splitter, &chunks).is_empty());
    let settled = std::iter::from_fn(|| splitter.settle()).count();
    assert_eq!((settled, splitter.waiting()), (2, 0));
}

#[test]
fn a_nul_after_a_trace_is_no_noise() {
    let trace = Telegram::new(900, 1).with_data("ab").with_binary([1, 2]).encode();
    let mut splitter = Splitter::new();
    let seen = run(
        &mut splitter,
        &[&trace, b"\0", &trace, b"\0", b"00209999            \0"],
    );
    assert_eq!(
        (seen, splitter.noise()),
        (vec!["0900".into(), "0900".into(), "9999".into()], 0)
    );
}

#[test]
fn a_flood_of_garbage_stays_bounded_and_ends() {
    let mut splitter = Splitter::new();
    for garbage in [b'0', b'9', 0, b' ', b'x'] {
        for _ in 0..20 {
            splitter.push(&[garbage; 4_096]);
            for _ in splitter.by_ref() {}
            assert!(splitter.waiting() <= 25_000, "{garbage}: {}", splitter.waiting());
        }
    }
    let seen = run(&mut splitter, &[b"\0", b"00209999            \0"]);
    assert_eq!(seen.last().map(String::as_str), Some("9999"));
}
