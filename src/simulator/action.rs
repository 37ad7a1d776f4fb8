//! The actions that the simulator answers, and what carries each out.

use super::wire::{Nothing, Refusal, decode};
use super::world::{Call, World};
use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug)]
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
}

impl Action {
    const ALL: [Self; 17] = [
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
    ];

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
        }
    }

    pub(super) fn has_region(self) -> bool {
        !matches!(self, Self::DescribeRegions)
    }

    /// The answer, without its RequestId.
    ///
    /// # Errors
    /// The refusal that the API answers with.
    pub(super) fn carry_out(
        self,
        world: &mut World,
        call: &Call<'_>,
        parameters: &Value,
    ) -> Result<Value, Refusal> {
        match self {
            Self::RunInstances => answered(world.run_instances(call, &decode(parameters)?)?),
            Self::DescribeInstances => {
                answered(world.describe_instances(call, &decode(parameters)?)?)
            }
            Self::DescribeInstancesStatus => {
                answered(world.describe_instances_status(call, &decode(parameters)?)?)
            }
            Self::TerminateInstances => {
                answered(world.terminate_instances(call, &decode(parameters)?)?)
            }
            Self::InquiryPriceRunInstances => {
                answered(world.inquiry_price_run_instances(call, decode(parameters)?)?)
            }
            Self::DescribeZones => {
                let Nothing {} = decode(parameters)?;
                answered(world.describe_zones(call)?)
            }
            Self::DescribeRegions => {
                let Nothing {} = decode(parameters)?;
                answered(world.describe_regions())
            }
            Self::DescribeZoneInstanceConfigInfos => {
                answered(world.describe_zone_instance_config_infos(call, &decode(parameters)?)?)
            }
            Self::DescribeAccountQuota => {
                answered(world.describe_account_quota(call, &decode(parameters)?)?)
            }
            Self::StartInstances => answered(world.start_instances(call, &decode(parameters)?)?),
            Self::StopInstances => answered(world.stop_instances(call, &decode(parameters)?)?),
            Self::RebootInstances => answered(world.reboot_instances(call, &decode(parameters)?)?),
            Self::DescribeInstancesAttributes => {
                answered(world.describe_instances_attributes(call, &decode(parameters)?)?)
            }
            Self::DescribeImages => answered(world.describe_images(call, &decode(parameters)?)?),
            Self::DescribeInstanceTypeConfigs => {
                answered(world.describe_instance_type_configs(call, &decode(parameters)?)?)
            }
            Self::DescribeInstanceFamilyConfigs => {
                let Nothing {} = decode(parameters)?;
                answered(world.describe_instance_family_configs(call)?)
            }
            Self::DescribeKeyPairs => {
                answered(world.describe_key_pairs(call, &decode(parameters)?)?)
            }
        }
    }
}

fn answered(answer: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(answer).map_err(|error| Refusal::new("InternalError", error.to_string()))
}
