//! Clock: the only place that asks the machine what time it is.
//!
//! Owns the mapping of wall time to a monotonic scale that goes on through suspend, and notices steps
//! of the wall clock. Does not own what a step means to anybody.

use crate::model::Moment;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A wall clock that stands before this was never set: 2024-01-01T00:00:00Z in milliseconds.
const NEVER_SET_BEFORE: i64 = 1_704_067_200_000;
/// Less than this is drift, corrected silently; more is a step.
const STEP: i64 = 1_000;

/// Where moments come from: the machine, or a test.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    Machine(Arc<Mapping>),
    Fake(Arc<Fake>),
}

/// Wall time less boot time, in milliseconds, as last believed.
#[derive(Debug)]
struct Mapping {
    offset: AtomicI64,
    stepped: Mutex<i64>,
}

#[derive(Debug)]
struct Fake {
    wall: AtomicI64,
    tick: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::machine()
    }
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn machine() -> Self {
        let offset = wall_millis().saturating_sub_unsigned(boot_millis());
        Self(Source::Machine(Arc::new(Mapping {
            offset: AtomicI64::new(offset),
            stepped: Mutex::new(0),
        })))
    }

    /// A clock that a test moves with [`Self::advance`].
    #[must_use]
    pub fn fake(start: Moment) -> Self {
        Self(Source::Fake(Arc::new(Fake {
            wall: AtomicI64::new(start.wall),
            tick: AtomicU64::new(start.tick),
        })))
    }

    /// Now. Wall time follows the monotonic one; a step of the wall clock is adopted and kept for [`Self::take_step`].
    #[must_use]
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::Machine(mapping) => {
                let tick = boot_millis();
                let measured = wall_millis().saturating_sub_unsigned(tick);
                let believed = mapping.offset.load(Ordering::Relaxed);
                if measured != believed {
                    mapping.offset.store(measured, Ordering::Relaxed);
                    let by = measured.saturating_sub(believed);
                    if by.abs() >= STEP
                        && let Ok(mut stepped) = mapping.stepped.lock()
                    {
                        *stepped = stepped.saturating_add(by);
                    }
                }
                Moment::new(measured.saturating_add_unsigned(tick), tick)
            }
            Source::Fake(fake) => Moment::new(fake.wall.load(Ordering::Relaxed), fake.tick.load(Ordering::Relaxed)),
        }
    }

    /// By how many milliseconds the wall clock stepped since this was last asked; `None`: it did not.
    #[must_use]
    pub fn take_step(&self) -> Option<i64> {
        let Source::Machine(mapping) = &self.0 else { return None };
        let mut stepped = mapping.stepped.lock().ok()?;
        let by = std::mem::take(&mut *stepped);
        (by != 0).then_some(by)
    }

    /// Whether the wall clock was ever set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.now().wall >= NEVER_SET_BEFORE
    }

    /// Moves a fake clock on; a machine's clock is not ours to move.
    pub fn advance(&self, by: Duration) {
        if let Source::Fake(fake) = &self.0 {
            let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            fake.tick.fetch_add(millis, Ordering::Relaxed);
            fake.wall.fetch_add(millis.cast_signed(), Ordering::Relaxed);
        }
    }

    /// Steps the wall time of a fake clock, `tick` untouched.
    pub fn step(&self, by_millis: i64) {
        if let Source::Fake(fake) = &self.0 {
            fake.wall.fetch_add(by_millis, Ordering::Relaxed);
        }
    }
}

fn wall_millis() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let now = SystemTime::now();
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
    }
}

fn boot_millis() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fake_clock_moves_only_when_told() {
        let clock = Clock::fake(Moment::new(1_000, 5));
        clock.advance(Duration::from_millis(20));
        assert_eq!(clock.now(), Moment::new(1_020, 25));
        clock.step(-500);
        assert_eq!(clock.now(), Moment::new(520, 25));
        assert!(!clock.is_set());
    }

    #[test]
    fn the_machine_goes_forward() {
        let clock = Clock::machine();
        let first = clock.now();
        assert!(clock.now().tick >= first.tick);
        assert_eq!(clock.take_step(), None);
        assert!(clock.is_set());
    }
}
