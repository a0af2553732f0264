//! Records: what a device said, byte for byte with times, as JSON Lines (docs/record-format.md).
//!
//! Owns the format: its lines, its version, what of a damaged file is still read. Pure: no I/O, no clock. Does not own what
//! bytes mean ([`crate::wire`]) nor what becomes of them ([`crate::replay`]).

pub mod opcua;
pub mod ring;

use self::opcua::{DataType, EventSaid, NodeSaid, Wrote};
use crate::model::value::hex;
use serde::{Deserialize, Serialize};

/// Version of the format that is written. Later versions only add keys; a reader refuses a higher one.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`]; the name of the key says what the file is.
    pub lineside_record: u32,
    /// As in `[connection] protocol`.
    pub protocol: String,
    /// The profile's path as it was given.
    pub profile: String,
    /// `sha256:…` of the resolved profile.
    pub digest: String,
    /// Of the profile.
    pub vendor: String,
    /// Of the profile.
    pub model: String,
    /// Which slot, where the device fills one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub slot: Option<String>,
    /// How the device was reached; what could be a secret is left out.
    pub address: String,
    /// `gateway`: its own exchanges, tapped. `link`: a connection of the command's own, that polls all points.
    pub through: Through,
    /// When the record began, RFC 3339; `ms` of the lines counts from here.
    pub started: String,
}

/// By whose connection a record was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// The running gateway's.
    Gateway,
    /// The command's own.
    Link,
}

/// One line after the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Monotonic milliseconds since the start.
    pub ms: u64,
    /// Wall time, milliseconds since 1970.
    pub wall: i64,
    /// What happened.
    pub what: What,
    /// So many lines before this one said the same and are left out, while nothing else was said either. Where this is not 0,
    /// the line stands for the last of them; the first stand in the record.
    pub same: u64,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A request and what came of it (protocols that ask). Of Modbus: protocol data units.
    Exchange {
        /// Modbus server (unit identifier).
        server: u8,
        /// The request.
        sent: Vec<u8>,
        /// The answer, or a sentence why there is none.
        got: Result<Vec<u8>, String>,
    },
    /// Bytes that came by themselves (frames, telegrams, notifications).
    In(Vec<u8>),
    /// Bytes that went out by themselves.
    Out(Vec<u8>),
    /// OPC UA: a session began, with these namespaces by their index.
    Namespaces(Vec<String>),
    /// OPC UA: how values of a data type are to be read.
    Type(Box<DataType>),
    /// OPC UA: what one notification told of variables.
    Told(Vec<NodeSaid>),
    /// OPC UA: what one Read was answered.
    Read(Vec<NodeSaid>),
    /// OPC UA: what was written.
    Wrote(Box<Wrote>),
    /// OPC UA: an event.
    Event(Box<EventSaid>),
    /// The link came or went: a sentence.
    Link(String),
    /// So many lines are missing here: they came faster than they could be taken down.
    Missed(u64),
}

/// A line as it stands in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    ms: u64,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    server: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    got: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    fault: Option<String>,
    #[serde(rename = "in", skip_serializing_if = "Option::is_none", default)]
    came: Option<String>,
    #[serde(rename = "out", skip_serializing_if = "Option::is_none", default)]
    went: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    namespaces: Option<Vec<String>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    data_type: Option<DataType>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    told: Option<Vec<NodeSaid>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    read: Option<Vec<NodeSaid>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    wrote: Option<Wrote>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    event: Option<EventSaid>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    missed: Option<u64>,
    #[serde(skip_serializing_if = "is_zero", default)]
    same: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Why a file is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Its first line is no header.
    #[error("line 1: this is no record of `lineside record`: {0}")]
    Header(String),
    /// Of a later version.
    #[error("line 1: this record is of format {0}, this build reads formats up to {VERSION}: take a newer lineside")]
    Newer(u32),
    /// A line that cannot be read.
    #[error("line {line}: {reason}")]
    Line {
        /// One-based.
        line: usize,
        /// In a sentence.
        reason: String,
    },
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The first line.
    pub header: Header,
    /// The others, in order.
    pub lines: Vec<Line>,
    /// What is wrong with the file, though it can be read: it breaks off.
    pub notes: Vec<String>,
}

/// Bytes of hex; blanks between bytes are allowed. `None`: no hex.
#[must_use]
pub fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| {
        digits
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect()
    })
}

/// An address without a user name and password.
#[must_use]
pub fn without_secrets(address: &str) -> String {
    let (scheme, rest) = address
        .split_once("://")
        .map_or((None, address), |(scheme, rest)| (Some(scheme), rest));
    let host_ends = rest.find('/').filter(|at| *at > 0).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(host_ends).unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match scheme {
        Some(scheme) => format!("{scheme}://{host}{path}"),
        None => format!("{host}{path}"),
    }
}

impl Header {
    /// The line, without its end.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl What {
    /// Whether it concerns the device of this slot, which is this Modbus server: a link may have others, too.
    #[must_use]
    pub fn concerns(&self, slot: &str, server: Option<u8>) -> bool {
        match self {
            Self::Exchange { server: of, .. } => server.is_none_or(|server| server == *of),
            Self::Event(event) => event.slot == slot,
            _ => true,
        }
    }

    /// Whether what comes later cannot be read without it.
    #[must_use]
    pub fn is_context(&self) -> bool {
        matches!(self, Self::Namespaces(_) | Self::Type(_))
    }
}

impl Line {
    /// The line, without its end.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut line = Written {
            ms: self.ms,
            at: crate::model::time::rfc3339(self.wall),
            same: self.same,
            ..Written::default()
        };
        match &self.what {
            What::Exchange { server, sent, got } => {
                line.server = Some(*server);
                line.sent = Some(hex(sent));
                match got {
                    Ok(got) => line.got = Some(hex(got)),
                    Err(fault) => line.fault = Some(fault.clone()),
                }
            }
            What::In(bytes) => line.came = Some(hex(bytes)),
            What::Out(bytes) => line.went = Some(hex(bytes)),
            What::Namespaces(uris) => line.namespaces = Some(uris.clone()),
            What::Type(described) => line.data_type = Some((**described).clone()),
            What::Told(values) => line.told = Some(values.clone()),
            What::Read(values) => line.read = Some(values.clone()),
            What::Wrote(wrote) => line.wrote = Some((**wrote).clone()),
            What::Event(event) => line.event = Some((**event).clone()),
            What::Link(sentence) => line.link = Some(sentence.clone()),
            What::Missed(number) => line.missed = Some(*number),
        }
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// What a line says. Keys that are not known are passed over: later versions add some.
    ///
    /// # Errors
    /// A sentence.
    pub fn decode(text: &str) -> Result<Self, String> {
        let line: Written = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
        let wall = crate::model::time::parse_rfc3339(&line.at)
            .ok_or_else(|| format!("`at` is `{}`, which is no time (RFC 3339)", line.at))?;
        let hex = |key: &str, text: &str| bytes(text).ok_or_else(|| format!("`{key}` is no hex: `{text}`"));
        let same = line.same;
        let what = match line {
            Written {
                sent: Some(sent),
                server,
                got,
                fault,
                ..
            } => What::Exchange {
                server: server.ok_or("`sent` without `server`")?,
                sent: hex("sent", &sent)?,
                got: match (got, fault) {
                    (Some(got), _) => Ok(hex("got", &got)?),
                    (None, Some(fault)) => Err(fault),
                    (None, None) => return Err("`sent` with neither `got` nor `fault`".to_owned()),
                },
            },
            Written { came: Some(came), .. } => What::In(hex("in", &came)?),
            Written { went: Some(went), .. } => What::Out(hex("out", &went)?),
            Written {
                namespaces: Some(uris), ..
            } => What::Namespaces(uris),
            Written {
                data_type: Some(described),
                ..
            } => What::Type(Box::new(described)),
            Written { told: Some(values), .. } => What::Told(values),
            Written { read: Some(values), .. } => What::Read(values),
            Written { wrote: Some(wrote), .. } => What::Wrote(Box::new(wrote)),
            Written { event: Some(event), .. } => What::Event(Box::new(event)),
            Written {
                link: Some(sentence), ..
            } => What::Link(sentence),
            Written {
                missed: Some(missed), ..
            } => What::Missed(missed),
            _ => {
                return Err(
                    "it tells neither `sent`, `in`, `out`, `told`, `read`, `event`, `link` nor `missed`".to_owned(),
                );
            }
        };
        Ok(Self {
            ms: line.ms,
            wall,
            what,
            same,
        })
    }

    /// About as many bytes as its text has.
    #[must_use]
    pub fn weight(&self) -> usize {
        const FRAME: usize = 64;
        FRAME
            + match &self.what {
                What::Exchange { sent, got, .. } => {
                    32 + 2 * sent.len() + got.as_ref().map_or_else(String::len, |got| 2 * got.len())
                }
                What::In(bytes) | What::Out(bytes) => 2 * bytes.len(),
                What::Namespaces(uris) => uris.iter().map(|uri| uri.len() + 3).sum(),
                What::Type(described) => {
                    let fields = described.fields.iter();
                    96 + described.name.len()
                        + fields
                            .map(|field| 60 + field.name.len() + field.data_type.len())
                            .sum::<usize>()
                }
                What::Told(values) | What::Read(values) => values
                    .iter()
                    .map(|said| 60 + said.node.len() + 2 * said.got.len())
                    .sum(),
                What::Wrote(wrote) => 64 + wrote.node.len() + 2 * wrote.put.len(),
                What::Event(event) => {
                    let fields = event.fields.iter();
                    64 + event.slot.len()
                        + event.kind.len()
                        + fields
                            .map(|field| {
                                24 + field.path.iter().map(|name| name.len() + 3).sum::<usize>() + 2 * field.got.len()
                            })
                            .sum::<usize>()
                }
                What::Link(sentence) => sentence.len(),
                What::Missed(_) => 8,
            }
    }
}

impl Record {
    /// Reads a file. A last line that breaks off (a power cut) is left out and noted.
    ///
    /// # Errors
    /// It is no record, of a later version, or a line within it cannot be read.
    pub fn read(text: &str) -> Result<Self, RecordFault> {
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().unwrap_or((0, ""));
        let seen: serde_json::Value =
            serde_json::from_str(first).map_err(|fault| RecordFault::Header(fault.to_string()))?;
        match seen.get("lineside_record").and_then(serde_json::Value::as_u64) {
            None => {
                return Err(RecordFault::Header(
                    "it does not begin with `lineside_record`".to_owned(),
                ));
            }
            Some(version) if version > u64::from(VERSION) => {
                return Err(RecordFault::Newer(u32::try_from(version).unwrap_or(u32::MAX)));
            }
            Some(_) => {}
        }
        let header: Header = serde_json::from_value(seen).map_err(|fault| RecordFault::Header(fault.to_string()))?;
        let mut record = Self {
            header,
            lines: Vec::new(),
            notes: Vec::new(),
        };
        let last = text.lines().count();
        for (number, line) in lines {
            if line.trim().is_empty() {
                continue;
            }
            match Line::decode(line) {
                Ok(line) => record.lines.push(line),
                Err(_) if number + 1 == last && !text.ends_with('\n') => {
                    record
                        .notes
                        .push(format!("the record breaks off in line {last}: that line is left out"));
                }
                Err(reason) => {
                    return Err(RecordFault::Line {
                        line: number + 1,
                        reason,
                    });
                }
            }
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            lineside_record: VERSION,
            protocol: "modbus-tcp".to_owned(),
            profile: "example/t-100".to_owned(),
            digest: "sha256:00".to_owned(),
            vendor: "Example".to_owned(),
            model: "T-100".to_owned(),
            slot: None,
            address: "192.0.2.17:502".to_owned(),
            through: Through::Link,
            started: "2026-11-22T10:15:03.171Z".to_owned(),
        }
    }

    fn line(ms: u64, what: What) -> Line {
        Line {
            ms,
            wall: 1_795_342_503_171 + i64::try_from(ms).unwrap(),
            what,
            same: 0,
        }
    }

    #[test]
    fn what_is_written_is_documented_and_read_again() {
        let exchange = line(
            12,
            What::Exchange {
                server: 1,
                sent: vec![4, 0, 100, 0, 2],
                got: Ok(vec![4, 4, 0, 7, 0x70, 0xA4]),
            },
        );
        assert_eq!(
            exchange.encode(),
            r#"{"ms":12,"at":"2026-11-22T10:15:03.183Z","server":1,"sent":"0400640002","got":"0404000770a4"}"#
        );
        let text = format!("{}\n{}\n", header().encode(), exchange.encode());
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/record-format.md")).unwrap();
        for line in text.lines() {
            assert!(document.contains(line), "docs/record-format.md does not show {line}");
        }
        let read = Record::read(&text).unwrap();
        assert_eq!(
            (read.header, read.lines, read.notes.len()),
            (header(), vec![exchange], 0)
        );
    }

    #[test]
    fn every_line_of_the_document_is_read_and_written_as_it_stands_there() {
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/record-format.md")).unwrap();
        let lines: Vec<&str> = document.lines().filter(|line| line.starts_with("{\"ms\"")).collect();
        assert!(lines.len() >= 8, "{lines:?}");
        for line in lines {
            assert_eq!(Line::decode(line).unwrap().encode(), line);
        }
    }

    #[test]
    fn a_data_value_is_taken_apart_by_its_mask() {
        let bytes = bytes("0f1607000000803e0000003ea8347b387bdd01c8b83f7b387bdd01").unwrap();
        let whole = super::opcua::DataValue::of(&bytes).unwrap();
        assert_eq!(whole.value, Some(&bytes[1..7]));
        assert!(whole.status != 0 && whole.source < whole.server);
        assert_eq!(super::opcua::DataValue::of(&[0]).map(|value| value.value), Some(None));
        // A mask that promises what is not there, and bytes that no mask promises.
        for broken in [&[1_u8][..], &[2, 0], &[0, 1], &[]] {
            assert_eq!(super::opcua::DataValue::of(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_record_that_a_power_cut_broke_off_is_read_up_to_there() {
        let whole = line(1, What::Missed(3)).encode();
        let text = format!("{}\n{whole}\n{}", header().encode(), &whole[..20]);
        let read = Record::read(&text).unwrap();
        assert_eq!(read.lines.len(), 1);
        assert_eq!(read.notes, ["the record breaks off in line 3: that line is left out"]);
        // In the middle it is damage, and said with its line.
        let text = format!("{}\n{}\n{whole}\n", header().encode(), &whole[..20]);
        assert!(matches!(Record::read(&text), Err(RecordFault::Line { line: 2, .. })));
    }

    #[test]
    fn what_is_no_record_is_refused_in_a_sentence() {
        for (text, says) in [
            ("", "line 1: this is no record"),
            ("profile = 1", "line 1: this is no record"),
            ("{}", "it does not begin with `lineside_record`"),
            ("{\"lineside_record\": 2}", "take a newer lineside"),
            ("{\"lineside_record\": 1}", "missing field"),
        ] {
            let fault = Record::read(text).unwrap_err().to_string();
            assert!(fault.contains(says), "{fault}");
        }
        for (line, says) in [
            ("{\"ms\":1,\"at\":\"noon\",\"missed\":1}", "which is no time"),
            ("{\"ms\":1,\"at\":\"2026-11-22T10:15:03Z\"}", "tells neither"),
            (
                "{\"ms\":1,\"at\":\"2026-11-22T10:15:03Z\",\"sent\":\"04\"}",
                "without `server`",
            ),
            (
                "{\"ms\":1,\"at\":\"2026-11-22T10:15:03Z\",\"server\":1,\"sent\":\"0g\",\"got\":\"\"}",
                "no hex",
            ),
            (
                "{\"ms\":1,\"at\":\"2026-11-22T10:15:03Z\",\"server\":1,\"sent\":\"04\"}",
                "neither `got` nor `fault`",
            ),
        ] {
            let fault = Line::decode(line).unwrap_err();
            assert!(fault.contains(says), "{fault}");
        }
    }

    #[test]
    fn an_address_loses_its_secrets() {
        for (address, shown) in [
            ("192.0.2.17:502", "192.0.2.17:502"),
            ("/dev/serial/by-id/usb-FTDI_A1B2", "/dev/serial/by-id/usb-FTDI_A1B2"),
            ("opc.tcp://me:secret@host:4840/path", "opc.tcp://host:4840/path"),
            ("me:secret@host", "host"),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }

    fn what() -> impl Strategy<Value = What> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
        prop_oneof![
            (any::<u8>(), bytes(), bytes()).prop_map(|(server, sent, got)| What::Exchange {
                server,
                sent,
                got: Ok(got)
            }),
            (any::<u8>(), bytes(), ".*").prop_map(|(server, sent, fault)| What::Exchange {
                server,
                sent,
                got: Err(fault)
            }),
            bytes().prop_map(What::In),
            bytes().prop_map(What::Out),
            ".*".prop_map(What::Link),
            (".*", bytes(), proptest::option::of(".*")).prop_map(|(node, got, status)| What::Told(vec![NodeSaid {
                node,
                got,
                status
            }])),
            (".*", bytes()).prop_map(|(node, put)| What::Wrote(Box::new(Wrote {
                node,
                put,
                status: "Good".to_owned()
            }))),
            (".*", proptest::collection::vec((".*", bytes()), 0..4), any::<bool>()).prop_map(
                |(kind, fields, again)| {
                    let field = |(name, got): (String, Vec<u8>)| super::opcua::EventField { path: vec![name], got };
                    let fields = fields.into_iter().map(field).collect();
                    What::Event(Box::new(EventSaid {
                        slot: "st10.tool".to_owned(),
                        kind,
                        fields,
                        again,
                    }))
                }
            ),
            proptest::collection::vec(".*", 0..4).prop_map(What::Namespaces),
            any::<u64>().prop_map(What::Missed),
        ]
    }

    proptest! {
        #[test]
        fn every_line_is_read_as_it_was_written(ms in 0..4_000_000_000_u64, what in what(), same in 0..3_u64) {
            let line = Line { same, ..line(ms, what) };
            prop_assert_eq!(Line::decode(&line.encode()), Ok(line));
        }

        #[test]
        fn any_text_is_a_record_or_a_fault(text in ".*") {
            drop(Record::read(&text));
            drop(Record::read(&format!("{}\n{text}", header().encode())));
        }
    }
}
