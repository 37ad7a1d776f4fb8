//! The rules of InquiryPriceRunInstances: those of RunInstances that decide on a price, in its own codes.

use super::{
    Billing, Model, disks, guest, has_shape, invalid, model, network, project, spelled_out, zone,
};
use crate::simulator::catalog::{Catalog, Region, Zone};
use crate::simulator::wire::{InquiryPriceRunInstances, Refusal, RunInstances, answer};

/// Most machines that a price is told for (contract §14).
const COUNT_MAX: i64 = 100;

/// What a price is asked for.
#[derive(Debug)]
pub(crate) struct Wish<'c> {
    pub(crate) zone: &'c Zone,
    pub(crate) count: u32,
    pub(crate) billing: Billing,
    pub(crate) model: Model<'c>,
    pub(crate) system_disk: answer::SystemDisk,
    pub(crate) data_disks: Vec<answer::DataDisk>,
    pub(crate) internet: answer::InternetAccessible,
}

/// # Errors
/// The code that the contract gives for the first rule broken.
pub(crate) fn inquiry<'c>(
    catalog: &'c Catalog,
    region: &'c Region,
    inquiry: InquiryPriceRunInstances,
) -> Result<Wish<'c>, Refusal> {
    wish(catalog, region, &inquiry.into()).map_err(in_its_codes)
}

fn wish<'c>(
    catalog: &'c Catalog,
    region: &'c Region,
    request: &RunInstances,
) -> Result<Wish<'c>, Refusal> {
    super::client_token(request)?;
    refuse_what_the_account_lacks(request)?;
    let placement = spelled_out(request)?;
    let image = model::image(catalog, request)?;
    let zone = zone(region, placement)?;
    project(catalog, placement)?;
    let count = count(request)?;
    let billing = super::billing(request)?;
    if billing == Billing::DedicatedHost {
        return Err(invalid("InstanceChargeType", "has no price of its own"));
    }
    let model = model::model(catalog, zone, image, &billing, request)?;
    model::hosts(catalog, zone, &billing, placement)?;
    model::spot_options(request, &billing, &model)?;
    model::cpu_topology(&model, request)?;
    guest::instance_name(request)?;
    guest::password_of(image, request)?;
    guest::tags(request)?;
    Ok(Wish {
        zone,
        count,
        billing,
        system_disk: disks::system(catalog, image, &model, request)?,
        data_disks: disks::data(catalog, &model, request)?,
        internet: network::internet(request)?,
        model,
    })
}

fn refuse_what_the_account_lacks(request: &RunInstances) -> Result<(), Refusal> {
    if let Some(id) = request
        .hpc_cluster_id
        .as_deref()
        .filter(|id| !id.is_empty())
    {
        let message = format!("The HPC cluster `{id}` does not exist.");
        return Err(Refusal::new("ResourceNotFound.HpcCluster", message));
    }
    match &request.launch_template {
        None => Ok(()),
        Some(template) => {
            let id = template.launch_template_id.as_deref().unwrap_or_default();
            let rule = if has_shape(id, "lt-") {
                "names no launch template"
            } else {
                "is malformed"
            };
            Err(invalid("LaunchTemplate.LaunchTemplateId", rule))
        }
    }
}

/// Fixed addresses are priced for one machine only, unlike launched.
fn count(request: &RunInstances) -> Result<u32, Refusal> {
    let wanted = request.instance_count.unwrap_or(1);
    let count = u32::try_from(wanted)
        .ok()
        .filter(|_| (1..=COUNT_MAX).contains(&wanted));
    let count = count.ok_or_else(|| {
        let message = format!("`InstanceCount` is {wanted}, but must be 1 to {COUNT_MAX}.");
        Refusal::new("InvalidParameterValue.Range", message)
    })?;
    let fixed = request
        .virtual_private_cloud
        .as_ref()
        .and_then(|cloud| cloud.private_ip_addresses.as_ref());
    if count > 1 && fixed.is_some_and(|addresses| !addresses.is_empty()) {
        let message = "`InstanceCount` must be 1 with `PrivateIpAddresses`.";
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    Ok(count)
}

/// Some rules have another code here than in RunInstances.
fn in_its_codes(refusal: Refusal) -> Refusal {
    let code = match refusal.code.as_ref() {
        "InvalidParameterValue.InvalidImageForGivenInstanceType" => {
            "InvalidParameter.InstanceImageNotSupport"
        }
        "ResourceInsufficient.CloudDiskSoldOut" => "ResourceInsufficient.CloudDiskUnavailable",
        "InvalidParameter.CdcNotSupported"
        | "InvalidParameter.LackCoreCountOrThreadPerCore"
        | "InvalidParameterValue.CoreCountValue"
        | "InvalidParameterValue.ThreadPerCoreValue" => "InvalidParameterValue",
        _ => return refusal,
    };
    Refusal::new(code, refusal.message)
}
