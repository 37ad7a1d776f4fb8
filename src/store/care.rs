//! What a person must see to: accounts whose launches are stopped, and operations that are to go on.

use crate::domain::causes::chain;
use crate::domain::ids::OperationId;
use crate::domain::millis;
use crate::domain::names::AccountName;
use crate::domain::operation::{Operation, StateName};
use crate::store::audit::Entry;
use crate::store::connection::{Connection, Row, query};
use crate::store::database::Database;
use crate::store::engine::Dialect;
use crate::store::error::StoreError;
use crate::store::leasing::Leasing;
use crate::store::row::{self, bigint};
use crate::store::{Claimed, sql};
use std::time::Duration;
use time::UtcDateTime;

/// An account on which nothing new is launched, and the operation for which that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brake {
    pub account: AccountName,
    pub operation: OperationId,
    /// For a person.
    pub reason: String,
}

/// That a person wants an operation to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub operation: OperationId,
    /// Who.
    pub principal: String,
    /// Why.
    pub reason: String,
    pub time: UtcDateTime,
}

/// A row of `brakes` for a snapshot of more machines than were asked for.
pub(in crate::store) fn brake(operation: &Operation) -> Option<String> {
    let launched = u32::try_from(operation.instances.len()).unwrap_or(u32::MAX);
    let asked = operation.instance_count;
    let too_many = operation.state.name() == StateName::NeedsOperator && launched > asked;
    too_many
        .then(|| format!("the cloud launched {launched} instances where {asked} were asked for"))
}

impl Database {
    pub(in crate::store) async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        let rows = query(sql::BRAKES).fetch_all(&self.readers).await?;
        rows.iter().map(brake_of).collect()
    }

    pub(in crate::store) async fn releases(&self) -> Result<Vec<Release>, StoreError> {
        let rows = query(sql::releases::RELEASES)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(release).collect()
    }

    pub(in crate::store) async fn take_released(
        &self,
        release: &Release,
        owner: &str,
        now: UtcDateTime,
        ttl: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        let rows = self
            .lease(Leasing::TakeReleased {
                release: release.clone(),
                owner: owner.to_owned(),
                now: millis::from_time(now),
                ttl: bigint(ttl.as_millis()),
            })
            .await?;
        rows.first().map(row::claimed).transpose()
    }
}

pub(in crate::store) fn brake_of(row: &Row) -> Result<Brake, StoreError> {
    Ok(Brake {
        operation: row::id(row)?,
        account: row::account(row)?,
        reason: row.try_get("reason")?,
    })
}

pub(in crate::store) fn release(row: &Row) -> Result<Release, StoreError> {
    Ok(Release {
        operation: row::id(row)?,
        principal: row.try_get("principal")?,
        reason: row.try_get("reason")?,
        time: row::time(row, "time")?,
    })
}

/// Whether a snapshot is of an operation that waited for a person before, and goes on.
pub(in crate::store) fn goes_on(operation: &Operation) -> bool {
    let waits = |state| state == StateName::NeedsOperator;
    let before = operation.transitions.iter().rev().nth(1);
    before.is_some_and(|before| waits(before.state)) && !waits(operation.state.name())
}

/// Takes over the operation, if that very release is still there: another gateway may have used it up
/// since it was read. The operation is held first, so that what is found then stays so. The release
/// stays until the operation goes on, so that who dies before that has lost nothing.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn take_released(
    connection: &mut Connection,
    dialect: &Dialect,
    (release, owner): (&Release, &str),
    (now, ttl): (i64, i64),
    told: &mut Vec<Entry>,
) -> Result<Vec<Row>, StoreError> {
    let id = release.operation.to_string();
    let held = query(sql::releases::hold(dialect)).bind(id.as_str());
    let held = held.fetch_optional(&mut *connection).await?;
    let asked = query(sql::releases::ASKED_RELEASE)
        .bind(id.as_str())
        .bind(millis::from_time(release.time));
    let asked = asked.fetch_optional(&mut *connection).await?;
    if held.is_none() || asked.is_none() {
        return Ok(Vec::new());
    }
    let taken = query(sql::releases::take_released(dialect))
        .bind(owner)
        .bind(now)
        .bind(ttl)
        .bind(id.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(taken) = taken else {
        query(sql::releases::FORGET_CRASHES)
            .bind(id.as_str())
            .execute(&mut *connection)
            .await?;
        finish_release(connection, release.operation).await?;
        return Ok(Vec::new());
    };
    match row::operation(&taken) {
        Ok(operation) => {
            told.push(Entry::released(&operation, release));
            Ok(vec![taken])
        }
        Err(error) => {
            let error = chain(&error, ": ");
            tracing::error!(error, "an operation cannot be released");
            finish_release(connection, release.operation).await?;
            Ok(Vec::new())
        }
    }
}

/// Uses a release up, and lifts the brake of before.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn finish_release(
    connection: &mut Connection,
    id: OperationId,
) -> Result<(), StoreError> {
    for statement in [sql::releases::FINISH_RELEASE, sql::LIFT_BRAKE] {
        query(statement)
            .bind(id.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Writes the brakes that are not there yet.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn write_brake(
    connection: &mut Connection,
    (id, account): (OperationId, &AccountName),
    reason: &str,
    time: i64,
) -> Result<(), StoreError> {
    query(sql::BRAKE)
        .bind(id.to_string())
        .bind(account.as_str())
        .bind(reason)
        .bind(time)
        .execute(connection)
        .await?;
    Ok(())
}
