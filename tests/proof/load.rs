//! Clients that launch, repeat, contradict themselves, give up, and go on from their cursor.

use crate::canary;
use crate::dice::Dice;
use crate::history::{History, Wish, is_final};
use crate::report::{Findings, Kind};
use crate::tap::Tap;
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::OperationState;
use cvm_gateway::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Endpoint;
use tonic::{Code, Response, Status, Streaming};

/// Without a message for so long a client takes its stream for dead: heartbeats come every 100 ms.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Between two tries to reach a gateway that is not there.
const RETRY: Duration = Duration::from_millis(15);

/// Calls of one world that are to be denied: the audit has a row for each of so few.
const DENIALS_MAX: u64 = 15;

type Client = CvmGatewayServiceClient<Tap>;

/// All clients of one world. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Load(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Names the world in request_ids, so that worlds can share a journal.
    name: String,
    /// Where gateways serve; changes as they come and go.
    gateways: watch::Receiver<Vec<String>>,
    dice: Dice,
    history: History,
    findings: Findings,
    asked: AtomicU64,
    foreign: AtomicU64,
    /// Requests that were denied, and their callers heard so.
    denied: Mutex<BTreeSet<String>>,
    /// No new wishes.
    enough: CancellationToken,
    tasks: TaskTracker,
}

/// Why a client no longer follows its launch.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It saw the final snapshot.
    Final,
    /// It was refused, because the request_id is another request's.
    Refused,
    /// It never saw it break off, but gave up by itself.
    GaveUp,
}

/// What one look at a stream came to.
enum Look {
    Final,
    Broken,
    Refused(Status),
}

impl Load {
    pub(crate) fn new(
        name: String,
        gateways: watch::Receiver<Vec<String>>,
        dice: Dice,
        findings: Findings,
    ) -> Self {
        Self(Arc::new(Inner {
            name,
            gateways,
            dice,
            history: History::new(findings.clone()),
            findings,
            asked: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            denied: Mutex::default(),
            enough: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// `clients` begin to launch, one launch after the other each.
    pub(crate) fn start(&self, clients: usize) {
        for _ in 0..clients {
            self.0.tasks.spawn(Arc::clone(&self.0).work());
        }
    }

    /// No new launches; waits until each client has seen the end of its last one, `patience` at most.
    pub(crate) async fn finish(&self, patience: Duration) {
        self.0.enough.cancel();
        self.0.tasks.close();
        let waited = Clock::system().timeout(patience, self.0.tasks.wait()).await;
        if waited.is_none() {
            let what = format!("a client of {} saw no end in {patience:?}", self.0.name);
            self.0.findings.add(Kind::Stuck, what);
        }
    }

    pub(crate) fn denied(&self) -> BTreeSet<String> {
        self.0.denied.lock().unwrap().clone()
    }

    pub(crate) fn history(&self) -> &History {
        &self.0.history
    }

    /// One client for each wish, all at once; each follows to the end.
    pub(crate) async fn race(&self, wishes: Vec<Wish>) {
        let racing = TaskTracker::new();
        for wish in wishes {
            let inner = Arc::clone(&self.0);
            racing.spawn(async move { inner.follow(&wish, false).await });
        }
        racing.close();
        racing.wait().await;
    }

    /// The same request by `equal` clients at once, and another body of its request_id by `other`.
    pub(crate) fn contest(&self, equal: usize, other: usize) -> Vec<Wish> {
        let wish = self.0.new_wish();
        let rival = Wish {
            count: wish.count + 1,
            ..wish.clone()
        };
        let mut wishes = vec![wish; equal];
        for place in 0..other {
            wishes.insert(place * equal / other, rival.clone());
        }
        wishes
    }

    /// Reads every known operation once more, by GetOperation and by WatchOperation from the start.
    pub(crate) async fn read_again(&self) {
        for known in self.0.history.all() {
            let wish = &known.wish;
            let Some(mut client) = self.0.client().await else {
                return self
                    .0
                    .findings
                    .add(Kind::Process, "no gateway is there to read from");
            };
            let name = known.name.clone();
            match client.get_operation(pb::GetOperationRequest { name }).await {
                Ok(answer) => {
                    let operation = answer.into_inner().operation.unwrap_or_default();
                    self.0.history.saw(wish, 0, &operation);
                }
                Err(status) => {
                    let what = format!("{}: GetOperation: {status}", known.name);
                    self.0.findings.add(Kind::Lost, what);
                }
            }
            let mut cursor = (known.name.clone(), 0);
            self.0.watch(wish, &mut cursor).await;
        }
    }
}

impl Inner {
    async fn work(self: Arc<Self>) {
        while !self.enough.is_cancelled() {
            match self.dice.within(0..13) {
                0 => self.repeat_an_old_one().await,
                1 => self.contradict().await,
                2 => self.race_twins().await,
                3 => {
                    self.follow(&self.new_wish(), true).await;
                }
                4 => self.call_off().await,
                5 => self.give_back().await,
                6 => self.ask_for_what_is_foreign().await,
                _ => {
                    self.follow(&self.new_wish(), false).await;
                }
            }
        }
    }

    fn new_wish(&self) -> Wish {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let instance_type = match self.dice.within(0..20) {
            0 => "LAUNCHFAIL.SMALL1",
            1 => "SOLDOUT.SMALL1",
            _ => "S5.SMALL1",
        };
        Wish {
            request_id: format!("{}-{number}", self.name),
            count: u32::try_from(self.dice.within(1..5)).unwrap(),
            instance_type,
            back: Vec::new(),
        }
    }

    /// A launch that is no longer wanted a moment after it was accepted.
    async fn call_off(&self) {
        let wish = self.new_wish();
        let patience = self.dice.millis(1..200);
        let cancel = async {
            Clock::system().sleep(patience).await;
            while !self.is_called_off(&wish).await {
                Clock::system().sleep(RETRY).await;
            }
        };
        tokio::join!(self.follow(&wish, false), cancel);
    }

    /// Whether a gateway has heard that a launch is no longer wanted, or it has come to its end.
    async fn is_called_off(&self, wish: &Wish) -> bool {
        let Some(known) = self.history.get(&wish.request_id) else {
            return false;
        };
        let ended = is_final(known.newest().state());
        let (false, Some(mut client)) = (ended, self.client().await) else {
            return ended;
        };
        let request = pb::CancelOperationRequest { name: known.name };
        let clock = Clock::system();
        let asked = clock.timeout(SILENCE_MAX, client.cancel_operation(request));
        match asked.await {
            Some(Ok(_)) => true,
            Some(Err(status)) if status.code() == Code::FailedPrecondition => true,
            Some(Err(status)) => {
                self.refused(wish, status);
                false
            }
            None => false,
        }
    }

    /// Gives the machines of an old launch back, perhaps once more.
    async fn give_back(&self) {
        let known = self.some_old_one();
        let known = known.and_then(|wish| self.history.get(&wish.request_id));
        let runs = |state| matches!(state, OperationState::Succeeded | OperationState::Partial);
        if let Some(known) = known.filter(|known| runs(known.newest().state())) {
            let machines = &known.newest().instances;
            let machines = machines.iter().map(|machine| machine.instance_id.clone());
            let wish = Wish {
                request_id: format!("{}-back", known.wish.request_id),
                count: u32::try_from(machines.len()).unwrap(),
                instance_type: "",
                back: machines.collect(),
            };
            self.follow(&wish, false).await;
        }
        Clock::system().sleep(RETRY).await;
    }

    /// Who names an account that is not its organisation's is denied.
    async fn ask_for_what_is_foreign(&self) {
        let number = self.foreign.fetch_add(1, Ordering::SeqCst);
        let client = self.client().await.filter(|_| number < DENIALS_MAX);
        let Some(mut client) = client else {
            return Clock::system().sleep(RETRY).await;
        };
        let mut wish = self.new_wish();
        wish.request_id = format!("{}-foreign-{number}", self.name);
        let foreign = pb::RunInstancesRequest {
            account: Some("foreign".to_owned()),
            ..request(&wish)
        };
        let asked = Box::pin(client.run_instances(foreign));
        match Clock::system().timeout(SILENCE_MAX, asked).await {
            Some(Ok(_)) => {
                let what = format!("{} was taken on a foreign account", wish.request_id);
                self.findings.add(Kind::Differs, what);
            }
            Some(Err(status)) if status.code() == Code::PermissionDenied => {
                self.denied.lock().unwrap().insert(wish.request_id);
            }
            Some(Err(status)) => drop(self.refused(&wish, status)),
            None => {}
        }
    }

    async fn repeat_an_old_one(&self) {
        if let Some(known) = self.some_old_one() {
            self.follow(&known, false).await;
        }
        Clock::system().sleep(RETRY).await;
    }

    /// The same request_id with another body: never accepted, once the first one was.
    async fn contradict(&self) {
        if let Some(known) = self.some_old_one() {
            let other = Wish {
                count: known.count + 1,
                ..known
            };
            if self.follow(&other, false).await != End::Refused {
                let what = format!("{other:?} was not refused");
                self.findings.add(Kind::Duplicate, what);
            }
        }
        Clock::system().sleep(RETRY).await;
    }

    fn some_old_one(&self) -> Option<Wish> {
        let number = self
            .dice
            .within(0..self.asked.load(Ordering::SeqCst).max(1));
        let known = self.history.get(&format!("{}-{number}", self.name));
        known.map(|known| known.wish)
    }

    /// The same request several times at once, now and then with another body among them.
    async fn race_twins(self: &Arc<Self>) {
        let load = Load(Arc::clone(self));
        let other = usize::from(self.dice.percent(50));
        load.race(load.contest(3, other)).await;
    }

    /// Asks until it is accepted or refused, and follows to the end, through whatever breaks.
    /// Who `gives_up` does so when it breaks for the first time.
    async fn follow(&self, wish: &Wish, gives_up: bool) -> End {
        let mut cursor = (String::new(), 0);
        loop {
            let asks = cursor.0.is_empty() || self.dice.percent(20);
            let look = if asks {
                self.ask(wish, &mut cursor).await
            } else {
                self.watch(wish, &mut cursor).await
            };
            match look {
                Look::Final => return End::Final,
                Look::Refused(_) if cursor.0.is_empty() => return End::Refused,
                Look::Refused(status) => {
                    let what = format!("{wish:?}: refused after it was accepted: {status}");
                    self.findings.add(Kind::Stream, what);
                    return End::Refused;
                }
                Look::Broken if gives_up => return End::GaveUp,
                Look::Broken => Clock::system().sleep(RETRY).await,
            }
        }
    }

    async fn ask(&self, wish: &Wish, cursor: &mut (String, u64)) -> Look {
        let Some(mut client) = self.client().await else {
            return Look::Broken;
        };
        // It begins anew with the newest snapshot, so only within it the order counts.
        let mut own = (cursor.0.clone(), 0);
        let look = if wish.back.is_empty() {
            let asked = Box::pin(client.run_instances(request(wish)));
            self.answered(wish, &mut own, asked, event_of_run).await
        } else {
            let asked = Box::pin(client.terminate_instances(leaving(wish)));
            self.answered(wish, &mut own, asked, event_of_leaving).await
        };
        *cursor = (own.0, own.1.max(cursor.1));
        look
    }

    async fn watch(&self, wish: &Wish, cursor: &mut (String, u64)) -> Look {
        let Some(mut client) = self.client().await else {
            return Look::Broken;
        };
        let request = pb::WatchOperationRequest {
            name: cursor.0.clone(),
            after_sequence: cursor.1,
        };
        let asked = Box::pin(client.watch_operation(request));
        self.answered(wish, cursor, asked, event_of_watch).await
    }

    /// Waits for a stream, and reads it.
    async fn answered<M>(
        &self,
        wish: &Wish,
        cursor: &mut (String, u64),
        asked: impl Future<Output = Result<Response<Streaming<M>>, Status>>,
        event: impl Fn(M) -> Option<pb::Operation>,
    ) -> Look {
        match Clock::system().timeout(SILENCE_MAX, asked).await {
            Some(Ok(stream)) => self.read(wish, cursor, stream.into_inner(), event).await,
            Some(Err(status)) => self.refused(wish, status),
            None => Look::Broken,
        }
    }

    /// Reads a stream until it ends or breaks.
    async fn read<M>(
        &self,
        wish: &Wish,
        cursor: &mut (String, u64),
        mut stream: Streaming<M>,
        event: impl Fn(M) -> Option<pb::Operation>,
    ) -> Look {
        loop {
            let message = Clock::system().timeout(SILENCE_MAX, stream.message()).await;
            let Some(Ok(Some(message))) = message else {
                return Look::Broken;
            };
            if let Some(operation) = event(message) {
                self.history.saw(wish, cursor.1, &operation);
                *cursor = (operation.name.clone(), operation.sequence);
                if is_final(operation.state()) {
                    return Look::Final;
                }
            }
        }
    }

    fn refused(&self, wish: &Wish, status: Status) -> Look {
        match status.code() {
            // The gateway's own answers have details; this is a connection that broke.
            _ if status.details().is_empty() => Look::Broken,
            Code::AlreadyExists => Look::Refused(status),
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded => Look::Broken,
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => {
                let what = format!("{wish:?}: {status:?}");
                self.findings.add(Kind::Stream, what);
                Look::Broken
            }
        }
    }

    /// A client of some gateway; nothing when it cannot be reached.
    async fn client(&self) -> Option<Client> {
        let gateways = self.gateways.borrow().clone();
        let chosen = self
            .dice
            .within(0..u64::try_from(gateways.len().max(1)).unwrap());
        let address = gateways.get(usize::try_from(chosen).unwrap())?;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect_timeout(SILENCE_MAX).connect().await.ok()?;
        Some(Client::new(Tap(channel)))
    }
}

fn event_of_run(message: pb::RunInstancesResponse) -> Option<pb::Operation> {
    match message.event? {
        pb::run_instances_response::Event::Operation(operation) => Some(operation),
        pb::run_instances_response::Event::Heartbeat(_) => None,
    }
}

fn event_of_leaving(message: pb::TerminateInstancesResponse) -> Option<pb::Operation> {
    match message.event? {
        pb::terminate_instances_response::Event::Operation(operation) => Some(operation),
        pb::terminate_instances_response::Event::Heartbeat(_) => None,
    }
}

fn event_of_watch(message: pb::WatchOperationResponse) -> Option<pb::Operation> {
    match message.event? {
        pb::watch_operation_response::Event::Operation(operation) => Some(operation),
        pb::watch_operation_response::Event::Heartbeat(_) => None,
    }
}

fn leaving(wish: &Wish) -> pb::TerminateInstancesRequest {
    pb::TerminateInstancesRequest {
        request_id: wish.request_id.clone(),
        instance_ids: wish.back.clone(),
        timeout: None,
    }
}

fn request(wish: &Wish) -> pb::RunInstancesRequest {
    pb::RunInstancesRequest {
        request_id: wish.request_id.clone(),
        region: "ap-shanghai".to_owned(),
        spec: Some(pb::InstanceSpec {
            placement: Some(pb::Placement {
                zone: "ap-shanghai-2".to_owned(),
                ..pb::Placement::default()
            }),
            image_id: Some("img-pmqg1cw7".to_owned()),
            instance_type: Some(wish.instance_type.to_owned()),
            instance_count: Some(i64::from(wish.count)),
            ..canary::secretive()
        }),
        ..pb::RunInstancesRequest::default()
    }
}
