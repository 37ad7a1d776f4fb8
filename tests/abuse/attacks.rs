//! Floods: frames that cost the sender little and the gateway much.

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, call, connect, frame, greet, header,
};
use crate::gateway::Gateway;
use crate::judge::Run;
use cvm_gateway::clock::Clock;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, sink};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where attackers come from: not the good client's address.
const ATTACKER: [u8; 4] = [127, 0, 0, 2];
/// Attackers at once.
const ATTACKERS: usize = 8;
/// Connections that one of them opens, at most.
const CONNECTIONS_MAX: usize = 20_000;
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// A message of nothing.
const EMPTY: [u8; 5] = [0; 5];

/// What is sent on one connection: first once, then again and again. The number counts the repetitions.
#[derive(Clone, Copy, Debug)]
struct Flood {
    first: fn() -> Vec<u8>,
    again: fn(u32) -> Vec<u8>,
    /// Whether answers are read.
    reads: bool,
}

/// A name, and a flood of it.
type Row = (&'static str, fn() -> Vec<u8>, fn(u32) -> Vec<u8>, bool);

/// Streams of one block.
const BLOCK: u32 = 100;

/// The numbers of the streams of a block.
fn streams(block: u32) -> impl Iterator<Item = u32> {
    (block * BLOCK..(block + 1) * BLOCK).map(|number| 2 * number + 1)
}

fn nothing() -> Vec<u8> {
    Vec::new()
}

fn rapid_reset(block: u32) -> Vec<u8> {
    let pair = |stream| {
        let open = frame(HEADERS, END_HEADERS, stream, &call(HEALTH));
        [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    streams(block).map(pair).collect::<Vec<_>>().concat()
}

fn made_you_reset(block: u32) -> Vec<u8> {
    let pair = |stream| {
        let open = frame(HEADERS, END_HEADERS, stream, &call(HEALTH));
        [
            open,
            frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]),
        ]
        .concat()
    };
    streams(block).map(pair).collect::<Vec<_>>().concat()
}

fn open_headers() -> Vec<u8> {
    frame(HEADERS, END_STREAM, 1, &call(HEALTH))
}

fn continuations(_: u32) -> Vec<u8> {
    frame(CONTINUATION, 0, 1, &header("x", &"y".repeat(100))).repeat(100)
}

fn settings(_: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(200)
}

fn pings(_: u32) -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8]).repeat(200)
}

fn open_call() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &call(HEALTH))
}

fn crumbs(_: u32) -> Vec<u8> {
    frame(DATA, 0, 1, &[0]).repeat(200)
}

/// A header of 4,000 bytes that goes into the table, and then is named again and again by one byte.
fn bomb(block: u32) -> Vec<u8> {
    let stream = 2 * block + 1;
    let mut list = call(HEALTH);
    list.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    list.extend([b'y'; 4000]);
    list.extend([0xbe; 8000]);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &list)
}

/// Calls whose answers may not be sent: each window is zero.
fn no_window() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])
}

fn unread_calls(block: u32) -> Vec<u8> {
    let call = |stream| {
        let open = frame(HEADERS, END_HEADERS, stream, &call(WATCH));
        [open, frame(DATA, END_STREAM, stream, &EMPTY)].concat()
    };
    streams(block).map(call).collect::<Vec<_>>().concat()
}

/// Floods the gateway until this is dropped, from a thread of its own: the good client must not wait for the
/// attackers' work.
async fn flood(gateway: SocketAddr, flood: Flood) {
    let end = CancellationToken::new();
    let _end = end.clone().drop_guard();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let tasks = TaskTracker::new();
            for _ in 0..ATTACKERS {
                let end = end.clone();
                tasks.spawn(async move { end.run_until_cancelled(attacker(gateway, flood)).await });
            }
            end.cancelled().await;
        });
    });
    std::future::pending().await
}

async fn attacker(gateway: SocketAddr, flood: Flood) {
    for _ in 0..CONNECTIONS_MAX {
        if let Ok(stream) = connect(ATTACKER, gateway).await {
            attack(stream, flood).await;
        }
        // Who is refused comes back, as fast as one may who must open a connection.
        Clock::system().sleep(Duration::from_millis(1)).await;
    }
}

/// Sends until the connection is closed.
async fn attack(mut stream: TcpStream, flood: Flood) {
    let (mut back, mut forth) = stream.split();
    let sending = async {
        greet(&mut forth).await?;
        forth.write_all(&(flood.first)()).await?;
        for block in 0..u32::MAX / 2 / BLOCK {
            forth.write_all(&(flood.again)(block)).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let reading = async {
        if flood.reads {
            drop(tokio::io::copy(&mut back, &mut sink()).await);
        } else {
            // Only whether it is closed.
            drop(back.read(&mut [0]).await);
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _closed = sending => {}
        () = reading => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_harm_nobody_else() {
    let floods: [Row; 10] = [
        ("rapid reset", nothing, rapid_reset, true),
        ("made you reset", nothing, made_you_reset, true),
        ("CONTINUATION flood", open_headers, continuations, true),
        ("SETTINGS flood", nothing, settings, true),
        ("SETTINGS flood, unread", nothing, settings, false),
        ("PING flood", nothing, pings, true),
        ("PING flood, unread", nothing, pings, false),
        ("1-byte DATA", open_call, crumbs, true),
        ("header bomb", nothing, bomb, true),
        ("zero window", no_window, unread_calls, true),
    ];
    let run = Run::asked();
    let gateway = Gateway::start("", 20_000).await;
    for (name, first, again, reads) in floods {
        let flood_of = Flood {
            first,
            again,
            reads,
        };
        let flood = flood(gateway.grpc, flood_of);
        run.judge(name, &gateway, flood, &AtomicBool::new(true))
            .await;
    }
    let metrics = gateway.metrics().await;
    let ended = metrics
        .lines()
        .filter(|line| line.starts_with("cvm_gateway_connections_ended"));
    println!("{}", ended.collect::<Vec<_>>().join("\n"));
    // Resets of both kinds, CONTINUATION and crumbs are told from what clients do.
    assert!(
        gateway
            .metric(r#"cvm_gateway_connections_ended_total{reason="abuse"}"#)
            .await
            > 4.0
    );
}
