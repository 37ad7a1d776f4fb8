"""Launches machines through the gateway and follows them until they run, whatever happens to the connection."""

import argparse
import pathlib
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2 as details
from grpc_status import rpc_status

from cvmgateway.v1 import cvm_gateway_service_pb2 as pb
from cvmgateway.v1 import cvm_gateway_service_pb2_grpc as stubs
from cvmgateway.v1 import instance_spec_pb2 as spec
from cvmgateway.v1 import operation_pb2 as operations

# What gRPC itself says of connections that fail or break.
BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)
# The states in which nothing goes on by itself.
OVER = (
    operations.OPERATION_STATE_SUCCEEDED,
    operations.OPERATION_STATE_PARTIAL,
    operations.OPERATION_STATE_FAILED,
    operations.OPERATION_STATE_CANCELLED,
    operations.OPERATION_STATE_NEEDS_OPERATOR,
)
PAUSE_MAX_SECONDS = 15


def follow(gateway, request, deadline):
    """Yields each new snapshot of a launch; ends when it has ended, or raises why it did not succeed.

    A stream that breaks is opened again from where it was. Nothing is launched twice: until the launch has a name,
    the call is repeated with the same request_id, which finds the operation that exists. What is raised after a break
    has that as its cause.
    """
    newest, pause, broke = None, 1, None
    while True:
        # The deadline is for everything: no single call waits for longer.
        seconds = deadline - time.monotonic()
        try:
            if newest is None:
                stream = gateway.RunInstances(request, timeout=seconds)
            else:
                cursor = pb.WatchOperationRequest(name=newest.name, after_sequence=newest.sequence)
                stream = gateway.WatchOperation(cursor, timeout=seconds)
            for message in stream:
                pause = 1
                # The other event is a heartbeat.
                if message.HasField("operation"):
                    newest = message.operation
                    yield newest
            return
        except grpc.RpcError as error:
            wait = max(pause, retry_delay(error))
            if not may_resume(error) or time.monotonic() + wait >= deadline:
                raise error from broke
            broke = error
            print(f"the stream broke ({what(error)}); going on in {wait} s", file=sys.stderr, flush=True)
        time.sleep(wait)
        pause = min(pause * 2, PAUSE_MAX_SECONDS)


def may_resume(error):
    """Whether the same call helps, once it is made later."""
    # The gateway says so by this. Every status of its own has a reason; one without comes from the connection.
    if detail(error, details.RetryInfo):
        return True
    return not detail(error, details.ErrorInfo) and error.code() in BROKEN


def goes_on(error, newest):
    """Whether the launch may be under way all the same."""
    if newest is not None:
        return newest.state not in OVER
    # The gateway alone gives reasons, and a call that broke may have been accepted, whatever the next one was told.
    late = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and not detail(error, details.ErrorInfo)
    return late or may_resume(error) or error.__cause__ is not None


def retry_delay(error):
    """How many seconds the gateway wants to be left alone."""
    retry = detail(error, details.RetryInfo)
    return retry.retry_delay.ToTimedelta().total_seconds() if retry else 0


def detail(error, kind):
    """The error's detail of this kind, or nothing."""
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        found = kind()
        if packed.Unpack(found):
            return found
    return None


def what(error):
    """The code and the message."""
    return f"{error.code().name}: {error.details()}"


def explain(error):
    """Everything that the gateway says about an error, a line each."""
    yield what(error)
    if info := detail(error, details.ErrorInfo):
        yield f"reason {info.reason}"
    if request := detail(error, details.BadRequest):
        yield from (f"field {it.field}: {it.description}" for it in request.field_violations)
    if quota := detail(error, details.QuotaFailure):
        yield from (f"quota {it.subject}: {it.description}" for it in quota.violations)
    if retry := detail(error, details.RetryInfo):
        yield f"come back in {retry.retry_delay.ToTimedelta().total_seconds():g} s"


def connect(arguments):
    """A channel that proves who calls, as far as it is told to."""
    # A connection that died in silence is noticed by this, not by the end of the deadline. The time-out is the ping's:
    # with `grpc.keepalive_timeout_ms` alone it takes 80 s.
    options = [("grpc.keepalive_time_ms", 20_000), ("grpc.http2.ping_timeout_ms", 10_000)]
    if arguments.plaintext:
        return grpc.insecure_channel(arguments.server, options)
    ca, cert, key = (path and path.read_bytes() for path in (arguments.ca, arguments.cert, arguments.key))
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    if arguments.token_file:
        # One that cannot be read is told at once: a call that it fails looks like a broken connection.
        arguments.token_file.read_text()

        def token(_context, callback):
            # Read for each call anew: tokens of Kubernetes change every hour.
            callback([("authorization", f"Bearer {arguments.token_file.read_text().strip()}")], None)

        credentials = grpc.composite_channel_credentials(credentials, grpc.metadata_call_credentials(token))
    return grpc.secure_channel(arguments.server, credentials, options)


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="localhost:7080", help="HOST:PORT of the gateway")
    parser.add_argument("--plaintext", action="store_true", help="without TLS, for a gateway on this machine")
    parser.add_argument("--ca", type=pathlib.Path, help="PEM file that vouches for the gateway; else the system's")
    parser.add_argument("--cert", type=pathlib.Path, help="PEM file of the caller's certificate")
    parser.add_argument("--key", type=pathlib.Path, help="PEM file of its key")
    parser.add_argument("--token-file", type=pathlib.Path, help="file of the caller's token")
    parser.add_argument("--request-id", default=str(uuid.uuid4()), help="the same one finds the same launch again")
    parser.add_argument("--type", default="S5.SMALL1", help="model")
    parser.add_argument("--count", type=int, default=1, help="how many machines")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="how long to wait in all")
    return parser.parse_args()


def main():
    arguments = parse()
    request = pb.RunInstancesRequest(
        request_id=arguments.request_id,
        region="ap-shanghai",
        spec=spec.InstanceSpec(
            placement=spec.Placement(zone="ap-shanghai-2"),
            image_id="img-pmqg1cw7",
            instance_type=arguments.type,
            instance_count=arguments.count,
        ),
    )
    deadline = time.monotonic() + arguments.timeout
    operation = None
    # Before the first call: whatever ends this program, who has the id can go on.
    print(f"request_id {request.request_id}", file=sys.stderr, flush=True)
    with connect(arguments) as channel:
        try:
            for operation in follow(stubs.CvmGatewayServiceStub(channel), request, deadline):
                state = operations.OperationState.Name(operation.state).removeprefix("OPERATION_STATE_")
                print(f"{operation.sequence} {state} {operation.name}", flush=True)
        except grpc.RpcError as error:
            print("\n  ".join(explain(error)), file=sys.stderr)
            if goes_on(error, operation):
                again = f"run this again with --request-id {request.request_id}, which never launches twice"
                print(f"the launch goes on if it was accepted: {again}", file=sys.stderr)
            return 1
    for instance in operation.instances:
        print(instance.instance_id, instance.instance_state, *instance.private_ip_addresses)
    # A stream that was resumed ends well at every end: the snapshot tells which one.
    if operation.HasField("failure"):
        print(f"{operation.failure.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
