"""Drives a CVM API, such as the simulator, with the official command line, tccli.

Usage: tccli_check.py --endpoint 127.0.0.1:18080 --ca FILE

Prints one line for each case, `ok <case>` or `FAILED <case>: <why>`, and exits with 1 if any failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

KEY = {
    "TENCENTCLOUD_SECRET_ID": "AKIDfakeForLoopbackTestsOnly0000001",
    "TENCENTCLOUD_SECRET_KEY": "fakeSecretKeyLoopbackTestsOnly001",
    "TENCENTCLOUD_REGION": "ap-shanghai",
}
TEMPORARY = {
    "TENCENTCLOUD_SECRET_ID": "AKIDfakeForLoopbackTestsOnly0000002",
    "TENCENTCLOUD_SECRET_KEY": "fakeSecretKeyLoopbackTestsOnly002",
    "TENCENTCLOUD_TOKEN": "fake-session-token-0002",
}
PATIENCE_SECONDS = 60
LAUNCH = [
    *("--Placement", '{"Zone": "ap-shanghai-2"}'),
    *("--ImageId", "img-pmqg1cw7"),
    *("--InstanceType", "S5.MEDIUM4"),
    *("--InstanceCount", "3"),
]


class Tccli:
    """The program, with an environment of its own: it knows nothing of the user's accounts."""

    def __init__(self, endpoint, ca=None, key=KEY):
        self.endpoint = endpoint
        self.home = tempfile.TemporaryDirectory()
        trust = Path(__file__).with_name("trust")
        self.environment = {**KEY, **key, "HOME": self.home.name, "PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"}
        if ca:
            self.environment |= {"SSL_CERT_FILE": ca, "PYTHONPATH": str(trust)}

    def run(self, action, *arguments):
        program = Path(sys.executable).with_name("tccli")
        command = [program, "cvm", action, "--endpoint", self.endpoint, *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    def __call__(self, action, *arguments):
        done = self.run(action, *arguments)
        assert done.returncode == 0, f"{action}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def refused(self, code, action, *arguments):
        done = self.run(action, *arguments)
        assert done.returncode != 0 and code in done.stdout + done.stderr, f"{action}: {done.stdout}{done.stderr}"

    def wait(self, ids, expression, value):
        """Asks until the answer has the value there."""
        waiter = {"expr": expression, "to": value, "timeout": PATIENCE_SECONDS / 2, "interval": 1}
        done = self.run("DescribeInstancesStatus", "--InstanceIds", json.dumps(ids), "--waiter", json.dumps(waiter))
        assert done.returncode == 0, f"waiting for {value}: {done.stdout}{done.stderr}"

    def wait_for(self, ids, state):
        self.wait(ids, "InstanceStatusSet[].InstanceState", [state] * len(ids))


def equal(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def life_of_three(tccli):
    price = tccli("InquiryPriceRunInstances", *LAUNCH)["Price"]["InstancePrice"]
    assert price["UnitPrice"] > 0, price
    ids = tccli("RunInstances", *LAUNCH)["InstanceIdSet"]
    equal(len(set(ids)), 3)
    tccli.wait_for(ids, "RUNNING")
    named = ["--InstanceIds", json.dumps(ids)]
    filters = [{"Name": "instance-id", "Values": ids}, {"Name": "instance-state", "Values": ["RUNNING"]}]
    found = tccli("DescribeInstances", "--Filters", json.dumps(filters), "--Limit", "2")
    equal((found["TotalCount"], len(found["InstanceSet"])), (3, 2))
    tccli("StopInstances", *named, "--StopType", "SOFT")
    tccli.wait_for(ids, "STOPPED")
    tccli("StartInstances", *named)
    tccli.wait_for(ids, "RUNNING")
    tccli("TerminateInstances", *named)
    tccli.wait(ids, "TotalCount", 0)
    tccli.refused("InvalidInstanceId.NotFound", "TerminateInstances", *named)


def token(endpoint, ca):
    zones = Tccli(endpoint, ca, TEMPORARY)("DescribeZones")
    assert zones["TotalCount"] > 0, zones
    Tccli(endpoint, ca, {**TEMPORARY, "TENCENTCLOUD_TOKEN": "another"}).refused("AuthFailure.TokenFailure", "DescribeZones")


def refusals(tccli):
    tccli.refused("InvalidImageId.NotFound", "RunInstances", *LAUNCH[:2], "--ImageId", "img-00000000")
    tccli.refused("InvalidZone.MismatchRegion", "DescribeZoneInstanceConfigInfos", "--Filters", '[{"Name": "zone", "Values": ["mars-1"]}]')


def cases(endpoint, ca):
    yield "the life of three over http", lambda: life_of_three(Tccli(f"http://{endpoint}"))
    yield "the life of three over https", lambda: life_of_three(Tccli(endpoint, ca))
    yield "a temporary key and its token", lambda: token(endpoint, ca)
    yield "refusals by code", lambda: refusals(Tccli(f"http://{endpoint}"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True, metavar="HOST:PORT")
    parser.add_argument("--ca", required=True, metavar="FILE", help="whom to trust over TLS")
    arguments = parser.parse_args()
    failed = []

    def tell(name, case):
        try:
            case()
            print(f"ok {name}", flush=True)
        except Exception as error:  # whatever it is, the other cases are still worth a run
            failed.append(name)
            print(f"FAILED {name}: {error}", flush=True)

    threads = [threading.Thread(target=tell, args=case) for case in cases(arguments.endpoint, arguments.ca)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
