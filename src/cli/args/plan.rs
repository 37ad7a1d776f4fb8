//! The arguments of `plan`.

use super::{OutputArgs, ServerArgs, WishArgs};
use clap::Args;
use std::path::PathBuf;

/// Says what a launch would do, without doing it
///
/// Shows whether policy allows it and by which rule, what it costs, whether there is stock, and how much of the
/// quota is left. With --save the request is written to a file together with its plan: `cvm-gateway run --file`
/// carries it out unchanged, until the plan expires.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway plan --region ap-shanghai --zone ap-shanghai-2 --image img-pmqg1cw7 --count 3
  cvm-gateway plan --file request.json --dry-run --save plan.json && cvm-gateway run --file plan.json
  cvm-gateway plan --file request.json --output json | jq .places

Exit codes:
  0 it would be allowed   64 wrong option
  65 the request is wrong, or the cloud's DryRun refused it   66 no such file
  69 the gateway cannot be reached   70 a defect   73 the file of --save cannot be made, or is there
  74 cannot write   75 try later   77 it would not be allowed")]
pub(in crate::cli) struct PlanArgs {
    #[command(flatten)]
    pub(in crate::cli) server: ServerArgs,
    /// Names the launch; by default a new UUID
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) request_id: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) wish: Option<WishArgs>,
    /// The whole request from a file in protobuf JSON, instead of the options above; - is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "WishArgs")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Has the cloud's own DryRun judge the launch too
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Writes the request with its plan to this new file, which only its owner may read
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) save: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
}
