//! The doors beside our own service: health and reflection over gRPC, liveness and readiness over
//! HTTP; and callers that stop waiting.

use crate::world::{World, client, config_text, get, read, ready_again, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::gateway::Gateway;
use cvm_gateway::pb;
use cvm_gateway::pb::v1::cvm_gateway_service_server::SERVICE_NAME;
use futures_util::stream;
use prost::Message;
use prost_types::FileDescriptorProto;
use sqlx::{AnyConnection, Connection, Executor};
use std::time::Duration;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_for_the_server_and_the_service() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut health = HealthClient::new(channel(&gateway).await);
    for (service, expected) in [
        ("", Ok(ServingStatus::Serving)),
        (SERVICE_NAME, Ok(ServingStatus::Serving)),
        ("cvmgateway.v1.Other", Err(Code::NotFound)),
    ] {
        let answer = health.check(of(service)).await;
        let told = answer.map(|answer| answer.into_inner().status());
        assert_eq!(told.map_err(|status| status.code()), expected, "{service}");
    }
    gateway.stop().await;
}

/// Everybody may ask these, and none of them waits for a place: they take no message that is larger than theirs are.
#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_take_no_large_message() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let channel = channel(&gateway).await;
    let mut health = HealthClient::new(channel.clone());
    let asked = health.check(of(&"x".repeat(2 << 10))).await;
    assert_eq!(asked.unwrap_err().code(), Code::OutOfRange);
    let watched = health.watch(of(&"x".repeat(2 << 10))).await;
    assert_eq!(watched.unwrap_err().code(), Code::OutOfRange);
    let symbol = MessageRequest::FileContainingSymbol("x".repeat(8 << 10));
    let asked = stream::iter([ServerReflectionRequest {
        host: String::new(),
        message_request: Some(symbol),
    }]);
    let mut reflection = ServerReflectionClient::new(channel);
    let answers = reflection.server_reflection_info(asked).await.unwrap();
    // Its stream ends, without an answer.
    assert_eq!(answers.into_inner().message().await.unwrap(), None);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_health_learns_of_the_stop_and_does_not_delay_it() {
    let world = World::new(100.0).await;
    let text = config_text(&world.folder.0, "http://127.0.0.1:9", "");
    let text = text.replace("drain_timeout = \"5s\"", "drain_timeout = \"2m\"");
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let mut health = HealthClient::new(channel(&gateway).await);
    let mut watched = health.watch(of(SERVICE_NAME)).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let clock = Clock::system();
    let watching = async {
        let last = watched.message().await.unwrap().unwrap();
        assert_eq!(last.status(), ServingStatus::NotServing);
        assert_eq!(watched.message().await.unwrap(), None);
    };
    let both = async { tokio::join!(gateway.stop(), watching) };
    let soon = clock.timeout(Duration::from_secs(30), both).await;
    soon.expect("the watch delays the stop");
}

/// Who watches health has shown no identity: one connection does so a few times at once, and takes no place of others.
#[tokio::test(flavor = "multi_thread")]
async fn watches_of_health_are_few_on_one_connection() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut health = HealthClient::new(channel(&gateway).await);
    let mut watched = Vec::new();
    for _ in 0..4 {
        let mut watch = health.watch(of("")).await.unwrap().into_inner();
        watch.message().await.unwrap().unwrap();
        watched.push(watch);
    }
    let refused = health.watch(of("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    health.check(of("")).await.unwrap();
    let mut other = HealthClient::new(channel(&gateway).await);
    other.watch(of("")).await.unwrap();
    // A place is free again when its stream has ended.
    watched.pop();
    let clock = Clock::system();
    let again = async {
        while health.watch(of("")).await.is_err() {
            clock.sleep(Duration::from_millis(10)).await;
        }
    };
    let again = clock.timeout(Duration::from_secs(30), again).await;
    again.expect("no place is free again");
    gateway.stop().await;
}

/// The count of writes that a full disk has failed.
const FULL: &str = "cvm_gateway_journal_failures_total{kind=\"full\"} ";

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_journal() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let url = format!("sqlite://{}/journal.db", world.folder.0.display());
    let mut journal = AnyConnection::connect(&url).await.unwrap();
    let full = "CREATE TABLE full_up (id INTEGER PRIMARY KEY AUTOINCREMENT);
        INSERT INTO full_up VALUES (9223372036854775807);
        CREATE TRIGGER full_1 BEFORE INSERT ON operations
        BEGIN INSERT INTO full_up (id) VALUES (NULL); END;
        CREATE TRIGGER full_2 BEFORE INSERT ON probe
        BEGIN INSERT INTO full_up (id) VALUES (NULL); END;";
    let free = "DROP TRIGGER full_1; DROP TRIGGER full_2;";
    for (change, status, says) in [
        ("", "200 OK", "ok\n"),
        (full, "503 Service Unavailable", "free space on it"),
        (free, "200 OK", "ok\n"),
    ] {
        journal.execute(change).await.unwrap();
        if change == free {
            ready_again(&gateway).await;
        }
        // Only a write finds out; to its end, so that none of its own writes comes in between.
        drop(run(&mut client, wish("probe", 1)).await);
        tells(&gateway, status, says).await;
        let (head, body) = get(gateway.admin_addr(), "/livez").await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/plain"));
        assert_eq!(body, "ok\n");
    }
    let (_, scrape) = get(gateway.admin_addr(), "/metrics").await;
    let full = scrape.lines().find_map(|line| line.strip_prefix(FULL));
    assert!(full.unwrap().parse::<u32>().unwrap() > 0, "{scrape}");
    let (head, _) = get(gateway.admin_addr(), "/other").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    gateway.stop().await;
}

/// Waits until its readiness is told so: a journal that answers late is not ready for a moment, either.
async fn tells(gateway: &Gateway, status: &str, says: &str) {
    let status = format!("HTTP/1.1 {status}");
    let told = async {
        loop {
            let (head, body) = get(gateway.admin_addr(), "/readyz").await;
            if head.starts_with(&status) && body.contains(says) {
                return;
            }
            Clock::system().sleep(Duration::from_millis(20)).await;
        }
    };
    let told = Clock::system().timeout(Duration::from_secs(60), told).await;
    told.unwrap_or_else(|| panic!("it is never {status} with {says}"));
}

/// Both versions of the protocol have the same messages in packages of their own.
macro_rules! reflects {
    ($test:ident, $version:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let world = World::new(100.0).await;
            let gateway = world.gateway("").await;
            let mut reflection = ServerReflectionClient::new(channel(&gateway).await);
            let requests = [
                MessageRequest::ListServices(String::new()),
                MessageRequest::FileContainingSymbol(SERVICE_NAME.to_owned()),
            ];
            let requests = requests.map(|request| ServerReflectionRequest {
                host: String::new(),
                message_request: Some(request),
            });
            let answers = reflection.server_reflection_info(stream::iter(requests));
            let mut answers = answers.await.unwrap().into_inner();
            let first = answers.message().await.unwrap().unwrap().message_response;
            let Some(MessageResponse::ListServicesResponse(list)) = first else {
                panic!("{first:?}");
            };
            let names: Vec<&str> = list.service.iter().map(|one| one.name.as_str()).collect();
            assert!(names.contains(&SERVICE_NAME), "{names:?}");
            assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
            let second = answers.message().await.unwrap().unwrap().message_response;
            let Some(MessageResponse::FileDescriptorResponse(file)) = second else {
                panic!("{second:?}");
            };
            let bytes = &file.file_descriptor_proto[0];
            let file = FileDescriptorProto::decode(bytes.as_slice()).unwrap();
            assert_eq!(file.package(), "cvmgateway.v1");
            assert_eq!(file.service[0].method.len(), 8);
            drop(answers);
            gateway.stop().await;
        }
    };
}

reflects!(reflection_v1_describes_the_service, v1);
reflects!(reflection_v1alpha_describes_the_service, v1alpha);

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_stops_waiting_stops_nothing_else() {
    let (world, later) = World::still().await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let stream = client.run_instances(wish("impatient", 2)).await.unwrap();
    stream.into_inner().message().await.unwrap().unwrap();

    world.launched(2).await;
    later.comes();
    let again = client.run_instances(wish("impatient", 2)).await.unwrap();
    let seen = read(again.into_inner()).await;
    seen.end.as_ref().unwrap();
    assert_eq!(seen.last().state(), pb::v1::OperationState::Succeeded);
    assert_eq!((seen.last().attempts, world.machines().await.len()), (1, 2));
    gateway.stop().await;
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

pub(crate) async fn channel(gateway: &Gateway) -> Channel {
    let url = format!("http://{}", gateway.grpc_addr());
    Endpoint::from_shared(url).unwrap().connect().await.unwrap()
}
