//! Modbus TCP: requests have numbers, answers repeat them.
//!
//! Owns the numbers and the time-out. An answer to an earlier request is late and thrown away; one to a request that
//! was never made ends the connection.

use super::client::{Fault, broken, send};
use crate::wire::modbus::frame;
use crate::wire::modbus::pdu::{Answer, Ask};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Time-outs in a row after which a connection that several servers share is made again.
const MISSES: u32 = 3;
/// Requests whose answers may still be under way.
const EARLIER: u16 = 1000;

/// A connection by TCP.
pub(super) struct Tcp {
    stream: TcpStream,
    limit: Duration,
    several: bool,
    transaction: u16,
    misses: u32,
    bytes: Vec<u8>,
}

impl Tcp {
    /// `limit`: how long an answer may take. `several`: other servers answer on it when one does not.
    pub(super) fn new(stream: TcpStream, limit: Duration, several: bool) -> Self {
        Self {
            stream,
            limit,
            several,
            transaction: 0,
            misses: 0,
            bytes: Vec::with_capacity(frame::LONGEST_TCP),
        }
    }

    /// Asks, and waits for the answer; with its bytes.
    pub(super) async fn call(&mut self, server: u8, ask: &Ask) -> Result<(Answer, Vec<u8>), Fault> {
        self.transaction = self.transaction.wrapping_add(1);
        let deadline = Instant::now() + self.limit;
        let request = frame::tcp(self.transaction, server, &ask.encode());
        send(&mut self.stream, &request, deadline, self.limit).await?;
        loop {
            let taken = frame::take_tcp(&mut self.bytes).map_err(|fault| Fault::Link(fault.to_string()))?;
            if let Some(frame) = taken {
                let behind = self.transaction.wrapping_sub(frame.transaction);
                if (1..EARLIER).contains(&behind) && self.several {
                    continue;
                }
                if behind != 0 || frame.server != server {
                    return Err(Fault::Link(
                        "an answer of another server or to another request".to_owned(),
                    ));
                }
                self.misses = 0;
                let answer = ask.decode(&frame.pdu).map_err(|fault| Fault::Link(fault.to_string()))?;
                return Ok((answer, frame.pdu));
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.bytes)).await {
                Ok(Ok(0)) => return Err(Fault::Link("the device closed the connection".to_owned())),
                Ok(Ok(_)) => {}
                Ok(Err(fault)) => return Err(broken(&fault)),
                Err(_) => return Err(self.missed()),
            }
        }
    }

    /// No answer in time. With one server a new connection is the way to be sure of the next answer; with several
    /// the numbers tell, and the others are not to suffer.
    fn missed(&mut self) -> Fault {
        self.misses = self.misses.saturating_add(1);
        let reason = format!("no answer within {:?}", self.limit);
        if self.several && self.misses < MISSES {
            Fault::Silent { reason, garbled: false }
        } else {
            Fault::Link(reason)
        }
    }
}
