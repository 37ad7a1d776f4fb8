//! The main job: from a gRPC call to machines that run.

use crate::credentials::misbehave;
use crate::postgres::{new_database, with_key_file};
use crate::world::{World, client, config_text, read, run, wish};
use cvm_gateway::config::Config;
use cvm_gateway::pb::v1 as pb;
use serde_json::json;
use tokio_util::task::TaskTracker;
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_run() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let seen = run(&mut client, wish("three", 3)).await;
    seen.end.as_ref().unwrap();
    assert_eq!(seen.states(), ["ACCEPTED", "SENT", "LAUNCHED", "SUCCEEDED"]);
    let operation = seen.last();
    assert_eq!(operation.attempts, 1);
    assert_eq!(
        (operation.account.as_str(), operation.principal.as_str()),
        ("main", "developer")
    );
    let mut ids: Vec<_> = operation
        .instances
        .iter()
        .map(|i| i.instance_id.clone())
        .collect();
    ids.sort();
    assert_eq!(ids, world.machines().await);
    for instance in &operation.instances {
        assert_eq!(instance.instance_state, "RUNNING");
        assert_eq!(instance.private_ip_addresses.len(), 1);
        assert_eq!(instance.zone, "ap-shanghai-2");
        assert!(instance.running_time.is_some());
    }
    gateway.stop().await;
}

/// The cloud may deliver fewer where the caller says how many are enough.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_as_are_enough_are_success() {
    let world = World::new(100.0).await;
    misbehave(&world, &json!({"partial_p": 1.0})).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut enough = wish("enough", 3);
    enough.spec.as_mut().unwrap().min_count = Some(1);
    enough.on_failure = pb::FailurePolicy::TerminateAll.into();
    let seen = run(&mut client, enough).await;
    seen.end.as_ref().unwrap();
    assert_eq!(seen.states(), ["ACCEPTED", "SENT", "LAUNCHED", "SUCCEEDED"]);
    let operation = seen.last();
    assert!(operation.instances.len() < 3, "{operation:?}");
    assert_eq!(operation.failure, None);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_run_with_the_journal_in_postgresql() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let sqlite = format!("sqlite://{}/journal.db", world.folder.0.display());
    let text = config_text(&world.folder.0, &endpoint, "");
    let text = with_key_file(&text.replace(&sqlite, &new_database().await));
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let mut client = client(&gateway).await;
    let seen = run(&mut client, wish("three", 3)).await;
    seen.end.as_ref().unwrap();
    assert_eq!(seen.states(), ["ACCEPTED", "SENT", "LAUNCHED", "SUCCEEDED"]);
    assert_eq!(world.machines().await.len(), 3);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_snapshot_comes_before_the_launch_and_heartbeats_while_it_takes() {
    let world = World::new(20.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let seen = run(&mut client, wish("slow", 1)).await;
    seen.end.as_ref().unwrap();
    assert_eq!(seen.snapshots[0].sequence, 1);
    assert!(seen.heartbeats > 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_gets_exactly_what_was_asked_for_and_the_gateway_s_marks() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut request = wish("exact", 1);
    let spec = request.spec.as_mut().unwrap();
    spec.instance_name = Some("web-{R:3}".to_owned());
    spec.disable_api_termination = Some(false);
    let seen = run(&mut client, request).await;
    let id = seen
        .last()
        .name
        .trim_start_matches("operations/")
        .to_owned();
    let ledger = world.ledger().await;
    let launch = ledger
        .iter()
        .find(|entry| entry["action"] == "RunInstances")
        .unwrap();
    let expected = json!({
        "Placement": { "Zone": "ap-shanghai-2" },
        "InstanceType": "S5.SMALL1",
        "ImageId": "img-pmqg1cw7",
        "InstanceCount": 1,
        "InstanceName": "web-{R:3}",
        "LoginSettings": { "Password": "***" },
        "UserData": "***",
        "Metadata": "***",
        "DisableApiTermination": false,
        "ClientToken": format!("{}-0", id.replace('-', "")),
        "TagSpecification": [{
            "ResourceType": "instance",
            "Tags": [{ "Key": "cvm-gateway:operation", "Value": id }],
        }],
    });
    let body = &launch["body"];
    let body = body
        .as_str()
        .map_or_else(|| body.clone(), |text| serde_json::from_str(text).unwrap());
    assert_eq!(body, expected);
    assert_eq!(seen.last().instances[0].instance_name, "web-3");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_follows_the_same_operation() {
    let world = World::new(20.0).await;
    let gateway = world.gateway("").await;
    let mut first = client(&gateway).await;
    let mut second = first.clone();
    let (a, b) = tokio::join!(
        run(&mut first, wish("twin", 2)),
        run(&mut second, wish("twin", 2))
    );
    a.end.unwrap();
    b.end.unwrap();
    assert_eq!(a.snapshots.last(), b.snapshots.last());
    let later = run(&mut first, wish("twin", 2)).await;
    assert_eq!(later.snapshots.last(), a.snapshots.last());
    assert_eq!(world.machines().await.len(), 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_under_the_same_id_is_refused_and_not_sent() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let first = run(&mut client, wish("reused", 1)).await;
    let status = client.run_instances(wish("reused", 2)).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "REQUEST_ID_REUSED");
    assert_eq!(info.metadata["operation"], first.last().name);
    assert_eq!(world.machines().await.len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_answered_after_the_rules_have_changed() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let first = run(&mut client(&gateway).await, wish("before", 2)).await;
    gateway.stop().await;

    let gateway = world.gateway("[limits]\ninstance_count_max = 1\n").await;
    let mut client = client(&gateway).await;
    let again = run(&mut client, wish("before", 2)).await;
    again.end.unwrap();
    assert_eq!(again.snapshots, [first.last().clone()]);
    let other = client.run_instances(wish("after", 2)).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_ahead_of_the_operation_is_refused() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let seen = run(&mut client, wish("cursor", 1)).await;
    let request = pb::WatchOperationRequest {
        name: seen.last().name.clone(),
        after_sequence: seen.last().sequence + 1,
    };
    let status = client.watch_operation(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "after_sequence");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_fails_tells_the_cloud_s_cause() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut request = wish("fails", 2);
    request.spec.as_mut().unwrap().instance_type = Some("LAUNCHFAIL.SMALL1".to_owned());
    let seen = run(&mut client, request).await;
    let status = seen.end.as_ref().unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(
        status.get_details_error_info().unwrap().reason,
        "LAUNCH_FAILED"
    );
    assert_eq!(seen.states(), ["ACCEPTED", "SENT", "LAUNCHED", "FAILED"]);
    let cause = &seen.last().instances[0].failure_message;
    assert!(
        !cause.is_empty() && status.message().contains(cause.as_str()),
        "{status:?}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_launches_nothing() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut request = wish("dry", 3);
    request.spec.as_mut().unwrap().dry_run = Some(true);
    let seen = run(&mut client, request).await;
    seen.end.as_ref().unwrap();
    assert_eq!(seen.states(), ["ACCEPTED", "SENT", "SUCCEEDED"]);
    assert_eq!(seen.last().instances.len(), 0);
    assert_eq!(world.machines().await.len(), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_got_watched_and_listed() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut finals = Vec::new();
    for number in 0..3 {
        let seen = run(&mut client, wish(&format!("list-{number}"), 1)).await;
        finals.push(seen.last().clone());
    }
    let name = finals[0].name.clone();
    let got = client
        .get_operation(pb::GetOperationRequest { name: name.clone() })
        .await
        .unwrap();
    assert_eq!(got.into_inner().operation.unwrap(), finals[0]);

    // From an old cursor the newest snapshot comes at once; from the newest there is nothing more.
    for (after_sequence, messages) in [(0, 1), (1, 1), (finals[0].sequence, 0)] {
        let request = pb::WatchOperationRequest {
            name: name.clone(),
            after_sequence,
        };
        let mut stream = client.watch_operation(request).await.unwrap().into_inner();
        let mut count = 0;
        while stream.message().await.unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, messages, "after {after_sequence}");
    }

    let list =
        |page_size, page_token: &str, states: &[pb::OperationState]| pb::ListOperationsRequest {
            page_size,
            page_token: page_token.to_owned(),
            states: states.iter().map(|state| i32::from(*state)).collect(),
        };
    let page = client
        .list_operations(list(2, "", &[]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.operations, [finals[2].clone(), finals[1].clone()]);
    let page = client
        .list_operations(list(2, &page.next_page_token, &[]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (page.operations, page.next_page_token.as_str()),
        (vec![finals[0].clone()], "")
    );
    for (state, count) in [
        (pb::OperationState::Succeeded, 3),
        (pb::OperationState::Failed, 0),
        (pb::OperationState::Cancelled, 0),
    ] {
        let page = client
            .list_operations(list(0, "", &[state]))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.operations.len(), count, "{state:?}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_launches_share_few_polls() {
    let world = World::new(10.0).await;
    let gateway = world.gateway("").await;
    let client = client(&gateway).await;
    // The account's limit is 10 launches a second, so the simulator throttles and the gateway
    // sends again what certainly did not run.
    let launches = (0..12).map(|number| {
        let mut client = client.clone();
        async move { run(&mut client, wish(&format!("many-{number}"), 5)).await }
    });
    for seen in futures_util::future::join_all(launches).await {
        seen.end.unwrap();
    }
    assert_eq!(world.machines().await.len(), 60);
    let ledger = world.ledger().await;
    let polls = ledger
        .iter()
        .filter(|entry| entry["action"] == "DescribeInstancesStatus")
        .count();
    let launched = ledger
        .iter()
        .filter(|entry| entry["action"] == "RunInstances" && entry["verdict"] == "OK");
    assert_eq!(launched.count(), 12);
    assert!(polls < 12 * 20, "{polls} polls for 12 launches");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_by_a_stop_is_resumed_without_a_gap() {
    let world = World::new(5.0).await;
    let gateway = world.gateway("").await;
    let mut before = client(&gateway).await;
    let stream = before
        .run_instances(wish("stopped", 2))
        .await
        .unwrap()
        .into_inner();
    let following = TaskTracker::new().spawn(read(stream));
    world.launched(2).await;
    gateway.stop().await;
    let seen = following.await.unwrap();
    let status = seen.end.as_ref().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "GATEWAY_UNAVAILABLE");
    assert_eq!(info.metadata["operation"], seen.last().name);
    assert_eq!(info.metadata["sequence"], seen.last().sequence.to_string());

    let gateway = world.gateway("").await;
    let mut after = client(&gateway).await;
    let request = pb::WatchOperationRequest {
        name: seen.last().name.clone(),
        after_sequence: seen.last().sequence,
    };
    let mut stream = after.watch_operation(request).await.unwrap().into_inner();
    let mut last = seen.last().clone();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(pb::watch_operation_response::Event::Operation(operation)) = message.event {
            assert!(operation.sequence > last.sequence);
            assert!(operation.transitions.starts_with(&last.transitions));
            last = operation;
        }
    }
    assert_eq!(last.state(), pb::OperationState::Succeeded);
    assert_eq!(
        world.machines().await.len(),
        2,
        "nothing was launched twice"
    );
    gateway.stop().await;
}
