//! Makes certificates: the gateway's own, and those of the tests.

use super::{CLIENT_AUTH, Certificate, Malformed, Names, SERVER_AUTH, SHA256_WITH_RSA};
use opcua::crypto::{KeySize, PrivateKey};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use x509_cert::der::asn1::{BitString, GeneralizedTime, Ia5String, OctetString, UtcTime};
use x509_cert::der::{Any, Encode, oid::AssociatedOid};
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

/// A certificate to be made.
#[derive(Debug, Clone)]
pub(in crate::device::opcua) struct Draft {
    /// `CN=…,O=…`
    pub(in crate::device::opcua) subject: String,
    /// Its number, 1 to 20 bytes, the first below 128 and not 0.
    pub(in crate::device::opcua) serial: Vec<u8>,
    /// Unix seconds.
    pub(in crate::device::opcua) not_before: i64,
    /// Unix seconds.
    pub(in crate::device::opcua) not_after: i64,
    /// What it is for.
    pub(in crate::device::opcua) names: Names,
    /// Who has it.
    pub(in crate::device::opcua) role: Role,
}

/// Who has a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::device::opcua) enum Role {
    /// A client of OPC UA.
    Client,
    /// A server, which may be a client, too. Only tests and simulators make one.
    #[cfg_attr(not(test), expect(dead_code, reason = "the gateway is a client"))]
    Server,
    /// An authority, below which this many others may stand; `None`: any number.
    #[cfg_attr(not(test), expect(dead_code, reason = "the gateway signs nobody"))]
    Authority(Option<u8>),
}

impl Draft {
    /// Makes it for the key of `holder`, signed by `signer` (`None`: by itself) with RSA PKCS 1 v1.5 and SHA-256.
    ///
    /// An application's certificate has the extensions of OPC 10000-6, 6.2.2: key identifiers, basic constraints, key usage
    /// (a self-signed one has `keyCertSign`, too), extended key usage, application URI and hosts.
    pub(in crate::device::opcua) fn make(
        &self,
        holder: &PrivateKey,
        signer: Option<(&Certificate, &PrivateKey)>,
    ) -> Result<Certificate, Malformed> {
        let algorithm = AlgorithmIdentifierOwned {
            oid: SHA256_WITH_RSA,
            parameters: Some(Any::null()),
        };
        let key = signer.map_or(holder, |(_, key)| key);
        self.make_with(holder, signer.map(|(issuer, _)| issuer), algorithm, |signed| {
            let mut signature = vec![0; key.size()];
            let length = key.sign_sha256(signed, &mut signature);
            signature.truncate(length.map_err(|fault| Malformed::Unsigned(fault.to_string()))?);
            Ok(signature)
        })
    }

    /// As [`Self::make`], signed by `sign` with this algorithm.
    pub(super) fn make_with(
        &self,
        holder: &PrivateKey,
        issuer: Option<&Certificate>,
        algorithm: AlgorithmIdentifierOwned,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Malformed>,
    ) -> Result<Certificate, Malformed> {
        let subject = self.subject.parse::<Name>()?;
        let public = holder.public_key_to_info();
        let public = public.map_err(|fault| Malformed::Unsigned(fault.to_string()))?;
        let own_id = key_id(&public)?;
        let (issuer_name, issuer_id) = match issuer.map(|issuer| &issuer.parsed.tbs_certificate) {
            Some(issuer) => (issuer.subject.clone(), key_id(&issuer.subject_public_key_info)?),
            None => (subject.clone(), own_id.clone()),
        };
        let tbs_certificate = x509_cert::TbsCertificate {
            version: x509_cert::Version::V3,
            serial_number: SerialNumber::new(&self.serial)?,
            signature: algorithm.clone(),
            issuer: issuer_name,
            validity: Validity {
                not_before: time(self.not_before)?,
                not_after: time(self.not_after)?,
            },
            subject,
            subject_public_key_info: public,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.extensions(own_id, issuer_id, issuer.is_none())?),
        };
        let signature = sign(&tbs_certificate.to_der()?)?;
        let whole = x509_cert::Certificate {
            tbs_certificate,
            signature_algorithm: algorithm,
            signature: BitString::from_bytes(&signature)?,
        };
        Certificate::parse(&whole.to_der()?)
    }

    fn extensions(
        &self,
        own_id: OctetString,
        issuer_id: OctetString,
        by_itself: bool,
    ) -> Result<Extensions, Malformed> {
        let mut usage = match self.role {
            Role::Authority(_) => KeyUsages::KeyCertSign | KeyUsages::CRLSign,
            Role::Client | Role::Server => {
                KeyUsages::DigitalSignature
                    | KeyUsages::NonRepudiation
                    | KeyUsages::KeyEncipherment
                    | KeyUsages::DataEncipherment
            }
        };
        if by_itself {
            usage |= KeyUsages::KeyCertSign;
        }
        let (constraints, purposes) = match self.role {
            Role::Authority(depth) => (Some(depth), Vec::new()),
            Role::Client => (None, vec![CLIENT_AUTH]),
            Role::Server => (None, vec![CLIENT_AUTH, SERVER_AUTH]),
        };
        let constraints = BasicConstraints {
            ca: constraints.is_some(),
            path_len_constraint: constraints.flatten(),
        };
        let mut list = vec![
            extension(false, &SubjectKeyIdentifier(own_id))?,
            extension(
                false,
                &AuthorityKeyIdentifier {
                    key_identifier: Some(issuer_id),
                    authority_cert_issuer: None,
                    authority_cert_serial_number: None,
                },
            )?,
            extension(true, &constraints)?,
            extension(true, &KeyUsage(usage))?,
        ];
        if !purposes.is_empty() {
            list.push(extension(false, &ExtendedKeyUsage(purposes))?);
        }
        let mut names = GeneralNames::new();
        for uri in &self.names.uris {
            names.push(GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?));
        }
        for host in &self.names.hosts {
            names.push(GeneralName::DnsName(Ia5String::new(host)?));
        }
        for address in &self.names.addresses {
            let bytes = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            names.push(GeneralName::IpAddress(OctetString::new(bytes)?));
        }
        if !names.is_empty() {
            list.push(extension(false, &SubjectAltName(names))?);
        }
        Ok(list)
    }
}

fn extension<E: AssociatedOid + Encode>(critical: bool, value: &E) -> Result<Extension, Malformed> {
    Ok(Extension {
        extn_id: E::OID,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}

/// The first 160 bits of SHA-256 of the key (RFC 7093, 2).
fn key_id(key: &SubjectPublicKeyInfoOwned) -> Result<OctetString, Malformed> {
    let digest: [u8; 32] = Sha256::digest(key.subject_public_key.raw_bytes()).into();
    Ok(OctetString::new(digest.get(..20).unwrap_or_default())?)
}

/// UTC time until 2049, general time later (RFC 5280, 4.1.2.5).
fn time(unix: i64) -> Result<Time, Malformed> {
    let since = std::time::Duration::from_secs(u64::try_from(unix).unwrap_or(0));
    Ok(match UtcTime::from_unix_duration(since) {
        Ok(short) => Time::UtcTime(short),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_unix_duration(since)?),
    })
}
