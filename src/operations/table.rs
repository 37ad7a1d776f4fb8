//! The operations that this replica holds a lease on, each with its newest snapshot.

use super::newest::{Newest, Reader};
use crate::domain::ids::OperationId;
use crate::domain::operation::{Cancellation, Lease, Operation, StateName};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is in hand. A snapshot is a latest-value cell: writing it never waits for its readers.
#[derive(Debug, Default)]
pub(super) struct Table {
    held: Mutex<BTreeMap<OperationId, Held>>,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    newest: Newest,
    /// A step is under way, and there must be no second one.
    stepping: bool,
    /// Processes that died with it, as the journal counts them until a step is completed.
    crashes: u32,
    /// That the caller no longer wants it, until a step has taken that in.
    cancellation: Option<Cancellation>,
}

impl Table {
    /// Takes an operation in hand; it replaces what was there under an older lease.
    pub(super) fn hold(&self, lease: Lease, operation: Arc<Operation>) {
        let mut held = self.lock();
        let newer = held
            .get(&lease.operation)
            .is_some_and(|held| held.lease.epoch >= lease.epoch);
        if !newer {
            let held_anew = Held {
                lease,
                newest: Newest::new(operation),
                stepping: false,
                crashes: 0,
                cancellation: None,
            };
            held.insert(lease.operation, held_anew);
        }
    }

    /// Marks an operation as one that processes died with.
    pub(super) fn suspect(&self, lease: Lease, crashes: u32) {
        let mut held = self.lock();
        let held = held.get_mut(&lease.operation);
        if let Some(held) = held.filter(|held| held.lease == lease) {
            held.crashes = crashes;
        }
    }

    /// How many processes died with the operation since a step of it was completed.
    pub(super) fn crashes(&self, lease: Lease) -> u32 {
        let held = self.lock();
        let held = held.get(&lease.operation);
        held.filter(|held| held.lease == lease)
            .map_or(0, |held| held.crashes)
    }

    /// Takes the mark away: a step was completed.
    pub(super) fn clear(&self, lease: Lease) {
        self.suspect(lease, 0);
    }

    /// Marks an operation as being stepped; nothing when it is not in hand, or marked already.
    pub(super) fn begin_step(&self, id: OperationId) -> Option<(Lease, Arc<Operation>)> {
        let mut held = self.lock();
        let held = held.get_mut(&id).filter(|held| !held.stepping)?;
        held.stepping = true;
        Some((held.lease, held.newest.get()))
    }

    /// Takes the mark away, if it is this lease's.
    pub(super) fn end_step(&self, lease: Lease) {
        let mut held = self.lock();
        if let Some(held) = held
            .get_mut(&lease.operation)
            .filter(|held| held.lease == lease)
        {
            held.stepping = false;
        }
    }

    /// Leaves a cancellation for the next step; whether the operation is in hand.
    pub(super) fn tell(&self, id: OperationId, cancellation: Cancellation) -> bool {
        let mut held = self.lock();
        let Some(held) = held.get_mut(&id) else {
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
        let held = self.lock();
        held.get(&operation.id)?.cancellation.clone()
    }

    /// The lease and the newest snapshot.
    pub(super) fn get(&self, id: OperationId) -> Option<(Lease, Arc<Operation>)> {
        let held = self.lock();
        let held = held.get(&id)?;
        Some((held.lease, held.newest.get()))
    }

    /// The cell that the newest snapshot is in.
    pub(super) fn subscribe(&self, id: OperationId) -> Option<Reader> {
        self.lock().get(&id).map(|held| held.newest.subscribe())
    }

    /// Shows a newer snapshot to who watches. The last one lets go of the operation at once, so
    /// that nobody who saw it end finds it still counted.
    pub(super) fn publish(&self, operation: Arc<Operation>) {
        let mut held = self.lock();
        let (id, at_rest) = (operation.id, operation.state.name().is_at_rest());
        if let Some(held) = held.get(&id) {
            held.newest.publish(operation);
        }
        if at_rest {
            held.remove(&id);
        }
    }

    /// Lets go of an operation, unless it is in hand under another lease by now.
    pub(super) fn let_go(&self, lease: Lease) {
        let mut held = self.lock();
        if held
            .get(&lease.operation)
            .is_some_and(|held| held.lease == lease)
        {
            held.remove(&lease.operation);
        }
    }

    /// What is in hand.
    pub(super) fn ids(&self) -> Vec<OperationId> {
        self.lock().keys().copied().collect()
    }

    /// How many are in hand.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OperationId, Held>> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
