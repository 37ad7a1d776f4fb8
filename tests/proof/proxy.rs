//! A meddling proxy between a gateway and its cloud: loses, delays, cuts and doubles by chance.

use crate::dice::Dice;
use crate::http::{ask, message};
use cvm_gateway::clock::Clock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// How often of a hundred a launch is spoiled, and any other call.
const SPOILED_PERCENT: (u64, u64) = (45, 12);

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mischief {
    /// It never reaches the cloud, and the connection breaks.
    LoseRequest,
    /// The connection breaks, and the request reaches the cloud afterwards, when the sender may be
    /// dead and another at work.
    LateRequest(Duration),
    /// It reaches the cloud; its answer does not come back.
    LoseAnswer,
    /// It reaches the cloud; half of its answer comes back.
    CutAnswer,
    /// It reaches the cloud; its answer comes late.
    LateAnswer(Duration),
    /// It reaches the cloud twice.
    Repeat,
    /// It is answered, and reaches the cloud once more afterwards.
    LateRepeat(Duration),
    /// Somebody on the way answers with an error; it never reaches the cloud.
    Refuse500,
    /// It reaches the cloud; somebody on the way answers with an error.
    AnswerWith500,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    cloud: SocketAddr,
    dice: Dice,
    /// No more mischief.
    peace: AtomicBool,
    spoiled: AtomicU64,
    /// What is on its way; it arrives even when its sender is dead.
    tasks: TaskTracker,
    /// Whether the next launch is held.
    holds: AtomicBool,
    /// The port that a held launch came from.
    held: watch::Sender<Option<u16>>,
    released: Notify,
}

impl Proxy {
    pub(crate) async fn start(cloud: SocketAddr, dice: Dice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            cloud,
            dice,
            peace: AtomicBool::new(false),
            spoiled: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            holds: AtomicBool::new(false),
            held: watch::Sender::new(None),
            released: Notify::new(),
        });
        let address = listener.local_addr().unwrap();
        let accepting = Arc::clone(&shared);
        let accept = TaskTracker::new().spawn(async move {
            let connections = TaskTracker::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(Arc::clone(&accepting).carry(stream));
            }
        });
        Self {
            address,
            shared,
            _accepting: AbortOnDropHandle::new(accept),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls that were spoiled.
    pub(crate) fn spoiled(&self) -> u64 {
        self.shared.spoiled.load(Ordering::SeqCst)
    }

    /// Keeps the next launch until [`Proxy::release`]; the port that it came from, or nothing when
    /// there was none within `patience`.
    pub(crate) async fn hold_a_launch(&self, patience: Duration) -> Option<u16> {
        let mut held = self.shared.held.subscribe();
        self.shared.held.send_replace(None);
        self.shared.holds.store(true, Ordering::SeqCst);
        let clock = Clock::system();
        let found = clock.timeout(patience, held.wait_for(Option::is_some));
        let found = found.await.and_then(|port| *port.unwrap());
        self.shared.holds.store(false, Ordering::SeqCst);
        found
    }

    /// Lets go what was held.
    pub(crate) fn release(&self) {
        self.shared.released.notify_waiters();
    }

    /// From now on every call passes. What was late still arrives; this waits for it.
    pub(crate) async fn make_peace(&self) {
        self.shared.peace.store(true, Ordering::SeqCst);
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    /// Carries the calls of one connection.
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        while let Some(request) = message(&mut client).await {
            let Some(answer) = self.treat(request, &mut client).await else {
                return;
            };
            if client.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    /// The answer to a call, or nothing when its connection breaks.
    async fn treat(self: &Arc<Self>, request: Vec<u8>, client: &mut TcpStream) -> Option<Vec<u8>> {
        if is_launch(&request) && self.holds.swap(false, Ordering::SeqCst) {
            let port = client.peer_addr().ok().map(|peer| peer.port());
            self.held.send_replace(port);
            self.released.notified().await;
            return self.ask(&request).await;
        }
        let Some(mischief) = self.choose(&request) else {
            return self.ask(&request).await;
        };
        self.spoiled.fetch_add(1, Ordering::SeqCst);
        match mischief {
            Mischief::LoseRequest => None,
            Mischief::LateRequest(late) => {
                self.ask_later(request, late);
                None
            }
            // In a task of its own: what was sent arrives, whatever becomes of this connection.
            Mischief::LoseAnswer => {
                self.ask_later(request, Duration::ZERO);
                None
            }
            Mischief::CutAnswer => {
                let answer = self.ask(&request).await?;
                let half = client.write_all(&answer[..answer.len() / 2]).await;
                drop(half); // the client may be dead: either way nothing more comes
                None
            }
            Mischief::LateAnswer(late) => {
                let answer = self.ask(&request).await;
                Clock::system().sleep(late).await;
                answer
            }
            Mischief::Repeat => {
                self.ask(&request).await?;
                self.ask(&request).await
            }
            Mischief::LateRepeat(late) => {
                let answer = self.ask(&request).await;
                self.ask_later(request, late);
                answer
            }
            Mischief::Refuse500 => Some(ERROR.to_vec()),
            Mischief::AnswerWith500 => {
                self.ask(&request).await?;
                Some(ERROR.to_vec())
            }
        }
    }

    fn choose(&self, request: &[u8]) -> Option<Mischief> {
        let percent = if is_launch(request) {
            SPOILED_PERCENT.0
        } else {
            SPOILED_PERCENT.1
        };
        let spoiled = self.dice.percent(percent) && !self.peace.load(Ordering::SeqCst);
        spoiled.then(|| match self.dice.within(0..9) {
            0 => Mischief::LoseRequest,
            1 => Mischief::LateRequest(self.dice.millis(1..1500)),
            2 => Mischief::LoseAnswer,
            3 => Mischief::CutAnswer,
            4 => Mischief::LateAnswer(self.dice.millis(1..1300)),
            5 => Mischief::Repeat,
            6 => Mischief::LateRepeat(self.dice.millis(1..3500)),
            7 => Mischief::Refuse500,
            _ => Mischief::AnswerWith500,
        })
    }

    fn ask_later(self: &Arc<Self>, request: Vec<u8>, late: Duration) {
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            Clock::system().sleep(late).await;
            shared.ask(&request).await
        });
    }

    async fn ask(&self, request: &[u8]) -> Option<Vec<u8>> {
        ask(self.cloud, request).await
    }
}

const ERROR: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

fn is_launch(request: &[u8]) -> bool {
    let head = String::from_utf8_lossy(request).to_lowercase();
    head.contains("x-tc-action: runinstances\r\n")
}
