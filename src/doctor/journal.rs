//! Whether the journal is there, of this version, writable, with space and with its keys, and whether its
//! server's clock is right. It is read as `operations list` does, beside a gateway.

use super::{CLOCKS_APART, Finding, fail, ok, warn};
use crate::clock::Clock;
use crate::domain::causes::chain;
use crate::store::{Desk, Examined, Settings, StoreError, may_be_made};
use std::time::Duration;
use time::UtcDateTime;

const CHECK: &str = "journal";
/// A server that does not answer by then will not within a call either.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Room for some thousand operations, ...
const FREE_BYTES_MIN: u64 = 64 << 20;
/// ... and for some hundred thousand.
const FREE_BYTES_FEW: u64 = 1 << 30;

pub(super) async fn examine(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let seen = clock.timeout(ANSWER_WITHIN, look(settings, clock)).await;
    seen.unwrap_or_else(|| {
        let says = format!("no answer within {} s", ANSWER_WITHIN.as_secs());
        vec![fail(
            CHECK,
            "journal.url",
            says,
            "see that the database runs and can be reached from here",
        )]
    })
}

async fn look(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let desk = match Desk::open(settings).await {
        Ok(desk) => desk,
        Err(error) => return vec![unopened(&error)],
    };
    let examined = desk.examine().await;
    let keys = desk.try_keys().await;
    let now = clock.now();
    desk.close().await;
    let mut findings = match examined {
        Ok(examined) => of(&examined, now),
        Err(error) => vec![unusable("journal.url", &error)],
    };
    findings.push(match keys {
        Ok(()) => ok(CHECK, "journal.key_file", "the keys open what is sealed"),
        Err(error) => unusable("journal.key_file", &error),
    });
    findings
}

fn unopened(error: &StoreError) -> Finding {
    if let Some(path) = may_be_made(error) {
        let says = format!("there is none at {} yet", path.display());
        return warn(
            CHECK,
            "journal.url",
            says,
            "nothing, if no gateway of this configuration ran before: the first start makes it",
        );
    }
    if let StoreError::Older { found } = error {
        let says = format!("its tables are of version {found}, older than this program");
        return warn(
            CHECK,
            "journal.url",
            says,
            "nothing: the next start of this version brings them up to date",
        );
    }
    unusable("journal.url", error)
}

fn unusable(subject: &str, error: &StoreError) -> Finding {
    let fix = if matches!(error, StoreError::Unavailable { .. }) {
        "see that the database runs, and that address, user and password are right"
    } else if matches!(error, StoreError::Missing { .. }) {
        "make the folder of journal.url, where the gateway's user may write"
    } else {
        "the words above name the remedy; see also docs/operations.md, The journal"
    };
    fail(CHECK, subject, chain(error, ": "), fix)
}

fn of(examined: &Examined, now: UtcDateTime) -> Vec<Finding> {
    let mut findings = vec![version(examined), writable(examined)];
    findings.extend(examined.free_bytes.map(space));
    findings.extend(examined.server_time.map(|time| server_clock(time, now)));
    findings.extend(examined.sorts_otherwise.then(order));
    findings
}

fn version(examined: &Examined) -> Finding {
    let Examined {
        schema, own_schema, ..
    } = examined;
    if schema > own_schema {
        let says = format!(
            "its tables are of version {schema}, those of this program of {own_schema}; it may use them"
        );
        return warn(
            CHECK,
            "journal.url",
            says,
            "finish the upgrade: docs/deployment.md, Upgrades",
        );
    }
    ok(
        CHECK,
        "journal.url",
        format!("it is open to readers, with tables of version {schema}"),
    )
}

fn writable(examined: &Examined) -> Finding {
    if examined.is_writable {
        return ok(CHECK, "journal.url", "this user may write to it");
    }
    let fix = "let the gateway's user write to the file and its folder; of a server, name the primary and grant INSERT and UPDATE";
    fail(
        CHECK,
        "journal.url",
        "this user may only read it".to_owned(),
        fix,
    )
}

fn space(free: u64) -> Finding {
    let says = format!("its disk has {} MiB left", free >> 20);
    let fix = "free space or give the journal a larger disk; an operation takes about 3 KiB";
    match free {
        ..FREE_BYTES_MIN => fail(CHECK, "journal.url", says, fix),
        FREE_BYTES_MIN..FREE_BYTES_FEW => warn(CHECK, "journal.url", says, fix),
        FREE_BYTES_FEW.. => ok(CHECK, "journal.url", says),
    }
}

fn order() -> Finding {
    let says = "the database's server sorts texts otherwise than when it was made, so its unique indexes may miss what they have";
    let fix = "stop the gateways, REINDEX DATABASE and ALTER DATABASE ... REFRESH COLLATION VERSION: docs/deployment.md";
    warn(CHECK, "journal.url", says.to_owned(), fix)
}

fn server_clock(server: UtcDateTime, now: UtcDateTime) -> Finding {
    let apart = (server - now).as_seconds_f64();
    let says = format!("the database's clock is {apart:+.1} s from this machine's");
    if apart.abs() <= CLOCKS_APART.as_seconds_f64() {
        return ok("clocks", "journal.url", says);
    }
    warn(
        "clocks",
        "journal.url",
        says,
        "repair time synchronisation on both (`timedatectl`)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use time::macros::utc_datetime;

    #[test]
    fn each_trait_of_a_journal_has_its_verdict() {
        let now = utc_datetime!(2026-06-01 00:00);
        let well = Examined {
            schema: 14,
            own_schema: 14,
            is_writable: true,
            free_bytes: Some(FREE_BYTES_FEW),
            server_time: Some(now),
            sorts_otherwise: false,
        };
        let free = |bytes| Examined {
            free_bytes: Some(bytes),
            ..well.clone()
        };
        let off = |seconds| Examined {
            server_time: Some(now + time::Duration::seconds(seconds)),
            ..well.clone()
        };
        let rows = [
            (well.clone(), Verdict::Ok, "the database's clock is +0.0 s"),
            (
                Examined {
                    schema: 15,
                    ..well.clone()
                },
                Verdict::Warn,
                "version 15",
            ),
            (
                Examined {
                    is_writable: false,
                    ..well.clone()
                },
                Verdict::Fail,
                "may only read",
            ),
            (
                Examined {
                    sorts_otherwise: true,
                    ..well.clone()
                },
                Verdict::Warn,
                "sorts texts otherwise",
            ),
            (free(FREE_BYTES_FEW - 1), Verdict::Warn, "1023 MiB left"),
            (free(FREE_BYTES_MIN - 1), Verdict::Fail, "63 MiB left"),
            (off(-6), Verdict::Warn, "is -6.0 s from"),
            (off(5), Verdict::Ok, "is +5.0 s from"),
        ];
        for (examined, verdict, says) in rows {
            let findings = of(&examined, now);
            let worst = findings
                .iter()
                .max_by_key(|finding| finding.verdict)
                .unwrap();
            assert_eq!(worst.verdict, verdict, "{findings:?}");
            assert!(
                findings.iter().any(|finding| finding.says.contains(says)),
                "{findings:?}"
            );
        }
    }
}
