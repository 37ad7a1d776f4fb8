//! The real program, started, killed and ended by signals.

use crate::canary;
use crate::tap::Tap;
use crate::world::Client;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// A running `cvm-gateway serve`. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    /// Kept open, so that the program can go on logging.
    log: Lines<BufReader<ChildStderr>>,
    grpc: String,
}

impl Process {
    /// Starts it, and waits until it serves. The configuration asks for a JSON log.
    pub(crate) async fn serve(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = String::new();
        let grpc = loop {
            let line = log.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended:\n{told}"));
            canary::examine("the log of a process", &line);
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            if entry["message"] == "serving" {
                break entry["grpc"].as_str().unwrap().to_owned();
            }
            told.push_str(&line);
        };
        Self { child, log, grpc }
    }

    pub(crate) async fn client(&self) -> Client {
        let url = format!("http://{}", self.grpc);
        Client::new(Tap::connect(url).await.unwrap())
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM; the exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
        while let Some(line) = self.log.next_line().await.unwrap() {
            canary::examine("the log of a process", line);
        }
        self.child.wait().await.unwrap().code()
    }
}
