//! A proxy between the gateway and its cloud that spoils one call.

use crate::http::{ask, message};
use cvm_gateway::clock::Clock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// What is done to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mischief {
    /// It reaches the cloud; its answer does not come back.
    LoseAnswer,
    /// It never reaches the cloud, and the connection breaks.
    LoseRequest,
    /// It reaches the cloud; somebody on the way answers with an error.
    AnswerWith500,
    /// It reaches the cloud twice.
    Repeat,
    /// It reaches the cloud; its answer is held back for ever.
    HoldAnswer,
}

/// A running proxy.
pub(super) struct Meddler {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

struct Shared {
    cloud: SocketAddr,
    action: &'static str,
    mischief: Mischief,
    /// Whether the call was spoiled already.
    done: AtomicBool,
    spoiled: Notify,
}

impl Meddler {
    /// Spoils the first call of `action`; all others pass.
    pub(super) async fn start(cloud: SocketAddr, action: &'static str, mischief: Mischief) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            cloud,
            action,
            mischief,
            done: AtomicBool::new(false),
            spoiled: Notify::new(),
        });
        let address = listener.local_addr().unwrap();
        let tasks = TaskTracker::new();
        let accepting = Arc::clone(&shared);
        let connections = tasks.clone();
        let accept = tasks.spawn(async move {
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

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns once the call was spoiled.
    pub(super) async fn spoiled(&self) {
        let spoiled = self.shared.spoiled.notified();
        let spoiled = Clock::system()
            .timeout(Duration::from_secs(60), spoiled)
            .await;
        spoiled.expect("the call does not come");
    }
}

impl Shared {
    /// Carries the calls of one connection.
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        while let Some(request) = message(&mut client).await {
            let head = String::from_utf8_lossy(&request).to_lowercase();
            let meant = head.contains(&format!("x-tc-action: {}\r\n", self.action.to_lowercase()));
            let mischief =
                (meant && !self.done.swap(true, Ordering::SeqCst)).then_some(self.mischief);
            if mischief == Some(Mischief::LoseRequest) {
                return;
            }
            let mut answer = self.ask(&request).await;
            match mischief {
                None | Some(Mischief::LoseRequest) => {}
                Some(Mischief::Repeat) => answer = self.ask(&request).await,
                Some(Mischief::LoseAnswer) => return,
                Some(Mischief::AnswerWith500) => {
                    answer =
                        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_vec();
                }
                Some(Mischief::HoldAnswer) => {
                    self.spoiled.notify_one();
                    std::future::pending::<()>().await;
                }
            }
            if client.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    async fn ask(&self, request: &[u8]) -> Vec<u8> {
        ask(self.cloud, request).await.unwrap()
    }
}
