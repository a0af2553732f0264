//! Vectors, positions and properties of the whole codec.

mod positions;
mod properties;
mod vectors;
mod wire;

use super::{Decoded, Telegram, decode, fields};
use crate::model::{Raw, uom::Uom};

/// The rest of a real rev 2 result after its header (OPI).
const REAL_2: &str = "010000020003RA ST6.2 ETV100          04                         05000006001070208000670900001000001101221301401501611711811912000000081942100340022004600230040002400050525000202600420270000028000002900100300085031000043200033150340003500000036999900370000003800000039000000400000004100001848874200000430000044      C0761275452020-06-25:01:04:39462020-06-24:10:48:53";

/// One telegram without its closing NUL, decoded; every name in it is listed, every uom known.
fn decoded(raw: &str) -> Decoded {
    decoded_bytes(raw.as_bytes())
}

fn decoded_bytes(raw: &[u8]) -> Decoded {
    let telegram = Telegram::parse(raw).unwrap_or_else(|fault| panic!("{fault}: {}", crate::wire::escaped(raw)));
    let out = decode(&telegram).unwrap_or_else(|fault| panic!("{fault}"));
    listed(&out);
    out
}

fn listed(out: &Decoded) {
    for field in out.fields.iter().chain(out.spindles.iter().flatten()) {
        assert!(fields::info(&field.name).is_some(), "`{}` is not listed", field.name);
        if let Some(uom) = field.uom {
            assert!(Uom::parse(uom).is_ok(), "{uom}");
        }
    }
}

/// A value as its text; lists joined by commas; empty where the field is absent.
fn text(out: &Decoded, name: &str) -> String {
    out.get(name).map(Raw::text).unwrap_or_default()
}

/// Checks values by their text; an empty one says that the field is absent.
fn expect(out: &Decoded, values: &[(&str, &str)]) {
    for (name, value) in values {
        assert_eq!(text(out, name), *value, "{name}");
    }
}

/// A 0061 of this revision with this data, its length right.
fn result(revision: u16, data: &str) -> String {
    format!("{:04}0061{revision:03}         {data}", data.len() + 20)
}
