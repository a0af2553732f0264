//! Settings of the session: where the broker is, who we are, how long to wait.

use std::path::PathBuf;
use std::time::Duration;

/// What the session must know. Nothing is read or connected to before the session runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name or address of the broker, without port or brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Encryption; `None`: plain TCP.
    pub tls: Option<Tls>,
    /// Version of MQTT.
    pub version: Version,
    /// Client id; another client with the same one takes the connection away.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// File with the password, read at each connect; trailing line ends do not count.
    pub password_file: Option<PathBuf>,
    /// Unacknowledged publishes at most, 1 to 65535. The broker's receive maximum counts where it is less.
    pub inflight: u16,
    /// MQTT 5: an event that nobody is subscribed to is not delivered, and waits.
    pub require_subscriber: bool,
    /// A ping is sent this often. At least 5 s (rumqttc allows no less); less counts as 5 s.
    pub keep_alive: Duration,
    /// Where the last will goes: the gateway's status.
    pub will_topic: String,
    /// The retained offline status. Also sent by ourselves at a clean end, where no farewell was set.
    pub will_payload: Vec<u8>,
    /// Topics to listen to.
    pub subscriptions: Vec<String>,
    /// A topic of our own that we may publish to and subscribe to: the gateway's status.
    pub barrier_topic: String,
    /// What is published there, retained, at each connect. Should differ from what any other run published.
    pub hello: Vec<u8>,
    /// How long to wait for what.
    pub timing: Timing,
}

/// Version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V311,
}

/// Files for encryption, PEM, read at each connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of those who may sign the broker's; `None`: those that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, for mutual TLS.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// For the connection, up to the broker's CONNACK.
    pub connect: Duration,
    /// For the SUBACK, and then for the echo of our own hello.
    pub barrier: Duration,
    /// For a PUBACK, before the connection counts as broken.
    pub ack: Duration,
    /// First and longest wait between connection tries.
    pub reconnect: (Duration, Duration),
    /// The same where somebody has to mend something first: brokers lock out who tries too often.
    pub helpless: (Duration, Duration),
    /// How often the files of the session are looked at. A change counts when it stood as long.
    pub files: Duration,
    /// For the acknowledgements of what is under way, before a connection is made anew with changed files.
    pub renewal: Duration,
    /// First and longest wait of a topic that was refused for now.
    pub refused: (Duration, Duration),
    /// First and longest wait of a topic whose event seems to make the broker disconnect.
    pub poison: (Duration, Duration),
    /// A connection is worth something when it stood this long.
    pub useful: Duration,
    /// The gateway has this long to take what was heard, before the connection is given up.
    pub heard: Duration,
    /// For saying goodbye.
    pub farewell: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            barrier: Duration::from_secs(2),
            ack: Duration::from_secs(20),
            reconnect: (Duration::from_millis(500), Duration::from_secs(30)),
            helpless: (Duration::from_secs(5), Duration::from_mins(1)),
            files: Duration::from_secs(1),
            renewal: Duration::from_secs(2),
            refused: (Duration::from_millis(200), Duration::from_secs(5)),
            poison: (Duration::from_secs(5), Duration::from_mins(1)),
            useful: Duration::from_secs(10),
            heard: Duration::from_secs(5),
            farewell: Duration::from_millis(450),
        }
    }
}

/// What settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFault {
    /// A topic to publish to has a wildcard or nothing in it.
    #[error("`{0}` is no topic that can be published to: it is empty or has + or # in it")]
    Topic(String),
    /// A subscription is no topic filter.
    #[error("`{0}` is no topic filter")]
    Filter(String),
    /// Nothing may be unacknowledged.
    #[error("inflight is 1 to 65535")]
    Inflight,
    /// The client id is empty.
    #[error("the client id is empty")]
    ClientId,
    /// A certificate without its key, or the other way round.
    #[error("cert_file and key_file belong together: give both or none")]
    HalfPair,
    /// rumqttc cannot check the name of a certificate against an IPv6 address.
    #[error("with TLS the broker needs a name or an IPv4 address, not `{0}`")]
    Ipv6(String),
}

impl Settings {
    /// Settings for a broker at `host:port` with everything else as `lineside` has it by default.
    #[must_use]
    pub fn new(host: &str, port: u16, client_id: &str, barrier_topic: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            tls: None,
            version: Version::V5,
            client_id: client_id.to_owned(),
            username: None,
            password_file: None,
            inflight: 100,
            require_subscriber: true,
            keep_alive: Duration::from_secs(5),
            will_topic: barrier_topic.to_owned(),
            will_payload: b"{\"state\":\"offline\"}".to_vec(),
            subscriptions: Vec::new(),
            barrier_topic: barrier_topic.to_owned(),
            hello: b"{\"state\":\"online\"}".to_vec(),
            timing: Timing::default(),
        }
    }

    /// Whether a session can be made of this.
    ///
    /// # Errors
    /// The first thing that cannot be used.
    pub fn check(&self) -> Result<(), SettingsFault> {
        for topic in [&self.will_topic, &self.barrier_topic] {
            if !is_topic(topic) {
                return Err(SettingsFault::Topic(topic.clone()));
            }
        }
        if let Some(filter) = self.subscriptions.iter().find(|filter| !rumqttc::valid_filter(filter)) {
            return Err(SettingsFault::Filter(filter.clone()));
        }
        if self.inflight == 0 {
            return Err(SettingsFault::Inflight);
        }
        if self.client_id.is_empty() {
            return Err(SettingsFault::ClientId);
        }
        if let Some(tls) = &self.tls {
            if tls.cert_file.is_some() != tls.key_file.is_some() {
                return Err(SettingsFault::HalfPair);
            }
            if self.host.contains(':') {
                return Err(SettingsFault::Ipv6(self.host.clone()));
            }
        }
        Ok(())
    }

    /// How often a ping is sent.
    pub(super) fn ping_every(&self) -> Duration {
        Duration::from_secs(self.keep_alive.as_secs().clamp(5, u64::from(u16::MAX)))
    }
}

/// Whether something can be published to `topic` (MQTT 5, section 4.7).
pub(super) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && u16::try_from(topic.len()).is_ok() && !topic.contains(['+', '#', '\0'])
}
