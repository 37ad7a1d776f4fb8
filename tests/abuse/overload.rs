//! Ten times as many launches as can be made, of several organisations: as many are made as ever, what is too
//! much learns it at once, and who does not flood is served. What can be made is what the account's rate
//! lets through; to promise more than that is no work done.

use crate::catalog::roomy;
use crate::gateway::Gateway;
use crate::launches::{Caller, Tally, offer, offer_at_once, one_after_the_other};
use cvm_gateway::clock::Clock;
use cvm_gateway::simulator::{Settings, Simulator, Speed};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// Those that flood.
const FLOODS: [&str; 3] = ["red", "green", "blue"];
/// The one that calls as it should.
const CALM: &str = "calm";
/// What is offered, in what can be made.
const TIMES: f64 = 10.0;
/// Launches that the account takes in a second: as many as ten real ones.
const RATE: u32 = 100;
/// Launches of one organisation that may wait for that: some seconds of them.
const OPEN_MAX: u32 = 500;
/// How long the peak is measured.
const PEAK_FOR: Duration = Duration::from_secs(10);
/// Callers at once at the peak, each of whom calls again when it was answered.
const CALLERS: usize = 96;
const GOODPUT_MIN: f64 = 0.9;
const REFUSAL_MAX: Duration = Duration::from_millis(20);
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// No better than this is asked of a calm gateway's answers.
const FLOOR: Duration = Duration::from_millis(20);
/// Calls that show how fast a calm gateway answers.
const PROBES: usize = 50;

/// A gateway, the cloud that it launches in, and a caller of each organisation.
struct Bed {
    gateway: Gateway,
    floods: Vec<Caller>,
    calm: Caller,
    _simulator: Simulator,
}

impl Bed {
    /// A gateway with `admission` in its table of that name. On a processor of its own, when the figures
    /// count: what its callers do must not take from it what it has at its peak.
    async fn new(admission: &str, alone: bool) -> Self {
        let settings = Settings {
            catalog: roomy(&[("RunInstances = 10\n", "RunInstances = 1000\n")]),
            // What runs does not count as open.
            speed: Speed::new(100.0).unwrap(),
            seed: 7,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(settings, listener, Clock::system()).unwrap();
        let folder = Gateway::folder();
        let authority = authority();
        let server = issue(&authority, SanType::DnsName(text("localhost")));
        put(&folder, "server.pem", &server.0);
        put(&folder, "server.key", &server.1);
        put(&folder, "callers.pem", &authority.pem());
        let config = config_text(&folder, &format!("http://{}", simulator.addr()), admission);
        let gateway = Gateway::start_of(folder, &config, 20_000, Some(authority.pem())).await;
        if alone {
            keep_apart(gateway.id());
        }
        let mut callers = Vec::new();
        for name in FLOODS.into_iter().chain([CALM]) {
            let name = SanType::URI(text(&format!("spiffe://example.org/{name}")));
            let (certificate, key) = issue(&authority, name);
            callers.push(Caller::connect(&gateway, &certificate, &key).await);
        }
        let calm = callers.pop().unwrap();
        Self {
            gateway,
            floods: callers,
            calm,
            _simulator: simulator,
        }
    }

    /// Launches that are made in a second, when callers wait for each other.
    async fn peak(&self) -> f64 {
        let tally = Tally::default();
        let tasks = TaskTracker::new();
        for number in 0..CALLERS {
            let caller = self.floods[number % FLOODS.len()].clone();
            let (clock, tally) = (Clock::system(), tally.clone());
            tasks.spawn(async move {
                while clock.elapsed() < PEAK_FOR {
                    caller.launch(number, &tally).await;
                }
            });
        }
        tasks.close();
        tasks.wait().await;
        per_second(tally.launched_within(PEAK_FOR), PEAK_FOR)
    }

    /// What 99 of 100 answers take at most, of one caller that is alone.
    async fn base(&self) -> Duration {
        let tally = Tally::default();
        for number in 0..PROBES {
            self.calm.launch(number, &tally).await;
        }
        assert_eq!(tally.accepted(), PROBES, "a calm gateway refuses");
        tally.accepted_p99()
    }

    /// How long it takes until a calm gateway's answers are as fast as before.
    async fn recovery(&self, base: Duration) -> Duration {
        let clock = Clock::system();
        let bar = (2 * base).max(FLOOR);
        loop {
            let begun = clock.elapsed();
            let tally = Tally::default();
            for number in 0..PROBES {
                self.calm.launch(number, &tally).await;
            }
            if tally.accepted() == PROBES && tally.accepted_p99() <= bar {
                return begun;
            }
            assert!(begun <= RECOVERY_MAX, "the gateway does not recover");
        }
    }
}

/// The figures; alone on the machine.
async fn measured(span: Duration) {
    let mut bed = Bed::new("", true).await;
    let base = bed.base().await;
    let peak = bed.peak().await;
    let before = bed.gateway.resident();
    let (flood, calm) = (Tally::default(), Tally::default());
    let offered = offer(&bed.floods, TIMES * peak, span, &flood);
    let served = one_after_the_other(&bed.calm, span, &calm);
    let ((offered, waiting), ()) = tokio::join!(offered, served);
    let more = bed.gateway.resident().saturating_sub(before) / 1024;
    let recovery = bed.recovery(base).await;
    drop(waiting);
    let launched = flood.launched_within(span) + calm.launched_within(span);
    let (goodput, offered) = (per_second(launched, span), per_second(offered, span));
    println!(
        "overload   peak {peak:.0}/s, offered {offered:.0}/s, launched {goodput:.0}/s ({:.0} % of the peak), p99 {:.2?}",
        100.0 * goodput / peak,
        flood.launched_p99(),
    );
    println!(
        "           refused {} of {}, p99 {:.2?}   calm organisation: {} of {} launched, p99 {:.2?}",
        flood.refused(),
        flood.refused() + flood.accepted(),
        flood.refused_p99(),
        calm.launched_within(Duration::MAX),
        calm.accepted() + calm.refused(),
        calm.launched_p99(),
    );
    println!("           +{more} MiB   alone p99 {base:.2?}, again so after {recovery:.2?}");
    flood.assert_refusals_say_when_to_come_back();
    assert!(
        offered >= 0.9 * TIMES * peak,
        "so much cannot be offered from here"
    );
    assert!(
        goodput >= GOODPUT_MIN * peak,
        "{goodput} of {peak} a second"
    );
    assert!(flood.refused_p99() <= REFUSAL_MAX, "refusals are slow");
    assert_eq!(calm.refused(), 0, "who does not flood is refused");
    assert!(recovery <= RECOVERY_MAX, "{recovery:?}");
    assert_eq!(bed.gateway.terminate(RECOVERY_MAX * 6).await.0, Some(0));
}

/// What must be so on any machine, however busy.
async fn sampled() {
    let places = "at_work_max = 4, at_work_per_organization_max = 2";
    let queue = "waiting_per_organization_max = 2, wait_max = \"60s\"";
    let bed = Bed::new(&format!("{places}, {queue}"), false).await;
    let (flood, calm) = (Tally::default(), Tally::default());
    let span = Duration::from_millis(100);
    let launches = offer_at_once(&bed.floods, 1000, &flood);
    one_after_the_other(&bed.calm, span, &calm).await;
    launches.join_all().await;
    assert!(flood.refused() > 0, "nobody is refused");
    assert!(flood.accepted() > 0, "nobody is served");
    assert!(calm.accepted() > 0, "who does not flood is not served");
    assert_eq!(calm.refused(), 0, "who does not flood is refused");
    flood.assert_refusals_say_when_to_come_back();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::disallowed_methods,
    reason = "a run is set by the variables of its command"
)]
async fn a_flood_of_launches_costs_nobody_else_theirs() {
    match std::env::var("OVERLOAD_SECONDS") {
        Ok(seconds) => {
            let seconds = seconds.parse().expect("OVERLOAD_SECONDS: not a number");
            measured(Duration::from_secs(seconds)).await;
        }
        Err(_unset) => sampled().await,
    }
}

fn per_second(count: usize, span: Duration) -> f64 {
    let count = u32::try_from(count).unwrap();
    f64::from(count) / span.as_secs_f64()
}

/// Has the gateway run on the first processor and its callers on the others, when there are any.
fn keep_apart(gateway: u32) {
    let processors = std::thread::available_parallelism().unwrap().get();
    if processors < 2 {
        return;
    }
    let others = format!("1-{}", processors - 1);
    for (processors, process) in [("0", gateway), (&others, std::process::id())] {
        let mut command = Command::new("taskset");
        command.args(["-acp", processors, &process.to_string()]);
        let done = command.output().expect("taskset of util-linux is missing");
        assert!(done.status.success(), "{done:?}");
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate with that name, and its key.
fn issue(authority: &CertifiedIssuer<'static, KeyPair>, name: SanType) -> (String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![name];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn text(text: &str) -> Ia5String {
    Ia5String::try_from(text).unwrap()
}

fn put(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn config_text(folder: &Path, cloud: &str, admission: &str) -> String {
    let mut organizations = String::new();
    for name in FLOODS.into_iter().chain([CALM]) {
        write!(
            organizations,
            r#"
[identity.callers.{name}]
organization = "{name}"
spiffe_id = "spiffe://example.org/{name}"

[organizations.{name}]
default_account = "{name}"

[organizations.{name}.accounts.{name}]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"
"#
        )
        .unwrap();
    }
    format!(
        r#"
[grpc]
listen = "127.0.0.1:0"
admission = {{ {admission} }}

[grpc.tls]
certificate_file = "server.pem"
key_file = "server.key"
client_ca_file = "callers.pem"

[admin]
listen = "127.0.0.1:0"

[identity]
require = ["mtls"]

[journal]
url = "sqlite://{}/journal.db"
reserve = "64KiB"

[cloud.endpoint]
override = "{cloud}"

[cloud.limits]
run_instances_per_second = {RATE}

[operations]
check_zones = false
open_operations_per_organization_max = {OPEN_MAX}

[operations.sweep]
interval = "0s"

[log]
format = "json"
filter = "warn,cvm_gateway::gateway=info"
{organizations}"#,
        folder.display()
    )
}
