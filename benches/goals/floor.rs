//! The floors: programs that do the least that a server, or a forwarder, of such calls can do. `--as ROLE [ADDRESS]` is one of them.

use bytes::Bytes;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::cvm_gateway_service_server::{CvmGatewayService, CvmGatewayServiceServer};
use cvm_gateway::pb::v1::run_instances_response::Event;
use futures_util::stream::{self, Stream};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use serde_json::Value;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A stream of one message that stays open: the least that can be held for who watches.
pub(crate) const STREAMS: &str = "streams";
/// Answers a launch at once.
pub(crate) const ANSWERER: &str = "answerer";
/// Forwards a launch to an address, over HTTP/1.1 in JSON, and tells what came back.
pub(crate) const FORWARDER: &str = "forwarder";
/// A cloud that says the same to every call.
pub(crate) const CANNED: &str = "canned";
/// Takes spans, and forgets them.
pub(crate) const COLLECTOR: &str = "collector";

const CANNED_BODY: &str = r#"{"Response":{"InstanceIdSet":["ins-abcdefgh"],"RequestId":"6c2ff5b3-9d7b-4b8c-a3a2-3b1d0f7c5a11"}}"#;

/// Plays a role until SIGTERM. Says where it serves.
pub(crate) fn serve(arguments: &[String]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let mut terminated = signal(SignalKind::terminate()).unwrap();
        tokio::select! {
            () = play(arguments, listener) => {}
            _ = terminated.recv() => {}
        }
    });
}

async fn play(arguments: &[String], listener: TcpListener) {
    match arguments[0].as_str() {
        STREAMS => hold(listener).await,
        CANNED => answer(listener).await,
        COLLECTOR => collect(listener).await,
        ANSWERER => launch_nothing(listener, None).await,
        FORWARDER => launch_nothing(listener, Some(arguments[1].parse().unwrap())).await,
        other => panic!("no role: {other}"),
    }
}

/// Bare HTTP/2: a head, one message without content, and no end.
async fn hold(listener: TcpListener) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut builder = h2::server::Builder::new();
            builder.max_concurrent_streams(100_000);
            let mut connection = builder.handshake::<_, Bytes>(socket).await.unwrap();
            let mut held = Vec::new();
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                let head = http::Response::builder()
                    .header("content-type", "application/grpc")
                    .body(())
                    .unwrap();
                let mut stream = respond.send_response(head, false).unwrap();
                stream
                    .send_data(Bytes::from_static(&[0; 5]), false)
                    .unwrap();
                held.push(stream);
            }
        });
    }
}

/// The same bytes for whatever comes in a packet.
async fn answer(listener: TcpListener) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{CANNED_BODY}",
        CANNED_BODY.len()
    );
    let answer = Bytes::from(answer);
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut request = vec![0; 64 * 1024];
            while socket.read(&mut request).await.is_ok_and(|read| read > 0) {
                if socket.write_all(&answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn collect(listener: TcpListener) {
    tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Collector))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
        .unwrap();
}

struct Collector;

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        _spans: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// gRPC without anything behind it, but for a cloud.
async fn launch_nothing(listener: TcpListener, cloud: Option<SocketAddr>) {
    let null = Null {
        cloud,
        idle: Mutex::default(),
    };
    tonic::transport::Server::builder()
        .add_service(CvmGatewayServiceServer::new(null))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
        .unwrap();
}

/// A service that proves, decides, and remembers nothing.
struct Null {
    cloud: Option<SocketAddr>,
    /// Connections that nobody uses just now.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Null {
    /// A call of the cloud, as JSON both ways.
    async fn forward(&self, cloud: SocketAddr, wish: &pb::RunInstancesRequest) -> Vec<String> {
        let mut connection = self.connection(cloud).await;
        let body = serde_json::to_vec(&json(wish)).unwrap();
        let request = http::Request::post("/")
            .header("host", "cvm.tencentcloudapi.com")
            .header("content-type", "application/json; charset=utf-8")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let answer = connection.send_request(request).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        self.idle.lock().unwrap().push(connection);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let ids = answer["Response"]["InstanceIdSet"].as_array().unwrap();
        ids.iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect()
    }

    async fn connection(&self, cloud: SocketAddr) -> SendRequest<Full<Bytes>> {
        let idle = self.idle.lock().unwrap().pop();
        if let Some(connection) = idle.filter(|connection| !connection.is_closed()) {
            return connection;
        }
        let socket = TcpStream::connect(cloud).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket));
        let (connection, driver) = handshake.await.unwrap();
        tokio::spawn(driver);
        connection
    }
}

/// The parameters of the launch as the cloud names them.
fn json(wish: &pb::RunInstancesRequest) -> Value {
    let spec = wish.spec.as_ref().unwrap();
    let disks = spec
        .data_disks
        .iter()
        .map(|disk| serde_json::json!({"DiskType": disk.disk_type, "DiskSize": disk.disk_size}));
    let tags = spec.tag_specification.iter().map(|tags| {
        let each = tags.tags.iter();
        let each = each.map(|tag| serde_json::json!({"Key": tag.key, "Value": tag.value}));
        serde_json::json!({"ResourceType": tags.resource_type, "Tags": each.collect::<Vec<_>>()})
    });
    serde_json::json!({
        "Placement": {"Zone": spec.placement.as_ref().map(|placement| &placement.zone)},
        "ImageId": spec.image_id,
        "InstanceType": spec.instance_type,
        "InstanceCount": spec.instance_count,
        "InstanceName": spec.instance_name,
        "DataDisks": disks.collect::<Vec<_>>(),
        "TagSpecification": tags.collect::<Vec<_>>(),
        "UserData": spec.user_data,
        "ClientToken": wish.request_id,
    })
}

/// What a launch tells, once its machines have these ids.
fn message(
    wish: &pb::RunInstancesRequest,
    sequence: u64,
    ids: &[String],
) -> pb::RunInstancesResponse {
    let instance = |id: &String| pb::Instance {
        instance_id: id.clone(),
        ..pb::Instance::default()
    };
    let operation = pb::Operation {
        name: format!("operations/{}", wish.request_id),
        request_id: wish.request_id.clone(),
        region: wish.region.clone(),
        sequence,
        instance_count: 1,
        instances: ids.iter().map(instance).collect(),
        ..pb::Operation::default()
    };
    pb::RunInstancesResponse {
        event: Some(Event::Operation(operation)),
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl CvmGatewayService for Null {
    type RunInstancesStream = Answers<pb::RunInstancesResponse>;
    type WatchOperationStream = Answers<pb::WatchOperationResponse>;
    type TerminateInstancesStream = Answers<pb::TerminateInstancesResponse>;

    async fn run_instances(
        &self,
        request: Request<pb::RunInstancesRequest>,
    ) -> Result<Response<Self::RunInstancesStream>, Status> {
        let wish = request.into_inner();
        let ids = match self.cloud {
            Some(cloud) => self.forward(cloud, &wish).await,
            None => Vec::new(),
        };
        let told = [(1, &ids[..0]), (2, &ids[..]), (3, &ids[..])];
        let messages = told.map(|(sequence, ids)| Ok(message(&wish, sequence, ids)));
        Ok(Response::new(Box::pin(stream::iter(messages))))
    }

    async fn plan_run_instances(
        &self,
        _: Request<pb::PlanRunInstancesRequest>,
    ) -> Result<Response<pb::PlanRunInstancesResponse>, Status> {
        Err(nothing())
    }

    async fn watch_operation(
        &self,
        _: Request<pb::WatchOperationRequest>,
    ) -> Result<Response<Self::WatchOperationStream>, Status> {
        Err(nothing())
    }

    async fn get_operation(
        &self,
        _: Request<pb::GetOperationRequest>,
    ) -> Result<Response<pb::GetOperationResponse>, Status> {
        Err(nothing())
    }

    async fn list_operations(
        &self,
        _: Request<pb::ListOperationsRequest>,
    ) -> Result<Response<pb::ListOperationsResponse>, Status> {
        Err(nothing())
    }

    async fn cancel_operation(
        &self,
        _: Request<pb::CancelOperationRequest>,
    ) -> Result<Response<pb::CancelOperationResponse>, Status> {
        Err(nothing())
    }

    async fn terminate_instances(
        &self,
        _: Request<pb::TerminateInstancesRequest>,
    ) -> Result<Response<Self::TerminateInstancesStream>, Status> {
        Err(nothing())
    }

    async fn list_instances(
        &self,
        _: Request<pb::ListInstancesRequest>,
    ) -> Result<Response<pb::ListInstancesResponse>, Status> {
        Err(nothing())
    }
}

fn nothing() -> Status {
    Status::unimplemented("a floor launches, and nothing else")
}
