//! A serial line with Modbus frames, at a port or behind a serial server: nothing in an answer says to which request it
//! is one, so this room keeps account of who still owes what.
//!
//! Owns silence between frames, time-outs, and when an answer may be believed: it has the right server, function,
//! length and check sum, and no earlier request could have been meant. Where one could, the server is first brought
//! into step by an echo of data that only this request has (function 08, sub-function 0).

use super::client::{Fault, GONE, broken, send};
use crate::model::plan::SerialSettings;
use crate::wire::modbus::frame;
use crate::wire::modbus::pdu::{Answer, Ask};
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, timeout_at};

/// Bytes that go both ways.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Silence between frames at 19200 bits a second and more (Modbus over Serial Line V1.02, section 2.5.1.1).
const SILENCE: Duration = Duration::from_micros(1750);
/// Silence that is waited for after anything that went wrong; adapters hold bytes back for up to 16 ms.
const CALM: Duration = Duration::from_millis(30);
/// A server owes a late answer for this many time-outs, within these bounds.
const OWES: u32 = 10;
const OWES_LEAST: Duration = Duration::from_secs(2);
const OWES_MOST: Duration = Duration::from_secs(10);

/// An answer that was not there in time and may still come.
struct Owed {
    function: u8,
    length: usize,
    sent: Instant,
    until: Instant,
}

/// A serial line.
pub(super) struct Line {
    wire: Box<dyn Wire>,
    limit: Duration,
    settings: Option<SerialSettings>,
    /// Silence before a request.
    silence: Duration,
    /// Something went wrong: the next request waits for calm.
    upset: bool,
    /// When something was last heard or sent.
    heard: Instant,
    bytes: Vec<u8>,
    owed: HashMap<u8, Vec<Owed>>,
    /// How late a server's answers come that come late.
    late: HashMap<u8, Duration>,
    nonce: u16,
    noise: u64,
}

impl Line {
    /// `limit`: how long an answer may take, its time on the line not counted. `settings`: of the port, where it is one.
    pub(super) fn new(wire: Box<dyn Wire>, limit: Duration, settings: Option<&SerialSettings>) -> Self {
        let silence = match settings {
            Some(settings) if settings.baud > 19_200 => SILENCE,
            // 3.5 characters.
            Some(settings) => settings.time_of(7) / 2,
            None => Duration::ZERO,
        };
        Self {
            wire,
            limit,
            settings: settings.cloned(),
            silence,
            // What stands in the port from before is nobody's answer.
            upset: true,
            heard: Instant::now(),
            bytes: Vec::with_capacity(2 * frame::LONGEST_RTU),
            owed: HashMap::new(),
            late: HashMap::new(),
            nonce: 0,
            noise: 0,
        }
    }

    /// Bytes that were no frame, since this was last asked.
    pub(super) fn take_noise(&mut self) -> u64 {
        std::mem::take(&mut self.noise)
    }

    /// Asks, and waits for the answer; with its bytes.
    pub(super) async fn call(&mut self, server: u8, ask: &Ask) -> Result<(Answer, Vec<u8>), Fault> {
        self.hush().await?;
        if self.owes(server, ask) {
            self.bring_into_step(server).await?;
        }
        self.exchange(server, ask).await
    }

    /// Whether an answer that is still under way could be taken for one to `ask`. The echo of a write names what was
    /// written, so it can only be meant for the same write, and then it is as good.
    fn owes(&mut self, server: u8, ask: &Ask) -> bool {
        let now = Instant::now();
        let Some(owed) = self.owed.get_mut(&server) else {
            return false;
        };
        owed.retain(|owed| owed.until > now);
        let (function, length) = (ask.function(), ask.answer_length());
        matches!(ask, Ask::Read { .. })
            && owed
                .iter()
                .any(|owed| owed.function == function && owed.length == length)
    }

    /// Has the server repeat a number: whatever it says to that, it has answered everything from before.
    async fn bring_into_step(&mut self, server: u8) -> Result<(), Fault> {
        self.nonce = self.nonce.wrapping_add(0x9E37);
        let echo = Ask::Echo { data: self.nonce };
        self.exchange(server, &echo).await.map(|_| ())?;
        self.owed.remove(&server);
        self.hush().await
    }

    /// One request, one answer.
    async fn exchange(&mut self, server: u8, ask: &Ask) -> Result<(Answer, Vec<u8>), Fault> {
        let request = frame::rtu(server, &ask.encode());
        let expected = ask.answer_length() + 3;
        let on_the_line = |characters| {
            let settings = self.settings.as_ref();
            settings.map_or(Duration::ZERO, |settings| settings.time_of(characters))
        };
        let calm = CALM.max(self.silence) + on_the_line(4);
        let sent = Instant::now();
        let deadline = sent + self.limit + on_the_line(request.len() + expected);
        send(&mut self.wire, &request, deadline, self.limit).await?;
        self.heard = Instant::now();
        loop {
            while let Some((frame, noise)) = frame::take_rtu(&mut self.bytes) {
                self.count(noise);
                if frame.server != server {
                    self.stray(&frame);
                    continue;
                }
                match ask.decode(&frame.pdu) {
                    // A refusal carries nothing that says to which request it is one.
                    Ok(Answer::Exception(_)) if self.settle(&frame) => {}
                    Ok(answer) => {
                        self.owed.remove(&server);
                        self.late.remove(&server);
                        return Ok((answer, frame.pdu));
                    }
                    Err(_) => self.stray(&frame),
                }
            }
            // All that was to come has come, and is no answer.
            let garbled = self.bytes.len() >= expected.min(frame::LONGEST_RTU);
            let until = if garbled {
                deadline.min(self.heard + calm)
            } else {
                deadline
            };
            match timeout_at(until, self.wire.read_buf(&mut self.bytes)).await {
                Ok(Ok(0)) => return Err(self.gone()),
                Ok(Ok(_)) => {
                    self.heard = Instant::now();
                    if self.bytes.len() > 4 * frame::LONGEST_RTU {
                        let spare = self.bytes.len() - frame::LONGEST_RTU;
                        self.bytes.drain(..spare);
                        self.count(spare);
                    }
                }
                Ok(Err(fault)) => return Err(broken(&fault)),
                Err(_) => return Err(self.missed(server, ask, sent)),
            }
        }
    }

    /// No answer that could be believed.
    fn missed(&mut self, server: u8, ask: &Ask, sent: Instant) -> Fault {
        let garbled = self.bytes.len();
        self.count(garbled);
        self.bytes.clear();
        self.upset = true;
        let patience = (self.limit * OWES).clamp(OWES_LEAST, OWES_MOST);
        let owed = self.owed.entry(server).or_default();
        // The oldest are told from each other by nothing but their number.
        if owed.len() < 16 {
            owed.push(Owed {
                function: ask.function(),
                length: ask.answer_length(),
                sent,
                until: sent + patience,
            });
        }
        let reason = match (garbled, self.late.get(&server)) {
            (_, Some(late)) => format!(
                "no answer within {:?}; answers come after up to {} ms: raise `timeout` of all slots on this line",
                self.limit,
                // In steps, so that each answer is not news.
                late.as_millis().next_multiple_of(50)
            ),
            (0, None) => format!("no answer within {:?}", self.limit),
            (garbled, None) => format!(
                "{garbled} bytes came that are no answer: check `baud`, `framing`, the wiring and its termination"
            ),
        };
        Fault::Silent {
            reason,
            garbled: garbled > 0,
        }
    }

    /// Whether this frame was owed; then it is no longer.
    fn settle(&mut self, frame: &frame::Frame) -> bool {
        let function = frame.pdu.first().copied().unwrap_or(0);
        let owed = self.owed.get_mut(&frame.server);
        let of = |owed: &Owed| {
            owed.function | 0x80 == function || owed.function == function && owed.length == frame.pdu.len()
        };
        let found = owed.and_then(|owed| {
            let at = owed.iter().position(of)?;
            // Answers come in the order of their requests.
            owed.drain(..=at).next_back()
        });
        if let Some(owed) = &found {
            self.late.insert(frame.server, owed.sent.elapsed());
        }
        found.is_some()
    }

    /// A frame that answers nothing that is being asked: late, or noise.
    fn stray(&mut self, frame: &frame::Frame) {
        if !self.settle(frame) {
            self.count(frame.pdu.len() + 3);
        }
    }

    /// The other end is not there any more.
    fn gone(&self) -> Fault {
        Fault::Link(match self.settings {
            Some(_) => GONE.to_owned(),
            None => "the serial server closed the connection".to_owned(),
        })
    }

    fn count(&mut self, noise: usize) {
        self.noise = self.noise.saturating_add(u64::try_from(noise).unwrap_or(u64::MAX));
    }

    /// Waits until the line is silent; what comes meanwhile is late or noise.
    async fn hush(&mut self) -> Result<(), Fault> {
        let silence = if std::mem::take(&mut self.upset) {
            CALM.max(self.silence)
        } else {
            self.silence
        };
        // A line that never falls silent is used all the same: check sums decide.
        let latest = Instant::now() + self.limit;
        loop {
            let quiet = (self.heard + silence).min(latest);
            match timeout_at(quiet, self.wire.read_buf(&mut self.bytes)).await {
                Ok(Ok(0)) => return Err(self.gone()),
                Ok(Ok(_)) => self.heard = Instant::now(),
                Ok(Err(fault)) => return Err(broken(&fault)),
                Err(_) => break,
            }
            while let Some((frame, noise)) = frame::take_rtu(&mut self.bytes) {
                self.count(noise);
                self.stray(&frame);
            }
            if self.heard > latest {
                break;
            }
        }
        let noise = self.bytes.len();
        self.count(noise);
        self.bytes.clear();
        Ok(())
    }
}
