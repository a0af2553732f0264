//! How a device that says lines or frames is reached, what a frame is, and where its parts stand. Owns only the data.

use super::SerialSettings;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a link on which frames come; all of them belong to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramedLink {
    /// `host:port`, or the path of a serial port. Where the gateway listens: the address that it listens at.
    pub address: String,
    /// How bytes travel.
    pub transport: ByteTransport,
    /// How long a poll may stay without an answer; also for connecting.
    pub timeout: Duration,
    /// What a frame is.
    pub frame: FramePlan,
    /// How its parts are found.
    pub parse: ParsePlan,
    /// Asks instead of only listening.
    pub poll: Option<FramePoll>,
    /// Sent once what a frame led to is durable.
    pub reply: Option<Vec<u8>>,
}

/// How bytes travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByteTransport {
    /// A serial port.
    Serial(SerialSettings),
    /// The gateway connects.
    TcpClient,
    /// The device connects.
    TcpServer,
}

/// What a frame is. At least one of `start`, `end`, `lengths`, `idle` says where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePlan {
    /// First bytes of each frame; may be empty.
    pub start: Vec<u8>,
    /// Last bytes of each frame; may be empty.
    pub end: Vec<u8>,
    /// Possible lengths of a whole frame, start and end included; empty: any.
    pub lengths: Vec<usize>,
    /// The check sum.
    pub checksum: Checksum,
    /// Where its hex digits stand.
    pub checksum_at: ChecksumAt,
    /// A silence this long ends a frame.
    pub idle: Option<Duration>,
    /// Bytes of a frame at most.
    pub max: usize,
}

/// The check sum of a frame, over what stands between start and end, the digits left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// None.
    #[default]
    None,
    /// All bytes by exclusive or.
    Xor,
    /// The sum of all bytes, low byte.
    Sum8,
    /// Two's complement of the sum of all bytes, low byte.
    Lrc,
    /// CRC-16 of Modbus; four digits, the high byte first.
    Crc16,
}

/// Where the digits of a check sum stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChecksumAt {
    /// Before the end.
    #[default]
    BeforeEnd,
    /// Behind the end.
    AfterEnd,
}

/// How the parts of a frame are found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsePlan {
    /// A regular expression for what stands between start and end; its named groups are parts. What does not match is
    /// put aside.
    pub pattern: Option<Arc<str>>,
    /// Frames that match this are no news: counted as ignored.
    pub ignore: Option<Arc<str>>,
    /// What stands between columns.
    pub separator: Option<Arc<str>>,
}

/// How a device is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePoll {
    /// What is sent.
    pub send: Vec<u8>,
    /// How often.
    pub every: Duration,
}

/// A part of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePoint {
    /// Which.
    pub place: FramePlace,
    /// How its text is read.
    pub kind: TextKind,
}

/// Where a part of a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FramePlace {
    /// All that stands between start and end.
    Whole,
    /// Bytes of the whole frame, start included: first and last, from 1.
    Columns(usize, usize),
    /// The text between separators, from 1.
    Column(usize),
    /// A named group of the pattern.
    Group(Arc<str>),
    /// A scanned code: the group `code` where the pattern has one, else the whole; without its AIM identifier.
    Code,
    /// Its AIM identifier: `]d2`.
    Aim,
    /// What that means: `gs1_datamatrix`.
    Symbology,
    /// This application identifier of the scanned code (GS1 General Specifications, section 3).
    Gs1(Arc<str>),
    /// All of them, as the text of a JSON object.
    Gs1All,
    /// This data identifier of a scanned code after ISO/IEC 15434, format 06.
    DataIdentifier(Arc<str>),
    /// The vehicle identification number that the code is, or that stands in it as the data identifier I (ISO 3779: 17 capitals
    /// and digits without I, O and Q); absent where there is none.
    Vin {
        /// Its ninth place must be the check digit, which only North America demands (49 CFR 565).
        check_digit: bool,
    },
}

/// How a text is read. Numbers trim blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextKind {
    /// As it is.
    #[default]
    Text,
    /// A number with or without a decimal point.
    Decimal,
    /// 0 or 1.
    Bool,
    /// Unsigned 16 bits.
    U16,
    /// Signed 16 bits.
    I16,
    /// Unsigned 32 bits.
    U32,
    /// Signed 32 bits.
    I32,
    /// Unsigned 64 bits.
    U64,
    /// Signed 64 bits.
    I64,
}
