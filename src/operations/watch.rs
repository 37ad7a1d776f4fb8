//! Following one operation: always the newest snapshot, never an older one.

use super::newest::Reader;
use super::waiters::Waiting;
use super::{Inner, OperationError};
use crate::chaos;
use crate::domain::ids::OperationId;
use crate::domain::operation::Operation;
use std::sync::Arc;
use std::time::Duration;

/// How often the journal is read for an operation that another process steps.
const REFRESH: Duration = Duration::from_secs(1);

/// Follows one operation from a cursor. It reads the operation's latest-value cell where this
/// process steps it, else the journal.
#[derive(Debug)]
pub struct Watch {
    operations: Arc<Inner>,
    /// The newest snapshot known.
    newest: Arc<Operation>,
    /// The sequence of the newest snapshot that was given out.
    seen: u64,
    cell: Option<Reader>,
    /// Hears of what another process writes, if there is no cell.
    waiting: Option<Waiting>,
    /// When the journal is read next, if there is no cell. Not by the time of day, which may be set back.
    refresh_at: Duration,
}

impl Watch {
    pub(super) fn new(operations: Arc<Inner>, operation: Operation, seen: u64) -> Self {
        let cell = operations.table.subscribe(operation.id);
        Self {
            newest: Arc::new(operation),
            refresh_at: operations.clock.elapsed() + REFRESH,
            operations,
            seen,
            cell,
            waiting: None,
        }
    }

    /// What is followed.
    #[must_use]
    pub fn id(&self) -> OperationId {
        self.newest.id
    }

    /// The sequence of the newest snapshot that was given out.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.seen
    }

    /// The next snapshot, once there is one newer than the last; nothing when there will never be
    /// one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`OperationError::Stopping`] when the gateway stops, and when the journal fails. The operation goes
    /// on: it can be followed again from [`Watch::sequence`].
    pub async fn next(&mut self) -> Result<Option<Arc<Operation>>, OperationError> {
        loop {
            self.look();
            if self.newest.sequence > self.seen {
                self.seen = chaos::wrong!(
                    "stream-repeats",
                    self.newest.sequence,
                    self.newest.sequence - 1
                );
                return Ok(Some(Arc::clone(&self.newest)));
            }
            if self.newest.state.name().is_at_rest() {
                return Ok(None);
            }
            let stop = self.operations.stop.clone();
            tokio::select! {
                biased;
                changed = self.changed() => changed?,
                () = stop.cancelled() => return Err(OperationError::Stopping),
            }
        }
    }

    /// Takes over what the cell holds, unless it is older: the same snapshot need not be in memory twice.
    fn look(&mut self) {
        if let Some(cell) = &mut self.cell {
            let held = cell.read();
            if held.sequence >= self.newest.sequence {
                self.newest = held;
            }
        }
    }

    /// Returns when there may be something newer.
    async fn changed(&mut self) -> Result<(), OperationError> {
        if let Some(cell) = &self.cell
            && cell.changed().await.is_ok()
        {
            return Ok(());
        }
        // Rare, and a future as large as its query: who only reads the cell should not carry it.
        Box::pin(self.changed_elsewhere()).await
    }

    /// As [`Watch::changed`] while nobody here steps it (any more): the journal tells, and whether somebody here does again.
    async fn changed_elsewhere(&mut self) -> Result<(), OperationError> {
        let waiting = self
            .waiting
            .get_or_insert_with(|| Waiting::for_change(&self.operations, self.newest.id));
        let clock = &self.operations.clock;
        let left = self.refresh_at.saturating_sub(clock.elapsed());
        tokio::select! {
            biased;
            () = waiting.changed() => {}
            () = clock.sleep(left) => {}
        }
        self.cell = self.operations.table.subscribe(self.newest.id);
        let Operation {
            id, organization, ..
        } = &*self.newest;
        let found = self.operations.store.get(organization, *id);
        let found =
            chaos::around!("watch.refresh", found, else Err(crate::store::StoreError::Busy))?;
        self.refresh_at = self.operations.clock.elapsed() + REFRESH;
        let found = found.ok_or(OperationError::NotFound)?;
        if found.sequence > self.newest.sequence {
            self.newest = Arc::new(found);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{World, admission};
    use super::*;
    use crate::domain::ids::RequestId;
    use crate::domain::operation::State;
    use crate::store::{Admission, Save};

    #[tokio::test]
    async fn a_clock_that_is_set_back_stops_no_follower() {
        let world = World::new().await;
        let accepted = Operation {
            id: OperationId::generate(world.failed.create_time),
            request_id: RequestId::parse("elsewhere").unwrap(),
            state: State::Accepted,
            ..world.failed.clone()
        };
        let admitted = world.store.admit(admission(accepted.clone())).await;
        let Ok(Admission::New(lease)) = admitted else {
            panic!("it is known already");
        };
        let mut watch = world.operations.follow(accepted.clone(), accepted.sequence);
        let failed = Operation {
            sequence: accepted.sequence + 1,
            state: State::Failed,
            ..accepted
        };
        let save = Save {
            lease,
            operation: failed.clone(),
            attempt: false,
        };
        world.store.save(&[save]).await.unwrap();

        world.correction.set(-time::Duration::hours(1));
        let told = world.clock.timeout(3 * REFRESH, watch.next());
        let (told, ()) = tokio::join!(told, world.pass(4));
        let told = told.expect("it stands still").unwrap();
        assert_eq!(*told.unwrap(), failed);
        world.operations.stopped().await;
    }
}
