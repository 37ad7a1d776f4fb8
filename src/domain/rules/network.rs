//! Networks, fixed addresses, interfaces, security groups, public bandwidth.

use super::{DEFAULT, check_id, check_ids, check_unique, check_word, is_id};
use crate::domain::spec::{
    InstanceSpec, InternetAccessible, NetworkInterface, VirtualPrivateCloud,
};
use crate::domain::violation::Violations;
use std::net::Ipv4Addr;

/// Addresses that can be fixed in one launch.
const PRIVATE_IPS_MAX: usize = 20;
/// Security groups of one machine, or of one of its interfaces.
const SECURITY_GROUPS_MAX: usize = 5;
/// Private addresses of one interface.
const INTERFACE_ADDRESSES_MAX: i64 = 50;
const CHARGE_TYPES: [&str; 4] = [
    "BANDWIDTH_PREPAID",
    "TRAFFIC_POSTPAID_BY_HOUR",
    "BANDWIDTH_POSTPAID_BY_HOUR",
    "BANDWIDTH_PACKAGE",
];
const PROVIDERS: [&str; 4] = ["BGP", "CMCC", "CTCC", "CUCC"];
const IPV4_KINDS: [&str; 3] = ["WanIP", "HighQualityEIP", "AntiDDoSEIP"];
const IPV6_KINDS: [&str; 2] = ["EIPv6", "HighQualityEIPv6"];

pub(super) fn check(spec: &InstanceSpec, out: &mut Violations) {
    if let Some(network) = &spec.virtual_private_cloud {
        check_cloud(network, spec, out);
    }
    if let Some(internet) = &spec.internet_accessible {
        check_internet(internet, spec.launch_template.is_some(), out);
    }
    check_groups(&spec.security_group_ids, "spec.security_group_ids", out);
    check_interfaces(spec, out);
}

fn check_cloud(network: &VirtualPrivateCloud, spec: &InstanceSpec, out: &mut Violations) {
    let field = "spec.virtual_private_cloud";
    check_pair(&network.vpc_id, &network.subnet_id, field, out);
    let addresses = &network.private_ip_addresses;
    let field = "spec.virtual_private_cloud.private_ip_addresses";
    let given = addresses.len();
    let count = usize::try_from(spec.instance_count.unwrap_or(1)).unwrap_or(0);
    let fits = given == 0 || (given == count && given <= PRIVATE_IPS_MAX);
    out.unless(fits, field, || {
        format!("must be as many as instance_count and at most {PRIVATE_IPS_MAX}, not {given}")
    });
    for (index, address) in addresses.iter().enumerate() {
        let sound = address.parse::<Ipv4Addr>().is_ok();
        out.unless(sound, &format!("{field}[{index}]"), || {
            "must be an IPv4 address such as 10.0.0.8".to_owned()
        });
    }
    check_unique(addresses, field, out);
    let gateway = network.as_vpc_gateway == Some(true);
    let reachable =
        spec.launch_template.is_some() || spec.internet_accessible.as_ref().is_some_and(is_public);
    out.unless(
        !gateway || reachable,
        "spec.virtual_private_cloud.as_vpc_gateway",
        || "needs a public address: set internet_accessible.internet_max_bandwidth_out".to_owned(),
    );
}

/// A network and a subnet: both ids, or both left to the cloud.
fn check_pair(vpc: &str, subnet: &str, field: &str, out: &mut Violations) {
    let subnet_field = format!("{field}.subnet_id");
    out.unless(
        (vpc == DEFAULT) == (subnet == DEFAULT),
        &subnet_field,
        || "must be DEFAULT when, and only when, vpc_id is".to_owned(),
    );
    if vpc != DEFAULT {
        check_id(vpc, "vpc", &format!("{field}.vpc_id"), out);
    }
    if subnet != DEFAULT && vpc != DEFAULT {
        check_id(subnet, "subnet", &subnet_field, out);
    }
}

fn is_public(internet: &InternetAccessible) -> bool {
    let wide = internet.internet_max_bandwidth_out.unwrap_or(0) > 0;
    wide && internet.public_ip_assigned != Some(false)
}

fn check_internet(internet: &InternetAccessible, template: bool, out: &mut Violations) {
    let at = |name: &str| format!("spec.internet_accessible.{name}");
    let bandwidth = internet.internet_max_bandwidth_out;
    out.unless(
        bandwidth.is_none_or(|mbps| mbps >= 0),
        &at("internet_max_bandwidth_out"),
        || "must be 0 or more Mbps".to_owned(),
    );
    // A template may hold the bandwidth.
    let none = bandwidth == Some(0) || (bandwidth.is_none() && !template);
    out.unless(
        !(none && internet.public_ip_assigned == Some(true)),
        &at("public_ip_assigned"),
        || "must not be true while internet_max_bandwidth_out is 0".to_owned(),
    );
    let words: [(&str, &Option<String>, &[&str]); 4] = [
        (
            "internet_charge_type",
            &internet.internet_charge_type,
            &CHARGE_TYPES,
        ),
        (
            "internet_service_provider",
            &internet.internet_service_provider,
            &PROVIDERS,
        ),
        (
            "ipv4_address_type",
            &internet.ipv4_address_type,
            &IPV4_KINDS,
        ),
        (
            "ipv6_address_type",
            &internet.ipv6_address_type,
            &IPV6_KINDS,
        ),
    ];
    for (name, value, words) in words {
        check_word(value.as_deref(), words, &at(name), out);
    }
    if let Some(id) = &internet.bandwidth_package_id {
        check_id(id, "bwp", &at("bandwidth_package_id"), out);
    }
    let shielded = internet.ipv4_address_type.as_deref() == Some("AntiDDoSEIP");
    let package = internet.anti_ddos_package_id.is_some() || template;
    out.unless(!shielded || package, &at("anti_ddos_package_id"), || {
        "is required when ipv4_address_type is AntiDDoSEIP".to_owned()
    });
}

fn check_groups(groups: &[String], field: &str, out: &mut Violations) {
    let count = groups.len();
    out.unless(count <= SECURITY_GROUPS_MAX, field, || {
        format!("must be at most {SECURITY_GROUPS_MAX}, not {count}")
    });
    check_ids(groups, "sg", field, out);
}

fn check_interfaces(spec: &InstanceSpec, out: &mut Violations) {
    let interfaces = &spec.network_interfaces;
    let primary = |interface: &&NetworkInterface| interface.interface_type == "PRIMARY";
    let primaries = interfaces.iter().filter(primary).count();
    out.unless(
        interfaces.is_empty() || primaries == 1,
        "spec.network_interfaces",
        || format!("must have one interface with interface_type PRIMARY, not {primaries}"),
    );
    let alone = spec.instance_count.unwrap_or(1) == 1;
    for (index, interface) in interfaces.iter().enumerate() {
        check_interface(
            interface,
            alone,
            &format!("spec.network_interfaces[{index}]"),
            out,
        );
    }
}

/// `alone`: only one machine is asked for.
fn check_interface(interface: &NetworkInterface, alone: bool, field: &str, out: &mut Violations) {
    let at = |name: &str| format!("{field}.{name}");
    let kind = interface.interface_type.as_str();
    let second = kind != "PRIMARY";
    check_word(
        Some(kind),
        &["PRIMARY", "SECONDARY"],
        &at("interface_type"),
        out,
    );
    check_pair(&interface.vpc_id, &interface.subnet_id, field, out);
    let addresses = interface.private_ipv4_address_count;
    let fits = (1..=INTERFACE_ADDRESSES_MAX).contains(&addresses);
    out.unless(fits, &at("private_ipv4_address_count"), || {
        format!("must be 1 to {INTERFACE_ADDRESSES_MAX}, not {addresses}")
    });
    if let Some(id) = &interface.network_interface_id {
        let sound = second && alone && is_id(id, "eni");
        out.unless(sound, &at("network_interface_id"), || {
            "must be an id such as eni-1a2b3c4d, of a SECONDARY interface, with instance_count 1"
                .to_owned()
        });
    }
    let kept = second || interface.delete_with_instance.is_none();
    out.unless(kept, &at("delete_with_instance"), || {
        "is for SECONDARY interfaces: the PRIMARY one always goes with the instance".to_owned()
    });
    check_groups(
        &interface.security_group_ids,
        &at("security_group_ids"),
        out,
    );
}
