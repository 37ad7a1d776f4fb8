//! What polling costs, how soon it sees, and that one machine does not hide the others.

use async_trait::async_trait;
use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::limiter::{self, Limiter, Permit};
use cvm_gateway::cloud::{
    Accepted, Cloud, CloudError, Effect, Fault, Leaving, Retry, Signing, Tagged, Target,
};
use cvm_gateway::config::Config;
use cvm_gateway::domain::audit::Call;
use cvm_gateway::domain::ids::{OrganizationId, Principal, RequestId};
use cvm_gateway::domain::instance::{InstanceDetail, InstanceId, InstanceState};
use cvm_gateway::domain::millis::since;
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::domain::operation::{OnFailure, Operation, StateName};
use cvm_gateway::domain::reason::Reason;
use cvm_gateway::domain::request::Wish;
use cvm_gateway::domain::rules::Limits;
use cvm_gateway::domain::spec::{InstanceSpec, Placement};
use cvm_gateway::metrics::Metrics;
use cvm_gateway::operations::{Operations, Rooms};
use cvm_gateway::policy::{Organization, Policy};
use cvm_gateway::random::Random;
use cvm_gateway::store::{Model, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use time::UtcDateTime;
use time::macros::utc_datetime;

const START: UtcDateTime = utc_datetime!(2026-11-23 12:00);
const SECOND: Duration = Duration::from_secs(1);

/// A cloud of machines that come up after 20 to 40 s, and a list of the calls.
#[derive(Debug)]
struct Fleet {
    clock: Clock,
    state: Mutex<State>,
    weakness: Weakness,
}

/// What the cloud does not do as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weakness {
    None,
    /// A call that names the machine of that number is refused.
    Refuses(usize),
    /// It tells states only.
    DescribesNothing,
    /// What it tells of more machines than these is too long to be read.
    DescribesUpTo(usize),
}

#[derive(Debug, Default)]
struct State {
    /// When each runs.
    machines: BTreeMap<InstanceId, UtcDateTime>,
    refused: BTreeSet<InstanceId>,
    /// When the states of how many machines were asked for.
    polls: Vec<(UtcDateTime, usize)>,
    descriptions: usize,
}

impl State {
    /// How late it was seen that the machine of an operation runs.
    fn lag(&self, operation: &Operation) -> Duration {
        let instance = &operation.instances[0];
        since(instance.running_time.unwrap(), self.machines[&instance.id])
    }
}

impl Fleet {
    fn refuse(&self, ids: &[InstanceId]) -> Result<(), CloudError> {
        let refused = &self.state.lock().unwrap().refused;
        if ids.iter().any(|id| refused.contains(id)) {
            return Err(CloudError {
                effect: Effect::Definite,
                reason: Reason::ResourceNotFound,
                retry: Retry::No,
                code: "InvalidInstanceId.NotFound".to_owned(),
                message: String::new(),
                fields: vec!["InstanceIds".to_owned()],
                request_id: None,
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Cloud for Fleet {
    fn host(&self, _: &Target) -> String {
        "fleet.invalid".to_owned()
    }

    async fn run_instances(
        &self,
        _: Permit,
        _: &Target,
        _: &[u8],
        _: Signing<'_>,
    ) -> Result<Accepted, CloudError> {
        let mut state = self.state.lock().unwrap();
        let number = state.machines.len();
        let id = InstanceId::parse(&format!("ins-{number:08}")).unwrap();
        let takes = Duration::from_millis(20_000 + u64::try_from(number * 7919 % 20_000).unwrap());
        state.machines.insert(id.clone(), self.clock.now() + takes);
        if self.weakness == Weakness::Refuses(number) {
            state.refused.insert(id.clone());
        }
        Ok(Accepted {
            instance_ids: vec![id],
            request_id: number.to_string(),
        })
    }

    async fn describe_instances_status(
        &self,
        _: Permit,
        _: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<(InstanceId, InstanceState)>, CloudError> {
        assert!((1..=100).contains(&ids.len()));
        let now = self.clock.now();
        self.state.lock().unwrap().polls.push((now, ids.len()));
        self.refuse(ids)?;
        let state = self.state.lock().unwrap();
        let shown = ids.iter().map(|id| {
            let runs = state.machines[id] <= now;
            let state = if runs {
                InstanceState::Running
            } else {
                InstanceState::Pending
            };
            (id.clone(), state)
        });
        Ok(shown.collect())
    }

    async fn describe_instances(
        &self,
        _: Permit,
        _: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        self.refuse(ids)?;
        if self.weakness == Weakness::DescribesNothing {
            return Err(Fault::Timeout.error("no answer"));
        }
        if matches!(self.weakness, Weakness::DescribesUpTo(most) if ids.len() > most) {
            return Err(Fault::AnswerTooLarge.error("metadata"));
        }
        self.state.lock().unwrap().descriptions += 1;
        let detail = |id: &InstanceId| InstanceDetail {
            id: id.clone(),
            state: InstanceState::Running,
            name: String::new(),
            zone: String::new(),
            instance_type: String::new(),
            private_ip_addresses: Vec::new(),
            public_ip_addresses: Vec::new(),
            latest_operation_error: String::new(),
        };
        Ok(ids.iter().map(detail).collect())
    }

    async fn terminate_instances(
        &self,
        _: Permit,
        _: &Target,
        _: Leaving<'_>,
        _: Signing<'_>,
    ) -> Result<(), CloudError> {
        panic!("nothing is given back here")
    }

    /// What nobody asked for is not shown: the sweep is not what is tested here.
    async fn list_tagged(&self, _: Permit, _: &Target, _: &str) -> Result<Vec<Tagged>, CloudError> {
        Ok(Vec::new())
    }

    async fn find_by_tag(
        &self,
        _: Permit,
        _: &Target,
        _: &str,
        _: &str,
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        panic!("nothing is in doubt here")
    }
}

/// Launches `count` machines at once, each by an operation of its own, in simulated time; how the
/// operations ended, and what the cloud saw.
fn launch(count: usize, weakness: Weakness) -> (Vec<Arc<Operation>>, State) {
    launch_and_read(count, weakness, None)
}

/// The same with so many reads a second, or as many as are the default.
fn launch_and_read(
    count: usize,
    weakness: Weakness,
    reads: Option<u32>,
) -> (Vec<Arc<Operation>>, State) {
    let clock = Clock::simulated(START);
    let idle = clock.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || {
            idle.skip();
        })
        .build()
        .unwrap();
    let fleet = Arc::new(Fleet {
        clock: clock.clone(),
        state: Mutex::default(),
        weakness,
    });
    let ended = runtime.block_on(live(count, reads, Arc::clone(&fleet), clock));
    drop(runtime);
    let state = std::mem::take(&mut *fleet.state.lock().unwrap());
    (ended, state)
}

async fn live(
    count: usize,
    reads: Option<u32>,
    fleet: Arc<Fleet>,
    clock: Clock,
) -> Vec<Arc<Operation>> {
    let text = "[organizations.development]\ndefault_account = \"main\"\n\
                [organizations.development.accounts.main]\n\
                secret_id = \"AKIDfakeForSimulations\"\nsecret_key = \"fakeSecretKey\"\n";
    let config = Config::parse("polling", text, Path::new("")).unwrap();
    let metrics = Metrics::new("polling").unwrap();
    let limits = limiter::Settings {
        run_instances_per_second: 1_000,
        describe_per_second: reads.unwrap_or(config.cloud_limits.describe_per_second),
        ..config.cloud_limits
    };
    let journal = clock.clone();
    let rooms = Rooms {
        store: Store::of_model(Model::new(Arc::new(move || journal.now()))),
        cloud: fleet,
        limiter: Limiter::new(limits, None, clock.clone(), metrics.cloud.clone()),
        clock,
        random: Random::seeded(7),
        metrics,
    };
    let operations = Operations::start(config.operations, rooms);
    let mut watches = Vec::new();
    for number in 0..count {
        watches.push(submit(&operations, number).await);
    }
    let mut ended = Vec::new();
    for mut watch in watches {
        let mut last = None;
        while let Some(operation) = watch.next().await.unwrap() {
            last = Some(operation);
        }
        ended.push(last.unwrap());
    }
    operations.stopped().await;
    ended
}

async fn submit(operations: &Operations, number: usize) -> cvm_gateway::operations::Watch {
    let organization = OrganizationId::parse("development").unwrap();
    let account = AccountName::parse("main").unwrap();
    let owns = Organization {
        default_account: account.clone(),
        accounts: vec![account],
    };
    let principal = Principal {
        name: "developer".to_owned(),
        organization: organization.clone(),
    };
    let wish = Wish {
        request_id: RequestId::parse(&format!("poll-{number}")).unwrap(),
        account: None,
        region: Region::parse("ap-shanghai").unwrap(),
        spec: InstanceSpec {
            placement: Some(Placement {
                zone: "ap-shanghai-2".to_owned(),
                ..Placement::default()
            }),
            image_id: Some("img-pmqg1cw7".to_owned()),
            instance_type: Some("S5.SMALL1".to_owned()),
            ..InstanceSpec::default()
        },
        alternatives: Vec::new(),
        on_failure: OnFailure::Keep,
    };
    let print = wish.fingerprint().unwrap();
    let policy = Policy::new([(organization, owns)].into());
    let now = UtcDateTime::UNIX_EPOCH;
    let proposal = policy.propose(&principal, wish, &Limits::default(), now, now);
    let grant = policy.authorize(proposal.unwrap(), now).unwrap();
    operations
        .submit(&grant, print, Call::default())
        .await
        .unwrap()
}

/// The most calls that any second holds.
fn most_in_a_second(polls: &[(UtcDateTime, usize)]) -> usize {
    let from = |at: UtcDateTime| {
        let within = |(then, _): &&(UtcDateTime, usize)| (at..at + SECOND).contains(then);
        polls.iter().filter(within).count()
    };
    polls.iter().map(|(at, _)| from(*at)).max().unwrap_or(0)
}

#[test]
fn a_thousand_launches_at_once_cost_ten_calls_a_round_and_are_seen_soon() {
    let (ended, state) = launch(1_000, Weakness::None);
    let mut lags = Vec::new();
    for operation in &ended {
        assert_eq!(operation.state.name(), StateName::Succeeded);
        lags.push(state.lag(operation));
    }
    lags.sort();
    let mean = lags.iter().sum::<Duration>() / 1_000;
    let p99 = lags[989];
    let (calls, most) = (state.polls.len(), most_in_a_second(&state.polls));
    let told = format!(
        "{calls} polls and {} descriptions for 1,000 launches, at most {most} polls in a second; \
         lag {mean:?} in the mean, {p99:?} p99",
        state.descriptions
    );
    assert!(most <= 12, "{told}");
    assert!(calls <= 420, "{told}");
    assert!(mean <= SECOND && p99 <= 3 * SECOND, "{told}");
}

/// With two reads a second the ten calls of a round take five.
#[test]
fn what_a_call_tells_waits_for_no_other_call() {
    let (ended, state) = launch_and_read(1_000, Weakness::None, Some(2));
    let lags = ended.iter().map(|operation| state.lag(operation));
    let mean = lags.sum::<Duration>() / 1_000;
    assert!(mean <= Duration::from_millis(2_500), "{mean:?}");
}

#[test]
fn a_machine_that_calls_are_refused_for_hides_no_other() {
    let (ended, state) = launch(100, Weakness::Refuses(41));
    let refused = state.refused.first().unwrap();
    for operation in &ended {
        let instance = &operation.instances[0];
        if instance.id == *refused {
            // As for one that the cloud does not show: only after the grace.
            assert_eq!(operation.state.name(), StateName::Failed);
            let age = since(operation.update_time, operation.create_time);
            assert!(age > Duration::from_secs(60), "{age:?}");
        } else {
            assert_eq!(operation.state.name(), StateName::Succeeded);
            let lag = state.lag(operation);
            assert!(lag <= 6 * SECOND, "{lag:?}");
        }
    }
    // It is found once, by halves, and then asked for alone.
    let alone = state.polls.iter().filter(|(_, machines)| *machines == 1);
    assert!(alone.count() > 5);
    let most = most_in_a_second(&state.polls);
    assert!(most <= 20, "{most} polls in a second");
}

/// Who may only ask for states, or whose descriptions fail, has its machines all the same: at the end of the
/// time they would else be told as failed, or be given back.
#[test]
fn a_machine_that_is_never_described_runs_nevertheless() {
    let (ended, state) = launch(2, Weakness::DescribesNothing);
    for operation in &ended {
        assert_eq!(operation.state.name(), StateName::Succeeded);
        assert_eq!(operation.instances[0].state, Some(InstanceState::Running));
    }
    assert_eq!(state.descriptions, 0);
}

/// The metadata of some is in the answer about all, whoever launched them.
#[test]
fn machines_whose_descriptions_are_long_are_described_in_parts() {
    let (ended, _) = launch(100, Weakness::DescribesUpTo(3));
    for operation in &ended {
        assert_eq!(operation.state.name(), StateName::Succeeded);
        let age = since(operation.update_time, operation.create_time);
        assert!(age <= Duration::from_secs(60), "{age:?}");
    }
}
