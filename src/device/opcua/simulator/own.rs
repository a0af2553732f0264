//! The certificate that a simulated server shows.
//!
//! Owns its folder and its making. Whether a client trusts it is the client's matter.

use opcua::crypto::{CertificateStore, X509Data};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tempfile::TempDir;

/// What a simulated server calls itself; it stands in its certificate, too.
pub(super) const APPLICATION: &str = "urn:lineside:simulator";
/// Bits of its key.
const KEY: u32 = 2_048;

/// A certificate with its key, in a folder of its own. The folder of [`Own::fresh`] goes with the last clone.
#[derive(Debug, Clone)]
pub struct Own {
    folder: PathBuf,
    der: Arc<[u8]>,
    _temporary: Option<Arc<TempDir>>,
}

impl Own {
    /// A new one in a folder that goes with it. Takes time (a key is made): not for an async worker.
    ///
    /// # Errors
    /// A sentence: there is no place for it, or it cannot be made.
    pub fn fresh() -> Result<Self, String> {
        let folder = TempDir::with_prefix("lineside-opcua-").map_err(|fault| fault.to_string())?;
        let own = Self::within(folder.path())?;
        Ok(Self {
            _temporary: Some(Arc::new(folder)),
            ..own
        })
    }

    /// The one that all simulators of this process show that were not given another: made once.
    ///
    /// # Errors
    /// As [`Own::fresh`].
    pub fn shared() -> Result<Self, String> {
        static SHARED: OnceLock<Mutex<Option<Own>>> = OnceLock::new();
        let mut shared = SHARED
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = &*shared {
            return Ok(own.clone());
        }
        let own = Self::fresh()?;
        *shared = Some(own.clone());
        Ok(own)
    }

    /// The one in `folder`; made there where there is none, so that the same is shown at each start.
    ///
    /// # Errors
    /// A sentence: the folder cannot be used.
    pub fn within(folder: &Path) -> Result<Self, String> {
        let store = CertificateStore::new(folder);
        store.ensure_pki_path()?;
        if store.read_own_cert().is_err() || store.read_own_pkey().is_err() {
            let mut hosts = vec!["127.0.0.1".to_owned(), "::1".to_owned()];
            hosts.extend(host());
            // Without its own look-up of addresses, which may ask the network.
            let names = X509Data::alt_host_names(APPLICATION, Some(hosts), true, false, false);
            let data = X509Data {
                key_size: KEY,
                common_name: "lineside simulate".to_owned(),
                organization: "lineside".to_owned(),
                organizational_unit: "simulator".to_owned(),
                country: "DE".to_owned(),
                state: String::new(),
                alt_host_names: names,
                certificate_duration_days: 3_650,
            };
            store.create_and_store_application_instance_cert(&data, true)?;
        }
        let cert = store.read_own_cert()?;
        let der = cert.to_der().map_err(|fault| fault.to_string())?;
        Ok(Self {
            folder: folder.to_owned(),
            der: der.into(),
            _temporary: None,
        })
    }

    /// Where the crate's store finds it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the certificate (DER), the pin of profiles.
    #[must_use]
    pub fn pin(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// What a profile writes behind `trust =`.
    #[must_use]
    pub fn trust(&self) -> String {
        format!("sha256:{}", crate::model::value::hex(&self.pin()))
    }
}

/// The name of this machine.
pub(super) fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
