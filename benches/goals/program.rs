//! The programs that are measured: each a process of its own, asked by /proc what it takes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks at what a process does.
const LOOK: Duration = Duration::from_millis(1);
/// How long a process may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ticks of the clock that /proc/PID/stat counts in, a second: the same on every Linux machine that Rust knows.
const TICKS: f64 = 100.0;

/// A process that serves. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// A folder for one gateway; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Bed {
    folder: PathBuf,
    /// Where it serves gRPC and its side door.
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Program {
    /// A floor: this very program in another role. It says where it serves.
    pub(crate) fn floor(role: &str, argument: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        Self::begin_floor(Command::new(program), role, argument)
    }

    /// A floor that is begun by a command that its arguments are appended to.
    pub(crate) fn begin_floor(mut command: Command, role: &str, argument: &str) -> Self {
        let mut child = command
            .args(["--as", role, argument])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        Self { child, address }
    }

    /// A gateway, from the moment that its port can be connected to.
    pub(crate) fn gateway(bed: &Bed) -> Self {
        let program = Self::begin(bed, Command::new(env!("CARGO_BIN_EXE_cvm-gateway")));
        program.until_connected(bed.grpc);
        program
    }

    /// A gateway that is only begun, by a command that it is appended to.
    pub(crate) fn begin(bed: &Bed, mut command: Command) -> Self {
        let child = command
            .arg("serve")
            .arg("--config")
            .arg(bed.config())
            .stderr(File::create(bed.folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            address: bed.grpc,
        }
    }

    /// Waits until a port of it is open.
    pub(crate) fn until_connected(&self, port: SocketAddr) {
        let start = Instant::now();
        while std::net::TcpStream::connect(port).is_err() {
            assert!(start.elapsed() < PATIENCE, "it does not serve");
            sleep(LOOK);
        }
    }

    /// Seconds of processor time that it took, all its threads together; to a hundredth.
    pub(crate) fn processor_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which is in parentheses, `utime` and `stime` are the 12th and 13th.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks
            .map(|ticks| ticks.parse::<f64>().unwrap())
            .sum::<f64>()
            / TICKS
    }

    /// Bytes of memory that it has.
    pub(crate) fn resident_bytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<f64>().unwrap() * 1024.0
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for its end.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").arg(pid).status().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended before.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

impl Bed {
    /// A gateway of the cloud at `cloud`, with `extra` at the end of its configuration, and rules.
    pub(crate) fn new(cloud: SocketAddr, extra: &str) -> Self {
        Self::telling(cloud, "filter = \"error\"\n", extra)
    }

    /// The same with `log` as its table of the log.
    pub(crate) fn telling(cloud: SocketAddr, log: &str, extra: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("goals-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(folder.join("policy")).unwrap();
        fs::write(folder.join("policy/bench.cedar"), RULES).unwrap();
        let [grpc, admin] = [free_port(), free_port()];
        let bed = Self {
            folder,
            grpc,
            admin,
        };
        fs::write(bed.config(), bed.config_text(cloud, log, extra)).unwrap();
        bed
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("gateway.toml")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The URL of its journal.
    pub(crate) fn journal(&self) -> String {
        format!("sqlite://{}/journal.db", self.folder.display())
    }

    fn config_text(&self, cloud: SocketAddr, log: &str, extra: &str) -> String {
        format!(
            r#"
[grpc]
listen = "{grpc}"
streams_per_connection_max = 50000
[admin]
listen = "{admin}"
[journal]
url = "{journal}"
queue = 100000
[policy]
directory = "policy"
[cloud.endpoint]
override = "http://{cloud}"
[organizations.development]
default_account = "main"
[organizations.development.accounts.main]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"
[log]
{log}{extra}"#,
            grpc = self.grpc,
            admin = self.admin,
            journal = self.journal()
        )
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// The samples of a gateway's metrics page whose series begin with `prefix`.
pub(crate) async fn samples(admin: SocketAddr, prefix: &str) -> Vec<(String, f64)> {
    let page = reqwest::get(format!("http://{admin}/metrics"))
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    let lines = page.lines().filter(|line| line.starts_with(prefix));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    samples
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

/// What Python says, with the official SDK at hand: `make bench` installs it.
pub(crate) fn python(arguments: &[&str]) -> String {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python");
    let output = Command::new(python).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{python}: {error}; run `make bench`"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What everybody may do, and what nobody may.
const RULES: &str = r#"
@id("launch")
permit(principal, action, resource);
@id("no-gpu")
forbid(principal, action == Action::"RunInstances", resource)
when { context has instance_type && context.instance_type like "GN*" };
"#;

/// A port that nobody listens on, below those that the system gives to clients.
fn free_port() -> SocketAddr {
    let mut port = 20_000 + (std::process::id() % 5_000) as u16;
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        port += 1;
        let free = std::net::TcpListener::bind(address).is_ok();
        if free && !TAKEN.lock().unwrap().contains(&address) {
            TAKEN.lock().unwrap().push(address);
            return address;
        }
    }
}

/// Ports that were given out: their servers may not have begun yet.
static TAKEN: std::sync::Mutex<Vec<SocketAddr>> = std::sync::Mutex::new(Vec::new());
