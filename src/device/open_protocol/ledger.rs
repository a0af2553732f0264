//! What was reported and is not yet durable, and which acknowledgement the controller waits for because of it.
//!
//! Owns that nothing is acknowledged before all that came of it is durable, and that the same telegram is not taken twice.
//! Does not own how an acknowledgement looks ([`super::session`]).

use crate::model::sample::TriggerState;
use std::collections::{HashMap, VecDeque};

/// One report that waits for its durable answer.
pub(super) type Ticket = u64;

/// Telegrams that are remembered after they were acknowledged.
const REMEMBERED: usize = 1_024;

/// An acknowledgement that a controller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owed {
    /// MID of the data telegram.
    pub(super) mid: u16,
    /// Its sequence number, where the link layer is used.
    pub(super) sequence: Option<u8>,
    /// On which connection it came.
    pub(super) connection: u64,
    /// It wants no acknowledgement of the application.
    pub(super) no_ack: bool,
}

/// What a durable answer led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// All of its telegram is durable: this may be sent.
    pub(super) owed: Option<Owed>,
    /// The state that is durable now: slot, event, state.
    pub(super) state: Option<(usize, usize, TriggerState)>,
    /// It could not be made durable.
    pub(super) failed: bool,
    /// Since which tick the acknowledgement was owed that may be sent now.
    pub(super) opened: Option<u64>,
}

/// All that came of one telegram.
#[derive(Debug)]
struct Group {
    key: Option<String>,
    owed: Option<Owed>,
    opened: u64,
    open: usize,
    complete: bool,
    failed: bool,
}

/// A report: its telegram, and the state that is durable with it.
#[derive(Debug)]
struct Entry {
    group: u64,
    state: Option<(usize, usize, TriggerState)>,
}

/// The account of one link.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    next: u64,
    groups: HashMap<u64, Group>,
    entries: HashMap<Ticket, Entry>,
    settled: VecDeque<String>,
    /// Durable, but its acknowledgement found no connection: it comes again.
    orphans: VecDeque<String>,
    connection: u64,
}

impl Ledger {
    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// A telegram begins to be reported.
    pub(super) fn open(&mut self, tick: u64, owed: Option<Owed>, key: Option<String>) -> u64 {
        let number = self.number();
        self.groups.insert(
            number,
            Group {
                key,
                owed,
                opened: tick,
                open: 0,
                complete: false,
                failed: false,
            },
        );
        number
    }

    /// One report of it.
    pub(super) fn ticket(&mut self, group: u64, state: Option<(usize, usize, TriggerState)>) -> Ticket {
        let number = self.number();
        if let Some(group) = self.groups.get_mut(&group) {
            group.open += 1;
        }
        self.entries.insert(number, Entry { group, state });
        number
    }

    /// All its reports are made. Where there were none, what is owed may be paid at once.
    pub(super) fn complete(&mut self, group: u64) -> Option<Owed> {
        self.groups.get_mut(&group)?.complete = true;
        self.settle(group)
    }

    fn settle(&mut self, number: u64) -> Option<Owed> {
        let group = self.groups.get(&number)?;
        if group.open > 0 || !group.complete {
            return None;
        }
        let group = self.groups.remove(&number)?;
        if group.failed {
            return None;
        }
        if let Some(key) = group.key {
            if group.owed.is_some_and(|owed| owed.connection != self.connection) {
                remember(&mut self.orphans, key.clone());
            }
            remember(&mut self.settled, key);
        }
        group.owed
    }

    /// From now on acknowledgements can be sent on this connection; 0: on none.
    pub(super) fn connect(&mut self, connection: u64) {
        self.connection = connection;
    }

    /// Whether this is one whose acknowledgement found no connection. It is told once.
    pub(super) fn is_orphan(&mut self, key: &str) -> bool {
        let at = self.orphans.iter().position(|known| known == key);
        at.and_then(|at| self.orphans.remove(at)).is_some()
    }

    /// A report is durable, or could not be made so.
    pub(super) fn answered(&mut self, ticket: Ticket, durable: bool) -> Settled {
        let Some(entry) = self.entries.remove(&ticket) else {
            return Settled::default();
        };
        if let Some(group) = self.groups.get_mut(&entry.group) {
            group.open = group.open.saturating_sub(1);
            group.failed |= !durable;
        }
        let opened = self.groups.get(&entry.group).map(|group| group.opened);
        let owed = self.settle(entry.group);
        Settled {
            opened: opened.filter(|_| owed.is_some()),
            owed,
            state: entry.state.filter(|_| durable),
            failed: !durable,
        }
    }

    /// The same telegram came again while it is being made durable: what is owed is owed to this one.
    pub(super) fn again(&mut self, key: &str, owed: Option<Owed>) -> bool {
        let same = self
            .groups
            .values_mut()
            .find(|group| group.key.as_deref() == Some(key) && !group.failed);
        let Some(group) = same else { return false };
        if owed.is_some() {
            group.owed = owed;
        }
        true
    }

    /// Whether this telegram was acknowledged before.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.settled.iter().any(|known| known == key)
    }

    /// Whether this telegram is the last one that was acknowledged.
    pub(super) fn is_last(&self, key: &str) -> bool {
        self.settled.back().is_some_and(|known| known == key)
    }

    /// When the telegram that waits longest was taken.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.groups.values().map(|group| group.opened).min()
    }

    /// Telegrams that wait.
    pub(super) fn waiting(&self) -> usize {
        self.groups.len()
    }

    /// Whether a data telegram with this sequence number, of this connection, waits.
    pub(super) fn withholds(&self, connection: u64, sequence: u8) -> bool {
        self.groups
            .values()
            .filter_map(|group| group.owed)
            .any(|owed| owed.connection == connection && owed.sequence == Some(sequence))
    }
}

fn remember(keys: &mut VecDeque<String>, key: String) {
    if keys.len() >= REMEMBERED {
        keys.pop_front();
    }
    keys.push_back(key);
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWED: Owed = Owed {
        mid: 61,
        sequence: None,
        connection: 1,
        no_ack: false,
    };

    #[test]
    fn a_telegram_is_acknowledged_when_all_its_reports_are_durable() {
        let mut ledger = Ledger::default();
        let group = ledger.open(5, Some(OWED), Some("a".into()));
        let (first, second) = (ledger.ticket(group, None), ledger.ticket(group, None));
        assert_eq!(ledger.complete(group), None);
        assert_eq!(ledger.answered(first, true).owed, None);
        assert!(ledger.again("a", None) && !ledger.knows("a"));
        assert_eq!(ledger.oldest(), Some(5));
        assert_eq!(ledger.answered(second, true).owed, Some(OWED));
        assert!(ledger.knows("a") && !ledger.again("a", None));
        assert_eq!((ledger.waiting(), ledger.oldest()), (0, None));
    }

    #[test]
    fn what_nobody_took_is_acknowledged_at_once_and_what_failed_never() {
        let mut ledger = Ledger::default();
        let group = ledger.open(0, Some(OWED), None);
        assert_eq!(ledger.complete(group), Some(OWED));
        let group = ledger.open(0, Some(OWED), Some("b".into()));
        let ticket = ledger.ticket(group, None);
        assert_eq!(ledger.complete(group), None);
        let settled = ledger.answered(ticket, false);
        assert!(settled.failed && settled.owed.is_none() && !ledger.knows("b"));
    }

    #[test]
    fn what_is_owed_is_owed_to_the_connection_that_it_came_on_last() {
        let mut ledger = Ledger::default();
        ledger.connect(1);
        let group = ledger.open(0, Some(OWED), Some("a".into()));
        let ticket = ledger.ticket(group, None);
        assert_eq!(ledger.complete(group), None);
        ledger.connect(2);
        let later = Owed { connection: 2, ..OWED };
        assert!(ledger.again("a", Some(later)));
        assert_eq!(ledger.answered(ticket, true).owed, Some(later));
        assert!(!ledger.is_orphan("a"));
        // Durable after the connection was lost: it comes again on the next one.
        let group = ledger.open(0, Some(later), Some("b".into()));
        ledger.connect(0);
        assert!(ledger.complete(group).is_some());
        assert!(ledger.is_orphan("b") && !ledger.is_orphan("b"));
    }
}
