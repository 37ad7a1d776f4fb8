//! Connections that many share, each lent for one statement. A server may fall silent, as a host without
//! power does, or a firewall that forgot the connection: the system would wait a quarter of an hour for it.

use crate::clock::Clock;
use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Connection as _};
use std::io::ErrorKind;
use std::time::Duration;

/// For how many times the wait for a lock a transaction on a server may last: one for the connection, one
/// for a lock, one for the rest.
const WAITS: u32 = 3;

/// For how long a server is waited for.
#[derive(Clone)]
pub(in crate::store) struct Patience {
    clock: Clock,
    limit: Duration,
}

/// Clones share the connections.
#[derive(Clone)]
pub(in crate::store) struct Pool {
    connections: AnyPool,
    /// None: for as long as it takes.
    patience: Option<Patience>,
}

impl Patience {
    /// That of who waits so long for a lock.
    pub(in crate::store) fn new(clock: Clock, busy_timeout: Duration) -> Self {
        let limit = busy_timeout.saturating_mul(WAITS);
        Self { clock, limit }
    }

    /// Does the work; what is given up may have been done.
    ///
    /// # Errors
    /// That of the work, and [`sqlx::Error::Io`] when it takes too long.
    pub(in crate::store) async fn bounds<T, E: From<sqlx::Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let outcome = self.clock.timeout(self.limit, work).await;
        outcome.unwrap_or_else(|| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()).into()))
    }

    /// Has a connection that is given back tried for no longer. Who goes away amid a statement leaves it so,
    /// and sqlx would try it for ever, with its place in the pool taken.
    pub(in crate::store) fn watch(self, options: AnyPoolOptions) -> AnyPoolOptions {
        options.after_release(move |connection, _metadata| {
            let patience = self.clone();
            Box::pin(async move { patience.bounds(connection.ping()).await.map(|()| true) })
        })
    }
}

impl Pool {
    pub(in crate::store) fn new(connections: AnyPool, patience: Option<Patience>) -> Self {
        Self {
            connections,
            patience,
        }
    }

    /// # Errors
    /// When there is none for the longest wait for one.
    pub(in crate::store) async fn acquire(&self) -> Result<PoolConnection<Any>, sqlx::Error> {
        self.connections.acquire().await
    }

    /// Gives what a statement on this connection gives.
    ///
    /// # Errors
    /// As [`Patience::bounds`].
    pub(in crate::store) async fn bounds<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match &self.patience {
            Some(patience) => patience.bounds(statement).await,
            None => statement.await,
        }
    }

    /// Waits for the connections that are lent.
    pub(in crate::store) async fn close(&self) {
        self.connections.close().await;
    }
}

/// Whether a statement was given up, or its connection broke: what comes next on it would be no answer.
pub(in crate::store) fn is_broken<T>(outcome: &Result<T, sqlx::Error>) -> bool {
    matches!(outcome, Err(sqlx::Error::Io(_)))
}
