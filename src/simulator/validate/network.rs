//! The network rules of RunInstances: VPC, fixed addresses, interfaces, security groups, bandwidth.

use super::{has_shape, invalid, missing, too_many};
use crate::simulator::catalog::{Catalog, Region, Subnet, Zone};
use crate::simulator::wire::{
    InternetAccessible, NetworkInterface, Refusal, RunInstances, VirtualPrivateCloud, answer,
};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Fixed private addresses of one request (contract §6).
const FIXED_ADDRESSES_MAX: usize = 20;
/// Security groups of one machine.
const SECURITY_GROUPS_MAX: usize = 5;
/// Mbps of the widest model.
const BANDWIDTH_MAX: i64 = 2000;
/// Private addresses that one interface may be given.
const INTERFACE_ADDRESSES: std::ops::RangeInclusive<i64> = 1..=50;

/// Where the machines of an order are attached.
#[derive(Debug)]
pub(crate) struct Network<'c> {
    /// `None` is the classic network, the default of the 2020 page.
    pub(crate) subnet: Option<&'c Subnet>,
    pub(crate) fixed_addresses: Vec<u32>,
    pub(crate) as_vpc_gateway: bool,
    pub(crate) security_groups: Vec<String>,
    pub(crate) internet: answer::InternetAccessible,
}

pub(super) fn network<'c>(
    catalog: &'c Catalog,
    region: &Region,
    zone: &Zone,
    request: &RunInstances,
    count: u32,
) -> Result<Network<'c>, Refusal> {
    let interfaces = request.network_interfaces.as_deref().unwrap_or_default();
    let primary = interfaces_primary(catalog, (region, zone), interfaces, count)?;
    let (subnet, fixed_addresses, as_vpc_gateway) = match &request.virtual_private_cloud {
        None => {
            let primary = primary.map(|subnet| in_zone(subnet, zone)).transpose()?;
            (primary, Vec::new(), false)
        }
        Some(cloud) => {
            let subnet = subnet(catalog, region, zone, cloud)?;
            let fixed = fixed_addresses(subnet, cloud, count)?;
            (Some(subnet), fixed, cloud.as_vpc_gateway.unwrap_or(false))
        }
    };
    let internet = internet(request)?;
    if as_vpc_gateway && !internet.public_ip_assigned {
        let message = "`AsVpcGateway` needs a public address.";
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    Ok(Network {
        subnet,
        fixed_addresses,
        as_vpc_gateway,
        security_groups: security_groups(catalog, request.security_group_ids.as_deref())?,
        internet,
    })
}

fn subnet<'c>(
    catalog: &'c Catalog,
    region: &Region,
    zone: &Zone,
    cloud: &VirtualPrivateCloud,
) -> Result<&'c Subnet, Refusal> {
    if cloud.ipv6_address_count.is_some_and(|count| count > 0) {
        let message = format!("The VPC `{}` has no IPv6.", cloud.vpc_id);
        return Err(Refusal::new(
            "InvalidParameterValue.VpcNotSupportIpv6Address",
            message,
        ));
    }
    let subnet = chosen_subnet(catalog, (region, zone), &cloud.vpc_id, &cloud.subnet_id)?;
    in_zone(subnet, zone)
}

/// The subnet of that name, or the zone's own when it is left to the cloud.
fn chosen_subnet<'c>(
    catalog: &'c Catalog,
    (region, zone): (&Region, &Zone),
    vpc: &str,
    subnet: &str,
) -> Result<&'c Subnet, Refusal> {
    match (vpc, subnet) {
        ("DEFAULT", "DEFAULT") => catalog.default_subnet(&zone.id).ok_or_else(no_subnet),
        ("DEFAULT", _) | (_, "DEFAULT") => {
            let message = "`VpcId` and `SubnetId` must both be DEFAULT or neither.";
            Err(Refusal::new("InvalidParameterCombination", message))
        }
        (vpc, subnet) => named_subnet(catalog, region, vpc, subnet),
    }
}

fn in_zone<'c>(subnet: &'c Subnet, zone: &Zone) -> Result<&'c Subnet, Refusal> {
    if subnet.zone == zone.id {
        return Ok(subnet);
    }
    let message = format!(
        "The subnet `{}` and the instance must be in the same zone.",
        subnet.id
    );
    Err(Refusal::new(
        "InvalidParameterValue.SubnetIdZoneIdNotMatch",
        message,
    ))
}

fn named_subnet<'c>(
    catalog: &'c Catalog,
    region: &Region,
    vpc: &str,
    subnet: &str,
) -> Result<&'c Subnet, Refusal> {
    if !has_shape(vpc, "vpc-") {
        let message = format!("The VPC ID `{vpc}` is malformed.");
        return Err(Refusal::new(
            "InvalidParameterValue.VpcIdMalformed",
            message,
        ));
    }
    if !has_shape(subnet, "subnet-") {
        let message = format!("The subnet ID `{subnet}` is malformed.");
        return Err(Refusal::new(
            "InvalidParameterValue.SubnetIdMalformed",
            message,
        ));
    }
    if catalog
        .vpc(vpc)
        .is_none_or(|found| found.region != region.id)
    {
        let message = format!("The VPC `{vpc}` does not exist in `{}`.", region.id);
        return Err(Refusal::new("InvalidParameterValue.VpcIdNotExist", message));
    }
    let subnet = catalog.subnet(subnet).ok_or_else(no_subnet)?;
    if subnet.vpc != vpc {
        let message = format!("The subnet `{}` is not part of the VPC `{vpc}`.", subnet.id);
        return Err(Refusal::new(
            "InvalidParameterValue.VpcIdSubnetIdNotMatch",
            message,
        ));
    }
    Ok(subnet)
}

fn no_subnet() -> Refusal {
    let message = "The subnet does not exist. Please specify another subnet.";
    Refusal::new("InvalidParameterValue.SubnetNotExist", message)
}

fn fixed_addresses(
    subnet: &Subnet,
    cloud: &VirtualPrivateCloud,
    count: u32,
) -> Result<Vec<u32>, Refusal> {
    let asked = cloud.private_ip_addresses.as_deref().unwrap_or_default();
    if asked.len() > FIXED_ADDRESSES_MAX {
        return Err(too_many(
            "VirtualPrivateCloud.PrivateIpAddresses",
            FIXED_ADDRESSES_MAX,
        ));
    }
    if !asked.is_empty() && u32::try_from(asked.len()) != Ok(count) {
        let message = "`InstanceCount` must be the number of `PrivateIpAddresses`.";
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    let mut seen = BTreeSet::new();
    let read = |text: &String| {
        let address: Ipv4Addr = text.parse().ok().ok_or_else(|| {
            let message = format!("`{text}` is not an IPv4 address.");
            Refusal::new("InvalidParameter.InvalidIpFormat", message)
        })?;
        let address = u32::from(address);
        if !subnet.cidr.usable().contains(&address) {
            let message = format!("The address {text} is not in the subnet `{}`.", subnet.id);
            return Err(Refusal::new("VpcAddrNotInSubNet", message));
        }
        if !seen.insert(address) {
            let message = format!("The address {text} is given twice.");
            return Err(Refusal::new("InvalidParameterValue.Duplicate", message));
        }
        Ok(address)
    };
    asked.iter().map(read).collect()
}

/// The subnet of the PRIMARY interface, when interfaces are given.
fn interfaces_primary<'c>(
    catalog: &'c Catalog,
    place: (&Region, &Zone),
    interfaces: &[NetworkInterface],
    count: u32,
) -> Result<Option<&'c Subnet>, Refusal> {
    let (mut primaries, mut vpcs) = (Vec::new(), BTreeSet::new());
    for interface in interfaces {
        let kind = interface.interface_type.as_str();
        if !["PRIMARY", "SECONDARY"].contains(&kind) {
            return Err(invalid(
                "NetworkInterfaces.InterfaceType",
                "must be PRIMARY or SECONDARY",
            ));
        }
        existing_interface(interface, count)?;
        if !INTERFACE_ADDRESSES.contains(&interface.private_ipv4_address_count) {
            return Err(invalid(
                "NetworkInterfaces.PrivateIpv4AddressCount",
                "must be 1 to 50",
            ));
        }
        if kind == "PRIMARY" && interface.delete_with_instance.is_some() {
            return Err(invalid(
                "NetworkInterfaces.DeleteWithInstance",
                "is for SECONDARY interfaces",
            ));
        }
        security_groups(catalog, interface.security_group_ids.as_deref())?;
        let subnet = chosen_subnet(catalog, place, &interface.vpc_id, &interface.subnet_id);
        let subnet = subnet.ok().ok_or_else(|| {
            let message = "The VPC or subnet of a network interface does not exist.";
            Refusal::new(
                "InvalidParameterValue.InvalidVpcIdSubnetIdNotFound",
                message,
            )
        })?;
        vpcs.insert(&subnet.vpc);
        if kind == "PRIMARY" {
            primaries.push(subnet);
        }
    }
    if vpcs.len() > 1 {
        let message = "All network interfaces must be in one VPC.";
        return Err(Refusal::new(
            "InvalidParameterValue.ElasticNetworkVpcSubnetMismatch",
            message,
        ));
    }
    match (primaries.as_slice(), interfaces.is_empty()) {
        ([], true) => Ok(None),
        ([only], _) => Ok(Some(only)),
        _ => Err(invalid(
            "NetworkInterfaces",
            "must hold exactly one PRIMARY interface",
        )),
    }
}

/// The fake account has no interfaces of its own to attach.
fn existing_interface(interface: &NetworkInterface, count: u32) -> Result<(), Refusal> {
    if interface.network_interface_id.is_none() {
        return Ok(());
    }
    if count > 1 {
        let message = "An existing network interface needs an `InstanceCount` of 1.";
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    let message = "The network interface does not exist.";
    Err(Refusal::new(
        "InvalidParameterValue.ElasticNetworkNotExist",
        message,
    ))
}

fn security_groups(catalog: &Catalog, ids: Option<&[String]>) -> Result<Vec<String>, Refusal> {
    let known = &catalog.account.security_groups;
    let ids = ids.unwrap_or_default();
    if ids.is_empty() {
        return Ok(known.first().cloned().into_iter().collect());
    }
    if ids.len() > SECURITY_GROUPS_MAX {
        let message = format!("More than {SECURITY_GROUPS_MAX} security groups.");
        return Err(Refusal::new("LimitExceeded.SingleUSGQuota", message));
    }
    match ids.iter().find(|id| !known.contains(*id)) {
        None => Ok(ids.to_vec()),
        Some(id) => {
            let message = format!("The security group `{id}` does not exist.");
            Err(Refusal::new("InvalidSecurityGroupId.NotFound", message))
        }
    }
}

pub(super) fn internet(request: &RunInstances) -> Result<answer::InternetAccessible, Refusal> {
    let asked = request.internet_accessible.clone().unwrap_or_default();
    refuse_unknown_lines(&asked)?;
    let bandwidth = asked.internet_max_bandwidth_out.unwrap_or(0);
    if !(0..=BANDWIDTH_MAX).contains(&bandwidth) {
        let message = format!(
            "`InternetAccessible.InternetMaxBandwidthOut` must be 0 to {BANDWIDTH_MAX} Mbps."
        );
        return Err(Refusal::new("InvalidParameterValue.Range", message));
    }
    let public_ip_assigned = asked.public_ip_assigned.unwrap_or(bandwidth > 0);
    if public_ip_assigned && bandwidth == 0 {
        let message = "`PublicIpAssigned` must not be true with a bandwidth of 0.";
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    Ok(answer::InternetAccessible {
        internet_charge_type: charge_type(asked.internet_charge_type, request)?,
        internet_max_bandwidth_out: bandwidth,
        public_ip_assigned,
    })
}

/// How the line is paid: by default as the machine is, ahead or by the hour.
fn charge_type(asked: Option<String>, request: &RunInstances) -> Result<String, Refusal> {
    const TYPES: [&str; 4] = [
        "BANDWIDTH_POSTPAID_BY_HOUR",
        "BANDWIDTH_PREPAID",
        "TRAFFIC_POSTPAID_BY_HOUR",
        "BANDWIDTH_PACKAGE",
    ];
    let like_machine = match request.instance_charge_type.as_deref() {
        Some("PREPAID") => "BANDWIDTH_PREPAID",
        Some(_) | None => "BANDWIDTH_POSTPAID_BY_HOUR",
    };
    let charge_type = asked.unwrap_or_else(|| like_machine.to_owned());
    if TYPES.contains(&charge_type.as_str()) {
        return Ok(charge_type);
    }
    Err(invalid(
        "InternetAccessible.InternetChargeType",
        "is not a charge type",
    ))
}

/// Lines, packages and address kinds that an account must be allowed first; the fake one is not.
fn refuse_unknown_lines(asked: &InternetAccessible) -> Result<(), Refusal> {
    if let Some(id) = &asked.bandwidth_package_id {
        let code = if has_shape(id, "bwp-") {
            "InvalidParameterValue.BandwidthPackageIdNotFound"
        } else {
            "InvalidParameterValue.BandwidthPackageIdMalformed"
        };
        return Err(Refusal::new(
            code,
            format!("The bandwidth package `{id}` does not exist."),
        ));
    }
    if asked
        .internet_service_provider
        .as_deref()
        .is_some_and(|line| line != "BGP")
    {
        let message = "Other lines than BGP are for accounts on the allow list.";
        return Err(Refusal::new(
            "InvalidParameter.SpecialParameterForSpecialAccount",
            message,
        ));
    }
    match (
        asked.ipv4_address_type.as_deref(),
        &asked.anti_ddos_package_id,
    ) {
        (Some("AntiDDoSEIP"), None) => Err(missing("InternetAccessible.AntiDDoSPackageId")),
        (None | Some("WanIP" | "HighQualityEIP" | "AntiDDoSEIP"), _) => Ok(()),
        (Some(_), _) => Err(invalid(
            "InternetAccessible.IPv4AddressType",
            "is not an address type",
        )),
    }?;
    match asked.ipv6_address_type.as_deref() {
        None | Some("EIPv6" | "HighQualityEIPv6") => Ok(()),
        Some(_) => Err(invalid(
            "InternetAccessible.IPv6AddressType",
            "is not an address type",
        )),
    }
}
