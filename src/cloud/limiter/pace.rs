//! How fast the calls of one key may follow each other: slower after a refusal, back to the full
//! rate step by step.

use std::time::Duration;

/// The slowest that refusals make a key: one call in two seconds, in calls per 1,000 seconds.
const SLOWEST: u64 = 500;
/// How long without a refusal until the rate rises by one step.
const STEP: Duration = Duration::from_secs(1);
/// Steps from nothing to the full rate.
const STEPS: u64 = 10;
/// Nanoseconds of 1,000 seconds, which the rates are counted in.
const NANOS: u64 = 1_000_000_000_000;

/// The rate of one key. Times are those of [`crate::clock::Clock::elapsed`].
#[derive(Debug)]
pub(super) struct Pace {
    /// The full rate, in calls per 1,000 seconds.
    full: u64,
    /// What the last refusal left of it, and when that was.
    cut: Option<(u64, Duration)>,
}

impl Pace {
    /// The full rate, in calls a second; 0 counts as 1.
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            full: u64::from(per_second.max(1)) * 1000,
            cut: None,
        }
    }

    /// The rate that nothing slows down, in calls per 1,000 seconds.
    pub(super) fn full(&self) -> u64 {
        self.full
    }

    /// The rate, in calls per 1,000 seconds.
    pub(super) fn rate(&self, now: Duration) -> u64 {
        let Some((left, at)) = self.cut else {
            return self.full;
        };
        let steps = now.saturating_sub(at).as_secs() / STEP.as_secs();
        let risen = (self.full / STEPS).max(1).saturating_mul(steps);
        left.saturating_add(risen).min(self.full)
    }

    /// Whether no refusal slows it down any more.
    pub(super) fn is_full(&self, now: Duration) -> bool {
        self.rate(now) == self.full
    }

    /// From one call to the next.
    pub(super) fn interval(&self, now: Duration) -> Duration {
        Duration::from_nanos(NANOS.div_ceil(self.rate(now)))
    }

    /// A call that was permitted at `permitted` was refused for its rate: halves the rate, once for
    /// all the calls that were under way by then. Whether it did.
    pub(super) fn refused(&mut self, permitted: Duration, now: Duration) -> bool {
        let known = self.cut.is_some_and(|(_, at)| permitted <= at);
        if !known {
            let slowest = SLOWEST.min(self.full);
            self.cut = Some(((self.rate(now) / 2).max(slowest), now));
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_refusal_halves_the_rate_once_and_time_brings_it_back() {
        let mut pace = Pace::new(8);
        assert_eq!(pace.interval(at(0)), at(125));
        assert!(pace.refused(at(900), at(1000)));
        assert_eq!(pace.interval(at(1000)), at(250));
        assert!(!pace.refused(at(950), at(1010)), "it was under way already");
        assert_eq!(pace.rate(at(1999)), 4000);
        assert_eq!(pace.rate(at(2000)), 4800);
        assert!(pace.refused(at(1500), at(2000)));
        assert_eq!(pace.rate(at(2000)), 2400);
        assert_eq!(pace.rate(at(8999)), 7200);
        assert_eq!(pace.rate(at(9000)), 8000);
        assert_eq!(pace.rate(at(900_000)), 8000);
    }

    #[test]
    fn refusals_never_stop_a_key() {
        let mut pace = Pace::new(8);
        for second in 0..20 {
            pace.refused(at(second * 10 + 1), at(second * 10 + 2));
        }
        assert_eq!(pace.interval(at(192)), at(2000));
    }
}
