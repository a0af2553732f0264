//! The words of framed devices: how a frame is cut, and where in it a point stands (interface 3, `[frame]`).
//!
//! Owns only the data and what is impossible among it; the bytes are [`super::framer`]'s and [`super::parser`]'s.

use std::time::Duration;

/// How frames are cut out of the bytes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Bytes that begin a frame; empty: it begins where the one before ended.
    pub start: Vec<u8>,
    /// Bytes that end a frame; empty: its length, the next start or a gap does.
    pub end: Vec<u8>,
    /// Lengths of a whole frame in bytes, start, end and check sum included; empty: any. Several need an `end`.
    pub lengths: Vec<usize>,
    /// What protects it.
    pub checksum: Checksum,
    /// Where its digits stand.
    pub checksum_at: ChecksumAt,
    /// Silence that ends a frame where nothing else does (default [`Frame::GAP`]), and after which half a frame of any
    /// other kind is thrown away (default [`Frame::HALF`]).
    pub idle: Option<Duration>,
    /// Longest frame in bytes; what is longer is told once and left out until the next one begins.
    pub max: usize,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            start: Vec::new(),
            end: Vec::new(),
            lengths: Vec::new(),
            checksum: Checksum::None,
            checksum_at: ChecksumAt::BeforeEnd,
            idle: None,
            max: Self::MAX,
        }
    }
}

impl Frame {
    /// Longest frame where nothing is said, in bytes.
    pub const MAX: usize = 4096;
    /// No frame may be said to be longer than this, in bytes.
    pub const LIMIT: usize = 65_536;
    /// Silence that ends a frame where nothing else does. Adapters hold bytes back for up to 16 ms.
    pub const GAP: Duration = Duration::from_millis(100);
    /// Silence after which half a frame is none.
    pub const HALF: Duration = Duration::from_secs(1);

    /// Whether only silence (or the next start) ends a frame.
    #[must_use]
    pub fn ends_by_gap(&self) -> bool {
        self.end.is_empty() && self.lengths.is_empty()
    }

    /// The silence that counts, at least 1 ms.
    #[must_use]
    pub fn gap(&self) -> Duration {
        let default = if self.ends_by_gap() { Self::GAP } else { Self::HALF };
        self.idle.unwrap_or(default).max(Duration::from_millis(1))
    }

    /// Bytes that the digits of the check sum take.
    #[must_use]
    pub const fn digits(&self) -> usize {
        match self.checksum {
            Checksum::None => 0,
            Checksum::Xor | Checksum::Sum8 | Checksum::Lrc => 2,
            Checksum::Crc16 => 4,
        }
    }

    /// Bytes of a frame behind its `end`.
    #[must_use]
    pub const fn trailer(&self) -> usize {
        match self.checksum_at {
            ChecksumAt::BeforeEnd => 0,
            ChecksumAt::AfterEnd => self.digits(),
        }
    }

    /// Bytes of a frame without content.
    #[must_use]
    pub fn least(&self) -> usize {
        self.start
            .len()
            .saturating_add(self.digits())
            .saturating_add(self.end.len())
    }

    /// What cannot be cut so.
    ///
    /// # Errors
    /// A sentence that names the key of `[frame]` and says what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.max == 0 || self.max > Self::LIMIT {
            return Err(format!("`max` is a number of bytes from 1 to {}", Self::LIMIT));
        }
        if let Some(long) = self.lengths.iter().find(|length| **length > self.max) {
            return Err(format!(
                "`length` {long} is beyond `max` ({} bytes): write a larger `max`",
                self.max
            ));
        }
        if let Some(short) = self.lengths.iter().find(|length| **length < self.least().max(1)) {
            return Err(format!(
                "`length` {short} has no room for start, check sum and end ({} bytes): lengths are of the whole frame",
                self.least()
            ));
        }
        if self.lengths.len() > 1 && self.end.is_empty() {
            return Err("several `lengths` need an `end`, which tells which of them it is".to_owned());
        }
        if self.max < self.least() {
            return Err(format!(
                "`max` has no room for start, check sum and end ({} bytes)",
                self.least()
            ));
        }
        if !self.start.is_empty() && self.start == self.end && self.lengths.is_empty() {
            return Err("`start` and `end` are the same bytes: leave `start` out, or write the `length`".to_owned());
        }
        if self.checksum != Checksum::None && self.ends_by_gap() && self.start.is_empty() {
            return Err("a `checksum` needs a `start`, an `end` or a `length`, which say what it is of".to_owned());
        }
        Ok(())
    }
}

/// A check sum, as hex digits in the frame, over what stands between `start` and `end` (before its own digits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// None.
    #[default]
    None,
    /// All bytes exclusive-or; 2 digits.
    Xor,
    /// The low byte of their sum; 2 digits.
    Sum8,
    /// What makes the low byte of their sum 0 (as Modbus ASCII has it); 2 digits.
    Lrc,
    /// The CRC of Modbus (0xA001, from 0xFFFF), the high digit first; 4 digits.
    Crc16,
}

/// Where the digits of a check sum stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChecksumAt {
    /// Between content and `end`.
    #[default]
    BeforeEnd,
    /// Behind `end`.
    AfterEnd,
}

/// How the content of a frame is taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parse {
    /// What the content must look like; its named groups are points. A frame that does not fit is quarantined.
    pub pattern: Option<String>,
    /// Frames whose content fits this are counted as ignored (`NOREAD`, heart beats).
    pub ignore: Option<String>,
    /// What parts the columns of the content, `,`.
    pub separator: Option<String>,
}

/// A point of a framed device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePoint {
    /// Where it stands.
    pub place: Place,
    /// What it is read as.
    pub kind: Kind,
}

/// Where a point stands in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The content, as text.
    Whole,
    /// The AIM identifier of a scanned code, `]d2`; absent where the scanner sends none.
    Aim,
    /// The kind of code in a word, by its AIM identifier: `gs1_datamatrix`; absent without one.
    Symbology,
    /// The scanned code without AIM identifier: of the group `code` where the pattern has one, else of the content.
    Code,
    /// The code as VIN, a leading `I` of the label taken off; absent where it is none.
    Vin,
    /// All GS1 element strings of the code, as JSON object by application identifier; absent where it is no GS1 code.
    Gs1All,
    /// One application identifier of a GS1 code, `21`.
    Gs1(String),
    /// One data identifier of an ISO 15434 code (format 06), `S`.
    Iso15434(String),
    /// First and last byte, one-based and inclusive, of the whole frame, start included; absent where not wholly there.
    Columns(usize, usize),
    /// One-based column of the content, cut by [`Parse::separator`]; absent where there are fewer.
    Column(usize),
    /// A named group of the pattern; absent where it took no part.
    Group(String),
}

/// What a point of a frame is read as. Numbers trim blanks; a blank or dashed number is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Text, untrimmed.
    #[default]
    Text,
    /// A number with or without sign, point and decimals, exact.
    Decimal,
    /// 0 or 1.
    Bool,
    /// 0 to 65535.
    U16,
    /// -32768 to 32767.
    I16,
    /// 0 to 4294967295.
    U32,
    /// -2147483648 to 2147483647.
    I32,
    /// 0 to 2⁶⁴ - 1.
    U64,
    /// -2⁶³ to 2⁶³ - 1.
    I64,
}

impl Kind {
    /// The word of `type = …`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Decimal => "decimal",
            Self::Bool => "bool",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
        }
    }

    /// The kind of this word; `string` is `text`.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "text" | "string" => Self::Text,
            "decimal" => Self::Decimal,
            "bool" => Self::Bool,
            "u16" => Self::U16,
            "i16" => Self::I16,
            "u32" => Self::U32,
            "i32" => Self::I32,
            "u64" => Self::U64,
            "i64" => Self::I64,
            _ => return None,
        })
    }
}
