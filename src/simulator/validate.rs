//! Turns a RunInstances request into an order that the world can fill, or refuses it with the API's own code.

mod disks;
mod guest;
mod inquiry;
mod model;
mod network;

use super::catalog::{Catalog, Host, Image, PlacementGroup, Region, Zone};
use super::wire::{ActionTimer, Placement, Refusal, RunInstances, answer};
pub(super) use inquiry::{Wish, inquiry};
use model::Model;
pub(super) use model::is_type_name;
use network::Network;
use time::UtcDateTime;
use time::macros::format_description;

/// Most machines of one request (contract §6; the 2020 page says 100).
const COUNT_MAX: i64 = 500;
/// Longest ClientToken, in bytes.
const TOKEN_MAX: usize = 64;
const PERIODS: [i64; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 24, 36, 48, 60];
const RENEW_FLAGS: [&str; 3] = [
    "NOTIFY_AND_MANUAL_RENEW",
    "NOTIFY_AND_AUTO_RENEW",
    "DISABLE_NOTIFY_AND_MANUAL_RENEW",
];
/// An ActionTimer must lie further ahead than this.
const TIMER_LEAD_MIN: time::Duration = time::Duration::minutes(5);

/// A request that is sound and whose every reference is resolved; only capacity can still refuse it.
#[derive(Debug)]
pub(super) struct Order<'c> {
    pub(super) region: &'c Region,
    pub(super) zone: &'c Zone,
    pub(super) project_id: i64,
    pub(super) count: u32,
    /// The fewest machines to deliver; `None` means all or nothing.
    pub(super) min_count: Option<u32>,
    pub(super) billing: Billing,
    pub(super) model: Model<'c>,
    pub(super) hosts: Vec<&'c Host>,
    pub(super) image: &'c Image,
    pub(super) group: Option<&'c PlacementGroup>,
    pub(super) system_disk: answer::SystemDisk,
    pub(super) data_disks: Vec<answer::DataDisk>,
    pub(super) network: Network<'c>,
    pub(super) terminate_at: Option<UtcDateTime>,
    pub(super) cpu_topology: answer::CpuTopology,
    pub(super) tags: Vec<answer::Tag>,
    pub(super) key_ids: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Billing {
    Hourly,
    Prepaid { months: u8, renew_flag: String },
    Spot,
    DedicatedHost,
}

impl Billing {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Hourly => "POSTPAID_BY_HOUR",
            Self::Prepaid { .. } => "PREPAID",
            Self::Spot => "SPOTPAID",
            Self::DedicatedHost => "CDHPAID",
        }
    }
}

/// Checks the ClientToken alone: a remembered one answers before anything else is looked at.
///
/// # Errors
/// `InvalidClientToken.TooLong` or `InvalidParameterValue`.
pub(super) fn client_token(request: &RunInstances) -> Result<Option<&str>, Refusal> {
    let Some(token) = request
        .client_token
        .as_deref()
        .filter(|token| !token.is_empty())
    else {
        return Ok(None);
    };
    if token.len() > TOKEN_MAX {
        let message = "The specified ClientToken exceeds the maximum length of 64 bytes.";
        return Err(Refusal::new("InvalidClientToken.TooLong", message));
    }
    if !token.is_ascii() {
        return Err(invalid("ClientToken", "must be ASCII"));
    }
    Ok(Some(token))
}

/// Checks everything that needs no knowledge of what already runs.
///
/// # Errors
/// The code that the contract gives for the first rule broken.
pub(super) fn order<'c>(
    catalog: &'c Catalog,
    region: &'c Region,
    now: UtcDateTime,
    request: &RunInstances,
) -> Result<Order<'c>, Refusal> {
    refuse_what_the_account_lacks(request)?;
    let placement = spelled_out(request)?;
    let image = model::image(catalog, request)?;
    let zone = zone(region, placement)?;
    let project_id = project(catalog, placement)?;
    let (count, min_count) = counts(request)?;
    let billing = billing(request)?;
    refuse_partial_delivery(region, &billing, min_count)?;
    let model = model::model(catalog, zone, image, &billing, request)?;
    let hosts = model::hosts(catalog, zone, &billing, placement)?;
    model::spot_options(request, &billing, &model)?;
    guest::check(catalog, image, request, count)?;
    Ok(Order {
        region,
        zone,
        project_id,
        count,
        min_count,
        billing,
        hosts,
        image,
        group: placement_group(catalog, request)?,
        system_disk: disks::system(catalog, image, &model, request)?,
        data_disks: disks::data(catalog, &model, request)?,
        network: network::network(catalog, region, zone, request, count)?,
        terminate_at: action_time(request.action_timer.as_ref(), now)?,
        cpu_topology: model::cpu_topology(&model, request)?,
        tags: guest::tags(request)?,
        key_ids: guest::key_ids(request),
        model,
    })
}

/// Things that the fake account has none of: naming one is naming an unknown one.
fn refuse_what_the_account_lacks(request: &RunInstances) -> Result<(), Refusal> {
    if let Some(template) = &request.launch_template {
        let id = template.launch_template_id.as_deref().unwrap_or_default();
        let version = template.launch_template_version.unwrap_or(1);
        let code = match (has_shape(id, "lt-"), version) {
            (false, _) => "InvalidParameterValue.LaunchTemplateIdMalformed",
            (true, 0) => "InvalidParameterValue.LaunchTemplateVersion",
            (true, _) => "InvalidParameterValue.LaunchTemplateIdNotExisted",
        };
        return Err(Refusal::new(
            code,
            format!("The launch template `{id}` does not exist."),
        ));
    }
    if let Some(id) = request
        .hpc_cluster_id
        .as_deref()
        .filter(|id| !id.is_empty())
    {
        let message = format!("The HPC cluster `{id}` does not exist.");
        return Err(Refusal::new("ResourceNotFound.HpcCluster", message));
    }
    if request.chc_ids.as_ref().is_some_and(|ids| !ids.is_empty()) {
        let message = "The specified CHC hosts do not exist.";
        return Err(Refusal::new(
            "InvalidParameterValue.ChcHostsNotFound",
            message,
        ));
    }
    if request
        .dedicated_cluster_id
        .as_ref()
        .is_some_and(|id| !id.is_empty())
    {
        return Err(invalid("DedicatedClusterId", "names no dedicated cluster"));
    }
    if request.partition_number.is_some() {
        return Err(invalid(
            "PartitionNumber",
            "needs a partition placement group",
        ));
    }
    let packs = request.placement.as_ref().map(|placement| {
        (
            &placement.dedicated_resource_pack_tenancy,
            &placement.dedicated_resource_pack_ids,
        )
    });
    match packs {
        None | Some((None, None)) => Ok(()),
        Some((_, Some(_))) => Err(Refusal::new(
            "InvalidParameterValue.DedicatedResourcePackIdsNotFound",
            "The specified dedicated resource packs do not exist.",
        )),
        Some((Some(_), None)) => Err(Refusal::new(
            "InvalidParameterValue.DedicatedResourcePackTenancyMismatch",
            "`DedicatedResourcePackTenancy` needs `DedicatedResourcePackIds`.",
        )),
    }
}

/// Placement: only a launch template could stand for it, and there is none.
fn spelled_out(request: &RunInstances) -> Result<&Placement, Refusal> {
    let placement = request.placement.as_ref();
    placement.ok_or_else(|| missing("Placement"))
}

fn zone<'c>(region: &'c Region, placement: &Placement) -> Result<&'c Zone, Refusal> {
    let id = &placement.zone;
    let zone = region.zone(id).ok_or_else(|| {
        let message = format!("The zone `{id}` does not exist in `{}`.", region.id);
        Refusal::new("InvalidZone.MismatchRegion", message)
    })?;
    if !zone.available {
        let message = format!("The zone `{id}` does not support this operation.");
        return Err(Refusal::new(
            "InvalidParameterValue.ZoneNotSupported",
            message,
        ));
    }
    Ok(zone)
}

fn project(catalog: &Catalog, placement: &Placement) -> Result<i64, Refusal> {
    let id = placement.project_id.unwrap_or(0);
    if catalog.account.projects.contains(&id) {
        return Ok(id);
    }
    let message = format!("The project `{id}` does not exist.");
    Err(Refusal::new("InvalidProjectId.NotFound", message))
}

/// InstanceCount, and MinCount where it says anything: equal to InstanceCount it does not.
fn counts(request: &RunInstances) -> Result<(u32, Option<u32>), Refusal> {
    let wanted = request.instance_count.unwrap_or(1);
    let in_range = |number: &i64| (1..=COUNT_MAX).contains(number);
    let count = Some(wanted)
        .filter(in_range)
        .and_then(|number| u32::try_from(number).ok());
    let count = count.ok_or_else(|| {
        let message = format!("`InstanceCount` is {wanted}, but must be 1 to {COUNT_MAX}.");
        Refusal::new("InvalidParameterValue.Range", message)
    })?;
    let Some(least) = request.min_count else {
        return Ok((count, None));
    };
    let least = u32::try_from(least)
        .ok()
        .filter(|least| (1..=count).contains(least));
    let least = least.ok_or_else(|| {
        let message = "`MinCount` must be at least 1 and lower than `InstanceCount`.";
        Refusal::new("InvalidParameterValue.InvalidParameterMinCount", message)
    })?;
    Ok((count, (least < count).then_some(least)))
}

fn refuse_partial_delivery(
    region: &Region,
    billing: &Billing,
    min_count: Option<u32>,
) -> Result<(), Refusal> {
    if min_count.is_none() {
        return Ok(());
    }
    if !region.partial_delivery {
        let message = format!("`MinCount` is not offered in `{}`.", region.id);
        return Err(Refusal::new(
            "UnsupportedOperation.MinCountUnsupportedRegion",
            message,
        ));
    }
    match billing {
        Billing::Hourly | Billing::Spot => Ok(()),
        Billing::Prepaid { .. } | Billing::DedicatedHost => {
            let message = format!("`MinCount` is not offered with {}.", billing.as_str());
            Err(Refusal::new(
                "UnsupportedOperation.MinCountUnsupportedChargeType",
                message,
            ))
        }
    }
}

fn billing(request: &RunInstances) -> Result<Billing, Refusal> {
    match request.instance_charge_type.as_deref() {
        None | Some("POSTPAID_BY_HOUR") => Ok(Billing::Hourly),
        Some("SPOTPAID") => Ok(Billing::Spot),
        Some("CDHPAID") => Ok(Billing::DedicatedHost),
        Some("PREPAID") => prepaid(request),
        Some("CDCPAID") => Err(missing("DedicatedClusterId")),
        Some(_) => Err(invalid("InstanceChargeType", "is not a charge type")),
    }
}

fn prepaid(request: &RunInstances) -> Result<Billing, Refusal> {
    let terms = request.instance_charge_prepaid.as_ref();
    let terms = terms.ok_or_else(|| missing("InstanceChargePrepaid"))?;
    let months = u8::try_from(terms.period)
        .ok()
        .filter(|_| PERIODS.contains(&terms.period));
    let months = months.ok_or_else(|| {
        Refusal::new(
            "InvalidPeriod",
            format!("Invalid period. Valid values: {PERIODS:?}; unit: month."),
        )
    })?;
    let renew_flag = terms
        .renew_flag
        .as_deref()
        .unwrap_or(RENEW_FLAGS[0])
        .to_owned();
    if !RENEW_FLAGS.contains(&renew_flag.as_str()) {
        return Err(invalid(
            "InstanceChargePrepaid.RenewFlag",
            "is not a renewal flag",
        ));
    }
    Ok(Billing::Prepaid { months, renew_flag })
}

fn placement_group<'c>(
    catalog: &'c Catalog,
    request: &RunInstances,
) -> Result<Option<&'c PlacementGroup>, Refusal> {
    let ids = request
        .disaster_recover_group_ids
        .as_deref()
        .unwrap_or_default();
    match ids {
        [] => Ok(None),
        [id] => catalog.placement_group(id).map(Some).ok_or_else(|| {
            let message = format!("The placement group `{id}` does not exist.");
            Refusal::new("FailedOperation.DisasterRecoverGroupNotFound", message)
        }),
        _ => Err(too_many("DisasterRecoverGroupIds", 1)),
    }
}

fn action_time(
    timer: Option<&ActionTimer>,
    now: UtcDateTime,
) -> Result<Option<UtcDateTime>, Refusal> {
    let Some(timer) = timer else {
        return Ok(None);
    };
    if timer.timer_action.as_deref() != Some("TerminateInstances") {
        return Err(invalid(
            "ActionTimer.TimerAction",
            "must be `TerminateInstances`",
        ));
    }
    let text = timer
        .action_time
        .as_deref()
        .ok_or_else(|| missing("ActionTimer.ActionTime"))?;
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let plain = text.starts_with(|first: char| first.is_ascii_digit()); // no sign before the year
    let time = UtcDateTime::parse(text, form).ok().filter(|_| plain);
    let time = time.ok_or_else(|| {
        let message = "`ActionTimer.ActionTime` must look like 2030-01-31T23:59:59Z.";
        Refusal::new("InvalidParameterValue.InvalidTimeFormat", message)
    })?;
    if time - now < TIMER_LEAD_MIN {
        return Err(invalid(
            "ActionTimer.ActionTime",
            "must be at least five minutes ahead",
        ));
    }
    Ok(Some(time))
}

/// Whether `id` is `prefix` and eight lower-case letters or digits.
pub(super) fn has_shape(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        rest.len() == 8 && rest.bytes().all(plain)
    })
}

pub(super) fn missing(path: &str) -> Refusal {
    let message = format!("The request is missing a required parameter `{path}`.");
    Refusal::new("MissingParameter", message)
}

/// The generic code, for rules that have none of their own.
pub(super) fn invalid(path: &str, rule: &str) -> Refusal {
    Refusal::new("InvalidParameterValue", format!("`{path}` {rule}."))
}

pub(super) fn too_many(path: &str, most: usize) -> Refusal {
    let message = format!("`{path}` holds more than {most} values.");
    Refusal::new("InvalidParameterValue.LimitExceeded", message)
}

#[cfg(test)]
mod tests;
