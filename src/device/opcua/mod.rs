//! OPC UA: the link task of one server.
//!
//! Owns sessions, subscriptions and the order of reads. Owns no byte of a structure ([`crate::wire::opcua`]). The library gives
//! the secure channel, the messages and their types; sessions, subscriptions and what is trusted are ours
//! (docs/ARCHITECTURE.md says why).

pub mod browse;
mod bus;
mod certificate;
pub mod choose;
mod convert;
mod describe;
mod dial;
mod fault;
mod fields;
pub mod identity;
mod joining;
pub mod own;
mod session;
mod slot;
mod subscribe;
pub mod trust;

pub mod simulator;

use crate::clock::Clock;
use crate::device::SlotStart;
use crate::device::tap::Service;
use crate::model::plan::OpcuaLink;
use crate::model::sample::Report;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Runs the slots of one server until `stop`, or until nobody receives the reports any more; then its session is closed.
pub(super) async fn run(
    link: &OpcuaLink,
    slots: Vec<SlotStart>,
    reports: &mpsc::Sender<Report>,
    clock: &Clock,
    service: Service,
    stop: &CancellationToken,
) {
    bus::Bus::new(link, slots, reports, clock, service, stop).run().await;
}
