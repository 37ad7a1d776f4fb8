#!/usr/bin/env python3
"""Writes requests.jsonl: RunInstances requests, sound ones just inside a rule and bad ones just
outside of it, each with the gRPC code and the fields that the gateway must answer with.

The expectations are written here by hand from the contract (../contract/cvm-contract.json and the
cloud's page), by rule and not by asking the gateway. `options` says whether the options of the
proto (buf.validate) refuse the request as well: they know most rules, and never refuse more than
the gateway. The time of the rules is 2026-11-23T12:00:00Z. With --print the lines go to stdout.
"""

import base64
import copy
import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
LEAST = {
    "request_id": "corpus",
    "region": "ap-shanghai",
    "spec": {
        "placement": {"zone": "ap-shanghai-2"},
        "image_id": "img-pmqg1cw7",
        "instance_type": "S5.SMALL1",
    },
}
NETWORK = {"vpc_id": "vpc-1a2b3c4d", "subnet_id": "subnet-1a2b3c4d"}
PASSWORD = "Sound-Passw0rd"
ROWS = []
# Bad specifications that can be combined: what is set, and the fields that are told.
PARTS = []


def merged(base, changes):
    """`base` with `changes` laid over it; None takes a member away."""
    base = copy.deepcopy(base)
    for name, change in changes.items():
        if change is None:
            base.pop(name, None)
        elif isinstance(change, dict) and isinstance(base.get(name), dict):
            base[name] = merged(base[name], change)
        else:
            base[name] = copy.deepcopy(change)
    return base


def row(name, changes, fields=(), options=False):
    code = "INVALID_ARGUMENT" if fields else "OK"
    request = merged(LEAST, changes)
    fields = sorted(fields)
    ROWS.append(
        {"name": name, "code": code, "fields": fields, "options": options, "request": request}
    )


def good(name, **spec):
    row(name, {"spec": spec})


def bad(name, fields, options, **spec):
    """A bad specification. `fields` are paths without `spec.`; `options`: the proto knows."""
    fields = [fields] if isinstance(fields, str) else fields
    fields = ["spec." + field for field in fields]
    row(name, {"spec": spec}, fields, options)
    if len(spec) == 1 and None not in spec.values():
        PARTS.append((spec, fields, options))


def at(path, value):
    """The specification that has `value` at `path`: names, with [] for a list of one."""
    for name in reversed(path.split(".")):
        value = {name[:-2]: [value]} if name.endswith("[]") else {name: value}
    return value


def place(path):
    return path.replace("[]", "[0]")


def over(beside, path, value):
    return merged(beside, at(path, value))


# Fields that hold an id: path, what it is of, what it needs beside it.
SECOND = {"interface_type": "SECONDARY", "private_ipv4_address_count": 1, **NETWORK}
FIRST = {**SECOND, "interface_type": "PRIMARY"}
IDS = [
    ("image_id", "img", {}),
    ("virtual_private_cloud.vpc_id", "vpc", {"virtual_private_cloud": NETWORK}),
    ("virtual_private_cloud.subnet_id", "subnet", {"virtual_private_cloud": NETWORK}),
    ("security_group_ids[]", "sg", {}),
    ("disaster_recover_group_ids[]", "ps", {}),
    ("login_settings.key_ids[]", "skey", {}),
    ("hpc_cluster_id", "hpc", {}),
    ("launch_template.launch_template_id", "lt", {}),
    ("dedicated_cluster_id", "cluster", {}),
    ("chc_ids[]", "chc", {}),
    ("placement.host_ids[]", "host", {}),
    (
        "placement.dedicated_resource_pack_ids[]",
        "rpp",
        {"placement": {"dedicated_resource_pack_tenancy": "ResourcePool"}},
    ),
    ("internet_accessible.bandwidth_package_id", "bwp", {}),
]
for path, kind, beside in IDS:
    for value in ["-1a2b3c4d", "-0", "-a", "-00000000000000000"]:
        good(f"{path}: {kind}{value}", **over(beside, path, kind + value))
    wrong = ["-", "", "-1A2b3c4d", "_1a2b3c4d", "-1a2b 3c4", "-1a2b3c4d ", "-1a2b3c4d\n"]
    wrong = [kind + end for end in wrong]
    wrong += [kind.upper() + "-1a2b3c4d", " " + kind + "-1a2b3c4d", "x" + kind + "-1", "ins-1a2b3c4d"]
    wrong += [kind + "-1a2b3c4d,", kind + "-\u4e2d", kind + "-1a2b-3c4d", kind + "-é", "1a2b3c4d"]
    for value in wrong:
        bad(f"{path}: {value!r}", place(path), True, **over(beside, path, value))
for path, kind, beside in IDS:
    if kind not in ("vpc", "subnet"):
        bad(f"{path}: empty", place(path), True, **over(beside, path, ""))
for name in ["security_group_ids", "chc_ids"]:
    kind = {"security_group_ids": "sg", "chc_ids": "chc"}[name]
    bad(f"{name}: twice", f"{name}[1]", True, **{name: [kind + "-1", kind + "-1"]})
bad("login_settings.key_ids: twice", "login_settings.key_ids[1]", True,
    login_settings={"key_ids": ["skey-1", "skey-1"]})
bad("placement.host_ids: twice", "placement.host_ids[1]", True,
    placement={"host_ids": ["host-1", "host-1"]})

# Fields that hold one of some words: path, words, what it needs beside it.
WORDS = [
    ("instance_charge_prepaid.renew_flag",
     ["NOTIFY_AND_AUTO_RENEW", "NOTIFY_AND_MANUAL_RENEW", "DISABLE_NOTIFY_AND_MANUAL_RENEW"],
     {"instance_charge_prepaid": {"period": 1}}),
    ("instance_charge_type", ["POSTPAID_BY_HOUR", "SPOTPAID"], {}),
    ("placement.dedicated_resource_pack_tenancy", ["ResourcePool"], {}),
    ("internet_accessible.internet_charge_type",
     ["BANDWIDTH_PREPAID", "TRAFFIC_POSTPAID_BY_HOUR", "BANDWIDTH_POSTPAID_BY_HOUR",
      "BANDWIDTH_PACKAGE"], {}),
    ("internet_accessible.internet_service_provider", ["BGP", "CMCC", "CTCC", "CUCC"], {}),
    ("internet_accessible.ipv4_address_type", ["WanIP", "HighQualityEIP"], {}),
    ("internet_accessible.ipv6_address_type", ["EIPv6", "HighQualityEIPv6"], {}),
    ("login_settings.keep_image_login", ["true", "false"], {}),
    ("instance_market_options.market_type", ["spot"],
     {"instance_market_options": {"spot_options": {"max_price": "0.12"}}}),
    ("instance_market_options.spot_options.spot_instance_type", ["one-time"],
     {"instance_market_options": {"spot_options": {"max_price": "0.12"}}}),
    ("action_timer.timer_action", ["TerminateInstances"],
     {"action_timer": {"action_time": "2030-01-31T23:59:59Z"}}),
]
for path, words, beside in WORDS:
    for word in words:
        good(f"{path}: {word}", **over(beside, path, word))
    first = words[0]
    for word in ["", " " + first, first + " ", first.swapcase(), first + "S", "UNKNOWN", "0"]:
        bad(f"{path}: {word!r}", path, True, **over(beside, path, word))

# Numbers: path, sound ones, bad ones, what they need beside them, whether the options know.
LOW, HIGH = -(2**63), 2**63 - 1
NUMBERS = [
    ("instance_count", [1, 2, 99, 100], [LOW, -1, 0, 501, HIGH], {}, True),
    ("instance_count", [], [101, 500], {}, False),
    ("min_count", [1, 2, 3], [LOW, -1, 0, 4, HIGH], {"instance_count": 3}, True),
    ("min_count", [1], [0, 2], {}, True),
    ("instance_charge_prepaid.period", [*range(1, 13), 24, 36, 48, 60],
     [LOW, -1, 0, 13, 18, 23, 25, 35, 37, 47, 49, 59, 61, 72, HIGH], {}, True),
    ("placement.project_id", [0, 1, HIGH], [-1, LOW], {}, True),
    ("partition_number", [1, 7], [0, -1, LOW], {"disaster_recover_group_ids": ["ps-1"]}, True),
    ("system_disk.disk_size", [1, 20, 50, 2048], [0, -1, LOW], {}, True),
    ("data_disks[].disk_size", [0, 10, 20, 100, 32000], [-10, -1, 1, 5, 9, 11, 15, 55, HIGH], {},
     True),
    ("cpu_topology.core_count", [1, 2, 64], [0, -1, LOW],
     {"cpu_topology": {"thread_per_core": 1}}, True),
    ("cpu_topology.thread_per_core", [1, 2], [0, -1, 3, HIGH],
     {"cpu_topology": {"core_count": 1}}, True),
    ("internet_accessible.internet_max_bandwidth_out", [0, 1, 100, 2000], [-1, LOW], {}, True),
    ("launch_template.launch_template_version", [1, 2, HIGH], [0],
     {"launch_template": {"launch_template_id": "lt-1"}}, True),
    ("network_interfaces[].private_ipv4_address_count", [1, 2, 50], [0, -1, 51, HIGH],
     {"network_interfaces": [FIRST]}, True),
]
for path, sound, wrong, beside, options in NUMBERS:
    def spec_of(value):
        if path.startswith("network_interfaces"):
            return {"network_interfaces": [{**FIRST, path.split(".")[1]: value}]}
        return over(beside, path, value)
    note = " of " + str(beside["instance_count"]) if "instance_count" in beside else ""
    for value in sound:
        good(f"{path}: {value}{note}", **spec_of(value))
    for value in wrong:
        bad(f"{path}: bad {value}{note}", place(path), options, **spec_of(value))

# What is required.
bad("no zone", "placement.zone", True, placement={"zone": ""})
row("no placement", {"spec": {"placement": None}}, ["spec.placement"], True)
row("no image", {"spec": {"image_id": None}}, ["spec.image_id"], True)
row("no spec", {"spec": None}, ["spec"], True)
row("an empty spec", {"spec": {"placement": None, "image_id": None, "instance_type": None}},
    ["spec.placement", "spec.image_id"], True)
bad("a disk without a size", "data_disks[0].disk_size", True, data_disks=[{}])
bad("prepaid without a period", "instance_charge_prepaid.period", True, instance_charge_prepaid={})
bad("a network without ids", ["virtual_private_cloud.vpc_id", "virtual_private_cloud.subnet_id"],
    True, virtual_private_cloud={})
bad("a template without an id", "launch_template.launch_template_id", True, launch_template={})
bad("market options without a bid", "instance_market_options.spot_options", True,
    instance_market_options={})
bad("a bid without a price", "instance_market_options.spot_options.max_price", True,
    instance_market_options={"spot_options": {}})
bad("metadata without items", "metadata.items", True, metadata={})
bad("metadata without a key", "metadata.items[0].key", True, metadata={"items": [{"value": "v"}]})
bad("a timer without anything", ["action_timer.timer_action", "action_timer.action_time"], True,
    action_timer={})
bad("an interface without anything",
    ["network_interfaces"] + ["network_interfaces[0]." + name for name in
     ["interface_type", "vpc_id", "subnet_id", "private_ipv4_address_count"]],
    True, network_interfaces=[{}])
bad("tags without a type", "tag_specification[0].resource_type", True,
    tag_specification=[{"tags": [{"key": "a", "value": "b"}]}])
bad("tags without tags", "tag_specification[0].tags", True,
    tag_specification=[{"resource_type": "instance"}])

# Names of the gateway's own.
for value in ["a", "A-z_0.9", "x" * 64, "018f-b6"]:
    row(f"request_id: {value}", {"request_id": value})
for value in ["", "x" * 65, "a b", "a/b", "\u4e2d", "a\n", "a\u0000"]:
    row(f"request_id: bad {value!r}", {"request_id": value}, ["request_id"], True)
for region, zone in [("ap-beijing", "ap-beijing-6"), ("ap-xian-2", "ap-xian-2-1"),
                     ("ap-shanghai-fsi", "ap-shanghai-fsi-1"), ("ap-shanghai", "ap-shanghai-1"),
                     ("ap-shanghai", "ap-shanghai-99"), ("ap-shanghai", "ap-shanghai-edge-1")]:
    row(f"{zone} of {region}", {"region": region, "spec": {"placement": {"zone": zone}}})
for region in ["", "ap", "AP-SHANGHAI", "ap-shanghai ", "ap_shanghai", "ap-shanghai.evil.example",
               "http://ap-shanghai", "ap-\u4e0a\u6d77", "ap-shanghai\r\nHost: evil.example"]:
    row(f"region: {region!r}", {"region": region}, ["region"], True)
for zone in ["ap-shanghai", "ap-shanghai-", "ap-shanghai1", "ap-beijing-1", "AP-SHANGHAI-2",
             "ap-shanghai-2 ", "ap-shanghai-\u4e8c", "shanghai-2", "2", "ap-shanghai_2",
             "ap-shanghai-2\n"]:
    bad(f"zone: {zone!r}", "placement.zone", True, placement={"zone": zone})
for account in ["main", "a", "x" * 64]:
    row(f"account: {account}", {"account": account})
for account in ["", "Main", "a b", "x" * 65]:
    row(f"account: bad {account!r}", {"account": account}, ["account"], True)

# Billing and instance types.
HOSTED = {"instance_charge_type": "CDHPAID", "placement": {"host_ids": ["host-1a2b3c4d"]}}
good("prepaid", instance_charge_type="PREPAID", instance_charge_prepaid={"period": 1})
good("prepaid by a template", instance_charge_type="PREPAID",
     launch_template={"launch_template_id": "lt-1"})
bad("prepaid for no time", "instance_charge_prepaid", True, instance_charge_type="PREPAID")
good("a period for nothing", instance_charge_prepaid={"period": 1})
good("spot without options", instance_charge_type="SPOTPAID")
good("options without spot",
     instance_market_options={"spot_options": {"max_price": "1"}})
good("a cluster", instance_charge_type="CDCPAID", dedicated_cluster_id="cluster-1a2b3c4d")
bad("a cluster without a name", "dedicated_cluster_id", True, instance_charge_type="CDCPAID")
for kind in ["CDH_1C1G", "CDH_4C8G", "CDH_128C512G"]:
    good(f"{kind} of a host", instance_type=kind, **HOSTED)
    bad(f"{kind} of no host", "instance_type", True, instance_type=kind)
for kind in ["S5.MEDIUM2", "CDH_1C", "CDH_1C1", "CDH_C1G", "CDH_1CG", "cdh_1c1g", "CDH_-1C1G",
             "CDH_1C1G ", "CDH_1.5C2G", "CDH_+1C1G", ""]:
    bad(f"{kind!r} on a host", "instance_type", True, instance_type=kind, **HOSTED)
for kind in ["CDH_0C1G", "CDH_1C0G"]:
    bad(f"{kind!r} on a host", "instance_type", True, instance_type=kind, **HOSTED)
bad("a share beyond numbers", "instance_type", False, instance_type="CDH_99999999999C1G", **HOSTED)
row("no type on a host", merged({"spec": HOSTED}, {"spec": {"instance_type": None}}) |
    {"spec": {**HOSTED, "instance_type": None}}, ["spec.instance_type"], True)
bad("a host without a name", "placement.host_ids", True, instance_charge_type="CDHPAID",
    instance_type="CDH_1C1G")
good("a host by a template", instance_charge_type="CDHPAID", instance_type="CDH_1C1G",
     launch_template={"launch_template_id": "lt-1"})
good("a share by a template", instance_type="CDH_1C1G",
     launch_template={"launch_template_id": "lt-1"})
for kind in ["S5.MEDIUM2", "SA2.SMALL1", "BMG5t.24XLARGE384", "S1.SMALL1", "a.b"]:
    good(f"type {kind}", instance_type=kind)
for kind in ["", "S5", "S5.", ".MEDIUM2", "S5..MEDIUM2", "S5.MEDIUM2.X", "S5 .MEDIUM2",
             "S5.MEDIUM2 ", "S5-MEDIUM2", "S5.MEDIUM-2", "\uff33\uff15.MEDIUM2", "S5.MEDIUM2\n"]:
    bad(f"type {kind!r}", "instance_type", True, instance_type=kind)
for price in ["0.12", "1", "10", "0.0001", "12345.67890", "00.1", "12345678901234567890"]:
    good(f"bid {price}", instance_market_options={"spot_options": {"max_price": price}})
for price in ["cheap", "-1", "+1", "1.", ".5", "1,5", "1e3", "inf", "NaN", " 1", "1 ", "1.2.3",
              "0x1", "\u0661", "$1", "1\n", "123456789012345678901"]:
    bad(f"bid {price!r}", "instance_market_options.spot_options.max_price", True,
        instance_market_options={"spot_options": {"max_price": price}})
for price in ["0", "0.0", "00.000"]:
    bad(f"bid {price!r}", "instance_market_options.spot_options.max_price", True,
        instance_market_options={"spot_options": {"max_price": price}})

# Names.
for name in ["", "web", "\u6d4b\u8bd5 a", "x" * 128, "\u4e2d" * 128, "{R:1}", "a{R:1,F:8}", "{",
             "{}", "web-{R:x}", "x" * 119 + "{R:1,F:8}"]:
    good(f"name {name[-20:]!r} of {len(name)}", instance_name=name)
for name in ["x" * 129, "\u4e2d" * 129, "x" * 124 + "{R:1}", "x" * 9999]:
    bad(f"name {name[-5:]!r} of {len(name)}", "instance_name", True, instance_name=name)
good("a name that is numbered", instance_name="x" * 127, instance_count=9)
bad("a name that outgrows its bound", "instance_name", False, instance_name="x" * 127,
    instance_count=10)
for name in ["ab", "a1", "web-1", "web.example.com", "a-b-c.d-e", "x" * 60, "A9", "{R:10}",
             "web{R:1}", "vm-{IP}", "web{R:1,F:3}", "1234", "a{R:1}.b{R:2}", "x" * 54 + "{R:1,F:6}"]:
    good(f"host {name[:24]!r} of {len(name)}", host_name=name)
for name in ["", "a", "-web", "web-", ".web", "web.", "a..b", "a--b", "a.-b", "a-.b",
             "x" * 61, "{R:1}", "web{", "web{R:1", "web{R:1,F:9}", "web}", "{}", "a:b", "a,b",
             "{R:1,F:}x", "web{R:}", "x" * 50 + "{IP}", "web{R:99999999999999999999}"]:
    bad(f"host {name[:24]!r} of {len(name)}", "host_name", name == "", host_name=name)
for name in ["we b", "web_1", "w\u00e9b", "\u6d4b\u8bd5", "web!", "web/", "web\n", "web\u0000"]:
    bad(f"host {name!r}", "host_name", True, host_name=name)
good("a host that is numbered", host_name="x" * 59, instance_count=9)
bad("a host that outgrows its bound", "host_name", False, host_name="x" * 59, instance_count=10)
good("a host of one character that is numbered", host_name="x", instance_count=2)
bad("a host whose first number is one character", "host_name", False, host_name="{R:9}",
    instance_count=2)

# Login.
def login(**settings):
    return {"login_settings": settings}


for text in [PASSWORD, "abcdefg1", "ABCDEFG-", "12345678a", "-" * 7 + "9", "aA1-" * 7 + "aA",
             "()`~!@#$%^&*-+=|{}[]:;',.?/a"]:
    good(f"password {text}", **login(password=text))
for text in ["", "aA1-aA1", "aA1-" * 7 + "aA1", "pass word1", "passw\u00f6rd1", "password1\n",
             "password1\\", "password1\"", "password1<", "password1_", "\u4e2d\u6587password1",
             "x" * 29 + "1_", "\U0001f600password1"]:
    twice = ["login_settings.password"]
    if text == "" or text == "x" * 29 + "1_":
        twice *= 2
    bad(f"password {text!r}", twice, True, **login(password=text))
for text in ["abcdefgh", "ABCDEFGH", "12345678", "--------"]:
    bad(f"password {text}", "login_settings.password", True, **login(password=text))
good("keys", **login(key_ids=["skey-1", "skey-2"]))
good("nothing about login", **login())
good("keys, and no keeping", **login(key_ids=["skey-1"], keep_image_login="false"))
for name, settings in [
    ("password and keys", {"password": PASSWORD, "key_ids": ["skey-1"]}),
    ("password and keeping", {"password": PASSWORD, "keep_image_login": "true"}),
    ("keys and keeping", {"key_ids": ["skey-1"], "keep_image_login": "true"}),
    ("all three", {"password": PASSWORD, "key_ids": ["skey-1"], "keep_image_login": "true"}),
]:
    bad(f"login: {name}", "login_settings", True, **login(**settings))

# User data, metadata, role, topology, timer.
def encoded(size):
    return base64.b64encode(b"x" * size).decode()


for size in [0, 1, 2, 3, 1000, 16384]:
    good(f"user data of {size}", user_data=encoded(size))
bad("user data of 16385", "user_data", False, user_data=encoded(16385))
bad("user data of 17000", "user_data", True, user_data=encoded(17000))
for text in ["#!/bin/sh", "YQ=", "YQ===", "Y", "YQ==\n", "YQ= =", " YQ==", "Y-_x", "=YQ=",
             "YQ==YQ==", "\u4e2d\u6587", "Y\u0000=="]:
    bad(f"user data {text!r}", "user_data", True, user_data=text)
for text in ["YR==", "YWJ="]:
    bad(f"user data {text!r}, whose last bits are lost", "user_data", False, user_data=text)
for key in ["k", "a-b_C9", "x" * 128]:
    good(f"metadata {key[:9]} of {len(key)}", metadata={"items": [{"key": key, "value": "v"}]})
for key in ["", "x" * 129, "a b", "a.b", "\u00e9", "a\n", "k:v", "k/v"]:
    bad(f"metadata key {key[:9]!r} of {len(key)}", "metadata.items[0].key", True,
        metadata={"items": [{"key": key, "value": "v"}]})
good("metadata without a value", metadata={"items": [{"key": "k"}]})
for role in ["Role", "a+=,.@_-9"]:
    good(f"role {role}", cam_role_name=role, virtual_private_cloud=NETWORK)
for role in ["", "a b", "a/b", "\u89d2\u8272", "a\n", "a:b", "qcs::cam"]:
    bad(f"role {role!r}", "cam_role_name", True, cam_role_name=role, virtual_private_cloud=NETWORK)
bad("a role without a network", "cam_role_name", True, cam_role_name="Role")
good("a role on interfaces", cam_role_name="Role", network_interfaces=[FIRST])
good("a role by a template", cam_role_name="Role", launch_template={"launch_template_id": "lt-1"})
good("no topology", cpu_topology={})
bad("cores alone", "cpu_topology", True, cpu_topology={"core_count": 1})
bad("threads alone", "cpu_topology", True, cpu_topology={"thread_per_core": 1})


def timer(time):
    return {"action_timer": {"timer_action": "TerminateInstances", "action_time": time}}


for time in ["2026-11-23T12:05:00Z", "2026-11-23T12:05:01Z", "2030-01-31T23:59:59Z",
             "2028-02-29T00:00:00Z"]:
    good(f"timer {time}", **timer(time))
for time in ["2026-11-23T12:04:59Z", "2026-11-23T12:00:00Z", "2020-01-01T00:00:00Z",
             "2027-02-29T00:00:00Z", "2030-01-31T24:00:00Z", "2030-13-01T00:00:00Z",
             "2030-01-31T23:60:00Z"]:
    bad(f"timer {time}", "action_timer.action_time", False, **timer(time))
for time in ["", "soon", "2030-01-31", "2030-01-31 23:59:59", "2030-01-31T23:59:59",
             "2030-01-31T23:59:59+08:00", "2030-01-31T23:59:59.000Z", "2030-1-31T23:59:59Z",
             "2030-01-31t23:59:59z", " 2030-01-31T23:59:59Z", "1769903999", "+2030-01-31T23:59:59Z"]:
    bad(f"timer {time!r}", "action_timer.action_time", True, **timer(time))

# Disks.
def disks(*kinds, size=100):
    return {"data_disks": [{"disk_size": size, **({"disk_type": k} if k else {})} for k in kinds]}


cloud = ["CLOUD_PREMIUM"]
for name, kinds in [("20 cloud", cloud * 20), ("20 cloud and one local", cloud * 20 + ["LOCAL_SSD"]),
                    ("20 of no class", [None] * 20), ("one local", ["LOCAL_BASIC"]),
                    ("one local and 20 of no class", ["LOCAL_BASIC"] + [None] * 20),
                    ("20 cloud and one of no class", cloud * 20 + [None]),
                    ("a class of tomorrow", ["CLOUD_NEXT"])]:
    good(f"disks: {name}", **disks(*kinds))
good("disks: 21 that are not bought", **disks(*cloud * 21, size=0))
for name, kinds, options in [
    ("21 cloud", cloud * 21, True), ("two local", ["LOCAL_SSD"] * 2, True),
    ("22", cloud * 22, True), ("100", [None] * 100, True), ("21 of no class", [None] * 21, False),
    ("two local of two classes", ["LOCAL_BASIC", "LOCAL_SSD"], True),
    ("19 cloud and 2 of no class", cloud * 19 + [None] * 2, False),
]:
    bad(f"disks: {name}", "data_disks", options, **disks(*kinds))
for kind in ["LOCAL_NVME", "LOCAL_PRO", "", "cloud_ssd", "CLOUD SSD", "CLOUD-SSD", "\u4e91"]:
    bad(f"data disk {kind!r}", "data_disks[0].disk_type", True, data_disks=[
        {"disk_size": 100, "disk_type": kind}])
    bad(f"system disk {kind!r}", "system_disk.disk_type", True, system_disk={"disk_type": kind})
for size in [100, 110, 0]:
    good(f"SSD of {size}", **disks("CLOUD_SSD", size=size))
for size in [10, 50, 90]:
    bad(f"SSD of {size}", "data_disks[0].disk_size", True, **disks("CLOUD_SSD", size=size))
bad("SSD of 95", ["data_disks[0].disk_size"] * 2, True, **disks("CLOUD_SSD", size=95))
for name, value in [("x" * 128, True), ("\u4e2d" * 128, True), ("x" * 129, False),
                    ("\u4e2d" * 129, False)]:
    call = (lambda n, f, **s: good(n, **s)) if value else (lambda n, f, **s: bad(n, f, True, **s))
    call(f"data disk name {name[:1]} of {len(name)}", "data_disks[0].disk_name",
         data_disks=[{"disk_size": 10, "disk_name": name}])
    call(f"system disk name {name[:1]} of {len(name)}", "system_disk.disk_name",
         system_disk={"disk_name": name})
for value in ["snap-", "snap-A", "vol-1", ""]:
    bad(f"snapshot {value!r}", "data_disks[0].snapshot_id", True,
        data_disks=[{"disk_size": 10, "snapshot_id": value}])
for kind, extra, sound in [("CLOUD_HSSD", 100, True), ("CLOUD_TSSD", 1, True), (None, 0, True),
                           ("CLOUD_SSD", 0, True), ("CLOUD_SSD", 1, False), (None, 1, False),
                           ("CLOUD_HSSD", -1, False), ("CLOUD_BSSD", 100, False)]:
    disk = {"disk_size": 100, "throughput_performance": extra}
    disk |= {"disk_type": kind} if kind else {}
    name = f"{extra} MiB/s of {kind}"
    field = "data_disks[0].throughput_performance"
    good(name, data_disks=[disk]) if sound else bad(name, field, True, data_disks=[disk])

# Network.
def network(**changes):
    return {"virtual_private_cloud": merged(NETWORK, changes)}


good("a network", **network())
good("the network is the cloud's choice", **network(vpc_id="DEFAULT", subnet_id="DEFAULT"))
for vpc, subnet in [("DEFAULT", "subnet-1"), ("vpc-1", "DEFAULT")]:
    bad(f"{vpc} and {subnet}", "virtual_private_cloud.subnet_id", True,
        **network(vpc_id=vpc, subnet_id=subnet))
for vpc in ["default", "Default", "DEFAULT "]:
    bad(f"{vpc!r} for a network", "virtual_private_cloud.vpc_id", True, **network(vpc_id=vpc))
ADDRESSES = "virtual_private_cloud.private_ip_addresses"
fixed = [f"10.0.0.{number}" for number in range(1, 31)]
for count in [1, 2, 19, 20]:
    good(f"{count} fixed", instance_count=count, **network(private_ip_addresses=fixed[:count]))
for count, given, options in [(1, 2, True), (2, 1, True), (3, 20, True), (21, 21, True), (30, 30, True)]:
    bad(f"{given} fixed for {count}", ADDRESSES, options, instance_count=count,
        **network(private_ip_addresses=fixed[:given]))
bad("two fixed for nothing said", ADDRESSES, True, **network(private_ip_addresses=fixed[:2]))
for address in ["", "10.0.0", "10.0.0.256", "10.0.0.1/24", "::1", "localhost", " 10.0.0.1",
                "10.0.0.1\n", "010.0.0.1", "10.0.0.1.1", "0x0a.0.0.1", "167772161"]:
    bad(f"address {address!r}", ADDRESSES + "[0]", True, **network(private_ip_addresses=[address]))
bad("one address twice", ADDRESSES + "[1]", True, instance_count=2,
    **network(private_ip_addresses=["10.0.0.1"] * 2))
good("a gateway", internet_accessible={"internet_max_bandwidth_out": 1},
     **network(as_vpc_gateway=True))
good("no gateway", **network(as_vpc_gateway=False))
for internet in [None, {}, {"internet_max_bandwidth_out": 0},
                 {"internet_max_bandwidth_out": 1, "public_ip_assigned": False}]:
    bad(f"a gateway with {internet}", "virtual_private_cloud.as_vpc_gateway", True,
        internet_accessible=internet, **network(as_vpc_gateway=True))
for internet, sound in [
    ({"internet_max_bandwidth_out": 1, "public_ip_assigned": True}, True),
    ({"internet_max_bandwidth_out": 0, "public_ip_assigned": False}, True),
    ({"public_ip_assigned": False}, True),
    ({"internet_max_bandwidth_out": 0, "public_ip_assigned": True}, False),
    ({"public_ip_assigned": True}, False),
]:
    name, field = f"internet {internet}", "internet_accessible.public_ip_assigned"
    good(name, internet_accessible=internet) if sound else \
        bad(name, field, True, internet_accessible=internet)
good("an address by a template", internet_accessible={"public_ip_assigned": True},
     launch_template={"launch_template_id": "lt-1"})
good("a shielded address", internet_accessible={"ipv4_address_type": "AntiDDoSEIP",
                                                 "anti_ddos_package_id": "bgp-1"})
bad("a shielded address without a package", "internet_accessible.anti_ddos_package_id", True,
    internet_accessible={"ipv4_address_type": "AntiDDoSEIP"})
groups = [f"sg-{number}" for number in range(9)]
good("5 security groups", security_group_ids=groups[:5])
bad("6 security groups", "security_group_ids", True, security_group_ids=groups[:6])
bad("2 placement groups", "disaster_recover_group_ids", True,
    disaster_recover_group_ids=["ps-1", "ps-2"])
bad("a partition of no group", "partition_number", True, partition_number=1)
good("a partition by a template", partition_number=1, launch_template={"launch_template_id": "lt-1"})
bad("packs of no tenancy", "placement.dedicated_resource_pack_tenancy", True,
    placement={"dedicated_resource_pack_ids": ["rpp-1"]})


# Interfaces.
def interfaces(*changes):
    return {"network_interfaces": [merged(base, change) for base, change in changes]}


at0, at1 = "network_interfaces[0].", "network_interfaces[1]."
good("one interface", **interfaces((FIRST, {})))
good("two interfaces", **interfaces((FIRST, {}), (SECOND, {})))
good("an interface in the cloud's choice",
     **interfaces((FIRST, {"vpc_id": "DEFAULT", "subnet_id": "DEFAULT"})))
good("an interface of one's own", **interfaces((FIRST, {}), (SECOND, {"network_interface_id": "eni-1"})))
good("an interface that stays", **interfaces((FIRST, {}), (SECOND, {"delete_with_instance": False})))
good("an interface of 5 groups", **interfaces((FIRST, {"security_group_ids": groups[:5]})))
bad("no primary interface", "network_interfaces", True, **interfaces((SECOND, {})))
bad("two primary interfaces", "network_interfaces", True, **interfaces((FIRST, {}), (FIRST, {})))
bad("an interface of 6 groups", at0 + "security_group_ids", True,
    **interfaces((FIRST, {"security_group_ids": groups[:6]})))
bad("a primary interface that stays", at0 + "delete_with_instance", True,
    **interfaces((FIRST, {"delete_with_instance": False})))
bad("a primary interface of one's own", at0 + "network_interface_id", True,
    **interfaces((FIRST, {"network_interface_id": "eni-1"})))
bad("an interface of one's own for two", at1 + "network_interface_id", True, instance_count=2,
    **interfaces((FIRST, {}), (SECOND, {"network_interface_id": "eni-1"})))
for value in ["", "eni-", "eni-A", "ENI-1", "sg-1"]:
    bad(f"interface {value!r}", at1 + "network_interface_id", True,
        **interfaces((FIRST, {}), (SECOND, {"network_interface_id": value})))
for kind in ["primary", "Secondary", "THIRD", "PRIMARY "]:
    bad(f"an interface that is {kind!r}", at1 + "interface_type", True,
        **interfaces((FIRST, {}), (SECOND, {"interface_type": kind})))
for vpc, subnet, field in [("DEFAULT", "subnet-1", "subnet_id"), ("vpc-1", "DEFAULT", "subnet_id"),
                           ("vpc", "subnet-1", "vpc_id"), ("vpc-1", "subnet", "subnet_id"),
                           ("subnet-1", "subnet-1", "vpc_id")]:
    bad(f"an interface in {vpc} and {subnet}", at0 + field, True,
        **interfaces((FIRST, {"vpc_id": vpc, "subnet_id": subnet})))


# Tags.
def tags(*pairs, kind="instance"):
    tags = [{"key": key, "value": value} for key, value in pairs]
    return {"tag_specification": [{"resource_type": kind, "tags": tags}]}


many = [(f"k{number}", "v") for number in range(60)]
for name, pairs in [("one", [("team", "web")]), ("49", many[:49]), ("long", [("k" * 128, "v" * 256)]),
                    ("chinese", [("\u4e2d" * 128, "\u6587" * 256)]), ("empty", [("k", "")]),
                    ("two cases", [("team", "a"), ("Team", "a")])]:
    good(f"tags: {name}", **tags(*pairs))
TAG = "tag_specification[0].tags[0]."
for name, pairs, field, options in [
    ("50", many[:50], "tag_specification", True),
    ("a long key", [("k" * 129, "v")], TAG + "key", True),
    ("a long value", [("k", "v" * 257)], TAG + "value", True),
    ("an empty key", [("", "v")], TAG + "key", True),
    ("a line in a key", [("a\nb", "v")], TAG + "key", True),
    ("a line in a value", [("k", "a\nb")], TAG + "value", True),
    ("a zero in a value", [("k", "a\u0000")], TAG + "value", True),
    ("a reserved key", [("cvm-gateway:operation", "v")], TAG + "key", True),
    ("another reserved key", [("cvm-gateway:", "v")], TAG + "key", True),
    ("one key twice", [("k", "a"), ("k", "b")], "tag_specification[0].tags[1].key", True),
]:
    bad(f"tags: {name}", field, options, **tags(*pairs))
for kind in ["host", "image", "keypair", "ps", "hpc", "Instance", "instances"]:
    bad(f"tags of {kind}", "tag_specification[0].resource_type", True, **tags(("k", "v"), kind=kind))
bad("tags in two parts", "tag_specification[1].resource_type", True, tag_specification=[
    *tags(("a", "b"))["tag_specification"], *tags(("c", "d"))["tag_specification"]])

# Templates.
good("a template", launch_template={"launch_template_id": "lt-1a2b3c4d"})
row("a template for all", {"spec": {"placement": None, "image_id": None, "instance_type": None,
                                     "launch_template": {"launch_template_id": "lt-1"}}})

# Alternatives.
ELSEWHERE = [{"zone": "ap-shanghai-4"}, {"instance_type": "S6.SMALL2"},
             {"zone": "ap-shanghai-4", "instance_type": "S6.SMALL2"}]
for number, place_ in enumerate(ELSEWHERE):
    row(f"alternative {number}", {"alternatives": [place_]})
row("10 alternatives", {"alternatives": ELSEWHERE[:1] * 10})
row("an alternative subnet", {"spec": network(), "alternatives": [
    {"zone": "ap-shanghai-4", "subnet_id": "subnet-2"}]})
row("an alternative zone of the cloud's choice", {
    "spec": network(vpc_id="DEFAULT", subnet_id="DEFAULT"), "alternatives": ELSEWHERE[:1]})
KNOWN = {"11 alternatives", "an empty alternative", "an alternative of a bad type",
         "a bad alternative subnet", "two bad alternatives"}
for name, changes, fields in [
    ("11 alternatives", {"alternatives": ELSEWHERE[:1] * 11}, ["alternatives"]),
    ("an empty alternative", {"alternatives": [{}]}, ["alternatives[0]"]),
    ("an alternative elsewhere", {"alternatives": [{"zone": "ap-beijing-1"}]},
     ["alternatives[0].zone"]),
    ("an alternative of a bad type", {"alternatives": [{"instance_type": "S5"}]},
     ["alternatives[0].instance_type"]),
    ("an alternative on a host", {"alternatives": [{"instance_type": "CDH_1C1G"}]},
     ["alternatives[0].instance_type"]),
    ("an alternative off its host", {"spec": {**HOSTED, "instance_type": "CDH_1C1G"},
     "alternatives": [{"instance_type": "S5.SMALL1"}]}, ["alternatives[0].instance_type"]),
    ("an alternative subnet of no network", {"alternatives": [{"subnet_id": "subnet-1"}]},
     ["alternatives[0].subnet_id"]),
    ("an alternative zone in one subnet", {"spec": network(), "alternatives": ELSEWHERE[:1]},
     ["alternatives[0].subnet_id"]),
    ("a bad alternative subnet", {"spec": network(), "alternatives": [{"subnet_id": "sub"}]},
     ["alternatives[0].subnet_id"]),
    ("an alternative subnet of another's choice", {"spec": network(), "alternatives": [
        {"subnet_id": "DEFAULT"}]}, ["alternatives[0].subnet_id"]),
    ("an alternative subnet in the cloud's choice", {
        "spec": network(vpc_id="DEFAULT", subnet_id="DEFAULT"),
        "alternatives": [{"subnet_id": "subnet-1"}]}, ["alternatives[0].subnet_id"]),
    ("two bad alternatives", {"alternatives": [{}, {"zone": "x"}]},
     ["alternatives[0]", "alternatives[1].zone"]),
]:
    row(name, changes, fields, name in KNOWN)

# Several at once: all are told.
DICE = random.Random(20261123)
while sum(1 for of in ROWS if of["name"].startswith("at once: ")) < 150:
    chosen = DICE.sample(PARTS, DICE.randint(2, 6))
    names = [next(iter(spec)) for spec, _, _ in chosen]
    relations = {"instance_count", "launch_template", "network_interfaces", "instance_charge_type",
                 "internet_accessible", "placement"}
    if len(set(names)) < len(names) or relations & set(names):
        continue
    spec, fields = {}, []
    for part, told, _ in chosen:
        spec |= part
        fields += told
    number = sum(1 for of in ROWS if of["name"].startswith("at once: "))
    row(f"at once: {number}", {"spec": spec}, fields, any(options for _, _, options in chosen))

names = [of["name"] for of in ROWS]
twice = {name for name in names if names.count(name) > 1}
assert not twice, twice
lines = [json.dumps(of, ensure_ascii=True, separators=(",", ":")) + "\n" for of in ROWS]
if sys.argv[1:] == ["--print"]:
    print("".join(lines), end="")
else:
    (HERE / "requests.jsonl").write_text("".join(lines))
    print(len(ROWS), "requests,", sum(1 for of in ROWS if of["fields"]), "of them bad")
