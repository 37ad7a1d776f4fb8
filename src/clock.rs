//! The only reader of time and the only sleeper: the system's clock, a manual one for tests, or a
//! simulation's.

mod simulated;

use simulated::Timers;
use std::future::Future;
use std::time::{Duration, Instant};
use time::UtcDateTime;
use tokio::sync::watch;

/// Tells the time and sleeps. Clones share the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant },
    Manual(watch::Sender<Manual>),
    Simulated { start: UtcDateTime, timers: Timers },
}

#[derive(Clone, Copy, Debug)]
struct Manual {
    started: UtcDateTime,
    now: UtcDateTime,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the time"
    )]
    pub fn system() -> Self {
        Self(Source::System {
            started: Instant::now(),
        })
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(start: UtcDateTime) -> Self {
        let (sender, _) = watch::channel(Manual {
            started: start,
            now: start,
        });
        Self(Source::Manual(sender))
    }

    /// A clock that stands at `start` until [`Clock::skip`] moves it. A runtime whose only thread
    /// calls that when it has nothing to do lives through hours in no time, always in the same order.
    #[must_use]
    pub fn simulated(start: UtcDateTime) -> Self {
        let timers = Timers::default();
        Self(Source::Simulated { start, timers })
    }

    /// Skips a simulation's time to where its first sleeper wakes; whether there is one.
    pub fn skip(&self) -> bool {
        match &self.0 {
            Source::Simulated { timers, .. } => timers.skip(),
            Source::System { .. } | Source::Manual(_) => false,
        }
    }

    /// The same simulated time on a clock that goes wrong by `offset`; other clocks stay as they are.
    #[must_use]
    pub fn skewed(&self, offset: time::Duration) -> Self {
        match self.0.clone() {
            Source::Simulated { start, timers } => Self(Source::Simulated {
                start: start + offset,
                timers,
            }),
            other @ (Source::System { .. } | Source::Manual(_)) => Self(other),
        }
    }

    /// The current wall-clock time, to the millisecond, which is what the journal keeps.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the time"
    )]
    pub fn now(&self) -> UtcDateTime {
        match &self.0 {
            Source::System { .. } => UtcDateTime::now().truncate_to_millisecond(),
            Source::Manual(sender) => sender.borrow().now,
            Source::Simulated { start, timers } => {
                (*start + timers.elapsed()).truncate_to_millisecond()
            }
        }
    }

    /// Time since this clock was made; never goes back, so differences measure durations.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System { started } => started.elapsed(),
            Source::Simulated { timers, .. } => timers.elapsed(),
            Source::Manual(sender) => {
                let manual = *sender.borrow();
                (manual.now - manual.started).unsigned_abs()
            }
        }
    }

    /// Returns after `duration`.
    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::System { .. } => tokio::time::sleep(duration).await,
            Source::Simulated { timers, .. } => timers.sleep(duration).await,
            Source::Manual(sender) => {
                let until = sender.borrow().now + duration;
                let mut ticks = sender.subscribe();
                // The sender lives in `self`, so the channel cannot close while we wait.
                let closed = ticks.wait_for(|manual| manual.now >= until).await.is_err();
                debug_assert!(!closed);
            }
        }
    }

    /// Returns once the wall clock shows `deadline`, at once when it has passed.
    pub async fn sleep_until(&self, deadline: UtcDateTime) {
        let left = deadline - self.now();
        if left.is_positive() {
            self.sleep(left.unsigned_abs()).await;
        }
    }

    /// The result of `work`, or `None` when it took longer than `limit`.
    pub async fn timeout<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.sleep(limit) => None,
        }
    }

    /// Moves a manual clock forward and wakes who slept that long; other clocks ignore it.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(sender) = &self.0 {
            sender.send_modify(|manual| manual.now += by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[tokio::test]
    async fn manual_time_stands_still_until_advanced() {
        let clock = Clock::manual(utc_datetime!(2026-01-01 00:00));
        let sleeper = clock.clone();
        let mut sleep = std::pin::pin!(sleeper.sleep(Duration::from_secs(10)));
        assert!(futures_pending(&mut sleep).await);
        clock.advance(Duration::from_secs(9));
        assert!(futures_pending(&mut sleep).await);
        clock.advance(Duration::from_secs(1));
        sleep.await;
        assert_eq!(clock.now(), utc_datetime!(2026-01-01 00:00:10));
        assert_eq!(clock.elapsed(), Duration::from_secs(10));
    }

    #[test]
    fn simulated_time_skips_every_wait() {
        let clock = Clock::simulated(utc_datetime!(2026-01-01 00:00));
        assert!(!clock.skip(), "nobody sleeps");
        let idle = clock.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .on_thread_park(move || {
                idle.skip();
            })
            .build()
            .unwrap();
        runtime.block_on(async {
            clock.sleep(Duration::from_secs(86_400)).await;
            assert_eq!(clock.now(), utc_datetime!(2026-01-02 00:00));
            assert_eq!(clock.elapsed(), Duration::from_secs(86_400));
            let never = std::future::pending::<()>();
            assert_eq!(clock.timeout(Duration::from_secs(1), never).await, None);
            let late = clock.skewed(time::Duration::minutes(-1));
            assert_eq!(late.now(), utc_datetime!(2026-01-01 23:59:01));
            let both = tokio::join!(
                biased;
                late.sleep(Duration::from_secs(2)),
                clock.sleep(Duration::from_secs(1))
            );
            assert_eq!(both, ((), ()));
            assert_eq!(clock.now(), utc_datetime!(2026-01-02 00:00:03));
        });
        assert!(!clock.skip(), "who no longer waits is forgotten");
    }

    #[tokio::test]
    async fn timeout_gives_the_result_or_nothing() {
        let clock = Clock::system();
        assert_eq!(
            clock.timeout(Duration::from_secs(5), async { 7 }).await,
            Some(7)
        );
        let never = std::future::pending::<()>();
        assert_eq!(clock.timeout(Duration::from_millis(1), never).await, None);
    }

    async fn futures_pending(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        let mut done = false;
        tokio::select! {
            biased;
            () = future => done = true,
            () = std::future::ready(()) => {}
        }
        !done
    }
}
