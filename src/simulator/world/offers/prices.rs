//! What machines, disks and bandwidth cost by the catalogue.

use crate::simulator::catalog::prices::{Prices, whole};
use crate::simulator::catalog::{Catalog, InstanceType};
use crate::simulator::validate::{Billing, Wish};
use crate::simulator::wire::answer::{self, ItemPrice};

/// What has a price: machines of one kind with their disks and their bandwidth.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulator::world) struct Priced<'a> {
    pub(in crate::simulator::world) count: u32,
    pub(in crate::simulator::world) billing: &'a Billing,
    /// None on a dedicated host, which is paid itself.
    pub(in crate::simulator::world) kind: Option<&'a InstanceType>,
    pub(in crate::simulator::world) system_disk: &'a answer::SystemDisk,
    pub(in crate::simulator::world) data_disks: &'a [answer::DataDisk],
    pub(in crate::simulator::world) internet: &'a answer::InternetAccessible,
}

impl<'a> From<&'a Wish<'_>> for Priced<'a> {
    fn from(wish: &'a Wish<'_>) -> Self {
        Self {
            count: wish.count,
            billing: &wish.billing,
            kind: wish.model.kind,
            system_disk: &wish.system_disk,
            data_disks: &wish.data_disks,
            internet: &wish.internet,
        }
    }
}

/// All machines with their disks.
pub(in crate::simulator::world) fn instance_price(
    catalog: &Catalog,
    wish: &Priced<'_>,
) -> ItemPrice {
    let prices = &catalog.prices;
    let disk = |class: &str, size| {
        let disk = catalog.disk(class);
        disk.map_or(0.0, |disk| prices.disk_hour(disk, size))
    };
    let data = wish
        .data_disks
        .iter()
        .map(|it| disk(&it.disk_type, it.disk_size));
    let disks = disk(&wish.system_disk.disk_type, wish.system_disk.disk_size) + data.sum::<f64>();
    let kind = wish.kind;
    let machine = kind.map_or(0.0, |kind| prices.machine_hour(kind));
    let paid = match wish.billing {
        Billing::Spot => kind.and_then(|kind| kind.spot_price).unwrap_or(machine),
        Billing::Hourly | Billing::Prepaid { .. } | Billing::DedicatedHost => {
            prices.discount_percent.of(machine)
        }
    };
    let count = f64::from(wish.count);
    let (list, paid) = (
        count * (machine + disks),
        count * (paid + prices.discount_percent.of(disks)),
    );
    match wish.billing {
        Billing::Prepaid { months, .. } => prepaid(prices, list, f64::from(*months)),
        Billing::Hourly | Billing::Spot | Billing::DedicatedHost => hourly(list, paid),
    }
}

pub(in crate::simulator::world) fn bandwidth_price(
    prices: &Prices,
    wish: &Priced<'_>,
) -> ItemPrice {
    let mbps = wish.internet.internet_max_bandwidth_out;
    let list = whole(mbps) * f64::from(wish.count) * prices.bandwidth_mbps_hour.amount();
    match (
        mbps,
        wish.internet.internet_charge_type.as_str(),
        wish.billing,
    ) {
        (0, _, _) | (_, "BANDWIDTH_PACKAGE", _) => hourly(0.0, 0.0),
        (_, "TRAFFIC_POSTPAID_BY_HOUR", _) => {
            let list = prices.traffic_gb.amount();
            let charge_unit = "GB";
            ItemPrice {
                charge_unit,
                ..hourly(list, prices.discount_percent.of(list))
            }
        }
        (_, "BANDWIDTH_PREPAID", Billing::Prepaid { months, .. }) => {
            prepaid(prices, list, f64::from(*months))
        }
        (_, _, _) => hourly(list, prices.discount_percent.of(list)),
    }
}

/// One machine without its disks.
pub(super) fn machine_price(prices: &Prices, kind: &InstanceType, charge_type: &str) -> ItemPrice {
    let list = prices.machine_hour(kind);
    match charge_type {
        "PREPAID" => {
            let year = prepaid(prices, list, 12.0);
            ItemPrice {
                original_price_one_year: year.original_price,
                discount_price_one_year: year.discount_price,
                discount_one_year: year.discount,
                ..prepaid(prices, list, 1.0)
            }
        }
        "SPOTPAID" => hourly(list, kind.spot_price.unwrap_or(list)),
        _ => hourly(list, prices.discount_percent.of(list)),
    }
}

fn hourly(list: f64, paid: f64) -> ItemPrice {
    ItemPrice {
        unit_price: cents(list),
        unit_price_discount: cents(paid),
        charge_unit: "HOUR",
        ..ItemPrice::default()
    }
}

fn prepaid(prices: &Prices, list_hour: f64, months: f64) -> ItemPrice {
    let list = list_hour * prices.month_hours.amount() * months;
    ItemPrice {
        original_price: cents(list),
        discount_price: cents(prices.discount_percent.of(list)),
        discount: prices.discount_percent.value(),
        charge_unit: "HOUR",
        ..ItemPrice::default()
    }
}

/// To a hundredth of a cent: sums of fractions have long tails.
fn cents(amount: f64) -> f64 {
    (amount * 10_000.0).round() / 10_000.0
}
