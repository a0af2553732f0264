//! Open Protocol on a serial line, ASCII frame (specification 2.1): control characters around a telegram.
//!
//! Owns wrapping and unwrapping in both directions. Does not own 3964R ([`super::block3964r`]).

use super::Telegram;
use super::header::{Header, TRACE};

const BEL: u8 = 0x07;
const HT: u8 = 0x09;
const STX: u8 = 0x02;
const ETX: u8 = 0x03;

/// Longest frame, STX and ETX included; what grows beyond is noise.
const MOST: usize = 10_002;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The gateway: BEL HT BEL HT STX … ETX.
    Gateway,
    /// The controller: STX … ETX.
    Controller,
}

/// A telegram in its frame.
#[must_use]
pub fn wrap(telegram: &Telegram, sender: Sender) -> Vec<u8> {
    let inner = telegram.encode();
    let mut out = Vec::with_capacity(inner.len() + 6);
    if sender == Sender::Gateway {
        out.extend_from_slice(&[BEL, HT, BEL, HT]);
    }
    out.push(STX);
    out.extend_from_slice(&inner);
    out.push(ETX);
    out
}

/// What came out of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwrapped {
    /// A telegram, and its bytes between STX and ETX.
    Telegram(Telegram, Vec<u8>),
    /// So many bytes that are no telegram.
    Noise(usize),
}

/// Takes frames out of a serial stream, of either direction. As an iterator it gives `None` where more is needed.
#[derive(Debug, Default)]
pub struct Unwrapper {
    buffer: Vec<u8>,
}

impl Unwrapper {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Forgets a half frame; a driver does so when the line was quiet inside one. Gives the bytes forgotten.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.buffer).len()
    }
}

impl Iterator for Unwrapper {
    type Item = Unwrapped;

    fn next(&mut self) -> Option<Unwrapped> {
        // BEL and HT before STX only wake the line up.
        let quiet = self.buffer.iter().take_while(|b| matches!(**b, BEL | HT)).count();
        self.buffer.drain(..quiet);
        if self.buffer.is_empty() {
            return None;
        }
        if self.buffer.first() != Some(&STX) {
            let noise = self.buffer.iter().take_while(|b| **b != STX).count();
            self.buffer.drain(..noise);
            return Some(Unwrapped::Noise(noise));
        }
        match self.end() {
            End::Wait if self.buffer.len() <= MOST => None,
            End::At(at) => {
                let inner = self.buffer.get(1..at).unwrap_or_default().to_vec();
                let Ok(telegram) = Telegram::parse(&inner) else {
                    return Some(self.noise());
                };
                self.buffer.drain(..=at);
                Some(Unwrapped::Telegram(telegram, inner))
            }
            End::Wait | End::Bad => Some(self.noise()),
        }
    }
}

/// Where a frame ends.
enum End {
    Wait,
    At(usize),
    Bad,
}

impl Unwrapper {
    /// Where the ETX of the frame at the front is. A binary block may hold the byte of ETX: for a trace the length
    /// field says where to look.
    fn end(&self) -> End {
        let etx = self.buffer.iter().position(|b| *b == ETX);
        let inner = self.buffer.get(1..).unwrap_or_default();
        let Ok((length, header)) = Header::parse(inner) else {
            // Too short for a header, or none: the next ETX ends what it is.
            return etx.map_or(End::Wait, End::At);
        };
        if header.mid != TRACE {
            return etx.map_or(End::Wait, End::At);
        }
        // STX, telegram, ETX; some write a NUL before the ETX here too.
        match (self.buffer.get(length + 1), self.buffer.get(length + 2)) {
            (Some(&ETX), _) => End::At(length + 1),
            (Some(0), Some(&ETX)) => End::At(length + 2),
            (None, _) | (Some(0), None) => End::Wait,
            _ => End::Bad,
        }
    }

    /// Drops the front up to the next STX.
    fn noise(&mut self) -> Unwrapped {
        let count = 1 + self.buffer.iter().skip(1).take_while(|b| **b != STX).count();
        self.buffer.drain(..count.min(self.buffer.len()));
        Unwrapped::Noise(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_both_directions_come_out_byte_by_byte() {
        let telegram = Telegram::new(18, 1).with_data("012");
        let ours = wrap(&telegram, Sender::Gateway);
        assert_eq!(ours, b"\x07\x09\x07\x09\x0200230018001         012\0\x03");
        let theirs = wrap(&telegram, Sender::Controller);
        assert_eq!(theirs, b"\x0200230018001         012\0\x03");
        let mut line = Unwrapper::new();
        let mut seen = Vec::new();
        for byte in ours.iter().chain(&theirs) {
            line.push(&[*byte]);
            seen.extend(line.by_ref());
        }
        let inner = telegram.encode();
        let expected = Unwrapped::Telegram(telegram, inner);
        assert_eq!(seen, [expected.clone(), expected]);
    }

    #[test]
    fn noise_before_and_inside_costs_itself_only() {
        let good = wrap(&Telegram::new(9999, 0), Sender::Controller);
        let mut line = Unwrapper::new();
        line.push(b"xyz\x02half\x03");
        line.push(&good);
        let seen: Vec<_> = line.by_ref().collect();
        assert_eq!(seen.first(), Some(&Unwrapped::Noise(3)));
        assert_eq!(seen.get(1), Some(&Unwrapped::Noise(6)));
        assert!(matches!(seen.get(2), Some(Unwrapped::Telegram(..))));
        line.push(b"\x020020");
        assert_eq!(line.next(), None);
        assert_eq!(line.clear(), 5);
    }

    #[test]
    fn an_etx_inside_a_trace_does_not_end_it() {
        let trace = Telegram::new(900, 1).with_data("x").with_binary([3, 2, 3, 0]);
        let mut line = Unwrapper::new();
        line.push(&wrap(&trace, Sender::Controller));
        assert!(matches!(line.next(), Some(Unwrapped::Telegram(t, _)) if t == trace));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_counted(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let mut line = Unwrapper::new();
            line.push(&bytes);
            let given: usize = line.by_ref().map(|out| match out {
                Unwrapped::Telegram(_, raw) => raw.len() + 2,
                Unwrapped::Noise(count) => count,
            }).sum();
            proptest::prop_assert!(given + line.clear() <= bytes.len());
        }
    }
}
