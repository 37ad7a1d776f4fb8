//! A plan, for people.

use super::table::align;
use crate::pb::v1::{PlanRunInstancesResponse, PlannedPlace, Price, QuotaHeadroom};

/// What a launch would do: the verdict, a line for each place and each quota, and what the cloud
/// did not tell.
#[must_use]
pub fn overview(plan: &PlanRunInstancesResponse) -> String {
    let mut lines: Vec<String> = plan
        .decisions
        .iter()
        .map(|decision| {
            let verdict = if decision.permits {
                "allowed"
            } else {
                "denied"
            };
            format!("{verdict} by {}: {}", decision.rule_id, decision.reason)
        })
        .collect();
    let changes = plan.changes.iter();
    lines.extend(changes.map(|of| changed(&of.field, &of.before, &of.after, &of.origin)));
    let places: Vec<_> = plan.places.iter().map(place).collect();
    if !places.is_empty() {
        lines.push(align(&["ZONE", "TYPE", "STOCK", "PRICE"], &places));
    }
    lines.extend(plan.quotas.iter().map(quota));
    lines.extend(unknown(plan));
    if let Some(failure) = &plan.cloud_dry_run_failure {
        let (code, message) = (&failure.cloud_code, &failure.message);
        lines.push(format!("the cloud's DryRun refused with {code}: {message}"));
    }
    lines.join("\n")
}

/// A field that policy changed, in one line.
#[must_use]
pub fn changed(field: &str, before: &str, after: &str, origin: &str) -> String {
    let before = if before.is_empty() { "unset" } else { before };
    format!("  changes  {field}  {before} → {after}  ({origin})")
}

fn place(place: &PlannedPlace) -> [String; 4] {
    let stock = match (place.in_stock, place.stock_category.as_str()) {
        (None, _) => "unknown".to_owned(),
        (Some(true), "") => "in stock".to_owned(),
        (Some(true), category) => category.to_owned(),
        (Some(false), _) => "sold out".to_owned(),
    };
    let price = place
        .price
        .as_ref()
        .map_or_else(|| "unknown".to_owned(), price);
    [
        place.zone.clone(),
        place.instance_type.clone(),
        stock,
        price,
    ]
}

fn price(price: &Price) -> String {
    let parts = [
        (&price.per_hour, " an hour"),
        (&price.upfront, " once"),
        (&price.per_gb, " a GB"),
    ];
    let parts = parts.iter().filter(|(amount, _)| !amount.is_empty());
    let parts: Vec<String> = parts
        .map(|(amount, unit)| format!("{} {amount}{unit}", price.currency))
        .collect();
    let instances = match price.instance_count {
        1 => "instance",
        _ => "instances",
    };
    let pieces = if price.priced_together > 0 && price.instance_count > price.priced_together {
        format!(", as the sum of lots of {}", price.priced_together)
    } else {
        String::new()
    };
    format!(
        "{} for {} {instances}{pieces}",
        parts.join(" + "),
        price.instance_count
    )
}

fn quota(quota: &QuotaHeadroom) -> String {
    let QuotaHeadroom {
        limit_name,
        limit,
        used,
        requested,
        zone,
    } = quota;
    let place = match zone.as_str() {
        "" => String::new(),
        zone => format!(" in {zone}"),
    };
    let amount = |amount: i64| {
        if is_money(limit_name) {
            money(amount)
        } else {
            amount.to_string()
        }
    };
    let (used, limit, requested) = (amount(*used), amount(*limit), amount(*requested));
    format!("{limit_name}{place}: {used} of {limit} used, this takes {requested}")
}

fn is_money(limit_name: &str) -> bool {
    let limits = ["/money_per_hour", "/money_per_month"];
    limits.iter().any(|limit| limit_name.ends_with(limit))
}

/// Of millionths.
fn money(millionths: i64) -> String {
    let millionths = millionths.max(0);
    let (whole, rest) = (millionths / 1_000_000, millionths % 1_000_000);
    let digits = format!("{rest:06}");
    let digits = digits.trim_end_matches('0');
    format!("{whole}.{digits:0<2}")
}

/// What the cloud did not tell, once for each reason.
fn unknown(plan: &PlanRunInstancesResponse) -> Vec<String> {
    let of_places = plan.places.iter();
    let of_places = of_places.flat_map(|place| [&place.price_failure, &place.stock_failure]);
    let failures = of_places.chain([&plan.quota_failure]).flatten();
    let mut lines = Vec::new();
    for failure in failures {
        let line = match failure.cloud_code.as_str() {
            "" => format!("unknown: {}", failure.message),
            code => format!(
                "unknown: the cloud refused with {code}: {}",
                failure.message
            ),
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::{Failure, PolicyDecision};

    #[test]
    fn all_that_is_known_is_shown() {
        let failure = Failure {
            message: "not now".to_owned(),
            cloud_code: "RequestLimitExceeded".to_owned(),
            ..Failure::default()
        };
        let known = PlannedPlace {
            zone: "ap-shanghai-2".to_owned(),
            instance_type: "S5.SMALL1".to_owned(),
            price: Some(Price {
                currency: "CNY".to_owned(),
                per_hour: "0.36".to_owned(),
                per_gb: "0.8".to_owned(),
                instance_count: 250,
                priced_together: 100,
                ..Price::default()
            }),
            in_stock: Some(true),
            stock_category: "EnoughStock".to_owned(),
            ..PlannedPlace::default()
        };
        let unknown = PlannedPlace {
            zone: "ap-shanghai-3".to_owned(),
            instance_type: "S5.SMALL1".to_owned(),
            price_failure: Some(failure.clone()),
            stock_failure: Some(failure),
            ..PlannedPlace::default()
        };
        let plan = PlanRunInstancesResponse {
            allowed: true,
            decisions: vec![PolicyDecision {
                rule_id: "own".to_owned(),
                permits: true,
                reason: "it is theirs".to_owned(),
            }],
            places: vec![known, unknown],
            quotas: vec![
                QuotaHeadroom {
                    limit_name: "account/POSTPAID_BY_HOUR".to_owned(),
                    limit: 10,
                    used: 3,
                    requested: 2,
                    zone: "ap-shanghai-2".to_owned(),
                },
                QuotaHeadroom {
                    limit_name: "web-team/money_per_hour".to_owned(),
                    limit: 12_500_000,
                    used: 360_000,
                    requested: 20_000_001,
                    zone: String::new(),
                },
            ],
            ..PlanRunInstancesResponse::default()
        };
        assert_eq!(
            overview(&plan),
            "allowed by own: it is theirs\n\
             ZONE           TYPE       STOCK        PRICE\n\
             ap-shanghai-2  S5.SMALL1  EnoughStock  CNY 0.36 an hour + CNY 0.8 a GB for 250 instances, as the sum of lots of 100\n\
             ap-shanghai-3  S5.SMALL1  unknown      unknown\n\
             account/POSTPAID_BY_HOUR in ap-shanghai-2: 3 of 10 used, this takes 2\n\
             web-team/money_per_hour: 0.36 of 12.50 used, this takes 20.000001\n\
             unknown: the cloud refused with RequestLimitExceeded: not now"
        );
    }
}
