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

/// The bytes that [`escaped`] shows; `None`: it is not of its making.
#[must_use]
pub fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => match rest.next()? {
                b'\\' => out.push(b'\\'),
                b'x' => {
                    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                    let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                    out.push(high << 4 | low);
                }
                _ => return None,
            },
            b' '..=b'~' => out.push(byte),
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(unescaped(&escaped(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_not(text: String) {
            drop(unescaped(&text));
        }
    }
}
