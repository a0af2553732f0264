//! Back-off: how long to wait before the next try. Owns exponential growth with jitter; does not sleep.

use rand::Rng;
use std::time::Duration;

/// Exponential waiting times between `first` and `longest`, each jittered by half.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits about `first`, then twice as long each time, `longest` at most.
    /// A `longest` below `first` counts as `first`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest: longest.max(first),
            next: first,
        }
    }

    /// How long to wait now: between half and all of the present step.
    pub fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.longest);
        let half = step / 2;
        let spread = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
        half + Duration::from_millis(rand::rng().random_range(0..=spread))
    }

    /// It worked: begin again with `first`.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_the_longest_and_begins_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(400));
        let within =
            |wait: Duration, step: u64| wait >= Duration::from_millis(step / 2) && wait <= Duration::from_millis(step);
        for step in [100, 200, 400, 400] {
            let wait = backoff.wait();
            assert!(within(wait, step), "{wait:?} of {step}");
        }
        backoff.reset();
        assert!(within(backoff.wait(), 100));
    }
}
