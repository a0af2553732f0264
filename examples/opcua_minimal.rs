//! The smallest OPC UA client that the same crate makes, to be measured beside the gateway.
//!
//! Usage: `opcua_minimal ADDRESS COUNT`. Subscribes to so many items of the test server (tests/peers/opcua_plc.py), prints one
//! line when all are subscribed, and how many values came when its stdin ends.

#![expect(clippy::print_stdout, reason = "that is what it is measured by")]

use opcua::client::{ClientBuilder, DataChangeCallback, IdentityToken};
use opcua::types::{
    EndpointDescription, MessageSecurityMode, MonitoredItemCreateRequest, NodeId, TimestampsToReturn, UserTokenPolicy,
};
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("which address?")?;
    let count: u32 = arguments.next().ok_or("how many items?")?.parse()?;
    let mut client = ClientBuilder::new()
        .application_name("minimal")
        .application_uri("urn:lineside:minimal")
        .product_uri("urn:lineside:minimal")
        .create_sample_keypair(false)
        .trust_server_certs(true)
        .session_retry_limit(0)
        // Its own limits are too small for a thousand changes in one message.
        .max_array_length(100_000)
        .max_message_size(64 << 20)
        .max_chunk_count(1_000)
        .client()
        .map_err(|faults| faults.join(", "))?;
    let endpoint: EndpointDescription = (
        address.as_str(),
        "None",
        MessageSecurityMode::None,
        UserTokenPolicy::anonymous(),
    )
        .into();
    let (session, events) = client
        .connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous)
        .await?;
    let running = events.spawn();
    session.wait_for_connection().await;
    let namespaces = session.get_namespace_index("http://peer.example/plc/").await?;
    let seen = Arc::new(AtomicU64::new(0));
    let counted = seen.clone();
    let count_one = DataChangeCallback::new(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let subscription = session
        .create_subscription(Duration::from_millis(100), 1_000, 10, 0, 0, true, count_one)
        .await?;
    let items: Vec<MonitoredItemCreateRequest> = (0..count)
        .map(|at| {
            let mut item: MonitoredItemCreateRequest = NodeId::new(namespaces, format!("Items.v{at:05}")).into();
            item.requested_parameters.queue_size = 100;
            item
        })
        .collect();
    for part in items.chunks(100) {
        session
            .create_monitored_items(subscription, TimestampsToReturn::Both, part.to_vec())
            .await?;
    }
    println!("subscribed to {count}");
    tokio::task::spawn_blocking(|| {
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest)
    })
    .await??;
    println!("{}", seen.load(Ordering::Relaxed));
    session.disconnect().await?;
    running.await?;
    Ok(())
}
