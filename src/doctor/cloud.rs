//! Whether the cloud takes the key of each account, and how far its clock is off. Each account is asked once,
//! for machines that do not exist: a question that costs nothing and that the gateway must be allowed.

use super::{CLOCKS_APART, Finding, fail, ok, warn};
use crate::clock::Clock;
use crate::cloud::body::operation_tag_key;
use crate::cloud::client::{HttpCloud, Tools};
use crate::cloud::limiter::{Action, Class, Limiter};
use crate::cloud::{Cloud, CloudError, Target};
use crate::config::Config;
use crate::domain::reason::Reason;
use crate::metrics::Metrics;
use crate::random::Random;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use std::sync::Arc;
use std::time::Duration;

const CREDENTIALS: &str = "credentials";
/// Accounts that are asked for at once.
const AT_ONCE: usize = 8;
/// The operation of no machine.
const NOBODYS: &str = "doctor";

/// What is asked, and with what.
struct Question {
    cloud: HttpCloud,
    limiter: Limiter,
}

pub(super) async fn examine(config: Config, clock: &Clock) -> Vec<Finding> {
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
    let answers = stream::iter(&targets).map(|target| question.ask(target));
    let mut findings = tokio::select! {
        findings = answers.buffered(AT_ONCE).collect::<Vec<_>>() => findings,
        _never = errands => Vec::new(),
    };
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
    Ok((Question { cloud, limiter }, metrics))
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
        judge(target, &host, answer.await.err().as_ref())
    }
}

fn judge(target: &Target, host: &str, error: Option<&CloudError>) -> Finding {
    let subject = format!("{} ({})", target.account, target.region);
    let Some(error) = error else {
        return ok(CREDENTIALS, &subject, format!("{host} takes its key"));
    };
    // Without the message, which may quote what was sent.
    let says = format!("the question at {host} ended with {}", error.code);
    let reason = error.reason;
    if reason == Reason::CloudRateLimited {
        let fix = "nothing; ask again when less is called";
        return warn(CREDENTIALS, &subject, says, fix);
    }
    let fix = if reason == Reason::GatewayCredential {
        "replace the key in its source or enable it in the console: docs/operations.md, CvmGatewayKeyRefused"
    } else if reason == Reason::CloudPermissionDenied {
        "grant the key what deploy/cam-policy.json has"
    } else if reason == Reason::CloudUnavailable {
        "see that the host can be reached from here: DNS, firewall, cloud.proxy, cloud.ca_file"
    } else {
        "look the code up in docs/errors.md"
    };
    fail(CREDENTIALS, &subject, says, fix)
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
    use crate::doctor::Verdict;
    use crate::domain::names::{AccountName, Region};

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
            ..crate::cloud::Fault::HttpStatus.error("canary")
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
            (Reason::CloudInternal, Verdict::Fail, "docs/errors.md"),
        ];
        for (reason, verdict, fix) in rows {
            let finding = judge(&target, "host", Some(&answer(reason)));
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.fix.contains(fix), "{finding:?}");
            assert!(!format!("{finding:?}").contains("canary"), "{finding:?}");
        }
        assert_eq!(judge(&target, "host", None).verdict, Verdict::Ok);
    }
}
