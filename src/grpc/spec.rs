//! The instance specification: from the proto to the domain, field by field.

use crate::domain::secret::Secret;
use crate::domain::spec;
use crate::domain::violation::Violations;
use crate::pb::v1 as pb;
use std::cell::RefCell;

/// Where in the request a message stands, and where its violations go.
pub(super) struct At<'a> {
    path: String,
    out: &'a RefCell<Violations>,
}

/// The specification in the domain's types; what is required and missing is added to the violations.
pub(super) fn instance_spec(pb: pb::InstanceSpec, at: &At<'_>) -> spec::InstanceSpec {
    spec::InstanceSpec {
        instance_charge_type: pb.instance_charge_type,
        instance_charge_prepaid: at.nested(
            "instance_charge_prepaid",
            pb.instance_charge_prepaid,
            instance_charge_prepaid,
        ),
        placement: at.nested("placement", pb.placement, placement),
        instance_type: pb.instance_type,
        image_id: pb.image_id,
        system_disk: at.nested("system_disk", pb.system_disk, system_disk),
        data_disks: at.each("data_disks", pb.data_disks, data_disk),
        virtual_private_cloud: at.nested(
            "virtual_private_cloud",
            pb.virtual_private_cloud,
            virtual_private_cloud,
        ),
        internet_accessible: at.nested(
            "internet_accessible",
            pb.internet_accessible,
            internet_accessible,
        ),
        instance_count: pb.instance_count,
        min_count: pb.min_count,
        instance_name: pb.instance_name,
        login_settings: at.nested("login_settings", pb.login_settings, login_settings),
        security_group_ids: pb.security_group_ids,
        enhanced_service: at.nested("enhanced_service", pb.enhanced_service, enhanced_service),
        host_name: pb.host_name,
        action_timer: at.nested("action_timer", pb.action_timer, action_timer),
        disaster_recover_group_ids: pb.disaster_recover_group_ids,
        tag_specification: at.each("tag_specification", pb.tag_specification, tag_specification),
        instance_market_options: at.nested(
            "instance_market_options",
            pb.instance_market_options,
            instance_market_options,
        ),
        user_data: pb.user_data.map(Secret::new),
        metadata: at.nested("metadata", pb.metadata, metadata),
        dry_run: pb.dry_run,
        cpu_topology: at.nested("cpu_topology", pb.cpu_topology, cpu_topology),
        cam_role_name: pb.cam_role_name,
        hpc_cluster_id: pb.hpc_cluster_id,
        launch_template: at.nested("launch_template", pb.launch_template, launch_template),
        dedicated_cluster_id: pb.dedicated_cluster_id,
        chc_ids: pb.chc_ids,
        partition_number: pb.partition_number,
        disable_api_termination: pb.disable_api_termination,
        enable_jumbo_frame: pb.enable_jumbo_frame,
        network_interfaces: at.each(
            "network_interfaces",
            pb.network_interfaces,
            network_interface,
        ),
    }
}

fn instance_charge_prepaid(
    pb: pb::InstanceChargePrepaid,
    at: &At<'_>,
) -> spec::InstanceChargePrepaid {
    spec::InstanceChargePrepaid {
        period: at.required("period", pb.period),
        renew_flag: pb.renew_flag,
    }
}

fn placement(pb: pb::Placement, at: &At<'_>) -> spec::Placement {
    spec::Placement {
        zone: at.required_text("zone", pb.zone),
        project_id: pb.project_id,
        host_ids: pb.host_ids,
        dedicated_resource_pack_tenancy: pb.dedicated_resource_pack_tenancy,
        dedicated_resource_pack_ids: pb.dedicated_resource_pack_ids,
    }
}

fn system_disk(pb: pb::SystemDisk, _at: &At<'_>) -> spec::SystemDisk {
    spec::SystemDisk {
        disk_type: pb.disk_type,
        disk_size: pb.disk_size,
        cdc_id: pb.cdc_id,
        disk_name: pb.disk_name,
        encrypt: pb.encrypt,
        kms_key_id: pb.kms_key_id,
    }
}

fn data_disk(pb: pb::DataDisk, at: &At<'_>) -> spec::DataDisk {
    spec::DataDisk {
        disk_size: at.required("disk_size", pb.disk_size),
        disk_type: pb.disk_type,
        delete_with_instance: pb.delete_with_instance,
        snapshot_id: pb.snapshot_id,
        encrypt: pb.encrypt,
        kms_key_id: pb.kms_key_id,
        throughput_performance: pb.throughput_performance,
        cdc_id: pb.cdc_id,
        burst_performance: pb.burst_performance,
        disk_name: pb.disk_name,
    }
}

fn virtual_private_cloud(pb: pb::VirtualPrivateCloud, at: &At<'_>) -> spec::VirtualPrivateCloud {
    spec::VirtualPrivateCloud {
        vpc_id: at.required_text("vpc_id", pb.vpc_id),
        subnet_id: at.required_text("subnet_id", pb.subnet_id),
        as_vpc_gateway: pb.as_vpc_gateway,
        private_ip_addresses: pb.private_ip_addresses,
        ipv6_address_count: pb.ipv6_address_count,
    }
}

fn internet_accessible(pb: pb::InternetAccessible, _at: &At<'_>) -> spec::InternetAccessible {
    spec::InternetAccessible {
        internet_charge_type: pb.internet_charge_type,
        internet_max_bandwidth_out: pb.internet_max_bandwidth_out,
        public_ip_assigned: pb.public_ip_assigned,
        bandwidth_package_id: pb.bandwidth_package_id,
        internet_service_provider: pb.internet_service_provider,
        ipv4_address_type: pb.ipv4_address_type,
        ipv6_address_type: pb.ipv6_address_type,
        anti_ddos_package_id: pb.anti_ddos_package_id,
    }
}

fn login_settings(pb: pb::LoginSettings, _at: &At<'_>) -> spec::LoginSettings {
    spec::LoginSettings {
        password: pb.password.map(Secret::new),
        key_ids: pb.key_ids,
        keep_image_login: pb.keep_image_login,
    }
}

fn enhanced_service(pb: pb::EnhancedService, at: &At<'_>) -> spec::EnhancedService {
    spec::EnhancedService {
        security_service: at.nested(
            "security_service",
            pb.security_service,
            run_security_service_enabled,
        ),
        monitor_service: at.nested(
            "monitor_service",
            pb.monitor_service,
            run_monitor_service_enabled,
        ),
        automation_service: at.nested(
            "automation_service",
            pb.automation_service,
            run_automation_service_enabled,
        ),
    }
}

fn run_security_service_enabled(
    pb: pb::RunSecurityServiceEnabled,
    _at: &At<'_>,
) -> spec::RunSecurityServiceEnabled {
    spec::RunSecurityServiceEnabled {
        enabled: pb.enabled,
    }
}

fn run_monitor_service_enabled(
    pb: pb::RunMonitorServiceEnabled,
    _at: &At<'_>,
) -> spec::RunMonitorServiceEnabled {
    spec::RunMonitorServiceEnabled {
        enabled: pb.enabled,
    }
}

fn run_automation_service_enabled(
    pb: pb::RunAutomationServiceEnabled,
    _at: &At<'_>,
) -> spec::RunAutomationServiceEnabled {
    spec::RunAutomationServiceEnabled {
        enabled: pb.enabled,
    }
}

fn action_timer(pb: pb::ActionTimer, _at: &At<'_>) -> spec::ActionTimer {
    spec::ActionTimer {
        timer_action: pb.timer_action,
        action_time: pb.action_time,
    }
}

fn tag_specification(pb: pb::TagSpecification, at: &At<'_>) -> spec::TagSpecification {
    spec::TagSpecification {
        resource_type: at.required_text("resource_type", pb.resource_type),
        tags: at.each("tags", pb.tags, tag),
    }
}

fn tag(pb: pb::Tag, at: &At<'_>) -> spec::Tag {
    spec::Tag {
        key: at.required_text("key", pb.key),
        value: pb.value,
    }
}

fn instance_market_options(
    pb: pb::InstanceMarketOptions,
    at: &At<'_>,
) -> spec::InstanceMarketOptions {
    spec::InstanceMarketOptions {
        spot_options: at.required(
            "spot_options",
            at.nested("spot_options", pb.spot_options, spot_market_options),
        ),
        market_type: pb.market_type,
    }
}

fn spot_market_options(pb: pb::SpotMarketOptions, at: &At<'_>) -> spec::SpotMarketOptions {
    spec::SpotMarketOptions {
        max_price: at.required_text("max_price", pb.max_price),
        spot_instance_type: pb.spot_instance_type,
    }
}

fn metadata(pb: pb::Metadata, at: &At<'_>) -> spec::Metadata {
    spec::Metadata {
        items: at.each("items", pb.items, metadata_item),
    }
}

fn metadata_item(pb: pb::MetadataItem, at: &At<'_>) -> spec::MetadataItem {
    spec::MetadataItem {
        key: at.required_text("key", pb.key),
        value: Secret::new(pb.value),
    }
}

fn cpu_topology(pb: pb::CpuTopology, _at: &At<'_>) -> spec::CpuTopology {
    spec::CpuTopology {
        core_count: pb.core_count,
        thread_per_core: pb.thread_per_core,
    }
}

fn launch_template(pb: pb::LaunchTemplate, _at: &At<'_>) -> spec::LaunchTemplate {
    spec::LaunchTemplate {
        launch_template_id: pb.launch_template_id,
        launch_template_version: pb.launch_template_version,
    }
}

fn network_interface(pb: pb::NetworkInterface, at: &At<'_>) -> spec::NetworkInterface {
    spec::NetworkInterface {
        interface_type: at.required_text("interface_type", pb.interface_type),
        vpc_id: at.required_text("vpc_id", pb.vpc_id),
        subnet_id: at.required_text("subnet_id", pb.subnet_id),
        private_ipv4_address_count: at
            .required("private_ipv4_address_count", pb.private_ipv4_address_count),
        network_interface_id: pb.network_interface_id,
        security_group_ids: pb.security_group_ids,
        delete_with_instance: pb.delete_with_instance,
    }
}

impl<'a> At<'a> {
    /// The place `path`.
    pub(super) fn new(path: &str, out: &'a RefCell<Violations>) -> Self {
        Self {
            path: path.to_owned(),
            out,
        }
    }

    /// The whole message, which must be set.
    pub(super) fn root<T>(&self, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.out.borrow_mut().add(&self.path, "is required");
        }
        value
    }

    /// A message that may be unset.
    fn nested<P, D>(
        &self,
        field: &str,
        value: Option<P>,
        convert: fn(P, &At<'_>) -> D,
    ) -> Option<D> {
        value.map(|value| convert(value, &self.at(field)))
    }

    /// A list of messages.
    fn each<P, D>(&self, field: &str, values: Vec<P>, convert: fn(P, &At<'_>) -> D) -> Vec<D> {
        let numbered = values.into_iter().enumerate();
        numbered
            .map(|(index, value)| convert(value, &self.at(&format!("{field}[{index}]"))))
            .collect()
    }

    /// A value that must be set.
    fn required<T: Default>(&self, field: &str, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            self.out
                .borrow_mut()
                .add(self.at(field).path, "is required");
            T::default()
        })
    }

    /// A text that must not be empty.
    fn required_text(&self, field: &str, text: String) -> String {
        self.required(field, Some(text).filter(|text| !text.is_empty()))
    }

    fn at(&self, field: &str) -> Self {
        Self::new(&format!("{}.{field}", self.path), self.out)
    }
}
