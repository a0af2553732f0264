//! The data types of one session: which are built-in ones by another name, and how structures are laid out (OPC 10000-3, 8.48
//! and 8.49). Owns namespace 0 as far as values use it; everything else is told by the server, through its driver.

mod core;

use super::NodeKey;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Built-in types, by their numbers (OPC 10000-6, 5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Builtin {
    /// One byte, 0 is false.
    Boolean = 1,
    /// 8 bits, signed.
    SByte = 2,
    /// 8 bits.
    Byte = 3,
    /// 16 bits, signed.
    Int16 = 4,
    /// 16 bits.
    UInt16 = 5,
    /// 32 bits, signed; also every enumeration.
    Int32 = 6,
    /// 32 bits.
    UInt32 = 7,
    /// 64 bits, signed.
    Int64 = 8,
    /// 64 bits.
    UInt64 = 9,
    /// IEEE 754 single.
    Float = 10,
    /// IEEE 754 double.
    Double = 11,
    /// UTF-8, or null.
    String = 12,
    /// Steps of 100 ns since 1601, UTC.
    DateTime = 13,
    /// 16 bytes.
    Guid = 14,
    /// Bytes, or null.
    ByteString = 15,
    /// XML, as its bytes.
    XmlElement = 16,
    /// A node of this server.
    NodeId = 17,
    /// A node of any server.
    ExpandedNodeId = 18,
    /// 32 bits.
    StatusCode = 19,
    /// A name in a namespace.
    QualifiedName = 20,
    /// A text in a language.
    LocalizedText = 21,
    /// A structure that says of itself which it is; also every abstract structure.
    ExtensionObject = 22,
    /// A value with status and times.
    DataValue = 23,
    /// A value of any type; also every abstract type that is no structure.
    Variant = 24,
    /// What diagnostics say.
    DiagnosticInfo = 25,
}

impl Builtin {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::Boolean,
        Self::SByte,
        Self::Byte,
        Self::Int16,
        Self::UInt16,
        Self::Int32,
        Self::UInt32,
        Self::Int64,
        Self::UInt64,
        Self::Float,
        Self::Double,
        Self::String,
        Self::DateTime,
        Self::Guid,
        Self::ByteString,
        Self::XmlElement,
        Self::NodeId,
        Self::ExpandedNodeId,
        Self::StatusCode,
        Self::QualifiedName,
        Self::LocalizedText,
        Self::ExtensionObject,
        Self::DataValue,
        Self::Variant,
        Self::DiagnosticInfo,
    ];

    /// The one of this number, 1 to 25.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Its number, which is also that of its data type in namespace 0.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// How the fields of a structure are laid out: `StructureDefinition.structureType` (OPC 10000-3, 8.49).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StructureKind {
    /// 0: one behind the other.
    Plain,
    /// 1: behind a mask of the optional ones that are there.
    Optional,
    /// 2: a number, then the field that it counts to.
    Union,
    /// 3: one behind the other, some of any subtype.
    Subtyped,
    /// 4: a union, some fields of which are of any subtype.
    UnionSubtyped,
}

impl StructureKind {
    /// The one of this number, 0 to 4.
    #[must_use]
    pub const fn of(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Plain),
            1 => Some(Self::Optional),
            2 => Some(Self::Union),
            3 => Some(Self::Subtyped),
            4 => Some(Self::UnionSubtyped),
            _ => None,
        }
    }

    /// Its number, 0 to 4.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Plain => 0,
            Self::Optional => 1,
            Self::Union => 2,
            Self::Subtyped => 3,
            Self::UnionSubtyped => 4,
        }
    }

    pub(super) const fn is_union(self) -> bool {
        matches!(self, Self::Union | Self::UnionSubtyped)
    }

    pub(super) const fn is_subtyped(self) -> bool {
        matches!(self, Self::Subtyped | Self::UnionSubtyped)
    }
}

/// A structure, as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructureType {
    /// Its data type.
    pub data_type: NodeKey,
    /// The node of its encoding `Default Binary`, by which values say what they are. `None`: abstract, or never by itself.
    pub encoding: Option<NodeKey>,
    /// Its browse name, without the namespace.
    pub name: Arc<str>,
    /// How it is laid out.
    pub kind: StructureKind,
    /// Its fields in order, those of its base types first.
    pub fields: Vec<Field>,
}

/// A field of a structure (OPC 10000-3, 8.51).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub data_type: NodeKey,
    /// -1 a scalar, 1 an array, more an array of so many dimensions.
    pub value_rank: i32,
    /// `IsOptional`. In the kinds with subtypes it says that subtypes are allowed: the value is then an `ExtensionObject` where the type
    /// is a structure, a `Variant` otherwise.
    pub flag: bool,
}

/// The data types of one session, as far as they are known.
#[derive(Debug, Clone, Default)]
pub struct Types {
    simple: HashMap<NodeKey, Builtin>,
    structures: HashMap<NodeKey, Arc<StructureType>>,
    encodings: HashMap<NodeKey, NodeKey>,
    names: HashMap<Arc<str>, NodeKey>,
    opaque: HashSet<NodeKey>,
}

/// How a value of a data type lies in the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    /// As a built-in type.
    Builtin(Builtin),
    /// As the fields of a structure.
    Structure(&'a Arc<StructureType>),
    /// As a variant of this type or a subtype of it.
    AnyOf(Builtin),
    /// As an extension object of this structure or a subtype of it.
    SubtypeOf(&'a Arc<StructureType>),
}

impl Types {
    /// Namespace 0: built-in types, those that are built-in ones by another name, enumerations, and the structures that values use.
    #[must_use]
    pub fn core() -> Self {
        core::types()
    }

    /// Takes the description of a structure, in place of an older one. Of several with one name, the last is found by it.
    pub fn insert(&mut self, structure: StructureType) {
        let key = structure.data_type.clone();
        if let Some(old) = self.structures.get(&key).and_then(|old| old.encoding.clone()) {
            self.encodings.remove(&old);
        }
        if let Some(encoding) = &structure.encoding {
            self.opaque.remove(encoding);
            self.encodings.insert(encoding.clone(), key.clone());
        }
        self.opaque.remove(&key);
        self.names.insert(Arc::clone(&structure.name), key.clone());
        self.structures.insert(key, Arc::new(structure));
    }

    /// Says that a data type is a built-in one by another name: a subtype of a string or a number, an enumeration (`Int32`), an abstract
    /// structure (`ExtensionObject`), another abstract type (`Variant`).
    pub fn declare(&mut self, data_type: NodeKey, builtin: Builtin) {
        self.simple.insert(data_type, builtin);
    }

    /// Says that nobody can describe this encoding: extension objects of it are null from now on, and no fault.
    pub fn give_up(&mut self, encoding: NodeKey) {
        self.opaque.insert(encoding);
    }

    /// The structure that a data type is.
    #[must_use]
    pub fn structure(&self, data_type: &NodeKey) -> Option<&Arc<StructureType>> {
        self.structures.get(data_type)
    }

    /// The structure of an encoding; also by its data type, as some servers write it.
    #[must_use]
    pub fn encoded(&self, encoding: &NodeKey) -> Option<&Arc<StructureType>> {
        let data_type = self.encodings.get(encoding).unwrap_or(encoding);
        self.structures.get(data_type)
    }

    /// The structure of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<StructureType>> {
        self.structures.get(self.names.get(name)?)
    }

    /// The built-in type that a data type is.
    #[must_use]
    pub fn builtin(&self, data_type: &NodeKey) -> Option<Builtin> {
        self.simple.get(data_type).copied()
    }

    /// Whether a data type is a built-in one or a described structure.
    #[must_use]
    pub fn knows(&self, data_type: &NodeKey) -> bool {
        self.simple.contains_key(data_type) || self.structures.contains_key(data_type)
    }

    /// The data types that are not known, of this one and everything that its fields refer to, each once, in the order in which they are met.
    #[must_use]
    pub fn missing(&self, data_type: &NodeKey) -> Vec<NodeKey> {
        let mut met = HashSet::from([data_type]);
        let mut open = vec![data_type];
        let mut missing = Vec::new();
        while let Some(key) = open.pop() {
            match self.structures.get(key) {
                Some(structure) => {
                    let fields = structure.fields.iter().rev().map(|field| &field.data_type);
                    open.extend(fields.filter(|key| met.insert(key)));
                }
                None if self.simple.contains_key(key) => {}
                None => missing.push(key.clone()),
            }
        }
        missing
    }

    pub(super) fn is_opaque(&self, encoding: &NodeKey) -> bool {
        self.opaque.contains(encoding)
    }

    pub(super) fn wire(&self, data_type: &NodeKey) -> Option<Wire<'_>> {
        match self.simple.get(data_type) {
            Some(builtin) => Some(Wire::Builtin(*builtin)),
            None => self.structures.get(data_type).map(Wire::Structure),
        }
    }

    /// As [`Types::wire`], of a field, whose subtypes may be allowed.
    pub(super) fn wire_of(&self, kind: StructureKind, field: &Field) -> Option<Wire<'_>> {
        let wire = self.wire(&field.data_type)?;
        if !(kind.is_subtyped() && field.flag) {
            return Some(wire);
        }
        Some(match wire {
            Wire::Structure(structure) => Wire::SubtypeOf(structure),
            Wire::Builtin(builtin) if !matches!(builtin, Builtin::ExtensionObject | Builtin::Variant) => {
                Wire::AnyOf(builtin)
            }
            _ => wire,
        })
    }
}

#[cfg(test)]
mod tests;
