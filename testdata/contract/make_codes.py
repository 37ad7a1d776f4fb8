#!/usr/bin/env python3
"""Writes src/cloud/codes.tsv, the verdict on every error code, from cvm-contract.json, and
docs/errors.md, which tells people what to do about each.

Status, retry class and blamed fields are the contract's. Added here: the gateway's own reason
(finer than the status) and whether the code proves that the call had no effect. A row `Major.*`
is the verdict on a code of that major that the contract does not list.
"""

import collections
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
CONTRACT = HERE / "cvm-contract.json"
ROOT = HERE.parent.parent
TABLE = ROOT / "src" / "cloud" / "codes.tsv"
PAGE = ROOT / "docs" / "errors.md"
HEAD = HERE / "errors-head.md"

RETRIES = {
    "no": "no",
    "later_or_alternative": "later",
    "backoff": "backoff",
    "same_client_token_only": "token",
    "re_sign_or_refresh_credential_once": "resign",
}

# What the gateway does after a code, as docs/errors.md says it.
AFTER = {
    "no": "fails",
    "later": "next place, else fails",
    "backoff": "waits, sends again",
    "token": "looks, sends again",
    "resign": "signs anew, once",
}

# One reason for each of these statuses; the other three need a closer look.
REASONS = {
    "OK": "DRY_RUN_PASSED",
    "INVALID_ARGUMENT": "INVALID_PARAMETER",
    "NOT_FOUND": "RESOURCE_NOT_FOUND",
    "PERMISSION_DENIED": "CLOUD_PERMISSION_DENIED",
    "ABORTED": "CONFLICTING_OPERATION",
    "UNAVAILABLE": "CLOUD_UNAVAILABLE",
}

# Stock that another zone, type, disk or subnet may have, under whatever name the cloud files it.
STOCK = {
    "FailedOperation.NoAvailableIpAddressCountInSubnet",
    "InvalidParameter.InvalidCloudDiskSoldOut",
    "InvalidParameterValue.InsufficientOffering",
    "LimitExceeded.SpotQuota",
    "LimitExceeded.VpcSubnetNum",
    "ResourceNotFound.NoDefaultCbs",
    "ResourceNotFound.NoDefaultCbsWithReason",
}

# Filed under ResourceInsufficient or ResourcesSoldOut, but a full placement group is a quota.
NOT_STOCK = {
    "ResourceInsufficient.DisasterRecoverGroupCvmQuota",
    "ResourceInsufficient.InsufficientGroupQuota",
}

# The front end refuses the gateway's key, account or address, not the caller's wish.
CREDENTIAL = {
    "InvalidParameterValue.InvalidAppIdFormat",
    "IpInBlacklist",
    "IpNotInWhitelist",
    "UnauthorizedOperation.InvalidToken",
}

# Families that are sent before anything is done.
DEFINITE_FAMILIES = (
    "AuthFailure",
    "Invalid",
    "LimitExceeded",
    "Missing",
    "RequestLimitExceeded",
    "ResourceInsufficient",
    "ResourceNotFound",
    "ResourcesSoldOut",
    "Unauthorized",
    "Unsupported",
)

# The action may have run: one says only that it failed, the other that its answer was too long.
MAY_HAVE_RUN = {"FailedOperation", "ResponseSizeLimitExceeded"}


def status(entry: dict) -> str:
    return entry.get("grpc_status_to_gateway_caller") or entry["grpc_status"]


def reason(entry: dict) -> str:
    code, retry = entry["code"], RETRIES[entry["retry_class"]]
    if status(entry) == "RESOURCE_EXHAUSTED":
        if code.startswith("RequestLimitExceeded"):
            return "CLOUD_RATE_LIMITED"
        sold_out = code.startswith(("ResourceInsufficient", "ResourcesSoldOut"))
        return "CAPACITY" if code in STOCK or (sold_out and code not in NOT_STOCK) else "QUOTA_EXCEEDED"
    if status(entry) == "FAILED_PRECONDITION":
        if code == "InvalidParameterValue.InsufficientPrice":
            return "MARKET_PRICE"
        return "INSUFFICIENT_BALANCE" if code.startswith("InvalidAccount.") else "PRECONDITION_FAILED"
    if status(entry) == "INTERNAL":
        if retry == "token":
            return "CLOUD_INTERNAL"
        key_refused = code.startswith("AuthFailure.") or code in CREDENTIAL
        return "GATEWAY_CREDENTIAL" if key_refused else "GATEWAY_DEFECT"
    return REASONS[status(entry)]


def effect(entry: dict) -> str:
    """`definite` when the code proves that nothing was done: ambiguous unless listed."""
    code, retry = entry["code"], RETRIES[entry["retry_class"]]
    if retry == "token" or code in MAY_HAVE_RUN:
        return "ambiguous"
    judged = entry["source"] == "hand" and retry in ("no", "later")
    return "definite" if judged or code.startswith(DEFINITE_FAMILIES) else "ambiguous"


def main() -> None:
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))
    rows, majors = {}, collections.defaultdict(list)
    for entry in contract["error_codes"] + contract["common_error_codes"]:
        code, fields = entry["code"], ",".join(entry["blames_fields"])
        row = (reason(entry), fields, RETRIES[entry["retry_class"]], effect(entry))
        assert rows.setdefault(code, row) == row, f"{code} is judged twice"
        majors[code.split(".")[0]].append(row[0])
    for major, reasons in majors.items():
        if len(reasons) > 1:  # one code alone does not say what its family is about
            usual = max(sorted(set(reasons)), key=reasons.count)
            general = rows[major][0] if major in rows else usual
            rows[f"{major}.*"] = (general, "", "token", "ambiguous")
    lines = ["\t".join(("code", "reason", "fields", "retry", "effect"))]
    lines += ["\t".join((code, *row)) for code, row in sorted(rows.items())]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    PAGE.write_text(HEAD.read_text(encoding="utf-8") + page(contract, rows), encoding="utf-8")


def page(contract: dict, rows: dict) -> str:
    """The rows of docs/errors.md: every code, then what holds for those that nobody listed."""
    meanings = {}
    for entry in contract["error_codes"] + contract["common_error_codes"]:
        meanings.setdefault(entry["code"], entry["meaning"])
    lines = []
    for code, (reason_of_it, fields, retry, effect_of_it) in sorted(rows.items()):
        meaning = meanings.get(code, "any other code of this family").replace("|", "\\|")
        blamed = ", ".join(f"`{field}`" for field in fields.split(",") if field)
        cells = (f"`{code}`", f"`{reason_of_it}`", AFTER[retry], effect_of_it, blamed, meaning)
        lines.append("| " + " | ".join(cells).replace("|  |", "| |") + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
