//! How accounts stand with the cloud, for a person: their keys, their budgets, and what is sold out.

use crate::domain::ids::OrganizationId;
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::Place;
use time::UtcDateTime;

/// The keys of an account. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStanding {
    pub account: AccountName,
    pub organization: OrganizationId,
    /// Where its keys come from.
    pub source: &'static str,
    /// The role that is assumed with them.
    pub role: Option<String>,
    /// Whether calls can be signed now.
    pub usable: bool,
    /// When the first of its keys ends; none: nobody has set an end.
    pub ends: Option<UtcDateTime>,
    /// Why the last question for new keys brought none.
    pub failure: Option<String>,
}

/// The calls of an account that the cloud counts together, as far as this process makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    pub account: AccountName,
    pub host: String,
    /// The cloud's name of what is called.
    pub action: &'static str,
    /// The full rate, in calls per 1,000 seconds.
    pub full: u64,
    /// The rate that the cloud's refusals have left of it.
    pub rate: u64,
    /// Calls that were let through in the last minute.
    pub calls: u32,
    /// Calls that wait for their turn.
    pub waiting: usize,
}

/// What the cloud had no stock of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoldOut {
    pub region: Region,
    /// Without a model: everything in the zone.
    pub place: Place,
    /// Which stock; empty for what all share.
    pub stock: String,
    /// The smallest number of machines that was refused.
    pub count: u32,
    /// How often in a row.
    pub refusals: u32,
    pub last: UtcDateTime,
    /// Until when launches go elsewhere.
    pub until: UtcDateTime,
}
