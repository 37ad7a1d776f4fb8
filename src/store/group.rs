//! What one transaction writes for many callers, and what each of them is answered.

use crate::chaos;
use crate::domain::ids::OperationId;
use crate::domain::millis;
use crate::domain::operation::Attempt;
use crate::store::audit::Entry;
use crate::store::chain::Chain;
use crate::store::connection::{Connection, Row, query};
use crate::store::engine::Dialect;
use crate::store::error::StoreError;
use crate::store::launched;
use crate::store::leasing::{self, Leasing};
use crate::store::row::{Admit, Admitted, Change};
use crate::store::{Saved, care, changes, owners, reservations, row, sql};
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::oneshot;

/// Where an answer goes. That nobody waits any more does not undo a write.
pub(in crate::store) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked for.
pub(in crate::store) enum Command {
    Admit(Box<Admit>, Reply<Admitted>),
    Save(Vec<Change>, Reply<Vec<Saved>>),
    Lease(Leasing, Reply<Vec<Row>>),
}

/// The members of one transaction.
#[derive(Default)]
pub(in crate::store) struct Group {
    admits: Vec<(Box<Admit>, Reply<Admitted>)>,
    saves: Vec<(Vec<Change>, Reply<Vec<Saved>>)>,
    leasings: Vec<(Leasing, Reply<Vec<Row>>)>,
    /// How long it waits for a lock, if for less than usual.
    pub(in crate::store) lock_wait: Option<Duration>,
}

/// One for each member, in its order.
pub(in crate::store) struct Answers {
    admits: Vec<Admitted>,
    saves: Vec<Vec<Saved>>,
    leasings: Vec<Vec<Row>>,
}

impl FromIterator<Command> for Group {
    fn from_iter<I: IntoIterator<Item = Command>>(commands: I) -> Self {
        let mut group = Self::default();
        for command in commands {
            match command {
                Command::Admit(row, reply) => group.admits.push((row, reply)),
                Command::Save(changes, reply) => group.saves.push((changes, reply)),
                Command::Lease(leasing, reply) => group.leasings.push((leasing, reply)),
            }
        }
        group
    }
}

impl Group {
    /// How many callers wait for it.
    pub(in crate::store) fn len(&self) -> usize {
        self.admits.len() + self.saves.len() + self.leasings.len()
    }

    /// How many writes it is, as the metric counts them.
    pub(in crate::store) fn writes(&self) -> u32 {
        let changes: usize = self.saves.iter().map(|(changes, _)| changes.len()).sum();
        u32::try_from(self.admits.len() + changes + self.leasings.len()).unwrap_or(u32::MAX)
    }

    /// How many writes it was for SQLite's log, which gets some pages for each row.
    pub(in crate::store) fn rows(&self, answers: &Answers) -> u32 {
        let leasings = self.leasings.iter().zip(&answers.leasings);
        let rows = leasings.map(|((leasing, _), given)| leasing.untold().max(given.len()));
        let more: usize = rows.map(|rows| rows.saturating_sub(1)).sum();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.writes().saturating_add(more)
    }

    /// Whether it deletes bodies, or what they were sealed with before.
    pub(in crate::store) fn purges(&self) -> bool {
        let mut changes = self.saves.iter().flat_map(|(changes, _)| changes);
        let mut leasings = self.leasings.iter().map(|(leasing, _)| leasing);
        changes.any(|change| change.state.is_final())
            || leasings.any(|leasing| matches!(leasing, Leasing::SealAnew(..)))
    }

    /// The members, each a group by itself.
    pub(in crate::store) fn singles(self) -> impl Iterator<Item = Self> {
        let admits = self
            .admits
            .into_iter()
            .map(|(row, reply)| Command::Admit(row, reply));
        let saves = self
            .saves
            .into_iter()
            .map(|(rows, reply)| Command::Save(rows, reply));
        let leasings = self
            .leasings
            .into_iter()
            .map(|(work, reply)| Command::Lease(work, reply));
        admits
            .chain(saves)
            .chain(leasings)
            .map(|command| Self::from_iter([command]))
    }

    /// The members, each a group by itself, which together wait for locks for as long as one does. What
    /// another holds must not end the leases of everything else.
    pub(in crate::store) fn around_locks(self, wait: Duration) -> impl Iterator<Item = Self> {
        let members = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let part = wait / members.max(1);
        self.singles().map(move |single| Self {
            lock_wait: Some(part),
            ..single
        })
    }

    /// Refuses what is new: admissions, calls that were not carried out, and the question whether the disk takes
    /// writes. What became of earlier launches, and their leases, stays.
    pub(in crate::store) fn refuse_new(&mut self, error: &StoreError) {
        for (_, reply) in self.admits.drain(..) {
            send(reply, Err(error.clone()));
        }
        self.refuse(error, |leasing| {
            matches!(leasing, Leasing::Tell(_) | Leasing::Probe)
        });
    }

    /// Refuses what would not find again what it was given by a commit in doubt.
    pub(in crate::store) fn refuse_claims(&mut self, error: &StoreError) {
        self.refuse(error, |leasing| matches!(leasing, Leasing::Claim { .. }));
    }

    fn refuse(&mut self, error: &StoreError, which: impl Fn(&Leasing) -> bool) {
        let refused = self.leasings.extract_if(.., |(leasing, _)| which(leasing));
        for (_, reply) in refused {
            send(reply, Err(error.clone()));
        }
    }

    /// Tells everyone how it went.
    pub(in crate::store) fn answer(self, answers: Answers) {
        for ((_, reply), answer) in self.admits.into_iter().zip(answers.admits) {
            send(reply, Ok(answer));
        }
        for ((_, reply), answer) in self.saves.into_iter().zip(answers.saves) {
            send(reply, Ok(answer));
        }
        for ((_, reply), answer) in self.leasings.into_iter().zip(answers.leasings) {
            send(reply, Ok(answer));
        }
    }

    /// Tells everyone that it went wrong.
    pub(in crate::store) fn fail(self, error: &StoreError) {
        for (_, reply) in self.admits {
            send(reply, Err(error.clone()));
        }
        for (_, reply) in self.saves {
            send(reply, Err(error.clone()));
        }
        for (_, reply) in self.leasings {
            send(reply, Err(error.clone()));
        }
    }

    /// Runs the statements of all members. To run them twice changes nothing more. The audit comes
    /// last: the chain goes on from what was really changed.
    ///
    /// # Errors
    /// That of the first statement which fails.
    pub(in crate::store) async fn write(
        &self,
        connection: &mut Connection,
        dialect: &Dialect,
        chain: &mut Chain,
    ) -> Result<Answers, StoreError> {
        let admits: Vec<&Admit> = self.admits.iter().map(|(row, _)| &**row).collect();
        let changed: Vec<&Change> = self.saves.iter().flat_map(|(rows, _)| rows).collect();
        let mut told = Vec::new();
        let admits = admit(connection, dialect, &admits, &mut told).await?;
        let saved = save(connection, dialect, &changed, &mut told).await?;
        if dialect.notifies {
            let done = changed.iter().zip(&saved);
            let done = done.filter(|(_, saved)| **saved == Saved::Done);
            let ids: Vec<_> = done.map(|(change, _)| change.id).collect();
            changes::tell(connection, &ids).await?;
        }
        let mut saved = saved.into_iter();
        let saves = self
            .saves
            .iter()
            .map(|(rows, _)| {
                let mut saved: Vec<_> = saved.by_ref().take(rows.len()).collect();
                done_with_later(rows.iter().map(|change| change.id), &mut saved);
                saved
            })
            .collect();
        let mut leasings = Vec::with_capacity(self.leasings.len());
        let mut also_told = Vec::new();
        for (leasing, _) in &self.leasings {
            leasings.push(leasing::run(connection, dialect, leasing, &mut also_told).await?);
        }
        told.extend(&also_told);
        tell(connection, chain, &told).await?;
        Ok(Answers {
            admits,
            saves,
            leasings,
        })
    }
}

/// A caller that has gone away needs no answer.
fn send<T>(reply: Reply<T>, answer: Result<T, StoreError>) {
    drop(reply.send(answer));
}

/// Adds what was done to the audit, in the transaction of just that.
async fn tell(
    connection: &mut Connection,
    chain: &mut Chain,
    told: &[&Entry],
) -> Result<(), StoreError> {
    if told.is_empty() {
        return Ok(());
    }
    let () = chaos::wrong!("audit-outside", (), end_transaction(connection).await?);
    let written = chain.write(connection, told);
    let written =
        chaos::around!("store.audit", written, else Err(sqlx::Error::WorkerCrashed.into()));
    chaos::wrong!("audit-optional", written, written.or(Ok(())))
}

/// The mistake of that name: what is done is durable before it is told.
#[cfg(feature = "chaos")]
async fn end_transaction(connection: &mut Connection) -> Result<(), StoreError> {
    for statement in ["COMMIT", "BEGIN"] {
        connection.run(statement).await?;
    }
    Ok(())
}

/// Admits what fits into the limits, and writes nothing of the rest.
async fn admit<'a>(
    connection: &mut Connection,
    dialect: &Dialect,
    rows: &[&'a Admit],
    told: &mut Vec<&'a Entry>,
) -> Result<Vec<Admitted>, StoreError> {
    let verdicts = reservations::judge(connection, dialect, rows).await?;
    let fitting = rows.iter().zip(&verdicts);
    let fitting = fitting.filter(|(_, exceeded)| exceeded.is_empty());
    let fitting: Vec<_> = fitting.map(|(row, _)| *row).collect();
    let inserted = insert(connection, dialect, &fitting, told).await?;
    let mut admitted = Vec::with_capacity(rows.len());
    for (row, exceeded) in rows.iter().zip(verdicts) {
        admitted.push(if !exceeded.is_empty() {
            Admitted::Refused(exceeded)
        } else if inserted.contains(&row.operation.id) {
            Admitted::New
        } else {
            find_request(connection, row).await?
        });
    }
    Ok(admitted)
}

/// Inserts those whose request is not known yet, with all that belongs to them; gives their ids.
async fn insert<'a>(
    connection: &mut Connection,
    dialect: &Dialect,
    rows: &[&'a Admit],
    told: &mut Vec<&'a Entry>,
) -> Result<HashSet<OperationId>, StoreError> {
    let mut inserted = HashSet::new();
    for piece in sql::pieces(rows) {
        let mut query = query(sql::admit(dialect, piece.len()));
        for new in piece {
            let operation = &new.operation;
            query = query
                .bind(operation.id.to_string())
                .bind(operation.organization.as_str())
                .bind(operation.request_id.as_str())
                .bind(new.request_hash.as_str())
                .bind(operation.state.name().as_str())
                .bind(row::bigint(operation.sequence))
                .bind(new.document.as_str())
                .bind(new.bodies.as_str())
                .bind(new.owner.as_str())
                .bind(new.now)
                .bind(new.lease)
                .bind(millis::from_time(operation.create_time))
                .bind(millis::from_time(operation.update_time));
        }
        let rows = query.fetch_all(&mut *connection);
        for row in chaos::around!("store.admit", rows, else Err(sqlx::Error::WorkerCrashed))? {
            inserted.insert(row::id(&row)?);
        }
    }
    let new = || {
        rows.iter()
            .filter(|row| inserted.contains(&row.operation.id))
    };
    let held: Vec<_> = new().filter_map(|row| row.held.as_ref()).collect();
    let written = chaos::wrong!("reservation-unwritten", held, Vec::new());
    let reserved = reservations::write(connection, &written);
    chaos::around!("store.reserve", reserved, else Err(sqlx::Error::WorkerCrashed.into()))?;
    for new in new() {
        told.push(&new.audit);
        launched::leave(connection, &new.operation).await?;
    }
    Ok(inserted)
}

/// The operation that has the request already; ours, when this is not the first try.
async fn find_request(connection: &mut Connection, admit: &Admit) -> Result<Admitted, StoreError> {
    let known = query(sql::FIND_REQUEST)
        .bind(admit.operation.organization.as_str())
        .bind(admit.operation.request_id.as_str())
        .fetch_one(connection);
    let known = chaos::around!("store.find", known, else Err(sqlx::Error::WorkerCrashed))?;
    if row::id(&known)? == admit.operation.id {
        Ok(Admitted::New)
    } else {
        Ok(Admitted::Known(known))
    }
}

/// What a later change of the same operation in one call shows to be done, too: the journal has only
/// the newest snapshot to tell it by, and a commit in doubt did all or nothing.
pub(in crate::store) fn done_with_later(
    ids: impl DoubleEndedIterator<Item = OperationId> + ExactSizeIterator,
    outcomes: &mut [Saved],
) {
    let mut done = HashSet::new();
    for (id, saved) in ids.zip(outcomes).rev() {
        if done.contains(&id) {
            *saved = Saved::Done;
        }
        if *saved == Saved::Done {
            done.insert(id);
        }
    }
}

/// Writes changes in their order. One statement takes only the first that is left of each
/// operation.
async fn save<'a>(
    connection: &mut Connection,
    dialect: &Dialect,
    changes: &[&'a Change],
    told: &mut Vec<&'a Entry>,
) -> Result<Vec<Saved>, StoreError> {
    let mut outcomes = vec![Saved::LeaseLost; changes.len()];
    let mut left: Vec<_> = changes.iter().copied().zip(&mut outcomes).collect();
    while !left.is_empty() {
        let mut ids = HashSet::new();
        let (mut first, later): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|(change, _)| ids.insert(change.id));
        save_distinct(connection, dialect, &mut first, told).await?;
        left = later;
    }
    Ok(outcomes)
}

async fn save_distinct<'a>(
    connection: &mut Connection,
    dialect: &Dialect,
    changes: &mut [(&'a Change, &mut Saved)],
    told: &mut Vec<&'a Entry>,
) -> Result<(), StoreError> {
    let mut updated = HashSet::new();
    for piece in sql::pieces(changes) {
        let mut query = query(sql::save(piece.len()));
        for (change, _) in piece {
            query = query
                .bind(change.id.to_string())
                .bind(change.epoch)
                .bind(change.sequence)
                .bind(change.state.as_str())
                .bind(change.document.as_str())
                .bind(change.update_time)
                .bind(i64::from(change.state.is_final()));
        }
        let rows = query.fetch_all(&mut *connection);
        for row in chaos::around!("store.save", rows, else Err(sqlx::Error::WorkerCrashed))? {
            updated.insert(row::id(&row)?);
        }
    }
    let attempts: Vec<_> = changes
        .iter()
        .filter(|(change, _)| updated.contains(&change.id))
        .filter_map(|(change, _)| Some((change.id, change.attempt.as_ref()?)))
        .collect();
    chaos::wrong!(
        "attempt-row-skipped",
        save_attempts(connection, &attempts).await?,
        ()
    );
    let named: Vec<_> = changes
        .iter()
        .filter(|(change, _)| updated.contains(&change.id))
        .flat_map(|(change, _)| &change.named)
        .collect();
    let written = owners::write(connection, &named);
    chaos::around!("store.owners", written, else Err(sqlx::Error::WorkerCrashed.into()))?;
    let updated_now = || {
        let changes = changes.iter().map(|(change, _)| *change);
        changes.filter(|change| updated.contains(&change.id))
    };
    let ended = updated_now().filter_map(|change| change.ended.as_ref());
    chaos::wrong!("outcome-untold", told.extend(ended), ());
    let settled: Vec<_> = updated_now()
        .filter_map(|change| change.settled.as_ref())
        .collect();
    let gone: Vec<_> = updated_now().flat_map(|change| &change.gone).collect();
    let now = updated_now().map(|change| change.update_time).max();
    let now = now.unwrap_or_default();
    let settled = reservations::settle(connection, dialect, &settled, &gone, now);
    chaos::around!("store.settle", settled, else Err(sqlx::Error::WorkerCrashed.into()))?;
    for change in updated_now() {
        release_or_brake(connection, change).await?;
    }
    for (change, saved) in changes {
        if updated.contains(&change.id) || is_saved(connection, change).await? {
            **saved = Saved::Done;
        }
    }
    Ok(())
}

/// What a person must see to, or has.
async fn release_or_brake(connection: &mut Connection, change: &Change) -> Result<(), StoreError> {
    if change.goes_on {
        care::finish_release(connection, change.id).await?;
    }
    if let Some((account, reason)) = &change.brake {
        let time = change.update_time;
        let written = care::write_brake(connection, (change.id, account), reason, time);
        chaos::around!("store.brake", written, else Err(sqlx::Error::WorkerCrashed.into()))?;
    }
    Ok(())
}

async fn save_attempts(
    connection: &mut Connection,
    attempts: &[(OperationId, &Attempt)],
) -> Result<(), StoreError> {
    for piece in sql::pieces(attempts) {
        let mut query = query(sql::attempt(piece.len()));
        for (id, attempt) in piece {
            let (result, detail) = row::attempt_result(&attempt.result);
            query = query
                .bind(id.to_string())
                .bind(i64::from(attempt.number))
                .bind(millis::from_time(attempt.signed_at))
                .bind(row::bigint(attempt.epoch))
                .bind(result)
                .bind(detail)
                .bind(attempt.cloud_request_id.as_deref());
        }
        let written = query.execute(&mut *connection);
        chaos::around!("store.attempt", written, else Err(sqlx::Error::WorkerCrashed))?;
    }
    Ok(())
}

/// Whether the journal has this very change, from a try whose commit was in doubt.
async fn is_saved(connection: &mut Connection, change: &Change) -> Result<bool, StoreError> {
    let same = query(sql::FIND_SAVED)
        .bind(change.id.to_string())
        .bind(change.epoch)
        .bind(change.sequence)
        .bind(change.document.as_str())
        .fetch_optional(connection);
    let same = chaos::around!("store.saved", same, else Err(sqlx::Error::WorkerCrashed))?;
    Ok(chaos::wrong!("saved-forgotten", same.is_some(), false))
}
