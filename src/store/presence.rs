//! Which machines the cloud has: written down where a sweep saw something else than the journal.

use crate::domain::ids::OperationId;
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::names::{AccountName, Region};
use crate::store::connection::{Connection, Row, query};
use crate::store::database::Database;
use crate::store::engine::Dialect;
use crate::store::error::StoreError;
use crate::store::leasing::Leasing;
use crate::store::sql::browse;
use crate::store::{Engine, Store, either, reservations, row, sql};
use std::collections::BTreeSet;
use time::UtcDateTime;

/// Machines that a page of the living ones has.
pub(in crate::store) const LIVING_PAGE: usize = 500;

/// Which machines of one place are wanted: those that live as far as the journal knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingPage {
    pub account: AccountName,
    pub region: Region,
    /// Only those that were named before.
    pub before: UtcDateTime,
    /// Only those after this one, in the order of their ids.
    pub after: Option<InstanceId>,
}

/// What a sweep saw of machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The cloud does not have them any more.
    pub gone: Vec<InstanceId>,
    /// It shows them, so they live, unless they were seen to go after `since`.
    pub shown: Vec<InstanceId>,
    pub since: UtcDateTime,
    /// When that was seen.
    pub time: UtcDateTime,
}

impl Store {
    /// A page of the machines that live as far as the journal knows, of launches that have ended.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn living(&self, page: &LivingPage) -> Result<Vec<InstanceId>, StoreError> {
        either!(self, engine => engine.living(page).await)
    }

    /// Where machines live as far as the journal knows: so many places at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn living_places(
        &self,
        most: usize,
    ) -> Result<Vec<(AccountName, Region)>, StoreError> {
        either!(self, engine => engine.living_places(most).await)
    }

    /// Those of the machines that were seen to be gone before `since`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn thought_gone(
        &self,
        machines: &[InstanceId],
        since: UtcDateTime,
    ) -> Result<Vec<InstanceId>, StoreError> {
        either!(self, engine => engine.thought_gone(machines, since).await)
    }

    /// Writes down which machines a sweep saw to be gone, and which to live.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn see(&self, presence: &Presence) -> Result<(), StoreError> {
        either!(self, engine => engine.see(presence).await)
    }
}

impl Database {
    pub(in crate::store) async fn living(
        &self,
        page: &LivingPage,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let rows = query(sql::LIVING)
            .bind(page.account.as_str())
            .bind(page.region.as_str())
            .bind(millis::from_time(page.before))
            .bind(page.after.as_ref().map_or("", InstanceId::as_str))
            .bind(i64::try_from(LIVING_PAGE).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(row::instance).collect()
    }

    pub(in crate::store) async fn living_places(
        &self,
        most: usize,
    ) -> Result<Vec<(AccountName, Region)>, StoreError> {
        let mut places: Vec<(AccountName, Region)> = Vec::new();
        while places.len() < most {
            let last = places.last();
            let (account, region) = last.map_or(("", ""), |(account, region)| {
                (account.as_str(), region.as_str())
            });
            let beyond = query(browse::LIVING_BEYOND).bind(account).bind(region);
            let Some(row) = beyond.fetch_optional(&self.readers).await? else {
                break;
            };
            let owner = row::owner(&row)?;
            places.push((owner.account, owner.region));
        }
        Ok(places)
    }

    pub(in crate::store) async fn thought_gone(
        &self,
        machines: &[InstanceId],
        since: UtcDateTime,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let mut gone = Vec::new();
        for piece in sql::pieces(machines) {
            let query = query(sql::thought_gone(piece.len()));
            let mut query = query.bind(millis::from_time(since));
            for machine in piece {
                query = query.bind(machine.as_str());
            }
            for row in query.fetch_all(&self.readers).await? {
                gone.push(row::instance(&row)?);
            }
        }
        Ok(gone)
    }

    pub(in crate::store) async fn see(&self, presence: &Presence) -> Result<(), StoreError> {
        self.lease(Leasing::See(presence.clone())).await?;
        Ok(())
    }
}

/// Marks the machines, and counts those of their operations.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn run(
    connection: &mut Connection,
    dialect: &Dialect,
    presence: &Presence,
) -> Result<Vec<Row>, StoreError> {
    let mut changed = BTreeSet::<OperationId>::new();
    for piece in sql::pieces(&presence.shown) {
        let query = query(sql::returned(piece.len()));
        let mut query = query.bind(millis::from_time(presence.since));
        for machine in piece {
            query = query.bind(machine.as_str());
        }
        for row in query.fetch_all(&mut *connection).await? {
            changed.insert(row::id(&row)?);
        }
    }
    let changed: Vec<_> = changed.into_iter().collect();
    reservations::recount(connection, dialect, &changed).await?;
    let gone: Vec<_> = presence.gone.iter().collect();
    let time = millis::from_time(presence.time);
    reservations::settle(connection, dialect, &[], &gone, time).await?;
    Ok(Vec::new())
}
