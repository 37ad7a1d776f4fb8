//! A brownout: for five minutes the cloud answers nothing to hundreds of operations of one account.
//! What is repeated meanwhile is bounded, and afterwards everything comes to its end.

use crate::caller::ends as is_end;
use crate::scenario::machines;
use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::limiter::Limiter;
use cvm_gateway::config::Config;
use cvm_gateway::domain::audit::Call;
use cvm_gateway::domain::ids::{OperationId, OrganizationId, Principal, RequestId};
use cvm_gateway::domain::millis::since;
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::domain::operation::{AttemptResult, OnFailure, Operation, State, StateName};
use cvm_gateway::domain::request::Wish;
use cvm_gateway::domain::rules::Limits;
use cvm_gateway::metrics::Metrics;
use cvm_gateway::operations::{Operations, Rooms, Watch};
use cvm_gateway::policy::{Organization, Policy};
use cvm_gateway::random::Random;
use cvm_gateway::simulator::{Answer, Catalog, Network, Passage, SimulatedCloud, Speed};
use cvm_gateway::store::{Commit, Model, Store};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio::task::JoinSet;

const START: UtcDateTime = utc_datetime!(2026-11-23 12:00);
/// Launches that are answered before the brownout, and given back within it.
const BEFORE: u64 = 40;
/// Launches within it.
const WITHIN: u64 = 260;
const BEGIN: Duration = Duration::from_secs(120);
const END: Duration = Duration::from_secs(120 + 300);
/// How long after it everything must have ended.
const LIVELY: Duration = Duration::from_secs(1800);
/// From probe to probe.
const PROBE_EVERY: u64 = 5;

/// What the cloud does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Calls that change something.
    Changes,
    /// Any call.
    Everything,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How many operations ended so.
    pub(crate) ends: BTreeMap<&'static str, usize>,
    /// Launches and terminations that were called for at least once.
    pub(crate) launches: usize,
    pub(crate) terminations: usize,
    /// Repeated calls of RunInstances that were not answered, and all of them.
    pub(crate) unanswered: usize,
    pub(crate) repeated: usize,
    /// Repeated calls of TerminateInstances, answered or not.
    pub(crate) repeated_terminations: usize,
    /// How long after the brownout the first launch was accepted, and the last operation ended.
    pub(crate) first_success: Duration,
    pub(crate) settled: Duration,
    /// The most calls of one action in one second, by action.
    pub(crate) most: BTreeMap<&'static str, usize>,
}

impl Outcome {
    /// What the budget allows at most: itself, a tenth of the first tries, and the probes.
    pub(crate) fn bound(&self, firsts: usize) -> usize {
        let seconds = (END - BEGIN + self.settled).as_secs();
        100 + firsts / 10 + usize::try_from(1 + seconds / PROBE_EVERY).unwrap()
    }
}

type Calls = Arc<Mutex<Vec<(Duration, &'static str)>>>;

/// Lives through a brownout.
pub(crate) fn run(silence: Silence) -> Outcome {
    let clock = Clock::simulated(START);
    let idle = clock.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || {
            idle.skip();
        })
        .build()
        .unwrap();
    let calls = Calls::default();
    let journal_clock = clock.clone();
    let model = Model::new(Arc::new(move || journal_clock.now()));
    let settled = runtime.block_on(async {
        let operations = start(&clock, &model, network(&clock, &calls, silence));
        let all = submit_all(&clock, &operations);
        let all = clock.timeout(END + LIVELY, all).await;
        assert!(all.is_some(), "some have not ended after {LIVELY:?}");
        since(clock.now(), START).saturating_sub(END)
    });
    drop(runtime);
    let calls = calls.lock().unwrap().clone();
    judge(&model.commits(), &calls, settled)
}

/// The cloud answers nothing within the brownout. A quarter cannot even be sent, as at a front door
/// that is overrun.
fn network(clock: &Clock, calls: &Calls, silence: Silence) -> Network {
    let (clock, calls) = (clock.clone(), Arc::clone(calls));
    Arc::new(move |action| {
        let at = since(clock.now(), START);
        let mut calls = calls.lock().unwrap();
        calls.push((at, action));
        let changes = matches!(action, "RunInstances" | "TerminateInstances");
        let lost = (changes || silence == Silence::Everything) && (BEGIN..END).contains(&at);
        let answer = match calls.len() % 4 {
            _ if !lost => Answer::Given,
            0 => Answer::Broken(cvm_gateway::cloud::Fault::ConnectFailed),
            _ => Answer::Silence,
        };
        let millis = Duration::from_millis;
        Passage {
            arrivals: if lost { Vec::new() } else { vec![millis(100)] },
            back: millis(200),
            answer,
        }
    })
}

fn start(clock: &Clock, model: &Model, network: Network) -> Operations {
    let text = "[organizations.development]\ndefault_account = \"main\"\n\
                [organizations.development.accounts.main]\nsecret_id = \"AKIDfakeForSimulations\"\nsecret_key = \"fakeSecretKey\"\n\
                [operations.sweep]\ninterval = \"0s\"\n";
    let config = Config::parse("simulation", text, Path::new("")).unwrap();
    let metrics = Metrics::new("simulation").unwrap();
    let settings = cvm_gateway::simulator::Settings {
        catalog: Catalog::parse(include_str!("catalog.toml")).unwrap(),
        speed: Speed::REAL,
        seed: 1,
    };
    let limiter = Limiter::new(
        config.cloud_limits,
        None,
        clock.clone(),
        metrics.cloud.clone(),
    );
    let rooms = Rooms {
        store: Store::of_model(model.clone()),
        cloud: Arc::new(SimulatedCloud::new(settings, clock.clone(), network)),
        limiter,
        clock: clock.clone(),
        random: Random::seeded(1),
        metrics,
    };
    Operations::start(config.operations, rooms)
}

/// Launches some, then more, and gives the first ones back, each followed to its end.
async fn submit_all(clock: &Clock, operations: &Operations) {
    let (organization, account) = (
        OrganizationId::parse("development").unwrap(),
        AccountName::parse("main").unwrap(),
    );
    let owns = Organization {
        default_account: account.clone(),
        accounts: vec![account],
    };
    let policy = Arc::new(Policy::new([(organization.clone(), owns)].into()));
    let principal = Principal {
        name: "developer".to_owned(),
        organization,
    };
    let mut lives = JoinSet::new();
    for number in 0..BEFORE + WITHIN {
        let (clock, operations) = (clock.clone(), operations.clone());
        let (policy, principal) = (Arc::clone(&policy), principal.clone());
        lives.spawn(async move {
            let early = number < BEFORE;
            let spread = if early {
                500 * number
            } else {
                120_000 + 900 * (number - BEFORE)
            };
            clock.sleep(Duration::from_millis(spread)).await;
            let (wish, now) = (wish(number), clock.now());
            let print = wish.fingerprint().unwrap();
            let proposal = policy.propose(&principal, wish, &Limits::default(), now, now);
            let grant = policy.authorize(proposal.unwrap(), now).unwrap();
            let launched = end(operations
                .submit(&grant, print, Call::default())
                .await
                .unwrap())
            .await;
            if early {
                assert_eq!(launched.state.name(), StateName::Succeeded);
                clock
                    .sleep_until(START + BEGIN + Duration::from_secs(number))
                    .await;
                let ids = launched
                    .instances
                    .iter()
                    .map(|instance| instance.id.clone());
                let owned = operations
                    .owned(&principal.organization, ids.collect())
                    .await;
                let grant = policy
                    .authorize_termination(&principal, owned.unwrap(), clock.now())
                    .unwrap();
                let name = RequestId::parse(&format!("back-{number}")).unwrap();
                end(operations
                    .terminate(&grant, name, None, Call::default())
                    .await
                    .unwrap())
                .await;
            }
        });
    }
    while let Some(life) = lives.join_next().await {
        life.unwrap();
    }
}

/// The last snapshot.
async fn end(mut watch: Watch) -> Arc<Operation> {
    let mut last = None;
    while let Some(snapshot) = watch.next().await.unwrap() {
        last = Some(snapshot);
    }
    last.unwrap()
}

fn wish(number: u64) -> Wish {
    Wish {
        request_id: RequestId::parse(&format!("r-{number}")).unwrap(),
        account: None,
        region: Region::parse("ap-shanghai").unwrap(),
        spec: machines("S5.SMALL1", 1),
        alternatives: Vec::new(),
        on_failure: OnFailure::Keep,
    }
}

fn judge(
    commits: &[Arc<Commit>],
    calls: &[(Duration, &'static str)],
    settled: Duration,
) -> Outcome {
    let mut newest: BTreeMap<OperationId, Arc<Operation>> = BTreeMap::new();
    let mut calls_of: BTreeMap<OperationId, u32> = BTreeMap::new();
    let mut first_success = None;
    for commit in commits {
        let operation = &commit.operation;
        if let State::Terminating(termination) = &operation.state {
            calls_of.insert(operation.id, termination.calls);
        }
        let at = since(commit.at, START);
        if operation.state.name() == StateName::Launched && at >= END {
            first_success = first_success.or(Some(at - END));
        }
        newest.insert(operation.id, Arc::clone(operation));
    }
    let mut ends = BTreeMap::new();
    for operation in newest.values() {
        assert!(is_end(operation.state.name()), "{operation:?}");
        *ends.entry(operation.state.name().as_str()).or_insert(0) += 1;
    }
    let attempts = |operation: &Arc<Operation>| operation.attempts.clone();
    let repeated = newest
        .values()
        .flat_map(|operation| attempts(operation).into_iter().skip(1));
    let repeated: Vec<_> = repeated.collect();
    let unanswered = repeated
        .iter()
        .filter(|attempt| attempt.result != AttemptResult::Accepted);
    let again = |calls: &u32| usize::try_from(calls.saturating_sub(1)).unwrap();
    Outcome {
        ends,
        launches: newest
            .values()
            .filter(|operation| !operation.attempts.is_empty())
            .count(),
        terminations: calls_of.len(),
        unanswered: unanswered.count(),
        repeated: repeated.len(),
        repeated_terminations: calls_of.values().map(again).sum(),
        first_success: first_success.unwrap(),
        settled,
        most: most(calls),
    }
}

/// The most calls of one action in one second.
fn most(calls: &[(Duration, &'static str)]) -> BTreeMap<&'static str, usize> {
    let mut most = BTreeMap::new();
    for (number, (start, action)) in calls.iter().enumerate() {
        let second = calls[number..]
            .iter()
            .take_while(|(at, _)| *at - *start < Duration::from_secs(1));
        let count = second.filter(|(_, other)| other == action).count();
        let most = most.entry(*action).or_insert(0);
        *most = count.max(*most);
    }
    most
}
