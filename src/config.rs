//! Reads the configuration: the built-in `default.toml`, the user's file over it, and the secret
//! files that it names, into each room's settings. The only reader of environment and files.

mod accounts;
mod cases;
mod connections;
mod credentials;
mod file;
mod identity;
mod issuers;
mod journal;
mod keys;
mod problem;
mod quotas;
mod read;
mod replay;
mod roles;
mod rules;
mod section;
mod sizes;
mod tracing;

pub use cases::{CasesRun, only_account};
pub use file::{create_file, fresh_folder, lines_of, read_text, write_text};
pub use problem::{ConfigError, Place, Problem};
pub use replay::{Replayed, replay};
pub use rules::{RulesError, check_cases, read_rules, rule_files, rules_of};
pub use sizes::ToldSize;

use crate::admin::ConsoleSettings;
use crate::cloud;
use crate::domain::ids::OrganizationId;
use crate::domain::plan::PlanKey;
use crate::domain::rules::Limits;
use crate::grpc::{admission, door, web};
use crate::identity as callers;
use crate::operations;
use crate::policy::RuleFiles;
use crate::policy::{Organization, Policy};
use crate::store;
use crate::trace;
use section::{Problems, Section, Source};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Every setting with its default and what it means: the built-in layer, and the documentation.
pub const DEFAULTS: &str = include_str!("config/default.toml");

/// A configuration is some kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Everything that a gateway is told at its start.
#[derive(Debug)]
pub struct Config {
    /// The gRPC door.
    pub grpc: Grpc,
    /// When the gateway gives up what can wait.
    pub overload: Overload,
    /// Where the HTTP side door listens.
    pub admin_listen: SocketAddr,
    /// Who sees the console; none: nobody.
    pub console: Option<ConsoleSettings>,
    /// How callers are told apart.
    pub identity: callers::Settings,
    /// The journal.
    pub journal: store::Settings,
    /// How often its keys are looked at.
    pub key_reload_interval: Duration,
    /// How to call the cloud.
    pub cloud: cloud::client::Settings,
    /// How often it may be called.
    pub cloud_limits: cloud::limiter::Settings,
    /// What callers may ask for.
    pub limits: Limits,
    /// The launch protocol.
    pub operations: operations::Settings,
    /// What plans are sealed with; none: with what nobody else has.
    pub plan_key: Option<PlanKey>,
    /// How long a plan can be carried out.
    pub plan_life: Duration,
    /// The file that the audit is brought to, too.
    pub audit_sink: Option<PathBuf>,
    /// Who may launch in which account.
    pub policy: Policy,
    /// Where the rules are, when there are any.
    pub rules: Option<RulesFolder>,
    /// How the keys of those accounts are got.
    pub credentials: cloud::credentials::Settings,
    /// What is logged.
    pub log: Log,
    /// Where traces go; none: there are none.
    pub tracing: Option<trace::Settings>,
    summary: Summary,
}

/// Settings of the gRPC door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Who may open the sockets among them.
    pub unix_socket_mode: u32,
    /// Why nobody on other machines may reach a listener; none: they may.
    pub only_this_machine: Option<&'static str>,
    /// What connections are held to.
    pub door: door::Settings,
    /// How many calls are worked on, and how many wait.
    pub admission: admission::Settings,
    /// After how long without a change a stream is sent a heartbeat.
    pub heartbeat_interval: Duration,
    /// Largest request message.
    pub message_bytes_max: u32,
    /// How long a unary call may take.
    pub request_timeout: Duration,
    /// How long a stop waits for calls under way.
    pub drain_timeout: Duration,
    /// Whether the API describes itself to tools.
    pub reflection: bool,
    /// Which pages may call from browsers; none: no browser may.
    pub web: Option<web::Settings>,
}

/// When the gateway gives up what can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// Memory that the process may take; none: what its control group allows.
    pub memory_max_mib: Option<u32>,
    /// How much of it, and of the journal's queue, may be taken before launches are refused.
    pub high_percent: u32,
    /// And before everything is refused but what brings launches to their end.
    pub critical_percent: u32,
}

/// Where callers come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    /// The file of a socket of this machine.
    Unix(PathBuf),
    /// What a service manager has bound.
    Inherited,
}

/// Where rules come from, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesFolder {
    pub path: PathBuf,
    /// What the requests of its cases are held against.
    pub limits: Limits,
    /// How often it is looked at.
    pub reload_interval: Duration,
    /// What was in it when the configuration was read.
    pub files: RuleFiles,
}

/// Settings of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// For whom.
    pub format: LogFormat,
    /// Which messages, in the words of `tracing_subscriber::EnvFilter`; it is one.
    pub filter: String,
    /// Whether each RPC has a line when it has ended.
    pub access: bool,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What `config check` shows: nothing secret.
#[derive(Debug)]
struct Summary {
    journal: String,
    cloud: String,
    organizations: BTreeMap<OrganizationId, Organization>,
}

/// What the commands on the journal go by.
#[derive(Debug)]
pub struct JournalConfig {
    /// The journal.
    pub journal: store::Settings,
    /// How long a gateway owns an operation unseen.
    pub lease: Duration,
    /// After how many deaths of a process its operation is parked.
    pub crashes_max: u32,
}

impl JournalConfig {
    /// Reads the file at `path`, and no secret of an account: a service manager may show those to the
    /// gateway alone and while it runs, and a person comes when it does not.
    ///
    /// # Errors
    /// [`ConfigError`]: when the file cannot be read, or with what is wrong in the tables that count here.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(path, journal::for_a_person)
    }
}

impl Config {
    /// Reads the file at `path` and the secret files that it names.
    ///
    /// # Errors
    /// [`ConfigError`]: when the file cannot be read, or with everything that is wrong in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(path, read::config)
    }

    /// Reads `text`, called `name` in messages, and the secret files that it names below `folder`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`]: everything that is wrong.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Self, ConfigError> {
        parse(name, text, |root| read::config(root, folder))
    }
}

/// What callers may ask for by the file at `path`. No secret is read.
///
/// # Errors
/// [`ConfigError`]: when the file cannot be read, or with what is wrong in the tables that count here.
pub fn read_limits(path: &Path) -> Result<Limits, ConfigError> {
    load(path, |root, _folder| Some(read::limits_alone(root)))
}

/// What `read` makes of the file at `path` and of the folder where its relative paths begin.
fn load<T>(
    path: &Path,
    read: impl FnOnce(&mut Section<'_>, &Path) -> Option<T>,
) -> Result<T, ConfigError> {
    let text = read_text(path, FILE_BYTES_MAX).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let text = Zeroizing::new(text);
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&path.display().to_string(), &text, |root| {
        read(root, folder)
    })
}

fn parse<T>(
    name: &str,
    text: &str,
    read: impl FnOnce(&mut Section<'_>) -> Option<T>,
) -> Result<T, ConfigError> {
    let problems = Problems::default();
    let layers = [
        Source::parse(name, text, &problems),
        Source::parse("default.toml", DEFAULTS, &problems),
    ];
    // What is not TOML would be reported again as keys that are missing or unknown.
    let is_toml = problems.borrow().is_empty();
    let config = is_toml
        .then(|| Section::root(&layers, &problems, read))
        .flatten();
    let mut problems = problems.take();
    problems.sort();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        Some(_) | None => Err(ConfigError::Invalid(problems)),
    }
}

/// As the configuration spells it.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited => f.write_str("systemd"),
        }
    }
}

/// The effective listeners, journal, endpoint and organisations. Nothing secret.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            journal,
            cloud,
            organizations,
        } = &self.summary;
        for listen in &self.grpc.listen {
            writeln!(f, "gRPC          {listen}")?;
        }
        writeln!(f, "admin         http://{}/metrics", self.admin_listen)?;
        writeln!(f, "journal       {journal}")?;
        writeln!(f, "cloud         {cloud}")?;
        identity::summary(&self.identity, f)?;
        for (name, organization) in organizations {
            let accounts = organization.accounts.iter().map(|account| {
                let default = *account == organization.default_account;
                format!("{account}{}", if default { " (default)" } else { "" })
            });
            let accounts: Vec<String> = accounts.collect();
            writeln!(f, "organisation  {name}: {}", accounts.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
