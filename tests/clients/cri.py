"""Speaks gRPC to a unix socket for tests that have no gRPC of their own: `cri.py SOCKET DESCRIPTORS`.

Each line of standard input is JSON, [METHOD, REQUEST]; each answer is one line too, ["OK", REPLY] or [CODE, TEXT] with
gRPC's code. DESCRIPTORS is what `protoc --descriptor_set_out` makes of the services.
"""

import json
import os
import sys

import grpc
from google.protobuf import descriptor_pb2, json_format, message_factory

PATIENCE = 60 * int(os.environ.get("STOCKADE_TEST_PATIENCE", "1"))  # seconds, on a slow machine more


def methods(descriptors):
    """Every method of the services: its path, and the classes of its request and reply."""
    with open(descriptors, "rb") as file:
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    factory = message_factory.MessageFactory()
    found = {}
    for file in files.file:
        factory.pool.Add(file)
        for service in factory.pool.FindFileByName(file.name).services_by_name.values():
            for method in service.methods:
                kinds = map(factory.GetPrototype, (method.input_type, method.output_type))
                found[method.name] = (f"/{service.full_name}/{method.name}", *kinds)
    return found


def answer(channel, path, request, reply, fields):
    """Makes one call, and gives what is written for it."""
    call = channel.unary_unary(path, request.SerializeToString, reply.FromString)
    try:
        said = call(json_format.ParseDict(fields, request()), timeout=PATIENCE)
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    names = {"preserving_proto_field_name": True, "including_default_value_fields": True}
    return ["OK", json_format.MessageToDict(said, **names)]


def main(socket, descriptors):
    known = methods(descriptors)
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        for line in sys.stdin:
            method, fields = json.loads(line)
            print(json.dumps(answer(channel, *known[method], fields)), flush=True)


main(*sys.argv[1:])
