//! Every parameter of RunInstances in the contract has a field in the proto, and reaches the cloud
//! as it was set.

use crate::cloud::server::{Server, answer};
use crate::world::{Client, World, client, run};
use cvm_gateway::pb;
use futures_util::future::join_all;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
    Value as Pb,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Parameters of the contract, output members and the gateway's own included.
const PATHS: usize = 117;
/// Set by the gateway, whatever the caller wishes.
const OWNED: [&str; 1] = ["ClientToken"];
/// What a launch needs at least.
const MINIMAL: [&str; 2] = ["Placement.Zone", "ImageId"];

/// What a parameter is set to where a rule of the gateway refuses the sample of its type.
const SAMPLES: [(&str, &str); 45] = [
    ("InstanceChargeType", r#""POSTPAID_BY_HOUR""#),
    ("InstanceChargePrepaid.Period", r#"24"#),
    (
        "InstanceChargePrepaid.RenewFlag",
        r#""NOTIFY_AND_AUTO_RENEW""#,
    ),
    ("Placement.Zone", r#""ap-shanghai-2""#),
    ("Placement.HostIds[]", r#"["host-1a2b3c4d"]"#),
    (
        "Placement.DedicatedResourcePackTenancy",
        r#""ResourcePool""#,
    ),
    (
        "Placement.DedicatedResourcePackIds[]",
        r#"["rpp-1a2b3c4d"]"#,
    ),
    ("InstanceType", r#""S5.MEDIUM2""#),
    ("ImageId", r#""img-1a2b3c4d""#),
    ("SystemDisk.DiskType", r#""CLOUD_PREMIUM""#),
    ("DataDisks[].DiskSize", r#"50"#),
    ("DataDisks[].DiskType", r#""CLOUD_HSSD""#),
    ("DataDisks[].SnapshotId", r#""snap-1a2b3c4d""#),
    ("VirtualPrivateCloud.VpcId", r#""vpc-1a2b3c4d""#),
    ("VirtualPrivateCloud.SubnetId", r#""subnet-1a2b3c4d""#),
    (
        "VirtualPrivateCloud.PrivateIpAddresses[]",
        r#"["10.0.0.8"]"#,
    ),
    (
        "InternetAccessible.InternetChargeType",
        r#""TRAFFIC_POSTPAID_BY_HOUR""#,
    ),
    ("InternetAccessible.BandwidthPackageId", r#""bwp-1a2b3c4d""#),
    ("InternetAccessible.InternetServiceProvider", r#""BGP""#),
    ("InternetAccessible.IPv4AddressType", r#""WanIP""#),
    ("InternetAccessible.IPv6AddressType", r#""EIPv6""#),
    ("MinCount", r#"1"#),
    ("LoginSettings.Password", r#""Sample-Passw0rd""#),
    ("LoginSettings.KeyIds[]", r#"["skey-1a2b3c4d"]"#),
    ("LoginSettings.KeepImageLogin", r#""true""#),
    ("SecurityGroupIds[]", r#"["sg-1a2b3c4d"]"#),
    ("ActionTimer.TimerAction", r#""TerminateInstances""#),
    ("ActionTimer.ActionTime", r#""2099-01-31T23:59:59Z""#),
    ("DisasterRecoverGroupIds[]", r#"["ps-1a2b3c4d"]"#),
    ("TagSpecification[].ResourceType", r#""instance""#),
    (
        "InstanceMarketOptions.SpotOptions.MaxPrice",
        r#""0.125000000000000001""#,
    ),
    (
        "InstanceMarketOptions.SpotOptions.SpotInstanceType",
        r#""one-time""#,
    ),
    ("InstanceMarketOptions.MarketType", r#""spot""#),
    ("UserData", r#""c2FtcGxl""#),
    ("CpuTopology.ThreadPerCore", r#"2"#),
    ("HpcClusterId", r#""hpc-1a2b3c4d""#),
    ("LaunchTemplate.LaunchTemplateId", r#""lt-1a2b3c4d""#),
    ("DedicatedClusterId", r#""cluster-1a2b3c4d""#),
    ("ChcIds[]", r#"["chc-1a2b3c4d"]"#),
    (
        "NetworkInterfaces[]",
        r#"[{"InterfaceType":"SECONDARY","VpcId":"vpc-1a2b3c4d","SubnetId":"subnet-1a2b3c4d",
          "PrivateIpv4AddressCount":1},
        {"InterfaceType":"PRIMARY","VpcId":"vpc-1a2b3c4d","SubnetId":"subnet-1a2b3c4d",
          "PrivateIpv4AddressCount":1}]"#,
    ),
    ("NetworkInterfaces[].InterfaceType", r#""SECONDARY""#),
    ("NetworkInterfaces[].VpcId", r#""vpc-1a2b3c4d""#),
    ("NetworkInterfaces[].SubnetId", r#""subnet-1a2b3c4d""#),
    (
        "NetworkInterfaces[].NetworkInterfaceId",
        r#""eni-1a2b3c4d""#,
    ),
    (
        "NetworkInterfaces[].SecurityGroupIds[]",
        r#"["sg-1a2b3c4d"]"#,
    ),
];

/// What must be set beside a parameter, besides what the contract requires.
const COMPANIONS: [(&str, &str); 15] = [
    (
        "Placement.DedicatedResourcePackIds[]",
        "Placement.DedicatedResourcePackTenancy",
    ),
    ("DataDisks[].ThroughputPerformance", "DataDisks[].DiskType"),
    (
        "VirtualPrivateCloud.AsVpcGateway",
        "InternetAccessible.InternetMaxBandwidthOut",
    ),
    (
        "InternetAccessible.PublicIpAssigned",
        "InternetAccessible.InternetMaxBandwidthOut",
    ),
    ("ActionTimer", "ActionTimer.TimerAction"),
    ("ActionTimer", "ActionTimer.ActionTime"),
    ("ActionTimer.TimerAction", "ActionTimer.ActionTime"),
    ("ActionTimer.ActionTime", "ActionTimer.TimerAction"),
    ("CpuTopology.CoreCount", "CpuTopology.ThreadPerCore"),
    ("CpuTopology.ThreadPerCore", "CpuTopology.CoreCount"),
    ("CamRoleName", "VirtualPrivateCloud"),
    ("LaunchTemplate", "LaunchTemplate.LaunchTemplateId"),
    (
        "LaunchTemplate.LaunchTemplateVersion",
        "LaunchTemplate.LaunchTemplateId",
    ),
    ("PartitionNumber", "DisasterRecoverGroupIds[]"),
    // Where it is all of them it is not said.
    ("MinCount", "InstanceCount"),
];

/// Parameters that a rule forbids to be 0 or empty; every other one may be.
const NOT_ZERO: [&str; 44] = [
    "InstanceChargePrepaid.Period",
    "Placement.Zone",
    "VirtualPrivateCloud.VpcId",
    "VirtualPrivateCloud.SubnetId",
    "InstanceCount",
    "MinCount",
    "LoginSettings.Password",
    "LoginSettings.KeepImageLogin",
    "HostName",
    "TagSpecification[].ResourceType",
    "TagSpecification[].Tags[].Key",
    "InstanceMarketOptions.SpotOptions.MaxPrice",
    "Metadata.Items[].Key",
    "NetworkInterfaces[].InterfaceType",
    "NetworkInterfaces[].VpcId",
    "NetworkInterfaces[].SubnetId",
    "CamRoleName",
    "LaunchTemplate.LaunchTemplateVersion",
    "PartitionNumber",
    "NetworkInterfaces[].PrivateIpv4AddressCount",
    "NetworkInterfaces[].NetworkInterfaceId",
    "InstanceChargeType",
    "InstanceChargePrepaid.RenewFlag",
    "Placement.DedicatedResourcePackTenancy",
    "SystemDisk.DiskType",
    "SystemDisk.DiskSize",
    "DataDisks[].DiskType",
    "DataDisks[].SnapshotId",
    "InternetAccessible.InternetChargeType",
    "InternetAccessible.BandwidthPackageId",
    "InternetAccessible.InternetServiceProvider",
    "InternetAccessible.IPv4AddressType",
    "InternetAccessible.IPv6AddressType",
    "ActionTimer.TimerAction",
    "ActionTimer.ActionTime",
    "InstanceMarketOptions.SpotOptions.SpotInstanceType",
    "InstanceMarketOptions.MarketType",
    "CpuTopology.CoreCount",
    "CpuTopology.ThreadPerCore",
    "HpcClusterId",
    "LaunchTemplate.LaunchTemplateId",
    "DedicatedClusterId",
    "ImageId",
    "InstanceType",
];

#[test]
fn the_proto_has_the_contract_s_parameters_and_no_other() {
    let contract = Contract::read();
    let mut expected: BTreeSet<String> = contract.inputs().map(squeeze).collect();
    assert_eq!(expected.len(), contract.inputs().count());
    let mut fields = Vec::new();
    walk(&spec_descriptor(), "", &mut fields);
    for field in fields {
        assert!(
            expected.remove(&field),
            "the contract does not have {field}"
        );
    }
    assert_eq!(
        expected,
        BTreeSet::new(),
        "the proto does not have what is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the coverage is for who reads the log")]
async fn every_parameter_reaches_the_cloud_as_it_was_set() {
    let contract = Contract::read();
    let mut cases: Vec<Case> = contract.inputs().map(|path| contract.case(path)).collect();
    let forwarded = cases.len();
    for (path, zero) in contract.zeros() {
        if !NOT_ZERO.contains(&path) {
            cases.push(contract.case_of(path, zero));
        }
    }
    let zeros = cases.len() - forwarded;
    let bodies = launch_all(&cases).await;
    for (case, (name, body)) in cases.iter().zip(&bodies) {
        let mut expected = case.spec.clone();
        mark(&mut expected, name);
        if expected.contains_key("LaunchTemplate") {
            // The template's own count was not approved, so the gateway names one.
            expected.entry("InstanceCount").or_insert(Value::from(1));
        }
        assert_eq!(body, &Value::Object(expected), "{}", case.path);
    }
    let apart = contract.outputs().count() + OWNED.len();
    assert_eq!(forwarded + apart, PATHS);
    println!(
        "{}/{PATHS} parameters are accounted for: {forwarded} forwarded ({zeros} of them also as 0, false or \"\"), \
         {} output only, {} the gateway's own",
        forwarded + apart,
        contract.outputs().count(),
        OWNED.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_zero_is_refused() {
    let contract = Contract::read();
    let zeros: BTreeMap<&str, Value> = contract.zeros().collect();
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    for path in NOT_ZERO {
        let case = contract.case_of(path, zeros[path].clone());
        let status = refused(&mut client, &case).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{path}");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let wanted = squeeze(&format!("spec.{}", path.replace("[]", "[0]")));
        let blamed = violations.iter().all(|v| squeeze(&v.field) == wanted);
        assert!(blamed && !violations.is_empty(), "{path}: {status:?}");
    }
    assert_eq!(world.ledger().await.len(), 0);
    gateway.stop().await;
}

/// A launch that sets one parameter, and what it cannot be without.
struct Case {
    path: String,
    spec: Map<String, Value>,
}

/// The request parameters of RunInstances.
struct Contract(Vec<Value>);

impl Contract {
    fn read() -> Self {
        let text = include_str!("../../testdata/contract/cvm-contract.json");
        let contract: Value = serde_json::from_str(text).unwrap();
        let fields = &contract["actions"]["RunInstances"]["request_fields"];
        let fields = fields.as_array().unwrap().clone();
        assert_eq!(fields.len(), PATHS);
        Self(fields)
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|field| field["path"].as_str().unwrap())
    }

    /// Members of answers that share an object with requests, and what is inside of them.
    fn is_output(&self, path: &str) -> bool {
        let outputs = self.0.iter().filter_map(|field| {
            field
                .get("ignored_or_rejected_as_input")
                .and(field["path"].as_str())
        });
        let inside = |output: &str| {
            path.strip_prefix(output)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        outputs.into_iter().any(inside)
    }

    fn outputs(&self) -> impl Iterator<Item = &str> {
        self.paths().filter(|path| self.is_output(path))
    }

    fn inputs(&self) -> impl Iterator<Item = &str> {
        self.paths()
            .filter(|path| !self.is_output(path) && !OWNED.contains(path))
    }

    fn field(&self, path: &str) -> &Value {
        self.0.iter().find(|field| field["path"] == path).unwrap()
    }

    /// The names of the members of an object that it cannot be without.
    fn required(&self, object: &str) -> Vec<&str> {
        let child = |path: &&str| {
            let rest = path.strip_prefix(object).and_then(|r| r.strip_prefix('.'));
            rest.is_some_and(|name| !name.contains('.'))
        };
        self.inputs()
            .filter(child)
            .filter(|path| self.field(path)["required"] == true)
            .collect()
    }

    /// A value for a parameter: of its type, with what an object requires.
    fn sample(&self, path: &str) -> Value {
        if let Some((_, value)) = SAMPLES.iter().find(|(sampled, _)| *sampled == path) {
            return serde_json::from_str(value).unwrap();
        }
        match self.field(path)["type"].as_str().unwrap() {
            "string" => json!(format!("a-{}", path.len())),
            "int64" | "uint64" => json!(path.len()),
            "bool" => json!(true),
            "array<string>" => json!([format!("a-{}", path.len())]),
            object => {
                let mut members = Map::new();
                for required in self.required(path) {
                    members.insert(last(required).to_owned(), self.sample(required));
                }
                if object.starts_with("array<") {
                    json!([members])
                } else {
                    Value::Object(members)
                }
            }
        }
    }

    /// 0, false or "" for each parameter that is neither an object nor a list.
    fn zeros(&self) -> impl Iterator<Item = (&str, Value)> {
        self.inputs().filter_map(|path| {
            let zero = match self.field(path)["type"].as_str().unwrap() {
                "string" => json!(""),
                "int64" | "uint64" => json!(0),
                "bool" => json!(false),
                _ => return None,
            };
            Some((path, zero))
        })
    }

    fn case(&self, path: &str) -> Case {
        self.case_of(path, self.sample(path))
    }

    fn case_of(&self, path: &str, value: Value) -> Case {
        let mut spec = Value::Object(Map::new());
        for minimal in MINIMAL {
            self.set(&mut spec, minimal, self.sample(minimal));
        }
        for (_, companion) in COMPANIONS.iter().filter(|(of, _)| *of == path) {
            self.set(&mut spec, companion, self.sample(companion));
        }
        self.set(&mut spec, path, value);
        Case {
            path: path.to_owned(),
            spec: spec.as_object().unwrap().clone(),
        }
    }

    /// Sets a parameter, and what the objects that it is in require.
    fn set(&self, spec: &mut Value, path: &str, value: Value) {
        let (mut place, mut so_far) = (spec, String::new());
        let names: Vec<&str> = path.split('.').collect();
        let (leaf, parents) = names.split_last().unwrap();
        for name in parents {
            so_far = join(&so_far, name);
            let object = &mut place[name.trim_end_matches("[]")];
            if object.is_null() {
                *object = self.sample(&so_far);
            }
            place = if name.ends_with("[]") {
                &mut object[0]
            } else {
                object
            };
        }
        let leaf = leaf.trim_end_matches("[]");
        // An object that is there keeps what it has.
        if !(value.is_object() && place[leaf].is_object()) {
            place[leaf] = value;
        }
    }
}

/// Launches all cases at a cloud that refuses them; the operation's id and the body of each.
async fn launch_all(cases: &[Case]) -> Vec<(String, Value)> {
    let refusal =
        r#"{"Response":{"Error":{"Code":"InvalidParameter","Message":"no"},"RequestId":"r"}}"#;
    let cloud = Server::start(vec![answer(refusal); cases.len()]).await;
    let world = World::new(100.0).await;
    let config = world.config_of(&format!("http://{}", cloud.address), "");
    let gateway = world.gateway_of(config).await;
    let client = client(&gateway).await;
    let launches = cases.iter().enumerate().map(|(number, case)| {
        let mut client = client.clone();
        async move {
            let seen = run(&mut client, request(&format!("case-{number}"), &case.spec)).await;
            let told = &seen.snapshots.last();
            let told = told.unwrap_or_else(|| panic!("{}: {:?}", case.path, seen.end));
            told.name.trim_start_matches("operations/").to_owned()
        }
    });
    let names = join_all(launches).await;
    gateway.stop().await;
    let mut bodies: BTreeMap<String, Value> = BTreeMap::new();
    for request in cloud.requests() {
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        let token = body["ClientToken"].as_str().unwrap().to_owned();
        assert!(bodies.insert(token, body).is_none(), "sent twice");
    }
    assert_eq!(bodies.len(), cases.len());
    let body_of = |name: &String| bodies[&token(name)].clone();
    names
        .into_iter()
        .map(|name| (name.clone(), body_of(&name)))
        .collect()
}

async fn refused(client: &mut Client, case: &Case) -> Status {
    let seen = run(client, request("refused", &case.spec)).await;
    assert_eq!(seen.snapshots, [], "{}", case.path);
    seen.end.unwrap_err()
}

fn token(operation: &str) -> String {
    format!("{}-0", operation.replace('-', ""))
}

/// Adds what the gateway adds to every launch.
fn mark(spec: &mut Map<String, Value>, operation: &str) {
    spec.insert("ClientToken".to_owned(), json!(token(operation)));
    let tag = json!({ "Key": "cvm-gateway:operation", "Value": operation });
    match spec.get_mut("TagSpecification") {
        Some(specifications) => {
            let tags = specifications[0]["Tags"].as_array_mut().unwrap();
            tags.push(tag);
        }
        None => {
            let own = json!([{ "ResourceType": "instance", "Tags": [tag] }]);
            spec.insert("TagSpecification".to_owned(), own);
        }
    }
}

/// A launch of what `spec`, in the contract's words, says.
pub(crate) fn request(request_id: &str, spec: &Map<String, Value>) -> pb::v1::RunInstancesRequest {
    let spec: pb::v1::InstanceSpec = message(&spec_descriptor(), spec).transcode_to().unwrap();
    pb::v1::RunInstancesRequest {
        request_id: request_id.to_owned(),
        region: "ap-shanghai".to_owned(),
        spec: Some(spec),
        ..pb::v1::RunInstancesRequest::default()
    }
}

fn spec_descriptor() -> MessageDescriptor {
    let pool = DescriptorPool::decode(pb::DESCRIPTOR).unwrap();
    pool.get_message_by_name("cvmgateway.v1.InstanceSpec")
        .unwrap()
}

/// The message that says what `members`, in the contract's words, say.
fn message(descriptor: &MessageDescriptor, members: &Map<String, Value>) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, member) in members {
        let named = |field: &FieldDescriptor| squeeze(field.name()) == squeeze(name);
        let field = descriptor.fields().find(named).unwrap();
        let value = if let Value::Array(items) = member {
            Pb::List(items.iter().map(|item| one(&field, item)).collect())
        } else {
            one(&field, member)
        };
        message.try_set_field(&field, value).unwrap();
    }
    message
}

fn one(field: &FieldDescriptor, value: &Value) -> Pb {
    match (field.kind(), value) {
        (Kind::Message(inner), Value::Object(members)) => Pb::Message(message(&inner, members)),
        (Kind::String, Value::String(text)) => Pb::String(text.clone()),
        (Kind::Bool, Value::Bool(truth)) => Pb::Bool(*truth),
        (Kind::Int64, Value::Number(number)) => Pb::I64(number.as_i64().unwrap()),
        (Kind::Uint64, Value::Number(number)) => Pb::U64(number.as_u64().unwrap()),
        (kind, value) => panic!("{}: {kind:?} for {value}", field.full_name()),
    }
}

/// The paths of all fields below a message, as [`squeeze`] writes them.
fn walk(descriptor: &MessageDescriptor, prefix: &str, out: &mut Vec<String>) {
    for field in descriptor.fields() {
        let repeated = field.cardinality() == Cardinality::Repeated;
        let list = if repeated { "[]" } else { "" };
        let path = join(prefix, &format!("{}{list}", squeeze(field.name())));
        out.push(path.clone());
        if let Kind::Message(inner) = field.kind() {
            walk(&inner, &path, out);
        }
    }
}

/// What `DataDisks[].DiskSize` and `data_disks[].disk_size` have in common.
fn squeeze(path: &str) -> String {
    path.replace('_', "").to_lowercase()
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

fn last(path: &str) -> &str {
    let name = path.rsplit('.').next().unwrap();
    name.trim_end_matches("[]")
}
