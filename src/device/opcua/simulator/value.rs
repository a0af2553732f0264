//! Which type a variable has, and what is taken as a value of it.
//!
//! Owns no encoding ([`crate::wire::opcua`]).

use super::types::ANY;
use crate::model::Raw;
use crate::model::plan::{Identifier, NodeRef, OpcuaType};
use crate::wire::opcua::{Builtin, Tree};
use opcua::types::{ByteString, Guid, NodeId, UAString, Variant};

/// Which type the value of a variable has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Kind {
    /// Whatever is set (`BaseDataType`).
    #[default]
    Any,
    /// A built-in scalar, or an array of it.
    Scalar(OpcuaType),
    /// `DateTime`; raw values are RFC 3339 text.
    Time,
    /// A structure of this data type.
    Structure(NodeRef),
}

impl Kind {
    /// The type that a value suggests.
    #[must_use]
    pub fn of(raw: &Raw) -> Self {
        match raw {
            Raw::Bool(_) => Self::Scalar(OpcuaType::Bool),
            Raw::Int(value) if i32::try_from(*value).is_ok() => Self::Scalar(OpcuaType::I32),
            Raw::Int(_) => Self::Scalar(OpcuaType::I64),
            Raw::Big(_) => Self::Scalar(OpcuaType::U64),
            Raw::F32(_) => Self::Scalar(OpcuaType::F32),
            Raw::F64(_) | Raw::Dec(_) => Self::Scalar(OpcuaType::F64),
            Raw::Text(_) => Self::Scalar(OpcuaType::Text),
            Raw::List(items) => items.first().map_or(Self::Any, Self::of),
        }
    }

    /// The kind of a data type.
    #[must_use]
    pub fn of_type(data_type: &NodeRef) -> Self {
        let all = OpcuaType::ALL
            .map(Self::Scalar)
            .into_iter()
            .chain([Self::Any, Self::Time]);
        let found = all.into_iter().find(|kind| kind.data_type() == *data_type);
        found.unwrap_or_else(|| Self::Structure(data_type.clone()))
    }

    /// Its data type.
    #[must_use]
    pub fn data_type(&self) -> NodeRef {
        let id = match self {
            Self::Any => return ANY,
            Self::Structure(node) => return node.clone(),
            Self::Time => Builtin::DateTime,
            Self::Scalar(kind) => match kind {
                OpcuaType::Bool => Builtin::Boolean,
                OpcuaType::I8 => Builtin::SByte,
                OpcuaType::U8 => Builtin::Byte,
                OpcuaType::I16 => Builtin::Int16,
                OpcuaType::U16 => Builtin::UInt16,
                OpcuaType::I32 => Builtin::Int32,
                OpcuaType::U32 => Builtin::UInt32,
                OpcuaType::I64 => Builtin::Int64,
                OpcuaType::U64 => Builtin::UInt64,
                OpcuaType::F32 => Builtin::Float,
                OpcuaType::F64 => Builtin::Double,
                OpcuaType::Text => Builtin::String,
            },
        };
        NodeRef::core(id.number().into())
    }

    /// A raw value as a variable of this kind says it.
    ///
    /// # Errors
    /// A sentence: the type cannot hold it.
    pub fn hold(&self, raw: &Raw) -> Result<Raw, String> {
        if let Raw::List(items) = raw {
            let items = items.iter().map(|item| self.hold(item)).collect::<Result<_, _>>()?;
            return Ok(Raw::List(items));
        }
        self.held(raw)
            .ok_or_else(|| format!("its type cannot hold `{}`", raw.text()))
    }

    fn held(&self, raw: &Raw) -> Option<Raw> {
        let number = || raw.number();
        let within = |low: i128, high: i128| {
            let value = number()?.to_i128().filter(|value| (low..=high).contains(value))?;
            i64::try_from(value).map_or_else(
                |_| u64::try_from(value).ok().map(Raw::Big),
                |value| Some(Raw::Int(value)),
            )
        };
        match self {
            Self::Any => Some(match raw {
                Raw::Dec(value) => match value.to_i128().filter(|_| value.is_integer()) {
                    Some(value) => Raw::Int(i64::try_from(value).ok()?),
                    None => Raw::F64(value.to_f64().to_bits()),
                },
                other => other.clone(),
            }),
            Self::Structure(_) => None,
            Self::Time => Some(Raw::Text(raw.text())),
            Self::Scalar(kind) => match kind {
                OpcuaType::Bool => Some(Raw::Bool(match raw {
                    Raw::Text(text) => matches!(text.as_str(), "true" | "on" | "1"),
                    other => other.truth(),
                })),
                OpcuaType::I8 => within(i8::MIN.into(), i8::MAX.into()),
                OpcuaType::U8 => within(0, u8::MAX.into()),
                OpcuaType::I16 => within(i16::MIN.into(), i16::MAX.into()),
                OpcuaType::U16 => within(0, u16::MAX.into()),
                OpcuaType::I32 => within(i32::MIN.into(), i32::MAX.into()),
                OpcuaType::U32 => within(0, u32::MAX.into()),
                OpcuaType::I64 => within(i64::MIN.into(), i64::MAX.into()),
                OpcuaType::U64 => within(0, u64::MAX.into()),
                OpcuaType::F32 => Some(Raw::F32(match raw {
                    Raw::F32(bits) => *bits,
                    Raw::F64(bits) => narrow(f64::from_bits(*bits)).to_bits(),
                    _ => number()?.to_string().parse::<f32>().ok()?.to_bits(),
                })),
                OpcuaType::F64 => Some(Raw::F64(match raw {
                    Raw::F64(bits) => *bits,
                    _ => number()?.to_f64().to_bits(),
                })),
                OpcuaType::Text => Some(Raw::Text(raw.text())),
            },
        }
    }

    /// Whether a variant that a client writes is of this type.
    pub(super) fn takes(&self, variant: &Variant) -> bool {
        let kind = match variant {
            Variant::Array(array) => match array.values.first() {
                Some(first) => first,
                None => return true,
            },
            scalar => scalar,
        };
        match self {
            Self::Any => true,
            Self::Time => matches!(kind, Variant::DateTime(_)),
            Self::Structure(_) => matches!(kind, Variant::ExtensionObject(_)),
            Self::Scalar(wanted) => matches!(
                (wanted, kind),
                (OpcuaType::Bool, Variant::Boolean(_))
                    | (OpcuaType::I8, Variant::SByte(_))
                    | (OpcuaType::U8, Variant::Byte(_))
                    | (OpcuaType::I16, Variant::Int16(_))
                    | (OpcuaType::U16, Variant::UInt16(_))
                    | (OpcuaType::I32, Variant::Int32(_))
                    | (OpcuaType::U32, Variant::UInt32(_))
                    | (OpcuaType::I64, Variant::Int64(_))
                    | (OpcuaType::U64, Variant::UInt64(_))
                    | (OpcuaType::F32, Variant::Float(_))
                    | (OpcuaType::F64, Variant::Double(_))
                    | (OpcuaType::Text, Variant::String(_))
            ),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a single holds what it can of a double")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// What reads as nothing in this type: 0, false, an empty text.
pub(super) fn zero(kind: &Kind) -> Raw {
    match kind {
        Kind::Scalar(OpcuaType::Bool) => Raw::Bool(false),
        Kind::Scalar(OpcuaType::Text) | Kind::Time => Raw::Text(String::new()),
        Kind::Scalar(OpcuaType::F32) => Raw::F32(0),
        Kind::Scalar(OpcuaType::F64) => Raw::F64(0),
        Kind::Any | Kind::Scalar(_) | Kind::Structure(_) => Raw::Int(0),
    }
}

/// The raw value in a tree: a scalar, or an array of scalars.
pub(super) fn plain(tree: &Tree) -> Option<Raw> {
    match tree {
        Tree::Value(raw) => Some(raw.clone()),
        Tree::List(items) => items.iter().map(plain).collect::<Option<Vec<_>>>().map(Raw::List),
        Tree::Null | Tree::Struct(_) => None,
    }
}

/// A raw value as a tree.
pub(super) fn tree(raw: &Raw) -> Tree {
    match raw {
        Raw::List(items) => Tree::List(items.iter().map(tree).collect()),
        raw => Tree::Value(raw.clone()),
    }
}

/// The identifier of a node as the crate has it.
pub(super) fn node_id(namespace: u16, id: &Identifier) -> NodeId {
    match id {
        Identifier::Number(number) => NodeId::new(namespace, *number),
        Identifier::Text(text) => NodeId::new(namespace, UAString::from(&**text)),
        Identifier::Guid(bytes) => NodeId::new(namespace, Guid::from_bytes(*bytes)),
        Identifier::Bytes(bytes) => NodeId::new(namespace, ByteString::from(bytes.to_vec())),
    }
}
