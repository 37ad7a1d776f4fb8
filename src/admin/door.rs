//! The connections of the side door: few, and each for a bounded time, whatever is at its other end.

use super::Ends;
use crate::clock::Clock;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Prometheus, probes and some people. Others wait to be taken.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take, the pause before it included.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How old a connection becomes. Its client makes another one.
const AGE_MAX: Duration = Duration::from_secs(60);
/// What is left of a connection to end in order: to finish its answer.
const LAST: Duration = Duration::from_secs(5);
/// Before the next try, where none can be taken: descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `pages` until `stop`, and then until the last answer is given, some seconds at most.
pub async fn serve(listener: TcpListener, pages: Router, clock: Clock, stop: CancellationToken) {
    let (places, tasks) = (
        Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        TaskTracker::new(),
    );
    let receiving = async {
        // Nobody closes the places, so there is always one in the end.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((stream, there)) = listener.accept().await else {
                clock.sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let ends = Ends::of(&stream, there);
            let lived = live(stream, pages.clone(), ends, clock.clone(), stop.clone());
            tasks.spawn(async move {
                lived.await;
                drop(place);
            });
        }
    };
    stop.run_until_cancelled(receiving).await;
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Takes a connection to its end.
async fn live(stream: TcpStream, pages: Router, ends: Ends, clock: Clock, stop: CancellationToken) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(ends));
        pages.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
    tokio::select! {
        // How it ended is its client's affair.
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = clock.sleep(AGE_MAX) => {}
    }
    connection.as_mut().graceful_shutdown();
    clock.timeout(LAST, connection).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A side door with one page.
    struct Opened {
        address: SocketAddr,
        clock: Clock,
        stop: CancellationToken,
        tasks: TaskTracker,
    }

    async fn opened() -> Opened {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let opened = Opened {
            address: listener.local_addr().unwrap(),
            clock: Clock::system(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let pages = Router::new().route("/livez", get(async || "ok\n"));
        let (clock, stop) = (opened.clock.clone(), opened.stop.clone());
        opened.tasks.spawn(serve(listener, pages, clock, stop));
        opened
    }

    async fn asked(door: &Opened) -> Option<String> {
        let asked = async {
            let mut stream = TcpStream::connect(door.address).await.unwrap();
            let request = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        door.clock.timeout(Duration::from_secs(20), asked).await
    }

    #[tokio::test]
    async fn who_says_nothing_or_half_of_it_is_in_nobodys_way_for_long() {
        let door = opened().await;
        let mut silent = Vec::new();
        for number in 0..CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(door.address).await.unwrap();
            if number % 2 == 0 {
                stream
                    .write_all(b"GET /livez HTTP/1.1\r\nhost:")
                    .await
                    .unwrap();
            }
            silent.push(stream);
        }
        let answer = asked(&door).await.expect("nobody is let in");
        assert!(answer.ends_with("ok\n"), "{answer}");
        for mut stream in silent {
            // Told or not that it was too slow, its connection is at its end.
            let mut rest = Vec::new();
            let ended = door
                .clock
                .timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
            ended.await.expect("a silent connection is kept").unwrap();
        }
        door.stop.cancel();
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_who_never_finishes() {
        let door = opened().await;
        let mut half = TcpStream::connect(door.address).await.unwrap();
        half.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        assert!(asked(&door).await.is_some());
        door.stop.cancel();
        door.tasks.close();
        let ended = door
            .clock
            .timeout(LAST + Duration::from_secs(2), door.tasks.wait());
        ended.await.expect("the side door does not end");
    }
}
