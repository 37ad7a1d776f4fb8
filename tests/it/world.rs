//! A gateway, the simulator and a client, wired through real sockets and a real journal.

pub(crate) use crate::canary::{Folder, put_secret};

use crate::canary::{self, examine, examine_ledger};
use crate::log;
use crate::tap::Tap;
use cvm_gateway::clock::{Clock, Correction};
use cvm_gateway::config::Config;
use cvm_gateway::gateway::Gateway;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use cvm_gateway::simulator::{Catalog, EMBEDDED, Settings, Simulator, Speed};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Status, Streaming};

/// The client of the generated stubs.
pub(crate) type Client = CvmGatewayServiceClient<Tap>;

/// A gateway that serves, of which everything that can be seen is searched when it stops.
#[derive(Debug)]
pub(crate) struct Served {
    gateway: Gateway,
    journal: SecretString,
}

impl Served {
    pub(crate) async fn start(config: Config, clock: Clock) -> Self {
        let journal = config.journal.url.clone();
        examine("the configuration", format!("{config:?}{config}"));
        let gateway = Box::pin(Gateway::start(config, clock)).await.unwrap();
        Self { gateway, journal }
    }

    pub(crate) async fn stop(self) {
        for path in ["/metrics", "/livez", "/readyz", "/console"] {
            get(self.gateway.admin_addr(), path).await;
        }
        examine("the gateway", format!("{:?}", self.gateway));
        self.gateway.stop().await;
        let journal = self.journal.expose_secret();
        if journal.starts_with("postgres") {
            canary::examine_database(journal).await;
        }
    }
}

impl Deref for Served {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

/// When that comes, all that was to become of the machines of [`World::still`] has become of them.
#[derive(Debug, Default)]
pub(crate) struct Later(Correction);

impl Later {
    pub(crate) fn comes(&self) {
        self.0.set(self.0.get() + time::Duration::HOUR);
    }
}

/// The fake cloud and a place for journals. Gateways come and go in it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) simulator: Simulator,
    pub(crate) folder: Folder,
}

impl World {
    /// A cloud in which machines start `speed` times as fast as in the real one.
    pub(crate) async fn new(speed: f64) -> Self {
        Self::of(Catalog::embedded(), speed, Clock::system()).await
    }

    /// Such a cloud, of another catalogue or by another clock.
    pub(crate) async fn of(catalog: Catalog, speed: f64, clock: Clock) -> Self {
        log::start();
        let settings = Settings {
            catalog,
            speed: Speed::new(speed).unwrap(),
            seed: 7,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = Folder::new();
        put_secret(&folder.join("journal.db.key"), canary::JOURNAL_KEY);
        Self {
            simulator: Simulator::start(settings, listener, clock).unwrap(),
            folder,
        }
    }

    /// A cloud in which nothing becomes of a machine until its [`Later`] comes: however long the rest of
    /// a test takes, its launches are under way, and then they end at once.
    pub(crate) async fn still() -> (Self, Later) {
        let life = "signature_life_s = 300\n";
        assert!(EMBEDDED.contains(life));
        // The time that a call is signed at is not the cloud's any more.
        let catalog = EMBEDDED.replacen(life, "signature_life_s = 1000000\n", 1);
        let later = Later::default();
        let clock = Clock::system().corrected(&later.0);
        let catalog = Catalog::parse(&catalog).unwrap();
        (Self::of(catalog, 0.1, clock).await, later)
    }

    /// A gateway of this cloud, with `extra` in its configuration file.
    pub(crate) async fn gateway(&self, extra: &str) -> Served {
        self.gateway_of(self.config(extra)).await
    }

    /// The same, where another one listened before.
    pub(crate) async fn gateway_at(&self, addr: SocketAddr, extra: &str) -> Served {
        let endpoint = format!("http://{}", self.simulator.addr());
        let text = config_text(&self.folder.0, &endpoint, extra);
        let listen = format!("listen = \"{addr}\"");
        let text = text.replacen("listen = \"127.0.0.1:0\"", &listen, 1);
        self.gateway_of(self.parsed(&text)).await
    }

    /// A gateway that is set up as `config` says.
    pub(crate) async fn gateway_of(&self, config: Config) -> Served {
        Served::start(config, Clock::system()).await
    }

    /// The configuration that [`World::gateway`] uses.
    pub(crate) fn config(&self, extra: &str) -> Config {
        let endpoint = format!("http://{}", self.simulator.addr());
        self.parsed(&config_text(&self.folder.0, &endpoint, extra))
    }

    /// A configuration that calls `endpoint`, which plays the calls of launches and no others.
    pub(crate) fn config_of(&self, endpoint: &str, extra: &str) -> Config {
        let extra = format!("check_zones = false\n{extra}");
        self.parsed(&config_text(&self.folder.0, endpoint, &extra))
    }

    fn parsed(&self, text: &str) -> Config {
        Config::parse("test.toml", text, &self.folder.0).unwrap()
    }

    /// The simulator's ledger.
    pub(crate) async fn ledger(&self) -> Vec<Value> {
        let text = get(self.simulator.addr(), "/_ledger").await.1;
        examine_ledger(&text);
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    /// Waits until the cloud has launched `count` machines.
    pub(crate) async fn launched(&self, count: usize) {
        let launched = async {
            while self.machines().await.len() < count {
                Clock::system().sleep(Duration::from_millis(10)).await;
            }
        };
        let launched = Clock::system()
            .timeout(Duration::from_secs(60), launched)
            .await;
        launched.expect("the cloud launches nothing");
    }

    /// Waits until the cloud has been asked for that.
    pub(crate) async fn called(&self, action: &str) {
        let called = async {
            while !self
                .ledger()
                .await
                .iter()
                .any(|entry| entry["action"] == action)
            {
                Clock::system().sleep(Duration::from_millis(10)).await;
            }
        };
        let limit = Duration::from_secs(60);
        let called = Clock::system().timeout(limit, called).await;
        called.unwrap_or_else(|| panic!("nobody calls {action}"));
    }

    /// The ids of all machines that exist or existed.
    pub(crate) async fn machines(&self) -> Vec<String> {
        let ledger = self.ledger().await;
        let machines = ledger.iter().filter(|entry| entry["kind"] == "machine");
        let mut ids: Vec<String> = machines
            .map(|entry| entry["instance_id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

/// A user's configuration file, quick enough for tests.
pub(crate) fn config_text(folder: &Path, endpoint: &str, extra: &str) -> String {
    format!(
        r#"
[grpc]
listen = "127.0.0.1:0"
heartbeat_interval = "100ms"
drain_timeout = "5s"

[admin]
listen = "127.0.0.1:0"

[journal]
url = "sqlite://{}/journal.db"
reserve = "256KiB"

[cloud.endpoint]
override = "{endpoint}"

[organizations.development]
default_account = "main"

[organizations.development.accounts.main]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"

[operations]
poll_interval = "50ms"
{extra}
"#,
        folder.display()
    )
}

/// A client of `gateway`.
pub(crate) async fn client(gateway: &Gateway) -> Client {
    let url = format!("http://{}", gateway.grpc_addr());
    Client::new(Tap::connect(url).await.unwrap())
}

/// A wish for `count` small machines that the simulator grants.
pub(crate) fn wish(request_id: &str, count: i64) -> pb::RunInstancesRequest {
    pb::RunInstancesRequest {
        request_id: request_id.to_owned(),
        region: "ap-shanghai".to_owned(),
        spec: Some(pb::InstanceSpec {
            placement: Some(pb::Placement {
                zone: "ap-shanghai-2".to_owned(),
                ..pb::Placement::default()
            }),
            image_id: Some("img-pmqg1cw7".to_owned()),
            instance_type: Some("S5.SMALL1".to_owned()),
            instance_count: Some(count),
            ..canary::secretive()
        }),
        ..pb::RunInstancesRequest::default()
    }
}

/// How a stream went: its snapshots, its heartbeats, and how it ended.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) snapshots: Vec<pb::Operation>,
    pub(crate) heartbeats: usize,
    pub(crate) end: Result<(), Status>,
}

impl Seen {
    /// The final snapshot.
    pub(crate) fn last(&self) -> &pb::Operation {
        self.snapshots.last().unwrap()
    }

    /// The names of the states that were entered, in order.
    pub(crate) fn states(&self) -> Vec<&'static str> {
        let transitions = self.last().transitions.iter();
        let states = transitions.map(|transition| transition.state().as_str_name());
        states
            .map(|name| name.trim_start_matches("OPERATION_STATE_"))
            .collect()
    }
}

/// Reads a launch's stream to its end, checking that it never goes backwards.
pub(crate) async fn read(mut stream: Streaming<pb::RunInstancesResponse>) -> Seen {
    let mut seen = Seen {
        snapshots: Vec::new(),
        heartbeats: 0,
        end: Ok(()),
    };
    loop {
        match stream.message().await {
            Ok(None) => return seen,
            Err(status) => {
                seen.end = Err(status);
                return seen;
            }
            Ok(Some(message)) => match message.event.unwrap() {
                pb::run_instances_response::Event::Heartbeat(_) => seen.heartbeats += 1,
                pb::run_instances_response::Event::Operation(operation) => {
                    let before = seen.snapshots.last().map_or(0, |before| before.sequence);
                    assert!(
                        operation.sequence > before,
                        "{before} then {}",
                        operation.sequence
                    );
                    seen.snapshots.push(operation);
                }
            },
        }
    }
}

/// Launches and follows to the end.
pub(crate) async fn run(client: &mut Client, wish: pb::RunInstancesRequest) -> Seen {
    match client.run_instances(wish).await {
        Ok(stream) => read(stream.into_inner()).await,
        Err(status) => Seen {
            snapshots: Vec::new(),
            heartbeats: 0,
            end: Err(status),
        },
    }
}

/// Waits until the gateway is ready: it looks for space on a full disk about every second, and then
/// takes launches again by itself.
pub(crate) async fn ready_again(gateway: &Gateway) {
    let ready = async {
        loop {
            let (head, _) = get(gateway.admin_addr(), "/readyz").await;
            if head.starts_with("HTTP/1.1 200") {
                return;
            }
            Clock::system().sleep(Duration::from_millis(50)).await;
        }
    };
    let limit = Duration::from_secs(60);
    let ready = Clock::system().timeout(limit, ready).await;
    ready.expect("the gateway does not recover");
}

/// GETs a path; the head and the body of the answer.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (String, String) {
    ask(address, "GET", path, &format!("host: {address}\r\n"), "").await
}

/// The same by any method, with any headers and body.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    if !path.starts_with("/_ledger") && !path.starts_with("/latest/") {
        // What the cloud itself tells is another matter.
        examine("the side door", &answer);
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    (
        head.to_owned(),
        if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
    )
}

fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        text.push_str(&rest[..length]);
        body = rest[length..].trim_start_matches("\r\n");
    }
    text
}
