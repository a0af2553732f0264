//! One client of a simulated controller.
//!
//! Owns its session: what it is subscribed to, what it has to acknowledge. Does not own what the controller remembers.

use super::{Acknowledged, Event, Fault, Simulator};
use crate::device::open_protocol::layer::{Came, Layer};
use crate::device::open_protocol::transport::{Heard, Line};
use crate::model::Raw;
use crate::wire::open_protocol::{Telegram, link, session};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

/// Times that a data telegram is sent.
const TRIES: u8 = 4;

/// A data telegram that awaits its acknowledgement.
pub(super) struct Awaiting {
    telegram: Telegram,
    id: i64,
    again: Instant,
    tries: u8,
    /// It goes out at this time for the first time.
    held: Option<Instant>,
}

/// One client.
pub(super) struct Client {
    pub(super) simulator: Simulator,
    line: Line,
    /// Revision of the session; `None`: none is started.
    pub(super) started: Option<u16>,
    pub(super) layer: Layer,
    pub(super) subscriptions: BTreeMap<u16, u16>,
    pub(super) queue: VecDeque<(Telegram, i64)>,
    pub(super) awaiting: Option<Awaiting>,
    born: Instant,
    heard_at: Instant,
    pub(super) over: bool,
}

/// Serves one client until it goes, or is sent away.
pub(super) async fn serve(simulator: Simulator, line: Line, number: u64) {
    let mut generation = simulator.generation.subscribe();
    let mut events = simulator.events.subscribe();
    let mut raw = simulator.raw.subscribe();
    let now = Instant::now();
    let mut client = Client {
        line,
        simulator,
        started: None,
        layer: Layer::new(),
        subscriptions: BTreeMap::new(),
        queue: VecDeque::new(),
        awaiting: None,
        born: now,
        heard_at: now,
        over: false,
    };
    tracing::debug!("client {number} of the simulated controller is here");
    loop {
        client.follow();
        if client.line.flush().await.is_err() {
            return;
        }
        if client.over {
            return;
        }
        let due = client.due();
        tokio::select! {
            _ = generation.changed() => return,
            event = events.recv() => match event {
                Ok(event) => client.event(&event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            bytes = raw.recv() => if let Ok(bytes) = bytes {
                client.line.queue_raw(&bytes);
            },
            more = client.line.more() => {
                if more.is_err() {
                    return;
                }
                client.heard_at = Instant::now();
                let tick = client.tick();
                client.line.digest(tick);
                client.hear();
            }
            () = sleep_until(due) => {
                let tick = client.tick();
                client.line.tick(tick);
                client.hear();
                client.time();
            }
        }
    }
}

impl Client {
    fn tick(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn due(&self) -> Instant {
        let silence = self.simulator.lock().config.silence;
        let at = |tick: u64| self.born + Duration::from_millis(tick);
        let awaiting = self
            .awaiting
            .as_ref()
            .map(|awaiting| awaiting.held.unwrap_or(awaiting.again));
        [
            Some(self.heard_at + silence),
            awaiting,
            self.layer.deadline(self.resend()).map(at),
            self.line.deadline().map(at),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.born)
    }

    fn resend(&self) -> u64 {
        u64::try_from(self.simulator.lock().config.resend.as_millis()).unwrap_or(u64::MAX)
    }

    fn hear(&mut self) {
        while let Some(heard) = self.line.next() {
            if let Heard::Telegram(telegram, _) = heard {
                let mut state = self.simulator.lock();
                if state.heard.len() >= super::HEARD {
                    state.heard.pop_front();
                }
                state.heard.push_back(telegram.clone());
                drop(state);
                self.take(&telegram);
            }
        }
    }

    fn time(&mut self) {
        let now = Instant::now();
        let (silence, resend) = {
            let state = self.simulator.lock();
            (state.config.silence, state.config.resend)
        };
        if now >= self.heard_at + silence {
            self.over = true;
            return;
        }
        let tick = self.tick();
        match self.layer.tick(tick, self.resend()) {
            Ok(Some(telegram)) => drop(self.line.queue(&telegram, tick)),
            Ok(None) => {}
            Err(_) => self.over = true,
        }
        let Some(awaiting) = &mut self.awaiting else { return };
        if let Some(held) = awaiting.held {
            if now >= held {
                awaiting.held = None;
                awaiting.again = now + resend;
                let telegram = awaiting.telegram.clone();
                self.send(telegram);
            }
            return;
        }
        // The link layer repeats by itself.
        if now < awaiting.again || self.layer.is_on() {
            return;
        }
        if awaiting.tries >= TRIES {
            self.over = true;
            return;
        }
        awaiting.tries += 1;
        awaiting.again = now + resend;
        let telegram = awaiting.telegram.clone();
        self.send(telegram);
    }

    /// Sends, in its turn where the link layer is used.
    pub(super) fn send(&mut self, telegram: Telegram) {
        let tick = self.tick();
        if let Some(telegram) = self.layer.send(telegram, tick) {
            self.line.queue(&telegram, tick);
        }
    }

    pub(super) fn refuse(&mut self, mid: u16, code: u16) {
        self.send(session::refused(mid, code, 1));
    }

    /// With which code this message is always refused.
    pub(super) fn refusal(&self, mid: u16) -> Option<u16> {
        self.simulator.lock().config.refuses.get(&mid).copied()
    }

    fn take(&mut self, telegram: &Telegram) {
        let (tick, mut follow) = (self.tick(), Vec::new());
        let came = self.layer.came(telegram, tick, &mut follow);
        for telegram in follow {
            self.line.queue(&telegram, tick);
        }
        let sequence = telegram.header.sequence.filter(|_| self.layer.is_on());
        match came {
            Came::Done => {
                if telegram.mid() == link::ACK && self.layer.is_on() {
                    self.acknowledged(telegram.about().unwrap_or(0), link::ACK);
                }
                return;
            }
            Came::Broken(_, refusal) => {
                if let Some(refusal) = refusal {
                    self.line.queue(&refusal, tick);
                }
                self.over = true;
                return;
            }
            Came::New | Came::Again => {
                if let Some(sequence) = sequence {
                    self.line.queue(&link::ack(telegram.mid(), sequence), tick);
                }
                if came == Came::Again {
                    return;
                }
            }
        }
        if self.started.is_none() && telegram.mid() != 1 {
            return;
        }
        self.answer(telegram);
    }

    /// Something happened: a telegram for whoever wants it.
    pub(super) fn event(&mut self, event: &Event) {
        let subscribed = if matches!(event.data, 74 | 76) { 71 } else { event.data };
        let Some(revision) = self.subscriptions.get(&subscribed).copied() else {
            return;
        };
        let state = self.simulator.lock();
        let mut values = (*event.values).clone();
        let mut mids = vec![event.data];
        if event.data == 1201 {
            mids.push(1202);
            values.insert("message_count".to_owned(), Raw::Int(2));
        }
        let mut built = Vec::new();
        for (number, mid) in mids.into_iter().enumerate() {
            let number = i64::try_from(number).unwrap_or(0) + 1;
            values.insert("message_number".to_owned(), Raw::Int(number));
            match state
                .build(mid, revision, &values)
                .or_else(|_| state.build(mid, 1, &values))
            {
                Ok(telegram) => built.push((telegram, event.id)),
                Err(fault) => tracing::warn!("the simulated controller cannot say MID {mid:04}: {fault}"),
            }
        }
        drop(state);
        self.queue.extend(built);
    }

    /// The next data telegram, where none awaits its acknowledgement.
    fn follow(&mut self) {
        if self.awaiting.is_some() {
            return;
        }
        let Some((telegram, id)) = self.queue.pop_front() else {
            return;
        };
        let mut state = self.simulator.lock();
        let fault = state.faults.pop_front();
        let resend = state.config.resend;
        drop(state);
        let now = Instant::now();
        let mut held = None;
        let tick = self.tick();
        match fault {
            None => self.send(telegram.clone()),
            Some(Fault::Drop) => {}
            Some(Fault::Delay(time)) => held = Some(now + time),
            Some(Fault::Duplicate) => {
                self.send(telegram.clone());
                self.line.queue(&telegram, tick);
            }
            Some(Fault::Garble) => {
                let mut bytes = telegram.encode();
                for byte in bytes.iter_mut().skip(2).step_by(7) {
                    *byte ^= 0x55;
                }
                self.line.queue_raw(&bytes);
            }
            Some(Fault::Cut) => {
                let bytes = telegram.encode();
                self.line.queue_raw(bytes.get(..bytes.len() / 2).unwrap_or_default());
                self.over = true;
            }
            Some(Fault::Noise(bytes)) => {
                self.line.queue_raw(&bytes);
                self.send(telegram.clone());
            }
        }
        self.awaiting = Some(Awaiting {
            telegram,
            id,
            again: now + resend,
            tries: 1,
            held,
        });
    }

    /// A client acknowledged a data telegram.
    pub(super) fn acknowledged(&mut self, data: u16, by: u16) {
        let matches = |awaiting: &mut Awaiting| {
            awaiting.telegram.mid() == data || data == 1201 && awaiting.telegram.mid() == 1202
        };
        let Some(awaiting) = self.awaiting.take_if(matches) else {
            return;
        };
        self.simulator.lock().acknowledged.push(Acknowledged {
            data: awaiting.telegram.mid(),
            id: awaiting.id,
            by,
        });
    }
}
