#!/usr/bin/env python3
"""Writes policy.jsonl: folders of rules, sound ones and bad ones, each with what must become of it.

`files` holds what is in the folder beside sound rules, a sound layer and a sound case: a text, or null
to leave one of those out. `bytes` are files in base64, `repeat` files that hold a text so many times,
`copies` one text under so many names, `links` symbolic links, `folders` empty folders, `pipes` pipes.
`outcome` is `ok` or `wrong`; what is said of a wrong one holds `says`, in which PLACE is the folder.
With --print the lines go to stdout.
"""

import base64
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
RULES = '@id("all") permit(principal, action, resource);\n'
LAYER = 'level = "organization"\norganization = "acme"\n[default]\nhost_name = "aa"\n'
HEAD = 'level = "organization"\norganization = "acme"\n'
CASE = """[[case]]
name = "launch"
principal = "dev"
organization = "acme"
account = "main"
expect = "allow"
[case.request]
region = "ap-shanghai"
spec = { placement = { zone = "ap-shanghai-2" }, image_id = "img-pmqg1cw7", instance_type = "S5.SMALL1" }
"""
ROWS = []


def row(name, outcome, says="", **what):
    ROWS.append({"name": name, "outcome": outcome, "says": says, **what})


def cedar(name, text, says):
    row(f"cedar: {name}", "wrong", says, files={"b.cedar": text})


def layer(name, text, says):
    row(f"layer: {name}", "wrong", says, files={"layers/b.toml": text})


def case(name, text, says):
    row(f"case: {name}", "wrong", says, files={"tests/b.toml": text})


# ---- rules
WHOLE = """@id("web-small")
@reason("small ones only")
permit (
  principal == Service::"web",
  action == Action::"RunInstances",
  resource == Account::"main"
)
when { context.instance_count <= 20 && context has zone };
"""
for cut in range(3, len(WHOLE) - 2, 7):
    cedar(f"torn after {cut} bytes", WHOLE[:cut], "b.cedar")
for name, text, says in [
    ("no id", "permit(principal, action, resource);", "a rule needs an id"),
    ("blank id", '@id("") permit(principal, action, resource);', "a rule needs an id"),
    ("id of blanks", '@id(" ") permit(principal, action, resource);', "a rule needs an id"),
    ("id with a colon", '@id("layer:web") permit(principal, action, resource);', "a rule needs an id"),
    ("id of 64 characters", f'@id("{"a" * 64}") permit(principal, action, resource);', "a rule needs an id"),
    ("an id twice in a file", '@id("b") permit(principal, action, resource);\n@id("b") permit(principal, action, resource);', "another rule has the id `b`"),
    ("an id of another file", '@id("all") forbid(principal, action, resource);', "another rule has the id `all`"),
    ("mistyped annotation", '@id("b") @reson("x") permit(principal, action, resource);', "unknown annotation @reson"),
    ("annotation twice", '@id("b") @id("c") permit(principal, action, resource);', "no Cedar"),
    ("unknown mode", '@id("b") @mode("trial") permit(principal, action, resource);', "@mode must be"),
    ("blank mode", '@id("b") @mode("") permit(principal, action, resource);', "@mode must be"),
    ("template", '@id("b") permit(principal == ?principal, action, resource);', "is a template"),
    ("resource template", '@id("b") permit(principal, action, resource in ?resource);', "is a template"),
    ("unknown action", '@id("b") permit(principal, action == Action::"Launch", resource);', "b.cedar:1:"),
    ("unknown type", '@id("b") permit(principal is User, action, resource);', "b.cedar:1:"),
    ("unknown attribute", '@id("b") permit(principal, action == Action::"RunInstances", resource) when { context.cpu > 1 };', "b.cedar:1:"),
    ("an attribute that may be absent", '@id("b") permit(principal, action == Action::"RunInstances", resource) when { context.zone == "a" };', "b.cedar:1:"),
    ("text for a number", '@id("b") permit(principal, action == Action::"RunInstances", resource) when { context.instance_count <= "3" };', "b.cedar:1:"),
    ("number for a set", '@id("b") permit(principal, action == Action::"RunInstances", resource) when { context.tag_keys.contains(3) };', "b.cedar:1:"),
    ("number for a flag", '@id("b") permit(principal, action == Action::"RunInstances", resource) when { context.dry_run == 1 };', "b.cedar:1:"),
    ("a fact that reads have not", '@id("b") permit(principal, action, resource) when { context.region == "a" };', "b.cedar:1:"),
    ("an account for a read", '@id("b") permit(principal, action == Action::"GetOperation", resource == Account::"main");', "b.cedar:1:"),
    ("a condition that is no flag", '@id("b") permit(principal, action, resource) when { 3 };', "b.cedar:1:"),
    ("always false", '@id("b") permit(principal, action == Action::"RunInstances", resource) when { false };', "b.cedar:1:"),
    ("a number too large", '@id("b") permit(principal, action == Action::"RunInstances", resource) when { context.instance_count < 9223372036854775808 };', "b.cedar:1:"),
    ("no semicolon", '@id("b") permit(principal, action, resource)', "no Cedar"),
    ("two arguments", '@id("b") permit(principal, action);', "no Cedar"),
    ("arguments swapped", '@id("b") permit(action, principal, resource);', "no Cedar"),
    ("another verb", '@id("b") allow(principal, action, resource);', "no Cedar"),
    ("an unclosed text", '@id("b) permit(principal, action, resource);', "no Cedar"),
    ("a wrong escape", '@id("b") permit(principal == Service::"\\q", action, resource);', "no Cedar"),
    ("a function that is none", '@id("b") permit(principal, action, resource) when { nothing("a") };', "b.cedar:1:"),
    ("an address that is none", '@id("b") permit(principal, action, resource) when { ip("300.0.0.1").isIpv4() };', "b.cedar:1:"),
    ("JSON", '{"effect": "permit"}', "no Cedar"),
    ("TOML", LAYER, "no Cedar"),
    ("a schema", "entity User;", "no Cedar"),
    ("only a word", "permit", "no Cedar"),
    ("a NUL", '@id("b")\0 permit(principal, action, resource);', "no Cedar"),
    ("a mark of byte order", '\ufeff@id("b") permit(principal, action, resource);', "no Cedar"),
    ("typographic quotes", '@id(“b”) permit(principal, action, resource);', "no Cedar"),
    ("a comment that does not end it", '/* @id("b") permit(principal, action, resource); */', "no Cedar"),
]:
    cedar(name, text, says)
cedar("a thousand brackets", '@id("b") permit(principal, action, resource) when { ' + "(" * 1000 + "true" + ")" * 1000 + " };", "b.cedar:1:152: more than 100 brackets within brackets")
for name, text, says in [
    ("a thousand conditions", " || ".join(["context.instance_count == 1"] * 1000), "more than 500 operators in a rule"),
    ("a sum of a thousand", "context.instance_count" + " + 1" * 1000 + " > 3", "more than 500 operators in a rule"),
    ("a thousand choices", "if true then true else " * 1000 + "true", "more than 500 operators in a rule"),
    ("members of members", "context" + ".a" * 2000, "more than 1000 members in a rule"),
    ("sets in sets", "[" * 1000 + "]" * 1000 + ".isEmpty()", "more than 100 brackets"),
]:
    cedar(name, '@id("b") permit(principal, action == Action::"RunInstances", resource) when { ' + text + " };", says)
cedar("a thousand negations", '@id("b") permit(principal, action, resource) when { ' + "!" * 1000 + "true };", "b.cedar")

# ---- layers
WHOLE = """level = "team"
organization = "acme"
services = ["spiffe://acme/*"]
[default]
image_id = "img-1"
[set.system_disk]
encrypt = true
[append]
security_group_ids = ["sg-1"]
[cap]
instance_count = 20
[require.tags]
owner = true
"""
for cut in range(2, WHOLE.index("image_id")):
    if cut % 6 == 0:
        layer(f"torn after {cut} bytes", WHOLE[:cut], "b.toml")
for cut in (68, 70, 76, 90, 95, 105, 112, 130, 148, 170):
    text = WHOLE[:cut]
    if text.count('"') % 2 or text.count("[") != text.count("]") or text.rstrip().endswith("="):
        layer(f"torn after {cut} bytes", text, "not TOML")
FIELDS = {
    "text": ["instance_type", "image_id", "placement.zone", "system_disk.disk_type", "host_name", "data_disks.disk_type",
             "virtual_private_cloud.vpc_id", "internet_accessible.internet_charge_type", "action_timer.timer_action", "cam_role_name"],
    "number": ["instance_count", "min_count", "system_disk.disk_size", "data_disks.disk_size", "placement.project_id",
               "instance_charge_prepaid.period", "internet_accessible.internet_max_bandwidth_out", "cpu_topology.core_count"],
    "flag": ["disable_api_termination", "system_disk.encrypt", "data_disks.encrypt", "enable_jumbo_frame",
             "enhanced_service.monitor_service.enabled", "internet_accessible.public_ip_assigned"],
    "texts": ["security_group_ids", "login_settings.key_ids", "placement.host_ids", "disaster_recover_group_ids",
              "network_interfaces.security_group_ids"],
}
WRONG = {
    "text": [("3", "is a number; write text"), ("true", "is a flag; write text"), ('["a"]', "is a list; write text"), ('""', "printable")],
    "number": [('"3"', "is text; write a whole number"), ("1.5", "write a whole number"), ("-1", "write a whole number"), ("[1]", "is a list")],
    "flag": [('"true"', "is text; write true or false"), ("1", "is a number; write true or false"), ("[true]", "is a list")],
    "texts": [('"sg-1"', "is text; write a list of texts"), ("[]", "1 to 100 values"), ("[1]", "is a number"), ('["a", "a"]', "twice")],
}
for kind, fields in FIELDS.items():
    for number, field in enumerate(fields):
        value, says = WRONG[kind][number % len(WRONG[kind])]
        verb = ["set", "default"][number % 2]
        within = value.startswith("[") and kind == "texts" and value == "[1]"
        at = f"b.toml:4:{len(field) + 4 + within}: {verb}.{field}: "
        layer(f"{verb} {field} to {value}", f"{HEAD}[{verb}]\n{field} = {value}\n", at)
        ROWS[-1]["says_too"] = says
for kind, verb, says in [
    ("text", "append", "is no list"), ("number", "append", "is no list"), ("flag", "append", "is no list"),
    ("text", "cap", "is no number"), ("flag", "cap", "is no number"), ("texts", "cap", "is no number"),
]:
    for field in FIELDS[kind][:3]:
        value = {"text": '"a"', "number": "1", "flag": "true", "texts": '["a"]'}[kind]
        layer(f"{verb} {field}", f"{HEAD}[{verb}]\n{field} = {value}\n", f"{verb}.{field}: {says}")
for name, text, says in [
    ("nothing", "", "`level` is missing"),
    ("only a comment", "# nothing yet\n", "`level` is missing"),
    ("no organisation", 'level = "organization"\n[set]\nhost_name = "bb"\n', "`organization` is missing"),
    ("no level", 'organization = "acme"\n[set]\nhost_name = "bb"\n', "`level` is missing"),
    ("a level that is none", 'level = "region"\norganization = "acme"\n[set]\nhost_name = "bb"\n', "b.toml:1:9: level: must be one of"),
    ("a level of another type", 'level = 3\norganization = "acme"\n[set]\nhost_name = "bb"\n', "level: must be one of"),
    ("a blank level", 'level = ""\norganization = "acme"\n[set]\nhost_name = "bb"\n', "level: must be one of"),
    ("a blank organisation", 'level = "organization"\norganization = ""\n[set]\nhost_name = "bb"\n', "b.toml:2:16: organization"),
    ("an organisation that is no name", 'level = "organization"\norganization = "A B"\n[set]\nhost_name = "bb"\n', "b.toml:2:16: organization"),
    ("an organisation that is a list", 'level = "organization"\norganization = ["acme"]\n[set]\nhost_name = "bb"\n', "organization: is a list"),
    ("an account layer without", 'level = "account"\norganization = "acme"\n[set]\nhost_name = "bb"\n', "needs `accounts`"),
    ("an environment without", 'level = "environment"\norganization = "acme"\n[set]\nhost_name = "bb"\n', "needs `accounts`, `regions` or `services`"),
    ("a team without", 'level = "team"\norganization = "acme"\n[set]\nhost_name = "bb"\n', "needs `services`"),
    ("a service without", 'level = "service"\norganization = "acme"\naccounts = ["main"]\n[set]\nhost_name = "bb"\n', "needs `services`"),
    ("an organisation in part", HEAD + 'accounts = ["main"]\n[set]\nhost_name = "bb"\n', "for less write another level"),
    ("no accounts in a list", 'level = "account"\norganization = "acme"\naccounts = []\n[set]\nhost_name = "bb"\n', "1 to 100 values"),
    ("an account that is no name", 'level = "account"\norganization = "acme"\naccounts = ["../x"]\n[set]\nhost_name = "bb"\n', "b.toml:3:12: accounts"),
    ("accounts that are text", 'level = "account"\norganization = "acme"\naccounts = "main"\n[set]\nhost_name = "bb"\n', "accounts: is text"),
    ("a region that is none", 'level = "environment"\norganization = "acme"\nregions = ["ap shanghai"]\n[set]\nhost_name = "bb"\n', "regions"),
    ("a region that is a host", 'level = "environment"\norganization = "acme"\nregions = ["a.example/"]\n[set]\nhost_name = "bb"\n', "regions"),
    ("a blank service", 'level = "team"\norganization = "acme"\nservices = [" "]\n[set]\nhost_name = "bb"\n', "printable"),
    ("a service twice", 'level = "team"\norganization = "acme"\nservices = ["a", "a"]\n[set]\nhost_name = "bb"\n', "twice"),
    ("an unknown key", HEAD + 'name = "web"\n[set]\nhost_name = "bb"\n', "b.toml:3:1: unknown key `name`"),
    ("an unknown verb", HEAD + '[override]\nhost_name = "bb"\n', "unknown key `override`"),
    ("a verb that is text", HEAD + 'set = "b"\n', "b.toml:3:7: set: is text, not a table"),
    ("a verb that is a list", HEAD + '[[set]]\nhost_name = "bb"\n', "set: is a list, not a table"),
    ("an empty verb", HEAD + "[set]\n", "changes nothing"),
    ("an unknown field", HEAD + '[set]\nhostname = "b"\n', "b.toml:4:1: set.hostname: is no field of InstanceSpec; do you mean host_name?"),
    ("a field of the cloud's spelling", HEAD + '[set]\nImageId = "img-1"\n', "is no field of InstanceSpec"),
    ("a field with spec.", HEAD + '[set]\nspec.host_name = "bb"\n', "set.spec: is no field of InstanceSpec"),
    ("a field of the request", HEAD + '[set]\nregion = "ap-shanghai"\n', "is no field of InstanceSpec"),
    ("the gateway's own field", HEAD + '[set]\nclient_token = "b"\n', "is no field of InstanceSpec"),
    ("a message for a value", HEAD + "[set]\nsystem_disk = 3\n", "write [set.system_disk]"),
    ("a value for a message", HEAD + "[set.host_name]\nname = \"b\"\n", "set.host_name: is a table; write text"),
    ("a field below a field", HEAD + "[set]\nimage_id.x = \"b\"\n", "set.image_id: is a table; write text"),
    ("a field twice", HEAD + '[set]\nhost_name = "bb"\nhost_name = "cc"\n', "not TOML"),
    ("a table twice", HEAD + '[set]\nhost_name = "bb"\n[set]\nimage_id = "c"\n', "not TOML"),
    ("a list of disks", HEAD + "[set]\ndata_disks = [{ disk_size = 10 }]\n", "write [set.data_disks]"),
    ("tags as a list", HEAD + '[append]\ntags = ["owner"]\n', "write [append.tags]"),
    ("a tag that is a number", HEAD + "[set.tags]\nowner = 3\n", "set.tags.owner: is a number"),
    ("a blank tag", HEAD + '[set.tags]\n"" = "b"\n', "is no key of a caller's tag"),
    ("the gateway's own tag", HEAD + '[set.tags]\n"cvm-gateway:operation" = "b"\n', "is no key of a caller's tag"),
    ("a cap on a tag", HEAD + "[cap.tags]\nowner = 3\n", "is no number"),
    ("tags by their message", HEAD + '[set.tag_specification]\nresource_type = "instance"\n', "write tags and its key"),
    ("metadata", HEAD + '[set.metadata]\nrole = "b"\n', "cannot speak of metadata"),
    ("a password", HEAD + '[default.login_settings]\npassword = "Secret-0-word"\n', "does not belong into a file of policy"),
    ("a password that is required", HEAD + '[require.login_settings]\npassword = "Secret-0-word"\n', "write true when it must be set"),
    ("user data that is required", HEAD + '[require]\nuser_data = "b"\n', "write true when it must be set"),
    ("user data that is capped", HEAD + "[cap]\nuser_data = 3\n", "is no number"),
    ("a number of another type required", HEAD + "[require]\ninstance_count = [1, \"2\"]\n", "is text; write a whole number"),
    ("no numbers required", HEAD + "[require]\ninstance_count = []\n", "1 to 100 values"),
    ("a flag required by a word", HEAD + '[require]\nsystem_disk.encrypt = "yes"\n', "write true or false"),
    ("a time without a unit", HEAD + "[cap.action_timer]\naction_time = 3\n", 'such as "72h"'),
    ("a time of no unit", HEAD + '[cap.action_timer]\naction_time = "72 parsecs"\n', 'such as "72h"'),
    ("no time", HEAD + '[default.action_timer]\naction_time = "0s"\n', 'such as "72h"'),
    ("an endless time", HEAD + '[cap.action_timer]\naction_time = "99999y"\n', 'such as "72h"'),
    ("a date for a time", HEAD + "[cap.action_timer]\naction_time = 2026-01-01T00:00:00Z\n", "is a date"),
    ("a date for a text", HEAD + "[set]\nhost_name = 2026-01-01\n", "is a date"),
    ("a prefix that is required", HEAD + '[require]\ninstance_name_prefix = "b-"\n', "write it into [set]"),
    ("a prefix by default", HEAD + '[default]\ninstance_name_prefix = "b-"\n', "write it into [set]"),
    ("a number too large", HEAD + "[cap]\ninstance_count = 9223372036854775808\n", "write a whole number"),
    ("a control character", HEAD + '[set]\nhost_name = "a\\u0007"\n', "printable"),
    ("a text over the bound", HEAD + f'[set]\nhost_name = "{"a" * 33000}"\n', "printable"),
    ("a list over the bound", HEAD + "[append]\nsecurity_group_ids = [" + ", ".join(f'"sg-{n}"' for n in range(101)) + "]\n", "1 to 100 values"),
    ("over a thousand fields", HEAD + "[set.tags]\n" + "".join(f'k{n} = "v"\n' for n in range(1001)), "more than 1000 fields"),
    ("lists in lists", HEAD + "[set]\nhost_name = " + "[" * 500 + "]" * 500 + "\n", "b.toml"),
    ("tables in tables", HEAD + "[set]\n" + "a." * 500 + "a = 1\n", "b.toml"),
    ("Cedar", RULES, "not TOML"),
    ("JSON", '{"level": "organization"}', "not TOML"),
    ("YAML", "level: organization\norganization: acme\n", "not TOML"),
    ("a NUL", HEAD + "[set]\nhost_name = \"a\0\"\n", "not TOML"),
    ("lone carriage returns", HEAD.replace("\n", "\r") + "[set]\rhost_name = \"bb\"\r", "not TOML"),
    ("a mark of byte order within", HEAD + "\ufeff[set]\nhost_name = \"bb\"\n", "not TOML"),
    ("no value", HEAD + "[set]\nhost_name =\n", "not TOML"),
    ("no quotes", HEAD + "[set]\nhost_name = b\n", "not TOML"),
]:
    layer(name, text, says)
row("layer: a name with a blank", "wrong", "the name of the file", files={"layers/b c.toml": LAYER})
row("layer: a name of 64 characters", "wrong", "the name of the file", files={f"layers/{'b' * 64}.toml": LAYER})
row("layer: a name that is hidden", "wrong", "PLACE/layers/.b c.toml", files={"layers/.b c.toml": LAYER})

# ---- cases
BODY = CASE.replace("[[case]]\n", "")
for name, text, says in [
    ("no case", "x = 1\n", "no cases: unknown field `x`"),
    ("empty", "", "no cases: missing field `case`"),
    ("not a list", "[case]\n" + BODY.replace("[case.request]", "[case.request]"), "no cases"),
    ("torn", CASE[:40], "no cases"),
    ("torn in the request", CASE[:-20], "no cases"),
    ("a number for a name", CASE.replace('"launch"', "3"), "no cases: invalid type"),
    ("an unknown key", CASE.replace("expect", "expects"), "no cases: unknown field `expects`"),
    ("another expectation", CASE.replace('"allow"', '"maybe"'), "no cases: unknown variant `maybe`"),
    ("no principal", CASE.replace('principal = "dev"\n', ""), "no cases: missing field `principal`"),
    ("no organisation", CASE.replace('organization = "acme"\n', ""), "no cases: missing field `organization`"),
    ("no account", CASE.replace('account = "main"\n', ""), "no cases: missing field `account`"),
    ("an account that is no name", CASE.replace('"main"', '"../x"'), "no cases"),
    ("an organisation that is no name", CASE.replace('"acme"', '"A B"'), "no cases"),
    ("an unknown action", CASE.replace('expect = "allow"', 'action = "Launch"\nexpect = "allow"'), "case `launch`: `Launch` is no action"),
    ("no time", CASE.replace('expect = "allow"', 'time = "noon"\nexpect = "allow"'), "`noon` is no time"),
    ("a date", CASE.replace('expect = "allow"', 'time = 2026-01-05\nexpect = "allow"'), "no cases: invalid type"),
    ("rules that are text", CASE.replace('expect = "allow"', 'rules = "all"\nexpect = "allow"'), "no cases: invalid type"),
    ("denied, which is allowed", CASE.replace('"allow"', '"deny"'), "b.toml:1:1: case `launch`: must be denied, and is allowed by all"),
    ("by another rule", CASE.replace('expect = "allow"', 'rules = ["other"]\nexpect = "allow"'), "must be decided by other, and is by all"),
    ("no request", CASE[: CASE.index("[case.request]")], "case `launch`: has no `request`"),
    ("a request without a region", CASE.replace('region = "ap-shanghai"\n', ""), "region"),
    ("a request without a spec", CASE[: CASE.index("spec =")], "spec"),
    ("an unknown field of the request", CASE.replace("image_id", "imageid"), "unrecognized field name 'imageid'"),
    ("a wrong type in the request", CASE.replace('image_id = "img-pmqg1cw7"', "image_id = 3"), "case `launch`"),
    ("a request that breaks rules", CASE.replace("img-pmqg1cw7", "ami-1"), "spec.image_id"),
    ("a zone elsewhere", CASE.replace("ap-shanghai-2", "ap-beijing-2"), "spec.placement.zone"),
    ("a change that is not made", CASE.replace('expect = "allow"', 'expect = "allow"\nchanges = { "spec.image_id" = "x" }'), 'spec.image_id must become "x", and is not changed'),
    ("a change to another value", CASE.replace('expect = "allow"', 'expect = "allow"\nchanges = { "spec.host_name" = "x" }'), 'spec.host_name must become "x", and becomes "aa"'),
    ("no change expected", CASE.replace('expect = "allow"', 'expect = "allow"\nchanges = {}'), "must be left as it is, and spec.host_name is changed"),
    ("changes that are a list", CASE.replace('expect = "allow"', 'expect = "allow"\nchanges = []'), "no cases: invalid type"),
    ("a termination without a region", CASE.replace('expect = "allow"', 'action = "TerminateInstances"\nexpect = "allow"'), "case `launch`: has no `region`"),
    ("instances that are none", CASE.replace('expect = "allow"', 'action = "TerminateInstances"\nregion = "ap-shanghai"\ninstance_ids = ["x y"]\nexpect = "allow"'), "no cases"),
    ("Cedar", RULES, "no cases"),
]:
    case(name, text, says)
row("case: over two thousand", "wrong", "more than 2000 cases", repeat={"tests/b.toml": [CASE, 2001]})

# ---- the folder
for name, where in [("rules", "b.cedar"), ("a layer", "layers/b.toml"), ("a case", "tests/b.toml")]:
    row(f"folder: {name} that is not UTF-8", "wrong", f"cannot read PLACE/{where}: is not UTF-8 text", bytes={where: base64.b64encode(b"# \xff\xfe\n").decode()})
    row(f"folder: {name} in UTF-16", "wrong", f"PLACE/{where}", bytes={where: base64.b64encode(LAYER.encode("utf-16")).decode()})
    row(f"folder: {name} of more than a MiB", "wrong", f"cannot read PLACE/{where}: is larger than 1048576 bytes", repeat={where: ["# a line of text\n", 70_000]})
    row(f"folder: {name} that is a folder", "wrong", f"cannot read PLACE/{where}: is no regular file", folders=[where])
    row(f"folder: {name} that is a pipe", "wrong", f"cannot read PLACE/{where}: is no regular file", pipes=[where])
    row(f"folder: {name} that leads nowhere", "wrong", f"cannot read PLACE/{where}", links={where: "nowhere"})
    row(f"folder: {name} that leads to itself", "wrong", f"cannot read PLACE/{where}", links={where: where.split("/")[-1]})
    row(f"folder: {name} that leads to a folder", "wrong", f"cannot read PLACE/{where}: is no regular file", links={where: "."})
    row(f"folder: {name} that leads to a device", "wrong", f"cannot read PLACE/{where}: is no regular file", links={where: "/dev/zero"})
for where, count, says in [("b{}.cedar", 500, "holds more than 500 *.cedar files"), ("layers/b{}.toml", 500, "holds more than 500 *.toml files"), ("tests/b{}.toml", 200, "holds more than 200 *.toml files")]:
    row(f"folder: too many files as {where}", "wrong", says, copies={where: ["# a line\n", count]})
row("folder: more than 4 MiB", "wrong", "holds more than 4194304 bytes", repeat={f"b{n}.cedar": ["// a line of text\n", 55_000] for n in range(5)})
row("folder: more than 5,000 names", "wrong", "holds more than 5000 names", copies={"b{}.txt": ["", 5001]})
row("folder: no rules", "wrong", "holds no *.cedar file", files={"all.cedar": None})
row("folder: rules under another name", "wrong", "holds no *.cedar file", files={"all.cedar": None, "all.cedar.bak": RULES})
row("folder: rules in a folder below", "wrong", "holds no *.cedar file", files={"all.cedar": None, "rules/all.cedar": RULES})
row("folder: rules of no rule", "ok", files={"all.cedar": "// None.\n", "tests/a.toml": None})
row("folder: layers is a file", "wrong", "PLACE/layers", files={"layers/a.toml": None, "layers": "x"})
row("folder: tests is a file", "wrong", "PLACE/tests", files={"tests/a.toml": None, "tests": "x"})
row("folder: layers leads to itself", "wrong", "PLACE/layers", files={"layers/a.toml": None}, links={"layers": "layers"})
row("folder: layers leads nowhere", "ok", files={"layers/a.toml": None}, links={"layers": "nowhere"})

# ---- sound ones
for name, what in [
    ("as it is", {}),
    ("no layers", {"files": {"layers/a.toml": None}}),
    ("no cases", {"files": {"tests/a.toml": None}}),
    ("an empty file of rules beside", {"files": {"b.cedar": ""}}),
    ("only a comment beside", {"files": {"b.cedar": "// nothing yet"}}),
    ("rules in one line", {"files": {"b.cedar": '@id("b") forbid(principal == Service::"x", action, resource); @id("c") forbid(principal == Service::"y", action, resource);'}}),
    ("carriage returns", {"files": {"b.cedar": '@id("b")\r\nforbid(principal == Service::"x", action, resource);\r\n', "layers/b.toml": (HEAD + '[set]\nhost_name = "bb"\n').replace("\n", "\r\n")}}),
    ("an id of 63 characters", {"files": {"b.cedar": f'@id("{"b" * 63}") forbid(principal == Service::"x", action, resource);'}}),
    ("a rule of five hundred conditions", {"files": {"b.cedar": '@id("b") forbid(principal == Service::"x", action == Action::"RunInstances", resource) when { ' + " || ".join(["context.instance_count == 1"] * 500) + " };"}}),
    ("a rule on trial", {"files": {"b.cedar": '@id("b") @mode("shadow") forbid(principal, action, resource);'}}),
    ("other files beside", {"files": {"README.md": "# Rules", "layers/README.md": "x", "tests/notes.txt": "x", "b.cedar~": "torn("}}),
    ("a hidden folder as a volume has", {"files": {"..2026_01_01/b.cedar": "torn("}}),
    ("a link to rules", {"files": {"..data/x": '@id("b") forbid(principal == Service::"x", action, resource);'}, "links": {"b.cedar": "..data/x"}}),
    ("a link to layers", {"files": {"layers/a.toml": None, "..data/a.toml": LAYER}, "links": {"layers": "..data"}}),
    ("a ring of folders", {"links": {"again": "."}}),
    ("a file of exactly a MiB", {"repeat": {"b.cedar": ["//.\n", 1 << 18]}}),
    ("500 files", {"copies": {"b{}.cedar": ["// a line\n", 499]}}),
    ("200 files of cases", {"files": {"tests/a.toml": None}, "copies": {"tests/b{}.toml": [CASE, 200]}}),
    ("a layer of each level", {"files": {f"layers/{level}.toml": f'level = "{level}"\norganization = "acme"\naccounts = ["main"]\nservices = ["dev"]\n[set]\nhost_name = "bb"\n' for level in ("account", "environment", "team", "service")}}),
    ("a mark of byte order before TOML", {"files": {"layers/b.toml": "\ufeff" + HEAD + '[set]\nhost_name = "bb"\n'}}),
    ("every kind of field", {"files": {"layers/b.toml": HEAD + '[set]\nhost_name = "bb"\ninstance_count = 2\nsystem_disk.encrypt = true\nsecurity_group_ids = ["sg-1a2b3c4d"]\ntags.owner = "b"\nuser_data = "Yg=="\ninstance_name_prefix = "b-"\naction_timer = { timer_action = "TerminateInstances", action_time = "1h" }\n'}}),
    ("numbers in every spelling", {"files": {"layers/b.toml": HEAD + "[cap]\ninstance_count = 0x10\nmin_count = 1_0\nsystem_disk.disk_size = 0o17\n"}}),
    ("a tag of any text", {"files": {"layers/b.toml": HEAD + '[append.tags]\n"Kosten-Stelle ü 1" = "ä"\n'}}),
    ("another organisation's layer", {"files": {"layers/b.toml": LAYER.replace("acme", "umbrella").replace('"aa"', '"cc"')}}),
    ("a thousand fields", {"files": {"layers/b.toml": LAYER.replace("acme", "umbrella") + "[set.tags]\n" + "".join(f'k{n} = "v"\n' for n in range(999))}}),
]:
    row(f"sound: {name}", "ok", **what)

names = [entry["name"] for entry in ROWS]
assert len(names) == len(set(names)), [name for name in names if names.count(name) > 1]
text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in ROWS)
if "--print" in sys.argv[1:]:
    sys.stdout.write(text)
else:
    (HERE / "policy.jsonl").write_text(text)
