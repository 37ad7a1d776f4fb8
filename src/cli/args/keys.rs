//! The arguments of the commands about the keys of the journal.

use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeysCommand {
    /// Makes a key for journal.key_file
    ///
    /// A SQLite journal makes its own, beside it, unless a file is configured. All gateways of a journal in
    /// PostgreSQL need the same file.
    #[command(after_help = "\
Examples:
  cvm-gateway keys new /etc/cvm-gateway/journal.key    a new file, for its owner alone
  cvm-gateway keys new                                 a line for a secret store, on stdout

Exit codes:
  0 done   73 the file is there already, or cannot be made   74 cannot write")]
    New {
        /// A file that is not there yet
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}
