//! Wire formats: pure codecs that drivers, simulators and examples share. Owns no connection and no meaning.

pub mod framed;
pub mod modbus;
pub mod opcua;
pub mod open_protocol;

use std::fmt::Write as _;

/// Bytes for a person and for `origin.raw`: what is no printable ASCII as `\x02`, a backslash doubled.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(*byte)),
            // Writing to a text does not fail.
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out
}
