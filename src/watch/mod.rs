//! watch: when a device has something to say.

use crate::model::plan::SlotPlan;
use crate::model::sample::TriggerState;
use crate::model::{Moment, Raw};
use std::collections::HashMap;
use std::sync::Arc;

/// The triggers of one slot.
#[derive(Debug)]
pub struct Watcher {}

/// An event of the plan happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// Index into the plan's events.
    pub event: usize,
    /// Raw values by point.
    pub values: Vec<Option<Raw>>,
    /// Values of the trigger's points before, by point.
    pub before: Vec<Option<Raw>>,
    /// To be stored with it.
    pub state: Option<TriggerState>,
}

impl Watcher {
    /// Triggers of `plan`, going on from what is stored (by event name; another fingerprint is not carried over).
    #[must_use]
    pub fn new(plan: Arc<SlotPlan>, stored: &HashMap<String, TriggerState>) -> Self {
        let _ = (plan, stored);
        todo!()
    }

    /// Looks at one complete image (values by point) at once; used by examples and replay. The first one is the baseline.
    pub fn observe(&mut self, now: Moment, values: &[Option<Raw>]) -> Vec<Happening> {
        let _ = (now, values);
        todo!()
    }
}
