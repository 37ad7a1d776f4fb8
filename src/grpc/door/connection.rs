//! The life of one connection, from its first byte to its last.

use super::greeted::Greeted;
use super::listener::{Socket, ends, readable};
use super::places::Place;
use super::{Calls, Open, Settings};
use crate::clock::Clock;
use crate::grpc::auth::{Caller, Ends};
use crate::grpc::health;
use crate::identity::Peer;
use crate::metrics::{Ended, Pressure};
use h2::Reason;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TrackedFuture;
use tonic::body::Body;
use tower::ServiceExt;
use tower::util::Oneshot;

/// How long a connection may take to close when no call is left on it, and its streams to take in why
/// they end. Who is gone does not answer.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// What a peer may send on one stream before it was read: the largest request by default.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// And on all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What is kept of one stream for a peer that reads slowly, beside the message that is being sent.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// The part of their age within which those leave that could not while hardly a connection was taken.
const LATE_PART: u32 = 10;

/// A connection that HTTP/2 can begin on.
type Io = Either<Socket, Box<TlsStream<Socket>>>;
/// HTTP/2 on one.
type Connection = http2::Connection<TokioIo<Greeted<Io>>, Introduced, Spawner>;

/// A conversation, as it begins.
struct Talk {
    /// In a box, for else a future that it goes through would have room for it twice.
    connection: Pin<Box<Connection>>,
    /// Resolves when the other side has said hello.
    greeting: oneshot::Receiver<()>,
    /// Is set whenever the other side has said anything.
    speaks: Arc<AtomicBool>,
    /// Asks the streams to end.
    leaving: CancellationToken,
    calls: TaskTracker,
    /// Those of the calls whose answer has not begun.
    unanswered: TaskTracker,
}

impl Open {
    /// Takes a connection to its end.
    pub(super) async fn live(&self, socket: Socket, place: &Place) -> Ended {
        tokio::select! {
            biased;
            () = self.door.stopped.cancelled() => Ended::Stop,
            lived = self.steps(socket, place) => lived.unwrap_or_else(|ended| ended),
        }
    }

    /// What is done one after the other, the large of it in boxes of its own, so that thousands that are silent or
    /// idle take little.
    async fn steps(&self, socket: Socket, place: &Place) -> Result<Ended, Ended> {
        Box::pin(self.first_byte(&socket)).await?;
        let ends = Arc::new(ends(&socket));
        let (io, peer) = match self.door.gate.tls() {
            Some(tls) => Box::pin(self.secure(socket, tls, place)).await?,
            None => (Either::Left(socket), None),
        };
        let talk = self.begin(io, peer, ends);
        Ok(self.talk(talk).await)
    }

    async fn first_byte(&self, socket: &Socket) -> Result<(), Ended> {
        let silent = self.door.settings.first_byte_timeout;
        let heard = self.within(silent, Ended::Silent, readable(socket));
        heard.await?.or(Err(Ended::Client))
    }

    /// The connection in TLS, and who its other side has shown to be.
    async fn secure(
        &self,
        socket: Socket,
        tls: Arc<ServerConfig>,
        place: &Place,
    ) -> Result<(Io, Option<Arc<Peer>>), Ended> {
        let silent = self.door.settings.first_byte_timeout;
        let hello = LazyConfigAcceptor::new(Acceptor::default(), socket);
        let hello = self.within(silent, Ended::Silent, hello).await?;
        let shaken = self.shake_hands(hello, tls, place).await;
        self.count(&shaken);
        let stream = shaken?.or(Err(Ended::Handshake))?;
        let peer = peer(&stream);
        Ok((Either::Right(Box::new(stream)), peer))
    }

    /// Who was silent so far has kept nobody from a handshake; from here on there are so many at once, and fewer of
    /// one origin: who leaves many half done is in the way of nobody else.
    async fn shake_hands(
        &self,
        hello: io::Result<StartHandshake<Socket>>,
        tls: Arc<ServerConfig>,
        place: &Place,
    ) -> Result<io::Result<TlsStream<Socket>>, Ended> {
        let limit = self.door.settings.handshake_timeout;
        let turns = async {
            let of_origin = place.handshakes().acquire().await;
            (of_origin, self.handshakes.acquire().await)
        };
        let _turns = self.within(limit, Ended::Handshake, turns).await?;
        let shaken = async { hello?.into_stream(tls).await };
        self.within(limit, Ended::Handshake, shaken).await
    }

    fn count<T>(&self, shaken: &Result<io::Result<T>, Ended>) {
        let metrics = &self.door.handshakes;
        match shaken {
            Ok(Ok(_)) => metrics.shook_hands(Some(true)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                metrics.shook_hands(Some(false));
            }
            Err(Ended::Handshake) => metrics.shook_hands(None),
            Err(_) => {}
        }
    }

    /// Begins HTTP/2.
    fn begin(&self, io: Io, peer: Option<Arc<Peer>>, ends: Arc<Ends>) -> Talk {
        let speaks = Arc::default();
        let (io, greeting) = Greeted::new(io, Arc::clone(&speaks));
        let leaving = CancellationToken::new();
        let introduced = Introduced {
            calls: Arc::clone(&self.door.calls),
            caller: Caller {
                peer,
                ends,
                leaving: leaving.clone(),
                health_watches: health::watches(),
            },
            unanswered: TaskTracker::new(),
        };
        let unanswered = introduced.unanswered.clone();
        let spawner = Spawner {
            here: TaskTracker::new(),
            all: self.door.tasks.clone(),
        };
        let calls = spawner.here.clone();
        let http = http(&self.door.settings, spawner);
        Talk {
            connection: Box::pin(http.serve_connection(TokioIo::new(io), introduced)),
            greeting,
            speaks,
            leaving,
            calls,
            unanswered,
        }
    }

    /// Answers the calls that come, until one of both sides has had enough.
    async fn talk(&self, talk: Talk) -> Ended {
        let Talk {
            mut connection,
            greeting,
            speaks,
            leaving,
            calls,
            unanswered,
        } = talk;
        let silent = self.door.settings.first_byte_timeout;
        tokio::select! {
            biased;
            ended = &mut connection => return why(ended),
            heard = self.within(silent, Ended::Silent, greeting) => if let Err(ended) = heard {
                return ended;
            },
        }
        let asked = tokio::select! {
            biased;
            ended = &mut connection => return why(ended),
            () = self.door.stopping.cancelled() => Ended::Stop,
            () = self.fallen_silent(&speaks) => return Ended::Keepalive,
            () = self.grown_old() => Ended::Age,
        };
        connection.as_mut().graceful_shutdown();
        let patience = Box::pin(async {
            if asked == Ended::Age {
                self.age_out(&leaving, &calls, &unanswered).await;
            } else {
                // The gateway's own limit ends these. Who does not read its answer is not waited for.
                unanswered.close();
                unanswered.wait().await;
            }
            self.door.clock.sleep(LEAVE_WITHIN).await;
        });
        tokio::select! {
            biased;
            _left = connection => {}
            () = patience => {}
        }
        asked
    }

    /// The result of `work`, unless it takes longer than `limit` or the gateway stops.
    async fn within<T>(
        &self,
        limit: Duration,
        late: Ended,
        work: impl Future<Output = T>,
    ) -> Result<T, Ended> {
        tokio::select! {
            biased;
            () = self.door.stopping.cancelled() => Err(Ended::Stop),
            done = self.door.clock.timeout(limit, work) => done.ok_or(late),
        }
    }

    /// Returns when the other side has been silent for longer than a ping may go unanswered. HTTP/2 lets it go before
    /// that, but waits for it to take in why; and one that reads nothing never does.
    async fn fallen_silent(&self, speaks: &AtomicBool) {
        let settings = &self.door.settings;
        let unanswered = settings.keepalive_timeout + LEAVE_WITHIN;
        let mut spoke = true;
        // Twice: a ping that was due while this process stood still is only sent afterwards.
        while spoke {
            self.door
                .clock
                .sleep(settings.keepalive_interval + unanswered)
                .await;
            if !speaks.swap(false, Ordering::Relaxed) {
                self.door.clock.sleep(unanswered).await;
                spoke = speaks.swap(false, Ordering::Relaxed);
            }
        }
    }

    /// Returns when a connection that begins now is as old as one may become, give or take a tenth: what
    /// was opened together does not come back together. Nor does anybody leave who could not come back.
    async fn grown_old(&self) {
        let age = self.door.settings.connection_age_max;
        if age.is_zero() {
            std::future::pending::<()>().await;
        }
        let mut pressure = self.door.pressure.clone();
        let mut rest = age.mul_f64(0.9 + 0.2 * self.door.random.share());
        loop {
            self.door.clock.sleep(rest).await;
            let now = *pressure.borrow_and_update();
            match now {
                Pressure::Calm | Pressure::High => return,
                Pressure::Critical => {
                    // Who told of it is gone when the gateway is.
                    let _changed = pressure.changed().await;
                    rest = (age / LATE_PART).mul_f64(self.door.random.share());
                }
            }
        }
    }

    /// Waits until the calls of an old connection have ended, as long as they may take. Streams end then; what is no
    /// stream is answered first.
    async fn age_out(
        &self,
        leaving: &CancellationToken,
        calls: &TaskTracker,
        unanswered: &TaskTracker,
    ) {
        let clock: &Clock = &self.door.clock;
        calls.close();
        let grace = clock.timeout(self.door.settings.connection_age_grace, calls.wait());
        self.door.stopping.run_until_cancelled(grace).await;
        leaving.cancel();
        unanswered.close();
        // A limit of its own, for who does not leave may go on calling.
        let answered = clock.timeout(self.door.answer_within, unanswered.wait());
        answered.await;
        clock.timeout(LEAVE_WITHIN, calls.wait()).await;
    }
}

/// Who the other side has shown to be.
fn peer(stream: &TlsStream<Socket>) -> Option<Arc<Peer>> {
    let chain = stream.get_ref().1.peer_certificates()?;
    let chain = chain.iter().cloned().map(CertificateDer::into_owned);
    Some(Arc::new(Peer::new(chain.collect())))
}

fn http(settings: &Settings, spawner: Spawner) -> http2::Builder<Spawner> {
    let mut http = http2::Builder::new(spawner);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams_per_connection_max)
        .max_header_list_size(settings.header_list_bytes_max)
        .max_pending_accept_reset_streams(settings.resets_pending_max)
        .max_local_error_reset_streams(settings.resets_by_error_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout);
    http
}

/// Why a connection ended that nobody here ended.
fn why(ended: hyper::Result<()>) -> Ended {
    let Err(error) = ended else {
        return Ended::Client;
    };
    tracing::debug!(error = %crate::domain::causes::chain(&error, ": "), "a connection ended");
    let mut cause = error.source();
    let mut http2 = None;
    while let Some(error) = cause {
        http2 = http2.or_else(|| error.downcast_ref::<h2::Error>());
        cause = error.source();
    }
    match http2 {
        _ if error.is_timeout() => Ended::Keepalive,
        Some(error) if error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) => {
            Ended::Abuse
        }
        Some(error) if error.is_library() => Ended::Protocol,
        Some(_) | None => Ended::Client,
    }
}

/// Answers calls, knowing whose connection they come on.
#[derive(Clone, Debug)]
struct Introduced {
    calls: Arc<Calls>,
    caller: Caller,
    /// Has each call until its answer begins.
    unanswered: TaskTracker,
}

impl hyper::service::Service<Request<Incoming>> for Introduced {
    type Response = Response<Body>;
    type Error = Infallible;
    /// In a box, which goes when the answer begins: hyper keeps room for it as long as the stream lasts.
    type Future = Pin<Box<TrackedFuture<Oneshot<Calls, Request<Body>>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.caller.clone());
        let answer = Calls::clone(&self.calls).oneshot(request);
        Box::pin(self.unanswered.track_future(answer))
    }
}

/// Runs the calls of one connection, and lets both it and the gateway wait for them.
#[derive(Clone, Debug)]
struct Spawner {
    here: TaskTracker,
    all: TaskTracker,
}

impl<F> Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, call: F) {
        self.all.spawn(self.here.track_future(call));
    }
}
