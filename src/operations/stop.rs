//! Whether new launches are taken, and how a process lets go of what it has in hand.

use super::{OperationError, Operations};
use crate::chaos;
use crate::domain::causes::chain;

impl Operations {
    /// Whether new launches are taken.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), OperationError> {
        if self.0.stop.is_cancelled() {
            return Err(OperationError::Stopping);
        }
        Ok(self.0.store.ping().await?)
    }

    /// Returns when the journal's disk failed, with why: the process must end.
    pub async fn failed(&self) -> String {
        let mut fatal = self.0.fatal.subscribe();
        let reason = fatal.wait_for(Option::is_some).await;
        reason
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or_default()
    }

    /// Begins to stop: no new launch, no new attempt; watches end.
    pub fn begin_stop(&self) {
        self.0.stop.cancel();
    }

    /// Waits for the calls under way to be recorded, then gives the leases back.
    pub async fn stopped(&self) {
        self.begin_stop();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        let (inner, now) = (&self.0, self.0.wall.now());
        let every = inner.settings.lease;
        let released = inner.store.release(&inner.owner, &[], now, every);
        if let Err(error) =
            chaos::around!("lease.release", released, else Err(crate::store::StoreError::Busy))
        {
            let error = chain(&error, ": ");
            tracing::warn!(
                error,
                "the leases could not be given back; they run out by themselves"
            );
        }
    }
}
