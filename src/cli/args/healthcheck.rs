//! The arguments of the question whether a gateway is ready.

use clap::Args;
use std::net::SocketAddr;

/// Asks a gateway on this machine whether it takes launches
///
/// Asks the side door for /readyz and prints what it says: for the health checks of containers, whose image has no
/// other program to ask with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway healthcheck
  cvm-gateway healthcheck --admin 127.0.0.1:7181

Exit codes:
  0 it takes launches   69 it does not, or does not answer within 4 s   74 cannot write to stdout")]
pub(in crate::cli) struct HealthcheckArgs {
    /// Where the side door listens: admin.listen of its configuration
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7081")]
    pub(in crate::cli) admin: SocketAddr,
}
