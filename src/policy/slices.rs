//! The rules that can say something of a request, found by whom and what their scopes name.
//!
//! Cedar looks at every rule that it is given. Most rules of an organisation speak of one caller or
//! one account, so a request is put to those only that speak of its own.

use crate::policy::nearest::Permit;
use crate::policy::rules::Rule;
use cedar_policy::{EntityUid, Policy, PolicySet, PrincipalConstraint, ResourceConstraint};
use std::collections::HashMap;
use std::sync::Arc;

/// Whom and what a scope names. Nothing: everybody, everything.
type Scope = (Option<EntityUid>, Option<EntityUid>);

/// The rules of one action, by their scopes.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices(HashMap<Scope, Slice>);

/// The rules with one scope.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) enforced: PolicySet,
    /// Those on trial.
    pub(super) shadow: PolicySet,
    /// The enforced ones that permit, to explain why none did.
    pub(super) permits: Vec<Arc<Permit>>,
}

impl Slices {
    /// # Errors
    /// When the library refuses what it gave: two rules of one id, which are refused before.
    pub(super) fn of<'a>(rules: impl Iterator<Item = &'a Rule>) -> Result<Self, String> {
        let mut by_scope: HashMap<Scope, Vec<&Rule>> = HashMap::new();
        for rule in rules {
            by_scope.entry(scope(&rule.policy)).or_default().push(rule);
        }
        let slices = by_scope.into_iter();
        let slices = slices.map(|(scope, rules)| Ok((scope, Slice::of(&rules)?)));
        slices.collect::<Result<_, String>>().map(Self)
    }

    /// Those that can speak of one of `principals` and one of `resources`: a caller and a resource,
    /// each with all that it is in.
    pub(super) fn about(&self, principals: &[EntityUid], resources: &[EntityUid]) -> Vec<&Slice> {
        let anybody = [None].into_iter();
        let whom = anybody.chain(principals.iter().cloned().map(Some));
        let scopes = whom.flat_map(|whom| {
            let anything = [None].into_iter();
            let what = anything.chain(resources.iter().cloned().map(Some));
            what.map(move |what| (whom.clone(), what))
        });
        scopes.filter_map(|scope| self.0.get(&scope)).collect()
    }
}

impl Slice {
    fn of(rules: &[&Rule]) -> Result<Self, String> {
        let (shadow, enforced): (Vec<&Rule>, Vec<&Rule>) =
            rules.iter().partition(|rule| rule.shadow);
        let permits = enforced.iter().filter_map(|rule| rule.permit.clone());
        Ok(Self {
            permits: permits.collect(),
            enforced: policies(&enforced)?,
            shadow: policies(&shadow)?,
        })
    }
}

fn policies(rules: &[&Rule]) -> Result<PolicySet, String> {
    let policies = rules.iter().map(|rule| rule.policy.clone());
    PolicySet::from_policies(policies).map_err(|error| error.to_string())
}

fn scope(policy: &Policy) -> Scope {
    use {PrincipalConstraint as Whom, ResourceConstraint as What};
    let whom = match policy.principal_constraint() {
        Whom::Any | Whom::Is(_) => None,
        Whom::Eq(uid) | Whom::In(uid) | Whom::IsIn(_, uid) => Some(uid),
    };
    let what = match policy.resource_constraint() {
        What::Any | What::Is(_) => None,
        What::Eq(uid) | What::In(uid) | What::IsIn(_, uid) => Some(uid),
    };
    (whom, what)
}

#[cfg(test)]
mod tests;
