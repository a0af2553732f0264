//! The text of a node id: `nsu=http://…;s=Tool.Torque`, `ns=2;i=1007`, `i=2253` (OPC 10000-6, 5.3.1.10 and 5.3.1.11).
//! Owns no table of namespaces: which index a URI has is known only to a session.

use crate::model::plan::{Identifier, Namespace, NodeRef};
use std::sync::Arc;

/// Characters of a text that is an identifier, at most (OPC 10000-3, 8.2.4).
const LONGEST: usize = 4096;

/// Why a text is no node id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NodeFault {
    /// Where in the text, in characters from 0.
    pub at: usize,
    /// What is wrong there, and what would be right.
    pub text: String,
}

/// What is at this character.
fn fault(at: usize, text: impl Into<String>) -> NodeFault {
    NodeFault { at, text: text.into() }
}

/// Reads a node id. `%3B` and `%25` in a URI are its `;` and `%`.
///
/// # Errors
/// Says where it stops being one.
pub fn parse_node(text: &str) -> Result<NodeRef, NodeFault> {
    let length = |part: &str| part.chars().count();
    let (namespace, rest) = if let Some(rest) = text.strip_prefix("nsu=") {
        let Some((uri, rest)) = rest.split_once(';') else {
            return Err(fault(
                length(text),
                "behind the URI of the namespace there must be `;` and the node in it: `nsu=http://…;s=Tool.Torque`",
            ));
        };
        if uri.trim().is_empty() {
            return Err(fault(
                4,
                "the URI of the namespace is missing: `nsu=http://…;s=Tool.Torque`",
            ));
        }
        let uri = uri.replace("%3B", ";").replace("%3b", ";").replace("%25", "%");
        (Namespace::Uri(uri.into()), rest)
    } else if let Some(rest) = text.strip_prefix("ns=") {
        let (index, rest) = rest.split_once(';').ok_or_else(|| {
            fault(
                length(text),
                "behind the index of the namespace there must be `;` and the node in it: `ns=2;s=Tool.Torque`",
            )
        })?;
        let index = index
            .parse::<u16>()
            .map_err(|_| fault(3, format!("`{index}` is no index of a namespace: 0 to 65535")))?;
        (Namespace::Index(index), rest)
    } else if text.starts_with("svr=") {
        return Err(fault(
            0,
            "a node of another server cannot be read here: leave `svr=…;` out",
        ));
    } else {
        (Namespace::Index(0), text)
    };
    let at = length(text) - length(rest);
    Ok(NodeRef {
        namespace,
        id: identifier(rest, at)?,
    })
}

/// `i=…`, `s=…`, `g=…`, `b=…`, which stands at this character.
fn identifier(text: &str, at: usize) -> Result<Identifier, NodeFault> {
    let (kind, value) = text.split_once('=').unwrap_or(("", text));
    let behind = at + 2;
    match kind {
        "i" => value
            .parse::<u32>()
            .map(Identifier::Number)
            .map_err(|_| fault(behind, format!("`{value}` is no numeric identifier: 0 to 4294967295"))),
        "s" if value.is_empty() => Err(fault(behind, "the text behind `s=` is missing")),
        "s" if value.chars().count() > LONGEST => Err(fault(
            behind,
            format!("a text that identifies a node has at most {LONGEST} characters"),
        )),
        "s" => Ok(Identifier::Text(value.into())),
        "g" => guid(value).map(Identifier::Guid).ok_or_else(|| {
            fault(
                behind,
                format!("`{value}` is no GUID: 09087e75-8e5e-499b-954f-f2a9603db28a"),
            )
        }),
        "b" => bytes(value)
            .map(|bytes| Identifier::Bytes(Arc::from(bytes)))
            .ok_or_else(|| fault(behind, format!("`{value}` is not base 64"))),
        _ => Err(fault(
            at,
            "a node is `i=` and a number, `s=` and a text, `g=` and a GUID or `b=` and base 64, its namespace before it: \
             `nsu=http://…;s=Tool.Torque`",
        )),
    }
}

/// 16 bytes in the order of the text.
fn guid(text: &str) -> Option<[u8; 16]> {
    let groups = text.split('-').map(str::len).collect::<Vec<_>>();
    if groups != [8, 4, 4, 4, 12] || !text.is_ascii() {
        return None;
    }
    let digits = text
        .chars()
        .filter(|character| *character != '-')
        .map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<Vec<u8>>>()?;
    let mut out = [0; 16];
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        *byte = pair.iter().fold(0, |all, digit| all << 4 | digit);
    }
    Some(out)
}

/// Base 64 with or without its `=`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if digits.is_empty() || digits.len() % 4 == 1 || text.len() - digits.len() > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_id_reads_back_as_it_is_written() {
        for text in [
            "i=2253",
            "ns=2;i=4294967295",
            "nsu=http://opcfoundation.org/UA/IJT/Base/;i=1007",
            "nsu=urn:plc:1;s=\"DB 10\".\"a;b\"=c",
            "ns=65535;s=Tool.Torque",
            "ns=1;g=09087e75-8e5e-499b-954f-f2a9603db28a",
            "ns=3;b=M/RbKBsRVkePCePcx24oRA==",
            "ns=3;b=AQID",
            "ns=3;b=AQ==",
        ] {
            assert_eq!(parse_node(text).unwrap().to_string(), text);
        }
        assert_eq!(
            parse_node("ns=1;b=AQIDBA").unwrap().id,
            Identifier::Bytes(Arc::from([1_u8, 2, 3, 4].as_slice()))
        );
        assert_eq!(
            parse_node("nsu=urn:a%3Bb%25;i=1").unwrap().namespace,
            Namespace::Uri("urn:a;b%".into())
        );
        assert_eq!(parse_node("i=2253").unwrap(), NodeRef::SERVER);
    }

    #[test]
    fn a_fault_says_where() {
        for (text, at) in [
            ("", 0),
            ("Tool.Torque", 0),
            ("ns=2;Tool.Torque", 5),
            ("ns=70000;i=1", 3),
            ("ns=2", 4),
            ("nsu=http://ä/", 13),
            ("nsu=;i=1", 4),
            ("nsu=urn:ä;i=x", 12),
            ("i=-1", 2),
            ("i=4294967296", 2),
            ("s=", 2),
            ("g=09087e75-8e5e-499b-954f", 2),
            ("g=09087e75-8e5e-499b-954f-f2a9603db28g", 2),
            ("b=A", 2),
            ("b=A*BB", 2),
            ("svr=1;i=1", 0),
        ] {
            assert_eq!(parse_node(text).unwrap_err().at, at, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_node_or_a_fault_inside_it(text in "(nsu=|ns=|i=|g=|b=|;|=|é|-|[0-9a-zA-Z%])*") {
            match parse_node(&text) {
                Ok(node) => proptest::prop_assert_eq!(parse_node(&node.to_string()).is_ok(), true),
                Err(fault) => proptest::prop_assert!(fault.at <= text.chars().count()),
            }
        }
    }
}
