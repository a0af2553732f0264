//! What all looks at a server share: names of data types, words of enumerations, values of variables, fields of structures.
//!
//! Owns what was learned of the types of one session.

use super::{Class, Leaf, Server, Variable, named};
use crate::device::opcua::convert::{self, status};
use crate::device::opcua::describe::{Describer, attribute, follow};
use crate::device::opcua::fault::Fault;
use crate::device::opcua::session::Session;
use crate::device::tap::Tap;
use crate::model::plan::{NodeRef, OpcuaType};
use crate::wire::opcua::Tree;
use opcua::types::{
    AttributeId, BrowseDirection, DataValue, EnumDefinition, LocalizedText, NodeId, ReadValueId, StatusCode, Variant,
    VariantScalarTypeId,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Values that are read in one call: a large array among them must not make the answer too large.
const VALUES: usize = 100;
/// Structures inside structures that are followed.
const DEEPEST: usize = 6;
/// Values of one structure that are told.
const MOST_LEAVES: usize = 500;

/// `HasProperty`.
const PROPERTY: u32 = 46;
/// `EUInformation`: one value, a unit of measure.
const UNIT: u32 = 887;

/// Namespace 0 properties that say what a variable's value means.
pub(super) type Properties = HashMap<String, NodeId>;

/// What is known of a data type.
#[derive(Debug, Clone, Default)]
struct DataType {
    name: String,
    words: Vec<(i64, String)>,
}

/// A session, and what was learned in it.
pub(super) struct Desk<'a> {
    pub(super) session: &'a Session,
    found: &'a AtomicUsize,
    describer: Describer,
    types: HashMap<NodeId, DataType>,
}

/// A variable that is looked at, with its properties.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) node: NodeId,
    pub(super) properties: Properties,
}

impl<'a> Desk<'a> {
    pub(super) fn new(session: &'a Session, found: &'a AtomicUsize) -> Self {
        Self {
            session,
            found,
            describer: Describer::new(Tap::default()),
            types: HashMap::new(),
        }
    }

    /// So many nodes were found more.
    pub(super) fn count(&self, more: usize) {
        self.found.fetch_add(more, Ordering::Relaxed);
    }

    /// A node id as a profile writes it.
    pub(super) fn named(&self, node: &NodeId) -> NodeRef {
        named(node, &self.session.namespaces)
    }

    /// The node id in this session.
    pub(super) fn resolve(&self, node: &NodeRef) -> Result<NodeId, Fault> {
        convert::node_id(node, &self.session.namespaces).map_err(Fault::Final)
    }

    /// What a node is, and its name; `None`: the server has no such node, or hides it.
    pub(super) async fn look(&self, node: &NodeId) -> Result<Option<(Class, String)>, Fault> {
        let asked = [
            attribute(node, AttributeId::NodeClass),
            attribute(node, AttributeId::BrowseName),
        ];
        let values = self.session.read(&asked).await?;
        let class = values.first().and_then(number);
        let name = values.get(1).map(name).unwrap_or_default();
        Ok(class.map(|class| (class_of(class), name)))
    }

    /// What objects let be subscribed to.
    pub(super) async fn notifies(&self, nodes: &[NodeId]) -> Result<Vec<bool>, Fault> {
        let asked: Vec<ReadValueId> = nodes
            .iter()
            .map(|node| attribute(node, AttributeId::EventNotifier))
            .collect();
        let values = self.session.read(&asked).await?;
        // Bit 0: SubscribeToEvents (OPC 10000-3, 8.59).
        Ok(values
            .iter()
            .map(|value| number(value).is_some_and(|bits| bits & 1 == 1))
            .collect())
    }

    /// What variables say.
    pub(super) async fn variables(&mut self, wanted: &[Wanted]) -> Result<Vec<Variable>, Fault> {
        const ASKED: [AttributeId; 3] = [
            AttributeId::DataType,
            AttributeId::ValueRank,
            AttributeId::UserAccessLevel,
        ];
        let asked: Vec<ReadValueId> = wanted
            .iter()
            .flat_map(|of| ASKED.map(|what| attribute(&of.node, what)))
            .collect();
        let attributes = self.session.read(&asked).await?;
        let types: Vec<NodeId> = attributes.chunks(ASKED.len()).map(data_type).collect();
        self.learn(&types).await?;
        let mut values = Vec::with_capacity(wanted.len());
        for part in wanted.chunks(VALUES) {
            values.append(&mut self.values(part).await?);
        }
        let mut seen = Vec::with_capacity(wanted.len());
        for (((of, said), value), data_type) in wanted.iter().zip(attributes.chunks(ASKED.len())).zip(values).zip(types)
        {
            let rank = said.get(1).and_then(number).unwrap_or(-1);
            let access = said.get(2).and_then(number).unwrap_or(1);
            let known = self.types.get(&data_type).cloned().unwrap_or_default();
            let mut variable = Variable {
                data_type: known.name,
                dimensions: dimensions(rank, value.value.as_ref()),
                // CurrentRead, CurrentWrite (OPC 10000-3, 8.57).
                readable: access & 1 == 1,
                writable: access & 2 == 2,
                kind: value.value.as_ref().and_then(Variant::scalar_type_id).and_then(kind),
                words: known.words,
                ..Variable::default()
            };
            self.say(&mut variable, &value).await?;
            self.properties(&mut variable, &of.properties).await?;
            seen.push(variable);
        }
        Ok(seen)
    }

    /// Reads values; one that makes the answer too large is none.
    async fn values(&self, part: &[Wanted]) -> Result<Vec<DataValue>, Fault> {
        let asked: Vec<ReadValueId> = part.iter().map(|of| attribute(&of.node, AttributeId::Value)).collect();
        match self.session.read(&asked).await {
            Ok(values) => return Ok(values),
            Err(fault) if fault.ends_session() => return Err(fault),
            Err(fault) => tracing::debug!("{fault}"),
        }
        let mut values = Vec::with_capacity(part.len());
        for one in &asked {
            let mut said = match self.session.read(std::slice::from_ref(one)).await {
                Ok(said) => said,
                Err(fault) if fault.ends_session() => return Err(fault),
                Err(fault) => vec![DataValue {
                    status: Some(fault.status().unwrap_or(StatusCode::BadUnexpectedError)),
                    ..DataValue::default()
                }],
            };
            values.append(&mut said);
        }
        Ok(values)
    }

    /// Its value and quality.
    async fn say(&mut self, variable: &mut Variable, value: &DataValue) -> Result<(), Fault> {
        let code = value.status.unwrap_or(StatusCode::Good);
        variable.quality = (!code.is_good()).then(|| status(code));
        if code.is_bad() {
            return Ok(());
        }
        if let Some(value) = &value.value {
            match self.describer.tree(self.session, value).await? {
                Ok(Tree::Null) => {}
                Ok(tree) => variable.value = Some(tree),
                Err(reason) => variable.quality = Some(reason),
            }
        }
        Ok(())
    }

    /// What properties of namespace 0 say of a variable.
    async fn properties(&mut self, variable: &mut Variable, properties: &Properties) -> Result<(), Fault> {
        if properties.is_empty() {
            return Ok(());
        }
        if let Some(unit) = properties.get("EngineeringUnits") {
            let unit = self.tree_of(unit).await?.and_then(|tree| tree.raw());
            variable.uom = unit.map(|raw| raw.text()).filter(|text| !text.trim().is_empty());
        }
        let words = self.words(properties).await?;
        if !words.is_empty() {
            variable.words = words;
        }
        Ok(())
    }

    async fn tree_of(&mut self, node: &NodeId) -> Result<Option<Tree>, Fault> {
        let read = self.session.read(&[attribute(node, AttributeId::Value)]).await?;
        let Some(value) = read.into_iter().next().and_then(|value| value.value) else {
            return Ok(None);
        };
        Ok(self.describer.tree(self.session, &value).await?.ok())
    }

    /// What numbers mean: `EnumStrings`, `EnumValues`, `FalseState` and `TrueState` (OPC 10000-8, 5.3.3; OPC 10000-3, 8.40).
    async fn words(&mut self, properties: &Properties) -> Result<Vec<(i64, String)>, Fault> {
        let text = |tree: &Tree| tree.raw().map(|raw| raw.text()).unwrap_or_default();
        if let Some(node) = properties.get("EnumValues")
            && let Some(Tree::List(values)) = self.tree_of(node).await?
        {
            let word = |value: &Tree| {
                let number = value.field("Value")?.raw()?.number()?.to_i128()?;
                Some((i64::try_from(number).ok()?, text(value.field("DisplayName")?)))
            };
            return Ok(values.iter().filter_map(word).collect());
        }
        if let Some(node) = properties.get("EnumStrings")
            && let Some(Tree::List(names)) = self.tree_of(node).await?
        {
            return Ok((0..).zip(names.iter().map(text)).collect());
        }
        let mut words = Vec::new();
        for (number, name) in [(0, "FalseState"), (1, "TrueState")] {
            if let Some(node) = properties.get(name)
                && let Some(said) = self.tree_of(node).await?
            {
                words.push((number, text(&said)));
            }
        }
        Ok(words)
    }

    /// Properties of namespace 0 that a node has.
    pub(super) async fn properties_of(&self, node: &NodeId) -> Result<Properties, Fault> {
        let found = self
            .session
            .browse(&[follow(node, PROPERTY, BrowseDirection::Forward)])
            .await?;
        Ok(found
            .into_iter()
            .flatten()
            .filter(|reference| reference.browse_name.namespace_index == 0)
            .map(|reference| (reference.browse_name.name.to_string(), reference.node_id.node_id))
            .collect())
    }

    /// Names and words of data types.
    async fn learn(&mut self, types: &[NodeId]) -> Result<(), Fault> {
        let mut unknown: Vec<NodeId> = Vec::new();
        for node in types {
            if !node.is_null() && !self.types.contains_key(node) && !unknown.contains(node) {
                unknown.push(node.clone());
            }
        }
        let asked: Vec<ReadValueId> = unknown
            .iter()
            .flat_map(|node| {
                [AttributeId::BrowseName, AttributeId::DataTypeDefinition].map(|what| attribute(node, what))
            })
            .collect();
        let said = self.session.read(&asked).await?;
        for (node, said) in unknown.into_iter().zip(said.chunks(2)) {
            let name = said.first().map(name).filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| self.named(&node).to_string());
            let defined = match said.get(1).and_then(|value| value.value.as_ref()) {
                Some(Variant::ExtensionObject(object)) => object.inner_as::<EnumDefinition>().map(defined_words),
                _ => None,
            };
            // Built-in types have no words; what is defined as a structure has none either.
            let plain = node.namespace == 0 || said.get(1).is_some_and(|value| value.value.is_some());
            let words = match defined {
                Some(words) => words,
                None if plain => Vec::new(),
                None => {
                    let properties = self.properties_of(&node).await?;
                    self.words(&properties).await?
                }
            };
            self.types.insert(node, DataType { name, words });
        }
        Ok(())
    }

    /// Values inside a variable or field of this data type; none where it is no structure.
    pub(super) async fn leaves(&mut self, path: &str, data_type: &NodeId, rank: i32) -> Result<Vec<Leaf>, Fault> {
        let mut leaves = Vec::new();
        self.put_leaves(path, data_type, rank, 0, &mut leaves).await?;
        Ok(leaves)
    }

    async fn put_leaves(
        &mut self,
        path: &str,
        data_type: &NodeId,
        rank: i32,
        depth: usize,
        leaves: &mut Vec<Leaf>,
    ) -> Result<(), Fault> {
        if leaves.len() >= MOST_LEAVES {
            return Ok(());
        }
        let unit = *data_type == NodeId::new(0, UNIT);
        let structure = if unit {
            None
        } else {
            self.describer.structure(self.session, data_type).await?
        };
        self.learn(std::slice::from_ref(data_type)).await?;
        let array = rank >= 0;
        let Some(structure) = structure.filter(|_| depth < DEEPEST) else {
            let known = self.types.get(data_type).cloned().unwrap_or_default();
            let open = !unit && !self.describer.is_simple(data_type);
            leaves.push(Leaf {
                path: path.to_owned(),
                data_type: known.name,
                array,
                words: known.words,
                open,
            });
            return Ok(());
        };
        let first = if array && !path.is_empty() { "[0]" } else { "" };
        let gap = if path.is_empty() { "" } else { "/" };
        for field in &structure.fields {
            let below = format!("{path}{first}{gap}{}", field.name);
            let node = convert::unkey(&field.data_type);
            Box::pin(self.put_leaves(&below, &node, field.value_rank, depth + 1, leaves)).await?;
        }
        Ok(())
    }

    /// Data types and ranks of variables.
    pub(super) async fn typed(&self, nodes: &[NodeId]) -> Result<Vec<(NodeId, i32)>, Fault> {
        let asked: Vec<ReadValueId> = nodes
            .iter()
            .flat_map(|node| [AttributeId::DataType, AttributeId::ValueRank].map(|what| attribute(node, what)))
            .collect();
        let said = self.session.read(&asked).await?;
        Ok(said
            .chunks(2)
            .map(|said| {
                let rank = said.get(1).and_then(number).and_then(|rank| i32::try_from(rank).ok());
                (data_type(said), rank.unwrap_or(-1))
            })
            .collect())
    }
}

/// The server as it says of itself, for files.
impl Server {
    /// Its maker, product and version in a line; empty where it says none.
    #[must_use]
    pub fn described(&self) -> String {
        let parts = [&self.vendor, &self.product, &self.version];
        let parts: Vec<&str> = parts
            .into_iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        parts.join(" ")
    }
}

/// A data type, as the first of these values says it.
fn data_type(said: &[DataValue]) -> NodeId {
    match said.first().and_then(|value| value.value.as_ref()) {
        Some(Variant::NodeId(node)) => (**node).clone(),
        _ => NodeId::null(),
    }
}

/// A whole number.
fn number(value: &DataValue) -> Option<i64> {
    match value.value.as_ref()? {
        Variant::Byte(number) => Some(i64::from(*number)),
        Variant::Int32(number) => Some(i64::from(*number)),
        Variant::UInt32(number) => Some(i64::from(*number)),
        _ => None,
    }
}

/// A browse name.
fn name(value: &DataValue) -> String {
    match &value.value {
        Some(Variant::QualifiedName(name)) => name.name.to_string(),
        _ => String::new(),
    }
}

/// `NodeClass` (OPC 10000-3, 8.29).
fn class_of(class: i64) -> Class {
    match class {
        1 => Class::Object,
        2 => Class::Variable,
        4 => Class::Method,
        8 => Class::ObjectType,
        _ => Class::Other,
    }
}

/// Dimensions of an array: as its rank says, else as its value shows.
fn dimensions(rank: i64, value: Option<&Variant>) -> usize {
    match (rank, value) {
        (1.., _) => usize::try_from(rank).unwrap_or(1),
        // Any number of dimensions; one or more.
        (_, Some(Variant::Array(array))) => array.dimensions.as_ref().map_or(1, |of| of.len().max(1)),
        (0, _) => 1,
        _ => 0,
    }
}

fn defined_words(definition: &EnumDefinition) -> Vec<(i64, String)> {
    let text = |text: &LocalizedText| text.text.as_ref().to_owned();
    let fields = definition.fields.as_deref().unwrap_or_default();
    fields
        .iter()
        .map(|field| {
            let name = field.name.as_ref().to_owned();
            let name = if name.is_empty() {
                text(&field.display_name)
            } else {
                name
            };
            (field.value, name)
        })
        .collect()
}

/// As what a variable is written that holds such values.
fn kind(scalar: VariantScalarTypeId) -> Option<OpcuaType> {
    OpcuaType::ALL.into_iter().find(|kind| convert::scalar(*kind) == scalar)
}
