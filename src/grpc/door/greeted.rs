//! A connection that tells when its other side has said hello, and whether it still speaks, and lets others have their turn.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// What every HTTP/2 connection begins with: `PRI * HTTP/2.0` and so on.
const GREETING_BYTES: usize = 24;

/// Bytes of one connection before others have their turn: most calls have fewer, and they may be two hundred
/// frames. Without it a flood of them holds a thread for as long as it comes in.
const TURN_BYTES: usize = 2 << 10;

/// A connection whose first bytes are waited for.
#[derive(Debug)]
pub(super) struct Greeted<T> {
    io: T,
    /// Bytes of the present turn.
    turn: usize,
    /// Bytes of the greeting still to come.
    left: usize,
    heard: Option<oneshot::Sender<()>>,
    speaks: Arc<AtomicBool>,
}

impl<T> Greeted<T> {
    /// Resolves the receiver when as many bytes were read as the greeting has. Whether it is one is
    /// judged by who reads it. Sets `speaks` whenever anything was read.
    pub(super) fn new(io: T, speaks: Arc<AtomicBool>) -> (Self, oneshot::Receiver<()>) {
        let (heard, greeting) = oneshot::channel();
        let greeted = Self {
            io,
            turn: 0,
            left: GREETING_BYTES,
            heard: Some(heard),
            speaks,
        };
        (greeted, greeting)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Greeted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // A piece of its own, for to hand out a part of the buffer would be to write all of it.
        let mut piece = [0; TURN_BYTES];
        let most = buffer.remaining().min(TURN_BYTES);
        let mut piece = ReadBuf::new(piece.get_mut(..most).unwrap_or_default());
        let read = Pin::new(&mut self.io).poll_read(context, &mut piece);
        let bytes = piece.filled().len();
        buffer.put_slice(piece.filled());
        if bytes > 0 {
            self.speaks.store(true, Ordering::Relaxed);
        }
        self.turn = if read.is_ready() {
            self.turn + bytes
        } else {
            0
        };
        if self.heard.is_some() {
            self.left = self.left.saturating_sub(bytes);
            let enough = self.left == 0;
            if let Some(heard) = self.heard.take_if(|_| enough) {
                // Nobody may wait any more, when the connection is ending.
                let _unheard = heard.send(());
            }
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Greeted<T> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn it_is_told_once_the_whole_greeting_was_read() {
        let (mut far, near) = duplex(64);
        let (mut greeted, mut greeting) = Greeted::new(near, Arc::default());
        let mut buffer = [0; 64];
        for (write, told) in [(1, false), (22, false), (1, true), (9, true)] {
            far.write_all(&vec![7; write]).await.unwrap();
            assert_eq!(greeted.read(&mut buffer).await.unwrap(), write);
            let now = greeting.try_recv() != Err(oneshot::error::TryRecvError::Empty);
            assert_eq!(now, told, "after {write} more");
        }
    }

    #[tokio::test]
    async fn others_have_their_turn_between_reads() {
        let (mut far, near) = duplex(4 * TURN_BYTES);
        far.write_all(&[7; 4 * TURN_BYTES]).await.unwrap();
        let (mut greeted, _greeting) = Greeted::new(near, Arc::default());
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut turns = Vec::new();
        for _ in 0..6 {
            let mut half = [0; TURN_BYTES / 2];
            let mut buffer = ReadBuf::new(&mut half);
            let read = Pin::new(&mut greeted).poll_read(&mut context, &mut buffer);
            turns.push(read.is_ready());
        }
        let turn = [true, true, false];
        assert_eq!(turns, [turn, turn].concat());
    }
}
