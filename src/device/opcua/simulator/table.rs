//! Names and numbers of one run of a server: which namespace has which index, which node is which.
//!
//! Owns the numbering; a run keeps its own.

use super::setup::Setup;
use super::value::{self, Kind};
use crate::model::plan::{Namespace, NodeRef};
use crate::wire::opcua::Tree;
use opcua::types::{DataTypeId, NodeId, Variant};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The namespace of the specification itself.
const CORE: &str = "http://opcfoundation.org/UA/";

/// The numbering of one run.
#[derive(Debug)]
pub(super) struct Table {
    namespaces: Vec<Arc<str>>,
    nodes: HashMap<NodeId, NodeRef>,
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
        };
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

    /// The data type of a kind of values.
    pub(super) fn data_type(&self, kind: &Kind) -> NodeId {
        let own = match kind {
            Kind::Structure(node) => self.node(node),
            kind => kind.data_type(),
        };
        own.unwrap_or_else(|| DataTypeId::BaseDataType.into())
    }
}

impl Table {
    /// The type of a field of an event.
    pub(super) fn field_kind(&self, _event: &NodeRef, _name: &str) -> Kind {
        Kind::Any
    }

    /// The data type of a field of an event.
    pub(super) fn field_type(&self, event: &NodeRef, name: &str) -> NodeId {
        self.data_type(&self.field_kind(event, name))
    }
}

/// A value as the type has it, for the wire.
///
/// # Errors
/// A sentence: the type cannot hold it.
pub(super) fn encode(_table: Option<&Table>, kind: &Kind, tree: &Tree) -> Result<Variant, String> {
    if *tree == Tree::Null {
        return Ok(Variant::Empty);
    }
    match value::plain(tree) {
        Some(raw) => value::variant(kind, &raw),
        None => Err("structures cannot be encoded yet".to_owned()),
    }
}

/// What a client wrote.
pub(super) fn decode(variant: &Variant) -> Option<Tree> {
    Some(value::raw(variant).as_ref().map_or(Tree::Null, value::tree))
}
