//! Leases: which operations are this process's to step, and until when.

use super::Inner;
use super::machine::Outcome;
use crate::chaos;
use crate::domain::causes::chain;
use crate::domain::ids::OperationId;
use crate::domain::millis::since;
use crate::domain::operation::{Cancellation, Lease};
use crate::store::{Claimed, Order, StoreError};
use std::ops::RangeInclusive;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;

/// Operations taken up with one statement.
const CLAIM: u32 = 500;
/// Claims of one operation after it counts as crashed too often: whoever is first to write that
/// down parks it. More than one, for the process may die before it has.
const PARKINGS: u32 = 3;
/// Between two operations that are suspected to end the process, so that each is alone with the
/// blame.
const SUSPECT_INTERVAL: Duration = Duration::from_millis(100);
/// Orders that are looked at in one go.
const ORDERS: u32 = 1000;
/// What must be left of a lease for a call to begin: more than a slow journal write takes.
const MARGIN: Duration = Duration::from_secs(10);

impl Inner {
    /// Keeps this process's leases and takes up what nobody holds until the gateway stops; then renews once more,
    /// so that they outlast the drain. The two do not wait for each other: to take up a backlog may take longer
    /// than a lease lasts.
    pub(super) async fn keep_leases(self: Arc<Self>) {
        tokio::join!(self.keep_renewing(), self.keep_claiming());
        let renewed = chaos::around!("lease.last", self.renew(), else Err(StoreError::Busy));
        self.told_of(renewed);
    }

    /// Renews three times in a lease's life.
    async fn keep_renewing(&self) {
        while !self.stop.is_cancelled() {
            self.pause(self.wall.now() + self.settings.lease / 3).await;
            if !self.stop.is_cancelled() {
                self.renew_now().await;
            }
        }
    }

    async fn renew_now(&self) {
        let renewed = chaos::around!("lease.renew", self.renew(), else Err(StoreError::Busy));
        self.told_of(renewed);
    }

    /// Takes up what nobody holds, and what was ordered and released, as often.
    async fn keep_claiming(&self) {
        while !self.stop.is_cancelled() {
            let claimed = self.claim_and_hear().await;
            self.told_of(claimed);
            let next = self.wall.now() + self.settings.lease / 3;
            while self.wall.now() < next && self.claim_suspect().await {
                self.pause(self.wall.now() + SUSPECT_INTERVAL).await;
            }
            self.pause(next).await;
        }
    }

    /// Returns at that time, or when the gateway stops.
    async fn pause(&self, until: UtcDateTime) {
        tokio::select! {
            biased;
            () = self.wall.sleep_until(until) => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn claim_and_hear(&self) -> Result<(), StoreError> {
        chaos::around!("lease.brakes", self.read_brakes(), else Err(StoreError::Busy))?;
        self.give_back_unheard().await?;
        chaos::around!("lease.claim", self.claim_all(), else Err(StoreError::Busy))?;
        chaos::around!("lease.orders", self.take_orders(), else Err(StoreError::Busy))?;
        self.release_all().await
    }

    /// Takes in which operations in hand are not wanted any more, as perhaps another replica was told.
    async fn take_orders(&self) -> Result<(), StoreError> {
        for order in self.store.orders(ORDERS).await? {
            self.take_order(order).await?;
        }
        Ok(())
    }

    async fn take_order(&self, order: Order) -> Result<(), StoreError> {
        let id = order.operation;
        match self.table.get(id) {
            Some((_, operation)) if operation.cancellation.is_some() => {
                let fulfilled = self.store.fulfilled(id);
                chaos::around!("cancel.fulfilled", fulfilled, else Err(StoreError::Busy))?;
            }
            Some(_) => {
                let cancellation = Cancellation {
                    principal: order.principal,
                    time: order.time,
                };
                chaos::at!("cancel.take", self.take_cancellation(id, cancellation), else return Err(StoreError::Busy));
            }
            None => {} // another replica has it in hand, or it has come to an end
        }
        Ok(())
    }

    fn told_of(&self, kept: Result<(), StoreError>) {
        if let Err(error) = kept {
            tracing::warn!(
                error = chain(&error, ": "),
                "leases could not be renewed, claimed or given back"
            );
            if let StoreError::Fatal { .. } = error {
                self.fail(&error);
            }
        }
    }

    /// Whether a lease on an operation in hand will last for a call.
    pub(super) fn lease_lasts(&self, lease: Lease) -> bool {
        let until = self.table.leased_until(lease);
        until.is_some_and(|until| self.lasts(until))
    }

    fn lasts(&self, until: UtcDateTime) -> bool {
        let margin = MARGIN.min(self.settings.lease / 3);
        since(until, self.wall.now()) > margin
    }

    async fn renew(&self) -> Result<(), StoreError> {
        // Read before the write, so that a slow write makes the lease shorter, never longer.
        let now = self.wall.now();
        let held = self.table.ids();
        let renewal = self
            .store
            .renew(&self.owner, &held, now, self.settings.lease)
            .await?;
        self.table
            .prolong(&renewal.prolonged, now + self.settings.lease);
        for id in &renewal.lost {
            if let Some((lease, _)) = self.table.get(*id) {
                tracing::warn!(operation = %id, "another process owns operation {id} by now");
                self.table.let_go(lease);
            }
        }
        let locked = held.len() - renewal.prolonged.len() - renewal.lost.len();
        if locked > 0 {
            tracing::warn!(
                operations = locked,
                "leases were not prolonged, because another transaction holds them; it is tried again"
            );
        }
        Ok(())
    }

    /// Prolongs what is about to run out, as after an outage of the journal or a leap of the clock: else it
    /// would be claimed from this very process, beside a step of it.
    async fn keep_what_is_held(&self) -> Result<(), StoreError> {
        match self.table.all_leased_until() {
            Some(until) if !self.lasts(until) => self.renew().await,
            Some(_) | None => Ok(()),
        }
    }

    /// Passes on what the journal answered to a write that gives leases. An error may hide that it
    /// gave them.
    pub(super) fn heard<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if answer.is_err() {
            *self.unheard_until() = self.wall.now() + self.settings.lease;
        }
        answer
    }

    /// Ends the leases that this process was given without hearing of it: nothing was done under
    /// them, and they would count as crashes once they ran out. One that is fresh is left alone: its
    /// answer may be on its way.
    async fn give_back_unheard(&self) -> Result<(), StoreError> {
        let now = self.wall.now();
        if now > *self.unheard_until() {
            return Ok(());
        }
        let (held, old) = (self.table.ids(), self.settings.lease * 5 / 6);
        let released = self.store.release(&self.owner, &held, now, old);
        let released = chaos::around!("lease.give_back", released, else Err(StoreError::Busy))?;
        if released > 0 {
            tracing::warn!(released, "gave leases back that the journal never told of");
        }
        Ok(())
    }

    fn unheard_until(&self) -> MutexGuard<'_, UtcDateTime> {
        self.unheard_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn claim_all(&self) -> Result<(), StoreError> {
        // Not until there are fewer than asked for: those that cannot be read are left out.
        while self.claim().await? > 0 {}
        Ok(())
    }

    /// Takes up operations that nobody holds; how many.
    pub(super) async fn claim(&self) -> Result<u32, StoreError> {
        let (leased_until, claimed) = self.claim_some(0..=self.unsuspected(), CLAIM).await?;
        let count = u32::try_from(claimed.len()).unwrap_or(CLAIM);
        self.take_up(claimed, leased_until).await?;
        Ok(count)
    }

    /// Claims up to `limit` operations that then have one of these numbers of crashes; until when they are
    /// surely leased, and which they are.
    async fn claim_some(
        &self,
        crashes: RangeInclusive<u32>,
        limit: u32,
    ) -> Result<(UtcDateTime, Vec<Claimed>), StoreError> {
        self.keep_what_is_held().await?;
        let (now, lease) = (self.wall.now(), self.settings.lease);
        let claimed = self.store.claim(&self.owner, now, lease, crashes, limit);
        Ok((now + lease, self.heard(claimed.await)?))
    }

    /// Takes operations in hand.
    async fn take_up(
        &self,
        claimed: Vec<Claimed>,
        leased_until: UtcDateTime,
    ) -> Result<(), StoreError> {
        if claimed.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = claimed
            .iter()
            .map(|claimed| claimed.lease.operation)
            .collect();
        for claimed in claimed {
            self.hold(claimed, leased_until);
        }
        self.begin_steps(&ids).await
    }

    /// Has operations stepped that were just taken in hand. What was ordered while nobody had them
    /// comes before the first step, or a launch could succeed whose caller was told that it is cancelled.
    pub(super) async fn begin_steps(&self, ids: &[OperationId]) -> Result<(), StoreError> {
        let taken = self.take_orders().await;
        // If they cannot be read now, the next renewal does it.
        let later = if taken.is_ok() {
            Duration::ZERO
        } else {
            self.settings.lease / 2
        };
        let now = self.clock.now();
        for id in ids {
            self.due.push(now + later, *id);
        }
        taken
    }

    fn hold(&self, claimed: Claimed, leased_until: UtcDateTime) {
        let Claimed {
            lease,
            operation,
            crashes,
        } = claimed;
        tracing::info!(
            operation = %operation.id, request_id = %operation.request_id, epoch = lease.epoch,
            state = operation.state.name().as_str(), crashes, "operation {} taken up", operation.id
        );
        self.polled.remove(operation.id);
        chaos::at!("lease.hold", self.table.hold(lease, leased_until, Arc::new(operation)), else ());
        self.table.suspect(lease, crashes);
    }

    /// Crashes up to which operations are stepped side by side. One more could be the last, so that
    /// from then on each is stepped alone: a process that dies for another reason, again and again,
    /// must not park everything that it has in hand.
    pub(super) fn unsuspected(&self) -> u32 {
        self.settings.crashes_max.saturating_sub(2)
    }

    /// Takes up one operation that the last processes died with, or parks it when there were too
    /// many of them; whether there was one.
    async fn claim_suspect(&self) -> bool {
        let first = self.unsuspected() + 1;
        let last = self.settings.crashes_max.saturating_add(PARKINGS);
        let (leased_until, claimed) = match self.claim_some(first..=last, 1).await {
            Ok(claimed) => claimed,
            Err(error) => {
                self.told_of(Err(error));
                return false;
            }
        };
        let Some(claimed) = claimed.into_iter().next() else {
            return false;
        };
        if claimed.crashes >= self.settings.crashes_max {
            self.park(claimed, leased_until).await;
        } else {
            let taken = self.take_up(vec![claimed], leased_until).await;
            self.told_of(taken);
        }
        true
    }

    /// Leaves an operation to a person: each of the last processes died with it in hand.
    async fn park(&self, claimed: Claimed, leased_until: UtcDateTime) {
        let Claimed {
            lease,
            operation,
            crashes,
        } = claimed;
        let why = format!(
            "parked after {crashes} crashes: each time the process ended before it completed a step; \
             look at the logs, and release the operation once the cause is mended"
        );
        tracing::error!(operation = %operation.id, crashes, "operation {} is parked", operation.id);
        self.table
            .hold(lease, leased_until, Arc::new(operation.clone()));
        let parked = self.record(lease, &operation, Outcome::Stuck { why }).await;
        match parked {
            Some(parked) => self.came_to_rest(&parked),
            None => self.table.let_go(lease),
        }
    }

    /// Tells the journal that a step was completed, if it counts crashes of the operation.
    pub(super) async fn calm(&self, lease: Lease) {
        if self.table.crashes(lease) == 0 {
            return;
        }
        let leases = [lease];
        let calmed = self.store.calm(&leases);
        match chaos::around!("lease.calm", calmed, else Err(StoreError::Busy)) {
            Ok(()) => self.table.clear(lease),
            Err(error) => self.told_of(Err(error)),
        }
    }
}
