//! The arguments of the commands on the audit.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    Verify(VerifyArgs),
}

/// Says whether the audit in the journal is what was written
///
/// Finds rows that were changed, taken away or put elsewhere, and operations of which no row tells. That the last rows
/// of a chain were cut off shows only to whom remembers them: name a file that --save or `audit export` wrote before, kept
/// where the journal's owner cannot write. A gateway may run meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway audit verify
  cvm-gateway audit verify --save /mnt/elsewhere/audit-ends.jsonl
  cvm-gateway audit verify --anchor /mnt/elsewhere/audit-ends.jsonl

Exit codes:
  0 it is   1 it is not: each line names a chain and a row   64 wrong option   65 the anchor is none
  66 no such file or journal   69 the journal cannot be reached   73 the file to save exists   74 cannot write to stdout
  78 wrong configuration, or a journal of another version")]
pub(in crate::cli) struct VerifyArgs {
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
    pub(in crate::cli) config: PathBuf,
    /// Rows as JSON lines that must still be there, from --save or `audit export`
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) anchor: Option<PathBuf>,
    /// Writes the last row of each chain into a new file, if nothing was found
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) save: Option<PathBuf>,
}
