//! `[connection]` of OPC UA: address, security, trust, identity, subscriptions. Owns defaults and what cannot go together;
//! connects to nothing and reads no secret.

use super::connection::{duration, host_port, is_true};
use super::{FileFault, Files};
use crate::diagnostic::tree::{Key, Node, Table, parse_duration};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::plan::{Identity, OpcuaLink, Security, SecurityMode, SecurityPolicy, Trust};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Port of OPC UA (IANA).
const PORT: u16 = 4840;
const SCHEME: &str = "opc.tcp://";
const TIMEOUT: Duration = Duration::from_secs(5);
const PUBLISHING: Duration = Duration::from_millis(100);
const QUEUE: u32 = 100;

/// Keys whose text is the path of a file, from the profile that says it.
const FILES: &[&str] = &["trust_file", "password_file", "cert_file", "key_file"];

/// Policies that were taken out of the specification because they are not safe any more (OPC 10000-7, 6.6).
const UNSAFE: &[&str] = &["basic128rsa15", "basic256"];

/// Compiles the settings of a server.
pub(super) fn compile(keys: &Table, out: &mut Diagnostics) -> OpcuaLink {
    let sampling = keys.get("sampling").and_then(Node::as_text).and_then(parse_duration);
    OpcuaLink {
        address: keys
            .get("address")
            .and_then(|node| address(node.as_text()?, &node.place, out))
            .unwrap_or_default(),
        security: keys
            .get("security")
            .and_then(|node| security(node.as_text()?, &node.place, out))
            .unwrap_or_default(),
        trust: trust(keys, out),
        identity: identity(keys, out),
        timeout: duration(keys, "timeout", TIMEOUT),
        publishing: duration(keys, "publishing", PUBLISHING),
        sampling,
        queue: keys
            .get("queue")
            .and_then(Node::as_integer)
            .and_then(|queue| u32::try_from(queue).ok())
            .unwrap_or(QUEUE),
        polled: polled(keys, out),
    }
}

/// `opc.tcp://host[:port][/path]`, the port filled in; also `host`.
fn address(text: &str, place: &Place, out: &mut Diagnostics) -> Option<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("opc.tcp", text));
    if !scheme.eq_ignore_ascii_case("opc.tcp") {
        out.push(
            Diagnostic::error(place, format!("`{text}` is no address of an OPC UA server"))
                .label(format!("{scheme} is not spoken"))
                .help("write opc.tcp://host:4840, its path behind it where the server has one"),
        );
        return None;
    }
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = host_port(host, "an OPC UA server", Some(PORT), place, out)?;
    Some(format!("{SCHEME}{host}{path}"))
}

/// A word without what people write differently.
fn plain(word: &str) -> String {
    word.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn security(text: &str, place: &Place, out: &mut Diagnostics) -> Option<Security> {
    match plain(text).as_str() {
        "none" => return Some(Security::None),
        "" => {
            out.push(
                Diagnostic::error(place, "`security` is empty").help(
                    "leave it out: then it is the strongest that the server offers; what is neither signed nor encrypted must be written: \"None\"",
                ),
            );
            return None;
        }
        _ => {}
    }
    let (policy, mode) = match text.rsplit_once('/') {
        // A policy may be written as its URI.
        Some((policy, mode)) if !mode.contains('#') => (policy, Some(mode)),
        _ => (text, None),
    };
    let policy = policy.rsplit_once('#').map_or(policy, |(_, name)| name);
    let known: Vec<&str> = SecurityPolicy::ALL.iter().rev().map(|policy| policy.word()).collect();
    let Some(found) = SecurityPolicy::ALL
        .into_iter()
        .find(|known| plain(known.word()) == plain(policy))
    else {
        let fault = Diagnostic::error(place, format!("`{policy}` is no security policy"));
        out.push(if UNSAFE.contains(&plain(policy).as_str()) {
            fault.label("not safe any more").help(format!(
                "write one of {}, or leave `security` out: then it is the strongest that the server offers",
                known.join(", ")
            ))
        } else {
            fault.maybe_help(meant(policy, &known))
        });
        return None;
    };
    let modes = [SecurityMode::SignAndEncrypt, SecurityMode::Sign];
    let Some(mode) = mode else {
        out.push(
            Diagnostic::error(place, format!("`{text}` does not say whether messages are encrypted"))
                .help(format!("write \"{}/SignAndEncrypt\", or …/Sign", found.word())),
        );
        return None;
    };
    let Some(mode) = modes.into_iter().find(|known| plain(known.word()) == plain(mode)) else {
        let fault = Diagnostic::error(place, format!("`{mode}` is no security mode"));
        out.push(if plain(mode) == "none" {
            fault.help("of what is neither signed nor encrypted write \"None\" alone")
        } else {
            fault.maybe_help(meant(mode, &modes.map(SecurityMode::word)))
        });
        return None;
    };
    Some(Security::Exactly(found, mode))
}

fn trust(keys: &Table, out: &mut Diagnostics) -> Trust {
    let mut found = Trust {
        pins: Vec::new(),
        file: file(keys, "trust_file"),
    };
    for node in keys.get("trust").map(Node::one_or_more).unwrap_or_default() {
        let Some(text) = node.as_text() else { continue };
        match pin(text) {
            Ok(pin) => found.pins.push(pin),
            Err(fault) => out.push(
                Diagnostic::error(&node.place, format!("`{text}` is no thumbprint of a certificate"))
                    .label(fault)
                    .help("write \"sha256:\" and 64 hexadecimal digits; `lineside probe` shows the server's, or name its certificate: trust_file = \"server.pem\""),
            ),
        }
    }
    found
}

/// 32 bytes in hexadecimal, with or without colons or blanks; or what is wrong with them.
fn pin(text: &str) -> Result<[u8; 32], String> {
    let digits = match text.split_once(':') {
        Some((kind, digits)) if kind.eq_ignore_ascii_case("sha256") => digits,
        Some((kind, _)) if ["sha1", "md5", "sha512"].contains(&kind.to_ascii_lowercase().as_str()) => {
            return Err(format!("{kind} is not taken: this must be SHA-256"));
        }
        _ => text,
    };
    let digits: Vec<char> = digits
        .chars()
        .filter(|c| !matches!(c, ':' | '-') && !c.is_whitespace())
        .collect();
    if let Some(odd) = digits.iter().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("`{odd}` is no hexadecimal digit"));
    }
    let mut out = [0; 32];
    if digits.len() != 64 {
        return Err(match digits.len() {
            40 => "20 bytes: that is a SHA-1 thumbprint, this must be SHA-256".to_owned(),
            other => format!("{other} digits, not 64"),
        });
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        let value = pair.iter().filter_map(|digit| digit.to_digit(16));
        *byte = value.fold(0, |all, digit| all << 4 | u8::try_from(digit).unwrap_or(0));
    }
    Ok(out)
}

fn identity(keys: &Table, out: &mut Diagnostics) -> Identity {
    let entry = |key: &str| keys.entry(key).map(|(key, _)| key);
    let user = entry("username").or_else(|| entry("password_file"));
    let certificate = entry("cert_file").or_else(|| entry("key_file"));
    if let (Some(user), Some(certificate)) = (user, certificate) {
        out.push(
            Diagnostic::error(
                &certificate.place,
                format!("`{}` and `{}` are two users", user.name, certificate.name),
            )
            .related(&user.place, "the other")
            .help(
                "a user shows a password or a certificate: take one of them out, or `remove` it where it is inherited",
            ),
        );
        return Identity::Anonymous;
    }
    let alone = |key: Option<&Key>, other: &str, help: &str, out: &mut Diagnostics| {
        if let Some(key) = key {
            out.push(Diagnostic::error(&key.place, format!("`{}` needs `{other}`", key.name)).help(help));
        }
        Identity::Anonymous
    };
    match (
        keys.get("username").and_then(Node::as_text),
        file(keys, "password_file"),
    ) {
        (Some(name), Some(password_file)) => {
            return Identity::User {
                name: name.to_owned(),
                password_file,
            };
        }
        // What is wrong was told.
        (Some(_), None) if keys.get("password").is_some() => return Identity::Anonymous,
        (Some(_), None) => {
            let help = "the password stands in a file of its own: password_file = \"st10.password\"";
            return alone(entry("username"), "password_file", help, out);
        }
        (None, Some(_)) => {
            let help = "say whose password it is: username = \"gateway\"";
            return alone(entry("password_file"), "username", help, out);
        }
        (None, None) => {}
    }
    match (file(keys, "cert_file"), file(keys, "key_file")) {
        (Some(cert_file), Some(key_file)) => Identity::Certificate { cert_file, key_file },
        (Some(_), None) => {
            let help = "the private key of the certificate: key_file = \"gateway.key\"";
            alone(entry("cert_file"), "key_file", help, out)
        }
        (None, Some(_)) => {
            let help = "the certificate of the key: cert_file = \"gateway.pem\"";
            alone(entry("key_file"), "cert_file", help, out)
        }
        (None, None) => Identity::Anonymous,
    }
}

fn polled(keys: &Table, out: &mut Diagnostics) -> bool {
    let polled = is_true(keys, "polled");
    for key in ["sampling", "queue"] {
        if let Some((key, _)) = keys.entry(key).filter(|_| polled) {
            out.push(
                Diagnostic::warning(
                    &key.place,
                    format!("`{}` means nothing where values are polled", key.name),
                )
                .help("how often is said by `publishing`; take it out"),
            );
        }
    }
    polled
}

/// The path that a key names, from the folder of the file that says so.
fn file(keys: &Table, key: &str) -> Option<PathBuf> {
    let node = keys.get(key)?;
    Some(beside(&node.place, node.as_text()?))
}

/// A path from the folder of the file that names it.
pub(super) fn beside(place: &Place, text: &str) -> PathBuf {
    let folder = Path::new(&place.source.path).parent().unwrap_or(Path::new(""));
    folder.join(text)
}

/// Files that [connection] names must be there; what is in them is looked at when they are needed.
pub(super) fn files(connection: Option<&Node>, files: &dyn Files, out: &mut Diagnostics) {
    let Some(keys) = connection.and_then(Node::as_table) else {
        return;
    };
    for key in FILES {
        let Some((text, place)) = keys.get(key).and_then(|node| Some((node.as_text()?, &node.place))) else {
            continue;
        };
        let path = beside(place, text);
        if matches!(files.read(&path), Err(FileFault::Missing)) {
            out.push(
                Diagnostic::error(place, format!("there is no file `{text}`")).help(format!(
                    "it is looked for at {}; paths are relative to the file that says them",
                    path.display()
                )),
            );
        }
    }
}
