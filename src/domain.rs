//! The nouns: pure values with parse-only constructors. No async, no I/O.

pub mod audit;
pub mod causes;
pub mod change;
pub mod decision;
pub mod ids;
pub mod instance;
pub mod millis;
pub mod names;
pub mod operation;
pub mod outlook;
pub mod plan;
pub mod quota;
pub mod reason;
pub mod request;
pub mod rules;
pub mod secret;
pub mod spec;
pub mod standing;
pub mod trace;
pub mod violation;
