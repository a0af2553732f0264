//! The nodes that a profile is begun with: what they are, and what is in them.

use super::desk::{Desk, Properties, Wanted};
use super::{Class, Picked, Seen, events};
use crate::device::opcua::describe::follow;
use crate::device::opcua::fault::Fault;
use crate::model::plan::NodeRef;
use opcua::types::{BrowseDirection, NodeClass, NodeId};

/// `HierarchicalReferences`.
const HIERARCHICAL: u32 = 33;

/// A variable that was chosen, itself or with its object.
struct Chosen {
    node: NodeId,
    name: String,
    of: String,
}

/// What the nodes are, in their order; of an object its variables.
pub(super) async fn pick(desk: &mut Desk<'_>, nodes: &[NodeRef]) -> Result<Vec<Picked>, Fault> {
    let mut faults = Vec::new();
    let mut picked = Vec::new();
    let mut chosen: Vec<Chosen> = Vec::new();
    for wanted in nodes {
        let node = match desk.resolve(wanted) {
            Ok(node) => node,
            Err(fault) => {
                faults.push(format!("{wanted}: {fault}"));
                continue;
            }
        };
        let Some((class, name)) = desk.look(&node).await? else {
            faults.push(format!(
                "the server has no node {wanted}, or hides it from this user; --browse without --out shows which it has"
            ));
            continue;
        };
        match class {
            Class::Variable => {
                let of = above(desk, &node).await?;
                chosen.push(Chosen { node, name, of });
            }
            Class::Object => {
                let below = variables(desk, &node).await?;
                if below.is_empty() {
                    faults.push(format!("{wanted} (`{name}`) is an object without variables: choose what is below it"));
                }
                chosen.extend(below.into_iter().map(|(node, variable)| Chosen {
                    node,
                    name: variable,
                    of: name.clone(),
                }));
            }
            Class::ObjectType => match events::whole(desk, &node, name.clone()).await? {
                Some(event) => picked.push(Picked::Event(event)),
                None => faults.push(format!(
                    "{wanted} (`{name}`) is a type of objects, which says no values: choose variables, objects or types of events"
                )),
            },
            Class::Method => faults.push(format!(
                "{wanted} (`{name}`) is a method, and no profile calls methods: choose variables, objects or types of events"
            )),
            Class::Other => faults.push(format!(
                "{wanted} (`{name}`) is no variable, no object and no type of events: choose one of these"
            )),
        }
    }
    if !faults.is_empty() {
        return Err(Fault::Final(faults.join("\n")));
    }
    let mut seen: Vec<NodeId> = Vec::new();
    chosen.retain(|one| {
        let new = !seen.contains(&one.node);
        seen.push(one.node.clone());
        new
    });
    let mut variables = Vec::with_capacity(chosen.len());
    for one in chosen {
        variables.push(variable(desk, one).await?);
    }
    variables.append(&mut picked);
    Ok(variables)
}

/// One variable, and what is in it.
async fn variable(desk: &mut Desk<'_>, one: Chosen) -> Result<Picked, Fault> {
    let properties: Properties = desk.properties_of(&one.node).await?;
    let wanted = Wanted {
        node: one.node.clone(),
        properties,
    };
    let said = desk.variables(std::slice::from_ref(&wanted)).await?;
    let mut fields = Vec::new();
    // There is no way into an array of structures as a whole.
    let typed = desk.typed(std::slice::from_ref(&one.node)).await?.into_iter().next();
    if let Some((data_type, rank)) = typed.filter(|(_, rank)| *rank < 0) {
        let leaves = desk.leaves("", &data_type, rank).await?;
        // What is no structure is one value, without a way to it.
        fields = leaves.into_iter().filter(|leaf| !leaf.path.is_empty()).collect();
    }
    desk.count(1);
    Ok(Picked::Variable {
        seen: Seen {
            depth: 0,
            name: one.name,
            node: desk.named(&one.node),
            class: Class::Variable,
            variable: said.into_iter().next(),
            notifies: false,
            unopened: false,
        },
        of: one.of,
        fields,
    })
}

/// The name of what a node belongs to.
async fn above(desk: &Desk<'_>, node: &NodeId) -> Result<String, Fault> {
    let found = desk
        .session
        .browse(&[follow(node, HIERARCHICAL, BrowseDirection::Inverse)])
        .await?;
    let first = found.into_iter().flatten().next();
    Ok(first
        .map(|reference| reference.browse_name.name.as_ref().to_owned())
        .unwrap_or_default())
}

/// The variables directly below a node, without those of namespace 0.
async fn variables(desk: &Desk<'_>, node: &NodeId) -> Result<Vec<(NodeId, String)>, Fault> {
    let found = desk
        .session
        .browse(&[follow(node, HIERARCHICAL, BrowseDirection::Forward)])
        .await?;
    Ok(found
        .into_iter()
        .flatten()
        .filter(|reference| reference.node_class == NodeClass::Variable && reference.browse_name.namespace_index != 0)
        .map(|reference| {
            let name = reference.browse_name.name.as_ref().to_owned();
            (reference.node_id.node_id, name)
        })
        .collect())
}
