//! Which machines of the model the cloud has.

use super::{Call, Model, Tables};
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::names::{AccountName, Region};
use crate::store::error::StoreError;
use crate::store::launched::Launched;
use crate::store::presence::{LIVING_PAGE, LivingPage, Presence};
use std::collections::BTreeSet;
use time::UtcDateTime;

impl Model {
    pub(in crate::store) async fn living(
        &self,
        page: &LivingPage,
    ) -> Result<Vec<InstanceId>, StoreError> {
        self.run(Call::Living, |tables, _| Ok(tables.living(page)))
            .await
    }

    pub(in crate::store) async fn living_places(
        &self,
        most: usize,
    ) -> Result<Vec<(AccountName, Region)>, StoreError> {
        self.run(Call::LivingPlaces, |tables, _| {
            let machines = tables.instances.values().map(|machine| &machine.owner);
            let living = machines.filter(|owner| !tables.gone.contains_key(&owner.instance));
            let places = living.map(|owner| (owner.account.clone(), owner.region.clone()));
            let places: BTreeSet<_> = places.collect();
            Ok(places.into_iter().take(most).collect())
        })
        .await
    }

    pub(in crate::store) async fn thought_gone(
        &self,
        machines: &[InstanceId],
        since: UtcDateTime,
    ) -> Result<Vec<InstanceId>, StoreError> {
        self.run(Call::ThoughtGone, |tables, _| {
            let gone = machines.iter().filter(|id| tables.went(id, since));
            Ok(gone.cloned().collect())
        })
        .await
    }

    pub(in crate::store) async fn see(&self, presence: &Presence) -> Result<(), StoreError> {
        self.run(Call::See, |tables, _| {
            tables.see(presence);
            Ok(())
        })
        .await
    }
}

impl Tables {
    fn living(&self, page: &LivingPage) -> Vec<InstanceId> {
        let before = millis::from_time(page.before);
        let lives = |machine: &&Launched| {
            let owner = &machine.owner;
            let launch = self.reservations.get(&owner.operation);
            owner.account == page.account
                && owner.region == page.region
                && millis::from_time(machine.create_time) < before
                && page.after.as_ref().is_none_or(|id| owner.instance > *id)
                && !self.gone.contains_key(&owner.instance)
                && launch.is_some_and(|launch| !launch.open)
        };
        let living = self.instances.values().filter(lives).take(LIVING_PAGE);
        living
            .map(|machine| machine.owner.instance.clone())
            .collect()
    }

    fn went(&self, id: &InstanceId, since: UtcDateTime) -> bool {
        let gone = self.gone.get(id).copied();
        gone.is_some_and(|gone| millis::from_time(gone) < millis::from_time(since))
    }

    fn see(&mut self, presence: &Presence) {
        let mut changed = BTreeSet::new();
        for id in &presence.shown {
            if self.went(id, presence.since) {
                self.gone.remove(id);
                changed.extend(self.instances.get(id).map(|it| it.owner.operation));
            }
        }
        for id in &presence.gone {
            if let Some(machine) = self.instances.get(id) {
                self.gone.entry(id.clone()).or_insert(presence.time);
                changed.insert(machine.owner.operation);
            }
        }
        for operation in changed {
            self.recount(operation);
        }
    }
}
