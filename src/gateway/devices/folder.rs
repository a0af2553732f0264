//! The profiles folder: when it has settled after an edit, and the texts in it as they stood at one moment.
//!
//! Owns looking at files. Does not own what a text means ([`crate::profile`]) nor whether it is accepted ([`super::judge`]).

use crate::gateway::overlay::Overlay;
use crate::model::Moment;
use crate::profile::{FileFault, Files};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A change counts once nothing has moved for this long (interface, section 8).
const SETTLED: Duration = Duration::from_millis(500);
/// Folders below the profiles folder are looked into this deep: `<vendor>/<model>.toml`, and room beneath.
const DEEPEST: usize = 6;
/// More files than this are no profiles folder.
const FILES: usize = 20_000;
/// A profile longer than this, in bytes, is none: it would only be read into memory.
const LONGEST: u64 = 4 << 20;

/// What tells that a file was written or replaced, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

/// Every profile of a folder, and the files beside that count.
pub(super) type Signature = BTreeMap<PathBuf, Mark>;

/// Looks at every `.toml` below `root`, and at `beside`. Blocking.
pub(super) fn signature(root: &Path, beside: &[PathBuf]) -> Signature {
    let mut found = Signature::new();
    walk(root, 0, &mut found);
    for path in beside {
        note(path, &mut found);
    }
    found
}

fn note(path: &Path, found: &mut Signature) {
    if let Ok(seen) = std::fs::metadata(path)
        && seen.is_file()
    {
        let mark = Mark {
            bytes: seen.size(),
            modified: (seen.mtime(), seen.mtime_nsec()),
            changed: (seen.ctime(), seen.ctime_nsec()),
            inode: seen.ino(),
        };
        found.insert(path.to_owned(), mark);
    }
}

fn walk(folder: &Path, depth: usize, found: &mut Signature) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if found.len() >= FILES {
            return;
        }
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            note(&path, found);
        } else if depth < DEEPEST && path.is_dir() {
            walk(&path, depth + 1, found);
        }
    }
}

/// Tells when a folder that changed has come to rest.
#[derive(Debug)]
pub(super) struct Settling {
    /// As it was when it was read last; `None`: it was not read yet.
    judged: Option<Signature>,
    last: Signature,
    since: Moment,
}

impl Settling {
    /// Nothing was read yet: the first look counts as a change, so that what is written meanwhile is found.
    pub(super) fn new(now: Moment) -> Self {
        Self {
            judged: None,
            last: Signature::new(),
            since: now,
        }
    }

    /// Whether the files are to be read: something is otherwise than when they were read last, and has been for a while.
    pub(super) fn see(&mut self, signature: Signature, now: Moment) -> bool {
        if signature != self.last {
            self.last = signature;
            self.since = now;
        }
        let rested = u128::from(now.tick.saturating_sub(self.since.tick)) >= SETTLED.as_millis();
        rested && self.judged.as_ref() != Some(&self.last)
    }

    /// The files were read while they stood like this.
    pub(super) fn judged(&mut self, signature: Signature) {
        self.judged = Some(signature);
    }
}

/// Texts as they stood at one moment: each file is read once.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    overlay: Overlay,
    profiles: PathBuf,
    read: RefCell<BTreeMap<PathBuf, Result<String, FileFault>>>,
}

impl Texts {
    /// Of the files below `profiles`, with what stands in their place.
    #[must_use]
    pub fn new(overlay: Overlay, profiles: &Path) -> Self {
        Self {
            overlay,
            profiles: profiles.to_owned(),
            read: RefCell::default(),
        }
    }

    /// The text that was read of a file.
    #[must_use]
    pub fn text(&self, path: &Path) -> Option<String> {
        self.read.borrow().get(path)?.as_ref().ok().cloned()
    }
}

impl Files for Texts {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        if let Some(read) = self.read.borrow().get(path) {
            return read.clone();
        }
        let long = std::fs::metadata(path).is_ok_and(|seen| seen.len() > LONGEST);
        let read = if long {
            Err(FileFault::Unreadable(format!(
                "it is longer than {} MiB: that is no profile",
                LONGEST >> 20
            )))
        } else {
            self.overlay.over(&self.profiles).read(path)
        };
        self.read.borrow_mut().insert(path.to_owned(), read.clone());
        read
    }

    fn shown(&self, path: &Path) -> PathBuf {
        self.overlay.over(&self.profiles).shown(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tick: u64) -> Moment {
        Moment::new(0, tick)
    }

    #[test]
    fn a_file_counts_once_it_has_rested() {
        let dir = tempfile::tempdir().unwrap();
        let look = || signature(dir.path(), &[dir.path().join("gateway.lock")]);
        let mut settling = Settling::new(at(0));
        assert!(!settling.see(look(), at(400)));
        assert!(settling.see(look(), at(500)), "an empty folder is looked at, too");
        settling.judged(look());
        assert!(!settling.see(look(), at(10_000)));
        std::fs::create_dir(dir.path().join("acme")).unwrap();
        std::fs::write(dir.path().join("acme/x.toml"), "a").unwrap();
        std::fs::write(dir.path().join("acme/x.txt"), "a").unwrap();
        assert!(!settling.see(look(), at(10_100)));
        assert!(!settling.see(look(), at(10_500)));
        std::fs::write(dir.path().join("acme/x.toml"), "ab").unwrap();
        assert!(!settling.see(look(), at(10_700)));
        assert!(!settling.see(look(), at(11_100)));
        assert!(settling.see(look(), at(11_200)));
        settling.judged(look());
        assert!(!settling.see(look(), at(20_000)));
        std::fs::write(dir.path().join("gateway.lock"), "a").unwrap();
        assert!(!settling.see(look(), at(20_001)));
        assert!(settling.see(look(), at(20_501)));
        std::fs::remove_file(dir.path().join("acme/x.toml")).unwrap();
        assert!(!settling.see(look(), at(20_600)));
        assert!(settling.see(look(), at(21_100)));
    }

    #[test]
    fn a_text_is_of_one_moment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        std::fs::write(&path, "a").unwrap();
        let texts = Texts::default();
        assert_eq!(texts.read(&path).unwrap(), "a");
        std::fs::write(&path, "b").unwrap();
        assert_eq!(texts.read(&path).unwrap(), "a");
        assert_eq!(texts.text(&path).unwrap(), "a");
        let mut overlay = Overlay::new();
        overlay.put(Path::new("x.toml"), "given".to_owned(), Path::new("y.toml"));
        let other = Texts::new(overlay, dir.path());
        assert_eq!(other.read(&path).unwrap(), "given");
        assert_eq!(other.shown(&path), Path::new("y.toml"));
        assert_eq!(Texts::default().text(&path), None);
    }
}
