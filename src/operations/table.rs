//! The operations that this replica holds a lease on, each with its newest snapshot.

use super::newest::{Newest, Reader};
use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::operation::{Cancellation, Lease, Operation, StateName};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::UtcDateTime;

/// What is in hand. A snapshot is a latest-value cell: writing it never waits for its readers.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<Hands>);

#[derive(Debug, Default)]
struct Hands {
    held: BTreeMap<OperationId, Held>,
    /// How many of them each organisation has, for which there was one: as many as the configuration names.
    by_organization: BTreeMap<OrganizationId, usize>,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    /// Until when the lease surely lasts.
    leased_until: UtcDateTime,
    newest: Newest,
    /// A step is under way, and there must be no second one.
    stepping: bool,
    /// Processes that died with it, as the journal counts them until a step is completed.
    crashes: u32,
    /// That the caller no longer wants it, until a step has taken that in.
    cancellation: Option<Cancellation>,
}

impl Table {
    /// Takes an operation in hand, for so long; it replaces what was there under an older lease.
    pub(super) fn hold(&self, lease: Lease, leased_until: UtcDateTime, operation: Arc<Operation>) {
        let mut hands = self.lock();
        let newer = hands
            .held
            .get(&lease.operation)
            .is_some_and(|held| held.lease.epoch >= lease.epoch);
        if !newer {
            let held_anew = Held {
                lease,
                leased_until,
                newest: Newest::new(operation),
                stepping: false,
                crashes: 0,
                cancellation: None,
            };
            hands.insert(lease.operation, held_anew);
        }
    }

    /// Marks an operation as one that processes died with.
    pub(super) fn suspect(&self, lease: Lease, crashes: u32) {
        let mut hands = self.lock();
        let held = hands.held.get_mut(&lease.operation);
        if let Some(held) = held.filter(|held| held.lease == lease) {
            held.crashes = crashes;
        }
    }

    /// How many processes died with the operation since a step of it was completed.
    pub(super) fn crashes(&self, lease: Lease) -> u32 {
        let hands = self.lock();
        let held = hands.held.get(&lease.operation);
        held.filter(|held| held.lease == lease)
            .map_or(0, |held| held.crashes)
    }

    /// Takes the mark away: a step was completed.
    pub(super) fn clear(&self, lease: Lease) {
        self.suspect(lease, 0);
    }

    /// Marks an operation as being stepped; nothing when it is not in hand, or marked already.
    pub(super) fn begin_step(&self, id: OperationId) -> Option<(Lease, Arc<Operation>)> {
        let mut hands = self.lock();
        let held = hands.held.get_mut(&id).filter(|held| !held.stepping)?;
        held.stepping = true;
        Some((held.lease, held.newest.get()))
    }

    /// Takes the mark away, if it is this lease's.
    pub(super) fn end_step(&self, lease: Lease) {
        let mut hands = self.lock();
        if let Some(held) = hands
            .held
            .get_mut(&lease.operation)
            .filter(|held| held.lease == lease)
        {
            held.stepping = false;
        }
    }

    /// Leaves a cancellation for the next step; whether the operation is in hand.
    pub(super) fn tell(&self, id: OperationId, cancellation: Cancellation) -> bool {
        let mut hands = self.lock();
        let Some(held) = hands.held.get_mut(&id) else {
            return false;
        };
        held.cancellation = Some(cancellation);
        true
    }

    /// The cancellation that a step of `operation` must take in now, if there is one. What was sent
    /// is answered first.
    pub(super) fn cancellation(&self, operation: &Operation) -> Option<Cancellation> {
        let state = operation.state.name();
        if operation.cancellation.is_some() || state == StateName::Sent || state.is_at_rest() {
            return None;
        }
        let hands = self.lock();
        hands.held.get(&operation.id)?.cancellation.clone()
    }

    /// The lease and the newest snapshot.
    pub(super) fn get(&self, id: OperationId) -> Option<(Lease, Arc<Operation>)> {
        let hands = self.lock();
        let held = hands.held.get(&id)?;
        Some((held.lease, held.newest.get()))
    }

    /// The cell that the newest snapshot is in.
    pub(super) fn subscribe(&self, id: OperationId) -> Option<Reader> {
        let hands = self.lock();
        hands.held.get(&id).map(|held| held.newest.subscribe())
    }

    /// Shows a newer snapshot to who watches. The last one lets go of the operation at once, so
    /// that nobody who saw it end finds it still counted.
    pub(super) fn publish(&self, operation: Arc<Operation>) {
        let mut hands = self.lock();
        let (id, at_rest) = (operation.id, operation.state.name().is_at_rest());
        if let Some(held) = hands.held.get(&id) {
            held.newest.publish(operation);
        }
        if at_rest {
            hands.remove(id);
        }
    }

    /// Lets go of an operation, unless it is in hand under another lease by now.
    pub(super) fn let_go(&self, lease: Lease) {
        let mut hands = self.lock();
        if hands
            .held
            .get(&lease.operation)
            .is_some_and(|held| held.lease == lease)
        {
            hands.remove(lease.operation);
        }
    }

    /// Leases of what is still in hand were prolonged.
    pub(super) fn prolong(&self, ids: &[OperationId], leased_until: UtcDateTime) {
        let mut hands = self.lock();
        for id in ids {
            if let Some(held) = hands.held.get_mut(id) {
                held.leased_until = leased_until;
            }
        }
    }

    /// Until when a lease surely lasts; nothing when it is in hand no more.
    pub(super) fn leased_until(&self, lease: Lease) -> Option<UtcDateTime> {
        let hands = self.lock();
        let held = hands.held.get(&lease.operation);
        held.filter(|held| held.lease == lease)
            .map(|held| held.leased_until)
    }

    /// Until when all that is in hand is surely leased; nothing when nothing is.
    pub(super) fn all_leased_until(&self) -> Option<UtcDateTime> {
        let hands = self.lock();
        hands.held.values().map(|held| held.leased_until).min()
    }

    /// What is in hand.
    pub(super) fn ids(&self) -> Vec<OperationId> {
        self.lock().held.keys().copied().collect()
    }

    /// How many are in hand.
    pub(super) fn len(&self) -> usize {
        self.lock().held.len()
    }

    /// How many of an organisation are in hand.
    pub(super) fn len_of(&self, organization: &OrganizationId) -> usize {
        let hands = self.lock();
        hands
            .by_organization
            .get(organization)
            .copied()
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Hands> {
        // Every change is a single call on it, so a panic elsewhere cannot leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hands {
    fn insert(&mut self, id: OperationId, new: Held) {
        let organization = new.newest.get().organization.clone();
        if self.held.insert(id, new).is_none() {
            *self.by_organization.entry(organization).or_default() += 1;
        }
    }

    fn remove(&mut self, id: OperationId) {
        let gone = self.held.remove(&id).map(|held| held.newest.get());
        let left = gone.and_then(|gone| self.by_organization.get_mut(&gone.organization));
        if let Some(left) = left {
            *left -= 1;
        }
    }
}
