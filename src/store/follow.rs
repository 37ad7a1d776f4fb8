//! Reads the audit in the order of each chain, from where a reader is.

use crate::store::connection::{Row, Runner, query};
use crate::store::desk::Desk;
use crate::store::error::StoreError;
use crate::store::leasing::Leasing;
use crate::store::pool::Pool;
use crate::store::{Anchor, Engine, Store, sql};
use std::collections::BTreeMap;
use time::UtcDateTime;

/// How many rows of each chain a reader has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub(in crate::store) BTreeMap<String, i64>);

/// A row, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub time: UtcDateTime,
    /// Its name and its hash.
    pub anchor: Anchor,
    /// A JSON object without line breaks.
    pub text: String,
}

/// How far a sink of the audit is now.
pub(in crate::store) struct Delivered {
    sink: String,
    /// Sorted by chain, so that two gateways cannot wait for each other.
    rows: BTreeMap<String, i64>,
}

impl Store {
    /// Up to `limit` rows that the reader has not, the oldest chain first; none when it has all.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn follow(&self, cursor: &mut Cursor, limit: usize) -> Result<Vec<Line>, StoreError> {
        match &self.0 {
            Engine::Database(database) => next(&database.readers, cursor, limit).await,
            // It keeps no audit.
            Engine::Model(_) => Ok(Vec::new()),
        }
    }

    /// How far a sink is.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn sink(&self, sink: &str) -> Result<Cursor, StoreError> {
        let Engine::Database(database) = &self.0 else {
            return Ok(Cursor::default());
        };
        let rows = query(sql::SINK).bind(sink);
        let rows = rows.fetch_all(&database.readers).await?;
        let row = |row: &Row| Ok((row.try_get("chain")?, row.try_get("sequence")?));
        rows.iter().map(row).collect::<Result<_, _>>().map(Cursor)
    }

    /// How many rows a reader has not.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn behind(&self, cursor: &Cursor) -> Result<i64, StoreError> {
        let Engine::Database(database) = &self.0 else {
            return Ok(0);
        };
        let mut behind = 0;
        for chain in query(sql::HEADS).fetch_all(&database.readers).await? {
            let name: &str = chain.try_get("chain")?;
            let last: i64 = chain.try_get("sequence")?;
            behind += last - cursor.0.get(name).copied().unwrap_or_default();
        }
        Ok(behind.max(0))
    }

    /// Writes down how far a sink is, that was `before`.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn delivered(
        &self,
        sink: &str,
        before: &Cursor,
        after: &Cursor,
    ) -> Result<(), StoreError> {
        let Engine::Database(database) = &self.0 else {
            return Ok(());
        };
        let moved = after.0.iter();
        let moved = moved.filter(|(chain, row)| before.0.get(*chain) != Some(*row));
        let delivered = Delivered {
            sink: sink.to_owned(),
            rows: moved.map(|(chain, row)| (chain.clone(), *row)).collect(),
        };
        match &database.sinks {
            Some(pool) => write(pool, &delivered).await,
            None => database
                .lease(Leasing::Delivered(delivered))
                .await
                .map(drop),
        }
    }
}

/// # Errors
/// As for every statement.
pub(in crate::store) async fn write(
    on: impl Into<Runner<'_>>,
    delivered: &Delivered,
) -> Result<(), StoreError> {
    let mut runner = on.into();
    for (chain, row) in &delivered.rows {
        query(sql::DELIVERED)
            .bind(delivered.sink.as_str())
            .bind(chain.as_str())
            .bind(*row)
            .execute(runner.again())
            .await?;
    }
    Ok(())
}

impl Desk {
    /// Up to `limit` rows that the reader has not, the oldest chain first; none when it has all.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn follow(&self, cursor: &mut Cursor, limit: usize) -> Result<Vec<Line>, StoreError> {
        next(&self.readers, cursor, limit).await
    }
}

/// As [`Desk::follow`].
///
/// # Errors
/// What reading may tell.
pub(in crate::store) async fn next(
    readers: &Pool,
    cursor: &mut Cursor,
    limit: usize,
) -> Result<Vec<Line>, StoreError> {
    let mut lines = Vec::new();
    for chain in query(sql::HEADS).fetch_all(readers).await? {
        let name: String = chain.try_get("chain")?;
        let last: i64 = chain.try_get("sequence")?;
        let known = cursor.0.entry(name.clone()).or_default();
        let room = limit.saturating_sub(lines.len());
        if *known >= last || room == 0 {
            continue;
        }
        let page = query(sql::CHAIN)
            .bind(name.as_str())
            .bind(*known)
            .bind(last)
            .bind(i64::try_from(room).unwrap_or(i64::MAX));
        for row in page.fetch_all(readers).await? {
            let record: &str = row.try_get("record")?;
            let record = record.strip_suffix('}').unwrap_or(record);
            let hash: &str = row.try_get("hash")?;
            let sequence: i64 = row.try_get("sequence")?;
            let time = crate::domain::millis::to_time(row.try_get("time")?);
            lines.push(Line {
                time: time.unwrap_or(UtcDateTime::UNIX_EPOCH),
                anchor: Anchor {
                    chain: name.clone(),
                    sequence,
                    hash: hash.to_owned(),
                },
                text: format!("{record},\"hash\":\"{hash}\"}}"),
            });
            *known = sequence;
        }
    }
    Ok(lines)
}
