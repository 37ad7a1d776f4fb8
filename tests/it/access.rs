//! The access log: one line for each call, whatever ended it.

use crate::log;
use crate::world::{World, client, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use std::time::Duration;
use tonic::{Code, Request};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The lines that hold all `parts`, once there is one.
async fn written(parts: &[&str]) -> Vec<String> {
    let clock = Clock::system();
    let written = async {
        while log::access(parts).is_empty() {
            clock.sleep(Duration::from_millis(50)).await;
        }
    };
    let written = clock.timeout(Duration::from_secs(60), written).await;
    written.unwrap_or_else(|| panic!("no line has {parts:?}"));
    log::access(parts)
}

/// The one line that holds `part`, once it is there.
async fn line(part: &str) -> String {
    let mut lines = written(&[part]).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

fn has(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

/// The number that a field of a line has.
fn number(line: &str, field: &str) -> f64 {
    let (_, value) = line.split_once(&format!(" {field}=")).unwrap();
    let end = value.find(' ').unwrap_or(value.len());
    value[..end].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_is_one_line_with_all_that_is_known_of_it() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut request = Request::new(wish("access-launch", 1));
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request
        .metadata_mut()
        .insert("traceparent", parent.parse().unwrap());
    let mut stream = client.run_instances(request).await.unwrap().into_inner();
    let mut name = String::new();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(pb::run_instances_response::Event::Operation(operation)) = message.event {
            name = operation.name;
        }
    }
    let line = line("request_id=\"access-launch\"").await;
    let operation = format!("operation={}", name.trim_start_matches("operations/"));
    let listener = format!("listener=\"{}\"", gateway.grpc_addr());
    has(
        &line,
        &[
            " INFO ",
            "RunInstances ended with OK",
            "service=\"cvmgateway.v1.CvmGatewayService\"",
            "code=\"OK\" ended=\"answer\"",
            "principal=\"developer\" organization=\"development\"",
            &operation,
            "peer=\"127.0.0.1:",
            &listener,
            &format!("trace_id=\"{TRACE}\""),
        ],
    );
    assert!(!line.contains("reason="), "{line}");
    assert!(number(&line, "took_ms") > 0.0, "{line}");
    assert!(number(&line, "bytes_received") > 20.0, "{line}");
    assert!(number(&line, "bytes_sent") > 100.0, "{line}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_tells_what_ended_the_call() {
    let world = World::new(0.01).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;

    let mut wrong = wish("access-wrong", 1);
    wrong.region = "ap-nowhere".to_owned();
    let ended = run(&mut client, wrong).await.end.unwrap_err();
    assert_eq!(ended.code(), Code::InvalidArgument);
    let refused = [
        &format!("listener=\"{}\"", gateway.grpc_addr()),
        "method=\"RunInstances\"",
        "code=\"InvalidArgument\"",
        "reason=\"INVALID_PARAMETER\" ended=\"answer\"",
    ];
    written(&refused).await;

    let left = client.run_instances(wish("access-left", 1)).await;
    let mut left = left.unwrap().into_inner();
    left.message().await.unwrap();
    drop(left);
    let line_left = line("request_id=\"access-left\"").await;
    has(&line_left, &["code=\"Canceled\" ended=\"client\""]);

    let stays = client.run_instances(wish("access-stop", 1)).await;
    let mut stays = stays.unwrap().into_inner();
    stays.message().await.unwrap();
    let reading = async { while let Ok(Some(_)) = stays.message().await {} };
    tokio::join!(gateway.stop(), reading);
    let stopped = line("request_id=\"access-stop\"").await;
    has(
        &stopped,
        &["code=\"Unavailable\" reason=\"GATEWAY_UNAVAILABLE\" ended=\"stop\""],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_their_connection_and_say_so() {
    let world = World::new(0.01).await;
    let grpc = "connection_age_max = \"300ms\"\nconnection_age_grace = \"10ms\"";
    let text = crate::world::config_text(
        &world.folder.0,
        &format!("http://{}", world.simulator.addr()),
        "",
    );
    let text = text.replace("[grpc]", &format!("[grpc]\n{grpc}"));
    let config = cvm_gateway::config::Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let mut client = client(&gateway).await;
    // Until a connection lived long enough for a stream to begin.
    let begun = async {
        let mut number = 0;
        loop {
            number += 1;
            let request_id = format!("access-age-{number}");
            let seen = run(&mut client, wish(&request_id, 1)).await;
            let ended = seen.end.unwrap_err().code();
            if !seen.snapshots.is_empty() {
                assert_eq!(ended, Code::Unavailable);
                return request_id;
            }
            let met_an_old_connection = [Code::Unavailable, Code::Cancelled].contains(&ended);
            assert!(met_an_old_connection, "{ended}");
        }
    };
    let begun = Clock::system()
        .timeout(Duration::from_secs(60), begun)
        .await;
    let request_id = begun.expect("no stream begins");
    let line = line(&format!("request_id=\"{request_id}\"")).await;
    has(&line, &["ended=\"connection_age\""]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_turned_off() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("[log]\naccess = false").await;
    let mut client = client(&gateway).await;
    run(&mut client, wish("access-off", 1)).await.end.unwrap();
    gateway.stop().await;
    assert_eq!(log::access(&["access-off"]), Vec::<String>::new());
    assert!(log::text().contains("access-off"), "other lines have it");
}
