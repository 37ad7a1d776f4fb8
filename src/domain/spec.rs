//! What to launch, in the cloud's own terms; serialised, it is the body of RunInstances.

use crate::domain::secret::{self, Secret};
use serde::Serialize;

/// How a launch is billed that names nothing else (`RunInstances`, `InstanceChargeType`).
pub const CHARGE_TYPE: &str = "POSTPAID_BY_HOUR";

/// The parameters of RunInstances that a caller may set. What is unset is not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_charge_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_charge_prepaid: Option<InstanceChargePrepaid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_disk: Option<SystemDisk>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_disks: Vec<DataDisk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_private_cloud: Option<VirtualPrivateCloud>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_accessible: Option<InternetAccessible>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_settings: Option<LoginSettings>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhanced_service: Option<EnhancedService>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_timer: Option<ActionTimer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disaster_recover_group_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specification: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_market_options: Option<InstanceMarketOptions>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "secret::reveal_some"
    )]
    pub user_data: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_topology: Option<CpuTopology>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cam_role_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hpc_cluster_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_template: Option<LaunchTemplate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedicated_cluster_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chc_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_number: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_api_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_jumbo_frame: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_interfaces: Vec<NetworkInterface>,
}

impl InstanceSpec {
    /// Whether only a launch template knows how the machines are billed.
    #[must_use]
    pub const fn leaves_billing_to_template(&self) -> bool {
        self.launch_template.is_some() && self.instance_charge_type.is_none()
    }
}

/// `InstanceChargePrepaid` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceChargePrepaid {
    pub period: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_flag: Option<String>,
}

/// `Placement` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Placement {
    pub zone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedicated_resource_pack_tenancy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dedicated_resource_pack_ids: Vec<String>,
}

/// `SystemDisk` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SystemDisk {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cdc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

/// `DataDisk` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataDisk {
    pub disk_size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_with_instance: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_performance: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cdc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_performance: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_name: Option<String>,
}

/// `VirtualPrivateCloud` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VirtualPrivateCloud {
    pub vpc_id: String,
    pub subnet_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_vpc_gateway: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_ip_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address_count: Option<u64>,
}

/// `InternetAccessible` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InternetAccessible {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_charge_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_max_bandwidth_out: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip_assigned: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_package_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_service_provider: Option<String>,
    #[serde(rename = "IPv4AddressType")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_address_type: Option<String>,
    #[serde(rename = "IPv6AddressType")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address_type: Option<String>,
    #[serde(rename = "AntiDDoSPackageId")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anti_ddos_package_id: Option<String>,
}

/// `LoginSettings` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoginSettings {
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "secret::reveal_some"
    )]
    pub password: Option<Secret>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_image_login: Option<String>,
}

/// `EnhancedService` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EnhancedService {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_service: Option<RunSecurityServiceEnabled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_service: Option<RunMonitorServiceEnabled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automation_service: Option<RunAutomationServiceEnabled>,
}

/// `RunSecurityServiceEnabled` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunSecurityServiceEnabled {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `RunMonitorServiceEnabled` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunMonitorServiceEnabled {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `RunAutomationServiceEnabled` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunAutomationServiceEnabled {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `ActionTimer` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ActionTimer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timer_action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_time: Option<String>,
}

/// `TagSpecification` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagSpecification {
    pub resource_type: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// `Tag` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// `InstanceMarketOptionsRequest` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceMarketOptions {
    pub spot_options: SpotMarketOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market_type: Option<String>,
}

/// `SpotMarketOptions` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SpotMarketOptions {
    pub max_price: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_instance_type: Option<String>,
}

/// `Metadata` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<MetadataItem>,
}

/// `MetadataItem` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetadataItem {
    pub key: String,
    #[serde(serialize_with = "secret::reveal")]
    pub value: Secret,
}

/// `CpuTopology` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CpuTopology {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_per_core: Option<i64>,
}

/// `LaunchTemplate` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LaunchTemplate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_template_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_template_version: Option<u64>,
}

/// `NetworkInterfaces` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkInterface {
    pub interface_type: String,
    pub vpc_id: String,
    pub subnet_id: String,
    pub private_ipv4_address_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_with_instance: Option<bool>,
}
