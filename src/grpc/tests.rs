//! The corpus of requests: sound ones and bad ones, each judged as it says. And random ones, which
//! are sent as they were asked for.

#[path = "../../tests/common/expected.rs"]
mod expected;

use super::*;
use crate::cloud::body;
use crate::domain::request::LaunchRequest;
use crate::domain::rules::Limits;
use crate::pb::DESCRIPTOR;
use expected::{asked, paths, with_the_gateway_s_own};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Set,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
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
        let token = json!(id.client_token(0));
        let expected = with_the_gateway_s_own(asked, &token, &id.to_string());
        assert_eq!(sent, expected, "seed {seed}");
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
