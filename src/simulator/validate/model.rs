//! The rules for the machine itself: image, instance type or dedicated host, spot price, topology.

use super::{Billing, has_shape, invalid, missing};
use crate::simulator::catalog::{Catalog, Host, Image, InstanceType, Zone};
use crate::simulator::wire::{Placement, Refusal, RunInstances, answer};
use std::collections::BTreeSet;

/// As many digits as the largest number has; more would only be zeros before it.
const DIGITS_MAX: usize = 19;
/// The type of a request that names none, as the 2020 page says.
const DEFAULT_TYPE: &str = "S1.SMALL1";

/// The size of a machine; on a dedicated host it is free to choose and has no type.
#[derive(Debug)]
pub(crate) struct Model<'c> {
    pub(crate) name: String,
    pub(crate) cpu: i64,
    pub(crate) memory_gib: i64,
    pub(crate) kind: Option<&'c InstanceType>,
}

pub(super) fn image<'c>(
    catalog: &'c Catalog,
    request: &RunInstances,
) -> Result<&'c Image, Refusal> {
    let id = request
        .image_id
        .as_deref()
        .ok_or_else(|| missing("ImageId"))?;
    if !has_shape(id, "img-") {
        let message = format!("The image ID `{id}` is malformed.");
        return Err(Refusal::new("InvalidImageId.Malformed", message));
    }
    let image = catalog.image(id).ok_or_else(|| {
        Refusal::new(
            "InvalidImageId.NotFound",
            format!("The image `{id}` does not exist."),
        )
    })?;
    if image.busy {
        let message = format!("The image `{id}` is busy with another task.");
        return Err(Refusal::new(
            "InvalidParameterValue.InvalidImageState",
            message,
        ));
    }
    Ok(image)
}

pub(super) fn model<'c>(
    catalog: &'c Catalog,
    zone: &Zone,
    image: &Image,
    billing: &Billing,
    request: &RunInstances,
) -> Result<Model<'c>, Refusal> {
    let name = request.instance_type.as_deref().unwrap_or(DEFAULT_TYPE);
    if *billing == Billing::DedicatedHost {
        return host_model(name);
    }
    if !is_type_name(name) {
        let message = format!("The instance type `{name}` is malformed.");
        return Err(Refusal::new("InvalidInstanceType.Malformed", message));
    }
    let kind = catalog.instance_type(name).ok_or_else(|| {
        let message = format!("The instance type `{name}` does not exist.");
        Refusal::new("InvalidParameterValue.InstanceTypeNotFound", message)
    })?;
    if kind.stock(&zone.id).is_none() {
        let message = format!(
            "The instance type `{name}` is not available in `{}`.",
            zone.id
        );
        return Err(Refusal::new("ResourceUnavailable.InstanceType", message));
    }
    if kind.arm != image.arm {
        let message = format!(
            "The image `{}` does not fit the instance type `{name}`.",
            image.id
        );
        return Err(Refusal::new(
            "InvalidParameterValue.InvalidImageForGivenInstanceType",
            message,
        ));
    }
    if request.enable_jumbo_frame == Some(true) && !kind.jumbo_frames {
        let message = format!("The instance type `{name}` has no jumbo frames.");
        return Err(Refusal::new(
            "UnsupportedOperation.InstanceTypeNotSupportJumboFrame",
            message,
        ));
    }
    Ok(Model {
        name: name.to_owned(),
        cpu: kind.cpu,
        memory_gib: kind.memory_gib,
        kind: Some(kind),
    })
}

/// `CDH_4C8G`: 4 cores and 8 GiB.
fn host_model(name: &str) -> Result<Model<'static>, Refusal> {
    let size = || {
        let (cpu, memory) = name
            .strip_prefix("CDH_")?
            .strip_suffix('G')?
            .split_once('C')?;
        let digits =
            |text: &str| text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(cpu) || !digits(memory) {
            return None; // a number may have a sign, a size may not
        }
        let (cpu, memory_gib) = (cpu.parse().ok()?, memory.parse().ok()?);
        (cpu > 0 && memory_gib > 0).then_some((cpu, memory_gib))
    };
    let (cpu, memory_gib) = size().ok_or_else(|| {
        let message = format!("CDHPAID takes types like CDH_1C1G, not `{name}`.");
        Refusal::new(
            "InvalidParameter.HostIdStandardInstanceTypeNotSupport",
            message,
        )
    })?;
    let (name, kind) = (name.to_owned(), None);
    Ok(Model {
        name,
        cpu,
        memory_gib,
        kind,
    })
}

pub(in crate::simulator) fn is_type_name(name: &str) -> bool {
    let part =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    name.split_once('.')
        .is_some_and(|(family, size)| part(family) && part(size))
}

pub(super) fn hosts<'c>(
    catalog: &'c Catalog,
    zone: &Zone,
    billing: &Billing,
    placement: &Placement,
) -> Result<Vec<&'c Host>, Refusal> {
    let ids = placement.host_ids.as_deref().unwrap_or_default();
    match (billing, ids.is_empty()) {
        (Billing::DedicatedHost, true) => return Err(missing("Placement.HostIds")),
        (Billing::DedicatedHost, false) => {}
        (_, true) => return Ok(Vec::new()),
        (_, false) => {
            let message = "`Placement.HostIds` needs the charge type CDHPAID.";
            return Err(Refusal::new("InvalidParameterCombination", message));
        }
    }
    let mut seen = BTreeSet::new();
    let find = |id: &String| {
        if !seen.insert(id.clone()) {
            let message = format!("The CDH `{id}` is given twice.");
            return Err(Refusal::new("InvalidParameterValue.Duplicate", message));
        }
        if !has_shape(id, "host-") {
            let message = format!("The CDH ID `{id}` is malformed.");
            return Err(Refusal::new("InvalidHostId.Malformed", message));
        }
        catalog
            .host(id)
            .filter(|host| host.zone == zone.id)
            .ok_or_else(|| {
                let message = format!("The CDH `{id}` does not exist in `{}`.", zone.id);
                Refusal::new("InvalidHostId.NotFound", message)
            })
    };
    ids.iter().map(find).collect()
}

pub(super) fn spot_options(
    request: &RunInstances,
    billing: &Billing,
    model: &Model<'_>,
) -> Result<(), Refusal> {
    let market = if *billing == Billing::Spot {
        let price = model.kind.and_then(|kind| kind.spot_price);
        price.ok_or_else(|| {
            let message = format!("The instance type `{}` has no spot instances.", model.name);
            Refusal::new("UnsupportedOperation.NoInstanceTypeSupportSpot", message)
        })?
    } else {
        0.0
    };
    let Some(options) = &request.instance_market_options else {
        return Ok(());
    };
    let price = Some(options.spot_options.max_price.as_str()).filter(|text| is_decimal(text));
    let price = price.and_then(|text| text.parse::<f64>().ok());
    let price = price
        .filter(|price| price.is_finite() && *price > 0.0)
        .ok_or_else(|| {
            invalid(
                "InstanceMarketOptions.SpotOptions.MaxPrice",
                "must be a decimal price",
            )
        })?;
    if options
        .market_type
        .as_deref()
        .is_some_and(|market| market != "spot")
    {
        return Err(invalid(
            "InstanceMarketOptions.MarketType",
            "must be `spot`",
        ));
    }
    let duration = options.spot_options.spot_instance_type.as_deref();
    if duration.is_some_and(|kind| kind != "one-time") {
        return Err(invalid(
            "InstanceMarketOptions.SpotOptions.SpotInstanceType",
            "must be `one-time`",
        ));
    }
    if price < market {
        let message = format!("The bid is lower than the market price {market}.");
        return Err(Refusal::new(
            "InvalidParameterValue.InsufficientPrice",
            message,
        ));
    }
    Ok(())
}

/// `0.12`, and neither `1e3` nor `+1` nor `.5`.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}

pub(super) fn cpu_topology(
    model: &Model<'_>,
    request: &RunInstances,
) -> Result<answer::CpuTopology, Refusal> {
    let topology = request.cpu_topology.as_ref();
    let cores = topology.and_then(|topology| topology.core_count);
    let threads = topology.and_then(|topology| topology.thread_per_core);
    let refusal = match (cores, threads) {
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => Some((
            "InvalidParameter.LackCoreCountOrThreadPerCore",
            "`CoreCount` and `ThreadPerCore` must be specified at the same time.",
        )),
        (Some(_), Some(threads)) if !(1..=2).contains(&threads) => Some((
            "InvalidParameterValue.ThreadPerCoreValue",
            "`ThreadPerCore` must be 1 or 2.",
        )),
        (Some(cores), Some(_)) if !(1..=model.cpu).contains(&cores) => Some((
            "InvalidParameterValue.CoreCountValue",
            "`CoreCount` is illegal for the instance type.",
        )),
        (Some(_), Some(_)) => None,
    };
    match refusal {
        Some((code, message)) => Err(Refusal::new(code, message)),
        None => Ok(answer::CpuTopology {
            core_count: cores,
            thread_per_core: threads,
        }),
    }
}
