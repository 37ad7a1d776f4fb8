//! SQLite's log of writes is put into the database by a connection of its own, beside the commits: what comes
//! meanwhile waits for its own flush alone.

use crate::store::engine::{self, Writers};
use crate::store::error::StoreError;
use tokio::runtime::Handle;
use tokio::task::{self, JoinHandle};

/// The one that is under way, if any.
#[derive(Default)]
pub(in crate::store) struct Checkpoint(Option<JoinHandle<Result<(), StoreError>>>);

impl Checkpoint {
    pub(in crate::store) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Begins one, where the journal is a file. A database in memory has no log.
    pub(in crate::store) fn begin(&mut self, writers: &Writers) {
        let Some(open) = writers.beside() else {
            return;
        };
        let runtime = Handle::current();
        self.0 = Some(task::spawn_blocking(move || {
            let mut connection = open()?;
            let done = runtime.block_on(engine::checkpoint(&mut connection));
            let fatal = matches!(done, Err(StoreError::Fatal { .. }));
            connection.abandon(fatal);
            done
        }));
    }

    /// How the one that is under way went, once it has; the future may be dropped before. Pending while there is none.
    pub(in crate::store) async fn ended(&mut self) -> Result<(), StoreError> {
        let Some(running) = &mut self.0 else {
            return std::future::pending().await;
        };
        let ended = running.await;
        self.0 = None;
        ended.unwrap_or_else(|_defect| Err(sqlx::Error::WorkerCrashed.into()))
    }
}
