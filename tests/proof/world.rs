//! One world: the simulator, meddling proxies, gateways that come and go, clients, and the judge.

use crate::audited;
use crate::canary::{self, Folder, JOURNAL_KEY, put_secret};
use crate::checker::{self, Ledger};
use crate::dice::Dice;
use crate::load::Load;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::report::{Findings, Kind, Report};
use cvm_gateway::clock::Clock;
use cvm_gateway::simulator::{Catalog, EMBEDDED, Settings, Simulator, Speed};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How many times faster than the real cloud machines start: in 10 to 200 ms.
const SPEED: f64 = 1000.0;
/// How long everything may take to come to its end once the faults have stopped.
const PEACE_MAX: Duration = Duration::from_secs(120);

/// The fake cloud, the journal, the clients, and where they find the gateways.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) dice: Dice,
    pub(crate) findings: Findings,
    pub(crate) load: Load,
    simulator: Simulator,
    folder: Folder,
    journal: String,
    pace: u32,
    gateways: watch::Sender<Vec<String>>,
}

impl World {
    /// A world with a new journal in SQLite, or in the database `journal`. Waits are `pace` times the
    /// shortest.
    pub(crate) async fn new(seed: u64, journal: Option<String>, pace: u32) -> Self {
        let settings = Settings {
            catalog: Catalog::parse(&catalog(pace)).unwrap(),
            speed: Speed::new(SPEED).unwrap(),
            seed,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(settings, listener, Clock::system()).unwrap();
        let folder = Folder::new();
        for name in ["journal.key", "journal.db.key"] {
            put_secret(&folder.join(name), JOURNAL_KEY);
        }
        let sqlite = format!("sqlite://{}/journal.db", folder.0.display());
        let findings = Findings::default();
        let (gateways, addresses) = watch::channel(Vec::new());
        let load = Load::new(
            format!("w{seed}"),
            addresses,
            Dice::new(seed, 1),
            findings.clone(),
        );
        Self {
            seed,
            dice: Dice::new(seed, 0),
            findings,
            load,
            simulator,
            folder,
            journal: journal.unwrap_or(sqlite),
            pace,
            gateways,
        }
    }

    /// The proxy before the cloud. All gateways of a world share it: an operation is not gone on
    /// with at another host.
    pub(crate) async fn proxy(&self) -> Proxy {
        Proxy::start(self.simulator.addr(), Dice::new(self.seed, 2)).await
    }

    /// Writes the configuration `name` of a gateway that calls `cloud` and has `journal`.
    pub(crate) fn config(&self, name: &str, cloud: SocketAddr, journal: &str) -> PathBuf {
        let path = self.folder.0.join(format!("{name}.toml"));
        let mut text = config(cloud, journal, self.pace);
        if journal.starts_with("postgres") {
            text = text.replace("[journal]\n", "[journal]\nkey_file = \"journal.key\"\n");
        }
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The URL of the journal.
    pub(crate) fn journal(&self) -> &str {
        &self.journal
    }

    /// Where clients find gateways from now on.
    pub(crate) fn serve_at(&self, addresses: Vec<String>) {
        self.gateways.send_replace(addresses);
    }

    /// Lets everything come to its end, ends the gateways in order, and judges.
    pub(crate) async fn conclude(
        &self,
        proxy: &Proxy,
        gateways: &mut [Process],
        replay: &str,
    ) -> Report {
        proxy.make_peace().await;
        self.load.finish(PEACE_MAX).await;
        self.wait_for_rest().await;
        let read = Clock::system()
            .timeout(PEACE_MAX, self.load.read_again())
            .await;
        if read.is_none() {
            self.findings
                .add(Kind::Stuck, "operations could not be read to their end");
        }
        let mut logs = String::new();
        for gateway in gateways {
            logs.push_str(&gateway.log());
            self.stop(gateway).await;
        }
        proxy.make_peace().await; // what was on its way when the faults stopped
        self.judge(proxy, replay, &logs).await
    }

    /// Ends a gateway in order, and notes when it does not, or has ended already.
    pub(crate) async fn stop(&self, gateway: &mut Process) {
        if gateway.has_ended() {
            let what = format!("a gateway ended by itself:\n{}", gateway.log());
            self.findings.add(Kind::Process, what);
        } else if gateway.terminate().await != Some(0) {
            let what = format!("a gateway did not end in order:\n{}", gateway.log());
            self.findings.add(Kind::Process, what);
        }
    }

    async fn wait_for_rest(&self) {
        let rest = async {
            while checker::open_operations(&self.journal).await > 0 {
                Clock::system().sleep(Duration::from_millis(50)).await;
            }
        };
        // What is left open is found by the judge.
        Clock::system().timeout(PEACE_MAX, rest).await;
    }

    async fn judge(&self, proxy: &Proxy, replay: &str, logs: &str) -> Report {
        let journal = checker::journal(&self.journal).await;
        if self.journal.starts_with("postgres") {
            canary::examine_database(&self.journal).await;
        }
        let ledger = self.ledger().await;
        canary::examine_ledger(&ledger);
        let ledger = Ledger::parse(&ledger);
        let known = self.load.history().all();
        let mut report = Report::default();
        report.count("worlds", 1);
        report.count("operations", u64::try_from(journal.len()).unwrap());
        report.count(
            "launches that reached the cloud",
            u64::try_from(ledger.launches()).unwrap(),
        );
        report.count(
            "  of them expired on the way",
            u64::try_from(ledger.expired()).unwrap(),
        );
        report.count("machines", u64::try_from(ledger.machines()).unwrap());
        report.count("  of them left", u64::try_from(ledger.left()).unwrap());
        report.count("calls spoiled", proxy.spoiled());
        let judged = checker::judge(&known, &journal, &ledger);
        let denied = self.load.denied();
        report.count("calls denied", u64::try_from(denied.len()).unwrap());
        for what in audited::violations(&self.journal, &denied).await {
            self.findings.add(Kind::Audit, what);
        }
        let violations: Vec<_> = judged.into_iter().chain(self.findings.take()).collect();
        if !violations.is_empty() {
            let file = format!("proof-{}.log", self.seed);
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
            std::fs::write(&file, logs).unwrap();
            report.explain(format!(
                "the gateways' last words are in {}",
                file.display()
            ));
        }
        for violation in violations {
            report.violate(&violation, replay);
        }
        report
    }

    /// The simulator's ledger, in JSON lines.
    async fn ledger(&self) -> String {
        let address = self.simulator.addr();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /_ledger HTTP/1.0\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        body.to_owned()
    }
}

/// The cloud of the tests: the built-in one, without limits that are not to be proven here.
fn catalog(pace: u32) -> String {
    let signature_life = format!("signature_life_s = {}\n", 2 * pace);
    let token_memory = format!("[faults]\ntoken_memory_s = {}.0\n", 5 * pace);
    let mut text = EMBEDDED.to_owned();
    for (from, to) in [
        ("signature_life_s = 300\n", signature_life.as_str()),
        ("[faults]\n", token_memory.as_str()),
        ("RunInstances = 10\n", "RunInstances = 1000\n"),
        ("TerminateInstances = 10\n", "TerminateInstances = 1000\n"),
        ("DescribeInstances = 40\n", "DescribeInstances = 4000\n"),
        (
            "DescribeInstancesStatus = 40\n",
            "DescribeInstancesStatus = 4000\n",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

/// The real configuration with every wait made short, in proportion: a signature lives for 2 s, so
/// all that came of an attempt shows after 2 s, and the cloud knows a token for 5 s.
fn config(cloud: SocketAddr, journal: &str, pace: u32) -> String {
    let [call, trust, quarantine, seen] = [pace, 2 * pace, 4 * pace, 2 * pace];
    let lease_ms = 1500 * pace;
    format!(
        r#"
[grpc]
listen = "127.0.0.1:0"
heartbeat_interval = "100ms"
drain_timeout = "10s"

[admin]
listen = "127.0.0.1:0"

[journal]
url = "{journal}"
reserve = "64KiB"

[cloud]
connect_timeout = "400ms"
run_instances_timeout = "{call}s"
read_timeout = "500ms"

[cloud.limits]
run_instances_per_second = 1000
terminate_instances_per_second = 1000
describe_per_second = 1000

[cloud.endpoint]
override = "http://{cloud}"

[organizations.development]
default_account = "main"

[organizations.development.accounts.main]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"

[operations]
attempt_life = "{call}s"
token_trust_window = "{trust}s"
quarantine = "{quarantine}s"
first_look_up = "20ms"
look_up_interval = "40ms"
retry_backoff = "10ms"
attempts_max = 100
crashes_max = 1000
missing_grace = "{seen}s"
unseen_grace = "{quarantine}s"
poll_interval = "50ms"
check_zones = false
lease = "{lease_ms}ms"
journal_retry_interval = "50ms"

[log]
format = "json"
filter = "trace,h2=info,hyper=info,hyper_util=info,tower=info"
"#
    )
}
