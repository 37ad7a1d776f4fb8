//! P1: what a launch takes of the processor, against a forwarder that proves, decides and remembers nothing.

use crate::cloud::{Cloud, UNLIMITED};
use crate::floor::{CANNED, FORWARDER};
use crate::load::{Client, Until, closed_loop, connect};
use crate::program::{Bed, Program, samples};
use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::{Spread, figures, ratio, rounds};
use std::time::Duration;
use tokio::runtime::Runtime;

const ROUNDS: usize = 5;
pub(crate) const CONNECTIONS: usize = 8;
/// Launches of a round, by how many are under way at once.
const LOADS: [(usize, u32); 2] = [(64, 800), (512, 1_600)];
/// A forwarder is so quick that as many would be lost in a hundredth of a second.
const FORWARDED: u32 = 8;

/// Machines are there at once, so a round must not wait for them to be likely.
pub(crate) const OFTEN: &str =
    "[operations]\npoll_interval = \"100ms\"\npoll_interval_max = \"100ms\"\n";

/// States in which nothing is left to do.
pub(crate) const AT_REST: [&str; 5] = [
    "SUCCEEDED",
    "PARTIAL",
    "FAILED",
    "CANCELLED",
    "NEEDS_OPERATOR",
];

const P1: Goal = Goal {
    id: "P1",
    what: "calls a processor second: gateway to null forwarder, at 64 and at 512 outstanding",
    must: Bound::AtLeast(0.60),
    best: Bound::AtLeast(0.80),
};

pub(crate) fn measure() -> Chapter {
    let runtime = Runtime::new().unwrap();
    let canned = Program::floor(CANNED, "");
    let forwarder = Program::floor(FORWARDER, &canned.address.to_string());
    let cloud = runtime.block_on(Cloud::new(1_000.0, false));
    let bed = Bed::new(cloud.address(), &format!("{UNLIMITED}{OFTEN}"));
    let gateway = Program::gateway(&bed);
    let forwarding = runtime.block_on(connect(forwarder.address, CONNECTIONS));
    let launching = runtime.block_on(connect(bed.grpc, CONNECTIONS));
    let (mut parts, mut shares) = (Vec::new(), Vec::new());
    for (callers, launches) in LOADS {
        let rows = rounds::<2>(ROUNDS, |rival| match rival {
            0 => runtime.block_on(forward(&forwarder, &forwarding, callers, launches)),
            _ => runtime.block_on(live((&gateway, &bed), &launching, callers, launches)),
        });
        shares.extend(rows.iter().map(|row| row[0] / row[1]));
        parts.push(row(callers, &rows));
    }
    Chapter {
        title: "A launch's work",
        how: "The gateway launches with mTLS off, rules, sealing, the audit, two tiers of metrics and SQLite, each machine followed until it \
              runs; the forwarder decodes, makes JSON, posts it over a kept connection, parses the answer and tells three messages. Processor \
              time is that of the whole process, from /proc.",
        figures: vec![Figure {
            goal: P1,
            measured: Spread::of(shares),
            short: SHORT,
        }],
        parts: table(
            &[
                "outstanding",
                "null forwarder µs a call",
                "gateway µs a launch",
                "calls a processor second, gateway to forwarder",
            ],
            parts,
        ),
    }
}

const SHORT: &str = "a launch here is a whole life, with four durable writes (the operation, its attempt, its answer, its end) where the forwarder has one \
                     POST.";

fn row(callers: usize, rows: &[[f64; 2]]) -> Vec<String> {
    let micros = |rival| digits(figures(rows, rival).median * 1e6);
    vec![
        callers.to_string(),
        micros(0),
        micros(1),
        digits(ratio(rows, 0, 1).median),
    ]
}

async fn forward(forwarder: &Program, clients: &[Client], callers: usize, launches: u32) -> f64 {
    let before = forwarder.processor_seconds();
    closed_loop(clients, callers, launches * FORWARDED, Until::Ended).await;
    (forwarder.processor_seconds() - before) / f64::from(launches * FORWARDED)
}

/// Until the last of the machines runs, and the gateway is done with it.
pub(crate) async fn live(
    (gateway, bed): (&Program, &Bed),
    clients: &[Client],
    callers: usize,
    launches: u32,
) -> f64 {
    let before = gateway.processor_seconds();
    closed_loop(clients, callers, launches, Until::Launched).await;
    while open_operations(bed).await > 0.0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (gateway.processor_seconds() - before) / f64::from(launches)
}

/// Operations that have not come to an end.
pub(crate) async fn open_operations(bed: &Bed) -> f64 {
    let counts = samples(bed.admin, "cvm_gateway_operations{").await;
    let open = counts.iter().filter(|(series, _)| {
        let at_rest = |state| series.contains(&format!("\"{state}\""));
        !AT_REST.into_iter().any(at_rest)
    });
    open.map(|(_, count)| count).sum()
}
