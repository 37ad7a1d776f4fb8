"""Drives a CVM API, such as the simulator, with the official Python SDK.

Usage: sdk_check.py --endpoint 127.0.0.1:18080 --ca FILE

Prints one line for each case, `ok <case>` or `FAILED <case>: <why>`, and exits with 1 if any failed.
"""

import argparse
import json
import sys
import time
import traceback
import uuid

from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.cvm.v20170312 import cvm_client, models

SECRET_ID = "AKIDfakeForLoopbackTestsOnly0000001"
SECRET_KEY = "fakeSecretKeyLoopbackTestsOnly001"
TEMPORARY = ("AKIDfakeForLoopbackTestsOnly0000002", "fakeSecretKeyLoopbackTestsOnly002", "fake-session-token-0002")
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 20

LAUNCH = {
    "Placement": {"Zone": "ap-shanghai-2"},
    "InstanceChargeType": "POSTPAID_BY_HOUR",
    "ImageId": "img-pmqg1cw7",
    "InstanceType": "S5.MEDIUM4",
    "SystemDisk": {"DiskType": "CLOUD_PREMIUM", "DiskSize": 50},
    "DataDisks": [{"DiskType": "CLOUD_PREMIUM", "DiskSize": 100}],
    "VirtualPrivateCloud": {"VpcId": "vpc-1urkhbj4", "SubnetId": "subnet-dcs9x3gz"},
    "InternetAccessible": {
        "InternetChargeType": "TRAFFIC_POSTPAID_BY_HOUR",
        "InternetMaxBandwidthOut": 10,
        "PublicIpAssigned": True,
    },
    "InstanceName": "QCLOUD-测试-{R:3,F:3}",
    "LoginSettings": {"Password": "Qcloud@TestApi123++"},
    "EnhancedService": {"SecurityService": {"Enabled": True}, "MonitorService": {"Enabled": True}},
    "TagSpecification": [{"ResourceType": "instance", "Tags": [{"Key": "env", "Value": "dev test"}]}],
    "InstanceCount": 3,
}


class Cloud:
    """The SDK's client, with requests given as dictionaries."""

    def __init__(self, endpoint, key=(SECRET_ID, SECRET_KEY), region="ap-shanghai", method="POST", ca=None, sign=None, unsigned=False):
        http = HttpProfile(protocol="https" if ca else "http", endpoint=endpoint, reqMethod=method, reqTimeout=10)
        http.certification = ca
        profile = ClientProfile(signMethod=sign, httpProfile=http, language="en-US")
        profile.unsignedPayload = unsigned
        self.client = cvm_client.CvmClient(Credential(*key), region, profile)

    def __call__(self, action, body):
        request = getattr(models, action + "Request")()
        request.from_json_string(json.dumps(body))
        return getattr(self.client, action)(request)


def wait_for(cloud, ids, done):
    """Polls until `done` accepts the set of states; gives every state seen."""
    seen = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = cloud("DescribeInstancesStatus", {"InstanceIds": ids})
        states = {status.InstanceState for status in answer.InstanceStatusSet}
        seen |= states
        if done(states):
            return seen
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"still {states} after {PATIENCE_SECONDS} s")


def equal(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def life_of_three(cloud):
    """A whole life; the name finds the machines of this client among all."""
    name = f"life-{uuid.uuid4()}"
    launch = {**LAUNCH, "InstanceName": name + "-{R:3,F:3}", "ClientToken": str(uuid.uuid4())}
    price = cloud("InquiryPriceRunInstances", {**LAUNCH, "InstanceCount": 3}).Price
    assert price.InstancePrice.UnitPrice > 0 and price.BandwidthPrice.UnitPrice > 0, price

    launched = cloud("RunInstances", launch)
    ids = launched.InstanceIdSet
    equal(len(set(ids)), 3)
    replayed = cloud("RunInstances", launch)
    equal(replayed.InstanceIdSet, ids)
    assert replayed.RequestId != launched.RequestId
    seen = wait_for(cloud, ids, lambda states: states == {"RUNNING"})
    assert seen <= {"PENDING", "RUNNING"}, seen

    names = [f"{name}-00{n}" for n in (3, 4, 5)]
    filters = [{"Name": "tag:env", "Values": ["dev test"]}, {"Name": "instance-name", "Values": names}]
    found = cloud("DescribeInstances", {"Filters": filters})
    equal(found.TotalCount, 3)
    equal({machine.InstanceId for machine in found.InstanceSet}, set(ids))
    for machine in found.InstanceSet:
        equal((machine.InstanceType, machine.CPU, machine.Memory), ("S5.MEDIUM4", 2, 4))
        equal((machine.SystemDisk.DiskSize, machine.DataDisks[0].DiskSize), (50, 100))
        equal((len(machine.PrivateIpAddresses), len(machine.PublicIpAddresses)), (1, 1))
        equal((machine.LatestOperation, machine.LatestOperationState), ("RunInstances", "SUCCESS"))
        equal(machine.LatestOperationRequestId, launched.RequestId)
        equal([(tag.Key, tag.Value) for tag in machine.Tags], [("env", "dev test")])
        equal(machine.ExpiredTime, None)
    page = cloud("DescribeInstances", {"InstanceIds": ids, "Limit": 2, "Offset": 2})
    equal((page.TotalCount, len(page.InstanceSet)), (3, 1))

    for action, state in [("StopInstances", "STOPPED"), ("StartInstances", "RUNNING"), ("RebootInstances", "RUNNING")]:
        changed = cloud(action, {"InstanceIds": ids})
        wait_for(cloud, ids, lambda states: states == {state})
        machine = cloud("DescribeInstances", {"InstanceIds": ids[:1]}).InstanceSet[0]
        equal((machine.LatestOperation, machine.LatestOperationRequestId), (action, changed.RequestId))

    cloud("TerminateInstances", {"InstanceIds": ids})
    seen = wait_for(cloud, ids, lambda states: not states)
    assert seen <= {"TERMINATING"}, seen
    equal(cloud("DescribeInstances", {"InstanceIds": ids}).TotalCount, 0)


def a_launch_that_fails(cloud):
    ids = cloud("RunInstances", {**LAUNCH, "InstanceType": "LAUNCHFAIL.SMALL1", "InstanceCount": 1}).InstanceIdSet
    wait_for(cloud, ids, lambda states: states == {"LAUNCH_FAILED"})
    machine = cloud("DescribeInstances", {"InstanceIds": ids}).InstanceSet[0]
    equal((machine.LatestOperationState, machine.LatestOperationErrorMsg), ("FAILED", "The host failed to start the instance."))


def dry_run(cloud):
    answer = cloud("RunInstances", {**LAUNCH, "DryRun": True})
    equal(answer.InstanceIdSet, None)
    assert answer.RequestId


def zones_and_regions(cloud):
    zones = cloud("DescribeZones", {})
    assert "ap-shanghai-2" in {zone.Zone for zone in zones.ZoneSet}
    regions = cloud("DescribeRegions", {})
    equal(regions.TotalCount, len(regions.RegionSet))
    assert "ap-shanghai" in {region.Region for region in regions.RegionSet}


def price_stock_and_quota(cloud):
    price = cloud("InquiryPriceRunInstances", LAUNCH).Price
    equal(price.InstancePrice.ChargeUnit, "HOUR")
    assert price.InstancePrice.UnitPrice > 0 and price.BandwidthPrice.UnitPrice > 0, price
    filters = [
        {"Name": "zone", "Values": ["ap-shanghai-2"]},
        {"Name": "instance-type", "Values": ["S5.MEDIUM4"]},
        {"Name": "instance-charge-type", "Values": ["POSTPAID_BY_HOUR"]},
    ]
    offers = cloud("DescribeZoneInstanceConfigInfos", {"Filters": filters}).InstanceTypeQuotaSet
    equal([(offer.Cpu, offer.Memory, offer.Status) for offer in offers], [(2, 4, "SELL")])
    quota = cloud("DescribeAccountQuota", {"Filters": filters[:1]}).AccountQuotaOverview.AccountQuota
    equal([zone.TotalQuota for zone in quota.PostPaidQuotaSet], [10000])


def one_launch(cloud):
    """The nested parameters of a launch, in whatever form and signature the client uses."""
    equal(len(cloud("RunInstances", {**LAUNCH, "InstanceCount": 1}).InstanceIdSet), 1)


REFUSALS = [
    ("InvalidZone.MismatchRegion", "RunInstances", {"Placement": {"Zone": "ap-guangzhou-3"}}),
    ("InvalidImageId.NotFound", "RunInstances", {"ImageId": "img-00000000"}),
    ("InvalidParameterValue.InstanceTypeNotFound", "RunInstances", {"InstanceType": "S99.SMALL1"}),
    ("InvalidParameterValue.Range", "RunInstances", {"InstanceCount": 0}),
    ("InvalidPassword", "RunInstances", {"LoginSettings": {"Password": "short"}}),
    ("InvalidParameterValue.InvalidUserDataFormat", "RunInstances", {"UserData": "not base64"}),
    ("ResourcesSoldOut.SpecifiedInstanceType", "RunInstances", {"InstanceType": "SOLDOUT.SMALL1"}),
    ("InvalidClientToken.TooLong", "RunInstances", {"ClientToken": "t" * 65}),
    ("InvalidSecurityGroupId.NotFound", "RunInstances", {"SecurityGroupIds": ["sg-00000000"]}),
    ("UnknownParameter", "RunInstances", {"SystemDisk": {"DiskId": "disk-00000000"}}),
    ("InvalidInstanceId.NotFound", "TerminateInstances", {"InstanceIds": ["ins-00000000"]}),
    ("InvalidInstanceId.Malformed", "DescribeInstances", {"InstanceIds": ["i-1"]}),
    ("InvalidFilter", "DescribeInstances", {"Filters": [{"Name": "colour", "Values": ["red"]}]}),
    ("InvalidImageId.Malformed", "RunInstances", {"ImageId": "image"}),
    ("InvalidParameterValue.InvalidImageState", "RunInstances", {"ImageId": "img-busyaaaa"}),
    ("InvalidInstanceType.Malformed", "RunInstances", {"InstanceType": "S5"}),
    ("InvalidParameterValue.InvalidImageForGivenInstanceType", "RunInstances", {"ImageId": "img-arm64aaa"}),
    ("InvalidInstanceName.TooLong", "RunInstances", {"InstanceName": "n" * 129}),
    ("InvalidParameterValue.IllegalHostName", "RunInstances", {"HostName": "-web"}),
    ("InvalidPeriod", "RunInstances", {"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 13}}),
    ("MissingParameter", "RunInstances", {"InstanceChargeType": "PREPAID"}),
    ("InvalidProjectId.NotFound", "RunInstances", {"Placement": {"Zone": "ap-shanghai-2", "ProjectId": 9}}),
    ("InvalidParameterValue.VpcIdNotExist", "RunInstances", {"VirtualPrivateCloud": {"VpcId": "vpc-00000000", "SubnetId": "subnet-00000000"}}),
    ("InvalidParameterValue.VpcIdMalformed", "RunInstances", {"VirtualPrivateCloud": {"VpcId": "vpc", "SubnetId": "subnet"}}),
    ("InvalidParameterValue.SubnetIdZoneIdNotMatch", "RunInstances", {"Placement": {"Zone": "ap-shanghai-4"}}),
    ("InvalidParameterValue.DuplicateTags", "RunInstances", {"TagSpecification": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}] * 2}]}),
    ("InvalidParameter.LackCoreCountOrThreadPerCore", "RunInstances", {"CpuTopology": {"CoreCount": 1}}),
    ("InvalidParameterValue.InsufficientPrice", "RunInstances", {"InstanceChargeType": "SPOTPAID", "InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "0.001"}}}),
    ("UnsupportedOperation.NoInstanceTypeSupportSpot", "RunInstances", {"InstanceChargeType": "SPOTPAID", "InstanceType": "IT3.4XLARGE64"}),
    ("ResourceInsufficient.CloudDiskSoldOut", "RunInstances", {"SystemDisk": {"DiskType": "CLOUD_BASIC"}}),
    ("InvalidParameterValue.CloudSsdDataDiskSizeTooSmall", "RunInstances", {"DataDisks": [{"DiskType": "CLOUD_SSD", "DiskSize": 50}]}),
    ("ResourceInsufficient.InsufficientOfferingMinimum", "RunInstances", {"InstanceType": "SOLDOUT.SMALL1", "InstanceCount": 3, "MinCount": 2}),
    ("ResourceNotFound.HpcCluster", "RunInstances", {"HpcClusterId": "hpc-00000000"}),
    ("FailedOperation.DisasterRecoverGroupNotFound", "RunInstances", {"DisasterRecoverGroupIds": ["ps-00000000"]}),
    ("InvalidParameterValue.KeyPairNotFound", "RunInstances", {"LoginSettings": {"KeyIds": ["skey-00000000"]}}),
    ("InvalidParameterCombination", "RunInstances", {"InternetAccessible": {"PublicIpAssigned": True}}),
    ("InvalidParameterValue.Range", "InquiryPriceRunInstances", {**LAUNCH, "InstanceCount": 101}),
    ("InvalidInstanceId.NotFound", "StopInstances", {"InstanceIds": ["ins-00000000"]}),
    ("InvalidZone.MismatchRegion", "DescribeZoneInstanceConfigInfos", {"Filters": [{"Name": "zone", "Values": ["mars-1"]}]}),
    ("InvalidParameterValue.Range", "DescribeAccountQuota", {"Filters": [{"Name": "quota-type", "Values": ["all"]}]}),
    ("InvalidKeyPairId.NotFound", "DescribeKeyPairs", {"KeyIds": ["skey-00000000"]}),
]


def refused(code, act):
    try:
        act()
    except TencentCloudSDKException as error:
        equal(error.get_code(), code)
        assert error.get_message() and error.get_request_id()
    else:
        raise AssertionError(f"was accepted instead of {code}")


def cases(endpoint, ca):
    clients = {
        "TC3 and POST": {},
        "TC3 and GET": {"method": "GET"},
        "HmacSHA1 and GET": {"method": "GET", "sign": "HmacSHA1"},
        "HmacSHA256 and POST": {"sign": "HmacSHA256"},
        "a temporary key": {"key": TEMPORARY},
        "a temporary key and HmacSHA256": {"key": TEMPORARY, "method": "GET", "sign": "HmacSHA256"},
        "TLS": {"ca": ca},
    }
    for name, how in clients.items():
        yield f"the life of three with {name}", lambda how=how: life_of_three(Cloud(endpoint, **how))
    cloud = Cloud(endpoint)
    yield "a launch fails with its reason", lambda: a_launch_that_fails(cloud)
    yield "a dry run launches nothing", lambda: dry_run(cloud)
    yield "zones and regions", lambda: zones_and_regions(cloud)
    yield "price, stock and quota", lambda: price_stock_and_quota(cloud)
    yield "a launch with an unsigned payload", lambda: one_launch(Cloud(endpoint, unsigned=True))
    for code, action, changes in REFUSALS:
        body = {**LAUNCH, "InstanceCount": 1, **changes} if action == "RunInstances" else changes
        yield f"{action}: {code}", lambda action=action, body=body, code=code: refused(code, lambda: cloud(action, body))
    keys = {
        "AuthFailure.SignatureFailure": (SECRET_ID, "wrong"),
        "AuthFailure.SecretIdNotFound": ("AKIDunknown", SECRET_KEY),
        "AuthFailure.TokenFailure": TEMPORARY[:2],
    }
    for code, key in keys.items():
        yield code, lambda key=key, code=code: refused(code, lambda: Cloud(endpoint, key)("DescribeZones", {}))
    nowhere = Cloud(endpoint, region="mars")
    yield "UnsupportedRegion", lambda: refused("UnsupportedRegion", lambda: nowhere("DescribeZones", {}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True, metavar="HOST:PORT")
    parser.add_argument("--ca", required=True, metavar="FILE", help="whom to trust over TLS")
    arguments = parser.parse_args()
    failed = False
    for name, case in cases(arguments.endpoint, arguments.ca):
        try:
            case()
            print(f"ok {name}", flush=True)
        except Exception as error:  # whatever it is, the next case is still worth a run
            failed = True
            print(f"FAILED {name}: {error}", flush=True)
            traceback.print_exc()
        time.sleep(POLL_SECONDS)  # stays below ten launches a second
    sys.exit(failed)


if __name__ == "__main__":
    main()
