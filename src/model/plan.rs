//! Read plans: what a driver reads, when a device has something to say, and what is owed to it then.
//!
//! A profile yields a plan, a driver executes it and knows nothing of profiles. Owns only the data;
//! the state machines that run a plan are in [`crate::watch`], the bytes in [`crate::wire`].

mod framed;
mod opcua;
mod open_protocol;

pub use self::opcua::{
    Condition, FieldPath, FieldStep, Identifier, Identity, Namespace, NodeRef, Notice, OpcuaLink, OpcuaPart,
    OpcuaPoint, OpcuaType, Security, SecurityMode, SecurityPolicy, Selector, Trust,
};
pub use framed::{
    ByteTransport, Checksum, ChecksumAt, FramePlace, FramePlan, FramePoint, FramePoll, FramedLink, ParsePlan, TextKind,
};
pub use open_protocol::{Acknowledge, OpenProtocolLink, Recover, ResultSource, Revisions, TelegramTransport};

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
    /// Events of an OPC UA server that are subscribed to; addressed by [`Said::Event`].
    pub notices: Vec<Notice>,
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
    /// OPC UA, by TCP.
    Opcua(OpcuaLink),
}

impl Link {
    /// The address, as in the profile: what two links have in common that share a connection.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Modbus(link) => &link.address,
            Self::OpenProtocol(link) => &link.address,
            Self::Framed(link) => &link.address,
            Self::Opcua(link) => &link.address,
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
            Self::Opcua(link) => {
                link.address = self::opcua::filled(text);
                return;
            }
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
            Self::Modbus(_) | Self::Opcua(_) => {}
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
            Self::Opcua(_) => "opc.tcp://192.0.2.30:4840",
        }
    }

    /// Its settings, where it is of Modbus.
    #[must_use]
    pub fn modbus(&self) -> Option<&ModbusLink> {
        match self {
            Self::Modbus(link) => Some(link),
            Self::OpenProtocol(_) | Self::Framed(_) | Self::Opcua(_) => None,
        }
    }

    /// Its settings, where it is of OPC UA.
    #[must_use]
    pub fn opcua(&self) -> Option<&OpcuaLink> {
        match self {
            Self::Opcua(link) => Some(link),
            Self::Modbus(_) | Self::OpenProtocol(_) | Self::Framed(_) => None,
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
            (Self::Opcua(a), Self::Opcua(b)) => a == b,
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
    /// A variable of an OPC UA server, or a field of its events.
    Opcua(OpcuaPoint),
}

impl Address {
    /// Where it is, of Modbus.
    #[must_use]
    pub fn modbus(&self) -> Option<&ModbusPoint> {
        match self {
            Self::Modbus(at) => Some(at),
            Self::Field(_) | Self::Frame(_) | Self::Opcua(_) => None,
        }
    }

    /// Where it is, of OPC UA.
    #[must_use]
    pub fn opcua(&self) -> Option<&OpcuaPoint> {
        match self {
            Self::Opcua(at) => Some(at),
            Self::Modbus(_) | Self::Field(_) | Self::Frame(_) => None,
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
    /// An event of an OPC UA server, by its index in [`SlotPlan::notices`].
    Event(u16),
}

impl Said {
    /// Those that are a word of their own in profiles.
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
            Self::Event(_) => "event",
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
