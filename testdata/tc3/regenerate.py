#!/usr/bin/env python3
"""Writes the golden files of TC3 signing from the vectors of ../contract/cvm-contract.json.

One folder per vector: what goes in (request.json) and the three texts that must come out,
so that a failing test shows which step of the signature is wrong.
"""

import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
CONTRACT = HERE.parent / "contract" / "cvm-contract.json"


def signed_input(vector: dict) -> dict:
    """The parts of the request that its signature covers, with lower-case header names."""
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    names = vector["canonical_request"].split("\n")[-2].split(";")
    if headers.get("x-tc-content-sha256") == "UNSIGNED-PAYLOAD":
        payload = "UNSIGNED-PAYLOAD"
    elif vector["method"] == "GET":
        payload = ""
    else:
        payload = vector["body"]
    return {
        "secret_id": vector["secret_id"],
        "secret_key": vector["secret_key"],
        "timestamp": vector["timestamp"],
        "method": vector["method"],
        "query": vector["query"],
        "headers": [[name, headers[name]] for name in names],
        "payload": payload,
    }


def main() -> None:
    vectors = json.loads(CONTRACT.read_text(encoding="utf-8"))["test_vectors"]["tc3"]
    for vector in vectors:
        case = HERE / vector["name"]
        case.mkdir(exist_ok=True)
        request = json.dumps(signed_input(vector), indent=2, ensure_ascii=False) + "\n"
        texts = {
            "request.json": request,
            "canonical.txt": vector["canonical_request"],
            "string_to_sign.txt": vector["string_to_sign"],
            "authorization.txt": vector["authorization"],
        }
        for name, text in texts.items():
            (case / name).write_text(text, encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
