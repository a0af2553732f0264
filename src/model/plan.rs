//! Read plans: what a driver reads, when a device has something to say, and what is owed to it then.
//!
//! A profile yields a plan, a driver executes it and knows nothing of profiles. Owns only the data;
//! the state machines that run a plan are in [`crate::watch`], the bytes in [`crate::wire`].

use super::{Decimal, Raw, SlotName};
use std::sync::Arc;
use std::time::Duration;

/// Index into [`SlotPlan::points`].
pub type PointIx = usize;

/// All that a driver needs to know about one slot. Immutable; a new configuration is a new plan.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotPlan {
    /// Whose device.
    pub slot: SlotName,
    /// How it is reached.
    pub link: Link,
    /// What it says; addressed by [`PointIx`].
    pub points: Vec<PointPlan>,
    /// When it has something to say.
    pub events: Vec<EventPlan>,
    /// Optional: answering is not enough to be online.
    pub alive: Option<Alive>,
}

impl SlotPlan {
    /// Which event something said would have been that cannot be read: the first that is triggered by its kind, else by
    /// anything said.
    #[must_use]
    pub fn takes(&self, said: Option<Said>) -> Option<usize> {
        let by = |wanted: Option<Said>| {
            self.events.iter().position(|event| {
                event.triggers.iter().any(|trigger| match trigger {
                    Trigger::Said(kind) => wanted.is_none_or(|wanted| wanted == *kind),
                    _ => false,
                })
            })
        };
        by(said).or_else(|| by(None)).or((!self.events.is_empty()).then_some(0))
    }
}

/// A connection. Slots whose links [`Link::shares`] run on one task.
#[derive(Debug, Clone, PartialEq)]
pub enum Link {
    /// Modbus, in any of its three transports.
    Modbus(ModbusLink),
    /// Open Protocol, by TCP or on a serial line.
    OpenProtocol(OpenProtocolLink),
    /// Lines and frames, by TCP or on a serial line.
    Framed(FramedLink),
}

impl Link {
    /// The address, as in the profile: what two links have in common that share a connection.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Modbus(link) => &link.address,
            Self::OpenProtocol(link) => &link.address,
            Self::Framed(link) => &link.address,
        }
    }

    /// Another address, its protocol's port filled in where a host stands alone.
    pub fn set_address(&mut self, text: &str) {
        let (address, port) = match self {
            Self::Modbus(link) => {
                let serial = matches!(link.transport, ModbusTransport::Rtu(_));
                (&mut link.address, (!serial).then_some(502))
            }
            Self::OpenProtocol(link) => {
                let serial = link.transport != TelegramTransport::Tcp;
                (&mut link.address, (!serial).then_some(4545))
            }
            Self::Framed(link) => (&mut link.address, None),
        };
        let named = match text.rsplit_once(':') {
            Some((host, port)) => (host.ends_with(']') || !host.contains(':')) && port.parse::<u16>().is_ok(),
            None => false,
        };
        *address = match port {
            Some(port) if !named => format!("{text}:{port}"),
            _ => text.to_owned(),
        };
    }

    /// From now on only looks: nothing is acknowledged, replied to, or fetched.
    pub fn only_look(&mut self) {
        match self {
            Self::Modbus(_) => {}
            Self::OpenProtocol(link) => {
                link.acknowledge = Acknowledge::Nothing;
                link.recover = Recover::None;
            }
            Self::Framed(link) => link.reply = None,
        }
    }

    /// What an address of this kind looks like, for help.
    #[must_use]
    pub fn example_address(&self) -> &'static str {
        match self {
            Self::Modbus(link) if matches!(link.transport, ModbusTransport::Rtu(_)) => "/dev/serial/by-id/…",
            Self::Modbus(_) => "192.0.2.17:502",
            Self::OpenProtocol(link) if link.transport == TelegramTransport::Tcp => "192.0.2.20:4545",
            Self::Framed(link) if !matches!(link.transport, ByteTransport::Serial(_)) => "192.0.2.21:5000",
            Self::OpenProtocol(_) | Self::Framed(_) => "/dev/serial/by-id/…",
        }
    }

    /// Its settings, where it is of Modbus.
    #[must_use]
    pub fn modbus(&self) -> Option<&ModbusLink> {
        match self {
            Self::Modbus(link) => Some(link),
            Self::OpenProtocol(_) | Self::Framed(_) => None,
        }
    }

    /// Whether both run over one connection: same address and same settings of the connection itself.
    #[must_use]
    pub fn shares(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Modbus(a), Self::Modbus(b)) => {
                a.address == b.address && a.transport == b.transport && a.timeout == b.timeout
            }
            (Self::OpenProtocol(a), Self::OpenProtocol(b)) => a == b,
            (Self::Framed(a), Self::Framed(b)) => a == b,
            _ => false,
        }
    }
}

/// Settings of a Modbus slot. Address, transport and time-out belong to the connection, the rest to the slot.
#[derive(Debug, Clone, PartialEq)]
pub struct ModbusLink {
    /// `host:port`, port 502 filled in; of RTU the path of the port.
    pub address: String,
    /// How requests travel.
    pub transport: ModbusTransport,
    /// Modbus server (unit identifier), 0 to 255; on a serial line 1 to 247.
    pub server_id: u8,
    /// How often triggers are looked at.
    pub poll: Duration,
    /// How long an answer may take, the time on a serial line not counted; also for connecting.
    pub timeout: Duration,
    /// Largest read of registers in one request, 1 to 125.
    pub max_registers: u16,
    /// Largest read of coils or discrete inputs in one request, 1 to 2000.
    pub max_bits: u16,
    /// Unwanted registers that a read may span to save a request.
    pub max_gap: u16,
}

/// How Modbus requests travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModbusTransport {
    /// Modbus TCP: each request has a number that its answer repeats.
    Tcp,
    /// Frames of a serial line, through a TCP connection to a serial server.
    RtuOverTcp,
    /// Frames on a serial port.
    Rtu(SerialSettings),
}

/// Settings of an Open Protocol link; all of them belong to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenProtocolLink {
    /// `host:port`, port 4545 filled in; or the path of a serial port.
    pub address: String,
    /// How telegrams travel.
    pub transport: TelegramTransport,
    /// How long an answer may take before it is asked for again; also for connecting.
    pub timeout: Duration,
    /// How long the link may be silent before MID 9999 is sent; controllers drop a link that is silent for 15 s.
    pub keep_alive: Duration,
    /// Where results come from.
    pub results: ResultSource,
    /// Subscribes with MID 0008 instead of the message's own subscription.
    pub generic: bool,
    /// What a data telegram is acknowledged with.
    pub acknowledge: Acknowledge,
    /// The highest revisions to ask for.
    pub revision: Revisions,
    /// How what was missed is fetched.
    pub recover: Recover,
    /// Station and spindle of the header, where a controller asks for them; 1 to 99.
    pub station: Option<u8>,
    /// See `station`.
    pub spindle: Option<u8>,
    /// Of traces: the samples are big endian; they are little endian unless said.
    pub big_endian_traces: bool,
}

/// How telegrams travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TelegramTransport {
    /// TCP.
    Tcp,
    /// A serial port, each telegram between STX and ETX.
    Ascii(SerialSettings),
    /// A serial port, by the procedure 3964R.
    Block3964R(SerialSettings),
}

/// Where results come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResultSource {
    /// MID 0061, one result a tightening.
    #[default]
    Last,
    /// MID 0101, the spindles of one tightening together; one result a spindle.
    Multi,
    /// MID 1201 and 1202, results of variable fields.
    Variable,
}

/// What a data telegram is acknowledged with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// The message's own acknowledgement: 0062 for 0061.
    #[default]
    Own,
    /// MID 0005 with the number of the data message.
    Accepted,
    /// MID 9997 of the link layer, where the controller supports it; else as `Own`.
    Link,
    /// With nothing, and the controller is told to expect none: for who only looks.
    Nothing,
}

/// The highest revisions to ask for; the driver steps down as far as the controller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revisions {
    /// Of MID 0001, and so of 0002.
    pub start: u16,
    /// Of results.
    pub results: u16,
    /// Of MID 0064, and so of 0065.
    pub recovery: u16,
    /// Of alarms.
    pub alarms: u16,
    /// Of identifiers.
    pub identifiers: u16,
    /// Of jobs.
    pub jobs: u16,
    /// Of the selected parameter set.
    pub programs: u16,
}

impl Default for Revisions {
    fn default() -> Self {
        Self {
            start: 6,
            results: 7,
            recovery: 7,
            alarms: 2,
            identifiers: 2,
            jobs: 4,
            programs: 2,
        }
    }
}

/// How what was missed is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recover {
    /// Not at all.
    #[default]
    None,
    /// Each missing id by itself (MID 0064).
    ById,
    /// From the newest back: the controller answers with the result before the one asked for (PF6000).
    WalkBack,
    /// By subscribing from an index on (MID 1201).
    FromIndex,
}

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

/// How a serial port is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialSettings {
    /// Bits a second.
    pub baud: u32,
    /// 7 or 8.
    pub data_bits: u8,
    /// The check bit.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
    /// The port's driver switches an RS-485 transceiver (`TIOCSRS485`).
    pub rs485: bool,
}

impl SerialSettings {
    /// Bits on the line a character: start, data, parity, stop.
    #[must_use]
    pub fn bits_a_character(&self) -> u32 {
        let parity = u32::from(self.parity != Parity::None);
        1 + u32::from(self.data_bits) + parity + u32::from(self.stop_bits)
    }

    /// How long this many characters take on the line.
    #[must_use]
    pub fn time_of(&self, characters: usize) -> Duration {
        let bits = u64::from(self.bits_a_character()).saturating_mul(u64::try_from(characters).unwrap_or(u64::MAX));
        Duration::from_nanos(bits.saturating_mul(1_000_000_000) / u64::from(self.baud.max(1)))
    }
}

/// The check bit of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// `N`
    None,
    /// `E`
    Even,
    /// `O`
    Odd,
}

/// One named raw value.
#[derive(Debug, Clone, PartialEq)]
pub struct PointPlan {
    /// Its name in the profile.
    pub name: Arc<str>,
    /// Where it is.
    pub at: Address,
    /// Raw values that mean "no value": a trigger that reads one has not changed, and re-arms.
    pub invalid: Vec<Raw>,
    /// For `changes = "*"`: raw numbers nearer than this to the last reported one are no change.
    /// In raw steps (before scaling).
    pub deadband: Option<Decimal>,
}

/// Where a point is; one kind a protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    /// A Modbus table and address.
    Modbus(ModbusPoint),
    /// A field of decoded telegrams, by its name: `torque`, `pid_2001`.
    Field(Arc<str>),
    /// A part of a frame.
    Frame(FramePoint),
}

impl Address {
    /// Where it is, of Modbus.
    #[must_use]
    pub fn modbus(&self) -> Option<&ModbusPoint> {
        match self {
            Self::Modbus(at) => Some(at),
            Self::Field(_) | Self::Frame(_) => None,
        }
    }

    /// Its registers; of what is no point of Modbus, none: an array of no elements.
    #[must_use]
    pub fn registers(&self) -> &ModbusPoint {
        static NONE: ModbusPoint = ModbusPoint {
            table: Table::Holding,
            address: 0,
            kind: ModbusType::U16,
            order: WordOrder::Abcd,
            bits: None,
            count: Some(0),
            clears: false,
        };
        self.modbus().unwrap_or(&NONE)
    }
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

/// A point of a Modbus server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModbusPoint {
    /// Which of the four tables.
    pub table: Table,
    /// Zero-based protocol address of the first register or bit.
    pub address: u16,
    /// How the registers are read.
    pub kind: ModbusType,
    /// Order of the bytes of values of more than one register; `badc` and `dcba` also swap the
    /// bytes of strings and single registers.
    pub order: WordOrder,
    /// `(lowest bit, number of bits)` of a number inside a word; bit 0 is the least significant.
    pub bits: Option<(u8, u8)>,
    /// Elements of an array; `None` for a scalar.
    pub count: Option<u16>,
    /// Reading clears it: never coalesced, never read twice, never read unasked.
    pub clears: bool,
}

impl ModbusPoint {
    /// How many numbers it can show, counting from 0.
    #[must_use]
    pub fn numbers(&self) -> u64 {
        match (self.bits, self.kind) {
            (Some((_, bits)), _) => 1 << bits.min(63),
            (None, ModbusType::Bool) => 2,
            (None, ModbusType::U32 | ModbusType::I32) => 1 << 32,
            (None, ModbusType::U64 | ModbusType::I64 | ModbusType::F64) => u64::MAX,
            (None, ModbusType::Bcd16) => 10_000,
            (None, ModbusType::Bcd32) => 100_000_000,
            (None, _) => 1 << 16,
        }
    }
}

/// The four tables of Modbus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// `coil`, functions 01, 05, 15.
    Coil,
    /// `discrete`, function 02.
    Discrete,
    /// `holding`, functions 03, 06, 16.
    Holding,
    /// `input`, function 04.
    Input,
}

impl Table {
    /// The word that profiles use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Coil => "coil",
            Self::Discrete => "discrete",
            Self::Holding => "holding",
            Self::Input => "input",
        }
    }

    /// Whether its elements are single bits.
    #[must_use]
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }
}

/// How registers become a raw value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModbusType {
    /// One bit.
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
    /// IEEE 754 single.
    F32,
    /// IEEE 754 double.
    F64,
    /// Four binary coded decimal digits.
    Bcd16,
    /// Eight binary coded decimal digits.
    Bcd32,
    /// Two characters a register, this many bytes.
    Text(u16),
}

impl ModbusType {
    /// Registers (or bits, of a bit table) of one element.
    #[must_use]
    pub const fn width(self) -> u16 {
        match self {
            Self::Bool | Self::U16 | Self::I16 | Self::Bcd16 => 1,
            Self::U32 | Self::I32 | Self::F32 | Self::Bcd32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
            Self::Text(bytes) => bytes.div_ceil(2),
        }
    }
}

/// Byte orders of a value in registers; A is the most significant byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WordOrder {
    /// Big endian, as Modbus has it.
    #[default]
    Abcd,
    /// Words swapped.
    Cdab,
    /// Bytes swapped in each word.
    Badc,
    /// Little endian.
    Dcba,
}

/// When one event of a profile happens and what it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPlan {
    /// Its name in the profile (`tightening`, `guard_open`), unique in the slot.
    pub name: Arc<str>,
    /// Any of these triggers.
    pub triggers: Vec<Trigger>,
    /// What is read together when it happens, triggers included.
    pub points: Vec<PointIx>,
    /// Points that make this result this result; empty: every trigger is its own.
    pub id: Vec<PointIx>,
    /// What the device is told once the event is durable.
    pub ack: Option<Ack>,
    /// Readings that must agree before it counts, 1 to 10; 1 is one reading.
    /// 0: its values are each their own (readings) and need not be of one moment; then nothing is read again.
    pub stable: u8,
    /// What the first value ever seen is.
    pub on_start: OnStart,
    /// Stored for delivery, or only the newest kept.
    pub keep: Keep,
    /// Its points are the first of a ring of records.
    pub ring: Option<Ring>,
    /// The same values again within this time are one event.
    pub repeat: Option<Duration>,
    /// The profile counts its results by a counter, which tells what is missing.
    pub counted: bool,
    /// Digest of device identity, triggers and id: trigger state stored under another is not carried over.
    pub fingerprint: String,
}

/// A ring buffer in the device: records one behind the other, and an index that says where it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// The point that says where the device writes next; 0 to `slots` less 1, or a count that goes on.
    pub index: PointIx,
    /// Records in the ring, 1 or more.
    pub slots: u16,
    /// Registers from one record to the next.
    pub stride: u16,
    /// The index runs from 0 to this less 1; `None`: it is seen from its values.
    pub wraps: Option<u64>,
    /// The index names the record written last, not the next.
    pub newest: bool,
}

impl Ring {
    /// The index of this ring, read from `point`, runs from 0 to this less 1; it was `last` and is `now`. Without `wraps`,
    /// an index that was never seen beyond the slots runs with them; any other runs through its whole register.
    #[must_use]
    pub fn modulus(&self, point: &ModbusPoint, last: u64, now: u64) -> u64 {
        let slots = u64::from(self.slots.max(1));
        let beyond = last.max(now) >= slots;
        self.wraps
            .unwrap_or(if beyond { point.numbers() } else { slots })
            .max(slots)
    }
}

/// One way in which a device says "now". All look at raw values.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// One of these points changed; however many did, it is one event a reading.
    Changes(Vec<PointIx>),
    /// One of the event's points changed by its deadband at least; at most one event in this time.
    ChangesAny {
        /// Which are looked at.
        points: Vec<PointIx>,
        /// Shortest time between two events.
        at_most: Duration,
    },
    /// Became true.
    Rises(PointIx),
    /// Became false.
    Falls(PointIx),
    /// Became this value.
    Equals(PointIx, Raw),
    /// Was read as this value: every such read, for flags that reading clears.
    Reads(PointIx, Raw),
    /// Time passed.
    Every(Duration),
    /// The device said something of this kind by itself.
    Said(Said),
}

/// What a device says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Said {
    /// A frame.
    Frame,
    /// A result (Open Protocol 0061, 0065, 0101, 1201).
    Result,
    /// An alarm (0071, 0074, 0076).
    Alarm,
    /// Identifiers (0052, 0152).
    Identifier,
    /// A trace (0900).
    Trace,
    /// Job info (0035).
    Job,
    /// The selected parameter set (0015).
    Program,
    /// Digital inputs (0211).
    Inputs,
}

impl Said {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Frame,
        Self::Result,
        Self::Alarm,
        Self::Identifier,
        Self::Trace,
        Self::Job,
        Self::Program,
        Self::Inputs,
    ];

    /// The word that profiles use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Result => "result",
            Self::Alarm => "alarm",
            Self::Identifier => "identifier",
            Self::Trace => "trace",
            Self::Job => "job",
            Self::Program => "program",
            Self::Inputs => "inputs",
        }
    }
}

impl Trigger {
    /// The points that it looks at.
    #[must_use]
    pub fn points(&self) -> &[PointIx] {
        match self {
            Self::Changes(points) | Self::ChangesAny { points, .. } => points,
            Self::Rises(point) | Self::Falls(point) | Self::Equals(point, _) | Self::Reads(point, _) => {
                std::slice::from_ref(point)
            }
            Self::Every(_) | Self::Said(_) => &[],
        }
    }
}

/// An acknowledgement that the device waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ack {
    /// Where it is written.
    pub write: PointIx,
    /// What is written.
    pub value: AckValue,
    /// Written when the trigger has fallen.
    pub then: Option<Raw>,
    /// How long the device may take to take the trigger back.
    pub timeout: Duration,
}

/// What an acknowledgement writes.
#[derive(Debug, Clone, PartialEq)]
pub enum AckValue {
    /// The value of this point, as it was in the event; into a narrower register go the low bits.
    Copy(PointIx),
    /// A constant.
    Value(Raw),
}

/// What the first value ever seen is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnStart {
    /// Where the count begins; no event.
    #[default]
    Baseline,
    /// A result.
    Take,
}

/// How an event is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// In the outbox, with a sequence.
    #[default]
    Stored,
    /// Only the newest, in memory.
    Latest,
}

/// A life sign: the device is online only while this point changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// Which point must change.
    pub point: PointIx,
    /// Within which time.
    pub within: Duration,
}
