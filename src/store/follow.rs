//! Reads the audit in the order of each chain, from where a reader is.

use crate::store::desk::Desk;
use crate::store::error::StoreError;
use crate::store::sql;
use sqlx::{AnyPool, Row};
use std::collections::BTreeMap;
use time::UtcDateTime;

/// How many rows of each chain a reader has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub(in crate::store) BTreeMap<String, i64>);

/// A row, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub time: UtcDateTime,
    /// A JSON object without line breaks.
    pub text: String,
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
    readers: &AnyPool,
    cursor: &mut Cursor,
    limit: usize,
) -> Result<Vec<Line>, StoreError> {
    let mut lines = Vec::new();
    for chain in sqlx::query(sql::HEADS).fetch_all(readers).await? {
        let name: String = chain.try_get("chain")?;
        let last: i64 = chain.try_get("sequence")?;
        let known = cursor.0.entry(name.clone()).or_default();
        let room = limit.saturating_sub(lines.len());
        if *known >= last || room == 0 {
            continue;
        }
        let page = sqlx::query(sql::CHAIN)
            .bind(name.as_str())
            .bind(*known)
            .bind(last)
            .bind(i64::try_from(room).unwrap_or(i64::MAX));
        for row in page.fetch_all(readers).await? {
            let record: &str = row.try_get("record")?;
            let record = record.strip_suffix('}').unwrap_or(record);
            let hash: &str = row.try_get("hash")?;
            let time = crate::domain::millis::to_time(row.try_get("time")?);
            lines.push(Line {
                time: time.unwrap_or(UtcDateTime::UNIX_EPOCH),
                text: format!("{record},\"hash\":\"{hash}\"}}"),
            });
            *known = row.try_get("sequence")?;
        }
    }
    Ok(lines)
}
