//! P5: what each watched operation takes of memory, against a bare HTTP/2 stream.

use crate::cloud::{Cloud, UNLIMITED};
use crate::floor::STREAMS;
use crate::load::{Client, Messages, Until, connect, launch, wish};
use crate::program::{Bed, Program};
use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::Spread;
use crate::work::open_operations;
use futures_util::future::join_all;
use std::time::Duration;

const CONNECTIONS: usize = 10;
/// Streams of each connection.
const STREAMS_EACH: usize = 1_000;
/// Those before the measured ones: what a first call takes once, code and tables, is no memory of an operation.
const FIRST_EACH: usize = 96;
/// Launches that each connection has under way at once.
const AT_ONCE: usize = 32;
/// When memory is looked at again, after the last stream has ended.
const AFTERWARDS: Duration = Duration::from_secs(10);

const P5: Goal = Goal {
    id: "P5",
    what: "bytes of memory of a watched operation, its stream included",
    must: Bound::AtMost(2_450.0),
    best: Bound::AtMost(1_600.0),
};
const P5_BACK: Goal = Goal {
    id: "P5",
    what: "share of it that is given back 10 s after the end",
    must: Bound::AtLeast(0.9),
    best: Bound::AtLeast(0.9),
};

pub(crate) fn measure() -> Chapter {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (bare, watched, back) = runtime.block_on(async {
        let bare = streams().await;
        let (watched, back) = operations().await;
        (bare, watched, back)
    });
    let figure = |goal, measured, short| Figure {
        goal,
        measured: Spread::single(measured),
        short,
    };
    Chapter {
        title: "Memory of a watched operation",
        how: "10,000 launches of one machine each, on ten connections, launched and polled, their streams open, after a thousand before them: the \
              growth of the gateway's resident memory, divided. The bare stream is of the h2 library, with one message sent and nothing remembered.",
        figures: vec![
            figure(P5, watched, SHORT),
            figure(P5_BACK, back, SHORT_BACK),
        ],
        parts: table(
            &["", "bytes each", "to a bare stream"],
            [("bare HTTP/2 stream", bare), ("watched operation", watched)]
                .map(|(name, bytes)| vec![name.to_owned(), digits(bytes), digits(bytes / bare)]),
        ),
    }
}

const SHORT: &str = "the future that a stream waits in (704 bytes) and the newest snapshot (608) are a quarter of it; the rest is hyper's task, tonic's encoder, \
                     h2's stream, the places in the tables of what is open, polled and followed, and some twenty small texts.";
const SHORT_BACK: &str = "what is left lies in pages that something else is in.";

/// Bytes of a stream of which nothing is remembered.
async fn streams() -> f64 {
    let floor = Program::floor(STREAMS, "");
    let before = floor.resident_bytes();
    let clients = connect(floor.address, CONNECTIONS).await;
    let opening = clients.into_iter().map(|mut client| async move {
        let mut open = Vec::new();
        for _ in 0..STREAMS_EACH {
            open.push(launch(&mut client, wish(1), Until::Accepted).await);
        }
        open
    });
    let open: Vec<Messages> = join_all(opening).await.into_iter().flatten().collect();
    (floor.resident_bytes() - before) / open.len() as f64
}

/// Bytes of a watched operation, and the share that is given back.
async fn operations() -> (f64, f64) {
    // The first machine must not run before the last is launched.
    let cloud = Cloud::new(0.5, false).await;
    let bed = Bed::new(cloud.address(), UNLIMITED);
    let gateway = Program::gateway(&bed);
    let clients = connect(bed.grpc, CONNECTIONS).await;
    let first = launched(&clients, FIRST_EACH).await;
    let before = gateway.resident_bytes();
    let open = launched(&clients, STREAMS_EACH).await;
    let (count, all) = (open.len() as f64, first.len() + open.len());
    assert!(
        open_operations(&bed).await >= all as f64,
        "some have ended already"
    );
    let grown = gateway.resident_bytes() - before;
    join_all(first.into_iter().chain(open).map(end)).await;
    drop(clients);
    tokio::time::sleep(AFTERWARDS).await;
    let left = gateway.resident_bytes() - before;
    (grown / count, 1.0 - left / grown)
}

/// That many launches of each connection, each told to be launched.
async fn launched(clients: &[Client], each: usize) -> Vec<Messages> {
    let callers = clients
        .iter()
        .flat_map(|client| (0..AT_ONCE).map(|_| client.clone()));
    let launching = callers.map(|mut client| async move {
        let mut open = Vec::new();
        for _ in 0..each.div_ceil(AT_ONCE) {
            open.push(launch(&mut client, wish(1), Until::Launched).await);
        }
        open
    });
    join_all(launching).await.into_iter().flatten().collect()
}

async fn end(mut stream: Messages) {
    while stream.message().await.unwrap().is_some() {}
}
