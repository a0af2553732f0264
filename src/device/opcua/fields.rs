//! What is asked of the events of a server: their type's fields, select clauses and where clause (OPC 10000-4, 7.22.3).
//!
//! Owns where the value of each clause belongs in the tree of the event. Does not decode values.

use super::convert::key;
use super::describe::follow;
use super::fault::Fault;
use super::session::Session;
use crate::model::plan::FieldPath;
use crate::wire::opcua::{NodeKey, Tree, event_tree};
use opcua::types::{
    AttributeId, BrowseDirection, ContentFilter, ContentFilterElement, ElementOperand, EventFilter, ExtensionObject,
    FilterOperator, LiteralOperand, NodeClass, NodeId, NumericRange, QualifiedName, SimpleAttributeOperand, Variant,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// `BaseEventType`.
const BASE: u32 = 2041;
/// `EventQueueOverflowEventType`.
const OVERFLOW: u32 = 3035;
/// Types between one and `BaseEventType` at most.
const DEPTH: usize = 32;

/// Fields that every event has (OPC 10000-5, 6.4.2).
const COMMON: [&str; 6] = ["EventId", "EventType", "SourceName", "Time", "Message", "Severity"];

/// What is asked of one kind of events.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    filter: EventFilter,
    /// By clause: where it belongs.
    places: Vec<Vec<Arc<str>>>,
    /// The types that are meant, where the server does not tell them apart itself.
    only: Option<BTreeSet<NodeKey>>,
    types: Vec<NodeId>,
    /// Of these, events are told again on request.
    requested: BTreeSet<NodeKey>,
}

/// A field that a type declares, with what stands below it.
struct Declared {
    name: QualifiedName,
    node: NodeId,
}

/// Variables that a node has as components and properties.
async fn members(session: &Session, node: &NodeId) -> Result<Vec<Declared>, Fault> {
    let found = session.browse(&[follow(node, 44, BrowseDirection::Forward)]).await?;
    Ok(found
        .into_iter()
        .flatten()
        .filter(|reference| reference.node_class == NodeClass::Variable)
        .map(|reference| Declared {
            name: reference.browse_name,
            node: reference.node_id.node_id,
        })
        .collect())
}

/// These types and all below them.
async fn below(session: &Session, types: &[NodeId]) -> Result<BTreeSet<NodeKey>, Fault> {
    let mut found: BTreeSet<NodeKey> = types.iter().map(key).collect();
    let mut open = types.to_vec();
    while let Some(node) = open.pop() {
        let below = session.browse(&[follow(&node, 45, BrowseDirection::Forward)]).await?;
        for reference in below.into_iter().flatten() {
            if found.insert(key(&reference.node_id.node_id)) {
                open.push(reference.node_id.node_id);
            }
        }
    }
    Ok(found)
}

impl Asked {
    /// What is asked of events of type `wanted` for these ways. `requested`: a type of events told again on request.
    ///
    /// Sentences: fields that the type does not have.
    pub(super) async fn of(
        session: &Session,
        wanted: &NodeId,
        requested: Option<NodeId>,
        paths: &[&FieldPath],
    ) -> Result<(Self, Vec<String>), Fault> {
        let mut faults = Vec::new();
        let mut declared = Vec::new();
        let mut at = wanted.clone();
        for _ in 0..DEPTH {
            declared.extend(members(session, &at).await?);
            if at == NodeId::new(0, BASE) {
                break;
            }
            let up = session.browse(&[follow(&at, 45, BrowseDirection::Inverse)]).await?;
            match up.into_iter().flatten().next() {
                Some(parent) => at = parent.node_id.node_id,
                None if at == *wanted => {
                    faults.push(format!("the server has no event type {wanted}"));
                    break;
                }
                None => break,
            }
        }
        let mut clauses: Vec<Vec<QualifiedName>> = COMMON.iter().map(|name| vec![QualifiedName::from(*name)]).collect();
        for path in paths {
            let Some(first) = path.steps.first() else { continue };
            let named = |declared: &&Declared| {
                let name = declared.name.name.as_ref();
                first.names.iter().any(|wanted| &**wanted == name)
            };
            let Some(field) = declared.iter().find(named) else {
                let missing = first.names.first().map_or("", |name| name);
                if !COMMON.contains(&missing) && faults.is_empty() {
                    let known: BTreeSet<&str> = declared.iter().map(|field| field.name.name.as_ref()).collect();
                    let known = known.into_iter().collect::<Vec<_>>().join(", ");
                    faults.push(format!(
                        "events of type {wanted} have no field `{missing}`; they have {known}"
                    ));
                }
                continue;
            };
            let clause = vec![field.name.clone()];
            if !clauses.contains(&clause) {
                clauses.push(clause);
            }
            if let Some(second) = path.steps.get(1).filter(|_| first.selectors.is_empty()) {
                for below in members(session, &field.node).await? {
                    let name = below.name.name.as_ref();
                    let clause = vec![field.name.clone(), below.name.clone()];
                    if second.names.iter().any(|wanted| &**wanted == name) && !clauses.contains(&clause) {
                        clauses.push(clause);
                    }
                }
            }
        }
        let types: Vec<NodeId> = std::iter::once(wanted.clone()).chain(requested.clone()).collect();
        let asked = Self {
            places: clauses
                .iter()
                .map(|clause| clause.iter().map(|name| Arc::from(name.name.as_ref())).collect())
                .collect(),
            filter: EventFilter {
                select_clauses: Some(clauses.into_iter().map(operand).collect()),
                where_clause: of_types(&types),
            },
            only: None,
            types,
            requested: match &requested {
                Some(node) => below(session, std::slice::from_ref(node)).await?,
                None => BTreeSet::new(),
            },
        };
        Ok((asked, faults))
    }

    /// As a filter of a monitored item.
    pub(super) fn filter(&self) -> ExtensionObject {
        ExtensionObject::from_message(self.filter.clone())
    }

    /// The server does not take the where clause: events of other types are turned away here.
    pub(super) async fn tell_apart(&mut self, session: &Session) -> Result<(), Fault> {
        self.only = Some(below(session, &self.types).await?);
        self.filter.where_clause = ContentFilter::default();
        Ok(())
    }

    /// What kind of event it is that says these values.
    pub(super) fn kind(&self, values: &[Variant]) -> Kind {
        let said = match values.get(1) {
            Some(Variant::NodeId(node)) => (**node).clone(),
            _ => return Kind::Wanted,
        };
        if said == NodeId::new(0, OVERFLOW) {
            return Kind::Overflow;
        }
        if self.requested.contains(&key(&said)) {
            return Kind::Requested;
        }
        match &self.only {
            Some(only) if !only.contains(&key(&said)) => Kind::Other,
            _ => Kind::Wanted,
        }
    }

    /// The tree of an event, from its values in the order of the clauses.
    pub(super) fn tree(&self, values: Vec<Tree>) -> Tree {
        event_tree(&self.places, values)
    }

    /// Where the value of each clause belongs.
    pub(super) fn places(&self) -> &[Vec<Arc<str>>] {
        &self.places
    }

    /// The type of events that is meant.
    pub(super) fn wanted(&self) -> Option<&NodeId> {
        self.types.first()
    }
}

/// What kind of event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What was asked for.
    Wanted,
    /// What was asked for, told again on request.
    Requested,
    /// The server's queue was too short: events are lost.
    Overflow,
    /// Of another type.
    Other,
}

/// A clause by browse path, from `BaseEventType`: servers find fields of subtypes by that, too.
fn operand(path: Vec<QualifiedName>) -> SimpleAttributeOperand {
    SimpleAttributeOperand {
        type_definition_id: NodeId::new(0, BASE),
        browse_path: Some(path),
        attribute_id: AttributeId::Value as u32,
        index_range: NumericRange::None,
    }
}

/// Events of any of these types.
fn of_types(types: &[NodeId]) -> ContentFilter {
    let of_type = |node: &NodeId| ContentFilterElement {
        filter_operator: FilterOperator::OfType,
        filter_operands: Some(vec![ExtensionObject::from_message(LiteralOperand {
            value: Variant::from(node.clone()),
        })]),
    };
    let mut elements: Vec<ContentFilterElement> = types.iter().map(of_type).collect();
    if let [first, second] = &mut elements[..] {
        let (first, second) = (std::mem::take(first), std::mem::take(second));
        let element = |index| ExtensionObject::from_message(ElementOperand { index });
        elements = vec![
            ContentFilterElement {
                filter_operator: FilterOperator::Or,
                filter_operands: Some(vec![element(1), element(2)]),
            },
            first,
            second,
        ];
    }
    ContentFilter {
        elements: Some(elements),
    }
}
