//! Whose turn it is to call the cloud: operations wait for it here, outside of any step, so that
//! those that wait keep no step from those that need not.

use super::Inner;
use super::driver::target;
use super::machine;
use crate::cloud::Target;
use crate::cloud::limiter::{Action, Class, Permit, Turn};
use crate::domain::ids::OperationId;
use crate::domain::millis::since;
use crate::domain::operation::{Lease, Operation};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The operations that wait for a turn, and those whose wait is over and who have not been stepped.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<OperationId, Waiting>>);

/// A wait, and the epoch of the lease that it is under: a step of an older one may still end.
#[derive(Debug)]
struct Waiting {
    epoch: u64,
    wait: Wait,
}

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
        let over = |waiting: &mut Waiting| matches!(waiting.wait, Wait::Over(_));
        match turns
            .extract_if(id..=id, |_, waiting| over(waiting))
            .next()?
            .1
            .wait
        {
            Wait::Over(news) => Some(news),
            Wait::For(..) => None,
        }
    }

    /// Begins a wait for `action`, in place of one for another; none when it waits already, or its
    /// wait has just ended.
    fn wait(&self, lease: Lease, action: Action) -> Option<CancellationToken> {
        let mut turns = self.lock();
        match turns.get(&lease.operation).map(|waiting| &waiting.wait) {
            Some(Wait::For(other, token)) if *other != action => token.cancel(),
            Some(Wait::For(..) | Wait::Over(_)) => return None,
            None => {}
        }
        let token = CancellationToken::new();
        let waiting = Waiting {
            epoch: lease.epoch,
            wait: Wait::For(action, token.clone()),
        };
        turns.insert(lease.operation, waiting);
        Some(token)
    }

    /// Ends the wait of that token; whether it still was one.
    fn end(&self, lease: Lease, token: &CancellationToken, news: News) -> bool {
        let mut turns = self.lock();
        let wanted = !token.is_cancelled();
        if wanted {
            let waiting = Waiting {
                epoch: lease.epoch,
                wait: Wait::Over(news),
            };
            turns.insert(lease.operation, waiting);
        }
        wanted
    }

    /// Who has that lease has no use for a turn any more.
    pub(super) fn leave(&self, lease: Lease) {
        let mut turns = self.lock();
        let id = lease.operation;
        let own = |waiting: &mut Waiting| waiting.epoch <= lease.epoch;
        let left = turns.extract_if(id..=id, |_, waiting| own(waiting)).next();
        if let Some((
            _,
            Waiting {
                wait: Wait::For(_, token),
                ..
            },
        )) = left
        {
            token.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OperationId, Waiting>> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Steps the operation again when it is its turn to call `action`. Whatever happens to it
    /// meanwhile: the turn is a hint, and the step looks at what the operation is by then.
    pub(super) fn queue(self: &Arc<Self>, stepped: Lease, action: Action) {
        let id = stepped.operation;
        let Some((lease, operation)) = self.table.get(id) else {
            self.turns.leave(stepped);
            return; // another process owns it
        };
        let Some(token) = self.turns.wait(lease, action) else {
            return;
        };
        let class = match action {
            // Alone with the blame when a process dies, it must not be so for long.
            _ if self.table.crashes(lease) > self.unsuspected() => Class::Reconcile,
            Action::RunInstances => Class::Launch(operation.organization.clone()),
            Action::TerminateInstances => Class::Terminate,
            Action::DescribeInstances
            | Action::DescribeInstancesStatus
            | Action::InquiryPriceRunInstances
            | Action::DescribeZoneInstanceConfigInfos
            | Action::DescribeAccountQuota
            | Action::DescribeZones
            | Action::DescribeRegions => Class::Reconcile,
        };
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            let news = tokio::select! {
                biased;
                () = token.cancelled() => return,
                () = inner.stop.cancelled() => return inner.turns.leave(lease), // the next process goes on
                news = inner.turn(&operation, action, class) => news,
            };
            if inner.turns.end(lease, &token, news) {
                inner.due.push(inner.clock.now(), id);
            }
        });
    }

    /// Waits until the operation may call `action`. Who repeats a call waits for the means to do so
    /// first, and not for longer than what it knows is good for.
    async fn turn(&self, operation: &Operation, action: Action, class: Class) -> News {
        let target = target(operation);
        let host = self.cloud.host(&target);
        let fare = match action {
            Action::DescribeInstances
            | Action::DescribeInstancesStatus
            | Action::InquiryPriceRunInstances
            | Action::DescribeZoneInstanceConfigInfos
            | Action::DescribeAccountQuota
            | Action::DescribeZones
            | Action::DescribeRegions => None,
            Action::RunInstances | Action::TerminateInstances => {
                let tried = machine::tried(operation);
                let now = self.clock.now();
                let patience = machine::patience(operation, now, &self.settings.timings);
                let fare = self.limiter.fare(&target, &host, action, tried);
                // Boxed: it is over before the long wait begins, which should not carry its room.
                let fare = Box::pin(self.clock.timeout(since(patience, now), fare));
                match fare.await {
                    Some(fare) => Some(fare),
                    None => return News::HeldBack,
                }
            }
        };
        let turn = self.limiter.turn(&target, &host, action, class);
        drop((target, host));
        let turn = turn.await;
        News::Turn(match fare {
            Some(fare) => turn.paid(fare),
            None => turn,
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use time::UtcDateTime;

    #[test]
    fn a_step_under_an_older_lease_ends_no_wait_of_a_newer_one() {
        let turns = Turns::default();
        let operation = OperationId::generate(UtcDateTime::UNIX_EPOCH);
        let [old, new] = [1, 2].map(|epoch| Lease { operation, epoch });
        let token = turns.wait(new, Action::DescribeInstances).unwrap();
        turns.leave(old);
        assert!(!token.is_cancelled());
        assert!(turns.end(new, &token, News::HeldBack));
        turns.leave(old);
        assert!(matches!(turns.take(operation), Some(News::HeldBack)));
        assert!(turns.take(operation).is_none());

        let token = turns.wait(old, Action::DescribeInstances).unwrap();
        turns.leave(new);
        assert!(token.is_cancelled(), "what is older is nobody's");
    }
}
