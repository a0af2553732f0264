//! From a stream of bytes to telegrams, by their length field (specification 3.8: not by NUL alone).
//!
//! Owns resynchronisation: a length that lies, noise and half telegrams cost what they are, never what comes next.
//! Does not own the serial frame around a telegram ([`super::serial`]) nor parts ([`super::joiner`]).

use super::header::{HEADER, Header, LONGEST, TRACE, Telegram};

/// Most bytes that wait for their end: two of the longest telegrams.
const MOST: usize = 2 * (LONGEST + 1);

/// What a stream gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// A whole telegram, and its bytes as they came (closing NUL included where it came).
    Telegram(Telegram, Vec<u8>),
    /// So many bytes that are no telegram were dropped.
    Noise(usize),
}

/// Cuts a stream of bytes into telegrams. As an iterator it gives `None` where more bytes are needed,
/// and may go on after them. Never holds more than 20 000 bytes.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// The last telegram was a trace, which has no closing NUL: one that came nevertheless is no noise.
    after_trace: bool,
    noise: u64,
}

/// What stands at the beginning of the buffer.
enum Front {
    /// Too few bytes to say.
    Wait,
    /// A telegram of this length, and whether its NUL follows.
    Whole(usize, bool),
    /// No telegram.
    Bad,
}

impl Splitter {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was received. Take everything out (`next` until `None`) before pushing again: what exceeds
    /// the bound is dropped from the front and counted as noise.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for more.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes dropped since the start.
    #[must_use]
    pub const fn noise(&self) -> u64 {
        self.noise
    }

    /// For a peer that leaves out the closing NUL: gives the telegram that is whole but for it.
    /// To be asked (until `None`) when nothing came for a while (a driver's read time-out), never in the middle of a burst.
    pub fn settle(&mut self) -> Option<Split> {
        let (length, _) = Header::parse(&self.buffer).ok()?;
        let rest = self.buffer.get(length..)?;
        (length >= HEADER && may_begin(rest)).then(|| self.take(length, false))
    }

    /// Forgets what waits, after a reconnect.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.after_trace = false;
    }

    fn take(&mut self, length: usize, nul: bool) -> Split {
        let raw: Vec<u8> = self.buffer.drain(..length + usize::from(nul)).collect();
        match Telegram::parse(&raw) {
            Ok(telegram) => {
                self.after_trace = telegram.mid() == TRACE;
                Split::Telegram(telegram, raw)
            }
            Err(_) => self.dropped(raw.len()),
        }
    }

    fn drop_front(&mut self, count: usize) -> Split {
        let count = count.min(self.buffer.len());
        self.buffer.drain(..count);
        self.dropped(count)
    }

    fn dropped(&mut self, count: usize) -> Split {
        self.noise = self.noise.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Split::Noise(count)
    }

    /// How many bytes to drop to stand where a telegram may begin; all where none may.
    fn next_start(&self) -> usize {
        let mut hopeful = None;
        for at in 1..self.buffer.len() {
            let rest = self.buffer.get(at..).unwrap_or_default();
            if !may_begin(rest) {
                continue;
            }
            // Digits in the data look like headers: only a header behind a NUL, or one whose length leads to
            // its own end, is believed at once.
            match front(rest) {
                Front::Whole(..) => return at,
                Front::Wait if self.buffer.get(at - 1) == Some(&0) => return at,
                Front::Wait => hopeful = hopeful.or(Some(at)),
                Front::Bad => {}
            }
        }
        match hopeful {
            Some(at) if self.buffer.len() <= MOST => at,
            _ => self.buffer.len(),
        }
    }
}

impl Iterator for Splitter {
    type Item = Split;

    fn next(&mut self) -> Option<Split> {
        if std::mem::take(&mut self.after_trace) {
            match self.buffer.first() {
                Some(0) => {
                    self.buffer.drain(..1);
                }
                Some(_) => {}
                None => self.after_trace = true,
            }
        }
        if self.buffer.is_empty() {
            return None;
        }
        match front(&self.buffer) {
            Front::Wait if self.buffer.len() <= MOST => None,
            Front::Whole(length, nul) => Some(self.take(length, nul)),
            Front::Wait | Front::Bad => {
                let count = self.next_start();
                Some(self.drop_front(count.max(1)))
            }
        }
    }
}

/// Whether the bytes that are there could begin a header: digits for length and MID, digits or blanks behind.
fn may_begin(bytes: &[u8]) -> bool {
    let head = bytes.get(..HEADER).unwrap_or(bytes);
    let digits = head
        .iter()
        .enumerate()
        .all(|(at, b)| b.is_ascii_digit() || (at >= 8 && *b == b' '));
    digits && length_of(bytes).is_none_or(|length| length >= HEADER)
}

/// The length field, once its four digits are there.
fn length_of(bytes: &[u8]) -> Option<usize> {
    std::str::from_utf8(bytes.get(..4)?).ok()?.parse().ok()
}

fn front(bytes: &[u8]) -> Front {
    if !may_begin(bytes) {
        return Front::Bad;
    }
    let (Ok((length, header)), true) = (Header::parse(bytes), bytes.len() >= HEADER) else {
        return Front::Wait;
    };
    let inside = bytes.get(..length).unwrap_or(bytes);
    if header.mid == TRACE && (inside.len() < length || inside.contains(&0)) {
        // The binary block holds any byte: nothing but the length says where it ends.
        return if inside.len() < length {
            Front::Wait
        } else {
            Front::Whole(length, false)
        };
    }
    if inside.contains(&0) {
        // Text has no NUL: the telegram ended before its length did.
        return Front::Bad;
    }
    match bytes.get(length..) {
        None | Some([]) => Front::Wait,
        Some([0, ..]) => Front::Whole(length, true),
        // Its NUL is missing or wrong, but what follows is a telegram.
        Some(rest) => match (follows(rest), follows(rest.get(1..).unwrap_or_default())) {
            (Some(true), _) | (_, Some(true)) => Front::Whole(length, false),
            (None, _) | (_, None) => Front::Wait,
            _ => Front::Bad,
        },
    }
}

/// Whether a telegram with its NUL begins here; `None` where more bytes are needed to say.
fn follows(bytes: &[u8]) -> Option<bool> {
    if !may_begin(bytes) {
        return Some(false);
    }
    let (length, header) = Header::parse(bytes).ok()?;
    let inside = bytes.get(..length);
    if header.mid == TRACE {
        return inside.map(|inside| inside.contains(&0));
    }
    if inside.unwrap_or(bytes).contains(&0) {
        return Some(false);
    }
    bytes.get(length).map(|end| *end == 0)
}
