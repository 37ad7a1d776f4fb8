//! Bytes from callers: protobuf, rules, and the bodies that would be sent, which are JSON.
#![no_main]

use cvm_gateway::cloud::body;
use cvm_gateway::domain::ids::OperationId;
use cvm_gateway::grpc::fuzz::request;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = request(bytes) else {
        return;
    };
    let id = OperationId::parse("019b7d5e-0000-7000-8000-000000000001").expect("it is one");
    for (number, spec) in (0..).zip(request.wish().specs()) {
        let body = body::run_instances(&spec, id, number).expect("every specification is JSON");
        serde_json::from_slice::<Value>(&body).expect("it was written as such");
    }
});
