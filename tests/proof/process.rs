//! The real program: started, killed, paused and ended by signals.

use crate::canary;
use cvm_gateway::clock::Clock;
use serde_json::Value;
use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// What is proven.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cvm-gateway");
/// Lines of its log that are kept, to be shown when it does what it should not.
const LINES_MAX: usize = 2000;
/// How long a start may take, also on a machine that is busy with other tests.
const START_MAX: Duration = Duration::from_secs(60);
/// How long an end in order may take.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running `cvm-gateway serve`. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    told: Arc<Mutex<VecDeque<String>>>,
    serving: watch::Receiver<Option<String>>,
}

impl Process {
    /// Starts it, and does not wait. The configuration asks for a JSON log.
    pub(crate) fn spawn(config: &Path) -> Self {
        Self::of(Path::new(PROGRAM), config)
    }

    /// Starts another build of it.
    pub(crate) fn of(program: &Path, config: &Path) -> Self {
        let mut child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let told = Arc::default();
        let (served, serving) = watch::channel(None);
        let log = child.stderr.take().unwrap();
        TaskTracker::new().spawn(listen(log, Arc::clone(&told), served));
        Self {
            child,
            told,
            serving,
        }
    }

    /// Waits until it serves; where.
    ///
    /// # Errors
    /// The end of its log, when it ended instead.
    pub(crate) async fn ready(&mut self) -> Result<String, String> {
        let serving = self.serving.wait_for(Option::is_some);
        let found = match Clock::system().timeout(START_MAX, serving).await {
            Some(Ok(address)) => address.clone(),
            Some(Err(_)) | None => None,
        };
        found.ok_or_else(|| self.log())
    }

    /// `kill -9`; returns when it is dead.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGSTOP.
    pub(crate) async fn pause(&self) {
        self.signal("-STOP").await;
    }

    /// SIGCONT.
    pub(crate) async fn resume(&self) {
        self.signal("-CONT").await;
    }

    /// SIGTERM; the exit code, or none when it does not end in time or by a signal.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM").await;
        let ended = Clock::system().timeout(STOP_MAX, self.child.wait()).await;
        ended?.unwrap().code()
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        let told = self.told.lock().unwrap();
        told.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Whether the local TCP port is its end of a connection.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        let Some(pid) = self.child.id() else {
            return false;
        };
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
        let local = format!(":{port:04X}");
        let rows = table
            .lines()
            .map(|row| row.split_whitespace().collect::<Vec<_>>());
        let of_port = rows.filter(|row| row.len() > 9 && row[1].ends_with(&local));
        let sockets: Vec<String> = of_port.map(|row| format!("socket:[{}]", row[9])).collect();
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
        let links = files.into_iter().flatten().flatten();
        let mut links = links.filter_map(|file| std::fs::read_link(file.path()).ok());
        links.any(|link| {
            sockets
                .iter()
                .any(|socket| link.as_os_str() == socket.as_str())
        })
    }

    async fn signal(&self, signal: &str) {
        let Some(pid) = self.child.id() else {
            return; // it ended by itself, which is noticed elsewhere
        };
        let sent = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status();
        assert!(sent.await.unwrap().success());
    }
}

async fn listen(
    log: ChildStderr,
    told: Arc<Mutex<VecDeque<String>>>,
    served: watch::Sender<Option<String>>,
) {
    let mut lines = BufReader::new(log).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        canary::examine("the log of a process", &line);
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        if entry["message"] == "serving" {
            served.send_replace(entry["grpc"].as_str().map(str::to_owned));
        }
        let mut told = told.lock().unwrap();
        if told.len() == LINES_MAX {
            told.pop_front();
        }
        told.push_back(line);
    }
}
