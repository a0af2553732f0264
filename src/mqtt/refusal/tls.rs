//! What went wrong with encryption, in a sentence: which certificate, which file, what to do.

use super::{Lost, Meeting};
use crate::model::time;
use crate::mqtt::credentials::{Encryption, Facts, day};
use rustls::{AlertDescription, CertificateError, Error};
use std::path::Path;

/// Why a handshake failed, or was taken back: with TLS 1.3 the broker's verdict on our certificate comes only after it.
pub(super) fn lost(error: &Error, meeting: &Meeting) -> Lost {
    let Some(encryption) = &meeting.encryption else {
        return Lost::broken(format!("the connection to the broker failed: {error}"));
    };
    let case = Case { meeting, encryption };
    match error {
        Error::InvalidCertificate(fault) => case.theirs(fault),
        Error::AlertReceived(alert) => case.alert(*alert),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => no_tls(meeting),
        Error::PeerIncompatible(_) => no_common(meeting),
        other => Lost::refused(format!(
            "TLS with the broker at {} failed: {other}; look at its certificate and its log",
            meeting.address()
        )),
    }
}

/// The broker has hung up before it accepted the connection. `None`: nothing is known of why.
pub(super) fn hung_up(meeting: &Meeting) -> Option<Lost> {
    let encryption = meeting.encryption.as_ref()?;
    let seen = encryption.witness.seen();
    if seen.chain.is_none() {
        return Some(no_tls(meeting));
    }
    let case = Case { meeting, encryption };
    seen.asked.then(|| match &encryption.own {
        Some(_) => case.ours("hangs up after it has seen our certificate; it does not seem to accept it"),
        None => wanted(),
    })
}

fn no_tls(meeting: &Meeting) -> Lost {
    Lost::refused(format!(
        "the broker does not speak TLS at {}: write its TLS port (often 8883) in `broker`, or mqtt:// where it has none",
        meeting.address()
    ))
}

fn no_common(meeting: &Meeting) -> Lost {
    Lost::refused(format!(
        "the broker at {} and the gateway find no common version or cipher of TLS: allow TLS 1.2 or 1.3 there",
        meeting.address()
    ))
}

fn wanted() -> Lost {
    Lost::refused(
        "the broker wants a certificate of ours and none is configured: give cert_file and key_file in [mqtt]",
    )
}

/// How a certificate is called in a sentence.
fn called(facts: Option<&Facts>) -> String {
    facts.map_or_else(String::new, |facts| {
        format!(" (`{}`, signed by `{}`)", facts.subject, facts.issuer)
    })
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(
        || "cert_file".to_owned(),
        |path| format!("cert_file `{}`", path.display()),
    )
}

struct Case<'a> {
    meeting: &'a Meeting,
    encryption: &'a Encryption,
}

impl Case<'_> {
    /// What is wrong with the broker's certificate.
    fn theirs(&self, fault: &CertificateError) -> Lost {
        let facts = self.encryption.witness.seen().chain.and_then(|chain| chain.facts());
        let now = self.meeting.now;
        let called = called(facts.as_ref());
        let sentence = match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let when = facts.filter(|facts| facts.until < now).map_or_else(
                    || "or one that signed it has expired".to_owned(),
                    |facts| format!("has expired on {}", day(facts.until)),
                );
                format!(
                    "the broker's certificate{called} {when}: renew it there; if that is not so, the clock of this \
                     machine may be wrong, which says {}",
                    time::rfc3339(now)
                )
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let when = facts
                    .filter(|facts| facts.from > now)
                    .map_or_else(String::new, |facts| format!(" before {}", day(facts.from)));
                format!(
                    "the broker's certificate{called} is not valid yet{when}: the clock of this machine may be wrong, \
                     which says {}; set it, or renew the certificate there",
                    time::rfc3339(now)
                )
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                self.other_name(facts.as_ref())
            }
            CertificateError::UnknownIssuer => self.unknown_authority(facts.as_ref()),
            CertificateError::BadSignature => {
                let (by, holds) = (Self::signer(facts.as_ref()), self.authorities());
                format!(
                    "the broker's certificate is signed by another key of {by} than the one that {holds} holds: put the \
                     present certificate of that authority there"
                )
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                format!(
                    "the broker's certificate{called} is not made for servers: issue it with extended key usage serverAuth"
                )
            }
            CertificateError::Revoked => format!("the broker's certificate{called} was revoked: renew it there"),
            other => self.unusual(&format!("{other:?}"), &called),
        };
        Lost::refused(sentence)
    }

    fn unusual(&self, fault: &str, called: &str) -> String {
        if fault.contains("CaUsedAsEndEntity") {
            return format!(
                "the broker shows the certificate of an authority{called} as its own: issue it one of its own, without \
                 CA:TRUE, signed by that authority"
            );
        }
        if fault.contains("UnsupportedCertVersion") {
            return format!(
                "the broker's certificate{called} is of X.509 version 1: issue it anew as version 3, with \
                 subjectAltName = {}",
                self.meeting.alternative_name()
            );
        }
        format!("the broker's certificate{called} cannot be checked ({fault}): issue it anew")
    }

    fn other_name(&self, facts: Option<&Facts>) -> String {
        let host = &self.meeting.host;
        match facts {
            Some(facts) if !facts.names.is_empty() => format!(
                "the broker's certificate is for {}, not for `{host}`: write one of these names in `broker`, or issue it \
                 for `{host}` too",
                facts.told_names()
            ),
            facts => format!(
                "the broker's certificate{} names no host: issue it anew with subjectAltName = {}, a common name alone \
                 does not count",
                called(facts),
                self.meeting.alternative_name()
            ),
        }
    }

    fn signer(facts: Option<&Facts>) -> String {
        facts.map_or_else(|| "an authority".to_owned(), |facts| format!("`{}`", facts.issuer))
    }

    fn authorities(&self) -> String {
        match &self.encryption.files.ca_file {
            Some(path) => format!("ca_file `{}`", path.display()),
            None => "this machine".to_owned(),
        }
    }

    fn unknown_authority(&self, facts: Option<&Facts>) -> String {
        let signer = match facts {
            Some(facts) if facts.issuer == facts.subject => format!("by itself (`{}`)", facts.subject),
            facts => format!("by {}", Self::signer(facts)),
        };
        match &self.encryption.files.ca_file {
            Some(path) => format!(
                "the broker's certificate is signed {signer}, an authority that ca_file `{}` does not hold: put the \
                 certificate of that authority there, and let the broker send those between",
                path.display()
            ),
            None => format!(
                "the broker's certificate is signed {signer}, an authority that this machine does not trust: give its \
                 certificate as ca_file in [mqtt]"
            ),
        }
    }

    /// The broker does not want ours.
    fn ours(&self, what: &str) -> Lost {
        let own = self.encryption.own.as_ref();
        Lost::refused(format!(
            "the broker {what}: look whether {}{} was signed by an authority that the broker trusts, for clients, and is \
             not revoked there",
            shown(self.encryption.files.cert_file.as_deref()),
            called(own)
        ))
    }

    /// RFC 8446, 6.2.
    fn alert(&self, alert: AlertDescription) -> Lost {
        use AlertDescription as Alert;
        let own = self.encryption.own.as_ref();
        let asked = self.encryption.witness.seen().asked;
        match alert {
            Alert::CertificateRequired | Alert::NoCertificate => wanted(),
            Alert::HandshakeFailure | Alert::BadCertificate if asked && own.is_none() => wanted(),
            Alert::CertificateExpired => {
                let file = shown(self.encryption.files.cert_file.as_deref());
                let until = own.map_or(0, |own| own.until);
                let clock = if until > self.meeting.now {
                    format!(
                        "; it is valid until {}, so the clock of the broker or of this machine may be wrong",
                        day(until)
                    )
                } else {
                    format!(" on {}", day(until))
                };
                Lost::refused(format!(
                    "the broker says that our certificate ({file}{}) has expired{clock}: renew it, it is read again \
                     without a restart",
                    called(own)
                ))
            }
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::AccessDenied
            | Alert::DecryptError => self.ours(&format!("does not accept our certificate ({alert:?})")),
            Alert::UnrecognisedName => Lost::refused(format!(
                "the broker does not know itself by the name `{}`: write the name that its certificate is for in `broker`",
                self.meeting.host
            )),
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity => no_common(self.meeting),
            other => Lost::broken(format!("the broker has ended TLS ({other:?}); its log may say why")),
        }
    }
}
