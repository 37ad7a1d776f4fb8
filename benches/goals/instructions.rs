//! P17: the instructions of a launch, against a null forwarder's, counted by callgrind: the same on a busy machine.

use crate::callgrind::Counts;
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
    what: "instructions of a launch without journal and signing: to a null forwarder's call",
    must: Bound::AtMost(1.30),
    best: Bound::AtMost(1.15),
};

/// What measures it, as the list of chapters has it.
pub(crate) const CHAPTER: crate::Measured = (&["P17"], measure);

/// What a launch does, and the functions that do it, by words of their names. Each is a part of what stands before it
/// with one dash less.
const PARTS: [(&str, &[&str]); 11] = [
    ("its call, all in all", &["H2Stream", "poll"]),
    ("- its handler", &["CvmGatewayService>::run_instances"]),
    ("- - deciding by policy", &["policy::Policy::authorize"]),
    (
        "- - the request as JSON, for the audit",
        &["pb::json::write_request"],
    ),
    ("- - and as a part of a record", &["audit::Entry::asked"]),
    (
        "- - the body that the cloud gets",
        &["cloud::body::run_instances"],
    ),
    (
        "stepping it, from its order to its answer",
        &["driver::Stepping::advance"],
    ),
    (
        "- the call of the cloud",
        &["HttpCloud", "Cloud>::run_instances"],
    ),
    ("- - signing it", SIGNING),
    ("looking at its machine until it runs", &["poller", "share"]),
    ("the journal: its four writes, their audit, SQLite", JOURNAL),
];
/// What the goal leaves out.
const SIGNING: &[&str] = &["tc3::Form::sign"];
const JOURNAL: &[&str] = &["store::writer::Writer::run"];

/// Fails when a launch takes more instructions than it did: `make gate`.
pub(crate) fn gate() {
    let Work { forwarder, gateway } = counted(GATE_CALLS);
    let (forwarder, gateway) = (forwarder.total(), gateway.total());
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
    let Work { forwarder, gateway } = counted(CALLS);
    let row = |name: &str, count: f64| {
        let to_forwarder = digits(count / forwarder.total());
        vec![name.to_owned(), digits(count), to_forwarder]
    };
    let left_out = gateway.of(SIGNING) + gateway.of(JOURNAL);
    let parts = PARTS
        .iter()
        .map(|(name, words)| row(name, gateway.of(words)));
    Chapter {
        title: "Instructions of a launch",
        how: "Counted by callgrind from the begin of the process to its end, for 500 and for 2,500 calls, 16 at once: the difference, divided. Valgrind \
              hides the processor's instructions for SHA-256, so what hashes counts for more than it takes: signing, and the journal's audit. \
              A part is a function with all that it calls; what became a part of its caller counts nothing.",
        figures: vec![Figure {
            goal: P17,
            measured: Spread::single((gateway.total() - left_out) / forwarder.total()),
            short: SHORT,
        }],
        parts: table(
            &["", "instructions", "to the forwarder"],
            [
                row("null forwarder, a call", forwarder.total()),
                row("gateway, a launch to its end", gateway.total()),
            ]
            .into_iter()
            .chain(parts),
        ),
    }
}

const SHORT: &str = "see its parts: the forwarder knows no policy, keeps no record of who asked for what, and looks at no machine.";

/// What was counted of a forwarder and of a gateway.
struct Work {
    forwarder: PerCall,
    gateway: PerCall,
}

/// Two runs that differ by so many calls.
struct PerCall {
    runs: [Counts; 2],
    calls: f64,
}

impl PerCall {
    fn total(&self) -> f64 {
        self.each(|run| run.total)
    }

    fn of(&self, words: &[&str]) -> f64 {
        self.each(|run| run.of(words))
    }

    fn each(&self, of: impl Fn(&Counts) -> f64) -> f64 {
        let [few, many] = &self.runs;
        (of(many) - of(few)) / self.calls
    }
}

/// Counts. The programs run side by side, for they mostly wait, and how busy the machine is counts for nothing.
fn counted(calls: [u32; 2]) -> Work {
    let runtime = || Runtime::new().unwrap();
    let per_call = |runs| PerCall {
        runs,
        calls: f64::from(calls[1] - calls[0]),
    };
    thread::scope(|scope| {
        let forwarded = calls.map(|calls| scope.spawn(move || runtime().block_on(forward(calls))));
        let lived = calls.map(|calls| scope.spawn(move || runtime().block_on(live(calls))));
        let [forwarded, lived] = [forwarded, lived].map(|pair| pair.map(|run| run.join().unwrap()));
        Work {
            forwarder: per_call(forwarded),
            gateway: per_call(lived),
        }
    })
}

async fn forward(calls: u32) -> Counts {
    let canned = Program::floor(CANNED, "");
    let counts = Callgrind::new("forwarder", calls);
    let program = std::env::current_exe().unwrap();
    let forwarder = Program::begin_floor(
        counts.command(&program),
        FORWARDER,
        &canned.address.to_string(),
    );
    let clients = connect(forwarder.address, 1).await;
    closed_loop(&clients, CALLERS, calls, Until::Ended).await;
    forwarder.stop();
    counts.read()
}

async fn live(calls: u32) -> Counts {
    let cloud = Cloud::new(1_000.0, false).await;
    let bed = Bed::new(cloud.address(), UNLIMITED);
    let counts = Callgrind::new("gateway", calls);
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
    counts.read()
}

/// The file that callgrind counts into.
struct Callgrind(PathBuf);

impl Callgrind {
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

    fn read(&self) -> Counts {
        Counts::read(&self.0)
    }
}
