//! Texts of values that have no JSON form of their own: times, GUIDs, node ids. Owns both directions.

use super::super::NodeKey;
use super::super::node::parse_node;
use crate::model::plan::{Identifier, Namespace, NodeRef};
use jiff::Timestamp;

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
    let mut bytes = wire;
    for number in [0..4, 4..6, 6..8] {
        if let Some(number) = bytes.get_mut(number) {
            number.reverse();
        }
    }
    bytes
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
    /// `ns=2;s=Tool`, `svr=1;nsu=urn:x;i=7` (OPC 10000-6, 5.1.12 and 5.1.13); `None` for a null node id (OPC 10000-3, 8.2.4).
    pub(super) fn text(&self) -> Option<String> {
        let Self { key, uri, server } = self;
        if key.namespace == 0 && uri.is_none() && *server == 0 {
            let null = match &key.id {
                Identifier::Number(number) => *number == 0,
                Identifier::Text(text) => text.is_empty(),
                Identifier::Guid(bytes) => *bytes == [0; 16],
                Identifier::Bytes(bytes) => bytes.is_empty(),
            };
            if null {
                return None;
            }
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
        let NodeRef { namespace, id } = parse_node(rest).ok()?;
        let (namespace, uri) = match namespace {
            Namespace::Index(index) => (index, None),
            Namespace::Uri(uri) => (0, Some(uri.to_string())),
        };
        Some(Self {
            key: NodeKey { namespace, id },
            uri,
            server,
        })
    }
}
