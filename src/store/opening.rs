//! Opens the journal: keeps others out, makes sure that the database keeps what it is given, brings
//! its tables up to date, finds its keys, and sets space aside.

use crate::chaos;
use crate::store::engine::{self, Dialect, Target};
use crate::store::error::StoreError;
use crate::store::reserve::Reserve;
use crate::store::sealing::Sealing;
use crate::store::{Settings, owners, reservations, schema, sql};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection};
use std::fs::File;
use std::time::Duration;

/// How long a gateway waits for another one that brings the tables up to date. On a big journal that
/// may take minutes; who does it and stops for good loses its locks with its connection.
const MIGRATION_WAIT: Duration = Duration::from_secs(600);

/// What an open journal consists of.
pub(in crate::store) struct Opened {
    pub(in crate::store) dialect: &'static Dialect,
    pub(in crate::store) sealing: Sealing,
    pub(in crate::store) lock: Option<File>,
    pub(in crate::store) reserve: Option<Reserve>,
    /// Of the one connection that writes.
    pub(in crate::store) writers: AnyPool,
    pub(in crate::store) connection: PoolConnection<Any>,
    pub(in crate::store) readers: AnyPool,
    /// Of the one connection that takes slots, when other gateways take some, too.
    pub(in crate::store) budgets: Option<AnyPool>,
    /// Of the one connection that sinks of the audit write down with how far they are, likewise.
    pub(in crate::store) sinks: Option<AnyPool>,
}

/// Opens what the settings name. On a full disk the reserve of an earlier process serves.
///
/// # Errors
/// As [`crate::store::Store::open`].
pub(in crate::store) async fn open(settings: &Settings) -> Result<Opened, StoreError> {
    let target = engine::target(settings)?;
    let lock = chaos::at!("store.lock", target.lock()?, else return Err(StoreError::Closed));
    let mut reserve = target.reserve(settings.reserve_bytes);
    let writers = target.writer_pool(settings);
    let (connection, sealing) = match prepare(&target, settings, &writers).await {
        Err(StoreError::Full { .. }) if reserve.as_mut().is_some_and(Reserve::give_up) => {
            prepare(&target, settings, &writers).await?
        }
        prepared => prepared?,
    };
    let readers = target.reader_pool(settings);
    drop(readers.acquire().await?);
    if let Some(reserve) = &mut reserve {
        reserve.fill().await;
    }
    Ok(Opened {
        dialect: target.dialect(),
        sealing,
        lock,
        reserve,
        writers,
        connection,
        readers,
        budgets: target.budget_pool(settings),
        sinks: target.budget_pool(settings),
    })
}

/// Connects the writer.
async fn prepare(
    target: &Target,
    settings: &Settings,
    writers: &AnyPool,
) -> Result<(PoolConnection<Any>, Sealing), StoreError> {
    target.probe(settings).await?;
    let mut connection = writers.acquire().await?;
    match bring_up(target, settings, &mut connection).await {
        Ok(sealing) => Ok((connection, sealing)),
        Err(error) => {
            let fatal = matches!(error, StoreError::Fatal { .. });
            engine::abandon(connection.detach(), fatal);
            Err(error)
        }
    }
}

/// Checks the database and brings it up to date. What an earlier process left in SQLite's log may be
/// in the system's memory only, when its flush failed: it is written once more, into the database,
/// before anything acts on it. Gateways that start at once wait for the one that makes the tables.
async fn bring_up(
    target: &Target,
    settings: &Settings,
    connection: &mut AnyConnection,
) -> Result<Sealing, StoreError> {
    chaos::around!("store.check", target.check(connection), else Err(StoreError::Closed))?;
    if target.is_sqlite() {
        engine::truncate_log(connection, settings.busy_timeout).await?;
    }
    target.wait_for_locks(connection, MIGRATION_WAIT).await?;
    chaos::around!("store.migrate", schema::migrate(connection), else Err(StoreError::Closed))?;
    let mut transaction = connection.begin_with(target.dialect().begin).await?;
    owners::fill(&mut transaction).await?;
    reservations::fill(&mut transaction).await?;
    let (sealing, sealed) = Sealing::open(&mut transaction, target, settings).await?;
    transaction.commit().await?;
    if sealed > 0 {
        tracing::info!(
            operations = sealed,
            "bodies were sealed with the key that writes"
        );
    }
    if sealed > 0 && target.is_sqlite() {
        // What they were before is in the log, too.
        engine::truncate_log(connection, settings.busy_timeout).await?;
    }
    target
        .wait_for_locks(connection, settings.busy_timeout)
        .await?;
    if target.is_sqlite() {
        sqlx::query(sql::END_LEASES).execute(connection).await?;
    }
    Ok(sealing)
}
