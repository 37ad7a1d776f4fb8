//! Whose turn it is to call the cloud: operations wait for it here, outside of any step, so that
//! those that wait keep no step from those that need not.

use super::Inner;
use super::driver::target;
use super::machine;
use crate::cloud::Target;
use crate::cloud::limiter::{Action, Class, Permit, Turn};
use crate::domain::ids::OperationId;
use crate::domain::millis::since;
use crate::domain::operation::Operation;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The operations that wait for a turn, and those whose wait is over and who have not been stepped.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<OperationId, Wait>>);

#[derive(Debug)]
enum Wait {
    /// For a call of that action, until the token says that it is not wanted any more.
    For(Action, CancellationToken),
    Over(News),
}

/// How a wait ended.
#[derive(Debug)]
pub(super) enum News {
    Turn(Turn),
    /// It may not repeat its call for now.
    HeldBack,
}

impl Turns {
    /// How the operation's wait ended, if it did.
    pub(super) fn take(&self, id: OperationId) -> Option<News> {
        let mut turns = self.lock();
        match turns.remove(&id)? {
            Wait::Over(news) => Some(news),
            waits @ Wait::For(..) => {
                turns.insert(id, waits);
                None
            }
        }
    }

    /// Begins a wait for `action`, in place of one for another; none when it waits already, or its
    /// wait has just ended.
    fn wait(&self, id: OperationId, action: Action) -> Option<CancellationToken> {
        let mut turns = self.lock();
        match turns.get(&id) {
            Some(Wait::For(other, token)) if *other != action => token.cancel(),
            Some(Wait::For(..) | Wait::Over(_)) => return None,
            None => {}
        }
        let token = CancellationToken::new();
        turns.insert(id, Wait::For(action, token.clone()));
        Some(token)
    }

    /// Ends the wait of that token; whether it still was one.
    fn end(&self, id: OperationId, token: &CancellationToken, news: News) -> bool {
        let mut turns = self.lock();
        let wanted = !token.is_cancelled();
        if wanted {
            turns.insert(id, Wait::Over(news));
        }
        wanted
    }

    /// The operation has no use for a turn any more.
    pub(super) fn leave(&self, id: OperationId) {
        if let Some(Wait::For(_, token)) = self.lock().remove(&id) {
            token.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OperationId, Wait>> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Steps the operation again when it is its turn to call `action`. Whatever happens to it
    /// meanwhile: the turn is a hint, and the step looks at what the operation is by then.
    pub(super) fn queue(self: &Arc<Self>, id: OperationId, action: Action) {
        let Some((lease, operation)) = self.table.get(id) else {
            self.turns.leave(id);
            return; // another process owns it
        };
        let Some(token) = self.turns.wait(id, action) else {
            return;
        };
        let class = match action {
            // Alone with the blame when a process dies, it must not be so for long.
            _ if self.table.crashes(lease) > self.unsuspected() => Class::Reconcile,
            Action::RunInstances => Class::Launch(operation.organization.clone()),
            Action::TerminateInstances => Class::Terminate,
            Action::DescribeInstances | Action::DescribeInstancesStatus => Class::Reconcile,
        };
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            let news = tokio::select! {
                biased;
                () = token.cancelled() => return,
                () = inner.stop.cancelled() => return inner.turns.leave(id), // the next process goes on
                news = inner.turn(&operation, action, class) => news,
            };
            if inner.turns.end(id, &token, news) {
                inner.due.push(inner.clock.now(), id);
            }
        });
    }

    /// Waits until the operation may call `action`. Who repeats a call waits for the means to do so
    /// first, and not for longer than what it knows is good for.
    async fn turn(&self, operation: &Operation, action: Action, class: Class) -> News {
        let target = target(operation);
        let host = self.cloud.host(&target);
        let turn = self.limiter.turn(&target, &host, action, class);
        match action {
            Action::DescribeInstances | Action::DescribeInstancesStatus => News::Turn(turn.await),
            Action::RunInstances | Action::TerminateInstances => {
                let (now, tried) = (self.clock.now(), machine::tried(operation));
                let patience = machine::patience(operation, now, &self.settings.timings);
                let fare = self.limiter.fare(&target, &host, action, tried);
                match self.clock.timeout(since(patience, now), fare).await {
                    Some(fare) => News::Turn(turn.await.paid(fare)),
                    None => News::HeldBack,
                }
            }
        }
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
