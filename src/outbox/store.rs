//! The handle on sled, on the terms of `reference/store.md`. Owns the calls into sled, what durable means,
//! the directories `store-<n>` of a state directory and what a panic in sled becomes. Knows no events.
//!
//! Of the directories the highest `store-<n>` counts. A new one is made whole as `store.next-<n>`, synced, and
//! then renamed: whatever the moment of a crash, one of them is there and whole.

use super::frame::{meta_key, seal, unseal};
use super::{OutboxError, lease};
use rand::Rng as _;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The format that this version writes.
pub(super) const FORMAT: u32 = 1;
const CACHE: u64 = 16 * 1024 * 1024;
const FORMAT_NAME: &str = "format";
const STREAM_NAME: &str = "stream";
/// Tries, 10 ms apart, to get sled's own lock on a directory that this process has just closed.
const LOCK_TRIES: u32 = 300;

/// One thing that the machine does.
type Hook<A, T> = Arc<dyn Fn(&A) -> io::Result<T> + Send + Sync>;
/// Takes key and value of each record.
type Each<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// What of the machine a test may put its own in the place of.
#[derive(Clone)]
pub(super) struct Host {
    /// Free bytes of the file system of a path, for those who are not root.
    pub(super) free: Hook<Path, u64>,
    /// Makes a file's bytes durable.
    pub(super) sync: Hook<File, ()>,
    /// Told of each step at which a crash must be survived; an error stands for that crash.
    pub(super) step: Hook<str, ()>,
}

impl Host {
    pub(super) fn machine() -> Self {
        Self {
            free: Arc::new(free_bytes),
            sync: Arc::new(File::sync_data),
            step: Arc::new(|_| Ok(())),
        }
    }

    pub(super) fn step(&self, name: &str) -> Result<(), OutboxError> {
        (self.step)(name).map_err(|error| OutboxError::io("go on after an injected crash", error))
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Why a store did not open.
#[derive(Debug)]
pub(super) enum OpenFault {
    /// Nothing is wrong with the store itself: it stays where it is.
    Refused(OutboxError),
    /// It cannot be read: it is moved aside.
    Damaged(String),
}

/// An open store.
#[derive(Debug)]
pub(super) struct Store {
    db: sled::Db,
    /// Our own descriptor of sled's file: sled's flush is not durable on Linux.
    file: File,
    pub(super) dir: PathBuf,
    pub(super) stream: String,
    pub(super) format: u32,
    host: Host,
    /// Keys written since a copy began, while one is being made.
    pub(super) changed: Option<BTreeSet<Vec<u8>>>,
}

impl Store {
    /// Opens what is in `dir`, and makes durable what it finds there.
    pub(super) fn open(dir: &Path, host: &Host) -> Result<Self, OpenFault> {
        let refused = |what, error| OpenFault::Refused(OutboxError::io(what, error));
        remove_half_snapshots(dir).map_err(|error| refused("remove half-written snapshots", error))?;
        let db = open_sled(dir)?;
        let file = File::open(dir.join("db")).map_err(|error| refused("open the store's file", error))?;
        sync_tree(dir).map_err(|error| refused("sync the store after opening it", error))?;
        if let Some(parent) = dir.parent() {
            sync_dir(parent).map_err(|error| refused("sync the state directory", error))?;
        }
        let mut store = Self {
            db,
            file,
            dir: dir.to_owned(),
            stream: String::new(),
            format: 0,
            host: host.clone(),
            changed: None,
        };
        let damaged = |error: OutboxError| OpenFault::Damaged(error.to_string());
        let missing = |name: &str| OpenFault::Damaged(format!("its record `{name}` is missing or damaged"));
        let format = store.meta(FORMAT_NAME).map_err(damaged)?;
        let format = format.ok_or_else(|| missing(FORMAT_NAME))?;
        store.format = format
            .as_slice()
            .try_into()
            .map(u32::from_be_bytes)
            .map_err(|_| missing(FORMAT_NAME))?;
        if store.format > FORMAT {
            return Err(OpenFault::Refused(OutboxError::Newer {
                found: store.format,
                known: FORMAT,
            }));
        }
        let stream = store.meta(STREAM_NAME).map_err(damaged)?;
        store.stream = stream
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| missing(STREAM_NAME))?;
        Ok(store)
    }

    /// An empty sled under a directory that nobody reads yet.
    pub(super) fn create_next(dir: &Path, host: &Host) -> Result<Self, OutboxError> {
        make_dir(dir).map_err(|error| OutboxError::io("create a new store", error))?;
        let db = open_sled(dir).map_err(|fault| match fault {
            OpenFault::Refused(error) => error,
            OpenFault::Damaged(why) => OutboxError::Sled {
                what: "create a new store",
                why,
            },
        })?;
        let file = File::open(dir.join("db")).map_err(|error| OutboxError::io("open the new store's file", error))?;
        Ok(Self {
            db,
            file,
            dir: dir.to_owned(),
            stream: String::new(),
            format: FORMAT,
            host: host.clone(),
            changed: None,
        })
    }

    /// Closes a `store.next-<n>` that is complete and gives it its name `store-<n>`, all of it durable.
    pub(super) fn promote(mut self, name: &Path) -> Result<(), OutboxError> {
        self.sync()?;
        let (host, next) = (self.host.clone(), self.dir.clone());
        drop(self);
        let promote = || -> io::Result<()> {
            sync_tree(&next)?;
            (host.step)("before rename")?;
            fs::rename(&next, name)?;
            (host.step)("after rename")?;
            name.parent().map_or(Ok(()), sync_dir)
        };
        promote().map_err(|error| OutboxError::io("switch to the new store", error))
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, OutboxError> {
        let key = meta_key(name);
        let value = self.get(&key)?;
        Ok(value.and_then(|value| unseal(&key, &value).map(<[u8]>::to_vec)))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, OutboxError> {
        guard("read", || self.db.get(key))
    }

    /// Writes all of it or nothing. Not durable before [`Self::sync`].
    pub(super) fn write(&mut self, changes: Vec<Change>) -> Result<(), OutboxError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            if let Some(changed) = &mut self.changed {
                changed.insert(key.clone());
            }
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        guard("write", || self.db.apply_batch(batch))
    }

    /// Makes durable what was written. An error is final: the kernel may have dropped what it could not write.
    pub(super) fn sync(&mut self) -> Result<(), OutboxError> {
        guard("flush", || self.db.flush())?;
        (self.host.sync)(&self.file).map_err(|error| OutboxError::io("sync the store", error))
    }

    /// Shows the records of a range in the order of their keys until `each` breaks.
    pub(super) fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, each: &mut Each<'_>) -> Result<(), OutboxError> {
        guard("scan", || {
            for record in self.db.range::<&[u8], _>((from, to)) {
                let (key, value) = record?;
                if each(&key, &value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// As [`Self::range`], the last record first.
    pub(super) fn range_back(&self, from: &[u8], to: &[u8], each: &mut Each<'_>) -> Result<(), OutboxError> {
        guard("scan", || {
            for record in self.db.range(from..=to).rev() {
                let (key, value) = record?;
                if each(&key, &value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Shows the records whose key begins with `prefix`.
    pub(super) fn prefix(&self, prefix: &[u8], each: &mut Each<'_>) -> Result<(), OutboxError> {
        guard("scan", || {
            for record in self.db.scan_prefix(prefix) {
                let (key, value) = record?;
                if each(&key, &value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Bytes of sled's file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Makes the kernel forget what it has of the file, so that the next open reads what the disk has:
    /// after a sync that failed the two may differ.
    pub(super) fn forget_cached(&self) {
        // Advice only: where it is not taken, the commits that are appended again still write anew what was in doubt.
        rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed).ok();
    }

    /// Bytes free on its file system.
    pub(super) fn free(&self) -> Result<u64, OutboxError> {
        (self.host.free)(&self.dir).map_err(|error| OutboxError::io("ask for the free space of the disk", error))
    }

    /// Writes around every check: only for tests that damage a store.
    #[cfg(test)]
    pub(super) fn raw(&self) -> &sled::Db {
        &self.db
    }
}

/// A key and its value, `None` to remove it.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Format and stream of a new store.
pub(super) fn first_records(stream: &str) -> Vec<Change> {
    [
        (FORMAT_NAME, FORMAT.to_be_bytes().to_vec()),
        (STREAM_NAME, stream.as_bytes().to_vec()),
    ]
    .into_iter()
    .map(|(name, payload)| {
        let key = meta_key(name);
        let value = seal(&key, &payload);
        (key, Some(value))
    })
    .collect()
}

/// A short random text, the name of a store for those who receive its events.
pub(super) fn new_stream() -> String {
    const DIGITS: [u8; 32] = *b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = rand::rng();
    (0..12)
        .map(|_| char::from(DIGITS[random.random_range(0..DIGITS.len())]))
        .collect()
}

fn open_sled(dir: &Path) -> Result<sled::Db, OpenFault> {
    for attempt in 1.. {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            sled::Config::new()
                .path(dir)
                .cache_capacity(CACHE)
                .mode(sled::Mode::HighThroughput)
                .open()
        }));
        return match opened {
            Ok(Ok(db)) => Ok(db),
            Ok(Err(error)) => {
                let text = error.to_string();
                if text.contains("could not acquire lock") {
                    if attempt < LOCK_TRIES {
                        // A thread of sled's that still holds a store just closed lets go of it soon.
                        std::thread::park_timeout(Duration::from_millis(10));
                        continue;
                    }
                    return Err(OpenFault::Refused(OutboxError::Locked(dir.to_owned())));
                }
                match error {
                    sled::Error::Io(error) if passing(&error) => {
                        Err(OpenFault::Refused(OutboxError::io("open the store", error)))
                    }
                    _ => Err(OpenFault::Damaged(text)),
                }
            }
            Err(panic) => Err(OpenFault::Damaged(format!("sled panicked: {}", panic_text(&*panic)))),
        };
    }
    Err(OpenFault::Refused(OutboxError::Locked(dir.to_owned())))
}

/// Whether an error of the operating system says nothing about the store itself.
fn passing(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let kinds = [
        Kind::PermissionDenied,
        Kind::StorageFull,
        Kind::QuotaExceeded,
        Kind::ReadOnlyFilesystem,
        Kind::OutOfMemory,
        Kind::Interrupted,
        Kind::WouldBlock,
        Kind::ResourceBusy,
    ];
    let too_many_files = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    kinds.contains(&error.kind()) || too_many_files.contains(&error.raw_os_error()) && error.raw_os_error().is_some()
}

/// A call into sled: its errors and its panics become ours.
fn guard<T>(what: &'static str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, OutboxError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(OutboxError::io(what, error)),
        Ok(Err(error)) => Err(OutboxError::Sled {
            what,
            why: error.to_string(),
        }),
        Err(panic) => Err(OutboxError::Panicked {
            what,
            why: panic_text(&*panic),
        }),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// A kill or a full disk inside open leaves them, and sled takes them for the newest snapshot (upstream issue 1527).
fn remove_half_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A directory that only its owner may enter.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes durable that a directory's entries are what they are.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes durable every file and directory in `dir`, and `dir`; nobody but the owner may read them.
fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            match File::open(entry.path()) {
                Ok(file) => {
                    if file.metadata()?.permissions().mode() & 0o077 != 0 {
                        file.set_permissions(fs::Permissions::from_mode(0o600))?;
                    }
                    file.sync_all()?;
                }
                // sled removes snapshots in the background.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    sync_dir(dir)
}

/// What of stores is in a state directory.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// `store-<n>`, ascending.
    pub(super) stores: Vec<(u64, PathBuf)>,
    /// `store.next-<n>`: never completed.
    pub(super) unfinished: Vec<PathBuf>,
    /// `store.damaged-<n>`, ascending.
    pub(super) damaged: Vec<(u64, PathBuf)>,
}

impl Shelf {
    pub(super) fn look(state_dir: &Path) -> io::Result<Self> {
        let mut shelf = Self::default();
        for entry in fs::read_dir(state_dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let number = |prefix| name.strip_prefix(prefix).and_then(|n: &str| n.parse::<u64>().ok());
            if let Some(n) = number("store-") {
                shelf.stores.push((n, entry.path()));
            } else if number("store.next-").is_some() {
                shelf.unfinished.push(entry.path());
            } else if let Some(n) = number("store.damaged-") {
                shelf.damaged.push((n, entry.path()));
            }
        }
        shelf.stores.sort_unstable();
        shelf.damaged.sort_unstable();
        Ok(shelf)
    }

    /// A number that no store here has had.
    pub(super) fn next_number(&self) -> u64 {
        let last = |list: &[(u64, PathBuf)]| list.last().map_or(0, |(n, _)| *n);
        last(&self.stores).max(last(&self.damaged)) + 1
    }
}

/// The path of store `number` under its name and while it is made.
pub(super) fn store_paths(state_dir: &Path, number: u64) -> (PathBuf, PathBuf) {
    (
        state_dir.join(format!("store-{number}")),
        state_dir.join(format!("store.next-{number}")),
    )
}

/// The last number that may have been given, as leased from `last` on.
pub(super) const fn lease_end(last: u64) -> u64 {
    last.saturating_add(lease::BLOCK)
}
