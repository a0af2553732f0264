//! Refusal: why a connection was not made or was lost, in a sentence that says what to do.

use rumqttc::v5::mqttbytes::v5::ConnectReturnCode as Code5;
use rumqttc::{ConnectReturnCode as Code311, StateError as State311};
use std::error::Error;

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

/// Of MQTT 5.
pub(super) fn lost_v5(error: &rumqttc::v5::ConnectionError) -> Lost {
    use rumqttc::v5::{ConnectionError, StateError};
    match error {
        ConnectionError::ConnectionRefused(code) => refused_v5(*code),
        ConnectionError::Timeout(_) => slow(),
        ConnectionError::Io(error) => io(error),
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
        ConnectionError::MqttState(StateError::ConnectionAborted) => closed(),
        ConnectionError::MqttState(StateError::AwaitPingResp) => silent(),
        other => by_text(other),
    }
}

/// Of MQTT 3.1.1.
pub(super) fn lost_v311(error: &rumqttc::ConnectionError) -> Lost {
    use rumqttc::ConnectionError;
    match error {
        ConnectionError::ConnectionRefused(code) => refused_v311(*code),
        ConnectionError::NetworkTimeout => slow(),
        ConnectionError::FlushTimeout => Lost::broken("the broker does not read what is sent to it"),
        ConnectionError::Io(error) => io(error),
        ConnectionError::MqttState(State311::ConnectionAborted) => closed(),
        ConnectionError::MqttState(State311::AwaitPingResp) => silent(),
        other => by_text(other),
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

fn io(error: &std::io::Error) -> Lost {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            Lost::broken("nothing listens at the broker's address; look whether it runs and whether the port is right")
        }
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => closed(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            Lost::broken("the broker's address cannot be reached; look at the network")
        }
        _ => by_text(error),
    }
}

/// rumqttc gives faults of TLS and of the network inside of others, so they are told apart by their text.
fn by_text(error: &(dyn Error + 'static)) -> Lost {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push(' ');
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    sentence_of(&text).unwrap_or_else(|| Lost::broken(format!("the connection to the broker failed: {error}")))
}

fn sentence_of(text: &str) -> Option<Lost> {
    let known: &[(&[&str], &str)] = &[
        (
            &["CertificateRequired", "certificate required"],
            "the broker wants a certificate of ours: give cert_file and key_file in [mqtt]",
        ),
        (
            &[
                "UnknownCA",
                "BadCertificate",
                "bad certificate",
                "CertificateUnknown",
                "DecryptError",
            ],
            "the broker does not accept our certificate: look whether cert_file was signed by an authority that it trusts",
        ),
        (
            &["CertificateExpired"],
            "the broker says that our certificate has expired: renew cert_file",
        ),
        (
            &["NotValidForName", "NotValidForNameContext"],
            "the broker's certificate is for another name: write the name that it is for in `broker`",
        ),
        (
            &["Expired", "ExpiredContext"],
            "the broker's certificate has expired: renew it there, or set this machine's clock right",
        ),
        (
            &["NotValidYet"],
            "the broker's certificate is not valid yet: set this machine's clock right",
        ),
        (
            &["UnknownIssuer", "BadSignature"],
            "the broker's certificate is signed by nobody that is trusted here: give its authority as ca_file in [mqtt]",
        ),
        (
            &["InvalidContentType", "InvalidMessage"],
            "the broker does not speak TLS at this port: use mqtt:// or its TLS port",
        ),
        (
            &["HandshakeFailure", "ProtocolVersion", "PeerIncompatible"],
            "the broker and the gateway find no common version or cipher of TLS",
        ),
    ];
    let refused = known
        .iter()
        .find(|(signs, _)| signs.iter().any(|sign| text.contains(sign)))
        .map(|(_, sentence)| Lost::refused(*sentence));
    refused.or_else(|| {
        let lookup = [
            "failed to lookup address",
            "Name or service not known",
            "No address associated",
        ];
        let unknown = lookup.iter().any(|sign| text.contains(sign));
        if unknown {
            return Some(Lost::broken(
                "the broker's name cannot be resolved; look at `broker` in [mqtt] and at the name server",
            ));
        }
        let gone = [
            "ConnectionReset",
            "BrokenPipe",
            "UnexpectedEof",
            "unexpected end of file",
        ];
        gone.iter().any(|sign| text.contains(sign)).then(closed)
    })
}

const CREDENTIALS: &str = "the broker refuses the user name or password: look at username and password_file in [mqtt]";
const NOT_AUTHORIZED: &str = "the broker does not allow this client to connect (not authorized): look at username, password_file and client_id in [mqtt] and at the broker's access list";
const CLIENT_ID: &str = "the broker does not accept the client id: change client_id in [mqtt]";
const UNAVAILABLE: &str = "the broker says that it is not available now; it is tried again";

/// MQTT 5, 3.2.2.2.
fn refused_v5(code: Code5) -> Lost {
    match code {
        Code5::BadUserNamePassword => Lost::refused(CREDENTIALS),
        Code5::NotAuthorized => Lost::refused(NOT_AUTHORIZED),
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
        Code5::PacketTooLarge => Lost::refused("the connect packet, with its last will, is too large for the broker"),
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
fn refused_v311(code: Code311) -> Lost {
    match code {
        Code311::BadUserNamePassword => Lost::refused(CREDENTIALS),
        Code311::NotAuthorized => Lost::refused(NOT_AUTHORIZED),
        Code311::BadClientId => Lost::refused(CLIENT_ID),
        Code311::RefusedProtocolVersion => {
            Lost::refused("the broker does not speak MQTT 3.1.1: set version = \"5\" in [mqtt]")
        }
        Code311::ServiceUnavailable | Code311::Success => Lost::broken(UNAVAILABLE),
    }
}
