//! What one gateway does in a second and what it takes, as figures of this machine: `make measure`.
//!
//! The real program, a simulator of the cloud and the callers share the machine, so the figures are lower bounds. The account's
//! limits and the cadence of polling are the defaults.
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

use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::run_instances_response::Event;
use cvm_gateway::simulator::{Catalog, Settings, Simulator, Speed};
use futures_util::future::join_all;
use process::{Process, client, until};
use sqlx::Connection;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tonic::{Code, Streaming};
use world::{Client, Folder, get, read, wish};

#[path = "../tests/common/canary.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod canary;
#[path = "../tests/it/log.rs"]
#[expect(dead_code, reason = "shared with tests/it")]
mod log;
#[path = "../tests/it/postgres.rs"]
#[expect(dead_code, reason = "shared with tests/it")]
mod postgres;
#[path = "../tests/stores/process.rs"]
#[expect(dead_code, reason = "shared with tests/stores")]
mod process;
#[path = "../tests/common/tap.rs"]
mod tap;
#[path = "../tests/it/world.rs"]
#[expect(dead_code, reason = "shared with tests/it")]
mod world;

/// Callers at once, and how many launches they ask for together.
const CALLERS: [(u32, u32); 3] = [(1, 400), (32, 3_200), (256, 10_240)];
/// Operations that are open when a process starts.
const OPEN: u32 = 10_000;
/// Launches at once whose calls of the cloud are counted.
const LAUNCHES: u32 = 1_000;
/// Streams of one connection; the gateway allows some more.
const STREAMS: u32 = 100;
/// A caller's wait before it repeats what the gateway was too busy for.
const RETRY: Duration = Duration::from_millis(50);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        println!("launches, from the call to `accepted`");
        println!("  journal     callers   launches/s      p50 ms      p99 ms");
        for engine in [Engine::Sqlite, Engine::Postgres] {
            for (callers, launches) in CALLERS {
                accept(engine, callers, launches).await;
            }
        }
        open_operations().await;
        concurrent_launches().await;
    });
}

#[derive(Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A cloud at its own pace, a journal, and a gateway with its defaults.
struct Bed {
    _simulator: Simulator,
    folder: Folder,
    config: PathBuf,
    process: Process,
    grpc: SocketAddr,
    admin: SocketAddr,
}

impl Bed {
    async fn new(engine: Engine) -> Self {
        let settings = Settings {
            catalog: Catalog::embedded(),
            speed: Speed::new(1.0).unwrap(),
            seed: 7,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(settings, listener, Clock::system()).unwrap();
        let folder = Folder::new();
        let journal = match engine {
            Engine::Sqlite => format!("sqlite://{}/journal.db", folder.0.display()),
            Engine::Postgres => postgres::new_database().await,
        };
        let config = folder.0.join("gateway.toml");
        let text = config_text(&journal, simulator.addr());
        let text = match engine {
            Engine::Sqlite => text,
            Engine::Postgres => postgres::with_key_file(&text),
        };
        std::fs::write(&config, text).unwrap();
        let (process, grpc, admin) = serve(&config).await;
        Self {
            _simulator: simulator,
            folder,
            config,
            process,
            grpc,
            admin,
        }
    }

    /// Enough connections for so many streams.
    async fn clients(&self, streams: u32) -> Vec<Client> {
        let connections = (0..streams.div_ceil(STREAMS)).map(|_| client(self.grpc));
        let clients = join_all(connections).await;
        clients.into_iter().map(|client| client.unwrap()).collect()
    }

    /// The sum of a metric's samples whose line has all these words.
    async fn metric(&self, words: &[&str]) -> f64 {
        let (_, page) = get(self.admin, "/metrics").await;
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    async fn memory(&self) -> f64 {
        self.metric(&["process_resident_memory_bytes"]).await
    }

    /// A quantile of the detection lag, from its histogram: the bucket that holds it, cut in proportion.
    async fn lag(&self, share: f64) -> f64 {
        const NAME: &str = "cvm_gateway_detection_lag_seconds_bucket";
        let (_, page) = get(self.admin, "/metrics").await;
        let buckets: Vec<(f64, f64)> = page
            .lines()
            .filter(|line| line.starts_with(NAME))
            .map(|line| {
                let bound = line.split('"').nth(1).unwrap();
                let bound = bound.trim_start_matches('+').parse().unwrap();
                (bound, line.rsplit(' ').next().unwrap().parse().unwrap())
            })
            .collect();
        let wanted = buckets.last().unwrap().1 * share;
        let mut below = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted {
                let part = (wanted - below.1) / (count - below.1);
                return below.0 + part * (bound - below.0);
            }
            below = (bound, count);
        }
        below.0
    }
}

async fn serve(config: &std::path::Path) -> (Process, SocketAddr, SocketAddr) {
    let mut process = Process::start(config, config.with_extension("log"), Vec::new());
    let addresses = process.serving().await;
    let (grpc, admin) = addresses.unwrap_or_else(|| panic!("{}", process.log()));
    (process, grpc, admin)
}

fn config_text(journal: &str, cloud: SocketAddr) -> String {
    format!(
        r#"
[grpc]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[journal]
url = "{journal}"
[cloud.endpoint]
override = "http://{cloud}"
[organizations.development]
default_account = "main"
[organizations.development.accounts.main]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"
[log]
format = "json"
filter = "error,cvm_gateway::gateway=info"
"#
    )
}

/// Callers that each launch one machine after the other.
async fn accept(engine: Engine, callers: u32, launches: u32) {
    let bed = Bed::new(engine).await;
    let clients = bed.clients(callers).await;
    let next = Arc::new(AtomicU32::new(0));
    let start = Instant::now();
    let calling = (0..callers as usize).map(|caller| {
        let mut client = clients[caller % clients.len()].clone();
        let next = Arc::clone(&next);
        async move {
            let mut seconds = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < launches {
                let called = Instant::now();
                let request_id = uuid::Uuid::new_v4().to_string();
                accepted(&mut client, &request_id).await;
                seconds.push(called.elapsed().as_secs_f64());
            }
            seconds
        }
    });
    let mut seconds = join_all(calling).await.concat();
    let took = start.elapsed().as_secs_f64();
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share) as usize] * 1e3;
    println!(
        "  {:<10} {callers:>8} {:>12.0} {:>11.2} {:>11.2}",
        engine.name(),
        f64::from(launches) / took,
        at(0.50),
        at(0.99)
    );
}

/// Calls until the launch is durable, again when the gateway is too busy; the rest of its stream.
async fn accepted(client: &mut Client, request_id: &str) -> Streaming<pb::RunInstancesResponse> {
    loop {
        let answer = client.run_instances(wish(request_id, 1)).await;
        let mut stream = match answer {
            Ok(stream) => stream.into_inner(),
            Err(status) if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) => {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            Err(status) => panic!("{status:?}"),
        };
        let first = stream.message().await.unwrap().unwrap();
        assert!(
            matches!(first.event, Some(Event::Operation(_))),
            "the first message is no snapshot: {first:?}"
        );
        return stream;
    }
}

/// What open operations cost: the memory of a process that has them and their watchers, and the time until the next has them all.
async fn open_operations() {
    let mut bed = Bed::new(Engine::Sqlite).await;
    let bare = bed.memory().await;
    let clients = bed.clients(OPEN).await;
    let launching = clients.iter().zip(0..).map(|(client, connection)| {
        let mut client = client.clone();
        async move {
            let mut streams = Vec::new();
            for number in 0..STREAMS {
                let request_id = format!("open-{connection}-{number}");
                streams.push(accepted(&mut client, &request_id).await);
            }
            streams
        }
    });
    let streams: Vec<_> = join_all(launching).await.into_iter().flatten().collect();
    let watched = bed.memory().await;
    println!("\n{} operations, each with a watcher", streams.len());
    println!(
        "  resident memory: {:.1} MiB, {:.1} MiB without any, {:.2} KiB each",
        watched / 1048576.0,
        bare / 1048576.0,
        (watched - bare) / 1024.0 / f64::from(OPEN)
    );
    drop(streams);
    drop(clients);
    bed.process.kill().await;

    let killed = Instant::now();
    (bed.process, bed.grpc, bed.admin) = serve(&bed.config).await;
    let serving = killed.elapsed();
    let url = format!("sqlite://{}/journal.db", bed.folder.0.display());
    let mut journal = postgres::connect(&url).await;
    let open: i64 = count(&mut journal, "").await;
    let recovered = until(PATIENCE, async || {
        // Each is claimed anew, under the next epoch.
        let held = count(&mut journal, "AND lease_epoch > 1").await;
        (held >= open).then(|| killed.elapsed())
    });
    let recovered = recovered.await.expect("not all are taken up");
    println!(
        "\nafter kill -9 with {open} open operations\n  \
         serving after {:.2} s, all of them in hand after {:.2} s",
        serving.as_secs_f64(),
        recovered.as_secs_f64()
    );
    journal.close().await.unwrap();
}

async fn count(journal: &mut sqlx::AnyConnection, more: &str) -> i64 {
    let sql = format!(
        "SELECT COUNT(*) FROM operations WHERE state NOT IN \
         ('SUCCEEDED', 'PARTIAL', 'FAILED', 'NEEDS_OPERATOR') {more}"
    );
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    query.fetch_one(journal).await.unwrap()
}

/// What the cloud is asked while launches of one account that begin together come to their ends.
async fn concurrent_launches() {
    let bed = Bed::new(Engine::Sqlite).await;
    let clients = bed.clients(LAUNCHES).await;
    let start = Instant::now();
    let launching = (0..LAUNCHES).map(|number| {
        let mut client = clients[(number / STREAMS) as usize].clone();
        async move {
            let stream = accepted(&mut client, &format!("together-{number}")).await;
            read(stream).await.end
        }
    });
    let ends = join_all(launching).await;
    let took = start.elapsed();
    let succeeded = ends.iter().filter(|end| end.is_ok()).count();
    println!(
        "\n{LAUNCHES} launches at once, {succeeded} succeeded, the last after {:.0} s",
        took.as_secs_f64()
    );
    for action in [
        "RunInstances",
        "DescribeInstances",
        "DescribeInstancesStatus",
    ] {
        let label = format!("action=\"{action}\"");
        let calls = bed
            .metric(&["cvm_gateway_cloud_requests_total", &label])
            .await;
        println!("  {action:<24} {calls:>6.0} calls");
    }
    let (p50, p99) = (bed.lag(0.50).await, bed.lag(0.99).await);
    println!("  a change is seen within {p50:.2} s (p50), {p99:.2} s (p99)");
}
