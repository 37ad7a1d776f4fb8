//! The time of a simulation: it stands still while there is work, and skips to the next sleeper's
//! deadline when there is none.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Time since the simulation's start, and who waits for which. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::clock) struct Timers(Arc<Mutex<Sleepers>>);

#[derive(Debug, Default)]
struct Sleepers {
    elapsed: Duration,
    /// By deadline, then in the order in which they fell asleep.
    waiting: BTreeMap<(Duration, u64), Waker>,
    number: u64,
}

/// One sleeper. Dropping it forgets it.
struct Sleep {
    timers: Timers,
    key: Option<(Duration, u64)>,
    deadline: Duration,
}

impl Timers {
    pub(in crate::clock) fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }

    pub(in crate::clock) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        Sleep {
            timers: self.clone(),
            key: None,
            deadline: self.elapsed().saturating_add(duration),
        }
    }

    /// Skips to the first deadline and wakes its sleeper; whether there was one.
    pub(in crate::clock) fn skip(&self) -> bool {
        let mut sleepers = self.lock();
        let Some(((deadline, _), waker)) = sleepers.waiting.pop_first() else {
            return false;
        };
        sleepers.elapsed = sleepers.elapsed.max(deadline);
        drop(sleepers);
        waker.wake();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        // Every change is a few calls on values that cannot fail half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let timers = self.timers.clone();
        let mut sleepers = timers.lock();
        if sleepers.elapsed >= self.deadline {
            return Poll::Ready(());
        }
        let key = match self.key {
            Some(key) => key,
            None => {
                sleepers.number += 1;
                (self.deadline, sleepers.number)
            }
        };
        sleepers.waiting.insert(key, context.waker().clone());
        drop(sleepers);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.timers.lock().waiting.remove(&key);
        }
    }
}
