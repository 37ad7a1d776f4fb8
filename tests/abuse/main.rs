//! Clients that misbehave, and more calls than can be answered, all from this machine and bounded in count and
//! time, while a good one calls.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail by panic, and tells what it measured"
)]

mod attacks;
#[path = "../../benches/common/catalog.rs"]
mod catalog;
mod crowd;
#[path = "../common/frames.rs"]
#[expect(dead_code, reason = "other tests look closer at answers")]
mod frames;
mod gateway;
mod good;
mod judge;
mod launches;
mod overload;
mod stop;
