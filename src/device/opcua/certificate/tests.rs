use super::*;
use opcua::crypto::{KeySize, PrivateKey};
use std::collections::HashMap;
use std::sync::LazyLock;

/// 2026-06-01.
pub(in crate::device::opcua) const NOW: i64 = 1_780_272_000;
/// A day in seconds.
pub(in crate::device::opcua) const DAY: i64 = 86_400;
/// What the server of the tests calls itself.
pub(in crate::device::opcua) const URI: &str = "urn:plc7:maker:server";

/// Making a key takes seconds without optimisation: these were made once.
static KEYS: LazyLock<HashMap<&str, PrivateKey>> = LazyLock::new(|| {
    let text = include_str!("test-keys.txt");
    let names = text
        .lines()
        .filter(|line| line.chars().all(|c| c.is_ascii_lowercase()) && !line.is_empty());
    let ends = text.split_inclusive("-----END PRIVATE KEY-----");
    let pems = ends.filter_map(|block| {
        block
            .split_once("-----BEGIN")
            .map(|(_, rest)| format!("-----BEGIN{rest}\n"))
    });
    names
        .zip(pems)
        .map(|(name, pem)| (name, PrivateKey::from_pem(pem.as_bytes()).unwrap()))
        .collect()
});

/// `server`, `authority`, `middle`, `other` (2048 bits each) or `short` (1024 bits).
pub(in crate::device::opcua) fn key(name: &str) -> &'static PrivateKey {
    &KEYS[name]
}

/// A server's certificate as it ought to be.
pub(in crate::device::opcua) fn server() -> Draft {
    Draft {
        subject: "CN=PLC 7,O=Maker".to_owned(),
        serial: vec![7],
        not_before: NOW - DAY,
        not_after: NOW + DAY,
        names: Names {
            uris: vec![URI.to_owned()],
            hosts: vec!["plc7.plant.example".to_owned(), "192.0.2.7".to_owned()],
            addresses: vec!["192.0.2.8".parse().unwrap(), "2001:db8::8".parse().unwrap()],
        },
        role: Role::Server,
    }
}

/// An authority as it ought to be.
pub(in crate::device::opcua) fn authority(name: &str, depth: Option<u8>) -> Draft {
    Draft {
        subject: format!("CN={name}"),
        serial: vec![1, 2],
        not_before: NOW - 10 * DAY,
        not_after: NOW + 10 * DAY,
        names: Names::default(),
        role: Role::Authority(depth),
    }
}

/// Signed with SHA-1.
pub(in crate::device::opcua) fn weak(
    draft: &Draft,
    holder: &PrivateKey,
    signer: Option<(&Certificate, &PrivateKey)>,
) -> Certificate {
    let algorithm = AlgorithmIdentifierOwned {
        oid: SHA1_WITH_RSA,
        parameters: Some(Any::null()),
    };
    let key = signer.map_or(holder, |(_, key)| key);
    let made = draft.make_with(holder, signer.map(|(issuer, _)| issuer), algorithm, |signed| {
        let mut signature = vec![0; key.size()];
        key.sign_sha1(signed, &mut signature).unwrap();
        Ok(signature)
    });
    made.unwrap()
}

/// Signed with RSA PSS and SHA-256.
pub(in crate::device::opcua) fn pss(
    draft: &Draft,
    holder: &PrivateKey,
    signer: (&Certificate, &PrivateKey),
) -> Certificate {
    // SHA-256, MGF 1 with SHA-256, 32 bytes of salt (RFC 4055, 3.1).
    const PARAMETERS: [u8; 54] = [
        0x30, 0x34, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
        0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d,
        0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x20,
    ];
    let algorithm = AlgorithmIdentifierOwned {
        oid: RSA_PSS,
        parameters: Some(Any::from_der(&PARAMETERS).unwrap()),
    };
    let made = draft.make_with(holder, Some(signer.0), algorithm, |signed| {
        let mut signature = vec![0; signer.1.size()];
        signer.1.sign_sha256_pss(signed, &mut signature).unwrap();
        Ok(signature)
    });
    made.unwrap()
}

/// As PEM.
pub(in crate::device::opcua) fn pem(certificate: &Certificate) -> String {
    let ending = x509_cert::der::pem::LineEnding::LF;
    x509_cert::der::pem::encode_string("CERTIFICATE", ending, certificate.der()).unwrap()
}

#[test]
fn what_was_made_reads_back() {
    let made = server().make(key("server"), None).unwrap();
    let read = Certificate::parse(made.der()).unwrap();
    assert_eq!(read.subject(), "CN=PLC 7,O=Maker");
    assert_eq!(read.issuer(), read.subject());
    assert!(read.names_itself());
    assert_eq!(read.names(), server().names);
    assert_eq!((read.not_before(), read.not_after()), (NOW - DAY, NOW + DAY));
    assert_eq!(read.rsa_bits(), Some(2048));
    assert!(!read.may_sign() && read.may_serve() && !read.signed_weakly());
    assert_eq!(read.not_understood(), None);
    assert!(read.is_signed_by(&read));
    let theirs = opcua::crypto::X509::from_der(read.der()).unwrap();
    assert_eq!(theirs.to_der().unwrap(), read.der());
    assert!(theirs.is_application_uri_valid(URI).is_ok());
    assert!(theirs.is_hostname_valid("plc7.plant.example").is_ok());
}

#[test]
fn signatures_fit_only_the_key_that_made_them() {
    let root = authority("Plant", None).make(key("authority"), None).unwrap();
    let by_root = (&root, key("authority"));
    let signed = server().make(key("server"), Some(by_root)).unwrap();
    assert!(signed.is_signed_by(&root) && signed.says_signed_by(&root));
    assert!(!signed.is_signed_by(&signed));
    let pss = pss(&server(), key("server"), by_root);
    assert!(pss.is_signed_by(&root) && !pss.signed_weakly());
    let weak = weak(&server(), key("server"), Some(by_root));
    assert!(weak.signed_weakly() && !weak.is_signed_by(&root));
    let short = server().make(key("short"), None).unwrap();
    assert_eq!(short.rsa_bits(), Some(1024));
    assert!(!short.is_signed_by(&short));
    // The same name, another key.
    let impostor = authority("Plant", None).make(key("other"), None).unwrap();
    assert!(!signed.is_signed_by(&impostor) && !signed.says_signed_by(&impostor));
    assert_eq!(
        authority("Plant", Some(0)).make(key("middle"), None).unwrap().depth(),
        Some(0)
    );
}

#[test]
fn a_changed_byte_breaks_the_signature() {
    let root = authority("Plant", None).make(key("authority"), None).unwrap();
    let signed = server().make(key("server"), Some((&root, key("authority")))).unwrap();
    let mut bytes = signed.der().to_vec();
    let at = bytes.windows(4).position(|four| four == b"plc7").unwrap();
    bytes[at + 3] = b'8';
    let forged = Certificate::parse(&bytes).unwrap();
    assert_ne!(forged.names(), signed.names());
    assert!(!forged.is_signed_by(&root));
}

#[test]
fn a_pss_signature_without_parameters_is_sha_1() {
    let root = authority("Plant", None).make(key("authority"), None).unwrap();
    let mut certificate = pss(&server(), key("server"), (&root, key("authority")));
    assert!(!certificate.signed_weakly());
    certificate.parsed.signature_algorithm.parameters = None;
    assert!(certificate.signed_weakly());
    certificate.parsed.signature_algorithm.parameters = Some(Any::from_der(&[0x30, 0]).unwrap());
    assert!(certificate.signed_weakly());
}

#[test]
fn hosts_are_names_or_addresses_in_any_writing() {
    let names = server().names;
    for host in [
        "plc7.plant.example",
        "PLC7.Plant.Example.",
        "192.0.2.7",
        "192.0.2.8",
        "[2001:db8:0::8]",
        "2001:db8::8",
    ] {
        assert!(names.have_host(host), "{host}");
    }
    for host in [
        "plc8.plant.example",
        "plant.example",
        "",
        "192.0.2.9",
        "[2001:db8::9]",
        "plc7",
    ] {
        assert!(!names.have_host(host), "{host}");
    }
    assert_eq!(Names::default().hosts_shown(), "none");
}

#[test]
fn chains_and_files_hold_one_certificate_behind_another() {
    let one = server().make(key("server"), None).unwrap();
    let two = authority("Plant", None).make(key("authority"), None).unwrap();
    let ders = |list: &[Certificate]| list.iter().map(|one| one.der().to_vec()).collect::<Vec<_>>();
    let both = [one.der(), two.der()].concat();
    let want = ders(&[one.clone(), two.clone()]);
    assert_eq!(ders(&chain(&both).unwrap()), want);
    assert_eq!(ders(&file(&both).unwrap()), want);
    let tidy = format!("# the plant\n{}\n\nthe second:\n{}", pem(&one), pem(&two));
    assert_eq!(ders(&file(tidy.as_bytes()).unwrap()), want);
    let windows = tidy.replace('\n', "\r\n");
    assert_eq!(ders(&file(windows.as_bytes()).unwrap()), want);
    // One long line.
    let digits = pem(&one)
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect::<String>();
    let long = format!("-----BEGIN CERTIFICATE-----\n{digits}\n-----END CERTIFICATE-----");
    assert_eq!(ders(&file(long.as_bytes()).unwrap()), want[..1]);

    assert_eq!(chain(&[]).unwrap_err(), Malformed::Nothing);
    assert_eq!(file(&[]).unwrap_err(), Malformed::Nothing);
    assert_eq!(file(b"no certificate here").unwrap_err(), Malformed::Nothing);
    let torn = pem(&one).replace("-----END CERTIFICATE-----", "");
    assert_eq!(file(torn.as_bytes()).unwrap_err(), Malformed::Text);
    let damaged = pem(&one).replacen('M', "*", 1);
    assert_eq!(file(damaged.as_bytes()).unwrap_err(), Malformed::Text);
    assert!(matches!(chain(&both[..both.len() - 1]), Err(Malformed::Bytes(_))));
    assert_eq!(chain(&one.der().repeat(65)).unwrap_err(), Malformed::TooMuch);
    assert!(chain(&[0x30, 0x83, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn what_a_peer_wrote_is_fit_for_a_log() {
    assert_eq!(shown("a\u{1b}[2Jb\nc"), "a?[2Jb?c");
    assert_eq!(shown(&"x".repeat(300)).chars().count(), 201);
    assert_eq!(date(NOW), "2026-06-01 00:00 UTC");
    assert_eq!(date(i64::MAX), format!("{} s of Unix time", i64::MAX));
    assert!(pin(&[0xab; 32]).starts_with("sha256:abab"));
}

#[test]
fn dates_after_2049_are_written_the_long_way() {
    let mut draft = server();
    draft.not_after = 4_102_444_800;
    let made = draft.make(key("server"), None).unwrap();
    assert_eq!(made.not_after(), 4_102_444_800);
    assert!(matches!(
        made.parsed.tbs_certificate.validity.not_after,
        Time::GeneralTime(_)
    ));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_certificate_or_none(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _any = (chain(&bytes), file(&bytes));
    }

    #[test]
    fn any_change_is_a_certificate_or_none(at in 0_usize..2000, to in proptest::num::u8::ANY, cut in 0_usize..2000) {
        static MADE: LazyLock<Certificate> = LazyLock::new(|| server().make(key("server"), None).unwrap());
        let mut bytes = MADE.der().to_vec();
        let length = bytes.len();
        bytes[at % length] = to;
        for bytes in [&bytes[..], &bytes[..length - cut % length]] {
            if let Ok(found) = chain(bytes) {
                for one in found {
                    let _any = (one.subject(), one.names(), one.rsa_bits(), one.signed_weakly(), one.may_sign(), one.may_serve());
                    let _more = (one.depth(), one.not_understood(), one.is_signed_by(&MADE), one.says_signed_by(&MADE));
                }
            }
        }
    }
}
