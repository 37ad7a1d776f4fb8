import datetime

from cvmgateway.v1 import error_reason_pb2 as _error_reason_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OperationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_KIND_UNSPECIFIED: _ClassVar[OperationKind]
    OPERATION_KIND_LAUNCH: _ClassVar[OperationKind]
    OPERATION_KIND_TERMINATION: _ClassVar[OperationKind]

class OperationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_STATE_UNSPECIFIED: _ClassVar[OperationState]
    OPERATION_STATE_ACCEPTED: _ClassVar[OperationState]
    OPERATION_STATE_SENT: _ClassVar[OperationState]
    OPERATION_STATE_RECONCILING: _ClassVar[OperationState]
    OPERATION_STATE_LAUNCHED: _ClassVar[OperationState]
    OPERATION_STATE_TERMINATING: _ClassVar[OperationState]
    OPERATION_STATE_SUCCEEDED: _ClassVar[OperationState]
    OPERATION_STATE_PARTIAL: _ClassVar[OperationState]
    OPERATION_STATE_FAILED: _ClassVar[OperationState]
    OPERATION_STATE_CANCELLED: _ClassVar[OperationState]
    OPERATION_STATE_NEEDS_OPERATOR: _ClassVar[OperationState]
OPERATION_KIND_UNSPECIFIED: OperationKind
OPERATION_KIND_LAUNCH: OperationKind
OPERATION_KIND_TERMINATION: OperationKind
OPERATION_STATE_UNSPECIFIED: OperationState
OPERATION_STATE_ACCEPTED: OperationState
OPERATION_STATE_SENT: OperationState
OPERATION_STATE_RECONCILING: OperationState
OPERATION_STATE_LAUNCHED: OperationState
OPERATION_STATE_TERMINATING: OperationState
OPERATION_STATE_SUCCEEDED: OperationState
OPERATION_STATE_PARTIAL: OperationState
OPERATION_STATE_FAILED: OperationState
OPERATION_STATE_CANCELLED: OperationState
OPERATION_STATE_NEEDS_OPERATOR: OperationState

class Operation(_message.Message):
    __slots__ = ("name", "request_id", "account", "region", "principal", "state", "sequence", "instance_count", "instances", "failure", "transitions", "attempts", "cloud_request_id", "create_time", "update_time", "kind", "changes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CLOUD_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    request_id: str
    account: str
    region: str
    principal: str
    state: OperationState
    sequence: int
    instance_count: int
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    failure: Failure
    transitions: _containers.RepeatedCompositeFieldContainer[Transition]
    attempts: int
    cloud_request_id: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    kind: OperationKind
    changes: _containers.RepeatedCompositeFieldContainer[PolicyChange]
    def __init__(self, name: _Optional[str] = ..., request_id: _Optional[str] = ..., account: _Optional[str] = ..., region: _Optional[str] = ..., principal: _Optional[str] = ..., state: _Optional[_Union[OperationState, str]] = ..., sequence: _Optional[int] = ..., instance_count: _Optional[int] = ..., instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., transitions: _Optional[_Iterable[_Union[Transition, _Mapping]]] = ..., attempts: _Optional[int] = ..., cloud_request_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[OperationKind, str]] = ..., changes: _Optional[_Iterable[_Union[PolicyChange, _Mapping]]] = ...) -> None: ...

class PolicyChange(_message.Message):
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

class Instance(_message.Message):
    __slots__ = ("instance_id", "instance_state", "instance_name", "instance_type", "zone", "private_ip_addresses", "public_ip_addresses", "failure_message", "running_time")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_STATE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_NAME_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_IP_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_IP_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TIME_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    instance_state: str
    instance_name: str
    instance_type: str
    zone: str
    private_ip_addresses: _containers.RepeatedScalarFieldContainer[str]
    public_ip_addresses: _containers.RepeatedScalarFieldContainer[str]
    failure_message: str
    running_time: _timestamp_pb2.Timestamp
    def __init__(self, instance_id: _Optional[str] = ..., instance_state: _Optional[str] = ..., instance_name: _Optional[str] = ..., instance_type: _Optional[str] = ..., zone: _Optional[str] = ..., private_ip_addresses: _Optional[_Iterable[str]] = ..., public_ip_addresses: _Optional[_Iterable[str]] = ..., failure_message: _Optional[str] = ..., running_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Transition(_message.Message):
    __slots__ = ("state", "time", "note")
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    state: OperationState
    time: _timestamp_pb2.Timestamp
    note: str
    def __init__(self, state: _Optional[_Union[OperationState, str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., note: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("reason", "message", "cloud_code", "cloud_request_id", "fields")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CLOUD_CODE_FIELD_NUMBER: _ClassVar[int]
    CLOUD_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    reason: _error_reason_pb2.ErrorReason
    message: str
    cloud_code: str
    cloud_request_id: str
    fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reason: _Optional[_Union[_error_reason_pb2.ErrorReason, str]] = ..., message: _Optional[str] = ..., cloud_code: _Optional[str] = ..., cloud_request_id: _Optional[str] = ..., fields: _Optional[_Iterable[str]] = ...) -> None: ...
