//! One simulated run: replicas, their journal, their cloud and their callers on one thread and on a
//! time that skips every wait.

use crate::caller;
use crate::check;
use crate::dice::Dice;
use crate::process::{Process, Reached};
use crate::scenario::{Event, Scenario, What};
use crate::trace::Trace;
use crate::weather;
use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::limiter::{self, Ask, Block, Limiter};
use cvm_gateway::config::Config;
use cvm_gateway::domain::ids::{OperationId, OrganizationId, Principal};
use cvm_gateway::domain::millis::since;
use cvm_gateway::domain::names::AccountName;
use cvm_gateway::domain::operation::{AttemptResult, Failure, Operation, StateName};
use cvm_gateway::metrics::Metrics;
use cvm_gateway::operations::{Operations, Rooms, Settings};
use cvm_gateway::policy::{Organization, Policy};
use cvm_gateway::random::Random;
use cvm_gateway::simulator::{Catalog, SimulatedCloud, Speed};
use cvm_gateway::store::{Model, Release, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio_util::task::TaskTracker;

const START: UtcDateTime = utc_datetime!(2026-11-23 12:00);
/// How long after the faults every operation must have ended: quarantine and proofs, the longest
/// rest between attempts, a launch at its slowest.
pub(crate) const LIVELY: Duration = Duration::from_secs(1800);
/// After that, until everything that is under way has arrived.
const ARRIVED: Duration = Duration::from_secs(150);
/// The same, where what arrives may be late.
const ARRIVED_LATE: Duration = Duration::from_secs(420);

/// What all seeds share: the product's own defaults, but no search for orphans: it takes no part in
/// the protocol, and its calls in every region would be most of a run.
struct Defaults {
    operations: Settings,
    limiter: limiter::Settings,
    metrics: Metrics,
}

static DEFAULTS: LazyLock<Defaults> = LazyLock::new(|| {
    let text = "[organizations.development]\ndefault_account = \"main\"\n\
                [organizations.development.accounts.main]\nsecret_id = \"AKIDfakeForSimulations\"\nsecret_key = \"fakeSecretKey\"\n\
                [operations.sweep]\ninterval = \"0s\"\n";
    let config = Config::parse("simulation", text, Path::new("")).unwrap();
    Defaults {
        operations: config.operations,
        limiter: config.cloud_limits,
        metrics: Metrics::new("simulation").unwrap(),
    }
});

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) violations: Vec<String>,
    /// Of every event in its order: the same seed gives the same.
    pub(crate) trace: u64,
    pub(crate) events: u64,
    /// How often the first replica's first process stood at a gate.
    pub(crate) gates: u64,
    /// How long after the faults the last caller saw its end.
    pub(crate) settled: Duration,
    /// How many operations ended in which state.
    pub(crate) ends: BTreeMap<&'static str, u64>,
}

/// The run's shared things.
pub(crate) struct Sim {
    pub(crate) scenario: Scenario,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) model: Model,
    pub(crate) cloud: SimulatedCloud,
    pub(crate) policy: Policy,
    pub(crate) principal: Principal,
    pub(crate) tasks: TaskTracker,
    state: Mutex<State>,
}

struct State {
    slots: Vec<Option<Replica>>,
    processes: u64,
    gates: u64,
    calm: bool,
    cloud_down_until: Duration,
    journal_down_until: Duration,
    /// Key → the journal's time of the next call that nobody has taken.
    slots_taken: BTreeMap<String, Duration>,
    trace: Trace,
    violations: Vec<String>,
    sent: Vec<Sent>,
    heard: Vec<caller::Heard>,
}

/// A call as it left a replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) action: &'static str,
}

#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) process: Arc<Process>,
    pub(crate) operations: Operations,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.scenario.seed)
            .finish_non_exhaustive()
    }
}

/// Lives through a scenario. `shown` prints the trace.
pub(crate) fn run(scenario: Scenario, shown: bool) -> Report {
    let clock = Clock::simulated(START);
    let idle = clock.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || {
            idle.skip();
        })
        .build()
        .unwrap();
    let sim = Arc::new(Sim::new(scenario, clock, shown));
    let settled = runtime.block_on(Arc::clone(&sim).live());
    for violation in check::violations(&sim) {
        sim.violated(violation);
    }
    let mut ends = BTreeMap::new();
    for operation in sim.newest().values() {
        *ends.entry(operation.state.name().as_str()).or_default() += 1;
    }
    let state = sim.lock();
    let report = Report {
        ends,
        violations: state.violations.clone(),
        trace: state.trace.hash(),
        events: state.trace.events(),
        gates: state.gates,
        settled,
    };
    drop(state);
    drop(runtime);
    report
}

impl Sim {
    fn new(scenario: Scenario, clock: Clock, shown: bool) -> Self {
        let organization = OrganizationId::parse("development").unwrap();
        let account = AccountName::parse("main").unwrap();
        let owns = Organization {
            default_account: account.clone(),
            accounts: vec![account],
        };
        let journal_clock = clock.skewed(time::Duration::milliseconds(scenario.journal_skew));
        let settings = cvm_gateway::simulator::Settings {
            catalog: catalog(&scenario.catalog),
            speed: Speed::REAL,
            seed: scenario.seed,
        };
        let idle = Arc::new(|_| weather::fair());
        Self {
            dice: Dice::new(scenario.seed ^ 0x5eed),
            model: Model::new(Arc::new(move || journal_clock.now())),
            cloud: SimulatedCloud::new(settings, clock.clone(), idle),
            policy: Policy::new([(organization.clone(), owns)].into()),
            principal: Principal {
                name: "developer".to_owned(),
                organization,
            },
            tasks: TaskTracker::new(),
            state: Mutex::new(State {
                slots: vec![None; scenario.replicas],
                processes: 0,
                gates: 0,
                calm: false,
                cloud_down_until: Duration::ZERO,
                journal_down_until: Duration::ZERO,
                slots_taken: BTreeMap::new(),
                trace: Trace::new(shown),
                violations: Vec::new(),
                sent: Vec::new(),
                heard: Vec::new(),
            }),
            scenario,
            clock,
        }
    }

    /// The faults, then the calm; gives how long into the calm the last caller heard its end.
    async fn live(self: Arc<Self>) -> Duration {
        for replica in 0..self.scenario.replicas {
            self.start(replica);
        }
        for event in self.scenario.events.clone() {
            self.tasks.spawn(Arc::clone(&self).happen(event));
        }
        let callers = TaskTracker::new();
        for (number, caller) in self.scenario.callers.iter().cloned().enumerate() {
            callers.spawn(caller::live(Arc::clone(&self), number, caller));
        }
        callers.close();
        self.clock.sleep(self.scenario.calm_at).await;
        self.become_calm();
        let settled = self.clock.timeout(LIVELY, callers.wait()).await.is_some();
        let took = self.elapsed() - self.scenario.calm_at;
        if !settled {
            self.violated(format!(
                "I15: {} callers have not heard the end {LIVELY:?} after the faults",
                callers.len()
            ));
        }
        // What a person released goes on although its callers have heard of an end.
        self.clock.timeout(LIVELY, self.all_have_ended()).await;
        let late = self.scenario.network.late + self.scenario.network.repeated > 0;
        let arrived = if late { ARRIVED_LATE } else { ARRIVED };
        self.clock.sleep(arrived).await;
        took
    }

    async fn all_have_ended(&self) {
        let ended = |newest: &Arc<Operation>| caller::ends(newest.state.name());
        while !self
            .newest()
            .values()
            .all(|newest| ended(newest) && !is_parked(newest))
        {
            self.clock.sleep(Duration::from_secs(10)).await;
        }
    }

    fn become_calm(self: &Arc<Self>) {
        self.note(format_args!("calm"));
        self.lock().calm = true;
        self.tasks.spawn(Arc::clone(self).release_what_is_parked());
        for replica in 0..self.scenario.replicas {
            match self.replica(replica) {
                Some(replica) => {
                    replica.process.go_on();
                }
                None => self.start(replica),
            }
        }
    }

    /// The person who is called when an operation was parked: lets it go on once all is mended.
    async fn release_what_is_parked(self: Arc<Self>) {
        loop {
            self.clock.sleep(Duration::from_secs(10)).await;
            for operation in self.newest().values().filter(|newest| is_parked(newest)) {
                self.note(format_args!("a person releases {}", operation.id));
                self.model.release_by_hand(Release {
                    operation: operation.id,
                    principal: "operator".to_owned(),
                    reason: "it was the weather".to_owned(),
                    time: self.clock.now(),
                });
            }
        }
    }

    async fn happen(self: Arc<Self>, event: Event) {
        self.clock.sleep(event.at).await;
        if self.is_calm() {
            return;
        }
        self.note(format_args!("{:?}", event.what));
        match event.what {
            What::Crash(replica, down) => {
                if let Some(replica) = self.replica(replica) {
                    replica.process.become_dead();
                }
                self.clock.sleep(down).await;
            }
            What::Pause(number, long) => {
                let Some(replica) = self.replica(number) else {
                    return;
                };
                replica.process.stand_still();
                self.clock.sleep(long).await;
                replica.process.go_on();
            }
            What::CloudOutage(long) => {
                self.lock().cloud_down_until = self.elapsed() + long;
            }
            What::JournalOutage(long) => {
                self.lock().journal_down_until = self.elapsed() + long;
            }
        }
    }

    /// Starts a replica, unless it runs.
    fn start(self: &Arc<Self>, number: usize) {
        let mut state = self.lock();
        if state.slots.get(number).is_none_or(Option::is_some) {
            return;
        }
        let nth = state.processes;
        state.processes += 1;
        drop(state);
        let crash_at = self.scenario.crash_at;
        let first = nth < u64::try_from(self.scenario.replicas).unwrap();
        let crash_at = crash_at.filter(|(replica, _)| first && *replica == number);
        let process = Arc::new(Process::new(number, crash_at.map(|(_, gate)| gate)));
        let skew = time::Duration::milliseconds(self.scenario.skews[number]);
        let clock = self.clock.skewed(skew);
        let reached = Reached {
            process: Arc::clone(&process),
            cloud: self.cloud.behind(weather::network(self)),
            sim: Arc::clone(self),
        };
        let rooms = Rooms {
            store: Store::of_model(self.model.under(weather::journal(self, &process))),
            cloud: Arc::new(reached),
            limiter: Limiter::new(
                DEFAULTS.limiter.clone(),
                Some(weather::slots(self, &process)),
                clock.clone(),
                DEFAULTS.metrics.cloud.clone(),
            ),
            clock,
            random: Random::seeded(self.scenario.seed.wrapping_mul(1009).wrapping_add(nth)),
            metrics: DEFAULTS.metrics.clone(),
        };
        let mut settings = DEFAULTS.operations.clone();
        settings.timings.token_trust_window = self.scenario.token_trust_window;
        settings.quotas.clone_from(&self.scenario.quotas);
        let operations = Operations::start(settings, rooms);
        self.note(format_args!("replica {number} starts"));
        let replica = Replica {
            process,
            operations,
        };
        self.lock().slots[number] = Some(replica.clone());
        self.tasks.spawn(Arc::clone(self).bury(replica));
    }

    /// Waits for a process to die, and starts the next one.
    async fn bury(self: Arc<Self>, replica: Replica) {
        replica.process.died().await;
        let number = replica.process.replica;
        self.note(format_args!("replica {number} died"));
        // Its loops end; whatever they still want waits at a gate for ever.
        replica.operations.begin_stop();
        self.lock().slots[number] = None;
        self.clock.sleep(self.dice.millis(100, 40_000)).await;
        self.start(number);
    }

    /// One of the replicas, if it runs.
    pub(crate) fn any_replica(&self) -> Option<Replica> {
        let replicas = u64::try_from(self.scenario.replicas).unwrap();
        let number = usize::try_from(self.dice.below(replicas)).unwrap();
        self.replica(number)
    }

    pub(crate) fn replica(&self, number: usize) -> Option<Replica> {
        self.lock().slots.get(number).cloned().flatten()
    }

    /// Whether three claims of an operation may have come to nothing.
    pub(crate) fn may_park(&self) -> bool {
        let deaths = self.scenario.events.len() + usize::from(self.scenario.crash_at.is_some());
        deaths >= 3 || self.scenario.journal.commit_unknown > 0 && self.scenario.replicas > 1
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.lock().calm
    }

    pub(crate) fn cloud_is_down(&self) -> bool {
        let state = self.lock();
        !state.calm && self.elapsed() < state.cloud_down_until
    }

    pub(crate) fn journal_is_down(&self) -> bool {
        let state = self.lock();
        !state.calm && self.elapsed() < state.journal_down_until
    }

    pub(crate) fn elapsed(&self) -> Duration {
        since(self.clock.now(), START)
    }

    /// Takes slots of a budget, as the journal gives them out.
    pub(crate) fn take_slots(&self, ask: &Ask) -> Block {
        let now = self.elapsed();
        let mut state = self.lock();
        let next = state.slots_taken.entry(ask.key.clone());
        let next = next.or_insert(now + ask.interval);
        let first = now.max(*next);
        *next = first + ask.interval * ask.count;
        Block { now, first }
    }

    /// Adds to the trace.
    pub(crate) fn note(&self, event: fmt::Arguments<'_>) {
        let at = self.elapsed();
        self.lock().trace.note(at, event);
    }

    pub(crate) fn violated(&self, what: String) {
        self.note(format_args!("VIOLATED {what}"));
        self.lock().violations.push(what);
    }

    /// A call left a replica.
    pub(crate) fn sent(&self, replica: usize, action: &'static str) {
        self.note(format_args!("replica {replica} calls {action}"));
        let at = self.elapsed();
        self.lock().sent.push(Sent { at, action });
    }

    /// A launch is about to leave: its attempt must be in the journal, as it is sent.
    pub(crate) fn launch_sent(&self, body: &[u8], signed_at: UtcDateTime) {
        let body: Value = serde_json::from_slice(body).unwrap();
        let id = check::operation_of(&body);
        let of = id.as_ref().and_then(|id| OperationId::parse(id).ok());
        let attempts = of.map_or(Vec::new(), |id| self.model.attempts_of(id));
        let journalled = attempts
            .iter()
            .any(|attempt| attempt.signed_at == signed_at && is_open(&attempt.result));
        if !journalled {
            self.violated(format!(
                "I3: {id:?} is sent as of {signed_at} without an attempt in the journal"
            ));
        }
    }

    pub(crate) fn sendings(&self) -> Vec<Sent> {
        self.lock().sent.clone()
    }

    pub(crate) fn heard(&self, heard: caller::Heard) {
        self.lock().heard.push(heard);
    }

    pub(crate) fn all_heard(&self) -> Vec<caller::Heard> {
        self.lock().heard.clone()
    }

    /// The newest snapshot of each operation in the journal.
    pub(crate) fn newest(&self) -> BTreeMap<String, Arc<Operation>> {
        let commits = self.model.commits().into_iter();
        let newest = commits.map(|commit| (commit.operation.id, Arc::clone(&commit.operation)));
        let newest: BTreeMap<_, _> = newest.collect();
        let named = newest.into_iter();
        named.map(|(id, newest)| (id.to_string(), newest)).collect()
    }

    pub(crate) fn count_gate(&self, process: &Process) {
        let mut state = self.lock();
        if process.replica == 0 && state.processes == 1 {
            state.gates = process.gates();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The catalogue of that text, read once: many seeds have the same.
fn catalog(text: &str) -> Catalog {
    static READ: Mutex<BTreeMap<String, Catalog>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let catalog = read.entry(text.to_owned());
    let catalog = catalog.or_insert_with(|| Catalog::parse(text).unwrap());
    catalog.clone()
}

/// Whether too many processes died with it.
pub(crate) fn is_parked(operation: &Operation) -> bool {
    let parked = |failure: &Failure| failure.message.starts_with("parked after");
    operation.state.name() == StateName::NeedsOperator
        && operation.failure.as_ref().is_some_and(parked)
}

/// Whether an attempt may be on its way: who took the launch over from a slow sender doubts it.
fn is_open(result: &AttemptResult) -> bool {
    matches!(result, AttemptResult::Pending | AttemptResult::Ambiguous(_))
}
