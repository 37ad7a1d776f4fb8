//! What comes after a launch was accepted: other places, cancelling, giving back.

use crate::postgres::{new_database, with_key_file};
use crate::world::{Client, Later, Seen, World, client, config_text, read, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::pb::v1 as pb;
use prost_types::Duration as PbDuration;
use serde_json::Value;
use std::time::Duration;
use tokio_util::task::TaskTracker;
use tonic::Code;
use tonic_types::StatusExt;

/// In a fast world a machine may be gone before it was seen to go.
pub(crate) const SOON_GONE: &str = "missing_grace = \"1s\"\nunseen_grace = \"1s\"";

/// Follows a termination to its end.
pub(crate) async fn terminate(client: &mut Client, request_id: &str, ids: &[String]) -> Seen {
    let mut seen = Seen {
        snapshots: Vec::new(),
        heartbeats: 0,
        end: Ok(()),
    };
    let request = termination(request_id, ids);
    let mut stream = match client.terminate_instances(request).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => {
            seen.end = Err(status);
            return seen;
        }
    };
    loop {
        match stream.message().await {
            Ok(None) => return seen,
            Ok(Some(message)) => match message.event.unwrap() {
                pb::terminate_instances_response::Event::Operation(operation) => {
                    seen.snapshots.push(operation);
                }
                pb::terminate_instances_response::Event::Heartbeat(_) => seen.heartbeats += 1,
            },
            Err(status) => {
                seen.end = Err(status);
                return seen;
            }
        }
    }
}

fn termination(request_id: &str, ids: &[String]) -> pb::TerminateInstancesRequest {
    pb::TerminateInstancesRequest {
        request_id: request_id.to_owned(),
        instance_ids: ids.to_vec(),
        timeout: Some(PbDuration {
            seconds: 60,
            nanos: 0,
        }),
    }
}

pub(crate) fn ids(operation: &pb::Operation) -> Vec<String> {
    let instances = operation.instances.iter();
    instances
        .map(|instance| instance.instance_id.clone())
        .collect()
}

fn reason(seen: &Seen) -> (Code, String) {
    let status = seen.end.as_ref().unwrap_err();
    let info = status.get_details_error_info().unwrap();
    (status.code(), info.reason)
}

/// The states that the ledger knows of each machine.
async fn lives(world: &World) -> Vec<Vec<String>> {
    let ledger = world.ledger().await;
    let machines = ledger.iter().filter(|entry| entry["kind"] == "machine");
    let states = |machine: &Value| {
        let changes = machine["states"].as_array().unwrap().iter();
        changes
            .map(|change| change["state"].as_str().unwrap().to_owned())
            .collect()
    };
    machines.map(states).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sold_out_place_is_left_for_the_next_with_a_token_of_its_own() {
    let world = World::new(100.0).await;
    let gateway = world.gateway(SOON_GONE).await;
    let mut client = client(&gateway).await;
    let mut wish = wish("elsewhere", 2);
    wish.spec.as_mut().unwrap().instance_type = Some("SOLDOUT.SMALL1".to_owned());
    wish.alternatives = vec![
        pb::Alternative {
            instance_type: Some("SCARCE.SMALL1".to_owned()),
            ..pb::Alternative::default()
        },
        pb::Alternative {
            zone: Some("ap-shanghai-4".to_owned()),
            ..pb::Alternative::default()
        },
    ];
    let seen = run(&mut client, wish.clone()).await;
    seen.end.as_ref().unwrap();
    assert_eq!(
        seen.states(),
        [
            "ACCEPTED",
            "SENT",
            "ACCEPTED",
            "SENT",
            "LAUNCHED",
            "SUCCEEDED"
        ]
    );
    assert_eq!(seen.last().instances[0].instance_type, "SCARCE.SMALL1");
    let ledger = world.ledger().await;
    let attempts = ledger
        .iter()
        .filter(|entry| entry["action"] == "RunInstances");
    let tokens: Vec<&Value> = attempts.map(|attempt| &attempt["client_token"]).collect();
    assert_eq!(tokens.len(), 2);
    assert_ne!(tokens[0], tokens[1]);

    // The same wish again is the same operation, and asks the cloud nothing.
    let again = run(&mut client, wish).await;
    assert_eq!(again.last().name, seen.last().name);
    assert_eq!(world.machines().await.len(), 2);
    gateway.stop().await;
}

/// Waits until a cancelled launch is on its way back; then its machines run, are called back, and go.
async fn goes_back(world: &World, later: &Later, client: &mut Client, name: &str) {
    let terminates = async {
        loop {
            let name = name.to_owned();
            let got = client.get_operation(pb::GetOperationRequest { name }).await;
            let seen = got.unwrap().into_inner().operation.unwrap();
            if seen.state() == pb::OperationState::Terminating {
                return;
            }
            Clock::system().sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = Duration::from_secs(60);
    let terminates = Clock::system().timeout(limit, terminates).await;
    terminates.expect("it is not given back");
    later.comes();
    world.called("TerminateInstances").await;
    later.comes();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_cancelled_gives_its_machines_back() {
    // A machine that runs would end the launch before it is cancelled.
    let (world, later) = World::still().await;
    let gateway = world.gateway(SOON_GONE).await;
    let mut client = client(&gateway).await;
    // An address of this kind would outlive its machine.
    let mut unwanted = wish("unwanted", 2);
    unwanted.spec.as_mut().unwrap().internet_accessible = Some(pb::InternetAccessible {
        internet_max_bandwidth_out: Some(1),
        ipv4_address_type: Some("HighQualityEIP".to_owned()),
        ..pb::InternetAccessible::default()
    });
    let stream = client.run_instances(unwanted).await.unwrap();
    let mut stream = stream.into_inner();
    let first = stream.message().await.unwrap().unwrap();
    let Some(pb::run_instances_response::Event::Operation(first)) = first.event else {
        panic!("{first:?}");
    };
    world.launched(2).await;
    let request = pb::CancelOperationRequest {
        name: first.name.clone(),
    };
    let told = client.cancel_operation(request.clone()).await.unwrap();
    assert_eq!(told.into_inner().operation.unwrap().name, first.name);
    goes_back(&world, &later, &mut client, &first.name).await;
    let seen = read(stream).await;
    assert_eq!(reason(&seen), (Code::Cancelled, "CANCELLED".to_owned()));
    assert_eq!(seen.last().state(), pb::OperationState::Cancelled);
    let lives = lives(&world).await;
    assert_eq!(lives.len(), 2);
    for life in lives {
        assert!(life.contains(&"TERMINATING".to_owned()), "{life:?}");
    }
    let ledger = world.ledger().await.into_iter();
    let mut calls = ledger.filter(|entry| entry["action"] == "TerminateInstances");
    let released = |entry: Value| {
        let body = entry["body"].as_str().unwrap();
        body.contains(r#""ReleaseAddress":true"#)
    };
    assert!(calls.all(released));

    // Cancelling again changes nothing.
    let again = client.cancel_operation(request).await.unwrap();
    assert_eq!(
        again.into_inner().operation.unwrap().state(),
        pb::OperationState::Cancelled
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_come_to_another_end_cannot_be_cancelled() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let kept = run(&mut client, wish("kept", 1)).await;
    let request = pb::CancelOperationRequest {
        name: kept.last().name.clone(),
    };
    let refused = client.cancel_operation(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("TerminateInstances"));
    gateway.stop().await;
}

/// The gateway that is asked is not the one that has the launch in hand.
#[tokio::test(flavor = "multi_thread")]
async fn any_replica_takes_the_order_to_cancel() {
    let (world, later) = World::still().await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let sqlite = format!("sqlite://{}/journal.db", world.folder.0.display());
    let text = config_text(
        &world.folder.0,
        &endpoint,
        "lease = \"3s\"\nmissing_grace = \"1s\"\nunseen_grace = \"1s\"",
    );
    let text = with_key_file(&text.replace(&sqlite, &new_database().await));
    let config = || Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let owner = world.gateway_of(config()).await;
    let other = world.gateway_of(config()).await;
    let stream = client(&owner).await.run_instances(wish("shared", 1)).await;
    let following = TaskTracker::new().spawn(read(stream.unwrap().into_inner()));
    world.launched(1).await;
    let mut second = client(&other).await;
    let listed = second.list_operations(pb::ListOperationsRequest::default());
    let listed = listed.await.unwrap().into_inner().operations;
    let name = listed[0].name.clone();
    let request = pb::CancelOperationRequest { name: name.clone() };
    second.cancel_operation(request).await.unwrap();
    goes_back(&world, &later, &mut second, &name).await;
    let seen = following.await.unwrap();
    assert_eq!(reason(&seen), (Code::Cancelled, "CANCELLED".to_owned()));
    owner.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_given_back_once_and_only_by_their_owner() {
    let world = World::new(100.0).await;
    let gateway = world.gateway(SOON_GONE).await;
    let mut client = client(&gateway).await;
    let launch = run(&mut client, wish("mine", 2)).await;
    let machines = ids(launch.last());
    let seen = terminate(&mut client, "back", &machines).await;
    seen.end.as_ref().unwrap();
    assert_eq!(seen.last().state(), pb::OperationState::Succeeded);
    assert_eq!(seen.last().kind(), pb::OperationKind::Termination);
    assert_eq!(launch.last().kind(), pb::OperationKind::Launch);
    let calls = |ledger: Vec<Value>| {
        let calls = ledger.into_iter();
        calls
            .filter(|entry| entry["action"] == "TerminateInstances")
            .count()
    };
    assert_eq!(calls(world.ledger().await), 1);

    // The same wish finds its operation; the same id for other machines is another wish.
    let again = terminate(&mut client, "back", &machines).await;
    assert_eq!(again.last().name, seen.last().name);
    assert_eq!(calls(world.ledger().await), 1);
    let other = terminate(&mut client, "back", &machines[..1]).await;
    assert_eq!(
        reason(&other),
        (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned())
    );

    // A machine that nobody launched here is not there.
    let foreign = terminate(&mut client, "theirs", &["ins-00000000".to_owned()]).await;
    assert_eq!(
        reason(&foreign),
        (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned())
    );
    assert_eq!(calls(world.ledger().await), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_terminations_are_refused_with_field_and_rule() {
    let world = World::new(100.0).await;
    let gateway = world.gateway(SOON_GONE).await;
    let mut client = client(&gateway).await;
    type Spoil = fn(&mut pb::TerminateInstancesRequest);
    let rows: [(Spoil, &str); 5] = [
        (|request| request.request_id.clear(), "request_id: "),
        (
            |request| request.instance_ids.clear(),
            "instance_ids: must be 1 to 100, not 0",
        ),
        (
            |request| request.instance_ids = vec!["ins-1".to_owned(); 101],
            "instance_ids: must be 1 to 100, not 101",
        ),
        (
            |request| request.instance_ids = vec!["ins 1".to_owned()],
            "instance_ids[0]: ",
        ),
        (
            |request| request.timeout = Some(PbDuration::default()),
            "timeout: must be whole seconds from 1 to 86400",
        ),
    ];
    for (spoil, says) in rows {
        let mut request = termination("bad", &["ins-1".to_owned()]);
        spoil(&mut request);
        let refused = client.terminate_instances(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(says), "{}", refused.message());
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_launched_is_listed_as_it_was_last_seen() {
    let world = World::new(100.0).await;
    let gateway = world.gateway(SOON_GONE).await;
    let mut client = client(&gateway).await;
    let first = run(&mut client, wish("first", 2)).await;
    let mut doomed = wish("doomed", 1);
    doomed.spec.as_mut().unwrap().instance_type = Some("LAUNCHFAIL.SMALL1".to_owned());
    run(&mut client, doomed).await.end.unwrap_err();
    let leaves = ids(first.last())[..1].to_vec();
    terminate(&mut client, "leaves", &leaves).await.end.unwrap();

    let mut pages = Vec::new();
    let mut request = pb::ListInstancesRequest {
        page_size: 2,
        region: Some("ap-shanghai".to_owned()),
        ..pb::ListInstancesRequest::default()
    };
    loop {
        let page = client.list_instances(request.clone()).await.unwrap();
        let page = page.into_inner();
        pages.push(page.instances);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let sizes: Vec<_> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 1]);
    let machines = pages.concat();
    assert_eq!(machines[0].failure_reason(), pb::ErrorReason::LaunchFailed);
    for machine in &machines[1..] {
        let seen = machine.instance.as_ref().unwrap();
        let left = leaves.contains(&seen.instance_id);
        // Who is gone was seen on its way, or as it was before: it is gone soon.
        let on_its_way = left && seen.instance_state == "TERMINATING";
        assert!(on_its_way || seen.instance_state == "RUNNING", "{seen:?}");
        assert_eq!(machine.operation, first.last().name);
        assert_eq!(machine.account, "main");
        assert!(!seen.private_ip_addresses.is_empty());
        assert!(machine.observe_time.is_some());
    }

    request.region = Some("ap-beijing".to_owned());
    let other = client.list_instances(request.clone()).await.unwrap_err();
    assert_eq!(
        other.code(),
        Code::InvalidArgument,
        "the token is another's"
    );
    request.page_token = String::new();
    let none = client.list_instances(request).await.unwrap();
    assert_eq!(none.into_inner(), pb::ListInstancesResponse::default());
    gateway.stop().await;
}
