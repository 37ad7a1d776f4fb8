from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InstanceSpec(_message.Message):
    __slots__ = ("instance_charge_type", "instance_charge_prepaid", "placement", "instance_type", "image_id", "system_disk", "data_disks", "virtual_private_cloud", "internet_accessible", "instance_count", "min_count", "instance_name", "login_settings", "security_group_ids", "enhanced_service", "host_name", "action_timer", "disaster_recover_group_ids", "tag_specification", "instance_market_options", "user_data", "metadata", "dry_run", "cpu_topology", "cam_role_name", "hpc_cluster_id", "launch_template", "dedicated_cluster_id", "chc_ids", "partition_number", "disable_api_termination", "enable_jumbo_frame", "network_interfaces")
    INSTANCE_CHARGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_CHARGE_PREPAID_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_DISK_FIELD_NUMBER: _ClassVar[int]
    DATA_DISKS_FIELD_NUMBER: _ClassVar[int]
    VIRTUAL_PRIVATE_CLOUD_FIELD_NUMBER: _ClassVar[int]
    INTERNET_ACCESSIBLE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_COUNT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_NAME_FIELD_NUMBER: _ClassVar[int]
    LOGIN_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SECURITY_GROUP_IDS_FIELD_NUMBER: _ClassVar[int]
    ENHANCED_SERVICE_FIELD_NUMBER: _ClassVar[int]
    HOST_NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_TIMER_FIELD_NUMBER: _ClassVar[int]
    DISASTER_RECOVER_GROUP_IDS_FIELD_NUMBER: _ClassVar[int]
    TAG_SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_MARKET_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    CPU_TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    CAM_ROLE_NAME_FIELD_NUMBER: _ClassVar[int]
    HPC_CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    DEDICATED_CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CHC_IDS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DISABLE_API_TERMINATION_FIELD_NUMBER: _ClassVar[int]
    ENABLE_JUMBO_FRAME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_INTERFACES_FIELD_NUMBER: _ClassVar[int]
    instance_charge_type: str
    instance_charge_prepaid: InstanceChargePrepaid
    placement: Placement
    instance_type: str
    image_id: str
    system_disk: SystemDisk
    data_disks: _containers.RepeatedCompositeFieldContainer[DataDisk]
    virtual_private_cloud: VirtualPrivateCloud
    internet_accessible: InternetAccessible
    instance_count: int
    min_count: int
    instance_name: str
    login_settings: LoginSettings
    security_group_ids: _containers.RepeatedScalarFieldContainer[str]
    enhanced_service: EnhancedService
    host_name: str
    action_timer: ActionTimer
    disaster_recover_group_ids: _containers.RepeatedScalarFieldContainer[str]
    tag_specification: _containers.RepeatedCompositeFieldContainer[TagSpecification]
    instance_market_options: InstanceMarketOptions
    user_data: str
    metadata: Metadata
    dry_run: bool
    cpu_topology: CpuTopology
    cam_role_name: str
    hpc_cluster_id: str
    launch_template: LaunchTemplate
    dedicated_cluster_id: str
    chc_ids: _containers.RepeatedScalarFieldContainer[str]
    partition_number: int
    disable_api_termination: bool
    enable_jumbo_frame: bool
    network_interfaces: _containers.RepeatedCompositeFieldContainer[NetworkInterface]
    def __init__(self, instance_charge_type: _Optional[str] = ..., instance_charge_prepaid: _Optional[_Union[InstanceChargePrepaid, _Mapping]] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., instance_type: _Optional[str] = ..., image_id: _Optional[str] = ..., system_disk: _Optional[_Union[SystemDisk, _Mapping]] = ..., data_disks: _Optional[_Iterable[_Union[DataDisk, _Mapping]]] = ..., virtual_private_cloud: _Optional[_Union[VirtualPrivateCloud, _Mapping]] = ..., internet_accessible: _Optional[_Union[InternetAccessible, _Mapping]] = ..., instance_count: _Optional[int] = ..., min_count: _Optional[int] = ..., instance_name: _Optional[str] = ..., login_settings: _Optional[_Union[LoginSettings, _Mapping]] = ..., security_group_ids: _Optional[_Iterable[str]] = ..., enhanced_service: _Optional[_Union[EnhancedService, _Mapping]] = ..., host_name: _Optional[str] = ..., action_timer: _Optional[_Union[ActionTimer, _Mapping]] = ..., disaster_recover_group_ids: _Optional[_Iterable[str]] = ..., tag_specification: _Optional[_Iterable[_Union[TagSpecification, _Mapping]]] = ..., instance_market_options: _Optional[_Union[InstanceMarketOptions, _Mapping]] = ..., user_data: _Optional[str] = ..., metadata: _Optional[_Union[Metadata, _Mapping]] = ..., dry_run: _Optional[bool] = ..., cpu_topology: _Optional[_Union[CpuTopology, _Mapping]] = ..., cam_role_name: _Optional[str] = ..., hpc_cluster_id: _Optional[str] = ..., launch_template: _Optional[_Union[LaunchTemplate, _Mapping]] = ..., dedicated_cluster_id: _Optional[str] = ..., chc_ids: _Optional[_Iterable[str]] = ..., partition_number: _Optional[int] = ..., disable_api_termination: _Optional[bool] = ..., enable_jumbo_frame: _Optional[bool] = ..., network_interfaces: _Optional[_Iterable[_Union[NetworkInterface, _Mapping]]] = ...) -> None: ...

class InstanceChargePrepaid(_message.Message):
    __slots__ = ("period", "renew_flag")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    RENEW_FLAG_FIELD_NUMBER: _ClassVar[int]
    period: int
    renew_flag: str
    def __init__(self, period: _Optional[int] = ..., renew_flag: _Optional[str] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("zone", "project_id", "host_ids", "dedicated_resource_pack_tenancy", "dedicated_resource_pack_ids")
    ZONE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_IDS_FIELD_NUMBER: _ClassVar[int]
    DEDICATED_RESOURCE_PACK_TENANCY_FIELD_NUMBER: _ClassVar[int]
    DEDICATED_RESOURCE_PACK_IDS_FIELD_NUMBER: _ClassVar[int]
    zone: str
    project_id: int
    host_ids: _containers.RepeatedScalarFieldContainer[str]
    dedicated_resource_pack_tenancy: str
    dedicated_resource_pack_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, zone: _Optional[str] = ..., project_id: _Optional[int] = ..., host_ids: _Optional[_Iterable[str]] = ..., dedicated_resource_pack_tenancy: _Optional[str] = ..., dedicated_resource_pack_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class SystemDisk(_message.Message):
    __slots__ = ("disk_type", "disk_size", "cdc_id", "disk_name", "encrypt", "kms_key_id")
    DISK_TYPE_FIELD_NUMBER: _ClassVar[int]
    DISK_SIZE_FIELD_NUMBER: _ClassVar[int]
    CDC_ID_FIELD_NUMBER: _ClassVar[int]
    DISK_NAME_FIELD_NUMBER: _ClassVar[int]
    ENCRYPT_FIELD_NUMBER: _ClassVar[int]
    KMS_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    disk_type: str
    disk_size: int
    cdc_id: str
    disk_name: str
    encrypt: bool
    kms_key_id: str
    def __init__(self, disk_type: _Optional[str] = ..., disk_size: _Optional[int] = ..., cdc_id: _Optional[str] = ..., disk_name: _Optional[str] = ..., encrypt: _Optional[bool] = ..., kms_key_id: _Optional[str] = ...) -> None: ...

class DataDisk(_message.Message):
    __slots__ = ("disk_size", "disk_type", "delete_with_instance", "snapshot_id", "encrypt", "kms_key_id", "throughput_performance", "cdc_id", "burst_performance", "disk_name")
    DISK_SIZE_FIELD_NUMBER: _ClassVar[int]
    DISK_TYPE_FIELD_NUMBER: _ClassVar[int]
    DELETE_WITH_INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    ENCRYPT_FIELD_NUMBER: _ClassVar[int]
    KMS_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    CDC_ID_FIELD_NUMBER: _ClassVar[int]
    BURST_PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    DISK_NAME_FIELD_NUMBER: _ClassVar[int]
    disk_size: int
    disk_type: str
    delete_with_instance: bool
    snapshot_id: str
    encrypt: bool
    kms_key_id: str
    throughput_performance: int
    cdc_id: str
    burst_performance: bool
    disk_name: str
    def __init__(self, disk_size: _Optional[int] = ..., disk_type: _Optional[str] = ..., delete_with_instance: _Optional[bool] = ..., snapshot_id: _Optional[str] = ..., encrypt: _Optional[bool] = ..., kms_key_id: _Optional[str] = ..., throughput_performance: _Optional[int] = ..., cdc_id: _Optional[str] = ..., burst_performance: _Optional[bool] = ..., disk_name: _Optional[str] = ...) -> None: ...

class VirtualPrivateCloud(_message.Message):
    __slots__ = ("vpc_id", "subnet_id", "as_vpc_gateway", "private_ip_addresses", "ipv6_address_count")
    VPC_ID_FIELD_NUMBER: _ClassVar[int]
    SUBNET_ID_FIELD_NUMBER: _ClassVar[int]
    AS_VPC_GATEWAY_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_IP_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    IPV6_ADDRESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    vpc_id: str
    subnet_id: str
    as_vpc_gateway: bool
    private_ip_addresses: _containers.RepeatedScalarFieldContainer[str]
    ipv6_address_count: int
    def __init__(self, vpc_id: _Optional[str] = ..., subnet_id: _Optional[str] = ..., as_vpc_gateway: _Optional[bool] = ..., private_ip_addresses: _Optional[_Iterable[str]] = ..., ipv6_address_count: _Optional[int] = ...) -> None: ...

class InternetAccessible(_message.Message):
    __slots__ = ("internet_charge_type", "internet_max_bandwidth_out", "public_ip_assigned", "bandwidth_package_id", "internet_service_provider", "ipv4_address_type", "ipv6_address_type", "anti_ddos_package_id")
    INTERNET_CHARGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    INTERNET_MAX_BANDWIDTH_OUT_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_IP_ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_PACKAGE_ID_FIELD_NUMBER: _ClassVar[int]
    INTERNET_SERVICE_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    IPV4_ADDRESS_TYPE_FIELD_NUMBER: _ClassVar[int]
    IPV6_ADDRESS_TYPE_FIELD_NUMBER: _ClassVar[int]
    ANTI_DDOS_PACKAGE_ID_FIELD_NUMBER: _ClassVar[int]
    internet_charge_type: str
    internet_max_bandwidth_out: int
    public_ip_assigned: bool
    bandwidth_package_id: str
    internet_service_provider: str
    ipv4_address_type: str
    ipv6_address_type: str
    anti_ddos_package_id: str
    def __init__(self, internet_charge_type: _Optional[str] = ..., internet_max_bandwidth_out: _Optional[int] = ..., public_ip_assigned: _Optional[bool] = ..., bandwidth_package_id: _Optional[str] = ..., internet_service_provider: _Optional[str] = ..., ipv4_address_type: _Optional[str] = ..., ipv6_address_type: _Optional[str] = ..., anti_ddos_package_id: _Optional[str] = ...) -> None: ...

class LoginSettings(_message.Message):
    __slots__ = ("password", "key_ids", "keep_image_login")
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    KEEP_IMAGE_LOGIN_FIELD_NUMBER: _ClassVar[int]
    password: str
    key_ids: _containers.RepeatedScalarFieldContainer[str]
    keep_image_login: str
    def __init__(self, password: _Optional[str] = ..., key_ids: _Optional[_Iterable[str]] = ..., keep_image_login: _Optional[str] = ...) -> None: ...

class EnhancedService(_message.Message):
    __slots__ = ("security_service", "monitor_service", "automation_service")
    SECURITY_SERVICE_FIELD_NUMBER: _ClassVar[int]
    MONITOR_SERVICE_FIELD_NUMBER: _ClassVar[int]
    AUTOMATION_SERVICE_FIELD_NUMBER: _ClassVar[int]
    security_service: RunSecurityServiceEnabled
    monitor_service: RunMonitorServiceEnabled
    automation_service: RunAutomationServiceEnabled
    def __init__(self, security_service: _Optional[_Union[RunSecurityServiceEnabled, _Mapping]] = ..., monitor_service: _Optional[_Union[RunMonitorServiceEnabled, _Mapping]] = ..., automation_service: _Optional[_Union[RunAutomationServiceEnabled, _Mapping]] = ...) -> None: ...

class RunSecurityServiceEnabled(_message.Message):
    __slots__ = ("enabled",)
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    def __init__(self, enabled: _Optional[bool] = ...) -> None: ...

class RunMonitorServiceEnabled(_message.Message):
    __slots__ = ("enabled",)
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    def __init__(self, enabled: _Optional[bool] = ...) -> None: ...

class RunAutomationServiceEnabled(_message.Message):
    __slots__ = ("enabled",)
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    def __init__(self, enabled: _Optional[bool] = ...) -> None: ...

class ActionTimer(_message.Message):
    __slots__ = ("timer_action", "action_time")
    TIMER_ACTION_FIELD_NUMBER: _ClassVar[int]
    ACTION_TIME_FIELD_NUMBER: _ClassVar[int]
    timer_action: str
    action_time: str
    def __init__(self, timer_action: _Optional[str] = ..., action_time: _Optional[str] = ...) -> None: ...

class TagSpecification(_message.Message):
    __slots__ = ("resource_type", "tags")
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    resource_type: str
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    def __init__(self, resource_type: _Optional[str] = ..., tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class InstanceMarketOptions(_message.Message):
    __slots__ = ("spot_options", "market_type")
    SPOT_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MARKET_TYPE_FIELD_NUMBER: _ClassVar[int]
    spot_options: SpotMarketOptions
    market_type: str
    def __init__(self, spot_options: _Optional[_Union[SpotMarketOptions, _Mapping]] = ..., market_type: _Optional[str] = ...) -> None: ...

class SpotMarketOptions(_message.Message):
    __slots__ = ("max_price", "spot_instance_type")
    MAX_PRICE_FIELD_NUMBER: _ClassVar[int]
    SPOT_INSTANCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    max_price: str
    spot_instance_type: str
    def __init__(self, max_price: _Optional[str] = ..., spot_instance_type: _Optional[str] = ...) -> None: ...

class Metadata(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[MetadataItem]
    def __init__(self, items: _Optional[_Iterable[_Union[MetadataItem, _Mapping]]] = ...) -> None: ...

class MetadataItem(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class CpuTopology(_message.Message):
    __slots__ = ("core_count", "thread_per_core")
    CORE_COUNT_FIELD_NUMBER: _ClassVar[int]
    THREAD_PER_CORE_FIELD_NUMBER: _ClassVar[int]
    core_count: int
    thread_per_core: int
    def __init__(self, core_count: _Optional[int] = ..., thread_per_core: _Optional[int] = ...) -> None: ...

class LaunchTemplate(_message.Message):
    __slots__ = ("launch_template_id", "launch_template_version")
    LAUNCH_TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_TEMPLATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    launch_template_id: str
    launch_template_version: int
    def __init__(self, launch_template_id: _Optional[str] = ..., launch_template_version: _Optional[int] = ...) -> None: ...

class NetworkInterface(_message.Message):
    __slots__ = ("interface_type", "vpc_id", "subnet_id", "private_ipv4_address_count", "network_interface_id", "security_group_ids", "delete_with_instance")
    INTERFACE_TYPE_FIELD_NUMBER: _ClassVar[int]
    VPC_ID_FIELD_NUMBER: _ClassVar[int]
    SUBNET_ID_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_IPV4_ADDRESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    NETWORK_INTERFACE_ID_FIELD_NUMBER: _ClassVar[int]
    SECURITY_GROUP_IDS_FIELD_NUMBER: _ClassVar[int]
    DELETE_WITH_INSTANCE_FIELD_NUMBER: _ClassVar[int]
    interface_type: str
    vpc_id: str
    subnet_id: str
    private_ipv4_address_count: int
    network_interface_id: str
    security_group_ids: _containers.RepeatedScalarFieldContainer[str]
    delete_with_instance: bool
    def __init__(self, interface_type: _Optional[str] = ..., vpc_id: _Optional[str] = ..., subnet_id: _Optional[str] = ..., private_ipv4_address_count: _Optional[int] = ..., network_interface_id: _Optional[str] = ..., security_group_ids: _Optional[_Iterable[str]] = ..., delete_with_instance: _Optional[bool] = ...) -> None: ...
