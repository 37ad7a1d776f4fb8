//! What callers and operators ordered for operations, until the gateway that has them in hand has
//! taken it in.

use crate::domain::ids::OperationId;
use crate::domain::millis;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::leasing::Leasing;
use crate::store::{row, sql};
use sqlx::Row;
use sqlx::any::AnyRow;
use time::UtcDateTime;

/// An order, durable until it is fulfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub operation: OperationId,
    pub verb: Verb,
    /// Who ordered it.
    pub principal: String,
    pub time: UtcDateTime,
}

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// The caller no longer wants the operation.
    Cancel,
    /// An operator has looked at it, and it is to go on.
    Release,
}

impl Verb {
    const ALL: [Self; 2] = [Self::Cancel, Self::Release];

    /// As it stands in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "CANCEL",
            Self::Release => "RELEASE",
        }
    }
}

impl Database {
    pub(in crate::store) async fn order(&self, order: &Order) -> Result<(), StoreError> {
        let order = Leasing::Order(order.clone());
        self.lease(order).await.map(drop)
    }

    pub(in crate::store) async fn orders(&self, limit: u32) -> Result<Vec<Order>, StoreError> {
        let orders = sqlx::query(sql::ORDERS).bind(i64::from(limit));
        let rows = orders.fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    pub(in crate::store) async fn fulfilled(
        &self,
        operation: OperationId,
        verb: Verb,
    ) -> Result<(), StoreError> {
        let fulfilled = Leasing::Fulfilled { operation, verb };
        self.lease(fulfilled).await.map(drop)
    }
}

fn read(order: &AnyRow) -> Result<Order, StoreError> {
    let verb: &str = order.try_get("verb")?;
    let known = Verb::ALL.into_iter().find(|known| known.as_str() == verb);
    Ok(Order {
        operation: row::id(order)?,
        verb: known.ok_or_else(|| row::bad_order(order, "verb"))?,
        principal: order.try_get("principal")?,
        time: millis::to_time(order.try_get("time")?)
            .ok_or_else(|| row::bad_order(order, "time"))?,
    })
}
