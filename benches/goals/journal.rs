//! P14 and P15: making operations durable, against one write and one flush of the disk.

use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::{Spread, at, figures, ratio, rounds, seconds_per_unit, sorted};
use cvm_gateway::clock::Clock;
use cvm_gateway::domain::audit::Call;
use cvm_gateway::domain::decision::Decision;
use cvm_gateway::domain::ids::{OperationId, OrganizationId, RequestId};
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::domain::operation::{Kind, OnFailure, Operation, State, StateName, Transition};
use cvm_gateway::metrics::Metrics;
use cvm_gateway::store::{NewOperation, SealedBody, Settings, Store};
use futures_util::future::join_all;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const ROUNDS: usize = 15;
/// Commits of a round.
const COMMITS: u32 = 40;
/// The body of a RunInstances call with most of its parameters.
const BODY_BYTES: usize = 1_272;
/// An operation's row with its body: what the journal writes for one, rounded.
const RECORD_BYTES: usize = 2_560;
/// Tasks that commit at the same time.
const GROUP: u32 = 64;
/// Where SQLite begins its write-ahead log anew: a floor that only ever appends would pay for the file's growth instead.
const LOG_BYTES: u64 = 4 << 20;
/// Pages that one admission writes, as SQLite's log takes them: each after a header.
const PAGES: usize = 17;
const HEADER_BYTES: usize = 24;
const PAGE_BYTES: usize = 4_096;
const NAMES: [&str; 6] = [
    "write + fdatasync, 1",
    "journal, 1",
    "write + fdatasync, 64",
    "journal, 64 at once",
    "journal, 64 at once, p99 of a wait",
    "17 pages with headers, each by itself + fdatasync, 1",
];

const P14: Goal = Goal {
    id: "P14",
    what: "an operation made durable alone: to one write + fdatasync",
    must: Bound::AtMost(1.4),
    best: Bound::AtMost(1.1),
};
const P15: Goal = Goal {
    id: "P15",
    what: "operations a second, 64 at once: to records of 64 in one write + fdatasync",
    must: Bound::AtLeast(0.4),
    best: Bound::AtLeast(0.6),
};
const P15_TAIL: Goal = Goal {
    id: "P15",
    what: "their p99 to their p50",
    must: Bound::AtMost(6.0),
    best: Bound::AtMost(3.0),
};

pub(crate) fn measure() -> Chapter {
    let runtime = Runtime::new().unwrap();
    let (alone, group) = (
        Journal::new(&runtime, "alone"),
        Journal::new(&runtime, "group"),
    );
    let (mut one, mut many) = (Log::new("one", 1), Log::new("many", GROUP));
    let (mut tail, mut waits) = (0.0, Vec::new());
    let mut paged = Log::new("paged", 1);
    let rows = rounds::<6>(ROUNDS, |rival| match rival {
        0 => seconds_per_unit(COMMITS, || {
            one.flush();
        }),
        1 => seconds_per_unit(COMMITS, || drop(alone.admit(&runtime, 1))),
        2 => {
            seconds_per_unit(COMMITS, || {
                many.flush();
            }) / f64::from(GROUP)
        }
        3 => {
            let mut seconds = Vec::new();
            let each = seconds_per_unit(COMMITS, || seconds.extend(group.admit(&runtime, GROUP)));
            let seconds = sorted(seconds);
            tail = at(&seconds, 0.99);
            waits.push(tail / at(&seconds, 0.5));
            each / f64::from(GROUP)
        }
        4 => tail,
        _ => seconds_per_unit(COMMITS, || paged.commit()),
    });
    let row = |(rival, name): (usize, &&str)| {
        let Spread { low, median, high } = figures(&rows, rival);
        let mut cells = vec![(*name).to_owned()];
        cells.extend([low, median, high].map(|seconds| digits(seconds * 1e6)));
        cells
    };
    Chapter {
        title: "The journal",
        how: "An operation as it is accepted, with its audit row, lease and sealed body of 1,272 bytes, in SQLite with full synchronisation, through \
              `Store::admit`. The floor writes 2,560 bytes for each into a file of 4 MiB and calls fdatasync once for all.",
        figures: vec![
            Figure {
                goal: P14,
                measured: ratio(&rows, 1, 0),
                short: SHORT_ALONE,
            },
            Figure {
                goal: P15,
                measured: ratio(&rows, 2, 3),
                short: SHORT_GROUP,
            },
            Figure {
                goal: P15_TAIL,
                measured: Spread::of(waits),
                short: SHORT_TAIL,
            },
        ],
        parts: table(
            &["µs each", "low", "median", "high"],
            NAMES.iter().enumerate().map(row),
        ),
    }
}

const SHORT_ALONE: &str = "a commit writes 17 pages where the floor has one: three tables with ten indexes, whose bare write is in the table. The rest is the \
                           work of their statements, of the record and its hash, and two threads that wake each other.";
const SHORT_GROUP: &str = "the floor is one buffer; here each operation is rows of several tables with their indexes, hashed for the audit and sealed.";

const SHORT_TAIL: &str = "now and then SQLite's log is put into the database beside the commits, and both use the disk; what came meanwhile is put there between two of them.";

/// A journal on the disk that holds `target/`.
struct Journal {
    store: Store,
    clock: Clock,
}

/// A file that is written over and over.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    records: Vec<u8>,
    position: u64,
}

impl Journal {
    fn new(runtime: &Runtime, name: &str) -> Self {
        let file = path(&format!("{name}.db"));
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
        let metrics = Metrics::new("bench").unwrap();
        let open = Store::open(&settings, metrics.journal.clone(), clock.clone());
        let store = runtime.block_on(open).unwrap();
        Self { store, clock }
    }

    /// Makes `count` operations durable at the same time; how long each waited.
    fn admit(&self, runtime: &Runtime, count: u32) -> Vec<f64> {
        let admissions = (0..count).map(|_| async {
            let start = Instant::now();
            self.store.admit(new_operation(&self.clock)).await.unwrap();
            start.elapsed().as_secs_f64()
        });
        runtime.block_on(join_all(admissions))
    }
}

impl Log {
    /// One that takes `group` records at once.
    pub(crate) fn new(name: &str, group: u32) -> Self {
        let file = File::create(path(&format!("{name}.log"))).unwrap();
        file.write_all_at(&vec![0; LOG_BYTES as usize], 0).unwrap();
        file.sync_all().unwrap();
        Self {
            file,
            records: vec![b'x'; RECORD_BYTES * group as usize],
            position: 0,
        }
    }

    /// Writes as much as a commit of SQLite, as it does, and has the disk keep it.
    fn commit(&mut self) {
        let page = [b'x'; PAGE_BYTES];
        for _ in 0..PAGES {
            for part in [&page[..HEADER_BYTES], &page] {
                self.file.write_all_at(part, self.position).unwrap();
                self.position += part.len() as u64;
            }
        }
        self.file.sync_data().unwrap();
        if self.position + (PAGES * (HEADER_BYTES + PAGE_BYTES)) as u64 > LOG_BYTES {
            self.position = 0;
        }
    }

    /// Writes the records and has the disk keep them; the seconds that took.
    pub(crate) fn flush(&mut self) -> f64 {
        let start = Instant::now();
        self.file
            .write_all_at(&self.records, self.position)
            .unwrap();
        self.file.sync_data().unwrap();
        self.position = (self.position + self.records.len() as u64) % LOG_BYTES;
        start.elapsed().as_secs_f64()
    }
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("goals-{name}"))
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
        min_count: None,
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
        stock: String::new(),
        release_addresses: false,
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
