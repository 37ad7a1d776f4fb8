//! How this replica and its accounts stand, for a person.

use super::Operations;
use crate::domain::standing::{Budget, KeyStanding, SoldOut};
use std::sync::PoisonError;
use time::UtcDateTime;

/// This process among those that share the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name in leases.
    pub owner: String,
    /// How many operations it has in hand, and may have.
    pub held: usize,
    pub held_max: usize,
    /// Until when all its leases are good; nothing when it has none.
    pub leased_until: Option<UtcDateTime>,
}

impl Operations {
    /// This process.
    #[must_use]
    pub fn replica(&self) -> Replica {
        let inner = &self.0;
        Replica {
            owner: inner.owner.clone(),
            held: inner.table.len(),
            held_max: inner.settings.open_operations_max,
            leased_until: inner.table.all_leased_until(),
        }
    }

    /// The keys of the accounts.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyStanding> {
        self.0.cloud.keys()
    }

    /// What is left of the rates of the cloud's calls, by account, host and action.
    #[must_use]
    pub fn budgets(&self) -> Vec<Budget> {
        self.0.limiter.budgets()
    }

    /// What is known to be sold out, by region and place.
    #[must_use]
    pub fn sold_out(&self) -> Vec<SoldOut> {
        let capacity = self.0.capacity.lock();
        let capacity = capacity.unwrap_or_else(PoisonError::into_inner);
        capacity.known(self.0.clock.now())
    }
}
