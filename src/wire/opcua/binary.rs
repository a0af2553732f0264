//! The binary encoding of values (OPC 10000-6, 5.2): any type that [`Types`] knows, from bytes to a tree and back.
//!
//! Owns no description of a type and no message. Decoding is total: any bytes give a tree or a [`Fault`], within limits of depth,
//! count and memory. What the specification leaves open:
//! - Bytes behind a value are a fault, also in an extension object: they mean that the description is not that of the server.
//! - An extension object without a body is null; one with a body of XML is a fault.
//! - Text that is no UTF-8 keeps what is, U+FFFD stands for the rest.
//! - Of a `DataValue` only the value is kept, of `DiagnosticInfo` nothing, of an array of several dimensions not the dimensions.

mod decode;
mod encode;
mod scalar;
mod text;

use super::types::Types;
use super::{NodeKey, Tree};

/// How deep structures, variants and extension objects may stand in each other: what decoders shall support at least
/// (OPC 10000-6, 5.1.3).
pub const DEEPEST: u8 = 100;

/// How many values one value may consist of, structures and nulls counted: some 64 MB of them at most.
pub const MOST: usize = 1_000_000;

/// Why bytes are no value, or a tree no bytes. All but the first name the way to where it is: `Result/ResultContent[0]/Trace`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An encoding or a data type that is not described: describe it and try again.
    #[error("the server's type {0} is not known")]
    Unknown(NodeKey),
    /// The bytes end in the middle of a value, or there are fewer than an array counts elements.
    #[error("{0}the value ends too early")]
    Short(Way),
    /// Deeper than [`DEEPEST`] or more than [`MOST`].
    #[error("{0}the value is too large: more than {MOST} values, or more than {DEEPEST} in each other")]
    Limit(Way),
    /// Bytes that say nothing, or a tree that is no such type: what is wrong.
    #[error("{0}{1}")]
    Invalid(Way, String),
}

/// The way to a field, empty for the value itself; shown with a colon behind it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Way(String);

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "{}: ", self.0)
    }
}

impl Way {
    /// Without the colon.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Fault {
    fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid(Way::default(), what.into())
    }

    fn short() -> Self {
        Self::Short(Way::default())
    }

    fn limit() -> Self {
        Self::Limit(Way::default())
    }

    /// The same fault, its way beginning with this step.
    fn within(mut self, step: &str) -> Self {
        if let Self::Short(way) | Self::Limit(way) | Self::Invalid(way, _) = &mut self {
            let slash = if way.0.is_empty() || way.0.starts_with('[') {
                ""
            } else {
                "/"
            };
            way.0 = format!("{step}{slash}{}", way.0);
        }
        self
    }
}

/// The tree of a `Variant`, which is all of `bytes`.
///
/// # Errors
/// See [`Fault`].
pub fn decode_variant(types: &Types, bytes: &[u8]) -> Result<Tree, Fault> {
    decode::Decoder::new(types, bytes).whole(decode::Decoder::variant)
}

/// The tree of an extension object's body, which is all of `body`. A structure whose `encoding` was given up is null.
///
/// # Errors
/// See [`Fault`].
pub fn decode_structure(types: &Types, encoding: &NodeKey, body: &[u8]) -> Result<Tree, Fault> {
    decode::Decoder::new(types, body).whole(|decoder| decoder.body(encoding))
}

/// The body of an extension object of this data type. Fields that the tree does not have are left out where they are optional, and
/// null, zero or empty otherwise; a field that the type does not have is a fault. Numbers become other types only exactly; text becomes
/// a number, a time, a GUID or a node id where it says one.
///
/// # Errors
/// See [`Fault`].
pub fn encode_structure(types: &Types, data_type: &NodeKey, tree: &Tree) -> Result<Vec<u8>, Fault> {
    let structure = types
        .structure(data_type)
        .ok_or_else(|| Fault::Unknown(data_type.clone()))?;
    let mut encoder = encode::Encoder::new(types);
    encoder.structure(structure, tree)?;
    Ok(encoder.into_bytes())
}

/// A `Variant` that holds a value of this data type; of an array where `value_rank` is 0 or more, or less than -1 and the tree is a list.
/// Null is the null variant. An abstract data type takes the type of the tree: of a structure by its name, of a number the widest of its kind.
///
/// # Errors
/// See [`Fault`].
pub fn encode_variant(types: &Types, as_type: &NodeKey, value_rank: i32, tree: &Tree) -> Result<Vec<u8>, Fault> {
    let wire = types.wire(as_type).ok_or_else(|| Fault::Unknown(as_type.clone()))?;
    let array = value_rank >= 0 || value_rank < -1 && matches!(tree, Tree::List(_));
    let mut encoder = encode::Encoder::new(types);
    encoder.variant(wire, array, tree)?;
    Ok(encoder.into_bytes())
}

#[cfg(test)]
mod tests;
