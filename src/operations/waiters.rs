//! Who waits for an operation that another replica steps: one map for all watches, and one task that
//! wakes them.

use super::Inner;
use crate::domain::causes::chain;
use crate::domain::ids::OperationId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Before the journal is listened to again, after the connection was lost. Meanwhile watches read it.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// The cells of the operations that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<HashMap<OperationId, watch::Sender<()>>>);

/// A place in the map; left when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    id: OperationId,
    inner: Arc<Inner>,
    woken: watch::Receiver<()>,
}

impl Waiting {
    /// Takes a place.
    pub(super) fn for_change(inner: &Arc<Inner>, id: OperationId) -> Self {
        let woken = inner.waiters.lock().entry(id).or_default().subscribe();
        Self {
            id,
            inner: Arc::clone(inner),
            woken,
        }
    }

    /// Returns when another replica wrote the operation, since the last time that this returned.
    pub(super) async fn changed(&mut self) {
        if self.woken.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiters = self.inner.waiters.lock();
        let last = waiters
            .get(&self.id)
            .is_some_and(|cell| cell.receiver_count() <= 1);
        if last {
            waiters.remove(&self.id);
        }
    }
}

impl Waiters {
    fn wake(&self, ids: &[OperationId]) {
        let waiters = self.lock();
        for cell in ids.iter().filter_map(|id| waiters.get(id)) {
            cell.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OperationId, watch::Sender<()>>> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Wakes who waits for what other replicas write, until the gateway stops.
    pub(super) async fn hear_changes(self: Arc<Self>) {
        let mut changes = self.store.changes();
        while !self.stop.is_cancelled() {
            let heard = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                heard = changes.next() => heard,
            };
            match heard {
                Ok(ids) => self.waiters.wake(&ids),
                Err(error) => {
                    tracing::debug!(
                        error = chain(&error, ": "),
                        "listening to the journal again"
                    );
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return,
                        () = self.clock.sleep(RECONNECT_INTERVAL) => {}
                    }
                }
            }
        }
    }
}
