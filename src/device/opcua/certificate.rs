//! X.509 certificates as bytes: taken apart, checked, and made.
//!
//! Owns what a certificate says and whether a signature fits; [`make`] makes one. Does not own whom the gateway trusts
//! ([`super::trust`]), nor where its own certificate lies ([`super::own`]).

mod make;

pub(super) use make::{Draft, Role};

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::net::IpAddr;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Any, Decode, Encode, Reader, SliceReader};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

/// Certificates that are looked at of one chain or file. More is nobody's chain.
const MOST: usize = 64;
/// Bytes of one certificate. OPC UA servers have some 1 to 2 kB.
const LARGEST: usize = 64 * 1024;

/// RSA keys (RFC 8017, A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RSA PKCS 1 v1.5 with SHA-1 (RFC 8017, A.2.4).
const SHA1_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
/// RSA PKCS 1 v1.5 with SHA-256 (RFC 8017, A.2.4).
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// RSA PSS (RFC 8017, A.2.3).
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
/// SHA-1 and older digests below RSA, DSA and ECDSA.
const WEAK: [ObjectIdentifier; 7] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.2"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.3"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"),
    SHA1_WITH_RSA,
    ObjectIdentifier::new_unwrap("1.3.14.3.2.29"),
    ObjectIdentifier::new_unwrap("1.2.840.10040.4.3"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"),
];
/// SHA-2 digests of RSA PSS (RFC 5754, 2).
const SHA2: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
];
/// Extensions that are understood, or that say nothing about what is checked here: key identifiers, key usage,
/// names, basic constraints, policies, places of revocation lists, extended key usage (RFC 5280, 4.2.1).
const UNDERSTOOD: [ObjectIdentifier; 9] = [
    ObjectIdentifier::new_unwrap("2.5.29.14"),
    ObjectIdentifier::new_unwrap("2.5.29.15"),
    ObjectIdentifier::new_unwrap("2.5.29.17"),
    ObjectIdentifier::new_unwrap("2.5.29.18"),
    ObjectIdentifier::new_unwrap("2.5.29.19"),
    ObjectIdentifier::new_unwrap("2.5.29.31"),
    ObjectIdentifier::new_unwrap("2.5.29.32"),
    ObjectIdentifier::new_unwrap("2.5.29.35"),
    ObjectIdentifier::new_unwrap("2.5.29.37"),
];
/// `serverAuth` (RFC 5280, 4.2.1.12).
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// `clientAuth` (RFC 5280, 4.2.1.12).
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// `anyExtendedKeyUsage` (RFC 5280, 4.2.1.12).
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// Bytes that are no certificate, or a certificate that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// Nothing is there.
    #[error("there is no certificate")]
    Nothing,
    /// The bytes are none.
    #[error("it is not an X.509 certificate ({0})")]
    Bytes(String),
    /// There are more than anybody needs.
    #[error("there are more than {MOST} certificates, or one has more than {LARGEST} bytes")]
    TooMuch,
    /// The text between `BEGIN` and `END` is not base 64.
    #[error("a CERTIFICATE block in it is damaged")]
    Text,
    /// It could not be signed.
    #[error("it could not be signed: {0}")]
    Unsigned(String),
}

impl From<x509_cert::der::Error> for Malformed {
    fn from(fault: x509_cert::der::Error) -> Self {
        Self::Bytes(fault.to_string())
    }
}

/// A certificate, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    der: Vec<u8>,
    /// The signed part, byte by byte as it came: encoded again it may differ.
    signed: Vec<u8>,
    parsed: x509_cert::Certificate,
}

impl Certificate {
    /// Takes exactly one certificate apart.
    pub(super) fn parse(der: &[u8]) -> Result<Self, Malformed> {
        if der.is_empty() {
            return Err(Malformed::Nothing);
        }
        if der.len() > LARGEST {
            return Err(Malformed::TooMuch);
        }
        let parsed = x509_cert::Certificate::from_der(der)?;
        let mut reader = SliceReader::new(der)?;
        let signed = reader.sequence(|inner| {
            let signed = inner.tlv_bytes()?;
            inner.read_slice(inner.remaining_len())?;
            Ok(signed.to_vec())
        })?;
        Ok(Self {
            der: der.to_vec(),
            signed,
            parsed,
        })
    }

    /// Its bytes.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of its bytes.
    pub(super) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// Whom it names: `CN=…,O=…`, control characters shown as `?`, at most 200 characters.
    pub(super) fn subject(&self) -> String {
        shown(&self.parsed.tbs_certificate.subject.to_string())
    }

    /// Who signed it.
    pub(super) fn issuer(&self) -> String {
        shown(&self.parsed.tbs_certificate.issuer.to_string())
    }

    /// Whether it names itself as the one who signed it.
    pub(super) fn names_itself(&self) -> bool {
        self.parsed.tbs_certificate.issuer == self.parsed.tbs_certificate.subject
    }

    /// Unix seconds of the first moment it is valid.
    pub(super) fn not_before(&self) -> i64 {
        seconds(self.parsed.tbs_certificate.validity.not_before)
    }

    /// Unix seconds of the last moment it is valid.
    pub(super) fn not_after(&self) -> i64 {
        seconds(self.parsed.tbs_certificate.validity.not_after)
    }

    /// Bits of its RSA key; `None`: it has a key of another kind, or a broken one.
    pub(super) fn rsa_bits(&self) -> Option<usize> {
        let key = &self.parsed.tbs_certificate.subject_public_key_info;
        if key.algorithm.oid != RSA {
            return None;
        }
        let mut reader = SliceReader::new(key.subject_public_key.as_bytes()?).ok()?;
        let modulus: Vec<u8> = reader
            .sequence(|inner| {
                let modulus = UintRef::decode(inner)?.as_bytes().to_vec();
                inner.read_slice(inner.remaining_len())?;
                Ok(modulus)
            })
            .ok()?;
        let unused = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
        (modulus.len() * 8).checked_sub(unused)
    }

    /// The public key with its algorithm, as bytes: two certificates of one key have the same.
    pub(super) fn public_key(&self) -> Option<Vec<u8>> {
        self.parsed.tbs_certificate.subject_public_key_info.to_der().ok()
    }

    /// Whether it was signed with SHA-1 or something older (OPC 10000-7: no policy of today allows it).
    pub(super) fn signed_weakly(&self) -> bool {
        let algorithm = &self.parsed.signature_algorithm;
        if algorithm.oid == RSA_PSS {
            // hashAlgorithm is [0], and SHA-1 where it is absent (RFC 8017, A.2.3).
            let digest = algorithm.parameters.as_ref().and_then(|parameters| {
                let mut reader = SliceReader::new(parameters.value()).ok()?;
                let outer = Any::decode(&mut reader).ok()?;
                (u8::from(x509_cert::der::Tagged::tag(&outer)) == 0xa0).then_some(())?;
                let digest = AlgorithmIdentifierOwned::from_der(outer.value()).ok()?;
                Some(digest.oid)
            });
            return !digest.is_some_and(|digest| SHA2.contains(&digest));
        }
        WEAK.contains(&algorithm.oid)
    }

    /// Names of the subject alternative name: URIs, DNS names, addresses (RFC 5280, 4.2.1.6).
    pub(super) fn names(&self) -> Names {
        let mut names = Names::default();
        let Ok(Some((_, SubjectAltName(list)))) = self.parsed.tbs_certificate.get::<SubjectAltName>() else {
            return names;
        };
        for name in list {
            match name {
                GeneralName::UniformResourceIdentifier(uri) => names.uris.push(uri.to_string()),
                GeneralName::DnsName(host) => names.hosts.push(host.to_string()),
                GeneralName::IpAddress(bytes) => names.addresses.extend(address(bytes.as_bytes())),
                _ => {}
            }
        }
        names
    }

    /// Whether it may sign other certificates (RFC 5280, 4.2.1.3 and 4.2.1.9).
    pub(super) fn may_sign(&self) -> bool {
        let constraints = self.parsed.tbs_certificate.get::<BasicConstraints>();
        let authority = matches!(constraints, Ok(Some((_, BasicConstraints { ca: true, .. }))));
        authority
            && match self.parsed.tbs_certificate.get::<KeyUsage>() {
                Ok(None) => true,
                Ok(Some((_, usage))) => usage.key_cert_sign(),
                Err(_) => false,
            }
    }

    /// How many authorities may stand between it and the last certificate of the chain; `None`: any number.
    pub(super) fn depth(&self) -> Option<usize> {
        match self.parsed.tbs_certificate.get::<BasicConstraints>() {
            Ok(Some((_, constraints))) => constraints.path_len_constraint.map(usize::from),
            _ => None,
        }
    }

    /// Whether it may be the certificate of a server: usages that it lists have to allow it (OPC 10000-4, 6.1.3, certificate usage).
    pub(super) fn may_serve(&self) -> bool {
        let signs = match self.parsed.tbs_certificate.get::<KeyUsage>() {
            Ok(None) => true,
            Ok(Some((_, usage))) => usage.digital_signature(),
            Err(_) => false,
        };
        signs
            && match self.parsed.tbs_certificate.get::<ExtendedKeyUsage>() {
                Ok(None) => true,
                Ok(Some((_, ExtendedKeyUsage(list)))) => list.contains(&SERVER_AUTH) || list.contains(&ANY_USAGE),
                Err(_) => false,
            }
    }

    /// An extension that has to be understood and is not (RFC 5280, 4.2: such a certificate is refused).
    pub(super) fn not_understood(&self) -> Option<String> {
        let extensions = self.parsed.tbs_certificate.extensions.as_deref().unwrap_or_default();
        extensions
            .iter()
            .find(|extension| extension.critical && !UNDERSTOOD.contains(&extension.extn_id))
            .map(|extension| extension.extn_id.to_string())
    }

    /// Whether `issuer` is named as the one who signed this: by name, and by key where both say so.
    pub(super) fn says_signed_by(&self, issuer: &Self) -> bool {
        if self.parsed.tbs_certificate.issuer != issuer.parsed.tbs_certificate.subject {
            return false;
        }
        let wanted = match self.parsed.tbs_certificate.get::<AuthorityKeyIdentifier>() {
            Ok(Some((_, identifier))) => identifier.key_identifier,
            _ => None,
        };
        match (wanted, issuer.parsed.tbs_certificate.get::<SubjectKeyIdentifier>()) {
            (Some(wanted), Ok(Some((_, SubjectKeyIdentifier(has))))) => wanted == has,
            _ => true,
        }
    }

    /// Whether the key of `issuer` made the signature: RSA PKCS 1 v1.5 and PSS, ECDSA, Ed25519; SHA-2 only, RSA keys of 2048 bits and more.
    pub(super) fn is_signed_by(&self, issuer: &Self) -> bool {
        let key = &issuer.parsed.tbs_certificate.subject_public_key_info;
        let (Some(key_bytes), Some(signature)) = (key.subject_public_key.as_bytes(), self.parsed.signature.as_bytes())
        else {
            return false;
        };
        // Both places have to name the same algorithm (RFC 5280, 4.1.1.2).
        if self.parsed.signature_algorithm != self.parsed.tbs_certificate.signature {
            return false;
        }
        let (Some(made_with), Some(key_kind)) = (content(&self.parsed.signature_algorithm), content(&key.algorithm))
        else {
            return false;
        };
        let provider = rustls::crypto::ring::default_provider();
        provider.signature_verification_algorithms.all.iter().any(|algorithm| {
            algorithm.signature_alg_id().as_ref() == made_with
                && algorithm.public_key_alg_id().as_ref() == key_kind
                && algorithm.verify_signature(key_bytes, &self.signed, signature).is_ok()
        })
    }
}

/// Names that a certificate is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Application URIs.
    pub(super) uris: Vec<String>,
    /// DNS names, and what some servers write into this field: addresses as text.
    pub(super) hosts: Vec<String>,
    /// Addresses.
    pub(super) addresses: Vec<IpAddr>,
}

impl Names {
    /// Whether `host` (a name or an address, brackets allowed) is one of them. No wildcards: OPC UA has none.
    pub(super) fn have_host(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let address = bare.parse::<IpAddr>().ok();
        self.hosts.iter().any(|name| {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case(bare) || (address.is_some() && name.parse().ok() == address)
        }) || address.is_some_and(|address| self.addresses.contains(&address))
    }

    /// Hosts as a list for people.
    pub(super) fn hosts_shown(&self) -> String {
        let names = self.hosts.iter().cloned();
        let all = names.chain(self.addresses.iter().map(ToString::to_string));
        match all.collect::<Vec<_>>().join(", ") {
            list if list.is_empty() => "none".to_owned(),
            list => shown(&list),
        }
    }
}

/// Takes a chain apart: certificates in DER, one behind another (OPC 10000-6, 6.2.3).
pub(super) fn chain(bytes: &[u8]) -> Result<Vec<Certificate>, Malformed> {
    let mut reader = SliceReader::new(bytes).map_err(|_| Malformed::TooMuch)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        if found.len() == MOST {
            return Err(Malformed::TooMuch);
        }
        found.push(Certificate::parse(reader.tlv_bytes()?)?);
    }
    if found.is_empty() {
        return Err(Malformed::Nothing);
    }
    Ok(found)
}

/// Takes a file apart: PEM blocks with anything between them, or DER, one certificate behind another.
pub(super) fn file(bytes: &[u8]) -> Result<Vec<Certificate>, Malformed> {
    match blocks(bytes, "CERTIFICATE")? {
        blocks if blocks.is_empty() && bytes.first() == Some(&0x30) => chain(bytes),
        blocks if blocks.is_empty() => Err(Malformed::Nothing),
        blocks if blocks.len() > MOST => Err(Malformed::TooMuch),
        blocks => blocks.iter().map(|der| Certificate::parse(der)).collect(),
    }
}

/// What stands in the PEM blocks of this label, as bytes. Line lengths and blanks do not matter.
pub(super) fn blocks(bytes: &[u8], label: &str) -> Result<Vec<Vec<u8>>, Malformed> {
    let text = String::from_utf8_lossy(bytes);
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut found = Vec::new();
    let mut rest = text.as_ref();
    while let Some((_, behind)) = rest.split_once(&begin) {
        let (inside, behind) = behind.split_once(&end).ok_or(Malformed::Text)?;
        rest = behind;
        let digits = inside.split_whitespace().collect::<String>();
        let mut tidy = format!("{begin}\n");
        let mut line = 0;
        for digit in digits.chars() {
            tidy.push(digit);
            line += 1;
            if line == 64 {
                tidy.push('\n');
                line = 0;
            }
        }
        if line > 0 {
            tidy.push('\n');
        }
        tidy.push_str(&end);
        tidy.push('\n');
        let (_, der) = x509_cert::der::pem::decode_vec(tidy.as_bytes()).map_err(|_| Malformed::Text)?;
        found.push(der);
    }
    Ok(found)
}

/// `sha256:…` in small letters, as it is written behind `trust`.
pub(super) fn pin(sha256: &[u8; 32]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in sha256 {
        // Writing to a String does not fail.
        let _fits = write!(text, "{byte:02x}");
    }
    text
}

/// Unix seconds as people write them: `2034-05-01 12:00 UTC`.
pub(super) fn date(unix: i64) -> String {
    match jiff::Timestamp::from_second(unix) {
        Ok(moment) => moment.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => format!("{unix} s of Unix time"),
    }
}

/// What a peer wrote, fit for a log: no control characters, no more than 200 characters.
pub(super) fn shown(text: &str) -> String {
    let mut tidy = text
        .chars()
        .take(200)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect::<String>();
    if text.chars().nth(200).is_some() {
        tidy.push('…');
    }
    tidy
}

fn seconds(time: Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// What stands inside the SEQUENCE of an algorithm. The NULL that RSA PKCS 1 v1.5 ought to have and some leave out is added.
fn content(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let mut inside = algorithm.oid.to_der().ok()?;
    let rsa = algorithm.oid == RSA || algorithm.oid.to_string().starts_with("1.2.840.113549.1.1.1");
    match &algorithm.parameters {
        Some(parameters) => inside.extend(parameters.to_der().ok()?),
        None if rsa && algorithm.oid != RSA_PSS => inside.extend([5, 0]),
        None => {}
    }
    Some(inside)
}

#[cfg(test)]
pub(super) mod tests;
