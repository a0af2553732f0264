//! From trees to bytes.

use super::super::scalar::Known;
use super::super::types::{Builtin, Field, StructureKind, StructureType, Types, Wire};
use super::super::{Structure, Tree};
use super::decode::{DECIMAL, Shape};
use super::scalar::{double, parsed, single, string, truth, whole};
use super::{DEEPEST, Fault, text};
use crate::model::plan::Identifier;
use crate::model::{Decimal, Raw};
use std::sync::Arc;

pub(super) struct Encoder<'a> {
    types: &'a Types,
    out: Vec<u8>,
    depth: u8,
}

/// Which fields a `QualifiedName` and a `LocalizedText` have.
const NAME: [&str; 2] = ["NamespaceIndex", "Name"];
const TEXT: [&str; 2] = ["Locale", "Text"];

impl<'a> Encoder<'a> {
    pub(super) fn new(types: &'a Types) -> Self {
        Self {
            types,
            out: Vec::new(),
            depth: DEEPEST,
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.out.extend_from_slice(&bytes);
    }

    fn count(&mut self, count: usize) -> Result<(), Fault> {
        let count = i32::try_from(count).map_err(|_| Fault::limit())?;
        self.put(count.to_le_bytes());
        Ok(())
    }

    /// Bytes behind their count, -1 for none.
    fn counted(&mut self, bytes: Option<&[u8]>) -> Result<(), Fault> {
        match bytes {
            Some(bytes) => {
                self.count(bytes.len())?;
                self.out.extend_from_slice(bytes);
            }
            None => self.put((-1_i32).to_le_bytes()),
        }
        Ok(())
    }

    fn nested<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth = self.depth.checked_sub(1).ok_or_else(Fault::limit)?;
        let done = write(self);
        self.depth += 1;
        done
    }

    fn value(&mut self, wire: Wire<'a>, tree: &Tree) -> Result<(), Fault> {
        match wire {
            Wire::Builtin(builtin) => self.builtin(builtin, tree),
            Wire::AnyOf(_) => self.nested(|inner| inner.variant(wire, false, tree)),
            Wire::SubtypeOf(structure) => self.nested(|inner| inner.extension_object(tree, Some(structure))),
            Wire::Structure(structure) => self.nested(|inner| inner.structure(structure, tree)),
        }
    }

    fn builtin(&mut self, builtin: Builtin, tree: &Tree) -> Result<(), Fault> {
        match builtin {
            Builtin::Boolean => {
                let value = truth(tree)?;
                self.put([u8::from(value)]);
            }
            Builtin::SByte => self.put(whole::<i8>(tree)?.to_le_bytes()),
            Builtin::Byte => self.put(whole::<u8>(tree)?.to_le_bytes()),
            Builtin::Int16 => self.put(whole::<i16>(tree)?.to_le_bytes()),
            Builtin::UInt16 => self.put(whole::<u16>(tree)?.to_le_bytes()),
            Builtin::Int32 => self.put(whole::<i32>(tree)?.to_le_bytes()),
            Builtin::UInt32 | Builtin::StatusCode => self.put(whole::<u32>(tree)?.to_le_bytes()),
            Builtin::Int64 => self.put(whole::<i64>(tree)?.to_le_bytes()),
            Builtin::UInt64 => self.put(whole::<u64>(tree)?.to_le_bytes()),
            Builtin::Float => self.put(single(tree)?.to_le_bytes()),
            Builtin::Double => self.put(double(tree)?.to_le_bytes()),
            Builtin::String | Builtin::XmlElement => self.counted(string(tree)?.as_deref().map(str::as_bytes))?,
            Builtin::DateTime => {
                let steps = parsed(tree, "a time (RFC 3339, after 1601)", text::steps)?;
                self.put(steps.unwrap_or(0).to_le_bytes());
            }
            Builtin::Guid => {
                let bytes = parsed(tree, "a GUID", text::guid_bytes)?;
                self.put(text::guid_of_wire(bytes.unwrap_or_default()));
            }
            Builtin::ByteString => {
                let bytes = parsed(tree, "bytes in hexadecimal digits", text::unhex)?;
                self.counted(bytes.as_deref())?;
            }
            Builtin::NodeId | Builtin::ExpandedNodeId => {
                let node = parsed(tree, "a node id", text::Node::parse)?;
                if builtin == Builtin::NodeId
                    && node.as_ref().is_some_and(|node| node.uri.is_some() || node.server != 0)
                {
                    return Err(Fault::invalid("a node id with an index of its namespace is wanted"));
                }
                self.node(node.as_ref())?;
            }
            Builtin::QualifiedName => match tree {
                Tree::Struct(structure) => {
                    only(structure, &NAME)?;
                    self.put(whole::<u16>(member(structure, "NamespaceIndex"))?.to_le_bytes());
                    self.builtin(Builtin::String, member(structure, "Name"))?;
                }
                name => {
                    self.put([0, 0]);
                    self.builtin(Builtin::String, name)?;
                }
            },
            Builtin::LocalizedText => self.localized_text(tree)?,
            Builtin::ExtensionObject => self.nested(|inner| inner.extension_object(tree, None))?,
            Builtin::DataValue => self.nested(|inner| {
                inner.put([u8::from(*tree != Tree::Null)]);
                match tree {
                    Tree::Null => Ok(()),
                    value => inner.natural(value),
                }
            })?,
            Builtin::Variant => self.nested(|inner| inner.natural(tree))?,
            Builtin::DiagnosticInfo => self.put([0]),
        }
        Ok(())
    }

    fn localized_text(&mut self, tree: &Tree) -> Result<(), Fault> {
        let (locale, text) = match tree {
            Tree::Struct(structure) => {
                only(structure, &TEXT)?;
                (member(structure, "Locale"), member(structure, "Text"))
            }
            text => (&Tree::Null, text),
        };
        self.put([u8::from(*locale != Tree::Null) | u8::from(*text != Tree::Null) << 1]);
        for part in [locale, text] {
            if *part != Tree::Null {
                self.builtin(Builtin::String, part)?;
            }
        }
        Ok(())
    }

    /// In the longest form that its identifier has; the null node id in the shortest.
    fn node(&mut self, node: Option<&text::Node>) -> Result<(), Fault> {
        let Some(node) = node else {
            self.put([0, 0]);
            return Ok(());
        };
        let flags = u8::from(node.uri.is_some()) << 7 | u8::from(node.server != 0) << 6;
        let namespace = node.key.namespace;
        match &node.key.id {
            Identifier::Number(number) => {
                match (u8::try_from(*number), u8::try_from(namespace), u16::try_from(*number)) {
                    (Ok(short), Ok(0), _) => self.put([flags, short]),
                    (_, Ok(namespace), Ok(number)) => {
                        self.put([flags | 1, namespace]);
                        self.put(number.to_le_bytes());
                    }
                    _ => {
                        self.put([flags | 2]);
                        self.put(namespace.to_le_bytes());
                        self.put(number.to_le_bytes());
                    }
                }
            }
            Identifier::Text(text) => {
                self.put([flags | 3]);
                self.put(namespace.to_le_bytes());
                self.counted(Some(text.as_bytes()))?;
            }
            Identifier::Guid(bytes) => {
                self.put([flags | 4]);
                self.put(namespace.to_le_bytes());
                self.put(text::guid_of_wire(*bytes));
            }
            Identifier::Bytes(bytes) => {
                self.put([flags | 5]);
                self.put(namespace.to_le_bytes());
                self.counted(Some(bytes))?;
            }
        }
        if let Some(uri) = &node.uri {
            self.counted(Some(uri.as_bytes()))?;
        }
        if node.server != 0 {
            self.put(node.server.to_le_bytes());
        }
        Ok(())
    }

    /// The structure that a tree says it is, else `fallback`.
    fn type_of(
        &self,
        tree: &Structure,
        fallback: Option<&'a Arc<StructureType>>,
    ) -> Result<&'a Arc<StructureType>, Fault> {
        if tree.name.is_empty() {
            let unit = || match tree.known() {
                Some(Known::EngineeringUnit) => self.types.named("EUInformation"),
                _ => None,
            };
            let unsaid = || Fault::invalid("which structure it is must be said: `$type`");
            return fallback.or_else(unit).ok_or_else(unsaid);
        }
        match fallback {
            Some(same) if same.name == tree.name => Ok(same),
            _ => self
                .types
                .named(&tree.name)
                .ok_or_else(|| Fault::invalid(format!("there is no structure {}", tree.name))),
        }
    }

    fn extension_object(&mut self, tree: &Tree, fallback: Option<&'a Arc<StructureType>>) -> Result<(), Fault> {
        match tree {
            Tree::Null => self.put([0, 0, 0]),
            Tree::Value(Raw::Dec(number)) => self.decimal(*number)?,
            Tree::Struct(inner) => {
                let structure = self.type_of(inner, fallback)?;
                let Some(encoding) = &structure.encoding else {
                    let name = &structure.name;
                    return Err(Fault::invalid(format!("{name} has no encoding of its own")));
                };
                self.node(Some(&text::Node {
                    key: encoding.clone(),
                    uri: None,
                    server: 0,
                }))?;
                self.put([1]);
                self.behind_its_size(|inner| inner.structure(structure, tree))?;
            }
            Tree::Value(_) | Tree::List(_) => return Err(Fault::invalid("a structure is wanted")),
        }
        Ok(())
    }

    /// What `write` writes, its size in bytes before it.
    fn behind_its_size(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        let start = self.out.len();
        self.put([0; 4]);
        write(self)?;
        let size = self.out.len().saturating_sub(start).saturating_sub(4);
        let size = i32::try_from(size).map_err(|_| Fault::limit())?;
        if let Some(place) = self.out.get_mut(start..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *place = size.to_le_bytes();
        }
        Ok(())
    }

    /// OPC 10000-6, 5.1.10.
    fn decimal(&mut self, number: Decimal) -> Result<(), Fault> {
        let text = number.to_string();
        let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let mantissa: i128 = text.replace('.', "").parse().map_err(|_| Fault::limit())?;
        let scale = i16::try_from(decimals).map_err(|_| Fault::limit())?;
        self.node(Some(&text::Node {
            key: DECIMAL,
            uri: None,
            server: 0,
        }))?;
        self.put([1]);
        self.count(18)?;
        self.put(scale.to_le_bytes());
        self.put(mantissa.to_le_bytes());
        Ok(())
    }

    /// A variant of a value of a known type.
    pub(super) fn variant(&mut self, wire: Wire<'a>, array: bool, tree: &Tree) -> Result<(), Fault> {
        let (builtin, structure) = match wire {
            _ if *tree == Tree::Null => {
                self.put([0]);
                return Ok(());
            }
            Wire::Builtin(Builtin::Variant) if !array => return self.natural(tree),
            Wire::Builtin(builtin) | Wire::AnyOf(builtin) => (builtin, None),
            Wire::Structure(structure) | Wire::SubtypeOf(structure) => (Builtin::ExtensionObject, Some(structure)),
        };
        self.put([builtin.number() | u8::from(array) << 7]);
        let one = |inner: &mut Self, tree: &Tree| match builtin {
            Builtin::ExtensionObject => inner.nested(|inner| inner.extension_object(tree, structure)),
            other => inner.builtin(other, tree),
        };
        match (array, tree) {
            (false, tree) => one(self, tree),
            (true, Tree::List(items)) => {
                self.count(items.len())?;
                for (at, item) in items.iter().enumerate() {
                    one(self, item).map_err(|fault| fault.within(&format!("[{at}]")))?;
                }
                Ok(())
            }
            (true, _) => Err(Fault::invalid("an array is wanted")),
        }
    }

    /// A variant of the type that a tree has by itself; of a list the one that all its elements have, else variants.
    fn natural(&mut self, tree: &Tree) -> Result<(), Fault> {
        let (builtin, array) = match tree {
            Tree::Null => (Builtin::Variant, false),
            Tree::List(items) => {
                let mut kinds = items.iter().map(kind);
                let first = kinds.next().flatten();
                let same = kinds.all(|kind| kind == first);
                (first.filter(|_| same).unwrap_or(Builtin::Variant), true)
            }
            one => {
                let none = || Fault::invalid("a list inside a value is wanted as a list");
                (kind(one).ok_or_else(none)?, false)
            }
        };
        self.variant(Wire::Builtin(builtin), array, tree)
    }

    fn array(&mut self, wire: Wire<'a>, shape: Shape, dimensions: i32, tree: &Tree) -> Result<(), Fault> {
        let items = match tree {
            Tree::Null => return self.counted(None),
            Tree::List(items) => items,
            Tree::Value(_) | Tree::Struct(_) => return Err(Fault::invalid("an array is wanted")),
        };
        if shape == Shape::Dimensions {
            // The dimensions are not kept: the first has all elements.
            self.put(dimensions.to_le_bytes());
            self.count(items.len())?;
            for _ in 1..dimensions {
                self.put(1_i32.to_le_bytes());
            }
        } else {
            self.count(items.len())?;
        }
        for (at, item) in items.iter().enumerate() {
            self.value(wire, item)
                .map_err(|fault| fault.within(&format!("[{at}]")))?;
        }
        Ok(())
    }

    pub(super) fn structure(&mut self, structure: &StructureType, tree: &Tree) -> Result<(), Fault> {
        let given: &[(Arc<str>, Tree)] = match tree {
            Tree::Null => &[],
            Tree::Struct(given) => &given.fields,
            Tree::Value(_) | Tree::List(_) => {
                return Err(Fault::invalid(format!("a structure {} is wanted", structure.name)));
            }
        };
        for (name, _) in given {
            if !structure.fields.iter().any(|field| field.name == *name) {
                let fault = Fault::invalid(format!("the structure {} has no such field", structure.name));
                return Err(fault.within(name));
            }
        }
        let tree_of = |field: &Field| given.iter().find(|(name, _)| *name == field.name).map(|(_, tree)| tree);
        if structure.kind.is_union() {
            let mut there = structure
                .fields
                .iter()
                .zip(1_u32..)
                .filter_map(|(field, number)| Some((field, number, tree_of(field)?)));
            let chosen = there.next();
            if there.next().is_some() {
                return Err(Fault::invalid(format!(
                    "the union {} has one field only",
                    structure.name
                )));
            }
            self.put(chosen.map_or(0, |(_, number, _)| number).to_le_bytes());
            return match chosen {
                Some((field, _, tree)) => self.field(structure, field, tree),
                None => Ok(()),
            };
        }
        let optional = structure.kind == StructureKind::Optional;
        if optional {
            let mut mask = 0_u32;
            for (field, bit) in structure.fields.iter().filter(|field| field.flag).zip(0_u32..) {
                if tree_of(field).is_some() {
                    mask |= 1_u32.checked_shl(bit).ok_or_else(Fault::limit)?;
                }
            }
            self.put(mask.to_le_bytes());
        }
        for field in &structure.fields {
            match tree_of(field) {
                Some(tree) => self.field(structure, field, tree)?,
                None if optional && field.flag => {}
                None => self.field(structure, field, &Tree::Null)?,
            }
        }
        Ok(())
    }

    fn field(&mut self, structure: &StructureType, field: &Field, tree: &Tree) -> Result<(), Fault> {
        self.unnamed_field(structure, field, tree)
            .map_err(|fault| fault.within(&field.name))
    }

    fn unnamed_field(&mut self, structure: &StructureType, field: &Field, tree: &Tree) -> Result<(), Fault> {
        let types = self.types;
        let unknown = || Fault::Unknown(field.data_type.clone());
        let wire = types.wire_of(structure.kind, field).ok_or_else(unknown)?;
        match Shape::of(field.value_rank, wire)? {
            Shape::One => self.value(wire, tree),
            shape => self.array(wire, shape, field.value_rank, tree),
        }
    }
}

/// The built-in type that a tree has by itself.
fn kind(tree: &Tree) -> Option<Builtin> {
    Some(match tree {
        Tree::Null | Tree::List(_) | Tree::Value(Raw::List(_)) => return None,
        Tree::Value(Raw::Bool(_)) => Builtin::Boolean,
        Tree::Value(Raw::Int(_)) => Builtin::Int64,
        Tree::Value(Raw::Big(_)) => Builtin::UInt64,
        Tree::Value(Raw::F32(_)) => Builtin::Float,
        Tree::Value(Raw::F64(_) | Raw::Dec(_)) => Builtin::Double,
        Tree::Value(Raw::Text(_)) => Builtin::String,
        Tree::Struct(structure) => match structure.known() {
            Some(Known::LocalizedText) => Builtin::LocalizedText,
            Some(Known::QualifiedName) => Builtin::QualifiedName,
            Some(Known::EngineeringUnit) | None => Builtin::ExtensionObject,
        },
    })
}

fn member<'t>(structure: &'t Structure, name: &str) -> &'t Tree {
    let found = structure.fields.iter().find(|(field, _)| &**field == name);
    found.map_or(&Tree::Null, |(_, tree)| tree)
}

/// That a structure has no other fields.
fn only(structure: &Structure, names: &[&str]) -> Result<(), Fault> {
    match structure.fields.iter().find(|(name, _)| !names.contains(&&**name)) {
        Some((name, _)) => Err(Fault::invalid(format!("it has {} only", names.join(" and "))).within(name)),
        None => Ok(()),
    }
}
