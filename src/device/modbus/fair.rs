//! Time on a line that several servers share. Pure.
//!
//! Owns who has to stand back: servers take turns, and one that is much slower than the others pays for its time, so that
//! it gets its share of the line and not all of it. A line that is used by one server alone is all its own.

use std::collections::HashMap;

/// How many times slower than the others counts as slow.
const SLOW: u64 = 4;
/// Milliseconds that are never held against a server.
const FREE: u64 = 20;
/// A server stands back for this long at most, in milliseconds.
const LONGEST: u64 = 10_000;

#[derive(Debug, Default)]
struct Account {
    /// What a request usually takes, in milliseconds.
    usual: u64,
    /// Not asked before this tick.
    from: u64,
}

/// Accounts of the servers of one line.
#[derive(Debug, Default)]
pub(super) struct Fair(HashMap<u8, Account>);

impl Fair {
    /// Before which tick this server stands back for the others; `None`: it is its turn.
    pub(super) fn waits(&self, server: u8, now: u64) -> Option<u64> {
        self.0
            .get(&server)
            .map(|account| account.from)
            .filter(|from| *from > now)
    }

    /// A request to `server` took `took` milliseconds and ended `now`.
    pub(super) fn spent(&mut self, server: u8, now: u64, took: u64) {
        let others: Vec<u64> = self
            .0
            .iter()
            .filter(|(of, _)| **of != server)
            .map(|(_, account)| account.usual)
            .collect();
        let servers = u64::try_from(others.len() + 1).unwrap_or(1);
        let usual = others.iter().min().copied();
        let account = self.0.entry(server).or_default();
        account.usual = match account.usual {
            0 => took,
            usual => (usual.saturating_mul(7).saturating_add(took)).div_ceil(8),
        };
        if usual.is_some_and(|usual| took > usual.saturating_mul(SLOW).saturating_add(FREE)) {
            let share = took.saturating_mul(servers - 1).min(LONGEST);
            account.from = now.saturating_add(share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_server_gets_its_share_and_the_others_do_not_pay() {
        let mut fair = Fair::default();
        for server in 1..=4 {
            fair.spent(server, 0, 10);
            assert_eq!(fair.waits(server, 0), None);
        }
        fair.spent(5, 1_000, 400);
        assert_eq!(fair.waits(5, 1_000), Some(2_600));
        assert_eq!(fair.waits(5, 2_600), None);
        assert_eq!(fair.waits(1, 1_000), None);
    }

    #[test]
    fn servers_that_are_all_slow_and_one_that_is_alone_never_stand_back() {
        let mut fair = Fair::default();
        for turn in 0..50 {
            fair.spent(1, turn, 900);
            assert_eq!(fair.waits(1, turn), None);
        }
        for turn in 0..50 {
            fair.spent(2, turn, 800);
            fair.spent(1, turn, 900);
            assert_eq!((fair.waits(1, turn), fair.waits(2, turn)), (None, None));
        }
    }
}
