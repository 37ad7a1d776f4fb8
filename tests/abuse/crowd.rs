//! Crowds: connections that do nothing, and take places, handshakes and descriptors.

use crate::frames::{GREETING, connect, hello};
use crate::gateway::Gateway;
use crate::good::Good;
use crate::judge::Run;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Addresses that a crowd comes from.
const ADDRESSES: u8 = 20;
/// Connections of a crowd.
const CROWD: usize = 10_000;
/// A crowd of `make test`.
const SMALL_CROWD: usize = 500;

/// The attackers' own files: as many as the system gives.
fn many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// Opens connections from several addresses, says `begin` on each, tells when `all` have come, and holds them
/// until this is dropped.
async fn crowd(gateway: SocketAddr, count: usize, begin: &[u8], all: &AtomicBool) {
    let mut held: Vec<TcpStream> = Vec::new();
    for number in 0..count {
        let last = 10 + u8::try_from(number % usize::from(ADDRESSES)).unwrap();
        if let Ok(mut stream) = connect([127, 0, 0, last], gateway).await
            && stream.write_all(begin).await.is_ok()
        {
            held.push(stream);
        }
    }
    all.store(true, Ordering::Relaxed);
    std::future::pending().await
}

fn size(run: Run) -> usize {
    if run.span > Duration::from_secs(1) {
        CROWD
    } else {
        SMALL_CROWD
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowds_harm_nobody_else() {
    many_files();
    let run = Run::asked();
    let greeting = [GREETING, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    for (name, begin) in [("silent TCP", &b""[..]), ("idle connections", &greeting)] {
        let gateway = Gateway::start("", 20_000).await;
        let all = AtomicBool::new(false);
        let attack = crowd(gateway.grpc, size(run), begin, &all);
        run.judge(name, &gateway, attack, &all).await;
    }
}

/// Handshakes that end where they begin: a part of a hello, and a whole one without what follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_handshakes_harm_nobody_else() {
    many_files();
    let run = Run::asked();
    for (name, begin) in [
        ("half a hello", hello()[..100].to_vec()),
        ("half TLS", hello()),
    ] {
        let gateway = Gateway::start_tls(20_000).await;
        let all = AtomicBool::new(false);
        let attack = crowd(gateway.grpc, size(run).min(2000), &begin, &all);
        run.judge(name, &gateway, attack, &all).await;
    }
}

/// As many connections as there are descriptors, and more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_without_descriptors_goes_on() {
    many_files();
    let run = Run::asked();
    let gateway = Gateway::start("", 128).await;
    let mut good = Good::connect(&gateway).await.unwrap();
    let computed = gateway.computed();
    let all = AtomicBool::new(false);
    let attack = crowd(gateway.grpc, 300, GREETING, &all);
    run.judge("descriptors", &gateway, attack, &all).await;
    good.call().await;
    let busy = gateway.computed() - computed;
    println!("computed {busy} hundredths of a second meanwhile");
    let refused = r#"cvm_gateway_connections_refused_total{reason="connections_max"}"#;
    assert!(gateway.metric(refused).await > 100.0);
}
