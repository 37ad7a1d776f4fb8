//! Decides past calls, as the audit tells them, by rules of today.

use super::cases::{Decided, launched, only_account};
use super::sizes::AuditedSize;
use crate::domain::ids::{OrganizationId, Principal};
use crate::domain::instance::{InstanceId, OwnedInstances};
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::Place;
use crate::domain::rules::Limits;
use crate::domain::spec::InstanceSpec;
use crate::grpc::wish_of_json;
use crate::policy::{Action, Rules, UnderWay};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

/// The longest line of the audit.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Rows of the audit that tell of a decision.
const DECISIONS: [&str; 2] = ["intent", "denied"];
/// The policy of what a limit refused: rules allowed it.
const OF_LIMITS: &str = "limits";

/// What a line tells of.
#[derive(Debug, Deserialize)]
struct Head {
    event: Option<String>,
    action: Option<String>,
}

/// A line of the audit, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Row {
    time: String,
    action: String,
    organization: OrganizationId,
    principal: Caller,
    #[serde(default)]
    account: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    request: Value,
    #[serde(default)]
    sizes: Vec<AuditedSize>,
    launched_by: Option<String>,
    decision: Option<Recorded>,
}

#[derive(Debug, Deserialize)]
struct Caller {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Recorded {
    verdict: String,
    #[serde(default)]
    policy_version: String,
}

/// What rules say of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Allowed,
    Denied(String),
    /// It is no sound request, with what layers make of it.
    Invalid(String),
}

/// What the old and the new rules say of a call.
type Both = [(Verdict, BTreeMap<String, String>); 2];

/// How many lines there were, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Decided by both.
    pub decided: usize,
    /// Of those, allowed by the old rules and not by the new ones.
    pub newly_refused: usize,
    /// Of those, allowed by the new rules and not by the old ones.
    pub newly_allowed: usize,
    /// Of those, filled in otherwise.
    pub changed: usize,
    /// Of those, not decided by the old rules as it was recorded.
    pub otherwise: usize,
    /// Lines that tell of no decision of policy.
    pub others: usize,
    /// Lines that cannot be used.
    pub unusable: usize,
}

impl Replayed {
    /// Whether the new rules decide something otherwise.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.newly_refused + self.newly_allowed + self.changed > 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Denied(why) => write!(f, "denied ({why})"),
            Self::Invalid(why) => write!(f, "refused ({why})"),
        }
    }
}

/// Decides every line of the file at `path` by both rules, and tells those that differ. Calls that name no
/// account are of `account`.
///
/// # Errors
/// When the file cannot be read.
pub fn replay(
    path: &Path,
    account: &AccountName,
    old: &Rules,
    new: &Rules,
    mut tell: impl FnMut(&str),
) -> io::Result<Replayed> {
    let mut all = Replayed::default();
    let mut file = BufReader::new(File::open(path)?);
    for number in 1_u64.. {
        let Some(line) = next_line(&mut file)? else {
            break;
        };
        if line.trim().is_empty() {
            continue;
        }
        match decide(&line, account, old, new) {
            Err(why) => {
                all.unusable += 1;
                tell(&format!("line {number}: cannot be used: {why}"));
            }
            Ok(None) => all.others += 1,
            Ok(Some((row, both))) => {
                let what = format!(
                    "line {number}: {} {} by {}",
                    row.time, row.action, row.principal.name
                );
                count(&mut all, &row, &both);
                for difference in differences(&both) {
                    tell(&format!("{what}: {difference}"));
                }
            }
        }
    }
    Ok(all)
}

/// Nothing at the end.
fn next_line(file: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = file.take(LINE_BYTES_MAX).read_line(&mut line)?;
    if u64::try_from(read).is_ok_and(|read| read == LINE_BYTES_MAX) {
        let message = format!("a line is longer than {LINE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok((read > 0).then_some(line))
}

/// Nothing for a line that tells of something else.
fn decide(
    line: &str,
    account: &AccountName,
    old: &Rules,
    new: &Rules,
) -> Result<Option<(Row, Both)>, String> {
    let malformed = |error: serde_json::Error| error.to_string();
    let Head { event, action } = serde_json::from_str(line).map_err(malformed)?;
    let is_decision = event.is_none_or(|event| DECISIONS.contains(&event.as_str()));
    let mut actions = Action::ALL.into_iter();
    let action = actions.find(|known| Some(known.as_str()) == action.as_deref());
    let Some(action) = action.filter(|_| is_decision) else {
        return Ok(None);
    };
    let row: Row = serde_json::from_str(line).map_err(malformed)?;
    // Earlier versions did not tell whose launch it was.
    if action == Action::CancelOperation && row.launched_by.is_none() {
        return Ok(None);
    }
    let both = [
        decided(&row, action, account, old)?,
        decided(&row, action, account, new)?,
    ];
    Ok(Some((row, both)))
}

fn decided(
    row: &Row,
    action: Action,
    account: &AccountName,
    rules: &Rules,
) -> Result<(Verdict, BTreeMap<String, String>), String> {
    let now = UtcDateTime::parse(&row.time, &Rfc3339).map_err(|error| error.to_string())?;
    let principal = Principal {
        name: row.principal.name.clone(),
        organization: row.organization.clone(),
    };
    let account = match row.account.as_str() {
        "" => account.clone(),
        name => AccountName::parse(name).map_err(|error| error.to_string())?,
    };
    let policy = only_account(&row.organization, &account, rules);
    let verdict = match action {
        Action::RunInstances | Action::PlanRunInstances => {
            // It kept the limits of its time, which may have been wider than those of today.
            let limits = Limits::widest();
            let mut request = row.request.clone();
            if let Value::Object(members) = &mut request {
                members.insert("account".to_owned(), Value::from(account.as_str()));
            }
            let wish = wish_of_json(&request.to_string(), &limits, now)?;
            let known = row.sizes.iter().map(AuditedSize::known);
            let known = known.collect::<Result<Vec<_>, _>>()?;
            // Of a model that layers name now and did not then nobody knows.
            let sizes = |spec: &InstanceSpec| {
                let place = Place::of(spec);
                let here = known.iter().find(|(known, _)| *known == place);
                here.map(|(_, size)| size.clone())
            };
            return Ok(
                match launched(&policy, action, &principal, (wish, sizes), (&limits, now)) {
                    Err(invalid) => (Verdict::Invalid(invalid), BTreeMap::new()),
                    Ok(Decided { verdict, changes }) => {
                        let changes = changes.into_iter().map(|of| (of.field, of.after));
                        (Verdict::of(verdict), changes.collect())
                    }
                },
            );
        }
        Action::TerminateInstances => {
            let instances = OwnedInstances {
                account,
                region: Region::parse(&row.region).map_err(|error| error.to_string())?,
                ids: instance_ids(&row.request)?,
            };
            let verdict = policy.authorize_termination(&principal, instances, now);
            Verdict::of(verdict)
        }
        Action::CancelOperation => {
            let launch = UnderWay {
                account: &account,
                region: &Region::parse(&row.region).map_err(|error| error.to_string())?,
                launched_by: row.launched_by.as_deref().ok_or("has no launched_by")?,
            };
            let verdict = policy.authorize_cancellation(&principal, launch, now);
            Verdict::of(verdict)
        }
        Action::WatchOperation
        | Action::GetOperation
        | Action::ListOperations
        | Action::ListInstances => Verdict::of(policy.may(&principal, action)),
    };
    Ok((verdict, BTreeMap::new()))
}

impl Verdict {
    fn of<T>(verdict: Result<T, crate::policy::Denial>) -> Self {
        match verdict {
            Ok(_) => Self::Allowed,
            Err(denial) => Self::Denied(denial.message),
        }
    }
}

fn instance_ids(request: &Value) -> Result<Vec<InstanceId>, String> {
    let ids = request
        .get("instanceIds")
        .or_else(|| request.get("instance_ids"));
    let ids = ids.and_then(Value::as_array).ok_or("has no instanceIds")?;
    let ids = ids.iter().map(|id| {
        let id = id.as_str().unwrap_or_default();
        InstanceId::parse(id).map_err(|error| error.to_string())
    });
    ids.collect()
}

fn count(all: &mut Replayed, row: &Row, [(old, before), (new, after)]: &Both) {
    all.decided += 1;
    let allowed = |verdict: &Verdict| *verdict == Verdict::Allowed;
    match (allowed(old), allowed(new)) {
        (true, false) => all.newly_refused += 1,
        (false, true) => all.newly_allowed += 1,
        (true, true) if before != after => all.changed += 1,
        (true, true) | (false, false) => {}
    }
    if let Some(Recorded {
        verdict,
        policy_version,
    }) = &row.decision
        && policy_version != OF_LIMITS
    {
        all.otherwise += usize::from((verdict == "allow") != allowed(old));
    }
}

/// What the new rules change, each in one line.
fn differences([(old, before), (new, after)]: &Both) -> Vec<String> {
    let both_allow = [old, new].map(|verdict| *verdict == Verdict::Allowed);
    match both_allow {
        [true, true] => {
            let fields = before
                .keys()
                .chain(after.keys().filter(|field| !before.contains_key(*field)));
            let changed = fields.filter_map(|field| {
                let [before, after] =
                    [before, after].map(|of| of.get(field).map_or("as asked", String::as_str));
                (before != after).then(|| format!("{field}: {before} → {after}"))
            });
            changed.collect()
        }
        [false, false] => Vec::new(),
        [_, _] => vec![format!("{old} → {new}")],
    }
}
