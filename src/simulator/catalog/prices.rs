//! What the fake cloud charges: the `[prices]` of a catalogue, in the account's currency.

use super::{Disk, InstanceType};
use serde::{Deserialize, Serialize};

/// List prices. A type with a `price` of its own costs that; the others cost their cores and memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::simulator) struct Prices {
    pub(in crate::simulator) core_hour: Money,
    pub(in crate::simulator) memory_gib_hour: Money,
    /// Of a disk class that has no price of its own.
    pub(in crate::simulator) disk_gib_hour: Money,
    pub(in crate::simulator) bandwidth_mbps_hour: Money,
    pub(in crate::simulator) traffic_gb: Money,
    /// A prepaid month costs as much as this many hours.
    pub(in crate::simulator) month_hours: Money,
    /// How much of a list price is paid.
    pub(in crate::simulator) discount_percent: Percent,
}

/// An amount that is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "f64")]
pub(in crate::simulator) struct Money(f64);

/// 0 is for nothing, 100 the list price.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(in crate::simulator) struct Percent(f64);

/// Larger amounts are mistakes.
const MONEY_MAX: f64 = 1e9;

impl Default for Prices {
    fn default() -> Self {
        Self {
            core_hour: Money(0.12),
            memory_gib_hour: Money(0.03),
            disk_gib_hour: Money(0.0005),
            bandwidth_mbps_hour: Money(0.06),
            traffic_gb: Money(0.8),
            month_hours: Money(360.0),
            discount_percent: Percent(100.0),
        }
    }
}

impl Prices {
    /// The list price of one machine of this type for an hour, without its disks.
    pub(in crate::simulator) fn machine_hour(&self, kind: &InstanceType) -> f64 {
        let own = kind.price.map(Money::amount);
        own.unwrap_or_else(|| {
            let cores = whole(kind.cpu) * self.core_hour.amount();
            cores + whole(kind.memory_gib) * self.memory_gib_hour.amount()
        })
    }

    /// The list price of a disk of `size_gib` for an hour.
    pub(in crate::simulator) fn disk_hour(&self, disk: &Disk, size_gib: i64) -> f64 {
        whole(size_gib) * disk.price.unwrap_or(self.disk_gib_hour).amount()
    }
}

impl Money {
    pub(in crate::simulator) fn amount(self) -> f64 {
        self.0
    }
}

impl Percent {
    pub(in crate::simulator) fn value(self) -> f64 {
        self.0
    }

    /// What is paid of a list price.
    pub(in crate::simulator) fn of(self, price: f64) -> f64 {
        price * self.0 / 100.0
    }
}

/// A small whole number as a factor; sizes and counts are far below 2³².
pub(in crate::simulator) fn whole(number: i64) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}

impl TryFrom<f64> for Money {
    type Error = String;

    fn try_from(amount: f64) -> Result<Self, String> {
        let sound = (0.0..=MONEY_MAX).contains(&amount);
        sound
            .then_some(Self(amount))
            .ok_or_else(|| format!("{amount} is not an amount from 0 to {MONEY_MAX}"))
    }
}

impl TryFrom<f64> for Percent {
    type Error = String;

    fn try_from(percent: f64) -> Result<Self, String> {
        let sound = (0.0..=100.0).contains(&percent);
        sound
            .then_some(Self(percent))
            .ok_or_else(|| format!("{percent} is not a percentage from 0 to 100"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::catalog::{Catalog, EMBEDDED};

    #[test]
    fn a_type_costs_its_own_price_or_its_cores_and_memory() {
        let text = EMBEDDED.replacen("name = \"S5.SMALL2\"", "name = \"S5.SMALL2\", price = 9", 1);
        let catalog = Catalog::parse(&text).unwrap();
        let price = |name: &str| {
            let kind = catalog.instance_type(name).unwrap();
            catalog.prices.machine_hour(kind)
        };
        assert!((price("S5.MEDIUM4") - (2.0 * 0.12 + 4.0 * 0.03)).abs() < 1e-9);
        assert!((price("S5.SMALL2") - 9.0).abs() < 1e-9);
    }

    #[test]
    fn a_price_that_cannot_be_is_refused() {
        let rows = [
            ("core_hour = -0.1", "-0.1 is not an amount"),
            ("discount_percent = 101", "101 is not a percentage"),
            ("core_day = 1", "unknown field"),
        ];
        for (line, complaint) in rows {
            let text = format!("{}\n[prices]\n{line}\n", without_prices());
            let error = Catalog::parse(&text).map(drop).unwrap_err();
            assert!(error.message.contains(complaint), "{error}");
        }
    }

    /// A catalogue of before there were prices still parses.
    #[test]
    fn a_catalogue_without_prices_has_the_default_ones() {
        let catalog = Catalog::parse(&without_prices()).unwrap();
        assert_eq!(catalog.prices.core_hour, Prices::default().core_hour);
    }

    fn without_prices() -> String {
        let (before, after) = EMBEDDED.split_once("\n[prices]\n").unwrap();
        let rest = after.split_once("\n[").unwrap().1;
        format!("{before}\n[{rest}")
    }
}
