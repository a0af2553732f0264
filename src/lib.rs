//! lineside: machines to MES. Device profiles in, unit-contextualised durable events out.

pub mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
pub mod contract;
pub mod device;
pub mod diagnostic;
pub mod drift;
pub mod gateway;
pub mod model;
pub mod mqtt;
pub mod outbox;
pub mod profile;
pub mod record;
pub mod replay;
pub mod unit;
pub mod watch;
pub mod wire;
