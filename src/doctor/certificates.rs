//! Whether the certificates of TLS count, for how long, and whether the chain leads anywhere. That the key
//! belongs to the first one is checked with the configuration.

use super::{Finding, fail, ok, warn};
use crate::clock::Clock;
use crate::domain::causes::chain;
use crate::identity::{Certificate, PEM_BYTES_MAX, Settings, certificates};
use secrecy::ExposeSecret;
use time::{Duration, UtcDateTime};

/// What is left of a long life when somebody should be told. Of a short one it is a fifth.
const SOON: Duration = Duration::days(14);

pub(super) fn examine(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let Some(files) = &settings.tls else {
        return vec![ok("certificates", "grpc.tls", "callers come without TLS")];
    };
    let now = clock.now();
    let own =
        read(settings, &files.certificate).map(|found| of_own(&files.certificate, &found, now));
    let authorities = files
        .client_authorities
        .as_ref()
        .map(|path| read(settings, path).map(|found| of_authorities(path, &found, now)));
    let findings = std::iter::once(own).chain(authorities);
    findings
        .map(|finding| finding.unwrap_or_else(|unread| unread))
        .collect()
}

fn read(settings: &Settings, path: &str) -> Result<Vec<Certificate>, Finding> {
    let fix = "put back a PEM file that the gateway may read";
    let wrong = |says| fail("certificates", path, says, fix);
    let text = settings.reader.read(path, PEM_BYTES_MAX).map_err(wrong)?;
    certificates(text.expose_secret()).map_err(|error| wrong(chain(&error, ": ")))
}

/// The gateway's own one, and after it those that vouch for it.
fn of_own(path: &str, found: &[Certificate], now: UtcDateTime) -> Finding {
    let ends = found.iter().map(|one| one.not_after).min().unwrap_or(now);
    let early = found.iter().find(|one| now < one.not_before);
    let broken = found.windows(2).find(|pair| match pair {
        [one, next] => one.issuer != next.subject,
        _ => false,
    });
    if ends <= now {
        let says = format!("ended at {}", second(ends));
        fail(
            "certificates",
            path,
            says,
            "renew it; the new file counts without a restart",
        )
    } else if let Some(early) = early {
        let says = format!("counts only from {} on", second(early.not_before));
        fail(
            "certificates",
            path,
            says,
            "wait, or repair the clock of this machine or of who issued it",
        )
    } else if let Some([one, next]) = broken {
        let says = format!(
            "`{}` is vouched for by `{}`, but `{}` comes next",
            one.subject, one.issuer, next.subject
        );
        fail(
            "certificates",
            path,
            says,
            "order the file: the gateway's certificate, then who vouches for it, and so on",
        )
    } else if found.iter().any(|one| is_ending(one, now)) {
        let says = format!("ends at {}", second(ends));
        warn(
            "certificates",
            path,
            says,
            "renew it, or see why what renews it does not",
        )
    } else {
        ok(
            "certificates",
            path,
            format!("{} of a chain, good until {}", found.len(), second(ends)),
        )
    }
}

/// Those that vouch for callers: one that ended lets in nobody, and the others still do.
fn of_authorities(path: &str, found: &[Certificate], now: UtcDateTime) -> Finding {
    let left = found.iter().filter(|one| now < one.not_after).count();
    let ending = found.iter().find(|one| is_ending(one, now));
    let fix =
        "add the authority that follows it, and take it out once no caller has a certificate of it";
    match (left, ending) {
        (0, _) => fail(
            "certificates",
            path,
            "every authority of callers has ended".to_owned(),
            fix,
        ),
        (_, Some(one)) => {
            let says = format!(
                "the authority `{}` ends at {}",
                one.subject,
                second(one.not_after)
            );
            warn("certificates", path, says, fix)
        }
        (left, None) => ok(
            "certificates",
            path,
            format!("{left} authorities of callers"),
        ),
    }
}

fn is_ending(one: &Certificate, now: UtcDateTime) -> bool {
    let life = one.not_after - one.not_before;
    one.not_after - now < SOON.min(life / 5)
}

fn second(at: UtcDateTime) -> String {
    at.truncate_to_second().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use time::macros::utc_datetime;

    const NOW: UtcDateTime = utc_datetime!(2026-06-01 00:00);

    fn certificate(subject: &str, issuer: &str, days: i64) -> Certificate {
        Certificate {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            not_before: NOW - Duration::days(100),
            not_after: NOW + Duration::days(days),
        }
    }

    #[test]
    fn a_chain_is_as_good_as_its_weakest_part() {
        let leaf = |days| certificate("gateway", "middle", days);
        let middle = |days| certificate("middle", "root", days);
        let rows = [
            (vec![leaf(90), middle(900)], Verdict::Ok, "2 of a chain"),
            (vec![leaf(13), middle(900)], Verdict::Warn, "ends at"),
            (vec![leaf(90), middle(-1)], Verdict::Fail, "ended at"),
            (
                vec![leaf(90), certificate("other", "root", 90)],
                Verdict::Fail,
                "`other` comes next",
            ),
        ];
        for (chain, verdict, says) in rows {
            let finding = of_own("server.pem", &chain, NOW);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.says.contains(says), "{finding:?}");
        }
    }

    #[test]
    fn an_authority_that_ended_matters_once_no_other_is_left() {
        let rows = [
            (vec![90, 900], Verdict::Ok, "2 authorities"),
            (vec![90, -1], Verdict::Warn, "the authority `CN=b`"),
            (vec![13, 900], Verdict::Warn, "the authority `CN=a`"),
            (vec![-1, -1], Verdict::Fail, "every authority"),
        ];
        for (days, verdict, says) in rows {
            let names = ["CN=a", "CN=b"].into_iter().zip(days);
            let found: Vec<_> = names
                .map(|(name, days)| certificate(name, name, days))
                .collect();
            let finding = of_authorities("ca.pem", &found, NOW);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.says.contains(says), "{finding:?}");
        }
    }
}
