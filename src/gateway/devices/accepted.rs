//! The last accepted text of every device file, kept in the state directory: with it a line starts where the present file
//! is bad.
//!
//! Owns the files `accepted/<station>.<slot>.json`: their form, and that one is there whole or not at all.

use super::folder::Texts;
use crate::model::{DeviceIdentity, SlotName};
use crate::profile::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A device file that was accepted, with all that it extends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Of the profile.
    pub vendor: String,
    /// Of the profile.
    pub model: String,
    /// Which individual, where the file says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub serial: Option<String>,
    /// `sha256:…` of the profile as it was resolved.
    pub digest: String,
    /// When it was accepted, RFC 3339.
    pub at: String,
    /// Texts by path: relative to the profiles folder, absolute where they do not stand in it.
    pub files: BTreeMap<PathBuf, String>,
}

impl Accepted {
    /// Of a profile that was read from `texts`.
    #[must_use]
    pub fn of(profile: &Profile, root: &Path, texts: &Texts, at: String) -> Self {
        let identity = profile.identity();
        let files = profile.files().iter().filter_map(|path| {
            let name = path.strip_prefix(root).unwrap_or(path);
            Some((name.to_owned(), texts.text(path)?))
        });
        Self {
            vendor: identity.vendor.clone(),
            model: identity.model.clone(),
            serial: identity.serial.clone(),
            digest: identity.digest.clone(),
            at,
            files: files.collect(),
        }
    }

    /// Who the device is.
    #[must_use]
    pub fn identity(&self) -> DeviceIdentity {
        DeviceIdentity {
            vendor: self.vendor.clone(),
            model: self.model.clone(),
            serial: self.serial.clone(),
            digest: self.digest.clone(),
        }
    }

    /// Its texts, as if they stood in the profiles folder.
    #[must_use]
    pub fn texts(&self, root: &Path) -> Texts {
        let given = self.files.iter().map(|(name, text)| (root.join(name), text.clone()));
        Texts::with(given.collect())
    }

    /// The last accepted text of a slot's device file. `None`: there is none, or it cannot be read. Blocking.
    #[must_use]
    pub fn read(state_dir: &Path, slot: &SlotName) -> Option<Self> {
        let text = std::fs::read(path(state_dir, slot)).ok()?;
        match serde_json::from_slice(&text) {
            Ok(accepted) => Some(accepted),
            Err(fault) => {
                tracing::warn!(
                    "{slot}: the last accepted text in the state directory is damaged ({fault}), and not used"
                );
                None
            }
        }
    }

    /// Keeps it, durably. Blocking.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn write(&self, state_dir: &Path, slot: &SlotName) -> std::io::Result<()> {
        let path = path(state_dir, slot);
        let folder = folder(state_dir);
        if !folder.is_dir() {
            std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        }
        replace(&path, &serde_json::to_vec_pretty(self)?)
    }

    /// Forgets it: the file was removed on purpose. Blocking.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn forget(state_dir: &Path, slot: &SlotName) -> std::io::Result<()> {
        match std::fs::remove_file(path(state_dir, slot)) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(fault),
            _ => Ok(()),
        }
    }
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("accepted")
}

fn path(state_dir: &Path, slot: &SlotName) -> PathBuf {
    folder(state_dir).join(format!("{slot}.json"))
}

/// Writes a file so that after a power cut the old one or the new one is there, whole; readable by its owner only.
///
/// # Errors
/// The folder cannot be written.
pub(in crate::gateway) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
