//! Operations against a cloud that is a list, on a manual clock.

use super::*;
use crate::clock::{Clock, Correction};
use crate::cloud::limiter::{Action, Class, Limiter, Permit};
use crate::cloud::{Accepted, Cloud, CloudError, Fault, Leaving, Signing, Tagged, Target, codes};
use crate::config::Config;
use crate::domain::audit::Call;
use crate::domain::decision::Decision;
use crate::domain::ids::{OperationId, RequestId};
use crate::domain::instance::{InstanceDetail, InstanceState};
use crate::domain::operation::{AttemptResult, Lease, Operation, State};
use crate::metrics::Metrics;
use crate::operations::machine::Outcome;
use crate::random::Random;
use crate::store::{self, Admission, Model, Moment, NewOperation, SealedBody, Store, Weather};
use async_trait::async_trait;
use std::path::Path;
use std::sync::{Mutex, atomic::AtomicUsize, atomic::Ordering};

const CONFIG: &str = r#"
cloud.regions = ["ap-shanghai"]
operations.sweep.delete = true
operations.sweep.deletes_per_hour_max = 1
[organizations.development]
default_account = "main"
[organizations.development.accounts.main]
secret_id = "AKIDx"
secret_key = "k"
"#;

/// A cloud that lists these machines, and takes them back.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) machines: Mutex<Vec<Tagged>>,
    pub(super) lists: AtomicUsize,
    pub(super) failing: Mutex<bool>,
    pub(super) given_back: Mutex<Vec<InstanceId>>,
    /// How many machines each call named that was to give some back.
    pub(super) calls: Mutex<Vec<usize>>,
    /// The code by which it refuses to: every call, or those that name a machine.
    pub(super) refusing: Option<(&'static str, Option<InstanceId>)>,
    /// What it only shows to who asks for it by its id.
    pub(super) untagged: Mutex<Vec<InstanceId>>,
    /// Whether it refuses to tell states when it has not all of the machines.
    pub(super) strict: Mutex<bool>,
    /// What it was asked the states of, call by call.
    pub(super) polls: Mutex<Vec<Vec<InstanceId>>>,
    /// Whether it answers nobody who asks it so, and how often it did not.
    pub(super) silent: Mutex<bool>,
    pub(super) unheard: Mutex<u32>,
    /// Where a launch is written down each time before the list is answered, and like which.
    pub(super) launching: Mutex<Option<(Store, Operation)>>,
}

impl Listing {
    /// Somebody launches a machine just now, as the protocol wants it: the journal first.
    pub(super) async fn launch(&self, store: &Store, like: &Operation) {
        let id = OperationId::generate(like.create_time);
        let operation = Operation {
            id,
            request_id: RequestId::parse(&id.to_string()).unwrap(),
            state: State::Accepted,
            ..like.clone()
        };
        store.admit(admission(operation)).await.unwrap();
        let machine = Tagged {
            id: InstanceId::parse(&format!("ins-{}", self.lists.load(Ordering::SeqCst))).unwrap(),
            state: InstanceState::Pending,
            value: id.to_string(),
            created: Some(like.create_time),
        };
        self.machines.lock().unwrap().push(machine);
    }
}

pub(super) fn admission(operation: Operation) -> NewOperation {
    NewOperation {
        now: operation.create_time,
        operation,
        request_hash: [0; 32],
        quotas: Vec::new(),
        bodies: vec![SealedBody::new(Vec::new())],
        asked: Call::default(),
        decision: Decision {
            policy: "test".to_owned(),
            rule: "test".to_owned(),
        },
        owner: "test".to_owned(),
        lease: Duration::from_secs(30),
    }
}

fn unasked<T>() -> Result<T, CloudError> {
    Err(Fault::ConnectFailed.error("not asked in this test"))
}

fn refusal(code: &str) -> CloudError {
    let verdict = codes::classify(code);
    CloudError {
        effect: verdict.effect,
        reason: verdict.reason,
        retry: verdict.retry,
        code: code.to_owned(),
        message: "refused".to_owned(),
        fields: verdict.fields.into_iter().map(str::to_owned).collect(),
        request_id: None,
    }
}

#[async_trait]
impl Cloud for Listing {
    fn host(&self, _: &Target) -> String {
        "cvm.tencentcloudapi.com".to_owned()
    }

    async fn run_instances(
        &self,
        _: Permit,
        _: &Target,
        _: &[u8],
        _: Signing<'_>,
    ) -> Result<Accepted, CloudError> {
        unasked()
    }

    async fn describe_instances_status(
        &self,
        _: Permit,
        _: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<(InstanceId, InstanceState)>, CloudError> {
        self.polls.lock().unwrap().push(ids.to_vec());
        if *self.silent.lock().unwrap() {
            *self.unheard.lock().unwrap() += 1;
            return unasked();
        }
        let untagged = self.untagged.lock().unwrap();
        if *self.strict.lock().unwrap() && ids.iter().any(|id| !untagged.contains(id)) {
            return Err(refusal("InvalidInstanceId.NotFound"));
        }
        let shown = ids.iter().filter(|id| untagged.contains(id));
        Ok(shown
            .map(|id| (id.clone(), InstanceState::Running))
            .collect())
    }

    async fn describe_instances(
        &self,
        _: Permit,
        _: &Target,
        _: &[InstanceId],
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        unasked()
    }

    async fn terminate_instances(
        &self,
        _: Permit,
        _: &Target,
        Leaving {
            ids,
            release_addresses,
        }: Leaving<'_>,
        _: Signing<'_>,
    ) -> Result<(), CloudError> {
        self.calls.lock().unwrap().push(ids.len());
        if release_addresses {
            return Err(refusal("UnauthorizedOperation"));
        }
        if let Some((code, machine)) = &self.refusing
            && machine.as_ref().is_none_or(|id| ids.contains(id))
        {
            return Err(refusal(code));
        }
        self.given_back.lock().unwrap().extend(ids.to_vec());
        Ok(())
    }

    async fn find_by_tag(
        &self,
        _: Permit,
        _: &Target,
        _: &str,
        _: &str,
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        unasked()
    }

    async fn list_tagged(
        &self,
        _: Permit,
        _: &Target,
        key: &str,
    ) -> Result<Vec<Tagged>, CloudError> {
        assert_eq!(key, "cvm-gateway:operation");
        self.lists.fetch_add(1, Ordering::SeqCst);
        let launching = self.launching.lock().unwrap().clone();
        if let Some((store, like)) = launching {
            self.launch(&store, &like).await;
        }
        if *self.failing.lock().unwrap() {
            return Err(Fault::MalformedAnswer.error("incomplete"));
        }
        Ok(self.machines.lock().unwrap().clone())
    }
}

pub(super) struct World {
    pub(super) cloud: Arc<Listing>,
    pub(super) clock: Clock,
    /// Of the time of day that the operations have.
    pub(super) correction: Correction,
    pub(super) metrics: Metrics,
    pub(super) operations: Operations,
    pub(super) model: Model,
    pub(super) store: Store,
    /// How long the journal takes to read a body.
    pub(super) body_takes: Arc<Mutex<Duration>>,
    /// A launch of one machine that failed.
    pub(super) failed: Operation,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::of(CONFIG, time::Duration::ZERO).await
    }

    /// The machine's clock is so far ahead of the cloud's.
    pub(super) async fn ahead_by(ahead: time::Duration) -> Self {
        Self::of(CONFIG, ahead).await
    }

    /// Any region may be launched in.
    pub(super) async fn anywhere() -> Self {
        let config = CONFIG.replace(r#"["ap-shanghai"]"#, "[]");
        Self::of(&config, time::Duration::ZERO).await
    }

    async fn of(config: &str, ahead: time::Duration) -> Self {
        let config = Config::parse("test.toml", config, Path::new(".")).unwrap();
        let journalled = include_str!("../../testdata/journal/operation-v1.json");
        let failed: Operation = serde_json::from_str(journalled).unwrap();
        let failed = Operation {
            state: State::Failed,
            instance_count: 1,
            dry_run: false,
            instances: Vec::new(),
            ..failed
        };
        let clock = Clock::manual(failed.create_time);
        let correction = Correction::default();
        correction.set(-ahead);
        let now = clock.clone();
        let model = Model::new(Arc::new(move || now.now()));
        let body_takes = Arc::<Mutex<Duration>>::default();
        let (takes, slow) = (Arc::clone(&body_takes), clock.clone());
        let weather: Weather = Arc::new(move |call, moment| {
            let reads = (call, moment) == (store::Call::Body, Moment::Before);
            let (takes, slow) = (*takes.lock().unwrap(), slow.clone());
            Box::pin(async move {
                if reads {
                    slow.sleep(takes).await;
                }
                Ok(())
            })
        });
        let store = Store::of_model(model.under(weather));
        store.admit(admission(failed.clone())).await.unwrap();
        let metrics = Metrics::new("test").unwrap();
        let limits = config.cloud_limits;
        let cloud = Arc::new(Listing::default());
        let rooms = Rooms {
            store: store.clone(),
            cloud: Arc::<Listing>::clone(&cloud),
            limiter: Limiter::new(limits, None, clock.clone(), metrics.cloud.clone()),
            clock: clock.corrected(&correction),
            random: Random::seeded(7),
            metrics: metrics.clone(),
        };
        let operations = Operations::start(config.operations, rooms);
        Self {
            cloud,
            clock,
            correction,
            metrics,
            operations,
            model,
            store,
            body_takes,
            failed,
        }
    }

    pub(super) fn show(&self, machines: &[(&str, &str)]) {
        let tagged = machines.iter().map(|(id, value)| Tagged {
            id: InstanceId::parse(id).unwrap(),
            state: InstanceState::Running,
            value: (*value).to_owned(),
            created: Some(self.failed.create_time),
        });
        *self.cloud.machines.lock().unwrap() = tagged.collect();
    }

    /// Lets `seconds` pass.
    pub(super) async fn pass(&self, seconds: u32) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
    }

    pub(super) fn orphans(&self) -> i64 {
        let orphans = &self.metrics.operations.orphans;
        orphans.with_label_values(&["main", "ap-shanghai"]).get()
    }

    pub(super) fn sweeps(&self, result: &str) -> u64 {
        let sweeps = &self.metrics.operations.sweeps;
        sweeps.with_label_values(&["main", result]).get()
    }

    pub(super) fn adopted(&self) -> u64 {
        let adopted = &self.metrics.operations.orphans_adopted;
        adopted.with_label_values(&["main"]).get()
    }

    /// How many of the machines somebody has.
    pub(super) async fn owned(&self, ids: &[&str]) -> usize {
        let ids: Vec<_> = ids
            .iter()
            .map(|id| InstanceId::parse(id).unwrap())
            .collect();
        self.store.owners(&ids).await.unwrap().len()
    }

    pub(super) fn lists(&self) -> usize {
        self.cloud.lists.load(Ordering::SeqCst)
    }

    pub(super) fn given_back(&self) -> Vec<String> {
        let ids = self.cloud.given_back.lock().unwrap();
        ids.iter().map(|id| id.as_str().to_owned()).collect()
    }
}

/// As after an outage of the journal, or when a machine that slept wakes: whichever of the two loops is first,
/// a step that is under way gets no second one beside it.
#[tokio::test]
async fn what_is_in_hand_is_not_claimed_from_oneself() {
    let world = World::new().await;
    let inner = &world.operations.0;
    let id = OperationId::generate(world.failed.create_time);
    let operation = Operation {
        id,
        request_id: RequestId::parse("in-hand").unwrap(),
        state: State::Accepted,
        ..world.failed.clone()
    };
    let lease = in_hand(&world, &operation).await;
    assert!(inner.lease_lasts(lease));
    world.clock.advance(Duration::from_secs(60));
    assert!(!inner.lease_lasts(lease));

    assert_eq!(inner.claim().await.unwrap(), 0);
    assert_eq!(inner.table.get(id).unwrap().0, lease);
    assert!(inner.lease_lasts(lease), "its lease is prolonged first");
}

/// Takes an operation in hand.
async fn in_hand(world: &World, operation: &Operation) -> Lease {
    let inner = &world.operations.0;
    let new = NewOperation {
        owner: inner.owner.clone(),
        ..admission(operation.clone())
    };
    let leased_until = new.now + new.lease;
    let Ok(Admission::New(lease)) = world.store.admit(new).await else {
        panic!("it is known already");
    };
    let held = Arc::new(operation.clone());
    inner.table.hold(lease, leased_until, held);
    lease
}

/// What comes of an attempt that was dated just now, whose body takes so many seconds to read.
async fn sent_after(seconds: u64) -> Outcome {
    let world = World::new().await;
    let inner = &world.operations.0;
    let mut operation = Operation {
        id: OperationId::generate(world.failed.create_time),
        request_id: RequestId::parse("old").unwrap(),
        state: State::Sent,
        ..world.failed.clone()
    };
    let lease = in_hand(&world, &operation).await;
    let attempt = operation.attempts.last_mut().unwrap();
    (attempt.signed_at, attempt.epoch) = (world.clock.now(), lease.epoch);
    *world.body_takes.lock().unwrap() = Duration::from_secs(seconds);
    let (target, action) = (driver::target(&operation), Action::RunInstances);
    let (host, class) = (inner.cloud.host(&target), Class::Sweep);
    let sent = async {
        let turn = inner.limiter.turn(&target, &host, action, class).await;
        inner.send(&operation, turn).await
    };
    let (outcome, ()) = tokio::join!(sent, world.pass(40));
    world.operations.stopped().await;
    outcome
}

/// Nothing that takes its time lies between the look at its age and its bytes.
#[tokio::test]
async fn an_attempt_that_grows_old_while_its_body_is_read_is_not_sent() {
    for (seconds, code) in [(5, "ConnectFailed"), (25, "Stale")] {
        let outcome = sent_after(seconds).await;
        let Outcome::NotRun { result, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(result, AttemptResult::NotSent(code.to_owned()));
    }
}
