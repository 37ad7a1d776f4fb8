//! What callers no longer want, until the gateway that has it in hand has taken that in.

use crate::domain::ids::OperationId;
use crate::domain::millis;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::leasing::Leasing;
use crate::store::{row, sql};
use sqlx::Row;
use sqlx::any::AnyRow;
use time::UtcDateTime;

/// An order to cancel an operation, durable until it is fulfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub operation: OperationId,
    /// Who ordered it.
    pub principal: String,
    pub time: UtcDateTime,
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
    ) -> Result<(), StoreError> {
        let fulfilled = Leasing::Fulfilled(operation);
        self.lease(fulfilled).await.map(drop)
    }
}

pub(in crate::store) fn read(order: &AnyRow) -> Result<Order, StoreError> {
    Ok(Order {
        operation: row::id(order)?,
        principal: order.try_get("principal")?,
        time: millis::to_time(order.try_get("time")?)
            .ok_or_else(|| row::bad_order(order, "time"))?,
    })
}
