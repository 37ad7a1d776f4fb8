//! The one task that writes: it takes what waits, writes it in one transaction, commits once and
//! then answers everyone, so that concurrent writes share one fsync.

use crate::chaos;
use crate::clock::Clock;
use crate::domain::causes::chain;
use crate::metrics::Journal;
use crate::store::chain::Chain;
use crate::store::checkpoint::Checkpoint;
use crate::store::connection::{Connection, query};
use crate::store::engine::{self, Dialect, Writers};
use crate::store::error::StoreError;
use crate::store::group::{Answers, Command, Group};
use crate::store::pool::Patience;
use crate::store::reserve::Reserve;
use crate::store::sql;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Rows after which SQLite's log is put into the database, each some pages: so it stays at some tens of
/// megabytes.
const CHECKPOINT_WRITES: u32 = 1024;
/// Rows after which commits wait for that: the disk is slower than they are.
const WAIT_WRITES: u32 = 4 * CHECKPOINT_WRITES;
/// Rows after which it is done between two commits while a full disk has no more space than the reserve had.
const CHECKPOINT_WRITES_IN_RESERVE: u32 = 256;

/// How long nothing is written before what was deleted is taken out of SQLite's log. That is two flushes,
/// and makes the log grow anew, for which each commit then waits more than for writing over what is there.
const PAUSE: Duration = Duration::from_millis(100);

/// The writer's own things.
pub(in crate::store) struct Writer {
    pub(in crate::store) writers: Writers,
    pub(in crate::store) dialect: &'static Dialect,
    /// None until it is needed, and after every failure: what a failed transaction left of its
    /// connection is not trusted.
    pub(in crate::store) connection: Option<Connection>,
    /// Of the audit, and of that connection.
    pub(in crate::store) chain: Chain,
    pub(in crate::store) queue: mpsc::Receiver<Command>,
    /// Most commands of one transaction.
    pub(in crate::store) batch: usize,
    pub(in crate::store) metrics: Journal,
    pub(in crate::store) clock: Clock,
    /// Whether the last commit worked.
    pub(in crate::store) healthy: Arc<AtomicBool>,
    /// The first [`StoreError::Fatal`]. Nothing is tried after it, for an fsync that is repeated
    /// after a failure may succeed without having written anything.
    pub(in crate::store) fatal: watch::Sender<Option<StoreError>>,
    /// Space for the day that the disk is full.
    pub(in crate::store) reserve: Option<Reserve>,
    /// Whether the log of writes holds bodies that were deleted.
    pub(in crate::store) purged: bool,
    /// Rows in the log since it was last put into the database.
    pub(in crate::store) logged: u32,
    /// Puts the log into the database beside the commits.
    pub(in crate::store) checkpoint: Checkpoint,
    pub(in crate::store) busy_timeout: Duration,
    /// Keeps other processes out while this one may write.
    pub(in crate::store) lock: Option<File>,
}

impl Writer {
    /// Writes until the store is gone, or `stop` is cancelled and the queue is empty.
    pub(in crate::store) async fn run(mut self, stop: CancellationToken) {
        let mut commands = Vec::with_capacity(self.batch);
        loop {
            tokio::select! {
                () = stop.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                taken = self.queue.recv_many(&mut commands, self.batch) => {
                    if taken == 0 {
                        break;
                    }
                    self.write(commands.drain(..).collect()).await;
                    if self.log_is_long() {
                        self.shorten_log().await;
                    }
                }
                done = self.checkpoint.ended(), if self.checkpoint.is_under_way() => {
                    self.rest_of_checkpoint(done).await;
                }
                () = self.clock.sleep(PAUSE), if self.may_scrub() => {
                    self.scrub().await;
                }
            }
        }
        if self.checkpoint.is_under_way() {
            let done = self.checkpoint.ended().await;
            self.rest_of_checkpoint(done).await;
        }
        if self.purged {
            self.scrub().await;
        }
        self.connection = None;
        self.writers.close().await;
        drop(self.lock);
    }

    /// Writes a group in one transaction. When a statement is refused, or waits for a lock for too
    /// long, each member is written alone, so that a bad one does not fail its neighbours. When the
    /// disk is full, its reserve takes what is not new.
    async fn write(&mut self, mut group: Group) {
        self.purged |= self.dialect.log_is_ours && group.purges();
        if let Some(full) = self.out_of_space().await {
            group.refuse_new(&full);
        }
        if group.len() == 0 {
            return;
        }
        match self.commit(&mut group).await {
            Ok(answers) => chaos::at!("store.answer", group.answer(answers), else ()),
            Err(full @ StoreError::Full { .. }) if self.use_reserve() => {
                group.refuse_new(&full);
                self.write_singly(group.singles()).await;
            }
            Err(StoreError::Refused { .. } | StoreError::Full { .. }) if group.len() > 1 => {
                self.write_singly(group.singles()).await;
            }
            Err(error) if error.is_lock_timeout() => {
                let wait = self.busy_timeout;
                self.write_singly(group.around_locks(wait)).await;
            }
            Err(error) => group.fail(&error),
        }
    }

    /// An outage ends it for all that are left, who would each wait for as long to learn of it.
    async fn write_singly(&mut self, singles: impl Iterator<Item = Group>) {
        let mut outage = None;
        for mut single in singles {
            let written = match outage.clone() {
                None => self.commit(&mut single).await,
                Some(error) => Err(error),
            };
            match written {
                Ok(answers) => single.answer(answers),
                Err(error) => {
                    single.fail(&error);
                    outage = Some(error).filter(StoreError::is_outage);
                }
            }
        }
    }

    /// Why nothing new may be written: the reserve is in use, and could not be made anew.
    async fn out_of_space(&mut self) -> Option<StoreError> {
        let reserve = self.reserve.as_mut()?;
        reserve.refill(self.clock.elapsed()).await;
        reserve.in_use()
    }

    /// Gives the reserve up, so that the disk has space; false when there is none to give.
    fn use_reserve(&mut self) -> bool {
        self.reserve.as_mut().is_some_and(Reserve::give_up)
    }

    /// When the connection is lost nobody knows whether the commit went through. Admissions and
    /// saves recognise themselves in the journal, so they are simply repeated on a new connection. A
    /// claim does not: who asked for it hears of the doubt, and gives back what it may have been given.
    async fn commit(&mut self, group: &mut Group) -> Result<Answers, StoreError> {
        match self.try_commit(group).await {
            Err(doubt) if doubt.is_outage() => {
                group.refuse_claims(&doubt);
                if group.len() == 0 {
                    return Err(doubt);
                }
                self.try_commit(group).await
            }
            decided => decided,
        }
    }

    async fn try_commit(&mut self, group: &Group) -> Result<Answers, StoreError> {
        if let Some(error) = &*self.fatal.borrow() {
            return Err(error.clone());
        }
        let outcome = self.transact_in_time(group).await;
        match &outcome {
            Ok(answers) => {
                self.healthy.store(!self.in_reserve(), Ordering::Relaxed);
                self.logged = self.logged.saturating_add(group.rows(answers));
            }
            Err(error) => self.distrust(error),
        }
        outcome
    }

    fn distrust(&mut self, error: &StoreError) {
        self.metrics.failed(error.kind());
        self.healthy.store(false, Ordering::Relaxed);
        self.chain = Chain::default();
        if matches!(error, StoreError::Full { .. }) {
            // What is in the log by now may have room in the database, and then there is some in the log.
            self.logged = u32::MAX;
        }
        let fatal = matches!(error, StoreError::Fatal { .. });
        if let Some(connection) = self.connection.take() {
            connection.abandon(fatal);
        }
        if fatal {
            self.fatal.send_replace(Some(error.clone()));
        }
    }

    /// Whether a full disk has only what the reserve gave up.
    fn in_reserve(&self) -> bool {
        let reserve = self.reserve.as_ref();
        reserve.and_then(Reserve::in_use).is_some()
    }

    fn log_is_long(&self) -> bool {
        let most = if self.in_reserve() {
            CHECKPOINT_WRITES_IN_RESERVE
        } else {
            CHECKPOINT_WRITES
        };
        self.dialect.log_is_ours && self.logged >= most
    }

    /// Keeps SQLite's log short. Most of it is put into the database beside the commits, so that none waits for
    /// more than the rest.
    async fn shorten_log(&mut self) {
        if self.fatal.borrow().is_some() {
            return;
        }
        if !self.checkpoint.is_under_way() && !self.in_reserve() {
            self.checkpoint.begin(&self.writers);
        }
        if !self.checkpoint.is_under_way() {
            self.rest_of_checkpoint(Ok(())).await;
        } else if self.logged >= WAIT_WRITES || self.in_reserve() {
            let done = self.checkpoint.ended().await;
            self.rest_of_checkpoint(done).await;
        }
    }

    /// Puts what was written meanwhile into the database, too: the log begins anew only once all of it is there.
    /// On a new connection where a full disk has cost the last one.
    async fn rest_of_checkpoint(&mut self, done: Result<(), StoreError>) {
        if self.fatal.borrow().is_some() {
            return;
        }
        let done = match done {
            Ok(()) => match connected(&mut self.connection, &self.writers).await {
                Ok(connection) => engine::checkpoint(connection).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => self.logged = 0,
            Err(error) => self.log_failed(&error),
        }
    }

    fn may_scrub(&self) -> bool {
        self.purged && self.connection.is_some() && !self.checkpoint.is_under_way()
    }

    /// Takes what was deleted out of the log of writes, too; it else stays until it is written over.
    async fn scrub(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let truncated = engine::truncate_log(connection, self.busy_timeout);
        match chaos::around!("store.scrub", truncated, else Err(StoreError::Busy)) {
            Ok(done) => {
                self.purged = !done;
                self.logged = 0;
            }
            Err(error) => self.log_failed(&error),
        }
    }

    fn log_failed(&mut self, error: &StoreError) {
        tracing::warn!(
            error = chain(error, ": "),
            "the log of the journal was not emptied"
        );
        self.distrust(error);
        if matches!(error, StoreError::Full { .. }) {
            self.use_reserve();
        }
    }

    /// What is given up may have been committed, as when the connection is lost.
    async fn transact_in_time(&mut self, group: &Group) -> Result<Answers, StoreError> {
        if self.dialect.log_is_ours {
            return self.transact(group).await;
        }
        let patience = Patience::new(self.clock.clone(), self.busy_timeout);
        patience.bounds(self.transact(group)).await
    }

    async fn transact(&mut self, group: &Group) -> Result<Answers, StoreError> {
        let connection = connected(&mut self.connection, &self.writers).await?;
        let begun = connection.run(self.dialect.begin);
        chaos::around!("store.begin", begun, else Err(sqlx::Error::WorkerCrashed))?;
        if let Some(wait) = group.lock_wait {
            query(sql::lock_wait(wait))
                .execute(&mut *connection)
                .await?;
        }
        let mut chain = self.chain.clone();
        let answers = group.write(connection, self.dialect, &mut chain);
        let answers =
            chaos::around!("store.write", answers, else Err(sqlx::Error::WorkerCrashed.into()))?;
        let started = self.clock.elapsed();
        chaos::around!("store.commit", connection.run("COMMIT"), else Err(sqlx::Error::WorkerCrashed))?;
        self.chain = chain;
        let took = self.clock.elapsed().saturating_sub(started);
        self.metrics.commit_seconds.observe(took.as_secs_f64());
        self.metrics.commit_writes.observe(group.writes().into());
        Ok(answers)
    }
}

/// The connection, which is made where there is none.
async fn connected<'c>(
    connection: &'c mut Option<Connection>,
    writers: &Writers,
) -> Result<&'c mut Connection, StoreError> {
    let made = connection.is_none();
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(chaos::around!("store.acquire", writers.connect(), else Err(sqlx::Error::PoolTimedOut))?),
    };
    if made {
        // It may be to another server than the first one, or to one that is set otherwise since. Kept already: whoever
        // waits no longer for a silent server must find it, to let it go.
        writers.target.check(&mut *connection).await?;
    }
    Ok(connection)
}
