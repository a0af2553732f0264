//! The last accepted text of every device file, kept in the state directory: with it a line starts where the present file
//! is bad.
//!
//! Owns the files `accepted/<station>.<slot>.json`: their form, and that one is there whole or not at all.

use super::folder::Texts;
use crate::gateway::overlay::Overlay;
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
    #[serde(default)]
    pub vendor: String,
    /// Of the profile.
    #[serde(default)]
    pub model: String,
    /// Which individual, where the file says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub serial: Option<String>,
    /// `sha256:…` of the profile as it was resolved.
    #[serde(default)]
    pub digest: String,
    /// When it was accepted, RFC 3339.
    #[serde(default)]
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
        Texts::new(Overlay::accepted(self), root)
    }

    /// [`accepted`]; a damaged one counts as none, and is told in the log. Blocking.
    #[must_use]
    pub fn read(state_dir: &Path, slot: &SlotName) -> Option<Self> {
        accepted(state_dir, slot).unwrap_or_else(|fault| {
            tracing::warn!("{slot}: {fault}");
            None
        })
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

/// Why what was accepted cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AcceptedFault {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; run this as the gateway's own user, or as root")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is none of the gateway's.
    #[error("{path} is damaged: {reason}; it is written anew when the gateway next accepts a device file")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The last accepted text of a slot's device file; `None`: there is none. Blocking.
///
/// # Errors
/// It is there, but cannot be read.
pub fn accepted(state_dir: &Path, slot: &SlotName) -> Result<Option<Accepted>, AcceptedFault> {
    let path = path(state_dir, slot);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AcceptedFault::Unreadable { path, source }),
    };
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|fault| AcceptedFault::Damaged {
        reason: fault.to_string(),
        path,
    })
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
