//! cvm-gateway: launches Tencent Cloud CVM instances once, safely, for services in any language.
//!
//! The rooms, in reading order; each may enter only rooms that ARCHITECTURE.md allows it.

pub mod admin;
pub mod chaos;
pub mod cli;
pub mod client;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod domain;
pub mod follow;
pub mod gateway;
pub mod grpc;
pub mod identity;
pub mod metrics;
pub mod operations;
pub mod pb;
pub mod policy;
pub mod random;
pub mod simulator;
pub mod store;
pub mod terminal;
