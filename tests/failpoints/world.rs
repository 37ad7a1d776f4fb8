//! One story: a fake cloud, a journal, a gateway that comes and goes, and clients that do not give up.

use crate::canary::{self, Folder, JOURNAL_KEY, put_secret};
use crate::clients::{History, WISHES, Wish, follow_all};
use crate::judge;
use crate::meddler::{Meddler, Mischief};
use crate::postgres;
use crate::process::{Doors, Process};
use crate::settings::{catalog, config_text};
use crate::tap::Tap;
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use cvm_gateway::simulator::{Catalog, Settings, Simulator, Speed};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// How many times faster than the real cloud machines start: in 10 to 200 ms.
const SPEED: f64 = 1000.0;
/// How long a story may take, also on a machine that is busy with other tests.
pub(crate) const STORY_MAX: Duration = Duration::from_secs(90);
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

/// What is wanted beside the launches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// That the machines stay.
    Keep,
    /// Nothing any more, as soon as there are machines. Until the gateway was told, it sees none run.
    Cancel,
    /// That the gateway gives them back, once they run.
    GiveBack,
    /// That what waits for a person goes on; until then no look-up is answered.
    Release,
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
    /// How often a machine fails; those that run are given back, if there are any.
    pub(crate) doomed: f64,
    /// Every look-up breaks.
    pub(crate) deaf: bool,
    pub(crate) want: Want,
    /// There is one wish, not two.
    pub(crate) alone: bool,
    /// A second gateway is on the same journal, and serves half of the clients.
    pub(crate) twin: bool,
    /// Machines that nobody knows of are looked for all the time.
    pub(crate) sweeping: bool,
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
            doomed: 0.0,
            deaf: false,
            want: Want::Keep,
            alone: false,
            twin: false,
            sweeping: false,
            stopped: false,
            end: pb::OperationState::Succeeded,
        }
    }
}

impl Story {
    /// What is wished for: once a launch is for a person to look at, its account takes no second one.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = &'static Wish> + Clone {
        let stops = self.end == pb::OperationState::NeedsOperator;
        let alone = self.alone || stops;
        WISHES.iter().take(if alone { 1 } else { WISHES.len() })
    }

    /// Whether all machines that run are to be given back.
    pub(crate) fn gives_back(&self) -> bool {
        self.doomed > 0.0 || matches!(self.want, Want::Cancel | Want::GiveBack)
    }

    /// The calls that break until a person, or the caller, has decided.
    fn deaf_to(&self) -> Option<&'static str> {
        match self.want {
            Want::Cancel => Some("describeinstancesstatus"),
            Want::Keep | Want::GiveBack | Want::Release => self.deaf.then_some("describeinstances"),
        }
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

/// Plays a story to its end, and judges.
pub(crate) async fn play(story: &Story) -> Told {
    let settings = Settings {
        catalog: Catalog::parse(&catalog(story)).unwrap(),
        speed: Speed::new(SPEED).unwrap(),
        seed: 7,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = Simulator::start(settings, listener, Clock::system()).unwrap();
    let history = Arc::new(History::default());
    let until = Arc::clone(&history.all_decided);
    let deaf_to = story.deaf_to().map(|action| (action, until));
    let meddler = Meddler::start(simulator.addr(), &story.script, deaf_to).await;
    let folder = Folder::new();
    put_secret(&folder.join("journal.db.key"), JOURNAL_KEY);
    let journal = match story.engine {
        Engine::Sqlite => format!("sqlite://{}/journal.db", folder.0.display()),
        Engine::Postgres => postgres::new_database().await,
    };
    let config = folder.0.join("gateway.toml");
    let text = config_text(story, meddler.address(), &journal);
    let text = match story.engine {
        Engine::Sqlite => text,
        Engine::Postgres => postgres::with_key_file(&text),
    };
    std::fs::write(&config, text).unwrap();

    let (doors, clients) = follow_all(&history, story, &config);
    let gateways = doors.iter().map(|doors| {
        let (doors, clients) = (doors.clone(), clients.clone());
        Box::pin(supervise(story, &config, &history, doors, clients))
    });
    let mut told = both(gateways.collect()).await;
    let (_, ledger) = get(&simulator.addr().to_string(), "/_ledger").await;
    canary::examine_ledger(&ledger);
    if story.engine == Engine::Postgres {
        postgres::examine(&journal).await;
    }
    told.violations
        .append(&mut history.violations.lock().unwrap());
    told.violations
        .extend(judge::judge(story, &journal, &ledger, &history).await);
    simulator.stop().await;
    told
}

/// Lives through one gateway, or two at the same time.
async fn both(mut gateways: Vec<impl Future<Output = Told> + Unpin>) -> Told {
    let twin = gateways.pop();
    let Some(first) = gateways.pop() else {
        return twin.unwrap().await;
    };
    let (mut told, twin) = tokio::join!(first, twin.unwrap());
    told.violations.extend(twin.violations);
    told.planted.extend(twin.planted);
    told
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
        // A port that was closed may be another story's next.
        doors.send_replace(None);
        let ended = process.terminate().await;
        told.planted.extend(process.planted());
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
    for path in ["/readyz", "/metrics"] {
        let (_, answer) = get(&doors.admin, path).await;
        canary::examine("the side door", answer);
    }
    if let Ok(channel) = Tap::connect(format!("http://{}", doors.grpc)).await {
        let mut client = CvmGatewayServiceClient::new(channel);
        let request = pb::ListOperationsRequest::default();
        drop(client.list_operations(request).await);
    }
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
