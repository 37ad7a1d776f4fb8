//! What rules see of a request: its facts, named as in `schema.cedarschema`.

use crate::domain::instance::OwnedInstances;
use crate::domain::names::Region;
use crate::domain::outlook::{Cost, Size};
use crate::domain::spec::{
    CHARGE_TYPE, DataDisk, InstanceSpec, InternetAccessible, NetworkInterface, SystemDisk,
};
use crate::policy::UnderWay;
use crate::policy::mentioned::Mentioned;
use cedar_policy::RestrictedExpression as Value;
use rust_decimal::{Decimal, RoundingStrategy};
use std::sync::{Arc, Mutex, PoisonError};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

/// More is no price, and no decimal of a rule.
const MONEY_MAX: i64 = 1_000_000_000;

/// The interface that a machine has where its `virtual_private_cloud` says, when that is set.
const PRIMARY: &str = "PRIMARY";

/// The facts of one request, by name.
pub(super) type Facts = Vec<(String, Value)>;

/// The second that was last decided in, as rules see it: Cedar parses the name of the very type each
/// time, which takes a fifth of a decision.
#[derive(Clone, Debug, Default)]
pub(super) struct Second(Arc<Mutex<Option<(UtcDateTime, Value)>>>);

impl Second {
    fn of(&self, now: UtcDateTime) -> Value {
        let second = now.replace_nanosecond(0).unwrap_or(now);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, value)) if *at == second => value.clone(),
            Some(_) | None => {
                // The instant of a decision is between the years 1970 and 9999, which both formats know.
                let text = second.format(&Rfc3339).unwrap_or_default();
                let value = Value::new_datetime(text);
                *last = Some((second, value.clone()));
                value
            }
        }
    }
}

/// How facts are told.
#[derive(Clone, Copy)]
pub(super) struct Telling<'a> {
    pub(super) now: UtcDateTime,
    pub(super) second: &'a Second,
    /// The others are not.
    pub(super) mentioned: &'a Mentioned,
}

/// Of a launch in one of its places.
pub(super) fn launch(
    region: &Region,
    spec: &InstanceSpec,
    size: Option<&Size>,
    telling: Telling<'_>,
) -> Facts {
    let mut facts = Collect::new(telling);
    facts.value("region", || text(region.as_str()));
    what(spec, &mut facts);
    if let Some(size) = size {
        how_big(size, &mut facts);
    }
    disks(spec, &mut facts);
    network(spec, &mut facts);
    access(spec, &mut facts);
    time(&mut facts);
    facts.facts
}

/// Of machines that are to be given back.
pub(super) fn termination(instances: &OwnedInstances, telling: Telling<'_>) -> Facts {
    let mut facts = Collect::new(telling);
    facts.value("region", || text(instances.region.as_str()));
    facts.value("instance_count", || size(instances.ids.len()));
    let ids = instances.ids.iter().map(|id| text(id.as_str()));
    facts.value("instance_ids", || Value::new_set(ids));
    time(&mut facts);
    facts.facts
}

/// Of a launch that is to be ended.
pub(super) fn cancellation(launch: UnderWay<'_>, telling: Telling<'_>) -> Facts {
    let mut facts = Collect::new(telling);
    facts.value("region", || text(launch.region.as_str()));
    facts.value("launched_by", || text(launch.launched_by));
    time(&mut facts);
    facts.facts
}

/// Of what no fact is needed for.
pub(super) fn none() -> Facts {
    Facts::new()
}

struct Collect<'a> {
    telling: Telling<'a>,
    facts: Facts,
}

impl<'a> Collect<'a> {
    fn new(telling: Telling<'a>) -> Self {
        Self {
            telling,
            facts: Facts::new(),
        }
    }

    fn value(&mut self, name: &str, value: impl FnOnce() -> Value) {
        if self.telling.mentioned.has(name) {
            self.facts.push((name.to_owned(), value()));
        }
    }

    fn text(&mut self, name: &str, value: Option<&String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.value(name, || text(value));
        }
    }

    fn number(&mut self, name: &str, value: impl Into<i64>) {
        self.value(name, || Value::new_long(value.into()));
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.value(name, || Value::new_bool(value));
    }

    fn texts<'t>(&mut self, name: &str, values: impl IntoIterator<Item = &'t String>) {
        let values = values.into_iter().map(|value| text(value));
        self.value(name, || Value::new_set(values));
    }
}

/// What is launched, and how it is paid for.
fn what(spec: &InstanceSpec, facts: &mut Collect<'_>) {
    let template = spec.launch_template.is_some();
    let placement = spec.placement.as_ref();
    facts.text("zone", placement.map(|placement| &placement.zone));
    if let Some(project) = placement.and_then(|at| at.project_id) {
        facts.number("project_id", project);
    }
    facts.text("instance_type", spec.instance_type.as_ref());
    let family = spec.instance_type.as_deref().and_then(family);
    facts.text("instance_family", family.as_ref());
    let count = spec.instance_count.unwrap_or(1);
    facts.number("instance_count", count);
    let at_least = spec.min_count.unwrap_or(count);
    facts.number("min_count", at_least);
    let charge_type = spec.instance_charge_type.clone();
    let charge_type = charge_type.or_else(|| (!template).then(|| CHARGE_TYPE.to_owned()));
    facts.text("instance_charge_type", charge_type.as_ref());
    let prepaid = spec.instance_charge_prepaid.as_ref();
    let months = prepaid.map_or(0, |prepaid| prepaid.period);
    facts.number("prepaid_months", months);
    facts.text("image_id", spec.image_id.as_ref());
    facts.flag("launch_template", template);
    facts.flag("dry_run", spec.dry_run.unwrap_or(false));
    facts.flag("action_timer", spec.action_timer.is_some());
    let protected = spec.disable_api_termination.unwrap_or(false);
    facts.flag("disable_api_termination", protected);
    let tags = spec.tag_specification.iter();
    let tags = tags.filter(|tags| tags.resource_type == "instance");
    let tags: Vec<_> = tags.flat_map(|tags| &tags.tags).collect();
    facts.texts("tag_keys", tags.iter().map(|tag| &tag.key));
    let tags = tags.iter().filter_map(|tag| {
        let pair = [("key", &tag.key), ("value", &tag.value)];
        let pair = pair.map(|(name, value)| (name.to_owned(), text(value)));
        Value::new_record(pair).ok()
    });
    facts.value("tags", || Value::new_set(tags));
}

/// The model and its price, as the cloud tells.
fn how_big(size: &Size, facts: &mut Collect<'_>) {
    for (name, value) in [
        ("vcpu", size.vcpu),
        ("memory", size.memory_gib),
        ("gpu", size.gpu),
    ] {
        facts.number(name, value);
    }
    let hourly = size.cost.and_then(Cost::per_hour);
    let monthly = size.cost.map(Cost::per_month);
    for (name, amount) in [("price_per_hour", hourly), ("price_per_month", monthly)] {
        if let Some(amount) = amount {
            facts.value(name, || Value::new_decimal(money(amount)));
        }
    }
}

/// An amount in the digits that a rule's decimals have, rounded up.
fn money(amount: Decimal) -> String {
    let most = Decimal::from(MONEY_MAX);
    let amount = amount.round_dp_with_strategy(4, RoundingStrategy::AwayFromZero);
    format!("{:.4}", amount.min(most))
}

fn disks(spec: &InstanceSpec, facts: &mut Collect<'_>) {
    let system = spec.system_disk.as_ref();
    let kind = |disk: &SystemDisk| disk.disk_type.clone();
    facts.text("system_disk_type", system.and_then(kind).as_ref());
    if let Some(size) = system.and_then(|disk| disk.disk_size) {
        facts.number("system_disk_size", size);
    }
    let data = &spec.data_disks;
    facts.texts(
        "data_disk_types",
        data.iter().filter_map(|disk| disk.disk_type.as_ref()),
    );
    let sizes = data.iter().map(|disk| disk.disk_size);
    let size = sizes.fold(0, i64::saturating_add);
    facts.number("data_disk_size", size);
    let system = system.is_some_and(|disk| disk.encrypt == Some(true));
    let all = |disk: &DataDisk| disk.encrypt == Some(true);
    facts.flag("disks_encrypted", system && data.iter().all(all));
}

fn network(spec: &InstanceSpec, facts: &mut Collect<'_>) {
    networks(spec, facts);
    let interfaces = spec.network_interfaces.iter();
    let further = interfaces.flat_map(|interface| &interface.security_group_ids);
    facts.texts(
        "security_group_ids",
        spec.security_group_ids.iter().chain(further),
    );
    let internet = spec.internet_accessible.as_ref();
    facts.flag("public_ip", internet.is_some_and(is_public));
    let bandwidth = internet.and_then(|internet| internet.internet_max_bandwidth_out);
    facts.number("internet_max_bandwidth_out", bandwidth.unwrap_or(0));
}

/// The ids of a network and a subnet.
type Network<'s> = (&'s String, &'s String);

/// Where the machines are attached: first, and by each of their interfaces.
fn networks(spec: &InstanceSpec, facts: &mut Collect<'_>) {
    let cloud = spec.virtual_private_cloud.as_ref();
    let cloud = cloud.map(|cloud| (&cloud.vpc_id, &cloud.subnet_id));
    let interfaces = &spec.network_interfaces;
    let primary = interfaces.iter().find(|one| one.interface_type == PRIMARY);
    let primary = primary.map(network_of);
    let template = spec.launch_template.is_some();
    facts.text("vpc_id", first(cloud, primary, template, |(vpc, _)| vpc));
    facts.text(
        "subnet_id",
        first(cloud, primary, template, |(_, subnet)| subnet),
    );
    let all = || cloud.into_iter().chain(interfaces.iter().map(network_of));
    facts.texts("vpc_ids", all().map(|(vpc, _)| vpc));
    facts.texts("subnet_ids", all().map(|(_, subnet)| subnet));
    let existing = interfaces.iter();
    let existing = existing.filter_map(|one| one.network_interface_id.as_ref());
    facts.texts("network_interface_ids", existing);
}

/// Where the first interface is, as far as that is known. The contract does not say which of the two stands
/// before the other where they differ, and a launch template may hold a `virtual_private_cloud`.
fn first<'s>(
    cloud: Option<Network<'s>>,
    primary: Option<Network<'s>>,
    template: bool,
    part: impl Fn(Network<'s>) -> &'s String,
) -> Option<&'s String> {
    match (cloud.map(&part), primary.map(&part)) {
        (Some(cloud), Some(primary)) => Some(cloud).filter(|cloud| *cloud == primary),
        (None, Some(primary)) => Some(primary).filter(|_| !template),
        (cloud, None) => cloud,
    }
}

fn network_of(interface: &NetworkInterface) -> Network<'_> {
    (&interface.vpc_id, &interface.subnet_id)
}

fn access(spec: &InstanceSpec, facts: &mut Collect<'_>) {
    let login = spec.login_settings.as_ref();
    facts.texts("key_ids", login.iter().flat_map(|login| &login.key_ids));
    let password = login.is_some_and(|login| login.password.is_some());
    facts.flag("password", password);
    facts.flag("user_data", spec.user_data.is_some());
    facts.text("cam_role_name", spec.cam_role_name.as_ref());
}

fn time(facts: &mut Collect<'_>) {
    let Telling { now, second, .. } = facts.telling;
    facts.value("now", || second.of(now));
    facts.number("hour", now.hour());
    facts.number("weekday", now.weekday().number_from_monday());
}

/// With bandwidth and no word about an address the cloud gives one.
/// Source: `InternetAccessible.PublicIpAssigned` of the contract.
fn is_public(internet: &InternetAccessible) -> bool {
    let bandwidth = internet.internet_max_bandwidth_out.unwrap_or(0);
    let elastic = internet.ipv4_address_type.is_some() || internet.ipv6_address_type.is_some();
    internet.public_ip_assigned.unwrap_or(bandwidth > 0) || elastic
}

fn family(instance_type: &str) -> Option<String> {
    let (family, _) = instance_type.split_once('.')?;
    Some(family.to_owned())
}

fn text(text: &str) -> Value {
    Value::new_string(text.to_owned())
}

fn size(count: usize) -> Value {
    Value::new_long(i64::try_from(count).unwrap_or(i64::MAX))
}
