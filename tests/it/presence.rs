//! Sound requests of the corpus, through gRPC, journal and HTTP: what is asked for arrives at the
//! cloud, and nothing else.

use crate::world::{World, client};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::DESCRIPTOR;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const CORPUS: &str = include_str!("../../testdata/corpus/requests.jsonl");
/// As quick as the machine is. Zones are made up.
const QUICK: &str = "check_zones = false\n[cloud.limits]\nrun_instances_per_second = 1000\n";
/// What the ledger shows of secrets.
const MASKED: &str = "***";

/// The requests of the corpus that are sound, each a launch in one place of a region that is known;
/// one for each set of members, as the simulator takes ten a second.
fn sound() -> Vec<Value> {
    let rows = CORPUS
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let mut seen = BTreeSet::new();
    rows.filter(|row: &Value| row["code"] == "OK")
        .map(|row| row["request"].clone())
        .filter(|request| request["region"] != "ap-xian-2")
        .filter(|request| {
            request
                .get("account")
                .or(request.get("alternatives"))
                .is_none()
        })
        .filter(|request| seen.insert(members(&request["spec"]).to_string()))
        .collect()
}

/// Which members are set, and which of them to nothing.
fn members(value: &Value) -> Value {
    match value {
        Value::Object(of) => {
            let of = of.iter();
            Value::Object(
                of.map(|(name, member)| (name.clone(), members(member)))
                    .collect(),
            )
        }
        Value::Array(items) => items.iter().take(2).map(members).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            json!([json!(0), json!(false), json!("")].contains(value))
        }
    }
}

/// The specification in the cloud's spelling, as the ledger shows it.
fn expected(spec: &Value) -> Value {
    match spec {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, member)| **member != json!([]));
            let members = members.map(|(name, member)| (spelled(name), member));
            let shown = members.map(|(name, member)| match name.as_str() {
                "Password" | "UserData" | "Metadata" => (name, json!(MASKED)),
                _ => (name, expected(member)),
            });
            Value::Object(shown.collect())
        }
        Value::Array(items) => items.iter().map(expected).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => spec.clone(),
    }
}

fn spelled(name: &str) -> String {
    match name {
        "ipv4_address_type" => "IPv4AddressType".to_owned(),
        "ipv6_address_type" => "IPv6AddressType".to_owned(),
        "anti_ddos_package_id" => "AntiDDoSPackageId".to_owned(),
        name => {
            let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
            name.split('_').map(capital).collect()
        }
    }
}

/// The body without what the gateway added, and the operation that it names.
fn without_the_gateway_s_own(body: &str, asked: &Value) -> (String, Value) {
    let mut body: Value = serde_json::from_str(body).unwrap();
    let members = body.as_object_mut().unwrap();
    assert!(members.remove("ClientToken").is_some(), "{asked}");
    if asked.get("InstanceCount").is_none() && asked.get("LaunchTemplate").is_some() {
        assert_eq!(members.remove("InstanceCount"), Some(json!(1)));
    }
    let all = asked.get("InstanceCount").cloned().unwrap_or(json!(1));
    if asked.get("MinCount") == Some(&all) {
        let sent = members.insert("MinCount".to_owned(), all);
        assert_eq!(sent, None, "all of them is what it means anyway");
    }
    let specifications = members["TagSpecification"].as_array_mut().unwrap();
    let tags = specifications[0]["Tags"].as_array_mut().unwrap();
    let own = tags.pop().unwrap();
    assert_eq!(own["Key"], "cvm-gateway:operation");
    if tags.is_empty() {
        members.remove("TagSpecification");
    }
    (own["Value"].as_str().unwrap().to_owned(), body)
}

/// Bodies of launches by the operation that they name.
async fn sent(world: &World) -> BTreeMap<String, String> {
    let ledger = world.ledger().await.into_iter();
    let launches = ledger.filter(|entry| entry["action"] == "RunInstances");
    let bodies = launches.map(|entry| entry["body"].as_str().unwrap().to_owned());
    bodies
        .map(|body| {
            let parsed: Value = serde_json::from_str(&body).unwrap();
            let tags = parsed["TagSpecification"][0]["Tags"].as_array().unwrap();
            let id = tags.last().unwrap()["Value"].as_str().unwrap().to_owned();
            (id, body)
        })
        .collect()
}

fn message() -> MessageDescriptor {
    let pool = DescriptorPool::decode(DESCRIPTOR).unwrap();
    pool.get_message_by_name("cvmgateway.v1.RunInstancesRequest")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_requests_arrive_at_the_cloud_as_they_were_asked_for() {
    let world = World::new(1000.0).await;
    let gateway = world.gateway(QUICK).await;
    let mut client = client(&gateway).await;
    let message = message();
    let mut asked = BTreeMap::new();
    for (number, mut request) in sound().into_iter().enumerate() {
        request["request_id"] = json!(format!("corpus-{number}"));
        let parsed = DynamicMessage::deserialize(message.clone(), &request).unwrap();
        let mut launch = parsed
            .transcode_to::<cvm_gateway::pb::v1::RunInstancesRequest>()
            .unwrap();
        // The corpus is of a time that is gone.
        let timer = launch.spec.as_mut().unwrap().action_timer.as_mut();
        if let Some(timer) = timer {
            timer.action_time = Some("2999-01-31T23:59:59Z".to_owned());
            request["spec"]["action_timer"]["action_time"] = json!("2999-01-31T23:59:59Z");
        }
        let mut stream = client.run_instances(launch).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        let Some(cvm_gateway::pb::v1::run_instances_response::Event::Operation(first)) =
            first.event
        else {
            panic!("the first message is no operation");
        };
        let id = first.name.trim_start_matches("operations/").to_owned();
        asked.insert(id, expected(&request["spec"]));
    }
    assert!(asked.len() >= 60, "only {} are sound", asked.len());
    let clock = Clock::system();
    let bodies = async {
        loop {
            let bodies = sent(&world).await;
            if bodies.len() == asked.len() {
                return bodies;
            }
            clock.sleep(Duration::from_millis(100)).await;
        }
    };
    let bodies = clock.timeout(Duration::from_secs(120), bodies).await;
    let bodies = bodies.expect("a launch does not arrive");
    for (id, body) in bodies {
        let asked = &asked[&id];
        assert_eq!(without_the_gateway_s_own(&body, asked), (id, asked.clone()));
    }
    gateway.stop().await;
}
