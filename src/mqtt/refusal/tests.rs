use super::super::credentials;
use super::super::{Settings, Tls};
use super::*;
use crate::clock::Clock;
use crate::model::Moment;
use rumqttc::v5::ConnectionError as Five;
use rumqttc::v5::mqttbytes::Error as FiveBytes;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription as Alert, CertificateError as Fault, Error as Tls13};

const NOW: i64 = 1_795_342_503_000;

/// A broker by TLS, whose certificate was seen where `seen`, and that asked for ours where `asked`.
fn meeting(own: bool, seen: bool, asked: bool) -> Meeting {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let broker = include_str!("../credentials/fixtures/broker.pem");
    let mut settings = Settings::new("10.1.2.3", 8883, "gw", "status");
    settings.username = Some("gw-07".to_owned());
    settings.password_file = Some("/etc/lineside/mqtt.password".into());
    let mut tls = Tls {
        ca_file: Some(write("ca.pem", broker)),
        ..Tls::default()
    };
    if own {
        let certificate = include_str!("../credentials/fixtures/ed25519.pem");
        tls.cert_file = Some(write("gw.pem", certificate));
        tls.key_file = Some(write(
            "gw.key",
            include_str!("../credentials/fixtures/ed25519-pkcs8.key"),
        ));
    }
    let only_tls = Settings {
        tls: Some(tls),
        password_file: None,
        ..settings.clone()
    };
    let reading = credentials::read(&only_tls, &Clock::fake(Moment::new(NOW, 1)));
    let encryption = reading.credentials.and_then(|found| found.encryption).unwrap();
    if seen {
        let leaf = CertificateDer::from_pem_slice(broker.as_bytes()).unwrap();
        let name = ServerName::try_from("10.1.2.3").unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_millis(NOW.unsigned_abs()));
        // It is the certificate of an authority, and for other names.
        assert!(
            encryption
                .witness
                .verify_server_cert(&leaf, &[], &name, &[], now)
                .is_err()
        );
    }
    if asked {
        assert_eq!(encryption.witness.resolve(&[], &[]).is_some(), own);
    }
    Meeting::new(&settings, Some(encryption), NOW)
}

fn plain() -> Meeting {
    let mut settings = Settings::new("10.1.2.3", 1883, "gw", "status");
    settings.username = Some("gw-07".to_owned());
    Meeting::new(&settings, None, NOW)
}

/// As rumqttc hands it on, in all the places where it may stand.
fn everywhere(error: &Tls13) -> Vec<Five> {
    let io = || io::Error::new(io::ErrorKind::InvalidData, error.clone());
    vec![
        Five::Tls(rumqttc::TlsError::TLS(error.clone())),
        Five::Tls(rumqttc::TlsError::Io(io())),
        Five::Io(io()),
        Five::MqttState(rumqttc::v5::StateError::Io(io())),
        Five::MqttState(rumqttc::v5::StateError::Deserialization(FiveBytes::Io(io()))),
    ]
}

fn assert_told(lost: &Lost, words: &[&str]) {
    assert!(lost.needs_help, "{lost:?}");
    for word in words {
        assert!(lost.reason.contains(word), "{word} in: {}", lost.reason);
    }
    assert!(
        !lost.reason.contains('\n') && lost.reason.len() < 400,
        "{}",
        lost.reason
    );
}

#[test]
fn what_is_wrong_with_the_brokers_certificate_is_told() {
    let cases: &[(Fault, &[&str])] = &[
        (
            Fault::Expired,
            &["broker's certificate", "`broker of line 3`", "expired", "clock"],
        ),
        (
            Fault::NotValidYet,
            &["not valid yet", "clock of this machine may be wrong", "2026-11-22"],
        ),
        (
            Fault::NotValidForName,
            &[
                "is for `mes.acme.example`, `192.0.2.7`, `::1`, not for `10.1.2.3`",
                "`broker`",
            ],
        ),
        (Fault::UnknownIssuer, &["signed by itself", "ca_file", "ca.pem"]),
        (Fault::BadSignature, &["another key of `broker of line 3`", "ca.pem"]),
        (Fault::InvalidPurpose, &["not made for servers", "serverAuth"]),
        (Fault::Revoked, &["revoked"]),
        (Fault::BadEncoding, &["cannot be checked"]),
    ];
    for (fault, words) in cases {
        for error in everywhere(&Tls13::InvalidCertificate(fault.clone())) {
            assert_told(&meeting(true, true, false).lost_v5(&error), words);
        }
    }
    let unseen = Tls13::InvalidCertificate(Fault::NotValidForName);
    let lost = tls::lost(&unseen, &meeting(false, false, false));
    assert_told(&lost, &["names no host", "subjectAltName = IP:10.1.2.3"]);
    let odd = |text: &'static str| {
        let fault = rustls::OtherError(std::sync::Arc::new(io::Error::other(text)));
        tls::lost(
            &Tls13::InvalidCertificate(Fault::Other(fault)),
            &meeting(false, true, false),
        )
    };
    assert_told(&odd("CaUsedAsEndEntity"), &["certificate of an authority", "CA:TRUE"]);
    assert_told(&odd("UnsupportedCertVersion"), &["version 1", "subjectAltName"]);
}

#[test]
fn what_the_broker_says_of_our_certificate_is_told_although_it_comes_after_the_handshake() {
    let cases: &[(Alert, bool, &[&str])] = &[
        (
            Alert::CertificateRequired,
            false,
            &["wants a certificate of ours", "cert_file and key_file"],
        ),
        (Alert::HandshakeFailure, false, &["wants a certificate of ours"]),
        (
            Alert::UnknownCA,
            true,
            &["does not accept our certificate", "gw.pem", "`gw-test`"],
        ),
        (Alert::BadCertificate, true, &["does not accept our certificate"]),
        (Alert::DecryptError, true, &["does not accept our certificate"]),
        (
            Alert::CertificateExpired,
            true,
            &["has expired", "gw.pem", "clock", "2060-01-02"],
        ),
        (Alert::ProtocolVersion, true, &["no common version"]),
        (Alert::HandshakeFailure, true, &["no common version"]),
        (Alert::UnrecognisedName, true, &["does not know itself", "10.1.2.3"]),
    ];
    for (alert, own, words) in cases {
        for error in everywhere(&Tls13::AlertReceived(*alert)) {
            assert_told(&meeting(*own, true, true).lost_v5(&error), words);
        }
    }
    let error = rumqttc::ConnectionError::MqttState(State311::Deserialization(rumqttc::mqttbytes::Error::Io(
        io::Error::new(io::ErrorKind::InvalidData, Tls13::AlertReceived(Alert::UnknownCA)),
    )));
    assert_told(
        &meeting(true, true, true).lost_v311(&error),
        &["does not accept our certificate"],
    );
    let ended = tls::lost(&Tls13::AlertReceived(Alert::InternalError), &meeting(true, true, true));
    assert!(!ended.needs_help && ended.reason.contains("InternalError"), "{ended:?}");
}

#[test]
fn a_port_that_speaks_something_else_is_told() {
    let gone = |kind: io::ErrorKind| Five::MqttState(rumqttc::v5::StateError::Io(kind.into()));
    for kind in [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe,
    ] {
        assert_told(
            &meeting(false, false, false).lost_v5(&gone(kind)),
            &["does not speak TLS at 10.1.2.3:8883"],
        );
        assert_told(
            &meeting(false, true, true).lost_v5(&gone(kind)),
            &["wants a certificate of ours"],
        );
        assert_told(
            &meeting(true, true, true).lost_v5(&gone(kind)),
            &["hangs up after it has seen our certificate"],
        );
        let lost = plain().lost_v5(&gone(kind));
        assert!(lost.reason.contains("mqtts://") && !lost.needs_help, "{lost:?}");
        let mut accepted = meeting(true, true, true);
        accepted.accepted = true;
        let lost = accepted.lost_v5(&gone(kind));
        assert!(lost.reason.contains("without a word") && !lost.needs_help, "{lost:?}");
    }
    let garbage = Tls13::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
    for error in everywhere(&garbage) {
        assert_told(&meeting(false, false, false).lost_v5(&error), &["does not speak TLS"]);
    }
    let alert = Five::MqttState(rumqttc::v5::StateError::Deserialization(FiveBytes::MalformedPacket));
    assert_told(&plain().lost_v5(&alert), &["does not speak MQTT", "mqtts://"]);
    assert_told(
        &tls::lost(
            &Tls13::PeerIncompatible(rustls::PeerIncompatible::SupportedVersionsExtensionRequired),
            &meeting(false, false, false),
        ),
        &["no common version"],
    );
}

#[test]
fn a_refused_password_names_user_and_file() {
    let with = |username: Option<&str>| Meeting {
        username: username.map(str::to_owned),
        ..meeting(false, true, false)
    };
    let refused = |code| Five::ConnectionRefused(code);
    let lost = with(Some("gw-07")).lost_v5(&refused(Code5::BadUserNamePassword));
    assert_told(
        &lost,
        &["user `gw-07`", "password is wrong", "/etc/lineside/mqtt.password"],
    );
    let lost = with(Some("gw-07")).lost_v5(&refused(Code5::NotAuthorized));
    assert_told(&lost, &["not authorized", "`gw-07`", "mqtt.password", "access list"]);
    let lost = with(None).lost_v5(&refused(Code5::NotAuthorized));
    assert_told(&lost, &["without a user name", "password_file"]);
    let lost = with(Some("gw-07")).lost_v311(&rumqttc::ConnectionError::ConnectionRefused(Code311::NotAuthorized));
    assert_told(&lost, &["not authorized", "mqtt.password"]);
}
