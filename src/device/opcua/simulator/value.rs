//! Raw values and the crate's variants: which type a variable has, and what a value is in it.
//!
//! Owns scalars and arrays of them. Structures are bytes that [`crate::wire::opcua`] makes.

use crate::model::plan::{Identifier, NodeRef, OpcuaType};
use crate::model::{Decimal, Raw};
use crate::wire::opcua::Tree;
use opcua::types::{Array, DataTypeId, DateTime, Guid, NodeId, UAString, Variant, VariantScalarTypeId};

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

    /// Its data type; of a structure none, since that depends on namespaces.
    pub(super) fn data_type(&self) -> Option<NodeId> {
        let id = match self {
            Self::Any => DataTypeId::BaseDataType,
            Self::Time => DataTypeId::DateTime,
            Self::Scalar(kind) => match kind {
                OpcuaType::Bool => DataTypeId::Boolean,
                OpcuaType::I8 => DataTypeId::SByte,
                OpcuaType::U8 => DataTypeId::Byte,
                OpcuaType::I16 => DataTypeId::Int16,
                OpcuaType::U16 => DataTypeId::UInt16,
                OpcuaType::I32 => DataTypeId::Int32,
                OpcuaType::U32 => DataTypeId::UInt32,
                OpcuaType::I64 => DataTypeId::Int64,
                OpcuaType::U64 => DataTypeId::UInt64,
                OpcuaType::F32 => DataTypeId::Float,
                OpcuaType::F64 => DataTypeId::Double,
                OpcuaType::Text => DataTypeId::String,
            },
            Self::Structure(_) => return None,
        };
        Some(id.into())
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

/// A raw value as the type has it.
///
/// # Errors
/// A sentence: the type cannot hold it.
pub(super) fn variant(kind: &Kind, raw: &Raw) -> Result<Variant, String> {
    let kind = match kind {
        Kind::Any => &Kind::of(raw),
        kind => kind,
    };
    if let Raw::List(items) = raw {
        let of = scalar_type(kind).unwrap_or(VariantScalarTypeId::Int32);
        let values = items
            .iter()
            .map(|item| variant(kind, item))
            .collect::<Result<Vec<_>, _>>()?;
        return Array::new(of, values)
            .map(|array| Variant::Array(Box::new(array)))
            .map_err(|fault| fault.to_string());
    }
    scalar(kind, raw).ok_or_else(|| format!("`{}` does not fit into {kind:?}", raw.text()))
}

fn scalar_type(kind: &Kind) -> Option<VariantScalarTypeId> {
    Some(match kind {
        Kind::Time => VariantScalarTypeId::DateTime,
        Kind::Scalar(kind) => match kind {
            OpcuaType::Bool => VariantScalarTypeId::Boolean,
            OpcuaType::I8 => VariantScalarTypeId::SByte,
            OpcuaType::U8 => VariantScalarTypeId::Byte,
            OpcuaType::I16 => VariantScalarTypeId::Int16,
            OpcuaType::U16 => VariantScalarTypeId::UInt16,
            OpcuaType::I32 => VariantScalarTypeId::Int32,
            OpcuaType::U32 => VariantScalarTypeId::UInt32,
            OpcuaType::I64 => VariantScalarTypeId::Int64,
            OpcuaType::U64 => VariantScalarTypeId::UInt64,
            OpcuaType::F32 => VariantScalarTypeId::Float,
            OpcuaType::F64 => VariantScalarTypeId::Double,
            OpcuaType::Text => VariantScalarTypeId::String,
        },
        Kind::Any | Kind::Structure(_) => return None,
    })
}

fn scalar(kind: &Kind, raw: &Raw) -> Option<Variant> {
    let whole = || raw.number().and_then(Decimal::to_i128);
    Some(match kind {
        Kind::Any | Kind::Structure(_) => return None,
        Kind::Time => match raw.text().as_str() {
            "" => Variant::DateTime(Box::new(DateTime::null())),
            text => Variant::DateTime(Box::new(DateTime::parse_from_rfc3339(text).ok()?)),
        },
        Kind::Scalar(kind) => match kind {
            OpcuaType::Bool => Variant::Boolean(match raw {
                Raw::Text(text) => matches!(text.as_str(), "true" | "1" | "on"),
                raw => raw.truth(),
            }),
            OpcuaType::I8 => Variant::SByte(whole()?.try_into().ok()?),
            OpcuaType::U8 => Variant::Byte(whole()?.try_into().ok()?),
            OpcuaType::I16 => Variant::Int16(whole()?.try_into().ok()?),
            OpcuaType::U16 => Variant::UInt16(whole()?.try_into().ok()?),
            OpcuaType::I32 => Variant::Int32(whole()?.try_into().ok()?),
            OpcuaType::U32 => Variant::UInt32(whole()?.try_into().ok()?),
            OpcuaType::I64 => Variant::Int64(whole()?.try_into().ok()?),
            OpcuaType::U64 => Variant::UInt64(whole()?.try_into().ok()?),
            OpcuaType::F32 => Variant::Float(match raw {
                Raw::F32(bits) => f32::from_bits(*bits),
                Raw::F64(bits) => narrow(f64::from_bits(*bits)),
                raw => raw.number()?.to_string().parse().ok()?,
            }),
            OpcuaType::F64 => Variant::Double(match raw {
                Raw::F64(bits) => f64::from_bits(*bits),
                Raw::F32(bits) => f64::from(f32::from_bits(*bits)),
                raw => raw.number()?.to_f64(),
            }),
            OpcuaType::Text => Variant::String(raw.text().into()),
        },
    })
}

#[expect(clippy::cast_possible_truncation, reason = "a single holds what it can of a double")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// What a variant says; `None`: null.
pub(super) fn raw(variant: &Variant) -> Option<Raw> {
    let text = |text: &UAString| Raw::Text(text.as_ref().to_owned());
    Some(match variant {
        Variant::Boolean(value) => Raw::Bool(*value),
        Variant::SByte(value) => Raw::Int((*value).into()),
        Variant::Byte(value) => Raw::Int((*value).into()),
        Variant::Int16(value) => Raw::Int((*value).into()),
        Variant::UInt16(value) => Raw::Int((*value).into()),
        Variant::Int32(value) => Raw::Int((*value).into()),
        Variant::UInt32(value) => Raw::Int((*value).into()),
        Variant::Int64(value) => Raw::Int(*value),
        Variant::UInt64(value) => i64::try_from(*value).map_or(Raw::Big(*value), Raw::Int),
        Variant::Float(value) => Raw::F32(value.to_bits()),
        Variant::Double(value) => Raw::F64(value.to_bits()),
        Variant::String(value) => text(value),
        Variant::LocalizedText(value) => text(&value.text),
        Variant::DateTime(value) => Raw::Text(value.to_rfc3339()),
        Variant::Guid(value) => Raw::Text(value.to_string()),
        Variant::NodeId(value) => Raw::Text(value.to_string()),
        Variant::StatusCode(value) => Raw::Int(value.bits().into()),
        Variant::ByteString(value) => Raw::Text(crate::model::value::hex(value.as_ref())),
        Variant::Array(array) => Raw::List(array.values.iter().filter_map(raw).collect()),
        _ => return None,
    })
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
        Identifier::Bytes(bytes) => NodeId::new(namespace, opcua::types::ByteString::from(bytes.to_vec())),
    }
}
