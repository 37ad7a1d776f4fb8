#!/usr/bin/env python3
"""Judges the corpus of requests by the options of the proto, with the official protovalidate, and
prints one line for each request that it judges otherwise than the corpus says.

Usage: validate_check.py DESCRIPTORS REQUESTS
"""

import json
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
import protovalidate


def main(descriptors, requests):
    files = descriptor_pb2.FileDescriptorSet()
    with open(descriptors, "rb") as file:
        files.ParseFromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    descriptor = pool.FindMessageTypeByName("cvmgateway.v1.RunInstancesRequest")
    message_class = message_factory.GetMessageClass(descriptor)
    validator = protovalidate.Validator()
    judged = refused = 0
    with open(requests, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            message = json_format.ParseDict(row["request"], message_class())
            violations = validator.collect_violations(message)
            judged += 1
            refused += bool(violations)
            if bool(violations) != row["options"]:
                told = sorted({of.proto.rule_id for of in violations})
                verdict = f"refused by {', '.join(told)}" if told else "taken"
                print(f"wrong {row['name']!r}: {verdict}")
    print(f"ok {judged} judged, {refused} refused")


main(*sys.argv[1:])
