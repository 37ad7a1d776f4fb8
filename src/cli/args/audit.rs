//! The arguments of the commands on the audit.

use super::policy::time;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use time::UtcDateTime;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    Verify(VerifyArgs),
    Export(ExportArgs),
}

/// Says whether the audit in the journal, or in a file, is what was written
///
/// Finds rows that were changed, taken away or put elsewhere, and operations of which no row tells. That the last rows
/// of a chain were cut off shows only to whom remembers them: name a file that --save or `audit export` wrote before, kept
/// where the journal's owner cannot write. A gateway may run meanwhile. With --file the journal is not needed: the rows of
/// an export or of sinks are held against each other.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway audit verify
  cvm-gateway audit verify --save /mnt/elsewhere/audit-ends.jsonl
  cvm-gateway audit verify --anchor /mnt/elsewhere/audit-ends.jsonl
  cvm-gateway audit verify --file audit.jsonl
  cvm-gateway audit verify --file one/audit.jsonl --file other/audit.jsonl
  cvm-gateway audit verify --file audit.jsonl.1 --anchor audit.jsonl.2 --partial

Exit codes:
  0 it is   1 it is not: each line names a chain and a row, and the line of its file   64 wrong option   65 the anchor is none
  66 no such file or journal   69 the journal cannot be reached   73 the file to save exists   74 cannot write to stdout
  78 wrong configuration, or a journal of another version")]
pub(in crate::cli) struct VerifyArgs {
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
    pub(in crate::cli) config: PathBuf,
    /// Verifies this file of JSON lines, as `audit export` or a sink wrote it, instead of the journal; several have the
    /// rows together, each some
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(in crate::cli) file: Vec<PathBuf>,
    /// The file is a part, or the files are: what is before, after and beside its rows is not asked for
    #[arg(long, requires = "file")]
    pub(in crate::cli) partial: bool,
    /// Rows as JSON lines that must still be there, from --save or `audit export`
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) anchor: Option<PathBuf>,
    /// Writes the last row of each chain into a new file, if nothing was found
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) save: Option<PathBuf>,
}

/// Prints the audit, one JSON object a line
///
/// The rows of each chain in their order, the oldest chain first; docs/audit.md tells what is in them. A gateway may run
/// meanwhile. Rows of versions before there were chains are only in `operations export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway audit export > audit.jsonl
  cvm-gateway audit export --since 2026-12-24T00:00:00Z --follow | ship-it

Exit codes:
  0 done   64 wrong option   66 no such file or journal   69 the journal cannot be reached
  74 cannot write to stdout   78 wrong configuration, or a journal of another version")]
pub(in crate::cli) struct ExportArgs {
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
    pub(in crate::cli) config: PathBuf,
    /// Of each chain the rows from the first act of this time, RFC 3339, on; before them a line with the hash of the row
    /// that they go on from
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) since: Option<UtcDateTime>,
    /// Does not end, but prints what is added
    #[arg(long)]
    pub(in crate::cli) follow: bool,
}
