//! SIGTERM amid clients that do not help: silent ones, half handshakes, and thousands of open streams.

use crate::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, GREETING, HEADERS, call, connect, frame, greet, rest,
};
use crate::gateway::Gateway;
use cvm_gateway::clock::Clock;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// The most that a stop may take.
const STOP_MAX: Duration = Duration::from_secs(25);
/// The most that its streams may take to begin, on a machine that is busy.
const BEGIN_MAX: Duration = Duration::from_secs(120);
const CLIENT: [u8; 4] = [127, 0, 0, 3];
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const STREAMS_PER_CONNECTION: u32 = 125;
const CONNECTIONS: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_no_client() {
    let mut gateway = Gateway::start("", 20_000).await;
    let mut held = Vec::new();
    for begin in [
        &b""[..],
        &GREETING[..7],
        b"\x16\x03\x01\x02\x00\x01",
        GREETING,
    ] {
        let mut stream = connect(CLIENT, gateway.grpc).await.unwrap();
        stream.write_all(begin).await.unwrap();
        held.push(stream);
    }
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = connect(CLIENT, gateway.grpc).await.unwrap();
        greet(&mut stream).await.unwrap();
        for number in 0..STREAMS_PER_CONNECTION {
            let number = 2 * number + 1;
            let open = frame(HEADERS, END_HEADERS, number, &call(WATCH));
            let message = frame(DATA, END_STREAM, number, &[0; 5]);
            stream.write_all(&[open, message].concat()).await.unwrap();
        }
        callers.push(stream);
    }
    let open = f64::from(STREAMS_PER_CONNECTION * CONNECTIONS);
    let started = r#"grpc_server_started_total{grpc_method="Watch",grpc_service="grpc.health.v1.Health",grpc_type="server_stream"}"#;
    let begun = async {
        while gateway.metric(started).await < open {
            Clock::system().sleep(Duration::from_millis(20)).await;
        }
    };
    let begun = Clock::system().timeout(BEGIN_MAX, begun).await;
    begun.expect("the streams do not begin");
    let (code, took) = gateway.terminate(STOP_MAX).await;
    println!("stopped after {took:?} with {open} open streams");
    assert_eq!(code, Some(0));
    for mut stream in callers {
        let frames = rest(&mut stream).await;
        assert!(frames.iter().any(|frame| frame.kind == GOAWAY));
    }
}
