//! Asks the cloud how starting machines are: one round a tick for each account and region, 100
//! machines a call, whoever launched them.

use super::Inner;
use super::driver::target;
use super::machine::{self, Observation, Outcome, Step};
use crate::chaos;
use crate::cloud::limiter::{Action, Class};
use crate::cloud::{IDS_PER_CALL_MAX, Target, body};
use crate::domain::ids::OperationId;
use crate::domain::instance::{InstanceDetail, InstanceId, InstanceState};
use crate::domain::millis::since;
use crate::domain::operation::{Lease, Operation};
use crate::store::Save;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::Notify;

/// Which operations are polled, and when each was last seen.
#[derive(Debug, Default)]
pub(super) struct Polled {
    last: Mutex<BTreeMap<OperationId, UtcDateTime>>,
    /// Accounts and regions whose round is under way: a slow one delays no other.
    busy: Mutex<HashSet<Target>>,
    added: Notify,
}

impl Polled {
    /// To be polled from now on.
    pub(super) fn add(&self, id: OperationId, now: UtcDateTime) {
        self.lock().insert(id, now);
        self.added.notify_one();
    }

    /// Not to be polled any more.
    pub(super) fn remove(&self, id: OperationId) {
        self.lock().remove(&id);
    }

    /// Whether it is polled. What it should be told then waits for the next round.
    pub(super) fn is_polled(&self, id: OperationId) -> bool {
        self.lock().contains_key(&id)
    }

    fn ids(&self) -> Vec<OperationId> {
        self.lock().keys().copied().collect()
    }

    fn last_seen(&self, id: OperationId) -> Option<UtcDateTime> {
        self.lock().get(&id).copied()
    }

    /// Whether the round of `target` may begin; then it is busy until [`Polled::done`].
    fn begin(&self, target: &Target) -> bool {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert(target.clone())
    }

    fn done(&self, target: &Target) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.remove(target);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OperationId, UtcDateTime>> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A round under way. However it ends, also by a defect, the next one can begin.
struct Busy {
    inner: Arc<Inner>,
    target: Target,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.inner.polled.done(&self.target);
    }
}

/// An operation in hand.
type Held = (Lease, Arc<Operation>);

impl Inner {
    /// Begins the rounds of each tick, until the gateway stops. Sleeps while nothing is polled.
    pub(super) async fn poll(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            chaos::at!("poll.begin", self.begin_rounds(), else ());
            let idle = self.polled.lock().is_empty();
            tokio::select! {
                biased;
                () = self.polled.added.notified(), if idle => {}
                () = self.clock.sleep(self.settings.poll_interval), if !idle => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    fn begin_rounds(self: &Arc<Self>) {
        let mut rounds: BTreeMap<Target, Vec<Held>> = BTreeMap::new();
        for id in self.polled.ids() {
            match self.table.get(id) {
                Some(held) => rounds.entry(target(&held.1)).or_default().push(held),
                None => self.polled.remove(id), // another process owns it
            }
        }
        for (target, held) in rounds {
            if self.polled.begin(&target) {
                let held = self.hand_over(held);
                let inner = Arc::clone(self);
                let busy = Busy {
                    inner: Arc::clone(self),
                    target,
                };
                self.tasks
                    .spawn(async move { inner.round(&busy.target, held).await });
            }
        }
    }

    /// Gives back to the driver what it has to do more with than to wait; the others are polled.
    fn hand_over(&self, held: Vec<Held>) -> Vec<Held> {
        let (now, timings) = (self.clock.now(), &self.settings.timings);
        let is_polled = |(lease, operation): &Held| {
            let step = machine::next(operation, lease.epoch, now, timings);
            matches!(step, Step::Poll(_)) && self.table.cancellation(operation).is_none()
        };
        let (polled, driven): (Vec<_>, Vec<_>) = held.into_iter().partition(is_polled);
        for (lease, _) in driven {
            self.polled.remove(lease.operation);
            self.due.push(now, lease.operation);
        }
        polled
    }

    /// Asks for every machine of one account and region, and writes down what changed.
    async fn round(self: &Arc<Self>, target: &Target, held: Vec<Held>) {
        let ids: Vec<InstanceId> = held
            .iter()
            .flat_map(|(_, operation)| machine::awaited(operation).cloned())
            .collect();
        let states = chaos::around!("poll.states", self.states(target, &ids), else HashMap::new());
        let ended = held.iter().flat_map(|(_, operation)| {
            machine::awaited(operation).filter(|id| {
                let state = states.get(*id).and_then(Option::as_ref);
                state.is_some_and(|state| machine::is_described(operation, state))
            })
        });
        let ended: Vec<_> = ended.cloned().collect();
        let details = self.details(target, &ended).await;
        let mut saves = Vec::new();
        for (lease, operation) in &held {
            let mut seen = observations(operation, &states, &details);
            self.hide_secrets(operation, &mut seen).await;
            saves.extend(chaos::at!(
                "poll.observe",
                self.observe(*lease, operation, seen)
            ));
        }
        if saves.is_empty() {
            return;
        }
        for operation in chaos::around!("poll.save", self.save(saves), else Vec::new()) {
            if operation.state.name().is_at_rest() {
                self.polled.remove(operation.id);
                self.came_to_rest(&operation);
            }
        }
    }

    /// The cloud's words on a failed machine may quote what it was sent.
    async fn hide_secrets(&self, operation: &Operation, seen: &mut [Observation]) {
        let details = seen.iter_mut().filter_map(|seen| seen.detail.as_mut());
        for detail in details.filter(|detail| !detail.latest_operation_error.is_empty()) {
            let words = &mut detail.latest_operation_error;
            *words = match self.store.body(operation.id, operation.alternative).await {
                Ok(Some(body)) => body::hide_secrets(words, body.as_bytes()),
                Ok(None) | Err(_) => {
                    "the cloud's words are kept back: they could not be checked for secrets"
                        .to_owned()
                }
            };
        }
    }

    /// The state of each machine that the calls gave an answer for; none for one that is not shown.
    async fn states(
        self: &Arc<Self>,
        target: &Target,
        ids: &[InstanceId],
    ) -> HashMap<InstanceId, Option<InstanceState>> {
        let calls = ids.chunks(IDS_PER_CALL_MAX).map(|batch| {
            let (inner, target, batch) = (Arc::clone(self), target.clone(), batch.to_vec());
            self.tasks.spawn(async move {
                let action = Action::DescribeInstancesStatus;
                let permit = inner.permit(&target, action, Class::Poll).await?;
                let batch_size = &inner.metrics.operations.poll_batch_size;
                batch_size.observe(size(batch.len()));
                let answer = inner
                    .cloud
                    .describe_instances_status(permit, &target, &batch);
                Some((answer.await, batch))
            })
        });
        let mut states = HashMap::new();
        for call in calls.collect::<Vec<_>>() {
            match call.await {
                Ok(None) => {} // the gateway stops
                Ok(Some((Ok(shown), batch))) => {
                    states.extend(batch.into_iter().map(|id| (id, None)));
                    states.extend(shown.into_iter().map(|(id, state)| (id, Some(state))));
                }
                Ok(Some((Err(error), _))) => {
                    tracing::warn!(account = %target.account, region = %target.region, code = error.code, "a poll failed; the next tick repeats it")
                }
                Err(error) => tracing::error!(%error, "a poll ended by a defect"),
            }
        }
        states
    }

    /// Addresses and causes of the machines that the calls gave an answer for.
    async fn details(
        self: &Arc<Self>,
        target: &Target,
        ids: &[InstanceId],
    ) -> HashMap<InstanceId, InstanceDetail> {
        let mut details = HashMap::new();
        for batch in ids.chunks(IDS_PER_CALL_MAX) {
            let action = Action::DescribeInstances;
            let Some(permit) = self.permit(target, action, Class::Poll).await else {
                return details; // the gateway stops
            };
            match self.cloud.describe_instances(permit, target, batch).await {
                Ok(shown) => {
                    details.extend(shown.into_iter().map(|detail| (detail.id.clone(), detail)))
                }
                Err(error) => {
                    tracing::warn!(account = %target.account, region = %target.region, code = error.code,
                        "a description failed; the next tick repeats it"
                    )
                }
            }
        }
        details
    }

    /// What one operation is after what was seen of it: up to two steps, in order.
    fn observe(&self, lease: Lease, operation: &Operation, seen: Vec<Observation>) -> Vec<Save> {
        let now = self.clock.now();
        let answered = !seen.is_empty();
        let mut saves = Vec::new();
        if answered {
            saves.extend(self.observed(lease, operation, Outcome::Observed(seen)));
            self.measure_lag(operation.id, now, !saves.is_empty());
            self.polled.add(operation.id, now);
        }
        let newest = saves
            .last()
            .map_or(operation, |save: &Save| &save.operation);
        if self.timed_out(newest, lease, answered) {
            saves.extend(self.observed(lease, newest, Outcome::TimedOut));
        }
        saves
    }

    /// Whether the launch has taken too long. Without an answer it is given the same time again,
    /// because what was not asked may well run.
    fn timed_out(&self, operation: &Operation, lease: Lease, answered: bool) -> bool {
        let (now, timings) = (self.clock.now(), &self.settings.timings);
        let grace = if answered {
            Duration::ZERO
        } else {
            timings.launch_timeout
        };
        let step = machine::next(operation, lease.epoch, now, timings);
        matches!(step, Step::Poll(until) if until + grace <= now)
    }

    fn observed(&self, lease: Lease, operation: &Operation, outcome: Outcome) -> Option<Save> {
        let (now, timings) = (self.clock.now(), &self.settings.timings);
        match machine::apply(operation, outcome, now, timings) {
            Ok(changed) if changed.sequence > operation.sequence => Some(Save {
                lease,
                operation: changed,
                attempt: false,
            }),
            Ok(_) => None,
            Err(illegal) => {
                tracing::error!(operation = %operation.id, %illegal, "a defect; the operation is tried again later");
                self.polled.remove(operation.id);
                self.table.let_go(lease);
                None
            }
        }
    }

    fn measure_lag(&self, id: OperationId, now: UtcDateTime, changed: bool) {
        if let Some(last) = self.polled.last_seen(id).filter(|_| changed) {
            let lag = since(now, last).as_secs_f64();
            self.metrics.operations.detection_lag_seconds.observe(lag);
        }
    }
}

fn size(length: usize) -> f64 {
    u32::try_from(length).map_or(f64::INFINITY, f64::from)
}

/// What the answers say of one operation's machines. One whose description is still wanted is left
/// for the next tick, so that an end is never told without its addresses or its cause.
fn observations(
    operation: &Operation,
    states: &HashMap<InstanceId, Option<InstanceState>>,
    details: &HashMap<InstanceId, InstanceDetail>,
) -> Vec<Observation> {
    let of = |id: &InstanceId| {
        let state = states.get(id)?.clone();
        let detail = details.get(id).cloned();
        let described = state
            .as_ref()
            .is_none_or(|state| !machine::is_described(operation, state))
            || detail.is_some();
        described.then(|| Observation {
            id: id.clone(),
            state,
            detail,
        })
    };
    machine::awaited(operation).filter_map(of).collect()
}
