//! Callers: each wants one operation, asks any replica for it until one answers, and follows it to
//! its end, from replica to replica.

use crate::scenario;
use crate::sim::{Replica, Sim};
use cvm_gateway::domain::ids::OperationId;
use cvm_gateway::domain::operation::{Operation, StateName};
use cvm_gateway::domain::request::LaunchRequest;
use cvm_gateway::domain::rules::Limits;
use cvm_gateway::operations::{OperationError, Watch};
use std::sync::Arc;
use std::time::Duration;

/// How long a caller waits for an answer before it asks elsewhere.
const PATIENCE: Duration = Duration::from_secs(45);

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
}

/// Lives a caller's life.
pub(crate) async fn live(sim: Arc<Sim>, number: usize, caller: scenario::Caller) {
    sim.clock.sleep(caller.start).await;
    let mut life = Life {
        sim,
        number,
        accepted: None,
        sequence: 0,
    };
    let request = LaunchRequest::parse(caller.wish, &Limits::default()).unwrap();
    while !life.ask(&request).await {
        let pause = life.sim.dice.millis(200, 3_000);
        life.sim.clock.sleep(pause).await;
    }
}

struct Life {
    sim: Arc<Sim>,
    number: usize,
    accepted: Option<OperationId>,
    sequence: u64,
}

impl Life {
    /// Asks one replica; whether the end was heard.
    async fn ask(&mut self, request: &LaunchRequest) -> bool {
        let replicas = u64::try_from(self.sim.scenario.replicas).unwrap();
        let number = usize::try_from(self.sim.dice.below(replicas)).unwrap();
        let Some(replica) = self.sim.replica(number) else {
            return false;
        };
        let watch = match self.accepted.filter(|_| self.sequence > 0) {
            Some(id) => {
                let organization = &self.sim.principal.organization;
                let watch = replica.operations.watch(organization, id, self.sequence);
                self.answer(&replica, watch).await
            }
            None => self.answer(&replica, self.submit(&replica, request)).await,
        };
        match watch {
            Some(Ok(watch)) => self.follow(&replica, watch).await,
            Some(Err(OperationError::RequestIdReused(id))) => {
                self.hear(What::Conflict(id));
                true
            }
            Some(Err(_)) | None => false,
        }
    }

    async fn submit(
        &self,
        replica: &Replica,
        request: &LaunchRequest,
    ) -> Result<Watch, OperationError> {
        let wish = request.wish();
        let print = wish.fingerprint().unwrap();
        let principal = &self.sim.principal;
        let operations = &replica.operations;
        let known = operations.attach(&principal.organization, &wish.request_id, &print);
        if let Some(watch) = known.await? {
            return Ok(watch);
        }
        let grant = self.sim.policy.authorize(principal, request.clone());
        operations.submit(&grant.unwrap(), print).await
    }

    async fn follow(&mut self, replica: &Replica, mut watch: Watch) -> bool {
        if self.accepted.is_none() {
            self.hear(What::Accepted(watch.id()));
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
            let next = self.answer(replica, watch.next()).await;
            match next {
                Some(Ok(Some(snapshot))) => {
                    self.sequence = snapshot.sequence;
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

    /// What a replica answers, unless it falls silent or takes too long.
    async fn answer<T>(&self, replica: &Replica, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = call => Some(done),
            () = replica.process.silent() => None,
            () = self.sim.clock.sleep(PATIENCE) => None,
        }
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
            What::Accepted(_) | What::End | What::Conflict(_) => {
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
