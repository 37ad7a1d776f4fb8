//! The process-level proof: the real program is killed, paused and cut off, and judged from outside.
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
mod checker;
mod cutter;
mod dice;
mod history;
#[path = "../common/http.rs"]
mod http;
mod kill;
mod load;
mod postgres;
mod process;
mod proxy;
mod replicas;
mod report;
mod stop;
#[path = "../common/tap.rs"]
#[expect(dead_code, reason = "shared with others, which connect by it")]
mod tap;
mod upgrade;
mod world;
