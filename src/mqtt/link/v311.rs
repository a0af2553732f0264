//! MQTT 3.1.1 by rumqttc. A broker has no word there for refusing a publish but to disconnect.

use super::{Granted, INCOMING, LARGEST, Letter, Said, host, identifiers, transport};
use crate::mqtt::Settings;
use crate::mqtt::credentials::Credentials;
use crate::mqtt::window::Verdict;
use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS, SubscribeFilter, SubscribeReasonCode,
};
use std::time::Duration;

pub(super) fn options(settings: &Settings, credentials: &Credentials) -> MqttOptions {
    let mut options = MqttOptions::new(settings.client_id.as_str(), host(settings), settings.port);
    options.set_keep_alive(settings.ping_every());
    options.set_clean_session(true);
    options.set_inflight(identifiers(settings));
    // The broker cannot be told our maximum: a retained message above it would end every connection.
    let incoming = usize::try_from(INCOMING).map_or(LARGEST, |bytes| bytes * 16);
    options.set_max_packet_size(incoming, LARGEST);
    options.set_transport(transport(credentials));
    let will = LastWill::new(
        settings.will_topic.as_str(),
        settings.will_payload.clone(),
        QoS::AtLeastOnce,
        true,
    );
    options.set_last_will(will);
    if let Some(username) = &settings.username {
        options.set_credentials(username.as_str(), credentials.password.clone().unwrap_or_default());
    }
    options
}

pub(super) fn publish(client: &AsyncClient, letter: Letter<'_>) -> bool {
    let Letter {
        topic,
        payload,
        retained,
        event: _,
    } = letter;
    client.try_publish(topic, QoS::AtLeastOnce, retained, payload).is_ok()
}

pub(super) fn subscribe(client: &AsyncClient, filters: &[String]) -> bool {
    let filters = filters
        .iter()
        .map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
    client.try_subscribe_many(filters).is_ok()
}

pub(super) async fn hear(events: &mut EventLoop) -> Result<Said, rumqttc::ConnectionError> {
    let event = events.poll().await?;
    let mut said = said(event);
    if let Said::Connected(granted) = &mut said {
        granted.receive_maximum = events.mqtt_options.inflight();
        granted.keep_alive = events.mqtt_options.keep_alive();
    }
    Ok(said)
}

pub(super) fn said(event: Event) -> Said {
    let packet = match event {
        Event::Incoming(packet) => packet,
        Event::Outgoing(Outgoing::Publish(pkid)) => return Said::Sent(pkid),
        Event::Outgoing(Outgoing::AwaitAck(_)) => return Said::Held,
        Event::Outgoing(Outgoing::Subscribe(pkid)) => return Said::Asked(pkid),
        Event::Outgoing(Outgoing::Disconnect) => return Said::Parted,
        Event::Outgoing(_) => return Said::Own,
    };
    match packet {
        Packet::ConnAck(ack) => Said::Connected(Granted {
            session_present: ack.session_present,
            receive_maximum: u16::MAX,
            maximum_packet: LARGEST,
            keep_alive: Duration::ZERO,
        }),
        Packet::PubAck(ack) => Said::Answered(ack.pkid, Verdict::Taken),
        Packet::SubAck(ack) => Said::Subscribed(
            ack.return_codes
                .iter()
                .map(|code| match code {
                    SubscribeReasonCode::Success(_) => None,
                    SubscribeReasonCode::Failure => Some("Failure".to_owned()),
                })
                .collect(),
        ),
        Packet::Publish(publish) => Said::Message {
            topic: publish.topic.into(),
            payload: publish.payload,
            retained: publish.retain,
        },
        _ => Said::Other,
    }
}
