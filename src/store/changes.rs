//! Tells one replica what another one wrote: PostgreSQL carries it with the commit. It may be lost; who
//! waits reads the journal from time to time all the same.

use crate::domain::ids::OperationId;
use crate::store::connection::{Connection, query};
use crate::store::error::StoreError;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgListener;
use std::fmt;

const CHANNEL: &str = "cvm_gateway_operations";
/// Ids of one message, each 36 bytes and a space: a message has less than 8000 bytes.
const IDS_MAX: usize = 200;

/// What replicas write, as they write it.
pub struct Changes {
    url: Option<SecretString>,
    listener: Option<PgListener>,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

impl Changes {
    /// Of the server with that URL; none where there is only one replica.
    pub(in crate::store) const fn of(url: Option<SecretString>) -> Self {
        Self {
            url,
            listener: None,
        }
    }

    /// Returns when operations were written; never, where there is only one replica. Dropping the
    /// future loses nothing that is not read from the journal anyway.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the connection was lost, and something may have been missed.
    /// The next call connects anew; the caller waits before it.
    pub async fn next(&mut self) -> Result<Vec<OperationId>, StoreError> {
        let Some(url) = &self.url else {
            return std::future::pending().await;
        };
        let listener = match &mut self.listener {
            Some(listener) => listener,
            none => {
                let mut listener = PgListener::connect(url.expose_secret()).await?;
                listener.listen(CHANNEL).await?;
                none.insert(listener)
            }
        };
        let heard = listener.recv().await;
        if heard.is_err() {
            self.listener = None;
        }
        let ids = heard?;
        let ids = ids.payload().split(' ').map(OperationId::parse);
        Ok(ids.filter_map(Result::ok).collect())
    }
}

/// Tells every replica, once this transaction is committed.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn tell(
    connection: &mut Connection,
    ids: &[OperationId],
) -> Result<(), StoreError> {
    for ids in ids.chunks(IDS_MAX) {
        let ids: Vec<_> = ids.iter().map(OperationId::to_string).collect();
        query("SELECT CAST(pg_notify($1, $2) AS TEXT)")
            .bind(CHANNEL)
            .bind(ids.join(" "))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
