use super::*;
use crate::model::Moment;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const AUTHORITY: &str = include_str!("fixtures/broker.pem");
const RSA: (&str, &str) = (include_str!("fixtures/rsa.pem"), include_str!("fixtures/rsa-pkcs1.key"));
const EC: (&str, &str) = (include_str!("fixtures/ec.pem"), include_str!("fixtures/ec-sec1.key"));
const ED: (&str, &str) = (
    include_str!("fixtures/ed25519.pem"),
    include_str!("fixtures/ed25519-pkcs8.key"),
);
const ENCRYPTED: &str = include_str!("fixtures/encrypted.key");

/// Some time after 2026-01-01, before 2060-01-02, which the certificates are valid between.
const NOW: i64 = 1_795_342_503_000;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("ca.pem", AUTHORITY);
        files.write("cert.pem", ED.0);
        files.write("key.pem", ED.1);
        files.write("password", "s3cret\n");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::new("mes.acme.example", 8883, "gw", "status");
        settings.username = Some("gw".to_owned());
        settings.password_file = Some(self.path("password"));
        settings.tls = Some(Tls {
            ca_file: Some(self.path("ca.pem")),
            cert_file: Some(self.path("cert.pem")),
            key_file: Some(self.path("key.pem")),
        });
        settings
    }

    fn read(&self) -> Reading {
        self.read_at(NOW)
    }

    fn read_at(&self, now: i64) -> Reading {
        read(&self.settings(), &Clock::fake(Moment::new(now, 1)))
    }
}

/// The one finding: key, weight, and words that have to be in it.
fn assert_finding(reading: &Reading, key: &str, weight: Weight, words: &[&str]) {
    let [finding] = reading.findings.as_slice() else {
        panic!("one finding expected: {:#?}", reading.findings)
    };
    assert_eq!((finding.key, finding.weight), (key, weight), "{finding}");
    assert_eq!(reading.credentials.is_none(), weight == Weight::Unusable, "{finding}");
    for word in words {
        assert!(finding.to_string().contains(word), "{word} in: {finding}");
    }
}

#[test]
fn every_kind_of_key_is_taken_with_its_certificate() {
    let files = Files::new();
    for (certificate, key) in [RSA, EC, ED] {
        files.write("cert.pem", certificate);
        files.write("key.pem", key);
        let reading = files.read();
        assert_eq!(reading.findings, []);
        let credentials = reading.credentials.unwrap();
        assert_eq!(credentials.password.as_deref(), Some("s3cret"));
        assert!(!format!("{credentials:?}").contains("s3cret"));
        let encryption = credentials.encryption.unwrap();
        assert_eq!(encryption.own.unwrap().subject, "gw-test");
    }
    // A chain, our own certificate first.
    files.write("cert.pem", format!("{}{AUTHORITY}", ED.0));
    assert_eq!(files.read().findings, []);
    files.write("cert.pem", format!("{AUTHORITY}{}", ED.0));
    assert_finding(
        &files.read(),
        "cert_file",
        Weight::Unusable,
        &["does not begin", "stand first"],
    );
}

#[test]
fn whatever_is_wrong_with_a_file_is_told_in_a_sentence_that_names_it() {
    let der = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap().to_vec();
    let half = |text: &str| text.as_bytes()[..text.len() / 2].to_vec();
    let cases: &[(&str, Vec<u8>, &str, &[&str])] = &[
        ("ca.pem", b" \n".to_vec(), "ca_file", &["ca.pem` is empty"]),
        (
            "ca.pem",
            b"hello".to_vec(),
            "ca_file",
            &["no certificate in PEM", "openssl x509 -inform der"],
        ),
        ("ca.pem", der, "ca_file", &["no certificate in PEM"]),
        ("ca.pem", half(AUTHORITY), "ca_file", &["ca.pem`", "write it anew"]),
        ("ca.pem", ED.1.into(), "ca_file", &["private key and no certificate"]),
        ("cert.pem", b"".to_vec(), "cert_file", &["cert.pem` is empty"]),
        ("cert.pem", half(ED.0), "cert_file", &["cert.pem`", "write it anew"]),
        (
            "cert.pem",
            ED.1.into(),
            "cert_file",
            &["private key and no certificate", "key_file"],
        ),
        (
            "cert.pem",
            EC.0.into(),
            "cert_file",
            &["does not belong to the key", "key.pem"],
        ),
        ("key.pem", b"".to_vec(), "key_file", &["key.pem` is empty"]),
        ("key.pem", half(RSA.1), "key_file", &["damaged private key"]),
        (
            "key.pem",
            ED.0.into(),
            "key_file",
            &["a certificate and no private key"],
        ),
        ("key.pem", b"junk".to_vec(), "key_file", &["no private key in PEM"]),
        (
            "key.pem",
            ENCRYPTED.into(),
            "key_file",
            &["encrypted with a passphrase", "openssl pkey"],
        ),
        ("key.pem", RSA.1.into(), "cert_file", &["does not belong to the key"]),
        ("password", b"".to_vec(), "password_file", &["password` is empty"]),
        (
            "password",
            b"\nlate\n".to_vec(),
            "password_file",
            &["nothing on its first line"],
        ),
        ("password", vec![0xff, b'x'], "password_file", &["not UTF-8"]),
    ];
    for (name, content, key, words) in cases {
        let files = Files::new();
        files.write(name, content);
        assert_finding(&files.read(), key, Weight::Unusable, words);
        fs::remove_file(files.path(name)).unwrap();
        let reading = files.read();
        let finding = reading.worst(Weight::Unusable).unwrap();
        assert!(finding.what.contains(&format!("{name}` is not there")), "{finding}");
        fs::create_dir(files.path(name)).unwrap();
        let reading = files.read();
        assert!(reading.worst(Weight::Unusable).unwrap().what.contains("cannot be read"));
    }
}

#[test]
fn what_works_but_should_be_looked_at_is_a_warning() {
    let files = Files::new();
    for (name, key, mode, words) in [
        ("key.pem", "key_file", 0o644, "read by everybody"),
        ("password", "password_file", 0o604, "read by everybody"),
        ("password", "password_file", 0o660, "changed by others"),
    ] {
        files.write(name, fs::read(files.path(name)).unwrap());
        fs::set_permissions(files.path(name), fs::Permissions::from_mode(mode)).unwrap();
        assert_finding(&files.read(), key, Weight::Warning, &[words, "chmod"]);
        fs::set_permissions(files.path(name), fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(files.read().findings, []);
    }
    files.write("password", "first\nsecond\n");
    let reading = files.read();
    assert_finding(&reading, "password_file", Weight::Warning, &["several lines"]);
    assert_eq!(reading.credentials.unwrap().password.as_deref(), Some("first"));
    files.write("password", "s3cret");
    files.write("ca.pem", ED.0);
    assert_finding(
        &files.read(),
        "ca_file",
        Weight::Warning,
        &["no certificate of an authority"],
    );
}

#[test]
fn dates_are_told() {
    let day_ms = 24 * 3_600_000;
    let end = time::parse_rfc3339("2060-01-02T03:04:05Z").unwrap();
    let files = Files::new();
    let about = |now: i64, key: &str| {
        let reading = files.read_at(now);
        let found = reading.findings.into_iter().find(|finding| finding.key == key);
        found.map(|finding| (finding.weight, finding.to_string()))
    };
    assert_eq!(about(end - 31 * day_ms, "cert_file"), None);
    let (weight, soon) = about(end - 29 * day_ms, "cert_file").unwrap();
    assert_eq!(weight, Weight::Warning);
    assert!(
        soon.contains("`gw-test`) expires in 29 days, on 2060-01-02; renew it"),
        "{soon}"
    );
    let (weight, over) = about(end + day_ms, "cert_file").unwrap();
    assert_eq!(weight, Weight::Doubtful);
    assert!(over.contains("has expired on 2060-01-02; renew it"), "{over}");
    assert!(over.contains("clock, which says 2060-01-03"), "{over}");
    let (weight, early) = about(0, "cert_file").unwrap();
    assert_eq!(weight, Weight::Doubtful);
    assert!(early.contains("is not valid before 2026-01-01"), "{early}");
    assert_eq!(about(end + day_ms, "ca_file").unwrap().0, Weight::Warning);
}

#[test]
fn a_change_is_noticed_by_its_bytes_and_by_its_stamp() {
    let files = Files::new();
    let settings = files.settings();
    let paths = Stamp::files(&settings);
    let (first, stamp) = (files.read().credentials.unwrap(), Stamp::take(&paths));
    assert_eq!(Stamp::take(&paths), stamp);
    fs::rename(files.path("password"), files.path("old")).unwrap();
    assert_ne!(Stamp::take(&paths), stamp);
    fs::copy(files.path("old"), files.path("password")).unwrap();
    assert_ne!(Stamp::take(&paths), stamp, "another file");
    assert!(first.same(&files.read().credentials.unwrap()), "of the same content");
    files.write("password", "other");
    assert!(!first.same(&files.read().credentials.unwrap()));
}

#[test]
fn a_pair_that_has_expired_does_not_replace_one_that_is_valid() {
    let files = Files::new();
    let end = time::parse_rfc3339("2060-01-02T03:04:05Z").unwrap();
    let running = files.read().credentials.unwrap();
    let mut renewed = files.read_at(end + 1).credentials.unwrap();
    let before = Clock::fake(Moment::new(NOW, 1));
    let after = Clock::fake(Moment::new(end + 1, 1));
    assert_eq!(running.better_than(&files.read().credentials.unwrap(), &before), None);
    assert_eq!(running.better_than(&renewed, &after), None, "both have expired");
    if let Some(own) = renewed.encryption.as_mut().and_then(|tls| tls.own.as_mut()) {
        own.until = NOW - 1;
    }
    let why = running.better_than(&renewed, &before).unwrap();
    assert!(
        why.contains("cert.pem` has expired, so the former certificate stays in use"),
        "{why}"
    );
}
