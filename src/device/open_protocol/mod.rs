//! Open Protocol: the link task around a session that knows no sockets, and a simulated controller.
//!
//! Owns connections, back-off and the way of reports. Results are acknowledged when they are durable, never before;
//! what was missed is fetched and comes before what showed that it was missed.

mod answers;
mod data;
mod layer;
mod ledger;
mod parting;
mod recover;
mod results;
mod session;
pub mod simulator;
mod slot;
mod stages;
mod subscribe;
mod transport;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::device::tap::{Look, Service};
use crate::model::plan::OpenProtocolLink;
use crate::model::sample::Report;
use crate::record::What;
use ledger::Ticket;
use session::{Again, Out, Session};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::PollSender;
use transport::{Heard, Line};

/// Reports that may wait before nothing more is read.
const REPORTS: usize = 64;
/// Questions that may wait.
const LOOKS: usize = 8;
/// How long a controller is left alone that is busy with another client.
const LATER: Duration = Duration::from_secs(2);
/// Milliseconds between two counts of noise.
const NOISE: u64 = 1_000;

/// Nobody receives the reports any more, or the link is to end.
struct Closed;

/// What happened beside the connection.
enum Beside {
    /// A report was passed on.
    Passed,
    /// A report is durable, or could not be made so.
    Answer(Ticket, bool),
    /// Somebody looks.
    Look(Look),
    /// Nobody receives the reports any more.
    Closed,
}

/// A session and its surroundings.
struct Runner<'a> {
    session: Session,
    reports: PollSender<Report>,
    queue: VecDeque<Report>,
    unanswered: Vec<(Ticket, oneshot::Receiver<()>)>,
    service: Service,
    /// Questions that wait until there is something to show.
    looks: Vec<Look>,
    clock: &'a Clock,
    noise_due: u64,
}

/// Runs the slots of one connection until it is to end, or nobody receives the reports any more.
pub(super) async fn run(
    link: &OpenProtocolLink,
    slots: Vec<SlotStart>,
    reports: &mpsc::Sender<Report>,
    clock: &Clock,
    service: Service,
) {
    let mut runner = Runner {
        session: Session::new(link, slots),
        reports: PollSender::new(reports.clone()),
        queue: VecDeque::new(),
        unanswered: Vec::new(),
        service,
        looks: Vec::new(),
        clock,
        noise_due: 0,
    };
    // It ends when it is to, or when nobody receives the reports any more.
    let Closed = runner.link(link).await;
}

impl Runner<'_> {
    /// Connects again and again.
    async fn link(&mut self, link: &OpenProtocolLink) -> Closed {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let open = Line::open(&link.address, &link.transport, link.timeout);
            let made = match self.meanwhile(open).await {
                Ok(made) => made,
                Err(closed) => return closed,
            };
            let (reason, again) = match made {
                Ok(mut wire) => {
                    self.tap(|| What::Link("connected".to_owned()));
                    self.session.connected(self.clock.now());
                    match self.serve(&mut wire).await {
                        Ok(end) => end,
                        Err(closed) => return closed,
                    }
                }
                Err(reason) => (reason, Again::BackOff),
            };
            if self.service.ending.is_cancelled() {
                return Closed;
            }
            self.tap(|| What::Link(reason.clone()));
            self.session.take_noise();
            if self.session.take_healthy() {
                backoff.reset();
            }
            let wait = match again {
                Again::AtOnce => Duration::ZERO,
                Again::BackOff => backoff.wait(),
                Again::Later => backoff.wait().max(LATER),
            };
            if again != Again::AtOnce {
                self.session.lost(self.clock.now(), &reason);
                tracing::debug!(address = %link.address, ?wait, "{reason}");
            }
            // A connection that is given up needs nothing to be sent.
            drop(self.carry_out(None));
            if let Err(closed) = self.meanwhile(tokio::time::sleep(wait)).await {
                return closed;
            }
        }
    }

    fn tap(&self, what: impl FnOnce() -> What) {
        if self.service.tap.is_used() {
            self.service.tap.send(what());
        }
    }

    /// One connection, until it is lost or given up.
    async fn serve(&mut self, line: &mut Line) -> Result<(String, Again), Closed> {
        let ending = self.service.ending.clone();
        loop {
            if let Some(end) = self.carry_out(Some(line)) {
                // What was to be said last is said where that can be done.
                drop(line.flush().await);
                return Ok(end);
            }
            if let Err(reason) = line.flush().await {
                self.session.closed(reason);
                continue;
            }
            let wake = self.session.deadline().into_iter().chain(line.deadline()).min();
            let now = self.clock.now().tick;
            let wait = wake.map_or(Duration::from_secs(1), |wake| {
                Duration::from_millis(wake.saturating_sub(now))
            });
            let open = self.queue.len() < REPORTS;
            tokio::select! {
                () = ending.cancelled(), if !self.session.parts() => self.session.end(self.clock.now()),
                beside = self.beside() => self.took(beside)?,
                more = line.more(), if open => match more {
                    Ok(()) => {
                        line.digest(self.clock.now().tick);
                        self.hear(line);
                    }
                    Err(reason) => self.session.closed(reason),
                },
                () = tokio::time::sleep(wait) => {
                    let now = self.clock.now();
                    if !open {
                        self.session.deaf(now);
                    }
                    line.tick(now.tick);
                    self.hear(line);
                    self.session.tick(now);
                    if now.tick >= self.noise_due {
                        self.noise_due = now.tick.saturating_add(NOISE);
                        self.session.take_noise();
                    }
                }
            }
        }
    }

    fn hear(&mut self, line: &mut Line) {
        while let Some(heard) = line.next() {
            match heard {
                Heard::Telegram(telegram, raw) => {
                    self.tap(|| What::In(raw));
                    self.session.heard(self.clock.now(), telegram);
                }
                Heard::Noise(bytes) => self.session.noise(bytes),
            }
        }
    }

    /// Does what the session wants; `Some`: the connection is given up.
    fn carry_out(&mut self, mut line: Option<&mut Line>) -> Option<(String, Again)> {
        if self.session.shows() {
            let now = self.clock.now();
            for look in self.looks.drain(..) {
                // Who asked may have gone.
                drop(look.reply.send(self.session.look(now, &look.slot)));
            }
        }
        let mut end = None;
        for out in self.session.take() {
            match out {
                Out::Send(telegram) => {
                    if let (Some(line), None) = (&mut line, &end) {
                        let bytes = line.queue(&telegram, self.clock.now().tick);
                        self.tap(|| What::Out(bytes));
                    }
                }
                Out::Report(mut report, ticket) => {
                    if let Some(ticket) = ticket {
                        let (sender, receiver) = oneshot::channel();
                        match &mut report {
                            Report::Sample(sample) => sample.durable = Some(sender),
                            Report::State { durable, .. } => *durable = Some(sender),
                            _ => {}
                        }
                        self.unanswered.push((ticket, receiver));
                    }
                    self.queue.push_back(report);
                }
                Out::Close(reason, again) => end = end.or(Some((reason, again))),
            }
        }
        end
    }

    /// Waits for `future` without a connection; reports go on and answers are taken up meanwhile.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Result<F::Output, Closed> {
        tokio::pin!(future);
        let ending = self.service.ending.clone();
        loop {
            tokio::select! {
                biased;
                () = ending.cancelled() => return Err(Closed),
                output = &mut future => return Ok(output),
                beside = self.beside() => {
                    self.took(beside)?;
                    drop(self.carry_out(None));
                }
            }
        }
    }

    fn took(&mut self, beside: Beside) -> Result<(), Closed> {
        let now = self.clock.now();
        match beside {
            Beside::Passed => {}
            Beside::Answer(ticket, durable) => self.session.answered(now, ticket, durable),
            Beside::Look(look) => self.looks.push(look),
            Beside::Closed => return Err(Closed),
        }
        Ok(())
    }

    /// The next that happens beside the connection. May be given up at any time.
    async fn beside(&mut self) -> Beside {
        poll_fn(|context| self.poll_beside(context)).await
    }

    fn poll_beside(&mut self, context: &mut Context<'_>) -> Poll<Beside> {
        for index in 0..self.unanswered.len() {
            let Some((ticket, receiver)) = self.unanswered.get_mut(index) else {
                break;
            };
            if let Poll::Ready(outcome) = Pin::new(receiver).poll(context) {
                let answer = Beside::Answer(*ticket, outcome.is_ok());
                self.unanswered.swap_remove(index);
                return Poll::Ready(answer);
            }
        }
        let mut passed = false;
        while !self.queue.is_empty() {
            match self.reports.poll_reserve(context) {
                Poll::Ready(Ok(())) => {
                    let Some(report) = self.queue.pop_front() else { break };
                    if self.reports.send_item(report).is_err() {
                        return Poll::Ready(Beside::Closed);
                    }
                    passed = true;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Beside::Closed),
                Poll::Pending => break,
            }
        }
        if self.looks.len() < LOOKS
            && let Poll::Ready(Some(look)) = self.service.asks.poll_recv(context)
        {
            return Poll::Ready(Beside::Look(look));
        }
        if passed {
            Poll::Ready(Beside::Passed)
        } else {
            Poll::Pending
        }
    }
}
