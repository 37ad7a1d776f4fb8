//! The journal: every operation, durable before anything acts on it, in SQLite or PostgreSQL
//! behind one struct and one SQL text.

mod adoption;
mod audit;
mod body;
mod browse;
mod budget;
mod care;
mod chain;
mod changes;
mod checkpoint;
mod connection;
mod database;
mod desk;
mod engine;
mod error;
mod examined;
mod exported;
mod file;
mod follow;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod group;
mod keyring;
mod launched;
mod leasing;
mod model;
mod opening;
mod orders;
mod owners;
mod pool;
mod presence;
mod renewal;
mod reservations;
mod reserve;
mod rotation;
mod row;
mod schema;
mod seal;
mod sealing;
mod sql;
mod told;
mod verify;
mod writer;

pub use adoption::Adoption;
pub use body::SealedBody;
pub use browse::{Browse, Detail, Holder, Mark, NotDone, Page};
pub use budget::{Budgets, Taken};
pub use care::{Brake, Release};
pub use changes::Changes;
pub use desk::{Asked, Desk, Filter, Record};
pub use error::{Cause, StoreError};
pub use examined::{Examined, may_be_made};
pub use exported::{Expected, ExportCheck, Links};
pub use follow::{Cursor, Line};
pub use keyring::{check_key_file, new_key};
pub use launched::{Launched, LaunchedPage};
pub use model::{Call, Commit, Model, Moment, Now, Weather};
pub use orders::Order;
pub use owners::Owner;
pub use presence::{LivingPage, Presence};
pub use renewal::{KeyFile, Renewed};
pub use rotation::{Rotated, rotate_keys};
pub use verify::{Anchor, Verified};

use crate::clock::Clock;
use crate::domain::audit::Call as AuditedCall;
use crate::domain::decision::Decision;
use crate::domain::ids::{OperationId, OrganizationId, RequestId};
use crate::domain::instance::InstanceId;
use crate::domain::operation::{Lease, Operation, StateName};
use crate::domain::quota::{Exceeded, Quota};
use crate::metrics::Journal;
use database::Database;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use time::UtcDateTime;

/// Where the journal is, and its limits; a limit of 0 counts as 1.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `sqlite:///PATH`, `postgres://USER:PASSWORD@HOST/DATABASE`, or `sqlite::memory:` for tests.
    pub url: SecretString,
    /// The keys that it is sealed with. None: a SQLite file has its own beside it.
    pub key_file: Option<PathBuf>,
    /// Most connections that read; one more writes.
    pub pool_size: u32,
    /// Most writes that wait; an admission over it is refused at once.
    pub queue: usize,
    /// Most writes that share a commit.
    pub batch: usize,
    /// Longest wait for a lock or a connection.
    pub busy_timeout: Duration,
    /// Space held beside a SQLite file for the day that its disk is full; 0 for none.
    pub reserve_bytes: u32,
}

/// The journal. Clones share it.
#[derive(Clone)]
pub struct Store(Engine);

/// What keeps the journal. One contract, tests/it/store.rs, binds all.
#[derive(Clone)]
enum Engine {
    Database(Database),
    Model(Model),
}

/// The same call, of whichever engine it is.
macro_rules! either {
    ($store:ident, $engine:ident => $call:expr) => {
        match &$store.0 {
            Engine::Database($engine) => $call,
            Engine::Model($engine) => $call,
        }
    };
}

use either;

/// What became of the leases that were to be prolonged. Those that are in neither list are still the owner's,
/// for as long as before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    pub prolonged: Vec<OperationId>,
    /// Another owner has them, or nobody.
    pub lost: Vec<OperationId>,
}

/// A part of a list of operations, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Without those that cannot be read.
    pub operations: Vec<Operation>,
    /// The last that was looked at; none when there is nothing older.
    pub looked_to: Option<OperationId>,
}

/// An operation to accept.
#[derive(Clone, Debug)]
pub struct NewOperation {
    pub operation: Operation,
    /// SHA-256 of the request: the same `request_id` with another hash is a conflict.
    pub request_hash: [u8; 32],
    /// What will be sent to the cloud, every time: one for each place that it may be launched in.
    pub bodies: Vec<SealedBody>,
    /// Why it was allowed, for the audit.
    pub decision: Decision,
    /// The limits that it counts against.
    pub quotas: Vec<Quota>,
    /// What was asked for, for the audit.
    pub asked: AuditedCall,
    /// The replica that will step it.
    pub owner: String,
    pub now: UtcDateTime,
    /// How long the owner may step it without renewing.
    pub lease: Duration,
}

/// What became of a [`NewOperation`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once for each request and taken apart at once"
)]
pub enum Admission {
    /// It is durable, and the caller's to step.
    New(Lease),
    /// The request was accepted before; its operation as it stands.
    Replayed(Operation),
    /// The organisation used the `request_id` for another request: that of this operation.
    Conflict(OperationId),
    /// Nothing was written: it would go over these limits.
    Refused(Vec<Exceeded>),
}

/// An operation that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub lease: Lease,
    pub operation: Operation,
    /// How many processes died with it in hand, one after the other, before they completed a step.
    pub crashes: u32,
}

/// A snapshot to write.
#[derive(Clone, Debug)]
pub struct Save {
    pub lease: Lease,
    /// Its sequence is one more than the journal's.
    pub operation: Operation,
    /// Whether the last attempt is new or changed.
    pub attempt: bool,
}

/// What became of a [`Save`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is durable.
    Done,
    /// Nothing changed: another owner has the operation, or the journal has a later snapshot.
    /// Who is told so knows something old and must let go of the operation.
    LeaseLost,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Epoch of the lease of a new operation.
const FIRST_EPOCH: u64 = 1;

impl Store {
    /// Opens the journal, makes or updates its tables, and starts the task that writes. In SQLite
    /// all leases end: this process has the file to itself, so their owners are dead.
    ///
    /// # Errors
    /// When the database cannot be reached, is open in another process, is set so that it loses
    /// commits, or was written by a newer gateway.
    pub async fn open(
        settings: &Settings,
        metrics: Journal,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let database = Database::open(settings, metrics, clock).await?;
        Ok(Self(Engine::Database(database)))
    }

    /// The journal that `model` keeps in memory, for simulations.
    #[must_use]
    pub fn of_model(model: Model) -> Self {
        Self(Engine::Model(model))
    }

    /// How often the cloud may be called, shared with the other gateways of this journal; none in
    /// SQLite, which has one.
    #[must_use]
    pub fn budgets(&self) -> Option<Budgets> {
        match &self.0 {
            Engine::Database(database) => database.budgets.clone(),
            Engine::Model(_) => None,
        }
    }

    /// How much of the queue of writes is taken.
    #[must_use]
    pub fn queue_percent(&self) -> u32 {
        match &self.0 {
            Engine::Database(database) => database.queue_percent(),
            Engine::Model(_) => 0,
        }
    }

    /// Makes an operation durable, unless its organisation used the `request_id` before. It may
    /// happen although the caller goes away; then nobody renews the lease, and a claim finds it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] at once when the queue is full; and what writing may tell.
    pub async fn admit(&self, new: NewOperation) -> Result<Admission, StoreError> {
        either!(self, engine => engine.admit(new).await)
    }

    /// Writes snapshots in one transaction, in their order, each with its last attempt if so
    /// asked; the first final one of an operation purges its body. Waits while the queue is full.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn save(&self, saves: &[Save]) -> Result<Vec<Saved>, StoreError> {
        either!(self, engine => engine.save(saves).await)
    }

    /// Takes over up to `limit` operations that are not at rest and whose lease has run out, those
    /// that ran out first, each under a higher epoch; gives them oldest first. A lease that ends later
    /// than any that was given can has run out, too. A lease that was not
    /// released counts as a crash, and only operations are taken that then have one of `crashes`.
    /// One that cannot be read is logged and left alone until its new lease runs out; that counts as no crash.
    ///
    /// # Errors
    /// What writing may tell. Then it may have taken some over: [`Store::release`] gives them back.
    pub async fn claim(
        &self,
        owner: &str,
        now: UtcDateTime,
        ttl: Duration,
        crashes: RangeInclusive<u32>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        either!(self, engine => engine.claim(owner, now, ttl, crashes, limit).await)
    }

    /// Forgets the crashes of operations: a step of each was completed. A save does the same.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn calm(&self, leases: &[Lease]) -> Result<(), StoreError> {
        either!(self, engine => engine.calm(leases).await)
    }

    /// Prolongs the owner's leases of the operations it holds; what another transaction has locked for too long
    /// is left out. Only what is `held` is prolonged, so that an operation whose owner never learned of it (its
    /// caller went away, the answer was lost) can be claimed.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn renew(
        &self,
        owner: &str,
        held: &[OperationId],
        now: UtcDateTime,
        ttl: Duration,
    ) -> Result<Renewal, StoreError> {
        either!(self, engine => engine.renew(owner, held, now, ttl).await)
    }

    /// Ends the leases of an owner that run out `within` so long, but those of the operations that
    /// it has in hand: others need not wait then, and no crash is counted. Gives how many.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn release(
        &self,
        owner: &str,
        held: &[OperationId],
        now: UtcDateTime,
        within: Duration,
    ) -> Result<usize, StoreError> {
        either!(self, engine => engine.release(owner, held, now, within).await)
    }

    /// An operation of the organisation.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn get(
        &self,
        organization: &OrganizationId,
        id: OperationId,
    ) -> Result<Option<Operation>, StoreError> {
        either!(self, engine => engine.get(organization, id).await)
    }

    /// The operation that the organisation's `request_id` has, if it was made for the request of
    /// that hash.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn find(
        &self,
        organization: &OrganizationId,
        request_id: &RequestId,
        request_hash: &[u8; 32],
    ) -> Result<Option<Operation>, StoreError> {
        either!(self, engine => engine.find(organization, request_id, request_hash).await)
    }

    /// The body of an operation for the place `alternative`; none when it is final.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn body(
        &self,
        id: OperationId,
        alternative: u32,
    ) -> Result<Option<SealedBody>, StoreError> {
        either!(self, engine => engine.body(id, alternative).await)
    }

    /// Up to `limit` operations of the organisation, newest first, older than `before`, in one of
    /// the states of `filter` unless that is empty: of the next 10,000, for few may be in those states.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list(
        &self,
        organization: &OrganizationId,
        filter: &[StateName],
        before: Option<OperationId>,
        limit: u32,
    ) -> Result<Listed, StoreError> {
        either!(self, engine => engine.list(organization, filter, before, limit).await)
    }

    /// Whose the machines are; none for one that no operation has named.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn owners(&self, machines: &[InstanceId]) -> Result<Vec<Owner>, StoreError> {
        either!(self, engine => engine.owners(machines).await)
    }

    /// A page of the machines that an organisation launched, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn launched(&self, page: &LaunchedPage) -> Result<Vec<Launched>, StoreError> {
        either!(self, engine => engine.launched(page).await)
    }

    /// Those of the operations that are in the journal, whoever's they are; none for one that this
    /// version cannot read.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`] for an id that is none.
    pub async fn known(
        &self,
        operations: &[OperationId],
    ) -> Result<BTreeMap<OperationId, Option<Operation>>, StoreError> {
        either!(self, engine => engine.known(operations).await)
    }

    /// Gives an operation that has come to its end machines that nobody has; those that it was
    /// given. None when it is open, waits for a person, is unknown, or is of another place.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn adopt(&self, adoption: &Adoption) -> Result<Vec<InstanceId>, StoreError> {
        either!(self, engine => engine.adopt(adoption).await)
    }

    /// The accounts on which nothing new is launched.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        either!(self, engine => engine.brakes().await)
    }

    /// What a person wants to go on, oldest first, up to 100.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn releases(&self) -> Result<Vec<Release>, StoreError> {
        either!(self, engine => engine.releases().await)
    }

    /// Takes over an operation that a person wants to go on, with a row in the audit. One that does
    /// not wait for a person is not taken over: its crashes are forgotten, and its release is done.
    /// The save by which the operation goes on uses the release up, and lifts the brake that the
    /// operation is the cause of; so a release that was read before is good for nothing.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn take_released(
        &self,
        release: &Release,
        owner: &str,
        now: UtcDateTime,
        ttl: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        either!(self, engine => engine.take_released(release, owner, now, ttl).await)
    }

    /// How many operations are in each of these states. Those that have ended are never fewer, so to count them takes
    /// ever longer: about a second for ten million.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn counts(&self, states: &[StateName]) -> Result<Vec<(StateName, i64)>, StoreError> {
        either!(self, engine => engine.counts(states).await)
    }

    /// Whether the journal can be read, and written too if the last write failed.
    ///
    /// # Errors
    /// What reading and writing may tell.
    pub async fn ping(&self) -> Result<(), StoreError> {
        either!(self, engine => engine.ping().await)
    }

    /// What other replicas write, as they write it: makes fast what reading again makes true.
    #[must_use]
    pub fn changes(&self) -> Changes {
        match &self.0 {
            Engine::Database(database) => Changes::of(database.server.clone()),
            Engine::Model(_) => Changes::of(None),
        }
    }

    /// Returns when the disk failed: what is durable is no longer known, and the process must end.
    pub async fn failed(&self) -> StoreError {
        either!(self, engine => engine.failed().await)
    }

    /// Writes what waits, then closes every connection and gives up the lock.
    pub async fn close(&self) {
        either!(self, engine => engine.close().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::connection::{Runner, query};

    fn settings(url: String) -> Settings {
        Settings {
            url: url.into(),
            key_file: None,
            pool_size: 3,
            queue: 1,
            batch: 1,
            busy_timeout: Duration::from_millis(1234),
            reserve_bytes: 0,
        }
    }

    #[tokio::test]
    async fn every_sqlite_connection_is_set_up() {
        let name = format!("cvm-gateway-pragmas-{}", uuid::Uuid::new_v4());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let settings = settings(format!("sqlite://{}/journal.db", folder.display()));
        let target = engine::target(&settings).unwrap();
        let lock = target.lock().unwrap();
        for (pool, connections, query_only) in [
            (target.writer_pool(&settings), 1, 0),
            (target.reader_pool(&settings, None), 3, 1),
        ] {
            let mut open = Vec::new();
            for _ in 0..connections {
                let mut connection = pool.acquire().await.unwrap();
                assert_is_set_up(Runner::from(&mut *connection), query_only).await;
                open.push(connection);
            }
            drop(open);
            pool.close().await;
        }
        let writers = target.writers(&settings);
        let mut writer = writers.connect().await.unwrap();
        assert_is_set_up(Runner::from(&mut writer), 0).await;
        drop(writer);
        drop(lock);
        std::fs::remove_dir_all(folder).unwrap();
    }

    async fn assert_is_set_up(runner: Runner<'_>, query_only: i64) {
        let row = query(
            "SELECT journal_mode, synchronous, timeout, foreign_keys, secure_delete, \
             query_only FROM pragma_journal_mode, pragma_synchronous, \
             pragma_busy_timeout, pragma_foreign_keys, pragma_secure_delete, \
             pragma_query_only",
        );
        let row = row.fetch_one(runner).await.unwrap();
        assert_eq!(row.try_get::<&str>("journal_mode").unwrap(), "wal");
        let settings = ["synchronous", "timeout", "foreign_keys", "secure_delete"];
        let numbers = settings.map(|name| row.try_get::<i64>(name).unwrap());
        assert_eq!(numbers, [2, 1234, 1, 1]);
        assert_eq!(row.try_get::<i64>("query_only").unwrap(), query_only);
    }

    #[tokio::test]
    async fn sqlite_is_new_enough() {
        let settings = settings("sqlite::memory:".to_owned());
        let target = engine::target(&settings).unwrap();
        let mut connection = target.writer_pool(&settings).acquire().await.unwrap();
        let version: String = sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert!(engine::is_at_least(&version, "3.51.3"), "{version}");
        target.check(&mut *connection).await.unwrap();
    }
}
