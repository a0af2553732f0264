use super::*;
use crate::device::opcua::certificate::tests::{authority, key, server};
use crate::model::plan::Trust;
use std::time::Duration;

const DEPRECATED: &str = "http://opcfoundation.org/UA/SecurityPolicy#Basic128Rsa15";

fn link(security: Security, identity: Identity) -> OpcuaLink {
    OpcuaLink {
        address: "opc.tcp://192.0.2.7:4840".to_owned(),
        security,
        trust: Trust::default(),
        identity,
        timeout: Duration::from_secs(1),
        publishing: Duration::from_millis(100),
        sampling: None,
        queue: 1,
        polled: false,
    }
}

fn user() -> Identity {
    Identity::User {
        name: "gateway".to_owned(),
        password_file: "st10.password".into(),
    }
}

fn certificate() -> Identity {
    Identity::Certificate {
        cert_file: "gateway.der".into(),
        key_file: "gateway.key".into(),
    }
}

fn exactly(policy: SecurityPolicy, mode: SecurityMode) -> Security {
    Security::Exactly(policy, mode)
}

fn way(kind: UserTokenType, policy: &str) -> UserTokenPolicy {
    UserTokenPolicy {
        policy_id: format!("{kind:?}-{policy}").into(),
        token_type: kind,
        security_policy_uri: policy.into(),
        ..UserTokenPolicy::default()
    }
}

/// An endpoint; its `text` is policy and mode as profiles write them.
fn at(text: &str, ways: &[UserTokenPolicy]) -> EndpointDescription {
    let (name, mode) = text.split_once('/').unwrap_or((text, ""));
    let known = SecurityPolicy::ALL.into_iter().find(|policy| policy.word() == name);
    let uri = match (known, name) {
        (Some(policy), _) => policy.uri().to_owned(),
        (None, name) => format!("http://opcfoundation.org/UA/SecurityPolicy#{name}"),
    };
    EndpointDescription {
        endpoint_url: "opc.tcp://plc7:4840/".into(),
        security_mode: match mode {
            "Sign" => MessageSecurityMode::Sign,
            "SignAndEncrypt" => MessageSecurityMode::SignAndEncrypt,
            _ => MessageSecurityMode::None,
        },
        security_policy_uri: uri.into(),
        user_identity_tokens: Some(ways.to_vec()),
        transport_profile_uri: BINARY.into(),
        ..EndpointDescription::default()
    }
}

fn anybody() -> Vec<UserTokenPolicy> {
    vec![way(UserTokenType::Anonymous, "")]
}

fn everybody() -> Vec<UserTokenPolicy> {
    [
        UserTokenType::Anonymous,
        UserTokenType::UserName,
        UserTokenType::Certificate,
    ]
    .map(|kind| way(kind, ""))
    .to_vec()
}

/// What is chosen of these, at each of which anybody may log in.
fn of(words: &[&str], security: Security) -> Result<String, String> {
    let offered = words.iter().map(|word| at(word, &anybody())).collect::<Vec<_>>();
    let chosen = choose(&offered, &link(security, Identity::Anonymous));
    chosen
        .map(|chosen| chosen.word())
        .map_err(|refusal| refusal.to_string())
}

#[test]
fn the_strongest_is_taken_and_encrypted_before_signed() {
    let all = [
        "None",
        "Basic128Rsa15/SignAndEncrypt",
        "Basic256Sha256/Sign",
        "Basic256Sha256/SignAndEncrypt",
        "Aes256Sha256RsaPss/Sign",
        "Aes256Sha256RsaPss/SignAndEncrypt",
        "Aes128Sha256RsaOaep/SignAndEncrypt",
    ];
    let strongest = |words: &[&str]| of(words, Security::Strongest);
    assert_eq!(strongest(&all).unwrap(), "Aes256Sha256RsaPss/SignAndEncrypt");
    assert_eq!(strongest(&all[..5]).unwrap(), "Aes256Sha256RsaPss/Sign");
    assert_eq!(strongest(&all[..4]).unwrap(), "Basic256Sha256/SignAndEncrypt");
    assert_eq!(strongest(&["Basic256Sha256/SignAndEncrypt", all[6]]).unwrap(), all[6]);
    assert_eq!(strongest(&all[..3]).unwrap(), "Basic256Sha256/Sign");
    assert_eq!(
        of(&all, exactly(SecurityPolicy::Basic256Sha256, SecurityMode::Sign)).unwrap(),
        "Basic256Sha256/Sign"
    );
    assert_eq!(of(&all, Security::None).unwrap(), "None");
}

#[test]
fn no_security_is_never_taken_unless_written() {
    let said = of(&["None", "Basic128Rsa15/SignAndEncrypt"], Security::Strongest).unwrap_err();
    assert_eq!(
        said,
        "the server offers only None and Basic128Rsa15/SignAndEncrypt, which is not safe: switch \
         Basic256Sha256/SignAndEncrypt on in the server; or, where nobody else can reach this network and the server \
         offers None, write security = \"None\""
    );
    // A policy without a mode, and a mode without a policy.
    let mut odd = at("Basic256Sha256", &anybody());
    assert!(
        choose(
            std::slice::from_ref(&odd),
            &link(Security::Strongest, Identity::Anonymous)
        )
        .is_err()
    );
    odd = at("None/SignAndEncrypt", &anybody());
    for security in [Security::Strongest, Security::None] {
        assert!(choose(std::slice::from_ref(&odd), &link(security, Identity::Anonymous)).is_err());
    }
}

#[test]
fn what_is_not_offered_is_said_with_what_is() {
    let wanted = exactly(SecurityPolicy::Aes256Sha256RsaPss, SecurityMode::SignAndEncrypt);
    assert_eq!(
        of(&["None", "Basic256Sha256/Sign", "None"], wanted).unwrap_err(),
        "the server does not offer Aes256Sha256RsaPss/SignAndEncrypt; it offers None and Basic256Sha256/Sign: write \
         security = \"…\" with one of these, or switch Aes256Sha256RsaPss/SignAndEncrypt on in the server"
    );
    let said = of(&["Basic256Sha256/Sign"], Security::None).unwrap_err();
    assert!(
        said.starts_with("the server does not offer None; it offers Basic256Sha256/Sign:"),
        "{said}"
    );
}

#[test]
fn only_the_binary_protocol_counts() {
    let mut web = at("Basic256Sha256/SignAndEncrypt", &anybody());
    web.transport_profile_uri = "http://opcfoundation.org/UA-Profile/Transport/https-uabinary".into();
    web.endpoint_url = "https://plc7/".into();
    let link = link(Security::Strongest, Identity::Anonymous);
    let said = choose(std::slice::from_ref(&web), &link).unwrap_err().to_string();
    assert!(
        said.starts_with("the server offers no opc.tcp endpoint (it offers https://plc7/)"),
        "{said}"
    );
    let said = choose(&[], &link).unwrap_err().to_string();
    assert!(said.contains("(it offers nothing)"), "{said}");
    let mut plain = at("Basic256Sha256/Sign", &anybody());
    plain.transport_profile_uri = "".into();
    assert_eq!(choose(&[web, plain], &link).unwrap().word(), "Basic256Sha256/Sign");
}

#[test]
fn of_equal_ones_the_address_of_the_profile_wins_else_the_first() {
    let mut other = at("Basic256Sha256/Sign", &anybody());
    other.endpoint_url = "OPC.TCP://192.0.2.7:4840/".into();
    let first = at("Basic256Sha256/Sign", &anybody());
    let link = link(Security::Strongest, Identity::Anonymous);
    let urls = |offered: &[EndpointDescription]| choose(offered, &link).unwrap().endpoint.endpoint_url;
    assert_eq!(urls(&[first.clone(), other.clone()]), other.endpoint_url);
    let mut second = first.clone();
    second.endpoint_url = "opc.tcp://plc7.plant.example:4840".into();
    assert_eq!(urls(&[first.clone(), second]), first.endpoint_url);
}

#[test]
fn an_endpoint_where_the_identity_cannot_log_in_is_passed_over() {
    let offered = [
        at("Aes256Sha256RsaPss/SignAndEncrypt", &anybody()),
        at("Basic256Sha256/SignAndEncrypt", &everybody()),
    ];
    let chosen = |identity| choose(&offered, &link(Security::Strongest, identity)).unwrap();
    assert_eq!(chosen(Identity::Anonymous).word(), "Aes256Sha256RsaPss/SignAndEncrypt");
    for (identity, kind) in [
        (user(), UserTokenType::UserName),
        (certificate(), UserTokenType::Certificate),
    ] {
        let chosen = chosen(identity);
        assert_eq!(
            (chosen.word().as_str(), chosen.token.token_type),
            ("Basic256Sha256/SignAndEncrypt", kind)
        );
    }
    let said = choose(&offered[..1], &link(Security::Strongest, user()))
        .unwrap_err()
        .to_string();
    assert_eq!(
        said,
        "the server takes no log-in by username and password at Aes256Sha256RsaPss/SignAndEncrypt; it takes anonymous: \
         switch user names on in the server, or log in as it wants"
    );
    let closed = [at("Basic256Sha256/Sign", &everybody()[1..])];
    let said = choose(&closed, &link(Security::Strongest, Identity::Anonymous))
        .unwrap_err()
        .to_string();
    assert!(said.contains("no log-in without a name at Basic256Sha256/Sign; it takes username and password and certificate: write username"), "{said}");
    // Who lists no way takes anybody.
    let mut silent = at("Basic256Sha256/Sign", &[]);
    for ways in [Some(Vec::new()), None] {
        silent.user_identity_tokens = ways;
        let chosen = choose(
            std::slice::from_ref(&silent),
            &link(Security::Strongest, Identity::Anonymous),
        )
        .unwrap();
        assert_eq!(chosen.token.token_type, UserTokenType::Anonymous);
        assert!(choose(std::slice::from_ref(&silent), &link(Security::Strongest, user())).is_err());
    }
}

#[test]
fn a_password_is_never_sent_in_clear_text() {
    let with = |word: &str, policies: &[&str]| {
        let ways = policies
            .iter()
            .map(|policy| way(UserTokenType::UserName, policy))
            .collect::<Vec<_>>();
        let security = if word == "None" {
            Security::None
        } else {
            Security::Strongest
        };
        choose(&[at(word, &ways)], &link(security, user()))
    };
    let sha256 = SecurityPolicy::Basic256Sha256.uri();
    let pss = SecurityPolicy::Aes256Sha256RsaPss.uri();
    for (word, policies) in [
        ("None", &[""][..]),
        ("None", &[NONE]),
        ("None", &[DEPRECATED]),
        ("Basic256Sha256/Sign", &[NONE]),
        ("Basic256Sha256/SignAndEncrypt", &[DEPRECATED]),
    ] {
        let refusal = with(word, policies).unwrap_err();
        assert_eq!(refusal, Refusal::ClearText(word.to_owned()), "{word} {policies:?}");
    }
    let said = with("None", &[""]).unwrap_err().to_string();
    assert!(
        said.starts_with("the password would travel in clear text at None, so it is not sent:"),
        "{said}"
    );
    for (word, policies, taken) in [
        ("Basic256Sha256/Sign", &[""][..], ""),
        ("Basic256Sha256/SignAndEncrypt", &[NONE], NONE),
        ("Basic256Sha256/Sign", &[NONE, "", pss, sha256], pss),
        ("None", &["", sha256, pss], pss),
    ] {
        let chosen = with(word, policies).unwrap();
        assert_eq!(chosen.token.security_policy_uri.as_ref(), taken, "{word} {policies:?}");
        assert!(chosen.needs_trust());
    }
}

#[test]
fn a_certificate_without_a_signature_proves_nothing() {
    let bare = [at("None", &[way(UserTokenType::Certificate, "")])];
    let said = choose(&bare, &link(Security::None, certificate()))
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("the server takes no log-in by certificate at None; it takes certificate:"),
        "{said}"
    );
    let signed = [at(
        "None",
        &[way(UserTokenType::Certificate, SecurityPolicy::Basic256Sha256.uri())],
    )];
    let chosen = choose(&signed, &link(Security::None, certificate())).unwrap();
    assert!(!chosen.needs_trust());
    assert_eq!(token_policy(chosen.policy, &chosen.token), Policy::Basic256Sha256);
}

#[test]
fn the_chosen_endpoint_has_only_the_servers_own_certificate() {
    let root = authority("Plant", None).make(key("authority"), None).unwrap();
    let own = server().make(key("server"), Some((&root, key("authority")))).unwrap();
    let chain = [own.der(), root.der()].concat();
    let mut endpoint = at("Basic256Sha256/Sign", &anybody());
    endpoint.server_certificate = ByteString::from(chain.as_slice());
    let link = link(Security::Strongest, Identity::Anonymous);
    let chosen = choose(std::slice::from_ref(&endpoint), &link).unwrap();
    assert_eq!(chosen.chain, chain);
    assert_eq!(chosen.endpoint.server_certificate.as_ref(), own.der());
    assert!(chosen.has_certificate(&ByteString::from(own.der())));
    assert!(chosen.has_certificate(&ByteString::from(chain.as_slice())));
    assert!(!chosen.has_certificate(&ByteString::from(root.der())));
    assert!(!chosen.has_certificate(&ByteString::null()));
    assert!(chosen.needs_trust());
    // Bytes that are none stay as they are, for the judge.
    endpoint.server_certificate = ByteString::from(&[0x30, 0x82, 0xff][..]);
    assert_eq!(choose(&[endpoint], &link).unwrap().chain, [0x30, 0x82, 0xff]);
}

#[test]
fn a_list_that_was_weakened_on_its_way_is_noticed() {
    let strong = at("Aes256Sha256RsaPss/SignAndEncrypt", &anybody());
    let weak = at("Basic256Sha256/Sign", &anybody());
    let link = link(Security::Strongest, Identity::Anonymous);
    let chosen = choose(std::slice::from_ref(&weak), &link).unwrap();
    let said = confirm(&chosen, &[weak.clone(), strong.clone()], &link)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("it offers Aes256Sha256RsaPss/SignAndEncrypt, but showed only Basic256Sha256/Sign before"),
        "{said}"
    );
    assert_eq!(confirm(&chosen, std::slice::from_ref(&weak), &link), Ok(()));
    assert_eq!(confirm(&chosen, &[], &link), Ok(()));
    let chosen = choose(std::slice::from_ref(&strong), &link).unwrap();
    assert_eq!(confirm(&chosen, &[weak], &link), Ok(()));
}
