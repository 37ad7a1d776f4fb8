//! The one integration-test binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panic"
)]

mod cli;
mod cloud;
mod launch;
mod log;
mod postgres;
mod python_sdk;
mod recovery;
mod simulator;
mod store;
mod world;
