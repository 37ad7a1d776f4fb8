//! A proxy between the gateway and its cloud that spoils the launches by a script.

use crate::http::{ask, message};
use cvm_gateway::clock::Clock;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// What is done to one launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// It passes.
    Pass,
    /// It never reaches the cloud, and the connection breaks.
    LoseRequest,
    /// It reaches the cloud; its answer does not come back, and the connection breaks.
    LoseAnswer,
    /// It reaches the cloud; its answer never comes, and the connection stays.
    HoldAnswer,
    /// It reaches the cloud twice; no answer comes back.
    RepeatAndLose,
    /// It reaches the cloud; somebody on the way answers with this status and body.
    Replace(&'static str, &'static str),
    /// It never reaches the cloud; this error comes back.
    Refuse(&'static str),
}

/// Calls of one action that break, until it is set.
pub(crate) type Deafness = (&'static str, Arc<AtomicBool>);

/// A running proxy. What it has taken arrives, also when its sender is dead by then.
#[derive(Debug)]
pub(crate) struct Meddler {
    address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    cloud: SocketAddr,
    script: Vec<Mischief>,
    /// What is left of the script for each operation.
    left: Mutex<HashMap<String, VecDeque<Mischief>>>,
    deaf_to: Option<Deafness>,
}

impl Meddler {
    /// Does to the launches of each operation what the script says; those behind its end pass.
    pub(crate) async fn start(
        cloud: SocketAddr,
        script: &[Mischief],
        deaf_to: Option<Deafness>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            cloud,
            script: script.to_vec(),
            left: Mutex::default(),
            deaf_to,
        });
        let address = listener.local_addr().unwrap();
        let accept = TaskTracker::new().spawn(async move {
            let connections = TaskTracker::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(Arc::clone(&shared).carry(stream));
            }
        });
        Self {
            address,
            _accepting: AbortOnDropHandle::new(accept),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Shared {
    /// Carries the calls of one connection.
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        while let Some(request) = message(&mut client).await {
            let Some(answer) = self.treat(&request).await else {
                return;
            };
            if client.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    async fn treat(&self, request: &[u8]) -> Option<Vec<u8>> {
        let head = String::from_utf8_lossy(request).to_lowercase();
        if self.is_deaf_to(&head) {
            return None;
        }
        let launch = head.contains("x-tc-action: runinstances\r\n");
        let mischief = if launch { self.next(&head) } else { None };
        match mischief.unwrap_or(Mischief::Pass) {
            Mischief::Pass => self.ask(request).await,
            Mischief::LoseRequest => None,
            Mischief::LoseAnswer => self.ask(request).await.and(None),
            Mischief::HoldAnswer => {
                self.ask(request).await;
                Clock::system().sleep(Duration::from_secs(600)).await;
                None
            }
            Mischief::RepeatAndLose => {
                self.ask(request).await;
                self.ask(request).await.and(None)
            }
            Mischief::Replace(status, body) => {
                self.ask(request).await;
                Some(answer(status, body))
            }
            Mischief::Refuse(code) => {
                let error = format!(r#"{{"Code":"{code}","Message":"no"}}"#);
                let body = format!(r#"{{"Response":{{"Error":{error},"RequestId":"r-0"}}}}"#);
                Some(answer("200 OK", &body))
            }
        }
    }

    fn is_deaf_to(&self, head: &str) -> bool {
        let breaks = |(action, until): &Deafness| {
            !until.load(Ordering::Acquire) && head.contains(&format!("x-tc-action: {action}\r\n"))
        };
        self.deaf_to.as_ref().is_some_and(breaks)
    }

    /// What happens to this launch, if anything is left to happen to its operation.
    fn next(&self, request: &str) -> Option<Mischief> {
        let token = request.split("\"clienttoken\":\"").nth(1)?;
        let token = token.split('"').next()?;
        let id = token.split('-').find(|part| part.len() == 32);
        let mut left = self.left.lock().unwrap();
        let script = left.entry(id.unwrap_or(token).to_owned());
        let script = script.or_insert_with(|| self.script.iter().copied().collect());
        script.pop_front()
    }

    async fn ask(&self, request: &[u8]) -> Option<Vec<u8>> {
        ask(self.cloud, request).await
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n");
    format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes()
}
