//! Refusal: why a connection was not made or was lost, in a sentence that says what to do.

mod tls;

use super::Settings;
use super::credentials::Encryption;
use rumqttc::v5::mqttbytes::v5::ConnectReturnCode as Code5;
use rumqttc::{ConnectReturnCode as Code311, StateError as State311};
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// Why, in a sentence.
    pub(super) reason: String,
    /// Somebody has to mend something: waiting alone will probably not help.
    pub(super) needs_help: bool,
}

impl Lost {
    /// Lost as connections are lost.
    pub(super) fn broken(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            needs_help: false,
        }
    }

    /// Refused: somebody has to mend something.
    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            needs_help: true,
        }
    }
}

/// Whom a connection is made to and with what, for messages.
#[derive(Debug, Clone)]
pub(super) struct Meeting {
    host: String,
    port: u16,
    username: Option<String>,
    password_file: Option<PathBuf>,
    encryption: Option<Encryption>,
    /// Wall milliseconds when it was begun.
    now: i64,
    /// The broker has accepted it.
    pub(super) accepted: bool,
}

impl Meeting {
    pub(super) fn new(settings: &Settings, encryption: Option<Encryption>, now: i64) -> Self {
        Self {
            host: settings.host.clone(),
            port: settings.port,
            username: settings.username.clone(),
            password_file: settings.password_file.clone(),
            encryption,
            now,
            accepted: false,
        }
    }

    fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// As it is to stand in a certificate.
    fn alternative_name(&self) -> String {
        let kind = if self.host.parse::<std::net::IpAddr>().is_ok() {
            "IP"
        } else {
            "DNS"
        };
        format!("{kind}:{}", self.host)
    }

    /// Of MQTT 5.
    pub(super) fn lost_v5(&self, error: &rumqttc::v5::ConnectionError) -> Lost {
        use rumqttc::v5::mqttbytes::Error as Bytes;
        use rumqttc::v5::{ConnectionError, StateError};
        match error {
            ConnectionError::ConnectionRefused(code) => self.refused_v5(*code),
            ConnectionError::Timeout(_) => slow(),
            ConnectionError::Io(error)
            | ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(Bytes::Io(error)))
            | ConnectionError::Tls(rumqttc::TlsError::Io(error)) => self.io(error),
            ConnectionError::Tls(rumqttc::TlsError::TLS(error)) => tls::lost(error, self),
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code,
                reason_string,
            }) => {
                let why = reason_string
                    .as_deref()
                    .map(|why| format!(" ({why})"))
                    .unwrap_or_default();
                Lost::broken(format!("the broker has ended the connection: {reason_code:?}{why}"))
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) => self.closed(),
            ConnectionError::MqttState(StateError::AwaitPingResp) => silent(),
            ConnectionError::NotConnAck(_) | ConnectionError::MqttState(StateError::Deserialization(_))
                if !self.accepted =>
            {
                self.no_mqtt(error)
            }
            other => self.by_cause(other),
        }
    }

    /// Of MQTT 3.1.1.
    pub(super) fn lost_v311(&self, error: &rumqttc::ConnectionError) -> Lost {
        use rumqttc::ConnectionError;
        use rumqttc::mqttbytes::Error as Bytes;
        match error {
            ConnectionError::ConnectionRefused(code) => self.refused_v311(*code),
            ConnectionError::NetworkTimeout => slow(),
            ConnectionError::FlushTimeout => Lost::broken("the broker does not read what is sent to it"),
            ConnectionError::Io(error)
            | ConnectionError::MqttState(State311::Io(error) | State311::Deserialization(Bytes::Io(error)))
            | ConnectionError::Tls(rumqttc::TlsError::Io(error)) => self.io(error),
            ConnectionError::Tls(rumqttc::TlsError::TLS(error)) => tls::lost(error, self),
            ConnectionError::MqttState(State311::ConnectionAborted) => self.closed(),
            ConnectionError::MqttState(State311::AwaitPingResp) => silent(),
            ConnectionError::NotConnAck(_) | ConnectionError::MqttState(State311::Deserialization(_))
                if !self.accepted =>
            {
                self.no_mqtt(error)
            }
            other => self.by_cause(other),
        }
    }

    /// The broker hung up.
    fn closed(&self) -> Lost {
        if self.accepted {
            return closed();
        }
        tls::hung_up(self).unwrap_or_else(|| {
            if self.encryption.is_some() {
                return closed();
            }
            Lost::broken(format!(
                "the broker at {} hangs up before it has accepted the connection: if TLS is spoken at this port, write \
                 mqtts:// in `broker`; its log may say more",
                self.address()
            ))
        })
    }

    /// What answered is no MQTT broker.
    fn no_mqtt(&self, error: &(dyn Error + 'static)) -> Lost {
        let tls = if self.encryption.is_none() {
            "if TLS is spoken at this port, write mqtts:// in `broker`; otherwise look whether its port is right"
        } else {
            "look whether host and port in `broker` are right"
        };
        Lost::refused(format!(
            "what answers at {} does not speak MQTT ({error}): {tls}",
            self.address()
        ))
    }

    fn io(&self, error: &io::Error) -> Lost {
        use io::ErrorKind;
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return tls::lost(inner, self);
        }
        match error.kind() {
            ErrorKind::ConnectionRefused => Lost::broken(
                "nothing listens at the broker's address; look whether it runs and whether the port is right",
            ),
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => self.closed(),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Lost::broken("the broker's address cannot be reached; look at the network")
            }
            _ => self.by_cause(error),
        }
    }

    /// rumqttc gives faults of TLS and of the network inside of others: the cause is looked for.
    fn by_cause(&self, error: &(dyn Error + 'static)) -> Lost {
        let mut text = format!("{error} {error:?}");
        let mut next = error.source();
        while let Some(cause) = next {
            if let Some(cause) = cause.downcast_ref::<rustls::Error>() {
                return tls::lost(cause, self);
            }
            if let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
                && let Some(inner) = inner.downcast_ref::<rustls::Error>()
            {
                return tls::lost(inner, self);
            }
            text.push(' ');
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        let lookup = [
            "failed to lookup address",
            "Name or service not known",
            "No address associated",
        ];
        if lookup.iter().any(|sign| text.contains(sign)) {
            return Lost::broken(format!(
                "the broker's name `{}` cannot be resolved; look at `broker` in [mqtt] and at the name server",
                self.host
            ));
        }
        let gone = [
            "ConnectionReset",
            "BrokenPipe",
            "UnexpectedEof",
            "unexpected end of file",
        ];
        if gone.iter().any(|sign| text.contains(sign)) {
            return self.closed();
        }
        Lost::broken(format!("the connection to the broker failed: {error}"))
    }

    /// Whether it is the password or the access list, brokers do not always tell: mosquitto says "not authorized" of both.
    fn credentials(&self, authorized: bool) -> Lost {
        let file = self.password_file.as_ref().map_or_else(
            || "no password_file is given".to_owned(),
            |path| format!("password_file `{}`", path.display()),
        );
        Lost::refused(match (&self.username, authorized) {
            (None, _) => "the broker lets nobody in without a user name (not authorized): give username and \
                          password_file in [mqtt]"
                .to_owned(),
            (Some(user), true) => {
                format!("the broker refuses user `{user}`: the user name or the password is wrong ({file})")
            }
            (Some(user), false) => format!(
                "the broker refuses user `{user}` (not authorized): the password is wrong ({file}), or the broker's \
                 access list does not let this user or client_id in"
            ),
        })
    }
}

pub(super) fn slow() -> Lost {
    Lost::broken("the broker does not answer; look whether it runs and whether a firewall is between")
}

pub(super) fn silent() -> Lost {
    Lost::broken("the broker has not said anything for too long, the connection counts as dead")
}

fn closed() -> Lost {
    Lost::broken("the broker has closed the connection without a word; its log may say why")
}

const CLIENT_ID: &str = "the broker does not accept the client id: change client_id in [mqtt]";
const UNAVAILABLE: &str = "the broker says that it is not available now; it is tried again";

impl Meeting {
    /// MQTT 5, 3.2.2.2.
    fn refused_v5(&self, code: Code5) -> Lost {
        match code {
            Code5::BadUserNamePassword => self.credentials(true),
            Code5::NotAuthorized => self.credentials(false),
            Code5::BadClientId | Code5::ClientIdentifierNotValid => Lost::refused(CLIENT_ID),
            Code5::ServiceUnavailable | Code5::ServerUnavailable => Lost::broken(UNAVAILABLE),
            Code5::ServerBusy => Lost::broken("the broker says that it is busy; it is tried again"),
            Code5::Banned => Lost::refused("the broker has banned this client: ask who runs it"),
            Code5::RefusedProtocolVersion | Code5::UnsupportedProtocolVersion => {
                Lost::refused("the broker does not speak MQTT 5: set version = \"3.1.1\" in [mqtt]")
            }
            Code5::BadAuthenticationMethod => {
                Lost::refused("the broker wants another way of authentication than user name and password")
            }
            Code5::TopicNameInvalid => {
                Lost::refused("the broker does not accept the topic of the last will (the gateway's status)")
            }
            Code5::PacketTooLarge => {
                Lost::refused("the connect packet, with its last will, is too large for the broker")
            }
            Code5::QuotaExceeded => Lost::broken("the broker's quota is exceeded; it is tried again"),
            Code5::PayloadFormatInvalid => Lost::refused("the broker does not accept the payload of the last will"),
            Code5::RetainNotSupported => {
                Lost::refused("the broker keeps no retained messages, which statuses and units need: allow them there")
            }
            Code5::QoSNotSupported => {
                Lost::refused("the broker does not support QoS 1, which delivery needs: allow it there")
            }
            Code5::UseAnotherServer | Code5::ServerMoved => {
                Lost::refused("the broker says that another one is to be used: change `broker` in [mqtt]")
            }
            Code5::ConnectionRateExceeded => {
                Lost::broken("the broker says that connections are tried too often; it is tried again")
            }
            Code5::MalformedPacket | Code5::ProtocolError => Lost::refused(format!(
                "the broker does not understand the connect packet ({code:?}): is it an MQTT 5 broker?"
            )),
            Code5::Success | Code5::UnspecifiedError | Code5::ImplementationSpecificError => Lost::broken(format!(
                "the broker refuses the connection without saying why ({code:?}); its log may say more"
            )),
        }
    }

    /// MQTT 3.1.1, 3.2.2.3.
    fn refused_v311(&self, code: Code311) -> Lost {
        match code {
            Code311::BadUserNamePassword => self.credentials(true),
            Code311::NotAuthorized => self.credentials(false),
            Code311::BadClientId => Lost::refused(CLIENT_ID),
            Code311::RefusedProtocolVersion => {
                Lost::refused("the broker does not speak MQTT 3.1.1: set version = \"5\" in [mqtt]")
            }
            Code311::ServiceUnavailable | Code311::Success => Lost::broken(UNAVAILABLE),
        }
    }
}

#[cfg(test)]
mod tests;
