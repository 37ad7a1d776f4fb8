//! Questions about a launch that is not made: what it costs, whether there is stock, what is left
//! of the quota.

use super::{body, malformed, open, text};
use crate::cloud::CloudError;
use crate::cloud::wire::Answer;
use crate::domain::outlook::{Cost, Offer, Price, Quota, Size};
use crate::domain::spec::CHARGE_TYPE;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Number, Value, json};

/// The parameters of `RunInstances` that the price can depend on. No secret is among them, and no
/// name: who only asks for a price need not send them.
const PRICED_BY: [&str; 14] = [
    "CpuTopology",
    "DataDisks",
    "EnhancedService",
    "HpcClusterId",
    "ImageId",
    "InstanceChargePrepaid",
    "InstanceChargeType",
    "InstanceCount",
    "InstanceMarketOptions",
    "InstanceType",
    "InternetAccessible",
    "LaunchTemplate",
    "Placement",
    "SystemDisk",
];
/// The cloud takes so many values of one filter of `DescribeZoneInstanceConfigInfos`.
const VALUES_MAX: usize = 100;

/// The body that asks for the price of `count` instances of `launch`, the body of a launch.
#[must_use]
pub fn inquiry(launch: &[u8], count: u32) -> Vec<u8> {
    let mut launch: Value = serde_json::from_slice(launch).unwrap_or_default();
    if let Value::Object(members) = &mut launch {
        members.retain(|name, _| PRICED_BY.contains(&name.as_str()));
        members.insert("InstanceCount".to_owned(), json!(count));
    }
    body(&launch)
}

/// Whether the amounts of a price are for one instance: the contract does not say (its `conflicts`),
/// and its text reads as if they were for all that were asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amounts {
    OfAll,
    OfEach,
}

/// Reads the answer to `InquiryPriceRunInstances` for `instance_count` instances.
///
/// # Errors
/// The cloud's refusal, or [`crate::cloud::Fault::MalformedAnswer`].
pub fn price(
    answer: &[u8],
    currency: &'static str,
    amounts: Amounts,
    instance_count: u32,
) -> Result<Answer<Price>, CloudError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Fields {
        price: Option<Parts>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Parts {
        instance_price: Option<Item>,
        bandwidth_price: Option<Item>,
    }
    let Answer { value, request_id } = open::<Fields>(answer)?;
    let mut price = Price {
        currency,
        instance_count: match amounts {
            Amounts::OfAll => instance_count,
            Amounts::OfEach => 1,
        },
        priced_together: instance_count,
        per_hour: None,
        upfront: None,
        per_gb: None,
    };
    let Some(parts) = value.price else {
        return Err(malformed("has no Price", Some(request_id)));
    };
    let items = [parts.instance_price, parts.bandwidth_price];
    let (mut by_hour, mut once) = (false, false);
    for item in items.into_iter().flatten() {
        by_hour |= item.each().is_some() && !item.is_by_gb();
        once |= item.whole().is_some();
        item.add_to(&mut price)
            .map_err(|problem| malformed(problem, Some(request_id.clone())))?;
    }
    // What costs nothing has a price, too.
    if (price.per_hour, price.upfront) == (None, None) {
        match (by_hour, once) {
            (true, true | false) => price.per_hour = Some(Decimal::ZERO),
            (false, true) => price.upfront = Some(Decimal::ZERO),
            (false, false) => return Err(malformed("names no price", Some(request_id))),
        }
    }
    let value = match amounts {
        Amounts::OfAll => price,
        Amounts::OfEach => price.times(instance_count),
    };
    Ok(Answer { value, request_id })
}

/// One part of a price. A part has a unit price or a whole one, and may say 0 for the other.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    charge_unit: Option<String>,
    unit_price: Option<Number>,
    unit_price_discount: Option<Number>,
    original_price: Option<Number>,
    discount_price: Option<Number>,
}

impl Item {
    /// What one machine costs; none when the cloud tells no price, or one that is none.
    fn cost(&self, charge_type: Option<&str>) -> Option<Cost> {
        let prepaid = charge_type == Some("PREPAID");
        let told = if prepaid { self.whole() } else { self.each() };
        let amount = amount(Some(told?)).ok()?.unwrap_or_default();
        Some(match prepaid {
            true => Cost::Monthly(amount),
            false => Cost::Hourly(amount),
        })
    }

    /// For each unit, with the account's discount.
    fn each(&self) -> Option<&Number> {
        self.unit_price_discount
            .as_ref()
            .or(self.unit_price.as_ref())
    }

    /// Once, with the account's discount.
    fn whole(&self) -> Option<&Number> {
        self.discount_price
            .as_ref()
            .or(self.original_price.as_ref())
    }

    fn is_by_gb(&self) -> bool {
        self.charge_unit.as_deref() == Some("GB")
    }

    fn add_to(&self, price: &mut Price) -> Result<(), &'static str> {
        if let Some(amount) = amount(self.each())? {
            match self.is_by_gb() {
                true => price.per_gb = sum(price.per_gb, amount),
                false => price.per_hour = sum(price.per_hour, amount),
            }
        }
        if let Some(amount) = amount(self.whole())? {
            price.upfront = sum(price.upfront, amount);
        }
        Ok(())
    }
}

/// How many GPUs a part of one takes, and those are few.
fn whole(count: Option<f64>) -> u32 {
    let count = count.map(|count| count.ceil().clamp(0.0, 1024.0));
    (0..=1024)
        .find(|whole| count.is_none_or(|count| f64::from(*whole) >= count))
        .unwrap_or(1024)
}

/// An amount above zero. A number's text is the shortest that means it, which is what the cloud
/// wrote: money has few digits.
fn amount(number: Option<&Number>) -> Result<Option<Decimal>, &'static str> {
    let Some(number) = number else {
        return Ok(None);
    };
    let text = number.to_string();
    let amount = text.parse().or_else(|_| Decimal::from_scientific(&text));
    match amount {
        Ok(amount) if amount.is_sign_negative() => Err("has a price below zero"),
        Ok(amount) => Ok((!amount.is_zero()).then_some(amount)),
        Err(_) => Err("has a price that is none"),
    }
}

fn sum(before: Option<Decimal>, amount: Decimal) -> Option<Decimal> {
    let sum = before.unwrap_or_default().checked_add(amount);
    sum.map(|sum| sum.normalize())
}

/// The body that asks whether `places`, zones with models, are sold for `charge_type`.
#[must_use]
pub fn offers_in(places: &[(String, String)], charge_type: Option<&str>) -> Vec<u8> {
    let (mut zones, mut types) = (Vec::new(), Vec::new());
    for (zone, instance_type) in places {
        add_once(&mut zones, zone);
        add_once(&mut types, instance_type);
    }
    let charge_type = charge_type.unwrap_or(CHARGE_TYPE);
    body(&json!({ "Filters": [
        { "Name": "zone", "Values": zones },
        { "Name": "instance-type", "Values": types },
        { "Name": "instance-charge-type", "Values": [charge_type] },
    ]}))
}

fn add_once<'a>(values: &mut Vec<&'a str>, value: &'a str) {
    if values.len() < VALUES_MAX && !values.contains(&value) {
        values.push(value);
    }
}

/// Reads the answer to `DescribeZoneInstanceConfigInfos`.
///
/// # Errors
/// The cloud's refusal, or [`crate::cloud::Fault::MalformedAnswer`].
pub fn offers(answer: &[u8]) -> Result<Answer<Vec<Offer>>, CloudError> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "InstanceTypeQuotaSet")]
        set: Option<Vec<Row>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Row {
        zone: Option<String>,
        instance_type: Option<String>,
        status: Option<String>,
        status_category: Option<String>,
        sold_out_reason: Option<String>,
        instance_charge_type: Option<String>,
        cpu: Option<u32>,
        memory: Option<u32>,
        gpu: Option<u32>,
        gpu_count: Option<f64>,
        price: Option<Item>,
    }
    let Answer { value, request_id } = open::<Fields>(answer)?;
    let items = value.set.unwrap_or_default().into_iter();
    let offers = items.map(|item| Offer {
        size: Size {
            vcpu: item.cpu.unwrap_or_default(),
            memory_gib: item.memory.unwrap_or_default(),
            gpu: item.gpu.unwrap_or_default().max(whole(item.gpu_count)),
            cost: item
                .price
                .and_then(|price| price.cost(item.instance_charge_type.as_deref())),
        },
        zone: text(item.zone),
        instance_type: text(item.instance_type),
        on_sale: item.status.as_deref() == Some("SELL"),
        stock: text(item.status_category),
        sold_out_reason: text(item.sold_out_reason),
    });
    Ok(Answer {
        value: offers.collect(),
        request_id,
    })
}

/// Reads the answer to `DescribeRegions`. A cloud has regions: an answer without any is none.
///
/// # Errors
/// The cloud's refusal, or [`crate::cloud::Fault::MalformedAnswer`].
pub fn regions(answer: &[u8]) -> Result<Answer<Vec<String>>, CloudError> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "RegionSet")]
        set: Option<Vec<Item>>,
    }
    #[derive(Deserialize)]
    struct Item {
        #[serde(rename = "Region")]
        region: Option<String>,
    }
    let Answer { value, request_id } = open::<Fields>(answer)?;
    let regions = value.set.unwrap_or_default().into_iter();
    let regions: Vec<String> = regions.map(|item| text(item.region)).collect();
    if regions.is_empty() {
        return Err(malformed("has no region", Some(request_id)));
    }
    Ok(Answer {
        value: regions,
        request_id,
    })
}

/// Reads the answer to `DescribeZones`. A region has zones: an answer without any is none.
///
/// # Errors
/// The cloud's refusal, or [`crate::cloud::Fault::MalformedAnswer`].
pub fn zones(answer: &[u8]) -> Result<Answer<Vec<String>>, CloudError> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "ZoneSet")]
        set: Option<Vec<Item>>,
    }
    #[derive(Deserialize)]
    struct Item {
        #[serde(rename = "Zone")]
        zone: Option<String>,
    }
    let Answer { value, request_id } = open::<Fields>(answer)?;
    let zones = value.set.unwrap_or_default().into_iter();
    let zones: Vec<String> = zones.map(|item| text(item.zone)).collect();
    if zones.is_empty() {
        return Err(malformed("has no zone", Some(request_id)));
    }
    Ok(Answer {
        value: zones,
        request_id,
    })
}

/// The body that asks for the quotas of `zone`.
#[must_use]
pub fn quotas_in(zone: &str) -> Vec<u8> {
    body(&json!({ "Filters": [{ "Name": "zone", "Values": [zone] }] }))
}

/// Reads the answer to `DescribeAccountQuota`: the quotas that `charge_type` counts against.
///
/// # Errors
/// The cloud's refusal, or [`crate::cloud::Fault::MalformedAnswer`].
pub fn quotas(answer: &[u8], charge_type: Option<&str>) -> Result<Answer<Vec<Quota>>, CloudError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Fields {
        account_quota_overview: Option<Overview>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Overview {
        account_quota: Option<Sets>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Sets {
        post_paid_quota_set: Option<Vec<Item>>,
        pre_paid_quota_set: Option<Vec<Item>>,
        spot_paid_quota_set: Option<Vec<Item>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Item {
        zone: Option<String>,
        used_quota: Option<u64>,
        total_quota: Option<u64>,
    }
    let Answer { value, request_id } = open::<Fields>(answer)?;
    let sets = value.account_quota_overview.and_then(|o| o.account_quota);
    let Some(sets) = sets else {
        return Err(malformed("has no AccountQuota", Some(request_id)));
    };
    let set = match charge_type.unwrap_or(CHARGE_TYPE) {
        CHARGE_TYPE => sets.post_paid_quota_set,
        "PREPAID" => sets.pre_paid_quota_set,
        "SPOTPAID" => sets.spot_paid_quota_set,
        _ => None, // dedicated hosts and clusters have no quota of this kind
    };
    let quotas = set.into_iter().flatten().map(|item| Quota {
        zone: text(item.zone),
        total: item.total_quota.unwrap_or_default(),
        used: item.used_quota.unwrap_or_default(),
    });
    Ok(Answer {
        value: quotas.collect(),
        request_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(fields: &str) -> Vec<u8> {
        format!(r#"{{"Response":{{{fields},"RequestId":"q"}}}}"#).into_bytes()
    }

    fn priced(fields: &str) -> Result<[Option<String>; 3], String> {
        let price = price(&response(fields), "CNY", Amounts::OfAll, 2);
        let price = price.map_err(|error| error.message)?.value;
        assert_eq!((price.currency, price.instance_count), ("CNY", 2));
        let shown = |amount: Option<Decimal>| amount.map(|amount| amount.to_string());
        Ok([price.per_hour, price.upfront, price.per_gb].map(shown))
    }

    #[test]
    fn only_what_the_price_depends_on_is_sent() {
        let launch = br#"{"InstanceType":"S5.SMALL1","LoginSettings":{"Password":"hunter22"},
            "UserData":"x","InstanceCount":3,"ClientToken":"t","Placement":{"Zone":"z"}}"#;
        assert_eq!(
            String::from_utf8(inquiry(launch, 3)).unwrap(),
            r#"{"InstanceType":"S5.SMALL1","InstanceCount":3,"Placement":{"Zone":"z"}}"#
        );
        let piece = inquiry(br#"{"InstanceCount":500}"#, 100);
        assert_eq!(piece, br#"{"InstanceCount":100}"#);
        assert_eq!(inquiry(b"{}", 1), br#"{"InstanceCount":1}"#);
    }

    #[test]
    fn amounts_of_each_are_multiplied() {
        let answer = r#""Price":{"InstancePrice":{"UnitPrice":0.3,"ChargeUnit":"HOUR"},
            "BandwidthPrice":{"UnitPrice":0.8,"ChargeUnit":"GB"}}"#;
        let answer = response(answer);
        let of = |amounts| price(&answer, "CNY", amounts, 3).unwrap().value;
        let shown = |price: Price| {
            let text = |amount: Option<Decimal>| amount.map(|amount| amount.to_string());
            (
                price.instance_count,
                text(price.per_hour),
                text(price.per_gb),
            )
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(shown(of(Amounts::OfAll)), (3, text("0.3"), text("0.8")));
        assert_eq!(shown(of(Amounts::OfEach)), (3, text("0.9"), text("0.8")));
    }

    #[test]
    fn prices_are_exact_sums() {
        let hourly = r#""Price":{"InstancePrice":{"UnitPrice":0.3,"UnitPriceDiscount":0.1,
            "ChargeUnit":"HOUR","OriginalPrice":0,"DiscountPrice":0},
            "BandwidthPrice":{"UnitPrice":0.2,"ChargeUnit":"HOUR"}}"#;
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(priced(hourly), Ok([text("0.3"), None, None]));
        let traffic = r#""Price":{"InstancePrice":{"UnitPrice":1,"ChargeUnit":"HOUR"},
            "BandwidthPrice":{"UnitPrice":0.8,"ChargeUnit":"GB"}}"#;
        assert_eq!(priced(traffic), Ok([text("1"), None, text("0.8")]));
        let prepaid = r#""Price":{"InstancePrice":{"OriginalPrice":2000.12,"DiscountPrice":1800.5},
            "BandwidthPrice":{"OriginalPrice":1e-7}}"#;
        assert_eq!(priced(prepaid), Ok([None, text("1800.5000001"), None]));
        let free = r#""Price":{"InstancePrice":{"UnitPrice":0,"ChargeUnit":"HOUR","OriginalPrice":0},
            "BandwidthPrice":{"UnitPrice":0.8,"ChargeUnit":"GB"}}"#;
        assert_eq!(priced(free), Ok([text("0"), None, text("0.8")]));
        let free = r#""Price":{"InstancePrice":{"OriginalPrice":5.5,"DiscountPrice":0}}"#;
        assert_eq!(priced(free), Ok([None, text("0"), None]));
        for (fields, problem) in [
            (r#""Price":{}"#, "names no price"),
            (
                r#""Price":{"BandwidthPrice":{"UnitPrice":0.8,"ChargeUnit":"GB"}}"#,
                "names no price",
            ),
            (r#""Total":1"#, "has no Price"),
            (
                r#""Price":{"InstancePrice":{"UnitPrice":-1}}"#,
                "below zero",
            ),
            (r#""Price":{"InstancePrice":{"UnitPrice":1e99}}"#, "is none"),
        ] {
            let told = priced(fields).unwrap_err();
            assert!(told.contains(problem), "{fields}: {told}");
        }
    }

    #[test]
    fn stock_is_asked_for_once_for_all_places() {
        let place = |zone: &str, model: &str| (zone.to_owned(), model.to_owned());
        let places = [place("z1", "a"), place("z2", "a"), place("z1", "b")];
        assert_eq!(
            String::from_utf8(offers_in(&places, Some("SPOTPAID"))).unwrap(),
            r#"{"Filters":[{"Name":"zone","Values":["z1","z2"]},{"Name":"instance-type","Values":["a","b"]},{"Name":"instance-charge-type","Values":["SPOTPAID"]}]}"#
        );
        let answer = response(
            r#""InstanceTypeQuotaSet":[{"Zone":"z1","InstanceType":"a","Status":"SELL",
            "StatusCategory":"EnoughStock","Cpu":2},{"Zone":"z2","InstanceType":"a",
            "Status":"SOLD_OUT","SoldOutReason":"ResourcesSoldOut.SpecifiedInstanceType"}]"#,
        );
        let offers = offers(&answer).unwrap().value;
        let shown: Vec<_> = offers
            .iter()
            .map(|o| (o.zone.as_str(), o.on_sale, o.stock.as_str(), o.size.vcpu))
            .collect();
        assert_eq!(
            shown,
            [("z1", true, "EnoughStock", 2), ("z2", false, "", 0)]
        );
        assert_eq!(
            offers[1].sold_out_reason,
            "ResourcesSoldOut.SpecifiedInstanceType"
        );
    }

    #[test]
    fn a_cloud_has_regions() {
        let answer = response(r#""TotalCount":1,"RegionSet":[{"Region":"r1"}]"#);
        assert_eq!(regions(&answer).unwrap().value, ["r1"]);
        let none = regions(&response(r#""TotalCount":0"#)).unwrap_err();
        assert!(none.message.contains("has no region"), "{none}");
    }

    #[test]
    fn a_region_has_zones() {
        let answer = response(r#""TotalCount":2,"ZoneSet":[{"Zone":"z1"},{"Zone":"z2"}]"#);
        assert_eq!(zones(&answer).unwrap().value, ["z1", "z2"]);
        let none = zones(&response(r#""ZoneSet":[]"#)).unwrap_err();
        assert!(none.message.contains("has no zone"), "{none}");
    }

    #[test]
    fn quotas_are_those_of_the_billing() {
        let answer = response(
            r#""AccountQuotaOverview":{"AccountQuota":{
            "PostPaidQuotaSet":[{"Zone":"z1","UsedQuota":3,"RemainingQuota":2,"TotalQuota":5}],
            "PrePaidQuotaSet":[{"Zone":"z1","UsedQuota":1,"TotalQuota":9}]}}"#,
        );
        let of = |charge_type| quotas(&answer, charge_type).unwrap().value;
        let quota = |used, total| Quota {
            zone: "z1".to_owned(),
            total,
            used,
        };
        assert_eq!(of(None), [quota(3, 5)]);
        assert_eq!(of(Some("PREPAID")), [quota(1, 9)]);
        assert_eq!(of(Some("CDHPAID")), []);
        let none = quotas(&response(r#""AppId":1"#), None).unwrap_err();
        assert!(none.message.contains("has no AccountQuota"), "{none}");
    }
}
