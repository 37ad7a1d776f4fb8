//! The corpus of requests: sound ones and bad ones, each judged as it says. And random ones, which
//! are sent as they were asked for.

use super::*;
use crate::cloud::body;
use crate::domain::rules::Limits;
use crate::pb::DESCRIPTOR;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
    Value as Set,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use time::UtcDateTime;
use time::macros::utc_datetime;
use tonic_types::StatusExt;

const CORPUS: &str = include_str!("../../testdata/corpus/requests.jsonl");
const NOW: UtcDateTime = utc_datetime!(2026-11-23 12:00);

/// The code of a request, and the fields that are told.
fn judge(request: pb::RunInstancesRequest, limits: &Limits) -> (&'static str, Vec<String>) {
    let judged = wire::wish(request, limits, NOW)
        .map_err(Status::from)
        .and_then(|wish| LaunchRequest::parse(wish, limits, NOW).map_err(Status::from));
    let Err(status) = judged else {
        return ("OK", Vec::new());
    };
    let bad = status.get_details_bad_request().unwrap();
    let fields = bad.field_violations.into_iter();
    let mut fields: Vec<_> = fields.map(|violation| violation.field).collect();
    fields.sort();
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    ("INVALID_ARGUMENT", fields)
}

fn texts(row: &Value, member: &str) -> Vec<String> {
    let values = row[member].as_array().unwrap().iter();
    values
        .map(|value| value.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_request_of_the_corpus_is_judged_as_it_says() {
    let pool = DescriptorPool::decode(DESCRIPTOR).unwrap();
    let message = pool
        .get_message_by_name("cvmgateway.v1.RunInstancesRequest")
        .unwrap();
    let limits = Limits {
        regions: Vec::new(),
        ..Limits::default()
    };
    let mut wrong = Vec::new();
    let (mut good, mut bad, mut told) = (0, 0, BTreeSet::new());
    for line in CORPUS.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let request = DynamicMessage::deserialize(message.clone(), &row["request"]);
        let request = request.unwrap_or_else(|error| panic!("{}: {error}", row["name"]));
        let (code, fields) = judge(request.transcode_to().unwrap(), &limits);
        let expected = texts(&row, "fields");
        if code == "OK" {
            good += 1;
        } else {
            bad += 1;
        }
        told.extend(fields.iter().cloned());
        if (code, &fields) != (row["code"].as_str().unwrap(), &expected) {
            wrong.push(format!(
                "{}: {code} {fields:?}, not {} {expected:?}",
                row["name"], row["code"]
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        good >= 250 && bad >= 600,
        "{good} sound and {bad} bad requests"
    );
    assert!(told.len() >= 70, "only {} fields are told", told.len());
}

/// Fields that the contract requires: without them nothing is sent.
const REQUIRED: [&str; 11] = [
    "disk_size",
    "interface_type",
    "key",
    "max_price",
    "period",
    "private_ipv4_address_count",
    "resource_type",
    "spot_options",
    "subnet_id",
    "vpc_id",
    "zone",
];
/// What the contract spells otherwise than the proto would make one expect.
const SPELLED: [(&str, &str); 3] = [
    ("ipv4_address_type", "IPv4AddressType"),
    ("ipv6_address_type", "IPv6AddressType"),
    ("anti_ddos_package_id", "AntiDDoSPackageId"),
];

fn pick<T: Clone>(dice: &mut ChaCha8Rng, from: &[T]) -> T {
    let at = dice.next_u64() % u64::try_from(from.len()).unwrap();
    from[usize::try_from(at).unwrap()].clone()
}

/// A message of which each field is set or not, also to what is the same as nothing elsewhere:
/// zero, false, an empty text, an empty message.
fn drawn(message: &MessageDescriptor, dice: &mut ChaCha8Rng) -> DynamicMessage {
    let mut out = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let required = REQUIRED.contains(&field.name());
        if field.is_list() {
            let count = pick(dice, &[0, 1, 2]);
            let values = (0..count).map(|_| value(&field, dice)).collect();
            out.set_field(&field, Set::List(values));
        } else if required || pick(dice, &[true, false]) {
            out.set_field(&field, value(&field, dice));
        }
    }
    out
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the specification has no other kinds"
)]
fn value(field: &FieldDescriptor, dice: &mut ChaCha8Rng) -> Set {
    match field.kind() {
        Kind::Bool => Set::Bool(pick(dice, &[false, true])),
        Kind::Int64 => Set::I64(pick(dice, &[0, 1, -1, i64::MIN, i64::MAX])),
        Kind::Uint64 => Set::U64(pick(dice, &[0, 1, u64::MAX])),
        Kind::Message(message) => Set::Message(drawn(&message, dice)),
        Kind::String if REQUIRED.contains(&field.name()) => {
            Set::String(pick(dice, &["instance", "0", "测 \"\\\n"]).to_owned())
        }
        Kind::String => Set::String(pick(dice, &["", "0", "false", "{R:1}", "测"]).to_owned()),
        kind => panic!("{kind:?} is no kind that the specification has"),
    }
}

/// What is to be sent for a message: what is set in it, and nothing else.
fn asked(message: &DynamicMessage) -> Value {
    let mut out = Map::new();
    for field in message.descriptor().fields() {
        // The value of a tag or of metadata is part of it, even if it is empty.
        if message.has_field(&field) || field.name() == "value" {
            out.insert(spelled(field.name()), json(&message.get_field(&field)));
        }
    }
    Value::Object(out)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the specification has no other kinds"
)]
fn json(set: &Set) -> Value {
    match set {
        Set::Bool(flag) => json!(flag),
        Set::I64(number) => json!(number),
        Set::U64(number) => json!(number),
        Set::String(text) => json!(text),
        Set::Message(message) => asked(message),
        Set::List(values) => values.iter().map(json).collect(),
        other => panic!("{other:?} is nothing that the specification has"),
    }
}

fn spelled(name: &str) -> String {
    if let Some((_, spelled)) = SPELLED.iter().find(|(of, _)| *of == name) {
        return (*spelled).to_owned();
    }
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

/// What the gateway adds to a launch of its own: its mark, its token, and the count that a template
/// may not decide.
fn with_the_gateway_s_own(mut asked: Value, id: OperationId) -> Value {
    let own = json!({"Key": body::operation_tag_key(), "Value": id.to_string()});
    let members = asked.as_object_mut().unwrap();
    if members.contains_key("LaunchTemplate") {
        members.entry("InstanceCount").or_insert(json!(1));
    }
    members.insert("ClientToken".to_owned(), json!(id.client_token(0)));
    let tags = members
        .entry("TagSpecification")
        .or_insert_with(|| json!([]));
    let tags = tags.as_array_mut().unwrap();
    let instance = |of: &&mut Value| of["ResourceType"] == "instance";
    if let Some(of) = tags.iter_mut().find(instance) {
        let tags = of.as_object_mut().unwrap().entry("Tags");
        tags.or_insert_with(|| json!([]))
            .as_array_mut()
            .unwrap()
            .push(own);
    } else {
        tags.push(json!({"ResourceType": "instance", "Tags": [own]}));
    }
    asked
}

/// Counts the paths of members that were seen.
fn paths(value: &Value, path: &str, seen: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = format!("{path}.{name}");
                paths(member, &path, seen);
                seen.insert(path);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| paths(value, path, seen)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn what_is_asked_for_is_sent_and_nothing_else() {
    let pool = DescriptorPool::decode(DESCRIPTOR).unwrap();
    let message = pool
        .get_message_by_name("cvmgateway.v1.InstanceSpec")
        .unwrap();
    let id = OperationId::parse("019b7d5e-0000-7000-8000-000000000001").unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..2000 {
        let spec = drawn(&message, &mut ChaCha8Rng::seed_from_u64(seed));
        let asked = asked(&spec);
        paths(&asked, "", &mut seen);
        let request = pb::RunInstancesRequest {
            request_id: "r".to_owned(),
            region: "ap-shanghai".to_owned(),
            spec: Some(spec.transcode_to().unwrap()),
            ..pb::RunInstancesRequest::default()
        };
        let wish = wire::wish(request, &Limits::default(), NOW);
        let wish = wish.unwrap_or_else(|violations| panic!("seed {seed}: {violations}"));
        let sent = body::run_instances(&wish.spec, id, 0).unwrap();
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!(sent, with_the_gateway_s_own(asked, id), "seed {seed}");
    }
    // The contract's paths that may be sent, less ClientToken, and each list and object by itself.
    let contract = include_str!("../../testdata/contract/cvm-contract.json");
    let contract: Value = serde_json::from_str(contract).unwrap();
    let mut expected = BTreeSet::new();
    contract_paths(
        &contract["objects"],
        "RunInstancesRequest",
        "",
        &mut expected,
    );
    expected.remove(".ClientToken");
    assert_eq!(seen, expected);
}

/// Every path of the object that a request may hold.
fn contract_paths(objects: &Value, object: &str, path: &str, out: &mut BTreeSet<String>) {
    for field in objects[object]["members"].as_array().unwrap() {
        if field["direction"] == "out" {
            continue;
        }
        let path = format!("{path}.{}", field["name"].as_str().unwrap());
        if let Some(inner) = field["object"].as_str() {
            contract_paths(objects, inner, &path, out);
        }
        out.insert(path);
    }
}
