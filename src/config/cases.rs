//! The cases that an organisation's rules must decide as it wrote down: `tests/*.toml` beside them.

use super::file::{paths_in, read_text};
use super::problem::{Place, Problem};
use crate::domain::ids::{OrganizationId, Principal};
use crate::domain::instance::{InstanceId, OwnedInstances};
use crate::domain::names::{AccountName, Region};
use crate::domain::rules::Limits;
use crate::grpc::request_of_json;
use crate::policy::{Action, Denial, Organization, Policy, Rules};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::utc_datetime;
use toml::Spanned;

/// Files of cases, at most, and what each may hold.
const FILES_MAX: usize = 200;
const FILE_BYTES_MAX: u64 = 1 << 20;
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
    /// A `RunInstancesRequest`, in the names of protobuf JSON.
    request: Option<toml::Table>,
    /// Of a termination.
    region: Option<Region>,
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

/// Decides every case in `folder`'s `tests`.
///
/// # Errors
/// The file that cannot be read.
pub(super) fn run_cases(
    folder: &Path,
    rules: &Rules,
    limits: &Limits,
) -> Result<CasesRun, (PathBuf, std::io::Error)> {
    let mut run = CasesRun::default();
    for path in case_files(folder)? {
        let text = read_text(&path, FILE_BYTES_MAX).map_err(|error| (path.clone(), error))?;
        let name = path.display().to_string();
        let problem = |offset, message| Problem {
            place: Place::of(&name, &text, offset),
            message,
        };
        let cases: Cases = match toml::from_str(&text) {
            Ok(cases) => cases,
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                let message = format!("no cases: {}", error.message());
                run.problems.push(problem(offset, message));
                continue;
            }
        };
        for case in cases.case {
            run.cases += 1;
            if run.cases > CASES_MAX {
                let message = format!("there are more than {CASES_MAX} cases");
                run.problems.push(problem(0, message));
                return Ok(run);
            }
            let offset = case.span().start;
            let case = case.into_inner();
            if let Err(wrong) = case.check(rules, limits) {
                let message = format!("case `{}`: {wrong}", case.name);
                run.problems.push(problem(offset, message));
            }
        }
    }
    Ok(run)
}

/// The files of cases, in the order of their names; none when there is no folder of them.
fn case_files(folder: &Path) -> Result<Vec<PathBuf>, (PathBuf, std::io::Error)> {
    let folder = folder.join("tests");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let paths = paths_in(&folder, "toml", FILES_MAX);
    paths.map_err(|error| (folder, error))
}

impl Case {
    /// Whether it is decided as it must be.
    fn check(&self, rules: &Rules, limits: &Limits) -> Result<(), String> {
        let said = match (self.decide(rules, limits)?, self.expect) {
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
        match &self.rules {
            Some(expected) if expected.join(",") != said => {
                let expected = expected.join(",");
                Err(format!("must be decided by {expected}, and is by {said}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The rules that allow it, or why it is denied; an error when the case is unusable.
    fn decide(&self, rules: &Rules, limits: &Limits) -> Result<Result<String, Denial>, String> {
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
        match action {
            Action::RunInstances | Action::PlanRunInstances => {
                let request = self.request.as_ref().ok_or("has no `request`")?;
                let json = serde_json::to_string(request).map_err(|error| error.to_string())?;
                let request = request_of_json(&json, limits, now)?;
                if action == Action::PlanRunInstances {
                    let verdict = policy.may_plan(&principal, &request, now);
                    return Ok(verdict.map(|()| String::new()));
                }
                let verdict = policy.authorize(&principal, request, now);
                Ok(verdict.map(|grant| grant.decision().rule))
            }
            Action::TerminateInstances => {
                let instances = OwnedInstances {
                    account: self.account.clone(),
                    region: self.region.clone().ok_or("has no `region`")?,
                    ids: self.instance_ids.clone(),
                };
                let verdict = policy.authorize_termination(&principal, instances, now);
                Ok(verdict.map(|grant| grant.decision().rule))
            }
            Action::WatchOperation
            | Action::GetOperation
            | Action::ListOperations
            | Action::CancelOperation
            | Action::ListInstances => {
                let verdict = policy.may(&principal, action);
                Ok(verdict.map(|()| String::new()))
            }
        }
    }
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
