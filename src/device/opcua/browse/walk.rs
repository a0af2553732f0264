//! The address space level by level, and then as a list in which each node stands below the one that it belongs to.
//!
//! Owns what is opened, where it is cut, and what a filter leaves.

use super::desk::{Desk, Properties, Wanted};
use super::{Class, Request, Seen};
use crate::device::opcua::describe::follow;
use crate::device::opcua::fault::Fault;
use opcua::types::{BrowseDirection, NodeClass, NodeId, ReferenceDescription};
use std::collections::HashSet;

/// `Objects`.
const OBJECTS: u32 = 85;
/// `HierarchicalReferences`.
const HIERARCHICAL: u32 = 33;
/// `HasProperty`.
const PROPERTY: u32 = 46;
/// Nodes that are opened at once.
const AT_ONCE: usize = 100;

/// A node that was found.
struct Node {
    id: NodeId,
    name: String,
    class: Class,
    above: Option<usize>,
    depth: usize,
    properties: Properties,
    unopened: bool,
}

/// What stands below where the request begins, and whether there is more.
pub(super) async fn walk(desk: &mut Desk<'_>, request: &Request) -> Result<(Vec<Seen>, Option<usize>), Fault> {
    let root = match &request.under {
        Some(node) => desk.resolve(node)?,
        None => NodeId::new(0, OBJECTS),
    };
    let Some((class, name)) = desk.look(&root).await? else {
        let node = desk.named(&root);
        return Err(Fault::Final(format!(
            "the server has no node {node}, or hides it from this user; without --under it is browsed from the top"
        )));
    };
    let mut nodes = vec![Node {
        id: root.clone(),
        name,
        class,
        above: None,
        depth: 0,
        properties: Properties::new(),
        unopened: false,
    }];
    let mut known = HashSet::from([root.clone()]);
    let mut cut = false;
    let (mut next, mut counted) = (0, 0);
    while next < nodes.len() {
        let end = nodes.len().min(next + AT_ONCE);
        let mut asked = Vec::new();
        let mut of = Vec::new();
        for (index, node) in nodes.iter_mut().enumerate().take(end).skip(next) {
            // What is of namespace 0 there is the server's own: hundreds of nodes, none of a machine.
            let closed = request.under.is_none() && node.id.namespace == 0 && node.id != root;
            let opens = match node.class {
                Class::Method => false,
                _ => node.depth < request.depth && !closed,
            };
            node.unopened = !opens && matches!(node.class, Class::Object | Class::ObjectType | Class::Other);
            // Of a variable at the lowest level only what its value means is looked at.
            let kind = match (opens, node.class) {
                (true, _) => HIERARCHICAL,
                (false, Class::Variable) => PROPERTY,
                _ => continue,
            };
            asked.push(follow(&node.id, kind, BrowseDirection::Forward));
            of.push((index, opens));
        }
        next = end;
        let found = desk.session.browse(&asked).await?;
        for ((above, opens), references) in of.into_iter().zip(found) {
            for reference in references {
                cut |= !take(&mut nodes, &mut known, above, opens, reference, request.most);
            }
        }
        desk.count(nodes.len() - counted);
        counted = nodes.len();
    }
    let cut = cut.then_some(nodes.len());
    Ok((list(desk, nodes, request).await?, cut))
}

/// Takes what a node refers to; `false`: there are too many.
fn take(
    nodes: &mut Vec<Node>,
    known: &mut HashSet<NodeId>,
    above: usize,
    opens: bool,
    reference: ReferenceDescription,
    most: usize,
) -> bool {
    let Some(node) = nodes.get_mut(above) else { return true };
    // A node of another server.
    if reference.node_id.server_index != 0 {
        return true;
    }
    let id = reference.node_id.node_id;
    let name = reference.browse_name.name.as_ref().to_owned();
    let property = reference.reference_type_id == NodeId::new(0, PROPERTY);
    if property && reference.browse_name.namespace_index == 0 && matches!(node.class, Class::Variable | Class::Method) {
        node.properties.insert(name, id);
        return true;
    }
    if !opens || known.contains(&id) {
        return true;
    }
    let depth = node.depth + 1;
    if nodes.len() >= most {
        return false;
    }
    known.insert(id.clone());
    nodes.push(Node {
        id,
        name,
        class: match reference.node_class {
            NodeClass::Object => Class::Object,
            NodeClass::Variable => Class::Variable,
            NodeClass::Method => Class::Method,
            NodeClass::ObjectType => Class::ObjectType,
            _ => Class::Other,
        },
        above: Some(above),
        depth,
        properties: Properties::new(),
        unopened: false,
    });
    true
}

/// Which nodes a filter leaves: those that it means, and those above them.
fn meant(desk: &Desk<'_>, nodes: &[Node], filter: Option<&str>) -> Vec<bool> {
    let Some(filter) = filter.map(str::to_lowercase) else {
        return vec![true; nodes.len()];
    };
    let mut meant: Vec<bool> = nodes
        .iter()
        .map(|node| {
            let says = |text: &str| text.to_lowercase().contains(&filter);
            says(&node.name) || says(&desk.named(&node.id).to_string())
        })
        .collect();
    // What is above stands before.
    for (index, node) in nodes.iter().enumerate().rev() {
        if let (Some(true), Some(above)) = (meant.get(index).copied(), node.above)
            && let Some(above) = meant.get_mut(above)
        {
            *above = true;
        }
    }
    meant
}

/// The nodes in the order in which they are shown, with what they say.
async fn list(desk: &mut Desk<'_>, nodes: Vec<Node>, request: &Request) -> Result<Vec<Seen>, Fault> {
    let meant = meant(desk, &nodes, request.filter.as_deref());
    let of = |class: Class| {
        let nodes = nodes.iter().enumerate().zip(&meant);
        nodes
            .filter(move |((_, node), meant)| **meant && node.class == class)
            .map(|((index, _), _)| index)
            .collect::<Vec<usize>>()
    };
    let (variables, objects) = (of(Class::Variable), of(Class::Object));
    let wanted: Vec<Wanted> = variables
        .iter()
        .filter_map(|index| nodes.get(*index))
        .map(|node| Wanted {
            node: node.id.clone(),
            properties: node.properties.clone(),
        })
        .collect();
    let said = desk.variables(&wanted).await?;
    let ids: Vec<NodeId> = objects
        .iter()
        .filter_map(|index| nodes.get(*index))
        .map(|node| node.id.clone())
        .collect();
    let notifies = desk.notifies(&ids).await?;
    let mut seen: Vec<Option<Seen>> = nodes
        .iter()
        .zip(&meant)
        .map(|(node, meant)| {
            meant.then(|| Seen {
                depth: node.depth,
                name: node.name.clone(),
                node: desk.named(&node.id),
                class: node.class,
                variable: None,
                notifies: false,
                unopened: node.unopened,
            })
        })
        .collect();
    for (index, said) in variables.into_iter().zip(said) {
        if let Some(Some(seen)) = seen.get_mut(index) {
            seen.variable = Some(said);
        }
    }
    for (index, notifies) in objects.into_iter().zip(notifies) {
        if let Some(Some(seen)) = seen.get_mut(index) {
            seen.notifies = notifies;
        }
    }
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        if let Some(list) = node.above.and_then(|above| below.get_mut(above)) {
            list.push(index);
        }
    }
    let mut open = vec![0];
    let mut list = Vec::with_capacity(seen.len());
    while let Some(index) = open.pop() {
        list.extend(seen.get_mut(index).and_then(Option::take));
        open.extend(below.get(index).into_iter().flatten().rev());
    }
    Ok(list)
}
