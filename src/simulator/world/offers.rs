//! What the fake cloud offers: regions, zones, prices, stock and quotas.

pub(super) mod prices;

use super::{Call, World, query, region};
use crate::simulator::catalog::{Catalog, InstanceType, Zone};
use crate::simulator::validate;
use crate::simulator::wire::{
    Filter, Filtered, InquiryPriceRunInstances, Refusal,
    answer::{self, ItemPrice},
};
use std::cmp::Ordering;

const OFFER_FILTERS: query::Bounds = query::Bounds {
    filters: 10,
    values: 100,
};
/// Below so many machines the stock counts as under or normal.
const STOCK_LEVELS: [(u32, &str); 3] = [
    (1, "WithoutStock"),
    (10, "UnderStock"),
    (100, "NormalStock"),
];
/// Machines in one placement group, by what it spreads over: host, switch, rack.
const GROUP_QUOTAS: [u32; 3] = [50, 20, 30];
const CHARGE_TYPES: [&str; 4] = ["PREPAID", "POSTPAID_BY_HOUR", "CDHPAID", "SPOTPAID"];
const QUOTA_TYPES: [&str; 5] = [
    "PostPaidQuotaSet",
    "PrePaidQuotaSet",
    "SpotPaidQuotaSet",
    "ImageQuotaSet",
    "DisasterRecoverGroupQuotaSet",
];

impl World {
    pub(in crate::simulator) fn inquiry_price_run_instances(
        &mut self,
        call: &Call<'_>,
        request: InquiryPriceRunInstances,
    ) -> Result<answer::PriceAnswer, Refusal> {
        self.settle(call.now);
        let wish = validate::inquiry(&self.catalog, region(&self.catalog, call)?, request)?;
        if let Some(kind) = wish.model.kind
            && self.capacity.left(wish.zone, kind) == 0
        {
            let message = format!("The instance type `{}` is sold out.", wish.model.name);
            return Err(Refusal::new(
                "ResourcesSoldOut.SpecifiedInstanceType",
                message,
            ));
        }
        let priced = prices::Priced::from(&wish);
        let price = answer::Price {
            instance_price: prices::instance_price(&self.catalog, &priced),
            bandwidth_price: prices::bandwidth_price(&self.catalog.prices, &priced),
        };
        Ok(answer::PriceAnswer { price })
    }

    pub(in crate::simulator) fn describe_zone_instance_config_infos(
        &mut self,
        call: &Call<'_>,
        request: &Filtered,
    ) -> Result<answer::InstanceTypeQuotas, Refusal> {
        self.settle(call.now);
        let region = region(&self.catalog, call)?;
        let filters = request.filters.as_deref().unwrap_or_default();
        query::bounded(filters, OFFER_FILTERS)?;
        for (filter, value) in each_value(filters) {
            check_offer_filter(region, &filter.name, value)?;
        }
        let sold = |zone: &&Zone| zone.available && passes(filters, "zone", &zone.id);
        let zones = region.zones.iter().filter(sold);
        let offers = zones.flat_map(|zone| {
            self.catalog
                .instance_types
                .iter()
                .map(move |kind| (zone, kind))
        });
        let offers = offers.filter(|(zone, kind)| kind.stock(&zone.id).is_some());
        let rows = offers.flat_map(|(zone, kind)| self.rows(zone, kind));
        let mut rows: Vec<_> = rows.filter(|row| row_passes(filters, row)).collect();
        sort(&mut rows, filters);
        Ok(answer::InstanceTypeQuotas {
            instance_type_quota_set: rows,
        })
    }

    pub(in crate::simulator) fn describe_account_quota(
        &mut self,
        call: &Call<'_>,
        request: &Filtered,
    ) -> Result<answer::AccountQuotaAnswer, Refusal> {
        self.settle(call.now);
        let region = region(&self.catalog, call)?;
        let filters = request.filters.as_deref().unwrap_or_default();
        query::bounded(filters, query::INSTANCES)?;
        for (filter, value) in each_value(filters) {
            let (sound, code) = match filter.name.as_str() {
                "zone" => (region.zone(value).is_some(), "InvalidZone.MismatchRegion"),
                "quota-type" => (QUOTA_TYPES.contains(&value), "InvalidParameterValue.Range"),
                _ => (false, "InvalidFilter"),
            };
            query::refuse_unless(sound, code, &filter.name, value)?;
        }
        let zones = region.zones.iter();
        let zones: Vec<_> = zones
            .filter(|zone| passes(filters, "zone", &zone.id))
            .collect();
        Ok(answer::AccountQuotaAnswer {
            app_id: self.catalog.account.app_id,
            account_quota_overview: answer::AccountQuotaOverview {
                region: region.id.clone(),
                account_quota: self.quotas(&zones, filters),
            },
        })
    }

    pub(in crate::simulator) fn describe_zones(
        &self,
        call: &Call<'_>,
    ) -> Result<answer::Zones, Refusal> {
        let zones = region(&self.catalog, call)?
            .zones
            .iter()
            .map(|zone| answer::Zone {
                zone: zone.id.clone(),
                zone_name: zone.name.clone(),
                zone_id: zone.number.to_string(),
                zone_state: if zone.available {
                    "AVAILABLE"
                } else {
                    "UNAVAILABLE"
                },
            });
        let zone_set: Vec<_> = zones.collect();
        Ok(answer::Zones {
            total_count: zone_set.len(),
            zone_set,
        })
    }

    pub(in crate::simulator) fn describe_regions(&self) -> answer::Regions {
        let regions = self.catalog.regions.iter().map(|region| answer::Region {
            region: region.id.clone(),
            region_name: region.name.clone(),
            region_state: "AVAILABLE",
        });
        let region_set: Vec<_> = regions.collect();
        answer::Regions {
            total_count: region_set.len(),
            region_set,
        }
    }

    /// One row for each way to pay a machine of this kind.
    fn rows<'a>(
        &'a self,
        zone: &'a Zone,
        kind: &'a InstanceType,
    ) -> impl Iterator<Item = answer::InstanceTypeQuota> + use<'a> {
        let left = self.capacity.left(zone, kind);
        let spot = kind.spot_price.map(|_| "SPOTPAID");
        let charge_types = ["PREPAID", "POSTPAID_BY_HOUR"].into_iter().chain(spot);
        charge_types.map(move |charge_type| {
            let sold_out_reason = match (left, self.capacity.is_sold_out(zone), charge_type) {
                (_, true, _) => "ResourceInsufficient.AvailabilityZoneSoldOut",
                (0, _, "SPOTPAID") => "InvalidParameterValue.InsufficientOffering",
                (0, _, _) => "ResourcesSoldOut.SpecifiedInstanceType",
                (_, false, _) => "",
            };
            let status = if left == 0 { "SOLD_OUT" } else { "SELL" };
            let price = prices::machine_price(&self.catalog.prices, kind, charge_type);
            offer(
                &self.catalog,
                zone,
                kind,
                Row {
                    charge_type,
                    left,
                    status,
                    sold_out_reason,
                    price,
                },
            )
        })
    }

    fn quotas(&self, zones: &[&Zone], filters: &[Filter]) -> answer::AccountQuota {
        let limits = self.capacity.limits();
        let wanted = |name: &str| passes(filters, "quota-type", name);
        let by_zone = |name: &str, charge_type, total: u32| -> Vec<_> {
            let zones = zones.iter().filter(|_| wanted(name));
            zones
                .map(|zone| {
                    let used = self.capacity.used(zone, charge_type);
                    answer::ZoneQuota {
                        used_quota: used,
                        remaining_quota: total.saturating_sub(used),
                        total_quota: total,
                        zone: zone.id.clone(),
                    }
                })
                .collect()
        };
        let prepaid = by_zone("PrePaidQuotaSet", "PREPAID", limits.prepaid_per_zone);
        let prepaid = prepaid.into_iter().map(|quota| answer::PrePaidQuota {
            used_quota: quota.used_quota,
            once_quota: limits.prepaid_once,
            remaining_quota: quota.remaining_quota,
            total_quota: quota.total_quota,
            zone: quota.zone,
        });
        let images = answer::ImageQuota {
            used_quota: self
                .catalog
                .images
                .iter()
                .filter(|image| image.custom)
                .count(),
            total_quota: limits.images,
        };
        let [host, switch, rack] = GROUP_QUOTAS;
        let groups = answer::GroupQuota {
            group_quota: limits.placement_groups,
            current_num: self.catalog.placement_groups.len(),
            cvm_in_host_group_quota: host,
            cvm_in_switch_group_quota: switch,
            cvm_in_rack_group_quota: rack,
        };
        answer::AccountQuota {
            post_paid_quota_set: by_zone(
                "PostPaidQuotaSet",
                "POSTPAID_BY_HOUR",
                limits.hourly_per_zone,
            ),
            pre_paid_quota_set: prepaid.collect(),
            spot_paid_quota_set: by_zone("SpotPaidQuotaSet", "SPOTPAID", limits.spot_per_zone),
            image_quota_set: Some(images)
                .filter(|_| wanted("ImageQuotaSet"))
                .into_iter()
                .collect(),
            disaster_recover_group_quota_set: Some(groups)
                .filter(|_| wanted("DisasterRecoverGroupQuotaSet"))
                .into_iter()
                .collect(),
        }
    }
}

/// What of a row is not the model's own.
struct Row {
    charge_type: &'static str,
    left: u32,
    status: &'static str,
    sold_out_reason: &'static str,
    price: ItemPrice,
}

fn offer(
    catalog: &Catalog,
    zone: &Zone,
    kind: &InstanceType,
    row: Row,
) -> answer::InstanceTypeQuota {
    let family = kind.family();
    let local = catalog
        .disks
        .iter()
        .filter(|disk| kind.local_disks && disk.class.starts_with("LOCAL_"));
    let local = local.map(|disk| answer::LocalDiskType {
        class: disk.class.clone(),
        partition_type: "DATA",
        min_size: disk.min_gib,
        max_size: disk.max_gib,
        required: "OPTIONAL",
    });
    let level = STOCK_LEVELS.iter().find(|(below, _)| row.left < *below);
    let gpus = kind.gpu.as_ref().map_or(0.0, |gpu| gpu.count);
    answer::InstanceTypeQuota {
        zone: zone.id.clone(),
        instance_type: kind.name.clone(),
        instance_charge_type: row.charge_type,
        network_card: 25,
        externals: answer::Externals {},
        cpu: kind.cpu,
        memory: kind.memory_gib,
        instance_family: family.to_owned(),
        type_name: format!("Standard {family}"),
        local_disk_type_list: local.collect(),
        status: row.status,
        price: row.price,
        sold_out_reason: row.sold_out_reason,
        instance_bandwidth: 1.5,
        instance_pps: 25,
        storage_block_amount: 0,
        cpu_type: if kind.arm {
            "Ampere Altra"
        } else {
            "Intel Xeon Cascade Lake"
        },
        gpu: whole_gpus(gpus),
        fpga: 0,
        remark: "",
        gpu_count: gpus,
        frequency: "2.5GHz",
        status_category: level.map_or("EnoughStock", |(_, level)| level),
    }
}

/// Cards; a part of one counts as none.
pub(super) fn whole_gpus(count: f64) -> i64 {
    let mut whole = (1..=64).rev();
    let whole = whole.find(|whole| f64::from(*whole) <= count);
    whole.map_or(0, i64::from)
}

pub(super) fn each_value(filters: &[Filter]) -> impl Iterator<Item = (&Filter, &str)> {
    filters.iter().flat_map(|filter| {
        filter
            .values
            .iter()
            .map(move |value| (filter, value.as_str()))
    })
}

fn check_offer_filter(
    region: &crate::simulator::catalog::Region,
    name: &str,
    value: &str,
) -> Result<(), Refusal> {
    let zone = region.zone(value);
    let (sound, code) = match name {
        "zone" if zone.is_some_and(|zone| !zone.available) => {
            (false, "InvalidParameterValue.ZoneNotSupported")
        }
        "zone" => (zone.is_some(), "InvalidZone.MismatchRegion"),
        "instance-type" => (
            validate::is_type_name(value),
            "InvalidInstanceType.Malformed",
        ),
        "instance-family" => (true, ""),
        "instance-charge-type" => (CHARGE_TYPES.contains(&value), "InvalidFilter"),
        "sort-keys" => (SortKey::parse(value).is_some(), "InvalidFilter"),
        _ => (false, "InvalidFilter"),
    };
    query::refuse_unless(sound, code, name, value)
}

/// Whether every filter of this name has the value.
pub(super) fn passes(filters: &[Filter], name: &str, value: &str) -> bool {
    let mut named = filters.iter().filter(|filter| filter.name == name);
    named.all(|filter| filter.values.iter().any(|wanted| wanted == value))
}

fn row_passes(filters: &[Filter], row: &answer::InstanceTypeQuota) -> bool {
    passes(filters, "instance-type", &row.instance_type)
        && passes(filters, "instance-family", &row.instance_family)
        && passes(filters, "instance-charge-type", row.instance_charge_type)
}

/// `cpu:desc`, `mem:asc`.
struct SortKey {
    memory: bool,
    descending: bool,
}

impl SortKey {
    fn parse(text: &str) -> Option<Self> {
        let (key, order) = text.split_once(':')?;
        let memory = match key {
            "cpu" => false,
            "mem" => true,
            _ => return None,
        };
        let descending = match order {
            "asc" => false,
            "desc" => true,
            _ => return None,
        };
        Some(Self { memory, descending })
    }

    fn compare(
        &self,
        one: &answer::InstanceTypeQuota,
        other: &answer::InstanceTypeQuota,
    ) -> Ordering {
        let ascending = if self.memory {
            one.memory.cmp(&other.memory)
        } else {
            one.cpu.cmp(&other.cpu)
        };
        if self.descending {
            ascending.reverse()
        } else {
            ascending
        }
    }
}

/// The first key counts most.
fn sort(rows: &mut [answer::InstanceTypeQuota], filters: &[Filter]) {
    let keys = filters.iter().filter(|filter| filter.name == "sort-keys");
    let keys: Vec<_> = keys
        .flat_map(|filter| &filter.values)
        .filter_map(|key| SortKey::parse(key))
        .collect();
    rows.sort_by(|one, other| {
        let orders = keys.iter().map(|key| key.compare(one, other));
        orders.fold(Ordering::Equal, Ordering::then)
    });
}

#[cfg(test)]
mod tests;
