//! Bytes of a link: TCP, and serial lines with the ASCII frame or 3964R. Of both sides: the simulator uses it too.
//!
//! Owns streams and what is on its way through them. Does not own telegrams' order ([`super::session`]).

use crate::device::{port, tcp};
use crate::model::plan::TelegramTransport;
use crate::wire::open_protocol::block3964r::{self, Outcome, Priority};
use crate::wire::open_protocol::serial::{self, Sender, Unwrapped, Unwrapper};
use crate::wire::open_protocol::{Split, Splitter, Telegram};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// What to look at when a controller refuses the connection.
const REFUSED: &str = "is Open Protocol switched on in the controller, and the port right?";

/// Bytes that are read at once.
const CHUNK: usize = 4_096;
/// Milliseconds of silence after which a telegram without its NUL is whole, and a half frame is noise.
const QUIET: u64 = 200;

/// What came.
#[derive(Debug)]
pub(super) enum Heard {
    /// A telegram, and its bytes.
    Telegram(Telegram, Vec<u8>),
    /// So many bytes that are none.
    Noise(usize),
}

/// What telegrams travel on.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

enum Framing {
    Tcp(Splitter),
    Ascii(Unwrapper, Sender),
    Block(block3964r::Link, VecDeque<Vec<u8>>),
}

/// A connection.
pub(super) struct Line {
    stream: Box<dyn Stream>,
    framing: Framing,
    limit: Duration,
    buffer: Vec<u8>,
    writes: Vec<u8>,
    heard: VecDeque<Heard>,
    fault: Option<String>,
    read_at: Option<u64>,
}

impl Line {
    /// Connects, or opens the port.
    ///
    /// # Errors
    /// A sentence: it cannot be reached.
    pub(super) async fn open(address: &str, transport: &TelegramTransport, limit: Duration) -> Result<Self, String> {
        match transport {
            TelegramTransport::Tcp => {
                let stream = tcp::connect(address, limit, "the controller", REFUSED).await?;
                Ok(Self::new(Box::new(stream), transport, Sender::Gateway, limit))
            }
            TelegramTransport::Ascii(settings) | TelegramTransport::Block3964R(settings) => {
                let stream = port::open(address, settings).await?;
                Ok(Self::new(Box::new(stream), transport, Sender::Gateway, limit))
            }
        }
    }

    /// One side of a stream; `limit`: how long a write may take.
    pub(super) fn new(stream: Box<dyn Stream>, transport: &TelegramTransport, side: Sender, limit: Duration) -> Self {
        let framing = match transport {
            TelegramTransport::Tcp => Framing::Tcp(Splitter::new()),
            TelegramTransport::Ascii(_) => Framing::Ascii(Unwrapper::new(), side),
            TelegramTransport::Block3964R(_) => {
                let priority = match side {
                    Sender::Gateway => Priority::Low,
                    Sender::Controller => Priority::High,
                };
                Framing::Block(block3964r::Link::new(priority), VecDeque::new())
            }
        };
        Self {
            stream,
            framing,
            limit,
            buffer: Vec::with_capacity(CHUNK),
            writes: Vec::new(),
            heard: VecDeque::new(),
            fault: None,
            read_at: None,
        }
    }

    /// Waits for bytes. May be given up at any time.
    ///
    /// # Errors
    /// A sentence: the connection is gone.
    pub(super) async fn more(&mut self) -> Result<(), String> {
        self.buffer.clear();
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err("the controller closed the connection".to_owned()),
            Ok(_) => Ok(()),
            Err(fault) => Err(broken(&fault)),
        }
    }

    /// Looks at what came at `tick`.
    pub(super) fn digest(&mut self, tick: u64) {
        self.read_at = Some(tick);
        match &mut self.framing {
            Framing::Tcp(splitter) => {
                splitter.push(&self.buffer);
                self.heard.extend(splitter.by_ref().map(of_split));
            }
            Framing::Ascii(unwrapper, _) => {
                unwrapper.push(&self.buffer);
                self.heard.extend(unwrapper.by_ref().map(|unwrapped| match unwrapped {
                    Unwrapped::Telegram(telegram, raw) => Heard::Telegram(telegram, raw),
                    Unwrapped::Noise(bytes) => Heard::Noise(bytes),
                }));
            }
            Framing::Block(link, _) => {
                let mut outcomes = Vec::new();
                link.receive(&self.buffer, tick, &mut outcomes);
                self.came_of(outcomes, tick);
            }
        }
        self.buffer.clear();
    }

    /// What a procedure wants.
    fn came_of(&mut self, outcomes: Vec<Outcome>, tick: u64) {
        for outcome in outcomes {
            match outcome {
                Outcome::Write(bytes) => self.writes.extend(bytes),
                Outcome::Received(block) => self.heard.push_back(match Telegram::parse(&block) {
                    Ok(telegram) => Heard::Telegram(telegram, block),
                    Err(_) => Heard::Noise(block.len()),
                }),
                Outcome::Sent => {}
                Outcome::Failed => {
                    self.fault =
                        Some("it does not acknowledge a block of 3964R: check the line and its settings".to_owned());
                }
                Outcome::Noise(bytes) => self.heard.push_back(Heard::Noise(bytes)),
            }
        }
        self.begin(tick);
    }

    /// The next block, where the procedure is free.
    fn begin(&mut self, tick: u64) {
        if let Framing::Block(link, waiting) = &mut self.framing
            && link.is_idle()
            && let Some(block) = waiting.pop_front()
        {
            let mut outcomes = Vec::new();
            if !link.send(&block, tick, &mut outcomes) {
                waiting.push_front(block);
            }
            for outcome in outcomes {
                if let Outcome::Write(bytes) = outcome {
                    self.writes.extend(bytes);
                }
            }
        }
    }

    /// The next that came.
    pub(super) fn next(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    /// Puts a telegram on its way; gives its bytes.
    pub(super) fn queue(&mut self, telegram: &Telegram, tick: u64) -> Vec<u8> {
        let bytes = telegram.encode();
        match &mut self.framing {
            Framing::Tcp(_) => self.writes.extend_from_slice(&bytes),
            Framing::Ascii(_, side) => self.writes.extend(serial::wrap(telegram, *side)),
            Framing::Block(_, waiting) => {
                waiting.push_back(bytes.clone());
                self.begin(tick);
            }
        }
        bytes
    }

    /// Puts bytes on the line as they are.
    pub(super) fn queue_raw(&mut self, bytes: &[u8]) {
        self.writes.extend_from_slice(bytes);
    }

    /// Writes what is on its way.
    ///
    /// # Errors
    /// A sentence: the connection is gone, or nobody reads at its other end.
    pub(super) async fn flush(&mut self) -> Result<(), String> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if self.writes.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.writes);
        let write = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        match timeout(self.limit, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => Err(broken(&fault)),
            Err(_) => Err(format!("a telegram could not be sent within {:?}", self.limit)),
        }
    }

    /// When [`Self::tick`] is due.
    pub(super) fn deadline(&self) -> Option<u64> {
        let quiet = self.read_at.map(|at| at.saturating_add(QUIET));
        match &self.framing {
            Framing::Tcp(splitter) => quiet.filter(|_| splitter.waiting() > 0),
            Framing::Ascii(..) => quiet,
            Framing::Block(link, _) => link.deadline(),
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, tick: u64) {
        let quiet = self.read_at.is_some_and(|at| tick.saturating_sub(at) >= QUIET);
        match &mut self.framing {
            Framing::Tcp(splitter) if quiet => {
                self.read_at = None;
                self.heard.extend(splitter.settle().map(of_split));
            }
            Framing::Tcp(_) => {}
            Framing::Ascii(unwrapper, _) => {
                if quiet {
                    self.read_at = None;
                    let half = unwrapper.clear();
                    if half > 0 {
                        self.heard.push_back(Heard::Noise(half));
                    }
                }
            }
            Framing::Block(link, _) => {
                let mut outcomes = Vec::new();
                if link.deadline().is_some_and(|deadline| tick >= deadline) {
                    link.tick(tick, &mut outcomes);
                }
                self.came_of(outcomes, tick);
            }
        }
    }
}

fn of_split(split: Split) -> Heard {
    match split {
        Split::Telegram(telegram, raw) => Heard::Telegram(telegram, raw),
        Split::Noise(bytes) => Heard::Noise(bytes),
    }
}

fn broken(fault: &std::io::Error) -> String {
    match (fault.raw_os_error(), fault.kind()) {
        // EIO, ENXIO, ENODEV: how Linux tells that an adapter was pulled.
        (Some(5 | 6 | 19), _) => "the port is gone: was the adapter pulled?".to_owned(),
        (_, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) => {
            "the controller broke the connection off".to_owned()
        }
        _ => format!("the connection broke: {fault}"),
    }
}
