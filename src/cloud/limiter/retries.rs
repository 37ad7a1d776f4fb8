//! What repeating costs: a budget of each key, so that an outage is not answered with a flood of
//! repetitions. A repetition that the cloud answers has cost nothing; one that it does not is paid
//! with what answered first tries earn. When the budget is used up, one goes now and then as a probe.

use super::{Action, Key, Limiter};
use crate::chaos;
use crate::cloud::{CloudError, Effect, Retry, Target};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The whole budget: a hundred repetitions, or half as many after doubts.
const FULL: u32 = 1000;
/// What a repetition costs. A tenth of it is earned by each first try, so that in the long run at
/// most one in ten calls is a repetition without an answer.
const PRICE: u32 = 10;
/// The same after a call that may have been carried out, which is how an overload looks.
const PRICE_AFTER_DOUBT: u32 = 20;
/// What a first try earns that the cloud answers.
const EARNED: u32 = 1;
/// From one probe to the next. It bounds how long a cloud that is well again goes unnoticed.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(5);

/// What a call that changes something repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// Nothing.
    First,
    /// One that certainly was not carried out.
    Again,
    /// One that may have been carried out.
    AfterDoubt,
}

impl Try {
    const fn price(self) -> u32 {
        match self {
            Self::First => 0,
            Self::Again => PRICE,
            Self::AfterDoubt => PRICE_AFTER_DOUBT,
        }
    }
}

/// The budget of one key, and who waits for it. Times are those of [`crate::clock::Clock::elapsed`].
#[derive(Debug)]
pub(super) struct Retries(Mutex<State>);

#[derive(Debug)]
struct State {
    left: u32,
    /// When a probe may go.
    probe_at: Duration,
    tickets: u64,
    /// First come, first served, for each costs at least half of what another one does.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

/// What a waiter is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Repeat.
    Go(Paid),
    /// Ask again at that time, or when the bell rings.
    SleepUntil(Duration),
    /// Ask again when the bell rings.
    Wait,
}

/// What a repetition was paid with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paid {
    /// So much of the budget.
    Budget(u32),
    /// Nothing: it is a probe. When it may go is told, to be taken back.
    Probe(Duration),
}

impl Paid {
    /// The means as a metric label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Budget(_) => "budget",
            Self::Probe(_) => "probe",
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self(Mutex::new(State {
            left: FULL,
            probe_at: Duration::ZERO,
            tickets: 0,
            waiting: BTreeMap::new(),
        }))
    }
}

impl Retries {
    /// Takes a place; the bell rings when it is time to ask [`Retries::next`] again.
    pub(super) fn join(&self) -> (u64, Arc<Notify>) {
        let mut state = self.lock();
        let ticket = state.tickets;
        state.tickets += 1;
        let bell = Arc::new(Notify::new());
        state.waiting.insert(ticket, Arc::clone(&bell));
        (ticket, bell)
    }

    /// What the holder of `ticket` is to do, who wants to repeat a call.
    pub(super) fn next(&self, ticket: u64, tried: Try, now: Duration) -> Next {
        let mut state = self.lock();
        if state.waiting.keys().next() != Some(&ticket) {
            return Next::Wait;
        }
        let price = chaos::wrong!("retries-for-nothing", tried.price(), 0);
        let paid = if let Some(left) = state.left.checked_sub(price) {
            state.left = left;
            Paid::Budget(price)
        } else if state.probe_at <= now {
            let before = std::mem::replace(&mut state.probe_at, now + PROBE_EVERY);
            Paid::Probe(before)
        } else {
            return Next::SleepUntil(state.probe_at);
        };
        state.waiting.remove(&ticket);
        state.ring();
        Next::Go(paid)
    }

    /// Frees a place; nothing when its holder went.
    pub(super) fn leave(&self, ticket: u64) {
        let mut state = self.lock();
        if state.waiting.remove(&ticket).is_some() {
            state.ring();
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether it holds nothing that a new one would not know.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.left == FULL && state.waiting.is_empty()
    }

    /// The cloud has answered a first try.
    fn earn(&self) {
        self.lock().add(EARNED);
    }

    /// The cloud has answered a repetition. A probe that is answered pays for one more.
    fn answered(&self, paid: Paid) {
        self.lock().add(match paid {
            Paid::Budget(price) => price,
            Paid::Probe(_) => PRICE,
        });
    }

    /// The repetition was not made.
    fn take_back(&self, paid: Paid) {
        let mut state = self.lock();
        match paid {
            Paid::Budget(price) => state.add(price),
            Paid::Probe(before) => {
                state.probe_at = before;
                state.ring();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No change of the state can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, amount: u32) {
        self.left = self.left.saturating_add(amount).min(FULL);
        self.ring();
    }

    /// Wakes whose turn the next one is.
    fn ring(&self) {
        if let Some(bell) = self.waiting.values().next() {
            bell.notify_one();
        }
    }
}

impl Limiter {
    /// Waits until the account can pay for `action` at `host`: a first try at once, a repetition
    /// once the budget has its price, or it is the next probe. Pay the turn with it. Dropping the
    /// future gives the place up, as above.
    pub async fn fare(&self, target: &Target, host: &str, action: Action, tried: Try) -> Fare {
        let key = self.key(target, host, action);
        let lane = self.lane(&key);
        if tried == Try::First {
            return Fare::new(&lane.retries, None);
        }
        let started = self.0.clock.elapsed();
        let waiting = Waiting::new(self, &key, &lane.retries);
        let paid = loop {
            let now = self.0.clock.elapsed();
            match lane.retries.next(waiting.ticket, tried, now) {
                Next::Go(paid) => break paid,
                Next::SleepUntil(at) => {
                    let sleep = at.saturating_sub(now);
                    tokio::select! {
                        biased;
                        () = waiting.bell.notified() => {}
                        () = self.0.clock.sleep(sleep) => {}
                    }
                }
                Next::Wait => waiting.bell.notified().await,
            }
        };
        let waited = self.0.clock.elapsed().saturating_sub(started);
        let metrics = &self.0.metrics;
        metrics.repeats(action.as_str(), paid.as_str(), waited);
        Fare::new(&lane.retries, Some(paid))
    }
}

/// The permission to make a call as a first try, or to repeat one. What was paid for it comes back
/// when it is dropped before its call is made.
#[must_use]
#[derive(Debug)]
pub struct Fare {
    retries: Arc<Retries>,
    /// None for a first try.
    paid: Option<Paid>,
    used: bool,
}

impl Fare {
    fn new(retries: &Arc<Retries>, paid: Option<Paid>) -> Self {
        Self {
            retries: Arc::clone(retries),
            paid,
            used: false,
        }
    }

    /// The call is about to be made.
    pub(super) fn used(mut self) -> Self {
        self.used = true;
        self
    }

    /// Takes note of the call's answer. Silence, and what asks for patience, earns nothing.
    pub(super) fn answered<T>(&self, answer: &Result<T, CloudError>) {
        let is_answer = |error: &CloudError| {
            let settled = matches!(error.retry, Retry::No | Retry::Later);
            settled && error.effect == Effect::Definite
        };
        match (answer.as_ref().err().is_none_or(is_answer), self.paid) {
            (true, Some(paid)) => self.retries.answered(paid),
            (true, None) => self.retries.earn(),
            (false, _) => {}
        }
    }
}

impl Drop for Fare {
    fn drop(&mut self) {
        if let Some(paid) = self.paid.filter(|_| !self.used) {
            self.retries.take_back(paid);
        }
    }
}

/// A place among those that wait to repeat a call. Dropping it frees it.
struct Waiting<'a> {
    limiter: &'a Limiter,
    key: &'a Key,
    retries: &'a Retries,
    ticket: u64,
    bell: Arc<Notify>,
}

impl<'a> Waiting<'a> {
    fn new(limiter: &'a Limiter, key: &'a Key, retries: &'a Retries) -> Self {
        let (ticket, bell) = retries.join();
        let waiting = Self {
            limiter,
            key,
            retries,
            ticket,
            bell,
        };
        waiting.show();
        waiting
    }

    fn show(&self) {
        let (account, action) = (self.key.account.as_str(), self.key.action.as_str());
        let metrics = &self.limiter.0.metrics;
        metrics.repeats_wait(account, action, self.retries.waiting());
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.retries.leave(self.ticket);
        self.show();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What is paid with by who wants to repeat a call now; nothing when it must wait.
    fn ask(retries: &Retries, tried: Try, now: Duration) -> Option<Paid> {
        let (ticket, _) = retries.join();
        let next = retries.next(ticket, tried, now);
        retries.leave(ticket);
        match next {
            Next::Go(paid) => Some(paid),
            Next::SleepUntil(_) | Next::Wait => None,
        }
    }

    fn paid_of(retries: &Retries, tried: Try) -> usize {
        let budget = || ask(retries, tried, at(0)).filter(|paid| matches!(paid, Paid::Budget(_)));
        std::iter::from_fn(budget).take(1000).count()
    }

    #[test]
    fn the_budget_is_a_hundred_repetitions_or_fifty_after_doubts() {
        assert_eq!(paid_of(&Retries::default(), Try::Again), 100);
        assert_eq!(paid_of(&Retries::default(), Try::AfterDoubt), 50);
    }

    #[test]
    fn ten_answered_first_tries_pay_for_one_repetition() {
        let retries = Retries::default();
        paid_of(&retries, Try::Again);
        for _ in 0..9 {
            retries.earn();
        }
        assert_eq!(ask(&retries, Try::Again, at(1)), None);
        retries.earn();
        assert_eq!(ask(&retries, Try::Again, at(1)), Some(Paid::Budget(10)));
        for _ in 0..5000 {
            retries.earn();
        }
        assert_eq!(paid_of(&retries, Try::Again), 100, "it has an upper bound");
    }

    #[test]
    fn what_is_answered_has_cost_nothing_and_without_a_budget_one_goes_now_and_then() {
        let retries = Retries::default();
        for _ in 0..1000 {
            let paid = ask(&retries, Try::AfterDoubt, at(0)).unwrap();
            assert_eq!(paid, Paid::Budget(20));
            retries.answered(paid);
        }
        paid_of(&retries, Try::Again);
        let probes = (0..60).filter_map(|second| ask(&retries, Try::AfterDoubt, at(second)));
        let probes: Vec<_> = probes.collect();
        assert_eq!(probes.len(), 11, "the first went when the budget ended");
        retries.answered(probes[0]);
        assert_eq!(ask(&retries, Try::Again, at(60)), Some(Paid::Budget(10)));
    }

    #[test]
    fn what_is_not_made_is_paid_back() {
        let retries = Arc::new(Retries::default());
        paid_of(&retries, Try::Again);
        let probe =
            |now| ask(&retries, Try::Again, now).map(|paid| Fare::new(&retries, Some(paid)));
        drop(probe(at(6)).unwrap());
        let used = probe(at(6)).unwrap().used();
        drop(used);
        assert!(probe(at(7)).is_none(), "a probe was made");
        retries.lock().add(PRICE);
        drop(probe(at(7)).unwrap());
        assert_eq!(ask(&retries, Try::Again, at(7)), Some(Paid::Budget(PRICE)));
    }

    #[test]
    fn who_came_first_goes_first_and_may_give_up() {
        let retries = Retries::default();
        paid_of(&retries, Try::Again);
        let [(first, _), (second, _), (third, _)] = [(); 3].map(|()| retries.join());
        assert_eq!(
            retries.next(first, Try::Again, at(1)),
            Next::SleepUntil(at(5))
        );
        assert_eq!(retries.next(second, Try::Again, at(9)), Next::Wait);
        retries.leave(first);
        let probe = Next::Go(Paid::Probe(at(5)));
        assert_eq!(retries.next(second, Try::Again, at(9)), probe);
        assert_eq!(
            retries.next(third, Try::Again, at(9)),
            Next::SleepUntil(at(14))
        );
        assert_eq!(retries.waiting(), 1);
    }

    proptest! {
        /// Whatever is answered: without an answer, no more are repeated than the budget, a tenth
        /// of the first tries and the probes allow.
        #[test]
        fn the_bound_holds(calls in prop::collection::vec((0..3_u8, any::<bool>(), 0..3_u64), 1..2000)) {
            let retries = Retries::default();
            let (mut now, mut firsts, mut probes, mut failed) = (0, 0, 0, 0);
            for (kind, answered, pause) in calls {
                now += pause;
                let tried = match kind {
                    0 => {
                        firsts += 1;
                        if answered {
                            retries.earn();
                        }
                        continue;
                    }
                    1 => Try::Again,
                    _ => Try::AfterDoubt,
                };
                let Some(paid) = ask(&retries, tried, at(now)) else {
                    continue;
                };
                probes += u64::from(matches!(paid, Paid::Probe(_)));
                if answered {
                    retries.answered(paid);
                } else {
                    failed += 1;
                }
            }
            prop_assert!(failed <= 100 + firsts / 10 + probes, "{failed} {firsts} {probes}");
            prop_assert!(probes <= 1 + now / 5, "{probes} in {now} s");
        }
    }
}
