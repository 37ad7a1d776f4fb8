//! P19 and P20: how soon it serves, and how large it is.

use crate::cloud::{Cloud, UNLIMITED};
use crate::load::{Until, closed_loop, connect};
use crate::program::{Bed, Program, python};
use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::{Spread, figures, ratio, rounds};
use crate::work::AT_REST;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::process::Command;
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
/// Operations that are open when a process starts.
const OPEN: u32 = 10_000;

const P19: Goal = Goal {
    id: "P19",
    what: "exec to serving, ms",
    must: Bound::AtMost(25.0),
    best: Bound::AtMost(10.0),
};
const P19_SDK: Goal = Goal {
    id: "P19",
    what: "sooner than the official Python SDK is imported, times",
    must: Bound::AtLeast(10.0),
    best: Bound::AtLeast(30.0),
};
const P19_RECOVERY: Goal = Goal {
    id: "P19",
    what: "exec to having 10,000 open operations in hand after `kill -9`, ms",
    must: Bound::AtMost(250.0),
    best: Bound::AtMost(100.0),
};
const P20: Goal = Goal {
    id: "P20",
    what: "the program without symbols, MiB",
    must: Bound::AtMost(20.0),
    best: Bound::AtMost(12.0),
};
const P20_IDLE: Goal = Goal {
    id: "P20",
    what: "its resident memory when idle, MiB",
    must: Bound::AtMost(20.0),
    best: Bound::AtMost(10.0),
};

pub(crate) fn measure() -> Chapter {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cloud = runtime.block_on(Cloud::new(1.0, true));
    let bed = Bed::new(cloud.address(), "");
    let rows = rounds::<2>(ROUNDS, |rival| match rival {
        0 => seconds(|| Program::gateway(&bed)),
        _ => seconds(|| python(&["-c", "import tencentcloud.cvm.v20170312.cvm_client"])),
    });
    let recovered = runtime.block_on(recovery());
    let (size, idle) = (size(&bed), idle(&bed));
    let of = |spread: Spread, factor| Spread {
        low: spread.low * factor,
        median: spread.median * factor,
        high: spread.high * factor,
    };
    let figure = |goal, measured, short| Figure {
        goal,
        measured,
        short,
    };
    let started = of(figures(&rows, 0), 1e3);
    let imported = of(figures(&rows, 1), 1e3);
    Chapter {
        title: "Start and size",
        how: "From the call that makes the process to the first connection that its port takes, with a journal that exists. Then a gateway that \
              holds 10,000 launches is killed; the next one has them in hand when it has claimed each in the journal. Symbols are taken away by `strip`.",
        figures: vec![
            figure(P19, started, SHORT_START),
            figure(P19_SDK, ratio(&rows, 1, 0), SHORT_START),
            figure(
                P19_RECOVERY,
                Spread::single(recovered * 1e3),
                SHORT_RECOVERY,
            ),
            figure(P20, Spread::single(size), SHORT_SIZE),
            figure(P20_IDLE, Spread::single(idle), SHORT_IDLE),
        ],
        parts: table(
            &["", "ms"],
            [
                ("gateway, to serving", started),
                ("import of the Python SDK", imported),
            ]
            .map(|(name, spread)| vec![name.to_owned(), digits(spread.median)]),
        ),
    }
}

const SHORT_START: &str = "the schema is checked, the journal's keys are proven and its leases looked at before the port opens.";
const SHORT_RECOVERY: &str = "the open operations are claimed in transactions of some hundred, each of which reads, parses and writes its rows.";
const SHORT_SIZE: &str = "Cedar with its parser, aws-lc, SQLite, both PostgreSQL's and SQLite's drivers, the simulator and its catalogue are in one program. All of it \
                          built for size (`opt-level` \"s\", and \"z\" for what no launch goes through) is 20.0 MiB, and takes 21 MiB when idle; but then a signature takes 1.99 \
                          times its hash.";
const SHORT_IDLE: &str = "the pages of the program that a start touches (the system maps 64 KiB around each), SQLite's caches, and the \
                          allocator's.";

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let made = work();
    let seconds = start.elapsed().as_secs_f64();
    drop(made);
    seconds
}

/// Seconds until a new process has all that a killed one had.
async fn recovery() -> f64 {
    // No machine comes up meanwhile.
    let cloud = Cloud::new(0.01, false).await;
    let bed = Bed::new(cloud.address(), UNLIMITED);
    let gateway = Program::gateway(&bed);
    let clients = connect(bed.grpc, 8).await;
    closed_loop(&clients, 256, OPEN, Until::Launched).await;
    drop(clients);
    gateway.kill();
    let mut journal = SqliteConnection::connect(&bed.journal()).await.unwrap();
    let sql = "SELECT MAX(lease_until) FROM operations";
    let dead: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut journal)
        .await
        .unwrap();
    let start = Instant::now();
    let _gateway = Program::gateway(&bed);
    while taken_up(&mut journal, dead).await < i64::from(OPEN) {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "not all are taken up"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    journal.close().await.unwrap();
    seconds
}

/// Operations that a second process has in hand: its leases last longer than those of the `dead` one. An index
/// tells that, so asking takes no time from who is asked about.
async fn taken_up(journal: &mut SqliteConnection, dead: i64) -> i64 {
    let at_rest = AT_REST.join("', '");
    let sql = format!(
        "SELECT COUNT(*) FROM operations WHERE lease_until > $1 AND state NOT IN ('{at_rest}')"
    );
    let count = sqlx::query_scalar(AssertSqlSafe(sql)).bind(dead);
    count.fetch_one(journal).await.unwrap()
}

/// MiB of the program without its symbols.
fn size(bed: &Bed) -> f64 {
    let stripped = bed.file("stripped");
    let status = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(env!("CARGO_BIN_EXE_cvm-gateway"))
        .status();
    assert!(status.unwrap().success(), "strip fails");
    std::fs::metadata(stripped).unwrap().len() as f64 / 1_048_576.0
}

/// MiB that a gateway has that nobody calls.
fn idle(bed: &Bed) -> f64 {
    let gateway = Program::gateway(bed);
    std::thread::sleep(Duration::from_secs(2));
    gateway.resident_bytes() / 1_048_576.0
}
