//! What a caller may do: a wish becomes a [`Grant`], or a [`Denial`] that names the rule.

use crate::domain::decision::Decision;
use crate::domain::ids::{OrganizationId, Principal};
use crate::domain::instance::OwnedInstances;
use crate::domain::names::AccountName;
use crate::domain::request::{LaunchRequest, Wish};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// An organisation and the accounts that it may launch with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Charged when a wish names no account.
    pub default_account: AccountName,
    /// All of its accounts, the default one included.
    pub accounts: Vec<AccountName>,
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    organizations: BTreeMap<OrganizationId, Organization>,
}

/// The rule that decides about an account.
const ACCOUNT_OF_OWN_ORGANIZATION: &str = "account-of-own-organization";

/// A wish that policy allowed. Only [`Policy::authorize`] makes one, so whoever holds it need not
/// ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    principal: Principal,
    account: AccountName,
    request: LaunchRequest,
}

/// A wish to give machines back that policy allowed. Only [`Policy::authorize_termination`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminationGrant {
    principal: Principal,
    instances: OwnedInstances,
}

/// A wish that policy forbade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denial {
    /// The id of the rule that decided.
    pub rule: &'static str,
    /// The rule's reason and the remedy, for the caller.
    pub message: String,
}

impl Policy {
    /// The policy of these organisations: each may launch with its own accounts.
    #[must_use]
    pub fn new(organizations: BTreeMap<OrganizationId, Organization>) -> Self {
        Self { organizations }
    }

    /// Decides whether `principal` may have what it wishes.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn authorize(
        &self,
        principal: &Principal,
        request: LaunchRequest,
    ) -> Result<Grant, Denial> {
        let account = self.account(principal, request.wish().account.as_ref())?;
        Ok(Grant {
            principal: principal.clone(),
            account,
            request,
        })
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
    ) -> Result<TerminationGrant, Denial> {
        self.account(principal, Some(&instances.account))?;
        Ok(TerminationGrant {
            principal: principal.clone(),
            instances,
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
            return Err(Denial {
                rule: "organization-has-accounts",
                message: format!(
                    "the organisation {name} has no account; ask the operator for one"
                ),
            });
        };
        let account = asked.unwrap_or(&organization.default_account);
        if organization.accounts.contains(account) {
            return Ok(account.clone());
        }
        let own = organization.accounts.iter().map(AccountName::as_str);
        let own: Vec<&str> = own.collect();
        Err(Denial {
            rule: ACCOUNT_OF_OWN_ORGANIZATION,
            message: format!(
                "{account} is not an account of the organisation {name}; it has: {}",
                own.join(", ")
            ),
        })
    }
}

/// Which policy decides, and by which rule: it has only one that allows.
fn decision() -> Decision {
    Decision {
        policy: "organizations".to_owned(),
        rule: ACCOUNT_OF_OWN_ORGANIZATION.to_owned(),
    }
}

impl TerminationGrant {
    /// Why it was given.
    #[must_use]
    pub fn decision(&self) -> Decision {
        decision()
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
        decision()
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

    /// What was allowed.
    #[must_use]
    pub fn wish(&self) -> &Wish {
        self.request.wish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::RequestId;
    use crate::domain::names::Region;
    use crate::domain::operation::OnFailure;
    use crate::domain::rules::Limits;
    use crate::domain::spec::{InstanceSpec, LaunchTemplate};
    use time::UtcDateTime;

    fn account(name: &str) -> AccountName {
        AccountName::parse(name).unwrap()
    }

    fn decide(organization: &str, asked: Option<&str>) -> Result<AccountName, &'static str> {
        let acme = Organization {
            default_account: account("main"),
            accounts: vec![account("main"), account("lab")],
        };
        let policy = Policy::new([(OrganizationId::parse("acme").unwrap(), acme)].into());
        let principal = Principal {
            name: "dev".to_owned(),
            organization: OrganizationId::parse(organization).unwrap(),
        };
        let spec = InstanceSpec {
            launch_template: Some(LaunchTemplate {
                launch_template_id: Some("lt-1a2b3c4d".to_owned()),
                launch_template_version: None,
            }),
            ..InstanceSpec::default()
        };
        let wish = Wish {
            request_id: RequestId::parse("r").unwrap(),
            account: asked.map(account),
            region: Region::parse("ap-shanghai").unwrap(),
            spec,
            alternatives: Vec::new(),
            on_failure: OnFailure::Keep,
        };
        let request =
            LaunchRequest::parse(wish, &Limits::default(), UtcDateTime::UNIX_EPOCH).unwrap();
        let verdict = policy.authorize(&principal, request);
        verdict
            .map(|grant| grant.account().clone())
            .map_err(|denial| denial.rule)
    }

    #[test]
    fn an_organisation_launches_with_its_own_accounts() {
        let rows = [
            (("acme", None), Ok("main")),
            (("acme", Some("lab")), Ok("lab")),
            (("acme", Some("other")), Err("account-of-own-organization")),
            (("umbrella", None), Err("organization-has-accounts")),
        ];
        for ((organization, asked), expected) in rows {
            assert_eq!(
                decide(organization, asked),
                expected.map(account),
                "{organization} {asked:?}"
            );
        }
    }
}
