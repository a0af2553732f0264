//! The nodes of a simulated server: folders, variables, types of events, data types with their descriptions.
//!
//! Owns where they stand. Values come from the store, bytes of structures from [`crate::wire::opcua`].

use super::joining;
use super::setup::Setup;
use super::table::Table;
use super::types::{ANY, DataType, Member, Shape};
use super::value;
use crate::model::plan::{Namespace, NodeRef};
use crate::wire::opcua::StructureKind;
use opcua::nodes::{
    DataTypeBuilder, EventNotifier, MethodBuilder, ObjectBuilder, ObjectTypeBuilder, ReferenceDirection,
    VariableBuilder,
};
use opcua::server::address_space::{AccessLevel, AddressSpace};
use opcua::types::{
    Argument, DataTypeDefinition, EnumDefinition, EnumField, NodeId, ObjectId, ObjectTypeId, QualifiedName,
    ReferenceTypeId, StructureDefinition, StructureField, StructureType, VariableTypeId, Variant,
};
use std::sync::Arc;

/// Puts all that the setup names into the address space.
pub(super) fn fill(space: &mut AddressSpace, setup: &Setup, table: &Table) {
    for data_type in &setup.types.0 {
        add_type(space, setup, table, data_type);
    }
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
        let data_type = table.data_type(&variable.kind.data_type());
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
    if setup.stores {
        results(space, table, &folder);
    }
    for event in setup.events.values() {
        notifier(space, table, &event.notifier, &folder);
    }
}

/// The object that stored results are asked from, as far as a joining system has it here.
fn results(space: &mut AddressSpace, table: &Table, folder: &NodeId) {
    let (Some(kind), Some(method)) = (table.node(&joining::management()), table.node(&joining::request())) else {
        return;
    };
    let result = table.index(&Namespace::Uri(joining::RESULT.into())).unwrap_or(1);
    let system = NodeId::new(1, "TighteningSystem");
    ObjectBuilder::new(&system, QualifiedName::new(1, "TighteningSystem"), "TighteningSystem")
        .has_type_definition(ObjectTypeId::BaseObjectType)
        .organized_by(folder.clone())
        .insert(space);
    ObjectTypeBuilder::new(
        &kind,
        QualifiedName::new(kind.namespace, "JoiningSystemResultManagementType"),
        "JoiningSystemResultManagementType",
    )
    .subtype_of(ObjectTypeId::BaseObjectType)
    .insert(space);
    let management = NodeId::new(1, "TighteningSystem.ResultManagement");
    ObjectBuilder::new(
        &management,
        QualifiedName::new(result, "ResultManagement"),
        "ResultManagement",
    )
    .has_type_definition(kind.clone())
    .component_of(system)
    .insert(space);
    let arguments = |all: &[(&str, u32)]| {
        let argument = |(name, of): &(&str, u32)| Argument {
            name: (*name).into(),
            data_type: NodeId::new(0, *of),
            value_rank: -1,
            ..Argument::default()
        };
        all.iter().map(argument).collect::<Vec<_>>()
    };
    let id = |name: &str| NodeId::new(1, format!("RequestResults.{name}"));
    MethodBuilder::new(
        &method,
        QualifiedName::new(method.namespace, "RequestResults"),
        "RequestResults",
    )
    .executable(true)
    .user_executable(true)
    .component_of(management)
    .component_of(kind)
    .input_args(space, &id("InputArguments"), &arguments(&joining::REQUEST_INPUTS))
    .output_args(space, &id("OutputArguments"), &arguments(&joining::REQUEST_OUTPUTS))
    .insert(space);
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
    for field in &event.fields {
        let index = field
            .namespace
            .as_ref()
            .map_or(Some(id.namespace), |of| table.index(of));
        let Some(index) = index else { continue };
        let node = NodeId::new(id.namespace, format!("{}.{}", event.name, field.name));
        VariableBuilder::new(&node, QualifiedName::new(index, &*field.name), &*field.name)
            .data_type(table.data_type(&field.data_type))
            .value_rank(match field {
                field if field.list => 1,
                field if field.data_type == ANY => -2,
                _ => -1,
            })
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

/// A data type with its description, and the node of its encoding.
fn add_type(space: &mut AddressSpace, setup: &Setup, table: &Table, of: &DataType) {
    let (Some(id), Some(base)) = (table.node(&of.node), table.node(&of.base)) else {
        return;
    };
    let name = QualifiedName::new(id.namespace, &*of.name);
    let builder = DataTypeBuilder::new(&id, name, &*of.name).subtype_of(base.clone());
    match &of.shape {
        Shape::Enumeration(values) => {
            let field = |(value, name): &(i64, Arc<str>)| EnumField {
                value: *value,
                name: (**name).into(),
                display_name: (&**name).into(),
                ..EnumField::default()
            };
            let definition = EnumDefinition {
                fields: Some(values.iter().map(field).collect()),
            };
            builder
                .data_type_definition(DataTypeDefinition::from(definition))
                .insert(space);
        }
        Shape::Structure { encoding, .. } => {
            let Some(encoding) = table.node(encoding) else { return };
            let field = |member: &&Member| StructureField {
                name: (&*member.name).into(),
                data_type: table.data_type(&member.data_type),
                value_rank: if member.list { 1 } else { -1 },
                is_optional: member.optional || member.subtypes,
                ..StructureField::default()
            };
            let definition = StructureDefinition {
                default_encoding_id: encoding.clone(),
                base_data_type: base,
                structure_type: match setup.types.kind(&of.node) {
                    StructureKind::Plain => StructureType::Structure,
                    StructureKind::Optional => StructureType::StructureWithOptionalFields,
                    StructureKind::Union => StructureType::Union,
                    StructureKind::Subtyped => StructureType::StructureWithSubtypedValues,
                    StructureKind::UnionSubtyped => StructureType::UnionWithSubtypedValues,
                },
                fields: Some(setup.types.members(&of.node).iter().map(field).collect()),
            };
            builder
                .data_type_definition(DataTypeDefinition::from(definition))
                .insert(space);
            ObjectBuilder::new(&encoding, "Default Binary", "Default Binary")
                .has_type_definition(ObjectTypeId::DataTypeEncodingType)
                .reference(id, ReferenceTypeId::HasEncoding, ReferenceDirection::Inverse)
                .insert(space);
        }
    }
}
