//! Whether a gateway could listen where it is told to, or does so already.

use super::{Finding, fail, ok, side_door};
use crate::clock::Clock;
use crate::config::{Config, Listen};
use crate::gateway::free_for_socket;
use rustix::fs::{Access, access};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpListener;

const CHECK: &str = "ports";

pub(super) async fn examine(config: &Config, clock: &Clock) -> Vec<Finding> {
    let asked = side_door::ask(config.admin_listen, "/livez", clock).await;
    let runs = asked.is_ok_and(|answer| is_gateway(&answer));
    let mut findings = vec![port("admin.listen", config.admin_listen, runs).await];
    for listen in &config.grpc.listen {
        findings.push(match listen {
            Listen::Tcp(address) => port("grpc.listen", *address, runs).await,
            Listen::Unix(path) => socket(path, runs),
            Listen::Inherited => ok(CHECK, "grpc.listen", "a service manager binds it"),
        });
    }
    findings
}

/// Whether the answer is the one that a gateway's side door has to `/livez`.
fn is_gateway(answer: &str) -> bool {
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    side_door::is_ok(answer) && body == Some("ok\n")
}

/// A port is free when it can be had. It is given back at once.
async fn port(setting: &str, address: SocketAddr, runs: bool) -> Finding {
    let subject = format!("{setting} {address}");
    judge(&subject, TcpListener::bind(address).await.map(drop), runs)
}

fn socket(path: &Path, runs: bool) -> Finding {
    let subject = format!("grpc.listen unix:{}", path.display());
    judge(&subject, free(path), runs)
}

/// As the start judges it: there must be nothing, or the socket of a process that is gone, in a folder where
/// another one can be made.
fn free(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    access(
        folder.unwrap_or(Path::new(".")),
        Access::WRITE_OK | Access::EXEC_OK,
    )?;
    free_for_socket(path)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fresh_folder;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    /// Root may write into every folder, so that what may be is found out as a start does.
    #[test]
    fn a_socket_is_judged_as_the_start_does() {
        let folder = fresh_folder("cvm-gateway-ports").unwrap();
        let [file, dead, served, shut] =
            ["file", "dead", "served", "shut"].map(|it| folder.join(it));
        fs::write(&file, "").unwrap();
        drop(UnixListener::bind(&dead).unwrap());
        let listener = UnixListener::bind(&served).unwrap();
        fs::create_dir(&shut).unwrap();
        fs::set_permissions(&shut, Permissions::from_mode(0o500)).unwrap();
        let kind = |path: &Path| free(path).map_err(|error| error.kind());
        assert_eq!(kind(Path::new("no-folder.sock")), Ok(()), "in this one");
        assert_eq!(kind(&folder.join("none")), Ok(()));
        assert_eq!(kind(&dead), Ok(()));
        assert_eq!(kind(&file), Err(ErrorKind::AlreadyExists));
        assert_eq!(kind(&served), Err(ErrorKind::AddrInUse));
        assert_eq!(kind(&folder.join("no/one")), Err(ErrorKind::NotFound));
        let made = fs::create_dir(shut.join("made")).map_err(|error| error.kind());
        assert_eq!(kind(&shut.join("one")), made);
        drop(listener);
        fs::set_permissions(&shut, Permissions::from_mode(0o700)).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn another_server_is_no_gateway() {
        for (answer, expected) in [
            ("HTTP/1.0 200 OK\r\na: b\r\n\r\nok\n", true),
            ("HTTP/1.1 404 Not Found\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", false),
            ("HTTP/1.1 401 Unauthorized\r\n\r\nok\n", false),
            ("", false),
        ] {
            assert_eq!(is_gateway(answer), expected, "{answer}");
        }
    }
}
