//! The types of events that a server has, and their fields (OPC 10000-5, 6.4).

use super::desk::Desk;
use super::{EventType, Leaf};
use crate::device::opcua::describe::follow;
use crate::device::opcua::fault::Fault;
use opcua::types::{BrowseDirection, NodeClass, NodeId};
use std::collections::HashMap;

/// `BaseEventType`.
pub(super) const BASE: u32 = 2041;
/// `Aggregates`: components and properties.
const AGGREGATES: u32 = 44;
/// `HasSubtype`.
const SUBTYPE: u32 = 45;
/// Types one above another.
const DEEPEST: usize = 32;
/// Types of events at most.
const MOST: usize = 1_000;

/// Types of events that are not of namespace 0, with their own fields and those of types above that are not of it either.
pub(super) async fn types(desk: &mut Desk<'_>, filter: Option<&str>) -> Result<Vec<EventType>, Fault> {
    let base = NodeId::new(0, BASE);
    let mut above: HashMap<NodeId, (NodeId, String)> = HashMap::new();
    let mut found = Vec::new();
    let mut open = vec![(base, "BaseEventType".to_owned())];
    while !open.is_empty() && found.len() < MOST {
        let asked: Vec<_> = open
            .iter()
            .map(|(node, _)| follow(node, SUBTYPE, BrowseDirection::Forward))
            .collect();
        let answers = desk.session.browse(&asked).await?;
        let mut next = Vec::new();
        for ((node, name), references) in open.into_iter().zip(answers) {
            for reference in references {
                let below = reference.node_id.node_id;
                if above.contains_key(&below) {
                    continue;
                }
                let title = reference.browse_name.name.as_ref().to_owned();
                above.insert(below.clone(), (node.clone(), name.clone()));
                if below.namespace != 0 {
                    found.push((below.clone(), title.clone()));
                }
                next.push((below, title));
            }
        }
        open = next;
    }
    let filter = filter.map(str::to_lowercase);
    let mut types = Vec::new();
    for (node, name) in found {
        let named = desk.named(&node);
        let says = |text: &str| {
            filter
                .as_ref()
                .is_none_or(|filter| text.to_lowercase().contains(filter))
        };
        if !says(&name) && !says(&named.to_string()) {
            continue;
        }
        let mut fields = Vec::new();
        let mut at = node.clone();
        for _ in 0..DEEPEST {
            if at.namespace == 0 {
                break;
            }
            put_fields(desk, &at, &mut fields).await?;
            match above.get(&at) {
                Some((parent, _)) => at = parent.clone(),
                None => break,
            }
        }
        types.push(EventType {
            name,
            node: named,
            above: above.get(&node).map(|(_, name)| name.clone()).unwrap_or_default(),
            fields,
        });
        desk.count(1);
    }
    Ok(types)
}

/// One type of events with the fields of all types above it but `BaseEventType`; `None`: it is no type of events.
pub(super) async fn whole(desk: &mut Desk<'_>, node: &NodeId, name: String) -> Result<Option<EventType>, Fault> {
    let mut fields = Vec::new();
    let mut above = String::new();
    let mut at = node.clone();
    for depth in 0..DEEPEST {
        if at == NodeId::new(0, BASE) {
            return Ok(Some(EventType {
                name,
                node: desk.named(node),
                above,
                fields,
            }));
        }
        put_fields(desk, &at, &mut fields).await?;
        let up = desk
            .session
            .browse(&[follow(&at, SUBTYPE, BrowseDirection::Inverse)])
            .await?;
        let Some(parent) = up.into_iter().flatten().next() else {
            break;
        };
        if depth == 0 {
            above = parent.browse_name.name.as_ref().to_owned();
        }
        at = parent.node_id.node_id;
    }
    Ok(None)
}

/// The fields that a type declares itself.
async fn put_fields(desk: &mut Desk<'_>, node: &NodeId, fields: &mut Vec<Leaf>) -> Result<(), Fault> {
    let found = desk
        .session
        .browse(&[follow(node, AGGREGATES, BrowseDirection::Forward)])
        .await?;
    let mut members: Vec<(NodeId, String)> = found
        .into_iter()
        .flatten()
        .filter(|reference| reference.node_class == NodeClass::Variable)
        .map(|reference| {
            let name = reference.browse_name.name.as_ref().to_owned();
            (reference.node_id.node_id, name)
        })
        .collect();
    members.retain(|(_, name)| {
        let inside = format!("{name}/");
        let is_there = |field: &Leaf| field.path == *name || field.path.starts_with(&inside);
        !fields.iter().any(is_there)
    });
    let nodes: Vec<NodeId> = members.iter().map(|(node, _)| node.clone()).collect();
    let types = desk.typed(&nodes).await?;
    for ((_, name), (data_type, rank)) in members.iter().zip(types) {
        fields.extend(desk.leaves(name, &data_type, rank).await?);
    }
    Ok(())
}
