//! The real program with something planted in it: started, watched, killed and ended by signals.

use crate::canary;
use cvm_gateway::clock::Clock;
use serde_json::Value;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// How long a start may take, also on a machine that is busy with other tests.
const START_MAX: Duration = Duration::from_secs(60);
/// How long an end in order may take.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Where a process serves.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    pub(crate) grpc: String,
    pub(crate) admin: String,
}

/// A `cvm-gateway serve`. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    serving: watch::Receiver<Option<Doors>>,
    listening: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it with `faults` planted, and does not wait. The configuration asks for a JSON log.
    pub(crate) fn spawn(config: &Path, faults: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .env("CVM_GATEWAY_FAILPOINT", faults)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::default();
        let (served, serving) = watch::channel(None);
        let stderr = child.stderr.take().unwrap();
        let listening = TaskTracker::new().spawn(listen(stderr, Arc::clone(&log), served));
        Self {
            child,
            log,
            serving,
            listening: Some(listening),
        }
    }

    /// Waits until it serves, or nothing when it ended instead.
    pub(crate) async fn ready(&self) -> Option<Doors> {
        let mut serving = self.serving.clone();
        let serving = serving.wait_for(Option::is_some);
        match Clock::system().timeout(START_MAX, serving).await {
            Some(Ok(doors)) => doors.clone(),
            Some(Err(_)) | None => None,
        }
    }

    /// Waits until it has ended, however, and all of its log is read.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = self.child.wait().await.unwrap();
        if let Some(listening) = self.listening.take() {
            listening.await.unwrap();
        }
        status
    }

    /// Any signal.
    pub(crate) async fn signal(&self, signal: &str) {
        if let Some(pid) = self.child.id() {
            let pid = pid.to_string();
            let sent = Command::new("kill").args([signal, &pid]).output().await;
            drop(sent.unwrap()); // it may have died just now, which is noticed elsewhere
        }
    }

    /// SIGTERM; how it ended, or nothing when it did not in time.
    pub(crate) async fn terminate(&mut self) -> Option<ExitStatus> {
        self.signal("-TERM").await;
        Clock::system().timeout(STOP_MAX, self.ended()).await
    }

    /// The points whose fault happened.
    pub(crate) fn planted(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let entries = log.iter().map(|line| serde_json::from_str(line));
        let entries = entries.map(|entry| entry.unwrap_or(Value::Null));
        let points = entries.filter_map(|entry| Some(entry["failpoint"].as_str()?.to_owned()));
        points.collect()
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock().unwrap();
        let from = log.len().saturating_sub(40);
        log[from..].join("\n")
    }
}

async fn listen(
    stderr: ChildStderr,
    log: Arc<Mutex<Vec<String>>>,
    served: watch::Sender<Option<Doors>>,
) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        canary::examine("the log of a process", &line);
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        if entry["message"] == "serving" {
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            served.send_replace(Some(Doors {
                grpc: text("grpc"),
                admin: text("admin"),
            }));
        }
        log.lock().unwrap().push(line);
    }
}
