//! Witness: stands by while rustls shakes hands, and remembers what messages need to be told.
//!
//! Owns nothing of the decision: every verdict is that of rustls' own verifier, and our certificate is always shown
//! where the broker asks for one.

use super::certificate::Facts;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sees one connection's handshake.
#[derive(Debug)]
pub(in crate::mqtt) struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    own: Option<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

/// What was seen.
#[derive(Debug, Default, Clone)]
pub(in crate::mqtt) struct Seen {
    /// The chain that the broker showed last.
    pub(in crate::mqtt) chain: Option<Chain>,
    /// The broker has asked for a certificate of ours.
    pub(in crate::mqtt) asked: bool,
    /// The chain was verified.
    pub(in crate::mqtt) verified: bool,
}

/// The broker's certificate with those between it and its authority, and the name that it is to be for.
#[derive(Debug, Clone)]
pub(in crate::mqtt) struct Chain {
    leaf: CertificateDer<'static>,
    between: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
}

impl Chain {
    /// What the broker's own certificate says of itself.
    pub(in crate::mqtt) fn facts(&self) -> Option<Facts> {
        Facts::read(&self.leaf)
    }
}

impl Witness {
    pub(super) fn new(verifier: Arc<WebPkiServerVerifier>, own: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            verifier,
            own,
            seen: Mutex::default(),
        }
    }

    /// What was seen so far.
    pub(in crate::mqtt) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// A new connection begins.
    pub(in crate::mqtt) fn forget(&self) {
        *self.lock() = Seen::default();
    }

    /// Whether the authorities here vouch for a chain that was seen elsewhere.
    pub(super) fn vouches_for(&self, chain: &Chain, now: UnixTime) -> Result<(), Error> {
        self.verifier
            .verify_server_cert(&chain.leaf, &chain.between, &chain.name, &[], now)
            .map(|_| ())
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = Chain {
            leaf: leaf.clone().into_owned(),
            between: between.iter().map(|link| link.clone().into_owned()).collect(),
            name: name.to_owned(),
        };
        self.lock().chain = Some(chain);
        let verified = self.verifier.verify_server_cert(leaf, between, name, ocsp, now)?;
        self.lock().verified = true;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

impl ResolvesClientCert for Witness {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.lock().asked = true;
        self.own.clone()
    }

    fn has_certs(&self) -> bool {
        self.own.is_some()
    }
}
