//! What the cloud refuses, and what keeps the gateway from asking it.

use super::told;
use crate::cloud::server::{Server, answer};
use crate::world::{Seen, World, client, config_text, read, run, wish};
use cvm_gateway::config::Config;
use cvm_gateway::pb::v1 as pb;
use serde_json::Value;
use sqlx::{AnyConnection, Connection};
use tokio::net::TcpSocket;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A gateway that soon gives up.
const IMPATIENT: &str = "retry_backoff = \"20ms\"\nsend_timeout = \"1s\"\n";

/// What is wished for in vain, and how it is refused.
struct Row {
    name: &'static str,
    spoil: fn(&mut pb::InstanceSpec),
    code: Code,
    reason: &'static str,
    cloud_code: &'static str,
    /// The fields that are told, or else whose stock, quota or market it is.
    fields: &'static [&'static str],
}

const ROWS: [Row; 8] = [
    Row {
        name: "image",
        spoil: |spec| spec.image_id = Some("img-nowhere1".to_owned()),
        code: Code::NotFound,
        reason: "RESOURCE_NOT_FOUND",
        cloud_code: "InvalidImageId.NotFound",
        fields: &["spec.image_id"],
    },
    Row {
        name: "malformed image",
        spoil: |spec| spec.image_id = Some("img-1".to_owned()),
        code: Code::InvalidArgument,
        reason: "INVALID_PARAMETER",
        cloud_code: "InvalidImageId.Malformed",
        fields: &["spec.image_id"],
    },
    Row {
        name: "sold out",
        spoil: |spec| spec.instance_type = Some("SOLDOUT.SMALL1".to_owned()),
        code: Code::ResourceExhausted,
        reason: "CAPACITY",
        cloud_code: "ResourcesSoldOut.SpecifiedInstanceType",
        fields: &["account:main"],
    },
    Row {
        name: "instance type",
        spoil: |spec| spec.instance_type = Some("S9.NOPE1".to_owned()),
        code: Code::NotFound,
        reason: "RESOURCE_NOT_FOUND",
        cloud_code: "InvalidParameterValue.InstanceTypeNotFound",
        fields: &["spec.instance_type"],
    },
    Row {
        name: "subnet of another zone",
        spoil: |spec| {
            spec.virtual_private_cloud = Some(pb::VirtualPrivateCloud {
                vpc_id: "vpc-defaultb".to_owned(),
                subnet_id: "subnet-defaulb4".to_owned(),
                ..pb::VirtualPrivateCloud::default()
            });
        },
        code: Code::InvalidArgument,
        reason: "INVALID_PARAMETER",
        cloud_code: "InvalidParameterValue.SubnetIdZoneIdNotMatch",
        fields: &[
            "spec.virtual_private_cloud.subnet_id",
            "spec.placement.zone",
        ],
    },
    Row {
        name: "disk class",
        spoil: |spec| {
            spec.system_disk = Some(pb::SystemDisk {
                disk_type: Some("CLOUD_NOPE".to_owned()),
                ..pb::SystemDisk::default()
            });
        },
        code: Code::InvalidArgument,
        reason: "INVALID_PARAMETER",
        cloud_code: "InvalidParameterValue",
        fields: &[],
    },
    Row {
        name: "key pair",
        spoil: |spec| {
            spec.login_settings = Some(pb::LoginSettings {
                key_ids: vec!["skey-nowhere1".to_owned()],
                ..pb::LoginSettings::default()
            });
        },
        code: Code::NotFound,
        reason: "RESOURCE_NOT_FOUND",
        cloud_code: "InvalidParameterValue.KeyPairNotFound",
        fields: &["spec.login_settings.key_ids"],
    },
    Row {
        name: "bid",
        spoil: |spec| {
            spec.instance_charge_type = Some("SPOTPAID".to_owned());
            spec.instance_market_options = Some(pb::InstanceMarketOptions {
                spot_options: Some(pb::SpotMarketOptions {
                    max_price: "0.001".to_owned(),
                    spot_instance_type: None,
                }),
                market_type: None,
            });
        },
        code: Code::FailedPrecondition,
        reason: "MARKET_PRICE",
        cloud_code: "InvalidParameterValue.InsufficientPrice",
        fields: &["account:main"],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cloud_refuses_is_told_with_its_code_and_our_fields() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    for row in ROWS {
        let mut wish = wish(&row.name.replace(' ', "-"), 1);
        (row.spoil)(wish.spec.as_mut().unwrap());
        let seen = run(&mut client, wish).await;
        let (status, name) = (failed(&seen), row.name);
        let told = told(status);
        assert_eq!(info(status, "cloud_code"), row.cloud_code, "{name}");
        assert_eq!(
            (told.code, told.reason.as_str()),
            (row.code, row.reason),
            "{name}"
        );
        assert!(
            told.message.contains(row.cloud_code),
            "{name}: {}",
            told.message
        );
        assert_eq!(info(status, "operation"), seen.last().name);
        assert_eq!(
            (info(status, "account"), info(status, "region")),
            ("main".to_owned(), "ap-shanghai".to_owned())
        );
        assert_eq!(seen.last().attempts, 1, "{name}");
        assert_eq!(blamed(status), row.fields, "{name}");
        let id = info(status, "cloud_request_id");
        let ledger = world.ledger().await;
        let call = ledger
            .iter()
            .find(|entry| entry["request_id"] == id)
            .unwrap();
        assert_eq!(call["verdict"], row.cloud_code, "{name}");
    }
    assert_eq!(world.machines().await.len(), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_the_operator_s_to_mend() {
    let world = World::new(100.0).await;
    let text = config_text(
        &world.folder.0,
        &format!("http://{}", world.simulator.addr()),
        IMPATIENT,
    );
    let text = text.replace(
        "fakeSecretKeyLoopbackTestsOnly001",
        "fakeSecretKeyThatIsWrong000000001",
    );
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let mut client = client(&gateway).await;
    let seen = run(&mut client, wish("wrong-key", 1)).await;
    let told = told(failed(&seen));
    assert_eq!(
        (told.code, told.reason.as_str()),
        (Code::Internal, "GATEWAY_CREDENTIAL")
    );
    assert!(
        told.message.contains("AuthFailure.SignatureFailure"),
        "{}",
        told.message
    );
    assert_eq!(world.machines().await.len(), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_cloud_is_tried_again_a_few_times() {
    let world = World::new(100.0).await;
    // Bound, so that nobody else gets it, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = socket.local_addr().unwrap();
    let config = world.config_of(&format!("http://{closed}"), IMPATIENT);
    let gateway = world.gateway_of(config).await;
    let mut client = client(&gateway).await;
    let seen = run(&mut client, wish("unreachable", 1)).await;
    let told = told(failed(&seen));
    assert_eq!(
        (told.code, told.reason.as_str()),
        (Code::Unavailable, "CLOUD_UNAVAILABLE")
    );
    let tries = usize::try_from(seen.last().attempts).unwrap();
    assert!((2..=30).contains(&tries), "{tries}");
    let mut states = ["ACCEPTED", "SENT"].repeat(tries);
    states.push("FAILED");
    assert_eq!(seen.states(), states);
    gateway.stop().await;
    for (number, result) in attempts(&world).await {
        assert_eq!(result, "NOT_SENT", "attempt {number}");
    }
    assert_eq!(attempts(&world).await.len(), tries);
    assert_eq!(world.ledger().await, Vec::<Value>::new());
}

/// The token is the gateway's own, so a cloud that refuses it is not the caller's to mend by a field.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_cloud_refuses_is_told() {
    let refusal = r#"{"Response":{"Error":{"Code":"InvalidClientToken.TooLong",
        "Message":"The token is too long."},"RequestId":"r"}}"#;
    let cloud = Server::start(vec![answer(refusal)]).await;
    let world = World::new(100.0).await;
    let config = world.config_of(&format!("http://{}", cloud.address), "");
    let gateway = world.gateway_of(config).await;
    let mut client = client(&gateway).await;
    let seen = run(&mut client, wish("token", 1)).await;
    let told = told(failed(&seen));
    let expected = (Code::InvalidArgument, "INVALID_PARAMETER");
    assert_eq!((told.code, told.reason.as_str()), expected);
    assert!(
        told.message.contains("InvalidClientToken.TooLong"),
        "{}",
        told.message
    );
    assert_eq!(cloud.requests().len(), 1, "it is not sent again");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_operations_than_allowed_are_refused_until_one_ends() {
    for (limit, reason) in [
        ("open_operations_max", "OVERLOADED"),
        ("open_operations_per_organization_max", "TOO_MANY_CALLS"),
    ] {
        let (world, later) = World::still().await;
        let gateway = world.gateway(&format!("{limit} = 1\n")).await;
        let mut client = client(&gateway).await;
        let open = client.run_instances(wish("open", 1)).await.unwrap();
        let status = client.run_instances(wish("one-more", 1)).await.unwrap_err();
        let told = told(&status);
        assert_eq!(
            (told.code, told.reason.as_str()),
            (Code::ResourceExhausted, reason)
        );
        let retry = status.get_details_retry_info().unwrap();
        assert!(retry.retry_delay.is_some());
        world.launched(1).await;
        later.comes();
        read(open.into_inner()).await.end.unwrap();
        let mut dry = wish("one-more", 1);
        dry.spec.as_mut().unwrap().dry_run = Some(true);
        run(&mut client, dry).await.end.unwrap();
        gateway.stop().await;
    }
}

/// The cloud's pages know two answers to a DryRun that passes: one without ids, which the simulator
/// gives, and this error.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_that_passes_may_be_told_as_an_error() {
    let passed = r#"{"Response":{"Error":{"Code":"DryRunOperation",
        "Message":"The request would have succeeded, but DryRun is set."},"RequestId":"r"}}"#;
    // One launch; a plan asks for price, stock and quota, too.
    let cloud = Server::start(vec![answer(passed); 5]).await;
    let world = World::new(100.0).await;
    let config = world.config_of(&format!("http://{}", cloud.address), "");
    let gateway = world.gateway_of(config).await;
    let mut client = client(&gateway).await;
    let mut dry = wish("dry", 2);
    dry.spec.as_mut().unwrap().dry_run = Some(true);
    let seen = run(&mut client, dry).await;
    seen.end.as_ref().unwrap();
    assert_eq!(seen.states(), ["ACCEPTED", "SENT", "SUCCEEDED"]);
    assert_eq!(seen.last().instances, []);
    assert_eq!(seen.last().failure, None);
    assert!(
        cloud.requests()[0].contains("\"DryRun\":true"),
        "{:?}",
        cloud.requests()
    );

    let request = pb::PlanRunInstancesRequest {
        request: Some(wish("planned", 2)),
        cloud_dry_run: true,
    };
    let plan = client.plan_run_instances(request).await.unwrap();
    let plan = plan.into_inner();
    assert_eq!(plan.cloud_dry_run_failure, None);
    assert!(plan.allowed && !plan.plan.is_empty());
    assert_eq!(cloud.requests().len(), 5);
    gateway.stop().await;
}

/// The status that a launch ended with. It says what the last snapshot says, and what the journal has.
fn failed(seen: &Seen) -> &Status {
    let status = seen.end.as_ref().unwrap_err();
    let last = seen.last();
    assert_eq!(last.state(), pb::OperationState::Failed);
    let failure = last.failure.as_ref().unwrap();
    let told = told(status);
    assert_eq!(
        failure.reason().as_str_name(),
        format!("ERROR_REASON_{}", told.reason)
    );
    assert!(told.message.contains(&failure.message), "{}", told.message);
    let id = last.name.trim_start_matches("operations/");
    assert_eq!(status.get_details_request_info().unwrap().request_id, id);
    status
}

fn info(status: &Status, key: &str) -> String {
    status.get_details_error_info().unwrap().metadata[key].clone()
}

/// What the details that fit the reason name: fields, or else the account.
fn blamed(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let bad = details.bad_request().into_iter();
    let fields = bad
        .flat_map(|bad| &bad.field_violations)
        .map(|of| &of.field);
    let resource = details.resource_info().into_iter();
    let resource = resource.map(|resource| &resource.resource_type);
    let quota = details.quota_failure().into_iter();
    let quota = quota
        .flat_map(|quota| &quota.violations)
        .map(|of| &of.subject);
    let precondition = details.precondition_failure().into_iter();
    let precondition = precondition.flat_map(|failure| &failure.violations);
    let precondition = precondition.map(|of| &of.subject);
    let all = fields.chain(resource).chain(quota).chain(precondition);
    all.cloned().collect()
}

/// Number and result of every attempt in the journal.
async fn attempts(world: &World) -> Vec<(i64, String)> {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}/journal.db", world.folder.0.display());
    let mut journal = AnyConnection::connect(&url).await.unwrap();
    let text = "SELECT number, result FROM attempts ORDER BY number";
    let rows = sqlx::query_as(text).fetch_all(&mut journal).await;
    rows.unwrap()
}
