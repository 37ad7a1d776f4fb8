//! What the rules say of one request.

use crate::domain::ids::Principal;
use crate::policy::action::Action;
use crate::policy::facts::{Facts, Telling};
use crate::policy::mentioned::Mentioned;
use crate::policy::nearest;
use crate::policy::parties::Parties;
use crate::policy::rules::Rules;
use crate::policy::slices::{Slice, Slices};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, EntityId, EntityTypeName, EntityUid,
    PolicyId, PolicySet, Request, Response,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use time::UtcDateTime;

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
        let nothing = Slices::default();
        let slices = self.by_action.get(&question.action).unwrap_or(&nothing);
        let posed = match self.pose(question) {
            Ok(posed) => posed,
            Err(problem) => return unposed(&problem),
        };
        let slices = slices.about(&posed.parties.principals, &posed.parties.resources);
        let answer = posed.put_to(slices.iter().map(|slice| &slice.enforced));
        let tried = posed.put_to(slices.iter().map(|slice| &slice.shadow));
        let trial = answer.changed_by(tried);
        let outcome = match answer.unevaluable() {
            Some(refused) => Err(refused),
            None if answer.allows() => Ok(self.said(&answer.permits, true)),
            None => Err(self.denied(&answer, &slices, &posed)),
        };
        Verdict { outcome, trial }
    }

    pub(super) fn pose(&self, question: Question<'_>) -> Result<Posed, String> {
        let parties = self.known.parties(question.principal, question.account)?;
        let action = uid("Action", question.action.as_str())?;
        let ask = |facts, schema| {
            let context = Context::from_pairs(facts).map_err(told)?;
            let (principal, resource) = (parties.principal.clone(), parties.resource.clone());
            Request::new(principal, action.clone(), resource, context, schema).map_err(told)
        };
        let mut facts = question.facts;
        // All of it is made here and fits, as every test has Cedar see for itself. Should it ever not, a rule
        // that meets what does not fit cannot be evaluated, and denies.
        if cfg!(debug_assertions) {
            parties.check(&self.schema)?;
            ask(facts.clone(), Some(&self.schema))?;
            facts.retain(|(name, _)| self.mentioned.has(name));
        }
        Ok(Posed {
            request: ask(facts, None)?,
            parties,
        })
    }

    /// How facts are told at `now`: those that rules speak of, but where Cedar is to see that all of them fit.
    pub(super) fn telling(&self, now: UtcDateTime) -> Telling<'_> {
        Telling {
            now,
            second: &self.second,
            mentioned: if cfg!(debug_assertions) {
                &Mentioned::All
            } else {
                &self.mentioned
            },
        }
    }

    fn said(&self, rules: &BTreeSet<String>, permits: bool) -> Vec<Said> {
        let said = rules.iter().map(|rule| Said {
            reason: self.reasons.get(rule).cloned().unwrap_or_default(),
            permits,
            rule: rule.clone(),
        });
        said.collect()
    }

    fn denied(&self, answer: &Answer, slices: &[&Slice], posed: &Posed) -> (Vec<Said>, String) {
        let said = self.said(&answer.forbids, false);
        if !said.is_empty() {
            let rules = said.iter().map(|said| match said.reason.as_str() {
                "" => format!("`{}`", said.rule),
                reason => format!("`{}`: {reason}", said.rule),
            });
            let rules: Vec<String> = rules.collect();
            return (said, format!("forbidden by the rule {}", rules.join("; ")));
        }
        let permits = slices.iter().flat_map(|slice| &slice.permits);
        let nearest = nearest::nearest(permits, &posed.request, &posed.parties.entities);
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
}

/// A question in Cedar's terms.
pub(super) struct Posed {
    pub(super) request: Request,
    pub(super) parties: Arc<Parties>,
}

/// What rules answer. Sorted, so that the same decision is always told in the same words.
#[derive(Clone, Default)]
struct Answer {
    permits: BTreeSet<String>,
    forbids: BTreeSet<String>,
    /// Those that could not be evaluated. Cedar skips them, also one that forbids.
    failed: BTreeMap<String, String>,
}

impl Posed {
    /// As if all the rules were in one set: a rule's say depends on no other rule.
    fn put_to<'a>(&self, rules: impl Iterator<Item = &'a PolicySet>) -> Answer {
        let mut answer = Answer::default();
        for rules in rules.filter(|rules| !rules.is_empty()) {
            let entities = &self.parties.entities;
            answer.add(&Authorizer::new().is_authorized(&self.request, rules, entities));
        }
        answer
    }
}

impl Answer {
    fn add(&mut self, response: &Response) {
        let said = match response.decision() {
            Decision::Allow => &mut self.permits,
            Decision::Deny => &mut self.forbids,
        };
        said.extend(response.diagnostics().reason().map(PolicyId::to_string));
        let failed = response.diagnostics().errors();
        self.failed.extend(failed.map(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            (error.policy_id().to_string(), error.inner().to_string())
        }));
    }

    fn allows(&self) -> bool {
        self.failed.is_empty() && self.forbids.is_empty() && !self.permits.is_empty()
    }

    /// What `tried` would change, were its rules in force too.
    fn changed_by(&self, mut tried: Self) -> Option<Trial> {
        tried.permits.extend(self.permits.iter().cloned());
        tried.forbids.extend(self.forbids.iter().cloned());
        tried.failed.extend(self.failed.clone());
        let allows = tried.allows();
        let decided = if tried.forbids.is_empty() {
            tried.permits
        } else {
            tried.forbids
        };
        (allows != self.allows()).then(|| Trial {
            allows,
            rules: decided.into_iter().collect(),
        })
    }

    /// Why nothing is decided, when a rule could not be evaluated.
    fn unevaluable(&self) -> Option<(Vec<Said>, String)> {
        let (rule, error) = self.failed.first_key_value()?;
        let message = format!(
            "the rule `{rule}` cannot be evaluated: {error}; until the operator mends it, it denies"
        );
        Some((vec![refusal(rule, &message)], message))
    }
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

pub(super) fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind = EntityTypeName::from_str(kind).map_err(told)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

pub(super) fn told(error: impl Display) -> String {
    error.to_string()
}
