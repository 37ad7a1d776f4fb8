//! The cloud and the configuration of a story: every wait is short, in proportion.

use crate::world::{Memory, Story};
use cvm_gateway::simulator::EMBEDDED;
use std::net::SocketAddr;

/// A person is asked for soon, of a launch that cannot be looked up.
pub(crate) const IMPATIENCE: (&str, &str) = ("reconcile_timeout", "\"1400ms\"");

/// The cloud of the story: the built-in one with its faults.
pub(crate) fn catalog(story: &Story) -> String {
    let memory = match story.memory {
        Memory::Forever => "",
        Memory::Minute => "token_memory_s = 1.0",
        Memory::Nothing => "token_memory_s = 0.0",
    };
    let (instance, tag) = story.lags;
    let doomed = story.doomed;
    let faults = format!(
        "[faults]\n{memory}\ninstance_lag_s = [{instance:?}, {instance:?}]\n\
         tag_lag_s = [{tag:?}, {tag:?}]\nlaunch_failed_p = {doomed:?}\n"
    );
    assert!(EMBEDDED.contains("[faults]\n"));
    EMBEDDED.replacen("[faults]\n", &faults, 1)
}

/// The real configuration with every wait made short: a minute is a second, or less.
pub(crate) fn config_text(story: &Story, cloud: SocketAddr, journal: &str) -> String {
    // Who is asked for at last is asked for as soon as a configuration may say: 1.4 s bear no longer waits.
    let impatient = story.setting == Some(IMPATIENCE);
    let quarantine = if impatient { "\"1s\"" } else { "\"3s\"" };
    let window = match story.memory {
        _ if impatient => "0s",
        Memory::Forever => "10s",
        Memory::Minute => "800ms",
        Memory::Nothing => "0s",
    };
    let mut operations = vec![
        ("attempt_life", "\"2s\""),
        ("quarantine", quarantine),
        ("first_look_up", "\"50ms\""),
        ("look_up_interval", "\"150ms\""),
        ("retry_backoff", "\"50ms\""),
        ("missing_grace", "\"4s\""),
        ("unseen_grace", "\"4s\""),
        ("poll_interval", "\"50ms\""),
        ("lease", "\"3s\""),
        ("journal_retry_interval", "\"100ms\""),
        // The first calls are those of the launch.
        ("check_zones", "false"),
    ];
    operations.retain(|(key, _)| story.setting.is_none_or(|(other, _)| other != *key));
    operations.extend(story.setting);
    let operations = operations
        .iter()
        .map(|(key, value)| format!("{key} = {value}"));
    let operations = operations.collect::<Vec<_>>().join("\n");
    let sweep = if story.sweeping { "200ms" } else { "0s" };
    format!(
        r#"
[grpc]
listen = "127.0.0.1:0"
heartbeat_interval = "200ms"
drain_timeout = "5s"

[admin]
listen = "127.0.0.1:0"

[journal]
url = "{journal}"

[cloud]
connect_timeout = "1s"
run_instances_timeout = "1500ms"
read_timeout = "1500ms"

[cloud.endpoint]
override = "http://{cloud}"

[organizations.development]
default_account = "main"

[organizations.development.accounts.main]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"

[quotas.all]
organization = "development"
instances = 1000

[operations]
token_trust_window = "{window}"
{operations}

[operations.sweep]
interval = "{sweep}"
grace = "100ms"
delete = true

[log]
format = "json"
filter = "trace,h2=info,hyper=info,hyper_util=info,tower=info"
"#
    )
}
