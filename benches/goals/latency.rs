//! P3 and P4: how long a caller waits, against the RPC and the flushes that cannot be done without.

use crate::cloud::{Cloud, UNLIMITED};
use crate::floor::{ANSWERER, CANNED, FORWARDER};
use crate::journal::Log;
use crate::load::{Client, Until, connect, launch, wish};
use crate::program::{Bed, Program};
use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::{Spread, at, figures, ratio, rounds, sorted};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const ROUNDS: usize = 5;
/// Calls of a round, one after the other.
const CALLS: u32 = 400;
/// Before each call and each flush: a launch goes on after its caller has heard of it, and is not to be in the
/// way of the next one.
const PAUSE: Duration = Duration::from_millis(10);

const P3: Goal = Goal {
    id: "P3",
    what: "call to durable `ACCEPTED`, p50: to a null RPC and one write + fdatasync",
    must: Bound::AtMost(1.6),
    best: Bound::AtMost(1.15),
};
const P3_TAIL: Goal = Goal {
    id: "P3",
    what: "its p99 to its p50",
    must: Bound::AtMost(2.0),
    best: Bound::AtMost(2.0),
};
const P4: Goal = Goal {
    id: "P4",
    what: "call to durable `LAUNCHED`, p50: to a null forwarder and two flushes",
    must: Bound::AtMost(1.4),
    best: Bound::AtMost(1.15),
};

/// Who takes turns.
const NULL: usize = 0;
const FLUSH: usize = 1;
const ACCEPTED: usize = 2;
const FORWARD: usize = 3;
const LAUNCHED: usize = 4;
const TAIL: usize = 5;

pub(crate) fn measure() -> Chapter {
    let rows = take_turns();
    let accepted = rows
        .iter()
        .map(|row| row[ACCEPTED] / (row[NULL] + row[FLUSH]));
    let launched = rows
        .iter()
        .map(|row| row[LAUNCHED] / (row[FORWARD] + 2.0 * row[FLUSH]));
    let figure = |goal, measured, short| Figure {
        goal,
        measured,
        short,
    };
    Chapter {
        title: "A caller's wait",
        how: "One caller, one call 10 ms after the other, in plaintext over loopback. The null RPC answers at once, the null forwarder after a call \
              of a cloud that says the same to everything; a flush is a write of 2,560 bytes into a file of 4 MiB, and fdatasync, after as long a \
              pause. All take turns.",
        figures: vec![
            figure(P3, Spread::of(accepted), SHORT_ACCEPTED),
            figure(P3_TAIL, ratio(&rows, TAIL, ACCEPTED), SHORT_TAIL),
            figure(P4, Spread::of(launched), SHORT_LAUNCHED),
        ],
        parts: parts(&rows),
    }
}

const SHORT_ACCEPTED: &str = "the transaction writes 17 pages of SQLite, not one, and four threads wake each other on processors that have gone to sleep.";
const SHORT_TAIL: &str = "the journal's checkpoint, and machines that are polled meanwhile, share the processors with the caller.";
const SHORT_LAUNCHED: &str = "three commits lie on the way, not two: the operation, its attempt before the first byte leaves, and its answer.";

fn parts(rows: &[[f64; 6]]) -> String {
    let names = [
        "null RPC",
        "write + fdatasync",
        "gateway, to `ACCEPTED`",
        "null forwarder",
        "gateway, to `LAUNCHED`",
        "gateway, to `ACCEPTED`, p99",
    ];
    let row = |(rival, name): (usize, &&str)| {
        let Spread { low, median, high } = figures(rows, rival);
        let mut cells = vec![(*name).to_owned()];
        cells.extend([low, median, high].map(|seconds| digits(seconds * 1e6)));
        cells
    };
    table(
        &["p50 of one caller, µs", "low", "median", "high"],
        names.iter().enumerate().map(row),
    )
}

fn take_turns() -> Vec<[f64; 6]> {
    let runtime = Runtime::new().unwrap();
    let canned = Program::floor(CANNED, "");
    let forwarder = Program::floor(FORWARDER, &canned.address.to_string());
    let answerer = Program::floor(ANSWERER, "");
    let cloud = runtime.block_on(Cloud::new(1_000.0, false));
    let bed = Bed::new(cloud.address(), UNLIMITED);
    let _gateway = Program::gateway(&bed);
    let connect = |address| runtime.block_on(connect(address, 1));
    let (null, forward, launch) = (
        connect(answerer.address),
        connect(forwarder.address),
        connect(bed.grpc),
    );
    let wait = |clients: &[Client], until| sorted(runtime.block_on(one_by_one(&clients[0], until)));
    let mut log = Log::new("latency", 1);
    let mut tail = 0.0;
    rounds::<6>(ROUNDS, |rival| match rival {
        NULL => at(&wait(&null, Until::Accepted), 0.5),
        FLUSH => at(&sorted((0..CALLS).map(|_| flush(&mut log))), 0.5),
        ACCEPTED => {
            let seconds = wait(&launch, Until::Accepted);
            tail = at(&seconds, 0.99);
            at(&seconds, 0.5)
        }
        FORWARD => at(&wait(&forward, Until::Ended), 0.5),
        LAUNCHED => at(&wait(&launch, Until::Launched), 0.5),
        _ => tail,
    })
}

/// How long each call takes, in seconds.
async fn one_by_one(client: &Client, until: Until) -> Vec<f64> {
    let mut seconds = Vec::new();
    for _ in 0..CALLS {
        tokio::time::sleep(PAUSE).await;
        let (mut client, wish) = (client.clone(), wish(1));
        let start = Instant::now();
        launch(&mut client, wish, until).await;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds
}

fn flush(log: &mut Log) -> f64 {
    thread::sleep(PAUSE);
    log.flush()
}
