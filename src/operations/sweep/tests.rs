//! The search for orphans against a cloud that is a list, on a manual clock.

use super::super::{Operations, Rooms};
use super::*;
use crate::clock::{Clock, Correction};
use crate::cloud::limiter::{Limiter, Permit};
use crate::cloud::{Accepted, Cloud, Fault, Signing};
use crate::config::Config;
use crate::domain::audit::Call;
use crate::domain::decision::Decision;
use crate::domain::ids::{OperationId, RequestId};
use crate::domain::instance::{Instance, InstanceDetail, InstanceState};
use crate::domain::operation::{Operation, State};
use crate::domain::quota::{Callers, Measure, Quota};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::store::{Admission, Model, NewOperation, Release, Save, SealedBody, Store};
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
struct Listing {
    machines: Mutex<Vec<Tagged>>,
    lists: AtomicUsize,
    failing: Mutex<bool>,
    given_back: Mutex<Vec<InstanceId>>,
    /// What it only shows to who asks for it by its id.
    untagged: Mutex<Vec<InstanceId>>,
    /// Where a launch is written down each time before the list is answered, and like which.
    launching: Mutex<Option<(Store, Operation)>>,
}

impl Listing {
    /// Somebody launches a machine just now, as the protocol wants it: the journal first.
    async fn launch(&self, store: &Store, like: &Operation) {
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

pub(in crate::operations) fn admission(operation: Operation) -> NewOperation {
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
        let untagged = self.untagged.lock().unwrap();
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
        ids: &[InstanceId],
        _: Signing<'_>,
    ) -> Result<(), CloudError> {
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

pub(in crate::operations) struct World {
    cloud: Arc<Listing>,
    pub(in crate::operations) clock: Clock,
    metrics: Metrics,
    pub(in crate::operations) operations: Operations,
    model: Model,
    pub(in crate::operations) store: Store,
    /// A launch of one machine that failed.
    pub(in crate::operations) failed: Operation,
}

impl World {
    pub(in crate::operations) async fn new() -> Self {
        Self::ahead_by(time::Duration::ZERO).await
    }

    /// The machine's clock is so far ahead of the cloud's.
    async fn ahead_by(ahead: time::Duration) -> Self {
        let config = Config::parse("test.toml", CONFIG, Path::new(".")).unwrap();
        let journalled = include_str!("../../../testdata/journal/operation-v1.json");
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
        let store = Store::of_model(model.clone());
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
            metrics,
            operations,
            model,
            store,
            failed,
        }
    }

    fn show(&self, machines: &[(&str, &str)]) {
        let tagged = machines.iter().map(|(id, value)| Tagged {
            id: InstanceId::parse(id).unwrap(),
            state: InstanceState::Running,
            value: (*value).to_owned(),
            created: Some(self.failed.create_time),
        });
        *self.cloud.machines.lock().unwrap() = tagged.collect();
    }

    /// Lets `seconds` pass.
    async fn pass(&self, seconds: u32) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn orphans(&self) -> i64 {
        let orphans = &self.metrics.operations.orphans;
        orphans.with_label_values(&["main", "ap-shanghai"]).get()
    }

    fn sweeps(&self, result: &str) -> u64 {
        let sweeps = &self.metrics.operations.sweeps;
        sweeps.with_label_values(&["main", result]).get()
    }

    fn adopted(&self) -> u64 {
        let adopted = &self.metrics.operations.orphans_adopted;
        adopted.with_label_values(&["main"]).get()
    }

    /// How many of the machines somebody has.
    async fn owned(&self, ids: &[&str]) -> usize {
        let ids: Vec<_> = ids
            .iter()
            .map(|id| InstanceId::parse(id).unwrap())
            .collect();
        self.store.owners(&ids).await.unwrap().len()
    }

    fn lists(&self) -> usize {
        self.cloud.lists.load(Ordering::SeqCst)
    }

    fn given_back(&self) -> Vec<String> {
        let ids = self.cloud.given_back.lock().unwrap();
        ids.iter().map(|id| id.as_str().to_owned()).collect()
    }
}

#[tokio::test]
async fn what_the_cloud_lost_is_held_no_longer() {
    let world = World::new().await;
    let ids = ["ins-1", "ins-2", "ins-3"].map(|id| InstanceId::parse(id).unwrap());
    let wish = Operation {
        id: OperationId::generate(world.failed.create_time),
        request_id: RequestId::parse("lives").unwrap(),
        state: State::Accepted,
        sequence: 1,
        ..world.failed.clone()
    };
    let Admission::New(lease) = world.store.admit(admission(wish.clone())).await.unwrap() else {
        panic!("the request is new");
    };
    let launched = Operation {
        state: State::Succeeded,
        sequence: 2,
        instances: ids.iter().cloned().map(Instance::named).collect(),
        ..wish.clone()
    };
    let save = Save {
        lease,
        operation: launched,
        attempt: false,
    };
    world.store.save(&[save]).await.unwrap();
    let held = async || {
        let usage = world.store.usage(&wish.organization, world.clock.now());
        let quota = Quota {
            name: String::new(),
            organization: wish.organization.clone(),
            account: None,
            callers: Callers::Any,
            limits: [(Measure::Instances, 0)].into(),
        };
        usage.await.unwrap().levels(&quota, 0)[0].used
    };
    let tag = wish.id.to_string();
    world.show(&[("ins-1", &tag)]);
    *world.cloud.untagged.lock().unwrap() = vec![ids[1].clone()];
    world.pass(130).await;
    assert_eq!(held().await, 3, "left out once");
    world.pass(300).await;
    assert_eq!(held().await, 2, "one is gone, and one only lost its tag");
    world.show(&[("ins-1", &tag), ("ins-3", &tag)]);
    world.pass(310).await;
    assert_eq!(held().await, 3, "it is there after all");
    world.operations.stopped().await;
}

#[tokio::test]
async fn an_orphan_is_seen_twice_and_a_failed_list_is_no_sighting() {
    let world = World::new().await;
    world.show(&[("ins-1", "by-hand")]);
    world.pass(1).await;
    let text = world.metrics.render().unwrap();
    for result in ["ok", "failed"] {
        let none = format!(r#"cvm_gateway_sweeps_total{{account="main",result="{result}"}} 0"#);
        assert!(text.contains(&none), "{none} is not in\n{text}");
    }
    world.pass(124).await;
    assert_eq!((world.lists(), world.orphans()), (1, 0));
    *world.cloud.failing.lock().unwrap() = true;
    world.pass(121).await;
    assert_eq!((world.sweeps("ok"), world.sweeps("failed")), (1, 1));
    assert_eq!((world.lists(), world.orphans()), (2, 0));
    *world.cloud.failing.lock().unwrap() = false;
    world.pass(121).await;
    assert_eq!((world.lists(), world.orphans()), (3, 1));
    world.pass(200).await;
    assert_eq!(world.lists(), 3, "what is sure waits for the interval");
    world.show(&[]);
    world.pass(110).await;
    assert_eq!((world.lists(), world.orphans()), (4, 0));
    assert!(world.given_back().is_empty(), "its operation is unknown");
    world.operations.stopped().await;
}

/// Whoever reads the journal first takes what is launched meanwhile for nobody's.
#[tokio::test]
async fn the_cloud_is_listed_before_the_journal_is_read() {
    let world = World::new().await;
    let inner = &world.operations.0;
    *world.cloud.launching.lock().unwrap() = Some((inner.store.clone(), world.failed.clone()));
    let place = target(&world.failed);
    for machines in 1..=2 {
        // Time passes, for a second list would have to wait for its turn.
        let (started, mut absences) = (world.clock.now(), Absences::new());
        let orphans = inner.orphans(&place, started, &mut absences);
        let (orphans, ()) = tokio::join!(orphans, world.pass(5));
        assert_eq!(orphans.unwrap().unwrap(), []);
        assert_eq!(world.cloud.machines.lock().unwrap().len(), machines);
    }
    world.operations.stopped().await;
}

#[tokio::test]
async fn a_late_machine_is_given_back_and_copies_are_not() {
    let world = World::new().await;
    let id = world.failed.id.to_string();
    world.show(&[("ins-1", &id)]);
    world.pass(250).await;
    assert_eq!(
        (world.orphans(), world.given_back()),
        (1, vec!["ins-1".to_owned()])
    );
    world.pass(900).await;
    assert_eq!(world.given_back(), ["ins-1"], "one within an hour");
    assert_eq!(
        world.owned(&["ins-1"]).await,
        0,
        "what is given back is not adopted"
    );
    world.show(&[("ins-2", &id), ("ins-3", &id)]);
    world.pass(3700).await;
    assert_eq!(world.given_back(), ["ins-1"]);
    world.operations.stopped().await;
}

#[tokio::test]
async fn what_names_an_operation_that_is_over_is_adopted_once_it_is_sure() {
    let world = World::new().await;
    let id = world.failed.id.to_string();
    let all = ["ins-1", "ins-2", "ins-3"];
    world.show(&[(all[0], &id), (all[1], &id), (all[2], "by-hand")]);
    world.pass(130).await;
    assert_eq!(world.owned(&all).await, 0, "seen once");
    world.pass(120).await;
    assert_eq!((world.orphans(), world.adopted()), (3, 2));
    assert_eq!(world.owned(&all).await, 2);
    world.pass(310).await;
    assert_eq!(
        (world.orphans(), world.adopted()),
        (1, 2),
        "it is told once"
    );
    assert!(world.given_back().is_empty());
    world.operations.stopped().await;
}

#[tokio::test]
async fn what_is_released_goes_on_at_once_when_the_machine_is_ahead() {
    let world = World::ahead_by(time::Duration::minutes(10)).await;
    let parked = Operation {
        id: OperationId::generate(world.failed.create_time),
        request_id: RequestId::parse("parked").unwrap(),
        state: State::NeedsOperator,
        ..world.failed.clone()
    };
    world.store.admit(admission(parked.clone())).await.unwrap();
    let release = Release {
        operation: parked.id,
        principal: "operator".to_owned(),
        reason: "it was looked at".to_owned(),
        time: parked.create_time,
    };
    world.model.release_by_hand(release.clone());
    let inner = &world.operations.0;
    inner.release(&release).await.unwrap();
    let (_, released) = inner.table.get(parked.id).unwrap();
    world.pass(5).await;
    let newest = world.store.get(&parked.organization, parked.id).await;
    let newest = newest.unwrap().unwrap();
    assert!(newest.sequence > released.sequence, "{:?}", newest.state);
}
