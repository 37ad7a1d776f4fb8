//! The calls of one key: who waits for a turn, and when the next one is.

use super::pace::Pace;
use super::queue::{Queue, Ticket, Weights};
use super::retries::Retries;
use super::standing::Recent;
use super::stock::{Block, Shared, Slot, Stock};
use super::{Class, Key};
use crate::domain::standing::Budget;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// One key's waiting room. Times are those of [`crate::clock::Clock::elapsed`].
#[derive(Debug)]
pub(super) struct Lane {
    state: Mutex<State>,
    /// What it may spend on repetitions.
    pub(super) retries: Arc<Retries>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// Wakes each who waits.
    bells: BTreeMap<Ticket, Arc<Notify>>,
    pace: Pace,
    stock: Stock,
    /// The turns that were given.
    recent: Recent,
}

/// What a waiter is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Go: its slot is the present one.
    Go(Duration),
    /// Ask again at that time, or when the bell rings.
    SleepUntil(Duration),
    /// Ask again when the bell rings.
    Wait,
    /// Have so many slots that far apart, tell [`Lane::answered`], and ask again.
    Fetch(u32, Duration),
}

impl Lane {
    /// A lane of this process alone, whose last call may have been made at `since`, by the process
    /// before this one.
    pub(super) fn own(per_second: u32, weights: Weights, since: Duration) -> Self {
        let pace = Pace::new(per_second);
        let stock = Stock::Own(since + pace.interval(since));
        Self::new(pace, weights, stock)
    }

    /// A lane whose slots come from a source that several processes share.
    pub(super) fn shared(per_second: u32, weights: Weights) -> Self {
        let stock = Stock::Shared(Shared::default());
        Self::new(Pace::new(per_second), weights, stock)
    }

    fn new(pace: Pace, weights: Weights, stock: Stock) -> Self {
        Self {
            state: Mutex::new(State {
                queue: Queue::new(weights),
                bells: BTreeMap::new(),
                pace,
                stock,
                recent: Recent::default(),
            }),
            retries: Arc::default(),
        }
    }

    /// Takes a place; the bell rings when it is time to ask [`Lane::next`] again.
    pub(super) fn join(&self, class: &Class, again: bool) -> (Ticket, Arc<Notify>) {
        let mut state = self.lock();
        let ticket = state.queue.join(class, again);
        let bell = Arc::new(Notify::new());
        state.bells.insert(ticket, Arc::clone(&bell));
        (ticket, bell)
    }

    /// What the holder of `ticket` is to do.
    pub(super) fn next(&self, ticket: Ticket, now: Duration) -> Next {
        let mut state = self.lock();
        if state.queue.next() != Some(ticket) {
            return Next::Wait;
        }
        let interval = state.pace.interval(now);
        match state.stock.take(now, interval) {
            Slot::Now(slot) => {
                state.queue.served(ticket);
                state.recent.add(now);
                state.bells.remove(&ticket);
                state.ring();
                Next::Go(slot)
            }
            Slot::At(slot) => Next::SleepUntil(slot),
            Slot::Out => state.fetch(interval),
        }
    }

    /// What came of [`Next::Fetch`], which was asked for at `asked`: a block, or none.
    pub(super) fn answered(
        &self,
        ask: (u32, Duration),
        block: Option<Block>,
        asked: Duration,
        now: Duration,
    ) {
        let mut state = self.lock();
        if let Stock::Shared(shared) = &mut state.stock {
            shared.answered(ask, block, asked, now);
        }
        state.ring();
    }

    /// Whoever was to fetch has gone away.
    pub(super) fn unanswered(&self) {
        let mut state = self.lock();
        if let Stock::Shared(shared) = &mut state.stock {
            shared.unanswered();
        }
        state.ring();
    }

    /// Frees a place; nothing when its holder had its turn.
    pub(super) fn leave(&self, ticket: Ticket) {
        let mut state = self.lock();
        if state.bells.remove(&ticket).is_some() {
            state.queue.leave(ticket);
            state.ring();
        }
    }

    /// A call that was permitted at `permitted` was refused for its rate.
    pub(super) fn refused(&self, permitted: Duration, now: Duration) {
        let mut state = self.lock();
        if state.pace.refused(permitted, now) {
            let interval = state.pace.interval(now);
            state.stock.rest(now, interval);
        }
    }

    /// The rate, in calls per 1,000 seconds.
    pub(super) fn rate(&self, now: Duration) -> u64 {
        self.lock().pace.rate(now)
    }

    /// What `key`, which the lane is of, has used and has left.
    pub(super) fn budget(&self, key: &Key, now: Duration) -> Budget {
        let mut state = self.lock();
        Budget {
            account: key.account.clone(),
            host: key.host.clone(),
            action: key.action.as_str(),
            full: state.pace.full(),
            rate: state.pace.rate(now),
            calls: state.recent.count(now),
            waiting: state.bells.len(),
        }
    }

    /// Whether it holds nothing that a new one would not know.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        let state = self.lock();
        let calls = state.bells.is_empty() && state.stock.is_idle(now) && state.pace.is_full(now);
        calls && self.retries.is_idle()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No change of the state can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fetch(&mut self, interval: Duration) -> Next {
        let waiting = self.bells.len();
        match &mut self.stock {
            Stock::Own(slot) => Next::SleepUntil(*slot),
            Stock::Shared(shared) => match shared.ask(waiting, interval) {
                Some((count, interval)) => Next::Fetch(count, interval),
                None => Next::Wait,
            },
        }
    }

    /// Wakes whose turn the next one is.
    fn ring(&self) {
        let next = self.queue.next().and_then(|next| self.bells.get(&next));
        if let Some(bell) = next {
            bell.notify_one();
        }
    }
}
