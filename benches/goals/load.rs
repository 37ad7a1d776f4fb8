//! Callers: how many there are at once, and how far each follows its launch.

use base64::Engine;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use cvm_gateway::pb::v1::run_instances_response::Event;
use futures_util::future::join_all;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

/// Messages of one stream.
pub(crate) type Messages = Streaming<pb::RunInstancesResponse>;
pub(crate) type Client = CvmGatewayServiceClient<Channel>;

/// A caller's wait before it repeats what the gateway was too busy for.
const RETRY: Duration = Duration::from_millis(20);

/// How far a launch is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Its first message: it is durable.
    Accepted,
    /// The cloud has given the ids of its machines, and they are durable.
    Launched,
    /// The end of its stream.
    Ended,
}

pub(crate) async fn connect(address: SocketAddr, connections: usize) -> Vec<Client> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channels = join_all((0..connections).map(|_| endpoint.connect())).await;
    channels
        .into_iter()
        .map(|channel| Client::new(channel.unwrap()))
        .collect()
}

/// A launch of `count` machines with most of its parameters: about 480 bytes.
pub(crate) fn wish(count: i64) -> pb::RunInstancesRequest {
    let disk = |size| pb::DataDisk {
        disk_type: Some("CLOUD_PREMIUM".to_owned()),
        disk_size: Some(size),
        ..pb::DataDisk::default()
    };
    let tag = |key: &str, value: &str| pb::Tag {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    pb::RunInstancesRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        region: "ap-shanghai".to_owned(),
        spec: Some(pb::InstanceSpec {
            placement: Some(pb::Placement {
                zone: "ap-shanghai-2".to_owned(),
                ..pb::Placement::default()
            }),
            image_id: Some("img-pmqg1cw7".to_owned()),
            instance_type: Some("S5.SMALL1".to_owned()),
            instance_count: Some(count),
            instance_name: Some("bench".to_owned()),
            data_disks: vec![disk(100), disk(200)],
            tag_specification: vec![pb::TagSpecification {
                resource_type: "instance".to_owned(),
                tags: vec![tag("team", "web"), tag("stage", "test"), tag("cost", "7")],
            }],
            user_data: Some(
                base64::engine::general_purpose::STANDARD.encode("#!/bin/sh\n".repeat(12)),
            ),
            ..pb::InstanceSpec::default()
        }),
        ..pb::RunInstancesRequest::default()
    }
}

/// Launches one machine; again when the gateway is too busy. The rest of its stream.
pub(crate) async fn launch(
    client: &mut Client,
    wish: pb::RunInstancesRequest,
    until: Until,
) -> Messages {
    loop {
        match client.run_instances(wish.clone()).await {
            Ok(stream) => return follow(stream.into_inner(), until).await,
            Err(status) if is_busy(&status) => tokio::time::sleep(RETRY).await,
            Err(status) => panic!("{status:?}"),
        }
    }
}

/// Whether the gateway asks to come back. It does so, too, when a call took too long, as under callgrind on a
/// machine that is busy with something else.
fn is_busy(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded
    )
}

async fn follow(mut stream: Messages, until: Until) -> Messages {
    loop {
        let message = stream.message().await.unwrap();
        let reached = match (until, message) {
            (_, None) => true,
            (Until::Accepted, Some(_)) => true,
            (Until::Launched, Some(message)) => is_launched(&message),
            (Until::Ended, Some(_)) => false,
        };
        if reached {
            return stream;
        }
    }
}

fn is_launched(message: &pb::RunInstancesResponse) -> bool {
    match &message.event {
        Some(Event::Operation(operation)) => !operation.instances.is_empty(),
        Some(Event::Heartbeat(_)) | None => false,
    }
}

/// Callers that each make one call after the other, `calls` of them together; the seconds that each call took.
pub(crate) async fn closed_loop(
    clients: &[Client],
    callers: usize,
    calls: u32,
    until: Until,
) -> Vec<f64> {
    let next = AtomicU32::new(0);
    let calling = (0..callers).map(|caller| {
        let (mut client, next) = (clients[caller % clients.len()].clone(), &next);
        async move {
            let mut seconds = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < calls {
                let start = Instant::now();
                launch(&mut client, wish(1), until).await;
                seconds.push(start.elapsed().as_secs_f64());
            }
            seconds
        }
    });
    join_all(calling).await.concat()
}
