//! A simulated device that says frames, by TCP or on a serial line: for the demo, and faults for tests.
//!
//! Owns how frames go wrong on their way. What the frames are is the caller's, who makes them with
//! [`crate::wire::framed::encode`] or as bytes.

use crate::model::plan::SerialSettings;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

/// Frames that a connection may be behind.
const BEHIND: usize = 1024;
/// Bytes that are kept of what was heard.
const HEARD: usize = 65_536;

/// What goes wrong with one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not sent.
    Drop,
    /// It comes this much later.
    Delay(Duration),
    /// It comes twice.
    Duplicate,
    /// One byte in its middle is another.
    Garble,
    /// Only its first half comes.
    Half,
    /// These bytes come before it.
    Noise(Vec<u8>),
    /// Its first half comes, then the connection is closed.
    Restart,
    /// One byte each time this has passed.
    Trickle(Duration),
}

/// What a connection does.
#[derive(Debug, Clone)]
enum Act {
    Say(Vec<u8>),
    Trickle(Vec<u8>, Duration),
    Close,
}

type Answer = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send>;

#[derive(Default)]
struct State {
    faults: VecDeque<Fault>,
    heard: Vec<u8>,
    answer: Option<Answer>,
}

/// A handle to a simulated device; clones share it.
#[derive(Clone)]
pub struct Simulator {
    state: Arc<Mutex<State>>,
    acts: broadcast::Sender<Act>,
    peers: watch::Sender<usize>,
    /// How many bytes were heard.
    listened: watch::Sender<u64>,
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
    /// A device that is on no line yet; [`Self::line`] puts it on one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            acts: broadcast::Sender::new(BEHIND),
            peers: watch::Sender::new(0),
            listened: watch::Sender::new(0),
        }
    }

    /// Listens at `address` (port 0: any free one). The future serves until it is dropped.
    ///
    /// # Errors
    /// Where the address cannot be listened at.
    pub async fn bind(address: &str) -> std::io::Result<(Self, SocketAddr, impl Future<Output = ()> + Send + use<>)> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let simulator = Self::new();
        Ok((simulator.clone(), local, simulator.serve(listener)))
    }

    /// Connects to `address`, as devices do that connect themselves. The future serves until the connection ends.
    ///
    /// # Errors
    /// Where nobody listens there.
    pub async fn connect(
        &self,
        address: &str,
    ) -> std::io::Result<impl Future<Output = std::io::Result<()>> + Send + use<>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let simulator = self.clone();
        Ok(async move { simulator.line(stream).await })
    }

    /// Opens the serial port `path`. The future serves until the port is gone.
    ///
    /// # Errors
    /// A sentence: the port cannot be opened.
    pub async fn serve_port(
        &self,
        path: &str,
        settings: &SerialSettings,
    ) -> Result<impl Future<Output = std::io::Result<()>> + Send + use<>, String> {
        let port = crate::device::port::open(path, settings).await?;
        let simulator = self.clone();
        Ok(async move { simulator.line(port).await })
    }

    async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        let simulator = self.clone();
                        connections.spawn(async move {
                            // A connection that breaks ends; others go on.
                            drop(simulator.line(stream).await);
                        });
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Speaks on a line until it ends or is cut.
    ///
    /// # Errors
    /// The line is gone.
    pub async fn line(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        let mut acts = self.acts.subscribe();
        self.peers.send_modify(|peers| *peers += 1);
        let outcome = self.speak(stream, &mut acts).await;
        self.peers.send_modify(|peers| *peers = peers.saturating_sub(1));
        outcome
    }

    async fn speak(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        acts: &mut broadcast::Receiver<Act>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            let act = tokio::select! {
                act = acts.recv() => match act {
                    Ok(act) => act,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                read = stream.read(&mut buffer) => {
                    let count = read?;
                    if count == 0 {
                        return Ok(());
                    }
                    if let Some(answer) = self.hear(buffer.get(..count).unwrap_or_default()) {
                        self.send(&answer).await;
                    }
                    continue;
                }
            };
            match act {
                Act::Say(bytes) => stream.write_all(&bytes).await?,
                Act::Trickle(bytes, every) => {
                    for byte in bytes {
                        stream.write_all(&[byte]).await?;
                        tokio::time::sleep(every).await;
                    }
                }
                Act::Close => return stream.shutdown().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut state = self.lock();
        state.heard.extend_from_slice(bytes);
        let spare = state.heard.len().saturating_sub(HEARD);
        state.heard.drain(..spare);
        let answer = state.answer.as_mut().and_then(|answer| answer(bytes));
        drop(state);
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.listened.send_modify(|listened| *listened += count);
        answer
    }

    /// Asked for each piece of bytes that comes, what to say to that: polls, commands.
    pub fn on_bytes(&self, answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) {
        self.lock().answer = Some(Box::new(answer));
    }

    /// The next frames go wrong like this, one after another.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// Says a frame to all that are connected; to how many. It is lost where nobody is.
    pub async fn send(&self, frame: &[u8]) -> usize {
        let fault = self.lock().faults.pop_front();
        let half = frame.get(..frame.len() / 2).unwrap_or_default().to_vec();
        let whole = Act::Say(frame.to_vec());
        let acts = match fault {
            None => vec![whole],
            Some(Fault::Drop) => Vec::new(),
            Some(Fault::Delay(by)) => {
                tokio::time::sleep(by).await;
                vec![whole]
            }
            Some(Fault::Duplicate) => vec![whole.clone(), whole],
            Some(Fault::Garble) => {
                let mut bytes = frame.to_vec();
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 0x15;
                }
                vec![Act::Say(bytes)]
            }
            Some(Fault::Half) => vec![Act::Say(half)],
            Some(Fault::Noise(bytes)) => vec![Act::Say(bytes), whole],
            Some(Fault::Restart) => vec![Act::Say(half), Act::Close],
            Some(Fault::Trickle(every)) => vec![Act::Trickle(frame.to_vec(), every)],
        };
        let reached = self.acts.receiver_count();
        for act in acts {
            // Nobody is connected: it is lost, as on a real line.
            drop(self.acts.send(act));
        }
        reached
    }

    /// Says a frame again and again, each time after `every`, until the device is answered with `reply`: how often it was said.
    pub async fn insist(&self, frame: &[u8], reply: &[u8], every: Duration) -> u32 {
        let mut said = 0;
        loop {
            let before = self.answered(reply);
            self.send(frame).await;
            said += 1;
            let mut listened = self.listened.subscribe();
            let answered = listened.wait_for(|_| self.answered(reply) > before);
            if tokio::time::timeout(every, answered).await.is_ok() {
                return said;
            }
        }
    }

    /// How often `bytes` were heard, as far as that is kept.
    #[must_use]
    pub fn answered(&self, bytes: &[u8]) -> usize {
        let state = self.lock();
        let heard = state.heard.windows(bytes.len().max(1));
        heard.filter(|window| *window == bytes).count()
    }

    /// Everything that was heard, the last 64 KiB of it.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.lock().heard.clone()
    }

    /// Waits until so many are connected.
    pub async fn connected(&self, peers: usize) {
        let mut watched = self.peers.subscribe();
        // Its sender is this handle's own: it does not end.
        drop(watched.wait_for(|now| *now == peers).await);
    }

    /// Closes all connections; new ones are taken.
    pub fn cut(&self) {
        // Nobody is connected: nothing is to be closed.
        drop(self.acts.send(Act::Close));
    }
}
