//! Looks at a journal beside a running gateway: whether one could write to it, and open what is sealed in it.

use crate::domain::millis;
use crate::store::desk::Desk;
use crate::store::error::StoreError;
use crate::store::keyring::{Keyring, folder};
use crate::store::sealing::FINGERPRINTS;
use crate::store::{schema, sealing, sql};
use rustix::fs::{Access, access, statvfs};
use std::path::{Path, PathBuf};
use time::UtcDateTime;

/// 1 where this user may not write, or nobody may.
const READ_ONLY: &str = "SELECT CAST(CASE WHEN pg_is_in_recovery() \
     OR NOT has_table_privilege('operations', 'INSERT, UPDATE') THEN 1 ELSE 0 END AS BIGINT)";
const SERVER_TIME: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
/// 1 where the server sorts texts otherwise than when it made the database. No answer before PostgreSQL 15.
const SORTS_OTHERWISE: &str = "SELECT CAST(CASE WHEN datcollversion <> pg_database_collation_actual_version(oid) \
     THEN 1 ELSE 0 END AS BIGINT) FROM pg_database WHERE datname = current_database()";

/// What a journal is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The version of its tables.
    pub schema: i64,
    /// That of the tables that this program makes.
    pub own_schema: i64,
    /// Whether a gateway could write to it.
    pub is_writable: bool,
    /// What the disk of a SQLite file has left for this user.
    pub free_bytes: Option<u64>,
    /// The time of a server; a file has none.
    pub server_time: Option<UtcDateTime>,
    /// Whether a server's indexes may not find what they hold, for its system sorts texts otherwise by now.
    pub sorts_otherwise: bool,
}

impl Desk {
    /// How the journal is.
    ///
    /// # Errors
    /// [`StoreError::Unsafe`], [`StoreError::OldSqlite`], and what reading may tell.
    pub async fn examine(&self) -> Result<Examined, StoreError> {
        let mut connection = self.readers.acquire().await?;
        self.target.check(&mut *connection).await?;
        let schema = sqlx::query_scalar(sql::SCHEMA).fetch_one(&mut *connection);
        let mut examined = Examined {
            schema: schema.await?,
            own_schema: schema::LATEST,
            is_writable: true,
            free_bytes: None,
            server_time: None,
            sorts_otherwise: false,
        };
        if !self.target.is_sqlite() {
            let read_only: i64 = sqlx::query_scalar(READ_ONLY)
                .fetch_one(&mut *connection)
                .await?;
            let time = sqlx::query_scalar(SERVER_TIME).fetch_one(&mut *connection);
            examined.is_writable = read_only == 0;
            examined.server_time = millis::to_time(time.await?);
            let sorts = sqlx::query_scalar(SORTS_OTHERWISE).fetch_one(&mut *connection);
            examined.sorts_otherwise = sorts.await.is_ok_and(|sorts: i64| sorts == 1);
        } else if let Some(file) = self.target.file() {
            let folder = folder(file);
            let may_write = |path: &Path| access(path, Access::WRITE_OK).is_ok();
            examined.is_writable = may_write(file) && may_write(folder);
            examined.free_bytes = free(folder);
        }
        Ok(examined)
    }

    /// Opens what the journal keeps to tell whether its keys are the right ones. One in which no gateway
    /// has sealed anything yet has no right ones.
    ///
    /// # Errors
    /// [`StoreError::NoKeyFile`], [`StoreError::KeyFile`], [`StoreError::OtherKey`], and what reading may
    /// tell.
    pub async fn try_keys(&self) -> Result<(), StoreError> {
        let Some(sealed) = sealing::secret(&self.readers).await? else {
            return Ok(());
        };
        let path = self.settings.key_file.as_deref();
        let keyring = Keyring::open(&self.target, path, Some(&sealed))?;
        keyring.open_secret(FINGERPRINTS, &sealed).map(drop)
    }
}

/// Where a journal that is not there yet would be made, if a gateway may make it there.
#[must_use]
pub fn may_be_made(missing: &StoreError) -> Option<PathBuf> {
    let StoreError::Missing { path } = missing else {
        return None;
    };
    let folder = folder(path);
    let may = access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    may.then(|| path.clone())
}

fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}
