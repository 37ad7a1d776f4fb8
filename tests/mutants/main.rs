//! Mistakes planted in the protocol: each must be caught by a test, and this says by which.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail by panic, and prints its table"
)]

use cvm_gateway::chaos::MUTANTS;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// Mistakes planted at once: most of a test is waiting.
const AT_ONCE: usize = 3;
/// Mistakes of the short form.
const SAMPLE: [&str; 6] = [
    "5xx-is-refusal",
    "doubt-forgotten",
    "epoch-unchecked",
    "fresh-token",
    "no-quarantine",
    "send-before-journal",
];

/// A test binary and which of its tests are run.
type Catcher = (&'static str, &'static str);

/// The test that is meant to catch each mistake. When it does not, all are tried, and the table is
/// wrong.
const MEANT: [(&str, Catcher); 52] = [
    (
        "5xx-is-refusal",
        ("failpoints", "somebody_on_the_way_answers_500"),
    ),
    ("attempt-row-skipped", ("failpoints", "nothing_goes_wrong")),
    ("audit-optional", ("it", "does_nothing_that_cannot_be_told")),
    (
        "audit-outside",
        ("failpoints", "a_process_dies_before_it_has_told_the_audit"),
    ),
    ("body-kept", ("failpoints", "nothing_goes_wrong")),
    (
        "body-rebuilt",
        ("failpoints", "the_tags_come_late_while_the_token_is_known"),
    ),
    (
        "body-unsealed",
        ("it", "store::on_sqlite::admits_replays_and_refuses"),
    ),
    ("cut-is-not-sent", ("failpoints", "an_answer_is_lost")),
    ("denial-untold", ("failpoints", "nothing_goes_wrong")),
    (
        "doubt-forgotten",
        ("failpoints", "a_process_dies_when_it_has_sent"),
    ),
    (
        "doubt-overruled",
        ("failpoints", "a_refusal_follows_a_doubt"),
    ),
    (
        "epoch-unchecked",
        ("it", "saves_only_under_the_current_lease"),
    ),
    (
        "every-code-is-refusal",
        ("failpoints", "an_internal_error_comes_back"),
    ),
    ("found-is-empty", ("failpoints", "an_answer_is_lost")),
    (
        "fresh-token",
        ("failpoints", "the_tags_come_late_while_the_token_is_known"),
    ),
    ("give-back-blindly", ("cvm_gateway", "operations::machine")),
    (
        "give-up-early",
        (
            "failpoints",
            "the_attempts_are_used_up_while_the_machines_are_hidden",
        ),
    ),
    (
        "gone-at-once",
        ("failpoints", "the_machines_are_shown_late"),
    ),
    ("hash-of-less", ("it", "finds_what_was_done_to_the_rows")),
    ("lease-ignored", ("it", "claims_what_nobody_steps")),
    (
        "limit-ignored",
        ("simulate", "every_seed_keeps_the_invariants"),
    ),
    (
        "limit-judged-early",
        ("it", "lets_in_exactly_as_many_as_fit"),
    ),
    ("look-skipped", ("cvm_gateway", "operations::machine")),
    ("look-up-by-name", ("failpoints", "an_answer_is_lost")),
    ("look-up-by-zone", ("failpoints", "an_answer_is_lost")),
    (
        "more-than-asked",
        (
            "failpoints",
            "a_request_arrives_twice_at_a_cloud_that_forgets",
        ),
    ),
    (
        "no-quarantine",
        ("failpoints", "the_tags_come_late_and_no_token_is_known"),
    ),
    ("no-tag", ("failpoints", "an_answer_is_lost")),
    (
        "other-host",
        ("it", "an_operation_is_not_gone_on_with_at_another_host"),
    ),
    ("outcome-untold", ("failpoints", "nothing_goes_wrong")),
    ("owner-unchecked", ("it", "renews_what_is_held")),
    ("request-hash-ignored", ("failpoints", "nothing_goes_wrong")),
    ("reservation-freed-twice", ("it", "holds_what_lives")),
    (
        "reservation-kept",
        ("simulate", "every_seed_keeps_the_invariants"),
    ),
    (
        "reservation-unwritten",
        ("simulate", "every_seed_keeps_the_invariants"),
    ),
    (
        "retries-for-nothing",
        ("cvm_gateway", "cloud::limiter::retries"),
    ),
    ("retry-unknown", ("failpoints", "an_answer_is_lost")),
    (
        "saved-forgotten",
        ("it", "a_lost_answer_to_a_commit_changes_nothing"),
    ),
    (
        "secret-logged",
        ("it", "secrets::a_launch_that_succeeds_shows_no_secret"),
    ),
    (
        "secret-quoted",
        ("it", "secrets::a_cloud_that_quotes_secrets_is_not_repeated"),
    ),
    ("send-before-journal", ("failpoints", "nothing_goes_wrong")),
    (
        "sequence-unchecked",
        ("it", "saves_only_under_the_current_lease"),
    ),
    (
        "sign-with-now",
        (
            "failpoints",
            "an_attempt_waits_between_the_journal_and_the_wire",
        ),
    ),
    (
        "stale-attempt",
        (
            "failpoints",
            "an_attempt_waits_for_too_long_before_it_is_sent",
        ),
    ),
    (
        "stream-before-journal",
        (
            "failpoints",
            "a_process_dies_before_it_has_written_anything",
        ),
    ),
    ("stream-repeats", ("failpoints", "nothing_goes_wrong")),
    ("sweep-order-swapped", ("cvm_gateway", "operations::sweep")),
    ("synchronous-normal", ("stores", "")),
    (
        "timeout-is-not-sent",
        ("failpoints", "an_answer_is_held_back_for_ever"),
    ),
    ("token-shared", ("failpoints", "nothing_goes_wrong")),
    (
        "token-trusted-for-ever",
        ("failpoints", "the_tags_come_late_and_no_token_is_known"),
    ),
    (
        "unknown-code-is-refusal",
        ("failpoints", "an_unknown_code_comes_back"),
    ),
];

/// The unit tests.
const LIBRARY: &str = "cvm_gateway";

/// How many seconds a catcher may take with a mistake planted: the slowest needs five minutes.
const LONGEST: &str = "900";

/// All catchers, cheapest first.
const CATCHERS: [Catcher; 9] = [
    ("failpoints", "stories::"),
    ("it", "store::"),
    ("it", "secrets::"),
    ("it", "recovery::"),
    ("cvm_gateway", "operations::"),
    ("cvm_gateway", "store::"),
    ("simulate", ""),
    ("stores", ""),
    ("proof", ""),
];

/// The test binaries by name.
type Programs = BTreeMap<String, String>;

/// The profile that this test was built with: its program lies in `target/PROFILE/deps`.
fn profile() -> String {
    let program = std::env::current_exe().unwrap();
    let folder = program.ancestors().nth(2).and_then(Path::file_name);
    match folder.unwrap().to_str().unwrap() {
        "debug" => "dev".to_owned(),
        profile => profile.to_owned(),
    }
}

/// Builds the catchers as this test was built.
fn build() -> Programs {
    let tests = CATCHERS.iter().map(|(program, _)| *program);
    let tests: BTreeSet<_> = tests.filter(|program| *program != LIBRARY).collect();
    let built = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--features", "chaos", "--no-run"])
        .args(["--profile", &profile(), "--lib"])
        .args(tests.iter().flat_map(|test| ["--test", test]))
        .args(["--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");
    let mut programs = Programs::new();
    for line in String::from_utf8(built.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap_or_default();
        let name = message.pointer("/target/name").and_then(Value::as_str);
        let program = message.get("executable").and_then(Value::as_str);
        if let (Some(name), Some(program)) = (name, program) {
            programs.insert(name.to_owned(), program.to_owned());
        }
    }
    programs
}

/// The tests of a catcher that fail while the mistake is planted.
fn caught(programs: &Programs, mutant: &str, (program, filter): Catcher) -> Vec<String> {
    // A mistake may make a test wait for ever: that is caught, too.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LONGEST]);
    command.arg(programs.get(program).unwrap());
    if !filter.is_empty() {
        command.arg(filter);
    }
    let run = command
        .arg("--test-threads=4")
        .env("CVM_GATEWAY_MUTANT", mutant)
        .env("RUST_BACKTRACE", "0")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(
        !text.contains(" 0 passed; 0 failed"),
        "{program} has no {filter}"
    );
    let failed = text
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    let mut failed: Vec<String> = failed.map(|test| format!("{program} {test}")).collect();
    if failed.is_empty() && !run.status.success() {
        failed.push(format!("{program} {filter} ({})", run.status));
    }
    failed
}

/// Who catches a mistake.
enum Verdict {
    AsMeant(String),
    ByAnother(String),
    Missed,
}

fn judge(programs: &Programs, mutant: &'static str) -> Verdict {
    let first = |catcher| caught(programs, mutant, catcher).into_iter().next();
    let meant = MEANT.iter().find(|(name, _)| *name == mutant);
    if let Some(test) = meant.and_then(|(_, catcher)| first(*catcher)) {
        return Verdict::AsMeant(test);
    }
    let another = CATCHERS.into_iter().find_map(first);
    another.map_or(Verdict::Missed, Verdict::ByAnother)
}

#[expect(clippy::disallowed_methods, reason = "how much is wanted of this test")]
fn chosen() -> Vec<&'static str> {
    let wanted = std::env::var("MUTANTS").unwrap_or_default();
    let named = |mutant: &&str| match wanted.as_str() {
        "" => SAMPLE.contains(mutant),
        "all" => true,
        names => names.split(' ').any(|name| name == *mutant),
    };
    MUTANTS.into_iter().filter(named).collect()
}

#[test]
fn every_planted_mistake_is_caught() {
    let programs = build();
    let mutants = chosen();
    assert!(!mutants.is_empty(), "MUTANTS names none");
    if mutants.len() == MUTANTS.len() {
        for catcher in CATCHERS {
            let failed = caught(&programs, "", catcher);
            assert!(failed.is_empty(), "without a mistake: {failed:?}");
        }
        println!("no mistake: every catcher is green");
    }
    let waiting = Mutex::new(mutants.iter().copied().collect::<VecDeque<_>>());
    let (missed, astray) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(mutant) = waiting.lock().unwrap().pop_front() else {
                        return;
                    };
                    match judge(&programs, mutant) {
                        Verdict::AsMeant(test) => println!("{mutant:24} caught by {test}"),
                        Verdict::ByAnother(test) => {
                            println!("{mutant:24} caught by {test}, and not as MEANT says");
                            astray.lock().unwrap().push(mutant);
                        }
                        Verdict::Missed => {
                            println!("{mutant:24} MISSED");
                            missed.lock().unwrap().push(mutant);
                        }
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    let (planted, caught) = (mutants.len(), mutants.len() - missed.len());
    println!("{caught} of {planted} planted mistakes were caught");
    assert!(missed.is_empty(), "{missed:?}");
    let astray = astray.into_inner().unwrap();
    assert!(astray.is_empty(), "not caught as meant: {astray:?}");
}
