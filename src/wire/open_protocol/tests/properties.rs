//! Any bytes give a value or an error; what is built reads back.

use super::{REAL_2, listed, result};
use crate::model::{Decimal, Raw};
use crate::wire::open_protocol::layout::Kind;
use crate::wire::open_protocol::tables::{LAYOUTS, codes};
use crate::wire::open_protocol::{Split, Splitter, Telegram, decode, encode_fields};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A telegram of every family.
fn seeds() -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = [
        "02310061001         010001020103airbag7                  04KPOL3456JKLO897          050006003070000080000090100111120008401300140014001200150007391600000170999918000001900000202001-06-02:09:54:09212001-05-29:12:34:33221230000345675",
        "01480152001         0110101Result part 1            0220003Result part 2            0330104Result part 3            0440105Result part 4            ",
        "01450902001         000000213400000000012022-12-21:13:02:3300000058192023-12-10:12:28:54002000050010600000001000100190500000002023-11-09:18:48:14",
        "00781201003         00200100000001532022-11-14:09:35:1000000080010010030092000",
    ]
    .iter()
    .map(|raw| raw.as_bytes().to_vec())
    .collect();
    out.push(result(2, REAL_2).into_bytes());
    let samples = Raw::List(vec![Raw::Int(1), Raw::Int(-2)]);
    let trace = encode_fields(900, 1, &|name| (name == "samples").then(|| samples.clone()));
    out.push(trace.unwrap().encode());
    out
}

/// Everything that can be asked of bytes.
fn all(bytes: &[u8]) {
    if let Ok(telegram) = Telegram::parse(bytes) {
        let shown = telegram.text();
        assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)));
        if let Ok(out) = decode(&telegram) {
            listed(&out);
        }
    }
    let mut splitter = Splitter::new();
    splitter.push(bytes);
    let mut given = 0;
    for split in splitter.by_ref() {
        given += match split {
            Split::Telegram(telegram, raw) => {
                assert!(decode(&telegram).map_or_else(|f| !f.to_string().is_empty(), |_| true));
                raw.len()
            }
            Split::Noise(count) => count,
        };
    }
    // A NUL behind a trace is passed over.
    assert!(given + splitter.waiting() <= bytes.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_give_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        all(&bytes);
    }

    #[test]
    fn any_data_behind_a_header_too(mid in 0_u16..1300, revision in 0_u16..13, data in "[0-9A-Za-z \\-]{0,300}") {
        all(&Telegram::new(mid, revision).with_data(data).encode());
    }

    #[test]
    fn any_data_of_a_known_mid_too(which in 0..LAYOUTS.len(), data in "[0-9 ]{0,300}") {
        let layout = &LAYOUTS[which];
        all(&Telegram::new(layout.mid, layout.to).with_data(data).encode());
    }

    #[test]
    fn a_vector_that_was_garbled(which in 0_usize..6, cut in 0_usize..400, changes in proptest::collection::vec((0_usize..400, any::<u8>()), 0..8)) {
        let mut raw = seeds().swap_remove(which);
        for (at, byte) in changes {
            let length = raw.len();
            raw[at % length] = byte;
        }
        raw.truncate(raw.len().saturating_sub(cut % 40));
        all(&raw);
        // The same with a length that is right.
        let said = format!("{:04}", raw.len());
        if raw.len() >= 4 {
            raw[..4].copy_from_slice(said.as_bytes());
        }
        all(&raw);
    }

    #[test]
    fn what_is_built_reads_back(which in 0..LAYOUTS.len(), later in 0_u16..11, numbers in proptest::collection::vec(0_i64..100_000, 120), words in proptest::collection::vec("[A-Z][a-z]{0,8}", 120)) {
        let layout = &LAYOUTS[which];
        let revision = (layout.from + later).min(layout.to);
        let mut values: BTreeMap<&str, Raw> = BTreeMap::new();
        for (index, p) in layout.of(revision).enumerate() {
            let number = numbers[index] % 10_i64.pow(u32::try_from(p.width.min(5)).unwrap());
            let coded = |words: &[(i64, &str)]| Raw::Text(words[usize::try_from(number).unwrap() % words.len()].1.to_owned());
            let value = match p.kind {
                Kind::Whole | Kind::In(_) | Kind::Angle => Raw::Int(number),
                Kind::AngleLimit => Raw::Int(number % 9_999),
                Kind::Torque | Kind::TorqueLimit | Kind::Hundredth(_) => Raw::Dec(Decimal::new(i128::from(number), 2)),
                Kind::Text | Kind::Rest => Raw::Text(words[index].chars().take(p.width).collect()),
                Kind::Time => Raw::Text(format!("2021-02-03:04:{:02}:06", number % 60)),
                Kind::Bool => Raw::Bool(number % 2 == 1),
                Kind::Coded(words) => coded(words.codes),
                Kind::TorqueUom => coded(codes::TORQUE_UOM.codes),
                _ => continue,
            };
            values.insert(p.name, value);
        }
        for open in ["spindle_count", "number_of_stage_results"] {
            if values.contains_key(open) {
                values.insert(open, Raw::Int(2));
            }
        }
        let telegram = encode_fields(layout.mid, revision, &|name| values.get(name).cloned()).unwrap();
        let back = Telegram::parse(&telegram.encode()).unwrap();
        prop_assert_eq!(&back, &telegram);
        let out = decode(&back).unwrap();
        listed(&out);
        prop_assert!(out.unknown.is_empty(), "{:?}", out.unknown);
        let press = out.get("system_subtype") == Some(&Raw::Int(2));
        for (name, value) in values {
            prop_assert!(press || out.get(name) == Some(&value), "{} {:?} {:?}", name, value, out.get(name));
        }
    }
}

#[test]
fn nothing_given_is_zeros_and_blanks() {
    for layout in LAYOUTS {
        for revision in layout.from..=layout.to {
            let telegram = encode_fields(layout.mid, revision, &|_| None).unwrap();
            let expected = layout.length(revision);
            let counts = usize::from(matches!(layout.mid, 900)) * 3;
            assert_eq!(
                telegram.encode().len(),
                expected + 1 + counts,
                "{:04} {revision}",
                layout.mid
            );
            listed(&decode(&telegram).unwrap());
        }
    }
    assert!(encode_fields(799, 1, &|_| None).is_err());
    assert!(encode_fields(61, 12, &|_| None).is_err());
}

#[test]
fn variable_data_fields_are_built_by_number_and_by_name() {
    let get = |name: &str| match name {
        "result_id" => Some(Raw::Int(153)),
        "torque" | "pid_30237" => Some(Raw::Dec("12.34".parse().unwrap())),
        "pid_30237_uom" => Some(Raw::Text("mN.m".into())),
        "torque_status" => Some(Raw::Text("high".into())),
        "vin_number" => Some(Raw::Text("VIN 1".into())),
        "object_ids" => Some(Raw::List(vec![Raw::Int(10)])),
        "object_statuses" => Some(Raw::List(vec![Raw::Text("ok".into())])),
        _ => None,
    };
    let two = decode(&encode_fields(1202, 1, &get).unwrap()).unwrap();
    let torque = two.field("torque").unwrap();
    assert_eq!((torque.value.text(), torque.uom), ("12.34".to_owned(), Some("N.m")));
    let private = two.field("pid_30237").unwrap();
    assert_eq!((private.value.text(), private.uom), ("12.34".to_owned(), Some("mN.m")));
    assert_eq!(two.get("torque_status"), Some(&Raw::Text("high".into())));
    assert_eq!(two.field("torque_status").unwrap().uom, None);
    assert_eq!(two.get("vin_number"), None);
    for revision in 1..=3 {
        let one = decode(&encode_fields(1201, revision, &get).unwrap()).unwrap();
        assert_eq!(one.get("vin_number"), Some(&Raw::Text("VIN 1".into())));
        assert_eq!(one.get("object_ids"), Some(&Raw::List(vec![Raw::Int(10)])));
        assert_eq!(
            one.get("object_statuses"),
            Some(&Raw::List(vec![Raw::Text("ok".into())]))
        );
    }
}
