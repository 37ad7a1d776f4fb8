//! Machines that are written down after the operation which launched them has come to its end, as
//! when they showed only then: so that their organisation has them, and can give them back.

use crate::domain::ids::OperationId;
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::{Kind, Operation};
use crate::store::audit::Entry;
use crate::store::connection::{Connection, Row, query};
use crate::store::database::Database;
use crate::store::engine::Dialect;
use crate::store::error::StoreError;
use crate::store::leasing::Leasing;
use crate::store::owners::{self, Named};
use crate::store::{reservations, row, sql};
use time::UtcDateTime;

/// Machines that an operation is to be given, which the tags on them name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    pub operation: OperationId,
    /// Where they were seen: an operation of another place is not given them.
    pub account: AccountName,
    pub region: Region,
    pub instances: Vec<InstanceId>,
    pub time: UtcDateTime,
}

impl Adoption {
    /// Whether the operation may be given them. One that is open, or that a person may let go on,
    /// learns of its machines itself.
    pub(in crate::store) fn suits(&self, operation: &Operation) -> bool {
        operation.kind == Kind::Launch
            && operation.state.name().is_final()
            && operation.account == self.account
            && operation.region == self.region
    }

    /// Their rows.
    pub(in crate::store) fn named(&self, operation: &Operation) -> Vec<Named> {
        let named = self.instances.iter().map(|instance| Named {
            instance: instance.clone(),
            organization: operation.organization.clone(),
            account: self.account.clone(),
            region: self.region.clone(),
            operation: operation.id,
            time: millis::from_time(self.time),
        });
        named.collect()
    }
}

impl Database {
    pub(in crate::store) async fn adopt(
        &self,
        adoption: &Adoption,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let rows = self.lease(Leasing::Adopt(adoption.clone())).await?;
        let owners = rows.iter().map(row::owner);
        owners.map(|owner| Ok(owner?.instance)).collect()
    }
}

/// Writes the rows of the machines that have no owner, and tells the audit of them. An operation
/// that is final stays as it is, so what is read of it is true until the commit.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn run(
    connection: &mut Connection,
    dialect: &Dialect,
    adoption: &Adoption,
    told: &mut Vec<Entry>,
) -> Result<Vec<Row>, StoreError> {
    let known = query(sql::known(1)).bind(adoption.operation.to_string());
    let known = known.fetch_optional(&mut *connection).await?;
    let operation = known.and_then(|row| row::operation(&row).ok());
    let Some(operation) = operation.filter(|operation| adoption.suits(operation)) else {
        return Ok(Vec::new());
    };
    let named = adoption.named(&operation);
    let rows = owners::write(connection, &named.iter().collect::<Vec<_>>()).await?;
    let adopted = rows.iter().map(row::owner).collect::<Result<Vec<_>, _>>()?;
    if !adopted.is_empty() {
        let instances = adopted.iter().map(|owner| owner.instance.as_str());
        let instances: Vec<_> = instances.collect();
        told.push(Entry::adopted(&operation, &instances, adoption.time));
        reservations::recount(connection, dialect, &[operation.id]).await?;
    }
    Ok(rows)
}
