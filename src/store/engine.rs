//! SQLite and PostgreSQL: how to reach each, what each must be set to, and the few words in which
//! their SQL differs. Everything else of the room is one text for both.

use crate::chaos;
use crate::clock::Clock;
use crate::store::Settings;
use crate::store::connection::{Connection, Runner, abandon, query};
use crate::store::error::{StoreError, is_no_database};
use crate::store::file::{beside, memory_name, open_private, take_lock};
use crate::store::pool::{Patience, Pool};
use crate::store::reserve::Reserve;
use crate::store::sql::text::Kept;
use secrecy::ExposeSecret;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Any, AnyConnection, AssertSqlSafe, ConnectOptions, Connection as _, Executor};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Before it, a checkpoint that met a writer could corrupt the database
/// (<https://www.sqlite.org/wal.html>, the WAL-reset bug).
const OLDEST_SQLITE: &str = "3.51.3";

/// The words in which two engines differ.
#[derive(Debug)]
pub(in crate::store) struct Dialect {
    /// Begins a transaction that writes.
    pub(in crate::store) begin: &'static str,
    /// The time that leases are measured by, in milliseconds. Both bind the caller's time:
    /// SQLite, which has one process, believes it; PostgreSQL, whose replicas may differ,
    /// multiplies it away and reads the server's clock.
    pub(in crate::store) now: &'static str,
    /// Lets two replicas claim at once without waiting for each other.
    pub(in crate::store) skip_locked: &'static str,
    /// Whether a statement that waited for another's write counts what was there before it.
    pub(in crate::store) counts_stale: bool,
    /// Whether the log of writes keeps what was deleted until [`truncate_log`].
    pub(in crate::store) log_is_ours: bool,
    /// Whether other processes may write, and hear of what this one wrote.
    pub(in crate::store) notifies: bool,
    /// The texts of [`sql::admit`](crate::store::sql::admit), which read `now`.
    pub(in crate::store) admit: Kept,
}

static SQLITE: Dialect = Dialect {
    begin: "BEGIN IMMEDIATE",
    now: "?",
    skip_locked: "",
    counts_stale: false,
    log_is_ours: true,
    notifies: false,
    admit: Kept::new(),
};

static POSTGRES: Dialect = Dialect {
    begin: "BEGIN",
    now: "(? * 0 + CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT))",
    skip_locked: "FOR UPDATE SKIP LOCKED",
    counts_stale: true,
    log_is_ours: false,
    notifies: true,
    admit: Kept::new(),
};

/// A setting without which a commit can be lost.
struct Requirement {
    setting: &'static str,
    sql: &'static str,
    must: &'static str,
    holds: fn(&str) -> bool,
}

static SQLITE_REQUIREMENTS: [Requirement; 2] = [
    Requirement {
        setting: "journal_mode",
        sql: "SELECT journal_mode AS value FROM pragma_journal_mode",
        must: "wal, which needs a local file system",
        holds: |value| value == "wal",
    },
    Requirement {
        setting: "synchronous",
        sql: "SELECT CAST(synchronous AS TEXT) AS value FROM pragma_synchronous",
        must: "2 (FULL)",
        holds: |value| value == chaos::wrong!("synchronous-normal", "2", "1"),
    },
];

static POSTGRES_REQUIREMENTS: [Requirement; 3] = [
    Requirement {
        setting: "fsync",
        sql: "SELECT current_setting('fsync') AS value",
        must: "on",
        holds: |value| value == "on",
    },
    Requirement {
        setting: "full_page_writes",
        sql: "SELECT current_setting('full_page_writes') AS value",
        must: "on",
        holds: |value| value == "on",
    },
    Requirement {
        setting: "synchronous_commit",
        sql: "SELECT current_setting('synchronous_commit') AS value",
        must: "on, local, remote_write or remote_apply",
        holds: |value| value != "off",
    },
];

/// Where the journal is.
pub(in crate::store) struct Target {
    options: AnyConnectOptions,
    place: Place,
}

enum Place {
    /// Under this name, gone when the store is closed: for tests.
    Memory(PathBuf),
    File(PathBuf),
    Server,
}

/// Makes the connection that writes.
pub(in crate::store) struct Writers {
    pub(in crate::store) target: Target,
    session: String,
    pool: Pool,
}

impl Target {
    /// Reads the URL.
    ///
    /// # Errors
    /// [`StoreError::Url`]; its text never repeats the URL, which may hold a password.
    pub(in crate::store) fn parse(url: &str) -> Result<Self, StoreError> {
        let malformed = |_hides_url: sqlx::Error| StoreError::Url { rule: SCHEMES };
        let (options, place) = if url == "sqlite::memory:" {
            let name = memory_name();
            let url = format!("sqlite:{}?vfs={MEMORY}&mode=rwc", name.display());
            (url.parse().map_err(malformed)?, Place::Memory(name))
        } else if url.starts_with("sqlite:") {
            if url.contains('?') {
                let rule = NO_PARAMETERS;
                return Err(StoreError::Url { rule });
            }
            let file = SqliteConnectOptions::from_str(url).map_err(malformed)?;
            let path = file.get_filename().to_owned();
            let options = AnyConnectOptions::from_url(&file.to_url_lossy()).map_err(malformed)?;
            (options, Place::File(path))
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = AnyConnectOptions::from_str(url).map_err(malformed)?;
            (options, Place::Server)
        } else {
            return Err(StoreError::Url { rule: SCHEMES });
        };
        let options = options.disable_statement_logging();
        Ok(Self { options, place })
    }

    /// The words of its engine.
    pub(in crate::store) fn dialect(&self) -> &'static Dialect {
        if self.is_sqlite() { &SQLITE } else { &POSTGRES }
    }

    /// Whether only this process uses the journal, so that every earlier owner of a lease is dead.
    pub(in crate::store) fn is_sqlite(&self) -> bool {
        matches!(self.place, Place::Memory(_) | Place::File(_))
    }

    /// Makes the file, unless it exists, and keeps other processes out of it as long as the result
    /// lives. Nobody but its owner may read it, for it holds what callers launched.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::File`].
    pub(in crate::store) fn lock(&self) -> Result<Option<File>, StoreError> {
        let Place::File(database) = &self.place else {
            return Ok(None);
        };
        let lock = take_lock(&beside(database, ".lock"))?;
        open_private(database)?;
        Ok(Some(lock))
    }

    /// Where the keys of a file are, unless the configuration names another place.
    pub(in crate::store) fn own_key_file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::File(database) => Some(beside(database, ".key")),
            Place::Memory(_) | Place::Server => None,
        }
    }

    /// Its file, where there is one.
    pub(in crate::store) fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File(database) => Some(database),
            Place::Memory(_) | Place::Server => None,
        }
    }

    /// What holds `bytes` on the disk of the file, if there is one.
    pub(in crate::store) fn reserve(&self, bytes: u32) -> Option<Reserve> {
        match &self.place {
            Place::File(database) if bytes > 0 => {
                Some(Reserve::new(beside(database, ".reserve"), bytes))
            }
            Place::File(_) | Place::Memory(_) | Place::Server => None,
        }
    }

    /// Connects once outside of the pools, which try what cannot work until their time is over,
    /// and then tell only that. They may wait for what cannot be reached yet.
    ///
    /// # Errors
    /// [`StoreError::NoDatabase`], and what connecting may tell.
    pub(in crate::store) async fn probe(&self, settings: &Settings) -> Result<(), StoreError> {
        match self.connect(settings.busy_timeout).await {
            Ok(()) => Ok(()),
            Err(error) => match (&self.place, StoreError::from(error)) {
                (_, StoreError::Unavailable { .. }) => Ok(()),
                (Place::File(path), StoreError::Fatal { source }) if is_no_database(&source) => {
                    let path = path.clone();
                    Err(StoreError::NoDatabase { path, source })
                }
                (_, error) => Err(error),
            },
        }
    }

    async fn connect(&self, busy_timeout: Duration) -> Result<(), sqlx::Error> {
        let mut connection = AnyConnection::connect_with(&self.options).await?;
        let session = self.session(busy_timeout);
        match connection.execute(AssertSqlSafe(session)).await {
            Ok(_) => connection.close().await,
            Err(error) => {
                abandon(connection, StoreError::is_fatal(&error));
                Err(error)
            }
        }
    }

    /// Refuses a file that is not there: only a gateway makes it.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    pub(in crate::store) fn must_exist(&self) -> Result<(), StoreError> {
        match &self.place {
            Place::File(path) if !path.exists() => Err(StoreError::Missing { path: path.clone() }),
            Place::Memory(_) | Place::File(_) | Place::Server => Ok(()),
        }
    }

    /// One connection that may write.
    pub(in crate::store) fn writer_pool(&self, settings: &Settings) -> Pool {
        let options = AnyPoolOptions::new().max_connections(1);
        self.pool((options, None), settings, "")
    }

    /// The one connection that writes for an open journal.
    pub(in crate::store) fn writers(self, settings: &Settings) -> Writers {
        Writers {
            session: self.session(settings.busy_timeout),
            pool: self.writer_pool(settings),
            target: self,
        }
    }

    /// The connections that read; with a clock they are patient for no longer than a transaction.
    pub(in crate::store) fn reader_pool(&self, settings: &Settings, clock: Option<&Clock>) -> Pool {
        let read_only = if self.is_sqlite() {
            "PRAGMA query_only = ON"
        } else {
            "SET default_transaction_read_only = on"
        };
        // One always stays open: a database in memory is gone with its last connection.
        // One to a file needs no look at whether it is still there.
        let options = AnyPoolOptions::new()
            .max_connections(settings.pool_size.max(1))
            .min_connections(1)
            .test_before_acquire(!self.is_sqlite());
        self.pool((options, clock), settings, read_only)
    }

    /// One connection that takes slots of shared budgets, or moves the cursors of sinks. Its commits
    /// need not be durable: a server is not back from a crash before all slots that it has given out are
    /// past, and a cursor that goes back brings rows twice.
    pub(in crate::store) fn budget_pool(&self, settings: &Settings, clock: &Clock) -> Option<Pool> {
        let options = AnyPoolOptions::new().max_connections(1);
        let quick = "SET synchronous_commit = off";
        (!self.is_sqlite()).then(|| self.pool((options, Some(clock)), settings, quick))
    }

    fn pool(
        &self,
        (options, clock): (AnyPoolOptions, Option<&Clock>),
        settings: &Settings,
        more: &str,
    ) -> Pool {
        let clock = clock.filter(|_| !self.is_sqlite());
        let patience = clock.map(|clock| Patience::new(clock.clone(), settings.busy_timeout));
        let options = match &patience {
            Some(patience) => patience.clone().watch(options),
            None => options,
        };
        let session: Arc<str> = format!("{}{more}", self.session(settings.busy_timeout)).into();
        let options = options
            .acquire_timeout(settings.busy_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _metadata| {
                let session = Arc::clone(&session);
                Box::pin(async move {
                    connection.execute(AssertSqlSafe(session)).await?;
                    Ok(())
                })
            });
        Pool::new(options.connect_lazy_with(self.options.clone()), patience)
    }

    /// What every connection is set to. The time-outs end waits for a lock that a stopped process
    /// holds.
    fn session(&self, busy_timeout: Duration) -> String {
        let wait = busy_timeout.as_millis();
        if self.is_sqlite() {
            let flush = chaos::wrong!("synchronous-normal", "FULL", "NORMAL");
            format!(
                "PRAGMA busy_timeout = {wait}; PRAGMA journal_mode = WAL; \
                 PRAGMA synchronous = {flush}; PRAGMA foreign_keys = ON; \
                 PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 0;"
            )
        } else {
            format!("SET lock_timeout = {wait}; SET idle_in_transaction_session_timeout = {wait};")
        }
    }

    /// Sets for how long the connection waits for what others hold. A SQLite file is ours alone.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) async fn wait_for_locks(
        &self,
        connection: impl Into<Runner<'_>>,
        wait: Duration,
    ) -> Result<(), StoreError> {
        if !self.is_sqlite() {
            let wait = wait.as_millis().max(1);
            let set = format!("SET lock_timeout = {wait}");
            query(AssertSqlSafe(set)).execute(connection).await?;
        }
        Ok(())
    }

    /// Refuses an engine that loses or corrupts what it was given.
    ///
    /// # Errors
    /// [`StoreError::OldSqlite`], [`StoreError::Unsafe`].
    pub(in crate::store) async fn check(
        &self,
        connection: impl Into<Runner<'_>>,
    ) -> Result<(), StoreError> {
        let mut runner = connection.into();
        let requirements: &[Requirement] = match self.place {
            Place::Memory(_) => &[],
            Place::File(_) => &SQLITE_REQUIREMENTS,
            Place::Server => &POSTGRES_REQUIREMENTS,
        };
        if self.is_sqlite() {
            let found = value(runner.again(), "SELECT sqlite_version() AS value").await?;
            if !is_at_least(&found, OLDEST_SQLITE) {
                let required = OLDEST_SQLITE;
                return Err(StoreError::OldSqlite { found, required });
            }
        }
        for requirement in requirements {
            let value = value(runner.again(), requirement.sql).await?;
            if !(requirement.holds)(&value) {
                let Requirement { setting, must, .. } = *requirement;
                return Err(StoreError::Unsafe {
                    setting,
                    value,
                    must,
                });
            }
        }
        Ok(())
    }
}

impl Writers {
    /// A connection for all that a journal that is open is asked to write; it has yet to be checked.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) async fn connect(&self) -> Result<Connection, sqlx::Error> {
        match &self.target.place {
            Place::File(path) => Connection::open(path, None, &self.session),
            Place::Memory(name) => Connection::open(name, Some(MEMORY), &self.session),
            Place::Server => self.pool.acquire().await.map(Connection::Sqlx),
        }
    }

    /// What makes one more connection to the file of SQLite, if there is one.
    pub(in crate::store) fn beside(
        &self,
    ) -> Option<impl FnOnce() -> Result<Connection, sqlx::Error> + Send + use<>> {
        let (path, session) = (self.target.file()?.to_owned(), self.session.clone());
        Some(move || Connection::open(&path, None, &session))
    }

    /// That of the server; in SQLite one that only brings the tables up to date.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) async fn pooled(&self) -> Result<PoolConnection<Any>, sqlx::Error> {
        self.pool.acquire().await
    }

    /// The connection that goes on from one that has brought the tables up to date.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) async fn go_on(
        &self,
        pooled: PoolConnection<Any>,
    ) -> Result<Connection, sqlx::Error> {
        if !self.target.is_sqlite() {
            return Ok(Connection::Sqlx(pooled));
        }
        // Opened first: the last one that is closed would put the log into the database.
        let connection = self.connect().await?;
        pooled.close().await?;
        Ok(connection)
    }

    pub(in crate::store) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn value(runner: Runner<'_>, sql: &'static str) -> Result<String, StoreError> {
    Ok(query(sql).fetch_one(runner).await?.try_get("value")?)
}

/// Puts SQLite's log of writes into the database, as far as no reader is in the way. SQLite would do
/// it too, after a commit, but then it tells nobody that the disk failed.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn checkpoint(connection: &mut Connection) -> Result<(), StoreError> {
    connection.run("PRAGMA wal_checkpoint(PASSIVE)").await?;
    Ok(())
}

/// Empties SQLite's log of writes into the database; false when a reader is in the way, whom the
/// writer does not wait for.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn truncate_log(
    connection: impl Into<Runner<'_>>,
    busy_timeout: Duration,
) -> Result<bool, StoreError> {
    let mut runner = connection.into();
    let at_once = query("PRAGMA busy_timeout = 0");
    at_once.execute(runner.again()).await?;
    let truncate = query("PRAGMA wal_checkpoint(TRUNCATE)");
    let row = truncate.fetch_one(runner.again()).await?;
    let restore = format!("PRAGMA busy_timeout = {}", busy_timeout.as_millis());
    query(AssertSqlSafe(restore)).execute(runner).await?;
    Ok(row.try_get::<i64>("busy")? == 0)
}

const SCHEMES: &str = "sqlite:///PATH or postgres://USER:PASSWORD@HOST/DATABASE";
const NO_PARAMETERS: &str = "without parameters when it names a SQLite file";

/// SQLite's file system of files in memory.
const MEMORY: &str = "memdb";

/// Compares versions such as `3.51.3`.
pub(in crate::store) fn is_at_least(found: &str, required: &str) -> bool {
    let parts = |version: &str| -> Vec<u32> {
        version
            .split('.')
            .map(|part| part.parse().unwrap_or(0))
            .collect()
    };
    parts(found) >= parts(required)
}

/// Opens what the settings name.
///
/// # Errors
/// [`StoreError::Url`].
pub(in crate::store) fn target(settings: &Settings) -> Result<Target, StoreError> {
    sqlx::any::install_default_drivers();
    Target::parse(settings.url.expose_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What flushes less is no option that SQLite tells of; they come together, from .cargo/config.toml.
    #[test]
    fn sqlite_is_built_with_our_options() {
        let sqlite = rusqlite::Connection::open_in_memory().unwrap();
        let used = |option: &str| {
            let sql = "SELECT sqlite_compileoption_used(?1)";
            sqlite.query_row(sql, [option], |row| row.get::<_, bool>(0))
        };
        assert_eq!(used("DEFAULT_MEMSTATUS=0"), Ok(true));
        assert_eq!(used("ENABLE_FTS5"), Ok(false));
    }

    #[test]
    fn versions() {
        assert!(is_at_least("3.51.3", OLDEST_SQLITE));
        assert!(is_at_least("3.52.0", OLDEST_SQLITE));
        assert!(!is_at_least("3.51.2", OLDEST_SQLITE));
        assert!(!is_at_least("3.9.99", OLDEST_SQLITE));
    }

    #[test]
    fn a_malformed_url_is_refused_without_repeating_it() {
        for url in [
            "",
            "mysql://u:hunter2@host/db",
            "postgres://u:hunter2@host:port/db",
            "sqlite:///journal.db?mode=ro",
        ] {
            let error = Target::parse(url).err().unwrap();
            assert!(matches!(error, StoreError::Url { .. }), "{url}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
