//! The one integration-test binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panic"
)]

mod access;
mod admission;
mod arrival;
mod audit;
#[path = "../common/canary.rs"]
mod canary;
mod check;
mod cli;
mod clients;
mod cloud;
mod connections;
mod console;
mod contract;
mod credentials;
mod deploy;
mod desk;
mod docs;
mod doctor;
mod doors;
#[path = "../common/expected.rs"]
mod expected;
mod foreign;
#[path = "../common/frames.rs"]
mod frames;
mod hosts;
#[path = "../common/http.rs"]
mod http;
mod identity;
mod launch;
mod layers;
mod lifecycle;
mod limiter;
mod log;
mod manager;
mod metrics;
mod notify;
mod official_clients;
mod orphans;
mod parking;
mod plan;
mod policy;
mod policy_corpus;
mod polling;
mod postgres;

mod presence;
mod python_validate;
mod quotas;
mod recipes;
mod recovery;
mod refusals;
mod replay;
mod rotation;
mod sealing;
mod secrets;
mod simulator;
mod store;
#[path = "../common/tap.rs"]
mod tap;
mod tidy;
mod traces;
mod web;
mod world;
mod zones;
