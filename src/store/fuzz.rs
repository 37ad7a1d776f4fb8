//! What `make fuzz` throws at this room.

use super::connection::Row;
use super::keyring::Keyring;
use super::seal::Keys;
use super::{care, desk, orders, row};
use crate::domain::operation::Operation;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::fmt;
use tokio::runtime::{Builder, Runtime};

/// Every column that a decoder of this room reads, of whatever table.
const COLUMNS: [&str; 27] = [
    "id",
    "document",
    "organization",
    "request_id",
    "request_hash",
    "body",
    "state",
    "crashes",
    "lease_owner",
    "lease_epoch",
    "lease_until",
    "create_time",
    "update_time",
    "time",
    "account",
    "region",
    "principal",
    "reason",
    "instance_id",
    "termination_id",
    "number",
    "signed_at",
    "epoch",
    "result",
    "detail",
    "cloud_request_id",
    "action",
];

/// A row of such columns, from an engine that gives back whatever it is given.
pub struct Rows {
    runtime: Runtime,
    engine: AnyConnection,
    select: String,
    keyring: Keyring,
}

/// The key of the sealed bodies among the seeds.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// What came of the decoders.
#[derive(Debug)]
pub struct Decoded {
    /// Of the document, when the whole row is one of an operation.
    pub operation: Option<Operation>,
    /// How many of the decoders took the row.
    pub taken: usize,
}

impl Rows {
    /// None when there is no engine.
    #[must_use]
    pub fn open() -> Option<Self> {
        sqlx::any::install_default_drivers();
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let engine = runtime.block_on(AnyConnection::connect("sqlite::memory:"));
        let columns = (1..).zip(COLUMNS);
        let columns = columns.map(|(number, name)| format!("${number} AS {name}"));
        let columns: Vec<_> = columns.collect();
        Some(Self {
            runtime,
            engine: engine.ok()?,
            select: format!("SELECT {}", columns.join(", ")),
            keyring: Keyring::of(Keys::parse(KEY).ok()?),
        })
    }

    /// Any bytes as a row: a line for each column, which begins with its type (`t`ext, `i`nteger,
    /// `r`eal, `b`lob; all else is NULL), read by every decoder of the room. A damaged column is an
    /// error, and the error does not repeat the sealed body.
    pub fn read(&mut self, bytes: &[u8]) -> Decoded {
        let Some(row) = self.row(bytes) else {
            return Decoded {
                operation: None,
                taken: 0,
            };
        };
        let claimed = row::claimed(&row);
        let others = [
            row::request_hash(&row).is_ok(),
            row::owner(&row).is_ok(),
            row::launched(&row).is_ok(),
            row::account(&row).is_ok(),
            desk::record(&row).is_ok_and(|record| record.update_time.is_some()),
            desk::attempt(&row).is_ok(),
            desk::audited(&row).is_ok(),
            orders::read(&row).is_ok(),
            care::brake_of(&row).is_ok(),
            care::release(&row).is_ok(),
        ];
        let bodies = (0..3).map(|alternative| row::body(&row, alternative, &self.keyring).is_ok());
        let taken = others.into_iter().chain(bodies).filter(|taken| *taken);
        Decoded {
            taken: taken.count() + usize::from(claimed.is_ok()),
            operation: claimed.ok().map(|claimed| claimed.operation),
        }
    }

    fn row(&mut self, bytes: &[u8]) -> Option<Row> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let mut query = sqlx::query(AssertSqlSafe(self.select.clone()));
        for _ in COLUMNS {
            let line = lines.next().unwrap_or_default();
            let value = line.get(1..).unwrap_or_default();
            query = match line.as_bytes().first() {
                Some(b't') => query.bind(value.to_owned()),
                Some(b'i') => query.bind(value.parse::<i64>().ok()),
                Some(b'r') => query.bind(value.parse::<f64>().ok()),
                Some(b'b') => query.bind(value.as_bytes().to_vec()),
                Some(_) | None => query.bind(None::<String>),
            };
        }
        self.runtime
            .block_on(query.fetch_one(&mut self.engine))
            .ok()
            .map(Row::Sqlx)
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_rows_that_every_decoder_takes() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/row");
        let mut rows = Rows::open().unwrap();
        let mut seeds = 0;
        for seed in std::fs::read_dir(folder).unwrap() {
            let seed = std::fs::read_to_string(seed.unwrap().path()).unwrap();
            let decoded = rows.read(seed.as_bytes());
            assert!(decoded.operation.is_some(), "{seed}");
            assert_eq!(decoded.taken, 14, "{seed}");
            seeds += 1;
            // Each column matters to somebody.
            for (number, name) in COLUMNS.iter().enumerate() {
                let lines = seed.lines().enumerate();
                let damaged = lines.map(|(line, text)| if line == number { "bx" } else { text });
                let damaged: Vec<_> = damaged.collect();
                let decoded = rows.read(damaged.join("\n").as_bytes());
                assert!(decoded.taken < 14, "{name} is not read");
            }
        }
        assert_eq!(seeds, 2);
        assert_eq!(rows.read(b"").taken, 0);
    }
}
