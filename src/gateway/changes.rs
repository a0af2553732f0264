//! The log of changes: which device file was accepted for which slot when, by whom, and what it meant.
//!
//! Owns the file `changes.jsonl` of the state directory, one JSON object a line, and its bound. What the MES hears of it is
//! a `change` event ([`crate::contract::change`]).

use crate::model::DeviceIdentity;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Beyond this many bytes the log goes on in a new file; the one before is kept.
const LARGEST: u64 = 8 << 20;

/// What became of a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The first one of its slot.
    Installed,
    /// Another one than before.
    Changed,
    /// It was removed, and its slot is offline.
    Removed,
    /// `lineside lock` approved it.
    Approved,
}

/// Who a device is, in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Device {
    /// Of the profile.
    pub vendor: String,
    /// Of the profile.
    pub model: String,
    /// Which individual, where the file says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub serial: Option<String>,
    /// `sha256:…` of the profile as it was resolved.
    pub digest: String,
}

impl From<&DeviceIdentity> for Device {
    fn from(identity: &DeviceIdentity) -> Self {
        Self {
            vendor: identity.vendor.clone(),
            model: identity.model.clone(),
            serial: identity.serial.clone(),
            digest: identity.digest.clone(),
        }
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, RFC 3339.
    pub at: String,
    /// `station.slot`.
    pub slot: String,
    /// What became of its device file.
    pub what: What,
    /// The device before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<Device>,
    /// The device from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<Device>,
    /// What the plan says of it, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub plan: Vec<String>,
    /// Files that were written, relative to the profiles folder.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<PathBuf>,
    /// Who did it, where the system knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub who: Option<String>,
}

impl Entry {
    /// Whether another line says the same: written twice by a crash in between.
    fn repeats(&self, other: &Self) -> bool {
        self.slot == other.slot && self.what == other.what && self.from == other.from && self.to == other.to
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("changes.jsonl")
}

fn former(state_dir: &Path) -> PathBuf {
    state_dir.join("changes.1.jsonl")
}

/// Adds lines, durably; a change that the log tells last of its slot is not told twice. Blocking.
///
/// # Errors
/// The state directory cannot be written.
pub fn add(state_dir: &Path, entries: &[Entry]) -> std::io::Result<()> {
    let known = read(state_dir)?;
    let news = entries.iter().filter(|entry| {
        let last = known.iter().rev().find(|known| known.slot == entry.slot);
        !last.is_some_and(|last| entry.repeats(last))
    });
    let mut lines = String::new();
    for entry in news {
        lines.push_str(&serde_json::to_string(entry)?);
        lines.push('\n');
    }
    if lines.is_empty() {
        return Ok(());
    }
    let path = path(state_dir);
    if std::fs::metadata(&path).is_ok_and(|log| log.len() > LARGEST) {
        std::fs::rename(&path, former(state_dir))?;
    }
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .read(true)
        .create(true)
        .mode(0o600)
        .open(&path)?;
    if breaks_off(&mut file)? {
        lines.insert(0, '\n');
    }
    file.write_all(lines.as_bytes())?;
    file.sync_all()
}

/// Whether the last line was cut by a power loss.
fn breaks_off(file: &mut File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Every line, the oldest first. A line that a power cut broke off is passed over. Blocking.
///
/// # Errors
/// The log is there and cannot be read.
pub fn read(state_dir: &Path) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for path in [former(state_dir), path(state_dir)] {
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => continue,
            Err(fault) => return Err(fault),
        };
        let lines = text.split(|byte| *byte == b'\n');
        entries.extend(lines.filter_map(|line| serde_json::from_slice(line).ok()));
    }
    Ok(entries)
}

/// The owner of a file, as the system names the account: who wrote it, as far as that can be known. Blocking.
#[must_use]
pub fn owner(path: &Path) -> Option<String> {
    Some(account(std::fs::metadata(path).ok()?.uid()))
}

/// The name of an account of this machine, `uid 1000` where it has none. Blocking.
#[must_use]
pub fn account(uid: u32) -> String {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, of) = (parts.next()?, parts.nth(1)?);
        (of.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(slot: &str, digest: &str) -> Entry {
        Entry {
            at: "2026-11-22T10:15:03.171Z".to_owned(),
            slot: slot.to_owned(),
            what: What::Changed,
            from: None,
            to: Some(Device {
                digest: digest.to_owned(),
                ..Device::default()
            }),
            plan: vec!["nothing changes for the MES".to_owned()],
            files: vec!["st10.a.toml".into()],
            who: Some("anna".to_owned()),
        }
    }

    #[test]
    fn a_change_is_told_once_and_a_line_that_breaks_off_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap().is_empty());
        add(dir.path(), &[entry("st10.a", "1"), entry("st10.b", "1")]).unwrap();
        add(dir.path(), &[entry("st10.a", "1")]).unwrap();
        assert_eq!(read(dir.path()).unwrap().len(), 2);
        let mut file = std::fs::OpenOptions::new().append(true).open(path(dir.path())).unwrap();
        file.write_all(b"{\"at\":\"20").unwrap();
        add(dir.path(), &[entry("st10.a", "2")]).unwrap();
        add(dir.path(), &[entry("st10.a", "1")]).unwrap();
        let found = read(dir.path()).unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!(found[2], entry("st10.a", "2"));
    }

    #[test]
    fn accounts_have_names() {
        assert_eq!(account(0), "root");
        assert_eq!(account(3_999_999_999), "uid 3999999999");
    }
}
