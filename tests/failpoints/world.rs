//! One story: a fake cloud, a journal, a gateway that comes and goes, and clients that do not give up.

use crate::judge;
use crate::meddler::{Meddler, Mischief};
use crate::postgres;
use crate::process::{Doors, Process};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use cvm_gateway::simulator::{Catalog, EMBEDDED, Settings, Simulator, Speed};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};

/// How many times faster than the real cloud machines start: in 10 to 200 ms.
const SPEED: f64 = 1000.0;
/// How long a story may take, also on a machine that is busy with other tests.
const STORY_MAX: Duration = Duration::from_secs(90);
/// How long a stream may say nothing at all; heartbeats come every 200 ms.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How often a gateway may come to its end by itself in one story.
const ENDS_MAX: usize = 4;

/// Where the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// How long the cloud knows a ClientToken; one minute of the real cloud is a second here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    Forever,
    Minute,
    Nothing,
}

/// What happens.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) engine: Engine,
    pub(crate) memory: Memory,
    /// Planted in the first process, in the second, and so on.
    pub(crate) faults: Vec<String>,
    /// What becomes of the launches on their way.
    pub(crate) script: Vec<Mischief>,
    /// From a machine to its being shown, and from then to its tags, in seconds.
    pub(crate) lags: (f64, f64),
    /// Another value of one of `[operations]`.
    pub(crate) setting: Option<(&'static str, &'static str)>,
    /// How often some launch must have been tried.
    pub(crate) attempts_min: u32,
    /// Every machine fails, and is to be given back.
    pub(crate) doomed: bool,
    /// Every look-up breaks.
    pub(crate) deaf: bool,
    /// Whether the process is asked to end while the first launch is under way.
    pub(crate) stopped: bool,
    /// The end that every launch must come to.
    pub(crate) end: pb::OperationState,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            engine: Engine::Sqlite,
            memory: Memory::Forever,
            faults: Vec::new(),
            script: Vec::new(),
            lags: (0.1, 0.1),
            setting: None,
            attempts_min: 1,
            doomed: false,
            deaf: false,
            stopped: false,
            end: pb::OperationState::Succeeded,
        }
    }
}

impl Story {
    /// What is wished for: once a launch is for a person to look at, its account takes no second one.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = &'static Wish> + Clone {
        let stops = self.end == pb::OperationState::NeedsOperator;
        WISHES.iter().take(if stops { 1 } else { WISHES.len() })
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Against the promises.
    pub(crate) violations: Vec<String>,
    /// The points whose fault happened.
    pub(crate) planted: Vec<String>,
}

/// What every client of one request_id saw together.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) request_id: &'static str,
    pub(crate) count: i64,
}

const WISHES: [Wish; 2] = [
    Wish {
        request_id: "first",
        count: 2,
    },
    Wish {
        request_id: "second",
        count: 1,
    },
];

/// The clients' log.
#[derive(Debug, Default)]
pub(crate) struct History {
    snapshots: Mutex<Vec<pb::Operation>>,
    violations: Mutex<Vec<String>>,
}

impl History {
    fn violate(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }

    /// A stream that was at `cursor` showed `operation`; whether it went on.
    fn saw(&self, wish: &Wish, cursor: u64, operation: pb::Operation) -> bool {
        let id = wish.request_id;
        if operation.sequence <= cursor {
            self.violate(format!("{id}: {} came after {cursor}", operation.sequence));
            return false;
        }
        if operation.request_id != id || i64::from(operation.instance_count) != wish.count {
            self.violate(format!("{wish:?} was answered with {operation:?}"));
        }
        let mut snapshots = self.snapshots.lock().unwrap();
        let ours = snapshots.iter().filter(|known| known.request_id == id);
        for known in ours {
            if known.name != operation.name {
                self.violate(format!("{id} is {} and {}", known.name, operation.name));
            }
            let (older, newer) = if known.sequence <= operation.sequence {
                (known, &operation)
            } else {
                (&operation, known)
            };
            if !newer.transitions.starts_with(&older.transitions) {
                self.violate(format!(
                    "{id}: the past changed between {older:?} and {newer:?}"
                ));
            }
        }
        snapshots.push(operation);
        true
    }

    /// The newest snapshot of a request.
    pub(crate) fn newest(&self, request_id: &str) -> Option<pb::Operation> {
        let snapshots = self.snapshots.lock().unwrap();
        let ours = snapshots
            .iter()
            .filter(|known| known.request_id == request_id);
        ours.max_by_key(|known| known.sequence).cloned()
    }

    /// Whether a launch was begun that has not come to its end.
    fn is_under_way(&self) -> bool {
        let sent = |known: &pb::Operation| known.state() == pb::OperationState::Sent;
        self.snapshots.lock().unwrap().iter().any(sent)
    }
}

/// A folder that is removed with everything in it.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Plays a story to its end, and judges.
pub(crate) async fn play(story: &Story) -> Told {
    let settings = Settings {
        catalog: Catalog::parse(&catalog(story)).unwrap(),
        speed: Speed::new(SPEED).unwrap(),
        seed: 7,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = Simulator::start(settings, listener, Clock::system()).unwrap();
    let meddler = Meddler::start(simulator.addr(), &story.script, story.deaf).await;
    let name = uuid::Uuid::new_v4().to_string();
    let folder = Folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    std::fs::create_dir_all(&folder.0).unwrap();
    let journal = match story.engine {
        Engine::Sqlite => format!("sqlite://{}/journal.db", folder.0.display()),
        Engine::Postgres => postgres::new_database().await,
    };
    let config = folder.0.join("gateway.toml");
    std::fs::write(&config, config_text(story, meddler.address(), &journal)).unwrap();

    let history = Arc::new(History::default());
    let (doors, clients) = follow_all(&history, story);
    let mut told = supervise(story, &config, &history, doors, clients).await;
    let (_, ledger) = get(&simulator.addr().to_string(), "/_ledger").await;
    told.violations
        .append(&mut history.violations.lock().unwrap());
    told.violations
        .extend(judge::judge(story, &journal, &ledger, &history).await);
    simulator.stop().await;
    told
}

/// Two clients for each wish, and one that asks for something else under the same request_id.
fn follow_all(
    history: &Arc<History>,
    story: &Story,
) -> (watch::Sender<Option<Doors>>, TaskTracker) {
    let (doors, open) = watch::channel(None);
    let clients = TaskTracker::new();
    for wish in story.wishes().chain(story.wishes()) {
        let client = Client {
            wish: wish.clone(),
            doomed: story.doomed,
            history: Arc::clone(history),
            doors: open.clone(),
        };
        clients.spawn(client.follow());
    }
    clients.close();
    (doors, clients)
}

/// Keeps a gateway running until all clients know the end, then ends it in order.
async fn supervise(
    story: &Story,
    config: &Path,
    history: &History,
    doors: watch::Sender<Option<Doors>>,
    clients: TaskTracker,
) -> Told {
    let mut told = Told::default();
    let mut asked_to_end = !story.stopped;
    let clock = Clock::system();
    let deadline = clock.sleep(STORY_MAX);
    tokio::pin!(deadline);
    for life in 0..=ENDS_MAX {
        let faults = story.faults.get(life).map_or("", String::as_str);
        let mut process = Process::spawn(config, faults);
        if let Some(open) = process.ready().await {
            doors.send_replace(Some(open));
        }
        let log = tokio::select! {
            _ = process.ended() => None,
            () = clients.wait() => None,
            () = under_way(history), if !asked_to_end => None,
            () = &mut deadline => Some(process.log()),
        };
        if let Some(log) = log {
            told.violations
                .push(format!("it is stuck; the log ends with\n{log}"));
            return told;
        }
        if !clients.is_empty() && asked_to_end {
            process.ended().await;
            told.planted.extend(process.planted());
            doors.send_replace(None);
            continue;
        }
        asked_to_end = true;
        let open = doors.borrow().clone();
        if let Some(open) = open.filter(|_| clients.is_empty()) {
            look_around(&open).await;
        }
        let ended = process.terminate().await;
        told.planted.extend(process.planted());
        doors.send_replace(None);
        let in_order = ended.is_some_and(|status| status.code() == Some(0));
        if clients.is_empty() && in_order {
            return told;
        }
        if !in_order && process.planted().is_empty() {
            let log = process.log();
            told.violations
                .push(format!("it ended as {ended:?}; the log ends with\n{log}"));
        }
    }
    told.violations.push("it ended too often".to_owned());
    told
}

async fn under_way(history: &History) {
    while !history.is_under_way() {
        Clock::system().sleep(Duration::from_millis(5)).await;
    }
}

/// What others ask of a gateway while it serves. What they are told is proven elsewhere.
async fn look_around(doors: &Doors) {
    get(&doors.admin, "/readyz").await;
    if let Ok(mut client) = CvmGatewayServiceClient::connect(format!("http://{}", doors.grpc)).await
    {
        let request = pb::ListOperationsRequest::default();
        drop(client.list_operations(request).await);
    }
}

/// Asks and follows, again and again, until the end is known.
struct Client {
    wish: Wish,
    doomed: bool,
    history: Arc<History>,
    doors: watch::Receiver<Option<Doors>>,
}

impl Client {
    async fn follow(mut self) {
        let mut tries = 0;
        while !self.has_ended() {
            tries += 1;
            let asked = Clock::system()
                .timeout(STORY_MAX, Box::pin(self.try_once(tries)))
                .await;
            if asked.is_none() {
                return;
            }
            Clock::system().sleep(Duration::from_millis(50)).await;
        }
        self.ask_for_another().await;
    }

    fn has_ended(&self) -> bool {
        let newest = self.history.newest(self.wish.request_id);
        newest.is_some_and(|newest| is_final(newest.state()))
    }

    /// Every second time as one who knows the operation, from its cursor.
    async fn try_once(&mut self, tries: u32) {
        let Ok(open) = self
            .doors
            .wait_for(Option::is_some)
            .await
            .map(|open| open.clone())
        else {
            return;
        };
        let url = format!("http://{}", open.unwrap().grpc);
        let Ok(mut client) = CvmGatewayServiceClient::connect(url).await else {
            return;
        };
        let known = self.history.newest(self.wish.request_id);
        let ended = match known.filter(|_| tries.is_multiple_of(2)) {
            Some(known) => {
                let request = pb::WatchOperationRequest {
                    name: known.name,
                    after_sequence: known.sequence,
                };
                let stream = client.watch_operation(request).await;
                self.read(stream, known.sequence, |message| match message.event? {
                    pb::watch_operation_response::Event::Operation(operation) => Some(operation),
                    pb::watch_operation_response::Event::Heartbeat(_) => None,
                })
                .await
            }
            None => {
                let stream = client.run_instances(self.request(self.wish.count)).await;
                self.read(stream, 0, |message| match message.event? {
                    pb::run_instances_response::Event::Operation(operation) => Some(operation),
                    pb::run_instances_response::Event::Heartbeat(_) => None,
                })
                .await
            }
        };
        if let Err(status) = ended
            && !self.has_ended()
            && !is_to_be_repeated(&status)
        {
            self.history.violate(format!("{:?}: {status:?}", self.wish));
        }
    }

    async fn read<M>(
        &self,
        stream: Result<tonic::Response<tonic::Streaming<M>>, Status>,
        mut cursor: u64,
        event: impl Fn(M) -> Option<pb::Operation>,
    ) -> Result<(), Status> {
        let mut stream = stream?.into_inner();
        loop {
            let message = Clock::system().timeout(SILENCE_MAX, stream.message()).await;
            let Some(Some(message)) = message.transpose()? else {
                return Ok(());
            };
            if let Some(operation) = event(message) {
                let sequence = operation.sequence;
                if !self.history.saw(&self.wish, cursor, operation) {
                    return Ok(());
                }
                cursor = sequence;
            }
        }
    }

    /// The same request_id for something else is refused, whatever happened.
    async fn ask_for_another(&mut self) {
        let Some(open) = self.doors.borrow().clone() else {
            return;
        };
        let url = format!("http://{}", open.grpc);
        if let Ok(mut client) = CvmGatewayServiceClient::connect(url).await {
            let request = self.request(self.wish.count + 1);
            match client.run_instances(request).await {
                Ok(_) => self
                    .history
                    .violate(format!("{:?}: another was taken", self.wish)),
                Err(status) if status.code() == Code::AlreadyExists => {}
                Err(status) if is_to_be_repeated(&status) => {}
                Err(status) => self.history.violate(format!("{:?}: {status:?}", self.wish)),
            }
        }
    }

    fn request(&self, count: i64) -> pb::RunInstancesRequest {
        let mut request = pb::RunInstancesRequest {
            request_id: self.wish.request_id.to_owned(),
            region: "ap-shanghai".to_owned(),
            spec: Some(pb::InstanceSpec {
                placement: Some(pb::Placement {
                    zone: "ap-shanghai-2".to_owned(),
                    ..pb::Placement::default()
                }),
                image_id: Some("img-pmqg1cw7".to_owned()),
                instance_type: Some("S5.SMALL1".to_owned()),
                instance_count: Some(count),
                ..pb::InstanceSpec::default()
            }),
            ..pb::RunInstancesRequest::default()
        };
        if self.doomed {
            request.set_on_failure(pb::FailurePolicy::TerminateAll);
        }
        request
    }
}

/// Whether the gateway, or what is left of its connection, told that this may be asked again.
fn is_to_be_repeated(status: &Status) -> bool {
    let codes = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Cancelled,
        Code::DeadlineExceeded,
    ];
    // Without details it is a connection that broke.
    codes.contains(&status.code()) || status.details().is_empty()
}

/// Whether nothing comes after it.
pub(crate) fn is_final(state: pb::OperationState) -> bool {
    let final_states = [
        pb::OperationState::Succeeded,
        pb::OperationState::Partial,
        pb::OperationState::Failed,
        pb::OperationState::Cancelled,
        pb::OperationState::NeedsOperator,
    ];
    final_states.contains(&state)
}

/// GETs a path; the head and the body of the answer, empty when nobody serves.
async fn get(address: &str, path: &str) -> (String, String) {
    let mut answer = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(address).await {
        let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
        if stream.write_all(request.as_bytes()).await.is_ok() {
            drop(stream.read_to_end(&mut answer).await); // it may die over it
        }
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (head.to_owned(), body.to_owned())
}

/// The cloud of the story: the built-in one with its faults.
fn catalog(story: &Story) -> String {
    let memory = match story.memory {
        Memory::Forever => "",
        Memory::Minute => "token_memory_s = 1.0",
        Memory::Nothing => "token_memory_s = 0.0",
    };
    let (instance, tag) = story.lags;
    let doomed = if story.doomed { 1.0 } else { 0.0 };
    let faults = format!(
        "[faults]\n{memory}\ninstance_lag_s = [{instance:?}, {instance:?}]\n\
         tag_lag_s = [{tag:?}, {tag:?}]\nlaunch_failed_p = {doomed:?}\n"
    );
    assert!(EMBEDDED.contains("[faults]\n"));
    EMBEDDED.replacen("[faults]\n", &faults, 1)
}

/// The real configuration with every wait made short: a minute is a second, or less.
fn config_text(story: &Story, cloud: SocketAddr, journal: &str) -> String {
    let window = match story.memory {
        Memory::Forever => "10s",
        Memory::Minute => "800ms",
        Memory::Nothing => "0s",
    };
    let mut operations = vec![
        ("attempt_life", "\"2s\""),
        ("quarantine", "\"3s\""),
        ("first_look_up", "\"50ms\""),
        ("look_up_interval", "\"150ms\""),
        ("retry_backoff", "\"50ms\""),
        ("missing_grace", "\"4s\""),
        ("unseen_grace", "\"4s\""),
        ("poll_interval", "\"50ms\""),
        ("lease", "\"3s\""),
        ("journal_retry_interval", "\"100ms\""),
    ];
    operations.retain(|(key, _)| story.setting.is_none_or(|(other, _)| other != *key));
    operations.extend(story.setting);
    let operations = operations
        .iter()
        .map(|(key, value)| format!("{key} = {value}"));
    let operations = operations.collect::<Vec<_>>().join("\n");
    format!(
        r#"
[grpc]
listen = "127.0.0.1:0"
heartbeat_interval = "200ms"
drain_timeout = "5s"

[admin]
listen = "127.0.0.1:0"

[journal]
url = "{journal}"

[cloud]
connect_timeout = "1s"
run_instances_timeout = "1500ms"
read_timeout = "1500ms"

[cloud.endpoint]
override = "http://{cloud}"

[organizations.development]
default_account = "main"

[organizations.development.accounts.main]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"

[operations]
token_trust_window = "{window}"
{operations}

[log]
format = "json"
"#
    )
}
