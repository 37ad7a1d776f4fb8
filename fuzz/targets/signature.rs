//! Headers that claim to be signed: the simulator's verifiers.
#![no_main]

use cvm_gateway::simulator::fuzz::Fuzzed;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SIMULATOR: LazyLock<Fuzzed> = LazyLock::new(|| Fuzzed::new().expect("its own catalogue"));

fuzz_target!(|bytes: &[u8]| {
    let _genuine = SIMULATOR.verify(bytes);
});
