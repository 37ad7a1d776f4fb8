//! Takes connections, in TLS when that is configured. A handshake has a task of its own, so that a slow
//! one is in nobody's way; how many there are at once, and how long one takes, is limited.

use super::auth::Caller;
use crate::clock::Clock;
use crate::identity::{Gate, Peer};
use crate::metrics;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;

/// After a connection could not be taken, as when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A listener, and what its connections go through.
#[derive(Debug)]
pub struct Door {
    /// Where callers come.
    pub listener: TcpListener,
    /// Whether in TLS.
    pub gate: Gate,
    /// Handshakes at once; further connections wait in the system's queue.
    pub handshakes_max: usize,
    /// How long one may take.
    pub handshake_timeout: Duration,
    pub clock: Clock,
    pub metrics: metrics::Identity,
    /// Ends it.
    pub stopping: CancellationToken,
    /// Where its tasks are.
    pub tasks: TaskTracker,
}

/// A connection that is past its handshake.
#[derive(Debug)]
pub struct Connection {
    io: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    peer: Option<Arc<Peer>>,
}

impl Door {
    /// Opens it: the connections, until it is stopped.
    #[must_use]
    pub fn open(self) -> ReceiverStream<io::Result<Connection>> {
        let (sender, ready) = mpsc::channel(1);
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            let stopping = self.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => {}
                () = self.receive(sender) => {}
            }
        });
        ReceiverStream::new(ready)
    }

    async fn receive(self, ready: mpsc::Sender<io::Result<Connection>>) {
        let handshakes = Arc::new(Semaphore::new(self.handshakes_max));
        while let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    self.clock.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps its delay");
            }
            let (tls, ready) = (self.gate.tls(), ready.clone());
            let handshake = self.handshake(tls, stream);
            self.tasks.spawn(async move {
                if let Some(connection) = handshake.await {
                    // Who stops takes no more connections.
                    drop(ready.send(Ok(connection)).await);
                }
                drop(permit);
            });
        }
    }

    fn handshake(
        &self,
        tls: Option<Arc<ServerConfig>>,
        stream: TcpStream,
    ) -> impl Future<Output = Option<Connection>> + use<> {
        let (clock, limit) = (self.clock.clone(), self.handshake_timeout);
        let (metrics, stopping) = (self.metrics.clone(), self.stopping.clone());
        async move {
            let Some(tls) = tls else {
                return Some(Connection {
                    io: Either::Left(stream),
                    peer: None,
                });
            };
            let handshake = TlsAcceptor::from(tls).accept(stream);
            let shaken = tokio::select! {
                () = stopping.cancelled() => return None,
                shaken = clock.timeout(limit, handshake) => shaken,
            };
            metrics.shook_hands(shaken.as_ref().map(Result::is_ok));
            match shaken {
                Some(Ok(stream)) => Some(Connection::of(stream)),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a handshake failed");
                    None
                }
                None => None,
            }
        }
    }
}

impl Connection {
    fn of(stream: TlsStream<TcpStream>) -> Self {
        let chain = stream.get_ref().1.peer_certificates();
        let chain = chain.map(|chain| chain.iter().cloned().map(CertificateDer::into_owned));
        Self {
            peer: chain.map(|chain| Arc::new(Peer::new(chain.collect()))),
            io: Either::Right(Box::new(stream)),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        Caller {
            peer: self.peer.clone(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
