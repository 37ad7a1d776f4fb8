//! Traces over the wire: a collector that is one, one that is gone, and one that only listens.

use crate::canary;
use crate::identity::pki::Authority;
use crate::identity::tokens::{ISSUER, Signer};
use crate::identity::{CALLERS, put};
use crate::world::{Client, World, config_text, get, put_secret, read, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::TaskTracker;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const RPC: &str = "cvmgateway.v1.CvmGatewayService/RunInstances";
const CALLER: &str = "00f067aa0ba902b7";

/// Keeps what it is sent, with the process that sent it.
#[derive(Clone, Debug, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        canary::examine("the spans", format!("{request:?}"));
        for resource in request.resource_spans {
            let process = resource.resource.unwrap().attributes;
            let of = |key: &str| text(&process, key).unwrap();
            assert_eq!(of("service.name"), "cvm-gateway");
            let process = of("service.instance.id");
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            let spans = spans.map(|span| (process.clone(), span));
            self.0.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text(
    attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue],
    key: &str,
) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let value = found.value.clone()?.value?;
    Some(if let Any::StringValue(text) = value {
        text
    } else if let Any::IntValue(number) = value {
        number.to_string()
    } else {
        format!("{value:?}")
    })
}

impl Collector {
    /// Listens; its address, too.
    async fn start(tasks: &TaskTracker) -> (Self, SocketAddr) {
        Self::start_at(Server::builder(), tasks).await
    }

    async fn start_at(mut server: Server, tasks: &TaskTracker) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        let served = server.add_service(service);
        tasks.spawn(served.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, address)
    }

    /// The spans of a name, with their processes.
    fn spans(&self, name: &str) -> Vec<(String, Span)> {
        let spans = self.0.lock().unwrap();
        spans
            .iter()
            .filter(|(_, span)| span.name == name)
            .cloned()
            .collect()
    }

    /// The first span of a name in the trace of the caller that fits, once there is one.
    async fn wait(&self, name: &str, fits: impl Fn(&str, &Span) -> bool) -> Span {
        self.wait_anywhere(name, |process, span| {
            hex::encode(&span.trace_id) == TRACE && fits(process, span)
        })
        .await
    }

    /// The same in any trace.
    async fn wait_anywhere(&self, name: &str, fits: impl Fn(&str, &Span) -> bool) -> Span {
        let clock = Clock::system();
        let found = async {
            loop {
                let mut spans = self.spans(name).into_iter();
                if let Some((_, span)) = spans.find(|(process, span)| fits(process, span)) {
                    return span;
                }
                clock.sleep(Duration::from_millis(20)).await;
            }
        };
        let found = clock.timeout(Duration::from_secs(90), found).await;
        found.unwrap_or_else(|| panic!("no such {name} among {:?}", self.names()))
    }

    fn names(&self) -> Vec<String> {
        let spans = self.0.lock().unwrap();
        spans.iter().map(|(_, span)| span.name.clone()).collect()
    }
}

/// A gateway in a process of its own, since the log is there once in a process.
struct Process {
    child: Child,
    grpc: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    async fn start(world: &World, tracing: &str) -> Self {
        let endpoint = format!("http://{}", world.simulator.addr());
        let extra = format!("[log]\nformat = \"json\"\n[tracing]\n{tracing}");
        let path = world.folder.join("traces.toml");
        put_secret(&path, &config_text(&world.folder.0, &endpoint, &extra));
        tokio::task::spawn_blocking(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
            command.arg("serve").arg("--config").arg(path);
            let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            let serving = lines.find_map(|line| {
                let line = line.unwrap();
                canary::examine("the log of a process", &line);
                let line: Value = serde_json::from_str(&line).unwrap();
                (line["message"] == "serving").then_some(line)
            });
            let serving = serving.expect("the gateway does not start");
            // What it says else is read, so that it never waits for us.
            std::thread::spawn(move || lines.for_each(drop));
            let address = |field: &str| serving[field].as_str().unwrap().parse().unwrap();
            Self {
                child,
                grpc: address("grpc"),
                admin: address("admin"),
            }
        })
        .await
        .unwrap()
    }

    async fn client(&self) -> Client {
        let url = format!("http://{}", self.grpc);
        Client::new(crate::tap::Tap::connect(url).await.unwrap())
    }

    /// Returns once so many spans are counted so.
    async fn counts(&self, result: &str, spans: f64) {
        let clock = Clock::system();
        let counted = async {
            while self.spans_total(result).await < spans {
                clock.sleep(Duration::from_millis(20)).await;
            }
        };
        let counted = clock.timeout(Duration::from_secs(30), counted).await;
        counted.unwrap_or_else(|| panic!("not {spans} spans are {result}"));
    }

    async fn spans_total(&self, result: &str) -> f64 {
        let (_, metrics) = get(self.admin, "/metrics").await;
        let series = format!("cvm_gateway_trace_spans_total{{result=\"{result}\"}} ");
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(&series));
        value
            .unwrap_or_else(|| panic!("{metrics}"))
            .parse()
            .unwrap()
    }

    /// The metrics as Prometheus asks for them.
    async fn openmetrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        let request = format!(
            "GET /metrics HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        canary::examine("the side door", &answer);
        let kind = "content-type: application/openmetrics-text; version=1.0.0";
        assert!(answer.to_lowercase().contains(kind), "{answer}");
        assert!(answer.contains("\n# EOF\n"), "{answer}");
        answer
    }

    /// Tells it to stop; how long that takes.
    async fn stop(mut self) -> Duration {
        let clock = Clock::system();
        let before = clock.elapsed();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = tokio::task::spawn_blocking(move || self.child.wait().unwrap());
        assert!(ended.await.unwrap().success());
        clock.elapsed() - before
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A test that fails leaves no process behind.
impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
    }
}

/// A launch by a caller that is at a place in a trace, recorded or not.
fn traced(request_id: &str, flags: &str) -> Request<pb::RunInstancesRequest> {
    let mut request = Request::new(wish(request_id, 2));
    let parent = format!("00-{TRACE}-{CALLER}-{flags}");
    request
        .metadata_mut()
        .insert("traceparent", parent.parse().unwrap());
    request
}

fn is_below(child: &Span, parent: &[u8]) {
    assert_eq!(hex::encode(&child.trace_id), TRACE, "{child:?}");
    assert_eq!(child.parent_span_id, parent, "{child:?}");
    assert!(child.start_time_unix_nano <= child.end_time_unix_nano);
}

fn has(span: &Span, rows: &[(&str, &str)]) {
    for (key, value) in rows {
        let found = text(&span.attributes, key);
        assert_eq!(found.as_deref(), Some(*value), "{key} of {span:?}");
    }
}

/// The call that launches is a part of a step, which comes after the RPC.
async fn calls_the_cloud(collector: &Collector, rpc: &[u8], operation: &str) {
    let call = collector.wait("RunInstances", |_, _| true).await;
    assert_eq!(call.kind, i32::from(SpanKind::Client));
    has(
        &call,
        &[
            ("account", "main"),
            ("region", "ap-shanghai"),
            ("class", "ok"),
        ],
    );
    let around = |_: &str, step: &Span| step.span_id == call.parent_span_id;
    let step = collector.wait("step", around).await;
    is_below(&step, rpc);
    has(&step, &[("operation", operation)]);
    assert_eq!(collector.spans("RunInstances").len(), 1);
}

/// What the poll saw is told in the trace, and the poll links it.
async fn is_observed(collector: &Collector, rpc: &[u8]) {
    let observed = collector.wait("observed", |_, _| true).await;
    is_below(&observed, rpc);
    let linked = |span: &Span, to: &[u8]| span.links.iter().any(|link| link.span_id == to);
    let of_it = |_: &str, poll: &Span| linked(&observed, &poll.span_id);
    let poll = collector.wait_anywhere("poll", of_it).await;
    assert_ne!(
        hex::encode(&poll.trace_id),
        TRACE,
        "it is about many operations"
    );
    assert!(linked(&poll, rpc));
}

/// Each latency that the launch is counted in has it as an exemplar.
fn names_the_trace(series: &str) {
    for (metric, labels) in [
        (
            "grpc_server_handling_seconds",
            "grpc_method=\"RunInstances\"",
        ),
        (
            "cvm_gateway_cloud_request_seconds",
            "account=\"main\",action=\"RunInstances\"",
        ),
        ("cvm_gateway_launch_seconds", "state=\"SUCCEEDED\""),
    ] {
        let begin = format!("{metric}_bucket{{{labels}");
        let exemplar = format!(" # {{trace_id=\"{TRACE}\"}} ");
        let mut lines = series.lines().filter(|line| line.starts_with(&begin));
        assert!(
            lines.any(|line| line.contains(&exemplar)),
            "{begin} in\n{series}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_is_one_trace_from_the_caller_to_the_cloud() {
    let world = World::new(100.0).await;
    let tasks = TaskTracker::new();
    let (collector, address) = Collector::start(&tasks).await;
    let tracing = format!("endpoint = \"http://{address}\"\nsample_ratio = 1.0");
    let process = Process::start(&world, &tracing).await;
    let mut client = process.client().await;
    let launched = client.run_instances(traced("traced", "01")).await;
    let seen = read(launched.unwrap().into_inner()).await;
    seen.end.as_ref().unwrap();
    let name = seen.last().name.clone();
    let id = name.trim_start_matches("operations/");

    let rpc = collector.wait(RPC, |_, _| true).await;
    is_below(&rpc, &hex::decode(CALLER).unwrap());
    assert_eq!(rpc.kind, i32::from(SpanKind::Server));
    has(
        &rpc,
        &[
            ("rpc.system", "grpc"),
            ("rpc.method", "RunInstances"),
            ("rpc.grpc.status_code", "0"),
            ("request_id", "traced"),
            ("operation", id),
            ("organization", "development"),
        ],
    );
    let policy = collector.wait("policy", |_, _| true).await;
    is_below(&policy, &rpc.span_id);
    let journal = collector.wait("journal", |_, _| true).await;
    is_below(&journal, &rpc.span_id);
    calls_the_cloud(&collector, &rpc.span_id, id).await;
    is_observed(&collector, &rpc.span_id).await;
    names_the_trace(&process.openmetrics().await);
    process.counts("ok", 5.0).await;
    process.stop().await;
    drop(tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_another_authority_is_trusted_by_its_file() {
    let world = World::new(100.0).await;
    let tasks = TaskTracker::new();
    let authority = Authority::new("of the collector");
    let tls = ServerTlsConfig::new().identity(authority.server().identity());
    let server = Server::builder().tls_config(tls).unwrap();
    let (collector, address) = Collector::start_at(server, &tasks).await;
    std::fs::write(world.folder.join("collector.pem"), authority.pem()).unwrap();
    let endpoint = format!("endpoint = \"https://localhost:{}\"", address.port());
    let stranger = Process::start(&world, &endpoint).await;
    let mut client = stranger.client().await;
    let launched = client.run_instances(traced("untold", "01")).await;
    read(launched.unwrap().into_inner()).await.end.unwrap();
    stranger.counts("failed", 1.0).await;
    stranger.stop().await;
    assert!(collector.names().is_empty());
    let tracing = format!("{endpoint}\nca_file = \"collector.pem\"");
    let process = Process::start(&world, &tracing).await;
    let mut client = process.client().await;
    let launched = client.run_instances(traced("told", "01")).await;
    read(launched.unwrap().into_inner()).await.end.unwrap();
    let rpc = collector.wait(RPC, |_, _| true).await;
    has(&rpc, &[("request_id", "told")]);
    process.stop().await;
    drop(tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_in_the_next_process() {
    let world = World::new(2.0).await;
    let tasks = TaskTracker::new();
    let (collector, address) = Collector::start(&tasks).await;
    let tracing = format!("endpoint = \"http://{address}\"");
    let first = Process::start(&world, &tracing).await;
    let mut client = first.client().await;
    let launched = client.run_instances(traced("restart", "01")).await;
    let mut stream = launched.unwrap().into_inner();
    stream.message().await.unwrap();
    world.launched(2).await;
    collector.wait("RunInstances", |_, _| true).await;
    let (process, _) = collector.spans("RunInstances").remove(0);
    first.kill();
    let second = Process::start(&world, &tracing).await;
    collector.wait("observed", |of, _| of != process).await;
    second.stop().await;
    drop(tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_is_not_told() {
    let world = World::new(100.0).await;
    let tasks = TaskTracker::new();
    let (collector, address) = Collector::start(&tasks).await;
    let tracing = format!("endpoint = \"http://{address}\"\nsample_ratio = 0.0");
    let process = Process::start(&world, &tracing).await;
    let mut client = process.client().await;
    for request in [traced("left-out", "00"), Request::new(wish("not-drawn", 1))] {
        let launched = client.run_instances(request).await;
        read(launched.unwrap().into_inner()).await.end.unwrap();
    }
    let launched = client.run_instances(traced("taken", "01")).await;
    read(launched.unwrap().into_inner()).await.end.unwrap();
    collector.wait(RPC, |_, _| true).await;
    process.stop().await;
    let spans = collector.spans(RPC);
    let [(_, rpc)] = &spans[..] else {
        panic!("{spans:?}");
    };
    has(rpc, &[("request_id", "taken")]);
    drop(tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_has_nothing_recorded() {
    let world = World::new(100.0).await;
    let signer = Signer::new();
    put(&world.folder, "jwks.json", &signer.jwks());
    put(&world.folder, "denied.txt", "");
    let tasks = TaskTracker::new();
    let (collector, address) = Collector::start(&tasks).await;
    let (callers, _) = CALLERS.split_once("[grpc.tls]").unwrap();
    let identity = format!("{}{ISSUER}", callers.replace("mtls", "jwt"));
    let tracing = format!("endpoint = \"http://{address}\"\nsample_ratio = 0.0\n{identity}");
    let process = Process::start(&world, &tracing).await;
    let mut client = process.client().await;
    let stranger = client.run_instances(traced("stranger", "01")).await;
    assert_eq!(stranger.unwrap_err().code(), Code::Unauthenticated);
    let mut known = traced("known", "01");
    let token = signer.token("system:serviceaccount:web:api", 600);
    let token = format!("Bearer {token}").parse().unwrap();
    known.metadata_mut().insert("authorization", token);
    let launched = client.run_instances(known).await;
    read(launched.unwrap().into_inner()).await.end.unwrap();
    collector.wait(RPC, |_, _| true).await;
    process.stop().await;
    let spans = collector.spans(RPC);
    let [(_, rpc)] = &spans[..] else {
        panic!("{spans:?}");
    };
    has(rpc, &[("request_id", "known")]);
    drop(tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_or_hangs_costs_nothing() {
    let world = World::new(100.0).await;
    // The one is there and never answers, the other is not there.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [silent.local_addr().unwrap(), gone.local_addr().unwrap()];
    drop(gone);
    for (number, address) in addresses.into_iter().enumerate() {
        let tracing = format!("endpoint = \"http://{address}\"\nqueue = 4\ntimeout = \"1m\"");
        let process = Process::start(&world, &tracing).await;
        let mut client = process.client().await;
        let launches = async {
            for launch in 0..4 {
                let request = traced(&format!("nobody-{number}-{launch}"), "01");
                let launched = client.run_instances(request).await;
                read(launched.unwrap().into_inner()).await.end.unwrap();
            }
        };
        let clock = Clock::system();
        let launched = clock.timeout(Duration::from_secs(45), launches).await;
        launched.expect("launches wait for the collector");
        let took = process.stop().await;
        assert!(took < Duration::from_secs(45), "the stop took {took:?}");
    }
    let process = Process::start(
        &world,
        &format!("endpoint = \"http://{}\"\nqueue = 1", addresses[1]),
    )
    .await;
    let mut client = process.client().await;
    let counted = async {
        let mut launch = 0;
        while process.spans_total("failed").await == 0.0
            || process.spans_total("dropped").await == 0.0
        {
            launch += 1;
            let launched = client
                .run_instances(traced(&format!("counted-{launch}"), "01"))
                .await;
            read(launched.unwrap().into_inner()).await.end.unwrap();
        }
    };
    let counted = Clock::system()
        .timeout(Duration::from_secs(60), counted)
        .await;
    counted.expect("lost spans are not counted");
    process.stop().await;
    drop(silent);
}
