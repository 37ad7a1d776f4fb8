//! Simulations: replicas, journal, cloud and callers on one thread and a time that skips every wait,
//! under every fault that a seed draws. docs/testing.md says how to run more of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail by panic, and tells its progress"
)]

mod brownout;
mod caller;
mod check;
mod dice;
mod process;
mod scenario;
mod sim;
mod trace;
mod weather;

use scenario::Scenario;
use sim::{Report, run};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seeds of the short form, which is a part of `cargo test`.
const SEEDS: u64 = 20;
/// Threads that live through seeds; each seed has one for itself.
const THREADS: u64 = 2;

#[expect(
    clippy::disallowed_methods,
    reason = "who runs the simulations says which"
)]
fn number_of(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

/// How long this thread has worked on a core, in nanoseconds: what others do there meanwhile does
/// not count.
fn worked() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn told(seed: u64, report: &Report) -> String {
    let violations = report.violations.join("\n  ");
    format!("seed {seed}:\n  {violations}\n  replay: make simulate SEED={seed}")
}

/// `SEED=n` replays one seed and prints its trace; `SEEDS=n` lives through so many, from `FROM`.
#[test]
fn every_seed_keeps_the_invariants() {
    if let Some(seed) = number_of("SEED") {
        let report = run(Scenario::draw(seed), true);
        println!(
            "seed {seed}: {} events, trace {:016x}",
            report.events, report.trace
        );
        assert!(report.violations.is_empty(), "{}", told(seed, &report));
        return;
    }
    let (from, seeds) = (
        number_of("FROM").unwrap_or(0),
        number_of("SEEDS").unwrap_or(SEEDS),
    );
    let (next, busy) = (AtomicU64::new(from), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let settled = Mutex::new(Duration::ZERO);
    let ends: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let started = worked();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds || failures.lock().unwrap().len() >= 10 {
                        break;
                    }
                    let report = run(Scenario::draw(seed), false);
                    let mut slowest = settled.lock().unwrap();
                    *slowest = report.settled.max(*slowest);
                    drop(slowest);
                    for (state, count) in &report.ends {
                        *ends.lock().unwrap().entry(*state).or_default() += count;
                    }
                    if !report.violations.is_empty() {
                        failures.lock().unwrap().push(told(seed, &report));
                    }
                }
                busy.fetch_add(worked() - started, Ordering::Relaxed);
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    // Each thread draws one number more than it lives through.
    let lived = (next.into_inner() - from).saturating_sub(THREADS);
    let per_second = lived * 1_000_000_000 / busy.into_inner().max(1);
    println!(
        "{lived} seeds from {from}, {per_second} a second on one core; {} failed; the slowest settled {:?} after its faults; {:?}",
        failures.len(),
        settled.into_inner().unwrap(),
        ends.into_inner().unwrap()
    );
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..2 {
        let [first, second] = [(); 2].map(|()| run(Scenario::draw(seed), false));
        assert_eq!(first.events, second.events, "seed {seed}");
        assert_eq!(first.trace, second.trace, "seed {seed}");
    }
    let other = run(Scenario::draw(1), false);
    assert_ne!(run(Scenario::draw(0), false).trace, other.trace);
}

/// A process dies at each of its calls of the journal and the cloud in turn, before and after.
#[test]
fn a_crash_after_each_step_is_survived() {
    for request in 0..2 {
        let quiet = |crash_at| {
            let mut scenario = Scenario::quiet(request, request);
            scenario.crash_at = crash_at;
            run(scenario, false)
        };
        let calm = quiet(None);
        assert!(calm.violations.is_empty(), "{}", told(request, &calm));
        assert!(calm.gates > 10, "{}", calm.gates);
        for gate in 0..calm.gates {
            let report = quiet(Some((0, gate)));
            assert!(
                report.violations.is_empty(),
                "request {request}, crash at gate {gate}: {}",
                report.violations.join("\n")
            );
        }
    }
}

/// Every request arrives twice, and half of the journal's writes are done although they failed.
#[test]
fn each_step_twice_is_survived() {
    for request in 0..10 {
        let mut scenario = Scenario::quiet(request, request);
        scenario.twice = true;
        let report = run(scenario, false);
        assert!(report.violations.is_empty(), "{}", told(request, &report));
    }
}

/// The cloud answers nothing for five minutes: what is repeated is bounded, whatever is silent, and
/// then everything comes to its end, soon.
#[test]
fn a_brownout_is_not_answered_with_a_flood() {
    for silence in [brownout::Silence::Changes, brownout::Silence::Everything] {
        let outcome = brownout::run(silence);
        println!(
            "{silence:?}: {outcome:?}, {} allowed",
            outcome.bound(outcome.launches)
        );
        assert!(outcome.unanswered <= outcome.bound(outcome.launches));
        assert!(outcome.repeated > outcome.unanswered);
        assert!(
            outcome.unanswered > 50,
            "the budget was not put to the test"
        );
        let terminations = outcome.repeated_terminations;
        assert!(terminations <= outcome.bound(outcome.terminations));
        assert!(outcome.most.values().all(|most| *most <= 32));
        for action in ["RunInstances", "TerminateInstances"] {
            assert!(outcome.most[action] <= 8);
        }
        assert!(outcome.first_success < Duration::from_secs(15));
        assert!(outcome.settled < Duration::from_secs(300));
        assert_eq!(
            outcome.ends.values().sum::<usize>(),
            outcome.launches + outcome.terminations
        );
    }
}
