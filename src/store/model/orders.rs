//! What callers no longer want, as the model keeps it.

use super::{Call, Model, Tables};
use crate::domain::audit;
use crate::domain::decision::Decision;
use crate::domain::ids::OperationId;
use crate::domain::operation::StateName;
use crate::store::error::StoreError;
use crate::store::orders::Order;

impl Model {
    pub(in crate::store) async fn order(
        &self,
        order: &Order,
        _told: (&audit::Call, &Decision),
    ) -> Result<(), StoreError> {
        self.run(Call::Order, |tables, _| {
            tables.forget_orders();
            tables
                .orders
                .entry(order.operation)
                .or_insert_with(|| order.clone());
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn orders(&self, limit: u32) -> Result<Vec<Order>, StoreError> {
        self.run(Call::Orders, |tables, _| {
            let orders = tables.orders.values();
            let wanted = orders.filter(|order| !tables.is(order.operation, StateName::is_at_rest));
            let mut orders: Vec<_> = wanted.cloned().collect();
            orders.sort_by_key(|order| (order.time, order.operation));
            orders.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(orders)
        })
        .await
    }

    pub(in crate::store) async fn fulfilled(
        &self,
        operation: OperationId,
    ) -> Result<(), StoreError> {
        self.run(Call::Fulfilled, |tables, _| {
            tables.orders.remove(&operation);
            Ok(())
        })
        .await
    }
}

impl Tables {
    /// Whether the state of an operation is such.
    fn is(&self, id: OperationId, such: fn(StateName) -> bool) -> bool {
        let row = self.operations.get(&id);
        row.is_some_and(|row| such(row.operation.state.name()))
    }

    /// Takes the orders away to cancel what has come to an end by itself.
    fn forget_orders(&mut self) {
        let orders = std::mem::take(&mut self.orders);
        let left = orders.into_iter();
        let left = left.filter(|(id, _)| !self.is(*id, StateName::is_final));
        self.orders = left.collect();
    }
}
