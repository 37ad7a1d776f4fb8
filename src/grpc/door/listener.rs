//! Where connections come from: TCP ports and sockets of this machine.

use super::places::Origin;
use crate::grpc::auth::Ends;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// A connection as it was taken.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// Where callers come.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<(Socket, Origin)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(tcp),
            Self::Unix(listener) => {
                let (stream, _unnamed) = listener.accept().await?;
                let user = stream.peer_cred()?.uid();
                Ok((Either::Right(stream), Origin::User(user)))
            }
        }
    }
}

fn tcp((stream, address): (TcpStream, SocketAddr)) -> (Socket, Origin) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    (Either::Left(stream), Origin::of(address.ip()))
}

/// Between which addresses a connection is; nothing of one that is gone already.
pub(super) fn ends(socket: &Socket) -> Ends {
    let named = match socket {
        Either::Left(stream) => stream.peer_addr().and_then(|peer| {
            let listener = stream.local_addr()?;
            Ok((peer.to_string(), listener.to_string()))
        }),
        Either::Right(stream) => stream.peer_cred().and_then(|peer| {
            let own = stream.local_addr()?;
            let path = own.as_pathname().unwrap_or(Path::new(""));
            let listener = format!("unix:{}", path.display());
            Ok((format!("user:{}", peer.uid()), listener))
        }),
    };
    let (peer, listener) = named.unwrap_or_default();
    Ends { peer, listener }
}

/// Returns once the other side has said something, or left; of users of this machine perhaps before.
pub(super) async fn readable(socket: &Socket) -> io::Result<()> {
    match socket {
        // A look at the byte itself: a connection that was just taken counts as readable.
        Either::Left(stream) => stream.peek(&mut [0]).await.map(|_length| ()),
        Either::Right(stream) => stream.readable().await,
    }
}
