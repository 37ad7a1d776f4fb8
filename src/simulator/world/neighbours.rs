//! What neighbouring services tell of the machines and their networks: disks, tags, addresses.

use super::machine::Machine;
use super::offers::{each_value, passes};
use super::{Call, World, query, region};
use crate::simulator::catalog::{Subnet, Vpc};
use crate::simulator::validate::{has_shape, invalid};
use crate::simulator::wire::{
    DescribeDisks, DescribeResourceTagsByResourceIds, DescribeSecurityGroups, DescribeSubnets,
    DescribeUsedIpAddress, DescribeVpcs, Filter, Refusal,
};
use serde_json::{Value, json};

/// When everything was made that was there before the world began.
const LONG_AGO: &str = "2020-10-22 00:00:00";

impl World {
    pub(in crate::simulator) fn describe_disks(
        &mut self,
        call: &Call<'_>,
        request: &DescribeDisks,
    ) -> Result<Value, Refusal> {
        self.settle(call.now);
        let ids = request.disk_ids.as_deref().unwrap_or_default();
        let known = ["disk-id", "instance-id", "disk-usage", "disk-type", "zone"];
        let filters = checked(request.filters.as_deref(), &known)?;
        exclusive(ids, filters, "DiskIds")?;
        let page = query::Page::new(request.offset, request.limit)?;
        let machines = self.named(call, None)?;
        let disks = machines.into_iter().flat_map(disks);
        let disks = disks.filter(|disk| {
            let text = |member: &str| disk[member].as_str().unwrap_or_default();
            let named = ids.is_empty() || ids.iter().any(|id| id == text("DiskId"));
            let zone = disk.pointer("/Placement/Zone").and_then(Value::as_str);
            named
                && passes(filters, "disk-id", text("DiskId"))
                && passes(filters, "instance-id", text("InstanceId"))
                && passes(filters, "disk-usage", text("DiskUsage"))
                && passes(filters, "disk-type", text("DiskType"))
                && passes(filters, "zone", zone.unwrap_or_default())
        });
        Ok(paged(disks.collect(), page, "DiskSet"))
    }

    pub(in crate::simulator) fn describe_resource_tags_by_resource_ids(
        &mut self,
        call: &Call<'_>,
        request: &DescribeResourceTagsByResourceIds,
    ) -> Result<Value, Refusal> {
        self.settle(call.now);
        let ours = request.service_type == "cvm" && request.resource_prefix == "instance";
        let page = query::Page::new(request.offset, request.limit)?;
        let here = Call {
            region: &request.resource_region,
            ..*call
        };
        let machines = self.named(&here, None)?.into_iter();
        let machines = machines
            .filter(|machine| ours && request.resource_ids.iter().any(|id| id == machine.id()));
        let tags = machines.flat_map(|machine| {
            let tags = machine.shown_tags(call.now).iter();
            tags.map(|tag| {
                json!({
                    "TagKey": tag.key,
                    "TagValue": tag.value,
                    "ResourceId": machine.id(),
                    "ServiceType": "cvm",
                    "Category": "Custom",
                })
            })
        });
        let tags: Vec<_> = tags.collect();
        let total = tags.len();
        let tags: Vec<_> = page.of(tags).collect();
        Ok(json!({
            "TotalCount": total,
            "Offset": request.offset.unwrap_or(0),
            "Limit": request.limit.unwrap_or(query::LIMIT_DEFAULT),
            "Tags": tags,
        }))
    }

    pub(in crate::simulator) fn describe_used_ip_address(
        &mut self,
        call: &Call<'_>,
        request: &DescribeUsedIpAddress,
    ) -> Result<Value, Refusal> {
        self.settle(call.now);
        let filters = checked(request.filters.as_deref(), &["resource-id"])?;
        let page = query::Page::new(request.offset, request.limit)?;
        let vpc = self.catalog.vpc(&request.vpc_id);
        if vpc.is_none_or(|vpc| vpc.region != call.region) {
            let message = format!("The VPC `{}` does not exist.", request.vpc_id);
            return Err(Refusal::new("ResourceNotFound", message));
        }
        let machines = self.named(call, None)?.into_iter();
        let used = machines.filter_map(|machine| {
            let network = &machine.fixed().virtual_private_cloud;
            let address = machine.seat.private_address.to_string();
            let wanted = request.ip_addresses.as_deref().unwrap_or_default();
            let subnet = request.subnet_id.as_deref();
            let asked = network.vpc_id == request.vpc_id
                && subnet.is_none_or(|subnet| subnet == network.subnet_id)
                && (wanted.is_empty() || wanted.contains(&address))
                && passes(filters, "resource-id", machine.id());
            asked.then(|| {
                json!({
                    "VpcId": network.vpc_id,
                    "SubnetId": network.subnet_id,
                    "IpAddress": address,
                    "ResourceType": "CVM",
                    "ResourceId": machine.id(),
                })
            })
        });
        Ok(paged(used.collect(), page, "IpAddressStates"))
    }

    pub(in crate::simulator) fn describe_vpcs(
        &self,
        call: &Call<'_>,
        request: &DescribeVpcs,
    ) -> Result<Value, Refusal> {
        let region = region(&self.catalog, call)?;
        let ids = request.vpc_ids.as_deref().unwrap_or_default();
        let filters = checked(
            request.filters.as_deref(),
            &["vpc-id", "vpc-name", "is-default"],
        )?;
        exclusive(ids, filters, "VpcIds")?;
        let page = query::Page::new(request.offset, request.limit)?;
        let vpcs = self
            .catalog
            .vpcs
            .iter()
            .filter(|vpc| vpc.region == region.id);
        let vpcs = vpcs.filter(|vpc| {
            let default = self.is_default(vpc).to_string();
            (ids.is_empty() || ids.contains(&vpc.id))
                && passes(filters, "vpc-id", &vpc.id)
                && passes(filters, "vpc-name", &vpc.id)
                && passes(filters, "is-default", &default)
        });
        let vpcs = vpcs.map(|vpc| {
            json!({
                "VpcName": vpc.id,
                "VpcId": vpc.id,
                "CidrBlock": "10.0.0.0/8",
                "IsDefault": self.is_default(vpc),
                "EnableMulticast": false,
                "CreatedTime": LONG_AGO,
                "DnsServerSet": ["183.60.83.19", "183.60.82.98"],
                "DomainName": "",
                "DhcpOptionsId": "",
                "EnableDhcp": true,
                "Ipv6CidrBlock": "",
                "TagSet": [],
                "AssistantCidrSet": [],
            })
        });
        Ok(paged(vpcs.collect(), page, "VpcSet"))
    }

    pub(in crate::simulator) fn describe_subnets(
        &mut self,
        call: &Call<'_>,
        request: &DescribeSubnets,
    ) -> Result<Value, Refusal> {
        self.settle(call.now);
        let region = region(&self.catalog, call)?;
        let ids = request.subnet_ids.as_deref().unwrap_or_default();
        let known = ["subnet-id", "vpc-id", "subnet-name", "zone", "is-default"];
        let filters = checked(request.filters.as_deref(), &known)?;
        exclusive(ids, filters, "SubnetIds")?;
        let page = query::Page::new(request.offset, request.limit)?;
        let here = |subnet: &&Subnet| region.zone(&subnet.zone).is_some();
        let subnets = self.catalog.subnets.iter().filter(here);
        let subnets = subnets.filter(|subnet| {
            (ids.is_empty() || ids.contains(&subnet.id))
                && passes(filters, "subnet-id", &subnet.id)
                && passes(filters, "subnet-name", &subnet.id)
                && passes(filters, "vpc-id", &subnet.vpc)
                && passes(filters, "zone", &subnet.zone)
                && passes(filters, "is-default", &subnet.default.to_string())
        });
        let subnets = subnets.map(|subnet| {
            let (left, all) = self.capacity.addresses(&subnet.id);
            json!({
                "VpcId": subnet.vpc,
                "SubnetId": subnet.id,
                "SubnetName": subnet.id,
                "CidrBlock": subnet.cidr.to_string(),
                "IsDefault": subnet.default,
                "EnableBroadcast": false,
                "Zone": subnet.zone,
                "RouteTableId": "",
                "CreatedTime": LONG_AGO,
                "AvailableIpAddressCount": left,
                "Ipv6CidrBlock": "",
                "NetworkAclId": "",
                "IsRemoteVpcSnat": false,
                "TotalIpAddressCount": all,
                "TagSet": [],
            })
        });
        Ok(paged(subnets.collect(), page, "SubnetSet"))
    }

    pub(in crate::simulator) fn describe_security_groups(
        &self,
        call: &Call<'_>,
        request: &DescribeSecurityGroups,
    ) -> Result<Value, Refusal> {
        region(&self.catalog, call)?;
        let ids = request.security_group_ids.as_deref().unwrap_or_default();
        let known = ["security-group-id", "security-group-name", "project-id"];
        let filters = checked(request.filters.as_deref(), &known)?;
        exclusive(ids, filters, "SecurityGroupIds")?;
        if let Some(id) = ids.iter().find(|id| !has_shape(id, "sg-")) {
            return Err(invalid(
                "SecurityGroupIds",
                &format!("holds `{id}`, which is malformed"),
            ));
        }
        let page = query::Page::new(request.offset, request.limit)?;
        let groups = self.catalog.account.security_groups.iter().enumerate();
        let groups = groups.filter(|(_, id)| {
            (ids.is_empty() || ids.contains(id))
                && passes(filters, "security-group-id", id)
                && passes(filters, "security-group-name", id)
                && passes(filters, "project-id", "0")
        });
        let groups = groups.map(|(index, id)| {
            json!({
                "SecurityGroupId": id,
                "SecurityGroupName": id,
                "SecurityGroupDesc": "",
                "ProjectId": "0",
                "IsDefault": index == 0,
                "CreatedTime": LONG_AGO,
                "TagSet": [],
                "UpdateTime": LONG_AGO,
            })
        });
        Ok(paged(groups.collect(), page, "SecurityGroupSet"))
    }

    /// A VPC is a default one when a default subnet is in it.
    fn is_default(&self, vpc: &Vpc) -> bool {
        let mut subnets = self.catalog.subnets.iter();
        subnets.any(|subnet| subnet.default && subnet.vpc == vpc.id)
    }
}

/// The cloud disks of a machine, the system disk first. No extra throughput is a zero: the Terraform provider dies of a null.
fn disks(machine: &Machine) -> Vec<Value> {
    let fixed = machine.fixed();
    let shown = |id: &str,
                 class: &str,
                 size: i64,
                 usage: &str,
                 deleted: bool,
                 encrypt: bool,
                 name: &str,
                 extra: Option<i64>| {
        json!({
            "DiskId": id,
            "DiskType": class,
            "DiskSize": size,
            "DiskUsage": usage,
            "DiskName": name,
            "DiskState": "ATTACHED",
            "DiskChargeType": fixed.instance_charge_type,
            "Attached": true,
            "InstanceId": fixed.instance_id,
            "InstanceIdList": [fixed.instance_id],
            "InstanceType": "CVM",
            "AttachMode": "PF",
            "Portable": usage == "DATA_DISK",
            "DeleteWithInstance": deleted,
            "Encrypt": encrypt,
            "ThroughputPerformance": extra.unwrap_or(0),
            "Placement": {"Zone": fixed.placement.zone, "ProjectId": fixed.placement.project_id},
            "CreateTime": fixed.created_time.replace('T', " ").trim_end_matches('Z'),
            "Tags": fixed.tags,
            "SnapshotAbility": true,
            "SnapshotCount": 0,
            "Shareable": false,
            "Migrating": false,
            "Rollbacking": false,
            "AutoSnapshotPolicyIds": null,
            "IsReturnable": null,
        })
    };
    let system = &fixed.system_disk;
    let first = shown(
        &system.disk_id,
        &system.disk_type,
        system.disk_size,
        "SYSTEM_DISK",
        true,
        system.encrypt,
        &system.disk_name,
        None,
    );
    let data = fixed.data_disks.iter().map(|disk| {
        shown(
            &disk.disk_id,
            &disk.disk_type,
            disk.disk_size,
            "DATA_DISK",
            disk.delete_with_instance,
            disk.encrypt,
            &disk.disk_name,
            disk.throughput_performance,
        )
    });
    let all = std::iter::once(first).chain(data);
    all.filter(|disk| {
        disk["DiskType"]
            .as_str()
            .is_some_and(|class| class.starts_with("CLOUD_"))
    })
    .collect()
}

/// The filters, of which only these are known.
fn checked<'f>(filters: Option<&'f [Filter]>, known: &[&str]) -> Result<&'f [Filter], Refusal> {
    let filters = filters.unwrap_or_default();
    query::bounded(filters, query::INSTANCES)?;
    for (filter, value) in each_value(filters) {
        let sound = known.contains(&filter.name.as_str());
        query::refuse_unless(sound, "InvalidFilter", &filter.name, value)?;
    }
    Ok(filters)
}

fn exclusive(ids: &[String], filters: &[Filter], path: &str) -> Result<(), Refusal> {
    if ids.is_empty() || filters.is_empty() {
        return Ok(());
    }
    let message = format!("`{path}` and `Filters` exclude each other.");
    Err(Refusal::new("InvalidParameter", message))
}

fn paged(all: Vec<Value>, page: query::Page, set: &str) -> Value {
    let total = all.len();
    let shown: Vec<_> = page.of(all).collect();
    json!({"TotalCount": total, set: shown})
}

#[cfg(test)]
mod tests {
    use crate::simulator::world::tests::Fixture;
    use serde_json::{Value, json};

    /// Two machines in the 2020 page's network, with a data disk each and one tag.
    fn cloud() -> (Fixture, Vec<String>) {
        let mut cloud = Fixture::new();
        let ids = cloud.run(json!({
            "InstanceCount": 2,
            "VirtualPrivateCloud": {"VpcId": "vpc-1urkhbj4", "SubnetId": "subnet-tinyaaaa"},
            "DataDisks": [{"DiskSize": 100, "DiskType": "CLOUD_PREMIUM"}],
            "TagSpecification": [{"ResourceType": "instance", "Tags": [{"Key": "env", "Value": "dev"}]}],
        }));
        cloud.after(180);
        (cloud, ids.unwrap())
    }

    fn filter(name: &str, value: &str) -> Value {
        json!({"Filters": [{"Name": name, "Values": [value]}]})
    }

    #[test]
    fn disks_tags_and_addresses_are_those_of_the_machines() {
        let (mut cloud, ids) = cloud();
        let all = cloud.ask("DescribeDisks", &json!({})).unwrap();
        assert_eq!(all["TotalCount"], 4);
        let data = cloud
            .ask("DescribeDisks", &filter("disk-usage", "DATA_DISK"))
            .unwrap();
        assert_eq!(
            (&data["TotalCount"], &data["DiskSet"][0]["DiskSize"]),
            (&json!(2), &json!(100))
        );
        assert_eq!(data["DiskSet"][0]["ThroughputPerformance"], 0);
        let machine = cloud.show(&ids[0]);
        let system = json!({"DiskIds": [machine["SystemDisk"]["DiskId"]]});
        let system = cloud.ask("DescribeDisks", &system).unwrap();
        assert_eq!(system["DiskSet"][0]["InstanceId"], ids[0].as_str());
        assert_eq!(system["DiskSet"][0]["CreateTime"], "2026-11-23 12:00:00");

        let wish = json!({"ServiceType": "cvm", "ResourcePrefix": "instance", "ResourceIds": [ids[0]], "ResourceRegion": "ap-shanghai"});
        let tags = cloud
            .ask("DescribeResourceTagsByResourceIds", &wish)
            .unwrap();
        assert_eq!(
            (&tags["TotalCount"], &tags["Limit"]),
            (&json!(1), &json!(20))
        );
        let tag = &tags["Tags"][0];
        assert_eq!(
            (&tag["TagKey"], &tag["TagValue"]),
            (&json!("env"), &json!("dev"))
        );

        let wish = json!({"VpcId": "vpc-1urkhbj4", "IpAddresses": machine["PrivateIpAddresses"]});
        let used = cloud.ask("DescribeUsedIpAddress", &wish).unwrap();
        assert_eq!(used["IpAddressStates"][0]["ResourceId"], ids[0].as_str());
        assert_eq!(used["TotalCount"], 1);
    }

    #[test]
    fn networks_tell_what_is_left_of_them() {
        let (mut cloud, _) = cloud();
        let vpcs = cloud
            .ask("DescribeVpcs", &json!({"Limit": "1", "Offset": "0"}))
            .unwrap();
        assert_eq!(
            (
                &vpcs["TotalCount"],
                vpcs["VpcSet"].as_array().unwrap().len()
            ),
            (&json!(2), 1)
        );
        assert_eq!(vpcs["VpcSet"][0]["IsDefault"], false);
        let subnets = cloud
            .ask(
                "DescribeSubnets",
                &json!({"SubnetIds": ["subnet-tinyaaaa"]}),
            )
            .unwrap();
        let subnet = &subnets["SubnetSet"][0];
        assert_eq!(subnet["CidrBlock"], "10.0.16.0/29");
        let counts = (
            &subnet["AvailableIpAddressCount"],
            &subnet["TotalIpAddressCount"],
        );
        assert_eq!(counts, (&json!(3), &json!(5)));
        let groups = cloud.ask("DescribeSecurityGroups", &json!({})).unwrap();
        assert_eq!(
            (
                &groups["TotalCount"],
                &groups["SecurityGroupSet"][0]["IsDefault"]
            ),
            (&json!(6), &json!(true))
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let (mut cloud, _) = cloud();
        let both = |ids: &str, id: &str, name: &str| json!({ids: [id], "Filters": [{"Name": name, "Values": [id]}]});
        let rows = [
            ("DescribeDisks", filter("colour", "red"), "InvalidFilter"),
            (
                "DescribeDisks",
                both("DiskIds", "disk-1", "disk-id"),
                "InvalidParameter",
            ),
            (
                "DescribeVpcs",
                both("VpcIds", "vpc-1", "vpc-id"),
                "InvalidParameter",
            ),
            (
                "DescribeSubnets",
                json!({"Limit": 0}),
                "InvalidParameterValue",
            ),
            (
                "DescribeSecurityGroups",
                json!({"SecurityGroupIds": ["group"]}),
                "InvalidParameterValue",
            ),
            ("DescribeUsedIpAddress", json!({}), "MissingParameter"),
            (
                "DescribeUsedIpAddress",
                json!({"VpcId": "vpc-defaulta"}),
                "ResourceNotFound",
            ),
            (
                "DescribeResourceTagsByResourceIds",
                json!({"ServiceType": "cvm"}),
                "MissingParameter",
            ),
        ];
        for (action, body, code) in rows {
            assert_eq!(cloud.ask(action, &body), Err(code), "{action} {body}");
        }
    }
}
