//! Whose turn it is to call the cloud: operations wait for it here, outside of any step, so that
//! those that wait keep no step from those that need not.

use super::Inner;
use super::driver::target;
use crate::cloud::Target;
use crate::cloud::limiter::{Action, Class, Permit, Turn};
use crate::domain::ids::OperationId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The operations that wait for a turn, and those whose turn has come and who have not taken it.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<OperationId, Option<Turn>>>);

impl Turns {
    /// The turn that has come for an operation.
    pub(super) fn take(&self, id: OperationId) -> Option<Turn> {
        let mut turns = self.lock();
        let turn = turns.get_mut(&id)?.take()?;
        turns.remove(&id);
        Some(turn)
    }

    /// Whether the operation is to wait; not when it does already.
    fn wait(&self, id: OperationId) -> bool {
        let mut turns = self.lock();
        let new = !turns.contains_key(&id);
        turns.entry(id).or_insert(None);
        new
    }

    fn come(&self, id: OperationId, turn: Turn) {
        self.lock().insert(id, Some(turn));
    }

    fn give_up(&self, id: OperationId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OperationId, Option<Turn>>> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Steps the operation again when it is its turn to call `action`. Whatever happens to it
    /// meanwhile: the turn is a hint, and the step looks at what the operation is by then.
    pub(super) fn queue(self: &Arc<Self>, id: OperationId, action: Action) {
        let Some((lease, operation)) = self.table.get(id) else {
            return; // another process owns it
        };
        if !self.turns.wait(id) {
            return;
        }
        let class = match action {
            // Alone with the blame when a process dies, it must not be so for long.
            _ if self.table.crashes(lease) > self.unsuspected() => Class::Reconcile,
            Action::RunInstances => Class::Launch(operation.organization.clone()),
            Action::TerminateInstances => Class::Terminate,
            Action::DescribeInstances | Action::DescribeInstancesStatus => Class::Reconcile,
        };
        let (inner, target) = (Arc::clone(self), target(&operation));
        self.tasks.spawn(async move {
            let host = inner.cloud.host(&target);
            let turn = inner.limiter.turn(&target, &host, action, class);
            match inner.stop.run_until_cancelled(turn).await {
                Some(turn) => {
                    inner.turns.come(id, turn);
                    inner.due.push(inner.clock.now(), id);
                }
                None => inner.turns.give_up(id), // the next process goes on
            }
        });
    }

    /// The permission for a call that is made at once; none when the gateway stops.
    pub(super) async fn permit(
        &self,
        target: &Target,
        action: Action,
        class: Class,
    ) -> Option<Permit> {
        let host = self.cloud.host(target);
        let permit = self.limiter.permit(target, &host, action, class);
        self.stop.run_until_cancelled(permit).await
    }
}
