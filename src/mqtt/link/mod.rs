//! Link: one connection of rumqttc, the same for both versions of MQTT.
//!
//! Owns the translation to and from rumqttc, and the packet identifiers that it will give. Never
//! used for a second connection: after [`Listener::hear`] has returned an error it is dropped.

mod v311;
mod v5;

use super::credentials::Credentials;
use super::refusal::{Lost, Meeting};
use super::window::Verdict;
use super::{Settings, Version};
use bytes::Bytes;
use std::time::Duration;

/// Requests that wait for rumqttc at a time. Small, so that what is handed over is soon written.
pub(super) const CHANNEL: usize = 16;
/// Packet identifiers that rumqttc may use, where the broker's receive maximum is not less.
const IDS: u16 = 1_024;
/// Bytes of a packet that the MES may send us.
const INCOMING: u32 = 1024 * 1024;
/// Bytes of a packet at most (MQTT 3.1.1, 2.2.3).
const LARGEST: usize = 268_435_455;
/// What events are (CloudEvents, MQTT binding 3.2, structured).
const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// What rumqttc says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The broker has accepted the connection.
    Connected(Granted),
    /// The next of our publishes is written, under this packet identifier.
    Sent(u16),
    /// The next of our publishes waits for an identifier that is still in use. We see to it that this never happens.
    Held,
    /// Our subscription is written, under this packet identifier.
    Asked(u16),
    /// Our disconnect is written.
    Parted,
    /// The broker's answer to a publish.
    Answered(u16, Verdict),
    /// The broker's answer to our subscription: for each filter `None`, or why not.
    Subscribed(Vec<Option<String>>),
    /// Somebody said something.
    Message {
        /// As it came; not always UTF-8.
        topic: Bytes,
        /// What was said.
        payload: Bytes,
        /// Whether the broker had kept it.
        retained: bool,
    },
    /// The broker said something else.
    Other,
    /// We said something else.
    Own,
}

/// What the broker grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Granted {
    /// Whether it kept a session.
    pub(super) session_present: bool,
    /// Unacknowledged publishes that it takes at most; also the highest packet identifier that rumqttc gives.
    pub(super) receive_maximum: u16,
    /// Bytes of a packet at most.
    pub(super) maximum_packet: usize,
    /// How long the broker may be silent before it is asked.
    pub(super) keep_alive: Duration,
}

/// Hands requests to rumqttc.
pub(super) enum Speaker {
    V5(rumqttc::v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// Hears what rumqttc says.
pub(super) struct Listener {
    events: Events,
    meeting: Meeting,
}

enum Events {
    /// With the identifiers that it may use, and how often it is to ping.
    V5(Box<rumqttc::v5::EventLoop>, u16, Duration),
    V311(Box<rumqttc::EventLoop>),
}

/// A publish, with QoS 1.
#[derive(Debug, Clone)]
pub(super) struct Letter<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: Bytes,
    pub(super) retained: bool,
    /// Whether it is a CloudEvent, and says so.
    pub(super) event: bool,
}

/// A new connection, not yet tried. `now`: wall milliseconds.
pub(super) fn open(settings: &Settings, credentials: &Credentials, now: i64) -> (Speaker, Listener) {
    if let Some(encryption) = &credentials.encryption {
        encryption.witness.forget();
    }
    let meeting = Meeting::new(settings, credentials.encryption.clone(), now);
    let (speaker, events) = match settings.version {
        Version::V5 => {
            let (client, events) = rumqttc::v5::AsyncClient::new(v5::options(settings, credentials), CHANNEL);
            let events = Events::V5(Box::new(events), identifiers(settings), settings.ping_every());
            (Speaker::V5(client), events)
        }
        Version::V311 => {
            let (client, mut events) = rumqttc::AsyncClient::new(v311::options(settings, credentials), CHANNEL);
            events.set_network_options(network(settings));
            (Speaker::V311(client), Events::V311(Box::new(events)))
        }
    };
    (speaker, Listener { events, meeting })
}

impl Speaker {
    /// Hands a publish over. `false`: no room now.
    pub(super) fn publish(&self, letter: Letter<'_>) -> bool {
        match self {
            Self::V5(client) => v5::publish(client, letter),
            Self::V311(client) => v311::publish(client, letter),
        }
    }

    /// Subscribes to all of `filters` with QoS 1. `false`: no room now.
    pub(super) fn subscribe(&self, filters: &[String]) -> bool {
        match self {
            Self::V5(client) => v5::subscribe(client, filters),
            Self::V311(client) => v311::subscribe(client, filters),
        }
    }

    /// Says goodbye. `false`: no room now.
    pub(super) fn part(&self) -> bool {
        match self {
            Self::V5(client) => client.try_disconnect().is_ok(),
            Self::V311(client) => client.try_disconnect().is_ok(),
        }
    }

    /// Bytes that a publish takes on the wire.
    pub(super) fn size(&self, letter: &Letter<'_>) -> usize {
        let properties = match self {
            Self::V5(_) if letter.event => 1 + 3 + CONTENT_TYPE.len(),
            Self::V5(_) => 1,
            Self::V311(_) => 0,
        };
        let rest = 2 + letter.topic.len() + 2 + properties + letter.payload.len();
        let length = match rest {
            0..128 => 1,
            128..16_384 => 2,
            16_384..2_097_152 => 3,
            _ => 4,
        };
        1 + length + rest
    }
}

impl Listener {
    /// The next that rumqttc says. Must not be dropped half-way but with the whole link: rumqttc may just be writing.
    pub(super) async fn hear(&mut self) -> Result<Said, Lost> {
        let Self { events, meeting } = self;
        let said = match events {
            Events::V5(events, identifiers, ping_every) => v5::hear(events, *identifiers, *ping_every)
                .await
                .map_err(|error| meeting.lost_v5(&error)),
            Events::V311(events) => v311::hear(events).await.map_err(|error| meeting.lost_v311(&error)),
        };
        meeting.accepted |= matches!(said, Ok(Said::Connected(_)));
        said
    }

    /// What was read together with the fault that ended the connection. Only what the broker said counts.
    pub(super) fn last_words(&mut self) -> Vec<Said> {
        let said: Vec<Said> = match &mut self.events {
            Events::V5(events, ..) => events.state.events.drain(..).map(v5::said).collect(),
            Events::V311(events) => events.state.events.drain(..).map(v311::said).collect(),
        };
        let from_broker = |said: &Said| matches!(said, Said::Answered(..) | Said::Message { .. });
        said.into_iter().filter(from_broker).collect()
    }
}

fn network(settings: &Settings) -> rumqttc::NetworkOptions {
    let mut options = rumqttc::NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options.set_connection_timeout(settings.timing.connect.as_secs().max(1));
    options
}

/// The host as rumqttc wants it.
fn host(settings: &Settings) -> String {
    if settings.host.contains(':') && !settings.host.starts_with('[') {
        format!("[{}]", settings.host)
    } else {
        settings.host.clone()
    }
}

/// Identifiers that rumqttc may use at most.
fn identifiers(settings: &Settings) -> u16 {
    settings.inflight.saturating_add(64).max(IDS)
}

fn transport(credentials: &Credentials) -> rumqttc::Transport {
    match &credentials.encryption {
        Some(encryption) => {
            let config = encryption.config.clone();
            rumqttc::Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(config))
        }
        None => rumqttc::Transport::tcp(),
    }
}
