//! Frames among bytes: found, checked, and found again after noise and half frames.
//!
//! Owns what a frame is and what is noise. Reads no clock: who feeds it says when bytes came. Keeps at most twice the
//! longest frame. Total: any bytes give frames or noise, and every byte that is not blank is in one of them.

use super::shape;
use crate::model::plan::{Checksum, ChecksumAt, FramePlan};
use crate::wire::modbus::frame::crc;

/// Silence, in ms, that tells a frame from half a frame before it, where the length alone would leave it open.
const PAUSE: u64 = 20;
/// Pauses that are remembered.
const PAUSES: usize = 64;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framed {
    /// A frame.
    Frame {
        /// What stands between start and end, the check sum taken out.
        content: Vec<u8>,
        /// As on the wire.
        whole: Vec<u8>,
        /// What is wrong with it, in a sentence: a broken check sum, a wrong length.
        fault: Option<String>,
    },
    /// So many bytes that are no frame.
    Noise(usize),
}

/// What the bytes at hand are.
enum Cut {
    /// So many first bytes are a frame, or would be one but for this.
    Frame(usize, Option<String>),
    /// So many first bytes are noise.
    Noise(usize),
    /// So many first bytes are blanks between frames.
    Blank(usize),
    /// More is needed to tell.
    Wait,
}

/// Cuts frames out of bytes as they come.
#[derive(Debug, Clone)]
pub struct Framer {
    frame: FramePlan,
    bytes: Vec<u8>,
    /// So many of `bytes` are taken already.
    head: usize,
    /// When the last byte came, in ms.
    heard: u64,
    /// Where behind `head` pieces begin that came after a pause; the first ones.
    pauses: Vec<usize>,
    /// A frame was too long: its rest is noise.
    lost: bool,
}

impl Framer {
    /// Of a frame that [`shape::check`] has nothing against.
    #[must_use]
    pub fn new(frame: FramePlan) -> Self {
        let mut frame = frame;
        frame.lengths.sort_unstable();
        frame.max = frame.max.clamp(1, shape::LIMIT);
        Self {
            frame,
            bytes: Vec::new(),
            head: 0,
            heard: 0,
            pauses: Vec::new(),
            lost: false,
        }
    }

    /// Bytes that came at `now` (ms, monotonic).
    pub fn push(&mut self, now: u64, bytes: &[u8]) -> Vec<Framed> {
        let mut out = self.tick(now);
        let at = self.rest().len();
        if at > 0 && self.pauses.len() < PAUSES && now.saturating_sub(self.heard) >= PAUSE {
            self.pauses.push(at);
        }
        self.heard = now;
        for piece in bytes.chunks(self.frame.max) {
            self.bytes.extend_from_slice(piece);
            self.cut_all(false, &mut out);
        }
        out
    }

    /// It is `now`, and nothing has come since: silence may end a frame, or show that it is half one.
    pub fn tick(&mut self, now: u64) -> Vec<Framed> {
        let mut out = Vec::new();
        if self.due().is_some_and(|due| now >= due) {
            self.cut_all(true, &mut out);
            self.lost = false;
        }
        out
    }

    /// When [`Self::tick`] would have something to say, if nothing comes: ms.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        let gap = u64::try_from(shape::gap(&self.frame).as_millis()).unwrap_or(u64::MAX);
        (self.lost || !self.bytes.is_empty()).then(|| self.heard.saturating_add(gap))
    }

    /// Nobody listened until `now`: that was no silence of the device.
    pub fn resume(&mut self, now: u64) {
        self.heard = self.heard.max(now);
    }

    /// The connection ended: what is at hand is no frame, but where only silence ends one.
    pub fn close(&mut self) -> Vec<Framed> {
        let mut out = Vec::new();
        self.cut_all(true, &mut out);
        self.lost = false;
        out
    }

    fn cut_all(&mut self, silent: bool, out: &mut Vec<Framed>) {
        loop {
            let cut = self.cut(silent);
            let (taken, frame) = match cut {
                Cut::Wait => break,
                Cut::Blank(count) => {
                    self.take(count);
                    continue;
                }
                Cut::Noise(count) => (self.take(count), None),
                Cut::Frame(count, fault) => (self.take(count), Some(fault)),
            };
            match (frame, out.last_mut()) {
                (Some(fault), _) => out.push(opened(&self.frame, taken, fault)),
                (None, Some(Framed::Noise(before))) => *before = before.saturating_add(taken.len()),
                (None, _) => out.push(Framed::Noise(taken.len())),
            }
        }
        self.bytes.drain(..self.head.min(self.bytes.len()));
        self.head = 0;
    }

    /// What is not taken yet.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }

    /// At least one byte, so that every cut gets on.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.rest();
        let count = count.max(1).min(rest.len());
        let taken = rest.get(..count).unwrap_or_default().to_vec();
        self.head = self.head.saturating_add(count);
        self.pauses = self
            .pauses
            .iter()
            .filter_map(|at| at.checked_sub(count))
            .filter(|at| *at > 0)
            .collect();
        taken
    }

    /// What the first bytes are; `silent`: no more comes.
    fn cut(&mut self, silent: bool) -> Cut {
        let rest = self.rest();
        let Some(first) = rest.first() else { return Cut::Wait };
        if self.lost {
            return self.find_back(silent);
        }
        let (start, end) = (self.frame.start.as_slice(), self.frame.end.as_slice());
        // Between frames CR, LF and NUL mean nothing, unless everything is counted.
        let counted = start.is_empty() && end.is_empty() && !self.frame.lengths.is_empty();
        if !counted && matches!(first, b'\r' | b'\n' | 0) && start.first() != Some(first) {
            let blanks = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n' | 0));
            return Cut::Blank(blanks.count());
        }
        if !rest.starts_with(start) {
            return match begins(rest, start, 0) {
                Some(0) if silent => Cut::Noise(self.next_start().unwrap_or(rest.len())),
                Some(0) => Cut::Wait,
                Some(at) => Cut::Noise(at),
                None => Cut::Noise(rest.len()),
            };
        }
        if self.frame.lengths.is_empty() {
            self.cut_by_bytes(silent)
        } else {
            self.cut_by_length(silent)
        }
    }

    /// A frame of any length.
    fn cut_by_bytes(&mut self, silent: bool) -> Cut {
        let (len, max) = (self.rest().len(), self.frame.max);
        // Part of a start at the end of what is at hand may still become none.
        let next = self.next_start().filter(|at| self.is_start(*at));
        if self.frame.end.is_empty() {
            return match next {
                Some(at) if at <= max => Cut::Frame(at, None),
                _ if len > max => self.too_long(),
                _ if silent => Cut::Frame(len, None),
                _ => Cut::Wait,
            };
        }
        match (self.end(next), next) {
            (Some(end), _) if end > max => self.too_long(),
            (Some(end), _) if end <= len => Cut::Frame(end, None),
            (_, Some(at)) => Cut::Noise(at),
            _ if len > max => self.too_long(),
            _ if silent => Cut::Noise(len),
            _ => Cut::Wait,
        }
    }

    /// A frame of given lengths: a start inside does not begin another.
    fn cut_by_length(&mut self, silent: bool) -> Cut {
        let rest = self.rest();
        let len = rest.len();
        let fits = |length: &&usize| {
            let body = length.saturating_sub(shape::trailer(&self.frame));
            len >= **length && rest.get(..body).is_some_and(|body| body.ends_with(&self.frame.end))
        };
        if let Some(length) = self.frame.lengths.iter().find(fits) {
            return Cut::Frame(*length, None);
        }
        let longest = self.frame.lengths.last().copied().unwrap_or(self.frame.max);
        if len < longest && !silent {
            return Cut::Wait;
        }
        // None of its lengths ends as it should: half a frame, or a frame of another length.
        let next = self.next_start();
        match self.end(next).filter(|end| *end <= len) {
            Some(end) => {
                // A pause exactly one frame before its end tells where that begins.
                let begins = |at: &&usize| self.frame.lengths.iter().any(|length| **at + length == end);
                if let Some(at) = self.pauses.iter().find(begins).filter(|_| self.frame.start.is_empty()) {
                    return Cut::Noise(*at);
                }
                if end > self.frame.max {
                    return self.too_long();
                }
                Cut::Frame(end, Some(self.wrong_length(end)))
            }
            None => match next {
                Some(at) => Cut::Noise(at),
                None if silent || self.frame.end.is_empty() => Cut::Noise(len),
                None if len > self.frame.max => self.too_long(),
                None => Cut::Wait,
            },
        }
    }

    /// After a frame that was too long: everything up to its end, or to silence, is noise.
    fn find_back(&mut self, silent: bool) -> Cut {
        let (start, end) = (self.frame.start.as_slice(), self.frame.end.as_slice());
        let rest = self.rest();
        let len = rest.len();
        // What may begin a frame, or end this one.
        let mark = if start.is_empty() { end } else { start };
        let at = begins(rest, mark, 0).filter(|_| !mark.is_empty() && !silent);
        match at {
            None => Cut::Noise(len),
            Some(at) if at > 0 => Cut::Noise(at),
            Some(_) if !rest.starts_with(mark) => Cut::Wait,
            Some(_) if start.is_empty() => {
                let behind = end.len().saturating_add(shape::trailer(&self.frame));
                if len < behind {
                    return Cut::Wait;
                }
                self.lost = false;
                Cut::Noise(behind)
            }
            Some(_) => {
                self.lost = false;
                self.cut(silent)
            }
        }
    }

    fn too_long(&mut self) -> Cut {
        self.lost = true;
        let max = self.frame.max;
        let keys = if self.frame.end.is_empty() {
            "`max`"
        } else {
            "`end` and `max`"
        };
        Cut::Frame(max, Some(format!("longer than {max} bytes: check {keys} in [frame]")))
    }

    fn wrong_length(&self, is: usize) -> String {
        let lengths: Vec<String> = self.frame.lengths.iter().map(ToString::to_string).collect();
        format!("{is} bytes long and not {}", lengths.join(" or "))
    }

    /// Where another frame may begin.
    fn next_start(&self) -> Option<usize> {
        let start = &self.frame.start;
        (!start.is_empty()).then(|| begins(self.rest(), start, 1)).flatten()
    }

    fn is_start(&self, at: usize) -> bool {
        let rest = self.rest().get(at..);
        rest.is_some_and(|rest| rest.starts_with(&self.frame.start))
    }

    /// Where the frame ends, before `next`: behind the first `end` and its trailer, which may not be all there yet.
    fn end(&self, next: Option<usize>) -> Option<usize> {
        let end = self.frame.end.as_slice();
        let behind = end.len().saturating_add(shape::trailer(&self.frame));
        let body = self.rest().get(..next.unwrap_or(usize::MAX).min(self.rest().len()))?;
        let mut places = body.windows(end.len().max(1)).enumerate().skip(self.frame.start.len());
        let (at, _) = places.find(|(_, window)| !end.is_empty() && *window == end)?;
        let ends = at.saturating_add(behind);
        next.is_none_or(|next| ends <= next).then_some(ends)
    }
}

/// First place from `from` on where `bytes` has `start`, or may have it when more comes.
fn begins(bytes: &[u8], start: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|at| {
        bytes
            .get(*at..)
            .is_some_and(|rest| rest.starts_with(start) || start.starts_with(rest))
    })
}

/// A frame taken apart, its check sum checked.
fn opened(frame: &FramePlan, whole: Vec<u8>, fault: Option<String>) -> Framed {
    let strip = |bytes: &[u8]| {
        let inner = bytes.strip_prefix(frame.start.as_slice()).unwrap_or(bytes);
        inner.strip_suffix(frame.end.as_slice()).unwrap_or(inner).to_vec()
    };
    if fault.is_some() || frame.checksum == Checksum::None {
        let content = strip(&whole);
        return Framed::Frame { content, whole, fault };
    }
    let digits = shape::digits(frame);
    let (content, shown) = match frame.checksum_at {
        ChecksumAt::BeforeEnd => {
            let mut content = strip(&whole);
            let shown = content.split_off(content.len().saturating_sub(digits));
            (content, shown)
        }
        ChecksumAt::AfterEnd => {
            let (body, shown) = whole.split_at(whole.len().saturating_sub(digits));
            (strip(body), shown.to_vec())
        }
    };
    let wanted = sum(frame.checksum, &content);
    let fault = (!shown.eq_ignore_ascii_case(wanted.as_bytes())).then(|| {
        let shown = String::from_utf8_lossy(&shown).escape_default().to_string();
        format!("its check sum is `{shown}`, though its bytes come to `{wanted}`")
    });
    Framed::Frame { content, whole, fault }
}

/// The digits of a check sum, in capitals; none for [`Checksum::None`].
#[must_use]
pub fn sum(kind: Checksum, bytes: &[u8]) -> String {
    let total = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    match kind {
        Checksum::None => String::new(),
        Checksum::Xor => format!("{:02X}", bytes.iter().fold(0, |sum, byte| sum ^ byte)),
        Checksum::Sum8 => format!("{total:02X}"),
        Checksum::Lrc => format!("{:02X}", total.wrapping_neg()),
        Checksum::Crc16 => format!("{:04X}", crc(bytes)),
    }
}

/// `content` as a whole frame: for simulators and examples.
#[must_use]
pub fn encode(frame: &FramePlan, content: &[u8]) -> Vec<u8> {
    let digits = sum(frame.checksum, content);
    let mut whole = frame.start.clone();
    whole.extend_from_slice(content);
    match frame.checksum_at {
        ChecksumAt::BeforeEnd => {
            whole.extend_from_slice(digits.as_bytes());
            whole.extend_from_slice(&frame.end);
        }
        ChecksumAt::AfterEnd => {
            whole.extend_from_slice(&frame.end);
            whole.extend_from_slice(digits.as_bytes());
        }
    }
    whole
}
