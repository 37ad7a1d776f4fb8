//! Turns each table of the configuration into the settings of its room.

use super::accounts::{self, Accounts};
use super::connections;
use super::credentials::Found;
use super::file::read_text;
use super::identity::{self, Exposure};
use super::journal::{CRASHES, journal, key_looks, without_password};
use super::section::Section;
use super::{Config, Grpc, Log, LogFormat, Summary, quotas, rules};
use crate::admin::ConsoleSettings;
use crate::cloud;
use crate::cloud::Target;
use crate::cloud::credentials::{self, AccountSettings};
use crate::cloud::endpoint::{DOMAINS, Endpoint};
use crate::cloud::wire::Amounts;
use crate::domain::names::{AccountName, Region};
use crate::domain::plan::PlanKey;
use crate::domain::rules::{INSTANCE_COUNT_MAX, Limits, Required};
use crate::identity::{Material, PEM_BYTES_MAX};
use crate::operations;
use crate::operations::machine::Timings;
use crate::policy::Policy;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// A key, a token, a URL.
const SECRET_BYTES_MAX: u64 = 16 << 10;
/// Largest message, and largest header list, that can be configured.
const MESSAGE_BYTES_MAX: u32 = 16 << 20;
/// The cloud takes signatures for 300 s; half of that is left for clocks that differ.
const ATTEMPT_LIFE_MAX: Duration = Duration::from_secs(150);
/// A lease that ends later than this is taken for one of a clock that was set back, by gateways of other settings.
const LEASE_MAX: Duration = Duration::from_secs(5 * 60);
/// A call waits for a key no longer than its signature could be old.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(60);
/// Signature life (300 s), clock skew (60 s), accept to create (120 s), look-up lag (60 s).
const QUARANTINE_MIN: Duration = Duration::from_secs(540);
/// The cloud's own figures for how long it knows a token end here.
const TOKEN_TRUST_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The cloud allows 10 to 40; a raised limit is some hundreds.
const CALLS_PER_SECOND_MAX: u32 = 10_000;
/// The larger of the figures that the cloud's pages give: beyond them it surely refuses.
const INSTANCE_NAME_MAX: u32 = 128;
const HOST_NAME_MAX: u32 = 60;
const PREPAID_MONTHS_MAX: u32 = 60;
const USER_DATA_BYTES_MAX: u32 = 16 << 10;

/// Why the side door is for this machine only.
const OPEN_TO_ALL: &str =
    "it tells its metrics to everybody, in plaintext: set admin.allow_plaintext_on_any_address";

/// The whole configuration; `folder` is where its relative paths begin. Nothing only when a
/// problem was noted.
pub(super) fn config(root: &mut Section<'_>, folder: &Path) -> Option<Config> {
    let (admin_listen, console) = root.table("admin", admin);
    let mut names = Vec::new();
    let (organizations, accounts) = root.table("organizations", |table| {
        names = table.names();
        accounts::organizations(table, folder)
    });
    let callers = root.table("identity", |table| identity::callers(table, folder, &names));
    let (grpc, tls) = root.table("grpc", |table| {
        let exposure = Exposure::of(callers.as_ref());
        let tls = identity::tls(table, folder, exposure.certificate);
        let exposed = exposure.why(table, tls.is_some());
        (grpc(table, folder, exposed, admin_listen), tls)
    });
    let overload = root.table("overload", connections::overload);
    let identity = callers.map(|(callers, _)| identity::Settings { tls, ..callers });
    let (journal, key_reload_interval) = root.table("journal", |table| {
        (journal(table, folder), key_looks(table))
    });
    let regions = &mut Vec::new();
    let mut timing = Timing::default();
    let (cloud, cloud_limits) = root.table("cloud", |table| {
        *regions = table.texts("regions", Region::parse);
        timing = table.table("credentials", Timing::read);
        let limits = table.table("limits", |table| cloud_limits(table, &accounts));
        (cloud(table, folder), limits)
    });
    let limits = root.table("limits", |table| limits(table, regions));
    let quarantine_min = quarantine_min(cloud.as_ref());
    let mut operations = root.table("operations", |table| operations(table, quarantine_min));
    sweep_all(&mut operations.sweep, accounts.keys.keys(), regions);
    let credentials = credentials(accounts, timing, regions);
    operations.quotas = root.table("quotas", |table| {
        quotas::read(table, &organizations, &names)
    });
    let (plan_key, plan_life) = root.table("plans", |table| plans(table, folder));
    let (rules, rules_folder) =
        root.table("policy", |table| rules::settings(table, folder, &limits));
    let audit_sink = root.table("audit", |table| audit_sink(table, folder));
    let log = root.table("log", log);
    let tracing = root.table("tracing", |table| super::tracing::tracing(table, folder));
    let (journal, cloud) = (journal?, cloud?);
    let summary = Summary {
        journal: without_password(journal.url.expose_secret()),
        cloud: cloud_url(&cloud.endpoint, regions),
        organizations: organizations.clone(),
    };
    Some(Config {
        grpc,
        overload,
        admin_listen,
        console,
        identity: identity?,
        journal,
        key_reload_interval,
        cloud,
        cloud_limits,
        limits,
        operations,
        plan_key,
        plan_life,
        audit_sink,
        policy: Policy::new(organizations).with_rules(rules),
        rules: rules_folder,
        credentials: credentials?,
        log: log?,
        tracing,
        summary,
    })
}

/// Where the side door listens, and who sees its console.
fn admin(table: &mut Section<'_>) -> (SocketAddr, Option<ConsoleSettings>) {
    let exposed = table.flag("allow_plaintext_on_any_address");
    let listen = table.address("listen", (!exposed).then_some(OPEN_TO_ALL));
    (listen, console(table))
}

fn console(table: &mut Section<'_>) -> Option<ConsoleSettings> {
    let shown = table.flag("console");
    let shown_to_all_at = table.texts("show_console_to_all_at", |name| {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
        let named = !name.is_empty() && name.bytes().all(letter);
        if named || name.parse::<IpAddr>().is_ok() {
            return Ok(name.to_owned());
        }
        Err("is no name or address in small letters, without a port")
    });
    shown.then_some(ConsoleSettings { shown_to_all_at })
}

/// What callers may ask for, for who judges requests without a gateway.
pub(super) fn limits_alone(root: &mut Section<'_>) -> Limits {
    root.may_have_any();
    let regions = root.table("cloud", |table| {
        table.may_have_any();
        table.texts("regions", Region::parse)
    });
    root.table("limits", |table| limits(table, &regions))
}

fn limits(table: &mut Section<'_>, regions: &[Region]) -> Limits {
    let required = |name: &str| {
        let mut all = Required::ALL.into_iter();
        all.find(|required| required.name() == name).ok_or_else(|| {
            let all = Required::ALL.map(Required::name).join(", ");
            format!("is none of {all}")
        })
    };
    Limits {
        instance_count_max: table.count("instance_count_max", 1..=INSTANCE_COUNT_MAX),
        instance_name_max: table.count("instance_name_max", 1..=INSTANCE_NAME_MAX),
        host_name_max: table.count("host_name_max", 2..=HOST_NAME_MAX),
        prepaid_months_max: table.count("prepaid_months_max", 1..=PREPAID_MONTHS_MAX),
        user_data_bytes_max: table.bytes("user_data_bytes_max", 0..=USER_DATA_BYTES_MAX),
        required: table.texts("required", required),
        regions: regions.iter().map(Region::to_string).collect(),
    }
}

/// `exposed` is why only this machine may reach it, and `admin` where the side door is.
fn grpc(
    table: &mut Section<'_>,
    folder: &Path,
    exposed: Option<&'static str>,
    admin: SocketAddr,
) -> Grpc {
    let listen = connections::listen(table, folder, exposed);
    connections::check_listeners(table, &listen, admin);
    Grpc {
        listen,
        unix_socket_mode: connections::mode(table),
        only_this_machine: exposed,
        door: connections::door(table),
        admission: table.table("admission", connections::admission),
        heartbeat_interval: table.duration("heartbeat_interval"),
        message_bytes_max: table.bytes("message_bytes_max", 1..=MESSAGE_BYTES_MAX),
        request_timeout: table.duration("request_timeout"),
        drain_timeout: table.duration("drain_timeout"),
        reflection: table.flag("reflection"),
        web: table.table("web", connections::web),
    }
}

fn cloud(table: &mut Section<'_>, folder: &Path) -> Option<cloud::client::Settings> {
    let endpoint = table.table("endpoint", endpoint);
    let proxy = table.if_set("proxy", |url| {
        let rule = "is no proxy; write a URL like http://proxy.example:3128";
        let known = cloud::client::is_proxy(url);
        known.then(|| SecretString::from(url)).ok_or(rule)
    });
    let authorities = table.if_set("ca_file", |path| authorities_beside(folder, path));
    let settings = cloud::client::Settings {
        price_amounts: if table.flag("price_per_instance") {
            Amounts::OfEach
        } else {
            Amounts::OfAll
        },
        connect_timeout: table.duration("connect_timeout"),
        run_instances_timeout: table.duration("run_instances_timeout"),
        read_timeout: table.duration("read_timeout"),
        idle_timeout: table.duration("idle_timeout"),
        clock_skew_max: table.duration_within("clock_skew_max", Duration::ZERO..=DAY),
        proxy,
        ca_pem: authorities.map(String::into_bytes),
        endpoint: endpoint?,
    };
    check_timeouts(table, &settings);
    Some(settings)
}

/// A call that is given up before its connection fails may have been sent, for all that is known.
fn check_timeouts(table: &Section<'_>, settings: &cloud::client::Settings) {
    let connect = settings.connect_timeout;
    for (key, given) in [
        ("run_instances_timeout", settings.run_instances_timeout),
        ("read_timeout", settings.read_timeout),
    ] {
        // Zero was refused before.
        if !given.is_zero() && given <= connect {
            let [given, connect] = [given, connect].map(humantime::format_duration);
            table.refuse_key(
                key,
                format_args!(
                    "{given} is too short to tell a connection that fails from an answer that is late: write more \
                     than {connect}, which is connect_timeout"
                ),
            );
        }
    }
}

fn cloud_limits(table: &mut Section<'_>, accounts: &Accounts) -> cloud::limiter::Settings {
    let mut rate = |key| table.count(key, 1..=CALLS_PER_SECOND_MAX);
    cloud::limiter::Settings {
        run_instances_per_second: rate("run_instances_per_second"),
        terminate_instances_per_second: rate("terminate_instances_per_second"),
        describe_per_second: rate("describe_per_second"),
        inquiry_price_per_second: rate("inquiry_price_per_second"),
        weights: accounts.weights.clone(),
        counted_as: accounts.counted_as(),
    }
}

fn endpoint(table: &mut Section<'_>) -> Option<Endpoint> {
    let regional = table.flag("regional");
    let of_domain = table.text_as("domain", |domain| Endpoint::parse(domain, regional, None));
    let fixed = table.if_set("override", |url| {
        Endpoint::parse(DOMAINS[0], regional, Some(url))
    });
    fixed.or(of_domain)
}

fn cloud_url(endpoint: &Endpoint, regions: &[Region]) -> String {
    usual_region(regions).map_or_else(String::new, |region| endpoint.address(&region).url)
}

/// What a simulator does is known, so its times may be as short as a test needs.
fn quarantine_min(cloud: Option<&cloud::client::Settings>) -> Duration {
    match cloud.is_some_and(|cloud| cloud.endpoint.is_simulator()) {
        true => Duration::from_secs(1),
        false => QUARANTINE_MIN,
    }
}

fn operations(table: &mut Section<'_>, quarantine_min: Duration) -> operations::Settings {
    let poll_interval = table.duration("poll_interval");
    let poll_interval_max = if table.is_set("poll_interval_max") {
        table.duration("poll_interval_max")
    } else {
        poll_interval.saturating_mul(5)
    };
    // Zero was refused before.
    if !poll_interval_max.is_zero() && poll_interval_max < poll_interval {
        let [given, least] = [poll_interval_max, poll_interval].map(humantime::format_duration);
        let rule =
            format_args!("{given} is too short: write at least {least}, which is poll_interval");
        table.refuse_key("poll_interval_max", rule);
    }
    let timings = timings(table, quarantine_min);
    check_patience(table, &timings);
    operations::Settings {
        timings,
        poll_interval,
        poll_interval_max,
        lease: table.duration_within("lease", Duration::from_millis(100)..=LEASE_MAX),
        concurrent_steps_max: size(table.count("concurrent_steps_max", 1..=100_000)),
        open_operations_max: size(table.count("open_operations_max", 1..=10_000_000)),
        open_operations_per_organization_max: size(
            table.count("open_operations_per_organization_max", 1..=10_000_000),
        ),
        crashes_max: table.count("crashes_max", CRASHES),
        journal_retry_interval: table.duration("journal_retry_interval"),
        check_zones: table.flag("check_zones"),
        sweep: table.table("sweep", sweep),
        quotas: Vec::new(),
    }
}

fn timings(table: &mut Section<'_>, quarantine_min: Duration) -> Timings {
    let second = Duration::from_secs(1);
    Timings {
        attempt_life: table.duration_within("attempt_life", second..=ATTEMPT_LIFE_MAX),
        token_trust_window: table
            .duration_within("token_trust_window", Duration::ZERO..=TOKEN_TRUST_MAX),
        quarantine: table.duration_within("quarantine", quarantine_min..=DAY),
        first_look_up: table.duration("first_look_up"),
        look_up_interval: table.duration("look_up_interval"),
        reconcile_timeout: table.duration("reconcile_timeout"),
        retry_backoff: table.duration("retry_backoff"),
        attempts_max: table.count("attempts_max", 1..=100),
        send_timeout: table.duration("send_timeout"),
        missing_grace: table.duration("missing_grace"),
        unseen_grace: table.duration("unseen_grace"),
        launch_timeout: table.duration("launch_timeout"),
        terminate_timeout: table.duration("terminate_timeout"),
    }
}

/// With less patience a person is asked about every launch in doubt that must be proven to have launched
/// nothing.
fn check_patience(table: &Section<'_>, timings: &Timings) {
    let (given, least) = (timings.reconcile_timeout, timings.proof_max());
    // Zero was refused before.
    if !given.is_zero() && given < least {
        let [given, least] = [given, least].map(humantime::format_duration);
        table.refuse_key(
            "reconcile_timeout",
            format_args!(
                "{given} is too short to prove that a launch in doubt launched nothing: write at least {least}, which is \
                 token_trust_window, quarantine, first_look_up and twice look_up_interval"
            ),
        );
    }
}

/// When keys are asked for.
#[derive(Default)]
struct Timing {
    reload_interval: Duration,
    first_wait: Duration,
}

impl Timing {
    fn read(table: &mut Section<'_>) -> Self {
        let looks = Duration::from_millis(10)..=Duration::from_secs(60 * 60);
        let waits = Duration::from_millis(10)..=FIRST_WAIT_MAX;
        Self {
            reload_interval: table.duration_within("reload_interval", looks),
            first_wait: table.duration_within("first_wait", waits),
        }
    }
}

/// How the keys of all accounts are got.
fn credentials(
    accounts: Accounts,
    timing: Timing,
    regions: &[Region],
) -> Option<credentials::Settings> {
    let usual = usual_region(regions)?;
    let settings = |(name, (organization, found)): (AccountName, (_, Found))| {
        let settings = AccountSettings {
            organization,
            source: found.source,
            region: found.region.unwrap_or_else(|| usual.clone()),
            role: found.role,
        };
        (name, settings)
    };
    Some(credentials::Settings {
        accounts: accounts.keys.into_iter().map(settings).collect(),
        reload_interval: timing.reload_interval,
        first_wait: timing.first_wait,
    })
}

/// The first region that is configured, or the cloud's first.
fn usual_region(regions: &[Region]) -> Option<Region> {
    let first = regions.first().cloned();
    first.or_else(|| Region::parse("ap-guangzhou").ok())
}

/// Without accounts and places, which other tables name.
fn sweep(table: &mut Section<'_>) -> operations::SweepSettings {
    operations::SweepSettings {
        interval: table.duration_within("interval", Duration::ZERO..=DAY),
        grace: table.duration("grace"),
        delete: table.flag("delete"),
        deletes_per_hour_max: size(table.count("deletes_per_hour_max", 0..=10_000)),
        accounts: BTreeSet::new(),
        places: BTreeSet::new(),
    }
}

/// Every region of every account.
fn sweep_all<'a>(
    sweep: &mut operations::SweepSettings,
    accounts: impl Iterator<Item = &'a AccountName>,
    regions: &[Region],
) {
    let of = |account: &AccountName| {
        let account = account.clone();
        let place = move |region: &Region| Target {
            account: account.clone(),
            region: region.clone(),
        };
        regions.iter().map(place)
    };
    sweep.accounts = accounts.cloned().collect();
    sweep.places = sweep.accounts.iter().flat_map(of).collect();
}

fn plans(table: &mut Section<'_>, folder: &Path) -> (Option<PlanKey>, Duration) {
    let key = table.if_set("key_file", |path| {
        let key = secret_file(folder, path)?;
        let key = PlanKey::new(key.expose_secret().as_bytes());
        key.map_err(|rule| format!("{path} {rule}"))
    });
    let life = table.duration_within("life", Duration::from_secs(1)..=DAY);
    (key, life)
}

fn audit_sink(table: &mut Section<'_>, folder: &Path) -> Option<PathBuf> {
    table.if_set("sink", |path| match path {
        "stdout" => Ok::<_, String>(PathBuf::from("/dev/stdout")),
        path => Ok(folder.join(path)),
    })
}

pub(super) fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn log(table: &mut Section<'_>) -> Option<Log> {
    let format = table.text_as("format", |text| match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        other => Err(format!(
            "`{other}` is no format; write \"pretty\" or \"json\""
        )),
    });
    let filter = table.text_as("filter", |text| {
        // A word alone would name a module; who writes one means a level and mistyped it.
        let sound = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
        let sound = text.split(',').all(|part| sound(part.trim()));
        let rule = "write a level (error, warn, info, debug, trace), or levels by module as in \
                    \"info,cvm_gateway::cloud=debug\"";
        (sound && EnvFilter::try_new(text).is_ok())
            .then(|| text.to_owned())
            .ok_or_else(|| format!("`{text}` is no filter; {rule}"))
    });
    let access = table.flag("access");
    Some(Log {
        format: format?,
        filter: filter?,
        access,
    })
}

/// What a secret file holds, without the line's end that editors add.
pub(super) fn secret_file(folder: &Path, path: &str) -> Result<SecretString, String> {
    let text = file_beside(folder, path, SECRET_BYTES_MAX)?;
    Ok(text.trim_end().into())
}

pub(super) fn file_beside(folder: &Path, path: &str, bytes_max: u64) -> Result<String, String> {
    read_text(&folder.join(path), bytes_max).map_err(|error| format!("cannot read {path}: {error}"))
}

/// The certificates of authorities that a file holds.
pub(super) fn authorities_beside(folder: &Path, path: &str) -> Result<String, String> {
    let text = file_beside(folder, path, PEM_BYTES_MAX)?;
    let rule = |_| format!("{path} holds no certificates; name a PEM file");
    Material::check_authorities(&text).map_err(rule)?;
    Ok(text)
}
