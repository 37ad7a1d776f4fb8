//! The real program, and what it takes of the machine.

use cvm_gateway::clock::Clock;
use serde_json::Value;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use uuid::Uuid;

/// How long a start may take, also on a machine that is busy with other tests.
const START_MAX: Duration = Duration::from_secs(60);

/// A gateway in a folder of its own. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) folder: PathBuf,
    pub(crate) grpc: SocketAddr,
    admin: SocketAddr,
    /// What its certificate is trusted by, if it speaks TLS.
    pub(crate) authority: Option<String>,
}

impl Gateway {
    /// Starts one with `lines` in its table `grpc`, which may open so many files.
    pub(crate) async fn start(lines: &str, files_max: u32) -> Self {
        let folder = Self::folder();
        let config = config_text(&folder, lines);
        Self::start_of(folder, &config, files_max, None).await
    }

    /// Starts one that speaks TLS.
    pub(crate) async fn start_tls(files_max: u32) -> Self {
        let folder = Self::folder();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        std::fs::write(folder.join("server.pem"), &certificate).unwrap();
        std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
        let lines = "tls = { certificate_file = \"server.pem\", key_file = \"server.key\" }";
        let config = config_text(&folder, lines);
        Self::start_of(folder, &config, files_max, Some(certificate)).await
    }

    /// A new folder.
    pub(crate) fn folder() -> PathBuf {
        let name = format!("abuse-{}", Uuid::new_v4());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Starts one in `folder`, set up as `text` says, which is trusted by `authority` if it speaks TLS.
    pub(crate) async fn start_of(
        folder: PathBuf,
        text: &str,
        files_max: u32,
        authority: Option<String>,
    ) -> Self {
        let config = folder.join("gateway.toml");
        std::fs::write(&config, text).unwrap();
        let log = folder.join("log.jsonl");
        let child = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "ulimit -n {files_max} && exec \"$0\" serve --config \"$1\""
            ))
            .arg(env!("CARGO_BIN_EXE_cvm-gateway"))
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let serving = Clock::system().timeout(START_MAX, serving(&log)).await;
        let (grpc, admin) =
            serving.unwrap_or_else(|| panic!("{}", std::fs::read_to_string(&log).unwrap()));
        Self {
            child,
            folder,
            grpc,
            admin,
            authority,
        }
    }

    /// A gauge or counter.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.metrics().await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .parse()
            .unwrap()
    }

    /// All that `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Memory that is in use, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Time that it computed, in hundredths of a second.
    pub(crate) fn computed(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        [11, 12]
            .map(|at| fields[at].parse::<u64>().unwrap())
            .iter()
            .sum()
    }

    /// Sends SIGTERM; the exit code, and how long it took.
    pub(crate) async fn terminate(&mut self, limit: Duration) -> (Option<i32>, Duration) {
        let clock = Clock::system();
        let signal = Command::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .status();
        assert!(signal.await.unwrap().success());
        let ended = clock.timeout(limit, self.child.wait()).await;
        let ended = ended.expect("the gateway does not stop").unwrap();
        (ended.code(), clock.elapsed())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the gateway has ended")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.start_kill());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Where it serves, once it says so.
async fn serving(log: &Path) -> (SocketAddr, SocketAddr) {
    loop {
        let text = std::fs::read_to_string(log).unwrap();
        let entries = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
        let serving = entries
            .into_iter()
            .find(|entry| entry["message"] == "serving");
        if let Some(entry) = serving {
            let address = |key: &str| entry[key].as_str().unwrap().parse().unwrap();
            return (address("grpc"), address("admin"));
        }
        Clock::system().sleep(Duration::from_millis(20)).await;
    }
}

fn config_text(folder: &Path, lines: &str) -> String {
    format!(
        r#"
[grpc]
listen = "127.0.0.1:0"
{lines}

[admin]
listen = "127.0.0.1:0"

[journal]
url = "sqlite://{}/journal.db"
reserve = "64KiB"

[cloud.endpoint]
override = "http://127.0.0.1:9"

[organizations.development]
default_account = "main"

[organizations.development.accounts.main]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"

[operations]
check_zones = false

[operations.sweep]
interval = "0s"

[log]
format = "json"
"#,
        folder.display()
    )
}
