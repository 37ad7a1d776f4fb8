//! The real program over the file layer.

use crate::tap::Tap;
use crate::world::Client;
use cvm_gateway::clock::Clock;
use serde_json::Value;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Between two looks at what a process does.
const LOOK: Duration = Duration::from_millis(10);

/// A `cvm-gateway serve` with a JSON log. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(config: &Path, log: PathBuf, variables: Vec<(String, String)>) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .envs(variables)
            .stderr(File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Where it serves gRPC and its side door, once it does; nothing when it ended before.
    pub(crate) async fn serving(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        until(Duration::from_secs(30), async || {
            if let Some(addresses) = self.addresses() {
                return Some(Some(addresses));
            }
            self.child.try_wait().unwrap().map(|_status| None)
        })
        .await
        .unwrap_or_else(|| panic!("it neither serves nor ends:\n{}", self.log()))
    }

    /// How it ended, if it does within a time.
    pub(crate) async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        until(within, async || self.child.try_wait().unwrap()).await
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGTERM.
    pub(crate) async fn terminate(&self) {
        if let Some(pid) = self.child.id() {
            let mut kill = Command::new("kill");
            // It may end by itself just now.
            kill.args(["-TERM", &pid.to_string()]);
            kill.output().await.unwrap();
        }
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let log = self.log();
        let entries = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let serving: Value = entries
            .into_iter()
            .find(|entry: &Value| entry["message"] == "serving")?;
        let address = |name: &str| serving[name].as_str().unwrap().parse().unwrap();
        Some((address("grpc"), address("admin")))
    }
}

/// A client of the process at an address; nothing when it is gone.
pub(crate) async fn client(address: SocketAddr) -> Option<Client> {
    let channel = Tap::connect(format!("http://{address}")).await.ok()?;
    Some(Client::new(channel))
}

/// Looks until there is something to see, or the time is over.
pub(crate) async fn until<T>(
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let clock = Clock::system();
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            clock.sleep(LOOK).await;
        }
    };
    clock.timeout(within, looking).await
}
