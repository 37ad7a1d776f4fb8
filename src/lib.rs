//! cvm-gateway: launches Tencent Cloud CVM instances once, safely, for services in any language.
//!
//! The rooms, in reading order; each may enter only rooms that ARCHITECTURE.md allows it.

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod chaos;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod client;
pub mod clock;
#[cfg(feature = "server")]
pub mod cloud;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
pub mod doctor;
#[cfg(feature = "server")]
pub mod domain;
#[cfg(feature = "client")]
pub mod follow;
#[cfg(feature = "server")]
pub mod gateway;
#[cfg(feature = "server")]
pub mod grpc;
#[cfg(feature = "server")]
pub mod identity;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod operations;
pub mod pb;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "server")]
pub mod random;
#[cfg(feature = "server")]
pub mod simulator;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod terminal;
#[cfg(feature = "server")]
pub mod trace;
