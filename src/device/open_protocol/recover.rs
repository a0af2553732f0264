//! Fetching results that were made while nobody listened: which id is asked for next, and what came of it.
//!
//! Owns the two ways of MID 0064 (each id by itself; the walk back of PF6000) and their bounds. Asks nobody itself.

use std::collections::BTreeMap;

/// Results that are kept at most; what is older is missing.
pub(super) const MOST: i64 = 10_000;

/// How the controller answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// With the id that was asked for, or not at all.
    ById,
    /// With the newest one that is not above the id asked for.
    WalkBack,
}

/// What was found, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<T> {
    /// A result.
    Result(i64, T),
    /// So many results are not there any more, between these ids.
    Missing {
        after: Option<i64>,
        before: Option<i64>,
        count: Option<u64>,
    },
}

/// What it came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding<T> {
    /// In ascending order.
    pub(super) items: Vec<Item<T>>,
    /// The newest id that the controller has; `None`: it has none.
    pub(super) newest: Option<i64>,
    /// The newest is older than what is known: the ids began again.
    pub(super) restarted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Which is the newest (id 0)?
    Newest,
    /// This one.
    At(i64),
    Over,
}

/// One recovery. `T` is what is kept of a result.
#[derive(Debug)]
pub(super) struct Recovery<T> {
    way: Way,
    /// The newest that is known; `None`: only the newest is wanted.
    last: Option<i64>,
    phase: Phase,
    newest: Option<i64>,
    /// A live result that is in hand: nothing from it on is asked for.
    live: Option<i64>,
    found: BTreeMap<i64, T>,
    /// First and last of each run of ids that are not there.
    missing: Vec<(i64, i64)>,
    /// The walk ended before it reached what is known.
    fell_short: bool,
    restarted: bool,
}

impl<T> Recovery<T> {
    /// After a connect: what is newer than `last`. Without `last` only the newest is fetched.
    pub(super) const fn since(way: Way, last: Option<i64>) -> Self {
        // There was nothing at all: ids may begin anywhere, and are looked for from their end.
        let way = if let Some(0) = last { Way::WalkBack } else { way };
        Self {
            way,
            last,
            phase: Phase::Newest,
            newest: None,
            live: None,
            found: BTreeMap::new(),
            missing: Vec::new(),
            fell_short: false,
            restarted: false,
        }
    }

    /// Before a live result: what lies between `last` and it.
    pub(super) fn before(way: Way, last: i64, live: i64) -> Self {
        let mut recovery = Self::since(way, Some(last));
        recovery.live = Some(live);
        recovery.reach(live);
        recovery
    }

    /// `newest` is known: where the asking begins.
    fn reach(&mut self, newest: i64) {
        self.newest = Some(newest);
        self.phase = Phase::Over;
        let Some(last) = self.last else { return };
        if newest <= last {
            self.restarted = newest < last;
            return;
        }
        if newest - last <= 1 {
            return;
        }
        self.phase = match self.way {
            Way::WalkBack => Phase::At(newest - 1),
            Way::ById => {
                let first = (last + 1).max(newest.saturating_sub(MOST - 1));
                if first > last + 1 {
                    self.missing.push((last + 1, first - 1));
                }
                if first < newest { Phase::At(first) } else { Phase::Over }
            }
        };
    }

    /// The id to ask for next; 0 is the newest. `None`: it is over.
    pub(super) fn next(&self) -> Option<u64> {
        match self.phase {
            Phase::Newest => Some(0),
            Phase::At(id) => u64::try_from(id).ok(),
            Phase::Over => None,
        }
    }

    /// The answer was this result; `ours`: of this station.
    pub(super) fn found(&mut self, id: i64, ours: bool, what: T) {
        match self.phase {
            Phase::Over => {}
            Phase::Newest => {
                self.reach(id);
                if !self.restarted && ours && self.last.is_none_or(|last| id > last) {
                    self.found.insert(id, what);
                }
            }
            Phase::At(asked) => match self.way {
                Way::ById if id == asked => {
                    if ours {
                        self.found.insert(id, what);
                    }
                    self.on(asked);
                }
                Way::ById => self.none(),
                Way::WalkBack => {
                    // Whoever answers with a later one would lead in a circle.
                    if id > asked || self.last.is_some_and(|last| id <= last) {
                        self.fell_short = id > asked;
                        self.phase = Phase::Over;
                        return;
                    }
                    if ours {
                        self.found.insert(id, what);
                    }
                    if self.found.len() >= usize::try_from(MOST).unwrap_or(usize::MAX) {
                        self.fell_short = true;
                        self.phase = Phase::Over;
                        return;
                    }
                    self.phase = match self.last {
                        Some(last) if id - 1 > last && id > 1 => Phase::At(id - 1),
                        _ => Phase::Over,
                    };
                }
            },
        }
    }

    /// The answer was that there is none (code 15).
    pub(super) fn none(&mut self) {
        match (self.phase, self.way) {
            (Phase::At(asked), Way::ById) => {
                match self.missing.last_mut() {
                    Some((_, end)) if *end + 1 == asked => *end = asked,
                    _ => self.missing.push((asked, asked)),
                }
                self.on(asked);
            }
            (Phase::At(_), Way::WalkBack) => {
                self.fell_short = true;
                self.phase = Phase::Over;
            }
            (Phase::Newest | Phase::Over, _) => {
                self.restarted = self.last.is_some_and(|last| last > 0);
                self.phase = Phase::Over;
            }
        }
    }

    fn on(&mut self, asked: i64) {
        let end = self.newest.unwrap_or(asked);
        self.phase = if asked + 1 < end {
            Phase::At(asked + 1)
        } else {
            Phase::Over
        };
    }

    /// What it came to. What is missing stands before what follows it.
    pub(super) fn finish(self) -> Finding<T> {
        let mut items = Vec::with_capacity(self.found.len() + self.missing.len() + 1);
        let first = self.found.keys().next().copied().or(self.live);
        if self.fell_short && self.last.is_some_and(|last| last > 0) {
            items.push(Item::Missing {
                after: self.last,
                before: first,
                count: None,
            });
        }
        let mut missing = self.missing.into_iter().peekable();
        let gap = |(from, to): (i64, i64)| Item::Missing {
            after: Some(from - 1).filter(|after| *after > 0),
            before: Some(to + 1),
            count: u64::try_from(to - from + 1).ok(),
        };
        for (id, what) in self.found {
            while let Some(run) = missing.next_if(|(from, _)| *from < id) {
                items.push(gap(run));
            }
            items.push(Item::Result(id, what));
        }
        items.extend(missing.map(gap));
        Finding {
            items,
            newest: self.newest,
            restarted: self.restarted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a recovery against a memory; walk-back answers with the newest not above. Gives what was asked, too.
    fn run(mut recovery: Recovery<i64>, memory: &[(i64, bool)]) -> (Vec<u64>, Finding<i64>) {
        let mut asked = Vec::new();
        while let Some(id) = recovery.next() {
            asked.push(id);
            assert!(asked.len() < 20_100, "it goes in circles");
            let id = i64::try_from(id).unwrap();
            let hit = match (id, recovery.way) {
                (0, _) => memory.last(),
                (id, Way::ById) => memory.iter().find(|(have, _)| *have == id),
                (id, Way::WalkBack) => memory.iter().rev().find(|(have, _)| *have <= id),
            };
            match hit {
                Some((id, ours)) => recovery.found(*id, *ours, *id),
                None => recovery.none(),
            }
        }
        (asked, recovery.finish())
    }

    fn ids(finding: &Finding<i64>) -> Vec<i64> {
        let id = |item: &Item<i64>| match item {
            Item::Result(id, _) => Some(*id),
            Item::Missing { .. } => None,
        };
        finding.items.iter().filter_map(id).collect()
    }

    fn gaps(finding: &Finding<i64>) -> Vec<(Option<i64>, Option<i64>, Option<u64>)> {
        let gap = |item: &Item<i64>| match item {
            Item::Missing { after, before, count } => Some((*after, *before, *count)),
            Item::Result(..) => None,
        };
        finding.items.iter().filter_map(gap).collect()
    }

    #[test]
    fn each_missing_id_is_asked_for_in_order() {
        let memory: Vec<_> = (1..=9).map(|id| (id, true)).collect();
        let (asked, finding) = run(Recovery::since(Way::ById, Some(5)), &memory);
        assert_eq!(asked, [0, 6, 7, 8]);
        assert_eq!((ids(&finding), finding.newest), (vec![6, 7, 8, 9], Some(9)));
        let (asked, finding) = run(Recovery::before(Way::ById, 5, 9), &memory);
        assert_eq!((asked, ids(&finding)), (vec![6, 7, 8], vec![6, 7, 8]));
    }

    #[test]
    fn what_is_not_there_is_a_gap_before_what_follows() {
        let memory = [(1, true), (4, true), (5, true), (8, true)];
        let (_, finding) = run(Recovery::since(Way::ById, Some(1)), &memory);
        assert_eq!(
            finding.items,
            [
                Item::Missing {
                    after: Some(1),
                    before: Some(4),
                    count: Some(2)
                },
                Item::Result(4, 4),
                Item::Result(5, 5),
                Item::Missing {
                    after: Some(5),
                    before: Some(8),
                    count: Some(2)
                },
                Item::Result(8, 8),
            ]
        );
        let (_, finding) = run(Recovery::before(Way::ById, 8, 12), &memory);
        assert_eq!(gaps(&finding), [(Some(8), Some(12), Some(3))]);
    }

    #[test]
    fn the_example_of_the_pf6000() {
        let memory = [
            (10_204, true),
            (10_209, true),
            (10_216, false),
            (10_220, false),
            (10_226, true),
            (10_230, true),
        ];
        let (asked, finding) = run(Recovery::since(Way::WalkBack, Some(10_204)), &memory);
        assert_eq!(asked, [0, 10_229, 10_225, 10_219, 10_215, 10_208]);
        assert_eq!(ids(&finding), [10_209, 10_226, 10_230]);
        assert!(gaps(&finding).is_empty());
    }

    #[test]
    fn a_walk_that_does_not_reach_the_known_one_is_a_gap() {
        let memory = [(20, true), (25, true)];
        let (_, finding) = run(Recovery::since(Way::WalkBack, Some(7)), &memory);
        assert_eq!(gaps(&finding), [(Some(7), Some(20), None)]);
        assert_eq!(ids(&finding), [20, 25]);
    }

    #[test]
    fn ids_that_begin_again_are_no_gap() {
        for way in [Way::ById, Way::WalkBack] {
            let (asked, finding) = run(Recovery::since(way, Some(500)), &[(1, true), (3, true)]);
            assert_eq!(asked, [0]);
            assert!(finding.restarted && finding.items.is_empty() && finding.newest == Some(3));
            let (_, finding) = run(Recovery::since(way, Some(500)), &[]);
            assert!(finding.restarted && finding.newest.is_none());
        }
    }

    #[test]
    fn after_nothing_at_all_ids_begin_anywhere() {
        let memory: Vec<_> = (500..=503).map(|id| (id, true)).collect();
        for recovery in [Recovery::since(Way::ById, Some(0)), Recovery::before(Way::ById, 0, 504)] {
            let (asked, finding) = run(recovery, &memory);
            assert!(asked.len() <= 5, "{asked:?}");
            assert_eq!(ids(&finding), [500, 501, 502, 503]);
            assert!(gaps(&finding).is_empty());
        }
    }

    #[test]
    fn the_first_start_takes_only_the_newest() {
        let (asked, finding) = run(Recovery::since(Way::WalkBack, None), &[(1, true), (3, true)]);
        assert_eq!((asked, ids(&finding), finding.newest), (vec![0], vec![3], Some(3)));
    }

    #[test]
    fn a_controller_that_answers_with_later_ones_is_left() {
        let mut recovery = Recovery::since(Way::WalkBack, Some(5));
        recovery.found(20, true, 20);
        assert_eq!(recovery.next(), Some(19));
        recovery.found(20, true, 20);
        assert_eq!(recovery.next(), None);
        assert_eq!(ids(&recovery.finish()), [20]);
    }

    #[test]
    fn more_than_can_be_kept_is_missing() {
        let memory: Vec<_> = (1..=12_000).map(|id| (id, true)).collect();
        let (_, finding) = run(Recovery::since(Way::ById, Some(1)), &memory);
        assert_eq!(ids(&finding).len(), 10_000);
        assert_eq!(gaps(&finding), [(Some(1), Some(2_001), Some(1_999))]);
        let (_, finding) = run(Recovery::since(Way::WalkBack, Some(1)), &memory);
        assert_eq!((ids(&finding).len(), gaps(&finding).len()), (10_000, 1));
    }
}
