//! The arguments of the commands about rules.

use crate::config::ToldSize;
use crate::domain::ids::OrganizationId;
use crate::domain::names::AccountName;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PolicyCommand {
    /// Checks the rules in a folder against the schema, offline
    Check {
        /// A folder with *.cedar files
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Prints the schema: everything that rules can speak of
    Schema,
    Explain(Box<ExplainArgs>),
    Test(TestArgs),
    Diff(DiffArgs),
}

/// Says what the rules in a folder decide about a request, and which of them, offline
///
/// The request is read as `cvm-gateway run --file` does. It is held against the gateway's own bounds first, then
/// against the rules, in each of its places.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway policy explain policy --as spiffe://acme/web --organization acme --file request.json
  cvm-gateway policy explain policy --as nightly --organization acme --at 2026-12-24T22:00:00Z --file - < request.json
  cvm-gateway policy explain policy --as nightly --organization acme --file request.json \\
    --size '{\"vcpu\": 2, \"memory\": 4, \"price_per_hour\": \"0.25\"}'

Exit codes:
  0 the rules permit it   65 the request cannot be used   66 no such file   77 the rules deny it
  78 wrong rules or limits")]
pub(in crate::cli) struct ExplainArgs {
    /// A folder with *.cedar files
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: PathBuf,
    /// The caller's name, as its certificate or token proves it
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub(in crate::cli) principal: String,
    /// The caller's organisation
    #[arg(long, value_name = "NAME", value_parser = OrganizationId::parse)]
    pub(in crate::cli) organization: OrganizationId,
    /// The account, when the request names none
    #[arg(long, value_name = "NAME", default_value = "main", value_parser = AccountName::parse)]
    pub(in crate::cli) account: AccountName,
    /// When it is decided, RFC 3339; now when left out
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) at: Option<UtcDateTime>,
    /// How big the model is in each place and what it costs, which the cloud would be asked for; left out, rules that
    /// speak of it find nothing
    #[arg(long, value_name = "JSON", value_parser = ToldSize::parse)]
    pub(in crate::cli) size: Option<ToldSize>,
    /// The configuration whose limits the request is held against, instead of the usual ones
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// A RunInstancesRequest as JSON; - is stdin
    #[arg(long, short, value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
}

/// Holds the rules in a folder against its own cases, DIR/tests/*.toml, offline
///
/// A case is a request and what must be decided about it; docs/policy.md shows one. `cvm-gateway serve` runs them,
/// too, before it puts changed rules in force.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0 every case is decided as it must be   1 some are not   66 no such file   78 wrong rules, cases or limits")]
pub(in crate::cli) struct TestArgs {
    /// A folder with *.cedar files, and tests/*.toml
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: PathBuf,
    /// The configuration whose limits the requests are held against, instead of the usual ones
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
}

/// Says which past decisions other rules would change, offline
///
/// Each call is decided by the rules and layers in OLD and by those in NEW, as of the time when it
/// was made. Told are calls that one allows and the other does not, and those that layers fill in otherwise.
/// Which rules decided is no difference. Of secrets rules see only that they were there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway audit export --config cvm-gateway.toml > audit.jsonl
  cvm-gateway policy diff policy new-policy --replay audit.jsonl

Exit codes:
  0 nothing is decided otherwise   1 something is   65 a line cannot be used   66 no such file   78 wrong rules")]
pub(in crate::cli) struct DiffArgs {
    /// The folder with the rules of before
    #[arg(value_name = "OLD")]
    pub(in crate::cli) old: PathBuf,
    /// The folder with the rules to be
    #[arg(value_name = "NEW")]
    pub(in crate::cli) new: PathBuf,
    /// Past calls, as `cvm-gateway audit export` prints them
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) replay: PathBuf,
    /// The account of calls that name none
    #[arg(long, value_name = "NAME", default_value = "main", value_parser = AccountName::parse)]
    pub(in crate::cli) account: AccountName,
}

pub(super) fn time(text: &str) -> Result<UtcDateTime, String> {
    UtcDateTime::parse(text, &Rfc3339)
        .map_err(|_not_one| "is no time; write it as 2026-12-24T22:00:00Z".to_owned())
}
