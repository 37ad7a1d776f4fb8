//! The tables, as a list of migrations that only grows.

use crate::clock::Clock;
use crate::store::engine::Target;
use crate::store::error::StoreError;
use crate::store::sql;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlStr};
use std::sync::Arc;
use std::time::Duration;

/// Every migration, oldest first; a released one is never edited.
const MIGRATIONS: [(i64, &str, &str); 15] = [
    (
        1,
        "operations",
        include_str!("../../migrations/0001_operations.sql"),
    ),
    (
        2,
        "states",
        include_str!("../../migrations/0002_states.sql"),
    ),
    (
        3,
        "instances",
        include_str!("../../migrations/0003_instances.sql"),
    ),
    (
        4,
        "budgets",
        include_str!("../../migrations/0004_budgets.sql"),
    ),
    (
        5,
        "crashes",
        include_str!("../../migrations/0005_crashes.sql"),
    ),
    (
        6,
        "orders",
        include_str!("../../migrations/0006_orders.sql"),
    ),
    (7, "audit", include_str!("../../migrations/0007_audit.sql")),
    (
        8,
        "brakes",
        include_str!("../../migrations/0008_brakes.sql"),
    ),
    (
        9,
        "terminations",
        include_str!("../../migrations/0009_terminations.sql"),
    ),
    (
        10,
        "audit_chains",
        include_str!("../../migrations/0010_audit_chains.sql"),
    ),
    (
        11,
        "reservations",
        include_str!("../../migrations/0011_reservations.sql"),
    ),
    (
        12,
        "audit_sinks",
        include_str!("../../migrations/0012_audit_sinks.sql"),
    ),
    (
        13,
        "secrets",
        include_str!("../../migrations/0013_secrets.sql"),
    ),
    (14, "reach", include_str!("../../migrations/0014_reach.sql")),
    (
        15,
        "browsing",
        include_str!("../../migrations/0015_browsing.sql"),
    ),
];

/// The version of the tables: the number of the last migration.
pub(in crate::store) const LATEST: i64 = 15;

/// How long a gateway waits for another one that brings the tables up to date, and then for whoever uses a
/// table that must change. On a big journal that may take minutes; who stops for good loses its locks with its
/// connection.
const WAIT: Duration = Duration::from_secs(600);

/// Brings the tables up to date. Those of a newer gateway stay as they are, if it lets this one use
/// them. Running gateways wait for a lock for `busy_timeout`.
///
/// # Errors
/// [`StoreError::Newer`], [`StoreError::Migration`], and what writing may tell.
pub(in crate::store) async fn migrate(
    connection: &mut AnyConnection,
    target: &Target,
    (clock, busy_timeout): (&Clock, Duration),
) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        let sql = SqlStr::from_static(sql);
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    });
    let mut migrator = Migrator::with_migrations(migrations.into());
    // Who has nothing to change waits for nobody: versions that kept the lock share journals with this one.
    let waits = schema(connection).await < Some(LATEST);
    migrator.set_locking(false);
    target.wait_for_locks(&mut *connection, WAIT).await?;
    if waits {
        connection.lock().await.map_err(explain)?;
    }
    // Who waits for a table to itself keeps everybody else from it, also those who would only read beside the
    // one that has it, as a backup does for hours.
    let turn = busy_timeout / 4;
    target.wait_for_locks(&mut *connection, turn).await?;
    let newer = match in_turns(&migrator, connection, (clock, turn)).await {
        Ok(()) => None,
        Err(StoreError::Newer { found }) => Some(found),
        Err(error) => return Err(error),
    };
    if waits {
        // The connection lives as long as the gateway.
        connection.unlock().await.map_err(explain)?;
    }
    target.wait_for_locks(&mut *connection, WAIT).await?;
    let Some(found) = newer else {
        return Ok(());
    };
    let oldest = sqlx::query_scalar(sql::REACH).fetch_one(&mut *connection);
    if !reaches(oldest.await?) {
        return Err(StoreError::Newer { found });
    }
    tracing::warn!(
        schema = found,
        "the journal has tables of a newer gateway, which lets this one use them"
    );
    migrator.set_ignore_missing(true);
    migrator.run(connection).await.map_err(explain)
}

/// Runs what is missing. It waits for a lock for only one turn, which the connection is set to, and leaves the
/// next two to everybody else, again and again.
async fn in_turns(
    migrator: &Migrator,
    connection: &mut AnyConnection,
    (clock, turn): (&Clock, Duration),
) -> Result<(), StoreError> {
    let end = clock.elapsed() + WAIT;
    let mut told = false;
    loop {
        match migrator.run(&mut *connection).await.map_err(explain) {
            Err(error) if error.is_lock_timeout() && clock.elapsed() < end => {}
            migrated => return migrated,
        }
        if !told {
            tracing::warn!(
                "a transaction of somebody else, such as a backup, uses a table of the journal that is to be \
                 brought up to date; waiting until it ends"
            );
            told = true;
        }
        clock.sleep(turn * 2).await;
    }
}

/// The version of the tables that are there; none: there are no tables.
async fn schema(connection: &mut AnyConnection) -> Option<i64> {
    let found = sqlx::query_scalar(sql::SCHEMA).fetch_one(connection).await;
    found.ok().flatten()
}

/// Whether this program can work with tables that serve programs since the schema `oldest`.
pub(in crate::store) const fn reaches(oldest: i64) -> bool {
    oldest <= LATEST
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours")]
fn explain(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(found) => StoreError::Newer { found },
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source.into(),
        other => StoreError::Migration {
            source: Arc::new(other),
        },
    }
}
