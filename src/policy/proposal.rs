//! A launch as it would be sent: the wish, filled in by layers, and held against the rules for requests.

use crate::domain::change::Change;
use crate::domain::ids::Principal;
use crate::domain::names::AccountName;
use crate::domain::operation::Place;
use crate::domain::outlook::Size;
use crate::domain::request::{LaunchRequest, Wish};
use crate::domain::rules::Limits;
use crate::domain::violation::Violations;
use crate::policy::layers::{Applied, Launch, Unmet};
use crate::policy::verdict::Said;
use crate::policy::{Denial, Policy};
use time::UtcDateTime;

/// A launch that rules can decide about. Only [`Policy::propose`] makes one, so that none is judged
/// or sent without what layers make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub(super) principal: Principal,
    pub(super) account: AccountName,
    pub(super) request: LaunchRequest,
    pub(super) changes: Vec<Change>,
    unmet: Vec<Unmet>,
}

/// Why there is no proposal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request, with what layers made of it, breaks rules.
    #[error("{0}")]
    Invalid(Violations),
    /// The account is not the caller's to use.
    #[error(transparent)]
    Denied(#[from] Denial),
}

impl Policy {
    /// What the layers make of a wish that is decided at `now`. Their times are counted from `from`:
    /// a plan is carried out with those that it was made with.
    ///
    /// # Errors
    /// When the account is not the caller's, or the result is not sound.
    pub fn propose(
        &self,
        principal: &Principal,
        mut wish: Wish,
        limits: &Limits,
        now: UtcDateTime,
        from: UtcDateTime,
    ) -> Result<Proposal, Refusal> {
        let account = self.account(principal, wish.account.as_ref())?;
        let launch = Launch {
            principal,
            account: &account,
            from,
        };
        let layers = self.rules.as_ref().map(|rules| &rules.layers);
        let applied = layers.map(|layers| layers.apply(launch, &mut wish));
        let Applied { changes, unmet } = applied.unwrap_or_default();
        let request = LaunchRequest::parse(wish, limits, now)
            .map_err(|violations| Refusal::Invalid(attributed(violations, &changes)))?;
        Ok(Proposal {
            principal: principal.clone(),
            account,
            request,
            changes,
            unmet,
        })
    }
}

impl Refusal {
    /// The same, of a request that is the field `outer` of another one.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        match self {
            Self::Invalid(violations) => Self::Invalid(violations.within(outer)),
            Self::Denied(denial) => Self::Denied(denial),
        }
    }
}

/// Says of what a layer wrote that it was the layer.
fn attributed(mut violations: Violations, changes: &[Change]) -> Violations {
    for violation in &mut violations.0 {
        let part = |change: &&Change| {
            let rest = change.field.strip_prefix(&violation.field);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if let Some(change) = changes.iter().rev().find(part) {
            let origin = format!("; it comes from the {}", change.origin);
            violation.message.push_str(&origin);
        }
    }
    violations
}

impl Proposal {
    /// What would be launched.
    #[must_use]
    pub fn wish(&self) -> &Wish {
        self.request.wish()
    }

    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The account that would be charged.
    #[must_use]
    pub fn account(&self) -> &AccountName {
        &self.account
    }

    /// The same, with the size of the model in each of its places; none where that is left to a
    /// launch template or to the cloud.
    #[must_use]
    pub fn sized(self, sizes: Vec<Option<Size>>) -> Self {
        let request = self.request.sized(sizes);
        Self { request, ..self }
    }

    /// How big the models are, as far as somebody asked and the request names them.
    #[must_use]
    pub fn known_sizes(&self) -> Vec<(Place, Size)> {
        let specs = self.wish().specs();
        let sizes = specs.iter().zip(self.request.sizes());
        let known = sizes.filter_map(|(spec, size)| Some((Place::of(spec), size.clone()?)));
        known.collect()
    }

    /// What layers changed of what was asked for.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What layers require and the launch does not keep, under the policy `policy`.
    pub(super) fn unmet(&self, policy: String) -> Option<Denial> {
        let first = self.unmet.first()?;
        let message = |unmet: &Unmet| {
            let violation = &unmet.violation;
            format!("{} {}", violation.field, violation.message)
        };
        let said = self.unmet.iter().map(|unmet| Said {
            rule: unmet.rule.clone(),
            permits: false,
            reason: message(unmet),
        });
        let mut fields = Box::<Violations>::default();
        for Unmet { violation, .. } in &self.unmet {
            fields.add(&violation.field, &violation.message);
        }
        let more = match self.unmet.len() {
            1 => String::new(),
            count => format!("; and {} more", count - 1),
        };
        Some(Denial {
            policy,
            message: message(first) + &more,
            said: said.collect(),
            trial: None,
            fields,
        })
    }
}
