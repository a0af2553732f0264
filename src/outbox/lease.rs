//! Leases on sequence numbers: a small checksummed file beside the store, in two copies written in turn.
//!
//! Owns the file, its form and the rule that a number is committed only when its lease is on disk. Does not
//! own numbers: it only says past which of them a store may have gone that is no longer there to be asked.
//! A write that is torn by a power loss spoils one copy; the other still holds what was promised before.

use super::OutboxError;
use super::store::sync_dir;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Numbers leased at a time.
pub(super) const BLOCK: u64 = 4_096;
const COPIES: [&str; 2] = ["leases-a", "leases-b"];
const TITLE: &str = "lineside leases 1";

/// What is leased on one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    /// The topic's number in the store.
    pub(super) id: u32,
    /// The last number that may have been given.
    pub(super) end: u64,
    /// The next number when this was written: a store that says less has lost something.
    pub(super) floor: u64,
}

/// The pair of files and what they say.
#[derive(Debug)]
pub(super) struct Leases {
    paths: [PathBuf; 2],
    dir: PathBuf,
    generation: u64,
    /// The copy to write next.
    turn: usize,
    /// Stream of the store for which they were written, empty before the first.
    pub(super) stream: String,
    pub(super) topics: BTreeMap<Arc<str>, Lease>,
}

impl Leases {
    /// Reads both copies in `dir`; the newest that is whole counts. Notes say what was wrong with the other.
    pub(super) fn load(dir: &Path, notes: &mut Vec<String>) -> Result<Self, OutboxError> {
        let paths = COPIES.map(|name| dir.join(name));
        let mut leases = Self {
            paths: paths.clone(),
            dir: dir.to_owned(),
            generation: 0,
            turn: 0,
            stream: String::new(),
            topics: BTreeMap::new(),
        };
        for (copy, path) in paths.iter().enumerate() {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(OutboxError::io("read the leases on sequence numbers", error)),
            };
            match parse(&bytes) {
                Some((generation, stream, topics)) if generation > leases.generation => {
                    leases.generation = generation;
                    leases.turn = 1 - copy;
                    leases.stream = stream;
                    leases.topics = topics;
                }
                Some(_) => {}
                None => notes.push(format!("{} is damaged; the other copy counts", path.display())),
            }
        }
        Ok(leases)
    }

    /// Writes what is leased now over the older copy; on disk when it returns.
    pub(super) fn save(&mut self) -> Result<(), OutboxError> {
        let path = &self.paths[self.turn];
        let text = format(self.generation + 1, &self.stream, &self.topics);
        let write = || -> std::io::Result<()> {
            let known = path.exists();
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            if known { Ok(()) } else { sync_dir(&self.dir) }
        };
        write().map_err(|error| OutboxError::io("write the leases on sequence numbers", error))?;
        self.generation += 1;
        self.turn = 1 - self.turn;
        Ok(())
    }
}

fn format(generation: u64, stream: &str, topics: &BTreeMap<Arc<str>, Lease>) -> String {
    let title = format!("{TITLE}\n{generation} {stream}\n");
    let line = |(topic, lease): (&Arc<str>, &Lease)| format!("{} {} {} {topic}\n", lease.end, lease.floor, lease.id);
    let text: String = std::iter::once(title).chain(topics.iter().map(line)).collect();
    let crc = crc32fast::hash(text.as_bytes());
    format!("{text}crc {crc:08x}\n")
}

type Parsed = (u64, String, BTreeMap<Arc<str>, Lease>);

fn parse(bytes: &[u8]) -> Option<Parsed> {
    let text = std::str::from_utf8(bytes).ok()?;
    let body = text.strip_suffix('\n')?;
    let (body, crc) = body.rsplit_once("crc ")?;
    if crc.len() != 8 || u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let mut lines = body.lines();
    if lines.next()? != TITLE {
        return None;
    }
    let (generation, stream) = lines.next()?.split_once(' ')?;
    let mut topics = BTreeMap::new();
    for line in lines {
        let mut words = line.splitn(4, ' ');
        let end = words.next()?.parse().ok()?;
        let floor = words.next()?.parse().ok()?;
        let id = words.next()?.parse().ok()?;
        topics.insert(Arc::from(words.next()?), Lease { id, end, floor });
    }
    Some((generation.parse().ok()?, stream.to_owned(), topics))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(end: u64) -> Lease {
        Lease { id: 1, end, floor: 1 }
    }

    #[test]
    fn copies_are_written_in_turn_and_a_torn_one_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut notes = Vec::new();
        let mut leases = Leases::load(dir.path(), &mut notes).unwrap();
        assert!(leases.topics.is_empty());
        leases.stream = "s1".into();
        for end in [100, 200, 300] {
            leases.topics.insert("plant/a b".into(), lease(end));
            leases.save().unwrap();
        }
        // 100 -> a, 200 -> b, 300 -> a
        let again = Leases::load(dir.path(), &mut notes).unwrap();
        assert_eq!(again.topics["plant/a b"], lease(300));
        assert_eq!((again.generation, again.turn, again.stream.as_str()), (3, 1, "s1"));
        let whole = fs::read(dir.path().join("leases-a")).unwrap();
        for length in 0..whole.len() {
            fs::write(dir.path().join("leases-a"), &whole[..length]).unwrap();
            notes.clear();
            let again = Leases::load(dir.path(), &mut notes).unwrap();
            assert_eq!(again.topics["plant/a b"], lease(200), "cut at {length}");
            assert_eq!(again.turn, 0, "the torn copy is the one to write next");
            assert_eq!(notes.len(), 1);
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut topics = BTreeMap::new();
        topics.insert(Arc::from("t"), lease(4_096));
        let text = format(1, "s", &topics);
        assert_eq!(parse(text.as_bytes()).unwrap().2, topics);
        for bit in 0..text.len() * 8 {
            let mut bad = text.clone().into_bytes();
            bad[bit / 8] ^= 1 << (bit % 8);
            // A hex digit may only change its case.
            assert!(
                parse(&bad).is_none_or(|parsed| parsed.2 == topics),
                "bit {bit} went unnoticed"
            );
        }
    }
}
