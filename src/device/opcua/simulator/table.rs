//! Names and numbers of one run of a server: which namespace has which index, which node is which, and how values of its
//! data types are encoded under these numbers.
//!
//! Owns the numbering; a run keeps its own.

use super::setup::Setup;
use super::types::{ANY, DataTypes, Member, Shape};
use super::value::{self, Kind};
use crate::model::plan::{Namespace, NodeRef};
use crate::wire::opcua::{Builtin, Field, NodeKey, StructureType, Tree, Types, decode_variant, encode_variant};
use opcua::types::{
    BinaryDecodable, BinaryEncodable, ContextOwned, DataTypeId, DecodingOptions, NamespaceMap, NodeId, Variant,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The namespace of the specification itself.
const CORE: &str = "http://opcfoundation.org/UA/";

/// The numbering of one run.
pub(super) struct Table {
    namespaces: Vec<Arc<str>>,
    nodes: HashMap<NodeId, NodeRef>,
    described: DataTypes,
    types: Types,
    context: ContextOwned,
}

impl Table {
    /// The setup's namespaces in their order, then those that only its nodes name, on indices that no node names by
    /// number.
    pub(super) fn new(setup: &Setup) -> Self {
        let mut namespaces: Vec<Option<Arc<str>>> = vec![Some(CORE.into()), Some(super::own::APPLICATION.into())];
        namespaces.extend(setup.namespaces.iter().cloned().map(Some));
        let named: Vec<&Namespace> = setup.named().collect();
        let numbers: BTreeSet<usize> = named
            .iter()
            .filter_map(|namespace| match namespace {
                Namespace::Index(index) => Some(usize::from(*index)),
                Namespace::Uri(_) => None,
            })
            .collect();
        let last = numbers.last().copied().unwrap_or(0);
        if namespaces.len() <= last {
            namespaces.resize(last + 1, None);
        }
        for namespace in named {
            let Namespace::Uri(uri) = namespace else { continue };
            if namespaces.iter().flatten().any(|known| known == uri) {
                continue;
            }
            let free = namespaces
                .iter()
                .enumerate()
                .position(|(index, taken)| taken.is_none() && !numbers.contains(&index));
            match free.and_then(|free| namespaces.get_mut(free)) {
                Some(slot) => *slot = Some(uri.clone()),
                None => namespaces.push(Some(uri.clone())),
            }
        }
        let namespaces = namespaces
            .into_iter()
            .enumerate()
            .map(|(index, uri)| uri.unwrap_or_else(|| format!("urn:lineside:simulator:namespace-{index}").into()))
            .collect();
        let mut table = Self {
            namespaces,
            nodes: HashMap::new(),
            described: setup.types.clone(),
            types: Types::core(),
            context: context(),
        };
        table.types = types(&table, &setup.types);
        let ids = setup
            .variables
            .keys()
            .filter_map(|node| Some((table.node(node)?, node.clone())));
        table.nodes = ids.collect();
        table
    }

    /// All of them, by index.
    pub(super) fn namespaces(&self) -> &[Arc<str>] {
        &self.namespaces
    }

    /// The index of a namespace.
    pub(super) fn index(&self, namespace: &Namespace) -> Option<u16> {
        match namespace {
            Namespace::Index(index) => Some(*index),
            Namespace::Uri(uri) => {
                let at = self.namespaces.iter().position(|known| known == uri)?;
                u16::try_from(at).ok()
            }
        }
    }

    /// The id of a node.
    pub(super) fn node(&self, node: &NodeRef) -> Option<NodeId> {
        Some(value::node_id(self.index(&node.namespace)?, &node.id))
    }

    /// Which variable of the setup has this id.
    pub(super) fn variable(&self, id: &NodeId) -> Option<&NodeRef> {
        self.nodes.get(id)
    }

    /// The id of a node, for the wire.
    pub(super) fn key(&self, node: &NodeRef) -> Option<NodeKey> {
        Some(NodeKey {
            namespace: self.index(&node.namespace)?,
            id: node.id.clone(),
        })
    }

    /// The id of a data type; what has none is of any.
    pub(super) fn data_type(&self, node: &NodeRef) -> NodeId {
        self.node(node).unwrap_or_else(|| DataTypeId::BaseDataType.into())
    }

    /// A value as its type has it. Structures need no names where their type tells them.
    ///
    /// # Errors
    /// A sentence: the type cannot hold it.
    pub(super) fn encode(&self, data_type: &NodeRef, list: bool, tree: &Tree) -> Result<Variant, String> {
        let natural = match value::plain(tree) {
            Some(raw) if *data_type == ANY => Some(Kind::of(&raw).data_type()),
            _ => None,
        };
        let data_type = natural.as_ref().unwrap_or(data_type);
        let key = self
            .key(data_type)
            .ok_or_else(|| format!("there is no data type {data_type}"))?;
        let rank = match tree {
            Tree::List(_) if *data_type == ANY => -2,
            Tree::List(_) => 1,
            _ if list => return Err("it is an array".to_owned()),
            _ => -1,
        };
        let named = self.described.named(tree, data_type);
        let bytes = encode_variant(&self.types, &key, rank, &named).map_err(|fault| fault.to_string())?;
        Variant::decode(&mut bytes.as_slice(), &self.context.context()).map_err(|fault| fault.to_string())
    }

    /// What a client wrote; `None`: its structure is not known.
    pub(super) fn decode(&self, variant: &Variant) -> Option<Tree> {
        let bytes = variant.encode_to_vec(&self.context.context());
        decode_variant(&self.types, &bytes).ok()
    }
}

/// The data types of namespace 0 and of the setup, under the numbers of a run.
fn types(table: &Table, described: &DataTypes) -> Types {
    let mut types = Types::core();
    for data_type in &described.0 {
        let Some(key) = table.key(&data_type.node) else {
            continue;
        };
        let Shape::Structure { encoding, .. } = &data_type.shape else {
            types.declare(key, Builtin::Int32);
            continue;
        };
        let field = |member: &&Member| {
            Some(Field {
                name: member.name.clone(),
                data_type: table.key(&member.data_type)?,
                value_rank: if member.list { 1 } else { -1 },
                flag: member.optional || member.subtypes,
            })
        };
        types.insert(StructureType {
            data_type: key,
            encoding: table.key(encoding),
            name: data_type.name.clone(),
            kind: described.kind(&data_type.node),
            fields: described.members(&data_type.node).iter().filter_map(field).collect(),
        });
    }
    types
}

/// What the crate reads our bytes with: nothing is too large.
fn context() -> ContextOwned {
    const LARGE: usize = 1 << 30;
    let options = DecodingOptions {
        max_string_length: LARGE,
        max_byte_string_length: LARGE,
        max_array_length: LARGE,
        ..DecodingOptions::default()
    };
    ContextOwned::new_default(NamespaceMap::new(), options)
}
