//! A machine that somebody made by hand with the tag of an operation that is over: seen, told,
//! adopted, and then its organisation's to give back.

use crate::cloud::tools;
use crate::lifecycle::terminate;
use crate::world::{World, client, get, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::client::HttpCloud;
use cvm_gateway::cloud::limiter::{Action, Class, Limiter};
use cvm_gateway::cloud::{Cloud, Signing, Target};
use cvm_gateway::domain::ids::OrganizationId;
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::gateway::Gateway;
use cvm_gateway::metrics::Metrics;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SWEEP: &str = r#"
missing_grace = "1s"
unseen_grace = "1s"
[operations.sweep]
interval = "300ms"
grace = "200ms"
"#;
/// A gateway that adopts nothing.
const NO_SWEEP: &str = "[operations.sweep]\ninterval = \"0s\"\n";
const ORPHANS: &str = r#"cvm_gateway_orphans{account="main",region="ap-shanghai"}"#;
const ADOPTED: &str = r#"cvm_gateway_orphans_adopted_total{account="main"}"#;

/// Launches a machine with the account's own key, past the gateway, with a tag of `value`.
async fn by_hand(world: &World, value: &str) -> String {
    let config = world.config("");
    let clock = Clock::system();
    let tools = tools(Arc::new(|_| {}));
    let cloud = HttpCloud::new(config.cloud, config.credentials, tools);
    let metrics = Metrics::new("test").unwrap().cloud;
    let limiter = Limiter::new(config.cloud_limits, None, clock.clone(), metrics);
    let target = Target {
        account: AccountName::parse("main").unwrap(),
        region: Region::parse("ap-shanghai").unwrap(),
    };
    let class = Class::Launch(OrganizationId::parse("development").unwrap());
    let permit = limiter.permit(&target, "host", Action::RunInstances, class);
    let body = json!({
        "Placement": {"Zone": "ap-shanghai-2"},
        "ImageId": "img-pmqg1cw7",
        "InstanceType": "S5.SMALL1",
        "TagSpecification": [{
            "ResourceType": "instance",
            "Tags": [{"Key": "cvm-gateway:operation", "Value": value}],
        }],
    });
    let body = serde_json::to_vec(&body).unwrap();
    let signing = Signing {
        at: clock.now(),
        caller: None,
    };
    let launched = cloud
        .unwrap()
        .run_instances(permit.await, &target, &body, signing)
        .await;
    launched.unwrap().instance_ids[0].as_str().to_owned()
}

/// What a metric says now; 0 when it is not there.
async fn value(gateway: &Gateway, series: &str) -> f64 {
    let text = get(gateway.admin_addr(), "/metrics").await.1;
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

async fn becomes(gateway: &Gateway, series: &str, wanted: f64) {
    let clock = Clock::system();
    let becomes = async {
        while value(gateway, series).await != wanted {
            clock.sleep(Duration::from_millis(50)).await;
        }
    };
    let became = clock.timeout(Duration::from_secs(30), becomes).await;
    assert!(became.is_some(), "{series} is never {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_made_by_hand_with_an_operation_s_tag_is_adopted_and_given_back() {
    let world = World::new(100.0).await;
    let blind = world.gateway(NO_SWEEP).await;
    let mut before = client(&blind).await;
    let seen = run(&mut before, wish("over", 1)).await;
    seen.end.as_ref().unwrap();
    let operation = seen
        .last()
        .name
        .strip_prefix("operations/")
        .unwrap()
        .to_owned();

    let copy = by_hand(&world, &operation).await;
    let early = terminate(&mut before, "early", std::slice::from_ref(&copy)).await;
    assert!(early.end.is_err(), "nobody has it yet");
    blind.stop().await;

    let gateway = world.gateway(SWEEP).await;
    let mut client = client(&gateway).await;
    becomes(&gateway, ADOPTED, 1.0).await;
    let unknown = by_hand(&world, "made-by-hand").await;
    becomes(&gateway, ORPHANS, 1.0).await;

    let other = terminate(&mut client, "other", &[unknown]).await;
    assert!(other.end.is_err(), "its operation is unknown");
    let back = terminate(&mut client, "back", std::slice::from_ref(&copy)).await;
    back.end.as_ref().unwrap();
    let ledger = world.ledger().await;
    let terminated = ledger
        .iter()
        .filter(|entry| entry["action"] == "TerminateInstances");
    assert_eq!(terminated.count(), 1);
    let machine =
        |entry: &&Value| entry["kind"] == "machine" && entry["instance_id"] == copy.as_str();
    let machine = ledger.iter().rfind(machine).unwrap();
    let states = machine["states"].as_array().unwrap();
    assert!(
        states.iter().any(|change| change["state"] == "TERMINATING"),
        "{machine}"
    );
    assert_eq!(value(&gateway, ADOPTED).await, 1.0);
    gateway.stop().await;
}
