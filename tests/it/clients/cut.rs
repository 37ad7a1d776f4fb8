//! A proxy that has no luck with its first connection, and cuts the others when a test says so.

use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// A running proxy.
#[derive(Debug)]
pub(super) struct Cut {
    addr: SocketAddr,
    cuts: watch::Sender<usize>,
    _accepting: AbortOnDropHandle<()>,
}

impl Cut {
    /// Before the server at this address.
    pub(super) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let cuts = watch::Sender::new(0);
        let own = cuts.clone();
        let accept = TaskTracker::new().spawn(async move {
            // Closed before a word was said.
            drop(listener.accept().await);
            let connections = TaskTracker::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(relay(client, server, own.subscribe()));
            }
        });
        Self {
            addr,
            cuts,
            _accepting: AbortOnDropHandle::new(accept),
        }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts every connection.
    pub(super) fn now(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How often it was told to.
    pub(super) fn count(&self) -> usize {
        *self.cuts.borrow()
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr, mut cut: watch::Receiver<usize>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    tokio::select! {
        // Whoever ends a connection ends it for the other one, too.
        _ended = copy_bidirectional(&mut client, &mut server) => {}
        _told = cut.changed() => {}
    }
}
