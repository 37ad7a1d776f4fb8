//! Random sound requests, by a real client through gateway, journal and sockets: what the simulator's
//! ledger has is what was asked for, field by field, and nothing else.
//!
//! What is expected is read off the message by reflection, in `tests/common/expected.rs`.

use crate::expected::{asked, paths, spelled, with_the_gateway_s_own};
use crate::world::{Client, Folder, World, client};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::DESCRIPTOR;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::simulator::{Catalog, EMBEDDED, Settings, Simulator, Speed};
use futures_util::future::join_all;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
    Value as Set,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::Code;

/// Requests that are drawn. Those that the door refuses prove nothing here.
const DRAWN: u64 = 1600;
/// Of which so many must have arrived.
const ARRIVED_MIN: usize = 400;
/// Callers at once.
const TOGETHER: usize = 8;
/// As quick as the machine is. Zones are made up.
const QUICK: &str = "check_zones = false\n[cloud.limits]\nrun_instances_per_second = 1000\n";
/// What the ledger shows of secrets.
const MASKED: &str = "***";

/// Texts that a rule may take, by field; any text for a field that is not here.
const TEXTS: [(&str, &[&str]); 40] = [
    ("action_time", &["2999-01-31T23:59:59Z"]),
    ("bandwidth_package_id", &["bwp-1a2b3c4d"]),
    ("cam_role_name", &["role", "a@b.c_d+e=f,g-h"]),
    ("chc_ids", &["chc-1a2b3c4d", "chc-2"]),
    ("dedicated_cluster_id", &["cluster-1a2b3c4d"]),
    ("dedicated_resource_pack_ids", &["rpp-1a2b3c4d", "rpp-2"]),
    ("dedicated_resource_pack_tenancy", &["ResourcePool"]),
    ("disaster_recover_group_ids", &["ps-1a2b3c4d"]),
    (
        "disk_type",
        &["CLOUD_PREMIUM", "CLOUD_HSSD", "CLOUD_SSD", "LOCAL_BASIC"],
    ),
    ("host_ids", &["host-1a2b3c4d", "host-2"]),
    ("host_name", &["web-1", "db.internal", "w{R:3}"]),
    ("hpc_cluster_id", &["hpc-1a2b3c4d"]),
    ("image_id", &["img-pmqg1cw7", "img-0"]),
    (
        "instance_charge_type",
        &["POSTPAID_BY_HOUR", "PREPAID", "SPOTPAID"],
    ),
    ("instance_type", &["S5.SMALL1", "S5.MEDIUM2", "A9.NEW1"]),
    ("interface_type", &["PRIMARY", "SECONDARY"]),
    (
        "internet_charge_type",
        &["TRAFFIC_POSTPAID_BY_HOUR", "BANDWIDTH_POSTPAID_BY_HOUR"],
    ),
    ("internet_service_provider", &["BGP", "CMCC"]),
    ("ipv4_address_type", &["WanIP", "HighQualityEIP"]),
    ("ipv6_address_type", &["EIPv6", "HighQualityEIPv6"]),
    ("keep_image_login", &["true", "false"]),
    ("key", &["team", "环境", "cost-center"]),
    ("key_ids", &["skey-1a2b3c4d"]),
    ("launch_template_id", &["lt-1a2b3c4d"]),
    ("market_type", &["spot"]),
    ("max_price", &["1", "0.5", "0.125000000000000001"]),
    ("network_interface_id", &["eni-1a2b3c4d"]),
    ("password", &["Sample-Passw0rd", "(8_Zeichen)aB"]),
    ("private_ip_addresses", &["10.0.0.8", "10.0.0.9"]),
    (
        "renew_flag",
        &["NOTIFY_AND_AUTO_RENEW", "DISABLE_NOTIFY_AND_MANUAL_RENEW"],
    ),
    ("resource_type", &["instance"]),
    ("security_group_ids", &["sg-1a2b3c4d", "sg-2"]),
    ("snapshot_id", &["snap-1a2b3c4d"]),
    ("spot_instance_type", &["one-time"]),
    ("subnet_id", &["subnet-1a2b3c4d", "DEFAULT"]),
    ("timer_action", &["TerminateInstances"]),
    ("user_data", &["", "c2FtcGxl", "5rWL6K+V"]),
    ("value", &["", "0", "false", "a b", "测"]),
    ("vpc_id", &["vpc-1a2b3c4d", "DEFAULT"]),
    ("zone", &["ap-shanghai-2", "ap-shanghai-4", "ap-new-1"]),
];
/// Numbers that a rule may take, by field; 0 to 2 for one that is not here.
const NUMBERS: [(&str, &[i64]); 9] = [
    ("core_count", &[1, 2, 64]),
    ("disk_size", &[50, 100, 16_000]),
    ("instance_count", &[1, 2, 3]),
    ("internet_max_bandwidth_out", &[0, 1, 100]),
    ("launch_template_version", &[1, 7]),
    ("partition_number", &[1, 2]),
    ("period", &[1, 12, 36]),
    ("private_ipv4_address_count", &[1, 2]),
    ("project_id", &[0, 1, i64::MAX]),
];
/// Without these the message that they are in is refused.
const REQUIRED: [&str; 13] = [
    "disk_size",
    "image_id",
    "interface_type",
    "key",
    "max_price",
    "period",
    "placement",
    "private_ipv4_address_count",
    "resource_type",
    "spot_options",
    "subnet_id",
    "vpc_id",
    "zone",
];
/// What a member goes with.
const COMPANIONS: [(&str, &str); 5] = [
    ("cam_role_name", "virtual_private_cloud"),
    ("instance_charge_prepaid", "instance_charge_type"),
    ("instance_market_options", "instance_charge_type"),
    ("min_count", "instance_count"),
    ("partition_number", "disaster_recover_group_ids"),
];

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap();
        usize::try_from(self.0.next_u64() % limit).unwrap()
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// Any text, of letters that JSON, HTTP or SQL might stumble over among others.
    fn text(&mut self) -> String {
        let letters = [
            'a', 'Z', '0', ' ', '"', '\\', '/', '\'', '%', '&', '测', 'é', '🐢',
        ];
        (0..self.below(20)).map(|_| self.pick(&letters)).collect()
    }
}

/// A specification with a few members beside those that every launch needs, so that the door takes
/// a good part of them.
fn specification(message: &MessageDescriptor, dice: &mut Dice) -> DynamicMessage {
    let fields: Vec<_> = message.fields().collect();
    let mut chosen: BTreeSet<String> = ["placement", "image_id", "instance_type"]
        .map(str::to_owned)
        .into();
    for _ in 0..dice.below(5) {
        let name = dice.pick(&fields).name().to_owned();
        let companion = COMPANIONS.iter().find(|(of, _)| *of == name);
        chosen.extend(companion.map(|(_, companion)| (*companion).to_owned()));
        chosen.insert(name);
    }
    if chosen.contains("network_interfaces") {
        // Interfaces have networks and groups of their own.
        chosen.retain(|name| !["virtual_private_cloud", "security_group_ids"].contains(&&**name));
    }
    let mut out = DynamicMessage::new(message.clone());
    for field in fields.iter().filter(|field| chosen.contains(field.name())) {
        out.set_field(field, drawn(field, dice));
    }
    for (member, kind) in [
        ("instance_charge_prepaid", "PREPAID"),
        ("instance_market_options", "SPOTPAID"),
    ] {
        if chosen.contains(member) {
            out.set_field_by_name("instance_charge_type", Set::String(kind.to_owned()));
        }
    }
    out
}

fn message(message: &MessageDescriptor, dice: &mut Dice) -> DynamicMessage {
    let mut out = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if REQUIRED.contains(&field.name()) || dice.pick(&[true, false]) {
            out.set_field(&field, drawn(&field, dice));
        }
    }
    // The default network has the default subnet and no other.
    let default = Set::String("DEFAULT".to_owned());
    let vpc = out.get_field_by_name("vpc_id").map(|vpc| vpc.into_owned());
    let subnet = out.get_field_by_name("subnet_id");
    if vpc.as_ref() == Some(&default) || subnet.as_deref() == Some(&default) {
        out.set_field_by_name("vpc_id", default.clone());
        out.set_field_by_name("subnet_id", default);
    }
    out
}

/// Of a field that is set; a list may be empty all the same.
fn drawn(field: &FieldDescriptor, dice: &mut Dice) -> Set {
    if field.cardinality() != Cardinality::Repeated {
        return single(field, dice);
    }
    let mut items: Vec<Set> = Vec::new();
    for index in 0..dice.below(3) {
        let mut item = single(field, dice);
        if let ("network_interfaces", Set::Message(interface)) = (field.name(), &mut item) {
            number(interface, index);
        }
        if !items.contains(&item) {
            items.push(item);
        }
    }
    Set::List(items)
}

/// The first interface is the machine's own, which nothing can be said of.
fn number(interface: &mut DynamicMessage, index: usize) {
    let kind = ["PRIMARY", "SECONDARY"][index];
    interface.set_field_by_name("interface_type", Set::String(kind.to_owned()));
    if index == 0 {
        interface.clear_field_by_name("network_interface_id");
        interface.clear_field_by_name("delete_with_instance");
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the specification has no other kinds"
)]
fn single(field: &FieldDescriptor, dice: &mut Dice) -> Set {
    let name = field.name();
    let numbers = NUMBERS.iter().find(|(of, _)| *of == name);
    let number = dice.pick(numbers.map_or(&[0, 1, 2][..], |(_, numbers)| numbers));
    match field.kind() {
        Kind::Bool => Set::Bool(dice.pick(&[false, true])),
        Kind::Int64 => Set::I64(number),
        Kind::Uint64 => Set::U64(number.unsigned_abs()),
        Kind::Message(of) => Set::Message(message(&of, dice)),
        Kind::String => match TEXTS.iter().find(|(of, _)| *of == name) {
            Some((_, texts)) => Set::String(dice.pick(texts).to_owned()),
            None => Set::String(dice.text()),
        },
        kind => panic!("{kind:?} is no kind that the specification has"),
    }
}

/// Puts the secrets back that the ledger masks. Whether they are those that were sent, the hash of
/// the body tells.
fn unmask(shown: &mut Value, asked: &Value) {
    match (shown, asked) {
        (Value::Object(shown), Value::Object(asked)) => {
            for (name, member) in shown {
                match asked.get(name) {
                    Some(secret) if member == MASKED => *member = secret.clone(),
                    Some(asked) => unmask(member, asked),
                    None => {}
                }
            }
        }
        (Value::Array(shown), Value::Array(asked)) => {
            let pairs = shown.iter_mut().zip(asked);
            pairs.for_each(|(shown, asked)| unmask(shown, asked));
        }
        _ => {}
    }
}

/// Every path that a specification may have.
fn all_paths(message: &MessageDescriptor, path: &str, out: &mut BTreeSet<String>) {
    for field in message.fields() {
        let path = format!("{path}.{}", spelled(field.name()));
        if let Kind::Message(of) = field.kind() {
            all_paths(&of, &path, out);
        }
        out.insert(path);
    }
}

/// A cloud that takes launches as they come.
async fn unhurried() -> World {
    let (limit, none) = ("\nRunInstances = 10\n", "\nRunInstances = 1000000\n");
    assert!(EMBEDDED.contains(limit));
    let settings = Settings {
        catalog: Catalog::parse(&EMBEDDED.replacen(limit, none, 1)).unwrap(),
        speed: Speed::new(1000.0).unwrap(),
        seed: 7,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    World {
        simulator: Simulator::start(settings, listener, Clock::system()).unwrap(),
        folder: Folder::new(),
    }
}

/// The operation that the specification became; none when a rule of the door forbids it.
async fn launch(mut client: Client, seed: u64, spec: pb::InstanceSpec) -> Option<String> {
    let request = pb::RunInstancesRequest {
        request_id: format!("random-{seed}"),
        region: "ap-shanghai".to_owned(),
        spec: Some(spec),
        ..pb::RunInstancesRequest::default()
    };
    let mut stream = match client.run_instances(request).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => {
            assert_eq!(
                status.code(),
                Code::InvalidArgument,
                "seed {seed}: {status}"
            );
            return None;
        }
    };
    let first = stream.message().await.unwrap().unwrap().event;
    let Some(pb::run_instances_response::Event::Operation(first)) = first else {
        panic!("the first message is no operation");
    };
    Some(first.name.trim_start_matches("operations/").to_owned())
}

/// The launches that came in, by the operation that they name.
async fn came_in(world: &World) -> BTreeMap<String, Vec<Value>> {
    let mut came_in: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let ledger = world.ledger().await.into_iter();
    for call in ledger.filter(|entry| entry["action"] == "RunInstances") {
        let body: Value = serde_json::from_str(call["body"].as_str().unwrap()).unwrap();
        let tags = body["TagSpecification"][0]["Tags"].as_array().unwrap();
        let id = tags.last().unwrap()["Value"].as_str().unwrap().to_owned();
        came_in.entry(id).or_default().push(call);
    }
    came_in
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the coverage is for who reads the log")]
async fn random_requests_arrive_at_the_cloud_field_by_field() {
    let world = unhurried().await;
    let gateway = world.gateway(QUICK).await;
    let client = client(&gateway).await;
    let pool = DescriptorPool::decode(DESCRIPTOR).unwrap();
    let message = pool.get_message_by_name("cvmgateway.v1.InstanceSpec");
    let message = message.unwrap();
    let seeds: Vec<u64> = (0..DRAWN).collect();
    let mut wished: BTreeMap<String, (u64, Value)> = BTreeMap::new();
    for seeds in seeds.chunks(TOGETHER) {
        let launched = seeds.iter().map(async |seed| {
            let mut dice = Dice(ChaCha8Rng::seed_from_u64(*seed));
            let spec = specification(&message, &mut dice);
            let id = launch(client.clone(), *seed, spec.transcode_to().unwrap()).await?;
            Some((id, (*seed, asked(&spec))))
        });
        wished.extend(join_all(launched).await.into_iter().flatten());
    }
    let arrived = async {
        loop {
            let came_in = came_in(&world).await;
            if came_in.len() >= wished.len() {
                return came_in;
            }
            Clock::system().sleep(Duration::from_millis(100)).await;
        }
    };
    let limit = Duration::from_secs(60);
    let arrived = Clock::system().timeout(limit, arrived).await;
    let arrived = arrived.expect("launches are on their way for too long");
    let ids: BTreeSet<_> = arrived.keys().collect();
    assert_eq!(ids, wished.keys().collect(), "a launch that nobody wished");
    let mut seen = BTreeSet::new();
    for (id, calls) in &arrived {
        let (seed, asked) = &wished[id];
        paths(asked, "", &mut seen);
        for call in calls {
            let mut body: Value = serde_json::from_str(call["body"].as_str().unwrap()).unwrap();
            unmask(&mut body, asked);
            let expected = with_the_gateway_s_own(asked.clone(), &call["client_token"], id);
            assert_eq!(body, expected, "seed {seed}");
            let hash = hex::encode(Sha256::digest(body.to_string()));
            assert_eq!(call["body_sha256"], json!(hash), "seed {seed}: a secret");
        }
    }
    let mut all = BTreeSet::new();
    all_paths(&message, "", &mut all);
    println!(
        "random requests: {} of {DRAWN} are sound and arrived, with {} of {} paths",
        arrived.len(),
        seen.len(),
        all.len()
    );
    let left: Vec<_> = all.difference(&seen).collect();
    assert_eq!(left, Vec::<&String>::new(), "paths that never arrived");
    assert!(arrived.len() >= ARRIVED_MIN, "only {}", arrived.len());
    gateway.stop().await;
}
