//! Credentials: what the files of `[mqtt]` hold, read at each connect and when they change.
//!
//! Owns reading them, what is wrong with them, each in one sentence, and when they changed. Does not own what the
//! broker says to them ([`super::refusal`]). Reading blocks: not for an async worker.

mod certificate;
mod stamp;
mod witness;

pub(in crate::mqtt) use certificate::Facts;
pub(in crate::mqtt) use stamp::Stamp;
pub(in crate::mqtt) use witness::Witness;

use super::{Settings, Tls};
use crate::clock::Clock;
use crate::model::time;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where systems keep the certificates that they trust.
const SYSTEM: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// Bytes of a file at most.
const LARGEST: u64 = 4 << 20;
/// A certificate that ends within this time is told, in milliseconds.
const SOON: i64 = 30 * 24 * 3_600_000;
/// Mode bits that let everybody at a secret, or its group change it.
const TOO_OPEN: u32 = 0o027;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It works, but somebody should look.
    Warning,
    /// The broker will most likely refuse it.
    Doubtful,
    /// It cannot be used at all.
    Unusable,
}

/// Something to be said of a file of `[mqtt]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key of `[mqtt]` that names the file.
    pub key: &'static str,
    /// How bad it is.
    pub weight: Weight,
    /// What is found, naming the file.
    pub what: String,
    /// What to do.
    pub todo: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.todo)
    }
}

/// What the files held. Its `Debug` shows no secret.
pub(in crate::mqtt) struct Credentials {
    /// The password.
    pub(in crate::mqtt) password: Option<String>,
    /// Encryption, where the broker is reached by TLS.
    pub(in crate::mqtt) encryption: Option<Encryption>,
    /// Of all that was read.
    digest: [u8; 32],
    doubtful: bool,
}

/// How the connection is encrypted.
#[derive(Debug, Clone)]
pub(in crate::mqtt) struct Encryption {
    /// For rustls.
    pub(in crate::mqtt) config: Arc<ClientConfig>,
    /// Sees the handshake.
    pub(in crate::mqtt) witness: Arc<Witness>,
    /// What our own certificate says of itself.
    pub(in crate::mqtt) own: Option<Facts>,
    /// The files, for messages.
    pub(in crate::mqtt) files: Tls,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

/// What reading the files gave.
#[derive(Debug)]
pub(in crate::mqtt) struct Reading {
    /// `None`: something is unusable.
    pub(in crate::mqtt) credentials: Option<Credentials>,
    /// All that is to be said.
    pub(in crate::mqtt) findings: Vec<Finding>,
}

impl Reading {
    /// The worst finding of this weight or more.
    pub(in crate::mqtt) fn worst(&self, least: Weight) -> Option<&Finding> {
        let enough = self.findings.iter().filter(|finding| finding.weight >= least);
        // The first of the worst: what follows often follows from it.
        enough.rev().max_by_key(|finding| finding.weight)
    }
}

/// What is wrong with the files, without connecting to anything.
#[must_use]
pub fn inspect(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    read(settings, clock).findings
}

/// Reads the files.
pub(in crate::mqtt) fn read(settings: &Settings, clock: &Clock) -> Reading {
    let mut reader = Reader {
        now: clock.now().wall,
        findings: Vec::new(),
        digest: Sha256::new(),
    };
    let password = settings.password_file.as_ref().map(|path| reader.password(path));
    let encryption = settings.tls.as_ref().map(|tls| reader.encryption(tls, clock));
    let doubtful = reader.findings.iter().any(|finding| finding.weight == Weight::Doubtful);
    let credentials = match (password, encryption) {
        (Some(None), _) | (_, Some(None)) => None,
        (password, encryption) => Some(Credentials {
            password: password.flatten(),
            encryption: encryption.flatten(),
            digest: reader.digest.finalize().into(),
            doubtful,
        }),
    };
    Reading {
        credentials,
        findings: reader.findings,
    }
}

impl Credentials {
    /// Whether they are the same, to the byte.
    pub(in crate::mqtt) fn same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Why a connection that runs with these is better left as it is than made anew with `renewed`; `None`: it is
    /// not. Only what can be told without the broker.
    pub(in crate::mqtt) fn better_than(&self, renewed: &Self, clock: &Clock) -> Option<String> {
        let now = clock.now().wall;
        let (Some(running), Some(renewed_tls)) = (&self.encryption, &renewed.encryption) else {
            return None;
        };
        if renewed.doubtful
            && running.own.as_ref().is_none_or(|own| own.until >= now)
            && let Some(own) = &renewed_tls.own
            && (own.until < now || own.from > now)
        {
            let state = if own.until < now {
                "has expired"
            } else {
                "is not valid yet"
            };
            let file = shown(renewed_tls.files.cert_file.as_deref());
            return Some(format!(
                "the renewed cert_file `{file}` {state}, so the former certificate stays in use; put a valid one there"
            ));
        }
        let chain = running.witness.seen().chain?;
        let unknown = renewed_tls.witness.vouches_for(&chain, unix(now)).is_err();
        let known = running.witness.vouches_for(&chain, unix(now)).is_ok();
        (unknown && known).then(|| {
            let file = shown(renewed_tls.files.ca_file.as_deref());
            format!(
                "the renewed ca_file `{file}` does not hold the authority of the broker's present certificate, so the \
                 connection stays as it is; add that authority until the broker has its new certificate"
            )
        })
    }
}

impl Encryption {
    /// What is to be said of the broker's certificate of this connection: `None`, or that it ends soon.
    pub(in crate::mqtt) fn their_date(&self, now: i64) -> Option<String> {
        let facts = self.witness.seen().chain?.facts()?;
        (facts.until < now.saturating_add(SOON)).then(|| {
            format!(
                "the broker's certificate (`{}`, signed by `{}`) expires on {}; renew it at the broker",
                facts.subject,
                facts.issuer,
                day(facts.until)
            )
        })
    }
}

fn unix(wall: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(wall).unwrap_or(0)))
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| "of this machine".to_owned(), |path| path.display().to_string())
}

/// A day of wall time, for messages.
pub(in crate::mqtt) fn day(wall: i64) -> String {
    time::rfc3339(wall).chars().take(10).collect()
}

/// Hands our clock to rustls.
#[derive(Debug)]
struct Now(Clock);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(self.0.now().wall))
    }
}

struct Reader {
    now: i64,
    findings: Vec<Finding>,
    digest: Sha256,
}

impl Reader {
    fn say(
        &mut self,
        key: &'static str,
        path: &Path,
        weight: Weight,
        what: impl fmt::Display,
        todo: impl Into<String>,
    ) {
        self.findings.push(Finding {
            key,
            weight,
            what: format!("the {key} `{}` {what}", path.display()),
            todo: todo.into(),
        });
    }

    /// The content of a file that is there and has something in it.
    fn file(&mut self, key: &'static str, path: &Path) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
        let mut bad = |what: &str, todo: String| {
            self.say(key, path, Weight::Unusable, what, todo);
            None
        };
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return bad("is not there", format!("write it, or mend {key} in [mqtt]"));
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let todo = "give the user that lineside runs as the right to read it";
                return bad("may not be read", todo.to_owned());
            }
            Err(error) => {
                return bad(
                    &format!("cannot be read: {error}"),
                    format!("mend the file, or {key} in [mqtt]"),
                );
            }
            Ok(_) if bytes.iter().all(u8::is_ascii_whitespace) => {
                return bad("is empty", format!("write it anew, or mend {key} in [mqtt]"));
            }
            Ok(length) if u64::try_from(length).unwrap_or(u64::MAX) > LARGEST => {
                return bad(
                    "is larger than 4 MiB",
                    format!("name the right file as {key} in [mqtt]"),
                );
            }
            Ok(length) => self.digest.update(length.to_be_bytes()),
        }
        self.digest.update(&bytes);
        Some(bytes)
    }

    /// Warns where others than the owner and its group may read a secret.
    fn secrecy(&mut self, key: &'static str, path: &Path) {
        let mode = std::fs::metadata(path).map_or(0, |found| found.mode() & 0o777);
        if mode & TOO_OPEN != 0 {
            let who = if mode & 0o004 != 0 {
                "can be read by everybody on this machine"
            } else {
                "can be changed by others than its owner"
            };
            let todo = format!("chmod 640 or 600 {}", path.display());
            self.say(key, path, Weight::Warning, format!("{who} (mode {mode:03o})"), todo);
        }
    }

    fn password(&mut self, path: &Path) -> Option<String> {
        const KEY: &str = "password_file";
        let bytes = self.file(KEY, path)?;
        self.secrecy(KEY, path);
        let Ok(text) = String::from_utf8(bytes) else {
            let todo = "write the password as UTF-8 text on its first line";
            self.say(KEY, path, Weight::Unusable, "is not UTF-8", todo);
            return None;
        };
        let text = text.trim_end_matches(['\r', '\n']);
        let first = text.lines().next().unwrap_or_default();
        if first.is_empty() {
            let todo = "write the password there";
            self.say(KEY, path, Weight::Unusable, "has nothing on its first line", todo);
            return None;
        }
        if first.len() < text.len() {
            let todo = "take the others away";
            self.say(
                KEY,
                path,
                Weight::Warning,
                "has several lines, of which the first is the password",
                todo,
            );
        }
        Some(first.to_owned())
    }

    fn certificates(&mut self, key: &'static str, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
        let pem = self.file(key, path)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let text = String::from_utf8_lossy(&pem);
        let mut bad = |what: &str, todo: String| {
            self.say(key, path, Weight::Unusable, what, todo);
            None
        };
        match found {
            Ok(found) if !found.is_empty() => {
                if found.iter().any(|der| Facts::read(der).is_none()) {
                    return bad("holds a damaged certificate", "write it anew".to_owned());
                }
                Some(found)
            }
            Ok(_) if text.contains("PRIVATE KEY-----") => bad(
                "holds a private key and no certificate",
                format!("put the certificate there; the key belongs into key_file (is {key} mixed up with it?)"),
            ),
            _ if text.contains("-----BEGIN CERTIFICATE-----") => bad(
                "is damaged or ends in the middle of a certificate",
                "write it anew, whole".to_owned(),
            ),
            _ => bad(
                "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)",
                format!("convert it: openssl x509 -inform der -in {} -out …", path.display()),
            ),
        }
    }

    /// Says where a certificate is not of use now, or not much longer.
    fn dates(&mut self, key: &'static str, path: &Path, facts: &Facts, expired: Weight) {
        let Facts {
            subject, from, until, ..
        } = facts;
        let now = self.now;
        if *until < now {
            let what = format!("(certificate of `{subject}`) has expired on {}", day(*until));
            let todo = format!("renew it, or set this machine's clock, which says {}", day(now));
            self.say(key, path, expired, what, todo);
        } else if *from > now {
            let what = format!("(certificate of `{subject}`) is not valid before {}", day(*from));
            let todo = format!("set this machine's clock, which says {}, or wait", time::rfc3339(now));
            self.say(key, path, expired, what, todo);
        } else if *until < now.saturating_add(SOON) {
            let days = (*until - now) / (24 * 3_600_000);
            let what = format!(
                "(certificate of `{subject}`) expires in {days} days, on {}",
                day(*until)
            );
            self.say(
                key,
                path,
                Weight::Warning,
                what,
                "renew it; it is read again without a restart",
            );
        }
    }

    fn authorities(&mut self, given: Option<&Path>) -> Option<RootCertStore> {
        const KEY: &str = "ca_file";
        let system = || SYSTEM.iter().map(PathBuf::from).find(|path| path.exists());
        let Some(path) = given.map(Path::to_owned).or_else(system) else {
            self.findings.push(Finding {
                key: KEY,
                weight: Weight::Unusable,
                what: "this machine keeps no certificates that it trusts where they are expected".to_owned(),
                todo: "give ca_file in [mqtt]".to_owned(),
            });
            return None;
        };
        let found = self.certificates(KEY, &path)?;
        if given.is_some() {
            let facts: Vec<Facts> = found.iter().filter_map(|der| Facts::read(der)).collect();
            // Where one follows another, only the last that ends counts.
            if let Some(last) = facts.iter().max_by_key(|facts| facts.until) {
                self.dates(KEY, &path, last, Weight::Warning);
            }
            if !facts.iter().any(|facts| facts.authority) {
                let todo = "give the certificate of the authority that signed the broker's";
                self.say(
                    KEY,
                    &path,
                    Weight::Warning,
                    "holds no certificate of an authority",
                    todo,
                );
            }
        }
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(found);
        if taken == 0 {
            let todo = "give the certificate of the authority that signed the broker's";
            self.say(
                KEY,
                &path,
                Weight::Unusable,
                "holds no certificate that can be used",
                todo,
            );
            return None;
        }
        Some(roots)
    }

    fn key(&mut self, path: &Path) -> Option<PrivateKeyDer<'static>> {
        const KEY: &str = "key_file";
        let pem = self.file(KEY, path)?;
        self.secrecy(KEY, path);
        let text = String::from_utf8_lossy(&pem);
        let encrypted = text.contains("ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED");
        if encrypted {
            let todo = format!(
                "store it without (openssl pkey -in {} -out …) and let only lineside read it",
                path.display()
            );
            self.say(KEY, path, Weight::Unusable, "is encrypted with a passphrase", todo);
            return None;
        }
        match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(key) => Some(key),
            Err(_) if text.contains("-----BEGIN CERTIFICATE-----") => {
                let todo = "put the key there; certificates belong into cert_file";
                self.say(
                    KEY,
                    path,
                    Weight::Unusable,
                    "holds a certificate and no private key",
                    todo,
                );
                None
            }
            Err(_) if text.contains("PRIVATE KEY-----") => {
                let todo = "write it anew, whole";
                self.say(KEY, path, Weight::Unusable, "holds a damaged private key", todo);
                None
            }
            Err(_) => {
                let todo = format!("convert it: openssl pkey -inform der -in {} -out …", path.display());
                let what = "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)";
                self.say(KEY, path, Weight::Unusable, what, todo);
                None
            }
        }
    }

    /// Our certificate with its key, and what it says of itself.
    fn identity(
        &mut self,
        cert_file: &Path,
        key_file: &Path,
        provider: &CryptoProvider,
    ) -> Option<(CertifiedKey, Option<Facts>)> {
        let chain = self.certificates("cert_file", cert_file);
        let key = self.key(key_file);
        let (chain, key) = (chain?, key?);
        let Ok(key) = provider.key_provider.load_private_key(key) else {
            let todo = "use RSA of 2048 bits or more, EC P-256 or P-384, or Ed25519";
            self.say(
                "key_file",
                key_file,
                Weight::Unusable,
                "holds a key of a kind that cannot be used",
                todo,
            );
            return None;
        };
        for facts in chain.iter().filter_map(|der| Facts::read(der)) {
            self.dates("cert_file", cert_file, &facts, Weight::Doubtful);
        }
        let mismatch = |chain: &[CertificateDer<'static>]| {
            let pair = CertifiedKey::new(chain.to_vec(), key.clone());
            matches!(
                pair.keys_match(),
                Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch))
            )
        };
        if mismatch(&chain) {
            let later = chain.iter().skip(1).any(|der| !mismatch(std::slice::from_ref(der)));
            let (what, todo) = if later {
                (
                    format!(
                        "does not begin with the certificate of key_file `{}`",
                        key_file.display()
                    ),
                    "let our own certificate stand first, and those that signed it behind it",
                )
            } else {
                (
                    format!("does not belong to the key in key_file `{}`", key_file.display()),
                    "put the certificate and the key that were made together there",
                )
            };
            self.say("cert_file", cert_file, Weight::Unusable, what, todo);
            return None;
        }
        let facts = chain.first().and_then(|der| Facts::read(der));
        Some((CertifiedKey::new(chain, key), facts))
    }

    fn encryption(&mut self, tls: &Tls, clock: &Clock) -> Option<Encryption> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = self.authorities(tls.ca_file.as_deref());
        let identity = match (&tls.cert_file, &tls.key_file) {
            (Some(cert_file), Some(key_file)) => Some(self.identity(cert_file, key_file, &provider)?),
            _ => None,
        };
        let (own, facts) = identity.map_or((None, None), |(own, facts)| (Some(Arc::new(own)), facts));
        let made = WebPkiServerVerifier::builder_with_provider(Arc::new(roots?), provider.clone())
            .build()
            .map_err(|error| error.to_string())
            .and_then(|verifier| {
                let witness = Arc::new(Witness::new(verifier, own));
                let builder = ClientConfig::builder_with_details(provider, Arc::new(Now(clock.clone())))
                    .with_safe_default_protocol_versions()
                    .map_err(|error| error.to_string())?;
                let mut config = builder
                    .dangerous()
                    .with_custom_certificate_verifier(witness.clone())
                    .with_client_cert_resolver(witness.clone());
                // Every connection proves both sides anew, so that what has expired is noticed.
                config.resumption = Resumption::disabled();
                Ok((witness, config))
            });
        match made {
            Ok((witness, config)) => Some(Encryption {
                config: Arc::new(config),
                witness,
                own: facts,
                files: tls.clone(),
            }),
            Err(error) => {
                self.findings.push(Finding {
                    key: "ca_file",
                    weight: Weight::Unusable,
                    what: format!("TLS cannot be set up: {error}"),
                    todo: "look at ca_file, cert_file and key_file in [mqtt]".to_owned(),
                });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
