//! What OPC UA servers say, as it stands in a record: values and events in their binary encoding (OPC 10000-6, 5.2), and what is
//! needed to read them: the session's namespaces and the server's own descriptions of its data types.
//!
//! Owns these lines. Decodes nothing but the frame of a `DataValue`; the rest is [`crate::wire`]'s.

use super::bytes;
use crate::model::value::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What was said of one variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSaid {
    /// Its node id in this session: `ns=2;s=Tool.Torque`.
    pub node: String,
    /// The `DataValue` (OPC 10000-6, 5.2.2.17).
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub got: Vec<u8>,
    /// The name of its status, where that is not good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<String>,
}

/// What was written to a variable, and how the server took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrote {
    /// Its node id in this session.
    pub node: String,
    /// The `DataValue`.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub put: Vec<u8>,
    /// The name of the status that the server answered.
    pub status: String,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSaid {
    /// For which slot it was asked: slots of one link each ask for their own fields.
    #[serde(default)]
    pub slot: String,
    /// The type of events that was asked for, as a node id in this session. That of the event itself is its field `EventType`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The fields that were asked for, in that order.
    pub fields: Vec<EventField>,
    /// It was told again on request.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub again: bool,
}

/// A field of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventField {
    /// The browse names of its select clause, without namespaces: `["Result", "ResultMetaData"]`.
    pub path: Vec<String>,
    /// The `Variant` (OPC 10000-6, 5.2.2.16).
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub got: Vec<u8>,
}

/// A data type as the server describes it: once, before the first value that needs it. With neither `builtin` nor `kind` it
/// does not describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataType {
    /// Its node id in this session, or that of its encoding where only that is known.
    pub id: String,
    /// The node id of its encoding `Default Binary`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub encoding: Option<String>,
    /// Its browse name.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
    /// The number of the built-in type (OPC 10000-6, 5.1.2) that its values travel as.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub builtin: Option<u8>,
    /// Of a structure: `StructureDefinition.structureType` (OPC 10000-3, 8.49).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<i32>,
    /// Of a structure: its fields.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<DataField>,
}

/// A field of a structure (OPC 10000-3, 8.51).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataField {
    /// Its name.
    pub name: String,
    /// Its data type, as a node id in this session.
    #[serde(rename = "type")]
    pub data_type: String,
    /// `ValueRank`.
    pub rank: i32,
    /// `IsOptional`; in structures with subtyped values: subtypes are allowed.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub optional: bool,
}

/// The parts of a `DataValue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataValue<'a> {
    /// The `Variant`.
    pub value: Option<&'a [u8]>,
    /// The status code; 0 is good.
    pub status: u32,
    /// When its source says it became so, in steps of 100 ns since 1601.
    pub source: Option<i64>,
    /// The same of the server.
    pub server: Option<i64>,
}

impl<'a> DataValue<'a> {
    /// The parts of these bytes; `None`: they are none.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let (mask, rest) = bytes.split_first()?;
        let length = |bit: u8, length: usize| if mask & bit == 0 { 0 } else { length };
        // Value, status, source's time and its picoseconds, server's time and its picoseconds.
        let lengths = [length(2, 4), length(4, 8), length(16, 2), length(8, 8), length(32, 2)];
        let (value, mut tail) = rest.split_at_checked(rest.len().checked_sub(lengths.iter().sum())?)?;
        let mut parts = [None::<&[u8]>; 5];
        for (part, length) in parts.iter_mut().zip(lengths) {
            let (taken, left) = tail.split_at_checked(length)?;
            tail = left;
            *part = Some(taken).filter(|taken| !taken.is_empty());
        }
        let [status, source, _, server, _] = parts;
        if (mask & 1 == 0) != value.is_empty() {
            return None;
        }
        let ticks = |part: Option<&[u8]>| part?.try_into().ok().map(i64::from_le_bytes).filter(|ticks| *ticks > 0);
        Some(Self {
            value: Some(value).filter(|value| !value.is_empty()),
            status: status
                .and_then(|part| part.try_into().ok())
                .map_or(0, u32::from_le_bytes),
            source: ticks(source),
            server: ticks(server),
        })
    }

    /// Whether there is no value that could be trusted (OPC 10000-4, 7.38.1).
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.status >> 30 >= 2
    }
}

/// Whether two reads say the same, whenever that was.
#[must_use]
pub fn same(now: &[NodeSaid], then: &[NodeSaid]) -> bool {
    let core = |said: &NodeSaid| DataValue::of(&said.got).map(|value| (value.value.map(<[u8]>::to_vec), value.status));
    now.len() == then.len()
        && now
            .iter()
            .zip(then)
            .all(|(now, then)| now.node == then.node && core(now).is_some() && core(now) == core(then))
}

fn to_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(bytes))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    bytes(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is no hex")))
}
