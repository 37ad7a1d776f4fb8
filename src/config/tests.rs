//! Tables of configurations: what each says, and what is wrong with it.

use super::*;
use crate::domain::ids::Principal;
use crate::identity::Required;
use std::path::PathBuf;

/// The least that a user's file must say. Six lines.
const LEAST: &str = r#"[organizations.development]
default_account = "main"

[organizations.development.accounts.main]
secret_id = "AKIDx"
secret_key = "canary-key"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("gw.toml", text, Path::new(env!("CARGO_MANIFEST_DIR")))
}

fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid(problems)) => problems.iter().map(Problem::to_string).collect(),
        Err(error @ ConfigError::Unreadable { .. }) => panic!("{error}"),
    }
}

#[test]
fn the_defaults_are_the_defaults() {
    let config = parse(LEAST).unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(
        config.grpc,
        Grpc {
            listen: vec![Listen::Tcp("127.0.0.1:7080".parse().unwrap())],
            unix_socket_mode: 0o660,
            only_this_machine: Some(identity::ANONYMOUS),
            door: door::Settings {
                connections_max: 3_500,
                connections_per_peer_max: 1_000,
                first_byte_timeout: seconds(5),
                handshake_timeout: seconds(5),
                handshakes_max: 256,
                streams_per_connection_max: 128,
                header_list_bytes_max: 16 * 1024,
                resets_pending_max: 20,
                resets_by_error_max: 100,
                keepalive_interval: seconds(20),
                keepalive_timeout: seconds(10),
                connection_age_max: seconds(30 * 60),
                connection_age_grace: seconds(5 * 60),
            },
            admission: admission::Settings {
                at_work_max: 128,
                at_work_per_organization_max: 64,
                waiting_per_organization_max: 1_000,
                wait_max: seconds(2),
            },
            heartbeat_interval: seconds(15),
            message_bytes_max: 256 * 1024,
            request_timeout: seconds(10),
            drain_timeout: seconds(20),
            reflection: true,
            web: None,
        }
    );
}

#[test]
fn the_default_limits_are_the_defaults() {
    let limits = parse(LEAST).unwrap().limits;
    let finance = "ap-shanghai-fsi".to_owned();
    assert!(limits.regions.contains(&finance), "{limits:?}");
    let defaults = Limits {
        regions: limits.regions.clone(),
        ..Limits::default()
    };
    assert_eq!(limits, defaults);
}

#[test]
fn the_default_pressures_are_the_defaults() {
    let overload = Overload {
        memory_max_mib: None,
        high_percent: 80,
        critical_percent: 92,
    };
    assert_eq!(parse(LEAST).unwrap().overload, overload);
}

#[test]
fn the_other_defaults_are_the_defaults() {
    let config = parse(LEAST).unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(config.admin_listen, "127.0.0.1:7081".parse().unwrap());
    let everybody = Principal {
        name: "developer".to_owned(),
        organization: OrganizationId::parse("development").unwrap(),
    };
    assert_eq!(config.identity.required, Required::Nothing(everybody));
    assert!(config.identity.tls.is_none() && config.identity.denied_file.is_none());
    assert_eq!(config.identity.reload_interval, seconds(10));
    assert_eq!(
        config.operations,
        operations::Settings {
            timings: operations::machine::Timings {
                attempt_life: seconds(20),
                token_trust_window: seconds(600),
                quarantine: seconds(540),
                first_look_up: seconds(2),
                look_up_interval: seconds(10),
                reconcile_timeout: seconds(3600),
                retry_backoff: seconds(1),
                attempts_max: 5,
                send_timeout: seconds(120),
                missing_grace: seconds(60),
                unseen_grace: seconds(240),
                launch_timeout: seconds(1800),
                terminate_timeout: seconds(1800),
            },
            poll_interval: seconds(1),
            poll_interval_max: seconds(5),
            lease: seconds(30),
            concurrent_steps_max: 64,
            open_operations_max: 100_000,
            open_operations_per_organization_max: 50_000,
            crashes_max: 3,
            journal_retry_interval: seconds(1),
            check_zones: true,
            sweep: config.operations.sweep.clone(),
            quotas: Vec::new(),
        }
    );
    let journal = &config.journal;
    assert_eq!(
        (
            journal.pool_size,
            journal.queue,
            journal.batch,
            journal.busy_timeout,
            journal.reserve_bytes
        ),
        (8, 4096, 256, seconds(5), 8 << 20)
    );
    assert_eq!(config.cloud.run_instances_timeout, seconds(30));
    assert!(config.cloud.proxy.is_none() && config.cloud.ca_pem.is_none());
    let log = Log {
        format: LogFormat::Pretty,
        filter: "info".to_owned(),
        access: true,
    };
    assert_eq!(config.log, log);
    assert_eq!(
        config.to_string(),
        "gRPC          127.0.0.1:7080\n\
         admin         http://127.0.0.1:7081/metrics\n\
         journal       sqlite://cvm-gateway.db\n\
         cloud         https://cvm.tencentcloudapi.com/\n\
         callers       all are developer of development\n\
         organisation  development: main (default)\n"
    );
}

#[test]
fn every_region_of_every_account_is_swept_and_nothing_deleted() {
    let config = parse(LEAST).unwrap();
    let sweep = config.operations.sweep;
    assert_eq!(sweep.interval, Duration::from_secs(300));
    assert_eq!(sweep.grace, Duration::from_secs(120));
    assert_eq!((sweep.delete, sweep.deletes_per_hour_max), (false, 10));
    assert_eq!(sweep.places.len(), config.limits.regions.len());
    let place = sweep.places.first().unwrap();
    assert_eq!(place.account.as_str(), "main");
    assert_eq!(sweep.accounts, [place.account.clone()].into());
}

#[test]
fn accounts_that_the_cloud_counts_as_one_share_their_limits() {
    let limits = parse(LEAST).unwrap().cloud_limits;
    let rates = (
        limits.run_instances_per_second,
        limits.terminate_instances_per_second,
        limits.describe_per_second,
        limits.inquiry_price_per_second,
    );
    assert_eq!(rates, (8, 8, 32, 8));
    let account =
        |name: &str, more: &str| format!("accounts.{name} = {{ secret_key = \"k\", {more} }}\n");
    let text = [
        LEAST,
        "[organizations.other]\nweight = 3\ndefault_account = \"a\"\n",
        &account("a", "secret_id = \"AKIDx\""),
        &account("b", "secret_id = \"AKIDy\", uin = \"100\""),
        &account("c", "secret_id = \"AKIDz\", uin = \"100\""),
        &account("d", "secret_id = \"AKIDd\""),
    ];
    let limits = parse(&text.concat()).unwrap().cloud_limits;
    let counted = limits.counted_as.iter();
    let counted: Vec<_> = counted
        .map(|(name, first)| (name.as_str(), first.as_str()))
        .collect();
    let expected = [
        ("a", "a"),
        ("b", "b"),
        ("c", "b"),
        ("d", "d"),
        ("main", "a"),
    ];
    assert_eq!(counted, expected);
    let weights = limits.weights.iter();
    let weights: Vec<_> = weights
        .map(|(name, weight)| (name.as_str(), *weight))
        .collect();
    assert_eq!(weights, [("other", 3)]);
}

#[test]
fn the_file_lies_over_the_defaults_key_by_key() {
    let text = format!(
        "{LEAST}\
         [grpc]\nlisten = \"[::1]:0\"\n\
         [cloud]\nregions = [\"ap-tokyo\"]\nproxy = \"http://user:canary@proxy.example\"\n\
         [cloud.endpoint]\noverride = \"http://127.0.0.1:9\"\n\
         [journal]\nurl = \"postgres://user:canary@db.example/journal?password=canary\"\n\
         [operations]\ntoken_trust_window = \"0s\"\n\
         [organizations.other]\ndefault_account = \"b\"\n\
         accounts.a = {{ secret_id = \"i\", secret_key = \"canary\" }}\n\
         accounts.b = {{ secret_id = \"i\", secret_key = \"canary\" }}\n"
    );
    // Gateways that share a database share a key.
    let [problem] = &problems(&text)[..] else {
        panic!("{:?}", problems(&text));
    };
    assert!(
        problem.contains(": journal: `key_file` is missing"),
        "{problem}"
    );
    let folder = fresh_folder("cvm-gateway-keys").unwrap();
    let keys = folder.join("journal.key");
    let made = create_file(&keys).unwrap();
    std::io::Write::write_all(&mut &made, "5a".repeat(32).as_bytes()).unwrap();
    let keyed = format!("[journal]\nkey_file = \"{}\"\n", keys.display());
    let text = text.replace("[journal]\n", &keyed);
    let config = parse(&text).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(config.journal.key_file, Some(keys));
    assert_eq!(config.grpc.heartbeat_interval, Duration::from_secs(15));
    assert_eq!(config.limits.regions, ["ap-tokyo"]);
    assert_eq!(config.operations.timings.token_trust_window, Duration::ZERO);
    assert!(!format!("{config:?} {config}").contains("canary"));
    assert_eq!(
        config.to_string(),
        "gRPC          [::1]:0\n\
         admin         http://127.0.0.1:7081/metrics\n\
         journal       postgres://…@db.example/journal\n\
         cloud         http://127.0.0.1:9/\n\
         callers       all are developer of development\n\
         organisation  development: main (default)\n\
         organisation  other: a, b (default)\n"
    );
}

#[test]
fn quotas_limit_what_they_fit() {
    use crate::domain::quota::Measure;
    let text = format!(
        "{LEAST}\
         [quotas.all]\norganization = \"development\"\ninstances = 0\n\
         [quotas.web]\norganization = \"development\"\naccount = \"main\"\n\
         principal_prefix = \"web-\"\nlaunches_per_minute = 6\nconcurrent_operations = 7\n"
    );
    let config = parse(&text);
    let config = config.unwrap();
    let [all, web] = &config.operations.quotas[..] else {
        panic!("{:?}", config.operations.quotas);
    };
    assert_eq!((all.name.as_str(), web.name.as_str()), ("all", "web"));
    assert_eq!(all.limits, [(Measure::Instances, 0)].into());
    assert!(all.fits("other", "dev"));
    let limits = [
        (Measure::LaunchesPerMinute, 6),
        (Measure::ConcurrentOperations, 7),
    ];
    assert_eq!(web.limits, limits.into());
    for (account, principal, fits) in [
        ("main", "web-1", true),
        ("main", "dev", false),
        ("other", "web-1", false),
    ] {
        assert_eq!(web.fits(account, principal), fits, "{account} {principal}");
    }
}

#[test]
fn every_default_is_documented() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    let mut keys = 0;
    for (above, line) in lines.iter().zip(&lines[1..]) {
        let is_key = line
            .split_once(" = ")
            .is_some_and(|(key, _)| !key.contains(['#', '"', ' ']));
        if is_key || line.starts_with('[') {
            keys += usize::from(is_key);
            assert!(
                above.starts_with("# ") || above.starts_with("#  "),
                "`{line}` has no comment"
            );
        }
    }
    assert!(keys > 40, "only {keys} keys were found");
}

/// What follows [`LEAST`], so that its first line is line 7, and what is said about it.
const BAD_SETTINGS: &[(&str, &str)] = &[
    (
        "[grpc]\nheartbeet_interval = \"5s\"",
        "gw.toml:8:1: unknown key `heartbeet_interval` in [grpc]; did you mean `heartbeat_interval`?",
    ),
    (
        "[grcp]\nlisten = \"127.0.0.1:1\"",
        "gw.toml:7:2: unknown key `grcp`; did you mean `grpc`?",
    ),
    (
        "[admin]\nport = 7081",
        "gw.toml:8:1: unknown key `port` in [admin]; known are allow_plaintext_on_any_address, listen, console, show_console_to_all_at",
    ),
    (
        "[cloud.endpoint]\nregion = true",
        "gw.toml:8:1: unknown key `region` in [cloud.endpoint]; did you mean `regional`?",
    ),
    (
        "[overload]\nhigh_percent = 90\ncritical_percent = 80",
        "gw.toml:7:2: overload: `critical_percent` is below `high_percent`",
    ),
    (
        "[grpc]\nlisten = \"localhost:7080\"",
        "gw.toml:8:10: grpc.listen: `localhost:7080` is no address; write an IP address and a port like \"127.0.0.1:7080\"",
    ),
    (
        "[grpc]\nlisten = 7080",
        "gw.toml:8:10: grpc.listen: is a number, not text; put it in quotes",
    ),
    (
        "[grpc]\nlisten = \"0.0.0.0:7080\"",
        "gw.toml:8:10: grpc.listen: `0.0.0.0:7080` can be reached from other machines, but all who reach it count as the one caller of [identity]",
    ),
    (
        "[admin]\nshow_console_to_all_at = [\"gateway.internal\", \"gateway.internal:7081\"]",
        "gw.toml:8:26: admin.show_console_to_all_at: `gateway.internal:7081`: is no name or address in small letters, without a port",
    ),
    (
        "[admin]\n\nlisten = \"10.0.0.1:7081\"",
        "gw.toml:9:10: admin.listen: `10.0.0.1:7081` can be reached from other machines",
    ),
    (
        "[grpc]\nheartbeat_interval = 15",
        "gw.toml:8:22: grpc.heartbeat_interval: `15` is not a duration; write text like \"500ms\", \"15s\" or \"2m\"",
    ),
    (
        "[grpc]\nheartbeat_interval = \"0s\"",
        "gw.toml:8:22: grpc.heartbeat_interval: `0s` is out of range; write 1ms to 30days",
    ),
    (
        "[grpc]\nrequest_timeout = \"ten\"",
        "gw.toml:8:19: grpc.request_timeout: `ten` is not a duration",
    ),
    (
        "[grpc]\ndrain_timeout = \"2years\"",
        "gw.toml:8:17: grpc.drain_timeout: `2years` is out of range",
    ),
    (
        "[grpc]\nmessage_bytes_max = \"256 kilobytes\"",
        "gw.toml:8:21: grpc.message_bytes_max: `256 kilobytes` is not a size; write text like \"16KiB\" or \"1MiB\", at most 16777216 bytes",
    ),
    (
        "[grpc]\nheader_list_bytes_max = 16384",
        "gw.toml:8:25: grpc.header_list_bytes_max: `16384` is not a size",
    ),
    (
        "[grpc]\nmessage_bytes_max = \"17MiB\"",
        "gw.toml:8:21: grpc.message_bytes_max: `17MiB` is not a size",
    ),
    (
        "[grpc]\nstreams_per_connection_max = 0",
        "gw.toml:8:30: grpc.streams_per_connection_max: `0` is not a whole number from 1 to 100000",
    ),
    (
        "[grpc]\nlisten = []",
        "gw.toml:8:10: grpc.listen: is empty; name one",
    ),
    (
        "[grpc]\nlisten = [\"127.0.0.1:1\", 2]",
        "gw.toml:8:10: grpc.listen: is a number, not text; put it in quotes",
    ),
    (
        "[grpc]\nlisten = [\"127.0.0.1:1\", \"0.0.0.0:1\"]",
        "gw.toml:8:10: grpc.listen: `0.0.0.0:1` can be reached from other machines",
    ),
    (
        "[grpc]\nlisten = \"unix:\"",
        "gw.toml:8:10: grpc.listen: `unix:` names no file; write \"unix:PATH\"",
    ),
    (
        "[grpc]\nlisten = \"unix:/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/grpc\"",
        "gw.toml:8:10: grpc.listen: the path has 93 bytes, and a socket's may have 90",
    ),
    (
        "[grpc]\nunix_socket_mode = \"rw\"",
        "gw.toml:8:20: grpc.unix_socket_mode: `rw` is no mode; write four octal digits like \"0660\"",
    ),
    (
        "[grpc]\nunix_socket_mode = \"1777\"",
        "gw.toml:8:20: grpc.unix_socket_mode: `1777` is no mode",
    ),
    (
        "[grpc]\nconnections_max = 0",
        "gw.toml:8:19: grpc.connections_max: `0` is not a whole number from 1 to 1000000",
    ),
    (
        "[grpc]\nconnections_per_peer_max = 1000001",
        "gw.toml:8:28: grpc.connections_per_peer_max: `1000001` is not a whole number from 1 to 1000000",
    ),
    (
        "[grpc]\nfirst_byte_timeout = \"0s\"",
        "gw.toml:8:22: grpc.first_byte_timeout: `0s` is out of range; write 1ms to 30days",
    ),
    (
        "[grpc]\nresets_pending_max = 0",
        "gw.toml:8:22: grpc.resets_pending_max: `0` is not a whole number from 1 to 10000",
    ),
    (
        "[grpc]\nresets_by_error_max = -1",
        "gw.toml:8:23: grpc.resets_by_error_max: `-1` is not a whole number from 1 to 100000",
    ),
    (
        "[grpc]\nconnection_age_max = \"2days\"",
        "gw.toml:8:22: grpc.connection_age_max: `2days` is out of range; write 0s to 1day",
    ),
    (
        "[grpc]\nconnection_age_grace = \"soon\"",
        "gw.toml:8:24: grpc.connection_age_grace: `soon` is not a duration",
    ),
    (
        "[grpc.web]\nenabled = 1",
        "gw.toml:8:11: grpc.web.enabled: is a number, not a flag; write true or false",
    ),
    (
        "[grpc.web]\norigins = [\"https://console.example/\"]",
        "gw.toml:8:11: grpc.web.origins: `https://console.example/`: is no origin; write one like",
    ),
    (
        "[grpc]\nlisten = [\"127.0.0.1:7080\", \"[::1]:7080\", \"127.0.0.1:7080\"]",
        "gw.toml:8:10: grpc.listen: 127.0.0.1:7080 is taken by another one of them",
    ),
    (
        "[grpc]\nlisten = [\"unix:a\", \"unix:a\"]",
        "gw.toml:8:10: grpc.listen: unix:",
    ),
    (
        "[grpc]\nlisten = \"127.0.0.1:7081\"",
        "gw.toml:8:10: grpc.listen: 127.0.0.1:7081 is taken by admin.listen, 127.0.0.1:7081",
    ),
    (
        "[grpc]\nlisten = \"127.0.0.1:9\"\n[admin]\nallow_plaintext_on_any_address = true\nlisten = \"0.0.0.0:9\"",
        "gw.toml:8:10: grpc.listen: 127.0.0.1:9 is taken by admin.listen, 0.0.0.0:9",
    ),
    (
        "[admin]\nlisten = \"127.0.0.1:7080\"",
        "default.toml:12:10: grpc.listen: 127.0.0.1:7080 is taken by admin.listen, 127.0.0.1:7080",
    ),
    (
        "[grpc]\nreflection = \"yes\"",
        "gw.toml:8:14: grpc.reflection: is text, not a flag; write true or false",
    ),
    (
        "[organizations.two]\naccounts = 3",
        "gw.toml:8:12: organizations.two.accounts: is a number, not a table; write [organizations.two.accounts]",
    ),
    (
        "[identity]\ndevelopment_principal = \"\"",
        "gw.toml:8:25: identity.development_principal: is empty; give the caller a name",
    ),
    (
        "[identity]\ndevelopment_organization = \"web\"",
        "gw.toml:8:28: identity.development_organization: no organisation `web`; add [organizations.web], or name another one",
    ),
    (
        "[identity]\ndevelopment_organization = \"Web\"",
        "gw.toml:8:28: identity.development_organization: organization must be 1 to 63 characters of a-z 0-9 -",
    ),
    (
        "[quotas.web]\ninstances = 1",
        "gw.toml:7:9: quotas.web: `organization` is missing",
    ),
    (
        "[quotas.web]\norganization = \"other\"\ninstances = 1",
        "gw.toml:8:16: quotas.web.organization: no organisation `other`; it has no table in [organizations]",
    ),
    (
        "[quotas.web]\norganization = \"development\"\naccount = \"other\"\ninstances = 1",
        "gw.toml:9:11: quotas.web.account: no account `other` of that organisation",
    ),
    (
        "[quotas.web]\norganization = \"development\"",
        "gw.toml:7:9: quotas.web: limits nothing; set one of instances, vcpu, gpu, money_per_hour, money_per_month, launches_per_minute, concurrent_operations",
    ),
    (
        "[quotas.web]\norganization = \"development\"\ninstances = -1",
        "gw.toml:9:13: quotas.web.instances: `-1` is not a whole number from 0 to 100000000",
    ),
    (
        "[quotas.web]\norganization = \"development\"\ninstance = 1",
        "gw.toml:9:1: unknown key `instance` in [quotas.web]; did you mean `instances`?",
    ),
    (
        "[quotas.web]\norganization = \"development\"\nmoney_per_hour = \"-1\"",
        "gw.toml:9:18: quotas.web.money_per_hour: `-1` is no amount; write text like \"12.50\"",
    ),
    (
        "[quotas.Web]\norganization = \"development\"\ninstances = 1",
        "gw.toml:7:9: quotas.Web: the name must be 1 to 63 characters of a-z 0-9 - _",
    ),
    (
        "[quotas.web]\norganization = \"development\"\nprincipal = \"a\"\nprincipal_prefix = \"b\"\ninstances = 1",
        "gw.toml:7:9: quotas.web: `principal` and `principal_prefix` exclude each other",
    ),
    (
        "[journal]\nurl = \"mysql://user:canary@host/db\"",
        "gw.toml:8:7: journal.url: is no journal; write sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE",
    ),
    (
        "[journal]\nurl_file = \"no/such/file\"",
        "gw.toml:8:12: journal.url_file: cannot read no/such/file: No such file or directory",
    ),
    (
        "[journal]\nurl_file = \"Cargo.toml\"",
        "gw.toml:8:12: journal.url_file: Cargo.toml is no journal; write",
    ),
    (
        "[journal]\nurl_file = \"src\"",
        "gw.toml:8:12: journal.url_file: cannot read src: Is a directory",
    ),
    (
        "[journal]\nkey_file = \"no/such/file\"",
        "gw.toml:8:12: journal.key_file: the keys of the journal in ",
    ),
    (
        "[journal]\npool_size = -1",
        "gw.toml:8:13: journal.pool_size: `-1` is not a whole number from 1 to 1000",
    ),
    (
        "[journal]\nqueue = 1.5",
        "gw.toml:8:9: journal.queue: `1.5` is not a whole number from 1 to 1000000",
    ),
    (
        "[cloud]\nregions = \"ap-tokyo\"",
        "gw.toml:8:11: cloud.regions: is text, not a list of texts; write [\"a\", \"b\"]",
    ),
    (
        "[cloud]\nregions = [\"ap-tokyo\", \"Tokyo\"]",
        "gw.toml:8:11: cloud.regions: `Tokyo`: region must be a region of the cloud such as ap-shanghai",
    ),
    (
        "[cloud]\nproxy = \"user:canary@proxy:3128\"",
        "gw.toml:8:9: cloud.proxy: is no proxy; write a URL like http://proxy.example:3128",
    ),
    (
        "[cloud]\nproxy = \"http://user:canary@[proxy\"",
        "gw.toml:8:9: cloud.proxy: is no proxy; write a URL like http://proxy.example:3128",
    ),
    (
        "[cloud]\nproxy = \"http://user:canary@proxy:99999\"",
        "gw.toml:8:9: cloud.proxy: is no proxy; write a URL like http://proxy.example:3128",
    ),
    (
        "[cloud]\nca_file = \"Cargo.toml\"",
        "gw.toml:8:11: cloud.ca_file: Cargo.toml holds no certificates; name a PEM file",
    ),
    // That file holds only what they begin with: -----BEGIN CERTIFICATE-----
    (
        "[cloud]\nca_file = \"src/config/tests.rs\"",
        "gw.toml:8:11: cloud.ca_file: src/config/tests.rs holds no certificates; name a PEM file",
    ),
    (
        "[cloud.endpoint]\ndomain = \"example.com\"",
        "gw.toml:8:10: cloud.endpoint.domain: `example.com` is not a domain of the cloud; use one of tencentcloudapi.com, ",
    ),
    (
        "[cloud.endpoint]\noverride = \"http://10.0.0.1:8080\"",
        "gw.toml:8:12: cloud.endpoint.override: `http://10.0.0.1:8080` is plain http to another machine; use https, or a loopback address for a simulator",
    ),
    (
        "[cloud.endpoint]\noverride = \"https://user:canary@host\"",
        "gw.toml:8:12: cloud.endpoint.override: `…@host` names a user",
    ),
    (
        "[limits]\ninstance_count_max = 1000",
        "gw.toml:8:22: limits.instance_count_max: `1000` is not a whole number from 1 to 500",
    ),
    (
        "[limits]\ninstance_name_max = 129",
        "gw.toml:8:21: limits.instance_name_max: `129` is not a whole number from 1 to 128",
    ),
    (
        "[limits]\nhost_name_max = 1",
        "gw.toml:8:17: limits.host_name_max: `1` is not a whole number from 2 to 60",
    ),
    (
        "[limits]\nprepaid_months_max = 0",
        "gw.toml:8:22: limits.prepaid_months_max: `0` is not a whole number from 1 to 60",
    ),
    (
        "[limits]\nuser_data_bytes_max = \"17KiB\"",
        "gw.toml:8:23: limits.user_data_bytes_max: `17KiB` is not a size; write text like \"16KiB\" or \"1MiB\", at most 16384 bytes",
    ),
    (
        "[limits]\nrequired = [\"image_id\"]",
        "gw.toml:8:12: limits.required: `image_id`: is none of instance_type, virtual_private_cloud, login_settings",
    ),
    (
        "[operations]\nquarantine = \"1m\"",
        "gw.toml:8:14: operations.quarantine: `1m` is out of range; write 9m to 1day",
    ),
    (
        "[operations]\nquarantine = \"1ms\"\n[cloud.endpoint]\noverride = \"http://127.0.0.1:9\"",
        "gw.toml:8:14: operations.quarantine: `1ms` is out of range; write 1s to 1day",
    ),
    (
        "[operations]\nquarantine = \"1s\"\n[cloud.endpoint]\noverride = \"https://127.0.0.1:9\"",
        "gw.toml:8:14: operations.quarantine: `1s` is out of range; write 9m to 1day",
    ),
    (
        "[operations]\nlease = \"301s\"",
        "gw.toml:8:9: operations.lease: `301s` is out of range; write 100ms to 5m",
    ),
    (
        "[cloud]\nrun_instances_timeout = \"3s\"",
        "gw.toml:8:25: cloud.run_instances_timeout: 3s is too short to tell a connection that fails from an answer that is late: write more than 3s, which is connect_timeout",
    ),
    (
        "[cloud]\nconnect_timeout = \"10s\"",
        "gw.toml:7:2: cloud.read_timeout: 10s is too short to tell a connection that fails from an answer that is late: write more than 10s, which is connect_timeout",
    ),
    (
        "[operations]\nreconcile_timeout = \"19m21s\"",
        "gw.toml:8:21: operations.reconcile_timeout: 19m 21s is too short to prove that a launch in doubt launched nothing: write at least 19m 22s, which is token_trust_window, quarantine, first_look_up and twice look_up_interval",
    ),
    (
        "[operations]\nquarantine = \"50m\"",
        "gw.toml:7:2: operations.reconcile_timeout: 1h is too short to prove that a launch in doubt launched nothing: write at least 1h 22s",
    ),
    (
        "[operations]\nattempt_life = \"5m\"",
        "gw.toml:8:16: operations.attempt_life: `5m` is out of range; write 1s to 2m 30s",
    ),
    (
        "[operations]\npoll_interval = \"6s\"\npoll_interval_max = \"5s\"",
        "gw.toml:9:21: operations.poll_interval_max: 5s is too short: write at least 6s, which is poll_interval",
    ),
    (
        "[operations]\nattempts_max = \"five\"",
        "gw.toml:8:16: operations.attempts_max: `five` is not a whole number from 1 to 100",
    ),
    (
        "[log]\nformat = \"xml\"",
        "gw.toml:8:10: log.format: `xml` is no format; write \"pretty\" or \"json\"",
    ),
    (
        "[log]\nfilter = \"inof\"",
        "gw.toml:8:10: log.filter: `inof` is no filter; write a level",
    ),
    (
        "[log]\nfilter = \"info,a=b=c\"",
        "gw.toml:8:10: log.filter: `info,a=b=c` is no filter",
    ),
    (
        "[tracing]\nendpoint = \"localhost\"",
        "gw.toml:8:12: tracing.endpoint: is no URL of a collector; write one like http://127.0.0.1:4317",
    ),
    (
        "[tracing]\nca_file = \"collector.pem\"",
        "gw.toml:8:11: tracing.ca_file: cannot read collector.pem: ",
    ),
    (
        "[tracing]\nsample_ratio = 1.5",
        "gw.toml:8:16: tracing.sample_ratio: is no share; write a number from 0.0, none, to 1.0, all",
    ),
    (
        "[tracing]\nqueue = 0",
        "gw.toml:8:9: tracing.queue: `0` is not a whole number from 1 to 1000000",
    ),
    ("[log\nfilter = \"info\"", "gw.toml:7:5: not TOML: "),
    (
        "[log]\nfilter = \"info\"\nfilter = \"warn\"",
        "gw.toml:9:1: not TOML: duplicate key",
    ),
    ("[log]\nfilter = info", "gw.toml:8:10: not TOML: "),
    (
        "[organizations.two.accounts.main]\nsecret_id = \"i\"\nsecret_key = \"canary\"",
        "gw.toml:7:29: organizations.two.accounts.main: another organisation has an account of that name; choose a unique one",
    ),
    (
        "[organizations.two.accounts.main]\nsecret_id = \"i\"\nsecret_key = \"canary\"",
        "gw.toml:7:16: organizations.two: `default_account` is missing",
    ),
    (
        "[cloud.limits]\nrun_instances_per_second = 0",
        "gw.toml:8:28: cloud.limits.run_instances_per_second: `0` is not a whole number from 1 to 10000",
    ),
    (
        "[organizations.two]\nweight = 0",
        "gw.toml:8:10: organizations.two.weight: `0` is not a whole number from 1 to 1000",
    ),
    (
        "[organizations.two.accounts.a]\nuin = \"AKID\"",
        "gw.toml:8:7: organizations.two.accounts.a.uin: is no account number; write the digits that the cloud's console shows",
    ),
    (
        "[organizations.two]",
        "gw.toml:7:16: organizations.two.accounts: no account; add a table with `secret_id` and `secret_key_file`: [organizations.two.accounts.NAME]",
    ),
    (
        "[organizations.Two]",
        "gw.toml:7:16: organizations.Two: organization must be 1 to 63 characters of a-z 0-9 -, beginning with a letter",
    ),
];

/// A folder with what [identity] and [grpc.tls] name.
fn secured() -> PathBuf {
    let folder = fresh_folder("cvm-gateway-config-test").unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let jwks = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    for (name, text) in [
        ("server.pem", certificate.as_str()),
        ("server.key", &key.serialize_pem()),
        ("other.key", &other),
        ("jwks.json", jwks),
        ("denied.txt", "serial 1f\n"),
        ("rubbish", "rubbish"),
        (
            "unknown",
            "# left\nsubject cluser system:serviceaccount:web:api\n",
        ),
        ("svid", "subject cluster spiffe://example.org/a\n"),
    ] {
        write_text(&folder.join(name), text).unwrap();
    }
    folder
}

/// All that identity can be set up with.
const SECURED: &str = r#"[identity]
require = ["mtls", "jwt"]
denied_file = "denied.txt"
[identity.issuers.cluster]
issuer = "https://cluster.example"
audiences = ["cvm-gateway"]
algorithms = ["EdDSA"]
jwks_file = "jwks.json"
[identity.issuers.people]
issuer = "https://people.example"
audiences = ["cvm-gateway"]
algorithms = ["RS256", "ES256"]
jwks_url = "https://people.example/jwks"
jwks_ca_file = "server.pem"
jwks_refresh_interval = "1m"
subject_claim = "email"
[identity.callers.a]
organization = "development"
spiffe_id_prefix = "spiffe://example.org/ns/web/"
[identity.callers.b]
organization = "development"
issuer = "cluster"
subject_prefix = "system:serviceaccount:web:"
[grpc]
listen = "0.0.0.0:7080"
[grpc.tls]
certificate_file = "server.pem"
key_file = "server.key"
client_ca_file = "server.pem"
"#;

#[test]
fn callers_are_told_apart_as_the_file_says() {
    let folder = secured();
    let parse = |text: &str| Config::parse("gw.toml", &format!("{LEAST}{text}"), &folder);
    let config = parse(SECURED).unwrap();
    let said = config.to_string();
    let callers = "callers       need a certificate and a token; whose they are is said by 2 rules\n\
                   issuer        cluster: https://cluster.example\n\
                   issuer        people: https://people.example\n";
    assert!(said.contains(callers), "{said}");
    let rules = &config.identity.issuers[1].rules;
    assert_eq!(
        (rules.subject_claim.as_str(), rules.leeway.as_secs()),
        ("email", 30)
    );
    let one = |proof: &str| SECURED.replace("\"mtls\", \"jwt\"", proof);
    assert!(
        parse(&one("\"mtls\""))
            .unwrap()
            .to_string()
            .contains("need a certificate;")
    );
    assert!(
        parse(&one("\"jwt\""))
            .unwrap()
            .to_string()
            .contains("need a token;")
    );
    // In plaintext only on loopback, or when the file says so.
    let (text, _) = SECURED.split_once("[grpc]").unwrap();
    let text = text.replace("\"mtls\", ", "");
    let listen = |more: &str| parse(&format!("{text}[grpc]\n{more}"));
    assert!(listen("listen = \"127.0.0.1:0\"").is_ok());
    let anywhere = "listen = \"0.0.0.0:0\"\nallow_plaintext_on_any_address = ";
    assert!(listen(&format!("{anywhere}true")).is_ok());
    let error = listen(&format!("{anywhere}false")).unwrap_err().to_string();
    assert!(
        error.contains("what is sent there is not encrypted: set [grpc.tls]"),
        "{error}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn nobody_needs_to_be_known_only_where_the_file_says_so() {
    let anonymous = |more: &str| {
        let allow = "allow_anonymous_on_any_address = true";
        problems(&format!(
            "{LEAST}[identity]\n{allow}\n[grpc]\nlisten = \"0.0.0.0:1\"\n{more}"
        ))
    };
    assert!(anonymous("")[0].contains("what is sent there is not encrypted"));
    assert_eq!(anonymous("allow_plaintext_on_any_address = true"), [""; 0]);
    let admin = "[admin]\nlisten = \"0.0.0.0:1\"\nallow_plaintext_on_any_address = true";
    assert_eq!(problems(&format!("{LEAST}{admin}")), [""; 0]);
}

/// Replacements in [`SECURED`], and what is said about them. Its first line is line 7.
const BAD_IDENTITIES: &[(&str, &str, &str)] = &[
    (
        "\"mtls\", \"jwt\"",
        "\"tls\"",
        "gw.toml:8:11: identity.require: `tls`: is no proof; write \"mtls\" or \"jwt\"",
    ),
    (
        "denied.txt",
        "none",
        "gw.toml:9:15: identity.denied_file: cannot read none",
    ),
    (
        "denied.txt",
        "rubbish",
        "gw.toml:9:15: identity.denied_file: rubbish: line 1: `rubbish` is none of serial",
    ),
    (
        "denied.txt",
        "unknown",
        "gw.toml:9:15: identity.denied_file: unknown: line 2: no issuer `cluser`; write one of cluster, people, or add [identity.issuers.cluser]",
    ),
    (
        "denied.txt\"\n[identity.issuers.cluster]",
        "svid\"\n[identity.issuers.cluster]\ntrust_domain = \"example.org\"",
        "gw.toml:9:15: identity.denied_file: svid: line 1: tokens of `cluster` with a SPIFFE id count by that id; write: spiffe spiffe://example.org/a",
    ),
    (
        "issuers.cluster",
        "issuers.dns",
        "gw.toml:10:19: identity.issuers.dns: name the issuer with a-z 0-9 -",
    ),
    (
        "issuers.cluster",
        "issuers.Cluster",
        "gw.toml:10:19: identity.issuers.Cluster: name the issuer",
    ),
    (
        "https://cluster.example",
        "",
        "gw.toml:11:10: identity.issuers.cluster.issuer: is empty",
    ),
    (
        "https://cluster.example",
        "https://people.example",
        "gw.toml:15:19: identity.issuers.people: another issuer has the same",
    ),
    (
        "[\"cvm-gateway\"]",
        "[]",
        "gw.toml:10:19: identity.issuers.cluster: name at least one of",
    ),
    (
        "[\"cvm-gateway\"]",
        "\"cvm-gateway\"",
        "gw.toml:12:13: identity.issuers.cluster.audiences: is text, not a list of texts",
    ),
    (
        "EdDSA",
        "HS256",
        "gw.toml:13:14: identity.issuers.cluster.algorithms: `HS256`: is none of RS256",
    ),
    (
        "EdDSA",
        "none",
        "gw.toml:13:14: identity.issuers.cluster.algorithms: `none`: is none of RS256",
    ),
    (
        "EdDSA",
        "eddsa",
        "gw.toml:13:14: identity.issuers.cluster.algorithms: `eddsa`: is none of RS256",
    ),
    (
        "\"jwks.json\"",
        "\"none\"",
        "gw.toml:14:13: identity.issuers.cluster.jwks_file: cannot read none",
    ),
    (
        "\"jwks.json\"",
        "\"rubbish\"",
        "gw.toml:14:13: identity.issuers.cluster.jwks_file: rubbish is no JSON Web Key Set",
    ),
    (
        "jwks_file = \"jwks.json\"\n",
        "",
        "gw.toml:10:19: identity.issuers.cluster: set one of `jwks_file` and `jwks_url`",
    ),
    (
        "jwks_url",
        "jwks_file = \"jwks.json\"\njwks_url",
        "gw.toml:15:19: identity.issuers.people: set one of `jwks_file` and `jwks_url`",
    ),
    (
        "https://people.example/jwks",
        "http://people.example/jwks",
        "gw.toml:19:12: identity.issuers.people.jwks_url: is not https",
    ),
    (
        "https://people.example/jwks",
        "https://u:canary@people.example",
        "gw.toml:19:12: identity.issuers.people.jwks_url: names a user",
    ),
    (
        "jwks_ca_file = \"server.pem\"",
        "jwks_ca_file = \"rubbish\"",
        "gw.toml:20:16: identity.issuers.people.jwks_ca_file: rubbish holds no certificates",
    ),
    (
        "\"1m\"",
        "\"1ms\"",
        "gw.toml:21:25: identity.issuers.people.jwks_refresh_interval: `1ms` is out of range",
    ),
    (
        "\"1m\"",
        "\"1m\"\njwks_keep = \"64s\"",
        "gw.toml:22:13: identity.issuers.people.jwks_keep: 1m 4s is too short: keys would end before they are fetched again; write at least 1m 5s",
    ),
    (
        "\"1m\"",
        "\"1s\"\njwks_keep = \"14s\"",
        "gw.toml:22:13: identity.issuers.people.jwks_keep: 14s is too short: keys would end before they are fetched again; write at least 15s",
    ),
    (
        "\"1m\"",
        "\"24h\"",
        "gw.toml:15:19: identity.issuers.people.jwks_keep: 1day is too short: keys would end before they are fetched again; write at least 1day 5s",
    ),
    (
        "subject_claim = \"email\"",
        "trust_domain = \"Example/\"",
        "gw.toml:22:16: identity.issuers.people.trust_domain: is no trust domain",
    ),
    (
        "subject_claim",
        "subject_clam",
        "gw.toml:22:1: unknown key `subject_clam` in [identity.issuers.people]; did you mean `subject_claim`?",
    ),
    (
        "organization = \"development\"",
        "organization = \"web\"",
        "gw.toml:24:16: identity.callers.a.organization: no organisation `web`",
    ),
    (
        "ns/web/",
        "ns/web",
        "gw.toml:25:20: identity.callers.a.spiffe_id_prefix: `spiffe://example.org/ns/web` is no beginning",
    ),
    (
        "spiffe_id_prefix = ",
        "dns_name = \"a.b\"\nspiffe_id_prefix = ",
        "gw.toml:23:19: identity.callers.a: set one of spiffe_id, ",
    ),
    (
        "spiffe_id_prefix = \"spiffe://example.org/ns/web/\"",
        "dns_name = \"*.b\"",
        "gw.toml:25:12: identity.callers.a.dns_name: `*.b` is no name of a host",
    ),
    (
        "spiffe_id_prefix = ",
        "issuer = \"cluster\"\nspiffe_id_prefix = ",
        "gw.toml:23:19: identity.callers.a: `issuer` and `subject` or",
    ),
    (
        "issuer = \"cluster\"\n",
        "",
        "gw.toml:26:19: identity.callers.b: `issuer` and `subject` or",
    ),
    (
        "issuer = \"cluster\"",
        "issuer = \"other\"",
        "gw.toml:28:10: identity.callers.b.issuer: no issuer `other`; add [identity.issuers.other]",
    ),
    (
        "account:web:",
        "account:web",
        "gw.toml:29:18: identity.callers.b.subject_prefix: `system:serviceaccount:web` would also begin names",
    ),
    (
        "[grpc]\n",
        "[identity.callers.c]\norganization = \"development\"\nspiffe_id_prefix = \"spiffe://example.org/ns/web/\"\n[grpc]\n",
        "gw.toml:30:19: identity.callers.c: another rule is about the same callers",
    ),
    (
        "certificate_file = \"server.pem\"",
        "certificate_file = \"rubbish\"",
        "gw.toml:33:20: grpc.tls.certificate_file: rubbish holds no certificate chain",
    ),
    (
        "certificate_file = \"server.pem\"\n",
        "",
        "gw.toml:32:7: grpc.tls: identity.require has \"mtls\", so `certificate_file` is missing",
    ),
    (
        "\"server.key\"",
        "\"rubbish\"",
        "gw.toml:34:12: grpc.tls.key_file: rubbish holds no private key",
    ),
    (
        "\"server.key\"",
        "\"other.key\"",
        "gw.toml:32:7: grpc.tls: server.pem, other.key: the certificate and the key cannot be used",
    ),
    (
        "key_file = \"server.key\"\n",
        "",
        "gw.toml:32:7: grpc.tls: `key_file` is missing",
    ),
    (
        "client_ca_file = \"server.pem\"",
        "client_ca_file = \"rubbish\"",
        "gw.toml:35:18: grpc.tls.client_ca_file: rubbish holds no certificates of authorities",
    ),
    (
        "client_ca_file = \"server.pem\"\n",
        "",
        "gw.toml:32:7: grpc.tls: `client_ca_file` is missing",
    ),
];

#[test]
fn bad_identities_are_named_by_place_rule_and_remedy() {
    let folder = secured();
    for (from, to, expected) in BAD_IDENTITIES {
        assert!(SECURED.contains(from), "{from}");
        let text = format!("{LEAST}{}", SECURED.replacen(from, to, 1));
        let error = Config::parse("gw.toml", &text, &folder).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains(expected),
            "{from} → {to}\ngave {said}\nnot {expected}"
        );
        assert!(!said.contains("canary"), "{said}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// What the page of identities says, with files that are there.
#[test]
fn the_set_ups_of_the_documentation_are_sound() {
    let page = include_str!("../../docs/identity.md");
    let folder = secured();
    let account = |name: &str| {
        format!(
            "[organizations.{name}]\ndefault_account = \"{name}\"\n\
             accounts.{name} = {{ secret_id = \"i\", secret_key = \"k\" }}\n"
        )
    };
    let organizations = format!("{LEAST}{}{}", account("web"), account("infra"));
    let mut set_ups = 0;
    for after in page.split("```toml\n").skip(1) {
        let (text, _) = after.split_once("```").unwrap();
        let text = text
            .replace("cluster/ca.crt", "server.pem")
            .replace("cluster/token", "rubbish")
            .replace("tls/callers-ca.pem", "server.pem")
            .replace("tls/", "");
        let config = Config::parse("gw.toml", &format!("{organizations}{text}"), &folder);
        assert!(config.is_ok(), "{}\n{text}", config.unwrap_err());
        set_ups += 1;
    }
    assert_eq!(set_ups, 4);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn who_must_prove_something_can_be_known() {
    let rows = [
        (
            "require = [\"mtls\"]",
            "identity: nobody could call; add a rule: [identity.callers.NAME]",
        ),
        (
            "require = [\"jwt\"]",
            "identity: no token could be verified; add its issuer",
        ),
        (
            "require = [\"mtls\"]",
            "grpc.tls: identity.require has \"mtls\", so `certificate_file` is missing",
        ),
        (
            "require = \"mtls\"",
            "identity.require: is text, not a list of texts",
        ),
        (
            "reload_interval = \"0s\"",
            "identity.reload_interval: `0s` is out of range",
        ),
        (
            "token_leeway = \"6m\"",
            "identity.token_leeway: `6m` is out of range",
        ),
        ("denied = \"x\"", "unknown key `denied` in [identity]"),
    ];
    for (line, expected) in rows {
        let said = problems(&format!("{LEAST}[identity]\n{line}\n"));
        assert!(
            said.iter().any(|said| said.contains(expected)),
            "{line}: {said:#?}"
        );
    }
}

#[test]
fn a_journal_is_told_without_its_password() {
    for (url, told) in [
        ("sqlite://gateway.db", "sqlite://gateway.db"),
        ("sqlite:gateway.db", "sqlite:gateway.db"),
        ("postgres://host/db?password=canary", "postgres://host/db"),
        ("postgres://user:canary@host/db", "postgres://…@host/db"),
        (
            "postgres://user:can@canary/canary@host/db",
            "postgres://…@host/db",
        ),
        ("postgres:user:canary@host/db", "postgres://…@host/db"),
        ("postgres://user:12canary?canary@host/db", "postgres://…"),
        (
            "postgres://user:12@canary?canary@host/db?sslmode=require",
            "postgres://…",
        ),
    ] {
        assert_eq!(journal::without_password(url), told);
    }
}

#[test]
fn bad_settings_are_named_by_place_rule_and_remedy() {
    for (more, expected) in BAD_SETTINGS {
        let said = problems(&format!("{LEAST}{more}\n"));
        assert!(
            said.iter().any(|said| said.starts_with(expected)),
            "{more}\ngave {said:#?}\nnot {expected}"
        );
        assert!(!said.join("\n").contains("canary"), "{said:#?}");
    }
}

/// Replacements in [`LEAST`], and what is said about them.
const BAD_ACCOUNTS: &[(&str, &str, &str)] = &[
    (
        "\"main\"",
        "\"prod\"",
        "gw.toml:2:19: organizations.development.default_account: no account `prod` here; name one of: main",
    ),
    (
        "\"AKIDx\"",
        "\"AKID x\"",
        "gw.toml:5:13: organizations.development.accounts.main.secret_id: cloud credential: the secret id is malformed",
    ),
    (
        "\"AKIDx\"",
        "7",
        "gw.toml:5:13: organizations.development.accounts.main.secret_id: is a number, not text; put it in quotes",
    ),
    (
        "secret_id = \"AKIDx\"\n",
        "",
        "gw.toml:4:37: organizations.development.accounts.main: `secret_id` is missing",
    ),
    (
        "\"canary-key\"",
        "\"canary key\"",
        "gw.toml:6:14: organizations.development.accounts.main.secret_key: cloud credential: the secret key is malformed; copy it again",
    ),
    (
        "\"canary-key\"",
        "\"\"",
        "gw.toml:4:37: organizations.development.accounts.main: `secret_key_file` is missing",
    ),
    (
        "secret_key = ",
        "secret_key_file = ",
        "gw.toml:6:19: organizations.development.accounts.main.secret_key_file: cannot read canary-key: No such file",
    ),
    (
        "secret_id",
        "secret_key_file = \"LICENSE\"\nsecret_id",
        "gw.toml:4:37: organizations.development.accounts.main: has both `secret_key` and `secret_key_file`; keep one",
    ),
    (
        "secret_id",
        "token_file = \"none\"\nsecret_id",
        "gw.toml:5:14: organizations.development.accounts.main.token_file: cannot read none: No such file",
    ),
    (
        "secret_id",
        "secretid",
        "gw.toml:5:1: unknown key `secretid` in [organizations.development.accounts.main]; did you mean `secret_id`?",
    ),
    (
        "default_account",
        "accounts_default",
        "gw.toml:2:1: unknown key `accounts_default` in [organizations.development]; known are accounts, default_account",
    ),
    (
        "accounts.main",
        "accounts.Main",
        "gw.toml:4:37: organizations.development.accounts.Main: account must be 1 to 64 characters",
    ),
    (
        "secret_key = \"canary-key\"",
        "secret_key = \"canary",
        "gw.toml:6:21: not TOML: invalid basic string, expected `\"`",
    ),
];

#[test]
fn bad_accounts_are_named_and_no_secret_is_repeated() {
    for (from, to, expected) in BAD_ACCOUNTS {
        let said = problems(&LEAST.replacen(from, to, 1));
        assert!(
            said.iter().any(|said| said.starts_with(expected)),
            "{to}\ngave {said:#?}\nnot {expected}"
        );
        let secret = said
            .iter()
            .any(|said| said.contains("canary") && !said.contains("cannot read"));
        assert!(!secret, "{said:#?}");
    }
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    let said = problems("");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(
        said[0].contains("no organisation `development`; add [organizations.development]"),
        "{said:#?}"
    );
}

#[test]
fn everything_wrong_is_reported_in_the_order_of_the_file() {
    let text = "[log]\nfilter = \"?\"\n[grpc]\nlisten = 1\nlisen = 2\nreflection = 3\n[gcp]\n";
    let places: Vec<String> = problems(&format!("{LEAST}{text}"))
        .iter()
        .map(|said| said.split(": ").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        places,
        [
            "gw.toml:8:10",
            "gw.toml:10:10",
            "gw.toml:11:1",
            "gw.toml:12:14",
            "gw.toml:13:2"
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_no_bad_configuration() {
    let error = Config::load(Path::new("no/such/gw.toml")).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }));
    assert_eq!(
        error.to_string(),
        "cannot read no/such/gw.toml; name the configuration with --config FILE"
    );
}

/// Under a service manager the secrets of accounts are there only while the gateway runs.
#[test]
fn a_person_at_the_journal_needs_no_secret_of_an_account() {
    let folder = fresh_folder("cvm-gateway-person").unwrap();
    let file = folder.join("gw.toml");
    let text =
        LEAST.replace("secret_key =", "secret_key_file =") + "[operations]\nlease = \"9s\"\n";
    std::fs::write(&file, &text).unwrap();
    assert!(Config::load(&file).is_err(), "the key is not there");
    let config = JournalConfig::load(&file).unwrap();
    assert_eq!(config.lease, Duration::from_secs(9));
    assert_eq!(
        config.crashes_max,
        parse(LEAST).unwrap().operations.crashes_max
    );
    std::fs::write(&file, text + "[journal]\nqueues = 1\n").unwrap();
    let error = JournalConfig::load(&file).unwrap_err().to_string();
    assert!(
        error.contains("unknown key `queues` in [journal]"),
        "{error}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
