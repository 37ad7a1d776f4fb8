//! Where, how many and beside what: region, zone, image, template, placement, counts.

use super::{DEFAULT, Limits, check_id, check_ids, check_word, is_id};
use crate::domain::names::Region;
use crate::domain::request::Alternative;
use crate::domain::spec::{InstanceSpec, LaunchTemplate, Placement};
use crate::domain::violation::Violations;

pub(super) fn check(spec: &InstanceSpec, region: &Region, limits: &Limits, out: &mut Violations) {
    let regions = &limits.regions;
    let known = regions.is_empty() || regions.iter().any(|known| known == region.as_str());
    out.unless(known, "region", || {
        format!(
            "{region} is not one of the regions that this gateway launches in: {}",
            regions.join(", ")
        )
    });
    let template = spec.launch_template.is_some();
    let unless_template = || "is required unless spec.launch_template is set".to_owned();
    let (placed, image) = (spec.placement.is_some(), spec.image_id.is_some());
    out.unless(template || placed, "spec.placement", unless_template);
    out.unless(template || image, "spec.image_id", unless_template);
    if let Some(id) = &spec.image_id {
        check_id(id, "img", "spec.image_id", out);
    }
    if let Some(template) = &spec.launch_template {
        check_template(template, out);
    }
    if let Some(placement) = &spec.placement {
        check_placement(placement, region, out);
    }
    if let Some(id) = &spec.hpc_cluster_id {
        check_id(id, "hpc", "spec.hpc_cluster_id", out);
    }
    check_ids(&spec.chc_ids, "chc", "spec.chc_ids", out);
    check_group(spec, out);
}

pub(super) fn check_counts(spec: &InstanceSpec, limits: &Limits, out: &mut Violations) {
    let max = i64::from(limits.instance_count_max);
    let count = spec.instance_count.unwrap_or(1);
    out.unless((1..=max).contains(&count), "spec.instance_count", || {
        format!("must be 1 to {max}, not {count}")
    });
    if let Some(min) = spec.min_count {
        out.unless((1..=count).contains(&min), "spec.min_count", || {
            format!("must be 1 to the instance_count {count}, not {min}")
        });
    }
}

/// `field` is the alternative's own.
pub(super) fn check_alternative(
    spec: &InstanceSpec,
    alternative: &Alternative,
    region: &Region,
    field: &str,
    out: &mut Violations,
) {
    if let Some(zone) = &alternative.zone {
        let field = format!("{field}.zone");
        check_zone(zone, region, &field, out);
        check_interfaces_move(spec, zone, &field, out);
        check_hosts_move(spec, zone, &field, out);
    }
    let subnet = format!("{field}.subnet_id");
    let placed = spec.virtual_private_cloud.as_ref();
    let moved = alternative.zone.is_some() && alternative.subnet_id.is_none();
    check_addresses_move(spec, alternative, field, out);
    let anywhere = placed.is_none_or(|network| network.subnet_id == DEFAULT);
    out.unless(anywhere || !moved, &subnet, || {
        "is required with a zone, for a subnet is in one zone only".to_owned()
    });
    if let Some(id) = &alternative.subnet_id {
        out.unless(placed.is_some(), &subnet, || {
            "needs spec.virtual_private_cloud, whose subnet it replaces".to_owned()
        });
        let chosen = placed.is_some_and(|network| network.vpc_id == DEFAULT);
        let sound =
            (id == DEFAULT && (chosen || placed.is_none())) || is_id(id, "subnet") && !chosen;
        out.unless(sound, &subnet, || match chosen {
            true => "must be DEFAULT, for spec.virtual_private_cloud is".to_owned(),
            false => "must be an id such as subnet-1a2b3c4d".to_owned(),
        });
    }
}

/// Whether a launch that goes to `zone` stays where `spec` is. Where a template says that, nobody knows.
fn stays(spec: &InstanceSpec, zone: &str) -> bool {
    let placed = spec.placement.as_ref();
    placed.is_some_and(|placement| placement.zone == zone)
}

/// Addresses that are chosen are of one subnet, and a subnet is in one zone only.
fn check_addresses_move(
    spec: &InstanceSpec,
    alternative: &Alternative,
    field: &str,
    out: &mut Violations,
) {
    let network = spec.virtual_private_cloud.iter();
    for network in network.filter(|network| !network.private_ip_addresses.is_empty()) {
        let zone = alternative.zone.as_ref();
        let why = "for spec.virtual_private_cloud.private_ip_addresses are of its subnet: leave \
                   them out, or name no other place";
        let here = zone.is_none_or(|zone| stays(spec, zone));
        out.unless(here, &format!("{field}.zone"), || {
            format!("must not be another zone, {why}")
        });
        let subnet = alternative.subnet_id.as_ref();
        let here = subnet.is_none_or(|subnet| *subnet == network.subnet_id);
        out.unless(here, &format!("{field}.subnet_id"), || {
            format!("must not be another subnet, {why}")
        });
    }
}

/// Hosts and clusters of one's own stand in one zone.
fn check_hosts_move(spec: &InstanceSpec, zone: &str, field: &str, out: &mut Violations) {
    let mut placement = spec.placement.iter();
    let hosted = placement.any(|placement| !placement.host_ids.is_empty());
    let stays = stays(spec, zone);
    out.unless(stays || !hosted, field, || {
        "must not be another zone, for spec.placement.host_ids are in one zone only".to_owned()
    });
    out.unless(stays || spec.hpc_cluster_id.is_none(), field, || {
        "must not be another zone, for spec.hpc_cluster_id is in one zone only".to_owned()
    });
}

/// An alternative names one subnet only: those of interfaces stay.
fn check_interfaces_move(spec: &InstanceSpec, zone: &str, field: &str, out: &mut Violations) {
    let stays = stays(spec, zone);
    let mut interfaces = spec.network_interfaces.iter();
    let anywhere = interfaces.all(|interface| interface.subnet_id == DEFAULT);
    out.unless(stays || anywhere, field, || {
        "must not be another zone, for the subnets of spec.network_interfaces are in one zone only: \
         leave it out, or name DEFAULT subnets"
            .to_owned()
    });
}

fn check_zone(zone: &str, region: &Region, field: &str, out: &mut Violations) {
    let rest = zone.strip_prefix(region.as_str());
    let rest = rest.and_then(|rest| rest.strip_prefix('-'));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let sound = rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain));
    out.unless(sound, field, || {
        format!("must be a zone of the region {region}, such as {region}-1")
    });
}

fn check_template(template: &LaunchTemplate, out: &mut Violations) {
    let id = "spec.launch_template.launch_template_id";
    match &template.launch_template_id {
        Some(text) => check_id(text, "lt", id, out),
        None => out.add(id, "is required: a template without an id says nothing"),
    }
    let version = template.launch_template_version;
    out.unless(
        version != Some(0),
        "spec.launch_template.launch_template_version",
        || "must be at least 1; leave it unset for the template's default version".to_owned(),
    );
}

fn check_placement(placement: &Placement, region: &Region, out: &mut Violations) {
    check_zone(&placement.zone, region, "spec.placement.zone", out);
    let project = placement.project_id.unwrap_or(0);
    out.unless(project >= 0, "spec.placement.project_id", || {
        format!("must be 0, the default project, or more, not {project}")
    });
    check_ids(&placement.host_ids, "host", "spec.placement.host_ids", out);
    let packs = "spec.placement.dedicated_resource_pack_ids";
    check_ids(&placement.dedicated_resource_pack_ids, "rpp", packs, out);
    let tenancy = placement.dedicated_resource_pack_tenancy.as_deref();
    let field = "spec.placement.dedicated_resource_pack_tenancy";
    check_word(tenancy, &["ResourcePool"], field, out);
    let packed = !placement.dedicated_resource_pack_ids.is_empty();
    out.unless(tenancy.is_some() || !packed, field, || {
        "is required with dedicated_resource_pack_ids: set ResourcePool".to_owned()
    });
}

/// The placement group, and the partition of it.
fn check_group(spec: &InstanceSpec, out: &mut Violations) {
    let field = "spec.disaster_recover_group_ids";
    let groups = &spec.disaster_recover_group_ids;
    out.unless(groups.len() <= 1, field, || {
        format!("must be one placement group at most, not {}", groups.len())
    });
    check_ids(groups, "ps", field, out);
    if let Some(partition) = spec.partition_number {
        let field = "spec.partition_number";
        out.unless(partition >= 1, field, || {
            format!("must be at least 1, not {partition}")
        });
        let grouped = !groups.is_empty() || spec.launch_template.is_some();
        out.unless(grouped, field, || {
            "needs disaster_recover_group_ids, whose partition it is".to_owned()
        });
    }
}
