//! Which of the endpoints that a server offers is used, and how the gateway logs in there.
//!
//! Owns the order of security, and what is never done: no security where it was not written, no password in clear text. Pure. What is dialled
//! is always the profile's address; an endpoint's URL is only what is asked for there.

use super::certificate;
use crate::model::plan::{Identity, OpcuaLink, Security, SecurityMode, SecurityPolicy};
use opcua::crypto::SecurityPolicy as Policy;
use opcua::types::{ByteString, EndpointDescription, MessageSecurityMode, UserTokenPolicy, UserTokenType};

/// OPC UA TCP with binary encoding (OPC 10000-7).
const BINARY: &str = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary";
/// No security (OPC 10000-7).
const NONE: &str = "http://opcfoundation.org/UA/SecurityPolicy#None";

/// Why no endpoint is used. Each says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server has no binary endpoint.
    #[error(
        "the server offers no opc.tcp endpoint (it offers {0}): the address may be that of a discovery server; write the address of the device's own server"
    )]
    NotBinary(String),
    /// Not what the profile wants.
    #[error(
        "the server does not offer {wanted}; it offers {offered}: write security = \"…\" with one of these, or switch {wanted} on in the server"
    )]
    NotOffered {
        /// What was wanted.
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// There is nothing but endpoints without security, or with policies that are not safe any more.
    #[error(
        "the server offers only {offered}, which is not safe: switch {best} on in the server; or, where nobody else can reach this network and the server offers None, write security = \"None\"",
        best = "Basic256Sha256/SignAndEncrypt"
    )]
    NothingSafe {
        /// What there is.
        offered: String,
    },
    /// Nobody can log in this way.
    #[error("the server takes no log-in {how} at {endpoint}; it takes {taken}: {advice}")]
    LogIn {
        /// In words.
        how: &'static str,
        /// Where.
        endpoint: String,
        /// What it takes.
        taken: String,
        /// What to do.
        advice: &'static str,
    },
    /// A password would be readable.
    #[error(
        "the password would travel in clear text at {0}, so it is not sent: switch SignAndEncrypt on in the server (or a user token policy Basic256Sha256), or log in without username"
    )]
    ClearText(String),
    /// What was asked for without security is not what the server says with it.
    #[error(
        "the server says on the secured connection that it offers {stronger}, but showed only {used} before: somebody between may have changed its answer; write security = \"{stronger}\""
    )]
    Downgraded {
        /// What it offers.
        stronger: String,
        /// What was used.
        used: String,
    },
}

/// The endpoint that is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// As the server described it, but `server_certificate` is only the server's own: the crate cannot read a chain.
    pub endpoint: EndpointDescription,
    /// The server's certificate as it came, perhaps with those of its authorities behind it: for [`super::trust::judge`].
    pub chain: Vec<u8>,
    /// Policy of the channel.
    pub policy: Policy,
    /// Mode of the channel.
    pub mode: MessageSecurityMode,
    /// How the gateway logs in.
    pub token: UserTokenPolicy,
}

impl Chosen {
    /// Whether the server's certificate has to be trusted: the channel is secured, or a password is encrypted for it.
    #[must_use]
    pub fn needs_trust(&self) -> bool {
        self.policy != Policy::None || self.token.token_type == UserTokenType::UserName
    }

    /// Whether this is the chosen server's certificate, with or without a chain behind it.
    #[must_use]
    pub fn has_certificate(&self, certificate: &ByteString) -> bool {
        leaf(certificate.as_ref()) == self.endpoint.server_certificate.as_ref()
    }

    /// Policy and mode, as profiles write them.
    #[must_use]
    pub fn word(&self) -> String {
        word(&self.endpoint)
    }
}

/// Chooses the endpoint: the strongest policy first, encrypted before signed only, at which the identity can log in.
///
/// Of several that are the same, the one whose URL is the profile's address, else the first. Never one without security unless that was
/// written.
pub fn choose(offered: &[EndpointDescription], link: &OpcuaLink) -> Result<Chosen, Refusal> {
    let binary = offered
        .iter()
        .filter(|endpoint| is_binary(endpoint))
        .collect::<Vec<_>>();
    if binary.is_empty() {
        let urls = offered
            .iter()
            .map(|endpoint| certificate::shown(endpoint.endpoint_url.as_ref()));
        return Err(Refusal::NotBinary(listed(urls)));
    }
    let mut fit = binary
        .iter()
        .filter_map(|endpoint| Some((rank(endpoint, link.security)?, *endpoint)))
        .collect::<Vec<_>>();
    // Stable: the server's order holds among equals.
    fit.sort_by_key(|(rank, endpoint)| (std::cmp::Reverse(*rank), !same_address(endpoint, &link.address)));
    let words = || listed(binary.iter().map(|endpoint| word(endpoint)));
    let mut first = None;
    for (_, endpoint) in &fit {
        match token(endpoint, &link.identity) {
            Ok(token) => return Ok(chosen(endpoint, token)),
            Err(refusal) => first = first.or(Some(refusal)),
        }
    }
    Err(match (first, link.security) {
        (Some(refusal), _) => refusal,
        (None, Security::Strongest) => Refusal::NothingSafe { offered: words() },
        (None, Security::Exactly(policy, mode)) => Refusal::NotOffered {
            wanted: format!("{}/{}", policy.word(), mode.word()),
            offered: words(),
        },
        (None, Security::None) => Refusal::NotOffered {
            wanted: "None".to_owned(),
            offered: words(),
        },
    })
}

/// Looks at the endpoints again that the server repeats in its answer to CreateSession, which is signed: the first list may have been
/// changed on its way to make the gateway use something weaker (OPC 10000-4, 5.7.2: the client verifies the list).
///
/// A server that repeats none is taken at its word.
pub fn confirm(chosen: &Chosen, repeated: &[EndpointDescription], link: &OpcuaLink) -> Result<(), Refusal> {
    let Ok(again) = choose(repeated, link) else {
        return Ok(());
    };
    if rank(&again.endpoint, link.security) > rank(&chosen.endpoint, link.security) {
        return Err(Refusal::Downgraded {
            stronger: again.word(),
            used: chosen.word(),
        });
    }
    Ok(())
}

/// The policy that protects what logs in: the token's own, else the channel's (OPC 10000-4, 7.42).
#[must_use]
pub fn token_policy(channel: Policy, token: &UserTokenPolicy) -> Policy {
    match token.security_policy_uri.as_ref() {
        "" => channel,
        uri => policy(uri).unwrap_or(Policy::Unknown),
    }
}

/// The first certificate of a chain; all of it where that cannot be told.
pub(super) fn leaf(chain: &[u8]) -> &[u8] {
    use x509_cert::der::Reader;
    let first = x509_cert::der::SliceReader::new(chain).and_then(|mut reader| reader.tlv_bytes());
    first.unwrap_or(chain)
}

fn chosen(endpoint: &EndpointDescription, token: UserTokenPolicy) -> Chosen {
    let chain = endpoint.server_certificate.as_ref().to_vec();
    let mut endpoint = endpoint.clone();
    if !chain.is_empty() {
        endpoint.server_certificate = ByteString::from(leaf(&chain));
    }
    Chosen {
        policy: policy(endpoint.security_policy_uri.as_ref()).unwrap_or(Policy::Unknown),
        mode: endpoint.security_mode,
        endpoint,
        chain,
        token,
    }
}

fn is_binary(endpoint: &EndpointDescription) -> bool {
    let (profile, url) = (endpoint.transport_profile_uri.as_ref(), endpoint.endpoint_url.as_ref());
    profile == BINARY || (profile.is_empty() && url.starts_with("opc.tcp:"))
}

/// Without the crate's lookup, which writes an error into the log for each policy that it does not know.
fn policy(uri: &str) -> Option<Policy> {
    if uri == NONE {
        return Some(Policy::None);
    }
    known(uri).map(|policy| match policy {
        SecurityPolicy::Basic256Sha256 => Policy::Basic256Sha256,
        SecurityPolicy::Aes128Sha256RsaOaep => Policy::Aes128Sha256RsaOaep,
        SecurityPolicy::Aes256Sha256RsaPss => Policy::Aes256Sha256RsaPss,
    })
}

fn known(uri: &str) -> Option<SecurityPolicy> {
    SecurityPolicy::ALL.into_iter().find(|policy| policy.uri() == uri)
}

fn mode(endpoint: &EndpointDescription) -> Option<SecurityMode> {
    match endpoint.security_mode {
        MessageSecurityMode::Sign => Some(SecurityMode::Sign),
        MessageSecurityMode::SignAndEncrypt => Some(SecurityMode::SignAndEncrypt),
        _ => None,
    }
}

/// How good it is; `None`: it is not wanted.
fn rank(endpoint: &EndpointDescription, wanted: Security) -> Option<(Option<SecurityPolicy>, Option<SecurityMode>)> {
    let uri = endpoint.security_policy_uri.as_ref();
    let (policy, mode) = (known(uri), mode(endpoint));
    let fits = match wanted {
        Security::Strongest => policy.is_some() && mode.is_some(),
        Security::Exactly(a, b) => policy == Some(a) && mode == Some(b),
        Security::None => uri == NONE && endpoint.security_mode == MessageSecurityMode::None,
    };
    fits.then_some((policy, mode))
}

/// Policy and mode as profiles write them: `Basic256Sha256/Sign`, `None`.
fn word(endpoint: &EndpointDescription) -> String {
    let uri = endpoint.security_policy_uri.as_ref();
    let name = match known(uri) {
        Some(policy) => policy.word().to_owned(),
        None => match uri.rsplit_once('#') {
            Some((_, name)) => certificate::shown(name),
            None => certificate::shown(uri),
        },
    };
    match endpoint.security_mode {
        MessageSecurityMode::Sign => format!("{name}/Sign"),
        MessageSecurityMode::SignAndEncrypt => format!("{name}/SignAndEncrypt"),
        _ => name,
    }
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let mut once = Vec::new();
    for word in words.take(100) {
        if !once.contains(&word) {
            once.push(word);
        }
    }
    match once.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

fn same_address(endpoint: &EndpointDescription, address: &str) -> bool {
    let tidy = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
    tidy(endpoint.endpoint_url.as_ref()) == tidy(address)
}

/// How the identity logs in at this endpoint: of several ways the one that is protected best.
fn token(endpoint: &EndpointDescription, identity: &Identity) -> Result<UserTokenPolicy, Refusal> {
    let (kind, how, advice) = match identity {
        Identity::Anonymous => (
            UserTokenType::Anonymous,
            "without a name",
            "write username and password_file, or cert_file and key_file",
        ),
        Identity::User { .. } => (
            UserTokenType::UserName,
            "by username and password",
            "switch user names on in the server, or log in as it wants",
        ),
        Identity::Certificate { .. } => (
            UserTokenType::Certificate,
            "by certificate",
            "switch user certificates on in the server, or log in as it wants",
        ),
    };
    let offered = endpoint.user_identity_tokens.as_deref().unwrap_or_default();
    // Whoever says nothing of log-ins takes anybody (OPC 10000-4, 5.7.3: no token is an anonymous one).
    if offered.is_empty() && kind == UserTokenType::Anonymous {
        return Ok(UserTokenPolicy {
            token_type: UserTokenType::Anonymous,
            ..UserTokenPolicy::default()
        });
    }
    let channel = policy(endpoint.security_policy_uri.as_ref()).unwrap_or(Policy::Unknown);
    let of_kind = offered
        .iter()
        .filter(|token| token.token_type == kind)
        .collect::<Vec<_>>();
    let best = of_kind
        .iter()
        .filter_map(|token| Some((protection(channel, endpoint.security_mode, token)?, *token)))
        .rev()
        .max_by_key(|(protection, _)| *protection);
    match best {
        Some((_, token)) => Ok(token.clone()),
        None if !of_kind.is_empty() && kind == UserTokenType::UserName => Err(Refusal::ClearText(word(endpoint))),
        None => Err(Refusal::LogIn {
            how,
            endpoint: word(endpoint),
            taken: listed(offered.iter().map(|token| told(token.token_type))),
            advice,
        }),
    }
}

fn told(kind: UserTokenType) -> String {
    match kind {
        UserTokenType::Anonymous => "anonymous",
        UserTokenType::UserName => "username and password",
        UserTokenType::Certificate => "certificate",
        UserTokenType::IssuedToken => "issued tokens",
    }
    .to_owned()
}

/// How well a log-in is protected, the strongest largest; `None`: not enough, or by something that is not built.
fn protection(channel: Policy, mode: MessageSecurityMode, token: &UserTokenPolicy) -> Option<u8> {
    let with = match token_policy(channel, token) {
        Policy::Basic256Sha256 => Some(2),
        Policy::Aes128Sha256RsaOaep => Some(3),
        Policy::Aes256Sha256RsaPss => Some(4),
        Policy::None => None,
        _ => return (token.token_type == UserTokenType::Anonymous).then_some(0),
    };
    match token.token_type {
        UserTokenType::Anonymous => Some(with.unwrap_or(1)),
        // In an encrypted channel a password may stand as it is (OPC 10000-4, 7.41).
        UserTokenType::UserName => {
            with.or((channel != Policy::None && mode == MessageSecurityMode::SignAndEncrypt).then_some(1))
        }
        // Without a policy there is no signature, and a certificate alone proves nothing.
        UserTokenType::Certificate => with,
        UserTokenType::IssuedToken => None,
    }
}

#[cfg(test)]
mod tests;
