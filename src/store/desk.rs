//! The journal beside a running gateway: a person reads it, and leaves a wish in it that the gateway
//! carries out.

use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::millis;
use crate::domain::names::AccountName;
use crate::domain::operation::{Operation, StateName};
use crate::store::care::Release;
use crate::store::connection::{Row, query};
use crate::store::engine::{self, Target};
use crate::store::error::StoreError;
use crate::store::pool::Pool;
use crate::store::{Settings, row, schema, sql};
use serde_json::{Value, json};
use std::fmt;
use time::UtcDateTime;

/// A way to read the journal that takes no lock and changes nothing.
pub struct Desk {
    pub(in crate::store) target: Target,
    pub(in crate::store) settings: Settings,
    pub(in crate::store) readers: Pool,
}

/// Which operations are listed; what is not set does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Empty: any.
    pub states: Vec<StateName>,
    pub organization: Option<OrganizationId>,
    pub account: Option<AccountName>,
    /// Only those that so many processes died with.
    pub crashes_min: u32,
}

/// A row of the journal, also of an operation that cannot be read.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: OperationId,
    pub organization: String,
    pub request_id: String,
    /// As the journal has it.
    pub state: String,
    pub crashes: i64,
    pub lease_owner: String,
    pub lease_epoch: i64,
    /// Milliseconds; 0 once it was released.
    pub lease_until: i64,
    pub update_time: Option<UtcDateTime>,
    pub operation: Result<Operation, StoreError>,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is written down; a running gateway carries it out within a third of a lease.
    Written,
    /// The operation waits for nobody: it is in this state.
    NotWaiting(String),
    /// There is no such operation.
    Unknown,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// Opens the journal, which must have the tables of this version, or of one that lets it use them.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Older`], [`StoreError::Newer`], and what reading may
    /// tell.
    pub async fn open(settings: &Settings) -> Result<Self, StoreError> {
        let target = engine::target(settings)?;
        target.must_exist()?;
        target.probe(settings).await?;
        let readers = target.reader_pool(settings, None);
        let mut connection = readers.acquire().await?;
        let found: i64 = sqlx::query_scalar(sql::SCHEMA)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error: sqlx::Error| match error.as_database_error() {
                Some(_no_table) => StoreError::Older { found: 0 },
                None => error.into(),
            })?;
        if found < schema::LATEST {
            return Err(StoreError::Older { found });
        }
        let oldest = sqlx::query_scalar(sql::REACH).fetch_one(&mut *connection);
        let oldest: i64 = oldest.await?;
        if found > schema::LATEST && !schema::reaches(oldest) {
            return Err(StoreError::Newer { found });
        }
        Ok(Self {
            target,
            settings: settings.clone(),
            readers,
        })
    }

    /// Up to `limit` rows that fit the filter, newest first, older than `before`.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn list(
        &self,
        filter: &Filter,
        mut before: Option<OperationId>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        // More than once only when the account, which is no column, leaves rows out.
        while records.len() < limit {
            let page = self.page(filter, before).await?;
            let Some(last) = page.last() else {
                break;
            };
            before = Some(last.id);
            records.extend(page.into_iter().filter(|record| filter.takes(record)));
        }
        records.truncate(limit);
        Ok(records)
    }

    async fn page(
        &self,
        filter: &Filter,
        before: Option<OperationId>,
    ) -> Result<Vec<Record>, StoreError> {
        let organization = filter.organization.as_ref();
        let states: Vec<_> = StateName::ALL
            .into_iter()
            .filter(|state| filter.states.is_empty() || filter.states.contains(state))
            .collect();
        let mut query = query(sql::records())
            .bind(before.map_or_else(|| sql::LAST_ID.to_owned(), |id| id.to_string()))
            .bind(i64::from(filter.crashes_min))
            .bind(i64::from(organization.is_none()))
            .bind(organization.map_or("", OrganizationId::as_str));
        for state in states.iter().cycle().take(StateName::ALL.len()) {
            query = query.bind(state.as_str());
        }
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(record).collect()
    }

    /// One row.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn get(&self, id: OperationId) -> Result<Option<Record>, StoreError> {
        let row = query(sql::RECORD)
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// Every time that the operation was sent, as JSON.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn attempts(&self, id: OperationId) -> Result<Vec<Value>, StoreError> {
        self.rows(sql::ATTEMPTS, id, attempt).await
    }

    /// What the audit has on the operation, as JSON.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn audit(&self, id: OperationId) -> Result<Vec<Value>, StoreError> {
        let mut rows = self.rows(sql::OLD_AUDIT, id, audited).await?;
        rows.extend(self.rows(sql::AUDIT, id, chained).await?);
        Ok(rows)
    }

    async fn rows(
        &self,
        sql: &'static str,
        id: OperationId,
        read: fn(&Row) -> Result<Value, StoreError>,
    ) -> Result<Vec<Value>, StoreError> {
        let rows = query(sql).bind(id.to_string());
        let rows = rows.fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Writes down that the operation is to go on.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn release(&self, release: &Release) -> Result<Asked, StoreError> {
        let Some(record) = self.get(release.operation).await? else {
            return Ok(Asked::Unknown);
        };
        let waits = record.state == StateName::NeedsOperator.as_str();
        let ended = StateName::parse(&record.state).is_some_and(StateName::is_at_rest);
        if !waits && (ended || record.crashes == 0) {
            return Ok(Asked::NotWaiting(record.state));
        }
        let writer = self.target.writer_pool(&self.settings);
        let written = query(sql::releases::ASK_RELEASE)
            .bind(release.operation.to_string())
            .bind(release.principal.as_str())
            .bind(release.reason.as_str())
            .bind(millis::from_time(release.time))
            .execute(&writer)
            .await;
        writer.close().await;
        written?;
        Ok(Asked::Written)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.readers.close().await;
    }
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        let account = record
            .operation
            .as_ref()
            .map(|operation| &operation.account);
        self.account
            .as_ref()
            .is_none_or(|wanted| account.is_ok_and(|account| account == wanted))
    }
}

pub(in crate::store) fn record(row: &Row) -> Result<Record, StoreError> {
    Ok(Record {
        id: row::id(row)?,
        organization: row.try_get("organization")?,
        request_id: row.try_get("request_id")?,
        state: row.try_get("state")?,
        crashes: row.try_get("crashes")?,
        lease_owner: row.try_get("lease_owner")?,
        lease_epoch: row.try_get("lease_epoch")?,
        lease_until: row.try_get("lease_until")?,
        update_time: row::time(row, "update_time").ok(),
        operation: row::operation(row),
    })
}

pub(in crate::store) fn attempt(row: &Row) -> Result<Value, StoreError> {
    Ok(json!({
        "operation": row::id(row)?.resource_name(),
        "number": row.try_get::<i64>("number")?,
        "signed_at": row.try_get::<i64>("signed_at")?,
        "epoch": row.try_get::<i64>("epoch")?,
        "result": row.try_get::<String>("result")?,
        "detail": row.try_get::<Option<String>>("detail")?,
        "cloud_request_id": row.try_get::<Option<String>>("cloud_request_id")?,
    }))
}

/// A row of the audit, as it is told.
pub(in crate::store) fn chained(row: &Row) -> Result<Value, StoreError> {
    let mut value = unchained(row)?;
    if let Some(record) = value.as_object_mut() {
        let hash: String = row.try_get("hash")?;
        record.insert("hash".to_owned(), hash.into());
    }
    Ok(value)
}

/// The same, without its place in the chain.
pub(in crate::store) fn unchained(row: &Row) -> Result<Value, StoreError> {
    let record: String = row.try_get("record")?;
    Ok(serde_json::from_str(&record).unwrap_or(Value::String(record)))
}

/// A row of the audit, of a version before there were chains.
pub(in crate::store) fn audited(row: &Row) -> Result<Value, StoreError> {
    let detail: String = row.try_get("detail")?;
    let detail = serde_json::from_str(&detail).unwrap_or(Value::String(detail));
    Ok(json!({
        "operation": row::id(row)?.resource_name(),
        "time": row.try_get::<i64>("time")?,
        "action": row.try_get::<String>("action")?,
        "organization": row.try_get::<String>("organization")?,
        "principal": row.try_get::<String>("principal")?,
        "account": row.try_get::<String>("account")?,
        "region": row.try_get::<String>("region")?,
        "request_hash": row.try_get::<Option<String>>("request_hash")?,
        "detail": detail,
    }))
}
