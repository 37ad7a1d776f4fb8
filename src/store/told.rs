//! Rows of the audit that belong to no other write: of what was denied.

use crate::chaos;
use crate::domain::audit::{Refused, Suppressed};
use crate::store::audit::Entry;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::leasing::Leasing;
use crate::store::{Engine, Store, either};

impl Store {
    /// Writes into the audit that a call was denied.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn refused(&self, refused: Refused) -> Result<(), StoreError> {
        either!(self, engine => engine.refused(refused).await)
    }

    /// Writes into the audit how many denied calls have no row in it.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn suppressed(&self, suppressed: Vec<Suppressed>) -> Result<(), StoreError> {
        either!(self, engine => engine.suppressed(suppressed).await)
    }
}

impl Database {
    async fn refused(&self, refused: Refused) -> Result<(), StoreError> {
        self.tell(vec![Entry::refused(refused)]).await
    }

    async fn suppressed(&self, suppressed: Vec<Suppressed>) -> Result<(), StoreError> {
        let entries = suppressed.into_iter().map(Entry::suppressed);
        self.tell(entries.collect()).await
    }

    async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let entries = chaos::wrong!("denial-untold", entries, Vec::new());
        let told = self.lease(Leasing::Tell(entries)).await;
        told.map(drop)
    }
}
