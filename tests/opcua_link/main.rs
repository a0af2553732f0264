//! OPC UA links against simulated servers, and servers that misbehave behind a relay: nothing is torn, doubled, lost or
//! acknowledged too early, and a link goes on by itself.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod ending;
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

/// What mostly waits, at once: results that never come, a wrong password, a server that never publishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_its_time() {
    tokio::join!(
        joining::results_that_never_come_are_a_gap_before_the_one_that_waited(),
        security::a_wrong_password_is_sent_once_and_a_mended_one_goes_on_by_itself(),
        publishing::a_server_that_never_publishes_is_told_so_and_then_asked_for_its_values(),
    );
}
