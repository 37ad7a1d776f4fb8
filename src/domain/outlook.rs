//! What the cloud says of a launch before it is made: its price, the stock, the quota.

use rust_decimal::Decimal;

/// What a launch costs, in the account's currency. Amounts are what the account pays, with its
/// discount, and are for all instances that were asked about together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// `CNY`, or `USD` on the international site.
    pub currency: &'static str,
    /// How many instances were asked about. The cloud prices at most [`PRICED_MAX`].
    pub instance_count: u32,
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
    /// vCPUs of the model.
    pub cpu: u32,
}

/// How much of one of the account's limits is used, in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    pub zone: String,
    /// Instances, or vCPUs for spot instances.
    pub total: u64,
    pub used: u64,
}
