//! Leases: which operations are this process's to step, and until when.

use super::Inner;
use crate::domain::causes::chain;
use crate::domain::millis::since;
use crate::store::StoreError;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use time::UtcDateTime;

/// Operations taken up with one statement.
const CLAIM: u32 = 500;
/// What must be left of a lease for a call to begin: more than a slow journal write takes.
const MARGIN: Duration = Duration::from_secs(10);

impl Inner {
    /// Renews this process's leases and takes up what nobody holds, three times in a lease's life,
    /// until the gateway stops; then renews once more, so that they outlast the drain.
    pub(super) async fn keep_leases(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let kept = match self.renew().await {
                Ok(()) => self.claim_all().await,
                Err(error) => Err(error),
            };
            self.told_of(kept);
            tokio::select! {
                biased;
                () = self.clock.sleep(self.settings.lease / 3) => {}
                () = self.stop.cancelled() => {}
            }
        }
        let renewed = self.renew().await;
        self.told_of(renewed);
    }

    fn told_of(&self, kept: Result<(), StoreError>) {
        if let Err(error) = kept {
            tracing::warn!(
                error = chain(&error, ": "),
                "the leases could not be renewed"
            );
            if let StoreError::Fatal { .. } = error {
                self.fail(&error);
            }
        }
    }

    /// Whether the leases will last for a call.
    pub(super) fn lease_lasts(&self) -> bool {
        let until = *self
            .leased_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let margin = MARGIN.min(self.settings.lease / 3);
        since(until, self.clock.now()) > margin
    }

    async fn renew(&self) -> Result<(), StoreError> {
        // Read before the write, so that a slow write makes the lease shorter, never longer.
        let now = self.clock.now();
        let held = self.table.ids();
        let lost = self
            .store
            .renew(&self.owner, &held, now, self.settings.lease)
            .await?;
        for id in lost {
            if let Some((lease, _)) = self.table.get(id) {
                tracing::warn!(operation = %id, "another process owns operation {id} by now");
                self.table.let_go(lease);
            }
        }
        self.set_leased_until(now + self.settings.lease);
        Ok(())
    }

    async fn claim_all(&self) -> Result<(), StoreError> {
        while self.claim().await? == CLAIM {}
        Ok(())
    }

    /// Takes up operations that nobody holds; how many.
    async fn claim(&self) -> Result<u32, StoreError> {
        let now = self.clock.now();
        let claimed = self
            .store
            .claim(&self.owner, now, self.settings.lease, CLAIM)
            .await?;
        let count = u32::try_from(claimed.len()).unwrap_or(CLAIM);
        for (lease, operation) in claimed {
            tracing::info!(
                operation = %operation.id, request_id = %operation.request_id, epoch = lease.epoch,
                state = operation.state.name().as_str(), "operation {} taken up", operation.id
            );
            let id = operation.id;
            self.polled.remove(id);
            self.table.hold(lease, Arc::new(operation));
            self.due.push(now, id);
        }
        Ok(count)
    }

    fn set_leased_until(&self, until: UtcDateTime) {
        *self
            .leased_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = until;
    }
}
