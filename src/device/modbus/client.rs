//! One Modbus connection: requests out, checked answers in.
//!
//! Owns what is common to all transports: what a refusal means, and what a tap sees. Framing and time-outs are
//! [`super::tcp`]'s and [`super::line`]'s. Written here and not taken from a library: with serial framing the one
//! there is hands out a late answer as the next one's, and never finds back into step (docs/ARCHITECTURE.md).

use super::line::Line;
use super::tcp::Tcp;
use crate::device::tap::Tap;
use crate::device::tcp;
use crate::model::plan::{ModbusLink, ModbusTransport, Table};
use crate::record::What;
use crate::wire::modbus::pdu::{Answer, Ask};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// What to look at when a device refuses the connection.
const REFUSED: &str = "is its Modbus server switched on, and the port right?";

/// A serial port that was there.
pub(super) const GONE: &str = "the port is gone";

/// An exception code of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exception(pub(super) u8);

impl std::fmt::Display for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exception {:02x} {}", self.0, self.meaning())
    }
}

impl Exception {
    /// Illegal function: also what a request to a table that cannot be written comes to.
    pub(super) const FUNCTION: Self = Self(1);

    /// Illegal data address: also what lies beyond the last register.
    pub(super) const ADDRESS: Self = Self(2);

    /// What it means, in words (Modbus Application Protocol V1.1b3, section 7).
    fn meaning(self) -> &'static str {
        match self.0 {
            1 => "illegal function: the device does not know this kind of access",
            2 => "illegal data address: check `at` and `type` against its register map",
            3 => "illegal data value: check `count`, `length` and what is written",
            4 => "server device failure: look at the device itself",
            5 => "acknowledge: it is still at work",
            6 => "server device busy: it is asked again",
            8 => "memory parity error: look at the device itself",
            10 => "gateway path unavailable: check `server_id`",
            11 => "gateway target device failed to respond: check `server_id` and its wiring",
            _ => "not in the specification: see its manual",
        }
    }

    /// Whether it may pass by itself. What the device does not have stays away.
    pub(super) fn is_transient(self) -> bool {
        !matches!(self.0, 1..=3)
    }
}

/// Why there is no answer to go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The device answers, and says no.
    #[error("{0}")]
    Exception(Exception),
    /// This server gave no answer that can be trusted; the connection is good for others.
    #[error("{reason}")]
    Silent {
        /// In a sentence.
        reason: String,
        /// Something came, but no answer.
        garbled: bool,
    },
    /// The connection is to be dropped.
    #[error("{0}")]
    Link(String),
}

enum Transport {
    Tcp(Tcp),
    Line(Line),
}

/// A connection.
pub(super) struct Connection {
    transport: Transport,
    tap: Tap,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects within the link's time-out, which is then the limit of each answer. `several`: more than one server
    /// is asked through it. The error is a sentence.
    pub(super) async fn open(link: &ModbusLink, several: bool, tap: Tap) -> Result<Self, String> {
        let transport = match &link.transport {
            ModbusTransport::Tcp => Transport::Tcp(Tcp::new(
                tcp::connect(&link.address, link.timeout, "the device", REFUSED).await?,
                link.timeout,
                several,
            )),
            ModbusTransport::RtuOverTcp => {
                let stream = tcp::connect(&link.address, link.timeout, "the device", REFUSED).await?;
                Transport::Line(Line::new(Box::new(stream), link.timeout, None))
            }
            ModbusTransport::Rtu(settings) => {
                let stream = crate::device::port::open(&link.address, settings).await?;
                Transport::Line(Line::new(Box::new(stream), link.timeout, Some(settings)))
            }
        };
        Ok(Self { transport, tap })
    }

    /// Asks once.
    async fn call(&mut self, server: u8, ask: &Ask) -> Result<Answer, Fault> {
        let outcome = match &mut self.transport {
            Transport::Tcp(tcp) => tcp.call(server, ask).await,
            Transport::Line(line) => line.call(server, ask).await,
        };
        if self.tap.is_used() {
            let got = outcome
                .as_ref()
                .map(|(_, pdu)| pdu.clone())
                .map_err(ToString::to_string);
            self.tap.send(What::Exchange {
                server,
                sent: ask.encode(),
                got,
            });
        }
        match outcome?.0 {
            Answer::Exception(code) => Err(Fault::Exception(Exception(code))),
            answer => Ok(answer),
        }
    }

    /// The registers (or bits, as 0 and 1), as many as asked.
    pub(super) async fn read(&mut self, server: u8, table: Table, address: u16, count: u16) -> Result<Vec<u16>, Fault> {
        match self.call(server, &Ask::Read { table, address, count }).await? {
            Answer::Words(words) => Ok(words),
            _ => Err(Fault::Link("the answer is of another kind than the request".to_owned())),
        }
    }

    /// Writes registers or bits: one by 05 or 06, more by 15 or 16; the echo is checked.
    pub(super) async fn write(&mut self, server: u8, table: Table, address: u16, words: &[u16]) -> Result<(), Fault> {
        if matches!(table, Table::Discrete | Table::Input) {
            return Err(Fault::Exception(Exception::FUNCTION));
        }
        let words = words.to_vec();
        self.call(server, &Ask::Write { table, address, words })
            .await
            .map(|_| ())
    }

    /// Bytes that came and were no answer, since this was last asked.
    pub(super) fn take_noise(&mut self) -> u64 {
        match &mut self.transport {
            Transport::Tcp(_) => 0,
            Transport::Line(line) => line.take_noise(),
        }
    }
}

/// Sends a request before `deadline`, which is `limit` away or a little more.
pub(super) async fn send(
    wire: &mut (impl AsyncWrite + Unpin + ?Sized),
    request: &[u8],
    deadline: Instant,
    limit: Duration,
) -> Result<(), Fault> {
    match timeout_at(deadline, wire.write_all(request)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault)) => Err(broken(&fault)),
        Err(_) => Err(Fault::Link(format!("a request could not be sent within {limit:?}"))),
    }
}

/// Why a stream or port is not read or written any more.
pub(super) fn broken(fault: &std::io::Error) -> Fault {
    Fault::Link(match (fault.raw_os_error(), fault.kind()) {
        // EIO, ENXIO, ENODEV: how Linux tells that an adapter was pulled.
        (Some(5 | 6 | 19), _) => GONE.to_owned(),
        (_, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) => {
            "the device broke the connection off".to_owned()
        }
        _ => format!("the connection broke: {fault}"),
    })
}
