//! The actions that the simulator answers, and what carries each out.

use super::wire::{Nothing, Refusal, decode};
use super::world::{Call, World};
use serde::Serialize;
use serde_json::Value;

/// Whose action it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Cvm,
    Cbs,
    Tag,
    Vpc,
    Sts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    RunInstances,
    DescribeInstances,
    DescribeInstancesStatus,
    TerminateInstances,
    InquiryPriceRunInstances,
    DescribeZones,
    DescribeRegions,
    DescribeZoneInstanceConfigInfos,
    DescribeAccountQuota,
    StartInstances,
    StopInstances,
    RebootInstances,
    DescribeInstancesAttributes,
    DescribeImages,
    DescribeInstanceTypeConfigs,
    DescribeInstanceFamilyConfigs,
    DescribeKeyPairs,
    DescribeDisks,
    DescribeResourceTagsByResourceIds,
    DescribeUsedIpAddress,
    DescribeVpcs,
    DescribeSubnets,
    DescribeSecurityGroups,
    AssumeRole,
    AssumeRoleWithWebIdentity,
    GetCallerIdentity,
}

impl Action {
    const ALL: [Self; 26] = [
        Self::RunInstances,
        Self::DescribeInstances,
        Self::DescribeInstancesStatus,
        Self::TerminateInstances,
        Self::InquiryPriceRunInstances,
        Self::DescribeZones,
        Self::DescribeRegions,
        Self::DescribeZoneInstanceConfigInfos,
        Self::DescribeAccountQuota,
        Self::StartInstances,
        Self::StopInstances,
        Self::RebootInstances,
        Self::DescribeInstancesAttributes,
        Self::DescribeImages,
        Self::DescribeInstanceTypeConfigs,
        Self::DescribeInstanceFamilyConfigs,
        Self::DescribeKeyPairs,
        Self::DescribeDisks,
        Self::DescribeResourceTagsByResourceIds,
        Self::DescribeUsedIpAddress,
        Self::DescribeVpcs,
        Self::DescribeSubnets,
        Self::DescribeSecurityGroups,
        Self::AssumeRole,
        Self::AssumeRoleWithWebIdentity,
        Self::GetCallerIdentity,
    ];

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::as_str)
    }

    /// # Errors
    /// `InvalidAction`.
    pub(super) fn parse(name: &str) -> Result<Self, Refusal> {
        let known = Self::ALL.into_iter().find(|action| action.as_str() == name);
        known.ok_or_else(|| {
            let message = format!("The action `{name}` does not exist.");
            Refusal::new("InvalidAction", message)
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::RunInstances => "RunInstances",
            Self::DescribeInstances => "DescribeInstances",
            Self::DescribeInstancesStatus => "DescribeInstancesStatus",
            Self::TerminateInstances => "TerminateInstances",
            Self::InquiryPriceRunInstances => "InquiryPriceRunInstances",
            Self::DescribeZones => "DescribeZones",
            Self::DescribeRegions => "DescribeRegions",
            Self::DescribeZoneInstanceConfigInfos => "DescribeZoneInstanceConfigInfos",
            Self::DescribeAccountQuota => "DescribeAccountQuota",
            Self::StartInstances => "StartInstances",
            Self::StopInstances => "StopInstances",
            Self::RebootInstances => "RebootInstances",
            Self::DescribeInstancesAttributes => "DescribeInstancesAttributes",
            Self::DescribeImages => "DescribeImages",
            Self::DescribeInstanceTypeConfigs => "DescribeInstanceTypeConfigs",
            Self::DescribeInstanceFamilyConfigs => "DescribeInstanceFamilyConfigs",
            Self::DescribeKeyPairs => "DescribeKeyPairs",
            Self::DescribeDisks => "DescribeDisks",
            Self::DescribeResourceTagsByResourceIds => "DescribeResourceTagsByResourceIds",
            Self::DescribeUsedIpAddress => "DescribeUsedIpAddress",
            Self::DescribeVpcs => "DescribeVpcs",
            Self::DescribeSubnets => "DescribeSubnets",
            Self::DescribeSecurityGroups => "DescribeSecurityGroups",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
            Self::GetCallerIdentity => "GetCallerIdentity",
        }
    }

    pub(super) fn has_region(self) -> bool {
        !matches!(self, Self::DescribeRegions)
    }

    pub(super) fn service(self) -> Service {
        match self {
            Self::RunInstances
            | Self::DescribeInstances
            | Self::DescribeInstancesStatus
            | Self::TerminateInstances
            | Self::InquiryPriceRunInstances
            | Self::DescribeZones
            | Self::DescribeRegions
            | Self::DescribeZoneInstanceConfigInfos
            | Self::DescribeAccountQuota
            | Self::StartInstances
            | Self::StopInstances
            | Self::RebootInstances
            | Self::DescribeInstancesAttributes
            | Self::DescribeImages
            | Self::DescribeInstanceTypeConfigs
            | Self::DescribeInstanceFamilyConfigs
            | Self::DescribeKeyPairs => Service::Cvm,
            Self::DescribeDisks => Service::Cbs,
            Self::DescribeResourceTagsByResourceIds => Service::Tag,
            Self::DescribeUsedIpAddress
            | Self::DescribeVpcs
            | Self::DescribeSubnets
            | Self::DescribeSecurityGroups => Service::Vpc,
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity | Self::GetCallerIdentity => {
                Service::Sts
            }
        }
    }

    /// The answer, without its RequestId.
    ///
    /// # Errors
    /// The refusal that the API answers with.
    pub(super) fn carry_out(
        self,
        world: &mut World,
        call: &Call<'_>,
        given: &Value,
    ) -> Result<Value, Refusal> {
        match self {
            Self::RunInstances => answered(world.run_instances(call, &decode(given)?)?),
            Self::DescribeInstances => answered(world.describe_instances(call, &decode(given)?)?),
            Self::DescribeInstancesStatus => {
                answered(world.describe_instances_status(call, &decode(given)?)?)
            }
            Self::TerminateInstances => answered(world.terminate_instances(call, &decode(given)?)?),
            Self::InquiryPriceRunInstances => {
                answered(world.inquiry_price_run_instances(call, decode(given)?)?)
            }
            Self::DescribeZones => {
                let Nothing {} = decode(given)?;
                answered(world.describe_zones(call)?)
            }
            Self::DescribeRegions => {
                let Nothing {} = decode(given)?;
                answered(world.describe_regions())
            }
            Self::DescribeZoneInstanceConfigInfos => {
                answered(world.describe_zone_instance_config_infos(call, &decode(given)?)?)
            }
            Self::DescribeAccountQuota => {
                answered(world.describe_account_quota(call, &decode(given)?)?)
            }
            Self::StartInstances => answered(world.start_instances(call, &decode(given)?)?),
            Self::StopInstances => answered(world.stop_instances(call, &decode(given)?)?),
            Self::RebootInstances => answered(world.reboot_instances(call, &decode(given)?)?),
            Self::DescribeInstancesAttributes => {
                answered(world.describe_instances_attributes(call, &decode(given)?)?)
            }
            Self::DescribeImages => answered(world.describe_images(call, &decode(given)?)?),
            Self::DescribeInstanceTypeConfigs => {
                answered(world.describe_instance_type_configs(call, &decode(given)?)?)
            }
            Self::DescribeInstanceFamilyConfigs => {
                let Nothing {} = decode(given)?;
                answered(world.describe_instance_family_configs(call)?)
            }
            Self::DescribeKeyPairs => answered(world.describe_key_pairs(call, &decode(given)?)?),
            Self::DescribeDisks => world.describe_disks(call, &decode(given)?),
            Self::DescribeResourceTagsByResourceIds => {
                world.describe_resource_tags_by_resource_ids(call, &decode(given)?)
            }
            Self::DescribeUsedIpAddress => world.describe_used_ip_address(call, &decode(given)?),
            Self::DescribeVpcs => world.describe_vpcs(call, &decode(given)?),
            Self::DescribeSubnets => world.describe_subnets(call, &decode(given)?),
            Self::DescribeSecurityGroups => world.describe_security_groups(call, &decode(given)?),
            Self::AssumeRole => world.assume_role(call, &decode(given)?),
            Self::AssumeRoleWithWebIdentity => {
                world.assume_role_with_web_identity(call, &decode(given)?)
            }
            Self::GetCallerIdentity => {
                let Nothing {} = decode(given)?;
                Ok(world.get_caller_identity(call))
            }
        }
    }
}

impl Service {
    pub(super) const ALL: [Self; 5] = [Self::Cvm, Self::Cbs, Self::Tag, Self::Vpc, Self::Sts];

    /// The first label of its hosts, and what scopes of signatures name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cvm => "cvm",
            Self::Cbs => "cbs",
            Self::Tag => "tag",
            Self::Vpc => "vpc",
            Self::Sts => "sts",
        }
    }

    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Cvm | Self::Cbs | Self::Vpc => "2017-03-12",
            Self::Tag | Self::Sts => "2018-08-13",
        }
    }
}

fn answered(answer: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(answer).map_err(|error| Refusal::new("InternalError", error.to_string()))
}
