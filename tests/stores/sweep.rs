//! Every fault at every call of the store, or a sample of them.

use crate::faults::{Fault, Kind};
use crate::story;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// Which faults to try: nothing for a sample, `all`, or one as `kind:at:seed`.
const PLAN: &str = "CVM_GATEWAY_TEST_STORES";
/// Stories at once. They mostly wait for each other's processes.
const WORKERS: usize = 4;
/// Calls in a row that no story comes to any more, until a sweep is over: their number varies.
const MISSES: u64 = 8;
/// What may survive a power cut: nothing, and two choices of everything.
const POWER_SEEDS: [u64; 3] = [0, 1, 2];
/// Where in a part of a story the sample's calls are, in percent of that part.
const SAMPLE_START: [u64; 2] = [5, 60];
/// The same of the launches. The last ones come when both launches were promised, so that a promise that
/// was not flushed is seen to be lost.
const SAMPLE_LAUNCHES: [u64; 4] = [10, 30, 50, 70];

/// What was tried, and how it went.
#[derive(Debug, Default)]
struct Tally {
    violations: Mutex<Vec<String>>,
    fired: AtomicU64,
}

impl Tally {
    /// Plays one story; whether its fault happened.
    fn play(&self, fault: Fault) -> bool {
        match wait_for(story::play(fault)) {
            Ok(fired) => {
                self.fired.fetch_add(u64::from(fired), Ordering::Relaxed);
                fired
            }
            Err(violation) => {
                let text = format!("VIOLATION: make stores FAULT={fault}\n{violation}\n");
                tell(&text);
                self.violations.lock().unwrap().push(text);
                true
            }
        }
    }

    fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }

    fn violations(&self) -> usize {
        self.violations.lock().unwrap().len()
    }

    /// # Panics
    /// When anything was violated.
    fn conclude(&self) {
        let violations = self.violations.lock().unwrap();
        assert!(
            violations.is_empty(),
            "{} violations\n{}",
            violations.len(),
            violations.join("\n")
        );
        assert!(self.fired() > 0, "no fault came to happen");
    }
}

#[test]
fn no_fault_of_the_disk_loses_or_repeats_a_launch() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told by its environment what to do"
    )]
    let plan = std::env::var(PLAN).unwrap_or_default();
    let tally = Tally::default();
    match plan.as_str() {
        "" => sample(&tally),
        "all" => {
            for kind in Kind::ALL {
                let seeds = if kind == Kind::Power { 3 } else { 1 };
                for seed in &POWER_SEEDS[..seeds] {
                    sweep(&tally, kind, *seed);
                }
            }
        }
        one => {
            tally.play(one.parse().unwrap());
        }
    }
    tally.conclude();
}

/// Some calls of each kind, spread over the start and the launches of a story: how many calls there
/// are changes with each migration, so a story without a fault counts them first.
fn sample(tally: &Tally) {
    let faults: Vec<Fault> = Kind::ALL.into_iter().flat_map(sample_of).collect();
    let next = AtomicUsize::new(0);
    work(|| {
        let fault = faults.get(next.fetch_add(1, Ordering::Relaxed));
        fault.map(|fault| tally.play(*fault)).is_some()
    });
    let (fired, violations) = (tally.fired(), tally.violations());
    let tried = u64::try_from(faults.len()).unwrap();
    assert!(
        violations > 0 || fired * 5 >= tried * 4,
        "of {tried} calls of the sample only {fired} come to happen"
    );
}

fn sample_of(kind: Kind) -> Vec<Fault> {
    let calls = wait_for(story::calls(kind)).unwrap();
    let launches = calls.all - calls.start;
    assert!(calls.start > 0 && launches > 0, "{kind:?}: {calls:?}");
    let start = SAMPLE_START.map(|percent| 1 + calls.start * percent / 100);
    let launches = SAMPLE_LAUNCHES.map(|percent| 1 + calls.start + launches * percent / 100);
    let ats = start.into_iter().chain(launches).rev();
    let faults = ats.zip(POWER_SEEDS.into_iter().cycle());
    faults.map(|(at, seed)| Fault { kind, at, seed }).collect()
}

/// A fault at each call, until there are no more calls.
fn sweep(tally: &Tally, kind: Kind, seed: u64) {
    let (fired, violations) = (tally.fired(), tally.violations());
    let next = AtomicU64::new(1);
    let last = AtomicU64::new(0);
    work(|| {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at > last.load(Ordering::Relaxed) + MISSES {
            return false;
        }
        if tally.play(Fault { kind, at, seed }) {
            last.fetch_max(at, Ordering::Relaxed);
        }
        true
    });
    tell(&format!(
        "stores: {:6} seed {seed}: up to call {:4}, {:4} faults survived, {} violations",
        kind.name(),
        last.into_inner(),
        tally.fired() - fired,
        tally.violations() - violations,
    ));
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Does a task again and again, some at once, until each was told that nothing is left.
fn work(task: impl Fn() -> bool + Sync) {
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| while task() {});
        }
    });
}

/// Past the capture of the test harness, so that a long run can be watched.
fn tell(line: &str) {
    let line = format!("{line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
