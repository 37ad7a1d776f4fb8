//! Takes stock: which of the machines that the journal has living in a place the cloud no longer has,
//! and which it shows although they were thought to be gone.

use super::Inner;
use crate::cloud::{Tagged, Target};
use crate::domain::instance::InstanceId;
use crate::domain::millis::since;
use crate::domain::quota::leaves;
use crate::operations::poller::splits;
use crate::store::{LivingPage, Presence, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use time::UtcDateTime;

/// Machines that are asked for by their ids in one sweep of a place; the next one goes on from there.
const ABSENT_MAX: usize = 1000;

/// What is remembered of one place.
#[derive(Default)]
pub(super) struct Absences {
    /// The machines that the cloud did not show, since when: no more than are asked for at once.
    since: BTreeMap<InstanceId, UtcDateTime>,
    /// The last machine that was come to, when there were more than are asked for at once.
    last: Option<InstanceId>,
}

impl Inner {
    /// Holds the journal against a list that was begun at `started`. What is not in it is asked for
    /// by its id, for a tag can be taken off; it is gone when the cloud leaves it out twice, a grace
    /// apart.
    pub(super) async fn take_stock(
        self: &Arc<Self>,
        place: &Target,
        listed: &[Tagged],
        started: UtcDateTime,
        absences: &mut Absences,
    ) -> Result<(), StoreError> {
        let shown = listed.iter().filter(|machine| !leaves(&machine.state));
        let shown: BTreeSet<_> = shown.map(|machine| machine.id.clone()).collect();
        absences.since.retain(|id, _| !shown.contains(id));
        let unlisted = self.unlisted(place, &shown, started, absences).await?;
        let absent = self.absent(place, unlisted).await;
        absences.since.retain(|id, _| absent.contains(id));
        let grace = self.settings.sweep.grace;
        let gone = absent.into_iter().filter(|id| {
            let first = absences.since.entry(id.clone()).or_insert(started);
            since(started, *first) >= grace
        });
        let gone: Vec<_> = gone.collect();
        // What was seen to go after the list was begun may be in it.
        let before = started - grace;
        let shown: Vec<_> = shown.into_iter().collect();
        let shown = self.store.thought_gone(&shown, before).await?;
        if gone.is_empty() && shown.is_empty() {
            return Ok(());
        }
        tracing::info!(account = %place.account, region = %place.region,
            gone = gone.len(), returned = shown.len(), "machines came or went without the gateway");
        let presence = Presence {
            gone,
            shown,
            since: before,
            time: started,
        };
        self.store.see(&presence).await?;
        // Nobody asks for them any more.
        let gone: BTreeSet<_> = presence.gone.iter().collect();
        absences.since.retain(|id, _| !gone.contains(id));
        self.polled.acquit(presence.gone.iter());
        Ok(())
    }

    /// What lives as far as the journal knows, and was not listed: what was absent before, and then
    /// the next ones after those that were asked for last.
    async fn unlisted(
        &self,
        place: &Target,
        shown: &BTreeSet<InstanceId>,
        started: UtcDateTime,
        absences: &mut Absences,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let mut unlisted: Vec<_> = absences.since.keys().cloned().collect();
        let mut page = LivingPage {
            account: place.account.clone(),
            region: place.region.clone(),
            before: started,
            after: absences.last.clone(),
        };
        while unlisted.len() < ABSENT_MAX {
            let living = self.store.living(&page).await?;
            if living.is_empty() {
                page.after = None; // that was the end
                break;
            }
            for id in living {
                if unlisted.len() == ABSENT_MAX {
                    break;
                }
                page.after = Some(id.clone());
                if !shown.contains(&id) && !absences.since.contains_key(&id) {
                    unlisted.push(id);
                }
            }
        }
        absences.last = page.after;
        Ok(unlisted)
    }

    /// Those that the cloud does not show either when it is asked for them, or shows leaving or failed.
    async fn absent(
        self: &Arc<Self>,
        place: &Target,
        unlisted: Vec<InstanceId>,
    ) -> BTreeSet<InstanceId> {
        let place = Arc::new(place.clone());
        let answers = self.states(&place, unlisted, &splits()).await.into_iter();
        let absent = answers.filter(|(_, state)| state.as_ref().is_none_or(leaves));
        absent.map(|(id, _)| id).collect()
    }
}
