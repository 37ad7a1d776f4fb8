//! A proxy between a gateway and PostgreSQL that cuts the connection just when a COMMIT goes by.

use crate::dice::Dice;
use crate::postgres::SOCKET;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// How often of a hundred a COMMIT is cut.
const CUT_PERCENT: u64 = 2;

/// A running proxy, on a socket in a folder of its own.
#[derive(Debug)]
pub(crate) struct Cutter {
    folder: PathBuf,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: PathBuf,
    dice: Dice,
    peace: AtomicBool,
    cut: AtomicU64,
}

impl Cutter {
    /// Before the server whose socket is in the folder `server`.
    pub(crate) fn start(server: &Path, dice: Dice) -> Self {
        let folder = std::env::temp_dir().join(format!("cvm-gateway-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let listener = UnixListener::bind(folder.join(SOCKET)).unwrap();
        let shared = Arc::new(Shared {
            server: server.join(SOCKET),
            dice,
            peace: AtomicBool::new(false),
            cut: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        let accept = TaskTracker::new().spawn(async move {
            let connections = TaskTracker::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(Arc::clone(&accepting).relay(client));
            }
        });
        Self {
            folder,
            shared,
            _accepting: AbortOnDropHandle::new(accept),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn make_peace(&self) {
        self.shared.peace.store(true, Ordering::SeqCst);
    }

    /// COMMITs that were cut.
    pub(crate) fn cut(&self) -> u64 {
        self.shared.cut.load(Ordering::SeqCst)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

impl Shared {
    async fn relay(self: Arc<Self>, mut client: UnixStream) {
        let Ok(mut server) = UnixStream::connect(&self.server).await else {
            return; // it restarts
        };
        let (mut question, mut answer) = ([0; 65536], [0; 65536]);
        loop {
            tokio::select! {
                read = client.read(&mut question) => {
                    let Ok(length @ 1..) = read else { return };
                    let question = &question[..length];
                    let cuts = is_commit(question)
                        && !self.peace.load(Ordering::SeqCst)
                        && self.dice.percent(CUT_PERCENT);
                    if cuts {
                        self.cut.fetch_add(1, Ordering::SeqCst);
                    }
                    if cuts && self.dice.percent(50) {
                        return; // it never arrives
                    }
                    if server.write_all(question).await.is_err() {
                        return;
                    }
                    if cuts {
                        // It is carried out; nobody is told.
                        let answered = server.read(&mut answer).await;
                        drop(answered);
                        return;
                    }
                }
                read = server.read(&mut answer) => {
                    let Ok(length @ 1..) = read else { return };
                    if client.write_all(&answer[..length]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn is_commit(question: &[u8]) -> bool {
    question.windows(7).any(|bytes| bytes == b"COMMIT\0")
}
