//! The examples of the 2020 page through the gateway: they make what the captured calls make.

use super::Cloud;
use super::doors::{capture, machines_of};
use crate::contract::request;
use crate::world::{World, client, run};
use cvm_gateway::clock::Clock;
use serde_json::{Value, json};

/// What the gateway adds to the tags of a machine.
const OWN_TAG: &str = "cvm-gateway:operation";
/// Members that differ from launch to launch, wherever they stand. Addresses do not: both clouds begin with the same.
const DRAWN: [&str; 6] = [
    "CreatedTime",
    "DiskId",
    "ExpiredTime",
    "InstanceId",
    "LatestOperationRequestId",
    "Uuid",
];

/// The machine as any launch of it shows it; how many members of [`DRAWN`] it had.
fn undrawn(machine: &mut Value) -> usize {
    match machine {
        Value::Object(members) => {
            let drawn = DRAWN.iter().filter(|name| members.remove(**name).is_some());
            let drawn = drawn.count();
            drawn + members.values_mut().map(undrawn).sum::<usize>()
        }
        Value::Array(items) => items.iter_mut().map(undrawn).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The machines that the gateway makes of the parameters of a captured call.
async fn machines_through_the_gateway(name: &str) -> Vec<Value> {
    let asked = capture(name).parameters;
    let world = World::new(1000.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let seen = run(&mut client, request("example", asked.as_object().unwrap())).await;
    assert!(seen.end.is_ok(), "{name}: {:?}", seen.end);
    let operation = seen
        .last()
        .name
        .trim_start_matches("operations/")
        .to_owned();
    gateway.stop().await;

    let cloud = Cloud {
        simulator: world.simulator,
        clock: Clock::system(),
    };
    let found = cloud.call("DescribeInstances", json!({})).await.response();
    let mut machines = found["InstanceSet"].as_array().unwrap().clone();
    for machine in &mut machines {
        let tags = machine["Tags"].as_array_mut().unwrap();
        let own = json!({"Key": OWN_TAG, "Value": operation});
        let before = tags.len();
        tags.retain(|tag| *tag != own);
        assert_eq!(tags.len() + 1, before, "{name}: {machine}");
    }
    machines
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_examples_make_the_same_machines_through_the_gateway() {
    for (example, count) in [("ex1", 1), ("ex2", 1), ("ex3", 1), ("ex4", 2), ("ex5", 1)] {
        let name = format!("python-sdk__hmacsha1-get__{example}");
        let mut expected = machines_of(&name).await;
        let mut machines = machines_through_the_gateway(&name).await;
        assert_eq!(machines.len(), count, "{example}");
        for machine in expected.iter_mut().chain(&mut machines) {
            assert!(undrawn(machine) >= 3, "{example}: {machine}");
        }
        assert_eq!(machines, expected, "{example}");
    }
}
