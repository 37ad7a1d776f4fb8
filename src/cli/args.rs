//! The arguments of each command, and the pages of help that explain them.

mod audit;
mod doctor;
mod healthcheck;
mod keys;
mod plan;
mod policy;
mod server;
mod simulate;

pub(super) use audit::{AuditCommand, ExportArgs, VerifyArgs};
pub(super) use doctor::{DoctorArgs, DoctorFormat};
pub(super) use healthcheck::HealthcheckArgs;
pub(super) use keys::{KeysCommand, RotateArgs};
pub(super) use plan::PlanArgs;
pub(super) use policy::{DiffArgs, ExplainArgs, PolicyCommand, TestArgs};
pub(super) use server::ServerArgs;
pub(super) use simulate::SimulateArgs;

use crate::client::Format;
use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::names::AccountName;
use crate::domain::operation::StateName;
use crate::simulator::Speed;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Launches Tencent Cloud CVM instances once, safely, for services in any language.
#[derive(Debug, Parser)]
#[command(name = "cvm-gateway", version, after_help = START)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

const START: &str = "\
Start with:
  cvm-gateway demo              see three machines start, without an account
  cvm-gateway help COMMAND      examples, defaults and exit codes of one command

Exit codes are those of sysexits: 0 done, 1 the launch did not succeed, 64 command line,
65 request, 66 file, 69 unavailable, 70 defect, 73 cannot create, 74 I/O, 75 try later,
77 not allowed, 78 configuration.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Serve(ServeArgs),
    Simulate(SimulateArgs),
    Demo(DemoArgs),
    Run(Box<RunArgs>),
    Plan(Box<PlanArgs>),
    Watch(WatchArgs),
    Healthcheck(HealthcheckArgs),
    Doctor(DoctorArgs),
    /// Lists, shows, releases and exports operations, in the journal itself
    #[command(subcommand)]
    Operations(OperationsCommand),
    /// Verifies and exports the audit, in the journal itself
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Checks, explains and tests the rules of an organisation, offline
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Makes the keys that the journal is sealed with
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Checks a configuration file, or prints the defaults
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Runs the gateway
///
/// Takes launches over gRPC, writes them to its journal, signs and sends them to the cloud, and follows
/// them until the machines run. The log goes to stderr.
///
/// SIGTERM or Ctrl-C stops it in order: nothing new is taken, calls on their way to the cloud are finished,
/// streams are told to resume. What was not finished goes on at the next start. A second signal ends it at once.
/// SIGHUP reads the rules and the keys of the journal again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway config default > cvm-gateway.toml    a file with every setting; add an account to it
  cvm-gateway serve                                reads cvm-gateway.toml
  cvm-gateway serve --config /etc/cvm-gateway.toml

Exit codes:
  0 stopped by a signal   66 no such file   69 port in use, journal unreachable   70 it failed while it ran
  73 the journal cannot be made   74 the journal's disk failed   77 the port is not allowed
  78 wrong configuration   130 a second signal cut the stop short")]
pub(super) struct ServeArgs {
    /// The configuration file; `cvm-gateway config default` explains every key
    #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
    pub(super) config: PathBuf,
}

/// Shows three machines start, without an account
///
/// Starts the simulator and the gateway in this process, on free loopback ports and with the journal in a new
/// temporary folder, launches through gRPC, and shows each machine's way until it runs. At the end it prints how
/// long each phase took, and commands to go on by hand.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway demo
  cvm-gateway demo --count 10 --speed 1            ten machines, as slow as the cloud

Exit codes:
  0 every instance runs   1 it did not work out   64 wrong option   69 no free port
  73 the temporary folder cannot be made   74 cannot write to stdout")]
pub(super) struct DemoArgs {
    /// How many instances
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) count: u32,
    /// How many times faster than the real cloud machines start
    #[arg(long, value_name = "N", default_value = "10")]
    pub(super) speed: Speed,
}

/// Launches instances through a gateway, and follows them until they run
///
/// The operation's name is printed as soon as the launch is durable. From then on it goes on whatever happens
/// to this command: `cvm-gateway watch NAME` follows it again. When the stream breaks, it is resumed. A launch is
/// never repeated: the same --request-id finds the operation that exists.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway run --region ap-shanghai --zone ap-shanghai-2 --image img-pmqg1cw7
  cvm-gateway run --region ap-shanghai --zone ap-shanghai-2 --image img-pmqg1cw7 --type S5.MEDIUM4 \\
      --count 3 --name 'web-{R:1}' --request-id deploy-42
  cvm-gateway run --file request.json              every parameter; - reads stdin
  cvm-gateway run --file request.json --output json | jq -r .operation.state

A request.json is a RunInstancesRequest in protobuf JSON:
  {\"region\": \"ap-shanghai\", \"spec\": {\"placement\": {\"zone\": \"ap-shanghai-2\"},
   \"imageId\": \"img-pmqg1cw7\", \"instanceType\": \"S5.MEDIUM4\", \"instanceCount\": 3}}

Exit codes:
  0 every instance runs   1 the launch ended otherwise, or a person must decide   64 wrong option
  65 the request is wrong or cannot be carried out as it is   66 no such file
  69 the gateway or the cloud cannot be reached   70 a defect   74 cannot write to stdout
  75 try later: quota, no stock, overload, timeout   77 not allowed")]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Names the launch, so that repeating it finds it again; by default a new UUID
    #[arg(long, value_name = "ID")]
    pub(super) request_id: Option<String>,
    #[command(flatten)]
    pub(super) wish: Option<WishArgs>,
    /// The whole request from a file in protobuf JSON, instead of the options above; - is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "WishArgs")]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// The parameters that a launch most often has.
#[derive(Debug, Args)]
pub(super) struct WishArgs {
    /// The region, for example ap-shanghai
    #[arg(long, required = false, required_unless_present = "file")]
    pub(super) region: String,
    /// The availability zone, for example ap-shanghai-2
    #[arg(long, required = false, required_unless_present = "file")]
    pub(super) zone: String,
    /// The image, for example img-pmqg1cw7
    #[arg(
        long,
        value_name = "ID",
        required = false,
        required_unless_present = "file"
    )]
    pub(super) image: String,
    /// The instance type, for example S5.MEDIUM4 [default: the cloud's own]
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) instance_type: Option<String>,
    /// How many instances
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) count: u32,
    /// Their display name; {R:1} numbers them from 1 [default: the cloud's own]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Which of the organisation's accounts is charged [default: its default account]
    #[arg(long, value_name = "NAME")]
    pub(super) account: Option<String>,
}

/// Follows an operation that exists, to its end
///
/// Shows where the operation stands and then every change. When the stream breaks, it is resumed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway watch operations/0198c0de-0000-7000-8000-000000000001
  cvm-gateway watch operations/0198c0de-0000-7000-8000-000000000001 --after 4 --output json

Exit codes:
  0 every instance runs   1 the launch ended otherwise, or a person must decide   64 wrong option
  65 no such operation, or it failed for what was asked   69 the gateway cannot be reached   70 a defect
  74 cannot write to stdout   75 it failed for what may be there later   77 not allowed")]
pub(super) struct WatchArgs {
    /// The operation's name, as `run` printed it
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// Shows only what is newer than this sequence of the operation
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub(super) after: u64,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// For people, or one message of the stream a line in protobuf JSON
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputFormat {
    Text,
    Json,
}

impl OutputArgs {
    pub(super) fn format(&self) -> Format {
        match self.output {
            OutputFormat::Text => Format::Text,
            OutputFormat::Json => Format::Json,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum OperationsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Release(ReleaseArgs),
    /// Prints everything that the journal knows, one JSON object a line
    ///
    /// Each line is {"kind": "operation" | "attempt" | "audit", "value": ...}: the newest operation first, each with
    /// its attempts and its audit after it. Bodies, which may hold secrets, are not in it. A gateway may run meanwhile.
    #[command(after_help = "\
Examples:
  cvm-gateway operations export > journal.jsonl

Exit codes:
  0 done   66 no such file or journal   69 the journal cannot be reached   74 cannot write to stdout
  78 wrong configuration, or a journal of another version")]
    Export {
        /// The configuration file of the gateway
        #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
        config: PathBuf,
    },
}

/// Lists operations of all organisations, newest first
///
/// Reads the journal; a gateway may run meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway operations list --state NEEDS_OPERATOR
  cvm-gateway operations list --parked             what too many processes died with
  cvm-gateway operations list --organization development --limit 1000 --json

Exit codes:
  0 done   64 wrong option   66 no such file or journal   69 the journal cannot be reached
  74 cannot write to stdout   78 wrong configuration, or a journal of another version")]
pub(super) struct ListArgs {
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
    pub(super) config: PathBuf,
    /// Only in this state; may be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    pub(super) states: Vec<StateName>,
    /// Only of this organisation
    #[arg(long, value_name = "NAME", value_parser = OrganizationId::parse)]
    pub(super) organization: Option<OrganizationId>,
    /// Only of this account
    #[arg(long, value_name = "NAME", value_parser = AccountName::parse)]
    pub(super) account: Option<AccountName>,
    /// Only those that were parked because processes died with them, also what cannot be read
    #[arg(long)]
    pub(super) parked: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) limit: u32,
    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// Shows everything that the journal knows of an operation, as JSON
///
/// Its state, attempts, instances, crashes, lease and audit; never its body, which may hold secrets.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway operations show operations/0198c0de-0000-7000-8000-000000000001

Exit codes:
  0 done   64 wrong option   65 no such operation   66 no such file or journal
  69 the journal cannot be reached   74 cannot write to stdout
  78 wrong configuration, or a journal of another version")]
pub(super) struct ShowArgs {
    /// The operation's name
    #[arg(value_name = "NAME", value_parser = OperationId::parse_name)]
    pub(super) name: OperationId,
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
    pub(super) config: PathBuf,
}

/// Lets an operation go on that waits for a person, or is parked
///
/// Look first at what the cloud has: `operations show` names what the gateway knows. The operation then goes on from that:
/// its machines are followed, what is in doubt is looked for, what certainly was not launched is launched. New launches on
/// its account are no longer stopped for its sake. A running gateway takes it up within a third of a lease.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway operations release operations/0198c0de-0000-7000-8000-000000000001 \\
      --by alice --reason 'returned the surplus machine by hand'

Exit codes:
  0 written down   64 wrong option   65 no such operation, or it waits for nobody
  66 no such file or journal   69 the journal cannot be reached   73 the journal's disk is full
  78 wrong configuration, or a journal of another version")]
pub(super) struct ReleaseArgs {
    /// The operation's name
    #[arg(value_name = "NAME", value_parser = OperationId::parse_name)]
    pub(super) name: OperationId,
    /// Who decides so, for the audit
    #[arg(long, value_name = "PERSON")]
    pub(super) by: String,
    /// Why, for the audit and the caller
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
    pub(super) config: PathBuf,
}

fn state(name: &str) -> Result<StateName, String> {
    StateName::parse(name).ok_or_else(|| {
        let names: Vec<_> = StateName::ALL.map(StateName::as_str).to_vec();
        format!("a state is one of {}", names.join(", "))
    })
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Says everything that is wrong with a configuration, or what it amounts to
    ///
    /// Reads the file and the secret files that it names, as `serve` would; touches neither ports nor the
    /// journal nor the cloud. Secrets are not shown.
    #[command(after_help = "\
Examples:
  cvm-gateway config check                         checks cvm-gateway.toml
  cvm-gateway config check --config /etc/cvm-gateway.toml

Exit codes:
  0 it is sound   66 no such file   78 it is not: each line names file, line, column, key, rule and remedy")]
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE", default_value = "cvm-gateway.toml")]
        config: PathBuf,
    },
    /// Prints every setting with its default and what it is for
    #[command(after_help = "\
Example:
  cvm-gateway config default > cvm-gateway.toml

A file needs to hold only what differs; what must be added is an organisation with an account.")]
    Default,
}

/// Where a gateway listens by default.
const SERVER: &str = "http://127.0.0.1:7080";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, String> {
        let words = line.split_whitespace();
        let arguments = Arguments::try_parse_from(["cvm-gateway"].into_iter().chain(words));
        arguments
            .map(|arguments| arguments.command)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_launch_is_a_file_or_options() {
        let options = "--region r --zone z --image i";
        for (line, error) in [
            (format!("run {options}"), None),
            (
                format!("run {options} --type t --count 3 --name n --account a --request-id x"),
                None,
            ),
            ("run --file -".to_owned(), None),
            ("run --file f --request-id x --output json".to_owned(), None),
            ("run".to_owned(), Some("required")),
            ("run --region r --zone z".to_owned(), Some("--image <ID>")),
            (
                format!("run --file f {options}"),
                Some("cannot be used with"),
            ),
            (
                "run --file f --count 3".to_owned(),
                Some("cannot be used with"),
            ),
            (format!("run {options} --count many"), Some("--count <N>")),
            (
                format!("run {options} --output xml"),
                Some("[possible values: text, json]"),
            ),
            ("watch".to_owned(), Some("<NAME>")),
            ("simulate --speed 0".to_owned(), Some("above 0")),
            (
                "simulate --fault tag_lag_s=[0,9] --fault token_scope=region".to_owned(),
                None,
            ),
            (
                "simulate --fault tag_leg_s=[0,9]".to_owned(),
                Some(
                    "'--fault <KEY=VALUE>': there is no fault \"tag_leg_s\"; the nearest is \"tag_lag_s\"",
                ),
            ),
            (
                "simulate --listen localhost".to_owned(),
                Some("--listen <ADDR>"),
            ),
            ("serv".to_owned(), Some("'serve'")),
        ] {
            match (parse(&line), error) {
                (Ok(_), None) => {}
                (Err(said), Some(expected)) => assert!(said.contains(expected), "{line}: {said}"),
                (parsed, _) => panic!("{line}: {parsed:?}"),
            }
        }
    }
}
