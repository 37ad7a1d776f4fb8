//! What is paid, how, and the instance types that go with it.

use super::{Limits, check_id, check_word, is_digits};
use crate::domain::spec::{InstanceChargePrepaid, InstanceMarketOptions, InstanceSpec};
use crate::domain::violation::Violations;

const CHARGE_TYPES: [&str; 5] = [
    "PREPAID",
    "POSTPAID_BY_HOUR",
    "CDHPAID",
    "SPOTPAID",
    "CDCPAID",
];
const RENEW_FLAGS: [&str; 3] = [
    "NOTIFY_AND_AUTO_RENEW",
    "NOTIFY_AND_MANUAL_RENEW",
    "DISABLE_NOTIFY_AND_MANUAL_RENEW",
];
/// Months that are sold at once, besides 1 to 12.
const LONG_PERIODS: [i64; 4] = [24, 36, 48, 60];
/// Digits of a bid: no price per hour needs more.
const PRICE_CHARACTERS_MAX: usize = 20;

pub(super) fn check(spec: &InstanceSpec, limits: &Limits, out: &mut Violations) {
    let kind = spec.instance_charge_type.as_deref();
    check_word(kind, &CHARGE_TYPES, "spec.instance_charge_type", out);
    // What is not set here, the template may hold.
    let template = spec.launch_template.is_some();
    let paid = kind != Some("PREPAID") || template || spec.instance_charge_prepaid.is_some();
    out.unless(paid, "spec.instance_charge_prepaid", || {
        "is required when instance_charge_type is PREPAID".to_owned()
    });
    if let Some(prepaid) = &spec.instance_charge_prepaid {
        check_prepaid(prepaid, limits, out);
    }
    if let Some(options) = &spec.instance_market_options {
        check_market(options, out);
    }
    if let Some(kind) = &spec.instance_type {
        check_type(spec, kind, "spec.instance_type", out);
    }
    if let Some(id) = &spec.dedicated_cluster_id {
        check_id(id, "cluster", "spec.dedicated_cluster_id", out);
    }
    if !template {
        check_dedicated(spec, out);
    }
}

/// That an instance type is named as its billing wants it, in the specification or in an
/// alternative to it.
pub(super) fn check_type(spec: &InstanceSpec, name: &str, field: &str, out: &mut Violations) {
    let billing = spec.instance_charge_type.as_deref();
    let unknown = spec.leaves_billing_to_template();
    match (billing == Some("CDHPAID"), share_of_host(name).is_some()) {
        (true, share) => out.unless(share, field, || {
            "must look like CDH_4C8G (cores and GiB) when instance_charge_type is CDHPAID"
                .to_owned()
        }),
        (false, true) => out.unless(unknown, field, || {
            "is a share of a dedicated host: it needs instance_charge_type CDHPAID".to_owned()
        }),
        (false, false) => out.unless(is_model(name), field, || {
            "must look like S5.MEDIUM2".to_owned()
        }),
    }
}

/// What hosts and clusters of one's own need.
fn check_dedicated(spec: &InstanceSpec, out: &mut Violations) {
    match spec.instance_charge_type.as_deref() {
        Some("CDHPAID") => {
            out.unless(spec.instance_type.is_some(), "spec.instance_type", || {
                "is required when instance_charge_type is CDHPAID, such as CDH_4C8G".to_owned()
            });
            let placement = spec.placement.as_ref();
            let hosted = placement.is_none_or(|placement| !placement.host_ids.is_empty());
            out.unless(hosted, "spec.placement.host_ids", || {
                "is required when instance_charge_type is CDHPAID: name your hosts".to_owned()
            });
        }
        Some("CDCPAID") => {
            let clustered = spec.dedicated_cluster_id.is_some();
            out.unless(clustered, "spec.dedicated_cluster_id", || {
                "is required when instance_charge_type is CDCPAID".to_owned()
            });
        }
        Some(_) | None => {}
    }
}

fn check_prepaid(prepaid: &InstanceChargePrepaid, limits: &Limits, out: &mut Violations) {
    let period = prepaid.period;
    let max = i64::from(limits.prepaid_months_max);
    let sold = (1..=12).contains(&period) || LONG_PERIODS.contains(&period);
    out.unless(
        sold && period <= max,
        "spec.instance_charge_prepaid.period",
        || {
            let long = LONG_PERIODS.iter().map(i64::to_string);
            format!(
                "must be 1 to 12, {} months, and at most {max}, not {period}",
                long.collect::<Vec<_>>().join(", ")
            )
        },
    );
    let field = "spec.instance_charge_prepaid.renew_flag";
    check_word(prepaid.renew_flag.as_deref(), &RENEW_FLAGS, field, out);
}

fn check_market(options: &InstanceMarketOptions, out: &mut Violations) {
    let at = |name: &str| format!("spec.instance_market_options.{name}");
    out.unless(
        is_price(&options.spot_options.max_price),
        &at("spot_options.max_price"),
        || "must be a positive decimal number as text, such as \"0.12\"".to_owned(),
    );
    let kind = options.spot_options.spot_instance_type.as_deref();
    check_word(
        kind,
        &["one-time"],
        &at("spot_options.spot_instance_type"),
        out,
    );
    let market = options.market_type.as_deref();
    check_word(market, &["spot"], &at("market_type"), out);
}

/// Digits, and perhaps a point and more digits; not zero.
fn is_price(text: &str) -> bool {
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let positive = text.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    text.len() <= PRICE_CHARACTERS_MAX && is_digits(whole) && is_digits(rest) && positive
}

/// `S5.MEDIUM2`: family and size.
fn is_model(name: &str) -> bool {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    name.split_once('.')
        .is_some_and(|(family, size)| word(family) && word(size))
}

/// The cores and the GiB of a share of a dedicated host, such as `CDH_4C8G`; none of another model.
#[must_use]
pub fn share_of_host(name: &str) -> Option<(u32, u32)> {
    let sizes = name.strip_prefix("CDH_")?.strip_suffix('G')?;
    let (cores, memory) = sizes.split_once('C')?;
    let some = |text: &str| {
        let size = is_digits(text).then(|| text.parse().ok()).flatten();
        size.filter(|size| *size > 0)
    };
    Some((some(cores)?, some(memory)?))
}
