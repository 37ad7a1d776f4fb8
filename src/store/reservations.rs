//! What launches hold of the limits of their organisation: rows that are written in the transaction
//! of the very launch, and whose sum is what a limit is judged by.

use crate::chaos;
use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::operation::Operation;
use crate::domain::quota::{self, Amounts, Exceeded, MINUTE_MS, Reservation, Usage, Worth};
use crate::store::connection::{Connection, Runner, query};
use crate::store::database::Database;
use crate::store::engine::Dialect;
use crate::store::error::StoreError;
use crate::store::row::{self, Admit};
use crate::store::{Engine, Store, either, owners, sql};
use sqlx::SqlStr;
use std::collections::{BTreeMap, BTreeSet};
use time::UtcDateTime;

/// A new row of `reservations`, or what it becomes.
pub(in crate::store) struct Held {
    pub(in crate::store) operation: OperationId,
    pub(in crate::store) organization: OrganizationId,
    pub(in crate::store) reservation: Reservation,
}

impl Held {
    /// Of a launch as it stands.
    pub(in crate::store) fn of(operation: &Operation) -> Option<Self> {
        Some(Self {
            operation: operation.id,
            organization: operation.organization.clone(),
            reservation: Reservation::of(operation)?,
        })
    }

    /// Of a launch that has come to its end.
    pub(in crate::store) fn ended(operation: &Operation) -> Option<Self> {
        let held = Self::of(operation).filter(|held| !held.reservation.open);
        chaos::wrong!("reservation-kept", held, None)
    }
}

impl Store {
    /// What the launches of an organisation hold of its limits.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn usage(
        &self,
        organization: &OrganizationId,
        now: UtcDateTime,
    ) -> Result<Usage, StoreError> {
        let now = millis::from_time(now);
        either!(self, engine => engine.usage(organization, now).await)
    }
}

impl Database {
    pub(in crate::store) async fn usage(
        &self,
        organization: &OrganizationId,
        now: i64,
    ) -> Result<Usage, StoreError> {
        usage(&self.readers, organization, now).await
    }
}

/// Judges new launches, one after the other, by what is held and what those before them take: for
/// each the limits that it would go over. What is known already is not judged again.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn judge(
    connection: &mut Connection,
    dialect: &Dialect,
    rows: &[&Admit],
) -> Result<Vec<Vec<Exceeded>>, StoreError> {
    let mut verdicts = vec![Vec::new(); rows.len()];
    let limited = || rows.iter().filter(|row| !row.quotas.is_empty());
    let mut usages = BTreeMap::new();
    for row in limited() {
        usages.insert(&row.operation.organization, Usage::default());
    }
    if usages.is_empty() {
        return Ok(verdicts);
    }
    // In their order, so that two gateways never wait for each other.
    let shared = chaos::wrong!("limit-judged-early", dialect.notifies, false);
    for organization in usages.keys().filter(|_| shared) {
        let turn = query(sql::QUOTA_TURN).bind(organization.as_str());
        turn.execute(&mut *connection).await?;
    }
    let mut known = requested(connection, &limited().copied().collect::<Vec<_>>()).await?;
    for (organization, used) in &mut usages {
        let own = limited().filter(|row| row.operation.organization == **organization);
        // As of when launches are dated, which is not always when leases are given.
        let dated = own.map(|row| millis::from_time(row.operation.create_time));
        let since = dated.min().unwrap_or_default();
        *used = usage(&mut *connection, organization, since).await?;
    }
    for (row, verdict) in rows.iter().zip(&mut verdicts) {
        let Some(used) = usages.get_mut(&row.operation.organization) else {
            continue;
        };
        let request = request(row);
        let Some(held) = row.held.as_ref().filter(|_| !known.contains(&request)) else {
            continue;
        };
        let exceeded = used.exceeded(&row.quotas, &held.reservation);
        *verdict = chaos::wrong!("limit-ignored", exceeded, Vec::new());
        if verdict.is_empty() {
            chaos::wrong!("limit-judged-early", used.add(&held.reservation), ());
            known.insert(request);
        }
    }
    Ok(verdicts)
}

fn request(row: &Admit) -> (String, String) {
    let operation = &row.operation;
    let organization = operation.organization.as_str().to_owned();
    (organization, operation.request_id.as_str().to_owned())
}

async fn requested(
    connection: &mut Connection,
    rows: &[&Admit],
) -> Result<BTreeSet<(String, String)>, StoreError> {
    let mut known = BTreeSet::new();
    for piece in sql::pieces(rows) {
        let mut query = query(sql::requested(piece.len()));
        for row in piece {
            let operation = &row.operation;
            query = query
                .bind(operation.organization.as_str())
                .bind(operation.request_id.as_str());
        }
        for row in query.fetch_all(&mut *connection).await? {
            known.insert((row.try_get("organization")?, row.try_get("request_id")?));
        }
    }
    Ok(known)
}

/// What is used in an organisation at `now`, in milliseconds.
async fn usage(
    on: impl Into<Runner<'_>>,
    organization: &OrganizationId,
    now: i64,
) -> Result<Usage, StoreError> {
    let (mut usage, mut runner) = (Usage::default(), on.into());
    let held = query(sql::HELD).bind(organization.as_str());
    let held = held.fetch_all(runner.again());
    for row in chaos::around!("store.usage", held, else Err(sqlx::Error::WorkerCrashed))? {
        let (account, principal): (&str, &str) =
            (row.try_get("account")?, row.try_get("principal")?);
        let amounts = Amounts {
            instances: row.try_get("instances")?,
            operations: row.try_get("operations")?,
            worth: Worth {
                vcpu: row.try_get("vcpu")?,
                gpu: row.try_get("gpu")?,
                hourly: row.try_get("hourly")?,
                monthly: row.try_get("monthly")?,
            },
        };
        usage.hold(account, principal, &amounts);
    }
    // A second counts until its end is a minute past.
    let since = now.saturating_sub(MINUTE_MS + 1000);
    let launches = query(sql::LAUNCHES).bind(organization.as_str()).bind(since);
    for row in launches.fetch_all(runner).await? {
        let (account, principal): (&str, &str) =
            (row.try_get("account")?, row.try_get("principal")?);
        let (second, launches) = (row.try_get("second")?, row.try_get("launches")?);
        usage.launched(account, principal, second, launches);
    }
    Ok(usage)
}

/// Writes what launches hold; of one that has ended, that its machines are to be counted.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn write(
    connection: &mut Connection,
    rows: &[&Held],
) -> Result<(), StoreError> {
    for piece in sql::pieces(rows) {
        let mut query = query(sql::reserve(piece.len()));
        for held in piece {
            let reservation = &held.reservation;
            query = query
                .bind(held.operation.to_string())
                .bind(held.organization.as_str())
                .bind(reservation.account.as_str())
                .bind(reservation.principal.as_str())
                .bind(reservation.time)
                .bind(i64::from(reservation.open))
                .bind(reservation.instances)
                .bind(reservation.each.vcpu)
                .bind(reservation.each.gpu)
                .bind(reservation.each.hourly)
                .bind(reservation.each.monthly);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Writes that launches have ended and that machines are gone, at `now`, and counts what is left.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn settle(
    connection: &mut Connection,
    dialect: &Dialect,
    ended: &[&Held],
    gone: &[&InstanceId],
    now: i64,
) -> Result<(), StoreError> {
    // In one order, so that two gateways never wait for each other.
    let (mut ended, mut gone) = (ended.to_vec(), gone.to_vec());
    ended.sort_by_key(|held| held.operation);
    gone.sort();
    write(connection, &ended).await?;
    let mut changed: BTreeSet<OperationId> = ended.iter().map(|held| held.operation).collect();
    for piece in sql::pieces(&gone) {
        let mut query = query(sql::gone(piece.len())).bind(now.max(1));
        for machine in piece {
            query = query.bind(machine.as_str());
        }
        for row in query.fetch_all(&mut *connection).await? {
            changed.insert(row::id(&row)?);
        }
    }
    let changed: Vec<_> = changed.into_iter().collect();
    recount(connection, dialect, &changed).await
}

/// Counts the machines of those of the operations that have come to an end. Another gateway may be
/// about to: PostgreSQL lets a statement that waits for it change what it wrote, but count what was
/// there before. So the wait is one statement, and the count the next.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn recount(
    connection: &mut Connection,
    dialect: &Dialect,
    operations: &[OperationId],
) -> Result<(), StoreError> {
    let texts: &[fn(usize) -> SqlStr] = if dialect.counts_stale {
        &[sql::hold_counts, sql::recount]
    } else {
        &[sql::recount]
    };
    for text in texts {
        for piece in sql::pieces(operations) {
            let mut query = query(text(piece.len()));
            for operation in piece {
                query = query.bind(operation.to_string());
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Writes the rows of the operations that are older than the table, once in a journal's life. The
/// operations that gave machines back are younger than those that launched them, so they come later.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn fill(
    connection: &mut Connection,
    dialect: &Dialect,
) -> Result<(), StoreError> {
    if !owners::takes_chore(connection, "reservations").await? {
        return Ok(());
    }
    let mut after = String::new();
    while let Some((operations, last)) = owners::page(connection, &after).await? {
        after = last;
        let held: Vec<_> = operations.iter().filter_map(Held::of).collect();
        let (open, ended): (Vec<_>, Vec<_>) = held.iter().partition(|held| held.reservation.open);
        let gone: Vec<_> = operations.iter().flat_map(quota::gone).collect();
        let times = operations.iter().map(|operation| operation.update_time);
        write(connection, &open).await?;
        settle(
            connection,
            dialect,
            &ended,
            &gone,
            times.max().map_or(1, millis::from_time),
        )
        .await?;
    }
    Ok(())
}
