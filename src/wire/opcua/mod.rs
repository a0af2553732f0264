//! OPC UA values: trees of named fields, ways through them, the binary encoding of structures that only their server
//! describes, and the text of node ids and paths (OPC 10000-3, 5.8; 10000-6, 5.1 and 5.2).
//!
//! Owns no connection, no service and no message: `device/opcua` has those. All decoders are total.

pub mod binary;
mod event;
mod json;
pub mod node;
pub mod path;
mod scalar;
pub mod select;
pub mod types;

pub use binary::{Fault, decode_structure, decode_variant, encode_structure, encode_variant};
pub use event::event_tree;
pub use select::{elements, first, select};
pub use types::{Builtin, Field, StructureKind, StructureType, Types};

use crate::model::Raw;
use crate::model::plan::Identifier;
use std::fmt;
use std::sync::Arc;

/// A node id with the namespace index of one session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeKey {
    /// Index in the session's table of namespaces.
    pub namespace: u16,
    /// The rest.
    pub id: Identifier,
}

impl NodeKey {
    /// Of namespace 0.
    #[must_use]
    pub const fn core(id: u32) -> Self {
        Self {
            namespace: 0,
            id: Identifier::Number(id),
        }
    }

    /// A number in a namespace.
    #[must_use]
    pub const fn number(namespace: u16, id: u32) -> Self {
        Self {
            namespace,
            id: Identifier::Number(id),
        }
    }
}

impl fmt::Display for NodeKey {
    /// As OPC 10000-6, 5.3.1.10 writes it: `ns=2;i=3008`, and `i=884` of namespace 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace != 0 {
            write!(f, "ns={};", self.namespace)?;
        }
        write!(f, "{}", self.id)
    }
}

/// What a variable or a field of an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// Nothing.
    Null,
    /// A scalar. Times are RFC 3339 text, byte strings hex, GUIDs and node ids their text, status codes their number.
    Value(Raw),
    /// A structure; of a union, its one field. `LocalizedText` and `QualifiedName` are structures, too.
    Struct(Arc<Structure>),
    /// An array; of several dimensions, one behind the other.
    List(Vec<Tree>),
}

/// A structure, as its server describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    /// Its type's name: `ResultMetaDataType`.
    pub name: Arc<str>,
    /// Its fields in order, those of base types first; optional ones that are not there are left out.
    pub fields: Vec<(Arc<str>, Tree)>,
}

impl Tree {
    /// Whether there is nothing in it: null, an empty text, an empty array, a structure of such.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Value(Raw::Text(text)) => text.is_empty(),
            Self::Value(_) => false,
            Self::Struct(structure) => structure.fields.iter().all(|(_, tree)| tree.is_nothing()),
            Self::List(items) => items.is_empty(),
        }
    }

    /// The field of this name, of a structure.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(structure) => structure
                .fields
                .iter()
                .find(|(field, _)| &**field == name)
                .map(|(_, tree)| tree),
            _ => None,
        }
    }
}
