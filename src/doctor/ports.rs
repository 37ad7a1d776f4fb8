//! Whether a gateway could listen where it is told to, or does so already.

use super::{Finding, fail, ok};
use crate::clock::Clock;
use crate::config::{Config, Listen};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CHECK: &str = "ports";
/// The side door itself answers within two seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// A status line and some headers.
const ANSWER_BYTES_MAX: u64 = 8 << 10;

pub(super) async fn examine(config: &Config, clock: &Clock) -> Vec<Finding> {
    let side_door = config.admin_listen;
    let asked = clock.timeout(ANSWER_WITHIN, is_gateway(side_door)).await;
    let runs = asked.is_some_and(|asked| asked.unwrap_or(false));
    let mut findings = vec![port("admin.listen", side_door, runs).await];
    for listen in &config.grpc.listen {
        findings.push(match listen {
            Listen::Tcp(address) => port("grpc.listen", *address, runs).await,
            Listen::Unix(path) => socket(path, runs),
            Listen::Inherited => ok(CHECK, "grpc.listen", "a service manager binds it"),
        });
    }
    findings
}

/// A port is free when it can be had. It is given back at once.
async fn port(setting: &str, address: SocketAddr, runs: bool) -> Finding {
    let subject = format!("{setting} {address}");
    judge(&subject, TcpListener::bind(address).await.map(drop), runs)
}

/// The socket of a process that is gone is replaced at the start.
fn socket(path: &Path, runs: bool) -> Finding {
    let subject = format!("grpc.listen unix:{}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let bound = match UnixStream::connect(path) {
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::NotFound && !folder.is_dir() => Err(error),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        Err(_) => Ok(()),
    };
    judge(&subject, bound, runs)
}

fn judge(subject: &str, bound: io::Result<()>, runs: bool) -> Finding {
    let Err(error) = bound else {
        return ok(CHECK, subject, "it is free");
    };
    let kind = error.kind();
    if kind == ErrorKind::AddrInUse && runs {
        return ok(CHECK, subject, "a gateway that runs has it");
    }
    let (says, fix) = if kind == ErrorKind::AddrInUse {
        let fix = "end what listens there (`ss -ltnp`), or name another address";
        ("something else has it".to_owned(), fix)
    } else if kind == ErrorKind::AddrNotAvailable {
        let fix = "name an address of this machine";
        ("this machine has no such address".to_owned(), fix)
    } else if kind == ErrorKind::PermissionDenied {
        let fix = "name a port above 1023 or another folder, or let the service's user have it";
        ("this user may not have it".to_owned(), fix)
    } else {
        (error.to_string(), "name another address")
    };
    fail(CHECK, subject, says, fix)
}

/// Whether the side door of a gateway answers at `address`.
async fn is_gateway(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    let mut stream = stream.take(ANSWER_BYTES_MAX);
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1."))
}
