//! Work on leases and orders: what a process may step, and what it was told or found beside that.

use crate::chaos;
use crate::domain::audit::Call;
use crate::domain::decision::Decision;
use crate::domain::ids::OperationId;
use crate::domain::millis;
use crate::domain::operation::Lease;
use crate::store::adoption::Adoption;
use crate::store::audit::Entry;
use crate::store::care::Release;
use crate::store::connection::{Connection, Row, query};
use crate::store::engine::Dialect;
use crate::store::error::StoreError;
use crate::store::follow::{self, Delivered};
use crate::store::keyring::Keyring;
use crate::store::orders::Order;
use crate::store::presence::{self, Presence};
use crate::store::{adoption, care, row, sealing, sql};
use sqlx::SqlStr;
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// The least that a lease may last without being taken for one of a clock that was set back: the most that
/// `operations.lease` may be. Gateways of one journal may differ in it, for as long as a change takes to reach all.
const LONGEST_LEASE_MIN: i64 = 5 * 60 * 1000;

/// For how long a lease may last that is no relic of a clock that was set back, for who gives leases of
/// `ttl`. Live owners have renewed theirs by then, or lose them as they do by a clock that is set forward.
pub(in crate::store) fn longest(ttl: i64) -> i64 {
    ttl.saturating_mul(2).max(LONGEST_LEASE_MIN)
}

/// What is asked for. Times and durations are in milliseconds.
pub(in crate::store) enum Leasing {
    /// Gives `id`, `lease_epoch`, `crashes` and `document`.
    Claim {
        owner: String,
        now: i64,
        ttl: i64,
        crashes: RangeInclusive<u32>,
        limit: i64,
    },
    /// Gives what a claim gives, of the one operation.
    TakeReleased {
        release: Release,
        owner: String,
        now: i64,
        ttl: i64,
    },
    /// Gives the `id`s of those that had crashed.
    Calm(Vec<Lease>),
    /// Gives the `id`s of those that count a crash less.
    Unread(Vec<Lease>),
    /// Gives `id` and `lease` of those that are still the owner's: whether it is prolonged. What another
    /// transaction has locked is not, and nothing waits for it.
    Renew {
        owner: String,
        held: Vec<String>,
        now: i64,
        ttl: i64,
    },
    /// Gives the `id`s.
    Release {
        owner: String,
        held: HashSet<OperationId>,
        now: i64,
        within: i64,
    },
    /// Gives the `id`, unless it was ordered before.
    Order(Box<(Order, (Call, Decision))>),
    /// Gives nothing.
    Tell(Vec<Entry>),
    /// Gives nothing.
    Delivered(Delivered),
    /// Gives the `id`s of the orders that are taken away.
    Fulfilled(OperationId),
    /// Gives the new rows of `instances`.
    Adopt(Adoption),
    /// Gives nothing.
    See(Presence),
    /// Gives the `id`s of those whose bodies were sealed anew.
    SealAnew(Keyring, Vec<OperationId>),
    /// Only finds out whether the disk takes writes.
    Probe,
}

impl Leasing {
    /// Rows that it may write and that are none of those it gives.
    pub(in crate::store) fn untold(&self) -> usize {
        match self {
            Self::Tell(entries) => entries.len(),
            Self::See(presence) => presence.gone.len() + presence.shown.len(),
            Self::SealAnew(_, ids) => ids.len(),
            Self::Claim { .. }
            | Self::TakeReleased { .. }
            | Self::Calm(_)
            | Self::Unread(_)
            | Self::Renew { .. }
            | Self::Release { .. }
            | Self::Order(_)
            | Self::Delivered(_)
            | Self::Fulfilled(_)
            | Self::Adopt(_)
            | Self::Probe => 0,
        }
    }
}

/// Does it, and gives the rows that the wish promises; `told` gets what the audit is told of it.
///
/// # Errors
/// That of the first statement which fails.
pub(in crate::store) async fn run(
    connection: &mut Connection,
    dialect: &Dialect,
    leasing: &Leasing,
    told: &mut Vec<Entry>,
) -> Result<Vec<Row>, StoreError> {
    match leasing {
        Leasing::Claim {
            owner,
            now,
            ttl,
            crashes,
            limit,
        } => {
            let which = (owner.as_str(), crashes, *limit);
            claim(connection, dialect, which, (*now, *ttl)).await
        }
        Leasing::Renew {
            owner,
            held,
            now,
            ttl,
        } => {
            let mut rows = Vec::with_capacity(held.len());
            for piece in sql::pieces(held) {
                let text = sql::renew(dialect, piece.len());
                let mut renewed = renew(connection, text, (owner, piece), (*now, *ttl)).await?;
                if renewed.len() < piece.len() {
                    rows.extend(kept(connection, (owner, piece), &renewed).await?);
                }
                rows.append(&mut renewed);
            }
            Ok(rows)
        }
        Leasing::TakeReleased {
            release,
            owner,
            now,
            ttl,
        } => care::take_released(connection, dialect, (release, owner), (*now, *ttl), told).await,
        Leasing::Calm(leases) => each(connection, sql::CALM, leases).await,
        Leasing::Unread(leases) => each(connection, sql::UNREAD, leases).await,
        Leasing::Release {
            owner,
            held,
            now,
            within,
        } => {
            let released = release(connection, dialect, (owner, held), (*now, *within));
            chaos::around!("store.release", released, else Err(sqlx::Error::WorkerCrashed.into()))
        }
        Leasing::Order(order) => self::order(connection, dialect, order, told).await,
        Leasing::Delivered(delivered) => {
            follow::write(connection, delivered).await?;
            Ok(Vec::new())
        }
        Leasing::Tell(entries) => {
            told.extend(entries.iter().cloned());
            Ok(Vec::new())
        }
        Leasing::Fulfilled(operation) => {
            let fulfilled = query(sql::orders::FULFILLED).bind(operation.to_string());
            Ok(fulfilled.fetch_all(connection).await?)
        }
        Leasing::Adopt(adoption) => adoption::run(connection, dialect, adoption, told).await,
        Leasing::See(presence) => presence::run(connection, dialect, presence).await,
        Leasing::SealAnew(keyring, ids) => sealing::seal_anew(connection, keyring, ids).await,
        Leasing::Probe => Ok(query(sql::PROBE).fetch_all(connection).await?),
    }
}

/// Writes an order down, unless it is there already. What takes room for nothing goes first: the new
/// one stays, or a repetition after a lost commit would tell of it twice.
async fn order(
    connection: &mut Connection,
    dialect: &Dialect,
    (order, (asked, decision)): &(Order, (Call, Decision)),
    told: &mut Vec<Entry>,
) -> Result<Vec<Row>, StoreError> {
    let forget = query(sql::orders::forget(dialect));
    forget.execute(&mut *connection).await?;
    let id = order.operation.to_string();
    let ordered = query(sql::orders::ORDER)
        .bind(id.as_str())
        .bind(order.principal.as_str())
        .bind(millis::from_time(order.time));
    let ordered = ordered.fetch_all(&mut *connection).await?;
    if !ordered.is_empty() {
        let known = query(sql::known(1)).bind(id);
        let operation = row::operation(&known.fetch_one(connection).await?)?;
        told.push(Entry::ordered(&operation, order, (asked, decision)));
    }
    Ok(ordered)
}

/// Gives the owner what nobody steps, as much of it as that, from a time on, for so long.
async fn claim(
    connection: &mut Connection,
    dialect: &Dialect,
    (owner, crashes, limit): (&str, &RangeInclusive<u32>, i64),
    (now, ttl): (i64, i64),
) -> Result<Vec<Row>, StoreError> {
    let (first, last) = (i64::from(*crashes.start()), i64::from(*crashes.end()));
    let claim = query(sql::claim(dialect))
        .bind(now)
        .bind(first)
        .bind(last)
        .bind(limit)
        .bind(now)
        .bind(longest(ttl))
        .bind(first)
        .bind(last)
        .bind(limit)
        .bind(owner)
        .bind(now)
        .bind(ttl)
        .bind(limit);
    chaos::around!("store.claim", claim.fetch_all(connection), else Err(sqlx::Error::WorkerCrashed))
        .map_err(StoreError::from)
}

/// Prolongs what the owner holds and still has, from a time on, for so long; the rows of those.
async fn renew(
    connection: &mut Connection,
    text: SqlStr,
    (owner, held): (&str, &[String]),
    (now, ttl): (i64, i64),
) -> Result<Vec<Row>, StoreError> {
    let mut renew = query(text).bind(now).bind(ttl).bind(owner);
    for id in held {
        renew = renew.bind(id.as_str());
    }
    let rows = renew.fetch_all(connection);
    chaos::around!("store.renew", rows, else Err(sqlx::Error::WorkerCrashed))
        .map_err(StoreError::from)
}

/// What the owner holds and still has although it could not be prolonged now: a write of its own that was given
/// up may have it locked.
async fn kept(
    connection: &mut Connection,
    (owner, held): (&str, &[String]),
    renewed: &[Row],
) -> Result<Vec<Row>, StoreError> {
    let mut own = query(sql::kept(held.len())).bind(owner);
    for id in held {
        own = own.bind(id.as_str());
    }
    let renewed = renewed.iter().map(row::id);
    let renewed = renewed.collect::<Result<HashSet<_>, _>>()?;
    let mut kept = own.fetch_all(connection).await?;
    kept.retain(|row| row::id(row).is_ok_and(|id| !renewed.contains(&id)));
    Ok(kept)
}

/// Ends the leases that the owner has, that run out so soon after a time, and whose operations it
/// does not hold; the rows of those.
async fn release(
    connection: &mut Connection,
    dialect: &Dialect,
    (owner, held): (&str, &HashSet<OperationId>),
    (now, within): (i64, i64),
) -> Result<Vec<Row>, StoreError> {
    let owned = query(sql::owned(dialect))
        .bind(owner)
        .bind(now)
        .bind(within);
    let mut unheld = Vec::new();
    for row in owned.fetch_all(&mut *connection).await? {
        // What cannot be read runs out by itself, and must keep no other.
        if let Some(id) = row::id(&row).ok().filter(|id| !held.contains(id)) {
            unheld.push(id.to_string());
        }
    }
    let mut released = Vec::with_capacity(unheld.len());
    for piece in sql::pieces(&unheld) {
        let mut release = query(sql::release(piece.len())).bind(owner);
        for id in piece {
            release = release.bind(id.as_str());
        }
        released.extend(release.fetch_all(&mut *connection).await?);
    }
    Ok(released)
}

/// Runs a statement for each lease; the rows that it gives.
async fn each(
    connection: &mut Connection,
    sql: &'static str,
    leases: &[Lease],
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for lease in leases {
        let one = query(sql)
            .bind(lease.operation.to_string())
            .bind(row::bigint(lease.epoch));
        rows.extend(one.fetch_all(&mut *connection).await?);
    }
    Ok(rows)
}
