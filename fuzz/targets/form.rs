//! Queries and forms: the simulator's parser and what the actions make of them.
#![no_main]

use cvm_gateway::simulator::fuzz::Fuzzed;
use libfuzzer_sys::fuzz_target;
use std::sync::{LazyLock, Mutex};

static SIMULATOR: LazyLock<Mutex<Fuzzed>> =
    LazyLock::new(|| Mutex::new(Fuzzed::new().expect("its own catalogue")));

fuzz_target!(|bytes: &[u8]| SIMULATOR.lock().expect("no panic before").form(bytes));
