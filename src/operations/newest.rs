//! The newest snapshot of an operation, for any number of readers. Writing it waits for nobody, and
//! readers wake in the order in which they came: with tokio's own cell the order is random, and a
//! simulation must be repeatable.

use crate::domain::operation::Operation;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The writer's end. Dropping it tells the readers that nothing comes any more.
#[derive(Debug)]
pub(super) struct Newest(Arc<Shared>);

/// A reader's end.
#[derive(Debug)]
pub(super) struct Reader {
    shared: Arc<Shared>,
    /// Of the snapshot that was last read.
    sequence: u64,
}

/// The writer is gone, and everything was read.
#[derive(Debug)]
pub(super) struct Closed;

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    newest: Arc<Operation>,
    closed: bool,
}

impl Newest {
    pub(super) fn new(operation: Arc<Operation>) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                newest: operation,
                closed: false,
            }),
            changed: Notify::new(),
        }))
    }

    pub(super) fn get(&self) -> Arc<Operation> {
        Arc::clone(&self.0.lock().newest)
    }

    /// Shows a snapshot, if it is newer.
    pub(super) fn publish(&self, operation: Arc<Operation>) {
        let mut state = self.0.lock();
        if operation.sequence > state.newest.sequence {
            state.newest = operation;
            drop(state);
            self.0.changed.notify_waiters();
        }
    }

    pub(super) fn subscribe(&self) -> Reader {
        Reader {
            shared: Arc::clone(&self.0),
            sequence: self.get().sequence,
        }
    }
}

impl Drop for Newest {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_waiters();
    }
}

impl Reader {
    /// The newest snapshot; it counts as read.
    pub(super) fn read(&mut self) -> Arc<Operation> {
        let newest = Arc::clone(&self.shared.lock().newest);
        self.sequence = newest.sequence;
        newest
    }

    /// Returns when there is a snapshot that was not read.
    ///
    /// # Errors
    /// When there will be none.
    pub(super) async fn changed(&self) -> Result<(), Closed> {
        loop {
            // Made before the look, so that what comes between the two is not missed.
            let changed = self.shared.changed.notified();
            {
                let state = self.shared.lock();
                if state.newest.sequence > self.sequence {
                    return Ok(());
                }
                if state.closed {
                    return Err(Closed);
                }
            }
            changed.await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment, so a panic elsewhere cannot leave it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
