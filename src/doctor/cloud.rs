//! Whether the cloud takes the key of each account, and how far its clock is off. Each account is asked once,
//! for machines that do not exist: a question that costs nothing and that the gateway must be allowed. Who names a
//! launch has it judged by the cloud's own DryRun, too.

use super::{CLOCKS_APART, Finding, Verdict, fail, ok, warn};
use crate::clock::Clock;
use crate::cloud::body::{self, operation_tag_key};
use crate::cloud::client::{HttpCloud, Tools};
use crate::cloud::dry_run::{DryRun, Judged};
use crate::cloud::limiter::{Action, Class, Limiter};
use crate::cloud::{Cloud, CloudError, Fault, Target};
use crate::config::Config;
use crate::domain::ids::OperationId;
use crate::domain::names::AccountName;
use crate::domain::reason::Reason;
use crate::domain::request::{LaunchRequest, Wish};
use crate::domain::standing::KeyStanding;
use crate::metrics::Metrics;
use crate::random::Random;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use std::sync::Arc;
use std::time::Duration;

const CREDENTIALS: &str = "credentials";
const DRY_RUN: &str = "dry run";
/// Accounts that are asked for at once.
const AT_ONCE: usize = 8;
/// The operation of no machine.
const NOBODYS: &str = "doctor";

/// What is asked, and with what.
struct Question {
    cloud: HttpCloud,
    limiter: Limiter,
    clock: Clock,
}

/// A launch that is only judged, and by which accounts.
struct Rehearsal {
    body: DryRun,
    targets: Vec<Target>,
}

pub(super) async fn examine(config: Config, wish: Option<Wish>, clock: &Clock) -> Vec<Finding> {
    let rehearsal = wish.map(|wish| rehearsal(wish, &config, clock));
    let (rehearsal, unfit) = match rehearsal.transpose() {
        Ok(rehearsal) => (rehearsal, None),
        Err(unfit) => (None, Some(unfit)),
    };
    let accounts = config.credentials.accounts.iter();
    let targets = accounts.map(|(account, settings)| Target {
        account: account.clone(),
        region: settings.region.clone(),
    });
    let targets: Vec<Target> = targets.collect();
    let skew_max = config.cloud.clock_skew_max;
    let (question, metrics) = match question(config, clock) {
        Ok(question) => question,
        Err(says) => {
            return vec![fail(
                CREDENTIALS,
                "cloud",
                says,
                "correct the setting that is named",
            )];
        }
    };
    let errands = join_all(question.cloud.errands());
    let answers = async {
        let keys = stream::iter(&targets).map(|target| question.ask(target));
        let mut findings: Vec<_> = keys.buffered(AT_ONCE).collect().await;
        if let Some(Rehearsal { body, targets }) = &rehearsal {
            let judged = stream::iter(targets).map(|target| question.rehearse(body, target));
            findings.extend(judged.buffered(AT_ONCE).collect::<Vec<_>>().await);
        }
        findings
    };
    let mut findings = tokio::select! {
        findings = answers => findings,
        _never = errands => Vec::new(),
    };
    findings.extend(unfit);
    findings.extend(
        metrics
            .credentials
            .skew()
            .map(|apart| cloud_clock(apart, skew_max)),
    );
    findings
}

fn question(config: Config, clock: &Clock) -> Result<(Question, Metrics), String> {
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION")).map_err(|error| error.to_string())?;
    let tools = Tools {
        clock: clock.clone(),
        random: Random::system(),
        metrics: metrics.credentials.clone(),
        observer: Arc::new(|_counted_by_nobody| {}),
    };
    let cloud = HttpCloud::new(config.cloud, config.credentials, tools)
        .map_err(|error| error.to_string())?;
    let limiter = Limiter::new(
        config.cloud_limits,
        None,
        clock.clone(),
        metrics.cloud.clone(),
    );
    let clock = clock.clone();
    let question = Question {
        cloud,
        limiter,
        clock,
    };
    Ok((question, metrics))
}

/// What is asked about `wish` in its first place, with every account, or the one that it names.
fn rehearsal(wish: Wish, config: &Config, clock: &Clock) -> Result<Rehearsal, Finding> {
    let unfit = |says: String| {
        let fix = "change the file of --dry-run, or the configuration";
        fail(DRY_RUN, "request", says, fix)
    };
    let now = clock.now();
    let request = LaunchRequest::parse(wish, &config.limits, now);
    let request = request.map_err(|broken| unfit(broken.to_string()))?;
    let wish = request.wish();
    let asked = |account: &&AccountName| wish.account.as_ref().is_none_or(|own| own == *account);
    let accounts = config.credentials.accounts.keys().filter(asked);
    let targets = accounts.map(|account| Target {
        account: account.clone(),
        region: wish.region.clone(),
    });
    let targets: Vec<Target> = targets.collect();
    if targets.is_empty() {
        return Err(unfit(
            "it names an account that is not configured".to_owned(),
        ));
    }
    let launch = body::run_instances(&wish.spec, OperationId::generate(now), 0);
    let launch = launch.map_err(|error| unfit(error.to_string()))?;
    Ok(Rehearsal {
        body: DryRun::of(&launch),
        targets,
    })
}

impl Question {
    async fn ask(&self, target: &Target) -> Finding {
        let host = self.cloud.host(target);
        let permit = self
            .limiter
            .permit(target, &host, Action::DescribeInstances, Class::Sweep);
        let permit = permit.await;
        let key = operation_tag_key();
        let answer = self.cloud.find_by_tag(permit, target, &key, NOBODYS);
        let says = format!("{host} takes its key");
        self.judge((CREDENTIALS, target), &host, answer.await.map(|_none| says))
    }

    async fn rehearse(&self, body: &DryRun, target: &Target) -> Finding {
        let host = self.cloud.host(target);
        let permit = self
            .limiter
            .permit(target, &host, Action::RunInstances, Class::Sweep);
        let now = self.clock.now();
        let answer = body.ask(&self.cloud, permit.await, target, now).await;
        match answer {
            Ok(Judged::Launched { request_id }) => launched(target, &request_id),
            Ok(Judged::Passed) => judge(
                (DRY_RUN, target),
                &host,
                Ok(format!("{host} would launch it")),
            ),
            Err(error) => self.judge((DRY_RUN, target), &host, Err(error)),
        }
    }

    /// As [`judge`]; where there was no key to ask with, what its source said.
    fn judge(
        &self,
        (check, target): (&'static str, &Target),
        host: &str,
        answer: Result<String, CloudError>,
    ) -> Finding {
        let keyless = |error: &CloudError| error.code == Fault::CredentialUnavailable.as_str();
        let mut keys = self.cloud.keys().into_iter();
        let keys = keys.find(|keys| keys.account == target.account);
        match keys.filter(|_| answer.as_ref().is_err_and(keyless)) {
            Some(keys) => no_key(check, target, keys),
            None => judge((check, target), host, answer),
        }
    }
}

fn no_key(check: &'static str, target: &Target, keys: KeyStanding) -> Finding {
    let failure = keys.failure;
    let failure =
        failure.unwrap_or_else(|| "no answer within cloud.credentials.first_wait".to_owned());
    let says = format!(
        "there is no key to ask with; its source, {}: {failure}",
        keys.source
    );
    let fix =
        "mend what that names: the account's table, its source or its role, docs/credentials.md";
    fail(check, &subject(target), says, fix)
}

/// What `host` answered: a sentence when all is well.
fn judge(
    (check, target): (&'static str, &Target),
    host: &str,
    answer: Result<String, CloudError>,
) -> Finding {
    let subject = subject(target);
    let error = match answer {
        Ok(says) => return ok(check, &subject, says),
        Err(error) => error,
    };
    // Without the message, which may quote what was sent.
    let mut says = format!("the question at {host} ended with {}", error.code);
    if !error.fields.is_empty() {
        says = format!("{says}, for {}", error.fields.join(", "));
    }
    match remedy(error.reason) {
        (Verdict::Fail, fix) => fail(check, &subject, says, fix),
        (Verdict::Ok | Verdict::Warn, fix) => warn(check, &subject, says, fix),
    }
}

/// How bad it is that the cloud refuses so, and what to do about it.
fn remedy(reason: Reason) -> (Verdict, &'static str) {
    match reason {
        Reason::CloudRateLimited => (Verdict::Warn, "nothing; ask again when less is called"),
        Reason::Capacity => (
            Verdict::Warn,
            "nothing; name another zone or model to see whether it may be launched",
        ),
        Reason::GatewayCredential => (
            Verdict::Fail,
            "replace the key in its source or enable it in the console: docs/operations.md, CvmGatewayKeyRefused",
        ),
        Reason::CloudPermissionDenied => (
            Verdict::Fail,
            "grant the key what deploy/cam-policy.json has",
        ),
        Reason::CloudUnavailable => (
            Verdict::Fail,
            "see that the host can be reached from here: DNS, firewall, cloud.proxy, cloud.ca_file",
        ),
        Reason::InvalidParameter | Reason::ResourceNotFound => (
            Verdict::Fail,
            "name what this account has in that region, or one account alone",
        ),
        Reason::QuotaExceeded => (Verdict::Fail, "ask the cloud for more quota"),
        Reason::InsufficientBalance => (Verdict::Fail, "top the account up"),
        Reason::OperationNotFound
        | Reason::RequestIdReused
        | Reason::Unauthenticated
        | Reason::PolicyDenied
        | Reason::Overloaded
        | Reason::TooManyCalls
        | Reason::GatewayBusy
        | Reason::PreconditionFailed
        | Reason::MarketPrice
        | Reason::ConflictingOperation
        | Reason::GatewayDefect
        | Reason::CloudInternal
        | Reason::GatewayUnavailable
        | Reason::LaunchFailed
        | Reason::LaunchTimeout
        | Reason::Cancelled
        | Reason::NeedsOperator
        | Reason::NotImplemented
        | Reason::DryRunPassed => (Verdict::Fail, "look the code up in docs/errors.md"),
    }
}

/// The contract says that this cannot be.
fn launched(target: &Target, request_id: &str) -> Finding {
    let says = format!("the cloud launched for a DryRun, in the call {request_id}");
    let fix = "give the machines back in the console, and show this to the cloud";
    fail(DRY_RUN, &subject(target), says, fix)
}

fn subject(target: &Target) -> String {
    format!("{} ({})", target.account, target.region)
}

fn cloud_clock(apart: f64, max: Duration) -> Finding {
    let says = format!("the cloud's clock is {apart:+.1} s from this machine's");
    let fix = "repair the machine's time synchronisation (`timedatectl`)";
    let bearable = max.max(CLOCKS_APART.unsigned_abs()).as_secs_f64();
    if apart.abs() <= CLOCKS_APART.as_seconds_f64() {
        ok("clocks", "cloud", says)
    } else if apart.abs() <= bearable {
        warn(
            "clocks",
            "cloud",
            format!("{says}; launches are dated by the cloud's"),
            fix,
        )
    } else {
        fail(
            "clocks",
            "cloud",
            format!("{says}, which is more than cloud.clock_skew_max"),
            fix,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::Region;

    #[test]
    fn a_clock_may_be_off_as_far_as_it_is_corrected() {
        let hour = Duration::from_secs(3600);
        let rows = [
            (4.9, hour, Verdict::Ok),
            (-5.1, hour, Verdict::Warn),
            (3600.5, hour, Verdict::Fail),
            (5.1, Duration::ZERO, Verdict::Fail),
        ];
        for (apart, max, verdict) in rows {
            assert_eq!(cloud_clock(apart, max).verdict, verdict, "{apart} {max:?}");
        }
    }

    #[test]
    fn what_the_cloud_answers_names_its_remedy_and_never_its_words() {
        let target = Target {
            account: AccountName::parse("main").unwrap(),
            region: Region::parse("ap-shanghai").unwrap(),
        };
        let answer = |reason| CloudError {
            reason,
            ..Fault::HttpStatus.error("canary")
        };
        let rows = [
            (Reason::CloudRateLimited, Verdict::Warn, "ask again"),
            (Reason::GatewayCredential, Verdict::Fail, "replace the key"),
            (
                Reason::CloudPermissionDenied,
                Verdict::Fail,
                "cam-policy.json",
            ),
            (Reason::CloudUnavailable, Verdict::Fail, "DNS"),
            (Reason::ResourceNotFound, Verdict::Fail, "this account has"),
            (Reason::Capacity, Verdict::Warn, "another zone"),
            (Reason::QuotaExceeded, Verdict::Fail, "more quota"),
            (
                Reason::InsufficientBalance,
                Verdict::Fail,
                "top the account",
            ),
            (Reason::CloudInternal, Verdict::Fail, "docs/errors.md"),
        ];
        let judge = |answer| judge((DRY_RUN, &target), "host", answer);
        for (reason, verdict, fix) in rows {
            let finding = judge(Err(answer(reason)));
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.fix.contains(fix), "{finding:?}");
            assert!(!format!("{finding:?}").contains("canary"), "{finding:?}");
        }
        assert_eq!(judge(Ok(String::new())).verdict, Verdict::Ok);
        assert_eq!(launched(&target, "id").verdict, Verdict::Fail);
    }
}
