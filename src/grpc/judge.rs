//! Asks policy, and tells the operator what came of it.

use super::Service;
use crate::chaos;
use crate::domain::ids::Principal;
use crate::domain::instance::OwnedInstances;
use crate::domain::request::LaunchRequest;
use crate::policy::{Action, Denial, Grant, TerminationGrant, Trial};

impl Service {
    /// Whether the caller may do what touches only its own organisation's operations.
    pub(super) fn may(&self, principal: &Principal, action: Action) -> Result<(), Denial> {
        let verdict = self.policy.get().may(principal, action);
        self.told(principal, action, verdict, |()| None)
    }

    pub(super) fn may_plan(
        &self,
        principal: &Principal,
        request: &LaunchRequest,
    ) -> Result<(), Denial> {
        let policy = self.policy.get();
        let verdict = policy.may_plan(principal, request, self.clock.now());
        self.told(principal, Action::PlanRunInstances, verdict, |()| None)
    }

    pub(super) fn grant(
        &self,
        principal: &Principal,
        request: LaunchRequest,
    ) -> Result<Grant, Denial> {
        let policy = self.policy.get();
        let now = self.clock.now();
        let verdict = chaos::at!("grpc.policy", policy.authorize(principal, request, now));
        self.told(principal, Action::RunInstances, verdict, Grant::trial)
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
