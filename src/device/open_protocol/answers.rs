//! What a controller answers: 0002, 0004 and 0005, and what follows from a refusal.
//!
//! Owns the way down through revisions of a start, and what is known of the controller. Does not own requests
//! ([`super::session`]).

use super::data::Offset;
use super::parting::STOP;
use super::results::get;
use super::session::{Again, Asking, Request, Session, Stage};
use super::subscribe::{Standing, Subscription};
use crate::model::plan::Acknowledge;
use crate::model::{Moment, Raw};
use crate::wire::open_protocol::{Telegram, decode, session};

impl Session {
    /// 0002: the session is started.
    pub(super) fn started(&mut self, now: Moment, telegram: &Telegram) {
        if self.stage != Stage::Starting {
            return;
        }
        self.request = None;
        self.agreed = true;
        self.controller = match decode(telegram) {
            Ok(decoded) => decoded.fields,
            Err(fault) => {
                tracing::warn!(address = %self.link.address, "{fault}");
                Vec::new()
            }
        };
        let supports = get(&self.controller, "sequence_number_support").is_some_and(Raw::truth);
        if self.link.acknowledge == Acknowledge::Link {
            if supports && self.start.revision() >= 6 {
                self.layer.switch_on();
            } else {
                tracing::debug!(address = %self.link.address, "no link layer: telegrams are acknowledged by their own MIDs");
            }
        }
        let serial = get(&self.controller, "controller_serial_number").map(|raw| raw.text().trim().to_owned());
        if let (Some(was), Some(is)) = (&self.serial, &serial)
            && was != is
        {
            tracing::warn!(address = %self.link.address, "another controller: {is} where {was} was; nothing is fetched of what it made before");
            self.another = self.way().is_some();
            if !self.another {
                self.known = None;
            }
            self.clock = Offset::default();
            self.no_recovery = None;
            self.recovery_ladder.again();
            self.steps = 0;
            for subscription in &mut self.subscriptions {
                subscription.again();
            }
        }
        self.serial = serial.or(self.serial.take());
        for slot in &mut self.slots {
            slot.learn(now, &self.controller);
        }
        self.stage = Stage::Waiting;
    }

    /// 0004.
    pub(super) fn refused(&mut self, now: Moment, telegram: &Telegram) {
        let Some((mid, code)) = session::refusal(telegram) else {
            return;
        };
        let Some(request) = self
            .request
            .take_if(|request| concerns(request, &self.subscriptions, mid))
        else {
            tracing::debug!(address = %self.link.address, "MID {mid:04} is refused with code {code}, which nobody asked");
            return;
        };
        match request.asking {
            Asking::Start => self.start_refused(now, code),
            Asking::Subscribe(index) => {
                if let Some(subscription) = self.subscriptions.get_mut(index) {
                    subscription.refused(code);
                    if subscription.standing == Standing::Stands {
                        self.stands(now, index);
                    }
                }
            }
            Asking::End(index) => self.ended(index),
            Asking::Old(_) => self.old_refused(code),
        }
    }

    pub(super) fn start_refused(&mut self, now: Moment, code: u16) {
        if session::is_revision_refusal(code) {
            if self.start.step() {
                return self.ask(now, Asking::Start, session::start(self.start.revision()));
            }
            self.start.again();
            self.agreed = false;
            return self.close(
                format!(
                    "it takes MID 0001 in none of its revisions (code {code:02}): check `revision` in [connection]"
                ),
                Again::Later,
            );
        }
        let help = match code {
            16 | 35 | 96 => ": another client is connected; stop that, or let the controller take more than one",
            _ => "",
        };
        let text = session::error_text(code);
        self.close(
            format!("it refuses the session: {text} (code {code:02}){help}"),
            Again::Later,
        );
    }

    /// The controller closed the connection, or it broke.
    pub(super) fn closed(&mut self, reason: String) {
        // It refused a revision and closed at once (Rexroth Nexo): the next one on a new connection.
        let trying = self.stage != Stage::Down && self.refusals() > self.steps;
        let again = if trying { Again::AtOnce } else { Again::BackOff };
        self.close(reason, again);
    }

    /// 0005.
    pub(super) fn accepted(&mut self, now: Moment, telegram: &Telegram) {
        let Some(mid) = telegram.about() else { return };
        if mid == STOP {
            return self.parted();
        }
        let Some(request) = self
            .request
            .take_if(|request| concerns(request, &self.subscriptions, mid))
        else {
            return;
        };
        match request.asking {
            Asking::Subscribe(index) => self.stands(now, index),
            Asking::End(index) => self.ended(index),
            Asking::Start | Asking::Old(_) => self.request = Some(request),
        }
    }
}

/// Whether a 0004 or 0005 that quotes `mid` is about `request`.
fn concerns(request: &Request, subscriptions: &[Subscription], mid: u16) -> bool {
    let quoted = |index: usize, subscribing| {
        subscriptions
            .get(index)
            .is_some_and(|subscription| subscription.quoted(subscribing).contains(&mid))
    };
    match request.asking {
        Asking::Start => mid == 1,
        Asking::Old(_) => mid == 64 || mid == 65,
        Asking::Subscribe(index) => quoted(index, true),
        Asking::End(index) => quoted(index, false),
    }
}
