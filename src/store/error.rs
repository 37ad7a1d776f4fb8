//! What can go wrong with the journal, by what its user must do about it.

use crate::metrics::FAILURES;
use crate::store::connection::SqliteFailure;
use crate::store::seal::{BadKeys, KEYS_MAX};
use sqlx::sqlite::SqliteError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The cause of a [`StoreError`]; shared, because one failed commit answers many callers.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// PostgreSQL's state for a lock that could not be had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What went wrong. The texts name the remedy and carry no value of any row.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written.
    #[error("the journal has too many writes waiting; repeat shortly")]
    Busy,
    /// The server, the connection or a lock cannot be had. A write may be in the journal
    /// nevertheless; every write may be repeated.
    #[error("the journal cannot be reached; repeat, for the write may be in it or not")]
    Unavailable {
        #[source]
        source: Cause,
    },
    /// Nothing was written.
    #[error("the journal's disk is full; free space on it and repeat")]
    Full {
        #[source]
        source: Cause,
    },
    /// What is durable is no longer known, and asking again would lie: the process must end. The
    /// next one recovers from what the disk really has.
    #[error("the journal's disk failed; check it before the next start")]
    Fatal {
        #[source]
        source: Cause,
    },
    /// A defect of the gateway, or a table that was changed by hand. Nothing was written.
    #[error("the journal refused a statement; please report it")]
    Refused {
        #[source]
        source: Cause,
    },
    /// A row was changed by hand, or written by a newer gateway.
    #[error("{table}.{column} of {id} cannot be read; restore the row or update the gateway")]
    Corrupt {
        table: &'static str,
        column: &'static str,
        id: String,
        #[source]
        source: Cause,
    },
    #[error("the journal is closed")]
    Closed,
    /// Nothing was written. A journal that is open tells it too, after the connection was lost.
    #[error("the database has {setting} = {value}, which loses commits; it must be {must}")]
    Unsafe {
        setting: &'static str,
        value: String,
        must: &'static str,
    },
    /// Nothing was written.
    #[error("the system has no randomness, so nothing can be sealed; please report it")]
    Unsealed,

    #[error("there is no journal at {}; name the configuration of the gateway with --config",
        path.display())]
    Missing { path: PathBuf },
    #[error(
        "the journal has schema {found}, which is older than this program; start the gateway once"
    )]
    Older { found: i64 },

    // The rest is told only by `Store::open`.
    #[error("the journal's url must be {rule}")]
    Url { rule: &'static str },
    #[error(
        "process {holder} has the journal open, as {} says; end it, or give this one its own",
        lock.display()
    )]
    Locked { lock: PathBuf, holder: String },
    #[error("cannot write {}; does its folder exist, may the gateway write there, is there space?",
        path.display())]
    File {
        path: PathBuf,
        #[source]
        source: Arc<std::io::Error>,
    },
    #[error("{} is a file of something else; name another one for the journal", path.display())]
    NoDatabase {
        path: PathBuf,
        #[source]
        source: Cause,
    },
    #[error("the keys of the journal in {} cannot be read; name the file in journal.key_file",
        path.display())]
    KeyFile {
        path: PathBuf,
        #[source]
        source: Arc<std::io::Error>,
    },
    #[error("the keys of the journal in {place} cannot be used: {rule}")]
    BadKeys { place: String, rule: String },
    #[error(
        "{} has {KEYS_MAX} keys, and no more are read; take out those that nothing in the journal is sealed with, \
         as --drop-unused does",
        path.display()
    )]
    FullKeyFile { path: PathBuf },
    #[error(
        "a journal in PostgreSQL needs journal.key_file: the same file for all of its gateways"
    )]
    NoKeyFile,
    #[error(
        "the journal is sealed with key {key}, which is not in {}; put back the file that has it",
        path.display()
    )]
    OtherKey { path: PathBuf, key: String },
    #[error("the journal has schema {found}, which is newer than this gateway; update the gateway")]
    Newer { found: i64 },
    #[error("the journal's schema cannot be brought up to date")]
    Migration {
        #[source]
        source: Cause,
    },
    #[error(
        "SQLite is {found}, and before {required} it can corrupt a journal; rebuild the gateway"
    )]
    OldSqlite {
        found: String,
        required: &'static str,
    },
}

impl StoreError {
    pub(in crate::store) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    pub(in crate::store) fn key_file(path: &Path, source: std::io::Error) -> Self {
        Self::KeyFile {
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    /// Names the line, where there is one.
    pub(in crate::store) fn bad_keys(path: &Path, rule: &BadKeys) -> Self {
        let line = rule.line().map(|line| format!(":{line}"));
        Self::BadKeys {
            place: format!("{}{}", path.display(), line.unwrap_or_default()),
            rule: rule.to_string(),
        }
    }

    /// What a failed write came from, as a metric label.
    pub(in crate::store) const fn kind(&self) -> &'static str {
        let [full, fatal, unavailable, refused] = FAILURES;
        if matches!(self, Self::Full { .. }) {
            full
        } else if matches!(self, Self::Fatal { .. }) {
            fatal
        } else if matches!(self, Self::Unavailable { .. } | Self::Busy | Self::Closed) {
            unavailable
        } else {
            refused
        }
    }

    /// Whether the keys of the journal, or their file, are wrong.
    #[must_use]
    pub fn is_of_keys(&self) -> bool {
        matches!(
            self,
            Self::KeyFile { .. } | Self::BadKeys { .. } | Self::OtherKey { .. }
        )
    }

    /// Whether the server or the connection cannot be had; only a lock that cannot is none.
    pub(in crate::store) fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. }) && !self.is_lock_timeout()
    }

    /// Whether PostgreSQL waited too long for what another holds. Nothing was written.
    pub(in crate::store) fn is_lock_timeout(&self) -> bool {
        let Self::Unavailable { source } = self else {
            return false;
        };
        let error = source.downcast_ref::<sqlx::Error>();
        let error = error.and_then(sqlx::Error::as_database_error);
        error.is_some_and(|error| error.code().as_deref() == Some(LOCK_NOT_AVAILABLE))
    }

    /// Whether it would be [`StoreError::Fatal`].
    pub(in crate::store) fn is_fatal(error: &sqlx::Error) -> bool {
        classify(error) == Class::Fatal
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let class = classify(&error);
        let source = Arc::new(error);
        match class {
            Class::Unavailable => Self::Unavailable { source },
            Class::Full => Self::Full { source },
            Class::Fatal => Self::Fatal { source },
            Class::Refused => Self::Refused { source },
        }
    }
}

/// Whether SQLite says that the file is none of its own (NOTADB).
pub(in crate::store) fn is_no_database(cause: &Cause) -> bool {
    let error = cause.downcast_ref::<sqlx::Error>();
    let error = error.and_then(sqlx::Error::as_database_error);
    error.is_some_and(|error| {
        error.try_downcast_ref::<SqliteError>().is_some() && error.code().as_deref() == Some("26")
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    Unavailable,
    Full,
    Fatal,
    Refused,
}

fn classify(error: &sqlx::Error) -> Class {
    if let Some(error) = error.as_database_error() {
        let code = error.code().unwrap_or_default();
        let sqlite = error.try_downcast_ref::<SqliteError>().is_some()
            || error.try_downcast_ref::<SqliteFailure>().is_some();
        return if sqlite {
            code.parse().map_or(Class::Refused, classify_sqlite)
        } else {
            classify_postgres(&code)
        };
    }
    let is_defect = matches!(
        error,
        sqlx::Error::Configuration(_)
            | sqlx::Error::InvalidArgument(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::AnyDriverError(_)
    );
    if is_defect {
        Class::Refused
    } else {
        Class::Unavailable
    }
}

/// By SQLite's primary result code, the low byte (<https://www.sqlite.org/rescode.html>).
fn classify_sqlite(extended: u32) -> Class {
    match extended & 0xff {
        // IOERR_SHMSIZE: the index of the log, which holds nothing durable, has no room to grow.
        10 if extended == 10 | 19 << 8 => Class::Full,
        // BUSY, LOCKED, READONLY, INTERRUPT, CANTOPEN, PROTOCOL
        5 | 6 | 8 | 9 | 14 | 15 => Class::Unavailable,
        // NOMEM, IOERR, CORRUPT, NOTADB
        7 | 10 | 11 | 26 => Class::Fatal,
        13 => Class::Full,
        _ => Class::Refused,
    }
}

/// By SQLSTATE (PostgreSQL's appendix A). The server ends itself when its own disk fails, and a
/// transaction that waits too long for its client, as 25P03 and 25P04 say.
fn classify_postgres(state: &str) -> Class {
    let unavailable = [
        "08",
        "25006",
        "25P03",
        "25P04",
        "28",
        "3D000",
        "40",
        "53",
        LOCK_NOT_AVAILABLE,
        "57",
        "58",
    ];
    if state == "53100" {
        Class::Full
    } else if unavailable.iter().any(|class| state.starts_with(class)) {
        Class::Unavailable
    } else {
        Class::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_codes() {
        for (code, class) in [
            (5, Class::Unavailable),          // SQLITE_BUSY
            (5 | 2 << 8, Class::Unavailable), // SQLITE_BUSY_SNAPSHOT
            (10 | 4 << 8, Class::Fatal),      // SQLITE_IOERR_FSYNC
            (11, Class::Fatal),               // SQLITE_CORRUPT
            (10 | 19 << 8, Class::Full),      // SQLITE_IOERR_SHMSIZE
            (13, Class::Full),                // SQLITE_FULL
            (19 | 8 << 8, Class::Refused),    // SQLITE_CONSTRAINT_UNIQUE
        ] {
            assert_eq!(classify_sqlite(code), class, "{code}");
        }
        for (state, class) in [
            ("08006", Class::Unavailable), // connection_failure
            ("25P02", Class::Refused),     // in_failed_sql_transaction
            ("25P03", Class::Unavailable), // idle_in_transaction_session_timeout
            ("25P04", Class::Unavailable), // transaction_timeout
            ("40P01", Class::Unavailable), // deadlock_detected
            ("53100", Class::Full),        // disk_full
            ("53300", Class::Unavailable), // too_many_connections
            ("57P01", Class::Unavailable), // admin_shutdown
            ("23505", Class::Refused),     // unique_violation
            ("42P01", Class::Refused),     // undefined_table
        ] {
            assert_eq!(classify_postgres(state), class, "{state}");
        }
    }
}
