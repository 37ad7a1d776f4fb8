//! Costs of the gateway as ratios to the floor of the machine, measured in one run: `make bench`.
//!
//! A figure alone tells more of the machine than of the code, so each is a ratio to the least work that could do the same job. Rivals
//! take turns within a round, in an order that turns about, so that what disturbs one disturbs all; the ratio is the median of the rounds'
//! ratios.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark reads the machine's time, prints, and may fail by panic"
)]

use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::tc3;
use cvm_gateway::domain::audit::Call;
use cvm_gateway::domain::decision::Decision;
use cvm_gateway::domain::ids::{OperationId, OrganizationId, RequestId};
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::domain::operation::{Kind, OnFailure, Operation, State, StateName, Transition};
use cvm_gateway::metrics::Metrics;
use cvm_gateway::store::{NewOperation, SealedBody, Settings, Store};
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
/// The body of a RunInstances call with most of its parameters.
const BODY_BYTES: usize = 1_272;
/// An operation's row with its body: what the journal writes for one, rounded.
const RECORD_BYTES: usize = 2_560;
/// Tasks that commit at the same time.
const GROUP: u32 = 64;
/// Where SQLite begins its write-ahead log anew: a floor that only ever appends would pay for the file's growth instead.
const LOG_BYTES: u64 = 4 << 20;

fn main() {
    race(
        "sign a request of 1,272 bytes",
        vec![raw_sha256(), tc3_signature()],
    );
    race(
        "make an operation durable, one at a time",
        vec![bare_write(1), journal(1)],
    );
    race(
        "make an operation durable, 64 at once",
        vec![bare_write(GROUP), journal(GROUP)],
    );
}

/// One way to do a job.
struct Rival {
    name: &'static str,
    /// Does the job some times; returns the seconds that one took.
    run: Box<dyn FnMut() -> f64>,
}

/// The floor of signing: every signature hashes its body once.
fn raw_sha256() -> Rival {
    let body = [b'x'; BODY_BYTES];
    Rival {
        name: "SHA-256 of the body",
        run: Box::new(move || {
            seconds_per_unit(5_000, || {
                black_box(Sha256::digest(black_box(&body)));
            })
        }),
    }
}

/// One signature with the day's key at hand, as the client makes it.
fn tc3_signature() -> Rival {
    let body = [b'x'; BODY_BYTES];
    let at = time::macros::utc_datetime!(2026-01-01 00:00);
    let key = tc3::DayKey::derive("fakeSecretKeyLoopbackTestsOnly001", at);
    Rival {
        name: "TC3 signature",
        run: Box::new(move || {
            seconds_per_unit(5_000, || {
                let request = tc3::Request {
                    method: "POST",
                    query: "",
                    headers: &[
                        ("content-type", "application/json; charset=utf-8"),
                        ("host", "cvm.tencentcloudapi.com"),
                        ("x-tc-action", "runinstances"),
                    ],
                    payload: black_box(&body),
                };
                black_box(tc3::sign(
                    &request,
                    "AKIDfakeForLoopbackTestsOnly0000001",
                    &key,
                    at,
                ));
            })
        }),
    }
}

/// The journal's own way: `group` callers make an operation durable at the same time, in SQLite.
fn journal(group: u32) -> Rival {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{group}.db"));
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", file.display())).unwrap_or_default();
    }
    let settings = Settings {
        url: format!("sqlite://{}", file.display()).into(),
        pool_size: 2,
        queue: 1024,
        batch: 256,
        busy_timeout: Duration::from_secs(5),
        key_file: None,
        reserve_bytes: 0,
    };
    let clock = Clock::system();
    let elapsed = clock.clone();
    let metrics = Metrics::new("bench").unwrap();
    let open = Store::open(
        &settings,
        metrics.journal.clone(),
        Arc::new(move || elapsed.elapsed()),
    );
    let store = runtime.block_on(open).unwrap();
    Rival {
        name: "journal (SQLite)",
        run: Box::new(move || {
            let seconds = seconds_per_unit(40, || {
                let admissions = (0..group).map(|_| store.admit(new_operation(&clock)));
                for admission in runtime.block_on(join_all(admissions)) {
                    admission.unwrap();
                }
            });
            seconds / f64::from(group)
        }),
    }
}

/// An operation as it is when it is accepted.
fn new_operation(clock: &Clock) -> NewOperation {
    let now = clock.now();
    let id = OperationId::generate(now);
    let operation = Operation {
        id,
        organization: OrganizationId::parse("bench").unwrap(),
        request_id: RequestId::parse(&id.to_string()).unwrap(),
        principal: "bench".to_owned(),
        account: AccountName::parse("main").unwrap(),
        region: Region::parse("ap-shanghai").unwrap(),
        host: "cvm.tencentcloudapi.com".to_owned(),
        instance_count: 1,
        dry_run: false,
        state: State::Accepted,
        sequence: 1,
        attempts: Vec::new(),
        instances: Vec::new(),
        failure: None,
        transitions: vec![Transition {
            state: StateName::Accepted,
            time: now,
            note: String::new(),
        }],
        cloud_request_id: None,
        create_time: now,
        update_time: now,
        kind: Kind::Launch,
        places: Vec::new(),
        alternative: 0,
        sold_out: Vec::new(),
        on_failure: OnFailure::Keep,
        cancellation: None,
        changes: Vec::new(),
        worths: Vec::new(),
        trace: None,
    };
    NewOperation {
        operation,
        request_hash: [0; 32],
        asked: Call::default(),
        decision: Decision {
            policy: "bench".to_owned(),
            rule: "bench".to_owned(),
        },
        bodies: vec![SealedBody::new(vec![b'x'; BODY_BYTES])],
        quotas: Vec::new(),
        owner: "bench".to_owned(),
        now,
        lease: Duration::from_secs(30),
    }
}

/// The floor of committing: `group` records in one write and one fdatasync, on the disk that holds `target/`.
fn bare_write(group: u32) -> Rival {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{group}.log"));
    let file = File::create(path).unwrap();
    file.write_all_at(&vec![0; usize::try_from(LOG_BYTES).unwrap()], 0)
        .unwrap();
    file.sync_all().unwrap();
    let records = vec![b'x'; RECORD_BYTES * usize::try_from(group).unwrap()];
    let step = u64::try_from(records.len()).unwrap();
    let mut position = 0;
    Rival {
        name: "write and fdatasync",
        run: Box::new(move || {
            let seconds = seconds_per_unit(40, || {
                file.write_all_at(&records, position).unwrap();
                file.sync_data().unwrap();
                position = (position + step) % LOG_BYTES;
            });
            seconds / f64::from(group)
        }),
    }
}

fn seconds_per_unit(units: u32, mut unit: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..units {
        unit();
    }
    start.elapsed().as_secs_f64() / f64::from(units)
}

/// Lets the rivals take turns and prints what they took; the first is the floor of the others.
fn race(job: &str, mut rivals: Vec<Rival>) {
    let mut rounds = vec![vec![0.0; rivals.len()]; ROUNDS];
    for rival in &mut rivals {
        (rival.run)(); // caches, lazy tables and the disk wake up uncounted
    }
    for (number, round) in rounds.iter_mut().enumerate() {
        for turn in 0..rivals.len() {
            let rival = if number % 2 == 0 {
                turn
            } else {
                rivals.len() - 1 - turn
            };
            round[rival] = (rivals[rival].run)();
        }
    }
    println!("\n{job}: median of {ROUNDS} rounds");
    println!(
        "  {:<24} {:>12} {:>12} {:>9} {:>16}",
        "", "each", "per second", "ratio", "middle half"
    );
    for (rival, Rival { name, .. }) in rivals.iter().enumerate() {
        let seconds = quartiles(rounds.iter().map(|round| round[rival]));
        let ratios = quartiles(rounds.iter().map(|round| round[rival] / round[0]));
        println!(
            "  {name:<24} {:>9.0} ns {:>12.0} {:>9.2} {:>7.0} … {:.0} ns",
            seconds[1] * 1e9,
            1.0 / seconds[1],
            ratios[1],
            seconds[0] * 1e9,
            seconds[2] * 1e9
        );
    }
}

/// The lower quartile, the median and the upper quartile.
fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
