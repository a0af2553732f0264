//! MQTT 5 by rumqttc.

use super::{CONTENT_TYPE, Granted, INCOMING, LARGEST, Letter, Said, host, identifiers, network, transport};
use crate::mqtt::Settings;
use crate::mqtt::credentials::Credentials;
use crate::mqtt::window::Verdict;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, LastWill, Packet, PubAckReason, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::time::Duration;

pub(super) fn options(settings: &Settings, credentials: &Credentials) -> MqttOptions {
    let mut options = MqttOptions::new(settings.client_id.as_str(), host(settings), settings.port);
    options.set_keep_alive(settings.ping_every());
    options.set_clean_start(true);
    options.set_connection_timeout(settings.timing.connect.as_secs().max(1));
    options.set_network_options(network(settings));
    options.set_outgoing_inflight_upper_limit(identifiers(settings));
    options.set_transport(transport(credentials));
    let mut properties = ConnectProperties::new();
    properties.max_packet_size = Some(INCOMING);
    options.set_connect_properties(properties);
    let will = LastWill::new(
        settings.will_topic.as_str(),
        settings.will_payload.clone(),
        QoS::AtLeastOnce,
        true,
        None,
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
        event,
    } = letter;
    let sent = if event {
        let properties = PublishProperties {
            content_type: Some(CONTENT_TYPE.to_owned()),
            ..PublishProperties::default()
        };
        client.try_publish_with_properties(topic, QoS::AtLeastOnce, retained, payload, properties)
    } else {
        client.try_publish(topic, QoS::AtLeastOnce, retained, payload)
    };
    sent.is_ok()
}

pub(super) fn subscribe(client: &AsyncClient, filters: &[String]) -> bool {
    let filters = filters
        .iter()
        .map(|filter| Filter::new(filter.as_str(), QoS::AtLeastOnce));
    client.try_subscribe_many(filters).is_ok()
}

pub(super) async fn hear(
    events: &mut EventLoop,
    identifiers: u16,
    ping_every: Duration,
) -> Result<Said, rumqttc::v5::ConnectionError> {
    let event = events.poll().await?;
    let mut said = said(event);
    if let Said::Connected(granted) = &mut said {
        granted.receive_maximum = granted.receive_maximum.min(identifiers);
        // A server keep alive (3.2.2.3.14) has taken the place of ours. Pings may be sent more often than it says, and
        // have to be, since they tell that the broker lives. 0 turns pings off there; rumqttc would ping without a pause.
        granted.keep_alive = events.options.keep_alive().max(ping_every);
        let said = events.options.keep_alive();
        if said.is_zero() || said > ping_every {
            events.options.set_keep_alive(ping_every);
        }
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
        Packet::ConnAck(ack) => {
            let properties = ack.properties.as_ref();
            Said::Connected(Granted {
                session_present: ack.session_present,
                keep_alive: Duration::ZERO,
                receive_maximum: properties.and_then(|all| all.receive_max).unwrap_or(u16::MAX),
                maximum_packet: properties
                    .and_then(|all| all.max_packet_size)
                    .and_then(|bytes| usize::try_from(bytes).ok())
                    .map_or(LARGEST, |bytes| bytes.min(LARGEST)),
            })
        }
        Packet::PubAck(ack) => Said::Answered(ack.pkid, verdict(ack.reason)),
        Packet::SubAck(ack) => Said::Subscribed(
            ack.return_codes
                .iter()
                .map(|code| match code {
                    SubscribeReasonCode::Success(_) => None,
                    other => Some(format!("{other:?}")),
                })
                .collect(),
        ),
        Packet::Publish(publish) => Said::Message {
            topic: publish.topic,
            payload: publish.payload,
            retained: publish.retain,
        },
        _ => Said::Other,
    }
}

/// MQTT 5, 3.4.2.1.
fn verdict(reason: PubAckReason) -> Verdict {
    let refused = |what: &str| Verdict::Refused(what.to_owned());
    let later = |what: &str| Verdict::NotNow(what.to_owned());
    match reason {
        PubAckReason::Success => Verdict::Taken,
        PubAckReason::NoMatchingSubscribers => Verdict::NobodyListens,
        PubAckReason::NotAuthorized => {
            refused("the broker does not allow publishing to this topic (0x87 not authorized)")
        }
        PubAckReason::TopicNameInvalid => {
            refused("the broker does not accept this topic name (0x90 topic name invalid)")
        }
        PubAckReason::PayloadFormatInvalid => {
            refused("the broker does not accept this payload (0x99 payload format invalid)")
        }
        PubAckReason::QuotaExceeded => later("the broker's quota is exceeded (0x97); it is tried again"),
        PubAckReason::UnspecifiedError => later("the broker refuses without saying why (0x80); it is tried again"),
        PubAckReason::ImplementationSpecificError => {
            later("the broker refuses for a reason of its own (0x83); it is tried again")
        }
        PubAckReason::PacketIdentifierInUse => {
            later("the broker holds the packet identifier to be in use (0x91); it is tried again")
        }
    }
}
