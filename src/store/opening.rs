//! Opens the journal: keeps others out, makes sure that the database keeps what it is given, brings
//! its tables up to date, finds its keys, and sets space aside.

use crate::chaos;
use crate::clock::Clock;
use crate::domain::ids::OperationId;
use crate::store::connection::{Connection, query};
use crate::store::engine::{self, Dialect, Target, Writers};
use crate::store::error::StoreError;
use crate::store::pool::Pool;
use crate::store::renewal::PIECE;
use crate::store::reserve::Reserve;
use crate::store::sealing::{self, Sealing};
use crate::store::{Settings, owners, reservations, schema, sql};
use sqlx::AnyConnection;
use std::fs::File;

/// What an open journal consists of.
pub(in crate::store) struct Opened {
    pub(in crate::store) dialect: &'static Dialect,
    pub(in crate::store) sealing: Sealing,
    pub(in crate::store) lock: Option<File>,
    pub(in crate::store) reserve: Option<Reserve>,
    /// Of the one connection that writes.
    pub(in crate::store) writers: Writers,
    pub(in crate::store) connection: Connection,
    pub(in crate::store) readers: Pool,
    /// Of the one connection that takes slots, when other gateways take some, too.
    pub(in crate::store) budgets: Option<Pool>,
    /// Of the one connection that sinks of the audit write down with how far they are, likewise.
    pub(in crate::store) sinks: Option<Pool>,
}

/// Opens what the settings name. On a full disk the reserve of an earlier process serves.
///
/// # Errors
/// As [`crate::store::Store::open`].
pub(in crate::store) async fn open(
    settings: &Settings,
    clock: &Clock,
) -> Result<Opened, StoreError> {
    let target = engine::target(settings)?;
    let lock = chaos::at!("store.lock", target.lock()?, else return Err(StoreError::Closed));
    let mut reserve = target.reserve(settings.reserve_bytes);
    let writers = target.writers(settings);
    let (connection, sealing) = match prepare(&writers, settings, clock).await {
        Err(StoreError::Full { .. }) if reserve.as_mut().is_some_and(Reserve::give_up) => {
            prepare(&writers, settings, clock).await?
        }
        prepared => prepared?,
    };
    let target = &writers.target;
    let readers = target.reader_pool(settings, Some(clock));
    drop(readers.acquire().await?);
    if let Some(reserve) = &mut reserve {
        reserve.fill().await;
    }
    Ok(Opened {
        dialect: target.dialect(),
        sealing,
        lock,
        reserve,
        connection,
        readers,
        budgets: target.budget_pool(settings, clock),
        sinks: target.budget_pool(settings, clock),
        writers,
    })
}

/// Connects the writer.
async fn prepare(
    writers: &Writers,
    settings: &Settings,
    clock: &Clock,
) -> Result<(Connection, Sealing), StoreError> {
    let target = &writers.target;
    target.probe(settings).await?;
    let mut pooled = writers.pooled().await?;
    if let Err(error) = bring_up(target, settings, clock, &mut pooled).await {
        return Err(Connection::Sqlx(pooled).distrusted(error));
    }
    let mut connection = writers.go_on(pooled).await?;
    match take_up(target, settings, &mut connection).await {
        Ok(sealing) => Ok((connection, sealing)),
        Err(error) => Err(connection.distrusted(error)),
    }
}

/// Checks the database and brings its tables up to date. What an earlier process left in SQLite's log
/// may be in the system's memory only, when its flush failed: it is written once more, into the
/// database, before anything acts on it. Gateways that start at once wait for the one that makes the
/// tables.
async fn bring_up(
    target: &Target,
    settings: &Settings,
    clock: &Clock,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    let checked = target.check(&mut *connection);
    chaos::around!("store.check", checked, else Err(StoreError::Closed))?;
    if target.is_sqlite() {
        engine::truncate_log(&mut *connection, settings.busy_timeout).await?;
    }
    let migrated = schema::migrate(connection, target, (clock, settings.busy_timeout));
    chaos::around!("store.migrate", migrated, else Err(StoreError::Closed))
}

/// Fills what the tables lack, finds the keys, and ends what dead processes held.
async fn take_up(
    target: &Target,
    settings: &Settings,
    connection: &mut Connection,
) -> Result<Sealing, StoreError> {
    if target.is_sqlite() {
        // It is another one than that which brought the tables up to date.
        target.check(&mut *connection).await?;
    }
    connection.run(target.dialect().begin).await?;
    owners::fill(connection).await?;
    reservations::fill(connection, target.dialect()).await?;
    let (sealing, others) = Sealing::open(connection, target, settings).await?;
    connection.run("COMMIT").await?;
    let sealed = seal_anew(target, &sealing, connection, &others).await?;
    if sealed > 0 && target.is_sqlite() {
        // What they were before is in the log, too.
        engine::truncate_log(&mut *connection, settings.busy_timeout).await?;
    }
    target
        .wait_for_locks(&mut *connection, settings.busy_timeout)
        .await?;
    if target.is_sqlite() {
        query(sql::END_LEASES).execute(connection).await?;
    }
    Ok(sealing)
}

/// Seals the bodies of operations with the key that writes; gives how many. In pieces: a gateway that has them in
/// hand must not wait for all of them.
async fn seal_anew(
    target: &Target,
    sealing: &Sealing,
    connection: &mut Connection,
    operations: &[OperationId],
) -> Result<usize, StoreError> {
    let mut sealed = 0;
    for piece in operations.chunks(PIECE) {
        connection.run(target.dialect().begin).await?;
        let rows = sealing::seal_anew(connection, &sealing.keyring, piece).await?;
        connection.run("COMMIT").await?;
        sealed += rows.len();
    }
    if sealed > 0 {
        tracing::info!(
            operations = sealed,
            "bodies were sealed with the key that writes"
        );
    }
    Ok(sealed)
}
