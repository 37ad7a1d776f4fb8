//! The arguments of the question whether everything is there that a gateway needs.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Looks whether everything that a gateway needs is there, and says what to fix
///
/// Begins as `config check` does, and goes on with what is outside of the files: certificates, ports, the journal with its
/// keys and its space, the cloud with the key of each account, and the clocks. A gateway may run meanwhile: the journal
/// is only read, each account is asked once for machines that do not exist. Secrets are not shown.
///
/// With `--dry-run` the cloud is also asked whether each account may launch what a file asks for, by its own DryRun, which
/// launches nothing. A file that names an account asks for that one alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway doctor --config /etc/cvm-gateway.toml
  cvm-gateway doctor --dry-run launch.json
  cvm-gateway doctor --format json | jq -r '.checks[] | select(.verdict != \"ok\") | .fix'

Exit codes:
  0 nothing is wrong, warnings aside   1 something is   65 the file of --dry-run is no request   66 no such file
  74 cannot write to stdout")]
pub(in crate::cli) struct DoctorArgs {
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
    pub(in crate::cli) config: PathBuf,
    /// JSON of a launch, as `run --file` takes, for the cloud's DryRun; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) dry_run: Option<PathBuf>,
    /// For people, or one JSON object for programs
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = DoctorFormat::Text)]
    pub(in crate::cli) format: DoctorFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum DoctorFormat {
    Text,
    Json,
}
