//! What organisations may have at once: which limits a launch counts against, and what a caller is
//! told who would go over one.

use super::Inner;
use crate::domain::quota::{Exceeded, Quota};
use crate::policy::Grant;

impl Inner {
    /// The limits that a launch counts against.
    pub(super) fn quotas_of(&self, grant: &Grant) -> Vec<Quota> {
        let (principal, account) = (grant.principal(), grant.account().as_str());
        let fits = |quota: &&Quota| {
            quota.organization == principal.organization && quota.fits(account, &principal.name)
        };
        let quotas = self.settings.quotas.iter().filter(fits);
        quotas.cloned().collect()
    }
}

/// Each limit, with the remedy.
pub(super) fn told(exceeded: &[Exceeded]) -> String {
    let each: Vec<String> = exceeded.iter().map(tell).collect();
    each.join("; ")
}

fn tell(exceeded: &Exceeded) -> String {
    let Exceeded {
        quota,
        measure,
        used,
        asked,
        limit,
        room_after,
    } = exceeded;
    let remedy = match room_after {
        Some(_) => "come back later",
        None if asked > limit => "ask for less, or the operator of the gateway for more",
        None => "give machines back, wait for launches to end, or ask the operator of the gateway",
    };
    let measure = measure.as_str();
    format!(
        "the limit {quota}/{measure} is {limit}, {used} are used and {asked} are asked for: {remedy}"
    )
}
