//! Who owns which fact: ERP plans, the MES owns execution, devices report what physically happened.
//!
//! Owns the words that no profile may map. They are refused by name, so that a device never states an order
//! status, a routing step, a genealogy record or a quality disposition.

use crate::diagnostic::{Diagnostic, Diagnostics, Place};

/// Words of the MES or ERP, and what they are.
const OWNED: &[(&str, &str)] = &[
    ("order", "an order"),
    ("order_id", "an order"),
    ("order_status", "an order status"),
    ("production_order", "an order"),
    ("work_order", "an order"),
    ("schedule", "a plan"),
    ("due_date", "a plan"),
    ("priority", "a plan"),
    ("routing", "a routing step"),
    ("routing_step", "a routing step"),
    ("route", "a routing step"),
    ("next_station", "a routing step"),
    ("next_step", "a routing step"),
    ("operation", "a routing step"),
    ("operation_status", "a routing step"),
    ("genealogy", "a genealogy record"),
    ("parent_unit", "a genealogy record"),
    ("child_unit", "a genealogy record"),
    ("component", "a genealogy record"),
    ("disposition", "a quality disposition"),
    ("quality_disposition", "a quality disposition"),
    ("quality_status", "a quality disposition"),
    ("release", "a quality disposition"),
    ("rework", "a quality disposition"),
    ("scrap", "a quality disposition"),
    ("hold", "a quality disposition"),
    ("unit_status", "the state of a unit"),
    ("unit_state", "the state of a unit"),
];

/// What `field` would state, where that is not the device's to say.
pub(super) fn owned(field: &str) -> Option<&'static str> {
    let word = field.to_lowercase().replace('-', "_");
    OWNED.iter().find(|(known, _)| *known == word).map(|(_, what)| *what)
}

/// Tells it where a name that a profile gives is not the device's to state.
pub(super) fn refuse(name: &str, place: &Place, out: &mut Diagnostics) {
    if let Some(what) = owned(name) {
        out.push(Diagnostic::error(place, format!("`{name}` would state {what}")).help(WHY));
    }
}

/// Why it is refused, for people.
pub(super) const WHY: &str = "ERP plans, the MES owns execution, devices report what physically happened: \
    map process facts (a torque, an angle, the device's own verdict), or carry a raw value in `extra` under a name of its own";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventType;

    #[test]
    fn no_contract_field_is_owned_by_the_mes() {
        for kind in EventType::ALL {
            for field in kind.fields() {
                assert_eq!(owned(field.name), None, "{kind}.{}", field.name);
            }
        }
        assert_eq!(owned("Order-Status"), Some("an order status"));
    }
}
