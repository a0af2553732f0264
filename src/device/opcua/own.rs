//! The gateway's own application instance certificate (OPC 10000-6, 6.2.2): what servers have to trust.
//!
//! Owns its files, how they are made once, and what is checked when they are read. Does not own whom the gateway trusts
//! ([`super::trust`]).

use super::certificate::{self, Certificate, Draft, Malformed, Names, Role};
use opcua::crypto::{CertificateStore, PrivateKey, X509, X509Data};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Bits of the key that is made: the least that every policy of today takes (OPC 10000-7, 6.6).
const KEY_BITS: u32 = 2048;
/// How long a certificate is valid that is made here: ten years, in seconds.
const VALID: i64 = 10 * 365 * 86_400;
/// It is valid from a day before, for servers whose clock is behind.
const BEFORE: i64 = 86_400;
/// A clock before this (2024-01-01) was never set; a certificate is never made for such a time.
const NEVER_SET_BEFORE: i64 = 1_704_067_200;
/// Keys that OPC UA allows, in bits (OPC 10000-7, 6.6).
const KEYS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// The certificate's file in `<home>/opcua/`, in DER.
const CERTIFICATE_FILE: &str = "own.der";
/// The key's file in `<home>/opcua/`, PKCS 8 in PEM.
const KEY_FILE: &str = "own.key";

/// Why the gateway has no certificate of its own. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}; let the gateway's user read it")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error(
        "cannot write {path}: {source}; let the gateway's user write there, or put own.der and own.key there yourself"
    )]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificate is there and its key is not.
    #[error(
        "{certificate} has no {KEY_FILE} beside it: put the key back, or move {CERTIFICATE_FILE} away, and a new pair is made that servers have to be told to trust"
    )]
    NoKey {
        /// Where the certificate is.
        certificate: PathBuf,
    },
    /// The file is no certificate.
    #[error(
        "{path} cannot be used: {why}; it has to be one certificate in DER (openssl x509 -in own.pem -outform der -out own.der)"
    )]
    NotACertificate {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file is no key.
    #[error("{path} is not an RSA private key in PEM without a password (openssl pkey -in old.key -out own.key)")]
    NotAKey {
        /// Which.
        path: PathBuf,
    },
    /// They are of two pairs.
    #[error("the key {key} does not belong to the certificate {certificate}: put both files of one pair there")]
    Strangers {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
    },
    /// It is over.
    #[error(
        "the gateway's own OPC UA certificate {path} expired on {expired} (this machine's clock says {now}): put a new own.der and own.key there, or move both away, and a new pair is made that servers have to be told to trust"
    )]
    Expired {
        /// Which.
        path: PathBuf,
        /// When.
        expired: String,
        /// What the clock says.
        now: String,
    },
    /// No application URI in it.
    #[error(
        "{path} has no URI in its subject alternative name: OPC UA needs the application URI there (OPC 10000-6, 6.2.2), for example urn:line4:lineside"
    )]
    NoUri {
        /// Which.
        path: PathBuf,
    },
    /// The key is too short or too long.
    #[error("{path} has an RSA key of {bits} bits: OPC UA allows {} to {}", KEYS.start(), KEYS.end())]
    KeySize {
        /// Which.
        path: PathBuf,
        /// How many it has; 0: it is no RSA key.
        bits: usize,
    },
    /// It could not be made.
    #[error("the gateway's own OPC UA certificate could not be made: {0}")]
    Unmade(String),
}

/// The gateway's own certificate with its key.
#[derive(Debug)]
pub struct Own {
    /// The certificate.
    pub certificate: X509,
    /// Its bytes.
    pub der: Vec<u8>,
    /// Its key.
    pub key: PrivateKey,
    /// The URI in it; `ApplicationDescription.applicationUri` has to say the same.
    pub application_uri: String,
    /// SHA-1 of the bytes in small hexadecimal digits: by this servers list it (OPC 10000-6, 6.2.2).
    pub thumbprint: String,
    /// Unix seconds of its last moment.
    pub not_after: i64,
    certificate_file: PathBuf,
    key_file: PathBuf,
    /// Where the files of a run without a home are; gone when this is.
    passing: Option<TempDir>,
}

impl Own {
    /// Reads `<home>/opcua/own.der` and `own.key`, or makes them where neither is there.
    ///
    /// Without a home they are made for this run, in a folder of `$TMPDIR` that only this user can read and that goes with the value: the
    /// crate reads them for each connection. A key without a certificate gets one. Whatever is there is never replaced. Blocks, for seconds
    /// where a key is made: to be called where that is allowed (`spawn_blocking`). Starts at the same time agree on one pair.
    pub fn load_or_make(home: Option<&Path>, now_unix: i64) -> Result<Self, Fault> {
        let Some(home) = home else {
            let passing = tempfile::Builder::new()
                .permissions(Permissions::from_mode(0o700))
                .tempdir()
                .map_err(|source| Fault::Unwritable {
                    path: std::env::temp_dir(),
                    source,
                })?;
            make(passing.path(), now_unix)?;
            let mut own = Self::read(passing.path(), now_unix)?;
            own.passing = Some(passing);
            return Ok(own);
        };
        let folder = std::path::absolute(home.join("opcua")).map_err(|source| Fault::Unreadable {
            path: home.to_owned(),
            source,
        })?;
        if !both(&folder) {
            let unwritable = |source| Fault::Unwritable {
                path: folder.clone(),
                source,
            };
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(unwritable)?;
            // Held until the files are there; another start waits here and then finds them.
            let lock = File::open(&folder).map_err(unwritable)?;
            lock.lock().map_err(unwritable)?;
            if !both(&folder) {
                make(&folder, now_unix)?;
            }
        }
        Self::read(&folder, now_unix)
    }

    /// What the crate's secure channel reads certificate and key from, for each connection. It decides no trust.
    pub fn store(&self) -> Result<CertificateStore, Fault> {
        // The crate makes folders for trusted and rejected certificates where it is pointed at; ours are not to be found there.
        let elsewhere = tempfile::tempdir().map_err(|source| Fault::Unwritable {
            path: std::env::temp_dir(),
            source,
        })?;
        let (mut store, _, _) = CertificateStore::new_with_x509_data(
            elsewhere.path(),
            false,
            Some(&self.certificate_file),
            Some(&self.key_file),
            None::<X509Data>,
        );
        store.set_skip_verify_certs(true);
        Ok(store)
    }

    /// Where the certificate is, to be given to servers.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.certificate_file
    }

    fn read(folder: &Path, now_unix: i64) -> Result<Self, Fault> {
        let path = folder.join(CERTIFICATE_FILE);
        let key_path = folder.join(KEY_FILE);
        let read = |path: &Path| {
            fs::read(path).map_err(|source| Fault::Unreadable {
                path: path.to_owned(),
                source,
            })
        };
        let bytes = read(&path)?;
        let not_a_certificate = |why: String| Fault::NotACertificate {
            path: path.clone(),
            why,
        };
        if bytes.starts_with(b"-----BEGIN") {
            return Err(not_a_certificate("it is PEM".to_owned()));
        }
        let parsed = Certificate::parse(&bytes).map_err(|fault| not_a_certificate(fault.to_string()))?;
        let certificate =
            X509::from_der(&bytes).map_err(|_| not_a_certificate("it is not an X.509 certificate".to_owned()))?;
        let key = PrivateKey::from_pem(&read(&key_path)?).map_err(|_| Fault::NotAKey { path: key_path.clone() })?;
        let bits = parsed.rsa_bits().unwrap_or(0);
        if !KEYS.contains(&bits) {
            return Err(Fault::KeySize { path, bits });
        }
        if !belongs(&key, &parsed) {
            return Err(Fault::Strangers {
                certificate: path,
                key: key_path,
            });
        }
        if parsed.not_after() < now_unix {
            return Err(Fault::Expired {
                path,
                expired: certificate::date(parsed.not_after()),
                now: certificate::date(now_unix),
            });
        }
        let Some(application_uri) = parsed.names().uris.into_iter().next() else {
            return Err(Fault::NoUri { path });
        };
        if others_can_read(&key_path) {
            tracing::warn!(
                "{} can be read by other users of this machine: chmod 600 it",
                key_path.display()
            );
        }
        Ok(Self {
            thumbprint: certificate.thumbprint().as_hex_string(),
            certificate,
            der: bytes,
            key,
            application_uri,
            not_after: parsed.not_after(),
            certificate_file: path,
            key_file: key_path,
            passing: None,
        })
    }
}

/// Whether the key is the certificate's.
pub(super) fn belongs(key: &PrivateKey, certificate: &Certificate) -> bool {
    use x509_cert::der::Encode;
    let of_key = key.public_key_to_info().ok().and_then(|info| info.to_der().ok());
    of_key.is_some() && of_key == certificate.public_key()
}

/// Whether users other than its owner and group may read a file that is to be secret.
pub(super) fn others_can_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// A key as PKCS 8 in PEM, for people and for the crate.
pub(super) fn pem(key: &PrivateKey) -> Result<String, Fault> {
    let der = key.to_der().map_err(|fault| Fault::Unmade(fault.to_string()))?;
    x509_cert::der::pem::encode_string("PRIVATE KEY", x509_cert::der::pem::LineEnding::LF, der.as_bytes())
        .map_err(|fault| Fault::Unmade(fault.to_string()))
}

fn both(folder: &Path) -> bool {
    folder.join(CERTIFICATE_FILE).exists() && folder.join(KEY_FILE).exists()
}

/// Makes what is missing. The key is written first: a key alone is gone on with after a power cut, a certificate alone is not.
fn make(folder: &Path, now_unix: i64) -> Result<(), Fault> {
    let (path, key_path) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
    let key = if key_path.exists() {
        let bytes = fs::read(&key_path).map_err(|source| Fault::Unreadable {
            path: key_path.clone(),
            source,
        })?;
        PrivateKey::from_pem(&bytes).map_err(|_| Fault::NotAKey { path: key_path.clone() })?
    } else if path.exists() {
        return Err(Fault::NoKey { certificate: path });
    } else {
        let key = PrivateKey::new(KEY_BITS).map_err(|fault| Fault::Unmade(fault.to_string()))?;
        write(folder, &key_path, pem(&key)?.as_bytes(), 0o600)?;
        key
    };
    let made = draft(&host(), now_unix)
        .make(&key, None)
        .map_err(|fault: Malformed| Fault::Unmade(fault.to_string()))?;
    write(folder, &path, made.der(), 0o644)
}

fn draft(host: &str, now_unix: i64) -> Draft {
    let start = now_unix.max(NEVER_SET_BEFORE);
    let mut serial: [u8; 16] = rand::random();
    // Positive, and never shorter than written (RFC 5280, 4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    let mark: u32 = rand::random();
    Draft {
        subject: format!(
            "CN=lineside on {},O=lineside",
            host.chars().take(48).collect::<String>()
        ),
        serial: serial.to_vec(),
        not_before: start - BEFORE,
        not_after: start + VALID,
        names: Names {
            uris: vec![format!("urn:{host}:lineside:{mark:08x}")],
            hosts: vec![host.to_owned()],
            addresses: Vec::new(),
        },
        role: Role::Client,
    }
}

/// This machine's name, as far as it fits into a DNS name.
fn host() -> String {
    let name = opcua::crypto::hostname().unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let name = name
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .take(253)
        .collect::<String>();
    match name.trim_matches(['-', '.']) {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Writes a file that is there wholly or not at all, also after a power cut; never over another.
fn write(folder: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<(), Fault> {
    let unwritable = |source| Fault::Unwritable {
        path: path.to_owned(),
        source,
    };
    let mut file = tempfile::Builder::new()
        .prefix(".own-")
        .tempfile_in(folder)
        .map_err(unwritable)?;
    file.write_all(bytes).map_err(unwritable)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))
        .map_err(unwritable)?;
    file.as_file().sync_all().map_err(unwritable)?;
    file.persist_noclobber(path).map_err(|fault| unwritable(fault.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(unwritable)
}

#[cfg(test)]
mod tests;
