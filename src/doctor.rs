//! Looks whether everything that a gateway of a configuration needs is there, and says what to fix. It may be
//! done beside a running gateway: nothing is written, no lock and no lease is taken.

mod certificates;
mod cloud;
mod issuers;
mod journal;
mod ports;
mod side_door;

pub use side_door::{ask as ask_side_door, is_ok};

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::domain::request::Wish;
use serde::Serialize;
use std::path::Path;
use time::Duration;

/// A clock that is no further off is left alone.
const CLOCKS_APART: Duration = Duration::seconds(5);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// It works, and will not for long, or not as it should.
    Warn,
    /// A gateway does not work so.
    Fail,
}

/// What was looked at, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub check: &'static str,
    /// Which one of them.
    pub subject: String,
    pub verdict: Verdict,
    /// What is so. Nothing secret.
    pub says: String,
    /// What to do about it; empty when it is well.
    pub fix: String,
}

/// Everything that was seen of the configuration at `path` and of what it names; and what the cloud's own
/// DryRun says to `wish`, which is not carried out.
///
/// # Errors
/// [`ConfigError::Unreadable`]. What is wrong inside of it is among the findings.
pub async fn examine(
    path: &Path,
    wish: Option<Wish>,
    clock: &Clock,
) -> Result<Vec<Finding>, ConfigError> {
    let subject = path.display().to_string();
    let config = match Config::load(path) {
        Err(ConfigError::Invalid(problems)) => {
            let fix = "correct it; the rest can only be looked at then";
            let wrong = problems
                .into_iter()
                .map(|problem| fail("configuration", &subject, problem.to_string(), fix));
            return Ok(wrong.collect());
        }
        config => config?,
    };
    let mut findings = vec![ok("configuration", &subject, "it is sound")];
    findings.push(policy(&config));
    findings.extend(certificates::examine(&config.identity, clock));
    findings.extend(issuers::examine(&config.identity, clock).await);
    findings.extend(ports::examine(&config, clock).await);
    findings.extend(journal::examine(&config.journal, clock).await);
    findings.extend(cloud::examine(config, wish, clock).await);
    Ok(findings)
}

/// Rules that are wrong, or do not decide their own cases, make no configuration.
fn policy(config: &Config) -> Finding {
    let Some(rules) = &config.rules else {
        let says =
            "there are no rules: callers may do everything with the accounts of their organisation";
        let fix =
            "write rules and name their folder in policy.directory, docs/policy.md; or leave it so";
        return warn("policy", "policy.directory", says.to_owned(), fix);
    };
    let subject = rules.path.display().to_string();
    let (files, cases) = (rules.files.rules.len(), rules.files.cases.len());
    if cases == 0 {
        let says =
            format!("{files} files of rules are sound; none of cases shows what they decide");
        return warn(
            "policy",
            &subject,
            says,
            "write cases into tests/*.toml, docs/policy.md",
        );
    }
    let says =
        format!("{files} files of rules are sound, and decide as {cases} files of cases say");
    ok("policy", &subject, says)
}

fn ok(check: &'static str, subject: &str, says: impl Into<String>) -> Finding {
    found(Verdict::Ok, (check, subject), says.into(), "")
}

fn warn(check: &'static str, subject: &str, says: String, fix: &str) -> Finding {
    found(Verdict::Warn, (check, subject), says, fix)
}

fn fail(check: &'static str, subject: &str, says: String, fix: &str) -> Finding {
    found(Verdict::Fail, (check, subject), says, fix)
}

fn found(
    verdict: Verdict,
    (check, subject): (&'static str, &str),
    says: String,
    fix: &str,
) -> Finding {
    Finding {
        check,
        subject: subject.to_owned(),
        verdict,
        says,
        fix: fix.to_owned(),
    }
}
