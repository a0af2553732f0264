//! Stamp: whether files changed, without reading them.
//!
//! Owns what of a file tells that it is another: a rename, a link that points elsewhere, a write. A stamp that is
//! the same for a while means that nobody is writing.

use super::Settings;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How the files of `[mqtt]` stood at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::mqtt) struct Stamp(Vec<Option<Mark>>);

/// Device, inode, size and times of the last change.
type Mark = (u64, u64, u64, (i64, i64), (i64, i64));

impl Stamp {
    /// As they stand now. Blocks for a moment: not for an async worker.
    pub(in crate::mqtt) fn take(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|path| mark(path)).collect())
    }

    /// The files of a session that may change while it runs.
    pub(in crate::mqtt) fn files(settings: &Settings) -> Vec<PathBuf> {
        let tls = settings.tls.clone().unwrap_or_default();
        let files = [settings.password_file.clone(), tls.ca_file, tls.cert_file, tls.key_file];
        files.into_iter().flatten().collect()
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let found = std::fs::metadata(path).ok()?;
    Some((
        found.dev(),
        found.ino(),
        found.len(),
        (found.mtime(), found.mtime_nsec()),
        (found.ctime(), found.ctime_nsec()),
    ))
}
