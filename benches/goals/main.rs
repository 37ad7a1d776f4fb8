//! The goals of performance as ratios of two programs in one run: `make bench`.
//!
//! A figure alone tells more of the machine than of the code, so each is a ratio to a rival that does the same job, most often the
//! least work that could do it. Rivals take turns within a round, in an order that turns about, so that what disturbs one disturbs all;
//! a ratio is the median of the rounds' ratios. `GOALS="P5 P12"` measures some; all of them are also written to docs/benchmarks.md.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a benchmark reads the machine's time, prints, rounds, and may fail by panic"
)]

mod callgrind;
#[path = "../common/catalog.rs"]
mod catalog;
mod cloud;
#[path = "../common/deciding.rs"]
mod deciding;
mod floor;
mod instructions;
mod journal;
mod latency;
mod load;
mod memory;
mod observing;
mod polling;
mod program;
mod quota;
mod report;
mod rounds;
mod rules;
mod sign;
mod start;
mod work;

use report::{Chapter, Report};

/// Goals, and what measures them.
type Measured = (&'static [&'static str], fn() -> Chapter);

const CHAPTERS: [Measured; 11] = [
    (&["P1"], work::measure),
    (&["observing"], observing::measure),
    (&["P3", "P4"], latency::measure),
    (&["P5"], memory::measure),
    (&["P6", "P7", "P8"], polling::measure),
    (&["P10"], quota::measure),
    (&["P12"], sign::measure),
    (&["P13"], rules::measure),
    (&["P14", "P15"], journal::measure),
    instructions::CHAPTER,
    (&["P19", "P20"], start::measure),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(role) = arguments.iter().position(|argument| argument == "--as") {
        return floor::serve(&arguments[role + 1..]);
    }
    let wanted = std::env::var("GOALS").unwrap_or_else(|_| "all".to_owned());
    if wanted == "gate" {
        return instructions::gate();
    }
    let wants = |goals: &[&str]| {
        wanted == "all" || wanted.split_whitespace().any(|goal| goals.contains(&goal))
    };
    let mut report = Report::default();
    for (goals, measure) in CHAPTERS {
        if wants(goals) {
            report.add(measure());
        }
    }
    if wanted == "all" {
        report.write();
    }
}
