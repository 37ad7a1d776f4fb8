//! The door: who calls, what they wish, and how they are answered.

pub mod admission;
mod audit;
pub mod auth;
mod deadline;
pub mod door;
mod follow;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod health;
mod instances;
mod judge;
pub mod observe;
mod offline;
pub mod only_grpc;
mod plan;
mod spec;
mod status;
pub mod web;
mod wire;

use crate::chaos;
use crate::clock::Clock;
use crate::domain::audit::Call;
use crate::domain::ids::{OperationId, OrganizationId, Principal, RequestId};
use crate::domain::operation::Operation;
use crate::domain::plan::claimed_expiry;
use crate::domain::request::Wish;
use crate::domain::rules::Limits;
use crate::domain::violation::Violations;
use crate::metrics;
use crate::operations::{OperationError, Operations, Watch, termination_fingerprint};
use crate::pb::v1 as pb;
use crate::pb::v1::cvm_gateway_service_server::CvmGatewayService;
use crate::policy::{Action, Current, Denial, Grant, Refusal};
use crate::trace;
use follow::{Event, Follow, Messages, follow};
pub use offline::wish_of_json;
pub use plan::Plans;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::Instrument;
use tracing::field::Empty;

/// The gateway's service.
#[derive(Clone, Debug)]
pub struct Service {
    pub policy: Current,
    pub limits: Arc<Limits>,
    pub operations: Operations,
    pub plans: Plans,
    pub clock: Clock,
    pub metrics: metrics::Grpc,
    pub policy_metrics: metrics::Policy,
    /// How long a stream may be silent.
    pub heartbeat_interval: Duration,
}

#[tonic::async_trait]
impl CvmGatewayService for Service {
    type RunInstancesStream = Messages<pb::RunInstancesResponse>;
    type WatchOperationStream = Messages<pb::WatchOperationResponse>;
    type TerminateInstancesStream = Messages<pb::TerminateInstancesResponse>;

    async fn run_instances(
        &self,
        request: Request<pb::RunInstancesRequest>,
    ) -> Result<Response<Self::RunInstancesStream>, Status> {
        let principal = auth::principal(&request)?;
        let leaving = auth::leaving(&request);
        let asked = audit::launch(&request);
        let launched = self.launch((&principal, asked.clone()), request.into_inner());
        let watch = match Box::pin(launched).await {
            Ok(watch) => watch,
            Err(status) => {
                let call = (&principal, Action::RunInstances, asked);
                return Err(self.tell_refused(call, status).await);
            }
        };
        observe::operation(watch.id());
        let settings = self.follow("RunInstances", true, leaving);
        Ok(Response::new(follow(
            watch,
            settings,
            run_instances_response,
        )))
    }

    async fn watch_operation(
        &self,
        request: Request<pb::WatchOperationRequest>,
    ) -> Result<Response<Self::WatchOperationStream>, Status> {
        let principal = auth::principal(&request)?;
        let leaving = auth::leaving(&request);
        self.may(&principal, Action::WatchOperation)?;
        let message = request.into_inner();
        let id = wire::operation_id(&message.name)?;
        observe::operation(id);
        let after = message.after_sequence;
        let watch = self
            .operations
            .watch(&principal.organization, id, after)
            .await?;
        let settings = self.follow("WatchOperation", false, leaving);
        Ok(Response::new(follow(
            watch,
            settings,
            watch_operation_response,
        )))
    }

    async fn get_operation(
        &self,
        request: Request<pb::GetOperationRequest>,
    ) -> Result<Response<pb::GetOperationResponse>, Status> {
        let principal = auth::principal(&request)?;
        self.may(&principal, Action::GetOperation)?;
        let id = wire::operation_id(&request.into_inner().name)?;
        observe::operation(id);
        let operation = self.operations.get(&principal.organization, id).await?;
        Ok(Response::new(pb::GetOperationResponse {
            operation: Some(wire::operation(&operation)),
        }))
    }

    async fn list_operations(
        &self,
        request: Request<pb::ListOperationsRequest>,
    ) -> Result<Response<pb::ListOperationsResponse>, Status> {
        let principal = auth::principal(&request)?;
        self.may(&principal, Action::ListOperations)?;
        let message = request.into_inner();
        let page = wire::page(&message)?;
        let (operations, next) = self.page(&principal.organization, &page).await?;
        Ok(Response::new(pb::ListOperationsResponse {
            next_page_token: next
                .map_or_else(String::new, |last| wire::page_token(last, &message.states)),
            operations,
        }))
    }

    async fn plan_run_instances(
        &self,
        request: Request<pb::PlanRunInstancesRequest>,
    ) -> Result<Response<pb::PlanRunInstancesResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let wish = plan::wish(message.request, &self.limits, self.clock.now())?;
        observe::request(&wish.request_id);
        let expires = self.plans.expiry(self.clock.now());
        let planned = self.plan(&principal, wish, self.plans.begin(expires)).await;
        let judge::Judged {
            verdict,
            spec,
            changes,
        } = planned?;
        let spec = plan::without_secrets(spec).map_err(OperationError::from)?;
        let planned = plan::Planned { spec, changes };
        let grant = match verdict {
            Ok(grant) => grant,
            Err(denial) => return Ok(Response::new(plan::denied(denial, planned))),
        };
        let places = self.check_places(&grant).await;
        places.map_err(|violations| violations.within("request"))?;
        let outlook = self.operations.outlook(&grant, message.cloud_dry_run);
        let outlook = outlook.await?;
        let passes = outlook.dry_run.as_ref().is_none_or(Result::is_ok);
        let sealed = passes.then(|| self.plans.seal(&grant, expires));
        let sealed = sealed.transpose().map_err(OperationError::from)?;
        Ok(Response::new(plan::allowed(
            &grant, planned, &outlook, sealed,
        )))
    }

    async fn cancel_operation(
        &self,
        request: Request<pb::CancelOperationRequest>,
    ) -> Result<Response<pb::CancelOperationResponse>, Status> {
        let principal = auth::principal(&request)?;
        let mut asked = audit::cancellation(&request);
        let name = request.into_inner().name;
        match self.cancel(&principal, &name, &mut asked).await {
            Ok(operation) => Ok(Response::new(pb::CancelOperationResponse {
                operation: Some(wire::operation(&operation)),
            })),
            Err(status) => {
                let call = (&principal, Action::CancelOperation, asked);
                Err(self.tell_refused(call, status).await)
            }
        }
    }

    async fn terminate_instances(
        &self,
        request: Request<pb::TerminateInstancesRequest>,
    ) -> Result<Response<Self::TerminateInstancesStream>, Status> {
        let principal = auth::principal(&request)?;
        let leaving = auth::leaving(&request);
        let asked = audit::termination(&request);
        let message = request.into_inner();
        let watch = match self.terminate(&principal, &message, asked.clone()).await {
            Ok(watch) => watch,
            Err(status) => {
                let call = (&principal, Action::TerminateInstances, asked);
                return Err(self.tell_refused(call, status).await);
            }
        };
        observe::operation(watch.id());
        let settings = self.follow("TerminateInstances", true, leaving);
        Ok(Response::new(follow(
            watch,
            settings,
            terminate_instances_response,
        )))
    }

    async fn list_instances(
        &self,
        request: Request<pb::ListInstancesRequest>,
    ) -> Result<Response<pb::ListInstancesResponse>, Status> {
        let principal = auth::principal(&request)?;
        self.may(&principal, Action::ListInstances)?;
        let message = request.into_inner();
        let page = instances::page(&message, &principal.organization)?;
        let machines = self.operations.instances(&page).await?;
        Ok(Response::new(instances::answer(&message, &page, &machines)))
    }
}

/// Why a launch or a termination was not begun.
enum NotBegun {
    /// The audit has yet to be told.
    Denied(Box<Denied>),
    Other(Status),
}

/// What policy denies: a call, in an account and a region, and why.
struct Denied {
    asked: Call,
    place: (String, String),
    denial: Denial,
}

impl From<Status> for NotBegun {
    fn from(status: Status) -> Self {
        Self::Other(status)
    }
}

impl Service {
    /// Launches what is asked for, or follows what was launched for the same request.
    async fn launch(
        &self,
        (principal, asked): (&Principal, Call),
        mut message: pb::RunInstancesRequest,
    ) -> Result<Watch, Status> {
        let plan = message.plan.take();
        let now = self.clock.now();
        let wish = chaos::at!("grpc.parse", wire::wish(message, &self.limits, now)?);
        observe::request(&wish.request_id);
        let request_id = wish.request_id.clone();
        let fingerprint = wish.fingerprint().map_err(OperationError::from)?;
        let begun = chaos::around!("grpc.submit", self.submit((principal, asked), wish, fingerprint, plan.as_deref()), else Err(Status::from(OperationError::Stopping).into()));
        let call = (principal, Action::RunInstances);
        self.or_begun_before(begun, call, (&request_id, &fingerprint))
            .await
    }

    /// Follows what was begun, now or before for the same request: what was accepted once is answered, whatever the
    /// rules have become since, and is not denied. Else the call is refused, once the audit has been told if policy
    /// denies it.
    async fn or_begun_before(
        &self,
        begun: Result<Watch, NotBegun>,
        (principal, action): (&Principal, Action),
        (request_id, fingerprint): (&RequestId, &[u8; 32]),
    ) -> Result<Watch, Status> {
        let refusal = match begun {
            Ok(watch) => return Ok(watch),
            Err(refusal) => refusal,
        };
        let organization = &principal.organization;
        let attached = self
            .operations
            .attach(organization, request_id, fingerprint);
        let attached = chaos::around!("grpc.attach", attached, else Ok(None)).unwrap_or(None);
        match (attached, refusal) {
            (Some(watch), _) => Ok(watch),
            (None, NotBegun::Denied(denied)) => {
                let Denied {
                    asked,
                    place,
                    denial,
                } = *denied;
                let call = (principal, action, asked);
                self.tell_denied(call, place, &denial).await?;
                Err(denial.into())
            }
            (None, NotBegun::Other(status)) => Err(status),
        }
    }

    async fn submit(
        &self,
        (principal, mut asked): (&Principal, Call),
        wish: Wish,
        fingerprint: [u8; 32],
        plan: Option<&[u8]>,
    ) -> Result<Watch, NotBegun> {
        let has_room = self.operations.has_room(&principal.organization);
        has_room.map_err(Status::from)?;
        let now = self.clock.now();
        // The seal is looked at below: with a time that it does not bear nothing is launched.
        let expires = plan.and_then(claimed_expiry);
        let from = expires.map_or(now, |expires| self.plans.begin(expires));
        let place = audit::place(&wish);
        let policy = tracing::trace_span!(target: trace::TARGET, "policy", allowed = Empty);
        let granted = self.grant((principal, &mut asked), wish, from);
        let granted = granted
            .instrument(policy.clone())
            .await
            .map_err(Status::from)?;
        policy.record("allowed", granted.is_ok());
        drop(policy);
        let grant = match granted {
            Ok(grant) => grant,
            Err(Refusal::Denied(denial)) => {
                let denied = Denied {
                    asked,
                    place,
                    denial,
                };
                return Err(NotBegun::Denied(Box::new(denied)));
            }
            Err(invalid @ Refusal::Invalid(_)) => return Err(Status::from(invalid).into()),
        };
        self.check_places(&grant).await.map_err(Status::from)?;
        if let Some(plan) = plan {
            let checked = self.plans.check(plan, &grant, self.clock.now());
            checked.map_err(Status::from)?;
        }
        let submitted = self.operations.submit(&grant, fingerprint, asked).await;
        Ok(submitted.map_err(Status::from)?)
    }

    /// Whether the cloud has the places of the launch.
    async fn check_places(&self, grant: &Grant) -> Result<(), Violations> {
        let violations = self.operations.unknown_places(grant).await;
        if violations.0.is_empty() {
            Ok(())
        } else {
            Err(violations)
        }
    }

    async fn cancel(
        &self,
        principal: &Principal,
        name: &str,
        asked: &mut Call,
    ) -> Result<Operation, Status> {
        let id = wire::operation_id(name)?;
        observe::operation(id);
        let launch = self.operations.get(&principal.organization, id).await?;
        asked.launched_by = Some(launch.principal.clone());
        let decision = match self.may_cancel(principal, &launch) {
            Ok(decision) => decision,
            // It is cancelled already: nothing is asked for but to read it.
            Err(_) if launch.is_unwanted() && self.may_read(principal) => return Ok(launch),
            Err(denial) => {
                let place = (launch.account.to_string(), launch.region.to_string());
                let call = (principal, Action::CancelOperation, asked.clone());
                self.tell_denied(call, place, &denial).await?;
                return Err(denial.into());
            }
        };
        let told = (&*asked, &decision);
        Ok(self.operations.cancel(principal, id, told).await?)
    }

    /// Gives back what is asked for, or follows what was begun for the same request.
    async fn terminate(
        &self,
        principal: &Principal,
        message: &pb::TerminateInstancesRequest,
        asked: Call,
    ) -> Result<Watch, Status> {
        let wish = wire::termination(message)?;
        observe::request(&wish.request_id);
        let request_id = wish.request_id.clone();
        let fingerprint = termination_fingerprint(&wish.instances);
        let begun = self.give_back(principal, wish, asked).await;
        let call = (principal, Action::TerminateInstances);
        self.or_begun_before(begun, call, (&request_id, &fingerprint))
            .await
    }

    async fn give_back(
        &self,
        principal: &Principal,
        wish: wire::TerminationWish,
        asked: Call,
    ) -> Result<Watch, NotBegun> {
        let organization = &principal.organization;
        let owned = self.operations.owned(organization, wish.instances).await;
        let owned = owned.map_err(Status::from)?;
        let place = (owned.account.to_string(), owned.region.to_string());
        let grant = match self.grant_termination(principal, owned) {
            Ok(grant) => grant,
            Err(denial) => {
                let denied = Denied {
                    asked,
                    place,
                    denial,
                };
                return Err(NotBegun::Denied(Box::new(denied)));
            }
        };
        let begun = self
            .operations
            .terminate(&grant, wish.request_id, wish.timeout, asked);
        Ok(begun.await.map_err(Status::from)?)
    }

    fn follow(&self, method: &str, ends_with_error: bool, leaving: CancellationToken) -> Follow {
        Follow {
            clock: self.clock.clone(),
            leaving,
            heartbeat_interval: self.heartbeat_interval,
            ends_with_error,
            open: self.metrics.streams_open.with_label_values(&[method]),
        }
    }

    /// A page, and where the next one begins when there is one.
    async fn page(
        &self,
        organization: &OrganizationId,
        page: &wire::Page,
    ) -> Result<(Vec<pb::Operation>, Option<OperationId>), Status> {
        let one_more = page.size.saturating_add(1);
        let listed = self
            .operations
            .list(organization, &page.states, page.before, one_more)
            .await;
        let listed = listed?;
        let found = listed.operations;
        let mut operations: Vec<_> = found.iter().map(wire::operation).collect();
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        operations.truncate(wire::fitting(&operations).min(size));
        if operations.len() == found.len() {
            return Ok((operations, listed.looked_to));
        }
        let last = found.iter().take(operations.len()).next_back();
        let last = last.map(|operation| operation.id);
        Ok((operations, last))
    }
}

fn run_instances_response(event: Event) -> pb::RunInstancesResponse {
    use pb::run_instances_response::Event as Pb;
    let event = match event {
        Event::Snapshot(operation) => Pb::Operation(wire::operation(&operation)),
        Event::Heartbeat(heartbeat) => Pb::Heartbeat(heartbeat),
    };
    pb::RunInstancesResponse { event: Some(event) }
}

fn terminate_instances_response(event: Event) -> pb::TerminateInstancesResponse {
    use pb::terminate_instances_response::Event as Pb;
    let event = match event {
        Event::Snapshot(operation) => Pb::Operation(wire::operation(&operation)),
        Event::Heartbeat(heartbeat) => Pb::Heartbeat(heartbeat),
    };
    pb::TerminateInstancesResponse { event: Some(event) }
}

fn watch_operation_response(event: Event) -> pb::WatchOperationResponse {
    use pb::watch_operation_response::Event as Pb;
    let event = match event {
        Event::Snapshot(operation) => Pb::Operation(wire::operation(&operation)),
        Event::Heartbeat(heartbeat) => Pb::Heartbeat(heartbeat),
    };
    pb::WatchOperationResponse { event: Some(event) }
}

#[cfg(test)]
mod tests;
