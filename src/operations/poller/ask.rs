//! The calls of a round: up to a hundred machines each, and fewer when the cloud refuses one of them.

use super::{Inner, Polled};
use crate::cloud::limiter::{Action, Class, Permit};
use crate::cloud::{CloudError, IDS_PER_CALL_MAX, Target};
use crate::domain::instance::{InstanceDetail, InstanceId, InstanceState};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Calls that a round makes over those for what is due, to find machines that calls are refused
/// for: enough for two of them in each of two batches. What is not found waits for the next round.
const SPLIT_CALLS_MAX: usize = 56;

/// What the calls gave an answer for; none for a machine that the cloud does not show.
pub(in crate::operations) type Answers<T> = BTreeMap<InstanceId, Option<T>>;

/// The same question about several machines.
struct Question {
    inner: Arc<Inner>,
    target: Arc<Target>,
    action: Action,
    /// Calls that are left to this round for splitting batches.
    splits: Arc<Semaphore>,
}

/// The calls that a round may make for splitting batches.
pub(in crate::operations) fn splits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(SPLIT_CALLS_MAX))
}

impl Inner {
    /// The state of each machine.
    pub(in crate::operations) async fn states(
        self: &Arc<Self>,
        target: &Arc<Target>,
        ids: Vec<InstanceId>,
        splits: &Arc<Semaphore>,
    ) -> Answers<InstanceState> {
        let calls = batches(&self.polled, ids).into_iter().map(|batch| {
            let question = self.question(target, Action::DescribeInstancesStatus, splits);
            self.tasks.spawn(async move {
                let ask = |permit, ids: Vec<InstanceId>| {
                    let (inner, target) =
                        (Arc::clone(&question.inner), Arc::clone(&question.target));
                    async move {
                        let batch_size = &inner.metrics.operations.poll_batch_size;
                        batch_size.observe(size(ids.len()));
                        let states = inner.cloud.describe_instances_status(permit, &target, &ids);
                        states.await
                    }
                };
                question.answers(batch, ask).await
            })
        });
        let mut states = Answers::new();
        for call in calls.collect::<Vec<_>>() {
            match call.await {
                Ok(answers) => states.extend(answers),
                Err(error) => tracing::error!(%error, "a poll ended by a defect"),
            }
        }
        states
    }

    /// Addresses and causes of machines.
    pub(super) async fn details(
        self: &Arc<Self>,
        target: &Arc<Target>,
        ids: Vec<InstanceId>,
        splits: &Arc<Semaphore>,
    ) -> Answers<InstanceDetail> {
        let question = self.question(target, Action::DescribeInstances, splits);
        let mut details = Answers::new();
        for batch in batches(&self.polled, ids) {
            let ask = |permit, ids: Vec<InstanceId>| {
                let (inner, target) = (Arc::clone(self), Arc::clone(target));
                async move {
                    let found = inner.cloud.describe_instances(permit, &target, &ids);
                    let found = found.await?.into_iter();
                    Ok(found.map(|detail| (detail.id.clone(), detail)).collect())
                }
            };
            details.extend(question.answers(batch, ask).await);
        }
        details
    }

    fn question(
        self: &Arc<Self>,
        target: &Arc<Target>,
        action: Action,
        splits: &Arc<Semaphore>,
    ) -> Question {
        Question {
            inner: Arc::clone(self),
            target: Arc::clone(target),
            action,
            splits: Arc::clone(splits),
        }
    }
}

impl Question {
    /// Asks for a batch; for its halves when it is refused for one machine, until that is alone.
    async fn answers<T, F>(
        &self,
        batch: Vec<InstanceId>,
        ask: impl Fn(Permit, Vec<InstanceId>) -> F,
    ) -> Answers<T>
    where
        F: Future<Output = Result<Vec<(InstanceId, T)>, CloudError>>,
    {
        let (inner, target) = (&self.inner, &self.target);
        let mut answers = Answers::new();
        let mut left = vec![batch];
        while let Some(mut ids) = left.pop() {
            let Some(permit) = inner.permit(target, self.action, Class::Poll).await else {
                break; // the gateway stops
            };
            let error = match ask(permit, ids.clone()).await {
                Ok(shown) => {
                    inner.polled.acquit(ids.iter());
                    answers.extend(ids.into_iter().map(|id| (id, None)));
                    answers.extend(shown.into_iter().map(|(id, answer)| (id, Some(answer))));
                    continue;
                }
                Err(error) => error,
            };
            if error.blames_an_instance() && ids.len() > 1 && self.may_split() {
                let half = ids.split_off(ids.len() / 2);
                left.extend([half, ids]);
                continue;
            }
            tracing::warn!(
                account = %target.account, region = %target.region, action = self.action.as_str(),
                code = error.code, instances = ids.len(), "a poll failed; the next round repeats it"
            );
            if let ([id], true) = (ids.as_slice(), error.blames_an_instance()) {
                inner.polled.suspect(id.clone());
                if error.denies_the_instance() {
                    answers.insert(id.clone(), None);
                }
            }
        }
        answers
    }

    fn may_split(&self) -> bool {
        let calls = self.splits.try_acquire_many(2);
        calls.map(|calls| calls.forget()).is_ok()
    }
}

/// What is asked for in one call each. Machines that calls were refused for are alone.
fn batches(polled: &Polled, ids: Vec<InstanceId>) -> Vec<Vec<InstanceId>> {
    let (alone, sound): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| polled.is_suspect(id));
    let sound = sound.chunks(IDS_PER_CALL_MAX).map(<[_]>::to_vec);
    sound.chain(alone.into_iter().map(|id| vec![id])).collect()
}

fn size(length: usize) -> f64 {
    u32::try_from(length).map_or(f64::INFINITY, f64::from)
}
