//! An event on its way to clients: fields by browse name, whatever type they were asked for.
//!
//! Owns no type and no address space.

use super::table::Table;
use super::types::ANY;
use crate::wire::opcua::Tree;
use opcua::nodes::{BaseEventType, Event};
use opcua::server::EventField;
use opcua::types::{AttributeId, DateTime, NodeId, NumericRange, QualifiedName, Variant};
use std::collections::HashMap;
use std::sync::Arc;

/// An event.
pub(super) struct Told {
    /// What every event says.
    pub(super) base: BaseEventType,
    /// What this one says beside, as clients get it, and what is in it.
    pub(super) fields: HashMap<QualifiedName, (Variant, Tree)>,
    /// By which what is in a field is encoded.
    pub(super) table: Arc<Table>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Told {
    /// What stands in a field, where a client asks for a part of it by name.
    fn part(&self, path: &[QualifiedName]) -> Option<Variant> {
        let (first, rest) = path.split_first()?;
        let (_, tree) = self.fields.get(first)?;
        let mut tree = tree;
        for name in rest {
            tree = tree.field(name.name.as_ref())?;
        }
        self.table.encode(&ANY, false, tree).ok()
    }
}

impl Event for Told {
    fn get_field(
        &self,
        _type_definition_id: &NodeId,
        attribute_id: AttributeId,
        index_range: &NumericRange,
        browse_path: &[QualifiedName],
    ) -> Variant {
        self.get_value(attribute_id, index_range, browse_path)
    }

    fn time(&self) -> &DateTime {
        &self.base.time
    }

    fn event_type_id(&self) -> &NodeId {
        &self.base.event_type
    }
}

impl EventField for Told {
    fn get_value(&self, attribute_id: AttributeId, index_range: &NumericRange, path: &[QualifiedName]) -> Variant {
        match (path, attribute_id) {
            ([name], AttributeId::Value) => match self.fields.get(name) {
                Some((value, _)) => value.range_of(index_range).unwrap_or_default(),
                None => self.base.get_value(attribute_id, index_range, path),
            },
            ([_, _, ..], AttributeId::Value) => self.part(path).unwrap_or_default(),
            _ => Variant::Empty,
        }
    }
}
