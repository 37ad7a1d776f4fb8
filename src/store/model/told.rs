//! What the model keeps of the audit: denied calls. It has no rows of operations and no chain, for a copy
//! that the same call makes of the same snapshot could only be right; that such rows are in the
//! transaction of their act, once and chained, is held where there are transactions: in
//! tests/failpoints, tests/stores and tests/proof.

use super::{Call, Model};
use crate::domain::audit::{Refused, Suppressed};
use crate::store::error::StoreError;

impl Model {
    /// Every denied call that has a row.
    #[must_use]
    pub fn denied(&self) -> Vec<Refused> {
        self.lock().denied.clone()
    }

    /// How many denied calls are only counted.
    #[must_use]
    pub fn suppressions(&self) -> u64 {
        self.lock().suppressed
    }

    pub(in crate::store) async fn refused(&self, refused: Refused) -> Result<(), StoreError> {
        self.run(Call::Tell, |tables, _| {
            tables.denied.push(refused);
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn suppressed(
        &self,
        suppressed: Vec<Suppressed>,
    ) -> Result<(), StoreError> {
        self.run(Call::Tell, |tables, _| {
            tables.suppressed += suppressed.iter().map(|told| told.calls).sum::<u64>();
            Ok(())
        })
        .await
    }
}
