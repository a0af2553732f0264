use super::*;
use crate::device::opcua::certificate::tests::{DAY, NOW, key, pem, server};
use crate::device::opcua::own::pem as key_pem;
use opcua::types::{EndpointDescription, MessageSecurityMode, UserTokenPolicy, UserTokenType};
use std::fs;
use tempfile::TempDir;

const SECURED: [SecurityPolicy; 3] = [
    SecurityPolicy::Basic256Sha256,
    SecurityPolicy::Aes128Sha256RsaOaep,
    SecurityPolicy::Aes256Sha256RsaPss,
];

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn password(bytes: &[u8]) -> Result<Material, String> {
    let folder = folder(&[("p", bytes)]);
    let identity = Identity::User {
        name: "gateway".to_owned(),
        password_file: folder.path().join("p"),
    };
    Material::read(&identity, NOW).map_err(|fault| fault.to_string())
}

fn certificate(cert: &[u8], key: &[u8], now: i64) -> Result<Material, String> {
    let folder = folder(&[("c", cert), ("k", key)]);
    let identity = Identity::Certificate {
        cert_file: folder.path().join("c"),
        key_file: folder.path().join("k"),
    };
    Material::read(&identity, now).map_err(|fault| fault.to_string())
}

/// A server with the certificate of `holder`, at which one logs in this way.
fn chosen(
    policy: SecurityPolicy,
    mode: MessageSecurityMode,
    kind: UserTokenType,
    token: SecurityPolicy,
    holder: &str,
) -> Chosen {
    let certificate = server().make(key(holder), None).unwrap();
    Chosen {
        endpoint: EndpointDescription {
            server_certificate: ByteString::from(certificate.der()),
            ..EndpointDescription::default()
        },
        chain: certificate.der().to_vec(),
        policy,
        mode,
        token: UserTokenPolicy {
            policy_id: "way-1".into(),
            token_type: kind,
            security_policy_uri: match token {
                SecurityPolicy::Unknown => UAString::null(),
                token => token.to_uri().into(),
            },
            ..UserTokenPolicy::default()
        },
    }
}

fn nonce() -> ByteString {
    ByteString::from(&[9; 32][..])
}

fn user() -> Material {
    password("pässword\n".as_bytes()).unwrap()
}

/// The gateway's, in a home of its own.
fn own() -> (TempDir, Own) {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("opcua")).unwrap();
    let certificate = server().make(key("other"), None).unwrap();
    fs::write(home.path().join("opcua/own.der"), certificate.der()).unwrap();
    fs::write(home.path().join("opcua/own.key"), key_pem(key("other")).unwrap()).unwrap();
    let own = Own::load_or_make(Some(home.path()), NOW).unwrap();
    (home, own)
}

#[test]
fn a_password_is_the_first_line_and_never_shown() {
    for text in ["s3cret", "s3cret\n", "s3cret\r\n", "s3cret\nmore\n"] {
        let Ok(Material::User { name, password }) = password(text.as_bytes()) else {
            panic!("{text:?}")
        };
        assert_eq!((name.as_str(), password.as_str()), ("gateway", "s3cret"), "{text:?}");
    }
    let material = password(b" s3cret \n").unwrap();
    assert!(matches!(&material, Material::User { password, .. } if password == " s3cret "));
    assert_eq!(format!("{material:?}"), "User(gateway)");
    for empty in ["", "\n", "\r\n", "\nbelow\n"] {
        let said = password(empty.as_bytes()).unwrap_err();
        assert!(
            said.ends_with("is empty: write the password on its first line"),
            "{said}"
        );
    }
    let said = password(&[0xff, 0xfe]).unwrap_err();
    assert!(said.contains("is not text in UTF-8"), "{said}");
    let missing = Identity::User {
        name: "gateway".to_owned(),
        password_file: "no/such.password".into(),
    };
    let said = Material::read(&missing, NOW).unwrap_err().to_string();
    assert!(said.starts_with("cannot read no/such.password: No such file"), "{said}");
    assert_eq!(Material::read(&Identity::Anonymous, NOW).unwrap(), Material::Anonymous);
}

#[test]
fn the_same_credentials_are_told_from_others() {
    assert_eq!(password(b"a\n"), password(b"a"));
    assert_ne!(password(b"a"), password(b"b"));
    assert_ne!(password(b"a").unwrap(), Material::Anonymous);
    let made = server().make(key("server"), None).unwrap();
    let key = key_pem(key("server")).unwrap();
    let one = certificate(made.der(), key.as_bytes(), NOW).unwrap();
    assert_eq!(one, certificate(pem(&made).as_bytes(), key.as_bytes(), NOW).unwrap());
    assert_ne!(one, Material::Anonymous);
}

#[test]
fn certificates_and_keys_are_read_in_each_usual_form() {
    let made = server().make(key("server"), None).unwrap();
    let pkcs8 = key("server").to_der().unwrap();
    // PKCS 1 is what stands in the last field of PKCS 8: an OCTET STRING of more than 255 bytes.
    let at = pkcs8.as_bytes().windows(2).position(|two| two == [0x04, 0x82]).unwrap();
    let pkcs1 = &pkcs8.as_bytes()[at + 4..];
    let ending = x509_cert::der::pem::LineEnding::CRLF;
    let old = x509_cert::der::pem::encode_string("RSA PRIVATE KEY", ending, pkcs1).unwrap();
    let new = key_pem(key("server")).unwrap();
    let both = format!("{}\n{new}", pem(&made));
    let keys: [&[u8]; 5] = [pkcs8.as_bytes(), pkcs1, old.as_bytes(), new.as_bytes(), both.as_bytes()];
    for (at, bytes) in keys.into_iter().enumerate() {
        for cert in [made.der(), pem(&made).as_bytes(), both.as_bytes()] {
            let Material::Certificate { der, key: read } = certificate(cert, bytes, NOW).unwrap() else {
                panic!("{at}")
            };
            assert_eq!(der, made.der());
            assert_eq!(read.to_der().unwrap().as_bytes(), pkcs8.as_bytes(), "{at}");
        }
    }
    let other = key_pem(key("other")).unwrap();
    let cases: [(&[u8], &[u8], i64, &str); 6] = [
        (made.der(), other.as_bytes(), NOW, "does not belong to cert_file"),
        (made.der(), b"", NOW, "is not an RSA private key without a password"),
        (
            made.der(),
            b"rubbish",
            NOW,
            "is not an RSA private key without a password",
        ),
        (
            b"rubbish",
            new.as_bytes(),
            NOW,
            "cannot be used: there is no certificate; it has to be a certificate in PEM or DER",
        ),
        (b"", new.as_bytes(), NOW, "cannot be used: there is no certificate"),
        (
            made.der(),
            new.as_bytes(),
            NOW + 2 * DAY,
            "expired on 2026-06-02 00:00 UTC",
        ),
    ];
    for (cert, key, now, sentence) in cases {
        let said = certificate(cert, key, now).unwrap_err();
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn a_password_is_encrypted_for_the_server_with_its_nonce() {
    for policy in SECURED {
        // By the channel's policy, by one of its own, and on a channel without security.
        for (channel, mode, token) in [
            (policy, MessageSecurityMode::Sign, SecurityPolicy::Unknown),
            (
                SecurityPolicy::Basic256Sha256,
                MessageSecurityMode::SignAndEncrypt,
                policy,
            ),
            (SecurityPolicy::None, MessageSecurityMode::None, policy),
        ] {
            let chosen = chosen(channel, mode, UserTokenType::UserName, token, "server");
            let (token, signature) = user_token(&user(), &chosen, &nonce()).unwrap();
            assert!(signature.signature.is_null());
            let token = token.inner_as::<UserNameIdentityToken>().unwrap();
            assert_eq!(
                (token.policy_id.as_ref(), token.user_name.as_ref()),
                ("way-1", "gateway")
            );
            let plain = opcua::crypto::legacy_decrypt_secret(token, nonce().as_ref(), key("server")).unwrap();
            assert_eq!(plain.as_ref(), "pässword".as_bytes());
            assert!(opcua::crypto::legacy_decrypt_secret(token, &[8; 32], key("server")).is_err());
        }
    }
    // In an encrypted channel, where the server wants it so.
    let mode = MessageSecurityMode::SignAndEncrypt;
    let plain = chosen(
        SecurityPolicy::Basic256Sha256,
        mode,
        UserTokenType::UserName,
        SecurityPolicy::None,
        "server",
    );
    let (token, _) = user_token(&user(), &plain, &nonce()).unwrap();
    let token = token.inner_as::<UserNameIdentityToken>().unwrap();
    assert_eq!(token.password.as_ref(), "pässword".as_bytes());
    assert!(token.encryption_algorithm.is_null());
}

#[test]
fn a_long_password_is_encrypted_in_blocks() {
    let long = "x".repeat(1000);
    let material = password(long.as_bytes()).unwrap();
    for policy in SECURED {
        let chosen = chosen(
            policy,
            MessageSecurityMode::Sign,
            UserTokenType::UserName,
            SecurityPolicy::Unknown,
            "server",
        );
        let (token, _) = user_token(&material, &chosen, &nonce()).unwrap();
        let token = token.inner_as::<UserNameIdentityToken>().unwrap();
        let plain = opcua::crypto::legacy_decrypt_secret(token, nonce().as_ref(), key("server")).unwrap();
        assert_eq!(plain.as_ref(), long.as_bytes());
    }
}

#[test]
fn nothing_is_sent_that_cannot_be_protected() {
    let mode = MessageSecurityMode::Sign;
    let good = chosen(
        SecurityPolicy::Basic256Sha256,
        mode,
        UserTokenType::UserName,
        SecurityPolicy::Unknown,
        "server",
    );
    let said = |chosen: &Chosen, nonce: &ByteString| user_token(&user(), chosen, nonce).unwrap_err().to_string();
    assert!(said(&good, &ByteString::null()).starts_with("the server gave no nonce"));
    let mut bare = good.clone();
    bare.endpoint.server_certificate = ByteString::null();
    assert!(said(&bare, &nonce()).starts_with("the server gave no certificate,"));
    bare.endpoint.server_certificate = ByteString::from(&[1, 2, 3][..]);
    assert!(said(&bare, &nonce()).contains("a certificate that cannot be read"));
    let short = chosen(
        SecurityPolicy::Basic256Sha256,
        mode,
        UserTokenType::UserName,
        SecurityPolicy::Unknown,
        "short",
    );
    assert!(said(&short, &nonce()).contains("key is not of 2048 to 4096 bits"));
    let clear = chosen(
        SecurityPolicy::Basic256Sha256,
        mode,
        UserTokenType::UserName,
        SecurityPolicy::None,
        "server",
    );
    assert!(matches!(user_token(&user(), &clear, &nonce()), Err(Fault::Crypto(_))));
    assert!(matches!(
        user_token(&Material::Anonymous, &good, &nonce()),
        Err(Fault::OtherToken)
    ));
}

#[test]
fn an_anonymous_token_has_only_the_name_of_the_way() {
    let mode = MessageSecurityMode::None;
    let chosen = chosen(
        SecurityPolicy::None,
        mode,
        UserTokenType::Anonymous,
        SecurityPolicy::Unknown,
        "server",
    );
    let (token, signature) = user_token(&Material::Anonymous, &chosen, &ByteString::null()).unwrap();
    assert_eq!(
        token.inner_as::<AnonymousIdentityToken>().unwrap().policy_id.as_ref(),
        "way-1"
    );
    assert!(signature.signature.is_null() && signature.algorithm.is_null());
}

#[test]
fn a_user_certificate_signs_what_the_server_gave() {
    let made = server().make(key("middle"), None).unwrap();
    let material = certificate(made.der(), key_pem(key("middle")).unwrap().as_bytes(), NOW).unwrap();
    for policy in SECURED {
        for (channel, mode, token) in [
            (policy, MessageSecurityMode::Sign, SecurityPolicy::Unknown),
            (SecurityPolicy::None, MessageSecurityMode::None, policy),
        ] {
            let chosen = chosen(channel, mode, UserTokenType::Certificate, token, "server");
            let (token, signature) = user_token(&material, &chosen, &nonce()).unwrap();
            let token = token.inner_as::<X509IdentityToken>().unwrap();
            assert_eq!(token.certificate_data.as_ref(), made.der());
            let theirs = X509::from_der(chosen.chain.as_slice()).unwrap();
            let check =
                |nonce: &[u8]| opcua::crypto::verify_x509_identity_token(token, &signature, policy, &theirs, nonce);
            assert!(check(nonce().as_ref()).is_ok());
            assert!(check(&[8; 32]).is_err());
        }
    }
    let bare = chosen(
        SecurityPolicy::None,
        MessageSecurityMode::None,
        UserTokenType::Certificate,
        SecurityPolicy::Unknown,
        "server",
    );
    let said = user_token(&material, &bare, &nonce()).unwrap_err().to_string();
    assert!(
        said.starts_with("the server gave no security policy for the log-in"),
        "{said}"
    );
}

#[test]
fn both_sides_prove_that_they_have_their_keys() {
    let (_home, own) = own();
    let mode = MessageSecurityMode::SignAndEncrypt;
    for policy in SECURED {
        let mut chosen = chosen(
            policy,
            mode,
            UserTokenType::Anonymous,
            SecurityPolicy::Unknown,
            "server",
        );
        let theirs = X509::from_der(chosen.chain.as_slice()).unwrap();
        let ours = client_signature(&own, &chosen, &nonce()).unwrap();
        let checked = opcua::crypto::verify_signature_data(&ours, policy, &own.certificate, &theirs, nonce().as_ref());
        assert!(checked.is_ok());
        // A chain behind the certificate is not signed.
        let leaf = chosen.endpoint.server_certificate.clone();
        let chain = [leaf.as_ref(), own.der.as_slice()].concat();
        chosen.endpoint.server_certificate = ByteString::from(chain.as_slice());
        let ours = client_signature(&own, &chosen, &nonce()).unwrap();
        let checked = opcua::crypto::verify_signature_data(&ours, policy, &own.certificate, &theirs, nonce().as_ref());
        assert!(checked.is_ok());
        chosen.endpoint.server_certificate = leaf.clone();

        let own_der = ByteString::from(own.der.as_slice());
        let proof = opcua::crypto::create_signature_data(key("server"), policy, &own_der, &nonce()).unwrap();
        assert!(check_server(&own, &chosen, &nonce(), &leaf, &proof).is_ok());
        assert!(check_server(&own, &chosen, &nonce(), &ByteString::from(chain.as_slice()), &proof).is_ok());
        let other = check_server(&own, &chosen, &nonce(), &own_der, &proof)
            .unwrap_err()
            .to_string();
        assert!(other.contains("it shows another certificate in the session"), "{other}");
        let stale = ByteString::from(&[8; 32][..]);
        assert!(matches!(
            check_server(&own, &chosen, &stale, &leaf, &proof),
            Err(Fault::NotProven(_))
        ));
        let thief = opcua::crypto::create_signature_data(key("middle"), policy, &own_der, &nonce()).unwrap();
        assert!(check_server(&own, &chosen, &nonce(), &leaf, &thief).is_err());
        assert!(check_server(&own, &chosen, &nonce(), &leaf, &SignatureData::null()).is_err());
    }
    let none = chosen(
        SecurityPolicy::None,
        MessageSecurityMode::None,
        UserTokenType::Anonymous,
        SecurityPolicy::Unknown,
        "server",
    );
    assert_eq!(client_signature(&own, &none, &nonce()).unwrap(), SignatureData::null());
    assert!(check_server(&own, &none, &nonce(), &ByteString::null(), &SignatureData::null()).is_ok());
}

#[test]
fn refused_credentials_are_not_sent_again_and_refused_certificates_slowly() {
    let (_home, own) = own();
    for status in [
        StatusCode::BadUserAccessDenied,
        StatusCode::BadIdentityTokenInvalid,
        StatusCode::BadIdentityTokenRejected,
        StatusCode::BadUserSignatureInvalid,
    ] {
        assert_eq!(weigh(status), Weight::Never);
        assert!(is_final(status));
        assert!(advice(status, &own).unwrap().contains("not tried again with the same"));
    }
    for status in [StatusCode::BadSecurityChecksFailed, StatusCode::BadCertificateUntrusted] {
        assert_eq!(weigh(status), Weight::Slowly);
        assert!(is_final(status));
        let said = advice(status, &own).unwrap();
        assert!(said.contains(&own.thumbprint) && said.contains("own.der"), "{said}");
    }
    for status in [
        StatusCode::BadTimeout,
        StatusCode::BadTooManySessions,
        StatusCode::BadServerHalted,
        StatusCode::BadSecureChannelClosed,
        StatusCode::BadNonceInvalid,
    ] {
        assert_eq!(weigh(status), Weight::Passing);
        assert!(!is_final(status));
        assert_eq!(advice(status, &own), None);
    }
}
