//! The disk rules of RunInstances.

use super::{Model, invalid, too_many};
use crate::simulator::catalog::{Catalog, Disk, Image};
use crate::simulator::wire::{DataDisk, Refusal, RunInstances, SystemDisk, answer};

/// Data disks of one machine: 20 cloud disks and one local disk (contract §6).
const CLOUD_DISKS_MAX: usize = 20;
const LOCAL_DISKS_MAX: usize = 1;
const SYSTEM_DISK_DEFAULT_GIB: i64 = 50;
/// The largest system disk sold.
const SYSTEM_DISK_MAX_GIB: i64 = 2048;
/// Data disk sizes are multiples of this.
const DATA_DISK_STEP_GIB: i64 = 10;
const SSD_DATA_DISK_MIN_GIB: i64 = 100;
/// What a system disk without a class gets; the cloud takes one that has stock.
const SYSTEM_CLASS: &str = "CLOUD_PREMIUM";
/// What a data disk without a class gets (contract, `DataDisk.DiskType`), whether the model has any or not.
const DATA_CLASS: &str = "LOCAL_BASIC";
const NAME_MAX: usize = 128;

pub(super) fn system(
    catalog: &Catalog,
    image: &Image,
    model: &Model<'_>,
    request: &RunInstances,
) -> Result<answer::SystemDisk, Refusal> {
    let asked = request.system_disk.clone().unwrap_or_default();
    let SystemDisk {
        disk_type,
        disk_size,
        cdc_id,
        disk_name,
        encrypt,
        kms_key_id,
    } = asked;
    refuse_dedicated_storage("SystemDisk.CdcId", cdc_id.as_deref())?;
    let class = match disk_type.as_deref() {
        Some(name) => class(catalog, model, "SystemDisk.DiskType", name)?,
        None => system_default(catalog, model)?,
    };
    let size = disk_size.unwrap_or(SYSTEM_DISK_DEFAULT_GIB);
    let least = image.size_gib.max(class.min_gib);
    if !(least..=SYSTEM_DISK_MAX_GIB).contains(&size) {
        let message = format!(
            "`SystemDisk.DiskSize` must be {least} to {SYSTEM_DISK_MAX_GIB} GiB for this image and class."
        );
        return Err(Refusal::new("InvalidParameterValue.Range", message));
    }
    Ok(answer::SystemDisk {
        disk_type: class.class.clone(),
        disk_id: String::new(),
        disk_size: size,
        cdc_id: None,
        disk_name: name("SystemDisk.DiskName", disk_name)?,
        encrypt: encrypt.unwrap_or(false),
        kms_key_id: kms_key_id.unwrap_or_default(),
    })
}

pub(super) fn data(
    catalog: &Catalog,
    model: &Model<'_>,
    request: &RunInstances,
) -> Result<Vec<answer::DataDisk>, Refusal> {
    let asked = request.data_disks.as_deref().unwrap_or_default();
    if asked.len() > CLOUD_DISKS_MAX + LOCAL_DISKS_MAX {
        return Err(too_many("DataDisks", CLOUD_DISKS_MAX + LOCAL_DISKS_MAX));
    }
    let disks = asked
        .iter()
        .enumerate()
        .filter(|(_, disk)| disk.disk_size != 0); // 0 buys none
    let disks = disks.map(|(index, disk)| data_disk(catalog, model, index, disk));
    let disks = disks.collect::<Result<Vec<_>, _>>()?;
    let local = disks
        .iter()
        .filter(|disk| is_local(&disk.disk_type))
        .count();
    if local > LOCAL_DISKS_MAX || disks.len() - local > CLOUD_DISKS_MAX {
        return Err(too_many("DataDisks", CLOUD_DISKS_MAX + LOCAL_DISKS_MAX));
    }
    Ok(disks)
}

fn data_disk(
    catalog: &Catalog,
    model: &Model<'_>,
    index: usize,
    disk: &DataDisk,
) -> Result<answer::DataDisk, Refusal> {
    let path = |member: &str| format!("DataDisks.{index}.{member}");
    refuse_dedicated_storage(&path("CdcId"), disk.cdc_id.as_deref())?;
    snapshot(disk.snapshot_id.as_deref())?;
    let asked = disk.disk_type.as_deref().unwrap_or(DATA_CLASS);
    let class = class(catalog, model, &path("DiskType"), asked)?;
    let size = disk.disk_size;
    if class.class == "CLOUD_SSD" && size < SSD_DATA_DISK_MIN_GIB {
        let message = "The minimum capacity of a SSD data disk is 100 GB.";
        return Err(Refusal::new(
            "InvalidParameterValue.CloudSsdDataDiskSizeTooSmall",
            message,
        ));
    }
    if size % DATA_DISK_STEP_GIB != 0 {
        return Err(invalid(&path("DiskSize"), "must be a multiple of 10"));
    }
    if !(class.min_gib..=class.max_gib).contains(&size) {
        let message = format!(
            "`{}` must be {} to {} GiB for {}.",
            path("DiskSize"),
            class.min_gib,
            class.max_gib,
            class.class
        );
        return Err(Refusal::new("InvalidParameterValue.Range", message));
    }
    let fast = ["CLOUD_TSSD", "CLOUD_HSSD"].contains(&class.class.as_str());
    if disk.throughput_performance.is_some_and(|extra| extra > 0) && !fast {
        let message = format!(
            "`{}` needs CLOUD_TSSD or CLOUD_HSSD.",
            path("ThroughputPerformance")
        );
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    Ok(answer::DataDisk {
        disk_size: size,
        disk_type: class.class.clone(),
        disk_id: String::new(),
        delete_with_instance: disk.delete_with_instance.unwrap_or(true),
        encrypt: disk.encrypt.unwrap_or(false),
        kms_key_id: disk.kms_key_id.clone(),
        throughput_performance: disk.throughput_performance,
        cdc_id: None,
        burst_performance: disk.burst_performance.unwrap_or(false),
        disk_name: name(&path("DiskName"), disk.disk_name.clone())?,
    })
}

fn system_default<'c>(catalog: &'c Catalog, model: &Model<'_>) -> Result<&'c Disk, Refusal> {
    if catalog.disk(SYSTEM_CLASS).is_some_and(|disk| disk.sold_out) {
        let message = "No default CBS resources are available.";
        return Err(Refusal::new("ResourceNotFound.NoDefaultCbs", message));
    }
    class(catalog, model, "SystemDisk.DiskType", SYSTEM_CLASS)
}

fn class<'c>(
    catalog: &'c Catalog,
    model: &Model<'_>,
    path: &str,
    name: &str,
) -> Result<&'c Disk, Refusal> {
    let Some(disk) = catalog.disk(name) else {
        if ["LOCAL_NVME", "LOCAL_PRO"].contains(&name) {
            let message = format!("{name} disks come with the model and cannot be chosen.");
            return Err(Refusal::new("UnsupportedOperation.InvalidDisk", message));
        }
        return Err(invalid(path, "is not a disk class"));
    };
    if disk.sold_out {
        let message = format!("The cloud disk {name} has been sold out.");
        return Err(Refusal::new(
            "ResourceInsufficient.CloudDiskSoldOut",
            message,
        ));
    }
    if is_local(name) && !model.kind.is_some_and(|kind| kind.local_disks) {
        let message = format!("`{}` has no local disks.", model.name);
        return Err(Refusal::new("UnsupportedOperation.InvalidDisk", message));
    }
    Ok(disk)
}

fn is_local(class: &str) -> bool {
    class.starts_with("LOCAL_")
}

fn refuse_dedicated_storage(path: &str, id: Option<&str>) -> Result<(), Refusal> {
    match id.filter(|id| !id.is_empty()) {
        None => Ok(()),
        Some(_) => {
            let message = format!("`{path}` cannot be used here.");
            Err(Refusal::new("InvalidParameter.CdcNotSupported", message))
        }
    }
}

/// The fake account has no snapshots.
fn snapshot(id: Option<&str>) -> Result<(), Refusal> {
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Ok(());
    };
    if !super::has_shape(id, "snap-") {
        let message = format!("The snapshot ID `{id}` is malformed.");
        return Err(Refusal::new(
            "InvalidParameterValue.SnapshotIdMalformed",
            message,
        ));
    }
    let message = format!("The snapshot `{id}` does not exist.");
    Err(Refusal::new("InvalidParameter.SnapshotNotFound", message))
}

fn name(path: &str, name: Option<String>) -> Result<String, Refusal> {
    let name = name.unwrap_or_default();
    if name.chars().count() > NAME_MAX {
        return Err(invalid(path, "is longer than 128 characters"));
    }
    Ok(name)
}
