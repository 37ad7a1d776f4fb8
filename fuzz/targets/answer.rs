//! Bytes from the cloud: every reader of its answers, and the table of its codes.
#![no_main]

use cvm_gateway::cloud::{codes, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = wire::run_instances(bytes);
    let _ = wire::describe_instances_status(bytes, &[]);
    let _ = wire::describe_page(bytes);
    let _ = wire::tagged_page(bytes, "cvm-gateway:operation");
    let _ = wire::terminate_instances(bytes);
    let _ = wire::price(bytes, "CNY", wire::Amounts::OfEach, 100);
    let _ = wire::offers(bytes);
    let _ = wire::quotas(bytes, None);
    let _ = wire::zones(bytes);
    let _ = wire::regions(bytes);
    let code = String::from_utf8_lossy(bytes);
    let _ = codes::classify(&code);
});
