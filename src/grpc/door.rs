//! Takes connections and owns each of them to its end: how many there are, and how long one may be silent,
//! shake hands, live, and take to leave.

mod connection;
mod greeted;
mod listener;
mod places;

pub use listener::Listener;

use super::admission::Admission;
use super::auth::Auth;
use super::observe::Observe;
use super::only_grpc::OnlyGrpc;
use super::web::Web;
use crate::clock::Clock;
use crate::identity::{Errand, Gate};
use crate::metrics::{self, Pressure, Refused};
use crate::random::Random;
use places::{Origin, Place, Places};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

/// After a connection could not be taken, as when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What answers the calls of all connections.
pub type Calls = Web<Observe<OnlyGrpc<Auth<Admission<Routes>>>>>;

/// What connections are held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections at once.
    pub connections_max: usize,
    /// And of one peer.
    pub connections_per_peer_max: usize,
    /// How long one may take to begin: the hello of TLS, and the greeting of HTTP/2.
    pub first_byte_timeout: Duration,
    /// How long a TLS handshake may take from there.
    pub handshake_timeout: Duration,
    /// How many there may be at once.
    pub handshakes_max: usize,
    /// Streams at once on one connection.
    pub streams_per_connection_max: u32,
    /// Largest header list of a request.
    pub header_list_bytes_max: u32,
    /// Streams that a peer opened and took back before they were looked at.
    pub resets_pending_max: usize,
    /// Streams that a peer made the gateway take back by breaking the protocol.
    pub resets_by_error_max: usize,
    /// How often an idle connection is pinged.
    pub keepalive_interval: Duration,
    /// How long a ping may go unanswered.
    pub keepalive_timeout: Duration,
    /// How old a connection becomes, give or take a tenth; zero: as old as it likes.
    pub connection_age_max: Duration,
    /// How long its streams may go on then.
    pub connection_age_grace: Duration,
}

/// Listeners, and what their connections go through.
#[derive(Debug)]
pub struct Door {
    /// Who is let in, and whether in TLS.
    pub gate: Gate,
    pub calls: Arc<Calls>,
    pub settings: Settings,
    /// How long a call may take to its answer.
    pub answer_within: Duration,
    pub clock: Clock,
    pub random: Random,
    pub metrics: metrics::Connections,
    pub handshakes: metrics::Identity,
    pub pressure: watch::Receiver<Pressure>,
    /// Begins the end: nobody is taken any more, and who is here is asked to leave.
    pub stopping: CancellationToken,
    /// Ends it: who is still here is dropped.
    pub stopped: CancellationToken,
    /// Where its tasks are.
    pub tasks: TaskTracker,
}

/// A door that is open.
#[derive(Debug)]
struct Open {
    door: Door,
    places: Places,
    handshakes: Semaphore,
}

impl Door {
    /// Opens it: what takes who comes to each of `listeners`, and keeps a reserve. It goes on until it is dropped.
    #[must_use]
    pub fn open(self, listeners: Vec<Listener>) -> Vec<Errand> {
        let settings = &self.settings;
        let open = Arc::new(Open {
            places: Places::new(
                settings.connections_max,
                settings.connections_per_peer_max,
                settings.handshakes_max,
                self.metrics.clone(),
            ),
            handshakes: Semaphore::new(settings.handshakes_max),
            door: self,
        });
        let receive = |listener| -> Errand { Box::pin(Arc::clone(&open).receive(listener)) };
        let pressure = open.door.pressure.clone();
        let reserve: Errand = Box::pin(open.places.clone().keep_reserve(pressure));
        listeners
            .into_iter()
            .map(receive)
            .chain([reserve])
            .collect()
    }
}

impl Open {
    async fn receive(self: Arc<Self>, listener: Listener) {
        let mut short = false;
        loop {
            match listener.accept().await {
                Ok((socket, origin)) => {
                    short = false;
                    match self.place(origin) {
                        Ok(place) => self.own(socket, place),
                        // Closed at once: its client learns early to try another gateway.
                        Err(refused) => self.door.metrics.refused(refused),
                    }
                }
                Err(error) if is_of_one(&error) => {}
                Err(error) => {
                    self.door.metrics.refused(Refused::Resources);
                    if !std::mem::replace(&mut short, true) {
                        tracing::warn!(%error, "connections cannot be taken; they wait");
                    }
                    self.door.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn place(&self, origin: Origin) -> Result<Place, Refused> {
        let pressure = *self.door.pressure.borrow();
        self.places.take(origin, pressure)
    }

    /// Gives a connection a task of its own, so that a slow one is in nobody's way.
    fn own(self: &Arc<Self>, socket: listener::Socket, place: Place) {
        let open = Arc::clone(self);
        self.door.tasks.spawn(async move {
            let ended = open.live(socket, &place).await;
            open.door.metrics.ended(ended);
            drop(place);
        });
    }
}

/// Whether an error of accepting is about the one connection that was to be taken, which is gone.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
