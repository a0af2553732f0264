//! Secrets: the files of the session, read at each connect so that a changed one counts.

use crate::mqtt::refusal::Lost;
use crate::mqtt::{Settings, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep the certificates that they trust.
const SYSTEM: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// What the files held.
pub(in crate::mqtt) struct Secrets {
    pub(super) password: Option<String>,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Secrets {
    /// Reads the files. Blocks: not for an async worker.
    pub(in crate::mqtt) fn read(settings: &Settings) -> Result<Self, Lost> {
        let password = match &settings.password_file {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| fault("password_file", path, &error))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => None,
        };
        let tls = match &settings.tls {
            Some(tls) => Some(Arc::new(config(tls)?)),
            None => None,
        };
        Ok(Self { password, tls })
    }
}

fn fault(key: &str, path: &Path, error: &dyn std::fmt::Display) -> Lost {
    Lost::refused(format!(
        "the {key} `{}` cannot be used: {error}; mend the file or the path in [mqtt]",
        path.display()
    ))
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Lost> {
    let pem = fs::read(path).map_err(|error| fault(key, path, &error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(fault(key, path, &"there is no certificate in it (PEM is expected)")),
        Ok(found) => Ok(found),
        Err(error) => Err(fault(key, path, &error)),
    }
}

fn config(tls: &Tls) -> Result<ClientConfig, Lost> {
    let ca_file = match &tls.ca_file {
        Some(path) => path.clone(),
        None => SYSTEM
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or_else(|| {
                Lost::refused(
                    "this machine keeps no certificates that it trusts where they are expected; give ca_file in [mqtt]"
                        .to_owned(),
                )
            })?,
    };
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates("ca_file", &ca_file)?);
    if taken == 0 {
        return Err(fault(
            "ca_file",
            &ca_file,
            &"none of its certificates is one of an authority",
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Lost::refused(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots);
    let (Some(cert_file), Some(key_file)) = (&tls.cert_file, &tls.key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("cert_file", cert_file)?;
    let pem = fs::read(key_file).map_err(|error| fault("key_file", key_file, &error))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| fault("key_file", key_file, &error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        fault(
            "cert_file",
            cert_file,
            &format!("{error} (with key_file `{}`)", key_file.display()),
        )
    })
}
