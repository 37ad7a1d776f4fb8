//! The tables, as a list of migrations that only grows.

use crate::store::error::StoreError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlStr};
use std::sync::Arc;

/// Every migration, oldest first; a released one is never edited.
const MIGRATIONS: [(i64, &str, &str); 13] = [
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
];

/// The version of the tables: the number of the last migration.
pub(in crate::store) const LATEST: i64 = 13;

/// Brings the tables up to date.
///
/// # Errors
/// [`StoreError::Newer`], [`StoreError::Migration`], and what writing may tell.
pub(in crate::store) async fn migrate(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        let sql = SqlStr::from_static(sql);
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator::with_migrations(migrations.into());
    migrator.run(connection).await.map_err(explain)
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
