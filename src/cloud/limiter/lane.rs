//! The calls of one key: who waits for a turn, and when the next one is.

use super::Class;
use super::pace::Pace;
use super::queue::{Queue, Ticket, Weights};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// One key's waiting room. Times are those of [`crate::clock::Clock::elapsed`].
#[derive(Debug)]
pub(super) struct Lane {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// Wakes each who waits.
    bells: BTreeMap<Ticket, Arc<Notify>>,
    pace: Pace,
    /// When the next call may be made.
    next_slot: Duration,
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
}

impl Lane {
    /// A lane whose last call may have been made at `since`, by the process before this one.
    pub(super) fn new(per_second: u32, weights: Weights, since: Duration) -> Self {
        let pace = Pace::new(per_second);
        Self {
            state: Mutex::new(State {
                queue: Queue::new(weights),
                bells: BTreeMap::new(),
                next_slot: since + pace.interval(since),
                pace,
            }),
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
        if now < state.next_slot {
            return Next::SleepUntil(state.next_slot);
        }
        // From now, not from the slot: calls that come late are not made up for.
        state.next_slot = now + state.pace.interval(now);
        state.queue.served(ticket);
        state.bells.remove(&ticket);
        state.ring();
        Next::Go(now)
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
            let rested = now + state.pace.interval(now);
            state.next_slot = state.next_slot.max(rested);
        }
    }

    /// The rate, in calls per 1,000 seconds.
    pub(super) fn rate(&self, now: Duration) -> u64 {
        self.lock().pace.rate(now)
    }

    /// Whether it holds nothing that a new one would not know.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        let state = self.lock();
        state.bells.is_empty() && state.next_slot <= now && state.pace.is_full(now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No change of the state can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Wakes whose turn the next one is.
    fn ring(&self) {
        let next = self.queue.next().and_then(|next| self.bells.get(&next));
        if let Some(bell) = next {
            bell.notify_one();
        }
    }
}
