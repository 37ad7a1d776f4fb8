//! The program under a service manager: what it tells, the sockets that it is handed, and those that it
//! makes itself.

use crate::postgres::with_key_file;
use crate::tap::Tap;
use crate::world::{Client, Folder, config_text};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::{TcpListener, UnixDatagram, UnixListener};
use tokio::process::{Child, Command};

/// Longer than a start takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

fn config(folder: &Path, listen: &str) -> PathBuf {
    let text = config_text(folder, "http://127.0.0.1:9", "");
    let text = text.replacen("listen = \"127.0.0.1:0\"", &format!("listen = {listen}"), 1);
    let path = folder.join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// The program, whose descriptor 3 is `handed`, under a manager that hears at `manager`.
fn start(config: &Path, handed: Option<OwnedFd>, manager: &Path) -> Child {
    let hand_over = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$;";
    let script = match handed {
        Some(_) => hand_over,
        None => "",
    };
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{script} exec \"$0\" serve --config \"$1\""))
        .arg(env!("CARGO_BIN_EXE_cvm-gateway"))
        .arg(config)
        .env("NOTIFY_SOCKET", manager)
        .env("WATCHDOG_USEC", "300000")
        .stdin(handed.map_or_else(Stdio::null, Stdio::from))
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command.spawn().unwrap()
}

/// What the manager hears until it hears `awaited`.
async fn heard(manager: &UnixDatagram, awaited: &str) -> Vec<String> {
    let clock = Clock::system();
    let hearing = async {
        let mut heard = Vec::new();
        loop {
            let mut bytes = [0; 512];
            let length = manager.recv(&mut bytes).await.unwrap();
            let text = std::str::from_utf8(&bytes[..length]).unwrap();
            heard.extend(text.lines().map(str::to_owned));
            if text.contains(awaited) {
                return heard;
            }
        }
    };
    let heard = clock.timeout(LONG, hearing).await;
    heard.unwrap_or_else(|| panic!("the manager never hears {awaited}"))
}

async fn signal(child: &Child, signal: &str) {
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill").args([signal, &id]).status();
    assert!(sent.await.unwrap().success());
}

async fn answers(url: String) {
    let mut client = Client::new(Tap::connect(url).await.unwrap());
    let listed = client.list_operations(pb::ListOperationsRequest::default());
    assert!(listed.await.unwrap().into_inner().operations.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_of_start_reload_life_and_stop() {
    let folder = Folder::new();
    let manager = folder.0.join("manager");
    let hears = UnixDatagram::bind(&manager).unwrap();
    let mut child = start(&config(&folder.0, "\"127.0.0.1:0\""), None, &manager);
    let first = heard(&hears, "READY=1").await;
    assert!(!first.iter().any(|line| line == "STOPPING=1"), "{first:?}");
    heard(&hears, "WATCHDOG=1").await;
    heard(&hears, "WATCHDOG=1").await;
    signal(&child, "-HUP").await;
    let reload = heard(&hears, "RELOADING=1").await;
    assert!(
        reload
            .iter()
            .any(|line| line.starts_with("MONOTONIC_USEC=")),
        "{reload:?}"
    );
    heard(&hears, "READY=1").await;
    signal(&child, "-TERM").await;
    heard(&hears, "STOPPING=1").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_are_handed_over_are_served() {
    let folder = Folder::new();
    let manager = folder.0.join("manager");
    let hears = UnixDatagram::bind(&manager).unwrap();
    let config = config(&folder.0, "\"systemd\"");
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let path = folder.0.join("handed.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let rows = [
        (
            format!("http://{}", tcp.local_addr().unwrap()),
            OwnedFd::from(tcp.into_std().unwrap()),
        ),
        (
            format!("unix:{}", path.display()),
            OwnedFd::from(unix.into_std().unwrap()),
        ),
    ];
    for (url, handed) in rows {
        // It is there before the gateway is: who comes early waits.
        let mut child = start(&config, Some(handed), &manager);
        heard(&hears, "READY=1").await;
        answers(url).await;
        signal(&child, "-TERM").await;
        assert_eq!(child.wait().await.unwrap().code(), Some(0));
    }
    // Whose socket it is removes it.
    assert!(path.exists());
    let output = start(&config, None, &manager)
        .wait_with_output()
        .await
        .unwrap();
    assert!(!output.status.success(), "there is no socket");
}

/// A start may wait for its journal as long as others bring it up to date.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_start() {
    let folder = Folder::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let path = config(&folder.0, "\"127.0.0.1:0\"");
    let text = std::fs::read_to_string(&path).unwrap();
    let sqlite = format!("sqlite://{}/journal.db", folder.0.display());
    let address = silent.local_addr().unwrap();
    let postgres = format!("postgres://gateway@{address}/journal?sslmode=disable");
    assert!(text.contains(&sqlite));
    std::fs::write(&path, with_key_file(&text.replace(&sqlite, &postgres))).unwrap();
    let mut child = start(&path, None, &folder.0.join("manager"));
    let (_waits, _) = Clock::system()
        .timeout(LONG, silent.accept())
        .await
        .expect("the journal is not asked for")
        .unwrap();
    signal(&child, "-TERM").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_listeners_are_served_at_once() {
    let folder = Folder::new();
    let manager = folder.0.join("manager");
    let hears = UnixDatagram::bind(&manager).unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let config = config(&folder.0, &format!("[\"{port}\", \"unix:grpc.sock\"]"));
    let mut child = start(&config, None, &manager);
    heard(&hears, "READY=1").await;
    let socket = folder.0.join("grpc.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    answers(format!("http://{port}")).await;
    answers(format!("unix:{}", socket.display())).await;
    signal(&child, "-TERM").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    assert!(!socket.exists(), "the file is left behind");
}
