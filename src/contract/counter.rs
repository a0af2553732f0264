//! Counters of devices: what the next value tells. Owns jumps, wraps and restarts; keeps nothing.

use crate::model::draft::CounterReading;

/// What a counter's value tells after the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// The first one seen, the next one, or the same one again.
    Next,
    /// Results are missing.
    Jumped {
        /// The last value before.
        after: i64,
        /// The value now.
        before: i64,
        /// How many.
        missing: u64,
    },
    /// Lower, and not by wrapping: the device counts anew.
    Restarted {
        /// The value now.
        before: i64,
        /// How many it counted since and nobody saw; what it counted before it began anew is not known.
        missing: u64,
    },
    /// Below what it starts from: there is no result. It may have been reset, or only been off: the next value tells.
    BelowFirst,
}

impl Course {
    pub(super) const fn restarted(self) -> bool {
        matches!(self, Self::Restarted { .. })
    }
}

/// Reads `reading` after `known`, the value of the last result, or what the counter showed before it.
pub(super) fn follow(known: Option<i64>, reading: CounterReading) -> Course {
    let CounterReading {
        value,
        first,
        from,
        last,
        before,
        waits,
    } = reading;
    if value < first {
        return Course::BelowFirst;
    }
    let Some(known) = known.or(before) else {
        return Course::Next;
    };
    if value == known {
        return Course::Next;
    }
    let jumped = |missing: i64| match u64::try_from(missing) {
        Ok(0) | Err(_) => Course::Next,
        Ok(missing) => Course::Jumped {
            after: known,
            before: value,
            missing,
        },
    };
    // A device that waits for each acknowledgement missed none.
    let restarted = Course::Restarted {
        before: value,
        missing: if waits || value < from { 0 } else { value.abs_diff(from) },
    };
    if value > known {
        return jumped(
            value
                .saturating_sub(known.max(first.saturating_sub(1)))
                .saturating_sub(1),
        );
    }
    let Some(last) = last.filter(|last| known <= *last) else {
        return restarted;
    };
    // Round the end: how far it went, if it wrapped. A long way is no wrap but a restart.
    let way = last
        .saturating_sub(known)
        .saturating_add(value.saturating_sub(first))
        .saturating_add(1);
    let size = last.saturating_sub(first).saturating_add(1);
    // Nor is any but the very next one where the device waits for each to be acknowledged.
    let longest = if waits { 1 } else { (size / 4).max(2) };
    if way <= longest { jumped(way - 1) } else { restarted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(known: Option<i64>, value: i64) -> Course {
        follow(
            known,
            CounterReading {
                value,
                first: 1,
                from: 1,
                last: Some(65_535),
                before: None,
                waits: false,
            },
        )
    }

    #[test]
    fn next_jump_wrap_and_restart() {
        assert_eq!(course(None, 500), Course::Next);
        assert_eq!(course(Some(41), 42), Course::Next);
        assert_eq!(course(Some(42), 42), Course::Next);
        assert_eq!(
            course(Some(41), 44),
            Course::Jumped {
                after: 41,
                before: 44,
                missing: 2
            }
        );
        assert_eq!(course(Some(65_535), 1), Course::Next);
        assert_eq!(
            course(Some(65_534), 2),
            Course::Jumped {
                after: 65_534,
                before: 2,
                missing: 2
            }
        );
        assert_eq!(course(Some(500), 1), Course::Restarted { before: 1, missing: 0 });
        assert_eq!(course(Some(500), 3), Course::Restarted { before: 3, missing: 2 });
        assert_eq!(course(Some(500), 0), Course::BelowFirst);
    }

    #[test]
    fn a_device_that_waits_for_each_acknowledgement_misses_none_at_the_wrap() {
        let reading = |value| CounterReading {
            value,
            first: 1,
            from: 1,
            last: Some(65_535),
            before: None,
            waits: true,
        };
        assert_eq!(follow(Some(65_535), reading(1)), Course::Next);
        assert_eq!(
            follow(Some(65_534), reading(1)),
            Course::Restarted { before: 1, missing: 0 }
        );
        assert_eq!(
            follow(Some(500), reading(3)),
            Course::Restarted { before: 3, missing: 0 }
        );
    }

    #[test]
    fn without_an_end_lower_is_a_restart() {
        let reading = |value, before| CounterReading {
            value,
            first: 0,
            from: 1,
            last: None,
            before,
            waits: false,
        };
        assert_eq!(
            follow(Some(9), reading(8, None)),
            Course::Restarted { before: 8, missing: 7 }
        );
        // Where nobody says what it begins with, 0 and 1 are both a beginning.
        for value in [0, 1] {
            let course = follow(Some(9), reading(value, None));
            assert_eq!(
                course,
                Course::Restarted {
                    before: value,
                    missing: 0
                }
            );
        }
        assert_eq!(
            follow(None, reading(9, Some(6))),
            Course::Jumped {
                after: 6,
                before: 9,
                missing: 2
            }
        );
    }

    #[test]
    fn from_nothing_the_first_is_no_jump() {
        let reading = |value| CounterReading {
            value,
            first: 1,
            from: 1,
            last: Some(100),
            before: Some(0),
            waits: false,
        };
        assert_eq!(follow(None, reading(1)), Course::Next);
        assert_eq!(
            follow(None, reading(3)),
            Course::Jumped {
                after: 0,
                before: 3,
                missing: 2
            }
        );
    }

    proptest::proptest! {
        #[test]
        fn any_counter_has_a_course(known: Option<i64>, value: i64, first: i64, last: Option<i64>, before: Option<i64>) {
            for waits in [true, false] {
                let _ = follow(known, CounterReading { value, first, from: first, last, before, waits });
            }
        }
    }
}
