//! What the keys have used and what is left of their rates, for a person.

use super::Limiter;
use crate::domain::standing::Budget;
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

/// Over how long calls are counted, in seconds.
const WINDOW_SECONDS: u64 = 60;

/// The calls of the last minute: each second that has any, and how many.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(u64, u32)>);

impl Recent {
    /// Counts a call. Times never go back.
    pub(super) fn add(&mut self, now: Duration) {
        self.forget(now);
        match self.0.back_mut() {
            Some((second, calls)) if *second == now.as_secs() => *calls = calls.saturating_add(1),
            Some(_) | None => self.0.push_back((now.as_secs(), 1)),
        }
    }

    /// How many there were.
    pub(super) fn count(&mut self, now: Duration) -> u32 {
        self.forget(now);
        let calls = self.0.iter().map(|(_, calls)| calls);
        calls.fold(0, |all, calls| all.saturating_add(*calls))
    }

    fn forget(&mut self, now: Duration) {
        let over = |(second, _): &mut (u64, u32)| *second + WINDOW_SECONDS <= now.as_secs();
        while self.0.pop_front_if(over).is_some() {}
    }
}

impl Limiter {
    /// The budgets that are in use, by account, host and action.
    #[must_use]
    pub fn budgets(&self) -> Vec<Budget> {
        let now = self.0.clock.elapsed();
        let lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let budgets = lanes.iter().map(|(key, lane)| lane.budget(key, now));
        budgets.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_for_a_minute() {
        let mut recent = Recent::default();
        for millis in [0, 999, 1000, 30_500] {
            recent.add(Duration::from_millis(millis));
        }
        for (seconds, calls) in [(31, 4), (59, 4), (60, 2), (61, 1), (89, 1), (90, 0)] {
            let now = Duration::from_secs(seconds);
            assert_eq!(recent.count(now), calls, "{seconds}");
        }
        recent.add(Duration::from_secs(500));
        assert_eq!(recent.0, [(500, 1)]);
    }
}
