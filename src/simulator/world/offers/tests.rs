//! Prices, stock and quotas, asked for in JSON.

use crate::simulator::EMBEDDED;
use crate::simulator::action::Action;
use crate::simulator::catalog::Catalog;
use crate::simulator::world::tests::check_members;
use crate::simulator::world::{Call, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use time::macros::utc_datetime;

struct Cloud(World);

impl Cloud {
    fn new() -> Self {
        Self::of(EMBEDDED)
    }

    fn of(catalog: &str) -> Self {
        let catalog = Arc::new(Catalog::parse(catalog).unwrap());
        Self(World::new(catalog, 7, 1.0))
    }

    fn call(&mut self, action: &str, body: &Value) -> Result<Value, &'static str> {
        let call = Call {
            now: utc_datetime!(2026-11-23 12:00),
            secret_id: "AKID",
            region: "ap-shanghai",
            endpoint: "",
            request_id: "request",
        };
        let action = Action::parse(action).unwrap();
        let answer = action.carry_out(&mut self.0, &call, body);
        answer.map_err(|refusal| refusal.into_code())
    }

    fn price(&mut self, changes: &Value) -> Result<Value, &'static str> {
        let answer = self.call("InquiryPriceRunInstances", &smallest(changes));
        answer.map(|mut answer| answer["Price"].take())
    }

    /// The rows of DescribeZoneInstanceConfigInfos, with these filters.
    fn offers(&mut self, filters: &[(&str, &str)]) -> Result<Vec<Value>, &'static str> {
        let filters = filters
            .iter()
            .map(|(name, value)| json!({"Name": name, "Values": [value]}));
        let body = json!({"Filters": filters.collect::<Vec<_>>()});
        let answer = self.call("DescribeZoneInstanceConfigInfos", &body);
        answer.map(|answer| answer["InstanceTypeQuotaSet"].as_array().unwrap().clone())
    }

    fn quota(&mut self, filters: &Value) -> Result<Value, &'static str> {
        let answer = self.call("DescribeAccountQuota", &json!({"Filters": filters}));
        answer.map(|mut answer| answer["AccountQuotaOverview"]["AccountQuota"].take())
    }
}

/// The smallest launch with `changes` laid over it; null takes a member away.
fn smallest(changes: &Value) -> Value {
    let mut body = json!({"Placement": {"Zone": "ap-shanghai-2"}, "ImageId": "img-pmqg1cw7"});
    let members = body.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    members.retain(|_, member| !member.is_null());
    body
}

fn contract() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/contract/cvm-contract.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// (price of the machines, of the bandwidth) as `[UnitPrice, UnitPriceDiscount, OriginalPrice, DiscountPrice]`.
fn figures(price: &Value) -> Value {
    let item = |name: &str| {
        let members = [
            "UnitPrice",
            "UnitPriceDiscount",
            "OriginalPrice",
            "DiscountPrice",
        ];
        members.map(|member| price[name][member].as_f64().unwrap())
    };
    json!([item("InstancePrice"), item("BandwidthPrice")])
}

/// S5.SMALL2 has a core and 2 GiB: 0.12 + 2 × 0.03 an hour; its system disk of 50 GiB 0.025; a month has 360 hours.
#[test]
fn prices_follow_from_the_catalogue() {
    let mut cloud =
        Cloud::of(&EMBEDDED.replacen("discount_percent = 100", "discount_percent = 50", 1));
    let small = |changes: Value| {
        let mut body = json!({"InstanceType": "S5.SMALL2"});
        let members = body.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        body
    };
    let mbps = |charge_type: &str| json!({"InternetMaxBandwidthOut": 10, "InternetChargeType": charge_type});
    let months = json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 2}});
    let prepaid_line = json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 1},
        "InternetAccessible": mbps("BANDWIDTH_PREPAID")});
    let prepaid_by_default = json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 1},
        "InternetAccessible": {"InternetMaxBandwidthOut": 10}});
    let rows = [
        (
            json!({}),
            json!([[0.205, 0.1025, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
        ),
        (
            json!({"InstanceCount": 10}),
            json!([[2.05, 1.025, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
        ),
        (
            json!({"DataDisks": [{"DiskType": "CLOUD_SSD", "DiskSize": 100}]}),
            json!([[0.345, 0.1725, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
        ),
        (
            json!({"InstanceChargeType": "SPOTPAID"}),
            json!([[0.205, 0.0445, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
        ),
        (
            months,
            json!([[0.0, 0.0, 147.6, 73.8], [0.0, 0.0, 0.0, 0.0]]),
        ),
        (
            json!({"InternetAccessible": mbps("TRAFFIC_POSTPAID_BY_HOUR"), "InstanceCount": 2}),
            json!([[0.41, 0.205, 0.0, 0.0], [0.8, 0.4, 0.0, 0.0]]),
        ),
        (
            json!({"InternetAccessible": mbps("BANDWIDTH_POSTPAID_BY_HOUR"), "InstanceCount": 2}),
            json!([[0.41, 0.205, 0.0, 0.0], [1.2, 0.6, 0.0, 0.0]]),
        ),
        (
            json!({"InternetAccessible": mbps("BANDWIDTH_PACKAGE")}),
            json!([[0.205, 0.1025, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
        ),
        (
            prepaid_line,
            json!([[0.0, 0.0, 73.8, 36.9], [0.0, 0.0, 216.0, 108.0]]),
        ),
        (
            prepaid_by_default,
            json!([[0.0, 0.0, 73.8, 36.9], [0.0, 0.0, 216.0, 108.0]]),
        ),
    ];
    for (changes, expected) in rows {
        let price = cloud.price(&small(changes.clone())).unwrap();
        assert_eq!(figures(&price), expected, "{changes}");
    }
}

/// The code that answers these changes of the smallest inquiry.
const INQUIRIES: &str = r#"
    OK {"InstanceCount": "3"}
    InvalidParameterValue.Range {"InstanceCount": 101}
    InvalidParameterValue.Range {"InstanceCount": 0}
    MissingParameter {"ImageId": null}
    MissingParameter {"Placement": null}
    UnknownParameter {"MinCount": 1}
    InvalidClientToken.TooLong {"ClientToken": "ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}
    InvalidImageId.NotFound {"ImageId": "img-00000000"}
    InvalidImageId.Malformed {"ImageId": "image"}
    InvalidParameterValue.InvalidImageState {"ImageId": "img-busyaaaa"}
    InvalidParameter.InstanceImageNotSupport {"ImageId": "img-arm64aaa"}
    InvalidZone.MismatchRegion {"Placement": {"Zone": "ap-guangzhou-3"}}
    InvalidProjectId.NotFound {"Placement": {"Zone": "ap-shanghai-2", "ProjectId": 9}}
    InvalidInstanceType.Malformed {"InstanceType": "S5"}
    InvalidParameterValue.InstanceTypeNotFound {"InstanceType": "S99.SMALL1"}
    ResourceUnavailable.InstanceType {"InstanceType": "SR1.MEDIUM4"}
    ResourcesSoldOut.SpecifiedInstanceType {"InstanceType": "SOLDOUT.SMALL1"}
    ResourcesSoldOut.SpecifiedInstanceType {"Placement": {"Zone": "ap-shanghai-8"}}
    UnsupportedOperation.NoInstanceTypeSupportSpot {"InstanceChargeType": "SPOTPAID", "InstanceType": "IT3.4XLARGE64"}
    InvalidParameterValue {"InstanceChargeType": "CDHPAID"}
    MissingParameter {"InstanceChargeType": "PREPAID"}
    InvalidPeriod {"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 13}}
    ResourceInsufficient.CloudDiskUnavailable {"SystemDisk": {"DiskType": "CLOUD_BASIC"}}
    InvalidParameterValue {"SystemDisk": {"CdcId": "cdc-1"}}
    InvalidParameterValue.CloudSsdDataDiskSizeTooSmall {"DataDisks": [{"DiskType": "CLOUD_SSD", "DiskSize": 50}]}
    InvalidPassword {"LoginSettings": {"Password": "short"}}
    InvalidParameterValue {"CpuTopology": {"CoreCount": 1}}
    ResourceNotFound.HpcCluster {"HpcClusterId": "hpc-00000000"}
    InvalidParameterValue {"LaunchTemplate": {"LaunchTemplateId": "lt-00000000"}}
    InvalidParameterCombination {"InstanceCount": 2, "VirtualPrivateCloud": {"VpcId": "v", "SubnetId": "s", "PrivateIpAddresses": ["10.0.0.2", "10.0.0.3"]}}
"#;

#[test]
fn a_price_inquiry_launches_nothing_and_is_checked() {
    let contract = contract();
    let action = &contract["actions"]["InquiryPriceRunInstances"];
    let listed = action["error_codes"].as_array().unwrap();
    let common = contract["common_error_codes"].as_array().unwrap().iter();
    let common: BTreeSet<_> = common.map(|row| row["code"].as_str().unwrap()).collect();
    let mut cloud = Cloud::new();
    let rows = INQUIRIES.trim().lines().map(str::trim);
    for (expected, changes) in rows.filter_map(|row| row.split_once(' ')) {
        let changes = serde_json::from_str(changes).unwrap();
        let verdict = cloud.price(&changes).err().unwrap_or("OK");
        assert_eq!(verdict, expected, "{changes}");
        let listed = listed.iter().any(|code| code == verdict);
        let known = verdict == "OK" || common.contains(verdict) || listed;
        assert!(known, "{verdict} is no code of the action");
    }
    assert_eq!(cloud.0.made().count(), 0);
}

#[test]
fn the_answers_have_exactly_the_members_of_the_contract() {
    let contract = contract();
    let mut cloud = Cloud::new();
    check_members(&contract, "Price", &cloud.price(&json!({})).unwrap());
    let local = cloud.offers(&[("instance-type", "IT3.4XLARGE64")]).unwrap();
    let gpu = cloud.offers(&[("instance-family", "GN7")]).unwrap();
    for row in local.iter().chain(&gpu) {
        check_members(&contract, "InstanceTypeQuotaItem", row);
    }
    assert!(!local[0]["LocalDiskTypeList"].as_array().unwrap().is_empty());
    assert_eq!(
        (&gpu[0]["Gpu"], &gpu[0]["GpuCount"]),
        (&json!(1), &json!(1.0))
    );
    check_members(&contract, "AccountQuota", &cloud.quota(&json!([])).unwrap());
}

#[test]
fn offers_tell_what_is_left() {
    let mut cloud = Cloud::new();
    let told = |row: &Value| {
        let text = |member: &str| row[member].as_str().unwrap().to_owned();
        (
            text("Status"),
            text("StatusCategory"),
            text("SoldOutReason"),
        )
    };
    let mut hourly = |zone: &str, kind: &str| {
        let filters = [
            ("zone", zone),
            ("instance-type", kind),
            ("instance-charge-type", "POSTPAID_BY_HOUR"),
        ];
        let rows = cloud.offers(&filters).unwrap();
        assert_eq!(rows.len(), 1, "{zone} {kind}");
        told(&rows[0])
    };
    let row = |status: &str, level: &str, reason: &str| {
        (status.to_owned(), level.to_owned(), reason.to_owned())
    };
    assert_eq!(
        hourly("ap-shanghai-2", "S5.SMALL1"),
        row("SELL", "EnoughStock", "")
    );
    assert_eq!(
        hourly("ap-shanghai-2", "IT3.4XLARGE64"),
        row("SELL", "NormalStock", "")
    );
    assert_eq!(
        hourly("ap-shanghai-2", "SCARCE.SMALL1"),
        row("SELL", "UnderStock", "")
    );
    let none = row(
        "SOLD_OUT",
        "WithoutStock",
        "ResourcesSoldOut.SpecifiedInstanceType",
    );
    assert_eq!(hourly("ap-shanghai-2", "SOLDOUT.SMALL1"), none);
    let full = row(
        "SOLD_OUT",
        "WithoutStock",
        "ResourceInsufficient.AvailabilityZoneSoldOut",
    );
    assert_eq!(hourly("ap-shanghai-8", "S5.SMALL1"), full);
}

#[test]
fn offers_tell_why_none_is_left() {
    let mut cloud = Cloud::new();
    let launch = smallest(&json!({"InstanceType": "SCARCE.SMALL1", "InstanceCount": 3}));
    cloud.call("RunInstances", &launch).unwrap();
    let filters = [
        ("zone", "ap-shanghai-2"),
        ("instance-type", "SCARCE.SMALL1"),
    ];
    let rows: Vec<_> = cloud.offers(&filters).unwrap();
    let reasons: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["InstanceChargeType"].clone(),
                row["SoldOutReason"].clone(),
            )
        })
        .collect();
    let sold_out = json!("ResourcesSoldOut.SpecifiedInstanceType");
    let expected = [
        (json!("PREPAID"), sold_out.clone()),
        (json!("POSTPAID_BY_HOUR"), sold_out),
        (
            json!("SPOTPAID"),
            json!("InvalidParameterValue.InsufficientOffering"),
        ),
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn offers_are_filtered_and_sorted() {
    let mut cloud = Cloud::new();
    let everywhere = cloud.offers(&[]).unwrap();
    let zones: BTreeSet<_> = everywhere
        .iter()
        .map(|row| row["Zone"].as_str().unwrap())
        .collect();
    assert_eq!(zones.len(), 4);
    assert_eq!(
        cloud
            .offers(&[("instance-type", "SR1.MEDIUM4")])
            .unwrap()
            .len(),
        2,
        "one zone, no spot"
    );
    let sorted = cloud
        .offers(&[
            ("zone", "ap-shanghai-2"),
            ("instance-family", "S5"),
            ("sort-keys", "mem:desc"),
        ])
        .unwrap();
    let memory: Vec<_> = sorted
        .iter()
        .map(|row| row["Memory"].as_i64().unwrap())
        .collect();
    assert!(
        memory.is_sorted_by(|one, next| one >= next) && memory[0] == 256,
        "{memory:?}"
    );
    let rows = [
        (("zone", "ap-guangzhou-3"), "InvalidZone.MismatchRegion"),
        (("instance-type", "S5"), "InvalidInstanceType.Malformed"),
        (("instance-charge-type", "FREE"), "InvalidFilter"),
        (("sort-keys", "price:asc"), "InvalidFilter"),
        (("colour", "red"), "InvalidFilter"),
    ];
    for (filter, code) in rows {
        assert_eq!(cloud.offers(&[filter]).map(drop), Err(code), "{filter:?}");
    }
    let many = json!({"Filters": [{"Name": "instance-type", "Values": vec!["S5.SMALL1"; 101]}]});
    assert_eq!(
        cloud
            .call("DescribeZoneInstanceConfigInfos", &many)
            .map(drop),
        Err("InvalidFilterValue.LimitExceeded")
    );
    let closed = EMBEDDED.replacen(
        "name = \"Shanghai Zone 2\"",
        "name = \"Shanghai Zone 2\", available = false",
        1,
    );
    let mut closed = Cloud::of(&closed);
    assert_eq!(
        closed.offers(&[("zone", "ap-shanghai-2")]).map(drop),
        Err("InvalidParameterValue.ZoneNotSupported")
    );
    assert!(
        closed
            .offers(&[])
            .unwrap()
            .iter()
            .all(|row| row["Zone"] != "ap-shanghai-2")
    );
}

#[test]
fn quotas_tell_what_machines_use() {
    let mut cloud = Cloud::new();
    for changes in [
        json!({"InstanceCount": 3}),
        json!({"InstanceChargeType": "SPOTPAID", "InstanceType": "S5.LARGE8", "InstanceCount": 2}),
        json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 1}}),
    ] {
        cloud.call("RunInstances", &smallest(&changes)).unwrap();
    }
    let zone = json!([{"Name": "zone", "Values": ["ap-shanghai-2"]}]);
    let quota = cloud.quota(&zone).unwrap();
    let used = |set: &str| {
        let zones = quota[set].as_array().unwrap();
        assert_eq!(zones.len(), 1, "{set}");
        let figure = |member: &str| zones[0][member].as_u64().unwrap();
        (
            figure("UsedQuota"),
            figure("RemainingQuota"),
            figure("TotalQuota"),
        )
    };
    assert_eq!(used("PostPaidQuotaSet"), (3, 9997, 10000));
    assert_eq!(used("SpotPaidQuotaSet"), (8, 992, 1000), "in cores");
    assert_eq!(used("PrePaidQuotaSet"), (1, 499, 500));
    assert_eq!(
        quota["ImageQuotaSet"],
        json!([{"UsedQuota": 4, "TotalQuota": 10}])
    );
    assert_eq!(quota["DisasterRecoverGroupQuotaSet"][0]["CurrentNum"], 2);

    let one = cloud
        .quota(&json!([{"Name": "quota-type", "Values": ["SpotPaidQuotaSet"]}]))
        .unwrap();
    let sets = one.as_object().unwrap().values();
    let sizes: Vec<_> = sets.map(|set| set.as_array().unwrap().len()).collect();
    assert_eq!(sizes, [0, 0, 4, 0, 0]);
    for (name, value, code) in [
        ("zone", "mars-1", "InvalidZone.MismatchRegion"),
        ("quota-type", "Everything", "InvalidParameterValue.Range"),
        ("colour", "red", "InvalidFilter"),
    ] {
        let filters = json!([{"Name": name, "Values": [value]}]);
        assert_eq!(cloud.quota(&filters).map(drop), Err(code), "{name}");
    }
}

#[test]
fn a_spot_quota_is_used_up_by_cores_and_a_prepaid_order_has_a_size() {
    let catalog = EMBEDDED
        .replacen("spot_per_zone = 1000", "spot_per_zone = 9", 1)
        .replacen("prepaid_once = 500", "prepaid_once = 2", 1);
    let mut cloud = Cloud::of(&catalog);
    let mut run = |changes: Value| cloud.call("RunInstances", &smallest(&changes)).map(drop);
    let spot = |count: u32| json!({"InstanceChargeType": "SPOTPAID", "InstanceType": "S5.LARGE8", "InstanceCount": count});
    assert_eq!(run(spot(3)), Err("LimitExceeded.UserSpotQuota"));
    assert_eq!(run(spot(2)), Ok(()));
    assert_eq!(run(spot(1)), Err("LimitExceeded.UserSpotQuota"));
    let prepaid = |count: u32| json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 1}, "InstanceCount": count});
    assert_eq!(run(prepaid(3)), Err("LimitExceeded.PrepayQuota"));
    assert_eq!(run(prepaid(2)), Ok(()));
}
