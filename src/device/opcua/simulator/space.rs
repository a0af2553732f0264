//! The nodes of a simulated server: folders, variables, types of events, data types with their descriptions.
//!
//! Owns where they stand. Values come from the store, bytes of structures from [`crate::wire::opcua`].

use super::setup::Setup;
use super::table::Table;
use super::value;
use crate::model::plan::NodeRef;
use opcua::nodes::{EventNotifier, ObjectBuilder, ObjectTypeBuilder, VariableBuilder};
use opcua::server::address_space::{AccessLevel, AddressSpace};
use opcua::types::{NodeId, ObjectId, ObjectTypeId, QualifiedName, ReferenceTypeId, VariableTypeId, Variant};

/// Puts all that the setup names into the address space.
pub(super) fn fill(space: &mut AddressSpace, setup: &Setup, table: &Table) {
    let folder = NodeId::new(1, "Simulated");
    ObjectBuilder::new(&folder, QualifiedName::new(1, "Simulated"), "Simulated")
        .is_folder()
        .organized_by(NodeId::objects_folder_id())
        .insert(space);
    for (node, variable) in &setup.variables {
        let Some(id) = table.node(node) else { continue };
        let mut access = AccessLevel::CURRENT_READ;
        if variable.writable {
            access |= AccessLevel::CURRENT_WRITE;
        }
        let rank = match &variable.value {
            crate::wire::opcua::Tree::List(_) => 1,
            _ if variable.kind == value::Kind::Any => -2,
            _ => -1,
        };
        let data_type = table.data_type(&variable.kind);
        VariableBuilder::new(&id, QualifiedName::new(id.namespace, &*variable.name), &*variable.name)
            .value(Variant::Empty)
            .data_type(data_type)
            .value_rank(rank)
            .access_level(access)
            .user_access_level(access)
            .has_type_definition(VariableTypeId::BaseDataVariableType)
            .organized_by(folder.clone())
            .insert(space);
    }
    for event in setup.events.keys() {
        event_type(space, setup, table, event);
    }
    for event in setup.events.values() {
        notifier(space, table, &event.notifier, &folder);
    }
}

/// A type of events with its fields; those above it first.
fn event_type(space: &mut AddressSpace, setup: &Setup, table: &Table, node: &NodeRef) {
    let (Some(id), Some(event)) = (table.node(node), setup.events.get(node)) else {
        return;
    };
    if id.namespace == 0 || space.node_exists(&id) {
        return;
    }
    let base = match &event.base {
        Some(base) => {
            event_type(space, setup, table, base);
            table.node(base)
        }
        None => None,
    };
    let base = base.unwrap_or_else(|| ObjectTypeId::BaseEventType.into());
    ObjectTypeBuilder::new(&id, QualifiedName::new(id.namespace, &*event.name), &*event.name)
        .subtype_of(base)
        .insert(space);
    for (namespace, name) in &event.fields {
        let Some(index) = namespace.as_ref().map_or(Some(id.namespace), |of| table.index(of)) else {
            continue;
        };
        let field = NodeId::new(id.namespace, format!("{}.{name}", event.name));
        VariableBuilder::new(&field, QualifiedName::new(index, &**name), &**name)
            .data_type(table.field_type(node, name))
            .value_rank(-2)
            .has_type_definition(VariableTypeId::BaseDataVariableType)
            .has_modelling_rule(ObjectId::ModellingRule_Mandatory)
            .component_of(id.clone())
            .insert(space);
    }
}

/// An object that tells events.
fn notifier(space: &mut AddressSpace, table: &Table, node: &NodeRef, folder: &NodeId) {
    let Some(id) = table.node(node) else { return };
    if id.namespace == 0 || space.node_exists(&id) {
        return;
    }
    let name = super::setup::short_name(node);
    ObjectBuilder::new(&id, QualifiedName::new(id.namespace, &*name), &*name)
        .event_notifier(EventNotifier::SUBSCRIBE_TO_EVENTS)
        .has_type_definition(ObjectTypeId::BaseObjectType)
        .organized_by(folder.clone())
        .insert(space);
    let server: NodeId = ObjectId::Server.into();
    space.insert_reference(&server, &id, ReferenceTypeId::HasNotifier);
}
