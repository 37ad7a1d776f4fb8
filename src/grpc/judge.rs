//! Asks policy, and tells the operator what came of it.

use super::Service;
use crate::chaos;
use crate::domain::audit::Call;
use crate::domain::change::Change;
use crate::domain::decision::Decision;
use crate::domain::ids::Principal;
use crate::domain::instance::OwnedInstances;
use crate::domain::operation::Operation;
use crate::domain::request::Wish;
use crate::domain::spec::InstanceSpec;
use crate::operations::OperationError;
use crate::policy::{
    Action, Denial, Grant, Policy, Proposal, Refusal, TerminationGrant, Trial, UnderWay,
};
use time::UtcDateTime;
use tonic::Status;

/// What is decided about a launch that is only planned.
pub(super) struct Judged {
    pub(super) verdict: Result<Grant, Denial>,
    /// What would be launched, whether it may be or not.
    pub(super) spec: InstanceSpec,
    pub(super) changes: Vec<Change>,
}

impl Service {
    /// Whether the caller may read its own organisation's operations.
    pub(super) fn may(&self, principal: &Principal, action: Action) -> Result<Decision, Denial> {
        let verdict = self.policy.get().may(principal, action);
        self.told(principal, action, verdict, |_decision| None)
    }

    /// Whether the caller may read operations of its organisation, where that is not what it asks for.
    pub(super) fn may_read(&self, principal: &Principal) -> bool {
        let policy = self.policy.get();
        policy.may(principal, Action::GetOperation).is_ok()
    }

    /// Whether the caller may end this launch of its organisation.
    pub(super) fn may_cancel(
        &self,
        principal: &Principal,
        launch: &Operation,
    ) -> Result<Decision, Denial> {
        let under_way = UnderWay {
            account: &launch.account,
            region: &launch.region,
            launched_by: &launch.principal,
        };
        let policy = self.policy.get();
        let verdict = policy.authorize_cancellation(principal, under_way, self.clock.now());
        self.told(principal, Action::CancelOperation, verdict, |_decision| {
            None
        })
    }

    /// The proposal with how big its models are and what they cost, where a rule or a limit needs to
    /// know.
    async fn sized(&self, policy: &Policy, proposal: Proposal) -> Result<Proposal, OperationError> {
        let (principal, account) = (proposal.principal(), proposal.account());
        if !policy.needs_sizes() && !self.operations.counts_sizes(principal, account) {
            return Ok(proposal);
        }
        let sizes = self.operations.sizes(principal, account, proposal.wish());
        let sizes = sizes.await?;
        Ok(proposal.sized(sizes))
    }

    /// The launch that `wish` becomes by the policy of this moment, and whether it may be made. Times of
    /// layers are counted from `from`. What it is decided by beside the request is added to the call.
    pub(super) async fn grant(
        &self,
        (principal, asked): (&Principal, &mut Call),
        wish: Wish,
        from: UtcDateTime,
    ) -> Result<Result<Grant, Refusal>, OperationError> {
        let policy = self.policy.get();
        let now = self.clock.now();
        let verdict = match policy.propose(principal, wish, &self.limits, now, from) {
            Ok(proposal) => {
                asked.changes = proposal.changes().to_vec();
                let proposal = self.sized(&policy, proposal).await?;
                asked.sizes = proposal.known_sizes();
                chaos::at!("grpc.policy", policy.authorize(proposal, now))
            }
            Err(Refusal::Denied(denial)) => Err(denial),
            Err(Refusal::Invalid(violations)) => return Ok(Err(Refusal::Invalid(violations))),
        };
        let told = self.told(principal, Action::RunInstances, verdict, Grant::trial);
        Ok(told.map_err(Refusal::Denied))
    }

    /// The same for a launch that is only planned, which the caller must be allowed to; and what it
    /// would be, whether it may be made or not.
    pub(super) async fn plan(
        &self,
        principal: &Principal,
        wish: Wish,
        from: UtcDateTime,
    ) -> Result<Judged, Status> {
        let policy = self.policy.get();
        let now = self.clock.now();
        let asked = wish.spec.clone();
        let (verdict, spec, changes) =
            match policy.propose(principal, wish, &self.limits, now, from) {
                Ok(proposal) => {
                    let proposal = self.sized(&policy, proposal).await?;
                    let may_plan = policy.may_plan(&proposal, now);
                    self.told(principal, Action::PlanRunInstances, may_plan, |()| None)?;
                    let spec = proposal.wish().spec.clone();
                    let changes = proposal.changes().to_vec();
                    let verdict = policy.authorize(proposal, now);
                    (verdict, spec, changes)
                }
                // Whose the account is, the plan itself says.
                Err(Refusal::Denied(denial)) => (Err(denial), asked, Vec::new()),
                Err(Refusal::Invalid(violations)) => {
                    return Err(violations.within("request").into());
                }
            };
        let verdict = self.told(principal, Action::RunInstances, verdict, Grant::trial);
        Ok(Judged {
            verdict,
            spec,
            changes,
        })
    }

    pub(super) fn grant_termination(
        &self,
        principal: &Principal,
        instances: OwnedInstances,
    ) -> Result<TerminationGrant, Denial> {
        let policy = self.policy.get();
        let verdict = policy.authorize_termination(principal, instances, self.clock.now());
        let action = Action::TerminateInstances;
        self.told(principal, action, verdict, TerminationGrant::trial)
    }

    fn told<T>(
        &self,
        principal: &Principal,
        action: Action,
        verdict: Result<T, Denial>,
        trial: impl FnOnce(&T) -> Option<&Trial>,
    ) -> Result<T, Denial> {
        let metrics = &self.policy_metrics;
        metrics.decided(action.as_str(), verdict.is_ok());
        let tried = match &verdict {
            Ok(granted) => trial(granted),
            Err(denial) => denial.trial.as_ref(),
        };
        if let Some(Trial { allows, rules }) = tried {
            metrics.tried(action.as_str(), *allows);
            let (principal, action) = (&principal.name, action.as_str());
            tracing::info!(
                principal,
                action,
                allows,
                ?rules,
                "rules on trial decide otherwise"
            );
        }
        if let Err(denial) = &verdict {
            let (principal, rule) = (&principal.name, denial.rule());
            let (action, policy) = (action.as_str(), &denial.policy);
            tracing::info!(principal, action, rule, policy, "policy denies");
        }
        verdict
    }
}
