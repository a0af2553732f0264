use super::*;
use crate::device::opcua::certificate::tests::{DAY, NOW, URI, authority, key, pem, pss, server, weak};
use crate::device::opcua::certificate::{Draft, Role};
use std::sync::LazyLock;
use tempfile::TempDir;

const HOST: &str = "plc7.plant.example";

/// The server's own, signed by itself.
static ALONE: LazyLock<Certificate> = LazyLock::new(|| server().make(key("server"), None).unwrap());
static ROOT: LazyLock<Certificate> =
    LazyLock::new(|| authority("Plant root", None).make(key("authority"), None).unwrap());
static MIDDLE: LazyLock<Certificate> = LazyLock::new(|| {
    let draft = authority("Plant line 4", Some(0));
    draft.make(key("middle"), Some((&ROOT, key("authority")))).unwrap()
});
/// The server's, signed by the authority in the middle.
static SIGNED: LazyLock<Certificate> = LazyLock::new(|| below_middle(&server()));

fn below_middle(draft: &Draft) -> Certificate {
    draft.make(key("server"), Some((&MIDDLE, key("middle")))).unwrap()
}

fn pins(certificates: &[&Certificate]) -> Trust {
    Trust {
        pins: certificates.iter().map(|one| one.sha256()).collect(),
        file: None,
    }
}

/// A trust file with these in it, kept as long as the folder.
fn holding(certificates: &[&Certificate]) -> (TempDir, Trust) {
    let text = certificates.iter().map(|one| pem(one)).collect::<String>();
    file(text.as_bytes())
}

fn file(bytes: &[u8]) -> (TempDir, Trust) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.pem");
    std::fs::write(&path, bytes).unwrap();
    let trust = Trust {
        pins: Vec::new(),
        file: Some(path),
    };
    (folder, trust)
}

fn sent(certificates: &[&Certificate]) -> Vec<u8> {
    certificates.iter().flat_map(|one| one.der().to_vec()).collect()
}

/// The decision on what is sent, all else as it ought to be.
fn on(trust: &Trust, certificates: &[&Certificate]) -> Result<Trusted, Refusal> {
    judge(trust, &sent(certificates), URI, HOST, NOW)
}

fn refused(trust: &Trust, certificates: &[&Certificate]) -> Refusal {
    on(trust, certificates).unwrap_err()
}

#[test]
fn a_pinned_certificate_is_taken_whatever_host_it_names() {
    let trust = pins(&[&ALONE]);
    let trusted = judge(&trust, ALONE.der(), URI, "10.20.30.40", NOW).unwrap();
    assert_eq!(trusted.sha256, ALONE.sha256());
    assert_eq!((trusted.der.as_slice(), trusted.not_after), (ALONE.der(), NOW + DAY));
    assert_eq!(trusted.certificate.to_der().unwrap(), ALONE.der());
    assert_eq!(trusted.subject, "CN=PLC 7,O=Maker");
    assert!(judge(&trust, ALONE.der(), URI, HOST, NOW + DAY).is_ok());
    // One of several; and of a chain, the server's own.
    assert!(on(&pins(&[&ROOT, &ALONE]), &[&ALONE]).is_ok());
    assert_eq!(on(&pins(&[&SIGNED]), &[&SIGNED, &MIDDLE]).unwrap().der, SIGNED.der());
    // A pin on an authority is no trust in what it signs.
    assert!(matches!(
        refused(&pins(&[&MIDDLE]), &[&SIGNED, &MIDDLE]),
        Refusal::Changed { .. }
    ));
}

#[test]
fn an_unknown_certificate_is_refused_with_the_line_to_write() {
    let refusal = refused(&Trust::default(), &[&ALONE]);
    let pin = certificate::pin(&ALONE.sha256());
    assert_eq!(
        refusal.to_string(),
        format!(
            "the server's certificate is not trusted: CN=PLC 7,O=Maker, {pin}, valid until 2026-06-02 00:00 UTC; \
             if this is the right device write trust = \"{pin}\" in [connection]"
        )
    );
    assert_eq!(refusal.line(), Some(format!("trust = \"{pin}\"")));
}

#[test]
fn another_certificate_than_the_pinned_one_is_said_to_be_another() {
    let mut renewed = server();
    renewed.serial = vec![8];
    let renewed = renewed.make(key("other"), None).unwrap();
    let refusal = refused(&pins(&[&ALONE]), &[&renewed]);
    let (old, new) = (certificate::pin(&ALONE.sha256()), certificate::pin(&renewed.sha256()));
    assert_eq!(
        refusal.to_string(),
        format!(
            "the server's certificate is another than the one that is trusted: it is now CN=PLC 7,O=Maker, {new}, \
             valid until 2026-06-02 00:00 UTC, trusted is {old}; if the device or its certificate was replaced on purpose \
             write trust = \"{new}\" in [connection], else somebody may stand between"
        )
    );
}

#[test]
fn a_certificate_in_the_file_is_taken_as_if_pinned() {
    for bytes in [pem(&ALONE).into_bytes(), ALONE.der().to_vec(), sent(&[&ROOT, &ALONE])] {
        let (_folder, trust) = file(&bytes);
        let trusted = judge(&trust, ALONE.der(), URI, "10.20.30.40", NOW).unwrap();
        assert_eq!(trusted.by, "it is in trust_file");
    }
    let (_folder, trust) = holding(&[&ROOT]);
    let said = refused(&trust, &[&ALONE]).to_string();
    assert!(
        said.contains("it signs itself, and it is not in the file; add the right authority to"),
        "{said}"
    );
}

#[test]
fn a_chain_to_an_authority_in_the_file_is_taken() {
    let (_folder, root) = holding(&[&ROOT]);
    assert_eq!(
        on(&root, &[&SIGNED, &MIDDLE]).unwrap().by,
        "CN=Plant root in trust_file signed it"
    );
    // Whatever else is sent, in whatever order.
    assert!(on(&root, &[&SIGNED, &ALONE, &ROOT, &MIDDLE]).is_ok());
    // The one between is in the file, with or without the root.
    let (_folder, between) = holding(&[&ALONE, &MIDDLE]);
    assert_eq!(
        on(&between, &[&SIGNED]).unwrap().by,
        "CN=Plant line 4 in trust_file signed it"
    );
    let (_folder, both) = holding(&[&ROOT, &MIDDLE]);
    assert!(on(&both, &[&SIGNED]).is_ok());
    // PSS, and a file beside pins.
    let by_pss = pss(&server(), key("server"), (&MIDDLE, key("middle")));
    assert!(on(&root, &[&by_pss, &MIDDLE]).is_ok());
    let mut trust = root.clone();
    trust.pins = pins(&[&ALONE]).pins;
    assert!(on(&trust, &[&SIGNED, &MIDDLE]).is_ok() && on(&trust, &[&ALONE]).is_ok());
}

#[test]
fn a_missing_or_wrong_authority_is_named() {
    let (_folder, root) = holding(&[&ROOT]);
    let said = refused(&root, &[&SIGNED]).to_string();
    assert!(
        said.contains("it is signed by CN=Plant line 4, which is not in the file"),
        "{said}"
    );
    let (_folder, other) = holding(&[&ALONE]);
    let said = refused(&other, &[&SIGNED, &MIDDLE]).to_string();
    assert!(
        said.contains("CN=Plant line 4, which signs it, is signed by CN=Plant root, which is not in the file"),
        "{said}"
    );
    // A root that is sent is not thereby trusted.
    let said = refused(&other, &[&SIGNED, &MIDDLE, &ROOT]).to_string();
    assert!(said.contains("CN=Plant root, which is not in the file"), "{said}");
    // Somebody calls himself as the authority.
    let impostor = authority("Plant root", None).make(key("other"), None).unwrap();
    let forged = server().make(key("server"), Some((&impostor, key("other")))).unwrap();
    assert!(matches!(
        refused(&root, &[&forged, &impostor]),
        Refusal::NotSigned { .. }
    ));
    // And has written its key's number into what he made.
    let mut bytes = forged.der().to_vec();
    let (his, real) = (key_id(&impostor), key_id(&ROOT));
    let at = bytes.windows(20).position(|twenty| twenty == his).unwrap();
    bytes[at..at + 20].copy_from_slice(&real);
    let said = judge(&root, &bytes, URI, HOST, NOW).unwrap_err().to_string();
    assert!(
        said.contains("CN=Plant root, which signs it, has this name, but the signature is not by its key"),
        "{said}"
    );
}

/// The number of an authority's key, as it stands in its certificate.
fn key_id(certificate: &Certificate) -> [u8; 20] {
    let der = certificate.der();
    // subjectKeyIdentifier, OCTET STRING of 22 bytes, OCTET STRING of 20 bytes.
    let mark = [0x06, 0x03, 0x55, 0x1d, 0x0e, 0x04, 0x16, 0x04, 0x14];
    let at = der.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len();
    der[at..at + 20].try_into().unwrap()
}

#[test]
fn who_is_no_authority_signs_nothing() {
    // A certificate of a server in the file is trusted itself, and nothing that its key signs.
    let (_folder, trust) = holding(&[&ALONE]);
    let mut below = server();
    below.subject = "CN=PLC 8".to_owned();
    let below = below.make(key("other"), Some((&ALONE, key("server")))).unwrap();
    let said = refused(&trust, &[&below]).to_string();
    assert!(
        said.contains("CN=PLC 7,O=Maker, which signs it, is no authority"),
        "{said}"
    );

    // An authority that may have none below it.
    let lowest = authority("Below line 4", None);
    let lowest = lowest.make(key("other"), Some((&MIDDLE, key("middle")))).unwrap();
    let leaf = server().make(key("server"), Some((&lowest, key("other")))).unwrap();
    let (_folder, root) = holding(&[&ROOT]);
    let said = refused(&root, &[&leaf, &lowest, &MIDDLE]).to_string();
    assert!(
        said.contains("CN=Plant line 4, which signs it, allows fewer authorities below it"),
        "{said}"
    );

    // An extension that has to be understood: key usage (2.5.29.15) made name constraints (2.5.29.30).
    let mut bytes = ROOT.der().to_vec();
    let mark = [0x06, 0x03, 0x55, 0x1d, 0x0f];
    let at = bytes.windows(5).position(|window| window == mark).unwrap();
    bytes[at + 4] = 0x1e;
    let (_folder, trust) = file(&bytes);
    let said = refused(&trust, &[&SIGNED, &MIDDLE]).to_string();
    assert!(
        said.contains("has a critical extension that is not built (2.5.29.30)"),
        "{said}"
    );
}

#[test]
fn time_runs_out_for_servers_and_authorities() {
    let pinned = pins(&[&ALONE]);
    let late = judge(&pinned, ALONE.der(), URI, HOST, NOW + DAY + 1).unwrap_err();
    let said = late.to_string();
    assert!(
        said.starts_with("the server's certificate expired on 2026-06-02 00:00 UTC: CN=PLC 7"),
        "{said}"
    );
    assert!(
        said.contains("this machine's clock says 2026-06-02 00:00 UTC"),
        "{said}"
    );
    assert_eq!(late.line(), None);
    let early = judge(&pinned, ALONE.der(), URI, HOST, 0).unwrap_err().to_string();
    assert!(early.contains("is valid only from 2026-05-31 00:00 UTC"), "{early}");
    assert!(
        early.contains("this machine's clock says 1970-01-01 00:00 UTC: set the clock"),
        "{early}"
    );
    // Unknown ones too: trusting them would not help.
    let unknown = judge(&Trust::default(), ALONE.der(), URI, HOST, NOW + 2 * DAY).unwrap_err();
    assert!(matches!(unknown, Refusal::Expired { .. }));

    let mut long = server();
    (long.not_before, long.not_after) = (NOW - 100 * DAY, NOW + 100 * DAY);
    let long = below_middle(&long);
    let (_folder, root) = holding(&[&ROOT]);
    let at = |now| judge(&root, &sent(&[&long, &MIDDLE]), URI, HOST, now);
    assert!(at(NOW).is_ok());
    let said = at(NOW + 11 * DAY).unwrap_err().to_string();
    assert!(
        said.contains("CN=Plant line 4, which signs it, expired on 2026-06-11 00:00 UTC"),
        "{said}"
    );
    let said = at(NOW - 11 * DAY).unwrap_err().to_string();
    assert!(
        said.contains("CN=Plant line 4, which signs it, is valid only from 2026-05-22 00:00 UTC"),
        "{said}"
    );
    // The root alone is over.
    let mut old = authority("Plant root", None);
    old.not_after = NOW - 1;
    let old = old.make(key("authority"), None).unwrap();
    let (_folder, trust) = holding(&[&old]);
    let said = refused(&trust, &[&SIGNED, &MIDDLE]).to_string();
    assert!(
        said.contains("CN=Plant root, which signs it, expired on 2026-05-31 23:59 UTC"),
        "{said}"
    );
    // Beside a valid one of the same key it does not matter.
    let (_folder, trust) = holding(&[&old, &ROOT]);
    assert!(on(&trust, &[&SIGNED, &MIDDLE]).is_ok());
}

#[test]
fn a_server_that_calls_itself_otherwise_is_refused() {
    let renamed = "urn:plc9:maker:server";
    let (_folder, root) = holding(&[&ROOT]);
    for (trust, chain) in [
        (pins(&[&ALONE]), sent(&[&ALONE])),
        (root.clone(), sent(&[&SIGNED, &MIDDLE])),
    ] {
        let said = judge(&trust, &chain, renamed, HOST, NOW).unwrap_err().to_string();
        assert!(
            said.starts_with("the server's certificate is for urn:plc7:maker:server, but the server calls itself urn:plc9:maker:server:"),
            "{said}"
        );
    }
    // One that says nothing of itself is taken where it is named itself.
    assert!(judge(&pins(&[&ALONE]), ALONE.der(), "", HOST, NOW).is_ok());
    let said = judge(&root, &sent(&[&SIGNED, &MIDDLE]), "", HOST, NOW)
        .unwrap_err()
        .to_string();
    assert!(said.contains("but the server calls itself nothing"), "{said}");
    let mut nameless = server();
    nameless.names.uris.clear();
    let nameless = nameless.make(key("server"), None).unwrap();
    let said = refused(&pins(&[&nameless]), &[&nameless]).to_string();
    assert!(said.contains("is for no application, but"), "{said}");
}

#[test]
fn an_authority_vouches_only_for_the_hosts_that_it_names() {
    let (_folder, root) = holding(&[&ROOT]);
    let chain = sent(&[&SIGNED, &MIDDLE]);
    for host in [HOST, "PLC7.plant.example", "192.0.2.7", "192.0.2.8", "[2001:db8::8]"] {
        assert!(judge(&root, &chain, URI, host, NOW).is_ok(), "{host}");
    }
    let refusal = judge(&root, &chain, URI, "10.20.30.40", NOW).unwrap_err();
    let said = refusal.to_string();
    assert!(
        said.starts_with("the server's certificate is not for 10.20.30.40 but for plc7.plant.example, 192.0.2.7, 192.0.2.8, 2001:db8::8:"),
        "{said}"
    );
    let pin = certificate::pin(&SIGNED.sha256());
    assert!(
        said.ends_with(&format!("or trust exactly this one: trust = \"{pin}\" in [connection]")),
        "{said}"
    );
}

#[test]
fn an_authority_vouches_only_for_servers() {
    let mut client = server();
    client.role = Role::Client;
    let client = below_middle(&client);
    let (_folder, root) = holding(&[&ROOT]);
    assert!(matches!(
        refused(&root, &[&client, &MIDDLE]),
        Refusal::NotForServers { .. }
    ));
    assert!(on(&pins(&[&client]), &[&client]).is_ok());
}

#[test]
fn weak_signatures_and_keys_are_refused_even_where_pinned() {
    let old = weak(&server(), key("server"), None);
    let said = refused(&pins(&[&old]), &[&old]).to_string();
    assert!(
        said.starts_with("the server's certificate is signed with SHA-1 or older"),
        "{said}"
    );
    let short = server().make(key("short"), None).unwrap();
    let said = refused(&pins(&[&short]), &[&short]).to_string();
    assert!(
        said.starts_with("the server's certificate has an RSA key of 1024 bits:"),
        "{said}"
    );
    // An authority between that was signed with SHA-1; the root's own signature says nothing.
    let middle = weak(
        &authority("Plant line 4", None),
        key("middle"),
        Some((&ROOT, key("authority"))),
    );
    let (_folder, root) = holding(&[&ROOT]);
    assert!(matches!(refused(&root, &[&SIGNED, &middle]), Refusal::NotSigned { .. }));
    let root = weak(&authority("Plant root", None), key("authority"), None);
    let (_folder, root) = holding(&[&root]);
    assert!(on(&root, &[&SIGNED, &MIDDLE]).is_ok());
}

#[test]
fn authorities_that_sign_each_other_end() {
    let seed = authority("Left", None).make(key("middle"), None).unwrap();
    let right = authority("Right", None)
        .make(key("other"), Some((&seed, key("middle"))))
        .unwrap();
    let left = authority("Left", None)
        .make(key("middle"), Some((&right, key("other"))))
        .unwrap();
    let leaf = server().make(key("server"), Some((&left, key("middle")))).unwrap();
    let (_folder, root) = holding(&[&ROOT]);
    // Each many times, so that the ways double at each step.
    let mut chain = vec![&leaf];
    chain.extend([&left, &right].repeat(20));
    assert!(matches!(refused(&root, &chain), Refusal::NotSigned { .. }));
}

#[test]
fn a_file_that_cannot_be_used_is_said() {
    let missing = Trust {
        pins: Vec::new(),
        file: Some("no/such/plant.pem".into()),
    };
    let said = refused(&missing, &[&ALONE]).to_string();
    assert!(
        said.starts_with("trust_file no/such/plant.pem cannot be used: No such file"),
        "{said}"
    );
    for (bytes, why) in [
        (&b""[..], "there is no certificate"),
        (b"sha256:12", "there is no certificate"),
        (
            b"-----BEGIN CERTIFICATE-----\nMIIC",
            "a CERTIFICATE block in it is damaged",
        ),
        (&[0x30, 0x03, 1, 2, 3], "it is not an X.509 certificate"),
    ] {
        let (_folder, trust) = file(bytes);
        let said = refused(&trust, &[&ALONE]).to_string();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn no_certificate_at_all_is_said() {
    let said = judge(&Trust::default(), &[], URI, HOST, NOW).unwrap_err().to_string();
    assert!(
        said.starts_with("the server's certificate cannot be used: there is no certificate"),
        "{said}"
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        proptest::prop_assert!(judge(&Trust::default(), &bytes, URI, HOST, NOW).is_err());
    }

    #[test]
    fn no_change_of_a_certificate_is_taken(at in 0_usize..4000, to in proptest::num::u8::ANY, cut in 0_usize..4000) {
        static TRUST: LazyLock<(TempDir, Trust)> = LazyLock::new(|| holding(&[&ROOT]));
        let whole = sent(&[&SIGNED]);
        let mut changed = whole.clone();
        changed[at % whole.len()] = to;
        for bytes in [&changed[..], &whole[..cut % whole.len()]] {
            let taken = judge(&pins(&[&SIGNED]), bytes, URI, HOST, NOW).is_ok();
            proptest::prop_assert_eq!(taken, bytes == whole);
            let mut chain = bytes.to_vec();
            chain.extend_from_slice(MIDDLE.der());
            let taken = judge(&TRUST.1, &chain, URI, HOST, NOW).is_ok();
            proptest::prop_assert_eq!(taken, bytes == whole);
        }
    }
}
