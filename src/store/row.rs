//! Rows ↔ domain. A bad row names its table, column and id, and never what is in it.

use crate::domain::ids::{Malformed, OperationId, OrganizationId};
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::{Attempt, AttemptResult, Lease, Operation, StateName};
use crate::domain::quota::{self, Exceeded, Quota};
use crate::store::audit::Entry;
use crate::store::connection::{Column, Row};
use crate::store::error::{Cause, StoreError};
use crate::store::keyring::Keyring;
use crate::store::launched::Launched;
use crate::store::owners::{Named, Owner};
use crate::store::reservations::Held;
use crate::store::sealing::Sealing;
use crate::store::{Claimed, NewOperation, Save, SealedBody, care};
use std::sync::Arc;
use time::UtcDateTime;

const OPERATIONS: &str = "operations";
const INSTANCES: &str = "instances";

/// A new row of `operations`.
pub(in crate::store) struct Admit {
    pub(in crate::store) operation: Operation,
    pub(in crate::store) request_hash: String,
    pub(in crate::store) document: String,
    /// Each sealed, with a space between them.
    pub(in crate::store) bodies: String,
    pub(in crate::store) owner: String,
    pub(in crate::store) now: i64,
    pub(in crate::store) lease: i64,
    pub(in crate::store) audit: Entry,
    /// What it must fit into.
    pub(in crate::store) quotas: Vec<Quota>,
    pub(in crate::store) held: Option<Held>,
}

impl Admit {
    pub(in crate::store) fn new(new: NewOperation, sealing: &Sealing) -> Result<Self, StoreError> {
        Ok(Self {
            document: document(&new.operation)?,
            audit: Entry::begun(&new.operation, (&new.asked, &new.decision)),
            held: Held::of(&new.operation),
            quotas: new.quotas,
            request_hash: sealing.fingerprint(&new.request_hash),
            bodies: sealing.keyring.seal_bodies(new.operation.id, &new.bodies)?,
            now: millis::from_time(new.now),
            lease: bigint(new.lease.as_millis()),
            owner: new.owner,
            operation: new.operation,
        })
    }
}

/// What became of an [`Admit`].
pub(in crate::store) enum Admitted {
    New,
    /// The request is known: `id`, `request_hash`, `document`.
    Known(Row),
    /// It would go over these limits.
    Refused(Vec<Exceeded>),
}

/// A changed row of `operations`, and of `attempts`.
pub(in crate::store) struct Change {
    pub(in crate::store) id: OperationId,
    pub(in crate::store) epoch: i64,
    pub(in crate::store) sequence: i64,
    pub(in crate::store) state: StateName,
    pub(in crate::store) document: String,
    pub(in crate::store) update_time: i64,
    pub(in crate::store) attempt: Option<Attempt>,
    pub(in crate::store) named: Vec<Named>,
    /// Its end, for the audit.
    pub(in crate::store) ended: Option<Entry>,
    /// What a launch holds that has come to its end.
    pub(in crate::store) settled: Option<Held>,
    pub(in crate::store) gone: Vec<InstanceId>,
    /// Whether it uses up the release that it goes on by.
    pub(in crate::store) goes_on: bool,
    /// Why nothing new may be launched on the account.
    pub(in crate::store) brake: Option<(AccountName, String)>,
}

impl Change {
    pub(in crate::store) fn new(save: &Save) -> Result<Self, StoreError> {
        let operation = &save.operation;
        Ok(Self {
            id: operation.id,
            epoch: bigint(save.lease.epoch),
            sequence: bigint(operation.sequence),
            state: operation.state.name(),
            document: document(operation)?,
            update_time: millis::from_time(operation.update_time),
            attempt: operation.attempts.last().filter(|_| save.attempt).cloned(),
            named: Named::all(operation),
            ended: operation
                .state
                .name()
                .is_at_rest()
                .then(|| Entry::ended(operation)),
            settled: Held::ended(operation),
            gone: quota::gone(operation).cloned().collect(),
            goes_on: care::goes_on(operation),
            brake: care::brake(operation).map(|reason| (operation.account.clone(), reason)),
        })
    }
}

/// Name and detail of an attempt's result.
pub(in crate::store) fn attempt_result(result: &AttemptResult) -> (&'static str, Option<&str>) {
    match result {
        AttemptResult::Pending => ("PENDING", None),
        AttemptResult::Accepted => ("ACCEPTED", None),
        AttemptResult::Refused(detail) => ("REFUSED", Some(detail)),
        AttemptResult::NotSent(detail) => ("NOT_SENT", Some(detail)),
        AttemptResult::Ambiguous(detail) => ("AMBIGUOUS", Some(detail)),
    }
}

/// A number as the journal keeps it. No count or time of ours comes near the limit.
pub(in crate::store) fn bigint(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// The id of a row of `operations`.
pub(in crate::store) fn id(row: &Row) -> Result<OperationId, StoreError> {
    let text: String = row.try_get("id")?;
    OperationId::parse(&text).map_err(|error| corrupt("id", text, Arc::new(error)))
}

/// The operation of a row.
pub(in crate::store) fn operation(row: &Row) -> Result<Operation, StoreError> {
    let id = id(row)?;
    let document: &str = column(row, "document", id)?;
    let operation: Operation = serde_json::from_str(document)
        .map_err(|error| corrupt("document", id, Arc::new(Unreadable::from(error))))?;
    if operation.id == id {
        Ok(operation)
    } else {
        Err(corrupt("document", id, Arc::new(Unreadable::OtherId)))
    }
}

/// What a claimed row is.
pub(in crate::store) fn claimed(row: &Row) -> Result<Claimed, StoreError> {
    let (operation, lease) = (operation(row)?, lease(row)?);
    let crashes: i64 = column(row, "crashes", operation.id)?;
    Ok(Claimed {
        lease,
        operation,
        crashes: u32::try_from(crashes).unwrap_or(u32::MAX),
    })
}

/// The lease of a row that was claimed.
pub(in crate::store) fn lease(row: &Row) -> Result<Lease, StoreError> {
    let operation = id(row)?;
    let epoch: i64 = column(row, "lease_epoch", operation)?;
    let epoch =
        u64::try_from(epoch).map_err(|error| corrupt("lease_epoch", operation, Arc::new(error)))?;
    Ok(Lease { operation, epoch })
}

/// The fingerprint of a row's request.
pub(in crate::store) fn request_hash(row: &Row) -> Result<&str, StoreError> {
    column(row, "request_hash", id(row)?)
}

/// The body of a row for the place `alternative`, unless it was purged.
pub(in crate::store) fn body(
    row: &Row,
    alternative: u32,
    keyring: &Keyring,
) -> Result<Option<SealedBody>, StoreError> {
    let id = id(row)?;
    let text: Option<&str> = column(row, "body", id)?;
    let index = usize::try_from(alternative).unwrap_or(usize::MAX);
    text.and_then(|text| text.split(' ').nth(index))
        .map(|text| keyring.open_body(id, alternative, text))
        .transpose()
        .map_err(|closed| corrupt("body", id, Arc::new(closed)))
}

/// The owner of a machine, of a row whose operation is `id`.
pub(in crate::store) fn owner(row: &Row) -> Result<Owner, StoreError> {
    let text = |name| row.try_get::<String>(name);
    let instance = text("instance_id")?;
    let damaged = |column| {
        let id = instance.clone();
        move |error: Malformed| StoreError::Corrupt {
            table: INSTANCES,
            column,
            id,
            source: Arc::new(error),
        }
    };
    Ok(Owner {
        instance: InstanceId::parse(&instance).map_err(damaged("instance_id"))?,
        operation: OperationId::parse(&text("id")?).map_err(damaged("operation_id"))?,
        organization: OrganizationId::parse(&text("organization")?)
            .map_err(damaged("organization"))?,
        account: AccountName::parse(&text("account")?).map_err(damaged("account"))?,
        region: Region::parse(&text("region")?).map_err(damaged("region"))?,
    })
}

/// The machine of a row.
pub(in crate::store) fn instance(row: &Row) -> Result<InstanceId, StoreError> {
    let text: String = row.try_get("instance_id")?;
    InstanceId::parse(&text).map_err(|error| StoreError::Corrupt {
        table: INSTANCES,
        column: "instance_id",
        id: text,
        source: Arc::new(error),
    })
}

/// A machine of a row, whose operation is `id`.
pub(in crate::store) fn launched(row: &Row) -> Result<Launched, StoreError> {
    let owner = owner(row)?;
    let damaged = |column, source: Cause| StoreError::Corrupt {
        table: INSTANCES,
        column,
        id: owner.instance.to_string(),
        source,
    };
    let termination: Option<String> = row.try_get("termination_id")?;
    let termination = termination.map(|id| OperationId::parse(&id)).transpose();
    Ok(Launched {
        create_time: millis::to_time(row.try_get("create_time")?)
            .ok_or_else(|| damaged("create_time", Arc::new(Unreadable::Time)))?,
        termination: termination.map_err(|error| damaged("termination_id", Arc::new(error)))?,
        owner,
    })
}

/// The account of a row.
pub(in crate::store) fn account(row: &Row) -> Result<AccountName, StoreError> {
    let id = id(row)?;
    AccountName::parse(column(row, "account", id)?)
        .map_err(|error| corrupt("account", id, Arc::new(error)))
}

/// A time of a row.
pub(in crate::store) fn time(row: &Row, name: &'static str) -> Result<UtcDateTime, StoreError> {
    let id = id(row)?;
    let time: i64 = column(row, name, id)?;
    millis::to_time(time).ok_or_else(|| corrupt(name, id, Arc::new(Unreadable::Time)))
}

/// The error of an order that this version cannot read.
pub(in crate::store) fn bad_order(row: &Row, column: &'static str) -> StoreError {
    let id = id(row).map_or_else(|_| "some operation".to_owned(), |id| id.to_string());
    StoreError::Corrupt {
        table: "orders",
        column,
        id,
        source: Arc::new(Unreadable::Order),
    }
}

/// Why a value cannot be read, without repeating it.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("not the JSON of an operation: {category:?} at line {line} column {column}")]
    Json {
        category: serde_json::error::Category,
        line: usize,
        column: usize,
    },
    #[error("the document of another operation")]
    OtherId,
    #[error("not a time")]
    Time,
    #[error("not an order that this version knows")]
    Order,
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self::Json {
            category: error.classify(),
            line: error.line(),
            column: error.column(),
        }
    }
}

fn document(operation: &Operation) -> Result<String, StoreError> {
    serde_json::to_string(operation)
        .map_err(|error| corrupt("document", operation.id, Arc::new(error)))
}

fn column<'r, T>(row: &'r Row, name: &'static str, id: OperationId) -> Result<T, StoreError>
where
    T: Column<'r>,
{
    row.try_get(name)
        .map_err(|error| corrupt(name, id, Arc::new(error)))
}

fn corrupt(column: &'static str, id: impl ToString, source: Cause) -> StoreError {
    StoreError::Corrupt {
        table: OPERATIONS,
        column,
        id: id.to_string(),
        source,
    }
}
