//! What the rules say of one request.

use crate::domain::ids::Principal;
use crate::policy::action::Action;
use crate::policy::facts::Facts;
use crate::policy::nearest;
use crate::policy::rules::{Rules, Slice};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId,
    PolicySet, Request, Response, RestrictedExpression,
};
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::str::FromStr;

/// The rule that is named when none is: nothing is allowed that no rule permits.
const NO_RULE: &str = "no-rule-permits";
/// The rule that is named when the question itself could not be put.
const NO_QUESTION: &str = "request-fits-schema";

/// What is asked for.
pub(super) struct Question<'a> {
    pub(super) principal: &'a Principal,
    pub(super) action: Action,
    /// The account; none: the caller's organisation.
    pub(super) account: Option<&'a str>,
    pub(super) facts: Facts,
}

/// A rule that had a say, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its id.
    pub rule: String,
    pub permits: bool,
    /// In its own words, or in ours.
    pub reason: String,
}

/// What the rules on trial would have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Whether they would have allowed it.
    pub allows: bool,
    /// Those that decided then.
    pub rules: Vec<String>,
}

/// The answer to a question.
pub(super) struct Verdict {
    /// The rules that permit; or those that do not, and why in one sentence.
    pub(super) outcome: Result<Vec<Said>, (Vec<Said>, String)>,
    pub(super) trial: Option<Trial>,
}

impl Rules {
    /// Decides. What cannot be decided is denied.
    pub(super) fn decide(&self, question: Question<'_>) -> Verdict {
        let nothing = Slice::default();
        let slice = self.by_action.get(&question.action).unwrap_or(&nothing);
        let posed = match self.pose(question) {
            Ok(posed) => posed,
            Err(problem) => return unposed(&problem),
        };
        let response = posed.put_to(&slice.enforced);
        let trial = slice.on_trial.as_ref().and_then(|policies| {
            let tried = posed.put_to(policies);
            let trial = Trial {
                allows: is_allowed(&tried),
                rules: ids(tried.diagnostics().reason()),
            };
            (trial.allows != is_allowed(&response)).then_some(trial)
        });
        // A rule that fails to evaluate is skipped by Cedar, also one that forbids.
        let failed: Vec<_> = response.diagnostics().errors().collect();
        let outcome = match failed.first() {
            Some(error) => Err(self.unevaluable(error)),
            None if response.decision() == Decision::Allow => Ok(self.said(&response, true)),
            None => Err(self.denied(&response, slice, &posed)),
        };
        Verdict { outcome, trial }
    }

    fn pose(&self, question: Question<'_>) -> Result<Posed, String> {
        let Principal { name, organization } = question.principal;
        let organization = uid("Organization", organization.as_str())?;
        let principal = uid("Service", name)?;
        let action = uid("Action", question.action.as_str())?;
        let mut entities = vec![
            Entity::with_uid(organization.clone()),
            member(principal.clone(), name, &organization)?,
        ];
        let resource = match question.account {
            None => organization,
            Some(account) => {
                let resource = uid("Account", account)?;
                entities.push(member(resource.clone(), account, &organization)?);
                resource
            }
        };
        let context = Context::from_pairs(question.facts).map_err(told)?;
        let schema = Some(&self.schema);
        let entities = Entities::from_entities(entities, schema).map_err(told)?;
        let request = Request::new(principal, action, resource, context, schema);
        Ok(Posed {
            request: request.map_err(told)?,
            entities,
        })
    }

    fn said(&self, response: &Response, permits: bool) -> Vec<Said> {
        let rules = ids(response.diagnostics().reason()).into_iter();
        let said = rules.map(|rule| Said {
            reason: self.reasons.get(&rule).cloned().unwrap_or_default(),
            permits,
            rule,
        });
        said.collect()
    }

    fn denied(&self, response: &Response, slice: &Slice, posed: &Posed) -> (Vec<Said>, String) {
        let said = self.said(response, false);
        if !said.is_empty() {
            let rules = said.iter().map(|said| match said.reason.as_str() {
                "" => format!("`{}`", said.rule),
                reason => format!("`{}`: {reason}", said.rule),
            });
            let rules: Vec<String> = rules.collect();
            return (said, format!("forbidden by the rule {}", rules.join("; ")));
        }
        let nearest = nearest::nearest(&slice.permits, &posed.request, &posed.entities);
        let message = match nearest.as_slice() {
            [] => {
                "no rule permits it, and none speaks of this caller and what it asks for; ask the \
                   operator of the gateway for one"
                    .to_owned()
            }
            some => format!("no rule permits it; {}", some.join("; ")),
        };
        (vec![refusal(NO_RULE, &message)], message)
    }

    fn unevaluable(&self, error: &cedar_policy::AuthorizationError) -> (Vec<Said>, String) {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
        let rule = error.policy_id();
        let message = format!(
            "the rule `{rule}` cannot be evaluated: {}; until the operator mends it, it denies",
            error.inner()
        );
        (vec![refusal(rule.as_ref(), &message)], message)
    }
}

/// A question in Cedar's terms.
struct Posed {
    request: Request,
    entities: Entities,
}

impl Posed {
    fn put_to(&self, policies: &PolicySet) -> Response {
        Authorizer::new().is_authorized(&self.request, policies, &self.entities)
    }
}

fn is_allowed(response: &Response) -> bool {
    let mut errors = response.diagnostics().errors();
    response.decision() == Decision::Allow && errors.next().is_none()
}

/// Sorted, so that the same decision is always told in the same words.
fn ids<'a>(ids: impl Iterator<Item = &'a PolicyId>) -> Vec<String> {
    let mut ids: Vec<String> = ids.map(PolicyId::to_string).collect();
    ids.sort();
    ids
}

/// The request has something that the schema does not know: a defect of ours, but no launch.
fn unposed(problem: &str) -> Verdict {
    let message = format!("the request cannot be put to the rules: {problem}; please report it");
    Verdict {
        outcome: Err((vec![refusal(NO_QUESTION, &message)], message)),
        trial: None,
    }
}

fn refusal(rule: &str, reason: &str) -> Said {
    Said {
        rule: rule.to_owned(),
        permits: false,
        reason: reason.to_owned(),
    }
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind = EntityTypeName::from_str(kind).map_err(told)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn member(uid: EntityUid, name: &str, organization: &EntityUid) -> Result<Entity, String> {
    let name = RestrictedExpression::new_string(name.to_owned());
    let attributes = HashMap::from([("name".to_owned(), name)]);
    let parents = HashSet::from([organization.clone()]);
    Entity::new(uid, attributes, parents).map_err(told)
}

fn told(error: impl Display) -> String {
    error.to_string()
}
