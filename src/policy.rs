//! What a caller may do: a wish becomes a [`Grant`], or a [`Denial`] that names the rule.

mod action;
mod current;
mod facts;
mod layers;
mod mentioned;
mod nearest;
mod nesting;
mod parties;
mod proposal;
mod rules;
mod slices;
mod verdict;

pub use action::Action;
pub use current::Current;
pub use proposal::{Proposal, Refusal};
pub use rules::{Flaw, RuleFile, RuleFiles, Rules, SCHEMA};
pub use verdict::{Said, Trial};

use crate::domain::change::Change;
use crate::domain::decision::Decision;
use crate::domain::ids::{OrganizationId, Principal};
use crate::domain::instance::OwnedInstances;
use crate::domain::names::{AccountName, Region};
use crate::domain::outlook::Size;
use crate::domain::request::{LaunchRequest, Wish};
use crate::domain::violation::Violations;
use facts::Facts;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use time::UtcDateTime;
use verdict::{Question, Verdict};

/// An organisation and the accounts that it may launch with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Charged when a wish names no account.
    pub default_account: AccountName,
    /// All of its accounts, the default one included.
    pub accounts: Vec<AccountName>,
}

/// Who may do what: each organisation with its own accounts, and what the rules allow of that, if
/// there are any.
#[derive(Clone, Debug)]
pub struct Policy {
    organizations: BTreeMap<OrganizationId, Organization>,
    rules: Option<Rules>,
}

/// The policy without rules.
const ORGANIZATIONS: &str = "organizations";
/// The rule that decides about an account.
const ACCOUNT_OF_OWN_ORGANIZATION: &str = "account-of-own-organization";

/// A wish that policy allowed. Only [`Policy::authorize`] makes one, so whoever holds it need not
/// ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    principal: Principal,
    account: AccountName,
    request: LaunchRequest,
    changes: Vec<Change>,
    approval: Approval,
}

/// A wish to give machines back that policy allowed. Only [`Policy::authorize_termination`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminationGrant {
    principal: Principal,
    instances: OwnedInstances,
    approval: Approval,
}

/// A launch that is under way, as rules see it when somebody is to end it.
#[derive(Clone, Copy, Debug)]
pub struct UnderWay<'a> {
    pub account: &'a AccountName,
    pub region: &'a Region,
    /// The verified identity of who launched.
    pub launched_by: &'a str,
}

/// Which policy allowed something, and which of its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Approval {
    policy: String,
    said: Vec<Said>,
    trial: Option<Trial>,
}

/// A wish that policy forbade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denial {
    /// The policy that decided: a name, or `sha256:` and what its rules hash to.
    pub policy: String,
    /// The rules that decided; not empty.
    pub said: Vec<Said>,
    /// The rule's reason and the remedy, for the caller.
    pub message: String,
    /// What rules on trial would have changed.
    pub trial: Option<Trial>,
    /// The fields that a layer requires otherwise.
    pub fields: Box<Violations>,
}

impl Policy {
    /// The policy of these organisations: each may do everything with its own accounts.
    #[must_use]
    pub fn new(organizations: BTreeMap<OrganizationId, Organization>) -> Self {
        Self {
            organizations,
            rules: None,
        }
    }

    /// The same organisations, which may do what `rules` permit.
    #[must_use]
    pub fn with_rules(self, rules: Option<Rules>) -> Self {
        Self { rules, ..self }
    }

    /// The rules, if there are any.
    #[must_use]
    pub fn rules(&self) -> Option<&Rules> {
        self.rules.as_ref()
    }

    /// Decides whether the caller may have what was proposed, at `now`.
    ///
    /// # Errors
    /// The rule that forbids it, or what a layer requires.
    pub fn authorize(&self, proposal: Proposal, now: UtcDateTime) -> Result<Grant, Denial> {
        if let Some(denial) = proposal.unmet(self.version()) {
            return Err(denial);
        }
        let approval = self.launch(Action::RunInstances, &proposal, now)?;
        let Proposal {
            principal,
            account,
            request,
            changes,
            ..
        } = proposal;
        Ok(Grant {
            principal,
            account,
            request,
            changes,
            approval,
        })
    }

    /// Decides whether the caller may ask what its wish would meet.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn may_plan(&self, proposal: &Proposal, now: UtcDateTime) -> Result<(), Denial> {
        self.launch(Action::PlanRunInstances, proposal, now)
            .map(|_approved| ())
    }

    /// Decides whether `principal` may give these machines back. That its organisation launched
    /// them is known already.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn authorize_termination(
        &self,
        principal: &Principal,
        instances: OwnedInstances,
        now: UtcDateTime,
    ) -> Result<TerminationGrant, Denial> {
        let account = self.account(principal, Some(&instances.account))?;
        let action = Action::TerminateInstances;
        let facts = |rules: &Rules| vec![facts::termination(&instances, rules.telling(now))];
        let approval = self.judge(principal, action, Some(&account), facts)?;
        Ok(TerminationGrant {
            principal: principal.clone(),
            instances,
            approval,
        })
    }

    /// Decides whether `principal` may end this launch, and have its machines given back. That its organisation
    /// launched it is known already.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn authorize_cancellation(
        &self,
        principal: &Principal,
        launch: UnderWay<'_>,
        now: UtcDateTime,
    ) -> Result<Decision, Denial> {
        let action = Action::CancelOperation;
        let facts = |rules: &Rules| vec![facts::cancellation(launch, rules.telling(now))];
        self.judge(principal, action, Some(launch.account), facts)
            .map(|approval| approval.decision())
    }

    /// Decides whether `principal` may do what needs no account: read operations of its own organisation.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn may(&self, principal: &Principal, action: Action) -> Result<Decision, Denial> {
        self.judge(principal, action, None, |_| vec![facts::none()])
            .map(|approval| approval.decision())
    }

    /// A launch is judged in each of its places, for it may end in any.
    fn launch(
        &self,
        action: Action,
        proposal: &Proposal,
        now: UtcDateTime,
    ) -> Result<Approval, Denial> {
        let wish = proposal.wish();
        let places = |rules: &Rules| {
            let specs = wish.specs();
            let sizes = proposal.request.sizes().iter().map(Option::as_ref);
            let places = specs.iter().zip(sizes.chain(std::iter::repeat(None)));
            let telling = rules.telling(now);
            let facts = places.map(|(spec, size)| facts::launch(&wish.region, spec, size, telling));
            facts.collect()
        };
        if self.needs_sizes() && proposal.request.sizes().is_empty() {
            let message = "a rule needs to know how big the model is and what it costs, and \
                           nobody asked; try again";
            let rule = "size-is-known";
            return Err(Denial::of_organizations(rule, message.to_owned()));
        }
        let (principal, account) = (&proposal.principal, &proposal.account);
        self.judge(principal, action, Some(account), places)
    }

    /// The policy in force: a name, or what its rules hash to.
    fn version(&self) -> String {
        match &self.rules {
            None => ORGANIZATIONS.to_owned(),
            Some(rules) => format!("sha256:{}", rules.version()),
        }
    }

    /// Whether a rule speaks of how big models are or what they cost, which only the cloud knows.
    #[must_use]
    pub fn needs_sizes(&self) -> bool {
        self.rules.as_ref().is_some_and(Rules::needs_sizes)
    }

    fn judge(
        &self,
        principal: &Principal,
        action: Action,
        account: Option<&AccountName>,
        places: impl FnOnce(&Rules) -> Vec<Facts>,
    ) -> Result<Approval, Denial> {
        let Some(rules) = &self.rules else {
            return Ok(Approval::of_own_account(account));
        };
        let policy = self.version();
        let (mut all, mut on_trial) = (Vec::new(), None);
        for (index, facts) in places(rules).into_iter().enumerate() {
            let Verdict { outcome, trial } = rules.decide(Question {
                principal,
                action,
                account: account.map(AccountName::as_str),
                facts,
            });
            on_trial = on_trial.or(trial);
            match outcome {
                Ok(said) => all.extend(said),
                Err((said, message)) => {
                    let message = match index.checked_sub(1) {
                        None => message,
                        Some(index) => format!("alternatives[{index}]: {message}"),
                    };
                    return Err(Denial {
                        policy,
                        said,
                        message,
                        trial: on_trial,
                        fields: Box::default(),
                    });
                }
            }
        }
        all.sort_by(|a, b| a.rule.cmp(&b.rule));
        all.dedup();
        Ok(Approval {
            policy,
            said: all,
            trial: on_trial,
        })
    }

    /// The account to charge: the one asked for, or the default one of the organisation.
    fn account(
        &self,
        principal: &Principal,
        asked: Option<&AccountName>,
    ) -> Result<AccountName, Denial> {
        let name = &principal.organization;
        let Some(organization) = self.organizations.get(name) else {
            let message =
                format!("the organisation {name} has no account; ask the operator for one");
            return Err(Denial::of_organizations(
                "organization-has-accounts",
                message,
            ));
        };
        let account = asked.unwrap_or(&organization.default_account);
        if organization.accounts.contains(account) {
            return Ok(account.clone());
        }
        let own = organization.accounts.iter().map(AccountName::as_str);
        let own: Vec<&str> = own.collect();
        let message = format!(
            "{account} is not an account of the organisation {name}; it has: {}",
            own.join(", ")
        );
        Err(Denial::of_organizations(
            ACCOUNT_OF_OWN_ORGANIZATION,
            message,
        ))
    }
}

impl Denial {
    fn of_organizations(rule: &str, message: String) -> Self {
        let said = Said {
            rule: rule.to_owned(),
            permits: false,
            reason: message.clone(),
        };
        Self {
            policy: ORGANIZATIONS.to_owned(),
            said: vec![said],
            message,
            trial: None,
            fields: Box::default(),
        }
    }

    /// Why it was denied, for the audit.
    #[must_use]
    pub fn decision(&self) -> Decision {
        Decision {
            policy: self.policy.clone(),
            rule: self.rule(),
        }
    }

    /// The ids of the rules that decided, with commas between them.
    #[must_use]
    pub fn rule(&self) -> String {
        ids(&self.said)
    }
}

impl Approval {
    /// Without rules, an organisation may do everything with its accounts.
    fn of_own_account(account: Option<&AccountName>) -> Self {
        let reason =
            account.map(|account| format!("{account} is an account of the caller's organisation"));
        Self {
            policy: ORGANIZATIONS.to_owned(),
            said: vec![Said {
                rule: ACCOUNT_OF_OWN_ORGANIZATION.to_owned(),
                permits: true,
                reason: reason.unwrap_or_default(),
            }],
            trial: None,
        }
    }

    fn decision(&self) -> Decision {
        Decision {
            policy: self.policy.clone(),
            rule: ids(&self.said),
        }
    }
}

fn ids(said: &[Said]) -> String {
    let mut ids: Vec<&str> = said.iter().map(|said| said.rule.as_str()).collect();
    ids.dedup();
    ids.join(",")
}

impl TerminationGrant {
    /// Why it was given.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.approval.decision()
    }

    /// What rules on trial would have changed.
    #[must_use]
    pub fn trial(&self) -> Option<&Trial> {
        self.approval.trial.as_ref()
    }

    /// Who it was given to.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What may be given back.
    #[must_use]
    pub fn instances(&self) -> &OwnedInstances {
        &self.instances
    }
}

impl Grant {
    /// Why it was given.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.approval.decision()
    }

    /// The rules that allowed it.
    #[must_use]
    pub fn said(&self) -> &[Said] {
        &self.approval.said
    }

    /// What rules on trial would have changed.
    #[must_use]
    pub fn trial(&self) -> Option<&Trial> {
        self.approval.trial.as_ref()
    }

    /// Who it was given to.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The account that is charged.
    #[must_use]
    pub fn account(&self) -> &AccountName {
        &self.account
    }

    /// The size of the model in each of its places; empty when nobody asked.
    #[must_use]
    pub fn sizes(&self) -> &[Option<Size>] {
        self.request.sizes()
    }

    /// SHA-256 over everything that tells this launch from another: who launches, under which
    /// request_id, on which account, and what would be sent.
    ///
    /// # Errors
    /// When the specification cannot be serialised.
    pub fn digest(&self) -> Result<[u8; 32], serde_json::Error> {
        let wish = self.wish();
        let text = serde_json::to_vec(&(
            self.principal.organization.as_str(),
            wish.request_id.as_str(),
            self.account.as_str(),
            wish.region.as_str(),
            wish.on_failure,
            wish.specs(),
        ))?;
        Ok(Sha256::digest(text).into())
    }

    /// What layers changed of what was asked for.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What was allowed.
    #[must_use]
    pub fn wish(&self) -> &Wish {
        self.request.wish()
    }
}

#[cfg(test)]
mod tests;
