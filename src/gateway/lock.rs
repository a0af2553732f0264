//! The lock file: which device files are approved, by digest of the profile as it was resolved.
//!
//! Owns `gateway.lock` beside gateway.toml: its form, and what is approved by it. Who may write that file is the file
//! system's business: with `require_lock` the right to approve is the right to write it.

use crate::model::SlotName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Version of the form.
const VERSION: u32 = 1;

/// Said at the top of the file.
const HEAD: &str = "# Device files that are approved, written by `lineside lock`. With require_lock = true the gateway refuses all others.\n\
                    # A digest is of the profile as it counts, with all that it extends.\n\n";

/// What is approved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lock {
    /// Version of the form: 1.
    lock: u32,
    /// Digests by `station.slot`.
    #[serde(default)]
    approved: BTreeMap<String, BTreeSet<String>>,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no lock file.
    #[error("{path} is no lock file of `lineside lock`: {reason}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Where the lock file of a gateway.toml is.
#[must_use]
pub fn file(config: &Path) -> PathBuf {
    config.with_extension("lock")
}

impl Lock {
    /// Reads a lock file; where there is none, nothing is approved. Blocking.
    ///
    /// # Errors
    /// It is there, and cannot be read, or is of another form.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(LockError::Unreadable {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let damaged = |reason: String| LockError::Damaged {
            path: path.to_owned(),
            reason,
        };
        let lock: Self = toml::from_str(&text).map_err(|fault| damaged(fault.message().to_owned()))?;
        if lock.lock != VERSION {
            return Err(damaged(format!(
                "it is of form {}, this build reads {VERSION}",
                lock.lock
            )));
        }
        Ok(lock)
    }

    /// Writes it. Blocking.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, path: &Path) -> Result<(), LockError> {
        self.lock = VERSION;
        let fault = |source| LockError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let text = toml::to_string_pretty(self).map_err(|fault| LockError::Damaged {
            path: path.to_owned(),
            reason: fault.to_string(),
        })?;
        // Readable by all: what is approved is no secret, and the gateway may run under another account.
        let beside = path.with_extension("lock.new");
        std::fs::write(&beside, format!("{HEAD}{text}")).map_err(fault)?;
        std::fs::File::open(&beside)
            .and_then(|file| file.sync_all())
            .map_err(fault)?;
        std::fs::rename(&beside, path).map_err(fault)
    }

    /// Whether a device file may fill a slot.
    #[must_use]
    pub fn approves(&self, slot: &SlotName, digest: &str) -> bool {
        let approved = self.approved.get(&slot.to_string());
        approved.is_some_and(|digests| digests.contains(digest))
    }

    /// Approves this one of a slot beside those that are. Whether it is new.
    pub fn approve(&mut self, slot: &SlotName, digest: &str) -> bool {
        self.approved
            .entry(slot.to_string())
            .or_default()
            .insert(digest.to_owned())
    }

    /// Of a slot only this one is approved any more.
    pub fn only(&mut self, slot: &SlotName, digest: &str) {
        let digests = self.approved.entry(slot.to_string()).or_default();
        digests.clear();
        digests.insert(digest.to_owned());
    }

    /// Slots that are none any more are forgotten.
    pub fn keep(&mut self, slots: &[SlotName]) {
        let names: BTreeSet<String> = slots.iter().map(ToString::to_string).collect();
        self.approved.retain(|slot, _| names.contains(slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_approved_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(&dir.path().join("gateway.toml"));
        assert!(path.ends_with("gateway.lock"));
        let (a, b) = (SlotName::new("st10", "a"), SlotName::new("st10", "b"));
        let mut lock = Lock::read(&path).unwrap();
        assert!(!lock.approves(&a, "sha256:1"));
        assert!(lock.approve(&a, "sha256:1") && !lock.approve(&a, "sha256:1"));
        assert!(lock.approve(&a, "sha256:2"));
        lock.write(&path).unwrap();
        let mut lock = Lock::read(&path).unwrap();
        assert!(lock.approves(&a, "sha256:1") && lock.approves(&a, "sha256:2") && !lock.approves(&b, "sha256:1"));
        lock.only(&a, "sha256:3");
        assert!(!lock.approves(&a, "sha256:1") && lock.approves(&a, "sha256:3"));
        lock.keep(&[b]);
        assert!(!lock.approves(&a, "sha256:3"));
        std::fs::write(&path, "lock = 2\n").unwrap();
        assert!(matches!(Lock::read(&path), Err(LockError::Damaged { .. })));
    }
}
