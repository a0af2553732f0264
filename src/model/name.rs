//! Names of places: the ISA-95 path above a station, stations and slots, and the topics made of them.
//!
//! Owns which names are allowed and how they join. Does not own what is said on a topic.

use std::fmt;
use std::sync::Arc;

/// Words that no station or slot may be called, since topics use them.
pub const RESERVED: [&str; 5] = ["unit", "status", "response", "resend", "lineside"];

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Empty, longer than 64 characters, or with another character than `A-Z a-z 0-9 _ -`.
    #[error("an id is 1 to 64 of A-Z a-z 0-9 _ -")]
    Characters,
    /// One of [`RESERVED`].
    #[error("`{0}` is reserved: topics use that word")]
    Reserved(String),
}

/// Whether `text` may be the id of a gateway, station or slot.
///
/// # Errors
/// Says which rule it breaks.
pub fn check_id(text: &str) -> Result<(), NameFault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err(NameFault::Characters);
    }
    if RESERVED.contains(&text) {
        return Err(NameFault::Reserved(text.to_owned()));
    }
    Ok(())
}

/// The ISA-95 path above a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plant {
    /// Put before the enterprise in topics when not empty; without a trailing slash.
    pub topic_prefix: String,
    /// Enterprise.
    pub enterprise: String,
    /// Site.
    pub site: String,
    /// Area.
    pub area: String,
    /// Line.
    pub line: String,
}

impl Plant {
    fn prefixed(&self, rest: &str) -> String {
        if self.topic_prefix.is_empty() {
            rest.to_owned()
        } else {
            format!("{}/{rest}", self.topic_prefix)
        }
    }

    fn line_path(&self) -> String {
        format!("{}/{}/{}/{}", self.enterprise, self.site, self.area, self.line)
    }

    /// `CloudEvents` source of a slot: `/acme/leipzig/body/line-3/st10/spindle-1`. Without the topic prefix.
    #[must_use]
    pub fn source(&self, slot: &SlotName) -> String {
        format!("/{}/{}/{}", self.line_path(), slot.station, slot.slot)
    }

    /// Topic below a slot: `…/st10/spindle-1/tightening`, `…/status`, `…/response`, `…/resend`.
    #[must_use]
    pub fn slot_topic(&self, slot: &SlotName, last: &str) -> String {
        self.prefixed(&format!("{}/{}/{}/{last}", self.line_path(), slot.station, slot.slot))
    }

    /// Topic on which the MES says which unit is at a station.
    #[must_use]
    pub fn unit_topic(&self, station: &str) -> String {
        self.prefixed(&format!("{}/{station}/unit", self.line_path()))
    }

    /// Topic of the gateway's own retained status.
    #[must_use]
    pub fn gateway_status_topic(&self, gateway: &str) -> String {
        self.prefixed(&format!("{}/{}/lineside/{gateway}/status", self.enterprise, self.site))
    }
}

/// A slot at a station, `st10.spindle-1`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotName {
    /// The station's id.
    pub station: Arc<str>,
    /// The slot's id.
    pub slot: Arc<str>,
}

impl SlotName {
    /// The slot `slot` at `station`. The caller has checked both with [`check_id`].
    #[must_use]
    pub fn new(station: &str, slot: &str) -> Self {
        Self {
            station: station.into(),
            slot: slot.into(),
        }
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.station, self.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_carry_the_prefix_and_sources_do_not() {
        let mut plant = Plant {
            topic_prefix: String::new(),
            enterprise: "acme".into(),
            site: "leipzig".into(),
            area: "body".into(),
            line: "line-3".into(),
        };
        let slot = SlotName::new("st10", "spindle-1");
        assert_eq!(
            plant.slot_topic(&slot, "tightening"),
            "acme/leipzig/body/line-3/st10/spindle-1/tightening"
        );
        plant.topic_prefix = "plant/a".into();
        assert_eq!(plant.unit_topic("st10"), "plant/a/acme/leipzig/body/line-3/st10/unit");
        assert_eq!(
            plant.gateway_status_topic("gw"),
            "plant/a/acme/leipzig/lineside/gw/status"
        );
        assert_eq!(plant.source(&slot), "/acme/leipzig/body/line-3/st10/spindle-1");
    }

    #[test]
    fn reserved_and_odd_names_are_refused() {
        assert!(check_id("st10").is_ok());
        assert_eq!(check_id("unit"), Err(NameFault::Reserved("unit".into())));
        for odd in ["", "a/b", "a+", "ä", "#"] {
            assert_eq!(check_id(odd), Err(NameFault::Characters), "{odd}");
        }
    }
}
