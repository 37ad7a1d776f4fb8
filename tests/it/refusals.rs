//! Bad input: each is refused with a typed error that names field, rule and remedy, and leaves
//! nothing behind.

mod cloud;
pub(crate) mod raw;
mod start;
mod wishes;

use crate::world::{Client, World, client, wish};
use cvm_gateway::pb::v1 as pb;
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Makes a sound wish a bad one.
type Spoil = fn(&mut pb::RunInstancesRequest);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_refused() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut wish = wish("bad", 2);
    wish.account = Some("theirs".to_owned());
    let told = told(&client.run_instances(wish).await.unwrap_err());
    assert_eq!(told.code, Code::PermissionDenied);
    assert_eq!(told.reason, "POLICY_DENIED");
    let says = "theirs is not an account of the organisation development; it has: main";
    assert!(told.message.contains(says), "{}", told.message);
    nothing_happened(&world, &mut client).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_names_and_pages_are_refused() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let unknown = "operations/019b7d5e-0000-7000-8000-000000000001";
    let invalid = (
        Code::InvalidArgument,
        "INVALID_PARAMETER",
        "operations/ and a UUID",
    );
    let not_found = (Code::NotFound, "OPERATION_NOT_FOUND", "no such operation");
    for (name, (code, reason, says)) in [
        ("", invalid),
        ("operations/", invalid),
        ("operations/1", invalid),
        ("instances/019b7d5e-0000-7000-8000-000000000001", invalid),
        (unknown, not_found),
    ] {
        let name = name.to_owned();
        let get = pb::GetOperationRequest { name: name.clone() };
        let watch = pb::WatchOperationRequest {
            name: name.clone(),
            after_sequence: 0,
        };
        for status in [
            client.get_operation(get).await.unwrap_err(),
            client.watch_operation(watch).await.unwrap_err(),
        ] {
            let told = told(&status);
            assert_eq!((told.code, told.reason.as_str()), (code, reason), "{name}");
            let fields: &[&str] = if code == Code::NotFound {
                &[]
            } else {
                &["name"]
            };
            assert_eq!(told.fields, fields, "{name}");
            assert!(told.message.contains(says), "{name}: {}", told.message);
        }
    }
    for (page_size, page_token, states, field, says) in [
        (-1, "", vec![], "page_size", "must not be negative"),
        (0, "?", vec![], "page_token", "next_page_token"),
        (0, "bm9uc2Vuc2U", vec![], "page_token", "next_page_token"),
        (0, "", vec![0], "states", "OperationState"),
        (0, "", vec![99], "states", "OperationState"),
    ] {
        let request = pb::ListOperationsRequest {
            page_size,
            page_token: page_token.to_owned(),
            states,
        };
        let told = told(&client.list_operations(request).await.unwrap_err());
        assert_eq!(told.code, Code::InvalidArgument, "{field}");
        assert_eq!(told.fields, [field]);
        assert!(told.message.contains(says), "{}", told.message);
    }
    nothing_happened(&world, &mut client).await;
    gateway.stop().await;
}

/// What a refusal tells.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The fields of `BadRequest`.
    pub(crate) fields: Vec<String>,
    /// Of `ErrorInfo`.
    pub(crate) metadata: HashMap<String, String>,
}

/// Reads a refusal, which must be typed as the proto promises for every one.
pub(crate) fn told(status: &Status) -> Told {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("there are no details: {status:?}"));
    assert_eq!(info.domain, "cvm-gateway", "{status:?}");
    let reason = format!("ERROR_REASON_{}", info.reason);
    assert!(
        pb::ErrorReason::from_str_name(&reason).is_some(),
        "{reason}"
    );
    let violations = status.get_details_bad_request();
    let violations = violations
        .map(|bad| bad.field_violations)
        .unwrap_or_default();
    let blank = violations
        .iter()
        .find(|violation| violation.description.is_empty());
    assert!(
        blank.is_none() && !status.message().is_empty(),
        "{status:?}"
    );
    Told {
        code: status.code(),
        reason: info.reason,
        metadata: info.metadata,
        message: status.message().to_owned(),
        fields: violations
            .into_iter()
            .map(|violation| violation.field)
            .collect(),
    }
}

/// The journal has seen nothing, and the cloud at most the questions for its regions and zones.
pub(crate) async fn nothing_happened(world: &World, client: &mut Client) {
    let page = client.list_operations(pb::ListOperationsRequest::default());
    assert_eq!(page.await.unwrap().into_inner().operations, []);
    let asked = world.ledger().await;
    let places = ["DescribeRegions", "DescribeZones"];
    let mut actions = asked.iter().map(|entry| entry["action"].as_str().unwrap());
    assert!(actions.all(|action| places.contains(&action)), "{asked:?}");
}

fn elsewhere(zone: &str, subnet_id: Option<&str>) -> pb::Alternative {
    pb::Alternative {
        zone: Some(zone.to_owned()),
        instance_type: None,
        subnet_id: subnet_id.map(str::to_owned),
    }
}

fn to_where_interfaces_are_not(wish: &mut pb::RunInstancesRequest) {
    let spec = wish.spec.as_mut().unwrap();
    spec.virtual_private_cloud = None;
    spec.network_interfaces = vec![pb::NetworkInterface {
        interface_type: "PRIMARY".to_owned(),
        vpc_id: "vpc-1a2b3c4d".to_owned(),
        subnet_id: "subnet-1a2b3c4d".to_owned(),
        private_ipv4_address_count: Some(1),
        ..pb::NetworkInterface::default()
    }];
    wish.alternatives = vec![elsewhere("ap-shanghai-3", None)];
}

#[tokio::test(flavor = "multi_thread")]
async fn alternatives_and_what_becomes_of_a_failure_are_checked() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let rows: [(&str, Spoil, Code, &str, &str); 7] = [
        (
            "an alternative that changes nothing",
            |wish| wish.alternatives = vec![pb::Alternative::default()],
            Code::InvalidArgument,
            "INVALID_PARAMETER",
            "alternatives[0]: must set a zone, an instance_type or a subnet_id",
        ),
        (
            "an alternative of another region",
            |wish| wish.alternatives = vec![elsewhere("ap-beijing-1", None)],
            Code::InvalidArgument,
            "INVALID_PARAMETER",
            "alternatives[0].zone: must be a zone of the region ap-shanghai",
        ),
        (
            "an alternative with a subnet of nothing",
            |wish| wish.alternatives = vec![elsewhere("ap-shanghai-3", Some("subnet-1"))],
            Code::InvalidArgument,
            "INVALID_PARAMETER",
            "alternatives[0].subnet_id: needs spec.virtual_private_cloud",
        ),
        (
            "an alternative that the interfaces cannot move to",
            to_where_interfaces_are_not,
            Code::InvalidArgument,
            "INVALID_PARAMETER",
            "alternatives[0].zone: must not be another zone",
        ),
        (
            "too many alternatives",
            |wish| wish.alternatives = vec![elsewhere("ap-shanghai-3", None); 11],
            Code::InvalidArgument,
            "INVALID_PARAMETER",
            "alternatives: must be at most 10, not 11",
        ),
        (
            "on_failure of a later proto",
            |wish| wish.on_failure = 99,
            Code::InvalidArgument,
            "INVALID_PARAMETER",
            "on_failure: must be a value of FailurePolicy, not 99",
        ),
        (
            "negative on_failure",
            |wish| wish.on_failure = -1,
            Code::InvalidArgument,
            "INVALID_PARAMETER",
            "on_failure: must be a value of FailurePolicy, not -1",
        ),
    ];
    for (name, spoil, code, reason, says) in rows {
        let mut wish = wish("bad", 2);
        spoil(&mut wish);
        let told = told(&client.run_instances(wish).await.unwrap_err());
        assert_eq!((told.code, told.reason.as_str()), (code, reason), "{name}");
        assert!(told.message.contains(says), "{name}: {}", told.message);
    }
    gateway.stop().await;
}
