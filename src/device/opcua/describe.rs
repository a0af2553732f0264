//! The data types of a server, read from it when a value needs them (OPC 10000-3, 5.8.3 and 8.47 ff.).
//!
//! Owns the types of one session. Decoding is [`crate::wire::opcua`]'s.

use super::convert::{bytes, key, status, unkey};
use super::fault::Fault;
use super::session::Session;
use crate::device::tap::Tap;
use crate::model::value::hex;
use crate::record::What;
use crate::record::opcua::{DataField, DataType, EventField, NodeSaid};
use crate::wire::opcua::binary::{self, Fault as Unreadable};
use crate::wire::opcua::types::{Builtin, Field, StructureKind, StructureType, Types};
use crate::wire::opcua::{NodeKey, Tree};
use opcua::types::{
    AttributeId, BinaryEncodable, BrowseDescription, BrowseDirection, BrowseResultMask, ContextOwned, DataValue,
    DecodingOptions, EnumDefinition, NamespaceMap, NodeClass, NodeId, ReadValueId, StatusCode, StructureDefinition,
    StructureType as Kind, Variant,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Descriptions that one value may need at most.
const MOST: usize = 512;

/// The types of one session.
pub(super) struct Describer {
    types: Types,
    /// What the server does not describe, and why.
    hopeless: BTreeMap<NodeKey, String>,
    context: ContextOwned,
    tap: Tap,
}

impl Describer {
    /// Without types; who looks at `tap` is told of each that the server describes.
    pub(super) fn new(tap: Tap) -> Self {
        Self {
            tap,
            types: Types::core(),
            hopeless: BTreeMap::new(),
            context: ContextOwned::new_default(NamespaceMap::new(), DecodingOptions::default()),
        }
    }

    /// What a value says. `Ok(Err)`: it cannot be read, in a sentence.
    ///
    /// # Errors
    /// The session failed while the server was asked for a description.
    pub(super) async fn tree(&mut self, session: &Session, value: &Variant) -> Result<Result<Tree, String>, Fault> {
        let bytes = bytes(value, &self.context);
        for _ in 0..MOST {
            match binary::decode_variant(&self.types, &bytes) {
                Ok(tree) => return Ok(Ok(tree)),
                Err(Unreadable::Unknown(key)) => {
                    if let Some(reason) = self.hopeless.get(&key) {
                        return Ok(Err(reason.clone()));
                    }
                    if let Err(reason) = self.load(session, &key).await? {
                        tracing::warn!("{reason}");
                        // A structure inside a value that nobody describes is left out; a field of unknown length cannot be.
                        self.types.give_up(key.clone());
                        self.tell(DataType {
                            builtin: None,
                            ..simple(&key, 0)
                        });
                        self.hopeless.insert(key, reason);
                    }
                }
                Err(fault) => return Ok(Err(fault.to_string())),
            }
        }
        Ok(Err("its structure needs more descriptions than can be read".to_owned()))
    }

    /// The structure that a data type is; `None`: it is none, or the server does not describe it.
    ///
    /// # Errors
    /// The session failed while the server was asked for the description.
    pub(super) async fn structure(
        &mut self,
        session: &Session,
        data_type: &NodeId,
    ) -> Result<Option<Arc<StructureType>>, Fault> {
        let key = key(data_type);
        if !self.types.knows(&key)
            && !self.hopeless.contains_key(&key)
            && let Err(reason) = self.load(session, &key).await?
        {
            self.hopeless.insert(key.clone(), reason);
        }
        Ok(self.types.structure(&key).cloned())
    }

    /// Whether values of a data type are scalars, as far as is known: no structure, and not anything.
    pub(super) fn is_simple(&self, data_type: &NodeId) -> bool {
        let builtin = self.types.builtin(&key(data_type));
        builtin.is_some_and(|builtin| {
            !matches!(
                builtin,
                Builtin::ExtensionObject | Builtin::Variant | Builtin::DataValue | Builtin::DiagnosticInfo
            )
        })
    }

    fn tell(&self, described: DataType) {
        self.tap.send_context(What::Type(Box::new(described)));
    }

    /// Who looks at what is exchanged.
    pub(super) fn tap(&self) -> &Tap {
        &self.tap
    }

    /// A value for who looks.
    pub(super) fn said(&self, node: &NodeId, value: &DataValue) -> NodeSaid {
        let code = value.status.unwrap_or(StatusCode::Good);
        NodeSaid {
            node: key(node).to_string(),
            got: value.encode_to_vec(&self.context.context()),
            status: (!code.is_good()).then(|| status(code)),
        }
    }

    /// A field of an event for who looks.
    pub(super) fn field(&self, place: &[Arc<str>], value: &Variant) -> EventField {
        EventField {
            path: place.iter().map(ToString::to_string).collect(),
            got: bytes(value, &self.context),
        }
    }

    /// What stood on the wire.
    pub(super) fn hex(&self, values: &[Variant]) -> String {
        let shown: Vec<String> = values.iter().map(|value| hex(&bytes(value, &self.context))).collect();
        shown.join(" ")
    }

    /// Reads the description of a data type, given by itself or by its binary encoding.
    async fn load(&mut self, session: &Session, wanted: &NodeKey) -> Result<Result<(), String>, Fault> {
        let node = unkey(wanted);
        let class = session.read(&[attribute(&node, AttributeId::NodeClass)]).await?;
        let class = class.into_iter().next().and_then(|value| value.value);
        let class = class.and_then(|value| value.try_cast_to::<i32>().ok());
        let data_type = if class == Some(NodeClass::DataType as i32) {
            Some(node.clone())
        } else {
            // HasEncoding, backwards.
            self.first(session, &node, 38, BrowseDirection::Inverse).await?
        };
        let Some(data_type) = data_type else {
            return Ok(Err(format!("the server does not describe the structure {node}")));
        };
        let asked = [
            attribute(&data_type, AttributeId::DataTypeDefinition),
            attribute(&data_type, AttributeId::BrowseName),
        ];
        let mut values = session.read(&asked).await?.into_iter().map(|value| value.value);
        let definition = values.next().flatten();
        let name = match values.next().flatten() {
            Some(Variant::QualifiedName(name)) => name.name.to_string(),
            _ => data_type.to_string(),
        };
        if let Some(Variant::ExtensionObject(object)) = definition {
            if let Some(structure) = object.inner_as::<StructureDefinition>() {
                let encoding = match &structure.default_encoding_id {
                    id if id.is_null() => self.encoding(session, &data_type).await?,
                    id => Some(key(id)),
                };
                // What stands in a value counts, whatever the description names.
                let used = (*wanted != key(&data_type)).then(|| wanted.clone());
                let described = described(&data_type, used.or(encoding), &name, structure);
                self.tell(written(&described));
                self.types.insert(described);
                return Ok(Ok(()));
            }
            if object.inner_is::<EnumDefinition>() {
                self.tell(simple(&key(&data_type), Builtin::Int32.number()));
                self.types.declare(key(&data_type), Builtin::Int32);
                return Ok(Ok(()));
            }
        }
        // Not described: what it is derived from says how it travels.
        match self.first(session, &data_type, 45, BrowseDirection::Inverse).await? {
            Some(base) => {
                let base = key(&base);
                if !self.types.knows(&base)
                    && let Err(reason) = Box::pin(self.load(session, &base)).await?
                {
                    return Ok(Err(reason));
                }
                match self.types.builtin(&base) {
                    Some(Builtin::ExtensionObject) | None => Ok(Err(format!(
                        "the server does not describe the fields of `{name}` ({data_type}); it is too old for that, or set up without"
                    ))),
                    Some(builtin) => {
                        self.tell(simple(&key(&data_type), builtin.number()));
                        self.types.declare(key(&data_type), builtin);
                        Ok(Ok(()))
                    }
                }
            }
            None => Ok(Err(format!(
                "the server does not describe the data type `{name}` ({data_type})"
            ))),
        }
    }

    /// The binary encoding of a data type.
    async fn encoding(&self, session: &Session, data_type: &NodeId) -> Result<Option<NodeKey>, Fault> {
        let found = session
            .browse(&[follow(data_type, 38, BrowseDirection::Forward)])
            .await?;
        let binary = found
            .into_iter()
            .flatten()
            .find(|reference| reference.browse_name.name.as_ref() == "Default Binary");
        Ok(binary.map(|reference| key(&reference.node_id.node_id)))
    }

    /// The first node that `node` refers to by references of this type (of namespace 0).
    async fn first(
        &self,
        session: &Session,
        node: &NodeId,
        reference: u32,
        direction: BrowseDirection,
    ) -> Result<Option<NodeId>, Fault> {
        let found = session.browse(&[follow(node, reference, direction)]).await?;
        Ok(found
            .into_iter()
            .flatten()
            .next()
            .map(|reference| reference.node_id.node_id))
    }
}

/// All references of this type (of namespace 0), its subtypes with it.
pub(super) fn follow(node: &NodeId, reference: u32, direction: BrowseDirection) -> BrowseDescription {
    BrowseDescription {
        node_id: node.clone(),
        browse_direction: direction,
        reference_type_id: NodeId::new(0, reference),
        include_subtypes: true,
        node_class_mask: 0,
        result_mask: BrowseResultMask::All as u32,
    }
}

/// An attribute of a node.
pub(super) fn attribute(node: &NodeId, attribute: AttributeId) -> ReadValueId {
    ReadValueId {
        node_id: node.clone(),
        attribute_id: attribute as u32,
        ..ReadValueId::default()
    }
}

/// A data type that travels as a built-in one.
fn simple(id: &NodeKey, builtin: u8) -> DataType {
    DataType {
        id: id.to_string(),
        encoding: None,
        name: String::new(),
        builtin: Some(builtin),
        kind: None,
        fields: Vec::new(),
    }
}

/// A structure as it stands in a record.
fn written(structure: &StructureType) -> DataType {
    DataType {
        encoding: structure.encoding.as_ref().map(ToString::to_string),
        name: structure.name.to_string(),
        builtin: None,
        kind: Some(structure.kind.number()),
        fields: structure
            .fields
            .iter()
            .map(|field| DataField {
                name: field.name.to_string(),
                data_type: field.data_type.to_string(),
                rank: field.value_rank,
                optional: field.flag,
            })
            .collect(),
        ..simple(&structure.data_type, 0)
    }
}

fn described(
    data_type: &NodeId,
    encoding: Option<NodeKey>,
    name: &str,
    definition: &StructureDefinition,
) -> StructureType {
    let fields = definition.fields.as_deref().unwrap_or_default();
    StructureType {
        data_type: key(data_type),
        encoding,
        name: Arc::from(name),
        kind: match definition.structure_type {
            Kind::Structure => StructureKind::Plain,
            Kind::StructureWithOptionalFields => StructureKind::Optional,
            Kind::Union => StructureKind::Union,
            Kind::StructureWithSubtypedValues => StructureKind::Subtyped,
            Kind::UnionWithSubtypedValues => StructureKind::UnionSubtyped,
        },
        fields: fields
            .iter()
            .map(|field| Field {
                name: Arc::from(field.name.as_ref()),
                data_type: key(&field.data_type),
                value_rank: field.value_rank,
                flag: field.is_optional,
            })
            .collect(),
    }
}
