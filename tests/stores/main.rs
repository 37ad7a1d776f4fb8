//! The journal on bad disks: the real program over a file layer that loses, tears and refuses.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panic"
)]

#[path = "../common/audited.rs"]
mod audited;
#[path = "../common/canary.rs"]
#[expect(dead_code, reason = "shared with tests/it, which uses more of it")]
mod canary;
mod faults;
mod full;
#[path = "../it/log.rs"]
#[expect(dead_code, reason = "shared with tests/it, which searches it too")]
mod log;
mod process;
mod story;
mod sweep;
#[path = "../common/tap.rs"]
mod tap;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "shared with tests/it, which uses more of it")]
mod world;
