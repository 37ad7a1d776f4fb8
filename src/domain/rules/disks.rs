//! The system disk and the data disks.

use super::{characters, check_id};
use crate::domain::spec::{DataDisk, InstanceSpec, SystemDisk};
use crate::domain::violation::Violations;

/// Disks besides the system disk ...
const DATA_DISKS_MAX: usize = 21;
/// ... of which so many are in the network ...
const CLOUD_DISKS_MAX: usize = 20;
/// ... and so many in the host.
const LOCAL_DISKS_MAX: usize = 1;
/// Sizes of data disks are multiples of it.
const STEP_GIB: i64 = 10;
/// The error text of `InvalidParameterValue.CloudSsdDataDiskSizeTooSmall`.
const SSD_GIB_MIN: i64 = 100;
const NAME_MAX: usize = 128;
/// Disks that come with the model.
const FIXED: [&str; 2] = ["LOCAL_NVME", "LOCAL_PRO"];
/// Disks whose throughput can be bought.
const FAST: [&str; 2] = ["CLOUD_TSSD", "CLOUD_HSSD"];

pub(super) fn check(spec: &InstanceSpec, out: &mut Violations) {
    if let Some(disk) = &spec.system_disk {
        check_system(disk, out);
    }
    let disks = &spec.data_disks;
    let count = disks.len();
    out.unless(count <= DATA_DISKS_MAX, "spec.data_disks", || {
        format!("must be at most {DATA_DISKS_MAX}, not {count}")
    });
    out.unless(
        count > DATA_DISKS_MAX || is_mix(disks),
        "spec.data_disks",
        || {
            format!(
                "must be at most {CLOUD_DISKS_MAX} cloud disks and {LOCAL_DISKS_MAX} local disk"
            )
        },
    );
    for (index, disk) in disks.iter().enumerate() {
        check_data(disk, &format!("spec.data_disks[{index}]"), out);
    }
}

fn check_system(disk: &SystemDisk, out: &mut Violations) {
    let size = disk.disk_size;
    out.unless(
        size.is_none_or(|size| size > 0),
        "spec.system_disk.disk_size",
        || "must be positive GiB; leave it unset for 50".to_owned(),
    );
    let (kind, name) = (disk.disk_type.as_deref(), disk.disk_name.as_deref());
    check_class(kind, "spec.system_disk.disk_type", out);
    check_name(name, "spec.system_disk.disk_name", out);
}

fn check_data(disk: &DataDisk, field: &str, out: &mut Violations) {
    let at = |name: &str| format!("{field}.{name}");
    let (size, class) = (disk.disk_size, disk.disk_type.as_deref());
    out.unless(size >= 0 && size % STEP_GIB == 0, &at("disk_size"), || {
        format!("must be a multiple of {STEP_GIB} GiB, not {size}")
    });
    let small = class == Some("CLOUD_SSD") && (1..SSD_GIB_MIN).contains(&size);
    out.unless(!small, &at("disk_size"), || {
        format!("must be at least {SSD_GIB_MIN} GiB for CLOUD_SSD, not {size}")
    });
    check_class(class, &at("disk_type"), out);
    check_name(disk.disk_name.as_deref(), &at("disk_name"), out);
    if let Some(id) = &disk.snapshot_id {
        check_id(id, "snap", &at("snapshot_id"), out);
    }
    if let Some(extra) = disk.throughput_performance {
        let fast = class.is_some_and(|class| FAST.contains(&class));
        out.unless(
            extra == 0 || (extra > 0 && fast),
            &at("throughput_performance"),
            || {
                format!(
                    "must be 0 or more MiB/s, and needs a disk_type of {}",
                    FAST.join(" or ")
                )
            },
        );
    }
}

/// The shape of a disk class only: the cloud adds classes more often than it changes rules.
fn check_class(class: Option<&str>, field: &str, out: &mut Violations) {
    let Some(class) = class else {
        return;
    };
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let sound = !class.is_empty() && class.bytes().all(plain);
    out.unless(sound, field, || {
        "must be a class of disks such as CLOUD_PREMIUM".to_owned()
    });
    out.unless(!FIXED.contains(&class), field, || {
        "comes with the instance type and cannot be chosen: leave the disk out".to_owned()
    });
}

fn check_name(name: Option<&str>, field: &str, out: &mut Violations) {
    let length = name.map_or(0, characters);
    out.unless(length <= NAME_MAX, field, || {
        format!("must be at most {NAME_MAX} characters, not {length}")
    });
}

/// Whether there is a mix of classes that may be attached. Disks without a class are all of the one
/// that the cloud chooses; those of no size are not bought.
fn is_mix(disks: &[DataDisk]) -> bool {
    let bought: Vec<_> = disks.iter().filter(|disk| disk.disk_size != 0).collect();
    let of = |wanted: fn(Option<&str>) -> bool| {
        let classes = bought.iter().map(|disk| disk.disk_type.as_deref());
        classes.filter(|class| wanted(*class)).count()
    };
    let local = of(|class| class.is_some_and(|class| class.starts_with("LOCAL_")));
    let open = of(|class| class.is_none());
    let cloud = bought.len() - local - open;
    let fits = |local: usize, cloud: usize| local <= LOCAL_DISKS_MAX && cloud <= CLOUD_DISKS_MAX;
    fits(local + open, cloud) || fits(local, cloud + open)
}
