//! The API's own answer bodies, with explicit nulls where the API sends them.

mod listings;
mod offers;

pub(crate) use listings::{
    Attributes, Image, Images, InstanceAttributes, InstanceFamilies, InstanceFamily,
    InstanceTypeConfig, InstanceTypeConfigs, InstancesAttributes, KeyPair, KeyPairs,
};
pub(crate) use offers::{
    AccountQuota, AccountQuotaAnswer, AccountQuotaOverview, Externals, GroupQuota, ImageQuota,
    InstanceTypeQuota, InstanceTypeQuotas, ItemPrice, LocalDiskType, PrePaidQuota, Price,
    PriceAnswer, ZoneQuota,
};

use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;

/// RunInstances; a dry run answers no ids.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Launched {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance_id_set: Option<Vec<String>>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Instances {
    pub(crate) total_count: usize,
    pub(crate) instance_set: Vec<Instance>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceStatuses {
    pub(crate) total_count: usize,
    pub(crate) instance_status_set: Vec<InstanceStatus>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceStatus {
    pub(crate) instance_id: String,
    pub(crate) instance_state: State,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Zones {
    pub(crate) total_count: usize,
    pub(crate) zone_set: Vec<Zone>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Zone {
    pub(crate) zone: String,
    pub(crate) zone_name: String,
    pub(crate) zone_id: String,
    pub(crate) zone_state: &'static str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Regions {
    pub(crate) total_count: usize,
    pub(crate) region_set: Vec<Region>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Region {
    pub(crate) region: String,
    pub(crate) region_name: String,
    pub(crate) region_state: &'static str,
}

/// TerminateInstances: nothing but the RequestId of the envelope.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Nothing {}

/// The states that this world knows, in the API's spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Pending,
    Running,
    LaunchFailed,
    Stopping,
    Stopped,
    Starting,
    Rebooting,
    Shutdown,
    Terminating,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::LaunchFailed => "LAUNCH_FAILED",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Rebooting => "REBOOTING",
            Self::Shutdown => "SHUTDOWN",
            Self::Terminating => "TERMINATING",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct MetadataItem {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// One machine of DescribeInstances, all 50 members in the contract's order.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Instance {
    pub(crate) placement: Placement,
    pub(crate) instance_id: String,
    pub(crate) instance_type: String,
    #[serde(rename = "CPU")]
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    pub(crate) restrict_state: &'static str,
    pub(crate) instance_name: String,
    pub(crate) instance_charge_type: &'static str,
    pub(crate) system_disk: SystemDisk,
    pub(crate) data_disks: Vec<DataDisk>,
    pub(crate) private_ip_addresses: Vec<String>,
    pub(crate) public_ip_addresses: Option<Vec<String>>,
    pub(crate) internet_accessible: InternetAccessible,
    pub(crate) virtual_private_cloud: VirtualPrivateCloud,
    pub(crate) image_id: String,
    pub(crate) renew_flag: Option<String>,
    pub(crate) created_time: String,
    pub(crate) expired_time: Option<String>,
    pub(crate) os_name: String,
    pub(crate) security_group_ids: Vec<String>,
    pub(crate) login_settings: LoginSettings,
    pub(crate) instance_state: State,
    pub(crate) tags: Vec<Tag>,
    pub(crate) stop_charging_mode: &'static str,
    pub(crate) uuid: String,
    pub(crate) latest_operation: Option<&'static str>,
    pub(crate) latest_operation_state: Option<&'static str>,
    pub(crate) latest_operation_request_id: Option<String>,
    pub(crate) disaster_recover_group_id: String,
    #[serde(rename = "IPv6Addresses")]
    pub(crate) ipv6_addresses: Option<Vec<String>>,
    pub(crate) cam_role_name: Option<String>,
    pub(crate) hpc_cluster_id: String,
    pub(crate) rdma_ip_addresses: Option<Vec<String>>,
    pub(crate) dedicated_cluster_id: String,
    pub(crate) isolated_source: &'static str,
    pub(crate) disaster_recover_group_ids: Vec<String>,
    #[serde(rename = "GPUInfo", skip_serializing_if = "Option::is_none")]
    pub(crate) gpu_info: Option<GpuInfo>,
    pub(crate) license_type: &'static str,
    pub(crate) disable_api_termination: bool,
    pub(crate) host_name: String,
    pub(crate) default_login_user: &'static str,
    pub(crate) default_login_port: i64,
    pub(crate) latest_operation_error_msg: Option<String>,
    pub(crate) enable_jumbo_frame: bool,
    pub(crate) metadata: Metadata,
    #[serde(rename = "PublicIPv6Addresses")]
    pub(crate) public_ipv6_addresses: Vec<String>,
    pub(crate) cpu_topology: CpuTopology,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partition_number: Option<i64>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Placement {
    pub(crate) zone: String,
    pub(crate) project_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host_id: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SystemDisk {
    pub(crate) disk_type: String,
    pub(crate) disk_id: String,
    pub(crate) disk_size: i64,
    pub(crate) cdc_id: Option<String>,
    pub(crate) disk_name: String,
    pub(crate) encrypt: bool,
    pub(crate) kms_key_id: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DataDisk {
    pub(crate) disk_size: i64,
    pub(crate) disk_type: String,
    pub(crate) disk_id: String,
    pub(crate) delete_with_instance: bool,
    pub(crate) encrypt: bool,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) throughput_performance: Option<i64>,
    pub(crate) cdc_id: Option<String>,
    pub(crate) burst_performance: bool,
    pub(crate) disk_name: String,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InternetAccessible {
    pub(crate) internet_charge_type: String,
    pub(crate) internet_max_bandwidth_out: i64,
    pub(crate) public_ip_assigned: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VirtualPrivateCloud {
    pub(crate) vpc_id: String,
    pub(crate) subnet_id: String,
    pub(crate) as_vpc_gateway: bool,
}

/// Only the key pairs come back.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LoginSettings {
    pub(crate) key_ids: Option<Vec<String>>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct GpuInfo {
    #[serde(rename = "GPUCount")]
    pub(crate) count: f64,
    #[serde(rename = "GPUId")]
    pub(crate) ids: Vec<String>,
    #[serde(rename = "GPUType")]
    pub(crate) model: String,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Metadata {
    #[serde(serialize_with = "shared")]
    pub(crate) items: Arc<[MetadataItem]>,
}

fn shared<T: Serialize, S: Serializer>(items: &Arc<[T]>, serializer: S) -> Result<S::Ok, S::Error> {
    items.as_ref().serialize(serializer)
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CpuTopology {
    pub(crate) core_count: Option<i64>,
    pub(crate) thread_per_core: Option<i64>,
}
