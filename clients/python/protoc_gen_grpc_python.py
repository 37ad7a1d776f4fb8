"""Speaks the protocol of protoc's plugins for the generator of gRPC stubs, which grpcio-tools has inside only."""

import pathlib
import sys
import tempfile

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc

request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
answer = plugin_pb2.CodeGeneratorResponse()
answer.supported_features = answer.FEATURE_PROTO3_OPTIONAL
asked = set(request.file_to_generate)
# Of a file without a service it would make a module without anything in it.
with_service = [file.name for file in request.proto_file if file.name in asked and file.service]
with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder)
    files = out / "files.binpb"
    files.write_bytes(descriptor_pb2.FileDescriptorSet(file=request.proto_file).SerializeToString())
    arguments = [f"--descriptor_set_in={files}", f"--grpc_python_out={out}"]
    if with_service and protoc.main(["protoc", *arguments, *with_service]) != 0:
        answer.error = "grpc_python failed"
    for path in sorted(out.rglob("*.py")):
        answer.file.add(name=str(path.relative_to(out)), content=path.read_text())
sys.stdout.buffer.write(answer.SerializeToString())
