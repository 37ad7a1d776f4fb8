//! Connections of callers, byte by byte: how many are taken, how long each may be silent, how old it becomes,
//! and which are closed because they ask too much.

use crate::admission::stop;
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, GREETING, HEADERS,
    PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, call, connect, frame, greet, hello, next, rest,
};
use crate::identity::pki::{Authority, uri};
use crate::identity::{CALLERS, Counts, WEB, channel, counts, list, put, write};
use crate::refusals::raw::framed;
use crate::tap::Tap;
use crate::world::{Client, Served, World, client, config_text, get, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::gateway::Gateway;
use cvm_gateway::pb::v1 as pb;
use h2::client::ResponseFuture;
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_types::StatusExt;

/// Longer than anything here takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(30);
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// A gateway with `lines` in its table `grpc`.
async fn gateway(world: &World, lines: &str) -> Served {
    let endpoint = format!("http://{}", world.simulator.addr());
    let text = config_text(&world.folder.0, &endpoint, "");
    let text = text.replace("[grpc]\n", &format!("[grpc]\n{lines}\n"));
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    world.gateway_of(config).await
}

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = Clock::system().timeout(LONG, work).await;
    done.unwrap_or_else(|| panic!("{what} takes too long"))
}

/// Waits until so many connections ended for `reason`.
async fn ended(gateway: &Gateway, reason: &str, count: f64) -> Counts {
    let series = format!(r#"cvm_gateway_connections_ended_total{{reason="{reason}"}}"#);
    soon(&series, async {
        loop {
            let counts = counts(gateway).await;
            if counts[&series] >= count {
                assert_eq!(counts[&series], count, "{reason}");
                return counts;
            }
            Clock::system().sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// Whether the other side has closed, without a word.
async fn is_closed(stream: &mut TcpStream) -> bool {
    soon("the close", async {
        stream.read(&mut [0]).await.unwrap_or(0) == 0
    })
    .await
}

/// A connection that has greeted and read the gateway's settings.
async fn greeted(from: [u8; 4], gateway: &Gateway) -> (TcpStream, Frame) {
    let mut stream = connect(from, gateway.grpc_addr()).await.unwrap();
    greet(&mut stream).await.unwrap();
    let settings = soon("the settings", next(&mut stream)).await.unwrap();
    (stream, settings)
}

/// Such a connection, at a gateway that does not wait long for a greeting: one that came too late is
/// followed by another one.
async fn greeted_in_time(gateway: &Gateway) -> TcpStream {
    soon("the settings", async {
        loop {
            let mut stream = connect(HERE, gateway.grpc_addr()).await.unwrap();
            if greet(&mut stream).await.is_ok() && next(&mut stream).await.is_some() {
                return stream;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_silent_is_let_go() {
    let world = World::new(100.0).await;
    let gateway = gateway(&world, "first_byte_timeout = \"200ms\"").await;
    let mut silent = connect(HERE, gateway.grpc_addr()).await.unwrap();
    let mut half = connect(HERE, gateway.grpc_addr()).await.unwrap();
    // Too late for the rest of it, or for all.
    let _told = half.write_all(&GREETING[..23]).await;
    // Nothing is made ready for who says nothing.
    assert_eq!(soon("the close", rest(&mut silent)).await, []);
    let told = soon("the close", rest(&mut half)).await;
    assert!(told.iter().all(|frame| frame.kind == SETTINGS), "{told:?}");
    ended(&gateway, "silent", 2.0).await;
    // Who has greeted may be silent from then on.
    let mut stream = greeted_in_time(&gateway).await;
    Clock::system().sleep(Duration::from_millis(500)).await;
    stream.write_all(&frame(PING, 0, 0, &[7; 8])).await.unwrap();
    let answered = async {
        while let Some(frame) = next(&mut stream).await {
            if (frame.kind, frame.flags) == (PING, ACK) {
                return frame.payload;
            }
        }
        Vec::new()
    };
    assert_eq!(soon("the answer", answered).await, [7; 8]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_no_ping_is_let_go() {
    let world = World::new(100.0).await;
    let lines = "keepalive_interval = \"50ms\"\nkeepalive_timeout = \"100ms\"";
    let gateway = gateway(&world, lines).await;
    let (mut stream, _) = greeted(HERE, &gateway).await;
    let frames = soon("the close", rest(&mut stream)).await;
    assert!(
        frames
            .iter()
            .any(|frame| (frame.kind, frame.flags) == (PING, 0)),
        "{frames:?}"
    );
    ended(&gateway, "keepalive", 1.0).await;
    gateway.stop().await;
}

/// Who reads nothing cannot be told why it is let go.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_let_go() {
    let world = World::new(100.0).await;
    let lines = "keepalive_interval = \"2s\"\nkeepalive_timeout = \"2s\"";
    let gateway = gateway(&world, lines).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(gateway.grpc_addr()).await.unwrap();
    greet(&mut stream).await.unwrap();
    // It asks for more than there is room for on the way, with the largest windows.
    let symbol = MessageRequest::FileContainingSymbol("buf.validate.FieldRules".to_owned());
    let asks = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(symbol),
    };
    let asks = frame(DATA, 0, 1, &framed(0, &asks.encode_to_vec()));
    let bytes = [
        frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]),
        frame(HEADERS, END_HEADERS, 1, &call(REFLECTION)),
        asks.repeat(1000),
    ];
    stream.write_all(&bytes.concat()).await.unwrap();
    ended(&gateway, "keepalive", 1.0).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_in_all_and_by_peer() {
    let world = World::new(100.0).await;
    let lines = "connections_max = 3\nconnections_per_peer_max = 2";
    let gateway = gateway(&world, lines).await;
    let (first, _) = greeted(HERE, &gateway).await;
    let (_second, _) = greeted(HERE, &gateway).await;
    let mut third = connect(HERE, gateway.grpc_addr()).await.unwrap();
    assert!(is_closed(&mut third).await, "one over the peer's");
    let (_other, _) = greeted(ELSEWHERE, &gateway).await;
    let mut fourth = connect(ELSEWHERE, gateway.grpc_addr()).await.unwrap();
    assert!(is_closed(&mut fourth).await, "one over all");
    let told = counts(&gateway).await;
    let refused = |reason: &str| {
        told[&format!(r#"cvm_gateway_connections_refused_total{{reason="{reason}"}}"#)]
    };
    assert_eq!(refused("connections_per_peer_max"), 1.0);
    assert_eq!(refused("connections_max"), 1.0);
    assert_eq!(told["cvm_gateway_connections_open"], 3.0);
    // A place is free again when its connection has ended.
    drop(first);
    ended(&gateway, "client", 1.0).await;
    let (_again, _) = greeted(ELSEWHERE, &gateway).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_told_what_it_is_held_to() {
    let world = World::new(100.0).await;
    let lines = "streams_per_connection_max = 17\nheader_list_bytes_max = \"9KiB\"";
    let gateway = gateway(&world, lines).await;
    let (_stream, settings) = greeted(HERE, &gateway).await;
    assert_eq!(settings.kind, SETTINGS);
    let told: Vec<(u16, u32)> = settings
        .payload
        .chunks(6)
        .map(|entry| {
            let (name, value) = entry.split_at(2);
            let name = u16::from_be_bytes(name.try_into().unwrap());
            (name, u32::from_be_bytes(value.try_into().unwrap()))
        })
        .collect();
    for entry in [(3, 17), (4, 256 << 10), (6, 9 << 10)] {
        assert!(told.contains(&entry), "{entry:?} not in {told:?}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_told_to_leave_and_then_closed() {
    let world = World::new(100.0).await;
    let lines = "connection_age_max = \"300ms\"\nconnection_age_grace = \"100ms\"";
    let gateway = gateway(&world, lines).await;
    // A call without an end, so that it does not close for want of calls. One that comes when the
    // connection is old already is followed by another one.
    let begun = frame(HEADERS, END_HEADERS, 1, &call(HEALTH));
    let goodbye = soon("the goodbye", async {
        loop {
            let mut stream = connect(HERE, gateway.grpc_addr()).await.unwrap();
            if greet(&mut stream).await.is_err() || stream.write_all(&begun).await.is_err() {
                continue;
            }
            let frames = rest(&mut stream).await;
            if let Some(code) = frames.iter().find_map(Frame::goaway_code) {
                return code;
            }
        }
    });
    assert_eq!(goodbye.await, 0);
    let age = r#"cvm_gateway_connections_ended_total{reason="age"}"#;
    soon(age, async {
        while counts(&gateway).await[age] == 0.0 {
            Clock::system().sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    gateway.stop().await;
}

/// A call that met the old connection as it closed may be made again.
fn assert_met_an_old_connection(status: &Status) {
    let codes = [Code::Unavailable, Code::Cancelled];
    assert!(codes.contains(&status.code()), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_an_old_connection_ends_resumable() {
    // Machines take longer than any connection may live.
    let world = World::new(0.01).await;
    let lines = "connection_age_max = \"300ms\"\nconnection_age_grace = \"100ms\"";
    let gateway = gateway(&world, lines).await;
    let mut client = client(&gateway).await;
    // Until a connection lived long enough for a snapshot.
    let seen = Box::pin(soon("the end", async {
        loop {
            let seen = run(&mut client, wish("long", 1)).await;
            if !seen.snapshots.is_empty() {
                return seen;
            }
            assert_met_an_old_connection(&seen.end.unwrap_err());
        }
    }))
    .await;
    let status = seen.end.as_ref().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(
        status.message().contains("resume with WatchOperation"),
        "{status:?}"
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["operation"], seen.last().name);
    // The same client goes on, on a new connection.
    let watch = pb::WatchOperationRequest {
        name: seen.last().name.clone(),
        after_sequence: seen.last().sequence - 1,
    };
    let again = async {
        loop {
            let first = match client.watch_operation(watch.clone()).await {
                Ok(stream) => stream.into_inner().message().await,
                Err(status) => Err(status),
            };
            match first {
                Ok(first) => return first.unwrap(),
                Err(status) => assert_met_an_old_connection(&status),
            }
        }
    };
    let first = soon("the snapshot", again).await;
    let Some(pb::watch_operation_response::Event::Operation(operation)) = first.event else {
        panic!("{first:?}");
    };
    assert!(operation.sequence >= seen.last().sequence);
    gateway.stop().await;
}

/// What an attacker sends, once it has greeted.
type Attack = (&'static str, fn() -> Vec<u8>);

fn open_and_reset() -> Vec<u8> {
    let numbers = (0..200_u32).map(|number| 2 * number + 1);
    let pairs = numbers.map(|stream| {
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &call(HEALTH));
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    });
    pairs.collect::<Vec<_>>().concat()
}

/// Each window grows over what one may be, which is an error of its stream.
fn made_to_reset() -> Vec<u8> {
    let numbers = (0..200_u32).map(|number| 2 * number + 1);
    let pairs = numbers.map(|stream| {
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &call(HEALTH));
        bytes.extend(frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
        bytes
    });
    pairs.collect::<Vec<_>>().concat()
}

fn headers_without_end() -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_STREAM, 1, &call(HEALTH));
    for _ in 0..2000 {
        bytes.extend(frame(CONTINUATION, 0, 1, &[]));
    }
    bytes
}

/// Small frames of data that bring nothing.
fn crumbs() -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &call(HEALTH));
    for _ in 0..60_000 {
        bytes.extend(frame(DATA, 0, 1, &[]));
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_much_is_let_go() {
    let attacks: [Attack; 4] = [
        ("rapid reset", open_and_reset),
        ("made you reset", made_to_reset),
        ("CONTINUATION", headers_without_end),
        ("empty DATA", crumbs),
    ];
    let world = World::new(100.0).await;
    let gateway = gateway(&world, "resets_by_error_max = 100").await;
    let mut good = client(&gateway).await;
    for (number, (name, attack)) in (1_u8..).zip(attacks) {
        let (mut stream, _) = greeted(ELSEWHERE, &gateway).await;
        let (mut back, mut forth) = stream.split();
        let bytes = attack();
        let (_sent, frames) = soon(name, async {
            tokio::join!(forth.write_all(&bytes), rest(&mut back))
        })
        .await;
        let code = frames.iter().find_map(Frame::goaway_code);
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{name}");
        ended(&gateway, "abuse", f64::from(number)).await;
        good.list_operations(list()).await.unwrap();
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_the_protocol_is_let_go() {
    let world = World::new(100.0).await;
    let gateway = gateway(&world, "").await;
    let (mut stream, _) = greeted(HERE, &gateway).await;
    stream.write_all(&frame(DATA, 0, 0, &[1])).await.unwrap();
    let frames = soon("the close", rest(&mut stream)).await;
    assert_eq!(
        frames.iter().find_map(Frame::goaway_code),
        Some(1),
        "{frames:?}"
    );
    ended(&gateway, "protocol", 1.0).await;
    gateway.stop().await;
}

/// A call whose message never comes, and whose caller waits so long: its answer, and what keeps it open.
async fn endless(gateway: &Gateway, patience: &str) -> (ResponseFuture, impl Sized) {
    let stream = connect(HERE, gateway.grpc_addr()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    TaskTracker::new().spawn(connection);
    let request =
        http::Request::post("http://gateway/cvmgateway.v1.CvmGatewayService/GetOperation")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", patience)
            .body(())
            .unwrap();
    let (answer, body) = sender.send_request(request, false).unwrap();
    (answer, (body, sender))
}

/// It ends when its caller no longer waits.
#[tokio::test(flavor = "multi_thread")]
async fn the_caller_s_own_deadline_ends_a_call() {
    let world = World::new(100.0).await;
    let gateway = gateway(&world, "").await;
    let (answer, open) = endless(&gateway, "100m").await;
    let answer = soon("the answer", answer).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
    drop(open);
    gateway.stop().await;
}

/// What is no stream is answered on an old connection, too, although its streams have no grace.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_on_an_old_connection_is_answered() {
    let world = World::new(100.0).await;
    let text = config_text(&world.folder.0, "http://127.0.0.1:9", "");
    let lines = "[grpc]\nrequest_timeout = \"8s\"\nconnection_age_max = \"1s\"\nconnection_age_grace = \"0s\"\n";
    let text = text.replace("[grpc]\n", lines);
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let (clock, real) = (Clock::manual(Clock::system().now()), Clock::system());
    let gateway = Served::start(config, clock.clone()).await;
    let (answer, open) = endless(&gateway, "1M").await;
    let started = r#"grpc_server_started_total{grpc_method="GetOperation",grpc_service="cvmgateway.v1.CvmGatewayService",grpc_type="unary"}"#;
    soon("the call", async {
        while counts(&gateway).await[started] == 0.0 {
            real.sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // In all longer than the call may take, and not so long after the connection has become old.
    for _ in 0..17 {
        clock.advance(Duration::from_millis(500));
        real.sleep(Duration::from_millis(100)).await;
    }
    let answer = soon("the answer", answer).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    drop(open);
    stop(gateway, &clock).await;
}

/// Who is silent, or half way through a handshake, or has greeted and no more, delays no stop.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_delay_a_stop() {
    let world = World::new(100.0).await;
    let [servers, callers] = ["servers", "callers"].map(Authority::new);
    write(&world.folder, &servers.server(), &callers.pem());
    put(&world.folder, "denied.txt", "");
    // What is no hello, or no greeting, is closed at once.
    for (text, silent) in [("", 3.0), (CALLERS, 2.0)] {
        let text = format!(
            "{}{text}",
            config_text(&world.folder.0, "http://127.0.0.1:9", "")
        );
        let text = text.replace("drain_timeout = \"5s\"", "drain_timeout = \"2m\"");
        let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
        let gateway = world.gateway_of(config).await;
        let mut streams = Vec::new();
        for begin in [&b""[..], &GREETING[..10], b"\x16\x03\x01\x02\x00", GREETING] {
            let mut stream = connect(HERE, gateway.grpc_addr()).await.unwrap();
            stream.write_all(begin).await.unwrap();
            streams.push(stream);
        }
        // All are taken before the stop begins.
        soon("the connections", async {
            while counts(&gateway).await["cvm_gateway_connections_open"] < silent {
                Clock::system().sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        soon("the stop", gateway.stop()).await;
        for mut stream in streams {
            soon("the close", rest(&mut stream)).await;
        }
    }
}

/// Connections that say nothing keep nobody from shaking hands.
#[tokio::test(flavor = "multi_thread")]
async fn silence_takes_no_handshake() {
    let world = World::new(100.0).await;
    let [servers, callers] = ["servers", "callers"].map(Authority::new);
    write(&world.folder, &servers.server(), &callers.pem());
    put(&world.folder, "denied.txt", "");
    let text = config_text(&world.folder.0, "http://127.0.0.1:9", "");
    let lines =
        "[grpc]\nhandshakes_max = 1\nfirst_byte_timeout = \"2m\"\nhandshake_timeout = \"2m\"\n";
    let text = format!("{}{CALLERS}", text.replace("[grpc]\n", lines));
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let mut silent = Vec::new();
    for begin in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = connect(HERE, gateway.grpc_addr()).await.unwrap();
        stream.write_all(begin).await.unwrap();
        silent.push(stream);
    }
    let issued = callers.client(vec![uri(WEB)]);
    let connected = channel(&gateway, &servers, Some(&issued));
    let mut client = Client::new(Tap(soon("the handshake", connected).await));
    client.list_operations(list()).await.unwrap();
    assert!(
        get(gateway.admin_addr(), "/metrics")
            .await
            .1
            .contains("cvm_gateway_connections_open 4\n")
    );
    drop(silent);
    gateway.stop().await;
}

/// Handshakes that one peer leaves half done keep no other one from shaking hands.
#[tokio::test(flavor = "multi_thread")]
async fn handshakes_of_one_peer_leave_room_for_others() {
    let world = World::new(100.0).await;
    let [servers, callers] = ["servers", "callers"].map(Authority::new);
    write(&world.folder, &servers.server(), &callers.pem());
    put(&world.folder, "denied.txt", "");
    let text = config_text(&world.folder.0, "http://127.0.0.1:9", "");
    let lines = "[grpc]\nhandshakes_max = 16\nhandshake_timeout = \"2m\"\n";
    let text = format!("{}{CALLERS}", text.replace("[grpc]\n", lines));
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let mut stalled = Vec::new();
    for number in 0..16 {
        let mut stream = connect(ELSEWHERE, gateway.grpc_addr()).await.unwrap();
        stream.write_all(&hello()).await.unwrap();
        let begun = Duration::from_millis(if number < 2 { 30_000 } else { 50 });
        let mut byte = [0];
        let begun = Clock::system().timeout(begun, stream.read(&mut byte)).await;
        assert_eq!(begun.is_some(), number < 2, "{number}");
        stalled.push(stream);
    }
    let issued = callers.client(vec![uri(WEB)]);
    let connected = channel(&gateway, &servers, Some(&issued));
    let mut client = Client::new(Tap(soon("the handshake", connected).await));
    client.list_operations(list()).await.unwrap();
    drop(stalled);
    gateway.stop().await;
}

/// Who does not read its answer, or holds a stream of its own open, delays no stop.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_streams_do_not_delay_a_stop() {
    let world = World::new(100.0).await;
    let text = config_text(&world.folder.0, "http://127.0.0.1:9", "");
    let text = text.replace("drain_timeout = \"5s\"", "drain_timeout = \"2m\"");
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    // Answers may not be sent: each window is zero.
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let asks = [
        frame(HEADERS, END_HEADERS, 1, &call(HEALTH)),
        frame(DATA, END_STREAM, 1, &[0; 5]),
    ]
    .concat();
    let reflects = frame(HEADERS, END_HEADERS, 1, &call(REFLECTION));
    let mut streams = Vec::new();
    for begin in [[no_window, asks].concat(), reflects] {
        let (mut stream, _) = greeted(HERE, &gateway).await;
        stream.write_all(&begin).await.unwrap();
        // Its head comes all the same.
        let answered = async {
            while let Some(frame) = next(&mut stream).await {
                if frame.kind == HEADERS {
                    return;
                }
            }
            panic!("no answer begins");
        };
        soon("the answer", answered).await;
        streams.push(stream);
    }
    soon("the stop", gateway.stop()).await;
    for mut stream in streams {
        soon("the close", rest(&mut stream)).await;
    }
}
