//! Request in, code out: one row for each rule.

mod differential;
mod wishes;

use super::*;
use crate::simulator::wire::decode;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use time::macros::utc_datetime;

const NOW: UtcDateTime = utc_datetime!(2026-11-23 12:00);

/// The smallest sound request with `changes` laid over it; null takes a member away.
fn request(changes: &Value) -> RunInstances {
    let mut body = json!({"Placement": {"Zone": "ap-shanghai-2"}, "ImageId": "img-pmqg1cw7"});
    merge(body.as_object_mut().unwrap(), changes.as_object().unwrap());
    decode(&body).unwrap()
}

fn merge(body: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (name, change) in changes {
        match (body.get_mut(name), change) {
            (Some(Value::Object(inner)), Value::Object(change)) => merge(inner, change),
            _ => drop(body.insert(name.clone(), change.clone())),
        }
    }
}

/// `OK`, or the code of the refusal.
fn verdict(changes: &Value) -> &'static str {
    verdict_in("ap-shanghai", changes)
}

fn verdict_in(region: &str, changes: &Value) -> &'static str {
    let catalog = Catalog::embedded();
    let region = catalog.region(region).unwrap();
    match order(&catalog, region, NOW, &request(changes)) {
        Ok(_) => "OK",
        Err(refusal) => refusal.into_code(),
    }
}

fn check(rows: &[(Value, &str)]) {
    for (changes, expected) in rows {
        assert_eq!(verdict(changes), *expected, "{changes}");
    }
}

/// Rows of a code and the changes that it answers.
fn table(rows: &str) {
    table_of(|changes| changes, rows);
}

/// As [`table`], with the rows wrapped into the member that they are about.
fn table_of(wrap: impl Fn(Value) -> Value, rows: &str) {
    let rows = rows.lines().map(str::trim).filter(|row| !row.is_empty());
    let rows = rows.map(|row| row.split_once(' ').unwrap());
    let rows = rows.map(|(code, changes)| (wrap(serde_json::from_str(changes).unwrap()), code));
    check(&rows.collect::<Vec<_>>());
}

#[test]
fn placement() {
    table(
        r#"
        OK                                                          {}
        MissingParameter                                            {"Placement": null}
        InvalidZone.MismatchRegion                                  {"Placement": {"Zone": "ap-guangzhou-3"}}
        InvalidZone.MismatchRegion                                  {"Placement": {"Zone": "mars-1"}}
        OK                                                          {"Placement": {"ProjectId": 1000001}}
        InvalidProjectId.NotFound                                   {"Placement": {"ProjectId": 7}}
        InvalidParameterCombination                                 {"Placement": {"HostIds": ["host-q88gab4i"]}}
        InvalidParameterValue.DedicatedResourcePackIdsNotFound      {"Placement": {"DedicatedResourcePackIds": ["rpp-00000000"]}}
        InvalidParameterValue.DedicatedResourcePackTenancyMismatch  {"Placement": {"DedicatedResourcePackTenancy": "ResourcePool"}}
        OK                                                          {"DisasterRecoverGroupIds": ["ps-1a2b3c4d"]}
        FailedOperation.DisasterRecoverGroupNotFound                {"DisasterRecoverGroupIds": ["ps-unknown1"]}
        InvalidParameterValue.LimitExceeded                         {"DisasterRecoverGroupIds": ["ps-1a2b3c4d", "ps-tinyaaaa"]}
    "#,
    );
    let closed = json!({"Placement": {"Zone": "ap-beijing-5"}});
    assert_eq!(
        verdict_in("ap-beijing", &closed),
        "InvalidParameterValue.ZoneNotSupported"
    );
}

#[test]
fn image_and_type() {
    table(
        r#"
        MissingParameter                                        {"ImageId": null}
        InvalidImageId.Malformed                                {"ImageId": "img-1"}
        InvalidImageId.NotFound                                 {"ImageId": "img-00000000"}
        InvalidParameterValue.InvalidImageState                 {"ImageId": "img-busyaaaa"}
        OK                                                      {"InstanceType": "S5.16XLARGE256"}
        InvalidInstanceType.Malformed                           {"InstanceType": "S5"}
        InvalidInstanceType.Malformed                           {"InstanceType": "CDH_1C1G"}
        InvalidParameterValue.InstanceTypeNotFound              {"InstanceType": "S99.SMALL1"}
        ResourceUnavailable.InstanceType                        {"InstanceType": "SR1.MEDIUM4"}
        InvalidParameterValue.InvalidImageForGivenInstanceType  {"InstanceType": "SR1.MEDIUM4", "Placement": {"Zone": "ap-shanghai-5"}}
        OK                                                      {"InstanceType": "SR1.MEDIUM4", "Placement": {"Zone": "ap-shanghai-5"}, "ImageId": "img-arm64aaa"}
        UnsupportedOperation.InstanceTypeNotSupportJumboFrame   {"InstanceType": "S5.SMALL1", "EnableJumboFrame": true}
        OK                                                      {"InstanceType": "S6.SMALL2", "EnableJumboFrame": true}
        OK                                                      {"CpuTopology": {"CoreCount": 1, "ThreadPerCore": 1}}
        InvalidParameter.LackCoreCountOrThreadPerCore           {"CpuTopology": {"CoreCount": 1}}
        InvalidParameterValue.ThreadPerCoreValue                {"CpuTopology": {"CoreCount": 1, "ThreadPerCore": 3}}
        InvalidParameterValue.CoreCountValue                    {"CpuTopology": {"CoreCount": 2, "ThreadPerCore": 1}}
        ResourceNotFound.HpcCluster                             {"HpcClusterId": "hpc-00000000"}
        InvalidParameterValue.ChcHostsNotFound                  {"ChcIds": ["chc-00000000"]}
        InvalidParameterValue                                   {"DedicatedClusterId": "cluster-00000000"}
        InvalidParameterValue                                   {"PartitionNumber": 1}
        InvalidParameterValue.LaunchTemplateIdMalformed         {"LaunchTemplate": {"LaunchTemplateId": "x"}}
        InvalidParameterValue.LaunchTemplateIdNotExisted        {"LaunchTemplate": {"LaunchTemplateId": "lt-00000000"}}
        InvalidParameterValue.LaunchTemplateVersion             {"LaunchTemplate": {"LaunchTemplateId": "lt-00000000", "LaunchTemplateVersion": 0}}
    "#,
    );
}

#[test]
fn counts_and_billing() {
    let host = json!({"HostIds": ["host-q88gab4i"]});
    table(
        r#"
        OK                                                  {"InstanceCount": 500}
        InvalidParameterValue.Range                         {"InstanceCount": 0}
        InvalidParameterValue.Range                         {"InstanceCount": 501}
        InvalidParameterValue.Range                         {"InstanceCount": -1}
        OK                                                  {"InstanceCount": 3, "MinCount": 1}
        OK                                                  {"InstanceCount": 3, "MinCount": 3}
        InvalidParameterValue.InvalidParameterMinCount      {"InstanceCount": 3, "MinCount": 4}
        InvalidParameterValue.InvalidParameterMinCount      {"InstanceCount": 3, "MinCount": 0}
        InvalidParameterValue                               {"InstanceChargeType": "FREE"}
        MissingParameter                                    {"InstanceChargeType": "CDCPAID"}
        MissingParameter                                    {"InstanceChargeType": "PREPAID"}
        OK                                                  {"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 60}}
        InvalidPeriod                                       {"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 13}}
        InvalidParameterValue                               {"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 1, "RenewFlag": "SOMETIMES"}}
        UnsupportedOperation.MinCountUnsupportedChargeType  {"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 1}, "InstanceCount": 2, "MinCount": 1}
        OK                                                  {"InstanceChargeType": "SPOTPAID"}
        UnsupportedOperation.NoInstanceTypeSupportSpot      {"InstanceChargeType": "SPOTPAID", "InstanceType": "IT3.4XLARGE64"}
        OK                                                  {"InstanceChargeType": "SPOTPAID", "InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "0.02"}}}
        InvalidParameterValue.InsufficientPrice             {"InstanceChargeType": "SPOTPAID", "InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "0.01"}}}
        InvalidParameterValue                               {"InstanceChargeType": "SPOTPAID", "InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "cheap"}}}
        InvalidParameterValue                               {"InstanceChargeType": "SPOTPAID", "InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "1e3"}}}
        InvalidParameterValue                               {"InstanceChargeType": "SPOTPAID", "InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "+1"}}}
        InvalidParameterValue                               {"InstanceChargeType": "SPOTPAID", "InstanceMarketOptions": {"SpotOptions": {"MaxPrice": ".5"}}}
        InvalidParameterValue                               {"InstanceChargeType": "SPOTPAID", "InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "1", "SpotInstanceType": "persistent"}}}
        InvalidParameterValue                               {"InstanceChargeType": "SPOTPAID", "InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "1"}, "MarketType": "flea"}}
        MissingParameter                                    {"InstanceChargeType": "CDHPAID", "InstanceType": "CDH_1C1G"}
        InvalidHostId.Malformed                             {"InstanceChargeType": "CDHPAID", "InstanceType": "CDH_1C1G", "Placement": {"HostIds": ["host-1122"]}}
        InvalidParameterValue.Duplicate                     {"InstanceChargeType": "CDHPAID", "InstanceType": "CDH_1C1G", "Placement": {"HostIds": ["host-q88gab4i", "host-q88gab4i"]}}
        InvalidHostId.NotFound                              {"InstanceChargeType": "CDHPAID", "InstanceType": "CDH_1C1G", "Placement": {"HostIds": ["host-smallaaa"]}}
    "#,
    );
    check(&[
        (
            json!({"InstanceChargeType": "CDHPAID", "InstanceType": "CDH_1C1G", "Placement": host}),
            "OK",
        ),
        (
            json!({"InstanceChargeType": "CDHPAID", "InstanceType": "S5.SMALL1", "Placement": host}),
            "InvalidParameter.HostIdStandardInstanceTypeNotSupport",
        ),
        (
            json!({"InstanceChargeType": "CDHPAID", "InstanceType": "CDH_+1C1G", "Placement": host}),
            "InvalidParameter.HostIdStandardInstanceTypeNotSupport",
        ),
        (
            json!({"InstanceChargeType": "CDHPAID", "InstanceType": "CDH_0C1G", "Placement": host}),
            "InvalidParameter.HostIdStandardInstanceTypeNotSupport",
        ),
        (
            json!({"InstanceChargeType": "CDHPAID", "InstanceType": format!("CDH_{}1C1G", "0".repeat(19)), "Placement": host}),
            "InvalidParameter.HostIdStandardInstanceTypeNotSupport",
        ),
    ]);
    let partial =
        json!({"Placement": {"Zone": "ap-shanghai-fsi-1"}, "InstanceCount": 2, "MinCount": 1});
    assert_eq!(
        verdict_in("ap-shanghai-fsi", &partial),
        "UnsupportedOperation.MinCountUnsupportedRegion"
    );
}

#[test]
fn disks() {
    let data = |disk: Value| json!({"DataDisks": [disk]});
    let many = |count: usize, class: &str| vec![json!({"DiskSize": 100, "DiskType": class}); count];
    let both = [many(20, "CLOUD_PREMIUM"), many(1, "LOCAL_SSD")].concat();
    table(
        r#"
        OK                                     {"SystemDisk": {"DiskType": "CLOUD_PREMIUM", "DiskSize": 50}}
        InvalidParameterValue                  {"SystemDisk": {"DiskType": "FLOPPY"}}
        ResourceInsufficient.CloudDiskSoldOut  {"SystemDisk": {"DiskType": "CLOUD_BASIC"}}
        InvalidParameterValue.Range            {"SystemDisk": {"DiskSize": 19}}
        InvalidParameterValue.Range            {"SystemDisk": {"DiskSize": 2049}}
        InvalidParameterValue.Range            {"SystemDisk": {"DiskSize": 49}, "ImageId": "img-9id7emv7"}
        InvalidParameter.CdcNotSupported       {"SystemDisk": {"CdcId": "cdc-1"}}
    "#,
    );
    table_of(
        data,
        r#"
        OK                                                  {"DiskSize": 0, "DiskType": "FLOPPY"}
        OK                                                  {"DiskSize": 10}
        InvalidParameterValue                               {"DiskSize": 15}
        InvalidParameterValue.Range                         {"DiskSize": 40000}
        InvalidParameterValue.CloudSsdDataDiskSizeTooSmall  {"DiskSize": 90, "DiskType": "CLOUD_SSD"}
        OK                                                  {"DiskSize": 100, "DiskType": "CLOUD_SSD"}
        UnsupportedOperation.InvalidDisk                    {"DiskSize": 100, "DiskType": "LOCAL_NVME"}
        InvalidParameterCombination                         {"DiskSize": 100, "ThroughputPerformance": 10}
        OK                                                  {"DiskSize": 100, "DiskType": "CLOUD_HSSD", "ThroughputPerformance": 10}
        InvalidParameterValue.SnapshotIdMalformed           {"DiskSize": 100, "SnapshotId": "snap-1"}
        InvalidParameter.SnapshotNotFound                   {"DiskSize": 100, "SnapshotId": "snap-00000000"}
        InvalidParameter.CdcNotSupported                    {"DiskSize": 100, "CdcId": "cdc-1"}
    "#,
    );
    check(&[
        (
            json!({"SystemDisk": {"DiskName": "x".repeat(129)}}),
            "InvalidParameterValue",
        ),
        (json!({"DataDisks": many(20, "CLOUD_PREMIUM")}), "OK"),
        (
            json!({"DataDisks": many(21, "CLOUD_PREMIUM")}),
            "InvalidParameterValue.LimitExceeded",
        ),
        (json!({"DataDisks": both}), "OK"),
        (json!({"DataDisks": vec![json!({"DiskSize": 0}); 21]}), "OK"),
        (
            json!({"DataDisks": vec![json!({"DiskSize": 0}); 22]}),
            "InvalidParameterValue.LimitExceeded",
        ),
        (
            json!({"DataDisks": many(2, "LOCAL_BASIC")}),
            "InvalidParameterValue.LimitExceeded",
        ),
        (
            json!({"DataDisks": many(1, "LOCAL_BASIC"), "InstanceType": "S5.SMALL1"}),
            "UnsupportedOperation.InvalidDisk",
        ),
    ]);
}

#[test]
fn a_data_disk_without_a_class_is_a_local_one() {
    let disks = |count: usize| vec![json!({"DiskSize": 100}); count];
    let catalog = Catalog::embedded();
    let region = catalog.region("ap-shanghai").unwrap();
    let wish = request(&json!({"InstanceType": "IT3.4XLARGE64", "DataDisks": disks(1)}));
    let order = order(&catalog, region, NOW, &wish).unwrap();
    assert_eq!(order.system_disk.disk_type, "CLOUD_PREMIUM");
    assert_eq!(order.data_disks[0].disk_type, "LOCAL_BASIC");
    check(&[
        (
            json!({"InstanceType": "IT3.4XLARGE64", "DataDisks": disks(2)}),
            "InvalidParameterValue.LimitExceeded",
        ),
        (
            json!({"InstanceType": "S5.SMALL1", "DataDisks": disks(1)}),
            "UnsupportedOperation.InvalidDisk",
        ),
        (
            json!({"InstanceType": "S5.SMALL1", "DataDisks": [{"DiskSize": 100, "DiskType": "CLOUD_PREMIUM"}]}),
            "OK",
        ),
    ]);
}

#[test]
fn network() {
    let vpc = |changes: Value| {
        let mut cloud = json!({"VpcId": "vpc-1urkhbj4", "SubnetId": "subnet-dcs9x3gz"});
        merge(cloud.as_object_mut().unwrap(), changes.as_object().unwrap());
        json!({"VirtualPrivateCloud": cloud})
    };
    let fixed = |addresses: &[&str]| vpc(json!({"PrivateIpAddresses": addresses}));
    table(
        r#"
        OK                               {"SecurityGroupIds": ["sg-web00001"]}
        InvalidSecurityGroupId.NotFound  {"SecurityGroupIds": ["sg-unknown1"]}
    "#,
    );
    table_of(
        vpc,
        r#"
        OK                                              {}
        OK                                              {"VpcId": "DEFAULT", "SubnetId": "DEFAULT"}
        InvalidParameterCombination                     {"VpcId": "DEFAULT"}
        InvalidParameterValue.VpcIdMalformed            {"VpcId": "vpc-1"}
        InvalidParameterValue.VpcIdNotExist             {"VpcId": "vpc-00000000"}
        InvalidParameterValue.VpcIdNotExist             {"VpcId": "vpc-defaulta"}
        InvalidParameterValue.SubnetIdMalformed         {"SubnetId": "subnet-1"}
        InvalidParameterValue.SubnetNotExist            {"SubnetId": "subnet-00000000"}
        InvalidParameterValue.VpcIdSubnetIdNotMatch     {"SubnetId": "subnet-defaulb2"}
        InvalidParameterValue.SubnetIdZoneIdNotMatch    {"VpcId": "vpc-defaultb", "SubnetId": "subnet-defaulb4"}
        InvalidParameterValue.VpcNotSupportIpv6Address  {"Ipv6AddressCount": 1}
        InvalidParameterCombination                     {"AsVpcGateway": true}
    "#,
    );
    check(&[
        (fixed(&["10.0.0.18"]), "OK"),
        (
            fixed(&["10.0.0.18", "10.0.0.19"]),
            "InvalidParameterCombination",
        ),
        (fixed(&["10.0.0"]), "InvalidParameter.InvalidIpFormat"),
        (fixed(&["10.0.16.18"]), "VpcAddrNotInSubNet"),
        (fixed(&["10.0.0.1"]), "VpcAddrNotInSubNet"),
        (
            fixed(&["10.0.0.2"; 21]),
            "InvalidParameterValue.LimitExceeded",
        ),
        (
            json!({"SecurityGroupIds": vec!["sg-web00001"; 6]}),
            "LimitExceeded.SingleUSGQuota",
        ),
    ]);
    let mut twice = fixed(&["10.0.0.18", "10.0.0.18"]);
    twice["InstanceCount"] = json!(2);
    assert_eq!(verdict(&twice), "InvalidParameterValue.Duplicate");
}

#[test]
fn internet() {
    let internet = |settings: Value| json!({"InternetAccessible": settings});
    table_of(
        internet,
        r#"
        OK                                                  {"InternetMaxBandwidthOut": 10, "PublicIpAssigned": true, "InternetChargeType": "TRAFFIC_POSTPAID_BY_HOUR"}
        InvalidParameterCombination                         {"PublicIpAssigned": true}
        InvalidParameterValue.Range                         {"InternetMaxBandwidthOut": -1}
        InvalidParameterValue                               {"InternetChargeType": "FREE"}
        InvalidParameterValue.BandwidthPackageIdMalformed   {"BandwidthPackageId": "x"}
        InvalidParameterValue.BandwidthPackageIdNotFound    {"BandwidthPackageId": "bwp-00000000"}
        OK                                                  {"InternetServiceProvider": "BGP"}
        InvalidParameter.SpecialParameterForSpecialAccount  {"InternetServiceProvider": "CMCC"}
        MissingParameter                                    {"IPv4AddressType": "AntiDDoSEIP"}
        InvalidParameterValue                               {"IPv4AddressType": "Carrier"}
        InvalidParameterValue                               {"IPv6AddressType": "Carrier"}
    "#,
    );
}

#[test]
fn interfaces() {
    let interface = |changes: Value| {
        let mut interface = json!({"InterfaceType": "PRIMARY", "VpcId": "vpc-1urkhbj4", "SubnetId": "subnet-dcs9x3gz", "PrivateIpv4AddressCount": 1});
        merge(
            interface.as_object_mut().unwrap(),
            changes.as_object().unwrap(),
        );
        interface
    };
    let second = || interface(json!({"InterfaceType": "SECONDARY", "DeleteWithInstance": true}));
    check(&[
        (
            json!({"NetworkInterfaces": [interface(json!({})), second()]}),
            "OK",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({"VpcId": "DEFAULT", "SubnetId": "DEFAULT"}))]}),
            "OK",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({"SubnetId": "DEFAULT"}))]}),
            "InvalidParameterValue.InvalidVpcIdSubnetIdNotFound",
        ),
        (
            json!({"NetworkInterfaces": [second()]}),
            "InvalidParameterValue",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({})), interface(json!({}))]}),
            "InvalidParameterValue",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({"InterfaceType": "primary"}))]}),
            "InvalidParameterValue",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({"PrivateIpv4AddressCount": 0}))]}),
            "InvalidParameterValue",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({"DeleteWithInstance": true}))]}),
            "InvalidParameterValue",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({"SubnetId": "subnet-00000000"}))]}),
            "InvalidParameterValue.InvalidVpcIdSubnetIdNotFound",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({"NetworkInterfaceId": "eni-00000000"}))]}),
            "InvalidParameterValue.ElasticNetworkNotExist",
        ),
        (
            json!({"InstanceCount": 2, "NetworkInterfaces": [interface(json!({"NetworkInterfaceId": "eni-00000000"}))]}),
            "InvalidParameterCombination",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({})), interface(json!({"InterfaceType": "SECONDARY", "VpcId": "vpc-defaultb", "SubnetId": "subnet-defaulb2"}))]}),
            "InvalidParameterValue.ElasticNetworkVpcSubnetMismatch",
        ),
        (
            json!({"NetworkInterfaces": [interface(json!({"VpcId": "vpc-defaultb", "SubnetId": "subnet-defaulb4"}))]}),
            "InvalidParameterValue.SubnetIdZoneIdNotMatch",
        ),
    ]);
}

#[test]
fn login() {
    let windows = |login: Value| json!({"ImageId": "img-9id7emv7", "LoginSettings": login});
    let linux = |login: Value| json!({"LoginSettings": login});
    table(
        r#"
        OK  {"ImageId": "img-custom01", "LoginSettings": {"KeepImageLogin": "true"}}
    "#,
    );
    table_of(
        linux,
        r#"
        OK                                     {"Password": "Qcloud@TestApi123++"}
        OK                                     {"Password": "abcdefg1"}
        InvalidPassword                        {"Password": "abcdef1"}
        InvalidPassword                        {"Password": "abcdefgh"}
        InvalidPassword                        {"Password": "abcdefg1 "}
        InvalidPassword                        {"Password": "abcdefg1é"}
        OK                                     {"KeyIds": ["skey-laptop01"]}
        InvalidKeyPairId.Malformed             {"KeyIds": ["laptop"]}
        InvalidParameterValue.KeyPairNotFound  {"KeyIds": ["skey-unknown1"]}
        InvalidParameterValue                  {"KeepImageLogin": "TRUE"}
        InvalidParameterValue                  {"KeepImageLogin": "perhaps"}
        InvalidParameter.ParameterConflict     {"Password": "abcdefg1", "KeyIds": ["skey-laptop01"]}
        InvalidParameter.ParameterConflict     {"Password": "abcdefg1", "KeepImageLogin": "true"}
        OK                                     {"Password": "abcdefg1", "KeepImageLogin": "false"}
    "#,
    );
    table_of(
        windows,
        r#"
        OK                                              {"Password": "abcdefghij1A"}
        InvalidPassword                                 {"Password": "abcdefghijk1"}
        InvalidPassword                                 {"Password": "abcdefgh1A"}
        UnsupportedOperation.KeyPairUnsupportedWindows  {"KeyIds": ["skey-laptop01"]}
    "#,
    );
    check(&[
        (linux(json!({"Password": "a1".repeat(15)})), "OK"),
        (
            linux(json!({"Password": "a1".repeat(16)})),
            "InvalidPassword",
        ),
    ]);
}

#[test]
fn names() {
    let windows = |name: &str| json!({"ImageId": "img-9id7emv7", "HostName": name});
    let illegal = "InvalidParameterValue.IllegalHostName";
    table(
        r#"
        OK                                     {"HostName": "web-1.example.com"}
        OK                                     {"HostName": "web{R:1,F:3}-{IP}"}
        InvalidParameterValue.IllegalHostName  {"HostName": "w"}
        InvalidParameterValue.IllegalHostName  {"HostName": "-web"}
        InvalidParameterValue.IllegalHostName  {"HostName": "web."}
        InvalidParameterValue.IllegalHostName  {"HostName": "a..b"}
        InvalidParameterValue.IllegalHostName  {"HostName": "a--b"}
        InvalidParameterValue.IllegalHostName  {"HostName": "a.-b"}
        InvalidParameterValue.IllegalHostName  {"HostName": "a_b"}
        InvalidParameterValue.IllegalHostName  {"HostName": "web{R:x}"}
        OK                                     {"HostName": "{R:10}", "InstanceCount": 2}
        InvalidParameterValue.IllegalHostName  {"HostName": "{R:9}", "InstanceCount": 2}
    "#,
    );
    check(&[
        (json!({"InstanceName": "测".repeat(128)}), "OK"),
        (
            json!({"InstanceName": "x".repeat(129)}),
            "InvalidInstanceName.TooLong",
        ),
        (json!({"HostName": "x".repeat(61)}), illegal),
        (windows("WEB-{R:1}"), "OK"),
        (windows("web.example"), illegal),
        (windows("123456"), illegal),
        (windows("a123456789012345"), illegal),
    ]);
}

#[test]
fn contents() {
    let base64 = |bytes: usize| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(vec![b'x'; bytes])
    };
    table(
        r#"
        InvalidParameterValue.InvalidUserDataFormat  {"UserData": "echo hello"}
        InvalidParameterCombination                  {"UserData": "IyEvYmluL3No", "ImageId": "img-nocloud1"}
        OK                                           {"Metadata": {"Items": [{"Key": "role_1", "Value": "web"}]}}
        InvalidParameterValue                        {"Metadata": {"Items": [{"Key": "role 1", "Value": "web"}]}}
        OK                                           {"CamRoleName": "CvmAgent", "VirtualPrivateCloud": {"VpcId": "DEFAULT", "SubnetId": "DEFAULT"}}
        MissingParameter                             {"CamRoleName": "CvmAgent"}
        InvalidParameterValue.CamRoleNameMalformed   {"CamRoleName": "no/slash"}
        AuthFailure.CamRoleNameAuthenticateFailed    {"CamRoleName": "Unknown"}
        OK                                           {"ActionTimer": {"TimerAction": "TerminateInstances", "ActionTime": "2026-11-23T12:05:00Z"}}
        InvalidParameterValue                        {"ActionTimer": {"TimerAction": "TerminateInstances", "ActionTime": "2026-11-23T12:04:59Z"}}
        InvalidParameterValue.InvalidTimeFormat      {"ActionTimer": {"TimerAction": "TerminateInstances", "ActionTime": "tomorrow"}}
        InvalidParameterValue.InvalidTimeFormat      {"ActionTimer": {"TimerAction": "TerminateInstances", "ActionTime": "+2030-01-01T00:00:00Z"}}
        MissingParameter                             {"ActionTimer": {"TimerAction": "TerminateInstances"}}
        InvalidParameterValue                        {"ActionTimer": {"TimerAction": "StopInstances", "ActionTime": "2030-01-01T00:00:00Z"}}
    "#,
    );
    check(&[
        (json!({"UserData": base64(16 * 1024)}), "OK"),
        (
            json!({"UserData": base64(16 * 1024 + 1)}),
            "InvalidParameterValue.TooLarge",
        ),
        (
            json!({"Metadata": {"Items": [{"Key": "role", "Value": "x".repeat(256 * 1024 + 1)}]}}),
            "InvalidParameterValue.TooLarge",
        ),
    ]);
}

#[test]
fn tags() {
    let tags =
        |tags: Value| json!({"TagSpecification": [{"ResourceType": "instance", "Tags": tags}]});
    let tag = |key: &str, value: &str| tags(json!([{"Key": key, "Value": value}]));
    let many: Vec<_> = (0..51)
        .map(|number| json!({"Key": format!("k{number}"), "Value": ""}))
        .collect();
    table(
        r#"
        InvalidParameterValue  {"TagSpecification": [{"ResourceType": "host", "Tags": []}]}
    "#,
    );
    table_of(
        tags,
        r#"
        InvalidParameterValue.DuplicateTags  [{"Key": "env", "Value": "a"}, {"Key": "env", "Value": "b"}]
    "#,
    );
    check(&[
        (tag("env", "dev test"), "OK"),
        (tag("", "x"), "FailedOperation.IllegalTagKey"),
        (tag(&"k".repeat(128), &"v".repeat(256)), "OK"),
        (tag(&"k".repeat(129), "x"), "FailedOperation.IllegalTagKey"),
        (tag("qcs:env", "x"), "FailedOperation.TagKeyReserved"),
        (
            tag("env", &"v".repeat(257)),
            "FailedOperation.IllegalTagValue",
        ),
        (tag("env", "a\nb"), "FailedOperation.IllegalTagValue"),
        (
            tags(json!(many)),
            "InvalidParameterValue.TagQuotaLimitExceeded",
        ),
    ]);
}

#[test]
fn client_tokens() {
    let token = |token: &str| {
        let request = request(&json!({"ClientToken": token}));
        client_token(&request)
            .map(|token| token.map(str::to_owned))
            .map_err(Refusal::into_code)
    };
    assert_eq!(token(&"t".repeat(64)), Ok(Some("t".repeat(64))));
    assert_eq!(token(&"t".repeat(65)), Err("InvalidClientToken.TooLong"));
    assert_eq!(token("测"), Err("InvalidParameterValue"));
    assert_eq!(token(""), Ok(None));
}

/// Codes of STS, which the contract of CVM does not list.
const OF_NEIGHBOURS: [&str; 4] = [
    "InvalidParameter.OverLimit",
    "InvalidParameter.ParamError",
    "InvalidParameter.WebIdentityTokenError",
    "ResourceNotFound.RoleNotFound",
];

/// A code that the API does not have would teach clients a falsehood.
#[test]
fn every_code_in_the_source_is_in_the_contract() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let contract =
        std::fs::read_to_string(format!("{root}testdata/contract/cvm-contract.json")).unwrap();
    let contract: Value = serde_json::from_str(&contract).unwrap();
    let codes = ["error_codes", "common_error_codes"]
        .map(|list| contract[list].as_array().unwrap().clone());
    let codes = codes.concat();
    let known: BTreeSet<_> = codes
        .iter()
        .map(|row| row["code"].as_str().unwrap())
        .collect();
    let major = |code: &str| code.split('.').next().unwrap().to_owned();
    let majors: BTreeSet<_> = known.iter().map(|code| major(code)).collect();
    let mut files = vec![format!("{root}src/simulator.rs").into()];
    collect(format!("{root}src/simulator").as_ref(), &mut files);
    let mut used = 0;
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let product = source.split("#[cfg(test)]").next().unwrap();
        let texts = product.split('"').skip(1).step_by(2);
        for text in texts.filter(|text| text.contains('.') && majors.contains(&major(text))) {
            let known = known.contains(text) || OF_NEIGHBOURS.contains(&text);
            assert!(known, "{}: {text}", file.display());
            used += 1;
        }
    }
    assert!(
        used > 100,
        "only {used} codes found: is their spelling another?"
    );
}

/// The product's source files at and below `folder`.
fn collect(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}
