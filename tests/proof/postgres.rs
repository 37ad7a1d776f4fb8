//! A PostgreSQL server of a test's own, which can be restarted and paused.

use crate::canary::DATABASE_PASSWORD;
use cvm_gateway::clock::Clock;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Makes a cluster, serves it on a Unix socket, prints the socket's folder, and takes everything
/// away when its input ends: that is when the test process ends, however it ends.
const SERVE: &str = r#"
set -eu
cd /
folder=$(mktemp -d)
trap : INT TERM
trap '"$BIN/pg_ctl" -D "$folder/data" -m immediate stop > /dev/null 2>&1; rm -rf "$folder"' EXIT
"$BIN/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync > "$folder/log" 2>&1
cat >> "$folder/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$folder'
max_connections = 200
END
"$BIN/pg_ctl" -D "$folder/data" -l "$folder/log" -w start > /dev/null 2>&1
echo "$folder"
read -r _ || true
"#;

/// Where the server listens, in its folder.
pub(crate) const SOCKET: &str = ".s.PGSQL.5432";

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: PathBuf,
    /// The server lives as long as the input of this is open.
    shell: Child,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let mut shell = unprivileged("sh")
            .args(["-c", SERVE])
            .env("BIN", programs())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot start sh, or setpriv of util-linux, to run PostgreSQL");
        let mut folder = String::new();
        let mut output = BufReader::new(shell.stdout.take().unwrap());
        output.read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "PostgreSQL did not start");
        let folder = PathBuf::from(folder.trim_end());
        Self { folder, shell }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The URL of a database, by the socket in `folder`: the server's, or a proxy's.
    pub(crate) fn url(&self, folder: &Path, database: &str) -> String {
        let folder = folder.display();
        format!("postgres://postgres:{DATABASE_PASSWORD}@localhost/{database}?host={folder}")
    }

    /// A new database; its name.
    pub(crate) async fn new_database(&self) -> String {
        sqlx::any::install_default_drivers();
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let url = self.url(&self.folder, "postgres");
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        let text = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(text).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        name
    }

    /// SIGTERM's kind of end: every connection is cut, and it serves again.
    pub(crate) fn restart(&self) {
        let restarted = unprivileged(programs().join("pg_ctl").to_str().unwrap())
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-m", "fast", "-w", "-l"])
            .arg(self.folder.join("log"))
            .arg("restart")
            .current_dir("/")
            .stdout(Stdio::null())
            .status();
        assert!(restarted.unwrap().success());
    }

    /// All its processes stand still for `time`.
    pub(crate) async fn pause(&self, time: Duration) {
        let pids = self.processes();
        signal("-STOP", &pids);
        Clock::system().sleep(time).await;
        signal("-CONT", &pids);
    }

    /// The server and its children.
    fn processes(&self) -> Vec<String> {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let server = file.lines().next().unwrap().to_owned();
        let children = format!("/proc/{server}/task/{server}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace().map(str::to_owned);
        std::iter::once(server.clone()).chain(children).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().unwrap();
    }
}

/// A child may have ended between the look and the signal, so success is not asked for.
fn signal(signal: &str, pids: &[String]) {
    let sent = Command::new("kill")
        .arg(signal)
        .args(pids)
        .stderr(Stdio::null())
        .status();
    sent.unwrap();
}

/// PostgreSQL refuses to run as root, so root becomes the user that its package made.
fn unprivileged(program: &str) -> Command {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        program,
    ]);
    command
}

/// The folder of initdb, postgres and pg_ctl: where the one in PATH really is, or where Debian and
/// Ubuntu keep them.
#[expect(
    clippy::disallowed_methods,
    reason = "a test looks for programs as a shell does"
)]
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("initdb"));
    let packaged = std::fs::read_dir("/usr/lib/postgresql");
    let packaged = packaged.into_iter().flatten().flatten();
    let packaged = packaged.map(|version| version.path().join("bin/initdb"));
    in_path
        .chain(packaged)
        .filter_map(|program| program.canonicalize().ok())
        .map(|program| program.parent().unwrap().to_owned())
        .find(|folder| folder.join("postgres").is_file() && folder.join("pg_ctl").is_file())
        .expect("no PostgreSQL in PATH or /usr/lib/postgresql: install the package postgresql")
}
