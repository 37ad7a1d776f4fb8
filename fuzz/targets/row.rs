//! Rows of the journal, all their columns, by the decoders of the store; what is read of an operation is
//! written back the same.
#![no_main]

use cvm_gateway::domain::operation::Operation;
use cvm_gateway::store::fuzz::Rows;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

thread_local! {
    static ROWS: RefCell<Rows> = RefCell::new(Rows::open().expect("SQLite is compiled in"));
}

fuzz_target!(|bytes: &[u8]| {
    let decoded = ROWS.with_borrow_mut(|rows| rows.read(bytes));
    let Some(operation) = decoded.operation else {
        return;
    };
    let written = serde_json::to_string(&operation).expect("what was read can be written");
    let again = serde_json::from_str::<Operation>(&written).expect("and read again");
    assert_eq!(again, operation);
});
