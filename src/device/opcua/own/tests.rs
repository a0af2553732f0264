use super::*;
use crate::device::opcua::certificate::tests::{DAY, NOW, key, server};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A home with these two files in it.
fn home(certificate: &[u8], key: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("opcua");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("own.der"), certificate).unwrap();
    fs::write(folder.join("own.key"), key).unwrap();
    home
}

fn said(home: &TempDir, now: i64) -> String {
    Own::load_or_make(Some(home.path()), now).unwrap_err().to_string()
}

#[test]
fn two_first_starts_at_once_make_one_pair_that_stays() {
    let home = tempfile::tempdir().unwrap();
    let starts = [(); 2].map(|()| {
        let home = home.path().to_owned();
        std::thread::spawn(move || Own::load_or_make(Some(&home), NOW).unwrap())
    });
    let [one, two] = starts.map(|start| start.join().unwrap());
    assert_eq!(one.der, two.der);

    let folder = home.path().join("opcua");
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("own.key")), 0o600);
    assert_eq!(mode(&folder.join("own.der")), 0o644);
    let names = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names = names.collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["own.der", "own.key"]);

    let later = Own::load_or_make(Some(home.path()), NOW + 9 * 365 * DAY).unwrap();
    assert_eq!((&later.der, &later.application_uri), (&one.der, &one.application_uri));
    assert_eq!(later.thumbprint, one.certificate.thumbprint().as_hex_string());
    assert_eq!(later.not_after, NOW + VALID);

    // What OPC 10000-6, 6.2.2 asks for.
    let parsed = Certificate::parse(&one.der).unwrap();
    assert!(parsed.is_signed_by(&parsed));
    assert_eq!(parsed.rsa_bits(), Some(2048));
    assert_eq!(parsed.names().uris.join(" "), one.application_uri);
    assert_eq!(parsed.names().hosts, [host()]);
    assert!(one.application_uri.starts_with(&format!("urn:{}:lineside:", host())));

    // The crate finds both where it is told.
    let store = one.store().unwrap();
    assert_eq!(store.read_own_cert().unwrap().to_der().unwrap(), one.der);
    let key = store.read_own_pkey().unwrap();
    assert_eq!(key.to_der().unwrap().as_bytes(), one.key.to_der().unwrap().as_bytes());
    assert!(!folder.join("trusted").exists() && !folder.join("rejected").exists());
}

#[test]
fn a_run_without_a_home_leaves_nothing() {
    let own = Own::load_or_make(None, NOW).unwrap();
    let (certificate, key) = (own.file().to_owned(), own.key_file.clone());
    assert_eq!(mode(certificate.parent().unwrap()), 0o700);
    assert_eq!(mode(&key), 0o600);
    assert!(own.store().unwrap().read_own_pkey().is_ok());
    drop(own);
    assert!(!certificate.exists() && !key.exists());
}

#[test]
fn a_key_alone_gets_a_certificate_and_a_certificate_alone_does_not() {
    let pem = pem(key("other")).unwrap();
    let here = home(b"", &pem);
    let folder = here.path().join("opcua");
    fs::remove_file(folder.join("own.der")).unwrap();
    let own = Own::load_or_make(Some(here.path()), NOW).unwrap();
    assert!(belongs(key("other"), &Certificate::parse(&own.der).unwrap()));
    assert_eq!(fs::read_to_string(folder.join("own.key")).unwrap(), pem);

    fs::remove_file(folder.join("own.key")).unwrap();
    let said = said(&here, NOW);
    assert!(said.contains("has no own.key beside it: put the key back"), "{said}");
    assert!(!folder.join("own.key").exists());
}

#[test]
fn what_an_operator_put_there_is_taken_or_refused_never_replaced() {
    let good = server().make(key("server"), None).unwrap();
    let key_pem = pem(key("server")).unwrap();
    let own = Own::load_or_make(Some(home(good.der(), &key_pem).path()), NOW).unwrap();
    assert_eq!(own.application_uri, "urn:plc7:maker:server");

    let mut nameless = server();
    nameless.names.uris.clear();
    let nameless = nameless.make(key("server"), None).unwrap();
    let short = server().make(key("short"), None).unwrap();
    let in_pem = crate::device::opcua::certificate::tests::pem(&good);
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cases: [(&[u8], &str, i64, &str); 8] = [
        (
            good.der(),
            &pem(key("other")).unwrap(),
            NOW,
            "does not belong to the certificate",
        ),
        (
            good.der(),
            &key_pem,
            NOW + 2 * DAY,
            "expired on 2026-06-02 00:00 UTC (this machine's clock says 2026-06-03 00:00 UTC)",
        ),
        (
            in_pem.as_bytes(),
            &key_pem,
            NOW,
            "cannot be used: it is PEM; it has to be one certificate in DER",
        ),
        (b"rubbish", &key_pem, NOW, "is not an X.509 certificate"),
        (b"", &key_pem, NOW, "there is no certificate"),
        (
            good.der(),
            locked,
            NOW,
            "is not an RSA private key in PEM without a password",
        ),
        (
            nameless.der(),
            &key_pem,
            NOW,
            "has no URI in its subject alternative name",
        ),
        (
            short.der(),
            &pem(key("short")).unwrap(),
            NOW,
            "has an RSA key of 1024 bits: OPC UA allows 2048 to 4096",
        ),
    ];
    for (certificate, key, now, sentence) in cases {
        let home = home(certificate, key);
        let said = said(&home, now);
        assert!(said.contains(sentence), "{said}");
        assert_eq!(fs::read(home.path().join("opcua/own.der")).unwrap(), certificate);
        assert_eq!(fs::read_to_string(home.path().join("opcua/own.key")).unwrap(), key);
    }
}

#[test]
fn a_home_that_is_no_folder_is_said() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("opcua"), "").unwrap();
    let said = said(&home, NOW);
    assert!(said.contains("cannot write") && said.contains("opcua"), "{said}");
}

#[test]
fn a_clock_that_was_never_set_makes_no_certificate_of_1970() {
    let made = draft("line4", 0).make(key("server"), None).unwrap();
    assert_eq!(made.not_before(), NEVER_SET_BEFORE - BEFORE);
    assert_eq!(made.not_after(), NEVER_SET_BEFORE + VALID);
    assert_eq!(made.names().hosts, ["line4"]);
    let again = draft("line4", 0);
    assert_ne!(again.serial, draft("line4", 0).serial);
    assert_ne!(again.names.uris, draft("line4", 0).names.uris);
}
