//! How a torque controller is reached by Open Protocol, and what is asked of it. Owns only the data.

use super::SerialSettings;
use std::time::Duration;

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
