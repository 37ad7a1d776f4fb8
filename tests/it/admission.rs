//! Who is worked on, who waits and who is turned away, while calls do not end.

use crate::canary::examine_output;
use crate::cloud::server::{Act, Server};
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, call, connect, frame, greet, header, next,
};
use crate::identity::pki::{Authority, uri};
use crate::identity::{CALLERS, WEB, channel, counts, list, write};
use crate::refusals::raw::{framed, post};
use crate::refusals::told;
use crate::tap::Tap;
use crate::world::{Client, Served, World, client, config_text, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::gateway::Gateway;
use cvm_gateway::pb::v1 as pb;
use prost::Message;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Longer than anything here takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(30);
const HERE: [u8; 4] = [127, 0, 0, 1];
const OTHER: &str = "spiffe://example.org/ns/other/sa/api";
const LIST: &str = "/cvmgateway.v1.CvmGatewayService/ListOperations";
const LAUNCH: &str = "/cvmgateway.v1.CvmGatewayService/RunInstances";

/// A gateway whose cloud answers nothing, so that plans stay at work, and two organisations.
/// Its clock stands still.
struct Busy {
    world: World,
    clock: Clock,
    gateway: Served,
    web: Client,
    other: Client,
    _cloud: Server,
}

impl Busy {
    async fn new(admission: &str) -> Self {
        let world = World::new(100.0).await;
        let cloud = Server::start(vec![Act::Stall(String::new()); 20]).await;
        let [servers, callers] = ["servers", "callers"].map(Authority::new);
        write(&world.folder, &servers.server(), &callers.pem());
        crate::identity::put(&world.folder, "denied.txt", "# nobody\n");
        let endpoint = format!("http://{}", cloud.address);
        let config = config(&world, &endpoint, admission, CALLERS);
        let clock = Clock::manual(Clock::system().now());
        let gateway = Served::start(config, clock.clone()).await;
        let [web, other] = [WEB, OTHER].map(|name| callers.client(vec![uri(name)]));
        let web = Client::new(Tap(channel(&gateway, &servers, Some(&web)).await));
        let other = Client::new(Tap(channel(&gateway, &servers, Some(&other)).await));
        Self {
            world,
            clock,
            gateway,
            web,
            other,
            _cloud: cloud,
        }
    }
}

/// A gateway that admits calls as `admission` says, and calls that cloud.
async fn gateway(world: &World, cloud: &str, admission: &str) -> Served {
    world.gateway_of(config(world, cloud, admission, "")).await
}

fn config(world: &World, cloud: &str, admission: &str, extra: &str) -> Config {
    let extra = format!("check_zones = false\n{extra}");
    let text = config_text(&world.folder.0, cloud, &extra);
    let lines = format!("[grpc]\nadmission = {{ {admission} }}\n");
    let text = text.replace("[grpc]\n", &lines);
    Config::parse("test.toml", &text, &world.folder.0).unwrap()
}

/// Stops a gateway whose clock is moved by hand.
pub(crate) async fn stop(gateway: Served, clock: &Clock) {
    let ticks = async {
        loop {
            Clock::system().sleep(Duration::from_millis(200)).await;
            clock.advance(Duration::from_secs(1));
        }
    };
    tokio::select! {
        () = gateway.stop() => {}
        () = ticks => unreachable!("it ticks until the end"),
    }
}

/// What comes of a plan.
async fn plan(mut client: Client, request_id: &str) -> Result<(), Status> {
    let request = pb::PlanRunInstancesRequest {
        request: Some(wish(request_id, 1)),
        cloud_dry_run: false,
    };
    client.plan_run_instances(request).await.map(drop)
}

/// Waits until a series has that value.
async fn shows(gateway: &Gateway, series: &str, value: f64) {
    let waits = async {
        while counts(gateway).await[series] != value {
            Clock::system().sleep(Duration::from_millis(10)).await;
        }
    };
    let shown = Clock::system().timeout(LONG, waits).await;
    shown.unwrap_or_else(|| panic!("{series} is never {value}"));
}

fn shed(priority: &str, reason: &str) -> String {
    format!(r#"cvm_gateway_calls_shed_total{{priority="{priority}",reason="{reason}"}}"#)
}

const PLANS_AT_WORK: &str = r#"cvm_gateway_calls_at_work{priority="plan"}"#;
const LAUNCHES_WAITING: &str = r#"cvm_gateway_calls_waiting{priority="launch"}"#;
const PLANS_WAITING: &str = r#"cvm_gateway_calls_waiting{priority="plan"}"#;

/// Whether the details and the trailer say the same time to come back.
fn assert_comes_back(status: &Status) {
    let retry = status.get_details_retry_info().unwrap();
    let delay = retry.retry_delay.unwrap();
    let bounds = Duration::from_secs(1)..=Duration::from_secs(2);
    assert!(bounds.contains(&delay), "{delay:?}");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
    assert_eq!(pushback.to_str().unwrap(), delay.as_millis().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_organisation_is_shed_and_others_are_served() {
    let places = "at_work_max = 4, at_work_per_organization_max = 2";
    let queue = "waiting_per_organization_max = 1, wait_max = \"1s\"";
    let mut busy = Busy::new(&format!("{places}, {queue}")).await;
    let (gateway, web) = (&busy.gateway, busy.web.clone());
    let flood = async {
        let waits = async {
            shows(gateway, PLANS_AT_WORK, 1.0).await;
            let waits = plan(web.clone(), "waits").await.unwrap_err();
            let told = told(&waits);
            assert_eq!(
                (told.code, told.reason.as_str()),
                (Code::Unavailable, "GATEWAY_BUSY"),
                "{waits:?}"
            );
            assert_comes_back(&waits);
        };
        let refused = async {
            shows(gateway, PLANS_WAITING, 1.0).await;
            let refused = plan(web.clone(), "refused").await.unwrap_err();
            let told = told(&refused);
            assert_eq!(
                (told.code, told.reason.as_str()),
                (Code::ResourceExhausted, "TOO_MANY_CALLS"),
                "{refused:?}"
            );
            assert_comes_back(&refused);
            // What is more urgent has a place of its own, and another organisation has one, too.
            busy.web.list_operations(list()).await.unwrap();
            let other = plan(busy.other.clone(), "other");
            let begun = shows(gateway, PLANS_AT_WORK, 2.0);
            tokio::select! {
                done = other => panic!("{done:?}"),
                () = begun => {}
            }
            // All have been seen; who waits may be told that it has waited for long enough.
            busy.clock.advance(Duration::from_secs(1));
        };
        tokio::join!(waits, refused);
    };
    let real = Clock::system();
    tokio::select! {
        done = plan(web.clone(), "works") => panic!("{done:?}"),
        done = real.timeout(LONG, flood) => done.unwrap(),
    }
    // Who went away has given its place up.
    shows(gateway, PLANS_AT_WORK, 0.0).await;
    shows(gateway, PLANS_WAITING, 0.0).await;
    let counts = counts(gateway).await;
    for (reason, count) in [
        ("organization_queue", 1.0),
        ("wait", 1.0),
        ("deadline", 0.0),
    ] {
        assert_eq!(counts[&shed("plan", reason)], count, "{reason}");
        assert_eq!(counts[&shed("list", reason)], 0.0, "{reason}");
    }
    drop(busy.world);
    stop(busy.gateway, &busy.clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_whose_caller_has_stopped_waiting_is_not_begun() {
    let world = World::new(100.0).await;
    let cloud = Server::start(vec![Act::Stall(String::new()); 20]).await;
    let places = "at_work_per_organization_max = 1, wait_max = \"20s\"";
    let config = config(&world, &format!("http://{}", cloud.address), places, "");
    let clock = Clock::manual(Clock::system().now());
    let gateway = Served::start(config, clock.clone()).await;
    let mut client = client(&gateway).await;
    let late = async {
        shows(&gateway, PLANS_AT_WORK, 1.0).await;
        // Byte by byte: clients of a library end such a call themselves.
        let mut stream = connect([127, 0, 0, 1], gateway.grpc_addr()).await.unwrap();
        greet(&mut stream).await.unwrap();
        let head = [call(LAUNCH), header("grpc-timeout", "100m")].concat();
        let message = wish("late", 1).encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let message = [&[0], &length[..], &message].concat();
        let begin = frame(HEADERS, END_HEADERS, 1, &head);
        let end = frame(DATA, END_STREAM, 1, &message);
        stream.write_all(&[begin, end].concat()).await.unwrap();
        shows(&gateway, LAUNCHES_WAITING, 1.0).await;
        // It is counted a moment before it waits.
        Clock::system().sleep(Duration::from_millis(50)).await;
        clock.advance(Duration::from_millis(100));
        shows(&gateway, &shed("launch", "deadline"), 1.0).await;
    };
    tokio::select! {
        done = plan(client.clone(), "works") => panic!("{done:?}"),
        () = late => {}
    }
    shows(&gateway, PLANS_AT_WORK, 0.0).await;
    let listed = client.list_operations(list()).await.unwrap().into_inner();
    assert_eq!(listed.operations, []);
    stop(gateway, &clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_slowly_keeps_no_place_from_others() {
    let world = World::new(100.0).await;
    let cloud = format!("http://{}", world.simulator.addr());
    let gateway = gateway(&world, &cloud, "at_work_max = 1").await;
    let mut slow = connect([127, 0, 0, 1], gateway.grpc_addr()).await.unwrap();
    greet(&mut slow).await.unwrap();
    let begin = frame(HEADERS, END_HEADERS, 1, &call(LIST));
    slow.write_all(&begin).await.unwrap();
    slow.write_all(&frame(DATA, 0, 1, &[0])).await.unwrap();
    let method = r#"grpc_server_started_total{grpc_method="ListOperations",grpc_service="cvmgateway.v1.CvmGatewayService",grpc_type="unary"}"#;
    shows(&gateway, method, 1.0).await;
    let mut client = client(&gateway).await;
    let answer = client.list_operations(list());
    let answer = Clock::system().timeout(LONG, answer).await;
    answer.expect("no answer comes").unwrap();
    // It is answered as soon as it has sent all.
    let rest = frame(DATA, END_STREAM, 1, &[0, 0, 0, 0]);
    slow.write_all(&rest).await.unwrap();
    let handled = r#"grpc_server_handled_total{grpc_code="OK",grpc_method="ListOperations",grpc_service="cvmgateway.v1.CvmGatewayService",grpc_type="unary"}"#;
    shows(&gateway, handled, 2.0).await;
    gateway.stop().await;
}

/// Memory of this process, in which the gateway is.
fn resident_mib() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u32 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024 + 1
}

/// Has a gateway turn launches away, and nothing that is more urgent.
pub(crate) fn pressed() -> String {
    // So much of it is taken, however much the tests beside this one take.
    let memory = format!("memory_max_mib = {}", 30 * resident_mib());
    format!("[overload]\n{memory}\nhigh_percent = 1\ncritical_percent = 100\n")
}

/// Waits until a gateway that is pressed has turned a launch away.
pub(crate) async fn turned_away(gateway: &Gateway) {
    let launches = shed("launch", "overload");
    let turned = async {
        while counts(gateway).await[&launches] < 1.0 {
            Clock::system().sleep(Duration::from_millis(10)).await;
        }
    };
    // The launch may be that of an example that is built first.
    let turned = Clock::system().timeout(4 * LONG, turned).await;
    turned.expect("no launch is turned away");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_pressure_launches_are_given_up_first() {
    let world = World::new(100.0).await;
    let gateway = world.gateway(&pressed()).await;
    shows(&gateway, "cvm_gateway_pressure", 1.0).await;
    let mut client = client(&gateway).await;
    let status = client.run_instances(wish("refused", 1)).await.unwrap_err();
    let told = told(&status);
    assert_eq!(
        (told.code, told.reason.as_str()),
        (Code::Unavailable, "GATEWAY_BUSY"),
        "{status:?}"
    );
    assert_comes_back(&status);
    client.list_operations(list()).await.unwrap();
    let counts = counts(&gateway).await;
    assert_eq!(counts[&shed("launch", "overload")], 1.0);
    assert_eq!(counts[&shed("list", "overload")], 0.0);
    let taken = counts[r#"cvm_gateway_resource_taken_ratio{resource="memory"}"#];
    assert!((0.01..1.0).contains(&taken), "{taken}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_comes_back_when_it_was_turned_away() {
    let world = World::new(100.0).await;
    let busy = world.gateway(&pressed()).await;
    let addr = busy.grpc_addr();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    command.args(["run", "--server", &format!("http://{addr}")]);
    command.args(["--region", "ap-shanghai", "--zone", "ap-shanghai-2"]);
    command.args(["--image", "img-pmqg1cw7"]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let replaced = async {
        turned_away(&busy).await;
        busy.stop().await;
        world.gateway_at(addr, "").await
    };
    let both = async { tokio::join!(command.output(), replaced) };
    let both = Clock::system().timeout(2 * LONG, Box::pin(both)).await;
    let (output, gateway) = both.expect("the program does not come back");
    let output = output.unwrap();
    examine_output(&output);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("the gateway is about to run out"), "{told}");
    assert_eq!(world.machines().await.len(), 1, "{told}");
    gateway.stop().await;
}

/// What is answered then is answered to newcomers, too; but not to any number of them.
#[tokio::test(flavor = "multi_thread")]
async fn under_the_highest_pressure_few_connections_are_taken() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("[overload]\nmemory_max_mib = 1").await;
    shows(&gateway, "cvm_gateway_pressure", 2.0).await;
    let mut client = client(&gateway).await;
    let nobody_s = pb::CancelOperationRequest {
        name: "operations/019b7d5e-0000-7000-8000-000000000000".to_owned(),
    };
    let status = client.cancel_operation(nobody_s).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    let status = client.list_operations(list()).await.unwrap_err();
    assert_eq!(told(&status).reason, "GATEWAY_BUSY", "{status:?}");
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(connect(HERE, gateway.grpc_addr()).await.unwrap());
    }
    let mut last = streams.pop().unwrap();
    let mut byte = [0];
    let closed = Clock::system().timeout(LONG, last.read(&mut byte)).await;
    assert_eq!(closed.expect("it is not closed").unwrap_or(0), 0);
    let refused = r#"cvm_gateway_connections_refused_total{reason="overload"}"#;
    shows(&gateway, refused, 1.0).await;
    // Another peer has places of its own.
    let mut other = connect([127, 0, 0, 2], gateway.grpc_addr()).await.unwrap();
    greet(&mut other).await.unwrap();
    let read = Clock::system().timeout(LONG, other.read(&mut byte)).await;
    assert_eq!(read.expect("it is not greeted").unwrap(), 1);
    gateway.stop().await;
}

/// Who leaves a connection then could hardly come back.
#[tokio::test(flavor = "multi_thread")]
async fn under_the_highest_pressure_no_connection_is_old() {
    let world = World::new(100.0).await;
    let text = config_text(
        &world.folder.0,
        "http://127.0.0.1:9",
        "[overload]\nmemory_max_mib = 1",
    );
    let lines = "[grpc]\nconnection_age_max = \"300ms\"\n";
    let text = text.replace("[grpc]\n", lines);
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    shows(&gateway, "cvm_gateway_pressure", 2.0).await;
    let mut stream = connect(HERE, gateway.grpc_addr()).await.unwrap();
    greet(&mut stream).await.unwrap();
    let told = async {
        loop {
            let frame = next(&mut stream).await.unwrap();
            assert_ne!(frame.kind, GOAWAY);
        }
    };
    let told = Clock::system().timeout(Duration::from_secs(1), told).await;
    assert!(told.is_none());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_launches_nothing_takes_no_large_message() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let methods = ["GetOperation", "ListOperations", "TerminateInstances"];
    for method in methods {
        let path = format!("/cvmgateway.v1.CvmGatewayService/{method}");
        let bytes = framed(0, &vec![0; 17 << 10]);
        let told = told(&post(&gateway, &path, &[], bytes).await);
        assert_eq!(told.code, Code::InvalidArgument, "{method}");
        let rule = "over 16384 bytes; make the request smaller";
        assert!(told.message.contains(rule), "{method}: {}", told.message);
    }
    gateway.stop().await;
}

/// Requests that come slowly, or wait, hold so much memory of their organisation, and no more; what is more urgent is
/// answered all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_requests_hold_is_bounded() {
    let world = World::new(100.0).await;
    let text = config_text(&world.folder.0, "http://127.0.0.1:9", "");
    // A machine that is busy takes long to send so much.
    let lines = "[grpc]\nmessage_bytes_max = \"16MiB\"\nrequest_timeout = \"5m\"\n";
    let text = text.replace("[grpc]\n", lines);
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let stream = connect(HERE, gateway.grpc_addr()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = TaskTracker::new().spawn(connection);
    let mut begin = || {
        let request = http::Request::post(format!("http://gateway{LAUNCH}"))
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let (answer, mut body) = sender.send_request(request, false).unwrap();
        // All but its end.
        body.send_data(vec![0; 10 << 20].into(), false).unwrap();
        (answer, body)
    };
    let mut held = [begin(), begin()];
    for (_, body) in &mut held {
        // There is room for more, once nearly all of it was read.
        body.reserve_capacity(1);
        let read = std::future::poll_fn(|context| body.poll_capacity(context));
        let read = Clock::system().timeout(4 * LONG, read).await;
        read.expect("it is not read").unwrap().unwrap();
    }
    let (refused, _rest) = begin();
    let refused = Clock::system().timeout(4 * LONG, refused).await;
    let refused = refused.expect("nothing is refused").unwrap();
    let status = Status::from_header_map(refused.headers()).unwrap();
    let refused = told(&status);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::ResourceExhausted, "TOO_MANY_CALLS"),
        "{status:?}"
    );
    assert_comes_back(&status);
    shows(&gateway, &shed("launch", "organization_bytes"), 1.0).await;
    let mut client = client(&gateway).await;
    client.list_operations(list()).await.unwrap_err();
    let name = "operations/019b7d5e-0000-7000-8000-000000000000".to_owned();
    let urgent = client.get_operation(pb::GetOperationRequest { name }).await;
    assert_eq!(urgent.unwrap_err().code(), Code::NotFound);
    // What went away holds nothing.
    drop((held, sender));
    connection.abort();
    let again = async {
        while client.list_operations(list()).await.is_err() {
            Clock::system().sleep(Duration::from_millis(10)).await;
        }
    };
    let again = Clock::system().timeout(LONG, again).await;
    again.expect("it is held for ever");
    gateway.stop().await;
}
