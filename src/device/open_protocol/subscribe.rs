//! Subscriptions of a link: which it needs, in which revision, and how each stands; and the revisions of a start.
//!
//! Owns the way down through revisions. Does not own when something is sent.

use crate::model::plan::{Acknowledge, OpenProtocolLink, Recover, ResultSource, Said};
use crate::wire::open_protocol::{Telegram, session};

/// Which traces are wanted: how many, then angle (001) and torque (002), three digits each. The specification's two examples
/// disagree on a digit behind them, so both forms are tried; at last torque alone.
const TRACES: [&str; 3] = ["02001002", "020010020", "01002"];

/// Revisions that are tried one after another; the one that was taken is kept.
#[derive(Debug, Clone)]
pub(super) struct Ladder {
    steps: Vec<u16>,
    at: usize,
}

impl Ladder {
    /// From `highest` down to 1. Special revisions (998, 999) are followed by 7 and below.
    pub(super) fn down(highest: u16) -> Self {
        let mut steps = vec![highest.max(1)];
        steps.extend((1..highest.min(if highest > 100 { 8 } else { highest })).rev());
        Self { steps, at: 0 }
    }

    /// Of MID 0001: down, and at last upward, since some controllers take only revision 6.
    pub(super) fn of_start(highest: u16) -> Self {
        let mut ladder = Self::down(highest);
        let above = (ladder.steps.first().copied().unwrap_or(1) + 1)..=6;
        ladder.steps.extend(above.rev());
        ladder
    }

    /// The one to ask for.
    pub(super) fn revision(&self) -> u16 {
        self.steps.get(self.at).copied().unwrap_or(1)
    }

    /// It was refused: whether there is another.
    pub(super) fn step(&mut self) -> bool {
        self.at += 1;
        self.at < self.steps.len()
    }

    /// How many were refused.
    pub(super) const fn steps(&self) -> usize {
        self.at
    }

    /// From the beginning again.
    pub(super) fn again(&mut self) {
        self.at = 0;
    }
}

/// How a subscription stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// To be asked for.
    Wanted,
    /// Data come.
    Stands,
    /// Refused for good, in a sentence.
    Refused(String),
}

/// One subscription.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    /// What it brings.
    pub(super) said: Said,
    /// By which message.
    pub(super) data: u16,
    /// In which revision.
    pub(super) ladder: Ladder,
    /// By MID 0008.
    pub(super) generic: bool,
    /// Which of several forms is asked in, of traces.
    form: usize,
    /// How it stands on this connection.
    pub(super) standing: Standing,
}

impl Subscription {
    /// The subscription that brings `said`; `None`: no telegram says that.
    pub(super) fn new(said: Said, link: &OpenProtocolLink) -> Option<Self> {
        let revision = link.revision;
        let (data, highest) = match said {
            Said::Frame | Said::Event(_) => return None,
            Said::Result => match link.results {
                ResultSource::Last => (61, revision.results),
                ResultSource::Multi => (101, revision.results.min(5)),
                ResultSource::Variable => (1201, revision.results.min(3)),
            },
            Said::Alarm => (71, revision.alarms),
            Said::Identifier => (52, revision.identifiers),
            Said::Trace => (900, 1),
            Said::Job => (35, revision.jobs),
            Said::Program => (15, revision.programs),
            Said::Inputs => (211, 1),
        };
        Some(Self {
            said,
            data,
            ladder: Ladder::down(highest),
            generic: link.generic || session::classic(data).is_none(),
            form: 0,
            standing: Standing::Wanted,
        })
    }

    /// What asks for it. `from`: results from this index on, where the controller can do that.
    pub(super) fn ask(&self, link: &OpenProtocolLink, from: Option<i64>) -> Telegram {
        let revision = self.ladder.revision();
        let telegram = match session::subscribe(self.data, revision) {
            Some(telegram) if !self.generic => telegram,
            _ => session::subscribe_generic(self.data, revision, &self.extra(link, from)),
        };
        telegram.with_no_ack(link.acknowledge == Acknowledge::Nothing)
    }

    /// What ends it.
    pub(super) fn end(&self) -> Telegram {
        match session::unsubscribe(self.data) {
            Some(telegram) if !self.generic => telegram,
            _ => {
                let extra = if self.data == 900 { self.traces() } else { "" };
                session::unsubscribe_generic(self.data, self.ladder.revision(), extra)
            }
        }
    }

    /// Bytes 30 and up of MID 0008.
    fn extra(&self, link: &OpenProtocolLink, from: Option<i64>) -> String {
        match self.data {
            // Alternative, time, index, and whether the objects are sent too.
            1201 => match from.filter(|_| link.recover == Recover::FromIndex) {
                Some(index) => format!("1{:19}{:010}1", "", index.clamp(0, 9_999_999_999)),
                None => format!("0{:19}{:010}1", "", 0),
            },
            // Alternative 0: from now on; time and index are blank.
            900 => format!("0{:29}{}", "", self.traces()),
            _ => String::new(),
        }
    }

    fn traces(&self) -> &'static str {
        TRACES.get(self.form).copied().unwrap_or_default()
    }

    /// MIDs that a 0004 or 0005 about it may quote.
    pub(super) fn quoted(&self, subscribing: bool) -> [u16; 3] {
        let classic = session::classic(self.data);
        let verb = classic.map_or(0, |row| if subscribing { row.subscribe } else { row.unsubscribe });
        [
            if self.generic { self.data } else { verb },
            self.data,
            if subscribing { 8 } else { 9 },
        ]
    }

    /// It was refused with this code. `true`: it is to be asked for again, in another way.
    pub(super) fn refused(&mut self, code: u16) -> bool {
        if session::is_already(code) || code == 92 {
            self.standing = Standing::Stands;
            return false;
        }
        if session::is_revision_refusal(code) && self.ladder.step() {
            return true;
        }
        if self.data == 900 && matches!(code, 1 | 74 | 77 | 78) && self.form + 1 < TRACES.len() {
            self.form += 1;
            self.ladder.again();
            return true;
        }
        if self.data == 52 && !self.generic {
            // Identifiers of another kind.
            self.data = 152;
            self.ladder = Ladder::down(1);
            return true;
        }
        let (asked, text) = (self.describe(), session::error_text(code));
        // On another connection all is tried again.
        self.again();
        self.standing = Standing::Refused(format!("the controller refuses {asked}: {text} (code {code:02})"));
        false
    }

    /// How often another way was tried.
    pub(super) const fn steps(&self) -> usize {
        self.ladder.steps() + self.form
    }

    /// From the highest revision on, as of a controller of which nothing is known.
    pub(super) fn again(&mut self) {
        self.ladder.again();
        self.form = 0;
    }

    fn describe(&self) -> String {
        match session::classic(self.data) {
            Some(row) if !self.generic => {
                format!("its subscription to {} (MID {:04})", self.said.word(), row.subscribe)
            }
            _ => format!(
                "its subscription to {} (MID 0008 of {:04})",
                self.said.word(),
                self.data
            ),
        }
    }

    /// A new connection knows nothing of it.
    pub(super) fn forget(&mut self) {
        self.standing = Standing::Wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut ladder: Ladder) -> Vec<u16> {
        let mut steps = vec![ladder.revision()];
        while ladder.step() {
            steps.push(ladder.revision());
        }
        steps
    }

    #[test]
    fn traces_are_asked_for_as_the_specification_draws_it() {
        let link = OpenProtocolLink {
            address: String::new(),
            transport: crate::model::plan::TelegramTransport::Tcp,
            timeout: std::time::Duration::from_secs(3),
            keep_alive: std::time::Duration::from_secs(10),
            results: ResultSource::Last,
            generic: false,
            acknowledge: Acknowledge::Own,
            revision: crate::model::plan::Revisions::default(),
            recover: Recover::None,
            station: None,
            spindle: None,
            big_endian_traces: false,
        };
        let mut traces = Subscription::new(Said::Trace, &link).unwrap();
        let asked = |traces: &Subscription| traces.ask(&link, None).data_text();
        let blank = " ".repeat(29);
        assert_eq!(asked(&traces), format!("0900001380{blank}02001002"));
        assert_eq!(traces.end().data_text(), "09000010802001002");
        assert!(traces.refused(1));
        assert_eq!(asked(&traces), format!("0900001390{blank}020010020"));
        assert!(traces.refused(78));
        assert_eq!(asked(&traces), format!("0900001350{blank}01002"));
        assert!(!traces.refused(1));
        assert!(matches!(traces.standing, Standing::Refused(_)));
        assert_eq!(asked(&traces), format!("0900001380{blank}02001002"));
    }

    #[test]
    fn revisions_go_down_and_of_a_start_upward_at_last() {
        assert_eq!(all(Ladder::of_start(6)), [6, 5, 4, 3, 2, 1]);
        assert_eq!(all(Ladder::of_start(3)), [3, 2, 1, 6, 5, 4]);
        assert_eq!(all(Ladder::down(999)), [999, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(all(Ladder::down(1)), [1]);
        assert_eq!(all(Ladder::down(0)), [1]);
    }
}
