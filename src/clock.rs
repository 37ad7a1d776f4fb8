//! The only reader of time and the only sleeper: the system's clock, a manual one for tests, or a
//! simulation's.

mod simulated;

use simulated::Timers;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use time::UtcDateTime;
use tokio::sync::watch;

/// Tells the time and sleeps. Clones share the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// What is added to the time of day.
    correction: Option<Correction>,
}

/// By how much the time of day of some clocks is corrected. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Correction(Arc<AtomicI64>);

impl Correction {
    /// Adds so much from now on, to the millisecond.
    pub fn set(&self, by: time::Duration) {
        let millis = i64::try_from(by.whole_milliseconds()).unwrap_or_default();
        self.0.store(millis, Ordering::Relaxed);
    }

    /// How much is added.
    #[must_use]
    pub fn get(&self) -> time::Duration {
        time::Duration::milliseconds(self.0.load(Ordering::Relaxed))
    }
}

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
        Self::of(Source::System {
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
        Self::of(Source::Manual(sender))
    }

    /// A clock that stands at `start` until [`Clock::skip`] moves it. A runtime whose only thread
    /// calls that when it has nothing to do lives through hours in no time, always in the same order.
    #[must_use]
    pub fn simulated(start: UtcDateTime) -> Self {
        let timers = Timers::default();
        Self::of(Source::Simulated { start, timers })
    }

    const fn of(source: Source) -> Self {
        Self {
            source,
            correction: None,
        }
    }

    /// The same clock, whose time of day is corrected by what `by` is at each look.
    #[must_use]
    pub fn corrected(&self, by: &Correction) -> Self {
        Self {
            source: self.source.clone(),
            correction: Some(by.clone()),
        }
    }

    /// The same clock as the machine has it.
    #[must_use]
    pub fn uncorrected(&self) -> Self {
        Self::of(self.source.clone())
    }

    /// Skips a simulation's time to where its first sleeper wakes; whether there is one.
    pub fn skip(&self) -> bool {
        match &self.source {
            Source::Simulated { timers, .. } => timers.skip(),
            Source::System { .. } | Source::Manual(_) => false,
        }
    }

    /// The same simulated time on a clock that goes wrong by `offset`; other clocks stay as they are.
    #[must_use]
    pub fn skewed(&self, offset: time::Duration) -> Self {
        match self.source.clone() {
            Source::Simulated { start, timers } => Self::of(Source::Simulated {
                start: start + offset,
                timers,
            }),
            other @ (Source::System { .. } | Source::Manual(_)) => Self::of(other),
        }
    }

    /// The current wall-clock time, to the millisecond, which is what the journal keeps.
    #[must_use]
    pub fn now(&self) -> UtcDateTime {
        let correction = self.correction.as_ref().map(Correction::get);
        let shown = self.shown();
        let corrected = shown.checked_add(correction.unwrap_or_default());
        corrected.unwrap_or(shown)
    }

    /// What the clock shows before it is corrected.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the time"
    )]
    fn shown(&self) -> UtcDateTime {
        match &self.source {
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
        match &self.source {
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
        match &self.source {
            Source::System { .. } => tokio::time::sleep(duration).await,
            Source::Simulated { timers, .. } => timers.sleep(duration).await,
            // In a box, for thousands of connections and streams wait here, and not for this.
            Source::Manual(sender) => Box::pin(sleep_by_hand(sender, duration)).await,
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
    pub fn timeout<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> impl Future<Output = Option<T>> {
        // Not an async fn, which would have room for `work` twice; thousands of streams wait in one of these.
        Within {
            work,
            sleep: self.sleep(limit),
        }
    }

    /// Moves a manual clock forward and wakes who slept that long; other clocks ignore it.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(sender) = &self.source {
            sender.send_modify(|manual| manual.now += by);
        }
    }
}

/// Returns once a clock that is moved by hand has moved so far.
async fn sleep_by_hand(sender: &watch::Sender<Manual>, duration: Duration) {
    let until = sender.borrow().now + duration;
    let mut ticks = sender.subscribe();
    // The sender is borrowed, so the channel cannot close while we wait.
    let closed = ticks.wait_for(|manual| manual.now >= until).await.is_err();
    debug_assert!(!closed);
}

pin_project_lite::pin_project! {
    /// Work, until it is done or the sleep is over.
    struct Within<W, S> {
        #[pin]
        work: W,
        #[pin]
        sleep: S,
    }
}

impl<W: Future, S: Future<Output = ()>> Future for Within<W, S> {
    type Output = Option<W::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let within = self.project();
        if let Poll::Ready(done) = within.work.poll(context) {
            return Poll::Ready(Some(done));
        }
        within.sleep.poll(context).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn a_timeout_has_room_for_its_work_once() {
        let clock = Clock::system();
        let work = std::future::ready([0_u8; 4096]);
        let limited = size_of_val(&clock.timeout(Duration::from_secs(1), work));
        assert!(limited < 2 * 4096, "{limited} bytes");
    }

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

    #[tokio::test]
    async fn a_correction_moves_the_time_of_day_and_no_other_clock() {
        let clock = Clock::manual(utc_datetime!(2026-01-01 00:00));
        let correction = Correction::default();
        let corrected = clock.corrected(&correction);
        assert_eq!(corrected.now(), clock.now());
        correction.set(time::Duration::milliseconds(-90_500));
        assert_eq!(corrected.now(), utc_datetime!(2025-12-31 23:58:29.5));
        assert_eq!(corrected.uncorrected().now(), clock.now());
        let sleeper = corrected.clone();
        let mut sleep = std::pin::pin!(sleeper.sleep_until(utc_datetime!(2025-12-31 23:58:39.5)));
        assert!(futures_pending(&mut sleep).await);
        clock.advance(Duration::from_secs(10));
        sleep.await;
        assert_eq!(corrected.elapsed(), Duration::from_secs(10));
        correction.set(time::Duration::MAX);
        assert_eq!(corrected.now(), clock.now(), "no clock shows that");
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
