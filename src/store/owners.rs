//! Which operation launched a machine: rows that are written with the snapshot that first names it.

use crate::domain::causes::chain;
use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::{Kind, Operation};
use crate::store::connection::{Connection, Row, query};
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::launched::Launched;
use crate::store::{row, sql};
use std::collections::BTreeMap;
use time::UtcDateTime;

/// Operations that are read at once when a table is filled.
const PAGE: i64 = 500;

/// Whose a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub instance: InstanceId,
    /// The launch that it came of.
    pub operation: OperationId,
    pub organization: OrganizationId,
    pub account: AccountName,
    pub region: Region,
}

/// A new row of `instances`.
pub(in crate::store) struct Named {
    pub(in crate::store) instance: InstanceId,
    pub(in crate::store) organization: OrganizationId,
    pub(in crate::store) account: AccountName,
    pub(in crate::store) region: Region,
    pub(in crate::store) operation: OperationId,
    pub(in crate::store) time: i64,
}

impl Named {
    /// As it is read.
    pub(in crate::store) fn launched(&self) -> Launched {
        let owner = Owner {
            instance: self.instance.clone(),
            operation: self.operation,
            organization: self.organization.clone(),
            account: self.account.clone(),
            region: self.region.clone(),
        };
        Launched {
            owner,
            create_time: millis::to_time(self.time).unwrap_or(UtcDateTime::UNIX_EPOCH),
            termination: None,
        }
    }

    /// A row for each machine that the operation launches; a termination names those of others.
    pub(in crate::store) fn all(operation: &Operation) -> Vec<Self> {
        let launches = operation.kind == Kind::Launch;
        let launched = operation.instances.iter().filter(|_| launches);
        let named = launched.map(|instance| Self {
            instance: instance.id.clone(),
            organization: operation.organization.clone(),
            account: operation.account.clone(),
            region: operation.region.clone(),
            operation: operation.id,
            time: millis::from_time(operation.update_time),
        });
        named.collect()
    }
}

impl Database {
    pub(in crate::store) async fn owners(
        &self,
        machines: &[InstanceId],
    ) -> Result<Vec<Owner>, StoreError> {
        let mut owners = Vec::with_capacity(machines.len());
        for piece in sql::pieces(machines) {
            let mut query = query(sql::owners(piece.len()));
            for machine in piece {
                query = query.bind(machine.as_str());
            }
            for row in query.fetch_all(&self.readers).await? {
                owners.push(row::owner(&row)?);
            }
        }
        Ok(owners)
    }

    pub(in crate::store) async fn known(
        &self,
        operations: &[OperationId],
    ) -> Result<BTreeMap<OperationId, Option<Operation>>, StoreError> {
        let mut known = BTreeMap::new();
        for piece in sql::pieces(operations) {
            let mut query = query(sql::known(piece.len()));
            for id in piece {
                query = query.bind(id.to_string());
            }
            for row in query.fetch_all(&self.readers).await? {
                known.insert(row::id(&row)?, row::operation(&row).ok());
            }
        }
        Ok(known)
    }
}

/// Writes the rows of machines that have none, and gives those.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn write(
    connection: &mut Connection,
    named: &[&Named],
) -> Result<Vec<Row>, StoreError> {
    let mut written = Vec::new();
    for piece in sql::pieces(named) {
        let mut query = query(sql::name(piece.len()));
        for named in piece {
            query = query
                .bind(named.instance.as_str())
                .bind(named.operation.to_string())
                .bind(named.organization.as_str())
                .bind(named.account.as_str())
                .bind(named.region.as_str())
                .bind(named.time);
        }
        written.extend(query.fetch_all(&mut *connection).await?);
    }
    Ok(written)
}

/// Writes the rows of the operations that are older than the table, once in a journal's life. An
/// operation that cannot be read has none, and is logged.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn fill(connection: &mut Connection) -> Result<(), StoreError> {
    if !takes_chore(connection, "instances").await? {
        return Ok(());
    }
    let mut after = String::new();
    while let Some((operations, last)) = page(connection, &after).await? {
        after = last;
        let named: Vec<_> = operations.iter().flat_map(Named::all).collect();
        write(connection, &named.iter().collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// Whether a new table is still to be filled; it is then up to the caller, in this transaction.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn takes_chore(
    connection: &mut Connection,
    name: &str,
) -> Result<bool, StoreError> {
    let chore = query(sql::TAKE_CHORE).bind(name);
    Ok(chore.fetch_optional(connection).await?.is_some())
}

/// The operations after that id, as many as are read at once, and their last id; nothing after the
/// last one. One that cannot be read is left out.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn page(
    connection: &mut Connection,
    after: &str,
) -> Result<Option<(Vec<Operation>, String)>, StoreError> {
    let page = query(sql::PAGE).bind(after).bind(PAGE);
    let rows = page.fetch_all(connection).await?;
    let Some(last) = rows.last() else {
        return Ok(None);
    };
    let last = row::id(last)?.to_string();
    let mut operations = Vec::with_capacity(rows.len());
    for row in &rows {
        match row::operation(row) {
            Ok(operation) => operations.push(operation),
            Err(error) => tracing::error!(
                error = chain(&error, ": "),
                "the machines of an operation are not known"
            ),
        }
    }
    Ok(Some((operations, last)))
}
