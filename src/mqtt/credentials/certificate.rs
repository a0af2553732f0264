//! Certificate: what an X.509 certificate says of itself, for messages (RFC 5280, 4.1).
//!
//! Owns reading names, dates and whether it is an authority's. Does not own whether it is to be trusted: rustls
//! decides that. Total: any bytes give facts or `None`.

use crate::model::time;

/// Names told at most, and bytes of each.
const NAMES: usize = 5;
const LONGEST: usize = 80;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mqtt) struct Facts {
    /// Common name, else organization, of whom it is for.
    pub(in crate::mqtt) subject: String,
    /// The same of who signed it.
    pub(in crate::mqtt) issuer: String,
    /// Valid from, wall milliseconds.
    pub(in crate::mqtt) from: i64,
    /// Valid up to, wall milliseconds.
    pub(in crate::mqtt) until: i64,
    /// Its alternative names: hosts and addresses.
    pub(in crate::mqtt) names: Vec<String>,
    /// It may sign others.
    pub(in crate::mqtt) authority: bool,
}

/// What remains of a DER encoding.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next tag and its content.
    fn next(&mut self) -> Option<(u8, Der<'a>)> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 || count > rest.len() {
                return None;
            }
            let (digits, rest) = rest.split_at(count);
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        };
        if length > rest.len() {
            return None;
        }
        let (content, rest) = rest.split_at(length);
        self.0 = rest;
        Some((tag, Der(content)))
    }

    /// The next, which has to have this tag.
    fn take(&mut self, wanted: u8) -> Option<Der<'a>> {
        self.next()
            .filter(|(tag, _)| *tag == wanted)
            .map(|(_, content)| content)
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 29, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];

impl Facts {
    /// Reads a certificate.
    pub(in crate::mqtt) fn read(der: &[u8]) -> Option<Self> {
        let mut body = Der(der).take(SEQUENCE)?.take(SEQUENCE)?;
        let mut serial = body.next()?;
        if serial.0 == 0xa0 {
            // The version stood before it.
            serial = body.next()?;
        }
        if serial.0 != 0x02 {
            return None;
        }
        body.take(SEQUENCE)?;
        let issuer = name(body.take(SEQUENCE)?);
        let mut validity = body.take(SEQUENCE)?;
        let (from, until) = (instant(validity.next()?)?, instant(validity.next()?)?);
        let subject = name(body.take(SEQUENCE)?);
        body.take(SEQUENCE)?;
        let mut facts = Self {
            subject,
            issuer,
            from,
            until,
            names: Vec::new(),
            authority: false,
        };
        while let Some((tag, mut content)) = body.next() {
            if tag == 0xa3
                && let Some(extensions) = content.take(SEQUENCE)
            {
                facts.extensions(extensions);
            }
        }
        Some(facts)
    }

    fn extensions(&mut self, mut all: Der<'_>) {
        while let Some(mut extension) = all.take(SEQUENCE) {
            let Some(oid) = extension.take(OID) else { continue };
            let mut value = extension.next();
            if matches!(value, Some((BOOLEAN, _))) {
                value = extension.next();
            }
            let Some((OCTETS, mut value)) = value else { continue };
            let Some(mut content) = value.take(SEQUENCE) else {
                continue;
            };
            if oid.0 == BASIC_CONSTRAINTS {
                self.authority = content.take(BOOLEAN).is_some_and(|is| is.0 != [0]);
            } else if oid.0 == ALTERNATIVE_NAMES {
                while let Some((tag, name)) = content.next() {
                    match (tag, name.0) {
                        (0x82, host) => self.names.push(shown(host)),
                        (0x87, [a, b, c, d]) => self.names.push(format!("{a}.{b}.{c}.{d}")),
                        (0x87, bytes) => {
                            if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
                                self.names.push(std::net::Ipv6Addr::from(bytes).to_string());
                            }
                        }
                        _ => {}
                    }
                    if self.names.len() > NAMES {
                        return;
                    }
                }
            }
        }
    }

    /// The names that it is for, for a message.
    pub(in crate::mqtt) fn told_names(&self) -> String {
        let told: Vec<String> = self.names.iter().take(NAMES).map(|name| format!("`{name}`")).collect();
        let more = if self.names.len() > NAMES { " and more" } else { "" };
        format!("{}{more}", told.join(", "))
    }
}

/// Foreign text as it may stand in a log.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(LONGEST)
        .collect()
}

/// The common name, else the organization (RFC 5280, 4.1.2.4).
fn name(mut name: Der<'_>) -> String {
    let mut organization = None;
    while let Some(mut set) = name.take(SET) {
        while let Some(mut attribute) = set.take(SEQUENCE) {
            let (Some(oid), Some((_, value))) = (attribute.take(OID), attribute.next()) else {
                continue;
            };
            if oid.0 == COMMON_NAME {
                return shown(value.0);
            }
            if oid.0 == ORGANIZATION {
                organization = Some(shown(value.0));
            }
        }
    }
    organization.unwrap_or_else(|| "without a name".to_owned())
}

/// UTCTime or GeneralizedTime as wall milliseconds (RFC 5280, 4.1.2.5).
fn instant((tag, content): (u8, Der<'_>)) -> Option<i64> {
    let text = std::str::from_utf8(content.0).ok()?;
    let digits = text
        .strip_suffix('Z')
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let whole = match (tag, digits.len()) {
        (0x17, 12) if digits < "50" => format!("20{digits}"),
        (0x17, 12) => format!("19{digits}"),
        (0x18, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |range: std::ops::Range<usize>| whole.get(range).unwrap_or_default();
    time::parse_rfc3339(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4),
        part(4..6),
        part(6..8),
        part(8..10),
        part(10..12),
        part(12..14)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    /// Made by `openssl ca -selfsign -startdate 20260101000000Z -enddate 20600102030405Z`.
    const PEM: &str = include_str!("fixtures/broker.pem");

    #[test]
    fn names_and_dates_are_read() {
        let der = CertificateDer::from_pem_slice(PEM.as_bytes()).unwrap();
        let facts = Facts::read(&der).unwrap();
        assert_eq!(facts.subject, "broker of line 3");
        assert_eq!(facts.issuer, "broker of line 3");
        assert_eq!(facts.names, ["mes.acme.example", "192.0.2.7", "::1"]);
        assert_eq!(facts.told_names(), "`mes.acme.example`, `192.0.2.7`, `::1`");
        assert!(facts.authority);
        assert_eq!(time::rfc3339(facts.from), "2026-01-01T00:00:00.000Z");
        assert_eq!(time::rfc3339(facts.until), "2060-01-02T03:04:05.000Z");
        for end in 0..der.len() {
            assert_eq!(Facts::read(&der[..end]), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_facts_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let _ = Facts::read(&bytes);
            let mut der = CertificateDer::from_pem_slice(PEM.as_bytes()).unwrap().to_vec();
            let at = at.index(der.len());
            der[at] = byte;
            if let Some(facts) = Facts::read(&der) {
                prop_assert!(facts.subject.chars().count() <= LONGEST);
            }
        }
    }
}
