//! The journal as a person looks through it: pages of operations, what is told of one, and the calls
//! that were not carried out. Everything is read in bounded parts, by connections that only read.

use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::StateName;
use crate::store::connection::{Row, query};
use crate::store::database::Database;
use crate::store::desk::{Record, chained, record, unchained};
use crate::store::error::StoreError;
use crate::store::sql::{self, browse};
use crate::store::{Engine, Store, row};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use time::UtcDateTime;

/// Rows that are read at once where more are looked at than shown.
const PIECE: usize = 250;
/// Rows that are looked at for one page: an account and a region are no columns, so who asks for one
/// goes on from where the page ended.
const LOOK_MAX: usize = 2000;
/// Organisations that are named.
const ORGANIZATIONS_MAX: i64 = 200;
/// What a search finds; more than one only of a `request_id` that several organisations chose.
const FOUND_MAX: i64 = 50;
/// Open operations that are looked at to tell who holds them.
const HELD_MAX: i64 = 10_000;

/// Which operations are wanted; what is not set does not matter.
#[derive(Clone, Debug, Default)]
pub struct Browse {
    pub state: Option<StateName>,
    pub organization: Option<OrganizationId>,
    pub account: Option<AccountName>,
    pub region: Option<Region>,
    /// Only older ones than this.
    pub before: Option<OperationId>,
    /// How many at most.
    pub limit: usize,
}

/// A page of them, newest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub records: Vec<Record>,
    /// What the next page is before; none: there is nothing older.
    pub next: Option<OperationId>,
    /// Whether it ends where the look did, though it is not full.
    pub cut_short: bool,
}

/// All that is told of one operation.
#[derive(Clone, Debug)]
pub struct Detail {
    pub record: Record,
    /// Its rows of the audit, as docs/audit.md tells.
    pub audit: Vec<Value>,
}

/// A replica that holds leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub owner: String,
    /// How many open operations it has, of those whose leases run out first.
    pub operations: i64,
    /// When the first of their leases runs out.
    pub lease_until: Option<UtcDateTime>,
}

/// Where a row stands among the calls that were not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    time: i64,
    chain: String,
    sequence: i64,
}

/// A page of calls that were not carried out.
#[derive(Clone, Debug, Default)]
pub struct NotDone {
    /// Newest first, each as docs/audit.md tells.
    pub rows: Vec<Value>,
    /// What the next page is before; none: there is nothing older.
    pub next: Option<Mark>,
}

impl Mark {
    /// Newer than every row.
    fn newest() -> Self {
        Self {
            time: i64::MAX,
            chain: String::new(),
            sequence: 0,
        }
    }
}

/// As it stands in a link.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.time, self.sequence, self.chain)
    }
}

impl FromStr for Mark {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or("is no mark of a page");
        let number = |text: &str| text.parse().or(Err("is no mark of a page"));
        Ok(Self {
            time: number(part()?)?,
            sequence: number(part()?)?,
            chain: part()?.to_owned(),
        })
    }
}

impl Browse {
    /// How many rows are read at once: no more than a page where an index has just those.
    fn piece(&self) -> usize {
        let more = self.account.is_some()
            || self.region.is_some()
            || self.state.is_some() && self.organization.is_some();
        if more { PIECE } else { self.limit + 1 }
    }

    fn takes(&self, record: &Record) -> bool {
        let of = |organization: &OrganizationId| record.organization == organization.as_str();
        let operation = record.operation.as_ref().ok();
        let account =
            |wanted: &AccountName| operation.is_some_and(|operation| operation.account == *wanted);
        let region =
            |wanted: &Region| operation.is_some_and(|operation| operation.region == *wanted);
        self.organization.as_ref().is_none_or(of)
            && self.account.as_ref().is_none_or(account)
            && self.region.as_ref().is_none_or(region)
    }
}

impl Store {
    /// What keeps it, for a person.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match &self.0 {
            Engine::Database(database) if database.server.is_some() => "PostgreSQL",
            Engine::Database(_) => "SQLite",
            Engine::Model(_) => "memory",
        }
    }

    /// A page of operations, whoever's they are.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn browse(&self, wanted: &Browse) -> Result<Page, StoreError> {
        match &self.0 {
            Engine::Database(database) => database.browse(wanted).await,
            // Nobody looks through it.
            Engine::Model(_) => Ok(Page::default()),
        }
    }

    /// The operations that `text` names: by their id, their `request_id` or one of their machines.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn search(&self, text: &str) -> Result<Vec<Record>, StoreError> {
        match &self.0 {
            Engine::Database(database) => database.search(text).await,
            Engine::Model(_) => Ok(Vec::new()),
        }
    }

    /// All that is told of an operation, whoever's it is.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn detail(&self, id: OperationId) -> Result<Option<Detail>, StoreError> {
        match &self.0 {
            Engine::Database(database) => database.detail(id).await,
            Engine::Model(_) => Ok(None),
        }
    }

    /// The first organisations that the journal knows, by their names.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn organizations(&self) -> Result<Vec<String>, StoreError> {
        let Engine::Database(database) = &self.0 else {
            return Ok(Vec::new());
        };
        let rows = query(browse::ORGANIZATIONS).bind(ORGANIZATIONS_MAX);
        let rows = rows.fetch_all(&database.readers).await?;
        let name = |row: &Row| Ok(row.try_get("name")?);
        rows.iter().map(name).collect()
    }

    /// Who holds open operations.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn holders(&self) -> Result<Vec<Holder>, StoreError> {
        let Engine::Database(database) = &self.0 else {
            return Ok(Vec::new());
        };
        let rows = query(browse::HOLDERS).bind(HELD_MAX);
        let rows = rows.fetch_all(&database.readers).await?;
        rows.iter().map(holder).collect()
    }

    /// The calls that were denied or refused, older than `before`, up to `limit`.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn not_done(
        &self,
        before: Option<Mark>,
        limit: usize,
    ) -> Result<NotDone, StoreError> {
        match &self.0 {
            Engine::Database(database) => database.not_done(before, limit).await,
            Engine::Model(_) => Ok(NotDone::default()),
        }
    }
}

impl Database {
    async fn browse(&self, wanted: &Browse) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let mut before = wanted.before;
        let mut looked = 0;
        while looked < LOOK_MAX {
            let piece = self.piece(wanted, before).await?;
            looked += piece.len();
            let ended = piece.len() < wanted.piece();
            for record in piece {
                if page.records.len() == wanted.limit {
                    page.next = page.records.last().map(|last| last.id);
                    return Ok(page);
                }
                before = Some(record.id);
                if wanted.takes(&record) {
                    page.records.push(record);
                }
            }
            if ended {
                return Ok(page);
            }
        }
        page.next = before;
        page.cut_short = true;
        Ok(page)
    }

    async fn piece(
        &self,
        wanted: &Browse,
        before: Option<OperationId>,
    ) -> Result<Vec<Record>, StoreError> {
        let (text, by) = match (wanted.state, &wanted.organization) {
            (Some(state), _) => (browse::IN_STATE, Some(state.as_str())),
            (None, Some(organization)) => (browse::OF_ORGANIZATION, Some(organization.as_str())),
            (None, None) => (browse::ALL, None),
        };
        let before = before.map_or_else(|| sql::LAST_ID.to_owned(), |id| id.to_string());
        let query = query(text).bind(before).bind(row::bigint(wanted.piece()));
        let query = match by {
            Some(by) => query.bind(by),
            None => query,
        };
        records(&query.fetch_all(&self.readers).await?)
    }

    async fn search(&self, text: &str) -> Result<Vec<Record>, StoreError> {
        let mut found = BTreeMap::new();
        let id = OperationId::parse_name(text).or_else(|_bare| OperationId::parse(text));
        if let Ok(id) = id {
            let row = query(sql::RECORD).bind(id.to_string());
            let rows = row.fetch_all(&self.readers).await?;
            found.extend(by_id(&rows)?);
        }
        let mut texts = vec![browse::BY_REQUEST];
        texts.extend(InstanceId::parse(text).ok().map(|_| browse::BY_INSTANCE));
        for by in texts {
            let rows = query(by).bind(text).bind(FOUND_MAX);
            found.extend(by_id(&rows.fetch_all(&self.readers).await?)?);
        }
        Ok(found.into_values().rev().collect())
    }

    async fn detail(&self, id: OperationId) -> Result<Option<Detail>, StoreError> {
        let row = query(sql::RECORD).bind(id.to_string());
        let Some(row) = row.fetch_optional(&self.readers).await? else {
            return Ok(None);
        };
        let audit = query(sql::AUDIT).bind(id.to_string());
        let audit = audit.fetch_all(&self.readers).await?;
        Ok(Some(Detail {
            record: record(&row)?,
            audit: audit.iter().map(chained).collect::<Result<_, _>>()?,
        }))
    }

    async fn not_done(&self, before: Option<Mark>, limit: usize) -> Result<NotDone, StoreError> {
        let Mark {
            time,
            chain,
            sequence,
        } = before.unwrap_or_else(Mark::newest);
        let rows = query(browse::not_done())
            .bind(time)
            .bind(time)
            .bind(chain.as_str())
            .bind(chain.as_str())
            .bind(sequence)
            .bind(row::bigint(limit + 1))
            .fetch_all(&self.readers)
            .await?;
        let (rows, more) = rows.split_at(rows.len().min(limit));
        let next = rows.last().filter(|_| !more.is_empty());
        Ok(NotDone {
            next: next.map(mark).transpose()?,
            rows: rows.iter().map(unchained).collect::<Result<_, _>>()?,
        })
    }
}

fn records(rows: &[Row]) -> Result<Vec<Record>, StoreError> {
    rows.iter().map(record).collect()
}

fn by_id(rows: &[Row]) -> Result<Vec<(OperationId, Record)>, StoreError> {
    let records = records(rows)?.into_iter();
    Ok(records.map(|record| (record.id, record)).collect())
}

fn mark(row: &Row) -> Result<Mark, StoreError> {
    Ok(Mark {
        time: row.try_get("time")?,
        chain: row.try_get("chain")?,
        sequence: row.try_get("sequence")?,
    })
}

fn holder(row: &Row) -> Result<Holder, StoreError> {
    Ok(Holder {
        owner: row.try_get("lease_owner")?,
        operations: row.try_get("operations")?,
        lease_until: millis::to_time(row.try_get("lease_until")?),
    })
}
