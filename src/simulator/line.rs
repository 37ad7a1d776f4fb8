//! The connection under an answer, on which a scene can cut, reset, hush, slow or repeat the bytes.

use super::catalog::scenes::{Drip, Ending};
use super::tls::Connection;
use crate::clock::Clock;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// How long a silent connection stays open.
const SILENCE_MAX: Duration = Duration::from_secs(3600);

/// A listener whose connections can be treated so.
#[derive(Debug)]
pub(super) struct Lines<L> {
    pub(super) listener: L,
    pub(super) clock: Clock,
    pub(super) stopping: CancellationToken,
}

/// One connection.
pub(super) struct Line<S> {
    stream: S,
    handle: Handle,
    clock: Clock,
    stopping: CancellationToken,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Decides what becomes of the bytes that a connection is given next.
#[derive(Clone, Debug, Default)]
pub(super) struct Handle(Arc<Mutex<Treatment>>);

/// What becomes of the bytes of an answer.
#[derive(Debug, Default)]
enum Treatment {
    #[default]
    Pass,
    /// So many pass, then comes the end.
    Until(usize, End),
    Drip(Drip),
    /// What has passed, to be sent once more.
    Twice(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Reset,
    Silence,
}

/// A connection that can be broken off without a farewell.
pub(super) trait Reset {
    fn reset(&self);
}

impl Reset for TcpStream {
    fn reset(&self) {
        if let Err(error) = self.set_zero_linger() {
            tracing::debug!(%error, "a connection is closed, not reset");
        }
    }
}

impl Reset for Connection {
    fn reset(&self) {
        match self {
            Self::Left(stream) => stream.reset(),
            Self::Right(stream) => stream.get_ref().0.reset(),
        }
    }
}

impl Handle {
    /// Treats the next answer as its scene says; nothing is left of the scene before.
    pub(super) fn treat(&self, ending: Option<&Ending>) {
        let treatment = match ending {
            Some(Ending::CutAfter(bytes)) => Treatment::Until(*bytes, End::Close),
            Some(Ending::ResetAfter(bytes)) => Treatment::Until(*bytes, End::Reset),
            Some(Ending::SilentAfter(bytes)) => Treatment::Until(*bytes, End::Silence),
            Some(Ending::Drip(drip)) => Treatment::Drip(*drip),
            Some(Ending::Twice) => Treatment::Twice(Vec::new()),
            Some(
                Ending::Answer
                | Ending::Cut
                | Ending::Status(_)
                | Ending::Body(_)
                | Ending::Error(_),
            )
            | None => Treatment::Pass,
        };
        *self.lock() = treatment;
    }

    fn lock(&self) -> MutexGuard<'_, Treatment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Listener<Io: Reset>> Listener for Lines<L> {
    type Io = Line<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, from) = self.listener.accept().await;
        let line = Line {
            stream,
            handle: Handle::default(),
            clock: self.clock.clone(),
            stopping: self.stopping.clone(),
            pause: None,
        };
        (line, from)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl<L: Listener<Io: Reset>> Connected<IncomingStream<'_, Lines<L>>> for Handle {
    fn connect_info(stream: IncomingStream<'_, Lines<L>>) -> Self {
        stream.io().handle.clone()
    }
}

impl<S> fmt::Debug for Line<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl<S: AsyncWrite + Unpin + Reset> Line<S> {
    /// Waits out the pause, if there is one; it ends early when the simulator stops.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn pause(&mut self, duration: Duration) {
        let (clock, stopping) = (self.clock.clone(), self.stopping.clone());
        self.pause = Some(Box::pin(async move {
            tokio::select! {
                () = clock.sleep(duration) => {}
                () = stopping.cancelled() => {}
            }
        }));
    }

    /// What comes when enough bytes have passed.
    fn poll_end(&mut self, cx: &mut Context<'_>, end: End) -> Poll<io::Error> {
        // TLS holds bytes back that were let pass.
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_flush(cx)) {
            return Poll::Ready(error);
        }
        match end {
            End::Close => {}
            End::Reset => self.stream.reset(),
            End::Silence => {
                if self.pause.is_none() {
                    self.pause(SILENCE_MAX);
                }
                ready!(self.poll_pause(cx));
            }
        }
        let broken = io::Error::new(io::ErrorKind::BrokenPipe, "as the scene says");
        Poll::Ready(broken)
    }

    /// Sends a part of what is to be sent twice; ready when nothing is left.
    fn poll_repeat(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let handle = self.handle.clone();
        let mut treatment = handle.lock();
        let Treatment::Twice(rest) = &mut *treatment else {
            return Poll::Ready(Ok(()));
        };
        if rest.is_empty() {
            return Poll::Ready(Ok(())); // it has not begun
        }
        while !rest.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            drop(rest.drain(..sent));
        }
        *treatment = Treatment::Pass;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin + Reset> AsyncWrite for Line<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let handle = this.handle.clone();
        let mut treatment = handle.lock();
        match &mut *treatment {
            Treatment::Pass => Pin::new(&mut this.stream).poll_write(cx, bytes),
            Treatment::Until(0, end) => this.poll_end(cx, *end).map(Err),
            Treatment::Until(left, _) => {
                let part = bytes.get(..*left).unwrap_or(bytes);
                let sent = ready!(Pin::new(&mut this.stream).poll_write(cx, part))?;
                *left = left.saturating_sub(sent);
                Poll::Ready(Ok(sent))
            }
            Treatment::Drip(drip) => {
                ready!(this.poll_pause(cx));
                let part = bytes.get(..drip.bytes.get()).unwrap_or(bytes);
                let sent = ready!(Pin::new(&mut this.stream).poll_write(cx, part))?;
                this.pause(drip.pause());
                Poll::Ready(Ok(sent))
            }
            Treatment::Twice(passed) => {
                let sent = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
                passed.extend_from_slice(bytes.get(..sent).unwrap_or_default());
                Poll::Ready(Ok(sent))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_repeat(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, into)
    }
}
