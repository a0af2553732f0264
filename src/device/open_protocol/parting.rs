//! The end of a session that is wished: what is owed is paid once it is durable, then the controller is told (MID 0003).
//!
//! Owns when that is over. Does not own what is owed ([`super::ledger`]).

use super::session::{Again, Session, Stage};
use crate::model::Moment;
use crate::wire::open_protocol::session;

/// MID of "communication stop".
pub(super) const STOP: u16 = 3;
/// Milliseconds that its answer is waited for: not every controller gives one.
const ANSWER: u64 = 500;

/// How far the end of a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// It is not to end.
    No,
    /// Something that was reported is not durable yet.
    Owes,
    /// The controller was told at this tick.
    Told(u64),
    /// It has answered.
    Over,
}

impl Session {
    /// Whether the link is to end.
    pub(super) fn parts(&self) -> bool {
        self.parting != Parting::No
    }

    /// The link is to end: nothing more is asked for or taken. What waits here unreported was not acknowledged: it comes
    /// again, or is fetched.
    pub(super) fn end(&mut self, now: Moment) {
        self.parting = Parting::Owes;
        self.request = None;
        self.recovery = None;
        self.kept = None;
        self.held.clear();
        self.backlog.clear();
        self.part(now);
    }

    /// Goes on with the end.
    pub(super) fn part(&mut self, now: Moment) {
        let over = match self.parting {
            Parting::No => return,
            Parting::Owes if matches!(self.stage, Stage::Down | Stage::Starting) => true,
            Parting::Owes if self.ledger.waiting() > 0 => false,
            Parting::Owes => {
                self.parting = Parting::Told(now.tick);
                self.send(now, session::stop());
                false
            }
            Parting::Told(tick) => now.tick.saturating_sub(tick) >= ANSWER,
            Parting::Over => true,
        };
        if over {
            self.close("the link ends".to_owned(), Again::AtOnce);
        }
    }

    /// The controller has stopped.
    pub(super) fn parted(&mut self) {
        if self.parts() {
            self.parting = Parting::Over;
        }
    }

    /// When [`Self::part`] is due though nothing comes.
    pub(super) fn parting_deadline(&self) -> Option<u64> {
        match self.parting {
            Parting::Told(tick) => Some(tick.saturating_add(ANSWER)),
            Parting::No | Parting::Owes | Parting::Over => None,
        }
    }
}
