//! The actions that the simulator answers, and what carries each out.

use super::wire::{Nothing, Refusal, decode};
use super::world::{Call, World};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

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

    /// Reads what the action is asked to do; the world is needed only for what comes of it.
    ///
    /// # Errors
    /// The refusal of parameters that cannot be read.
    pub(super) fn job(self, given: &Value) -> Result<Job, Refusal> {
        match self {
            Self::RunInstances => job(given, |world, call, it| world.run_instances(call, &it)),
            Self::DescribeInstances => {
                job(given, |world, call, it| world.describe_instances(call, &it))
            }
            Self::DescribeInstancesStatus => job(given, |world, call, it| {
                world.describe_instances_status(call, &it)
            }),
            Self::TerminateInstances => job(given, |world, call, it| {
                world.terminate_instances(call, &it)
            }),
            Self::InquiryPriceRunInstances => job(given, |world, call, it| {
                world.inquiry_price_run_instances(call, it)
            }),
            Self::DescribeZones => job(given, |world, call, Nothing {}| world.describe_zones(call)),
            Self::DescribeRegions => job(given, |world, _call, Nothing {}| {
                Ok(world.describe_regions())
            }),
            Self::DescribeZoneInstanceConfigInfos => job(given, |world, call, it| {
                world.describe_zone_instance_config_infos(call, &it)
            }),
            Self::DescribeAccountQuota => job(given, |world, call, it| {
                world.describe_account_quota(call, &it)
            }),
            Self::StartInstances => job(given, |world, call, it| world.start_instances(call, &it)),
            Self::StopInstances => job(given, |world, call, it| world.stop_instances(call, &it)),
            Self::RebootInstances => {
                job(given, |world, call, it| world.reboot_instances(call, &it))
            }
            Self::DescribeInstancesAttributes => job(given, |world, call, it| {
                world.describe_instances_attributes(call, &it)
            }),
            Self::DescribeImages => job(given, |world, call, it| world.describe_images(call, &it)),
            Self::DescribeInstanceTypeConfigs => job(given, |world, call, it| {
                world.describe_instance_type_configs(call, &it)
            }),
            Self::DescribeInstanceFamilyConfigs => job(given, |world, call, Nothing {}| {
                world.describe_instance_family_configs(call)
            }),
            Self::DescribeKeyPairs => {
                job(given, |world, call, it| world.describe_key_pairs(call, &it))
            }
            Self::DescribeDisks => job(given, |world, call, it| world.describe_disks(call, &it)),
            Self::DescribeResourceTagsByResourceIds => job(given, |world, call, it| {
                world.describe_resource_tags_by_resource_ids(call, &it)
            }),
            Self::DescribeUsedIpAddress => job(given, |world, call, it| {
                world.describe_used_ip_address(call, &it)
            }),
            Self::DescribeVpcs => job(given, |world, call, it| world.describe_vpcs(call, &it)),
            Self::DescribeSubnets => {
                job(given, |world, call, it| world.describe_subnets(call, &it))
            }
            Self::DescribeSecurityGroups => job(given, |world, call, it| {
                world.describe_security_groups(call, &it)
            }),
            Self::AssumeRole => job(given, |world, call, it| world.assume_role(call, &it)),
            Self::AssumeRoleWithWebIdentity => job(given, |world, call, it| {
                world.assume_role_with_web_identity(call, &it)
            }),
            Self::GetCallerIdentity => job(given, |world, call, Nothing {}| {
                Ok(world.get_caller_identity(call))
            }),
        }
    }

    /// The answer, without its RequestId.
    ///
    /// # Errors
    /// The refusal that the API answers with.
    #[cfg(any(test, fuzzing))]
    pub(super) fn carry_out(
        self,
        world: &mut World,
        call: &Call<'_>,
        given: &Value,
    ) -> Result<Value, Refusal> {
        let answer = self.job(given)?(world, call)?("");
        let answer: Option<Value> = answer
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok());
        let mut answer = answer.unwrap_or_default();
        let members = answer.pointer_mut("/Response");
        let members = members.and_then(Value::as_object_mut).map(std::mem::take);
        let mut members = members.unwrap_or_default();
        members.remove("RequestId");
        Ok(Value::Object(members))
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

/// What a call wants of the world.
pub(super) type Job = Box<dyn FnOnce(&mut World, &Call<'_>) -> Result<Written, Refusal> + Send>;
/// Writes the whole answer to the call with this RequestId, for which nobody has to wait.
pub(super) type Written = Box<dyn FnOnce(&str) -> serde_json::Result<String> + Send>;

fn job<Q, A>(
    given: &Value,
    run: impl FnOnce(&mut World, &Call<'_>, Q) -> Result<A, Refusal> + Send + 'static,
) -> Result<Job, Refusal>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
{
    let request = decode(given)?;
    Ok(Box::new(move |world, call| {
        let answer = run(world, call, request)?;
        Ok(Box::new(move |request_id| enveloped(&answer, request_id)))
    }))
}

/// The whole answer to a call with this RequestId.
pub(super) fn written(outcome: Result<Written, Refusal>, request_id: &str) -> String {
    let text = outcome.map(|write| write(request_id));
    match text {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => {
            let refusal = Refusal::new("InternalError", error.to_string());
            refused(&refusal, request_id)
        }
        Err(refusal) => refused(&refusal, request_id),
    }
}

/// The whole answer to a call that is refused.
pub(super) fn refused(refusal: &Refusal, request_id: &str) -> String {
    let Refusal { code, message } = refusal;
    let error = json!({"Code": code, "Message": message});
    json!({"Response": {"Error": error, "RequestId": request_id}}).to_string()
}

/// `{"Response":{…,"RequestId":…}}`.
fn enveloped(answer: &impl Serialize, request_id: &str) -> serde_json::Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Envelope<R> {
        response: R,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Response<'a, A> {
        #[serde(flatten)]
        answer: &'a A,
        request_id: &'a str,
    }
    let response = Response { answer, request_id };
    serde_json::to_string(&Envelope { response })
}
