//! Launches: submitting them, reading them, following them until they end.

mod capacity;
mod care;
mod denied;
mod driver;
mod instances;
mod launch;
mod leases;
pub mod machine;
mod newest;
mod plan;
mod poller;
mod quotas;
mod room;
mod sizes;
mod standing;
mod stop;
mod sweep;
mod table;
mod terminate;
mod turns;
mod waiters;
mod watch;
mod zones;

pub use crate::store::LaunchedPage;
pub use instances::LaunchedInstance;
pub use plan::{Outlook, PlaceOutlook};
pub use standing::Replica;
pub use sweep::SweepSettings;
pub use terminate::termination_fingerprint;
pub use watch::Watch;

use crate::chaos;
use crate::clock::Clock;
use crate::cloud::limiter::Limiter;
use crate::cloud::{Cloud, body};
use crate::domain::audit::Call;
use crate::domain::causes::chain;
use crate::domain::decision::Decision;
use crate::domain::ids::{OperationId, OrganizationId, RequestId};
use crate::domain::instance::InstanceId;
use crate::domain::names::AccountName;
use crate::domain::operation::{Operation, StateName};
use crate::domain::quota::{Exceeded, Quota};
use crate::domain::reason::Reason;
use crate::metrics::Metrics;
use crate::policy::Grant;
use crate::random::Random;
use crate::store::{Admission, Brake, Listed, NewOperation, SealedBody, Store, StoreError};
use crate::trace;
use capacity::Capacity;
use denied::Denials;
use driver::Due;
use launch::accepted;
use machine::Timings;
use poller::Polled;
use sizes::Sizes;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use table::Table;
use time::UtcDateTime;
use tokio::sync::{Semaphore, watch as cell};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use turns::Turns;
use waiters::Waiters;
use zones::Zones;

/// How launches are driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The waits and bounds of the protocol.
    pub timings: Timings,
    /// The shortest time between two looks at the same starting machine, and between two rounds.
    pub poll_interval: Duration,
    /// The longest time between two looks, as far as the account's read budget allows.
    pub poll_interval_max: Duration,
    /// How long this process may step an operation without renewing its lease.
    pub lease: Duration,
    /// How many operations are stepped at the same time.
    pub concurrent_steps_max: usize,
    /// How many operations may be in hand; over it new ones are refused.
    pub open_operations_max: usize,
    /// And of one organisation; over it its new launches are refused.
    pub open_operations_per_organization_max: usize,
    /// How many processes may die with an operation in hand, before it is left to a person.
    pub crashes_max: u32,
    /// Between tries of a write that the journal could not take.
    pub journal_retry_interval: Duration,
    /// Whether a launch is held against the regions and zones that the cloud says it has.
    pub check_zones: bool,
    /// The search for machines that no operation names.
    pub sweep: SweepSettings,
    /// How much organisations may have at once.
    pub quotas: Vec<Quota>,
}

/// What launches are driven with.
#[derive(Clone, Debug)]
pub struct Rooms {
    pub store: Store,
    pub cloud: Arc<dyn Cloud>,
    /// What the calls of the cloud are permitted by; all that share an account must share it.
    pub limiter: Limiter,
    /// The cloud's time, which launches are dated by. Leases are kept by the machine's.
    pub clock: Clock,
    pub random: Random,
    pub metrics: Metrics,
}

/// All launches of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Operations(Arc<Inner>);

/// What an operation begins with, beside what it is.
struct Granted {
    /// For the audit.
    call: Call,
    decision: Decision,
    /// The limits that it counts against.
    quotas: Vec<Quota>,
}

/// Why a launch could not be submitted, read or followed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The organisation has no such operation.
    #[error("no such operation")]
    NotFound,
    /// The cursor is newer than the newest snapshot, which has this sequence.
    #[error(
        "after_sequence is ahead of the newest snapshot, {0}: the cursor is of another operation"
    )]
    CursorAhead(u64),
    /// The request_id belongs to another request.
    #[error("the request_id was used for another request, {0}")]
    RequestIdReused(OperationId),
    /// The organisation launched no such machine.
    #[error("the organisation has no instance {0}")]
    InstanceNotFound(InstanceId),
    /// The machines are of several accounts or regions.
    #[error("the instances are not of one account and region: ask for each in a call of its own")]
    MixedInstances,
    /// The operation has come to an end already, or is no launch.
    #[error("the operation cannot be cancelled: it is {}; give machines back with TerminateInstances", .0.as_str())]
    CannotCancel(StateName),
    /// The cloud launched more machines than an operation of the account asked for.
    #[error(
        "new launches on the account {account} are stopped, for {}: {reason}; the operator of the \
         gateway looks at what the cloud did and releases that operation", operation.resource_name()
    )]
    Braked {
        account: AccountName,
        operation: OperationId,
        reason: String,
    },
    /// As many operations as allowed are open.
    #[error("too many operations are open")]
    TooMany,
    /// As many operations as allowed of the organisation are open.
    #[error("too many operations of the organization are open: launches wait for the cloud")]
    TooManyOfOrganization,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
    /// The granted specification cannot be written as JSON.
    #[error("the request cannot be written as JSON")]
    Body(#[from] serde_json::Error),
    /// It would go over these limits of its organisation.
    #[error("{}", quotas::told(.0))]
    OverLimit(Vec<Exceeded>),
    /// The cloud does not tell now what a rule or a limit needs to know; which.
    #[error("{0}")]
    SizeUnknown(String),
    /// A rule or a limit needs to know what the request does not say, or the cloud does not have; which.
    #[error("{message}")]
    NoSize {
        /// What the caller is to change, as a path in the request.
        field: &'static str,
        message: String,
    },
    /// The journal failed.
    #[error("the journal failed")]
    Store(#[from] StoreError),
}

impl OperationError {
    /// What the caller is told.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotFound => Reason::OperationNotFound,
            Self::CursorAhead(_) | Self::MixedInstances | Self::NoSize { .. } => {
                Reason::InvalidParameter
            }
            Self::InstanceNotFound(_) => Reason::ResourceNotFound,
            Self::CannotCancel(_) | Self::Braked { .. } => Reason::PreconditionFailed,
            Self::RequestIdReused(_) => Reason::RequestIdReused,
            Self::OverLimit(_) => Reason::QuotaExceeded,
            Self::TooMany | Self::Store(StoreError::Busy) => Reason::Overloaded,
            Self::TooManyOfOrganization => Reason::TooManyCalls,
            Self::Body(_)
            | Self::Store(StoreError::Corrupt { .. } | StoreError::Refused { .. }) => {
                Reason::GatewayDefect
            }
            Self::Stopping | Self::SizeUnknown(_) | Self::Store(_) => Reason::GatewayUnavailable,
        }
    }
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    store: Store,
    cloud: Arc<dyn Cloud>,
    limiter: Limiter,
    clock: Clock,
    /// The machine's time: a lease must not grow when the cloud's is learned.
    wall: Clock,
    random: Random,
    metrics: Metrics,
    /// Names this process in leases.
    owner: String,
    table: Table,
    /// Who waits for what other replicas step.
    waiters: Waiters,
    due: Due,
    turns: Turns,
    polled: Polled,
    /// What is known to be sold out.
    capacity: Mutex<Capacity>,
    /// Which regions and zones the cloud has.
    zones: Zones,
    /// The denied calls of the last minute.
    denials: Mutex<Denials>,
    /// How big models are and what they cost.
    sizes: Sizes,
    steps: Arc<Semaphore>,
    /// The accounts on which nothing new is launched; none before the journal was asked.
    brakes: Mutex<Option<Vec<Brake>>>,
    /// Until when the journal may hold leases of this process that it never heard of.
    unheard_until: Mutex<UtcDateTime>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Set to the reason when the journal's disk failed and the process must end.
    fatal: cell::Sender<Option<String>>,
}

impl Operations {
    /// Takes up every operation that nobody holds, and drives them and all new ones.
    #[must_use]
    pub fn start(settings: Settings, rooms: Rooms) -> Self {
        let Rooms {
            store,
            cloud,
            limiter,
            clock,
            random,
            metrics,
        } = rooms;
        let wall = clock.uncorrected();
        let inner = Arc::new(Inner {
            steps: Arc::new(Semaphore::new(settings.concurrent_steps_max)),
            brakes: Mutex::new(None),
            unheard_until: Mutex::new(wall.now()),
            wall,
            settings,
            store,
            cloud,
            limiter,
            clock,
            metrics,
            owner: random.uuid().to_string(),
            random,
            table: Table::default(),
            waiters: Waiters::default(),
            due: Due::default(),
            turns: Turns::default(),
            polled: Polled::default(),
            capacity: Mutex::default(),
            zones: Zones::default(),
            denials: Mutex::default(),
            sizes: Sizes::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            fatal: cell::Sender::new(None),
        });
        inner.tasks.spawn(Arc::clone(&inner).keep_leases());
        inner.tasks.spawn(Arc::clone(&inner).drive());
        inner.tasks.spawn(Arc::clone(&inner).poll());
        inner.tasks.spawn(Arc::clone(&inner).hear_changes());
        inner.tasks.spawn(Arc::clone(&inner).keep_sweeping());
        inner.tasks.spawn(Arc::clone(&inner).keep_telling());
        Self(inner)
    }

    /// Makes what was granted durable, and follows it. The same request_id with the same request,
    /// told by the wish's `fingerprint`, follows the operation that exists. The `call` is for the audit.
    ///
    /// # Errors
    /// Nothing was launched, and nothing will be, unless the error is [`OperationError::Store`]: then the
    /// operation may be in the journal, and the same request_id finds it.
    pub async fn submit(
        &self,
        grant: &Grant,
        fingerprint: [u8; 32],
        call: Call,
    ) -> Result<Watch, OperationError> {
        let now = self.0.clock.now();
        let id = self.new_id(now);
        let host = self.0.cloud.host(&driver::target_of(grant));
        let quotas = self.0.quotas_of(grant);
        let operation = Operation {
            worths: quotas::worths(grant, &quotas)?,
            ..accepted(id, grant, host, now)
        };
        let mut bodies = Vec::new();
        for (alternative, spec) in (0..).zip(grant.wish().specs()) {
            let body = body::run_instances(&spec, operation.id, alternative)?;
            bodies.push(SealedBody::from(body));
        }
        if let Some(brake) = self.0.brake(grant.account()) {
            return Err(brake);
        }
        let granted = Granted {
            call: call.clone(),
            decision: grant.decision(),
            quotas,
        };
        let begun = self.begin(operation, bodies, fingerprint, granted).await;
        if let Err(OperationError::OverLimit(exceeded)) = &begun {
            self.over_limit(grant, call, exceeded).await?;
        }
        begun
    }

    /// Makes an operation durable and follows it; or the one that its request_id has.
    async fn begin(
        &self,
        mut operation: Operation,
        bodies: Vec<SealedBody>,
        request_hash: [u8; 32],
        granted: Granted,
    ) -> Result<Watch, OperationError> {
        let inner = &self.0;
        if inner.stop.is_cancelled() {
            return Err(OperationError::Stopping);
        }
        inner.room_for(operation.kind, &operation.organization)?;
        operation.trace = trace::here();
        let new = NewOperation {
            request_hash,
            bodies,
            decision: granted.decision,
            quotas: granted.quotas,
            asked: granted.call,
            now: inner.wall.now(),
            operation,
            owner: inner.owner.clone(),
            lease: inner.settings.lease,
        };
        #[cfg(feature = "chaos")]
        let early = new.operation.clone();
        // In a task of its own: a caller that goes away must not leave an operation that is in the
        // journal and in nobody's hands.
        let journal = tracing::trace_span!(target: trace::TARGET, "journal");
        let admitted = Arc::clone(inner).admit(new).instrument(journal);
        let admitted = admitted.in_current_span();
        let admitted = inner.tasks.spawn(admitted);
        let operation = chaos::wrong!("stream-before-journal", admitted.await, Ok(Ok(early)));
        let operation = operation.unwrap_or(Err(OperationError::Stopping))?;
        Ok(self.follow(operation, 0))
    }

    /// Follows the operation that `request_id` has, if it is of the same wish: what was accepted
    /// once is answered, whatever the rules have become since.
    ///
    /// # Errors
    /// When the journal fails.
    pub async fn attach(
        &self,
        organization: &OrganizationId,
        request_id: &RequestId,
        fingerprint: &[u8; 32],
    ) -> Result<Option<Watch>, OperationError> {
        let store = &self.0.store;
        let found = store.find(organization, request_id, fingerprint);
        let found = chaos::around!("submit.find", found, else Err(StoreError::Busy))?;
        Ok(found.map(|operation| self.follow(operation, 0)))
    }

    /// The newest snapshot of an operation of `organization`.
    ///
    /// # Errors
    /// [`OperationError::NotFound`] also for what belongs to another organisation.
    pub async fn get(
        &self,
        organization: &OrganizationId,
        id: OperationId,
    ) -> Result<Operation, OperationError> {
        let found = self.0.store.get(organization, id);
        let found = chaos::around!("operations.get", found, else Err(StoreError::Busy))?;
        found.ok_or(OperationError::NotFound)
    }

    /// Follows an operation of `organization`, from the first snapshot newer than
    /// `after_sequence`.
    ///
    /// # Errors
    /// As [`Operations::get`].
    pub async fn watch(
        &self,
        organization: &OrganizationId,
        id: OperationId,
        after_sequence: u64,
    ) -> Result<Watch, OperationError> {
        let operation = self.get(organization, id).await?;
        if after_sequence > operation.sequence {
            return Err(OperationError::CursorAhead(operation.sequence));
        }
        Ok(self.follow(operation, after_sequence))
    }

    /// Operations of `organization` in one of `states` (none: in any), newest first, older than
    /// `before`, `limit` at most; how many are looked at is bounded, too.
    ///
    /// # Errors
    /// When the journal fails.
    pub async fn list(
        &self,
        organization: &OrganizationId,
        states: &[StateName],
        before: Option<OperationId>,
        limit: u32,
    ) -> Result<Listed, OperationError> {
        Ok(self
            .0
            .store
            .list(organization, states, before, limit)
            .await?)
    }

    fn new_id(&self, now: UtcDateTime) -> OperationId {
        OperationId::new(now, &self.0.random.bytes())
    }

    fn follow(&self, operation: Operation, after_sequence: u64) -> Watch {
        Watch::new(Arc::clone(&self.0), operation, after_sequence)
    }
}

impl Inner {
    /// Writes a new operation down and takes it in hand; or gives the one that the request_id has.
    async fn admit(self: Arc<Self>, new: NewOperation) -> Result<Operation, OperationError> {
        let operation = new.operation.clone();
        let leased_until = new.now + new.lease;
        let admitted =
            chaos::around!("submit.admit", self.store.admit(new), else Err(StoreError::Busy));
        match self.heard(admitted)? {
            Admission::New(lease) => {
                tracing::info!(
                    operation = %operation.id, request_id = %operation.request_id,
                    principal = operation.principal, account = %operation.account,
                    "operation {} accepted", operation.id
                );
                chaos::at!("submit.hold", self.table.hold(lease, leased_until, Arc::new(operation.clone())), else ());
                self.due.push(self.clock.now(), operation.id);
                Ok(operation)
            }
            Admission::Replayed(operation) => Ok(operation),
            Admission::Conflict(id) => Err(OperationError::RequestIdReused(id)),
            Admission::Refused(exceeded) => Err(self.over_limit(exceeded)),
        }
    }

    /// The journal's disk failed: what is durable is no longer known, so the process must end.
    fn fail(&self, error: &StoreError) {
        self.fatal.send_replace(Some(chain(error, ": ")));
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
