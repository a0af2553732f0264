//! Rotation: sled never shrinks a file, so once a backlog has drained, what is left is copied to a new store and the
//! old one is removed. Owns when, the copy in bounded steps beside running appends, and the switch.
//!
//! Every key written while the copy runs is remembered and copied once more at its end, where the writer rests
//! (it is this thread). The switch is one rename ([`super::store`]); a crash before it leaves the old store whole, a crash after
//! it the new one, and the next open removes the other.

use super::store::{Shelf, Store, store_paths};
use super::types::OutboxError;
use super::{Outbox, disk};
use std::collections::BTreeSet;
use std::fs;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;

/// Keys changed during a copy that are remembered; with more the copy is given up and begun again later.
const MAX_CHANGED: usize = 65_536;
/// Records of one batch.
const BATCH: usize = 256;

/// A copy on its way.
#[derive(Debug)]
pub(super) struct Rotation {
    next: Store,
    /// Its name once it is whole.
    path: PathBuf,
    /// The last key copied.
    cursor: Vec<u8>,
}

impl Outbox {
    /// A file that is large and holds little.
    pub(super) fn worth_rotating(&self) -> bool {
        let bytes = self.store.file_bytes();
        // What is copied must find room beside the old file.
        let live = disk(self.index.live_bytes());
        let room = self.limits.reserve.saturating_add(live.saturating_mul(2));
        bytes > self.rotate_from && live < bytes / 4 && self.store.free().unwrap_or(0) >= room
    }

    /// One step; `true`: there is more to do.
    pub(super) fn rotate_step(&mut self, budget: usize) -> Result<bool, OutboxError> {
        let Some(mut rotation) = self.rotation.take() else {
            self.rotation = self.begin_rotation()?;
            return Ok(true);
        };
        let overrun = self.store.changed.as_ref().is_none_or(|keys| keys.len() > MAX_CHANGED);
        if overrun {
            self.give_up(rotation)?;
            return Ok(true);
        }
        let mut copied = Vec::new();
        let from = Bound::Excluded(rotation.cursor.as_slice());
        self.store.range(from, Bound::Unbounded, &mut |key, value| {
            copied.push((key.to_vec(), Some(value.to_vec())));
            if copied.len() < budget {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        let done = copied.len() < budget;
        if let Some((key, _)) = copied.last() {
            rotation.cursor.clone_from(key);
        }
        self.host.step("copy")?;
        if let Err(error) = rotation.next.write(copied) {
            return self.failed_copy(rotation, error);
        }
        if !done {
            self.rotation = Some(rotation);
            return Ok(true);
        }
        self.finish_rotation(rotation)?;
        Ok(true)
    }

    fn begin_rotation(&mut self) -> Result<Option<Rotation>, OutboxError> {
        let present = Shelf::look(&self.state_dir).map_err(|error| OutboxError::io("look into state_dir", error))?;
        let (path, unfinished) = store_paths(&self.state_dir, present.next_number());
        for leftover in present.unfinished {
            fs::remove_dir_all(leftover).map_err(|error| OutboxError::io("remove an unfinished store", error))?;
        }
        match Store::create_next(&unfinished, &self.host) {
            Ok(next) => {
                self.store.changed = Some(BTreeSet::new());
                let cursor = Vec::new();
                Ok(Some(Rotation { next, path, cursor }))
            }
            Err(error) if error.ends_process() => Err(error),
            Err(_) => {
                self.postpone();
                Ok(None)
            }
        }
    }

    /// The writer rests: what changed since is copied, and the new store takes the place of the old one.
    fn finish_rotation(&mut self, mut rotation: Rotation) -> Result<(), OutboxError> {
        let lazy = self.lazy_changes(true);
        self.store.write(lazy)?;
        let keys: Vec<Vec<u8>> = self.store.changed.take().into_iter().flatten().collect();
        self.host.step("before catching up")?;
        for chunk in keys.chunks(BATCH) {
            let mut changes = Vec::with_capacity(chunk.len());
            for key in chunk {
                let value = self.store.get(key)?.map(|value| value.to_vec());
                changes.push((key.clone(), value));
            }
            if let Err(error) = rotation.next.write(changes) {
                return self.failed_copy(rotation, error).map(|_| ());
            }
        }
        self.host.step("after catching up")?;
        let Rotation { next, path, .. } = rotation;
        if let Err(error) = next.promote(&path) {
            // Renamed or not: only an open that looks again can tell.
            if path.exists() || error.ends_process() {
                return Err(error);
            }
            self.postpone();
            return Ok(());
        }
        let fresh = Store::open(&path, &self.host).map_err(|fault| match fault {
            super::store::OpenFault::Refused(error) => error,
            super::store::OpenFault::Damaged(why) => OutboxError::Sled {
                what: "open the store that was just copied",
                why,
            },
        })?;
        let old = std::mem::replace(&mut self.store, fresh);
        let dir = old.dir.clone();
        drop(old);
        self.host.step("before removing the old store")?;
        // What is left of it is removed at the next open.
        fs::remove_dir_all(dir).ok();
        self.meter.rotations += 1;
        self.rotate_from = self.limits.rotate_above.max(self.store.file_bytes().saturating_mul(2));
        Ok(())
    }

    /// The copy failed, the store itself did not: it goes on, and a rotation waits for a much larger file.
    fn failed_copy(&mut self, rotation: Rotation, error: OutboxError) -> Result<bool, OutboxError> {
        if error.ends_process() {
            return Err(error);
        }
        self.give_up(rotation)?;
        Ok(true)
    }

    fn give_up(&mut self, rotation: Rotation) -> Result<(), OutboxError> {
        let dir = rotation.next.dir.clone();
        drop(rotation);
        self.postpone();
        fs::remove_dir_all(dir).map_err(|error| OutboxError::io("remove an unfinished store", error))
    }

    fn postpone(&mut self) {
        self.store.changed = None;
        self.rotate_from = self.store.file_bytes().saturating_add(self.limits.rotate_above);
    }
}
