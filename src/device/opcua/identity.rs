//! Who the gateway says it is: read from files for each session, and made into what ActivateSession carries.
//!
//! Owns secrets only for as long as a session is made. Does not own the service calls, nor which endpoint is used ([`super::choose`]).

use super::certificate;
use super::choose::{Chosen, leaf, token_policy};
use super::own::{self, Own};
use crate::model::plan::Identity;
use opcua::crypto::{KeySize, PrivateKey, SecurityPolicy, X509};
use opcua::types::{
    AnonymousIdentityToken, ByteString, ExtensionObject, SignatureData, StatusCode, UAString, UserNameIdentityToken,
    UserTokenType as Kind, X509IdentityToken,
};
use std::fmt;
use std::path::{Path, PathBuf};

/// RSA keys that something is encrypted with, in bits (OPC 10000-7, 6.6).
const KEYS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Why the gateway cannot log in. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file does not open.
    #[error("cannot read {path}: {source}; let the gateway's user read it")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("{0} is empty: write the password on its first line")]
    Empty(PathBuf),
    /// Not UTF-8.
    #[error("{0} is not text in UTF-8: write the password on its first line")]
    NotText(PathBuf),
    /// No certificate.
    #[error("cert_file {path} cannot be used: {why}; it has to be a certificate in PEM or DER")]
    NotACertificate {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No key.
    #[error(
        "key_file {0} is not an RSA private key without a password, PKCS 8 or PKCS 1, PEM or DER (openssl pkey -in old.key -out new.key)"
    )]
    NotAKey(PathBuf),
    /// They are of two pairs.
    #[error("key_file {key} does not belong to cert_file {certificate}: name both files of one pair")]
    Strangers {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// It is over.
    #[error("cert_file {path} expired on {expired} (this machine's clock says {now}): put a new certificate there")]
    Expired {
        /// Which.
        path: PathBuf,
        /// When.
        expired: String,
        /// What the clock says.
        now: String,
    },
    /// The server gave nothing to sign or to encrypt with.
    #[error("the server gave {0}, so the gateway cannot log in safely: switch a security policy on in the server")]
    Nothing(&'static str),
    /// The endpoint was chosen for another identity.
    #[error("the server takes no such log-in here: it was chosen for another one")]
    OtherToken,
    /// Encrypting or signing went wrong.
    #[error("the log-in could not be signed or encrypted: {0}")]
    Crypto(String),
    /// The server does not have the key of its certificate.
    #[error("the server did not prove that the key of its certificate is its own ({0}): somebody may stand between")]
    NotProven(String),
}

/// What a session is activated with. Its `Debug` shows no secret.
#[derive(Clone)]
pub enum Material {
    /// Nobody.
    Anonymous,
    /// A name and its password.
    User {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// A certificate and its key.
    Certificate {
        /// In DER.
        der: Vec<u8>,
        /// The key.
        key: Box<PrivateKey>,
    },
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::User { name, .. } => write!(f, "User({name})"),
            Self::Certificate { .. } => f.write_str("Certificate"),
        }
    }
}

impl PartialEq for Material {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::User { name: a, password: b }, Self::User { name: c, password: d }) => a == c && b == d,
            // The key belongs to the certificate.
            (Self::Certificate { der: a, .. }, Self::Certificate { der: b, .. }) => a == b,
            _ => false,
        }
    }
}

impl Material {
    /// Reads the files that the profile names.
    ///
    /// The password is the first line without its end. To be read again for each session: after a refusal the same material is not sent
    /// again, but another is (the material compares). Small files, but to be called where reading is allowed.
    pub fn read(identity: &Identity, now_unix: i64) -> Result<Self, Fault> {
        match identity {
            Identity::Anonymous => Ok(Self::Anonymous),
            Identity::User { name, password_file } => {
                let bytes = secret(password_file)?;
                let text = String::from_utf8(bytes).map_err(|_| Fault::NotText(password_file.clone()))?;
                match text.lines().next() {
                    Some(line) if !line.is_empty() => Ok(Self::User {
                        name: name.clone(),
                        password: line.to_owned(),
                    }),
                    _ => Err(Fault::Empty(password_file.clone())),
                }
            }
            Identity::Certificate { cert_file, key_file } => user_certificate(cert_file, key_file, now_unix),
        }
    }
}

fn user_certificate(cert_file: &Path, key_file: &Path, now_unix: i64) -> Result<Material, Fault> {
    let not_a_certificate = |why: String| Fault::NotACertificate {
        path: cert_file.to_owned(),
        why,
    };
    let bytes = std::fs::read(cert_file).map_err(|source| Fault::Unreadable {
        path: cert_file.to_owned(),
        source,
    })?;
    let found = certificate::file(&bytes).map_err(|fault| not_a_certificate(fault.to_string()))?;
    let first = found
        .first()
        .ok_or_else(|| not_a_certificate("it is empty".to_owned()))?;
    let key = private_key(&secret(key_file)?).ok_or_else(|| Fault::NotAKey(key_file.to_owned()))?;
    if !own::belongs(&key, first) {
        return Err(Fault::Strangers {
            certificate: cert_file.to_owned(),
            key: key_file.to_owned(),
        });
    }
    if first.not_after() < now_unix {
        return Err(Fault::Expired {
            path: cert_file.to_owned(),
            expired: certificate::date(first.not_after()),
            now: certificate::date(now_unix),
        });
    }
    Ok(Material::Certificate {
        der: first.der().to_vec(),
        key: Box::new(key),
    })
}

/// A file that nobody else should read; it is read all the same.
fn secret(path: &Path) -> Result<Vec<u8>, Fault> {
    let bytes = std::fs::read(path).map_err(|source| Fault::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    if own::others_can_read(path) {
        tracing::warn!(
            "{} can be read by other users of this machine: chmod 640 it",
            path.display()
        );
    }
    Ok(bytes)
}

/// An RSA key, PKCS 8 or PKCS 1, PEM or DER.
fn private_key(bytes: &[u8]) -> Option<PrivateKey> {
    const LABELS: [&str; 2] = ["PRIVATE KEY", "RSA PRIVATE KEY"];
    let blocks = LABELS.iter().flat_map(|label| {
        let found = certificate::blocks(bytes, label).unwrap_or_default();
        found.into_iter().map(move |der| (*label, der))
    });
    let bare = LABELS.iter().map(|label| (*label, bytes.to_vec()));
    let mut candidates = blocks.chain(bare);
    candidates.find_map(|(label, der)| {
        let ending = x509_cert::der::pem::LineEnding::LF;
        let text = x509_cert::der::pem::encode_string(label, ending, &der).ok()?;
        PrivateKey::from_pem(text.as_bytes()).ok()
    })
}

/// The token that ActivateSession carries, and the signature beside it (OPC 10000-4, 7.41).
///
/// `server_nonce` is the last one that the server gave, in CreateSession or ActivateSession; after a reconnect on a new channel, too. A
/// password is encrypted for the chosen endpoint's certificate, which has to be trusted before ([`Chosen::needs_trust`]).
pub fn user_token(
    material: &Material,
    chosen: &Chosen,
    server_nonce: &ByteString,
) -> Result<(ExtensionObject, SignatureData), Fault> {
    let policy = token_policy(chosen.policy, &chosen.token);
    let policy_id = chosen.token.policy_id.clone();
    let crypto = |fault: opcua::types::Error| Fault::Crypto(fault.to_string());
    match (material, chosen.token.token_type) {
        (Material::Anonymous, Kind::Anonymous) => Ok((
            ExtensionObject::from_message(AnonymousIdentityToken { policy_id }),
            SignatureData::null(),
        )),
        (Material::User { name, password }, Kind::UserName) => {
            if policy != SecurityPolicy::None && server_nonce.is_null_or_empty() {
                return Err(Fault::Nothing("no nonce"));
            }
            let certificate = match policy {
                SecurityPolicy::None => None,
                _ => Some(server_certificate(chosen)?),
            };
            let secret = opcua::crypto::legacy_encrypt_secret(
                chosen.policy,
                chosen.mode,
                &chosen.token,
                server_nonce.as_ref(),
                &certificate,
                password.as_bytes(),
            )
            .map_err(crypto)?;
            let token = UserNameIdentityToken {
                policy_id,
                user_name: UAString::from(name.as_str()),
                password: secret.secret,
                encryption_algorithm: secret.encryption_algorithm,
            };
            Ok((ExtensionObject::from_message(token), SignatureData::null()))
        }
        (Material::Certificate { der, key }, Kind::Certificate) => {
            let signature = sign(key, policy, &chosen.endpoint.server_certificate, server_nonce)?;
            let token = X509IdentityToken {
                policy_id,
                certificate_data: ByteString::from(der.as_slice()),
            };
            Ok((ExtensionObject::from_message(token), signature))
        }
        _ => Err(Fault::OtherToken),
    }
}

/// The gateway's signature over the server's certificate and last nonce: `ActivateSessionRequest.clientSignature` (OPC 10000-4, 5.7.3).
/// Null on a channel without security.
pub fn client_signature(own: &Own, chosen: &Chosen, server_nonce: &ByteString) -> Result<SignatureData, Fault> {
    match chosen.policy {
        SecurityPolicy::None => Ok(SignatureData::null()),
        policy => sign(&own.key, policy, &chosen.endpoint.server_certificate, server_nonce),
    }
}

/// Checks `CreateSessionResponse`: the certificate is the chosen one, and the server's signature over the gateway's certificate and nonce is made
/// with its key (OPC 10000-4, 5.7.2). Without security there is nothing to check.
pub fn check_server(
    own: &Own,
    chosen: &Chosen,
    client_nonce: &ByteString,
    certificate: &ByteString,
    signature: &SignatureData,
) -> Result<(), Fault> {
    if chosen.policy == SecurityPolicy::None {
        return Ok(());
    }
    if !chosen.has_certificate(certificate) {
        return Err(Fault::NotProven(
            "it shows another certificate in the session".to_owned(),
        ));
    }
    let server = server_certificate(chosen)?;
    opcua::crypto::verify_signature_data(
        signature,
        chosen.policy,
        &server,
        &own.certificate,
        client_nonce.as_ref(),
    )
    .map_err(|fault| Fault::NotProven(fault.to_string()))
}

fn sign(
    key: &PrivateKey,
    policy: SecurityPolicy,
    certificate: &ByteString,
    nonce: &ByteString,
) -> Result<SignatureData, Fault> {
    if certificate.is_null_or_empty() {
        return Err(Fault::Nothing("no certificate"));
    }
    if nonce.is_null_or_empty() {
        return Err(Fault::Nothing("no nonce"));
    }
    if matches!(policy, SecurityPolicy::None | SecurityPolicy::Unknown) {
        return Err(Fault::Nothing("no security policy for the log-in"));
    }
    let certificate = ByteString::from(leaf(certificate.as_ref()));
    opcua::crypto::create_signature_data(key, policy, &certificate, nonce)
        .map_err(|fault| Fault::Crypto(fault.to_string()))
}

/// The server's certificate, fit for encrypting: the crate's arithmetic wants keys of the sizes that OPC UA allows.
fn server_certificate(chosen: &Chosen) -> Result<X509, Fault> {
    let bytes = &chosen.endpoint.server_certificate;
    if bytes.is_null_or_empty() {
        return Err(Fault::Nothing("no certificate"));
    }
    let certificate =
        X509::from_der(leaf(bytes.as_ref())).map_err(|_| Fault::Nothing("a certificate that cannot be read"))?;
    let key = certificate
        .public_key()
        .map_err(|_| Fault::Nothing("a certificate without an RSA key"))?;
    if !KEYS.contains(&key.bit_length()) {
        return Err(Fault::Nothing("a certificate whose key is not of 2048 to 4096 bits"));
    }
    Ok(certificate)
}

/// What a service result means for trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It may pass by itself: try again with the usual back-off.
    Passing,
    /// Somebody has to do something at the server or here, and trying again does no harm: try again slowly (a minute and more), so that
    /// the gateway goes on by itself once it was done.
    Slowly,
    /// The credentials were refused: the same ones are not sent again, as each try counts towards a lock-out. Others are ([`Material`] compares).
    Never,
}

/// What a service result of opening a channel, making or activating a session means for trying again.
#[must_use]
pub fn weigh(status: StatusCode) -> Weight {
    match status {
        StatusCode::BadUserAccessDenied
        | StatusCode::BadIdentityTokenInvalid
        | StatusCode::BadIdentityTokenRejected
        | StatusCode::BadUserSignatureInvalid => Weight::Never,
        StatusCode::BadSecurityChecksFailed
        | StatusCode::BadCertificateInvalid
        | StatusCode::BadCertificatePolicyCheckFailed
        | StatusCode::BadCertificateTimeInvalid
        | StatusCode::BadCertificateIssuerTimeInvalid
        | StatusCode::BadCertificateHostNameInvalid
        | StatusCode::BadCertificateUriInvalid
        | StatusCode::BadCertificateUseNotAllowed
        | StatusCode::BadCertificateIssuerUseNotAllowed
        | StatusCode::BadCertificateUntrusted
        | StatusCode::BadCertificateRevocationUnknown
        | StatusCode::BadCertificateIssuerRevocationUnknown
        | StatusCode::BadCertificateRevoked
        | StatusCode::BadCertificateIssuerRevoked
        | StatusCode::BadCertificateChainIncomplete
        | StatusCode::BadNoValidCertificates
        | StatusCode::BadApplicationSignatureInvalid
        | StatusCode::BadSecurityModeRejected
        | StatusCode::BadSecurityPolicyRejected
        | StatusCode::BadSecurityModeInsufficient
        | StatusCode::BadIdentityChangeNotSupported => Weight::Slowly,
        _ => Weight::Passing,
    }
}

/// Whether a service result will be the same the next time, as long as nobody does anything.
///
/// Refused credentials (`BadUserAccessDenied`, `BadIdentityTokenInvalid`, `BadIdentityTokenRejected`, `BadUserSignatureInvalid`): trying again
/// with the same may lock the account. Refused certificates, policies and modes (`BadCertificate…`, `BadSecurityChecksFailed`, behind which servers
/// hide why they do not trust a certificate, `BadSecurityPolicyRejected` …): somebody has to trust or change something first. All else
/// (time-outs, too many sessions, a server that starts or stops) may pass. [`weigh`] tells the two kinds of final results apart.
#[must_use]
pub fn is_final(status: StatusCode) -> bool {
    weigh(status) != Weight::Passing
}

/// What to do about a final result, as the end of a sentence; `None`: nothing is known to do.
#[must_use]
pub fn advice(status: StatusCode, own: &Own) -> Option<String> {
    let trust_us = || {
        format!(
            "let the server trust the gateway's certificate (SHA-1 thumbprint {}, file {}): it mostly lies among the rejected ones there; the gateway goes on by itself then",
            own.thumbprint,
            own.file().display()
        )
    };
    Some(match status {
        StatusCode::BadUserAccessDenied
        | StatusCode::BadIdentityTokenRejected
        | StatusCode::BadIdentityTokenInvalid
        | StatusCode::BadUserSignatureInvalid => {
            "the server refused the log-in; it is not tried again with the same, so that the account is not locked: correct the user or its file".to_owned()
        }
        StatusCode::BadSecurityChecksFailed
        | StatusCode::BadCertificateUntrusted
        | StatusCode::BadCertificateChainIncomplete
        | StatusCode::BadNoValidCertificates
        | StatusCode::BadCertificateInvalid => trust_us(),
        StatusCode::BadCertificateTimeInvalid | StatusCode::BadCertificateIssuerTimeInvalid => format!(
            "the server takes the gateway's certificate for expired or not yet valid (it is valid until {}): compare the clocks of both",
            certificate::date(own.not_after)
        ),
        StatusCode::BadCertificateUriInvalid => format!(
            "the gateway's certificate names {}, and the server was told another application URI",
            own.application_uri
        ),
        StatusCode::BadSecurityModeRejected
        | StatusCode::BadSecurityPolicyRejected
        | StatusCode::BadSecurityModeInsufficient
        | StatusCode::BadCertificatePolicyCheckFailed => {
            "the server does not take this security here: write another security = \"…\"".to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
