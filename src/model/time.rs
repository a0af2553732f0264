//! Moments: one instant on two scales. Owns their arithmetic; [`crate::clock`] makes them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One instant: wall time in UTC, and milliseconds since boot that go on through suspend.
///
/// Intervals are taken of `tick`, never of `wall`: wall time may step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub wall: i64,
    /// Milliseconds of `CLOCK_BOOTTIME`. Comparable only within one boot.
    pub tick: u64,
}

impl Moment {
    /// A moment of these two readings.
    #[must_use]
    pub const fn new(wall: i64, tick: u64) -> Self {
        Self { wall, tick }
    }

    /// The wall time.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.wall).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-22T10:15:03.171Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        rfc3339(self.wall)
    }
}

/// RFC 3339 in UTC with milliseconds of a wall time in milliseconds.
#[must_use]
pub fn rfc3339(wall: i64) -> String {
    let stamp = Timestamp::from_millisecond(wall).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

/// Wall milliseconds of an RFC 3339 text, `None` where it is none.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_milliseconds_and_z() {
        assert_eq!(rfc3339(1_795_342_503_171), "2026-11-22T10:15:03.171Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_rfc3339("2026-11-22T10:15:03.171Z"), Some(1_795_342_503_171));
        assert_eq!(parse_rfc3339("2026-11-22T11:15:03.171+01:00"), Some(1_795_342_503_171));
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
