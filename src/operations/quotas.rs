//! What organisations may have at once: which limits a launch counts against, and what a caller is
//! told who would go over one.

use super::launch::accepted;
use super::{Inner, OperationError, Operations};
use crate::domain::ids::{OrganizationId, Principal};
use crate::domain::millis;
use crate::domain::names::AccountName;
use crate::domain::outlook::Size;
use crate::domain::quota::{Exceeded, Headroom, Level, Measure, Quota, Reservation, Worth};
use crate::policy::Grant;
use crate::store::StoreError;
use std::collections::BTreeMap;

impl Operations {
    /// How much of every limit is used now.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn levels(&self) -> Result<Vec<Level>, StoreError> {
        let inner = &self.0;
        let mut by_organization: BTreeMap<&OrganizationId, Vec<&Quota>> = BTreeMap::new();
        for quota in &inner.settings.quotas {
            let own = by_organization.entry(&quota.organization).or_default();
            own.push(quota);
        }
        let now = inner.clock.now();
        let mut levels = Vec::new();
        for (organization, quotas) in by_organization {
            let usage = inner.store.usage(organization, now).await?;
            let of = |quota: &Quota| usage.levels(quota, millis::from_time(now));
            levels.extend(quotas.into_iter().flat_map(of));
        }
        Ok(levels)
    }

    /// What a launch would take of the limits that it counts against.
    pub(super) async fn headroom(&self, grant: &Grant) -> Result<Vec<Headroom>, OperationError> {
        let (inner, now) = (&self.0, self.0.clock.now());
        let quotas = inner.quotas_of(grant);
        let mut operation = accepted(self.new_id(now), grant, String::new(), now);
        operation.worths = worths(grant, &quotas)?;
        let Some(asked) = Reservation::of(&operation).filter(|_| !quotas.is_empty()) else {
            return Ok(Vec::new());
        };
        let usage = inner.store.usage(&operation.organization, now).await?;
        let of = |quota: &Quota| usage.headroom(quota, &asked);
        Ok(quotas.iter().flat_map(of).collect())
    }
}

impl Inner {
    /// The limits that launches of `principal` on `account` count against.
    pub(super) fn quotas_for(
        &self,
        principal: &Principal,
        account: &AccountName,
    ) -> impl Iterator<Item = &Quota> {
        let fits = move |quota: &&Quota| {
            quota.organization == principal.organization
                && quota.fits(account.as_str(), &principal.name)
        };
        self.settings.quotas.iter().filter(fits)
    }

    /// The limits that a launch counts against.
    pub(super) fn quotas_of(&self, grant: &Grant) -> Vec<Quota> {
        let quotas = self.quotas_for(grant.principal(), grant.account());
        quotas.cloned().collect()
    }

    pub(super) fn over_limit(&self, exceeded: Vec<Exceeded>) -> OperationError {
        self.metrics.quotas.refused(&exceeded);
        OperationError::OverLimit(exceeded)
    }
}

/// What each machine of a launch counts for in each of its places; nothing where no limit counts it.
///
/// # Errors
/// [`OperationError::NoSize`] when a limit counts what nobody knows of the launch.
pub(super) fn worths(grant: &Grant, quotas: &[Quota]) -> Result<Vec<Worth>, OperationError> {
    let measures = || quotas.iter().flat_map(|quota| quota.limits.keys());
    let Some(measure) = measures().find(|measure| measure.is_of_size()) else {
        return Ok(Vec::new());
    };
    let unnamed = || {
        let message = format!(
            "the limit of {} needs to know the model: name the zone and the instance type",
            measure.as_str()
        );
        OperationError::NoSize {
            field: "spec.instance_type",
            message,
        }
    };
    let money = measures().find(|measure| measure.is_money());
    let sizes = grant.sizes();
    let places = 1 + grant.wish().alternatives.len();
    if sizes.len() != places {
        return Err(unnamed());
    }
    let worth = |size: &Option<Size>| match size {
        None => Err(unnamed()),
        Some(size) => match money.filter(|_| size.cost.is_none()) {
            Some(measure) => Err(unpriced(grant, *measure)),
            None => Ok(Worth::of(size)),
        },
    };
    sizes.iter().map(worth).collect()
}

/// Why there is no price for a limit that counts money.
fn unpriced(grant: &Grant, measure: Measure) -> OperationError {
    if grant.wish().spec.leaves_billing_to_template() {
        let measure = measure.as_str();
        let message = format!(
            "the limit of {measure} needs to know the price: name the instance_charge_type, for the \
             launch template may hold any"
        );
        return OperationError::NoSize {
            field: "spec.instance_charge_type",
            message,
        };
    }
    let message = "a limit counts money, and the cloud does not tell the price of the model";
    OperationError::SizeUnknown(message.to_owned())
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
    let [used, asked, limit] = [used, asked, limit].map(|amount| measure.show(*amount));
    let measure = measure.as_str();
    format!(
        "the limit {quota}/{measure} is {limit}, {used} are used and {asked} are asked for: {remedy}"
    )
}
