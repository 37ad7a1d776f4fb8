//! P17: the instructions of a launch, against a null forwarder's, counted by callgrind: the same on a busy machine.

use crate::cloud::{Cloud, UNLIMITED};
use crate::floor::{CANNED, FORWARDER};
use crate::load::{Until, closed_loop, connect};
use crate::program::{Bed, Program};
use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::Spread;
use crate::work::open_operations;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

/// What differs between two runs: the calls; start and end cancel out.
const CALLS: [u32; 2] = [500, 2_500];
/// And of an unoptimised build, each of whose calls is many times as many instructions.
const GATE_CALLS: [u32; 2] = [25, 100];
/// The most that the ratio may be of an unoptimised build. Runs gave 7.64 and 7.92 when this was written, and
/// earlier ones of one program differed by a tenth: so does work that is done by the clock, and how many launches
/// share a commit.
const GATE: f64 = 10.5;
const CALLERS: usize = 16;

const P17: Goal = Goal {
    id: "P17",
    what: "instructions of a launch: to a null forwarder's call",
    must: Bound::AtMost(1.30),
    best: Bound::AtMost(1.15),
};

/// What measures it, as the list of chapters has it.
pub(crate) const CHAPTER: crate::Measured = (&["P17"], measure);

/// Fails when a launch takes more instructions than it did: `make gate`.
pub(crate) fn gate() {
    let (forwarder, gateway) = counted(GATE_CALLS);
    let ratio = gateway / forwarder;
    println!(
        "a launch {gateway:.0} instructions, a null forwarder's call {forwarder:.0}: {ratio:.2}, at most {GATE}"
    );
    assert!(
        ratio <= GATE,
        "a launch takes more than it did: mend that, or tell why in the commit that raises GATE"
    );
}

fn measure() -> Chapter {
    let (forwarder, gateway) = counted(CALLS);
    let row =
        |name: &str, count: f64| vec![name.to_owned(), digits(count), digits(count / forwarder)];
    Chapter {
        title: "Instructions of a launch",
        how: "Counted by callgrind from the begin of the process to its end, for 500 and for 2,500 calls, 16 at once: the difference, divided. Valgrind \
              hides the processor's instructions for SHA-256, so signing counts for more than it takes.",
        figures: vec![Figure {
            goal: P17,
            measured: Spread::single(gateway / forwarder),
            short: SHORT,
        }],
        parts: table(
            &["", "instructions", "to the forwarder"],
            [
                row("null forwarder, a call", forwarder),
                row("gateway, a launch to its end", gateway),
            ],
        ),
    }
}

const SHORT: &str = "the goal leaves out signing and the journal; here both are in it, with the SQL of four durable writes.";

/// The instructions of a null forwarder's call, and of a launch. The programs run side by side, for they mostly
/// wait, and how busy the machine is counts for nothing.
fn counted(calls: [u32; 2]) -> (f64, f64) {
    let per_call = |[few, many]: [f64; 2]| (many - few) / f64::from(calls[1] - calls[0]);
    let runtime = || Runtime::new().unwrap();
    thread::scope(|scope| {
        let forwarded = calls.map(|calls| scope.spawn(move || runtime().block_on(forward(calls))));
        let lived = calls.map(|calls| scope.spawn(move || runtime().block_on(live(calls))));
        let [forwarded, lived] = [forwarded, lived].map(|pair| pair.map(|run| run.join().unwrap()));
        (per_call(forwarded), per_call(lived))
    })
}

async fn forward(calls: u32) -> f64 {
    let canned = Program::floor(CANNED, "");
    let counts = Counts::new("forwarder", calls);
    let program = std::env::current_exe().unwrap();
    let forwarder = Program::begin_floor(
        counts.command(&program),
        FORWARDER,
        &canned.address.to_string(),
    );
    let clients = connect(forwarder.address, 1).await;
    closed_loop(&clients, CALLERS, calls, Until::Ended).await;
    forwarder.stop();
    counts.total()
}

async fn live(calls: u32) -> f64 {
    let cloud = Cloud::new(1_000.0, false).await;
    let bed = Bed::new(cloud.address(), UNLIMITED);
    let counts = Counts::new("gateway", calls);
    let gateway = Program::begin(
        &bed,
        counts.command(Path::new(env!("CARGO_BIN_EXE_cvm-gateway"))),
    );
    gateway.until_connected(bed.grpc);
    let clients = connect(bed.grpc, 1).await;
    closed_loop(&clients, CALLERS, calls, Until::Launched).await;
    while open_operations(&bed).await > 0.0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    gateway.stop();
    counts.total()
}

/// The file that callgrind counts into.
struct Counts(PathBuf);

impl Counts {
    fn new(name: &str, calls: u32) -> Self {
        let name = format!("goals-{name}-{calls}.callgrind");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::remove_file(&file).unwrap_or_default();
        Self(file)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("valgrind");
        command
            .args(["--quiet", "--tool=callgrind"])
            .arg(format!("--callgrind-out-file={}", self.0.display()))
            .arg(program);
        command
    }

    fn total(&self) -> f64 {
        let counts = std::fs::read_to_string(&self.0).unwrap();
        let total = counts
            .lines()
            .find_map(|line| line.strip_prefix("totals: "));
        total
            .expect("callgrind counted nothing")
            .trim()
            .parse()
            .unwrap()
    }
}
