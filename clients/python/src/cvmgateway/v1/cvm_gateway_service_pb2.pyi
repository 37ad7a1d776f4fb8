import datetime

from buf.validate import validate_pb2 as _validate_pb2
from cvmgateway.v1 import error_reason_pb2 as _error_reason_pb2
from cvmgateway.v1 import instance_spec_pb2 as _instance_spec_pb2
from cvmgateway.v1 import operation_pb2 as _operation_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FailurePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_POLICY_UNSPECIFIED: _ClassVar[FailurePolicy]
    FAILURE_POLICY_KEEP: _ClassVar[FailurePolicy]
    FAILURE_POLICY_TERMINATE_FAILED: _ClassVar[FailurePolicy]
    FAILURE_POLICY_TERMINATE_ALL: _ClassVar[FailurePolicy]
FAILURE_POLICY_UNSPECIFIED: FailurePolicy
FAILURE_POLICY_KEEP: FailurePolicy
FAILURE_POLICY_TERMINATE_FAILED: FailurePolicy
FAILURE_POLICY_TERMINATE_ALL: FailurePolicy

class RunInstancesRequest(_message.Message):
    __slots__ = ("request_id", "account", "region", "spec", "alternatives", "on_failure", "plan")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account: str
    region: str
    spec: _instance_spec_pb2.InstanceSpec
    alternatives: _containers.RepeatedCompositeFieldContainer[Alternative]
    on_failure: FailurePolicy
    plan: bytes
    def __init__(self, request_id: _Optional[str] = ..., account: _Optional[str] = ..., region: _Optional[str] = ..., spec: _Optional[_Union[_instance_spec_pb2.InstanceSpec, _Mapping]] = ..., alternatives: _Optional[_Iterable[_Union[Alternative, _Mapping]]] = ..., on_failure: _Optional[_Union[FailurePolicy, str]] = ..., plan: _Optional[bytes] = ...) -> None: ...

class Alternative(_message.Message):
    __slots__ = ("zone", "instance_type", "subnet_id")
    ZONE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUBNET_ID_FIELD_NUMBER: _ClassVar[int]
    zone: str
    instance_type: str
    subnet_id: str
    def __init__(self, zone: _Optional[str] = ..., instance_type: _Optional[str] = ..., subnet_id: _Optional[str] = ...) -> None: ...

class RunInstancesResponse(_message.Message):
    __slots__ = ("operation", "heartbeat")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_pb2.Operation
    heartbeat: Heartbeat
    def __init__(self, operation: _Optional[_Union[_operation_pb2.Operation, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("time", "sequence")
    TIME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    sequence: int
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

class PlanRunInstancesRequest(_message.Message):
    __slots__ = ("request", "cloud_dry_run")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CLOUD_DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    request: RunInstancesRequest
    cloud_dry_run: bool
    def __init__(self, request: _Optional[_Union[RunInstancesRequest, _Mapping]] = ..., cloud_dry_run: _Optional[bool] = ...) -> None: ...

class PlanRunInstancesResponse(_message.Message):
    __slots__ = ("allowed", "decisions", "changes", "effective_spec", "price", "quotas", "in_stock", "cloud_dry_run_failure", "plan", "expire_time", "places", "quota_failure")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SPEC_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    IN_STOCK_FIELD_NUMBER: _ClassVar[int]
    CLOUD_DRY_RUN_FAILURE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FAILURE_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    decisions: _containers.RepeatedCompositeFieldContainer[PolicyDecision]
    changes: _containers.RepeatedCompositeFieldContainer[FieldChange]
    effective_spec: _instance_spec_pb2.InstanceSpec
    price: Price
    quotas: _containers.RepeatedCompositeFieldContainer[QuotaHeadroom]
    in_stock: bool
    cloud_dry_run_failure: _operation_pb2.Failure
    plan: bytes
    expire_time: _timestamp_pb2.Timestamp
    places: _containers.RepeatedCompositeFieldContainer[PlannedPlace]
    quota_failure: _operation_pb2.Failure
    def __init__(self, allowed: _Optional[bool] = ..., decisions: _Optional[_Iterable[_Union[PolicyDecision, _Mapping]]] = ..., changes: _Optional[_Iterable[_Union[FieldChange, _Mapping]]] = ..., effective_spec: _Optional[_Union[_instance_spec_pb2.InstanceSpec, _Mapping]] = ..., price: _Optional[_Union[Price, _Mapping]] = ..., quotas: _Optional[_Iterable[_Union[QuotaHeadroom, _Mapping]]] = ..., in_stock: _Optional[bool] = ..., cloud_dry_run_failure: _Optional[_Union[_operation_pb2.Failure, _Mapping]] = ..., plan: _Optional[bytes] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., places: _Optional[_Iterable[_Union[PlannedPlace, _Mapping]]] = ..., quota_failure: _Optional[_Union[_operation_pb2.Failure, _Mapping]] = ...) -> None: ...

class PlannedPlace(_message.Message):
    __slots__ = ("zone", "instance_type", "price", "price_failure", "in_stock", "stock_category", "sold_out_reason", "stock_failure")
    ZONE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FAILURE_FIELD_NUMBER: _ClassVar[int]
    IN_STOCK_FIELD_NUMBER: _ClassVar[int]
    STOCK_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SOLD_OUT_REASON_FIELD_NUMBER: _ClassVar[int]
    STOCK_FAILURE_FIELD_NUMBER: _ClassVar[int]
    zone: str
    instance_type: str
    price: Price
    price_failure: _operation_pb2.Failure
    in_stock: bool
    stock_category: str
    sold_out_reason: str
    stock_failure: _operation_pb2.Failure
    def __init__(self, zone: _Optional[str] = ..., instance_type: _Optional[str] = ..., price: _Optional[_Union[Price, _Mapping]] = ..., price_failure: _Optional[_Union[_operation_pb2.Failure, _Mapping]] = ..., in_stock: _Optional[bool] = ..., stock_category: _Optional[str] = ..., sold_out_reason: _Optional[str] = ..., stock_failure: _Optional[_Union[_operation_pb2.Failure, _Mapping]] = ...) -> None: ...

class PolicyDecision(_message.Message):
    __slots__ = ("rule_id", "permits", "reason")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    PERMITS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    permits: bool
    reason: str
    def __init__(self, rule_id: _Optional[str] = ..., permits: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class FieldChange(_message.Message):
    __slots__ = ("field", "before", "after", "origin")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    field: str
    before: str
    after: str
    origin: str
    def __init__(self, field: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., origin: _Optional[str] = ...) -> None: ...

class Price(_message.Message):
    __slots__ = ("currency", "per_hour", "upfront", "per_gb", "instance_count", "priced_together")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    UPFRONT_FIELD_NUMBER: _ClassVar[int]
    PER_GB_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PRICED_TOGETHER_FIELD_NUMBER: _ClassVar[int]
    currency: str
    per_hour: str
    upfront: str
    per_gb: str
    instance_count: int
    priced_together: int
    def __init__(self, currency: _Optional[str] = ..., per_hour: _Optional[str] = ..., upfront: _Optional[str] = ..., per_gb: _Optional[str] = ..., instance_count: _Optional[int] = ..., priced_together: _Optional[int] = ...) -> None: ...

class QuotaHeadroom(_message.Message):
    __slots__ = ("limit_name", "limit", "used", "requested", "zone")
    LIMIT_NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    limit_name: str
    limit: int
    used: int
    requested: int
    zone: str
    def __init__(self, limit_name: _Optional[str] = ..., limit: _Optional[int] = ..., used: _Optional[int] = ..., requested: _Optional[int] = ..., zone: _Optional[str] = ...) -> None: ...

class WatchOperationRequest(_message.Message):
    __slots__ = ("name", "after_sequence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    after_sequence: int
    def __init__(self, name: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class WatchOperationResponse(_message.Message):
    __slots__ = ("operation", "heartbeat")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_pb2.Operation
    heartbeat: Heartbeat
    def __init__(self, operation: _Optional[_Union[_operation_pb2.Operation, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class GetOperationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_pb2.Operation
    def __init__(self, operation: _Optional[_Union[_operation_pb2.Operation, _Mapping]] = ...) -> None: ...

class ListOperationsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[_operation_pb2.OperationState]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_operation_pb2.OperationState, str]]] = ...) -> None: ...

class ListOperationsResponse(_message.Message):
    __slots__ = ("operations", "next_page_token")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[_operation_pb2.Operation]
    next_page_token: str
    def __init__(self, operations: _Optional[_Iterable[_Union[_operation_pb2.Operation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelOperationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CancelOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_pb2.Operation
    def __init__(self, operation: _Optional[_Union[_operation_pb2.Operation, _Mapping]] = ...) -> None: ...

class TerminateInstancesRequest(_message.Message):
    __slots__ = ("request_id", "instance_ids", "timeout")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_IDS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    instance_ids: _containers.RepeatedScalarFieldContainer[str]
    timeout: _duration_pb2.Duration
    def __init__(self, request_id: _Optional[str] = ..., instance_ids: _Optional[_Iterable[str]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class TerminateInstancesResponse(_message.Message):
    __slots__ = ("operation", "heartbeat")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_pb2.Operation
    heartbeat: Heartbeat
    def __init__(self, operation: _Optional[_Union[_operation_pb2.Operation, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class ListInstancesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "account", "region")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    account: str
    region: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., account: _Optional[str] = ..., region: _Optional[str] = ...) -> None: ...

class ListInstancesResponse(_message.Message):
    __slots__ = ("instances", "next_page_token")
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[LaunchedInstance]
    next_page_token: str
    def __init__(self, instances: _Optional[_Iterable[_Union[LaunchedInstance, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class LaunchedInstance(_message.Message):
    __slots__ = ("instance", "operation", "account", "region", "observe_time", "failure_reason")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    OBSERVE_TIME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    instance: _operation_pb2.Instance
    operation: str
    account: str
    region: str
    observe_time: _timestamp_pb2.Timestamp
    failure_reason: _error_reason_pb2.ErrorReason
    def __init__(self, instance: _Optional[_Union[_operation_pb2.Instance, _Mapping]] = ..., operation: _Optional[str] = ..., account: _Optional[str] = ..., region: _Optional[str] = ..., observe_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failure_reason: _Optional[_Union[_error_reason_pb2.ErrorReason, str]] = ...) -> None: ...
