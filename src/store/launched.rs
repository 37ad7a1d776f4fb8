//! What organisations launched, page by page.

use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::{Kind, Operation};
use crate::store::connection::{Connection, query};
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::owners::Owner;
use crate::store::{row, sql};
use time::UtcDateTime;

/// A machine that the journal names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    pub owner: Owner,
    /// When the journal first named it.
    pub create_time: UtcDateTime,
    /// The last operation that was to give it back.
    pub termination: Option<OperationId>,
}

/// Which machines are wanted: those of an organisation, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchedPage {
    pub organization: OrganizationId,
    /// Only of this account.
    pub account: Option<AccountName>,
    /// Only in this region.
    pub region: Option<Region>,
    /// Only those listed after the one with this time and id.
    pub after: Option<(UtcDateTime, InstanceId)>,
    /// How many at most.
    pub limit: u32,
}

impl LaunchedPage {
    /// Whether a machine belongs on it, or on a later page.
    pub(in crate::store) fn wants(&self, machine: &Launched) -> bool {
        let owner = &machine.owner;
        let time = millis::from_time(machine.create_time);
        let older = |(after, id): &(UtcDateTime, InstanceId)| {
            (time, &owner.instance) < (millis::from_time(*after), id)
        };
        owner.organization == self.organization
            && self.account.as_ref().is_none_or(|it| *it == owner.account)
            && self.region.as_ref().is_none_or(|it| *it == owner.region)
            && self.after.as_ref().is_none_or(older)
    }
}

impl Database {
    pub(in crate::store) async fn launched(
        &self,
        page: &LaunchedPage,
    ) -> Result<Vec<Launched>, StoreError> {
        let (time, id) = match &page.after {
            Some((time, id)) => (millis::from_time(*time), id.as_str()),
            None => (i64::MAX, ""),
        };
        let rows = query(sql::LAUNCHED)
            .bind(page.organization.as_str())
            .bind(page.account.as_ref().map_or("", AccountName::as_str))
            .bind(page.region.as_ref().map_or("", Region::as_str))
            .bind(time)
            .bind(id)
            .bind(i64::from(page.limit))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(row::launched).collect()
    }
}

/// The machines that a new operation is to give back.
pub(in crate::store) fn given_back(operation: &Operation) -> Vec<&InstanceId> {
    let gives_back = operation.kind == Kind::Termination;
    let machines = operation.instances.iter().filter(|_| gives_back);
    machines.map(|machine| &machine.id).collect()
}

/// Writes down that a new operation is to give its machines back.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn leave(
    connection: &mut Connection,
    operation: &Operation,
) -> Result<(), StoreError> {
    for piece in sql::pieces(&given_back(operation)) {
        let mut query = query(sql::leave(piece.len()))
            .bind(operation.id.to_string())
            .bind(operation.organization.as_str());
        for machine in piece {
            query = query.bind(machine.as_str());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
