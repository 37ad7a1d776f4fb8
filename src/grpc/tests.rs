//! The corpus of requests: sound ones and bad ones, each judged as it says.

use super::*;
use crate::domain::rules::Limits;
use crate::pb::DESCRIPTOR;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
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
