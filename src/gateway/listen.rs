//! Binds the listeners of the gRPC door: TCP ports, sockets of this machine, and those that a service
//! manager has bound.

use super::GatewayError;
use crate::config::{Grpc, Listen};
use crate::grpc::door::Listener;
use listenfd::ListenFd;
use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// The setting that names the listeners.
const SETTING: &str = "grpc.listen";

/// Listeners that are bound.
#[derive(Debug, Default)]
pub(super) struct Listening {
    pub(super) listeners: Vec<Listener>,
    pub(super) addresses: Vec<Address>,
    /// To be removed at the end.
    pub(super) files: Vec<SocketFile>,
}

/// One of them.
#[derive(Debug)]
struct Bound {
    listener: Listener,
    address: Address,
    file: Option<SocketFile>,
}

/// Where callers come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The file of a socket. It is removed when this is dropped, unless somebody has put another one there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Binds what the settings name.
pub(super) async fn bind(settings: &Grpc) -> Result<Listening, GatewayError> {
    let mut bound = Vec::new();
    for listen in &settings.listen {
        let failed = |source| GatewayError::Listen {
            setting: SETTING,
            address: listen.to_string(),
            source,
        };
        match listen {
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).await;
                bound.push(listener.and_then(tcp).map_err(failed)?);
            }
            Listen::Unix(path) => {
                bound.push(unix(path, settings.unix_socket_mode).map_err(failed)?);
            }
            Listen::Inherited => bound.extend(inherited().map_err(failed)?),
        }
    }
    let mut listening = Listening::default();
    for bound in bound {
        may_be_reached(&bound.address, settings.only_this_machine)?;
        listening.listeners.push(bound.listener);
        listening.addresses.push(bound.address);
        listening.files.extend(bound.file);
    }
    Ok(listening)
}

/// Others than this machine reach a port only when the configuration lets them; of what a service manager
/// has bound it is known only now.
fn may_be_reached(address: &Address, why_not: Option<&'static str>) -> Result<(), GatewayError> {
    match (address, why_not) {
        (Address::Tcp(address), Some(why)) if !address.ip().is_loopback() => {
            Err(GatewayError::Exposed {
                setting: SETTING,
                address: *address,
                why,
            })
        }
        (Address::Tcp(_) | Address::Unix(_), _) => Ok(()),
    }
}

fn tcp(listener: TcpListener) -> io::Result<Bound> {
    Ok(Bound {
        address: Address::Tcp(listener.local_addr()?),
        listener: Listener::Tcp(listener),
        file: None,
    })
}

/// A socket at `path`, for those whom `mode` lets open it. It is made where nobody else comes, and moved
/// to its place when it has its mode: before that nobody connects.
fn unix(path: &Path, mode: u32) -> io::Result<Bound> {
    free_for_socket(path)?;
    let folder = path.with_file_name(format!(".{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let bound = bind_in(&folder, path, mode);
    fs::remove_dir(&folder)?;
    let (listener, file) = bound?;
    Ok(Bound {
        listener: Listener::Unix(listener),
        address: Address::Unix(path.to_owned()),
        file: Some(file),
    })
}

fn bind_in(folder: &Path, path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let made = folder.join("s");
    let listener = UnixListener::bind(&made)?;
    let placed = fs::set_permissions(&made, Permissions::from_mode(mode))
        .and_then(|()| SocketFile::at(&made, path))
        .and_then(|file| fs::rename(&made, path).map(|()| file));
    if placed.is_err() {
        fs::remove_file(&made)?;
    }
    Ok((listener, placed?))
}

/// Whether there is nothing at `path`, or the socket of a process that is gone.
///
/// # Errors
/// [`ErrorKind::AddrInUse`] when a process has it, [`ErrorKind::AlreadyExists`] when it is no socket, and what looking
/// may tell.
pub fn free_for_socket(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let message = "something else is there, which is no socket";
        return Err(io::Error::new(ErrorKind::AlreadyExists, message));
    }
    match net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "the socket is in use")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

/// What a service manager has bound and handed over.
fn inherited() -> io::Result<Vec<Bound>> {
    let mut handed = ListenFd::from_env();
    if handed.len() == 0 {
        let message = "no service manager has handed over a socket (LISTEN_FDS)";
        return Err(io::Error::new(ErrorKind::NotFound, message));
    }
    let numbers = 0..handed.len();
    numbers.map(|number| taken(&mut handed, number)).collect()
}

fn taken(handed: &mut ListenFd, number: usize) -> io::Result<Bound> {
    if let Ok(Some(listener)) = handed.take_tcp_listener(number) {
        listener.set_nonblocking(true)?;
        return tcp(TcpListener::from_std(listener)?);
    }
    let listener = handed
        .take_unix_listener(number)?
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "a socket was handed over twice"))?;
    listener.set_nonblocking(true)?;
    let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
    Ok(Bound {
        listener: Listener::Unix(UnixListener::from_std(listener)?),
        address: Address::Unix(path.unwrap_or_default()),
        file: None,
    })
}

impl SocketFile {
    /// The file that is at `made` and will be at `path`.
    fn at(made: &Path, path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(made)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours && let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::warn!(%error, "the socket {path} stays behind; the next start replaces it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fresh_folder;

    #[tokio::test]
    async fn a_socket_replaces_a_dead_one_and_nothing_else() {
        let folder = fresh_folder("cvm-gateway-socket").unwrap();
        let path = folder.join("grpc.sock");
        let first = unix(&path, 0o660).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(unix(&path, 0o660).unwrap_err().kind(), ErrorKind::AddrInUse);
        // As after a kill: the file stays, nobody listens.
        let Bound { listener, file, .. } = first;
        drop(listener);
        let second = unix(&path, 0o600).unwrap();
        // Who is late leaves the file of who came after.
        drop(file);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        let refused = unix(&path, 0o660).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left");
        fs::remove_dir_all(folder).unwrap();
    }
}
