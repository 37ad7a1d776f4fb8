//! Giving machines back: what a caller may ask for, and the call that does it.

use super::driver::target;
use super::machine::{CallEnd, callable};
use super::{Granted, Inner, OperationError, Operations, Watch};
use crate::chaos;
use crate::cloud::limiter::{Action, Class, Turn};
use crate::cloud::{CloudError, Effect, Leaving, Retry, Signing, Target};
use crate::domain::audit::Call;
use crate::domain::decision::Decision;
use crate::domain::ids::{OperationId, OrganizationId, Principal, RequestId};
use crate::domain::instance::{Instance, InstanceId, OwnedInstances};
use crate::domain::millis::{self, since};
use crate::domain::operation::{
    Cancellation, Failure, Kind, Lease, OnFailure, Operation, State, StateName, Termination,
    TerminationEnd, Transition,
};
use crate::domain::reason::Reason;
use crate::policy::TerminationGrant;
use crate::store::{Order, SealedBody};
use sha2::{Digest, Sha256};
use std::time::Duration;
use time::UtcDateTime;

impl Operations {
    /// The account and region of these machines, if the organisation launched every one of them.
    ///
    /// # Errors
    /// [`OperationError::InstanceNotFound`] also for a machine of another organisation;
    /// [`OperationError::MixedInstances`] when they are not of one account and region.
    pub async fn owned(
        &self,
        organization: &OrganizationId,
        ids: Vec<InstanceId>,
    ) -> Result<OwnedInstances, OperationError> {
        let owners = self.0.store.owners(&ids).await?;
        let mut place = None;
        for id in &ids {
            let owner = owners.iter().find(|owner| owner.instance == *id);
            let owner = owner.filter(|owner| owner.organization == *organization);
            let owner = owner.ok_or_else(|| OperationError::InstanceNotFound(id.clone()))?;
            let here = (&owner.account, &owner.region);
            if *place.get_or_insert(here) != here {
                return Err(OperationError::MixedInstances);
            }
        }
        let (account, region) = place.ok_or(OperationError::NotFound)?;
        let (account, region) = (account.clone(), region.clone());
        Ok(OwnedInstances {
            account,
            region,
            ids,
        })
    }

    /// Makes a wish to give machines back durable, and follows it. The same request_id with the same
    /// machines follows the operation that exists.
    ///
    /// # Errors
    /// As [`Operations::submit`].
    pub async fn terminate(
        &self,
        grant: &TerminationGrant,
        request_id: RequestId,
        timeout: Option<Duration>,
        call: Call,
    ) -> Result<Watch, OperationError> {
        let instances = grant.instances();
        let timeout = timeout.unwrap_or(self.0.settings.timings.terminate_timeout);
        let target = Target {
            account: instances.account.clone(),
            region: instances.region.clone(),
        };
        let host = self.0.cloud.host(&target);
        let now = self.0.clock.now();
        let operation = leaving(self.new_id(now), grant, request_id, host, timeout, now);
        let fingerprint = termination_fingerprint(&instances.ids);
        let bodies = vec![SealedBody::new(Vec::new())];
        let granted = Granted {
            call,
            decision: grant.decision(),
            // To give machines back is never limited.
            quotas: Vec::new(),
        };
        self.begin(operation, bodies, fingerprint, granted).await
    }

    /// Writes down that the caller no longer wants a launch, and gives the operation as it is.
    ///
    /// # Errors
    /// [`OperationError::NotFound`], and [`OperationError::CannotCancel`] when it has come to an
    /// end already, or is no launch.
    pub async fn cancel(
        &self,
        principal: &Principal,
        id: OperationId,
        told: (&Call, &Decision),
    ) -> Result<Operation, OperationError> {
        let operation = self.get(&principal.organization, id).await?;
        let state = operation.state.name();
        if operation.is_unwanted() {
            return Ok(operation);
        }
        if state.is_at_rest() || operation.kind == Kind::Termination {
            return Err(OperationError::CannotCancel(state));
        }
        let cancellation = Cancellation {
            principal: principal.name.clone(),
            time: self.0.clock.now(),
        };
        let order = Order {
            operation: id,
            principal: cancellation.principal.clone(),
            time: cancellation.time,
        };
        let ordered = self.0.store.order(&order, told);
        chaos::around!("cancel.order", ordered, else Err(crate::store::StoreError::Busy))?;
        self.0.take_cancellation(id, cancellation);
        Ok(operation)
    }
}

impl Inner {
    /// Has the operation stepped with the news that it is no longer wanted, if it is in hand.
    pub(super) fn take_cancellation(&self, id: OperationId, cancellation: Cancellation) {
        let now = self.clock.now();
        if self.table.tell(id, cancellation) && !self.polled.hurry(id, now) {
            self.due.push(now, id);
        }
    }

    /// Asks the cloud to take back what it takes now. A batch that it refuses because of some
    /// machine is asked for in halves, for it takes all machines of a call or none.
    pub(super) async fn call(&self, operation: &Operation, turn: Turn) -> CallEnd {
        let State::Terminating(termination) = &operation.state else {
            return CallEnd::default();
        };
        let lease = Lease {
            operation: operation.id,
            epoch: termination.calling.unwrap_or_default(),
        };
        let (target, action) = (target(operation), Action::TerminateInstances);
        let mut batches = vec![callable(operation, termination).collect::<Vec<_>>()];
        let mut end = CallEnd {
            undone: true,
            ..CallEnd::default()
        };
        let mut release_addresses = operation.release_addresses;
        let mut permit = Some(turn.permit().await);
        while let Some(batch) = batches.pop() {
            let permit = match permit.take() {
                Some(first) => Some(first),
                None => self.permit(&target, action, Class::Terminate).await,
            };
            let Some(permit) = permit else {
                break; // the gateway stops
            };
            let age = since(self.clock.now(), termination.call_at);
            if age > self.settings.timings.attempt_life || !self.lease_lasts(lease) {
                break;
            }
            let signing = Signing {
                at: termination.call_at,
                caller: Some(wanted_by(operation)),
            };
            let leaving = Leaving {
                ids: &batch,
                release_addresses,
            };
            let answer = self
                .cloud
                .terminate_instances(permit, &target, leaving, signing);
            end.made = true;
            match chaos::around!("terminate.call", answer, else Err(crate::cloud::Fault::ConnectionLost.error("planted")))
            {
                Ok(()) => end.undone = false,
                // To release an address may take a right of its own. Machines cost more.
                Err(error)
                    if release_addresses && error.reason == Reason::CloudPermissionDenied =>
                {
                    tracing::warn!(operation = %operation.id, code = error.code, "public addresses stay, and are charged");
                    release_addresses = false;
                    batches.push(batch);
                }
                // It would refuse every half as well.
                Err(error)
                    if error.effect == Effect::Definite && !error.may_be_about_an_instance() =>
                {
                    end.refused.extend(refused_for_good(batch, error));
                    break;
                }
                Err(error) if error.effect == Effect::Definite && batch.len() > 1 => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.extend([second.to_vec(), first.to_vec()]);
                }
                Err(error) => {
                    end.undone &= error.effect != Effect::Ambiguous;
                    end.refused.extend(refused_for_good(batch, error));
                }
            }
        }
        end
    }
}

/// Who wants the machines gone.
fn wanted_by(operation: &Operation) -> &str {
    let cancelled = operation.cancellation.as_ref();
    cancelled.map_or(&operation.principal, |order| &order.principal)
}

/// What the cloud will not take back. One that it does not know is gone, and one in a state that
/// forbids it may be on its way out already: the poller will find.
fn refused_for_good(batch: Vec<InstanceId>, error: CloudError) -> Vec<(InstanceId, Failure)> {
    let for_good = error.effect == Effect::Definite && error.retry == Retry::No;
    let passing = error.reason == Reason::ResourceNotFound || error.is_about_a_state();
    if !for_good || passing {
        return Vec::new();
    }
    let failure = Failure {
        reason: error.reason,
        message: error.message,
        cloud_code: error.code,
        cloud_request_id: error.request_id.unwrap_or_default(),
        parameters: error.fields,
    };
    let refused = batch.into_iter().map(|id| (id, failure.clone()));
    refused.collect()
}

/// SHA-256 over the machines: the same request_id with others is another wish.
#[must_use]
pub fn termination_fingerprint(ids: &[InstanceId]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix("TerminateInstances");
    for id in ids {
        hash.update("\0");
        hash.update(id.as_str());
    }
    hash.finalize().into()
}

/// What was granted, as the operation it begins as.
fn leaving(
    id: OperationId,
    grant: &TerminationGrant,
    request_id: RequestId,
    host: String,
    timeout: Duration,
    now: UtcDateTime,
) -> Operation {
    let (principal, instances) = (grant.principal(), grant.instances());
    let ids = &instances.ids;
    let entered = |state| Transition {
        state,
        time: now,
        note: String::new(),
    };
    Operation {
        id,
        organization: principal.organization.clone(),
        request_id,
        principal: principal.name.clone(),
        account: instances.account.clone(),
        region: instances.region.clone(),
        host,
        instance_count: u32::try_from(ids.len()).unwrap_or(u32::MAX),
        min_count: None,
        dry_run: false,
        state: State::Terminating(Box::new(Termination {
            targets: ids.clone(),
            calling: None,
            calls: 0,
            called: false,
            call_at: now,
            looked: false,
            deadline: now + timeout,
            patience_ms: millis::of(timeout),
            end: TerminationEnd::Succeeded,
            refusal: None,
        })),
        sequence: 1,
        attempts: Vec::new(),
        instances: ids.iter().cloned().map(Instance::named).collect(),
        failure: None,
        transitions: [StateName::Accepted, StateName::Terminating]
            .map(entered)
            .into(),
        cloud_request_id: None,
        create_time: now,
        update_time: now,
        kind: Kind::Termination,
        places: Vec::new(),
        alternative: 0,
        sold_out: Vec::new(),
        on_failure: OnFailure::Keep,
        cancellation: None,
        changes: Vec::new(),
        worths: Vec::new(),
        stock: String::new(),
        // Their kinds are not known here, and an address may be kept on purpose.
        release_addresses: false,
        trace: None,
    }
}

#[cfg(test)]
mod tests;
