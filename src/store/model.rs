//! The journal as plain rows in memory, under a weather of faults: for simulations, which need it
//! fast, repeatable, and shared by replicas that crash. It keeps the contract of tests/it/store.rs.

mod care;
mod orders;
mod presence;
mod tables;
mod told;

use crate::domain::audit::Refused;
use crate::domain::ids::{OperationId, OrganizationId, RequestId};
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::operation::{Attempt, Lease, Operation, StateName};
use crate::domain::quota::{Reservation, Usage};
use crate::store::care::{Brake, Release};
use crate::store::error::StoreError;
use crate::store::group::done_with_later;
use crate::store::launched::{Launched, LaunchedPage};
use crate::store::orders::Order;
use crate::store::owners::Owner;
use crate::store::{Admission, Claimed, Listed, NewOperation, Renewal, Save, Saved, SealedBody};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;

/// The time that leases are measured by.
pub type Now = Arc<dyn Fn() -> UtcDateTime + Send + Sync>;

/// What the way to the journal is like: how long a call takes before and after it is done, and
/// whether it fails. A write that fails [`Moment::After`] is in the journal all the same.
pub type Weather =
    Arc<dyn Fn(Call, Moment) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>;

/// The calls of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    Admit,
    Usage,
    Save,
    Claim,
    Calm,
    Brakes,
    Releases,
    TakeReleased,
    Renew,
    Release,
    Get,
    Find,
    Body,
    List,
    Counts,
    Owners,
    Known,
    Launched,
    Adopt,
    Living,
    LivingPlaces,
    ThoughtGone,
    See,
    Order,
    Orders,
    Fulfilled,
    Tell,
    Ping,
}

/// When in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Nothing is done yet.
    Before,
    /// It is done, and the answer is on its way.
    After,
}

/// A snapshot as it became durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// By the journal's time.
    pub at: UtcDateTime,
    /// Of the lease that it was written under.
    pub epoch: u64,
    pub operation: Arc<Operation>,
    /// Of a new operation.
    pub bodies: Vec<SealedBody>,
}

/// The journal in memory. Clones share it and its weather.
#[derive(Clone)]
pub struct Model {
    tables: Arc<Mutex<Tables>>,
    now: Now,
    weather: Weather,
    closed: Arc<AtomicBool>,
}

#[derive(Default)]
struct Tables {
    operations: BTreeMap<OperationId, Row>,
    requests: BTreeMap<(OrganizationId, RequestId), OperationId>,
    attempts: BTreeMap<(OperationId, u32), Attempt>,
    instances: BTreeMap<InstanceId, Launched>,
    reservations: BTreeMap<OperationId, Reservation>,
    /// The machines that are gone, since when.
    gone: BTreeMap<InstanceId, UtcDateTime>,
    orders: BTreeMap<OperationId, Order>,
    brakes: BTreeMap<OperationId, Brake>,
    releases: BTreeMap<OperationId, Release>,
    denied: Vec<Refused>,
    suppressed: u64,
    commits: Vec<Arc<Commit>>,
}

struct Row {
    operation: Arc<Operation>,
    request_hash: [u8; 32],
    bodies: Vec<SealedBody>,
    owner: String,
    epoch: u64,
    /// Milliseconds, as the databases keep it.
    lease_until: i64,
    crashes: u32,
}

impl Row {
    /// Its crashes once it is claimed.
    fn crashed(&self) -> u32 {
        self.crashes + u32::from(self.lease_until > 0)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").finish_non_exhaustive()
    }
}

impl Model {
    /// An empty journal in good weather.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self {
            tables: Arc::default(),
            now,
            weather: Arc::new(|_, _| Box::pin(std::future::ready(Ok(())))),
            closed: Arc::default(),
        }
    }

    /// Another way to the same journal.
    #[must_use]
    pub fn under(&self, weather: Weather) -> Self {
        Self {
            weather,
            ..self.reopened()
        }
    }

    /// The same journal, open again after it was closed.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self {
            closed: Arc::default(),
            ..self.clone()
        }
    }

    /// Every snapshot that ever became durable, in order.
    #[must_use]
    pub fn commits(&self) -> Vec<Arc<Commit>> {
        self.lock().commits.clone()
    }

    /// Every attempt, by operation and number.
    #[must_use]
    pub fn attempts(&self) -> Vec<(OperationId, Attempt)> {
        let tables = self.lock();
        let attempts = tables.attempts.iter();
        attempts
            .map(|((id, _), attempt)| (*id, attempt.clone()))
            .collect()
    }

    /// What every launch holds of the limits of its organisation.
    #[must_use]
    pub fn reservations(&self) -> BTreeMap<OperationId, Reservation> {
        self.lock().reservations.clone()
    }

    /// Every attempt of an operation, by number.
    #[must_use]
    pub fn attempts_of(&self, id: OperationId) -> Vec<Attempt> {
        let tables = self.lock();
        let own = tables.attempts.range((id, 0)..=(id, u32::MAX));
        own.map(|(_, attempt)| attempt.clone()).collect()
    }

    pub(in crate::store) async fn admit(&self, new: NewOperation) -> Result<Admission, StoreError> {
        self.run(Call::Admit, |tables, now| tables.admit(new, now))
            .await
    }

    pub(in crate::store) async fn usage(
        &self,
        organization: &OrganizationId,
        _now: i64,
    ) -> Result<Usage, StoreError> {
        self.run(Call::Usage, |tables, _| Ok(tables.usage(organization)))
            .await
    }

    pub(in crate::store) async fn save(&self, saves: &[Save]) -> Result<Vec<Saved>, StoreError> {
        self.run(Call::Save, |tables, now| {
            let saved = saves.iter().map(|save| tables.save(save, now));
            let mut saved: Vec<_> = saved.collect();
            done_with_later(saves.iter().map(|save| save.operation.id), &mut saved);
            Ok(saved)
        })
        .await
    }

    pub(in crate::store) async fn claim(
        &self,
        owner: &str,
        _now: UtcDateTime,
        ttl: Duration,
        crashes: RangeInclusive<u32>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.run(Call::Claim, |tables, now| {
            Ok(tables.claim(owner, now, ttl, &crashes, limit))
        })
        .await
    }

    pub(in crate::store) async fn calm(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.run(Call::Calm, |tables, _| {
            for lease in leases {
                let row = tables.operations.get_mut(&lease.operation);
                if let Some(row) = row.filter(|row| row.epoch == lease.epoch) {
                    row.crashes = 0;
                }
            }
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn renew(
        &self,
        owner: &str,
        held: &[OperationId],
        _now: UtcDateTime,
        ttl: Duration,
    ) -> Result<Renewal, StoreError> {
        self.run(Call::Renew, |tables, now| {
            let mut renewal = Renewal::default();
            for id in held {
                match tables.operations.get_mut(id) {
                    Some(row) if row.owner == owner => {
                        row.lease_until = later(now, ttl);
                        renewal.prolonged.push(*id);
                    }
                    Some(_) | None => renewal.lost.push(*id),
                }
            }
            Ok(renewal)
        })
        .await
    }

    pub(in crate::store) async fn release(
        &self,
        owner: &str,
        held: &[OperationId],
        _now: UtcDateTime,
        within: Duration,
    ) -> Result<usize, StoreError> {
        self.run(Call::Release, |tables, now| {
            let soon = 1..=later(now, within);
            let mut released = 0;
            for (id, row) in &mut tables.operations {
                let open = !row.operation.state.name().is_at_rest();
                let owned = row.owner == owner && soon.contains(&row.lease_until);
                if owned && open && !held.contains(id) {
                    row.lease_until = 0;
                    released += 1;
                }
            }
            Ok(released)
        })
        .await
    }

    pub(in crate::store) async fn get(
        &self,
        organization: &OrganizationId,
        id: OperationId,
    ) -> Result<Option<Operation>, StoreError> {
        self.run(Call::Get, |tables, _| {
            let row = tables.operations.get(&id);
            let operation = row.map(|row| &row.operation);
            let own = operation.filter(|operation| operation.organization == *organization);
            Ok(own.map(|own| Operation::clone(own)))
        })
        .await
    }

    pub(in crate::store) async fn find(
        &self,
        organization: &OrganizationId,
        request_id: &RequestId,
        request_hash: &[u8; 32],
    ) -> Result<Option<Operation>, StoreError> {
        let key = (organization.clone(), request_id.clone());
        self.run(Call::Find, |tables, _| {
            let id = tables.requests.get(&key);
            let row = id.and_then(|id| tables.operations.get(id));
            let same = row.filter(|row| row.request_hash == *request_hash);
            Ok(same.map(|row| Operation::clone(&row.operation)))
        })
        .await
    }

    pub(in crate::store) async fn body(
        &self,
        id: OperationId,
        alternative: u32,
    ) -> Result<Option<SealedBody>, StoreError> {
        let index = usize::try_from(alternative).unwrap_or(usize::MAX);
        self.run(Call::Body, |tables, _| {
            let row = tables.operations.get(&id);
            Ok(row.and_then(|row| row.bodies.get(index).cloned()))
        })
        .await
    }

    pub(in crate::store) async fn list(
        &self,
        organization: &OrganizationId,
        filter: &[StateName],
        before: Option<OperationId>,
        limit: u32,
    ) -> Result<Listed, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.run(Call::List, |tables, _| {
            let newest_first = tables.operations.values().rev();
            let listed = newest_first.map(|row| &row.operation).filter(|operation| {
                operation.organization == *organization
                    && before.is_none_or(|before| operation.id < before)
                    && (filter.is_empty() || filter.contains(&operation.state.name()))
            });
            let listed = listed.take(limit).map(|listed| Operation::clone(listed));
            let operations: Vec<_> = listed.collect();
            let last = operations.last().filter(|_| operations.len() == limit);
            Ok(Listed {
                looked_to: last.map(|last| last.id),
                operations,
            })
        })
        .await
    }

    pub(in crate::store) async fn counts(
        &self,
        states: &[StateName],
    ) -> Result<Vec<(StateName, i64)>, StoreError> {
        self.run(Call::Counts, |tables, _| {
            let of = |name: &StateName| {
                let rows = tables.operations.values();
                rows.filter(|row| row.operation.state.name() == *name)
                    .count()
            };
            let count = |name: &StateName| (*name, i64::try_from(of(name)).unwrap_or(i64::MAX));
            Ok(states.iter().map(count).collect())
        })
        .await
    }

    pub(in crate::store) async fn owners(
        &self,
        machines: &[InstanceId],
    ) -> Result<Vec<Owner>, StoreError> {
        self.run(Call::Owners, |tables, _| {
            let launched = machines.iter().filter_map(|id| tables.instances.get(id));
            Ok(launched.map(|launched| launched.owner.clone()).collect())
        })
        .await
    }

    pub(in crate::store) async fn launched(
        &self,
        page: &LaunchedPage,
    ) -> Result<Vec<Launched>, StoreError> {
        self.run(Call::Launched, |tables, _| {
            let machines = tables.instances.values();
            let mut listed: Vec<_> = machines.filter(|machine| page.wants(machine)).collect();
            listed.sort_by_key(|machine| (machine.create_time, &machine.owner.instance));
            let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
            Ok(listed.into_iter().rev().take(limit).cloned().collect())
        })
        .await
    }

    pub(in crate::store) async fn known(
        &self,
        operations: &[OperationId],
    ) -> Result<BTreeMap<OperationId, Option<Operation>>, StoreError> {
        self.run(Call::Known, |tables, _| {
            let row = |id: &OperationId| {
                let row = tables.operations.get(id)?;
                Some((*id, Some(Operation::clone(&row.operation))))
            };
            Ok(operations.iter().filter_map(row).collect())
        })
        .await
    }

    pub(in crate::store) async fn ping(&self) -> Result<(), StoreError> {
        self.run(Call::Ping, |_, _| Ok(())).await
    }

    /// Memory does not fail.
    pub(in crate::store) async fn failed(&self) -> StoreError {
        std::future::pending().await
    }

    pub(in crate::store) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Does one call in its weather.
    async fn run<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut Tables, UtcDateTime) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(StoreError::Closed);
        }
        (self.weather)(call, Moment::Before).await?;
        let done = act(&mut self.lock(), (self.now)())?;
        (self.weather)(call, Moment::After).await?;
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `now` and `ttl` later, in milliseconds.
fn later(now: UtcDateTime, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    millis::from_time(now).saturating_add(ttl)
}
