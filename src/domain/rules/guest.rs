//! What the machine is given to run with: user data, metadata, role, topology, its end.

use super::{Limits, check_word, size};
use crate::domain::secret::Secret;
use crate::domain::spec::{ActionTimer, CpuTopology, InstanceSpec, Metadata};
use crate::domain::violation::Violations;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::time::Duration;
use time::UtcDateTime;
use time::macros::format_description;

/// How far ahead the end of a machine must be.
const TIMER_LEAD: Duration = Duration::from_secs(5 * 60);
const METADATA_KEY_BYTES_MAX: usize = 128;
const METADATA_VALUE_BYTES_MAX: usize = 256 * 1024;
/// What the name of a role may contain besides letters and digits.
const ROLE_SPECIALS: &str = "+=,.@_-";

pub(super) fn check(spec: &InstanceSpec, limits: &Limits, now: UtcDateTime, out: &mut Violations) {
    if let Some(user_data) = &spec.user_data {
        check_user_data(user_data, size(limits.user_data_bytes_max), out);
    }
    if let Some(metadata) = &spec.metadata {
        check_metadata(metadata, out);
    }
    if let Some(role) = &spec.cam_role_name {
        check_role(role, spec, out);
    }
    if let Some(topology) = &spec.cpu_topology {
        check_topology(topology, out);
    }
    if let Some(timer) = &spec.action_timer {
        check_timer(timer, now, out);
    }
}

fn check_user_data(user_data: &Secret, max: usize, out: &mut Violations) {
    let field = "spec.user_data";
    match BASE64_STANDARD.decode(user_data.expose()) {
        Ok(bytes) => out.unless(bytes.len() <= max, field, || {
            format!("must decode to at most {max} bytes, not {}", bytes.len())
        }),
        Err(_not_base64) => out.add(field, "must be base64 (standard alphabet, padded)"),
    }
}

fn check_metadata(metadata: &Metadata, out: &mut Violations) {
    let none = metadata.items.is_empty();
    out.unless(!none, "spec.metadata.items", || {
        "is required: leave metadata unset for none".to_owned()
    });
    for (index, item) in metadata.items.iter().enumerate() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let key = &item.key;
        let sound = (1..=METADATA_KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(plain);
        out.unless(sound, &format!("spec.metadata.items[{index}].key"), || {
            format!("must be 1 to {METADATA_KEY_BYTES_MAX} of A-Z a-z 0-9 _ -")
        });
        let bytes = item.value.expose().len();
        let fits = bytes <= METADATA_VALUE_BYTES_MAX;
        out.unless(fits, &format!("spec.metadata.items[{index}].value"), || {
            format!("must be at most {METADATA_VALUE_BYTES_MAX} bytes, not {bytes}")
        });
    }
}

fn check_role(role: &str, spec: &InstanceSpec, out: &mut Violations) {
    let field = "spec.cam_role_name";
    let legal = |c: char| c.is_ascii_alphanumeric() || ROLE_SPECIALS.contains(c);
    let sound = !role.is_empty() && role.chars().all(legal);
    out.unless(sound, field, || {
        format!("must consist of letters, digits and {ROLE_SPECIALS}")
    });
    let network = spec.virtual_private_cloud.is_some() || !spec.network_interfaces.is_empty();
    out.unless(network || spec.launch_template.is_some(), field, || {
        "needs virtual_private_cloud, whose vpc_id and subnet_id may both be DEFAULT: a role is \
         handed out inside a VPC only"
            .to_owned()
    });
}

fn check_topology(topology: &CpuTopology, out: &mut Violations) {
    let (cores, threads) = (topology.core_count, topology.thread_per_core);
    out.unless(
        cores.is_some() == threads.is_some(),
        "spec.cpu_topology",
        || "core_count and thread_per_core must be set both or neither".to_owned(),
    );
    let some = cores.is_none_or(|cores| cores >= 1);
    out.unless(some, "spec.cpu_topology.core_count", || {
        "must be at least 1".to_owned()
    });
    let known = threads.is_none_or(|threads| (1..=2).contains(&threads));
    out.unless(known, "spec.cpu_topology.thread_per_core", || {
        "must be 1 (no hyper-threading) or 2".to_owned()
    });
}

fn check_timer(timer: &ActionTimer, now: UtcDateTime, out: &mut Violations) {
    let action = Some(timer.timer_action.as_deref().unwrap_or_default());
    check_word(
        action,
        &["TerminateInstances"],
        "spec.action_timer.timer_action",
        out,
    );
    let field = "spec.action_timer.action_time";
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let text = timer.action_time.as_deref().unwrap_or_default();
    // The parser would take a sign before the year.
    let plain = text.starts_with(|first: char| first.is_ascii_digit());
    match UtcDateTime::parse(text, form) {
        Ok(time) if plain => out.unless(time >= now + TIMER_LEAD, field, || {
            format!(
                "must be at least {} minutes ahead",
                TIMER_LEAD.as_secs() / 60
            )
        }),
        Ok(_) | Err(_) => out.add(field, "must be a time in UTC such as 2030-01-31T23:59:59Z"),
    }
}
