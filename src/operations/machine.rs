//! The launch protocol as one pure table: what to do next, and what an outcome changes.

mod change;
mod doubt;
mod held_back;
mod termination;

use crate::chaos;
use crate::domain::instance::{Instance, InstanceDetail, InstanceId, InstanceState};
use crate::domain::operation::{
    Attempt, AttemptResult, Cancellation, Failure, Operation, State, StateName, Transition,
};
use change::Change;
pub(super) use held_back::{patience, tried};
use std::time::Duration;
pub(super) use termination::{callable, polled_before_a_call};
use time::UtcDateTime;

/// How long and how often; every wait of the protocol comes from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How old the journalled signing time may be when the first byte leaves.
    pub attempt_life: Duration,
    /// How long after the first attempt the cloud is trusted to know the token: inside it an
    /// empty look-up is enough to send again. Zero: never.
    pub token_trust_window: Duration,
    /// How long after an attempt its bytes may still act or be invisible: signature life (300 s)
    /// and clock skew (60 s), accept to create (120 s), look-up lag (60 s).
    pub quarantine: Duration,
    /// From the doubt to the first look-up: tags bind some seconds after the machine exists.
    pub first_look_up: Duration,
    /// Between look-ups, and before a launch in doubt is sent again; the latter is doubled with
    /// each attempt, up to 32 times it.
    pub look_up_interval: Duration,
    /// How long after its first attempt a launch may be in doubt, before a person is asked; not before it was
    /// looked for in vain.
    pub reconcile_timeout: Duration,
    /// Before sending again what certainly did not run; doubled each time, up to 32 times it, and
    /// spread over the upper half.
    pub retry_backoff: Duration,
    /// How often a launch is sent without an answer, at most.
    pub attempts_max: u32,
    /// How long after its first attempt in a place, or its release by a person, a launch that certainly did not
    /// run is sent again.
    pub send_timeout: Duration,
    /// How long the cloud may not show a machine that it has shown before it counts as gone.
    pub missing_grace: Duration,
    /// The same for a machine that it never showed: how long its making may take, and how long
    /// until look-ups know it.
    pub unseen_grace: Duration,
    /// How long machines may take to run.
    pub launch_timeout: Duration,
    /// How long machines that are given back may take to be gone.
    pub terminate_timeout: Duration,
}

impl Timings {
    /// How long after its first attempt a launch without an answer is proven to have launched nothing, if
    /// look-ups work: the last attempt that trusts the token is as late as its window, the quarantine follows
    /// each attempt, and the first look-up after it may be an interval late.
    #[must_use]
    pub fn proof_max(&self) -> Duration {
        let before = self.token_trust_window + self.quarantine + self.first_look_up;
        before + self.look_up_interval.saturating_mul(PROOFS)
    }

    /// The longest that [`Step::Wait`] waits.
    #[must_use]
    pub fn wait_max(&self) -> Duration {
        self.retry_max().max(self.look_up_max())
    }

    fn retry_max(&self) -> Duration {
        doubled(self.retry_backoff, u32::MAX)
    }

    fn look_up_max(&self) -> Duration {
        self.first_look_up.max(self.look_up_interval)
    }

    fn call_max(&self) -> Duration {
        self.missing_grace.max(self.look_up_interval)
    }
}

/// What to do next with an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before that time.
    Wait(UtcDateTime),
    /// Journal a new attempt.
    Begin,
    /// Send the attempt that was journalled under this lease.
    Send,
    /// An attempt was journalled under an earlier lease: nobody knows whether it was sent.
    Doubt,
    /// Ask the cloud what the operation's tag is on.
    LookUp,
    /// Stop: nothing was launched, and the attempts are used up.
    GiveUp,
    /// Stop: it has been in doubt for too long.
    Escalate,
    /// The poller's turn, until that time at the latest.
    Poll(UtcDateTime),
    /// Journal a call that gives machines back.
    BeginCall,
    /// Make the call that was journalled under this lease.
    Call,
    /// A call was journalled under an earlier lease: nobody knows whether it was made.
    DoubtCall,
    /// Nothing, ever, by the gateway alone.
    Rest,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An attempt in the place `alternative` begins, under the lease `epoch`.
    Begun { epoch: u64, alternative: u32 },
    /// No place that is left has stock, as far as is known; why.
    SoldOut { failure: Failure },
    /// The caller no longer wants it.
    Cancelled(Cancellation),
    /// A call that gives machines back begins, under the lease `epoch`.
    CallBegun { epoch: u64 },
    /// It ended.
    CallEnded(CallEnd),
    /// The cloud accepted and named the machines.
    Accepted {
        instances: Vec<InstanceId>,
        cloud_request_id: String,
    },
    /// The attempt certainly did not run.
    NotRun {
        result: AttemptResult,
        failure: Failure,
        /// Whether sending the same again may work.
        retry: bool,
    },
    /// The attempt may have run; what happened.
    Ambiguous { why: String },
    /// The look-up's complete answer.
    Found(Vec<InstanceDetail>),
    /// The look-up did not work.
    LookUpFailed,
    /// Nothing was launched, and the attempts are used up.
    Exhausted,
    /// It could not be repeated for now: too much is repeated on its account without an answer.
    HeldBack,
    /// A program cannot go on; why.
    Stuck { why: String },
    /// A person decided that a program goes on; who and why.
    Released { by: String, why: String },
    /// What a poll showed.
    Observed(Vec<Observation>),
    /// The launch timeout passed.
    TimedOut,
}

/// How a call that gives machines back ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallEnd {
    /// The machines that the cloud refuses to give back, for good, and why.
    pub refused: Vec<(InstanceId, Failure)>,
    /// Whether the cloud certainly did nothing, so that the call may be repeated soon.
    pub undone: bool,
    /// Whether the cloud was asked for all that this process knows: not if it may have been another one.
    pub made: bool,
}

/// What a poll showed of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub id: InstanceId,
    /// None: the cloud did not show it.
    pub state: Option<InstanceState>,
    /// Present once the state is one that the machine is described for.
    pub detail: Option<InstanceDetail>,
}

/// An outcome that the state cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an operation in {state:?} cannot have the outcome {outcome}")]
pub struct Illegal {
    pub state: StateName,
    pub outcome: &'static str,
}

/// What to do next with `operation`, for the holder of the lease `epoch`.
#[must_use]
pub fn next(operation: &Operation, epoch: u64, now: UtcDateTime, timings: &Timings) -> Step {
    match &operation.state {
        State::Accepted => match retry_at(operation, timings) {
            Some(at) if is_ahead(at, now, timings.retry_max()) => Step::Wait(at),
            Some(_) | None => Step::Begin,
        },
        State::Sent => match operation.attempts.last() {
            Some(attempt) if chaos::wrong!("doubt-forgotten", attempt.epoch == epoch, true) => {
                Step::Send
            }
            Some(_) | None => Step::Doubt,
        },
        State::Reconciling(doubt) => doubt::next(operation, doubt, now, timings),
        State::Launched => Step::Poll(launched_at(operation) + timings.launch_timeout),
        State::Terminating(termination) => termination::next(operation, termination, epoch, now),
        State::Succeeded
        | State::Partial
        | State::Failed
        | State::Cancelled
        | State::NeedsOperator => Step::Rest,
    }
}

/// The operation after `outcome`; the same, with the same sequence, when that changes nothing.
///
/// # Errors
/// When the state cannot have that outcome.
pub fn apply(
    operation: &Operation,
    outcome: Outcome,
    now: UtcDateTime,
    timings: &Timings,
) -> Result<Operation, Illegal> {
    let change = Change::of(operation, now, timings);
    match (&operation.state, outcome) {
        (State::Accepted | State::Reconciling(_), Outcome::Begun { epoch, alternative }) => {
            Ok(change.begin(epoch, alternative))
        }
        (State::Accepted, Outcome::SoldOut { failure }) => Ok(change.fail(failure)),
        (
            State::Sent,
            Outcome::Accepted {
                instances,
                cloud_request_id,
            },
        ) => Ok(change.accept(instances, cloud_request_id)),
        (
            State::Sent,
            Outcome::NotRun {
                result,
                failure,
                retry,
            },
        ) => Ok(change.not_run(result, failure, retry)),
        (State::Sent, Outcome::Ambiguous { why }) => Ok(change.doubt(why)),
        (State::Reconciling(doubt), Outcome::Found(found)) => {
            Ok(change.found(*doubt.clone(), &found))
        }
        (State::Reconciling(doubt), Outcome::LookUpFailed) => {
            Ok(change.look_up_failed(*doubt.clone()))
        }
        (
            State::Accepted
            | State::Sent
            | State::Reconciling(_)
            | State::Launched
            | State::Terminating(_),
            Outcome::Stuck { why },
        ) => Ok(change.needs_operator(why)),
        (State::NeedsOperator, Outcome::Released { by, why }) => Ok(change.release(&by, &why)),
        (State::Reconciling(_), Outcome::Exhausted) => Ok(change.exhausted()),
        (State::Accepted, Outcome::HeldBack) => Ok(change.held_back()),
        (State::Reconciling(doubt), Outcome::HeldBack) => Ok(change.look_anew(*doubt.clone())),
        (State::Launched, Outcome::Observed(observations)) => Ok(change.observe(&observations)),
        (State::Launched, Outcome::TimedOut) => Ok(change.time_out()),
        (
            State::Accepted | State::Reconciling(_) | State::Launched | State::Terminating(_),
            Outcome::Cancelled(cancellation),
        ) => Ok(change.cancel(cancellation)),
        (State::Terminating(termination), outcome) => {
            termination::apply(change, *termination.clone(), outcome)
        }
        (
            State::Accepted
            | State::Sent
            | State::Reconciling(_)
            | State::Launched
            | State::Succeeded
            | State::Partial
            | State::Failed
            | State::Cancelled
            | State::NeedsOperator,
            outcome,
        ) => Err(illegal(operation, &outcome)),
    }
}

/// Whether a machine of `operation` is described (addresses, cause of failure) when a poll shows
/// `state`.
#[must_use]
pub fn is_described(operation: &Operation, state: &InstanceState) -> bool {
    match &operation.state {
        State::Terminating(_) => false,
        State::Accepted
        | State::Sent
        | State::Reconciling(_)
        | State::Launched
        | State::Succeeded
        | State::Partial
        | State::Failed
        | State::Cancelled
        | State::NeedsOperator => ends(state).is_some(),
    }
}

/// The machines that a poll asks for: those that have not come to the end that is waited for.
pub fn awaited(operation: &Operation) -> impl Iterator<Item = &InstanceId> {
    let is_awaited = |instance: &&Instance| {
        let end = instance.state.as_ref().and_then(ends);
        let over = match &operation.state {
            State::Terminating(termination) => {
                end == Some(End::Failed) || !termination.targets.contains(&instance.id)
            }
            State::Accepted
            | State::Sent
            | State::Reconciling(_)
            | State::Launched
            | State::Succeeded
            | State::Partial
            | State::Failed
            | State::Cancelled
            | State::NeedsOperator => end.is_some(),
        };
        !over || instance.missing_since.is_some()
    };
    let awaited = operation.instances.iter().filter(is_awaited);
    awaited.map(|instance| &instance.id)
}

impl Outcome {
    const fn name(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "Begun",
            Self::SoldOut { .. } => "SoldOut",
            Self::Cancelled(_) => "Cancelled",
            Self::CallBegun { .. } => "CallBegun",
            Self::CallEnded(_) => "CallEnded",
            Self::Accepted { .. } => "Accepted",
            Self::NotRun { .. } => "NotRun",
            Self::Ambiguous { .. } => "Ambiguous",
            Self::Found(_) => "Found",
            Self::LookUpFailed => "LookUpFailed",
            Self::Exhausted => "Exhausted",
            Self::HeldBack => "HeldBack",
            Self::Stuck { .. } => "Stuck",
            Self::Released { .. } => "Released",
            Self::Observed(_) => "Observed",
            Self::TimedOut => "TimedOut",
        }
    }
}

fn illegal(operation: &Operation, outcome: &Outcome) -> Illegal {
    Illegal {
        state: operation.state.name(),
        outcome: outcome.name(),
    }
}

/// When to send again what certainly did not run; none for the first attempt in a place.
fn retry_at(operation: &Operation, timings: &Timings) -> Option<UtcDateTime> {
    if operation.sold_out.contains(&operation.alternative) {
        return None;
    }
    let tries = count(tries(operation).count());
    operation.attempts.last()?;
    let longest = doubled(timings.retry_backoff, tries);
    // Spread over the upper half, or all that were throttled at once would come back at once.
    let spread = 256 + u32::from(operation.id.random_byte(tries));
    Some(operation.update_time + longest.saturating_mul(spread) / 512)
}

/// The attempts in the place that the operation is at. Those of earlier places are known to have
/// launched nothing.
fn tries(operation: &Operation) -> impl DoubleEndedIterator<Item = &Attempt> {
    let here = |attempt: &&Attempt| attempt.alternative == operation.alternative;
    operation.attempts.iter().filter(here)
}

/// Whether `at` is to be waited for.
fn is_ahead(at: UtcDateTime, now: UtcDateTime, longest: Duration) -> bool {
    at > now && !is_set_back(at, now, longest)
}

/// Whether `at` lies further ahead than any such wait: it was written down before the clock was set back, and
/// what waits for it would stand still for as long.
fn is_set_back(at: UtcDateTime, now: UtcDateTime, longest: Duration) -> bool {
    at > now + longest
}

/// `base`, doubled with each attempt after the first.
fn doubled(base: Duration, attempt: u32) -> Duration {
    base.saturating_mul(1 << attempt.saturating_sub(1).min(5))
}

/// Whether the attempt may have launched something.
fn is_unanswered(attempt: &Attempt) -> bool {
    matches!(
        attempt.result,
        AttemptResult::Ambiguous(_) | AttemptResult::Pending
    )
}

/// Empty look-ups after the quarantine that prove that nothing was launched.
const PROOFS: u32 = 2;

/// Since when what did not run is sent; its acceptance, where it never was.
fn sent_since(operation: &Operation) -> UtcDateTime {
    tried_since(operation).unwrap_or(operation.create_time)
}

/// Since when a launch is tried, or in doubt: its first attempt in this place, or that a person released it.
fn tried_since(operation: &Operation) -> Option<UtcDateTime> {
    let sent = tries(operation).next()?.signed_at;
    let pairs = operation
        .transitions
        .iter()
        .zip(operation.transitions.iter().skip(1));
    let releases = pairs.filter(|(before, _)| before.state == StateName::NeedsOperator);
    let released = releases.map(|(_, after)| after.time).max();
    Some(released.map_or(sent, |released| released.max(sent)))
}

/// When the cloud had accepted the launch, as the journal has it; before that, when it was asked for.
pub fn launched_at(operation: &Operation) -> UtcDateTime {
    let launched = |transition: &&Transition| transition.state == StateName::Launched;
    let entered = operation.transitions.iter().rev().find(launched);
    entered.map_or(operation.create_time, |transition| transition.time)
}

/// How a machine ended, as far as launching it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Runs,
    Failed,
}

/// States in which launching a machine is over.
fn ends(state: &InstanceState) -> Option<End> {
    match state {
        InstanceState::Running => Some(End::Runs),
        InstanceState::LaunchFailed | InstanceState::Shutdown | InstanceState::Terminating => {
            Some(End::Failed)
        }
        InstanceState::Pending
        | InstanceState::Stopped
        | InstanceState::Starting
        | InstanceState::Stopping
        | InstanceState::Rebooting
        | InstanceState::EnterRescueMode
        | InstanceState::RescueMode
        | InstanceState::ExitRescueMode
        | InstanceState::EnterServiceLiveMigrate
        | InstanceState::ServiceLiveMigrate
        | InstanceState::ExitServiceLiveMigrate
        | InstanceState::Other(_) => None,
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
