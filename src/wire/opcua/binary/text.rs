//! Texts of values that have no JSON form of their own: times, GUIDs, node ids. Owns both directions.

use super::super::NodeKey;
use crate::model::plan::Identifier;
use jiff::Timestamp;
use std::sync::Arc;

/// Steps of 100 ns from 1601-01-01 to 1970-01-01.
const EPOCH: i64 = 116_444_736_000_000_000;
/// Nanoseconds of a step.
const STEP: i128 = 100;

/// RFC 3339 with as many digits of the second as it needs, 7 at most. `None` for null, which is any time up to 1601, and for times
/// from about the end of 9999 on, which stand for never (OPC 10000-6, 5.2.2.5).
pub(super) fn time(steps: i64) -> Option<String> {
    if steps <= 0 {
        return None;
    }
    let nanoseconds = i128::from(steps.checked_sub(EPOCH)?) * STEP;
    let stamp = Timestamp::from_nanosecond(nanoseconds).ok()?;
    Some(stamp.to_string())
}

/// What [`time`] reads; digits beyond the seventh are cut.
pub(super) fn steps(text: &str) -> Option<i64> {
    let stamp: Timestamp = text.parse().ok()?;
    let steps = i64::try_from(stamp.as_nanosecond().div_euclid(STEP)).ok()?;
    steps.checked_add(EPOCH).filter(|steps| *steps > 0)
}

/// The bytes of a GUID in the order of its text; its own inverse.
pub(super) fn guid_of_wire(wire: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = wire;
    let [i, j, k, l, m, n, o, p] = rest;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

/// `72962b91-fa75-4ae6-8d28-b404dc7daf63`.
pub(super) fn guid(bytes: [u8; 16]) -> String {
    Identifier::Guid(bytes).to_string().split_off("g=".len())
}

/// What [`guid`] reads; in either case, dashes where they belong.
pub(super) fn guid_bytes(text: &str) -> Option<[u8; 16]> {
    let dashes: Vec<_> = text.match_indices('-').map(|(at, _)| at).collect();
    if dashes != [8, 13, 18, 23] {
        return None;
    }
    unhex(&text.replace('-', ""))?.try_into().ok()
}

/// The bytes of pairs of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// A node id as it stands in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Namespace and identifier.
    pub(super) key: NodeKey,
    /// The namespace by its URI, which then counts instead of the index.
    pub(super) uri: Option<String>,
    /// Which server of the session's table; 0 is this one.
    pub(super) server: u32,
}

impl Node {
    /// `ns=2;s=Tool`, `svr=1;nsu=urn:x;i=7` (OPC 10000-6, 5.1.12 and 5.1.13); `None` for the null node id.
    pub(super) fn text(&self) -> Option<String> {
        let Self { key, uri, server } = self;
        if *key == NodeKey::core(0) && uri.is_none() && *server == 0 {
            return None;
        }
        let server = match server {
            0 => String::new(),
            number => format!("svr={number};"),
        };
        Some(match uri {
            // The separator and its escape, escaped.
            Some(uri) => format!("{server}nsu={};{}", uri.replace('%', "%25").replace(';', "%3B"), key.id),
            None => format!("{server}{key}"),
        })
    }

    /// What [`Node::text`] reads.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (server, rest) = match text.strip_prefix("svr=") {
            Some(rest) => {
                let (number, rest) = rest.split_once(';')?;
                (number.parse().ok()?, rest)
            }
            None => (0, text),
        };
        let (uri, namespace, rest) = if let Some(rest) = rest.strip_prefix("nsu=") {
            let (uri, rest) = rest.split_once(';')?;
            let uri = uri.replace("%3B", ";").replace("%3b", ";").replace("%25", "%");
            (Some(uri), 0, rest)
        } else if let Some(rest) = rest.strip_prefix("ns=") {
            let (number, rest) = rest.split_once(';')?;
            (None, number.parse().ok()?, rest)
        } else {
            (None, 0, rest)
        };
        let (kind, rest) = rest.split_once('=')?;
        let id = match kind {
            "i" => Identifier::Number(rest.parse().ok()?),
            "s" => Identifier::Text(Arc::from(rest)),
            "g" => Identifier::Guid(guid_bytes(rest)?),
            "b" => Identifier::Bytes(Arc::from(base64(rest)?)),
            _ => return None,
        };
        Some(Self {
            key: NodeKey { namespace, id },
            uri,
            server,
        })
    }
}

/// Bytes in base 64, padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let mut out = Vec::new();
    let (mut bits, mut have) = (0_u32, 0_u32);
    for digit in digits {
        bits = (bits << 6 | u32::from(digit?)) & 0xFFFF;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from(bits >> have & 0xFF).ok()?);
        }
    }
    (have < 6).then_some(out)
}
