//! Devices that say lines or frames: the link task, and a simulated device for demos and tests.
//!
//! Owns when a connection is made again, when the device is asked, and that it is answered only for what is durable.
//! Does not own what a frame is ([`crate::wire::framed`]) nor what it leads to ([`crate::watch::frames`]).

pub mod simulator;
mod slot;
mod transport;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::device::tap::{Look, Service};
use crate::model::Moment;
use crate::model::plan::{ByteTransport, FramedLink};
use crate::model::sample::{Counted, LinkState, Report};
use crate::record::What;
use crate::wire::framed::{Framed, Framer};
use slot::{Arrived, Closed, Owed, Slot};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use transport::{Source, Wire, broken};

/// Frames that may wait for their answer; then nothing is read until one has it.
const OUTSTANDING: usize = 64;
/// Bytes read at once.
const CHUNK: usize = 4096;
/// Chunks that are still read from a connection when another takes its place.
const LEFT: usize = 16;
/// Polls in a row without an answer after which a device is offline.
const MISSES: u32 = 2;
/// Milliseconds for which what is under way is still heard when the link is to end.
const LAST: u64 = 1_000;
/// Nobody listened for so long, in ms: what comes next may have been there before.
const DEAF: u64 = 50;

/// The slots of one link and all that they share.
struct Hub<'a> {
    link: &'a FramedLink,
    slots: Vec<Slot>,
    service: Service,
    reports: &'a mpsc::Sender<Report>,
    clock: &'a Clock,
}

/// Why a connection is not used any more.
enum End {
    /// It is lost, for this reason.
    Lost(String),
    /// The device made another, and has said this there.
    Another(Box<dyn Wire>, Vec<u8>),
    /// The link is to end, and nothing is owed any more.
    Over,
}

/// A frame whose answer the device waits for.
struct Waiting {
    owed: Owed,
    /// It may be answered: it came whole.
    whole: bool,
}

/// One connection.
struct Session {
    framer: Framer,
    waiting: VecDeque<Waiting>,
    /// The last frame could not be stored.
    failed: bool,
    /// When the last byte came.
    heard: Moment,
    /// Nobody listens since then.
    deaf: Option<Moment>,
    asking: Asking,
    /// A frame came.
    spoke: bool,
    /// The link is to end: what is under way is heard until this tick.
    last: Option<u64>,
    /// The device connected again. It is heard there once it says something there: a connection that says nothing may be
    /// anybody's.
    other: Option<Box<dyn Wire>>,
}

/// When the device is asked.
#[derive(Default)]
struct Asking {
    /// At which tick next.
    next: u64,
    /// Until which tick an answer is waited for.
    until: Option<u64>,
    misses: u32,
}

/// Runs the slots of one link until it is to end, or nobody receives the reports any more.
pub(super) async fn run(
    link: &FramedLink,
    starts: Vec<SlotStart>,
    reports: &mpsc::Sender<Report>,
    clock: &Clock,
    service: Service,
) {
    let mut slots = Vec::new();
    for start in starts {
        match Slot::new(start, link) {
            Ok(slot) => slots.push(slot),
            Err((plan, reason)) => {
                let told = Report::Link {
                    slot: plan.slot.clone(),
                    state: LinkState::Offline,
                    reason: format!("its plan cannot be carried out: {reason}"),
                    at: clock.now(),
                };
                if reports.send(told).await.is_err() {
                    return;
                }
            }
        }
    }
    let mut hub = Hub {
        link,
        slots,
        service,
        reports,
        clock,
    };
    // Whoever stops this drops it; it ends by itself only when it is to, or when nobody receives the reports any more.
    let Err(Closed) = hub.connections().await;
}

impl Hub<'_> {
    async fn connections(&mut self) -> Result<std::convert::Infallible, Closed> {
        // A port that was pulled is back within a second of being there again.
        let longest = match self.link.transport {
            ByteTransport::Serial(_) => Duration::from_secs(1),
            ByteTransport::TcpClient | ByteTransport::TcpServer => Duration::from_secs(3),
        };
        let mut backoff = Backoff::new(Duration::from_millis(100), longest);
        loop {
            let reason = match Source::new(self.link).await {
                Ok(source) => self.connected(&source, &mut backoff).await?,
                Err(reason) => reason,
            };
            self.lost(&reason).await?;
            self.pause(backoff.wait(), &reason).await?;
        }
    }

    /// Connections of one source, one after another, until one cannot be made or is lost: why.
    async fn connected(&mut self, source: &Source, backoff: &mut Backoff) -> Result<String, Closed> {
        let listens = matches!(source, Source::Listens(_));
        let mut reason = source.waits();
        let mut another = None;
        loop {
            if listens && another.is_none() {
                self.lost(&reason).await?;
            }
            let (wire, said) = match another.take() {
                Some(other) => other,
                None => match self.connect(source, &reason).await? {
                    Ok(wire) => (wire, Vec::new()),
                    Err(reason) => return Ok(reason),
                },
            };
            let begun = self.clock.now();
            match self.serve(wire, &said, source).await? {
                End::Over => return Err(Closed),
                End::Another(wire, said) => another = Some((wire, said)),
                End::Lost(why) => {
                    // What breaks at once, again and again, is tried less and less.
                    if self.clock.now().tick.saturating_sub(begun.tick) > 1000 {
                        backoff.reset();
                    }
                    reason = why;
                    if !listens {
                        return Ok(reason);
                    }
                }
            }
        }
    }

    /// Waits for a connection. Who looks meanwhile is told why there is nothing to see.
    async fn connect(&mut self, source: &Source, reason: &str) -> Result<Result<Box<dyn Wire>, String>, Closed> {
        let ending = self.service.ending.clone();
        let mut next = std::pin::pin!(source.next(self.link));
        loop {
            tokio::select! {
                biased;
                () = ending.cancelled() => return Err(Closed),
                made = &mut next => return Ok(made),
                Some(look) = self.service.asks.recv() => self.refuse(look, reason),
            }
        }
    }

    /// Waits without a connection.
    async fn pause(&mut self, wait: Duration, reason: &str) -> Result<(), Closed> {
        tracing::debug!(address = %self.link.address, ?wait, "{reason}");
        let ending = self.service.ending.clone();
        let mut over = std::pin::pin!(tokio::time::sleep(wait));
        loop {
            tokio::select! {
                biased;
                () = ending.cancelled() => return Err(Closed),
                () = &mut over => return Ok(()),
                Some(look) = self.service.asks.recv() => self.refuse(look, reason),
            }
        }
    }

    fn refuse(&self, look: Look, reason: &str) {
        // Who asked may have gone.
        drop(look.reply.send(Err(format!("{}: {reason}", self.link.address))));
    }

    fn look(&self, look: Look) {
        let slot = self.slots.iter().find(|slot| *slot.name() == look.slot);
        let answer = slot.map(|slot| slot.look(self.clock.now()));
        let answer = answer.ok_or_else(|| format!("`{}` is not on this link", look.slot));
        // Who asked may have gone.
        drop(look.reply.send(answer));
    }

    /// No bytes come, for this reason.
    async fn lost(&mut self, reason: &str) -> Result<(), Closed> {
        let now = self.clock.now();
        for slot in &mut self.slots {
            slot.offline(now, reason, self.reports).await?;
        }
        Ok(())
    }

    async fn online(&mut self) -> Result<(), Closed> {
        let now = self.clock.now();
        for slot in &mut self.slots {
            slot.online(now, self.reports).await?;
        }
        Ok(())
    }

    /// One connection, until it ends.
    async fn serve(&mut self, wire: Box<dyn Wire>, said: &[u8], source: &Source) -> Result<End, Closed> {
        self.say(|| What::Link("connected".to_owned()));
        let mut session = Session::new(self.link, self.clock.now());
        if self.link.poll.is_none() {
            self.online().await?;
        }
        if !said.is_empty() {
            self.came(&mut session, said).await?;
        }
        let (mut reader, mut writer) = tokio::io::split(wire);
        let mut end = self.exchange(&mut session, &mut reader, &mut writer, source).await?;
        if let (End::Lost(_), Some(wire)) = (&end, session.other.take()) {
            end = End::Another(wire, Vec::new());
        }
        if let End::Another(..) = &end {
            // What it said before is not lost.
            let mut buffer = vec![0; CHUNK];
            for _ in 0..LEFT {
                match timeout(Duration::ZERO, reader.read(&mut buffer)).await {
                    Ok(Ok(count)) if count > 0 => {
                        let bytes = buffer.get(..count).unwrap_or_default();
                        self.came(&mut session, bytes).await?;
                    }
                    _ => break,
                }
            }
        }
        if let End::Over = &end {
            // What was answered last is on its way.
            drop(timeout(self.link.timeout, writer.shutdown()).await);
        } else {
            let left = session.framer.close();
            self.take(&mut session, left).await?;
        }
        self.say(|| {
            What::Link(match &end {
                End::Over => "the link ends".to_owned(),
                End::Lost(reason) => reason.clone(),
                End::Another(..) => "the device connected again".to_owned(),
            })
        });
        Ok(end)
    }

    async fn exchange(
        &mut self,
        session: &mut Session,
        reader: &mut (impl AsyncReadExt + Unpin),
        writer: &mut (impl AsyncWriteExt + Unpin),
        source: &Source,
    ) -> Result<End, Closed> {
        let gone = match self.link.transport {
            ByteTransport::Serial(_) => "the port is gone",
            ByteTransport::TcpClient | ByteTransport::TcpServer => "the device closed the connection",
        };
        let ending = self.service.ending.clone();
        let mut buffer = vec![0; CHUNK];
        loop {
            let now = self.clock.now();
            if ending.is_cancelled() {
                session.last.get_or_insert(now.tick.saturating_add(LAST));
            }
            let hears = session.last.is_none_or(|last| now.tick < last);
            let listens = hears && session.waiting.len() < OUTSTANDING;
            if listens {
                let framed = session.framer.tick(now.tick);
                self.take(session, framed).await?;
            }
            for slot in &mut self.slots {
                slot.check(now, self.reports).await?;
            }
            if let Err(reason) = self.ask(session, writer).await? {
                return Ok(End::Lost(reason));
            }
            if session.owes_nothing() {
                // What the device said already lies here, and nowhere else.
                match timeout(Duration::ZERO, reader.read(&mut buffer)).await {
                    Ok(Ok(count)) if count > 0 && hears => {
                        self.came(session, buffer.get(..count).unwrap_or_default()).await?;
                        continue;
                    }
                    _ => return Ok(End::Over),
                }
            }
            let wait = self.wakes(session, listens).map(|tick| {
                let now = self.clock.now();
                Duration::from_millis(tick.saturating_sub(now.tick).max(1))
            });
            let over = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = reader.read(&mut buffer), if listens => match read {
                    Ok(0) => return Ok(End::Lost(gone.to_owned())),
                    Ok(count) => self.came(session, buffer.get(..count).unwrap_or_default()).await?,
                    Err(fault) => return Ok(End::Lost(broken(&fault))),
                },
                stored = settled(&mut session.waiting), if !session.waiting.is_empty() => {
                    let answer = self.settle(session, stored);
                    if !listens {
                        session.framer.resume(self.clock.now().tick);
                    }
                    if let (true, Some(reply)) = (answer, &self.link.reply)
                        && let Err(reason) = self.send(writer, reply).await
                    {
                        return Ok(End::Lost(reason));
                    }
                }
                Some(look) = self.service.asks.recv() => self.look(look),
                wire = source.accept() => session.other = Some(wire),
                said = begins(&mut session.other) => if let Some(said) = said {
                    return Ok(End::Another(said.0, said.1));
                },
                () = ending.cancelled(), if session.last.is_none() => {}
                () = over => {}
            }
            if session.last.is_some_and(|last| self.clock.now().tick >= last) {
                // What was not said to its end by now is not waited for.
                session.framer = Framer::new(self.link.frame.clone());
                session.asking.until = None;
            }
        }
    }

    /// When something is to be done though nothing happens.
    fn wakes(&self, session: &Session, listens: bool) -> Option<u64> {
        let frame = session.framer.due().filter(|_| listens);
        let asking = &session.asking;
        let next = (session.last.is_none()).then_some(asking.next);
        let poll = self.link.poll.as_ref().and_then(|_| asking.until.or(next));
        let life = self.slots.iter().filter_map(Slot::due);
        let last = session.last.filter(|_| listens);
        life.chain(frame).chain(poll).chain(last).min()
    }

    /// Asks the device where it is time for that. The inner error: the connection is lost.
    async fn ask(
        &mut self,
        session: &mut Session,
        writer: &mut (impl AsyncWriteExt + Unpin),
    ) -> Result<Result<(), String>, Closed> {
        let Some(poll) = &self.link.poll else { return Ok(Ok(())) };
        let now = self.clock.now();
        if std::mem::take(&mut session.spoke) {
            session.asking.until = None;
            session.asking.misses = 0;
            self.online().await?;
        }
        if session.asking.until.is_some_and(|until| now.tick >= until) {
            session.asking.until = None;
            session.asking.misses = session.asking.misses.saturating_add(1);
            if session.other.is_some() {
                return Ok(Err("the device does not answer any more".to_owned()));
            }
            if session.asking.misses >= MISSES {
                let reason = format!(
                    "no answer within {:?}: is the device switched on, and `send` what it understands?",
                    self.link.timeout
                );
                self.lost(&reason).await?;
            }
        }
        if session.asking.until.is_some() || now.tick < session.asking.next || session.last.is_some() {
            return Ok(Ok(()));
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        session.asking.next = now.tick.saturating_add(millis(poll.every));
        session.asking.until = Some(now.tick.saturating_add(millis(self.link.timeout)));
        Ok(self.send(writer, &poll.send).await)
    }

    async fn send(&self, writer: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> Result<(), String> {
        match timeout(self.link.timeout, writer.write_all(bytes)).await {
            Ok(Ok(())) => {
                self.say(|| What::Out(bytes.to_vec()));
                Ok(())
            }
            Ok(Err(fault)) => Err(broken(&fault)),
            Err(_) => Err(format!("nothing could be sent within {:?}", self.link.timeout)),
        }
    }

    fn say(&self, what: impl FnOnce() -> What) {
        if self.service.tap.is_used() {
            self.service.tap.send(what());
        }
    }

    /// Bytes came.
    async fn came(&mut self, session: &mut Session, bytes: &[u8]) -> Result<(), Closed> {
        let now = self.clock.now();
        self.say(|| What::In(bytes.to_vec()));
        session.heard = now;
        let framed = session.framer.push(now.tick, bytes);
        self.take(session, framed).await?;
        let after = self.clock.now();
        session.framer.resume(after.tick);
        let busy = after.tick.saturating_sub(now.tick) >= DEAF;
        session.deaf = (busy || session.waiting.len() >= OUTSTANDING).then_some(now);
        Ok(())
    }

    /// Frames and noise, in their order.
    async fn take(&mut self, session: &mut Session, framed: Vec<Framed>) -> Result<(), Closed> {
        for framed in framed {
            match framed {
                Framed::Noise(count) => {
                    if let Some(slot) = self.slots.first() {
                        let count = u64::try_from(count).unwrap_or(u64::MAX);
                        slot.count(Counted::Noise, count, self.reports).await?;
                    }
                }
                Framed::Frame { content, whole, fault } => {
                    session.spoke = true;
                    let mut owed = Owed::default();
                    for (index, slot) in self.slots.iter_mut().enumerate() {
                        let frame = Arrived {
                            content: &content,
                            whole: &whole,
                            fault: fault.as_deref(),
                            seen: session.heard,
                            since: session.deaf.unwrap_or(session.heard),
                            speaks: index == 0,
                        };
                        slot.hear(&frame, &mut owed, self.reports).await?;
                    }
                    if self.link.reply.is_some() {
                        let whole = fault.is_none();
                        session.waiting.push_back(Waiting { owed, whole });
                    }
                }
            }
        }
        Ok(())
    }

    /// The first of those that wait is `stored`, or cannot be: whether it is answered.
    fn settle(&mut self, session: &mut Session, stored: bool) -> bool {
        let Some(first) = session.waiting.pop_front() else {
            return false;
        };
        let ok = stored && !(first.owed.again && session.failed);
        session.failed = !ok;
        if !ok {
            for slot in &mut self.slots {
                slot.forget();
            }
        }
        ok && first.whole
    }
}

impl Session {
    fn new(link: &FramedLink, now: Moment) -> Self {
        Self {
            framer: Framer::new(link.frame.clone()),
            waiting: VecDeque::new(),
            failed: false,
            heard: now,
            deaf: None,
            asking: Asking {
                next: now.tick,
                ..Asking::default()
            },
            spoke: false,
            last: None,
            other: None,
        }
    }

    /// The link is to end, nothing is half said, and all that was said is answered.
    fn owes_nothing(&self) -> bool {
        let said = self.framer.due().is_none() && self.asking.until.is_none();
        self.last.is_some() && said && self.waiting.is_empty()
    }
}

/// Waits until something is said on a connection, which is then given with it; `None`: it was closed. Never without one.
async fn begins(other: &mut Option<Box<dyn Wire>>) -> Option<(Box<dyn Wire>, Vec<u8>)> {
    let Some(wire) = other else {
        return std::future::pending().await;
    };
    let mut said = vec![0; CHUNK];
    let count = wire.read(&mut said).await.unwrap_or(0);
    said.truncate(count);
    other.take().filter(|_| count > 0).map(|wire| (wire, said))
}

/// Waits until it is known of the first whether all that it led to is durable.
async fn settled(waiting: &mut VecDeque<Waiting>) -> bool {
    poll_fn(|context: &mut Context<'_>| {
        let Some(first) = waiting.front_mut() else {
            return Poll::Pending;
        };
        let mut failed = false;
        first
            .owed
            .durable
            .retain_mut(|receiver| match Pin::new(receiver).poll(context) {
                Poll::Ready(outcome) => {
                    failed |= outcome.is_err();
                    false
                }
                Poll::Pending => true,
            });
        match (failed, first.owed.durable.is_empty()) {
            (true, _) => Poll::Ready(false),
            (false, true) => Poll::Ready(true),
            (false, false) => Poll::Pending,
        }
    })
    .await
}
