//! The API's own request bodies, decoded as strictly as the API does, and its refusals.

pub(super) mod answer;
mod decode;
mod form;
mod listings;
mod neighbours;
mod offers;

pub(super) use listings::{
    DescribeImages, DescribeInstancesAttributes, DescribeKeyPairs, RebootInstances, StartInstances,
    StopInstances,
};
pub(super) use neighbours::{
    AssumeRole, AssumeRoleWithWebIdentity, DescribeDisks, DescribeResourceTagsByResourceIds,
    DescribeSecurityGroups, DescribeSubnets, DescribeUsedIpAddress, DescribeVpcs,
};
pub(super) use offers::{Filtered, InquiryPriceRunInstances};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;

/// A refusal in the API's words: `{"Error":{"Code":…,"Message":…}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message }
    }

    /// For tables of tests.
    #[cfg(test)]
    pub(super) fn into_code(self) -> &'static str {
        match self.code {
            Cow::Borrowed(code) => code,
            Cow::Owned(code) => code.leak(),
        }
    }
}

/// The parameters of a call, as JSON.
///
/// # Errors
/// `InvalidParameter` when they are none.
pub(super) fn json(body: &[u8]) -> Result<Value, Refusal> {
    let parameters = serde_json::from_slice(body).ok();
    parameters
        .ok_or_else(|| Refusal::new("InvalidParameter", "The request body is not valid JSON."))
}

/// The parameters of a call, from their flattened form.
///
/// # Errors
/// `InvalidParameter` when a name is nested too deep.
pub(super) fn flattened(pairs: Vec<(String, String)>) -> Result<Value, Refusal> {
    form::nest(pairs).ok_or_else(|| {
        let message = "The name of a parameter is nested too deep.";
        Refusal::new("InvalidParameter", message)
    })
}

/// Decodes the parameters of an action.
///
/// # Errors
/// `UnknownParameter`, `MissingParameter` or `InvalidParameter`, naming the path.
pub(super) fn decode<T: DeserializeOwned>(body: &Value) -> Result<T, Refusal> {
    decode::decode(body)
}

/// RunInstances. Members that the API only ever answers (DiskId, HostId, …) are unknown here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct RunInstances {
    pub(super) instance_charge_type: Option<String>,
    pub(super) instance_charge_prepaid: Option<InstanceChargePrepaid>,
    pub(super) placement: Option<Placement>,
    pub(super) instance_type: Option<String>,
    pub(super) image_id: Option<String>,
    pub(super) system_disk: Option<SystemDisk>,
    pub(super) data_disks: Option<Vec<DataDisk>>,
    pub(super) virtual_private_cloud: Option<VirtualPrivateCloud>,
    pub(super) internet_accessible: Option<InternetAccessible>,
    pub(super) instance_count: Option<i64>,
    pub(super) min_count: Option<i64>,
    pub(super) instance_name: Option<String>,
    pub(super) login_settings: Option<LoginSettings>,
    pub(super) security_group_ids: Option<Vec<String>>,
    #[expect(dead_code, reason = "agents make no difference to a fake machine")]
    enhanced_service: Option<EnhancedService>,
    pub(super) client_token: Option<String>,
    pub(super) host_name: Option<String>,
    pub(super) action_timer: Option<ActionTimer>,
    pub(super) disaster_recover_group_ids: Option<Vec<String>>,
    pub(super) tag_specification: Option<Vec<TagSpecification>>,
    pub(super) instance_market_options: Option<InstanceMarketOptions>,
    pub(super) user_data: Option<String>,
    pub(super) metadata: Option<Metadata>,
    pub(super) dry_run: Option<bool>,
    pub(super) cpu_topology: Option<CpuTopology>,
    pub(super) cam_role_name: Option<String>,
    pub(super) hpc_cluster_id: Option<String>,
    pub(super) launch_template: Option<LaunchTemplate>,
    pub(super) dedicated_cluster_id: Option<String>,
    pub(super) chc_ids: Option<Vec<String>>,
    pub(super) partition_number: Option<i64>,
    pub(super) disable_api_termination: Option<bool>,
    pub(super) enable_jumbo_frame: Option<bool>,
    pub(super) network_interfaces: Option<Vec<NetworkInterface>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct InstanceChargePrepaid {
    pub(super) period: i64,
    pub(super) renew_flag: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Placement {
    pub(super) zone: String,
    pub(super) project_id: Option<i64>,
    pub(super) host_ids: Option<Vec<String>>,
    pub(super) dedicated_resource_pack_tenancy: Option<String>,
    pub(super) dedicated_resource_pack_ids: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct SystemDisk {
    pub(super) disk_type: Option<String>,
    pub(super) disk_size: Option<i64>,
    pub(super) cdc_id: Option<String>,
    pub(super) disk_name: Option<String>,
    pub(super) encrypt: Option<bool>,
    pub(super) kms_key_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DataDisk {
    pub(super) disk_size: i64,
    pub(super) disk_type: Option<String>,
    pub(super) delete_with_instance: Option<bool>,
    pub(super) snapshot_id: Option<String>,
    pub(super) encrypt: Option<bool>,
    pub(super) kms_key_id: Option<String>,
    pub(super) throughput_performance: Option<i64>,
    pub(super) cdc_id: Option<String>,
    pub(super) burst_performance: Option<bool>,
    pub(super) disk_name: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct VirtualPrivateCloud {
    pub(super) vpc_id: String,
    pub(super) subnet_id: String,
    pub(super) as_vpc_gateway: Option<bool>,
    pub(super) private_ip_addresses: Option<Vec<String>>,
    pub(super) ipv6_address_count: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct InternetAccessible {
    pub(super) internet_charge_type: Option<String>,
    pub(super) internet_max_bandwidth_out: Option<i64>,
    pub(super) public_ip_assigned: Option<bool>,
    pub(super) bandwidth_package_id: Option<String>,
    pub(super) internet_service_provider: Option<String>,
    #[serde(rename = "IPv4AddressType")]
    pub(super) ipv4_address_type: Option<String>,
    #[serde(rename = "IPv6AddressType")]
    pub(super) ipv6_address_type: Option<String>,
    #[serde(rename = "AntiDDoSPackageId")]
    pub(super) anti_ddos_package_id: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct LoginSettings {
    pub(super) password: Option<secrecy::SecretString>,
    pub(super) key_ids: Option<Vec<String>>,
    pub(super) keep_image_login: Option<String>,
}

/// Decoded for its shape only.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(dead_code, reason = "agents make no difference to a fake machine")]
struct EnhancedService {
    security_service: Option<Enabled>,
    monitor_service: Option<Enabled>,
    automation_service: Option<Enabled>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(dead_code, reason = "agents make no difference to a fake machine")]
struct Enabled {
    enabled: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ActionTimer {
    pub(super) timer_action: Option<String>,
    pub(super) action_time: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TagSpecification {
    pub(super) resource_type: String,
    pub(super) tags: Vec<answer::Tag>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct InstanceMarketOptions {
    pub(super) spot_options: SpotOptions,
    pub(super) market_type: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct SpotOptions {
    pub(super) max_price: String,
    pub(super) spot_instance_type: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Metadata {
    pub(super) items: Vec<answer::MetadataItem>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CpuTopology {
    pub(super) core_count: Option<i64>,
    pub(super) thread_per_core: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct LaunchTemplate {
    pub(super) launch_template_id: Option<String>,
    pub(super) launch_template_version: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct NetworkInterface {
    pub(super) interface_type: String,
    pub(super) vpc_id: String,
    pub(super) subnet_id: String,
    pub(super) private_ipv4_address_count: i64,
    pub(super) network_interface_id: Option<String>,
    pub(super) security_group_ids: Option<Vec<String>>,
    pub(super) delete_with_instance: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeInstances {
    pub(super) instance_ids: Option<Vec<String>>,
    pub(super) filters: Option<Vec<Filter>>,
    pub(super) offset: Option<i64>,
    pub(super) limit: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeInstancesStatus {
    pub(super) instance_ids: Option<Vec<String>>,
    pub(super) offset: Option<i64>,
    pub(super) limit: Option<i64>,
}

/// The two release switches are decoded for their shape only: nothing here outlives a machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TerminateInstances {
    pub(super) instance_ids: Vec<String>,
    #[expect(dead_code, reason = "a fake address is always released")]
    release_address: Option<bool>,
    #[expect(dead_code, reason = "a fake disk always goes with its machine")]
    release_prepaid_data_disks: Option<bool>,
}

/// Some actions take nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A body with every request member of `path`'s object, each with a value of its type.
    fn sample(contract: &Value, object: &str) -> Value {
        let members = contract["objects"][object]["members"].as_array().unwrap();
        let sample = members
            .iter()
            .filter(|member| member["direction"] != "out")
            .map(|member| {
                let value = of_type(contract, member["type"].as_str().unwrap());
                (member["name"].as_str().unwrap().to_owned(), value)
            });
        Value::Object(sample.collect())
    }

    fn of_type(contract: &Value, kind: &str) -> Value {
        let element = kind
            .strip_prefix("array<")
            .and_then(|kind| kind.strip_suffix('>'));
        match (kind, element) {
            (_, Some(element)) => json!([of_type(contract, element)]),
            ("string", _) => json!("x"),
            ("int64" | "uint64", _) => json!(1),
            ("bool", _) => json!(true),
            (object, _) => sample(contract, object),
        }
    }

    fn contract() -> Value {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/testdata/contract/cvm-contract.json"
        );
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn every_request_member_of_the_contract_decodes() {
        let contract = contract();
        decode::<RunInstances>(&sample(&contract, "RunInstancesRequest")).unwrap();
        decode::<DescribeInstances>(&sample(&contract, "DescribeInstancesRequest")).unwrap();
        decode::<DescribeInstancesStatus>(&sample(&contract, "DescribeInstancesStatusRequest"))
            .unwrap();
        decode::<TerminateInstances>(&sample(&contract, "TerminateInstancesRequest")).unwrap();
        decode::<InquiryPriceRunInstances>(&sample(&contract, "InquiryPriceRunInstancesRequest"))
            .unwrap();
        decode::<DescribeImages>(&sample(&contract, "DescribeImagesRequest")).unwrap();
        for action in [
            "DescribeZoneInstanceConfigInfos",
            "DescribeAccountQuota",
            "DescribeInstanceTypeConfigs",
        ] {
            decode::<Filtered>(&sample(&contract, &format!("{action}Request"))).unwrap();
        }
    }

    #[test]
    fn a_body_of_the_wrong_shape_is_refused_with_its_path() {
        let rows = [
            (json!({"Imageid": "x"}), "UnknownParameter", "`Imageid`"),
            (
                json!({"DataDisks": [{"DiskSize": 10}, {"DiskSize": 10, "DiskId": "disk-1"}]}),
                "UnknownParameter",
                "`DataDisks.1.DiskId`",
            ),
            (
                json!({"Placement": {"ProjectId": 0}}),
                "MissingParameter",
                "`Placement.Zone`",
            ),
            (
                json!({"DataDisks": [{}]}),
                "MissingParameter",
                "`DataDisks.0.DiskSize`",
            ),
            (
                json!({"InstanceCount": "many"}),
                "InvalidParameter",
                "`InstanceCount`",
            ),
            (
                json!({"InstanceCount": 1.5}),
                "InvalidParameter",
                "`InstanceCount`",
            ),
            (
                json!({"SecurityGroupIds": "sg-1"}),
                "InvalidParameter",
                "`SecurityGroupIds`",
            ),
            (
                json!({"SecurityGroupIds": [1]}),
                "InvalidParameter",
                "`SecurityGroupIds.0`",
            ),
            (
                json!({"VirtualPrivateCloud": {"VpcId": "v", "SubnetId": "s", "Ipv6AddressCount": -1}}),
                "InvalidParameter",
                "`VirtualPrivateCloud.Ipv6AddressCount`",
            ),
            (
                json!({"Placement": "ap-shanghai-2"}),
                "InvalidParameter",
                "`Placement`",
            ),
            (json!({"DryRun": "maybe"}), "InvalidParameter", "`DryRun`"),
            (json!([]), "InvalidParameter", "request body"),
        ];
        for (body, code, path) in rows {
            let refusal = decode::<RunInstances>(&body).unwrap_err();
            assert_eq!(refusal.code, code, "{body}");
            assert!(
                refusal.message.contains(path),
                "{body}: {}",
                refusal.message
            );
        }
    }

    #[test]
    fn strings_become_numbers_and_booleans_and_null_means_absent() {
        let body = json!({"InstanceCount": "10", "DryRun": "TRUE", "ImageId": null});
        let request: RunInstances = decode(&body).unwrap();
        assert_eq!(
            (request.instance_count, request.dry_run),
            (Some(10), Some(true))
        );
        assert!(request.image_id.is_none());
    }
}
