//! What a person must see to, and whose machines are that were found, as the model keeps it.

use super::{Call, Model, Tables, later};
use crate::domain::ids::OperationId;
use crate::domain::instance::InstanceId;
use crate::domain::operation::{Lease, Operation, StateName};
use crate::store::care::{Brake, Release};
use crate::store::error::StoreError;
use crate::store::{Adoption, Claimed};
use std::collections::btree_map::Entry;
use std::time::Duration;
use time::UtcDateTime;

impl Model {
    /// A person wants an operation to go on; nothing when one does already.
    pub fn release_by_hand(&self, release: Release) {
        let mut tables = self.lock();
        tables.releases.entry(release.operation).or_insert(release);
    }

    pub(in crate::store) async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        self.run(Call::Brakes, |tables, _| {
            Ok(tables.brakes.values().cloned().collect())
        })
        .await
    }

    pub(in crate::store) async fn releases(&self) -> Result<Vec<Release>, StoreError> {
        self.run(Call::Releases, |tables, _| {
            Ok(tables.releases.values().cloned().collect())
        })
        .await
    }

    pub(in crate::store) async fn take_released(
        &self,
        release: &Release,
        owner: &str,
        _now: UtcDateTime,
        ttl: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        self.run(Call::TakeReleased, |tables, now| {
            Ok(tables.take_released(release, owner, now, ttl))
        })
        .await
    }
}

impl Model {
    pub(in crate::store) async fn adopt(
        &self,
        adoption: &Adoption,
    ) -> Result<Vec<InstanceId>, StoreError> {
        self.run(Call::Adopt, |tables, _| Ok(tables.adopt(adoption)))
            .await
    }
}

impl Tables {
    fn adopt(&mut self, adoption: &Adoption) -> Vec<InstanceId> {
        let row = self.operations.get(&adoption.operation);
        let Some(row) = row.filter(|row| adoption.suits(&row.operation)) else {
            return Vec::new();
        };
        let mut adopted = Vec::new();
        for named in adoption.named(&row.operation) {
            if let Entry::Vacant(vacant) = self.instances.entry(named.instance.clone()) {
                vacant.insert(named.launched());
                adopted.push(named.instance);
            }
        }
        self.recount(adoption.operation);
        adopted
    }

    pub(super) fn finish_release(&mut self, id: OperationId) {
        self.releases.remove(&id);
        self.brakes.remove(&id);
    }

    fn take_released(
        &mut self,
        release: &Release,
        owner: &str,
        now: UtcDateTime,
        ttl: Duration,
    ) -> Option<Claimed> {
        let id = release.operation;
        let asked = self.releases.get(&id);
        asked.filter(|asked| asked.time == release.time)?;
        let row = self.operations.get_mut(&id)?;
        row.crashes = 0;
        if row.operation.state.name() != StateName::NeedsOperator {
            self.finish_release(id);
            return None;
        }
        owner.clone_into(&mut row.owner);
        row.epoch += 1;
        row.lease_until = later(now, ttl);
        Some(Claimed {
            lease: Lease {
                operation: id,
                epoch: row.epoch,
            },
            operation: Operation::clone(&row.operation),
            crashes: 0,
        })
    }
}
