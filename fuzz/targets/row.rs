//! Documents from the journal: what is read is written back the same.
#![no_main]

use cvm_gateway::domain::operation::Operation;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(operation) = serde_json::from_slice::<Operation>(bytes) else {
        return;
    };
    let written = serde_json::to_string(&operation).expect("what was read can be written");
    let again = serde_json::from_str::<Operation>(&written).expect("and read again");
    assert_eq!(again, operation);
});
