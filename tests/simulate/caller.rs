//! Callers: each wants one operation, asks any replica for it until one answers, and follows it to
//! its end, from replica to replica.

use crate::scenario;
use crate::sim::{Replica, Sim};
use cvm_gateway::domain::audit::Call;
use cvm_gateway::domain::ids::{OperationId, RequestId};
use cvm_gateway::domain::instance::InstanceId;
use cvm_gateway::domain::operation::{Operation, StateName};
use cvm_gateway::domain::request::Wish;
use cvm_gateway::domain::rules::Limits;
use cvm_gateway::operations::{OperationError, Watch};
use cvm_gateway::policy::Action;
use std::sync::Arc;
use std::time::Duration;

/// How long a caller waits for an answer before it asks elsewhere.
const PATIENCE: Duration = Duration::from_secs(45);

/// How often a caller comes back that a limit left no room for.
const REFUSALS_MAX: u32 = 3;

/// What a caller heard.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) caller: usize,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The operation exists.
    Accepted(OperationId),
    Snapshot(Arc<Operation>),
    /// There is nothing more to hear.
    End,
    /// The name is taken by the other wish of this operation.
    Conflict(OperationId),
    /// A limit leaves no room for it.
    OverLimit,
}

/// What a caller wants.
enum Want {
    Machines(Box<Wish>),
    /// That these machines are given back.
    Leave(RequestId, Vec<InstanceId>),
}

/// Lives a caller's life.
pub(crate) async fn live(sim: Arc<Sim>, number: usize, caller: scenario::Caller) {
    sim.clock.sleep(caller.start).await;
    let mut life = Life::new(Arc::clone(&sim), number);
    life.cancels_after = caller.cancels_after;
    life.pursue(&Want::Machines(Box::new(caller.wish))).await;
    let has_machines = |state| matches!(state, StateName::Succeeded | StateName::Partial);
    let Some(launched) = life.last.filter(|last| has_machines(last.state.name())) else {
        return;
    };
    if caller.gives_back && !launched.dry_run {
        let ids = launched.instances.iter();
        let ids = ids.map(|instance| instance.id.clone()).collect();
        let request_id = RequestId::parse(&leaving(number)).unwrap();
        let number = sim.scenario.callers.len() + number;
        Life::new(sim, number)
            .pursue(&Want::Leave(request_id, ids))
            .await;
    }
}

/// The request_id by which a caller gives its machines back.
pub(crate) fn leaving(number: usize) -> String {
    format!("back-{number}")
}

/// Says that an operation is no longer wanted, until a replica has heard it.
async fn cancel(sim: Arc<Sim>, number: usize, id: OperationId, after: Duration) {
    sim.clock.sleep(after).await;
    let asked = Call::default();
    let decision = sim.policy.may(&sim.principal, Action::CancelOperation);
    let decision = decision.unwrap();
    loop {
        if let Some(replica) = sim.any_replica() {
            let told = (&asked, &decision);
            let cancelled = replica.operations.cancel(&sim.principal, id, told);
            match answer(&sim, &replica, cancelled).await {
                Some(Ok(_)) => return sim.note(format_args!("caller {number} cancels {id}")),
                Some(Err(OperationError::CannotCancel(_))) => return,
                Some(Err(_)) | None => {}
            }
        }
        sim.clock.sleep(sim.dice.millis(200, 3_000)).await;
    }
}

/// What a replica answers, unless it falls silent or takes too long.
async fn answer<T>(sim: &Sim, replica: &Replica, call: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = call => Some(done),
        () = replica.process.silent() => None,
        () = sim.clock.sleep(PATIENCE) => None,
    }
}

struct Life {
    sim: Arc<Sim>,
    number: usize,
    accepted: Option<OperationId>,
    cancels_after: Option<Duration>,
    refusals: u32,
    sequence: u64,
    last: Option<Arc<Operation>>,
}

impl Life {
    fn new(sim: Arc<Sim>, number: usize) -> Self {
        Self {
            sim,
            number,
            accepted: None,
            cancels_after: None,
            refusals: 0,
            sequence: 0,
            last: None,
        }
    }

    /// Asks one replica after the other until the end was heard.
    async fn pursue(&mut self, want: &Want) {
        while !self.ask(want).await {
            let pause = self.sim.dice.millis(200, 3_000);
            self.sim.clock.sleep(pause).await;
        }
    }

    /// Asks one replica; whether the end was heard.
    async fn ask(&mut self, want: &Want) -> bool {
        let Some(replica) = self.sim.any_replica() else {
            return false;
        };
        let watch = match self.accepted.filter(|_| self.sequence > 0) {
            Some(id) => {
                let organization = &self.sim.principal.organization;
                let watch = replica.operations.watch(organization, id, self.sequence);
                answer(&self.sim, &replica, watch).await
            }
            None => answer(&self.sim, &replica, self.submit(&replica, want)).await,
        };
        match watch {
            Some(Ok(watch)) => self.follow(&replica, watch).await,
            Some(Err(OperationError::RequestIdReused(id))) => {
                self.hear(What::Conflict(id));
                true
            }
            Some(Err(OperationError::OverLimit(_))) => {
                self.hear(What::OverLimit);
                self.refusals += 1;
                self.sim
                    .clock
                    .sleep(self.sim.dice.millis(5_000, 60_000))
                    .await;
                self.sim.is_calm() || self.refusals >= REFUSALS_MAX
            }
            Some(Err(_)) | None => false,
        }
    }

    async fn submit(&self, replica: &Replica, want: &Want) -> Result<Watch, OperationError> {
        let wish = match want {
            Want::Machines(wish) => wish,
            Want::Leave(request_id, ids) => return self.leave(replica, request_id, ids).await,
        };
        let print = wish.fingerprint().unwrap();
        let principal = &self.sim.principal;
        let operations = &replica.operations;
        let known = operations.attach(&principal.organization, &wish.request_id, &print);
        if let Some(watch) = known.await? {
            return Ok(watch);
        }
        let (policy, now) = (&self.sim.policy, self.sim.clock.now());
        let limits = Limits::default();
        let proposal = policy.propose(principal, Wish::clone(wish), &limits, now, now);
        let grant = policy.authorize(proposal.unwrap(), now);
        let call = Call {
            request: wish.request_id.as_str().to_owned(),
            ..Call::default()
        };
        operations.submit(&grant.unwrap(), print, call).await
    }

    async fn leave(
        &self,
        replica: &Replica,
        request_id: &RequestId,
        ids: &[InstanceId],
    ) -> Result<Watch, OperationError> {
        let (operations, principal) = (&replica.operations, &self.sim.principal);
        let owned = operations.owned(&principal.organization, ids.to_vec());
        let grant =
            self.sim
                .policy
                .authorize_termination(principal, owned.await?, self.sim.clock.now());
        let grant = grant.unwrap();
        operations
            .terminate(&grant, request_id.clone(), None, Call::default())
            .await
    }

    async fn follow(&mut self, replica: &Replica, mut watch: Watch) -> bool {
        if self.accepted.is_none() {
            self.hear(What::Accepted(watch.id()));
            if let Some(after) = self.cancels_after {
                let cancel = cancel(Arc::clone(&self.sim), self.number, watch.id(), after);
                self.sim.tasks.spawn(cancel);
            }
        }
        if self.accepted.is_some_and(|id| id != watch.id()) {
            self.sim.violated(format!(
                "I7: caller {} was given {} after {:?}",
                self.number,
                watch.id(),
                self.accepted
            ));
        }
        self.accepted = Some(watch.id());
        let patience = self.sim.dice.millis(5_000, 400_000);
        let until = self.sim.elapsed() + patience;
        while self.sim.elapsed() < until {
            let next = answer(&self.sim, replica, watch.next()).await;
            match next {
                Some(Ok(Some(snapshot))) => {
                    self.sequence = snapshot.sequence;
                    self.last = Some(Arc::clone(&snapshot));
                    self.hear(What::Snapshot(snapshot));
                }
                Some(Ok(None)) => {
                    self.hear(What::End);
                    return true;
                }
                Some(Err(_)) => return false,
                None if self.is_dead(replica) => return false,
                None => {}
            }
        }
        false
    }

    fn is_dead(&self, replica: &Replica) -> bool {
        replica.process.life() != crate::process::Life::Runs
    }

    fn hear(&self, what: What) {
        match &what {
            What::Snapshot(snapshot) => self.sim.note(format_args!(
                "caller {} hears {} {} {}",
                self.number,
                snapshot.id,
                snapshot.sequence,
                snapshot.state.name().as_str()
            )),
            What::Accepted(_) | What::End | What::Conflict(_) | What::OverLimit => {
                self.sim
                    .note(format_args!("caller {} hears {what:?}", self.number));
            }
        }
        self.sim.heard(Heard {
            caller: self.number,
            what,
        });
    }
}

/// Whether nothing comes after it.
pub(crate) fn ends(state: StateName) -> bool {
    matches!(
        state,
        StateName::Succeeded
            | StateName::Partial
            | StateName::Failed
            | StateName::Cancelled
            | StateName::NeedsOperator
    )
}
