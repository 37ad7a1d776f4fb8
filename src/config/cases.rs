//! The cases that an organisation's rules must decide as it wrote down: `tests/*.toml` beside them.

use super::problem::{Place, Problem};
use super::sizes::ToldSize;
use crate::domain::change::Change;
use crate::domain::ids::{OrganizationId, Principal};
use crate::domain::instance::{InstanceId, OwnedInstances};
use crate::domain::names::{AccountName, Region};
use crate::domain::outlook::Size;
use crate::domain::request::Wish;
use crate::domain::rules::Limits;
use crate::domain::spec::InstanceSpec;
use crate::grpc::wish_of_json;
use crate::policy::{Action, Denial, Organization, Policy, Refusal, RuleFile, Rules, UnderWay};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::utc_datetime;
use toml::Spanned;

/// All cases together: they run at each reload.
const CASES_MAX: usize = 2_000;
/// When a case is decided that does not say when: at noon of a working day.
const NOON: UtcDateTime = utc_datetime!(2026-01-05 12:00);

/// What is expected of one request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    principal: String,
    organization: OrganizationId,
    account: AccountName,
    #[serde(default = "run_instances")]
    action: String,
    /// RFC 3339.
    time: Option<String>,
    expect: Expectation,
    /// The rules that must have decided; any when it is left out.
    rules: Option<Vec<String>>,
    /// What layers must have changed, and to what: some of it, or nothing when it is empty.
    changes: Option<toml::Table>,
    /// A `RunInstancesRequest`, in the names of protobuf JSON.
    request: Option<toml::Table>,
    /// What the cloud would tell of the model, in each place.
    size: Option<ToldSize>,
    /// Of a termination or a cancellation.
    region: Option<Region>,
    /// Whose launch is cancelled.
    launched_by: Option<String>,
    #[serde(default)]
    instance_ids: Vec<InstanceId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expectation {
    Allow,
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Spanned<Case>>,
}

/// How the cases went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CasesRun {
    /// How many were decided.
    pub cases: usize,
    /// Those that are unusable, or were not decided as they must be.
    pub problems: Vec<Problem>,
}

/// Decides every case in `files` of `folder`.
pub(super) fn run_cases(
    folder: &Path,
    files: &[RuleFile],
    rules: &Rules,
    limits: &Limits,
) -> CasesRun {
    let mut run = CasesRun::default();
    let mut all = Vec::new();
    for file in files {
        match toml::from_str::<Cases>(&file.text) {
            Ok(cases) => all.extend(cases.case.into_iter().map(|case| (file, case))),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                let message = format!("no cases: {}", error.message());
                run.problems.push(problem(folder, file, offset, message));
            }
        }
    }
    run.cases = all.len();
    // Deciding them takes time, so too many are not even begun.
    if let Some((file, case)) = all.get(CASES_MAX) {
        let message = format!("there are more than {CASES_MAX} cases");
        run.problems
            .push(problem(folder, file, case.span().start, message));
        return run;
    }
    for (file, case) in all {
        let offset = case.span().start;
        let case = case.into_inner();
        if let Err(wrong) = case.check(rules, limits) {
            let message = format!("case `{}`: {wrong}", case.name);
            run.problems.push(problem(folder, file, offset, message));
        }
    }
    run
}

fn problem(folder: &Path, file: &RuleFile, offset: usize, message: String) -> Problem {
    let name = folder.join(&file.name).display().to_string();
    Problem {
        place: Place::of(&name, &file.text, offset),
        message,
    }
}

/// What came of a case.
pub(super) struct Decided {
    /// The rules that allow it, or why it is denied.
    pub(super) verdict: Result<String, Denial>,
    pub(super) changes: Vec<Change>,
}

impl Case {
    /// Whether it is decided as it must be.
    fn check(&self, rules: &Rules, limits: &Limits) -> Result<(), String> {
        let Decided { verdict, changes } = self.decide(rules, limits)?;
        let said = match (verdict, self.expect) {
            (Ok(rules), Expectation::Allow) => rules,
            (Err(denial), Expectation::Deny) => denial.rule(),
            (Ok(rules), Expectation::Deny) => {
                return Err(format!("must be denied, and is allowed by {rules}"));
            }
            (Err(denial), Expectation::Allow) => {
                return Err(format!(
                    "must be allowed, and is denied: {}",
                    denial.message
                ));
            }
        };
        self.check_changes(&changes)?;
        match &self.rules {
            Some(expected) if expected.join(",") != said => {
                let expected = expected.join(",");
                Err(format!("must be decided by {expected}, and is by {said}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether layers changed the fields that are named, to what is written there.
    fn check_changes(&self, changes: &[Change]) -> Result<(), String> {
        let Some(expected) = &self.changes else {
            return Ok(());
        };
        if expected.is_empty()
            && let Some(Change { field, origin, .. }) = changes.first()
        {
            return Err(format!(
                "must be left as it is, and {field} is changed: {origin}"
            ));
        }
        for (field, value) in expected {
            let value = serde_json::to_value(value).map_err(|error| error.to_string())?;
            // What is changed twice is in the end what it was changed to last.
            let change = changes.iter().rev().find(|change| change.field == *field);
            match change {
                None => return Err(format!("{field} must become {value}, and is not changed")),
                Some(Change { after, origin, .. })
                    if serde_json::from_str::<Value>(after).ok().as_ref() != Some(&value) =>
                {
                    return Err(format!(
                        "{field} must become {value}, and becomes {after}: {origin}"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What is decided; an error when the case is unusable.
    fn decide(&self, rules: &Rules, limits: &Limits) -> Result<Decided, String> {
        let all = Action::ALL.into_iter();
        let action = { all }.find(|action| action.as_str() == self.action);
        let action = action.ok_or_else(|| format!("`{}` is no action", self.action))?;
        let now = match &self.time {
            None => NOON,
            Some(text) => UtcDateTime::parse(text, &Rfc3339)
                .map_err(|_not_one| format!("`{text}` is no time; write 2026-01-05T12:00:00Z"))?,
        };
        let policy = only_account(&self.organization, &self.account, rules);
        let principal = Principal {
            name: self.principal.clone(),
            organization: self.organization.clone(),
        };
        let verdict = match action {
            Action::RunInstances | Action::PlanRunInstances => {
                let request = self.request.as_ref().ok_or("has no `request`")?;
                let json = serde_json::to_string(request).map_err(|error| error.to_string())?;
                let wish = wish_of_json(&json, limits, now)?;
                let size = self.size.as_ref().map(ToldSize::size).transpose()?;
                let sizes = |_: &InstanceSpec| size.clone();
                return launched(&policy, action, &principal, (wish, sizes), (limits, now));
            }
            Action::TerminateInstances => {
                let instances = OwnedInstances {
                    account: self.account.clone(),
                    region: self.region.clone().ok_or("has no `region`")?,
                    ids: self.instance_ids.clone(),
                };
                let verdict = policy.authorize_termination(&principal, instances, now);
                verdict.map(|grant| grant.decision().rule)
            }
            Action::CancelOperation => {
                let launch = UnderWay {
                    account: &self.account,
                    region: self.region.as_ref().ok_or("has no `region`")?,
                    launched_by: self.launched_by.as_deref().ok_or("has no `launched_by`")?,
                };
                let verdict = policy.authorize_cancellation(&principal, launch, now);
                verdict.map(|decision| decision.rule)
            }
            Action::WatchOperation
            | Action::GetOperation
            | Action::ListOperations
            | Action::ListInstances => {
                let verdict = policy.may(&principal, action);
                verdict.map(|_decision| String::new())
            }
        };
        Ok(Decided {
            verdict,
            changes: Vec::new(),
        })
    }
}

/// What is decided about a launch, or about a plan of one; and how big the model is in each of its places,
/// as far as somebody knows.
pub(super) fn launched(
    policy: &Policy,
    action: Action,
    principal: &Principal,
    (wish, sizes): (Wish, impl Fn(&InstanceSpec) -> Option<Size>),
    (limits, now): (&Limits, UtcDateTime),
) -> Result<Decided, String> {
    let (verdict, changes) = match policy.propose(principal, wish, limits, now, now) {
        Err(Refusal::Invalid(violations)) => return Err(violations.to_string()),
        Err(Refusal::Denied(denial)) => (Err(denial), Vec::new()),
        Ok(proposal) => {
            let changes = proposal.changes().to_vec();
            let specs = proposal.wish().specs();
            let proposal = proposal.sized(specs.iter().map(sizes).collect());
            let verdict = match action == Action::PlanRunInstances {
                true => policy.may_plan(&proposal, now).map(|()| String::new()),
                false => {
                    let granted = policy.authorize(proposal, now);
                    granted.map(|grant| grant.decision().rule)
                }
            };
            (verdict, changes)
        }
    };
    Ok(Decided { verdict, changes })
}

/// The policy of one organisation with one account: which accounts it has is not for rules to say.
#[must_use]
pub fn only_account(organization: &OrganizationId, account: &AccountName, rules: &Rules) -> Policy {
    let only = Organization {
        default_account: account.clone(),
        accounts: vec![account.clone()],
    };
    Policy::new([(organization.clone(), only)].into()).with_rules(Some(rules.clone()))
}

fn run_instances() -> String {
    Action::RunInstances.as_str().to_owned()
}
