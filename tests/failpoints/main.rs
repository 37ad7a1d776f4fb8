//! Faults planted at every step of the protocol: the real program, crashed, failed and delayed there.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail by panic, and prints its figures"
)]

#[path = "../common/audited.rs"]
mod audited;
#[path = "../common/canary.rs"]
#[expect(dead_code, reason = "shared with tests/it, which uses more of it")]
mod canary;
mod cells;
mod clients;
#[path = "../common/http.rs"]
mod http;
mod judge;
mod meddler;
mod names;
#[expect(dead_code, reason = "its proxy is of the other tests")]
#[path = "../it/postgres.rs"]
mod postgres;
mod process;
mod settings;
mod stories;
#[path = "../common/tap.rs"]
mod tap;
mod world;
