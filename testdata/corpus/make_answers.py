#!/usr/bin/env python3
"""Writes answers.jsonl: answers of the cloud, sound, refusing and broken, byte for byte, each with
what the gateway must make of it.

`send` is the whole HTTP answer. `code` is `OK`, the cloud's code, or the gateway's own name of what
is wrong; `effect` says whether the call may have had one, `retry` when it may be repeated. Codes come
from ../contract/cvm-contract.json, their expectations from its retry classes and from the families
that prove a refusal; the rest is written by hand. With --print the lines go to stdout.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
CONTRACT = json.loads((HERE.parent / "contract" / "cvm-contract.json").read_text())
ACCEPTED = '{"Response":{"InstanceIdSet":["ins-aaaaaaaa"],"RequestId":"r-1"}}'
REFUSED = (
    '{"Response":{"Error":{"Code":"InvalidImageId.NotFound","Message":"No."},"RequestId":"r-1"}}'
)
RETRIES = {
    "no": "No",
    "later_or_alternative": "Later",
    "backoff": "Backoff",
    "same_client_token_only": "Token",
    "re_sign_or_refresh_credential_once": "Resign",
}
# Families whose listed codes say that nothing was done.
REFUSALS = (
    "AuthFailure", "Invalid", "LimitExceeded", "Missing", "RequestLimitExceeded",
    "ResourceInsufficient", "ResourceNotFound", "ResourcesSoldOut", "Unauthorized", "Unsupported",
)
UNCLEAR = ("FailedOperation", "ResponseSizeLimitExceeded")
ROWS = []


def http(body, status="200 OK", content_type="application/json"):
    length = len(body.encode())
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n"
        f"Connection: close\r\n\r\n{body}"
    )


def row(name, send, code="MalformedAnswer", effect="Ambiguous", retry="Token",
        action="RunInstances"):
    if code == "OK":
        effect = retry = ""
    ROWS.append({"name": name, "action": action, "send": send, "code": code, "effect": effect,
                 "retry": retry})


def error(code, message="No."):
    inner = {"Error": {"Code": code, "Message": message}, "RequestId": "r-1"}
    return json.dumps({"Response": inner})


# Every code that the contract lists; some are in both of its lists.
ENTRIES = CONTRACT["common_error_codes"] + CONTRACT["error_codes"]
for code, entry in sorted({entry["code"]: entry for entry in ENTRIES}.items()):
    retry = entry["retry_class"]
    unclear = retry == "same_client_token_only" or code in UNCLEAR
    judged = entry["source"] == "hand" and retry in ("no", "later_or_alternative")
    proof = (code.startswith(REFUSALS) or judged) and not unclear
    row(f"code {code}", http(error(code)), code, "Definite" if proof else "Ambiguous",
        RETRIES[retry])

# Codes that it does not list: of known families, of none, and what only looks like one that is.
for family in ["AuthFailure", "FailedOperation", "InternalError", "InvalidParameter",
               "InvalidParameterValue", "LimitExceeded", "MissingParameter", "OperationDenied",
               "RequestLimitExceeded", "ResourceInUse", "ResourceInsufficient", "ResourceNotFound",
               "ResourceUnavailable", "ResourcesSoldOut", "UnauthorizedOperation",
               "UnsupportedOperation", "Brand", "X", "ok", "other"]:
    row(f"unknown {family}", http(error(family + ".OfTomorrow")), family + ".OfTomorrow")
for code in ["Tomorrow", "invalidimageid.notfound", "InvalidImageId.NotFound.", "InvalidImageId_",
             "X" * 128, "0", "-", "InvalidImageId.notfound"]:
    row(f"unknown {code[:30]}", http(error(code)), code)
for code in ["", "X" * 129, "A B", "A\n", "A\u0000", "\u9519\u8bef", "A\"B", "<b>", "A/B", "A,B",
             " InvalidImageId.NotFound", "InvalidImageId.NotFound "]:
    row(f"no code {code[:30]!r}", http(error(code)))

# An answer that breaks off within its JSON, though HTTP says that it is whole.
for name, whole in [("accepted", ACCEPTED), ("refused", REFUSED)]:
    for length in range(len(whole)):
        row(f"{name}, {length} bytes of it", http(whole[:length]))
    for more in ["x", "}", "{}", "\u0000", ","]:
        row(f"{name}, and {more!r}", http(whole + more))
    for more in [" ", "\n", "\r\n\t"]:
        row(f"{name}, and space {more!r}", http(whole + more),
            "OK" if name == "accepted" else "InvalidImageId.NotFound",
            "Definite", "No")

# JSON that is no answer.
for body in ["null", "true", "0", "[]", "{}", '"x"', '{"Response":null}', '{"Response":[]}',
             '{"Response":{}}', '{"Response":"x"}', '{"Response":1}',
             '{"response":{"RequestId":"r"}}', '{"Error":{"Code":"InternalError"}}',
             "<html></html>", "\ufeff" + ACCEPTED, "[" * 500 + "]" * 500,
             '{"Response":' * 200 + "1" + "}" * 200]:
    row(f"no answer {body[:40]!r}", http(body))
REQUEST_IDS = ['""', "null", "1", "[]", "{}", "true"]
for request_id in REQUEST_IDS:
    row(f"accepted as {request_id}",
        http('{"Response":{"InstanceIdSet":["ins-a"],"RequestId":%s}}' % request_id))
    row(f"refused as {request_id}",
        http('{"Response":{"Error":{"Code":"InternalError"},"RequestId":%s}}' % request_id))
row("accepted as nothing", http('{"Response":{"InstanceIdSet":["ins-a"]}}'))
row("refused as nothing", http('{"Response":{"Error":{"Code":"InvalidImageId.NotFound"}}}'))
for wrong in ['"x"', "1", "[]", "{}", "true", '{"Code":null}', '{"Code":1}', '{"Code":["A"]}',
              '{"code":"InternalError"}', '{"Message":"No."}', '{"Code":"A","Message":1}',
              '{"Code":"A","Message":{}}']:
    row(f"an error {wrong}", http('{"Response":{"Error":%s,"RequestId":"r"}}' % wrong))
row("an error without a message", http('{"Response":{"Error":{"Code":"InvalidImageId.NotFound"},'
    '"RequestId":"r"}}'), "InvalidImageId.NotFound", "Definite", "No")
row("a refusal with ids", http('{"Response":{"Error":{"Code":"InvalidImageId.NotFound"},'
    '"InstanceIdSet":["ins-a"],"RequestId":"r"}}'))
row("no error at all", http('{"Response":{"Error":null,"InstanceIdSet":["ins-a"],"RequestId":"r"}}'),
    "OK")
# The gateway takes ids of any plain form: a machine that it cannot name is one that it cannot end.
for ids in ["[]", "null", '["ins-a","ins-b"]', '["ins-00000000"]', '["i-1"]', '["ins-"]', '["INS-A"]']:
    row(f"ids {ids}", http('{"Response":{"InstanceIdSet":%s,"RequestId":"r"}}' % ids), "OK")
for ids in ['"ins-a"', "1", "{}", "true", "[1]", "[null]", "[[]]", '[""]', '["ins.a"]',
            '["ins_a"]', '["ins-a "]', '["ins-a","ins-a"]', '["ins-a\\n"]', '["ins-\u4e2d"]',
            '["ins-a","ins-b","ins-a"]', '["ins-a",null]']:
    row(f"bad ids {ids}", http('{"Response":{"InstanceIdSet":%s,"RequestId":"r"}}' % ids))

# HTTP. Only 200 is an answer of the cloud, whatever the body says.
for status in ["201 Created", "202 Accepted", "203 X", "206 Partial Content", "300 X", "301 X",
               "302 Found", "303 X", "307 X", "308 X", "400 Bad Request", "401 X", "403 Forbidden",
               "404 Not Found", "405 X", "407 X", "408 X", "411 X", "413 X", "414 X", "421 X",
               "429 X", "431 X", "451 X", "500 X", "501 X", "502 Bad Gateway", "503 X", "504 X",
               "505 X", "520 X", "599 X"]:
    for name, body in [("accepted", ACCEPTED), ("refused", REFUSED), ("a page", "<html></html>")]:
        row(f"HTTP {status}, {name}", http(body, status), "HttpStatus")
for kind in ["text/html", "text/plain; charset=utf-8", "application/octet-stream", "nonsense", "",
             "application/json; charset=gbk"]:
    row(f"accepted as {kind!r}", http(ACCEPTED, content_type=kind), "OK")
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
SIZE = f"{len(ACCEPTED):x}"
for name, send, code in [
    ("chunked", f"{CHUNKED}{SIZE}\r\n{ACCEPTED}\r\n0\r\n\r\n", "OK"),
    ("chunked without an end", f"{CHUNKED}{SIZE}\r\n{ACCEPTED}\r\n", "ConnectionLost"),
    ("chunked badly", f"{CHUNKED}zz\r\n{ACCEPTED}\r\n0\r\n\r\n", "ConnectionLost"),
    ("of no length", f"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{ACCEPTED}", "OK"),
    ("of HTTP/1.0", f"HTTP/1.0 200 OK\r\n\r\n{ACCEPTED}", "OK"),
    ("shorter than it says", f"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{ACCEPTED}",
     "ConnectionLost"),
    ("longer than it says", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n"
     + ACCEPTED, "MalformedAnswer"),
    ("of negative length", f"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{ACCEPTED}",
     "ConnectionLost"),
    ("of two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
     + ACCEPTED, "ConnectionLost"),
    ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", "ConnectionLost"),
    ("only JSON", ACCEPTED, "ConnectionLost"),
    ("only a head", "HTTP/1.1 200 OK\r\n", "ConnectionLost"),
    ("a status that is none", f"HTTP/1.1 2000 OK\r\n\r\n{ACCEPTED}", "ConnectionLost"),
    ("nothing", "", "ConnectionLost"),
]:
    row(f"an answer {name}", send, code)

# The answers to questions about ins-1 and ins-2.
for action, field in [("DescribeInstancesStatus", "InstanceStatusSet"),
                      ("DescribeInstances", "InstanceSet")]:
    def page(items, total=2):
        return http('{"Response":{"TotalCount":%s,"%s":%s,"RequestId":"r"}}' % (total, field, items))

    one = '{"InstanceId":"ins-1","InstanceState":"RUNNING"}'
    for items in ["[]", "null", f"[{one}]", f'[{one},{one.replace("-1", "-2")}]',
                  '[{"InstanceId":"ins-1","InstanceState":"OF_TOMORROW"}]']:
        row(f"{action} {items}", page(items), "OK", action=action)
    for items in ["{}", "1", '"x"', "[1]", "[null]", "[{}]", '[{"InstanceId":"ins-1"}]',
                  '[{"InstanceState":"RUNNING"}]', f"[{one},{one}]",
                  '[{"InstanceId":"ins-3","InstanceState":"RUNNING"}]',
                  '[{"InstanceId":"ins-1","InstanceState":null}]',
                  '[{"InstanceId":"ins-1","InstanceState":""}]',
                  '[{"InstanceId":1,"InstanceState":"RUNNING"}]',
                  '[{"InstanceId":"i-1","InstanceState":"RUNNING"}]']:
        row(f"{action} bad {items}", page(items), action=action)
    row(f"{action} refused", http(REFUSED), "InvalidImageId.NotFound", "Definite", "No",
        action=action)
row("DescribeInstances without a count", http('{"Response":{"InstanceSet":[],"RequestId":"r"}}'),
    action="DescribeInstances")
for total in ["null", '"1"', "-1", "1.5"]:
    row(f"DescribeInstances of {total}",
        http('{"Response":{"TotalCount":%s,"InstanceSet":[],"RequestId":"r"}}' % total),
        action="DescribeInstances")

names = [of["name"] for of in ROWS]
twice = {name for name in names if names.count(name) > 1}
assert not twice, twice
lines = [json.dumps(of, ensure_ascii=True, separators=(",", ":")) + "\n" for of in ROWS]
if sys.argv[1:] == ["--print"]:
    print("".join(lines), end="")
else:
    (HERE / "answers.jsonl").write_text("".join(lines))
    print(len(ROWS), "answers")
