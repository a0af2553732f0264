//! `given` of an example of OPC UA: what variables say, and events as a tree of their fields, here or in a JSON file.
//!
//! Owns how both are written. Owns nothing of what they lead to.

use super::given::{Given, values};
use crate::diagnostic::tree::{Node, Table, Value as Toml, wrong};
use crate::diagnostic::{Diagnostic, Diagnostics, meant};
use crate::model::Raw;
use crate::model::plan::{OpcuaPoint, SlotPlan};
use crate::profile::nodes::node_id;
use crate::profile::{Profile, endpoint};
use crate::wire::opcua::{Structure, Tree};
use std::sync::Arc;

const HOW: &str = "give values = { point = 7 }, or an event: event = { Result = { … } }, event = \"captured.json\" beside the profile";
const KEYS: &[&str] = &["values", "event", "type"];

/// One step; `None` where it cannot be read, which was told.
pub(super) fn step(
    profile: &Profile,
    plan: &SlotPlan,
    table: &Table,
    node: &Node,
    out: &mut Diagnostics,
) -> Option<Given> {
    for (key, _) in &table.entries {
        if !KEYS.contains(&key.name.as_str()) {
            out.push(
                Diagnostic::error(&key.place, format!("`{}` is nothing that a server says", key.name))
                    .maybe_help(meant(&key.name, KEYS).filter(|help| help.starts_with("did you mean")))
                    .related(&profile.connection.protocol.place, "the protocol"),
            );
            return None;
        }
    }
    if table.entries.is_empty() {
        out.push(Diagnostic::error(&node.place, "this gives nothing").help(HOW));
        return None;
    }
    let said = match table.get("values") {
        Some(node) => values(profile, plan, node, out)?,
        None => vec![None; plan.points.len()],
    };
    let fields = match table.get("event") {
        Some(node) => Some(tree_of(profile, node, out)?),
        None => None,
    };
    let of_event = |at: &OpcuaPoint| at.node.is_none();
    let points = plan.points.iter().zip(&said);
    let some_field = points
        .filter(|(_, raw)| raw.is_some())
        .any(|(point, _)| point.at.opcua().is_some_and(of_event));
    match fields {
        Some(fields) => Some(Given::Event(notice(plan, table, node, out)?, fields, said)),
        // Fields come only with an event.
        None if some_field || table.get("type").is_some() => {
            Some(Given::Noticed(notice(plan, table, node, out)?, said))
        }
        None => Some(Given::Nodes(said)),
    }
}

/// Which of the plan's notices it is.
fn notice(plan: &SlotPlan, table: &Table, node: &Node, out: &mut Diagnostics) -> Option<u16> {
    let known: Vec<String> = plan
        .notices
        .iter()
        .map(|notice| notice.event_type.to_string())
        .collect();
    if known.is_empty() {
        out.push(
            Diagnostic::error(
                &node.place,
                "no event of this profile is triggered by an event of a server",
            )
            .help("say which one makes it happen: when = { event = \"nsu=…;i=1007\" }"),
        );
        return None;
    }
    let Some(wanted) = table.get("type") else {
        let first = plan.notices.first()?;
        if plan.notices.iter().any(|other| other.event_type != first.event_type) {
            out.push(
                Diagnostic::error(&node.place, "this profile knows several types of events")
                    .help(format!("say which one this is: type = \"{}\"", known.join("\", or \""))),
            );
            return None;
        }
        return Some(0);
    };
    let id = node_id(wanted.as_text().unwrap_or_default(), &wanted.place, out)?;
    let found = plan.notices.iter().position(|notice| notice.event_type == id);
    if found.is_none() {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        out.push(
            Diagnostic::error(&wanted.place, format!("nothing here is triggered by `{id}`"))
                .maybe_help(meant(&id.to_string(), &known)),
        );
    }
    u16::try_from(found?).ok()
}

/// The fields of an event: a table, or a JSON file beside the profile.
fn tree_of(profile: &Profile, node: &Node, out: &mut Diagnostics) -> Option<Tree> {
    let Some(text) = node.as_text() else {
        if node.as_table().is_none() {
            wrong(node, "event", "a table of fields, or the name of a JSON file", out);
            return None;
        }
        return Some(tree(node));
    };
    let path = endpoint::beside(&node.place, text);
    let read = profile.beside.get(&path);
    let parsed = read.map(|text| text.as_ref().map(|text| serde_json::from_str(text)));
    let (message, help) = match parsed {
        Some(Ok(Ok(json))) => return Some(doubles(Tree::from_json(&json))),
        Some(Ok(Err(fault))) => (
            format!("`{text}` is not JSON: {fault}"),
            "an event is an object of its fields",
        ),
        Some(Err(fault)) => (
            format!("{}: {fault}", path.display()),
            "the path is relative to the file that says it",
        ),
        None => (format!("{} was not read", path.display()), HOW),
    };
    out.push(Diagnostic::error(&node.place, message).help(help));
    None
}

/// Numbers with a decimal point as servers say them in structures: as `Double`.
fn doubles(tree: Tree) -> Tree {
    match tree {
        Tree::Value(Raw::Dec(number)) => Tree::Value(Raw::F64(number.to_f64().to_bits())),
        Tree::List(items) => Tree::List(items.into_iter().map(doubles).collect()),
        Tree::Struct(structure) => {
            let fields = structure.fields.iter();
            Tree::Struct(Arc::new(Structure {
                name: structure.name.clone(),
                fields: fields
                    .map(|(name, tree)| (name.clone(), doubles(tree.clone())))
                    .collect(),
            }))
        }
        other => other,
    }
}

/// TOML as a tree. A table is a structure, whose type `$type` may name.
fn tree(node: &Node) -> Tree {
    match &node.value {
        Toml::Text(text) => Tree::Value(Raw::Text(text.clone())),
        Toml::Integer(number) => Tree::Value(Raw::Int(*number)),
        Toml::Float(number) => doubles(Tree::Value(Raw::Dec(*number))),
        Toml::Bool(value) => Tree::Value(Raw::Bool(*value)),
        Toml::List(items) => Tree::List(items.iter().map(tree).collect()),
        Toml::Table(table) => {
            let named = table.get("$type").and_then(Node::as_text).unwrap_or_default();
            let fields = table.entries.iter().filter(|(key, _)| key.name != "$type");
            Tree::Struct(Arc::new(Structure {
                name: named.into(),
                fields: fields
                    .map(|(key, node)| (Arc::from(key.name.as_str()), tree(node)))
                    .collect(),
            }))
        }
    }
}
