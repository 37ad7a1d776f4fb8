//! What the log, its line for each call, and traces take of the processor, against a gateway that tells errors alone.

use crate::cloud::{Cloud, UNLIMITED};
use crate::floor::COLLECTOR;
use crate::load::{Client, connect};
use crate::program::{Bed, Program};
use crate::report::{Chapter, digits, table};
use crate::rounds::{figures, ratio, rounds};
use crate::work::{CONNECTIONS, OFTEN, live};
use tokio::runtime::Runtime;

const ROUNDS: usize = 5;
/// Launches of a round, ...
const LAUNCHES: u32 = 800;
/// ... and how many of them are under way at once.
const CALLERS: usize = 64;
const RIVALS: usize = 4;

/// What each gateway tells, and its table `[log]`.
const TOLD: [(&str, &str); RIVALS] = [
    ("errors", "filter = \"error\"\n"),
    (
        "what happens, as JSON",
        "filter = \"info\"\nformat = \"json\"\naccess = false\n",
    ),
    (
        "what happens, and a line for each call",
        "filter = \"info\"\nformat = \"json\"\naccess = true\n",
    ),
    ("errors, and all traces", "filter = \"error\"\n"),
];
/// The one of them that has traces.
const TRACED: usize = 3;

/// A gateway, and who calls it.
struct Observed {
    bed: Bed,
    gateway: Program,
    clients: Vec<Client>,
}

pub(crate) fn measure() -> Chapter {
    let runtime = Runtime::new().unwrap();
    let cloud = runtime.block_on(Cloud::new(1_000.0, false));
    let collector = Program::floor(COLLECTOR, "");
    let tracing = format!(
        "[tracing]\nendpoint = \"http://{}\"\nsample_ratio = 1.0\nqueue = 100000\n",
        collector.address
    );
    let observed: Vec<Observed> = (0..RIVALS)
        .map(|rival| {
            let traces = if rival == TRACED { &tracing } else { "" };
            let extra = format!("{UNLIMITED}{OFTEN}{traces}");
            let bed = Bed::telling(cloud.address(), TOLD[rival].1, &extra);
            let gateway = Program::gateway(&bed);
            let clients = runtime.block_on(connect(bed.grpc, CONNECTIONS));
            Observed {
                bed,
                gateway,
                clients,
            }
        })
        .collect();
    let rows = rounds::<RIVALS>(ROUNDS, |rival| {
        let Observed {
            bed,
            gateway,
            clients,
        } = &observed[rival];
        runtime.block_on(live((gateway, bed), clients, CALLERS, LAUNCHES))
    });
    let row = |rival: usize| {
        let micros = figures(&rows, rival).median * 1e6;
        let share = ratio(&rows, rival, 0).median;
        vec![TOLD[rival].0.to_owned(), digits(micros), digits(share)]
    };
    Chapter {
        title: "What is told of a launch",
        how: "Gateways that tell more or less of the same launches, 64 outstanding, as in *A launch's work*: processor time of the whole process. \
              The log goes to a file; traces, all of them, to a collector that counts nothing.",
        figures: Vec::new(),
        parts: table(
            &["told", "gateway µs a launch", "to errors alone"],
            (0..RIVALS).map(row),
        ),
    }
}
