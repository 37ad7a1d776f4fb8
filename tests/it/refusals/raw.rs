//! What only a client without our stubs sends: bytes that are no message, and paths that are no method.

use super::{nothing_happened, told};
use crate::world::{World, client, wish};
use axum::body::Body as Bytes;
use cvm_gateway::gateway::Gateway;
use http::{HeaderMap, Request};
use http_body::Body as _;
use prost::Message;
use std::pin::pin;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

const RUN_INSTANCES: &str = "/cvmgateway.v1.CvmGatewayService/RunInstances";
/// `grpc.message_bytes_max` of the test.
const MESSAGE_BYTES_MAX: usize = 2048;

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_are_refused() {
    let world = World::new(100.0).await;
    let mut config = world.config("");
    config.grpc.message_bytes_max = u32::try_from(MESSAGE_BYTES_MAX).unwrap();
    let gateway = world.gateway_of(config).await;

    let mut long = wish("long", 1);
    long.spec.as_mut().unwrap().user_data = Some("x".repeat(MESSAGE_BYTES_MAX));
    let long = long.encode_to_vec();
    let sound = wish("sound", 1).encode_to_vec();
    let cut = &sound[..sound.len() - 1];
    // Field 1 of RunInstancesRequest as a number, and as a text that is no UTF-8.
    let (number, no_utf8) = ([0x08, 0x01], [0x0a, 0x02, 0xff, 0xfe]);
    for (bytes, says) in [
        (framed(0, cut), "generate the stubs anew"),
        (framed(0, &number), "request_id"),
        (framed(0, &no_utf8), "request_id"),
        (Vec::new(), "send one message"),
        (framed(1, &sound), "send one message"),
        (framed(7, &sound), "send one message"),
        (framed(0, &long), "make the request smaller"),
    ] {
        let told = told(&post(&gateway, RUN_INSTANCES, &[], bytes).await);
        assert_eq!(told.code, Code::InvalidArgument, "{}", told.message);
        assert_eq!(told.reason, "INVALID_PARAMETER", "{}", told.message);
        assert!(told.message.contains(says), "{says}: {}", told.message);
    }
    nothing_happened(&world, &mut client(&gateway).await).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_method_of_ours_is_refused() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let gzip = [("grpc-encoding", "gzip")];
    for (path, headers, says) in [
        (
            "/cvmgateway.v1.CvmGatewayService/Nope",
            &[][..],
            "no such method",
        ),
        ("/other.Service/RunInstances", &[], "no such method"),
        ("/", &[], "no such method"),
        (RUN_INSTANCES, &gzip, "gzip"),
    ] {
        let bytes = framed(
            u8::from(!headers.is_empty()),
            &wish("sound", 1).encode_to_vec(),
        );
        let told = told(&post(&gateway, path, headers, bytes).await);
        assert_eq!(told.code, Code::Unimplemented, "{path}");
        assert_eq!(told.reason, "NOT_IMPLEMENTED", "{path}");
        assert!(told.message.contains(says), "{path}: {}", told.message);
    }
    nothing_happened(&world, &mut client(&gateway).await).await;
    gateway.stop().await;
}

/// A gRPC frame: a flag, the length, the message.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

/// POSTs bytes to a path; the status of the answer.
pub(crate) async fn post(
    gateway: &Gateway,
    path: &str,
    headers: &[(&str, &str)],
    bytes: Vec<u8>,
) -> Status {
    let base = format!("http://{}", gateway.grpc_addr());
    let mut channel = Endpoint::from_shared(base.clone())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut request = Request::post(format!("{base}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::new(Bytes::from(bytes))).unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    let (head, body) = response.into_parts();
    let trailers = read_trailers(body).await;
    let in_head = Status::from_header_map(&head.headers);
    in_head
        .or_else(|| Status::from_header_map(&trailers))
        .unwrap()
}

async fn read_trailers(body: Body) -> HeaderMap {
    let mut body = pin!(body);
    let mut trailers = HeaderMap::new();
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await
    {
        if let Ok(found) = frame.unwrap().into_trailers() {
            trailers = found;
        }
    }
    trailers
}
