//! What is lost on the way to the cloud, and what survives the gateway's own end.

use crate::credentials::misbehave;
use crate::world::{World, client, config_text, read, run, wish};
use cvm_gateway::pb::v1 as pb;
use meddler::{Meddler, Mischief};
use process::Process;
use serde_json::Value;
use tonic::Code;

mod meddler;
pub(crate) mod process;

/// Looks soon, so that a test need not wait.
const SOON: &str = r#"
first_look_up = "20ms"
look_up_interval = "20ms"
retry_backoff = "20ms"
"#;

/// Launches two machines through a meddler that does `mischief` to the first RunInstances.
async fn launch_through(mischief: Mischief) -> (World, Vec<&'static str>, u32) {
    launch_in(World::new(100.0).await, mischief).await
}

async fn launch_in(world: World, mischief: Mischief) -> (World, Vec<&'static str>, u32) {
    let meddler = Meddler::start(world.simulator.addr(), "RunInstances", mischief).await;
    let config = world.config_of(&format!("http://{}", meddler.address()), SOON);
    let gateway = world.gateway_of(config).await;
    let mut client = client(&gateway).await;
    let seen = run(&mut client, wish("meddled", 2)).await;
    seen.end.as_ref().unwrap();
    let (states, attempts) = (seen.states(), seen.last().attempts);
    gateway.stop().await;
    (world, states, attempts)
}

async fn launches(world: &World) -> Vec<Value> {
    let mut ledger = world.ledger().await;
    ledger.retain(|entry| entry["action"] == "RunInstances");
    ledger
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_found_by_its_tag_and_not_sent_again() {
    for mischief in [Mischief::LoseAnswer, Mischief::AnswerWith500] {
        let (world, states, attempts) = launch_through(mischief).await;
        assert_eq!(
            states,
            ["ACCEPTED", "SENT", "RECONCILING", "LAUNCHED", "SUCCEEDED"]
        );
        assert_eq!(attempts, 1, "{mischief:?}");
        assert_eq!(launches(&world).await.len(), 1, "{mischief:?}");
        assert_eq!(world.machines().await.len(), 2, "{mischief:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_is_sent_again_with_the_same_token_and_bytes() {
    let (world, states, attempts) = launch_through(Mischief::LoseRequest).await;
    let expected = [
        "ACCEPTED",
        "SENT",
        "RECONCILING",
        "SENT",
        "LAUNCHED",
        "SUCCEEDED",
    ];
    assert_eq!(states, expected);
    assert_eq!(attempts, 2);
    assert_eq!(launches(&world).await.len(), 1);
    assert_eq!(world.machines().await.len(), 2);
}

/// The first launch of an account: the cloud knows no tag of the gateway yet, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_request_that_is_lost_is_sent_again() {
    let world = World::new(100.0).await;
    misbehave(&world, &serde_json::json!({"tag_key_not_found": true})).await;
    let (world, states, attempts) = launch_in(world, Mischief::LoseRequest).await;
    assert_eq!(states.last(), Some(&"SUCCEEDED"), "{states:?}");
    assert_eq!(attempts, 2);
    assert_eq!(launches(&world).await.len(), 1);
    assert_eq!(world.machines().await.len(), 2);
    let refused = |entry: &Value| entry["verdict"] == "InvalidParameterValue.TagKeyNotFound";
    assert!(world.ledger().await.iter().any(refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_arrives_twice_launches_once() {
    let (world, states, _) = launch_through(Mischief::Repeat).await;
    assert_eq!(states, ["ACCEPTED", "SENT", "LAUNCHED", "SUCCEEDED"]);
    let launches = launches(&world).await;
    assert_eq!(launches.len(), 2);
    assert_eq!(launches[0]["body_sha256"], launches[1]["body_sha256"]);
    assert_eq!(world.machines().await.len(), 2);
}

/// What another host does not know proves nothing, so the gateway does not go on there by itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_not_gone_on_with_at_another_host() {
    let world = World::new(0.1).await;
    let gateway = world.gateway("").await;
    let mut before = client(&gateway).await;
    let mut stream = before
        .run_instances(wish("moved", 1))
        .await
        .unwrap()
        .into_inner();
    let first = stream.message().await.unwrap().unwrap();
    let Some(pb::run_instances_response::Event::Operation(first)) = first.event else {
        panic!("{first:?}");
    };
    world.launched(1).await;
    gateway.stop().await;

    let meddler = Meddler::start(world.simulator.addr(), "Nothing", Mischief::Repeat).await;
    let config = world.config_of(&format!("http://{}", meddler.address()), "");
    let gateway = world.gateway_of(config).await;
    let mut after = client(&gateway).await;
    let again = run(&mut after, wish("moved", 1)).await;
    assert_eq!(again.last().name, first.name);
    assert_eq!(again.last().state(), pb::OperationState::NeedsOperator);
    assert_eq!(again.end.unwrap_err().code(), Code::Unknown);
    let failure = again.snapshots.last().unwrap().failure.as_ref().unwrap();
    assert!(
        failure.message.contains("it was begun at 127.0.0.1:"),
        "{failure:?}"
    );
    assert_eq!(world.machines().await.len(), 1);
    gateway.stop().await;
}

/// The process dies while its launch is on the way: the cloud launches, and nobody hears of it. The
/// next process finds the machines, and the caller goes on from its cursor.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_neither_loses_nor_repeats_its_launch() {
    let world = World::new(100.0).await;
    let meddler =
        Meddler::start(world.simulator.addr(), "RunInstances", Mischief::HoldAnswer).await;
    let endpoint = format!("http://{}", meddler.address());
    let config = world.folder.0.join("gateway.toml");
    let log = "[log]\nformat = \"json\"\n";
    std::fs::write(
        &config,
        config_text(&world.folder.0, &endpoint, &format!("{SOON}{log}")),
    )
    .unwrap();

    let mut process = Process::serve(&config).await;
    let mut before = process.client().await;
    let stream = before
        .run_instances(wish("killed", 3))
        .await
        .unwrap()
        .into_inner();
    let following = tokio_util::task::TaskTracker::new().spawn(read(stream));
    meddler.spoiled().await;
    process.kill().await;
    let seen = following.await.unwrap();
    assert!(seen.end.is_err());
    assert!(["ACCEPTED", "SENT"].starts_with(&seen.states()), "{seen:?}");

    let mut process = Process::serve(&config).await;
    let mut after = process.client().await;
    let request = pb::WatchOperationRequest {
        name: seen.last().name.clone(),
        after_sequence: seen.last().sequence,
    };
    let mut stream = after.watch_operation(request).await.unwrap().into_inner();
    let mut last = seen.last().clone();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(pb::watch_operation_response::Event::Operation(operation)) = message.event {
            assert!(operation.sequence > last.sequence, "never backwards");
            assert!(
                operation.transitions.starts_with(&last.transitions),
                "no gap"
            );
            last = operation;
        }
    }
    assert_eq!(last.state(), pb::OperationState::Succeeded);
    assert_eq!(last.attempts, 1);
    assert_eq!(launches(&world).await.len(), 1);
    assert_eq!(world.machines().await.len(), 3);

    // The same wish again is still the same operation, and a signal ends the process in order.
    let again = run(&mut after, wish("killed", 3)).await;
    assert_eq!(again.last().name, last.name);
    let other = after.run_instances(wish("killed", 4)).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists);
    assert_eq!(process.terminate().await, Some(0));
}
