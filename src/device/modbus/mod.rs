//! Modbus by TCP and on serial lines: the link task, and a simulated server for demos and tests.
//!
//! Owns the order in which slots of one connection get their turn, and when a connection is made again.
//! An answer that is late, short or foreign is never taken for another's.

mod client;
mod fair;
mod line;
pub mod requests;
pub mod simulator;
mod slot;
mod tcp;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::device::tap::{Look, Service};
use crate::model::plan::{ModbusLink, ModbusTransport};
use crate::model::sample::Report;
use client::Connection;
use fair::Fair;
use slot::{Closed, Slot, Turn};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;

/// The slots of one connection and all that they share.
struct Bus<'a> {
    link: &'a ModbusLink,
    slots: Vec<Slot>,
    fair: Option<Fair>,
    service: Service,
    reports: &'a mpsc::Sender<Report>,
    clock: &'a Clock,
}

/// Milliseconds for which what is being read is still read when the link is to end.
const LAST: u64 = 1_000;
/// Times that a server may give no answer when the link is to end.
const MISSES: u8 = 2;

/// Runs the slots of one connection until it is to end, or nobody receives the reports any more.
pub(super) async fn run(
    link: &ModbusLink,
    slots: Vec<SlotStart>,
    reports: &mpsc::Sender<Report>,
    clock: &Clock,
    service: Service,
) {
    let slots: Vec<Slot> = slots.into_iter().filter_map(Slot::new).collect();
    let several = slots.iter().map(Slot::server).collect::<BTreeSet<_>>().len() > 1;
    let shared = several && link.transport != ModbusTransport::Tcp;
    let mut bus = Bus {
        link,
        slots,
        fair: shared.then(Fair::default),
        service,
        reports,
        clock,
    };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let ending = bus.service.ending.clone();
    loop {
        let open = Connection::open(link, several, bus.service.tap.clone());
        let Some(opened) = ending.run_until_cancelled(open).await else {
            return;
        };
        match opened {
            Ok(mut connection) => {
                if bus.serve(&mut connection, &mut backoff).await.is_err() {
                    return;
                }
            }
            Err(reason) => {
                let now = clock.now();
                for slot in &mut bus.slots {
                    if slot.lost(now, Some(&reason), reports).await.is_err() {
                        return;
                    }
                }
                let wait = backoff.wait();
                tracing::debug!(address = %link.address, ?wait, "{reason}");
                bus.pause(wait, &reason).await;
            }
        }
    }
}

impl Bus<'_> {
    /// Turns in a circle over the slots until the connection is lost, or the link is to end and nothing is owed any more.
    async fn serve(&mut self, connection: &mut Connection, backoff: &mut Backoff) -> Result<(), Closed> {
        loop {
            let mut idle = true;
            let mut wake: Option<u64> = None;
            for index in 0..self.slots.len() {
                if self.service.ending.is_cancelled() {
                    return self.finish(connection).await;
                }
                let Some(slot) = self.slots.get_mut(index) else { break };
                let now = self.clock.now();
                slot.answers(now);
                let server = slot.server();
                let stands_back = self.fair.as_ref().and_then(|fair| fair.waits(server, now.tick));
                if let Some(until) = stands_back
                    .max(Some(slot.rests_until))
                    .filter(|until| *until > now.tick)
                {
                    wake = Some(wake.map_or(until, |wake| wake.min(until)));
                    continue;
                }
                let turn = slot.turn(connection, self.clock).await;
                let ended = self.clock.now();
                if let (Some(fair), false) = (&mut self.fair, matches!(turn, Turn::Wait(_))) {
                    fair.spent(server, ended.tick, ended.tick.saturating_sub(now.tick));
                }
                match turn {
                    Turn::Wait(until) => wake = wake.into_iter().chain(until).min(),
                    Turn::Done => {
                        idle = false;
                        backoff.reset();
                    }
                    Turn::Silent { reason, garbled } => {
                        idle = false;
                        self.silent(server, &reason, garbled).await?;
                    }
                    Turn::Lost(reason) => return self.lost(index, &reason).await,
                }
                self.passed(index, connection).await?;
            }
            if self.answer_look(connection).await {
                idle = false;
            }
            if idle {
                let wait = wake.map(|tick| Duration::from_millis(tick.saturating_sub(self.clock.now().tick)));
                if let Some(look) = self.idle(wait).await {
                    self.look(look, connection).await;
                }
            }
        }
    }

    /// The link is to end: results under way are read and waited for, and acknowledged once they are durable. Nothing new is
    /// begun. Who does not answer is not waited for: what it shows is acknowledged when it is asked again.
    async fn finish(&mut self, connection: &mut Connection) -> Result<(), Closed> {
        let begun = self.clock.now().tick;
        let mut misses = vec![0_u8; self.slots.len()];
        loop {
            let (mut left, mut wake) = (false, None);
            for (index, misses) in misses.iter_mut().enumerate() {
                let Some(slot) = self.slots.get_mut(index) else { break };
                let now = self.clock.now();
                slot.answers(now);
                if *misses >= MISSES || slot.rests_until > now.tick {
                    continue;
                }
                let reads = now.tick.saturating_sub(begun) < LAST;
                let until = match slot.last_turn(connection, self.clock, reads).await {
                    None => continue,
                    Some(Turn::Wait(until)) => until.map(|until| if reads { until.min(begun + LAST) } else { until }),
                    Some(Turn::Done) => Some(now.tick),
                    Some(Turn::Silent { .. }) => {
                        *misses += 1;
                        Some(now.tick)
                    }
                    Some(Turn::Lost(_)) => return Ok(()),
                };
                left = true;
                wake = wake.into_iter().chain(until).min();
                self.passed(index, connection).await?;
            }
            if !left {
                return Ok(());
            }
            let wait = wake.map(|tick| Duration::from_millis(tick.saturating_sub(self.clock.now().tick)));
            // Who looks is told that the link has ended.
            drop(self.rest(wait).await);
        }
    }

    /// After the turn of a slot: what it has to report, and what others learn from it.
    async fn passed(&mut self, index: usize, connection: &mut Connection) -> Result<(), Closed> {
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(());
        };
        let noise = connection.take_noise();
        if noise > 0 {
            slot.noise(noise, self.reports).await?;
        }
        slot.report(self.clock.now(), self.reports).await?;
        let (server, learned) = (slot.server(), slot.take_learned());
        if let Some(limits) = learned {
            for slot in self.slots.iter_mut().filter(|slot| slot.server() == server) {
                slot.learn(limits);
            }
        }
        Ok(())
    }

    /// One server gave no answer: all its slots stand back, the others do not notice.
    async fn silent(&mut self, server: u8, reason: &str, garbled: bool) -> Result<(), Closed> {
        let now = self.clock.now();
        for slot in self.slots.iter_mut().filter(|slot| slot.server() == server) {
            slot.silent(now, reason, garbled, self.reports).await?;
        }
        Ok(())
    }

    /// The connection is lost at the turn of slot `culprit`, or by it.
    async fn lost(&mut self, culprit: usize, reason: &str) -> Result<(), Closed> {
        let now = self.clock.now();
        // A port that is gone is gone for all; by TCP the others are told where it cannot be made again.
        let all = self.link.transport != ModbusTransport::Tcp;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.lost(now, (all || index == culprit).then_some(reason), self.reports)
                .await?;
        }
        if all {
            self.pause(Duration::from_millis(100), reason).await;
            return Ok(());
        }
        if let Some(slot) = self.slots.get_mut(culprit) {
            slot.rest(now);
        }
        // Nobody left to ask: no connection is needed before somebody is.
        let first = self.slots.iter().map(|slot| slot.rests_until).min().unwrap_or(0);
        if let Some(rest) = first.checked_sub(now.tick).filter(|rest| *rest > 0) {
            self.pause(Duration::from_millis(rest), reason).await;
        }
        Ok(())
    }

    /// Waits without a connection, taking up durable answers meanwhile. Who looks is told why there is nothing to see.
    async fn pause(&mut self, wait: Duration, reason: &str) {
        let end = tokio::time::Instant::now() + wait;
        loop {
            let rest = end.saturating_duration_since(tokio::time::Instant::now());
            if rest.is_zero() || self.service.ending.is_cancelled() {
                return;
            }
            if let Some(look) = self.idle(Some(rest)).await {
                // Who asked may have gone.
                drop(look.reply.send(Err(format!("{}: {reason}", self.link.address))));
            }
        }
    }

    /// [`Self::rest`], or until the link is to end.
    async fn idle(&mut self, wait: Option<Duration>) -> Option<Look> {
        let ending = self.service.ending.clone();
        ending.run_until_cancelled(self.rest(wait)).await.flatten()
    }

    /// Waits until `wait` is over (`None`: for ever), a durable answer comes, or somebody looks.
    async fn rest(&mut self, wait: Option<Duration>) -> Option<Look> {
        let (slots, asks, clock) = (&mut self.slots, &mut self.service.asks, self.clock);
        let something = poll_fn(|context| {
            let mut came = false;
            for slot in slots.iter_mut() {
                let mut answered = Vec::new();
                for (index, (_, receiver)) in slot.unanswered.iter_mut().enumerate() {
                    if let Poll::Ready(outcome) = Pin::new(receiver).poll(context) {
                        answered.push((index, outcome.is_ok()));
                    }
                }
                for (index, durable) in answered.into_iter().rev() {
                    let (ticket, _) = slot.unanswered.swap_remove(index);
                    slot.answer(clock.now(), ticket, durable);
                    came = true;
                }
            }
            match asks.poll_recv(context) {
                Poll::Ready(Some(look)) => Poll::Ready(Some(look)),
                _ if came => Poll::Ready(None),
                _ => Poll::Pending,
            }
        });
        match wait {
            Some(wait) => tokio::time::timeout(wait, something).await.ok().flatten(),
            None => something.await,
        }
    }

    /// Answers who looks, if somebody does.
    async fn answer_look(&mut self, connection: &mut Connection) -> bool {
        match self.service.asks.try_recv() {
            Ok(look) => {
                self.look(look, connection).await;
                true
            }
            Err(_) => false,
        }
    }

    async fn look(&mut self, look: Look, connection: &mut Connection) {
        let answer = match self.slots.iter_mut().find(|slot| *slot.name() == look.slot) {
            Some(slot) => slot
                .look(connection, look.clears, self.clock)
                .await
                .map_err(|broken| match broken {
                    Turn::Silent { reason, .. } | Turn::Lost(reason) => format!("{}: {reason}", self.link.address),
                    Turn::Done | Turn::Wait(_) => format!("{}: nothing was read", self.link.address),
                }),
            None => Err(format!("`{}` is not on this link", look.slot)),
        };
        // Who asked may have gone.
        drop(look.reply.send(answer));
    }
}
