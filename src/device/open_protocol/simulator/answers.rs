//! What a simulated controller answers to its clients' telegrams.
//!
//! Owns revisions, refusals and subscriptions. Does not own the connection ([`super::client`]).

use super::client::Client;
use super::{Event, Values};
use crate::model::Raw;
use crate::wire::open_protocol::{Telegram, session};
use std::sync::Arc;

impl Client {
    /// Answers one telegram.
    pub(super) fn answer(&mut self, telegram: &Telegram) {
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
