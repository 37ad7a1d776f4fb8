//! The journal in SQLite or PostgreSQL: one writer for all, and readers beside it.

use crate::chaos;
use crate::clock::Clock;
use crate::domain::causes::chain;
use crate::domain::ids::{OperationId, OrganizationId, RequestId};
use crate::domain::millis;
use crate::domain::operation::{Lease, Operation, StateName};
use crate::metrics::Journal;
use crate::store::chain::Chain;
use crate::store::checkpoint::Checkpoint;
use crate::store::connection::{Row, query};
use crate::store::error::StoreError;
use crate::store::group::{Command, Reply};
use crate::store::leasing::Leasing;
use crate::store::pool::Pool;
use crate::store::row::{self, Admit, Admitted, Change, bigint};
use crate::store::sealing::Sealing;
use crate::store::writer::Writer;
use crate::store::{
    Admission, Budgets, Claimed, FIRST_EPOCH, Listed, NewOperation, Renewal, Save, Saved,
    SealedBody, Settings, opening, sql,
};
use secrecy::SecretString;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use time::UtcDateTime;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Operations that are looked at for one list: few of them may be in the states that are wanted.
const LOOK_MAX: i64 = 10_000;

/// A database that is open. Clones share it.
#[derive(Clone)]
pub(in crate::store) struct Database {
    pub(in crate::store) readers: Pool,
    pub(in crate::store) budgets: Option<Budgets>,
    /// Beside the one writer where there are other replicas: what one of them holds must not delay
    /// launches.
    pub(in crate::store) sinks: Option<Pool>,
    /// The URL, where other replicas may write, too.
    pub(in crate::store) server: Option<SecretString>,
    pub(in crate::store) sealing: Sealing,
    queue: mpsc::Sender<Command>,
    healthy: Arc<AtomicBool>,
    fatal: watch::Receiver<Option<StoreError>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Database {
    pub(in crate::store) async fn open(
        settings: &Settings,
        metrics: Journal,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let opened = opening::open(settings, &clock).await?;
        let (sender, queue) = mpsc::channel(settings.queue.max(1));
        let healthy = Arc::new(AtomicBool::new(true));
        let (failing, fatal) = watch::channel(None);
        let writer = Writer {
            writers: opened.writers,
            dialect: opened.dialect,
            connection: Some(opened.connection),
            chain: Chain::default(),
            queue,
            batch: settings.batch.max(1),
            metrics,
            clock,
            healthy: Arc::clone(&healthy),
            fatal: failing,
            reserve: opened.reserve,
            purged: false,
            logged: 0,
            checkpoint: Checkpoint::default(),
            busy_timeout: settings.busy_timeout,
            lock: opened.lock,
        };
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let writing = writer.run(stop.clone());
        if opened.dialect.notifies {
            tasks.spawn(writing);
        } else {
            // SQLite keeps its thread busy, and waits in it for the disk.
            let runtime = Handle::current();
            tasks.spawn_blocking(move || runtime.block_on(writing));
        }
        tasks.close();
        Ok(Self {
            server: opened.dialect.notifies.then(|| settings.url.clone()),
            sealing: opened.sealing,
            readers: opened.readers,
            budgets: opened.budgets.map(Budgets),
            sinks: opened.sinks,
            queue: sender,
            healthy,
            fatal,
            stop,
            tasks,
        })
    }

    /// How much of the queue of writes is taken.
    pub(in crate::store) fn queue_percent(&self) -> u32 {
        let (free, all) = (self.queue.capacity(), self.queue.max_capacity());
        let taken = all.saturating_sub(free).saturating_mul(100) / all.max(1);
        u32::try_from(taken).unwrap_or(u32::MAX)
    }

    pub(in crate::store) async fn admit(&self, new: NewOperation) -> Result<Admission, StoreError> {
        let request_hash = new.request_hash;
        let admit = Box::new(Admit::new(new, &self.sealing)?);
        let id = admit.operation.id;
        let (reply, answer) = oneshot::channel();
        self.queue
            .try_send(Command::Admit(admit, reply))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy,
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
            })?;
        match received(answer).await? {
            Admitted::New => Ok(Admission::New(Lease {
                operation: id,
                epoch: FIRST_EPOCH,
            })),
            Admitted::Known(known)
                if chaos::wrong!(
                    "request-hash-ignored",
                    self.sealing
                        .is_of(row::request_hash(&known)?, &request_hash),
                    true
                ) =>
            {
                Ok(Admission::Replayed(row::operation(&known)?))
            }
            Admitted::Known(known) => Ok(Admission::Conflict(row::id(&known)?)),
            Admitted::Refused(exceeded) => Ok(Admission::Refused(exceeded)),
        }
    }

    pub(in crate::store) async fn save(&self, saves: &[Save]) -> Result<Vec<Saved>, StoreError> {
        let changes = saves.iter().map(Change::new).collect::<Result<_, _>>()?;
        self.ask(|reply| Command::Save(changes, reply)).await
    }

    pub(in crate::store) async fn claim(
        &self,
        owner: &str,
        now: UtcDateTime,
        ttl: Duration,
        crashes: RangeInclusive<u32>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let rows = self
            .lease(Leasing::Claim {
                owner: owner.to_owned(),
                now: millis::from_time(now),
                ttl: bigint(ttl.as_millis()),
                crashes,
                limit: limit.into(),
            })
            .await?;
        let (mut claimed, mut unread) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            match row::claimed(row) {
                Ok(operation) => claimed.push(operation),
                Err(error) => {
                    tracing::error!(
                        error = chain(&error, ": "),
                        "an operation cannot be continued by this version; it is tried again when the lease ends"
                    );
                    unread.extend(row::lease(row));
                }
            }
        }
        if !unread.is_empty() {
            // Else it would be nobody's after some times, also for a newer version that could read it.
            self.lease(Leasing::Unread(unread)).await?;
        }
        claimed.sort_by_key(|claimed| claimed.lease.operation);
        Ok(claimed)
    }

    pub(in crate::store) async fn calm(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.lease(Leasing::Calm(leases.to_vec())).await?;
        Ok(())
    }

    pub(in crate::store) async fn renew(
        &self,
        owner: &str,
        held: &[OperationId],
        now: UtcDateTime,
        ttl: Duration,
    ) -> Result<Renewal, StoreError> {
        let rows = self
            .lease(Leasing::Renew {
                owner: owner.to_owned(),
                held: held.iter().map(OperationId::to_string).collect(),
                now: millis::from_time(now),
                ttl: bigint(ttl.as_millis()),
            })
            .await?;
        let (mut renewal, mut own) = (Renewal::default(), HashSet::new());
        for row in &rows {
            let id = row::id(row)?;
            own.insert(id);
            if row.try_get::<&str>("lease")? == sql::PROLONGED {
                renewal.prolonged.push(id);
            }
        }
        let lost = held.iter().filter(|id| !own.contains(id));
        renewal.lost = lost.copied().collect();
        Ok(renewal)
    }

    pub(in crate::store) async fn release(
        &self,
        owner: &str,
        held: &[OperationId],
        now: UtcDateTime,
        within: Duration,
    ) -> Result<usize, StoreError> {
        let released = self.lease(Leasing::Release {
            owner: owner.to_owned(),
            held: held.iter().copied().collect(),
            now: millis::from_time(now),
            within: bigint(within.as_millis()),
        });
        Ok(released.await?.len())
    }

    pub(in crate::store) async fn get(
        &self,
        organization: &OrganizationId,
        id: OperationId,
    ) -> Result<Option<Operation>, StoreError> {
        let row = query(sql::GET)
            .bind(organization.as_str())
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(row::operation).transpose()
    }

    pub(in crate::store) async fn find(
        &self,
        organization: &OrganizationId,
        request_id: &RequestId,
        request_hash: &[u8; 32],
    ) -> Result<Option<Operation>, StoreError> {
        let row = query(sql::FIND_REQUEST)
            .bind(organization.as_str())
            .bind(request_id.as_str())
            .fetch_optional(&self.readers)
            .await?;
        match &row {
            Some(row) if self.sealing.is_of(row::request_hash(row)?, request_hash) => {
                row::operation(row).map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }

    pub(in crate::store) async fn body(
        &self,
        id: OperationId,
        alternative: u32,
    ) -> Result<Option<SealedBody>, StoreError> {
        let row = query(sql::BODY)
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?;
        let keyring = &self.sealing.keyring;
        row.as_ref()
            .map_or(Ok(None), |row| row::body(row, alternative, keyring))
    }

    pub(in crate::store) async fn list(
        &self,
        organization: &OrganizationId,
        filter: &[StateName],
        before: Option<OperationId>,
        limit: u32,
    ) -> Result<Listed, StoreError> {
        let before = before.map_or_else(|| sql::LAST_ID.to_owned(), |id| id.to_string());
        let end = match filter {
            [] => None,
            _ => self.look_ends(organization, &before).await?,
        };
        let from = end.map_or_else(String::new, |id| id.to_string());
        let rows = self.list_rows(organization, filter, (&before, &from), limit);
        let rows = rows.await?;
        let looked_to = match rows.last() {
            Some(last) if u32::try_from(rows.len()) == Ok(limit) => Some(row::id(last)?),
            Some(_) | None => end,
        };
        let mut operations = Vec::with_capacity(rows.len());
        for row in &rows {
            match row::operation(row) {
                Ok(operation) => operations.push(operation),
                // One must not hide the others.
                Err(error) => {
                    tracing::error!(error = chain(&error, ": "), "a row is left out of a list");
                }
            }
        }
        Ok(Listed {
            operations,
            looked_to,
        })
    }

    async fn list_rows(
        &self,
        organization: &OrganizationId,
        filter: &[StateName],
        (before, from): (&str, &str),
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let mut query = query(sql::browse::LIST)
            .bind(organization.as_str())
            .bind(before)
            .bind(from);
        let wanted: Vec<_> = StateName::ALL
            .into_iter()
            .filter(|state| filter.is_empty() || filter.contains(state))
            .collect();
        for state in wanted.iter().cycle().take(StateName::ALL.len()) {
            query = query.bind(state.as_str());
        }
        Ok(query
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?)
    }

    /// The last operation that a list of what is older than `before` looks at; none when it looks at all.
    async fn look_ends(
        &self,
        organization: &OrganizationId,
        before: &str,
    ) -> Result<Option<OperationId>, StoreError> {
        let last = query(sql::browse::LOOK_ENDS)
            .bind(organization.as_str())
            .bind(before)
            .bind(LOOK_MAX - 1);
        let last = last.fetch_optional(&self.readers).await?;
        last.as_ref().map(row::id).transpose()
    }

    pub(in crate::store) async fn counts(
        &self,
        states: &[StateName],
    ) -> Result<Vec<(StateName, i64)>, StoreError> {
        let mut counts = query(sql::counts(states.len()));
        for state in states {
            counts = counts.bind(state.as_str());
        }
        let rows = counts.fetch_all(&self.readers).await?;
        let mut counts: Vec<_> = states.iter().map(|state| (*state, 0)).collect();
        for row in &rows {
            let name: &str = row.try_get("state")?;
            let count = counts.iter_mut().find(|(state, _)| state.as_str() == name);
            if let Some((_, count)) = count {
                *count = row.try_get("operations")?;
            }
        }
        Ok(counts)
    }

    pub(in crate::store) async fn ping(&self) -> Result<(), StoreError> {
        if self.queue.is_closed() {
            return Err(StoreError::Closed);
        }
        if !self.healthy.load(Ordering::Relaxed) {
            self.lease(Leasing::Probe).await?;
        }
        query(sql::PING).fetch_optional(&self.readers).await?;
        Ok(())
    }

    pub(in crate::store) async fn failed(&self) -> StoreError {
        let mut fatal = self.fatal.clone();
        let error = fatal.wait_for(Option::is_some).await.ok();
        let error = error.and_then(|error| error.clone());
        match error {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    pub(in crate::store) async fn close(&self) {
        self.readers.close().await;
        if let Some(Budgets(pool)) = &self.budgets {
            pool.close().await;
        }
        if let Some(pool) = &self.sinks {
            pool.close().await;
        }
        self.stop.cancel();
        self.tasks.wait().await;
    }

    pub(in crate::store) async fn lease(&self, leasing: Leasing) -> Result<Vec<Row>, StoreError> {
        self.ask(|reply| Command::Lease(leasing, reply)).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = chaos::around!("store.queue", self.queue.send(command(reply)), else return Err(StoreError::Busy));
        sent.map_err(|_closed| StoreError::Closed)?;
        received(answer).await
    }
}

async fn received<T>(answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    answer.await.unwrap_or(Err(StoreError::Closed))
}
