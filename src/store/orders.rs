//! What callers no longer want, until the gateway that has it in hand has taken that in.

use crate::domain::audit::Call;
use crate::domain::decision::Decision;
use crate::domain::ids::OperationId;
use crate::domain::millis;
use crate::store::connection::{Row, query};
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::leasing::Leasing;
use crate::store::{Engine, Store, either, row, sql};
use time::UtcDateTime;

/// An order to cancel an operation, durable until it is fulfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub operation: OperationId,
    /// Who ordered it.
    pub principal: String,
    pub time: UtcDateTime,
}

impl Store {
    /// Makes an order durable, with what the audit is told of it; one that is there already stays as it
    /// is. Orders for what has come to an end by itself make room for it.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn order(&self, order: &Order, told: (&Call, &Decision)) -> Result<(), StoreError> {
        either!(self, engine => engine.order(order, told).await)
    }

    /// Up to `limit` orders that are not fulfilled yet, oldest first; none for what is at rest, where
    /// nobody could take them in.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn orders(&self, limit: u32) -> Result<Vec<Order>, StoreError> {
        either!(self, engine => engine.orders(limit).await)
    }

    /// Takes the order for an operation away.
    ///
    /// # Errors
    /// What writing may tell.
    pub async fn fulfilled(&self, operation: OperationId) -> Result<(), StoreError> {
        either!(self, engine => engine.fulfilled(operation).await)
    }
}

impl Database {
    pub(in crate::store) async fn order(
        &self,
        order: &Order,
        (asked, decision): (&Call, &Decision),
    ) -> Result<(), StoreError> {
        let told = (asked.clone(), decision.clone());
        let order = Leasing::Order(Box::new((order.clone(), told)));
        self.lease(order).await.map(drop)
    }

    pub(in crate::store) async fn orders(&self, limit: u32) -> Result<Vec<Order>, StoreError> {
        let orders = query(sql::orders::ORDERS).bind(i64::from(limit));
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

pub(in crate::store) fn read(order: &Row) -> Result<Order, StoreError> {
    Ok(Order {
        operation: row::id(order)?,
        principal: order.try_get("principal")?,
        time: millis::to_time(order.try_get("time")?)
            .ok_or_else(|| row::bad_order(order, "time"))?,
    })
}
