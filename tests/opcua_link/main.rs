//! OPC UA links against simulated servers, and servers that misbehave behind a relay: nothing is torn, doubled, lost or
//! acknowledged too early, and a link goes on by itself.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod events;
mod joining;
mod limits;
mod publishing;
mod reconnect;
mod relay;
mod rig;
mod security;
mod told;
mod values;
