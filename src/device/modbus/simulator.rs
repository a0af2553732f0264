//! A Modbus server over an image of registers, by TCP or on a serial line: simulated devices for the demo, and faults
//! for tests.
//!
//! Owns the protocol's server side, written against the specification and not against the client, so that
//! one proves the other. What a device does with its registers is the caller's ([`Simulator::on_write`],
//! [`Simulator::on_request`]).

use crate::model::plan::{SerialSettings, Table};
use crate::wire::modbus::{Image, frame};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What goes wrong with one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It comes this much later.
    Delay(Duration),
    /// It does not come.
    Silence,
    /// An exception with this code, the request not carried out.
    Exception(u8),
    /// One register (or byte of bits) less than asked.
    Short,
    /// Under the name of another server.
    WrongServer,
    /// To another request.
    WrongTransaction,
    /// These bytes instead.
    Garbage(Vec<u8>),
    /// The connection is closed, the request not carried out.
    Close,
    /// The request is carried out, then the connection is closed without an answer.
    CloseAfter,
    /// The connection is closed in the middle of the answer.
    CloseWithin,
    /// One byte each time this has passed.
    Trickle(Duration),
}

/// A write that the server carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// To which server identifier.
    pub server_id: u8,
    /// Which table.
    pub table: Table,
    /// First address.
    pub address: u16,
    /// Registers, or bits as 0 and 1.
    pub words: Vec<u16>,
}

type OnWrite = Box<dyn FnMut(&mut Image, &Write) + Send>;
type OnRequest = Box<dyn FnMut(&mut Image, u64) + Send>;
type Judge = Box<dyn FnMut(u8, u8) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    image: Image,
    clears: BTreeSet<(Table, u16)>,
    faults: VecDeque<Fault>,
    on_write: Option<OnWrite>,
    on_request: Option<OnRequest>,
    judge: Option<Judge>,
    requests: u64,
}

/// A handle to a simulated server; clones share it.
#[derive(Clone)]
pub struct Simulator {
    state: Arc<Mutex<State>>,
    generation: watch::Sender<u64>,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulator {
    /// Listens at `address` (port 0: any free one). The future serves until it is dropped.
    ///
    /// # Errors
    /// Where the address cannot be listened at.
    pub async fn bind(address: &str) -> std::io::Result<(Self, SocketAddr, impl Future<Output = ()> + Send + use<>)> {
        Self::listen(address, None).await
    }

    /// Listens at `address` as a serial server (RTU over TCP) with one device, `only`, behind it. The future serves until
    /// it is dropped.
    ///
    /// # Errors
    /// Where the address cannot be listened at.
    pub async fn bind_line(
        address: &str,
        only: u8,
    ) -> std::io::Result<(Self, SocketAddr, impl Future<Output = ()> + Send + use<>)> {
        Self::listen(address, Some(only)).await
    }

    /// `line`: frames of a serial line, of this server.
    async fn listen(
        address: &str,
        line: Option<u8>,
    ) -> std::io::Result<(Self, SocketAddr, impl Future<Output = ()> + Send + use<>)> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let simulator = Self::new();
        Ok((simulator.clone(), local, simulator.serve(listener, line)))
    }

    /// Opens the serial port `path` and answers on it as server `only`, until the port is gone.
    ///
    /// # Errors
    /// A sentence: the port cannot be opened.
    pub async fn serve_port(
        &self,
        path: &str,
        settings: &SerialSettings,
        only: u8,
    ) -> Result<impl Future<Output = std::io::Result<()>> + Send + use<>, String> {
        let port = crate::device::port::open(path, settings).await?;
        let simulator = self.clone();
        Ok(async move { simulator.line(port, Some(only)).await })
    }

    /// A server that is on no network yet; [`Self::line`] puts it on a serial line.
    #[must_use]
    pub fn new() -> Self {
        let (generation, _) = watch::channel(0);
        Self {
            state: Arc::default(),
            generation,
        }
    }

    /// Answers on a serial line (or behind a serial server) as server `only`, or as every server. Ends with the line.
    ///
    /// # Errors
    /// The line is gone.
    pub async fn line(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, only: Option<u8>) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            while let Some((request, _)) = frame::take_rtu_request(&mut bytes) {
                if only.is_some_and(|only| only != request.server) {
                    continue;
                }
                if let Some(answer) = self.answer(request.server, &request.pdu).await {
                    stream.write_all(&answer).await?;
                }
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            let spare = bytes.len().saturating_sub(2 * frame::LONGEST_RTU);
            bytes.drain(..spare);
        }
    }

    /// What a server on a serial line says to one request, as a frame, when it says it.
    pub async fn answer(&self, server: u8, pdu: &[u8]) -> Option<Vec<u8>> {
        let (fault, mut answer) = self.carry_out(server, pdu);
        let mut from = server;
        match fault {
            Some(Fault::Close | Fault::CloseAfter | Fault::CloseWithin | Fault::Silence) => return None,
            Some(Fault::Delay(by) | Fault::Trickle(by)) => tokio::time::sleep(by).await,
            Some(Fault::WrongServer) => from = server.wrapping_add(1),
            Some(Fault::Short) => shorten(&mut answer),
            Some(Fault::Garbage(bytes)) => return Some(bytes),
            Some(Fault::WrongTransaction | Fault::Exception(_)) | None => {}
        }
        Some(frame::rtu(from, &answer))
    }

    async fn serve(self, listener: TcpListener, line: Option<u8>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        let simulator = self.clone();
                        connections.spawn(async move { simulator.connection(stream, line).await });
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the registers, all at once for whoever reads them. What was never put answers with exception 02.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Image) -> T) -> T {
        change(&mut self.lock().image)
    }

    /// Puts consecutive registers or bits.
    pub fn set(&self, table: Table, address: u16, words: &[u16]) {
        self.edit(|image| image.put(table, address, words));
    }

    /// A register or bit; 0 where none was put.
    #[must_use]
    pub fn get(&self, table: Table, address: u16) -> u16 {
        self.lock().image.get(table, address).unwrap_or(0)
    }

    /// Reading this register sets it to 0.
    pub fn clears(&self, table: Table, address: u16) {
        self.lock().clears.insert((table, address));
    }

    /// Called with each write, after it stands in the registers and before anything else sees them.
    pub fn on_write(&self, act: impl FnMut(&mut Image, &Write) + Send + 'static) {
        self.lock().on_write = Some(Box::new(act));
    }

    /// Called before each request is carried out, with how many came before it.
    pub fn on_request(&self, act: impl FnMut(&mut Image, u64) + Send + 'static) {
        self.lock().on_request = Some(Box::new(act));
    }

    /// The next answers go wrong like this, one after another.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// Asked for each request, by server identifier and function code, what goes wrong with it.
    pub fn judge(&self, judge: impl FnMut(u8, u8) -> Option<Fault> + Send + 'static) {
        self.lock().judge = Some(Box::new(judge));
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// Closes all connections; new ones are taken.
    pub fn cut(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    async fn connection(&self, mut stream: TcpStream, line: Option<u8>) {
        let mut generation = self.generation.subscribe();
        let answers = async {
            match line {
                Some(_) => self.line(stream, line).await,
                None => self.answers(&mut stream).await,
            }
        };
        tokio::select! {
            _ = generation.changed() => {}
            _ = answers => {}
        }
    }

    async fn answers(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let mut header = [0; 7];
            stream.read_exact(&mut header).await?;
            let [t1, t2, _, _, l1, l2, server] = header;
            let length = usize::from(u16::from_be_bytes([l1, l2]));
            if !(2..=254).contains(&length) {
                return Ok(());
            }
            let mut pdu = vec![0; length - 1];
            stream.read_exact(&mut pdu).await?;
            let (fault, mut answer) = self.carry_out(server, &pdu);
            let mut head = [t1, t2, 0, 0, 0, 0, server];
            match &fault {
                Some(Fault::Close | Fault::CloseAfter) => return Ok(()),
                Some(Fault::Silence) => continue,
                Some(Fault::Delay(by)) => tokio::time::sleep(*by).await,
                Some(Fault::WrongServer) => head[6] = server.wrapping_add(1),
                Some(Fault::WrongTransaction) => head[1] = t2.wrapping_add(1),
                Some(Fault::Short) => shorten(&mut answer),
                Some(Fault::Garbage(bytes)) => {
                    stream.write_all(bytes).await?;
                    continue;
                }
                _ => {}
            }
            let length = u16::try_from(answer.len() + 1).unwrap_or(u16::MAX).to_be_bytes();
            head[4..6].copy_from_slice(&length);
            let mut bytes = head.to_vec();
            bytes.append(&mut answer);
            match fault {
                Some(Fault::CloseWithin) => {
                    bytes.truncate(bytes.len() / 2);
                    stream.write_all(&bytes).await?;
                    return stream.shutdown().await;
                }
                Some(Fault::Trickle(every)) => {
                    for byte in bytes {
                        stream.write_all(&[byte]).await?;
                        tokio::time::sleep(every).await;
                    }
                }
                _ => stream.write_all(&bytes).await?,
            }
        }
    }

    /// One request on the registers, whole or not at all.
    fn carry_out(&self, server: u8, pdu: &[u8]) -> (Option<Fault>, Vec<u8>) {
        let mut state = self.lock();
        let state = &mut *state;
        let number = state.requests;
        state.requests += 1;
        if let Some(act) = state.on_request.as_mut() {
            act(&mut state.image, number);
        }
        let function = pdu.first().copied().unwrap_or(0);
        let fault = state
            .faults
            .pop_front()
            .or_else(|| state.judge.as_mut().and_then(|judge| judge(server, function)));
        let refuse = |code: u8| vec![function | 0x80, code];
        match fault {
            Some(Fault::Exception(code)) => return (fault, refuse(code)),
            Some(Fault::Close) => return (fault, Vec::new()),
            _ => {}
        }
        let answer = state.execute(server, function, pdu).unwrap_or_else(refuse);
        (fault, answer)
    }
}

/// One register less, byte count and all.
fn shorten(answer: &mut Vec<u8>) {
    if let [1..=4, count, ..] = answer.as_mut_slice() {
        let less = if *count >= 2 { 2 } else { 1 };
        *count -= less.min(*count);
        let length = usize::from(*count) + 2;
        answer.truncate(length);
    }
}

impl State {
    /// The answer to a request, or an exception code (Modbus Application Protocol 1.1b3, section 6).
    fn execute(&mut self, server: u8, function: u8, pdu: &[u8]) -> Result<Vec<u8>, u8> {
        let word = |at: usize| match pdu.get(at..at + 2) {
            Some([high, low]) => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err(3),
        };
        let (address, second) = (word(1)?, word(3)?);
        if function == 8 {
            return if address == 0 { Ok(pdu.to_vec()) } else { Err(1) };
        }
        let table = match function {
            1 | 5 | 15 => Table::Coil,
            2 => Table::Discrete,
            3 | 6 | 16 => Table::Holding,
            4 => Table::Input,
            _ => return Err(1),
        };
        match function {
            1..=4 => {
                let most = if table.is_bits() { 2000 } else { 125 };
                if second == 0 || second > most {
                    return Err(3);
                }
                let words = self.image.words(table, address, second).ok_or(2)?;
                for at in (0..second).map(|offset| address + offset) {
                    if self.clears.contains(&(table, at)) {
                        self.image.put(table, at, &[0]);
                    }
                }
                let bytes: Vec<u8> = if table.is_bits() {
                    words
                        .chunks(8)
                        .map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit != 0)))
                        .collect()
                } else {
                    words.iter().flat_map(|word| word.to_be_bytes()).collect()
                };
                let mut answer = vec![function, u8::try_from(bytes.len()).map_err(|_| 3)?];
                answer.extend(bytes);
                Ok(answer)
            }
            5 | 6 => {
                let written = match (function, second) {
                    (5, 0xFF00) => 1,
                    (5, 0) => 0,
                    (5, _) => return Err(3),
                    (_, word) => word,
                };
                self.write(server, table, address, vec![written])?;
                Ok(pdu.get(..5).ok_or(3)?.to_vec())
            }
            _ => {
                let data = pdu.get(6..).ok_or(3)?;
                let words: Vec<u16> = if table.is_bits() {
                    let bit = |at: u16| {
                        data.get(usize::from(at / 8))
                            .map(|byte| u16::from(byte >> (at % 8) & 1))
                    };
                    (0..second).map(bit).collect::<Option<_>>().ok_or(3)?
                } else {
                    data.chunks_exact(2)
                        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                        .collect()
                };
                if words.len() != usize::from(second) || words.is_empty() {
                    return Err(3);
                }
                self.write(server, table, address, words)?;
                Ok(pdu.get(..5).ok_or(3)?.to_vec())
            }
        }
    }

    fn write(&mut self, server_id: u8, table: Table, address: u16, words: Vec<u16>) -> Result<(), u8> {
        let count = u16::try_from(words.len()).map_err(|_| 3)?;
        self.image.words(table, address, count).ok_or(2)?;
        self.image.put(table, address, &words);
        let write = Write {
            server_id,
            table,
            address,
            words,
        };
        if let Some(act) = self.on_write.as_mut() {
            act(&mut self.image, &write);
        }
        Ok(())
    }
}
