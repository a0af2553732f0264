//! From bytes to trees.

use super::super::types::{Builtin, Field, StructureKind, StructureType, Types, Wire};
use super::super::{NodeKey, Structure, Tree};
use super::{DEEPEST, Fault, MOST, text};
use crate::model::plan::Identifier;
use crate::model::value::hex;
use crate::model::{Decimal, Raw};
use std::sync::{Arc, LazyLock};

/// The data type of `Decimal`, which stands for an encoding (OPC 10000-6, 5.1.10).
pub(super) const DECIMAL: NodeKey = NodeKey::core(50);

/// Decimals of a `Decimal` at most, to either side; a double needs no more.
const DECIMALS: u16 = 400;

/// What a text or a name in a structure of its own counts as.
const WEIGHT: usize = 4;

/// Names of built-in structures and of their fields.
static LOCALIZED_TEXT: LazyLock<[Arc<str>; 3]> = LazyLock::new(|| ["LocalizedText", "Locale", "Text"].map(Arc::from));
static QUALIFIED_NAME: LazyLock<[Arc<str>; 3]> =
    LazyLock::new(|| ["QualifiedName", "NamespaceIndex", "Name"].map(Arc::from));

/// Whether a field holds one value or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A value.
    One,
    /// A count, then values.
    Array,
    /// Counts of each dimension, then values.
    Dimensions,
}

impl Shape {
    /// Of a value rank; ranks that leave it open stand for one value where that is a variant, which says it itself.
    pub(super) fn of(value_rank: i32, wire: Wire<'_>) -> Result<Self, Fault> {
        match (value_rank, wire) {
            (-1, _) | (-3..=0, Wire::Builtin(Builtin::Variant) | Wire::AnyOf(_)) => Ok(Self::One),
            (1, _) => Ok(Self::Array),
            (2.., _) => Ok(Self::Dimensions),
            (rank, _) => Err(Fault::invalid(format!(
                "the server's description gives it the value rank {rank}, which no field may have"
            ))),
        }
    }
}

pub(super) struct Decoder<'a> {
    types: &'a Types,
    rest: &'a [u8],
    depth: u8,
    left: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(types: &'a Types, bytes: &'a [u8]) -> Self {
        Self {
            types,
            rest: bytes,
            depth: DEEPEST,
            left: MOST,
        }
    }

    /// Reads one thing that is all there is.
    pub(super) fn whole<T>(mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let value = read(&mut self)?;
        self.finished().map(|()| value)
    }

    fn finished(&self) -> Result<(), Fault> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(Fault::invalid(format!(
                "{more} bytes more than its type has: the server's description of the type is not that of the value"
            ))),
        }
    }

    /// Reads what stands one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth = self.depth.checked_sub(1).ok_or_else(Fault::limit)?;
        let value = read(self);
        self.depth += 1;
        value
    }

    /// Counts values.
    fn spend(&mut self, values: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(values).ok_or_else(Fault::limit)?;
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(Fault::short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(Fault::short)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.bytes().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, Fault> {
        self.bytes().map(i32::from_le_bytes)
    }

    /// Bytes behind their count; `None` where it is negative.
    fn counted(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        match usize::try_from(self.i32()?) {
            Ok(count) => self.take(count).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn string(&mut self) -> Result<Option<String>, Fault> {
        Ok(self.counted()?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    fn text(&mut self) -> Result<Tree, Fault> {
        Ok(self.string()?.map_or(Tree::Null, of_text))
    }

    fn value(&mut self, wire: Wire<'_>) -> Result<Tree, Fault> {
        match wire {
            Wire::Builtin(builtin) => self.builtin(builtin),
            Wire::AnyOf(_) => self.builtin(Builtin::Variant),
            Wire::SubtypeOf(_) => self.builtin(Builtin::ExtensionObject),
            Wire::Structure(structure) => self.nested(|inner| inner.structure(structure)),
        }
    }

    fn builtin(&mut self, builtin: Builtin) -> Result<Tree, Fault> {
        self.spend(1)?;
        Ok(match builtin {
            Builtin::Boolean => Tree::Value(Raw::Bool(self.byte()? != 0)),
            Builtin::SByte => of_int(i8::from_le_bytes(self.bytes()?)),
            Builtin::Byte => of_int(self.byte()?),
            Builtin::Int16 => of_int(i16::from_le_bytes(self.bytes()?)),
            Builtin::UInt16 => of_int(self.u16()?),
            Builtin::Int32 => of_int(self.i32()?),
            Builtin::UInt32 | Builtin::StatusCode => of_int(self.u32()?),
            Builtin::Int64 => of_int(i64::from_le_bytes(self.bytes()?)),
            Builtin::UInt64 => {
                let value = u64::from_le_bytes(self.bytes()?);
                Tree::Value(i64::try_from(value).map_or(Raw::Big(value), Raw::Int))
            }
            Builtin::Float => Tree::Value(Raw::F32(self.u32()?)),
            Builtin::Double => Tree::Value(Raw::F64(u64::from_le_bytes(self.bytes()?))),
            Builtin::String | Builtin::XmlElement => self.text()?,
            Builtin::DateTime => text::time(i64::from_le_bytes(self.bytes()?)).map_or(Tree::Null, of_text),
            Builtin::Guid => of_text(text::guid(text::guid_of_wire(self.bytes()?))),
            Builtin::ByteString => self.counted()?.map_or(Tree::Null, |bytes| of_text(hex(bytes))),
            Builtin::NodeId | Builtin::ExpandedNodeId => self.node()?.text().map_or(Tree::Null, of_text),
            Builtin::QualifiedName => {
                let namespace = self.u16()?;
                match self.text()? {
                    Tree::Null if namespace == 0 => Tree::Null,
                    name => {
                        self.spend(WEIGHT)?;
                        of_fields(&QUALIFIED_NAME, of_int(namespace), name)
                    }
                }
            }
            Builtin::LocalizedText => self.localized_text()?,
            Builtin::ExtensionObject => self.nested(Self::extension_object)?,
            Builtin::DataValue => self.nested(Self::data_value)?,
            Builtin::Variant => self.nested(Self::variant)?,
            Builtin::DiagnosticInfo => {
                self.nested(Self::diagnostic_info)?;
                Tree::Null
            }
        })
    }

    /// OPC 10000-6, 5.2.2.14. Neither text nor language is null.
    fn localized_text(&mut self) -> Result<Tree, Fault> {
        let mask = self.byte()?;
        if mask & !3 != 0 {
            return Err(Fault::invalid("no localized text"));
        }
        let locale = if mask & 1 == 0 { Tree::Null } else { self.text()? };
        let text = if mask & 2 == 0 { Tree::Null } else { self.text()? };
        if locale == Tree::Null && text == Tree::Null {
            return Ok(Tree::Null);
        }
        self.spend(WEIGHT)?;
        Ok(of_fields(&LOCALIZED_TEXT, locale, text))
    }

    /// OPC 10000-6, 5.2.2.9 and 5.2.2.10.
    fn node(&mut self) -> Result<text::Node, Fault> {
        let form = self.byte()?;
        let (namespace, id) = match form & 0x3F {
            0 => (0, Identifier::Number(u32::from(self.byte()?))),
            1 => {
                let namespace = u16::from(self.byte()?);
                (namespace, Identifier::Number(u32::from(self.u16()?)))
            }
            2 => (self.u16()?, Identifier::Number(self.u32()?)),
            3 => (
                self.u16()?,
                Identifier::Text(Arc::from(self.string()?.unwrap_or_default())),
            ),
            4 => (self.u16()?, Identifier::Guid(text::guid_of_wire(self.bytes()?))),
            5 => (
                self.u16()?,
                Identifier::Bytes(Arc::from(self.counted()?.unwrap_or_default())),
            ),
            _ => return Err(Fault::invalid("no node id")),
        };
        let uri = if form & 0x80 == 0 { None } else { self.string()? };
        let server = if form & 0x40 == 0 { 0 } else { self.u32()? };
        Ok(text::Node {
            key: NodeKey { namespace, id },
            uri: uri.filter(|uri| !uri.is_empty()),
            server,
        })
    }

    /// OPC 10000-6, 5.2.2.15.
    fn extension_object(&mut self) -> Result<Tree, Fault> {
        let node = self.node()?;
        let form = self.byte()?;
        match form {
            0 => return Ok(Tree::Null),
            1 => {}
            2 => return Err(Fault::invalid("it is encoded as XML, which is not read")),
            _ => return Err(Fault::invalid("no extension object")),
        }
        let Some(body) = self.counted()? else {
            return Ok(Tree::Null);
        };
        if node.uri.is_some() || node.server != 0 {
            return Err(Fault::invalid(
                "the encoding of an extension object is not of this server",
            ));
        }
        let behind = std::mem::replace(&mut self.rest, body);
        let tree = self.body(&node.key)?;
        self.finished()?;
        self.rest = behind;
        Ok(tree)
    }

    /// The body of an extension object of this encoding.
    pub(super) fn body(&mut self, encoding: &NodeKey) -> Result<Tree, Fault> {
        let types = self.types;
        match types.encoded(encoding) {
            Some(structure) => self.nested(|inner| inner.structure(structure)),
            None if types.is_opaque(encoding) => {
                self.rest = &[];
                Ok(Tree::Null)
            }
            None if *encoding == DECIMAL => self.decimal(),
            None => Err(Fault::Unknown(encoding.clone())),
        }
    }

    /// OPC 10000-6, 5.1.10: a scale, then a whole number of any length, two's complement.
    fn decimal(&mut self) -> Result<Tree, Fault> {
        let scale = i16::from_le_bytes(self.bytes()?);
        let digits = self.take(self.rest.len())?;
        let negative = digits.last().is_some_and(|last| last & 0x80 != 0);
        let mut wide = if negative { [0xFF; 16] } else { [0; 16] };
        let Some(low) = wide.get_mut(..digits.len()) else {
            return Err(Fault::invalid("a decimal of more than 16 bytes"));
        };
        low.copy_from_slice(digits);
        if scale.unsigned_abs() > DECIMALS {
            return Err(Fault::invalid(format!("a decimal of scale {scale}")));
        }
        let number = Decimal::new(i128::from_le_bytes(wide), i32::from(scale));
        Ok(Tree::Value(Raw::Dec(number)))
    }

    /// OPC 10000-6, 5.2.2.17: the value of it.
    fn data_value(&mut self) -> Result<Tree, Fault> {
        let mask = self.byte()?;
        let value = if mask & 1 == 0 { Tree::Null } else { self.variant()? };
        for (bit, size) in [(2, 4), (4, 8), (0x10, 2), (8, 8), (0x20, 2)] {
            if mask & bit != 0 {
                self.take(size)?;
            }
        }
        Ok(value)
    }

    /// OPC 10000-6, 5.2.2.12.
    fn diagnostic_info(&mut self) -> Result<(), Fault> {
        let mask = self.byte()?;
        for bit in [1, 2, 4, 8] {
            if mask & bit != 0 {
                self.take(4)?;
            }
        }
        if mask & 0x10 != 0 {
            self.counted()?;
        }
        if mask & 0x20 != 0 {
            self.take(4)?;
        }
        if mask & 0x40 != 0 {
            self.nested(Self::diagnostic_info)?;
        }
        Ok(())
    }

    /// OPC 10000-6, 5.2.2.16.
    pub(super) fn variant(&mut self) -> Result<Tree, Fault> {
        let form = self.byte()?;
        let (number, array, dimensions) = (form & 0x3F, form & 0x80 != 0, form & 0x40 != 0);
        let builtin = match number {
            0 if form == 0 => return Ok(Tree::Null),
            // For types that are not yet: byte strings.
            26..=31 => Builtin::ByteString,
            number => Builtin::of(number).ok_or_else(|| Fault::invalid("no variant"))?,
        };
        if !array {
            if dimensions {
                return Err(Fault::invalid("no variant: it has dimensions, but is no array"));
            }
            return self.builtin(builtin);
        }
        let items = self.array(Wire::Builtin(builtin))?;
        if dimensions {
            let count = self.i32()?;
            let size = usize::try_from(count).unwrap_or(0).checked_mul(4);
            self.take(size.ok_or_else(Fault::short)?)?;
        }
        Ok(items)
    }

    /// Elements behind their count; null where it is negative.
    fn array(&mut self, wire: Wire<'_>) -> Result<Tree, Fault> {
        match usize::try_from(self.i32()?) {
            Ok(count) => self.elements(wire, count),
            Err(_) => Ok(Tree::Null),
        }
    }

    fn elements(&mut self, wire: Wire<'_>, count: usize) -> Result<Tree, Fault> {
        // An element has a byte at least, but for structures without fields, of which nobody needs many.
        if count > self.rest.len() {
            return Err(Fault::short());
        }
        let mut items = Vec::with_capacity(count.min(4096));
        for at in 0..count {
            items.push(self.value(wire).map_err(|fault| fault.within(&format!("[{at}]")))?);
        }
        Ok(Tree::List(items))
    }

    /// OPC 10000-6, 5.2.6 to 5.2.8.
    fn structure(&mut self, structure: &StructureType) -> Result<Tree, Fault> {
        self.spend(1)?;
        let mut fields = Vec::new();
        if structure.kind.is_union() {
            let chosen = self.u32()?;
            if let Some(at) = usize::try_from(chosen).unwrap_or(usize::MAX).checked_sub(1) {
                let field = structure.fields.get(at).ok_or_else(|| {
                    let name = &structure.name;
                    Fault::invalid(format!("the union {name} has no field number {chosen}"))
                })?;
                fields.push((Arc::clone(&field.name), self.field(structure, field)?));
            }
        } else {
            let optional = structure.kind == StructureKind::Optional;
            let mut mask = if optional { self.mask(structure)? } else { 0 };
            let there = |field: &&Field| !(optional && field.flag);
            let count = structure.fields.iter().filter(there).count() + usize::try_from(mask.count_ones()).unwrap_or(0);
            fields.reserve_exact(count);
            for field in &structure.fields {
                if optional && field.flag {
                    let there = mask & 1 != 0;
                    mask >>= 1;
                    if !there {
                        continue;
                    }
                }
                fields.push((Arc::clone(&field.name), self.field(structure, field)?));
            }
        }
        Ok(Tree::Struct(Arc::new(Structure {
            name: Arc::clone(&structure.name),
            fields,
        })))
    }

    /// Which of the optional fields are there, the first in the lowest bit.
    fn mask(&mut self, structure: &StructureType) -> Result<u32, Fault> {
        let mask = self.u32()?;
        let optional = structure.fields.iter().filter(|field| field.flag).count();
        let beyond = u32::try_from(optional).ok().and_then(|count| mask.checked_shr(count));
        if beyond.is_some_and(|bits| bits != 0) {
            return Err(Fault::invalid(format!(
                "{} has {optional} optional fields, but the value says {mask:#x}: the server's description of the type is not that of the value",
                structure.name
            )));
        }
        Ok(mask)
    }

    fn field(&mut self, structure: &StructureType, field: &Field) -> Result<Tree, Fault> {
        self.unnamed_field(structure, field)
            .map_err(|fault| fault.within(&field.name))
    }

    fn unnamed_field(&mut self, structure: &StructureType, field: &Field) -> Result<Tree, Fault> {
        let types = self.types;
        let unknown = || Fault::Unknown(field.data_type.clone());
        let wire = types.wire_of(structure.kind, field).ok_or_else(unknown)?;
        match Shape::of(field.value_rank, wire)? {
            Shape::One => self.value(wire),
            Shape::Array => self.array(wire),
            Shape::Dimensions => self.dimensions(wire),
        }
    }

    /// OPC 10000-6, 5.2.5: the dimensions, then all elements.
    fn dimensions(&mut self, wire: Wire<'_>) -> Result<Tree, Fault> {
        let Ok(dimensions) = usize::try_from(self.i32()?) else {
            return Ok(Tree::Null);
        };
        let mut count = usize::from(dimensions > 0);
        for _ in 0..dimensions {
            let size = usize::try_from(self.i32()?).unwrap_or(0);
            count = count.checked_mul(size).ok_or_else(Fault::short)?;
        }
        self.elements(wire, count)
    }
}

fn of_int(value: impl Into<i64>) -> Tree {
    Tree::Value(Raw::Int(value.into()))
}

fn of_text(text: String) -> Tree {
    Tree::Value(Raw::Text(text))
}

fn of_fields(names: &[Arc<str>; 3], first: Tree, second: Tree) -> Tree {
    let [name, one, other] = names;
    Tree::Struct(Arc::new(Structure {
        name: Arc::clone(name),
        fields: vec![(Arc::clone(one), first), (Arc::clone(other), second)],
    }))
}
