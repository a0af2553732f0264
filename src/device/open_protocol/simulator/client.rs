//! One client of a simulated controller.
//!
//! Owns its session: what it is subscribed to, what it has to acknowledge. Does not own what the controller remembers.

use super::{Acknowledged, Event, Fault, Simulator, Values};
use crate::device::open_protocol::layer::{Came, Layer};
use crate::device::open_protocol::transport::{Heard, Line};
use crate::model::Raw;
use crate::wire::open_protocol::{Telegram, link, session};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

/// Times that a data telegram is sent.
const TRIES: u8 = 4;

/// A data telegram that awaits its acknowledgement.
struct Awaiting {
    telegram: Telegram,
    id: i64,
    again: Instant,
    tries: u8,
    /// It goes out at this time for the first time.
    held: Option<Instant>,
}

struct Client {
    simulator: Simulator,
    line: Line,
    /// Revision of the session; `None`: none is started.
    started: Option<u16>,
    layer: Layer,
    subscriptions: BTreeMap<u16, u16>,
    queue: VecDeque<(Telegram, i64)>,
    awaiting: Option<Awaiting>,
    born: Instant,
    heard_at: Instant,
    over: bool,
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
    fn send(&mut self, telegram: Telegram) {
        let tick = self.tick();
        if let Some(telegram) = self.layer.send(telegram, tick) {
            self.line.queue(&telegram, tick);
        }
    }

    fn refuse(&mut self, mid: u16, code: u16) {
        self.send(session::refused(mid, code, 1));
    }

    /// With which code this message is always refused.
    fn refusal(&self, mid: u16) -> Option<u16> {
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

    fn answer(&mut self, telegram: &Telegram) {
        let (mid, revision) = (telegram.mid(), telegram.revision());
        if mid != 1
            && let Some(code) = self.refusal(mid)
        {
            return self.refuse(mid, code);
        }
        if let Some(data) = SUBSCRIBES.iter().find(|row| row.0 == mid).map(|row| row.1) {
            return self.subscribe(mid, data, revision, "", mid);
        }
        if let Some(row) = SUBSCRIBES.iter().find(|row| row.2 == mid) {
            self.unsubscribe(row.1);
            return self.send(session::accepted(mid));
        }
        if let Some((_, data)) = ACKS.iter().find(|row| row.0 == mid) {
            return self.acknowledged(*data, mid);
        }
        match mid {
            1 => self.start(revision),
            3 => {
                self.started = None;
                self.subscriptions.clear();
                self.send(session::accepted(3));
            }
            5 => self.acknowledged(telegram.about().unwrap_or(0), 5),
            8 | 9 => {
                let Some(asked) = session::asked(telegram) else {
                    return self.refuse(mid, 1);
                };
                if let Some(code) = self.refusal(asked.mid) {
                    return self.refuse(asked.mid, code);
                }
                if mid == 9 {
                    self.unsubscribe(asked.mid);
                    return self.send(session::accepted(asked.mid));
                }
                self.subscribe(asked.mid, asked.mid, asked.revision, &asked.extra, asked.mid);
            }
            64 => self.old_result(telegram, revision),
            18 => {
                let number = telegram.data_text();
                self.send(session::accepted(18));
                self.simulator
                    .select([("parameter_set_number", Raw::Text(number.trim().to_owned()))]);
            }
            50 | 150 => {
                let text = telegram.data_text();
                self.send(session::accepted(mid));
                self.simulator.identify(text.trim_end());
            }
            // A keep-alive comes back with a header of its own.
            9999 => {
                let mut mirror = session::keep_alive();
                (mirror.header.station, mirror.header.spindle) = (Some(0), Some(0));
                self.send(mirror);
            }
            19 | 20 | 38 | 39 | 42 | 43 | 45 | 78 | 82 | 113 | 127..=130 | 200 => self.send(session::accepted(mid)),
            mid => self.refuse(mid, 99),
        }
    }

    fn start(&mut self, revision: u16) {
        let state = self.simulator.lock();
        if state.config.mute {
            return;
        }
        let refused = state.config.refuses.get(&1).copied();
        let code = match (self.started, refused) {
            (Some(_), _) => Some(96),
            (None, Some(code)) => Some(code),
            (None, None) => (!state.takes(1, revision, 2)).then_some(97),
        };
        let (closes, layer, eager) = (
            state.config.closes_on_refusal,
            state.config.link_layer,
            state.config.eager,
        );
        let answer = state.build(2, revision, &Values::new());
        let newest = state.results.last_key_value().map(|(id, values)| (*id, values.clone()));
        drop(state);
        match (code, answer) {
            (None, Ok(answer)) => {
                self.send(answer);
                self.started = Some(revision);
                if layer && revision >= 6 {
                    self.layer.switch_on();
                }
                if let (true, Some((id, values))) = (eager, newest) {
                    self.subscriptions.insert(61, 1);
                    self.event(&Event { data: 61, id, values });
                    self.subscriptions.clear();
                }
            }
            (code, _) => {
                self.refuse(1, code.unwrap_or(97));
                self.over = closes;
            }
        }
    }

    fn subscribe(&mut self, asked: u16, data: u16, revision: u16, extra: &str, quoted: u16) {
        let state = self.simulator.lock();
        let takes = state.takes(asked, revision, data);
        let variable = state.config.variable;
        drop(state);
        let already = self.subscriptions.contains_key(&data);
        let generic = asked == data;
        match (takes, already, generic) {
            (_, true, _) => {
                return self.refuse(quoted, ALREADY.iter().find(|row| row.0 == data).map_or(71, |row| row.1));
            }
            (false, false, true) => return self.refuse(quoted, 74),
            (false, false, false) => return self.refuse(quoted, 97),
            (true, false, _) => {}
        }
        self.subscriptions.insert(data, revision);
        self.send(session::accepted(quoted));
        let state = self.simulator.lock();
        let mut events = Vec::new();
        let now = |data, values: &Values| Event {
            data,
            id: 0,
            values: Arc::new(values.clone()),
        };
        match data {
            15 => events.push(now(15, &state.program)),
            211 => events.push(now(211, &state.inputs)),
            71 => events.push(now(76, &state.alarm)),
            1201 if variable => {
                let from: i64 = match extra.get(..1) {
                    Some("1") => extra.get(20..30).and_then(|index| index.parse().ok()).unwrap_or(0),
                    _ => i64::MAX,
                };
                let newest = state.results.last_key_value().map(|(id, _)| *id);
                events.extend(
                    state
                        .results
                        .iter()
                        .filter(|(id, _)| **id >= from || Some(**id) == newest)
                        .map(|(id, values)| Event {
                            data: 1201,
                            id: *id,
                            values: values.clone(),
                        }),
                );
            }
            _ => {}
        }
        drop(state);
        for event in events {
            self.event(&event);
        }
    }

    fn unsubscribe(&mut self, data: u16) {
        self.subscriptions.remove(&data);
        self.queue.clear();
        if !self.layer.is_on() {
            self.awaiting = None;
        }
    }

    fn old_result(&mut self, telegram: &Telegram, revision: u16) {
        let asked: i64 = telegram.data_text().trim().parse().unwrap_or(-1);
        let state = self.simulator.lock();
        if !state.takes(64, revision, 65) {
            drop(state);
            return self.refuse(64, 97);
        }
        let found = match asked {
            0 => state.results.last_key_value(),
            asked if state.config.walk_back => state.results.range(..=asked).next_back(),
            asked => state.results.get_key_value(&asked),
        };
        let answer = found.and_then(|(_, values)| state.build(65, revision, values).ok());
        drop(state);
        match answer {
            Some(answer) => self.send(answer),
            None => self.refuse(64, 15),
        }
    }

    /// Something happened: a telegram for whoever wants it.
    fn event(&mut self, event: &Event) {
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
    fn acknowledged(&mut self, data: u16, by: u16) {
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

/// Subscribe, data, unsubscribe.
const SUBSCRIBES: &[(u16, u16, u16)] = &[
    (14, 15, 17),
    (34, 35, 37),
    (51, 52, 54),
    (60, 61, 63),
    (70, 71, 73),
    (100, 101, 103),
    (151, 152, 154),
    (210, 211, 213),
];

/// Acknowledgement, data.
const ACKS: &[(u16, u16)] = &[
    (16, 15),
    (36, 35),
    (53, 52),
    (62, 61),
    (72, 71),
    (75, 74),
    (77, 76),
    (102, 101),
    (153, 152),
    (212, 211),
    (1203, 1201),
];

/// Data, code of a subscription that is there already.
const ALREADY: &[(u16, u16)] = &[(52, 6), (61, 9), (71, 11), (15, 13), (35, 18), (152, 43), (211, 50)];
