//! The statements about orders. The verb is a constant that the table and earlier versions want: every
//! order is one to cancel.

use super::{at_rest, not_final};
use crate::store::engine::Dialect;
use crate::store::sql::text::numbered;
use sqlx::SqlStr;

/// Orders of what has ended that one new order takes away: more than it adds.
const FORGOTTEN: u32 = 100;

pub(in crate::store) const ORDER: &str = "INSERT INTO orders (operation_id, verb, principal, time) \
     VALUES ($1, 'CANCEL', $2, $3) ON CONFLICT (operation_id, verb) DO NOTHING RETURNING operation_id AS id";

/// Those that somebody can take in: those of operations at rest would stand before them for ever.
pub(in crate::store) const ORDERS: &str = concat!(
    "SELECT operation_id AS id, principal, time FROM orders WHERE verb = 'CANCEL' \
     AND EXISTS (SELECT 1 FROM operations WHERE id = operation_id AND state NOT IN ",
    at_rest!(),
    ") ORDER BY time, operation_id LIMIT $1"
);

/// No other: what waits for a person may go on, and must then be cancelled still.
pub(in crate::store) const FULFILLED: &str = "DELETE FROM orders \
     WHERE verb = 'CANCEL' AND operation_id = $1 RETURNING operation_id AS id";

/// Takes away some of the orders to cancel what has come to an end by itself. Two gateways that do it
/// at once never wait for each other.
pub(in crate::store) fn forget(dialect: &Dialect) -> SqlStr {
    let skip_locked = dialect.skip_locked;
    numbered(&format!(
        "WITH ended AS MATERIALIZED (SELECT operation_id FROM orders WHERE verb = 'CANCEL' \
         AND EXISTS (SELECT 1 FROM operations WHERE id = operation_id AND state NOT IN {}) \
         LIMIT {FORGOTTEN} {skip_locked}) \
         DELETE FROM orders WHERE verb = 'CANCEL' \
         AND operation_id IN (SELECT operation_id FROM ended)",
        not_final!()
    ))
}
