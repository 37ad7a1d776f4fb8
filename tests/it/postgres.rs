//! A PostgreSQL server of our own: one for the test binary, one database for each test.

use crate::canary::{self, DATABASE_PASSWORD, JOURNAL_KEY};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Makes a cluster, serves it on a Unix socket, prints the socket's folder, and takes everything
/// away when its input ends: that is when the test process ends, however it ends.
const SERVE: &str = r#"
set -eu
cd /
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap : INT TERM
if ! "$BIN/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync \
    > "$folder/log" 2>&1; then
    cat "$folder/log" >&2
    exit 1
fi
"$BIN/postgres" -D "$folder/data" -c listen_addresses= -c "unix_socket_directories=$folder" \
    -c max_connections=300 -c wal_keep_size=8192 > "$folder/log" 2>&1 < /dev/null &
server=$!
until "$BIN/pg_isready" -q -h "$folder"; do
    if ! kill -0 $server; then
        cat "$folder/log" >&2
        exit 1
    fi
    sleep 0.05
done
echo "$folder"
read -r _ || true
kill -INT $server
wait $server || true
"#;

/// The key that the samples of the migrations are sealed with.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A new database on the server, as a URL.
pub(crate) async fn new_database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = server();
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = connect(&server.url("postgres")).await;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    server.url(&name)
}

/// Searches what is in a database, and what the server has written since the last time.
pub(crate) async fn examine(url: &str) {
    canary::examine_database(url).await;
    examine_log(&mut connect(url).await).await;
}

/// As [`examine`], where nothing may be waited for.
pub(crate) fn examine_now(url: &str) {
    let url = url.to_owned();
    let examined = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .unwrap()
            .block_on(async move { examine(&url).await });
    });
    examined.join().unwrap();
}

/// Searches the log that every byte goes through, also those that are deleted by now. It begins with the
/// second of its files of 16 MiB, of the first timeline.
async fn examine_log(connection: &mut AnyConnection) {
    const FILE: i64 = 16 << 20;
    static READ: tokio::sync::Mutex<i64> = tokio::sync::Mutex::const_new(FILE);
    let mut read = READ.lock().await;
    let end = "SELECT CAST(pg_current_wal_flush_lsn() - CAST('0/0' AS pg_lsn) AS BIGINT)";
    let end: i64 = sqlx::query_scalar(end)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    while *read < end {
        let (file, from) = (*read / FILE, *read % FILE);
        let length = (end - *read).min(FILE - from);
        let name = format!("pg_wal/{:08X}{:08X}{:08X}", 1, file / 256, file % 256);
        let piece = sqlx::query("SELECT pg_read_binary_file($1, $2, $3)");
        let piece = piece.bind(name).bind(from).bind(length);
        let piece = piece.fetch_one(&mut *connection).await.unwrap();
        canary::examine("the database's log", piece.get::<Vec<u8>, _>(0));
        *read += length;
    }
}

/// A file with a key, for all journals of this process that are in a database.
pub(crate) fn key_file() -> PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let name = format!("journal-{}.key", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&path).unwrap();
        writeln!(file, "{JOURNAL_KEY}\n{KEY}").unwrap();
        path
    };
    FILE.get_or_init(make).clone()
}

/// The configuration with that file.
pub(crate) fn with_key_file(text: &str) -> String {
    let table = format!("[journal]\nkey_file = \"{}\"\n", key_file().display());
    assert!(text.contains("[journal]\n"));
    text.replacen("[journal]\n", &table, 1)
}

/// A connection beside the store's, to look or to break things.
pub(crate) async fn connect(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(url).await.unwrap()
}

/// A proxy before the server that can lose the answer to a COMMIT, or all answers.
pub(crate) struct Proxy {
    folder: PathBuf,
    armed: Arc<Armed>,
    stop: CancellationToken,
}

/// What becomes of the next COMMIT, which is carried out, and of the next statement that is prepared already.
#[derive(Default)]
struct Armed {
    lose: AtomicBool,
    fall_silent: AtomicBool,
    silence_a_read: AtomicBool,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let proxy = Self {
            folder: std::env::temp_dir().join(format!("cvm-gateway-{}", uuid::Uuid::new_v4())),
            armed: Arc::default(),
            stop: CancellationToken::new(),
        };
        std::fs::create_dir(&proxy.folder).unwrap();
        let listener = UnixListener::bind(proxy.folder.join(SOCKET)).unwrap();
        let (armed, stop) = (Arc::clone(&proxy.armed), proxy.stop.clone());
        let tasks = TaskTracker::new();
        tasks
            .clone()
            .spawn(stop.run_until_cancelled_owned(async move {
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    tasks.spawn(relay(client, Arc::clone(&armed)));
                }
            }));
        proxy
    }

    /// The URL of a database behind the proxy.
    pub(crate) fn url(&self, direct: &str) -> String {
        direct.replace(&server().folder, self.folder.to_str().unwrap())
    }

    /// The next COMMIT is carried out, and its connection is cut before the answer.
    pub(crate) fn lose_next_commit(&self) {
        self.armed.lose.store(true, Ordering::SeqCst);
    }

    /// The next COMMIT is carried out, and nothing more is heard on its connection, which stays open.
    pub(crate) fn fall_silent_at_next_commit(&self) {
        self.armed.fall_silent.store(true, Ordering::SeqCst);
    }

    /// Nothing more is heard on the connection on which the next statement comes that is prepared already; it stays
    /// open.
    pub(crate) fn fall_silent_at_next_read(&self) {
        self.armed.silence_a_read.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_lost_it(&self) -> bool {
        let Armed {
            lose,
            fall_silent,
            silence_a_read,
        } = &*self.armed;
        let armed = [lose, fall_silent, silence_a_read];
        armed.iter().all(|armed| !armed.load(Ordering::SeqCst))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

async fn relay(mut client: UnixStream, armed: Arc<Armed>) {
    let socket = PathBuf::from(&server().folder).join(SOCKET);
    let mut server = UnixStream::connect(socket).await.unwrap();
    let (mut question, mut answer) = ([0; 65536], [0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut question) => {
                let Ok(length @ 1..) = read else { return };
                let asked = &question[..length];
                // Bind, without a Parse before it.
                if asked[0] == b'B' && armed.silence_a_read.swap(false, Ordering::SeqCst) {
                    while client.read(&mut question).await.is_ok_and(|length| length > 0) {}
                    return;
                }
                server.write_all(asked).await.unwrap();
                let is_commit = asked.windows(7).any(|bytes| bytes == b"COMMIT\0");
                if is_commit && armed.lose.swap(false, Ordering::SeqCst) {
                    assert_ne!(server.read(&mut answer).await.unwrap(), 0);
                    return;
                }
                if is_commit && armed.fall_silent.swap(false, Ordering::SeqCst) {
                    while client.read(&mut question).await.is_ok_and(|length| length > 0) {}
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

const SOCKET: &str = ".s.PGSQL.5432";

struct Server {
    folder: String,
    /// The server lives as long as the input of this is open.
    _shell: Child,
}

impl Server {
    fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres:{DATABASE_PASSWORD}@localhost/{database}?host={}",
            self.folder
        )
    }
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start)
}

fn start() -> Server {
    let mut command = unprivileged_shell();
    let mut shell = command
        .args(["-c", SERVE])
        .env("BIN", programs())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cannot start sh, or setpriv of util-linux, to run PostgreSQL");
    let mut folder = String::new();
    let mut output = BufReader::new(shell.stdout.take().unwrap());
    output.read_line(&mut folder).unwrap();
    if folder.is_empty() {
        let mut errors = String::new();
        shell
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        shell.wait().unwrap();
        panic!("PostgreSQL did not start:\n{errors}");
    }
    Server {
        folder: folder.trim_end().to_owned(),
        _shell: shell,
    }
}

/// PostgreSQL refuses to run as root, so root becomes the user that its package made.
fn unprivileged_shell() -> Command {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        return Command::new("sh");
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        "sh",
    ]);
    command
}

/// The folder of initdb, postgres and pg_isready: where the one in PATH really is, or where
/// Debian and Ubuntu keep them.
#[expect(
    clippy::disallowed_methods,
    reason = "a test looks for programs as a shell does"
)]
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("initdb"));
    let packaged = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let packaged = packaged
        .flatten()
        .map(|version| version.path().join("bin/initdb"));
    in_path
        .chain(packaged)
        .filter_map(|program| program.canonicalize().ok())
        .map(|program| program.parent().unwrap().to_owned())
        .find(|folder| folder.join("postgres").is_file() && folder.join("pg_isready").is_file())
        .expect(
            "no PostgreSQL in PATH or /usr/lib/postgresql: \
             install the package postgresql (Debian, Ubuntu) or postgresql-server (Fedora)",
        )
}
