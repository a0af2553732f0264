//! Whether a server's certificate is taken (OPC 10000-4, 6.1.3).
//!
//! Owns the decision and the sentence that says what to write. Decides by pins and by a file of certificates, never by what was seen before.
//! Revocation lists are not looked at: a certificate that must not be taken any more is taken out of the profile or the file.

use super::certificate::{self, Certificate, Malformed};
use crate::model::plan::Trust;
use opcua::crypto::X509;
use std::path::{Path, PathBuf};

/// RSA keys of servers that are taken, in bits (OPC 10000-7, 6.6).
const KEYS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// RSA keys of authorities, in bits: the largest that a signature is checked with.
const AUTHORITY_KEYS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Authorities one above another.
const DEEPEST: usize = 8;
/// Signatures that are checked for one decision; a chain made to keep us busy ends here.
const MOST_SIGNATURES: usize = 64;

/// A certificate that is taken.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// The server's own, without those of its authorities.
    pub certificate: X509,
    /// Its bytes.
    pub der: Vec<u8>,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Whom it names.
    pub subject: String,
    /// Unix seconds of its last moment.
    pub not_after: i64,
    /// By what it is trusted, as a sentence: for the log.
    pub by: String,
}

/// What a refused certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// `CN=…`
    pub subject: String,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Unix seconds of its last moment.
    pub not_after: i64,
}

impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let until = certificate::date(self.not_after);
        write!(
            f,
            "{}, {}, valid until {until}",
            self.subject,
            certificate::pin(&self.sha256)
        )
    }
}

impl About {
    fn of(certificate: &Certificate) -> Self {
        Self {
            subject: certificate.subject(),
            sha256: certificate.sha256(),
            not_after: certificate.not_after(),
        }
    }

    fn pin(&self) -> String {
        certificate::pin(&self.sha256)
    }
}

/// Why a certificate is not taken. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing that can be read.
    #[error(
        "the server's certificate cannot be used: {0}; give the device an RSA certificate with a key of 2048 to 4096 bits"
    )]
    Unreadable(String),
    /// Nobody said that it is trusted.
    #[error("the server's certificate is not trusted: {about}; if this is the right device write trust = \"{}\" in [connection]", about.pin())]
    Unknown {
        /// Which.
        about: About,
    },
    /// Another one is trusted.
    #[error("the server's certificate is another than the one that is trusted: it is now {about}, trusted is {}; if the device or its certificate was replaced on purpose write trust = \"{}\" in [connection], else somebody may stand between", pinned(pins), about.pin())]
    Changed {
        /// Which.
        about: About,
        /// What is trusted.
        pins: Vec<[u8; 32]>,
    },
    /// Nothing in the file signs it.
    #[error("the server's certificate is not trusted: {about}; {why}; add the right authority to {file}, or if this is the right device write trust = \"{}\" in [connection]", about.pin())]
    NotSigned {
        /// Which.
        about: About,
        /// The file.
        file: PathBuf,
        /// What is missing.
        why: String,
    },
    /// The file cannot be used.
    #[error("trust_file {file} cannot be used: {why}; it has to hold certificates in PEM, or in DER")]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// It is over.
    #[error("the server's certificate expired on {}: {about}; this machine's clock says {now}: renew the certificate in the device, then trust the new one", certificate::date(about.not_after))]
    Expired {
        /// Which.
        about: About,
        /// What the clock says.
        now: String,
    },
    /// It has not begun.
    #[error(
        "the server's certificate is valid only from {from}: {about}; this machine's clock says {now}: set the clock that is wrong, the device's or this one"
    )]
    NotYet {
        /// Which.
        about: About,
        /// When it begins.
        from: String,
        /// What the clock says.
        now: String,
    },
    /// It is for another application.
    #[error(
        "the server's certificate is for {named}, but the server calls itself {says}: {about}; give the device a certificate made for this name (it was renamed since, or the certificate is of another device)"
    )]
    OtherApplication {
        /// Which.
        about: About,
        /// URIs in the certificate.
        named: String,
        /// What the server says.
        says: String,
    },
    /// It is for another host.
    #[error("the server's certificate is not for {host} but for {named}: {about}; write one of these as the address, or give the device a certificate for {host}, or trust exactly this one: trust = \"{}\" in [connection]", about.pin())]
    OtherHost {
        /// Which.
        about: About,
        /// The host of the address.
        host: String,
        /// Hosts in the certificate.
        named: String,
    },
    /// Its key is too short or too long, or no RSA key.
    #[error("the server's certificate has {}: {about}; give the device one with an RSA key of 2048 to 4096 bits", key_told(*bits))]
    Key {
        /// Which.
        about: About,
        /// How many bits; `None`: no RSA key.
        bits: Option<usize>,
    },
    /// It was signed with SHA-1.
    #[error(
        "the server's certificate is signed with SHA-1 or older, which is not safe and not allowed by any policy of today: {about}; give the device one signed with SHA-256"
    )]
    Weak {
        /// Which.
        about: About,
    },
    /// It may not be used as a server's.
    #[error("the server's certificate is not made for a server (key usage): {about}; give the device a certificate for servers, or trust exactly this one: trust = \"{}\" in [connection]", about.pin())]
    NotForServers {
        /// Which.
        about: About,
    },
}

impl Refusal {
    /// The line to write where writing one helps.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        match self {
            Self::Unknown { about }
            | Self::Changed { about, .. }
            | Self::NotSigned { about, .. }
            | Self::OtherHost { about, .. }
            | Self::NotForServers { about } => Some(format!("trust = \"{}\"", about.pin())),
            _ => None,
        }
    }
}

/// Decides on a server's certificate.
///
/// `chain_der` is what the server sent: its own certificate, perhaps with those of its authorities behind it. `application_uri` is what its
/// `ApplicationDescription` says, `host` the host of the profile's address, `now_unix` the wall clock in seconds.
///
/// In this order: key and signature as the policies want them, validity, application URI, trust. A certificate that is named itself (by a pin, or
/// because it is in the file) needs no host name, and no application URI where the server says none; one that is trusted by its authority needs
/// both. Reads the trust file each time, so that it can be changed while the gateway runs: a small file, but to be called where that is allowed.
pub fn judge(
    trust: &Trust,
    chain_der: &[u8],
    application_uri: &str,
    host: &str,
    now_unix: i64,
) -> Result<Trusted, Refusal> {
    let unreadable = |fault: Malformed| Refusal::Unreadable(fault.to_string());
    let sent = certificate::chain(chain_der).map_err(unreadable)?;
    let (leaf, above) = sent.split_first().ok_or_else(|| unreadable(Malformed::Nothing))?;
    let known = match &trust.file {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    let about = || About::of(leaf);
    healthy(leaf, application_uri, now_unix)?;

    if trust.pins.contains(&leaf.sha256()) {
        return trusted(leaf, "it is the one that trust names".to_owned());
    }
    if known.iter().any(|one| one.der() == leaf.der()) {
        return trusted(leaf, "it is in trust_file".to_owned());
    }
    let Some(file) = &trust.file else {
        return Err(if trust.pins.is_empty() {
            Refusal::Unknown { about: about() }
        } else {
            Refusal::Changed {
                about: about(),
                pins: trust.pins.clone(),
            }
        });
    };
    let authority = authority(leaf, above, &known, now_unix).map_err(|why| Refusal::NotSigned {
        about: about(),
        file: file.clone(),
        why,
    })?;
    if application_uri.is_empty() {
        return Err(other_application(leaf, application_uri));
    }
    if !leaf.may_serve() {
        return Err(Refusal::NotForServers { about: about() });
    }
    let names = leaf.names();
    if !names.have_host(host) {
        return Err(Refusal::OtherHost {
            about: about(),
            host: host.to_owned(),
            named: names.hosts_shown(),
        });
    }
    trusted(leaf, format!("{authority} in trust_file signed it"))
}

/// What holds for each certificate, however it is trusted.
fn healthy(leaf: &Certificate, application_uri: &str, now_unix: i64) -> Result<(), Refusal> {
    let about = About::of(leaf);
    let now = || certificate::date(now_unix);
    let bits = leaf.rsa_bits();
    if !bits.is_some_and(|bits| KEYS.contains(&bits)) {
        return Err(Refusal::Key { about, bits });
    }
    if leaf.signed_weakly() {
        return Err(Refusal::Weak { about });
    }
    if now_unix > leaf.not_after() {
        return Err(Refusal::Expired { about, now: now() });
    }
    if now_unix < leaf.not_before() {
        return Err(Refusal::NotYet {
            about,
            from: certificate::date(leaf.not_before()),
            now: now(),
        });
    }
    if !application_uri.is_empty() && !leaf.names().uris.iter().any(|uri| uri == application_uri) {
        return Err(other_application(leaf, application_uri));
    }
    Ok(())
}

fn other_application(leaf: &Certificate, application_uri: &str) -> Refusal {
    let uris = leaf.names().uris;
    Refusal::OtherApplication {
        about: About::of(leaf),
        named: if uris.is_empty() {
            "no application".to_owned()
        } else {
            certificate::shown(&uris.join(", "))
        },
        says: match application_uri {
            "" => "nothing".to_owned(),
            uri => certificate::shown(uri),
        },
    }
}

fn trusted(leaf: &Certificate, by: String) -> Result<Trusted, Refusal> {
    let certificate = X509::from_der(leaf.der()).map_err(|fault| Refusal::Unreadable(fault.to_string()))?;
    Ok(Trusted {
        certificate,
        der: leaf.der().to_vec(),
        sha256: leaf.sha256(),
        subject: leaf.subject(),
        not_after: leaf.not_after(),
        by,
    })
}

fn read(path: &Path) -> Result<Vec<Certificate>, Refusal> {
    let unusable = |why: String| Refusal::File {
        file: path.to_owned(),
        why,
    };
    let bytes = std::fs::read(path).map_err(|fault| unusable(fault.to_string()))?;
    certificate::file(&bytes).map_err(|fault| unusable(fault.to_string()))
}

/// The authority in the file that stands behind a certificate; or what is missing, as a part of a sentence.
fn authority(leaf: &Certificate, sent: &[Certificate], known: &[Certificate], now_unix: i64) -> Result<String, String> {
    let mut search = Search {
        sent,
        known,
        now_unix,
        signatures: 0,
        nearest: None,
    };
    match search.above(leaf, 0) {
        Some(authority) => Ok(authority),
        None => Err(search.nearest.unwrap_or_else(|| {
            if leaf.names_itself() {
                "it signs itself, and it is not in the file".to_owned()
            } else {
                format!("it is signed by {}, which is not in the file", leaf.issuer())
            }
        })),
    }
}

/// Looks for a way from a certificate to an authority in the file.
struct Search<'a> {
    sent: &'a [Certificate],
    known: &'a [Certificate],
    now_unix: i64,
    signatures: usize,
    /// What stood in the way of the first certificate that otherwise fits.
    nearest: Option<String>,
}

impl Search<'_> {
    /// `below` authorities stand between `certificate` and the server's; itself counted where it is one.
    fn above(&mut self, certificate: &Certificate, below: usize) -> Option<String> {
        let (known, sent) = (self.known, self.sent);
        for issuer in known {
            if self.signs(issuer, certificate, below) {
                return Some(issuer.subject());
            }
        }
        if below >= DEEPEST {
            return None;
        }
        for issuer in sent {
            // A chain through a certificate that signs itself ends there, and not in the file.
            if issuer.names_itself() || !self.signs(issuer, certificate, below) {
                continue;
            }
            if issuer.signed_weakly() {
                self.miss(issuer, "is signed with SHA-1");
                continue;
            }
            if let Some(found) = self.above(issuer, below + 1) {
                return Some(found);
            }
            let missing = format!("is signed by {}, which is not in the file", issuer.issuer());
            self.miss(issuer, &missing);
        }
        None
    }

    /// Whether `issuer` signed `certificate`, and may do so now.
    fn signs(&mut self, issuer: &Certificate, certificate: &Certificate, below: usize) -> bool {
        if !certificate.says_signed_by(issuer) || self.signatures == MOST_SIGNATURES {
            return false;
        }
        self.signatures += 1;
        if !certificate.is_signed_by(issuer) {
            self.miss(
                issuer,
                "has this name, but the signature is not by its key (or of a kind that is not built)",
            );
            return false;
        }
        let fault = if !issuer.may_sign() {
            "is no authority (basic constraints, key usage)".to_owned()
        } else if issuer.not_after() < self.now_unix {
            format!("expired on {}", certificate::date(issuer.not_after()))
        } else if issuer.not_before() > self.now_unix {
            format!("is valid only from {}", certificate::date(issuer.not_before()))
        } else if issuer.depth().is_some_and(|depth| depth < below) {
            "allows fewer authorities below it (path length)".to_owned()
        } else if issuer.rsa_bits().is_some_and(|bits| !AUTHORITY_KEYS.contains(&bits)) {
            "has an RSA key that is too short".to_owned()
        } else if let Some(extension) = issuer.not_understood() {
            format!("has a critical extension that is not built ({extension})")
        } else {
            return true;
        };
        self.miss(issuer, &fault);
        false
    }

    fn miss(&mut self, issuer: &Certificate, fault: &str) {
        if self.nearest.is_none() {
            self.nearest = Some(format!("{}, which signs it, {fault}", issuer.subject()));
        }
    }
}

fn pinned(pins: &[[u8; 32]]) -> String {
    let shown = pins.iter().map(certificate::pin).collect::<Vec<_>>();
    shown.join(" or ")
}

fn key_told(bits: Option<usize>) -> String {
    match bits {
        Some(bits) => format!("an RSA key of {bits} bits"),
        None => "a key that is no RSA key".to_owned(),
    }
}

#[cfg(test)]
mod tests;
