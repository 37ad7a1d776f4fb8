//! What each write changes in the model's tables.

use super::{Commit, Row, Tables, later};
use crate::chaos;
use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::millis;
use crate::domain::operation::{Lease, Operation, StateName};
use crate::domain::quota::{self, Reservation, Usage};
use crate::store::care::{self, Brake};
use crate::store::error::StoreError;
use crate::store::launched::{self, Launched};
use crate::store::leasing;
use crate::store::owners::Named;
use crate::store::row;
use crate::store::{Admission, Claimed, FIRST_EPOCH, NewOperation, Save, Saved};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use time::UtcDateTime;

impl Tables {
    pub(super) fn admit(
        &mut self,
        new: NewOperation,
        now: UtcDateTime,
    ) -> Result<Admission, StoreError> {
        let operation = &new.operation;
        let lease = Lease {
            operation: operation.id,
            epoch: FIRST_EPOCH,
        };
        let key = (operation.organization.clone(), operation.request_id.clone());
        if let Some(row) = self.requests.get(&key).map(|id| self.operations.get(id)) {
            return Ok(match row {
                // From a try whose commit was in doubt.
                Some(row) if row.operation.id == operation.id => Admission::New(lease),
                Some(row) if row.request_hash == new.request_hash => {
                    Admission::Replayed(Operation::clone(&row.operation))
                }
                Some(row) => Admission::Conflict(row.operation.id),
                None => Admission::Conflict(operation.id),
            });
        }
        let reservation = Reservation::of(operation);
        if let Some(asked) = &reservation {
            let usage = self.usage(&operation.organization);
            let exceeded = chaos::wrong!(
                "limit-ignored",
                usage.exceeded(&new.quotas, asked),
                Vec::new()
            );
            if !exceeded.is_empty() {
                return Ok(Admission::Refused(exceeded));
            }
        }
        if self.operations.contains_key(&operation.id) {
            let source = Arc::new(std::io::Error::other("the id is taken"));
            return Err(StoreError::Refused { source });
        }
        self.requests.insert(key, lease.operation);
        let written = chaos::wrong!("reservation-unwritten", reservation, None);
        self.reservations
            .extend(written.map(|reserved| (lease.operation, reserved)));
        let operation = Arc::new(new.operation);
        for id in launched::given_back(&operation) {
            let machine = self.instances.get_mut(id);
            let own =
                |machine: &&mut Launched| machine.owner.organization == operation.organization;
            if let Some(machine) = machine.filter(own) {
                machine.termination = Some(operation.id);
            }
        }
        self.commits.push(Arc::new(Commit {
            at: now,
            epoch: FIRST_EPOCH,
            operation: Arc::clone(&operation),
            bodies: new.bodies.clone(),
        }));
        let row = Row {
            request_hash: new.request_hash,
            bodies: new.bodies,
            owner: new.owner,
            epoch: FIRST_EPOCH,
            lease_until: later(now, new.lease),
            operation,
            crashes: 0,
        };
        self.operations.insert(lease.operation, row);
        Ok(Admission::New(lease))
    }

    pub(super) fn save(&mut self, save: &Save, now: UtcDateTime) -> Saved {
        let operation = &save.operation;
        let Some(row) = self.operations.get_mut(&operation.id) else {
            return Saved::LeaseLost;
        };
        if row.epoch != save.lease.epoch {
            return Saved::LeaseLost;
        }
        if row.operation.sequence + 1 != operation.sequence {
            // From a try whose commit was in doubt.
            let same = *row.operation == *operation;
            return if same { Saved::Done } else { Saved::LeaseLost };
        }
        let operation = Arc::new(operation.clone());
        row.operation = Arc::clone(&operation);
        if operation.state.name() != StateName::NeedsOperator {
            row.crashes = 0;
        }
        if operation.state.name().is_final() {
            row.bodies.clear();
        }
        self.commits.push(Arc::new(Commit {
            at: now,
            epoch: row.epoch,
            operation: Arc::clone(&operation),
            bodies: Vec::new(),
        }));
        if let Some(attempt) = operation.attempts.last().filter(|_| save.attempt) {
            let key = (operation.id, attempt.number);
            self.attempts.insert(key, attempt.clone());
        }
        if care::goes_on(&operation) {
            self.finish_release(operation.id);
        }
        if let Some(reason) = care::brake(&operation) {
            let brake = Brake {
                account: operation.account.clone(),
                operation: operation.id,
                reason,
            };
            self.brakes.entry(operation.id).or_insert(brake);
        }
        for named in Named::all(&operation) {
            let launched = named.launched();
            self.instances.entry(named.instance).or_insert(launched);
        }
        self.settle(&operation);
        Saved::Done
    }

    /// What the launches of an organisation hold.
    pub(super) fn usage(&self, organization: &OrganizationId) -> Usage {
        let mut usage = Usage::default();
        for (id, reservation) in &self.reservations {
            let row = self.operations.get(id);
            if row.is_some_and(|row| row.operation.organization == *organization) {
                usage.add(reservation);
            }
        }
        usage
    }

    fn settle(&mut self, operation: &Operation) {
        let mut changed = BTreeSet::new();
        let ended = Reservation::of(operation).filter(|reserved| !reserved.open);
        if let Some(ended) = chaos::wrong!("reservation-kept", ended, None) {
            self.reservations.insert(operation.id, ended);
            changed.insert(operation.id);
        }
        for id in quota::gone(operation) {
            if let Some(machine) = self.instances.get(id) {
                self.gone.entry(id.clone()).or_insert(operation.update_time);
                changed.insert(machine.owner.operation);
            }
        }
        for id in changed {
            self.recount(id);
        }
    }

    /// Counts the machines of a launch that has come to its end.
    pub(super) fn recount(&mut self, operation: OperationId) {
        let launched = self.instances.values();
        let launched = launched.filter(|machine| machine.owner.operation == operation);
        let is_gone = |machine: &&Launched| self.gone.contains_key(&machine.owner.instance);
        let living = launched.clone().filter(|machine| !is_gone(machine)).count();
        let taken_off = chaos::wrong!(
            "reservation-freed-twice",
            0,
            launched.filter(is_gone).count()
        );
        let living = row::bigint(living).saturating_sub(row::bigint(taken_off));
        let reserved = self.reservations.get_mut(&operation);
        if let Some(reserved) = reserved.filter(|reserved| !reserved.open) {
            reserved.instances = living;
        }
    }

    pub(super) fn claim(
        &mut self,
        owner: &str,
        now: UtcDateTime,
        ttl: Duration,
        crashes: &RangeInclusive<u32>,
        limit: u32,
    ) -> Vec<Claimed> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let ended = millis::from_time(now);
        let longest = leasing::longest(row::bigint(ttl.as_millis()));
        let late = ended.saturating_add(longest);
        let free = self.operations.values_mut().filter(|row| {
            (row.lease_until <= ended || row.lease_until > late)
                && !row.operation.state.name().is_at_rest()
                && crashes.contains(&row.crashed())
        });
        let mut due: Vec<&mut Row> = free.collect();
        due.sort_by_key(|row| (row.lease_until, row.operation.id));
        let claim = |row: &mut Row| {
            owner.clone_into(&mut row.owner);
            row.epoch += 1;
            row.crashes = row.crashed();
            row.lease_until = later(now, ttl);
            let lease = Lease {
                operation: row.operation.id,
                epoch: row.epoch,
            };
            Claimed {
                lease,
                operation: Operation::clone(&row.operation),
                crashes: row.crashes,
            }
        };
        let mut claimed: Vec<_> = due.into_iter().take(limit).map(claim).collect();
        claimed.sort_by_key(|claimed| claimed.lease.operation);
        claimed
    }
}
