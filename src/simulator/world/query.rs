//! The filters and pages of the Describe actions.

use super::machine::Machine;
use crate::simulator::catalog::Region;
use crate::simulator::validate::{has_shape, invalid};
use crate::simulator::wire::{Filter, Refusal};
use std::net::{Ipv4Addr, Ipv6Addr};
use time::UtcDateTime;
use time::macros::format_description;

/// How many filters an action takes, and of how many values each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) filters: usize,
    pub(super) values: usize,
}

/// Of DescribeInstances and most others.
pub(super) const INSTANCES: Bounds = Bounds {
    filters: 10,
    values: 5,
};
pub(super) const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 100;

#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    offset: usize,
    limit: usize,
}

impl Page {
    pub(super) fn new(offset: Option<i64>, limit: Option<i64>) -> Result<Self, Refusal> {
        let offset = usize::try_from(offset.unwrap_or(0)).ok();
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        let in_range = (1..=LIMIT_MAX).contains(&limit);
        let limit = usize::try_from(limit).ok().filter(|_| in_range);
        Ok(Self {
            offset: offset.ok_or_else(|| invalid("Offset", "must not be negative"))?,
            limit: limit.ok_or_else(|| invalid("Limit", "must be 1 to 100"))?,
        })
    }

    pub(super) fn is_first(self) -> bool {
        self.offset == 0
    }

    /// The same page, one machine later or earlier.
    pub(super) fn shifted(self, later: bool) -> Self {
        let offset = if later {
            self.offset.saturating_add(1)
        } else {
            self.offset.saturating_sub(1)
        };
        Self { offset, ..self }
    }

    pub(super) fn of<T>(self, all: Vec<T>) -> impl Iterator<Item = T> {
        all.into_iter().skip(self.offset).take(self.limit)
    }
}

/// Refuses filters that the API does not have or whose values cannot be right.
pub(super) fn check(region: &Region, filters: &[Filter]) -> Result<(), Refusal> {
    bounded(filters, INSTANCES)?;
    for filter in filters {
        for value in &filter.values {
            check_value(region, &filter.name, value)?;
        }
    }
    Ok(())
}

/// Refuses more filters or values than an action takes.
pub(super) fn bounded(filters: &[Filter], most: Bounds) -> Result<(), Refusal> {
    let long = |filter: &Filter| filter.values.len() > most.values;
    if filters.len() > most.filters || filters.iter().any(long) {
        let message = format!(
            "At most {} filters of {} values.",
            most.filters, most.values
        );
        return Err(Refusal::new("InvalidFilterValue.LimitExceeded", message));
    }
    Ok(())
}

/// Refuses a filter whose value is not sound.
pub(super) fn refuse_unless(
    sound: bool,
    code: &'static str,
    name: &str,
    value: &str,
) -> Result<(), Refusal> {
    if sound {
        return Ok(());
    }
    let message = format!("The filter `{name}` does not take the value `{value}`.");
    Err(Refusal::new(code, message))
}

/// The tag keys that filters go by.
pub(super) fn tag_keys(filters: &[Filter]) -> impl Iterator<Item = &str> {
    filters.iter().flat_map(|filter| {
        let listed = filter.values.iter().filter(|_| filter.name == "tag-key");
        let named = filter.name.strip_prefix("tag:");
        named.into_iter().chain(listed.map(String::as_str))
    })
}

fn check_value(region: &Region, name: &str, value: &str) -> Result<(), Refusal> {
    let (sound, code) = match name {
        "zone" => (region.zone(value).is_some(), "InvalidZone.MismatchRegion"),
        "project-id" => (value.parse::<i64>().is_ok(), "InvalidParameterValue"),
        "host-id" => (has_shape(value, "host-"), "InvalidHostId.Malformed"),
        "vpc-id" => (
            has_shape(value, "vpc-"),
            "InvalidParameterValue.VpcIdMalformed",
        ),
        "subnet-id" => (
            has_shape(value, "subnet-"),
            "InvalidParameterValue.SubnetIdMalformed",
        ),
        "instance-id" => (has_shape(value, "ins-"), "InvalidInstanceId.Malformed"),
        "uuid" => (
            uuid::Uuid::try_parse(value).is_ok(),
            "InvalidParameterValue.UuidMalformed",
        ),
        "security-group-id" => (has_shape(value, "sg-"), "InvalidSgId.Malformed"),
        "private-ip-address" | "public-ip-address" => (
            value.parse::<Ipv4Addr>().is_ok(),
            "InvalidParameterValue.IPAddressMalformed",
        ),
        "ipv6-address" => (
            value.parse::<Ipv6Addr>().is_ok(),
            "InvalidParameterValue.IPv6AddressMalformed",
        ),
        "creation-start-time" | "creation-end-time" => (
            parse_time(value).is_some(),
            "InvalidParameterValue.InvalidTimeFormat",
        ),
        "dedicated-cluster-id"
        | "instance-name"
        | "instance-charge-type"
        | "instance-state"
        | "tag-key"
        | "tag-value" => (true, ""),
        _ => (
            name.len() > "tag:".len() && name.starts_with("tag:"),
            "InvalidFilter",
        ),
    };
    refuse_unless(sound, code, name, value)
}

/// Filters must all match; a filter matches with any of its values.
pub(super) fn matches(machine: &Machine, filters: &[Filter], now: UtcDateTime) -> bool {
    filters
        .iter()
        .all(|filter| matches_one(machine, filter, now))
}

fn matches_one(machine: &Machine, filter: &Filter, now: UtcDateTime) -> bool {
    let fixed = machine.fixed();
    let is = |text: &str| filter.values.iter().any(|value| value == text);
    let any = |texts: &[String]| texts.iter().any(|text| is(text));
    let created = machine.life.created_at();
    let time = |compare: fn(&UtcDateTime, &UtcDateTime) -> bool| {
        let times = filter.values.iter().filter_map(|value| parse_time(value));
        times.into_iter().any(|time| compare(&created, &time))
    };
    match filter.name.as_str() {
        "zone" => is(machine.zone()),
        "project-id" => is(&fixed.placement.project_id.to_string()),
        "host-id" => fixed.placement.host_id.as_deref().is_some_and(is),
        "dedicated-cluster-id" => is(&fixed.dedicated_cluster_id),
        "vpc-id" => is(&fixed.virtual_private_cloud.vpc_id),
        "subnet-id" => is(&fixed.virtual_private_cloud.subnet_id),
        "instance-id" => is(machine.id()),
        "uuid" => is(&fixed.uuid),
        "security-group-id" => any(&fixed.security_group_ids),
        "instance-name" => is(&fixed.instance_name),
        "instance-charge-type" => is(fixed.instance_charge_type),
        "instance-state" => machine
            .life
            .state(now)
            .is_some_and(|state| is(state.as_str())),
        "private-ip-address" => any(&machine.private_addresses(now)),
        "public-ip-address" => any(&machine.public_addresses(now)),
        "creation-start-time" => time(UtcDateTime::ge),
        "creation-end-time" => time(UtcDateTime::le),
        "tag-key" => machine.shown_tags(now).iter().any(|tag| is(&tag.key)),
        "tag-value" => machine.shown_tags(now).iter().any(|tag| is(&tag.value)),
        name => name.strip_prefix("tag:").is_some_and(|key| {
            machine
                .shown_tags(now)
                .iter()
                .any(|tag| tag.key == key && is(&tag.value))
        }),
    }
}

/// `2030-01-31 23:59:59`, taken as UTC.
fn parse_time(text: &str) -> Option<UtcDateTime> {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    UtcDateTime::parse(text, form).ok()
}
