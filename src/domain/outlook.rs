//! What the cloud says of a launch before it is made: its price, the stock, the quota.

use crate::domain::rules::share_of_host;
use rust_decimal::Decimal;

/// What a launch costs, in the account's currency. Amounts are what the account pays, with its
/// discount, and are for all instances that were asked about together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// `CNY`, or `USD` on the international site.
    pub currency: &'static str,
    /// How many instances the amounts are for.
    pub instance_count: u32,
    /// How many of them the cloud was asked about together, [`PRICED_MAX`] at most; the amounts for
    /// more are sums of its answers.
    pub priced_together: u32,
    /// For each hour, of instances that are billed by it, with their bandwidth where that is too.
    pub per_hour: Option<Decimal>,
    /// Once, of prepaid instances with their bandwidth.
    pub upfront: Option<Decimal>,
    /// For each GB that leaves, where traffic is what is billed.
    pub per_gb: Option<Decimal>,
}

/// The most instances that the cloud prices in one call (`InquiryPriceRunInstances`,
/// `InstanceCount`).
pub const PRICED_MAX: u32 = 100;

impl Price {
    /// The price of `times` as many instances, each lot of which costs the same. A GB costs what it
    /// costs, however many instances send.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        let more = |amount: Decimal| amount.saturating_mul(times.into()).normalize();
        Self {
            instance_count: self.instance_count.saturating_mul(times),
            per_hour: self.per_hour.map(more),
            upfront: self.upfront.map(more),
            ..self
        }
    }

    /// The price of these instances and of `others`.
    #[must_use]
    pub fn plus(self, others: &Self) -> Self {
        let sum = |some: Option<Decimal>, more: Option<Decimal>| match (some, more) {
            (Some(some), Some(more)) => Some(some.saturating_add(more).normalize()),
            (some, more) => some.or(more),
        };
        Self {
            instance_count: self.instance_count.saturating_add(others.instance_count),
            per_hour: sum(self.per_hour, others.per_hour),
            upfront: sum(self.upfront, others.upfront),
            ..self
        }
    }
}

/// Whether a zone sells a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub zone: String,
    pub instance_type: String,
    pub on_sale: bool,
    /// The cloud's word for how much there is: `EnoughStock`, `NormalStock`, `UnderStock`,
    /// `WithoutStock`; empty when it says none.
    pub stock: String,
    /// The code that a launch would be refused with; empty when it says none.
    pub sold_out_reason: String,
    pub size: Size,
}

/// How big a model is, and what one machine of it costs by itself: without disks, addresses and
/// traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub vcpu: u32,
    pub memory_gib: u32,
    /// A part of one counts as one.
    pub gpu: u32,
    /// What it costs, as it was asked for; none when the cloud does not tell.
    pub cost: Option<Cost>,
}

impl Size {
    /// Of a share of a dedicated host; none of another model. The cloud sells none, so it tells nothing
    /// of them: the size is in the name, and what is paid is the host.
    #[must_use]
    pub fn of_share(instance_type: &str) -> Option<Self> {
        let (vcpu, memory_gib) = share_of_host(instance_type)?;
        Some(Self {
            vcpu,
            memory_gib,
            gpu: 0,
            cost: Some(Cost::Hourly(Decimal::ZERO)),
        })
    }
}

/// What a machine costs, with the account's discount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Each hour.
    Hourly(Decimal),
    /// Each month, paid before.
    Monthly(Decimal),
}

/// Hours of a month, as prices of a month count them.
const MONTH_HOURS: u32 = 730;

impl Cost {
    /// For each hour, where the hour is what is billed.
    #[must_use]
    pub fn per_hour(self) -> Option<Decimal> {
        match self {
            Self::Hourly(amount) => Some(amount),
            Self::Monthly(_) => None,
        }
    }

    /// For a month of 730 hours.
    #[must_use]
    pub fn per_month(self) -> Decimal {
        match self {
            Self::Hourly(amount) => amount.saturating_mul(MONTH_HOURS.into()),
            Self::Monthly(amount) => amount,
        }
    }
}

/// How much of one of the account's limits is used, in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    pub zone: String,
    /// Instances, or vCPUs for spot instances.
    pub total: u64,
    pub used: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(instance_count: u32, per_hour: Option<&str>, per_gb: Option<&str>) -> Price {
        let amount = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        Price {
            currency: "CNY",
            instance_count,
            priced_together: instance_count.min(PRICED_MAX),
            per_hour: amount(per_hour),
            upfront: None,
            per_gb: amount(per_gb),
        }
    }

    #[test]
    fn the_size_of_a_share_is_in_its_name() {
        let share = Size::of_share("CDH_4C8G").unwrap();
        assert_eq!((share.vcpu, share.memory_gib, share.gpu), (4, 8, 0));
        let cost = share.cost.unwrap();
        assert_eq!(cost.per_hour(), Some(Decimal::ZERO));
        assert_eq!(cost.per_month(), Decimal::ZERO);
        for other in ["S5.SMALL1", "CDH_0C8G", "CDH_4C", "CDH_4C+8G", ""] {
            assert_eq!(Size::of_share(other), None, "{other}");
        }
    }

    #[test]
    fn the_price_of_many_is_that_of_its_pieces() {
        let full = price(100, Some("18.10"), Some("0.8"));
        let left = price(50, Some("9.05"), Some("0.8"));
        let whole = full.times(2).plus(&left);
        assert_eq!(whole, price(250, Some("45.25"), Some("0.8")));
    }
}
