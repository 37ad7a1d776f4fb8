//! One credential that is kept: asked for by one at a time, renewed before it ends, good until then.

use super::Credential;
use crate::clock::Clock;
use crate::random::Random;
use arc_swap::ArcSwapOption;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::{Mutex, Notify};

/// Between two tries of a source that fails; the first is doubled each time.
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How soon after it was asked a source is asked again because the cloud refused what it gave.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// When a credential is renewed, in percent of its life, and how far that is spread to both sides.
const RENEWED_AT: u32 = 80;
const SPREAD: u32 = 5;
/// A life that is over at once is asked for again after this.
const LIFE_MIN: Duration = Duration::from_secs(1);

/// Keeps one credential.
pub(super) struct Keeper {
    held: ArcSwapOption<Credential>,
    /// When it is to be asked for again, as time of the clock that has passed.
    due: RwLock<Duration>,
    /// Who holds it asks.
    asking: Mutex<Asked>,
    /// Told when there is another one.
    arrived: Notify,
    /// Why the last question brought none.
    failure: ArcSwapOption<String>,
    clock: Clock,
    random: Random,
}

/// What became of the last question.
#[derive(Default)]
struct Asked {
    at: Option<Duration>,
    failures: u32,
}

/// Why a source was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is time, or there is no credential yet.
    Due,
    /// The cloud refused the credential.
    Refused,
}

impl Keeper {
    pub(super) fn new(clock: Clock, random: Random) -> Self {
        Self {
            held: ArcSwapOption::empty(),
            due: RwLock::new(Duration::ZERO),
            asking: Mutex::default(),
            arrived: Notify::new(),
            failure: ArcSwapOption::empty(),
            clock,
            random,
        }
    }

    /// The credential, if there is one that is good now.
    pub(super) fn usable(&self) -> Option<Arc<Credential>> {
        let held = self.held.load_full()?;
        let ended = held.expires_at().is_some_and(|end| end <= self.clock.now());
        (!ended).then_some(held)
    }

    /// Until when there is a good one: none for ever, and the past when there is none.
    pub(super) fn good_until(&self) -> Option<UtcDateTime> {
        match self.held.load().as_ref() {
            None => Some(UtcDateTime::UNIX_EPOCH),
            Some(held) => held.expires_at(),
        }
    }

    /// Why the last question for it brought none.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.load().as_deref().cloned()
    }

    /// When it is to be asked for again.
    pub(super) fn due(&self) -> Duration {
        *self.due.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The credential, which `renew` is to get if there is none. Waits until there is one: for ever, if
    /// the caller sets no limit.
    pub(super) async fn wait<F>(&self, renew: impl Fn() -> F) -> Arc<Credential>
    where
        F: Future<Output = ()>,
    {
        loop {
            let mut arrival = std::pin::pin!(self.arrived.notified());
            arrival.as_mut().enable();
            if let Some(usable) = self.usable() {
                return usable;
            }
            renew().await;
            if let Some(usable) = self.usable() {
                return usable;
            }
            tokio::select! {
                () = arrival => {}
                () = self.clock.sleep(PAUSE_MIN) => {}
            }
        }
    }

    /// Asks for a credential, unless another one than `seen` came meanwhile, or it was asked for
    /// just now. Tells whether it asked, and what came of it.
    pub(super) async fn renew(
        &self,
        seen: Option<&Arc<Credential>>,
        why: Why,
        fetch: impl Future<Output = Result<Fetched, String>>,
    ) -> Option<Result<(), String>> {
        let mut asked = self.asking.lock().await;
        let now = self.clock.elapsed();
        let held = self.held.load_full();
        let other = match (&held, seen) {
            (Some(held), Some(seen)) => !Arc::ptr_eq(held, seen),
            (Some(_), None) => self.usable().is_some(),
            (None, _) => false,
        };
        let pause = match why {
            Why::Due => pause_after(asked.failures),
            Why::Refused => pause_after(asked.failures).max(REFUSED_PAUSE),
        };
        if other {
            return None;
        }
        if let Some(at) = asked.at.filter(|at| now < *at + pause) {
            // Who asked may have given up before the source said anything: then nobody else puts it off.
            self.set_due(self.due().max(at + pause));
            return None;
        }
        asked.at = Some(now);
        let result = fetch.await;
        let now = self.clock.elapsed();
        match result {
            Ok(fetched) => {
                asked.failures = 0;
                self.failure.store(None);
                self.take(fetched, now);
                Some(Ok(()))
            }
            Err(error) => {
                asked.failures = asked.failures.saturating_add(1);
                self.failure.store(Some(Arc::new(error.clone())));
                self.set_due(now + pause_after(asked.failures));
                Some(Err(error))
            }
        }
    }

    fn take(&self, fetched: Fetched, now: Duration) {
        let Fetched { credential, again } = fetched;
        let left = credential.expires_at().map(|end| end - self.clock.now());
        let in_time = left.map(|left| self.spread(left.max(time::Duration::ZERO).unsigned_abs()));
        let next = [in_time, again].into_iter().flatten().min();
        self.set_due(now + next.unwrap_or(Duration::MAX / 4));
        let same = self
            .held
            .load()
            .as_ref()
            .is_some_and(|held| held.is(&credential));
        if !same {
            self.held.store(Some(Arc::new(credential)));
        }
        self.arrived.notify_waiters();
    }

    fn spread(&self, life: Duration) -> Duration {
        let [byte] = self.random.bytes();
        // From 0 to 10 percent.
        let spread = u32::from(byte) * 2 * SPREAD / 255;
        let renewed = life * (RENEWED_AT - SPREAD + spread) / 100;
        renewed.max(LIFE_MIN)
    }

    fn set_due(&self, at: Duration) {
        *self.due.write().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

/// A credential as its source gave it.
pub(super) struct Fetched {
    pub(super) credential: Credential,
    /// When the source is asked again though the credential has not ended: what is on this machine is
    /// looked at often.
    pub(super) again: Option<Duration>,
}

fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doubled) => PAUSE_MIN.saturating_mul(1 << doubled.min(6)).min(PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::atomic::{AtomicU32, Ordering};
    use time::macros::utc_datetime;

    const START: UtcDateTime = utc_datetime!(2026-01-01 00:00);

    fn keeper() -> (Clock, Keeper) {
        let clock = Clock::manual(START);
        let keeper = Keeper::new(clock.clone(), Random::seeded(7));
        (clock, keeper)
    }

    /// A key of this name that is good for so many seconds of the clock's day.
    fn key(id: &str, until: i64) -> Fetched {
        let made = Credential::new(id.to_owned(), "k".into(), None).unwrap();
        Fetched {
            credential: made.expiring(START + time::Duration::seconds(until)),
            again: None,
        }
    }

    async fn told(keeper: &Keeper, why: Why, given: Result<Fetched, String>) -> Option<bool> {
        let held = keeper.usable();
        let asked = keeper.renew(held.as_ref(), why, async { given }).await;
        asked.map(|result| result.is_ok())
    }

    fn held(keeper: &Keeper) -> Option<String> {
        keeper.usable().map(|held| held.secret_id().to_owned())
    }

    #[tokio::test]
    async fn a_key_is_renewed_at_four_fifths_of_its_life_and_somewhat_spread() {
        let mut dues = Vec::new();
        for seed in 0..50 {
            let keeper = Keeper::new(Clock::manual(START), Random::seeded(seed));
            assert_eq!(keeper.due(), Duration::ZERO, "there is none yet");
            assert_eq!(
                told(&keeper, Why::Due, Ok(key("a", 1000))).await,
                Some(true)
            );
            dues.push(keeper.due().as_secs());
        }
        assert!(dues.iter().all(|due| (750..=850).contains(due)), "{dues:?}");
        dues.sort_unstable();
        assert!(dues[40] - dues[10] > 20, "{dues:?}");
    }

    #[tokio::test]
    async fn an_old_key_serves_until_it_ends_and_a_broken_source_is_asked_more_and_more_seldom() {
        let (clock, keeper) = keeper();
        told(&keeper, Why::Due, Ok(key("a", 100))).await;
        clock.advance(Duration::from_secs(90));
        for pause in [1, 2, 4, 8] {
            assert_eq!(
                told(&keeper, Why::Due, Err(String::new())).await,
                Some(false)
            );
            assert_eq!(keeper.due(), clock.elapsed() + Duration::from_secs(pause));
            assert_eq!(
                told(&keeper, Why::Due, Ok(key("b", 900))).await,
                None,
                "too soon"
            );
            assert_eq!(
                held(&keeper).is_some(),
                clock.elapsed() < Duration::from_secs(100)
            );
            clock.advance(Duration::from_secs(pause));
        }
        assert_eq!(held(&keeper), None, "it ended");
        assert_eq!(
            keeper.good_until(),
            Some(START + time::Duration::seconds(100))
        );
        for _ in 0..20 {
            told(&keeper, Why::Due, Err(String::new())).await;
            clock.advance(PAUSE_MAX);
        }
        assert_eq!(
            told(&keeper, Why::Due, Ok(key("b", 9000))).await,
            Some(true)
        );
        assert_eq!(held(&keeper).as_deref(), Some("b"));
    }

    #[tokio::test]
    async fn many_who_need_a_key_ask_once() {
        let (clock, keeper) = keeper();
        let asked = AtomicU32::new(0);
        let renew = || async {
            let fetch = async {
                asked.fetch_add(1, Ordering::Relaxed);
                clock.sleep(Duration::from_secs(1)).await;
                Ok(key("a", 100))
            };
            keeper.renew(None, Why::Due, fetch).await;
        };
        let waiters = (0..50).map(|_| keeper.wait(renew));
        let (keys, ()) = tokio::join!(
            biased;
            futures_util::future::join_all(waiters),
            async { clock.advance(Duration::from_secs(1)) }
        );
        assert_eq!((keys.len(), asked.load(Ordering::Relaxed)), (50, 1));
        assert!(keys.iter().all(|key| Arc::ptr_eq(key, &keys[0])));
    }

    #[tokio::test]
    async fn what_the_cloud_refuses_is_asked_for_once() {
        let (clock, keeper) = keeper();
        told(&keeper, Why::Due, Ok(key("a", 100))).await;
        let first = keeper.usable();
        assert_eq!(
            told(&keeper, Why::Refused, Ok(key("b", 100))).await,
            None,
            "just asked"
        );
        clock.advance(REFUSED_PAUSE);
        assert_eq!(
            told(&keeper, Why::Refused, Ok(key("b", 100))).await,
            Some(true)
        );
        clock.advance(REFUSED_PAUSE);
        let late = keeper.renew(first.as_ref(), Why::Refused, async { Ok(key("c", 100)) });
        assert_eq!(late.await, None, "another one came meanwhile");
        assert_eq!(held(&keeper).as_deref(), Some("b"));
    }

    #[tokio::test]
    async fn a_source_that_hung_is_due_after_its_pause() {
        let (clock, keeper) = keeper();
        told(&keeper, Why::Due, Err(String::new())).await;
        clock.advance(PAUSE_MIN);
        let hangs = keeper.renew(None, Why::Due, std::future::pending());
        assert!(hangs.now_or_never().is_none(), "who asked gave up");
        let again = told(&keeper, Why::Due, Ok(key("a", 1000))).await;
        assert_eq!(again, None, "just asked");
        assert_eq!(keeper.due(), clock.elapsed() + PAUSE_MIN);
        clock.advance(PAUSE_MIN);
        told(&keeper, Why::Due, Ok(key("a", 1000))).await;
        let due = keeper.due();
        assert_eq!(told(&keeper, Why::Refused, Ok(key("b", 9))).await, None);
        assert_eq!(keeper.due(), due, "no sooner than it was");
    }

    #[tokio::test]
    async fn the_same_key_again_is_no_new_one() {
        let (_, keeper) = keeper();
        told(&keeper, Why::Due, Ok(key("a", 100))).await;
        let first = keeper.usable().unwrap();
        let again = Fetched {
            again: Some(Duration::from_secs(10)),
            ..key("a", 100)
        };
        assert_eq!(told(&keeper, Why::Due, Ok(again)).await, Some(true));
        assert!(Arc::ptr_eq(&first, &keeper.usable().unwrap()));
        assert_eq!(keeper.due(), Duration::from_secs(10));
    }
}
