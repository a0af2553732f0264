//! A consumer of the event stream, as small as one can be: what the demo's MES is built on.
//!
//! Owns one connection that subscribes, hands on what arrives and publishes retained words (units).
//! Reconnects by itself. Not part of the gateway's own session, and keeps nothing.

use crate::backoff::Backoff;
use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that may wait to be taken.
const WAITING: usize = 1024;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// What was said.
    pub payload: Bytes,
}

/// Says something as this consumer.
#[derive(Debug, Clone)]
pub struct Voice(AsyncClient);

impl Voice {
    /// Publishes `payload` on `topic`, retained, at least once. `false` where the consumer has ended.
    pub async fn retain(&self, topic: &str, payload: impl Into<Bytes>) -> bool {
        self.0
            .publish(topic, QoS::AtLeastOnce, true, payload.into())
            .await
            .is_ok()
    }
}

/// A consumer at the broker `host:port`, subscribed to `filters` at QoS 1 with a session that the broker keeps
/// for an hour, so that it counts as a subscriber while it is away.
///
/// Returns its voice, what it hears, and the connection itself, which the caller runs until `stop`.
pub fn consumer(
    host: &str,
    port: u16,
    client_id: &str,
    filters: Vec<String>,
    stop: CancellationToken,
) -> (Voice, mpsc::Receiver<Message>, impl Future<Output = ()> + Send) {
    let mut options = MqttOptions::new(client_id, host, port);
    options.set_clean_start(false).set_keep_alive(Duration::from_secs(5));
    options.set_session_expiry_interval(Some(3_600));
    let (client, events) = AsyncClient::new(options, 16);
    let (heard, hearing) = mpsc::channel(WAITING);
    let run = run(client.clone(), events, filters, heard, stop);
    (Voice(client), hearing, run)
}

async fn run(
    client: AsyncClient,
    mut events: EventLoop,
    filters: Vec<String>,
    heard: mpsc::Sender<Message>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.poll() => event,
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                backoff.reset();
                let filters = filters.iter().map(|filter| Filter::new(filter, QoS::AtLeastOnce));
                if client.try_subscribe_many(filters).is_err() {
                    tracing::warn!("consumer: the subscription found no room");
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                if heard
                    .send(Message {
                        topic,
                        payload: publish.payload,
                    })
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Ok(_) => {}
            Err(fault) => {
                tracing::debug!("consumer: {fault}");
                tokio::time::sleep(backoff.wait()).await;
            }
        }
    }
}
