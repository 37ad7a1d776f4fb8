//! The clients of a story: they ask and follow, do not give up, and remember what they were told.

use crate::canary;
use crate::process::Doors;
use crate::tap::Tap;
use crate::world::{STORY_MAX, Story, Want};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};

/// How long a gateway may say nothing at all; heartbeats come every 200 ms.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Before an order is repeated whose answer was lost, so that a gateway that begins can find the
/// first one in its journal.
const ORDER_PAUSE: Duration = Duration::from_millis(500);

type Grpc = CvmGatewayServiceClient<Tap>;

/// What every client of one request_id saw together.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) request_id: &'static str,
    /// Names the wish to give the machines back.
    pub(crate) back_id: &'static str,
    pub(crate) count: i64,
}

pub(crate) const WISHES: [Wish; 2] = [
    Wish {
        request_id: "first",
        back_id: "first-back",
        count: 2,
    },
    Wish {
        request_id: "second",
        back_id: "second-back",
        count: 1,
    },
];

/// The clients' log.
#[derive(Debug, Default)]
pub(crate) struct History {
    snapshots: Mutex<Vec<pb::Operation>>,
    pub(crate) violations: Mutex<Vec<String>>,
    /// Requests that were denied, and their callers heard so.
    pub(crate) denied: Mutex<BTreeSet<String>>,
    /// Request ids that were cancelled, or released by a person, and the gateway said so.
    decided: Mutex<BTreeSet<&'static str>>,
    /// Set when all of them are.
    pub(crate) all_decided: Arc<AtomicBool>,
    /// Held by the client that cancels.
    cancelling: tokio::sync::Mutex<()>,
}

impl History {
    fn violate(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }

    /// A stream that was at `cursor` showed `operation`; whether it went on.
    fn saw(&self, id: &str, count: i64, cursor: u64, operation: pb::Operation) -> bool {
        if operation.sequence <= cursor {
            self.violate(format!("{id}: {} came after {cursor}", operation.sequence));
            return false;
        }
        if operation.request_id != id || i64::from(operation.instance_count) != count {
            self.violate(format!("{id} for {count} was answered with {operation:?}"));
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
    pub(crate) fn is_under_way(&self) -> bool {
        let sent = |known: &pb::Operation| known.state() == pb::OperationState::Sent;
        self.snapshots.lock().unwrap().iter().any(sent)
    }

    fn is_decided(&self, request_id: &str) -> bool {
        self.decided.lock().unwrap().contains(request_id)
    }

    fn decide(&self, request_id: &'static str, of: usize) {
        let mut decided = self.decided.lock().unwrap();
        decided.insert(request_id);
        if decided.len() == of {
            self.all_decided.store(true, Ordering::Release);
        }
    }
}

/// Two clients for each wish, and one that asks for something else under the same request_id. The
/// second ones go to the twin, if there is one.
pub(crate) fn follow_all(
    history: &Arc<History>,
    story: &Story,
    config: &Path,
) -> (Vec<watch::Sender<Option<Doors>>>, TaskTracker) {
    let gateways = if story.twin { 2 } else { 1 };
    let doors: Vec<_> = (0..gateways).map(|_| watch::channel(None).0).collect();
    let clients = TaskTracker::new();
    for row in 0..2 {
        for wish in story.wishes() {
            let client = Client {
                wish: wish.clone(),
                wishes: story.wishes().count(),
                want: story.want,
                doomed: story.doomed > 0.0,
                config: config.to_owned(),
                history: Arc::clone(history),
                doors: doors[row % gateways].subscribe(),
            };
            clients.spawn(client.follow());
        }
    }
    clients.close();
    (doors, clients)
}

/// Asks and follows, again and again, until the end is known.
struct Client {
    wish: Wish,
    /// How many there are.
    wishes: usize,
    want: Want,
    doomed: bool,
    config: PathBuf,
    history: Arc<History>,
    doors: watch::Receiver<Option<Doors>>,
}

/// What is asked for.
enum Errand {
    Launch,
    GiveBack(Vec<String>),
}

impl Client {
    async fn follow(mut self) {
        if !self.pursue(&Errand::Launch).await {
            return;
        }
        self.ask_for_another().await;
        self.ask_for_what_is_foreign().await;
        if self.want == Want::GiveBack
            && let Some(launched) = self.history.newest(self.wish.request_id)
        {
            let machines = launched.instances.into_iter();
            let ids = machines.map(|machine| machine.instance_id).collect();
            self.pursue(&Errand::GiveBack(ids)).await;
        }
    }

    fn id_of(&self, errand: &Errand) -> &'static str {
        match errand {
            Errand::Launch => self.wish.request_id,
            Errand::GiveBack(_) => self.wish.back_id,
        }
    }

    /// Whether it came to an end within the time of a story.
    async fn pursue(&mut self, errand: &Errand) -> bool {
        let id = self.id_of(errand);
        let mut tries = 0;
        while !self.has_ended(id) {
            tries += 1;
            let asked = Clock::system()
                .timeout(STORY_MAX, Box::pin(self.try_once(errand, tries)))
                .await;
            if asked.is_none() {
                return false;
            }
            self.have_it_released().await;
            Clock::system().sleep(Duration::from_millis(50)).await;
        }
        true
    }

    fn has_ended(&self, id: &str) -> bool {
        let newest = self.history.newest(id);
        newest.is_some_and(|newest| {
            let is_parked = newest.state() == pb::OperationState::NeedsOperator;
            is_final(newest.state()) && !(is_parked && self.want == Want::Release)
        })
    }

    /// The doors that are open, once they are.
    async fn open(&mut self) -> Option<Grpc> {
        let open = self.doors.wait_for(Option::is_some).await.ok()?.clone();
        let url = format!("http://{}", open?.grpc);
        Tap::connect(url).await.ok().map(Grpc::new)
    }

    /// Every second time as one who knows the operation, from its cursor.
    async fn try_once(&mut self, errand: &Errand, tries: u32) {
        let Some(mut client) = self.open().await else {
            return;
        };
        let id = self.id_of(errand);
        let known = self.history.newest(id);
        let ended = match (known.filter(|_| tries.is_multiple_of(2)), errand) {
            (Some(known), _) => {
                let request = pb::WatchOperationRequest {
                    name: known.name,
                    after_sequence: known.sequence,
                };
                let stream = answered(client.watch_operation(request)).await;
                self.read(id, stream, known.sequence, |message| {
                    match message.event? {
                        pb::watch_operation_response::Event::Operation(operation) => {
                            Some(operation)
                        }
                        pb::watch_operation_response::Event::Heartbeat(_) => None,
                    }
                })
                .await
            }
            (None, Errand::Launch) => {
                let stream = client.run_instances(self.request(self.wish.count));
                let stream = answered(Box::pin(stream)).await;
                self.read(id, stream, 0, |message| match message.event? {
                    pb::run_instances_response::Event::Operation(operation) => Some(operation),
                    pb::run_instances_response::Event::Heartbeat(_) => None,
                })
                .await
            }
            (None, Errand::GiveBack(ids)) => {
                let request = pb::TerminateInstancesRequest {
                    request_id: id.to_owned(),
                    instance_ids: ids.clone(),
                    timeout: None,
                };
                let stream = answered(client.terminate_instances(request)).await;
                self.read(id, stream, 0, |message| match message.event? {
                    pb::terminate_instances_response::Event::Operation(operation) => {
                        Some(operation)
                    }
                    pb::terminate_instances_response::Event::Heartbeat(_) => None,
                })
                .await
            }
        };
        if let Err(status) = ended
            && !self.has_ended(id)
            && !self.waits_for_a_person()
            && !is_to_be_repeated(&status)
        {
            self.history.violate(format!("{id}: {status:?}"));
        }
    }

    async fn read<M>(
        &self,
        id: &'static str,
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
                if !self.history.saw(id, self.wish.count, cursor, operation) {
                    return Ok(());
                }
                cursor = sequence;
            }
            self.have_it_cancelled().await;
        }
    }

    /// Cancels once there is something to give back, until the gateway has said that it knows.
    async fn have_it_cancelled(&self) {
        let id = self.wish.request_id;
        let newest = self.history.newest(id);
        let Some(launched) = newest.filter(|newest| !newest.instances.is_empty()) else {
            return;
        };
        if self.want != Want::Cancel || self.history.is_decided(id) {
            return;
        }
        let _turn = self.history.cancelling.lock().await;
        if self.history.is_decided(id) {
            return;
        }
        let Some(open) = self.doors.borrow().clone() else {
            return;
        };
        let url = format!("http://{}", open.grpc);
        if let Ok(channel) = Tap::connect(url).await {
            let mut client = Grpc::new(channel);
            let name = launched.name;
            let request = pb::CancelOperationRequest { name };
            match answered(client.cancel_operation(request)).await {
                Ok(_) => self.history.decide(id, self.wishes),
                Err(status) if is_to_be_repeated(&status) => {
                    Clock::system().sleep(ORDER_PAUSE).await;
                }
                Err(status) => self.history.violate(format!("{id}: {status:?}")),
            }
        }
    }

    fn is_parked(&self) -> bool {
        let newest = self.history.newest(self.wish.request_id);
        newest.is_some_and(|newest| newest.state() == pb::OperationState::NeedsOperator)
    }

    fn waits_for_a_person(&self) -> bool {
        self.want == Want::Release && self.is_parked()
    }

    /// A person lets the operation go on, and does not care whether another one did.
    async fn have_it_released(&self) {
        let newest = self.history.newest(self.wish.request_id);
        let Some(newest) = newest.filter(|_| self.waits_for_a_person()) else {
            return;
        };
        let released = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"))
            .args(["operations", "release", &newest.name])
            .args(["--by", "operator", "--reason", "it was looked at"])
            .arg("--config")
            .arg(&self.config)
            .output();
        let released = released.await.unwrap();
        canary::examine_output(&released);
        if released.status.success() {
            self.history.decide(self.wish.request_id, self.wishes);
        }
    }

    /// The same request_id for something else is refused, whatever happened.
    async fn ask_for_another(&mut self) {
        let Some(open) = self.doors.borrow().clone() else {
            return;
        };
        let url = format!("http://{}", open.grpc);
        if let Ok(channel) = Tap::connect(url).await {
            let mut client = Grpc::new(channel);
            let request = self.request(self.wish.count + 1);
            match answered(Box::pin(client.run_instances(request))).await {
                Ok(_) => self
                    .history
                    .violate(format!("{:?}: another was taken", self.wish)),
                Err(status) if status.code() == Code::AlreadyExists => {}
                // On an account that is stopped nothing new is looked at.
                Err(status) if status.code() == Code::FailedPrecondition && self.is_parked() => {}
                Err(status) if is_to_be_repeated(&status) => {}
                Err(status) => self.history.violate(format!("{:?}: {status:?}", self.wish)),
            }
        }
    }

    /// Who names an account that is not its organisation's is denied, and the audit knows before it.
    async fn ask_for_what_is_foreign(&mut self) {
        let Some(open) = self.doors.borrow().clone() else {
            return;
        };
        let url = format!("http://{}", open.grpc);
        if let Ok(mut client) = CvmGatewayServiceClient::connect(url).await {
            let request_id = format!("{}-foreign", self.wish.request_id);
            let request = pb::RunInstancesRequest {
                request_id: request_id.clone(),
                account: Some("foreign".to_owned()),
                ..self.request(self.wish.count)
            };
            match answered(Box::pin(client.run_instances(request))).await {
                Ok(_) => self.history.violate(format!("{request_id} was taken")),
                Err(status) if status.code() == Code::PermissionDenied => {
                    self.history.denied.lock().unwrap().insert(request_id);
                }
                Err(status) if is_to_be_repeated(&status) => {}
                Err(status) => self.history.violate(format!("{request_id}: {status:?}")),
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
                ..canary::secretive()
            }),
            ..pb::RunInstancesRequest::default()
        };
        if self.doomed {
            request.set_on_failure(pb::FailurePolicy::TerminateAll);
        }
        request
    }
}

/// What a gateway answers, if it does in time: one that hangs must not end the story.
async fn answered<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let answer = Clock::system().timeout(SILENCE_MAX, call).await;
    answer.unwrap_or_else(|| Err(Status::deadline_exceeded("no answer")))
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
