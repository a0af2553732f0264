//! An event on its way to clients: fields by browse name, whatever type they were asked for.
//!
//! Owns no type and no address space.

use opcua::nodes::{BaseEventType, Event};
use opcua::server::EventField;
use opcua::types::{AttributeId, DateTime, NodeId, NumericRange, QualifiedName, Variant};
use std::collections::HashMap;

/// An event.
#[derive(Debug)]
pub(super) struct Told {
    /// What every event says.
    pub(super) base: BaseEventType,
    /// What this one says beside.
    pub(super) fields: HashMap<QualifiedName, Variant>,
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
                Some(value) => value.range_of(index_range).unwrap_or_default(),
                None => self.base.get_value(attribute_id, index_range, path),
            },
            _ => Variant::Empty,
        }
    }
}
