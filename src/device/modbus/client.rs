//! One Modbus TCP connection: requests out, checked answers in.
//!
//! Owns time-outs and every check of an answer. A [`Fault::Link`] means that the connection is not to be
//! used again: an answer may still be owed on it, and would be taken for the next one's.

use super::requests::Request;
use crate::model::plan::Table;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::prelude::SlaveContext;
use tokio_modbus::{ExceptionCode, ProtocolError, Request as Call, Response, Slave};

/// Why there is no answer to go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The device answers, and says no.
    #[error("exception {:02x} {}", u8::from(*.0), meaning(*.0))]
    Exception(ExceptionCode),
    /// No answer, or one that cannot be trusted: the connection is to be dropped.
    #[error("{0}")]
    Link(String),
}

/// What an exception code means, in words.
pub(super) fn meaning(code: ExceptionCode) -> &'static str {
    match code {
        ExceptionCode::IllegalFunction => "illegal function: the device does not know this kind of access",
        ExceptionCode::IllegalDataAddress => "illegal data address: check `at` and `type` against its register map",
        ExceptionCode::IllegalDataValue => "illegal data value: check `count`, `length` and what is written",
        ExceptionCode::ServerDeviceFailure => "server device failure: look at the device itself",
        ExceptionCode::Acknowledge => "acknowledge: it is still at work",
        ExceptionCode::ServerDeviceBusy => "server device busy: it is asked again",
        ExceptionCode::MemoryParityError => "memory parity error: look at the device itself",
        ExceptionCode::GatewayPathUnavailable => "gateway path unavailable: check `server_id`",
        ExceptionCode::GatewayTargetDevice => {
            "gateway target device failed to respond: check `server_id` and its wiring"
        }
        ExceptionCode::Custom(_) => "not in the specification: see its manual",
    }
}

/// Whether it may pass by itself. What the device does not have stays away.
pub(super) fn is_transient(code: ExceptionCode) -> bool {
    !matches!(
        code,
        ExceptionCode::IllegalFunction | ExceptionCode::IllegalDataAddress | ExceptionCode::IllegalDataValue
    )
}

/// A connection on which no answer is owed.
pub(super) struct Connection {
    context: Context,
    limit: Duration,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to `host:port` within `limit`, which is then the limit of each answer.
    /// The error is a sentence.
    pub(super) async fn open(address: &str, limit: Duration) -> Result<Self, String> {
        let stream = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(fault)) => return Err(unreachable(address, &fault)),
            Err(_) => {
                return Err(format!(
                    "no connection to {address} within {limit:?}: is the device switched on, and the address right?"
                ));
            }
        };
        stream.set_nodelay(true).map_err(|fault| unreachable(address, &fault))?;
        Ok(Self {
            context: tcp::attach_slave(stream, Slave(0)),
            limit,
        })
    }

    async fn call(&mut self, server: u8, call: Call<'_>) -> Result<Response, Fault> {
        self.context.set_slave(Slave(server));
        match timeout(self.limit, self.context.call(call)).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(code))) => Err(Fault::Exception(code)),
            Ok(Err(fault)) => Err(Fault::Link(sentence(&fault))),
            Err(_) => Err(Fault::Link(format!("no answer within {:?}", self.limit))),
        }
    }

    /// The registers (or bits, as 0 and 1) of `request`, as many as asked.
    pub(super) async fn read(&mut self, server: u8, request: &Request) -> Result<Vec<u16>, Fault> {
        let (address, count) = (request.address, request.count);
        let call = match request.table {
            Table::Coil => Call::ReadCoils(address, count),
            Table::Discrete => Call::ReadDiscreteInputs(address, count),
            Table::Holding => Call::ReadHoldingRegisters(address, count),
            Table::Input => Call::ReadInputRegisters(address, count),
        };
        let wanted = usize::from(count);
        let (given, words) = match (request.table, self.call(server, call).await?) {
            (Table::Coil, Response::ReadCoils(bits)) | (Table::Discrete, Response::ReadDiscreteInputs(bits)) => {
                // Bits come in whole bytes.
                let given = if bits.len().div_ceil(8) == wanted.div_ceil(8) {
                    wanted
                } else {
                    bits.len()
                };
                (given, bits.into_iter().take(wanted).map(u16::from).collect::<Vec<_>>())
            }
            (Table::Holding, Response::ReadHoldingRegisters(words))
            | (Table::Input, Response::ReadInputRegisters(words)) => (words.len(), words),
            _ => return Err(Fault::Link("the answer is of another kind than the request".to_owned())),
        };
        if given != wanted || words.len() != wanted {
            return Err(Fault::Link(format!(
                "asked for {wanted} of {}:{address}, got {given}: the answer cannot be trusted",
                request.table.word()
            )));
        }
        Ok(words)
    }

    /// Writes registers or bits: one by 05 or 06, more by 15 or 16; the echo is checked.
    pub(super) async fn write(&mut self, server: u8, table: Table, address: u16, words: &[u16]) -> Result<(), Fault> {
        let count = u16::try_from(words.len()).unwrap_or(u16::MAX);
        let bits: Vec<bool> = words.iter().map(|word| *word != 0).collect();
        let (call, echo) = match (table, words, bits.as_slice()) {
            (Table::Coil, _, [bit]) => (
                Call::WriteSingleCoil(address, *bit),
                Response::WriteSingleCoil(address, *bit),
            ),
            (Table::Coil, ..) => (
                Call::WriteMultipleCoils(address, bits.into()),
                Response::WriteMultipleCoils(address, count),
            ),
            (Table::Holding, [word], _) => (
                Call::WriteSingleRegister(address, *word),
                Response::WriteSingleRegister(address, *word),
            ),
            (Table::Holding, ..) => (
                Call::WriteMultipleRegisters(address, words.into()),
                Response::WriteMultipleRegisters(address, count),
            ),
            (Table::Discrete | Table::Input, ..) => return Err(Fault::Exception(ExceptionCode::IllegalFunction)),
        };
        if self.call(server, call).await? == echo {
            Ok(())
        } else {
            Err(Fault::Link("the echo of a write is not what was written".to_owned()))
        }
    }
}

fn unreachable(address: &str, fault: &std::io::Error) -> String {
    match fault.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            format!("{address} refuses the connection: is its Modbus server switched on, and the port right?")
        }
        _ => format!("no connection to {address}: {fault}"),
    }
}

fn sentence(fault: &tokio_modbus::Error) -> String {
    match fault {
        tokio_modbus::Error::Protocol(ProtocolError::HeaderMismatch { .. }) => {
            "an answer of another server or to another request".to_owned()
        }
        tokio_modbus::Error::Protocol(ProtocolError::FunctionCodeMismatch { .. }) => {
            "the answer is of another kind than the request".to_owned()
        }
        tokio_modbus::Error::Transport(fault) if fault.kind() == std::io::ErrorKind::InvalidData => {
            format!("what came is no Modbus answer ({fault})")
        }
        // At the end of the stream the crate reports the last error of the system, whatever that was.
        tokio_modbus::Error::Transport(fault) => match fault.kind() {
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
                "the device broke the connection off".to_owned()
            }
            std::io::ErrorKind::InvalidInput => format!("what came is no Modbus answer ({fault})"),
            _ => "the device closed the connection".to_owned(),
        },
    }
}
