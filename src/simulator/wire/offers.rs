//! The requests about what the cloud offers and what it costs.

use super::{
    CpuTopology, DataDisk, EnhancedService, Filter, InstanceChargePrepaid, InstanceMarketOptions,
    InternetAccessible, LaunchTemplate, LoginSettings, Metadata, NetworkInterface, Placement,
    RunInstances, SystemDisk, TagSpecification, VirtualPrivateCloud,
};
use serde::Deserialize;

/// The members of RunInstances that a price can be asked for with.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct InquiryPriceRunInstances {
    placement: Placement,
    image_id: String,
    instance_charge_type: Option<String>,
    instance_charge_prepaid: Option<InstanceChargePrepaid>,
    instance_type: Option<String>,
    system_disk: Option<SystemDisk>,
    data_disks: Option<Vec<DataDisk>>,
    virtual_private_cloud: Option<VirtualPrivateCloud>,
    internet_accessible: Option<InternetAccessible>,
    instance_count: Option<i64>,
    instance_name: Option<String>,
    login_settings: Option<LoginSettings>,
    security_group_ids: Option<Vec<String>>,
    enhanced_service: Option<EnhancedService>,
    client_token: Option<String>,
    host_name: Option<String>,
    tag_specification: Option<Vec<TagSpecification>>,
    instance_market_options: Option<InstanceMarketOptions>,
    metadata: Option<Metadata>,
    hpc_cluster_id: Option<String>,
    cpu_topology: Option<CpuTopology>,
    launch_template: Option<LaunchTemplate>,
    network_interfaces: Option<Vec<NetworkInterface>>,
}

/// Both Describe actions about offers take filters only.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct Filtered {
    pub(in crate::simulator) filters: Option<Vec<Filter>>,
}

impl From<InquiryPriceRunInstances> for RunInstances {
    fn from(inquiry: InquiryPriceRunInstances) -> Self {
        Self {
            placement: Some(inquiry.placement),
            image_id: Some(inquiry.image_id),
            instance_charge_type: inquiry.instance_charge_type,
            instance_charge_prepaid: inquiry.instance_charge_prepaid,
            instance_type: inquiry.instance_type,
            system_disk: inquiry.system_disk,
            data_disks: inquiry.data_disks,
            virtual_private_cloud: inquiry.virtual_private_cloud,
            internet_accessible: inquiry.internet_accessible,
            instance_count: inquiry.instance_count,
            instance_name: inquiry.instance_name,
            login_settings: inquiry.login_settings,
            security_group_ids: inquiry.security_group_ids,
            enhanced_service: inquiry.enhanced_service,
            client_token: inquiry.client_token,
            host_name: inquiry.host_name,
            tag_specification: inquiry.tag_specification,
            instance_market_options: inquiry.instance_market_options,
            metadata: inquiry.metadata,
            hpc_cluster_id: inquiry.hpc_cluster_id,
            cpu_topology: inquiry.cpu_topology,
            launch_template: inquiry.launch_template,
            network_interfaces: inquiry.network_interfaces,
            ..Self::default()
        }
    }
}
