//! The demo's broker: rumqttd, embedded, MQTT 5 on loopback.

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Why the broker does not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("the embedded broker cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    #[error("the embedded broker did not answer on {0}")]
    Silent(SocketAddr),
}

/// Starts the broker on a free port of loopback and returns the port once it answers. It runs on threads of its
/// own until the process ends.
pub(super) async fn start() -> Result<u16, BrokerError> {
    // rumqttd cannot be handed a listener, so a free port is found first.
    let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 256 << 10,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings {
        name: "demo".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let router = RouterConfig {
        max_connections: 16,
        max_outgoing_packet_count: 200,
        max_segment_size: 16 << 20,
        max_segment_count: 10,
        custom_segment: None,
        initialized_filters: None,
        shared_subscriptions_strategy: rumqttd::Strategy::RoundRobin,
    };
    let config = Config {
        id: 0,
        router,
        v5: Some(HashMap::from([("demo".to_owned(), server)])),
        ..Config::default()
    };
    std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
        if let Err(fault) = Broker::new(config).start() {
            tracing::error!("the embedded broker ended: {fault}");
        }
    })?;
    for _ in 0..100 {
        if TcpStream::connect(listen).is_ok() {
            return Ok(listen.port());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(BrokerError::Silent(listen))
}
