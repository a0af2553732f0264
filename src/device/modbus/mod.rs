//! Modbus: the link task, and a simulated server for demos and tests.
//!
//! Owns the order in which slots of one connection get their turn, and when a connection is made again.
//! An answer that is late, short or foreign ends the connection, so that it is never taken for the next one's.

mod client;
pub mod requests;
pub mod simulator;
mod slot;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::model::plan::ModbusTcp;
use crate::model::sample::Report;
use client::Connection;
use slot::{Closed, Slot, Turn};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;

/// Runs the slots of one connection for ever, or until nobody receives the reports any more.
pub(super) async fn run(link: &ModbusTcp, slots: Vec<SlotStart>, reports: &mpsc::Sender<Report>, clock: &Clock) {
    let mut slots: Vec<Slot> = slots.into_iter().map(Slot::new).collect();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match Connection::open(&link.address, link.timeout).await {
            Ok(mut connection) => {
                if serve(&mut connection, &mut slots, reports, clock, &mut backoff)
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(reason) => {
                let now = clock.now();
                for slot in &mut slots {
                    if slot.lost(now, Some(&reason), reports).await.is_err() {
                        return;
                    }
                }
                let wait = backoff.wait();
                tracing::debug!(address = %link.address, ?wait, "{reason}");
                pause(&mut slots, Some(wait), clock).await;
            }
        }
    }
}

/// Turns in a circle over the slots until the connection is lost.
async fn serve(
    connection: &mut Connection,
    slots: &mut [Slot],
    reports: &mpsc::Sender<Report>,
    clock: &Clock,
    backoff: &mut Backoff,
) -> Result<(), Closed> {
    loop {
        let mut idle = true;
        let mut wake: Option<u64> = None;
        let mut broken: Option<(usize, String)> = None;
        for (index, slot) in slots.iter_mut().enumerate() {
            let now = clock.now();
            slot.answers(now);
            if slot.rests_until > now.tick {
                wake = Some(wake.map_or(slot.rests_until, |wake| wake.min(slot.rests_until)));
                continue;
            }
            match slot.turn(connection, clock).await {
                Turn::Wait(until) => wake = wake.into_iter().chain(until).min(),
                Turn::Done => {
                    idle = false;
                    backoff.reset();
                }
                Turn::Lost(reason) => {
                    broken = Some((index, reason));
                    break;
                }
            }
            slot.report(clock.now(), reports).await?;
        }
        if let Some((culprit, reason)) = broken {
            let now = clock.now();
            for (index, slot) in slots.iter_mut().enumerate() {
                slot.lost(now, (index == culprit).then_some(reason.as_str()), reports)
                    .await?;
            }
            if let Some(slot) = slots.get_mut(culprit) {
                slot.rest(now);
            }
            // Nobody left to ask: no connection is needed before somebody is.
            let first = slots.iter().map(|slot| slot.rests_until).min().unwrap_or(0);
            if let Some(rest) = first.checked_sub(now.tick).filter(|rest| *rest > 0) {
                pause(slots, Some(Duration::from_millis(rest)), clock).await;
            }
            return Ok(());
        }
        if idle {
            let wait = wake.map(|tick| Duration::from_millis(tick.saturating_sub(clock.now().tick)));
            pause_until_answer(slots, wait, clock).await;
        }
    }
}

/// Waits, taking up durable answers meanwhile.
async fn pause(slots: &mut [Slot], wait: Option<Duration>, clock: &Clock) {
    let Some(wait) = wait else { return };
    let end = tokio::time::Instant::now() + wait;
    while tokio::time::Instant::now() < end {
        let rest = end.saturating_duration_since(tokio::time::Instant::now());
        pause_until_answer(slots, Some(rest), clock).await;
    }
}

/// Waits until `wait` is over (`None`: for ever) or a durable answer comes.
async fn pause_until_answer(slots: &mut [Slot], wait: Option<Duration>, clock: &Clock) {
    let answer = poll_fn(|context| {
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
        if came { Poll::Ready(()) } else { Poll::Pending }
    });
    match wait {
        Some(wait) => drop(tokio::time::timeout(wait, answer).await),
        None => answer.await,
    }
}
