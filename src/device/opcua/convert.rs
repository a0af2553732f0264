//! Between the library's values and ours: node ids, variants, times, status codes.
//!
//! Owns nothing that lasts. What a variant holds is encoded again and decoded by [`crate::wire::opcua`], which knows the
//! structures that only the server describes.

use crate::model::plan::{Identifier, Namespace, NodeRef, OpcuaType};
use crate::model::time;
use crate::model::{Decimal, Raw};
use crate::wire::opcua::NodeKey;
use opcua::types::{
    BinaryEncodable, ByteString, ContextOwned, DateTime, Guid, Identifier as Id, NodeId, StatusCode, UAString, Variant,
    VariantScalarTypeId,
};

/// The node id of this session.
///
/// # Errors
/// A sentence: the server does not have the namespace.
pub(super) fn node_id(node: &NodeRef, namespaces: &[String]) -> Result<NodeId, String> {
    let namespace = match &node.namespace {
        Namespace::Index(index) => *index,
        Namespace::Uri(uri) => namespaces
            .iter()
            .position(|known| known == &**uri)
            .and_then(|index| u16::try_from(index).ok())
            .ok_or_else(|| {
                let known: Vec<&str> = namespaces.iter().skip(1).map(String::as_str).collect();
                format!("the server has no namespace {uri}; it has {}", known.join(", "))
            })?,
    };
    Ok(plain(namespace, &node.id))
}

/// The library's node id.
pub(super) fn plain(namespace: u16, id: &Identifier) -> NodeId {
    match id {
        Identifier::Number(number) => NodeId::new(namespace, *number),
        Identifier::Text(text) => NodeId::new(namespace, UAString::from(&**text)),
        Identifier::Guid(bytes) => NodeId::new(namespace, Guid::from_bytes(mixed(*bytes))),
        Identifier::Bytes(bytes) => NodeId::new(namespace, ByteString::from(bytes.to_vec())),
    }
}

/// The order of a GUID's bytes on the wire, from that of its text; and back (OPC 10000-6, 5.1.3).
fn mixed(bytes: [u8; 16]) -> [u8; 16] {
    let mut mixed = bytes;
    for span in [0..4, 4..6, 6..8] {
        if let Some(part) = mixed.get_mut(span) {
            part.reverse();
        }
    }
    mixed
}

/// Our node id.
pub(super) fn key(node: &NodeId) -> NodeKey {
    NodeKey {
        namespace: node.namespace,
        id: match &node.identifier {
            Id::Numeric(number) => Identifier::Number(*number),
            Id::String(text) => Identifier::Text(text.as_ref().into()),
            Id::Guid(guid) => Identifier::Guid(mixed(guid.to_bytes())),
            Id::ByteString(bytes) => Identifier::Bytes(bytes.as_ref().into()),
        },
    }
}

/// The library's node id of ours.
pub(super) fn unkey(key: &NodeKey) -> NodeId {
    plain(key.namespace, &key.id)
}

/// The bytes of a variant, as on the wire.
pub(super) fn bytes(value: &Variant, context: &ContextOwned) -> Vec<u8> {
    value.encode_to_vec(&context.context())
}

/// The name of a status: `BadSensorFailure`.
pub(super) fn status(status: StatusCode) -> String {
    status.sub_code().to_string()
}

/// A time as RFC 3339 text; `None`: null, or not credible.
pub(super) fn moment(stamp: Option<DateTime>) -> Option<Raw> {
    let stamp = stamp.filter(|stamp| !stamp.is_null())?;
    let wall = stamp.as_chrono().timestamp_millis();
    Some(Raw::Text(time::rfc3339(wall)))
}

/// A raw value as the server's type.
///
/// # Errors
/// A sentence: it does not fit.
pub(super) fn variant(raw: &Raw, kind: VariantScalarTypeId) -> Result<Variant, String> {
    let number = || raw.number().ok_or_else(|| format!("`{}` is no number", raw.text()));
    let whole = |low: i128, high: i128| -> Result<i128, String> {
        let value = number()?;
        let whole = value.to_i128().filter(|_| value.is_integer());
        let whole = whole.ok_or_else(|| format!("{value} is not whole, and the server wants a whole number"))?;
        // Into a narrower one go the low bits (interface 3, `ack`).
        Ok(if (low..=high).contains(&whole) {
            whole
        } else {
            let span = high - low + 1;
            (whole - low).rem_euclid(span) + low
        })
    };
    macro_rules! integer {
        ($variant:ident, $type:ty) => {{
            let value = whole(<$type>::MIN.into(), <$type>::MAX.into())?;
            Variant::$variant(<$type>::try_from(value).map_err(|fault| fault.to_string())?)
        }};
    }
    let float =
        || number().and_then(|value: Decimal| value.to_string().parse::<f64>().map_err(|fault| fault.to_string()));
    Ok(match kind {
        VariantScalarTypeId::Boolean => Variant::Boolean(raw.truth()),
        VariantScalarTypeId::SByte => integer!(SByte, i8),
        VariantScalarTypeId::Byte => integer!(Byte, u8),
        VariantScalarTypeId::Int16 => integer!(Int16, i16),
        VariantScalarTypeId::UInt16 => integer!(UInt16, u16),
        VariantScalarTypeId::Int32 => integer!(Int32, i32),
        VariantScalarTypeId::UInt32 => integer!(UInt32, u32),
        VariantScalarTypeId::Int64 => integer!(Int64, i64),
        VariantScalarTypeId::UInt64 => integer!(UInt64, u64),
        #[expect(clippy::cast_possible_truncation, reason = "the server's type is a single")]
        VariantScalarTypeId::Float => Variant::Float(float()? as f32),
        VariantScalarTypeId::Double => Variant::Double(float()?),
        VariantScalarTypeId::String => Variant::String(UAString::from(raw.text())),
        other => return Err(format!("the server wants {other:?}, which cannot be written")),
    })
}

/// The built-in type that a profile names.
pub(super) fn scalar(kind: OpcuaType) -> VariantScalarTypeId {
    match kind {
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
    }
}
