//! What a person must see to: accounts whose launches are stopped, and operations that are released.

use super::machine::Outcome;
use super::{Inner, OperationError};
use crate::chaos;
use crate::domain::names::AccountName;
use crate::domain::operation::{Operation, State};
use crate::store::{Release, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How often a launch that waits for its account looks whether it may go on.
pub(super) const BRAKED_INTERVAL: Duration = Duration::from_secs(1);

impl Inner {
    /// Takes over which accounts are stopped, from whichever replica found out.
    pub(super) async fn read_brakes(&self) -> Result<(), StoreError> {
        let brakes = self.store.brakes().await?;
        let mut stopped: BTreeMap<&str, i64> = BTreeMap::new();
        for brake in &brakes {
            *stopped.entry(brake.account.as_str()).or_default() += 1;
        }
        self.metrics.operations.stopped(&stopped);
        *self.brakes.lock().unwrap_or_else(PoisonError::into_inner) = Some(brakes);
        Ok(())
    }

    /// Why nothing new may be launched on an account.
    pub(super) fn brake(&self, account: &AccountName) -> Option<OperationError> {
        let brakes = self.brakes.lock().unwrap_or_else(PoisonError::into_inner);
        let brake = brakes.iter().flatten();
        let brake = brake.into_iter().find(|brake| brake.account == *account)?;
        Some(OperationError::Braked {
            account: brake.account.clone(),
            operation: brake.operation,
            reason: brake.reason.clone(),
        })
    }

    /// Whether an operation that was never sent must wait: for its account, or because the journal
    /// was not asked yet.
    pub(super) fn must_wait(&self, operation: &Operation) -> bool {
        let unknown = self
            .brakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none();
        let unsent = operation.state == State::Accepted;
        unsent && (unknown || self.brake(&operation.account).is_some())
    }

    /// Lets operations go on that a person released.
    pub(super) async fn release_all(&self) -> Result<(), StoreError> {
        for release in self.store.releases().await? {
            self.release(&release).await?;
        }
        Ok(())
    }

    pub(super) async fn release(&self, release: &Release) -> Result<(), StoreError> {
        let (now, lease) = (self.wall.now(), self.settings.lease);
        let taken = self.store.take_released(release, &self.owner, now, lease);
        let taken = chaos::around!("release.take", taken, else Err(StoreError::Busy));
        let Some(claimed) = self.heard(taken)? else {
            return Ok(());
        };
        let leased_until = now + lease;
        let (lease, id) = (claimed.lease, release.operation);
        let outcome = Outcome::Released {
            by: release.principal.clone(),
            why: release.reason.clone(),
        };
        self.table
            .hold(lease, leased_until, Arc::new(claimed.operation.clone()));
        if self
            .record(lease, &claimed.operation, outcome)
            .await
            .is_none()
        {
            self.table.let_go(lease);
            return Ok(());
        }
        tracing::warn!(
            operation = %id, by = release.principal, reason = release.reason,
            "operation {id} goes on, as a person released it"
        );
        self.begin_steps(&[id]).await?;
        self.read_brakes().await
    }
}
