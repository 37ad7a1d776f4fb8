//! The arguments of the commands about the keys of the journal.

use clap::{Args, Subcommand};
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
    /// Puts a new first key into a file
    ///
    /// The first key seals, all open. The file is replaced in one step; its mode, its owner and its comments
    /// stay. Running gateways take the new key when they look at the file (journal.key_reload_interval), and
    /// seal what is under way with it.
    #[command(after_help = "\
Examples:
  cvm-gateway keys rotate /etc/cvm-gateway/journal.key
  cvm-gateway keys rotate cvm-gateway.db.key --drop-unused    also takes out keys that seal nothing

Exit codes:
  0 done   66 no such --config   69 the journal cannot be reached   73 the file has 16 keys already, or cannot be
  replaced   78 it is no file of keys, or the configuration is wrong")]
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RotateArgs {
    /// The file of the keys
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
    /// Takes out keys that nothing in the journal is sealed with; never the one that was first until now
    #[arg(long)]
    pub(in crate::cli) drop_unused: bool,
    /// The configuration file, which names the journal
    #[arg(
        long,
        value_name = "FILE",
        default_value = "cvm-gateway.toml",
        requires = "drop_unused"
    )]
    pub(in crate::cli) config: PathBuf,
}
