//! How often the cloud may be called, shared between the gateways of one PostgreSQL journal: each
//! takes slots, and nobody else gets those.

use crate::chaos;
use crate::store::connection::query;
use crate::store::error::StoreError;
use crate::store::pool::Pool;
use std::fmt;
use std::time::Duration;

/// A slot further ahead than this was written before the server's clock was set back.
const AHEAD_MAX: i64 = 60_000;

/// The server's time, in milliseconds, when the row is locked and not when the statement came.
macro_rules! now {
    () => {
        "CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)"
    };
}

/// A new key begins with one interval of silence.
const TAKE: &str = concat!(
    "INSERT INTO budgets (key, next_slot) VALUES ($1, ",
    now!(),
    " + $3 + $2) ON CONFLICT (key) DO UPDATE SET next_slot = CASE \
     WHEN budgets.next_slot BETWEEN ",
    now!(),
    " AND ",
    now!(),
    " + $4 THEN budgets.next_slot ELSE ",
    now!(),
    " END + $2 RETURNING next_slot, ",
    now!(),
    " AS now"
);

/// The shared budgets. Clones share their connection.
#[derive(Clone)]
pub struct Budgets(pub(in crate::store) Pool);

/// Slots that were taken. Times are the server's, since the UNIX epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When they were taken.
    pub now: Duration,
    /// The first slot; the others follow at the interval that was asked for.
    pub first: Duration,
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgets").finish_non_exhaustive()
    }
}

impl Budgets {
    /// Takes the next `count` slots of `key`, `interval` apart (whole milliseconds), none of them
    /// before now. Those that are not used are lost.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], and what else a statement may tell; then slots may be lost.
    pub async fn take(
        &self,
        key: &str,
        count: u32,
        interval: Duration,
    ) -> Result<Taken, StoreError> {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(AHEAD_MAX);
        let length = interval.saturating_mul(count.into());
        let row = query(TAKE)
            .bind(key)
            .bind(length)
            .bind(interval)
            .bind(AHEAD_MAX)
            .fetch_one(&self.0);
        let row = chaos::around!("store.budget", row, else Err(sqlx::Error::PoolTimedOut))?;
        let next: i64 = row.try_get("next_slot")?;
        let now: i64 = row.try_get("now")?;
        let since_epoch = |millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        Ok(Taken {
            now: since_epoch(now),
            first: since_epoch(next.saturating_sub(length)),
        })
    }
}
