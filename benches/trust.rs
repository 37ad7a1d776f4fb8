//! What it costs to prove callers and to ask the rules, as figures of this machine: `make measure-trust`.
//!
//! Decisions are taken in this process. Connections and launches are those of the real program; the simulator of the cloud and the
//! callers share the machine with it, so the figures are lower bounds.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a benchmark reads the machine's time, prints, rounds, and may fail by panic"
)]

use cvm_gateway::clock::Clock;
use cvm_gateway::policy::{Policy, RuleFiles, Rules};
use cvm_gateway::simulator::{Catalog, Settings, Simulator, Speed};
use deciding::{CALLER, decider, file, own_rule, policy};
use futures_util::future::join_all;
use pki::{Authority, Issued, uri};
use process::Process;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use world::{Client, Folder, get, wish};

#[path = "../tests/common/canary.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod canary;
#[path = "common/deciding.rs"]
mod deciding;
#[path = "../tests/it/log.rs"]
#[expect(dead_code, reason = "shared with tests/it")]
mod log;
#[path = "../tests/it/identity/pki.rs"]
mod pki;
#[path = "../tests/stores/process.rs"]
#[expect(dead_code, reason = "shared with tests/stores")]
mod process;
#[path = "../tests/common/tap.rs"]
mod tap;
#[path = "../tests/it/world.rs"]
#[expect(dead_code, reason = "shared with tests/it")]
mod world;

const COUNTS: [usize; 4] = [10, 100, 1_000, 5_000];
const ROUNDS: usize = 15;
/// Rules of the program that launches.
const RULES: usize = 1_000;
const CALLERS: usize = 32;
const LAUNCHES: u32 = 3_200;
/// How often files change while launches go on.
const CHANGE: Duration = Duration::from_millis(50);
/// How long connections are made.
const CONNECTING: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

fn main() {
    decide("each about a caller of its own", own_rule);
    decide("all about everybody", common_rule);
    load();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        handshakes().await;
        launches().await;
    });
}

/// A rule about everybody.
fn common_rule(number: usize) -> String {
    format!(
        "@id(\"common-{number}\")\n\
         forbid(principal, action in [Action::\"RunInstances\", Action::\"PlanRunInstances\"], resource)\n\
         when {{ context has instance_type && context.instance_type == \"S5.{number}XLARGE\" }};\n"
    )
}

/// So many rules, the one that permits our caller among them.
fn rules(count: usize, rule: fn(usize) -> String) -> RuleFiles {
    let mut text = own_rule(1);
    for number in 2..=count {
        text.push_str(&rule(number));
    }
    file(text)
}

/// A rule of the program that launches: one in ten is about everybody.
fn mixed_rule(number: usize) -> String {
    if number.is_multiple_of(10) {
        common_rule(number)
    } else {
        own_rule(number)
    }
}

/// One decision about a launch.
fn decide(what: &str, rule: fn(usize) -> String) {
    let policies = COUNTS.map(|count| policy(&rules(count, rule)));
    let mut seconds = COUNTS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (policy, seconds) in policies.iter().zip(&mut seconds) {
            seconds.push(decision(policy));
        }
    }
    println!("\na decision, with rules {what}: median of {ROUNDS} rounds");
    println!("  {:>8} {:>12} {:>16}", "rules", "each", "to 10 rules");
    let medians = seconds.map(|mut seconds| at(&mut seconds, 0.5));
    for (count, seconds) in COUNTS.iter().zip(medians) {
        let ratio = seconds / medians[0];
        println!("  {count:>8} {:>9.2} µs {ratio:>16.2}", seconds * 1e6);
    }
}

/// Seconds that one decision takes, of many.
fn decision(policy: &Policy) -> f64 {
    let (decide, times) = (decider(policy), 200);
    let start = Instant::now();
    (0..times).for_each(|_| decide());
    start.elapsed().as_secs_f64() / f64::from(times)
}

/// Reading rules and checking them, as a reload does.
fn load() {
    println!("\nreading and checking rules, each about a caller of its own");
    println!("  {:>8} {:>12}", "rules", "median of 5");
    for count in COUNTS {
        let files = rules(count, own_rule);
        let loads = (0..5).map(|_| {
            let start = Instant::now();
            black_box(Rules::parse(black_box(&files)).unwrap());
            start.elapsed().as_secs_f64()
        });
        let mut seconds: Vec<f64> = loads.collect();
        println!("  {count:>8} {:>9.1} ms", at(&mut seconds, 0.5) * 1e3);
    }
}

/// The program with a thousand rules, and whom it believes.
struct Bed {
    _simulator: Simulator,
    folder: Folder,
    _process: Process,
    grpc: SocketAddr,
    admin: SocketAddr,
    servers: Authority,
    callers: Authority,
    caller: Issued,
}

impl Bed {
    async fn new(tls: bool) -> Self {
        let settings = Settings {
            catalog: Catalog::embedded(),
            speed: Speed::new(1.0).unwrap(),
            seed: 7,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(settings, listener, Clock::system()).unwrap();
        let folder = Folder::new();
        let [servers, callers] = ["servers", "callers"].map(Authority::new);
        put(&folder.0, "callers.pem", &callers.pem());
        put_certificate(&folder.0, &servers);
        std::fs::create_dir(folder.0.join("policy")).unwrap();
        put_rules(&folder.0, 0);
        let config = folder.0.join("gateway.toml");
        let text = config_text(&folder.0, simulator.addr(), tls);
        std::fs::write(&config, text).unwrap();
        let mut process = Process::start(&config, config.with_extension("log"), Vec::new());
        let addresses = process.serving().await;
        let (grpc, admin) = addresses.unwrap_or_else(|| panic!("{}", process.log()));
        Self {
            _simulator: simulator,
            folder,
            _process: process,
            grpc,
            admin,
            caller: callers.client(vec![uri(CALLER)]),
            servers,
            callers,
        }
    }

    /// A connection, made and used once: its handshake is over when something came back.
    async fn connect(&self, tls: bool) -> Channel {
        let port = self.grpc.port();
        let endpoint = if tls {
            let ca = Certificate::from_pem(self.servers.pem());
            let tls = ClientTlsConfig::new().ca_certificate(ca);
            let endpoint = Endpoint::from_shared(format!("https://localhost:{port}")).unwrap();
            endpoint
                .tls_config(tls.identity(self.caller.identity()))
                .unwrap()
        } else {
            Endpoint::from_shared(format!("http://localhost:{port}")).unwrap()
        };
        endpoint.connect().await.unwrap()
    }

    async fn reloads(&self, series: &str) -> f64 {
        let (_, page) = get(self.admin, "/metrics").await;
        let lines = page.lines().filter(|line| line.starts_with(series));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

fn config_text(folder: &Path, cloud: SocketAddr, tls: bool) -> String {
    let trust = if tls {
        "[grpc.tls]\ncertificate_file = \"server.pem\"\nkey_file = \"server.key\"\n\
         client_ca_file = \"callers.pem\"\n[identity]\nrequire = [\"mtls\"]\n\
         reload_interval = \"20ms\"\n[identity.callers.team]\norganization = \"development\"\n\
         spiffe_id_prefix = \"spiffe://example.org/ns/\"\n\
         [policy]\ndirectory = \"policy\"\nreload_interval = \"20ms\"\n"
    } else {
        ""
    };
    format!(
        r#"
[grpc]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[journal]
url = "sqlite://{folder}/journal.db"
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
{trust}"#,
        folder = folder.display()
    )
}

fn put(folder: &Path, name: &str, text: &str) {
    let new = folder.join(format!("{name}.new"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, folder.join(name)).unwrap();
}

fn put_certificate(folder: &Path, servers: &Authority) {
    let server = servers.server();
    put(folder, "server.pem", &server.certificate);
    put(folder, "server.key", &server.key);
}

/// A thousand rules, each time others.
fn put_rules(folder: &Path, edition: u32) {
    let mut text = format!("// edition {edition}\n");
    text.extend((1..=RULES).map(mixed_rule));
    put(&folder.join("policy"), "bench.cedar", &text);
}

/// Connections that are made one after the other, by several at once.
async fn handshakes() {
    println!("\nnew connections, {CALLERS} made at once, client and gateway on this machine");
    for (name, tls) in [
        ("plaintext", false),
        ("TLS 1.3, both prove who they are", true),
    ] {
        let bed = Bed::new(tls).await;
        let made = AtomicU32::new(0);
        let start = Instant::now();
        let making = (0..CALLERS).map(|_| async {
            while start.elapsed() < CONNECTING {
                drop(bed.connect(tls).await);
                made.fetch_add(1, Ordering::Relaxed);
            }
        });
        join_all(making).await;
        let rate = f64::from(made.into_inner()) / start.elapsed().as_secs_f64();
        println!("  {name:<36} {rate:>8.0} a second");
    }
}

/// Launches with certificates and a thousand rules: as they are, and while both change.
async fn launches() {
    println!(
        "\nlaunches with {RULES} rules over TLS, from the call to `accepted`, {CALLERS} callers"
    );
    println!(
        "  {:<30} {:>10} {:>9} {:>9}",
        "", "launches/s", "p50 ms", "p99 ms"
    );
    let bed = Arc::new(Bed::new(true).await);
    let policy = policy(&rules(RULES, mixed_rule));
    accept(&bed, "as they are", CALLERS).await;
    let stop = Arc::new(AtomicBool::new(false));
    let changing = tokio::task::spawn_blocking({
        let (bed, stop) = (Arc::clone(&bed), Arc::clone(&stop));
        move || change(&bed, &stop)
    });
    let series = [
        "cvm_gateway_policy_reloads_total",
        "cvm_gateway_identity_reloads_total{result=\"ok\",source=\"tls\"}",
    ];
    let before = [bed.reloads(series[0]).await, bed.reloads(series[1]).await];
    accept(&bed, "both change every 50 ms", CALLERS).await;
    let after = [bed.reloads(series[0]).await, bed.reloads(series[1]).await];
    stop.store(true, Ordering::Relaxed);
    let changes = changing.await.unwrap();
    println!(
        "  of {changes} changes, put in force meanwhile: {:.0} of rules, {:.0} of certificates",
        after[0] - before[0],
        after[1] - before[1]
    );
    let alone = accept(&bed, "as they are, one caller", 1).await;
    let mut seconds: Vec<f64> = (0..ROUNDS).map(|_| decision(&policy)).collect();
    let decision = at(&mut seconds, 0.5);
    println!(
        "  of a launch alone, {:.1} µs or {:.2} % are the decision by these rules",
        decision * 1e6,
        decision / alone * 100.0
    );
}

/// Writes other rules and certificates, until it is told to stop; how often.
fn change(bed: &Bed, stop: &AtomicBool) -> u32 {
    let mut edition = 0;
    while !stop.load(Ordering::Relaxed) {
        edition += 1;
        put_rules(&bed.folder.0, edition);
        put(
            &bed.folder.0,
            "callers.pem",
            &format!("{}\n# {edition}\n", bed.callers.pem()),
        );
        put_certificate(&bed.folder.0, &bed.servers);
        std::thread::sleep(CHANGE);
    }
    edition
}

/// The median of seconds, too.
async fn accept(bed: &Bed, name: &str, callers: usize) -> f64 {
    let next = AtomicU32::new(0);
    let clients = join_all((0..callers).map(|_| bed.connect(true))).await;
    let start = Instant::now();
    let calling = clients.into_iter().map(|channel| async {
        let mut client = Client::new(tap::Tap(channel));
        let mut seconds = Vec::new();
        while next.fetch_add(1, Ordering::Relaxed) < LAUNCHES {
            let called = Instant::now();
            launch(&mut client).await;
            seconds.push(called.elapsed().as_secs_f64());
        }
        seconds
    });
    let mut seconds = join_all(calling).await.concat();
    let rate = f64::from(LAUNCHES) / start.elapsed().as_secs_f64();
    let [p50, p99] = [0.5, 0.99].map(|share| at(&mut seconds, share) * 1e3);
    println!("  {name:<30} {rate:>10.0} {p50:>9.2} {p99:>9.2}");
    p50 / 1e3
}

/// Until the launch is durable; again when the gateway is too busy.
async fn launch(client: &mut Client) {
    let request_id = uuid::Uuid::new_v4().to_string();
    loop {
        match client.run_instances(wish(&request_id, 1)).await {
            Ok(stream) => {
                let first = stream.into_inner().message().await.unwrap();
                assert!(first.is_some(), "the stream ends at its begin");
                return;
            }
            Err(status) if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) => {
                tokio::time::sleep(RETRY).await;
            }
            Err(status) => panic!("{status:?}"),
        }
    }
}

fn at(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}
