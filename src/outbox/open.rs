//! Opening: which of what lies in the state directory is the store, and what follows where there is none.
//! Owns the order of these steps; [`super::store`] and [`super::lease`] own the steps.

use super::frame::{meta_key, seal};
use super::index::{Index, Topic};
use super::lease::Leases;
use super::store::{Change, Host, OpenFault, Shelf, Store, first_records, make_dir, new_stream, store_paths, sync_dir};
use super::{Limits, Lost, Meter, OpenReport, Outbox, OutboxError};
use crate::clock::Clock;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that must be free for sled to open: it writes a snapshot.
const OPEN_NEEDS: u64 = 16 << 20;
const LOCK: &str = "store.lock";
/// Name of the record that says which loss made this store, until somebody has told of it.
const LOST: &str = "lost";
/// Bytes of its reason.
const LONGEST_LOSS: usize = 1_024;

impl Outbox {
    /// Opens the outbox in `state_dir`, or begins one. Looks at every record once: 4 s for a million events of 600 bytes
    /// on 2 cores, sled's own open included.
    ///
    /// A store that cannot be read is moved aside as `store.damaged-<n>` and kept; a new one with a new stream goes on
    /// past every number that was leased.
    ///
    /// # Errors
    /// Another process has it, the disk is full, or the store was written by a newer version. Nothing is changed then.
    pub fn open(state_dir: &Path, limits: Limits, clock: Clock) -> Result<(Self, OpenReport), OutboxError> {
        Self::open_with(state_dir, limits, clock, Host::machine())
    }

    pub(super) fn open_with(
        state_dir: &Path,
        limits: Limits,
        clock: Clock,
        host: Host,
    ) -> Result<(Self, OpenReport), OutboxError> {
        make_dir(state_dir).map_err(|error| OutboxError::io("create state_dir", error))?;
        let lock = lock(state_dir)?;
        Self::open_locked(state_dir.to_owned(), limits, clock, host, lock)
    }

    /// Opens again after an error that ended this handle. The same commits must then be appended again: until that
    /// is done, events that may not be on disk are neither read nor delivered.
    pub fn reopen(self) -> Result<(Self, OpenReport), OutboxError> {
        let Self {
            state_dir,
            limits,
            clock,
            host,
            lock,
            store,
            index,
            rotation,
            ..
        } = self;
        drop(rotation);
        store.forget_cached();
        let stream = store.stream.clone();
        drop(store);
        let sealed: HashMap<Arc<str>, u64> = index
            .topics
            .into_iter()
            .map(|topic| (topic.name, topic.sealed))
            .collect();
        let (mut outbox, report) = Self::open_locked(state_dir, limits, clock, host, lock)?;
        if outbox.stream() == stream {
            for topic in &mut outbox.index.topics {
                topic.sealed = topic.next.min(sealed.get(&topic.name).copied().unwrap_or(1));
            }
        }
        Ok((outbox, report))
    }

    /// The loss that [`OpenReport::lost`] tells has been told, durably. Until then every opening reports it, so that
    /// neither a kill nor a look by `lineside outbox` keeps it from being told.
    pub fn loss_told(&mut self) -> Result<(), OutboxError> {
        self.ready()?;
        let written = self.store.write(vec![(meta_key(LOST), None)]);
        self.watch(written)
    }

    fn open_locked(
        state_dir: PathBuf,
        limits: Limits,
        clock: Clock,
        host: Host,
        lock: File,
    ) -> Result<(Self, OpenReport), OutboxError> {
        let free =
            (host.free)(&state_dir).map_err(|error| OutboxError::io("ask for the free space of the disk", error))?;
        let needed = limits.reserve.min(OPEN_NEEDS);
        if free < needed {
            return Err(OutboxError::NoSpace { free, needed });
        }
        let mut notes = Vec::new();
        let leases = Leases::load(&state_dir, &mut notes)?;
        let found = find(&state_dir, &leases, &host, &mut notes)?;
        let (store, index, fresh, lost) = match found {
            Found::Whole(whole) => {
                let lost = whole.0.meta(LOST)?.map(|reason| Lost {
                    kept: None,
                    reason: String::from_utf8_lossy(&reason).into_owned(),
                });
                (whole.0, whole.1, false, lost)
            }
            Found::Nothing => {
                let fresh = leases.topics.is_empty();
                let lost = (!fresh).then(|| Lost {
                    kept: None,
                    reason: "it is gone, and leases on its numbers are still there".to_owned(),
                });
                let (store, index) = create(&state_dir, &leases, lost.as_ref(), &host, &mut notes)?;
                (store, index, fresh, lost)
            }
            Found::Lost(lost) => {
                let (store, index) = create(&state_dir, &leases, Some(&lost), &host, &mut notes)?;
                (store, index, false, Some(lost))
            }
        };
        let base = index.powered.cast_signed().saturating_sub_unsigned(clock.now().tick);
        let outbox = Self {
            rotate_from: limits.rotate_above,
            state_dir,
            limits,
            clock,
            host,
            lock,
            store,
            leases,
            powered_base: base,
            powered_written: index.powered,
            index,
            failed: RefCell::new(None),
            rotation: None,
            meter: Meter::default(),
        };
        let report = OpenReport {
            stream: outbox.stream().to_owned(),
            fresh,
            lost,
            topics: outbox.topics(),
            notes,
        };
        outbox.ready()?;
        Ok((outbox, report))
    }
}

enum Found {
    Whole(Box<(Store, Index)>),
    Nothing,
    Lost(Lost),
}

fn lock(state_dir: &Path) -> Result<File, OutboxError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(state_dir.join(LOCK))
        .map_err(|error| OutboxError::io("open the lock of state_dir", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OutboxError::Locked(state_dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(OutboxError::io("lock state_dir", error)),
    }
}

/// Opens and counts the store that counts; removes what a crash left of others.
fn find(state_dir: &Path, leases: &Leases, host: &Host, notes: &mut Vec<String>) -> Result<Found, OutboxError> {
    let tidy = |error| OutboxError::io("tidy state_dir", error);
    let shelf = Shelf::look(state_dir).map_err(tidy)?;
    for dir in &shelf.unfinished {
        fs::remove_dir_all(dir).map_err(tidy)?;
        notes.push(format!("{} was never completed and is removed", dir.display()));
    }
    let Some(((_, dir), older)) = shelf.stores.split_last() else {
        return Ok(Found::Nothing);
    };
    let opened = Store::open(dir, host).and_then(|store| {
        // A page that cannot be read shows only when all are.
        let index = Index::scan(&store, leases, notes).map_err(|error| OpenFault::Damaged(error.to_string()))?;
        Ok((store, index))
    });
    match opened {
        Ok(whole) => {
            for (_, dir) in older {
                fs::remove_dir_all(dir).map_err(tidy)?;
                notes.push(format!("{} was replaced before and is removed", dir.display()));
            }
            Ok(Found::Whole(Box::new(whole)))
        }
        Err(OpenFault::Refused(error)) => Err(error),
        Err(OpenFault::Damaged(reason)) => {
            let mut kept = None;
            for (number, (_, dir)) in (shelf.next_number()..).zip(shelf.stores.iter().rev()) {
                let aside = state_dir.join(format!("store.damaged-{number}"));
                fs::rename(dir, &aside).map_err(tidy)?;
                kept.get_or_insert(aside);
            }
            sync_dir(state_dir).map_err(tidy)?;
            Ok(Found::Lost(Lost { kept, reason }))
        }
    }
}

/// A new store whose numbers begin past every lease.
fn create(
    state_dir: &Path,
    leases: &Leases,
    lost: Option<&Lost>,
    host: &Host,
    notes: &mut Vec<String>,
) -> Result<(Store, Index), OutboxError> {
    let shelf = Shelf::look(state_dir).map_err(|error| OutboxError::io("look into state_dir", error))?;
    let (path, unfinished) = store_paths(state_dir, shelf.next_number());
    let mut next = Store::create_next(&unfinished, host)?;
    let mut changes: Vec<Change> = first_records(&new_stream());
    for (id, (name, lease)) in (1..).zip(&leases.topics) {
        let mut topic = Topic::new(id, name.clone());
        topic.delivered = lease.end;
        topic.next = lease.end.saturating_add(1);
        changes.push(topic.name_record());
        changes.push(topic.pointer_record());
    }
    if let Some(lost) = lost {
        let key = meta_key(LOST);
        let reason: String = lost.reason.chars().take(LONGEST_LOSS / 4).collect();
        let value = seal(&key, reason.as_bytes());
        changes.push((key, Some(value)));
    }
    next.write(changes)?;
    next.promote(&path)?;
    let store = Store::open(&path, host).map_err(|fault| match fault {
        OpenFault::Refused(error) => error,
        OpenFault::Damaged(why) => OutboxError::Sled {
            what: "open the new store",
            why,
        },
    })?;
    let index = Index::scan(&store, leases, notes)?;
    Ok((store, index))
}
