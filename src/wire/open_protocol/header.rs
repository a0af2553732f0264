//! The 20 bytes before every telegram, and a whole telegram (specification 2.2).
//!
//! Owns their bytes. Does not own where one telegram ends in a stream ([`super::splitter`]).

use super::Fault;
use crate::model::value::hex;
use crate::wire::escaped;

/// Bytes of a header.
pub const HEADER: usize = 20;
/// Largest length that the field holds, header and data.
pub const LONGEST: usize = 9999;
/// The only MID that carries a binary block.
pub const TRACE: u16 = 900;

/// The 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Message number, 0 to 9999.
    pub mid: u16,
    /// Revision, 1 to 999. Parsed: blank, `000` and `001` are 1. Built: 0 is written as blanks.
    pub revision: u16,
    /// In a subscription: the controller must not expect an application acknowledgement.
    pub no_ack: bool,
    /// Station; `None` where blank, which means 1. `00` stays 0.
    pub station: Option<u8>,
    /// Spindle; `None` where blank, which means 1.
    pub spindle: Option<u8>,
    /// Sequence number 1 to 99 of the link layer; `None` where blank or `00`: not used.
    pub sequence: Option<u8>,
    /// Number of parts of a linked message, 0 or 1 where it is not linked.
    pub parts: u8,
    /// This part, from 1.
    pub part: u8,
}

impl Header {
    /// A header with nothing but MID and revision; revision 0 is written as blanks.
    #[must_use]
    pub const fn new(mid: u16, revision: u16) -> Self {
        Self {
            mid,
            revision,
            no_ack: false,
            station: None,
            spindle: None,
            sequence: None,
            parts: 0,
            part: 0,
        }
    }

    /// Reads the first 20 of `bytes`: the length field, and the header.
    ///
    /// Blanks stand for zero in every field but length and MID.
    ///
    /// # Errors
    /// Fewer than 20 bytes, or other than digits and blanks where digits belong.
    pub fn parse(bytes: &[u8]) -> Result<(usize, Self), Fault> {
        let Some(head) = bytes.get(..HEADER) else {
            return Err(Fault::Short(bytes.len()));
        };
        let length = number(head, 0, 4, false)?.unwrap_or(0);
        let small = |from, width| number(head, from, width, true).map(|n| n.and_then(|n| u8::try_from(n).ok()));
        let header = Self {
            mid: number(head, 4, 4, false)?.unwrap_or(0),
            revision: number(head, 8, 3, true)?.unwrap_or(1).max(1),
            no_ack: small(11, 1)?.unwrap_or(0) != 0,
            station: small(12, 2)?,
            spindle: small(14, 2)?,
            sequence: small(16, 2)?.filter(|n| *n != 0),
            parts: small(18, 1)?.unwrap_or(0),
            part: small(19, 1)?.unwrap_or(0),
        };
        Ok((usize::from(length), header))
    }

    /// The 20 bytes, with this length field (capped at 9999).
    #[must_use]
    pub fn encode(&self, length: usize) -> [u8; HEADER] {
        let mut out = [b' '; HEADER];
        put(&mut out, 0, 4, u32::try_from(length.min(LONGEST)).unwrap_or(0));
        put(&mut out, 4, 4, u32::from(self.mid));
        if self.revision > 0 {
            put(&mut out, 8, 3, u32::from(self.revision));
        }
        if self.no_ack {
            put(&mut out, 11, 1, 1);
        }
        for (at, value) in [(12, self.station), (14, self.spindle), (16, self.sequence)] {
            if let Some(value) = value {
                put(&mut out, at, 2, u32::from(value));
            }
        }
        if self.parts > 0 {
            put(&mut out, 18, 1, u32::from(self.parts));
            put(&mut out, 19, 1, u32::from(self.part));
        }
        out
    }

    /// Whether it is one of several parts.
    #[must_use]
    pub const fn is_linked(&self) -> bool {
        self.parts > 1
    }
}

/// Digits of `head` from `from` on; blanks are `None`, or a fault where they may not be.
fn number(head: &[u8], from: usize, width: usize, blank: bool) -> Result<Option<u16>, Fault> {
    let bytes = head.get(from..from + width).unwrap_or_default();
    let fault = || Fault::Header {
        from: from + 1,
        to: from + width,
        text: escaped(bytes),
    };
    if blank && bytes.iter().all(|b| *b == b' ') {
        return Ok(None);
    }
    let mut value: u16 = 0;
    for byte in bytes {
        match byte {
            b'0'..=b'9' => value = value * 10 + u16::from(byte - b'0'),
            b' ' if blank => {}
            _ => return Err(fault()),
        }
    }
    Ok(Some(value))
}

/// Writes the last `width` digits of `value`, zeros before them.
fn put(out: &mut [u8], at: usize, width: usize, mut value: u32) {
    for place in out.iter_mut().skip(at).take(width).rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// One telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telegram {
    /// Its header.
    pub header: Header,
    /// Bytes 21 and up, without NUL.
    pub data: Vec<u8>,
    /// MID 0900: what follows the inner NUL. Empty otherwise.
    pub binary: Vec<u8>,
}

impl Telegram {
    /// A telegram without data; revision 0 is written as blanks.
    #[must_use]
    pub const fn new(mid: u16, revision: u16) -> Self {
        Self {
            header: Header::new(mid, revision),
            data: Vec::new(),
            binary: Vec::new(),
        }
    }

    /// The same with this data.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    /// The same with this binary block; only MID 0900 carries one.
    #[must_use]
    pub fn with_binary(mut self, binary: impl Into<Vec<u8>>) -> Self {
        self.binary = binary.into();
        self
    }

    /// The same with this sequence number of the link layer.
    #[must_use]
    pub const fn with_sequence(mut self, sequence: Option<u8>) -> Self {
        self.header.sequence = sequence;
        self
    }

    /// The same with the no-acknowledge flag of a subscription.
    #[must_use]
    pub const fn with_no_ack(mut self, no_ack: bool) -> Self {
        self.header.no_ack = no_ack;
        self
    }

    /// Its MID.
    #[must_use]
    pub const fn mid(&self) -> u16 {
        self.header.mid
    }

    /// Its revision.
    #[must_use]
    pub const fn revision(&self) -> u16 {
        self.header.revision
    }

    /// Its data as text; what is no UTF-8 becomes the replacement character.
    #[must_use]
    pub fn data_text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }

    /// The number that stands in bytes 21 to 24: the MID that 0004, 0005, 9997 and 9998 speak of.
    #[must_use]
    pub fn about(&self) -> Option<u16> {
        std::str::from_utf8(self.data.get(..4)?).ok()?.trim().parse().ok()
    }

    /// Its bytes as they are sent: length field, header, data, NUL. MID 0900 has the NUL before its binary block
    /// and nothing behind it. What exceeds 9999 bytes is cut off.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let trace = self.header.mid == TRACE;
        let inner = usize::from(trace);
        let data = self.data.get(..LONGEST - HEADER - inner).unwrap_or(&self.data);
        let room = LONGEST - HEADER - inner - data.len();
        let binary = self.binary.get(..room).unwrap_or(&self.binary);
        let binary = if trace { binary } else { &[] };
        let length = HEADER + data.len() + inner + binary.len();
        let mut out = Vec::with_capacity(length + 1);
        out.extend_from_slice(&self.header.encode(length));
        out.extend_from_slice(data);
        out.push(0);
        out.extend_from_slice(binary);
        out
    }

    /// Reads one whole telegram, with or without the closing NUL.
    ///
    /// # Errors
    /// A header that is none, or a length field that disagrees with the bytes.
    pub fn parse(raw: &[u8]) -> Result<Self, Fault> {
        let (said, header) = Header::parse(raw)?;
        let have = if raw.len() == said + 1 && raw.last() == Some(&0) {
            said
        } else {
            raw.len()
        };
        if said != have || said < HEADER {
            let have = raw.len() - usize::from(raw.last() == Some(&0));
            return Err(Fault::Length { said, have });
        }
        let body = raw.get(HEADER..said).unwrap_or_default();
        let (data, binary) = match body.iter().position(|b| *b == 0) {
            Some(at) if header.mid == TRACE => (
                body.get(..at).unwrap_or_default(),
                body.get(at + 1..).unwrap_or_default(),
            ),
            _ => (body, [].as_slice()),
        };
        Ok(Self {
            header,
            data: data.to_vec(),
            binary: binary.to_vec(),
        })
    }

    /// What a log or `origin.raw` shows: header and data, controls escaped, then the binary block in hexadecimal.
    #[must_use]
    pub fn text(&self) -> String {
        let whole = self.encode();
        let end = HEADER + self.data.len();
        let mut out = escaped(whole.get(..end).unwrap_or(&whole));
        if !self.binary.is_empty() {
            out.push_str("\\x00 ");
            out.push_str(&hex(&self.binary));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_header_is_revision_1() {
        let (length, header) = Header::parse(b"00209999            ").unwrap();
        assert_eq!((length, header), (20, Header::new(9999, 1)));
        for raw in [b"00209999000         ", b"00209999001         "] {
            assert_eq!(Header::parse(raw).unwrap().1.revision, 1);
        }
    }

    #[test]
    fn the_mirror_of_a_pf6000_is_read() {
        let (_, header) = Header::parse(b"00209999001 0000    ").unwrap();
        assert_eq!(
            (header.mid, header.station, header.spindle, header.sequence),
            (9999, Some(0), Some(0), None)
        );
        let (_, header) = Header::parse(b"03850061002     0000").unwrap();
        assert_eq!((header.sequence, header.parts, header.part), (None, 0, 0));
    }

    #[test]
    fn link_numbers_are_read_and_written() {
        let (_, header) = Header::parse(b"00240005        0200").unwrap();
        assert_eq!(header.sequence, Some(2));
        let telegram = Telegram::new(5, 0).with_data("0042").with_sequence(Some(2));
        assert_eq!(telegram.encode(), b"00240005        02  0042\0");
    }

    #[test]
    fn letters_where_digits_belong_are_told_with_their_place() {
        let fault = Header::parse(b"00200061x01         ").unwrap_err();
        assert_eq!(fault.to_string(), "bytes 9 to 11 of the header are `x01`, not digits");
        assert!(Header::parse(b"    0061001         ").is_err());
        assert_eq!(Header::parse(b"0020"), Err(Fault::Short(4)));
    }

    #[test]
    fn a_length_that_lies_is_told() {
        let fault = Telegram::parse(b"00250018001         012\0").unwrap_err();
        assert_eq!(fault.to_string(), "the length field says 25 bytes but there are 23");
        assert_eq!(Telegram::parse(b"00230018001         012\0").unwrap().data, b"012");
        assert_eq!(Telegram::parse(b"00230018001         012").unwrap().data, b"012");
    }

    #[test]
    fn a_trace_has_its_nul_inside() {
        let trace = Telegram::new(900, 1).with_data("ab").with_binary([0, 1, 2]);
        let raw = trace.encode();
        assert_eq!(raw, b"00260900001         ab\0\x00\x01\x02");
        assert_eq!(Telegram::parse(&raw).unwrap(), trace);
        assert_eq!(trace.text(), "00260900001         ab\\x00 000102");
    }

    #[test]
    fn what_is_too_long_is_cut_to_the_length_field() {
        let raw = Telegram::new(50, 1).with_data(vec![b'a'; 20_000]).encode();
        assert_eq!(raw.len(), 10_000);
        assert_eq!(Telegram::parse(&raw).unwrap().data.len(), 9_979);
    }
}
