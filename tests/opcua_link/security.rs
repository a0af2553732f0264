//! Policies, identities, and certificates of servers.

use crate::events::{press, pressed, pressing, raise};
use crate::rig::*;
use lineside::device::opcua::simulator::{Login, Own, Setup};
use lineside::model::plan::*;
use lineside::model::sample::{LinkState, Report};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// A folder with a user's certificate and a password.
fn person() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        Own::within(folder.path()).unwrap();
        std::fs::write(folder.path().join("password"), "secret\n").unwrap();
        folder
    });
    folder.path().to_owned()
}

fn guarded() -> Setup {
    let mut setup = plant();
    setup.login = Login {
        anonymous: true,
        users: [("gateway".to_owned(), Some("secret".to_owned()))].into(),
        certificates: true,
    };
    setup
}

fn user(file: PathBuf) -> Identity {
    Identity::User {
        name: "gateway".to_owned(),
        password_file: file,
    }
}

pub(crate) fn identities() -> [Identity; 3] {
    let folder = person();
    [
        Identity::Anonymous,
        user(folder.join("password")),
        Identity::Certificate {
            cert_file: folder.join("own/cert.der"),
            key_file: folder.join("private/private.pem"),
        },
    ]
}

/// The link with this security and identity, the server's certificate pinned.
fn secured(rig: &Rig, security: Security, identity: Identity) -> SlotPlan {
    let mut plan = counter(&rig.address);
    let link = link_of(&mut plan);
    link.security = security;
    link.identity = identity;
    link.trust.pins = vec![rig.simulator.own().pin()];
    link.timeout = Duration::from_secs(5);
    plan
}

async fn goes(rig: &mut Rig, plan: SlotPlan) {
    let shown = format!("{:?}", plan.link);
    rig.run(vec![plan]);
    loop {
        let report = rig.next().await;
        match rig.settle(report) {
            Some(Report::Link {
                state: LinkState::Online,
                ..
            }) => break,
            Some(Report::Link { reason, .. }) => panic!("{reason} with {shown}"),
            _ => {}
        }
    }
    assert!(rig.beat().await.is_empty());
    rig.halt().await;
}

async fn policy(policy: SecurityPolicy) {
    let mut rig = Rig::server(guarded()).await;
    for mode in [SecurityMode::Sign, SecurityMode::SignAndEncrypt] {
        for identity in identities() {
            let plan = secured(&rig, Security::Exactly(policy, mode), identity);
            goes(&mut rig, plan).await;
        }
    }
    let counts = rig.simulator.counts();
    assert_eq!((counts.logins, counts.refused), (6, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn basic256_sha256_lets_each_identity_in() {
    policy(SecurityPolicy::Basic256Sha256).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aes128_sha256_lets_each_identity_in() {
    policy(SecurityPolicy::Aes128Sha256RsaOaep).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aes256_sha256_lets_each_identity_in() {
    policy(SecurityPolicy::Aes256Sha256RsaPss).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_security_nobody_and_certificates_are_let_in() {
    let mut rig = Rig::server(guarded()).await;
    let [nobody, _, certificate] = identities();
    for identity in [nobody, certificate] {
        let plan = secured(&rig, Security::None, identity);
        goes(&mut rig, plan).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secured_session_goes_on_over_another_connection() {
    let mut setup = press();
    setup.login = guarded().login;
    let mut rig = Rig::server(setup).await;
    for (at, identity) in identities().into_iter().enumerate() {
        let mut plan = pressing("a", &rig.address);
        let of = secured(&rig, Security::Strongest, identity);
        plan.link = of.link;
        rig.run(vec![plan]);
        rig.online().await;
        for round in 0..2 {
            rig.simulator.cut();
            let numbers: Vec<i64> = (1..=3)
                .map(|number| i64::try_from(at).unwrap() * 100 + round * 10 + number)
                .collect();
            for number in &numbers {
                raise(&rig, *number);
            }
            let samples = rig.samples(3).await;
            assert_eq!(samples.iter().map(pressed).collect::<Vec<_>>(), numbers);
        }
        let counts = rig.simulator.counts();
        assert_eq!((counts.sessions, counts.subscriptions, counts.refused), (1, 1, 0));
        assert_eq!(counts.logins, (u64::try_from(at).unwrap() + 1) * 3);
        rig.halt().await;
    }
}

pub(crate) async fn a_wrong_password_is_sent_once_and_a_mended_one_goes_on_by_itself() {
    let mut rig = Rig::server(guarded()).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "guess\n").unwrap();
    let plan = secured(&rig, Security::Strongest, user(file.clone()));
    rig.run(vec![plan]);
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(reason.contains("logging in"), "{reason}");
    // Two tries would be made in this time.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let counts = rig.simulator.counts();
    assert_eq!(
        (counts.refused, counts.logins, counts.sessions),
        (1, 0, 0),
        "an account could be locked"
    );
    std::fs::write(&file, "secret\n").unwrap();
    rig.online().await;
    let counts = rig.simulator.counts();
    assert_eq!((counts.refused, counts.logins), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_certificate_is_refused_with_the_line_that_trusts_it() {
    let mut rig = Rig::server(guarded()).await;
    let mut plan = secured(&rig, Security::Strongest, Identity::Anonymous);
    link_of(&mut plan).trust = Trust::default();
    rig.run(vec![plan.clone()]);
    let reason = rig.link("a", LinkState::Offline).await;
    let line = format!("write trust = \"{}\" in [connection]", rig.simulator.own().trust());
    assert!(reason.contains(&line) && reason.contains("is not trusted"), "{reason}");
    assert_eq!(rig.simulator.counts().sessions, 0);
    rig.halt().await;
    link_of(&mut plan).trust.pins = vec![rig.simulator.own().pin()];
    goes(&mut rig, plan).await;
    // Trusted by a file of certificates, too.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("trusted.der");
    std::fs::write(&file, rig.simulator.own().der()).unwrap();
    let mut plan = secured(&rig, Security::Strongest, Identity::Anonymous);
    link_of(&mut plan).trust = Trust {
        pins: Vec::new(),
        file: Some(file),
    };
    goes(&mut rig, plan).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_certificate_than_the_trusted_one_is_refused() {
    let mut rig = Rig::server(guarded()).await;
    let plan = secured(&rig, Security::Strongest, identities()[1].clone());
    rig.run(vec![plan]);
    rig.online().await;
    let other = tokio::task::spawn_blocking(Own::fresh).await.unwrap().unwrap();
    let line = format!("write trust = \"{}\" in [connection]", other.trust());
    let logins = rig.simulator.counts().logins;
    rig.simulator.change(|setup| setup.own = Some(other)).await;
    loop {
        let reason = rig.link("a", LinkState::Offline).await;
        if reason.contains("is another than the one that is trusted") {
            assert!(reason.contains(&line), "{reason}");
            break;
        }
    }
    assert_eq!(rig.simulator.counts().logins, logins, "it was told who the gateway is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_offers_no_security_is_not_taken_for_a_safe_one() {
    let mut rig = Rig::server(guarded()).await;
    let wanted = Security::Exactly(SecurityPolicy::Aes256Sha256RsaPss, SecurityMode::SignAndEncrypt);
    // None is offered, too, and not taken: only where it is written.
    let plan = secured(&rig, wanted, Identity::Anonymous);
    goes(&mut rig, plan).await;
    rig.simulator.change(|setup| setup.plain = false).await;
    let plan = secured(&rig, Security::None, Identity::Anonymous);
    rig.run(vec![plan]);
    let reason = rig.link("a", LinkState::Offline).await;
    assert!(reason.contains("offers"), "{reason}");
}
